/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sending a content: one PUT, or one server-side copy for a reference. Attributes alone:
 * send_attrs.c. States and transitions: content.c.
 */
#include <assert.h>
#include <stdlib.h>

#include "supafs/util/log.h"

#include "content.h"
#include "keyq.h"
#include "mime.h"

/* What an upload began with, and what came of it. */
struct sending {
	struct supafs_meta meta;
	bool exclusive;
	bool reference;
	struct supafs_version version;
	int64_t modified_ns;
};

static bool wanted_locked(const struct vfs_content *c, const struct vfs_send *send)
{
	if (!vfs_state_unsent(c->state) || c->unlinked)
		return false;
	/* Whoever has it open for writing sends it at close. */
	return !(send->background && c->open_write > 0);
}

static void begin_locked(struct vfs_content *c, const struct vfs_send *send, struct sending *s)
{
	*s = (struct sending){
		.meta = c->meta,
		.exclusive = c->exclusive && !c->remote,
		.reference = c->ref != NULL,
		.version = {.size = vfs_content_size_locked(c)},
		.modified_ns = c->modified_ns,
	};
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
		while (r == 0 && (c->state == VFS_UPLOADING || c->writers > 0))
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
	};

	if (v->cfg.store_meta) {
		args.meta = s->meta;
		args.user = supafs_buf_str(&c->user);
	}
	return args;
}

static int send_bytes(struct supafs_vfs *v, struct vfs_content *c, struct supafs_call *call,
	const struct vfs_send *send, struct sending *s, struct supafs_fault *fault)
{
	struct supafs_put_args args = put_args(v, c, send, s);
	struct reader rd = {.c = c, .call = call, .size = args.size};
	int r = vfs_content_fill(c, call, 0, UINT64_MAX, fault);

	if (r != 0)
		return r;
	args.pread = read_spool;
	args.ctx = &rd;
	return v->cfg.store->ops->put(v->cfg.store, call, &args, s->version.id, fault);
}

/* A part of an object is no server-side copy: its bytes are fetched and sent. */
static int send_part(struct supafs_vfs *v, struct vfs_content *c, struct supafs_call *call,
	const struct vfs_send *send, struct sending *s, struct supafs_fault *fault)
{
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
	}
	s->reference = false;
	return send_bytes(v, c, call, send, s, fault);
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

static int send_reference(struct supafs_vfs *v, struct vfs_content *c, struct supafs_call *call,
	const struct vfs_send *send, struct sending *s, struct supafs_fault *fault)
{
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
		return send_part(v, c, call, send, s, fault);
	r = v->cfg.store->ops->copy(v->cfg.store, call, &args, &entry, fault);
	if (r != 0)
		return r == -ENOENT ? -ESTALE : r;
	if (entry.version.size != c->ref->version.size)
		return -ESTALE; /* somebody replaced the source: not what was copied here */
	s->version = entry.version;
	s->modified_ns = entry.modified_ns;
	return 0;
}

static void succeed_locked(struct vfs_content *c, const struct sending *s)
{
	c->version = s->version;
	c->modified_ns = s->meta.has & SUPAFS_META_MTIME ? s->meta.mtime_ns : s->modified_ns;
	c->sent_here = s->version.etag[0] == '\0';
	c->remote = true;
	c->maybe_remote = false;
	c->exclusive = false;
	c->error = 0;
	c->moves++;
	c->pending = false;
	if (s->reference) {
		free(c->ref);
		c->ref = NULL;
	}
	vfs_content_set_state_locked(c, s->reference ? VFS_CLEAN : VFS_SAVED);
}

