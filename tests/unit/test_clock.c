/* SPDX-License-Identifier: Apache-2.0 */
/* Clocks, dates and random numbers. */
#include <errno.h>
#include <string.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/clock.h"
#include "supafs/util/str.h"

#include "unit.h"

#define S(x) (INT64_C(x) * SUPAFS_NS_PER_S)

static void system_clock(void **state)
{
	const struct supafs_clock *c = supafs_clock_system();
	const int64_t before = c->mono_ns(c);

	(void)state;
	c->sleep_until(c, before + 5 * SUPAFS_NS_PER_MS);
	assert_true(c->mono_ns(c) >= before + 5 * SUPAFS_NS_PER_MS);
	assert_true(c->wall_ns(c) > S(1700000000));
}

static void fake_clock(void **state)
{
	struct supafs_fake_clock f;
	const struct supafs_clock *c = &f.base;

	(void)state;
	supafs_fake_clock_init(&f, 100, 1000);
	assert_int_equal(c->mono_ns(c), 100);
	supafs_fake_clock_advance(&f, 50);
	assert_int_equal(c->mono_ns(c), 150);
	assert_int_equal(c->wall_ns(c), 1050);
	c->sleep_until(c, 200);
	assert_int_equal(c->mono_ns(c), 200);
	assert_int_equal(c->wall_ns(c), 1100);
	c->sleep_until(c, 10);
	assert_int_equal(c->mono_ns(c), 200);
}

static void iso8601(void **state)
{
	static const struct {
		const char *text;
		int result;
		int64_t ns;
	} rows[] = {
		{"1970-01-01T00:00:00Z", 0, 0},
		{"2026-11-24T00:20:48.794Z", 0, S(1795479648) + 794000000},
		{"2026-11-24T00:20:48.123456789Z", 0, S(1795479648) + 123456789},
		{"2026-11-24T00:20:48Z", 0, S(1795479648)},
		{"2026-11-24T00:20:48+00:00", 0, S(1795479648)},
		{"2026-11-24 00:20:48.794+00", 0, S(1795479648) + 794000000},
		{"2026-11-24T02:20:48+02:00", 0, S(1795479648)},
		{"2026-11-23T19:20:48-0500", 0, S(1795479648)},
		{"2000-02-29T12:00:00Z", 0, S(951825600)},
		{"1969-12-31T23:59:59.5Z", 0, -500000000},
		{"2016-12-31T23:59:60Z", 0, S(1483228800)},
		{"2026-11-24T00:20:48", -EINVAL, 9},
		{"2026-11-24T00:20:48.Z", -EINVAL, 9},
		{"2026-11-24T00:20:48.1234567890Z", -EINVAL, 9},
		{"2026-11-24T00:20:48Zx", -EINVAL, 9},
		{"2026-11-24T24:20:48Z", -EINVAL, 9},
		{"2026-11-24T00:60:48Z", -EINVAL, 9},
		{"2026-13-24T00:20:48Z", -EINVAL, 9},
		{"2026-00-24T00:20:48Z", -EINVAL, 9},
		{"2026-02-29T00:20:48Z", -EINVAL, 9},
		{"2100-02-29T00:20:48Z", -EINVAL, 9},
		{"2026-11-00T00:20:48Z", -EINVAL, 9},
		{"9999-11-24T00:20:48Z", -EINVAL, 9},
		{"2026-11-24T00:20:48+24:00", -EINVAL, 9},
		{"2026-11-24T00:20:48+1", -EINVAL, 9},
		{"2026-11-24", -EINVAL, 9},
		{"+026-11-24T00:20:48Z", -EINVAL, 9},
		{"", -EINVAL, 9},
	};

	(void)state;
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(rows); i++) {
		int64_t ns = 9;

		assert_int_equal(supafs_parse_iso8601(rows[i].text, strlen(rows[i].text), &ns),
			rows[i].result);
		assert_true(ns == rows[i].ns);
	}
}

