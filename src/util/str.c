/* SPDX-License-Identifier: Apache-2.0 */
/* Borrowed text: order and copies. */
#include "supafs/util/str.h"

#include <stdlib.h>

int supafs_str_cmp(struct supafs_str a, struct supafs_str b)
{
	const size_t common = a.n < b.n ? a.n : b.n;
	const int r = common > 0 ? memcmp(a.p, b.p, common) : 0;

	if (r != 0)
		return r;
	return (a.n > b.n) - (a.n < b.n);
}

char *supafs_str_dup(struct supafs_str s)
{
	char *copy = malloc(s.n + 1);

	if (!copy)
		return NULL;
	if (s.n > 0)
		memcpy(copy, s.p, s.n);
	copy[s.n] = '\0';
	return copy;
}
