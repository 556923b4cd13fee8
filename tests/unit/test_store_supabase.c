/* SPDX-License-Identifier: Apache-2.0 */
/* The Supabase backend over a scripted transport: what is asked, and what becomes of the answer. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "supafs/store/store.h"
#include "supafs/util/cleanup.h"
#include "supafs/util/parse.h"

#include "script_http.h"
#include "unit.h"

#define BASE "https://x.supabase.co/storage/v1"
/* {"alg":"HS256"}.{"role":"service_role"} and {"role":"anon"} */
#define SERVICE "eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoic2VydmljZV9yb2xlIn0.c2ln"
#define ANON    "eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoiYW5vbiJ9.c2ln"
#define KEYS    "apikey: " SERVICE, "Authorization: Bearer " SERVICE
#define JSON    "Content-Type: application/json"

/* --- A store over a script ----------------------------------------------------------------------
 */

struct bench {
	struct script_http http;
	struct supafs_store *s;
	struct supafs_call call;
	struct supafs_fault fault;
};

static void bench_begin_with(struct bench *b, const struct supafs_supabase_config *cfg,
	const struct exchange *list, size_t n)
{
	script_init(&b->http, list, n);
	supafs_call_init(&b->call, supafs_clock_system(), 0);
	assert_int_equal(supafs_store_new_supabase(cfg, &b->http.base, &b->s), 0);
}

static const struct supafs_supabase_config *config(struct supafs_supabase_config *cfg)
{
	*cfg = (struct supafs_supabase_config){
		.url = "https://x.supabase.co",
		.bucket = "my bucket",
		.key = SERVICE,
		.seed = 1,
	};
	cfg->clock = supafs_clock_system();
	return cfg;
}

static void bench_begin(struct bench *b, const struct exchange *list, size_t n)
{
	struct supafs_supabase_config cfg;

	bench_begin_with(b, config(&cfg), list, n);
}

static void bench_end(struct bench *b)
{
	script_done(&b->http);
	(void)supafs_store_free(b->s);
	supafs_call_fini(&b->call);
}

#define BEGIN(b, list) bench_begin(&(b), (list), SUPAFS_ARRAY_LEN(list))

/* --- Creation, keys, URLs -----------------------------------------------------------------------
 */

static void assert_info_headers(const struct supafs_supabase_config *cfg, const char *url,
	const char *first, const char *second)
{
	const struct exchange list[] = {{
		.method = SUPAFS_HTTP_GET,
		.url = url,
		.headers = {first, second},
		.status = 400,
		.reply = "{\"code\":\"NoSuchKey\",\"statusCode\":\"404\",\"message\":\"x\"}",
	}};
	struct supafs_info info;
	struct bench b;

	bench_begin_with(&b, cfg, list, 1);
	assert_int_equal(b.s->ops->info(b.s, &b.call, SUPAFS_STR("k"), &info, &b.fault), -ENOENT);
	bench_end(&b);
}

static void test_key_styles(void **state)
{
	struct supafs_supabase_config cfg;
	const char *url = BASE "/object/info/authenticated/my%20bucket/k?cacheNonce=*";

	(void)state;
	config(&cfg);
	assert_info_headers(&cfg, url, "apikey: " SERVICE, "Authorization: Bearer " SERVICE);
	cfg.key = "sb_secret_abc";
	assert_info_headers(&cfg, url, "apikey: sb_secret_abc", NULL);
	cfg.user_token = "a.b.c";
	assert_info_headers(&cfg, url, "apikey: sb_secret_abc", "Authorization: Bearer a.b.c");
	cfg.key = ANON;
	assert_info_headers(&cfg, url, "apikey: " ANON, "Authorization: Bearer a.b.c");
}

