/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nodes: what the kernel knows by number.
 *
 * Three names of one thing, and what each is for:
 *	id	never used again; the kernel's, and ours across threads. by_id.
 *	(parent, name)	where it is now, or nowhere once unlinked. by_name.
 *	key	what the store calls it: the parents' stored segments, joined under the
 *		namespace lock when a request needs it. A renamed folder rekeys nothing.
 *
 * A node lives while the kernel counts look-ups of it, somebody here holds a reference
 * (operations, handles, its children, its content's users), or it has content of its own.
 * It is small: a readdirplus of 100 000 names makes as many. What only an open
 * or changed file needs is in its content (content.h), which comes and goes.
 *
 * All fields but the constant ones are under the namespace lock (vfs->ns).
 */
#pragma once

#include "supafs/util/list.h"

#include "vfs_priv.h"

struct vfs_content;
struct vfs_touch;

/* What the kernel's pages of a file are from. */
enum vfs_pages {
	VFS_PAGES_NONE,
	VFS_PAGES_VERSION, /* hash of ETag and size */
	VFS_PAGES_SENT,    /* hash of size and mtime of what was sent from here */
};

struct vfs_node {
	uint64_t id;  /* constant */
	bool folder;  /* constant */
	bool linked;  /* has a name: is in by_name and in its parent's list */
	bool symlink; /* a file whose content is a target */
	unsigned char pages;
	unsigned refs;
	uint64_t lookups;
	uint64_t ino;
	uint64_t pages_hash;
	uint32_t sends;          /* rises when the server's object is changed from here */
	uint32_t changes;        /* the same, of its bytes only */
	bool proven;             /* a folder: something in it was stored from here (later.h) */
	struct vfs_node *parent; /* NULL: the root; kept (and referenced) after unlink */
	struct supafs_list sibling;
	struct supafs_list children; /* linked ones */
	struct vfs_content *content; /* NULL: clean, not open */
	struct vfs_touch *touch;     /* NULL: its times are those of the view (touch.h) */
	char *name;                  /* shown, NUL, stored segment, NUL: one block */
	char *seg;
	size_t name_n, seg_n;
};

int vfs_nodes_init(struct supafs_vfs *v);
void vfs_nodes_fini(struct supafs_vfs *v);

/* A reference to the node `id`; -ESTALE. Ends with put. */
int vfs_node_get(struct supafs_vfs *v, uint64_t id, struct vfs_node **ret_node);
/* The same, of a folder that still has its place; -ENOTDIR, -ENOENT. */
int vfs_node_get_folder(struct supafs_vfs *v, uint64_t id, struct vfs_node **ret_node);
void vfs_node_ref_locked(struct vfs_node *node);
void vfs_node_put(struct supafs_vfs *v, struct vfs_node *node);
void vfs_node_put_locked(struct supafs_vfs *v, struct vfs_node *node) SUPAFS_REQUIRES(v->ns);
void vfs_node_forget(struct supafs_vfs *v, uint64_t id, uint64_t n);

struct vfs_node *vfs_node_find_locked(struct supafs_vfs *v, const struct vfs_node *parent,
	struct supafs_str name) SUPAFS_REQUIRES(v->ns);
/* The node of an entry of the view, made if there is none; a reference, and `lookups` more for the
 * kernel. One of the other kind under that name loses its place. */
int vfs_node_obtain(struct supafs_vfs *v, struct vfs_node *parent, const struct supafs_dirent *ent,
	uint64_t lookups, struct vfs_node **ret_node);

/* The node of a file that is made here, with a reference and a look-up. -EEXIST when another has
 * been made under the name meanwhile. */
int vfs_node_make_locked(struct supafs_vfs *v, struct vfs_node *parent,
	const struct supafs_dirent *ent, struct vfs_node **ret_node) SUPAFS_REQUIRES(v->ns);

/* Takes the name away (unlink, or replaced by a rename). */
void vfs_node_detach_locked(struct supafs_vfs *v, struct vfs_node *node) SUPAFS_REQUIRES(v->ns);
/* Gives a linked node another place; whoever is there loses it. 0, -ENOMEM, or
 * -ENOENT when it has no place any more. */
int vfs_node_move_locked(struct supafs_vfs *v, struct vfs_node *node, struct vfs_node *parent,
	const struct vfs_place *place) SUPAFS_REQUIRES(v->ns);

/* A folder's prefix; its place by name. -ENAMETOOLONG; -ENOENT when it (or a parent) has none. */
int vfs_node_dir_locked(struct supafs_vfs *v, const struct vfs_node *node, struct vfs_key *ret)
	SUPAFS_REQUIRES(v->ns);
int vfs_node_dir(struct supafs_vfs *v, const struct vfs_node *node, struct vfs_key *ret);
int vfs_node_place_locked(struct supafs_vfs *v, const struct vfs_node *node, struct vfs_place *ret)
	SUPAFS_REQUIRES(v->ns);
int vfs_node_place(struct supafs_vfs *v, const struct vfs_node *node, struct vfs_place *ret);

/* Nodes at or below `top` (NULL: all, also such as have lost their place) with content of their
 * own, each with a reference. */
struct vfs_node_list {
	struct vfs_node **p;
	size_t n;
};
int vfs_node_below(struct supafs_vfs *v, struct vfs_node *top, struct vfs_node_list *ret);
void vfs_node_list_fini(struct supafs_vfs *v, struct vfs_node_list *list);
/* Is it `top`, or has it its place under it? */
bool vfs_node_is_below(const struct vfs_node *node, const struct vfs_node *top);
/* The child `name`, if it is a file whose content the server has not, or a folder on the way to
 * one: a reference, and a look-up for the kernel. Else NULL. */
struct vfs_node *vfs_node_way(
	struct supafs_vfs *v, const struct vfs_node *parent, struct supafs_str name);
/* Is the node such a file or folder? */
bool vfs_node_is_way(struct supafs_vfs *v, const struct vfs_node *node);
/* Does a folder have a child with content that the server has not? */
bool vfs_node_has_local(struct supafs_vfs *v, struct vfs_node *folder);
