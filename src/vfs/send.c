/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sending a content: one PUT, or one server-side copy for a reference. Attributes alone:
 * send_attrs.c. States and transitions: content.c.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "supafs/util/cleanup.h"

#include "journal.h"
#include "keyq.h"
#include "later.h"
#include "learn.h"
#include "mime.h"
#include "queue.h"

#define RESUME_MIN (6U << 20) /* smaller ones are begun anew */

/* What an upload began with, and what came of it. */
struct sending {
	struct supafs_meta meta;
	bool exclusive;
	bool reference;
	bool look; /* an earlier try may have arrived */
	enum vfs_state was;
	struct supafs_version version;
	int64_t modified_ns;
	char nonce[SUPAFS_NONCE_MAX + 1];
	struct vfs_retired *place; /* for the spool, when an earlier try has arrived */
};

static bool wanted_locked(const struct vfs_content *c, const struct vfs_send *send)
{
	if (!vfs_state_unsent(c->state) || c->unlinked)
		return false;
	if (!send->background)
		return true;
	/* Whoever has it open for writing sends it at close, and whoever renames it when it is
	 * held. */
	return c->state != VFS_HELD &&
	       (c->open_write == 0 || (c->state != VFS_DIRTY && c->state != VFS_REFERENCE));
}

/* All tries of the same bytes have the same, so that each finds the trace of those before. */
static void choose_nonce_locked(const struct vfs_content *c, struct sending *s)
{
	if (!c->promise) {
		vfs_nonce_make(s->nonce);
		return;
	}
	if (!c->promise->nonce[0])
		vfs_nonce_make(c->promise->nonce);
	memcpy(s->nonce, c->promise->nonce, sizeof(s->nonce));
	s->look = c->promise->look;
}

static void begin_locked(struct vfs_content *c, const struct vfs_send *send, struct sending *s)
{
	*s = (struct sending){
		.meta = c->meta,
		.exclusive = c->exclusive && !c->remote,
		.reference = c->ref != NULL,
		.was = c->state,
		.version = {.size = vfs_content_size_locked(c)},
		.modified_ns = c->modified_ns,
	};
	choose_nonce_locked(c, s);
	c->background = send->background;
	vfs_content_io_begin_locked(c);
	vfs_content_set_state_locked(c, VFS_UPLOADING);
}

/* 1: there is something to send, and the state is UPLOADING; 0: nothing; or -errno. */
static int begin_send(struct vfs_content *c, struct supafs_call *call, const struct vfs_send *send,
	struct sending *s)
{
	struct vfs_wait w;
	int r = 0;

	vfs_wait_begin(&w, call, &c->lock, &c->cond);
	{
		SUPAFS_SCOPED_LOCK(&c->lock);
		while (r == 0 && vfs_content_busy_locked(c))
			r = vfs_wait_step(&w);
		if (r == 0 && wanted_locked(c, send)) {
			begin_locked(c, send, s);
			r = 1;
		}
	}
	vfs_wait_end(&w);
	return r;
}

static void set_send_call(struct vfs_content *c, struct supafs_call *call)
{
	SUPAFS_SCOPED_LOCK(&c->call_lock);
	c->send_call = call;
	if (call && c->stop_asked)
		supafs_call_cancel(call);
}

static void forget_stop(struct vfs_content *c)
{
	SUPAFS_SCOPED_LOCK(&c->call_lock);
	c->stop_asked = false;
}

/* The bytes of an upload. */
struct reader {
	struct vfs_content *c;
	struct supafs_call *call;
	uint64_t size;
};

/* A server that has a whole request goes on with it when the client hangs up, and may be done with
 * it after the next upload: the older content would win. So who wants to stop an upload must be
 * here before its last byte leaves; after that he waits for its end. */
static ssize_t read_spool(void *ctx, void *buf, size_t n, uint64_t off)
{
	const struct reader *rd = ctx;

	if (n >= rd->size - off) {
		SUPAFS_SCOPED_LOCK(&rd->c->call_lock);
		if (supafs_call_check(rd->call) == -EINTR)
			return -EINTR;
		rd->c->send_call = NULL;
	}
	return supafs_spool_pread(rd->c->spool, buf, n, off);
}