static void test_base_urls(void **state)
{
	static const struct {
		const char *url;
		bool raw;
		const char *want;
	} cases[] = {
		{"https://x.supabase.co", false, BASE},
		{"https://x.supabase.co///", false, BASE},
		{"https://x.supabase.co/storage/v1", false, BASE},
		{"https://x.supabase.co/storage/v1/", false, BASE},
		{"http://127.0.0.1:5000", true, "http://127.0.0.1:5000"},
		{"http://[::1]:5000/", true, "http://[::1]:5000"},
		{"https://h/sub", false, "https://h/sub/storage/v1"},
	};
	struct supafs_supabase_config cfg;

	(void)state;
	config(&cfg);
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(cases); i++) {
		char want[300];
		(void)snprintf(want, sizeof(want),
			"%s/object/info/authenticated/my%%20bucket/k?cacheNonce=*", cases[i].want);
		cfg.url = cases[i].url;
		cfg.raw_base = cases[i].raw;
		assert_info_headers(
			&cfg, want, "apikey: " SERVICE, "Authorization: Bearer " SERVICE);
	}
}

static void test_bad_configs(void **state)
{
	static const char *const urls[] = {
		"", "x.supabase.co", "ftp://x", "https://", "https://a:b@x", "https://x?y=1"};
	static const char *const buckets[] = {"", "a/b", ".", "..", "tab\t", "caf\xc3\xa9"};
	static const char *const keys[] = {"", "a b", "a\r\nX: y", "caf\xc3\xa9"};
	struct supafs_supabase_config cfg;
	struct script_http http;
	struct supafs_store *s = NULL;

	(void)state;
	script_init(&http, NULL, 0);
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(urls); i++) {
		config(&cfg);
		cfg.url = urls[i];
		assert_int_equal(supafs_store_new_supabase(&cfg, &http.base, &s), -EINVAL);
	}
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(buckets); i++) {
		config(&cfg);
		cfg.bucket = buckets[i];
		assert_int_equal(supafs_store_new_supabase(&cfg, &http.base, &s), -EINVAL);
	}
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(keys); i++) {
		config(&cfg);
		cfg.key = keys[i];
		assert_int_equal(supafs_store_new_supabase(&cfg, &http.base, &s), -EINVAL);
		config(&cfg);
		cfg.user_token = keys[i];
		assert_int_equal(supafs_store_new_supabase(&cfg, &http.base, &s), -EINVAL);
	}
	assert_null(s);
}

/* --- probe --------------------------------------------------------------------------------------
 */

#define ASK_BUCKET .method = SUPAFS_HTTP_GET, .url = BASE "/bucket/my%20bucket", .headers = {KEYS}
#define ASK_LIST                                                                                   \
	.method = SUPAFS_HTTP_POST, .url = BASE "/object/list-v2/my%20bucket",                     \
	.headers = {KEYS, JSON}, .body = "{\"prefix\":\"\",\"limit\":1,\"with_delimiter\":true}"
#define ASK_VERSION .method = SUPAFS_HTTP_GET, .url = BASE "/version", .headers = {KEYS}
#define BUCKET_REPLY                                                                               \
	"{\"id\":\"my bucket\",\"name\":\"my bucket\",\"owner\":\"\",\"public\":true,"             \
	"\"file_size_limit\":52428800,\"allowed_mime_types\":[\"image/*\",\"text/plain\"]}"
#define EMPTY_LIST "{\"hasNext\":false,\"folders\":[],\"objects\":[]}"

static void test_probe(void **state)
{
	const struct exchange list[] = {
		{ASK_BUCKET, .status = 200, .reply = BUCKET_REPLY},
		{ASK_LIST, .status = 200, .reply = EMPTY_LIST},
		{ASK_VERSION, .status = 200, .reply = "1.70.6\n"},
	};
	struct supafs_bucket_info info;
	struct bench b;

	(void)state;
	BEGIN(b, list);
	assert_int_equal(b.s->ops->probe(b.s, &b.call, &info, &b.fault), 0);
	assert_string_equal(info.name, "my bucket");
	assert_true(info.is_public);
	assert_int_equal(info.size_limit, 52428800);
	assert_string_equal(supafs_buf_cstr(&info.mimes), "image/*\ntext/plain");
	assert_string_equal(info.server_version, "1.70.6");
	supafs_buf_fini(&info.mimes);
	bench_end(&b);
}

