/* SPDX-License-Identifier: Apache-2.0 */
/* The control socket of supafs-serve: lines, limits, several clients, start and stop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above */
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "control.h"

#define CLIENTS_MAX 16 /* as control.h says */
#define LINE_BYTES  (64U << 10)

struct fixture {
	char dir[64];
	struct serve_counters counters;
	struct serve_faults *faults;
	struct serve_control *control;
};

static void start(struct fixture *f)
{
	const struct serve_control_config cfg = {
		.dir = f->dir, .counters = &f->counters, .faults = f->faults};

	assert_int_equal(serve_control_start(&cfg, &f->control), 0);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/supafs-control-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	assert_int_equal(serve_faults_new(&f->faults), 0);
	start(f);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	int r;

	f->control = serve_control_stop(f->control);
	f->faults = serve_faults_free(f->faults);
	r = rmdir(f->dir); /* fails when something is left behind */
	free(f);
	return r;
}

static int dial(const struct fixture *f)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	(void)snprintf(a.sun_path, sizeof(a.sun_path), "%s/control", f->dir);
	assert_int_equal(connect(fd, (const struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

/* The server may close while we send: that is not an error here. */
static void put(int fd, const char *text, size_t n)
{
	while (n > 0) {
		ssize_t r = send(fd, text, n, MSG_NOSIGNAL);

		if (r <= 0)
			return;
		text += r;
		n -= (size_t)r;
	}
}

static void puts_to(int fd, const char *text)
{
	put(fd, text, strlen(text));
}

/* One line without its end; "" when the server has closed. */
static const char *line(int fd, char out[4096])
{
	size_t n = 0;

	while (n < 4095 && recv(fd, out + n, 1, 0) == 1 && out[n] != '\n')
		n++;
	out[n] = '\0';
	return out;
}

static void test_mode(void **state)
{
	struct fixture *f = *state;
	char path[96];
	struct stat st;

	(void)snprintf(path, sizeof(path), "%s/control", f->dir);
	assert_int_equal(stat(path, &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	assert_int_equal(st.st_mode & 07777, 0600);
}

static void test_lines(void **state)
{
	struct fixture *f = *state;
	int fd = dial(f);
	char out[4096];

	puts_to(fd, "{\"op\":\"res");
	puts_to(fd, "et\"}\n{\"op\":\"faults\"}\n{\"op\":\"fault\",\"effect\":{\"status\":500}}\n");
	assert_string_equal(line(fd, out), "{\"ok\":true}");
	assert_string_equal(line(fd, out), "{\"faults\":[]}");
	assert_string_equal(line(fd, out), "{\"id\":1}");
	puts_to(fd, "{\"op\":\"clear\",\"id\":1}\n{\"op\":\"clear\",\"id\":1}\n");
	assert_string_equal(line(fd, out), "{\"ok\":true}");
	assert_string_equal(line(fd, out), "{\"error\":\"no such rule\"}");
	(void)close(fd);
}

static void test_bad_lines(void **state)
{
	static const char *const bad[][2] = {
		{"", "{\"error\":\"one JSON object with an op a line\"}"},
		{"nonsense", "{\"error\":\"one JSON object with an op a line\"}"},
		{"[]", "{\"error\":\"one JSON object with an op a line\"}"},
		{"{\"op\":1}", "{\"error\":\"one JSON object with an op a line\"}"},
		{"{\"op\":\"x\"}", "{\"error\":\"unknown op\"}"},
		{"{\"op\":\"clear\",\"id\":0}", "{\"error\":\"id must be a rule's number\"}"},
		{"{\"op\":\"fault\",\"match\":[]}",
			"{\"error\":\"bad fault rule: not a JSON object\"}"},
		{"{\"op\":\"fault\",\"effect\":{\"header\":\"x\"}}",
			"{\"error\":\"bad fault rule: header must be \\\"Name: value\\\"\"}"},
		{"{\"op\":\"token\"}", "{\"error\":\"token: role, and exp_s from -1e9 to 1e10\"}"},
		{"{\"op\":\"policy\",\"ops\":\"fly\"}",
			"{\"error\":\"ops: a comma list of select, insert, update, delete, or all, "
			"none\"}"},
	};
	struct fixture *f = *state;
	int fd = dial(f);
	char out[4096];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		puts_to(fd, bad[i][0]);
		puts_to(fd, "\n");
		assert_string_equal(line(fd, out), bad[i][1]);
	}
	puts_to(fd, "{\"op\":\"faults\"}\n");
	assert_string_equal(line(fd, out), "{\"faults\":[]}");
	(void)close(fd);
}

static void test_long_line(void **state)
{
	struct fixture *f = *state;
	char *big = malloc(LINE_BYTES + 1);
	int fd = dial(f);
	char out[4096];

	assert_non_null(big);
	memset(big, ' ', LINE_BYTES + 1);
	put(fd, big, LINE_BYTES + 1);
	assert_string_equal(line(fd, out), "{\"error\":\"the line is too long\"}");
	assert_string_equal(line(fd, out), "");
	(void)close(fd);
	free(big);
	fd = dial(f); /* others are served as before */
	puts_to(fd, "{\"op\":\"reset\"}\n");
	assert_string_equal(line(fd, out), "{\"ok\":true}");
	(void)close(fd);
}

static void test_clients(void **state)
{
	struct fixture *f = *state;
	int fd[CLIENTS_MAX + 1];
	char out[4096];

	for (size_t i = 0; i < CLIENTS_MAX; i++) {
		fd[i] = dial(f);
		puts_to(fd[i], "{\"op\":\"rese"); /* half a line holds up nobody */
	}
	for (size_t i = CLIENTS_MAX; i-- > 0;) {
		puts_to(fd[i], "t\"}\n");
		assert_string_equal(line(fd[i], out), "{\"ok\":true}");
	}
	fd[CLIENTS_MAX] = dial(f);
	assert_string_equal(line(fd[CLIENTS_MAX], out), "");
	f->control = serve_control_stop(f->control);
	for (size_t i = 0; i <= CLIENTS_MAX; i++) {
		assert_string_equal(line(fd[i], out), "");
		(void)close(fd[i]);
	}
}

static void test_stale_socket(void **state)
{
	struct fixture *f = *state;
	char path[96], out[4096];
	int fd;

	f->control = serve_control_stop(f->control);
	(void)snprintf(path, sizeof(path), "%s/control", f->dir);
	assert_int_equal(access(path, F_OK), -1);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644); /* what a crash left */
	assert_true(fd >= 0);
	(void)close(fd);
	start(f);
	fd = dial(f);
	puts_to(fd, "{\"op\":\"reset\"}\n");
	assert_string_equal(line(fd, out), "{\"ok\":true}");
	(void)close(fd);
	assert_null(serve_control_stop(NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_mode, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lines, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_lines, setup, teardown),
		cmocka_unit_test_setup_teardown(test_long_line, setup, teardown),
		cmocka_unit_test_setup_teardown(test_clients, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stale_socket, setup, teardown),
	};

	return cmocka_run_group_tests_name("serve_control", tests, NULL, NULL);
}
