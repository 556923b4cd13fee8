/* SPDX-License-Identifier: Apache-2.0 */
/* Pool of SQLite connections with cached statements. */
#include "db.h"

#include <errno.h>
#include <stdlib.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/lock.h"

#define IDLE_MAX 16 /* readers kept open while nobody uses them */
#define BUSY_MS  10000

struct serve_conn {
	struct serve_db *db;
	sqlite3 *sqlite;
	struct serve_conn *next; /* in the list of idle readers */
	bool writer;
	unsigned char used[SERVE_SQL__COUNT]; /* statements to reset when it comes back */
	sqlite3_stmt *stmt[SERVE_SQL__COUNT];
};

struct serve_db {
	char *path;
	bool durable;
	struct supafs_mutex write_lock; /* held by whoever has the writer; taken before `lock` */
	struct serve_conn *writer;      /* write_lock */
	struct supafs_mutex lock;
	struct serve_conn *idle; /* lock */
	unsigned idle_n;         /* lock */
};

static struct serve_conn *conn_close(struct serve_conn *c)
{
	if (!c)
		return NULL;
	for (int i = 0; i < SERVE_SQL__COUNT; i++)
		(void)sqlite3_finalize(c->stmt[i]);
	(void)sqlite3_close(c->sqlite);
	free(c);
	return NULL;
}

static struct serve_conn *conn_open(struct serve_db *db)
{
	const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX |
			  SQLITE_OPEN_PRIVATECACHE;
	struct serve_conn *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->db = db;
	if (sqlite3_open_v2(db->path, &c->sqlite, flags, NULL) != SQLITE_OK ||
		sqlite3_busy_timeout(c->sqlite, BUSY_MS) != SQLITE_OK ||
		sqlite3_exec(c->sqlite,
			db->durable ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL", NULL,
			NULL, NULL) != SQLITE_OK ||
		sqlite3_exec(c->sqlite, "PRAGMA cache_size=-8192; PRAGMA mmap_size=268435456;",
			NULL, NULL, NULL) != SQLITE_OK)
		return conn_close(c);
	return c;
}

int serve_db_open(const char *path, bool durable, struct serve_db **ret_db, const char **ret_why)
{
	struct serve_db *db = calloc(1, sizeof(*db));

	if (!db)
		return -ENOMEM;
	supafs_mutex_init(&db->write_lock);
	supafs_mutex_init(&db->lock);
	db->durable = durable;
	db->path = strdup(path);
	if (!db->path) {
		(void)serve_db_close(db);
		return -ENOMEM;
	}
	db->writer = conn_open(db);
	*ret_why = "cannot be opened, or is not a database of this server";
	if (!db->writer)
		goto fail;
	db->writer->writer = true;
	*ret_why = "is not a database of this server, or the file system refuses its locks";
	if (sqlite3_exec(db->writer->sqlite, "PRAGMA journal_mode=WAL", NULL, NULL, NULL) !=
			SQLITE_OK ||
		sqlite3_exec(db->writer->sqlite, serve_sql_schema, NULL, NULL, NULL) != SQLITE_OK)
		goto fail;
	*ret_db = db;
	return 0;
fail:
	(void)serve_db_close(db);
	return -EIO;
}

struct serve_db *serve_db_close(struct serve_db *db)
{
	if (!db)
		return NULL;
	while (db->idle) {
		struct serve_conn *c = db->idle;

		db->idle = c->next;
		(void)conn_close(c);
	}
	(void)conn_close(db->writer);
	supafs_mutex_fini(&db->lock);
	supafs_mutex_fini(&db->write_lock);
	free(db->path);
	free(db);
	return NULL;
}

struct serve_conn *serve_db_reader(struct serve_db *db)
{
	{
		SUPAFS_SCOPED_LOCK(&db->lock);
		struct serve_conn *c = db->idle;

		if (c) {
			db->idle = c->next;
			db->idle_n--;
			return c;
		}
	}
	return conn_open(db);
}

struct serve_conn *serve_db_writer(struct serve_db *db)
{
	supafs_mutex_lock(&db->write_lock);
	return db->writer;
}

static void reset_used(struct serve_conn *c)
{
	for (int i = 0; i < SERVE_SQL__COUNT; i++) {
		if (!c->used[i])
			continue;
		(void)sqlite3_reset(c->stmt[i]);
		(void)sqlite3_clear_bindings(c->stmt[i]);
		c->used[i] = 0;
	}
}

void serve_conn_put(struct serve_conn *c)
{
	if (!c)
		return;
	reset_used(c);
	if (!sqlite3_get_autocommit(c->sqlite))
		(void)sqlite3_exec(c->sqlite, "ROLLBACK", NULL, NULL, NULL);
	if (c->writer) {
		supafs_mutex_unlock(&c->db->write_lock);
		return;
	}
	{
		SUPAFS_SCOPED_LOCK(&c->db->lock);
		if (c->db->idle_n < IDLE_MAX) {
			c->next = c->db->idle;
			c->db->idle = c;
			c->db->idle_n++;
			return;
		}
	}
	(void)conn_close(c);
}

void serve_conn_cleanup(struct serve_conn **c)
{
	serve_conn_put(*c);
	*c = NULL;
}

sqlite3_stmt *serve_conn_sql(struct serve_conn *c, enum serve_sql which)
{
	if (!c->stmt[which] &&
		sqlite3_prepare_v3(c->sqlite, serve_sql_text[which], -1, SQLITE_PREPARE_PERSISTENT,
			&c->stmt[which], NULL) != SQLITE_OK)
		return NULL;
	if (c->used[which]) {
		(void)sqlite3_reset(c->stmt[which]);
		(void)sqlite3_clear_bindings(c->stmt[which]);
	}
	c->used[which] = 1;
	return c->stmt[which];
}

int serve_conn_run(struct serve_conn *c, enum serve_sql which)
{
	sqlite3_stmt *s = serve_conn_sql(c, which);
	int r = s ? sqlite3_step(s) : SQLITE_ERROR;

	if (s)
		(void)sqlite3_reset(s);
	return r == SQLITE_DONE || r == SQLITE_ROW ? 0 : -EIO;
}

void serve_bind_str(sqlite3_stmt *s, int at, struct supafs_str text)
{
	if (text.p)
		(void)sqlite3_bind_text(s, at, text.p, (int)text.n, SQLITE_STATIC);
	else
		(void)sqlite3_bind_null(s, at);
}

void serve_bind_text(sqlite3_stmt *s, int at, const char *text)
{
	if (text)
		(void)sqlite3_bind_text(s, at, text, -1, SQLITE_STATIC);
	else
		(void)sqlite3_bind_null(s, at);
}

struct supafs_str serve_column_str(sqlite3_stmt *s, int at)
{
	const char *p = (const char *)sqlite3_column_text(s, at);

	return (struct supafs_str){p ? p : "", p ? (size_t)sqlite3_column_bytes(s, at) : 0};
}