/* Views of the content: it is UPLOADING, so they stay as they are. */
static struct supafs_put_args put_args(struct supafs_vfs *v, const struct vfs_content *c,
	const struct vfs_send *send, const struct sending *s)
{
	struct supafs_put_args args = {
		.key = vfs_key_full(send->key),
		.size = s->version.size,
		.mime = c->mime ? supafs_str_of(c->mime) : vfs_mime_of(v->mimes, send->name),
		.cache_control =
			supafs_str_of(c->cache_control ? c->cache_control : v->cache_control),
		.exclusive = s->exclusive,
		.nonce = supafs_str_of(s->nonce),
	};

	if (v->cfg.store_meta) {
		args.meta = s->meta;
		args.user = supafs_buf_str(&c->user);
	}
	return args;
}

/* An upload that is cut goes on where the server has it. */
struct resuming {
	struct supafs_resume resume;
	struct supafs_vfs *v;
	struct vfs_node *node;
};

static void resume_changed(void *ctx, const struct supafs_resume *r)
{
	const struct resuming *re = ctx;

	vfs_promise_upload(re->v, re->node, r->id);
}

static struct resuming *resuming_new(struct supafs_vfs *v, struct vfs_node *node, uint64_t size)
{
	struct vfs_content *c = node->content;
	struct resuming *re = size >= RESUME_MIN ? calloc(1, sizeof(*re)) : NULL;

	if (!re)
		return NULL;
	re->v = v;
	re->node = node;
	re->resume.changed = resume_changed;
	re->resume.ctx = re;
	SUPAFS_SCOPED_LOCK(&c->lock);
	if (c->promise && c->promise->upload)
		(void)snprintf(re->resume.id, sizeof(re->resume.id), "%s", c->promise->upload);
	return re;
}

static int send_bytes(struct supafs_vfs *v, struct vfs_node *node, struct supafs_call *call,
	const struct vfs_send *send, struct sending *s, struct supafs_fault *fault)
{
	struct vfs_content *c = node->content;
	struct supafs_put_args args = put_args(v, c, send, s);
	struct reader rd = {.c = c, .call = call, .size = args.size};
	supafs_autofree struct resuming *re = resuming_new(v, node, args.size);
	/* UPLOADING: both stay as they are. */
	int r = vfs_fill(&(const struct vfs_bytes){c->spool, c->base}, call, 0, UINT64_MAX, fault);

	if (r != 0)
		return r;
	vfs_promise_sending(v, node, send->key);
	args.pread = read_spool;
	args.ctx = &rd;
	args.resume = re ? &re->resume : NULL;
	return v->cfg.store->ops->put(v->cfg.store, call, &args, s->version.id, fault);
}

/* A part of an object is no server-side copy: its bytes are fetched and sent. */
static int send_part(struct supafs_vfs *v, struct vfs_node *node, struct supafs_call *call,
	const struct vfs_send *send, struct sending *s, struct supafs_fault *fault)
{
	struct vfs_content *c = node->content;
	struct supafs_content *base = NULL;
	struct supafs_spool *spool = NULL;
	int r = supafs_spool_new(v->cfg.spool, c->ref->n, &spool);

	if (r != 0)
		return r;
	r = supafs_content_get(v->cfg.data, vfs_key_full(&c->ref->key), &c->ref->version, &base);
	if (r != 0) {
		(void)supafs_spool_free(spool);
		return r;
	}
	{
		SUPAFS_SCOPED_LOCK(&c->lock);
		free(c->ref);
		c->ref = NULL;
		c->spool = spool;
		(void)supafs_content_unref(c->base);
		c->base = base;
		c->foreign_base = true;
		/* A record that stands goes on naming the reference, which is the same. */
	}
	s->reference = false;
	return send_bytes(v, node, call, send, s, fault);
}

/* 1: the source is what was referred to, as far as is known here; 0: the kernel has forgotten it.
 */
static int source_here(struct supafs_vfs *v, const struct vfs_reference *ref)
{
	const struct vfs_node *node;
	struct vfs_place now;

	SUPAFS_SCOPED_LOCK(&v->ns);
	node = supafs_map_get(v->by_id, supafs_hash_u64(ref->source), &ref->source);
	if (!node)
		return 0;
	if (node->changes != ref->changes || vfs_node_place_locked(v, node, &now) != 0 ||
		!vfs_key_same(&now.key, &ref->key))
		return -ESTALE;
	return 1;
}

/* The server copies what is there now: -ESTALE if that is no longer what was referred to. */
static int check_source(struct supafs_vfs *v, struct supafs_call *call,
	const struct vfs_reference *ref, struct supafs_fault *fault)
{
	struct supafs_info info;
	int r = source_here(v, ref);

	if (r != 0)
		return r < 0 ? r : 0;
	r = v->cfg.store->ops->info(v->cfg.store, call, vfs_key_full(&ref->key), &info, fault);
	if (r == -ENOENT || (r == 0 && !vfs_version_alike(&info.version, &ref->version)))
		return -ESTALE;
	return r;
}

