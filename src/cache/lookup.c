/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One name: from what is known, else by one request for its exact prefix (API §14).
 *
 * A look-up takes the number `start` when it begins. An answer is good if it is pending, or was
 * asked for after `start`, or is within its ttl (unless a fresh one is wanted). So with a ttl of 0
 * two threads still share a request if it was sent after both had begun.
 *
 *	flight    one a name: the first thread asks, others sleep until it is done, then look
 *	          again. Its error is theirs too, but not its time-out or interrupt.
 */
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "supafs/util/name.h"

#include "catalog_priv.h"

#define LOOKUP_LIMIT 50 /* the name, its likely neighbours, and rarely a second request */

static const struct supafs_str twin_mark = {"=2F", 3};

enum known {
	KNOWN_NOT,
	KNOWN_ABSENT,
	KNOWN_PRESENT,
};

struct view {
	enum known what;
	bool pending;
	uint64_t seq;
	int64_t expires_ns;
};

/* --- What is known ------------------------------------------------------------------------------
 */

int ask_init(struct supafs_str name, struct ask *ret_ask)
{
	ssize_t n;

	if (name.n > SUPAFS_NAME_MAX)
		return -ENAMETOOLONG;
	n = supafs_name_encode(name, ret_ask->buf, sizeof(ret_ask->buf));
	if (n < 0 && n != -ENAMETOOLONG)
		return (int)n;
	ret_ask->name = name;
	ret_ask->seg = (struct supafs_str){ret_ask->buf, n < 0 ? 0 : (size_t)n};
	ret_ask->odd = supafs_str_eq(name, SUPAFS_STR("=2E")) ||
		       supafs_str_eq(name, SUPAFS_STR("=2E=2E")) ||
		       supafs_str_ends(name, twin_mark) ||
		       (supafs_name_plain(name) && segment_kind(name, false) == SEG_ODD);
	return 0;
}

static void view_rec(const struct rec *r, struct view *v, struct supafs_dirent *ent)
{
	v->seq = r->seq;
	v->expires_ns = r->expires_ns;
	v->pending = r->state == REC_PENDING;
	if (r->state == REC_UNKNOWN)
		return;
	v->what = r->present ? KNOWN_PRESENT : KNOWN_ABSENT;
	if (r->present)
		rec_entry(r, ent);
}

/* A walk in progress answers for what it has passed. */
static void view_walk(
	const struct walk *w, const struct ask *a, struct view *v, struct supafs_dirent *ent)
{
	enum known what = KNOWN_NOT;

	if (listing_find(w->l, a->name, a->seg, ent))
		what = KNOWN_PRESENT;
	else if (!a->odd && a->seg.n > 0 && listing_covers(w->l, a->seg))
		what = KNOWN_ABSENT;
	if (what != KNOWN_NOT)
		*v = (struct view){.what = what, .seq = w->l->seq, .expires_ns = w->fresh_until};
}

static void view_locked(struct supafs_catalog *c, struct folder *f, const struct ask *a,
	struct view *ret_view, struct supafs_dirent *ent) SUPAFS_REQUIRES(c->lock);
static void view_locked(struct supafs_catalog *c, struct folder *f, const struct ask *a,
	struct view *ret_view, struct supafs_dirent *ent)
{
	const struct rec *r = rec_find_locked(c, f, a->name);
	const struct walk *w = f->walk;
	struct view v = {.what = KNOWN_NOT};

	if (r)
		view_rec(r, &v, ent);
	if (!v.pending && f->list && f->list->seq > v.seq) {
		v.seq = f->list->seq;
		v.expires_ns = f->list->expires_ns;
		v.what = listing_find(f->list, a->name, a->seg, ent) ? KNOWN_PRESENT : KNOWN_ABSENT;
	}
	if (!v.pending && w && !w->stale && w->l->seq > v.seq && w->l->seq > f->floor)
		view_walk(w, a, &v, ent);
	*ret_view = v;
}

static bool good_locked(struct supafs_catalog *c, const struct view *v, uint64_t start, bool fresh)
	SUPAFS_REQUIRES(c->lock);
static bool good_locked(struct supafs_catalog *c, const struct view *v, uint64_t start, bool fresh)
{
	if (v->what == KNOWN_NOT)
		return false;
	return v->pending || v->seq > start || (!fresh && catalog_now(c) < v->expires_ns);
}

static int answer(const struct view *v)
{
	return v->what == KNOWN_PRESENT ? 0 : -ENOENT;
}

/* --- Asking -------------------------------------------------------------------------------------
 */

