/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listings of a bucket, as the real server makes them (API §4), its defects included:
 * after a page (or an inner batch) that ended in the file `foo` the next rows are looked
 * for from `foo/` on, so names such as `foo.txt` and `foo-1` are skipped.
 *
 * Threads: every call from any thread; each is one consistent view of the database.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "service.h"

enum serve_sort {
	SERVE_SORT_NAME,
	SERVE_SORT_CREATED,
	SERVE_SORT_UPDATED,
	SERVE_SORT_ACCESSED, /* version 1 only */
};

struct serve_entry {
	/* A whole key in version 2, relative to the prefix in version 1; a folder's name has no
	 * '/' at its end. */
	struct supafs_str name;
	const struct serve_object *object; /* NULL: a folder */
	bool has_times;                    /* a folder in a listing by time */
	int64_t time_us;                   /* the oldest creation below the folder */
};

/* Gets each entry in order; false ends the listing. */
typedef bool (*serve_list_fn)(void *ctx, const struct serve_entry *e);

struct serve_list_query {
	struct supafs_str bucket, prefix;
	struct supafs_str after; /* where the page before ended; n 0: from the start */
	bool has_after_time;
	int64_t after_ms; /* with it: the sort value of that entry */
	bool delimiter;
	bool desc;
	enum serve_sort sort; /* not ACCESSED */
	size_t max;           /* entries */
};

enum serve_code serve_list(struct serve_service *s, const struct serve_actor *actor,
	const struct serve_list_query *q, serve_list_fn each, void *ctx);

/* Version 1: case-insensitive, by offset. */
struct serve_legacy_query {
	struct supafs_str bucket;
	struct supafs_str prefix; /* "" or ends in '/' */
	struct supafs_str search; /* how the next segment begins */
	size_t max, offset;
	bool desc;
	enum serve_sort sort;
};

enum serve_code serve_list_legacy(struct serve_service *s, const struct serve_actor *actor,
	const struct serve_legacy_query *q, serve_list_fn each, void *ctx);

/* --- shared by the two (list_rows.c) ------------------------------------- */

/* The rows that an actor sees, from a place on, in one order. */
struct serve_rows {
	struct serve_service *s;
	const struct serve_actor *actor;
	struct supafs_str bucket;
	struct serve_conn *conn;
	sqlite3_stmt *stmt;
	char *seek; /* what the statement is bound to */
	bool failed;
};

void serve_rows_init(struct serve_rows *r, struct serve_service *s, const struct serve_actor *actor,
	struct supafs_str bucket);
void serve_rows_fini(struct serve_rows *r);
/* Starts `which` (a SERVE_SQL_ROWS_ statement) at `from` followed by `tail`. */
bool serve_rows_seek(
	struct serve_rows *r, enum serve_sql which, struct supafs_str from, struct supafs_str tail);
/* The next row; false at the end or when it `failed`. Views until the next call. */
bool serve_rows_next(struct serve_rows *r, struct serve_object *ret_row);
enum serve_code serve_rows_code(const struct serve_rows *r);

/* The part of `name` up to and with the first '/' behind `skip` bytes; n 0 when there is none. */
struct supafs_str serve_common_prefix(struct supafs_str name, size_t skip);
/* Without the slashes at its end. */
struct supafs_str serve_trim_slashes(struct supafs_str name);
/* Files between two looks: as many as the real server fetches at once. */
size_t serve_batch_size(size_t max);
