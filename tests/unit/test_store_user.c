/* SPDX-License-Identifier: Apache-2.0 */
/* User metadata between pairs and JSON, and URLs for browsers, over a scripted transport. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "supabase_bench.h"
#include "unit.h"

static void set(struct supafs_buf *b, const char *name, struct supafs_str value)
{
	assert_int_equal(supafs_pairs_set(b, supafs_str_of(name), value), 0);
}

static void assert_pair(struct supafs_str list, const char *name, struct supafs_str want)
{
	struct supafs_str got;

	assert_true(supafs_pairs_get(list, supafs_str_of(name), &got));
	assert_true(supafs_str_eq(got, want));
}

/* --- Writing ------------------------------------------------------------------------------------
 */

static void test_put(void **state)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf user = {0};
	supafs_cleanup(supafs_buf_fini) struct supafs_buf meta;
	const struct exchange list[] = {{
		.method = SUPAFS_HTTP_PUT,
		.url = BASE "/object/my%20bucket/k",
		.headers = {KEYS, "Content-Type: application/octet-stream",
			"Cache-Control: no-cache, x-mode=0640",
			bench_b64(&meta, "x-metadata: ",
				"{\"mode\":\"33184\",\"nonce\":\"n\",\"plain\":\"caf\xc3\xa9 "
				"\\\"q\\\"\",\"empty\":\"\",\"bin\":\"0sAAH/\",\"looks\":"
				"\"0sMHN4\"}")},
		.status = 200,
		.reply = "{\"Key\":\"my bucket/k\"}",
	}};
	struct supafs_put_args a = {
		.key = SUPAFS_STR("k"),
		.meta = {SUPAFS_META_MODE, 0, 0640, 0, 0},
		.nonce = SUPAFS_STR("n"),
	};
	unsigned char id[16];
	struct bench b;

	(void)state;
	supafs_buf_init(&user, SUPAFS_PAIRS_MAX);
	set(&user, "plain", SUPAFS_STR("caf\xc3\xa9 \"q\""));
	set(&user, "empty", SUPAFS_STR(""));
	set(&user, "bin", SUPAFS_STR("\x00\x01\xff"));
	set(&user, "looks", SUPAFS_STR("0sx"));
	set(&user, "mode", SUPAFS_STR("is ours")); /* passed over */
	a.user = supafs_buf_str(&user);
	assert_int_equal(supafs_user_check(a.user), 0);
	BEGIN(b, list);
	assert_int_equal(b.s->ops->put(b.s, &b.call, &a, id, &b.fault), 0);
	bench_end(&b);
}

static void test_only_user(void **state)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf user = {0};
	supafs_cleanup(supafs_buf_fini) struct supafs_buf meta;
	struct supafs_put_args attrs = {.mime = SUPAFS_STR("a/b")};
	const struct supafs_copy_args copy = {
		.from = SUPAFS_STR("a"), .to = SUPAFS_STR("a"), .replace = true, .attrs = &attrs};
	const struct exchange list[] = {{
		.method = SUPAFS_HTTP_POST,
		.url = BASE "/object/copy",
		.headers = {KEYS, JSON, "x-upsert: true",
			bench_b64(&meta, "x-metadata: ", "{\"a\":\"b\"}")},
		.body = "{\"bucketId\":\"my bucket\",\"sourceKey\":\"a\",\"destinationKey\":\"a\","
			"\"copyMetadata\":false,\"metadata\":{\"mimetype\":\"a/b\","
			"\"cacheControl\":\"no-cache\"}}",
		.status = 200,
		.reply = "{\"Key\":\"my bucket/a\"}",
	}};
	struct bench b;

	(void)state;
	supafs_buf_init(&user, SUPAFS_PAIRS_MAX);
	set(&user, "a", SUPAFS_STR("b"));
	attrs.user = supafs_buf_str(&user);
	BEGIN(b, list);
	assert_int_equal(b.s->ops->copy(b.s, &b.call, &copy, NULL, &b.fault), 0);
	bench_end(&b);
}

static void assert_refused(struct supafs_str user, int error)
{
	const struct supafs_put_args a = {.key = SUPAFS_STR("k"), .user = user};
	unsigned char id[16];
	struct bench b;

	assert_int_equal(supafs_user_check(user), error);
	bench_begin(&b, NULL, 0);
	assert_int_equal(b.s->ops->put(b.s, &b.call, &a, id, &b.fault), error);
	assert_string_equal(b.fault.code, "Local");
	bench_end(&b);
}

