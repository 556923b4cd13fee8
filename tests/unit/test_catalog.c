/* SPDX-License-Identifier: Apache-2.0 */
/* The catalog's answers: names, odd keys (docs/names.md), requests, expiry, root prefix. */
#include "catalog_fixture.h"

#define MEMORY (64U << 20)

static int setup(void **state)
{
	struct fix *x = malloc(sizeof(*x));

	fix_init(x, TTL_MS, MEMORY, "");
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	fix_fini(*state);
	free(*state);
	return 0;
}

static void assert_file(struct fix *x, const char *prefix, const char *name, uint64_t size)
{
	assert_int_equal(fix_lookup(x, prefix, name), 0);
	assert_false(x->ent.attr.folder);
	assert_string_equal(x->ent.name, name);
	assert_int_equal(x->ent.attr.version.size, size);
}

static void assert_folder(struct fix *x, const char *prefix, const char *name, const char *seg)
{
	assert_int_equal(fix_lookup(x, prefix, name), 0);
	assert_true(x->ent.attr.folder);
	assert_string_equal(x->ent.name, name);
	assert_string_equal(x->ent.seg, seg);
}

/* --- Exact prefix ------------------------------------------------------------------------------
 */

static void file_folder_absent(void **state)
{
	struct fix *x = *state;

	scripted_add(&x->store, "d/zoo", 5);
	scripted_add(&x->store, "d/park/x", 1);
	assert_file(x, "d/", "zoo", 5);
	assert_int_equal(x->ent.attr.modified_ns, x->ent.attr.version.updated_ns - 5000000);
	assert_string_equal(x->ent.attr.version.etag, "\"00000000000000000000000000000005\"");
	assert_folder(x, "d/", "park", "park");
	assert_int_equal(fix_lookup(x, "e/", "zo"), -ENOENT);
	assert_int_equal(fix_lookup(x, "e/", "none"), -ENOENT);
	assert_int_equal(scripted_lists(&x->store), 4);
	assert_true(x->store.widest <= 50);
}

/* Name after name of one folder: the third look-up lists it, the others cost nothing. */
static void many_names_list_the_folder(void **state)
{
	struct fix *x = *state;
	char name[32];

	for (int i = 0; i < 300; i++) {
		(void)snprintf(name, sizeof(name), "d/f%03d", i);
		scripted_add(&x->store, name, 5);
	}
	for (int i = 0; i < 300; i++) {
		(void)snprintf(name, sizeof(name), "f%03d", i);
		assert_file(x, "d/", name, 5);
		(void)snprintf(name, sizeof(name), "g%03d", i);
		assert_int_equal(fix_lookup(x, "d/", name), -ENOENT);
	}
	assert_int_equal(scripted_lists(&x->store), 3);
}

/* A folder that is larger than the look-ups justify is not listed to its end for their sake. */
static void a_few_names_of_many(void **state)
{
	struct fix *x = *state;
	char name[32];

	for (int i = 0; i < 3500; i++) {
		(void)snprintf(name, sizeof(name), "d/f%04d", i);
		scripted_add(&x->store, name, 5);
	}
	for (int i = 0; i < 10; i++) {
		(void)snprintf(name, sizeof(name), "f%04d", 3400 - i * 7);
		assert_file(x, "d/", name, 5);
	}
	assert_true(scripted_lists(&x->store) <= 12);
}

static void zoo_without_folder(void **state)
{
	struct fix *x = *state;

	scripted_add(&x->store, "d/zoo-a", 1);
	scripted_add(&x->store, "d/zoo.txt", 2);
	assert_int_equal(fix_lookup(x, "d/", "zoo"), -ENOENT);
	assert_int_equal(scripted_lists(&x->store), 1);
	/* the neighbours came along */
	assert_file(x, "d/", "zoo-a", 1);
	assert_file(x, "d/", "zoo.txt", 2);
	assert_int_equal(scripted_lists(&x->store), 1);
}

