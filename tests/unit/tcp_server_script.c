/* SPDX-License-Identifier: Apache-2.0 */
/* What the scripted server does for each path. */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "supafs/util/cleanup.h"

#include "tcp_server.h"

#define OK_HEAD "HTTP/1.1 200 OK\r\n"

static bool normal(struct tcp_conn *c)
{
	return tcp_sends(c, OK_HEAD "Content-Length: 5\r\nContent-Type: application/json; x=y\r\n"
				    "ETag: \"abc\"\r\nX-Request-Id: first\r\nsb-request-id: own\r\n"
				    "cf-ray: ray\r\nDate: Tue, 24 Nov 2026 11:00:00 GMT\r\n"
				    "Location: /there\r\nUpload-Offset: 77\r\n\r\nhello");
}

static bool chunked(struct tcp_conn *c)
{
	return tcp_sends(c,
		OK_HEAD "Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;ext=1\r\nlo\r\n"
			"0\r\nETag: \"trailer\"\r\n\r\n");
}

static bool bad_chunk(struct tcp_conn *c)
{
	(void)tcp_sends(c, OK_HEAD "Transfer-Encoding: chunked\r\n\r\nzz\r\nhel\r\n");
	return false;
}

static bool short_body(struct tcp_conn *c)
{
	(void)tcp_sends(c, OK_HEAD "Content-Length: 10\r\n\r\nhello");
	return false;
}

static bool until_close(struct tcp_conn *c)
{
	(void)tcp_sends(c, OK_HEAD "Connection: close\r\n\r\nhello");
	return false;
}

static bool reset_request(struct tcp_conn *c)
{
	return tcp_reset(c);
}

static bool close_request(struct tcp_conn *c)
{
	(void)c;
	return false;
}

static bool reset_headers(struct tcp_conn *c)
{
	(void)tcp_sends(c, OK_HEAD "Content-Len");
	return false;
}

static bool reset_body(struct tcp_conn *c)
{
	(void)tcp_sends(c, OK_HEAD "ETag: \"cut\"\r\nContent-Length: 1000000\r\n\r\n");
	(void)tcp_send_pattern(c, 1000);
	return false;
}

/* The whole upload arrives, the answer is lost. */
static bool lost_answer(struct tcp_conn *c)
{
	(void)tcp_read_body(c);
	return false;
}

/* Only a part of the upload is read before the reset. */
static bool reset_upload(struct tcp_conn *c)
{
	c->content_length = c->content_length < 1000 ? c->content_length : 1000;
	(void)tcp_read_body(c);
	return tcp_reset(c);
}

static bool silence(struct tcp_conn *c)
{
	return tcp_pause_ms(c, -1);
}

static bool silence_body(struct tcp_conn *c)
{
	(void)tcp_sends(c, OK_HEAD "Content-Length: 10\r\n\r\nhel");
	return tcp_pause_ms(c, -1);
}

static bool drops(struct tcp_conn *c, int every_ms)
{
	if (!tcp_sends(c, OK_HEAD "Content-Length: 20\r\n\r\n"))
		return false;
	for (int i = 0; i < 20; i++) {
		if (!tcp_pause_ms(c, every_ms) || !tcp_sends(c, "x"))
			return false;
	}
	return true;
}

static bool drip(struct tcp_conn *c)
{
	return drops(c, 40);
}

static bool trickle(struct tcp_conn *c)
{
	return drops(c, 250);
}

static bool huge_headers(struct tcp_conn *c)
{
	char line[1024];

	memset(line, 'x', sizeof(line));
	memcpy(line, "X-Long: ", 8);
	memcpy(line + sizeof(line) - 2, "\r\n", 2);
	if (!tcp_sends(c, OK_HEAD))
		return false;
	while (tcp_send(c, line, sizeof(line)))
		;
	return false;
}

/* One line, longer than curl takes. */
static bool long_header(struct tcp_conn *c)
{
	char piece[1024];

	memset(piece, 'x', sizeof(piece));
	if (!tcp_sends(c, OK_HEAD "X-Long: "))
		return false;
	for (int i = 0; i < 200; i++) {
		if (!tcp_send(c, piece, sizeof(piece)))
			return false;
	}
	return tcp_sends(c, "\r\nContent-Length: 0\r\n\r\n");
}

static bool endless(struct tcp_conn *c, const char *head)
{
	char chunk[4096 + 8] = "1000\r\n";

	memset(chunk + 6, 'x', 4096);
	memcpy(chunk + 6 + 4096, "\r\n", 2);
	if (!tcp_sends(c, head) || !tcp_sends(c, "Transfer-Encoding: chunked\r\n\r\n"))
		return false;
	while (tcp_send(c, chunk, sizeof(chunk)))
		;
	return false;
}

static bool endless_body(struct tcp_conn *c)
{
	return endless(c, OK_HEAD);
}

static bool endless_error(struct tcp_conn *c)
{
	return endless(c, "HTTP/1.1 500 Oops\r\n");
}

static bool large_error(struct tcp_conn *c)
{
	return tcp_sends(c, "HTTP/1.1 500 Oops\r\nContent-Length: 100000\r\n\r\n") &&
	       tcp_send_pattern(c, 100000);
}

