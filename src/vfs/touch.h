/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Times that nobody but this mount knows: when a file's name or an attribute was changed last, and
 * an access time that somebody has set. The server has no place for them that would not cost a
 * request a change, so they live as long as the node does: after that the modification time stands
 * for all three. A folder's time of change is kept elsewhere; here it is only its access time.
 *
 * A file's time of change is void once its modification time is another one than when it was first
 * shown with it: then the newer of both is that one.
 */
#pragma once

#include <sys/stat.h>

#include "node.h"

/* Of a node: what of it is set, and the times. */
struct vfs_touch {
	int64_t ctime_ns, atime_ns;
	int64_t of_ns; /* a file's mtime that goes with ctime_ns */
	bool has_ctime, has_atime;
	bool bound; /* of_ns is known */
};

/* Name or attributes of the node were changed now. Takes the namespace lock, like all here. Without
 * memory nothing is noted. */
void vfs_touch_changed(struct supafs_vfs *v, struct vfs_node *node);
/* What of `set` is kept nowhere else: the access time, and that something was changed. */
void vfs_touch_set(struct supafs_vfs *v, struct vfs_node *node, const struct supafs_setattr *set);
/* Into what is to be shown. */
void vfs_touch_show(struct supafs_vfs *v, struct vfs_node *node, struct stat *st);
