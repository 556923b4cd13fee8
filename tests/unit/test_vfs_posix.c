/* SPDX-License-Identifier: Apache-2.0 */
/* What POSIX promises of files and the server knows nothing of: owners of new things, times of
 * change and access, places of writes. */
#include <linux/falloc.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "vfs_fixture.h"

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

static struct stat stat_of(struct fx *x, const char *path)
{
	struct stat st = {0};

	assert_int_equal(fx_stat(x, path, &st), 0);
	return st;
}

static int64_t ns_of(struct timespec t)
{
	return (int64_t)t.tv_sec * SUPAFS_NS_PER_S + t.tv_nsec;
}

static void set_attr(struct fx *x, uint64_t node, const struct supafs_setattr *set)
{
	struct supafs_node_info info;

	assert_int_equal(supafs_vfs_setattr(x->v, &x->call, node, set, &info, &x->fault), 0);
}

/* A file of somebody else's, with a look-up. */
static uint64_t create_as(struct fx *x, const char *name, const struct supafs_owner *owner)
{
	const struct supafs_create cr = {.parent = SUPAFS_ROOT_ID,
		.name = supafs_str_of(name),
		.mode = 0644,
		.flags = O_WRONLY | O_CREAT,
		.owner = owner};
	struct supafs_open_result open = {0};
	struct supafs_node_info info;

	assert_int_equal(supafs_vfs_create(x->v, &x->call, &cr, &info, &open, &x->fault), 0);
	assert_int_equal(info.st.st_uid, owner->uid);
	assert_int_equal(info.st.st_gid, owner->gid);
	assert_int_equal(fx_close(x, open.fh), 0);
	return info.node;
}

static void new_files_belong_to_who_made_them(void **state)
{
	struct fx *x = *state;
	const struct supafs_owner other = {65534, 65533}, own = {1000, 100};
	struct supafs_node_info link;
	struct supafs_info info;

	supafs_vfs_forget(x->v, create_as(x, "theirs", &other), 1);
	supafs_vfs_forget(x->v, create_as(x, "ours", &own), 1);
	const struct supafs_make mk = {.parent = SUPAFS_ROOT_ID,
		.name = SUPAFS_STR("link"),
		.target = SUPAFS_STR("t"),
		.owner = &other};

	assert_int_equal(supafs_vfs_symlink(x->v, &x->call, &mk, &link, &x->fault), 0);
	assert_int_equal(link.st.st_uid, other.uid);
	supafs_vfs_forget(x->v, link.node, 1);

	assert_int_equal(fx_remount(x), 0);
	assert_int_equal(stat_of(x, "theirs").st_uid, other.uid);
	assert_int_equal(stat_of(x, "theirs").st_gid, other.gid);
	assert_int_equal(stat_of(x, "link").st_uid, other.uid);
	/* The mount's own owner is not stored: another mount shows another one. */
	assert_int_equal(fx_server_info(x, "ours", &info), 0);
	assert_int_equal(info.meta.has & (SUPAFS_META_UID | SUPAFS_META_GID), 0);
}

/* Folders of a team: what is made in them is the team's, however deep. */
static void setgid_folder_gives_its_group(void **state)
{
	const struct supafs_owner who = {65534, 65533};
	struct supafs_node_info team, below, link, file;
	struct supafs_open_result open = {0};
	struct fx *x = *state;

	assert_int_equal(fx_mkdir(x, "team"), 0);
	assert_int_equal(fx_path(x, "team", &team.node), 0);
	set_attr(x, team.node,
		&(const struct supafs_setattr){
			.which = SUPAFS_SET_MODE | SUPAFS_SET_GID, .mode = 02775, .gid = 4242});
	const struct supafs_make mk = {
		.parent = team.node, .name = SUPAFS_STR("below"), .mode = 0775, .owner = &who};
	const struct supafs_make ln = {.parent = team.node,
		.name = SUPAFS_STR("link"),
		.target = SUPAFS_STR("t"),
		.owner = &who};

	assert_int_equal(supafs_vfs_mkdir(x->v, &x->call, &mk, &below, &x->fault), 0);
	assert_int_equal(below.st.st_mode, S_IFDIR | 02775);
	assert_int_equal(below.st.st_uid, who.uid);
	assert_int_equal(below.st.st_gid, 4242);
	assert_int_equal(supafs_vfs_symlink(x->v, &x->call, &ln, &link, &x->fault), 0);
	assert_int_equal(link.st.st_gid, 4242);

	/* A program of that group is not made by somebody who is not in it. */
	const struct supafs_create cr = {.parent = below.node,
		.name = SUPAFS_STR("f"),
		.mode = 02755,
		.flags = O_WRONLY | O_CREAT,
		.owner = &who};

	assert_int_equal(supafs_vfs_create(x->v, &x->call, &cr, &file, &open, &x->fault), 0);
	assert_int_equal(file.st.st_mode, S_IFREG | 0755);
	assert_int_equal(file.st.st_gid, 4242);
	assert_int_equal(fx_close(x, open.fh), 0);
	supafs_vfs_forget(x->v, file.node, 1);
	supafs_vfs_forget(x->v, link.node, 1);
	supafs_vfs_forget(x->v, below.node, 1);
	supafs_vfs_forget(x->v, team.node, 1);
	assert_int_equal(fx_remount(x), 0);
	assert_string_equal(fx_ls(x, "team/below"), "f"); /* now its placeholder is known */
	assert_int_equal(stat_of(x, "team/below").st_mode, S_IFDIR | 02775);
	assert_int_equal(stat_of(x, "team/below/f").st_gid, 4242);
	assert_int_equal(stat_of(x, "team/link").st_gid, 4242);
}

