/* SPDX-License-Identifier: Apache-2.0 */
/* Byte budget: waiting for bytes is the only back-pressure in the program. */
#include "supafs/util/budget.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "supafs/util/clock.h"
#include "supafs/util/lock.h"

struct supafs_budget {
	struct supafs_mutex lock;
	struct supafs_cond room; /* lock; broadcast on release and on close */
	size_t limit;            /* set once, read without the lock */
	size_t used;             /* lock; invariant: used <= limit */
	bool closed;             /* lock; never goes back to false */
};

int supafs_budget_new(size_t limit, struct supafs_budget **ret_budget)
{
	struct supafs_budget *b = calloc(1, sizeof(*b));

	assert(limit > 0);
	if (!b)
		return -ENOMEM;
	supafs_mutex_init(&b->lock);
	supafs_cond_init(&b->room);
	b->limit = limit;
	*ret_budget = b;
	return 0;
}

struct supafs_budget *supafs_budget_free(struct supafs_budget *b)
{
	if (b) {
		assert(b->used == 0);
		supafs_cond_fini(&b->room);
		supafs_mutex_fini(&b->lock);
		free(b);
	}
	return NULL;
}

static bool fits_locked(const struct supafs_budget *b, size_t n) SUPAFS_REQUIRES(b->lock);
static bool fits_locked(const struct supafs_budget *b, size_t n)
{
	assert(b->used <= b->limit);
	return n <= b->limit - b->used; /* cannot overflow, unlike used + n */
}

int supafs_budget_reserve(struct supafs_budget *b, size_t n, uint32_t timeout_ms)
{
	const struct supafs_clock *clock = supafs_clock_system();
	const int64_t until = clock->mono_ns(clock) + timeout_ms * SUPAFS_NS_PER_MS;

	if (n > b->limit)
		return -EMSGSIZE;

	SUPAFS_SCOPED_LOCK(&b->lock);
	while (!b->closed && !fits_locked(b, n)) {
		if (timeout_ms == 0)
			return -ETIMEDOUT;
		/* The last look decides: room may have come together with the time-out. */
		if (supafs_cond_wait_until(&b->room, &b->lock, until) != 0 && !b->closed &&
			!fits_locked(b, n))
			return -ETIMEDOUT;
	}
	if (b->closed)
		return -ESHUTDOWN;
	b->used += n;
	return 0;
}

void supafs_budget_release(struct supafs_budget *b, size_t n)
{
	SUPAFS_SCOPED_LOCK(&b->lock);
	assert(n <= b->used);
	b->used -= n;
	/* Waiters want different amounts: waking one could wake the wrong one. */
	supafs_cond_broadcast(&b->room);
}

size_t supafs_budget_used(struct supafs_budget *b)
{
	SUPAFS_SCOPED_LOCK(&b->lock);
	return b->used;
}

size_t supafs_budget_limit(const struct supafs_budget *b)
{
	return b->limit;
}

void supafs_budget_close(struct supafs_budget *b)
{
	SUPAFS_SCOPED_LOCK(&b->lock);
	b->closed = true;
	supafs_cond_broadcast(&b->room);
}
