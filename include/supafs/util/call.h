/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A call: what an operation carries from its first line down to the transfer –
 * deadline, cancel flag, and the way to wake whoever waits for it.
 *
 * One call belongs to one operation at a time; within it, requests follow each
 * other or (pool workers) use calls of their own. The FUSE layer cancels a call
 * when the kernel interrupts the request; a reader cancels the call of a window
 * it no longer wants, and pokes it when room for more bytes has appeared.
 *
 * Threads: init/fini by the owner; cancel, poke, cancelled from any thread. The
 * waker runs under the call's lock (a leaf), in the thread that cancels or pokes:
 * it must only set flags, signal or write to a wake-up descriptor.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "supafs/util/clock.h"
#include "supafs/util/lock.h"

typedef void (*supafs_waker_fn)(void *ctx);

struct supafs_call {
	const struct supafs_clock *clock;
	int64_t timeout_ns;          /* 0: none */
	_Atomic int64_t deadline_ns; /* monotonic; SUPAFS_NEVER: none. Only moves on */
	struct supafs_mutex lock;
	struct supafs_cond cond; /* lock; broadcast on cancel */
	_Atomic bool cancelled;
	supafs_waker_fn waker; /* lock; NULL when nobody waits */
	void *waker_ctx;       /* lock */
};

/* `timeout_ms` from now; 0: no deadline. `clock` must outlive the call. */
void supafs_call_init(struct supafs_call *c, const struct supafs_clock *clock, uint64_t timeout_ms);
void supafs_call_fini(struct supafs_call *c);

/* Makes the operation end with -EINTR as soon as it can. Idempotent. */
void supafs_call_cancel(struct supafs_call *c);
/* Runs the waker without cancelling: a paused body may go on. */
void supafs_call_poke(struct supafs_call *c);

/* Bytes have moved for it: the time-out counts from now. So it ends what makes no progress, not a
 * large file on a thin line. */
void supafs_call_progress(struct supafs_call *c);

static inline bool supafs_call_cancelled(const struct supafs_call *c)
{
	return c->cancelled;
}

/* 0, -EINTR when cancelled, -ETIMEDOUT past the deadline. */
int supafs_call_check(const struct supafs_call *c);

/* What is left until the deadline, as the time-out of a call that does a part of this one's work:
 * at least 1; 0: no deadline. */
uint64_t supafs_call_left_ms(const struct supafs_call *c);

/* Installs / removes the waker; after set(NULL) returned, the old one runs no more. A call that is
 * already cancelled runs the new waker at once. */
void supafs_call_set_waker(struct supafs_call *c, supafs_waker_fn fn, void *ctx);

/* Sleeps `ns`, ended early by cancel or the deadline: 0, -EINTR or -ETIMEDOUT. */
int supafs_call_sleep(struct supafs_call *c, int64_t ns);
