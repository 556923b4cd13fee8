/* SPDX-License-Identifier: Apache-2.0 */
/* Well-formed UTF-8, by table 3-7 of the Unicode standard. */
#include "supafs/util/cleanup.h"
#include "supafs/util/parse.h"

#include "utf8_priv.h"

size_t supafs_utf8_length(const unsigned char *p, size_t n)
{
	static const struct {
		unsigned char first_lo, first_hi; /* lead byte */
		unsigned char next_lo, next_hi; /* second byte: no overlong forms, no surrogates */
		size_t length;
	} rows[] = {
		{0x00, 0x7F, 0x00, 0xFF, 1},
		{0xC2, 0xDF, 0x80, 0xBF, 2},
		{0xE0, 0xE0, 0xA0, 0xBF, 3},
		{0xE1, 0xEC, 0x80, 0xBF, 3},
		{0xED, 0xED, 0x80, 0x9F, 3},
		{0xEE, 0xEF, 0x80, 0xBF, 3},
		{0xF0, 0xF0, 0x90, 0xBF, 4},
		{0xF1, 0xF3, 0x80, 0xBF, 4},
		{0xF4, 0xF4, 0x80, 0x8F, 4},
	};

	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(rows); i++) {
		if (p[0] < rows[i].first_lo || p[0] > rows[i].first_hi)
			continue;
		if (rows[i].length > n)
			return 0;
		if (rows[i].length > 1 && (p[1] < rows[i].next_lo || p[1] > rows[i].next_hi))
			return 0;
		for (size_t k = 2; k < rows[i].length; k++) {
			if ((p[k] & 0xC0) != 0x80)
				return 0;
		}
		return rows[i].length;
	}
	return 0;
}

bool supafs_utf8_valid(struct supafs_str s)
{
	for (size_t i = 0; i < s.n;) {
		const size_t length = supafs_utf8_length((const unsigned char *)s.p + i, s.n - i);

		if (length == 0 || s.p[i] == '\0')
			return false;
		i += length;
	}
	return true;
}
