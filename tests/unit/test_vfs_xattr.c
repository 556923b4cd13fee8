/* SPDX-License-Identifier: Apache-2.0 */
/* Extended attributes over the memory store: what is kept, what is shown, what it costs. */
#include <sys/xattr.h>

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

static struct supafs_str str(const char *s)
{
	return supafs_str_of(s);
}

static uint64_t node_of(struct fx *x, const char *path)
{
	uint64_t node = 0;

	assert_int_equal(fx_path(x, path, &node), 0);
	return node;
}

static ssize_t get_n(struct fx *x, const char *path, const char *name, void *buf, size_t size)
{
	const uint64_t node = node_of(x, path);
	ssize_t r = supafs_vfs_getxattr(x->v, &x->call, node, str(name), buf, size, &x->fault);

	supafs_vfs_forget(x->v, node, 1);
	return r;
}

/* The value as text in x->text, "!ERRNO" on failure. */
static const char *get(struct fx *x, const char *path, const char *name)
{
	ssize_t n = get_n(x, path, name, x->text, 4000);

	if (n < 0)
		(void)snprintf(x->text, sizeof(x->text), "!%s", strerrorname_np((int)-n));
	else
		x->text[n] = '\0';
	return x->text;
}

static int set_flags(
	struct fx *x, const char *path, const char *name, struct supafs_str value, int flags)
{
	const uint64_t node = node_of(x, path);
	int r = supafs_vfs_setxattr(x->v, &x->call, node, str(name), value, flags, &x->fault);

	supafs_vfs_forget(x->v, node, 1);
	return r;
}

static int set(struct fx *x, const char *path, const char *name, const char *value)
{
	return set_flags(x, path, name, str(value), 0);
}

static int drop(struct fx *x, const char *path, const char *name)
{
	const uint64_t node = node_of(x, path);
	int r = supafs_vfs_removexattr(x->v, &x->call, node, str(name), &x->fault);

	supafs_vfs_forget(x->v, node, 1);
	return r;
}

/* Names, each followed by ';', in x->text. */
static const char *list(struct fx *x, const char *path)
{
	const uint64_t node = node_of(x, path);
	ssize_t n = supafs_vfs_listxattr(x->v, &x->call, node, x->text, 4000, &x->fault);

	supafs_vfs_forget(x->v, node, 1);
	assert_true(n >= 0);
	for (ssize_t i = 0; i < n; i++)
		if (x->text[i] == '\0')
			x->text[i] = ';';
	x->text[n] = '\0';
	return x->text;
}

static int change_mode(struct fx *x, const char *path, mode_t mode)
{
	const struct supafs_setattr args = {.which = SUPAFS_SET_MODE, .mode = mode};
	const uint64_t node = node_of(x, path);
	struct supafs_node_info info;
	int r = supafs_vfs_setattr(x->v, &x->call, node, &args, &info, &x->fault);

	supafs_vfs_forget(x->v, node, 1);
	return r;
}

static void settle(struct fx *x)
{
	fx_advance_ms(x, 150);
	fx_quiet(x);
}

static bool server_value(struct fx *x, const char *key, const char *name, const char *value)
{
	struct supafs_info info;
	struct supafs_str found;

	assert_int_equal(fx_server_info(x, key, &info), 0);
	return supafs_pairs_get((struct supafs_str){info.user, info.user_n}, str(name), &found) &&
	       supafs_str_eq(found, str(value));
}

/* An object of another client, with metadata, a type and a Cache-Control of its own. */
static void foreign(struct fx *x, const char *key, const char *value)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf user;
	struct supafs_put_args args = {.key = str(key),
		.mime = SUPAFS_STR("text/x-odd"),
		.cache_control = SUPAFS_STR("max-age=9")};
	unsigned char id[16];

	supafs_buf_init(&user, SUPAFS_PAIRS_MAX);
	assert_int_equal(supafs_pairs_set(&user, SUPAFS_STR("color"), str(value)), 0);
	assert_int_equal(supafs_pairs_set(&user, SUPAFS_STR("ctime"), SUPAFS_STR("5")), 0);
	args.user = supafs_buf_str(&user);
	assert_int_equal(x->memory->ops->put(x->memory, &x->call, &args, id, &x->fault), 0);
}

