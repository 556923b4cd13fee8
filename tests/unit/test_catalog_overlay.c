/* SPDX-License-Identifier: Apache-2.0 */
/* Local changes over listings: sequence numbers, undo, forgetting, born folders, emptiness. */
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

static void assert_size(struct fix *x, const char *name, uint64_t size)
{
	assert_int_equal(fix_lookup(x, "", name), 0);
	assert_int_equal(x->ent.attr.version.size, size);
}

/* --- The two traps: what happens while a list request is under way ------------------------------
 */

struct race {
	struct fix *x;
	enum scripted_moment when;
	const char *name;
	bool present;
	bool acked; /* else pending */
	bool done;
};

static void race_hook(struct scripted *s, enum scripted_moment m, void *ctx)
{
	struct race *r = ctx;
	uint64_t id;

	if (m != r->when || r->done)
		return;
	r->done = true;
	id = fix_change(r->x, "", r->name, r->present, 42);
	if (r->present)
		scripted_add(s, r->name, 42);
	else
		scripted_remove(s, r->name);
	if (r->acked)
		fix_ack(r->x, "", r->name, id);
}

static void begin_race(struct fix *x, struct race *r)
{
	r->x = x;
	x->store.ctx = r;
	x->store.hook = race_hook;
}

/* A listing that was read before an upload was confirmed does not know the file. */
static void listing_cannot_hide_an_upload(void **state)
{
	struct fix *x = *state;
	struct race r = {.when = SCRIPTED_AFTER, .name = "new", .present = true, .acked = true};

	scripted_add(&x->store, "old", 1);
	begin_race(x, &r);
	assert_string_equal(fix_list(x, ""), "old|new");
	assert_true(r.done);
	assert_size(x, "new", 42);
	assert_string_equal(fix_list(x, ""), "old|new");
	assert_int_equal(scripted_lists(&x->store), 1);
	/* a listing that was asked for later is believed */
	fix_advance_ms(x, TTL_MS);
	scripted_remove(&x->store, "new");
	assert_string_equal(fix_list(x, ""), "old");
	assert_int_equal(fix_lookup(x, "", "new"), -ENOENT);
	assert_int_equal(scripted_lists(&x->store), 2);
}

/* A listing that was read before a delete still has the file. */
static void listing_cannot_bring_back_a_delete(void **state)
{
	struct fix *x = *state;
	struct race r = {.when = SCRIPTED_AFTER, .name = "gone", .present = false, .acked = true};

	scripted_add(&x->store, "gone", 1);
	scripted_add(&x->store, "old", 1);
	begin_race(x, &r);
	assert_string_equal(fix_list(x, ""), "old");
	assert_true(r.done);
	assert_int_equal(fix_lookup(x, "", "gone"), -ENOENT);
	assert_string_equal(fix_list(x, ""), "old");
	assert_int_equal(scripted_lists(&x->store), 1);
	fix_advance_ms(x, TTL_MS);
	scripted_add(&x->store, "gone", 7); /* made by somebody else */
	assert_string_equal(fix_list(x, ""), "gone|old");
	assert_size(x, "gone", 7);
}

static void pending_wins_over_everything(void **state)
{
	struct fix *x = *state;
	struct race r = {.when = SCRIPTED_AFTER, .name = "new", .present = true};

	begin_race(x, &r);
	assert_string_equal(fix_list(x, ""), "new");
	scripted_remove(&x->store, "new");
	fix_advance_ms(x, INT64_C(10) * TTL_MS);
	assert_string_equal(fix_list(x, ""), "new");
	assert_size(x, "new", 42);
	assert_int_equal(fix_lookup_fresh(x, "", "new"), 0);
	assert_int_equal(scripted_lists(&x->store), 2);
}

