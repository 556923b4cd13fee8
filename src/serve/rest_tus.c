/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Resumable uploads, TUS 1.0.0 (API §6). Errors are plain text, except those of tokens.
 *
 *	state      file in uploads/   row in finished_uploads   offset
 *	begun      yes                no                        its length
 *	finished   no (it is stored)  yes, with the object's    the upload's length
 *	neither    no                 no                        a crash in between: gone at the next
 *start
 */
#include "rest_tus.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/file.h"
#include "supafs/util/limits.h"
#include "supafs/util/parse.h"

#include "keys.h"
#include "rest.h"

#define TUS_VERSION "1.0.0"
#define BODY_TYPE   "application/offset+octet-stream"

static void tus_free(void *work)
{
	struct rest_tus *t = work;

	if (t->fd >= 0)
		(void)close(t->fd);
	rest_tus_unlock(t->req->app, t->lock);
	free(t->upload);
	free(t);
}

static struct rest_tus *tus_new(struct serve_request *req)
{
	struct rest_tus *t = calloc(1, sizeof(*t));

	if (!t) {
		rest_fail(req, SERVE_INTERNAL);
		return NULL;
	}
	t->req = req;
	t->fd = -1;
	req->work = t;
	req->work_free = tus_free;
	return t;
}

static bool check_version(struct serve_request *req)
{
	if (rest_header_is(req, "Tus-Resumable", TUS_VERSION))
		return true;
	rest_text(req, 412, "Tus-Resumable Required\n");
	return false;
}

/* Codes of the service as this protocol tells them. */
static void fail_code(struct serve_request *req, enum serve_code code, struct supafs_str key)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf text = {0};

	switch ((int)code) {
	case SERVE_NO_SUCH_BUCKET:
		rest_text(req, 404, "Bucket not found");
		return;
	case SERVE_KEY_EXISTS:
		rest_text(req, 409, "The resource already exists");
		return;
	case SERVE_ACCESS_DENIED:
		rest_text(req, 403, "new row violates row-level security policy");
		return;
	case SERVE_INVALID_KEY:
		supafs_buf_init(&text, SUPAFS_URL_MAX);
		(void)supafs_buf_adds(&text, "Invalid key: ");
		(void)supafs_buf_addstr(&text, key);
		rest_text(req, 400, supafs_buf_cstr(&text));
		return;
	default:
		rest_text(req, 500, "Internal Server Error");
		return;
	}
}

void rest_tus_options(struct serve_request *req)
{
	char max[24];

	rest_empty(req, 204);
	(void)snprintf(max, sizeof(max), "%llu", (unsigned long long)req->app->service.size_limit);
	rest_add_header(req, "Tus-Version", TUS_VERSION);
	rest_add_header(req, "Tus-Extension",
		"creation,creation-with-upload,creation-defer-length,termination,expiration");
	rest_add_header(req, "Tus-Max-Size", max);
}

/* --- the rights of a request -------------------------------------------------------- */

/* With a signed token (routes below /sign) the token says who and whether to replace; otherwise the
 * actor and the x-upsert header do. Answers when it may not. */
static bool check_rights(struct rest_tus *t, struct supafs_str bucket, struct supafs_str key)
{
	struct serve_request *req = t->req;
	const char *token = rest_request_header(req, "x-signature");
	bool upsert = rest_header_is(req, "x-upsert", "true");
	const struct serve_actor *actor = &req->actor;
	struct serve_claims claims;
	enum serve_code code;

	if (!(req->route->flags & REST_AUTH)) {
		if (!token) {
			rest_failf(req, SERVE_INVALID_SIGNATURE, "Missing x-signature header");
			return false;
		}
		if (!rest_check_signature(
			    req, supafs_str_of(token), "upload", bucket, key, &claims))
			return false;
		upsert = claims.upsert;
		actor = NULL;
		serve_claims_fini(&claims);
	}
	code = serve_object_may_put(&req->app->service, actor, bucket, key, upsert);
	if (code != SERVE_OK)
		fail_code(req, code, key);
	return code == SERVE_OK;
}

/* --- creation ------------------------------------------------------------------------- */

/* Bucket, name, limits; answers when refused. */
static bool check_target(
	struct rest_tus *t, const struct tus_metadata *m, bool deferred, uint64_t length)
{
	struct serve_request *req = t->req;
	struct serve_service *s = &req->app->service;
	supafs_autofree struct serve_bucket *b = NULL;
	struct supafs_str key = supafs_buf_str(&m->object);
	enum serve_code code = SERVE_OK;

