/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Standard upload (API §5). As in the real server everything is checked before the body,
 * and nothing again after it: of several uploads to one key the last to finish wins.
 */
#include "rest_upload.h"

#include <stdlib.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/limits.h"
#include "supafs/util/parse.h"

#include "keys.h"

#define META_MAX        (1U << 20)
#define HEADER_TEXT_MAX 8192
#define PLACEHOLDER     ".emptyFolderPlaceholder"

static void upload_free(void *work)
{
	struct rest_upload *u = work;

	u->form = rest_form_free(u->form);
	serve_sink_drop(&u->sink);
	supafs_buf_fini(&u->mime);
	supafs_buf_fini(&u->cache_control);
	supafs_buf_fini(&u->meta);
	free(u->bucket);
	free(u);
}

static struct rest_upload *upload_new(struct serve_request *req)
{
	struct rest_upload *u = calloc(1, sizeof(*u));

	if (!u) {
		rest_fail(req, SERVE_INTERNAL);
		return NULL;
	}
	u->req = req;
	u->sink.fd = -1;
	supafs_buf_init(&u->mime, HEADER_TEXT_MAX);
	supafs_buf_init(&u->cache_control, HEADER_TEXT_MAX);
	supafs_buf_init(&u->meta, META_MAX);
	req->work = u;
	req->work_free = upload_free;
	return u;
}

/* The dashboard's empty folders: no type is checked and no byte is allowed (API §4.4). */
static bool is_placeholder(const struct serve_request *req)
{
	return supafs_str_ends(req->key, SUPAFS_STR(PLACEHOLDER));
}

bool rest_upload_check_mime(struct rest_upload *u)
{
	if (is_placeholder(u->req) || serve_bucket_takes_mime(u->bucket, supafs_buf_str(&u->mime)))
		return true;
	rest_failf(u->req, SERVE_INVALID_MIME, "mime type %s is not supported",
		supafs_buf_cstr(&u->mime));
	return false;
}

static bool is_form(struct serve_request *req)
{
	const char *type = rest_request_header(req, "Content-Type");

	return type && strncasecmp(type, "multipart/form-data", 19) == 0;
}

/* Type, cache control, metadata and size of a raw body. */
static bool take_headers(struct rest_upload *u)
{
	struct serve_request *req = u->req;
	const char *type = rest_request_header(req, "Content-Type");
	const char *cache = rest_request_header(req, "Cache-Control");

	(void)supafs_buf_adds(&u->mime, type && *type ? type : "application/octet-stream");
	(void)supafs_buf_adds(&u->cache_control, cache && *cache ? cache : "no-cache");
	u->has_meta = true;
	if (!rest_metadata_header(req, &u->meta))
		(void)supafs_buf_adds(&u->meta, "{}");
	if (req->response || !rest_upload_check_mime(u))
		return false;
	/* Without a length nothing limits it, since v1.44.11. */
	if (req->has_length && req->length > u->max) {
		rest_fail(req, SERVE_TOO_LARGE);
		return false;
	}
	return true;
}

/* Bucket, name and right to write. */
static bool take_target(struct rest_upload *u, const struct serve_actor *actor)
{
	struct serve_request *req = u->req;
	struct serve_service *s = &req->app->service;
	enum serve_code code = serve_bucket_get(s, NULL, req->bucket, &u->bucket);

	if (code == SERVE_OK && !serve_key_valid(req->key))
		code = SERVE_INVALID_KEY;
	if (code != SERVE_OK) {
		rest_fail_key(req, code, req->key);
		return false;
	}
	u->max = is_placeholder(req) ? 0 : serve_bucket_max(s, u->bucket, true);
	if (is_form(req)) {
		u->form = rest_form_new(u);
		u->counted = true;
		if (!u->form) {
			rest_failf(req, SERVE_INVALID_REQUEST, "Unsupported form data");
			return false;
		}
	} else if (!take_headers(u)) {
		return false;
	}
	code = serve_object_may_put(s, actor, req->bucket, req->key, u->upsert);
	if (code == SERVE_OK && serve_key_has_dots(req->key))
		code = SERVE_INVALID_KEY;
	if (code == SERVE_OK && serve_key_too_long(req->key))
		code = SERVE_INTERNAL;
	if (code == SERVE_OK && serve_sink_open(&s->blobs, &u->sink) < 0)
		code = SERVE_INTERNAL;
	if (code != SERVE_OK)
		rest_fail_key(req, code, req->key);
	return code == SERVE_OK;
}

