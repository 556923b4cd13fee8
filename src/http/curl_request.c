/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request as curl sees it: options, and the callbacks, which run on the transport
 * thread. A callback that refuses to go on leaves the reason in `error`.
 */
#include <errno.h>
#include <stdlib.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/clock.h"

#include "curl_priv.h"
#include "header_priv.h"

enum {
	RECEIVE_SMALL = 64 << 10,
	RECEIVE_LARGE = 512 << 10,
	SEND_SMALL = 16 << 10,
	SEND_LARGE = 1 << 20,
	IDLE_MAX_S = 55,           /* API §14: gateways close at 60 s */
	LIFETIME_MAX_S = 600,      /* so that DNS changes are seen */
	ERROR_BODY_READ = 1 << 20, /* of an error body at most this much is read */
};

/* --- Sending ----------------------------------------------------------------------------- */

static uint64_t body_size(const struct supafs_transfer *t)
{
	return t->req->body ? t->req->body->size : 0;
}

static size_t read_body(char *buf, size_t size, size_t count, void *ctx)
{
	struct supafs_transfer *t = ctx;
	const struct supafs_http_source *source = t->req->body;
	const uint64_t left = body_size(t) - t->next_off;
	size_t want = size * count;
	ssize_t n = 0;

	if (left == 0)
		return 0;
	want = left < want ? (size_t)left : want;
	n = source->pread(source->ctx, buf, want, t->next_off);
	if (n <= 0 || (size_t)n > want) {
		t->error = n < 0 ? (int)n : -EIO;
		return CURL_READFUNC_ABORT;
	}
	t->next_off += (uint64_t)n;
	t->some_handed = true;
	t->all_handed = t->all_handed || t->next_off == body_size(t);
	return (size_t)n;
}

static int seek_body(void *ctx, curl_off_t offset, int origin)
{
	struct supafs_transfer *t = ctx;

	if (origin != SEEK_SET || offset < 0 || (uint64_t)offset > body_size(t))
		return CURL_SEEKFUNC_FAIL;
	t->next_off = (uint64_t)offset;
	return CURL_SEEKFUNC_OK;
}

static bool safe_method(enum supafs_http_method m)
{
	return m == SUPAFS_HTTP_GET || m == SUPAFS_HTTP_HEAD || m == SUPAFS_HTTP_OPTIONS;
}

/* May what was handed over have had an effect? Of a PATCH (TUS) a part is kept, too. */
static bool may_have_acted(const struct supafs_transfer *t)
{
	if (safe_method(t->req->method))
		return false;
	return t->all_handed || (t->req->method == SUPAFS_HTTP_PATCH && t->some_handed);
}

/* Runs before each attempt. curl repeats a request by itself when a reused connection dies
 * without an answer; a write that may have had an effect must not go out twice unnoticed. */
static int before_request(
	void *ctx, char *remote_ip, char *local_ip, int remote_port, int local_port)
{
	struct supafs_transfer *t = ctx;

	(void)remote_ip;
	(void)local_ip;
	(void)remote_port;
	(void)local_port;
	if (t->attempted && may_have_acted(t)) {
		t->repeat_refused = true;
		t->error = -ECONNRESET;
		return CURL_PREREQFUNC_ABORT;
	}
	t->attempted = true;
	t->all_handed = body_size(t) == 0;
	return CURL_PREREQFUNC_OK;
}

/* --- Receiving --------------------------------------------------------------------------- */

static bool success(const struct supafs_transfer *t)
{
	return t->reply->status >= 200 && t->reply->status <= 299;
}

/* The blank line behind a header block. */
static int end_headers(struct supafs_transfer *t)
{
	const struct supafs_http_sink *sink = t->req->sink;

	if (t->reply->status < 200)
		return 0;
	t->final_headers = true;
	return success(t) && sink && sink->begin ? sink->begin(sink->ctx, t->reply) : 0;
}

static int take_line(struct supafs_transfer *t, struct supafs_str line)
{
	const struct supafs_clock *clock = supafs_clock_system();
	const int status = supafs_http_parse_status_line(line);

	if (t->reply->first_byte_ns == 0)
		t->reply->first_byte_ns = clock->mono_ns(clock) - t->started_ns;
	if (t->final_headers)
		return 0; /* a trailer */
	if (status > 0) {
		supafs_http_clear_headers(t->reply);
		t->reply->status = status;
		return 0;
	}
	if (line.n == 0)
		return end_headers(t);
	supafs_http_take_header(t->reply, line, clock->wall_ns(clock));
	return 0;
}

