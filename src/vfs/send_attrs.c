/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attributes alone: a copy of the object onto itself. Such a copy replaces everything that is
 * kept beside the bytes (API §8.3), so what the server has is learnt first, and goes along.
 * States and transitions: content.c.
 */
#include <stdlib.h>

#include "supafs/util/cleanup.h"

#include "attrs.h"
#include "facts.h"
#include "later.h"
#include "mime.h"

#define NO_CACHE "no-cache" /* what an upload says that says nothing */

/* --- What the server has -------------------------------------------------------------------------
 */

bool vfs_told_by_listing(const struct supafs_meta *meta)
{
	return (meta->has & SUPAFS_META_ALL) && !(meta->has & SUPAFS_META_HINTS);
}

void vfs_plain_cache_control(const char *stored, struct supafs_buf *ret)
{
	struct supafs_meta meta;
	struct supafs_str plain;
	const struct supafs_str age = SUPAFS_STR("max-age=");

	supafs_meta_parse_directives(supafs_str_of(stored), &meta, ret);
	plain = supafs_buf_str(ret);
	/* The digits of a resumable upload: our mark, then what was asked for. */
	if ((meta.has & SUPAFS_META_ASK) && supafs_str_starts(plain, age)) {
		const char *p = ret->p + age.n + 2;
		char text[SUPAFS_CC_MAX + 1] = "";

		if (*p)
			(void)snprintf(text, sizeof(text), "max-age=%s", p);
		supafs_buf_reset(ret);
		(void)supafs_buf_adds(ret, text);
	} else if (supafs_str_eq(plain, SUPAFS_STR(NO_CACHE))) {
		supafs_buf_reset(ret);
	}
}

static struct supafs_str usual_cache_control(const struct supafs_vfs *v)
{
	const struct supafs_str usual = supafs_str_of(v->cache_control);

	return supafs_str_eq(usual, SUPAFS_STR(NO_CACHE)) ? SUPAFS_STR("") : usual;
}

void vfs_content_hint_locked(struct vfs_content *c)
{
	if (c->user.n > 0 || c->mime || c->cache_control)
		c->meta.has |= SUPAFS_META_MORE;
	else
		c->meta.has &= ~(unsigned)SUPAFS_META_MORE;
}

/* Only what differs from what an upload would have anyway is kept. */
static int take_locked(struct supafs_vfs *v, struct vfs_content *c, const struct vfs_place *place,
	const struct supafs_info *info)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf plain;
	const struct supafs_str mime = supafs_str_of(info->mime);
	const struct supafs_str usual =
		vfs_mime_of(v->mimes, (struct supafs_str){place->name, place->name_n});

	vfs_content_forget_user_locked(c);
	supafs_buf_init(&plain, SUPAFS_CC_MAX);
	vfs_plain_cache_control(info->cache_control, &plain);
	if (supafs_buf_add(&c->user, info->user, info->user_n) != 0)
		return -ENOMEM;
	if (mime.n > 0 && !supafs_str_eq(mime, usual))
		c->mime = supafs_str_dup(mime);
	if (!supafs_str_eq(supafs_buf_str(&plain), usual_cache_control(v)))
		c->cache_control =
			supafs_str_dup(plain.n ? supafs_buf_str(&plain) : SUPAFS_STR(NO_CACHE));
	c->user_known = true;
	vfs_content_hint_locked(c);
	return 0;
}

static bool needs_learning(
	struct vfs_content *c, enum vfs_ask how, struct supafs_version *ret_version, bool *ret_ask)
{
	SUPAFS_SCOPED_LOCK(&c->lock);
	if (!c->user_known && !c->remote && !c->maybe_remote)
		c->user_known = true;
	*ret_version = c->version;
	*ret_ask = how == VFS_ASK_ALL || (c->meta.has & SUPAFS_META_HINTS);
	return !c->user_known && !c->unlinked;
}

int vfs_content_learn(struct supafs_vfs *v, struct supafs_call *call, struct vfs_node *node,
	enum vfs_ask how, struct supafs_fault *fault)
{
	struct supafs_info info;
	struct vfs_content *c = node->content;
	struct supafs_version version;
	struct vfs_place place;
	bool ask;
	int r;

	if (!needs_learning(c, how, &version, &ask))
		return 0;
	r = vfs_node_place(v, node, &place);
	if (r != 0)
		return r == -ENOENT ? 0 : r;
	if (ask)
		r = vfs_facts_get(v, call, &place.key, &version, &info, fault);
	else if (!vfs_facts_find(v, &place.key, &version, &info))
		return 0;
	if (r != 0)
		return r;
	if (info.user_cut && how == VFS_ASK_ALL)
		return -EOPNOTSUPP;
	SUPAFS_SCOPED_LOCK(&c->lock);
	return c->user_known ? 0 : take_locked(v, c, &place, &info);
}

