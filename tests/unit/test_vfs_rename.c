/* SPDX-License-Identifier: Apache-2.0 */
/* Rename (files and folders, clean, dirty, open, held back) and copy_file_range. */
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

/* --- Files ---------------------------------------------------------------------------------------
 */

static void clean_to_a_free_name(void **state)
{
	struct fx *x = *state;

	fx_server_put(x, "a", "content");
	assert_string_equal(fx_ls(x, ""), "a");
	fx_mark(x);
	assert_int_equal(fx_rename(x, "a", "b", 0), 0);
	assert_int_equal(fx_count(x, SUPAFS_OP_MOVE), 1);
	assert_int_equal(fx_all(x), 1);
	assert_false(fx_server_has(x, "a"));
	assert_string_equal(fx_ls(x, ""), "b");
	assert_string_equal(fx_cat(x, "b"), "content");
	assert_string_equal(fx_cat(x, "a"), "!ENOENT");
}

static void clean_over_an_existing_name(void **state)
{
	struct fx *x = *state;

	fx_server_put(x, "a", "new");
	fx_server_put(x, "b", "old");
	assert_string_equal(fx_ls(x, ""), "a b");
	fx_mark(x);
	assert_int_equal(fx_rename(x, "a", "b", 0), 0);
	assert_int_equal(fx_count(x, SUPAFS_OP_COPY), 1); /* the target is never missing */
	assert_int_equal(fx_count(x, SUPAFS_OP_REMOVE), 1);
	assert_int_equal(fx_all(x), 2);
	assert_string_equal(fx_server_text(x, "b"), "new");
	assert_false(fx_server_has(x, "a"));
	assert_string_equal(fx_ls(x, ""), "b");
	assert_string_equal(fx_cat(x, "b"), "new");
}

static void appeared_meanwhile(void **state)
{
	struct fx *x = *state;

	fx_server_put(x, "a", "new");
	assert_string_equal(fx_ls(x, ""), "a");
	fx_server_put(x, "b", "unseen");
	assert_int_equal(fx_rename(x, "a", "b", 1 /* RENAME_NOREPLACE */), -EEXIST);
	assert_string_equal(fx_server_text(x, "b"), "unseen");
	assert_int_equal(fx_rename(x, "a", "b", 0), 0);
	assert_string_equal(fx_server_text(x, "b"), "new");
	fx_server_put(x, "c", "c");
	fx_advance_ms(x, FX_TTL_MS + 1);
	assert_int_equal(fx_rename(x, "c", "b", 1), -EEXIST);
	assert_int_equal(fx_rename(x, "c", "b", 4 /* RENAME_WHITEOUT */), -EINVAL);
}

static void onto_itself_and_missing(void **state)
{
	struct fx *x = *state;

	fx_server_put(x, "a", "1");
	assert_string_equal(fx_ls(x, ""), "a");
	fx_mark(x);
	assert_int_equal(fx_rename(x, "a", "a", 0), 0);
	assert_int_equal(fx_rename(x, "no", "b", 0), -ENOENT);
	assert_int_equal(fx_all(x), 0);
	assert_int_equal(fx_rename(x, "a", "no/b", 0), -ENOENT);
	assert_int_equal(fx_rename(x, "a/x", "b", 0), -ENOTDIR);
}

static void kinds_must_agree(void **state)
{
	struct fx *x = *state;

	fx_server_put(x, "f", "1");
	fx_server_put(x, "d/x", "1");
	assert_int_equal(fx_rename(x, "f", "d", 0), -EISDIR);
	assert_int_equal(fx_rename(x, "d", "f", 0), -ENOTDIR);
	assert_int_equal(fx_rename(x, "d", "d/below", 0), -EINVAL);
}

static void failure_leaves_all_as_it_was(void **state)
{
	struct fx *x = *state;

	fx_server_put(x, "a", "1");
	fx_server_put(x, "b", "2");
	fx_fail(x, SUPAFS_OP_COPY, 0, 1, -EACCES);
	assert_int_equal(fx_rename(x, "a", "b", 0), -EACCES);
	assert_string_equal(fx_cat(x, "a"), "1");
	assert_string_equal(fx_cat(x, "b"), "2");
	fx_fail(x, SUPAFS_OP_MOVE, 0, 1, -EIO);
	assert_int_equal(fx_rename(x, "a", "c", 0), -EIO);
	assert_string_equal(fx_ls(x, ""), "a b");
	assert_string_equal(fx_cat(x, "a"), "1");
}

