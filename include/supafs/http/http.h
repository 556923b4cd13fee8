/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP: requests and replies as plain data, and the transport that carries them.
 *
 * One transport = one curl multi handle in one thread (src/http/curl_engine.c), the
 * only user of curl's headers. It reuses connections, speaks HTTP/2 where offered,
 * verifies TLS always, follows no redirect, uses no proxy and no netrc unless asked,
 * sends no Accept-Encoding and no Expect, and drops connections idle for 55 s (API §14).
 * It knows nothing of retries, of Supabase or of errno tables: a reply of any status is
 * a success here; only a transfer that broke is an error.
 *
 * The table makes the transport replaceable: backends are tested over a scripted one.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "supafs/util/buf.h"
#include "supafs/util/call.h"
#include "supafs/util/limits.h"

enum supafs_http_method {
	SUPAFS_HTTP_GET,
	SUPAFS_HTTP_HEAD,
	SUPAFS_HTTP_POST,
	SUPAFS_HTTP_PUT,
	SUPAFS_HTTP_PATCH,
	SUPAFS_HTTP_DELETE,
	SUPAFS_HTTP_OPTIONS,
	SUPAFS_HTTP__COUNT,
};
const char *supafs_http_method_name(enum supafs_http_method m);

/* What is sent. Reads must not block on anything but the local disk: they run on the
 * transport thread. A request may be sent again from offset 0 when a reused connection turns
 * out dead, hence pread and not read; never a write (POST, PUT, PATCH, DELETE) that may have
 * arrived whole: that ends with -ECONNRESET and SUPAFS_HTTP_BODY_SENT; nor a PATCH of which a part
 * may have: SUPAFS_HTTP_BODY_PART. */
struct supafs_http_source {
	/* Fills `buf` from `off`; returns the bytes (never 0 before `size`) or -errno. */
	ssize_t (*pread)(void *ctx, void *buf, size_t n, uint64_t off);
	void *ctx;
	uint64_t size; /* exact; always sent as Content-Length (API §5.3) */
};
/* A source over memory; `s` must outlive the transfer. */
struct supafs_http_source supafs_http_source_mem(const struct supafs_str *s);

struct supafs_http_reply;

/* Where a 2xx body goes. Both run on the transport thread: no blocking, no calls into
 * the transport. Other statuses never reach the sink: up to SUPAFS_ERR_BODY_MAX of
 * their body is kept in the reply. */
struct supafs_http_sink {
	/* Once, when the headers of the final reply are in; may be NULL. 0, or -errno which ends
	 * the transfer with that error. */
	int (*begin)(void *ctx, const struct supafs_http_reply *r);
	/* 0; -EAGAIN: nothing taken, pause until supafs_call_poke(), then the same bytes come
	 * again; other -errno: ends the transfer with it. */
	int (*write)(void *ctx, const void *p, size_t n);
	void *ctx;
};

struct supafs_http_request {
	enum supafs_http_method method;
	const char *url;            /* complete, encoded, ≤ SUPAFS_URL_MAX */
	const char *const *headers; /* "Name: value" lines, NULL-terminated; NULL: none */
	const struct supafs_http_source
		*body;                       /* NULL: no body (POST/PUT/PATCH: Content-Length: 0) */
	const struct supafs_http_sink *sink; /* NULL: collect into reply.body */
	size_t max_body; /* most bytes of a collected 2xx body; 0: SUPAFS_JSON_BODY_MAX */
};

/* How far a broken transfer had come: decides whether a write is ambiguous. */
enum supafs_http_progress {
	SUPAFS_HTTP_NOT_SENT,   /* no byte of the request left: always safe to repeat */
	SUPAFS_HTTP_BODY_PART,  /* the request was cut: the server cannot have all of it */
	SUPAFS_HTTP_BODY_SENT,  /* all sent, no whole reply: ambiguous */
	SUPAFS_HTTP_REPLY_PART, /* a reply began: its headers are in the reply */
};

