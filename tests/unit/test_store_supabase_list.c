/* SPDX-License-Identifier: Apache-2.0 */
/* Listings of the Supabase backend over a scripted transport: cursors, filters, hostile replies. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "supafs/store/store.h"
#include "supafs/util/cleanup.h"
#include "supafs/util/parse.h"

#include "script_http.h"
#include "unit.h"

#define JWT "eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoic2VydmljZV9yb2xlIn0.c2ln"
#define ASK                                                                                        \
	.method = SUPAFS_HTTP_POST, .url = "http://127.0.0.1/object/list-v2/b",                    \
	.headers = {                                                                               \
		"apikey: " JWT, "Authorization: Bearer " JWT, "Content-Type: application/json"}

struct seen {
	char text[2000]; /* "key;key/;" */
	size_t n;
};

struct bench {
	struct script_http http;
	struct supafs_store *s;
	struct supafs_call call;
	struct supafs_fault fault;
	struct supafs_cursor cursor;
	struct seen seen;
	bool more;
};

static int see(void *ctx, const struct supafs_entry *e)
{
	struct seen *s = ctx;
	size_t room = sizeof(s->text) - s->n;
	int n = snprintf(s->text + s->n, room, "%.*s%s;", SUPAFS_STR_FMT(e->key),
		e->folder ? "" : (e->key.p[e->key.n - 1] == '/' ? "(marker)" : ""));

	assert_true(n > 0 && (size_t)n < room);
	s->n += (size_t)n;
	return 0;
}

static void bench_begin(struct bench *b, const struct exchange *list, size_t n)
{
	const struct supafs_supabase_config cfg = {
		.url = "http://127.0.0.1",
		.raw_base = true,
		.bucket = "b",
		.key = JWT,
		.clock = supafs_clock_system(),
		.seed = 1,
	};

	*b = (struct bench){.more = true};
	script_init(&b->http, list, n);
	supafs_call_init(&b->call, supafs_clock_system(), 0);
	assert_int_equal(supafs_store_new_supabase(&cfg, &b->http.base, &b->s), 0);
}

static void bench_end(struct bench *b)
{
	script_done(&b->http);
	(void)supafs_store_free(b->s);
	supafs_call_fini(&b->call);
}

static int list_page(struct bench *b, const char *prefix, bool delimiter, unsigned limit)
{
	const struct supafs_list_args a = {
		.prefix = supafs_str_of(prefix),
		.delimiter = delimiter,
		.limit = limit,
		.on_entry = see,
		.ctx = &b->seen,
	};

	return b->s->ops->list(b->s, &b->call, &a, &b->cursor, &b->more, &b->fault);
}

#define OBJ(name) "{\"name\":\"" name "\",\"metadata\":null}"
#define DIR(name) "{\"name\":\"" name "\",\"id\":null}"
#define REPLY(next, folders, objects)                                                              \
	"{" next "\"folders\":[" folders "],\"objects\":[" objects "]}"
#define LAST         "\"hasNext\":false,"
#define MORE(cursor) "\"hasNext\":true,\"nextCursor\":\"" cursor "\","

/* base64 of "l:p/foo\x01\no:asc" */
#define OWN_FOO "bDpwL2ZvbwEKbzphc2M="

static void test_entry(void **state)
{
	const struct exchange list[] = {{
		ASK,
		.body = "{\"prefix\":\"p/\",\"limit\":999,\"with_delimiter\":true}",
		.status = 200,
		.reply =
			"{\"hasNext\":false,\"folders\":[],\"objects\":[{\"key\":\"a\",\"name\":\"p/a\","
			"\"id\":\"00010203-0405-0607-0809-0a0b0c0d0e0f\",\"updated_at\":\"2026-11-"
			"24T00:23:16.884Z\",\"created_at\":\"2026-11-24T00:23:15Z\",\"metadata\":{"
			"\"eTag\":\"\\\"9e36\\\"\",\"size\":\"4294967296\",\"mimetype\":\"text/"
			"plain\",\"cacheControl\":\"no-cache, "
			"x-mode=0640\",\"lastModified\":\"2026-11-24T00:23:16.878Z\"}}]}",
	}};
	struct bench b;

	(void)state;
	bench_begin(&b, list, 1);
	assert_int_equal(list_page(&b, "p/", true, 100000), 0);
	assert_string_equal(b.seen.text, "p/a;");
	assert_false(b.more);
	bench_end(&b);
}