struct probe {
	struct supafs_str dir; /* with the mount's root */
	struct listing *page;  /* what the page brought, in this folder */
	bool below;            /* the folder is there, behind the page */
	bool raw;
	size_t last_n;
	char last[KEY_BUF];
};

static int on_probe(void *ctx, const struct supafs_entry *e)
{
	struct probe *p = ctx;
	struct supafs_attr attr;
	struct supafs_str seg;

	if (e->key.n > sizeof(p->last))
		return 0;
	if (p->last_n > 0 && supafs_str_cmp(e->key, (struct supafs_str){p->last, p->last_n}) <= 0)
		return -EPROTO;
	memcpy(p->last, e->key.p, e->key.n);
	p->last_n = e->key.n;
	if (page_entry(p->dir, e, &seg) != PAGE_ENTRY)
		return 0;
	p->raw |= !supafs_name_plain(seg);
	entry_attr(e, &attr);
	return listing_add(p->page, seg, &attr);
}

int list_page(struct supafs_catalog *c, struct supafs_call *call,
	const struct supafs_list_args *args, struct supafs_cursor *cursor, bool *ret_more,
	struct supafs_fault *fault)
{
	int r = c->store->ops->list(c->store, call, args, cursor, ret_more, fault);

	if (r == -EPROTO && fault->class == SUPAFS_FAULT_NONE)
		return protocol_fault(fault, "the server's list page is not in order");
	return r;
}

static int on_any(void *ctx, const struct supafs_entry *e)
{
	(void)e;
	*(bool *)ctx = true;
	return 0;
}

/* Is there anything below `prefix`? */
static int probe_below(struct supafs_catalog *c, struct supafs_call *call, struct supafs_str prefix,
	bool *ret_any, struct supafs_fault *fault)
{
	struct supafs_cursor cursor = {.n = 0};
	bool any = false, more = true;
	struct supafs_list_args args = {
		.prefix = prefix, .delimiter = true, .limit = 1, .on_entry = on_any, .ctx = &any};

	for (unsigned i = 0; i < PROBE_PAGES && more && !any; i++) {
		int r = list_page(c, call, &args, &cursor, &more, fault);

		if (r < 0)
			return r;
	}
	if (more && !any)
		return protocol_fault(fault, "the server's list pages do not advance");
	*ret_any = any;
	return 0;
}

/* The exact key sorts first, but behind a page of neighbours (`zoo-a` …) may still be `zoo/`. */
static int probe_folder(struct supafs_catalog *c, const struct query *q, struct probe *p)
{
	const struct ask *a = q->a;
	struct supafs_str key;
	char buf[KEY_BUF];
	bool any;
	int r;

	memcpy(buf, p->dir.p, p->dir.n);
	memcpy(buf + p->dir.n, a->seg.p, a->seg.n);
	buf[p->dir.n + a->seg.n] = '/';
	key = (struct supafs_str){buf, p->dir.n + a->seg.n + 1};
	if (key.n > SUPAFS_KEY_MAX)
		return 0; /* no key fits below it */
	if (p->last_n > 0 && supafs_str_cmp((struct supafs_str){p->last, p->last_n}, key) >= 0)
		return 0;
	r = probe_below(c, q->call, key, &any, q->fault);
	if (r < 0 || !any)
		return r;
	p->below = true;
	return 0;
}

static int probe_run(struct supafs_catalog *c, const struct query *q, struct probe *p)
{
	struct supafs_cursor cursor = {.n = 0};
	const struct supafs_str seg = q->a->seg;
	char buf[KEY_BUF];
	struct supafs_str key;
	bool more = false;
	size_t i;
	int r = make_key(c, q->f->prefix, seg, buf, &key);
	struct supafs_list_args args = {.prefix = key,
		.delimiter = true,
		.limit = LOOKUP_LIMIT,
		.on_entry = on_probe,
		.ctx = p};

	if (r < 0)
		return r;
	p->dir = (struct supafs_str){buf, key.n - seg.n};
	r = list_page(c, q->call, &args, &cursor, &more, q->fault);
	if (r < 0 || !more || listing_find_seg(p->page, seg, false, &i) ||
		listing_find_seg(p->page, seg, true, &i))
		return r;
	return probe_folder(c, q, p);
}

/* Keeps the page's ordinary entries, all complete: of a pair the file comes before the folder. */
static void keep_neighbours_locked(struct supafs_catalog *c, struct folder *f,
	const struct listing *page, uint64_t seq) SUPAFS_REQUIRES(c->lock);
