/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each path through the vfs with its n-th allocation failing, n = 1, 2, 3 … until it gets through
 * without a failure: it ends with an error or is truly done, never crashes, leaks nothing
 * (AddressSanitizer), and after an error the same works.
 *
 * A path is a list of steps over the whole stack on the memory store.
 */
#include "runner.h"

#define BIG  200000U
#define MANY 300

/* Of one program at a time; the acts have no memory of their own. */
static char big[BIG];

static void fill_big(void)
{
	for (unsigned i = 0; i < BIG; i++)
		big[i] = (char)('a' + i % 23 + i / 5000 % 3);
}

/* --- Reading --------------------------------------------------------------------------------- */

static void prepare_read(struct fx *x)
{
	fx_server_put_bytes(x, "d/e/big", big, BIG);
}

static int act_read(struct fx *x)
{
	char buf[5000];
	uint64_t fh, off = 0;
	ssize_t n = fx_open(x, "d/e/big", O_RDONLY, &fh);

	if (n < 0)
		return (int)n;
	do {
		n = fx_read(x, fh, buf, sizeof(buf), off);
		if (n > 0)
			assert_memory_equal(buf, big + off, (size_t)n);
		off += n > 0 ? (uint64_t)n : 0;
	} while (n > 0);
	(void)fx_close(x, fh);
	if (n == 0)
		assert_int_equal(off, BIG);
	return (int)n;
}

/* --- Writing --------------------------------------------------------------------------------- */

static void prepare_nothing(struct fx *x)
{
	(void)x;
}

static int act_write(struct fx *x)
{
	return fx_save(x, "new.txt", "some text");
}

static void check_write(struct fx *x)
{
	assert_string_equal(fx_server_text(x, "new.txt"), "some text");
	assert_string_equal(fx_cat(x, "new.txt"), "some text");
}

static void prepare_change(struct fx *x)
{
	fx_server_put(x, "old.txt", "0123456789abcdefghij");
}

/* In the middle of an object: what is around it is fetched at close. */
static int act_change(struct fx *x)
{
	uint64_t fh;
	int r = fx_open(x, "old.txt", O_RDWR, &fh);

	if (r != 0)
		return r;
	r = fx_write(x, fh, "XYZ", 5);
	if (r != 0) {
		(void)fx_close(x, fh);
		return r;
	}
	return fx_close(x, fh);
}

static void check_change(struct fx *x)
{
	assert_string_equal(fx_server_text(x, "old.txt"), "01234XYZ89abcdefghij");
	assert_string_equal(fx_cat(x, "old.txt"), "01234XYZ89abcdefghij");
}

static int act_truncate(struct fx *x)
{
	return fx_truncate(x, "old.txt", 4);
}

static void check_truncate(struct fx *x)
{
	assert_string_equal(fx_server_text(x, "old.txt"), "0123");
}

/* --- Listing --------------------------------------------------------------------------------- */

static void prepare_list(struct fx *x)
{
	char key[64];

	for (int i = 0; i < MANY; i++) {
		(void)snprintf(key, sizeof(key), "many/%s%03d", i % 10 ? "file" : "sub/", i);
		fx_server_put(x, key, "x");
	}
}

struct counted {
	unsigned n;
	uint64_t off;
};

static bool count(void *ctx, const struct supafs_dir_item *item)
{
	struct counted *c = ctx;

	c->n += item->name[0] != '.';
	c->off = item->next_off;
	return true;
}

/* To the end: "an error after the first entry is reported by the next call". */
static int list_all(struct fx *x, uint64_t fh, unsigned *ret_n)
{
	struct counted c = {0};
	struct supafs_fault fault;
	uint64_t before;
	int r;

	do {
		before = c.off;
		r = supafs_vfs_readdir(x->v, &x->call,
			&(const struct supafs_dir_read){
				.fh = fh, .off = c.off, .add = count, .ctx = &c},
			&fault);
	} while (r == 0 && c.off != before);
	*ret_n = c.n;
	return r;
}