/* --- Tests ---------------------------------------------------------------------------------------
 */

static void kept_with_the_object(void **state)
{
	struct fx *x = *state;
	struct supafs_info info;

	assert_int_equal(fx_save(x, "f", "abc"), 0);
	fx_mark(x);
	assert_int_equal(set(x, "f", "user.color", "blue"), 0);
	assert_string_equal(get(x, "f", "user.color"), "blue");
	assert_string_equal(list(x, "f"), "user.color;");
	settle(x);
	assert_int_equal(fx_count(x, SUPAFS_OP_COPY), 1);
	assert_true(fx_count(x, SUPAFS_OP_INFO) <= 1);
	assert_int_equal(fx_count(x, SUPAFS_OP_PUT), 0);
	assert_true(server_value(x, "f", "color", "blue"));
	assert_int_equal(fx_server_info(x, "f", &info), 0);
	assert_non_null(strstr(info.cache_control, "x-user=1"));
	assert_string_equal(fx_cat(x, "f"), "abc");

	assert_int_equal(fx_remount(x), 0);
	fx_mark(x);
	assert_string_equal(list(x, "f"), "user.color;");
	assert_string_equal(get(x, "f", "user.color"), "blue");
	assert_int_equal(fx_count(x, SUPAFS_OP_INFO), 1);

	assert_int_equal(drop(x, "f", "user.color"), 0);
	assert_string_equal(get(x, "f", "user.color"), "!ENODATA");
	assert_int_equal(drop(x, "f", "user.color"), -ENODATA);
	settle(x);
	assert_int_equal(fx_server_info(x, "f", &info), 0);
	assert_int_equal(info.user_n, 0);
	assert_null(strstr(info.cache_control, "x-user"));
}

static void binary_and_empty_values(void **state)
{
	struct fx *x = *state;
	const struct supafs_str bytes = {"\0\xff\n", 3};
	char buf[8];

	assert_int_equal(fx_save(x, "f", "abc"), 0);
	assert_int_equal(set_flags(x, "f", "user.bin", bytes, 0), 0);
	assert_int_equal(set(x, "f", "user.empty", ""), 0);
	settle(x);
	assert_int_equal(fx_remount(x), 0);
	assert_int_equal(get_n(x, "f", "user.bin", buf, sizeof(buf)), 3);
	assert_memory_equal(buf, bytes.p, 3);
	assert_int_equal(get_n(x, "f", "user.empty", buf, sizeof(buf)), 0);
	assert_int_equal(get_n(x, "f", "user.bin", NULL, 0), 3);
	assert_int_equal(get_n(x, "f", "user.bin", buf, 2), -ERANGE);
}

static void listing_alone_tells_of_none(void **state)
{
	struct fx *x = *state;

	assert_int_equal(fx_save(x, "a", "1"), 0);
	assert_int_equal(fx_save(x, "b", "2"), 0);
	assert_int_equal(fx_remount(x), 0);
	(void)fx_ls(x, "");
	fx_mark(x);
	assert_string_equal(list(x, "a"), "");
	assert_string_equal(list(x, "b"), "");
	assert_string_equal(get(x, "a", "user.color"), "!ENODATA");
	assert_string_equal(get(x, "a", "security.capability"), "!EOPNOTSUPP");
	assert_int_equal(fx_all(x), 0);
}

static void foreign_object_costs_one_info_a_version(void **state)
{
	struct fx *x = *state;

	foreign(x, "f", "red");
	(void)fx_ls(x, "");
	fx_mark(x);
	assert_string_equal(list(x, "f"), "user.color;user.ctime;");
	assert_string_equal(get(x, "f", "user.color"), "red");
	assert_int_equal(fx_count(x, SUPAFS_OP_INFO), 1);
	assert_string_equal(list(x, "f"), "user.color;user.ctime;");
	assert_int_equal(fx_count(x, SUPAFS_OP_INFO), 1);
	foreign(x, "f", "green");
	fx_advance_ms(x, FX_TTL_MS + 1);
	assert_string_equal(get(x, "f", "user.color"), "green");
	assert_int_equal(fx_count(x, SUPAFS_OP_INFO), 2);
}

