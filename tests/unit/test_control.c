/* SPDX-License-Identifier: Apache-2.0 */
/* The control channel without a mount: requests both ways, answers, files that are saved, keys that
 * are read. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/file.h"

#include "answer.h"
#include "control_request.h"
#include "save.h"
#include "token.h"
#include "unit.h"

static int parse(const char *line, struct supafs_control_request *req)
{
	return supafs_control_parse(supafs_str_of(line), req);
}

static void good_requests(void **state)
{
	static const struct {
		const char *line;
		enum supafs_control_verb verb;
		uint64_t id, seconds;
		const char *path;
	} rows[] = {
		{"status", SUPAFS_CONTROL_STATUS, 0, 0, ""},
		{"progress", SUPAFS_CONTROL_PROGRESS, 0, 0, ""},
		{"pending", SUPAFS_CONTROL_PENDING, 0, 0, ""},
		{"flush", SUPAFS_CONTROL_FLUSH, 0, 0, ""},
		{"invalidate", SUPAFS_CONTROL_INVALIDATE, 0, 0, ""},
		{"retry 0", SUPAFS_CONTROL_RETRY, 0, 0, ""},
		{"drop 18446744073709551615", SUPAFS_CONTROL_DROP, UINT64_MAX, 0, ""},
		{"url 0 a", SUPAFS_CONTROL_URL, 0, 0, "a"},
		{"url 3600 a/b%20c%2Fd/...", SUPAFS_CONTROL_URL, 0, 3600, "a/b c/d/..."},
		{"url 1 %FF%0A", SUPAFS_CONTROL_URL, 0, 1, "\xFF\n"},
	};
	struct supafs_control_request req, again;

	(void)state;
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(rows); i++) {
		supafs_cleanup(supafs_buf_fini) struct supafs_buf b;

		assert_int_equal(parse(rows[i].line, &req), 0);
		assert_int_equal(req.verb, rows[i].verb);
		assert_true(req.id == rows[i].id && req.seconds == rows[i].seconds);
		assert_string_equal(req.path, rows[i].path);
		supafs_buf_init(&b, SUPAFS_CONTROL_LINE_MAX);
		assert_int_equal(supafs_control_format(&req, &b), 0);
		assert_int_equal(b.p[b.n - 1], '\n');
		assert_int_equal(
			supafs_control_parse((struct supafs_str){b.p, b.n - 1}, &again), 0);
		assert_memory_equal(&req, &again, sizeof(req));
	}
}

static void bad_requests(void **state)
{
	static const char *const rows[] = {"", " ", "x", "STATUS", "status ", "status x", " status",
		"retry", "retry ", "retry -1", "retry 1x", "retry 1 ", "retry  1", "drop 1 2",
		"url", "url 1", "url 1 ", "url x a", "url 99999999999 a", "url 1 /a", "url 1 a/",
		"url 1 a//b", "url 1 .", "url 1 ..", "url 1 a/../b", "url 1 %2E%2E/x", "url 1 a%2f",
		"url 1 %", "url 1 %0", "url 1 %00", "url 1 a b", "url 1 %2F"};
	struct supafs_control_request req;
	char longest[SUPAFS_CONTROL_LINE_MAX + 2];

	(void)state;
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(rows); i++) {
		if (parse(rows[i], &req) != -EINVAL)
			fail_msg("taken: '%s'", rows[i]);
	}
	memset(longest, 'a', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	memcpy(longest, "url 1 ", 6);
	assert_int_equal(parse(longest, &req), -EINVAL);
	assert_int_equal(supafs_control_parse((struct supafs_str){"url 1 a\0b", 9}, &req), -EINVAL);
}

static void flat_answers(void **state)
{
	supafs_cleanup(supafs_answer_freep) struct supafs_answer *a = NULL;
	static const char *const bad[] = {
		"", "[]", "1", "{", "{\"a\":\"b\\u0000c\"}", "nonsense", "{\"a\":}"};

	(void)state;
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(bad); i++)
		assert_int_equal(supafs_answer_parse(supafs_str_of(bad[i]), &a), -EPROTO);
	assert_int_equal(
		supafs_answer_parse(SUPAFS_STR("{\"t\":\"x\",\"n\":7,\"big\":1e300,\"neg\":-1,"
					       "\"ok\":true,\"m\":{\"n\":9007199254740992}}"),
			&a),
		0);
	assert_string_equal(supafs_answer_text(a, "t", "?"), "x");
	assert_string_equal(supafs_answer_text(a, "n", "?"), "?");
	assert_int_equal(supafs_answer_number(a, "n", 1), 7);
	assert_int_equal(supafs_answer_number(a, "big", 1), 1);
	assert_int_equal(supafs_answer_number(a, "neg", 1), 1);
	assert_true(supafs_answer_true(a, "ok") && !supafs_answer_true(a, "n"));
	assert_null(supafs_answer_member(a, "t"));
	assert_true(
		supafs_answer_number(supafs_answer_member(a, "m"), "n", 0) == UINT64_C(1) << 53);
	assert_string_equal(supafs_answer_text(NULL, "t", "?"), "?");
}

/* --- Files ------------------------------------------------------------------------------------ */