/* A page that ends in an object goes on with our cursor, one that ends in a folder with theirs. */
static void test_cursors(void **state)
{
	const struct exchange list[] = {
		{ASK, .body = "{\"prefix\":\"p/\",\"limit\":2,\"with_delimiter\":true}",
			.status = 200, .reply = REPLY(MORE("server-1"), DIR("p/a/"), OBJ("p/foo"))},
		{ASK,
			.body = "{\"prefix\":\"p/\",\"limit\":2,\"with_delimiter\":true,\"cursor\":"
				"\"" OWN_FOO "\"}",
			.status = 200,
			.reply = REPLY(MORE("server-2"), DIR("p/foo/"), OBJ("p/foo-x"))},
		{ASK,
			.body = "{\"prefix\":\"p/\",\"limit\":2,\"with_delimiter\":true,\"cursor\":"
				"\"server-2\"}",
			.status = 200, .reply = REPLY(LAST, "", OBJ("p/z"))},
	};
	struct bench b;

	(void)state;
	bench_begin(&b, list, 3);
	while (b.more)
		assert_int_equal(list_page(&b, "p/", true, 2), 0);
	assert_string_equal(b.seen.text, "p/a/;p/foo;p/foo-x;p/foo/;p/z;");
	bench_end(&b);
}

static void test_flat(void **state)
{
	const struct exchange list[] = {
		{ASK, .body = "{\"prefix\":\"\",\"limit\":1000,\"with_delimiter\":false}",
			.status = 200, .reply = REPLY(MORE("s1"), "", OBJ("a") "," OBJ("a/b"))},
		{ASK,
			.body = "{\"prefix\":\"\",\"limit\":1000,\"with_delimiter\":false,\"cursor\":"
				"\"s1\"}",
			.status = 200, .reply = REPLY(LAST, "", OBJ("a/b/"))},
	};
	struct bench b;

	(void)state;
	bench_begin(&b, list, 2);
	while (b.more)
		assert_int_equal(list_page(&b, "", false, 1000), 0);
	assert_string_equal(b.seen.text, "a;a/b;a/b/(marker);");
	bench_end(&b);
}

/* What a listing may not contain is dropped, and order does not depend on the server's. */
static void test_filter(void **state)
{
	const struct exchange list[] = {{
		ASK,
		.body = "{\"prefix\":\"p/\",\"limit\":10,\"with_delimiter\":true}",
		.status = 200,
		.reply = REPLY(LAST,
			DIR("p/z/") "," DIR("p/") "," DIR("p//") "," DIR("q/") "," DIR(
				"p/noslash") "," DIR("p/a/b/") "," DIR("p/m/") "," DIR("p/m/") ",7",
			OBJ("p/b") "," OBJ("p/a") "," OBJ("p/") "," OBJ("q") "," OBJ("") "," OBJ(
				"p/x/y") "," OBJ("p/a") ",{\"name\":7},null,[]"),
	}};
	struct bench b;

	(void)state;
	bench_begin(&b, list, 1);
	assert_int_equal(list_page(&b, "p/", true, 10), 0);
	assert_string_equal(b.seen.text, "p/(marker);p/a;p/b;p/m/;p/z/;");
	bench_end(&b);
}