static void chmod_takes_all_along(void **state)
{
	struct fx *x = *state;
	struct supafs_info info;

	foreign(x, "f", "red");
	fx_mark(x);
	assert_int_equal(change_mode(x, "f", 0600), 0);
	settle(x);
	assert_int_equal(fx_count(x, SUPAFS_OP_COPY), 1);
	assert_int_equal(fx_count(x, SUPAFS_OP_INFO), 1);
	assert_int_equal(fx_server_info(x, "f", &info), 0);
	assert_int_equal(info.meta.mode & 07777, 0600);
	assert_string_equal(info.mime, "text/x-odd");
	assert_non_null(strstr(info.cache_control, "max-age=9"));
	assert_true(server_value(x, "f", "color", "red"));
	assert_true(server_value(x, "f", "ctime", "5"));
}

static void overwriting_keeps_attributes(void **state)
{
	struct fx *x = *state;

	assert_int_equal(fx_save(x, "f", "abc"), 0);
	assert_int_equal(set(x, "f", "user.color", "blue"), 0);
	assert_int_equal(set(x, "f", "user.supafs.mime", "text/x-odd"), 0);
	settle(x);
	assert_int_equal(fx_remount(x), 0);
	fx_mark(x);
	assert_int_equal(fx_save(x, "f", "new text"), 0);
	assert_int_equal(fx_count(x, SUPAFS_OP_INFO), 1);
	assert_int_equal(fx_count(x, SUPAFS_OP_PUT), 1);
	assert_true(server_value(x, "f", "color", "blue"));
	assert_string_equal(get(x, "f", "user.supafs.mime"), "text/x-odd");
	assert_int_equal(fx_truncate(x, "f", 3), 0);
	assert_true(server_value(x, "f", "color", "blue"));
	assert_string_equal(fx_server_text(x, "f"), "new");
}

static void rides_with_the_upload(void **state)
{
	struct fx *x = *state;
	uint64_t fh;

	assert_int_equal(fx_create(x, "f", O_WRONLY, &fh), 0);
	assert_int_equal(fx_write(x, fh, "abc", 0), 0);
	fx_mark(x);
	assert_int_equal(set(x, "f", "user.color", "blue"), 0);
	assert_string_equal(get(x, "f", "user.supafs.state"), "dirty");
	assert_string_equal(get(x, "f", "user.supafs.etag"), "!ENODATA");
	assert_int_equal(fx_all(x), 0);
	assert_int_equal(fx_close(x, fh), 0);
	assert_int_equal(fx_all(x), 1);
	assert_true(server_value(x, "f", "color", "blue"));
	assert_string_equal(get(x, "f", "user.supafs.state"), "clean");
}

static void rename_keeps_attributes(void **state)
{
	struct fx *x = *state;

	assert_int_equal(fx_save(x, "f", "abc"), 0);
	assert_int_equal(set(x, "f", "user.color", "blue"), 0);
	assert_int_equal(fx_rename(x, "f", "g", 0), 0);
	settle(x);
	assert_true(server_value(x, "g", "color", "blue"));
	assert_string_equal(get(x, "g", "user.color"), "blue");
}

static void flags_of_setxattr(void **state)
{
	struct fx *x = *state;

	assert_int_equal(fx_save(x, "f", "abc"), 0);
	assert_int_equal(set_flags(x, "f", "user.a", str("1"), XATTR_REPLACE), -ENODATA);
	assert_int_equal(set_flags(x, "f", "user.a", str("1"), XATTR_CREATE), 0);
	assert_int_equal(set_flags(x, "f", "user.a", str("2"), XATTR_CREATE), -EEXIST);
	assert_int_equal(set_flags(x, "f", "user.a", str("3"), XATTR_REPLACE), 0);
	assert_string_equal(get(x, "f", "user.a"), "3");
	settle(x);
	fx_mark(x); /* what is so already costs nothing */
	assert_int_equal(set(x, "f", "user.a", "3"), 0);
	settle(x);
	assert_int_equal(fx_count(x, SUPAFS_OP_COPY), 0);
}

