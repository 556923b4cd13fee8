/* SPDX-License-Identifier: Apache-2.0 */
/* Header values that need more than a copy (RFC 9110 §14.4, §10.2.3). */
#include <errno.h>

#include "supafs/http/http.h"
#include "supafs/util/parse.h"

enum {
	RETRY_AFTER_MAX_MS = 3600 * 1000,
};

/* Splits at the first `c`: what is before it, and *rest behind it. False without `c`. */
static bool split(struct supafs_str s, char c, struct supafs_str *before, struct supafs_str *rest)
{
	const char *at = s.n > 0 ? memchr(s.p, c, s.n) : NULL;

	if (!at)
		return false;
	*before = (struct supafs_str){s.p, (size_t)(at - s.p)};
	*rest = (struct supafs_str){at + 1, s.n - before->n - 1};
	return true;
}

/* Object sizes end at 2^63 - 1: sums of two cannot overflow. */
static int number(struct supafs_str s, uint64_t *ret)
{
	return supafs_parse_u64(s, INT64_MAX, ret) == 0 ? 0 : -EINVAL;
}

int supafs_http_parse_content_range(struct supafs_str v, struct supafs_http_reply *r)
{
	static const struct supafs_str unit = {"bytes ", 6};
	struct supafs_str range;
	struct supafs_str first;
	struct supafs_str last;
	struct supafs_str total;
	uint64_t n[3] = {0, 0, UINT64_MAX};

	if (!supafs_str_starts(v, unit))
		return -EINVAL;
	v = (struct supafs_str){v.p + unit.n, v.n - unit.n};
	if (!split(v, '/', &range, &total) || !split(range, '-', &first, &last))
		return -EINVAL;
	if (number(first, &n[0]) != 0 || number(last, &n[1]) != 0)
		return -EINVAL;
	if (!supafs_str_eq(total, SUPAFS_STR("*")) && number(total, &n[2]) != 0)
		return -EINVAL;
	if (n[0] > n[1] || n[1] >= n[2])
		return -EINVAL;
	r->range_first = n[0];
	r->range_last = n[1];
	r->range_total = n[2];
	r->has_range = true;
	return 0;
}

int supafs_http_parse_retry_after(struct supafs_str v, int64_t now_wall_ns, int64_t *ret_ms)
{
	uint64_t seconds = 0;
	int64_t at_ns = 0;
	int64_t ms = 0;
	const int r = supafs_parse_u64(v, RETRY_AFTER_MAX_MS / 1000, &seconds);

	if (r == 0) {
		ms = (int64_t)seconds * 1000;
	} else if (r == -ERANGE) {
		ms = RETRY_AFTER_MAX_MS;
	} else {
		if (supafs_parse_http_date(v.p, v.n, &at_ns) != 0)
			return -EINVAL;
		/* Rounded up: asking again a moment too early would be refused again. */
		if (at_ns > now_wall_ns)
			ms = (at_ns - now_wall_ns - 1) / SUPAFS_NS_PER_MS + 1;
	}
	*ret_ms = ms < RETRY_AFTER_MAX_MS ? ms : RETRY_AFTER_MAX_MS;
	return 0;
}