static void test_refused(void **state)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf user = {0};
	char big[4000];

	(void)state;
	memset(big, 'x', sizeof(big));
	supafs_buf_init(&user, SUPAFS_PAIRS_MAX);
	set(&user, "big", (struct supafs_str){big, 3800});
	assert_int_equal(supafs_user_check(supafs_buf_str(&user)), 0);
	set(&user, "big", (struct supafs_str){big, 4000});
	assert_int_equal(supafs_user_check(supafs_buf_str(&user)), -ENOSPC);
	set(&user, "big", (struct supafs_str){big, 3900});
	assert_int_equal(supafs_user_check(supafs_buf_str(&user)), -ENOSPC);
	/* what the check leaves is room for ours: it has the last word */
	set(&user, "big", (struct supafs_str){big, 4000});
	set(&user, "more", (struct supafs_str){big, 200});
	assert_refused(supafs_buf_str(&user), -ENOSPC);
	/* binary takes a third more */
	memset(big, 0xff, sizeof(big));
	(void)supafs_pairs_remove(&user, SUPAFS_STR("more"));
	set(&user, "big", (struct supafs_str){big, 3000});
	assert_int_equal(supafs_user_check(supafs_buf_str(&user)), -ENOSPC);
	set(&user, "big", (struct supafs_str){big, 2800});
	assert_int_equal(supafs_user_check(supafs_buf_str(&user)), 0);

	set(&user, "caf\xe9", SUPAFS_STR("x"));
	assert_refused(supafs_buf_str(&user), -EINVAL);
	assert_refused(SUPAFS_STR("garbage"), -EINVAL);
	assert_int_equal(supafs_user_check(SUPAFS_STR("")), 0);
}

static void test_reserved(void **state)
{
	(void)state;
	assert_true(supafs_user_reserved(SUPAFS_STR("mtime")));
	assert_true(supafs_user_reserved(SUPAFS_STR("nonce")));
	assert_false(supafs_user_reserved(SUPAFS_STR("Mode")));
	assert_false(supafs_user_reserved(SUPAFS_STR("")));
}

/* --- Reading ------------------------------------------------------------------------------------
 */

static void info_of(const char *metadata, struct supafs_info *ret)
{
	char reply[20000];
	const struct exchange list[] = {{
		.method = SUPAFS_HTTP_GET,
		.url = BASE "/object/info/authenticated/my%20bucket/k?cacheNonce=*",
		.headers = {KEYS},
		.status = 200,
		.reply = reply,
	}};
	struct bench b;

	(void)snprintf(
		reply, sizeof(reply), "{\"name\":\"k\",\"size\":1,\"metadata\":%s}", metadata);
	BEGIN(b, list);
	assert_int_equal(b.s->ops->info(b.s, &b.call, SUPAFS_STR("k"), ret, &b.fault), 0);
	bench_end(&b);
}

static void test_info(void **state)
{
	struct supafs_info i;
	struct supafs_str user;
	struct supafs_str gone;

	(void)state;
	info_of("{\"mtime\":\"5\",\"mode\":\"33184\",\"nonce\":\"n\",\"uid\":\"0\",\"gid\":\"0\","
		"\"plain\":\"caf\\u00e9\",\"bin\":\"0sAAH/\",\"looks\":\"0sMHN4\",\"not64\":\"0s!\","
		"\"int\":7,\"big\":12345678901,\"yes\":true,\"list\":[1,\"a\"],\"null\":null,"
		"\"empty\":\"\",\"\":\"no name\"}",
		&i);
	user = (struct supafs_str){i.user, i.user_n};
	assert_true(supafs_pairs_valid(user));
	assert_pair(user, "plain", SUPAFS_STR("caf\xc3\xa9"));
	assert_pair(user, "bin", SUPAFS_STR("\x00\x01\xff"));
	assert_pair(user, "looks", SUPAFS_STR("0sx"));
	assert_pair(user, "not64", SUPAFS_STR("0s!"));
	assert_pair(user, "int", SUPAFS_STR("7"));
	assert_pair(user, "big", SUPAFS_STR("12345678901"));
	assert_pair(user, "yes", SUPAFS_STR("true"));
	assert_pair(user, "list", SUPAFS_STR("[1,\"a\"]"));
	assert_pair(user, "empty", SUPAFS_STR(""));
	assert_false(supafs_pairs_get(user, SUPAFS_STR("null"), &gone));
	assert_false(supafs_pairs_get(user, SUPAFS_STR("mtime"), &gone));
	assert_false(supafs_pairs_get(user, SUPAFS_STR("nonce"), &gone));
	assert_false(i.user_cut);
	assert_string_equal(i.nonce, "n");
}

static void test_info_none(void **state)
{
	static const char *const forms[] = {
		"null", "{}", "[1]", "\"text\"", "7", "{\"mode\":\"1\"}"};
	struct supafs_info i;

	(void)state;
	for (size_t k = 0; k < SUPAFS_ARRAY_LEN(forms); k++) {
		info_of(forms[k], &i);
		assert_int_equal(i.user_n, 0);
		assert_false(i.user_cut);
	}
}

static void test_info_too_much(void **state)
{
	char text[12000];
	struct supafs_info i;
	int n = snprintf(text, sizeof(text), "{\"first\":\"1\",\"big\":\"");

	(void)state;
	memset(text + n, 'x', 9000);
	(void)snprintf(text + n + 9000, sizeof(text) - (size_t)n - 9000, "\"}");
	info_of(text, &i);
	assert_true(i.user_cut);
	assert_true(supafs_pairs_valid((struct supafs_str){i.user, i.user_n}));
	assert_pair((struct supafs_str){i.user, i.user_n}, "first", SUPAFS_STR("1"));
}

