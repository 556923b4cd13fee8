/* SPDX-License-Identifier: Apache-2.0 */
/* From a request line to a route and its names. */
#include <ctype.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/limits.h"

#include "rest.h"

#define GET  "GET"
#define POST "POST"

/* In this order: the first that matches is taken, so fixed words stand before names. */
static const struct serve_route routes[] = {
	{GET, "/status", SERVE_KIND_OTHER, 0, NULL, NULL, rest_status},
	{GET, "/version", SERVE_KIND_OTHER, 0, NULL, NULL, rest_version},
	{GET, "/bucket", SERVE_KIND_BUCKET, REST_AUTH, NULL, NULL, rest_bucket_list},
	{GET, "/bucket/", SERVE_KIND_BUCKET, REST_AUTH, NULL, NULL, rest_bucket_list},
	{POST, "/bucket", SERVE_KIND_BUCKET, REST_AUTH | REST_JSON, NULL, NULL, rest_bucket_create},
	{POST, "/bucket/", SERVE_KIND_BUCKET, REST_AUTH | REST_JSON, NULL, NULL,
		rest_bucket_create},
	{POST, "/bucket/:b/empty", SERVE_KIND_BUCKET, REST_AUTH | REST_SERVICE, NULL, NULL,
		rest_bucket_empty},
	{GET, "/bucket/:b", SERVE_KIND_BUCKET, REST_AUTH, NULL, NULL, rest_bucket_get},
	{"PUT", "/bucket/:b", SERVE_KIND_BUCKET, REST_AUTH | REST_JSON, NULL, NULL,
		rest_bucket_update},
	{"DELETE", "/bucket/:b", SERVE_KIND_BUCKET, REST_AUTH, NULL, NULL, rest_bucket_delete},

	{POST, "/object/list-v2/:b", SERVE_KIND_LIST, REST_AUTH | REST_JSON, NULL, NULL,
		rest_list_v2},
	{POST, "/object/list/:b", SERVE_KIND_LIST1, REST_AUTH | REST_JSON, NULL, NULL,
		rest_list_v1},
	{POST, "/object/copy", SERVE_KIND_COPY, REST_AUTH | REST_JSON, NULL, NULL, rest_copy},
	{POST, "/object/move", SERVE_KIND_MOVE, REST_AUTH | REST_JSON, NULL, NULL, rest_move},
	{POST, "/object/upload/sign/:b/*", SERVE_KIND_SIGN, REST_AUTH, NULL, NULL,
		rest_sign_upload},
	{"PUT", "/object/upload/sign/:b/*", SERVE_KIND_PUT, 0, rest_upload_signed_begin,
		rest_upload_data, rest_upload_finish},
	{GET, "/object/sign/:b/*", SERVE_KIND_GET, 0, NULL, NULL, rest_get_signed},
	{POST, "/object/sign/:b/*", SERVE_KIND_SIGN, REST_AUTH | REST_JSON, NULL, NULL,
		rest_sign_one},
	{POST, "/object/sign/:b", SERVE_KIND_SIGN, REST_AUTH | REST_JSON, NULL, NULL,
		rest_sign_many},
	{GET, "/object/info/authenticated/:b/*", SERVE_KIND_INFO, REST_AUTH, NULL, NULL, rest_info},
	{GET, "/object/info/public/:b/*", SERVE_KIND_INFO, 0, NULL, NULL, rest_info_public},
	{GET, "/object/info/:b/*", SERVE_KIND_INFO, REST_AUTH_OPTIONAL, NULL, NULL, rest_info},
	{GET, "/object/authenticated/:b/*", SERVE_KIND_GET, REST_AUTH, NULL, NULL, rest_get},
	{GET, "/object/public/:b/*", SERVE_KIND_GET, 0, NULL, NULL, rest_get_public},
	{GET, "/object/:b/*", SERVE_KIND_GET, REST_AUTH_OPTIONAL, NULL, NULL, rest_get},
	{POST, "/object/:b/*", SERVE_KIND_PUT, REST_AUTH, rest_upload_begin, rest_upload_data,
		rest_upload_finish},
	{"PUT", "/object/:b/*", SERVE_KIND_PUT, REST_AUTH, rest_upload_begin, rest_upload_data,
		rest_upload_finish},
	{"DELETE", "/object/:b/*", SERVE_KIND_DELETE_ONE, REST_AUTH, NULL, NULL, rest_delete},
	{"DELETE", "/object/:b", SERVE_KIND_DELETE_MANY, REST_AUTH | REST_JSON, NULL, NULL,
		rest_delete_many},

	{"OPTIONS", "/upload/resumable", SERVE_KIND_OTHER, REST_TUS, NULL, NULL, rest_tus_options},
	{"OPTIONS", "/upload/resumable/*", SERVE_KIND_OTHER, REST_TUS, NULL, NULL,
		rest_tus_options},
	{POST, "/upload/resumable/sign", SERVE_KIND_TUS_CREATE, REST_TUS, rest_tus_create_begin,
		rest_tus_data, rest_tus_create_finish},
	{POST, "/upload/resumable", SERVE_KIND_TUS_CREATE, REST_TUS | REST_AUTH,
		rest_tus_create_begin, rest_tus_data, rest_tus_create_finish},
	{"PATCH", "/upload/resumable/sign/:id", SERVE_KIND_TUS_PATCH, REST_TUS,
		rest_tus_patch_begin, rest_tus_data, rest_tus_patch_finish},
	{"PATCH", "/upload/resumable/:id", SERVE_KIND_TUS_PATCH, REST_TUS | REST_AUTH,
		rest_tus_patch_begin, rest_tus_data, rest_tus_patch_finish},
	{"HEAD", "/upload/resumable/sign/:id", SERVE_KIND_TUS_HEAD, REST_TUS, NULL, NULL,
		rest_tus_head},
	{"HEAD", "/upload/resumable/:id", SERVE_KIND_TUS_HEAD, REST_TUS | REST_AUTH, NULL, NULL,
		rest_tus_head},
	{"DELETE", "/upload/resumable/sign/:id", SERVE_KIND_TUS_DELETE, REST_TUS, NULL, NULL,
		rest_tus_delete},
	{"DELETE", "/upload/resumable/:id", SERVE_KIND_TUS_DELETE, REST_TUS | REST_AUTH, NULL, NULL,
		rest_tus_delete},
};

