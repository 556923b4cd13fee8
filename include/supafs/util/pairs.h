/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A list of named byte strings in one flat piece of memory: user metadata on its way between an
 * object, the journal and the extended attributes of a file.
 *
 * Form: per pair two lengths (32 bits each, little endian), then the bytes of name and value.
 * Names are unique, not empty, without NUL; order is that of insertion. "" is the empty list.
 * A list is at most SUPAFS_PAIRS_MAX bytes (what fits into a request's header, API §5.6).
 *
 * Threads: no state; a buffer is its owner's.
 */
#pragma once

#include <stdbool.h>

#include "supafs/util/buf.h"
#include "supafs/util/str.h"

#define SUPAFS_PAIRS_MAX 8192

/* Is `list` well-formed? Everything below expects that. */
bool supafs_pairs_valid(struct supafs_str list);
/* The pair at *pos (0 at first), which moves on. False at the end. */
bool supafs_pairs_next(struct supafs_str list, size_t *pos, struct supafs_str *ret_name,
	struct supafs_str *ret_value);
/* The value of `name`; false: none. */
bool supafs_pairs_get(struct supafs_str list, struct supafs_str name, struct supafs_str *ret_value);
/* Adds or replaces; the new pair comes last, and the buffer's bound becomes SUPAFS_PAIRS_MAX. 0,
 * -EINVAL (a bad name), -ENOSPC (list too long: unchanged), -ENOMEM. */
int supafs_pairs_set(struct supafs_buf *list, struct supafs_str name, struct supafs_str value);
/* True when it was there. */
bool supafs_pairs_remove(struct supafs_buf *list, struct supafs_str name);
