/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Journaled jobs: renames and deletes that a death, a time-out or a bad server cuts short. Those of
 * an exchange: test_vfs_exchange.c.
 */
#include <sched.h>

#include "vfs_reaper.h"

/* --- Set-up --------------------------------------------------------------------------------------
 */

static const struct fx_config through = {
	.ttl_ms = UINT64_MAX, .journal = true, .uploads = 4, .wrap = reaper_new};
static const struct fx_config back = {
	.ttl_ms = UINT64_MAX, .journal = true, .writeback = true, .uploads = 4, .wrap = reaper_new};

static int setup(void **state)
{
	*state = fx_new(&through);
	return 0;
}

static int teardown(void **state)
{
	assert_int_equal(fx_free(*state), 0);
	return 0;
}

static void server_fails(struct fx *x, enum supafs_op op, unsigned skip, unsigned times)
{
	const struct supafs_faulty_rule rule = {.op = op,
		.skip = skip,
		.times = times,
		.error = -EIO,
		.fault = {.class = SUPAFS_FAULT_TRANSIENT, .status = 503, .text = "injected"}};

	supafs_store_faulty_add(x->faulty, &rule);
}

/* --- A folder's rename ---------------------------------------------------------------------------
 */

static const char *const below[] = {"a", "b", "c", "s/d", "s/e"};

static void make_folder(struct fx *x, const char *dir)
{
	char key[64];

	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(below); i++) {
		(void)snprintf(key, sizeof(key), "%s/%s", dir, below[i]);
		fx_server_put(x, key, below[i]);
	}
}

/* All of it is under `is`, nothing under `was`, in the view and at the server. */
static void check_folder(struct fx *x, const char *is, const char *was)
{
	char key[64];

	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(below); i++) {
		(void)snprintf(key, sizeof(key), "%s/%s", is, below[i]);
		assert_string_equal(fx_cat(x, key), below[i]);
		assert_true(fx_server_has(x, key));
		(void)snprintf(key, sizeof(key), "%s/%s", was, below[i]);
		assert_false(fx_server_has(x, key));
	}
	assert_string_equal(fx_ls(x, is), "a b c s/");
	assert_string_equal(fx_ls(x, was), "!ENOENT");
}

static void rename_dies(bool after)
{
	bool died = true;

	for (unsigned n = 1; died; n++) {
		struct fx *x = fx_new(&through);

		make_folder(x, "old");
		reaper_doom(x, n, after);
		(void)fx_rename(x, "old", "new", 0);
		died = reaper_resurrect(x);
		/* Whoever looks waits until all of it is there. */
		assert_string_equal(fx_ls(x, ""), "new/");
		check_folder(x, "new", "old");
		assert_int_equal(reaper_flush(x), 0);
		reaper_check_empty(x);
		assert_true(!died || n <= 5);
		assert_int_equal(fx_free(x), 0);
	}
}

static void test_rename_dies_before(void **state)
{
	(void)state;
	rename_dies(false);
}

static void test_rename_dies_after(void **state)
{
	(void)state;
	rename_dies(true);
}

/* A file below that is queued goes along, whatever its record says. */
static void test_rename_dies_with_queued(void **state)
{
	struct fx *x = fx_new(&back);
	struct supafs_vfs_stats stats;

	(void)state;
	make_folder(x, "old");
	fx_fail(x, SUPAFS_OP_PUT, 0, 1, -EACCES);
	assert_int_equal(fx_save(x, "old/b", "changed"), 0);
	assert_int_equal(fx_save(x, "old/mine", "mine"), 0);
	do { /* one has failed for good, one has arrived */
		(void)sched_yield();
		supafs_vfs_stats(x->v, &stats);
	} while (stats.failed != 1 || stats.dirty || stats.uploading);
	reaper_doom(x, 3, false);
	(void)fx_rename(x, "old", "new", 0);
	assert_true(reaper_resurrect(x));
	assert_string_equal(fx_cat(x, "new/b"), "changed");
	assert_string_equal(fx_cat(x, "new/mine"), "mine");
	assert_int_equal(reaper_flush(x), 0);
	assert_string_equal(fx_server_text(x, "new/b"), "changed");
	assert_string_equal(fx_server_text(x, "new/mine"), "mine");
	assert_false(fx_server_has(x, "old/b"));
	assert_false(fx_server_has(x, "old/mine"));
	assert_string_equal(fx_ls(x, ""), "new/");
	reaper_check_empty(x);
	assert_int_equal(fx_free(x), 0);
}