/* The same with a look-up's answer. */
static void answer_is_older_than_the_ack(void **state)
{
	struct fix *x = *state;
	struct race up = {.when = SCRIPTED_AFTER, .name = "f", .present = true, .acked = true};
	struct race down = {.when = SCRIPTED_AFTER, .name = "f", .present = false, .acked = true};

	begin_race(x, &up);
	assert_size(x, "f", 42);
	assert_size(x, "f", 42);
	assert_int_equal(scripted_lists(&x->store), 1);
	fix_advance_ms(x, TTL_MS);
	begin_race(x, &down);
	assert_int_equal(fix_lookup(x, "", "f"), -ENOENT);
	assert_int_equal(fix_lookup(x, "", "f"), -ENOENT);
	assert_int_equal(scripted_lists(&x->store), 2);
}

/* Past its ttl a confirmed change answers nothing, and neither does the older listing. */
static void expired_ack_still_covers_the_listing(void **state)
{
	struct fix *x = *state;
	uint64_t id;

	scripted_add(&x->store, "f", 1);
	id = fix_change(x, "", "f", true, 2);
	x->store.hook = NULL;
	(void)fix_list(x, ""); /* asked before the ack, with the old size */
	scripted_add(&x->store, "f", 2);
	fix_ack(x, "", "f", id);
	assert_size(x, "f", 2);
	assert_int_equal(scripted_lists(&x->store), 1);
	fix_advance_ms(x, TTL_MS);
	scripted_add(&x->store, "f", 3);
	assert_size(x, "f", 3);
	assert_int_equal(scripted_lists(&x->store), 2);
}

static void many_changes_of_one_name(void **state)
{
	struct fix *x = *state;
	uint64_t first = fix_change(x, "", "f", true, 1);
	uint64_t second = fix_change(x, "", "f", true, 2);

	fix_ack(x, "", "f", first); /* was replaced: no meaning any more */
	fix_undo(x, "", "f", first);
	assert_size(x, "f", 2);
	fix_advance_ms(x, TTL_MS);
	assert_size(x, "f", 2); /* still pending */
	assert_int_equal(scripted_lists(&x->store), 0);
	fix_ack(x, "", "f", second);
	fix_ack(x, "", "f", second); /* harmless */
	fix_undo(x, "", "f", second);
	assert_size(x, "f", 2);
	fix_advance_ms(x, TTL_MS);
	assert_int_equal(fix_lookup(x, "", "f"), -ENOENT);
	assert_int_equal(scripted_lists(&x->store), 1);
}

static void ack_replaces_attributes(void **state)
{
	struct fix *x = *state;
	struct supafs_attr attr = {.version = {.size = 9, .etag = "\"x\""}, .modified_ns = 77};
	uint64_t id = fix_change(x, "", "f", true, 1), ino;

	assert_size(x, "f", 1);
	ino = x->ent.attr.ino;
	assert_int_not_equal(ino, 0);
	supafs_catalog_ack(x->c, SUPAFS_STR(""), SUPAFS_STR("f"), id, &attr);
	assert_size(x, "f", 9);
	assert_string_equal(x->ent.attr.version.etag, "\"x\"");
	assert_int_equal(x->ent.attr.modified_ns, 77);
	assert_int_equal(x->ent.attr.ino, ino);
}

/* The pair's folder has the file's segment, but a name of its own. */
static void change_of_an_odd_name(void **state)
{
	struct fix *x = *state;
	struct supafs_change ch = {
		.prefix = SUPAFS_STR(""), .seg = SUPAFS_STR("a"), .name = SUPAFS_STR("a=2F")};
	uint64_t id, other;

	scripted_add(&x->store, "a", 1);
	scripted_add(&x->store, "a/x", 1);
	assert_string_equal(fix_list(x, ""), "a|a=2F/");
	assert_int_equal(supafs_catalog_change(x->c, &ch, &id), 0);
	assert_string_equal(fix_list(x, ""), "a");
	other = fix_change(x, "", "a", true, 8);
	supafs_catalog_undo(x->c, SUPAFS_STR(""), SUPAFS_STR("a"), id);
	assert_string_equal(fix_list(x, ""), "a|a=2F/");
	assert_size(x, "a", 8);
	supafs_catalog_ack(x->c, SUPAFS_STR(""), SUPAFS_STR("a"), other, NULL);
	fix_advance_ms(x, TTL_MS);
	assert_size(x, "a", 1);
}