static void open_for_reading(void **state)
{
	struct fx *x = *state;
	uint64_t fh;

	fx_server_put(x, "a", "0123456789");
	assert_int_equal(fx_open(x, "a", O_RDONLY, &fh), 0);
	fx_expect(x, fh, 0, "01");
	assert_int_equal(fx_rename(x, "a", "b", 0), 0);
	fx_expect(x, fh, 5, "56789");
	assert_int_equal(fx_rename(x, "b", "c", 0), 0);
	fx_expect(x, fh, 0, "0123456789");
	assert_int_equal(fx_close(x, fh), 0);
}

static void replaced_while_open(void **state)
{
	struct fx *x = *state;
	uint64_t fh;

	fx_server_put(x, "a", "new");
	fx_server_put(x, "b", "old");
	assert_int_equal(fx_open(x, "b", O_RDONLY, &fh), 0);
	assert_int_equal(fx_rename(x, "a", "b", 0), 0);
	fx_expect(x, fh, 0, "old"); /* brought to a spool before it went */
	assert_string_equal(fx_cat(x, "b"), "new");
	assert_int_equal(fx_close(x, fh), 0);
}

static void new_and_still_open(void **state)
{
	struct fx *x = *state;
	uint64_t fh;

	fx_mark(x);
	assert_int_equal(fx_create(x, "a", O_WRONLY, &fh), 0);
	assert_int_equal(fx_write(x, fh, "one", 0), 0);
	assert_int_equal(fx_rename(x, "a", "b", 0), 0);
	assert_int_equal(fx_all(x), fx_count(x, SUPAFS_OP_LIST)); /* only the name */
	assert_string_equal(fx_ls(x, ""), "b");
	assert_int_equal(fx_write(x, fh, "two", 3), 0);
	assert_int_equal(fx_close(x, fh), 0);
	assert_int_equal(fx_count(x, SUPAFS_OP_PUT), 1);
	assert_string_equal(fx_server_text(x, "b"), "onetwo");
	assert_false(fx_server_has(x, "a"));
}

static void new_and_open_over_an_existing_name(void **state)
{
	struct fx *x = *state;
	uint64_t fh;

	fx_server_put(x, "b", "old");
	assert_int_equal(fx_create(x, "a", O_WRONLY, &fh), 0);
	assert_int_equal(fx_write(x, fh, "new", 0), 0);
	assert_int_equal(fx_rename(x, "a", "b", 0), 0);
	assert_string_equal(fx_cat(x, "b"), "new");
	assert_string_equal(fx_server_text(x, "b"), "old"); /* until the close */
	assert_int_equal(fx_unlink(x, "b", 1), 0);          /* takes the server's object too */
	assert_false(fx_server_has(x, "b"));
	assert_int_equal(fx_close(x, fh), 0);
	assert_false(fx_server_has(x, "b"));
	assert_string_equal(fx_ls(x, ""), "");
}

static void changed_and_still_open(void **state)
{
	struct fx *x = *state;
	uint64_t fh;

	fx_server_put(x, "a", "0123456789");
	assert_int_equal(fx_open(x, "a", O_RDWR, &fh), 0);
	assert_int_equal(fx_write(x, fh, "XX", 0), 0);
	assert_int_equal(fx_rename(x, "a", "b", 0), 0);
	assert_false(fx_server_has(x, "a"));
	fx_expect(x, fh, 0, "XX23456789");
	assert_int_equal(fx_close(x, fh), 0);
	assert_string_equal(fx_server_text(x, "b"), "XX23456789");
	assert_false(fx_server_has(x, "a"));
	assert_string_equal(fx_ls(x, ""), "b");
}

