/* SPDX-License-Identifier: Apache-2.0 */
/* Directory handles: stable offsets under changes, hostile listings, memory and eviction. */
#include <sched.h>

#include "catalog_fixture.h"
#include "catalog_priv.h"
#include "listing.h"

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

static void add_many(struct fix *x, const char *dir, unsigned n)
{
	char key[64];

	for (unsigned i = 0; i < n; i++) {
		(void)snprintf(key, sizeof(key), "%sf%04u", dir, i);
		scripted_add(&x->store, key, i);
	}
}

/* --- Handles ------------------------------------------------------------------------------------
 */

static void changes_while_reading(void **state)
{
	struct fix *x = *state;
	struct supafs_dir *d;
	uint64_t off = 0, third;

	add_many(x, "", 6);
	d = fix_open(x, "");
	assert_string_equal(fix_read(x, d, &off, 2), "f0000|f0001");
	(void)fix_change(x, "", "f0000", false, 0); /* behind the reader */
	(void)fix_change(x, "", "f0003", false, 0); /* before it */
	(void)fix_change(x, "", "f0002a", true, 1); /* new, in the middle */
	(void)fix_change(x, "", "f0004", true, 99); /* changed */
	third = off;
	assert_string_equal(fix_read(x, d, &off, SIZE_MAX), "f0002|f0004|f0005|f0002a");
	/* the same offset gives the same again; going back is fine */
	off = third;
	assert_string_equal(fix_read(x, d, &off, 2), "f0002|f0004");
	assert_int_equal(x->ent.attr.version.size, 99);
	off = 0;
	assert_string_equal(fix_read(x, d, &off, SIZE_MAX), "f0001|f0002|f0004|f0005|f0002a");
	/* what comes after the end was reached does not move anything */
	(void)fix_change(x, "", "f0009", true, 1);
	(void)fix_change(x, "", "f0002a", false, 1);
	off = third;
	assert_string_equal(fix_read(x, d, &off, SIZE_MAX), "f0002|f0004|f0005");
	(void)supafs_dir_free(d);
	assert_string_equal(fix_list(x, ""), "f0001|f0002|f0004|f0005|f0009");
	assert_int_equal(scripted_lists(&x->store), 1);
}

/* Offsets of every entry, taken forwards, are good in any order, and for a handle with odd names
 * and overlay entries too. */
static void every_offset_again(void **state)
{
	struct fix *x = *state;
	struct supafs_dir *d;
	uint64_t offs[64], off = 0;
	char names[64][SUPAFS_NAME_MAX + 1];
	unsigned n = 0;

	add_many(x, "", 20);
	scripted_add(&x->store, "f0003/x", 1);
	scripted_add(&x->store, "//x", 1);
	(void)fix_change(x, "", "zz", true, 1);
	d = fix_open(x, "");
	for (;; n++) {
		offs[n] = off;
		if (supafs_dir_next(d, &x->call, &off, &x->ent, &x->fault) == 0)
			break;
		(void)snprintf(names[n], sizeof(names[n]), "%s", x->ent.name);
		for (unsigned i = 0; i < n; i++)
			assert_string_not_equal(names[i], names[n]);
	}
	assert_int_equal(n, 23);
	for (unsigned i = n; i-- > 0;) {
		off = offs[i];
		assert_int_equal(supafs_dir_next(d, &x->call, &off, &x->ent, &x->fault), 1);
		assert_string_equal(x->ent.name, names[i]);
	}
	(void)supafs_dir_free(d);
}

/* A handle over an old listing follows what a newer one knows. */
static void newer_listing_meanwhile(void **state)
{
	struct fix *x = *state;
	struct supafs_dir *d;
	uint64_t off = 0;

	add_many(x, "", 5);
	d = fix_open(x, "");
	assert_string_equal(fix_read(x, d, &off, 1), "f0000");
	fix_ack(x, "", "f0003", fix_change(x, "", "f0003", false, 0));
	scripted_remove(&x->store, "f0003");
	scripted_add(&x->store, "f0002", 77);
	fix_advance_ms(x, TTL_MS);
	assert_string_equal(fix_list(x, ""), "f0000|f0001|f0002|f0004"); /* drops the change */
	assert_string_equal(fix_read(x, d, &off, 2), "f0001|f0002");
	assert_int_equal(x->ent.attr.version.size, 77);
	assert_string_equal(fix_read(x, d, &off, SIZE_MAX), "f0004");
	(void)supafs_dir_free(d);
}