static void test_probe_no_version(void **state)
{
	static const char *const replies[] = {"0.0.0", "", "<html>", "{\"a\":1}",
		"a version that is longer than any version should be"};

	(void)state;
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(replies); i++) {
		const struct exchange list[] = {
			{ASK_BUCKET, .status = 200, .reply = "{\"name\":\"b\"}"},
			{ASK_LIST, .status = 200, .reply = EMPTY_LIST},
			{ASK_VERSION, .status = i == 1 ? 404 : 200, .reply = replies[i]},
		};
		struct supafs_bucket_info info;
		struct bench b;
		BEGIN(b, list);
		assert_int_equal(b.s->ops->probe(b.s, &b.call, &info, &b.fault), 0);
		assert_string_equal(info.server_version, "");
		assert_int_equal(info.size_limit, 0);
		supafs_buf_fini(&info.mimes);
		bench_end(&b);
	}
}

static void assert_probe_fails(const struct exchange *list, size_t n, int error, const char *code)
{
	struct supafs_bucket_info info;
	struct bench b;

	bench_begin(&b, list, n);
	assert_int_equal(b.s->ops->probe(b.s, &b.call, &info, &b.fault), error);
	assert_string_equal(b.fault.code, code);
	assert_true(b.fault.text[0] != '\0');
	bench_end(&b);
}

static void test_probe_failures(void **state)
{
	static const struct {
		int status;
		const char *reply;
		int error;
		const char *code;
	} cases[] = {
		{200, "<html>Studio</html>", -EIO, "NotStorage"},
		{200, "[]", -EIO, "BadReply"},
		{200, "", -EIO, "BadReply"},
		{307, "", -EIO, "NotStorage"},
		{404, "<html>not found</html>", -EIO, "NotStorage"},
		{404,
			"{\"message\":\"Route GET:/bucket/x not found\",\"error\":\"Not Found\","
			"\"statusCode\":404}",
			-EIO, "NotStorage"},
		{400,
			"{\"statusCode\":\"404\",\"code\":\"NoSuchBucket\",\"message\":\"Bucket not "
			"found\"}",
			-ENOENT, "NoSuchBucket"},
		{400,
			"{\"statusCode\":\"403\",\"code\":\"AccessDenied\",\"message\":\"signature "
			"verification failed\"}",
			-EACCES, "TokenSignature"},
		{400,
			"{\"statusCode\":\"403\",\"code\":\"AccessDenied\",\"message\":\"\\\"exp\\\" "
			"claim timestamp check failed\"}",
			-EACCES, "TokenExpired"},
		{400,
			"{\"statusCode\":\"403\",\"code\":\"AccessDenied\",\"message\":\"Invalid Compact "
			"JWS\"}",
			-EACCES, "TokenInvalid"},
		{540, "", -EIO, "ProjectPaused"},
	};

	(void)state;
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(cases); i++) {
		const struct exchange list[] = {
			{ASK_BUCKET, .status = cases[i].status, .reply = cases[i].reply}};
		assert_probe_fails(list, 1, cases[i].error, cases[i].code);
	}
	for (int i = 0; i < 3; i++) {
		static const int errors[] = {-ECONNREFUSED, -EHOSTUNREACH, -ECONNABORTED};
		static const char *const codes[] = {"Unreachable", "Unreachable", "TLS"};
		const struct exchange list[] = {{ASK_BUCKET, .error = errors[i]}};
		assert_probe_fails(list, 1, errors[i], codes[i]);
	}
}

static void test_probe_old_server(void **state)
{
	const struct exchange list[] = {
		{ASK_BUCKET, .status = 200, .reply = BUCKET_REPLY},
		{ASK_LIST, .status = 400,
			.reply =
				"{\"statusCode\":\"404\",\"error\":\"Bucket not "
				"found\",\"message\":\"Bucket not found\",\"code\":\"NoSuchBucket\"}"},
	};

	(void)state;
	assert_probe_fails(list, 2, -EOPNOTSUPP, "OldServer");
}

