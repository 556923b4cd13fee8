/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers, sizes, times, switches, base64, JSON strings. */
#include <errno.h>
#include <string.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/clock.h"
#include "supafs/util/parse.h"

#include "unit.h"

static void u64(void **state)
{
	static const struct {
		const char *text;
		uint64_t max;
		int result;
		uint64_t value;
	} rows[] = {
		{"0", UINT64_MAX, 0, 0},
		{"007", UINT64_MAX, 0, 7},
		{"18446744073709551615", UINT64_MAX, 0, UINT64_MAX},
		{"18446744073709551616", UINT64_MAX, -ERANGE, 0},
		{"99999999999999999999999999999", UINT64_MAX, -ERANGE, 0},
		{"99999999999999999999999999999x", UINT64_MAX, -EINVAL, 0},
		{"10", 9, -ERANGE, 0},
		{"9", 9, 0, 9},
		{"", 9, -EINVAL, 0},
		{"-1", 9, -EINVAL, 0},
		{"+1", 9, -EINVAL, 0},
		{" 1", 9, -EINVAL, 0},
		{"1 ", 9, -EINVAL, 0},
		{"0x1", 9, -EINVAL, 0},
	};

	(void)state;
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(rows); i++) {
		uint64_t v = 42;

		assert_int_equal(supafs_parse_u64(supafs_str_of(rows[i].text), rows[i].max, &v),
			rows[i].result);
		assert_true(v == (rows[i].result == 0 ? rows[i].value : 42));
	}
}

static void mode(void **state)
{
	static const struct {
		const char *text;
		int result;
		unsigned value;
	} rows[] = {{"0", 0, 0}, {"0644", 0, 0644}, {"7777", 0, 07777}, {"10000", -ERANGE, 9},
		{"77777777777777777777", -ERANGE, 9}, {"8", -EINVAL, 9}, {"", -EINVAL, 9},
		{"u+x", -EINVAL, 9}};

	(void)state;
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(rows); i++) {
		unsigned v = 9;

		assert_int_equal(
			supafs_parse_mode(supafs_str_of(rows[i].text), &v), rows[i].result);
		assert_int_equal(v, rows[i].value);
	}
}

static void size(void **state)
{
	static const struct {
		const char *text;
		int result;
		uint64_t value;
	} rows[] = {{"0", 0, 0}, {"123", 0, 123}, {"1k", 0, 1024}, {"1K", 0, 1024},
		{"256M", 0, 256 << 20}, {"2g", 0, UINT64_C(2) << 30}, {"3T", 0, UINT64_C(3) << 40},
		{"16777215T", 0, UINT64_C(16777215) << 40}, {"16777216T", -ERANGE, 9},
		{"K", -EINVAL, 9}, {"", -EINVAL, 9}, {"1KB", -EINVAL, 9}, {"1 K", -EINVAL, 9},
		{"1.5K", -EINVAL, 9}, {"-1K", -EINVAL, 9}, {"1KK", -EINVAL, 9}};

	(void)state;
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(rows); i++) {
		uint64_t v = 9;

		assert_int_equal(
			supafs_parse_size(supafs_str_of(rows[i].text), &v), rows[i].result);
		assert_true(v == rows[i].value);
	}
}

static void duration(void **state)
{
	static const struct {
		const char *text;
		int result;
		uint64_t ms;
	} rows[] = {{"0", 0, 0}, {"5", 0, 5000}, {"5s", 0, 5000}, {"5ms", 0, 5}, {"2m", 0, 120000},
		{"1h", 0, 3600000}, {"0.5", 0, 500}, {"0.5s", 0, 500}, {"1.25m", 0, 75000},
		{"0.001", 0, 1}, {"1.5ms", 0, 1}, {"0.123456789", 0, 123},
		{"5124095576029h", 0, UINT64_C(5124095576029) * 3600000},
		{"5124095576030h", -ERANGE, 9}, {"99999999999999999999", -ERANGE, 9},
		{"", -EINVAL, 9}, {"s", -EINVAL, 9}, {".5", -EINVAL, 9}, {"5.", -EINVAL, 9},
		{"1.2.3", -EINVAL, 9}, {"-1", -EINVAL, 9}, {"1d", -EINVAL, 9}, {"1 s", -EINVAL, 9},
		{"0.1234567890", -EINVAL, 9}};

	(void)state;
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(rows); i++) {
		uint64_t v = 9;

		assert_int_equal(
			supafs_parse_duration_ms(supafs_str_of(rows[i].text), &v), rows[i].result);
		assert_true(v == rows[i].ms);
	}
}

