/* SPDX-License-Identifier: Apache-2.0 */
/* Names in the vfs: unlink, gathered deletes, folders and their placeholders, readdir. */
#include "vfs_fixture.h"

#define KEEPER "/.emptyFolderPlaceholder"

static const struct fx_config plain = {.ttl_ms = UINT64_MAX};

static int setup(void **state)
{
	*state = fx_new(&plain);
	return 0;
}

static int teardown(void **state)
{
	assert_int_equal(fx_free(*state), 0);
	return 0;
}

/* --- Unlink --------------------------------------------------------------------------------------
 */

static void unlink_clean(void **state)
{
	struct fx *x = *state;

	fx_server_put(x, "a", "1");
	fx_server_put(x, "b", "2");
	assert_string_equal(fx_ls(x, ""), "a b");
	fx_mark(x);
	assert_int_equal(fx_unlink(x, "a", 1), 0);
	assert_int_equal(fx_count(x, SUPAFS_OP_REMOVE), 1);
	assert_int_equal(fx_all(x), 1);
	assert_false(fx_server_has(x, "a"));
	assert_string_equal(fx_ls(x, ""), "b");
	assert_int_equal(fx_unlink(x, "a", 1), -ENOENT);
	assert_string_equal(fx_cat(x, "a"), "!ENOENT");
	assert_int_equal(fx_all(x), 1); /* known to be absent */
}

static void unlink_tells_the_truth(void **state)
{
	struct fx *x = *state;

	fx_server_put(x, "a", "1");
	fx_fail(x, SUPAFS_OP_REMOVE, 0, 1, -EACCES);
	assert_int_equal(fx_unlink(x, "a", 1), -EACCES);
	assert_string_equal(fx_cat(x, "a"), "1");
	fx_server_remove(x, "a"); /* by somebody else */
	assert_int_equal(fx_unlink(x, "a", 1), -ENOENT);
	assert_string_equal(fx_ls(x, ""), "");
}

static void unlink_before_the_first_upload(void **state)
{
	struct fx *x = *state;
	uint64_t fh;

	fx_mark(x);
	assert_int_equal(fx_create(x, "a", O_RDWR, &fh), 0);
	assert_int_equal(fx_write(x, fh, "abc", 0), 0);
	assert_int_equal(fx_unlink(x, "a", 1), 0);
	fx_expect(x, fh, 0, "abc"); /* still ours */
	assert_int_equal(fx_write(x, fh, "d", 3), 0);
	fx_expect(x, fh, 0, "abcd");
	assert_int_equal(fx_close(x, fh), 0);
	assert_true(fx_count(x, SUPAFS_OP_LIST) <= 1);
	assert_int_equal(fx_all(x), fx_count(x, SUPAFS_OP_LIST));
	assert_false(fx_server_has(x, "a"));
	assert_string_equal(fx_ls(x, ""), "");
}

static void unlink_dirty_over_an_object(void **state)
{
	struct fx *x = *state;
	uint64_t fh;

	fx_server_put(x, "a", "0123456789");
	assert_int_equal(fx_open(x, "a", O_RDWR, &fh), 0);
	assert_int_equal(fx_write(x, fh, "XX", 0), 0);
	assert_int_equal(fx_unlink(x, "a", 1), 0);
	assert_false(fx_server_has(x, "a"));
	fx_mark(x);
	fx_expect(x, fh, 0, "XX23456789"); /* the rest was fetched before the object went */
	assert_int_equal(fx_close(x, fh), 0);
	assert_int_equal(fx_all(x), 0);
	assert_false(fx_server_has(x, "a"));
}

static void unlink_open_clean(void **state)
{
	struct fx *x = *state;
	uint64_t fh;
	struct stat st;

	fx_server_put(x, "a", "0123456789");
	assert_int_equal(fx_open(x, "a", O_RDONLY, &fh), 0);
	assert_int_equal(fx_unlink(x, "a", 1), 0);
	assert_false(fx_server_has(x, "a"));
	fx_expect(x, fh, 0, "0123456789");
	assert_int_equal(fx_stat(x, "a", &st), -ENOENT);
	assert_int_equal(fx_save(x, "a", "another"), 0); /* the name is free again */
	fx_expect(x, fh, 0, "0123456789");
	assert_int_equal(fx_close(x, fh), 0);
	assert_string_equal(fx_server_text(x, "a"), "another");
}