static void held_back_under_a_temporary_name(void **state)
{
	struct fx *x = *state;
	struct supafs_setattr set = {.which = SUPAFS_SET_MTIME, .mtime_ns = 99};
	struct supafs_node_info info;
	struct supafs_info server;
	uint64_t node;

	/* rsync: write, close, set the time, rename */
	fx_mark(x);
	assert_int_equal(fx_save(x, ".f.txt.aB3dE6", "content"), 0);
	assert_int_equal(fx_path(x, ".f.txt.aB3dE6", &node), 0);
	assert_int_equal(supafs_vfs_setattr(x->v, &x->call, node, &set, &info, &x->fault), 0);
	supafs_vfs_forget(x->v, node, 1);
	assert_int_equal(fx_all(x), fx_count(x, SUPAFS_OP_LIST));
	assert_string_equal(fx_ls(x, ""), ".f.txt.aB3dE6");
	assert_string_equal(fx_cat(x, ".f.txt.aB3dE6"), "content");
	assert_int_equal(fx_rename(x, ".f.txt.aB3dE6", "f.txt", 0), 0);
	assert_int_equal(fx_count(x, SUPAFS_OP_PUT), 1);
	assert_int_equal(fx_all(x), 1 + fx_count(x, SUPAFS_OP_LIST));
	assert_true(fx_count(x, SUPAFS_OP_LIST) <= 3);
	assert_int_equal(fx_server_info(x, "f.txt", &server), 0);
	assert_int_equal(server.meta.mtime_ns, 99);
	assert_string_equal(server.mime, "text/plain");
	assert_string_equal(fx_ls(x, ""), "f.txt");
	assert_string_equal(fx_cat(x, "f.txt"), "content");

	fx_mark(x); /* over an existing name: one upload as well */
	assert_int_equal(fx_save(x, ".f.txt.Zz9Yy8", "newer"), 0);
	assert_int_equal(fx_rename(x, ".f.txt.Zz9Yy8", "f.txt", 0), 0);
	assert_int_equal(fx_count(x, SUPAFS_OP_PUT), 1);
	assert_int_equal(fx_count(x, SUPAFS_OP_REMOVE), 0);
	assert_string_equal(fx_server_text(x, "f.txt"), "newer");
}

static void held_back_and_the_rename_fails(void **state)
{
	struct fx *x = *state;

	fx_server_put(x, "f", "old");
	assert_int_equal(fx_save(x, "f~", "new"), 0);
	fx_fail(x, SUPAFS_OP_PUT, 0, 1, -EIO);
	assert_int_equal(fx_rename(x, "f~", "f", 0), -EIO);
	assert_string_equal(fx_cat(x, "f"), "old");
	assert_string_equal(fx_cat(x, "f~"), "new");
	assert_int_equal(fx_rename(x, "f~", "f", 0), 0);
	assert_string_equal(fx_cat(x, "f"), "new");
}

static void held_back_until_the_unmount(void **state)
{
	struct fx *x = *state;

	assert_int_equal(fx_save(x, "4713", "x"), 0);
	assert_int_equal(fx_save(x, "4913", "vim was here"), 0);
	assert_int_equal(fx_save(x, ".a.swp", "gone again"), 0);
	assert_int_equal(fx_unlink(x, ".a.swp", 1), 0);
	assert_true(fx_server_has(x, "4713"));
	assert_false(fx_server_has(x, "4913"));
	assert_int_equal(fx_rename(x, "4913", "b~", 0), 0);
	assert_false(fx_server_has(x, "b=7E"));
	assert_int_equal(fx_remount(x), 0);
	assert_string_equal(fx_server_text(x, "b=7E"), "vim was here");
	assert_string_equal(fx_ls(x, ""), "4713 b~");
}

static void editor_makes_a_backup(void **state)
{
	struct fx *x = *state;

	fx_server_put(x, "f", "old");
	assert_int_equal(fx_rename(x, "f", "f~", 0), 0); /* the server has it: moved */
	assert_int_equal(fx_save(x, "f", "new"), 0);
	assert_string_equal(fx_cat(x, "f~"), "old");
	assert_int_equal(fx_unlink(x, "f~", 1), 0);
	assert_string_equal(fx_ls(x, ""), "f");
	assert_string_equal(fx_server_text(x, "f"), "new");
}

static void failed_upload_goes_with_the_rename(void **state)
{
	struct fx *x = *state;

	fx_fail(x, SUPAFS_OP_PUT, 0, 1, -EIO);
	assert_int_equal(fx_save(x, "a", "kept"), -EIO);
	assert_int_equal(fx_rename(x, "a", "b", 0), 0);
	assert_string_equal(fx_server_text(x, "b"), "kept");
	assert_string_equal(fx_ls(x, ""), "b");
}

