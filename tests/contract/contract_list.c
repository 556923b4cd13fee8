/* SPDX-License-Identifier: Apache-2.0 */
/* Contract: listings, each entry exactly once in byte order, at every page size. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/name.h"

#include "contract.h"

/* Names that differ only around '/' in byte order (API §4.3), cases, blanks. */
static const char *const nasty[] = {"zoo", "zoo-a", "zoo.txt", "zoo (1)", "zoo!", "zoo$", "zoo&",
	"zoo'", "zoo*", "zoo+", "zoo,", "zoo/x", "zoo/x/y", "zoo/x-y", "zoo0", "zooZ", "ZOO",
	"Zoo/a", "a", "a/b", "a/b/c", "a b", "a-b", "a.b", "a0", "a=b", "a_b", "ab", "A", "B/x",
	"b", "b!", "b/", ".hidden", ".emptyFolderPlaceholder", "d/.emptyFolderPlaceholder",
	"e/e/e/e/e", "e/e/e/e", "e/e.e", "x_y", "x'y", "xAy", "=41", "?", ";", ":", "@", "100",
	"10", "1", " lead", "trail ", "..a", "...", "a..", "z"};

static int compare_texts(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* What a listing must be, made from the names alone. */
static size_t expect(char **keys, size_t n, const char *prefix, bool delimiter, char **ret_keys)
{
	size_t prefix_n = strlen(prefix);
	size_t out = 0;

	for (size_t i = 0; i < n; i++) {
		const char *slash =
			strlen(keys[i]) > prefix_n ? strchr(keys[i] + prefix_n, '/') : NULL;
		char text[1024];
		if (strncmp(keys[i], prefix, prefix_n) != 0)
			continue;
		if (delimiter && slash)
			(void)snprintf(
				text, sizeof(text), "%.*s", (int)(slash - keys[i] + 1), keys[i]);
		else
			(void)snprintf(text, sizeof(text), "%s", keys[i]);
		if (out > 0 && strcmp(ret_keys[out - 1], text) == 0)
			continue;
		ret_keys[out] = strdup(text);
		assert_non_null(ret_keys[out++]);
	}
	return out;
}

static void assert_listing(
	struct run *r, char **keys, size_t n, const char *prefix, bool delimiter, unsigned limit)
{
	char **want = calloc(n + 1, sizeof(*want));
	struct listing l;
	size_t out;

	assert_non_null(want);
	out = expect(keys, n, prefix, delimiter, want);
	list_all(r, prefix, delimiter, limit, &l);
	for (size_t i = 0; i < out && i < l.n; i++) {
		if (strcmp(l.keys[i], want[i]) != 0)
			print_error("prefix '%s' limit %u: entry %zu\n", prefix, limit, i);
		assert_string_equal(l.keys[i], want[i]);
	}
	assert_int_equal(l.n, out);
	assert_true(l.pages <= out / limit + 1);
	for (size_t i = 0; i < out; i++)
		free(want[i]);
	free(want);
	listing_free(&l);
}

void test_list_nasty(void **state)
{
	static const unsigned limits[] = {1, 2, 3, 7, 998, 999};
	static const char *const prefixes[] = {"nasty/", "nasty/zoo", "nasty/zoo/", "nasty/e/",
		"nasty/a", "nasty/x_", "nasty/none", "nasty"};
	char *keys[SUPAFS_ARRAY_LEN(nasty)];
	size_t n = 0;
	struct run r;

	run_begin(&r, state);
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(nasty); i++) {
		char text[200];
		(void)snprintf(text, sizeof(text), "nasty/%s", nasty[i]);
		put_attrs(&r, supafs_str_of(text),
			(struct content){"x", strstr(text, SUPAFS_PLACEHOLDER) ? 0 : 1}, NULL);
		keys[n] = strdup(text);
		assert_non_null(keys[n++]);
	}
	qsort(keys, n, sizeof(char *), compare_texts);
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(limits); i++) {
		for (size_t k = 0; k < SUPAFS_ARRAY_LEN(prefixes); k++) {
			assert_listing(&r, keys, n, prefixes[k], true, limits[i]);
			assert_listing(&r, keys, n, prefixes[k], false, limits[i]);
		}
	}
	for (size_t i = 0; i < n; i++)
		free(keys[i]);
	run_end(&r);
}

