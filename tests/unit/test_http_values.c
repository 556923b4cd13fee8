/* SPDX-License-Identifier: Apache-2.0 */
/* Header values and lines, without a network. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>

#include "supafs/util/cleanup.h"

#include "header_priv.h"
#include "unit.h"

static void content_range(void **state)
{
	static const struct {
		const char *text;
		int result;
		uint64_t first, last, total;
	} rows[] = {
		{"bytes 0-9/100", 0, 0, 9, 100},
		{"bytes 99-99/100", 0, 99, 99, 100},
		{"bytes 0-9/*", 0, 0, 9, UINT64_MAX},
		{"bytes 0-9223372036854775806/9223372036854775807", 0, 0,
			UINT64_C(9223372036854775806), UINT64_C(9223372036854775807)},
		{"bytes 0-9/9", -EINVAL, 0, 0, 0}, /* last must be below total */
		{"bytes 9-0/100", -EINVAL, 0, 0, 0},
		{"bytes */100", -EINVAL, 0, 0, 0},
		{"bytes 0-9", -EINVAL, 0, 0, 0},
		{"bytes 0-9/", -EINVAL, 0, 0, 0},
		{"bytes -9/100", -EINVAL, 0, 0, 0},
		{"bytes 0-/100", -EINVAL, 0, 0, 0},
		{"bytes=0-9/100", -EINVAL, 0, 0, 0},
		{"bytes 0-9/100 ", -EINVAL, 0, 0, 0},
		{"bytes +0-9/100", -EINVAL, 0, 0, 0},
		{"bytes 0-18446744073709551616/*", -EINVAL, 0, 0, 0},
		{"bytes 0-9223372036854775808/*", -EINVAL, 0, 0, 0},
		{"items 0-9/100", -EINVAL, 0, 0, 0},
		{"", -EINVAL, 0, 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(rows); i++) {
		struct supafs_http_reply r;

		supafs_http_reply_init(&r);
		r.range_first = 42;
		assert_int_equal(supafs_http_parse_content_range(supafs_str_of(rows[i].text), &r),
			rows[i].result);
		assert_int_equal(r.has_range, rows[i].result == 0);
		assert_true(r.range_first == (rows[i].result == 0 ? rows[i].first : 42));
		if (rows[i].result == 0) {
			assert_true(r.range_last == rows[i].last);
			assert_true(r.range_total == rows[i].total);
		}
	}
}

static void retry_after(void **state)
{
	/* Tue, 24 Nov 2026 11:00:00 GMT */
	const int64_t now = INT64_C(1795518000) * SUPAFS_NS_PER_S;
	static const struct {
		const char *text;
		int result;
		int64_t ms;
	} rows[] = {
		{"0", 0, 0},
		{"1", 0, 1000},
		{"120", 0, 120000},
		{"3600", 0, 3600000},
		{"3601", 0, 3600000},
		{"99999999999999999999999", 0, 3600000},
		{"Tue, 24 Nov 2026 11:00:05 GMT", 0, 5000},
		{"Tue, 24 Nov 2026 10:59:00 GMT", 0, 0},
		{"Tue, 24 Nov 2026 11:00:00 GMT", 0, 0},
		{"Wed, 25 Nov 2026 11:00:00 GMT", 0, 3600000},
		{"Tue, 24 Nov 2026 11:00:05", -EINVAL, 7},
		{"-1", -EINVAL, 7},
		{"1.5", -EINVAL, 7},
		{"soon", -EINVAL, 7},
		{"", -EINVAL, 7},
		{" 1", -EINVAL, 7},
	};

	(void)state;
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(rows); i++) {
		int64_t ms = 7;

		assert_int_equal(
			supafs_http_parse_retry_after(supafs_str_of(rows[i].text), now, &ms),
			rows[i].result);
		assert_int_equal(ms, rows[i].ms);
	}
}

static void retry_after_rounds_up(void **state)
{
	const int64_t now = INT64_C(1795518000) * SUPAFS_NS_PER_S + 1;
	int64_t ms = 0;

	(void)state;
	assert_int_equal(supafs_http_parse_retry_after(
				 SUPAFS_STR("Tue, 24 Nov 2026 11:00:01 GMT"), now, &ms),
		0);
	assert_int_equal(ms, 1000);
}

static void status_line(void **state)
{
	static const struct {
		const char *text;
		int status;
	} rows[] = {
		{"HTTP/1.1 200 OK", 200},
		{"HTTP/1.0 404 Not Found", 404},
		{"HTTP/2 200 ", 200},
		{"HTTP/2 599", 599},
		{"HTTP/1.1 100 Continue", 100},
		{"HTTP/1.1 99 No", 0},
		{"HTTP/1.1 600 No", 0},
		{"HTTP/1.1 2000 No", 0},
		{"HTTP/1.1 20 No", 0},
		{"HTTP/1.1 -20 No", 0},
		{"HTTP/1.1", 0},
		{"HTTP/1.1 ", 0},
		{"http/1.1 200 OK", 0},
		{"ICY 200 OK", 0},
		{"", 0},
	};

	(void)state;
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(rows); i++)
		assert_int_equal(
			supafs_http_parse_status_line(supafs_str_of(rows[i].text)), rows[i].status);
}