static void http_date(void **state)
{
	static const struct {
		const char *text;
		int result;
		int64_t ns;
	} rows[] = {
		{"Sun, 06 Nov 1994 08:49:37 GMT", 0, S(784111777)},
		{"Tue, 24 Nov 2026 00:20:48 GMT", 0, S(1795479648)},
		{"Sunday, 06-Nov-94 08:49:37 GMT", -EINVAL, 9},
		{"Sun Nov  6 08:49:37 1994", -EINVAL, 9},
		{"Sun, 6 Nov 1994 08:49:37 GMT", -EINVAL, 9},
		{"Sun, 06 nov 1994 08:49:37 GMT", -EINVAL, 9},
		{"Sun, 06 Nov 1994 08:49:37 UTC", -EINVAL, 9},
		{"Sun, 06 Nov 1994 08:49:37 GMT ", -EINVAL, 9},
		{"Sun, 31 Nov 1994 08:49:37 GMT", -EINVAL, 9},
		{"Foo, 06 Nov 1994 08:49:37 GMT", -EINVAL, 9},
		{"", -EINVAL, 9},
	};

	(void)state;
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(rows); i++) {
		int64_t ns = 9;

		assert_int_equal(supafs_parse_http_date(rows[i].text, strlen(rows[i].text), &ns),
			rows[i].result);
		assert_true(ns == rows[i].ns);
	}
}

/* Against libc, day by day. */
static void days(void **state)
{
	(void)state;
	for (int64_t day = -90000; day < 80000; day++) {
		const time_t t = (time_t)(day * 86400 + 3661);
		struct tm tm;
		char text[40];
		int64_t ns = 0;

		assert_non_null(gmtime_r(&t, &tm));
		assert_true(strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm) > 0);
		assert_int_equal(supafs_parse_iso8601(text, strlen(text), &ns), 0);
		assert_true(ns == (int64_t)t * SUPAFS_NS_PER_S);
	}
}

static void random_numbers(void **state)
{
	struct supafs_rng a;
	struct supafs_rng b;
	unsigned seen[10] = {0};

	(void)state;
	supafs_rng_init(&a, 42);
	supafs_rng_init(&b, 42);
	for (int i = 0; i < 1000; i++)
		assert_true(supafs_rng_next(&a) == supafs_rng_next(&b));
	supafs_rng_init(&b, 43);
	assert_true(supafs_rng_next(&a) != supafs_rng_next(&b));
	for (int i = 0; i < 10000; i++)
		seen[supafs_rng_below(&a, 10)]++;
	for (size_t i = 0; i < 10; i++)
		assert_in_range(seen[i], 850, 1150);
	assert_int_equal(supafs_rng_below(&a, 1), 0);
	assert_true(supafs_random_seed() != supafs_random_seed());
}

static void uuid(void **state)
{
	char a[37];
	char b[37];

	(void)state;
	for (int round = 0; round < 100; round++) {
		supafs_random_uuid(a);
		supafs_random_uuid(b);
		assert_int_equal(strlen(a), 36);
		assert_string_not_equal(a, b);
		for (size_t i = 0; i < 36; i++) {
			const bool dash = i == 8 || i == 13 || i == 18 || i == 23;

			assert_true(dash ? a[i] == '-' : strchr("0123456789abcdef", a[i]) != NULL);
		}
		assert_int_equal(a[14], '4');
		assert_non_null(strchr("89ab", a[19]));
	}
}

static void timespecs(void **state)
{
	const struct timespec t = supafs_timespec(S(3) + 7);

	(void)state;
	assert_int_equal(t.tv_sec, 3);
	assert_int_equal(t.tv_nsec, 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(system_clock),
		cmocka_unit_test(fake_clock),
		cmocka_unit_test(iso8601),
		cmocka_unit_test(http_date),
		cmocka_unit_test(days),
		cmocka_unit_test(random_numbers),
		cmocka_unit_test(uuid),
		cmocka_unit_test(timespecs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
