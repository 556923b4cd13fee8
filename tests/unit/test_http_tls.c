/* SPDX-License-Identifier: Apache-2.0 */
/* TLS of the transport against `openssl s_server`: who is trusted, and what is offered. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "supafs/http/http.h"
#include "supafs/util/cleanup.h"
#include "supafs/util/file.h"

#include "unit.h"

extern char **environ;

struct tls {
	char folder[64];
	char cert[128];
	char key[128];
	pid_t pid;
	FILE *out; /* of the server */
	unsigned port;
};

static pid_t spawn(const char *const argv[], int out)
{
	posix_spawn_file_actions_t actions;
	char *copy[32] = {NULL};
	pid_t pid = -1;

	/* posix_spawn() takes them without const, and does not write. */
	for (size_t i = 0; argv[i] && i + 1 < SUPAFS_ARRAY_LEN(copy); i++)
		memcpy(&copy[i], &argv[i], sizeof(copy[i]));
	(void)posix_spawn_file_actions_init(&actions);
	(void)posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	if (out >= 0)
		(void)posix_spawn_file_actions_adddup2(&actions, out, 1);
	else
		(void)posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
	(void)posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
	if (posix_spawnp(&pid, copy[0], &actions, NULL, copy, environ) != 0)
		pid = -1;
	(void)posix_spawn_file_actions_destroy(&actions);
	return pid;
}

static bool run(const char *const argv[])
{
	const pid_t pid = spawn(argv, -1);
	int status = -1;

	return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

static bool make_certificate(struct tls *t)
{
	const char *const argv[] = {"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
		"ec_paramgen_curve:P-256", "-nodes", "-days", "1", "-subj", "/CN=supafs test",
		"-addext", "subjectAltName=IP:127.0.0.1", "-keyout", t->key, "-out", t->cert, NULL};

	return run(argv);
}

static bool wait_line(struct tls *t, const char *what, char line[512])
{
	while (fgets(line, 512, t->out)) {
		if (strstr(line, what))
			return true;
	}
	return false;
}

static bool start_server(struct tls *t, const char *alpn)
{
	const char *const argv[] = {"openssl", "s_server", "-accept", "127.0.0.1:0", "-cert",
		t->cert, "-key", t->key, "-alpn", alpn, "-www", NULL};
	char line[512];
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) != 0)
		return false;
	t->pid = spawn(argv, fds[1]);
	(void)close(fds[1]);
	t->out = fdopen(fds[0], "r");
	return t->pid > 0 && t->out && wait_line(t, "ACCEPT 127.0.0.1:", line) &&
	       sscanf(line, "ACCEPT 127.0.0.1:%u", &t->port) == 1;
}

static int setup_alpn(void **state, const char *alpn)
{
	struct tls *t = calloc(1, sizeof(*t));

	assert_non_null(t);
	*state = t;
	(void)snprintf(t->folder, sizeof(t->folder), "/tmp/supafs-test-XXXXXX");
	assert_non_null(mkdtemp(t->folder));
	(void)snprintf(t->cert, sizeof(t->cert), "%s/cert.pem", t->folder);
	(void)snprintf(t->key, sizeof(t->key), "%s/key.pem", t->folder);
	return make_certificate(t) && start_server(t, alpn) ? 0 : -1;
}

static int setup(void **state)
{
	return setup_alpn(state, "http/1.1");
}

/* A server that would like to speak HTTP/2 but cannot. */
static int setup_h2(void **state)
{
	return setup_alpn(state, "h2");
}

static int teardown(void **state)
{
	struct tls *t = *state;

	if (t->pid > 0) {
		(void)kill(t->pid, SIGKILL);
		(void)waitpid(t->pid, NULL, 0);
	}
	if (t->out)
		(void)fclose(t->out);
	(void)unlink(t->cert);
	(void)unlink(t->key);
	(void)rmdir(t->folder);
	free(t);
	return 0;
}

static int get(
	const struct tls *t, const char *cacert, const char *host, struct supafs_http_reply *reply)
{
	const struct supafs_http_config cfg = {.cacert = cacert,
		.max_connections = 1,
		.connect_timeout_ms = 5000,
		.stall_timeout_ms = 2000};
	struct supafs_http *http = NULL;
	struct supafs_call call;
	char url[128];
	int r = 0;

	(void)snprintf(url, sizeof(url), "https://%s:%u/", host, t->port);
	assert_int_equal(supafs_http_new_curl(&cfg, &http), 0);
	supafs_call_init(&call, supafs_clock_system(), 20000);
	supafs_http_reply_init(reply);
	r = supafs_http_perform(http, &call, &(struct supafs_http_request){.url = url}, reply);
	(void)supafs_http_free(http);
	supafs_call_fini(&call);
	return r;
}

static void unknown_authority(void **state)
{
	struct supafs_http_reply reply;

	assert_int_equal(get(*state, NULL, "127.0.0.1", &reply), -ECONNABORTED);
	assert_int_equal(reply.progress, SUPAFS_HTTP_NOT_SENT);
	assert_non_null(strstr(reply.error, "certificate"));
	supafs_http_reply_fini(&reply);
}

static void added_authority(void **state)
{
	struct tls *t = *state;
	struct supafs_http_reply reply;

	assert_int_equal(get(t, t->cert, "127.0.0.1", &reply), 0);
	assert_int_equal(reply.status, 200);
	assert_true(reply.body.n > 0);
	supafs_http_reply_fini(&reply);
}

/* Had HTTP/2 not been offered, this server would have answered in HTTP/1. */
static void offers_http2(void **state)
{
	struct tls *t = *state;
	struct supafs_http_reply reply;

	assert_int_not_equal(get(t, t->cert, "127.0.0.1", &reply), 0);
	assert_int_equal(reply.status, 0);
	assert_int_not_equal(reply.progress, SUPAFS_HTTP_NOT_SENT);
	supafs_http_reply_fini(&reply);
}

static void wrong_name(void **state)
{
	struct tls *t = *state;
	struct supafs_http_reply reply;

	assert_int_equal(get(t, t->cert, "localhost", &reply), -ECONNABORTED);
	assert_int_equal(reply.progress, SUPAFS_HTTP_NOT_SENT);
	supafs_http_reply_fini(&reply);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(unknown_authority, setup, teardown),
		cmocka_unit_test_setup_teardown(added_authority, setup, teardown),
		cmocka_unit_test_setup_teardown(offers_http2, setup_h2, teardown),
		cmocka_unit_test_setup_teardown(wrong_name, setup, teardown),
	};
	const char *const probe[] = {"openssl", "version", NULL};

	if (!run(probe)) {
		(void)printf("1..0 # SKIP openssl is absent: apt-get install openssl\n");
		return 0; /* with TAP the line alone says skipped */
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
