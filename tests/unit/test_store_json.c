/* SPDX-License-Identifier: Apache-2.0 */
/* JSON accessors and their bounds. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/limits.h"

#include "json_priv.h"
#include "unit.h"

static void test_sizes(void **state)
{
	static const struct {
		const char *value;
		bool ok;
		uint64_t size;
	} cases[] = {
		{"0", true, 0},
		{"2147483648", true, 2147483648},
		{"9007199254740992", true, 9007199254740992},
		{"9007199254740994", false, 0},
		{"\"9007199254740992\"", true, 9007199254740992},
		{"\"9007199254740993\"", false, 0},
		{"\"12\"", true, 12},
		{"1e3", true, 1000},
		{"1.5", false, 0},
		{"-1", false, 0},
		{"-0", true, 0},
		{"1e300", false, 0},
		{"1e999", false, 0},
		{"\"\"", false, 0},
		{"\" 1\"", false, 0},
		{"\"1e3\"", false, 0},
		{"\"-1\"", false, 0},
		{"null", false, 0},
		{"true", false, 0},
		{"[1]", false, 0},
		{"{}", false, 0},
	};

	(void)state;
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(cases); i++) {
		supafs_cleanup(supafs_json_freep) struct supafs_json *j = NULL;
		uint64_t n = 77;
		char text[100];
		(void)snprintf(text, sizeof(text), "{\"size\":%s}", cases[i].value);
		assert_int_equal(supafs_json_parse(supafs_str_of(text), &j), 0);
		if (supafs_json_size(j, "size", UINT64_MAX, &n) != cases[i].ok)
			fail_msg("%s", text);
		assert_int_equal(n, cases[i].ok ? cases[i].size : 77);
	}
}

static void test_bounds(void **state)
{
	static const char *const good[] = {
		"{}", "[]", " {\"a\":1} \r\n", "\"x\"", "1", "{\"a\":\"\\\\u0000\"}"};
	static const char *const bad[] = {"", " ", "{", "}", "{\"a\":}", "{\"a\":1}x", "{}{}",
		"{\"a\":\"\\u0000\"}", "{\"a\\u0000b\":1}", "\"never ends", "\"ends in \\", "nul",
		"{'a':1}"};

	(void)state;
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(good); i++) {
		supafs_cleanup(supafs_json_freep) struct supafs_json *j = NULL;
		if (supafs_json_parse(supafs_str_of(good[i]), &j) != 0)
			fail_msg("%s", good[i]);
	}
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(bad); i++) {
		struct supafs_json *j = NULL;
		if (supafs_json_parse(supafs_str_of(bad[i]), &j) != -EPROTO)
			fail_msg("%s", bad[i]);
		assert_null(j);
	}
	struct supafs_json *j = NULL;
	assert_int_equal(supafs_json_parse((struct supafs_str){"{}\0", 3}, &j), -EPROTO);
	assert_int_equal(supafs_json_parse((struct supafs_str){"{\"a\":\"\0\"}", 9}, &j), -EPROTO);
}

/* Documents that would cost far more memory than their length, or recurse without end. */
static void test_bombs(void **state)
{
	enum {
		N = 3000000,
	};
	supafs_autofree char *text = malloc(SUPAFS_JSON_BODY_MAX + 2);
	struct supafs_json *j = NULL;

	(void)state;
	assert_non_null(text);
	for (size_t i = 0; i <= N; i++)
		text[i] = i % 2 ? '1' : ',';
	text[0] = '[';
	text[N] = ']';
	assert_int_equal(supafs_json_parse((struct supafs_str){text, N + 1}, &j), -EPROTO);
	memset(text, '[', N);
	assert_int_equal(supafs_json_parse((struct supafs_str){text, N}, &j), -EPROTO);
	assert_int_equal(supafs_json_parse((struct supafs_str){text, 2000}, &j), -EPROTO);
	memset(text, ' ', SUPAFS_JSON_BODY_MAX + 1);
	text[0] = '1';
	assert_int_equal(supafs_json_parse((struct supafs_str){text, SUPAFS_JSON_BODY_MAX + 1}, &j),
		-EPROTO);
	assert_null(j);
}

static void test_accessors(void **state)
{
	supafs_cleanup(supafs_json_freep) struct supafs_json *j = NULL;
	static const char text[] =
		"{\"s\":\"text\",\"S\":\"other\",\"n\":null,\"b\":true,\"t\":\"2026-11-24T00:20:48.794Z\","
		"\"u\":\"D3BBE41B-0102-0304-0506-0708090A0B0C\",\"bad\":\"d3bbe41b-0102-0304-0506-"
		"0708090a0b0g\",\"num\":1.5,\"a\":[1,\"two\",{}]}";
	unsigned char id[16];
	struct supafs_str s = SUPAFS_STR("old");
	char small[4] = "old";
	int64_t ns = 0;
	bool b = false;
	size_t n = 0;

	(void)state;
	assert_int_equal(supafs_json_parse(SUPAFS_STR(text), &j), 0);
	assert_false(supafs_json_text(j, "x", &s));
	assert_false(supafs_json_text(j, "n", &s));
	assert_false(supafs_json_text(j, "b", &s));
	assert_int_equal(s.n, 3);
	assert_true(supafs_json_text(j, "s", &s));
	assert_memory_equal(s.p, "text", 5);
	assert_true(supafs_json_text(j, "S", &s));
	assert_memory_equal(s.p, "other", 6);
	assert_false(supafs_json_copy(j, "s", small, sizeof(small)));
	assert_string_equal(small, "old");
	assert_true(supafs_json_bool(j, "b", &b) && b);
	assert_false(supafs_json_bool(j, "s", &b));
	assert_true(supafs_json_time(j, "t", &ns));
	assert_int_equal(ns, 1795479648794000000);
	assert_false(supafs_json_time(j, "s", &ns));
	assert_true(supafs_json_uuid(j, "u", id));
	assert_int_equal(id[0], 0xd3);
	assert_int_equal(id[15], 0x0c);
	assert_false(supafs_json_uuid(j, "bad", id));
	assert_false(supafs_json_uuid(j, "s", id));
	for (const struct supafs_json *it = supafs_json_first(supafs_json_get(j, "a")); it;
		it = supafs_json_next(it))
		n++;
	assert_int_equal(n, 3);
	/* nothing in nothing */
	assert_null(supafs_json_get(NULL, "a"));
	assert_null(supafs_json_first(NULL));
	assert_null(supafs_json_first(j));
	assert_null(supafs_json_next(NULL));
	assert_null(supafs_json_get(supafs_json_get(j, "s"), "a"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_bombs),
		cmocka_unit_test(test_accessors),
	};

	return cmocka_run_group_tests_name("store_json", tests, NULL, NULL);
}
