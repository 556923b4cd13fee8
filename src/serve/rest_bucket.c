/* SPDX-License-Identifier: Apache-2.0 */
/* Routes of buckets (API §2). */
#include <ctype.h>
#include <math.h>
#include <stdlib.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/limits.h"
#include "supafs/util/parse.h"

#include "rest.h"

#define MIME_TEXT_MAX (64U << 10)

static void fail_bucket(struct serve_request *req, enum serve_code code)
{
	if (code == SERVE_ACCESS_DENIED)
		rest_failf(req, code, "new row violates row-level security policy");
	else
		rest_fail(req, code);
}

void rest_bucket_get(struct serve_request *req)
{
	supafs_autofree struct serve_bucket *b = NULL;
	supafs_cleanup(supafs_buf_fini) struct supafs_buf out = {0};
	enum serve_code code = serve_bucket_get(&req->app->service, &req->actor, req->bucket, &b);

	if (code != SERVE_OK) {
		fail_bucket(req, code);
		return;
	}
	supafs_buf_init(&out, REST_REPLY_MAX);
	rest_put_bucket(&out, b, false);
	rest_json(req, 200, &out);
}

/* --- list -------------------------------------------------------------------- */

enum bucket_sort {
	BY_ID,
	BY_NAME,
	BY_CREATED,
	BY_UPDATED,
};

struct bucket_row {
	char *id, *name;
	int64_t created_us, updated_us;
	char *json;
};

struct bucket_rows {
	struct bucket_row *list;
	size_t n;
	struct supafs_str search;
	bool failed;
};

static void rows_fini(struct bucket_rows *r)
{
	for (size_t i = 0; i < r->n; i++) {
		free(r->list[i].id);
		free(r->list[i].name);
		free(r->list[i].json);
	}
	free(r->list);
}

static bool contains(struct supafs_str text, struct supafs_str part)
{
	for (size_t i = 0; i + part.n <= text.n; i++) {
		if (strncasecmp(text.p + i, part.p, part.n) == 0)
			return true;
	}
	return false;
}

static bool add_row(void *ctx, const struct serve_bucket *b)
{
	struct bucket_rows *rows = ctx;
	supafs_cleanup(supafs_buf_fini) struct supafs_buf json = {0};
	struct bucket_row *list;

	if (rows->search.n && !contains(b->name, rows->search))
		return true;
	list = realloc(rows->list, (rows->n + 1) * sizeof(*list));
	if (!list) {
		rows->failed = true;
		return false;
	}
	rows->list = list;
	supafs_buf_init(&json, REST_REPLY_MAX);
	rest_put_bucket(&json, b, true);
	list[rows->n++] = (struct bucket_row){.id = supafs_str_dup(b->id),
		.name = supafs_str_dup(b->name),
		.created_us = b->created_us,
		.updated_us = b->updated_us,
		.json = supafs_buf_take(&json)};
	rows->failed = !list[rows->n - 1].id || !list[rows->n - 1].name || !list[rows->n - 1].json;
	return !rows->failed;
}

static int by_id(const void *a, const void *b)
{
	return strcmp(((const struct bucket_row *)a)->id, ((const struct bucket_row *)b)->id);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct bucket_row *)a)->name, ((const struct bucket_row *)b)->name);
}

static int by_created(const void *a, const void *b)
{
	int64_t x = ((const struct bucket_row *)a)->created_us;
	int64_t y = ((const struct bucket_row *)b)->created_us;

	return (x > y) - (x < y);
}

static int by_updated(const void *a, const void *b)
{
	int64_t x = ((const struct bucket_row *)a)->updated_us;
	int64_t y = ((const struct bucket_row *)b)->updated_us;

	return (x > y) - (x < y);
}