static void unlinked_handle_keeps_its_node(void **state)
{
	struct fx *x = *state;
	struct supafs_node_info info;
	uint64_t fh, node;

	assert_int_equal(fx_create(x, "a", O_RDWR, &fh), 0);
	assert_int_equal(fx_path(x, "a", &node), 0);
	assert_int_equal(fx_unlink(x, "a", 1), 0);
	assert_int_equal(fx_write(x, fh, "abc", 0), 0);
	assert_int_equal(supafs_vfs_getattr(x->v, &x->call, node, &info, &x->fault), 0);
	assert_int_equal(info.st.st_size, 3);
	assert_int_equal(info.st.st_nlink, 0);
	assert_int_equal(fx_close(x, fh), 0);
	supafs_vfs_forget(x->v, node, 1);
	assert_int_equal(supafs_vfs_getattr(x->v, &x->call, node, &info, &x->fault), -ESTALE);
}

/* --- Gathered deletes
 * ------------------------------------------------------------------------------ */

static void fill(struct fx *x, const char *dir, unsigned n)
{
	char key[64];

	for (unsigned i = 0; i < n; i++) {
		(void)snprintf(key, sizeof(key), "%s/f%04u", dir, i);
		fx_server_put(x, key, "x");
	}
}

static void unlink_range(struct fx *x, const char *dir, unsigned from, unsigned to)
{
	char path[64];

	for (unsigned i = from; i < to; i++) {
		(void)snprintf(path, sizeof(path), "%s/f%04u", dir, i);
		assert_int_equal(fx_unlink(x, path, 42), 0);
	}
}

static void remove_a_whole_folder(void **state)
{
	struct fx *x = *state;

	fill(x, "d", 1200);
	(void)fx_ls(x, "d");
	fx_mark(x);
	unlink_range(x, "d", 0, 1200);
	assert_int_equal(fx_rmdir(x, "d"), 0);
	/* 2 alone, then 500 + 500 + 198 */
	assert_true(fx_count(x, SUPAFS_OP_REMOVE) <= 3);
	assert_int_equal(fx_count(x, SUPAFS_OP_REMOVE_MANY), 3);
	assert_int_equal(fx_count(x, SUPAFS_OP_PUT), 0); /* the folder goes too: no placeholder */
	assert_true(fx_count(x, SUPAFS_OP_LIST) <= 3);
	assert_string_equal(fx_ls(x, ""), "");
	assert_false(fx_server_has(x, "d/f0000"));
	assert_false(fx_server_has(x, "d/f1199"));
}

static void gathered_is_settled_before_it_can_be_seen(void **state)
{
	struct fx *x = *state;

	fill(x, "d", 10);
	(void)fx_ls(x, "d");
	unlink_range(x, "d", 0, 5);
	assert_false(fx_server_has(x, "d/f0001"));
	assert_true(fx_server_has(x, "d/f0004")); /* gathered: the third and later ones */
	assert_string_equal(fx_ls(x, "d"), "f0005 f0006 f0007 f0008 f0009");
	assert_false(fx_server_has(x, "d/f0004"));

	unlink_range(x, "d", 5, 7);
	assert_true(fx_server_has(x, "d/f0005"));
	assert_int_equal(fx_save(x, "d/f0005", "new"), 0); /* create of a gathered name */
	assert_false(fx_server_has(x, "d/f0006"));
	assert_string_equal(fx_server_text(x, "d/f0005"), "new");

	unlink_range(x, "d", 7, 8);
	fx_advance_ms(x, 60); /* nobody looks: it goes by itself */
	fx_quiet(x);
	assert_false(fx_server_has(x, "d/f0007"));
}

