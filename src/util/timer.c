/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One thread that calls back at given times.
 *
 *	a timer is   on the list   running == its id   cancel()
 *	waiting      yes           no                  takes it off, 1
 *	running      no            yes                 waits (but not on the timer thread), 0
 *	over         no            no                  0
 */
#include "supafs/util/timer.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "supafs/util/list.h"
#include "supafs/util/lock.h"

struct timer {
	struct supafs_list link;
	uint64_t id;
	int64_t at_ns;
	void (*fn)(void *ctx);
	void *ctx;
};

struct supafs_timers {
	const struct supafs_clock *clock;
	pthread_t thread;

	struct supafs_mutex lock;
	struct supafs_cond changed;  /* lock; a new first timer, or closing */
	struct supafs_cond returned; /* lock; a callback is over */
	struct supafs_list waiting;  /* lock; by time, equal times in order of add() */
	uint64_t last_id;            /* lock */
	uint64_t running;            /* lock; id of the callback that runs, 0: none */
	bool closing;                /* lock; never goes back */
};

static struct timer *timer_of(struct supafs_list *l)
{
	return supafs_list_entry(l, struct timer, link);
}

/* Sleeps until the first timer may be due. */
static void wait_locked(struct supafs_timers *t) SUPAFS_REQUIRES(t->lock);
static void wait_locked(struct supafs_timers *t)
{
	const struct supafs_clock *real = supafs_clock_system();
	int64_t until = SUPAFS_NEVER;

	if (!supafs_list_empty(&t->waiting)) {
		/* A test's clock moves without telling us: look every millisecond. */
		until = t->clock == real ? timer_of(t->waiting.next)->at_ns
					 : real->mono_ns(real) + SUPAFS_NS_PER_MS;
	}
	(void)supafs_cond_wait_until(&t->changed, &t->lock, until);
}

/* The first timer once it is due, off the list; NULL when closing. */
static struct timer *next_due(struct supafs_timers *t)
{
	SUPAFS_SCOPED_LOCK(&t->lock);
	t->running = 0;
	supafs_cond_broadcast(&t->returned);
	while (!t->closing) {
		struct timer *first = timer_of(t->waiting.next);

		if (!supafs_list_empty(&t->waiting) &&
			first->at_ns <= t->clock->mono_ns(t->clock)) {
			supafs_list_remove(&first->link);
			t->running = first->id;
			return first;
		}
		wait_locked(t);
	}
	return NULL;
}

static void *run(void *ctx)
{
	struct supafs_timers *t = ctx;

	for (;;) {
		struct timer *due = next_due(t);

		if (!due)
			return NULL;
		due->fn(due->ctx);
		free(due);
	}
}

int supafs_timers_new(const struct supafs_clock *clock, struct supafs_timers **ret_timers)
{
	struct supafs_timers *t = calloc(1, sizeof(*t));
	int r = 0;

	if (!t)
		return -ENOMEM;
	t->clock = clock;
	supafs_mutex_init(&t->lock);
	supafs_cond_init(&t->changed);
	supafs_cond_init(&t->returned);
	supafs_list_init(&t->waiting);
	r = pthread_create(&t->thread, NULL, run, t);
	if (r != 0)
		goto fail;
	(void)pthread_setname_np(t->thread, "supafs-timer");
	*ret_timers = t;
	return 0;
fail:
	supafs_cond_fini(&t->returned);
	supafs_cond_fini(&t->changed);
	supafs_mutex_fini(&t->lock);
	free(t);
	return -r;
}

static void close_timers(struct supafs_timers *t)
{
	SUPAFS_SCOPED_LOCK(&t->lock);
	t->closing = true;
	supafs_cond_broadcast(&t->changed);
}

struct supafs_timers *supafs_timers_free(struct supafs_timers *t)
{
	if (!t)
		return NULL;
	close_timers(t);
	(void)pthread_join(t->thread, NULL);
	supafs_list_for_each_safe (it, next, &t->waiting) {
		supafs_list_remove(it);
		free(timer_of(it));
	}
	supafs_cond_fini(&t->returned);
	supafs_cond_fini(&t->changed);
	supafs_mutex_fini(&t->lock);
	free(t);
	return NULL;
}

static void insert_locked(struct supafs_timers *t, struct timer *fresh) SUPAFS_REQUIRES(t->lock);
static void insert_locked(struct supafs_timers *t, struct timer *fresh)
{
	struct supafs_list *at = t->waiting.prev;

	/* From the back: most timers are later than those that wait. */
	while (at != &t->waiting && timer_of(at)->at_ns > fresh->at_ns)
		at = at->prev;
	supafs_list_add(at, &fresh->link);
	if (at == &t->waiting)
		supafs_cond_signal(&t->changed);
}

int supafs_timers_add(
	struct supafs_timers *t, int64_t at_ns, void (*fn)(void *ctx), void *ctx, uint64_t *ret_id)
{
	struct timer *fresh = calloc(1, sizeof(*fresh));

	if (!fresh)
		return -ENOMEM;
	SUPAFS_SCOPED_LOCK(&t->lock);
	if (t->closing) {
		free(fresh);
		return -ESHUTDOWN;
	}
	*fresh = (struct timer){.id = ++t->last_id, .at_ns = at_ns, .fn = fn, .ctx = ctx};
	*ret_id = fresh->id;
	insert_locked(t, fresh);
	return 0;
}

int supafs_timers_cancel(struct supafs_timers *t, uint64_t id)
{
	SUPAFS_SCOPED_LOCK(&t->lock);
	supafs_list_for_each (it, &t->waiting) {
		if (timer_of(it)->id == id) {
			supafs_list_remove(it);
			free(timer_of(it));
			return 1;
		}
	}
	while (t->running == id && !pthread_equal(pthread_self(), t->thread))
		supafs_cond_wait(&t->returned, &t->lock);
	return 0;
}