static void change_of_mode_moves_ctime_alone(void **state)
{
	struct fx *x = *state;
	const struct supafs_setattr chmod = {.which = SUPAFS_SET_MODE, .mode = 0600};
	struct stat made, now;
	uint64_t node, fh;

	assert_int_equal(fx_save(x, "f", "abc"), 0);
	assert_int_equal(fx_path(x, "f", &node), 0);
	made = stat_of(x, "f");
	assert_int_equal(ns_of(made.st_ctim), ns_of(made.st_mtim));
	fx_advance_ms(x, 1000);
	set_attr(x, node, &chmod);
	now = stat_of(x, "f");
	assert_int_equal(ns_of(now.st_mtim), ns_of(made.st_mtim));
	assert_true(ns_of(now.st_ctim) > ns_of(made.st_ctim));
	fx_advance_ms(x, 1000);
	set_attr(x, node, &chmod); /* also one that changes nothing */
	assert_true(ns_of(stat_of(x, "f").st_ctim) > ns_of(now.st_ctim));

	fx_advance_ms(x, 1000); /* a write is newer than both */
	assert_int_equal(fx_open(x, "f", O_WRONLY, &fh), 0);
	assert_int_equal(fx_write(x, fh, "x", 0), 0);
	assert_int_equal(fx_close(x, fh), 0);
	now = stat_of(x, "f");
	assert_int_equal(ns_of(now.st_ctim), ns_of(now.st_mtim));
	supafs_vfs_forget(x->v, node, 1);
}

static void ctime_of_another_version_is_not_ours(void **state)
{
	struct fx *x = *state;
	struct stat st;
	uint64_t node;

	fx_server_put(x, "f", "one");
	assert_int_equal(fx_path(x, "f", &node), 0);
	set_attr(x, node, &(const struct supafs_setattr){.which = SUPAFS_SET_MODE, .mode = 0600});
	fx_advance_ms(x, FX_TTL_MS + 1);
	fx_server_put(x, "f", "two!");
	fx_advance_ms(x, FX_TTL_MS + 1);
	st = stat_of(x, "f");
	assert_int_equal(st.st_size, 4);
	assert_int_equal(ns_of(st.st_ctim), ns_of(st.st_mtim));
	supafs_vfs_forget(x->v, node, 1);
}

static void rename_moves_ctime(void **state)
{
	struct fx *x = *state;
	struct stat made, now;
	uint64_t node;

	assert_int_equal(fx_save(x, "f", "abc"), 0);
	assert_int_equal(fx_path(x, "f", &node), 0);
	made = stat_of(x, "f");
	fx_advance_ms(x, 1000);
	assert_int_equal(fx_rename(x, "f", "g", 0), 0);
	now = stat_of(x, "g");
	assert_int_equal(ns_of(now.st_mtim), ns_of(made.st_mtim));
	assert_true(ns_of(now.st_ctim) > ns_of(made.st_ctim));
	supafs_vfs_forget(x->v, node, 1);
}

/* No request: the server has no place for it. */
static void access_time_is_kept_by_the_mount(void **state)
{
	struct fx *x = *state;
	struct stat made, now;
	uint64_t node;

	assert_int_equal(fx_save(x, "f", "abc"), 0);
	assert_int_equal(fx_path(x, "f", &node), 0);
	made = stat_of(x, "f");
	fx_advance_ms(x, 1000);
	fx_mark(x);
	set_attr(x, node,
		&(const struct supafs_setattr){
			.which = SUPAFS_SET_ATIME, .atime_ns = 7 * SUPAFS_NS_PER_S + 5});
	now = stat_of(x, "f");
	assert_int_equal(fx_all(x), 0);
	assert_int_equal(ns_of(now.st_atim), 7 * SUPAFS_NS_PER_S + 5);
	assert_int_equal(ns_of(now.st_mtim), ns_of(made.st_mtim));
	assert_true(ns_of(now.st_ctim) > ns_of(made.st_ctim));
	supafs_vfs_forget(x->v, node, 1);
}

