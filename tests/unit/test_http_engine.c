/* SPDX-License-Identifier: Apache-2.0 */
/* The curl transport against a server that behaves. */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "supafs/util/cleanup.h"

#include "http_fixture.h"

static int setup(void **state)
{
	struct http_fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	http_fixture_start(f, (struct http_knobs){0});
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	http_fixture_stop(*state);
	free(*state);
	return 0;
}

static void normal(void **state)
{
	struct http_exchange x;

	assert_int_equal(http_exchange_simple(&x, *state, SUPAFS_HTTP_GET, "/normal"), 0);
	assert_int_equal(x.reply.status, 200);
	assert_string_equal(supafs_buf_cstr(&x.reply.body), "hello");
	assert_int_equal(x.reply.content_length, 5);
	assert_true(x.reply.json);
	assert_string_equal(x.reply.etag, "\"abc\"");
	assert_string_equal(x.reply.request_id, "own");
	assert_string_equal(x.reply.location, "/there");
	assert_int_equal(x.reply.upload_offset, 77);
	assert_int_equal(x.reply.date_ns, INT64_C(1795518000) * SUPAFS_NS_PER_S);
	assert_true(x.reply.first_byte_ns > 0 && x.reply.total_ns >= x.reply.first_byte_ns);
	assert_string_equal(x.reply.error, "");
	http_exchange_end(&x);
}

static void bodies(void **state)
{
	static const struct {
		const char *path;
		enum supafs_http_method method;
		int status;
		const char *body;
		uint64_t length;
	} rows[] = {
		{"/chunked", SUPAFS_HTTP_GET, 200, "hello", UINT64_MAX},
		{"/until-close", SUPAFS_HTTP_GET, 200, "hello", UINT64_MAX},
		{"/head", SUPAFS_HTTP_HEAD, 200, "", 1234},
		{"/204", SUPAFS_HTTP_DELETE, 204, "", UINT64_MAX},
		{"/304", SUPAFS_HTTP_GET, 304, "", 1234},
		{"/interim", SUPAFS_HTTP_GET, 200, "hello", 5},
		{"/range", SUPAFS_HTTP_GET, 206, "fghij", 5},
		{"/retry", SUPAFS_HTTP_GET, 429, "slow", 4},
		{"/redirect", SUPAFS_HTTP_GET, 302, "", 0},
		{"/nowhere", SUPAFS_HTTP_GET, 404, "", 0},
		{"/normal", SUPAFS_HTTP_OPTIONS, 200, "hello", 5},
	};

	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(rows); i++) {
		struct http_exchange x;

		assert_int_equal(http_exchange_simple(&x, *state, rows[i].method, rows[i].path), 0);
		assert_int_equal(x.reply.status, rows[i].status);
		assert_string_equal(supafs_buf_cstr(&x.reply.body), rows[i].body);
		assert_true(x.reply.content_length == rows[i].length);
		http_exchange_end(&x);
	}
}

static void header_details(void **state)
{
	struct http_exchange x;

	assert_int_equal(http_exchange_simple(&x, *state, SUPAFS_HTTP_GET, "/range"), 0);
	assert_true(x.reply.has_range);
	assert_int_equal(x.reply.range_first, 5);
	assert_int_equal(x.reply.range_last, 9);
	assert_int_equal(x.reply.range_total, 100);
	http_exchange_end(&x);

	assert_int_equal(http_exchange_simple(&x, *state, SUPAFS_HTTP_GET, "/retry"), 0);
	assert_int_equal(x.reply.retry_after_ms, 7000);
	http_exchange_end(&x);

	assert_int_equal(http_exchange_simple(&x, *state, SUPAFS_HTTP_GET, "/304"), 0);
	assert_string_equal(x.reply.etag, "W/\"x\"");
	http_exchange_end(&x);

	/* Nothing of a 1xx reply, nothing of a trailer. */
	assert_int_equal(http_exchange_simple(&x, *state, SUPAFS_HTTP_GET, "/interim"), 0);
	assert_string_equal(x.reply.etag, "");
	assert_string_equal(x.reply.location, "");
	http_exchange_end(&x);
	assert_int_equal(http_exchange_simple(&x, *state, SUPAFS_HTTP_GET, "/chunked"), 0);
	assert_string_equal(x.reply.etag, "");
	http_exchange_end(&x);

	assert_int_equal(http_exchange_simple(&x, *state, SUPAFS_HTTP_GET, "/long-etag"), 0);
	assert_string_equal(x.reply.etag, "");
	http_exchange_end(&x);
}