/* What a HEAD of an object counts as, and what matches no route. */
static const struct serve_route head_route = {
	"HEAD", "/object/:b/*", SERVE_KIND_HEAD, REST_AUTH_OPTIONAL, NULL, NULL, rest_get};
static const struct serve_route head_authenticated = {
	"HEAD", "/object/authenticated/:b/*", SERVE_KIND_HEAD, REST_AUTH, NULL, NULL, rest_get};
static const struct serve_route head_public = {
	"HEAD", "/object/public/:b/*", SERVE_KIND_HEAD, 0, NULL, NULL, rest_get_public};
static const struct serve_route no_route = {
	"", "", SERVE_KIND_OTHER, 0, NULL, NULL, rest_not_found};

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Length of the UTF-8 sequence at p, 0 when it is none (RFC 3629 §4). */
static size_t utf8_length(const unsigned char *p, size_t n)
{
	unsigned char low = 0x80, high = 0xbf;
	size_t len;

	if (p[0] < 0x80)
		return 1;
	if (p[0] >= 0xc2 && p[0] <= 0xdf)
		len = 2;
	else if (p[0] >= 0xe0 && p[0] <= 0xef)
		len = 3;
	else if (p[0] >= 0xf0 && p[0] <= 0xf4)
		len = 4;
	else
		return 0;
	if (n < len)
		return 0;
	if (p[0] == 0xe0)
		low = 0xa0;
	else if (p[0] == 0xed)
		high = 0x9f;
	else if (p[0] == 0xf0)
		low = 0x90;
	else if (p[0] == 0xf4)
		high = 0x8f;
	if (p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	}
	return len;
}

bool rest_is_utf8(const char *p, size_t n)
{
	size_t at = 0;

	while (at < n) {
		size_t len = utf8_length((const unsigned char *)p + at, n - at);

		if (len == 0)
			return false;
		at += len;
	}
	return true;
}

bool rest_decode(struct supafs_str text, bool plus_is_space, struct supafs_buf *out)
{
	size_t start = out->n;

	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];

		if (c == '%') {
			int high = i + 2 < text.n ? hex(text.p[i + 1]) : -1;
			int low = i + 2 < text.n ? hex(text.p[i + 2]) : -1;

			if (high < 0 || low < 0)
				return false;
			c = (char)(high * 16 + low);
			i += 2;
		} else if (c == '+' && plus_is_space) {
			c = ' ';
		}
		if (supafs_buf_addc(out, c) < 0)
			return false;
	}
	return rest_is_utf8(out->p ? out->p + start : "", out->n - start);
}

bool rest_query(struct serve_request *req, const char *name, struct supafs_buf *out)
{
	struct supafs_str rest = req->query;
	size_t name_n = strlen(name);

	while (rest.n) {
		const char *amp = memchr(rest.p, '&', rest.n);
		struct supafs_str one = {rest.p, amp ? (size_t)(amp - rest.p) : rest.n};

		if (one.n >= name_n && memcmp(one.p, name, name_n) == 0 &&
			(one.n == name_n || one.p[name_n] == '=')) {
			size_t skip = one.n == name_n ? name_n : name_n + 1;

			return rest_decode(
				(struct supafs_str){one.p + skip, one.n - skip}, true, out);
		}
		rest.n -= amp ? one.n + 1 : one.n;
		rest.p = amp ? amp + 1 : rest.p;
	}
	return false;
}

const char *rest_request_header(struct serve_request *req, const char *name)
{
	return MHD_lookup_connection_value(req->conn, MHD_HEADER_KIND, name);
}

bool rest_header_is(struct serve_request *req, const char *name, const char *value)
{
	const char *have = rest_request_header(req, name);

	return have && strcmp(have, value) == 0;
}

/* --- matching --------------------------------------------------------------- */

