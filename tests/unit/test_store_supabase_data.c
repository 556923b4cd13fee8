/* SPDX-License-Identifier: Apache-2.0 */
/* The Supabase backend over a scripted transport: downloads and uploads. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "supabase_bench.h"
#include "unit.h"

/* --- get ----------------------------------------------------------------------------------------
 */

struct collected {
	char text[64];
	size_t n;
};

static int collect(void *ctx, const void *p, size_t n)
{
	struct collected *c = ctx;

	assert_true(c->n + n < sizeof(c->text));
	memcpy(c->text + c->n, p, n);
	c->n += n;
	return 0;
}

struct get_case {
	const char *pinned; /* ETag known before */
	uint64_t offset, length, size;
	struct exchange x; /* the answer only */
	int error;
	const char *code;
	const char *got;
	const char *etag;
};

static void run_get(const struct get_case *g)
{
	struct supafs_version v = {.size = g->size, .updated_ns = 0x1234};
	struct collected c = {.n = 0};
	char etag[SUPAFS_ETAG_MAX + 1] = "";
	char range[64];
	struct supafs_get_args a = {
		.key = SUPAFS_STR("d/file (1)"),
		.offset = g->offset,
		.length = g->length,
		.version = &v,
		.sink = {collect, &c},
		.ret_etag = etag,
	};
	struct exchange x = g->x;
	struct bench b;

	(void)snprintf(v.etag, sizeof(v.etag), "%s", g->pinned);
	(void)snprintf(range, sizeof(range), "Range: bytes=%llu-%llu",
		(unsigned long long)g->offset, (unsigned long long)(g->offset + g->length - 1));
	x.method = SUPAFS_HTTP_GET;
	x.url = BASE "/object/authenticated/my%20bucket/d/file%20%281%29?cacheNonce=*";
	x.headers[0] = "apikey: " SERVICE;
	x.headers[1] = "Authorization: Bearer " SERVICE;
	x.headers[2] = range;
	bench_begin(&b, &x, 1);
	assert_int_equal(b.s->ops->get(b.s, &b.call, &a, &b.fault), g->error);
	assert_string_equal(b.fault.code, g->code);
	c.text[c.n] = '\0';
	assert_string_equal(c.text, g->got);
	assert_string_equal(etag, g->etag);
	bench_end(&b);
}

static void test_get(void **state)
{
	static const struct get_case cases[] = {
		{"\"e\"", 2, 7, 20,
			{.status = 206,
				.etag = "\"e\"",
				.range = "bytes 2-8/20",
				.reply = "cdefghi"},
			0, "", "cdefghi", "\"e\""},
		/* whole, as 200 or 206; the tag learnt, or weakened by a proxy */
		{"", 0, 3, 3, {.status = 200, .etag = "\"new\"", .reply = "abc"}, 0, "", "abc",
			"\"new\""},
		{"\"e\"", 0, 3, 3,
			{.status = 206, .etag = "W/\"e\"", .range = "bytes 0-2/3", .reply = "abc"},
			0, "", "abc", "W/\"e\""},
		/* another version: not one byte reaches the reader */
		{"\"e\"", 0, 3, 9,
			{.status = 206, .etag = "\"f\"", .range = "bytes 0-2/9", .reply = "abc"},
			-ESTALE, "Changed", "", ""},
		{"\"e\"", 0, 3, 9,
			{.status = 206, .etag = "\"e\"", .range = "bytes 0-2/10", .reply = "abc"},
			-ESTALE, "Changed", "", "\"e\""},
		{"", 0, 3, 9,
			{.status = 206, .etag = "\"e\"", .range = "bytes 0-2/8", .reply = "abc"},
			-ESTALE, "Changed", "", "\"e\""},
		{"\"e\"", 0, 3, 3, {.status = 200, .etag = "\"e\"", .reply = "abcd"}, -ESTALE,
			"Changed", "", "\"e\""},
		/* nothing to check against */
		{"\"e\"", 0, 3, 3, {.status = 200, .reply = "abc"}, -EIO, "NoETag", "", ""},
		/* not the part that was asked for */
		{"\"e\"", 1, 2, 3, {.status = 200, .etag = "\"e\"", .reply = "abc"}, -EIO,
			"RangeIgnored", "", "\"e\""},
		{"\"e\"", 1, 2, 9,
			{.status = 206, .etag = "\"e\"", .range = "bytes 0-1/9", .reply = "ab"},
			-EIO, "RangeIgnored", "", "\"e\""},
		{"\"e\"", 1, 2, 9,
			{.status = 206, .etag = "\"e\"", .range = "bytes 1-3/9", .reply = "abc"},
			-EIO, "RangeIgnored", "", "\"e\""},
		{"\"e\"", 1, 2, 9,
			{.status = 206, .etag = "\"e\"", .range = "bytes 1-2/*", .reply = "ab"},
			-EIO, "RangeIgnored", "", "\"e\""},
		{"\"e\"", 1, 2, 9, {.status = 206, .etag = "\"e\"", .reply = "ab"}, -EIO,
			"RangeIgnored", "", "\"e\""},
		/* too many, too few bytes */
		{"\"e\"", 0, 2, 9,
			{.status = 206,
				.etag = "\"e\"",
				.range = "bytes 0-1/9",
				.reply = "abcdefgh"},
			-EIO, "BadReply", "", "\"e\""},
		{"\"e\"", 0, 6, 9,
			{.status = 206, .etag = "\"e\"", .range = "bytes 0-5/9", .reply = "abcde"},
			-EIO, "BadReply", "abcde", "\"e\""},
		{"\"e\"", 0, 6, 9,
			{.status = 206,
				.etag = "\"e\"",
				.range = "bytes 0-5/9",
				.reply = "abcde",
				.error = -ECONNRESET},
			-ECONNRESET, "Broken", "abcde", "\"e\""},
		/* errors */
		{"\"e\"", 0, 2, 9,
			{.status = 400,
				.reply =
					"{\"statusCode\":\"404\",\"code\":\"NoSuchKey\",\"message\":"
					"\"Object not found\"}"},
			-ENOENT, "NoSuchKey", "", ""},
		{"\"e\"", 0, 2, 9, {.status = 416, .reply = ""}, -ESTALE, "Changed", "", ""},
		{"\"e\"", 0, 2, 9, {.status = 304, .reply = ""}, -EIO, "NotStorage", "", ""},
	};

	(void)state;
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(cases); i++)
		run_get(&cases[i]);
}

