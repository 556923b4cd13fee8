/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records: what is known of single names of a folder, over its listing.
 *
 *	state     seq              wins over                          leaves by
 *	PENDING   (none needed)    everything                         ack → ACKED, undo → UNKNOWN
 *	ACKED     at the reply     listings and answers asked before  newer listing, newer answer
 *	LOOKED    before asking    the same                           newer listing, newer answer
 *	UNKNOWN   when forgotten   the same, but says nothing: ask    newer listing, newer answer
 *
 * Of a record and the listing, the one with the higher number speaks for the name; when that one
 * is past its ttl the name is unknown: an older one never answers in its place. Hence
 * (folder_check_locked):
 *
 *	id != 0 exactly in PENDING; seq ≤ the catalog's counter
 *	a record that is not pending is newer than the folder's listing
 *	what is present has attributes
 *	the listing's names and the records' weights make the number of names in the view
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "supafs/util/name.h"

#include "catalog_priv.h"

static struct supafs_str rec_name(const struct rec *r)
{
	return (struct supafs_str){r->name, r->name_n};
}

static struct supafs_str rec_seg(const struct rec *r)
{
	return (struct supafs_str){(const char *)r->blob, r->seg_n};
}

static bool is_change(const struct rec *r)
{
	return r->state == REC_PENDING || r->state == REC_ACKED;
}

struct rec *rec_find_locked(struct supafs_catalog *c, struct folder *f, struct supafs_str name)
{
	(void)c;
	if (supafs_map_count(f->recs) == 0)
		return NULL;
	return supafs_map_get(f->recs, supafs_hash_str(name), &name);
}

static void bytes_add_locked(struct supafs_catalog *c, struct folder *f, size_t n)
	SUPAFS_REQUIRES(c->lock);
static void bytes_add_locked(struct supafs_catalog *c, struct folder *f, size_t n)
{
	c->bytes += n;
	f->bytes += n;
}

static void bytes_sub_locked(struct supafs_catalog *c, struct folder *f, size_t n)
	SUPAFS_REQUIRES(c->lock);
static void bytes_sub_locked(struct supafs_catalog *c, struct folder *f, size_t n)
{
	c->bytes -= n;
	f->bytes -= n;
}

/* A record, its name, its place in the map. */
static size_t rec_size(const struct rec *r)
{
	return sizeof(*r) + r->name_n + 4 * sizeof(void *);
}

static struct rec *rec_make_locked(struct supafs_catalog *c, struct folder *f,
	struct supafs_str name) SUPAFS_REQUIRES(c->lock);
static struct rec *rec_make_locked(
	struct supafs_catalog *c, struct folder *f, struct supafs_str name)
{
	struct rec *r = calloc(1, sizeof(*r) + name.n);

	if (!r)
		return NULL;
	r->name_n = (unsigned char)name.n;
	memcpy(r->name, name.p, name.n);
	r->state = REC_UNKNOWN;
	if (supafs_map_add(f->recs, supafs_hash_str(name), &name, r) < 0) {
		free(r);
		return NULL;
	}
	bytes_add_locked(c, f, rec_size(r));
	return r;
}

/* Segment and attributes; NULL when out of memory. */
static unsigned char *make_blob(
	struct supafs_str seg, const struct supafs_attr *attr, size_t *ret_n)
{
	unsigned char packed[ATTR_PACKED_MAX];
	size_t n = attr ? attr_pack(attr, packed) : 0;
	unsigned char *blob = malloc(seg.n + n + 1); /* never of size 0 */

	if (!blob)
		return NULL;
	if (seg.n > 0)
		memcpy(blob, seg.p, seg.n);
	memcpy(blob + seg.n, packed, n);
	*ret_n = seg.n + n;
	return blob;
}

static bool names_itself(struct supafs_str name, struct supafs_str seg)
{
	char buf[SUPAFS_SEG_MAX];
	ssize_t n = supafs_name_encode(name, buf, sizeof(buf));

	return n >= 0 && supafs_str_eq((struct supafs_str){buf, (size_t)n}, seg);
}

