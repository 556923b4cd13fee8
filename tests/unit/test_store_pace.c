/* SPDX-License-Identifier: Apache-2.0 */
/* How large the pieces of an upload are: limits of bytes and of time on the way. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/clock.h"

#include "supabase_priv.h"
#include "unit.h"

#define MIB  (UINT64_C(1) << 20)
#define GIB  (UINT64_C(1) << 30)
#define S(n) ((int64_t)(n)*SUPAFS_NS_PER_S)

static void test_whole(void **state)
{
	struct supafs_sb_pace p;

	(void)state;
	supafs_sb_pace_init(&p);
	assert_int_equal(supafs_sb_pace_next(&p, 5000 * GIB, 5000 * GIB), 5000 * GIB);
	supafs_sb_pace_done(&p, 500 * GIB, S(1000));
	assert_int_equal(supafs_sb_pace_next(&p, 500 * GIB, 7), 7);
	supafs_sb_pace_fini(&p);
}

/* 413: from 6 MiB on upwards, below what was refused, towards ten seconds. */
static void test_bytes(void **state)
{
	static const uint64_t want[] = {6, 12, 24, 48, 96};
	struct supafs_sb_pace p;

	(void)state;
	supafs_sb_pace_init(&p);
	assert_true(supafs_sb_pace_too_large(&p, 200 * MIB));
	for (size_t i = 0; i < 5; i++) {
		assert_int_equal(supafs_sb_pace_next(&p, GIB, GIB), want[i] * MIB);
		supafs_sb_pace_done(&p, want[i] * MIB, SUPAFS_NS_PER_MS);
	}
	/* twice is 192, which is below 200; then it stays below 200 */
	assert_int_equal(supafs_sb_pace_next(&p, GIB, GIB), 192 * MIB);
	supafs_sb_pace_done(&p, 192 * MIB, SUPAFS_NS_PER_MS);
	assert_int_equal(supafs_sb_pace_next(&p, GIB, GIB), 198 * MIB);
	/* the limit is 100 MB: half, and then below what was refused */
	assert_true(supafs_sb_pace_too_large(&p, 198 * MIB));
	assert_int_equal(supafs_sb_pace_next(&p, GIB, GIB), 96 * MIB);
	assert_true(supafs_sb_pace_too_large(&p, 96 * MIB));
	assert_int_equal(supafs_sb_pace_next(&p, GIB, GIB), 48 * MIB);
	supafs_sb_pace_done(&p, 48 * MIB, SUPAFS_NS_PER_MS);
	assert_int_equal(supafs_sb_pace_next(&p, GIB, GIB), 90 * MIB);
	assert_int_equal(supafs_sb_pace_next(&p, GIB, 5), 5);
	/* a slow line: ten seconds of it */
	supafs_sb_pace_done(&p, 90 * MIB, S(30));
	assert_int_equal(supafs_sb_pace_next(&p, GIB, GIB), 30 * MIB);
	supafs_sb_pace_done(&p, 30 * MIB, S(1000));
	assert_int_equal(supafs_sb_pace_next(&p, GIB, GIB), 6 * MIB);
	/* a short last one tells nothing */
	supafs_sb_pace_done(&p, 5, 1);
	assert_int_equal(supafs_sb_pace_next(&p, GIB, GIB), 6 * MIB);
	assert_false(supafs_sb_pace_too_large(&p, 6 * MIB));
	supafs_sb_pace_fini(&p);
}

static void test_just_above(void **state)
{
	struct supafs_sb_pace p;

	(void)state;
	supafs_sb_pace_init(&p);
	assert_true(supafs_sb_pace_too_large(&p, 7 * MIB));
	supafs_sb_pace_done(&p, 6 * MIB, SUPAFS_NS_PER_MS);
	assert_int_equal(supafs_sb_pace_next(&p, GIB, GIB), 6 * MIB);
	supafs_sb_pace_fini(&p);
}

/* Never more than 10 000 pieces, each a multiple of 6 MiB. */
static void test_parts(void **state)
{
	static const uint64_t sizes[] = {1, 58 * GIB, 59 * GIB, 500 * GIB, 5000 * GIB};
	struct supafs_sb_pace p;

	(void)state;
	supafs_sb_pace_init(&p);
	assert_true(supafs_sb_pace_too_large(&p, GIB));
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(sizes); i++) {
		const uint64_t n = supafs_sb_pace_next(&p, sizes[i], UINT64_MAX);
		assert_int_equal(n % (6 * MIB), 0);
		assert_true(n >= 6 * MIB && (sizes[i] + n - 1) / n <= 10000);
	}
	supafs_sb_pace_fini(&p);
}

static void test_time_told(void **state)
{
	struct supafs_sb_pace p;

	(void)state;
	supafs_sb_pace_init(&p);
	/* at once is no time limit: the server behind is down */
	assert_false(supafs_sb_pace_cut(&p, 0, S(1), true));
	assert_int_equal(supafs_sb_pace_next(&p, GIB, GIB), GIB);
	/* 300 MiB in 60 s: ten seconds of it, 50, down to a multiple of 6 */
	assert_true(supafs_sb_pace_cut(&p, 300 * MIB, S(60), true));
	assert_int_equal(supafs_sb_pace_next(&p, GIB, GIB), 48 * MIB);
	supafs_sb_pace_done(&p, 48 * MIB, S(5));
	assert_int_equal(supafs_sb_pace_next(&p, GIB, GIB), 96 * MIB);
	supafs_sb_pace_fini(&p);
}

static void test_time_short(void **state)
{
	struct supafs_sb_pace p;

	(void)state;
	supafs_sb_pace_init(&p);
	/* 8 s is all that there is: half of it */
	assert_true(supafs_sb_pace_cut(&p, 80 * MIB, S(8), true));
	assert_int_equal(supafs_sb_pace_next(&p, GIB, GIB), 36 * MIB);
	/* nothing arrived: the smallest */
	assert_true(supafs_sb_pace_cut(&p, 0, S(8), true));
	assert_int_equal(supafs_sb_pace_next(&p, GIB, GIB), 6 * MIB);
	supafs_sb_pace_fini(&p);
}

static void test_time_guessed(void **state)
{
	struct supafs_sb_pace p;

	(void)state;
	supafs_sb_pace_init(&p);
	assert_false(supafs_sb_pace_cut(&p, 100 * MIB, S(30), false));
	assert_false(supafs_sb_pace_cut(&p, 100 * MIB, S(47), false)); /* just a bad line */
	assert_false(supafs_sb_pace_cut(&p, 100 * MIB, S(60), false));
	assert_false(supafs_sb_pace_cut(&p, 100 * MIB, S(2), false)); /* does not count */
	assert_int_equal(supafs_sb_pace_next(&p, GIB, GIB), GIB);
	assert_true(supafs_sb_pace_cut(&p, 120 * MIB, S(61), false)); /* the same again */
	assert_int_equal(supafs_sb_pace_next(&p, GIB, GIB), 18 * MIB);
	supafs_sb_pace_fini(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_just_above),
		cmocka_unit_test(test_parts),
		cmocka_unit_test(test_time_told),
		cmocka_unit_test(test_time_short),
		cmocka_unit_test(test_time_guessed),
	};

	return cmocka_run_group_tests_name("store_pace", tests, NULL, NULL);
}
