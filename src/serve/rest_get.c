/* SPDX-License-Identifier: Apache-2.0 */
/* Reading objects: whole, ranges, conditionals, and what is known of them (API §3). */
#include <ctype.h>
#include <stdlib.h>
#include <unistd.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/clock.h"
#include "supafs/util/limits.h"
#include "supafs/util/parse.h"

#include "keys.h"
#include "rest.h"

enum range_kind {
	RANGE_NONE,
	RANGE_BAD,
	RANGE_OK,
};

/* One "bytes=" range, cut at the end of the file; everything else is refused (API §3.3). */
static enum range_kind parse_range(
	const char *text, uint64_t size, uint64_t *ret_from, uint64_t *ret_to)
{
	struct supafs_str a, b;
	const char *dash;
	uint64_t from, to = UINT64_MAX;

	if (!text)
		return RANGE_NONE;
	if (strncmp(text, "bytes=", 6) != 0)
		return RANGE_BAD;
	text += 6;
	dash = strchr(text, '-');
	if (!dash)
		return RANGE_BAD;
	a = (struct supafs_str){text, (size_t)(dash - text)};
	b = supafs_str_of(dash + 1);
	if (b.n && supafs_parse_u64(b, UINT64_MAX, &to) < 0)
		return RANGE_BAD;
	if (a.n == 0) {
		if (b.n == 0 || to == 0 || size == 0)
			return RANGE_BAD;
		from = to < size ? size - to : 0;
		to = size - 1;
	} else if (supafs_parse_u64(a, UINT64_MAX, &from) < 0 || from >= size || from > to) {
		return RANGE_BAD;
	}
	*ret_from = from;
	*ret_to = to < size ? to : size - 1;
	return RANGE_OK;
}

/* The file backend compares one ETag as text; a date is looked at even when that differed. */
static bool not_modified(struct serve_request *req, const struct serve_object *o)
{
	const char *tag = rest_request_header(req, "If-None-Match");
	const char *date = rest_request_header(req, "If-Modified-Since");
	int64_t since_ns;

	if (tag && strcmp(tag, o->etag.p) == 0)
		return true;
	return date && supafs_parse_http_date(date, strlen(date), &since_ns) == 0 &&
	       o->modified_us / 1000000 <= since_ns / SUPAFS_NS_PER_S;
}

/* "download" or "download=NAME" in the query. */
static void add_disposition(struct serve_request *req)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf name, out;

	supafs_buf_init(&name, SUPAFS_URL_MAX);
	supafs_buf_init(&out, REST_TEXT_MAX);
	if (!rest_query(req, "download", &name))
		return;
	(void)supafs_buf_adds(&out, "attachment;");
	if (name.n) {
		(void)supafs_buf_adds(&out, " filename=");
		for (size_t i = 0; i < name.n; i++) {
			char c = name.p[i];

			if (isalnum((unsigned char)c) || strchr("-._", c))
				(void)supafs_buf_addc(&out, c);
			else
				(void)supafs_buf_addf(&out, "%%%02X", (unsigned char)c);
		}
		(void)supafs_buf_adds(&out, ";");
	}
	if (supafs_buf_error(&out) == 0)
		rest_add_header(req, "Content-Disposition", supafs_buf_cstr(&out));
}

struct expiry {
	bool set; /* an Expires header in place of Cache-Control */
	int64_t at_s;
};

static void add_headers(
	struct serve_request *req, const struct serve_object *o, const struct expiry *expiry)
{
	bool html = strncasecmp(o->mime.p, "text/html", 9) == 0;
	char text[32];

	rest_add_header(req, "Accept-Ranges", "bytes");
	rest_add_header(req, "Content-Type", html ? "text/plain" : o->mime.p);
	rest_add_header(req, "ETag", o->etag.p);
	serve_format_http(o->modified_us, text);
	rest_add_header(req, "Last-Modified", text);
	rest_add_header(req, "X-Robots-Tag", "none");
	if (expiry->set) {
		serve_format_http(expiry->at_s * 1000000, text);
		rest_add_header(req, "Expires", text);
	} else if (o->cache_control.n) {
		rest_add_header(req, "Cache-Control", o->cache_control.p);
	}
	add_disposition(req);
}

/* HEAD: only the length is wanted. */
static ssize_t no_body(void *ctx, uint64_t at, char *out, size_t max)
{
	(void)ctx;
	(void)at;
	(void)out;
	(void)max;
	return MHD_CONTENT_READER_END_WITH_ERROR;
}

/* The row alone answers a HEAD: no file is opened, ranges and conditions are ignored. */
static void answer_head(
	struct serve_request *req, const struct serve_object *o, const struct expiry *expiry)
{
	struct MHD_Response *r =
		MHD_create_response_from_callback(o->size, 1024, no_body, NULL, NULL);

	if (!r)
		return;
	rest_response(req, 200, r);
	add_headers(req, o, expiry);
}

