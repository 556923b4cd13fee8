/* SPDX-License-Identifier: Apache-2.0 */
/* Signed URLs (API §9): tokens bound to one bucket/key and to one use. */
#include <stdlib.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/limits.h"
#include "supafs/util/parse.h"

#include "keys.h"
#include "rest.h"

#define UPLOAD_LIFE_S 7200
#define PATHS_MAX     1000

static int64_t now_s(void)
{
	return serve_now_us() / 1000000;
}

static void put_name(struct supafs_buf *b, struct supafs_str bucket, struct supafs_str key)
{
	(void)supafs_buf_addstr(b, bucket);
	(void)supafs_buf_addc(b, '/');
	(void)supafs_buf_addstr(b, key);
}

/* Appends a token for bucket/key. `extra` is further members, each with a comma before it. */
static int put_token(struct serve_request *req, struct supafs_buf *out, struct supafs_str name,
	const char *scope, int64_t life_s, const char *extra)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf payload;

	supafs_buf_init(&payload, SUPAFS_SECRET_MAX);
	(void)supafs_buf_adds(&payload, "{\"url\":");
	(void)supafs_json_quote(&payload, name);
	(void)supafs_buf_addf(&payload, ",\"scope\":\"%s\"%s,\"iat\":%lld,\"exp\":%lld}", scope,
		extra, (long long)now_s(), (long long)now_s() + life_s);
	if (supafs_buf_error(&payload) < 0)
		return supafs_buf_error(&payload);
	return serve_jwt_sign(&req->app->jwt, supafs_buf_str(&payload), out);
}

/* The real server signs the name, and compares with it, as decodeURI() leaves the path: what stays
 * encoded there is another name (tried with v1.70.6). */
static bool half_decoded(struct supafs_str path)
{
	static const char *const kept[] = {
		"%24", "%26", "%2B", "%2C", "%3A", "%3B", "%3D", "%3F", "%40"};

	for (size_t i = 0; i + 3 <= path.n; i++) {
		for (size_t k = 0; k < SUPAFS_ARRAY_LEN(kept); k++) {
			if (strncasecmp(path.p + i, kept[k], 3) == 0)
				return true;
		}
	}
	return false;
}

bool rest_check_signature(struct serve_request *req, struct supafs_str token, const char *scope,
	struct supafs_str bucket, struct supafs_str key, struct serve_claims *ret_claims)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf name = {0};
	enum serve_jwt_result r = serve_jwt_verify(&req->app->jwt, token, now_s(), ret_claims);

	if (r != SERVE_JWT_OK) {
		rest_failf(req, SERVE_INVALID_JWT, "%s", serve_jwt_text(r));
		return false;
	}
	supafs_buf_init(&name, REST_TEXT_MAX);
	put_name(&name, bucket, key);
	if (strcmp(ret_claims->scope, scope) == 0 && ret_claims->url && !half_decoded(req->path) &&
		supafs_str_eq(supafs_str_of(ret_claims->url), supafs_buf_str(&name)))
		return true;
	serve_claims_fini(ret_claims);
	rest_fail(req, SERVE_INVALID_SIGNATURE);
	return false;
}

/* The members' name and the path with its token, as a JSON member. */
static void put_signed_url(
	struct serve_request *req, struct supafs_buf *out, struct supafs_str key, int64_t life_s)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf name, url;

	supafs_buf_init(&name, REST_TEXT_MAX);
	supafs_buf_init(&url, REST_TEXT_MAX);
	put_name(&name, req->bucket, key);
	(void)supafs_buf_adds(&url, "/object/sign/");
	(void)supafs_buf_addstr(&url, supafs_buf_str(&name));
	(void)supafs_buf_adds(&url, "?token=");
	(void)put_token(req, &url, supafs_buf_str(&name), "download", life_s, "");
	rest_put_text(out, "signedURL", supafs_buf_str(&url));
}

