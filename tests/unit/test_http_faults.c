/* SPDX-License-Identifier: Apache-2.0 */
/* The curl transport against a server, and a network, that misbehave. */
#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/file.h"

#include "http_fixture.h"

static int setup(void **state)
{
	struct http_fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	http_fixture_start(f, (struct http_knobs){.stall_ms = 400});
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	http_fixture_stop(*state);
	free(*state);
	return 0;
}

static void broken_replies(void **state)
{
	static const struct {
		const char *path;
		enum supafs_http_method method;
		int result;
		enum supafs_http_progress progress;
		int status;
	} rows[] = {
		{"/short", SUPAFS_HTTP_GET, -ECONNRESET, SUPAFS_HTTP_REPLY_PART, 200},
		{"/bad-chunk", SUPAFS_HTTP_GET, -ECONNRESET, SUPAFS_HTTP_REPLY_PART, 200},
		{"/reset/request", SUPAFS_HTTP_GET, -ECONNRESET, SUPAFS_HTTP_BODY_SENT, 0},
		{"/close/request", SUPAFS_HTTP_GET, -ECONNRESET, SUPAFS_HTTP_BODY_SENT, 0},
		{"/close/request", SUPAFS_HTTP_POST, -ECONNRESET, SUPAFS_HTTP_BODY_SENT, 0},
		{"/reset/body", SUPAFS_HTTP_GET, -ECONNRESET, SUPAFS_HTTP_REPLY_PART, 200},
		{"/no-http", SUPAFS_HTTP_GET, -EPROTO, SUPAFS_HTTP_BODY_SENT, 0},
		{"/huge-headers", SUPAFS_HTTP_GET, -EPROTO, SUPAFS_HTTP_REPLY_PART, 200},
		{"/long-header", SUPAFS_HTTP_GET, -EPROTO, SUPAFS_HTTP_REPLY_PART, 200},
		{"/endless", SUPAFS_HTTP_GET, -EPROTO, SUPAFS_HTTP_REPLY_PART, 200},
		{"/silence", SUPAFS_HTTP_GET, -ETIMEDOUT, SUPAFS_HTTP_BODY_SENT, 0},
		{"/silence-body", SUPAFS_HTTP_GET, -ETIMEDOUT, SUPAFS_HTTP_REPLY_PART, 200},
	};

	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(rows); i++) {
		struct http_exchange x;
		const int r = http_exchange_simple(&x, *state, rows[i].method, rows[i].path);

		if (r != rows[i].result || x.reply.progress != rows[i].progress)
			print_message("# %s: %d, progress %u, %s\n", rows[i].path, r,
				x.reply.progress, x.reply.error);
		assert_int_equal(r, rows[i].result);
		assert_int_equal(x.reply.progress, rows[i].progress);
		assert_int_equal(x.reply.status, rows[i].status);
		assert_true(x.reply.error[0] != '\0');
		http_exchange_end(&x);
	}
}

/* The headers broke off: some may be known, the reply is not whole. */
static void broken_headers(void **state)
{
	struct http_exchange x;

	assert_int_equal(
		http_exchange_simple(&x, *state, SUPAFS_HTTP_GET, "/reset/headers"), -ECONNRESET);
	http_exchange_end(&x);
}

static void slow_is_not_silent(void **state)
{
	struct http_exchange x;

	/* 20 bytes in 800 ms, stall time 400 ms. */
	assert_int_equal(http_exchange_simple(&x, *state, SUPAFS_HTTP_GET, "/drip"), 0);
	assert_int_equal(x.reply.body.n, 20);
	assert_true(x.reply.total_ns > 700 * SUPAFS_NS_PER_MS);
	http_exchange_end(&x);
}

/* A byte now and then is as good as none: 4 a second are under the least rate. */
static void trickle_is_silent(void **state)
{
	struct http_fixture f;
	struct http_exchange x;

	(void)state;
	http_fixture_start(&f, (struct http_knobs){.stall_ms = 1000});
	assert_int_equal(http_exchange_simple(&x, &f, SUPAFS_HTTP_GET, "/trickle"), -ETIMEDOUT);
	assert_int_equal(x.reply.progress, SUPAFS_HTTP_REPLY_PART);
	assert_true(x.reply.total_ns >= 990 * SUPAFS_NS_PER_MS);
	http_exchange_end(&x);
	http_fixture_stop(&f);
}