static void refused_deletes_come_back(void **state)
{
	struct fx *x = *state;

	fill(x, "d", 6);
	(void)fx_ls(x, "d");
	fx_fail(x, SUPAFS_OP_REMOVE_MANY, 0, 1, -EACCES);
	unlink_range(x, "d", 0, 6);
	assert_int_equal(fx_rmdir(x, "d"), -ENOTEMPTY);
	assert_string_equal(fx_ls(x, "d"), "f0002 f0003 f0004 f0005");
}

static void missing_in_the_reply_is_looked_at(void **state)
{
	struct fx *x = *state;

	fill(x, "d", 6);
	(void)fx_ls(x, "d");
	unlink_range(x, "d", 0, 6);
	fx_server_remove(x, "d/f0003"); /* somebody was faster: absent is what was wanted */
	assert_int_equal(fx_rmdir(x, "d"), 0);
	assert_string_equal(fx_ls(x, ""), "");
}

static void other_processes_do_not_gather(void **state)
{
	struct fx *x = *state;

	fill(x, "d", 8);
	(void)fx_ls(x, "d");
	fx_mark(x);
	assert_int_equal(fx_unlink(x, "d/f0000", 1), 0);
	assert_int_equal(fx_unlink(x, "d/f0001", 2), 0);
	assert_int_equal(fx_unlink(x, "d/f0002", 1), 0);
	assert_int_equal(fx_unlink(x, "d/f0003", 2), 0);
	assert_int_equal(fx_count(x, SUPAFS_OP_REMOVE), 4);
	fx_advance_ms(x, 10000); /* no longer successive */
	assert_int_equal(fx_unlink(x, "d/f0004", 1), 0);
	assert_int_equal(fx_count(x, SUPAFS_OP_REMOVE), 5);
}

static void gathered_are_settled_at_unmount(void **state)
{
	struct fx *x = *state;

	fill(x, "d", 6);
	(void)fx_ls(x, "d");
	unlink_range(x, "d", 0, 5);
	assert_true(fx_server_has(x, "d/f0004"));
	assert_int_equal(fx_remount(x), 0);
	assert_false(fx_server_has(x, "d/f0004"));
	assert_string_equal(fx_ls(x, "d"), "f0005");
}

/* --- Folders
 * ---------------------------------------------------------------------------------------- */

static void mkdir_and_rmdir(void **state)
{
	struct fx *x = *state;
	struct stat st;

	fx_mark(x);
	assert_int_equal(fx_mkdir(x, "d"), 0);
	assert_int_equal(fx_count(x, SUPAFS_OP_PUT), 1);
	assert_true(fx_server_has(x, "d" KEEPER));
	assert_int_equal(fx_mkdir(x, "d"), -EEXIST);
	assert_int_equal(fx_stat(x, "d", &st), 0);
	assert_int_equal(st.st_mode, S_IFDIR | 0755);
	assert_int_equal(st.st_nlink, 1);
	fx_mark(x); /* it was made here: known to be empty */
	assert_string_equal(fx_ls(x, "d"), "");
	assert_string_equal(fx_cat(x, "d/no"), "!ENOENT");
	assert_int_equal(fx_all(x), 0);
	assert_int_equal(fx_save(x, "d/f", "x"), 0);
	assert_int_equal(fx_all(x), 1);
	assert_int_equal(fx_rmdir(x, "d"), -ENOTEMPTY);
	assert_int_equal(fx_unlink(x, "d", 1), -EISDIR);
	assert_int_equal(fx_rmdir(x, "d/f"), -ENOTDIR);
	assert_int_equal(fx_unlink(x, "d/f", 1), 0);
	assert_int_equal(fx_rmdir(x, "d"), 0);
	assert_false(fx_server_has(x, "d" KEEPER));
	assert_string_equal(fx_ls(x, ""), "");
	assert_int_equal(fx_rmdir(x, "d"), -ENOENT);
}

