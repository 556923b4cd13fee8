/* SPDX-License-Identifier: Apache-2.0 */
/*
 * -o poll: what other clients have changed is looked for every few seconds, by one listing of what
 * was changed last, and forgotten here, so that the next look at it asks the server.
 *
 * Not seen this way: deletes (nothing is left that could be listed), and changes of a folder's own
 * attributes. Both show when the ttl is over.
 */
#pragma once

#include "vfs_priv.h"

struct vfs_poll;

/* Not started. 0, -ENOMEM, -EAGAIN. */
int vfs_poll_new(struct supafs_vfs *v, struct vfs_poll **ret_poll);
/* The first look, at once, only learns where the present is; the next ones follow by the clock,
 * poll_ms apart. */
void vfs_poll_start(struct vfs_poll *p);
/* Stops what is under way, and waits for its end. NULL is fine; returns NULL. */
struct vfs_poll *vfs_poll_free(struct vfs_poll *p);

/* One look, on this thread; not beside another one. 0 or -errno; *ret_changed (may be NULL): names
 * that were forgotten. For tests. */
int vfs_poll_look(struct vfs_poll *p, unsigned *ret_changed);