static void deadline(void **state)
{
	struct http_fixture f;
	struct http_exchange x;

	(void)state;
	http_fixture_start(&f, (struct http_knobs){0});
	http_exchange_init(&x, &f, SUPAFS_HTTP_GET, "/drip");
	supafs_call_fini(&x.call);
	supafs_call_init(&x.call, supafs_clock_system(), 300);
	assert_int_equal(http_exchange_run(&x, &f), -ETIMEDOUT);
	assert_true(x.reply.total_ns >= 290 * SUPAFS_NS_PER_MS);
	assert_int_equal(x.reply.progress, SUPAFS_HTTP_REPLY_PART);
	http_exchange_end(&x);
	http_fixture_stop(&f);
}

static void refused(void **state)
{
	struct http_fixture f;
	struct http_exchange x;
	const struct supafs_http_config cfg = {.max_connections = 1, .connect_timeout_ms = 1000};

	(void)state;
	/* A port that was free a moment ago. */
	http_fixture_start(&f, (struct http_knobs){0});
	http_exchange_init(&x, &f, SUPAFS_HTTP_GET, "/");
	http_fixture_stop(&f);
	assert_int_equal(supafs_http_new_curl(&cfg, &f.http), 0);
	assert_int_equal(http_exchange_run(&x, &f), -ECONNREFUSED);
	assert_int_equal(x.reply.progress, SUPAFS_HTTP_NOT_SENT);
	http_exchange_end(&x);
	(void)supafs_http_free(f.http);
}

static void no_such_host(void **state)
{
	struct http_exchange x;

	http_exchange_init(&x, *state, SUPAFS_HTTP_GET, "/");
	x.req.url = "http://nowhere.invalid/";
	assert_int_equal(http_exchange_run(&x, *state), -EHOSTUNREACH);
	assert_int_equal(x.reply.progress, SUPAFS_HTTP_NOT_SENT);
	http_exchange_end(&x);
}

/* --- A name server that does not answer --------------------------------------------------- */

/* curl's look-ups come here; those of SLOW_HOST wait for the test. */
#define SLOW_HOST "slow.test"

static struct slow {
	pthread_mutex_t lock;
	pthread_cond_t changed; /* lock */
	bool asked;             /* lock */
	bool released;          /* lock */
	bool left;              /* lock */
} slow = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void slow_lookup(void)
{
	(void)pthread_mutex_lock(&slow.lock);
	slow.asked = true;
	(void)pthread_cond_broadcast(&slow.changed);
	while (!slow.released)
		(void)pthread_cond_wait(&slow.changed, &slow.lock);
	slow.left = true;
	(void)pthread_cond_broadcast(&slow.changed);
	(void)pthread_mutex_unlock(&slow.lock);
}

int getaddrinfo(
	const char *name, const char *service, const struct addrinfo *req, struct addrinfo **pai)
{
	int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **) = NULL;
	void *symbol = dlsym(RTLD_NEXT, "getaddrinfo");

	if (name && strcmp(name, SLOW_HOST) == 0) {
		slow_lookup();
		return EAI_NONAME;
	}
	memcpy(&real, &symbol, sizeof(symbol));
	return real(name, service, req, pai);
}

static void slow_wait(const bool *what)
{
	(void)pthread_mutex_lock(&slow.lock);
	while (!*what)
		(void)pthread_cond_wait(&slow.changed, &slow.lock);
	(void)pthread_mutex_unlock(&slow.lock);
}

struct slow_get {
	struct http_exchange x;
	const struct http_fixture *f;
};

static void *slow_work(void *ctx)
{
	struct slow_get *g = ctx;

	(void)http_exchange_run(&g->x, g->f);
	return NULL;
}

