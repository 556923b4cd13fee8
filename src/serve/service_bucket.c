/* SPDX-License-Identifier: Apache-2.0 */
/* Buckets. */
#include <cjson/cJSON.h>
#include <stdlib.h>

#include "supafs/util/cleanup.h"

#include "keys.h"
#include "service.h"

#define EMPTY_BATCH 500

static const struct supafs_str no_key = {"", 0};

static bool allowed(struct serve_service *s, const struct serve_actor *actor, unsigned ops,
	struct supafs_str bucket)
{
	return !actor || serve_policies_allow(s->policies, actor, ops, bucket, no_key);
}

/* Column numbers of BUCKET_COLUMNS in sql.c. */
static void read_bucket(sqlite3_stmt *stmt, struct serve_bucket *b)
{
	*b = (struct serve_bucket){
		.id = serve_column_str(stmt, 0),
		.name = serve_column_str(stmt, 1),
		.owner = serve_column_str(stmt, 2),
		.is_public = sqlite3_column_int(stmt, 3) != 0,
		.has_limit = sqlite3_column_type(stmt, 4) != SQLITE_NULL,
		.limit = (uint64_t)sqlite3_column_int64(stmt, 4),
		.created_us = sqlite3_column_int64(stmt, 6),
		.updated_us = sqlite3_column_int64(stmt, 7),
	};
	if (sqlite3_column_type(stmt, 5) != SQLITE_NULL)
		b->mime = serve_column_str(stmt, 5);
}

static struct serve_bucket *dup_bucket(const struct serve_bucket *b)
{
	struct serve_bucket *copy =
		malloc(sizeof(*copy) + b->id.n + b->name.n + b->owner.n + b->mime.n + 4);
	struct supafs_str *fields[4];
	char *at;

	if (!copy)
		return NULL;
	*copy = *b;
	fields[0] = &copy->id;
	fields[1] = &copy->name;
	fields[2] = &copy->owner;
	fields[3] = &copy->mime;
	at = (char *)(copy + 1);
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(fields); i++) {
		if (!fields[i]->p)
			continue;
		memcpy(at, fields[i]->p, fields[i]->n);
		at[fields[i]->n] = '\0';
		fields[i]->p = at;
		at += fields[i]->n + 1;
	}
	return copy;
}

static enum serve_code get_bucket(
	struct serve_conn *c, struct supafs_str id, struct serve_bucket **ret_bucket)
{
	sqlite3_stmt *stmt = c ? serve_conn_sql(c, SERVE_SQL_BUCKET_GET) : NULL;
	struct serve_bucket b, *copy;
	int r;

	if (!stmt)
		return SERVE_DATABASE;
	serve_bind_str(stmt, 1, id);
	r = sqlite3_step(stmt);
	if (r != SQLITE_ROW)
		return r == SQLITE_DONE ? SERVE_NO_SUCH_BUCKET : SERVE_DATABASE;
	read_bucket(stmt, &b);
	copy = dup_bucket(&b);
	if (!copy)
		return SERVE_INTERNAL;
	*ret_bucket = copy;
	return SERVE_OK;
}

enum serve_code serve_bucket_get(struct serve_service *s, const struct serve_actor *actor,
	struct supafs_str id, struct serve_bucket **ret_bucket)
{
	supafs_cleanup(serve_conn_cleanup) struct serve_conn *c = NULL;

	if (!allowed(s, actor, SERVE_OP_SELECT, id))
		return SERVE_NO_SUCH_BUCKET;
	c = serve_db_reader(s->db);
	return get_bucket(c, id, ret_bucket);
}

enum serve_code serve_bucket_list(struct serve_service *s, const struct serve_actor *actor,
	bool (*each)(void *ctx, const struct serve_bucket *b), void *ctx)
{
	supafs_cleanup(serve_conn_cleanup) struct serve_conn *c = serve_db_reader(s->db);
	sqlite3_stmt *stmt = c ? serve_conn_sql(c, SERVE_SQL_BUCKET_LIST) : NULL;
	int r = SQLITE_ERROR;

	while (stmt && (r = sqlite3_step(stmt)) == SQLITE_ROW) {
		struct serve_bucket b;

		read_bucket(stmt, &b);
		if (allowed(s, actor, SERVE_OP_SELECT, b.id) && !each(ctx, &b))
			return SERVE_OK;
	}
	return r == SQLITE_DONE ? SERVE_OK : SERVE_DATABASE;
}

