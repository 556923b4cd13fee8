/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Borrowed text: a view of bytes that somebody else owns. It may hold NUL bytes
 * and need not end in one; names from a server travel as views until checked.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct supafs_str {
	const char *p;
	size_t n;
};

#define SUPAFS_STR(lit)   ((struct supafs_str){(lit), sizeof(lit) - 1})
#define SUPAFS_STR_FMT(s) (int)(s).n, (s).p /* for "%.*s" */

static inline struct supafs_str supafs_str_of(const char *cstr)
{
	return (struct supafs_str){cstr, cstr ? strlen(cstr) : 0};
}

static inline bool supafs_str_eq(struct supafs_str a, struct supafs_str b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool supafs_str_starts(struct supafs_str s, struct supafs_str prefix)
{
	return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}

static inline bool supafs_str_ends(struct supafs_str s, struct supafs_str suffix)
{
	return s.n >= suffix.n &&
	       (suffix.n == 0 || memcmp(s.p + s.n - suffix.n, suffix.p, suffix.n) == 0);
}

/* Bytewise order, a shorter string before its continuation: the server's COLLATE "C". */
int supafs_str_cmp(struct supafs_str a, struct supafs_str b);

/* An owned, NUL-terminated copy; NULL when out of memory. */
char *supafs_str_dup(struct supafs_str s);