/* The kernel writes a mapping's pages through any handle, also one that appends. */
static void page_of_a_mapping_is_not_appended(void **state)
{
	struct fx *x = *state;
	uint64_t fh;

	assert_int_equal(fx_save(x, "f", "abcdef"), 0);
	assert_int_equal(fx_open(x, "f", O_RDWR | O_APPEND, &fh), 0);
	assert_int_equal(fx_write(x, fh, "gh", 0), 0);
	const struct supafs_span page = {.fh = fh, .off = 1, .n = 2, .placed = true};

	assert_int_equal(supafs_vfs_write(x->v, &x->call, &page, "XY", &x->fault), 0);
	assert_int_equal(fx_close(x, fh), 0);
	assert_string_equal(fx_server_text(x, "f"), "aXYdefgh");
}

static void size_that_no_server_takes(void **state)
{
	struct fx *x = *state;

	assert_int_equal(fx_save(x, "f", "abc"), 0);
	assert_int_equal(fx_truncate(x, "f", UINT64_C(999999999999999)), -EFBIG);
	assert_int_equal(stat_of(x, "f").st_size, 3);
}

static void exchange_of_names(void **state)
{
	struct fx *x = *state;
	uint64_t fh;

	assert_int_equal(fx_save(x, "a", "one"), 0);
	assert_int_equal(fx_mkdir(x, "d"), 0);
	assert_int_equal(fx_save(x, "d/b", "two"), 0);
	assert_int_equal(fx_open(x, "a", O_RDWR, &fh), 0);
	assert_int_equal(fx_write(x, fh, "O", 0), 0); /* changed and open: it follows its file */
	assert_int_equal(fx_rename(x, "a", "d/b", RENAME_EXCHANGE), 0);
	assert_int_equal(fx_close(x, fh), 0);
	assert_string_equal(fx_server_text(x, "a"), "two");
	assert_string_equal(fx_server_text(x, "d/b"), "One");
	assert_string_equal(fx_ls(x, ""), "a d/");
	assert_string_equal(fx_ls(x, "d"), "b");
	assert_int_equal(fx_rename(x, "a", "none", RENAME_EXCHANGE), -ENOENT);
	assert_int_equal(fx_rename(x, "a", "d", RENAME_EXCHANGE), 0); /* a folder and a file */
	assert_string_equal(fx_cat(x, "a/b"), "One");
	assert_string_equal(fx_cat(x, "d"), "two");
}

/* Whichever of its three renames is refused: all is as it was. */
static void refused_exchange_is_taken_back(void **state)
{
	struct fx *x = *state;

	assert_int_equal(fx_save(x, "a", "one"), 0);
	assert_int_equal(fx_save(x, "b", "two"), 0);
	for (unsigned skip = 0; skip < 3; skip++) {
		fx_fail(x, SUPAFS_OP_MOVE, skip, 1, -EACCES);
		assert_int_equal(fx_rename(x, "a", "b", RENAME_EXCHANGE), -EACCES);
		assert_string_equal(fx_cat(x, "a"), "one");
		assert_string_equal(fx_cat(x, "b"), "two");
		assert_string_equal(fx_ls(x, ""), "a b");
	}
}

static void refused_allocation_changes_nothing(void **state)
{
	static const struct {
		int mode, error;
		uint64_t off, n;
	} rows[] = {
		{FALLOC_FL_COLLAPSE_RANGE, -EOPNOTSUPP, 0, 4096},
		{FALLOC_FL_INSERT_RANGE, -EOPNOTSUPP, 0, 4096},
		{FALLOC_FL_UNSHARE_RANGE, -EOPNOTSUPP, 0, 4096},
		{FALLOC_FL_PUNCH_HOLE, -EOPNOTSUPP, 0, 4096},
		{FALLOC_FL_KEEP_SIZE | FALLOC_FL_INSERT_RANGE, -EOPNOTSUPP, 0, 4096},
		{0, -EFBIG, 0, UINT64_C(1) << 60},
		{FALLOC_FL_ZERO_RANGE, -EFBIG, INT64_MAX, 5},
		{0, -EINVAL, 5, 0},
	};
	struct fx *x = *state;
	uint64_t fh;

	fx_server_put(x, "f", "abcdef");
	assert_int_equal(fx_open(x, "f", O_RDWR, &fh), 0);
	fx_mark(x);
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(rows); i++) {
		const struct supafs_span at = {.fh = fh, .off = rows[i].off, .n = rows[i].n};

		assert_int_equal(supafs_vfs_fallocate(x->v, &x->call, &at, rows[i].mode, &x->fault),
			rows[i].error);
	}
	const struct supafs_span room = {.fh = fh, .n = 100000};

	const struct supafs_span inside = {.fh = fh, .off = 2, .n = 4};
	const struct supafs_span behind = {.fh = fh, .off = 6, .n = 10};
	const int hole = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE;

	assert_int_equal(
		supafs_vfs_fallocate(x->v, &x->call, &room, FALLOC_FL_KEEP_SIZE, &x->fault), 0);
	assert_int_equal(supafs_vfs_fallocate(x->v, &x->call, &inside, 0, &x->fault), 0);
	assert_int_equal(supafs_vfs_fallocate(x->v, &x->call, &behind, hole, &x->fault), 0);
	assert_int_equal(fx_close(x, fh), 0);
	assert_int_equal(fx_all(x), 0);
}

