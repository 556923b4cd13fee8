/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listing, version 1 (API §4.1): everything on lower-case names, pages by offset. By
 * name it has the same looks and batches as version 2, and so loses the same entries;
 * by time folders come first, and nothing is lost.
 */
#include <ctype.h>
#include <stdlib.h>

#include "supafs/util/buf.h"
#include "supafs/util/cleanup.h"
#include "supafs/util/limits.h"

#include "list.h"

static const struct supafs_str nothing = {"", 0};

struct legacy {
	struct serve_rows rows;
	const struct serve_legacy_query *q;
	serve_list_fn each;
	void *ctx;
	struct supafs_buf prefix; /* lower case, search included */
	struct supafs_buf next;   /* the place of the next look */
	size_t skipped, count;
	bool stop;
};

static void legacy_fini(struct legacy *l)
{
	serve_rows_fini(&l->rows);
	supafs_buf_fini(&l->prefix);
	supafs_buf_fini(&l->next);
}

/* Keys are ASCII. The function, not the macro, which is long. */
static char lower(char c)
{
	return (char)(tolower)((unsigned char)c);
}

static void add_lower(struct supafs_buf *b, struct supafs_str text)
{
	for (size_t i = 0; i < text.n; i++)
		(void)supafs_buf_addc(b, lower(text.p[i]));
}

static void go_to(struct legacy *l, struct supafs_str name, const char *tail)
{
	supafs_buf_reset(&l->next);
	add_lower(&l->next, name);
	(void)supafs_buf_adds(&l->next, tail);
}

static bool has_prefix(const struct legacy *l, struct supafs_str name)
{
	if (name.n < l->prefix.n)
		return false;
	for (size_t i = 0; i < l->prefix.n; i++) {
		if (lower(name.p[i]) != l->prefix.p[i])
			return false;
	}
	return true;
}

static void emit(struct legacy *l, struct supafs_str name, const struct serve_object *object)
{
	struct serve_entry e = {.object = object};

	if (l->skipped < l->q->offset) {
		l->skipped++;
		return;
	}
	if (name.n >= l->q->prefix.n)
		e.name = (struct supafs_str){name.p + l->q->prefix.n, name.n - l->q->prefix.n};
	else
		e.name = nothing; /* "//" trimmed below the prefix itself */
	l->count++;
	if (!l->each(l->ctx, &e) || l->count >= l->q->max)
		l->stop = true;
}

static bool next_row(struct legacy *l, struct serve_object *row)
{
	return serve_rows_next(&l->rows, row) && has_prefix(l, row->name);
}

static void emit_folder(struct legacy *l, struct supafs_str common)
{
	emit(l, serve_trim_slashes(common), NULL);
	if (l->q->desc)
		go_to(l, common, "");
	else
		go_to(l, (struct supafs_str){common.p, common.n - 1}, "0");
}

static void emit_files(struct legacy *l, struct serve_object *row)
{
	size_t batch = serve_batch_size(l->q->max);

	for (;;) {
		emit(l, row->name, row);
		go_to(l, row->name, l->q->desc ? "" : "/");
		if (l->stop || --batch == 0)
			return;
		if (!next_row(l, row)) {
			l->stop = true;
			return;
		}
		if (serve_common_prefix(row->name, l->prefix.n).n) {
			go_to(l, row->name, "");
			return;
		}
	}
}

static void start(struct legacy *l)
{
	struct supafs_str p = supafs_buf_str(&l->prefix);

	if (!l->q->desc) {
		go_to(l, p, "");
	} else if (p.n == 0) {
		go_to(l, nothing, "\xff");
	} else {
		go_to(l, p, "");
		if (l->next.n)
			l->next.p[l->next.n - 1]++;
	}
}

static enum serve_code list_by_name(struct legacy *l)
{
	const enum serve_sql which =
		l->q->desc ? SERVE_SQL_ROWS_LOWER_DESC : SERVE_SQL_ROWS_LOWER_ASC;

