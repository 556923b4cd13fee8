/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The metadata: one SQLite database in WAL mode. Readers come from a pool of
 * connections, each with its own prepared statements, and never wait for a writer.
 * There is one writing connection, handed out under a lock.
 *
 * Threads: every call from any thread; a connection belongs to whoever took it.
 */
#pragma once

#include <sqlite3.h>
#include <stdbool.h>

#include "supafs/util/str.h"

/* Every statement of the server; their texts are in sql.c. */
enum serve_sql {
	SERVE_SQL_BEGIN,
	SERVE_SQL_BEGIN_READ,
	SERVE_SQL_COMMIT,
	SERVE_SQL_ROLLBACK,
	SERVE_SQL_BUCKET_GET,
	SERVE_SQL_BUCKET_INSERT,
	SERVE_SQL_BUCKET_UPDATE,
	SERVE_SQL_BUCKET_DELETE,
	SERVE_SQL_BUCKET_USED,
	SERVE_SQL_BUCKET_LIST,
	SERVE_SQL_OBJECT_GET,
	SERVE_SQL_OBJECT_UPSERT,
	SERVE_SQL_OBJECT_MOVE,
	SERVE_SQL_OBJECT_DELETE,
	SERVE_SQL_OBJECT_VERSIONS,
	SERVE_SQL_ROWS_ASC,
	SERVE_SQL_ROWS_DESC,
	SERVE_SQL_ROWS_LOWER_ASC,
	SERVE_SQL_ROWS_LOWER_DESC,
	SERVE_SQL_ROWS_CREATED_ASC,
	SERVE_SQL_ROWS_CREATED_DESC,
	SERVE_SQL_ROWS_UPDATED_ASC,
	SERVE_SQL_ROWS_UPDATED_DESC,
	SERVE_SQL_ROWS_ACCESSED_ASC,
	SERVE_SQL_ROWS_ACCESSED_DESC,
	SERVE_SQL_UPLOAD_INSERT,
	SERVE_SQL_UPLOAD_GET,
	SERVE_SQL_UPLOAD_SET_LENGTH,
	SERVE_SQL_UPLOAD_DELETE,
	SERVE_SQL_UPLOAD_IDS, /* of those that are not finished */
	SERVE_SQL_UPLOAD_FINISH,
	SERVE_SQL_UPLOAD_TIDY, /* after rows of uploads went */
	SERVE_SQL_POLICY_INSERT,
	SERVE_SQL_UPLOAD_EXPIRE,
	SERVE_SQL_POLICY_LIST,
	SERVE_SQL__COUNT,
};

extern const char *const serve_sql_text[SERVE_SQL__COUNT];
extern const char serve_sql_schema[];

struct serve_db;
struct serve_conn;

/* Opens or creates the database. `durable`: every commit is on disk before it returns
 * (synchronous=FULL); else it survives kill -9, and a power cut may lose the last ones.
 * 0, -ENOMEM, -EIO (the reason is printed by the caller from *ret_why, a static text). */
int serve_db_open(const char *path, bool durable, struct serve_db **ret_db, const char **ret_why);
/* NULL is fine; returns NULL. No connection may be out. */
struct serve_db *serve_db_close(struct serve_db *db);

/* Both return NULL when the database fails; give back with serve_conn_put(). The writer waits for
 * the one before. A thread takes one of each at most, the writer after the reader. */
struct serve_conn *serve_db_reader(struct serve_db *db);
struct serve_conn *serve_db_writer(struct serve_db *db);
/* NULL is fine. Resets every statement that was used. */
void serve_conn_put(struct serve_conn *c);
void serve_conn_cleanup(struct serve_conn **c); /* for supafs_cleanup() */

/* The statement, prepared once a connection, reset and without bindings; NULL on failure. */
sqlite3_stmt *serve_conn_sql(struct serve_conn *c, enum serve_sql which);
/* Runs a statement without parameters. 0 or -EIO. */
int serve_conn_run(struct serve_conn *c, enum serve_sql which);

/* Binds text that lives until the statement is reset; NULL pointer binds NULL. */
void serve_bind_str(sqlite3_stmt *s, int at, struct supafs_str text);
void serve_bind_text(sqlite3_stmt *s, int at, const char *text);
/* A view that lives until the next step; n is 0 for NULL. */
struct supafs_str serve_column_str(sqlite3_stmt *s, int at);
