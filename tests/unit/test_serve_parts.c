/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of supafs-serve that stand alone: names, patterns, times, tokens, options, policies. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "supafs/util/buf.h"
#include "supafs/util/cleanup.h"

#include "jwt.h"
#include "keys.h"
#include "options.h"
#include "policy.h"
#include "unit.h"

static struct supafs_str str(const char *text)
{
	return supafs_str_of(text);
}

static void key_class(void **state)
{
	static const char good[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				   "_/!.*'() &$=@;:+,?-";
	unsigned n = 0;

	(void)state;
	for (unsigned c = 0; c < 256; c++) {
		char byte = (char)c;
		struct supafs_str one = {&byte, 1};
		bool want = c != 0 && c < 128 && strchr(good, (int)c) != NULL;

		assert_int_equal(serve_key_valid(one), want);
		n += want;
	}
	assert_int_equal(n, 62 + 19);
	assert_false(serve_key_valid(str("")));
	assert_false(serve_key_valid((struct supafs_str){"a\0b", 3}));
}

static void key_segments(void **state)
{
	static const struct {
		const char *key;
		bool dots;
	} rows[] = {
		{".", true},
		{"..", true},
		{"a/./b", true},
		{"a/..", true},
		{"../a", true},
		{"a", false},
		{"...", false},
		{".a", false},
		{"a./b", false},
		{"/", false},
		{"", false},
		{"a//b", false},
	};
	char longest[300];

	(void)state;
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(rows); i++)
		assert_int_equal(serve_key_has_dots(str(rows[i].key)), rows[i].dots);
	memset(longest, 'a', sizeof(longest));
	assert_false(serve_key_too_long((struct supafs_str){longest, 255}));
	assert_true(serve_key_too_long((struct supafs_str){longest, 256}));
	longest[200] = '/';
	assert_false(serve_key_too_long((struct supafs_str){longest, 300}));
}

static void bucket_names(void **state)
{
	char longest[102];

	(void)state;
	memset(longest, 'b', sizeof(longest));
	assert_true(serve_bucket_name_valid((struct supafs_str){longest, 100}));
	assert_false(serve_bucket_name_valid((struct supafs_str){longest, 101}));
	assert_true(serve_bucket_name_valid(str("a b")));
	assert_true(serve_bucket_name_valid(str("..")));
	assert_false(serve_bucket_name_valid(str("")));
	assert_false(serve_bucket_name_valid(str(" a")));
	assert_false(serve_bucket_name_valid(str("a ")));
	assert_false(serve_bucket_name_valid(str("a/b")));
	assert_false(serve_bucket_name_valid(str("x--table-s3")));
}

static void globs(void **state)
{
	static const struct {
		const char *pattern, *text;
		bool match;
	} rows[] = {
		{"*", "", true},
		{"*", "a/b", true},
		{"a*", "a", true},
		{"a*", "b", false},
		{"*a", "bca", true},
		{"a*b*c", "aXbYc", true},
		{"a*b*c", "aXcYb", false},
		{"a?c", "abc", true},
		{"a?c", "ac", false},
		{"", "", true},
		{"", "a", false},
		{"**", "x", true},
		{"a**", "a", true},
		{"*ab", "aab", true},
		{"*aab", "aaaab", true},
	};

	(void)state;
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(rows); i++)
		assert_int_equal(
			serve_glob(str(rows[i].pattern), str(rows[i].text)), rows[i].match);
}

static void times(void **state)
{
	char text[32];

	(void)state;
	serve_format_iso(INT64_C(1795479648794123), text);
	assert_string_equal(text, "2026-11-24T00:20:48.794Z");
	serve_format_iso(0, text);
	assert_string_equal(text, "1970-01-01T00:00:00.000Z");
	serve_format_http(INT64_C(784111777000000), text);
	assert_string_equal(text, "Sun, 06 Nov 1994 08:49:37 GMT");
}

static enum serve_jwt_result verify(const struct serve_jwt *j, struct supafs_str token, int64_t now)
{
	struct serve_claims claims;
	enum serve_jwt_result r = serve_jwt_verify(j, token, now, &claims);

	if (r == SERVE_JWT_OK)
		serve_claims_fini(&claims);
	return r;
}

static void tokens(void **state)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf token;
	struct serve_jwt j, other;
	struct serve_claims claims;

	(void)state;
	assert_int_equal(serve_jwt_init(&j, str("")), -EINVAL);
	assert_int_equal(serve_jwt_init(&j, str("secret")), 0);
	assert_int_equal(serve_jwt_init(&other, str("other")), 0);
	supafs_buf_init(&token, 4096);
	assert_int_equal(serve_jwt_sign(&j,
				 str("{\"role\":\"anon\",\"sub\":\"u\",\"exp\":100,"
				     "\"url\":\"b/k\",\"upsert\":true}"),
				 &token),
		0);
	assert_int_equal(serve_jwt_verify(&j, supafs_buf_str(&token), 99, &claims), SERVE_JWT_OK);
	assert_string_equal(claims.role, "anon");
	assert_string_equal(claims.sub, "u");
	assert_string_equal(claims.url, "b/k");
	assert_int_equal(claims.exp, 100);
	assert_true(claims.upsert);
	serve_claims_fini(&claims);
	assert_int_equal(verify(&j, supafs_buf_str(&token), 100), SERVE_JWT_EXPIRED);
	assert_int_equal(verify(&other, supafs_buf_str(&token), 99), SERVE_JWT_BAD_SIGNATURE);
	/* Any changed byte is noticed. */
	for (size_t i = 0; i < token.n - 1; i++) {
		char was = token.p[i];

		token.p[i] = was == 'A' ? 'B' : 'A';
		assert_int_not_equal(verify(&j, supafs_buf_str(&token), 99), SERVE_JWT_OK);
		token.p[i] = was;
	}
	assert_int_equal(verify(&j, str("a.b"), 1), SERVE_JWT_NOT_COMPACT);
	assert_int_equal(verify(&j, str(""), 1), SERVE_JWT_NOT_COMPACT);
	assert_int_equal(verify(&j, str("a.b.c.d"), 1), SERVE_JWT_NOT_COMPACT);
	assert_int_equal(verify(&j, str("a.b.c"), 1), SERVE_JWT_BAD_HEADER);
}