static void create_before_the_walk_ends(void **state)
{
	struct fix *x = *state;
	struct supafs_dir *d;
	uint64_t off = 0, n = 0, id;
	unsigned seen = 0;

	add_many(x, "", 3000);
	d = fix_open(x, "");
	assert_string_equal(fix_read(x, d, &off, 1), "f0000");
	id = fix_change(x, "", "f2900a", true, 1);
	scripted_add(&x->store, "f2900a", 1); /* the walk will list it as well */
	fix_ack(x, "", "f2900a", id);
	while (supafs_dir_next(d, &x->call, &off, &x->ent, &x->fault) == 1) {
		n++;
		seen += strcmp(x->ent.name, "f2900a") == 0;
	}
	assert_int_equal(n, 3000);
	assert_int_equal(seen, 1);
	(void)supafs_dir_free(d);
}

static void two_handles_share_a_walk(void **state)
{
	struct fix *x = *state;
	struct supafs_dir *a, *b;
	uint64_t off_a = 0, off_b = 0;

	add_many(x, "", 2500);
	a = fix_open(x, "");
	b = fix_open(x, "");
	assert_string_equal(fix_read(x, a, &off_a, 1), "f0000");
	(void)fix_read(x, b, &off_b, SIZE_MAX);
	(void)fix_read(x, a, &off_a, SIZE_MAX);
	assert_int_equal(off_a, off_b);
	(void)supafs_dir_free(a);
	(void)supafs_dir_free(b);
	assert_int_equal(scripted_lists(&x->store), 3);
}

/* The page that is asked for ahead has come. */
static bool ahead_done(struct supafs_catalog *c)
{
	SUPAFS_SCOPED_LOCK(&c->lock);
	supafs_list_for_each (it, &c->walks) {
		const struct walk *w = supafs_list_entry(it, struct walk, link);

		if (w->fetching || w->ahead_queued)
			return false;
	}
	return true;
}

/* A reader that slept for longer than the ttl ends its walk, but the result is not kept. */
static void stalled_walk_is_not_kept(void **state)
{
	struct fix *x = *state;
	struct supafs_dir *d;
	uint64_t off = 0;
	unsigned before;

	add_many(x, "", 4500);
	d = fix_open(x, "");
	(void)fix_read(x, d, &off, 1);
	while (!ahead_done(x->c))
		(void)sched_yield();
	fix_advance_ms(x, TTL_MS + 1);
	before = scripted_lists(&x->store);
	assert_int_equal(fix_lookup(x, "", "f0500"), 0);
	assert_true(
		scripted_lists(&x->store) > before); /* the walk's pages are too old to answer */
	(void)fix_read(x, d, &off, SIZE_MAX);
	(void)supafs_dir_free(d);
	before = scripted_lists(&x->store);
	(void)fix_list(x, "");
	assert_true(scripted_lists(&x->store) >= before + 5);
}

static void error_in_the_middle(void **state)
{
	struct fix *x = *state;
	struct supafs_dir *d;
	uint64_t off = 0;
	unsigned n = 0;
	int r;

	add_many(x, "", 2500);
	d = fix_open(x, "");
	(void)fix_read(x, d, &off, 1);
	for (n = 1;; n++) {
		if (n == 500)
			x->store.error = -EIO; /* of the page ahead, or of the reader's own */
		r = supafs_dir_next(d, &x->call, &off, &x->ent, &x->fault);
		if (r == -EIO) {
			n--;
			continue;
		}
		if (r == 0)
			break;
		assert_int_equal(r, 1);
		assert_int_equal(x->ent.attr.version.size, n);
	}
	assert_int_equal(n, 2500);
	(void)supafs_dir_free(d);
}

