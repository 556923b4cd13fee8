/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listing, version 2 (API §4.2, §4.3).
 *
 * By name with a delimiter the real server alternates between one look ("what is the
 * next key from here?") and batches of files, and moves on to name + "/" after a file.
 * That is done here in the same way, because clients must cope with what it skips.
 */
#include "list.h"

#include <stdlib.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/limits.h"

static const struct supafs_str nothing = {"", 0};
static const struct supafs_str past_all = {"\xff", 1};

/* A list in progress. */
struct walk {
	struct serve_rows rows;
	const struct serve_list_query *q;
	serve_list_fn each;
	void *ctx;
	size_t count;
	char *next; /* the place of the next look, `next_n` bytes */
	size_t next_n;
	bool stop;
};

static void walk_fini(struct walk *w)
{
	serve_rows_fini(&w->rows);
	free(w->next);
}

/* Moves the next look to a + b; a may view the current row. */
static void go_to(struct walk *w, struct supafs_str a, struct supafs_str b)
{
	char *next = malloc(a.n + b.n + 1);

	if (!next) {
		w->rows.failed = true;
		return;
	}
	memcpy(next, a.p, a.n);
	memcpy(next + a.n, b.p, b.n);
	next[a.n + b.n] = '\0';
	free(w->next);
	w->next = next;
	w->next_n = a.n + b.n;
}

static struct supafs_str next_look(const struct walk *w)
{
	return (struct supafs_str){w->next, w->next_n};
}

static void emit(struct walk *w, const struct serve_entry *e)
{
	w->count++;
	if (!w->each(w->ctx, e) || w->count >= w->q->max)
		w->stop = true;
}

static bool row_in_prefix(struct walk *w, struct serve_object *row)
{
	return serve_rows_next(&w->rows, row) && supafs_str_starts(row->name, w->q->prefix);
}

/* Is there a key below `name`/ ? */
static bool is_folder(struct walk *w, struct supafs_str name)
{
	struct serve_object row;

	return serve_rows_seek(&w->rows, SERVE_SQL_ROWS_ASC, name, SUPAFS_STR("/")) &&
	       serve_rows_next(&w->rows, &row) && supafs_str_starts(row.name, name) &&
	       row.name.n > name.n && row.name.p[name.n] == '/';
}

/* The first key that does not begin with the prefix, in order: the prefix with its last byte
 * counted up. */
static void go_behind_prefix(struct walk *w)
{
	struct supafs_str p = w->q->prefix;

	if (p.n == 0) {
		go_to(w, past_all, nothing);
		return;
	}
	go_to(w, p, nothing);
	if (w->next)
		w->next[w->next_n - 1]++;
}

static void start(struct walk *w)
{
	const struct serve_list_query *q = w->q;
	bool folder;

	if (q->after.n == 0) {
		if (q->desc)
			go_behind_prefix(w);
		else
			go_to(w, q->prefix, nothing);
		return;
	}
	folder = is_folder(w, q->after);
	if (q->desc)
		go_to(w, q->after, folder ? SUPAFS_STR("/") : nothing);
	else
		go_to(w, q->after, folder ? SUPAFS_STR("0") : SUPAFS_STR("/"));
	if (!q->desc && w->next && supafs_str_cmp(next_look(w), q->prefix) < 0)
		go_to(w, q->prefix, nothing);
}

static void emit_folder(struct walk *w, struct supafs_str common)
{
	struct serve_entry e = {.name = serve_trim_slashes(common)};

	emit(w, &e);
	if (w->q->desc)
		go_to(w, common, nothing);
	else
		go_to(w, (struct supafs_str){common.p, common.n - 1}, SUPAFS_STR("0"));
}

/* Files from the current row on, until a folder, the end of the batch or of the rows. */
static void emit_files(struct walk *w, struct serve_object *row)
{
	size_t batch = serve_batch_size(w->q->max);

	for (;;) {
		struct serve_entry e = {.name = row->name, .object = row};

		emit(w, &e);
		go_to(w, row->name, w->q->desc ? nothing : SUPAFS_STR("/"));
		if (w->stop || --batch == 0)
			return;
		if (!row_in_prefix(w, row)) {
			w->stop = true;
			return;
		}
		if (serve_common_prefix(row->name, w->q->prefix.n).n) {
			/* Ascending, the next look is at this folder. Descending it is
			 * before this key, and a folder of one file is lost. */
			go_to(w, row->name, nothing);
			return;
		}
	}
}

static enum serve_code list_by_name(struct walk *w)
{
	const enum serve_sql which = w->q->desc ? SERVE_SQL_ROWS_DESC : SERVE_SQL_ROWS_ASC;

	start(w);
	while (!w->stop && !w->rows.failed) {
		struct serve_object row;
		struct supafs_str common;

		if (!serve_rows_seek(&w->rows, which, next_look(w), nothing) ||
			!row_in_prefix(w, &row))
			break;
		common = serve_common_prefix(row.name, w->q->prefix.n);
		if (common.n)
			emit_folder(w, common);
		else
			emit_files(w, &row);
	}
	return serve_rows_code(&w->rows);
}

/* --- flat ----------------------------------------------------------------- */

static enum serve_code flat_by_name(struct walk *w)
{
	const struct serve_list_query *q = w->q;
	struct serve_object row;

	if (q->desc) {
		go_behind_prefix(w);
		if (q->after.n && w->next && supafs_str_cmp(q->after, next_look(w)) < 0)
			go_to(w, q->after, nothing);
	} else {
		go_to(w, supafs_str_cmp(q->after, q->prefix) > 0 ? q->after : q->prefix, nothing);
	}
	if (w->rows.failed ||
		!serve_rows_seek(&w->rows, q->desc ? SERVE_SQL_ROWS_DESC : SERVE_SQL_ROWS_ASC,
			next_look(w), nothing))
		return SERVE_DATABASE;
	while (!w->stop && row_in_prefix(w, &row)) {
		struct serve_entry e = {.name = row.name, .object = &row};

		if (!supafs_str_eq(row.name, q->after) || q->after.n == 0)
			emit(w, &e);
	}
	return serve_rows_code(&w->rows);
}

static int64_t sort_value(const struct serve_object *o, enum serve_sort sort)
{
	return sort == SERVE_SORT_CREATED ? o->created_us : o->updated_us;
}

/* Is (time, name) behind the cursor? The cursor knows milliseconds only. */
static bool behind_cursor(const struct serve_list_query *q, int64_t time_us, struct supafs_str name)
{
	int order = 0;

	if (q->after.n == 0)
		return true;
	if (q->has_after_time)
		order = (time_us / 1000 > q->after_ms) - (time_us / 1000 < q->after_ms);
	if (order == 0)
		order = supafs_str_cmp(name, q->after);
	return q->desc ? order < 0 : order > 0;
}

static enum serve_code flat_by_time(struct walk *w)
{
	static const enum serve_sql which[2][2] = {
		{SERVE_SQL_ROWS_UPDATED_ASC, SERVE_SQL_ROWS_UPDATED_DESC},
		{SERVE_SQL_ROWS_CREATED_ASC, SERVE_SQL_ROWS_CREATED_DESC}};
	const struct serve_list_query *q = w->q;
	struct serve_object row;

	if (!serve_rows_seek(
		    &w->rows, which[q->sort == SERVE_SORT_CREATED][q->desc], nothing, nothing))
		return SERVE_DATABASE;
	while (!w->stop && serve_rows_next(&w->rows, &row)) {
		struct serve_entry e = {.name = row.name, .object = &row};

		if (supafs_str_starts(row.name, q->prefix) &&
			behind_cursor(q, sort_value(&row, q->sort), row.name))
			emit(w, &e);
	}
	return serve_rows_code(&w->rows);
}

/* --- by time with a delimiter ----------------------------------------------- */

struct timed {
	struct serve_object *object; /* owned; NULL: a folder */
	char *folder;                /* owned */
	int64_t time_us;
	bool desc;
};

struct timed_list {
	struct timed *list;
	size_t n, room;
};

static void timed_fini(struct timed_list *t)
{
	for (size_t i = 0; i < t->n; i++) {
		free(t->list[i].object);
		free(t->list[i].folder);
	}
	free(t->list);
}

static struct supafs_str timed_name(const struct timed *t)
{
	return t->object ? t->object->name : supafs_str_of(t->folder);
}

static int compare_timed(const void *pa, const void *pb)
{
	const struct timed *a = pa, *b = pb;
	int64_t ta = a->time_us / 1000, tb = b->time_us / 1000;
	int order = (ta > tb) - (ta < tb);

	if (order == 0)
		order = supafs_str_cmp(timed_name(a), timed_name(b));
	return a->desc ? -order : order;
}

static struct timed *add_timed(struct timed_list *t)
{
	if (t->n == t->room) {
		size_t more = t->room ? 2 * t->room : 256;
		struct timed *list = realloc(t->list, more * sizeof(*list));

		if (!list)
			return NULL;
		t->list = list;
		t->room = more;
	}
	t->list[t->n] = (struct timed){0};
	return &t->list[t->n++];
}

/* Rows come by name, so those of one folder follow each other. */
static bool gather(
	struct timed_list *t, const struct serve_object *row, const struct serve_list_query *q)
{
	struct supafs_str common = serve_common_prefix(row->name, q->prefix.n);
	struct supafs_str folder = serve_trim_slashes(common);
	struct timed *last = t->n ? &t->list[t->n - 1] : NULL;
	struct timed *one;

	if (common.n && last && last->folder &&
		supafs_str_eq(supafs_str_of(last->folder), folder)) {
		if (row->created_us < last->time_us)
			last->time_us = row->created_us;
		return true;
	}
	one = add_timed(t);
	if (!one)
		return false;
	one->desc = q->desc;
	if (common.n) {
		one->time_us = row->created_us;
		one->folder = supafs_str_dup(folder);
		return one->folder != NULL;
	}
	one->time_us = sort_value(row, q->sort);
	one->object = serve_object_dup(row);
	return one->object != NULL;
}

static enum serve_code gather_all(struct walk *w, struct timed_list *all)
{
	struct serve_object row;

	if (!serve_rows_seek(&w->rows, SERVE_SQL_ROWS_ASC, w->q->prefix, nothing))
		return SERVE_DATABASE;
	while (row_in_prefix(w, &row)) {
		if (!gather(all, &row, w->q))
			return SERVE_INTERNAL;
	}
	if (all->n)
		qsort(all->list, all->n, sizeof(*all->list), compare_timed);
	return serve_rows_code(&w->rows);
}

static enum serve_code list_by_time(struct walk *w)
{
	struct timed_list all = {0};
	enum serve_code code = gather_all(w, &all);

	for (size_t i = 0; code == SERVE_OK && i < all.n && !w->stop; i++) {
		const struct timed *t = &all.list[i];
		struct serve_entry e = {.name = timed_name(t),
			.object = t->object,
			.has_times = !t->object,
			.time_us = t->time_us};

		if (behind_cursor(w->q, t->time_us, e.name))
			emit(w, &e);
	}
	timed_fini(&all);
	return code;
}

static enum serve_code run(struct walk *w)
{
	const struct serve_list_query *q = w->q;

	if (w->rows.failed)
		return SERVE_DATABASE;
	if (q->delimiter)
		return q->sort == SERVE_SORT_NAME ? list_by_name(w) : list_by_time(w);
	return q->sort == SERVE_SORT_NAME ? flat_by_name(w) : flat_by_time(w);
}

enum serve_code serve_list(struct serve_service *s, const struct serve_actor *actor,
	const struct serve_list_query *q, serve_list_fn each, void *ctx)
{
	struct walk w = {.q = q, .each = each, .ctx = ctx};
	enum serve_code code;

	serve_rows_init(&w.rows, s, actor, q->bucket);
	code = run(&w);
	walk_fini(&w);
	return code;
}