/* The server goes away half-way: the new name counts, and the rest follows. */
static void test_rename_cut_short(void **state)
{
	struct fx *x = *state;

	make_folder(x, "old");
	server_fails(x, SUPAFS_OP_MOVE, 2, 1);
	assert_int_equal(fx_rename(x, "old", "new", 0), 0);
	check_folder(x, "new", "old");
	assert_string_equal(fx_ls(x, ""), "new/");
	assert_int_equal(reaper_flush(x), 0);
	reaper_check_empty(x);
}

/* Before anything was moved it is only an error. */
static void test_rename_not_begun(void **state)
{
	struct fx *x = *state;

	make_folder(x, "old");
	server_fails(x, SUPAFS_OP_MOVE, 0, 5);
	assert_int_equal(fx_rename(x, "old", "new", 0), -EIO);
	check_folder(x, "old", "new");
	reaper_check_empty(x);
	assert_int_equal(fx_rename(x, "old", "new", 0), 0);
	check_folder(x, "new", "old");
}

/* Tried again while the server is away, and by the next mount when this one ends before. */
static void test_rename_waits(void **state)
{
	struct fx *x = *state;

	make_folder(x, "old");
	server_fails(x, SUPAFS_OP_MOVE, 2, 15); /* three at a time */
	assert_int_equal(fx_rename(x, "old", "new", 0), 0);
	assert_int_equal(reaper_flush(x), -EIO);
	assert_int_equal(reaper_spooled(x), 1);
	fx_crash(x, NULL);
	reaper_flush_all(x);
	check_folder(x, "new", "old");
	reaper_check_empty(x);
}

/* An object that the server will not move stays, is told, and is not tried at the next mount. */
static void test_rename_refused(void **state)
{
	struct fx *x = *state;

	make_folder(x, "old");
	fx_fail(x, SUPAFS_OP_MOVE, 2, 1, -EACCES);
	assert_int_equal(fx_rename(x, "old", "new", 0), -EACCES);
	reaper_check_empty(x);
	assert_string_equal(fx_ls(x, ""), "new/ old/");
}

/* --- A file over another -------------------------------------------------------------------------
 */

static void replace_dies(unsigned n, bool after, bool moved)
{
	struct fx *x = fx_new(&through);

	fx_server_put(x, "from", "new");
	fx_server_put(x, "to", "old");
	reaper_doom(x, n, after);
	(void)fx_rename(x, "from", "to", 0);
	assert_true(reaper_resurrect(x));
	assert_int_equal(reaper_flush(x), 0);
	assert_string_equal(fx_server_text(x, "to"), moved ? "new" : "old");
	assert_int_equal(fx_server_has(x, "from"), !moved);
	assert_string_equal(fx_ls(x, ""), moved ? "to" : "from to");
	reaper_check_empty(x);
	assert_int_equal(fx_free(x), 0);
}

static void test_replace_dies(void **state)
{
	(void)state;
	replace_dies(1, false, false);
	replace_dies(1, true, true);
	replace_dies(2, false, true);
	replace_dies(2, true, true);
}

/* What another client has made of the source meanwhile is not ours to remove. */
static void test_replace_changed_source(void **state)
{
	struct fx *x = *state;

	fx_server_put(x, "from", "new");
	fx_server_put(x, "to", "old");
	reaper_doom(x, 2, false);
	(void)fx_rename(x, "from", "to", 0);
	reaper_spare(x);
	fx_server_put(x, "from", "another's");
	assert_true(reaper_resurrect(x));
	assert_int_equal(reaper_flush(x), 0);
	assert_string_equal(fx_server_text(x, "from"), "another's");
	assert_string_equal(fx_server_text(x, "to"), "new");
}

