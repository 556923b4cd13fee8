/* SPDX-License-Identifier: Apache-2.0 */
/*
 * At most so many operations at once.
 *
 * A waiter is on one of two queues, in order of arrival: heavy (get, put) or light (the rest).
 * Heavy ones may fill three quarters of the places, so a listing never waits behind uploads alone.
 *
 *	state of a waiter   on a queue   counted in inflight   next
 *	waiting             yes          no                    granted | given up (cancel, deadline)
 *	granted             no           yes                   done
 *	given up            no           no                    –
 *
 * Invariants: inflight ≤ max, heavy ≤ inflight, 1 ≤ limit ≤ max. `inflight` may be above `limit`
 * for a while after the limit was halved.
 * A waiter sleeps on its call's own lock and condition, so that a cancel wakes it; lock order:
 * limit.lock → call.lock.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "supafs/util/list.h"
#include "supafs/util/lock.h"

#include "layer_priv.h"
#include "store_priv.h"

enum {
	SUCCESSES_TO_GROW = 10,
};

struct limit {
	struct supafs_layer layer;
	struct supafs_mutex lock;
	/* lock: */
	unsigned limit, inflight, heavy, successes;
	struct supafs_list heavy_queue, light_queue;
	const unsigned max;
};

struct waiter {
	struct supafs_list link; /* limit.lock */
	struct supafs_call *call;
	bool granted; /* call->lock */
};

static struct limit *limit_of(struct supafs_layer *l)
{
	return (struct limit *)(void *)l;
}

static bool is_heavy(const struct supafs_layer_op *o)
{
	return o->op == SUPAFS_OP_GET || o->op == SUPAFS_OP_PUT;
}

static unsigned heavy_limit(unsigned limit)
{
	return limit > 1 ? limit - (limit + 3) / 4 : 1;
}

static bool room_locked(const struct limit *m, bool heavy) SUPAFS_REQUIRES(m->lock);
static bool room_locked(const struct limit *m, bool heavy)
{
	assert(m->heavy <= m->inflight && m->inflight <= m->max && m->limit >= 1);
	if (m->inflight >= m->limit)
		return false;
	return !heavy || m->heavy < heavy_limit(m->limit);
}

static void count_locked(struct limit *m, bool heavy) SUPAFS_REQUIRES(m->lock);
static void count_locked(struct limit *m, bool heavy)
{
	m->inflight++;
	if (heavy)
		m->heavy++;
}

static void grant(struct waiter *w)
{
	SUPAFS_SCOPED_LOCK(&w->call->lock);
	w->granted = true;
	supafs_cond_broadcast(&w->call->cond);
}

static void pump_queue_locked(struct limit *m, struct supafs_list *queue, bool heavy)
	SUPAFS_REQUIRES(m->lock);
static void pump_queue_locked(struct limit *m, struct supafs_list *queue, bool heavy)
{
	while (!supafs_list_empty(queue) && room_locked(m, heavy)) {
		struct waiter *w = supafs_list_entry(queue->next, struct waiter, link);
		supafs_list_remove(&w->link);
		count_locked(m, heavy);
		grant(w);
	}
}

/* Light ones are short and few: first. */
static void pump_locked(struct limit *m) SUPAFS_REQUIRES(m->lock);
static void pump_locked(struct limit *m)
{
	pump_queue_locked(m, &m->light_queue, false);
	pump_queue_locked(m, &m->heavy_queue, true);
}

/* True when the place was granted; false when the call ended first. */
static bool wait_granted(struct waiter *w)
{
	struct supafs_call *c = w->call;

	SUPAFS_SCOPED_LOCK(&c->lock);
	while (!w->granted && supafs_call_check(c) == 0)
		(void)supafs_cond_wait_until(&c->cond, &c->lock, c->deadline_ns);
	return w->granted;
}

static void release(struct limit *m, bool heavy)
{
	SUPAFS_SCOPED_LOCK(&m->lock);
	m->inflight--;
	if (heavy)
		m->heavy--;
	pump_locked(m);
}