static void last_file_moves_out_of_its_folder(void **state)
{
	struct fx *x = *state;

	fx_server_put(x, "d/f", "x");
	assert_string_equal(fx_ls(x, "d"), "f");
	assert_int_equal(fx_rename(x, "d/f", "f", 0), 0);
	assert_string_equal(fx_ls(x, ""), "d/ f");
	assert_true(fx_server_has(x, "d" KEEPER));
}

static void after_the_ttl_all_is_as_the_server_has_it(void **state)
{
	struct fx *x = *state;

	fx_server_put(x, "a", "1");
	fx_server_put(x, "b", "2");
	assert_int_equal(fx_rename(x, "a", "b", 0), 0);
	assert_int_equal(fx_save(x, "c", "3"), 0);
	assert_int_equal(fx_rename(x, "c", "d", 0), 0);
	fx_advance_ms(x, FX_TTL_MS + 1);
	assert_string_equal(fx_ls(x, ""), "b d");
	assert_string_equal(fx_cat(x, "b"), "1");
	assert_string_equal(fx_cat(x, "d"), "3");
}

/* --- Folders
 * ---------------------------------------------------------------------------------------- */

static void tree(struct fx *x, const char *top, unsigned n)
{
	char key[64];

	for (unsigned i = 0; i < n; i++) {
		(void)snprintf(key, sizeof(key), "%s/%u/f%u", top, i % 7, i);
		fx_server_put(x, key, key);
	}
}

static void folder_to_a_free_name(void **state)
{
	struct fx *x = *state;

	tree(x, "d", 200);
	assert_string_equal(fx_ls(x, "d"), "0/ 1/ 2/ 3/ 4/ 5/ 6/");
	fx_mark(x);
	assert_int_equal(fx_rename(x, "d", "e", 0), 0);
	assert_int_equal(fx_count(x, SUPAFS_OP_MOVE), 200);
	assert_true(fx_all(x) <= 203);
	assert_string_equal(fx_ls(x, ""), "e/");
	assert_string_equal(fx_ls(x, "e"), "0/ 1/ 2/ 3/ 4/ 5/ 6/");
	assert_string_equal(fx_cat(x, "e/3/f10"), "d/3/f10");
	assert_string_equal(fx_cat(x, "d/3/f10"), "!ENOENT");
	assert_string_equal(fx_server_text(x, "e/6/f195"), "d/6/f195");
}

static void folder_over_an_empty_one(void **state)
{
	struct fx *x = *state;

	assert_int_equal(fx_mkdir(x, "d"), 0);
	assert_int_equal(fx_save(x, "d/f", "x"), 0);
	assert_int_equal(fx_mkdir(x, "e"), 0);
	assert_int_equal(fx_rename(x, "d", "e", 1), -EEXIST);
	assert_int_equal(fx_rename(x, "d", "e", 0), 0);
	assert_string_equal(fx_ls(x, ""), "e/");
	assert_string_equal(fx_ls(x, "e"), "f");
	assert_int_equal(fx_mkdir(x, "g"), 0);
	assert_int_equal(fx_rename(x, "g", "e", 0), -ENOTEMPTY);
	assert_int_equal(fx_rename(x, "g", "h", 0), 0); /* an empty one has its placeholder */
	fx_advance_ms(x, FX_TTL_MS + 1);
	assert_string_equal(fx_ls(x, ""), "e/ h/");
	assert_true(fx_server_has(x, "h" KEEPER));
}

