/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "supafs/util/cleanup.h"

/* One byte: it answers. End of file: the child is gone, and has said why. */
static _Noreturn void wait_for_child(int fd, pid_t child)
{
	char byte;
	ssize_t n;
	int status = 0;

	do {
		n = read(fd, &byte, 1);
	} while (n < 0 && errno == EINTR);
	if (n == 1)
		_exit(EXIT_SUCCESS);
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		continue;
	_exit(WIFEXITED(status) && WEXITSTATUS(status) != 0 ? WEXITSTATUS(status) : EXIT_FAILURE);
}

int supafs_daemon_start(struct supafs_daemon *d, bool foreground, int log_fd)
{
	int fds[2], null;
	pid_t child;

	*d = (struct supafs_daemon){.ready_fd = -1, .log_fd = log_fd};
	if (foreground)
		return 0;
	if (pipe2(fds, O_CLOEXEC) != 0)
		return -errno;
	child = fork();
	if (child < 0) {
		int r = -errno;

		(void)close(fds[0]);
		(void)close(fds[1]);
		return r;
	}
	if (child > 0) {
		(void)close(fds[1]);
		wait_for_child(fds[0], child);
	}
	(void)close(fds[0]);
	/* The session is left only when the mount answers: until then Ctrl-C reaches both. */
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null >= 0) {
		(void)dup2(null, STDIN_FILENO);
		(void)dup2(null, STDOUT_FILENO);
		(void)close(null);
	}
	d->ready_fd = fds[1];
	return chdir("/") == 0 ? 0 : -errno;
}

void supafs_daemon_ready(struct supafs_daemon *d)
{
	ssize_t n;

	if (d->log_fd >= 0) {
		(void)dup2(d->log_fd, STDERR_FILENO);
		(void)close(d->log_fd);
		d->log_fd = -1;
	}
	if (d->ready_fd < 0)
		return;
	(void)setsid();
	do {
		n = write(d->ready_fd, "1", 1);
	} while (n < 0 && errno == EINTR);
	/* The parent was told to give up: so was this mount. */
	if (n < 0)
		(void)kill(getpid(), SIGTERM);
	(void)close(d->ready_fd);
	d->ready_fd = -1;
}
