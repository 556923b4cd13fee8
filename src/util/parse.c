/* SPDX-License-Identifier: Apache-2.0 */
/* Strict parsers for numbers, sizes, times and switches. */
#include "supafs/util/parse.h"

#include <errno.h>
#include <stdio.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/clock.h"

static bool digit(char c)
{
	return c >= '0' && c <= '9';
}

int supafs_parse_u64(struct supafs_str s, uint64_t max, uint64_t *ret)
{
	uint64_t v = 0;
	bool over = false;

	if (s.n == 0)
		return -EINVAL;
	for (size_t i = 0; i < s.n; i++) {
		if (!digit(s.p[i]))
			return -EINVAL;
		/* Goes on after an overflow: "99…9x" is no number at all. */
		over = over || __builtin_mul_overflow(v, 10, &v) ||
		       __builtin_add_overflow(v, (uint64_t)(s.p[i] - '0'), &v);
	}
	if (over || v > max)
		return -ERANGE;
	*ret = v;
	return 0;
}

int supafs_parse_mode(struct supafs_str s, unsigned *ret)
{
	unsigned v = 0;

	if (s.n == 0)
		return -EINVAL;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '7')
			return -EINVAL;
		v = v > 07777 ? v : v * 8 + (unsigned)(s.p[i] - '0');
	}
	if (v > 07777)
		return -ERANGE;
	*ret = v;
	return 0;
}

int supafs_parse_size(struct supafs_str s, uint64_t *ret)
{
	static const char suffixes[] = "KMGT";
	unsigned shift = 0;
	uint64_t v = 0;
	int r = 0;

	for (unsigned i = 0; s.n > 0 && i < 4; i++) {
		if ((s.p[s.n - 1] & ~0x20) == suffixes[i])
			shift = 10 * (i + 1);
	}
	s.n -= shift > 0 ? 1 : 0;
	r = supafs_parse_u64(s, UINT64_MAX >> shift, &v);
	if (r != 0)
		return r;
	*ret = v << shift;
	return 0;
}

/* Unit of the text's suffix in milliseconds, and the text without it; 0: none known. */
static uint64_t take_unit(struct supafs_str *s)
{
	static const struct {
		struct supafs_str suffix;
		uint64_t ms;
	} units[] = {
		{{"ms", 2}, 1},
		{{"s", 1}, 1000},
		{{"m", 1}, 60000},
		{{"h", 1}, 3600000},
	};

	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(units); i++) {
		if (supafs_str_ends(*s, units[i].suffix)) {
			s->n -= units[i].suffix.n;
			return units[i].ms;
		}
	}
	return 1000;
}

/* Splits "12.5" at the dot. A dot must have digits behind it. */
static int split_fraction(
	struct supafs_str s, struct supafs_str *whole, struct supafs_str *fraction)
{
	const char *dot = s.n > 0 ? memchr(s.p, '.', s.n) : NULL;

	*whole = s;
	*fraction = (struct supafs_str){"", 0};
	if (!dot)
		return 0;
	whole->n = (size_t)(dot - s.p);
	*fraction = (struct supafs_str){dot + 1, s.n - whole->n - 1};
	return fraction->n > 0 ? 0 : -EINVAL;
}

/* Up to nine digits behind the dot → billionths. */
static int parse_fraction(struct supafs_str s, int64_t *ret_nano)
{
	int64_t v = 0;

	if (s.n > 9)
		return -EINVAL;
	for (size_t i = 0; i < 9; i++) {
		if (i < s.n && !digit(s.p[i]))
			return -EINVAL;
		v = v * 10 + (i < s.n ? s.p[i] - '0' : 0);
	}
	*ret_nano = v;
	return 0;
}

int supafs_parse_duration_ms(struct supafs_str s, uint64_t *ret)
{
	const uint64_t unit = take_unit(&s);
	struct supafs_str whole;
	struct supafs_str fraction;
	uint64_t v = 0;
	int64_t nano = 0;
	int r = split_fraction(s, &whole, &fraction);

	if (r == 0)
		r = parse_fraction(fraction, &nano);
	if (r == 0)
		r = supafs_parse_u64(whole, (UINT64_MAX - unit) / unit, &v);
	if (r != 0)
		return r;
	*ret = v * unit + (uint64_t)nano * unit / (uint64_t)SUPAFS_NS_PER_S;
	return 0;
}

int supafs_parse_mtime(struct supafs_str s, int64_t *ret_ns)
{
	const bool negative = s.n > 0 && s.p[0] == '-';
	struct supafs_str whole;
	struct supafs_str fraction;
	uint64_t seconds = 0;
	int64_t nano = 0;
	int64_t ns = 0;
	int r = 0;

	if (negative)
		s = (struct supafs_str){s.p + 1, s.n - 1};
	r = split_fraction(s, &whole, &fraction);
	if (r == 0)
		r = parse_fraction(fraction, &nano);
	if (r == 0)
		r = supafs_parse_u64(whole, (uint64_t)(INT64_MAX / SUPAFS_NS_PER_S - 1), &seconds);
	if (r != 0)
		return r;
	ns = (int64_t)seconds * SUPAFS_NS_PER_S + nano;
	*ret_ns = negative ? -ns : ns;
	return 0;
}

int supafs_format_mtime(int64_t ns, char *out, size_t size)
{
	const uint64_t abs = ns < 0 ? (uint64_t) - (ns + 1) + 1 : (uint64_t)ns;
	const uint64_t seconds = abs / (uint64_t)SUPAFS_NS_PER_S;
	const unsigned nano = (unsigned)(abs % (uint64_t)SUPAFS_NS_PER_S);
	const char *sign = ns < 0 ? "-" : "";
	int n = 0;

	if (nano == 0)
		n = snprintf(out, size, "%s%llu", sign, (unsigned long long)seconds);
	else
		n = snprintf(out, size, "%s%llu.%09u", sign, (unsigned long long)seconds, nano);
	return n < 0 || (size_t)n >= size ? -EMSGSIZE : n;
}

int supafs_parse_bool(struct supafs_str s, bool *ret)
{
	static const char *const words[] = {"no", "yes", "false", "true", "0", "1", "off", "on"};

	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(words); i++) {
		if (supafs_str_eq(s, supafs_str_of(words[i]))) {
			*ret = i % 2 == 1;
			return 0;
		}
	}
	return -EINVAL;
}
