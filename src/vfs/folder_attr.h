/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mode, owner and times of folders. The server has no folders, so they stand in the directives of
 * the folder's placeholder object, which is in the folder's own listing and hidden from users:
 *
 *	learnt    when the folder is listed (the catalog calls), or by one info with -o meta=info
 *	changed   by chmod, chown, utimens on it, and by what is done in it (in memory)
 *	stored    with mkdir, and by one put of the placeholder some time after the last change
 *
 * What is not known shows the mount's defaults. What cannot be stored is no error for anybody.
 * The mount's own root is kept in memory only: it may be the bucket itself.
 *
 * Bounded: what is stored is forgotten, least recently used first. Threads: any; the lock inside is
 * a leaf, and never held over a request.
 */
#pragma once

#include <sys/stat.h>

#include "node.h"

struct vfs_folders;

int vfs_folders_new(struct supafs_vfs *v, struct vfs_folders **ret_f);
struct vfs_folders *vfs_folders_free(struct supafs_vfs *v, struct vfs_folders *f);

/* Puts what is known of the folder with this prefix into its attributes. */
void vfs_folder_show(struct supafs_vfs *v, const struct vfs_key *dir, struct stat *st);
/* chmod, chown, utimens. 0 or -ENOMEM. The caller has a reference to the node. */
int vfs_folder_set(struct supafs_vfs *v, struct vfs_node *node, const struct supafs_setattr *set);
/* An entry of it was made, removed or renamed: its times change, in memory. */
void vfs_folder_changed(struct supafs_vfs *v, const struct vfs_key *dir);
void vfs_folder_touched(struct supafs_vfs *v, const struct vfs_node *node);
/* Is made here now, with a placeholder that carries `meta`. */
void vfs_folder_born(
	struct supafs_vfs *v, const struct vfs_key *dir, const struct supafs_meta *meta);
/* It is gone; it was empty. */
void vfs_folder_gone(struct supafs_vfs *v, const struct vfs_key *dir);
/* It, with all below, has another prefix. */
void vfs_folder_moved(struct supafs_vfs *v, const struct vfs_key *from, const struct vfs_key *to);
/* What a placeholder that is put for another reason must carry. */
void vfs_folder_meta(struct supafs_vfs *v, const struct vfs_key *dir, struct supafs_meta *ret_meta);

/* Is what is shown what it has? */
bool vfs_folder_known(struct supafs_vfs *v, const struct vfs_key *dir);
/* Is nothing known of it, and -o meta=info wants it? Then ask. */
bool vfs_folder_wanted(struct supafs_vfs *v, const struct vfs_key *dir);
void vfs_folder_ask(struct supafs_vfs *v, struct supafs_call *call, const struct vfs_key *dir);

/* Stores what was changed (later.h). 0, also when there is nothing, or -errno: then it is
 * forgotten. */
int vfs_folder_send(struct supafs_vfs *v, struct supafs_call *call, struct vfs_node *node,
	struct supafs_fault *fault);