static void test_probe_public_key(void **state)
{
	static const char *const keys[] = {ANON, "sb_publishable_abc"};
	struct supafs_supabase_config cfg;
	struct supafs_bucket_info info;

	(void)state;
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(keys); i++) {
		const struct exchange list[] = {{
			.method = SUPAFS_HTTP_GET,
			.url = BASE "/bucket/my%20bucket",
			.headers = {"apikey: *", i == 0 ? "Authorization: Bearer " ANON : NULL},
			.status = 400,
			.reply =
				"{\"statusCode\":\"404\",\"code\":\"NoSuchBucket\",\"message\":\"Bucket "
				"not found\"}",
		}};
		struct bench b;
		config(&cfg);
		cfg.key = keys[i];
		bench_begin_with(&b, &cfg, list, 1);
		assert_int_equal(b.s->ops->probe(b.s, &b.call, &info, &b.fault), -ENOENT);
		assert_string_equal(b.fault.code, "PublicKey");
		bench_end(&b);
	}
}

/* --- info ---------------------------------------------------------------------------------------
 */

#define ASK_INFO(key)                                                                              \
	.method = SUPAFS_HTTP_GET,                                                                 \
	.url = BASE "/object/info/authenticated/my%20bucket/" key "?cacheNonce=*",                 \
	.headers = {KEYS}

static void test_info(void **state)
{
	const struct exchange list[] = {
		{ASK_INFO("a/b%20%26%3D.txt"), .status = 200,
			.reply =
				"{\"id\":\"d3bbe41b-0102-0304-0506-0708090a0b0c\",\"name\":\"a/b "
				"&=.txt\",\"version\":\"c9a01714-ffff\",\"bucket_id\":\"b\",\"size\":"
				"\"9007199254740992\",\"content_type\":\"text/plain\",\"cache_control\":"
				"\"max-age=7, x-mode=0600\",\"etag\":\"\\\"5eb6\\\"\",\"metadata\":{"
				"\"mtime\":\"1712345678.123456789\",\"mode\":\"0644\",\"nonce\":\"n1\"},"
				"\"last_modified\":\"2026-11-24T00:20:49.360Z\",\"created_at\":"
				"\"2026-11-24T00:20:48Z\",\"extra\":[1,2]}"},
		{ASK_INFO("k"), .status = 200,
			.reply =
				"{\"name\":\"k\",\"size\":null,\"metadata\":null,\"cache_control\":"
				"\"x-mode=0600\"}"},
		{ASK_INFO("a//b"), .status = 200, .reply = "{\"name\":\"a/b\",\"size\":1}"},
		{ASK_INFO("k"), .status = 200, .reply = "{\"size\":1}"},
	};
	struct supafs_info i;
	struct bench b;

	(void)state;
	BEGIN(b, list);
	assert_int_equal(b.s->ops->info(b.s, &b.call, SUPAFS_STR("a/b &=.txt"), &i, &b.fault), 0);
	assert_int_equal(i.version.size, UINT64_C(1) << 53);
	assert_string_equal(i.version.etag, "\"5eb6\"");
	assert_int_equal(i.version.id[0], 0xd3);
	assert_int_equal(i.version.id[15], 0x0c);
	assert_int_equal(i.version.updated_ns, 1795479649360000000);
	assert_int_equal(i.created_ns, 1795479648000000000);
	assert_int_equal(i.meta.has, SUPAFS_META_MTIME | SUPAFS_META_MODE);
	assert_int_equal(i.meta.mode, 0644); /* user metadata wins over the directive */
	assert_string_equal(i.nonce, "n1");
	assert_string_equal(i.generation, "c9a01714-ffff");
	assert_string_equal(i.mime, "text/plain");

	assert_int_equal(b.s->ops->info(b.s, &b.call, SUPAFS_STR("k"), &i, &b.fault), 0);
	assert_int_equal(i.meta.mode, 0600);
	assert_string_equal(i.version.etag, "");
	/* a gateway that merges slashes shows another object */
	assert_int_equal(b.s->ops->info(b.s, &b.call, SUPAFS_STR("a//b"), &i, &b.fault), -ENOENT);
	assert_int_equal(b.s->ops->info(b.s, &b.call, SUPAFS_STR("k"), &i, &b.fault), -EIO);
	assert_string_equal(b.fault.code, "BadReply");
	bench_end(&b);
}

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