static void set_odd(struct folder *f, struct rec *r, bool odd)
{
	f->odd_recs += odd;
	f->odd_recs -= r->odd;
	r->odd = odd;
}

/* Kept up to date, because every unlink asks how many names are left. */
static signed char weight_of(const struct folder *f, const struct rec *r)
{
	struct supafs_dirent ent;
	struct ask a;
	int listed;

	if (!f->list || r->state == REC_UNKNOWN || ask_init(rec_name(r), &a) < 0)
		return 0;
	listed = listing_find(f->list, a.name, a.seg, &ent) ? 1 : 0;
	return (signed char)((r->present ? 1 : 0) - listed);
}

static void set_weight(struct folder *f, struct rec *r, signed char weight)
{
	f->weight += weight - r->weight;
	r->weight = weight;
}

static void set_blob_locked(struct supafs_catalog *c, struct folder *f, struct rec *r,
	unsigned char *blob, size_t n) SUPAFS_REQUIRES(c->lock);
static void set_blob_locked(
	struct supafs_catalog *c, struct folder *f, struct rec *r, unsigned char *blob, size_t n)
{
	if (r->blob)
		bytes_sub_locked(c, f, r->blob_n + 1U);
	free(r->blob);
	r->blob = blob;
	r->blob_n = (unsigned short)n;
	bytes_add_locked(c, f, n + 1);
}

static void set_state_locked(struct supafs_catalog *c, struct rec *r, enum rec_state state)
	SUPAFS_REQUIRES(c->lock);
static void set_state_locked(struct supafs_catalog *c, struct rec *r, enum rec_state state)
{
	c->changes -= is_change(r);
	r->state = state;
	c->changes += is_change(r);
	if (state != REC_PENDING)
		r->id = 0;
}

struct rec *rec_put_locked(struct supafs_catalog *c, struct folder *f, const struct rec_new *n)
{
	size_t size;
	unsigned char *blob = make_blob(n->seg, n->attr, &size);
	struct rec *r;

	assert(n->name.n <= SUPAFS_NAME_MAX && n->seg.n <= SUPAFS_SEG_MAX);
	if (!blob)
		return NULL;
	r = rec_find_locked(c, f, n->name);
	if (!r)
		r = rec_make_locked(c, f, n->name);
	if (!r) {
		free(blob);
		return NULL;
	}
	set_blob_locked(c, f, r, blob, size);
	set_state_locked(c, r, n->state);
	set_odd(f, r, !names_itself(n->name, n->seg));
	r->seg_n = (unsigned char)n->seg.n;
	r->has_attr = n->attr != NULL;
	r->present = n->present;
	r->was_folder = false;
	r->seq = n->seq;
	r->expires_ns = n->expires_ns;
	set_weight(f, r, weight_of(f, r));
	return r;
}

void rec_remove_locked(struct supafs_catalog *c, struct folder *f, struct rec *r)
{
	struct supafs_str name = rec_name(r);

	(void)supafs_map_remove(f->recs, supafs_hash_str(name), &name);
	c->changes -= is_change(r);
	set_odd(f, r, false);
	set_weight(f, r, 0);
	bytes_sub_locked(c, f, rec_size(r) + (r->blob ? r->blob_n + 1U : 0));
	free(r->blob);
	free(r);
}

void rec_entry(const struct rec *r, struct supafs_dirent *ret_ent)
{
	assert(r->has_attr);
	ret_ent->name_n = r->name_n;
	memcpy(ret_ent->name, r->name, r->name_n);
	ret_ent->name[r->name_n] = 0;
	ret_ent->seg_n = r->seg_n;
	memcpy(ret_ent->seg, r->blob, r->seg_n);
	ret_ent->seg[r->seg_n] = 0;
	attr_unpack(r->blob + r->seg_n, &ret_ent->attr);
}

void rec_learn_locked(struct supafs_catalog *c, struct folder *f, const struct rec_new *n)
{
	struct rec *r = rec_find_locked(c, f, n->name);

	if (n->seq <= f->floor || (f->list && f->list->seq >= n->seq))
		return;
	if (r && (r->state == REC_PENDING || r->seq >= n->seq))
		return;
	if (!rec_put_locked(c, f, n) && r)
		r->expires_ns = 0; /* no memory: what is there is out of date, ask again */
}