/* A reply that is no HTTP, or too long, is the line's trouble: the walk goes on at the same page.
 */
static void broken_reply_in_the_middle(void **state)
{
	static const int errors[] = {-EPROTO, -ENOMEM};
	struct fix *x = *state;

	add_many(x, "", 2500);
	for (unsigned i = 0; i < 2; i++) {
		struct supafs_dir *d = fix_open(x, "");
		uint64_t off = 0;

		x->store.error = errors[i];
		assert_int_equal(supafs_dir_next(d, &x->call, &off, &x->ent, &x->fault), errors[i]);
		assert_string_equal(x->fault.text, "scripted");
		while (supafs_dir_next(d, &x->call, &off, &x->ent, &x->fault) > 0)
			continue;
		assert_int_equal(off, 2500);
		(void)supafs_dir_free(d);
		fix_advance_ms(x, TTL_MS + 1);
	}
}

static void cancelled_call(void **state)
{
	struct fix *x = *state;
	struct supafs_dir *d = fix_open(x, "");
	struct supafs_call call;
	uint64_t off = 0;

	add_many(x, "", 3);
	supafs_call_init(&call, &x->clock.base, 0);
	supafs_call_cancel(&call);
	assert_int_equal(supafs_dir_next(d, &call, &off, &x->ent, &x->fault), -EINTR);
	assert_string_equal(fix_read(x, d, &off, SIZE_MAX), "f0000|f0001|f0002");
	supafs_call_fini(&call);
	(void)supafs_dir_free(d);
}

static void unread_handle(void **state)
{
	struct fix *x = *state;
	struct supafs_dir *d = fix_open(x, "d/");

	(void)supafs_dir_free(d);
	assert_null(supafs_dir_free(NULL));
	assert_int_equal(scripted_lists(&x->store), 0);
}

/* --- Hostile servers ----------------------------------------------------------------------------
 */

static int walk_script(struct fix *x, const struct scripted_page *pages, size_t n)
{
	struct supafs_dir *d = fix_open(x, "");
	uint64_t off = 0;
	int r;

	x->store.script = pages;
	x->store.script_n = n;
	x->store.script_at = 0;
	do
		r = supafs_dir_next(d, &x->call, &off, &x->ent, &x->fault);
	while (r == 1);
	(void)supafs_dir_free(d);
	return r;
}

static void pages_that_do_not_advance(void **state)
{
	struct fix *x = *state;
	const struct supafs_entry ab[] = {{.key = SUPAFS_STR("a")}, {.key = SUPAFS_STR("b")}};
	const struct supafs_entry ba[] = {{.key = SUPAFS_STR("b")}, {.key = SUPAFS_STR("a")}};
	const struct supafs_entry aa[] = {{.key = SUPAFS_STR("a")}, {.key = SUPAFS_STR("a")}};
	const struct scripted_page again = {ab, 2, true}, back = {ba, 2, false},
				   twice = {aa, 2, false};
	const struct scripted_page nothing = {NULL, 0, true};

	assert_int_equal(walk_script(x, &again, 1), -EPROTO);
	assert_int_equal(x->fault.class, SUPAFS_FAULT_PERMANENT);
	assert_string_not_equal(x->fault.text, "");
	assert_int_equal(walk_script(x, &back, 1), -EPROTO);
	assert_int_equal(walk_script(x, &twice, 1), -EPROTO);
	assert_int_equal(walk_script(x, &nothing, 1), -EPROTO);
	assert_true(scripted_lists(&x->store) < 64);
	assert_int_equal(fix_lookup(x, "", "c"), -EPROTO);
	x->store.script = &back;
	assert_int_equal(fix_lookup(x, "", "c"), -EPROTO);
	/* and it is over when the server is well again */
	x->store.script = NULL;
	scripted_add(&x->store, "c", 1);
	assert_string_equal(fix_list(x, ""), "c");
}

