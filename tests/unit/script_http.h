/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A transport for tests: asserts each request exactly, in order, and gives canned answers.
 */
#pragma once

#include "supafs/http/http.h"

struct exchange {
	/* Asserted. A '*' at the end of url, or of a header line, stands for any rest. */
	enum supafs_http_method method;
	const char *url;
	const char *headers[10]; /* all of them, in order, NULL-terminated */
	const char *body;        /* NULL: none may be sent */
	uint64_t body_size;      /* not 0: one of so many bytes, which are not read */
	/* Given. */
	int error; /* not 0: the transfer breaks, `progress` far */
	enum supafs_http_progress progress;
	int status;
	const char *reply;
	const char *etag;
	const char *range;      /* Content-Range */
	int64_t retry_after_ms; /* 0: none */
	const char *location;
	const char *offset, *length, *metadata; /* Upload-… */
	int64_t took_ms;                        /* moves the script's clock */
	bool no_length;                         /* no Content-Length */
	bool again;                             /* stays for the next request too */
};

struct script_http {
	struct supafs_http base;
	const struct exchange *list;
	size_t n, at;
	struct supafs_fake_clock *clock; /* NULL: none is moved */
};

void script_init(struct script_http *s, const struct exchange *list, size_t n);
/* All exchanges have happened. */
void script_done(const struct script_http *s);
