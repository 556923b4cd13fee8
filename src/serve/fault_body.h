/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The body of an answer made slow, cut or dripping (struct serve_fault: rate_down, cut_after,
 * drip_ms). The announced length stays the true one; a cut ends the connection.
 *
 * Threads: the response is sent by the thread of its connection, which may sleep.
 */
#pragma once

#include <microhttpd.h>
#include <stdbool.h>
#include <stdint.h>

#include "faults.h"

struct serve_fault_source {
	const char *text; /* the body, alive as long as the wrapped response; NULL: from `fd` */
	int fd;           /* borrowed until the answer is sent */
	uint64_t from;    /* offset in the file */
	uint64_t size;    /* bytes of the body */
	/* Sleeps; false when the server stops. */
	bool (*wait_ms)(void *ctx, uint64_t ms);
	void *ctx;
};

/* How far a paced stream of bytes is. Starts zeroed. */
struct serve_fault_pace {
	bool began;
	int64_t start_ns; /* monotonic */
};

/* Milliseconds to wait before `bytes` in all are due at `rate` bytes a second (not 0); the clock
 * starts with the first call. */
uint64_t serve_fault_pace_ms(
	struct serve_fault_pace *p, uint64_t rate, uint64_t bytes, int64_t now_ns);

/* Does this effect touch the body at all? */
bool serve_fault_body_wanted(const struct serve_fault *f);

/* A response with the headers of `inner` and the same body, spoiled as `f` says. It owns `inner`
 * from then on. NULL when out of memory: `inner` is still the caller's. */
struct MHD_Response *serve_fault_body_wrap(struct MHD_Response *inner, const struct serve_fault *f,
	const struct serve_fault_source *source);
