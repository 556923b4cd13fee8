/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listings: see listing.h for the states. A record is the segment's length, the segment, and the
 * packed attributes. Chunks double up to 64 KiB, so that a small folder stays small.
 */
#include "listing.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/hash.h"
#include "supafs/util/name.h"

#define CHUNK_MIN 1024U
#define CHUNK_MAX 65536U
#define CHUNKS    65536U

static const struct supafs_str twin_mark = {"=2F", 3}; /* see docs/names.md */

enum seg_kind segment_kind(struct supafs_str seg, bool folder)
{
	char name[SUPAFS_NAME_MAX], back[SUPAFS_SEG_MAX];
	ssize_t n;

	if (seg.n > SUPAFS_SEG_MAX || (seg.n != 0 && memchr(seg.p, 0, seg.n)))
		return SEG_HIDDEN;
	if (seg.n == 0)
		return folder ? SEG_ODD : SEG_HIDDEN;
	if (memchr(seg.p, '/', seg.n))
		return SEG_HIDDEN;
	if (!supafs_name_plain(seg))
		return SEG_ODD;
	n = supafs_name_decode(seg, name, sizeof(name));
	if (n < 0)
		return SEG_ODD;
	/* A look-up by that name must come to this segment, else only the listing knows it. */
	n = supafs_name_encode((struct supafs_str){name, (size_t)n}, back, sizeof(back));
	if (n < 0 || !supafs_str_eq((struct supafs_str){back, (size_t)n}, seg))
		return SEG_ODD;
	return SEG_ORDINARY;
}

int listing_new(uint64_t seq, struct listing **ret_listing)
{
	struct listing *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->refs = 1;
	l->seq = seq;
	l->bytes = sizeof(*l);
	*ret_listing = l;
	return 0;
}

struct listing *listing_ref(struct listing *l)
{
	l->refs++;
	return l;
}

struct listing *listing_unref(struct listing *l)
{
	if (!l || --l->refs > 0)
		return NULL;
	for (size_t i = 0; i < l->chunks; i++)
		free(l->chunk[i]);
	for (size_t j = 0; j < l->odd_n; j++)
		free(l->odd[j].name);
	free((void *)l->chunk);
	free(l->odd);
	free(l->at);
	free(l);
	return NULL;
}

static const unsigned char *record(const struct listing *l, uint32_t at)
{
	return l->chunk[at >> 16] + (at & 0xffff);
}

static struct supafs_str record_seg(const struct listing *l, uint32_t at)
{
	const unsigned char *p = record(l, at);

	return (struct supafs_str){(const char *)p + 1, *p};
}

static bool record_folder(const struct listing *l, uint32_t at)
{
	const unsigned char *p = record(l, at);

	return (p[1 + *p] & 1) != 0; /* the first flag */
}

/* Key order: a folder's segment is followed by its '/'. */
static int key_cmp(struct supafs_str a, bool a_folder, struct supafs_str b, bool b_folder)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int r = n == 0 ? 0 : memcmp(a.p, b.p, n);
	int a_next, b_next;

	if (r != 0)
		return r;
	a_next = a.n > n ? (unsigned char)a.p[n] : a_folder ? '/' : -1;
	b_next = b.n > n ? (unsigned char)b.p[n] : b_folder ? '/' : -1;
	return a_next - b_next;
}

