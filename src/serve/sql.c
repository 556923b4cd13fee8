/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every SQL text. Times are microseconds since 1970. Text is compared bytewise (BINARY), which is
 * the real server's COLLATE "C".
 */
#include "db.h"

const char serve_sql_schema[] =
	"CREATE TABLE IF NOT EXISTS buckets("
	" id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, owner TEXT NOT NULL, public INTEGER NOT NULL,"
	" size_limit INTEGER, mime TEXT, created INTEGER NOT NULL, updated INTEGER NOT NULL"
	") WITHOUT ROWID;"
	"CREATE TABLE IF NOT EXISTS objects("
	" bucket TEXT NOT NULL, name TEXT NOT NULL, id TEXT NOT NULL, version TEXT NOT NULL,"
	" owner TEXT NOT NULL, etag TEXT NOT NULL, size INTEGER NOT NULL, mime TEXT NOT NULL,"
	" cache_control TEXT NOT NULL, modified INTEGER NOT NULL, created INTEGER NOT NULL,"
	" updated INTEGER NOT NULL, accessed INTEGER NOT NULL, meta TEXT,"
	" PRIMARY KEY(bucket, name)) WITHOUT ROWID;"
	"CREATE INDEX IF NOT EXISTS objects_lower ON objects(bucket, lower(name), name);"
	"CREATE TABLE IF NOT EXISTS uploads("
	" id TEXT PRIMARY KEY, bucket TEXT NOT NULL, name TEXT NOT NULL, owner TEXT NOT NULL,"
	" length INTEGER, mime TEXT NOT NULL, cache_control TEXT NOT NULL, meta TEXT,"
	" header TEXT NOT NULL, created INTEGER NOT NULL) WITHOUT ROWID;"
	"CREATE TABLE IF NOT EXISTS finished_uploads(id TEXT PRIMARY KEY) WITHOUT ROWID;"
	"CREATE TABLE IF NOT EXISTS policies("
	" role TEXT NOT NULL, bucket TEXT NOT NULL, pattern TEXT NOT NULL, ops INTEGER NOT NULL,"
	" PRIMARY KEY(role, bucket, pattern)) WITHOUT ROWID;";

#define OBJECT_COLUMNS                                                                             \
	"bucket, name, id, version, owner, etag, size, mime, cache_control, modified, created, "   \
	"updated, accessed, meta"
#define BUCKET_COLUMNS "id, name, owner, public, size_limit, mime, created, updated"
/* Rows of a bucket by time, to the millisecond, for listings sorted by it (a cursor holds no more):
 * the whole prefix is read, as the real server does. */
#define ROWS_BY(column, order)                                                                     \
	"SELECT " OBJECT_COLUMNS " FROM objects WHERE bucket=?1 ORDER BY " column "/1000 " order   \
	", name " order

