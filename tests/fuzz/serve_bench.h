/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One supafs-serve in this process: a folder in /tmp that goes away at exit, bucket "b" with the
 * objects "a.txt" (10 bytes) and "dir/c.txt". It is made at the first call and lives as long as the
 * process.
 */
#pragma once

#include "control.h"
#include "rest.h"
#include "server.h"

#define SERVE_BENCH_ANSWER_MAX (8U << 20)

struct serve_bench {
	char dir[64];
	int dir_fd;
	struct serve_config config;
	struct serve_app app;
	struct serve_counters counters;
	struct serve_server *server;
	struct serve_control *control;
	struct supafs_buf token; /* of service_role */
};

struct serve_bench *serve_bench_get(void);

/* Sends a request, reads the answer into `out` until the server closes; `out` is emptied first.
 * With `half` the sending side is ended, for requests that may be incomplete. */
void serve_bench_ask(
	struct serve_bench *b, struct supafs_str request, bool half, struct supafs_buf *out);
/* The same over the control socket, always ended. */
void serve_bench_control(struct serve_bench *b, struct supafs_str lines, struct supafs_buf *out);
