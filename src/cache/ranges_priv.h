/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A set of byte offsets as a sorted array of ranges: disjoint, not adjacent, none empty.
 *
 * supafs_ranges_reserve() first, then one supafs_ranges_add() or _remove() cannot fail: each needs
 * at most one more range. So a caller allocates before it touches the disk and never has to undo.
 * Not thread-safe.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "supafs/cache/spool.h"

struct supafs_ranges {
	struct supafs_range *p;
	size_t n, cap;
};

/* Most ranges of one set: 16 MiB of memory. */
#define SUPAFS_RANGES_MAX ((size_t)1 << 20)

/* A zeroed struct is an empty set. */
void supafs_ranges_fini(struct supafs_ranges *r);
/* Room for one more range. 0, -ENOMEM, or -ENOSPC at SUPAFS_RANGES_MAX. */
int supafs_ranges_reserve(struct supafs_ranges *r);
/* Both need from ≤ to. */
void supafs_ranges_add(struct supafs_ranges *r, uint64_t from, uint64_t to);
void supafs_ranges_remove(struct supafs_ranges *r, uint64_t from, uint64_t to);
/* The first range that ends behind `off`; NULL if none. Valid until the next change. */
const struct supafs_range *supafs_ranges_find(const struct supafs_ranges *r, uint64_t off);
/* First gap at or behind `off`, inside [off, to): true and the gap, or false. */
bool supafs_ranges_gap(
	const struct supafs_ranges *r, uint64_t off, uint64_t to, struct supafs_range *ret_gap);
/* True when the invariants hold and nothing is at or behind `end`. */
bool supafs_ranges_valid(const struct supafs_ranges *r, uint64_t end);
bool supafs_ranges_valid_array(const struct supafs_range *p, size_t n, uint64_t end);