static void keep_neighbours_locked(
	struct supafs_catalog *c, struct folder *f, const struct listing *page, uint64_t seq)
{
	struct supafs_dirent ent;

	for (size_t i = 0; i < page->n; i++) {
		struct supafs_str name;

		listing_get(page, i, &ent);
		name = (struct supafs_str){ent.name, ent.name_n};
		ent.attr.ino = ino_for_locked(c, f, name, ent.attr.folder);
		rec_learn_locked(c, f,
			&(struct rec_new){.name = name,
				.seg = {ent.seg, ent.seg_n},
				.state = REC_LOOKED,
				.present = true,
				.seq = seq,
				.expires_ns = catalog_expiry(c),
				.attr = &ent.attr});
	}
}

static bool probe_answer(const struct probe *p, const struct ask *a, struct supafs_dirent *ent)
{
	if (listing_find(p->page, a->name, a->seg, ent))
		return true;
	if (!p->below)
		return false;
	*ent = (struct supafs_dirent){
		.name_n = a->name.n, .seg_n = a->seg.n, .attr = {.folder = true}};
	memcpy(ent->name, a->name.p, a->name.n);
	memcpy(ent->seg, a->seg.p, a->seg.n);
	return true;
}

/* The reply's own answer; newer knowledge that came meanwhile goes before it. */
static int settle_locked(struct supafs_catalog *c, const struct query *q, const struct probe *p,
	uint64_t seq, struct supafs_dirent *ret_ent) SUPAFS_REQUIRES(c->lock);
static int settle_locked(struct supafs_catalog *c, const struct query *q, const struct probe *p,
	uint64_t seq, struct supafs_dirent *ret_ent)
{
	struct supafs_dirent ent;
	struct view v;

	const struct ask *a = q->a;
	struct folder *f = q->f;
	bool found = probe_answer(p, a, &ent);

	c->raw_seen |= p->raw;
	keep_neighbours_locked(c, f, p->page, seq);
	if (found)
		ent.attr.ino = ino_for_locked(c, f, a->name, ent.attr.folder);
	rec_learn_locked(c, f,
		&(struct rec_new){.name = a->name,
			.seg = a->seg,
			.state = REC_LOOKED,
			.present = found,
			.seq = seq,
			.expires_ns = catalog_expiry(c),
			.attr = found ? &ent.attr : NULL});
	view_locked(c, f, a, &v, ret_ent);
	if (v.what != KNOWN_NOT && (v.pending || v.seq >= seq))
		return answer(&v);
	if (found)
		*ret_ent = ent;
	return found ? 0 : -ENOENT;
}

static int request_locked(struct supafs_catalog *c, const struct query *q,
	struct supafs_dirent *ret_ent) SUPAFS_REQUIRES(c->lock);
static int request_locked(
	struct supafs_catalog *c, const struct query *q, struct supafs_dirent *ret_ent)
{
	struct probe p = {.page = NULL};
	uint64_t seq = catalog_seq_locked(c);
	int r = listing_new(seq, &p.page);

	if (r < 0)
		return r;
	supafs_mutex_unlock(&c->lock);
	r = probe_run(c, q, &p);
	supafs_mutex_lock(&c->lock);
	if (r == 0)
		r = settle_locked(c, q, &p, seq, ret_ent);
	p.page = listing_unref(p.page);
	return r;
}

/* --- Flights ------------------------------------------------------------------------------------
 */

static struct flight *flight_find(const struct folder *f, struct supafs_str name)
{
	supafs_list_for_each (it, &f->flights) {
		struct flight *fl = supafs_list_entry(it, struct flight, link);

		if (supafs_str_eq(fl->name, name))
			return fl;
	}
	return NULL;
}

static void flight_unref(struct flight *fl)
{
	if (--fl->refs == 0)
		free(fl);
}

/* Others want this name too: they sleep until this thread has its answer. */
static int fly_locked(struct supafs_catalog *c, const struct query *q,
	struct supafs_dirent *ret_ent) SUPAFS_REQUIRES(c->lock);
static int fly_locked(
	struct supafs_catalog *c, const struct query *q, struct supafs_dirent *ret_ent)
{
	struct flight *fl = calloc(1, sizeof(*fl));
	int r;

