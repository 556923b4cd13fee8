/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Times, modes and owners in user metadata (product.md §4): a JSON object of strings,
 *
 *	{"mtime":"1700000000.123456789","mode":"33184","uid":"0","gid":"0","nonce":"…"}
 *
 * mtime as rclone writes it; mode, uid, gid as s3fs writes them (mode: the decimal st_mode, file
 * type included). Read as well: numbers, and a mode that begins with 0, which is octal (rclone).
 */
#pragma once

#include "supafs/store/store.h"

#include "json_priv.h"

/* Appends the object's text; `nonce` "" = none. 0 or the buffer's error. */
int supafs_meta_add_json(
	struct supafs_buf *b, const struct supafs_meta *m, struct supafs_str nonce);

/* Reads what is there and well formed; the rest is not in `has`. */
void supafs_meta_from_json(const struct supafs_json *object, struct supafs_meta *ret_meta);

/* What a store keeps as Cache-Control: `plain` without directives of ours (it may be a value out
 * of a listing), "no-cache" if that is empty, then those of `m`. 0; -EINVAL when it does not fit
 * SUPAFS_CC_MAX or has control bytes; -ENOMEM. */
int supafs_meta_cache_control(
	struct supafs_buf *b, struct supafs_str plain, const struct supafs_meta *m);