/* Between the end of the wait and here the place may have come after all: give it back. */
static void give_up(struct limit *m, struct waiter *w, bool heavy)
{
	bool granted;

	{
		SUPAFS_SCOPED_LOCK(&m->lock);
		granted = supafs_list_empty(&w->link);
		supafs_list_remove(&w->link);
	}
	if (granted)
		release(m, heavy);
}

static int limit_before(struct supafs_layer *l, struct supafs_layer_op *o)
{
	struct limit *m = limit_of(l);
	struct waiter w = {.call = o->call};
	bool heavy = is_heavy(o);
	int r;

	supafs_list_init(&w.link);
	{
		struct supafs_list *queue = heavy ? &m->heavy_queue : &m->light_queue;
		SUPAFS_SCOPED_LOCK(&m->lock);
		if (supafs_list_empty(queue) && room_locked(m, heavy)) {
			count_locked(m, heavy);
			return 0;
		}
		supafs_list_add_tail(queue, &w.link);
	}
	if (wait_granted(&w))
		return 0;
	give_up(m, &w, heavy);
	r = supafs_call_check(o->call);
	return supafs_fault_set(o->fault, r < 0 ? r : -EINTR,
		r == -ETIMEDOUT ? SUPAFS_FAULT_TRANSIENT : SUPAFS_FAULT_PERMANENT,
		r == -ETIMEDOUT ? "Timeout" : "Cancelled", "while waiting for other requests");
}

static void adapt(struct limit *m, int r, const struct supafs_fault *fault)
{
	SUPAFS_SCOPED_LOCK(&m->lock);
	if (r < 0 && fault->class == SUPAFS_FAULT_THROTTLED) {
		m->limit = m->limit > 1 ? m->limit / 2 : 1;
		m->successes = 0;
	} else if (r == 0 && m->limit < m->max && ++m->successes == SUCCESSES_TO_GROW) {
		m->limit++;
		m->successes = 0;
	}
}

static int limit_after(struct supafs_layer *l, struct supafs_layer_op *o, int r)
{
	struct limit *m = limit_of(l);

	adapt(m, r, o->fault);
	release(m, is_heavy(o));
	return r;
}

static void limit_fini(struct supafs_layer *l)
{
	struct limit *m = limit_of(l);

	assert(m->inflight == 0);
	supafs_mutex_fini(&m->lock);
}

static const struct supafs_layer_hooks limit_hooks = {limit_before, limit_after, limit_fini};
static const struct supafs_store_ops limit_ops = SUPAFS_LAYER_OPS("limit");

int supafs_store_new_limit(const struct supafs_clock *clock, unsigned max_inflight,
	struct supafs_store *inner, struct supafs_store **ret_store)
{
	struct limit *m;

	(void)clock; /* the calls bring their own */
	if (max_inflight == 0)
		return -EINVAL;
	m = malloc(sizeof(*m));
	if (!m)
		return -ENOMEM;
	/* `max` is const and set once. */
	struct limit made = {
		.layer = {{&limit_ops}, inner, &limit_hooks},
		.limit = max_inflight,
		.max = max_inflight,
	};
	memcpy(m, &made, sizeof(made));
	supafs_mutex_init(&m->lock);
	supafs_list_init(&m->heavy_queue);
	supafs_list_init(&m->light_queue);
	*ret_store = &m->layer.base;
	return 0;
}

static size_t count_queue_locked(const struct supafs_list *queue)
{
	size_t n = 0;

	supafs_list_for_each (it, queue)
		n++;
	return n;
}

void supafs_limit_read(struct supafs_store *limit, struct supafs_limit_state *ret_state)
{
	struct limit *m = (struct limit *)(void *)limit;

	SUPAFS_SCOPED_LOCK(&m->lock);
	*ret_state = (struct supafs_limit_state){
		.limit = m->limit,
		.inflight = m->inflight,
		.heavy = m->heavy,
		.waiting =
			count_queue_locked(&m->heavy_queue) + count_queue_locked(&m->light_queue),
	};
}
