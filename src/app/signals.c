/* SPDX-License-Identifier: Apache-2.0 */
/*
 * State      signal → next       what happens
 * serving    any    → stopping   a helper thread stops the session, which waits for what is inside
 * stopping   any    → hurrying   operations are cancelled; nothing will be drained
 * draining   any    → –          abandon(), the process ends
 * (the owner moves to draining when the loop has ended; hurrying is remembered)
 */
#include "signals.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "supafs/util/lock.h"
#include "supafs/util/log.h"

#include "notify.h"

enum phase {
	SERVING,
	STOPPING,
	DRAINING
};

struct supafs_signals {
	struct supafs_fuse *fuse;
	void (*abandon)(void *ctx);
	void *ctx;
	pthread_t thread, stopper;
	struct supafs_mutex lock;
	enum phase phase;  /* lock */
	bool stopper_runs; /* lock */
	bool hurry;        /* lock */
	bool end;          /* lock */
};

static void make_set(sigset_t *set)
{
	(void)sigemptyset(set);
	(void)sigaddset(set, SIGTERM);
	(void)sigaddset(set, SIGINT);
	(void)sigaddset(set, SIGHUP);
	(void)sigaddset(set, SIGUSR2); /* our own: look at `end` */
}

void supafs_signals_block(void)
{
	sigset_t set;

	make_set(&set);
	(void)sigaddset(&set, SIGUSR1); /* wakes the session's loop, which lets it through */
	(void)sigaddset(&set, SIGPIPE);
	(void)pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static void *run_stop(void *ctx)
{
	struct supafs_signals *s = ctx;

	supafs_fuse_stop(s->fuse);
	return NULL;
}

static void begin_stop_locked(struct supafs_signals *s) SUPAFS_REQUIRES(s->lock);
static void begin_stop_locked(struct supafs_signals *s)
{
	s->phase = STOPPING;
	s->stopper_runs = pthread_create(&s->stopper, NULL, run_stop, s) == 0;
}

/* False when the thread is to end. */
static bool handle(struct supafs_signals *s)
{
	enum phase was;

	{
		SUPAFS_SCOPED_LOCK(&s->lock);
		if (s->end)
			return false;
		was = s->phase;
		if (was == SERVING)
			begin_stop_locked(s);
		else
			s->hurry = true;
	}
	if (was == SERVING) {
		supafs_log(SUPAFS_LOG_INFO, "asked to end: finishing what is under way");
		supafs_notify("STOPPING=1");
	} else if (was == STOPPING) {
		supafs_log(SUPAFS_LOG_WARN, "asked again: not waiting for uploads");
		supafs_fuse_cancel_all(s->fuse);
	} else {
		supafs_log(SUPAFS_LOG_WARN, "asked to end at once: uploads are left undone");
		s->abandon(s->ctx);
		_exit(EXIT_FAILURE);
	}
	return true;
}

static void *wait_for_signals(void *ctx)
{
	struct supafs_signals *s = ctx;
	sigset_t set;
	int sig = 0;

	make_set(&set);
	for (;;) {
		if (sigwait(&set, &sig) != 0)
			continue;
		if (sig == SIGUSR2) {
			SUPAFS_SCOPED_LOCK(&s->lock);
			if (s->end)
				return NULL;
			continue;
		}
		if (!handle(s))
			return NULL;
	}
}

int supafs_signals_start(struct supafs_fuse *fuse, void (*abandon)(void *ctx), void *ctx,
	struct supafs_signals **ret_signals)
{
	struct supafs_signals *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	s->fuse = fuse;
	s->abandon = abandon;
	s->ctx = ctx;
	supafs_mutex_init(&s->lock);
	r = pthread_create(&s->thread, NULL, wait_for_signals, s);
	if (r != 0) {
		supafs_mutex_fini(&s->lock);
		free(s);
		return -r;
	}
	*ret_signals = s;
	return 0;
}

bool supafs_signals_draining(struct supafs_signals *s)
{
	bool join, hurry;

	{
		SUPAFS_SCOPED_LOCK(&s->lock);
		s->phase = DRAINING;
		join = s->stopper_runs;
		s->stopper_runs = false;
		hurry = s->hurry;
	}
	if (join)
		(void)pthread_join(s->stopper, NULL);
	return hurry;
}

struct supafs_signals *supafs_signals_free(struct supafs_signals *s)
{
	if (!s)
		return NULL;
	{
		SUPAFS_SCOPED_LOCK(&s->lock);
		s->end = true;
	}
	(void)pthread_kill(s->thread, SIGUSR2);
	(void)pthread_join(s->thread, NULL);
	supafs_mutex_fini(&s->lock);
	free(s);
	return NULL;
}
