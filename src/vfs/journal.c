/* SPDX-License-Identifier: Apache-2.0 */
/* Promises; states and transitions in journal.h. */
#include "journal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "supafs/util/cleanup.h"

void vfs_promise_free(struct vfs_promise *p)
{
	if (!p)
		return;
	p->old = supafs_spool_free(p->old);
	free(p->ref);
	free(p->ranges);
	free(p->upload);
	free(p);
}

void vfs_nonce_make(char ret[SUPAFS_NONCE_MAX + 1])
{
	char uuid[37];
	size_t n = 0;

	supafs_random_uuid(uuid);
	for (const char *p = uuid; *p; p++)
		if (*p != '-')
			ret[n++] = *p;
	ret[n] = '\0';
}

struct vfs_promise *vfs_promise_of_locked(struct vfs_content *c)
{
	if (!c->promise) {
		c->promise = calloc(1, sizeof(*c->promise));
		if (c->promise)
			c->promise->as = VFS_QUEUED;
	}
	return c->promise;
}

bool vfs_promise_bars_locked(const struct vfs_content *c, uint64_t from)
{
	const struct vfs_promise *p = c->promise;

	if (!p || !p->stands || (!p->current && !p->shared))
		return false;
	return c->ref != NULL || from < p->size;
}

bool vfs_promise_stands(struct vfs_content *c)
{
	SUPAFS_SCOPED_LOCK(&c->lock);
	return c->promise && c->promise->stands;
}

/* --- Records -------------------------------------------------------------------------------------
 */

/* A record and what its views point to. */
struct draft {
	struct supafs_journal_record rec;
	struct vfs_place place;
	struct vfs_key from;
	struct supafs_spool *spool; /* whose file it names; NULL: by map, or a reference */
	bool by_map;
	struct supafs_range *ranges;
	struct vfs_retired *retired;
	char *user, *mime, *cache_control, *upload;
	char nonce[SUPAFS_NONCE_MAX + 1];
	char text[200];
};

static void draft_free(struct draft *d)
{
	if (!d)
		return;
	free(d->ranges);
	free(d->retired);
	free(d->user);
	free(d->mime);
	free(d->cache_control);
	free(d->upload);
	free(d);
}

static void draft_cleanup(struct draft *const *d)
{
	draft_free(*d);
}

static int dup_text(const char *text, char **ret, struct supafs_str *ret_view)
{
	if (!text)
		return 0;
	*ret = strdup(text);
	if (!*ret)
		return -ENOMEM;
	*ret_view = supafs_str_of(*ret);
	return 0;
}

static int copy_strings_locked(const struct vfs_content *c, struct draft *d)
{
	const struct supafs_str user = supafs_buf_str(&c->user);
	int r = 0;

	if (user.n > 0) {
		d->user = malloc(user.n);
		if (!d->user)
			return -ENOMEM;
		memcpy(d->user, user.p, user.n);
		d->rec.user = (struct supafs_str){d->user, user.n};
	}
	r = dup_text(c->mime, &d->mime, &d->rec.mime);
	if (r == 0)
		r = dup_text(c->cache_control, &d->cache_control, &d->rec.cache_control);
	return r == 0 ? dup_text(c->promise->upload, &d->upload, &d->rec.upload) : r;
}

static unsigned flags_of(const struct vfs_content *c, enum vfs_state as)
{
	unsigned flags = 0;

	if (as == VFS_HELD)
		flags |= SUPAFS_JOURNAL_HELD;
	if (as == VFS_FAILED)
		flags |= SUPAFS_JOURNAL_FAILED;
	if (c->exclusive)
		flags |= SUPAFS_JOURNAL_EXCLUSIVE;
	if (c->remote)
		flags |= SUPAFS_JOURNAL_REMOTE;
	if (c->maybe_remote)
		flags |= SUPAFS_JOURNAL_MAYBE_REMOTE;
	return flags | SUPAFS_JOURNAL_SENT; /* or is about to be */
}

