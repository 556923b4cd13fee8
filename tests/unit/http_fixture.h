/* SPDX-License-Identifier: Apache-2.0 */
/* One scripted server and one transport for a test, and short ways to ask. */
#pragma once

#include <stdint.h>

#include "supafs/http/http.h"

#include "tcp_server.h"
#include "unit.h"

struct http_fixture {
	struct tcp_server server;
	struct supafs_http *http;
};

/* Knobs of a fixture, 0: the default. */
struct http_knobs {
	unsigned connections; /* 16 */
	uint64_t stall_ms;    /* 10 000 */
};

void http_fixture_start(struct http_fixture *f, struct http_knobs knobs);
void http_fixture_stop(struct http_fixture *f);

/* One request and its reply; ends with http_exchange_end(). */
struct http_exchange {
	struct supafs_call call;
	struct supafs_http_request req;
	struct supafs_http_reply reply;
	char url[512];
	int result;
};

void http_exchange_init(struct http_exchange *x, const struct http_fixture *f,
	enum supafs_http_method method, const char *path);
/* Performs; the result is also in x->result. */
int http_exchange_run(struct http_exchange *x, const struct http_fixture *f);
/* Init and run without a body. */
int http_exchange_simple(struct http_exchange *x, const struct http_fixture *f,
	enum supafs_http_method method, const char *path);
void http_exchange_end(struct http_exchange *x);

/* A body of `size` bytes of tcp_pattern(). */
struct supafs_http_source http_pattern_source(uint64_t size);
/* What the server's body_sum must be for it. */
uint64_t http_pattern_sum(uint64_t size);
