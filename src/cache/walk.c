/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walks: one enumeration of a folder, page by page, read by any number of handles.
 *
 *	state      fetching  done  error     next page by
 *	idle       no        no    0         a reader that needs it, or a worker, ahead
 *	fetching   yes       no    0         the thread that fetches; readers wait or read what is
 *there done       no        yes   0         –  its listing is complete, and the folder's if it is
 *newest broken     no        no    -errno    –  the server's pages do not advance, or memory
 *                                              is spent: for good
 *
 * A failed page leaves the walk idle at the same cursor: the reader gets the error and may ask
 * again. `stale`: a reader was away for longer than the ttl between two pages; the walk goes on for
 * its readers, but is not kept. When the last reader leaves, a page under way is cancelled.
 *
 * Entries must rise strictly, so a walk ends whatever the server sends; and what a server without
 *an end sends is given up when all listings together take WALK_TIMES the memory that they may keep.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "supafs/util/name.h"

#include "catalog_priv.h"

#define AHEAD_TIMEOUT_MS 60000      /* of a page that nobody waits for yet */
#define WALK_TIMES       4          /* listings in use may exceed the memory so many times … */
#define WALK_LEAST       (1U << 20) /* … but this much is always allowed */

static const char no_advance[] = "the server's list pages do not advance";

/* --- Entries of a page --------------------------------------------------------------------------
 */

enum page_entry page_entry(
	struct supafs_str full_prefix, const struct supafs_entry *e, struct supafs_str *ret_seg)
{
	struct supafs_str rem = e->key;

	if (!supafs_str_starts(e->key, full_prefix))
		return PAGE_FOREIGN;
	rem.p += full_prefix.n;
	rem.n -= full_prefix.n;
	if (e->folder) {
		/* "w//x" lists under "w/" as "w/" or as "w//" (API §4.4) */
		if (rem.n > 0 && rem.p[rem.n - 1] == '/')
			rem.n--;
	} else if (rem.n == 0 || supafs_str_eq(rem, SUPAFS_STR(SUPAFS_PLACEHOLDER))) {
		return PAGE_KEEPER;
	}
	*ret_seg = rem;
	return PAGE_ENTRY;
}

void entry_attr(const struct supafs_entry *e, struct supafs_attr *ret_attr)
{
	struct supafs_attr a = {.folder = e->folder};

	if (!e->folder) {
		a.version = e->version;
		a.version.etag[SUPAFS_ETAG_MAX] = 0;
		a.modified_ns = e->modified_ns;
		a.meta = e->meta;
	}
	*ret_attr = a;
}

int protocol_fault(struct supafs_fault *fault, const char *text)
{
	supafs_fault_clear(fault);
	fault->class = SUPAFS_FAULT_PERMANENT;
	(void)snprintf(fault->text, sizeof(fault->text), "%s", text);
	return -EPROTO;
}

static void too_large_fault(struct supafs_fault *fault)
{
	supafs_fault_clear(fault);
	fault->class = SUPAFS_FAULT_PERMANENT;
	(void)snprintf(fault->text, sizeof(fault->text), "%s",
		"the folder's listing is too large: mount with a larger -o meta_memory");
}

/* --- Life ---------------------------------------------------------------------------------------
 */

static int walk_new_locked(struct supafs_catalog *c, struct folder *f, struct walk **ret_walk)
	SUPAFS_REQUIRES(c->lock);
static int walk_new_locked(struct supafs_catalog *c, struct folder *f, struct walk **ret_walk)
{
	struct walk *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return -ENOMEM;
	r = listing_new(catalog_seq_locked(c), &w->l);
	if (r < 0) {
		free(w);
		return r;
	}
	c->bytes += w->l->bytes;
	w->refs = 1;
	w->f = f;
	w->fresh_until = catalog_expiry(c);
	f->users++;
	f->walk = w;
	supafs_list_add_tail(&c->walks, &w->link);
	*ret_walk = w;
	return 0;
}

static void walk_unref_locked(struct supafs_catalog *c, struct walk *w) SUPAFS_REQUIRES(c->lock);
static void walk_unref_locked(struct supafs_catalog *c, struct walk *w)
{
	if (--w->refs > 0)
		return;
	if (w->f->walk == w)
		w->f->walk = NULL;
	w->f->users--;
	supafs_list_remove(&w->link);
	listing_drop_locked(c, &w->l);
	free(w);
}