static void rmdir_asks_the_server(void **state)
{
	struct fx *x = *state;
	uint64_t fh;

	assert_int_equal(fx_mkdir(x, "d"), 0);
	assert_string_equal(fx_ls(x, "d"), "");
	fx_server_put(x, "d/theirs", "x");
	assert_int_equal(fx_rmdir(x, "d"), -ENOTEMPTY);
	fx_server_remove(x, "d/theirs");
	assert_int_equal(fx_create(x, "d/local", O_WRONLY, &fh), 0); /* not sent yet */
	assert_int_equal(fx_rmdir(x, "d"), -ENOTEMPTY);
	assert_int_equal(fx_unlink(x, "d/local", 1), 0);
	assert_int_equal(fx_close(x, fh), 0);
	assert_int_equal(fx_rmdir(x, "d"), 0);
}

static void a_folder_stays_when_its_last_file_goes(void **state)
{
	struct fx *x = *state;

	fx_server_put(x, "listed/f", "x");
	assert_string_equal(fx_ls(x, "listed"), "f");
	fx_mark(x);
	assert_int_equal(fx_unlink(x, "listed/f", 1), 0);
	assert_int_equal(fx_count(x, SUPAFS_OP_PUT), 1);
	assert_true(fx_server_has(x, "listed" KEEPER));
	assert_string_equal(fx_ls(x, "listed"), "");

	fx_server_put(x, "unlisted/f", "x");
	assert_int_equal(fx_unlink(x, "unlisted/f", 7), 0);
	assert_true(fx_server_has(x, "unlisted" KEEPER));

	fx_server_put(x, "two/f", "x"); /* not the last one: nothing is written */
	fx_server_put(x, "two/g", "x");
	fx_mark(x);
	assert_int_equal(fx_unlink(x, "two/f", 8), 0);
	assert_int_equal(fx_count(x, SUPAFS_OP_PUT), 0);
	assert_int_equal(fx_rmdir(x, "listed"), 0);
	assert_int_equal(fx_rmdir(x, "unlisted"), 0);
	assert_string_equal(fx_ls(x, ""), "two/");
}

static void a_folder_stays_when_its_files_are_gathered(void **state)
{
	struct fx *x = *state;

	fill(x, "d", 5);
	(void)fx_ls(x, "d");
	unlink_range(x, "d", 0, 5);
	assert_string_equal(fx_ls(x, "d"), "");
	assert_true(fx_server_has(x, "d" KEEPER));
	assert_string_equal(fx_ls(x, ""), "d/");
}

static void a_folder_stays_when_its_last_folder_goes(void **state)
{
	struct fx *x = *state;

	fx_server_put(x, "a/b/f", "x");
	assert_string_equal(fx_ls(x, "a"), "b/");
	assert_string_equal(fx_ls(x, "a/b"), "f");
	assert_int_equal(fx_unlink(x, "a/b/f", 1), 0);
	assert_int_equal(fx_rmdir(x, "a/b"), 0);
	assert_string_equal(fx_ls(x, ""), "a/");
	assert_true(fx_server_has(x, "a" KEEPER));
	assert_int_equal(fx_rmdir(x, "a"), 0);
	assert_string_equal(fx_ls(x, ""), "");
}

static void marker_objects_are_folders(void **state)
{
	struct fx *x = *state;

	fx_server_put(x, "m/", "");
	assert_string_equal(fx_ls(x, ""), "m/");
	assert_string_equal(fx_ls(x, "m"), "");
	assert_int_equal(fx_rmdir(x, "m"), 0);
	assert_string_equal(fx_ls(x, ""), "");
	fx_advance_ms(x, FX_TTL_MS + 1);
	assert_string_equal(fx_ls(x, ""), "");
}

/* --- Readdir
 * ---------------------------------------------------------------------------------------- */

struct part {
	unsigned room;
	uint64_t off;
	char last[300];
	unsigned n;
};

static bool take_some(void *ctx, const struct supafs_dir_item *item)
{
	struct part *p = ctx;

	if (p->room == 0)
		return false;
	p->room--;
	p->n++;
	p->off = item->next_off;
	(void)snprintf(p->last, sizeof(p->last), "%s", item->name);
	if (item->info.node) /* plus: one look-up was counted */
		assert_true(strcmp(item->name, ".") != 0 && strcmp(item->name, "..") != 0);
	return true;
}