static size_t read_header(char *p, size_t size, size_t count, void *ctx)
{
	struct supafs_transfer *t = ctx;
	const size_t n = size * count;
	struct supafs_str line = {p, n};

	t->header_bytes += n;
	if (t->header_bytes > SUPAFS_HEADERS_MAX) {
		t->error = -EPROTO;
		return 0;
	}
	while (line.n > 0 && (line.p[line.n - 1] == '\n' || line.p[line.n - 1] == '\r'))
		line.n--;
	t->error = take_line(t, line);
	return t->error == 0 ? n : 0;
}

/* The beginning of an error body is kept; the rest is read (for the connection's sake) up to
 * a bound. */
static size_t keep_error_body(struct supafs_transfer *t, const char *p, size_t n)
{
	struct supafs_buf *body = &t->reply->body;
	const size_t room = SUPAFS_ERR_BODY_MAX > body->n ? SUPAFS_ERR_BODY_MAX - body->n : 0;

	t->error_bytes += n;
	t->error = supafs_buf_add(body, p, n < room ? n : room);
	t->enough = t->error_bytes > ERROR_BODY_READ;
	return t->error == 0 && !t->enough ? n : 0;
}

static size_t write_body(char *p, size_t size, size_t count, void *ctx)
{
	struct supafs_transfer *t = ctx;
	const struct supafs_http_sink *sink = t->req->sink;
	const size_t n = size * count;

	if (!success(t))
		return keep_error_body(t, p, n);
	if (!sink) {
		t->error = supafs_buf_add(&t->reply->body, p, n);
		if (t->error == -EMSGSIZE)
			t->error = -EPROTO;
		return t->error == 0 ? n : 0;
	}
	t->error = sink->write(sink->ctx, p, n);
	if (t->error == -EAGAIN) {
		t->error = 0;
		t->paused = true;
		return CURL_WRITEFUNC_PAUSE;
	}
	return t->error == 0 ? n : 0;
}

/* --- Options ----------------------------------------------------------------------------- */

/* Adds a line; on failure the list stays as it is. */
static int add_line(struct supafs_transfer *t, const char *line)
{
	struct curl_slist *longer = curl_slist_append(t->headers, line);

	if (!longer)
		return -ENOMEM;
	t->headers = longer;
	return 0;
}

static int add_headers(struct supafs_transfer *t)
{
	/* Without a value: curl shall not add its own. The request's own lines come later and win.
	 */
	static const char *const suppressed[] = {"Expect:", "Content-Type:", "Transfer-Encoding:"};
	int r = 0;
	bool own_type = false;

	for (size_t i = 0; t->req->headers && t->req->headers[i] && r == 0; i++) {
		const char *line = t->req->headers[i];

		own_type = own_type || strncasecmp(line, "Content-Type:", 13) == 0;
		r = add_line(t, line);
	}
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(suppressed) && r == 0; i++) {
		if (i != 1 || !own_type)
			r = add_line(t, suppressed[i]);
	}
	return r;
}

static void note(CURLcode *rc, CURLcode result)
{
	if (*rc == CURLE_OK)
		*rc = result;
}

/* The first failure sticks in `rc`. */
#define SET(rc, easy, option, value) note(rc, curl_easy_setopt(easy, option, value))