static void folder_with_open_and_new_files(void **state)
{
	struct fx *x = *state;
	uint64_t reader, writer, maker;

	fx_server_put(x, "d/clean", "0123456789");
	fx_server_put(x, "d/changed", "0123456789");
	assert_int_equal(fx_open(x, "d/clean", O_RDONLY, &reader), 0);
	assert_int_equal(fx_open(x, "d/changed", O_RDWR, &writer), 0);
	assert_int_equal(fx_write(x, writer, "XX", 0), 0);
	assert_int_equal(fx_create(x, "d/new", O_WRONLY, &maker), 0);
	assert_int_equal(fx_write(x, maker, "fresh", 0), 0);
	assert_int_equal(fx_save(x, "d/.new.aaaaaa", "held"), 0);
	assert_int_equal(fx_rename(x, "d", "e", 0), 0);
	assert_string_equal(fx_ls(x, ""), "e/");
	assert_string_equal(fx_ls(x, "e"), ".new.aaaaaa changed clean new");
	assert_string_equal(fx_ls(x, "d"), "!ENOENT");
	fx_expect(x, reader, 3, "3456789");
	fx_expect(x, writer, 0, "XX23456789");
	assert_int_equal(fx_close(x, reader), 0);
	assert_int_equal(fx_close(x, writer), 0);
	assert_int_equal(fx_close(x, maker), 0);
	assert_string_equal(fx_server_text(x, "e/changed"), "XX23456789");
	assert_string_equal(fx_server_text(x, "e/new"), "fresh");
	assert_string_equal(fx_cat(x, "e/.new.aaaaaa"), "held");
	assert_int_equal(fx_rename(x, "e/.new.aaaaaa", "e/done", 0), 0);
	assert_string_equal(fx_server_text(x, "e/done"), "held");
}

static void folder_that_fails_half_way(void **state)
{
	struct fx *x = *state;
	unsigned here = 0, there = 0;
	char key[64];

	tree(x, "d", 50);
	fx_fail(x, SUPAFS_OP_MOVE, 20, 1, -EACCES);
	assert_int_equal(fx_rename(x, "d", "e", 0), -EACCES);
	for (unsigned i = 0; i < 50; i++) {
		(void)snprintf(key, sizeof(key), "d/%u/f%u", i % 7, i);
		here += fx_server_has(x, key);
		key[0] = 'e';
		there += fx_server_has(x, key);
	}
	assert_int_equal(here, 1);
	assert_int_equal(there, 49);
	assert_string_equal(fx_ls(x, ""), "d/ e/"); /* shown as it is */
	assert_int_equal(fx_rename(x, "d", "e", 0), -ENOTEMPTY);
}

static void folder_rename_switched_off(void **state)
{
	const struct fx_config cfg = {.ttl_ms = UINT64_MAX, .no_rename_dir = true};
	struct fx *x = fx_new(&cfg);

	(void)state;
	fx_server_put(x, "d/f", "x");
	assert_int_equal(fx_rename(x, "d", "e", 0), -EXDEV);
	assert_int_equal(fx_rename(x, "d/f", "d/g", 0), 0);
	assert_int_equal(fx_free(x), 0);
}

static void key_too_long_is_found_before_anything_moves(void **state)
{
	struct fx *x = *state;
	char deep[900], to[256];

	memset(deep, 'x', sizeof(deep));
	memcpy(deep, "d/", 2);
	for (int i = 200; i < 880; i += 200)
		deep[i] = '/';
	deep[880] = '\0';
	fx_server_put(x, deep, "deep");
	fx_server_put(x, "d/a", "shallow");
	memset(to, 'y', sizeof(to));
	to[200] = '\0';
	assert_int_equal(fx_rename(x, "d", to, 0), -ENAMETOOLONG);
	assert_true(fx_server_has(x, "d/a"));
}

/* --- copy_file_range
 * -------------------------------------------------------------------------------- */

static ssize_t copy(
	struct fx *x, uint64_t in, uint64_t out, uint64_t off_in, uint64_t off_out, uint64_t n)
{
	const struct supafs_copy_range r = {in, off_in, out, off_out, n};

	return supafs_vfs_copy_range(x->v, &x->call, &r, &x->fault);
}

/* The server copies at close, and would copy what is there by then. */
static void copy_changed(struct fx *x)
{
	uint64_t in, out;

	assert_int_equal(fx_open(x, "a", O_RDWR, &in), 0);
	assert_int_equal(fx_create(x, "b", O_WRONLY | O_TRUNC, &out), 0);
	assert_int_equal(copy(x, in, out, 0, 0, 3), 3);
	assert_int_equal(fx_write(x, in, "new", 0), 0);
	assert_int_equal(fx_close(x, in), 0);
	assert_int_equal(fx_flush(x, out), -ESTALE);
	assert_false(fx_server_has(x, "b"));
	assert_int_equal(fx_close(x, out), -ESTALE);
	assert_int_equal(fx_unlink(x, "b", 1), 0);
}