static void bind_limits(
	sqlite3_stmt *stmt, int at, bool has_limit, uint64_t limit, struct supafs_str mime)
{
	if (has_limit)
		(void)sqlite3_bind_int64(stmt, at, (sqlite3_int64)limit);
	else
		(void)sqlite3_bind_null(stmt, at);
	serve_bind_str(stmt, at + 1, mime);
}

enum serve_code serve_bucket_create(
	struct serve_service *s, const struct serve_actor *actor, const struct serve_bucket *b)
{
	supafs_cleanup(serve_conn_cleanup) struct serve_conn *c = NULL;
	sqlite3_stmt *stmt;
	int r;

	if (!serve_bucket_name_valid(b->id) || !serve_bucket_name_valid(b->name))
		return SERVE_INVALID_BUCKET_NAME;
	if (!allowed(s, actor, SERVE_OP_INSERT, b->id))
		return SERVE_ACCESS_DENIED;
	if (b->has_limit && b->limit > s->size_limit)
		return SERVE_TOO_LARGE;
	c = serve_db_writer(s->db);
	stmt = serve_conn_sql(c, SERVE_SQL_BUCKET_INSERT);
	if (!stmt)
		return SERVE_DATABASE;
	serve_bind_str(stmt, 1, b->id);
	serve_bind_str(stmt, 2, b->name);
	serve_bind_str(stmt, 3, b->owner);
	(void)sqlite3_bind_int(stmt, 4, b->is_public);
	bind_limits(stmt, 5, b->has_limit, b->limit, b->mime);
	(void)sqlite3_bind_int64(stmt, 7, serve_now_us());
	r = sqlite3_step(stmt);
	if (r == SQLITE_CONSTRAINT)
		return SERVE_BUCKET_EXISTS;
	return r == SQLITE_DONE ? SERVE_OK : SERVE_DATABASE;
}

enum serve_code serve_bucket_update(struct serve_service *s, const struct serve_actor *actor,
	struct supafs_str id, const struct serve_bucket_change *change)
{
	supafs_autofree struct serve_bucket *b = NULL;
	supafs_cleanup(serve_conn_cleanup) struct serve_conn *c = NULL;
	enum serve_code code;
	sqlite3_stmt *stmt;

	if (!allowed(s, actor, SERVE_OP_SELECT | SERVE_OP_UPDATE, id))
		return SERVE_NO_SUCH_BUCKET;
	/* What stays as it is must not be older than another update's end. */
	c = serve_db_writer(s->db);
	code = get_bucket(c, id, &b);
	if (code != SERVE_OK)
		return code;
	if (change->set_public)
		b->is_public = change->is_public;
	if (change->set_limit) {
		b->has_limit = change->has_limit;
		b->limit = change->limit;
		if (b->has_limit && b->limit > s->size_limit)
			return SERVE_TOO_LARGE;
	}
	if (change->set_mime)
		b->mime = change->mime;
	stmt = serve_conn_sql(c, SERVE_SQL_BUCKET_UPDATE);
	if (!stmt)
		return SERVE_DATABASE;
	serve_bind_str(stmt, 1, id);
	(void)sqlite3_bind_int(stmt, 2, b->is_public);
	bind_limits(stmt, 3, b->has_limit, b->limit, b->mime);
	(void)sqlite3_bind_int64(stmt, 5, serve_now_us());
	return sqlite3_step(stmt) == SQLITE_DONE ? SERVE_OK : SERVE_DATABASE;
}

enum serve_code serve_bucket_delete(
	struct serve_service *s, const struct serve_actor *actor, struct supafs_str id)
{
	supafs_cleanup(serve_conn_cleanup) struct serve_conn *c = NULL;
	supafs_autofree struct serve_bucket *b = NULL;
	enum serve_code code = serve_bucket_get(s, actor, id, &b);
	sqlite3_stmt *stmt;
	int r;

	if (code != SERVE_OK)
		return code;
	if (!allowed(s, actor, SERVE_OP_DELETE, id))
		return SERVE_NO_SUCH_BUCKET;
	c = serve_db_writer(s->db);
	stmt = serve_conn_sql(c, SERVE_SQL_BUCKET_USED);
	if (!stmt)
		return SERVE_DATABASE;
	serve_bind_str(stmt, 1, id);
	r = sqlite3_step(stmt);
	if (r != SQLITE_DONE)
		return r == SQLITE_ROW ? SERVE_NOT_EMPTY : SERVE_DATABASE;
	stmt = serve_conn_sql(c, SERVE_SQL_BUCKET_DELETE);
	if (!stmt)
		return SERVE_DATABASE;
	serve_bind_str(stmt, 1, id);
	return sqlite3_step(stmt) == SQLITE_DONE ? SERVE_OK : SERVE_DATABASE;
}

