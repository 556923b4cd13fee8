/* SPDX-License-Identifier: Apache-2.0 */
#include "save.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "supafs/util/cleanup.h"

#define CHUNK (1U << 20)

static bool is_plain(const char *name)
{
	return *name != '\0' && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

/* The folder of `path` below `to_fd`, made as far as it is not there; the last name in *ret_name.
 * `path` is cut up. */
static int open_folder(char *path, int to_fd, const char **ret_name)
{
	supafs_autoclose int fd = openat(to_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char *at = path, *slash;

	if (fd < 0)
		return -errno;
	while ((slash = strchr(at, '/')) != NULL) {
		int below;

		*slash = '\0';
		if (!is_plain(at))
			return -EINVAL;
		if (mkdirat(fd, at, 0700) != 0 && errno != EEXIST)
			return -errno;
		below = openat(fd, at, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (below < 0)
			return -errno;
		(void)close(fd);
		fd = below;
		at = slash + 1;
	}
	if (!is_plain(at))
		return -EINVAL;
	*ret_name = at;
	return supafs_steal_fd(&fd);
}

static int write_all(int fd, const char *p, ssize_t n)
{
	while (n > 0) {
		ssize_t w = write(fd, p, (size_t)n);

		if (w < 0 && errno != EINTR)
			return -errno;
		p += w > 0 ? w : 0;
		n -= w > 0 ? w : 0;
	}
	return 0;
}

static int copy_bytes(int from, int to)
{
	supafs_autofree char *buf = malloc(CHUNK);

	if (!buf)
		return -ENOMEM;
	for (;;) {
		ssize_t n = read(from, buf, CHUNK);
		int r;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : 0;
		r = write_all(to, buf, n);
		if (r < 0)
			return r;
	}
}

static int save_bytes(int from, int folder, const char *name)
{
	supafs_autoclose int to =
		openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	int r;

	if (to < 0)
		return -errno;
	r = copy_bytes(from, to);
	if (r == 0 && fsync(to) != 0)
		r = -errno;
	if (r < 0)
		(void)unlinkat(folder, name, 0);
	return r;
}

static int save_link(const char *source, int folder, const char *name)
{
	char target[PATH_MAX];
	ssize_t n = readlink(source, target, sizeof(target) - 1);

	if (n < 0)
		return -errno;
	target[n] = '\0';
	return symlinkat(target, folder, name) == 0 ? 0 : -errno;
}

int supafs_save_file(const char *mountpoint, const char *path, int to_fd)
{
	char copy[PATH_MAX], source[2 * PATH_MAX];
	supafs_autoclose int from = -1, folder = -1;
	const char *name = "";

	if (snprintf(copy, sizeof(copy), "%s", path) >= (int)sizeof(copy) ||
		snprintf(source, sizeof(source), "%s/%s", mountpoint, path) >= (int)sizeof(source))
		return -ENAMETOOLONG;
	folder = open_folder(copy, to_fd, &name);
	if (folder < 0)
		return folder;
	from = open(source, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (from < 0)
		return errno == ELOOP ? save_link(source, folder, name) : -errno;
	return save_bytes(from, folder, name);
}
