/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP server: listening, one thread a connection, and the bridge to rest.h.
 *
 * Threads: start and stop by the owner, on one thread.
 */
#pragma once

#include "rest.h"

struct serve_server;

/* Listens and serves. `app` is filled but for `url`, which this sets (and stop frees). 0, or -errno
 * with one line in `why`. */
int serve_server_start(
	struct serve_app *app, struct serve_server **ret_server, char *why, size_t why_size);
/* Stops accepting, ends every connection, waits for their threads. NULL is fine; returns NULL. */
struct serve_server *serve_server_stop(struct serve_server *s);
