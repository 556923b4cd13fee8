/* SPDX-License-Identifier: Apache-2.0 */
/* Applying a fault to a request: before its work, to its body, to its answer. */
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/clock.h"
#include "supafs/util/limits.h"

#include "fault_body.h"
#include "rest.h"

#define LOOK_MS 50 /* how often a silent request looks whether its client is still there */

struct serve_fault_state {
	struct serve_fault fault;
	struct serve_fault_pace up;
};

static int socket_of(const struct serve_request *req)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(req->conn, MHD_CONNECTION_INFO_CONNECTION_FD);

	return info ? info->connect_fd : -1;
}

/* Resets the connection at once: the library's close would first end it in good order. Always
 * false. */
static bool cut(struct serve_request *req)
{
	const struct sockaddr nobody = {.sa_family = AF_UNSPEC};

	(void)connect(socket_of(req), &nobody, sizeof(nobody));
	req->cut = true;
	return false;
}

/* Past the HTTP library, onto the wire. Always false: the connection ends. */
static bool send_raw(struct serve_request *req, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t sent = send(socket_of(req), p, n, MSG_NOSIGNAL);

		if (sent <= 0)
			break;
		p += sent;
		n -= (size_t)sent;
	}
	req->cut = true;
	return false;
}

/* Every value of a byte, line ends and NUL too. */
static bool send_garbage(struct serve_request *req, uint64_t n)
{
	char block[4096];

	for (size_t i = 0; i < sizeof(block); i++)
		block[i] = (char)(unsigned char)(151 + 37 * i);
	while (n > sizeof(block)) {
		(void)send_raw(req, block, sizeof(block));
		n -= sizeof(block);
	}
	return send_raw(req, block, (size_t)n);
}

static bool cut_inside(struct serve_request *req)
{
	static const char beginning[] = "HTTP/1.1 200 OK\r\nContent-Type: applica";

	(void)send_raw(req, beginning, sizeof(beginning) - 1);
	return cut(req);
}

/* Waits so long, or until the server stops: false then. */
static bool wait_ms(struct serve_app *app, uint64_t ms)
{
	const struct supafs_clock *clock = supafs_clock_system();
	const int64_t until_ns = clock->mono_ns(clock) + (int64_t)ms * SUPAFS_NS_PER_MS;

	SUPAFS_SCOPED_LOCK(&app->stop_mutex);
	while (!app->stopping) {
		if (supafs_cond_wait_until(&app->stop_cond, &app->stop_mutex, until_ns) < 0)
			return true;
	}
	return false;
}

void rest_fault_stop(struct serve_app *app)
{
	SUPAFS_SCOPED_LOCK(&app->stop_mutex);
	app->stopping = true;
	supafs_cond_broadcast(&app->stop_cond);
}

/* Waits so long, or until the client leaves or the server stops: false then. */
static bool wait_with_client(struct serve_request *req, uint64_t ms)
{
	while (ms > 0) {
		struct pollfd p = {.fd = socket_of(req), .events = POLLRDHUP};
		uint64_t step = ms < LOOK_MS ? ms : LOOK_MS;

		if (p.fd < 0 || (poll(&p, 1, 0) > 0 && p.revents) || !wait_ms(req->app, step))
			return false;
		ms -= step;
	}
	return true;
}

void rest_fault_decide(struct serve_request *req)
{
	const struct serve_facts facts = {
		.method = supafs_str_of(req->method),
		.kind = req->route->kind,
		.bucket = req->bucket,
		.key = req->key,
	};
	struct serve_fault fault;

	if (!serve_faults_decide(req->app->faults, &facts, &fault))
		return;
	serve_count(&req->app->counters->faults, 1);
	req->fault = calloc(1, sizeof(*req->fault));
	if (req->fault)
		req->fault->fault = fault;
}

void rest_fault_free(struct serve_request *req)
{
	free(req->fault);
	req->fault = NULL;
}

static void add_headers(struct serve_request *req, const struct serve_fault *f)
{
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(f->header); i++) {
		const char *colon = strchr(f->header[i], ':');
		char name[sizeof(f->header[0])];

		if (!colon)
			continue;
		(void)snprintf(
			name, sizeof(name), "%.*s", (int)(colon - f->header[i]), f->header[i]);
		rest_add_header(req, name, colon + 1 + strspn(colon + 1, " "));
	}
}