struct fixture {
	char dir[64], mnt[80], to[80];
	int to_fd;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	*state = f;
	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/supafs-control-XXXXXX");
	if (!mkdtemp(f->dir))
		return -1;
	(void)snprintf(f->mnt, sizeof(f->mnt), "%s/mnt", f->dir);
	(void)snprintf(f->to, sizeof(f->to), "%s/to", f->dir);
	if (mkdir(f->mnt, 0700) != 0 || mkdir(f->to, 0700) != 0)
		return -1;
	f->to_fd = open(f->to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return f->to_fd < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	static const char *const left[] = {"mnt/f", "mnt/l", "mnt/d/e/g", "mnt/d/e", "mnt/d", "mnt",
		"to/f", "to/l", "to/d/e/g", "to/d/e", "to/d", "to/trap", "to", "key", "key.link",
		"other"};
	char path[160];

	(void)close(f->to_fd);
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(left); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", f->dir, left[i]);
		(void)remove(path);
	}
	assert_int_equal(rmdir(f->dir), 0);
	free(f);
	return 0;
}

static void put_file(const char *dir, const char *name, const char *text)
{
	char path[160];

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_int_equal(supafs_file_replace(path, text, strlen(text), 0600), 0);
}

static void saves(void **state)
{
	const struct fixture *f = *state;
	supafs_cleanup(supafs_buf_fini) struct supafs_buf b;
	static const char *const out[] = {
		"", "/f", "../f", "d/../../f", "d//g", ".", "..", "d/", "d/.", "./f"};
	char path[160], target[8] = "";

	put_file(f->mnt, "f", "bytes");
	(void)snprintf(path, sizeof(path), "%s/d", f->mnt);
	assert_int_equal(mkdir(path, 0700), 0);
	(void)snprintf(path, sizeof(path), "%s/d/e", f->mnt);
	assert_int_equal(mkdir(path, 0700), 0);
	put_file(path, "g", "deep");
	(void)snprintf(path, sizeof(path), "%s/l", f->mnt);
	assert_int_equal(symlink("f", path), 0);

	assert_int_equal(supafs_save_file(f->mnt, "f", f->to_fd), 0);
	assert_int_equal(supafs_save_file(f->mnt, "f", f->to_fd), -EEXIST);
	assert_int_equal(supafs_save_file(f->mnt, "d/e/g", f->to_fd), 0);
	assert_int_equal(supafs_save_file(f->mnt, "l", f->to_fd), 0);
	assert_int_equal(supafs_save_file(f->mnt, "none", f->to_fd), -ENOENT);
	assert_int_equal(supafs_save_file(f->mnt, "f/x", f->to_fd), -ENOTDIR);
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(out); i++)
		assert_int_equal(supafs_save_file(f->mnt, out[i], f->to_fd), -EINVAL);
	assert_int_equal(symlinkat("../mnt", f->to_fd, "trap"), 0);
	assert_true(supafs_save_file(f->mnt, "trap/f", f->to_fd) < 0);

	(void)snprintf(path, sizeof(path), "%s/d/e/g", f->to);
	supafs_buf_init(&b, 100);
	assert_int_equal(supafs_file_read(path, &b), 0);
	assert_string_equal(b.p, "deep");
	assert_int_equal(readlinkat(f->to_fd, "l", target, sizeof(target)), 1);
}

