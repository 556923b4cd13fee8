/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Handles: one open file or folder, named by a number that is never used again.
 *
 * A file's handle pins what it was opened at: the content's epoch, and for reading from the
 * server a version. As long as its epoch is the content's, it shares the content's spool
 * with all other handles. Once another client's content has been seen under the name, an older
 * handle gets ESTALE for all that it does: the kernel has one size and one set of pages a file, so
 * what it read on from its own version would be mixed with the new one's.
 */
#pragma once

#include "content.h"

/* A stream and its users; freed by the last. */
struct vfs_stream {
	struct supafs_content *content;
	struct supafs_stream *stream;
	unsigned moves; /* of the content, when it was opened */
	unsigned refs;  /* handle's lock */
};

struct vfs_handle {
	uint64_t id;           /* constant, like all up to the lock */
	struct vfs_node *node; /* a reference */
	struct vfs_content *c; /* a reference; NULL for folders */
	bool readable, writable, append;
	unsigned refs; /* vfs->handles_lock */

	struct supafs_mutex lock;
	struct supafs_cond cond; /* lock; broadcast when `walking` falls */
	/* lock: */
	unsigned epoch, moves;
	struct supafs_version version;
	struct vfs_stream *stream;
	bool fresh; /* made or cut by this handle */
	bool wrote;
	bool flushed;
	bool walking; /* a folder's walk is inside a readdir */
	struct supafs_dir *dir;
	uint64_t dir_off; /* where the walk is */
};

/* 0 or -ENOMEM. The handle takes over the references on success, not on failure. */
int vfs_handle_new(struct supafs_vfs *v, struct vfs_node *node, struct vfs_content *c, int flags,
	struct vfs_handle **ret_h);
/* The handle with a reference, or NULL. Ends with put. */
struct vfs_handle *vfs_handle_get(struct supafs_vfs *v, uint64_t id);
void vfs_handle_put(struct supafs_vfs *v, struct vfs_handle *h);
/* Takes it out of the table; ends with put as well. */
struct vfs_handle *vfs_handle_take(struct supafs_vfs *v, uint64_t id);
/* Any one that is left, taken out; NULL if none. */
struct vfs_handle *vfs_handle_take_any(struct supafs_vfs *v);
int vfs_handles_init(struct supafs_vfs *v);

/* --- Used by several operations ------------------------------------------------------------------
 */

/* What the view says of a named node now. `etag`: ask the server when the ETag is not known.
 * -ENOENT, or -ESTALE when another kind of thing has its name. */
int vfs_current(struct supafs_vfs *v, struct supafs_call *call, struct vfs_node *node, bool etag,
	struct supafs_attr *ret, struct supafs_fault *fault);
/* Puts in what a listing does not tell and this mount wants (facts.h, folder_attr.h): may ask,
 * unless `call` is NULL. */
void vfs_complete(struct supafs_vfs *v, struct supafs_call *call, const struct vfs_key *key,
	struct supafs_attr *attr);
void vfs_complete_in(struct supafs_vfs *v, struct supafs_call *call, struct vfs_node *parent,
	struct supafs_dirent *ent);
/* The content of a file with a reference, brought up to date if nothing local is in the way. */
int vfs_content_now(struct supafs_vfs *v, struct supafs_call *call, struct vfs_node *node,
	bool etag, struct supafs_fault *fault);
/* A name in a folder, by the view: waits for renames of the folder and settles a gathered delete
 * of the name. */
int vfs_look(struct supafs_vfs *v, struct supafs_call *call, struct vfs_node *parent,
	struct supafs_str name, struct supafs_dirent *ret, struct supafs_fault *fault);
/* Attributes of a node as shown: its own content's where that says more than `attr` (NULL: none
 * is known). */
void vfs_info(struct supafs_vfs *v, struct vfs_node *node, const struct supafs_attr *attr,
	struct supafs_node_info *ret);
/* `attr`, about to be told to the kernel, is what the server has under an open file: if it is
 * another version, its handles become stale and the kernel's pages void before the new size is
 * told. */
void vfs_notice(struct supafs_vfs *v, struct supafs_call *call, struct vfs_node *node,
	const struct supafs_attr *attr);
/* Has the server told nothing: it is away, or does not let us see? (Not: there is no such name, the
 * caller was interrupted, no memory.) */
static inline bool vfs_unanswered(int r)
{
	return r < 0 && r != -ENOENT && r != -EINTR && r != -ENOMEM && r != -ESTALE;
}
/* The same as vfs_info() for a name without a node. */
void vfs_info_bare(
	struct supafs_vfs *v, const struct supafs_attr *attr, struct supafs_node_info *ret);
/* A handle on a file, and what of the kernel's pages may stay. */
int vfs_open_node(struct supafs_vfs *v, struct supafs_call *call, struct vfs_node *node, int flags,
	struct supafs_open_result *ret, struct supafs_fault *fault);
struct vfs_reading {
	uint64_t off, n;
	void *buf; /* at least n bytes */
	struct supafs_view
		*view; /* zero; filled instead of buf where that can be. NULL: only buf */
};
/* Reads through a handle / writes / changes the size. */
ssize_t vfs_handle_read(struct supafs_vfs *v, struct supafs_call *call, struct vfs_handle *h,
	const struct vfs_reading *rd, struct supafs_fault *fault);
int vfs_handle_write(struct supafs_vfs *v, struct supafs_call *call, struct vfs_handle *h,
	const struct supafs_span *at, const void *buf);
int vfs_resize(struct supafs_vfs *v, struct vfs_node *node, struct supafs_call *call,
	unsigned epoch, uint64_t size);
/* -EFBIG beyond the bucket's limit. */
int vfs_check_size(const struct supafs_vfs *v, uint64_t size);
/* -EPERM when the bucket does not take this type. */
int vfs_check_type(const struct supafs_vfs *v, struct supafs_str name);
