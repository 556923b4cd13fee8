/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes of attributes that wait for each other, and what folders keep, over the memory store.
 */
#include "vfs_fixture.h"

static int setup(void **state)
{
	const struct fx_config cfg = {.ttl_ms = UINT64_MAX};

	*state = fx_new(&cfg);
	return 0;
}

static int teardown(void **state)
{
	return fx_free(*state) == 0 ? 0 : -1;
}

/* --- Short forms ---------------------------------------------------------------------------------
 */

static int set(struct fx *x, const char *path, const struct supafs_setattr *args)
{
	struct supafs_node_info info;
	uint64_t node;
	int r = fx_path(x, path, &node);

	if (r != 0)
		return r;
	r = supafs_vfs_setattr(x->v, &x->call, node, args, &info, &x->fault);
	if (node != SUPAFS_ROOT_ID)
		supafs_vfs_forget(x->v, node, 1);
	return r;
}

static int set_mode(struct fx *x, const char *path, mode_t mode)
{
	return set(x, path, &(struct supafs_setattr){.which = SUPAFS_SET_MODE, .mode = mode});
}

static int set_time(struct fx *x, const char *path, int64_t s)
{
	return set(x, path,
		&(struct supafs_setattr){
			.which = SUPAFS_SET_MTIME, .mtime_ns = s * SUPAFS_NS_PER_S + 5});
}

static int set_owner(struct fx *x, const char *path, uid_t uid)
{
	return set(x, path, &(struct supafs_setattr){.which = SUPAFS_SET_UID, .uid = uid});
}

static mode_t mode_of(struct fx *x, const char *path)
{
	struct stat st;

	assert_int_equal(fx_stat(x, path, &st), 0);
	return st.st_mode & 07777;
}

static int64_t time_of(struct fx *x, const char *path)
{
	struct stat st;

	assert_int_equal(fx_stat(x, path, &st), 0);
	return st.st_mtim.tv_sec;
}

static mode_t server_mode(struct fx *x, const char *key)
{
	struct supafs_info info;

	assert_int_equal(fx_server_info(x, key, &info), 0);
	return info.meta.has & SUPAFS_META_MODE ? info.meta.mode & 07777 : 0;
}

static void settle(struct fx *x)
{
	fx_advance_ms(x, 6000);
	fx_quiet(x);
}

/* A file that the kernel has forgotten, and a folder in which something was stored. */
static void stored(struct fx *x, const char *path)
{
	assert_int_equal(fx_save(x, path, "abc"), 0);
	fx_mark(x);
}

/* --- Files ---------------------------------------------------------------------------------------
 */

static void three_changes_are_one_copy(void **state)
{
	struct fx *x = *state;
	struct supafs_info info;

	stored(x, "f");
	assert_int_equal(set_mode(x, "f", 0600), 0);
	assert_int_equal(set_owner(x, "f", 7), 0);
	assert_int_equal(set_time(x, "f", 1234), 0);
	assert_int_equal(mode_of(x, "f"), 0600);
	assert_int_equal(time_of(x, "f"), 1234);
	assert_int_equal(fx_count(x, SUPAFS_OP_COPY), 0);
	settle(x);
	assert_int_equal(fx_count(x, SUPAFS_OP_COPY), 1);
	assert_true(fx_count(x, SUPAFS_OP_INFO) <= 1);
	assert_int_equal(fx_count(x, SUPAFS_OP_PUT), 0);
	assert_int_equal(fx_server_info(x, "f", &info), 0);
	assert_int_equal(info.meta.mode & 07777, 0600);
	assert_int_equal(info.meta.uid, 7);
	assert_int_equal(info.meta.mtime_ns, 1234 * SUPAFS_NS_PER_S + 5);
	assert_int_equal(mode_of(x, "f"), 0600);
}

/* A stream of changes does not put the copy off for ever. */
static void no_longer_than_a_second(void **state)
{
	struct fx *x = *state;
	const struct supafs_clock *clock = supafs_clock_system();
	const int64_t until = clock->mono_ns(clock) + 20 * SUPAFS_NS_PER_S;

	stored(x, "f");
	for (unsigned i = 0; fx_count(x, SUPAFS_OP_COPY) == 0; i++) {
		assert_int_equal(set_mode(x, "f", 0600 + i % 2), 0);
		fx_advance_ms(x, 50);
		assert_true(clock->mono_ns(clock) < until);
	}
	settle(x);
}