static bool query_sort(struct serve_request *req, enum bucket_sort *ret)
{
	static const char *const names[] = {"id", "name", "created_at", "updated_at"};
	supafs_cleanup(supafs_buf_fini) struct supafs_buf text;

	supafs_buf_init(&text, SUPAFS_URL_MAX);
	if (!rest_query(req, "sortColumn", &text))
		return true;
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(names); i++) {
		if (strcmp(names[i], supafs_buf_cstr(&text)) == 0) {
			*ret = (enum bucket_sort)i;
			return true;
		}
	}
	rest_failf(req, SERVE_INVALID_REQUEST,
		"querystring/sortColumn must be equal to one of the allowed values");
	return false;
}

static bool query_uint(struct serve_request *req, const char *name, uint64_t min, uint64_t *ret)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf text;

	supafs_buf_init(&text, SUPAFS_URL_MAX);
	if (!rest_query(req, name, &text))
		return true;
	if (supafs_parse_u64(supafs_buf_str(&text), UINT64_C(1) << 53, ret) == 0 && *ret >= min)
		return true;
	rest_failf(req, SERVE_INVALID_REQUEST, "querystring/%s must be integer", name);
	return false;
}

void rest_bucket_list(struct serve_request *req)
{
	static int (*const orders[])(const void *, const void *) = {
		by_id, by_name, by_created, by_updated};
	supafs_cleanup(rows_fini) struct bucket_rows rows = {0};
	supafs_cleanup(supafs_buf_fini) struct supafs_buf search, order, out;
	enum bucket_sort sort = BY_ID;
	uint64_t limit = UINT64_MAX, offset = 0;
	bool desc;

	supafs_buf_init(&search, SUPAFS_URL_MAX);
	supafs_buf_init(&order, SUPAFS_URL_MAX);
	supafs_buf_init(&out, REST_REPLY_MAX);
	if (!query_uint(req, "limit", 1, &limit) || !query_uint(req, "offset", 0, &offset) ||
		!query_sort(req, &sort))
		return;
	(void)rest_query(req, "search", &search);
	desc = rest_query(req, "sortOrder", &order) && strcmp(supafs_buf_cstr(&order), "desc") == 0;
	rows.search = supafs_buf_str(&search);
	if (serve_bucket_list(&req->app->service, &req->actor, add_row, &rows) != SERVE_OK ||
		rows.failed) {
		rest_fail(req, SERVE_DATABASE);
		return;
	}
	if (rows.n)
		qsort(rows.list, rows.n, sizeof(*rows.list), orders[sort]);
	(void)supafs_buf_addc(&out, '[');
	for (size_t i = offset; i < rows.n && i - offset < limit; i++) {
		if (i > offset)
			(void)supafs_buf_addc(&out, ',');
		(void)supafs_buf_adds(&out, rows.list[desc ? rows.n - 1 - i : i].json);
	}
	(void)supafs_buf_addc(&out, ']');
	rest_json(req, 200, &out);
}

/* --- create and change --------------------------------------------------------- */

/* "12.5 MB" is not taken; "12.5mb" is: decimal units (API §2). */
static bool parse_limit_text(const char *text, uint64_t *ret)
{
	static const struct {
		const char *unit;
		double factor;
	} units[] = {{"gb", 1e9}, {"mb", 1e6}, {"kb", 1e3}, {"b", 1}};
	double value;
	char *end;

	if (!isdigit((unsigned char)*text))
		return false;
	value = strtod(text, &end);
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(units); i++) {
		if (strcasecmp(end, units[i].unit) == 0 && value * units[i].factor < 9e15) {
			*ret = (uint64_t)(value * units[i].factor);
			return true;
		}
	}
	return false;
}

static bool take_limit(struct serve_request *req, struct serve_bucket_change *c)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(req->json, "file_size_limit");

	c->set_limit = item != NULL;
	c->has_limit = item && !cJSON_IsNull(item);
	if (!c->has_limit)
		return true;
	if (cJSON_IsNumber(item) && item->valuedouble >= 0 && item->valuedouble < 9e15 &&
		item->valuedouble == floor(item->valuedouble)) {
		c->limit = (uint64_t)item->valuedouble;
		return true;
	}
	if (cJSON_IsString(item) && parse_limit_text(item->valuestring, &c->limit))
		return true;
	rest_failf(req, SERVE_INVALID_REQUEST, "body/file_size_limit must be integer");
	return false;
}