static int send_reference(struct supafs_vfs *v, struct vfs_node *node, struct supafs_call *call,
	const struct vfs_send *send, struct sending *s, struct supafs_fault *fault)
{
	struct vfs_content *c = node->content;
	const struct supafs_put_args attrs = put_args(v, c, send, s);
	struct supafs_entry entry = {0};
	struct supafs_copy_args args = {
		.from = vfs_key_full(&c->ref->key),
		.to = attrs.key,
		.replace = !s->exclusive,
		.attrs = &attrs,
	};
	int r = check_source(v, call, c->ref, fault);

	if (r != 0)
		return r;
	if (c->ref->n != c->ref->version.size)
		return send_part(v, node, call, send, s, fault);
	vfs_promise_sending(v, node, send->key);
	r = v->cfg.store->ops->copy(v->cfg.store, call, &args, &entry, fault);
	if (r != 0)
		return r == -ENOENT ? -ESTALE : r;
	if (entry.version.size != c->ref->version.size)
		return -ESTALE; /* somebody replaced the source: not what was copied here */
	s->version = entry.version;
	s->modified_ns = entry.modified_ns;
	return 0;
}

/* 1: an earlier try has arrived, whatever its answer was. 0: it has not; or -errno. */
static int look_at_server(struct supafs_vfs *v, struct supafs_call *call,
	const struct vfs_send *send, struct sending *s, struct supafs_fault *fault)
{
	struct supafs_info *info;
	int r;

	if (!s->look)
		return 0;
	info = malloc(sizeof(*info));
	if (!info)
		return -ENOMEM;
	r = v->cfg.store->ops->info(v->cfg.store, call, vfs_key_full(send->key), info, fault);
	if (r == 0 && strcmp(info->nonce, s->nonce) == 0) {
		memcpy(s->version.id, info->version.id, sizeof(s->version.id));
		s->place = calloc(1, sizeof(*s->place));
		r = s->place ? 1 : -ENOMEM;
	}
	free(info);
	if (r >= 0 || r == -ENOENT)
		supafs_fault_clear(fault);
	return r == -ENOENT ? 0 : r;
}

static void succeed_locked(struct vfs_content *c, struct sending *s)
{
	c->version = s->version;
	c->modified_ns = s->meta.has & SUPAFS_META_MTIME ? s->meta.mtime_ns : s->modified_ns;
	c->sent_here = s->version.etag[0] == '\0';
	c->remote = true;
	c->maybe_remote = false;
	c->exclusive = false;
	c->moves++;
	c->pending = false;
	if (c->ref) {
		free(c->ref);
		c->ref = NULL;
	}
	/* What an earlier try has sent need not be here whole, and what it replaced is gone. */
	if (c->spool && s->place && !supafs_spool_complete(c->spool)) {
		s->place->spool = supafs_steal(&c->spool);
		vfs_content_retire_locked(c, supafs_steal(&s->place));
	}
	vfs_content_set_state_locked(c, c->spool ? VFS_SAVED : VFS_CLEAN);
}

static bool passes(int r, const struct supafs_fault *fault)
{
	switch (fault->class) {
	case SUPAFS_FAULT_TRANSIENT:
	case SUPAFS_FAULT_THROTTLED:
	case SUPAFS_FAULT_RACE:
	case SUPAFS_FAULT_AUTH: /* a token is renewed */
		return true;
	case SUPAFS_FAULT_NONE:
	case SUPAFS_FAULT_PERMANENT:
		return r == -ETIMEDOUT || r == -ENOSPC || r == -ENOMEM || r == -EMFILE;
	case SUPAFS_FAULT_DENIED:
	case SUPAFS_FAULT_MISSING:
	case SUPAFS_FAULT_CONFLICT:
	case SUPAFS_FAULT_TOO_LARGE:
	case SUPAFS_FAULT__COUNT:
		break;
	}
	return false;
}

/* 5 s, doubling to 10 min, a part of it by chance; later when the server says so. */
static int64_t retry_at(const struct supafs_vfs *v, unsigned tries, int64_t retry_after_ms)
{
	const int64_t now = v->cfg.clock->mono_ns(v->cfg.clock);
	int64_t wait = VFS_RETRY_MIN_NS;

	for (unsigned i = 1; i < tries && wait < VFS_RETRY_MAX_NS; i++)
		wait *= 2;
	if (wait > VFS_RETRY_MAX_NS)
		wait = VFS_RETRY_MAX_NS;
	wait -= (int64_t)(supafs_hash_u64((uint64_t)now ^ tries) % (uint64_t)(wait / 4));
	if (retry_after_ms > 0 && retry_after_ms * SUPAFS_NS_PER_MS > wait)
		wait = retry_after_ms * SUPAFS_NS_PER_MS;
	return now + wait;
}