/* What the record names: a reference, a spool as it is, or the first part of one. */
static int body_locked(const struct vfs_content *c, bool fresh, struct draft *d)
{
	const struct vfs_promise *p = c->promise;
	const bool now = fresh || p->current;
	const struct vfs_reference *ref = now ? c->ref : p->ref;

	d->rec.base = c->version;
	if (ref) {
		d->from = ref->key;
		d->rec.flags |= SUPAFS_JOURNAL_REFERENCE;
		d->rec.from = vfs_key_full(&d->from);
		d->rec.base = ref->version;
		d->rec.reference_n = ref->n;
		return 0;
	}
	d->spool = now || !p->old ? c->spool : p->old;
	if (!d->spool)
		return -ENOENT;
	if (now || !p->ranges)
		return 0;
	d->by_map = true; /* it goes on behind what is promised */
	d->rec.map = p->map;
	d->ranges = calloc(p->map.n ? p->map.n : 1, sizeof(*d->ranges));
	if (!d->ranges)
		return -ENOMEM;
	if (p->map.n)
		memcpy(d->ranges, p->ranges, p->map.n * sizeof(*d->ranges));
	d->rec.map.ranges = d->ranges;
	return 0;
}

/* `fresh`: of what the content is now; else of what is promised already. */
static int fill_locked(struct vfs_content *c, enum vfs_state as, bool fresh, struct draft *d)
{
	struct vfs_promise *p = c->promise;
	const bool now = fresh || p->current;

	if (!p->id[0])
		supafs_journal_new_id(p->id);
	if (!p->nonce[0])
		vfs_nonce_make(p->nonce);
	d->rec.kind = SUPAFS_JOURNAL_CONTENT;
	d->rec.flags = flags_of(c, as);
	memcpy(d->rec.id, p->id, sizeof(d->rec.id));
	d->rec.key = vfs_key_full(&d->place.key);
	d->rec.meta = now ? c->meta : p->meta;
	d->rec.since_ns = p->since_ns;
	d->rec.tries = p->tries;
	d->rec.error = p->error;
	memcpy(d->text, p->text, sizeof(d->text));
	d->rec.text = supafs_str_of(d->text);
	memcpy(d->nonce, p->nonce, sizeof(d->nonce));
	d->rec.nonce = supafs_str_of(d->nonce);
	return body_locked(c, fresh, d);
}

static int write_draft(struct supafs_vfs *v, struct draft *d, bool durable)
{
	struct supafs_journal *j = v->cfg.journal;
	int r;

	if (!d->spool)
		return durable ? supafs_journal_put(j, &d->rec) : supafs_journal_note(j, &d->rec);
	if (!d->by_map)
		return durable ? supafs_journal_put_spool(j, &d->rec, d->spool)
			       : supafs_journal_note_spool(j, &d->rec, d->spool);
	r = durable ? supafs_spool_sync(d->spool) : 0;
	if (r != 0)
		return r;
	return durable ? supafs_journal_put(j, &d->rec) : supafs_journal_note(j, &d->rec);
}

/* The wall clock, but later than any time that a record of this mount has: of two records of one
 * key the newer counts, whatever the clock does. */
static int64_t now_or_later(struct supafs_vfs *v)
{
	const int64_t now = v->cfg.clock->wall_ns(v->cfg.clock);
	int64_t last = atomic_load(&v->last_since_ns), next;

	do
		next = now > last ? now : last + 1;
	while (!atomic_compare_exchange_weak(&v->last_since_ns, &last, next));
	return next;
}

void vfs_promise_since(struct supafs_vfs *v, int64_t since_ns)
{
	int64_t last = atomic_load(&v->last_since_ns);

	while (since_ns > last && !atomic_compare_exchange_weak(&v->last_since_ns, &last, since_ns))
		;
}

/* What the journal is to be told: to whom, as what, how. */
struct order {
	enum vfs_state as; /* VFS_STATE__COUNT: as before */
	bool fresh;        /* of what the content is now */
	bool durable;
	const struct vfs_key *key; /* NULL: the node's own */
};