/* --- emptying ------------------------------------------------------------ */

struct batch {
	struct supafs_str keys[EMPTY_BATCH];
	size_t n;
};

static void batch_fini(struct batch *b)
{
	for (size_t i = 0; i < b->n; i++)
		free(serve_unconst(b->keys[i].p));
	b->n = 0;
}

/* The next names that existed at `before_us`, after `from`. */
static enum serve_code next_batch(struct serve_service *s, struct supafs_str bucket,
	int64_t before_us, struct supafs_str from, struct batch *out)
{
	supafs_cleanup(serve_conn_cleanup) struct serve_conn *c = serve_db_reader(s->db);
	sqlite3_stmt *stmt = c ? serve_conn_sql(c, SERVE_SQL_ROWS_ASC) : NULL;
	int r = SQLITE_ERROR;

	if (!stmt)
		return SERVE_DATABASE;
	serve_bind_str(stmt, 1, bucket);
	serve_bind_str(stmt, 2, from);
	while (out->n < EMPTY_BATCH && (r = sqlite3_step(stmt)) == SQLITE_ROW) {
		struct serve_object o;
		char *name;

		serve_object_read(stmt, &o);
		if (o.created_us > before_us)
			continue;
		name = supafs_str_dup(o.name);
		if (!name)
			return SERVE_INTERNAL;
		out->keys[out->n++] = (struct supafs_str){name, o.name.n};
	}
	return r == SQLITE_ROW || r == SQLITE_DONE ? SERVE_OK : SERVE_DATABASE;
}

enum serve_code serve_bucket_empty(struct serve_service *s, struct supafs_str id)
{
	const int64_t before_us = serve_now_us();
	supafs_autofree struct serve_bucket *b = NULL;
	struct batch *batch = calloc(1, sizeof(*batch));
	enum serve_code code = serve_bucket_get(s, NULL, id, &b);

	if (!batch)
		return SERVE_INTERNAL;
	while (code == SERVE_OK) {
		code = next_batch(s, id, before_us, no_key, batch);
		if (code != SERVE_OK || batch->n == 0)
			break;
		code = serve_object_delete_many(
			s, NULL, id, (struct serve_keys){batch->keys, batch->n}, NULL, NULL);
		batch_fini(batch);
	}
	batch_fini(batch);
	free(batch);
	return code;
}

/* --- limits --------------------------------------------------------------- */

static bool mime_matches(struct supafs_str rule, struct supafs_str mime)
{
	const char *rule_slash = memchr(rule.p, '/', rule.n);
	const char *slash = memchr(mime.p, '/', mime.n);
	struct supafs_str rule_type, type, rule_sub, sub;

	if (!rule_slash || !slash)
		return supafs_str_eq(rule, mime);
	rule_type = (struct supafs_str){rule.p, (size_t)(rule_slash - rule.p)};
	type = (struct supafs_str){mime.p, (size_t)(slash - mime.p)};
	rule_sub = (struct supafs_str){rule_slash + 1, rule.n - rule_type.n - 1};
	sub = (struct supafs_str){slash + 1, mime.n - type.n - 1};
	return supafs_str_eq(rule_type, type) &&
	       (supafs_str_eq(rule_sub, SUPAFS_STR("*")) || supafs_str_eq(rule_sub, sub));
}

bool serve_bucket_takes_mime(const struct serve_bucket *b, struct supafs_str mime)
{
	cJSON *list = b->mime.p ? cJSON_ParseWithLength(b->mime.p, b->mime.n) : NULL;
	const cJSON *item;
	bool found = !list || cJSON_GetArraySize(list) == 0;

	cJSON_ArrayForEach(item, list)
	{
		if (cJSON_IsString(item) && mime_matches(supafs_str_of(item->valuestring), mime))
			found = true;
	}
	cJSON_Delete(list);
	return found;
}

uint64_t serve_bucket_max(
	const struct serve_service *s, const struct serve_bucket *b, bool zero_is_limit)
{
	if (!b->has_limit || (b->limit == 0 && !zero_is_limit) || b->limit > s->size_limit)
		return s->size_limit;
	return b->limit;
}