/* The first ordinary entry that is not before (seg, folder). */
static size_t lower_bound(const struct listing *l, struct supafs_str seg, bool folder)
{
	size_t lo = 0, hi = l->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		uint32_t at = l->at[mid];

		if (key_cmp(record_seg(l, at), record_folder(l, at), seg, folder) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

bool listing_find_seg(const struct listing *l, struct supafs_str seg, bool folder, size_t *ret_i)
{
	size_t i = lower_bound(l, seg, folder);

	if (i == l->n || record_folder(l, l->at[i]) != folder ||
		!supafs_str_eq(record_seg(l, l->at[i]), seg))
		return false;
	*ret_i = i;
	return true;
}

bool listing_covers(const struct listing *l, struct supafs_str seg)
{
	return l->complete || lower_bound(l, seg, true) < l->n;
}

/* Room for `n` more bytes in the last chunk. */
static int chunk_room(struct listing *l, size_t n)
{
	size_t size = l->room == 0 ? CHUNK_MIN : l->room * 2;
	unsigned char **chunk;

	if (l->chunks > 0 && l->room - l->used >= n)
		return 0;
	if (l->chunks == CHUNKS)
		return -ENOMEM;
	chunk = (unsigned char **)realloc((void *)l->chunk, (l->chunks + 1) * sizeof(*chunk));
	if (!chunk)
		return -ENOMEM;
	l->chunk = chunk;
	if (size > CHUNK_MAX)
		size = CHUNK_MAX;
	chunk[l->chunks] = malloc(size);
	if (!chunk[l->chunks])
		return -ENOMEM;
	l->chunks++;
	l->used = 0;
	l->room = size;
	l->bytes += size + sizeof(*chunk);
	return 0;
}

static int put_record(
	struct listing *l, struct supafs_str seg, const struct supafs_attr *attr, uint32_t *ret_at)
{
	unsigned char packed[ATTR_PACKED_MAX];
	size_t n = attr_pack(attr, packed);
	unsigned char *p;
	int r = chunk_room(l, 1 + seg.n + n);

	if (r < 0)
		return r;
	p = l->chunk[l->chunks - 1] + l->used;
	*ret_at = (uint32_t)((l->chunks - 1) << 16 | l->used);
	*p++ = (unsigned char)seg.n;
	if (seg.n != 0)
		memcpy(p, seg.p, seg.n);
	memcpy(p + seg.n, packed, n);
	l->used += 1 + seg.n + n;
	return 0;
}

static int index_room(struct listing *l)
{
	size_t cap = l->cap == 0 ? 16 : l->cap * 2;
	uint32_t *at;

	if (l->n < l->cap)
		return 0;
	at = realloc(l->at, cap * sizeof(*at));
	if (!at)
		return -ENOMEM;
	l->bytes += (cap - l->cap) * sizeof(*at);
	l->at = at;
	l->cap = cap;
	return 0;
}

static int odd_room(struct listing *l)
{
	size_t cap = l->odd_cap == 0 ? 4 : l->odd_cap * 2;
	struct odd *odd;

	if (l->odd_n < l->odd_cap)
		return 0;
	odd = realloc(l->odd, cap * sizeof(*odd));
	if (!odd)
		return -ENOMEM;
	l->bytes += (cap - l->odd_cap) * sizeof(*odd);
	l->odd = odd;
	l->odd_cap = cap;
	return 0;
}

int listing_add(struct listing *l, struct supafs_str seg, const struct supafs_attr *attr)
{
	enum seg_kind kind = segment_kind(seg, attr->folder);
	size_t twin;
	uint32_t at;
	int r;

	assert(!l->complete);
	if (kind == SEG_HIDDEN) {
		l->hidden++;
		return 0;
	}
	if (kind == SEG_ORDINARY && attr->folder && listing_find_seg(l, seg, false, &twin))
		kind = SEG_ODD;
	r = kind == SEG_ODD ? odd_room(l) : index_room(l);
	if (r == 0)
		r = put_record(l, seg, attr, &at);
	if (r < 0)
		return r;
	if (kind == SEG_ODD)
		l->odd[l->odd_n++] = (struct odd){.at = at};
	else
		l->at[l->n++] = at;
	return 0;
}

/* --- Names of odd entries ----------------------------------------------------------------------
 */

static bool odd_name_equal(const void *entry, const void *key)
{
	const struct odd *o = entry;

	return supafs_str_eq(supafs_str_of(o->name), *(const struct supafs_str *)key);
}

static bool ordinary_has(const struct listing *l, struct supafs_str name)
{
	char buf[SUPAFS_SEG_MAX + 1];
	ssize_t n = supafs_name_encode(name, buf, SUPAFS_SEG_MAX);
	struct supafs_str seg = {buf, n < 0 ? 0 : (size_t)n};
	size_t i;

	return n >= 0 &&
	       (listing_find_seg(l, seg, false, &i) || listing_find_seg(l, seg, true, &i));
}

/* What an odd segment would like to be called; its length. */
static size_t odd_base(struct supafs_str seg, char *name)
{
	ssize_t n;

	if (supafs_str_eq(seg, SUPAFS_STR("")))
		seg = twin_mark;
	else if (supafs_str_eq(seg, SUPAFS_STR(".")))
		seg = SUPAFS_STR("=2E");
	else if (supafs_str_eq(seg, SUPAFS_STR("..")))
		seg = SUPAFS_STR("=2E=2E");
	else if (supafs_name_plain(seg)) {
		n = supafs_name_decode(seg, name, SUPAFS_NAME_MAX);
		if (n >= 0)
			return (size_t)n;
	}
	memcpy(name, seg.p, seg.n);
	return seg.n;
}

/* 1: named, 0: no name can be had, -ENOMEM. */
static int odd_settle(struct listing *l, struct odd *o, struct supafs_map *taken)
{
	char buf[SUPAFS_NAME_MAX + 1];
	struct supafs_str name = {buf, odd_base(record_seg(l, o->at), buf)};
	int r;

	while (ordinary_has(l, name) || supafs_map_get(taken, supafs_hash_str(name), &name)) {
		if (name.n + twin_mark.n > SUPAFS_NAME_MAX)
			return 0;
		memcpy(buf + name.n, twin_mark.p, twin_mark.n);
		name.n += twin_mark.n;
	}
	o->name = supafs_str_dup(name);
	if (!o->name)
		return -ENOMEM;
	l->bytes += name.n + 1;
	r = supafs_map_add(taken, supafs_hash_str(name), &name, o);
	return r < 0 ? r : 1;
}

static int odd_cmp(const void *a, const void *b)
{
	return strcmp(((const struct odd *)a)->name, ((const struct odd *)b)->name);
}

static int settle_all(struct listing *l, struct supafs_map *taken)
{
	size_t kept = 0;

	for (size_t j = 0; j < l->odd_n; j++) {
		int r = odd_settle(l, &l->odd[j], taken);

		if (r < 0)
			return r;
	}
	for (size_t j = 0; j < l->odd_n; j++) {
		if (l->odd[j].name)
			l->odd[kept++] = l->odd[j];
	}
	l->hidden += l->odd_n - kept;
	l->odd_n = kept;
	return 0;
}

static void unname_odd(struct listing *l)
{
	for (size_t j = 0; j < l->odd_n; j++) {
		if (l->odd[j].name)
			l->bytes -= strlen(l->odd[j].name) + 1;
		free(l->odd[j].name);
		l->odd[j].name = NULL;
	}
}

static int name_odd(struct listing *l)
{
	struct supafs_map *taken;
	int r;

	if (l->odd_n == 0)
		return 0;
	r = supafs_map_new(odd_name_equal, &taken);
	if (r < 0)
		return r;
	r = settle_all(l, taken);
	taken = supafs_map_free(taken);
	if (r < 0) {
		unname_odd(l);
		return r;
	}
	qsort(l->odd, l->odd_n, sizeof(*l->odd), odd_cmp);
	return 0;
}

static void trim(struct listing *l)
{
	void *p;

	if (l->n > 0 && l->n < l->cap) {
		p = realloc(l->at, l->n * sizeof(*l->at));
		if (p) {
			l->at = p;
			l->bytes -= (l->cap - l->n) * sizeof(*l->at);
			l->cap = l->n;
		}
	}
	if (l->chunks > 0 && l->used > 0 && l->used < l->room) {
		p = realloc(l->chunk[l->chunks - 1], l->used);
		if (p) {
			l->chunk[l->chunks - 1] = p;
			l->bytes -= l->room - l->used;
			l->room = l->used;
		}
	}
}

int listing_seal(struct listing *l)
{
	int r;

	assert(!l->complete);
	r = name_odd(l);
	if (r < 0)
		return r;
	trim(l);
	l->complete = true;
	return 0;
}

/* --- Reading ------------------------------------------------------------------------------------
 */

static void get_record(const struct listing *l, uint32_t at, struct supafs_dirent *ent)
{
	const unsigned char *p = record(l, at);

	ent->seg_n = *p;
	memcpy(ent->seg, p + 1, ent->seg_n);
	ent->seg[ent->seg_n] = 0;
	attr_unpack(p + 1 + *p, &ent->attr);
}

void listing_get(const struct listing *l, size_t i, struct supafs_dirent *ret_ent)
{
	ssize_t n;

	assert(i < l->n);
	get_record(l, l->at[i], ret_ent);
	n = supafs_name_decode(
		(struct supafs_str){ret_ent->seg, ret_ent->seg_n}, ret_ent->name, SUPAFS_NAME_MAX);
	assert(n > 0); /* ordinary, by segment_kind() */
	ret_ent->name_n = (size_t)n;
	ret_ent->name[n] = 0;
}

void listing_get_odd(const struct listing *l, size_t j, struct supafs_dirent *ret_ent)
{
	assert(l->complete && j < l->odd_n);
	get_record(l, l->odd[j].at, ret_ent);
	ret_ent->name_n = strlen(l->odd[j].name);
	memcpy(ret_ent->name, l->odd[j].name, ret_ent->name_n + 1);
}

static bool find_odd(const struct listing *l, struct supafs_str name, struct supafs_dirent *ent)
{
	size_t lo = 0, hi = l->complete ? l->odd_n : 0;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int r = supafs_str_cmp(supafs_str_of(l->odd[mid].name), name);

		if (r == 0) {
			listing_get_odd(l, mid, ent);
			return true;
		}
		if (r < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return false;
}

bool listing_find(const struct listing *l, struct supafs_str name, struct supafs_str seg,
	struct supafs_dirent *ret_ent)
{
	size_t i;

	if (seg.n > 0 &&
		(listing_find_seg(l, seg, false, &i) || listing_find_seg(l, seg, true, &i))) {
		listing_get(l, i, ret_ent);
		return true;
	}
	return find_odd(l, name, ret_ent);
}