	if (!serve_key_valid(key) || serve_key_has_dots(key))
		code = SERVE_INVALID_KEY;
	if (code == SERVE_OK)
		code = serve_bucket_get(s, NULL, supafs_buf_str(&m->bucket), &b);
	if (code != SERVE_OK) {
		fail_code(req, code, key);
		return false;
	}
	t->max = serve_bucket_max(s, b, false);
	if (!deferred && length > t->max) {
		rest_text(req, 413, "Maximum size exceeded\n");
		return false;
	}
	if (m->type.n && !serve_bucket_takes_mime(b, supafs_buf_str(&m->type))) {
		rest_text(req, 415, "mime type is not supported");
		return false;
	}
	return check_rights(t, supafs_buf_str(&m->bucket), key);
}

/* Upload-Length, or Upload-Defer-Length: 1. */
static bool take_length(struct serve_request *req, bool *ret_deferred, uint64_t *ret_length)
{
	const char *length = rest_request_header(req, "Upload-Length");
	const char *defer = rest_request_header(req, "Upload-Defer-Length");

	*ret_deferred = defer != NULL;
	*ret_length = 0;
	if (!length != !defer && (!defer || strcmp(defer, "1") == 0) &&
		(!length || supafs_parse_u64(
				    supafs_str_of(length), UINT64_C(1) << 53, ret_length) == 0))
		return true;
	rest_text(req, 400, "Upload-Length or Upload-Defer-Length header required\n");
	return false;
}

static bool create_upload(struct rest_tus *t, const struct tus_metadata *m, const char *header,
	bool deferred, uint64_t length)
{
	struct serve_service *s = &t->req->app->service;
	char id[SERVE_UUID_SIZE];
	struct serve_resumable u = {
		.bucket = supafs_buf_str(&m->bucket),
		.key = supafs_buf_str(&m->object),
		.owner = supafs_str_of(t->req->actor.sub),
		.mime = m->type.n ? supafs_buf_str(&m->type)
				  : SUPAFS_STR("application/octet-stream"),
		.cache_control = supafs_buf_str(&m->cache_control),
		.header = supafs_str_of(header),
		.deferred = deferred,
		.length = length,
	};
	enum serve_code code;

	if (m->has_meta)
		u.meta = supafs_buf_str(&m->meta);
	code = serve_resumable_create(s, &u, id);
	if (code == SERVE_OK)
		code = serve_resumable_get(s, supafs_str_of(id), &t->upload);
	if (code == SERVE_OK) {
		t->fd = serve_upload_file_open(&s->blobs, id);
		t->lock = rest_tus_lock(t->req, supafs_str_of(id));
	}
	if (code != SERVE_OK || t->fd < 0 || !t->lock) {
		rest_text(t->req, 500, "Internal Server Error");
		return false;
	}
	return true;
}

static bool is_body_type(struct serve_request *req)
{
	return rest_header_is(req, "Content-Type", BODY_TYPE);
}

void rest_tus_create_begin(struct serve_request *req)
{
	supafs_cleanup(tus_metadata_fini) struct tus_metadata m;
	const char *header = rest_request_header(req, "Upload-Metadata");
	struct rest_tus *t;
	bool deferred;
	uint64_t length;

	tus_metadata_init(&m);
	if (!check_version(req) || !take_length(req, &deferred, &length))
		return;
	if (!header || !*header) {
		rest_text(req, 400, "Metadata header is required");
		return;
	}
	if (!tus_metadata_parse(&m, header)) {
		rest_text(req, 400,
			"Upload-Metadata is invalid. It MUST consist of one or more "
			"comma-separated key-value pairs.\n");
		return;
	}
	t = tus_new(req);
	if (!t || !check_target(t, &m, deferred, length))
		return;
	(void)create_upload(t, &m, header, deferred, length);
}

/* --- bytes ------------------------------------------------------------------------------ */

void rest_tus_data(struct serve_request *req, const char *p, size_t n)
{
	struct rest_tus *t = req->work;
	uint64_t end = t->upload->deferred ? t->max : t->upload->length;

	if (strcmp(req->method, "POST") == 0 && !is_body_type(req))
		return;
	if (rest_tus_lost(req->app, t->lock)) {
		rest_text(req, 400, "Request aborted due to lock acquired");
		return;
	}
	/* A limit that was lowered meanwhile may lie before the offset. */
	if (t->offset > end || n > end - t->offset) {
		rest_text(req, 413, "upload's size exceeded\n");
		return;
	}
	if (supafs_pwrite_all(t->fd, p, n, t->offset) < 0) {
		rest_text(req, 500, "Internal Server Error");
		return;
	}
	t->offset += n;
}