/* --- Undo, forget, drop, born -------------------------------------------------------------------
 */

static void undo_asks_again(void **state)
{
	struct fix *x = *state;
	uint64_t id;

	scripted_add(&x->store, "f", 1);
	(void)fix_list(x, "");
	id = fix_change(x, "", "f", false, 0);
	assert_int_equal(fix_lookup(x, "", "f"), -ENOENT);
	assert_string_equal(fix_list(x, ""), "");
	assert_int_equal(scripted_lists(&x->store), 1);
	fix_undo(x, "", "f", id);
	assert_string_equal(fix_list(x, ""), "f"); /* by one look-up, not by a walk */
	assert_int_equal(scripted_lists(&x->store), 2);
	assert_size(x, "f", 1);
	assert_int_equal(scripted_lists(&x->store), 2);
}

static void undo_of_a_create_that_reached_the_server(void **state)
{
	struct fix *x = *state;
	uint64_t id;

	(void)fix_list(x, "");
	id = fix_change(x, "", "f", true, 5);
	scripted_add(&x->store, "f", 5);
	fix_undo(x, "", "f", id);
	assert_string_equal(fix_list(x, ""), "f");
	id = fix_change(x, "", "g", true, 5);
	fix_undo(x, "", "g", id);
	assert_string_equal(fix_list(x, ""), "f");
	assert_int_equal(fix_lookup(x, "", "g"), -ENOENT);
	assert_int_equal(scripted_lists(&x->store), 3);
}

static void forget_one(void **state)
{
	struct fix *x = *state;

	scripted_add(&x->store, "f", 1);
	scripted_add(&x->store, "g", 1);
	(void)fix_list(x, "");
	scripted_add(&x->store, "f", 2);
	scripted_add(&x->store, "g", 2);
	supafs_catalog_forget(x->c, SUPAFS_STR(""), SUPAFS_STR("f"));
	assert_size(x, "g", 1);
	assert_size(x, "f", 2);
	assert_int_equal(scripted_lists(&x->store), 2);
	(void)fix_change(x, "", "f", true, 3);
	supafs_catalog_forget(x->c, SUPAFS_STR(""), SUPAFS_STR("f")); /* pending: kept */
	assert_size(x, "f", 3);
	assert_int_equal(scripted_lists(&x->store), 2);
}

static void forget_hook(struct scripted *s, enum scripted_moment m, void *ctx)
{
	if (m != SCRIPTED_AFTER)
		return;
	s->hook = NULL;
	scripted_add(s, "f", 2);
	supafs_catalog_forget(ctx, SUPAFS_STR(""), SUPAFS_STR("f"));
}

/* An answer that was asked for before the forget is not kept. */
static void forget_during_a_request(void **state)
{
	struct fix *x = *state;

	scripted_add(&x->store, "f", 1);
	x->store.hook = forget_hook;
	x->store.ctx = x->c;
	(void)fix_lookup(x, "", "f");
	assert_size(x, "f", 2);
	x->store.hook = forget_hook;
	fix_advance_ms(x, TTL_MS);
	scripted_add(&x->store, "f", 1);
	(void)fix_list(x, "");
	assert_size(x, "f", 2);
}

static void drop_hook(struct scripted *s, enum scripted_moment m, void *ctx)
{
	if (m != SCRIPTED_AFTER)
		return;
	s->hook = NULL;
	scripted_add(s, "f", 2);
	supafs_catalog_drop(ctx, SUPAFS_STR(""), true);
}

static void drop_during_a_request(void **state)
{
	struct fix *x = *state;

	scripted_add(&x->store, "f", 1);
	x->store.ctx = x->c;
	x->store.hook = drop_hook;
	(void)fix_list(x, "");
	assert_size(x, "f", 2);
	fix_advance_ms(x, TTL_MS);
	scripted_add(&x->store, "f", 1);
	x->store.hook = drop_hook;
	(void)fix_lookup(x, "", "f");
	assert_size(x, "f", 2);
}

