/* SPDX-License-Identifier: Apache-2.0 */
/* Resumable uploads: the row, and what is in the file so far. */
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/clock.h"

#include "keys.h"
#include "service.h"

enum serve_code serve_resumable_create(
	struct serve_service *s, const struct serve_resumable *u, char ret_id[SERVE_UUID_SIZE])
{
	supafs_cleanup(serve_conn_cleanup) struct serve_conn *c = NULL;
	supafs_autoclose int fd = -1;
	char id[SERVE_UUID_SIZE];
	sqlite3_stmt *stmt;

	supafs_random_uuid(id);
	fd = serve_upload_file_create(&s->blobs, id);
	if (fd < 0)
		return SERVE_INTERNAL;
	c = serve_db_writer(s->db);
	stmt = serve_conn_sql(c, SERVE_SQL_UPLOAD_INSERT);
	if (!stmt) {
		serve_upload_file_remove(&s->blobs, id);
		return SERVE_DATABASE;
	}
	serve_bind_text(stmt, 1, id);
	serve_bind_str(stmt, 2, u->bucket);
	serve_bind_str(stmt, 3, u->key);
	serve_bind_str(stmt, 4, u->owner);
	if (u->deferred)
		(void)sqlite3_bind_null(stmt, 5);
	else
		(void)sqlite3_bind_int64(stmt, 5, (sqlite3_int64)u->length);
	serve_bind_str(stmt, 6, u->mime);
	serve_bind_str(stmt, 7, u->cache_control);
	serve_bind_str(stmt, 8, u->meta);
	serve_bind_str(stmt, 9, u->header);
	(void)sqlite3_bind_int64(stmt, 10, serve_now_us());
	if (sqlite3_step(stmt) != SQLITE_DONE) {
		serve_upload_file_remove(&s->blobs, id);
		return SERVE_DATABASE;
	}
	memcpy(ret_id, id, sizeof(id));
	return SERVE_OK;
}

static struct serve_resumable *dup_upload(const struct serve_resumable *u)
{
	struct serve_resumable *copy =
		malloc(sizeof(*copy) + u->id.n + u->bucket.n + u->key.n + u->owner.n + u->mime.n +
			u->cache_control.n + u->meta.n + u->header.n + 8);
	struct supafs_str *fields[8];
	char *at;

	if (!copy)
		return NULL;
	*copy = *u;
	fields[0] = &copy->id;
	fields[1] = &copy->bucket;
	fields[2] = &copy->key;
	fields[3] = &copy->owner;
	fields[4] = &copy->mime;
	fields[5] = &copy->cache_control;
	fields[6] = &copy->meta;
	fields[7] = &copy->header;
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

enum serve_code serve_resumable_get(
	struct serve_service *s, struct supafs_str id, struct serve_resumable **ret_upload)
{
	supafs_cleanup(serve_conn_cleanup) struct serve_conn *c = serve_db_reader(s->db);
	sqlite3_stmt *stmt = c ? serve_conn_sql(c, SERVE_SQL_UPLOAD_GET) : NULL;
	struct serve_resumable u, *copy;
	int r;

	if (!stmt)
		return SERVE_DATABASE;
	serve_bind_str(stmt, 1, id);
	r = sqlite3_step(stmt);
	if (r != SQLITE_ROW)
		return r == SQLITE_DONE ? SERVE_NO_SUCH_KEY : SERVE_DATABASE;
	u = (struct serve_resumable){
		.id = serve_column_str(stmt, 0),
		.bucket = serve_column_str(stmt, 1),
		.key = serve_column_str(stmt, 2),
		.owner = serve_column_str(stmt, 3),
		.deferred = sqlite3_column_type(stmt, 4) == SQLITE_NULL,
		.length = (uint64_t)sqlite3_column_int64(stmt, 4),
		.mime = serve_column_str(stmt, 5),
		.cache_control = serve_column_str(stmt, 6),
		.header = serve_column_str(stmt, 8),
		.created_us = sqlite3_column_int64(stmt, 9),
		.finished = sqlite3_column_int(stmt, 10) != 0,
	};
	if (sqlite3_column_type(stmt, 7) != SQLITE_NULL)
		u.meta = serve_column_str(stmt, 7);
	copy = dup_upload(&u);
	if (!copy)
		return SERVE_INTERNAL;
	*ret_upload = copy;
	return SERVE_OK;
}

bool serve_resumable_expired(const struct serve_service *s, const struct serve_resumable *u)
{
	return serve_now_us() - u->created_us >= s->tus_expiry_us;
}

enum serve_code serve_resumable_set_length(
	struct serve_service *s, struct supafs_str id, uint64_t length)
{
	supafs_cleanup(serve_conn_cleanup) struct serve_conn *c = serve_db_writer(s->db);
	sqlite3_stmt *stmt = serve_conn_sql(c, SERVE_SQL_UPLOAD_SET_LENGTH);

	if (!stmt)
		return SERVE_DATABASE;
	serve_bind_str(stmt, 1, id);
	(void)sqlite3_bind_int64(stmt, 2, (sqlite3_int64)length);
	return sqlite3_step(stmt) == SQLITE_DONE ? SERVE_OK : SERVE_DATABASE;
}

static enum serve_code drop_row(struct serve_service *s, struct supafs_str id)
{
	supafs_cleanup(serve_conn_cleanup) struct serve_conn *c = serve_db_writer(s->db);
	sqlite3_stmt *stmt = serve_conn_sql(c, SERVE_SQL_UPLOAD_DELETE);

	if (!stmt)
		return SERVE_DATABASE;
	serve_bind_str(stmt, 1, id);
	return sqlite3_step(stmt) == SQLITE_DONE ? SERVE_OK : SERVE_DATABASE;
}

enum serve_code serve_resumable_forget(struct serve_service *s, struct supafs_str id)
{
	enum serve_code code = drop_row(s, id);

	if (code == SERVE_OK)
		serve_upload_file_remove(&s->blobs, id.p);
	return code;
}

enum serve_code serve_resumable_finish(
	struct serve_service *s, const struct serve_resumable *u, int fd)
{
	char etag[SUPAFS_ETAG_MAX];
	struct serve_put put = {
		.bucket = u->bucket,
		.key = u->key,
		.owner = u->owner,
		.mime = u->mime,
		.cache_control = u->cache_control,
		.meta = u->meta,
		.version = u->id,
		.now_us = serve_now_us(),
		.finishes = true,
	};
	enum serve_code code = SERVE_INTERNAL;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return SERVE_INTERNAL;
	put.size = (uint64_t)st.st_size;
	if (serve_upload_file_store(&s->blobs, u->id.p, fd, put.size, put.now_us, etag) == 0) {
		put.etag = supafs_str_of(etag);
		code = serve_object_commit(s, &put, NULL);
	}
	/* The row of an upload stays: the real server answers HEAD of a finished one. */
	if (code != SERVE_OK)
		(void)serve_resumable_forget(s, u->id);
	return code;
}
