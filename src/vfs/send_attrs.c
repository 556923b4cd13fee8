/* SPDX-License-Identifier: Apache-2.0 */
/* Attributes alone: a copy of the object onto itself. States and transitions: content.c. */
#include "content.h"

/* Copies the object onto itself with new attributes, type and Cache-Control as they are. */
static int copy_attrs(struct supafs_vfs *v, struct supafs_call *call, const struct vfs_key *key,
	const struct supafs_meta *meta, struct supafs_entry *ret, struct supafs_fault *fault)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf plain;
	struct supafs_store *store = v->cfg.store;
	struct supafs_info info;
	struct supafs_meta old;
	int r;

	supafs_buf_init(&plain, SUPAFS_CC_MAX);
	r = store->ops->info(store, call, vfs_key_full(key), &info, fault);
	if (r != 0)
		return r;
	supafs_meta_parse_directives(supafs_str_of(info.cache_control), &old, &plain);

	const struct supafs_put_args attrs = {
		.key = vfs_key_full(key),
		.mime = supafs_str_of(info.mime),
		.cache_control = supafs_buf_str(&plain),
		.meta = *meta,
	};
	const struct supafs_copy_args args = {
		.from = attrs.key, .to = attrs.key, .replace = true, .attrs = &attrs};

	return store->ops->copy(store, call, &args, ret, fault);
}

static bool begin_attrs(
	struct vfs_content *c, struct supafs_meta *ret_meta, enum vfs_state *ret_was)
{
	SUPAFS_SCOPED_LOCK(&c->lock);
	if (!c->attrs_wait || c->unlinked || vfs_state_unsent(c->state))
		return false;
	*ret_meta = c->meta;
	*ret_was = c->state;
	c->background = false;
	vfs_content_set_state_locked(
		c, VFS_UPLOADING); /* a write waits: its base is about to move */
	return true;
}

static void finish_attrs(struct supafs_vfs *v, struct vfs_node *node, enum vfs_state was, int r,
	const struct supafs_entry *entry)
{
	struct vfs_content *c = node->content;

	SUPAFS_SCOPED_LOCK(&v->ns);
	SUPAFS_SCOPED_LOCK(&c->lock);
	c->attrs_wait = false;
	if (r == 0) {
		const struct supafs_attr attr = {.ino = node->ino,
			.version = entry->version,
			.modified_ns = entry->modified_ns,
			.meta = c->meta};

		node->sends++;
		c->version = entry->version;
		c->sent_here = false;
		c->moves++;
		if (!c->unlinked)
			vfs_content_tell_view_locked(v, node, c, &attr);
	}
	vfs_content_set_state_locked(c, was);
}

int vfs_content_send_attrs(struct supafs_vfs *v, struct vfs_node *node, struct supafs_call *call,
	struct supafs_fault *fault)
{
	struct vfs_content *c = node->content;
	struct supafs_entry entry = {0};
	struct supafs_meta meta;
	struct vfs_place place;
	enum vfs_state was;
	int r;

	if (!begin_attrs(c, &meta, &was))
		return 0;
	r = vfs_node_place(v, node, &place);
	if (r == 0)
		r = copy_attrs(v, call, &place.key, &meta, &entry, fault);
	finish_attrs(v, node, was, r, &entry);
	if (r != 0 && vfs_node_place(v, node, &place) == 0)
		vfs_view_forget(v, &place); /* shown again as the server has it */
	return r;
}