static uint64_t ino_in(const struct listing *l, const struct ask *a, bool is_folder)
{
	struct supafs_dirent ent;

	if (!l || !listing_find(l, a->name, a->seg, &ent) || ent.attr.folder != is_folder)
		return 0;
	return ent.attr.ino;
}

uint64_t ino_for_locked(
	struct supafs_catalog *c, struct folder *f, struct supafs_str name, bool is_folder)
{
	struct rec *r = rec_find_locked(c, f, name);
	struct supafs_dirent ent;
	struct ask a;
	uint64_t ino = 0;

	if (r && r->has_attr) {
		rec_entry(r, &ent);
		if (ent.attr.folder == is_folder)
			return ent.attr.ino;
	}
	if (r && r->state != REC_UNKNOWN && !r->present)
		return ++c->inos; /* removed: the next of that name is another one */
	if (ask_init(name, &a) == 0) {
		ino = ino_in(f->list, &a, is_folder);
		if (ino == 0 && f->walk)
			ino = ino_in(f->walk->l, &a, is_folder);
	}
	return ino != 0 ? ino : ++c->inos;
}

void listing_store_locked(struct supafs_catalog *c, struct folder *f, struct listing *l)
{
	size_t pos = 0;
	struct rec *r;

	assert(l->complete && l->seq > f->floor && (!f->list || f->list->seq < l->seq));
	listing_drop_locked(c, &f->list);
	f->list = listing_ref(l);
	l->expires_ns = catalog_expiry(c);
	while ((r = supafs_map_next(f->recs, &pos)) != NULL) {
		if (r->state != REC_PENDING && r->seq <= l->seq)
			rec_remove_locked(c, f, r);
		else
			set_weight(f, r, weight_of(f, r));
	}
	folder_touch_locked(c, f);
	folder_check_locked(c, f);
}

#if SUPAFS_DEBUG_CHECKS
#define CHECKED_RECS 256 /* a walk a change over more would be quadratic */

void folder_check_locked(struct supafs_catalog *c, struct folder *f)
{
	int64_t weight = 0;
	size_t pos = 0;
	const struct rec *r;

	assert(c->bytes >= f->bytes + (f->list ? f->list->bytes : 0));
	assert(!f->list || (f->list->complete && f->list->seq <= c->seq));
	if (supafs_map_count(f->recs) > CHECKED_RECS)
		return;
	while ((r = supafs_map_next(f->recs, &pos)) != NULL) {
		assert((r->id != 0) == (r->state == REC_PENDING));
		assert(r->seq <= c->seq);
		assert(r->state == REC_PENDING || !f->list || r->seq > f->list->seq);
		assert(r->state == REC_UNKNOWN || !r->present || r->has_attr);
		weight += r->weight;
		assert(!f->list || r->weight == weight_of(f, r));
	}
	assert(weight == f->weight);
}
#else
void folder_check_locked(struct supafs_catalog *c, struct folder *f)
{
	(void)c;
	(void)f;
}
#endif

/* --- Changes made here --------------------------------------------------------------------------
 */

/* Is the name known as a folder's? */
static bool known_folder_locked(struct supafs_catalog *c, struct folder *f, struct supafs_str name)
	SUPAFS_REQUIRES(c->lock);
static bool known_folder_locked(struct supafs_catalog *c, struct folder *f, struct supafs_str name)
{
	const struct rec *r = rec_find_locked(c, f, name);
	struct supafs_dirent ent;
	struct ask a;

	if (r && r->has_attr)
		rec_entry(r, &ent);
	else if (!f->list || ask_init(name, &a) < 0 || !listing_find(f->list, a.name, a.seg, &ent))
		return false;
	return ent.attr.folder;
}

int supafs_catalog_change(
	struct supafs_catalog *c, const struct supafs_change *ch, uint64_t *ret_id)
{
	struct supafs_attr attr = ch->attr;
	struct folder *f;
	struct rec *r;
	bool was_folder;