static void other_classes(void **state)
{
	struct fx *x = *state;

	assert_int_equal(fx_save(x, "f", "abc"), 0);
	assert_int_equal(fx_mkdir(x, "d"), 0);
	(void)fx_ls(x, "");
	fx_mark(x);
	assert_string_equal(get(x, "f", "security.selinux"), "!EOPNOTSUPP");
	assert_string_equal(get(x, "f", "trusted.overlay.opaque"), "!EOPNOTSUPP");
	assert_string_equal(get(x, "f", "system.posix_acl_access"), "!EOPNOTSUPP");
	assert_string_equal(get(x, "d", "system.posix_acl_default"), "!EOPNOTSUPP");
	assert_int_equal(set(x, "f", "security.selinux", "x"), -EOPNOTSUPP);
	assert_int_equal(set(x, "f", "trusted.a", "x"), -EOPNOTSUPP);
	assert_int_equal(set(x, "f", "system.posix_acl_access", "x"), -EOPNOTSUPP);
	assert_int_equal(drop(x, "f", "security.selinux"), -EOPNOTSUPP);
	assert_int_equal(set(x, "d", "user.a", "x"), -EOPNOTSUPP);
	assert_string_equal(get(x, "d", "user.a"), "!ENODATA");
	assert_string_equal(list(x, "d"), "");
	assert_int_equal(set(x, "f", "user.mtime", "1"), -EPERM);
	assert_int_equal(set(x, "f", "user.supafs.etag", "x"), -EPERM);
	assert_int_equal(set(x, "f", "user.supafs.none", "x"), -EPERM);
	assert_string_equal(get(x, "f", "user.supafs.none"), "!ENODATA");
	assert_int_equal(fx_all(x), 0);
}

static void too_much_is_refused(void **state)
{
	struct fx *x = *state;
	char big[6000];

	memset(big, 'x', sizeof(big));
	big[sizeof(big) - 1] = '\0';
	assert_int_equal(fx_save(x, "f", "abc"), 0);
	assert_int_equal(set(x, "f", "user.a", "1"), 0);
	assert_int_equal(set(x, "f", "user.big", big), -ENOSPC);
	assert_string_equal(list(x, "f"), "user.a;");
	settle(x);
	assert_true(server_value(x, "f", "a", "1"));
}

static void own_names(void **state)
{
	struct fx *x = *state;
	struct supafs_info info;

	foreign(x, "dir/f", "red");
	assert_int_equal(fx_server_info(x, "dir/f", &info), 0);
	(void)fx_ls(x, "dir");
	fx_mark(x);
	assert_string_equal(get(x, "dir/f", "user.supafs.etag"), info.version.etag);
	assert_string_equal(get(x, "dir/f", "user.supafs.version"), info.generation);
	assert_int_equal(strlen(get(x, "dir/f", "user.supafs.id")), 36);
	assert_string_equal(get(x, "dir/f", "user.supafs.mime"), "text/x-odd");
	assert_string_equal(get(x, "dir/f", "user.supafs.cache_control"), "max-age=9");
	assert_string_equal(get(x, "dir/f", "user.supafs.state"), "clean");
	assert_string_equal(get(x, "dir/f", "user.supafs.sha256"), "!ENODATA");
	assert_int_equal(fx_count(x, SUPAFS_OP_INFO), 1);
	assert_string_equal(get(x, "dir/f", "user.supafs.public_url"), "!ENODATA");
	assert_non_null(strstr(get(x, "dir/f", "user.supafs.signed_url"), "valid=3600"));
	assert_int_equal(set(x, "dir/f", "user.sha256", "00ff"), 0);
	settle(x);
	assert_string_equal(get(x, "dir/f", "user.supafs.sha256"), "00ff");
}

