/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RENAME_EXCHANGE that is cut short: by a death before or after each request that changes
 * something, and by a server that goes away. The two are exchanged or as they were, and nothing is
 * left under the hidden name.
 */
#include "vfs_reaper.h"

static const struct fx_config through = {
	.ttl_ms = UINT64_MAX, .journal = true, .uploads = 4, .wrap = reaper_new};
static const struct fx_config back = {
	.ttl_ms = UINT64_MAX, .journal = true, .writeback = true, .uploads = 4, .wrap = reaper_new};

/* What is exchanged, and how both look to a user. */
struct kind {
	void (*make)(struct fx *x);
	const char *one,
		*two; /* files to look at: of what was `a`, below its name; of what was `b` */
	const char *was, *is; /* the root's listing */
};

static void read_at(struct fx *x, const char *name, const char *below, const char *text)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "%s%s", name, below);
	assert_string_equal(fx_cat(x, path), text);
}

/* As it was, or exchanged. */
static bool check(struct fx *x, const struct kind *k)
{
	const bool done = strcmp(fx_ls(x, ""), k->was) != 0 ||
			  (strcmp(k->was, k->is) == 0 && k->one[0] == '\0' &&
				  strcmp(fx_cat(x, "a"), "one") != 0);

	assert_string_equal(fx_ls(x, ""), done ? k->is : k->was);
	read_at(x, done ? "b" : "a", k->one, "one");
	read_at(x, done ? "a" : "b", k->two, "two");
	return done;
}

/* Deaths at every step. *ret_done: how many of them ended in an exchange. */
static void dies(const struct fx_config *cfg, const struct kind *k, bool after)
{
	bool died = true, done = false;

	for (unsigned n = 1; died; n++) {
		struct fx *x = fx_new(cfg);

		k->make(x);
		reaper_doom(x, n, after);
		(void)fx_rename(x, "a", "b", RENAME_EXCHANGE);
		died = reaper_resurrect(x);
		reaper_flush_all(x);
		/* Once the second name was given away there is no way back. */
		assert_true(check(x, k) || !done);
		done = check(x, k);
		fx_crash(x, NULL); /* it is so at the server as well */
		assert_int_equal(check(x, k), done);
		reaper_check_empty(x);
		assert_true(n < 20);
		assert_int_equal(fx_free(x), 0);
	}
	assert_true(done);
}

static void two_files(struct fx *x)
{
	fx_server_put(x, "a", "one");
	fx_server_put(x, "b", "two");
}

static void file_and_folder(struct fx *x)
{
	fx_server_put(x, "a", "one");
	fx_server_put(x, "b/f", "two");
	fx_server_put(x, "b/g", "more");
	fx_server_put(x, "b/s/h", "more");
}

static void folder_and_file(struct fx *x)
{
	fx_server_put(x, "a/f", "one");
	fx_server_put(x, "a/g", "more");
	fx_server_put(x, "b", "two");
}

/* Both closed and not sent: a refused upload each. */
static void two_unsent(struct fx *x)
{
	fx_server_put(x, "a", "old");
	fx_server_put(x, "b", "older");
	fx_fail(x, SUPAFS_OP_PUT, 0, 2, -EACCES);
	assert_int_equal(fx_save(x, "a", "one"), -EACCES);
	assert_int_equal(fx_save(x, "b", "two"), -EACCES);
}

static void test_files_die(void **state)
{
	const struct kind k = {two_files, "", "", "a b", "a b"};

	(void)state;
	dies(&through, &k, false);
	dies(&through, &k, true);
	dies(&back, &k, false);
}

static void test_folders_die(void **state)
{
	const struct kind file = {file_and_folder, "", "/f", "a b/", "a/ b"};
	const struct kind folder = {folder_and_file, "/f", "", "a/ b", "a b/"};

	(void)state;
	dies(&through, &file, false);
	dies(&through, &file, true);
	dies(&through, &folder, false);
	dies(&through, &folder, true);
}

static void test_unsent_die(void **state)
{
	const struct kind k = {two_unsent, "", "", "a b", "a b"};

	(void)state;
	dies(&through, &k, false);
	dies(&through, &k, true);
}

static void server_fails(struct fx *x, unsigned skip, unsigned times)
{
	const struct supafs_faulty_rule rule = {.op = SUPAFS_OP_MOVE,
		.skip = skip,
		.times = times,
		.error = -EIO,
		.fault = {.class = SUPAFS_FAULT_TRANSIENT, .status = 503, .text = "injected"}};

	supafs_store_faulty_add(x->faulty, &rule);
}

/* The server goes away after the first or the second step, and stays away while it is taken back:
 * a job ends it. */
static void test_not_taken_back(void **state)
{
	const struct kind k = {two_files, "", "", "a b", "a b"};

	(void)state;
	for (unsigned skip = 1; skip < 3; skip++) {
		struct fx *x = fx_new(&through);

		two_files(x);
		server_fails(x, skip, 4);
		assert_int_equal(fx_rename(x, "a", "b", RENAME_EXCHANGE), -EIO);
		reaper_flush_all(x);
		assert_int_equal(check(x, &k), skip == 2);
		reaper_check_empty(x);
		assert_int_equal(fx_free(x), 0);
	}
}

/* By the next mount, also one that is read-only. */
static void test_waits_for_the_next_mount(void **state)
{
	const struct fx_config reading = {.ttl_ms = UINT64_MAX,
		.journal = true,
		.uploads = 4,
		.read_only = true,
		.wrap = reaper_new};
	const struct kind k = {two_files, "", "", "a b", "a b"};
	struct fx *x = fx_new(&through);

	(void)state;
	two_files(x);
	reaper_doom(x, 2, true);
	(void)fx_rename(x, "a", "b", RENAME_EXCHANGE);
	assert_true(reaper_resurrect(x));
	fx_crash(x, &reading);
	reaper_flush_all(x);
	assert_true(check(x, &k));
	reaper_check_empty(x);
	assert_int_equal(fx_free(x), 0);
}

/* Both names are there again: nothing is overwritten, nothing is lost. */
static void test_names_taken(void **state)
{
	struct fx *x = fx_new(&through);

	(void)state;
	two_files(x);
	reaper_doom(x, 2, true);
	(void)fx_rename(x, "a", "b", RENAME_EXCHANGE);
	fx_server_put(x, "a", "another's");
	assert_true(reaper_resurrect(x));
	reaper_flush_all(x);
	assert_string_equal(fx_cat(x, "a"), "another's");
	assert_string_equal(fx_cat(x, "b"), "one");
	reaper_check_empty(x);
	assert_non_null(strstr(fx_ls(x, ""), ".supafs-exchange-"));
	assert_int_equal(fx_free(x), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_files_die),
		cmocka_unit_test(test_folders_die),
		cmocka_unit_test(test_unsent_die),
		cmocka_unit_test(test_not_taken_back),
		cmocka_unit_test(test_waits_for_the_next_mount),
		cmocka_unit_test(test_names_taken),
	};

	return cmocka_run_group_tests_name("vfs_exchange", tests, NULL, NULL);
}
