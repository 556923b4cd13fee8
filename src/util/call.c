/* SPDX-License-Identifier: Apache-2.0 */
/* Calls: deadline, cancel flag and waker of one operation. */
#include "supafs/util/call.h"

#include <errno.h>
#include <stddef.h>

void supafs_call_init(struct supafs_call *c, const struct supafs_clock *clock, uint64_t timeout_ms)
{
	const int64_t now = clock->mono_ns(clock);
	const uint64_t most_ms = (uint64_t)((SUPAFS_NEVER - now) / SUPAFS_NS_PER_MS);

	*c = (struct supafs_call){.clock = clock, .deadline_ns = SUPAFS_NEVER};
	if (timeout_ms > 0 && timeout_ms < most_ms) {
		c->timeout_ns = (int64_t)timeout_ms * SUPAFS_NS_PER_MS;
		c->deadline_ns = now + c->timeout_ns;
	}
	supafs_mutex_init(&c->lock);
	supafs_cond_init(&c->cond);
}

void supafs_call_fini(struct supafs_call *c)
{
	supafs_cond_fini(&c->cond);
	supafs_mutex_fini(&c->lock);
}

void supafs_call_cancel(struct supafs_call *c)
{
	SUPAFS_SCOPED_LOCK(&c->lock);
	c->cancelled = true;
	supafs_cond_broadcast(&c->cond);
	if (c->waker)
		c->waker(c->waker_ctx);
}

void supafs_call_poke(struct supafs_call *c)
{
	SUPAFS_SCOPED_LOCK(&c->lock);
	if (c->waker)
		c->waker(c->waker_ctx);
}

void supafs_call_progress(struct supafs_call *c)
{
	if (c->timeout_ns > 0)
		c->deadline_ns = c->clock->mono_ns(c->clock) + c->timeout_ns;
}

int supafs_call_check(const struct supafs_call *c)
{
	if (c->cancelled)
		return -EINTR;
	if (c->deadline_ns != SUPAFS_NEVER && c->clock->mono_ns(c->clock) >= c->deadline_ns)
		return -ETIMEDOUT;
	return 0;
}

uint64_t supafs_call_left_ms(const struct supafs_call *c)
{
	int64_t left;

	if (c->deadline_ns == SUPAFS_NEVER)
		return 0;
	left = (c->deadline_ns - c->clock->mono_ns(c->clock)) / SUPAFS_NS_PER_MS;
	return left > 0 ? (uint64_t)left : 1;
}

void supafs_call_set_waker(struct supafs_call *c, supafs_waker_fn fn, void *ctx)
{
	SUPAFS_SCOPED_LOCK(&c->lock);
	c->waker = fn;
	c->waker_ctx = ctx;
	if (fn && c->cancelled)
		fn(ctx);
}

int supafs_call_sleep(struct supafs_call *c, int64_t ns)
{
	const int64_t now = c->clock->mono_ns(c->clock);
	const int64_t wanted = ns < SUPAFS_NEVER - now ? now + ns : SUPAFS_NEVER;
	const int64_t until = wanted < c->deadline_ns ? wanted : c->deadline_ns;
	const int r = supafs_call_check(c);

	if (r != 0)
		return r;
	if (c->clock != supafs_clock_system()) {
		/* A test's clock moves instead of sleeping: nothing could end it early. */
		c->clock->sleep_until(c->clock, until);
		return supafs_call_check(c);
	}
	SUPAFS_SCOPED_LOCK(&c->lock);
	while (!c->cancelled && supafs_cond_wait_until(&c->cond, &c->lock, until) == 0)
		;
	return supafs_call_check(c);
}