static int act_list(struct fx *x)
{
	unsigned n;
	uint64_t node, fh;
	int r = fx_path(x, "many", &node);

	if (r != 0)
		return r;
	r = supafs_vfs_opendir(x->v, node, &fh);
	supafs_vfs_forget(x->v, node, 1);
	if (r != 0)
		return r;
	r = list_all(x, fh, &n);
	supafs_vfs_releasedir(x->v, fh);
	if (r == 0)
		assert_int_equal(n, MANY * 9 / 10 + 1);
	return r;
}

/* --- Names ----------------------------------------------------------------------------------- */

static void prepare_rename(struct fx *x)
{
	fx_server_put(x, "d/from", "moved");
	fx_server_put(x, "d/over", "old");
	fx_server_put(x, "tree/a/1", "1");
	fx_server_put(x, "tree/a/2", "2");
	fx_server_put(x, "tree/b/3", "3");
}

static int or_gone(int r)
{
	return r == -ENOENT ? 0 : r;
}

/* An error may come after the deed: then the next try finds nothing to do. */
static int renamed(struct fx *x, const char *from, const char *to, const char *done)
{
	struct stat st;
	int r = fx_rename(x, from, to, 0);

	if (r == -ENOENT && fx_server_has(x, done) && fx_stat(x, to, &st) == 0)
		r = 0;
	return r;
}

static int act_rename(struct fx *x)
{
	return renamed(x, "d/from", "d/to", "d/to");
}

static void check_rename(struct fx *x)
{
	assert_string_equal(fx_server_text(x, "d/to"), "moved");
	assert_false(fx_server_has(x, "d/from"));
	assert_string_equal(fx_ls(x, "d"), "over to");
}

static int act_replace(struct fx *x)
{
	struct stat st;

	if (fx_stat(x, "d/from", &st) == -ENOENT)
		return 0;
	return fx_rename(x, "d/from", "d/over", 0);
}

static void check_replace(struct fx *x)
{
	assert_string_equal(fx_server_text(x, "d/over"), "moved");
	assert_false(fx_server_has(x, "d/from"));
	assert_string_equal(fx_ls(x, "d"), "over");
}

/* What is left below the old name, file by file. */
static int move_rest(struct fx *x)
{
	static const char *const files[][2] = {
		{"tree/a/1", "wood/a/1"}, {"tree/a/2", "wood/a/2"}, {"tree/b/3", "wood/b/3"}};
	static const char *const folders[] = {"tree/a", "tree/b", "tree"};
	int r = 0;

	for (size_t i = 0; r == 0 && i < SUPAFS_ARRAY_LEN(files); i++) {
		(void)fx_mkdir(x, i < 2 ? "wood/a" : "wood/b");
		r = or_gone(fx_rename(x, files[i][0], files[i][1], 0));
	}
	for (size_t i = 0; r == 0 && i < SUPAFS_ARRAY_LEN(folders); i++)
		r = or_gone(fx_rmdir(x, folders[i]));
	return r;
}

/* One move of many that is refused for good leaves the folder in two; nothing is lost of it. */
static int act_rename_folder(struct fx *x)
{
	const int r = renamed(x, "tree", "wood", "wood/b/3");

	return r == -ENOTEMPTY ? move_rest(x) : r;
}

static void check_rename_folder(struct fx *x)
{
	assert_string_equal(fx_server_text(x, "wood/a/1"), "1");
	assert_string_equal(fx_server_text(x, "wood/a/2"), "2");
	assert_string_equal(fx_server_text(x, "wood/b/3"), "3");
	assert_false(fx_server_has(x, "tree/a/1"));
	assert_false(fx_server_has(x, "tree/b/3"));
	assert_string_equal(fx_ls(x, "wood"), "a/ b/");
}

static int act_unlink(struct fx *x)
{
	return or_gone(fx_unlink(x, "d/from", 1));
}

static void check_unlink(struct fx *x)
{
	assert_false(fx_server_has(x, "d/from"));
	assert_string_equal(fx_ls(x, "d"), "over");
}

static void prepare_burst(struct fx *x)
{
	char key[64];

	for (int i = 0; i < 12; i++) {
		(void)snprintf(key, sizeof(key), "burst/f%02d", i);
		fx_server_put(x, key, "x");
	}
}