/* A changed file whose upload had failed: one upload under the new name, then its old object goes.
 * At no step does it come back under the old name. */
static void upload_dies(unsigned n, bool after)
{
	struct fx *x = fx_new(&through);

	fx_server_put(x, "from", "old");
	fx_fail(x, SUPAFS_OP_PUT, 0, 1, -EACCES);
	assert_int_equal(fx_save(x, "from", "new"), -EACCES);
	reaper_doom(x, n, after);
	(void)fx_rename(x, "from", "to", 0);
	assert_true(reaper_resurrect(x));
	reaper_flush_all(x);
	assert_string_equal(fx_server_text(x, "to"), "new");
	assert_false(fx_server_has(x, "from"));
	assert_string_equal(fx_ls(x, ""), "to");
	reaper_check_empty(x);
	assert_int_equal(fx_free(x), 0);
}

static void test_upload_dies(void **state)
{
	(void)state;
	upload_dies(1, false);
	upload_dies(1, true);
	upload_dies(2, false);
	upload_dies(2, true);
}

static void save_failed(struct fx *x)
{
	fx_server_put(x, "from", "old");
	fx_fail(x, SUPAFS_OP_PUT, 0, 1, -EACCES);
	assert_int_equal(fx_save(x, "from", "new"), -EACCES);
}

/* Over a file whose newer close is promised: the record that now has its key counts. */
static void upload_over_promise_dies(unsigned n, bool after)
{
	struct fx *x = fx_new(&through);

	save_failed(x);
	fx_advance_ms(x, 1000);
	fx_fail(x, SUPAFS_OP_PUT, 0, 1, -EACCES);
	assert_int_equal(fx_save(x, "to", "replaced"), -EACCES);
	reaper_doom(x, n, after);
	(void)fx_rename(x, "from", "to", 0);
	assert_true(reaper_resurrect(x));
	reaper_flush_all(x);
	assert_string_equal(fx_server_text(x, "to"), "new");
	assert_false(fx_server_has(x, "from"));
	fx_crash(x, NULL);
	assert_string_equal(fx_cat(x, "to"), "new");
	assert_int_equal(fx_free(x), 0);
}

static void test_upload_over_promise_dies(void **state)
{
	(void)state;
	upload_over_promise_dies(1, false);
	upload_over_promise_dies(1, true);
	upload_over_promise_dies(2, false);
	upload_over_promise_dies(2, true);
}

/* The old object cannot be removed now: the rename is done, and nobody sees it any more. */
static void test_upload_source_later(void **state)
{
	struct fx *x = *state;

	save_failed(x);
	server_fails(x, SUPAFS_OP_REMOVE, 0, 2);
	assert_int_equal(fx_rename(x, "from", "to", 0), 0);
	assert_string_equal(fx_ls(x, ""), "to");
	assert_string_equal(fx_cat(x, "to"), "new");
	reaper_flush_all(x);
	assert_false(fx_server_has(x, "from"));
	reaper_check_empty(x);
}

/* The old object is never removed: both names are what the server has. */
static void test_upload_source_refused(void **state)
{
	struct fx *x = *state;

	save_failed(x);
	fx_fail(x, SUPAFS_OP_REMOVE, 0, 1, -EACCES);
	assert_int_equal(fx_rename(x, "from", "to", 0), -EACCES);
	assert_string_equal(fx_cat(x, "to"), "new");
	assert_string_equal(fx_cat(x, "from"), "old");
	assert_string_equal(fx_ls(x, ""), "from to");
	reaper_check_empty(x);
}

/* An upload that failed leaves the file, and its record, under the old name. */
static void test_upload_refused(void **state)
{
	struct fx *x = *state;

	save_failed(x);
	fx_fail(x, SUPAFS_OP_PUT, 0, 1, -EACCES);
	assert_int_equal(fx_rename(x, "from", "to", 0), -EACCES);
	assert_string_equal(fx_cat(x, "from"), "new");
	fx_crash(x, NULL);
	assert_int_equal(reaper_flush(x), 0);
	assert_string_equal(fx_server_text(x, "from"), "new");
	assert_false(fx_server_has(x, "to"));
	reaper_check_empty(x);
}