/* One segment, without the '/' before it; *path moves to the '/' behind it. */
static struct supafs_str take_segment(struct supafs_str *path)
{
	struct supafs_str segment = {path->p + 1, path->n - 1};
	const char *slash = memchr(segment.p, '/', segment.n);

	if (slash)
		segment.n = (size_t)(slash - segment.p);
	path->p += segment.n + 1;
	path->n -= segment.n + 1;
	return segment;
}

struct match {
	struct supafs_str bucket, key; /* still encoded */
};

static bool match_segment(struct supafs_str want, struct supafs_str have, struct match *m)
{
	if (supafs_str_eq(want, SUPAFS_STR(":b"))) {
		m->bucket = have;
		return have.n > 0;
	}
	if (supafs_str_eq(want, SUPAFS_STR(":id"))) {
		m->key = have;
		return have.n > 0;
	}
	return supafs_str_eq(want, have);
}

static bool match_route(const struct serve_route *route, struct supafs_str path, struct match *m)
{
	struct supafs_str pattern = supafs_str_of(route->pattern);

	*m = (struct match){{"", 0}, {"", 0}};
	while (pattern.n && path.n) {
		struct supafs_str want = take_segment(&pattern);

		if (supafs_str_eq(want, SUPAFS_STR("*"))) {
			m->key = (struct supafs_str){path.p + 1, path.n - 1};
			return m->key.n > 0;
		}
		if (!match_segment(want, take_segment(&path), m))
			return false;
	}
	return pattern.n == 0 && path.n == 0;
}

static const struct serve_route *as_head(const struct serve_route *route)
{
	if (route->kind != SERVE_KIND_GET)
		return route;
	if (route->finish == rest_get_public)
		return &head_public;
	if (route->finish != rest_get)
		return route;
	return route->flags & REST_AUTH ? &head_authenticated : &head_route;
}

static const struct serve_route *find_route(const struct serve_request *req, struct match *m)
{
	bool head = strcmp(req->method, "HEAD") == 0;

	if (req->path.n == 0 || req->path.p[0] != '/')
		return NULL;
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(routes); i++) {
		const struct serve_route *r = &routes[i];
		bool as_get = head && strcmp(r->method, GET) == 0;

		if ((as_get || strcmp(r->method, req->method) == 0) && match_route(r, req->path, m))
			return as_get ? as_head(r) : r;
	}
	return NULL;
}

/* Cuts base path and query off. */
static bool split_uri(struct serve_request *req)
{
	struct supafs_str base = supafs_str_of(req->app->config->base_path);
	struct supafs_str path = supafs_str_of(req->uri);
	const char *mark = strchr(req->uri, '?');

	if (mark) {
		path.n = (size_t)(mark - req->uri);
		req->query = supafs_str_of(mark + 1);
	}
	req->path = path;
	if (!supafs_str_starts(path, base))
		return false;
	path.p += base.n;
	path.n -= base.n;
	if (path.n && path.p[0] != '/')
		return false;
	req->path = path;
	return true;
}

static void bad_url(struct serve_request *req)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf b;
	supafs_cleanup(supafs_buf_fini) struct supafs_buf text;

	supafs_buf_init(&b, REST_TEXT_MAX);
	supafs_buf_init(&text, REST_TEXT_MAX);
	(void)supafs_buf_addf(
		&text, "'%.*s' is not a valid url component", SUPAFS_STR_FMT(req->path));
	(void)supafs_buf_adds(&b, "{\"error\":\"Bad Request\",\"code\":\"FST_ERR_BAD_URL\"");
	rest_put_text(&b, "message", supafs_buf_str(&text));
	(void)supafs_buf_adds(&b, ",\"statusCode\":400}");
	rest_json(req, 400, &b);
}

/* Decodes bucket and key into one buffer, which both view afterwards. */
static bool decode_names(struct serve_request *req, const struct match *m)
{
	size_t bucket_n;

	if (!rest_decode(m->bucket, false, &req->names))
		return false;
	bucket_n = req->names.n;
	if (!rest_decode(m->key, false, &req->names))
		return false;
	if (!req->names.p && supafs_buf_addc(&req->names, '\0') < 0)
		return false;
	req->bucket = (struct supafs_str){req->names.p, bucket_n};
	req->key = (struct supafs_str){req->names.p + bucket_n, req->names.n - bucket_n};
	if (m->bucket.n == 0 && m->key.n == 0)
		req->bucket = req->key = (struct supafs_str){"", 0};
	return true;
}

const struct serve_route *rest_no_route(void)
{
	return &no_route;
}

bool rest_route(struct serve_request *req)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf whole = {0};
	struct match m;

	if (!split_uri(req)) {
		rest_not_found(req);
		return false;
	}
	supafs_buf_init(&whole, SUPAFS_URL_MAX);
	if (!rest_decode(req->path, false, &whole)) {
		bad_url(req);
		return false;
	}
	req->route = find_route(req, &m);
	if (!req->route) {
		req->route = &no_route;
		rest_not_found(req);
		return false;
	}
	if (!decode_names(req, &m)) {
		bad_url(req);
		return false;
	}
	return true;
}
