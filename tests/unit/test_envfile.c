/* SPDX-License-Identifier: Apache-2.0 */
/* Environment files as applications and systemd write them. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/limits.h"

#include "envfile.h"

struct seen {
	struct supafs_buf text; /* "NAME=value;" of each */
	int answer;
};

static int note(void *ctx, struct supafs_str name, const char *value)
{
	struct seen *s = ctx;

	(void)supafs_buf_addf(&s->text, "%.*s=%s;", SUPAFS_STR_FMT(name), value);
	return s->answer;
}

static int parse(const char *text, size_t n, struct seen *s, unsigned *line, const char **what)
{
	supafs_buf_init(&s->text, 65536);
	s->answer = 0;
	return supafs_envfile_parse((struct supafs_str){text, n}, note, s, line, what);
}

static const struct {
	const char *text, *want;
} good[] = {
	{"", ""},
	{"\n\n", ""},
	{"A=1", "A=1;"},
	{"A=1\nB=2\n", "A=1;B=2;"},
	{"A=1\r\nB=2\r\n", "A=1;B=2;"},
	{"\xEF\xBB\xBF"
	 "A=1\n",
		"A=1;"},
	{"# comment\n  # another\nA=1\n", "A=1;"},
	{"export A=1\n", "A=1;"},
	{"export\tA=1\n", "A=1;"},
	{"export=1\n", "export=1;"},
	{"  A  =  1  \n", "A=1;"},
	{"A=\nB=2\n", "A=;B=2;"},
	{"A= # nothing\n", "A=;"},
	{"A=a#b # c\n", "A=a#b;"},
	{"A=a b c\n", "A=a b c;"},
	{"A='a # b'\n", "A=a # b;"},
	{"A='a\\nb'\n", "A=a\\nb;"},
	{"A='two\nlines' # c\nB=2\n", "A=two\nlines;B=2;"},
	{"A=\"a\\nb\"\n", "A=a\nb;"},
	{"A=\"\\\"q\\\" \\\\ \\$x\\t.\\r\"\n", "A=\"q\" \\ $x\t.\r;"},
	{"A=\"\\d\"\n", "A=\\d;"},
	{"A=\"goes \\\non\"\n", "A=goes on;"},
	{"A=$HOME/x\n", "A=$HOME/x;"},
	{"A=a=b=\n", "A=a=b=;"},
	{"A=\"x\"   # why\n", "A=x;"},
	{"a line that is no assignment\nA=1\n", "A=1;"},
	{"=x\nA=1\n", "A=1;"},
	{"if [ -n \"$X\" ]; then\nA=1\n", "A=1;"},
	{"A.b-c_1=2\n", "A.b-c_1=2;"},
	{"A=\"\"\nB=''\n", "A=;B=;"},
	{"A=it's\n", "A=it's;"},
};

static void test_good(void **state)
{
	(void)state;
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(good); i++) {
		struct seen s;
		const char *what = NULL;
		unsigned line = 0;
		int r = parse(good[i].text, strlen(good[i].text), &s, &line, &what);

		assert_int_equal(r, 0);
		assert_string_equal(supafs_buf_cstr(&s.text), good[i].want);
		supafs_buf_fini(&s.text);
	}
}

static const struct {
	const char *text;
	size_t n;
	unsigned line;
} bad[] = {
	{"A='open\n", 8, 1},
	{"A=1\nB=\"open\n\n", 13, 2},
	{"A=\"x\"y\n", 7, 1},
	{"A=1\n\nB='x' y\n", 13, 3},
	{"A=\"\\", 4, 1},
	{"A=x\0y\n", 6, 1},
};

static void test_bad(void **state)
{
	(void)state;
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(bad); i++) {
		struct seen s;
		const char *what = NULL;
		unsigned line = 0;

		assert_int_equal(parse(bad[i].text, bad[i].n, &s, &line, &what), -EINVAL);
		assert_int_equal(line, bad[i].line);
		assert_non_null(what);
		assert_true(*what != '\0');
		supafs_buf_fini(&s.text);
	}
}

static void test_long_value(void **state)
{
	struct seen s;
	const char *what = NULL;
	unsigned line = 0;
	size_t n = SUPAFS_SECRET_MAX + 3;
	supafs_autofree char *text = malloc(n);

	(void)state;
	assert_non_null(text);
	memset(text, 'x', n);
	text[0] = 'A';
	text[1] = '=';
	assert_int_equal(parse(text, n - 1, &s, &line, &what), 0);
	supafs_buf_fini(&s.text);
	assert_int_equal(parse(text, n, &s, &line, &what), -EMSGSIZE);
	assert_int_equal(line, 1);
	supafs_buf_fini(&s.text);
}

static void test_callback_stops(void **state)
{
	struct seen s;
	const char *what = NULL;
	unsigned line = 0;

	(void)state;
	supafs_buf_init(&s.text, 65536);
	s.answer = -ENOMEM;
	assert_int_equal(
		supafs_envfile_parse(SUPAFS_STR("A=1\nB=2\n"), note, &s, &line, &what), -ENOMEM);
	assert_string_equal(supafs_buf_cstr(&s.text), "A=1;");
	supafs_buf_fini(&s.text);
}

/* Every prefix of a rich text: an answer, and no read behind the end (ASan). */
static void test_cut(void **state)
{
	static const char text[] =
		"\xEF\xBB\xBF# c\r\nexport A=\"a\\n\\\"b\" # c\nB='x\ny'\nC=p # q\n";

	(void)state;
	for (size_t n = 0; n < sizeof(text); n++) {
		struct seen s;
		const char *what = NULL;
		unsigned line = 0;
		supafs_autofree char *copy = malloc(n ? n : 1);

		assert_non_null(copy);
		memcpy(copy, text, n);
		int r = parse(copy, n, &s, &line, &what);
		assert_true(r == 0 || r == -EINVAL);
		supafs_buf_fini(&s.text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_long_value),
		cmocka_unit_test(test_callback_stops),
		cmocka_unit_test(test_cut),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
