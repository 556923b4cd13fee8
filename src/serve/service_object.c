/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Objects. An overwrite is: body stored under a new version → row updated → old body
 * removed; each step leaves the object whole, and what a crash leaves is swept at start.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/clock.h"

#include "keys.h"
#include "service.h"

#define DELETE_BATCH 500
#define LOOKS        5 /* at a row whose body an overwrite removes each time */

static bool allowed(struct serve_service *s, const struct serve_actor *actor, unsigned ops,
	struct supafs_str bucket, struct supafs_str key)
{
	return !actor || serve_policies_allow(s->policies, actor, ops, bucket, key);
}

static struct supafs_str owner_of(const struct serve_actor *actor)
{
	return supafs_str_of(actor ? actor->sub : "");
}

/* The row through this connection: SERVE_OK, SERVE_NO_SUCH_KEY, SERVE_DATABASE. */
static enum serve_code get_row(struct serve_conn *c, struct supafs_str bucket,
	struct supafs_str key, struct serve_object *ret)
{
	sqlite3_stmt *stmt = c ? serve_conn_sql(c, SERVE_SQL_OBJECT_GET) : NULL;
	int r;

	if (!stmt)
		return SERVE_DATABASE;
	serve_bind_str(stmt, 1, bucket);
	serve_bind_str(stmt, 2, key);
	r = sqlite3_step(stmt);
	if (r != SQLITE_ROW)
		return r == SQLITE_DONE ? SERVE_NO_SUCH_KEY : SERVE_DATABASE;
	serve_object_read(stmt, ret);
	return SERVE_OK;
}

static enum serve_code get_copy(struct serve_conn *c, struct supafs_str bucket,
	struct supafs_str key, struct serve_object **ret)
{
	struct serve_object row, *copy;
	enum serve_code code = get_row(c, bucket, key, &row);

	if (code != SERVE_OK)
		return code;
	copy = serve_object_dup(&row);
	if (!copy)
		return SERVE_INTERNAL;
	*ret = copy;
	return SERVE_OK;
}

static enum serve_code bucket_exists(struct serve_conn *c, struct supafs_str bucket)
{
	sqlite3_stmt *stmt = serve_conn_sql(c, SERVE_SQL_BUCKET_GET);
	int r;

	if (!stmt)
		return SERVE_DATABASE;
	serve_bind_str(stmt, 1, bucket);
	r = sqlite3_step(stmt);
	(void)sqlite3_reset(stmt);
	if (r == SQLITE_ROW)
		return SERVE_OK;
	return r == SQLITE_DONE ? SERVE_NO_SUCH_BUCKET : SERVE_DATABASE;
}

enum serve_code serve_object_find(struct serve_service *s, const struct serve_actor *actor,
	struct supafs_str bucket, struct supafs_str key, struct serve_object **ret_object)
{
	supafs_cleanup(serve_conn_cleanup) struct serve_conn *c = NULL;

	if (!allowed(s, actor, SERVE_OP_SELECT, bucket, key))
		return SERVE_NO_SUCH_KEY;
	c = serve_db_reader(s->db);
	return get_copy(c, bucket, key, ret_object);
}

/* The real file backend hashes the file at every GET; the copy has room for the result. */
static int fresh_etag(struct serve_service *s, struct serve_object *o, int fd)
{
	char etag[SUPAFS_ETAG_MAX];
	int r;

	if (s->blobs.etag != SERVE_ETAG_MD5)
		return 0;
	r = serve_blob_md5(&s->blobs, fd, etag);
	if (r < 0)
		return r;
	o->etag.n = strlen(etag);
	memcpy(serve_unconst(o->etag.p), etag, o->etag.n + 1);
	return 0;
}

enum serve_code serve_object_open(struct serve_service *s, const struct serve_actor *actor,
	struct supafs_str bucket, struct supafs_str key, struct serve_object **ret_object,
	int *ret_fd)
{
	for (int i = 0; i < LOOKS; i++) {
		supafs_autofree struct serve_object *o = NULL;
		supafs_autoclose int fd = -1;
		enum serve_code code = serve_object_find(s, actor, bucket, key, &o);

		if (code != SERVE_OK)
			return code;
		fd = serve_blob_open(&s->blobs, o->version.p);
		if (fd == -ENOENT)
			continue;
		if (fd < 0 || fresh_etag(s, o, fd) < 0)
			return SERVE_INTERNAL;
		*ret_object = supafs_steal(&o);
		*ret_fd = supafs_steal_fd(&fd);
		return SERVE_OK;
	}
	return SERVE_INTERNAL;
}