static bool large(struct tcp_conn *c)
{
	return tcp_sends(c, OK_HEAD "Content-Length: 16777216\r\n\r\n") &&
	       tcp_send_pattern(c, 16 << 20);
}

/* A refusal while the body is still coming; the socket stays open until the client closes. */
static bool refuse_upload(struct tcp_conn *c)
{
	char sink[16384];

	(void)tcp_sends(c,
		"HTTP/1.1 413 Too Large\r\nContent-Length: 7\r\nConnection: close\r\n\r\n"
		"too big");
	(void)shutdown(c->fd, SHUT_WR);
	while (recv(c->fd, sink, sizeof(sink), 0) > 0)
		;
	return false;
}

static bool upload(struct tcp_conn *c)
{
	return tcp_read_body(c) && tcp_sends(c, OK_HEAD "Content-Length: 2\r\n\r\n{}");
}

/* Shows the request's head to the client. */
static bool echo(struct tcp_conn *c)
{
	char head[128];

	(void)snprintf(head, sizeof(head), OK_HEAD "Content-Length: %zu\r\n\r\n", c->head_n);
	return tcp_read_body(c) && tcp_sends(c, head) && tcp_send(c, c->head, c->head_n);
}

static bool head(struct tcp_conn *c)
{
	return tcp_sends(c, OK_HEAD "Content-Length: 1234\r\n\r\n");
}

static bool no_content(struct tcp_conn *c)
{
	return tcp_sends(c, "HTTP/1.1 204 No Content\r\n\r\n");
}

static bool not_modified(struct tcp_conn *c)
{
	return tcp_sends(
		c, "HTTP/1.1 304 Not Modified\r\nContent-Length: 1234\r\nETag: W/\"x\"\r\n\r\n");
}

static bool range(struct tcp_conn *c)
{
	return tcp_sends(c, "HTTP/1.1 206 Partial\r\nContent-Range: bytes 5-9/100\r\n"
			    "Content-Length: 5\r\n\r\nfghij");
}

static bool retry_seconds(struct tcp_conn *c)
{
	return tcp_sends(c, "HTTP/1.1 429 Slow\r\nRetry-After: 7\r\nContent-Length: 4\r\n\r\nslow");
}

static bool redirect(struct tcp_conn *c)
{
	return tcp_sends(c, "HTTP/1.1 302 Found\r\nLocation: /normal\r\nContent-Length: 0\r\n\r\n");
}

static bool interim(struct tcp_conn *c)
{
	return tcp_sends(c, "HTTP/1.1 100 Continue\r\nETag: \"interim\"\r\n\r\n"
			    "HTTP/1.1 103 Early Hints\r\nLocation: /hint\r\n\r\n" OK_HEAD
			    "Content-Length: 5\r\n\r\nhello");
}

static bool no_http(struct tcp_conn *c)
{
	(void)tcp_sends(c, "SSH-2.0-OpenSSH_9.2\r\n");
	return false;
}

static bool long_etag(struct tcp_conn *c)
{
	char line[200];

	memset(line, 'e', sizeof(line));
	return tcp_sends(c, OK_HEAD "Content-Length: 0\r\nETag: \"") &&
	       tcp_send(c, line, sizeof(line)) && tcp_sends(c, "\"\r\n\r\n");
}

static bool hold(struct tcp_conn *c)
{
	return tcp_hold(c) && normal(c);
}

/* The first request of a connection is answered, the second one gets the door. */
static bool die_second(struct tcp_conn *c)
{
	if (!tcp_read_body(c) || c->requests > 1)
		return false;
	return normal(c);
}

bool tcp_script(struct tcp_conn *c)
{
	static const struct {
		const char *path;
		bool (*answer)(struct tcp_conn *c);
	} rows[] = {
		{"/normal", normal},
		{"/chunked", chunked},
		{"/bad-chunk", bad_chunk},
		{"/short", short_body},
		{"/until-close", until_close},
		{"/reset/request", reset_request},
		{"/close/request", close_request},
		{"/reset/headers", reset_headers},
		{"/reset/body", reset_body},
		{"/reset/upload", reset_upload},
		{"/lost-answer", lost_answer},
		{"/silence", silence},
		{"/silence-body", silence_body},
		{"/drip", drip},
		{"/trickle", trickle},
		{"/huge-headers", huge_headers},
		{"/long-header", long_header},
		{"/endless", endless_body},
		{"/endless-error", endless_error},
		{"/large-error", large_error},
		{"/large", large},
		{"/refuse-upload", refuse_upload},
		{"/upload", upload},
		{"/echo", echo},
		{"/head", head},
		{"/204", no_content},
		{"/304", not_modified},
		{"/range", range},
		{"/retry", retry_seconds},
		{"/redirect", redirect},
		{"/interim", interim},
		{"/no-http", no_http},
		{"/long-etag", long_etag},
		{"/hold", hold},
		{"/die-second", die_second},
	};

	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(rows); i++) {
		const size_t n = strlen(rows[i].path);

		if (strncmp(c->path, rows[i].path, n) == 0 &&
			(c->path[n] == '\0' || c->path[n] == '?'))
			return rows[i].answer(c);
	}
	return tcp_sends(c, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
}