static void type_and_cache_control_can_be_set(void **state)
{
	const struct fx_config cfg = {.ttl_ms = UINT64_MAX, .mimes = "text/*\nimage/png\n"};
	struct fx *x = fx_new(&cfg);
	struct supafs_info info;
	char longer[200];

	(void)state;
	memset(longer, 'a', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	assert_int_equal(fx_save(x, "f.txt", "abc"), 0);
	assert_string_equal(get(x, "f.txt", "user.supafs.cache_control"), "no-cache");
	assert_int_equal(set(x, "f.txt", "user.supafs.mime", "video/mp4"), -EPERM);
	assert_int_equal(set(x, "f.txt", "user.supafs.mime", "text"), -EINVAL);
	assert_int_equal(set(x, "f.txt", "user.supafs.mime", "text/a\nb"), -EINVAL);
	assert_int_equal(set(x, "f.txt", "user.supafs.cache_control", longer), -ENOSPC);
	assert_int_equal(set(x, "f.txt", "user.supafs.mime", "image/png"), 0);
	assert_int_equal(set(x, "f.txt", "user.supafs.cache_control", "max-age=60"), 0);
	assert_string_equal(get(x, "f.txt", "user.supafs.state"), "queued");
	fx_mark(x);
	settle(x);
	assert_int_equal(fx_count(x, SUPAFS_OP_COPY), 1);
	assert_int_equal(fx_server_info(x, "f.txt", &info), 0);
	assert_string_equal(info.mime, "image/png");
	assert_non_null(strstr(info.cache_control, "max-age=60"));
	assert_int_equal(drop(x, "f.txt", "user.supafs.mime"), 0);
	settle(x);
	assert_int_equal(fx_server_info(x, "f.txt", &info), 0);
	assert_string_equal(info.mime, "text/plain");
	assert_string_equal(list(x, "f.txt"), "");
	assert_int_equal(fx_free(x), 0);
}

/* Nothing was stored here from this mount yet: the refusal is told at once. */
static void refused_is_refused(void **state)
{
	struct fx *x = *state;

	foreign(x, "f", "red");
	fx_fail(x, SUPAFS_OP_COPY, 0, 1, -EACCES);
	assert_int_equal(set(x, "f", "user.a", "1"), -EACCES);
	assert_string_equal(list(x, "f"), "user.color;user.ctime;");
	fx_fail(x, SUPAFS_OP_INFO, 0, 1, -EACCES);
	fx_advance_ms(x, FX_TTL_MS + 1);
	foreign(x, "f", "red");
	assert_int_equal(set(x, "f", "user.a", "1"), -EACCES);
	assert_int_equal(set(x, "f", "user.a", "1"), 0);
	assert_true(server_value(x, "f", "color", "red"));
	assert_true(server_value(x, "f", "a", "1"));
}

static void without_stored_attributes(void **state)
{
	const struct fx_config cfg = {.ttl_ms = UINT64_MAX, .no_meta = true};
	struct fx *x = fx_new(&cfg);

	(void)state;
	foreign(x, "f", "red");
	assert_string_equal(get(x, "f", "user.color"), "red");
	assert_int_equal(set(x, "f", "user.a", "1"), -EOPNOTSUPP);
	assert_int_equal(fx_free(x), 0);
}

static void unlinked_file(void **state)
{
	struct fx *x = *state;
	const struct supafs_str name = SUPAFS_STR("user.color");
	uint64_t fh, node;
	char buf[16];

	assert_int_equal(fx_save(x, "f", "abc"), 0);
	assert_int_equal(set(x, "f", "user.color", "blue"), 0);
	assert_int_equal(fx_path(x, "f", &node), 0);
	assert_int_equal(fx_open(x, "f", O_RDONLY, &fh), 0);
	assert_int_equal(fx_unlink(x, "f", 1), 0);
	assert_int_equal(
		supafs_vfs_getxattr(x->v, &x->call, node, name, buf, sizeof(buf), &x->fault), 4);
	assert_int_equal(
		supafs_vfs_setxattr(x->v, &x->call, node, name, SUPAFS_STR("red"), 0, &x->fault),
		0);
	assert_int_equal(fx_close(x, fh), 0);
	supafs_vfs_forget(x->v, node, 1);
	settle(x);
	assert_false(fx_server_has(x, "f"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(kept_with_the_object),
		T(binary_and_empty_values),
		T(listing_alone_tells_of_none),
		T(foreign_object_costs_one_info_a_version),
		T(chmod_takes_all_along),
		T(overwriting_keeps_attributes),
		T(rides_with_the_upload),
		T(rename_keeps_attributes),
		T(flags_of_setxattr),
		T(other_classes),
		T(too_much_is_refused),
		T(own_names),
		cmocka_unit_test(type_and_cache_control_can_be_set),
		T(refused_is_refused),
		cmocka_unit_test(without_stored_attributes),
		T(unlinked_file),
#undef T
	};

	return cmocka_run_group_tests_name("vfs_xattr", tests, NULL, NULL);
}
