/* SPDX-License-Identifier: Apache-2.0 */
/* Base64 (RFC 4648 §4 with padding, §5 url-safe without). Decoding is strict: unused bits
 * must be zero, so that every value has exactly one text. */
#include <errno.h>
#include <stdint.h>

#include "supafs/util/parse.h"

static const char standard[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url_safe[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static int encode(struct supafs_buf *b, const unsigned char *p, size_t n, const char *table)
{
	const bool pad = table == standard;

	for (size_t i = 0; i < n; i += 3) {
		const size_t have = n - i < 3 ? n - i : 3;
		const uint32_t v = (uint32_t)p[i] << 16 | (uint32_t)(have > 1 ? p[i + 1] : 0) << 8 |
				   (have > 2 ? p[i + 2] : 0);
		char out[4] = {
			table[v >> 18], table[v >> 12 & 63], table[v >> 6 & 63], table[v & 63]};

		for (size_t k = have + 1; k < 4; k++)
			out[k] = '=';
		(void)supafs_buf_add(b, out, pad ? 4 : have + 1);
	}
	return supafs_buf_error(b);
}

static int value_of(char c, const char *table)
{
	const char *at = c ? strchr(table, c) : NULL;

	return at ? (int)(at - table) : -1;
}

/* 2 to 4 characters → 1 to 3 bytes. */
static int decode_group(struct supafs_buf *b, const char *s, size_t n, const char *table)
{
	uint32_t v = 0;
	char out[3];

	if (n < 2)
		return -EINVAL;
	for (size_t i = 0; i < 4; i++) {
		const int bits = i < n ? value_of(s[i], table) : 0;

		if (bits < 0)
			return -EINVAL;
		v = v << 6 | (uint32_t)bits;
	}
	if ((n == 2 && (v & 0xFFFF) != 0) || (n == 3 && (v & 0xFF) != 0))
		return -EINVAL;
	out[0] = (char)(v >> 16);
	out[1] = (char)(v >> 8 & 0xFF);
	out[2] = (char)(v & 0xFF);
	return supafs_buf_add(b, out, n - 1);
}

static int decode(struct supafs_buf *b, struct supafs_str s, const char *table)
{
	for (size_t i = 0; i < s.n; i += 4) {
		const int r = decode_group(b, s.p + i, s.n - i < 4 ? s.n - i : 4, table);

		if (r != 0)
			return r;
	}
	return supafs_buf_error(b);
}

int supafs_b64_encode(struct supafs_buf *b, const void *p, size_t n)
{
	return encode(b, p, n, standard);
}

int supafs_b64url_encode(struct supafs_buf *b, const void *p, size_t n)
{
	return encode(b, p, n, url_safe);
}

int supafs_b64_decode(struct supafs_buf *b, struct supafs_str s)
{
	if (s.n % 4 != 0)
		return -EINVAL;
	for (int i = 0; i < 2 && s.n > 0 && s.p[s.n - 1] == '='; i++)
		s.n--;
	return decode(b, s, standard);
}

int supafs_b64url_decode(struct supafs_buf *b, struct supafs_str s)
{
	return decode(b, s, url_safe);
}
