/* SPDX-License-Identifier: Apache-2.0 */
/* Times, modes and owners in Cache-Control and in user metadata. */
#include <errno.h>
#include <sys/stat.h>

#include "supafs/util/cleanup.h"

#include "meta_priv.h"
#include "unit.h"

static const struct supafs_meta all = {SUPAFS_META_ALL, 1700000000123456789, 0640, 0, 4294967295};

static void test_directives(void **state)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf b;
	struct supafs_meta symlink = {SUPAFS_META_MODE, 0, S_IFLNK | 0777, 0, 0};

	(void)state;
	supafs_buf_init(&b, 300);
	assert_int_equal(supafs_buf_adds(&b, "no-cache"), 0);
	assert_int_equal(supafs_meta_add_directives(&b, &all), 0);
	assert_string_equal(supafs_buf_cstr(&b),
		"no-cache, x-mtime=1700000000.123456789, x-mode=0640, x-uid=0, x-gid=4294967295");
	supafs_buf_reset(&b);
	assert_int_equal(supafs_meta_add_directives(&b, &symlink), 0);
	assert_string_equal(supafs_buf_cstr(&b), "x-mode=0120777");
	supafs_buf_reset(&b);
	assert_int_equal(
		supafs_meta_add_directives(&b, &(struct supafs_meta){.has = SUPAFS_META_MORE}), 0);
	assert_string_equal(supafs_buf_cstr(&b), "x-user=1");
	supafs_buf_reset(&b);
	assert_int_equal(supafs_meta_add_directives(&b, &(struct supafs_meta){0}), 0);
	assert_string_equal(supafs_buf_cstr(&b), "");
}

struct directive_case {
	const char *in;
	unsigned has;
	int64_t mtime_ns;
	uint32_t mode;
	const char *plain;
};

static void test_parse_directives(void **state)
{
	static const struct directive_case cases[] = {
		{"", 0, 0, 0, ""},
		{"no-cache", 0, 0, 0, "no-cache"},
		{"no-cache, x-mtime=5, x-mode=0600", 3, 5000000000, 0600, "no-cache"},
		{"x-mode=0,x-mtime=0.5", 3, 500000000, 0, ""},
		{" x-mtime=-1 ,max-age=3", 1, -1000000000, 0, "max-age=3"},
		{"x-mode=0120777", 2, 0, S_IFLNK | 0777, ""},
		{"x-mode=0100640", 2, 0, 0640, ""}, /* a type that is no symlink is dropped */
		/* hints: there is more, only info has it */
		{"no-cache, x-mode=0600, x-user=1", 2 | SUPAFS_META_MORE, 0, 0600, "no-cache"},
		{"x-user=2, x-user", 0, 0, 0, "x-user=2, x-user"},
		{"max-age=00", SUPAFS_META_ASK, 0, 0, "max-age=00"},
		{"max-age=003600", SUPAFS_META_ASK, 0, 0, "max-age=003600"},
		{"max-age=0, s-maxage=00, max-age=00x, max-age=", 0, 0, 0,
			"max-age=0, s-maxage=00, max-age=00x, max-age="},
		/* malformed ones are left alone */
		{"x-mtime=, x-mode=8, x-uid=-1", 0, 0, 0, "x-mtime=, x-mode=8, x-uid=-1"},
		{"x-mtime=1e5", 0, 0, 0, "x-mtime=1e5"},
		{"x-mtime", 0, 0, 0, "x-mtime"},
		{"x-mode=00000000", 0, 0, 0, "x-mode=00000000"},
		{"x-gid=4294967296", 0, 0, 0, "x-gid=4294967296"},
		{"X-MTIME=5", 0, 0, 0, "X-MTIME=5"},
		/* commas inside quotes are text */
		{"ext=\"a, x-mtime=5, b\", x-mode=0700", 2, 0, 0700, "ext=\"a, x-mtime=5, b\""},
		{"ext=\"a\\\", x-mode=1\", x-mtime=2", 1, 2000000000, 0, "ext=\"a\\\", x-mode=1\""},
		{"ext=\"never ends, x-mtime=5", 0, 0, 0, "ext=\"never ends, x-mtime=5"},
		{",,, ,no-store,,x-mode=1,", 2, 0, 1, "no-store"},
		{"x-mtime=1, x-mtime=2", 1, 2000000000, 0, ""},
	};

	(void)state;
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(cases); i++) {
		supafs_cleanup(supafs_buf_fini) struct supafs_buf plain;
		struct supafs_meta m;
		supafs_buf_init(&plain, 300);
		supafs_meta_parse_directives(supafs_str_of(cases[i].in), &m, &plain);
		if (m.has != cases[i].has)
			print_error("case %zu: %s\n", i, cases[i].in);
		assert_int_equal(m.has, cases[i].has);
		if (m.has & SUPAFS_META_MTIME)
			assert_int_equal(m.mtime_ns, cases[i].mtime_ns);
		if (m.has & SUPAFS_META_MODE)
			assert_int_equal(m.mode, cases[i].mode);
		assert_string_equal(supafs_buf_cstr(&plain), cases[i].plain);
	}
}

/* The parser takes every cut of a value without reading past it (the sanitizer watches). */
static void test_parse_cuts(void **state)
{
	static const char value[] = "a=\"x\\\"y, z\", x-mtime=1700000000.5, x-mode=0640, x-uid=1";

	(void)state;
	for (size_t n = 0; n < sizeof(value); n++) {
		supafs_autofree char *cut = supafs_str_dup((struct supafs_str){value, n});
		struct supafs_meta m;
		supafs_meta_parse_directives((struct supafs_str){cut, n}, &m, NULL);
	}
}