	if (ch->name.n == 0 || ch->name.n > SUPAFS_NAME_MAX || ch->seg.n > SUPAFS_SEG_MAX)
		return -EINVAL;
	SUPAFS_SCOPED_LOCK(&c->lock);
	f = folder_get_locked(c, ch->prefix);
	if (!f)
		return -ENOMEM;
	was_folder = !ch->present && known_folder_locked(c, f, ch->name);
	if (ch->present && attr.ino == 0)
		attr.ino = ino_for_locked(c, f, ch->name, attr.folder);
	r = rec_put_locked(c, f,
		&(struct rec_new){.name = ch->name,
			.seg = ch->seg,
			.state = REC_PENDING,
			.present = ch->present,
			.seq = c->seq,
			.attr = ch->present ? &attr : NULL});
	if (!r)
		return -ENOMEM;
	r->was_folder = was_folder;
	r->id = ++c->ids;
	*ret_id = r->id;
	folder_touch_locked(c, f);
	folder_check_locked(c, f);
	evict_locked(c);
	return 0;
}

/* The record whose pending change is `id`: under the segment's own name, else an odd one. */
static struct rec *pending_find_locked(struct supafs_catalog *c, struct folder *f,
	struct supafs_str seg, uint64_t id) SUPAFS_REQUIRES(c->lock);
static struct rec *pending_find_locked(
	struct supafs_catalog *c, struct folder *f, struct supafs_str seg, uint64_t id)
{
	char buf[SUPAFS_NAME_MAX];
	ssize_t n = supafs_name_decode(seg, buf, sizeof(buf));
	struct rec *r = NULL;
	size_t pos = 0;

	if (id == 0)
		return NULL;
	if (n > 0)
		r = rec_find_locked(c, f, (struct supafs_str){buf, (size_t)n});
	if (r && r->id == id)
		return r;
	while (f->odd_recs > 0 && (r = supafs_map_next(f->recs, &pos)) != NULL) {
		if (r->id == id)
			return r;
	}
	return NULL;
}

static void ack_attr_locked(struct supafs_catalog *c, struct folder *f, struct rec *r,
	const struct supafs_attr *attr) SUPAFS_REQUIRES(c->lock);
static void ack_attr_locked(
	struct supafs_catalog *c, struct folder *f, struct rec *r, const struct supafs_attr *attr)
{
	struct supafs_attr a = *attr;
	struct supafs_dirent old;
	unsigned char *blob;
	size_t n;

	rec_entry(r, &old);
	if (a.ino == 0)
		a.ino = old.attr.ino;
	blob = make_blob(rec_seg(r), &a, &n);
	if (blob)
		set_blob_locked(c, f, r, blob, n);
	else
		r->expires_ns = 0; /* the attributes are not the confirmed ones: ask */
}

void supafs_catalog_ack(struct supafs_catalog *c, struct supafs_str prefix, struct supafs_str seg,
	uint64_t id, const struct supafs_attr *attr)
{
	struct folder *f;
	struct rec *r;

	SUPAFS_SCOPED_LOCK(&c->lock);
	f = folder_find_locked(c, prefix);
	r = f ? pending_find_locked(c, f, seg, id) : NULL;
	if (!r)
		return;
	set_state_locked(c, r, REC_ACKED);
	r->seq = catalog_seq_locked(c);
	r->expires_ns = catalog_expiry(c);
	if (attr && r->present)
		ack_attr_locked(c, f, r, attr);
	folder_check_locked(c, f);
}

static void unknown_locked(struct supafs_catalog *c, struct folder *f, struct rec *r)
	SUPAFS_REQUIRES(c->lock);
static void unknown_locked(struct supafs_catalog *c, struct folder *f, struct rec *r)
{
	set_state_locked(c, r, REC_UNKNOWN);
	r->seq = catalog_seq_locked(c);
	r->expires_ns = 0;
	set_weight(f, r, 0);
}

void supafs_catalog_undo(
	struct supafs_catalog *c, struct supafs_str prefix, struct supafs_str seg, uint64_t id)
{
	struct folder *f;
	struct rec *r;

