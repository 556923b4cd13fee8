/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The spool's folder: who owns it, and the files in it. What a dead owner left is the journal's.
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
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "supafs/cache/spool.h"
#include "supafs/util/cleanup.h"
#include "supafs/util/clock.h"
#include "supafs/util/file.h"
#include "supafs/util/lock.h"

#include "spool_priv.h"

#define LOST_NAME      "lost+found"
#define IDLE_PREFIX    ".idle-" /* of an empty file that waits for its next use */
#define IDLE_NAME      (sizeof(IDLE_PREFIX) - 1 + SUPAFS_SPOOL_NAME)
#define IDLE_MAX       8

#define OPEN_MAX_FILES 1024U /* more spool files than that are never kept open */
#define OPEN_MIN_FILES 8U
#define OPEN_OTHERS    128U /* descriptors that are left to others */

struct idle {
	int fd;
	char name[SUPAFS_SPOOL_NAME];
};

struct supafs_spool_dir {
	int fd;      /* DIR/spool */
	int lock_fd; /* DIR/spool/.lock, flocked */
	_Atomic unsigned spools;
	struct supafs_mutex lock;   /* a leaf */
	struct supafs_list resting; /* lock; open files with nobody inside, longest first */
	unsigned open, open_max;    /* lock; descriptors of spools */
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
		openat(dirfd, SUPAFS_SPOOL_LOCK, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
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

/* --- Lost and found ------------------------------------------------------------------------------
 */

int supafs_spool_dir_lost(const struct supafs_spool_dir *d)
{
	supafs_autoclose int up = openat(d->fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	supafs_autoclose int fd = -1;
	struct stat st;

	if (up < 0 || (mkdirat(up, LOST_NAME, 0700) < 0 && errno != EEXIST))
		return -errno;
	fd = openat(up, LOST_NAME, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return errno == ELOOP || errno == ENOTDIR ? -EACCES : -errno;
	if (st.st_uid != geteuid() || (st.st_mode & 077) != 0)
		return -EACCES;
	return supafs_steal_fd(&fd);
}

int supafs_spool_dir_move_lost(const struct supafs_spool_dir *d, int lost_fd, const char *name)
{
	char other[NAME_MAX + 1], uuid[SUPAFS_SPOOL_NAME];

	if (renameat2(d->fd, name, lost_fd, name, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EEXIST && errno != EINVAL)
		return -errno;
	supafs_random_uuid(uuid);
	(void)snprintf(other, sizeof(other), "%.200s.%s", name, uuid);
	return renameat(d->fd, name, lost_fd, other) < 0 ? -errno : 0;
}

/* --- The folder ----------------------------------------------------------------------------------
 */

/* Empty files that a dead process kept for later. */
static int sweep_idle(int spool_fd)
{
	supafs_cleanup(close_dir) DIR *d = NULL;
	int fd = openat(spool_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

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
			return -errno;
		if (strncmp(e->d_name, IDLE_PREFIX, sizeof(IDLE_PREFIX) - 1) == 0)
			(void)unlinkat(spool_fd, e->d_name, 0);
	}
}

/* A half of what the process may have, once connections and the like have theirs. */
static unsigned descriptors(void)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim) < 0 || lim.rlim_cur > OPEN_MAX_FILES * 2 + OPEN_OTHERS)
		return OPEN_MAX_FILES;
	if (lim.rlim_cur < OPEN_MIN_FILES * 2 + OPEN_OTHERS)
		return OPEN_MIN_FILES;
	return (unsigned)(lim.rlim_cur - OPEN_OTHERS) / 2;
}

int supafs_spool_dir_open(const char *dir, struct supafs_spool_dir **ret_dir)
{
	supafs_autoclose int fd = open_folder(dir, "spool");
	supafs_autoclose int lock_fd = -1;
	struct supafs_spool_dir *d;
	int r;

	if (fd < 0)
		return fd;
	lock_fd = take_lock(fd);
	if (lock_fd < 0)
		return lock_fd;
	r = sweep_idle(fd);
	if (r < 0)
		return r;
	d = calloc(1, sizeof(*d));
	if (!d)
		return -ENOMEM;
	d->fd = supafs_steal_fd(&fd);
	d->lock_fd = supafs_steal_fd(&lock_fd);
	d->open_max = descriptors();
	supafs_list_init(&d->resting);
	supafs_mutex_init(&d->lock);
	*ret_dir = d;
	return 0;
}

int supafs_spool_dir_fd(const struct supafs_spool_dir *d)
{
	return d->fd;
}

unsigned supafs_spool_dir_spools(const struct supafs_spool_dir *d)
{
	return d->spools;
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

int supafs_spool_dir_create_named(struct supafs_spool_dir *d, const char *name)
{
	const int fd =
		openat(d->fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return -errno;
	d->spools++;
	return fd;
}

int supafs_spool_dir_create(struct supafs_spool_dir *d, char ret_name[SUPAFS_SPOOL_NAME])
{
	char name[SUPAFS_SPOOL_NAME];
	int fd = take_idle(d, name);

	if (fd >= 0) {
		d->spools++;
	} else {
		supafs_random_uuid(name);
		fd = supafs_spool_dir_create_named(d, name);
	}
	if (fd >= 0)
		memcpy(ret_name, name, sizeof(name));
	return fd;
}

static int open_ours(const struct supafs_spool_dir *d, const char *name, uint64_t *ret_size)
{
	supafs_autoclose int fd = openat(d->fd, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return errno == ELOOP || errno == EISDIR || errno == ENXIO ? -EBADMSG : -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077) != 0 ||
		st.st_nlink != 1)
		return -EBADMSG;
	*ret_size = (uint64_t)st.st_size;
	return supafs_steal_fd(&fd);
}

int supafs_spool_dir_reopen(struct supafs_spool_dir *d, const char *name, uint64_t *ret_size)
{
	int fd = open_ours(d, name, ret_size);

	if (fd >= 0)
		d->spools++;
	return fd;
}

/* --- Descriptors ---------------------------------------------------------------------------------
 */

/* One that may be closed: its descriptor, the caller's to close. -1: none. */
static int take_resting_locked(struct supafs_spool_dir *d) SUPAFS_REQUIRES(d->lock);
static int take_resting_locked(struct supafs_spool_dir *d)
{
	struct supafs_spool_file *f;
	int fd;

	if (supafs_list_empty(&d->resting))
		return -1;
	f = supafs_list_entry(d->resting.next, struct supafs_spool_file, link);
	supafs_list_remove(&f->link);
	fd = f->fd;
	f->fd = -1;
	d->open--;
	return fd;
}

static void rest_locked(struct supafs_spool_dir *d, struct supafs_spool_file *f)
	SUPAFS_REQUIRES(d->lock);
static void rest_locked(struct supafs_spool_dir *d, struct supafs_spool_file *f)
{
	if (f->users == 0 && f->fd >= 0)
		supafs_list_add_tail(&d->resting, &f->link);
}

/* Until so many are open, or none may be closed. */
static void shrink(struct supafs_spool_dir *d, unsigned max)
{
	for (;;) {
		int fd = -1;

		{
			SUPAFS_SCOPED_LOCK(&d->lock);
			if (d->open > max)
				fd = take_resting_locked(d);
		}
		if (fd < 0)
			return;
		(void)close(fd);
	}
}

void supafs_spool_file_init(struct supafs_spool_dir *d, struct supafs_spool_file *f, int fd)
{
	unsigned max;

	*f = (struct supafs_spool_file){.fd = fd};
	supafs_list_init(&f->link);
	{
		SUPAFS_SCOPED_LOCK(&d->lock);
		d->open++;
		rest_locked(d, f);
		max = d->open_max;
	}
	shrink(d, max);
}

/* The descriptor, or -errno. */
static int open_again(struct supafs_spool_dir *d, const char *name)
{
	uint64_t size;
	int fd = open_ours(d, name, &size);

	if (fd == -EMFILE || fd == -ENFILE) {
		shrink(d, 0);
		fd = open_ours(d, name, &size);
	}
	return fd >= 0 || fd == -EMFILE || fd == -ENFILE || fd == -ENOMEM ? fd : -EIO;
}

int supafs_spool_file_enter(
	struct supafs_spool_dir *d, struct supafs_spool_file *f, const char *name)
{
	supafs_autoclose int fd = -1;
	unsigned max;
	int r = 0;

	{
		SUPAFS_SCOPED_LOCK(&d->lock);
		f->users++;
		supafs_list_remove(&f->link);
		if (f->fd >= 0)
			return 0;
		max = d->open_max;
	}
	shrink(d, max - 1);
	fd = open_again(d, name);
	if (fd < 0) {
		r = fd;
		fd = -1;
	}
	SUPAFS_SCOPED_LOCK(&d->lock);
	if (f->fd >= 0) /* somebody else was faster */
		return 0;
	if (r == 0) {
		f->fd = supafs_steal_fd(&fd);
		d->open++;
	} else {
		f->users--;
	}
	return r;
}

void supafs_spool_file_leave(struct supafs_spool_dir *d, struct supafs_spool_file *f)
{
	unsigned max;

	{
		SUPAFS_SCOPED_LOCK(&d->lock);
		assert(f->users > 0);
		f->users--;
		rest_locked(d, f);
		max = d->open_max;
	}
	shrink(d, max);
}

int supafs_spool_file_fini(struct supafs_spool_dir *d, struct supafs_spool_file *f)
{
	SUPAFS_SCOPED_LOCK(&d->lock);
	assert(f->users == 0);
	supafs_list_remove(&f->link);
	d->open -= f->fd >= 0;
	return f->fd;
}

void supafs_spool_dir_descriptors(struct supafs_spool_dir *d, unsigned max)
{
	SUPAFS_SCOPED_LOCK(&d->lock);
	d->open_max = max;
}

unsigned supafs_spool_dir_open_now(struct supafs_spool_dir *d)
{
	SUPAFS_SCOPED_LOCK(&d->lock);
	return d->open;
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
	if (keep || fd < 0 || !put_idle(d, fd, name)) {
		if (fd >= 0)
			(void)close(fd);
		if (!keep)
			(void)unlinkat(d->fd, name, 0);
	}
	d->spools--;
}