/* The example of RFC 7515, appendix A.1, with its key. */
static void published_token(void **state)
{
	static const unsigned char key[] = {3, 35, 53, 75, 43, 15, 165, 188, 131, 126, 6, 101, 119,
		123, 166, 143, 90, 179, 40, 230, 240, 84, 201, 40, 169, 15, 132, 178, 210, 80, 46,
		191, 211, 251, 90, 146, 210, 6, 71, 239, 150, 138, 180, 195, 119, 98, 61, 34, 61,
		46, 33, 114, 5, 46, 79, 8, 192, 205, 154, 245, 103, 208, 128, 163};
	const struct supafs_str token = str(
		"eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9."
		"eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb2"
		"90Ijp0cnVlfQ."
		"dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
	struct serve_jwt j;

	(void)state;
	assert_int_equal(
		serve_jwt_init(&j, (struct supafs_str){(const char *)key, sizeof(key)}), 0);
	assert_int_equal(verify(&j, token, 1300819379), SERVE_JWT_OK);
	assert_int_equal(verify(&j, token, 1300819380), SERVE_JWT_EXPIRED);
}

static void options(void **state)
{
	char program[] = "supafs-serve", port[] = "--port", zero[] = "0",
	     limit[] = "--size-limit=1M", bucket[] = "--bucket", a[] = "a", b[] = "b:public",
	     dir[] = "dir", dashes[] = "--", odd[] = "--odd", quiet[] = "--quiet";
	char *good[] = {program, port, zero, limit, bucket, a, bucket, b, quiet, dashes, odd, NULL};
	char *two[] = {program, dir, dir, NULL};
	struct serve_config c;
	char why[200];

	(void)state;
	assert_int_equal(serve_options_parse(11, good, &c, why, sizeof(why)), 0);
	assert_int_equal(c.port, 0);
	assert_int_equal(c.size_limit, 1 << 20);
	assert_int_equal(c.buckets.n, 2);
	assert_string_equal(c.buckets.list[1], "b:public");
	assert_string_equal(c.dir, "--odd");
	assert_string_equal(c.base_path, "/storage/v1");
	assert_true(c.quiet);
	assert_false(c.durable);
	assert_int_equal(serve_options_parse(3, two, &c, why, sizeof(why)), -EINVAL);
	assert_non_null(strstr(why, "unexpected argument"));
	assert_string_equal(c.dir, "--odd"); /* untouched by a failure */
}

struct setter {
	struct serve_policies *policies;
	int result;
	_Atomic bool done;
};

static void *set_policies(void *ctx)
{
	struct setter *s = ctx;

	for (unsigned i = 0; i < 2000 && s->result == 0; i++)
		s->result = serve_policies_set(s->policies, str("anon"), str("b"), str("k*"),
			i % 2 ? SERVE_OP_ALL : SERVE_OP_SELECT);
	s->done = true;
	return NULL;
}

/* A delete asks for its rights while it has the writer; a policy that changes meanwhile must not
 * have the table and wait for the writer. */
static void policy_changes_during_writes(void **state)
{
	const struct serve_actor anon = {.role = "anon"};
	char dir[] = "/tmp/supafs-serve-parts-XXXXXX";
	struct setter s = {0};
	struct serve_db *db = NULL;
	const char *why = "";
	pthread_t thread;
	char path[64];

	(void)state;
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/meta.db", dir);
	assert_int_equal(serve_db_open(path, false, &db, &why), 0);
	assert_int_equal(serve_policies_new(db, &s.policies), 0);
	assert_int_equal(pthread_create(&thread, NULL, set_policies, &s), 0);
	while (!s.done) {
		struct serve_conn *c = serve_db_writer(db);

		(void)serve_policies_allow(s.policies, &anon, SERVE_OP_DELETE, str("b"), str("k"));
		serve_conn_put(c);
		(void)sched_yield();
	}
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(s.result, 0);
	assert_true(serve_policies_allow(s.policies, &anon, SERVE_OP_ALL, str("b"), str("k1")));
	s.policies = serve_policies_free(s.policies);
	/* what is kept is what was set last */
	assert_int_equal(serve_policies_new(db, &s.policies), 0);
	assert_true(serve_policies_allow(s.policies, &anon, SERVE_OP_ALL, str("b"), str("k1")));
	(void)serve_policies_free(s.policies);
	(void)serve_db_close(db);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(key_class),
		cmocka_unit_test(key_segments),
		cmocka_unit_test(bucket_names),
		cmocka_unit_test(globs),
		cmocka_unit_test(times),
		cmocka_unit_test(tokens),
		cmocka_unit_test(published_token),
		cmocka_unit_test(options),
		cmocka_unit_test(policy_changes_during_writes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