static void copy_of_a_source_that_changed(void **state)
{
	struct fx *x = *state;
	uint64_t node;

	fx_server_put(x, "a", "old");
	assert_int_equal(fx_path(x, "a", &node), 0); /* the kernel knows it on */
	copy_changed(x);
	supafs_vfs_forget(x->v, node, 1);
}

static void copy_of_a_forgotten_source_that_changed(void **state)
{
	struct fx *x = *state;

	fx_server_put(x, "a", "old");
	copy_changed(x);
}

static void copy_whole(void **state)
{
	struct fx *x = *state;
	struct stat st;
	uint64_t in, out;

	fx_server_put(x, "a", "0123456789");
	assert_int_equal(fx_open(x, "a", O_RDONLY, &in), 0);
	assert_int_equal(fx_create(x, "b", O_WRONLY | O_TRUNC, &out), 0);
	fx_mark(x);
	assert_int_equal(copy(x, in, out, 0, 0, 4), 4); /* in several calls */
	assert_int_equal(fx_stat(x, "b", &st), 0);
	assert_int_equal(st.st_size, 4);
	assert_int_equal(copy(x, in, out, 4, 4, 1 << 20), 6);
	assert_int_equal(copy(x, in, out, 10, 10, 1 << 20), 0);
	assert_int_equal(fx_close(x, out), 0);
	assert_int_equal(fx_close(x, in), 0);
	assert_int_equal(fx_count(x, SUPAFS_OP_COPY), 1);
	assert_int_equal(fx_all(x), 1);
	assert_string_equal(fx_server_text(x, "b"), "0123456789");
	assert_string_equal(fx_cat(x, "b"), "0123456789");
}

static void copy_part_and_more(void **state)
{
	struct fx *x = *state;
	uint64_t in, out;

	fx_server_put(x, "a", "0123456789");
	assert_int_equal(fx_open(x, "a", O_RDONLY, &in), 0);
	assert_int_equal(fx_create(x, "part", O_RDWR, &out), 0);
	assert_int_equal(copy(x, in, out, 0, 0, 5), 5);
	assert_int_equal(fx_close(x, out), 0);
	assert_string_equal(fx_server_text(x, "part"), "01234");

	assert_int_equal(fx_create(x, "changed", O_RDWR, &out), 0);
	assert_int_equal(copy(x, in, out, 0, 0, 10), 10);
	assert_int_equal(fx_write(x, out, "XX", 4), 0); /* real from here on */
	fx_expect(x, out, 0, "0123XX6789");
	assert_int_equal(fx_close(x, out), 0);
	assert_string_equal(fx_server_text(x, "changed"), "0123XX6789");

	assert_int_equal(fx_create(x, "read", O_RDWR, &out), 0);
	assert_int_equal(copy(x, in, out, 0, 0, 10), 10);
	fx_expect(x, out, 3, "3456");
	assert_int_equal(fx_close(x, out), 0);
	assert_string_equal(fx_server_text(x, "read"), "0123456789");

	assert_int_equal(fx_open(x, "part", O_RDWR, &out), 0); /* into the middle: bytes */
	assert_int_equal(copy(x, in, out, 7, 1, 3), 3);
	assert_int_equal(fx_close(x, out), 0);
	assert_string_equal(fx_server_text(x, "part"), "07894");
	assert_int_equal(fx_close(x, in), 0);
}

static void copy_over_an_existing_file(void **state)
{
	struct fx *x = *state;
	uint64_t in, out;

	fx_server_put(x, "a", "new content");
	fx_server_put(x, "b", "old");
	assert_int_equal(fx_open(x, "a", O_RDONLY, &in), 0);
	assert_int_equal(fx_open(x, "b", O_WRONLY | O_TRUNC, &out), 0);
	fx_mark(x);
	assert_int_equal(copy(x, in, out, 0, 0, 1 << 20), 11);
	assert_int_equal(fx_close(x, out), 0);
	assert_int_equal(fx_all(x), 1);
	assert_int_equal(fx_close(x, in), 0);
	assert_string_equal(fx_server_text(x, "b"), "new content");
}