/* --- Pages --------------------------------------------------------------------------------------
 */

struct page {
	struct supafs_catalog *c;
	struct walk *w;
	struct supafs_str prefix; /* with the mount's root */
	bool advanced;
	int refused; /* why the rest of the page was not taken, or no further page is */
};

/* Only the key of the folder itself may come twice: as its marker and as an empty segment. */
static bool rises(struct walk *w, struct supafs_str key, size_t prefix_n)
{
	int r = w->last_n == 0 ? 1 : supafs_str_cmp(key, (struct supafs_str){w->last, w->last_n});

	return r > 0 || (r == 0 && key.n == prefix_n && w->empties++ == 0);
}

static uint64_t entry_ino_locked(struct supafs_catalog *c, struct walk *w, struct supafs_str seg,
	bool is_folder) SUPAFS_REQUIRES(c->lock);
static uint64_t entry_ino_locked(
	struct supafs_catalog *c, struct walk *w, struct supafs_str seg, bool is_folder)
{
	char buf[SUPAFS_NAME_MAX];
	ssize_t n;

	if (!w->f->list && supafs_map_count(w->f->recs) == 0 && w->f->walk == w)
		return ++c->inos;
	n = supafs_name_decode(seg, buf, sizeof(buf));
	if (n <= 0)
		return ++c->inos;
	return ino_for_locked(c, w->f, (struct supafs_str){buf, (size_t)n}, is_folder);
}

/* A walk of a sane size goes on, also beside an insane one. */
static bool too_large_locked(struct supafs_catalog *c, struct walk *w) SUPAFS_REQUIRES(c->lock);
static bool too_large_locked(struct supafs_catalog *c, struct walk *w)
{
	const size_t most = c->memory > SIZE_MAX / WALK_TIMES ? SIZE_MAX : WALK_TIMES * c->memory;

	if (c->bytes <= most || c->bytes <= WALK_LEAST || w->l->bytes <= c->memory)
		return false;
	evict_locked(c); /* what is in use is kept, this walk's folder too */
	w->too_large = c->bytes > most && c->bytes > WALK_LEAST;
	return w->too_large;
}

static int page_add_locked(struct supafs_catalog *c, struct walk *w, struct supafs_str seg,
	const struct supafs_entry *e) SUPAFS_REQUIRES(c->lock);
static int page_add_locked(struct supafs_catalog *c, struct walk *w, struct supafs_str seg,
	const struct supafs_entry *e)
{
	enum seg_kind kind = segment_kind(seg, e->folder);
	size_t before = w->l->bytes;
	struct supafs_attr attr;
	int r;

	if (kind == SEG_ODD && !supafs_name_plain(seg))
		c->raw_seen = true;
	entry_attr(e, &attr);
	if (kind != SEG_HIDDEN)
		attr.ino = entry_ino_locked(c, w, seg, e->folder);
	r = listing_add(w->l, seg, &attr);
	c->bytes += w->l->bytes - before;
	return r == 0 && too_large_locked(c, w) ? -ENOMEM : r;
}

static int take_entry_locked(struct supafs_catalog *c, struct page *p, const struct supafs_entry *e)
	SUPAFS_REQUIRES(c->lock);
static int take_entry_locked(struct supafs_catalog *c, struct page *p, const struct supafs_entry *e)
{
	struct walk *w = p->w;
	struct supafs_str seg;

	if (e->key.n > WALK_KEY_MAX) {
		w->l->hidden++;
		return 0;
	}
	if (!rises(w, e->key, p->prefix.n))
		return -EPROTO;
	memcpy(w->last, e->key.p, e->key.n);
	w->last_n = e->key.n;
	p->advanced = true;
	switch (page_entry(p->prefix, e, &seg)) {
	case PAGE_KEEPER:
		w->l->keeper = true;
		if (c->on_placeholder && e->key.n > p->prefix.n && w->l->seq > w->f->keeper_seq)
			c->on_placeholder(c->placeholder_ctx, p->prefix, &e->meta);
		return 0;
	case PAGE_FOREIGN:
		w->l->hidden++;
		return 0;
	case PAGE_ENTRY:
		return page_add_locked(c, w, seg, e);
	}
	return -EPROTO;
}