/* Look-up by exact prefix: the prefix does not end in '/'. */
static void test_prefix_is_name(void **state)
{
	const struct exchange list[] = {{
		ASK,
		.body = "{\"prefix\":\"d/n\",\"limit\":50,\"with_delimiter\":true}",
		.status = 200,
		.reply = REPLY(LAST, DIR("d/n/") "," DIR("d/nn/"), OBJ("d/n") "," OBJ("d/n-1")),
	}};
	struct bench b;

	(void)state;
	bench_begin(&b, list, 1);
	assert_int_equal(list_page(&b, "d/n", true, 50), 0);
	assert_string_equal(b.seen.text, "d/n;d/n-1;d/n/;d/nn/;");
	bench_end(&b);
}

/* A server that refuses our cursor: this page and all later listings go flat, grouped here. */
static void test_cursor_refused(void **state)
{
#define FLAT "{\"prefix\":\"p/\",\"limit\":1000,\"with_delimiter\":false"
	const struct exchange list[] = {
		{ASK, .body = "{\"prefix\":\"p/\",\"limit\":1,\"with_delimiter\":true}",
			.status = 200, .reply = REPLY(MORE("x"), "", OBJ("p/foo"))},
		{ASK,
			.body = "{\"prefix\":\"p/\",\"limit\":1,\"with_delimiter\":true,\"cursor\":"
				"\"" OWN_FOO "\"}",
			.status = 400,
			.reply =
				"{\"statusCode\":\"400\",\"error\":\"InvalidParameter\",\"message\":"
				"\"Invalid Parameter continuation "
				"token\",\"code\":\"InvalidParameter\"}"},
		/* from the start of the prefix; what was shown is not shown again */
		{ASK, .body = FLAT "}", .status = 200,
			.reply = REPLY(MORE("f1"), "",
				OBJ("p/a") "," OBJ("p/foo") "," OBJ("p/foo-1") "," OBJ("p/foo/a"))},
		/* still inside the folder: nothing to show, so the next page is asked for at once
		 */
		{ASK, .body = FLAT ",\"cursor\":\"f1\"}", .status = 200,
			.reply = REPLY(MORE("f2"), "", OBJ("p/foo/b") "," OBJ("p/foo/c/d"))},
		{ASK, .body = FLAT ",\"cursor\":\"f2\"}", .status = 200,
			.reply = REPLY(LAST, "", OBJ("p/foo/e") "," OBJ("p/foo0"))},
		/* the next listing does not try again */
		{ASK, .body = FLAT "}", .status = 200, .reply = REPLY(LAST, "", OBJ("p/x/y"))},
	};
	struct bench b;

	(void)state;
	bench_begin(&b, list, SUPAFS_ARRAY_LEN(list));
	while (b.more)
		assert_int_equal(list_page(&b, "p/", true, 1), 0);
	assert_string_equal(b.seen.text, "p/foo;p/foo-1;p/foo/;p/foo0;");
	b.cursor.n = 0;
	b.seen.n = 0;
	assert_int_equal(list_page(&b, "p/", true, 1), 0);
	assert_string_equal(b.seen.text, "p/x/;");
	bench_end(&b);
}

/* A server that goes round in circles ends the walk with an error, and shows nothing. */
static void test_circles(void **state)
{
	static const char *const replies[] = {
		/* the same page again */
		REPLY(MORE("s"), "", OBJ("p/foo")),
		/* more, but nothing there */
		REPLY(MORE("s"), "", ""),
		/* more behind a folder, but no cursor */
		REPLY("\"hasNext\":true,", DIR("p/zoo/"), ""),
	};

	(void)state;
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(replies); i++) {
		const struct exchange list[] = {
			{ASK, .body = "{\"prefix\":\"p/\",\"limit\":1,\"with_delimiter\":true}",
				.status = 200, .reply = REPLY(MORE("s"), "", OBJ("p/foo"))},
			{ASK,
				.body = "{\"prefix\":\"p/\",\"limit\":1,\"with_delimiter\":true,"
					"\"cursor\":\"" OWN_FOO "\"}",
				.status = 200, .reply = replies[i]},
		};
		struct supafs_cursor before;
		struct bench b;
		bench_begin(&b, list, 2);
		assert_int_equal(list_page(&b, "p/", true, 1), 0);
		before = b.cursor;
		assert_int_equal(list_page(&b, "p/", true, 1), -EIO);
		assert_string_equal(b.fault.code, "BadReply");
		assert_string_equal(b.seen.text, "p/foo;");
		assert_int_equal(before.n, b.cursor.n);
		assert_memory_equal(&before, &b.cursor, sizeof(before));
		bench_end(&b);
	}
}