enum {
	MANY = 2500,
};

void test_list_2500(void **state)
{
	static const unsigned limits[] = {998, 999};
	char **keys = calloc(MANY, sizeof(*keys));
	struct run r;

	assert_non_null(keys);
	run_begin(&r, state);
	for (size_t i = 0; i < MANY; i++) {
		/* Pages of 998 and 999 end at files whose names go on below '/'. */
		static const char *const tails[] = {"", "-1", ".txt", "/in"};
		char text[64];
		(void)snprintf(text, sizeof(text), "many2500/f%05zu%s", i / 4, tails[i % 4]);
		put_attrs(&r, supafs_str_of(text), (struct content){"", 0}, NULL);
		keys[i] = strdup(text);
		assert_non_null(keys[i]);
	}
	qsort(keys, MANY, sizeof(char *), compare_texts);
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(limits); i++)
		assert_listing(&r, keys, MANY, "many2500/", true, limits[i]);
	assert_listing(&r, keys, MANY, "many2500/", false, 1000);
	assert_listing(&r, keys, MANY, "many2500/f0001", true, 999);
	for (size_t i = 0; i < MANY; i += SUPAFS_DELETE_BATCH) {
		struct supafs_str batch[SUPAFS_DELETE_BATCH];
		bool gone[SUPAFS_DELETE_BATCH];
		for (size_t k = 0; k < SUPAFS_DELETE_BATCH; k++)
			batch[k] = supafs_str_of(keys[i + k]);
		assert_int_equal(r.s->ops->remove_many(
					 r.s, &r.call, batch, SUPAFS_DELETE_BATCH, gone, &r.fault),
			0);
		for (size_t k = 0; k < SUPAFS_DELETE_BATCH; k++)
			assert_true(gone[k]);
	}
	assert_listing(&r, keys, 0, "many2500/", false, 1000);
	for (size_t i = 0; i < MANY; i++)
		free(keys[i]);
	free(keys);
	run_end(&r);
}

/* Keys that we never make but may find: empty segments, markers (API §4.4). They can be made only
 * through a JSON body, and a single delete of them goes that way too. */
void test_list_odd_keys(void **state)
{
	static const char *const odd[] = {"odd//dbl", "odd/trail/", "odd//", "odd/sub//x"};
	static const char *const shown[] = {"odd/-before", "odd/dbl", "odd/sub/", "odd/trail/"};
	struct listing l;
	struct run r;

	run_begin(&r, state);
	put_text(&r, "odd/dbl", "plain");
	put_text(&r, "odd/sub/x", "plain");
	put_text(&r, "odd/-before", "x"); /* sorts before "odd//" */
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(odd); i++) {
		const struct supafs_copy_args a = {
			.from = KEY("odd/dbl"), .to = supafs_str_of(odd[i]), .replace = true};
		assert_int_equal(r.s->ops->copy(r.s, &r.call, &a, NULL, &r.fault), 0);
	}
	for (unsigned limit = 1; limit < 5; limit++) {
		list_all(&r, "odd/", true, limit, &l);
		assert_int_equal(l.n, SUPAFS_ARRAY_LEN(shown));
		for (size_t i = 0; i < l.n; i++)
			assert_string_equal(l.keys[i], shown[i]);
		assert_true(l.folders[3]);
		listing_free(&l);
		list_all(&r, "odd/trail/", true, limit, &l);
		assert_int_equal(l.n, 1);
		assert_false(l.folders[0]);
		listing_free(&l);
		list_all(&r, "odd/", false, limit, &l);
		assert_int_equal(l.n, 7);
		listing_free(&l);
	}
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(odd); i++)
		assert_int_equal(
			r.s->ops->remove(r.s, &r.call, supafs_str_of(odd[i]), &r.fault), 0);
	assert_int_equal(r.s->ops->remove(r.s, &r.call, KEY("odd//dbl"), &r.fault), -ENOENT);
	assert_content(&r, "odd/dbl", (struct content){"plain", 5});
	assert_content(&r, "odd/sub/x", (struct content){"plain", 5});
	run_end(&r);
}

