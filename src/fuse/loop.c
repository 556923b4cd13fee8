/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Serving: the loop's threads, the watch over the connection, the ways to stop. See the states in
 * session.c.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <unistd.h>

#include "op.h"

static void wake(int sig)
{
	(void)sig;
}

/* The loop's thread sleeps on a semaphore; a signal with a handler and no SA_RESTART ends that. */
static void catch_wake(void)
{
	struct sigaction sa = {.sa_handler = wake};
	sigset_t set;

	(void)sigemptyset(&sa.sa_mask);
	(void)sigaction(SIGUSR1, &sa, NULL);
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGUSR1);
	(void)pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

/* --- The watch
 * ------------------------------------------------------------------------------------
 */

/* When the mount is gone nobody waits for what is under way any more: it is cancelled, so that the
 * loop's threads can be joined. The device says so by POLLERR; `end_fd` says that the loop is over.
 */
struct watch {
	struct supafs_fuse *fuse;
	int end_fd;
	pthread_t thread;
};

static void *run_watch(void *ctx)
{
	struct watch *w = ctx;
	struct pollfd fds[] = {
		{.fd = fuse_session_fd(w->fuse->se), .events = 0},
		{.fd = w->end_fd, .events = POLLIN},
	};

	for (;;) {
		if (poll(fds, SUPAFS_ARRAY_LEN(fds), -1) < 0)
			continue;
		if (fds[1].revents)
			return NULL;
		if (fds[0].revents & (POLLERR | POLLHUP | POLLNVAL)) {
			supafs_fuse_cancel_all(w->fuse);
			return NULL;
		}
	}
}

static int watch_start(struct watch *w, struct supafs_fuse *f)
{
	int r;

	w->fuse = f;
	w->end_fd = eventfd(0, EFD_CLOEXEC);
	if (w->end_fd < 0)
		return -errno;
	r = pthread_create(&w->thread, NULL, run_watch, w);
	if (r != 0)
		(void)close(w->end_fd);
	return -r;
}

static void watch_end(struct watch *w)
{
	(void)eventfd_write(w->end_fd, 1);
	(void)pthread_join(w->thread, NULL);
	(void)close(w->end_fd);
}

/* --- The loop ------------------------------------------------------------------------------------
 */

static int loop(struct supafs_fuse *f)
{
	struct fuse_loop_config *cfg = fuse_loop_cfg_create();
	int r;

	if (!cfg)
		return -ENOMEM;
	fuse_loop_cfg_set_clone_fd(cfg, 0);
	fuse_loop_cfg_set_max_threads(cfg, f->max_threads);
	fuse_loop_cfg_set_idle_threads(cfg, f->idle_threads);
	r = fuse_session_loop_mt(f->se, cfg);
	fuse_loop_cfg_destroy(cfg);
	return r;
}

int supafs_fuse_loop(struct supafs_fuse *f)
{
	struct watch watch = {.end_fd = -1};
	int r = watch_start(&watch, f);

	if (r < 0)
		return r;
	catch_wake();
	{
		SUPAFS_SCOPED_LOCK(&f->lock);
		f->loop_thread = pthread_self();
		f->looping = true;
	}
	r = loop(f);
	{
		SUPAFS_SCOPED_LOCK(&f->lock);
		f->looping = false;
		f->quiet = true;
	}
	watch_end(&watch);
	return r;
}

/* Takes the mount out of the tree while it still answers, so that nobody is left hanging on it. */
static void detach(struct supafs_fuse *f)
{
	if (f->mountpoint && geteuid() == 0)
		(void)umount2(f->mountpoint, MNT_DETACH | UMOUNT_NOFOLLOW);
}

static bool kick(struct supafs_fuse *f)
{
	SUPAFS_SCOPED_LOCK(&f->lock);
	if (f->looping)
		(void)pthread_kill(f->loop_thread, SIGUSR1);
	return f->looping;
}

void supafs_fuse_stop(struct supafs_fuse *f)
{
	{
		SUPAFS_SCOPED_LOCK(&f->lock);
		if (f->stopped)
			return;
		f->stopped = true;
	}
	notify_quiet(f);
	detach(f);
	fuse_session_exit(f->se);
	/* The signal is lost when it comes just before the loop goes to sleep: ask again. */
	while (kick(f))
		f->clock->sleep_until(
			f->clock, f->clock->mono_ns(f->clock) + 20 * SUPAFS_NS_PER_MS);
}

void supafs_fuse_cancel_all(struct supafs_fuse *f)
{
	SUPAFS_SCOPED_LOCK(&f->lock);
	supafs_list_for_each (it, &f->ops)
		supafs_call_cancel(&supafs_list_entry(it, struct op, link)->call);
}
