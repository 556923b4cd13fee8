/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Directory handles. A handle reads one listing, complete or being filled, from its first next() to
 * its end, so an offset always means the same place:
 *
 *	0 … n-1              ordinary entries of the listing, in key order, while pages arrive
 *	n … n+odd-1          its odd ones, once it is complete and they have names
 *	behind them          names that only the overlay had when the reader came here: fixed then
 *
 * What is shown at a place is the newest that is known of the name: a record newer than the
 * listing, else a newer listing of the folder, else the entry itself. A name whose record says
 * "unknown" is looked up: its entry in the listing is known to be out of date.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "catalog_priv.h"

struct supafs_dir {
	struct supafs_catalog *const c;
	struct folder *f; /* used from open to free */
	bool started;
	struct source src;
	char **extra; /* names */
	size_t extra_n;
	bool extra_fixed;
};

enum show {
	SHOW_IT,
	SHOW_NOT,
	SHOW_ASK,
};

int supafs_dir_open(struct supafs_catalog *c, struct supafs_str prefix, struct supafs_dir **ret_dir)
{
	struct supafs_dir *d = malloc(sizeof(*d));

	if (!d)
		return -ENOMEM;
	memcpy(d, &(struct supafs_dir){.c = c}, sizeof(*d));
	SUPAFS_SCOPED_LOCK(&c->lock);
	d->f = folder_get_locked(c, prefix);
	if (!d->f) {
		free(d);
		return -ENOMEM;
	}
	d->f->users++;
	c->handles++;
	*ret_dir = d;
	return 0;
}

static void free_extra(struct supafs_dir *d)
{
	for (size_t i = 0; i < d->extra_n; i++)
		free(d->extra[i]);
	free((void *)d->extra);
	d->extra = NULL;
	d->extra_n = 0;
}

struct supafs_dir *supafs_dir_free(struct supafs_dir *d)
{
	struct supafs_catalog *c;

	if (!d)
		return NULL;
	c = d->c;
	{
		SUPAFS_SCOPED_LOCK(&c->lock);
		if (d->started)
			source_close_locked(c, &d->src);
		d->f->users--;
		c->handles--;
		evict_locked(c);
	}
	free_extra(d);
	free(d);
	return NULL;
}

static struct supafs_str ent_name(const struct supafs_dirent *ent)
{
	return (struct supafs_str){ent->name, ent->name_n};
}

/* The folder's listing if it is newer than the one that this handle reads. */
static const struct listing *newer_locked(struct supafs_catalog *c, const struct supafs_dir *d)
	SUPAFS_REQUIRES(c->lock);
static const struct listing *newer_locked(struct supafs_catalog *c, const struct supafs_dir *d)
{
	const struct listing *l = d->f->list;

	(void)c;
	return l && l != d->src.l && l->seq > d->src.l->seq ? l : NULL;
}

/* The newest that is known of the listed entry *ent. */
static enum show merge_locked(struct supafs_catalog *c, struct supafs_dir *d,
	struct supafs_dirent *ent) SUPAFS_REQUIRES(c->lock);
static enum show merge_locked(
	struct supafs_catalog *c, struct supafs_dir *d, struct supafs_dirent *ent)
{
	const struct rec *r = rec_find_locked(c, d->f, ent_name(ent));
	const struct listing *newer = newer_locked(c, d);
	struct ask a;

	if (r && (r->state == REC_PENDING || r->seq > d->src.l->seq)) {
		if (r->state == REC_UNKNOWN)
			return SHOW_ASK;
		if (r->present)
			rec_entry(r, ent);
		return r->present ? SHOW_IT : SHOW_NOT;
	}
	if (newer) {
		struct supafs_dirent now;

		if (ask_init(ent_name(ent), &a) < 0 || !listing_find(newer, a.name, a.seg, &now))
			return SHOW_NOT;
		*ent = now;
	}
	return SHOW_IT;
}

/* --- What only the overlay has ------------------------------------------------------------------
 */

static bool only_overlay_locked(struct supafs_catalog *c, struct supafs_dir *d, const struct rec *r)
	SUPAFS_REQUIRES(c->lock);
static bool only_overlay_locked(struct supafs_catalog *c, struct supafs_dir *d, const struct rec *r)
{
	struct supafs_dirent ent;
	struct ask a;

	(void)c;
	if (r->state != REC_PENDING && r->seq <= d->src.l->seq)
		return false;
	if (r->state != REC_UNKNOWN && !r->present)
		return false;
	if (ask_init((struct supafs_str){r->name, r->name_n}, &a) < 0)
		return false;
	return !listing_find(d->src.l, a.name, a.seg, &ent);
}