static int on_entry(void *ctx, const struct supafs_entry *e)
{
	struct page *p = ctx;

	SUPAFS_SCOPED_LOCK(&p->c->lock);
	p->refused = take_entry_locked(p->c, p, e);
	return p->refused;
}

/* One page into the walk's listing. `*ret_refused` is set when it cannot be asked for again: a part
 * of it is in the listing. */
static int fetch(struct supafs_catalog *c, struct walk *w, struct supafs_call *call, bool *ret_more,
	int *ret_refused, struct supafs_fault *fault)
{
	struct page p = {.c = c, .w = w};
	struct supafs_cursor cursor = w->cursor; /* ours alone while fetching */
	char buf[KEY_BUF];
	int r = make_key(c, w->f->prefix, SUPAFS_STR(""), buf, &p.prefix);
	struct supafs_list_args args = {.prefix = p.prefix,
		.delimiter = true,
		.limit = SUPAFS_PAGE_LIMIT,
		.on_entry = on_entry,
		.ctx = &p};

	if (r == 0)
		r = c->store->ops->list(c->store, call, &args, &cursor, ret_more, fault);
	if (r == 0) {
		w->blanks = p.advanced ? 0 : w->blanks + 1;
		if (*ret_more && w->blanks > PROBE_PAGES)
			r = p.refused = -EPROTO;
		else
			w->cursor = cursor;
	}
	*ret_refused = p.refused;
	return r;
}

static int finish_locked(struct supafs_catalog *c, struct walk *w) SUPAFS_REQUIRES(c->lock);
static int finish_locked(struct supafs_catalog *c, struct walk *w)
{
	struct folder *f = w->f;
	size_t before = w->l->bytes;
	int r = listing_seal(w->l);

	c->bytes += w->l->bytes - before;
	if (r < 0)
		return r;
	w->done = true;
	if (f->walk == w)
		f->walk = NULL;
	if (!w->stale && w->l->seq > f->floor && w->l->bytes <= c->memory &&
		(!f->list || f->list->seq < w->l->seq))
		listing_store_locked(c, f, w->l);
	return 0;
}

/* One page; the walk is idle, and the caller's by a reference. The lock is released during the
 * request. */
static int walk_page_locked(struct supafs_catalog *c, struct walk *w, struct supafs_call *call,
	struct supafs_fault *fault) SUPAFS_REQUIRES(c->lock);
static int walk_page_locked(struct supafs_catalog *c, struct walk *w, struct supafs_call *call,
	struct supafs_fault *fault)
{
	bool more = false;
	int refused = 0;
	int r;

	assert(!w->fetching && !w->done && w->error == 0);
	if (w->last_n > 0 && catalog_now(c) >= w->fresh_until && c->ttl_ns > 0)
		w->stale = true;
	w->fetching = true;
	supafs_mutex_unlock(&c->lock);
	r = fetch(c, w, call, &more, &refused, fault);
	supafs_mutex_lock(&c->lock);
	w->fetching = false;
	if (r == 0) {
		w->ahead_failed = false;
		w->fresh_until = catalog_expiry(c);
		if (!more)
			r = refused = finish_locked(c, w);
	}
	w->error = refused;
	if (refused == -EPROTO)
		(void)protocol_fault(fault, no_advance);
	if (w->too_large)
		too_large_fault(fault);
	if (w->error != 0 && w->f->walk == w)
		w->f->walk = NULL;
	wake_all_locked(c);
	return r;
}

/* --- Ahead --------------------------------------------------------------------------------------
 */

struct ahead_job {
	struct supafs_catalog *c;
	struct walk *w; /* counted */
};

static bool ahead_wanted(const struct walk *w)
{
	size_t have = w->l->n + w->l->odd_n;

	return w->readers > 0 && !w->fetching && !w->done && w->error == 0 && !w->ahead_failed &&
	       have - w->position <= SUPAFS_PAGE_LIMIT;
}

static void ahead_run_locked(struct supafs_catalog *c, struct walk *w) SUPAFS_REQUIRES(c->lock);
static void ahead_run_locked(struct supafs_catalog *c, struct walk *w)
{
	struct supafs_fault fault;
	struct supafs_call call;

	supafs_fault_clear(&fault);
	supafs_call_init(&call, c->clock, AHEAD_TIMEOUT_MS);
	w->ahead = &call;
	if (walk_page_locked(c, w, &call, &fault) < 0)
		w->ahead_failed = true; /* the reader asks itself, and gets the error */
	w->ahead = NULL;
	supafs_call_fini(&call);
}