void rest_upload_begin(struct serve_request *req)
{
	struct rest_upload *u = upload_new(req);

	if (!u)
		return;
	u->upsert = strcmp(req->method, "PUT") == 0 || rest_header_is(req, "x-upsert", "true");
	u->with_id = true;
	(void)snprintf(u->owner, sizeof(u->owner), "%s", req->actor.sub);
	(void)take_target(u, &req->actor);
}

void rest_upload_signed_begin(struct serve_request *req)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf token;
	struct serve_claims claims;
	struct rest_upload *u;

	supafs_buf_init(&token, SUPAFS_SECRET_MAX);
	if (!rest_query(req, "token", &token)) {
		rest_failf(req, SERVE_INVALID_REQUEST,
			"querystring must have required property 'token'");
		return;
	}
	if (!rest_check_signature(
		    req, supafs_buf_str(&token), "upload", req->bucket, req->key, &claims))
		return;
	u = upload_new(req);
	if (u) {
		u->upsert = claims.upsert;
		(void)snprintf(u->owner, sizeof(u->owner), "%s", claims.owner ? claims.owner : "");
		(void)take_target(u, NULL);
	}
	serve_claims_fini(&claims);
}

void rest_upload_write(struct rest_upload *u, const char *p, size_t n)
{
	if (u->too_large || u->failed)
		return;
	if (u->counted && n > u->max - u->sink.size) {
		u->too_large = true;
		return;
	}
	if (serve_sink_write(&u->sink, p, n) < 0)
		u->failed = true;
}

void rest_upload_data(struct serve_request *req, const char *p, size_t n)
{
	struct rest_upload *u = req->work;

	if (u->form)
		rest_form_data(u->form, p, n);
	else
		rest_upload_write(u, p, n);
	if (u->failed)
		rest_fail(req, SERVE_INTERNAL);
}

static void answer(struct rest_upload *u, const char *id)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf b, name;

	supafs_buf_init(&b, REST_TEXT_MAX);
	supafs_buf_init(&name, REST_TEXT_MAX);
	(void)supafs_buf_addstr(&name, u->req->bucket);
	(void)supafs_buf_addc(&name, '/');
	(void)supafs_buf_addstr(&name, u->req->key);
	(void)supafs_buf_adds(&b, "{\"Key\":");
	(void)supafs_json_quote(&b, supafs_buf_str(&name));
	if (u->with_id)
		rest_put_text(&b, "Id", supafs_str_of(id));
	(void)supafs_buf_addc(&b, '}');
	rest_json(u->req, 200, &b);
}

static enum serve_code commit(struct rest_upload *u, char ret_id[SERVE_UUID_SIZE])
{
	struct serve_request *req = u->req;
	char etag[SUPAFS_ETAG_MAX];
	struct serve_put put = {
		.bucket = req->bucket,
		.key = req->key,
		.owner = supafs_str_of(u->owner),
		.mime = supafs_buf_str(&u->mime),
		.cache_control = supafs_buf_str(&u->cache_control),
		.version = supafs_str_of(u->sink.version),
		.size = u->sink.size,
		.now_us = serve_now_us(),
	};

	if (u->has_meta)
		put.meta = supafs_buf_str(&u->meta);
	if (supafs_buf_error(&u->mime) < 0 || supafs_buf_error(&u->cache_control) < 0 ||
		supafs_buf_error(&u->meta) < 0)
		return SERVE_TOO_LARGE;
	if (serve_sink_store(&u->sink, put.now_us, etag) < 0)
		return SERVE_INTERNAL;
	put.etag = supafs_str_of(etag);
	return serve_object_commit(&req->app->service, &put, ret_id);
}

void rest_upload_finish(struct serve_request *req)
{
	struct rest_upload *u = req->work;
	char id[SERVE_UUID_SIZE];
	enum serve_code code;

	if (u->too_large)
		code = SERVE_TOO_LARGE;
	else if (u->form && (!rest_form_end(u->form) || !u->saw_file))
		code = SERVE_INVALID_REQUEST;
	else
		code = commit(u, id);
	if (code != SERVE_OK)
		rest_fail_key(req, code, req->key);
	else
		answer(u, id);
}