/* What goes over the wire, and what does not. */
static void request_head(void **state)
{
	const char *const headers[] = {"X-Own: yes", "Content-Type: text/plain", NULL};
	const struct supafs_str body = SUPAFS_STR("ping");
	const struct supafs_http_source source = supafs_http_source_mem(&body);
	struct http_exchange x;
	const char *head = NULL;

	http_exchange_init(&x, *state, SUPAFS_HTTP_POST, "/echo?/../a/./%2E");
	x.req.headers = headers;
	x.req.body = &source;
	assert_int_equal(http_exchange_run(&x, *state), 0);
	head = supafs_buf_cstr(&x.reply.body);
	assert_true(strncmp(head, "POST /echo?/../a/./%2E HTTP/1.1\r\n", 33) == 0);
	assert_non_null(strstr(head, "\r\nX-Own: yes\r\n"));
	assert_non_null(strstr(head, "\r\nContent-Type: text/plain\r\n"));
	assert_non_null(strstr(head, "\r\nContent-Length: 4\r\n"));
	assert_non_null(strstr(head, "\r\nUser-Agent: supafs-test/1\r\n"));
	assert_null(strcasestr(head, "expect:"));
	assert_null(strcasestr(head, "accept-encoding:"));
	assert_null(strcasestr(head, "transfer-encoding:"));
	http_exchange_end(&x);
}

/* Each method with and without a body has its name and a length where one belongs. */
static void methods(void **state)
{
	static const struct {
		enum supafs_http_method method;
		bool body;
		const char *begin;
		const char *length; /* NULL: no Content-Length */
	} rows[] = {
		{SUPAFS_HTTP_GET, false, "GET /echo ", NULL},
		{SUPAFS_HTTP_DELETE, false, "DELETE /echo ", NULL},
		{SUPAFS_HTTP_DELETE, true, "DELETE /echo ", "\r\nContent-Length: 4\r\n"},
		{SUPAFS_HTTP_POST, false, "POST /echo ", "\r\nContent-Length: 0\r\n"},
		{SUPAFS_HTTP_PUT, false, "PUT /echo ", "\r\nContent-Length: 0\r\n"},
		{SUPAFS_HTTP_PATCH, false, "PATCH /echo ", "\r\nContent-Length: 0\r\n"},
		{SUPAFS_HTTP_PATCH, true, "PATCH /echo ", "\r\nContent-Length: 4\r\n"},
		{SUPAFS_HTTP_OPTIONS, false, "OPTIONS /echo ", NULL},
	};
	const struct supafs_str body = SUPAFS_STR("ping");
	const struct supafs_http_source source = supafs_http_source_mem(&body);

	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(rows); i++) {
		struct http_exchange x;
		const char *head = NULL;

		http_exchange_init(&x, *state, rows[i].method, "/echo");
		x.req.body = rows[i].body ? &source : NULL;
		assert_int_equal(http_exchange_run(&x, *state), 0);
		head = supafs_buf_cstr(&x.reply.body);
		assert_true(strncmp(head, rows[i].begin, strlen(rows[i].begin)) == 0);
		if (rows[i].length)
			assert_non_null(strstr(head, rows[i].length));
		else
			assert_null(strcasestr(head, "content-length"));
		assert_null(strcasestr(head, "content-type"));
		http_exchange_end(&x);
	}
}

static void upload(void **state)
{
	static const uint64_t sizes[] = {0, 1, 16384, 65537, 8 << 20};
	struct http_fixture *f = *state;

	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(sizes); i++) {
		const struct supafs_http_source source = http_pattern_source(sizes[i]);
		struct http_exchange x;

		http_exchange_init(&x, f, SUPAFS_HTTP_PUT, "/upload");
		x.req.body = &source;
		assert_int_equal(http_exchange_run(&x, f), 0);
		assert_int_equal(x.reply.status, 200);
		assert_true(f->server.body_bytes == sizes[i]);
		assert_true(f->server.body_sum == http_pattern_sum(sizes[i]));
		http_exchange_end(&x);
	}
}

