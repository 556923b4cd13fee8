/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What goes with a file beside its bytes: times, mode, owner, user metadata, type and
 * Cache-Control. Shared by setattr.c, send_attrs.c, xattr.c and open.c.
 */
#pragma once

#include "content.h"

#define VFS_COPY_MAX                                                                               \
	(UINT64_C(5) << 30) /* bytes of an object that the server can copy (API §8.2) */

/* Are the listing's directives ours, and do they say that there is no more? */
bool vfs_told_by_listing(const struct supafs_meta *meta);

enum vfs_ask {
	VFS_ASK_MORE, /* one request only where a listing said that there is something to keep */
	VFS_ASK_ALL,
};
/* The content's user, mime and cache_control become known: what the server has. 0; -EOPNOTSUPP when
 * there is more than can be kept; or the store's error. */
int vfs_content_learn(struct supafs_vfs *v, struct supafs_call *call, struct vfs_node *node,
	enum vfs_ask how, struct supafs_fault *fault);
/* Cache-Control of an info or listing without what is ours; "" where it says nothing. */
void vfs_plain_cache_control(const char *stored, struct supafs_buf *ret);
/* The listing's hint, after user, mime or cache_control have changed. */
void vfs_content_hint_locked(struct vfs_content *c);

/* A change of attributes: fn(c, ctx) makes it, under the content's lock; not 0 ends it with that.
 * It goes with an upload or a close that is due, or else as one copy onto itself, soon (later.h)
 * or, where a refusal must be told, now. */
struct vfs_edit {
	int (*fn)(struct supafs_vfs *v, struct vfs_content *c, void *ctx);
	void *ctx;
};
int vfs_content_edit(struct supafs_vfs *v, struct supafs_call *call, struct vfs_node *node,
	const struct vfs_edit *edit, struct supafs_fault *fault);
/* At the close of a handle that wrote nothing: what waits goes now. */
int vfs_content_settle_attrs(struct supafs_vfs *v, struct vfs_node *node, struct supafs_call *call,
	struct supafs_fault *fault);
