/* SPDX-License-Identifier: Apache-2.0 */
/* Flat lists of named byte strings. */
#include <errno.h>
#include <string.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/pairs.h"

#include "unit.h"

static void set_get_remove(void **state)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf b;
	struct supafs_str v;

	(void)state;
	supafs_buf_init(&b, SUPAFS_PAIRS_MAX);
	assert_int_equal(supafs_pairs_set(&b, SUPAFS_STR("a"), SUPAFS_STR("1")), 0);
	assert_int_equal(supafs_pairs_set(&b, SUPAFS_STR("b"), (struct supafs_str){"x\0y", 3}), 0);
	assert_int_equal(supafs_pairs_set(&b, SUPAFS_STR("c"), SUPAFS_STR("")), 0);
	assert_true(supafs_pairs_valid(supafs_buf_str(&b)));
	assert_int_equal(supafs_pairs_set(&b, SUPAFS_STR("a"), SUPAFS_STR("longer")), 0);
	assert_true(supafs_pairs_get(supafs_buf_str(&b), SUPAFS_STR("a"), &v));
	assert_true(supafs_str_eq(v, SUPAFS_STR("longer")));
	assert_true(supafs_pairs_get(supafs_buf_str(&b), SUPAFS_STR("b"), &v));
	assert_int_equal(v.n, 3);
	assert_memory_equal(v.p, "x\0y", 3);
	assert_true(supafs_pairs_get(supafs_buf_str(&b), SUPAFS_STR("c"), &v));
	assert_int_equal(v.n, 0);
	assert_true(supafs_pairs_remove(&b, SUPAFS_STR("b")));
	assert_false(supafs_pairs_remove(&b, SUPAFS_STR("b")));
	assert_false(supafs_pairs_get(supafs_buf_str(&b), SUPAFS_STR("b"), &v));
	assert_true(supafs_pairs_valid(supafs_buf_str(&b)));
	assert_true(supafs_pairs_remove(&b, SUPAFS_STR("c")));
	assert_true(supafs_pairs_remove(&b, SUPAFS_STR("a")));
	assert_int_equal(b.n, 0);
}

static void order_is_of_insertion(void **state)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf b;
	struct supafs_str n, v;
	char seen[8] = "";
	size_t pos = 0, i = 0;

	(void)state;
	supafs_buf_init(&b, SUPAFS_PAIRS_MAX);
	for (const char *p = "abc"; *p; p++)
		assert_int_equal(
			supafs_pairs_set(&b, (struct supafs_str){p, 1}, SUPAFS_STR("v")), 0);
	assert_int_equal(supafs_pairs_set(&b, SUPAFS_STR("a"), SUPAFS_STR("w")), 0);
	while (supafs_pairs_next(supafs_buf_str(&b), &pos, &n, &v))
		seen[i++] = n.p[0];
	assert_string_equal(seen, "bca");
}

static void bad_names_and_sizes(void **state)
{
	static char big[SUPAFS_PAIRS_MAX];
	supafs_cleanup(supafs_buf_fini) struct supafs_buf b;
	struct supafs_str v;

	(void)state;
	supafs_buf_init(&b, SUPAFS_PAIRS_MAX);
	memset(big, 'x', sizeof(big));
	assert_int_equal(supafs_pairs_set(&b, SUPAFS_STR(""), SUPAFS_STR("v")), -EINVAL);
	assert_int_equal(
		supafs_pairs_set(&b, (struct supafs_str){"a\0", 2}, SUPAFS_STR("v")), -EINVAL);
	assert_int_equal(supafs_pairs_set(&b, SUPAFS_STR("a"), SUPAFS_STR("1")), 0);
	assert_int_equal(
		supafs_pairs_set(&b, SUPAFS_STR("a"), (struct supafs_str){big, sizeof(big)}),
		-ENOSPC);
	assert_true(supafs_pairs_get(supafs_buf_str(&b), SUPAFS_STR("a"), &v));
	assert_true(supafs_str_eq(v, SUPAFS_STR("1")));
	/* exactly full */
	assert_int_equal(supafs_pairs_set(&b, SUPAFS_STR("a"),
				 (struct supafs_str){big, sizeof(big) - 8 - 1}),
		0);
	assert_int_equal(b.n, SUPAFS_PAIRS_MAX);
	assert_int_equal(supafs_pairs_set(&b, SUPAFS_STR("b"), SUPAFS_STR("")), -ENOSPC);
}

/* Views into the list itself may be set again. */
static void views_of_itself(void **state)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf b;
	struct supafs_str v;

	(void)state;
	supafs_buf_init(&b, SUPAFS_PAIRS_MAX);
	assert_int_equal(supafs_pairs_set(&b, SUPAFS_STR("a"), SUPAFS_STR("value")), 0);
	assert_true(supafs_pairs_get(supafs_buf_str(&b), SUPAFS_STR("a"), &v));
	assert_int_equal(supafs_pairs_set(&b, SUPAFS_STR("b"), v), 0);
	assert_true(supafs_pairs_get(supafs_buf_str(&b), SUPAFS_STR("b"), &v));
	assert_int_equal(supafs_pairs_set(&b, SUPAFS_STR("b"), v), 0);
	assert_true(supafs_pairs_get(supafs_buf_str(&b), SUPAFS_STR("b"), &v));
	assert_true(supafs_str_eq(v, SUPAFS_STR("value")));
}

static void malformed(void **state)
{
	static const struct supafs_str rows[] = {
		{"\1\0\0\0\1\0\0\0", 8},                    /* no room */
		{"\1\0\0\0\0\0\0", 7},                      /* half a head */
		{"\377\377\377\377\1\0\0\0a", 9},           /* length */
		{"\1\0\0\0\377\377\377\377a", 9},           /* value's length */
		{"\0\0\0\0\1\0\0\0v", 9},                   /* empty name */
		{"\1\0\0\0\0\0\0\0\0", 9},                  /* NUL in a name */
		{"\1\0\0\0\0\0\0\0a\1\0\0\0\0\0\0\0a", 18}, /* twice */
		{"\1\0\0\0\0\0\0\0a\1\0\0\0", 13},          /* tail */
	};
	struct supafs_str n, v;

	(void)state;
	assert_true(supafs_pairs_valid(SUPAFS_STR("")));
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(rows); i++) {
		size_t pos = 0;

		assert_false(supafs_pairs_valid(rows[i]));
		while (supafs_pairs_next(rows[i], &pos, &n, &v))
			assert_true(pos <= rows[i].n);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(set_get_remove),
		cmocka_unit_test(order_is_of_insertion),
		cmocka_unit_test(bad_names_and_sizes),
		cmocka_unit_test(views_of_itself),
		cmocka_unit_test(malformed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