/* The same version has the same query value, so that mounts share the CDN's copy (API §12.5). */
static void test_get_query(void **state)
{
	const struct supafs_version v = {.size = 1, .updated_ns = 0x10, .etag = "a"};
	const struct exchange x = {
		.method = SUPAFS_HTTP_GET,
		.headers = {KEYS, "Range: bytes=0-0"},
		/* FNV-1a of "a" */
		.url = BASE "/object/authenticated/my%20bucket/k?cacheNonce=af63dc4c8601ec8c-10",
		.status = 206,
		.etag = "a",
		.range = "bytes 0-0/1",
		.reply = "x",
	};
	const struct exchange list[] = {x, x};
	struct collected c = {.n = 0};
	const struct supafs_get_args a = {
		.key = SUPAFS_STR("k"), .length = 1, .version = &v, .sink = {collect, &c}};
	struct bench b;

	(void)state;
	BEGIN(b, list);
	assert_int_equal(b.s->ops->get(b.s, &b.call, &a, &b.fault), 0);
	assert_int_equal(b.s->ops->get(b.s, &b.call, &a, &b.fault), 0);
	bench_end(&b);
}

/* --- put ----------------------------------------------------------------------------------------
 */

static ssize_t text_pread(void *ctx, void *buf, size_t n, uint64_t off)
{
	const char *text = ctx;
	size_t left = strlen(text) - (size_t)off;

	if (n > left)
		n = left;
	memcpy(buf, text + off, n);
	return (ssize_t)n;
}

static void test_put(void **state)
{
	char content[] = "hello, world";
	const struct supafs_put_args a = {
		.key = SUPAFS_STR("a/b?c;d"),
		.size = 12,
		.pread = text_pread,
		.ctx = content,
		.mime = SUPAFS_STR("text/plain"),
		.meta = {SUPAFS_META_ALL, 1700000000123456789, 0640, 1, 2},
		.nonce = SUPAFS_STR("n1"),
	};
	supafs_cleanup(supafs_buf_fini) struct supafs_buf meta;
	const struct exchange list[] = {{
		.method = SUPAFS_HTTP_PUT,
		.url = BASE "/object/my%20bucket/a/b%3Fc%3Bd",
		.headers = {KEYS, "Content-Type: text/plain",
			"Cache-Control: no-cache, x-mtime=1700000000.123456789, x-mode=0640, x-uid=1, "
			"x-gid=2",
			bench_b64(&meta, "x-metadata: ",
				"{\"mtime\":\"1700000000.123456789\",\"mode\":\"33184\",\"uid\":\"1\","
				"\"gid\":\"2\",\"nonce\":\"n1\"}")},
		.body = "hello, world",
		.status = 200,
		.reply = "{\"Key\":\"my "
			 "bucket/a/b?c;d\",\"Id\":\"00010203-0405-0607-0809-0a0b0c0d0e0f\"}",
	}};
	unsigned char id[16];
	struct bench b;

	(void)state;
	BEGIN(b, list);
	assert_int_equal(b.s->ops->put(b.s, &b.call, &a, id, &b.fault), 0);
	for (unsigned char i = 0; i < 16; i++)
		assert_int_equal(id[i], i);
	bench_end(&b);
}

