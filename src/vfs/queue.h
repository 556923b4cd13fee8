/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The queue of uploads that nobody waits for: what was closed with -o writeback, what a dead
 * process left, what failed and is tried again.
 *
 *	a job      is on       goes to
 *	ready      ready       running, when one of `uploads` places is free; oldest first
 *	waiting    waiting     ready, when its time has come; all of them at once when the server
 *	                       has answered again
 *	running    running     gone; waiting when it failed and may pass by itself
 *
 * A content has at most one job, which holds a reference. Whoever needs a file at the server now
 * does not wait for its job: it takes the key's ticket (vfs_content_settle), and the job then finds
 * nothing to do.
 *
 * Who leaves a content unsent calls vfs_queue_look(), which knows what is to be done with it.
 *
 * Locks: the queue's lock is taken with none held and is not held over anything but the timers' and
 * the pool's. calls_lock: leaf but for a call's own lock.
 */
#pragma once

#include "content.h"

#define VFS_RETRY_MIN_NS (5 * SUPAFS_NS_PER_S)
#define VFS_RETRY_MAX_NS (600 * SUPAFS_NS_PER_S)

int vfs_queue_new(struct vfs_queue **ret_q);
/* Nothing may be running: after the pool has gone. */
struct vfs_queue *vfs_queue_free(struct supafs_vfs *v, struct vfs_queue *q);
/* No job begins any more; those that run are cancelled and waited for. */
void vfs_queue_close(struct supafs_vfs *v);

/* What is to be done with a content that is not sent: nothing while it is open, held or being sent;
 * now; or later. */
void vfs_queue_look(struct supafs_vfs *v, struct vfs_node *node);
/* An upload has ended: 0 or its error. Tells those that wait whether the server is there. */
void vfs_queue_ended(struct supafs_vfs *v, int r, bool passing);
/* Tried now, ahead of others, whatever it waited for. */
void vfs_queue_now(struct supafs_vfs *v, struct vfs_node *node);

/* Files that somebody waits for, until each is sent or has failed once more. */
struct vfs_flush {
	struct vfs_node_list nodes; /* references; those that are done are put, and NULL */
	unsigned *tries;            /* of each at the beginning */
	uint64_t failed, done;
};
/* Closed files that are not sent, in `folder` (NULL: everywhere). */
int vfs_flush_begin(struct supafs_vfs *v, struct vfs_node *folder, struct vfs_flush *f);
/* Waits. 0; -EIO when some have failed; -EINTR, -ETIMEDOUT. */
int vfs_flush_wait(struct supafs_vfs *v, struct supafs_call *call, struct vfs_flush *f,
	void (*progress)(void *ctx, const struct supafs_flush_state *st), void *ctx);
void vfs_flush_state(struct supafs_vfs *v, struct vfs_flush *f, struct supafs_flush_state *ret);
/* Both, for what lies directly in a folder. */
int vfs_flush_folder(struct supafs_vfs *v, struct supafs_call *call, struct vfs_node *folder);
void vfs_flush_fini(struct supafs_vfs *v, struct vfs_flush *f);

/* --- The end (drain.c) --------------------------------------------------------------------------
 */

/* Sends all that is left, for at most so long (0: nothing is begun); ends the queue. How many files
 * are left: the journal has them. */
unsigned vfs_drain(struct supafs_vfs *v, uint64_t drain_ms);
