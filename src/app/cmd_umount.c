/* SPDX-License-Identifier: Apache-2.0 */
/*
 * supafs umount: unmounts, waits for the daemon to finish its uploads and shows how far they are,
 * tells what is left.
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
#include "supafs/util/clock.h"
#include "supafs/util/log.h"

#include "args.h"
#include "client.h"
#include "commands.h"
#include "config.h"
#include "messages.h"
#include "mountinfo.h"
#include "place.h"
#include "progress.h"
#include "record.h"

#define WAIT_MORE_MS  60000 /* beyond the daemon's own drain time */
#define LOOK_EVERY_MS 500

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

static void show_progress(const struct unmount *u, struct supafs_progress *progress)
{
	const struct supafs_control_request req = {.verb = SUPAFS_CONTROL_PROGRESS};
	supafs_cleanup(supafs_answer_freep) struct supafs_answer *a = NULL;
	FILE *f = supafs_client_try(&u->rec, &req);

	if (!f)
		return;
	if (supafs_client_next(f, &a, NULL) == 1)
		supafs_progress_show(progress, a);
	(void)fclose(f);
}

/* True when the daemon has ended. */
static bool wait_for_daemon(const struct unmount *u)
{
	const struct supafs_clock *clock = supafs_clock_system();
	const int64_t until = clock->mono_ns(clock) +
			      (int64_t)(u->rec.drain_ms + WAIT_MORE_MS) * SUPAFS_NS_PER_MS;
	struct pollfd pfd = {.fd = u->pidfd, .events = POLLIN};
	struct supafs_progress progress;
	int n;

	supafs_progress_init(&progress);
	do {
		n = poll(&pfd, 1, LOOK_EVERY_MS);
		if (n == 0)
			show_progress(u, &progress);
	} while (n <= 0 && clock->mono_ns(clock) < until);
	supafs_progress_end(&progress);
	return n > 0;
}

static void tell_file(const char *file)
{
	char clean[1200];

	(void)supafs_log_redact(file, strlen(file), clean, sizeof(clean));
	(void)fprintf(stderr, "supafs: %s\n", clean);
}

static int report(const struct unmount *u)
{
	struct supafs_problem p;
	uint64_t left = 0;
	char count[24];

	if (supafs_record_read_exit(u->user, &u->rec, &left, tell_file) < 0)
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

/* The mount point that a configuration names. */
static int configured(const char *name, char *ret, struct supafs_problem *p)
{
	struct supafs_config c;
	int r;

	p->text[0] = '\0';
	r = supafs_config_load(&c, NULL, name, p);
	if (r == 0 && !c.mountpoint) {
		supafs_problem_set(p, SUPAFS_MSG_NO_MOUNTPOINT, NULL);
		r = -EINVAL;
	}
	if (r == 0)
		(void)snprintf(ret, PATH_MAX, "%s", c.mountpoint);
	supafs_config_fini(&c);
	supafs_log_fini();
	return r;
}

static int unmount_at(struct unmount *u, const char *given)
{
	int r = supafs_mount_path(given, u->path);

	if (r < 0) {
		(void)snprintf(u->path, sizeof(u->path), "%s", given);
		return refuse(u,
			r == -ENOENT ? SUPAFS_MSG_UMOUNT_NOT_MOUNTED : SUPAFS_MSG_UMOUNT_FAILED, r);
	}
	r = run(u);
	if (u->pidfd >= 0)
		(void)close(u->pidfd);
	return r;
}

int supafs_cmd_umount(const char *self, int argc, char **argv)
{
	struct unmount u = {.pidfd = -1};
	const char *given = NULL, *config = NULL;
	const struct supafs_arg table[] = {
		{"--lazy", &u.lazy, NULL},
		{"-l", &u.lazy, NULL},
		{"--config", NULL, &config},
		{NULL, NULL, NULL},
	};
	char named[PATH_MAX];
	struct supafs_problem p;
	int r = supafs_args_parse("umount", argc, argv, table, &given);

	(void)self;
	if (r > 0)
		return supafs_help_command("umount");
	if (r == 0 && !given == !config)
		r = supafs_args_wrong("umount", "a mount point or --config NAME is wanted");
	if (r < 0)
		return SUPAFS_EXIT_USAGE;
	if (config) {
		r = configured(config, named, &p);
		if (r < 0)
			return supafs_exit(r, &p);
	}
	supafs_config_wipe_environment();
	return unmount_at(&u, given ? given : named);
}
