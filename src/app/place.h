/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a mount keeps its things.
 *
 *	cache      -o cache=DIR, else $XDG_CACHE_HOME/supafs, /var/cache/supafs (root),
 *~/.cache/supafs; in it one folder a mount: BUCKET-HASH, the hash of URL, bucket, prefix, mount
 *point records    /run/supafs (root), $XDG_RUNTIME_DIR/supafs, else CACHE/run; see record.h
 */
#pragma once

#include <limits.h>
#include <stdint.h>
#include <sys/types.h>

#include "messages.h"

struct supafs_identity {
	const char *url, *bucket, *prefix, *mountpoint;
};

/* A number for texts that stays the same over restarts and versions (FNV-1a, 64 bit). */
uint64_t supafs_stable_hash(const char *text);

/* The cache folder without the mount's own. 0, or -errno with *p. `out`: PATH_MAX bytes. */
int supafs_place_cache_base(const char *option, char *out, struct supafs_problem *p);
/* Makes base and folder, private; checks that it can be written. 0 or -errno with *p. */
int supafs_place_cache(
	const char *base, const struct supafs_identity *id, char *out, struct supafs_problem *p);
/* The folder of the records of `user`; not made. 0 or -ENOENT. */
int supafs_place_records(uid_t user, char *out);
