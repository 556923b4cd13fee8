/* SPDX-License-Identifier: Apache-2.0 */
/* Local files: bounds, replacement, secrets, private folders. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/file.h"

#include "unit.h"

struct folder {
	char path[64];
	char text[256];
};

static int setup(void **state)
{
	struct folder *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	(void)snprintf(f->path, sizeof(f->path), "/tmp/supafs-test-XXXXXX");
	assert_non_null(mkdtemp(f->path));
	*state = f;
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
	(void)st;
	(void)kind;
	(void)where;
	return remove(path);
}

static int teardown(void **state)
{
	struct folder *f = *state;

	assert_int_equal(nftw(f->path, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
	free(f);
	return 0;
}

static const char *in(struct folder *f, const char *name)
{
	(void)snprintf(f->text, sizeof(f->text), "%s/%s", f->path, name);
	return f->text;
}

static unsigned count_entries(const char *path)
{
	DIR *d = opendir(path);
	unsigned n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	(void)closedir(d);
	return n - 2;
}

static void replace_and_read(void **state)
{
	struct folder *f = *state;
	struct supafs_buf b;
	struct stat st;

	supafs_buf_init(&b, 5);
	assert_int_equal(supafs_file_read(in(f, "a"), &b), -ENOENT);
	assert_int_equal(supafs_file_replace(in(f, "a"), "old", 3, 0640), 0);
	assert_int_equal(stat(f->text, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_int_equal(supafs_file_replace(f->text, "hello", 5, 0600), 0);
	assert_int_equal(supafs_file_read(f->text, &b), 0);
	assert_string_equal(supafs_buf_cstr(&b), "hello");
	assert_int_equal(stat(f->text, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(supafs_file_replace(f->text, "hello!", 6, 0600), 0);
	supafs_buf_reset(&b);
	assert_int_equal(supafs_file_read(f->text, &b), -EMSGSIZE);
	supafs_buf_reset(&b);
	assert_int_equal(supafs_file_replace(f->text, "", 0, 0600), 0);
	assert_int_equal(supafs_file_read(f->text, &b), 0);
	assert_int_equal(b.n, 0);
	supafs_buf_reset(&b);
	assert_int_equal(supafs_file_read(f->path, &b), -EISDIR);
	supafs_buf_reset(&b);
	assert_int_equal(supafs_file_read("/dev/null", &b), -EINVAL);
	assert_int_equal(count_entries(f->path), 1); /* no temporary is left */
	supafs_buf_fini(&b);
}

static void replace_fails(void **state)
{
	struct folder *f = *state;

	assert_int_equal(supafs_file_replace(in(f, "no/such"), "x", 1, 0600), -ENOENT);
	assert_int_equal(mkdir(in(f, "dir"), 0700), 0);
	assert_int_equal(supafs_file_replace(f->text, "x", 1, 0600), -EISDIR);
	assert_int_equal(count_entries(f->path), 1);
}

static void secrets(void **state)
{
	static const struct {
		mode_t mode;
		int result;
	} rows[] = {{0600, 0}, {0400, 0}, {0640, -EACCES}, {0604, -EACCES}, {0620, -EACCES},
		{0601, -EACCES}};
	struct folder *f = *state;
	char target[256];
	struct supafs_buf b;

	supafs_buf_init(&b, 100);
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(rows); i++) {
		mode_t mode = 0;

		supafs_buf_reset(&b);
		assert_int_equal(supafs_file_replace(in(f, "key"), "abc", 3, rows[i].mode), 0);
		assert_int_equal(supafs_file_read_secret(f->text, &b, &mode), rows[i].result);
		assert_int_equal(mode, rows[i].mode);
		assert_string_equal(supafs_buf_cstr(&b), rows[i].result == 0 ? "abc" : "");
	}
	supafs_buf_reset(&b);
	assert_int_equal(supafs_file_replace(in(f, "key"), "abc", 3, 0600), 0);
	(void)snprintf(target, sizeof(target), "%s", f->text);
	assert_int_equal(symlink(target, in(f, "link")), 0);
	assert_int_equal(supafs_file_read_secret(f->text, &b, NULL), -EACCES);
	assert_int_equal(supafs_file_read_secret(f->path, &b, NULL), -EISDIR);
	assert_int_equal(supafs_file_read_secret(in(f, "none"), &b, NULL), -ENOENT);
	/* Nobody may make us wait by a pipe. */
	assert_int_equal(mkfifo(in(f, "fifo"), 0600), 0);
	assert_int_equal(supafs_file_read_secret(f->text, &b, NULL), -EINVAL);
	supafs_buf_fini(&b);
}

static void private_folders(void **state)
{
	struct folder *f = *state;
	char target[256];
	struct stat st;

	assert_int_equal(supafs_dir_private(in(f, "a/b/c")), 0);
	assert_int_equal(stat(f->text, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(stat(in(f, "a"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(supafs_dir_private(in(f, "a/b/c//")), 0);
	assert_int_equal(supafs_dir_private(""), -ENOENT);

	assert_int_equal(chmod(in(f, "a/b"), 0750), 0);
	assert_int_equal(supafs_dir_private(f->text), -EACCES);
	assert_int_equal(supafs_file_replace(in(f, "file"), "", 0, 0600), 0);
	assert_int_equal(supafs_dir_private(f->text), -ENOTDIR);
	assert_int_equal(supafs_dir_private(in(f, "file/x")), -ENOTDIR);

	(void)snprintf(target, sizeof(target), "%s/a", f->path);
	assert_int_equal(symlink(target, in(f, "link")), 0);
	assert_int_equal(supafs_dir_private(in(f, "link")), -EACCES);
	assert_int_equal(supafs_dir_private(in(f, "link/")), -EACCES);
	/* /proc belongs to root, who is not the owner of a test, or is open to all. */
	assert_int_equal(supafs_dir_private("/proc"), -EACCES);
}

static void transfers(void **state)
{
	struct folder *f = *state;
	supafs_autoclose int fd = open(in(f, "data"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	char back[8] = {0};

	assert_true(fd >= 0);
	assert_int_equal(supafs_pwrite_all(fd, "world", 5, 6), 0);
	assert_int_equal(supafs_pwrite_all(fd, "hello ", 6, 0), 0);
	assert_int_equal(supafs_pread_all(fd, back, 5, 6), 0);
	assert_string_equal(back, "world");
	assert_int_equal(supafs_pread_all(fd, back, 5, 7), -EIO); /* one byte short */
	assert_int_equal(supafs_pread_all(fd, back, 0, 100), 0);
	assert_int_equal(supafs_pread_all(-1, back, 1, 0), -EBADF);
	assert_int_equal(supafs_pwrite_all(-1, back, 1, 0), -EBADF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(replace_and_read, setup, teardown),
		cmocka_unit_test_setup_teardown(replace_fails, setup, teardown),
		cmocka_unit_test_setup_teardown(secrets, setup, teardown),
		cmocka_unit_test_setup_teardown(private_folders, setup, teardown),
		cmocka_unit_test_setup_teardown(transfers, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