static void unproven_is_told_at_once(void **state)
{
	struct fx *x = *state;

	fx_server_put(x, "f", "abc");
	fx_fail(x, SUPAFS_OP_COPY, 0, 1, -EACCES);
	assert_int_equal(set_mode(x, "f", 0600), -EACCES);
	assert_int_equal(mode_of(x, "f"), 0644);
	fx_mark(x);
	assert_int_equal(set_mode(x, "f", 0600), 0);
	assert_int_equal(fx_count(x, SUPAFS_OP_COPY), 1);
	fx_mark(x); /* now it is proven */
	assert_int_equal(set_mode(x, "f", 0640), 0);
	assert_int_equal(fx_count(x, SUPAFS_OP_COPY), 0);
	settle(x);
	assert_int_equal(server_mode(x, "f"), 0640);
}

static void trusted_key_waits_from_the_start(void **state)
{
	const struct fx_config cfg = {.ttl_ms = UINT64_MAX, .trusted = true};
	struct fx *x = fx_new(&cfg);

	(void)state;
	fx_server_put(x, "f", "abc");
	fx_mark(x);
	assert_int_equal(set_mode(x, "f", 0600), 0);
	assert_int_equal(fx_count(x, SUPAFS_OP_COPY), 0);
	assert_int_equal(fx_free(x), 0);
}

/* What was acknowledged and then refused is shown as it is, and the next one waits no more. */
static void late_refusal(void **state)
{
	struct fx *x = *state;

	stored(x, "f");
	fx_fail(x, SUPAFS_OP_COPY, 0, 2, -EACCES);
	assert_int_equal(set_mode(x, "f", 0600), 0);
	settle(x);
	assert_int_equal(mode_of(x, "f"), 0640);
	assert_int_equal(set_mode(x, "f", 0600), -EACCES);
	assert_int_equal(set_mode(x, "f", 0600), 0);
	assert_int_equal(server_mode(x, "f"), 0600);
}

static void too_large_to_be_copied(void **state)
{
	struct fx *x = *state;

	fx_server_put(x, "f", "abc");
	fx_fail(x, SUPAFS_OP_COPY, 0, 3, -EFBIG);
	assert_int_equal(set_mode(x, "f", 0600), 0);
	assert_int_equal(set_owner(x, "f", 7), 0);
	assert_int_equal(set_time(x, "f", 5), -EFBIG);
}

static void settled_by(struct fx *x, void (*by)(struct fx *x))
{
	stored(x, "f");
	assert_int_equal(set_mode(x, "f", 0600), 0);
	assert_int_equal(fx_count(x, SUPAFS_OP_COPY), 0);
	by(x);
	assert_int_equal(server_mode(x, "f"), 0600);
}

static void by_fsync(struct fx *x)
{
	uint64_t fh;

	assert_int_equal(fx_open(x, "f", O_RDONLY, &fh), 0);
	assert_int_equal(supafs_vfs_fsync(x->v, &x->call, fh, &x->fault), 0);
	assert_int_equal(fx_close(x, fh), 0);
}

static void by_close(struct fx *x)
{
	uint64_t fh;

	assert_int_equal(fx_open(x, "f", O_WRONLY, &fh), 0);
	assert_int_equal(fx_close(x, fh), 0);
}

static void by_flush_all(struct fx *x)
{
	struct supafs_flush_state left;

	assert_int_equal(supafs_vfs_flush_all(x->v, &x->call, NULL, NULL, &left), 0);
}

static void by_unmount(struct fx *x)
{
	assert_int_equal(fx_remount(x), 0);
}

static void by_an_upload(struct fx *x)
{
	assert_int_equal(fx_save(x, "f", "other"), 0);
	assert_int_equal(fx_count(x, SUPAFS_OP_COPY), 0);
}

static void settled_by_fsync(void **state)
{
	settled_by(*state, by_fsync);
}

static void settled_by_a_writers_close(void **state)
{
	settled_by(*state, by_close);
}

static void settled_by_flush(void **state)
{
	settled_by(*state, by_flush_all);
}

static void settled_by_unmount(void **state)
{
	settled_by(*state, by_unmount);
}

static void rides_with_an_upload(void **state)
{
	settled_by(*state, by_an_upload);
}

static void rename_takes_it_along(void **state)
{
	struct fx *x = *state;

	stored(x, "f");
	assert_int_equal(set_mode(x, "f", 0600), 0);
	assert_int_equal(fx_rename(x, "f", "g", 0), 0);
	assert_int_equal(mode_of(x, "g"), 0600);
	settle(x);
	assert_int_equal(server_mode(x, "g"), 0600);
	assert_int_equal(mode_of(x, "g"), 0600);
	assert_false(fx_server_has(x, "f"));
}

