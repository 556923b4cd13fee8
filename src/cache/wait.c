/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting for bytes. Each waiter has a flag, lock and condition of its own, so that a block wakes
 * those who want it and nobody else, and so that a cancelled call, which may not take the data
 * lock, can wake its thread without a lost wake-up: the flag stays set until it is looked at.
 */
#include <errno.h>
#include <string.h>

#include "data_priv.h"

void supafs_waiter_init(struct waiter *w)
{
	memset(w, 0, sizeof(*w));
	supafs_list_init(&w->of_content);
	supafs_mutex_init(&w->lock);
	supafs_cond_init(&w->cond);
}

void supafs_waiter_fini(struct waiter *w)
{
	supafs_cond_fini(&w->cond);
	supafs_mutex_fini(&w->lock);
}

void supafs_waiter_wake(struct waiter *w)
{
	SUPAFS_SCOPED_LOCK(&w->lock);
	w->woken = true;
	supafs_cond_signal(&w->cond);
}

static void wake_by_call(void *ctx)
{
	supafs_waiter_wake(ctx);
}

static int wait_woken(struct waiter *w, const struct supafs_call *call)
{
	int r = 0;

	SUPAFS_SCOPED_LOCK(&w->lock);
	while (!w->woken) {
		r = supafs_call_check(call);
		if (r < 0)
			return r;
		(void)supafs_cond_wait_until(&w->cond, &w->lock, call->deadline_ns);
	}
	w->woken = false;
	return 0;
}

int supafs_waiter_wait_locked(
	struct supafs_data *d, struct supafs_content *c, struct waiter *w, struct supafs_call *call)
{
	int r;

	/* On the list first: news are delivered unlocked, and what we want may come meanwhile. */
	supafs_list_add_tail(&c->waiters, &w->of_content);
	supafs_data_flush_locked(d);
	supafs_mutex_unlock(&d->lock);

	supafs_call_set_waker(call, wake_by_call, w);
	r = wait_woken(w, call);
	supafs_call_set_waker(call, NULL, NULL);
	if (r == 0)
		r = supafs_call_check(call);

	supafs_mutex_lock(&d->lock);
	supafs_list_remove(&w->of_content);
	/* Its block may now be evicted. */
	supafs_data_room_locked(d);
	return r;
}