static void mtime(void **state)
{
	static const struct {
		const char *text;
		int result;
		int64_t ns;
		const char *again; /* NULL: the text itself */
	} rows[] = {{"0", 0, 0, NULL},
		{"1700000000.123456789", 0, INT64_C(1700000000123456789), NULL},
		{"1700000000", 0, INT64_C(1700000000000000000), NULL},
		{"1.5", 0, 1500000000, "1.500000000"}, {"1.000000001", 0, 1000000001, NULL},
		{"-1.5", 0, -1500000000, "-1.500000000"}, {"-0.5", 0, -500000000, "-0.500000000"},
		{"9223372035.999999999", 0, INT64_C(9223372035999999999), NULL},
		{"9223372036", -ERANGE, 9, NULL}, {"", -EINVAL, 9, NULL}, {"-", -EINVAL, 9, NULL},
		{"--1", -EINVAL, 9, NULL}, {"1.", -EINVAL, 9, NULL}, {".5", -EINVAL, 9, NULL},
		{"1.0000000001", -EINVAL, 9, NULL}, {"1,5", -EINVAL, 9, NULL},
		{"1.5x", -EINVAL, 9, NULL}, {"2026-11-24", -EINVAL, 9, NULL}};

	(void)state;
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(rows); i++) {
		int64_t ns = 9;
		char text[32];

		assert_int_equal(
			supafs_parse_mtime(supafs_str_of(rows[i].text), &ns), rows[i].result);
		assert_true(ns == rows[i].ns);
		if (rows[i].result != 0)
			continue;
		assert_true(supafs_format_mtime(ns, text, sizeof(text)) > 0);
		assert_string_equal(text, rows[i].again ? rows[i].again : rows[i].text);
	}
}

static void mtime_format_edges(void **state)
{
	char text[32];
	char tight[5];

	(void)state;
	assert_int_equal(supafs_format_mtime(INT64_MIN, text, sizeof(text)), 21);
	assert_string_equal(text, "-9223372036.854775808");
	assert_int_equal(supafs_format_mtime(INT64_MAX, text, sizeof(text)), 20);
	assert_int_equal(supafs_format_mtime(1234 * SUPAFS_NS_PER_S, tight, 5), 4);
	assert_int_equal(supafs_format_mtime(12345 * SUPAFS_NS_PER_S, tight, 5), -EMSGSIZE);
}

static void booleans(void **state)
{
	static const char *const yes[] = {"yes", "true", "1", "on"};
	static const char *const no[] = {"no", "false", "0", "off"};
	static const char *const bad[] = {"", "Yes", "y", "2", "on ", "maybe"};
	bool v = false;

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		v = false;
		assert_int_equal(supafs_parse_bool(supafs_str_of(yes[i]), &v), 0);
		assert_true(v);
		assert_int_equal(supafs_parse_bool(supafs_str_of(no[i]), &v), 0);
		assert_false(v);
	}
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(bad); i++)
		assert_int_equal(supafs_parse_bool(supafs_str_of(bad[i]), &v), -EINVAL);
}

/* RFC 4648 §10 and some. */
static void base64(void **state)
{
	static const struct {
		struct supafs_str bytes;
		const char *standard;
		const char *url;
	} rows[] = {{{"", 0}, "", ""}, {{"f", 1}, "Zg==", "Zg"}, {{"fo", 2}, "Zm8=", "Zm8"},
		{{"foo", 3}, "Zm9v", "Zm9v"}, {{"foob", 4}, "Zm9vYg==", "Zm9vYg"},
		{{"fooba", 5}, "Zm9vYmE=", "Zm9vYmE"}, {{"foobar", 6}, "Zm9vYmFy", "Zm9vYmFy"},
		{{"\xff\xef\xbe", 3}, "/+++", "_---"}, {{"\0\0", 2}, "AAA=", "AAA"}};

	(void)state;
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(rows); i++) {
		struct supafs_buf b;

		supafs_buf_init(&b, 64);
		assert_int_equal(supafs_b64_encode(&b, rows[i].bytes.p, rows[i].bytes.n), 0);
		assert_string_equal(supafs_buf_cstr(&b), rows[i].standard);
		supafs_buf_reset(&b);
		assert_int_equal(supafs_b64url_encode(&b, rows[i].bytes.p, rows[i].bytes.n), 0);
		assert_string_equal(supafs_buf_cstr(&b), rows[i].url);
		supafs_buf_reset(&b);
		assert_int_equal(supafs_b64_decode(&b, supafs_str_of(rows[i].standard)), 0);
		assert_true(supafs_str_eq(supafs_buf_str(&b), rows[i].bytes));
		supafs_buf_reset(&b);
		assert_int_equal(supafs_b64url_decode(&b, supafs_str_of(rows[i].url)), 0);
		assert_true(supafs_str_eq(supafs_buf_str(&b), rows[i].bytes));
		supafs_buf_fini(&b);
	}
}