static int name_cmp(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int fix_extra_locked(struct supafs_catalog *c, struct supafs_dir *d)
	SUPAFS_REQUIRES(c->lock);
static int fix_extra_locked(struct supafs_catalog *c, struct supafs_dir *d)
{
	size_t pos = 0, most = supafs_map_count(d->f->recs);
	const struct rec *r;

	if (most > 0) {
		d->extra = (char **)calloc(most, sizeof(*d->extra));
		if (!d->extra)
			return -ENOMEM;
	}
	while ((r = supafs_map_next(d->f->recs, &pos)) != NULL) {
		if (!only_overlay_locked(c, d, r))
			continue;
		d->extra[d->extra_n] = supafs_str_dup((struct supafs_str){r->name, r->name_n});
		if (!d->extra[d->extra_n]) {
			free_extra(d);
			return -ENOMEM;
		}
		d->extra_n++;
	}
	if (d->extra_n > 1)
		qsort((void *)d->extra, d->extra_n, sizeof(*d->extra), name_cmp);
	d->extra_fixed = true;
	return 0;
}

static enum show extra_locked(struct supafs_catalog *c, struct supafs_dir *d, size_t k,
	struct supafs_dirent *ent) SUPAFS_REQUIRES(c->lock);
static enum show extra_locked(
	struct supafs_catalog *c, struct supafs_dir *d, size_t k, struct supafs_dirent *ent)
{
	struct supafs_str name = supafs_str_of(d->extra[k]);
	const struct rec *r = rec_find_locked(c, d->f, name);
	const struct listing *newer = newer_locked(c, d);
	struct ask a;

	if (r && r->state == REC_UNKNOWN) {
		memcpy(ent->name, name.p, name.n + 1);
		ent->name_n = name.n;
		return SHOW_ASK;
	}
	if (r && r->present)
		rec_entry(r, ent);
	if (r)
		return r->present ? SHOW_IT : SHOW_NOT;
	if (!newer || ask_init(name, &a) < 0)
		return SHOW_NOT;
	return listing_find(newer, a.name, a.seg, ent) ? SHOW_IT : SHOW_NOT;
}

/* --- Reading ------------------------------------------------------------------------------------
 */

static int ask_shown_locked(struct supafs_catalog *c, struct supafs_dir *d,
	struct supafs_call *call, struct supafs_dirent *ent, struct supafs_fault *fault)
	SUPAFS_REQUIRES(c->lock);
static int ask_shown_locked(struct supafs_catalog *c, struct supafs_dir *d,
	struct supafs_call *call, struct supafs_dirent *ent, struct supafs_fault *fault)
{
	char buf[SUPAFS_NAME_MAX];
	struct supafs_str name = {buf, ent->name_n};
	struct ask a;
	int r;

	memcpy(buf, ent->name, ent->name_n);
	r = ask_init(name, &a);
	if (r == 0)
		r = lookup_locked(
			c, &(struct query){.f = d->f, .call = call, .a = &a, .fault = fault}, ent);
	if (r == -ENOENT || r == -ENAMETOOLONG)
		return SHOW_NOT;
	return r < 0 ? r : SHOW_IT;
}

/* What stands at `pos`: an enum show, -EAGAIN if that place is not filled yet, -ENODATA at the
 * end, or an error. */
static int place_locked(struct supafs_catalog *c, struct supafs_dir *d, uint64_t pos,
	struct supafs_dirent *ent) SUPAFS_REQUIRES(c->lock);
static int place_locked(
	struct supafs_catalog *c, struct supafs_dir *d, uint64_t pos, struct supafs_dirent *ent)
{
	const struct listing *l = d->src.l;
	int r;

	if (pos < l->n) {
		listing_get(l, pos, ent);
		return (int)merge_locked(c, d, ent);
	}
	if (!l->complete)
		return -EAGAIN;
	pos -= l->n;
	if (pos < l->odd_n) {
		listing_get_odd(l, pos, ent);
		return (int)merge_locked(c, d, ent);
	}
	pos -= l->odd_n;
	if (!d->extra_fixed) {
		r = fix_extra_locked(c, d);
		if (r < 0)
			return r;
	}
	return pos < d->extra_n ? (int)extra_locked(c, d, pos, ent) : -ENODATA;
}

static int next_locked(struct supafs_catalog *c, struct supafs_dir *d, struct supafs_call *call,
	uint64_t *pos, struct supafs_dirent *ent, struct supafs_fault *fault)
	SUPAFS_REQUIRES(c->lock);
static int next_locked(struct supafs_catalog *c, struct supafs_dir *d, struct supafs_call *call,
	uint64_t *pos, struct supafs_dirent *ent, struct supafs_fault *fault)
{
	for (;;) {
		int r = place_locked(c, d, *pos, ent);

		if (r == -EAGAIN) {
			r = source_more_locked(c, &d->src, call, fault);
			if (r < 0)
				return r;
			continue;
		}
		if (r == SHOW_ASK)
			r = ask_shown_locked(c, d, call, ent, fault);
		if (r < 0)
			return r == -ENODATA ? 0 : r;
		++*pos;
		if (r == SHOW_IT)
			return 1;
	}
}

int supafs_dir_next(struct supafs_dir *d, struct supafs_call *call, uint64_t *off,
	struct supafs_dirent *ret_ent, struct supafs_fault *fault)
{
	struct supafs_catalog *c = d->c;
	struct supafs_dirent ent;
	uint64_t pos = *off;
	int r;

	supafs_fault_clear(fault);
	SUPAFS_SCOPED_LOCK(&c->lock);
	if (!d->started) {
		r = source_open_locked(c, d->f, c->seq, false, &d->src);
		if (r < 0)
			return r;
		d->started = true;
	}
	r = next_locked(c, d, call, &pos, &ent, fault);
	if (r < 0)
		return r;
	*off = pos;
	if (r == 1)
		*ret_ent = ent;
	source_ahead_locked(c, &d->src, (size_t)pos);
	return r;
}
