/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The spool's folder: who owns it, and what a dead owner left.
 *
 * Ownership is an flock on spool/.lock, which the kernel drops however the owner ends. The boot
 * id and pid inside are for people. All access goes through descriptors of the folders, so a
 * renamed or replaced cache folder cannot send a file elsewhere.
 */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "supafs/cache/spool.h"
#include "supafs/util/cleanup.h"
#include "supafs/util/clock.h"
#include "supafs/util/file.h"
#include "supafs/util/lock.h"

#include "spool_priv.h"

#define LOCK_NAME   ".lock"
#define IDLE_PREFIX ".idle-" /* of an empty file that waits for its next use */
#define IDLE_NAME   (sizeof(IDLE_PREFIX) - 1 + SUPAFS_SPOOL_NAME)
#define IDLE_MAX    8

struct idle {
	int fd;
	char name[SUPAFS_SPOOL_NAME];
};

struct supafs_spool_dir {
	int fd;      /* DIR/spool */
	int lock_fd; /* DIR/spool/.lock, flocked */
	_Atomic unsigned spools;
	struct supafs_mutex lock;   /* a leaf */
	struct idle idle[IDLE_MAX]; /* lock */
	unsigned idle_n;            /* lock */
};

static void close_dir(DIR **d)
{
	if (*d)
		(void)closedir(*d);
}

static int open_folder(const char *dir, const char *name)
{
	supafs_autofree char *path = NULL;
	int r, fd;

	if (asprintf(&path, "%s/%s", dir, name) < 0)
		return -ENOMEM;
	r = supafs_dir_private(path);
	if (r < 0)
		return r;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static void read_boot_id(char *out, size_t size)
{
	supafs_autoclose int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, out, size - 1);

	out[n > 0 ? n : 0] = '\0';
	out[strcspn(out, "\n")] = '\0';
}

