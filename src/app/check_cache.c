/* SPDX-License-Identifier: Apache-2.0 */
#include "check_cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "supafs/util/cleanup.h"

#include "place.h"
#include "progress.h"

#define ROOM_FAIL   (UINT64_C(16) << 20)
#define ROOM_WARN   (UINT64_C(1) << 30)
#define RECORD_ID_N 36 /* a record of the journal is called UUID.jN */

static void close_dir(DIR **d)
{
	if (*d)
		(void)closedir(*d);
}

static DIR *open_dir(int at, const char *name)
{
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (!d && fd >= 0)
		(void)close(fd);
	return d;
}

/* Files of the spool's folder, the lock aside; of them records in *ret_records. */
static unsigned count_spool(int folder, unsigned *ret_records)
{
	supafs_cleanup(close_dir) DIR *d = open_dir(folder, "spool");
	const struct dirent *e;
	unsigned n = 0;

	*ret_records = 0;
	while (d && (e = readdir(d)) != NULL) { // NOLINT(concurrency-mt-unsafe)
		if (e->d_name[0] == '.')
			continue;
		n++;
		if (strlen(e->d_name) > RECORD_ID_N + 2 &&
			strncmp(e->d_name + RECORD_ID_N, ".j", 2) == 0)
			(*ret_records)++;
	}
	return n;
}

static bool in_use(int folder)
{
	supafs_autoclose int fd = openat(folder, "spool/.lock", O_RDWR | O_NOFOLLOW | O_CLOEXEC);

	return fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
}

static void check_folder(struct supafs_checks *c, int base_fd, const char *base, const char *name)
{
	supafs_autoclose int fd =
		openat(base_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	unsigned records = 0, files;

	if (fd < 0)
		return;
	files = count_spool(fd, &records);
	if (in_use(fd))
		supafs_check_line(c, SUPAFS_CHECK_OK, "cache", "%s/%s is in use by a running mount",
			base, name);
	else if (records > 0)
		supafs_check_line(c, SUPAFS_CHECK_WARN, "cache",
			"%s/%s holds %u change(s) that are not at the server: mount the same "
			"bucket at the same place again, and they are sent",
			base, name, records);
	else if (files > 0)
		supafs_check_line(c, SUPAFS_CHECK_WARN, "cache",
			"%s/%s/spool holds %u file(s) of a mount that was killed: the next mount "
			"keeps them in lost+found",
			base, name, files);
}

/* "course-0123456789abcdef" is a folder of bucket course; without a bucket all are looked at. */
static bool is_folder_of(const char *name, const char *bucket)
{
	const size_t n = strlen(name), b = strlen(bucket);

	if (n < 18 || name[n - 17] != '-')
		return false;
	return b == 0 || (n - 17 == b && strncmp(name, bucket, b) == 0);
}

static void check_folders(struct supafs_checks *c, const char *base, const char *bucket)
{
	supafs_cleanup(close_dir) DIR *d = open_dir(AT_FDCWD, base);
	const struct dirent *e;

	while (d && (e = readdir(d)) != NULL) { // NOLINT(concurrency-mt-unsafe)
		if (is_folder_of(e->d_name, bucket))
			check_folder(c, dirfd(d), base, e->d_name);
	}
}

static void check_room(struct supafs_checks *c, const char *dir)
{
	struct statvfs st;
	uint64_t room;
	char text[32];

	if (statvfs(dir, &st) != 0)
		return;
	room = (uint64_t)st.f_bavail * st.f_frsize;
	supafs_format_bytes(room, text, sizeof(text));
	if (st.f_flag & ST_RDONLY)
		supafs_check_line(c, SUPAFS_CHECK_FAIL, "cache",
			"%s is on a disk that cannot be written: choose another with -o cache=DIR",
			dir);
	else if (room < ROOM_WARN)
		supafs_check_line(c, room < ROOM_FAIL ? SUPAFS_CHECK_FAIL : SUPAFS_CHECK_WARN,
			"cache",
			"%s has %s free: every file passes through it on its way to the server; make "
			"room, or choose another with -o cache=DIR",
			dir, text);
	else
		supafs_check_line(c, SUPAFS_CHECK_OK, "cache", "%s, %s free", dir, text);
}

/* The first folder of the path that is there. */
static void existing(char *dir)
{
	char *slash;

	while (access(dir, F_OK) != 0 && (slash = strrchr(dir, '/')) != NULL) {
		if (slash == dir) {
			dir[1] = '\0';
			return;
		}
		*slash = '\0';
	}
}

void supafs_check_cache(struct supafs_checks *c, const struct supafs_mount_args *a)
{
	char base[PATH_MAX], there[PATH_MAX];
	struct supafs_problem p;
	struct stat st;

	if (supafs_place_cache_base(a->opt.cache, base, &p) < 0) {
		supafs_check_line(c, SUPAFS_CHECK_FAIL, "cache", "%s", p.text);
		return;
	}
	memcpy(there, base, sizeof(there));
	existing(there);
	if (lstat(base, &st) == 0 &&
		(!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077))) {
		supafs_problem_set(&p, SUPAFS_MSG_CACHE_OPEN_TO_OTHERS, "dir", base, NULL);
		supafs_check_line(c, SUPAFS_CHECK_FAIL, "cache", "%s", p.text);
	} else if (access(there, W_OK | X_OK) != 0) {
		supafs_problem_set(&p, SUPAFS_MSG_CACHE_DENIED, "dir", base, "err",
			strerrordesc_np(errno), NULL);
		supafs_check_line(c, SUPAFS_CHECK_FAIL, "cache", "%s", p.text);
	} else {
		check_room(c, there);
		check_folders(c, base, a->bucket);
	}
}