static void add_number(struct serve_request *req, const char *name, uint64_t n)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%llu", (unsigned long long)n);
	rest_add_header(req, name, text);
}

/* Commits when all bytes are there. False when it answered with a failure. */
static bool finish_if_whole(struct rest_tus *t, bool *ret_done)
{
	enum serve_code code;

	*ret_done = !t->upload->deferred && t->offset == t->upload->length;
	if (!*ret_done || t->finished)
		return true;
	code = serve_resumable_finish(&t->req->app->service, t->upload, t->fd);
	if (code != SERVE_OK)
		fail_code(t->req, code, t->upload->key);
	return code == SERVE_OK;
}

static void add_expiry(struct serve_request *req, const struct serve_resumable *u)
{
	char text[32];

	serve_format_http(u->created_us + req->app->service.tus_expiry_us, text);
	rest_add_header(req, "Upload-Expires", text);
}

/* The id is base64url of bucket/object/version. */
static void add_location(struct serve_request *req, const struct serve_resumable *u)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf name, url;

	supafs_buf_init(&name, REST_TEXT_MAX);
	supafs_buf_init(&url, REST_TEXT_MAX);
	(void)supafs_buf_addf(&name, "%s/%s/%s", u->bucket.p, u->key.p, u->id.p);
	(void)supafs_buf_addf(&url, "%s%s/upload/resumable/%s", req->app->url,
		req->app->config->base_path, req->route->flags & REST_AUTH ? "" : "sign/");
	(void)supafs_b64url_encode(&url, supafs_buf_cstr(&name), name.n);
	rest_add_header(req, "Location", supafs_buf_cstr(&url));
}

void rest_tus_create_finish(struct serve_request *req)
{
	struct rest_tus *t = req->work;
	bool done;

	if (!finish_if_whole(t, &done))
		return;
	rest_text(req, 201, "");
	add_location(req, t->upload);
	add_expiry(req, t->upload);
	if (is_body_type(req))
		add_number(req, "Upload-Offset", t->offset);
	if (done)
		rest_add_header(req, "Tus-Complete", "1");
}

/* --- an upload that is there -------------------------------------------------------------- */

/* Finds it by the id in the path; answers when it is not there. */
static bool find_upload(struct rest_tus *t)
{
	struct serve_request *req = t->req;
	struct serve_service *s = &req->app->service;
	supafs_cleanup(supafs_buf_fini) struct supafs_buf name, want;
	const char *slash;

	supafs_buf_init(&name, REST_TEXT_MAX);
	supafs_buf_init(&want, REST_TEXT_MAX);
	if (supafs_b64url_decode(&name, req->key) < 0)
		supafs_buf_reset(&name);
	slash = strrchr(supafs_buf_cstr(&name), '/');
	if (!slash || serve_resumable_get(s, supafs_str_of(slash + 1), &t->upload) != SERVE_OK) {
		rest_text(req, 404, "The file for this url was not found\n");
		return false;
	}
	(void)supafs_buf_addf(
		&want, "%s/%s/%s", t->upload->bucket.p, t->upload->key.p, t->upload->id.p);
	if (!supafs_str_eq(supafs_buf_str(&want), supafs_buf_str(&name))) {
		rest_text(req, 404, "The file for this url was not found\n");
		return false;
	}
	if (serve_resumable_expired(s, t->upload)) {
		rest_text(req, 410, "The file for this url no longer exists\n");
		return false;
	}
	return true;
}

/* Its bytes so far; with the lock. */
static bool open_upload(struct rest_tus *t)
{
	struct stat st;

	t->finished = t->upload->finished;
	t->offset = t->upload->length;
	if (t->finished)
		return true;
	t->fd = serve_upload_file_open(&t->req->app->service.blobs, t->upload->id.p);
	if (t->fd < 0 || fstat(t->fd, &st) < 0) {
		rest_text(t->req, 500, "Internal Server Error");
		return false;
	}
	t->offset = (uint64_t)st.st_size;
	return true;
}

