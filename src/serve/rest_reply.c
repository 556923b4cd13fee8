/* SPDX-License-Identifier: Apache-2.0 */
/* Making answers. */
#include <stdarg.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/limits.h"
#include "supafs/util/parse.h"

#include "keys.h"
#include "rest.h"

#define JSON_TYPE "application/json; charset=utf-8"
#define TUS_TYPE  "text/plain;charset=UTF-8"

void rest_response(struct serve_request *req, unsigned status, struct MHD_Response *response)
{
	if (req->response) {
		MHD_destroy_response(response);
		return;
	}
	req->status = status;
	req->response = response;
	req->phase = REST_DONE;
}

void rest_add_header(struct serve_request *req, const char *name, const char *value)
{
	if (req->response)
		(void)MHD_add_response_header(req->response, name, value);
}

/* The response owns `text` from here on. NULL text: out of memory, the connection then ends without
 * an answer. */
static void typed(
	struct serve_request *req, unsigned status, char *text, size_t n, const char *type)
{
	struct MHD_Response *response =
		text ? MHD_create_response_from_buffer(n, text, MHD_RESPMEM_MUST_FREE) : NULL;

	if (!response) {
		free(text);
		return;
	}
	if (!req->response) {
		req->body_text = text;
		req->body_size = n;
	}
	if (type)
		(void)MHD_add_response_header(response, "Content-Type", type);
	rest_response(req, status, response);
}

void rest_json_literal(struct serve_request *req, unsigned status, const char *text)
{
	typed(req, status, strdup(text), strlen(text), JSON_TYPE);
}

void rest_json(struct serve_request *req, unsigned status, struct supafs_buf *b)
{
	size_t n = b->n;
	char *text;

	if (supafs_buf_error(b) < 0) {
		rest_json_literal(req, 500,
			"{\"statusCode\":\"500\",\"error\":\"Internal\","
			"\"message\":\"Internal Server Error\",\"code\":\"InternalError\"}");
		return;
	}
	text = supafs_buf_take(b);
	typed(req, status, text, n, JSON_TYPE);
}

void rest_text(struct serve_request *req, unsigned status, const char *text)
{
	typed(req, status, strdup(text), strlen(text), TUS_TYPE);
}

void rest_empty(struct serve_request *req, unsigned status)
{
	typed(req, status, strdup(""), 0, NULL);
}

static void fail_with(
	struct serve_request *req, const struct serve_error *e, struct supafs_str message)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf b;

	supafs_buf_init(&b, REST_TEXT_MAX);
	(void)supafs_buf_addf(&b, "{\"statusCode\":\"%s\",\"error\":\"%s\"", e->status, e->label);
	rest_put_text(&b, "message", message);
	(void)supafs_buf_addf(&b, ",\"code\":\"%s\"}", e->code);
	rest_json(req, e->http, &b);
}

void rest_fail(struct serve_request *req, enum serve_code code)
{
	const struct serve_error *e = serve_error_get(code);

	fail_with(req, e, supafs_str_of(e->message));
}

void rest_failf(struct serve_request *req, enum serve_code code, const char *fmt, ...)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf message;
	va_list ap;

	supafs_buf_init(&message, SUPAFS_URL_MAX);
	va_start(ap, fmt);
	(void)supafs_buf_vaddf(&message, fmt, ap);
	va_end(ap);
	fail_with(req, serve_error_get(code), supafs_buf_str(&message));
}

void rest_fail_key(struct serve_request *req, enum serve_code code, struct supafs_str key)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf message = {0};

	if (code == SERVE_ACCESS_DENIED) {
		rest_failf(req, code, "new row violates row-level security policy");
		return;
	}
	if (code != SERVE_INVALID_KEY) {
		rest_fail(req, code);
		return;
	}
	supafs_buf_init(&message, SUPAFS_URL_MAX);
	(void)supafs_buf_adds(&message, "Invalid key: ");
	(void)supafs_buf_addstr(&message, key);
	if (serve_key_valid(key))
		(void)supafs_buf_adds(&message, " contains dot path segment");
	fail_with(req, serve_error_get(code), supafs_buf_str(&message));
}

/* At the root the framework answers, below a known word the server's own handler does. */
void rest_not_found(struct serve_request *req)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf b;
	supafs_cleanup(supafs_buf_fini) struct supafs_buf text;
	bool known = supafs_str_starts(req->path, SUPAFS_STR("/object")) ||
		     supafs_str_starts(req->path, SUPAFS_STR("/bucket")) ||
		     supafs_str_starts(req->path, SUPAFS_STR("/upload"));

	supafs_buf_init(&b, REST_TEXT_MAX);
	supafs_buf_init(&text, REST_TEXT_MAX);
	(void)supafs_buf_addf(
		&text, "Route %s:%.*s not found", req->method, SUPAFS_STR_FMT(req->path));
	if (known)
		(void)supafs_buf_adds(&b, "{\"statusCode\":\"404\",\"error\":\"Not Found\"");
	else
		(void)supafs_buf_adds(&b, "{\"error\":\"Not Found\"");
	rest_put_text(&b, "message", supafs_buf_str(&text));
	(void)supafs_buf_adds(&b, known ? ",\"code\":\"InvalidRequest\"}" : ",\"statusCode\":404}");
	rest_json(req, 404, &b);
}
