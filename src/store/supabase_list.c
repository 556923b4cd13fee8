/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listing by list-v2, exactly once each (API §4.2–§4.4).
 *
 * The server's own cursor loses entries behind a page that ends in an object, so there we make the
 * cursor: "l:" NAME \x01 "\no:asc", which sorts behind NAME/ and before every legal continuation.
 * If a server refuses it, this store lists flat from then on and groups by '/' itself.
 *
 * A cursor of ours (struct supafs_cursor) is: one byte of mode, the last key seen, NUL, the
 * server's or our own cursor text:
 *
 *	mode  the page was asked     how the next one goes on
 *	'd'   with delimiter         from the text
 *	'f'   flat (the caller's)    from the text
 *	'g'   flat, grouped here     from the text; "" = from the start of the prefix
 *	'n'   flat, newest first     from the text: the server's own cursor is exact there
 *
 * Whatever the server sends, keys come out in rising order: what is not behind the last key seen
 * is dropped, and a page that does not get further is an error, so a walk always ends. In mode 'n'
 * times fall instead (servers before 1.27 do not sort, and are found out by that); there the
 * caller bounds his walk.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/parse.h"

#include "errors_priv.h"
#include "supabase_priv.h"

#define FLAT_LIMIT 1000

/* One page being turned into entries. */
struct page {
	struct supafs_sb *sb;
	const struct supafs_list_args *args;
	char mode;
	struct supafs_str last;   /* the last key of the page before, "" at the start */
	struct supafs_str cursor; /* what the server is asked with, "" at the start */
	struct item {
		struct supafs_str name;
		const struct supafs_json *row; /* NULL: a folder */
	} * items;
	size_t n;
	bool more;
	struct supafs_str next; /* the server's nextCursor, "" if none */
	size_t delivered;
	char again[SUPAFS_KEY_MAX + 2]; /* prefix and '/', see take_folder_again() */
};

static bool ends_in_slash(struct supafs_str s)
{
	return s.n > 0 && s.p[s.n - 1] == '/';
}

/* --- Cursor ----------------------------------------------------------------------------------- */

static int cursor_load(const struct supafs_cursor *c, struct page *p)
{
	const char *nul;

	if (c->n == 0) {
		p->mode = p->args->newest_first ? 'n' : 'f';
		if (p->args->delimiter)
			p->mode = p->sb->flat_only ? 'g' : 'd';
		p->last = p->cursor = SUPAFS_STR("");
		return 0;
	}
	if (c->n > sizeof(c->p) || c->p[0] == '\0' || !strchr("dfgn", c->p[0]) ||
		(c->p[0] == 'n') != p->args->newest_first)
		return -EINVAL;
	nul = memchr(c->p, '\0', c->n);
	if (!nul)
		return -EINVAL;
	p->mode = c->p[0];
	p->last = (struct supafs_str){c->p + 1, (size_t)(nul - c->p) - 1};
	p->cursor = (struct supafs_str){nul + 1, c->n - p->last.n - 2};
	return 0;
}

static int cursor_store(
	struct supafs_cursor *c, char mode, struct supafs_str last, struct supafs_str text)
{
	struct supafs_cursor made = {0};

	if (last.n + text.n + 2 > sizeof(made.p))
		return -EMSGSIZE;
	made.p[0] = mode;
	if (last.n > 0)
		memcpy(made.p + 1, last.p, last.n);
	made.p[1 + last.n] = '\0';
	if (text.n > 0)
		memcpy(made.p + 2 + last.n, text.p, text.n);
	made.n = last.n + text.n + 2;
	*c = made;
	return 0;
}

/* The cursor behind an object or behind "//" of a listing with delimiter. */
static int own_cursor(struct supafs_str name, char after, struct supafs_buf *b)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf text;

	supafs_buf_init(&text, SUPAFS_KEY_MAX + 32);
	(void)supafs_buf_adds(&text, "l:");
	(void)supafs_buf_addstr(&text, name);
	(void)supafs_buf_addc(&text, after);
	(void)supafs_buf_adds(&text, "\no:asc");
	if (supafs_buf_error(&text))
		return supafs_buf_error(&text);
	return supafs_b64_encode(b, text.p, text.n);
}

