/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What row-level security lets this role do is not told by the server but learnt: when it refuses
 * to make something in a folder, the folder is shown without its w bits for a while; when it
 * refuses to change a file, so are the files of the folder. A write that succeeds there ends that,
 * and so does time, since policies change.
 *
 * It is a hint for people and for the kernel's check of modes, of few folders at a time; what is
 * allowed is always the server's answer. A role that may add but not delete keeps its w bits:
 * without them it could not add either.
 */
#pragma once

#include "node.h"

enum vfs_learnt {
	VFS_LEARN_MAKE = 1 << 0,   /* a name in the folder */
	VFS_LEARN_CHANGE = 1 << 1, /* the bytes of a file in it */
};

int vfs_learn_new(struct supafs_vfs *v, struct vfs_learn **ret);
struct vfs_learn *vfs_learn_free(struct vfs_learn *l);

/* A request for `what` in the folder `id` ended with `r` and `fault`. No lock held. */
void vfs_learn_result(struct supafs_vfs *v, uint64_t id, enum vfs_learnt what, int r,
	const struct supafs_fault *fault);
/* An upload of the file. */
void vfs_learn_sent(
	struct supafs_vfs *v, struct vfs_node *node, int r, const struct supafs_fault *fault);
/* Takes out of what is to be shown of a node what was refused. */
void vfs_learn_show(struct supafs_vfs *v, struct vfs_node *node, struct supafs_node_info *info);