/* rm -rf: gathered, then the rmdir settles them. */
static int act_burst(struct fx *x)
{
	char path[64];
	int r = 0;

	for (int i = 0; i < 12 && r == 0; i++) {
		(void)snprintf(path, sizeof(path), "burst/f%02d", i);
		r = or_gone(fx_unlink(x, path, 7));
	}
	if (r == 0)
		r = or_gone(fx_rmdir(x, "burst"));
	fx_quiet(x);
	return r;
}

static void check_burst(struct fx *x)
{
	assert_string_equal(fx_ls(x, ""), "");
	assert_false(fx_server_has(x, "burst/f00"));
	assert_false(fx_server_has(x, "burst/f11"));
	assert_false(fx_server_has(x, "burst/.emptyFolderPlaceholder"));
}

static int act_mkdir(struct fx *x)
{
	int r = fx_mkdir(x, "made");

	if (r == -EEXIST)
		r = 0;
	return r == 0 ? fx_save(x, "made/in", "side") : r;
}

static void check_mkdir(struct fx *x)
{
	assert_string_equal(fx_ls(x, ""), "made/");
	assert_string_equal(fx_server_text(x, "made/in"), "side");
}

static int act_symlink(struct fx *x)
{
	const struct supafs_make mk = {.parent = SUPAFS_ROOT_ID,
		.name = supafs_str_of("link"),
		.target = supafs_str_of("to/there")};
	struct supafs_node_info info;
	struct supafs_fault fault;
	char target[64];
	uint64_t node;
	ssize_t n;
	int r = supafs_vfs_symlink(x->v, &x->call, &mk, &info, &fault);

	if (r == 0)
		supafs_vfs_forget(x->v, info.node, 1);
	else if (r != -EEXIST)
		return r;
	r = fx_path(x, "link", &node);
	if (r != 0)
		return r;
	n = supafs_vfs_readlink(x->v, &x->call, node, target, sizeof(target), &fault);
	supafs_vfs_forget(x->v, node, 1);
	if (n >= 0)
		assert_string_equal(target, "to/there");
	return n < 0 ? (int)n : 0;
}

static int act_chmod(struct fx *x)
{
	const struct supafs_setattr set = {.which = SUPAFS_SET_MODE, .mode = 0600};
	struct supafs_node_info info;
	struct supafs_fault fault;
	uint64_t node;
	int r = fx_path(x, "old.txt", &node);

	if (r != 0)
		return r;
	r = supafs_vfs_setattr(x->v, &x->call, node, &set, &info, &fault);
	supafs_vfs_forget(x->v, node, 1);
	return r;
}

static void check_chmod(struct fx *x)
{
	struct stat st;

	assert_int_equal(fx_stat(x, "old.txt", &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_string_equal(fx_server_text(x, "old.txt"), "0123456789abcdefghij");
}

static const struct path paths[] = {
	{"read", prepare_read, act_read, NULL, NULL, false},
	{"write", prepare_nothing, act_write, check_write, NULL, false},
	{"change", prepare_change, act_change, check_change, NULL, false},
	{"truncate", prepare_change, act_truncate, check_truncate, NULL, false},
	{"list", prepare_list, act_list, NULL, NULL, false},
	{"rename", prepare_rename, act_rename, check_rename, NULL, false},
	{"replace", prepare_rename, act_replace, check_replace, NULL, false},
	{"rename_folder", prepare_rename, act_rename_folder, check_rename_folder, NULL, false},
	{"unlink", prepare_rename, act_unlink, check_unlink, NULL, false},
	{"burst", prepare_burst, act_burst, check_burst, NULL, false},
	{"mkdir", prepare_nothing, act_mkdir, check_mkdir, NULL, false},
	{"symlink", prepare_nothing, act_symlink, NULL, NULL, false},
	{"chmod", prepare_change, act_chmod, check_chmod, NULL, false},
};

int main(int argc, char **argv)
{
	fill_big();
	return run_paths(paths, SUPAFS_ARRAY_LEN(paths), argc > 1 ? argv[1] : NULL);
}