enum serve_code serve_object_may_put(struct serve_service *s, const struct serve_actor *actor,
	struct supafs_str bucket, struct supafs_str key, bool upsert)
{
	supafs_cleanup(serve_conn_cleanup) struct serve_conn *c = NULL;
	struct serve_object row;
	enum serve_code code;

	if (!allowed(s, actor, SERVE_OP_INSERT | (upsert ? SERVE_OP_SELECT : 0), bucket, key))
		return SERVE_ACCESS_DENIED;
	if (upsert && allowed(s, actor, SERVE_OP_UPDATE, bucket, key))
		return SERVE_OK;
	c = serve_db_reader(s->db);
	code = get_row(c, bucket, key, &row);
	if (code == SERVE_NO_SUCH_KEY)
		return SERVE_OK;
	if (code != SERVE_OK)
		return code;
	return upsert ? SERVE_ACCESS_DENIED : SERVE_KEY_EXISTS;
}

/* --- commit --------------------------------------------------------------- */

static enum serve_code upsert_row(struct serve_conn *c, const struct serve_put *put, const char *id)
{
	sqlite3_stmt *stmt = serve_conn_sql(c, SERVE_SQL_OBJECT_UPSERT);

	if (!stmt)
		return SERVE_DATABASE;
	serve_bind_str(stmt, 1, put->bucket);
	serve_bind_str(stmt, 2, put->key);
	serve_bind_text(stmt, 3, id);
	serve_bind_str(stmt, 4, put->version);
	serve_bind_str(stmt, 5, put->owner);
	serve_bind_str(stmt, 6, put->etag);
	(void)sqlite3_bind_int64(stmt, 7, (sqlite3_int64)put->size);
	serve_bind_str(stmt, 8, put->mime);
	serve_bind_str(stmt, 9, put->cache_control);
	for (int i = 10; i <= 13; i++)
		(void)sqlite3_bind_int64(stmt, i, put->now_us);
	serve_bind_str(stmt, 14, put->meta);
	return sqlite3_step(stmt) == SQLITE_DONE ? SERVE_OK : SERVE_DATABASE;
}

/* With the writer: the old version (or "") and the id that the object has or gets. */
static enum serve_code look_before(struct serve_conn *c, struct supafs_str bucket,
	struct supafs_str key, char ret_old[SERVE_UUID_SIZE], char ret_id[SERVE_UUID_SIZE])
{
	struct serve_object old;
	enum serve_code code = get_row(c, bucket, key, &old);

	ret_old[0] = '\0';
	if (code == SERVE_NO_SUCH_KEY) {
		supafs_random_uuid(ret_id);
		return SERVE_OK;
	}
	if (code != SERVE_OK)
		return code;
	if (old.version.n >= SERVE_UUID_SIZE || old.id.n >= SERVE_UUID_SIZE)
		return SERVE_DATABASE;
	memcpy(ret_old, old.version.p, old.version.n + 1);
	memcpy(ret_id, old.id.p, old.id.n + 1);
	return SERVE_OK;
}

/* Together with the object's row, else a crash in between would leave a finished upload without an
 * object, or the other way round. */
static enum serve_code commit_row(
	struct serve_conn *c, const struct serve_put *put, const char id[SERVE_UUID_SIZE])
{
	sqlite3_stmt *stmt;
	enum serve_code code;

	if (!put->finishes)
		return upsert_row(c, put, id);
	if (serve_conn_run(c, SERVE_SQL_BEGIN) < 0)
		return SERVE_DATABASE;
	code = upsert_row(c, put, id);
	stmt = code == SERVE_OK ? serve_conn_sql(c, SERVE_SQL_UPLOAD_FINISH) : NULL;
	if (stmt) {
		serve_bind_str(stmt, 1, put->version);
		if (sqlite3_step(stmt) == SQLITE_DONE && serve_conn_run(c, SERVE_SQL_COMMIT) == 0)
			return SERVE_OK;
	}
	(void)serve_conn_run(c, SERVE_SQL_ROLLBACK);
	return code == SERVE_OK ? SERVE_DATABASE : code;
}