static void key_files(void **state)
{
	const struct fixture *f = *state;
	supafs_cleanup(supafs_buf_fini) struct supafs_buf b;
	struct supafs_problem p;
	char path[100], link[120];

	(void)snprintf(path, sizeof(path), "%s/key", f->dir);
	(void)snprintf(link, sizeof(link), "%s/key.link", f->dir);
	supafs_buf_init_secret(&b, 9000);
	assert_int_equal(supafs_key_file_read(path, false, &b, &p), -ENOENT);
	assert_int_equal(p.id, SUPAFS_MSG_FILE_READ);
	put_file(f->dir, "key", "abc.def \r\n\n");
	assert_int_equal(symlink("key", link), 0);
	assert_int_equal(supafs_key_file_read(link, false, &b, &p), 0);
	assert_string_equal(b.p, "abc.def");
	supafs_buf_reset(&b);
	assert_int_equal(chmod(path, 0440), 0);
	assert_int_equal(supafs_key_file_read(path, false, &b, &p), -EACCES);
	assert_int_equal(p.id, SUPAFS_MSG_FILE_OPEN_TO_OTHERS);
	assert_int_equal(supafs_key_file_read(path, true, &b, &p), 0);
	assert_string_equal(b.p, "abc.def");
	supafs_buf_reset(&b);
	assert_int_equal(chmod(path, 0444), 0);
	assert_int_equal(supafs_key_file_read(path, true, &b, &p), -EACCES);
	put_file(f->dir, "key", " \n");
	assert_int_equal(supafs_key_file_read(path, false, &b, &p), -EINVAL);
	assert_int_equal(p.id, SUPAFS_MSG_KEY_FILE);
}

/* {"alg":"none"} . {"role":"authenticated","sub":"u-1","exp":EXP} . x */
#define HEAD "eyJhbGciOiJub25lIn0."
#define OLD  HEAD "eyJyb2xlIjoiYXV0aGVudGljYXRlZCIsInN1YiI6InUtMSIsImV4cCI6MTAwMH0.eA"
#define NEW                                                                                        \
	HEAD "eyJyb2xlIjoiYXV0aGVudGljYXRlZCIsInN1YiI6InUtMSIsImV4cCI6OTAwNzE5OTI1NDc0MDk5MH0.eA"

static void claims(void **state)
{
	struct supafs_claims c;
	static const char *const bad[] = {
		"", "a", "a.b", "a.b.c", "..", (HEAD "W10.x"), "sb_secret_x"};

	(void)state;
	assert_true(supafs_claims_read(OLD, &c));
	assert_string_equal(c.role, "authenticated");
	assert_string_equal(c.sub, "u-1");
	assert_int_equal(c.exp_s, 1000);
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(bad); i++)
		assert_false(supafs_claims_read(bad[i], &c));
}

static void renewed_token(void **state)
{
	const struct fixture *f = *state;
	supafs_cleanup(supafs_token_file_fini) struct supafs_token_file t;
	supafs_cleanup(supafs_buf_fini) struct supafs_buf b;
	char path[100];

	(void)snprintf(path, sizeof(path), "%s/key", f->dir);
	supafs_buf_init_secret(&b, 9000);
	put_file(f->dir, "key", OLD "\n");
	supafs_token_file_init(&t, path, OLD);
	assert_int_equal(supafs_token_file_refresh(&t, &b), -EKEYEXPIRED); /* the same */
	assert_true(t.told);
	put_file(f->dir, "key", OLD "x\n");
	assert_int_equal(supafs_token_file_refresh(&t, &b), -EKEYEXPIRED); /* another, as old */
	put_file(f->dir, "key", NEW "\n");
	assert_int_equal(supafs_token_file_refresh(&t, &b), 0);
	assert_string_equal(b.p, NEW);
	assert_int_equal(supafs_token_file_refresh(&t, &b), -EKEYEXPIRED); /* nothing newer */
	assert_int_equal(unlink(path), 0);
	assert_int_equal(supafs_token_file_refresh(&t, &b), -EKEYEXPIRED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_requests),
		cmocka_unit_test(bad_requests),
		cmocka_unit_test(flat_answers),
		cmocka_unit_test_setup_teardown(saves, setup, teardown),
		cmocka_unit_test_setup_teardown(key_files, setup, teardown),
		cmocka_unit_test(claims),
		cmocka_unit_test_setup_teardown(renewed_token, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