static void endless_marker(void **state)
{
	struct fix *x = *state;
	const struct supafs_entry self[] = {
		{.key = SUPAFS_STR("d/")}, {.key = SUPAFS_STR("d/"), .folder = true}};
	const struct scripted_page page = {self, 2, true};
	struct supafs_dir *d = fix_open(x, "d/");
	uint64_t off = 0;

	x->store.script = &page;
	x->store.script_n = 1;
	assert_int_equal(supafs_dir_next(d, &x->call, &off, &x->ent, &x->fault), -EPROTO);
	(void)supafs_dir_free(d);
}

/* --- Memory -------------------------------------------------------------------------------------
 */

static struct supafs_attr rich_attr(unsigned i)
{
	struct supafs_attr a = {.ino = 1000000 + i,
		.version = {.size = 123456789 + i, .updated_ns = 1700000000123456789 + i},
		.modified_ns = 1700000000023456789 + i,
		.meta = {SUPAFS_META_ALL, 1600000000123456789 + i, 0100644, 1000, 1000}};

	(void)snprintf(a.version.etag, sizeof(a.version.etag), "\"%032x\"", i * 2654435761U);
	memset(a.version.id, (int)(i & 0xff) | 1, sizeof(a.version.id));
	return a;
}

static void hundred_thousand_entries(void **state)
{
	struct listing *l = NULL;
	struct supafs_dirent ent;
	char name[32];

	(void)state;
	assert_int_equal(listing_new(1, &l), 0);
	for (unsigned i = 0; i < 100000; i++) {
		struct supafs_attr a = rich_attr(i);

		(void)snprintf(name, sizeof(name), "lecture-%06u.json", i);
		assert_int_equal(listing_add(l, supafs_str_of(name), &a), 0);
	}
	assert_int_equal(listing_seal(l), 0);
	print_message("# %zu bytes an entry\n", l->bytes / l->n);
	assert_true(l->bytes / l->n <= 120);
	for (unsigned i = 0; i < 100000; i += 997) {
		struct supafs_attr a = rich_attr(i);

		(void)snprintf(name, sizeof(name), "lecture-%06u.json", i);
		assert_true(listing_find(l, supafs_str_of(name), supafs_str_of(name), &ent));
		assert_string_equal(ent.attr.version.etag, a.version.etag);
		assert_int_equal(ent.attr.meta.mtime_ns, a.meta.mtime_ns);
		assert_int_equal(ent.attr.modified_ns, a.modified_ns);
	}
	l = listing_unref(l);
}