static bool take_mime(
	struct serve_request *req, struct serve_bucket_change *c, struct supafs_buf *out)
{
	const cJSON *list = cJSON_GetObjectItemCaseSensitive(req->json, "allowed_mime_types");
	const cJSON *item;

	c->set_mime = list != NULL;
	c->mime = (struct supafs_str){NULL, 0};
	if (!list || cJSON_IsNull(list))
		return true;
	if (!cJSON_IsArray(list))
		goto wrong;
	(void)supafs_buf_addc(out, '[');
	cJSON_ArrayForEach(item, list)
	{
		if (!cJSON_IsString(item))
			goto wrong;
		if (out->n > 1)
			(void)supafs_buf_addc(out, ',');
		(void)supafs_json_quote(out, supafs_str_of(item->valuestring));
	}
	(void)supafs_buf_addc(out, ']');
	if (supafs_buf_error(out) < 0)
		goto wrong;
	c->mime = supafs_buf_str(out);
	return true;
wrong:
	rest_failf(req, SERVE_INVALID_REQUEST, "body/allowed_mime_types must be array");
	return false;
}

static bool take_change(
	struct serve_request *req, struct serve_bucket_change *c, struct supafs_buf *mime)
{
	return rest_member_bool(req, "public", &c->is_public, &c->set_public) &&
	       take_limit(req, c) && take_mime(req, c, mime);
}

void rest_bucket_create(struct serve_request *req)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf mime, out;
	struct serve_bucket_change c = {0};
	struct serve_bucket b = {0};
	enum serve_code code;

	supafs_buf_init(&mime, MIME_TEXT_MAX);
	supafs_buf_init(&out, SUPAFS_URL_MAX);
	if (!rest_member_text(req, "name", true, &b.name) || !take_change(req, &c, &mime))
		return;
	b.id = b.name;
	if (!rest_member_text(req, "id", false, &b.id))
		return;
	if (b.id.n == 0)
		b.id = b.name;
	b.owner = supafs_str_of(req->actor.sub);
	b.is_public = c.is_public;
	b.has_limit = c.has_limit;
	b.limit = c.limit;
	b.mime = c.mime;
	code = serve_bucket_create(&req->app->service, &req->actor, &b);
	if (code != SERVE_OK) {
		fail_bucket(req, code);
		return;
	}
	(void)supafs_buf_adds(&out, "{\"name\":");
	(void)supafs_json_quote(&out, b.id);
	(void)supafs_buf_addc(&out, '}');
	rest_json(req, 200, &out);
}

void rest_bucket_update(struct serve_request *req)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf mime;
	struct serve_bucket_change c = {0};
	enum serve_code code;

	supafs_buf_init(&mime, MIME_TEXT_MAX);
	if (!take_change(req, &c, &mime))
		return;
	if (!c.set_public && !c.set_limit && !c.set_mime) {
		rest_failf(
			req, SERVE_INVALID_REQUEST, "body must NOT have fewer than 1 properties");
		return;
	}
	code = serve_bucket_update(&req->app->service, &req->actor, req->bucket, &c);
	if (code != SERVE_OK)
		fail_bucket(req, code);
	else
		rest_json_literal(req, 200, "{\"message\":\"Successfully updated\"}");
}

void rest_bucket_delete(struct serve_request *req)
{
	enum serve_code code;

	if (rest_refuse_empty_json(req))
		return;
	code = serve_bucket_delete(&req->app->service, &req->actor, req->bucket);
	if (code != SERVE_OK)
		fail_bucket(req, code);
	else
		rest_json_literal(req, 200, "{\"message\":\"Successfully deleted\"}");
}

/* The real server only queues the work; here it is done when the answer comes. */
void rest_bucket_empty(struct serve_request *req)
{
	enum serve_code code = serve_bucket_empty(&req->app->service, req->bucket);

	if (code != SERVE_OK)
		fail_bucket(req, code);
	else
		rest_json_literal(req, 200,
			"{\"message\":\"Empty bucket has been queued. "
			"Completion may take up to an hour.\"}");
}