static void readdir_in_parts(void **state)
{
	struct fx *x = *state;
	struct supafs_vfs_stats before, after;
	struct part p = {.room = 1};
	uint64_t fh;
	unsigned calls = 0;

	for (int i = 0; i < 100; i++) {
		char key[16];

		(void)snprintf(key, sizeof(key), "n%03d", i);
		fx_server_put(x, key, "x");
	}
	fx_mark(x);
	supafs_vfs_stats(x->v, &before);
	assert_int_equal(supafs_vfs_opendir(x->v, SUPAFS_ROOT_ID, &fh), 0);
	struct supafs_dir_read rd = {.fh = fh, .plus = true, .add = take_some, .ctx = &p};

	for (unsigned last = UINT32_MAX; p.n != last; calls++) {
		last = p.n;
		rd.off = p.off;
		assert_int_equal(supafs_vfs_readdir(x->v, &x->call, &rd, &x->fault), 0);
		p.room = 7;
	}
	assert_int_equal(p.n, 102);
	assert_string_equal(p.last, "n099");
	assert_true(calls > 14);
	assert_int_equal(fx_count(x, SUPAFS_OP_LIST), 1);
	supafs_vfs_stats(x->v, &after);
	assert_int_equal(after.nodes - before.nodes, 100);

	/* Back to the beginning sees what is there now. */
	assert_int_equal(fx_save(x, "new", "x"), 0);
	p = (struct part){.room = 1000};
	rd = (struct supafs_dir_read){.fh = fh, .add = take_some, .ctx = &p};
	assert_int_equal(supafs_vfs_readdir(x->v, &x->call, &rd, &x->fault), 0);
	assert_int_equal(p.n, 103);
	supafs_vfs_releasedir(x->v, fh);
}

static void listing_costs_no_request_per_file(void **state)
{
	struct fx *x = *state;
	struct stat st;
	char path[32];

	fill(x, "d", 2000);
	fx_mark(x);
	(void)fx_ls(x, "d");
	for (unsigned i = 0; i < 2000; i += 50) {
		(void)snprintf(path, sizeof(path), "d/f%04u", i);
		assert_int_equal(fx_stat(x, path, &st), 0);
	}
	assert_string_equal(fx_cat(x, "d/.git"), "!ENOENT");
	assert_true(fx_all(x) <= 4); /* the folder itself, and three pages */
	fx_mark(x);
	assert_string_equal(fx_cat(x, "d/f1000"), "x");
	assert_int_equal(fx_count(x, SUPAFS_OP_GET), 1);
	assert_int_equal(fx_all(x), 1);
}

static void odd_keys(void **state)
{
	struct fx *x = *state;

	fx_server_put(x, "a", "file");
	fx_server_put(x, "a/b", "below");
	assert_string_equal(fx_ls(x, ""), "a a=2F/");
	assert_string_equal(fx_cat(x, "a"), "file");
	assert_string_equal(fx_ls(x, "a=2F"), "b");
	assert_string_equal(fx_cat(x, "a=2F/b"), "below");
	assert_int_equal(fx_unlink(x, "a", 1), 0);
	assert_true(fx_server_has(x, "a/b"));
}

static void unknown_nodes_and_handles(void **state)
{
	struct fx *x = *state;
	struct supafs_node_info info;
	struct supafs_open_result open;
	uint64_t fh;
	char c;

	assert_int_equal(supafs_vfs_getattr(x->v, &x->call, 4711, &info, &x->fault), -ESTALE);
	assert_int_equal(
		supafs_vfs_open(x->v, &x->call, 4711, O_RDONLY, &open, &x->fault), -ESTALE);
	assert_int_equal(supafs_vfs_opendir(x->v, 4711, &fh), -ESTALE);
	assert_int_equal(fx_read(x, 4711, &c, 1, 0), -EBADF);
	assert_int_equal(fx_flush(x, 4711), -EBADF);
	supafs_vfs_release(x->v, 4711);
	supafs_vfs_forget(x->v, 4711, 1);
	assert_int_equal(supafs_vfs_getattr(x->v, &x->call, SUPAFS_ROOT_ID, &info, &x->fault), 0);
	assert_int_equal(info.st.st_mode, S_IFDIR | 0755);
	assert_int_equal(fx_count(x, SUPAFS_OP_LIST), 0);
}