static void zoo_folder_behind_the_page(void **state)
{
	struct fix *x = *state;
	char key[32];

	for (unsigned i = 0; i < 120; i++) {
		(void)snprintf(key, sizeof(key), "d/zoo-%03u", i);
		scripted_add(&x->store, key, i);
	}
	assert_int_equal(fix_lookup(x, "d/", "zoo"), -ENOENT);
	assert_int_equal(scripted_lists(&x->store), 2);
	assert_string_equal(x->store.prefix, "d/zoo/");
	fix_advance_ms(x, TTL_MS);
	scripted_add(&x->store, "d/zoo/x", 1);
	assert_folder(x, "d/", "zoo", "zoo");
	assert_int_equal(scripted_lists(&x->store), 4);
	assert_file(x, "d/", "zoo-007", 7);
	assert_int_equal(scripted_lists(&x->store), 4);
	fix_advance_ms(x, TTL_MS);
	scripted_add(&x->store, "d/zoo", 9); /* the exact key sorts first */
	assert_file(x, "d/", "zoo", 9);
	assert_int_equal(scripted_lists(&x->store), 5);
}

static void zoo_folder_sorts_before_zoo0(void **state)
{
	struct fix *x = *state;
	char key[32];

	for (unsigned i = 0; i < 120; i++) {
		(void)snprintf(key, sizeof(key), "d/zoo0%03u", i);
		scripted_add(&x->store, key, i);
	}
	/* more pages follow, but this one went past "zoo/" already */
	assert_int_equal(fix_lookup(x, "d/", "zoo"), -ENOENT);
	assert_int_equal(scripted_lists(&x->store), 1);
}

static void names_that_cannot_be(void **state)
{
	struct fix *x = *state;
	char name[300];

	memset(name, 'n', sizeof(name));
	name[256] = 0;
	assert_int_equal(fix_lookup(x, "", name), -ENAMETOOLONG);
	memset(name, '#', 255);
	name[255] = 0; /* three bytes each when escaped */
	assert_int_equal(fix_lookup(x, "", name), -ENAMETOOLONG);
	assert_int_equal(fix_lookup(x, "", ""), -EINVAL);
	assert_int_equal(scripted_lists(&x->store), 0);
}

static void key_too_long(void **state)
{
	struct fix *x = *state;
	char prefix[SUPAFS_KEY_MAX + 1];

	memset(prefix, 'p', sizeof(prefix));
	prefix[SUPAFS_KEY_MAX - 2] = '/';
	prefix[SUPAFS_KEY_MAX - 1] = 0;
	assert_int_equal(fix_lookup(x, prefix, "ab"), -ENAMETOOLONG);
	assert_int_equal(fix_lookup(x, prefix, "a"), -ENOENT);
}

static void escaped_names(void **state)
{
	struct fix *x = *state;

	scripted_add(&x->store, "caf=C3=A9", 3);
	scripted_add(&x->store, "a=b", 4);
	assert_file(x, "", "caf\xc3\xa9", 3);
	assert_string_equal(x->ent.seg, "caf=C3=A9");
	assert_file(x, "", "a=b", 4);
	assert_string_equal(fix_list(x, ""), "a=b|caf\xc3\xa9");
}

/* --- Odd keys ----------------------------------------------------------------------------------
 */

static void odd_pair(void **state)
{
	struct fix *x = *state;

	scripted_add(&x->store, "d/a", 1);
	scripted_add(&x->store, "d/a/x", 2);
	scripted_add(&x->store, "d/b", 3);
	assert_file(x, "d/", "a", 1);
	assert_folder(x, "d/", "a=2F", "a");
	assert_string_equal(fix_list(x, "d/"), "a|b|a=2F/");
	assert_folder(x, "d/", "a=2F", "a");
	assert_file(x, "d/", "a", 1);
	assert_int_equal(fix_lookup(x, "d/", "b=2F"), -ENOENT);
}

static void odd_pair_name_outlives_the_file(void **state)
{
	struct fix *x = *state;

	scripted_add(&x->store, "d/a/x", 2);
	assert_folder(x, "d/", "a=2F", "a");
	assert_string_equal(fix_list(x, "d/"), "a/");
}

