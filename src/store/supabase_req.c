/* SPDX-License-Identifier: Apache-2.0 */
/* Requests of the Supabase backend: URL, headers, body, and what comes back. */
#include <errno.h>
#include <string.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/uri.h"

#include "errors_priv.h"
#include "supabase_priv.h"

#define JSON_SEND_MAX (768U << 10) /* the server takes 1 MiB of JSON (API §7) */

static void note(struct supafs_sb_req *q, int r)
{
	if (r < 0 && q->error == 0)
		q->error = r;
}

void supafs_sb_req_init(struct supafs_sb_req *q, struct supafs_sb *sb,
	enum supafs_http_method method, const char *route)
{
	*q = (struct supafs_sb_req){.sb = sb, .method = method};
	supafs_buf_init(&q->url, SUPAFS_URL_MAX);
	supafs_buf_init(&q->json, JSON_SEND_MAX);
	for (size_t i = 0; i < SUPAFS_SB_TEXTS; i++)
		supafs_buf_init(&q->texts[i], SUPAFS_URL_MAX);
	supafs_http_reply_init(&q->reply);
	note(q, supafs_buf_addf(&q->url, "%s%s", sb->base_url, route));
	supafs_sb_req_header_line(q, sb->header_apikey);
	if (sb->auth.used) {
		q->token_at = q->n_headers;
		supafs_sb_req_header_line(q, ""); /* which one is settled when it is sent */
	}
}

void supafs_sb_req_fini(struct supafs_sb_req *q)
{
	supafs_buf_fini(&q->url);
	supafs_buf_fini(&q->json);
	for (size_t i = 0; i < SUPAFS_SB_TEXTS; i++)
		supafs_buf_fini(&q->texts[i]);
	supafs_http_reply_fini(&q->reply);
	q->token = supafs_sb_token_unref(q->token);
}

void supafs_sb_req_bucket(struct supafs_sb_req *q)
{
	note(q, supafs_buf_addc(&q->url, '/'));
	note(q, supafs_uri_add_segment(&q->url, supafs_str_of(q->sb->bucket)));
}

void supafs_sb_req_key(struct supafs_sb_req *q, struct supafs_str key)
{
	note(q, supafs_buf_addc(&q->url, '/'));
	note(q, supafs_uri_add_path(&q->url, key));
}

void supafs_sb_req_query(struct supafs_sb_req *q, const char *name, const char *value)
{
	note(q, supafs_buf_addf(&q->url, "%c%s=%s", q->has_query ? '&' : '?', name, value));
	q->has_query = true;
}

void supafs_sb_req_fresh(struct supafs_sb_req *q)
{
	char nonce[33];

	supafs_nonce_make(q->sb->seed, &q->sb->nonces, nonce);
	supafs_sb_req_query(q, "cacheNonce", nonce);
}

void supafs_sb_req_header_line(struct supafs_sb_req *q, const char *line)
{
	if (q->n_headers == SUPAFS_SB_HEADERS)
		note(q, -E2BIG);
	else
		q->headers[q->n_headers++] = line;
}

void supafs_sb_req_header(struct supafs_sb_req *q, const char *name, struct supafs_str value)
{
	struct supafs_buf *t;

	for (size_t i = 0; i < value.n; i++) {
		unsigned char c = (unsigned char)value.p[i];
		if ((c < ' ' && c != '\t') || c == 0x7f) {
			note(q, -EINVAL);
			return;
		}
	}
	if (q->n_texts == SUPAFS_SB_TEXTS) {
		note(q, -E2BIG);
		return;
	}
	t = &q->texts[q->n_texts++];
	note(q, supafs_buf_addf(t, "%s: ", name));
	note(q, supafs_buf_addstr(t, value));
	supafs_sb_req_header_line(q, supafs_buf_cstr(t));
}

void supafs_sb_req_json_body(struct supafs_sb_req *q)
{
	supafs_sb_req_header_line(q, "Content-Type: application/json");
}