/* --- Deletes -------------------------------------------------------------------------------------
 */

static void make_many(struct fx *x, unsigned n)
{
	char key[64];

	for (unsigned i = 0; i < n; i++) {
		(void)snprintf(key, sizeof(key), "d/file-%02u", i);
		fx_server_put(x, key, "text");
	}
	(void)fx_ls(x, "d");
}

/* `rm`, by one process, of files [from, to). */
static void remove_many(struct fx *x, unsigned from, unsigned to)
{
	char key[64];

	for (unsigned i = from; i < to; i++) {
		(void)snprintf(key, sizeof(key), "d/file-%02u", i);
		assert_int_equal(fx_unlink(x, key, 7), 0);
	}
}

static unsigned at_server(struct fx *x, unsigned n)
{
	char key[64];
	unsigned has = 0;

	for (unsigned i = 0; i < n; i++) {
		(void)snprintf(key, sizeof(key), "d/file-%02u", i);
		has += fx_server_has(x, key);
	}
	return has;
}

/* Acknowledged, not sent, killed. */
static void test_deletes_come_true(void **state)
{
	struct fx *x = *state;

	make_many(x, 8);
	remove_many(x, 0, 7);
	assert_int_equal(at_server(x, 8), 6);   /* the third and later ones are gathered */
	assert_int_equal(reaper_spooled(x), 1); /* in one record */
	fx_crash(x, NULL);
	assert_string_equal(fx_ls(x, "d"), "file-07");
	assert_int_equal(reaper_flush(x), 0);
	assert_int_equal(at_server(x, 8), 1);
	assert_string_equal(fx_ls(x, "d"), "file-07");
	reaper_check_empty(x);
}

/* The folder stays. */
static void test_deletes_all(void **state)
{
	struct fx *x = *state;

	make_many(x, 8);
	remove_many(x, 0, 8);
	fx_crash(x, NULL);
	assert_int_equal(reaper_flush(x), 0);
	assert_int_equal(at_server(x, 8), 0);
	assert_string_equal(fx_ls(x, ""), "d/");
	assert_string_equal(fx_ls(x, "d"), "");
	assert_int_equal(fx_rmdir(x, "d"), 0);
	reaper_check_empty(x);
}

static void test_deletes_die(void **state)
{
	(void)state;
	for (unsigned n = 1; n < 3; n++) {
		struct fx *x = fx_new(&through);

		make_many(x, 8);
		remove_many(x, 0, 8);
		reaper_doom(x, 1, n == 2);
		(void)fx_ls(x, "d"); /* settles */
		assert_true(reaper_resurrect(x));
		assert_int_equal(reaper_flush(x), 0);
		assert_int_equal(at_server(x, 8), 0);
		assert_string_equal(fx_ls(x, "d"), "");
		reaper_check_empty(x);
		assert_int_equal(fx_free(x), 0);
	}
}

/* Another version by then is another client's file. */
static void test_deletes_changed(void **state)
{
	struct fx *x = *state;

	make_many(x, 8);
	remove_many(x, 0, 8);
	fx_advance_ms(x, 10);
	fx_server_put(x, "d/file-04", "another's");
	fx_server_put(x, "d/new", "new");
	fx_crash(x, NULL);
	assert_int_equal(reaper_flush(x), 0);
	assert_string_equal(fx_ls(x, "d"), "file-04 new");
	assert_int_equal(at_server(x, 8), 1);
	assert_string_equal(fx_cat(x, "d/file-04"), "another's");
	reaper_check_empty(x);
}

/* A file that is made again under the name before the job has come to it. */
static void test_deletes_made_again(void **state)
{
	struct fx *x = *state;

	make_many(x, 8);
	remove_many(x, 0, 8);
	server_fails(x, SUPAFS_OP_REMOVE_MANY, 0, 1);
	fx_crash(x, NULL);
	assert_int_equal(fx_save(x, "d/file-05", "again"), 0);
	reaper_flush_all(x);
	assert_string_equal(fx_ls(x, "d"), "file-05");
	assert_string_equal(fx_cat(x, "d/file-05"), "again");
	assert_int_equal(at_server(x, 8), 1);
}

