/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The key queue: operations on one key happen in the order in which they came. Upload,
 * delete, rename and metadata change take a ticket for the keys they touch (both at once, so no two
 * wait for each other); a ticket for a folder ("d/") covers everything below. A ticket's turn comes
 * when no earlier one covers any of its keys.
 *
 * A ticket is held over requests: it is a place in a queue, not a lock. One thread
 * never holds two.
 */
#pragma once

#include <stdbool.h>

#include "supafs/util/call.h"
#include "supafs/util/list.h"
#include "supafs/util/str.h"

struct vfs_keyq;

struct vfs_ticket {
	struct supafs_list link;
	struct supafs_str keys[2]; /* borrowed until leave; the second may be empty */
	unsigned n;
};

int vfs_keyq_new(struct vfs_keyq **ret_q);
struct vfs_keyq *vfs_keyq_free(struct vfs_keyq *q);

/* Waits for its turn. `b` may be {NULL, 0}. 0, -EINTR or -ETIMEDOUT; only 0 obliges to leave. */
int vfs_keyq_enter(struct vfs_keyq *q, struct supafs_call *call, struct vfs_ticket *t,
	struct supafs_str a, struct supafs_str b);
/* The two halves of it: a place in the queue, which never waits and obliges to leave, and the wait
 * for the turn, which may be tried again when it failed: the place is kept. */
void vfs_keyq_queue(
	struct vfs_keyq *q, struct vfs_ticket *t, struct supafs_str a, struct supafs_str b);
int vfs_keyq_turn(struct vfs_keyq *q, struct supafs_call *call, struct vfs_ticket *t);
void vfs_keyq_leave(struct vfs_keyq *q, struct vfs_ticket *t);

/* Waits until no folder's ticket covers `key`, without taking one: nothing below a folder that is
 * being renamed is looked at half-way. Costs one load when there is none. */
int vfs_keyq_pass(struct vfs_keyq *q, struct supafs_call *call, struct supafs_str key);
