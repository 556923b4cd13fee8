/* SPDX-License-Identifier: Apache-2.0 */
/* Views, growing buffers, percent-encoding and URLs. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "supafs/util/buf.h"
#include "supafs/util/cleanup.h"
#include "supafs/util/secret.h"
#include "supafs/util/uri.h"

#include "unit.h"

static void compare(void **state)
{
	static const struct {
		struct supafs_str a, b;
		int sign;
	} rows[] = {
		{{"", 0}, {"", 0}, 0},
		{{NULL, 0}, {"", 0}, 0},
		{{"", 0}, {"a", 1}, -1},
		{{"a", 1}, {"ab", 2}, -1},
		{{"ab", 2}, {"b", 1}, -1},
		{{"a/", 2}, {"a-", 2}, 1},
		{{"\xff", 1}, {"a", 1}, 1}, /* bytes, not chars */
		{{"a\0a", 3}, {"a\0b", 3}, -1},
		{{"a\0", 2}, {"a", 1}, 1},
	};

	(void)state;
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(rows); i++) {
		const int r = supafs_str_cmp(rows[i].a, rows[i].b);
		const int back = supafs_str_cmp(rows[i].b, rows[i].a);

		assert_int_equal((r > 0) - (r < 0), rows[i].sign);
		assert_int_equal((back > 0) - (back < 0), -rows[i].sign);
		assert_int_equal(supafs_str_eq(rows[i].a, rows[i].b), rows[i].sign == 0);
	}
	assert_true(supafs_str_starts(SUPAFS_STR("abc"), SUPAFS_STR("")));
	assert_true(supafs_str_starts(SUPAFS_STR("abc"), SUPAFS_STR("abc")));
	assert_false(supafs_str_starts(SUPAFS_STR("ab"), SUPAFS_STR("abc")));
	assert_true(supafs_str_ends(SUPAFS_STR("abc"), SUPAFS_STR("bc")));
	assert_false(supafs_str_ends(SUPAFS_STR("c"), SUPAFS_STR("bc")));
	assert_int_equal(supafs_str_of(NULL).n, 0);
}

static void duplicate(void **state)
{
	supafs_autofree char *empty = supafs_str_dup((struct supafs_str){NULL, 0});
	supafs_autofree char *text = supafs_str_dup((struct supafs_str){"abcdef", 3});

	(void)state;
	assert_string_equal(empty, "");
	assert_string_equal(text, "abc");
}

static void buffer_grows(void **state)
{
	struct supafs_buf b;
	char *text = NULL;

	(void)state;
	supafs_buf_init(&b, 1000000);
	assert_string_equal(supafs_buf_cstr(&b), "");
	for (int i = 0; i < 100000; i++)
		assert_int_equal(supafs_buf_addc(&b, (char)('a' + i % 26)), 0);
	assert_int_equal(b.n, 100000);
	for (size_t i = 0; i < b.n; i++)
		assert_int_equal(b.p[i], 'a' + (int)(i % 26));
	assert_int_equal(b.p[b.n], '\0');
	text = supafs_buf_take(&b);
	assert_int_equal(strlen(text), 100000);
	free(text);
	assert_int_equal(b.n, 0);
	assert_int_equal(supafs_buf_adds(&b, "again"), 0);
	assert_string_equal(supafs_buf_cstr(&b), "again");
	supafs_buf_fini(&b);
	supafs_buf_fini(&b);
}

