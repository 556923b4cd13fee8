/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nodes. Invariants, under the namespace lock:
 *
 *	node is in by_id		until it is freed
 *	linked				⇔ in by_name ⇔ in parent's children (but the root)
 *	refs ≥ number of nodes whose parent it is
 *	freed when			refs = 0, lookups = 0, no content
 */
#include "node.h"

#include <assert.h>
#include <stdlib.h>

#include "supafs/util/cleanup.h"

#include "content.h"

struct name_key {
	uint64_t parent;
	struct supafs_str name;
};

static bool id_equal(const void *entry, const void *key)
{
	return ((const struct vfs_node *)entry)->id == *(const uint64_t *)key;
}

static bool name_equal(const void *entry, const void *key)
{
	const struct vfs_node *node = entry;
	const struct name_key *k = key;

	return node->parent->id == k->parent &&
	       supafs_str_eq((struct supafs_str){node->name, node->name_n}, k->name);
}

static uint64_t name_hash(const struct name_key *k)
{
	return supafs_hash_str(k->name) ^ supafs_hash_u64(k->parent);
}

static struct name_key key_of(const struct vfs_node *node)
{
	return (struct name_key){node->parent->id, {node->name, node->name_n}};
}

static char *pack_names(struct supafs_str name, struct supafs_str seg)
{
	char *p = malloc(name.n + seg.n + 2);

	if (!p)
		return NULL;
	if (name.n)
		memcpy(p, name.p, name.n);
	p[name.n] = '\0';
	if (seg.n)
		memcpy(p + name.n + 1, seg.p, seg.n);
	p[name.n + 1 + seg.n] = '\0';
	return p;
}

static void set_names(struct vfs_node *node, char *block, size_t name_n, size_t seg_n)
{
	free(node->name);
	node->name = block;
	node->seg = block + name_n + 1;
	node->name_n = name_n;
	node->seg_n = seg_n;
}

static struct vfs_node *new_node(struct supafs_str name, struct supafs_str seg, bool folder)
{
	struct vfs_node *node = calloc(1, sizeof(*node));
	char *block = pack_names(name, seg);

	if (!node || !block) {
		free(node);
		free(block);
		return NULL;
	}
	node->folder = folder;
	supafs_list_init(&node->sibling);
	supafs_list_init(&node->children);
	set_names(node, block, name.n, seg.n);
	return node;
}

int vfs_nodes_init(struct supafs_vfs *v)
{
	int r = supafs_map_new(id_equal, &v->by_id);

	if (r == 0)
		r = supafs_map_new(name_equal, &v->by_name);
	if (r != 0)
		return r;
	v->root = new_node(SUPAFS_STR(""), SUPAFS_STR(""), true);
	if (!v->root)
		return -ENOMEM;
	v->root->id = SUPAFS_ROOT_ID;
	v->root->linked = true;
	v->root->refs = 1;
	v->root->ino = supafs_catalog_ino(v->cfg.catalog);
	v->next_id = SUPAFS_ROOT_ID + 1;
	return supafs_map_add(v->by_id, supafs_hash_u64(v->root->id), &v->root->id, v->root);
}

static void free_node(struct vfs_node *node)
{
	free(node->name);
	free(node->touch);
	free(node);
}

void vfs_nodes_fini(struct supafs_vfs *v)
{
	struct vfs_node *node;
	size_t pos = 0;

	while (v->by_id && (node = supafs_map_next(v->by_id, &pos)) != NULL) {
		(void)supafs_map_remove(v->by_id, supafs_hash_u64(node->id), &node->id);
		vfs_content_destroy(node->content);
		free_node(node);
	}
	v->root = NULL;
	v->by_id = supafs_map_free(v->by_id);
	v->by_name = supafs_map_free(v->by_name);
}

int vfs_node_get(struct supafs_vfs *v, uint64_t id, struct vfs_node **ret_node)
{
	SUPAFS_SCOPED_LOCK(&v->ns);
	struct vfs_node *node = supafs_map_get(v->by_id, supafs_hash_u64(id), &id);

	if (!node)
		return -ESTALE;
	node->refs++;
	*ret_node = node;
	return 0;
}