enum serve_code serve_object_commit(
	struct serve_service *s, const struct serve_put *put, char ret_id[SERVE_UUID_SIZE])
{
	char old[SERVE_UUID_SIZE], id[SERVE_UUID_SIZE];
	struct serve_conn *c = serve_db_writer(s->db);
	enum serve_code code = bucket_exists(c, put->bucket);

	if (code == SERVE_OK)
		code = look_before(c, put->bucket, put->key, old, id);
	if (code == SERVE_OK)
		code = commit_row(c, put, id);
	serve_conn_put(c);
	if (code != SERVE_OK) {
		serve_blob_remove(&s->blobs, put->version.p);
		return code;
	}
	if (old[0])
		serve_blob_remove(&s->blobs, old);
	if (ret_id)
		memcpy(ret_id, id, sizeof(id));
	return SERVE_OK;
}

/* --- delete --------------------------------------------------------------- */

static enum serve_code delete_row(
	struct serve_conn *c, struct supafs_str bucket, struct supafs_str key)
{
	sqlite3_stmt *stmt = serve_conn_sql(c, SERVE_SQL_OBJECT_DELETE);

	if (!stmt)
		return SERVE_DATABASE;
	serve_bind_str(stmt, 1, bucket);
	serve_bind_str(stmt, 2, key);
	return sqlite3_step(stmt) == SQLITE_DONE ? SERVE_OK : SERVE_DATABASE;
}

enum serve_code serve_object_delete(struct serve_service *s, const struct serve_actor *actor,
	struct supafs_str bucket, struct supafs_str key)
{
	char old[SERVE_UUID_SIZE], id[SERVE_UUID_SIZE];
	struct serve_conn *c = serve_db_writer(s->db);
	enum serve_code code = look_before(c, bucket, key, old, id);

	if (code == SERVE_OK && !old[0])
		code = SERVE_NO_SUCH_KEY;
	if (code == SERVE_OK && !allowed(s, actor, SERVE_OP_DELETE | SERVE_OP_SELECT, bucket, key))
		code = SERVE_ACCESS_DENIED;
	if (code == SERVE_OK)
		code = delete_row(c, bucket, key);
	serve_conn_put(c);
	if (code == SERVE_OK)
		serve_blob_remove(&s->blobs, old);
	return code;
}

struct deletion {
	struct serve_service *s;
	const struct serve_actor *actor;
	struct supafs_str bucket;
	struct serve_object *rows[DELETE_BATCH]; /* copies of what was deleted */
	size_t n;
};

static enum serve_code delete_batch(struct deletion *d, const struct supafs_str *keys, size_t n)
{
	supafs_cleanup(serve_conn_cleanup) struct serve_conn *c = serve_db_writer(d->s->db);
	enum serve_code code = SERVE_OK;

	if (serve_conn_run(c, SERVE_SQL_BEGIN) < 0)
		return SERVE_DATABASE;
	for (size_t i = 0; i < n; i++) {
		const unsigned ops = SERVE_OP_DELETE | SERVE_OP_SELECT;

		if (!allowed(d->s, d->actor, ops, d->bucket, keys[i]))
			continue;
		code = get_copy(c, d->bucket, keys[i], &d->rows[d->n]);
		if (code == SERVE_NO_SUCH_KEY) {
			code = SERVE_OK;
			continue;
		}
		if (code == SERVE_OK) {
			d->n++;
			code = delete_row(c, d->bucket, keys[i]);
		}
		if (code != SERVE_OK)
			break;
	}
	if (code == SERVE_OK && serve_conn_run(c, SERVE_SQL_COMMIT) < 0)
		code = SERVE_DATABASE;
	if (code != SERVE_OK)
		(void)serve_conn_run(c, SERVE_SQL_ROLLBACK);
	return code;
}

enum serve_code serve_object_delete_many(struct serve_service *s, const struct serve_actor *actor,
	struct supafs_str bucket, struct serve_keys keys,
	void (*each)(void *ctx, const struct serve_object *o), void *ctx)
{
	struct deletion *d = calloc(1, sizeof(*d));
	enum serve_code code = d ? SERVE_OK : SERVE_INTERNAL;

	for (size_t at = 0; code == SERVE_OK && at < keys.n; at += DELETE_BATCH) {
		size_t some = keys.n - at < DELETE_BATCH ? keys.n - at : DELETE_BATCH;

		*d = (struct deletion){.s = s, .actor = actor, .bucket = bucket};
		code = delete_batch(d, keys.list + at, some);
		for (size_t i = 0; i < d->n; i++) {
			if (code == SERVE_OK) {
				serve_blob_remove(&s->blobs, d->rows[i]->version.p);
				if (each)
					each(ctx, d->rows[i]);
			}
			free(d->rows[i]);
		}
	}
	free(d);
	return code;
}