static void odd_pair_name_is_taken(void **state)
{
	struct fix *x = *state;

	scripted_add(&x->store, "a", 1);
	scripted_add(&x->store, "a/x", 2);
	scripted_add(&x->store, "a=3D2F", 3); /* the file `a=2F` */
	assert_string_equal(fix_list(x, ""), "a|a=2F|a=2F=2F/");
	assert_file(x, "", "a=2F", 3);
	assert_folder(x, "", "a=2F=2F", "a");
}

static void odd_empty_segment(void **state)
{
	struct fix *x = *state;

	scripted_add(&x->store, "w//x", 1);
	scripted_add(&x->store, "w/y", 2);
	assert_string_equal(fix_list(x, "w/"), "y|=2F/");
	assert_folder(x, "w/", "=2F", "");
	assert_string_equal(fix_list(x, "w//"), "x");
}

static void odd_empty_segment_as_the_prefix_itself(void **state)
{
	struct fix *x = *state;
	const struct supafs_entry entries[] = {
		{.key = SUPAFS_STR("w/")}, /* marker */
		{.key = SUPAFS_STR("w/"), .folder = true},
		{.key = SUPAFS_STR("w/y")},
	};
	const struct scripted_page page = {entries, 3, false};
	bool keeper = false;
	uint64_t n = 0;

	x->store.script = &page;
	x->store.script_n = 1;
	assert_string_equal(fix_list(x, "w/"), "y|=2F/");
	assert_true(supafs_catalog_count(x->c, SUPAFS_STR("w/"), &n, &keeper));
	assert_int_equal(n, 2);
	assert_true(keeper);
}

static void odd_dot_segments(void **state)
{
	struct fix *x = *state;

	scripted_add(&x->store, "d/./x", 1);
	scripted_add(&x->store, "d/../x", 1);
	scripted_add(&x->store, "d/.", 7);
	assert_string_equal(fix_list(x, "d/"), "=2E|=2E=2E/|=2E=2F/");
	assert_file(x, "d/", "=2E", 7);
	assert_folder(x, "d/", "=2E=2F", ".");
	assert_folder(x, "d/", "=2E=2E", "..");
}

static void odd_raw_segments(void **state)
{
	struct fix *x = *state;

	scripted_add(&x->store, "d/\xc3\xa9", 1);
	scripted_add(&x->store, "d/=C3=A9", 2);
	scripted_add(&x->store, "d/#1", 3);
	assert_string_equal(fix_list(x, "d/"), "\xc3\xa9|#1|\xc3\xa9=2F");
	assert_file(x, "d/", "\xc3\xa9", 2);
	assert_string_equal(x->ent.seg, "=C3=A9");
	assert_file(x, "d/", "\xc3\xa9=2F", 1);
	assert_string_equal(x->ent.seg, "\xc3\xa9");
	/* found without a cached listing too, now that such keys have been seen */
	supafs_catalog_drop(x->c, SUPAFS_STR("d/"), false);
	assert_file(x, "d/", "#1", 3);
	assert_string_equal(x->ent.seg, "#1");
	assert_int_equal(fix_lookup(x, "d/", "#2"), -ENOENT);
}

static void odd_undecodable_segments(void **state)
{
	struct fix *x = *state;

	scripted_add(&x->store, "q=2Fz", 1);
	scripted_add(&x->store, "n=00", 2);
	scripted_add(&x->store, "x.emptyFolderPlaceholder", 3);
	assert_file(x, "", "q=2Fz", 1);
	assert_file(x, "", "n=00", 2);
	assert_string_equal(x->ent.seg, "n=00");
	fix_advance_ms(x, TTL_MS);
	assert_file(x, "", "x.emptyFolderPlaceholder", 3);
	assert_string_equal(fix_list(x, ""), "n=00|q=2Fz|x.emptyFolderPlaceholder");
}