static void keep_alive(void **state)
{
	struct http_fixture *f = *state;

	for (int i = 0; i < 20; i++) {
		struct http_exchange x;

		assert_int_equal(http_exchange_simple(&x, f, SUPAFS_HTTP_GET, "/normal"), 0);
		http_exchange_end(&x);
	}
	assert_int_equal(f->server.requests, 20);
	assert_int_equal(f->server.accepts, 1);
}

/* --- Many at once ------------------------------------------------------------------------ */

struct worker {
	pthread_t thread;
	struct http_fixture *f;
	const char *path;
	_Atomic bool ready; /* x.call may be looked at */
	struct http_exchange x;
};

static void *work(void *ctx)
{
	struct worker *w = ctx;

	http_exchange_init(&w->x, w->f, SUPAFS_HTTP_GET, w->path);
	w->ready = true;
	(void)http_exchange_run(&w->x, w->f);
	return NULL;
}

static void start_workers(struct worker *w, size_t n, struct http_fixture *f, const char *path)
{
	for (size_t i = 0; i < n; i++) {
		w[i].f = f;
		w[i].path = path;
		assert_int_equal(pthread_create(&w[i].thread, NULL, work, &w[i]), 0);
	}
}

static void join_workers(struct worker *w, size_t n, int result)
{
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(pthread_join(w[i].thread, NULL), 0);
		assert_int_equal(w[i].x.result, result);
		if (result == 0)
			assert_string_equal(supafs_buf_cstr(&w[i].x.reply.body), "hello");
		http_exchange_end(&w[i].x);
	}
}

/* 100 requests that all wait inside the server at the same time. */
static void hundred_at_once(void **state)
{
	struct http_fixture f;
	struct worker *w = calloc(100, sizeof(*w));

	(void)state;
	assert_non_null(w);
	http_fixture_start(&f, (struct http_knobs){.connections = 100});
	start_workers(w, 100, &f, "/hold");
	tcp_server_wait_held(&f.server, 100);
	tcp_server_release(&f.server);
	join_workers(w, 100, 0);
	assert_int_equal(f.server.accepts, 100);
	http_fixture_stop(&f);
	free(w);
}

/* 100 callers, 4 connections: the rest waits in line and is served all the same. */
static void hundred_in_line(void **state)
{
	struct http_fixture f;
	struct worker *w = calloc(100, sizeof(*w));

	(void)state;
	assert_non_null(w);
	http_fixture_start(&f, (struct http_knobs){.connections = 4});
	start_workers(w, 100, &f, "/normal");
	join_workers(w, 100, 0);
	assert_int_equal(f.server.requests, 100);
	assert_in_range(f.server.accepts, 1, 8);
	http_fixture_stop(&f);
	free(w);
}

/* The transport has taken the request: it is under way or in line. */
static bool taken(struct worker *w)
{
	if (!w->ready)
		return false;
	SUPAFS_SCOPED_LOCK(&w->x.call.lock);
	return w->x.call.waker != NULL;
}

static void free_ends_transfers(void **state)
{
	struct http_fixture f;
	struct worker w[8] = {0};

	(void)state;
	http_fixture_start(&f, (struct http_knobs){.connections = 4});
	start_workers(w, 8, &f, "/hold");
	tcp_server_wait_held(&f.server, 4);
	/* The other four must be in line before the end, or they would come too late. */
	for (size_t i = 0; i < 8; i++)
		while (!taken(&w[i]))
			(void)sched_yield();
	f.http = supafs_http_free(f.http);
	for (size_t i = 0; i < 8; i++) {
		assert_int_equal(pthread_join(w[i].thread, NULL), 0);
		assert_int_equal(w[i].x.result, -ESHUTDOWN);
		http_exchange_end(&w[i].x);
	}
	tcp_server_stop(&f.server);
}

/* --- Pausing ----------------------------------------------------------------------------- */

