/* SPDX-License-Identifier: Apache-2.0 */
/* Listings as JSON, and the cursor of version 2 (API §4). */
#include <stdlib.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/clock.h"
#include "supafs/util/limits.h"
#include "supafs/util/parse.h"

#include "keys.h"
#include "list.h"
#include "rest.h"

#define PAGE_MAX    1000
#define LEGACY_MAX  1500
#define LEGACY_SIZE 100
#define FOLDER_REST                                                                                \
	",\"id\":null,\"updated_at\":null,\"created_at\":null,"                                    \
	"\"last_accessed_at\":null,\"metadata\":null}"

static void put_row_rest(struct supafs_buf *b, const struct serve_object *o)
{
	rest_put_text(b, "id", o->id);
	rest_put_time(b, "updated_at", o->updated_us);
	rest_put_time(b, "created_at", o->created_us);
	rest_put_time(b, "last_accessed_at", o->accessed_us);
	rest_put_metadata(b, o);
	(void)supafs_buf_addc(b, '}');
}

/* --- version 1 ------------------------------------------------------------------ */

static bool put_legacy(void *ctx, const struct serve_entry *e)
{
	struct supafs_buf *b = ctx;

	(void)supafs_buf_adds(b, b->n > 1 ? ",{\"name\":" : "{\"name\":");
	(void)supafs_json_quote(b, e->name);
	if (e->object)
		put_row_rest(b, e->object);
	else
		(void)supafs_buf_adds(b, FOLDER_REST);
	return supafs_buf_error(b) == 0;
}

void rest_list_v1(struct serve_request *req)
{
	static const char *const columns[] = {
		"name", "created_at", "updated_at", "last_accessed_at", NULL};
	supafs_cleanup(supafs_buf_fini) struct supafs_buf prefix, out;
	struct supafs_str given = {"", 0};
	struct serve_legacy_query q = {.bucket = req->bucket, .search = {"", 0}};
	uint64_t limit = LEGACY_SIZE, offset = 0;
	int column = 0;
	bool has_order;
	enum serve_code code;

	supafs_buf_init(&prefix, SUPAFS_URL_MAX);
	supafs_buf_init(&out, REST_REPLY_MAX);
	if (!rest_member_text(req, "prefix", true, &given) ||
		!rest_member_uint(req, "limit", 1, false, &limit) ||
		!rest_member_uint(req, "offset", 0, false, &offset) ||
		!rest_member_text(req, "search", false, &q.search) ||
		!rest_member_sort(req, columns, &column, &q.desc, &has_order))
		return;
	(void)supafs_buf_addstr(&prefix, given);
	if (given.n && !supafs_str_ends(given, SUPAFS_STR("/")))
		(void)supafs_buf_addc(&prefix, '/');
	q.prefix = supafs_buf_str(&prefix);
	q.max = limit < LEGACY_MAX ? limit : LEGACY_MAX;
	q.offset = offset;
	q.sort = (enum serve_sort)column;
	(void)supafs_buf_addc(&out, '[');
	code = serve_list_legacy(&req->app->service, &req->actor, &q, put_legacy, &out);
	(void)supafs_buf_addc(&out, ']');
	if (code != SERVE_OK)
		rest_fail(req, code);
	else
		rest_json(req, 200, &out);
}

/* --- cursor: lines l: o: c: a:, joined, in base64 ------------------------------------ */

struct cursor {
	struct supafs_buf text; /* decoded; the lines are views of it */
	struct supafs_str after, order, column, value;
};

static bool take_line(struct cursor *c, struct supafs_str line)
{
	struct supafs_str *to;

	if (line.n < 2 || line.p[1] != ':')
		return false;
	switch (line.p[0]) {
	case 'l':
		to = &c->after;
		break;
	case 'o':
		to = &c->order;
		break;
	case 'c':
		to = &c->column;
		break;
	case 'a':
		to = &c->value;
		break;
	default:
		return false;
	}
	*to = (struct supafs_str){line.p + 2, line.n - 2};
	return true;
}