static void note_failure_locked(const struct supafs_vfs *v, struct vfs_content *c,
	const struct sending *s, int r, const struct supafs_fault *fault)
{
	struct vfs_promise *p = vfs_promise_of_locked(c);

	if (fault->ambiguous) {
		c->exclusive = false; /* what is there may be ours */
		c->maybe_remote = true;
	}
	if (!p)
		return;
	memcpy(p->nonce, s->nonce, sizeof(p->nonce));
	p->look = fault->ambiguous;
	if (r == -EINTR)
		return;
	p->tries++;
	p->error = -r;
	p->passing = passes(r, fault);
	p->retry_ns = retry_at(v, p->tries, fault->retry_after_ms);
	if (!c->background) /* whoever waited for it has heard */
		p->told = -r;
	supafs_fault_format(fault, p->text, sizeof(p->text));
}

/* What a content is after an upload that did not end well. */
static enum vfs_state state_after(
	const struct vfs_content *c, const struct vfs_send *send, const struct sending *s, int r)
{
	/* A rename's upload: the caller hears of it, and the file is as before. */
	if (r != -EINTR && send->ack)
		return VFS_FAILED;
	if (s->was == VFS_DIRTY || s->was == VFS_REFERENCE)
		return c->ref ? VFS_REFERENCE : VFS_DIRTY;
	return s->was;
}

void vfs_content_tell_view_locked(struct supafs_vfs *v, struct vfs_node *node,
	struct vfs_content *c, const struct supafs_attr *attr)
{
	struct vfs_place place;

	if (vfs_node_place_locked(v, node, &place) != 0)
		return;
	if (c->pending)
		vfs_view_ack(v, &place, c->change_id, attr);
	else
		vfs_view_present(v, &place, attr);
}

static void attr_of(const struct supafs_vfs *v, const struct vfs_node *node,
	const struct sending *s, struct supafs_attr *ret)
{
	*ret = (struct supafs_attr){
		.ino = node->ino, .version = s->version, .modified_ns = s->modified_ns};
	/* What the server cannot tell us later is not promised now, but for the time being shown.
	 */
	if (v->cfg.store_meta)
		ret->meta = s->meta;
}

static void end_io_locked(struct vfs_content *c)
{
	assert(c->io > 0);
	c->io--;
}

static void sent(
	struct supafs_vfs *v, struct vfs_node *node, const struct vfs_send *send, struct sending *s)
{
	struct vfs_content *c = node->content;
	struct supafs_attr attr;

	vfs_promise_replaced(v, send->replaces);
	{
		SUPAFS_SCOPED_LOCK(&c->record_lock);
		/* Before anybody may change what it promised. */
		vfs_promise_drop_locked(v, c);
		SUPAFS_SCOPED_LOCK(&v->ns);
		SUPAFS_SCOPED_LOCK(&c->lock);
		end_io_locked(c);
		node->sends++;
		node->changes++;
		vfs_later_prove_locked(v, node);
		attr_of(v, node, s, &attr);
		if (send->ack && !c->unlinked)
			vfs_content_tell_view_locked(v, node, c, &attr);
		succeed_locked(c, s);
	}
	vfs_content_sweep(c);
	vfs_queue_ended(v, 0, true);
}

static void not_sent(struct supafs_vfs *v, struct vfs_node *node, const struct vfs_send *send,
	const struct sending *s, int r, const struct supafs_fault *fault)
{
	struct vfs_content *c = node->content;
	enum vfs_state after;
	bool current;

	{
		SUPAFS_SCOPED_LOCK(&c->lock);
		note_failure_locked(v, c, s, r, fault);
		after = state_after(c, send, s, r);
		current = c->promise && c->promise->stands && c->promise->current;
	}
	/* While it is still ours alone. What is promised keeps its place when this fails. */
	if (after == VFS_FAILED)
		(void)vfs_promise_make(v, node, VFS_FAILED, !current);
	else if (!send->ack)
		(void)vfs_promise_rekey(v, node, VFS_STATE__COUNT, false);
	{
		SUPAFS_SCOPED_LOCK(&c->lock);
		end_io_locked(c);
		vfs_content_set_state_locked(c, after);
	}
	vfs_content_sweep(c);
	if (r != -EINTR)
		vfs_queue_ended(v, r, passes(r, fault));
}