/* A sink with a door: closed, it takes nothing. */
struct door {
	struct supafs_mutex lock;
	struct supafs_cond changed; /* lock */
	bool open;                  /* lock */
	bool refused;               /* lock; something was turned away */
	bool begun;                 /* lock */
	uint64_t taken;             /* lock */
	bool good;                  /* lock; the pattern was right so far */
	int error;                  /* lock; once open, the answer to what comes; 0: takes it */
	unsigned refusals;          /* lock; how often it was given */
};

static int door_begin(void *ctx, const struct supafs_http_reply *r)
{
	struct door *d = ctx;

	SUPAFS_SCOPED_LOCK(&d->lock);
	d->begun = r->status == 200;
	return 0;
}

static int door_write(void *ctx, const void *p, size_t n)
{
	struct door *d = ctx;
	const unsigned char *at = p;

	SUPAFS_SCOPED_LOCK(&d->lock);
	if (!d->open) {
		d->refused = true;
		supafs_cond_broadcast(&d->changed);
		return -EAGAIN;
	}
	if (d->error) {
		d->refusals++;
		return d->error;
	}
	for (size_t i = 0; i < n; i++)
		d->good = d->good && at[i] == tcp_pattern(d->taken + i);
	d->taken += n;
	return 0;
}

static void door_init(struct door *d)
{
	*d = (struct door){.good = true};
	supafs_mutex_init(&d->lock);
	supafs_cond_init(&d->changed);
}

static void door_wait_refused(struct door *d)
{
	SUPAFS_SCOPED_LOCK(&d->lock);
	while (!d->refused)
		supafs_cond_wait(&d->changed, &d->lock);
	d->refused = false;
}

static void door_set(struct door *d, bool open)
{
	SUPAFS_SCOPED_LOCK(&d->lock);
	d->open = open;
}

static void door_fini(struct door *d)
{
	supafs_cond_fini(&d->changed);
	supafs_mutex_fini(&d->lock);
}

struct paused_get {
	struct worker w;
	struct door door;
	struct supafs_http_sink sink;
};

static void *paused_work(void *ctx)
{
	struct paused_get *g = ctx;

	(void)http_exchange_run(&g->w.x, g->w.f);
	return NULL;
}

static void paused_start(struct paused_get *g, struct http_fixture *f)
{
	memset(&g->w, 0, sizeof(g->w));
	door_init(&g->door);
	g->sink = (struct supafs_http_sink){door_begin, door_write, &g->door};
	g->w.f = f;
	http_exchange_init(&g->w.x, f, SUPAFS_HTTP_GET, "/large");
	g->w.x.req.sink = &g->sink;
	assert_int_equal(pthread_create(&g->w.thread, NULL, paused_work, g), 0);
	door_wait_refused(&g->door);
}

static void paused_end(struct paused_get *g, int result)
{
	assert_int_equal(pthread_join(g->w.thread, NULL), 0);
	assert_int_equal(g->w.x.result, result);
	assert_true(g->door.good && g->door.begun);
	http_exchange_end(&g->w.x);
	door_fini(&g->door);
}

/* One slot, a download that stands still in it: others pass, then it comes home whole. A
 * pause is no silence, however short the stall time. */
static void paused_blocks_nobody(void **state)
{
	struct http_fixture f;
	struct paused_get g[3];
	struct http_exchange x;

	(void)state;
	http_fixture_start(&f, (struct http_knobs){.connections = 1, .stall_ms = 400});
	for (size_t i = 0; i < 3; i++)
		paused_start(&g[i], &f);
	for (int i = 0; i < 10; i++) {
		assert_int_equal(http_exchange_simple(&x, &f, SUPAFS_HTTP_GET, "/normal"), 0);
		http_exchange_end(&x);
	}
	/* Longer than the stall time. */
	assert_int_equal(http_exchange_simple(&x, &f, SUPAFS_HTTP_GET, "/drip"), 0);
	http_exchange_end(&x);
	for (size_t i = 0; i < 3; i++) {
		supafs_call_poke(&g[i].w.x.call); /* still closed: pauses again */
		door_wait_refused(&g[i].door);
		door_set(&g[i].door, true);
		supafs_call_poke(&g[i].w.x.call);
		paused_end(&g[i], 0);
		assert_int_equal(g[i].door.taken, 16 << 20);
	}
	http_fixture_stop(&f);
}