static const char *b64(struct supafs_buf *b, const char *prefix, const char *text)
{
	supafs_buf_init(b, 1000);
	assert_int_equal(supafs_buf_adds(b, prefix), 0);
	assert_int_equal(supafs_b64_encode(b, text, strlen(text)), 0);
	return supafs_buf_cstr(b);
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
			b64(&meta, "x-metadata: ",
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

/* Without attributes; empty; exclusive. The nonce is there all the same, and never the same. */
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

/* --- remove, move, copy -------------------------------------------------------------------------
 */

static void test_remove(void **state)
{
	const struct exchange list[] = {
		{.method = SUPAFS_HTTP_DELETE,
			.url = BASE "/object/my%20bucket/a/b",
			.headers = {KEYS}, /* no Content-Type: API §7 */
			.status = 200,
			.reply = "{\"message\":\"Successfully deleted\"}"},
		/* a key that gateways rewrite goes by the body */
		{.method = SUPAFS_HTTP_DELETE,
			.url = BASE "/object/my%20bucket",
			.headers = {KEYS, JSON},
			.body = "{\"prefixes\":[\"a//b\"]}",
			.status = 200,
			.reply = "[{\"name\":\"a//b\"}]"},
		{.method = SUPAFS_HTTP_DELETE,
			.url = BASE "/object/my%20bucket",
			.headers = {KEYS, JSON},
			.body = "{\"prefixes\":[\"a/../b\"]}",
			.status = 200,
			.reply = "[]"},
	};
	struct bench b;

	(void)state;
	BEGIN(b, list);
	assert_int_equal(b.s->ops->remove(b.s, &b.call, SUPAFS_STR("a/b"), &b.fault), 0);
	assert_int_equal(b.s->ops->remove(b.s, &b.call, SUPAFS_STR("a//b"), &b.fault), 0);
	assert_int_equal(b.s->ops->remove(b.s, &b.call, SUPAFS_STR("a/../b"), &b.fault), -ENOENT);
	bench_end(&b);
}

static void test_remove_many(void **state)
{
	const struct supafs_str keys[] = {
		SUPAFS_STR("b"), SUPAFS_STR("a\"\\"), SUPAFS_STR("c"), SUPAFS_STR("b")};
	const struct exchange list[] = {{
		.method = SUPAFS_HTTP_DELETE,
		.url = BASE "/object/my%20bucket",
		.headers = {KEYS, JSON},
		.body = "{\"prefixes\":[\"b\",\"a\\\"\\\\\",\"c\",\"b\"]}",
		.status = 200,
		.reply = "[{\"name\":\"never asked\"},{\"name\":7},7,null,{\"name\":\"b\"},"
			 "{\"name\":\"a\\\"\\\\\"}]",
	}};
	bool gone[4];
	struct bench b;

	(void)state;
	BEGIN(b, list);
	assert_int_equal(b.s->ops->remove_many(b.s, &b.call, keys, 4, gone, &b.fault), 0);
	assert_true(gone[0] && gone[1] && !gone[2] && gone[3]);
	bench_end(&b);
}

static void test_move(void **state)
{
	const struct exchange list[] = {{
		.method = SUPAFS_HTTP_POST,
		.url = BASE "/object/move",
		.headers = {KEYS, JSON},
		.body = "{\"bucketId\":\"my "
			"bucket\",\"sourceKey\":\"a/x\",\"destinationKey\":\"b/y (1)\"}",
		.status = 200,
		.reply = "{\"message\":\"Successfully moved\"}",
	}};
	struct bench b;

	(void)state;
	BEGIN(b, list);
	assert_int_equal(
		b.s->ops->move(b.s, &b.call, SUPAFS_STR("a/x"), SUPAFS_STR("b/y (1)"), &b.fault),
		0);
	bench_end(&b);
}

static void test_copy(void **state)
{
	const struct supafs_put_args attrs = {
		.mime = SUPAFS_STR("text/html"),
		.meta = {SUPAFS_META_MODE, 0, 0600, 0, 0},
		.nonce = SUPAFS_STR("n"),
	};
	const struct supafs_copy_args plain = {
		.from = SUPAFS_STR("a"), .to = SUPAFS_STR("b"), .to_bucket = SUPAFS_STR("other")};
	const struct supafs_copy_args self = {
		.from = SUPAFS_STR("a"), .to = SUPAFS_STR("a"), .replace = true, .attrs = &attrs};
	supafs_cleanup(supafs_buf_fini) struct supafs_buf meta;
	const struct exchange list[] = {
		{.method = SUPAFS_HTTP_POST,
			.url = BASE "/object/copy",
			.headers = {KEYS, JSON},
			.body = "{\"bucketId\":\"my "
				"bucket\",\"sourceKey\":\"a\",\"destinationKey\":\"b\","
				"\"destinationBucket\":\"other\"}",
			.status = 200,
			.reply =
				"{\"Key\":\"other/b\",\"Id\":\"00010203-0405-0607-0809-0a0b0c0d0e0f\"}"},
		{.method = SUPAFS_HTTP_POST,
			.url = BASE "/object/copy",
			.headers = {KEYS, JSON, "x-upsert: true",
				b64(&meta, "x-metadata: ", "{\"mode\":\"33152\",\"nonce\":\"n\"}")},
			.body = "{\"bucketId\":\"my "
				"bucket\",\"sourceKey\":\"a\",\"destinationKey\":\"a\","
				"\"copyMetadata\":false,\"metadata\":{\"mimetype\":\"text/"
				"html\",\"cacheControl\":\"no-cache, x-mode=0600\"}}",
			.status = 200,
			.reply =
				"{\"Key\":\"my bucket/a\",\"id\":\"00010203-0405-0607-0809-0a0b0c0d0e0f\","
				"\"updated_at\":\"2026-11-24T00:20:49.360Z\",\"metadata\":{\"eTag\":"
				"\"\\\"e\\\"\",\"size\":7,\"cacheControl\":\"no-cache, x-mode=0600\","
				"\"lastModified\":\"2026-11-24T00:20:48Z\"}}"},
	};
	struct supafs_entry e;
	struct bench b;

	(void)state;
	BEGIN(b, list);
	assert_int_equal(b.s->ops->copy(b.s, &b.call, &plain, &e, &b.fault), 0);
	assert_string_equal(e.version.etag, "");
	assert_int_equal(e.version.id[1], 1);
	assert_int_equal(b.s->ops->copy(b.s, &b.call, &self, &e, &b.fault), 0);
	assert_string_equal(e.version.etag, "\"e\"");
	assert_int_equal(e.version.size, 7);
	assert_int_equal(e.version.updated_ns, 1795479649360000000);
	assert_int_equal(e.modified_ns, 1795479648000000000);
	assert_int_equal(e.meta.mode, 0600);
	bench_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_key_styles),
		cmocka_unit_test(test_base_urls),
		cmocka_unit_test(test_bad_configs),
		cmocka_unit_test(test_probe),
		cmocka_unit_test(test_probe_no_version),
		cmocka_unit_test(test_probe_failures),
		cmocka_unit_test(test_probe_old_server),
		cmocka_unit_test(test_probe_public_key),
		cmocka_unit_test(test_info),
		cmocka_unit_test(test_get),
		cmocka_unit_test(test_get_query),
		cmocka_unit_test(test_put),
		cmocka_unit_test(test_put_plain),
		cmocka_unit_test(test_put_refused_here),
		cmocka_unit_test(test_put_ambiguity),
		cmocka_unit_test(test_remove),
		cmocka_unit_test(test_remove_many),
		cmocka_unit_test(test_move),
		cmocka_unit_test(test_copy),
	};

	return cmocka_run_group_tests_name("store_supabase", tests, NULL, NULL);
}