static bool read_cursor(struct cursor *c, struct supafs_str given)
{
	struct supafs_str rest;

	supafs_buf_init(&c->text, SUPAFS_CURSOR_MAX);
	c->after = c->order = c->column = c->value = (struct supafs_str){"", 0};
	if (rest_b64_lenient(&c->text, given) < 0)
		return false;
	rest = supafs_buf_str(&c->text);
	for (;;) {
		const char *newline = memchr(rest.p, '\n', rest.n);
		struct supafs_str line = {rest.p, newline ? (size_t)(newline - rest.p) : rest.n};

		if (!take_line(c, line))
			return false;
		if (!newline)
			return true;
		rest.n -= line.n + 1;
		rest.p = newline + 1;
	}
}

static const char *const list_columns[] = {"name", "created_at", "updated_at", NULL};

/* The cursor's order and column win over the body's. */
static void apply_cursor(
	const struct cursor *c, struct serve_list_query *q, bool *has_order, bool *has_column)
{
	int64_t ns;

	q->after = c->after;
	if (c->order.n) {
		q->desc = supafs_str_eq(c->order, SUPAFS_STR("desc"));
		*has_order = true;
	}
	for (int i = 0; list_columns[i]; i++) {
		if (supafs_str_eq(c->column, supafs_str_of(list_columns[i]))) {
			q->sort = (enum serve_sort)i;
			*has_column = true;
		}
	}
	if (c->value.n && supafs_parse_iso8601(c->value.p, c->value.n, &ns) == 0) {
		q->has_after_time = true;
		q->after_ms = ns / SUPAFS_NS_PER_MS;
	}
}

/* --- version 2 ------------------------------------------------------------------------ */

struct page {
	const struct serve_list_query *q;
	struct supafs_buf folders, objects;
	size_t limit, count;
	bool more;
	struct supafs_buf last; /* name of the last entry */
	int64_t last_us;
};

static void page_fini(struct page *p)
{
	supafs_buf_fini(&p->folders);
	supafs_buf_fini(&p->objects);
	supafs_buf_fini(&p->last);
}

/* What is behind the prefix' last '/', as far as the next one. */
static struct supafs_str key_of(const struct serve_list_query *q, struct supafs_str name)
{
	const char *slash = memrchr(q->prefix.p, '/', q->prefix.n);
	size_t skip = slash ? (size_t)(slash - q->prefix.p) + 1 : 0;
	struct supafs_str rest;

	if (name.n <= skip)
		return (struct supafs_str){"", 0};
	rest = (struct supafs_str){name.p + skip, name.n - skip};
	slash = memchr(rest.p, '/', rest.n);
	if (slash)
		rest.n = (size_t)(slash - rest.p);
	return rest;
}

static void put_folder(
	struct supafs_buf *b, const struct serve_list_query *q, const struct serve_entry *e)
{
	(void)supafs_buf_adds(b, b->n ? ",{\"key\":" : "{\"key\":");
	(void)supafs_json_quote(b, key_of(q, e->name));
	(void)supafs_buf_adds(b, ",\"name\":");
	(void)supafs_json_quote(b, e->name);
	/* The quote just written ends the name; a folder's has a slash before it. */
	if (b->n) {
		b->n--;
		(void)supafs_buf_adds(b, "/\"");
	}
	if (!e->has_times) {
		(void)supafs_buf_adds(b, FOLDER_REST);
		return;
	}
	(void)supafs_buf_adds(b, ",\"id\":null");
	rest_put_time(b, "updated_at", e->time_us);
	rest_put_time(b, "created_at", e->time_us);
	(void)supafs_buf_adds(b, ",\"last_accessed_at\":null,\"metadata\":null}");
}

static void put_object(
	struct supafs_buf *b, const struct serve_list_query *q, const struct serve_object *o)
{
	(void)supafs_buf_adds(b, b->n ? ",{" : "{");
	if (q->delimiter) {
		(void)supafs_buf_adds(b, "\"key\":");
		(void)supafs_json_quote(b, key_of(q, o->name));
		(void)supafs_buf_addc(b, ',');
	}
	(void)supafs_buf_adds(b, "\"name\":");
	(void)supafs_json_quote(b, o->name);
	put_row_rest(b, o);
}

/* One more than the page holds is asked for, to know whether there is a next one. */
static bool put_entry(void *ctx, const struct serve_entry *e)
{
	struct page *p = ctx;

	if (p->count == p->limit) {
		p->more = true;
		return false;
	}
	p->count++;
	if (e->object)
		put_object(&p->objects, p->q, e->object);
	else
		put_folder(&p->folders, p->q, e);
	supafs_buf_reset(&p->last);
	(void)supafs_buf_addstr(&p->last, e->name);
	p->last_us = e->time_us;
	if (e->object)
		p->last_us = p->q->sort == SERVE_SORT_CREATED ? e->object->created_us
							      : e->object->updated_us;
	return supafs_buf_error(&p->objects) == 0 && supafs_buf_error(&p->folders) == 0;
}

