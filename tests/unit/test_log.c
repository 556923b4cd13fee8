/* SPDX-License-Identifier: Apache-2.0 */
/* Log lines and what they hide. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/log.h"

#include "unit.h"

/* A token of the usual make, with made-up parts. */
#define JWT "eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoiYW5vbiJ9.c2lnbmF0dXJl-_x"

static void redact_table(void **state)
{
	static const struct {
		const char *in;
		const char *out;
	} rows[] = {
		{"", ""}, {"plain text", "plain text"},
		/* tokens */
		{JWT, "[secret]"}, {"key " JWT " end", "key [secret] end"}, {"x" JWT, "x[secret]"},
		{"(" JWT ")", "([secret])"}, {"cut eyJhbGciOiJIUzI1NiJ9.eyJyb2", "cut [secret]"},
		{"eyJ", "eyJ"}, {"eyJhbGciOiJIUzI1NiJ9", "eyJhbGciOiJIUzI1NiJ9"},
		{"archive.tar.gz", "archive.tar.gz"},
		/* new-style keys */
		{"sb_secret_abcDEF123_-x", "sb_secret_[secret]"},
		{"sb_publishable_abc, ok", "sb_publishable_[secret], ok"},
		{"sb_secret_", "sb_secret_"},
		/* query values */
		{"http://h/o?token=abc.def&x=1", "http://h/o?token=[secret]&x=1"},
		{"?access_token=abc", "?access_token=[secret]"},
		{"TOKEN=abc def", "TOKEN=[secret] def"}, {"?token%3Dabc&y", "?token%3D[secret]&y"},
		{"&X-Amz-Signature=0123abc&z", "&X-Amz-Signature=[secret]&z"},
		{"&X-Amz-Security-Token=abc&z", "&X-Amz-Security-Token=[secret]&z"},
		{"&X-Amz-Credential=AKIA%2F2026&z", "&X-Amz-Credential=[secret]&z"},
		/* headers */
		{"Authorization: Bearer abc", "Authorization: [secret]"},
		{"authorization:Basic YTpi, x", "authorization:[secret]"},
		{"Authorization: AWS4-HMAC-SHA256 Credential=a/b, Signature=c",
			"Authorization: [secret]"},
		{"Authorization: Bearer abc\r\nX-Next: y",
			"Authorization: [secret]\\x0D\\x0AX-Next: y"},
		{"-H 'Authorization: Bearer abc' -v", "-H 'Authorization: [secret]' -v"},
		{"apikey: abc.def rest", "apikey: [secret] rest"},
		{"ApiKey=abc", "ApiKey=[secret]"},
		{"sent Bearer abcdefgh12", "sent Bearer [secret]"},
		{"the bearer of news", "the bearer of news"},
		/* JSON */
		{"{\"token\":\"abc\",\"a\":1}", "{\"token\":\"[secret]\",\"a\":1}"},
		{"{\"apikey\" : \"abc\"}", "{\"apikey\" : \"[secret]\"}"},
		{"password=hunter2;", "password=[secret];"},
		{"SUPABASE_JWT_SECRET=abc", "SUPABASE_JWT_SECRET=[secret]"},
		/* words that only look like fields */
		{"Unexpected token in JSON", "Unexpected token in JSON"},
		{"the secret of the apikey", "the secret of the apikey"}, {"token=", "token="},
		{"authorization", "authorization"},
		/* bytes */
		{"a\nb\tc\x1b[31md\x7f", "a\\x0Ab\\x09c\\x1B[31md\\x7F"},
		{"caf\xC3\xA9 \xE6\x97\xA5 \xF0\x9F\x98\x80",
			"caf\xC3\xA9 \xE6\x97\xA5 \xF0\x9F\x98\x80"},
		{"\xC3", "\\xC3"}, {"\xC3(", "\\xC3("}, {"\xC2\x9B", "\\xC2\\x9B"}, /* C1: CSI */
		{"\xE2\x80\xAE", "\\xE2\\x80\\xAE"}, /* right-to-left override */
		{"\xE2\x80\xA8", "\\xE2\\x80\\xA8"}, /* line separator */
		{"\xEF\xBB\xBF", "\\xEF\\xBB\\xBF"}, {"\xE2\x80\x93", "\xE2\x80\x93"}, /* a dash */
	};

	(void)state;
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(rows); i++) {
		char out[512];
		const size_t n =
			supafs_log_redact(rows[i].in, strlen(rows[i].in), out, sizeof(out));

		assert_string_equal(out, rows[i].out);
		assert_int_equal(n, strlen(out));
	}
}