static void attributes_round_trip(void **state)
{
	static const char *const etags[] = {"", "\"x\"", "W/\"0\"",
		"\"0123456789abcdef0123456789abcdef\"", "\"0123456789ABCDEF0123456789abcdef\"",
		"\"0123456789abcdef0123456789abcdef-12\""};
	static const int64_t times[] = {0, 1, -1, INT64_MIN, INT64_MAX, 1700000000123456789};
	static const uint64_t sizes[] = {0, 127, 128, UINT64_MAX};
	unsigned char packed[ATTR_PACKED_MAX];
	struct supafs_attr a, b;

	(void)state;
	for (unsigned i = 0; i < 6U * 6 * 6 * 4 * 16; i++) {
		memset(&a, 0, sizeof(a));
		a.folder = (i & 1) != 0;
		a.ino = sizes[(i / 3) % 4];
		a.version.size = sizes[i % 4];
		a.version.updated_ns = times[(i / 4) % 6];
		a.modified_ns = times[(i / 24) % 6];
		memcpy(a.version.etag, etags[(i / 144) % 6], strlen(etags[(i / 144) % 6]));
		a.version.id[15] = (unsigned char)(i % 3);
		a.meta.has = (i / 864) % 16;
		if (a.meta.has & SUPAFS_META_MTIME)
			a.meta.mtime_ns = times[(i / 7) % 6];
		if (a.meta.has & SUPAFS_META_MODE)
			a.meta.mode = UINT32_MAX;
		if (a.meta.has & SUPAFS_META_UID)
			a.meta.uid = i;
		if (a.meta.has & SUPAFS_META_GID)
			a.meta.gid = UINT32_MAX - i;
		assert_true(attr_pack(&a, packed) <= sizeof(packed));
		memset(&b, 0xff, sizeof(b));
		attr_unpack(packed, &b);
		assert_int_equal(a.folder, b.folder);
		assert_int_equal(a.ino, b.ino);
		assert_int_equal(a.version.size, b.version.size);
		assert_int_equal(a.version.updated_ns, b.version.updated_ns);
		assert_int_equal(a.modified_ns, b.modified_ns);
		assert_string_equal(a.version.etag, b.version.etag);
		assert_memory_equal(a.version.id, b.version.id, sizeof(a.version.id));
		assert_memory_equal(&a.meta, &b.meta, sizeof(a.meta));
	}
	/* the longest there is */
	memset(a.version.etag, 'e', SUPAFS_ETAG_MAX);
	a.version.etag[SUPAFS_ETAG_MAX] = 0;
	memset(a.version.id, 0xff, sizeof(a.version.id));
	a.ino = a.version.size = UINT64_MAX;
	a.version.updated_ns = INT64_MAX;
	a.modified_ns = INT64_MIN / 2;
	a.meta = (struct supafs_meta){
		SUPAFS_META_ALL, INT64_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX};
	assert_true(attr_pack(&a, packed) <= sizeof(packed));
	attr_unpack(packed, &b);
	assert_int_equal(b.meta.gid, UINT32_MAX);
	assert_int_equal(b.meta.mtime_ns, INT64_MAX);
	assert_string_equal(b.version.etag, a.version.etag);
}

static void eviction_takes_the_oldest(void **state)
{
	struct supafs_catalog_stats st;
	struct fix x;
	unsigned before;

	(void)state;
	fix_init(&x, TTL_MS, 100U << 10, "");
	add_many(&x, "a/", 600);
	add_many(&x, "b/", 600);
	add_many(&x, "c/", 600);
	(void)fix_change(&x, "a/", "mine", true, 1);
	(void)fix_list(&x, "a/");
	(void)fix_list(&x, "b/");
	before = scripted_lists(&x.store);
	(void)fix_list(&x, "a/"); /* used again: b is the oldest now */
	(void)fix_list(&x, "c/");
	assert_int_equal(scripted_lists(&x.store), before + 1);
	supafs_catalog_stats(x.c, &st);
	assert_int_equal(st.listings, 2);
	assert_int_equal(st.entries, 1200);
	assert_int_equal(st.changes, 1);
	assert_true(st.bytes <= 100U << 10);
	assert_int_equal(fix_lookup(&x, "a/", "f0001"), 0);
	assert_int_equal(fix_lookup(&x, "c/", "f0001"), 0);
	assert_int_equal(scripted_lists(&x.store), before + 1);
	(void)fix_list(&x, "b/");
	assert_int_equal(scripted_lists(&x.store), before + 2);
	/* a listing goes, a change stays */
	assert_int_equal(fix_lookup(&x, "a/", "mine"), 0);
	assert_int_equal(scripted_lists(&x.store), before + 2);
	fix_fini(&x);
}

static void eviction_spares_what_is_read(void **state)
{
	struct supafs_catalog_stats st;
	struct supafs_dir *d;
	struct fix x;
	uint64_t off = 0;
	unsigned n = 0;

	(void)state;
	fix_init(&x, TTL_MS, 60U << 10, "");
	add_many(&x, "a/", 600);
	add_many(&x, "b/", 600);
	(void)fix_list(&x, "a/");
	d = fix_open(&x, "a/");
	(void)fix_read(&x, d, &off, 1);
	(void)fix_list(&x, "b/");
	while (supafs_dir_next(d, &x.call, &off, &x.ent, &x.fault) == 1)
		n++;
	assert_int_equal(n, 599);
	(void)supafs_dir_free(d);
	supafs_catalog_stats(x.c, &st);
	assert_true(st.bytes <= 60U << 10);
	assert_int_equal(scripted_lists(&x.store), 2);
	fix_fini(&x);
}

