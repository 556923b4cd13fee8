/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listing of the memory store. A cursor is one byte ('o' object, 'f' folder) and the last key
 * given; behind a folder everything that begins with it is skipped. Newest first it is 'n', the
 * last one's time and its key.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "mem_priv.h"

#define FLAT_LIMIT 1000

/* One entry of a page: what it needs to be shown without the lock. */
struct shown {
	struct supafs_mem_object *object; /* holds the key; a reference */
	size_t key_n;                     /* shorter than the object's for a folder */
	bool folder;
};

struct mem_page {
	struct shown items[FLAT_LIMIT];
	size_t n;
	bool more;
};

/* Length of the folder that hides `key` behind the prefix, 0 if none does. */
static size_t folder_of(struct supafs_str key, const struct supafs_list_args *args)
{
	const char *slash;

	if (!args->delimiter || key.n <= args->prefix.n)
		return 0;
	slash = memchr(key.p + args->prefix.n, '/', key.n - args->prefix.n);
	return slash ? (size_t)(slash - key.p) + 1 : 0;
}

/* As the supabase backend: "w//x" is not shown in "w/", where it would be "w/" again. */
static bool hidden(size_t folder_n, const struct supafs_list_args *args)
{
	size_t n = args->prefix.n;

	return folder_n == n + 1 && (n == 0 || args->prefix.p[n - 1] == '/');
}

static size_t skip_folder_locked(const struct supafs_mem *m, size_t i, struct supafs_str folder)
	SUPAFS_REQUIRES(m->lock);
static size_t skip_folder_locked(const struct supafs_mem *m, size_t i, struct supafs_str folder)
{
	while (i < m->n && supafs_str_starts(supafs_mem_key(m->objects[i]), folder))
		i++;
	return i;
}

static size_t start_locked(const struct supafs_mem *m, const struct supafs_list_args *args,
	const struct supafs_cursor *c) SUPAFS_REQUIRES(m->lock);
static size_t start_locked(const struct supafs_mem *m, const struct supafs_list_args *args,
	const struct supafs_cursor *c)
{
	struct supafs_str last = {c->p + 1, c->n - 1};
	size_t i;

	if (c->n == 0)
		return supafs_mem_lower_locked(m, args->prefix);
	i = supafs_mem_lower_locked(m, last);
	if (c->p[0] == 'f')
		return skip_folder_locked(m, i, last);
	if (i < m->n && supafs_str_eq(supafs_mem_key(m->objects[i]), last))
		i++;
	return i;
}

static void collect_locked(const struct supafs_mem *m, const struct supafs_list_args *args,
	const struct supafs_cursor *c, struct mem_page *p) SUPAFS_REQUIRES(m->lock);
static void collect_locked(const struct supafs_mem *m, const struct supafs_list_args *args,
	const struct supafs_cursor *c, struct mem_page *p)
{
	size_t limit = args->delimiter ? SUPAFS_PAGE_LIMIT : FLAT_LIMIT;
	size_t i = start_locked(m, args, c);

	if (args->limit > 0 && args->limit < limit)
		limit = args->limit;
	while (i < m->n) {
		struct supafs_mem_object *o = m->objects[i];
		struct supafs_str key = supafs_mem_key(o);
		size_t folder_n = folder_of(key, args);
		if (!supafs_str_starts(key, args->prefix))
			break;
		if (!hidden(folder_n, args) || folder_n == 0) {
			if (p->n == limit) {
				p->more = true;
				break;
			}
			p->items[p->n++] = (struct shown){
				supafs_mem_ref(o), folder_n ? folder_n : key.n, folder_n > 0};
		}
		i = folder_n ? skip_folder_locked(m, i, (struct supafs_str){key.p, folder_n})
			     : i + 1;
	}
}

/* --- Newest first ----------------------------------------------------------------------------- */

enum {
	TIME_N = sizeof(int64_t),
};

/* > 0 when (time, key) `a` comes behind `b`: older, or of the same time and a smaller key. */
static int compare_age(int64_t a_ns, struct supafs_str a, int64_t b_ns, struct supafs_str b)
{
	if (a_ns != b_ns)
		return a_ns < b_ns ? 1 : -1;
	return supafs_str_cmp(b, a);
}

static int compare_objects(const void *a, const void *b)
{
	const struct supafs_mem_object *x = *(const struct supafs_mem_object *const *)a;
	const struct supafs_mem_object *y = *(const struct supafs_mem_object *const *)b;

	return compare_age(
		x->version.updated_ns, supafs_mem_key(x), y->version.updated_ns, supafs_mem_key(y));
}

static bool behind_cursor(const struct supafs_mem_object *o, const struct supafs_cursor *c)
{
	int64_t last_ns;

	if (c->n == 0)
		return true;
	memcpy(&last_ns, c->p + 1, TIME_N);
	return compare_age(o->version.updated_ns, supafs_mem_key(o), last_ns,
		       (struct supafs_str){c->p + 1 + TIME_N, c->n - 1 - TIME_N}) > 0;
}