static void test_cache_control(void **state)
{
	static const struct supafs_meta mtime = {SUPAFS_META_MTIME, 7000000000, 0, 0, 0};
	supafs_cleanup(supafs_buf_fini) struct supafs_buf b;
	char longest[SUPAFS_CC_MAX + 1];

	(void)state;
	supafs_buf_init(&b, 2000);
	assert_int_equal(supafs_meta_cache_control(&b, SUPAFS_STR(""), &mtime), 0);
	assert_string_equal(supafs_buf_cstr(&b), "no-cache, x-mtime=7");
	supafs_buf_reset(&b);
	/* a value out of a listing: the old directives go, the new ones come */
	assert_int_equal(
		supafs_meta_cache_control(&b, SUPAFS_STR("public, x-mtime=1, x-mode=1"), &mtime),
		0);
	assert_string_equal(supafs_buf_cstr(&b), "public, x-mtime=7");
	supafs_buf_reset(&b);
	assert_int_equal(
		supafs_meta_cache_control(&b, SUPAFS_STR("a\r\nEvil: 1"), &mtime), -EINVAL);
	supafs_buf_reset(&b);
	memset(longest, 'a', sizeof(longest));
	assert_int_equal(
		supafs_meta_cache_control(&b, (struct supafs_str){longest, SUPAFS_CC_MAX}, &mtime),
		-EINVAL);
	supafs_buf_reset(&b);
	assert_int_equal(supafs_meta_cache_control(&b, (struct supafs_str){longest, SUPAFS_CC_MAX},
				 &(struct supafs_meta){0}),
		0);
}

static void test_json_out(void **state)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf b;
	static const struct supafs_meta gid = {SUPAFS_META_GID, 0, 0, 0, 7};

	(void)state;
	supafs_buf_init(&b, 500);
	assert_int_equal(supafs_meta_add_json(&b, &all, SUPAFS_STR("n1")), 0);
	assert_string_equal(supafs_buf_cstr(&b),
		"{\"mtime\":\"1700000000.123456789\",\"mode\":\"33184\",\"uid\":\"0\","
		"\"gid\":\"4294967295\",\"nonce\":\"n1\"}");
	supafs_buf_reset(&b);
	assert_int_equal(supafs_meta_add_json(&b, &gid, SUPAFS_STR("")), 0);
	assert_string_equal(supafs_buf_cstr(&b), "{\"gid\":\"7\"}");
	supafs_buf_reset(&b);
	assert_int_equal(supafs_meta_add_json(&b, &(struct supafs_meta){0}, SUPAFS_STR("")), 0);
	assert_string_equal(supafs_buf_cstr(&b), "{}");
}

static void test_json_in(void **state)
{
	static const struct {
		const char *json;
		unsigned has;
		int64_t mtime_ns;
		uint32_t mode, uid;
	} cases[] = {
		{"{}", 0, 0, 0, 0},
		{"null", 0, 0, 0, 0},
		{"[]", 0, 0, 0, 0},
		/* s3fs, rclone, the golden file's client */
		{"{\"mtime\":\"1700000000\",\"mode\":\"33188\",\"uid\":\"5\"}", 7,
			1700000000000000000, 0644, 5},
		{"{\"mtime\":\"1700000000.123456789\",\"mode\":\"0100664\"}", 3,
			1700000000123456789, 0664, 0},
		{"{\"mode\":\"0640\"}", 2, 0, 0640, 0},
		{"{\"mode\":\"41471\"}", 2, 0, S_IFLNK | 0777, 0},
		{"{\"mode\":33188,\"mtime\":1700000000.25,\"uid\":1}", 7, 1700000000250000000, 0644,
			1},
		/* nonsense is not there */
		{"{\"mtime\":\"yesterday\",\"mode\":\"rwx\",\"uid\":\"-1\"}", 0, 0, 0, 0},
		{"{\"mtime\":true,\"mode\":{},\"uid\":[1]}", 0, 0, 0, 0},
		{"{\"mtime\":1e300,\"mode\":1e300,\"uid\":1e300}", 0, 0, 0, 0},
		{"{\"Mtime\":\"5\",\"MODE\":\"0640\"}", 0, 0, 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(cases); i++) {
		supafs_cleanup(supafs_json_freep) struct supafs_json *j = NULL;
		struct supafs_meta m;
		assert_int_equal(supafs_json_parse(supafs_str_of(cases[i].json), &j), 0);
		supafs_meta_from_json(j, &m);
		if (m.has != cases[i].has)
			print_error("case %zu: %s\n", i, cases[i].json);
		assert_int_equal(m.has, cases[i].has);
		assert_int_equal(m.mtime_ns, cases[i].mtime_ns);
		assert_int_equal(m.mode, cases[i].mode);
		assert_int_equal(m.uid, cases[i].uid);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_directives),
		cmocka_unit_test(test_parse_directives),
		cmocka_unit_test(test_parse_cuts),
		cmocka_unit_test(test_cache_control),
		cmocka_unit_test(test_json_out),
		cmocka_unit_test(test_json_in),
	};

	return cmocka_run_group_tests_name("store_meta", tests, NULL, NULL);
}