static int third_fails(void *ctx, const struct supafs_entry *e)
{
	unsigned *count = ctx;

	(void)e;
	return ++*count == 3 ? -E2BIG : 0;
}

void test_list_reader_gives_up(void **state)
{
	unsigned count = 0;
	const struct supafs_list_args a = {
		.prefix = KEY("nasty/"), .limit = 100, .on_entry = third_fails, .ctx = &count};
	struct supafs_cursor cursor = {0};
	bool more = false;
	struct run r;

	run_begin(&r, state);
	put_text(&r, "nasty/1", "x");
	put_text(&r, "nasty/10", "x");
	put_text(&r, "nasty/100", "x");
	assert_int_equal(r.s->ops->list(r.s, &r.call, &a, &cursor, &more, &r.fault), -E2BIG);
	assert_int_equal(count, 3);
	assert_int_equal(cursor.n, 0);
	run_end(&r);
}

void test_list_missing_prefix(void **state)
{
	struct listing l;
	struct run r;

	run_begin(&r, state);
	list_all(&r, "no/such/folder/", true, 999, &l);
	assert_int_equal(l.n, 0);
	assert_int_equal(l.pages, 1);
	listing_free(&l);
	run_end(&r);
}

/* Each byte that the server takes, in a name of its own, through every operation. */
void test_every_character(void **state)
{
	struct run r;

	run_begin(&r, state);
	for (int c = 1; c < 256; c++) {
		char key[] = "chars/a?b";
		char moved[] = "chars/m?";
		struct listing l;
		key[7] = (char)c;
		moved[7] = (char)c;
		if (c == '/' || !supafs_name_plain(supafs_str_of(key)))
			continue;
		put_text(&r, key, "content");
		assert_content(&r, key, (struct content){"content", 7});
		list_all(&r, key, true, 10, &l);
		assert_int_equal(l.n, 1);
		assert_string_equal(l.keys[0], key);
		listing_free(&l);
		assert_int_equal(r.s->ops->move(r.s, &r.call, supafs_str_of(key),
					 supafs_str_of(moved), &r.fault),
			0);
		assert_content(&r, moved, (struct content){"content", 7});
		assert_int_equal(r.s->ops->remove(r.s, &r.call, supafs_str_of(moved), &r.fault), 0);
		assert_false(exists(&r, moved));
	}
	run_end(&r);
}

/* Each key is met once, times fall from page to page. */
struct newest {
	const char *const *keys;
	unsigned seen[8];
	size_t n;
	int64_t last_ns;
};

static int newest_entry(void *ctx, const struct supafs_entry *e)
{
	struct newest *w = ctx;

	assert_false(e->folder);
	assert_true(e->version.updated_ns <= w->last_ns);
	w->last_ns = e->version.updated_ns;
	for (size_t i = 0; i < w->n; i++)
		w->seen[i] += supafs_str_eq(e->key, supafs_str_of(w->keys[i]));
	return 0;
}

void test_newest_first(void **state)
{
	static const char *const keys[] = {"newest/b", "newest/a/x", "newest/c", "newest/a"};
	struct newest w = {.keys = keys, .n = SUPAFS_ARRAY_LEN(keys), .last_ns = INT64_MAX};
	const struct supafs_list_args args = {
		.prefix = KEY("newest/"),
		.limit = 3,
		.on_entry = newest_entry,
		.ctx = &w,
		.newest_first = true,
	};
	struct supafs_cursor cursor = {0};
	bool more = true;
	struct run r;

	run_begin(&r, state);
	for (size_t i = 0; i < w.n; i++)
		put_text(&r, keys[i], "old");
	put_text(&r, "newest-not", "old");
	put_text(&r, "newest/c", "new"); /* now the newest */
	while (more) {
		assert_int_equal(r.s->ops->list(r.s, &r.call, &args, &cursor, &more, &r.fault), 0);
		if (w.last_ns == INT64_MAX)
			fail_msg("an empty page");
	}
	for (size_t i = 0; i < w.n; i++)
		assert_int_equal(w.seen[i], 1);
	assert_int_equal(info_of(&r, "newest/b").version.updated_ns, w.last_ns);
	run_end(&r);
}