struct supafs_http_reply {
	int status;              /* 100–599; 0 if none came */
	uint64_t content_length; /* UINT64_MAX: unknown */
	uint64_t range_first;    /* of Content-Range; valid if has_range */
	uint64_t range_last;
	uint64_t range_total; /* UINT64_MAX for '*' */
	bool has_range;
	bool json;                      /* Content-Type is application/json */
	char etag[SUPAFS_ETAG_MAX + 1]; /* as sent, quotes kept; W/ kept; "" if none or too long */
	char request_id[64];            /* sb-request-id, x-request-id or cf-ray; "" if none */
	char location[4096];            /* "" if none or too long */
	int64_t retry_after_ms;         /* -1: none; from seconds or an HTTP date */
	int64_t date_ns;                /* Date header, 0: none; to find a wrong clock */
	uint64_t upload_offset;         /* TUS, UINT64_MAX: none; the next one too */
	uint64_t upload_length;
	struct supafs_buf upload_metadata; /* TUS, as sent; "" if none or too long */
	struct supafs_buf body; /* collected 2xx body, or the beginning of an error body */
	enum supafs_http_progress progress;
	int64_t first_byte_ns; /* from the start to the first byte of the reply, 0 if none */
	int64_t total_ns;      /* whole transfer */
	char error[160];       /* for people: why the transfer broke; "" if it did not */
};
void supafs_http_reply_init(struct supafs_http_reply *r);
void supafs_http_reply_fini(struct supafs_http_reply *r);

struct supafs_http;

struct supafs_http_ops {
	/* See supafs_http_perform(). */
	int (*perform)(struct supafs_http *t, struct supafs_call *call,
		const struct supafs_http_request *req, struct supafs_http_reply *ret_reply);
	struct supafs_http *(*free)(struct supafs_http *t);
};

struct supafs_http {
	const struct supafs_http_ops *ops; /* first member of each implementation */
};

/*
 * Sends `req` and waits for the end of the reply. Blocks the calling thread, never
 * another one. `ret_reply` must be initialised; it is filled as far as things went,
 * also on failure.
 * Returns 0 when a whole reply of any status came; -EINTR (call cancelled), -ETIMEDOUT
 * (call's deadline, or silence: next to no byte either way for the stall time), -ECONNREFUSED,
 * -EHOSTUNREACH (no address, no route), -ECONNRESET (broken in the middle, short body
 * included), -EPROTO (no HTTP, headers or body over their bound), -ECONNABORTED
 * (TLS: certificate refused), -ENOMEM, -ESHUTDOWN, or what a source or sink returned.
 * Threads: any number at once.
 */
static inline int supafs_http_perform(struct supafs_http *t, struct supafs_call *call,
	const struct supafs_http_request *req, struct supafs_http_reply *ret_reply)
{
	return t->ops->perform(t, call, req, ret_reply);
}

/* Ends outstanding transfers with -ESHUTDOWN, joins the thread, frees. NULL is fine; returns NULL.
 */
static inline struct supafs_http *supafs_http_free(struct supafs_http *t)
{
	return t ? t->ops->free(t) : NULL;
}

struct supafs_http_config {
	const char *user_agent; /* "supafs/0.1.0"; never one that looks like a browser (API §1.3) */
	const char *cacert;     /* PEM file added to the system's trust; NULL: none */
	const char *proxy;      /* URL; NULL: none, whatever the environment says */
	unsigned max_connections; /* transfers at once, paused ones not counted; more wait in
				     line. Each has a connection of its own, in HTTP/2 too */
	uint64_t connect_timeout_ms;
	uint64_t stall_timeout_ms; /* silence in both directions ends a transfer, and so do fewer
				      than 16 bytes a second for that long; paused ones excepted */
};
/* Copies what it needs. 0, -ENOMEM, -EINVAL (cacert unreadable), -EAGAIN (no thread). */
int supafs_http_new_curl(const struct supafs_http_config *cfg, struct supafs_http **ret_http);
/* "libcurl/7.88.1 OpenSSL/3.0.15 nghttp2/…", static storage. */
const char *supafs_http_library_version(void);

/* --- Header values (RFC 9110), parsed strictly; 0 or -EINVAL ------------------------------- */

/* "bytes 0-9/100", "bytes 0-9" + "/" + "*". */
int supafs_http_parse_content_range(struct supafs_str v, struct supafs_http_reply *r);
/* delta-seconds or an HTTP date relative to `now_wall_ns`; capped at one hour. */
int supafs_http_parse_retry_after(struct supafs_str v, int64_t now_wall_ns, int64_t *ret_ms);