/* Cancelling does not wait for the name, and nobody else does. */
static void slow_name(void **state)
{
	struct http_fixture f;
	struct slow_get g = {.f = &f};
	struct http_exchange other;
	pthread_t thread;

	(void)state;
	http_fixture_start(&f, (struct http_knobs){0});
	http_exchange_init(&g.x, &f, SUPAFS_HTTP_GET, "/");
	g.x.req.url = "http://" SLOW_HOST "/";
	assert_int_equal(pthread_create(&thread, NULL, slow_work, &g), 0);
	slow_wait(&slow.asked);
	supafs_call_cancel(&g.x.call);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(g.x.result, -EINTR);
	assert_int_equal(g.x.reply.progress, SUPAFS_HTTP_NOT_SENT);
	assert_int_equal(http_exchange_simple(&other, &f, SUPAFS_HTTP_GET, "/normal"), 0);
	http_exchange_end(&other);
	http_exchange_end(&g.x);
	http_fixture_stop(&f);
	(void)pthread_mutex_lock(&slow.lock);
	slow.released = true;
	(void)pthread_cond_broadcast(&slow.changed);
	(void)pthread_mutex_unlock(&slow.lock);
	slow_wait(&slow.left);
}

static void bad_urls(void **state)
{
	static char longest[SUPAFS_URL_MAX + 2] = "http://127.0.0.1/";
	static const char *const urls[] = {
		"ftp://127.0.0.1/", "file:///etc/passwd", "not a url", "", longest};

	memset(longest + strlen(longest), 'a', sizeof(longest) - 1 - strlen(longest));
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(urls); i++) {
		struct http_exchange x;

		http_exchange_init(&x, *state, SUPAFS_HTTP_GET, "/");
		x.req.url = urls[i];
		assert_int_not_equal(http_exchange_run(&x, *state), 0);
		assert_int_equal(x.reply.progress, SUPAFS_HTTP_NOT_SENT);
		http_exchange_end(&x);
	}
}

static void reset_accept(void **state)
{
	struct http_fixture *f = *state;
	struct http_exchange x;

	f->server.reset_accepted = true;
	assert_int_equal(http_exchange_simple(&x, f, SUPAFS_HTTP_GET, "/normal"), -ECONNRESET);
	http_exchange_end(&x);
}

/* --- Bodies over their bound ------------------------------------------------------------- */

static void collected_bound(void **state)
{
	static const struct {
		size_t max;
		int result;
	} rows[] = {{4, -EPROTO}, {5, 0}, {6, 0}};

	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(rows); i++) {
		struct http_exchange x;

		http_exchange_init(&x, *state, SUPAFS_HTTP_GET, "/normal");
		x.req.max_body = rows[i].max;
		assert_int_equal(http_exchange_run(&x, *state), rows[i].result);
		http_exchange_end(&x);
	}
}

/* An error is an answer, however long its text; only the beginning is kept. */
static void error_bodies(void **state)
{
	static const char *const paths[] = {"/large-error", "/endless-error"};

	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(paths); i++) {
		struct http_exchange x;

		assert_int_equal(http_exchange_simple(&x, *state, SUPAFS_HTTP_GET, paths[i]), 0);
		assert_int_equal(x.reply.status, 500);
		assert_int_equal(x.reply.body.n, SUPAFS_ERR_BODY_MAX);
		http_exchange_end(&x);
	}
}

static int failing_begin(void *ctx, const struct supafs_http_reply *r)
{
	(void)r;
	return *(const int *)ctx;
}

static int failing_write(void *ctx, const void *p, size_t n)
{
	(void)p;
	(void)n;
	return *(const int *)ctx;
}

static void sink_errors(void **state)
{
	static int error = -ESTALE;
	const struct supafs_http_sink at_begin = {failing_begin, failing_write, &error};
	const struct supafs_http_sink at_write = {NULL, failing_write, &error};
	struct http_exchange x;

	http_exchange_init(&x, *state, SUPAFS_HTTP_GET, "/normal");
	x.req.sink = &at_begin;
	assert_int_equal(http_exchange_run(&x, *state), -ESTALE);
	assert_string_equal(x.reply.etag, "\"abc\"");
	http_exchange_end(&x);

	http_exchange_init(&x, *state, SUPAFS_HTTP_GET, "/normal");
	x.req.sink = &at_write;
	assert_int_equal(http_exchange_run(&x, *state), -ESTALE);
	http_exchange_end(&x);

	/* Neither is called for a status that is no success. */
	http_exchange_init(&x, *state, SUPAFS_HTTP_GET, "/retry");
	x.req.sink = &at_begin;
	assert_int_equal(http_exchange_run(&x, *state), 0);
	assert_string_equal(supafs_buf_cstr(&x.reply.body), "slow");
	http_exchange_end(&x);
}