static void odd_keepers(void **state)
{
	struct fix *x = *state;
	bool keeper = false;
	uint64_t n = 9;

	scripted_add(&x->store, "d/.emptyFolderPlaceholder", 0);
	scripted_add(&x->store, "e/", 0);
	assert_string_equal(fix_list(x, ""), "d/|e/");
	assert_string_equal(fix_list(x, "d/"), "");
	assert_string_equal(fix_list(x, "e/"), "");
	assert_true(supafs_catalog_count(x->c, SUPAFS_STR("d/"), &n, &keeper));
	assert_int_equal(n, 0);
	assert_true(keeper);
	assert_true(supafs_catalog_count(x->c, SUPAFS_STR("e/"), &n, &keeper));
	assert_true(keeper);
	assert_true(supafs_catalog_count(x->c, SUPAFS_STR(""), &n, &keeper));
	assert_int_equal(n, 2);
	assert_false(keeper);
}

static void odd_hidden(void **state)
{
	struct fix *x = *state;
	static char name[300];
	const struct supafs_entry entries[] = {
		{.key = {"d/a\0b", 5}}, {.key = SUPAFS_STR("d/b/c")}, /* an object behind a '/' */
		{.key = SUPAFS_STR("d/c"), .version.size = UINT64_MAX}, {.key = {name, 299}},
		{.key = SUPAFS_STR("e")}, /* not below the prefix */
	};
	const struct scripted_page page = {entries, 5, false};
	struct supafs_catalog_stats st;

	memset(name, 'n', sizeof(name));
	name[0] = 'd';
	name[1] = '/';
	x->store.script = &page;
	x->store.script_n = 1;
	assert_string_equal(fix_list(x, "d/"), "c");
	supafs_catalog_stats(x->c, &st);
	assert_int_equal(st.hidden, 4);
	assert_file(x, "d/", "c", UINT64_MAX);
}

/* --- Requests and time -------------------------------------------------------------------------
 */

static void big_folder(void **state)
{
	struct fix *x = *state;
	char key[32];
	struct supafs_dir *d;
	uint64_t off = 0, n = 0, last = 0;

	for (unsigned i = 0; i < 2500; i++) {
		(void)snprintf(key, sizeof(key), "d/f%04u", i);
		scripted_add(&x->store, key, i);
	}
	d = fix_open(x, "d/");
	assert_int_equal(scripted_lists(&x->store), 0);
	while (supafs_dir_next(d, &x->call, &off, &x->ent, &x->fault) == 1) {
		assert_int_equal(x->ent.attr.version.size, n++);
		assert_true(x->ent.attr.ino > last); /* they rise in listing order */
		last = x->ent.attr.ino;
	}
	assert_int_equal(n, 2500);
	(void)supafs_dir_free(d);
	assert_int_equal(scripted_lists(&x->store), 3);
	assert_int_equal(x->store.widest, SUPAFS_PAGE_LIMIT);
	for (unsigned i = 0; i < 2500; i += 100) {
		(void)snprintf(key, sizeof(key), "f%04u", i);
		assert_file(x, "d/", key, i);
		(void)snprintf(key, sizeof(key), "g%04u", i);
		assert_int_equal(fix_lookup(x, "d/", key), -ENOENT);
	}
	(void)fix_list(x, "d/");
	assert_int_equal(scripted_lists(&x->store), 3);
}

static void first_page_answers(void **state)
{
	struct fix *x = *state;
	char key[32];
	struct supafs_dir *d;
	uint64_t off = 0;

	for (unsigned i = 0; i < 5000; i++) {
		(void)snprintf(key, sizeof(key), "d/f%04u", i);
		scripted_add(&x->store, key, i);
	}
	d = fix_open(x, "d/");
	assert_string_equal(fix_read(x, d, &off, 2), "f0000|f0001");
	/* what the walk has passed is known, present and absent; one page ahead at most */
	assert_file(x, "d/", "f0500", 500);
	assert_int_equal(fix_lookup(x, "d/", "f0500a"), -ENOENT);
	assert_true(scripted_lists(&x->store) <= 2);
	(void)supafs_dir_free(d);
	assert_true(scripted_lists(&x->store) <= 2);
}