/* The upload alone for this request, and what it is after that. */
static bool hold_upload(struct rest_tus *t)
{
	if (!find_upload(t))
		return false;
	t->lock = rest_tus_lock(t->req, t->upload->id);
	if (!t->lock) {
		rest_text(t->req, 503, "acquiring lock timeout");
		return false;
	}
	free(supafs_steal(&t->upload));
	return find_upload(t) && open_upload(t);
}

/* A length that comes with a later request. */
static bool take_late_length(struct rest_tus *t)
{
	struct serve_request *req = t->req;
	const char *text = rest_request_header(req, "Upload-Length");
	uint64_t length;

	if (!text || !t->upload->deferred)
		return true;
	if (supafs_parse_u64(supafs_str_of(text), UINT64_C(1) << 53, &length) < 0 ||
		length < t->offset) {
		rest_text(req, 400, "Upload-Length header is invalid\n");
		return false;
	}
	if (length > t->max) {
		rest_text(req, 413, "Maximum size exceeded\n");
		return false;
	}
	if (serve_resumable_set_length(&req->app->service, t->upload->id, length) != SERVE_OK) {
		rest_text(req, 500, "Internal Server Error");
		return false;
	}
	t->upload->deferred = false;
	t->upload->length = length;
	return true;
}

static bool take_limit(struct rest_tus *t)
{
	struct serve_service *s = &t->req->app->service;
	supafs_autofree struct serve_bucket *b = NULL;
	enum serve_code code = serve_bucket_get(s, NULL, t->upload->bucket, &b);

	if (code != SERVE_OK) {
		fail_code(t->req, code, t->upload->key);
		return false;
	}
	t->max = serve_bucket_max(s, b, false);
	return true;
}

static bool check_offset(struct rest_tus *t, uint64_t offset)
{
	struct serve_request *req = t->req;

	if (offset != t->offset) {
		rest_text(req, 409, "Upload-Offset conflict\n");
		return false;
	}
	if (!take_late_length(t))
		return false;
	if (!t->upload->deferred && req->has_length &&
		req->length > t->upload->length - t->offset) {
		rest_text(req, 413, "upload's size exceeded\n");
		return false;
	}
	return true;
}

void rest_tus_patch_begin(struct serve_request *req)
{
	const char *text = rest_request_header(req, "Upload-Offset");
	uint64_t offset = 0;
	struct rest_tus *t;

	if (!check_version(req))
		return;
	if (!text || supafs_parse_u64(supafs_str_of(text), UINT64_C(1) << 53, &offset) < 0) {
		rest_text(req, 403, "Upload-Offset header required\n");
		return;
	}
	if (!is_body_type(req)) {
		rest_text(req, 403, "Content-Type header required\n");
		return;
	}
	t = tus_new(req);
	if (!t || !hold_upload(t) || !take_limit(t) ||
		!check_rights(t, t->upload->bucket, t->upload->key))
		return;
	(void)check_offset(t, offset);
}

void rest_tus_patch_finish(struct serve_request *req)
{
	struct rest_tus *t = req->work;
	bool done;

	if (!finish_if_whole(t, &done))
		return;
	rest_empty(req, 204);
	add_number(req, "Upload-Offset", t->offset);
	add_expiry(req, t->upload);
	if (done)
		rest_add_header(req, "Tus-Complete", "1");
}

void rest_tus_head(struct serve_request *req)
{
	struct rest_tus *t;

	if (!check_version(req))
		return;
	t = tus_new(req);
	/* Whoever still sends is stopped first, so that the offset stays true. */
	if (!t || !hold_upload(t))
		return;
	rest_text(req, 200, "");
	add_number(req, "Upload-Offset", t->offset);
	if (t->upload->deferred)
		rest_add_header(req, "Upload-Defer-Length", "1");
	else
		add_number(req, "Upload-Length", t->upload->length);
	rest_add_header(req, "Upload-Metadata", t->upload->header.p);
	rest_add_header(req, "Cache-Control", "no-store");
	add_expiry(req, t->upload);
}

void rest_tus_delete(struct serve_request *req)
{
	struct rest_tus *t;

	if (!check_version(req))
		return;
	t = tus_new(req);
	if (!t || !hold_upload(t) || !check_rights(t, t->upload->bucket, t->upload->key))
		return;
	if (t->finished) {
		rest_text(req, 400, "Cannot terminate an already completed upload\n");
		return;
	}
	if (serve_resumable_forget(&req->app->service, t->upload->id) != SERVE_OK)
		rest_text(req, 500, "Internal Server Error");
	else
		rest_empty(req, 204);
}
