/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of the curl transport: the engine (curl_engine.c) moves transfers, curl_request.c
 * sets one up and feeds its callbacks, curl_result.c says how it ended.
 */
#pragma once

#include <curl/curl.h>

#include "supafs/http/http.h"
#include "supafs/util/list.h"
#include "supafs/util/lock.h"

/* What every transfer of an engine has in common; const once the engine runs. */
struct supafs_curl_settings {
	char *user_agent;
	char *proxy;                /* "" for none */
	struct supafs_buf ca_extra; /* PEM that is added to the trust; empty: none */
	uint64_t connect_timeout_ms;
};

/* One transfer; lives on the stack of the caller of perform(). Everything but the marked
 * members belongs to the transport thread between submission and `done`. */
struct supafs_transfer {
	struct supafs_list link; /* engine's lock while submitted, then the thread's */
	struct supafs_call *call;
	const struct supafs_http_request *req;
	struct supafs_http_reply *reply;

	_Atomic bool poked;      /* set by any thread (waker), cleared by the transport thread */
	CURLM *multi;            /* to wake the thread; set once */
	_Atomic bool *attention; /* the engine's: some transfer was poked; set once */

	CURL *easy; /* NULL until started */
	struct curl_slist *headers;
	uint64_t next_off;   /* of the body: what curl asks for next */
	bool some_handed;    /* some attempt got a byte of the body */
	bool all_handed;     /* some attempt got the whole request: the server may have it */
	bool attempted;      /* a request was begun on a connection */
	bool repeat_refused; /* curl wanted to repeat what may have arrived */
	bool paused;
	bool final_headers; /* the blank line behind the final header block came */
	bool enough;        /* the rest of an error body is not worth reading */
	size_t header_bytes;
	uint64_t error_bytes; /* of an error body, kept or not */
	int error;            /* what a source, sink or bound wants as the result */
	int64_t started_ns;
	int64_t moved_ns; /* when enough was last seen to move */
	uint64_t moved;   /* sum of all counters at that time */
	char curl_error[CURL_ERROR_SIZE];

	struct supafs_cond ended; /* engine's lock */
	bool done;                /* engine's lock */
	int result;               /* engine's lock */
};

/* Fills the easy handle of `t`. 0, -ENOMEM or -EINVAL. */
int supafs_curl_prepare(struct supafs_transfer *t, const struct supafs_curl_settings *s);

/* Bytes moved so far, in either direction, and those in the socket's send queue. */
uint64_t supafs_curl_moved(const struct supafs_transfer *t);

/* Fills the reply's progress, times and error text. `code` is curl's word; `override` (< 0) is
 * the engine's: cancelled, too late, shut down. Returns what perform() returns. */
int supafs_curl_result(struct supafs_transfer *t, CURLcode code, int override);