static void expiry(void **state)
{
	struct fix *x = *state;

	scripted_add(&x->store, "a", 1);
	(void)fix_list(x, "");
	scripted_add(&x->store, "a", 2);
	scripted_add(&x->store, "b", 3);
	fix_advance_ms(x, TTL_MS - 1);
	assert_file(x, "", "a", 1);
	assert_int_equal(fix_lookup(x, "", "b"), -ENOENT);
	assert_int_equal(scripted_lists(&x->store), 1);
	fix_advance_ms(x, 1);
	assert_file(x, "", "a", 2);
	assert_file(x, "", "b", 3);
	assert_int_equal(scripted_lists(&x->store), 3);
	fix_advance_ms(x, TTL_MS - 1);
	assert_file(x, "", "a", 2);
	assert_int_equal(scripted_lists(&x->store), 3);
	assert_string_equal(fix_list(x, ""), "a|b");
	assert_int_equal(scripted_lists(&x->store), 4);
}

static void fresh_asks(void **state)
{
	struct fix *x = *state;

	scripted_add(&x->store, "a", 1);
	(void)fix_list(x, "");
	scripted_add(&x->store, "a", 2);
	assert_int_equal(fix_lookup_fresh(x, "", "a"), 0);
	assert_int_equal(x->ent.attr.version.size, 2);
	assert_int_equal(scripted_lists(&x->store), 2);
	/* its answer is newer than the listing, in both views */
	assert_file(x, "", "a", 2);
	assert_int_equal(scripted_lists(&x->store), 2);
	scripted_remove(&x->store, "a");
	assert_int_equal(fix_lookup_fresh(x, "", "a"), -ENOENT);
	assert_string_equal(fix_list(x, ""), "");
	assert_int_equal(scripted_lists(&x->store), 3);
}

static void ttl_zero(void **state)
{
	struct fix x;

	(void)state;
	fix_init(&x, 0, MEMORY, "");
	scripted_add(&x.store, "a", 1);
	assert_string_equal(fix_list(&x, ""), "a");
	assert_file(&x, "", "a", 1);
	assert_file(&x, "", "a", 1);
	assert_int_equal(fix_lookup(&x, "", "b"), -ENOENT);
	assert_int_equal(scripted_lists(&x.store), 4);
	(void)fix_change(&x, "", "b", true, 5); /* pending: needs no request */
	assert_file(&x, "", "b", 5);
	assert_int_equal(scripted_lists(&x.store), 4);
	fix_fini(&x);
}

static void inode_numbers_stay(void **state)
{
	struct fix *x = *state;
	uint64_t a, b, c;

	scripted_add(&x->store, "b", 1);
	scripted_add(&x->store, "a", 1);
	assert_file(x, "", "b", 1);
	b = x->ent.attr.ino;
	(void)fix_list(x, "");
	assert_file(x, "", "b", 1);
	assert_int_equal(x->ent.attr.ino, b);
	assert_file(x, "", "a", 1);
	a = x->ent.attr.ino;
	assert_int_not_equal(a, b);
	fix_advance_ms(x, TTL_MS);
	scripted_add(&x->store, "c", 1);
	scripted_add(&x->store, "a", 2);
	(void)fix_list(x, "");
	assert_file(x, "", "a", 2);
	assert_int_equal(x->ent.attr.ino, a);
	assert_file(x, "", "c", 1);
	c = x->ent.attr.ino;
	assert_true(c > a && c > b);
	/* another thing of the same name is another inode */
	fix_ack(x, "", "a", fix_change(x, "", "a", false, 0));
	(void)fix_change(x, "", "a", true, 3);
	assert_file(x, "", "a", 3);
	assert_true(x->ent.attr.ino > c);
	assert_true(supafs_catalog_ino(x->c) > x->ent.attr.ino);
}

static void root_prefix(void **state)
{
	struct fix x;
	bool empty = false, placeholder = false, marker = true;

	(void)state;
	fix_init(&x, TTL_MS, MEMORY, "team/7/");
	scripted_add(&x.store, "team/7/a", 1);
	scripted_add(&x.store, "team/7/d/x", 2);
	scripted_add(&x.store, "team/8", 3);
	scripted_add(&x.store, "a2", 3);
	assert_string_equal(fix_list(&x, ""), "a|d/");
	assert_string_equal(x.store.prefix, "team/7/");
	assert_string_equal(fix_list(&x, "d/"), "x");
	assert_string_equal(x.store.prefix, "team/7/d/");
	fix_advance_ms(&x, TTL_MS);
	assert_file(&x, "", "a", 1);
	assert_string_equal(x.store.prefix, "team/7/a");
	assert_int_equal(fix_lookup(&x, "", "a2"), -ENOENT);
	assert_int_equal(supafs_catalog_is_empty(x.c, &x.call, SUPAFS_STR("d/"), &empty,
				 &placeholder, &marker, &x.fault),
		0);
	assert_false(empty);
	assert_false(placeholder);
	assert_false(marker);
	fix_fini(&x);
}