static void put_cursor(
	struct supafs_buf *out, const struct page *p, bool has_order, bool has_column)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf text;
	char time[32];

	supafs_buf_init(&text, SUPAFS_CURSOR_MAX);
	(void)supafs_buf_addf(&text, "l:%s", supafs_buf_cstr(&p->last));
	if (has_order)
		(void)supafs_buf_adds(&text, p->q->desc ? "\no:desc" : "\no:asc");
	if (has_column)
		(void)supafs_buf_addf(&text, "\nc:%s", list_columns[p->q->sort]);
	if (has_column && p->q->sort != SERVE_SORT_NAME) {
		serve_format_iso(p->last_us, time);
		(void)supafs_buf_addf(&text, "\na:%s", time);
	}
	(void)supafs_buf_adds(out, ",\"nextCursor\":\"");
	(void)supafs_b64_encode(out, supafs_buf_cstr(&text), text.n);
	(void)supafs_buf_addc(out, '"');
	rest_put_text(out, "nextCursorKey", supafs_buf_str(&p->last));
}

static void answer_page(struct serve_request *req, struct page *p, bool has_order, bool has_column)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf out;

	supafs_buf_init(&out, REST_REPLY_MAX);
	(void)supafs_buf_addf(&out, "{\"hasNext\":%s", p->more ? "true" : "false");
	if (p->more)
		put_cursor(&out, p, has_order, has_column);
	(void)supafs_buf_adds(&out, ",\"folders\":[");
	(void)supafs_buf_addstr(&out, supafs_buf_str(&p->folders));
	(void)supafs_buf_adds(&out, "],\"objects\":[");
	(void)supafs_buf_addstr(&out, supafs_buf_str(&p->objects));
	(void)supafs_buf_adds(&out, "]}");
	rest_json(req, 200, &out);
}

static void run_page(struct serve_request *req, struct serve_list_query *q, uint64_t limit,
	bool has_order, bool has_column)
{
	supafs_cleanup(page_fini) struct page p = {.q = q};
	enum serve_code code;

	p.limit = limit < PAGE_MAX ? limit : PAGE_MAX;
	q->max = p.limit + 1;
	supafs_buf_init(&p.folders, REST_REPLY_MAX);
	supafs_buf_init(&p.objects, REST_REPLY_MAX);
	supafs_buf_init(&p.last, SUPAFS_URL_MAX);
	code = serve_list(&req->app->service, &req->actor, q, put_entry, &p);
	/* A page that does not fit is no empty page. */
	if (code == SERVE_OK &&
		(supafs_buf_error(&p.folders) < 0 || supafs_buf_error(&p.objects) < 0))
		code = SERVE_INTERNAL;
	if (code != SERVE_OK)
		rest_fail(req, code);
	else
		answer_page(req, &p, has_order, has_column);
}

void rest_list_v2(struct serve_request *req)
{
	struct serve_list_query q = {.bucket = req->bucket, .prefix = {"", 0}, .after = {"", 0}};
	struct cursor c = {0};
	struct supafs_str given = {"", 0};
	uint64_t limit = PAGE_MAX;
	bool has_order, present, has_column;
	int column = -1;

	if (!rest_member_text(req, "prefix", false, &q.prefix) ||
		!rest_member_uint(req, "limit", 1, false, &limit) ||
		!rest_member_text(req, "cursor", false, &given) ||
		!rest_member_bool(req, "with_delimiter", &q.delimiter, &present) ||
		!rest_member_sort(req, list_columns, &column, &q.desc, &has_order))
		return;
	has_column = column >= 0;
	if (has_column)
		q.sort = (enum serve_sort)column;
	if (given.n && !read_cursor(&c, given)) {
		supafs_buf_fini(&c.text);
		rest_failf(req, SERVE_INVALID_PARAMETER, "Invalid Parameter continuation token");
		return;
	}
	if (given.n)
		apply_cursor(&c, &q, &has_order, &has_column);
	run_page(req, &q, limit, has_order, has_column);
	supafs_buf_fini(&c.text);
}
