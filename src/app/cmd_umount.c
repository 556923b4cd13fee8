/* SPDX-License-Identifier: Apache-2.0 */
/*
 * supafs umount: unmounts, waits for the daemon to finish its uploads, tells what is left.
 *
 * What is at the path        daemon       done
 * a supafs mount             alive        unmount, wait, report its exit record
 * a supafs mount             dead         unmount, say that it was cleared
 * nothing                    alive        (still finishing) wait, report
 * nothing                    –            refuse
 * something else             –            refuse
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "supafs/util/cleanup.h"

#include "commands.h"
#include "messages.h"
#include "mountinfo.h"
#include "place.h"
#include "record.h"

#define WAIT_MORE_MS 60000 /* beyond the daemon's own drain time */

extern char **environ;

struct unmount {
	char path[PATH_MAX];
	struct supafs_mounted mounted;
	bool is_mounted;
	bool lazy;
	uid_t user; /* whose records */
	struct supafs_record rec;
	bool have_record;
	int pidfd; /* -1: the daemon is gone or not known */
};

/* The daemon, if the process of the record is still that process. */
static int open_daemon(const struct supafs_record *rec)
{
	int fd = (int)syscall(SYS_pidfd_open, rec->pid, 0);
	struct pollfd pfd = {.fd = fd, .events = POLLIN};

	if (fd < 0)
		return -1;
	/* Asked after opening: the descriptor holds on to what was there then. A process that has
	 * ended and that nobody has waited for is gone as well. */
	if (supafs_process_start(rec->pid) != rec->start || poll(&pfd, 1, 0) > 0) {
		(void)close(fd);
		return -1;
	}
	return fd;
}

static void find_daemon(struct unmount *u)
{
	u->user = u->is_mounted ? u->mounted.user : geteuid();
	u->have_record = supafs_record_read(u->user, u->path, &u->rec) == 0;
	if (u->have_record && !u->rec.ended)
		u->pidfd = open_daemon(&u->rec);
}

/* fusermount3 may unmount for a user who is not root. Its exit code, or -errno. */
static int run_fusermount(const char *path, bool lazy)
{
	char program[] = "fusermount3", flag_u[] = "-u", flag_z[] = "-z", flag_q[] = "-q",
	     end[] = "--";
	supafs_autofree char *copy = strdup(path);
	char *argv[] = {program, flag_u, flag_q, end, copy, NULL, NULL};
	posix_spawn_file_actions_t actions;
	int status = 0, r;
	pid_t pid;

	if (!copy)
		return -ENOMEM;
	if (lazy) {
		argv[3] = flag_z;
		argv[4] = end;
		argv[5] = copy;
	}
	(void)posix_spawn_file_actions_init(&actions);
	(void)posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
	r = posix_spawnp(&pid, program, &actions, NULL, argv, environ);
	(void)posix_spawn_file_actions_destroy(&actions);
	if (r != 0)
		return -r;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

/* 0 or -errno; -EBUSY when somebody is inside. */
static int unmount(const struct unmount *u, bool lazy)
{
	struct supafs_mounted m;
	int r;

	if (geteuid() == 0)
		return umount2(u->path, UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0)) == 0 ? 0
											: -errno;
	r = run_fusermount(u->path, lazy);
	if (r < 0)
		return r;
	if (!supafs_mountinfo_find(u->path, &m))
		return 0;
	return u->mounted.user == geteuid() ? -EBUSY : -EPERM;
}

static int refuse(const struct unmount *u, enum supafs_msg id, int r)
{
	struct supafs_problem p;
	char pid[16];

	(void)snprintf(pid, sizeof(pid), "%d", (int)u->rec.pid);
	supafs_problem_set(&p, id, "mnt", u->path, "what", u->mounted.type, "err",
		strerrordesc_np(r < 0 ? -r : 0), "dir", u->rec.cache, "log",
		*u->rec.log ? u->rec.log : "its log", "pid", pid, NULL);
	supafs_problem_print(&p);
	return SUPAFS_EXIT_FAILED;
}