/* The same answers over the memory store as over the scripted one. */
static void memory_store(void **state)
{
	static const char *const keys[] = {"p/a", "p/a/x", "p/d/.emptyFolderPlaceholder", "p/zoo-a",
		"p/zoo.txt", "p/zoo/x", "q"};
	struct supafs_catalog_config cfg = {
		.root = SUPAFS_STR("p/"), .ttl_ms = TTL_MS, .memory = MEMORY};
	struct supafs_put_args put = {.meta = {SUPAFS_META_MTIME, 1600000000123456789, 0, 0, 0}};
	struct supafs_store *store = NULL;
	unsigned char id[16];
	struct fix x;

	(void)state;
	fix_init(&x, TTL_MS, MEMORY, "");
	x.c = supafs_catalog_free(x.c);
	assert_int_equal(supafs_store_new_memory(&x.clock.base, &store), 0);
	for (unsigned i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		put.key = supafs_str_of(keys[i]);
		assert_int_equal(store->ops->put(store, &x.call, &put, id, &x.fault), 0);
	}
	cfg.store = store;
	cfg.clock = &x.clock.base;
	assert_int_equal(supafs_catalog_new(&cfg, &x.c), 0);
	assert_folder(&x, "", "zoo", "zoo");
	assert_file(&x, "", "zoo-a", 0);
	assert_int_equal(x.ent.attr.meta.mtime_ns, 1600000000123456789);
	assert_folder(&x, "", "a=2F", "a");
	assert_string_equal(fix_list(&x, ""), "a|d/|zoo-a|zoo.txt|zoo/|a=2F/");
	assert_string_equal(fix_list(&x, "d/"), "");
	assert_string_equal(fix_list(&x, "zoo/"), "x");
	fix_fini(&x);
	store = supafs_store_free(store);
	assert_null(store);
}

static void store_errors(void **state)
{
	struct fix *x = *state;
	struct supafs_dir *d;
	uint64_t off = 0;

	scripted_add(&x->store, "a", 1);
	x->store.error = -EACCES;
	assert_int_equal(fix_lookup(x, "", "a"), -EACCES);
	assert_string_equal(x->fault.text, "scripted");
	assert_file(x, "", "a", 1); /* nothing was learnt from the failure */
	d = fix_open(x, "");
	x->store.error = -EIO;
	assert_int_equal(supafs_dir_next(d, &x->call, &off, &x->ent, &x->fault), -EIO);
	assert_string_equal(x->fault.text, "scripted");
	assert_int_equal(off, 0);
	assert_string_equal(fix_read(x, d, &off, SIZE_MAX), "a"); /* the same handle goes on */
	(void)supafs_dir_free(d);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(file_folder_absent),
		T(many_names_list_the_folder),
		T(a_few_names_of_many),
		T(zoo_without_folder),
		T(zoo_folder_behind_the_page),
		T(zoo_folder_sorts_before_zoo0),
		T(names_that_cannot_be),
		T(key_too_long),
		T(escaped_names),
		T(odd_pair),
		T(odd_pair_name_outlives_the_file),
		T(odd_pair_name_is_taken),
		T(odd_empty_segment),
		T(odd_empty_segment_as_the_prefix_itself),
		T(odd_dot_segments),
		T(odd_raw_segments),
		T(odd_undecodable_segments),
		T(odd_keepers),
		T(odd_hidden),
		T(big_folder),
		T(first_page_answers),
		T(expiry),
		T(fresh_asks),
		T(inode_numbers_stay),
		T(store_errors),
		cmocka_unit_test(memory_store),
		cmocka_unit_test(ttl_zero),
		cmocka_unit_test(root_prefix),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