static int build_failed(struct supafs_sb_req *q, struct supafs_fault *fault)
{
	int r = q->error ? q->error : supafs_buf_error(&q->json);

	if (r == 0)
		return 0;
	return supafs_fault_set(fault, r == -EMSGSIZE ? -EINVAL : r, SUPAFS_FAULT_PERMANENT,
		"Local", r == -ENOMEM ? "out of memory" : "the request could not be made");
}

static int send_once(struct supafs_sb_req *q, struct supafs_call *call, enum supafs_op op,
	struct supafs_fault *fault)
{
	struct supafs_str json = supafs_buf_str(&q->json);
	struct supafs_http_source json_source = supafs_http_source_mem(&json);
	const struct supafs_http_request req = {
		.method = q->method,
		.url = supafs_buf_cstr(&q->url),
		.headers = q->headers,
		.body = q->source ? q->source : (json.n > 0 ? &json_source : NULL),
		.sink = q->sink,
	};
	int r;

	if (q->token_at > 0)
		q->headers[q->token_at] = q->token->header;
	r = supafs_http_perform(q->sb->http, call, &req, &q->reply);
	if (r < 0)
		return supafs_errors_transport(r, &q->reply, fault);
	if (q->reply.status < 200 || q->reply.status > 299)
		return supafs_errors_reply(&q->reply, op, fault);
	return 0;
}

int supafs_sb_req_perform(struct supafs_sb_req *q, struct supafs_call *call, enum supafs_op op,
	struct supafs_fault *fault)
{
	int r = build_failed(q, fault);

	if (r < 0)
		return r;
	if (q->token_at > 0 && !q->token)
		q->token = supafs_sb_token_get(&q->sb->auth, call);
	r = send_once(q, call, op, fault);
	/* No byte of a refused request was heeded: it may go out again as it is. */
	if (r < 0 && fault->class == SUPAFS_FAULT_AUTH &&
		supafs_sb_token_renew(&q->sb->auth, call, &q->token)) {
		supafs_http_reply_fini(&q->reply);
		supafs_http_reply_init(&q->reply);
		r = send_once(q, call, op, fault);
	}
	return r;
}

int supafs_sb_req_json_reply(struct supafs_sb_req *q, struct supafs_call *call, enum supafs_op op,
	struct supafs_json **ret_json, struct supafs_fault *fault)
{
	struct supafs_json *j = NULL;
	int r = supafs_sb_req_perform(q, call, op, fault);

	if (r < 0)
		return r;
	r = supafs_json_parse(supafs_buf_str(&q->reply.body), &j);
	if (r < 0 || (!supafs_json_is_object(j) && !supafs_json_is_array(j))) {
		(void)supafs_json_free(j);
		return supafs_errors_bad_reply(&q->reply, fault);
	}
	*ret_json = j;
	return 0;
}

void supafs_sb_row_entry(const struct supafs_json *row, struct supafs_entry *e)
{
	const struct supafs_json *m = supafs_json_get(row, "metadata");

	(void)supafs_json_uuid(row, "id", e->version.id);
	(void)supafs_json_time(row, "updated_at", &e->version.updated_ns);
	(void)supafs_json_time(row, "created_at", &e->created_ns);
	(void)supafs_json_size(m, "size", INT64_MAX, &e->version.size);
	(void)supafs_json_copy(m, "eTag", e->version.etag, sizeof(e->version.etag));
	e->mime = e->cache_control = SUPAFS_STR("");
	(void)supafs_json_text(m, "mimetype", &e->mime);
	(void)supafs_json_text(m, "cacheControl", &e->cache_control);
	e->modified_ns = e->version.updated_ns;
	(void)supafs_json_time(m, "lastModified", &e->modified_ns);
	supafs_meta_parse_directives(e->cache_control, &e->meta, NULL);
}
