/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gathered deletes. The first unlinks of a process in a folder are sent one by one
 * with their true error; from the third successive one on they are acknowledged and gathered, one
 * batch a folder.
 *
 *	open      takes more; ends when 500 are in it, when 50 ms pass without a new one, or when
 *	          somebody could see it (settle)
 *	sending   out of the table of open ones; whoever settles the folder waits for it
 *	gone      what the server took is confirmed; what it did not take is looked at: absent is
 *	          confirmed as well, present comes back into the view, is logged, and makes a later
 *	          rmdir fail as ENOTEMPTY
 *	handed    the request failed in a way that passes: a job goes on with the names (jobs.h),
 *	          which stay out of the view
 *
 * A batch has one record in the journal, from its first name on, which goes when the batch is
 * settled.
 *
 * Lock: the gatherer's, of the rank of the key queue; not held over requests.
 */
#pragma once

#include "node.h"

int vfs_gather_new(struct supafs_vfs *v, struct vfs_gather **ret_g);
/* Nothing may be open or sending. */
struct vfs_gather *vfs_gather_free(struct vfs_gather *g);

/* Notes a successive unlink of `process` in a folder; true if it is the third or a later one. */
bool vfs_gather_burst(struct vfs_gather *g, pid_t process, const struct vfs_key *dir);
/* One was refused: the process's burst begins anew. */
void vfs_gather_refused(struct vfs_gather *g, pid_t process);
/* Is somebody deleting one name after the other in this folder? */
bool vfs_gather_bursting(struct vfs_gather *g, const struct vfs_key *dir);
/* Adds a name that has left the view under `change_id`, `attr` being what was there. It is in the
 * journal when this returns, so that it does not come back when the process dies. May send a full
 * batch. -ENOMEM, -EAGAIN (the journal could not take it): not added. */
int vfs_gather_add(struct supafs_vfs *v, const struct vfs_place *place,
	const struct supafs_attr *attr, uint64_t parent, uint64_t change_id);

/* Sends what is open in `dir` (and, with `below`, under it), and waits for what is being sent.
 * `vanish`: the folder itself is to go, so no placeholder is put. 0; -EINTR, -ETIMEDOUT while
 * waiting; errors of the batch are not the caller's. */
int vfs_gather_settle(struct supafs_vfs *v, struct supafs_call *call, const struct vfs_key *dir,
	bool below, bool vanish);
/* The same if `name` is among them. */
int vfs_gather_settle_name(struct supafs_vfs *v, struct supafs_call *call,
	const struct vfs_key *dir, struct supafs_str name);
uint64_t vfs_gather_count(struct vfs_gather *g);