int vfs_node_get_folder(struct supafs_vfs *v, uint64_t id, struct vfs_node **ret_node)
{
	SUPAFS_SCOPED_LOCK(&v->ns);
	struct vfs_node *node = supafs_map_get(v->by_id, supafs_hash_u64(id), &id);

	if (!node)
		return -ESTALE;
	if (!node->folder)
		return -ENOTDIR;
	for (const struct vfs_node *n = node; n; n = n->parent)
		if (!n->linked)
			return -ENOENT;
	node->refs++;
	*ret_node = node;
	return 0;
}

void vfs_node_ref_locked(struct vfs_node *node)
{
	node->refs++;
}

/* Frees what nobody knows any more, and its parents with it. */
static void drop_locked(struct supafs_vfs *v, struct vfs_node *node) SUPAFS_REQUIRES(v->ns);
static void drop_locked(struct supafs_vfs *v, struct vfs_node *node)
{
	while (node && node->refs == 0 && node->lookups == 0 && !node->content) {
		struct vfs_node *parent = node->parent;

		assert(supafs_list_empty(&node->children));
		vfs_node_detach_locked(v, node);
		(void)supafs_map_remove(v->by_id, supafs_hash_u64(node->id), &node->id);
		free_node(node);
		if (parent) {
			assert(parent->refs > 0);
			parent->refs--;
		}
		node = parent;
	}
}

void vfs_node_put_locked(struct supafs_vfs *v, struct vfs_node *node)
{
	assert(node->refs > 0);
	node->refs--;
	drop_locked(v, node);
}

void vfs_node_put(struct supafs_vfs *v, struct vfs_node *node)
{
	if (!node)
		return;
	SUPAFS_SCOPED_LOCK(&v->ns);
	vfs_node_put_locked(v, node);
}

void vfs_node_forget(struct supafs_vfs *v, uint64_t id, uint64_t n)
{
	SUPAFS_SCOPED_LOCK(&v->ns);
	struct vfs_node *node = supafs_map_get(v->by_id, supafs_hash_u64(id), &id);

	if (!node)
		return;
	node->lookups -= n < node->lookups ? n : node->lookups;
	drop_locked(v, node);
}

struct vfs_node *vfs_node_find_locked(
	struct supafs_vfs *v, const struct vfs_node *parent, struct supafs_str name)
{
	const struct name_key k = {parent->id, name};

	return supafs_map_get(v->by_name, name_hash(&k), &k);
}

void vfs_node_detach_locked(struct supafs_vfs *v, struct vfs_node *node)
{
	if (!node->linked || !node->parent)
		return;

	const struct name_key k = key_of(node);

	(void)supafs_map_remove(v->by_name, name_hash(&k), &k);
	supafs_list_remove(&node->sibling);
	node->linked = false;
	if (node->content)
		vfs_content_unlinked(node->content);
}

static int attach_locked(struct supafs_vfs *v, struct vfs_node *node) SUPAFS_REQUIRES(v->ns);
static int attach_locked(struct supafs_vfs *v, struct vfs_node *node)
{
	const struct name_key k = key_of(node);
	int r = supafs_map_add(v->by_name, name_hash(&k), &k, node);

	if (r != 0)
		return r;
	supafs_list_add_tail(&node->parent->children, &node->sibling);
	node->linked = true;
	return 0;
}

static int make_locked(struct supafs_vfs *v, struct vfs_node *parent,
	const struct supafs_dirent *ent, struct vfs_node **ret_node) SUPAFS_REQUIRES(v->ns);
static int make_locked(struct supafs_vfs *v, struct vfs_node *parent,
	const struct supafs_dirent *ent, struct vfs_node **ret_node)
{
	struct vfs_node *node = new_node((struct supafs_str){ent->name, ent->name_n},
		(struct supafs_str){ent->seg, ent->seg_n}, ent->attr.folder);
	int r;

	if (!node)
		return -ENOMEM;
	node->id = v->next_id++;
	node->parent = parent;
	r = supafs_map_add(v->by_id, supafs_hash_u64(node->id), &node->id, node);
	if (r != 0) {
		free_node(node);
		return r;
	}
	r = attach_locked(v, node);
	if (r != 0) {
		(void)supafs_map_remove(v->by_id, supafs_hash_u64(node->id), &node->id);
		free_node(node);
		return r;
	}
	parent->refs++;
	*ret_node = node;
	return 0;
}