static void unlink_drops_it(void **state)
{
	struct fx *x = *state;

	stored(x, "f");
	assert_int_equal(set_mode(x, "f", 0600), 0);
	assert_int_equal(fx_unlink(x, "f", 1), 0);
	settle(x);
	assert_int_equal(fx_count(x, SUPAFS_OP_COPY), 0);
	assert_false(fx_server_has(x, "f"));
}

/* --- Folders -------------------------------------------------------------------------------------
 */

#define HOLDER "d/.emptyFolderPlaceholder"

static void folder_keeps_its_mode_and_time(void **state)
{
	struct fx *x = *state;

	assert_int_equal(fx_mkdir(x, "d"), 0);
	fx_mark(x);
	assert_int_equal(set_mode(x, "d", 0700), 0);
	assert_int_equal(set_owner(x, "d", 7), 0);
	assert_int_equal(set_time(x, "d", 1234), 0);
	assert_int_equal(mode_of(x, "d"), 0700);
	assert_int_equal(time_of(x, "d"), 1234);
	settle(x);
	assert_int_equal(fx_count(x, SUPAFS_OP_PUT), 1);
	assert_int_equal(fx_all(x), 1);

	assert_int_equal(fx_remount(x), 0);
	assert_string_equal(fx_ls(x, "d"), "");
	assert_int_equal(mode_of(x, "d"), 0700);
	assert_int_equal(time_of(x, "d"), 1234);
	fx_mark(x); /* what is so already costs nothing */
	assert_int_equal(set_mode(x, "d", 0700), 0);
	assert_int_equal(set_time(x, "d", 1234), 0);
	settle(x);
	assert_int_equal(fx_count(x, SUPAFS_OP_PUT), 0);
}

static void mkdir_stores_mode_and_time(void **state)
{
	struct fx *x = *state;
	int64_t made;

	fx_mark(x);
	assert_int_equal(fx_mkdir(x, "d"), 0);
	assert_int_equal(fx_count(x, SUPAFS_OP_PUT), 1);
	made = time_of(x, "d");
	assert_int_equal(server_mode(x, HOLDER), 0755);
	fx_advance_ms(x, 60000);
	assert_int_equal(fx_remount(x), 0);
	assert_string_equal(fx_ls(x, "d"), "");
	assert_int_equal(time_of(x, "d"), made);
}

static void unlisted_folder_is_merged(void **state)
{
	struct fx *x = *state;

	assert_int_equal(fx_mkdir(x, "d"), 0);
	assert_int_equal(set_mode(x, "d", 0700), 0);
	assert_int_equal(fx_remount(x), 0);
	assert_int_equal(mode_of(x, "d"), 0755); /* not known yet */
	fx_mark(x);
	assert_int_equal(set_time(x, "d", 1234), 0);
	settle(x);
	assert_int_equal(fx_count(x, SUPAFS_OP_INFO), 1);
	assert_int_equal(fx_count(x, SUPAFS_OP_PUT), 1);
	assert_int_equal(server_mode(x, HOLDER), 0700);
	assert_int_equal(mode_of(x, "d"), 0700);
}

static void meta_info_asks_for_folders(void **state)
{
	const struct fx_config cfg = {.ttl_ms = UINT64_MAX, .meta_info = true};
	struct fx *x = fx_new(&cfg);

	(void)state;
	assert_int_equal(fx_mkdir(x, "d"), 0);
	assert_int_equal(set_mode(x, "d", 0700), 0);
	assert_int_equal(fx_remount(x), 0);
	fx_mark(x);
	assert_int_equal(mode_of(x, "d"), 0700);
	assert_int_equal(fx_count(x, SUPAFS_OP_INFO), 1);
	assert_int_equal(mode_of(x, "d"), 0700);
	assert_int_equal(fx_count(x, SUPAFS_OP_INFO), 1);
	assert_int_equal(fx_free(x), 0);
}

static void folder_that_cannot_be_stored(void **state)
{
	struct fx *x = *state;

	fx_server_put(x, "d/f", "abc");
	assert_string_equal(fx_ls(x, "d"), "f");
	fx_fail(x, SUPAFS_OP_PUT, 0, 1, -EACCES);
	assert_int_equal(set_mode(x, "d", 0700), 0);
	assert_int_equal(mode_of(x, "d"), 0700);
	settle(x);
	assert_int_equal(mode_of(x, "d"), 0755);
	assert_false(fx_server_has(x, HOLDER));
}