static void ahead_end(struct ahead_job *j, bool run)
{
	struct supafs_catalog *c = j->c;

	{
		SUPAFS_SCOPED_LOCK(&c->lock);
		j->w->ahead_queued = false;
		if (run && ahead_wanted(j->w))
			ahead_run_locked(c, j->w);
		walk_unref_locked(c, j->w);
		evict_locked(c);
	}
	free(j);
}

static void ahead_run(void *ctx)
{
	ahead_end(ctx, true);
}

static void ahead_drop(void *ctx)
{
	ahead_end(ctx, false);
}

void source_ahead_locked(struct supafs_catalog *c, struct source *s, size_t position)
{
	struct walk *w = s->w;
	struct ahead_job *j;

	if (!w || w->done)
		return;
	if (position > w->position)
		w->position = position;
	if (w->ahead_queued || !ahead_wanted(w))
		return;
	j = malloc(sizeof(*j));
	if (!j)
		return;
	*j = (struct ahead_job){c, w};
	w->refs++;
	w->ahead_queued = true;
	if (supafs_pool_submit(c->pool,
		    (struct supafs_job){.run = ahead_run, .drop = ahead_drop, .ctx = j}) < 0) {
		w->ahead_queued = false;
		w->refs--; /* not the last: the reader's is there */
		free(j);
	}
}

/* --- Sources ------------------------------------------------------------------------------------
 */

static bool list_usable_locked(struct supafs_catalog *c, const struct folder *f, uint64_t start,
	bool fresh) SUPAFS_REQUIRES(c->lock);
static bool list_usable_locked(
	struct supafs_catalog *c, const struct folder *f, uint64_t start, bool fresh)
{
	if (!f->list)
		return false;
	return f->list->seq > start || (!fresh && catalog_now(c) < f->list->expires_ns);
}

static bool walk_usable_locked(struct supafs_catalog *c, const struct folder *f, uint64_t start,
	bool fresh) SUPAFS_REQUIRES(c->lock);
static bool walk_usable_locked(
	struct supafs_catalog *c, const struct folder *f, uint64_t start, bool fresh)
{
	const struct walk *w = f->walk;

	if (!w || w->stale || w->l->seq <= f->floor)
		return false;
	if (w->l->seq > start)
		return true;
	return !fresh && c->ttl_ns > 0 && (w->fetching || catalog_now(c) < w->fresh_until);
}

int source_open_locked(struct supafs_catalog *c, struct folder *f, uint64_t start, bool fresh,
	struct source *ret_src)
{
	struct walk *w = NULL;
	int r;

	if (list_usable_locked(c, f, start, fresh)) {
		*ret_src = (struct source){.l = listing_ref(f->list)};
		folder_touch_locked(c, f);
		return 0;
	}
	if (walk_usable_locked(c, f, start, fresh)) {
		w = f->walk;
		w->refs++;
	} else {
		r = walk_new_locked(c, f, &w);
		if (r < 0)
			return r;
	}
	w->readers++;
	*ret_src = (struct source){.l = listing_ref(w->l), .w = w};
	return 0;
}

void source_close_locked(struct supafs_catalog *c, struct source *s)
{
	if (s->w) {
		if (--s->w->readers == 0 && s->w->ahead)
			supafs_call_cancel(s->w->ahead);
		walk_unref_locked(c, s->w);
	}
	listing_drop_locked(c, &s->l);
	s->w = NULL;
	c->evict_above = c->memory; /* what was in use may go now */
}

int source_more_locked(struct supafs_catalog *c, struct source *s, struct supafs_call *call,
	struct supafs_fault *fault)
{
	struct walk *w = s->w;

	if (!w || w->done)
		return 0;
	if (w->error == -EPROTO)
		return protocol_fault(fault, no_advance);
	if (w->too_large)
		too_large_fault(fault);
	if (w->error != 0)
		return w->error;
	if (w->fetching)
		return wait_locked(c, call);
	return walk_page_locked(c, w, call, fault);
}
