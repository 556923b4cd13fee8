/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One thread that calls back at given times: gathering, expiry, retry. Sleeps until
 * the next one; no timer, no wake-up (with a fake clock
 * it looks every millisecond while one waits). Callbacks run on the timer thread, one after
 * another, with no lock held: hand long work to a pool.
 */
#pragma once

#include <stdint.h>

#include "supafs/util/clock.h"

struct supafs_timers;

int supafs_timers_new(const struct supafs_clock *clock, struct supafs_timers **ret_timers);
/* Waits for a running callback, drops the rest. NULL is fine; returns NULL. */
struct supafs_timers *supafs_timers_free(struct supafs_timers *t);
/* Calls fn(ctx) once at `at_ns` (monotonic). *ret_id (never 0) names it. 0, -ENOMEM, -ESHUTDOWN. */
int supafs_timers_add(
	struct supafs_timers *t, int64_t at_ns, void (*fn)(void *ctx), void *ctx, uint64_t *ret_id);
/* True (1) when it was taken out before it ran; 0 when it has run or is running: then this waits
 * until it has returned, unless called from the callback itself. */
int supafs_timers_cancel(struct supafs_timers *t, uint64_t id);