/* True when the daemon has ended. */
static bool wait_for_daemon(const struct unmount *u)
{
	struct pollfd pfd = {.fd = u->pidfd, .events = POLLIN};
	uint64_t ms = u->rec.drain_ms + WAIT_MORE_MS;
	int n;

	do {
		n = poll(&pfd, 1, ms < INT_MAX ? (int)ms : INT_MAX);
	} while (n < 0 && errno == EINTR);
	return n > 0;
}

static int report(const struct unmount *u)
{
	struct supafs_problem p;
	uint64_t left = 0;
	char count[24];

	if (supafs_record_read_exit(u->user, &u->rec, &left) < 0)
		return refuse(u, SUPAFS_MSG_UMOUNT_KILLED, 0);
	supafs_record_forget(u->user, u->path);
	if (left == 0)
		return SUPAFS_EXIT_OK;
	(void)snprintf(count, sizeof(count), "%llu", (unsigned long long)left);
	supafs_problem_set(&p, SUPAFS_MSG_LEFT, "count", count, "dir", u->rec.cache, "log",
		*u->rec.log ? u->rec.log : "of the daemon", NULL);
	supafs_problem_print(&p);
	return SUPAFS_EXIT_FAILED;
}

static int finish(const struct unmount *u)
{
	if (u->pidfd < 0 && u->have_record && !u->rec.ended) {
		(void)refuse(u, SUPAFS_MSG_UMOUNT_CLEARED, 0);
		supafs_record_forget(u->user, u->path);
		return SUPAFS_EXIT_OK;
	}
	if (u->pidfd < 0)
		return u->have_record ? report(u) : SUPAFS_EXIT_OK;
	if (!wait_for_daemon(u))
		return refuse(u, SUPAFS_MSG_UMOUNT_SLOW, 0);
	return report(u);
}

static int run(struct unmount *u)
{
	int r;

	u->is_mounted = supafs_mountinfo_find(u->path, &u->mounted);
	if (u->is_mounted && strcmp(u->mounted.type, "fuse.supafs") != 0)
		return refuse(u, SUPAFS_MSG_UMOUNT_NOT_OURS, 0);
	find_daemon(u);
	if (!u->is_mounted && u->pidfd < 0)
		return refuse(u, SUPAFS_MSG_UMOUNT_NOT_MOUNTED, 0);
	if (u->is_mounted) {
		r = unmount(u, u->lazy);
		/* A dead mount may be left with somebody's working folder in it. */
		if (r == -EBUSY && u->pidfd < 0 && u->have_record)
			r = unmount(u, true);
		if (r < 0)
			return refuse(u,
				r == -EBUSY ? SUPAFS_MSG_UMOUNT_BUSY : SUPAFS_MSG_UMOUNT_FAILED, r);
	}
	return finish(u);
}

static int usage(const char *what)
{
	struct supafs_problem p;

	supafs_problem_set(&p, SUPAFS_MSG_USAGE, "what", what, "command", "umount", NULL);
	supafs_problem_print(&p);
	return SUPAFS_EXIT_USAGE;
}

int supafs_cmd_umount(const char *self, int argc, char **argv)
{
	struct unmount u = {.pidfd = -1};
	const char *given = NULL;
	int r;

	(void)self;
	for (int i = 0; i < argc; i++) {
		if (strcmp(argv[i], "-h") == 0 || strcmp(argv[i], "--help") == 0) {
			supafs_help_umount();
			return SUPAFS_EXIT_OK;
		}
		if (strcmp(argv[i], "-l") == 0 || strcmp(argv[i], "--lazy") == 0)
			u.lazy = true;
		else if (argv[i][0] == '-' && argv[i][1] != '\0')
			return usage("there is one option, --lazy");
		else if (given)
			return usage("more than one mount point");
		else
			given = argv[i];
	}
	if (!given)
		return usage("no mount point is named");
	(void)snprintf(u.path, sizeof(u.path), "%s", given);
	r = supafs_mount_path(given, u.path);
	if (r < 0) {
		(void)snprintf(u.path, sizeof(u.path), "%s", given);
		return refuse(&u,
			r == -ENOENT ? SUPAFS_MSG_UMOUNT_NOT_MOUNTED : SUPAFS_MSG_UMOUNT_FAILED, r);
	}
	r = run(&u);
	if (u.pidfd >= 0)
		(void)close(u.pidfd);
	return r;
}