/* The server is away for a while: the names stay out of the view. */
static void test_deletes_later(void **state)
{
	struct fx *x = *state;

	make_many(x, 8);
	remove_many(x, 0, 8);
	server_fails(x, SUPAFS_OP_REMOVE_MANY, 0, 2);
	assert_string_equal(fx_ls(x, "d"), "");
	reaper_flush_all(x);
	assert_int_equal(at_server(x, 8), 0);
	assert_string_equal(fx_ls(x, "d"), "");
	reaper_check_empty(x);
}

/* What the server refuses comes back, and is not tried at the next mount. */
static void test_deletes_refused(void **state)
{
	struct fx *x = *state;

	make_many(x, 8);
	remove_many(x, 0, 8);
	fx_fail(x, SUPAFS_OP_REMOVE_MANY, 0, 1, -EACCES);
	assert_string_equal(fx_ls(x, "d"), "file-02 file-03 file-04 file-05 file-06 file-07");
	reaper_check_empty(x);
}

#define LISTS 8 /* before the burst is seen, and of the empty folder at the end */

/* A large flat folder is listed once, however many times its ttl runs out meanwhile. */
static void test_deletes_list_once(void **state)
{
	struct fx *x = *state;
	char key[64];

	for (unsigned i = 0; i < 1500; i++) {
		(void)snprintf(key, sizeof(key), "d/file-%04u", i);
		fx_server_put(x, key, "");
	}
	(void)fx_ls(x, "d");
	fx_mark(x);
	for (unsigned i = 0; i < 1500; i++) {
		(void)snprintf(key, sizeof(key), "d/file-%04u", i);
		fx_advance_ms(x, 20); /* 30 s in all */
		assert_int_equal(fx_unlink(x, key, 7), 0);
	}
	assert_string_equal(fx_ls(x, "d"), "");
	assert_true(fx_count(x, SUPAFS_OP_LIST) <= LISTS);
	reaper_check_empty(x);
}

/* Jobs are there before anything else is, and end in any order. */
static void test_all_at_once(void **state)
{
	struct fx *x = *state;

	make_folder(x, "old");
	make_many(x, 8);
	fx_server_put(x, "from", "new");
	fx_server_put(x, "to", "old");
	remove_many(x, 0, 8);
	reaper_doom(x, 3, false);
	(void)fx_rename(x, "old", "new", 0);
	assert_true(reaper_resurrect(x));
	assert_string_equal(fx_ls(x, ""), "d/ from new/ to");
	assert_int_equal(reaper_flush(x), 0);
	check_folder(x, "new", "old");
	assert_int_equal(at_server(x, 8), 0);
	reaper_check_empty(x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rename_dies_before),
		cmocka_unit_test(test_rename_dies_after),
		cmocka_unit_test(test_rename_dies_with_queued),
		cmocka_unit_test_setup_teardown(test_rename_cut_short, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rename_not_begun, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rename_waits, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rename_refused, setup, teardown),
		cmocka_unit_test(test_replace_dies),
		cmocka_unit_test_setup_teardown(test_replace_changed_source, setup, teardown),
		cmocka_unit_test(test_upload_dies),
		cmocka_unit_test(test_upload_over_promise_dies),
		cmocka_unit_test_setup_teardown(test_upload_source_later, setup, teardown),
		cmocka_unit_test_setup_teardown(test_upload_source_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_upload_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_deletes_come_true, setup, teardown),
		cmocka_unit_test_setup_teardown(test_deletes_all, setup, teardown),
		cmocka_unit_test(test_deletes_die),
		cmocka_unit_test_setup_teardown(test_deletes_changed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_deletes_made_again, setup, teardown),
		cmocka_unit_test_setup_teardown(test_deletes_later, setup, teardown),
		cmocka_unit_test_setup_teardown(test_deletes_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_deletes_list_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_all_at_once, setup, teardown),
	};

	return cmocka_run_group_tests_name("vfs_jobs", tests, NULL, NULL);
}