/* As on a full disk: the spool's file cannot grow to there. */
static int write_that_fails(struct fx *x, uint64_t fh)
{
	struct rlimit old, small;
	int r;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small = (struct rlimit){.rlim_cur = 4096, .rlim_max = old.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	r = fx_write(x, fh, "more", 1U << 20);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	return r;
}

static void failed_write_leaves_a_clean_file(void **state)
{
	struct fx *x = *state;
	uint64_t fh;

	assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
	fx_server_put(x, "f", "abcdef");
	assert_int_equal(fx_open(x, "f", O_RDWR, &fh), 0);
	fx_mark(x);
	assert_true(write_that_fails(x, fh) < 0);
	assert_int_equal(fx_flush(x, fh), 0);
	assert_int_equal(fx_all(x), 0); /* nothing was fetched, nothing sent */
	assert_int_equal(stat_of(x, "f").st_size, 6);
	fx_expect(x, fh, 0, "abcdef");

	/* Another one that succeeds, before it or after it, is sent. */
	assert_int_equal(fx_write(x, fh, "X", 1), 0);
	assert_true(write_that_fails(x, fh) < 0);
	assert_int_equal(fx_close(x, fh), 0);
	assert_string_equal(fx_server_text(x, "f"), "aXcdef");
	assert_int_equal(fx_open(x, "f", O_RDWR, &fh), 0);
	assert_true(write_that_fails(x, fh) < 0);
	assert_int_equal(fx_write(x, fh, "Y", 2), 0);
	assert_int_equal(fx_close(x, fh), 0);
	assert_string_equal(fx_server_text(x, "f"), "aXYdef");
}

/* A change of attributes meanwhile is one. */
static void failed_write_keeps_a_new_mode(void **state)
{
	const struct supafs_setattr chmod = {.which = SUPAFS_SET_MODE, .mode = 0600};
	struct fx *x = *state;
	uint64_t node, fh;

	assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
	fx_server_put(x, "f", "abcdef");
	assert_int_equal(fx_path(x, "f", &node), 0);
	assert_int_equal(fx_open(x, "f", O_RDWR, &fh), 0);
	set_attr(x, node, &chmod);
	assert_true(write_that_fails(x, fh) < 0);
	assert_int_equal(fx_close(x, fh), 0);
	supafs_vfs_forget(x->v, node, 1);
	assert_int_equal(fx_remount(x), 0);
	assert_int_equal(stat_of(x, "f").st_mode, S_IFREG | 0600);
	assert_string_equal(fx_server_text(x, "f"), "abcdef");
}

/* 20 MiB: more than fits into one piece of anything. */
static void large_file_is_read_on_after_its_unlink(void **state)
{
	const size_t size = 20U << 20;
	char *text = malloc(size);
	struct fx *x = *state;
	uint64_t fh;
	char c;

	assert_non_null(text);
	memset(text, 'x', size);
	for (size_t i = 0; i < 5; i++)
		text[size - 5 + i] = "final"[i];
	fx_server_put_bytes(x, "f", text, size);
	free(text);
	assert_int_equal(fx_open(x, "f", O_RDONLY, &fh), 0);
	assert_int_equal(fx_read(x, fh, &c, 1, 0), 1);
	assert_int_equal(fx_unlink(x, "f", 0), 0);
	assert_false(fx_server_has(x, "f"));
	fx_expect(x, fh, size - 5, "final");
	assert_int_equal(fx_close(x, fh), 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(new_files_belong_to_who_made_them),
		T(setgid_folder_gives_its_group),
		T(change_of_mode_moves_ctime_alone),
		T(ctime_of_another_version_is_not_ours),
		T(rename_moves_ctime),
		T(access_time_is_kept_by_the_mount),
		T(page_of_a_mapping_is_not_appended),
		T(size_that_no_server_takes),
		T(exchange_of_names),
		T(refused_exchange_is_taken_back),
		T(refused_allocation_changes_nothing),
		T(failed_write_leaves_a_clean_file),
		T(failed_write_keeps_a_new_mode),
		T(large_file_is_read_on_after_its_unlink),
	};

	return cmocka_run_group_tests_name("vfs_posix", tests, NULL, NULL);
}