/* -ECANCELED: there is nothing to write. */
static int draft_new(
	struct supafs_vfs *v, struct vfs_node *node, const struct order *o, struct draft **ret)
{
	supafs_cleanup(draft_cleanup) struct draft *d = calloc(1, sizeof(*d));
	struct vfs_content *c = node->content;
	int r;

	if (!d)
		return -ENOMEM;
	d->retired = calloc(1, sizeof(*d->retired));
	if (!d->retired) {
		draft_free(supafs_steal(&d));
		return -ENOMEM;
	}
	SUPAFS_SCOPED_LOCK(&v->ns);
	SUPAFS_SCOPED_LOCK(&c->lock);
	/* NOLINTBEGIN(clang-analyzer-unix.Malloc): the cleanup frees the draft */
	if (c->unlinked)
		return -ENOENT;
	if (!o->fresh && (!c->promise || !c->promise->stands))
		return -ECANCELED;
	if (!vfs_promise_of_locked(c))
		return -ENOMEM;
	if (c->promise->since_ns == 0)
		c->promise->since_ns = now_or_later(v);
	r = vfs_node_place_locked(v, node, &d->place);
	if (r != 0)
		return r;
	if (o->key)
		d->place.key = *o->key;
	r = fill_locked(c, o->as == VFS_STATE__COUNT ? c->promise->as : o->as, o->fresh, d);
	if (r == 0)
		r = copy_strings_locked(c, d);
	if (r != 0)
		return r;
	if (d->spool)
		vfs_content_io_begin_locked(c);
	*ret = supafs_steal(&d);
	return 0;
	/* NOLINTEND(clang-analyzer-unix.Malloc) */
}

/* The record has let it go. */
static void retire_old_locked(struct vfs_content *c, struct vfs_retired **place)
{
	struct vfs_promise *p = c->promise;

	if (!p->old)
		return;
	supafs_spool_keep(p->old, false);
	(*place)->spool = supafs_steal(&p->old);
	vfs_content_retire_locked(c, supafs_steal(place));
}

/* The record is of what the content is now. */
static void made_locked(struct vfs_content *c, enum vfs_state as, struct draft *d)
{
	struct vfs_promise *p = c->promise;

	retire_old_locked(c, &d->retired);
	free(p->ref);
	p->ref = NULL;
	free(p->ranges);
	p->ranges = NULL;
	p->map = (struct supafs_spool_map){.size = 0};
	p->stands = p->current = true;
	p->shared = false;
	p->size = vfs_content_size_locked(c);
	p->meta = c->meta;
	p->as = as;
	if (c->spool)
		supafs_spool_keep(c->spool, true);
}

/* Inside of record_lock. */
static int record(struct supafs_vfs *v, struct vfs_node *node, const struct order *o)
	SUPAFS_REQUIRES(node->content->record_lock);
static int record(struct supafs_vfs *v, struct vfs_node *node, const struct order *o)
{
	supafs_cleanup(draft_cleanup) struct draft *d = NULL;
	struct vfs_content *c = node->content;
	bool durable = o->durable, unsynced;
	int r = draft_new(v, node, o, &d);

	if (r != 0)
		return r == -ECANCELED ? 0 : r;
	{
		/* A note must not outlive the spool that the last durable record names, nor come
		 * before the bytes that it names. */
		SUPAFS_SCOPED_LOCK(&c->lock);
		durable = durable || d->by_map ||
			  (o->fresh && (c->promise->old || vfs_content_size_locked(c) >
								   SUPAFS_JOURNAL_INLINE_MAX));
	}
	/* Before the sync: what is removed during it is for the next one. */
	unsynced = durable && atomic_exchange(&v->unsynced, false);
	r = write_draft(v, d, durable);
	if (r != 0 && unsynced)
		atomic_store(&v->unsynced, true);
	{
		SUPAFS_SCOPED_LOCK(&c->lock);
		if (r == 0)
			c->promise->key_hash = supafs_hash_str(d->rec.key);
		if (r == 0 && o->fresh)
			made_locked(c, o->as, d);
		else if (r == 0 && o->as != VFS_STATE__COUNT)
			c->promise->as = o->as;
	}
	if (d->spool)
		vfs_content_io_end(c);
	vfs_content_sweep(c);
	return r;
}

