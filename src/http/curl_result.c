/* SPDX-License-Identifier: Apache-2.0 */
/* How a transfer ended: curl's code into errno, progress, and a sentence for people. */
#include <errno.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <sys/ioctl.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/clock.h"
#include "supafs/util/log.h"

#include "curl_priv.h"

static uint64_t info_off(CURL *easy, CURLINFO info)
{
	curl_off_t v = 0;

	return curl_easy_getinfo(easy, info, &v) == CURLE_OK && v > 0 ? (uint64_t)v : 0;
}

static uint64_t info_long(CURL *easy, CURLINFO info)
{
	long v = 0;

	return curl_easy_getinfo(easy, info, &v) == CURLE_OK && v > 0 ? (uint64_t)v : 0;
}

/* Bytes that the kernel has not yet brought to the other side: a slow line drains megabytes
 * after curl has handed over the last one. */
static uint64_t send_queue(CURL *easy)
{
	curl_socket_t fd = CURL_SOCKET_BAD;
	int queued = 0;

	if (curl_easy_getinfo(easy, CURLINFO_ACTIVESOCKET, &fd) != CURLE_OK ||
		fd == CURL_SOCKET_BAD || ioctl(fd, SIOCOUTQ, &queued) != 0 || queued < 0)
		return 0;
	return (uint64_t)queued;
}

uint64_t supafs_curl_moved(const struct supafs_transfer *t)
{
	/* The queue counts downwards: subtracted, so that the sum rises while it drains. */
	return info_off(t->easy, CURLINFO_SIZE_UPLOAD_T) +
	       info_off(t->easy, CURLINFO_SIZE_DOWNLOAD_T) +
	       info_long(t->easy, CURLINFO_REQUEST_SIZE) + t->header_bytes - send_queue(t->easy);
}

static int connect_error(CURL *easy)
{
	switch (info_long(easy, CURLINFO_OS_ERRNO)) {
	case ECONNRESET:
		return -ECONNRESET;
	case EHOSTUNREACH:
	case ENETUNREACH:
	case EADDRNOTAVAIL:
		return -EHOSTUNREACH;
	case ETIMEDOUT:
		return -ETIMEDOUT;
	default:
		return -ECONNREFUSED;
	}
}

static int errno_of(CURL *easy, CURLcode code)
{
	static const struct {
		CURLcode code;
		int error;
	} rows[] = {
		{CURLE_COULDNT_RESOLVE_HOST, -EHOSTUNREACH},
		{CURLE_COULDNT_RESOLVE_PROXY, -EHOSTUNREACH},
		{CURLE_OPERATION_TIMEDOUT, -ETIMEDOUT},
		{CURLE_SEND_ERROR, -ECONNRESET},
		{CURLE_RECV_ERROR, -ECONNRESET},
		{CURLE_GOT_NOTHING, -ECONNRESET},
		{CURLE_PARTIAL_FILE, -ECONNRESET},
		{CURLE_HTTP2, -ECONNRESET},
		{CURLE_HTTP2_STREAM, -ECONNRESET},
		{CURLE_SSL_CONNECT_ERROR, -ECONNRESET},
		{CURLE_SEND_FAIL_REWIND, -ECONNRESET},
		{CURLE_PEER_FAILED_VERIFICATION, -ECONNABORTED},
		{CURLE_SSL_CACERT_BADFILE, -ECONNABORTED},
		{CURLE_SSL_ISSUER_ERROR, -ECONNABORTED},
		{CURLE_SSL_INVALIDCERTSTATUS, -ECONNABORTED},
		{CURLE_SSL_CERTPROBLEM, -ECONNABORTED},
		{CURLE_URL_MALFORMAT, -EINVAL},
		{CURLE_OUT_OF_MEMORY, -ENOMEM},
	};

	if (code == CURLE_OK)
		return 0;
	if (code == CURLE_COULDNT_CONNECT)
		return connect_error(easy);
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(rows); i++) {
		if (rows[i].code == code)
			return rows[i].error;
	}
	return -EPROTO;
}

static enum supafs_http_progress progress_of(const struct supafs_transfer *t)
{
	const uint64_t size = t->req->body ? t->req->body->size : 0;

	if (t->reply->status > 0)
		return SUPAFS_HTTP_REPLY_PART;
	if (!t->easy || info_long(t->easy, CURLINFO_REQUEST_SIZE) == 0)
		return SUPAFS_HTTP_NOT_SENT;
	/* An attempt before curl's own repeat may have been whole. */
	if (info_off(t->easy, CURLINFO_SIZE_UPLOAD_T) < size &&
		!(t->repeat_refused && t->all_handed))
		return SUPAFS_HTTP_BODY_PART;
	return SUPAFS_HTTP_BODY_SENT;
}

static const char *override_text(int r)
{
	switch (-r) {
	case EINTR:
		return "the transfer was cancelled";
	case ETIMEDOUT:
		return "no answer in time";
	case ESHUTDOWN:
		return "the transport is shutting down";
	case ENOMEM:
		return "out of memory";
	case EINVAL:
		return "the request cannot be sent: bad URL or header";
	default:
		return "the transfer failed";
	}
}

/* A header line above curl's own bound (100 KiB) is "out of memory" to it. */
static bool line_too_long(const struct supafs_transfer *t, CURLcode code)
{
	return code == CURLE_OUT_OF_MEMORY && t->reply->status > 0 && !t->final_headers;
}

static void set_text(struct supafs_transfer *t, CURLcode code, int override)
{
	const char *text = t->curl_error;

	if (override != 0)
		text = override_text(override);
	else if (t->error == -EPROTO || line_too_long(t, code))
		text = "the server's headers or body are larger than supafs accepts";
	else if (t->repeat_refused)
		text = "the connection broke before the server answered";
	else if (t->error != 0)
		text = "reading or storing the content failed on this machine";
	else if (code == CURLE_OK)
		text = "the connection ended inside the headers";
	else if (text[0] == '\0')
		text = curl_easy_strerror(code);
	(void)supafs_log_redact(text, strlen(text), t->reply->error, sizeof(t->reply->error));
}

int supafs_curl_result(struct supafs_transfer *t, CURLcode code, int override)
{
	const struct supafs_clock *clock = supafs_clock_system();
	struct supafs_http_reply *reply = t->reply;
	int r = override;

	if (t->started_ns > 0)
		reply->total_ns = clock->mono_ns(clock) - t->started_ns;
	reply->progress = progress_of(t);
	if (r == 0 && t->enough)
		return 0;
	if (r == 0)
		r = t->error != 0 ? t->error : errno_of(t->easy, code);
	if (r == -ENOMEM && line_too_long(t, code))
		r = -EPROTO;
	/* To curl, headers that end with the connection are complete. */
	if (r == 0 && !t->final_headers)
		r = -ECONNRESET;
	if (r != 0)
		set_text(t, code, override);
	return r;
}
