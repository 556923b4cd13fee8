/* SPDX-License-Identifier: Apache-2.0 */
/* Names both ways: POSIX name ↔ stored key segment. */
#include "supafs/util/name.h"

#include <errno.h>

static const struct supafs_str placeholder = {SUPAFS_PLACEHOLDER, sizeof(SUPAFS_PLACEHOLDER) - 1};

/* The server's class without '/' (API §10). */
static bool plain(unsigned char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
	       (c != 0 && strchr("_!.*'() &$=@;:+,?-", c) != NULL);
}

bool supafs_name_plain(struct supafs_str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (!plain((unsigned char)s.p[i]))
			return false;
	}
	return true;
}

/* Value of an upper-case hex digit, -1 for anything else. */
static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The byte that the two characters at `i` stand for, or -1. */
static int hex_at(struct supafs_str s, size_t i)
{
	const int hi = i + 1 < s.n ? hex_value(s.p[i]) : -1;
	const int lo = hi >= 0 ? hex_value(s.p[i + 1]) : -1;

	return lo >= 0 ? hi * 16 + lo : -1;
}

static bool behind_placeholder(struct supafs_str s, size_t at)
{
	const struct supafs_str before = {s.p, at};

	return supafs_str_ends(before, (struct supafs_str){placeholder.p, placeholder.n - 1});
}

/*
 * The byte that the '=' at `at` begins to escape, or -1 if it stands for itself.
 *
 * A run of 3D is what nested escapes of '=' look like; only its end tells whether the
 * whole reads as an escape. What follows the '=' is made of hex digits, which are stored
 * as they are: so the question has the same answer in a name and in its segment.
 */
static int escape_at(struct supafs_str s, size_t at)
{
	const int first = hex_at(s, at + 1);
	size_t i = at + 1;
	int byte = first;

	while (byte == '=') {
		i += 2;
		byte = hex_at(s, i);
	}
	if (byte < 0)
		return -1;
	if (!plain((unsigned char)byte))
		return first;
	return byte == 'r' && i + 2 == s.n && behind_placeholder(s, at) ? first : -1;
}

static bool dots(struct supafs_str s)
{
	return supafs_str_eq(s, SUPAFS_STR(".")) || supafs_str_eq(s, SUPAFS_STR(".."));
}

ssize_t supafs_name_encode(struct supafs_str name, char *seg, size_t size)
{
	static const char hex[] = "0123456789ABCDEF";
	const bool reserved = supafs_str_ends(name, placeholder);
	size_t n = 0;

	if (name.n == 0 || dots(name) || memchr(name.p, '/', name.n) || memchr(name.p, 0, name.n))
		return -EINVAL;
	for (size_t i = 0; i < name.n; i++) {
		const unsigned char c = (unsigned char)name.p[i];
		const bool as_is = c == '=' ? escape_at(name, i) < 0 : plain(c);
		const bool last = i + 1 == name.n;

		if (n + 1 > size)
			return -ENAMETOOLONG;
		if (as_is && !(reserved && last)) {
			seg[n++] = (char)c;
			continue;
		}
		if (n + 3 > size)
			return -ENAMETOOLONG;
		seg[n++] = '=';
		seg[n++] = hex[c >> 4];
		seg[n++] = hex[c & 15];
	}
	return (ssize_t)n;
}

ssize_t supafs_name_decode(struct supafs_str seg, char *name, size_t size)
{
	unsigned char *out = (unsigned char *)name;
	size_t n = 0;

	/* What encode() never writes has no name: else two segments would share one. */
	if (seg.n == 0 || dots(seg) || !supafs_name_plain(seg) || supafs_str_ends(seg, placeholder))
		return -EILSEQ;
	for (size_t i = 0; i < seg.n;) {
		const int byte = seg.p[i] == '=' ? escape_at(seg, i) : -1;

		if (byte == '/' || byte == 0)
			return -EILSEQ;
		if (n + 1 > size)
			return -ENAMETOOLONG;
		out[n++] = byte < 0 ? (unsigned char)seg.p[i] : (unsigned char)byte;
		i += byte < 0 ? 1 : 3;
	}
	return (ssize_t)n;
}