static void base64_bad(void **state)
{
	static const char *const standard[] = {"Z", "Zg", "Zg=", "Zg===", "=Zg=", "Zm8",
		"Zh==", "Zm9=", "Zm9v\n", "Zm 9v", "_---", "Zg==Zg==", "====", "A==="};
	static const char *const url[] = {
		"Z", "Zg==", "Zm8=", "/+++", "Zh", "Zm9vY", " Zg", "Zm9vYmF/"};
	struct supafs_buf b;

	(void)state;
	supafs_buf_init(&b, 64);
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(standard); i++)
		assert_int_equal(supafs_b64_decode(&b, supafs_str_of(standard[i])), -EINVAL);
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(url); i++)
		assert_int_equal(supafs_b64url_decode(&b, supafs_str_of(url[i])), -EINVAL);
	assert_int_equal(supafs_b64_decode(&b, SUPAFS_STR("Zg\0=")), -EINVAL);
	supafs_buf_fini(&b);
	supafs_buf_init(&b, 2);
	assert_int_equal(supafs_b64_decode(&b, SUPAFS_STR("Zm9v")), -EMSGSIZE);
	supafs_buf_fini(&b);
}

static void base64_random(void **state)
{
	struct supafs_rng rng;
	struct supafs_buf text;
	struct supafs_buf back;

	(void)state;
	supafs_rng_init(&rng, 3);
	supafs_buf_init(&text, 1024);
	supafs_buf_init(&back, 1024);
	for (int round = 0; round < 2000; round++) {
		unsigned char bytes[300];
		const size_t n = supafs_rng_below(&rng, sizeof(bytes));

		for (size_t i = 0; i < n; i++)
			bytes[i] = (unsigned char)supafs_rng_next(&rng);
		supafs_buf_reset(&text);
		supafs_buf_reset(&back);
		if (round % 2 == 0) {
			assert_int_equal(supafs_b64_encode(&text, bytes, n), 0);
			assert_int_equal(supafs_b64_decode(&back, supafs_buf_str(&text)), 0);
		} else {
			assert_int_equal(supafs_b64url_encode(&text, bytes, n), 0);
			assert_int_equal(supafs_b64url_decode(&back, supafs_buf_str(&text)), 0);
		}
		assert_int_equal(back.n, n);
		if (n > 0)
			assert_memory_equal(back.p, bytes, n);
	}
	supafs_buf_fini(&text);
	supafs_buf_fini(&back);
}

static void json(void **state)
{
	static const struct {
		struct supafs_str in;
		const char *out;
	} rows[] = {{{"", 0}, "\"\""}, {{"plain", 5}, "\"plain\""},
		{{"a\"b\\c/", 6}, "\"a\\\"b\\\\c/\""},
		{{"\n\t\x01\x7f", 4}, "\"\\u000A\\u0009\\u0001\\u007F\""},
		{{"\0", 1}, "\"\\u0000\""}, {{"\xC3\xA9", 2}, "\"\xC3\xA9\""},
		{{"\xF0\x9F\x98\x80", 4}, "\"\xF0\x9F\x98\x80\""}, {{"\xC3", 1}, "\"\\u00C3\""},
		{{"\xC0\x80", 2}, "\"\\u00C0\\u0080\""},                       /* overlong */
		{{"\xED\xA0\x80", 3}, "\"\\u00ED\\u00A0\\u0080\""},            /* surrogate */
		{{"\xF4\x90\x80\x80", 4}, "\"\\u00F4\\u0090\\u0080\\u0080\""}, /* > 10FFFF */
		{{"\xE2\x82", 2}, "\"\\u00E2\\u0082\""}, {{"\xFF", 1}, "\"\\u00FF\""}};

	(void)state;
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(rows); i++) {
		struct supafs_buf b;

		supafs_buf_init(&b, 256);
		assert_int_equal(supafs_json_quote(&b, rows[i].in), 0);
		assert_string_equal(supafs_buf_cstr(&b), rows[i].out);
		supafs_buf_fini(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(u64),
		cmocka_unit_test(mode),
		cmocka_unit_test(size),
		cmocka_unit_test(duration),
		cmocka_unit_test(mtime),
		cmocka_unit_test(mtime_format_edges),
		cmocka_unit_test(booleans),
		cmocka_unit_test(base64),
		cmocka_unit_test(base64_bad),
		cmocka_unit_test(base64_random),
		cmocka_unit_test(json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