static void redact_nul(void **state)
{
	char out[64];

	(void)state;
	assert_int_equal(supafs_log_redact("a\0b", 3, out, sizeof(out)), 6);
	assert_string_equal(out, "a\\x00b");
}

/* Every size: terminated, never a piece of an escape or of a character, nothing behind a cut. */
static void redact_cut(void **state)
{
	static const char in[] = "ab\n\xC3\xA9" JWT " z";
	static const char whole[] = "ab\\x0A\xC3\xA9[secret] z";
	static const size_t cuts[] = {0, 1, 2, 6, 8, 16, 17, 18};

	(void)state;
	for (size_t size = 0; size < 24; size++) {
		char out[32];
		size_t n = 0;
		size_t want = 0;

		memset(out, '#', sizeof(out));
		n = supafs_log_redact(in, sizeof(in) - 1, out, size);
		for (size_t i = 0; i < SUPAFS_ARRAY_LEN(cuts); i++)
			want = cuts[i] < size ? cuts[i] : want;
		assert_int_equal(n, want);
		assert_memory_equal(out, whole, n);
		if (size > 0)
			assert_int_equal(out[n], '\0');
		for (size_t i = size; i < sizeof(out); i++)
			assert_int_equal(out[i], '#');
	}
}

static void registered(void **state)
{
	char out[128];

	(void)state;
	assert_int_equal(supafs_log_add_secret("short"), -EINVAL);
	assert_int_equal(supafs_log_add_secret("my own secret"), 0);
	assert_int_equal(supafs_log_add_secret("my own secret"), 0);
	(void)supafs_log_redact("say my own secret, or my own secre", 34, out, sizeof(out));
	assert_string_equal(out, "say [secret], or my own secre");
	for (int i = 0; i < 7; i++) {
		char text[32];

		(void)snprintf(text, sizeof(text), "secret-%d-xx", i);
		assert_int_equal(supafs_log_add_secret(text), 0);
	}
	assert_int_equal(supafs_log_add_secret("one too many"), -ENOSPC);
	(void)supafs_log_redact("secret-6-xx", 11, out, sizeof(out));
	assert_string_equal(out, "[secret]");
	supafs_log_fini();
	(void)supafs_log_redact("my own secret", 13, out, sizeof(out));
	assert_string_equal(out, "my own secret");
	supafs_log_fini();
}

/* --- Lines ------------------------------------------------------------------------------- */

/* stderr goes into a pipe between begin and end. */
struct capture {
	int saved;
	int fds[2];
};

static void capture_begin(struct capture *c)
{
	assert_int_equal(pipe(c->fds), 0);
	c->saved = dup(STDERR_FILENO);
	assert_true(c->saved >= 0);
	assert_int_equal(dup2(c->fds[1], STDERR_FILENO), STDERR_FILENO);
}

static void capture_end(struct capture *c, char *out, size_t size)
{
	ssize_t n = 0;

	assert_int_equal(dup2(c->saved, STDERR_FILENO), STDERR_FILENO);
	(void)close(c->saved);
	(void)close(c->fds[1]);
	n = read(c->fds[0], out, size - 1);
	out[n > 0 ? n : 0] = '\0';
	(void)close(c->fds[0]);
}

static void lines(void **state)
{
	struct capture c;
	char out[8192];

	(void)state;
	capture_begin(&c);
	assert_int_equal(supafs_log_init(SUPAFS_LOG_WARN, NULL), 0);
	supafs_log(SUPAFS_LOG_INFO, "not wanted");
	supafs_log(SUPAFS_LOG_ERROR, "cannot read %s: token=abc\n", "x");
	capture_end(&c, out, sizeof(out));
	/* 2026-11-24T00:20:48.794Z error: … */
	assert_int_equal(out[10], 'T');
	assert_int_equal(out[23], 'Z');
	assert_string_equal(out + 24, " error: cannot read x: token=[secret]\\x0A\n");
}

