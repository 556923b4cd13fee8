/* SPDX-License-Identifier: Apache-2.0 */
/* The server of the harnesses. Nothing here may fail: what does ends the process. */
#include "serve_bench.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/limits.h"
#include "supafs/util/parse.h"

#include "fuzz.h"

#define PATIENCE_S 60 /* an answer that takes longer never comes */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void at_exit(void)
{
	struct serve_bench *b = serve_bench_get();

	b->control = serve_control_stop(b->control);
	b->server = serve_server_stop(b->server);
	b->app.faults = serve_faults_free(b->app.faults);
	b->app.service.policies = serve_policies_free(b->app.service.policies);
	b->app.service.db = serve_db_close(b->app.service.db);
	serve_blobs_fini(&b->app.service.blobs);
	supafs_buf_fini(&b->token);
	(void)close(b->dir_fd);
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): every other thread has ended */
	(void)nftw(b->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(b);
}

static void open_service(struct serve_bench *b)
{
	struct serve_service *s = &b->app.service;
	const struct serve_bucket bucket = {
		.id = SUPAFS_STR("b"), .name = SUPAFS_STR("b"), .owner = {"", 0}};
	const char *why = "";
	char path[96];

	s->blobs.objects_fd = s->blobs.tmp_fd = s->blobs.uploads_fd = -1;
	s->size_limit = 1U << 20;
	s->tus_expiry_us = INT64_C(3600000000);
	FUZZ_CHECK(serve_blobs_init(&s->blobs, b->dir_fd, false, SERVE_ETAG_STORED) == 0);
	(void)snprintf(path, sizeof(path), "%s/meta.db", b->dir);
	FUZZ_CHECK(serve_db_open(path, false, &s->db, &why) == 0);
	FUZZ_CHECK(serve_policies_new(s->db, &s->policies) == 0);
	FUZZ_CHECK(serve_bucket_create(s, NULL, &bucket) == SERVE_OK);
}

static void open_parts(struct serve_bench *b)
{
	struct serve_control_config control = {
		.dir = b->dir, .counters = &b->counters, .jwt = &b->app.jwt};
	char why[512] = "";

	FUZZ_CHECK(serve_jwt_init(&b->app.jwt, SUPAFS_STR("secret of the harness")) == 0);
	FUZZ_CHECK(serve_faults_new(&b->app.faults) == 0);
	supafs_buf_init(&b->token, SUPAFS_SECRET_MAX);
	FUZZ_CHECK(serve_jwt_sign(
			   &b->app.jwt, SUPAFS_STR("{\"role\":\"service_role\"}"), &b->token) == 0);
	FUZZ_CHECK(serve_server_start(&b->app, &b->server, why, sizeof(why)) == 0);
	control.faults = b->app.faults;
	control.policies = b->app.service.policies;
	FUZZ_CHECK(serve_control_start(&control, &b->control) == 0);
}

static void store_object(struct serve_bench *b, const char *key)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf q, out;

	supafs_buf_init(&q, 4096);
	supafs_buf_init(&out, SERVE_BENCH_ANSWER_MAX);
	(void)supafs_buf_addf(&q,
		"POST /object/b/%s HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"
		"Authorization: Bearer %s\r\nContent-Type: text/plain\r\nContent-Length: 10\r\n\r\n"
		"0123456789",
		key, supafs_buf_cstr(&b->token));
	serve_bench_ask(b, supafs_buf_str(&q), false, &out);
	FUZZ_CHECK(supafs_str_starts(supafs_buf_str(&out), SUPAFS_STR("HTTP/1.1 200")));
}

/* The texts of argv are static: the configuration views them. */
static struct serve_bench *bench_new(void)
{
	static char name[] = "serve", port[] = "--port", zero[] = "0";
	static char base[] = "--base-path", none[] = "";
	struct serve_bench *b = calloc(1, sizeof(*b));
	char *argv[] = {name, b ? b->dir : NULL, port, zero, base, none, NULL};
	char why[512] = "";
	sigset_t all, old;

	FUZZ_CHECK(b);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)snprintf(b->dir, sizeof(b->dir), "/tmp/supafs-fuzz-XXXXXX");
	FUZZ_CHECK(mkdtemp(b->dir));
	FUZZ_CHECK(serve_options_parse(6, argv, &b->config, why, sizeof(why)) == 0);
	b->dir_fd = open(b->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	FUZZ_CHECK(b->dir_fd >= 0);
	b->app.config = &b->config;
	b->app.counters = &b->counters;
	supafs_mutex_init(&b->app.tus_mutex);
	supafs_cond_init(&b->app.tus_freed);
	supafs_mutex_init(&b->app.stop_mutex);
	supafs_cond_init(&b->app.stop_cond);
	open_service(b);
	/* The fuzzer's timer is not the server's business: its threads get no signals. */
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_BLOCK, &all, &old);
	open_parts(b);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	store_object(b, "a.txt");
	store_object(b, "dir/c.txt");
	return b;
}

struct serve_bench *serve_bench_get(void)
{
	static struct serve_bench *bench;

	if (!bench) {
		bench = bench_new();
		FUZZ_CHECK(atexit(at_exit) == 0);
	}
	return bench;
}

/* The server may close while we send; what it has said is read all the same. */
static void talk(int fd, struct supafs_str text, bool half, struct supafs_buf *out)
{
	const struct timeval patience = {.tv_sec = PATIENCE_S};
	char buf[16384];
	ssize_t n = 0;

	FUZZ_CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) == 0);
	while (text.n > 0) {
		n = TEMP_FAILURE_RETRY(send(fd, text.p, text.n, MSG_NOSIGNAL));
		if (n <= 0)
			break;
		text.p += n;
		text.n -= (size_t)n;
	}
	if (half)
		(void)shutdown(fd, SHUT_WR);
	supafs_buf_reset(out);
	while ((n = TEMP_FAILURE_RETRY(recv(fd, buf, sizeof(buf), 0))) > 0)
		FUZZ_CHECK(supafs_buf_add(out, buf, (size_t)n) == 0);
	FUZZ_CHECK(n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK));
	(void)close(fd);
}

void serve_bench_ask(
	struct serve_bench *b, struct supafs_str request, bool half, struct supafs_buf *out)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	const struct linger reset = {.l_onoff = 1}; /* thousands of inputs: no port in TIME_WAIT */
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	uint64_t port = 0;

	FUZZ_CHECK(supafs_parse_u64(
			   supafs_str_of(strrchr(b->app.url, ':') + 1), UINT16_MAX, &port) == 0);
	a.sin_port = htons((uint16_t)port);
	FUZZ_CHECK(fd >= 0 && connect(fd, (const struct sockaddr *)&a, sizeof(a)) == 0);
	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	talk(fd, request, half, out);
}

void serve_bench_control(struct serve_bench *b, struct supafs_str lines, struct supafs_buf *out)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(a.sun_path, sizeof(a.sun_path), "%s/control", b->dir);
	FUZZ_CHECK(fd >= 0 && connect(fd, (const struct sockaddr *)&a, sizeof(a)) == 0);
	talk(fd, lines, true, out);
}