static void test_errors(void **state)
{
	static const struct {
		int status;
		const char *reply;
		int error;
		const char *code;
	} cases[] = {
		{200, "<html>", -EIO, "NotStorage"},
		{200, "[]", -EIO, "BadReply"},
		{200, "{\"hasNext\":false,\"folders\":[]}", -EIO, "BadReply"},
		{200, "{\"folders\":[],\"objects\":[]}", -EIO, "BadReply"},
		{200, "{\"hasNext\":false,\"folders\":{},\"objects\":[]}", -EIO, "BadReply"},
		{503, "", -EIO, ""},
		{400, "{\"code\":\"InvalidParameter\",\"message\":\"x\",\"statusCode\":\"400\"}",
			-EINVAL, "InvalidParameter"},
	};
	struct supafs_cursor foreign = {.n = 3, .p = "x12"};
	struct bench b;

	(void)state;
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(cases); i++) {
		const struct exchange list[] = {{
			ASK,
			.body = "{\"prefix\":\"p/\",\"limit\":9,\"with_delimiter\":true}",
			.status = cases[i].status,
			.reply = cases[i].reply,
		}};
		bench_begin(&b, list, 1);
		assert_int_equal(list_page(&b, "p/", true, 9), cases[i].error);
		assert_string_equal(b.fault.code, cases[i].code);
		bench_end(&b);
	}
	bench_begin(&b, NULL, 0);
	b.cursor = foreign;
	assert_int_equal(list_page(&b, "p/", true, 9), -EINVAL);
	bench_end(&b);
}

/* --- Broken replies: the sanitizers watch -------------------------------------------------------
 */

static const char whole[] = REPLY(MORE("bDpwL2Zvbw=="),
	"{\"key\":\"foo\",\"name\":\"p/foo/\",\"id\":null,\"metadata\":null}",
	"{\"key\":\"a\",\"name\":\"p/a\",\"id\":\"00010203-0405-0607-0809-0a0b0c0d0e0f\","
	"\"updated_at\":\"2026-11-24T00:23:16.884Z\",\"metadata\":{\"eTag\":\"\\\"9e\\\"\",\"size\":1,"
	"\"mimetype\":\"text/plain\",\"cacheControl\":\"no-cache, x-mtime=1.5\"}}");

static void try_reply(const char *text)
{
	const struct exchange list[] = {{
		ASK,
		.body = "{\"prefix\":\"p/\",\"limit\":9,\"with_delimiter\":true}",
		.status = 200,
		.reply = text,
		.again = true,
	}};
	struct bench b;
	int r;

	bench_begin(&b, list, 1);
	r = list_page(&b, "p/", true, 9);
	assert_true(r == 0 || r == -EIO);
	assert_true(r == 0 || b.seen.n == 0);
	bench_end(&b);
}

static void test_truncated(void **state)
{
	(void)state;
	for (size_t n = 0; n < sizeof(whole) - 1; n++) {
		supafs_autofree char *cut = supafs_str_dup((struct supafs_str){whole, n});
		assert_non_null(cut);
		try_reply(cut);
	}
}

