/* SPDX-License-Identifier: Apache-2.0 */
/* Fault rules and counters of supafs-serve: matching, counting, bad input. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above */
#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "supafs/util/buf.h"

#include "faults.h"

static struct serve_facts get_of(const char *key)
{
	return (struct serve_facts){
		.method = SUPAFS_STR("GET"),
		.kind = SERVE_KIND_GET,
		.bucket = SUPAFS_STR("b"),
		.key = supafs_str_of(key),
	};
}

static int setup(void **state)
{
	struct serve_faults *f = NULL;
	int r = serve_faults_new(&f);

	*state = f;
	return r;
}

static int teardown(void **state)
{
	serve_faults_free(*state);
	return 0;
}

static uint64_t add(struct serve_faults *f, const char *match, const char *effect)
{
	const char *why = NULL;
	uint64_t id = 0;

	assert_int_equal(
		serve_faults_add(f, supafs_str_of(match), supafs_str_of(effect), &id, &why), 0);
	assert_int_not_equal(id, 0);
	return id;
}

static bool hits(struct serve_faults *f, struct serve_facts facts, struct serve_fault *ret)
{
	return serve_faults_decide(f, &facts, ret);
}

static void test_match(void **state)
{
	struct serve_faults *f = *state;
	struct serve_fault fault;
	struct serve_facts other = get_of("a/x.txt");

	add(f, "{\"kind\":\"get\",\"bucket\":\"b\",\"key\":\"a/*.txt\"}", "{\"status\":503}");
	assert_true(hits(f, get_of("a/x.txt"), &fault));
	assert_int_equal(fault.status, 503);
	assert_false(hits(f, get_of("a/x.bin"), &fault));
	other.kind = SERVE_KIND_INFO;
	assert_false(hits(f, other, &fault));
	other = get_of("a/x.txt");
	other.bucket = SUPAFS_STR("c");
	assert_false(hits(f, other, &fault));
}

static void test_first_rule_wins(void **state)
{
	struct serve_faults *f = *state;
	struct serve_fault fault;
	uint64_t first = add(f, "{\"count\":1}", "{\"status\":500}");

	add(f, "", "{\"status\":503}");
	assert_true(hits(f, get_of("k"), &fault));
	assert_int_equal(fault.status, 500);
	assert_true(hits(f, get_of("k"), &fault));
	assert_int_equal(fault.status, 503);
	assert_int_equal(serve_faults_clear(f, first), 0);
	assert_int_equal(serve_faults_clear(f, first), -ENOENT);
	assert_int_equal(serve_faults_clear(f, 0), 0);
	assert_false(hits(f, get_of("k"), &fault));
}

static void test_skip_and_count(void **state)
{
	struct serve_faults *f = *state;
	struct serve_fault fault;
	bool want[] = {false, false, true, true, true, false, false};

	add(f, "{\"skip\":2,\"count\":3}", "{\"reset\":\"answer\"}");
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++)
		assert_int_equal(hits(f, get_of("k"), &fault), want[i]);
}

static void test_probability_is_seeded(void **state)
{
	struct serve_fault fault;
	unsigned hit[2] = {0};

	(void)state;
	for (unsigned run = 0; run < 2; run++) {
		struct serve_faults *f = NULL;

		assert_int_equal(serve_faults_new(&f), 0);
		add(f, "{\"probability\":0.25,\"seed\":7}", "{\"status\":500}");
		for (unsigned i = 0; i < 4000; i++)
			hit[run] += hits(f, get_of("k"), &fault);
		serve_faults_free(f);
	}
	assert_int_equal(hit[0], hit[1]);
	assert_in_range(hit[0], 800, 1200);
}

static void test_effects(void **state)
{
	struct serve_faults *f = *state;
	struct serve_fault fault;

	add(f, "{}",
		"{\"delay_ms\":5,\"rate_down\":1000,\"cut_after\":0,\"wrong_etag\":true,\"body\":\"<html>\","
		"\"content_type\":\"text/html\",\"header\":\"Retry-After: 2\",\"reset\":\"body\","
		"\"reset_after\":10}");
	assert_true(hits(f, get_of("k"), &fault));
	assert_int_equal(fault.delay_ms, 5);
	assert_int_equal(fault.rate_down, 1000);
	assert_true(fault.cut);
	assert_int_equal(fault.cut_after, 0);
	assert_true(fault.wrong_etag);
	assert_string_equal(fault.body, "<html>");
	assert_string_equal(fault.header[0], "Retry-After: 2");
	assert_int_equal(fault.reset, SERVE_RESET_BODY);
	assert_int_equal(fault.reset_after, 10);
}