/* --- Uploads ----------------------------------------------------------------------------- */

static int upload(struct http_exchange *x, struct http_fixture *f, const char *path, uint64_t size)
{
	const struct supafs_http_source source = http_pattern_source(size);

	http_exchange_init(x, f, SUPAFS_HTTP_POST, path);
	x->req.body = &source;
	return http_exchange_run(x, f);
}

static void early_refusal(void **state)
{
	struct http_exchange x;

	assert_int_equal(upload(&x, *state, "/refuse-upload", 64 << 20), 0);
	assert_int_equal(x.reply.status, 413);
	assert_string_equal(supafs_buf_cstr(&x.reply.body), "too big");
	http_exchange_end(&x);
}

static void upload_progress(void **state)
{
	struct http_exchange x;

	assert_int_equal(upload(&x, *state, "/reset/upload", 32 << 20), -ECONNRESET);
	assert_int_equal(x.reply.progress, SUPAFS_HTTP_BODY_PART);
	http_exchange_end(&x);

	assert_int_equal(upload(&x, *state, "/lost-answer", 100000), -ECONNRESET);
	assert_int_equal(x.reply.progress, SUPAFS_HTTP_BODY_SENT);
	http_exchange_end(&x);

	/* The server reads nothing: silence in both directions, part of the body sent. */
	assert_int_equal(upload(&x, *state, "/silence", 64 << 20), -ETIMEDOUT);
	assert_int_equal(x.reply.progress, SUPAFS_HTTP_BODY_PART);
	http_exchange_end(&x);
}

static ssize_t failing_pread(void *ctx, void *buf, size_t n, uint64_t off)
{
	(void)ctx;
	memset(buf, 'x', n);
	return off < 100000 ? (ssize_t)n : -EIO;
}

static void source_error(void **state)
{
	const struct supafs_http_source source = {failing_pread, NULL, 64 << 20};
	struct http_exchange x;

	http_exchange_init(&x, *state, SUPAFS_HTTP_PUT, "/upload");
	x.req.body = &source;
	assert_int_equal(http_exchange_run(&x, *state), -EIO);
	assert_int_equal(x.reply.progress, SUPAFS_HTTP_BODY_PART);
	http_exchange_end(&x);
}

/* A kept connection dies under the second request. A read is repeated unnoticed; a write
 * that may have arrived is not. */
static void dead_connection(void **state)
{
	struct http_fixture *f = *state;
	struct http_exchange x;

	for (int i = 0; i < 2; i++) {
		assert_int_equal(http_exchange_simple(&x, f, SUPAFS_HTTP_GET, "/die-second"), 0);
		http_exchange_end(&x);
	}
	assert_int_equal(f->server.accepts, 2);
	assert_int_equal(f->server.requests, 3);

	/* Now a living connection exists; its second request is this one. */
	assert_int_equal(upload(&x, f, "/die-second", 1000), -ECONNRESET);
	assert_int_equal(x.reply.progress, SUPAFS_HTTP_BODY_SENT);
	assert_int_equal(f->server.requests, 4);
	http_exchange_end(&x);

	/* The same without a body. */
	assert_int_equal(http_exchange_simple(&x, f, SUPAFS_HTTP_GET, "/die-second"), 0);
	http_exchange_end(&x);
	assert_int_equal(
		http_exchange_simple(&x, f, SUPAFS_HTTP_DELETE, "/die-second"), -ECONNRESET);
	assert_int_equal(x.reply.progress, SUPAFS_HTTP_BODY_SENT);
	http_exchange_end(&x);
}

/* Of a PATCH that was cut on a kept connection, a part may be there: it is not repeated, and not
 * taken for whole. */
