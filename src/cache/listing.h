/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A folder's listing in compact form: packed records in chunks, and an index in key order.
 *
 *	filling   add() in key order; n and the records only grow; odd entries have no name yet
 *	complete  seal() gave every odd entry its name; nothing changes any more
 *
 * Ordinary entries (at[]) have exactly one shown name each, the decoded segment, so they are
 * found by binary search on the segment. Odd ones (odd[], docs/names.md) are kept apart: which
 * name they show under depends on all others, hence it is settled by seal() only.
 *
 * Counted, not locked: the owner's lock protects everything, the counter too.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "supafs/cache/catalog.h"

#define ATTR_PACKED_MAX 192 /* flags, etag, id and every number at its longest */

struct odd {
	uint32_t at;
	char *name; /* NULL while filling */
};

struct listing {
	unsigned refs;
	bool complete;
	bool keeper;        /* a placeholder or marker was listed */
	uint64_t seq;       /* taken before the first page was asked for */
	int64_t expires_ns; /* set when stored */
	size_t n, cap;
	uint32_t *at; /* chunk << 16 | offset */
	unsigned char **chunk;
	size_t chunks, used, room; /* used, room: of the last chunk */
	struct odd *odd;
	size_t odd_n, odd_cap;
	uint64_t hidden; /* keys that cannot be shown */
	size_t bytes;    /* all memory of it */
};

enum seg_kind {
	SEG_ORDINARY,
	SEG_ODD,
	SEG_HIDDEN,
};

/* Which kind of entry a stored segment makes by itself (a folder beside a file is odd too). */
enum seg_kind segment_kind(struct supafs_str seg, bool folder);

/* Packs `attr` into `out` (ATTR_PACKED_MAX bytes); its length. unpack() gives it back exactly. */
size_t attr_pack(const struct supafs_attr *attr, unsigned char *out);
void attr_unpack(const unsigned char *in, struct supafs_attr *ret_attr);

int listing_new(uint64_t seq, struct listing **ret_listing);
struct listing *listing_ref(struct listing *l);
/* Frees with the last reference. Returns NULL. */
struct listing *listing_unref(struct listing *l);

/* The next entry in key order. 0 or -ENOMEM. */
int listing_add(struct listing *l, struct supafs_str seg, const struct supafs_attr *attr);
/* No entry follows: names the odd ones, gives spare memory back. 0 or -ENOMEM. */
int listing_seal(struct listing *l);

/* Ordinary entry i < n; odd entry j < odd_n of a complete listing. */
void listing_get(const struct listing *l, size_t i, struct supafs_dirent *ret_ent);
void listing_get_odd(const struct listing *l, size_t j, struct supafs_dirent *ret_ent);
/* The ordinary entry of that segment and kind. */
bool listing_find_seg(const struct listing *l, struct supafs_str seg, bool folder, size_t *ret_i);
/* True if every ordinary entry of `seg`, file or folder, has been listed if there is one. */
bool listing_covers(const struct listing *l, struct supafs_str seg);
/* By shown name; `seg` is the name's segment, n 0 if it has none. A listing that is being filled
 * knows its ordinary entries only. */
bool listing_find(const struct listing *l, struct supafs_str name, struct supafs_str seg,
	struct supafs_dirent *ret_ent);