	if (!fl)
		return -ENOMEM;
	fl->name = q->a->name;
	fl->refs = 1;
	supafs_list_add_tail(&q->f->flights, &fl->link);
	r = request_locked(c, q, ret_ent);
	supafs_list_remove(&fl->link);
	fl->done = true;
	if (r < 0 && r != -ENOENT && r != -EINTR && r != -ETIMEDOUT) {
		fl->error = r;
		fl->fault = *q->fault;
	}
	flight_unref(fl);
	wake_all_locked(c);
	return r;
}

static int join_locked(struct supafs_catalog *c, struct flight *fl, const struct query *q)
	SUPAFS_REQUIRES(c->lock);
static int join_locked(struct supafs_catalog *c, struct flight *fl, const struct query *q)
{
	int r = 0;

	fl->refs++;
	while (r == 0 && !fl->done)
		r = wait_locked(c, q->call);
	if (r == 0 && fl->error < 0) {
		r = fl->error;
		*q->fault = fl->fault;
	}
	flight_unref(fl);
	return r;
}

/* --- Many names of one folder -------------------------------------------------------------------
 */

/* Who asks for one name after the other (rsync, a build) will ask for all: then the folder's
 * listing is cheaper. The third one within the ttl tries it, and if the folder turns out to be
 * larger than the look-ups justify, the 16th, 64th, 256th again: never more pages than half of the
 * look-ups. */
static bool many_misses_locked(struct supafs_catalog *c, struct folder *f, unsigned *ret_pages)
	SUPAFS_REQUIRES(c->lock);
static bool many_misses_locked(struct supafs_catalog *c, struct folder *f, unsigned *ret_pages)
{
	const int64_t now = catalog_now(c);
	unsigned step;

	if (now - f->misses_since_ns >= c->ttl_ns) {
		f->misses_since_ns = now;
		f->misses = 0;
	}
	if (f->misses < UINT_MAX)
		f->misses++;
	*ret_pages = f->misses < 4 ? 2 : f->misses / 2;
	for (step = 16; step < f->misses && step <= UINT_MAX / 4; step *= 4)
		continue;
	return f->misses == 3 || f->misses == step;
}

/* Lists up to so many pages; a listing that is complete then is kept. */
static int list_folder_locked(struct supafs_catalog *c, const struct query *q, uint64_t start,
	unsigned pages) SUPAFS_REQUIRES(c->lock);
static int list_folder_locked(
	struct supafs_catalog *c, const struct query *q, uint64_t start, unsigned pages)
{
	struct source src;
	int r = source_open_locked(c, q->f, start, false, &src);

	if (r < 0)
		return r;
	while (r == 0 && !src.l->complete && pages-- > 0)
		r = source_more_locked(c, &src, q->call, q->fault);
	source_close_locked(c, &src);
	return r;
}

/* --- Look-ups -----------------------------------------------------------------------------------
 */

static int plain_locked(struct supafs_catalog *c, const struct query *q,
	struct supafs_dirent *ret_ent) SUPAFS_REQUIRES(c->lock);
static int plain_locked(
	struct supafs_catalog *c, const struct query *q, struct supafs_dirent *ret_ent)
{
	const uint64_t start = c->seq;
	bool listed = c->ttl_ns == 0, list;
	struct flight *fl;
	unsigned pages;
	struct view v;
	int r;

	for (;;) {
		view_locked(c, q->f, q->a, &v, ret_ent);
		if (good_locked(c, &v, start, q->fresh))
			return answer(&v);
		if (q->a->seg.n == 0)
			return -ENAMETOOLONG;
		fl = flight_find(q->f, q->a->name);
		list = !fl && !listed && !q->fresh && many_misses_locked(c, q->f, &pages);
		listed = listed || list;
		if (list)
			r = list_folder_locked(c, q, start, pages);
		else if (fl)
			r = join_locked(c, fl, q);
		else
			return fly_locked(c, q, ret_ent);
		if (r < 0)
			return r;
	}
}

static int odd_answer_locked(struct supafs_catalog *c, const struct query *q,
	const struct listing *l, struct supafs_dirent *ret_ent) SUPAFS_REQUIRES(c->lock);
static int odd_answer_locked(struct supafs_catalog *c, const struct query *q,
	const struct listing *l, struct supafs_dirent *ret_ent)
{
	struct view v;

	view_locked(c, q->f, q->a, &v, ret_ent);
	if (v.what != KNOWN_NOT && (v.pending || v.seq >= l->seq))
		return answer(&v);
	return listing_find(l, q->a->name, q->a->seg, ret_ent) ? 0 : -ENOENT;
}

/* Which entry shows under an odd name depends on the whole folder: walks it. */
static int odd_locked(struct supafs_catalog *c, const struct query *q,
	struct supafs_dirent *ret_ent) SUPAFS_REQUIRES(c->lock);