const char *const serve_sql_text[SERVE_SQL__COUNT] = {
	[SERVE_SQL_BEGIN] = "BEGIN IMMEDIATE",
	[SERVE_SQL_BEGIN_READ] = "BEGIN",
	[SERVE_SQL_COMMIT] = "COMMIT",
	[SERVE_SQL_ROLLBACK] = "ROLLBACK",
	[SERVE_SQL_BUCKET_GET] = "SELECT " BUCKET_COLUMNS " FROM buckets WHERE id=?1",
	[SERVE_SQL_BUCKET_INSERT] =
		"INSERT INTO buckets(" BUCKET_COLUMNS ") VALUES(?1,?2,?3,?4,?5,?6,?7,?7)",
	[SERVE_SQL_BUCKET_UPDATE] =
		"UPDATE buckets SET public=?2, size_limit=?3, mime=?4, updated=?5 WHERE id=?1",
	[SERVE_SQL_BUCKET_DELETE] = "DELETE FROM buckets WHERE id=?1",
	[SERVE_SQL_BUCKET_USED] = "SELECT 1 FROM objects WHERE bucket=?1 LIMIT 1",
	[SERVE_SQL_BUCKET_LIST] = "SELECT " BUCKET_COLUMNS " FROM buckets ORDER BY id",
	[SERVE_SQL_OBJECT_GET] =
		"SELECT " OBJECT_COLUMNS " FROM objects WHERE bucket=?1 AND name=?2",
	[SERVE_SQL_OBJECT_UPSERT] =
		"INSERT INTO objects(" OBJECT_COLUMNS ")"
		" VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14)"
		" ON CONFLICT(bucket,name) DO UPDATE SET version=excluded.version, owner=excluded.owner,"
		" etag=excluded.etag, size=excluded.size, mime=excluded.mime,"
		" cache_control=excluded.cache_control, modified=excluded.modified,"
		" updated=excluded.updated, meta=excluded.meta",
	[SERVE_SQL_OBJECT_MOVE] = "UPDATE objects SET bucket=?3, name=?4, version=?5, owner=?6,"
				  " modified=?7, updated=?7 WHERE bucket=?1 AND name=?2",
	[SERVE_SQL_OBJECT_DELETE] = "DELETE FROM objects WHERE bucket=?1 AND name=?2",
	[SERVE_SQL_OBJECT_VERSIONS] = "SELECT version FROM objects",
	[SERVE_SQL_ROWS_ASC] =
		"SELECT " OBJECT_COLUMNS " FROM objects WHERE bucket=?1 AND name>=?2 ORDER BY name",
	[SERVE_SQL_ROWS_DESC] = "SELECT " OBJECT_COLUMNS
				" FROM objects WHERE bucket=?1 AND name<?2 ORDER BY name DESC",
	[SERVE_SQL_ROWS_LOWER_ASC] =
		"SELECT " OBJECT_COLUMNS " FROM objects WHERE bucket=?1 AND lower(name)>=?2"
		" ORDER BY lower(name), name",
	[SERVE_SQL_ROWS_LOWER_DESC] =
		"SELECT " OBJECT_COLUMNS " FROM objects WHERE bucket=?1 AND lower(name)<?2"
		" ORDER BY lower(name) DESC, name DESC",
	[SERVE_SQL_ROWS_CREATED_ASC] = ROWS_BY("created", "ASC"),
	[SERVE_SQL_ROWS_CREATED_DESC] = ROWS_BY("created", "DESC"),
	[SERVE_SQL_ROWS_UPDATED_ASC] = ROWS_BY("updated", "ASC"),
	[SERVE_SQL_ROWS_UPDATED_DESC] = ROWS_BY("updated", "DESC"),
	[SERVE_SQL_ROWS_ACCESSED_ASC] = ROWS_BY("accessed", "ASC"),
	[SERVE_SQL_ROWS_ACCESSED_DESC] = ROWS_BY("accessed", "DESC"),
	[SERVE_SQL_UPLOAD_INSERT] =
		"INSERT INTO uploads(id,bucket,name,owner,length,mime,cache_control,meta,header,created)"
		" VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10)",
	[SERVE_SQL_UPLOAD_GET] =
		"SELECT id,bucket,name,owner,length,mime,cache_control,meta,header,created,"
		" EXISTS(SELECT 1 FROM finished_uploads WHERE id=?1) FROM uploads WHERE id=?1",
	[SERVE_SQL_UPLOAD_FINISH] = "INSERT INTO finished_uploads(id) VALUES(?1)",
	[SERVE_SQL_UPLOAD_SET_LENGTH] = "UPDATE uploads SET length=?2 WHERE id=?1",
	[SERVE_SQL_UPLOAD_DELETE] = "DELETE FROM uploads WHERE id=?1",
	[SERVE_SQL_UPLOAD_IDS] =
		"SELECT id FROM uploads WHERE id NOT IN (SELECT id FROM finished_uploads)",
	[SERVE_SQL_UPLOAD_TIDY] =
		"DELETE FROM finished_uploads WHERE id NOT IN (SELECT id FROM uploads)",
	[SERVE_SQL_POLICY_INSERT] =
		"INSERT INTO policies(role,bucket,pattern,ops) VALUES(?1,?2,?3,?4)"
		" ON CONFLICT(role,bucket,pattern) DO UPDATE SET ops=excluded.ops",
	[SERVE_SQL_UPLOAD_EXPIRE] = "DELETE FROM uploads WHERE created<?1",
	[SERVE_SQL_POLICY_LIST] = "SELECT role,bucket,pattern,ops FROM policies",
};