	start(l);
	while (!l->stop && !l->rows.failed) {
		struct serve_object row;
		struct supafs_str common;

		if (supafs_buf_error(&l->next) < 0)
			return SERVE_INTERNAL;
		if (!serve_rows_seek(&l->rows, which, supafs_buf_str(&l->next), nothing) ||
			!next_row(l, &row))
			break;
		common = serve_common_prefix(row.name, l->prefix.n);
		if (common.n)
			emit_folder(l, common);
		else
			emit_files(l, &row);
	}
	return serve_rows_code(&l->rows);
}

/* --- by time: folders by name, then files ----------------------------------- */

struct names {
	char **list;
	size_t n, room;
};

static void names_fini(struct names *v)
{
	for (size_t i = 0; i < v->n; i++)
		free(v->list[i]);
	free(v->list);
}

static bool add_name(struct names *v, struct supafs_str name)
{
	if (v->n && supafs_str_eq(supafs_str_of(v->list[v->n - 1]), name))
		return true;
	if (v->n == v->room) {
		size_t more = v->room ? 2 * v->room : 256;
		char **list = realloc(v->list, more * sizeof(*list));

		if (!list)
			return false;
		v->list = list;
		v->room = more;
	}
	v->list[v->n] = supafs_str_dup(name);
	return v->list[v->n++] != NULL;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static enum serve_code gather_folders(struct legacy *l, struct names *folders)
{
	struct serve_object row;

	if (!serve_rows_seek(
		    &l->rows, SERVE_SQL_ROWS_LOWER_ASC, supafs_buf_str(&l->prefix), nothing))
		return SERVE_DATABASE;
	while (next_row(l, &row)) {
		struct supafs_str common = serve_common_prefix(row.name, l->prefix.n);

		if (common.n && !add_name(folders, serve_trim_slashes(common)))
			return SERVE_INTERNAL;
	}
	if (folders->n)
		qsort(folders->list, folders->n, sizeof(*folders->list), compare_names);
	return serve_rows_code(&l->rows);
}

static enum serve_code emit_folders(struct legacy *l)
{
	struct names folders = {0};
	enum serve_code code = gather_folders(l, &folders);
	const char *before = NULL;

	for (size_t i = 0; code == SERVE_OK && i < folders.n && !l->stop; i++) {
		const char *name = folders.list[l->q->desc ? folders.n - 1 - i : i];

		if (!before || strcmp(before, name) != 0)
			emit(l, supafs_str_of(name), NULL);
		before = name;
	}
	names_fini(&folders);
	return code;
}

static enum serve_code list_by_time(struct legacy *l)
{
	static const enum serve_sql which[3][2] = {
		{SERVE_SQL_ROWS_CREATED_ASC, SERVE_SQL_ROWS_CREATED_DESC},
		{SERVE_SQL_ROWS_UPDATED_ASC, SERVE_SQL_ROWS_UPDATED_DESC},
		{SERVE_SQL_ROWS_ACCESSED_ASC, SERVE_SQL_ROWS_ACCESSED_DESC}};
	struct serve_object row;
	enum serve_code code = emit_folders(l);

	if (code != SERVE_OK)
		return code;
	if (!serve_rows_seek(
		    &l->rows, which[l->q->sort - SERVE_SORT_CREATED][l->q->desc], nothing, nothing))
		return SERVE_DATABASE;
	while (!l->stop && serve_rows_next(&l->rows, &row)) {
		if (has_prefix(l, row.name) && !serve_common_prefix(row.name, l->prefix.n).n)
			emit(l, row.name, &row);
	}
	return serve_rows_code(&l->rows);
}

enum serve_code serve_list_legacy(struct serve_service *s, const struct serve_actor *actor,
	const struct serve_legacy_query *q, serve_list_fn each, void *ctx)
{
	supafs_cleanup(legacy_fini) struct legacy l = {.q = q, .each = each, .ctx = ctx};

	supafs_buf_init(&l.prefix, (size_t)4 * SUPAFS_KEY_MAX);
	supafs_buf_init(&l.next, (size_t)8 * SUPAFS_KEY_MAX);
	serve_rows_init(&l.rows, s, actor, q->bucket);
	add_lower(&l.prefix, q->prefix);
	add_lower(&l.prefix, q->search);
	if (l.rows.failed || supafs_buf_error(&l.prefix) < 0)
		return SERVE_DATABASE;
	return q->sort == SERVE_SORT_NAME ? list_by_name(&l) : list_by_time(&l);
}
