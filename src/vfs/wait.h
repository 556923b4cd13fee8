/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting on a condition for at most as long as a call may last.
 *
 *	vfs_wait_begin(&w, call, &x->lock, &x->cond);	// lock not held
 *	lock;
 *	while (r == 0 && !ready)
 *		r = vfs_wait_step(&w);			// lock held
 *	unlock;
 *	vfs_wait_end(&w);				// lock not held
 *
 * A cancelled call takes the lock for a moment to wake its waiter: so a lock that is waited on this
 * way must never be held when a call's own functions (but supafs_call_check) are called.
 */
#pragma once

#include "supafs/util/call.h"
#include "supafs/util/lock.h"

struct vfs_wait {
	struct supafs_call *call; /* NULL: waits for ever */
	struct supafs_mutex *lock;
	struct supafs_cond *cond;
};

void vfs_wait_begin(struct vfs_wait *w, struct supafs_call *call, struct supafs_mutex *lock,
	struct supafs_cond *cond);
/* 0 (look again), -EINTR, -ETIMEDOUT. */
int vfs_wait_step(struct vfs_wait *w);
void vfs_wait_end(struct vfs_wait *w);