static int collect_newest_locked(const struct supafs_mem *m, const struct supafs_list_args *args,
	const struct supafs_cursor *c, struct mem_page *p) SUPAFS_REQUIRES(m->lock);
static int collect_newest_locked(const struct supafs_mem *m, const struct supafs_list_args *args,
	const struct supafs_cursor *c, struct mem_page *p)
{
	const size_t limit = args->limit > 0 && args->limit < FLAT_LIMIT ? args->limit : FLAT_LIMIT;
	struct supafs_mem_object **all = calloc(m->n + 1, sizeof(struct supafs_mem_object *));
	size_t n = 0;

	if (!all)
		return -ENOMEM;
	for (size_t i = 0; i < m->n; i++) {
		struct supafs_mem_object *o = m->objects[i];
		if (supafs_str_starts(supafs_mem_key(o), args->prefix) && behind_cursor(o, c))
			all[n++] = o;
	}
	qsort(all, n, sizeof(struct supafs_mem_object *), compare_objects);
	p->more = n > limit;
	for (; p->n < n && p->n < limit; p->n++)
		p->items[p->n] = (struct shown){supafs_mem_ref(all[p->n]), all[p->n]->key_n, false};
	free(all);
	return 0;
}

static void set_newest_cursor(const struct shown *last, struct supafs_cursor *c)
{
	*c = (struct supafs_cursor){.n = 1 + TIME_N + last->key_n};
	c->p[0] = 'n';
	memcpy(c->p + 1, &last->object->version.updated_ns, TIME_N);
	memcpy(c->p + 1 + TIME_N, last->object->key, last->key_n);
}

/* --- A page ----------------------------------------------------------------------------------- */

static int show(const struct supafs_list_args *args, const struct shown *it)
{
	const struct supafs_mem_object *o = it->object;
	struct supafs_entry e = {
		.key = {o->key, it->key_n},
		.folder = it->folder,
		.mime = SUPAFS_STR(""),
		.cache_control = SUPAFS_STR(""),
	};

	if (!it->folder) {
		e.version = o->version;
		e.modified_ns = o->modified_ns;
		e.created_ns = o->created_ns;
		e.mime = supafs_str_of(o->mime);
		e.cache_control = supafs_str_of(o->cache_control);
		supafs_meta_parse_directives(e.cache_control, &e.meta, NULL);
	}
	return args->on_entry(args->ctx, &e);
}

static void set_cursor(
	const struct mem_page *p, const struct supafs_list_args *args, struct supafs_cursor *c)
{
	const struct shown *last = &p->items[p->n - 1];

	if (args->newest_first) {
		set_newest_cursor(last, c);
		return;
	}
	*c = (struct supafs_cursor){.n = last->key_n + 1};
	c->p[0] = last->folder ? 'f' : 'o';
	memcpy(c->p + 1, last->object->key, last->key_n);
}

static bool args_ok(const struct supafs_list_args *args, const struct supafs_cursor *c)
{
	const size_t head = args->newest_first ? 1 + TIME_N : 1;

	if (args->newest_first && args->delimiter)
		return false;
	return args->prefix.n <= SUPAFS_KEY_MAX &&
	       (c->n == 0 || ((c->p[0] == 'n') == args->newest_first && c->n > head &&
				     c->n <= SUPAFS_KEY_MAX + head));
}

int supafs_mem_list(struct supafs_store *s, struct supafs_call *call,
	const struct supafs_list_args *args, struct supafs_cursor *cursor, bool *ret_more,
	struct supafs_fault *fault)
{
	struct supafs_mem *m = supafs_mem_of(s);
	struct mem_page *p;
	int r = supafs_call_check(call);

	supafs_fault_clear(fault);
	if (r < 0)
		return supafs_fault_set(fault, r, SUPAFS_FAULT_PERMANENT, "Cancelled", NULL);
	if (!args_ok(args, cursor))
		return supafs_fault_set(
			fault, -EINVAL, SUPAFS_FAULT_PERMANENT, "Local", "bad prefix or cursor");
	p = calloc(1, sizeof(*p));
	if (!p)
		return supafs_fault_set(fault, -ENOMEM, SUPAFS_FAULT_PERMANENT, "Local", NULL);
	{
		SUPAFS_SCOPED_LOCK(&m->lock);
		if (args->newest_first)
			r = collect_newest_locked(m, args, cursor, p);
		else
			collect_locked(m, args, cursor, p);
	}
	for (size_t i = 0; i < p->n && r == 0; i++)
		r = show(args, &p->items[i]);
	if (r < 0)
		(void)supafs_fault_set(fault, r, SUPAFS_FAULT_PERMANENT, "Local",
			"the reader of the listing gave up");
	else
		*ret_more = p->more;
	if (r == 0 && p->more)
		set_cursor(p, args, cursor);
	for (size_t i = 0; i < p->n; i++)
		(void)supafs_mem_unref(p->items[i].object);
	free(p);
	return r;
}