/* --- copy and move ---------------------------------------------------------- */

/* A second name for the source's body; looks again when an overwrite came between. */
static enum serve_code copy_body(struct serve_service *s, const struct serve_actor *actor,
	const struct serve_transfer *t, char ret_version[SERVE_UUID_SIZE],
	struct serve_object **ret_source)
{
	for (int i = 0; i < LOOKS; i++) {
		supafs_autofree struct serve_object *o = NULL;
		enum serve_code code = serve_object_find(s, actor, t->from_bucket, t->from_key, &o);
		int r;

		if (code != SERVE_OK)
			return code;
		supafs_random_uuid(ret_version);
		r = serve_blob_copy(&s->blobs, o->version.p, ret_version);
		if (r == -ENOENT)
			continue;
		if (r < 0)
			return SERVE_INTERNAL;
		*ret_source = supafs_steal(&o);
		return SERVE_OK;
	}
	return SERVE_INTERNAL;
}

/* Without copyMetadata and without a new one, an existing destination keeps what it has. */
static struct supafs_str copied_meta(const struct serve_transfer *t,
	const struct serve_object *source, const struct serve_object *old)
{
	if (t->copy_metadata)
		return source->meta;
	if (t->meta.p || !old)
		return t->meta;
	return old->meta;
}

static enum serve_code check_destination(
	struct serve_service *s, const struct serve_actor *actor, const struct serve_transfer *t)
{
	supafs_autofree struct serve_bucket *b = NULL;
	enum serve_code code;

	if (!serve_key_valid(t->to_key))
		return SERVE_INVALID_KEY;
	code = serve_bucket_get(s, NULL, t->to_bucket, &b);
	if (code != SERVE_OK)
		return code == SERVE_NO_SUCH_BUCKET ? SERVE_NO_SUCH_RELATED : code;
	code = serve_object_may_put(s, actor, t->to_bucket, t->to_key, t->upsert);
	if (code != SERVE_OK)
		return code;
	if (serve_key_has_dots(t->to_key))
		return SERVE_INVALID_KEY;
	return serve_key_too_long(t->to_key) ? SERVE_INTERNAL : SERVE_OK;
}

enum serve_code serve_object_copy(struct serve_service *s, const struct serve_actor *actor,
	const struct serve_transfer *t, struct serve_object **ret_object)
{
	supafs_autofree struct serve_object *source = NULL;
	supafs_autofree struct serve_object *old = NULL;
	char version[SERVE_UUID_SIZE];
	struct serve_put put;
	enum serve_code code = serve_object_find(s, actor, t->from_bucket, t->from_key, &source);

	if (code == SERVE_OK)
		code = check_destination(s, actor, t);
	if (code != SERVE_OK)
		return code;
	(void)serve_object_find(s, NULL, t->to_bucket, t->to_key, &old);
	free(supafs_steal(&source));
	code = copy_body(s, actor, t, version, &source);
	if (code != SERVE_OK)
		return code;
	put = (struct serve_put){
		.bucket = t->to_bucket,
		.key = t->to_key,
		.owner = owner_of(actor),
		.mime = !t->copy_metadata && t->mime.p ? t->mime : source->mime,
		.cache_control = !t->copy_metadata && t->cache_control.p ? t->cache_control
									 : source->cache_control,
		.meta = copied_meta(t, source, old),
		.version = supafs_str_of(version),
		.etag = source->etag,
		.size = source->size,
		.now_us = serve_now_us(),
	};
	code = serve_object_commit(s, &put, NULL);
	if (code == SERVE_OK)
		code = serve_object_find(s, NULL, t->to_bucket, t->to_key, ret_object);
	return code;
}

/* With the writer: may it move, and what is its body? */
static enum serve_code check_move(struct serve_service *s, const struct serve_actor *actor,
	struct serve_conn *c, const struct serve_transfer *t, char ret_old[SERVE_UUID_SIZE])
{
	char other[SERVE_UUID_SIZE], id[SERVE_UUID_SIZE];
	const unsigned ops = SERVE_OP_SELECT | SERVE_OP_UPDATE;
	enum serve_code code = look_before(c, t->from_bucket, t->from_key, ret_old, id);