static void drop_below(void **state)
{
	struct fix *x = *state;
	unsigned before;

	scripted_add(&x->store, "d/e/f", 1);
	scripted_add(&x->store, "dd/f", 1);
	(void)fix_list(x, "");
	(void)fix_list(x, "d/");
	(void)fix_list(x, "d/e/");
	(void)fix_list(x, "dd/");
	(void)fix_change(x, "d/e/", "new", true, 1);
	before = scripted_lists(&x->store);
	supafs_catalog_drop(x->c, SUPAFS_STR("d/"), true);
	(void)fix_list(x, "");
	(void)fix_list(x, "dd/");
	assert_int_equal(scripted_lists(&x->store), before);
	assert_string_equal(fix_list(x, "d/e/"), "f|new");
	(void)fix_list(x, "d/");
	assert_int_equal(scripted_lists(&x->store), before + 2);
	supafs_catalog_drop(x->c, SUPAFS_STR("d/"), false);
	(void)fix_list(x, "d/e/");
	assert_int_equal(scripted_lists(&x->store), before + 2);
}

static void born(void **state)
{
	struct fix *x = *state;
	bool keeper = true;
	uint64_t n = 9;

	assert_int_equal(supafs_catalog_born(x->c, SUPAFS_STR("d/")), 0);
	supafs_catalog_keeper(x->c, SUPAFS_STR("d/"), true);
	assert_string_equal(fix_list(x, "d/"), "");
	assert_int_equal(fix_lookup(x, "d/", "f"), -ENOENT);
	fix_ack(x, "d/", "f", fix_change(x, "d/", "f", true, 1));
	(void)fix_change(x, "d/", "g", true, 1);
	assert_string_equal(fix_list(x, "d/"), "f|g");
	assert_true(supafs_catalog_count(x->c, SUPAFS_STR("d/"), &n, &keeper));
	assert_int_equal(n, 2);
	assert_true(keeper);
	assert_int_equal(scripted_lists(&x->store), 0);
	fix_advance_ms(x, TTL_MS);
	assert_false(supafs_catalog_count(x->c, SUPAFS_STR("d/"), &n, &keeper));
	assert_string_equal(fix_list(x, "d/"), "g");
}

/* --- Count, emptiness ---------------------------------------------------------------------------
 */

static void count_merges(void **state)
{
	struct fix *x = *state;
	bool keeper = true;
	uint64_t n = 0;

	scripted_add(&x->store, "a", 1);
	scripted_add(&x->store, "b", 1);
	scripted_add(&x->store, "b/x", 1);
	assert_false(supafs_catalog_count(x->c, SUPAFS_STR(""), &n, &keeper));
	(void)fix_list(x, "");
	assert_true(supafs_catalog_count(x->c, SUPAFS_STR(""), &n, &keeper));
	assert_int_equal(n, 3);
	assert_false(keeper);
	(void)fix_change(x, "", "a", false, 0);
	(void)fix_change(x, "", "b", true, 4);
	(void)fix_change(x, "", "c", true, 4);
	(void)fix_change(x, "", "never", false, 0);
	assert_true(supafs_catalog_count(x->c, SUPAFS_STR(""), &n, &keeper));
	assert_int_equal(n, 3);
	supafs_catalog_keeper(x->c, SUPAFS_STR(""), true);
	assert_true(supafs_catalog_count(x->c, SUPAFS_STR(""), &n, &keeper));
	assert_true(keeper);
	fix_advance_ms(x, TTL_MS);
	(void)fix_list(x, "");
	assert_true(supafs_catalog_count(x->c, SUPAFS_STR(""), &n, &keeper));
	assert_false(keeper); /* the newer listing says so */
}

static void assert_empty(struct fix *x, bool empty, bool placeholder, bool marker)
{
	bool e = !empty, p = !placeholder, m = !marker;

	assert_int_equal(
		supafs_catalog_is_empty(x->c, &x->call, SUPAFS_STR("d/"), &e, &p, &m, &x->fault),
		0);
	assert_int_equal(e, empty);
	assert_int_equal(p, placeholder);
	assert_int_equal(m, marker);
}

