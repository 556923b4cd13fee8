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
#include <stdlib.h>
#include <string.h>

#include "supafs/util/name.h"

#include "catalog_priv.h"

#define LOOKUP_LIMIT 50 /* the name, its likely neighbours, and rarely a second request */
#define PROBE_PAGES  16 /* empty pages before the server is not believed any more */

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

int ask_init(struct supafs_catalog *c, struct supafs_str name, struct ask *ret_ask)
{
	ssize_t n;

	(void)c;
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

static int list_page(struct supafs_catalog *c, struct supafs_call *call,
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
	*ret_any = any;
	return 0;
}

/* The exact key sorts first, but behind a page of neighbours (`zoo-a` …) may still be `zoo/`. */
static int probe_folder(struct supafs_catalog *c, struct supafs_call *call, const struct ask *a,
	struct probe *p, struct supafs_fault *fault)
{
	struct supafs_str key;
	char buf[KEY_BUF];
	bool any;
	int r;

	memcpy(buf, p->dir.p, p->dir.n);
	memcpy(buf + p->dir.n, a->seg.p, a->seg.n);
	buf[p->dir.n + a->seg.n] = '/';
	key = (struct supafs_str){buf, p->dir.n + a->seg.n + 1};
	if (p->last_n > 0 && supafs_str_cmp((struct supafs_str){p->last, p->last_n}, key) >= 0)
		return 0;
	r = probe_below(c, call, key, &any, fault);
	if (r < 0 || !any)
		return r;
	p->below = true;
	return 0;
}

static int probe_run(struct supafs_catalog *c, struct supafs_call *call, const struct ask *a,
	struct supafs_str prefix, struct probe *p, struct supafs_fault *fault)
{
	struct supafs_cursor cursor = {.n = 0};
	char buf[KEY_BUF];
	struct supafs_str key;
	bool more = false;
	size_t i;
	int r = make_key(c, prefix, a->seg, buf, &key);
	struct supafs_list_args args = {.prefix = key,
		.delimiter = true,
		.limit = LOOKUP_LIMIT,
		.on_entry = on_probe,
		.ctx = p};

	if (r < 0)
		return r;
	p->dir = (struct supafs_str){buf, key.n - a->seg.n};
	r = list_page(c, call, &args, &cursor, &more, fault);
	if (r < 0 || !more || listing_find_seg(p->page, a->seg, false, &i) ||
		listing_find_seg(p->page, a->seg, true, &i))
		return r;
	return probe_folder(c, call, a, p, fault);
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
static int settle_locked(struct supafs_catalog *c, struct folder *f, const struct ask *a,
	const struct probe *p, uint64_t seq, struct supafs_dirent *ret_ent)
	SUPAFS_REQUIRES(c->lock);
static int settle_locked(struct supafs_catalog *c, struct folder *f, const struct ask *a,
	const struct probe *p, uint64_t seq, struct supafs_dirent *ret_ent)
{
	struct supafs_dirent ent;
	struct view v;

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

static int request_locked(struct supafs_catalog *c, struct folder *f, struct supafs_call *call,
	const struct ask *a, struct supafs_dirent *ret_ent, struct supafs_fault *fault)
	SUPAFS_REQUIRES(c->lock);
static int request_locked(struct supafs_catalog *c, struct folder *f, struct supafs_call *call,
	const struct ask *a, struct supafs_dirent *ret_ent, struct supafs_fault *fault)
{
	struct probe p = {.page = NULL};
	uint64_t seq = catalog_seq_locked(c);
	int r = listing_new(seq, &p.page);

	if (r < 0)
		return r;
	supafs_mutex_unlock(&c->lock);
	r = probe_run(c, call, a, f->prefix, &p, fault);
	supafs_mutex_lock(&c->lock);
	if (r == 0)
		r = settle_locked(c, f, a, &p, seq, ret_ent);
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
static int fly_locked(struct supafs_catalog *c, struct folder *f, struct supafs_call *call,
	const struct ask *a, struct supafs_dirent *ret_ent, struct supafs_fault *fault)
	SUPAFS_REQUIRES(c->lock);
static int fly_locked(struct supafs_catalog *c, struct folder *f, struct supafs_call *call,
	const struct ask *a, struct supafs_dirent *ret_ent, struct supafs_fault *fault)
{
	struct flight *fl = calloc(1, sizeof(*fl));
	int r;

	if (!fl)
		return -ENOMEM;
	fl->name = a->name;
	fl->refs = 1;
	supafs_list_add_tail(&f->flights, &fl->link);
	r = request_locked(c, f, call, a, ret_ent, fault);
	supafs_list_remove(&fl->link);
	fl->done = true;
	if (r < 0 && r != -ENOENT && r != -EINTR && r != -ETIMEDOUT) {
		fl->error = r;
		fl->fault = *fault;
	}
	flight_unref(fl);
	wake_all_locked(c);
	return r;
}

static int join_locked(struct supafs_catalog *c, struct flight *fl, struct supafs_call *call,
	struct supafs_fault *fault) SUPAFS_REQUIRES(c->lock);
static int join_locked(struct supafs_catalog *c, struct flight *fl, struct supafs_call *call,
	struct supafs_fault *fault)
{
	int r = 0;

	fl->refs++;
	while (r == 0 && !fl->done)
		r = wait_locked(c, call);
	if (r == 0 && fl->error < 0) {
		r = fl->error;
		*fault = fl->fault;
	}
	flight_unref(fl);
	return r;
}

/* --- Look-ups -----------------------------------------------------------------------------------
 */

static int plain_locked(struct supafs_catalog *c, struct folder *f, struct supafs_call *call,
	const struct ask *a, bool fresh, struct supafs_dirent *ret_ent, struct supafs_fault *fault)
	SUPAFS_REQUIRES(c->lock);
static int plain_locked(struct supafs_catalog *c, struct folder *f, struct supafs_call *call,
	const struct ask *a, bool fresh, struct supafs_dirent *ret_ent, struct supafs_fault *fault)
{
	const uint64_t start = c->seq;
	struct flight *fl;
	struct view v;
	int r;

	for (;;) {
		view_locked(c, f, a, &v, ret_ent);
		if (good_locked(c, &v, start, fresh))
			return answer(&v);
		if (a->seg.n == 0)
			return -ENAMETOOLONG;
		fl = flight_find(f, a->name);
		if (!fl)
			return fly_locked(c, f, call, a, ret_ent, fault);
		r = join_locked(c, fl, call, fault);
		if (r < 0)
			return r;
	}
}

int lookup_locked(struct supafs_catalog *c, struct folder *f, struct supafs_call *call,
	const struct ask *a, struct supafs_dirent *ret_ent, struct supafs_fault *fault)
{
	return plain_locked(c, f, call, a, false, ret_ent, fault);
}

/* Which entry shows under an odd name depends on the whole folder: walks it. */
static int odd_locked(struct supafs_catalog *c, struct folder *f, struct supafs_call *call,
	const struct ask *a, bool fresh, struct supafs_dirent *ret_ent, struct supafs_fault *fault)
	SUPAFS_REQUIRES(c->lock);
static int odd_locked(struct supafs_catalog *c, struct folder *f, struct supafs_call *call,
	const struct ask *a, bool fresh, struct supafs_dirent *ret_ent, struct supafs_fault *fault)
{
	const uint64_t start = c->seq;
	struct source src;
	struct view v;
	int r;

	view_locked(c, f, a, &v, ret_ent);
	if (good_locked(c, &v, start, fresh))
		return answer(&v);
	r = source_open_locked(c, f, start, fresh, &src);
	if (r < 0)
		return r;
	while (r == 0 && !src.l->complete)
		r = source_more_locked(c, &src, call, fault);
	if (r == 0) {
		view_locked(c, f, a, &v, ret_ent);
		if (v.what != KNOWN_NOT && (v.pending || v.seq >= src.l->seq))
			r = answer(&v);
		else
			r = listing_find(src.l, a->name, a->seg, ret_ent) ? 0 : -ENOENT;
	}
	source_close_locked(c, &src);
	return r;
}

static int any_locked(struct supafs_catalog *c, struct folder *f, struct supafs_call *call,
	const struct ask *a, bool fresh, struct supafs_dirent *ret_ent, struct supafs_fault *fault)
	SUPAFS_REQUIRES(c->lock);
static int any_locked(struct supafs_catalog *c, struct folder *f, struct supafs_call *call,
	const struct ask *a, bool fresh, struct supafs_dirent *ret_ent, struct supafs_fault *fault)
{
	int r;

	if (a->odd)
		return odd_locked(c, f, call, a, fresh, ret_ent, fault);
	r = plain_locked(c, f, call, a, fresh, ret_ent, fault);
	if ((r == -ENOENT || r == -ENAMETOOLONG) && c->raw_seen && !supafs_name_plain(a->name))
		return odd_locked(c, f, call, a, false, ret_ent, fault);
	return r;
}

/* `a=2F` means the folder `a/` also when no file `a` is beside it any more: who was given that
 * name by a listing can still use it. */
static int twin_locked(struct supafs_catalog *c, struct folder *f, struct supafs_call *call,
	const struct ask *a, bool fresh, struct supafs_dirent *ret_ent, struct supafs_fault *fault)
	SUPAFS_REQUIRES(c->lock);
static int twin_locked(struct supafs_catalog *c, struct folder *f, struct supafs_call *call,
	const struct ask *a, bool fresh, struct supafs_dirent *ret_ent, struct supafs_fault *fault)
{
	struct supafs_dirent ent;
	struct ask base;
	int r = ask_init(c, (struct supafs_str){a->name.p, a->name.n - twin_mark.n}, &base);

	if (r < 0 || base.odd)
		return -ENOENT;
	r = plain_locked(c, f, call, &base, fresh, &ent, fault);
	if (r < 0 || !ent.attr.folder)
		return r < 0 ? r : -ENOENT;
	memcpy(ent.name, a->name.p, a->name.n);
	ent.name[a->name.n] = 0;
	ent.name_n = a->name.n;
	*ret_ent = ent;
	return 0;
}

int supafs_catalog_lookup(struct supafs_catalog *c, struct supafs_call *call,
	struct supafs_str prefix, struct supafs_str name, bool fresh, struct supafs_dirent *ret_ent,
	struct supafs_fault *fault)
{
	struct supafs_dirent ent;
	struct folder *f;
	struct ask a;
	int r = ask_init(c, name, &a);

	supafs_fault_clear(fault);
	if (r < 0)
		return r;
	SUPAFS_SCOPED_LOCK(&c->lock);
	f = folder_get_locked(c, prefix);
	if (!f)
		return -ENOMEM;
	f->users++;
	r = any_locked(c, f, call, &a, fresh, &ent, fault);
	if (r == -ENOENT && supafs_str_ends(name, twin_mark))
		r = twin_locked(c, f, call, &a, fresh, &ent, fault);
	f->users--;
	folder_check_locked(c, f);
	folder_touch_locked(c, f);
	evict_locked(c);
	if (r == 0)
		*ret_ent = ent;
	return r;
}

/* --- Empty, count -------------------------------------------------------------------------------
 */

struct emptiness {
	struct supafs_catalog *c;
	struct folder *f;
	struct supafs_str prefix; /* with the mount's root */
	bool placeholder, marker, other;
	bool pending; /* entries were seen that are being deleted here */
};

static bool being_deleted_locked(struct supafs_catalog *c, struct folder *f, struct supafs_str seg)
	SUPAFS_REQUIRES(c->lock);
static bool being_deleted_locked(struct supafs_catalog *c, struct folder *f, struct supafs_str seg)
{
	char buf[SUPAFS_NAME_MAX];
	ssize_t n = supafs_name_decode(seg, buf, sizeof(buf));
	const struct rec *r = NULL;

	if (n > 0)
		r = rec_find_locked(c, f, (struct supafs_str){buf, (size_t)n});
	return r && r->state == REC_PENDING && !r->present;
}

static int on_content(void *ctx, const struct supafs_entry *e)
{
	struct emptiness *m = ctx;
	struct supafs_catalog *c = m->c;
	struct supafs_str seg;

	switch (page_entry(m->prefix, e, &seg)) {
	case PAGE_KEEPER:
		if (e->key.n == m->prefix.n)
			m->marker = true;
		else
			m->placeholder = true;
		return 0;
	case PAGE_FOREIGN:
		return 0;
	case PAGE_ENTRY:
		break;
	}
	SUPAFS_SCOPED_LOCK(&c->lock);
	if (being_deleted_locked(c, m->f, seg))
		m->pending = true;
	else
		m->other = true;
	return 0;
}

static int ask_content(struct supafs_catalog *c, struct supafs_call *call, struct emptiness *m,
	struct supafs_fault *fault)
{
	struct supafs_cursor cursor = {.n = 0};
	struct supafs_list_args args = {.prefix = m->prefix,
		.delimiter = true,
		.limit = SUPAFS_PAGE_LIMIT,
		.on_entry = on_content,
		.ctx = m};
	unsigned blanks = 0;
	bool more = true;

	while (more && !m->other) {
		bool before = m->pending;
		int r;

		m->pending = false;
		r = list_page(c, call, &args, &cursor, &more, fault);
		if (r < 0)
			return r;
		blanks = m->pending ? 0 : blanks + 1;
		m->pending |= before;
		if (blanks > PROBE_PAGES)
			return protocol_fault(fault, "the server's list pages do not advance");
	}
	return 0;
}

static bool pending_create_locked(struct supafs_catalog *c, struct folder *f)
	SUPAFS_REQUIRES(c->lock);
static bool pending_create_locked(struct supafs_catalog *c, struct folder *f)
{
	size_t pos = 0;
	const struct rec *r;

	(void)c;
	while ((r = supafs_map_next(f->recs, &pos)) != NULL) {
		if (r->state == REC_PENDING && r->present)
			return true;
	}
	return false;
}

int supafs_catalog_is_empty(struct supafs_catalog *c, struct supafs_call *call,
	struct supafs_str prefix, bool *ret_empty, bool *ret_placeholder, bool *ret_marker,
	struct supafs_fault *fault)
{
	struct emptiness m = {.c = c};
	char buf[KEY_BUF];
	int r = make_key(c, prefix, SUPAFS_STR(""), buf, &m.prefix);

	supafs_fault_clear(fault);
	if (r < 0)
		return r;
	SUPAFS_SCOPED_LOCK(&c->lock);
	m.f = folder_get_locked(c, prefix);
	if (!m.f)
		return -ENOMEM;
	m.f->users++;
	supafs_mutex_unlock(&c->lock);
	r = ask_content(c, call, &m, fault);
	supafs_mutex_lock(&c->lock);
	m.f->users--;
	if (r < 0)
		return r;
	*ret_empty = !m.other && !pending_create_locked(c, m.f);
	*ret_placeholder = m.placeholder;
	*ret_marker = m.marker;
	return 0;
}

bool supafs_catalog_count(
	struct supafs_catalog *c, struct supafs_str prefix, uint64_t *ret_entries, bool *ret_keeper)
{
	struct supafs_dirent ent;
	struct folder *f;
	uint64_t entries;
	size_t pos = 0;
	const struct rec *r;

	SUPAFS_SCOPED_LOCK(&c->lock);
	f = folder_find_locked(c, prefix);
	if (!f || !f->list || catalog_now(c) >= f->list->expires_ns)
		return false;
	entries = f->list->n + f->list->odd_n;
	while ((r = supafs_map_next(f->recs, &pos)) != NULL) {
		struct ask a;
		bool listed;

		if (ask_init(c, (struct supafs_str){r->name, r->name_n}, &a) < 0)
			continue;
		listed = listing_find(f->list, a.name, a.seg, &ent);
		if (r->state != REC_UNKNOWN) /* newer than the listing, all of them */
			entries = entries + (r->present ? 1 : 0) - (listed ? 1 : 0);
	}
	*ret_entries = entries;
	*ret_keeper = f->keeper_seq > f->list->seq ? f->keeper : f->list->keeper;
	return true;
}
