/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting on a condition within a call. */
#include "wait.h"

#include <stddef.h>

static void wake(void *ctx)
{
	struct vfs_wait *w = ctx;

	/* Under the lock, or the waiter could miss it between its check and its sleep. */
	SUPAFS_SCOPED_LOCK(w->lock);
	supafs_cond_broadcast(w->cond);
}

void vfs_wait_begin(struct vfs_wait *w, struct supafs_call *call, struct supafs_mutex *lock,
	struct supafs_cond *cond)
{
	*w = (struct vfs_wait){.call = call, .lock = lock, .cond = cond};
	if (call)
		supafs_call_set_waker(call, wake, w);
}

int vfs_wait_step(struct vfs_wait *w)
{
	int r;

	if (!w->call) {
		supafs_cond_wait(w->cond, w->lock);
		return 0;
	}
	r = supafs_call_check(w->call);
	if (r != 0)
		return r;
	/* A fake clock's deadline is no time of the real one: whoever moves it wakes us. */
	if (w->call->clock != supafs_clock_system())
		supafs_cond_wait(w->cond, w->lock);
	else
		(void)supafs_cond_wait_until(w->cond, w->lock, w->call->deadline_ns);
	return 0;
}

void vfs_wait_end(struct vfs_wait *w)
{
	if (w->call)
		supafs_call_set_waker(w->call, NULL, NULL);
}