int vfs_promise_make(struct supafs_vfs *v, struct vfs_node *node, enum vfs_state as, bool durable)
{
	const struct order o = {.as = as, .fresh = true, .durable = durable};

	if (!v->cfg.journal)
		return -EOPNOTSUPP;
	SUPAFS_SCOPED_LOCK(&node->content->record_lock);
	return record(v, node, &o);
}

/* Keeps writers out, also of an upload: who appends to what is promised would be in the record. */
static void hold_writers(struct vfs_content *c)
{
	SUPAFS_SCOPED_LOCK(&c->lock);
	while (c->claimed)
		supafs_cond_wait(&c->cond, &c->lock);
	c->claimed = true;
}

void vfs_promise_refresh(struct supafs_vfs *v, struct vfs_node *node)
{
	struct vfs_content *c = node->content;
	bool current;

	{
		/* An earlier upload that has arrived has not brought this. */
		SUPAFS_SCOPED_LOCK(&c->lock);
		if (c->promise && c->state != VFS_UPLOADING) {
			c->promise->nonce[0] = '\0';
			c->promise->look = false;
		}
	}
	if (!v->cfg.journal || !vfs_promise_stands(c))
		return;
	hold_writers(c);
	{
		SUPAFS_SCOPED_LOCK(&node->content->record_lock);
		{
			SUPAFS_SCOPED_LOCK(&c->lock);
			current = c->promise && c->promise->current;
			if (current)
				c->promise->meta = c->meta;
		}
		if (current)
			(void)record(v, node, &(const struct order){.as = VFS_STATE__COUNT});
	}
	vfs_content_unclaim(c);
}

int vfs_promise_rekey(struct supafs_vfs *v, struct vfs_node *node, enum vfs_state as, bool durable)
{
	const struct order o = {.as = as, .durable = durable};
	struct vfs_content *c = node->content;
	int r;

	if (!v->cfg.journal || !vfs_promise_stands(c))
		return 0;
	hold_writers(c);
	{
		SUPAFS_SCOPED_LOCK(&node->content->record_lock);
		{
			/* Of two records of one key the newer counts: this one. */
			SUPAFS_SCOPED_LOCK(&c->lock);
			if (c->promise && c->promise->stands)
				c->promise->since_ns = now_or_later(v);
		}
		r = record(v, node, &o);
	}
	vfs_content_unclaim(c);
	return r;
}

void vfs_promise_rekey_below(struct supafs_vfs *v, struct vfs_node *top)
{
	struct vfs_node_list list = {NULL, 0};

	if (!v->cfg.journal || vfs_node_below(v, top, &list) != 0)
		return;
	for (size_t i = 0; i < list.n; i++) {
		if (!vfs_content_peek(v, list.p[i]))
			continue;
		(void)vfs_promise_rekey(v, list.p[i], VFS_STATE__COUNT, true);
		vfs_content_put(v, list.p[i]);
	}
	vfs_node_list_fini(v, &list);
}

void vfs_promise_sending(struct supafs_vfs *v, struct vfs_node *node, const struct vfs_key *key)
{
	struct vfs_content *c = node->content;
	struct order o = {.as = VFS_STATE__COUNT, .key = key};
	bool write = false;

	if (!v->cfg.journal)
		return;
	SUPAFS_SCOPED_LOCK(&node->content->record_lock);
	{
		SUPAFS_SCOPED_LOCK(&c->lock);
		const struct vfs_promise *p = c->promise;

		if (p && p->stands && !p->current) {
			/* Or the older bytes would be sent again after these. */
			o.as = VFS_QUEUED;
			o.fresh = write = true;
		} else if (p && p->stands) {
			write = p->key_hash != supafs_hash_str(vfs_key_full(key));
			/* Of two records of one key the newer counts: this one. */
			if (write)
				c->promise->since_ns = now_or_later(v);
		}
	}
	if (write)
		(void)record(v, node, &o);
}