static void set_fixed(CURL *easy, CURLcode *rc)
{
	SET(rc, easy, CURLOPT_NOSIGNAL, 1L);
	SET(rc, easy, CURLOPT_NOPROGRESS, 1L);
	SET(rc, easy, CURLOPT_PATH_AS_IS, 1L);
	SET(rc, easy, CURLOPT_PROTOCOLS_STR, "http,https");
	SET(rc, easy, CURLOPT_FOLLOWLOCATION, 0L);
	SET(rc, easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	SET(rc, easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
	SET(rc, easy, CURLOPT_SSL_VERIFYPEER, 1L);
	SET(rc, easy, CURLOPT_SSL_VERIFYHOST, 2L);
	SET(rc, easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	SET(rc, easy, CURLOPT_TCP_NODELAY, 1L);
	SET(rc, easy, CURLOPT_TCP_KEEPALIVE, 1L);
	/* A transfer that ends while its host's name is looked up leaves the look-up behind: else
	 * all others would wait for the name server, too. */
	SET(rc, easy, CURLOPT_QUICK_EXIT, 1L);
	SET(rc, easy, CURLOPT_MAXAGE_CONN, (long)IDLE_MAX_S);
	SET(rc, easy, CURLOPT_MAXLIFETIME_CONN, (long)LIFETIME_MAX_S);
}

static void set_settings(CURL *easy, const struct supafs_curl_settings *s, CURLcode *rc)
{
	const uint64_t most = INT32_MAX;
	const uint64_t connect = s->connect_timeout_ms < most ? s->connect_timeout_ms : most;
	struct curl_blob ca = {s->ca_extra.p, s->ca_extra.n, CURL_BLOB_NOCOPY};

	SET(rc, easy, CURLOPT_USERAGENT, s->user_agent);
	SET(rc, easy, CURLOPT_PROXY, s->proxy);
	SET(rc, easy, CURLOPT_NOPROXY, "");
	SET(rc, easy, CURLOPT_CONNECTTIMEOUT_MS, (long)connect);
	if (ca.len > 0)
		SET(rc, easy, CURLOPT_CAINFO_BLOB, &ca);
}

/* Buffers are curl's per transfer: small ones for small things keep many transfers cheap. */
static void set_buffers(const struct supafs_transfer *t, CURLcode *rc)
{
	const uint64_t size = body_size(t);
	long send = SEND_LARGE;

	if (size < SEND_LARGE)
		send = size > SEND_SMALL ? (long)size : SEND_SMALL;
	SET(rc, t->easy, CURLOPT_BUFFERSIZE, (long)(t->req->sink ? RECEIVE_LARGE : RECEIVE_SMALL));
	SET(rc, t->easy, CURLOPT_UPLOAD_BUFFERSIZE, send);
}

static void set_callbacks(struct supafs_transfer *t, CURLcode *rc)
{
	SET(rc, t->easy, CURLOPT_PRIVATE, t);
	SET(rc, t->easy, CURLOPT_ERRORBUFFER, t->curl_error);
	SET(rc, t->easy, CURLOPT_READFUNCTION, read_body);
	SET(rc, t->easy, CURLOPT_READDATA, t);
	SET(rc, t->easy, CURLOPT_SEEKFUNCTION, seek_body);
	SET(rc, t->easy, CURLOPT_SEEKDATA, t);
	SET(rc, t->easy, CURLOPT_PREREQFUNCTION, before_request);
	SET(rc, t->easy, CURLOPT_PREREQDATA, t);
	SET(rc, t->easy, CURLOPT_HEADERFUNCTION, read_header);
	SET(rc, t->easy, CURLOPT_HEADERDATA, t);
	SET(rc, t->easy, CURLOPT_WRITEFUNCTION, write_body);
	SET(rc, t->easy, CURLOPT_WRITEDATA, t);
}

static void set_method(const struct supafs_transfer *t, CURLcode *rc)
{
	const enum supafs_http_method m = t->req->method;
	const bool takes_body =
		m == SUPAFS_HTTP_POST || m == SUPAFS_HTTP_PUT || m == SUPAFS_HTTP_PATCH;

	if (t->req->body || takes_body) {
		/* UPLOAD is the form that streams with a Content-Length; the method's name is ours.
		 */
		SET(rc, t->easy, CURLOPT_UPLOAD, 1L);
		SET(rc, t->easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)body_size(t));
	} else if (m == SUPAFS_HTTP_HEAD) {
		SET(rc, t->easy, CURLOPT_NOBODY, 1L);
		return;
	}
	SET(rc, t->easy, CURLOPT_CUSTOMREQUEST, supafs_http_method_name(m));
}

int supafs_curl_prepare(struct supafs_transfer *t, const struct supafs_curl_settings *s)
{
	CURLcode rc = CURLE_OK;
	int r = 0;

	if (strlen(t->req->url) > SUPAFS_URL_MAX || body_size(t) > INT64_MAX)
		return -EINVAL;
	supafs_buf_fini(&t->reply->body);
	supafs_buf_init(
		&t->reply->body, t->req->max_body > 0 ? t->req->max_body : SUPAFS_JSON_BODY_MAX);
	r = add_headers(t);
	if (r != 0)
		return r;
	set_fixed(t->easy, &rc);
	set_settings(t->easy, s, &rc);
	set_buffers(t, &rc);
	set_callbacks(t, &rc);
	set_method(t, &rc);
	SET(&rc, t->easy, CURLOPT_HTTPHEADER, t->headers);
	SET(&rc, t->easy, CURLOPT_URL, t->req->url);
	if (rc == CURLE_OK)
		return 0;
	return rc == CURLE_OUT_OF_MEMORY ? -ENOMEM : -EINVAL;
}
