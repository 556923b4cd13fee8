/* SPDX-License-Identifier: Apache-2.0 */
/* Files on the local disk. */
#include "supafs/util/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "supafs/util/cleanup.h"

static int read_fd(int fd, struct supafs_buf *b)
{
	char chunk[4096];

	for (;;) {
		const ssize_t n = read(fd, chunk, sizeof(chunk));

		if (n == 0)
			return supafs_buf_error(b);
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0 && supafs_buf_add(b, chunk, (size_t)n) != 0)
			return supafs_buf_error(b);
	}
}

int supafs_file_read(const char *path, struct supafs_buf *b)
{
	supafs_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) != 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
	return read_fd(fd, b);
}

int supafs_file_read_secret(const char *path, struct supafs_buf *b, mode_t *ret_mode)
{
	supafs_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
	struct stat st;

	if (fd < 0)
		return errno == ELOOP ? -EACCES : -errno;
	if (fstat(fd, &st) != 0)
		return -errno;
	if (ret_mode)
		*ret_mode = st.st_mode & 07777;
	if (!S_ISREG(st.st_mode))
		return S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
	if ((st.st_uid != geteuid() && st.st_uid != 0) || (st.st_mode & 077) != 0)
		return -EACCES;
	return read_fd(fd, b);
}

/* --- Replacement ------------------------------------------------------------------------- */

static int sync_folder(const char *folder)
{
	supafs_autoclose int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || fsync(fd) != 0)
		return -errno;
	return 0;
}

/* "." for a bare name, "/" for a file of the root. */
static int folder_of(const char *path, struct supafs_buf *b)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return supafs_buf_adds(b, ".");
	return supafs_buf_add(b, path, slash == path ? 1 : (size_t)(slash - path));
}

static int fill_and_rename(int fd, const char *temp, const char *path, struct supafs_str content)
{
	const int r = supafs_pwrite_all(fd, content.p, content.n, 0);

	if (r != 0)
		return r;
	if (fsync(fd) != 0 || rename(temp, path) != 0)
		return -errno;
	return 0;
}

int supafs_file_replace(const char *path, const void *p, size_t n, mode_t mode)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf folder;
	supafs_cleanup(supafs_buf_fini) struct supafs_buf temp;
	supafs_autoclose int fd = -1;
	int r = 0;

	supafs_buf_init(&folder, PATH_MAX);
	supafs_buf_init(&temp, PATH_MAX);
	(void)folder_of(path, &folder);
	r = supafs_buf_addf(&temp, "%s/.supafs-XXXXXX", supafs_buf_cstr(&folder));
	if (r != 0 || supafs_buf_error(&folder) != 0)
		return r == -ENOMEM ? r : -ENAMETOOLONG;
	fd = mkostemp(temp.p, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = fchmod(fd, mode) == 0 ? 0 : -errno;
	if (r == 0)
		r = fill_and_rename(fd, temp.p, path, (struct supafs_str){p, n});
	if (r != 0) {
		(void)unlink(temp.p);
		return r;
	}
	return sync_folder(supafs_buf_cstr(&folder));
}

/* --- Folders ----------------------------------------------------------------------------- */

/* Makes every folder of the path that is not there yet. */
static int make_folders(char *path)
{
	for (char *at = path + 1;; at++) {
		const char c = *at;

		if (c != '/' && c != '\0')
			continue;
		*at = '\0';
		if (mkdir(path, 0700) != 0 && errno != EEXIST)
			return -errno;
		*at = c;
		if (c == '\0')
			return 0;
	}
}

int supafs_dir_private(const char *path)
{
	supafs_autofree char *copy = supafs_str_dup(supafs_str_of(path));
	supafs_autoclose int fd = -1;
	struct stat st;
	size_t n = strlen(path);
	int r = 0;

	if (!copy)
		return -ENOMEM;
	if (n == 0)
		return -ENOENT;
	/* With a slash at its end a symlink would be followed. */
	while (n > 1 && copy[n - 1] == '/')
		copy[--n] = '\0';
	r = make_folders(copy);
	if (r != 0)
		return r;
	fd = open(copy, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) != 0)
		return -errno;
	if (S_ISLNK(st.st_mode))
		return -EACCES;
	if (!S_ISDIR(st.st_mode))
		return -ENOTDIR;
	return st.st_uid == geteuid() && (st.st_mode & 077) == 0 ? 0 : -EACCES;
}

/* --- Whole transfers --------------------------------------------------------------------- */

int supafs_pwrite_all(int fd, const void *p, size_t n, uint64_t off)
{
	const char *at = p;

	while (n > 0) {
		const ssize_t r = pwrite(fd, at, n, (off_t)off);

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return r < 0 ? -errno : -EIO;
		at += r;
		n -= (size_t)r;
		off += (uint64_t)r;
	}
	return 0;
}

int supafs_pread_all(int fd, void *p, size_t n, uint64_t off)
{
	char *at = p;

	while (n > 0) {
		const ssize_t r = pread(fd, at, n, (off_t)off);

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return r < 0 ? -errno : -EIO;
		at += r;
		n -= (size_t)r;
		off += (uint64_t)r;
	}
	return 0;
}