static void buffer_maximum(void **state)
{
	struct supafs_buf b;

	(void)state;
	supafs_buf_init(&b, 5);
	assert_int_equal(supafs_buf_adds(&b, "hello"), 0);
	assert_int_equal(supafs_buf_add(&b, "", 0), 0);
	assert_int_equal(supafs_buf_addc(&b, '!'), -EMSGSIZE);
	/* The failure sticks and has freed the content. */
	assert_int_equal(supafs_buf_addc(&b, '!'), -EMSGSIZE);
	assert_int_equal(supafs_buf_addf(&b, "%d", 1), -EMSGSIZE);
	assert_int_equal(supafs_buf_error(&b), -EMSGSIZE);
	assert_string_equal(supafs_buf_cstr(&b), "");
	assert_int_equal(b.n, 0);
	assert_null(supafs_buf_take(&b));
	supafs_buf_reset(&b);
	assert_int_equal(supafs_buf_error(&b), 0);
	assert_int_equal(supafs_buf_addf(&b, "%s-%d", "ab", 12), 0);
	assert_string_equal(supafs_buf_cstr(&b), "ab-12");
	assert_int_equal(supafs_buf_addf(&b, "%s", "x"), -EMSGSIZE);
	supafs_buf_fini(&b);
	assert_int_equal(supafs_buf_add(&b, "a\0b", 3), 0);
	assert_int_equal(supafs_buf_str(&b).n, 3);
	supafs_buf_reset(&b);
	assert_int_equal(b.n, 0);
	assert_string_equal(supafs_buf_cstr(&b), "");
	supafs_buf_fini(&b);
}

static void buffer_take_empty(void **state)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf b;
	supafs_autofree char *text = NULL;

	(void)state;
	supafs_buf_init(&b, 1);
	text = supafs_buf_take(&b);
	assert_string_equal(text, "");
}

static void buffer_every_maximum(void **state)
{
	(void)state;
	for (size_t max = 1; max < 300; max++) {
		struct supafs_buf b;
		size_t n = 0;

		supafs_buf_init(&b, max);
		while (supafs_buf_adds(&b, "abc") == 0)
			n += 3;
		assert_int_equal(n, max / 3 * 3);
		supafs_buf_fini(&b);
	}
}

static void steal(void **state)
{
	char *p = strdup("x");
	supafs_autofree char *q = supafs_steal(&p);
	int fd = 7;

	(void)state;
	assert_null(p);
	assert_string_equal(q, "x");
	assert_int_equal(supafs_steal_fd(&fd), 7);
	assert_int_equal(fd, -1);
}

static void percent(void **state)
{
	static const char hex[] = "0123456789ABCDEF";

	(void)state;
	for (int c = 0; c < 256; c++) {
		const char byte = (char)(unsigned char)c;
		const bool plain =
			c > 0 && strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvw"
					"xyz0123456789-._~",
					 c);
		const char escaped[] = {'%', hex[c >> 4], hex[c & 15], '\0'};
		const char itself[] = {byte, '\0'};
		struct supafs_buf b;

		supafs_buf_init(&b, 16);
		assert_int_equal(supafs_uri_add_segment(&b, (struct supafs_str){&byte, 1}), 0);
		assert_string_equal(supafs_buf_cstr(&b), plain ? itself : escaped);
		supafs_buf_reset(&b);
		assert_int_equal(supafs_uri_add_path(&b, (struct supafs_str){&byte, 1}), 0);
		assert_string_equal(supafs_buf_cstr(&b), plain || c == '/' ? itself : escaped);
		supafs_buf_fini(&b);
	}
}

static void good_urls(void **state)
{
	static const struct {
		const char *text;
		bool https;
		const char *host;
		unsigned port;
		const char *path;
		bool loopback;
	} rows[] = {
		{"https://abc.supabase.co", true, "abc.supabase.co", 0, "", false},
		{"HTTPS://abc.supabase.co/", true, "abc.supabase.co", 0, "", false},
		{"http://localhost:54321/storage/v1//", false, "localhost", 54321, "/storage/v1",
			true},
		{"http://LOCALHOST", false, "LOCALHOST", 0, "", true},
		{"http://127.0.0.1:1", false, "127.0.0.1", 1, "", true},
		{"http://127.255.0.9", false, "127.255.0.9", 0, "", true},
		{"http://127.0.0.1.evil.example", false, "127.0.0.1.evil.example", 0, "", false},
		{"http://127.evil.example", false, "127.evil.example", 0, "", false},
		{"http://127.1", false, "127.1", 0, "", false},
		{"http://128.0.0.1", false, "128.0.0.1", 0, "", false},
		{"http://[::1]:65535/a", false, "::1", 65535, "/a", true},
		{"http://[fe80::1]", false, "fe80::1", 0, "", false},
	};

	(void)state;
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(rows); i++) {
		struct supafs_url u;

		assert_int_equal(supafs_url_parse(supafs_str_of(rows[i].text), &u), 0);
		assert_int_equal(u.https, rows[i].https);
		assert_true(supafs_str_eq(u.host, supafs_str_of(rows[i].host)));
		assert_int_equal(u.port, rows[i].port);
		assert_true(supafs_str_eq(u.path, supafs_str_of(rows[i].path)));
		assert_int_equal(u.loopback, rows[i].loopback);
	}
}