static void copy_of_what_is_not_sent_yet(void **state)
{
	struct fx *x = *state;
	uint64_t in, out;

	assert_int_equal(fx_create(x, "a", O_RDWR, &in), 0);
	assert_int_equal(fx_write(x, in, "dirty bytes", 0), 0);
	assert_int_equal(fx_create(x, "b", O_WRONLY, &out), 0);
	assert_int_equal(copy(x, in, out, 0, 0, 100), 11);
	assert_int_equal(fx_close(x, out), 0);
	assert_string_equal(fx_server_text(x, "b"), "dirty bytes");
	assert_false(fx_server_has(x, "a"));
	assert_int_equal(fx_close(x, in), 0);
}

static void copy_source_gone_before_the_close(void **state)
{
	struct fx *x = *state;
	uint64_t in, out;

	fx_server_put(x, "a", "0123456789");
	assert_int_equal(fx_open(x, "a", O_RDONLY, &in), 0);
	assert_int_equal(fx_create(x, "b", O_WRONLY, &out), 0);
	assert_int_equal(copy(x, in, out, 0, 0, 100), 10);
	fx_server_remove(x, "a");
	assert_int_equal(fx_close(x, out), -ESTALE); /* told, not swallowed */
	assert_false(fx_server_has(x, "b"));
	assert_int_equal(fx_close(x, in), 0);
	assert_int_equal(fx_unlink(x, "b", 1), 0);
}

/* A list that is longer than what is kept of it: 1500 files in portions of a page. */
static void folder_in_portions(void **state)
{
	const struct fx_config cfg = {.ttl_ms = UINT64_MAX, .rename_portion = 1};
	struct fx *x = fx_new(&cfg);
	char key[SUPAFS_KEY_MAX + 1];

	(void)state;
	for (unsigned i = 0; i < 1500; i++) {
		(void)snprintf(key, sizeof(key), "old/%04u", i);
		fx_server_put(x, key, "");
	}
	fx_fail(x, SUPAFS_OP_MOVE, 10, 1, -EACCES); /* does not keep the others from moving */
	assert_int_equal(fx_rename(x, "old", "new", 0), -EACCES);
	assert_int_equal(fx_rename(x, "new/1499", "last", 0), 0);
	assert_true(fx_server_has(x, "new/1498") && fx_server_has(x, "new/1000"));

	/* One key that would be too long, in the last portion: nothing is moved. */
	memset(key, 'z', sizeof(key));
	memcpy(key, "new/", 4);
	for (size_t at = 4 + 200; at < SUPAFS_KEY_MAX - 1; at += 201)
		key[at] = '/';
	key[SUPAFS_KEY_MAX - 1] = '\0';
	fx_server_put(x, key, "");
	fx_mark(x);
	assert_int_equal(fx_rename(x, "new", "longer", 0), -ENAMETOOLONG);
	assert_int_equal(fx_count(x, SUPAFS_OP_MOVE), 0);
	assert_true(fx_server_has(x, "new/0100") && fx_server_has(x, "new/1498"));
	assert_int_equal(fx_free(x), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(clean_to_a_free_name),
		T(clean_over_an_existing_name),
		T(appeared_meanwhile),
		T(onto_itself_and_missing),
		T(kinds_must_agree),
		T(failure_leaves_all_as_it_was),
		T(open_for_reading),
		T(replaced_while_open),
		T(new_and_still_open),
		T(new_and_open_over_an_existing_name),
		T(changed_and_still_open),
		T(held_back_under_a_temporary_name),
		T(held_back_and_the_rename_fails),
		T(held_back_until_the_unmount),
		T(editor_makes_a_backup),
		T(failed_upload_goes_with_the_rename),
		T(last_file_moves_out_of_its_folder),
		T(after_the_ttl_all_is_as_the_server_has_it),
		T(folder_to_a_free_name),
		T(folder_over_an_empty_one),
		T(folder_with_open_and_new_files),
		T(folder_that_fails_half_way),
		cmocka_unit_test(folder_rename_switched_off),
		T(key_too_long_is_found_before_anything_moves),
		T(copy_of_a_source_that_changed),
		T(copy_of_a_forgotten_source_that_changed),
		T(copy_whole),
		T(copy_part_and_more),
		T(copy_over_an_existing_file),
		T(copy_of_what_is_not_sent_yet),
		T(copy_source_gone_before_the_close),
#undef T
		cmocka_unit_test(folder_in_portions),
	};

	return cmocka_run_group_tests_name("vfs_rename", tests, NULL, NULL);
}