static void answer_file(struct serve_request *req, const struct serve_object *o, int *fd,
	const struct expiry *expiry)
{
	uint64_t from = 0, to = o->size ? o->size - 1 : 0, n = o->size;
	enum range_kind range = parse_range(rest_request_header(req, "Range"), o->size, &from, &to);
	struct MHD_Response *r;
	char text[96];

	if (not_modified(req, o)) {
		rest_empty(req, 304);
		add_headers(req, o, expiry);
		return;
	}
	if (range == RANGE_BAD) {
		rest_fail(req, SERVE_INVALID_RANGE);
		return;
	}
	if (range == RANGE_OK)
		n = to - from + 1;
	r = MHD_create_response_from_fd_at_offset64(n, *fd, from);
	if (!r)
		return;
	req->file_fd = supafs_steal_fd(fd);
	req->file_from = from;
	req->body_size = n;
	rest_response(req, range == RANGE_OK ? 206 : 200, r);
	add_headers(req, o, expiry);
	if (range == RANGE_OK) {
		(void)snprintf(text, sizeof(text), "bytes %llu-%llu/%llu", (unsigned long long)from,
			(unsigned long long)to, (unsigned long long)o->size);
		rest_add_header(req, "Content-Range", text);
	}
}

static void send_object(
	struct serve_request *req, const struct serve_actor *actor, const struct expiry *expiry)
{
	supafs_autofree struct serve_object *o = NULL;
	supafs_autoclose int fd = -1;
	bool head = strcmp(req->method, "HEAD") == 0;
	enum serve_code code;

	if (!serve_key_valid(req->key)) {
		rest_fail_key(req, SERVE_INVALID_KEY, req->key);
		return;
	}
	if (head)
		code = serve_object_find(&req->app->service, actor, req->bucket, req->key, &o);
	else
		code = serve_object_open(&req->app->service, actor, req->bucket, req->key, &o, &fd);
	if (code != SERVE_OK)
		rest_fail(req, code);
	else if (head)
		answer_head(req, o, expiry);
	else
		answer_file(req, o, &fd, expiry);
}

/* Nobody sees private buckets; everybody sees all of a public one. *ret_actor is NULL for that. */
static bool may_read(
	struct serve_request *req, bool only_public, const struct serve_actor **ret_actor)
{
	supafs_autofree struct serve_bucket *b = NULL;
	enum serve_code code = serve_bucket_get(&req->app->service, NULL, req->bucket, &b);

	if (code == SERVE_OK && !b->is_public && (only_public || !req->authenticated))
		code = SERVE_NO_SUCH_BUCKET;
	if (code != SERVE_OK) {
		rest_fail(req, code);
		return false;
	}
	*ret_actor = b->is_public ? NULL : &req->actor;
	return true;
}

void rest_get(struct serve_request *req)
{
	const struct expiry expiry = {0};
	const struct serve_actor *actor;

	if (may_read(req, false, &actor))
		send_object(req, actor, &expiry);
}

void rest_get_public(struct serve_request *req)
{
	const struct expiry expiry = {0};
	const struct serve_actor *actor;

	if (may_read(req, true, &actor))
		send_object(req, actor, &expiry);
}

void rest_get_signed(struct serve_request *req)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf token;
	struct serve_claims claims;
	struct expiry expiry;

	supafs_buf_init(&token, SUPAFS_SECRET_MAX);
	if (!rest_query(req, "token", &token)) {
		rest_failf(req, SERVE_INVALID_REQUEST,
			"querystring must have required property 'token'");
		return;
	}
	if (!rest_check_signature(
		    req, supafs_buf_str(&token), "download", req->bucket, req->key, &claims))
		return;
	expiry = (struct expiry){.set = claims.exp != 0, .at_s = claims.exp};
	serve_claims_fini(&claims);
	send_object(req, NULL, &expiry);
}

/* --- info --------------------------------------------------------------------- */

static void send_info(struct serve_request *req, const struct serve_actor *actor)
{
	supafs_autofree struct serve_object *o = NULL;
	supafs_cleanup(supafs_buf_fini) struct supafs_buf b = {0};
	enum serve_code code;
	char text[32];

	if (!serve_key_valid(req->key)) {
		rest_fail_key(req, SERVE_INVALID_KEY, req->key);
		return;
	}
	code = serve_object_find(&req->app->service, actor, req->bucket, req->key, &o);
	if (code != SERVE_OK) {
		rest_fail(req, code);
		return;
	}
	supafs_buf_init(&b, REST_REPLY_MAX);
	(void)supafs_buf_adds(&b, "{\"id\":");
	(void)supafs_json_quote(&b, o->id);
	rest_put_text(&b, "name", o->name);
	rest_put_text(&b, "version", o->version);
	rest_put_text(&b, "bucket_id", o->bucket);
	(void)supafs_buf_addf(&b, ",\"size\":%llu", (unsigned long long)o->size);
	rest_put_text(&b, "content_type", o->mime);
	rest_put_text(&b, "cache_control", o->cache_control);
	rest_put_text(&b, "etag", o->etag);
	(void)supafs_buf_adds(&b, ",\"metadata\":");
	(void)supafs_buf_addstr(&b, o->meta.p ? o->meta : SUPAFS_STR("null"));
	rest_put_time(&b, "last_modified", o->updated_us);
	rest_put_time(&b, "created_at", o->created_us);
	(void)supafs_buf_addc(&b, '}');
	rest_json(req, 200, &b);
	rest_add_header(req, "Cache-Control", o->cache_control.p);
	rest_add_header(req, "ETag", o->etag.p);
	serve_format_http(o->updated_us, text);
	rest_add_header(req, "Last-Modified", text);
}

void rest_info(struct serve_request *req)
{
	const struct serve_actor *actor;

	if (may_read(req, false, &actor))
		send_info(req, actor);
}

void rest_info_public(struct serve_request *req)
{
	const struct serve_actor *actor;

	if (may_read(req, true, &actor))
		send_info(req, actor);
}
