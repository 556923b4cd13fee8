/* SPDX-License-Identifier: Apache-2.0 */
/* Fixture of the transport's tests. */
#include "http_fixture.h"

void http_fixture_start(struct http_fixture *f, struct http_knobs knobs)
{
	const struct supafs_http_config cfg = {
		.user_agent = "supafs-test/1",
		.max_connections = knobs.connections > 0 ? knobs.connections : 16,
		.connect_timeout_ms = 5000,
		.stall_timeout_ms = knobs.stall_ms > 0 ? knobs.stall_ms : 10000,
	};

	assert_int_equal(tcp_server_start(&f->server), 0);
	assert_int_equal(supafs_http_new_curl(&cfg, &f->http), 0);
}

void http_fixture_stop(struct http_fixture *f)
{
	f->http = supafs_http_free(f->http);
	assert_null(f->http);
	tcp_server_stop(&f->server);
}

void http_exchange_init(struct http_exchange *x, const struct http_fixture *f,
	enum supafs_http_method method, const char *path)
{
	*x = (struct http_exchange){0};
	supafs_call_init(&x->call, supafs_clock_system(), 30000);
	supafs_http_reply_init(&x->reply);
	x->req.method = method;
	x->req.url = tcp_server_url(&f->server, path, x->url);
}

int http_exchange_run(struct http_exchange *x, const struct http_fixture *f)
{
	x->result = supafs_http_perform(f->http, &x->call, &x->req, &x->reply);
	return x->result;
}

int http_exchange_simple(struct http_exchange *x, const struct http_fixture *f,
	enum supafs_http_method method, const char *path)
{
	http_exchange_init(x, f, method, path);
	return http_exchange_run(x, f);
}

void http_exchange_end(struct http_exchange *x)
{
	supafs_http_reply_fini(&x->reply);
	supafs_call_fini(&x->call);
}

static ssize_t pattern_pread(void *ctx, void *buf, size_t n, uint64_t off)
{
	unsigned char *p = buf;

	(void)ctx;
	for (size_t i = 0; i < n; i++)
		p[i] = tcp_pattern(off + i);
	return (ssize_t)n;
}

struct supafs_http_source http_pattern_source(uint64_t size)
{
	return (struct supafs_http_source){.pread = pattern_pread, .size = size};
}

uint64_t http_pattern_sum(uint64_t size)
{
	uint64_t sum = 0;

	for (uint64_t i = 0; i < size; i++)
		sum += tcp_pattern(i) * (i + 1);
	return sum;
}