	SUPAFS_SCOPED_LOCK(&c->lock);
	f = folder_find_locked(c, prefix);
	r = f ? pending_find_locked(c, f, seg, id) : NULL;
	if (!r)
		return;
	unknown_locked(c, f, r);
	folder_check_locked(c, f);
}

void supafs_catalog_keeper(struct supafs_catalog *c, struct supafs_str prefix, bool present)
{
	struct folder *f;

	SUPAFS_SCOPED_LOCK(&c->lock);
	f = folder_get_locked(c, prefix);
	if (!f)
		return; /* nothing is known of it then, so nothing is wrong */
	f->keeper = present;
	f->keeper_seq = catalog_seq_locked(c);
}

/* --- Forgetting ---------------------------------------------------------------------------------
 */

/* Nothing that is cached, or asked for already, answers any more. Confirmed changes keep hiding
 * what is older as long as somebody may still bring or read that. */
static void folder_drop_locked(struct supafs_catalog *c, struct folder *f) SUPAFS_REQUIRES(c->lock);
static void folder_drop_locked(struct supafs_catalog *c, struct folder *f)
{
	size_t pos = 0;
	struct rec *r;

	f->floor = catalog_seq_locked(c);
	listing_drop_locked(c, &f->list);
	while ((r = supafs_map_next(f->recs, &pos)) != NULL) {
		if (r->state == REC_PENDING)
			continue;
		if (f->users == 0)
			rec_remove_locked(c, f, r);
		else
			r->expires_ns = 0;
	}
}

static void forget_name_locked(struct supafs_catalog *c, struct folder *f, struct supafs_str name,
	struct supafs_str seg) SUPAFS_REQUIRES(c->lock);
static void forget_name_locked(
	struct supafs_catalog *c, struct folder *f, struct supafs_str name, struct supafs_str seg)
{
	struct rec *r = rec_find_locked(c, f, name);

	if (r) {
		if (r->state != REC_PENDING)
			unknown_locked(c, f, r);
		return;
	}
	if (!f->list && f->users == 0)
		return; /* nothing to forget */
	if (!rec_put_locked(c, f,
		    &(struct rec_new){.name = name,
			    .seg = seg,
			    .state = REC_UNKNOWN,
			    .seq = catalog_seq_locked(c)}))
		folder_drop_locked(c, f);
}

void supafs_catalog_forget(
	struct supafs_catalog *c, struct supafs_str prefix, struct supafs_str seg)
{
	char buf[SUPAFS_NAME_MAX];
	ssize_t n = supafs_name_decode(seg, buf, sizeof(buf));
	struct folder *f;

	SUPAFS_SCOPED_LOCK(&c->lock);
	f = folder_find_locked(c, prefix);
	if (!f)
		return;
	if (n <= 0 || f->odd_recs > 0 || (f->list && f->list->odd_n > 0)) {
		folder_drop_locked(c, f); /* may be known under more names than one */
		return;
	}
	forget_name_locked(c, f, (struct supafs_str){buf, (size_t)n}, seg);
	folder_check_locked(c, f);
}

void supafs_catalog_drop(struct supafs_catalog *c, struct supafs_str prefix, bool below)
{
	struct folder *f;

	SUPAFS_SCOPED_LOCK(&c->lock);
	f = folder_find_locked(c, prefix);
	if (f)
		folder_drop_locked(c, f);
	if (!below)
		return;
	supafs_list_for_each (it, &c->lru) {
		f = supafs_list_entry(it, struct folder, lru);
		if (supafs_str_starts(f->prefix, prefix))
			folder_drop_locked(c, f);
	}
}

int supafs_catalog_born(struct supafs_catalog *c, struct supafs_str prefix)
{
	struct listing *l;
	struct folder *f;
	int r;

	SUPAFS_SCOPED_LOCK(&c->lock);
	f = folder_get_locked(c, prefix);
	if (!f)
		return -ENOMEM;
	r = listing_new(catalog_seq_locked(c), &l);
	if (r < 0)
		return r;
	c->bytes += l->bytes;
	r = listing_seal(l);
	if (r == 0)
		listing_store_locked(c, f, l);
	listing_drop_locked(c, &l);
	evict_locked(c);
	return r;
}