/* The locked descriptor, or -errno. */
static int take_lock(int dirfd)
{
	supafs_autoclose int fd =
		openat(dirfd, LOCK_NAME, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	char boot[64], line[96];
	int n;

	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? -EBUSY : -errno;

	read_boot_id(boot, sizeof(boot));
	n = snprintf(line, sizeof(line), "%s %ld\n", boot, (long)getpid());
	/* A full disk must not keep anybody from mounting: the flock is what counts. */
	if (ftruncate(fd, 0) == 0)
		(void)supafs_pwrite_all(fd, line, (size_t)n, 0);
	return supafs_steal_fd(&fd);
}

/* Moves `name` to lost+found, under another name if its own is taken. */
static int move_lost(int from, int to, const char *name)
{
	char other[NAME_MAX + 1], uuid[SUPAFS_SPOOL_NAME];

	if (renameat2(from, name, to, name, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EEXIST && errno != EINVAL)
		return -errno;
	supafs_random_uuid(uuid);
	(void)snprintf(other, sizeof(other), "%.200s.%s", name, uuid);
	return renameat(from, name, to, other) < 0 ? -errno : 0;
}

static int rescue_left(const char *dir, int spool_fd, unsigned *ret_lost)
{
	supafs_autoclose int lost_fd = -1;
	supafs_cleanup(close_dir) DIR *d = NULL;
	int fd = openat(spool_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	unsigned lost = 0;

	if (fd < 0)
		return -errno;
	d = fdopendir(fd);
	if (!d) {
		(void)close(fd);
		return -ENOMEM;
	}
	for (;;) {
		errno = 0;
		/* one thread per DIR stream */
		const struct dirent *e = readdir(d); /* NOLINT(concurrency-mt-unsafe) */

		if (!e)
			break;
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
			strcmp(e->d_name, LOCK_NAME) == 0)
			continue;
		if (strncmp(e->d_name, IDLE_PREFIX, sizeof(IDLE_PREFIX) - 1) == 0) {
			(void)unlinkat(spool_fd, e->d_name, 0);
			continue;
		}
		if (lost_fd < 0) {
			int r = open_folder(dir, "lost+found");

			if (r < 0)
				return r;
			lost_fd = r;
		}

		int r = move_lost(spool_fd, lost_fd, e->d_name);

		if (r < 0)
			return r;
		lost++;
	}
	if (errno)
		return -errno;
	if (lost && (fsync(lost_fd) < 0 || fsync(spool_fd) < 0))
		return -errno;
	*ret_lost = lost;
	return 0;
}

int supafs_spool_dir_open(const char *dir, struct supafs_spool_dir **ret_dir, unsigned *ret_lost)
{
	supafs_autoclose int fd = open_folder(dir, "spool");
	supafs_autoclose int lock_fd = -1;
	unsigned lost = 0;
	int r;

	if (fd < 0)
		return fd;
	lock_fd = take_lock(fd);
	if (lock_fd < 0)
		return lock_fd;

	r = rescue_left(dir, fd, &lost);
	if (r < 0)
		return r;

	struct supafs_spool_dir *d = calloc(1, sizeof(*d));

	if (!d)
		return -ENOMEM;
	d->fd = supafs_steal_fd(&fd);
	d->lock_fd = supafs_steal_fd(&lock_fd);
	supafs_mutex_init(&d->lock);
	*ret_dir = d;
	*ret_lost = lost;
	return 0;
}

static void idle_name(const char *name, char out[IDLE_NAME])
{
	(void)snprintf(out, IDLE_NAME, IDLE_PREFIX "%s", name);
}

struct supafs_spool_dir *supafs_spool_dir_free(struct supafs_spool_dir *d)
{
	if (!d)
		return NULL;
	assert(d->spools == 0);
	for (unsigned i = 0; i < d->idle_n; i++) {
		char name[IDLE_NAME];

		idle_name(d->idle[i].name, name);
		(void)unlinkat(d->fd, name, 0);
		(void)close(d->idle[i].fd);
	}
	supafs_mutex_fini(&d->lock);
	(void)close(d->lock_fd);
	(void)close(d->fd);
	free(d);
	return NULL;
}

uint64_t supafs_spool_dir_room(const struct supafs_spool_dir *d)
{
	struct statvfs st;

	if (fstatvfs(d->fd, &st) < 0)
		return 0;
	return (uint64_t)st.f_bavail * st.f_frsize;
}

/* Making and removing a file for each small upload costs more than the upload where a file system
 * looks at every inode that was freed lately (ext4): a few empty files are used again. */
static int take_idle(struct supafs_spool_dir *d, char ret_name[SUPAFS_SPOOL_NAME])
{
	char from[IDLE_NAME];
	struct idle it;

	{
		SUPAFS_SCOPED_LOCK(&d->lock);
		if (d->idle_n == 0)
			return -ENOENT;
		it = d->idle[--d->idle_n];
	}
	idle_name(it.name, from);
	if (renameat(d->fd, from, d->fd, it.name) < 0) {
		(void)close(it.fd);
		return -errno;
	}
	memcpy(ret_name, it.name, sizeof(it.name));
	return it.fd;
}

int supafs_spool_dir_create(struct supafs_spool_dir *d, char ret_name[SUPAFS_SPOOL_NAME])
{
	char name[SUPAFS_SPOOL_NAME];
	int fd = take_idle(d, name);

	if (fd < 0) {
		supafs_random_uuid(name);
		fd = openat(d->fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	}
	if (fd < 0)
		return -errno;
	d->spools++;
	memcpy(ret_name, name, sizeof(name));
	return fd;
}

/* True when the file now waits for its next use. */
static bool put_idle(struct supafs_spool_dir *d, int fd, const char *name)
{
	char to[IDLE_NAME];
	struct idle *it;

	SUPAFS_SCOPED_LOCK(&d->lock);
	if (d->idle_n == IDLE_MAX || ftruncate(fd, 0) < 0)
		return false;
	idle_name(name, to);
	if (renameat(d->fd, name, d->fd, to) < 0)
		return false;
	it = &d->idle[d->idle_n++];
	it->fd = fd;
	memcpy(it->name, name, sizeof(it->name));
	return true;
}

void supafs_spool_dir_release(struct supafs_spool_dir *d, int fd, const char *name, bool keep)
{
	if (keep || !put_idle(d, fd, name)) {
		(void)close(fd);
		if (!keep)
			(void)unlinkat(d->fd, name, 0);
	}
	d->spools--;
}