/* --- Request ---------------------------------------------------------------------------------- */

static void build_request(struct supafs_sb_req *q, const struct page *p)
{
	unsigned limit = p->args->limit;

	if (p->mode == 'g' || limit == 0 || limit > FLAT_LIMIT)
		limit = FLAT_LIMIT;
	if (p->mode == 'd' && limit > SUPAFS_PAGE_LIMIT)
		limit = SUPAFS_PAGE_LIMIT;
	supafs_sb_req_bucket(q);
	supafs_sb_req_json_body(q);
	(void)supafs_buf_adds(&q->json, "{\"prefix\":");
	(void)supafs_json_quote(&q->json, p->args->prefix);
	(void)supafs_buf_addf(&q->json, ",\"limit\":%u,\"with_delimiter\":%s", limit,
		p->mode == 'd' ? "true" : "false");
	if (p->mode == 'n')
		(void)supafs_buf_adds(
			&q->json, ",\"sortBy\":{\"column\":\"updated_at\",\"order\":\"desc\"}");
	if (p->cursor.n > 0) {
		(void)supafs_buf_adds(&q->json, ",\"cursor\":");
		(void)supafs_json_quote(&q->json, p->cursor);
	}
	(void)supafs_buf_addc(&q->json, '}');
}

/* --- Reply → items ---------------------------------------------------------------------------- */

static size_t count_rows(const struct supafs_json *array)
{
	size_t n = 0;

	for (const struct supafs_json *it = supafs_json_first(array); it; it = supafs_json_next(it))
		n++;
	return n;
}

static int compare_items(const void *a, const void *b)
{
	return supafs_str_cmp(((const struct item *)a)->name, ((const struct item *)b)->name);
}

/* Names that no server may send: other prefix (API §4.2: '_' as a wildcard), too long, a folder
 * without its '/', more than one level below the prefix. They are dropped, not believed. */
static bool name_ok(const struct page *p, struct supafs_str name, bool folder)
{
	struct supafs_str rest;
	const char *slash;

	if (name.n == 0 || name.n > SUPAFS_KEY_MAX || !supafs_str_starts(name, p->args->prefix))
		return false;
	if (folder && (p->mode != 'd' || !ends_in_slash(name)))
		return false;
	if (p->mode != 'd')
		return true;
	rest = (struct supafs_str){name.p + p->args->prefix.n, name.n - p->args->prefix.n};
	slash = rest.n > 0 ? memchr(rest.p, '/', rest.n) : NULL;
	return !slash || (folder && slash == rest.p + rest.n - 1);
}

/* Keys "PREFIX//x" are shown in "PREFIX/" as the folder "PREFIX/" itself (API §4.4). In key order
 * that folder stands at "PREFIX//", and so it does here; it is not delivered. */
static bool folder_again(const struct page *p, struct supafs_str name)
{
	struct supafs_str prefix = p->args->prefix;

	if (prefix.n > 0 && !ends_in_slash(prefix))
		return false;
	return supafs_str_eq(name, prefix) || name.n == prefix.n + 1;
}

static struct supafs_str take_folder_again(struct page *p)
{
	size_t n = p->args->prefix.n;

	if (n > 0)
		memcpy(p->again, p->args->prefix.p, n);
	p->again[n] = '/';
	return (struct supafs_str){p->again, n + 1};
}

static void take_rows(struct page *p, const struct supafs_json *array, bool folder)
{
	for (const struct supafs_json *it = supafs_json_first(array); it;
		it = supafs_json_next(it)) {
		struct supafs_str name;
		if (!supafs_json_text(it, "name", &name) || !name_ok(p, name, folder))
			continue;
		if (folder && folder_again(p, name))
			name = take_folder_again(p);
		p->items[p->n++] = (struct item){name, folder ? NULL : it};
	}
}

