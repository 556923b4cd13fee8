/* SPDX-License-Identifier: Apache-2.0 */
/*
 * News for the kernel: what changed behind its caches.
 *
 * A notification waits in the kernel for the folder's lock, which a process may hold that in turn
 * waits for an answer of ours. So they come from the vfs's own thread, never under a lock, and
 * the session goes on serving until the last one is back (notify_quiet) before it stops.
 */
#include "op.h"

static bool enter(struct supafs_fuse *f)
{
	SUPAFS_SCOPED_LOCK(&f->lock);
	if (f->quiet)
		return false;
	f->notifying++;
	return true;
}

static void leave(struct supafs_fuse *f)
{
	SUPAFS_SCOPED_LOCK(&f->lock);
	if (--f->notifying == 0)
		supafs_cond_broadcast(&f->calm);
}

/* An error means that the kernel does not know the node: nothing to do. */
void notify_inval_entry(void *ctx, uint64_t parent, const char *name, size_t n)
{
	struct supafs_fuse *f = ctx;

	if (!enter(f))
		return;
	(void)fuse_lowlevel_notify_inval_entry(f->se, parent, name, n);
	leave(f);
}

void notify_inval_inode(void *ctx, uint64_t node, bool data)
{
	struct supafs_fuse *f = ctx;

	if (!enter(f))
		return;
	(void)fuse_lowlevel_notify_inval_inode(f->se, node, data ? 0 : -1, 0);
	leave(f);
}

void notify_quiet(struct supafs_fuse *f)
{
	SUPAFS_SCOPED_LOCK(&f->lock);
	f->quiet = true;
	while (f->notifying > 0)
		supafs_cond_wait(&f->calm, &f->lock);
}
