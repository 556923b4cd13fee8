/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changing a content: before a write it becomes dirty, with a spool over what it was; missing bytes
 * are fetched. States and transitions: content.c.
 */
#include <assert.h>
#include <stdlib.h>

#include "content.h"

/* A background upload of bytes that are about to change is not worth its time. One whose last byte
 * is on its way can be stopped no more (send.c). */
static void stop_background(struct vfs_content *c)
{
	SUPAFS_SCOPED_LOCK(&c->call_lock);
	if (c->send_call)
		supafs_call_cancel(c->send_call);
}

/* What a change needs, made before the locks are taken. */
struct body {
	unsigned stamp;
	struct supafs_spool *spool;
	struct supafs_content *base;
};

static void body_fini(struct body *b)
{
	b->spool = supafs_spool_free(b->spool);
	b->base = supafs_content_unref(b->base);
}

/* Which object the new spool lies over: the reference's, or what the server has under our key. */
static int base_of(struct supafs_vfs *v, struct vfs_node *node, struct vfs_content *c,
	struct vfs_reference *ret, unsigned *ret_stamp, bool *ret_spool)
{
	struct vfs_place place;
	bool own;

	{
		SUPAFS_SCOPED_LOCK(&c->lock);
		*ret_stamp = c->stamp;
		*ret_spool = c->spool != NULL;
		own = c->ref == NULL;
		if (c->ref)
			*ret = *c->ref;
		else
			*ret = (struct vfs_reference){
				.version = c->version, .n = c->remote ? c->version.size : 0};
	}
	if (!own || ret->n == 0 || *ret_spool)
		return 0;

	int r = vfs_node_place(v, node, &place);

	if (r != 0)
		return r == -ENOENT ? -ESTALE : r;
	ret->key = place.key;
	return 0;
}

static int make_body(struct supafs_vfs *v, struct vfs_node *node, struct vfs_content *c, bool cut,
	struct body *ret)
{
	struct vfs_reference from;
	bool there;
	int r = base_of(v, node, c, &from, &ret->stamp, &there);

	if (cut && r == -ESTALE) {
		from.n = 0;
		r = 0;
	}
	if (r != 0 || there)
		return r;
	r = supafs_spool_new(v->cfg.spool, cut ? 0 : from.n, &ret->spool);
	if (r != 0 || cut || from.n == 0)
		return r;
	return supafs_content_get(v->cfg.data, vfs_key_full(&from.key), &from.version, &ret->base);
}

static int install_locked(struct supafs_vfs *v, struct vfs_node *node, struct vfs_content *c,
	struct body *b) SUPAFS_REQUIRES(v->ns);
static int install_locked(
	struct supafs_vfs *v, struct vfs_node *node, struct vfs_content *c, struct body *b)
{
	int r;

	if (b->spool) {
		free(c->ref);
		c->ref = NULL;
		c->spool = supafs_steal(&b->spool);
		/* A base that lingers here belonged to bytes that are long complete. */
		struct supafs_content *old = c->base;

		c->base = supafs_steal(&b->base);
		b->base = old;
	}
	c->attrs_wait = false;
	c->background = false;
	vfs_content_set_state_locked(c, VFS_DIRTY);
	r = vfs_content_announce_locked(v, node, c);
	return r == -ENOENT ? 0 : r;
}

/* Any settled state → DIRTY. 0 also when somebody was faster: the caller looks again. */
static int become_dirty(
	struct supafs_vfs *v, struct vfs_node *node, struct vfs_content *c, bool cut)
{
	supafs_cleanup(body_fini) struct body b = {0};
	int r = make_body(v, node, c, cut, &b);

	if (r != 0)
		return r;
	SUPAFS_SCOPED_LOCK(&v->ns);
	SUPAFS_SCOPED_LOCK(&c->lock);
	if (c->stamp != b.stamp || c->state == VFS_UPLOADING || c->state == VFS_DIRTY)
		return 0;
	return install_locked(v, node, c, &b);
}

int vfs_content_begin(struct supafs_vfs *v, struct vfs_node *node, struct supafs_call *call,
	unsigned epoch, bool cut)
{
	struct vfs_content *c = node->content; /* ours: the caller holds a reference */
	int r = 0;

	while (r == 0) {
		bool busy, background;

		{
			SUPAFS_SCOPED_LOCK(&c->lock);
			if (c->epoch != epoch)
				return -ESTALE;
			if (c->state == VFS_DIRTY) {
				c->writers++;
				return 0;
			}
			busy = c->state == VFS_UPLOADING;
			background = busy && c->background;
		}
		if (background)
			stop_background(c);
		r = busy ? vfs_content_wait(c, call) : become_dirty(v, node, c, cut);
	}
	return r;
}

