/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the service share, and recovery at start. */
#include "service.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "supafs/util/cleanup.h"

#include "keys.h"

#define UUID_LEN 36

/* Column numbers of OBJECT_COLUMNS in sql.c. */
void serve_object_read(sqlite3_stmt *stmt, struct serve_object *ret_object)
{
	*ret_object = (struct serve_object){
		.bucket = serve_column_str(stmt, 0),
		.name = serve_column_str(stmt, 1),
		.id = serve_column_str(stmt, 2),
		.version = serve_column_str(stmt, 3),
		.owner = serve_column_str(stmt, 4),
		.etag = serve_column_str(stmt, 5),
		.size = (uint64_t)sqlite3_column_int64(stmt, 6),
		.mime = serve_column_str(stmt, 7),
		.cache_control = serve_column_str(stmt, 8),
		.modified_us = sqlite3_column_int64(stmt, 9),
		.created_us = sqlite3_column_int64(stmt, 10),
		.updated_us = sqlite3_column_int64(stmt, 11),
		.accessed_us = sqlite3_column_int64(stmt, 12),
	};
	if (sqlite3_column_type(stmt, 13) != SQLITE_NULL)
		ret_object->meta = serve_column_str(stmt, 13);
}

/* Room for at least this much is kept behind the ETag, which --etag md5 replaces. */
static size_t room(const struct supafs_str *text, bool etag)
{
	return etag && text->n < SUPAFS_ETAG_MAX ? SUPAFS_ETAG_MAX : text->n + 1;
}

struct serve_object *serve_object_dup(const struct serve_object *o)
{
	struct serve_object *copy;
	struct supafs_str *fields[] = {NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL};
	size_t total = sizeof(*copy);
	char *at;

	total += room(&o->bucket, false) + room(&o->name, false) + room(&o->id, false) +
		 room(&o->version, false) + room(&o->owner, false) + room(&o->etag, true) +
		 room(&o->mime, false) + room(&o->cache_control, false) + room(&o->meta, false);
	copy = malloc(total);
	if (!copy)
		return NULL;
	*copy = *o;
	fields[0] = &copy->bucket;
	fields[1] = &copy->name;
	fields[2] = &copy->id;
	fields[3] = &copy->version;
	fields[4] = &copy->owner;
	fields[5] = &copy->mime;
	fields[6] = &copy->cache_control;
	fields[7] = &copy->meta;
	fields[8] = &copy->etag;
	at = (char *)(copy + 1);
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(fields); i++) {
		struct supafs_str *f = fields[i];

		if (!f->p)
			continue;
		memcpy(at, f->p, f->n);
		at[f->n] = '\0';
		f->p = at;
		at += f->n + 1;
	}
	return copy;
}

/* --- recovery ------------------------------------------------------------ */

struct versions {
	char (*list)[UUID_LEN];
	size_t n, room;
};

static int compare(const void *a, const void *b)
{
	return memcmp(a, b, UUID_LEN);
}

static int add_version(struct versions *v, struct supafs_str text)
{
	if (text.n != UUID_LEN)
		return 0;
	if (v->n == v->room) {
		size_t more = v->room ? 2 * v->room : 1024;
		void *list = realloc(v->list, more * UUID_LEN);

		if (!list)
			return -ENOMEM;
		v->list = list;
		v->room = more;
	}
	memcpy(v->list[v->n++], text.p, UUID_LEN);
	return 0;
}

static int read_versions(struct serve_conn *c, enum serve_sql which, struct versions *out)
{
	sqlite3_stmt *s = serve_conn_sql(c, which);
	int r = SQLITE_ERROR;

	while (s && (r = sqlite3_step(s)) == SQLITE_ROW) {
		if (add_version(out, serve_column_str(s, 0)) < 0)
			return -ENOMEM;
	}
	if (r != SQLITE_DONE)
		return -EIO;
	if (out->n)
		qsort(out->list, out->n, UUID_LEN, compare);
	return 0;
}

static bool named(void *ctx, enum serve_blob_kind kind, const char *version)
{
	const struct versions *v = (const struct versions *)ctx + (kind == SERVE_BLOB_UPLOAD);

	return v->n && bsearch(version, v->list, v->n, UUID_LEN, compare) != NULL;
}

/* Rows of uploads that are too old, finished ones among them. */
static void expire_uploads(struct serve_service *s, int64_t before_us)
{
	supafs_cleanup(serve_conn_cleanup) struct serve_conn *c = serve_db_writer(s->db);
	sqlite3_stmt *stmt = serve_conn_sql(c, SERVE_SQL_UPLOAD_EXPIRE);

	if (stmt) {
		(void)sqlite3_bind_int64(stmt, 1, before_us);
		(void)sqlite3_step(stmt);
	}
	(void)serve_conn_run(c, SERVE_SQL_UPLOAD_TIDY);
}

/* Unfinished uploads whose file was on its way to become an object: that object is not there. */
static int forget_fileless(struct serve_service *s, const struct versions *uploads)
{
	for (size_t i = 0; i < uploads->n; i++) {
		char id[UUID_LEN + 1];
		int fd;

		memcpy(id, uploads->list[i], UUID_LEN);
		id[UUID_LEN] = '\0';
		fd = serve_upload_file_open(&s->blobs, id);
		if (fd >= 0)
			(void)close(fd);
		else if (fd == -ENOENT && serve_resumable_forget(s, supafs_str_of(id)) != SERVE_OK)
			return -EIO;
	}
	return 0;
}

int serve_service_recover(struct serve_service *s)
{
	struct versions v[2] = {{0}, {0}};
	struct serve_conn *c;
	int r;

	expire_uploads(s, serve_now_us() - s->tus_expiry_us);
	c = serve_db_reader(s->db);
	r = c ? read_versions(c, SERVE_SQL_OBJECT_VERSIONS, &v[0]) : -EIO;

	if (r == 0)
		r = read_versions(c, SERVE_SQL_UPLOAD_IDS, &v[1]);
	serve_conn_put(c);
	if (r == 0)
		r = serve_blobs_sweep(&s->blobs, named, v);
	if (r >= 0)
		r = forget_fileless(s, &v[1]);
	free(v[0].list);
	free(v[1].list);
	return r < 0 ? r : 0;
}