	if (code != SERVE_OK)
		return code;
	if (!ret_old[0] || !allowed(s, actor, ops, t->from_bucket, t->from_key))
		return SERVE_NO_SUCH_KEY;
	if (!allowed(s, actor, SERVE_OP_UPDATE, t->to_bucket, t->to_key))
		return SERVE_ACCESS_DENIED;
	code = bucket_exists(c, t->to_bucket);
	if (code != SERVE_OK)
		return code == SERVE_NO_SUCH_BUCKET ? SERVE_NO_SUCH_RELATED : code;
	if (supafs_str_eq(t->from_bucket, t->to_bucket) && supafs_str_eq(t->from_key, t->to_key))
		return SERVE_OK;
	code = look_before(c, t->to_bucket, t->to_key, other, id);
	if (code == SERVE_OK && other[0])
		return SERVE_RESOURCE_EXISTS;
	if (code == SERVE_OK && serve_key_has_dots(t->to_key))
		return SERVE_INVALID_KEY;
	return code == SERVE_OK && serve_key_too_long(t->to_key) ? SERVE_INTERNAL : code;
}

static enum serve_code move_row(struct serve_conn *c, const struct serve_actor *actor,
	const struct serve_transfer *t, const char *version)
{
	sqlite3_stmt *stmt = serve_conn_sql(c, SERVE_SQL_OBJECT_MOVE);

	if (!stmt)
		return SERVE_DATABASE;
	serve_bind_str(stmt, 1, t->from_bucket);
	serve_bind_str(stmt, 2, t->from_key);
	serve_bind_str(stmt, 3, t->to_bucket);
	serve_bind_str(stmt, 4, t->to_key);
	serve_bind_text(stmt, 5, version);
	serve_bind_str(stmt, 6, owner_of(actor));
	(void)sqlite3_bind_int64(stmt, 7, serve_now_us());
	return sqlite3_step(stmt) == SQLITE_DONE ? SERVE_OK : SERVE_DATABASE;
}

static bool onto_itself(const struct serve_transfer *t)
{
	return supafs_str_eq(t->from_bucket, t->to_bucket) && supafs_str_eq(t->from_key, t->to_key);
}

/* The row gets its new name and `version`, a second name of the body `from`; *ret_again: the source
 * has another body by now. */
static enum serve_code move_to(struct serve_service *s, const struct serve_actor *actor,
	const struct serve_transfer *t, const char *from, const char *version, bool *ret_again)
{
	supafs_cleanup(serve_conn_cleanup) struct serve_conn *c = serve_db_writer(s->db);
	char old[SERVE_UUID_SIZE];
	enum serve_code code = check_move(s, actor, c, t, old);

	if (code != SERVE_OK || onto_itself(t))
		return code;
	*ret_again = strcmp(old, from) != 0;
	return *ret_again ? SERVE_INTERNAL : move_row(c, actor, t, version);
}

/* The second name is made before the writer is taken: where links are not possible it is a copy of
 * the whole body, and every other change would wait for that. */
enum serve_code serve_object_move(
	struct serve_service *s, const struct serve_actor *actor, const struct serve_transfer *t)
{
	enum serve_code code = SERVE_INTERNAL;
	bool again = true;

	if (!serve_key_valid(t->to_key))
		return SERVE_INVALID_KEY;
	for (int i = 0; again && i < LOOKS; i++) {
		supafs_autofree struct serve_object *o = NULL;
		char version[SERVE_UUID_SIZE] = "";
		int r = 0;

		again = false;
		(void)serve_object_find(s, NULL, t->from_bucket, t->from_key, &o);
		if (o && !onto_itself(t)) {
			supafs_random_uuid(version);
			r = serve_blob_copy(&s->blobs, o->version.p, version);
			if (r < 0 && r != -ENOENT)
				return SERVE_INTERNAL;
		}
		code = move_to(s, actor, t, o && r == 0 ? o->version.p : "", version, &again);
		if (code == SERVE_OK && version[0])
			serve_blob_remove(&s->blobs, o->version.p);
		else if (version[0] && r == 0)
			serve_blob_remove(&s->blobs, version);
	}
	return code;
}
