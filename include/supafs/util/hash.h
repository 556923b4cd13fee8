/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hash map of intrusive entries, open addressing over (hash, pointer), seeded:
 * names come from strangers. An entry embeds nothing; the map stores its hash and
 * pointer and asks `equal` on a match. The map owns no entry.
 *
 * Iteration is safe against removal of the entry just returned, and of no other.
 * Not thread-safe.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "supafs/util/str.h"

struct supafs_map;

/* True if `entry` has the key `key` (both as the user of the map defines them). */
typedef bool (*supafs_map_equal_fn)(const void *entry, const void *key);

/* 0 or -ENOMEM; ends with supafs_map_free(), which takes NULL and returns NULL. */
int supafs_map_new(supafs_map_equal_fn equal, struct supafs_map **ret_map);
struct supafs_map *supafs_map_free(struct supafs_map *m);

size_t supafs_map_count(const struct supafs_map *m);
/* NULL if absent. */
void *supafs_map_get(const struct supafs_map *m, uint64_t hash, const void *key);
/* Adds; the key must not be in the map (asserted in debug builds). 0 or -ENOMEM. */
int supafs_map_add(struct supafs_map *m, uint64_t hash, const void *key, void *entry);
/* Takes out and returns the entry; NULL if absent. */
void *supafs_map_remove(struct supafs_map *m, uint64_t hash, const void *key);
/* Walks: *pos starts at 0; NULL at the end. */
void *supafs_map_next(const struct supafs_map *m, size_t *pos);

/* Seeded hash of bytes (SipHash-1-3, its seed drawn once a process) and of a number. */
uint64_t supafs_hash_bytes(const void *p, size_t n);
uint64_t supafs_hash_u64(uint64_t v);

static inline uint64_t supafs_hash_str(struct supafs_str s)
{
	return supafs_hash_bytes(s.p, s.n);
}