static void folder_is_renamed_with_its_attributes(void **state)
{
	struct fx *x = *state;

	assert_int_equal(fx_mkdir(x, "d"), 0);
	assert_int_equal(fx_mkdir(x, "d/e"), 0);
	assert_int_equal(set_mode(x, "d/e", 0700), 0);
	assert_int_equal(set_time(x, "d", 1234), 0);
	assert_int_equal(fx_rename(x, "d", "n", 0), 0);
	assert_int_equal(mode_of(x, "n/e"), 0700);
	assert_int_equal(time_of(x, "n"), 1234);
	settle(x);
	assert_int_equal(server_mode(x, "n/e/.emptyFolderPlaceholder"), 0700);
	assert_false(fx_server_has(x, HOLDER));
	assert_int_equal(mode_of(x, "n/e"), 0700);
}

static void removed_folder_is_not_stored(void **state)
{
	struct fx *x = *state;

	assert_int_equal(fx_mkdir(x, "d"), 0);
	assert_int_equal(set_mode(x, "d", 0700), 0);
	assert_int_equal(fx_rmdir(x, "d"), 0);
	settle(x);
	assert_false(fx_server_has(x, HOLDER));
	assert_int_equal(fx_mkdir(x, "d"), 0);
	assert_int_equal(mode_of(x, "d"), 0755);
}

static void names_in_a_folder_change_its_time(void **state)
{
	struct fx *x = *state;
	int64_t before;

	assert_int_equal(fx_mkdir(x, "d"), 0);
#define LATER(op)                                                                                  \
	do {                                                                                       \
		before = time_of(x, "d");                                                          \
		fx_advance_ms(x, 2000);                                                            \
		assert_int_equal(op, 0);                                                           \
		assert_true(time_of(x, "d") > before);                                             \
	} while (0)
	LATER(fx_save(x, "d/f", "abc"));
	LATER(fx_mkdir(x, "d/e"));
	LATER(fx_rename(x, "d/f", "d/g", 0));
	LATER(fx_unlink(x, "d/g", 1));
	LATER(fx_rmdir(x, "d/e"));
#undef LATER
	assert_int_equal(fx_save(x, "d/f", "abc"), 0);
	before = time_of(x, "d");
	fx_advance_ms(x, 2000);
	assert_int_equal(fx_save(x, "d/f", "other"), 0); /* not a name */
	assert_int_equal(time_of(x, "d"), before);
	assert_string_equal(fx_ls(x, "d"), "f"); /* a listing does not take it back */
	assert_int_equal(time_of(x, "d"), before);
}

/* The root may be the bucket itself: nothing is put there. */
static void root_in_memory_only(void **state)
{
	struct fx *x = *state;

	fx_mark(x);
	assert_int_equal(set_mode(x, "", 0700), 0);
	assert_int_equal(set_time(x, "", 1234), 0);
	assert_int_equal(mode_of(x, ""), 0700);
	assert_int_equal(time_of(x, ""), 1234);
	settle(x);
	assert_int_equal(fx_all(x), 0);
}

static void without_stored_attributes(void **state)
{
	const struct fx_config cfg = {.ttl_ms = UINT64_MAX, .no_meta = true};
	struct fx *x = fx_new(&cfg);

	(void)state;
	assert_int_equal(fx_mkdir(x, "d"), 0);
	stored(x, "d/f");
	assert_int_equal(set_mode(x, "d", 0700), 0);
	assert_int_equal(set_mode(x, "d/f", 0600), 0);
	settle(x);
	assert_int_equal(fx_all(x), 0);
	assert_int_equal(server_mode(x, HOLDER), 0);
	assert_int_equal(fx_free(x), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(three_changes_are_one_copy),
		T(no_longer_than_a_second),
		T(unproven_is_told_at_once),
		cmocka_unit_test(trusted_key_waits_from_the_start),
		T(late_refusal),
		T(too_large_to_be_copied),
		T(settled_by_fsync),
		T(settled_by_a_writers_close),
		T(settled_by_flush),
		T(settled_by_unmount),
		T(rides_with_an_upload),
		T(rename_takes_it_along),
		T(unlink_drops_it),
		T(folder_keeps_its_mode_and_time),
		T(mkdir_stores_mode_and_time),
		T(unlisted_folder_is_merged),
		cmocka_unit_test(meta_info_asks_for_folders),
		T(folder_that_cannot_be_stored),
		T(folder_is_renamed_with_its_attributes),
		T(removed_folder_is_not_stored),
		T(names_in_a_folder_change_its_time),
		T(root_in_memory_only),
		cmocka_unit_test(without_stored_attributes),
#undef T
	};

	return cmocka_run_group_tests_name("vfs_attrs", tests, NULL, NULL);
}