static int take_reply(struct page *p, const struct supafs_json *j)
{
	const struct supafs_json *folders = supafs_json_get(j, "folders");
	const struct supafs_json *objects = supafs_json_get(j, "objects");

	if (!supafs_json_is_array(folders) || !supafs_json_is_array(objects) ||
		!supafs_json_bool(j, "hasNext", &p->more))
		return -EPROTO;
	p->next = SUPAFS_STR("");
	(void)supafs_json_text(j, "nextCursor", &p->next);
	p->n = 0;
	p->items = calloc(count_rows(folders) + count_rows(objects) + 1, sizeof(*p->items));
	if (!p->items)
		return -ENOMEM;
	take_rows(p, folders, true);
	take_rows(p, objects, false);
	if (p->mode == 'n')
		return 0;
	qsort(p->items, p->n, sizeof(*p->items), compare_items);
	return 0;
}

/* --- Items → entries -------------------------------------------------------------------------- */

/* In mode 'g': cuts a name behind the first '/' below the prefix, which makes it a folder. */
static void group_items(struct page *p)
{
	size_t skip = p->args->prefix.n;

	for (size_t i = 0; i < p->n; i++) {
		struct item *it = &p->items[i];
		const char *slash = it->name.n > skip
					    ? memchr(it->name.p + skip, '/', it->name.n - skip)
					    : NULL;
		if (!slash)
			continue;
		it->name.n = (size_t)(slash - it->name.p) + 1;
		it->row = NULL;
	}
}

static int deliver_item(struct page *p, const struct item *it)
{
	struct supafs_entry e = {.key = it->name, .folder = it->row == NULL};

	if (!it->row && folder_again(p, it->name))
		return 0;
	e.mime = e.cache_control = SUPAFS_STR("");
	if (it->row)
		supafs_sb_row_entry(it->row, &e);
	p->delivered++;
	return p->args->on_entry(p->args->ctx, &e);
}

static int deliver(struct page *p)
{
	struct supafs_str last = p->last;

	for (size_t i = 0; i < p->n; i++) {
		const struct item *it = &p->items[i];
		int r;
		if (last.n > 0 && p->mode != 'n' && supafs_str_cmp(it->name, last) <= 0)
			continue;
		last = it->name;
		r = deliver_item(p, it);
		if (r < 0)
			return r;
	}
	return 0;
}

/* --- The next page ---------------------------------------------------------------------------- */

/* Where page `p` ended, or an error when the server leads us in a circle. */
static int advance(const struct page *p, struct supafs_cursor *cursor)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf own;
	const struct item *end = p->n > 0 ? &p->items[p->n - 1] : NULL;
	struct supafs_str last = p->last;
	struct supafs_str text = p->next;
	int r = 0;

	supafs_buf_init(&own, SUPAFS_CURSOR_MAX);
	if (end && p->mode != 'n' && supafs_str_cmp(end->name, last) > 0)
		last = end->name;
	if (p->mode == 'd') {
		if (!end || supafs_str_eq(last, p->last))
			return -EPROTO;
		/* Behind an object: see above. Behind "//" the server's cursor leaves the prefix;
		 * \x7f sorts behind every legal name in there. */
		if (end->row || folder_again(p, end->name)) {
			r = own_cursor(end->name, end->row ? '\x01' : '\x7f', &own);
			text = supafs_buf_str(&own);
		}
	}
	if (r == 0 && (text.n == 0 || supafs_str_eq(text, p->cursor)))
		r = -EPROTO;
	return r < 0 ? r : cursor_store(cursor, p->mode, last, text);
}

/* In mode 'n': do the times fall? */
static bool falls(const struct page *p)
{
	int64_t before = INT64_MAX;

	for (size_t i = 0; i < p->n; i++) {
		int64_t at;
		if (!supafs_json_time(p->items[i].row, "updated_at", &at))
			continue;
		if (at > before)
			return false;
		before = at;
	}
	return true;
}