int vfs_content_send(struct supafs_vfs *v, struct vfs_node *node, struct supafs_call *call,
	const struct vfs_send *send, struct supafs_attr *ret_attr, struct supafs_fault *fault)
{
	struct vfs_content *c = node->content;
	struct sending s = {.look = false};
	int r;

	forget_stop(c); /* of an earlier upload: this one is not seen before it has begun */
	r = begin_send(c, call, send, &s);

	if (r <= 0)
		return r;
	/* What has no last byte to wait for cannot be stopped (read_spool). */
	if (send->background && !s.reference && s.version.size > 0)
		set_send_call(c, call);
	vfs_promise_barrier(v);
	r = look_at_server(v, call, send, &s, fault);
	if (r == 0)
		r = s.reference ? send_reference(v, node, call, send, &s, fault)
				: send_bytes(v, node, call, send, &s, fault);
	if (send->background)
		set_send_call(c, NULL);
	if (r >= 0 && ret_attr) {
		SUPAFS_SCOPED_LOCK(&v->ns);
		attr_of(v, node, &s, ret_attr);
	}
	if (r >= 0)
		sent(v, node, send, &s);
	else
		not_sent(v, node, send, &s, r, fault);
	free(s.place);
	vfs_learn_sent(v, node, r, fault);
	return r < 0 ? r : 0;
}

/* --- With the ticket
 * ------------------------------------------------------------------------------ */

static bool nothing_to_do(struct vfs_content *c)
{
	SUPAFS_SCOPED_LOCK(&c->lock);
	return c->unlinked || (!vfs_state_unsent(c->state) && !c->attrs_wait);
}

static bool is_unlinked(struct vfs_content *c)
{
	SUPAFS_SCOPED_LOCK(&c->lock);
	return c->unlinked;
}

/* Its folder has lost its place to another kind of thing: there is no key to send it under. */
static int no_place(struct vfs_content *c)
{
	if (is_unlinked(c))
		return 0;
	SUPAFS_SCOPED_LOCK(&c->lock);
	if (vfs_content_busy_locked(c) || !vfs_state_unsent(c->state) || !vfs_promise_of_locked(c))
		return -ENOENT;
	c->promise->tries++;
	c->promise->error = ENOENT;
	c->promise->passing = false;
	(void)snprintf(c->promise->text, sizeof(c->promise->text),
		"its folder was replaced by something else at the server");
	if (c->state != VFS_DIRTY || c->open_write == 0)
		vfs_content_set_state_locked(c, VFS_FAILED);
	return -ENOENT;
}

static int settle_at(struct supafs_vfs *v, struct vfs_node *node, struct supafs_call *call,
	const struct vfs_place *place, bool background, struct supafs_fault *fault)
{
	const struct vfs_send send = {
		.key = &place->key,
		.name = {place->name, place->name_n},
		.ack = true,
		.background = background,
	};
	int r = vfs_content_send(v, node, call, &send, NULL, fault);

	return r == 0 ? vfs_content_send_attrs(v, node, call, fault) : r;
}

static int settle(struct supafs_vfs *v, struct vfs_node *node, struct supafs_call *call,
	bool background, struct supafs_fault *fault)
{
	struct vfs_place place, now;
	struct vfs_ticket t;
	int r;

	for (;;) {
		if (nothing_to_do(node->content))
			return 0;
		r = vfs_node_place(v, node, &place);
		if (r == -ENOENT)
			return no_place(node->content);
		if (r == 0)
			r = vfs_keyq_enter(v->keyq, call, &t, vfs_key_full(&place.key),
				(struct supafs_str){0});
		if (r != 0)
			return r;
		/* It may have been renamed while we stood in the queue. */
		if (vfs_node_place(v, node, &now) == 0 && vfs_key_same(&place.key, &now.key))
			break;
		vfs_keyq_leave(v->keyq, &t);
	}
	r = settle_at(v, node, call, &place, background, fault);
	vfs_keyq_leave(v->keyq, &t);
	return r;
}

int vfs_content_settle(struct supafs_vfs *v, struct vfs_node *node, struct supafs_call *call,
	bool background, struct supafs_fault *fault)
{
	int r = settle(v, node, call, background, fault);

	if (r != 0 && !background) /* somebody must try again */
		vfs_queue_look(v, node);
	return r;
}

void vfs_content_send_later(struct supafs_vfs *v, struct vfs_node *node)
{
	vfs_queue_look(v, node);
}
