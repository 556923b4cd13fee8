/* SPDX-License-Identifier: Apache-2.0 */
/* What xattr.c and xattr_own.c share. */
#pragma once

#include "attrs.h"

#define VFS_XATTR_OWN  "user.supafs."
#define VFS_XATTR_SAME 1 /* of an edit: nothing to do */

struct vfs_xattr_buf {
	void *p;
	size_t size; /* 0: only the length is asked for */
};

struct vfs_xattr_set {
	struct supafs_str name, value;
	int flags; /* setxattr(2)'s */
	bool remove;
};

/* The value as getxattr(2) gives it: its length, or -ERANGE. */
ssize_t vfs_xattr_reply(struct supafs_str value, void *buf, size_t size);
/* Changes a file's content when what the server has is known. 0 or -errno. */
int vfs_xattr_change(struct supafs_vfs *v, struct supafs_call *call, struct vfs_node *node,
	const struct vfs_edit *edit, struct supafs_fault *fault);

/* user.supafs.NAME */
ssize_t vfs_xattr_get_own(struct supafs_vfs *v, struct supafs_call *call, struct vfs_node *node,
	struct supafs_str name, struct vfs_xattr_buf out, struct supafs_fault *fault);
int vfs_xattr_set_own(struct supafs_vfs *v, struct supafs_call *call, struct vfs_node *node,
	const struct vfs_xattr_set *set, struct supafs_fault *fault);