/* --- Sending -------------------------------------------------------------------------------------
 */

/* The content is UPLOADING: what is beside its bytes stays as it is. */
static int copy_attrs(struct supafs_vfs *v, struct supafs_call *call, struct vfs_content *c,
	const struct vfs_place *place, struct supafs_entry *ret, struct supafs_fault *fault)
{
	const struct supafs_str name = {place->name, place->name_n};
	const struct supafs_put_args attrs = {
		.key = vfs_key_full(&place->key),
		.mime = c->mime ? supafs_str_of(c->mime) : vfs_mime_of(v->mimes, name),
		.cache_control =
			supafs_str_of(c->cache_control ? c->cache_control : v->cache_control),
		.meta = c->meta,
		.user = supafs_buf_str(&c->user),
	};
	const struct supafs_copy_args args = {
		.from = attrs.key, .to = attrs.key, .replace = true, .attrs = &attrs};

	return v->cfg.store->ops->copy(v->cfg.store, call, &args, ret, fault);
}

static bool waits(struct vfs_content *c)
{
	SUPAFS_SCOPED_LOCK(&c->lock);
	return c->attrs_wait && !c->unlinked && !vfs_state_unsent(c->state);
}

/* 1: the state is UPLOADING now, so a write waits: its base is about to move. 0: nothing to do.
 * -EAGAIN: what the server has is not known any more. */
static int begin_attrs(struct vfs_content *c, enum vfs_state *ret_was)
{
	SUPAFS_SCOPED_LOCK(&c->lock);
	if (!c->attrs_wait || c->unlinked || vfs_state_unsent(c->state))
		return 0;
	if (!c->user_known)
		return -EAGAIN;
	*ret_was = c->state;
	c->background = false;
	vfs_content_set_state_locked(c, VFS_UPLOADING);
	return 1;
}

static void finish_attrs(struct supafs_vfs *v, struct vfs_node *node, enum vfs_state was, int r,
	const struct supafs_entry *entry)
{
	struct vfs_content *c = node->content;

	SUPAFS_SCOPED_LOCK(&v->ns);
	SUPAFS_SCOPED_LOCK(&c->lock);
	c->attrs_wait = false;
	if (r == 0) {
		c->meta.has &= ~(unsigned)SUPAFS_META_ASK; /* a listing tells them now */

		const struct supafs_attr attr = {.ino = node->ino,
			.version = entry->version,
			.modified_ns = entry->modified_ns,
			.meta = c->meta};

		node->sends++;
		c->version = entry->version;
		c->sent_here = false;
		c->moves++;
		vfs_later_prove_locked(v, node);
		if (!c->unlinked)
			vfs_content_tell_view_locked(v, node, c, &attr);
	} else {
		vfs_content_forget_user_locked(c);
	}
	vfs_content_set_state_locked(c, was);
}

/* What could not even be begun: waits no more. */
static void give_up(struct vfs_content *c)
{
	SUPAFS_SCOPED_LOCK(&c->lock);
	c->attrs_wait = false;
	vfs_content_forget_user_locked(c);
}

static int send_known(struct supafs_vfs *v, struct vfs_node *node, struct supafs_call *call,
	const struct vfs_place *place, struct supafs_fault *fault)
{
	struct vfs_content *c = node->content;
	struct supafs_entry entry = {0};
	enum vfs_state was;
	int r = begin_attrs(c, &was);

	if (r <= 0)
		return r;
	r = copy_attrs(v, call, c, place, &entry, fault);
	finish_attrs(v, node, was, r, &entry);
	return r;
}

int vfs_content_send_attrs(struct supafs_vfs *v, struct vfs_node *node, struct supafs_call *call,
	struct supafs_fault *fault)
{
	struct vfs_content *c = node->content;
	struct vfs_place place;
	int r;

	do {
		if (!waits(c))
			return 0;
		r = vfs_node_place(v, node, &place);
		if (r == 0)
			r = vfs_content_learn(v, call, node, VFS_ASK_ALL, fault);
		if (r != 0)
			give_up(c);
		else
			r = send_known(v, node, call, &place, fault);
	} while (r == -EAGAIN && supafs_call_check(call) == 0);
	if (r != 0 && vfs_node_place(v, node, &place) == 0)
		vfs_view_forget(v, &place); /* shown again as the server has it */
	return r;
}
