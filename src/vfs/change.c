/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changing a content: before a write it becomes dirty, with a spool over what it was; missing bytes
 * are fetched. What a record of the journal promises is not changed: the content then gets another
 * spool, empty or a clone, and leaves the old one to the record (journal.h). States and
 * transitions: content.c.
 */
#include <assert.h>
#include <stdlib.h>

#include "journal.h"
#include "queue.h"

/* What a change needs, made before the locks are taken. */
struct body {
	unsigned stamp;
	bool foreign;   /* `base` lies under another key than ours */
	bool keep_base; /* the spool is a clone */
	struct supafs_spool *spool;
	struct supafs_content *base;
	struct supafs_spool_map map; /* of what stays promised in the same file */
	struct supafs_range *ranges;
	struct vfs_retired *retired; /* a place for what readers may still use */
};

/* Which bytes are about to change. */
struct change {
	bool cut;      /* no byte will be left */
	uint64_t from; /* bytes below stay */
};

static void body_fini(struct body *b)
{
	b->spool = supafs_spool_free(b->spool);
	b->base = supafs_content_unref(b->base);
	free(b->ranges);
	free(b->retired);
}

/* Which object the new spool lies over: the reference's, or what the server has under our key. */
static int base_of(struct supafs_vfs *v, struct vfs_node *node, struct vfs_content *c,
	struct vfs_reference *ret, struct body *b, bool *ret_spool)
{
	struct vfs_place place;
	bool own;

