/* SPDX-License-Identifier: Apache-2.0 */
/* The scripted store: see scripted_store.h. A cursor is 'o' or 'f' and the last key given. */
#include "scripted_store.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "supafs/util/call.h"

static size_t lower(const struct scripted *s, const char *key)
{
	size_t lo = 0, hi = s->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (strcmp(s->keys[mid], key) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static bool has(const struct scripted *s, size_t i, const char *key)
{
	return i < s->n && strcmp(s->keys[i], key) == 0;
}

void scripted_add(struct scripted *s, const char *key, uint64_t size)
{
	SUPAFS_SCOPED_LOCK(&s->lock);
	size_t i = lower(s, key);

	if (!has(s, i, key)) {
		if (s->n == s->cap) {
			s->cap = s->cap * 2 + 64;
			s->keys = (char **)realloc((void *)s->keys, s->cap * sizeof(*s->keys));
			s->sizes = realloc(s->sizes, s->cap * sizeof(*s->sizes));
			assert(s->keys && s->sizes);
		}
		memmove((void *)(s->keys + i + 1), (void *)(s->keys + i),
			(s->n - i) * sizeof(*s->keys));
		memmove(s->sizes + i + 1, s->sizes + i, (s->n - i) * sizeof(*s->sizes));
		s->keys[i] = strdup(key);
		s->n++;
	}
	s->sizes[i] = size;
}

void scripted_remove(struct scripted *s, const char *key)
{
	SUPAFS_SCOPED_LOCK(&s->lock);
	size_t i = lower(s, key);

	if (!has(s, i, key))
		return;
	free(s->keys[i]);
	s->n--;
	memmove((void *)(s->keys + i), (void *)(s->keys + i + 1), (s->n - i) * sizeof(*s->keys));
	memmove(s->sizes + i, s->sizes + i + 1, (s->n - i) * sizeof(*s->sizes));
}

uint64_t scripted_size(struct scripted *s, const char *key)
{
	SUPAFS_SCOPED_LOCK(&s->lock);
	size_t i = lower(s, key);

	return has(s, i, key) ? s->sizes[i] : UINT64_MAX;
}

unsigned scripted_lists(struct scripted *s)
{
	SUPAFS_SCOPED_LOCK(&s->lock);
	return s->lists;
}

struct item {
	char *key;
	bool folder;
	uint64_t size;
};

struct items {
	struct item it[SUPAFS_PAGE_LIMIT];
	size_t n;
	bool more;
};

static void take_item(struct items *p, const char *key, size_t n, bool folder, uint64_t size)
{
	p->it[p->n++] = (struct item){strndup(key, n), folder, size};
}

static void read_set_locked(struct scripted *s, const struct supafs_list_args *a,
	const struct supafs_cursor *cursor, struct items *p)
{
	char from[1024];
	size_t limit = s->max > 0 && s->max < a->limit ? s->max : a->limit, i;

	(void)snprintf(from, sizeof(from), "%.*s", SUPAFS_STR_FMT(a->prefix));
	if (cursor->n > 0)
		(void)snprintf(from, sizeof(from), "%.*s", (int)cursor->n - 1, cursor->p + 1);
	i = lower(s, from);
	while (cursor->n > 0 && i < s->n &&
		(cursor->p[0] == 'f'
				? supafs_str_starts(supafs_str_of(s->keys[i]), supafs_str_of(from))
				: strcmp(s->keys[i], from) == 0))
		i++;
	while (i < s->n && supafs_str_starts(supafs_str_of(s->keys[i]), a->prefix)) {
		const char *key = s->keys[i];
		const char *slash = a->delimiter ? strchr(key + a->prefix.n, '/') : NULL;
		size_t n = slash ? (size_t)(slash - key) + 1 : strlen(key);

		if (p->n == limit) {
			p->more = true;
			return;
		}
		take_item(p, key, n, slash != NULL, s->sizes[i]);
		do
			i++;
		while (slash && i < s->n && strncmp(s->keys[i], p->it[p->n - 1].key, n) == 0);
	}
}

static int give(const struct supafs_list_args *a, const struct item *it)
{
	struct supafs_entry e = {.key = supafs_str_of(it->key), .folder = it->folder};

	if (!it->folder) {
		e.version.size = it->size;
		e.version.updated_ns = 1700000000000000000 + (int64_t)it->size;
		e.modified_ns = e.version.updated_ns - 5000000;
		(void)snprintf(e.version.etag, sizeof(e.version.etag), "\"%032llx\"",
			(unsigned long long)it->size);
		e.version.id[0] = 7;
	}
	return a->on_entry(a->ctx, &e);
}

static int give_set(
	const struct supafs_list_args *a, struct supafs_cursor *cursor, struct items *p, bool *more)
{
	int r = 0;

	if (p->n > 0) {
		const struct item *last = &p->it[p->n - 1];

		cursor->n = strlen(last->key) + 1;
		cursor->p[0] = last->folder ? 'f' : 'o';
		memcpy(cursor->p + 1, last->key, cursor->n - 1);
	}
	for (size_t i = 0; i < p->n; i++) {
		if (r == 0)
			r = give(a, &p->it[i]);
		free(p->it[i].key);
	}
	*more = p->more;
	return r;
}

static int give_script(struct scripted *s, const struct supafs_list_args *a, bool *more)
{
	const struct scripted_page *page = &s->script[s->script_at];
	int r = 0;

	if (s->script_at + 1 < s->script_n)
		s->script_at++;
	for (size_t i = 0; i < page->n && r == 0; i++)
		r = a->on_entry(a->ctx, &page->entries[i]);
	*more = page->more;
	return r;
}

static int begin(struct scripted *s, const struct supafs_list_args *a)
{
	SUPAFS_SCOPED_LOCK(&s->lock);
	int r = s->error;

	s->error = 0;
	s->lists++;
	if (a->limit > s->widest)
		s->widest = a->limit;
	(void)snprintf(s->prefix, sizeof(s->prefix), "%.*s", SUPAFS_STR_FMT(a->prefix));
	return r;
}

static int list(struct supafs_store *base, struct supafs_call *call,
	const struct supafs_list_args *args, struct supafs_cursor *cursor, bool *ret_more,
	struct supafs_fault *fault)
{
	struct scripted *s = (struct scripted *)(void *)base;
	struct items *p = calloc(1, sizeof(*p));
	int r = begin(s, args);

	assert(p && args->limit >= 1 && args->limit <= SUPAFS_PAGE_LIMIT);
	supafs_fault_clear(fault);
	if (s->hook)
		s->hook(s, SCRIPTED_BEFORE, s->ctx);
	if (r == 0)
		r = supafs_call_check(call);
	if (r < 0) {
		(void)snprintf(fault->text, sizeof(fault->text), "scripted");
		free(p);
		return r;
	}
	{
		SUPAFS_SCOPED_LOCK(&s->lock);
		if (!s->script)
			read_set_locked(s, args, cursor, p);
	}
	if (s->hook)
		s->hook(s, SCRIPTED_AFTER, s->ctx);
	r = s->script ? give_script(s, args, ret_more) : give_set(args, cursor, p, ret_more);
	free(p);
	return r;
}

static const struct supafs_store_ops scripted_ops = {.name = "scripted", .list = list};

void scripted_init(struct scripted *s)
{
	memset(s, 0, sizeof(*s));
	s->base.ops = &scripted_ops;
	supafs_mutex_init(&s->lock);
}

void scripted_fini(struct scripted *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->keys[i]);
	free((void *)s->keys);
	free(s->sizes);
	supafs_mutex_fini(&s->lock);
}
