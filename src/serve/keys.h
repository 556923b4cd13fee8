/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the Storage API accepts as a name (API §2, §10), the patterns of policies and
 * fault rules, and times as the API writes them. Pure functions.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "supafs/util/str.h"

/* One or more bytes of the class that the server accepts (ASCII only). */
bool serve_key_valid(struct supafs_str key);
/* A segment is "." or "..": the file backend refuses to write such a key. */
bool serve_key_has_dots(struct supafs_str key);
/* A segment is longer than a file name may be: the file backend fails with 500. */
bool serve_key_too_long(struct supafs_str key);
/* 1–100 bytes of the key class without '/', no blank at either end, not ending in "--table-s3". */
bool serve_bucket_name_valid(struct supafs_str name);

/* '*' stands for any bytes ('/' too), '?' for one; everything else for itself. */
bool serve_glob(struct supafs_str pattern, struct supafs_str text);

/* Microseconds since 1970. */
int64_t serve_now_us(void);
/* "2026-11-24T00:20:48.794Z"; `out` holds at least 25 bytes. */
void serve_format_iso(int64_t us, char out[32]);
/* "Tue, 24 Nov 2026 00:20:48 GMT" (RFC 9110 §5.6.7). */
void serve_format_http(int64_t us, char out[32]);