static void bad_urls(void **state)
{
	static const char *const rows[] = {"", "http", "http:/", "http://", "https://:80",
		"ftp://a", "file:///etc/passwd", "//a", "a.b.c", "http://user@a",
		"http://user:pw@a", "http://a?b", "http://a/#b", "http://a:0", "http://a:65536",
		"http://a:", "http://a:8o", "http://a:-1", "http://a b", "http://a\tb",
		"http://a\r\nHost: b", "http://a\x7f", "http://[::1", "http://[]", "http://[::1]x",
		"http://a[b]", "http://a]", "http://\xc3\xa9", "http://a\\b", " http://a",
		"http://a ", "http:///path"};

	(void)state;
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(rows); i++) {
		struct supafs_url u = {.port = 42};

		assert_int_equal(supafs_url_parse(supafs_str_of(rows[i]), &u), -EINVAL);
		assert_int_equal(u.port, 42);
	}
	assert_int_equal(
		supafs_url_parse(SUPAFS_STR("http://a\0b"), &(struct supafs_url){0}), -EINVAL);
}

/* What a secret leaves behind in memory that it had: nothing. */
static void secrets(void **state)
{
	char *s = supafs_secret_join(SUPAFS_STR("key: "), SUPAFS_STR("abc"));

	(void)state;
	assert_non_null(s);
	assert_string_equal(s, "key: abc");
	supafs_secret_lock(s);
	supafs_secret_lock(NULL);
	assert_null(supafs_secret_free(s));
	assert_null(supafs_secret_free(NULL));
	s = supafs_secret_dup((struct supafs_str){NULL, 0});
	assert_string_equal(s, "");
	s = supafs_secret_free(s);

	char big[9000];

	memset(big, 'x', sizeof(big));
	s = supafs_secret_dup((struct supafs_str){big, sizeof(big)});
	assert_int_equal(strlen(s), sizeof(big));
	(void)supafs_secret_free(s);
}

static void secret_buffer(void **state)
{
	struct supafs_buf b;

	(void)state;
	supafs_buf_init_secret(&b, 200);
	for (int i = 0; i < 200; i++)
		assert_int_equal(supafs_buf_addc(&b, (char)('a' + i % 26)), 0);
	assert_int_equal(b.n, 200);
	assert_int_equal(b.p[199], 'a' + 199 % 26);
	assert_int_equal(supafs_buf_addc(&b, 'x'), -EMSGSIZE);
	supafs_buf_fini(&b);
	assert_true(b.secret);
	assert_int_equal(supafs_buf_adds(&b, "again"), 0);
	supafs_buf_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(compare),
		cmocka_unit_test(duplicate),
		cmocka_unit_test(buffer_grows),
		cmocka_unit_test(buffer_maximum),
		cmocka_unit_test(buffer_take_empty),
		cmocka_unit_test(buffer_every_maximum),
		cmocka_unit_test(steal),
		cmocka_unit_test(percent),
		cmocka_unit_test(good_urls),
		cmocka_unit_test(bad_urls),
		cmocka_unit_test(secrets),
		cmocka_unit_test(secret_buffer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