void vfs_promise_upload(struct supafs_vfs *v, struct vfs_node *node, const char *id)
{
	struct vfs_content *c = node->content;
	char *copy = *id ? strdup(id) : NULL;
	bool note = false;

	SUPAFS_SCOPED_LOCK(&node->content->record_lock);
	{
		SUPAFS_SCOPED_LOCK(&c->lock);
		struct vfs_promise *p = vfs_promise_of_locked(c);

		if (p) {
			char *old = p->upload;

			p->upload = copy;
			copy = old;
			note = v->cfg.journal && p->stands && p->current;
		}
	}
	free(copy);
	if (note)
		(void)record(v, node, &(const struct order){.as = VFS_STATE__COUNT});
}

void vfs_promise_drop_locked(struct supafs_vfs *v, struct vfs_content *c)
{
	struct vfs_retired *place;
	char id[SUPAFS_JOURNAL_ID] = "";

	{
		SUPAFS_SCOPED_LOCK(&c->lock);
		if (!c->promise)
			return;
		if (c->promise->stands)
			memcpy(id, c->promise->id, sizeof(id));
	}
	place = calloc(1, sizeof(*place));
	/* First the record, then its spool: never the other way round. */
	if (id[0]) {
		(void)supafs_journal_remove(v->cfg.journal, id);
		atomic_store(&v->unsynced, true);
	}
	{
		SUPAFS_SCOPED_LOCK(&c->lock);
		if (c->promise) {
			if (place)
				retire_old_locked(c, &place);
			vfs_promise_free(supafs_steal(&c->promise));
		}
		if (c->spool)
			supafs_spool_keep(c->spool, false);
	}
	free(place);
	vfs_content_sweep(c);
}

void vfs_promise_drop(struct supafs_vfs *v, struct vfs_node *node)
{
	struct vfs_content *c = node->content;

	SUPAFS_SCOPED_LOCK(&c->record_lock);
	vfs_promise_drop_locked(v, c);
}

void vfs_promise_replaced(struct supafs_vfs *v, struct vfs_node *node)
{
	struct vfs_content *c = node ? vfs_content_peek(v, node) : NULL;
	bool stands;

	if (!c)
		return;
	stands = vfs_promise_stands(c);
	vfs_promise_drop(v, node);
	vfs_content_put(v, node);
	if (stands)
		vfs_promise_barrier(v);
}

void vfs_promise_barrier(struct supafs_vfs *v)
{
	if (v->cfg.journal && atomic_exchange(&v->unsynced, false))
		(void)supafs_journal_sync(v->cfg.journal);
}

/* --- A close -------------------------------------------------------------------------------------
 */

/* Bytes that are missing over another object's version would be looked for under our own key after
 * a restart. */
static bool needs_all(struct vfs_content *c)
{
	SUPAFS_SCOPED_LOCK(&c->lock);
	return c->foreign_base && c->spool && !supafs_spool_complete(c->spool);
}

static bool promised_locked(const struct vfs_content *c, enum vfs_state as)
{
	return c->promise && c->promise->stands && c->promise->current && c->promise->as == as;
}

int vfs_content_promise(struct supafs_vfs *v, struct vfs_node *node, struct supafs_call *call,
	enum vfs_state as, bool durable, struct supafs_fault *fault)
{
	struct vfs_content *c = node->content;
	bool write = true;
	int r;

	if (!v->cfg.journal)
		return -EOPNOTSUPP;
	if (needs_all(c)) {
		r = vfs_content_complete(c, call, fault);
		if (r != 0)
			return r;
	}
	r = vfs_content_claim(c, call);
	if (r != 0)
		return r;
	{
		SUPAFS_SCOPED_LOCK(&c->lock);
		write = !c->unlinked && vfs_state_unsent(c->state) && !promised_locked(c, as);
	}
	if (write)
		r = vfs_promise_make(v, node, as, durable);
	{
		SUPAFS_SCOPED_LOCK(&c->lock);
		c->claimed = false;
		if (r == 0 && !c->unlinked && vfs_state_unsent(c->state))
			vfs_content_set_state_locked(c, as);
		supafs_cond_broadcast(&c->cond);
	}
	return r;
}
