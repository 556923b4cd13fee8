/* SPDX-License-Identifier: Apache-2.0 */
/* The Supabase backend over a scripted transport: keys, URLs, probe, info, remove, copy, move. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "supafs/store/store.h"
#include "supafs/util/cleanup.h"
#include "supafs/util/parse.h"

#include "script_http.h"
#include "supabase_bench.h"
#include "unit.h"

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
	bench_config(&cfg);
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
	bench_config(&cfg);
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
		bench_config(&cfg);
		cfg.url = urls[i];
		assert_int_equal(supafs_store_new_supabase(&cfg, &http.base, &s), -EINVAL);
	}
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(buckets); i++) {
		bench_config(&cfg);
		cfg.bucket = buckets[i];
		assert_int_equal(supafs_store_new_supabase(&cfg, &http.base, &s), -EINVAL);
	}
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(keys); i++) {
		bench_config(&cfg);
		cfg.key = keys[i];
		assert_int_equal(supafs_store_new_supabase(&cfg, &http.base, &s), -EINVAL);
		bench_config(&cfg);
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
		bench_config(&cfg);
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

/* What S3 says of more than 5 GB, as the server passes it on (API §8, §12.2). */
static void test_over_5_gb(void **state)
{
	static const char *const replies[] = {
		"{\"statusCode\":\"400\",\"code\":\"S3Error\",\"message\":\"InvalidRequest\","
		"\"error\":\"The specified copy source is larger than the maximum allowable size\"}",
		"{\"statusCode\":\"400\",\"code\":\"S3Error\",\"message\":\"EntityTooLarge\"}",
	};
	const struct supafs_copy_args args = {.from = SUPAFS_STR("a"), .to = SUPAFS_STR("b")};

	(void)state;
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(replies); i++) {
		const struct exchange list[] = {
			{.method = SUPAFS_HTTP_POST,
				.url = BASE "/object/copy",
				.headers = {KEYS, JSON},
				.body = "{\"bucketId\":\"my bucket\",\"sourceKey\":\"a\","
					"\"destinationKey\":\"b\"}",
				.status = 400,
				.reply = replies[i]},
			{.method = SUPAFS_HTTP_POST,
				.url = BASE "/object/move",
				.headers = {KEYS, JSON},
				.body = "{\"bucketId\":\"my bucket\",\"sourceKey\":\"a\","
					"\"destinationKey\":\"b\"}",
				.status = 400,
				.reply = replies[i]},
		};
		struct bench b;

		BEGIN(b, list);
		assert_int_equal(b.s->ops->copy(b.s, &b.call, &args, NULL, &b.fault), -EFBIG);
		assert_non_null(strstr(b.fault.text, "5 GB"));
		assert_int_equal(
			b.s->ops->move(b.s, &b.call, args.from, args.to, &b.fault), -EFBIG);
		assert_non_null(strstr(b.fault.text, "5 GB"));
		assert_int_equal(b.fault.class, SUPAFS_FAULT_TOO_LARGE);
		bench_end(&b);
	}
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
				bench_b64(&meta,
					"x-metadata: ", "{\"mode\":\"33152\",\"nonce\":\"n\"}")},
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

/* --- Broken replies: the sanitizers watch
 * --------------------------------------------------------- */

static void try_info(const char *reply)
{
	const struct exchange list[] = {{ASK_INFO("k"), .status = 200, .reply = reply}};
	struct supafs_info i;
	struct bench b;
	int r;

	BEGIN(b, list);
	r = b.s->ops->info(b.s, &b.call, SUPAFS_STR("k"), &i, &b.fault);
	assert_true(r == 0 || r == -EIO || r == -ENOENT);
	bench_end(&b);
}

static void try_remove_many(const char *reply)
{
	const struct supafs_str keys[] = {SUPAFS_STR("k"), SUPAFS_STR("l")};
	const struct exchange list[] = {{
		.method = SUPAFS_HTTP_DELETE,
		.url = BASE "/object/my%20bucket",
		.headers = {KEYS, JSON},
		.body = "{\"prefixes\":[\"k\",\"l\"]}",
		.status = 200,
		.reply = reply,
	}};
	bool gone[2];
	struct bench b;
	int r;

	BEGIN(b, list);
	r = b.s->ops->remove_many(b.s, &b.call, keys, 2, gone, &b.fault);
	assert_true(r == 0 || r == -EIO);
	bench_end(&b);
}

static void break_reply(const char *whole, void (*try)(const char *))
{
	static const char with[] = "\"{}[],:\\0 9-\x01\xff/";
	size_t n = strlen(whole);

	for (size_t i = 0; i < n; i++) {
		supafs_autofree char *text = supafs_str_dup((struct supafs_str){whole, n});
		assert_non_null(text);
		for (size_t k = 0; k < sizeof(with) - 1; k++) {
			text[i] = with[k];
			try(text);
		}
		text[i] = '\0';
		try(text);
	}
}

static void test_broken_replies(void **state)
{
	(void)state;
	break_reply("{\"id\":\"00010203-0405-0607-0809-0a0b0c0d0e0f\",\"name\":\"k\",\"version\":"
		    "\"v\",\"size\":\"12\",\"content_type\":\"a/b\",\"cache_control\":\"x-mode=1\","
		    "\"etag\":\"\\\"e\\\"\",\"metadata\":{\"mtime\":1.5,\"mode\":\"0644\"},"
		    "\"last_modified\":\"2026-11-24T00:20:49.360Z\"}",
		try_info);
	break_reply("[{\"name\":\"k\",\"id\":null},{\"name\":\"l\"}]", try_remove_many);
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
		cmocka_unit_test(test_remove),
		cmocka_unit_test(test_remove_many),
		cmocka_unit_test(test_move),
		cmocka_unit_test(test_over_5_gb),
		cmocka_unit_test(test_copy),
		cmocka_unit_test(test_broken_replies),
	};

	return cmocka_run_group_tests_name("store_supabase", tests, NULL, NULL);
}