static void cancel_paused(void **state)
{
	struct http_fixture *f = *state;
	struct paused_get g;

	paused_start(&g, f);
	supafs_call_cancel(&g.w.x.call);
	paused_end(&g, -EINTR);
	assert_int_equal(g.w.x.reply.progress, SUPAFS_HTTP_REPLY_PART);
}

/* What curl has kept during a pause meets a sink that cannot take it: the end, at once. */
static void paused_sink_fails(void **state)
{
	struct http_fixture *f = *state;
	struct paused_get g;

	paused_start(&g, f);
	{
		SUPAFS_SCOPED_LOCK(&g.door.lock);
		g.door.error = -ENOSPC;
		g.door.open = true;
	}
	supafs_call_poke(&g.w.x.call);
	paused_end(&g, -ENOSPC);
	assert_int_equal(g.door.refusals, 1);
}

/* --- Cancelling -------------------------------------------------------------------------- */

static void cancel_in_flight(void **state)
{
	struct http_fixture *f = *state;
	struct paused_get g = {0};

	g.w.f = f;
	http_exchange_init(&g.w.x, f, SUPAFS_HTTP_GET, "/hold");
	assert_int_equal(pthread_create(&g.w.thread, NULL, paused_work, &g), 0);
	tcp_server_wait_held(&f->server, 1);
	supafs_call_cancel(&g.w.x.call);
	assert_int_equal(pthread_join(g.w.thread, NULL), 0);
	assert_int_equal(g.w.x.result, -EINTR);
	assert_int_equal(g.w.x.reply.progress, SUPAFS_HTTP_BODY_SENT);
	http_exchange_end(&g.w.x);
}

static void cancel_before(void **state)
{
	struct http_fixture *f = *state;
	struct http_exchange x;

	http_exchange_init(&x, f, SUPAFS_HTTP_GET, "/normal");
	supafs_call_cancel(&x.call);
	assert_int_equal(http_exchange_run(&x, f), -EINTR);
	assert_int_equal(x.reply.progress, SUPAFS_HTTP_NOT_SENT);
	http_exchange_end(&x);
	assert_int_equal(f->server.requests, 0);
}

static void cancel_in_line(void **state)
{
	struct http_fixture f;
	struct worker first = {0};
	struct paused_get second = {0};

	(void)state;
	http_fixture_start(&f, (struct http_knobs){.connections = 1});
	start_workers(&first, 1, &f, "/hold");
	tcp_server_wait_held(&f.server, 1);
	second.w.f = &f;
	http_exchange_init(&second.w.x, &f, SUPAFS_HTTP_GET, "/normal");
	assert_int_equal(pthread_create(&second.w.thread, NULL, paused_work, &second), 0);
	supafs_call_cancel(&second.w.x.call);
	assert_int_equal(pthread_join(second.w.thread, NULL), 0);
	assert_int_equal(second.w.x.result, -EINTR);
	assert_int_equal(second.w.x.reply.progress, SUPAFS_HTTP_NOT_SENT);
	http_exchange_end(&second.w.x);
	tcp_server_release(&f.server);
	join_workers(&first, 1, 0);
	http_fixture_stop(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(normal, setup, teardown),
		cmocka_unit_test_setup_teardown(bodies, setup, teardown),
		cmocka_unit_test_setup_teardown(header_details, setup, teardown),
		cmocka_unit_test_setup_teardown(request_head, setup, teardown),
		cmocka_unit_test_setup_teardown(methods, setup, teardown),
		cmocka_unit_test_setup_teardown(upload, setup, teardown),
		cmocka_unit_test_setup_teardown(keep_alive, setup, teardown),
		cmocka_unit_test(hundred_at_once),
		cmocka_unit_test(hundred_in_line),
		cmocka_unit_test(free_ends_transfers),
		cmocka_unit_test(paused_blocks_nobody),
		cmocka_unit_test_setup_teardown(cancel_paused, setup, teardown),
		cmocka_unit_test_setup_teardown(paused_sink_fails, setup, teardown),
		cmocka_unit_test_setup_teardown(cancel_in_flight, setup, teardown),
		cmocka_unit_test_setup_teardown(cancel_before, setup, teardown),
		cmocka_unit_test(cancel_in_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