#define PUT_HEADERS(cc)                                                                            \
	{                                                                                          \
		KEYS, "Content-Type: application/octet-stream", "Cache-Control: " cc,              \
			"x-metadata: eyJub25jZSI6I*"                                               \
	}

/* Without attributes; empty; exclusive. A nonce is there all the same. */
static void test_put_plain(void **state)
{
	const struct supafs_put_args empty = {.key = SUPAFS_STR("k")};
	const struct supafs_put_args exclusive = {.key = SUPAFS_STR("k"),
		.exclusive = true,
		.cache_control = SUPAFS_STR("max-age=5")};
	const struct exchange list[] = {
		{.method = SUPAFS_HTTP_PUT,
			.url = BASE "/object/my%20bucket/k",
			.headers = PUT_HEADERS("no-cache"),
			.status = 200,
			.reply = "{\"Key\":\"my bucket/k\"}"},
		{.method = SUPAFS_HTTP_POST,
			.url = BASE "/object/my%20bucket/k",
			.headers = PUT_HEADERS("max-age=5"),
			.status = 400,
			.reply =
				"{\"statusCode\":\"409\",\"error\":\"Duplicate\",\"message\":\"The "
				"resource already exists\",\"code\":\"KeyAlreadyExists\"}"},
	};
	unsigned char id[16];
	unsigned char zero[16] = {0};
	struct bench b;

	(void)state;
	BEGIN(b, list);
	assert_int_equal(b.s->ops->put(b.s, &b.call, &empty, id, &b.fault), 0);
	assert_memory_equal(id, zero, 16);
	assert_int_equal(b.s->ops->put(b.s, &b.call, &exclusive, id, &b.fault), -EEXIST);
	bench_end(&b);
}

static void test_put_refused_here(void **state)
{
	const struct supafs_put_args cases[] = {
		{.key = SUPAFS_STR("k"), .mime = SUPAFS_STR("text/plain\r\nX-Evil: 1")},
		{.key = SUPAFS_STR("k"), .cache_control = SUPAFS_STR("no-cache\nX-Evil: 1")},
		{.key = SUPAFS_STR("k#")},
		{.key = SUPAFS_STR("a//b")},
		{.key = SUPAFS_STR("/a")},
		{.key = SUPAFS_STR("a/./b")},
	};
	unsigned char id[16];
	struct bench b;

	(void)state;
	bench_begin(&b, NULL, 0); /* nothing is sent */
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(cases); i++) {
		assert_int_equal(b.s->ops->put(b.s, &b.call, &cases[i], id, &b.fault), -EINVAL);
		assert_int_equal(b.fault.class, SUPAFS_FAULT_PERMANENT);
	}
	bench_end(&b);
}

/* Lost or odd answers leave the write ambiguous; a request that never left does not. */
static void test_put_ambiguity(void **state)
{
	static const struct {
		int error, status;
		enum supafs_http_progress progress;
		const char *reply;
		bool ambiguous;
	} cases[] = {
		{-ECONNREFUSED, 0, SUPAFS_HTTP_NOT_SENT, NULL, false},
		{-ECONNRESET, 0, SUPAFS_HTTP_BODY_PART, NULL, false},
		{-ECONNRESET, 0, SUPAFS_HTTP_BODY_SENT, NULL, true},
		{-ETIMEDOUT, 0, SUPAFS_HTTP_BODY_SENT, NULL, true},
		{0, 502, 0, "<html>", true},
		{0, 524, 0, "", true},
		{0, 429, 0, "", false},
		{0, 200, 0, "", true},
		{0, 200, 0, "{\"Key", true},
		{0, 200, 0, "{\"message\":\"what?\"}", true},
		{0, 413, 0, "", false},
	};
	const struct supafs_put_args a = {.key = SUPAFS_STR("k")};

	(void)state;
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(cases); i++) {
		const struct exchange list[] = {{
			.method = SUPAFS_HTTP_PUT,
			.url = BASE "/object/my%20bucket/k",
			.headers = PUT_HEADERS("no-cache"),
			.error = cases[i].error,
			.status = cases[i].status,
			.progress = cases[i].progress,
			.reply = cases[i].reply,
		}};
		unsigned char id[16];
		struct bench b;
		BEGIN(b, list);
		assert_true(b.s->ops->put(b.s, &b.call, &a, id, &b.fault) < 0);
		assert_int_equal(b.fault.ambiguous, cases[i].ambiguous);
		bench_end(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_get),
		cmocka_unit_test(test_get_query),
		cmocka_unit_test(test_put),
		cmocka_unit_test(test_put_plain),
		cmocka_unit_test(test_put_refused_here),
		cmocka_unit_test(test_put_ambiguity),
	};

	return cmocka_run_group_tests_name("store_supabase_data", tests, NULL, NULL);
}