void rest_sign_one(struct serve_request *req)
{
	supafs_autofree struct serve_object *o = NULL;
	supafs_cleanup(supafs_buf_fini) struct supafs_buf member = {0}, out = {0};
	uint64_t life_s = 0;
	enum serve_code code;

	if (!rest_member_uint(req, "expiresIn", 1, true, &life_s))
		return;
	if (!serve_key_valid(req->key)) {
		rest_fail_key(req, SERVE_INVALID_KEY, req->key);
		return;
	}
	code = serve_object_find(&req->app->service, &req->actor, req->bucket, req->key, &o);
	if (code != SERVE_OK) {
		rest_fail(req, code);
		return;
	}
	supafs_buf_init(&member, REST_TEXT_MAX);
	supafs_buf_init(&out, REST_TEXT_MAX);
	put_signed_url(req, &member, half_decoded(req->path) ? SUPAFS_STR("?") : req->key,
		(int64_t)life_s);
	/* Each member comes with the comma that is before it. */
	(void)supafs_buf_addf(&out, "{%s}", supafs_buf_cstr(&member) + (member.n > 0));
	rest_json(req, 200, &out);
}

void rest_sign_many(struct serve_request *req)
{
	supafs_autofree struct supafs_str *paths = NULL;
	supafs_cleanup(supafs_buf_fini) struct supafs_buf out = {0};
	uint64_t life_s = 0;
	size_t n;

	if (!rest_member_uint(req, "expiresIn", 1, true, &life_s) ||
		!rest_member_texts(req, "paths", &paths, &n))
		return;
	if (n > PATHS_MAX) {
		rest_failf(req, SERVE_INVALID_REQUEST,
			"body/paths must NOT have more than 1000 items");
		return;
	}
	supafs_buf_init(&out, REST_REPLY_MAX);
	for (size_t i = 0; i < n; i++) {
		supafs_autofree struct serve_object *o = NULL;
		bool found = serve_object_find(&req->app->service, &req->actor, req->bucket,
				     paths[i], &o) == SERVE_OK;

		(void)supafs_buf_addf(&out, "%c{\"error\":%s", i ? ',' : '[',
			found ? "null"
			      : "\"Either the object does not exist or you do not have access to "
				"it\"");
		rest_put_text(&out, "path", paths[i]);
		if (found)
			put_signed_url(req, &out, paths[i], (int64_t)life_s);
		else
			(void)supafs_buf_adds(&out, ",\"signedURL\":null");
		(void)supafs_buf_addc(&out, '}');
	}
	(void)supafs_buf_addc(&out, ']');
	rest_json(req, 200, &out);
}

static enum serve_code may_sign_upload(struct serve_request *req, bool upsert)
{
	supafs_autofree struct serve_bucket *b = NULL;
	struct serve_service *s = &req->app->service;
	enum serve_code code;

	if (!serve_key_valid(req->key))
		return SERVE_INVALID_KEY;
	code = serve_bucket_get(s, NULL, req->bucket, &b);
	if (code != SERVE_OK)
		return code == SERVE_NO_SUCH_BUCKET ? SERVE_NO_SUCH_RELATED : code;
	return serve_object_may_put(s, &req->actor, req->bucket, req->key, upsert);
}

void rest_sign_upload(struct serve_request *req)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf name = {0}, token = {0}, url = {0},
							  extra = {0}, out = {0};
	bool upsert = rest_header_is(req, "x-upsert", "true");
	enum serve_code code = may_sign_upload(req, upsert);

	if (code != SERVE_OK) {
		rest_fail_key(req, code, req->key);
		return;
	}
	supafs_buf_init(&name, REST_TEXT_MAX);
	supafs_buf_init(&token, SUPAFS_SECRET_MAX);
	supafs_buf_init(&url, REST_TEXT_MAX);
	supafs_buf_init(&extra, SUPAFS_URL_MAX);
	supafs_buf_init(&out, REST_TEXT_MAX);
	put_name(&name, req->bucket, req->key);
	(void)supafs_buf_addf(&extra, ",\"upsert\":%s", upsert ? "true" : "false");
	rest_put_text(&extra, "owner", supafs_str_of(req->actor.sub));
	if (put_token(req, &token, supafs_buf_str(&name), "upload", UPLOAD_LIFE_S,
		    supafs_buf_cstr(&extra)) < 0) {
		rest_fail(req, SERVE_INTERNAL);
		return;
	}
	(void)supafs_buf_addf(&url, "/object/upload/sign/%s?token=%s", supafs_buf_cstr(&name),
		supafs_buf_cstr(&token));
	(void)supafs_buf_adds(&out, "{\"url\":");
	(void)supafs_json_quote(&out, supafs_buf_str(&url));
	rest_put_text(&out, "token", supafs_buf_str(&token));
	(void)supafs_buf_addc(&out, '}');
	rest_json(req, 200, &out);
}
