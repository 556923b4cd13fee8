/* SPDX-License-Identifier: Apache-2.0 */
/* Strict parsers for numbers: the whole text must match; no sign, no blanks. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "supafs/util/buf.h"

/* Decimal. 0, -EINVAL, or -ERANGE above `max`. */
int supafs_parse_u64(struct supafs_str s, uint64_t max, uint64_t *ret);
/* Octal file mode, at most 07777. */
int supafs_parse_mode(struct supafs_str s, unsigned *ret);
/* Bytes with an optional suffix K M G T (powers of 1024, upper or lower case). */
int supafs_parse_size(struct supafs_str s, uint64_t *ret);
/* Time with an optional suffix ms s m h (default s) in milliseconds; fractions allowed ("0.5"). */
int supafs_parse_duration_ms(struct supafs_str s, uint64_t *ret);
/* Seconds since 1970 with an optional fraction of up to 9 digits, as rclone writes mtime; may be
 * negative. → ns. */
int supafs_parse_mtime(struct supafs_str s, int64_t *ret_ns);
/* The inverse: "1700000000.123456789", no fraction when it is zero. */
int supafs_format_mtime(int64_t ns, char *out, size_t size);
/* yes/no/true/false/1/0/on/off */
int supafs_parse_bool(struct supafs_str s, bool *ret);

/* Base64 (RFC 4648 §4, and §5 url-safe without padding). Decoding refuses anything else. */
int supafs_b64_encode(struct supafs_buf *b, const void *p, size_t n);
int supafs_b64url_encode(struct supafs_buf *b, const void *p, size_t n);
int supafs_b64_decode(struct supafs_buf *b, struct supafs_str s);
int supafs_b64url_decode(struct supafs_buf *b, struct supafs_str s);

/* Well-formed UTF-8 (Unicode 15, table 3-7) without a NUL. */
bool supafs_utf8_valid(struct supafs_str s);

/* Appends `s` as a JSON string with its quotes (RFC 8259 §7); bytes that are not UTF-8 are
 * escaped as \u00HH. */
int supafs_json_quote(struct supafs_buf *b, struct supafs_str s);