static int odd_locked(
	struct supafs_catalog *c, const struct query *q, struct supafs_dirent *ret_ent)
{
	const uint64_t start = c->seq;
	struct source src;
	struct view v;
	int r;

	view_locked(c, q->f, q->a, &v, ret_ent);
	if (good_locked(c, &v, start, q->fresh))
		return answer(&v);
	if (v.what == KNOWN_NOT && v.seq > 0) /* forgotten: what is older does not count */
		r = source_open_locked(c, q->f, v.seq, true, &src);
	else
		r = source_open_locked(c, q->f, start, q->fresh, &src);
	if (r < 0)
		return r;
	while (r == 0 && !src.l->complete)
		r = source_more_locked(c, &src, q->call, q->fault);
	if (r == 0)
		r = odd_answer_locked(c, q, src.l, ret_ent);
	source_close_locked(c, &src);
	return r;
}

/* `a=2F` means the folder `a/` also when no file `a` is beside it any more: who was given that
 * name by a listing can still use it. */
static int twin_locked(struct supafs_catalog *c, const struct query *q,
	struct supafs_dirent *ret_ent) SUPAFS_REQUIRES(c->lock);
static int twin_locked(
	struct supafs_catalog *c, const struct query *q, struct supafs_dirent *ret_ent)
{
	const struct supafs_str name = q->a->name;
	struct query base = *q;
	struct supafs_dirent ent;
	struct ask a;
	int r = ask_init((struct supafs_str){name.p, name.n - twin_mark.n}, &a);

	if (r < 0 || a.odd)
		return -ENOENT;
	base.a = &a;
	r = plain_locked(c, &base, &ent);
	if (r < 0 || !ent.attr.folder)
		return r < 0 ? r : -ENOENT;
	memcpy(ent.name, name.p, name.n);
	ent.name[name.n] = 0;
	ent.name_n = name.n;
	*ret_ent = ent;
	return 0;
}

int lookup_locked(struct supafs_catalog *c, const struct query *q, struct supafs_dirent *ret_ent)
{
	/* Only a listing knows raw segments; on a server that has some, any such name may be one.
	 */
	bool odd = q->a->odd || (c->raw_seen && !supafs_name_plain(q->a->name));
	int r = odd ? odd_locked(c, q, ret_ent) : plain_locked(c, q, ret_ent);

	if (r == -ENOENT && supafs_str_ends(q->a->name, twin_mark))
		r = twin_locked(c, q, ret_ent);
	return r;
}

/* NOLINTNEXTLINE(readability-function-size): the store's form, plus what one name needs */
int supafs_catalog_lookup(struct supafs_catalog *c, struct supafs_call *call,
	struct supafs_str prefix, struct supafs_str name, bool fresh, struct supafs_dirent *ret_ent,
	struct supafs_fault *fault)
{
	struct query q = {.call = call, .fresh = fresh, .fault = fault};
	struct supafs_dirent ent;
	struct ask a;
	int r = ask_init(name, &a);

	supafs_fault_clear(fault);
	if (r < 0)
		return r;
	q.a = &a;
	SUPAFS_SCOPED_LOCK(&c->lock);
	q.f = folder_get_locked(c, prefix);
	if (!q.f)
		return -ENOMEM;
	q.f->users++;
	r = lookup_locked(c, &q, &ent);
	q.f->users--;
	folder_check_locked(c, q.f);
	folder_touch_locked(c, q.f);
	evict_locked(c);
	if (r == 0)
		*ret_ent = ent;
	return r;
}

enum supafs_peek supafs_catalog_peek(struct supafs_catalog *c, struct supafs_str prefix,
	struct supafs_str name, struct supafs_dirent *ret_ent)
{
	struct supafs_dirent ent;
	struct folder *f;
	struct view v;
	struct ask a;

	if (ask_init(name, &a) < 0)
		return SUPAFS_PEEK_UNKNOWN;
	SUPAFS_SCOPED_LOCK(&c->lock);
	f = folder_find_locked(c, prefix);
	if (!f)
		return SUPAFS_PEEK_UNKNOWN;
	view_locked(c, f, &a, &v, &ent);
	if (v.what == KNOWN_NOT)
		return SUPAFS_PEEK_UNKNOWN;
	if (v.what == KNOWN_ABSENT)
		return SUPAFS_PEEK_ABSENT;
	*ret_ent = ent;
	return SUPAFS_PEEK_PRESENT;
}