static void test_bad_input(void **state)
{
	static const char *const bad[][2] = {
		{"[]", ""},
		{"{", ""},
		{"{\"nope\":1}", ""},
		{"{\"kind\":\"gets\"}", ""},
		{"{\"skip\":-1}", ""},
		{"{\"skip\":1.5}", ""},
		{"{\"count\":1e300}", ""},
		{"{\"probability\":1.1}", ""},
		{"{\"method\":\"ABCDEFGHIJKLMNOP\"}", ""},
		{"", "{\"status\":99}"},
		{"", "{\"status\":600}"},
		{"", "{\"status\":\"500\"}"},
		{"", "{\"reset\":\"never\"}"},
		{"", "{\"silence\":1}"},
		{"", "{\"header\":\"no colon\"}"},
		{"", "{\"cut_after\":null}"},
	};
	struct serve_faults *f = *state;
	struct serve_fault fault;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const char *why = NULL;
		uint64_t id = 0;

		assert_int_equal(serve_faults_add(f, supafs_str_of(bad[i][0]),
					 supafs_str_of(bad[i][1]), &id, &why),
			-EINVAL);
		assert_non_null(why);
		assert_int_equal(id, 0);
	}
	assert_false(hits(f, get_of("k"), &fault));
}

static void test_listing_and_limit(void **state)
{
	struct serve_faults *f = *state;
	struct supafs_buf out = {0};
	struct serve_fault fault;
	const char *why = NULL;
	uint64_t id;

	add(f, "{\"key\":\"k\"}", "{\"status\":500}");
	assert_true(hits(f, get_of("k"), &fault));
	supafs_buf_init(&out, 1 << 20);
	assert_int_equal(serve_faults_json(f, &out), 0);
	assert_string_equal(supafs_buf_cstr(&out),
		"[{\"id\":1,\"match\":{\"key\":\"k\"},\"effect\":{\"status\":500},\"matched\":1,"
		"\"hit\":1}]");
	supafs_buf_fini(&out);
	for (unsigned i = 1; i < 100; i++)
		add(f, "", "");
	assert_int_equal(serve_faults_add(f, SUPAFS_STR(""), SUPAFS_STR(""), &id, &why), -E2BIG);
}

static void test_counters(void **state)
{
	struct serve_counters c = {0};
	struct supafs_buf out = {0};

	(void)state;
	serve_counters_request(&c, SERVE_KIND_GET);
	serve_counters_request(&c, SERVE_KIND_GET);
	serve_counters_request(&c, SERVE_KIND_DELETE_MANY);
	serve_counters_answer(&c, 200);
	serve_counters_answer(&c, 404);
	supafs_buf_init(&out, 4096);
	assert_int_equal(serve_counters_json(&c, &out), 0);
	assert_non_null(strstr(out.p, "\"get\":2"));
	assert_non_null(strstr(out.p, "\"delete_many\":1"));
	assert_non_null(strstr(out.p, "\"total\":3"));
	assert_non_null(strstr(out.p, "\"status\":{\"404\":1}"));
	supafs_buf_reset(&out);
	serve_counters_reset(&c);
	assert_int_equal(serve_counters_json(&c, &out), 0);
	assert_non_null(strstr(out.p, "\"total\":0"));
	assert_non_null(strstr(out.p, "\"status\":{}"));
	supafs_buf_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_match, setup, teardown),
		cmocka_unit_test_setup_teardown(test_first_rule_wins, setup, teardown),
		cmocka_unit_test_setup_teardown(test_skip_and_count, setup, teardown),
		cmocka_unit_test(test_probability_is_seeded),
		cmocka_unit_test_setup_teardown(test_effects, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_input, setup, teardown),
		cmocka_unit_test_setup_teardown(test_listing_and_limit, setup, teardown),
		cmocka_unit_test(test_counters),
	};

	return cmocka_run_group_tests_name("serve_faults", tests, NULL, NULL);
}