static int no_sort(struct supafs_sb *sb, struct supafs_fault *fault)
{
	sb->no_sort = true;
	return supafs_fault_set(fault, -EOPNOTSUPP, SUPAFS_FAULT_PERMANENT, "OldServer",
		"the server does not sort by time: it is older than 1.27.0");
}

static bool cursor_refused(const struct page *p, const struct supafs_fault *fault)
{
	return p->mode == 'd' && p->cursor.n > 0 && strcmp(fault->code, "InvalidParameter") == 0;
}

static int list_page(struct page *p, struct supafs_call *call, struct supafs_cursor *cursor,
	struct supafs_fault *fault)
{
	supafs_cleanup(supafs_json_freep) struct supafs_json *j = NULL;
	supafs_cleanup(supafs_sb_req_fini) struct supafs_sb_req q;
	struct supafs_cursor next = {0};
	int r;

	supafs_sb_req_init(&q, p->sb, SUPAFS_HTTP_POST, "/object/list-v2");
	build_request(&q, p);
	r = supafs_sb_req_json_reply(&q, call, SUPAFS_OP_LIST, &j, fault);
	if (r < 0) {
		if (!cursor_refused(p, fault))
			return r;
		p->sb->flat_only = true;
		p->more = true;
		supafs_fault_clear(fault);
		return cursor_store(cursor, 'g', p->last, SUPAFS_STR(""));
	}
	r = take_reply(p, j);
	if (r == 0 && p->mode == 'n' && !falls(p))
		return no_sort(p->sb, fault);
	/* Where the next page begins is settled first: a page is delivered whole or not at all. */
	if (r == 0 && p->mode == 'g')
		group_items(p);
	if (r == 0 && p->more)
		r = advance(p, &next);
	if (r == -ENOMEM)
		return supafs_fault_set(fault, r, SUPAFS_FAULT_PERMANENT, "Local", "out of memory");
	if (r < 0)
		return supafs_errors_bad_reply(&q.reply, fault);
	r = deliver(p);
	if (r < 0)
		return supafs_fault_set(fault, r, SUPAFS_FAULT_PERMANENT, "Local",
			"the reader of the listing gave up");
	*cursor = next;
	return 0;
}

static int check_list_args(const struct supafs_list_args *args, struct supafs_fault *fault)
{
	struct supafs_str prefix = args->prefix;

	if (args->newest_first && args->delimiter)
		return supafs_fault_set(fault, -EINVAL, SUPAFS_FAULT_PERMANENT, "Local",
			"newest first has no folders");
	if (prefix.n == 0 || (prefix.n <= SUPAFS_KEY_MAX && !memchr(prefix.p, '\0', prefix.n)))
		return 0;
	return supafs_fault_set(fault, -EINVAL, SUPAFS_FAULT_PERMANENT, "Local",
		"the prefix is too long or has a NUL byte");
}

int supafs_sb_list(struct supafs_store *s, struct supafs_call *call,
	const struct supafs_list_args *args, struct supafs_cursor *cursor, bool *ret_more,
	struct supafs_fault *fault)
{
	struct supafs_cursor at = *cursor;
	struct page p;
	int r;

	supafs_fault_clear(fault);
	r = check_list_args(args, fault);
	if (r < 0)
		return r;
	if (args->newest_first && supafs_sb_of(s)->no_sort)
		return no_sort(supafs_sb_of(s), fault);
	/* A page of which nothing is shown (the inside of a folder in mode 'g', an odd key) is no
	 * answer: go on, at most until the call's deadline. */
	do {
		struct supafs_cursor from = at;
		p = (struct page){.sb = supafs_sb_of(s), .args = args};
		r = cursor_load(&from, &p);
		if (r < 0)
			return supafs_fault_set(fault, r, SUPAFS_FAULT_PERMANENT, "Local",
				"not a cursor of this store");
		r = list_page(&p, call, &at, fault);
		free(p.items);
		if (r < 0)
			return r;
	} while (p.more && p.delivered == 0);
	*cursor = at;
	*ret_more = p.more;
	return 0;
}
