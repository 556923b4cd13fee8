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

/* Does this effect touch the body at all? */
bool serve_fault_body_wanted(const struct serve_fault *f);

/* A response with the headers of `inner` and the same body, spoiled as `f` says. It owns `inner`
 * from then on. NULL when out of memory: `inner` is still the caller's. */
struct MHD_Response *serve_fault_body_wrap(struct MHD_Response *inner, const struct serve_fault *f,
	const struct serve_fault_source *source);