static void journal_lines(void **state)
{
	struct capture c;
	struct stat st;
	char id[64];
	char out[256];

	(void)state;
	capture_begin(&c);
	assert_int_equal(fstat(STDERR_FILENO, &st), 0);
	(void)snprintf(id, sizeof(id), "%llu:%llu", (unsigned long long)st.st_dev,
		(unsigned long long)st.st_ino);
	assert_int_equal(setenv("JOURNAL_STREAM", id, 1), 0);
	assert_int_equal(supafs_log_init(SUPAFS_LOG_INFO, ""), 0);
	supafs_log(SUPAFS_LOG_WARN, "careful");
	capture_end(&c, out, sizeof(out));
	assert_string_equal(out, "<4>careful\n");

	/* Set, but stderr was redirected to something else. */
	capture_begin(&c);
	assert_int_equal(setenv("JOURNAL_STREAM", "1:1", 1), 0);
	assert_int_equal(supafs_log_init(SUPAFS_LOG_INFO, ""), 0);
	supafs_log(SUPAFS_LOG_WARN, "careful");
	capture_end(&c, out, sizeof(out));
	assert_non_null(strstr(out, "Z warning: careful\n"));
	assert_int_equal(unsetenv("JOURNAL_STREAM"), 0);
}

static void long_line(void **state)
{
	struct capture c;
	char text[6000];
	char out[8192];

	(void)state;
	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	capture_begin(&c);
	assert_int_equal(supafs_log_init(SUPAFS_LOG_INFO, NULL), 0);
	supafs_log(SUPAFS_LOG_INFO, "%s", text);
	capture_end(&c, out, sizeof(out));
	assert_in_range(strlen(out), 4000, 4700);
	assert_int_equal(out[strlen(out) - 1], '\n');
}

/* A secret of no known shape that stands across the end of what is shown is hidden all the same. */
static void secret_at_the_cut(void **state)
{
	static const char secret[] = "correct-horse-battery-staple";
	struct capture c;
	char text[6000];
	char out[8192];

	(void)state;
	assert_int_equal(supafs_log_add_secret(secret), 0);
	for (size_t at = 4096 - sizeof(secret); at <= 4096; at++) {
		memset(text, ' ', sizeof(text) - 1);
		text[sizeof(text) - 1] = '\0';
		memcpy(text + at, secret, sizeof(secret) - 1);
		capture_begin(&c);
		assert_int_equal(supafs_log_init(SUPAFS_LOG_INFO, NULL), 0);
		supafs_log(SUPAFS_LOG_INFO, "%s", text);
		capture_end(&c, out, sizeof(out));
		assert_null(strstr(out, "co"));
	}
	supafs_log_lock_secrets();
	supafs_log_fini();
}

static void debug_mask(void **state)
{
	struct capture c;
	char out[512];

	(void)state;
	assert_int_equal(supafs_log_init(SUPAFS_LOG_INFO, "http,cache"), 0);
	assert_true(supafs_debug_on(SUPAFS_PART_HTTP));
	assert_true(supafs_debug_on(SUPAFS_PART_CACHE));
	assert_false(supafs_debug_on(SUPAFS_PART_VFS));
	capture_begin(&c);
	supafs_debug(SUPAFS_PART_HTTP, "seen %d", 1);
	supafs_debug(SUPAFS_PART_VFS, "unseen");
	capture_end(&c, out, sizeof(out));
	assert_non_null(strstr(out, "debug: http: seen 1\n"));
	assert_null(strstr(out, "unseen"));
	assert_int_equal(supafs_log_init(SUPAFS_LOG_INFO, "htp"), -EINVAL);
	assert_true(supafs_debug_on(SUPAFS_PART_HTTP)); /* untouched */
	assert_int_equal(supafs_log_init(SUPAFS_LOG_INFO, "all"), 0);
	for (unsigned i = 0; i < SUPAFS_PART__COUNT; i++)
		assert_true(supafs_debug_on((enum supafs_log_part)i));
	capture_begin(&c);
	assert_int_equal(supafs_log_init(SUPAFS_LOG_INFO, ",help,"), 0);
	capture_end(&c, out, sizeof(out));
	assert_non_null(strstr(out, "all http store cache vfs fuse app\n"));
	assert_int_equal(supafs_log_init(SUPAFS_LOG_INFO, NULL), 0);
	assert_false(supafs_debug_on(SUPAFS_PART_HTTP));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(redact_table),
		cmocka_unit_test(redact_nul),
		cmocka_unit_test(redact_cut),
		cmocka_unit_test(registered),
		cmocka_unit_test(lines),
		cmocka_unit_test(journal_lines),
		cmocka_unit_test(long_line),
		cmocka_unit_test(secret_at_the_cut),
		cmocka_unit_test(debug_mask),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