static void answer_instead(struct serve_request *req, const struct serve_fault *f)
{
	char *text = strdup(f->body);
	const size_t n = text ? strlen(text) : 0;
	struct MHD_Response *r =
		text ? MHD_create_response_from_buffer(n, text, MHD_RESPMEM_MUST_FREE) : NULL;

	if (!r) {
		free(text);
		return;
	}
	(void)MHD_add_response_header(r, "Content-Type",
		f->content_type[0] ? f->content_type : "application/json; charset=utf-8");
	req->body_text = text;
	req->body_size = n;
	rest_response(req, f->status ? f->status : MHD_HTTP_BAD_GATEWAY, r);
	add_headers(req, f);
}

bool rest_fault_start(struct serve_request *req)
{
	const struct serve_fault *f = req->fault ? &req->fault->fault : NULL;

	if (!f)
		return true;
	if (f->delay_ms && !wait_ms(req->app, f->delay_ms))
		return cut(req);
	if (f->silence) {
		(void)wait_with_client(req, UINT64_MAX);
		return cut(req);
	}
	if (f->reset == SERVE_RESET_BEFORE)
		return cut(req);
	if (f->status || f->garbage)
		answer_instead(req, f);
	return true;
}

bool rest_fault_data(struct serve_request *req, size_t n)
{
	const struct serve_fault *f = req->fault ? &req->fault->fault : NULL;

	if (!f)
		return true;
	if (f->reset == SERVE_RESET_BODY && req->received + n > f->reset_after)
		return cut(req);
	if (f->rate_up) {
		const struct supafs_clock *clock = supafs_clock_system();
		uint64_t ms = serve_fault_pace_ms(
			&req->fault->up, f->rate_up, req->received + n, clock->mono_ns(clock));

		if (!wait_with_client(req, ms))
			return cut(req);
	}
	return true;
}

/* A body that was shorter than where it was to be cut: still nothing is done. */
bool rest_fault_work(struct serve_request *req)
{
	return !req->fault || req->fault->fault.reset != SERVE_RESET_BODY || cut(req);
}

static void spoil_etag(struct serve_request *req)
{
	const char *have = MHD_get_response_header(req->response, "ETag");
	char copy[SUPAFS_ETAG_MAX];

	if (!have)
		return;
	(void)snprintf(copy, sizeof(copy), "%s", have);
	(void)MHD_del_response_header(req->response, "ETag", copy);
	(void)MHD_add_response_header(
		req->response, "ETag", "\"00000000000000000000000000000bad\"");
}

static bool wait_for_stop(void *ctx, uint64_t ms)
{
	return wait_ms(ctx, ms);
}

/* A file's descriptor and a text belong to the inner response, which outlives the body. */
static bool spoil_body(struct serve_request *req, const struct serve_fault *fault)
{
	struct serve_fault f = *fault;
	const struct serve_fault_source source = {
		.text = req->file_fd < 0 ? req->body_text : NULL,
		.fd = req->file_fd,
		.from = req->file_from,
		.size = req->body_size,
		.wait_ms = wait_for_stop,
		.ctx = req->app,
	};
	struct MHD_Response *spoiled;

	/* An error of the server's own is not cut; one that the rule asks for may be. */
	if (req->status >= 300 && !f.status)
		f.cut = false;
	if (!serve_fault_body_wanted(&f) || req->body_size == 0 || strcmp(req->method, "HEAD") == 0)
		return true;
	if (!source.text && source.fd < 0)
		return cut(req);
	spoiled = serve_fault_body_wrap(req->response, &f, &source);
	if (!spoiled)
		return cut(req);
	req->response = spoiled;
	return true;
}

bool rest_fault_reply(struct serve_request *req)
{
	const struct serve_fault *f = req->fault ? &req->fault->fault : NULL;

	if (!f || !req->response)
		return true;
	if (f->garbage)
		return send_garbage(req, f->garbage);
	if (f->reset == SERVE_RESET_INSIDE)
		return cut_inside(req);
	if (f->reset == SERVE_RESET_ANSWER)
		return cut(req);
	if (req->status < 300 && f->wrong_etag)
		spoil_etag(req);
	if (!f->status)
		add_headers(req, f);
	return spoil_body(req, f);
}