/* Of the same kind and the same key? A shown name may come to stand for another key
 * (docs/names.md: a file beside a folder). */
static bool is_thing(const struct vfs_node *node, const struct supafs_dirent *ent)
{
	return node->folder == ent->attr.folder &&
	       supafs_str_eq((struct supafs_str){node->seg, node->seg_n},
		       (struct supafs_str){ent->seg, ent->seg_n});
}

int vfs_node_obtain(struct supafs_vfs *v, struct vfs_node *parent, const struct supafs_dirent *ent,
	uint64_t lookups, struct vfs_node **ret_node)
{
	const struct supafs_str name = {ent->name, ent->name_n};
	struct vfs_node *node;

	SUPAFS_SCOPED_LOCK(&v->ns);
	if (!parent->linked)
		return -ENOENT;
	node = vfs_node_find_locked(v, parent, name);
	if (node && !is_thing(node, ent)) {
		vfs_node_detach_locked(v, node);
		node = NULL;
	}
	if (!node) {
		int r = make_locked(v, parent, ent, &node);

		if (r != 0)
			return r;
	}
	node->refs++;
	node->lookups += lookups;
	if (ent->attr.ino)
		node->ino = ent->attr.ino;
	node->symlink = (ent->attr.meta.has & SUPAFS_META_MODE) && S_ISLNK(ent->attr.meta.mode);
	*ret_node = node;
	return 0;
}

int vfs_node_make_locked(struct supafs_vfs *v, struct vfs_node *parent,
	const struct supafs_dirent *ent, struct vfs_node **ret_node)
{
	struct vfs_node *node;
	int r;

	if (!parent->linked)
		return -ENOENT;
	node = vfs_node_find_locked(v, parent, (struct supafs_str){ent->name, ent->name_n});
	if (node && node->content && vfs_content_is_local(node->content))
		return -EEXIST;
	if (node) /* the kernel still knows what the server has no more */
		vfs_node_detach_locked(v, node);
	r = make_locked(v, parent, ent, &node);
	if (r != 0)
		return r;
	node->refs++;
	node->lookups++;
	node->ino = ent->attr.ino;
	*ret_node = node;
	return 0;
}

int vfs_node_move_locked(struct supafs_vfs *v, struct vfs_node *node, struct vfs_node *parent,
	const struct vfs_place *place)
{
	char *block = pack_names((struct supafs_str){place->name, place->name_n},
		(struct supafs_str){place->seg, place->seg_n});
	const struct name_key old = key_of(node);
	struct vfs_node *old_parent = node->parent, *there;

	if (!block || !node->linked) {
		free(block);
		return block ? -ENOENT : -ENOMEM;
	}
	/* Whoever has the name now, the target or a file that was made meanwhile, is replaced. */
	there = vfs_node_find_locked(v, parent, (struct supafs_str){place->name, place->name_n});
	if (there && there != node)
		vfs_node_detach_locked(v, there);
	(void)supafs_map_remove(v->by_name, name_hash(&old), &old);
	supafs_list_remove(&node->sibling);
	node->linked = false;
	node->parent = parent;
	parent->refs++;
	set_names(node, block, place->name_n, place->seg_n);
	vfs_node_put_locked(v, old_parent);
	return attach_locked(v, node);
}

int vfs_node_dir_locked(struct supafs_vfs *v, const struct vfs_node *node, struct vfs_key *ret)
{
	size_t n = v->cfg.root.n, at;

	for (const struct vfs_node *it = node; it->parent; it = it->parent) {
		if (!it->linked)
			return -ENOENT;
		n += it->seg_n + 1;
	}
	if (n > SUPAFS_KEY_MAX)
		return -ENAMETOOLONG;
	ret->root_n = v->cfg.root.n;
	ret->n = n;
	if (v->cfg.root.n)
		memcpy(ret->p, v->cfg.root.p, v->cfg.root.n);
	ret->p[n] = '\0';
	at = n;
	for (const struct vfs_node *it = node; it->parent; it = it->parent) {
		ret->p[--at] = '/';
		at -= it->seg_n;
		if (it->seg_n)
			memcpy(ret->p + at, it->seg, it->seg_n);
	}
	return 0;
}