static void dead_connection_patch(void **state)
{
	const struct supafs_http_source source = http_pattern_source(32 << 20);
	struct http_fixture *f = *state;
	struct http_exchange x;
	unsigned before;

	assert_int_equal(http_exchange_simple(&x, f, SUPAFS_HTTP_GET, "/normal"), 0);
	http_exchange_end(&x);
	before = f->server.requests;
	http_exchange_init(&x, f, SUPAFS_HTTP_PATCH, "/reset/upload");
	x.req.body = &source;
	assert_int_equal(http_exchange_run(&x, f), -ECONNRESET);
	assert_int_equal(x.reply.progress, SUPAFS_HTTP_BODY_PART);
	assert_int_equal(f->server.requests, before + 1);
	http_exchange_end(&x);
}

/* --- Set-up and idleness ----------------------------------------------------------------- */

static void bad_cacert(void **state)
{
	struct supafs_http_config cfg = {.max_connections = 1, .cacert = "/nonexistent.pem"};
	struct supafs_http *http = NULL;

	(void)state;
	assert_int_equal(supafs_http_new_curl(&cfg, &http), -EINVAL);
	cfg.cacert = "/proc/self/status";
	assert_int_equal(supafs_http_new_curl(&cfg, &http), -EINVAL);
	assert_null(http);
	assert_null(supafs_http_free(NULL));
	assert_true(strncmp(supafs_http_library_version(), "libcurl/", 8) == 0);
}

/* Times that threads of this process went to sleep by themselves. */
static long switches(void)
{
	long total = 0;

	for (int tid = getpid(); tid < getpid() + 4096; tid++) {
		supafs_cleanup(supafs_buf_fini) struct supafs_buf text;
		char path[64];
		const char *at = NULL;
		long n = 0;

		supafs_buf_init(&text, 8192);
		(void)snprintf(path, sizeof(path), "/proc/self/task/%d/status", tid);
		if (supafs_file_read(path, &text) != 0 ||
			!strstr(supafs_buf_cstr(&text), "Name:\tsupafs-http"))
			continue;
		at = strstr(supafs_buf_cstr(&text), "\nvoluntary_ctxt_switches:");
		if (at && sscanf(at, "\nvoluntary_ctxt_switches: %ld", &n) == 1)
			total += n;
	}
	return total;
}

static void idle_sleeps(void **state)
{
	struct http_exchange x;
	long before = 0;

	assert_int_equal(http_exchange_simple(&x, *state, SUPAFS_HTTP_GET, "/normal"), 0);
	http_exchange_end(&x);
	(void)poll(NULL, 0, 50);
	before = switches();
	assert_true(before > 0);
	(void)poll(NULL, 0, 900); /* over two stall times */
	assert_int_equal(switches(), before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(broken_replies, setup, teardown),
		cmocka_unit_test_setup_teardown(broken_headers, setup, teardown),
		cmocka_unit_test(trickle_is_silent),
		cmocka_unit_test_setup_teardown(slow_is_not_silent, setup, teardown),
		cmocka_unit_test(deadline),
		cmocka_unit_test(refused),
		cmocka_unit_test_setup_teardown(no_such_host, setup, teardown),
		cmocka_unit_test(slow_name),
		cmocka_unit_test_setup_teardown(bad_urls, setup, teardown),
		cmocka_unit_test_setup_teardown(reset_accept, setup, teardown),
		cmocka_unit_test_setup_teardown(collected_bound, setup, teardown),
		cmocka_unit_test_setup_teardown(error_bodies, setup, teardown),
		cmocka_unit_test_setup_teardown(sink_errors, setup, teardown),
		cmocka_unit_test_setup_teardown(early_refusal, setup, teardown),
		cmocka_unit_test_setup_teardown(upload_progress, setup, teardown),
		cmocka_unit_test_setup_teardown(source_error, setup, teardown),
		cmocka_unit_test_setup_teardown(dead_connection, setup, teardown),
		cmocka_unit_test_setup_teardown(dead_connection_patch, setup, teardown),
		cmocka_unit_test(bad_cacert),
		cmocka_unit_test_setup_teardown(idle_sleeps, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