/* More than the limit in one folder: it can be read, but is not kept. */
static void larger_than_memory(void **state)
{
	struct supafs_catalog_stats st;
	struct fix x;

	(void)state;
	fix_init(&x, TTL_MS, 20U << 10, "");
	add_many(&x, "", 1500);
	(void)fix_list(&x, "");
	while (!ahead_done(x.c))
		(void)sched_yield();
	supafs_catalog_stats(x.c, &st);
	assert_int_equal(st.listings, 0);
	assert_true(st.bytes <= 20U << 10);
	(void)fix_list(&x, "");
	assert_int_equal(scripted_lists(&x.store), 4);
	fix_fini(&x);
}

/* A folder that does not end is given up above four times the memory, for all that read it; others
 * can be read meanwhile and afterwards. */
static void without_an_end(void **state)
{
	struct supafs_catalog_stats st;
	struct supafs_dir *a, *b;
	uint64_t off = 0, off_b = 0;
	char key[220];
	struct fix x;
	int r;

	(void)state;
	fix_init(&x, TTL_MS, 300U << 10, "");
	for (unsigned i = 0; i < 9000; i++) {
		(void)snprintf(key, sizeof(key), "d/%06u%0200u", i, 0U);
		scripted_add(&x.store, key, i);
	}
	add_many(&x, "e/", 1500);
	a = fix_open(&x, "d/");
	b = fix_open(&x, "d/");
	while ((r = supafs_dir_next(a, &x.call, &off, &x.ent, &x.fault)) > 0)
		continue;
	assert_int_equal(r, -ENOMEM);
	assert_non_null(strstr(x.fault.text, "meta_memory"));
	assert_in_range(off, 1200 / 2 * 1024 / 230, 8000);
	supafs_catalog_stats(x.c, &st);
	assert_in_range(st.bytes, 1200U << 10, 1400U << 10);
	(void)fix_list(&x, "e/");
	while ((r = supafs_dir_next(b, &x.call, &off_b, &x.ent, &x.fault)) > 0)
		continue;
	assert_int_equal(r, -ENOMEM);
	assert_non_null(strstr(x.fault.text, "meta_memory"));
	(void)supafs_dir_free(a);
	(void)supafs_dir_free(b);
	while (!ahead_done(x.c))
		(void)sched_yield();
	supafs_catalog_stats(x.c, &st);
	assert_true(st.bytes <= 300U << 10);
	fix_fini(&x);
}

static void negative_answers_are_bounded(void **state)
{
	struct supafs_catalog_stats st;
	struct fix x;
	char dir[32], name[32];

	(void)state;
	fix_init(&x, TTL_MS, 64U << 10, "");
	for (unsigned i = 0; i < 5000; i++) {
		(void)snprintf(dir, sizeof(dir), "%u/", i % 100);
		(void)snprintf(name, sizeof(name), "no%u", i);
		assert_int_equal(fix_lookup(&x, dir, name), -ENOENT);
	}
	supafs_catalog_stats(x.c, &st);
	assert_true(st.bytes <= 64U << 10);
	fix_fini(&x);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(changes_while_reading),
		T(every_offset_again),
		T(newer_listing_meanwhile),
		T(create_before_the_walk_ends),
		T(two_handles_share_a_walk),
		T(stalled_walk_is_not_kept),
		T(error_in_the_middle),
		T(broken_reply_in_the_middle),
		T(cancelled_call),
		T(unread_handle),
		T(pages_that_do_not_advance),
		T(endless_marker),
		cmocka_unit_test(hundred_thousand_entries),
		cmocka_unit_test(attributes_round_trip),
		cmocka_unit_test(eviction_takes_the_oldest),
		cmocka_unit_test(eviction_spares_what_is_read),
		cmocka_unit_test(larger_than_memory),
		cmocka_unit_test(without_an_end),
		cmocka_unit_test(negative_answers_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