int vfs_node_dir(struct supafs_vfs *v, const struct vfs_node *node, struct vfs_key *ret)
{
	SUPAFS_SCOPED_LOCK(&v->ns);
	return vfs_node_dir_locked(v, node, ret);
}

int vfs_node_place_locked(struct supafs_vfs *v, const struct vfs_node *node, struct vfs_place *ret)
{
	struct vfs_key dir;
	int r;

	if (!node->parent || !node->linked)
		return -ENOENT;
	r = vfs_node_dir_locked(v, node->parent, &dir);
	if (r != 0)
		return r;
	return vfs_place_set(ret, &dir, (struct supafs_str){node->name, node->name_n},
		(struct supafs_str){node->seg, node->seg_n}, node->folder);
}

int vfs_node_place(struct supafs_vfs *v, const struct vfs_node *node, struct vfs_place *ret)
{
	SUPAFS_SCOPED_LOCK(&v->ns);
	return vfs_node_place_locked(v, node, ret);
}

bool vfs_node_is_below(const struct vfs_node *node, const struct vfs_node *top)
{
	for (; node; node = node->parent) {
		if (node == top)
			return true;
		if (!node->linked)
			return false;
	}
	return false;
}

int vfs_node_below(struct supafs_vfs *v, struct vfs_node *top, struct vfs_node_list *ret)
{
	struct vfs_node *node;
	size_t pos = 0, n = 0;

	SUPAFS_SCOPED_LOCK(&v->ns);
	while ((node = supafs_map_next(v->by_id, &pos)) != NULL)
		n += node->content != NULL;
	ret->n = 0;
	ret->p = calloc(n ? n : 1, sizeof(struct vfs_node *));
	if (!ret->p)
		return -ENOMEM;
	pos = 0;
	while ((node = supafs_map_next(v->by_id, &pos)) != NULL) {
		if (!node->content || (top && !vfs_node_is_below(node, top)))
			continue;
		node->refs++;
		ret->p[ret->n++] = node;
	}
	return 0;
}

void vfs_node_list_fini(struct supafs_vfs *v, struct vfs_node_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		vfs_node_put(v, list->p[i]);
	free(list->p);
	*list = (struct vfs_node_list){NULL, 0};
}

bool vfs_node_has_local(struct supafs_vfs *v, struct vfs_node *folder)
{
	SUPAFS_SCOPED_LOCK(&v->ns);
	supafs_list_for_each (it, &folder->children) {
		const struct vfs_node *child = supafs_list_entry(it, struct vfs_node, sibling);

		if (child->content && vfs_content_is_local(child->content))
			return true;
	}
	return false;
}

static bool is_way_locked(struct supafs_vfs *v, const struct vfs_node *node) SUPAFS_REQUIRES(v->ns);
static bool is_way_locked(struct supafs_vfs *v, const struct vfs_node *node)
{
	const struct vfs_node *it;
	size_t pos = 0;

	while ((it = supafs_map_next(v->by_id, &pos)) != NULL) {
		if (it->content && it->linked && vfs_node_is_below(it, node) &&
			vfs_content_is_local(it->content))
			return true;
	}
	return false;
}

struct vfs_node *vfs_node_way(
	struct supafs_vfs *v, const struct vfs_node *parent, struct supafs_str name)
{
	SUPAFS_SCOPED_LOCK(&v->ns);
	struct vfs_node *node = vfs_node_find_locked(v, parent, name);

	if (!node || !is_way_locked(v, node))
		return NULL;
	node->refs++;
	node->lookups++;
	return node;
}

bool vfs_node_is_way(struct supafs_vfs *v, const struct vfs_node *node)
{
	SUPAFS_SCOPED_LOCK(&v->ns);
	return is_way_locked(v, node);
}