static void nodes_are_let_go(void **state)
{
	struct fx *x = *state;
	struct supafs_vfs_stats stats;
	char path[64];

	for (int i = 0; i < 50; i++) {
		(void)snprintf(path, sizeof(path), "d%d", i % 5);
		if (i < 5)
			assert_int_equal(fx_mkdir(x, path), 0);
		(void)snprintf(path, sizeof(path), "d%d/f%d", i % 5, i);
		assert_int_equal(fx_save(x, path, "content"), 0);
		assert_string_equal(fx_cat(x, path), "content");
	}
	fx_quiet(x);
	supafs_vfs_stats(x->v, &stats);
	assert_int_equal(stats.nodes, 1);
	assert_int_equal(stats.handles, 0);
}

static void below_a_prefix(void **state)
{
	const struct fx_config cfg = {.ttl_ms = UINT64_MAX, .root = "mine/here/"};
	struct fx *x = fx_new(&cfg);

	(void)state;
	fx_server_put(x, "mine/here/f", "inside");
	fx_server_put(x, "mine/other", "outside");
	assert_string_equal(fx_ls(x, ""), "f");
	assert_string_equal(fx_cat(x, "f"), "inside");
	assert_int_equal(fx_mkdir(x, "d"), 0);
	assert_int_equal(fx_save(x, "d/g", "deep"), 0);
	assert_string_equal(fx_server_text(x, "mine/here/d/g"), "deep");
	assert_int_equal(fx_rename(x, "d", "e", 0), 0);
	assert_string_equal(fx_server_text(x, "mine/here/e/g"), "deep");
	assert_int_equal(fx_unlink(x, "f", 1), 0);
	assert_false(fx_server_has(x, "mine/here/f"));
	assert_int_equal(fx_free(x), 0);
}

static void nothing_cached_without_ttl(void **state)
{
	const struct fx_config cfg = {.ttl_ms = 0};
	struct fx *x = fx_new(&cfg);

	(void)state;
	fx_server_put(x, "f", "one");
	assert_string_equal(fx_cat(x, "f"), "one");
	fx_server_put(x, "f", "two");
	assert_string_equal(fx_cat(x, "f"), "two");
	fx_server_remove(x, "f");
	assert_string_equal(fx_cat(x, "f"), "!ENOENT");
	fx_server_put(x, "d/f", "x");
	assert_int_equal(fx_unlink(x, "d/f", 1), 0);
	assert_string_equal(fx_ls(x, ""), "d/");
	assert_int_equal(fx_free(x), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(unlink_clean),
		T(unlink_tells_the_truth),
		T(unlink_before_the_first_upload),
		T(unlink_dirty_over_an_object),
		T(unlink_open_clean),
		T(unlinked_handle_keeps_its_node),
		T(remove_a_whole_folder),
		T(gathered_is_settled_before_it_can_be_seen),
		T(refused_deletes_come_back),
		T(missing_in_the_reply_is_looked_at),
		T(other_processes_do_not_gather),
		T(gathered_are_settled_at_unmount),
		T(mkdir_and_rmdir),
		T(rmdir_asks_the_server),
		T(a_folder_stays_when_its_last_file_goes),
		T(a_folder_stays_when_its_files_are_gathered),
		T(a_folder_stays_when_its_last_folder_goes),
		T(marker_objects_are_folders),
		T(readdir_in_parts),
		T(listing_costs_no_request_per_file),
		T(odd_keys),
		T(unknown_nodes_and_handles),
		T(nodes_are_let_go),
		cmocka_unit_test(below_a_prefix),
		cmocka_unit_test(nothing_cached_without_ttl),
#undef T
	};

	return cmocka_run_group_tests_name("vfs_names", tests, NULL, NULL);
}