static void take(struct supafs_http_reply *r, const char *line)
{
	supafs_http_take_header(r, supafs_str_of(line), 0);
}

static void header_lines(void **state)
{
	struct supafs_http_reply r;

	(void)state;
	supafs_http_reply_init(&r);
	take(&r, "CONTENT-LENGTH: 12");
	take(&r, "content-length: nonsense");
	take(&r, "Content-Type:application/JSON;charset=utf-8");
	take(&r, "ETag: \t W/\"x y\" ");
	take(&r, "x-request-id: proxy");
	take(&r, "sb-request-id: own");
	take(&r, "cf-ray: ray");
	take(&r, "upload-offset: 5");
	take(&r, "Upload-Length: 50");
	take(&r, "Upload-Metadata: a YQ==,b");
	take(&r, "X-Retry-After: 5");
	take(&r, "no colon");
	take(&r, ": empty name");
	take(&r, "");
	assert_int_equal(r.content_length, 12);
	assert_true(r.json);
	assert_string_equal(r.etag, "W/\"x y\"");
	assert_string_equal(r.request_id, "own");
	assert_int_equal(r.upload_offset, 5);
	assert_int_equal(r.upload_length, 50);
	assert_string_equal(supafs_buf_cstr(&r.upload_metadata), "a YQ==,b");
	assert_int_equal(r.retry_after_ms, -1);

	take(&r, "Content-Type: application/jsonlines");
	assert_false(r.json);
	take(&r, "Content-Type: application/json");
	assert_true(r.json);
	take(&r, "Content-Type: text/html");
	assert_false(r.json);

	supafs_http_clear_headers(&r);
	assert_true(r.content_length == UINT64_MAX && r.upload_offset == UINT64_MAX);
	assert_string_equal(r.etag, "");
	assert_true(r.upload_length == UINT64_MAX);
	assert_int_equal(r.upload_metadata.n, 0);
	supafs_http_reply_fini(&r);
}

/* Texts at the edge of their fields: kept whole or not at all. */
static void header_bounds(void **state)
{
	char line[20000];
	struct supafs_http_reply r;

	(void)state;
	for (int n = SUPAFS_ETAG_MAX - 1; n <= SUPAFS_ETAG_MAX + 1; n++) {
		supafs_http_reply_init(&r);
		(void)snprintf(line, sizeof(line), "etag: %0*d", n, 0);
		take(&r, line);
		assert_int_equal(strlen(r.etag), n <= SUPAFS_ETAG_MAX ? n : 0);
		supafs_http_reply_fini(&r);
	}
	for (int n = 4094; n <= 4097; n++) {
		supafs_http_reply_init(&r);
		(void)snprintf(line, sizeof(line), "location: %0*d", n, 0);
		take(&r, line);
		assert_int_equal(strlen(r.location), n < 4096 ? n : 0);
		supafs_http_reply_fini(&r);
	}
	for (int n = 16383; n <= 16385; n++) {
		supafs_http_reply_init(&r);
		(void)snprintf(line, sizeof(line), "upload-metadata: %0*d", n, 0);
		take(&r, line);
		assert_int_equal(r.upload_metadata.n, n <= 16384 ? n : 0);
		supafs_http_reply_fini(&r);
	}
	supafs_http_reply_init(&r);
	supafs_http_take_header(&r, SUPAFS_STR("etag: a\0b"), 0);
	assert_string_equal(r.etag, "");
	supafs_http_take_header(&r, SUPAFS_STR("etag: a\x1b[31m"), 0);
	assert_string_equal(r.etag, "");
	supafs_http_reply_fini(&r);
}

static void memory_source(void **state)
{
	const struct supafs_str text = SUPAFS_STR("hello world");
	const struct supafs_http_source source = supafs_http_source_mem(&text);
	char buf[32];

	(void)state;
	assert_int_equal(source.size, 11);
	assert_int_equal(source.pread(source.ctx, buf, sizeof(buf), 6), 5);
	assert_memory_equal(buf, "world", 5);
	assert_int_equal(source.pread(source.ctx, buf, 2, 0), 2);
	assert_memory_equal(buf, "he", 2);
	assert_int_equal(source.pread(source.ctx, buf, 2, 11), 0);
	assert_int_equal(source.pread(source.ctx, buf, 2, UINT64_MAX), 0);
}

static void method_names(void **state)
{
	(void)state;
	assert_string_equal(supafs_http_method_name(SUPAFS_HTTP_GET), "GET");
	assert_string_equal(supafs_http_method_name(SUPAFS_HTTP_PATCH), "PATCH");
	for (unsigned m = 0; m < SUPAFS_HTTP__COUNT; m++)
		assert_non_null(supafs_http_method_name((enum supafs_http_method)m));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(content_range),
		cmocka_unit_test(retry_after),
		cmocka_unit_test(retry_after_rounds_up),
		cmocka_unit_test(status_line),
		cmocka_unit_test(header_lines),
		cmocka_unit_test(header_bounds),
		cmocka_unit_test(memory_source),
		cmocka_unit_test(method_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
