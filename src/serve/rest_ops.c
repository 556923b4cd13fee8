/* SPDX-License-Identifier: Apache-2.0 */
/* Copy, move and delete (API §7, §8). */
#include <stdlib.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/limits.h"
#include "supafs/util/parse.h"

#include "rest.h"

#define META_MAX (1U << 20)

static bool take_names(struct serve_request *req, struct serve_transfer *t)
{
	if (!rest_member_text(req, "bucketId", true, &t->from_bucket) ||
		!rest_member_text(req, "sourceKey", true, &t->from_key) ||
		!rest_member_text(req, "destinationKey", true, &t->to_key))
		return false;
	t->to_bucket = t->from_bucket;
	if (!rest_member_text(req, "destinationBucket", false, &t->to_bucket))
		return false;
	if (t->to_bucket.n == 0)
		t->to_bucket = t->from_bucket;
	return true;
}

static void fail_transfer(
	struct serve_request *req, enum serve_code code, const struct serve_transfer *t)
{
	rest_fail_key(req, code, t->to_key);
}

static void answer_copy(struct serve_request *req, const struct serve_object *o)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf b, name;

	supafs_buf_init(&b, REST_REPLY_MAX);
	supafs_buf_init(&name, REST_TEXT_MAX);
	(void)supafs_buf_addstr(&name, o->bucket);
	(void)supafs_buf_addc(&name, '/');
	(void)supafs_buf_addstr(&name, o->name);
	(void)supafs_buf_adds(&b, "{\"Key\":");
	(void)supafs_json_quote(&b, supafs_buf_str(&name));
	rest_put_text(&b, "Id", o->id);
	(void)supafs_buf_addc(&b, ',');
	rest_put_row(&b, o);
	(void)supafs_buf_addc(&b, '}');
	rest_json(req, 200, &b);
}

void rest_copy(struct serve_request *req)
{
	supafs_autofree struct serve_object *o = NULL;
	supafs_cleanup(supafs_buf_fini) struct supafs_buf meta;
	struct serve_transfer t = {.copy_metadata = true};
	bool present;
	enum serve_code code;

	supafs_buf_init(&meta, META_MAX);
	if (!take_names(req, &t) ||
		!rest_member_bool(req, "copyMetadata", &t.copy_metadata, &present) ||
		!rest_member_text(req, "metadata/mimetype", false, &t.mime) ||
		!rest_member_text(req, "metadata/cacheControl", false, &t.cache_control))
		return;
	t.upsert = rest_header_is(req, "x-upsert", "true");
	if (rest_metadata_header(req, &meta))
		t.meta = supafs_buf_str(&meta);
	if (req->response)
		return;
	code = serve_object_copy(&req->app->service, &req->actor, &t, &o);
	if (code != SERVE_OK)
		fail_transfer(req, code, &t);
	else
		answer_copy(req, o);
}

void rest_move(struct serve_request *req)
{
	struct serve_transfer t = {0};
	enum serve_code code;

	if (!take_names(req, &t))
		return;
	code = serve_object_move(&req->app->service, &req->actor, &t);
	if (code != SERVE_OK)
		fail_transfer(req, code, &t);
	else
		rest_json_literal(req, 200, "{\"message\":\"Successfully moved\"}");
}

void rest_delete(struct serve_request *req)
{
	enum serve_code code;

	if (rest_refuse_empty_json(req))
		return;
	code = serve_object_delete(&req->app->service, &req->actor, req->bucket, req->key);
	if (code != SERVE_OK) {
		rest_fail(req, code);
		return;
	}
	serve_count(&req->app->counters->keys_deleted, 1);
	rest_json_literal(req, 200, "{\"message\":\"Successfully deleted\"}");
}

struct deleted {
	struct supafs_buf json;
	size_t n;
};

static void put_deleted(void *ctx, const struct serve_object *o)
{
	struct deleted *d = ctx;

	(void)supafs_buf_addc(&d->json, d->n++ ? ',' : '[');
	(void)supafs_buf_addc(&d->json, '{');
	rest_put_row(&d->json, o);
	(void)supafs_buf_addc(&d->json, '}');
}

void rest_delete_many(struct serve_request *req)
{
	supafs_autofree struct supafs_str *keys = NULL;
	struct deleted d = {.n = 0};
	enum serve_code code;
	size_t n;

	if (!rest_member_texts(req, "prefixes", &keys, &n))
		return;
	supafs_buf_init(&d.json, REST_REPLY_MAX);
	code = serve_object_delete_many(&req->app->service, &req->actor, req->bucket,
		(struct serve_keys){keys, n}, put_deleted, &d);
	(void)supafs_buf_adds(&d.json, d.n ? "]" : "[]");
	serve_count(&req->app->counters->keys_deleted, d.n);
	if (code != SERVE_OK)
		rest_fail(req, code);
	else
		rest_json(req, 200, &d.json);
	supafs_buf_fini(&d.json);
}