void vfs_content_end(struct supafs_vfs *v, struct vfs_content *c, bool changed)
{
	const int64_t now = v->cfg.clock->wall_ns(v->cfg.clock);

	SUPAFS_SCOPED_LOCK(&c->lock);
	assert(c->writers > 0);
	c->writers--;
	if (changed) {
		c->meta.mtime_ns = now;
		c->meta.has |= SUPAFS_META_MTIME;
		c->modified_ns = now;
		if (c->meta.has & SUPAFS_META_MODE) /* as the kernel asks by HANDLE_KILLPRIV */
			c->meta.mode &= ~(uint32_t)(S_ISUID | S_ISGID);
	}
	vfs_content_check_locked(c);
	supafs_cond_broadcast(&c->cond);
}

/* The node and its content, dirty. Only the announcement can fail once both are there. */
static int born_locked(struct supafs_vfs *v, struct vfs_node *node, struct vfs_content *c,
	struct body *b) SUPAFS_REQUIRES(v->ns);
static int born_locked(
	struct supafs_vfs *v, struct vfs_node *node, struct vfs_content *c, struct body *b)
{
	c->refs = 1;
	node->content = c;
	node->refs++;
	SUPAFS_SCOPED_LOCK(&c->lock);
	return install_locked(v, node, c, b);
}

int vfs_content_birth(struct supafs_vfs *v, struct vfs_node *parent,
	const struct supafs_dirent *ent, bool exclusive, struct vfs_node **ret_node)
{
	supafs_cleanup(body_fini) struct body b = {0};
	struct vfs_content *c = vfs_content_new(&ent->attr);
	struct vfs_node *node = NULL;
	int r = c ? supafs_spool_new(v->cfg.spool, 0, &b.spool) : -ENOMEM;

	if (r == 0) {
		SUPAFS_SCOPED_LOCK(&v->ns);
		c->remote = false;
		c->user_known = true;
		c->exclusive = exclusive;
		r = vfs_node_make_locked(v, parent, ent, &node);
		if (r == 0)
			r = born_locked(v, node, supafs_steal(&c), &b);
		if (r != 0 && node)
			vfs_node_detach_locked(v, node);
	}
	vfs_content_destroy(c);
	if (r != 0 && node) {
		vfs_content_put(v, node);
		vfs_node_forget(v, node->id, 1);
		vfs_node_put(v, node);
	}
	if (r == 0)
		*ret_node = node;
	return r;
}

struct filler {
	struct supafs_spool *spool;
	uint64_t at;
};

static int fill_write(void *ctx, const void *p, size_t n)
{
	struct filler *f = ctx;
	int r = supafs_spool_fill(f->spool, p, n, f->at);

	if (r == 0)
		f->at += n;
	return r == -EAGAIN ? -EIO : r;
}

static int fill_spool(struct supafs_spool *spool, struct supafs_content *base,
	struct supafs_call *call, const uint64_t range[2], struct supafs_fault *fault)
{
	uint64_t off, n;

	while (supafs_spool_missing(spool, range[0], range[1], &off, &n)) {
		struct filler f = {spool, off};
		const struct supafs_sink sink = {fill_write, &f};
		int r = supafs_content_fetch(base, call, off, n, &sink, fault);

		if (r != 0) /* what it lay over is gone: nothing is mixed */
			return r == -ENOENT ? -ESTALE : r;
	}
	return 0;
}

int vfs_content_fill(struct vfs_content *c, struct supafs_call *call, uint64_t off, uint64_t n,
	struct supafs_fault *fault)
{
	return fill_spool(c->spool, c->base, call, (const uint64_t[2]){off, n}, fault);
}

int vfs_content_complete(
	struct vfs_content *c, struct supafs_call *call, struct supafs_fault *fault)
{
	int r;

	{
		SUPAFS_SCOPED_LOCK(&c->lock);
		if (!c->spool)
			return 0;
		vfs_content_io_begin_locked(c);
	}
	r = vfs_content_fill(c, call, 0, UINT64_MAX, fault);
	vfs_content_io_end(c);
	return r;
}

void vfs_content_preserve(struct supafs_vfs *v, struct vfs_node *node, struct supafs_call *call)
{
	supafs_cleanup(body_fini) struct body b = {0};
	struct vfs_content *c = node->content;
	struct supafs_fault fault = {0};

	{
		SUPAFS_SCOPED_LOCK(&c->lock);
		if (c->open == 0)
			return;
		if (c->spool || c->ref ? c->ref != NULL
				       : c->version.size == 0 || c->version.size > VFS_PRESERVE_MAX)
			return;
	}
	if (vfs_content_complete(c, call, &fault) != 0 || make_body(v, node, c, false, &b) != 0 ||
		!b.spool)
		return;
	if (b.base && fill_spool(b.spool, b.base, call, (const uint64_t[2]){0, UINT64_MAX}, &fault))
		return; /* its readers will get ESTALE */

	SUPAFS_SCOPED_LOCK(&c->lock);
	if (c->stamp != b.stamp || c->state != VFS_CLEAN)
		return;
	c->spool = supafs_steal(&b.spool);
	vfs_content_set_state_locked(c, VFS_SAVED);
}
