/* SPDX-License-Identifier: Apache-2.0 */
/* Sorted array of disjoint ranges. A file written front to back has one range, a database some
 * thousands: a binary search and a memmove beat a tree there, in time and in memory. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ranges_priv.h"

void supafs_ranges_fini(struct supafs_ranges *r)
{
	free(r->p);
	*r = (struct supafs_ranges){0};
}

int supafs_ranges_reserve(struct supafs_ranges *r)
{
	if (r->n < r->cap)
		return 0;
	if (r->n >= SUPAFS_RANGES_MAX)
		return -ENOSPC;

	size_t cap = r->cap ? r->cap * 2 : 4;
	struct supafs_range *p = reallocarray(r->p, cap, sizeof(*p));

	if (!p)
		return -ENOMEM;
	r->p = p;
	r->cap = cap;
	return 0;
}

/* Index of the first range whose end is behind `off` (or at it, if `touching`). */
static size_t lower_bound(const struct supafs_ranges *r, uint64_t off, bool touching)
{
	size_t lo = 0, hi = r->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (r->p[mid].to > off || (touching && r->p[mid].to == off))
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

/* Replaces ranges [at, at + drop) by `with` new ones. */
static void splice(struct supafs_ranges *r, size_t at, size_t drop, size_t with)
{
	assert(r->n - drop + with <= r->cap);
	if (r->n > at + drop)
		memmove(r->p + at + with, r->p + at + drop, (r->n - at - drop) * sizeof(*r->p));
	r->n = r->n - drop + with;
}

void supafs_ranges_add(struct supafs_ranges *r, uint64_t from, uint64_t to)
{
	if (from == to)
		return;

	size_t at = lower_bound(r, from, true), end = at;

	while (end < r->n && r->p[end].from <= to) {
		if (r->p[end].from < from)
			from = r->p[end].from;
		if (r->p[end].to > to)
			to = r->p[end].to;
		end++;
	}
	splice(r, at, end - at, 1);
	r->p[at] = (struct supafs_range){from, to};
}

void supafs_ranges_remove(struct supafs_ranges *r, uint64_t from, uint64_t to)
{
	if (from == to)
		return;

	struct supafs_range keep[2];
	size_t kept = 0, at = lower_bound(r, from, false), end = at;

	for (; end < r->n && r->p[end].from < to; end++) {
		if (r->p[end].from < from)
			keep[kept++] = (struct supafs_range){r->p[end].from, from};
		if (r->p[end].to > to)
			keep[kept++] = (struct supafs_range){to, r->p[end].to};
	}
	splice(r, at, end - at, kept);
	for (size_t i = 0; i < kept; i++)
		r->p[at + i] = keep[i];
}

const struct supafs_range *supafs_ranges_find(const struct supafs_ranges *r, uint64_t off)
{
	size_t at = lower_bound(r, off, false);

	return at < r->n ? &r->p[at] : NULL;
}

bool supafs_ranges_gap(
	const struct supafs_ranges *r, uint64_t off, uint64_t to, struct supafs_range *ret_gap)
{
	size_t at = lower_bound(r, off, false);

	if (at < r->n && r->p[at].from <= off)
		off = r->p[at++].to;
	if (off >= to)
		return false;
	*ret_gap = (struct supafs_range){off, at < r->n && r->p[at].from < to ? r->p[at].from : to};
	return true;
}

bool supafs_ranges_valid_array(const struct supafs_range *p, size_t n, uint64_t end)
{
	uint64_t last = 0;

	if (n > SUPAFS_RANGES_MAX)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (p[i].from >= p[i].to || (i && p[i].from <= last))
			return false;
		last = p[i].to;
	}
	return last <= end;
}

bool supafs_ranges_valid(const struct supafs_ranges *r, uint64_t end)
{
	return r->n <= r->cap && supafs_ranges_valid_array(r->p, r->n, end);
}