/* --- URLs ---------------------------------------------------------------------------------------
 */

#define EMPTY_LIST "{\"hasNext\":false,\"folders\":[],\"objects\":[]}"
#define SIGN(k)                                                                                    \
	.method = SUPAFS_HTTP_POST, .url = BASE "/object/sign/my%20bucket/" k,                     \
	.headers = {KEYS, JSON}, .body = "{\"expiresIn\":3600}"

static int url_of(struct bench *b, const char *key, uint64_t valid_s, struct supafs_buf *ret)
{
	supafs_buf_init(ret, 8192);
	return b->s->ops->url(b->s, &b->call, supafs_str_of(key), valid_s, ret, &b->fault);
}

static void test_public_url(void **state)
{
	const struct exchange list[] = {
		{.method = SUPAFS_HTTP_GET,
			.url = BASE "/bucket/my%20bucket",
			.headers = {KEYS},
			.status = 200,
			.reply = "{\"name\":\"my bucket\",\"public\":true}"},
		{.method = SUPAFS_HTTP_POST,
			.url = BASE "/object/list-v2/my%20bucket",
			.headers = {KEYS, JSON},
			.body = "{\"prefix\":\"\",\"limit\":1,\"with_delimiter\":true}",
			.status = 200,
			.reply = EMPTY_LIST},
		{.method = SUPAFS_HTTP_GET,
			.url = BASE "/version",
			.headers = {KEYS},
			.status = 200,
			.reply = "1.70.6"},
	};
	supafs_cleanup(supafs_buf_fini) struct supafs_buf url = {0};
	struct supafs_bucket_info info;
	struct bench b;

	(void)state;
	BEGIN(b, list);
	/* as long as it is not known */
	assert_int_equal(url_of(&b, "a", 0, &url), -EOPNOTSUPP);
	assert_int_equal(b.s->ops->probe(b.s, &b.call, &info, &b.fault), 0);
	supafs_buf_fini(&info.mimes);
	assert_int_equal(url_of(&b, "d/a b&.txt", 0, &url), 0);
	assert_string_equal(
		supafs_buf_cstr(&url), BASE "/object/public/my%20bucket/d/a%20b%26.txt");
	supafs_buf_fini(&url);
	assert_int_equal(url_of(&b, "d//a", 0, &url), -EOPNOTSUPP);
	assert_int_equal(url_of(&b, "caf\xc3\xa9", 0, &url), -ENOENT);
	bench_end(&b);
}

static void test_signed_url(void **state)
{
	const struct exchange list[] = {
		/* what decodeURI() does not decode stands as it is, both times */
		{SIGN("d/a%20%28%29&b=$,;:@+"), .status = 200,
			.reply =
				"{\"signedURL\":\"/object/sign/my bucket/d/a ()&b=$,;:@+?token=ab.c-_d\"}"},
		{SIGN("a"), .status = 200,
			.reply = "{\"signedURL\":\"https://elsewhere/x?token=t&version=2\"}"},
		{SIGN("a"), .status = 200, .reply = "{\"signedURL\":\"/object/sign/a\"}"},
		{SIGN("a"), .status = 200, .reply = "{\"signedURL\":\"/a?token=a b\"}"},
		{SIGN("a"), .status = 200, .reply = "{\"signedURL\":null}"},
		{SIGN("a"), .status = 400,
			.reply =
				"{\"statusCode\":\"404\",\"code\":\"NoSuchKey\",\"message\":\"Object "
				"not found\"}"},
	};
	supafs_cleanup(supafs_buf_fini) struct supafs_buf url = {0};
	struct bench b;

	(void)state;
	BEGIN(b, list);
	assert_int_equal(url_of(&b, "d/a?token=", 3600, &url), -EOPNOTSUPP);
	assert_int_equal(url_of(&b, "d/a ()&b=$,;:@+", 3600, &url), 0);
	assert_string_equal(supafs_buf_cstr(&url),
		BASE "/object/sign/my%20bucket/d/a%20%28%29&b=$,;:@+?token=ab.c-_d");
	supafs_buf_fini(&url);
	/* never another host */
	assert_int_equal(url_of(&b, "a", 3600, &url), 0);
	assert_string_equal(
		supafs_buf_cstr(&url), BASE "/object/sign/my%20bucket/a?token=t&version=2");
	supafs_buf_fini(&url);
	for (int k = 0; k < 3; k++) {
		assert_int_equal(url_of(&b, "a", 3600, &url), -EIO);
		assert_string_equal(b.fault.code, "BadReply");
		assert_int_equal(url.n, 0);
	}
	assert_int_equal(url_of(&b, "a", 3600, &url), -ENOENT);
	bench_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_put),
		cmocka_unit_test(test_only_user),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_reserved),
		cmocka_unit_test(test_info),
		cmocka_unit_test(test_info_none),
		cmocka_unit_test(test_info_too_much),
		cmocka_unit_test(test_public_url),
		cmocka_unit_test(test_signed_url),
	};

	return cmocka_run_group_tests_name("store_user", tests, NULL, NULL);
}