	{
		SUPAFS_SCOPED_LOCK(&c->lock);
		b->stamp = c->stamp;
		*ret_spool = c->spool != NULL;
		own = c->ref == NULL;
		b->foreign = !own;
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
	int r = base_of(v, node, c, &from, ret, &there);

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

/* The record keeps what it promises; the content goes on without it. */
static void leave_promise_locked(struct vfs_content *c, struct body *b)
{
	struct vfs_promise *p = c->promise;

	if (!p || !p->stands || (!p->current && !p->shared))
		return;
	if (b->ranges) {
		free(p->ranges);
		p->ranges = supafs_steal(&b->ranges);
		p->map = b->map;
		p->shared = true;
	} else if (b->spool && c->spool) {
		p->old = supafs_steal(&c->spool);
		p->shared = false;
	} else if (c->ref) {
		p->ref = supafs_steal(&c->ref);
	}
	p->current = false;
}

static void change_base_locked(struct vfs_content *c, struct body *b)
{
	/* What lingers here belonged to bytes that are complete, or are not wanted any more. */
	if (c->base && b->retired) {
		b->retired->base = c->base;
		vfs_content_retire_locked(c, supafs_steal(&b->retired));
	} else {
		(void)supafs_content_unref(c->base);
	}
	c->base = supafs_steal(&b->base);
	c->foreign_base = b->foreign && c->base;
}

static int install_locked(struct supafs_vfs *v, struct vfs_node *node, struct vfs_content *c,
	struct body *b) SUPAFS_REQUIRES(v->ns);
static int install_locked(
	struct supafs_vfs *v, struct vfs_node *node, struct vfs_content *c, struct body *b)
{
	bool pristine;
	int r;

	leave_promise_locked(c, b);
	if (c->promise) { /* of other bytes */
		c->promise->look = false;
		c->promise->nonce[0] = '\0';
		free(supafs_steal(&c->promise->upload));
	}
	if (b->spool) {
		free(c->ref);
		c->ref = NULL;
		c->spool = supafs_steal(&b->spool);
		if (!b->keep_base)
			change_base_locked(c, b);
	}
	pristine = c->state == VFS_CLEAN && c->remote && !c->attrs_wait;
	c->attrs_wait = false;
	c->background = false;
	vfs_content_set_state_locked(c, VFS_DIRTY);
	c->pristine = pristine;
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
	if (c->stamp != b.stamp || c->claimed || c->state == VFS_UPLOADING || c->state == VFS_DIRTY)
		return 0;
	return install_locked(v, node, c, &b);
}

/* Must the record's bytes be left to it first? */
static bool promised_locked(const struct vfs_content *c, const struct change *ch)
{
	const struct vfs_promise *p = c->promise;

	return p && p->stands && (p->current || (p->shared && ch->from < p->size));
}

/* A body beside the one that is promised. With the claim: nobody changes or sends the content. */
static int make_other_body(struct supafs_vfs *v, struct vfs_node *node, struct vfs_content *c,
	const struct change *ch, struct body *b)
{
	struct supafs_spool *spool;

	{
		SUPAFS_SCOPED_LOCK(&c->lock);
		spool = c->spool;
	}
	if (!spool)
		return make_body(v, node, c, ch->cut, b);
	b->retired = calloc(1, sizeof(*b->retired));
	if (!b->retired)
		return -ENOMEM;
	if (ch->cut)
		return supafs_spool_new(v->cfg.spool, 0, &b->spool);
	if (ch->from >= supafs_spool_size(spool))
		return supafs_spool_map(spool, &b->map, &b->ranges);
	b->keep_base = true;
	return supafs_spool_clone(spool, &b->spool);
}

static int leave_promise(struct supafs_vfs *v, struct vfs_node *node, struct supafs_call *call,
	const struct change *ch)
{
	supafs_cleanup(body_fini) struct body b = {0};
	struct vfs_content *c = node->content;
	bool needed;
	int r = vfs_content_claim_unsent(c, call);

	if (r != 0)
		return r == -EAGAIN ? 0 : r;
	{
		SUPAFS_SCOPED_LOCK(&c->lock);
		needed = promised_locked(c, ch);
	}
	if (needed)
		r = make_other_body(v, node, c, ch, &b);
	{
		SUPAFS_SCOPED_LOCK(&v->ns);
		SUPAFS_SCOPED_LOCK(&c->lock);
		c->claimed = false;
		if (needed && r == 0)
			r = install_locked(v, node, c, &b);
		supafs_cond_broadcast(&c->cond);
	}
	return r;
}

enum way {
	WAY_OPEN,
	WAY_BUSY,
	WAY_PROMISED,
	WAY_SETTLED
};

/* What is between a writer and the spool? Open: he is in. */
static enum way enter_locked(struct vfs_content *c, const struct change *ch, bool *ret_stop)
{
	*ret_stop = c->state == VFS_UPLOADING && c->background;
	if (c->state == VFS_UPLOADING || c->claimed)
		return WAY_BUSY;
	if (promised_locked(c, ch))
		return WAY_PROMISED;
	if (c->state != VFS_DIRTY)
		return WAY_SETTLED;
	c->writers++;
	return WAY_OPEN;
}

static int begin(struct supafs_vfs *v, struct vfs_node *node, struct supafs_call *call,
	unsigned epoch, const struct change *ch)
{
	struct vfs_content *c = node->content; /* ours: the caller holds a reference */
	enum way way = WAY_BUSY;
	bool stop = false, stopped = false;
	int r = 0;

	while (r == 0) {
		{
			SUPAFS_SCOPED_LOCK(&c->lock);
			if (c->epoch == epoch)
				way = enter_locked(c, ch, &stop);
			else
				r = -ESTALE;
		}
		if (r != 0 || way == WAY_OPEN)
			break;
		if (stop)
			vfs_content_stop(c);
		stopped = stopped || stop;
		if (way == WAY_BUSY)
			r = vfs_content_wait(c, call);
		else if (way == WAY_PROMISED)
			r = leave_promise(v, node, call, ch);
		else
			r = become_dirty(v, node, c, ch->cut);
	}
	if (r != 0 && stopped) /* nobody else would send what was stopped for nothing */
		vfs_queue_look(v, node);
	return r;
}

int vfs_content_begin(struct supafs_vfs *v, struct vfs_node *node, struct supafs_call *call,
	unsigned epoch, bool cut)
{
	return begin(v, node, call, epoch, &(const struct change){.cut = cut});
}

int vfs_content_begin_at(struct supafs_vfs *v, struct vfs_node *node, struct supafs_call *call,
	unsigned epoch, uint64_t from)
{
	return begin(v, node, call, epoch, &(const struct change){.from = from});
}

static void end_locked(struct vfs_content *c, bool changed, int64_t now)
{
	assert(c->writers > 0);
	c->writers--;
	if (changed) {
		c->pristine = false;
		c->meta.mtime_ns = now;
		c->meta.has |= SUPAFS_META_MTIME;
		c->modified_ns = now;
		if (c->meta.has & SUPAFS_META_MODE) /* as the kernel asks by HANDLE_KILLPRIV */
			c->meta.mode &= ~(uint32_t)(S_ISUID | S_ISGID);
	}
	vfs_content_check_locked(c);
	supafs_cond_broadcast(&c->cond);
}

/* Else its close would fetch all of it, and send it as it is. What is in use stays as it is. */
static void revert(struct supafs_vfs *v, struct vfs_node *node)
{
	supafs_cleanup(body_fini) struct body b = {0};
	struct vfs_content *c = node->content;
	struct vfs_place place;

	SUPAFS_SCOPED_LOCK(&v->ns);
	SUPAFS_SCOPED_LOCK(&c->lock);
	if (!c->pristine || c->unlinked || c->claimed || c->writers > 0 || c->io > 0)
		return;
	if (c->pending && vfs_node_place_locked(v, node, &place) != 0)
		return;
	if (c->pending)
		vfs_view_undo(v, &place, c->change_id);
	c->pending = false;
	b.spool = supafs_steal(&c->spool);
	b.base = supafs_steal(&c->base);
	vfs_content_set_state_locked(c, VFS_CLEAN);
}

void vfs_content_end(struct supafs_vfs *v, struct vfs_node *node, bool changed)
{
	const int64_t now = v->cfg.clock->wall_ns(v->cfg.clock);
	struct vfs_content *c = node->content; /* ours: the caller holds a reference */

	{
		SUPAFS_SCOPED_LOCK(&c->lock);
		end_locked(c, changed, now);
	}
	if (!changed)
		revert(v, node);
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

int vfs_fill(const struct vfs_bytes *b, struct supafs_call *call, uint64_t off, uint64_t n,
	struct supafs_fault *fault)
{
	const uint64_t from = off, len = n;

	while (supafs_spool_missing(b->spool, from, len, &off, &n)) {
		struct filler f = {b->spool, off};
		const struct supafs_sink sink = {fill_write, &f};
		int r = supafs_content_fetch(b->base, call, off, n, &sink, fault);

		if (r != 0) /* what it lay over is gone: nothing is mixed */
			return r == -ENOENT ? -ESTALE : r;
	}
	return 0;
}

bool vfs_content_join_locked(struct vfs_content *c, struct vfs_bytes *ret)
{
	if (!c->spool)
		return false;
	c->io++;
	*ret = (struct vfs_bytes){c->spool, c->base};
	return true;
}

int vfs_content_complete(
	struct vfs_content *c, struct supafs_call *call, struct supafs_fault *fault)
{
	struct vfs_bytes b;
	int r;

	{
		SUPAFS_SCOPED_LOCK(&c->lock);
		if (!vfs_content_join_locked(c, &b))
			return 0;
	}
	r = vfs_fill(&b, call, 0, UINT64_MAX, fault);
	vfs_content_io_end(c);
	return r;
}

/* All of it, in pieces: what follows has half of the time that is left, so that a file that is too
 * large for its line can be deleted all the same. */
static int fetch_all(const struct vfs_bytes *b, struct supafs_call *call)
{
	const struct supafs_clock *clock = call->clock;
	const int64_t now = clock->mono_ns(clock);
	const int64_t until = call->deadline_ns == SUPAFS_NEVER
				      ? SUPAFS_NEVER
				      : now + (call->deadline_ns - now) / 2;
	const uint64_t size = supafs_spool_size(b->spool);
	struct supafs_fault fault = {0};
	int r = 0;

	for (uint64_t off = 0; r == 0 && off < size; off += VFS_PRESERVE_PIECE) {
		if (clock->mono_ns(clock) >= until)
			return -ETIMEDOUT;
		r = vfs_fill(b, call, off, VFS_PRESERVE_PIECE, &fault);
	}
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
		if (c->spool || c->ref ? c->ref != NULL : c->version.size == 0)
			return;
	}
	if (vfs_content_complete(c, call, &fault) != 0 || make_body(v, node, c, false, &b) != 0 ||
		!b.spool)
		return;
	if (b.base && fetch_all(&(const struct vfs_bytes){b.spool, b.base}, call) != 0)
		return; /* its readers will get ESTALE */

	SUPAFS_SCOPED_LOCK(&c->lock);
	if (c->stamp != b.stamp || c->state != VFS_CLEAN)
		return;
	c->spool = supafs_steal(&b.spool);
	vfs_content_set_state_locked(c, VFS_SAVED);
}