static void fail_locked(struct vfs_content *c, int error, const struct supafs_fault *fault)
{
	const bool stopped = error == -EINTR;

	if (fault->ambiguous) {
		c->exclusive = false; /* what is there may be ours */
		c->maybe_remote = true;
	}
	c->error = error;
	if (stopped)
		vfs_content_set_state_locked(c, c->ref ? VFS_REFERENCE : VFS_DIRTY);
	else
		vfs_content_set_state_locked(c, VFS_FAILED);
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

static void finish_send(struct supafs_vfs *v, struct vfs_node *node, const struct vfs_send *send,
	const struct sending *s, int r, const struct supafs_fault *fault)
{
	struct vfs_content *c = node->content;
	struct supafs_attr attr;

	SUPAFS_SCOPED_LOCK(&v->ns);
	SUPAFS_SCOPED_LOCK(&c->lock);
	c->io--;
	if (r != 0) {
		fail_locked(c, r, fault);
		return;
	}
	node->sends++;
	node->changes++;
	attr_of(v, node, s, &attr);
	if (send->ack && !c->unlinked)
		vfs_content_tell_view_locked(v, node, c, &attr);
	succeed_locked(c, s);
}

int vfs_content_send(struct supafs_vfs *v, struct vfs_node *node, struct supafs_call *call,
	const struct vfs_send *send, struct supafs_attr *ret_attr, struct supafs_fault *fault)
{
	struct vfs_content *c = node->content;
	struct sending s;
	int r = begin_send(c, call, send, &s);

	if (r <= 0)
		return r;
	if (send->background && !s.reference && s.version.size > 0)
		set_send_call(c, call);
	r = s.reference ? send_reference(v, c, call, send, &s, fault)
			: send_bytes(v, c, call, send, &s, fault);
	if (send->background)
		set_send_call(c, NULL);
	if (r == 0 && ret_attr) {
		SUPAFS_SCOPED_LOCK(&v->ns);
		attr_of(v, node, &s, ret_attr);
	}
	finish_send(v, node, send, &s, r, fault);
	return r;
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

int vfs_content_settle(struct supafs_vfs *v, struct vfs_node *node, struct supafs_call *call,
	bool background, struct supafs_fault *fault)
{
	struct vfs_content *c = node->content;
	struct vfs_place place, now;
	struct vfs_ticket t;
	int r;

	for (;;) {
		if (nothing_to_do(c))
			return 0;
		r = vfs_node_place(v, node, &place);
		if (r != 0)
			return r == -ENOENT && is_unlinked(c) ? 0 : r;
		r = vfs_keyq_enter(
			v->keyq, call, &t, vfs_key_full(&place.key), (struct supafs_str){0});
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

struct later {
	struct supafs_vfs *v;
	struct vfs_node *node;
};

static void later_drop(void *ctx)
{
	struct later *l = ctx;

	vfs_content_put(l->v, l->node);
	free(l);
}

static void later_run(void *ctx)
{
	struct later *l = ctx;
	struct supafs_fault fault = {0};
	struct supafs_call call;
	char text[300];
	int r;

	vfs_call_init(l->v, &call);
	r = vfs_content_settle(l->v, l->node, &call, true, &fault);
	supafs_call_fini(&call);
	if (r != 0 && r != -EINTR) {
		struct vfs_place place;

		supafs_fault_format(&fault, text, sizeof(text));
		if (vfs_node_place(l->v, l->node, &place) == 0)
			supafs_log(SUPAFS_LOG_ERROR,
				"upload of \"%.*s\" failed: %s (%s); its bytes are kept",
				SUPAFS_STR_FMT(vfs_key_rel(&place.key)), strerrordesc_np(-r), text);
	}
	later_drop(l);
}

void vfs_content_send_later(struct supafs_vfs *v, struct vfs_node *node)
{
	struct vfs_content *c = vfs_content_peek(v, node);
	struct later *l;

	if (!c)
		return;
	{
		SUPAFS_SCOPED_LOCK(&c->lock);
		if (c->state == VFS_DIRTY || c->state == VFS_REFERENCE)
			vfs_content_set_state_locked(c, VFS_QUEUED);
	}
	l = malloc(sizeof(*l));
	if (!l) {
		vfs_content_put(v, node); /* stays queued; sent at the unmount */
		return;
	}
	*l = (struct later){v, node};
	if (supafs_pool_submit(v->sends, (struct supafs_job){later_run, later_drop, l}) != 0)
		later_run(l);
}