static void emptiness(void **state)
{
	struct fix *x = *state;
	uint64_t id;

	assert_empty(x, true, false, false);
	scripted_add(&x->store, "d/.emptyFolderPlaceholder", 0);
	assert_empty(x, true, true, false);
	scripted_add(&x->store, "d/", 0);
	assert_empty(x, true, true, true);
	assert_int_equal(scripted_lists(&x->store), 3); /* always asks */
	scripted_add(&x->store, "d/f", 1);
	assert_empty(x, false, true, true);
	id = fix_change(x, "d/", "f", false, 0);
	assert_empty(x, true, true, true); /* being deleted */
	scripted_remove(&x->store, "d/f");
	fix_ack(x, "d/", "f", id);
	assert_empty(x, true, true, true);
	scripted_add(&x->store, "d/f", 2); /* came back from elsewhere */
	assert_empty(x, false, true, true);
	scripted_remove(&x->store, "d/f");
	(void)fix_change(x, "d/", "g", true, 1); /* not there yet */
	assert_empty(x, false, true, true);
	scripted_add(&x->store, "d/e/x", 1);
	assert_empty(x, false, true, true);
}

static void emptiness_behind_pending_deletes(void **state)
{
	struct fix *x = *state;
	char name[16], key[20];
	unsigned before;

	for (unsigned i = 0; i < 1500; i++) {
		(void)snprintf(name, sizeof(name), "f%04u", i);
		(void)snprintf(key, sizeof(key), "d/%s", name);
		scripted_add(&x->store, key, i);
		(void)fix_change(x, "d/", name, false, 0);
	}
	before = scripted_lists(&x->store);
	assert_empty(x, true, false, false);
	assert_int_equal(scripted_lists(&x->store), before + 2);
	scripted_add(&x->store, "d/z", 1);
	assert_empty(x, false, false, false);
}

/* A file being deleted says nothing of the folder of its name. */
static void emptiness_of_a_pair(void **state)
{
	struct fix *x = *state;

	scripted_add(&x->store, "d/a", 1);
	scripted_add(&x->store, "d/a/x", 1);
	(void)fix_list(x, "d/");
	(void)fix_change(x, "d/", "a", false, 0);
	assert_empty(x, false, false, false);
	scripted_remove(&x->store, "d/a/x");
	assert_empty(x, true, false, false);
	scripted_add(&x->store, "d/b/x", 1);
	fix_advance_ms(x, TTL_MS);
	(void)fix_list(x, "d/");
	(void)fix_change(x, "d/", "b", false, 0); /* the folder itself is being removed */
	assert_empty(x, true, false, false);
}

static void bad_changes(void **state)
{
	struct fix *x = *state;
	struct supafs_change ch = {.prefix = SUPAFS_STR(""), .seg = SUPAFS_STR("a")};
	uint64_t id = 77;

	assert_int_equal(supafs_catalog_change(x->c, &ch, &id), -EINVAL);
	assert_int_equal(id, 77);
	fix_ack(x, "nowhere/", "f", 12); /* nothing is known there: no effect */
	fix_undo(x, "nowhere/", "f", 12);
	supafs_catalog_forget(x->c, SUPAFS_STR("nowhere/"), SUPAFS_STR("f"));
	supafs_catalog_drop(x->c, SUPAFS_STR("nowhere/"), false);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(listing_cannot_hide_an_upload),
		T(listing_cannot_bring_back_a_delete),
		T(pending_wins_over_everything),
		T(answer_is_older_than_the_ack),
		T(expired_ack_still_covers_the_listing),
		T(many_changes_of_one_name),
		T(ack_replaces_attributes),
		T(change_of_an_odd_name),
		T(undo_asks_again),
		T(undo_of_a_create_that_reached_the_server),
		T(forget_one),
		T(forget_during_a_request),
		T(drop_during_a_request),
		T(drop_below),
		T(born),
		T(count_merges),
		T(emptiness),
		T(emptiness_behind_pending_deletes),
		T(emptiness_of_a_pair),
		T(bad_changes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
