/* SPDX-License-Identifier: Apache-2.0 */
/* A request's way: headers → route → token → body → function of the route. */
#include "rest.h"

#include <stdlib.h>
#include <strings.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/limits.h"
#include "supafs/util/parse.h"

#include "keys.h"

#define BEARER "Bearer "

struct serve_request *serve_rest_new(
	struct serve_app *app, const char *uri, struct MHD_Connection *conn)
{
	struct serve_request *req = calloc(1, sizeof(*req));

	if (!req)
		return NULL;
	req->app = app;
	req->conn = conn;
	req->uri = strdup(uri);
	if (!req->uri) {
		free(req);
		return NULL;
	}
	req->file_fd = -1;
	supafs_buf_init(&req->names, SUPAFS_URL_MAX);
	supafs_buf_init(&req->body, REST_JSON_MAX);
	return req;
}

void serve_rest_free(struct serve_request *req)
{
	if (!req)
		return;
	if (req->work)
		req->work_free(req->work);
	rest_fault_free(req);
	if (req->response)
		MHD_destroy_response(req->response);
	cJSON_Delete(req->json);
	supafs_buf_fini(&req->names);
	supafs_buf_fini(&req->body);
	free(req->uri);
	free(req);
}

/* --- headers ---------------------------------------------------------------- */

static enum MHD_Result add_size(
	void *ctx, enum MHD_ValueKind kind, const char *name, const char *value)
{
	size_t *total = ctx;

	(void)kind;
	*total += strlen(name) + (value ? strlen(value) : 0) + 4;
	return MHD_YES;
}

static bool headers_fit(struct serve_request *req)
{
	size_t total = strlen(req->method) + strlen(req->uri) + 12;

	(void)MHD_get_connection_values(req->conn, MHD_HEADER_KIND, add_size, &total);
	if (total <= REST_HEADERS_MAX)
		return true;
	rest_json_literal(req, 431,
		"{\"error\":\"Request Header Fields Too Large\","
		"\"message\":\"Exceeded maximum allowed HTTP header size\",\"statusCode\":431}");
	return false;
}

static void read_length(struct serve_request *req)
{
	const char *text = rest_request_header(req, "Content-Length");

	req->has_length =
		text && supafs_parse_u64(supafs_str_of(text), UINT64_C(1) << 60, &req->length) == 0;
}

static bool has_body(struct serve_request *req)
{
	return req->has_length ? req->length > 0
			       : rest_request_header(req, "Transfer-Encoding") != NULL;
}

/* --- who asks ----------------------------------------------------------------- */

static bool known_role(const char *role)
{
	return strcmp(role, "anon") == 0 || strcmp(role, "authenticated") == 0 ||
	       strcmp(role, "service_role") == 0;
}

/* False when it answered. */
static bool take_claims(struct serve_request *req, const struct serve_claims *claims)
{
	struct serve_actor *a = &req->actor;

	if (claims->role[0] && !known_role(claims->role)) {
		rest_fail(req, SERVE_BAD_ROLE);
		return false;
	}
	(void)snprintf(a->role, sizeof(a->role), "%s", claims->role[0] ? claims->role : "anon");
	(void)snprintf(a->sub, sizeof(a->sub), "%s", claims->sub);
	a->service = strcmp(a->role, "service_role") == 0;
	req->authenticated = true;
	return true;
}

static bool authenticate(struct serve_request *req)
{
	const unsigned flags = req->route->flags;
	const char *text = rest_request_header(req, "Authorization");
	struct serve_claims claims;
	enum serve_jwt_result r;
	bool ok;

	(void)snprintf(req->actor.role, sizeof(req->actor.role), "anon");
	if (!(flags & (REST_AUTH | REST_AUTH_OPTIONAL)))
		return true;
	if (!text) {
		if (flags & REST_AUTH)
			rest_failf(req, SERVE_INVALID_REQUEST,
				"headers must have required property 'authorization'");
		return !(flags & REST_AUTH);
	}
	if (strncasecmp(text, BEARER, sizeof(BEARER) - 1) == 0)
		text += sizeof(BEARER) - 1;
	r = serve_jwt_verify(
		&req->app->jwt, supafs_str_of(text), serve_now_us() / 1000000, &claims);
	if (r != SERVE_JWT_OK) {
		if (flags & REST_AUTH)
			rest_failf(req, SERVE_ACCESS_DENIED, "%s", serve_jwt_text(r));
		return !(flags & REST_AUTH);
	}
	ok = take_claims(req, &claims);
	serve_claims_fini(&claims);
	if (ok && (flags & REST_SERVICE) && !req->actor.service) {
		rest_fail(req, SERVE_ROLE_DENIED);
		return false;
	}
	return ok;
}

/* --- flow ------------------------------------------------------------------------ */

/* After an early answer: a small body is read and dropped so that the connection can go on; before
 * a large one the answer goes out at once. */
static void settle(struct serve_request *req)
{
	if (req->phase != REST_DONE)
		return;
	if (has_body(req) && (!req->has_length || req->length <= REST_DRAIN_MAX))
		req->phase = REST_DISCARD;
}

/* A fault rule may answer, or cut, before anything is done. */
static bool may_go_on(struct serve_request *req)
{
	rest_fault_decide(req);
	return rest_fault_start(req) && !req->response && authenticate(req);
}

void serve_rest_start(struct serve_request *req, const char *method)
{
	bool routed;

	req->method = method;
	req->route = rest_no_route();
	req->phase = REST_BODY;
	read_length(req);
	routed = headers_fit(req) && rest_route(req);
	serve_counters_request(req->app->counters, req->route->kind);
	if (routed && may_go_on(req)) {
		if ((req->route->flags & REST_JSON) && req->has_length &&
			req->length > REST_JSON_MAX)
			rest_fail(req, SERVE_BODY_TOO_LARGE);
		else if (req->route->begin)
			req->route->begin(req);
	}
	settle(req);
}

void serve_rest_data(struct serve_request *req, const char *p, size_t n)
{
	req->received += n;
	if (req->phase != REST_BODY)
		return;
	if (req->route->data) {
		req->route->data(req, p, n);
		if (req->phase == REST_DONE)
			req->phase = REST_DISCARD;
	} else if (supafs_buf_add(&req->body, p, n) < 0) {
		rest_fail(req, SERVE_BODY_TOO_LARGE);
		req->phase = REST_DISCARD;
	}
}

void serve_rest_finish(struct serve_request *req)
{
	if (!req->response && (!(req->route->flags & REST_JSON) || rest_parse_json(req)))
		req->route->finish(req);
	if (!req->response)
		rest_fail(req, SERVE_INTERNAL);
	req->phase = REST_DONE;
}

void rest_status(struct serve_request *req)
{
	rest_empty(req, 200);
}

void rest_version(struct serve_request *req)
{
	rest_text(req, 200, "1.70.6");
}