static void test_flipped(void **state)
{
	static const char with[] = "\"{}[],:\\0 9-\x01\xff/";
	supafs_autofree char *text = strdup(whole);

	(void)state;
	assert_non_null(text);
	for (size_t i = 0; i < sizeof(whole) - 1; i++) {
		for (size_t k = 0; k < sizeof(with) - 1; k++) {
			/* Another cursor may send us on; the script would answer the first page's.
			 */
			if (strncmp(whole + i, "bDpw", 4) == 0)
				break;
			text[i] = with[k];
			if (strstr(text, "\"name\":\"p/"))
				try_reply(text);
			text[i] = whole[i];
		}
	}
}

/* --- Newest first -------------------------------------------------------------------------------
 */

#define AT(name, time) "{\"name\":\"" name "\",\"updated_at\":\"2026-11-24T00:" time "Z\"}"
#define NEWEST                                                                                     \
	"{\"prefix\":\"p/\",\"limit\":2,\"with_delimiter\":false,\"sortBy\":{\"column\":"          \
	"\"updated_at\",\"order\":\"desc\"}"

static int list_newest(struct bench *b)
{
	const struct supafs_list_args a = {
		.prefix = SUPAFS_STR("p/"),
		.limit = 2,
		.on_entry = see,
		.ctx = &b->seen,
		.newest_first = true,
	};

	return b->s->ops->list(b->s, &b->call, &a, &b->cursor, &b->more, &b->fault);
}

static void test_newest_first(void **state)
{
	const struct exchange list[] = {
		{ASK, .body = NEWEST "}", .status = 200,
			.reply = REPLY(
				MORE("c1"), "", AT("p/z", "23:16.884") "," AT("p/a", "23:16.884"))},
		{ASK, .body = NEWEST ",\"cursor\":\"c1\"}", .status = 200,
			.reply = REPLY(LAST, "",
				AT("p/q", "22:00") "," AT("other", "21:00") "," AT(
					"p/z", "20:00"))},
		{ASK, .body = NEWEST "}", .status = 200,
			.reply = REPLY(MORE("c1"), "", AT("p/z", "23:16"))},
		{ASK, .body = NEWEST ",\"cursor\":\"c1\"}", .status = 200,
			.reply = REPLY(MORE("c1"), "", AT("p/z", "23:16"))},
	};
	struct bench b;

	(void)state;
	bench_begin(&b, list, SUPAFS_ARRAY_LEN(list));
	while (b.more)
		assert_int_equal(list_newest(&b), 0);
	assert_string_equal(b.seen.text, "p/z;p/a;p/q;p/z;");
	/* a cursor of another order; a server that leads in a circle */
	b.cursor = (struct supafs_cursor){0};
	assert_int_equal(list_newest(&b), 0);
	assert_int_equal(list_page(&b, "p/", false, 2), -EINVAL);
	assert_int_equal(list_newest(&b), -EIO);
	assert_string_equal(b.fault.code, "BadReply");
	bench_end(&b);
}

static void test_newest_first_old_server(void **state)
{
	const struct exchange list[] = {
		{ASK, .body = NEWEST "}", .status = 200,
			.reply =
				REPLY(LAST, "", AT("p/a", "23:16.884") "," AT("p/z", "23:16.885"))},
	};
	struct bench b;

	(void)state;
	bench_begin(&b, list, 1);
	for (int i = 0; i < 2; i++) { /* asked once */
		assert_int_equal(list_newest(&b), -EOPNOTSUPP);
		assert_string_equal(b.fault.code, "OldServer");
	}
	assert_string_equal(b.seen.text, "");
	bench_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_entry),
		cmocka_unit_test(test_cursors),
		cmocka_unit_test(test_flat),
		cmocka_unit_test(test_filter),
		cmocka_unit_test(test_prefix_is_name),
		cmocka_unit_test(test_cursor_refused),
		cmocka_unit_test(test_circles),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_flipped),
		cmocka_unit_test(test_newest_first),
		cmocka_unit_test(test_newest_first_old_server),
	};

	return cmocka_run_group_tests_name("store_supabase_list", tests, NULL, NULL);
}
