/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One spool file and its map.
 *
 *	local      in `local`                       the file's bytes
 *	missing    below base_limit, not in local   never read from the file
 *	hole       at or above base_limit, not      zeros in the file, or the file ends before:
 *	           in local                         a file may be shorter than size()
 *
 * Everything that changes bytes runs under `io`, one at a time, in three steps: make room in the
 * map, change the file, tell the map; so the map never promises bytes that are not there, and its
 * lock is never held over I/O. Readers look at the map and then at the file without `io`; what
 * they may see of a change in progress is what any two concurrent system calls may see.
 * Order: io → map.
 */
#include "supafs/cache/spool.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/file.h"
#include "supafs/util/lock.h"

#include "ranges_priv.h"
#include "spool_priv.h"

#define ZEROS      (64U << 10)
#define COPY_CHUNK (1U << 20)

struct supafs_spool {
	struct supafs_spool_dir *dir; /* these three are set once */
	uint64_t base_size;
	char name[SUPAFS_SPOOL_NAME];
	_Atomic bool keep;
	struct supafs_spool_file file; /* its fd only between enter() and leave() */

	struct supafs_mutex io;
	uint64_t file_end; /* io: the file is not longer than this */

	struct supafs_mutex map;
	struct supafs_ranges local; /* map; changed with io held too */
	uint64_t size, base_limit;  /* map; changed with io held too */
};

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* Where [off, off + n) ends: 0, or -EFBIG when no file can be so long. */
static int end_of(uint64_t off, uint64_t n, uint64_t *ret_end)
{
	if (off > INT64_MAX || n > INT64_MAX - off)
		return -EFBIG;
	*ret_end = off + n;
	return 0;
}

static void check_locked(const struct supafs_spool *s) SUPAFS_REQUIRES(s->map);
static void check_locked(const struct supafs_spool *s)
{
	if (!SUPAFS_DEBUG_CHECKS)
		return;
	assert(supafs_ranges_valid(&s->local, s->size));
	assert(s->base_limit <= s->base_size && s->base_limit <= s->size);
}

/* Nobody closes the file until leave(). */
static int enter(struct supafs_spool *s, struct supafs_spool **ret_inside)
{
	int r = supafs_spool_file_enter(s->dir, &s->file, s->name);

	if (r == 0)
		*ret_inside = s;
	return r;
}

static void leave(struct supafs_spool *const *s)
{
	if (*s)
		supafs_spool_file_leave((*s)->dir, &(*s)->file);
}

/* Takes over `fd` and the name when it succeeds. */
static int make(struct supafs_spool_dir *d, int fd, const char *name, struct supafs_spool **ret_s)
{
	struct supafs_spool *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->dir = d;
	supafs_spool_file_init(d, &s->file, fd);
	memcpy(s->name, name, sizeof(s->name));
	supafs_mutex_init(&s->io);
	supafs_mutex_init(&s->map);
	*ret_s = s;
	return 0;
}

int supafs_spool_new(
	struct supafs_spool_dir *d, uint64_t base_size, struct supafs_spool **ret_spool)
{
	char name[SUPAFS_SPOOL_NAME];
	struct supafs_spool *s;
	int fd, r;

	if (base_size > INT64_MAX)
		return -EFBIG;
	fd = supafs_spool_dir_create(d, name);
	if (fd < 0)
		return fd;
	r = make(d, fd, name, &s);
	if (r != 0) {
		supafs_spool_dir_release(d, fd, name, false);
		return r;
	}
	s->base_size = s->size = s->base_limit = base_size;
	*ret_spool = s;
	return 0;
}

static void stretch_for_others(struct supafs_spool *s)
{
	supafs_cleanup(leave) struct supafs_spool *inside = NULL;

	if (enter(s, &inside) == 0)
		(void)ftruncate(s->file.fd, (off_t)s->size);
}

struct supafs_spool *supafs_spool_free(struct supafs_spool *s)
{
	if (!s)
		return NULL;
	/* Who finds the file later shall see the holes at its end. */
	if (s->keep && s->size > s->file_end && s->size <= INT64_MAX)
		stretch_for_others(s);
	supafs_spool_dir_release(
		s->dir, supafs_spool_file_fini(s->dir, &s->file), s->name, s->keep);
	supafs_ranges_fini(&s->local);
	supafs_mutex_fini(&s->map);
	supafs_mutex_fini(&s->io);
	free(s);
	return NULL;
}

uint64_t supafs_spool_size(struct supafs_spool *s)
{
	SUPAFS_SCOPED_LOCK(&s->map);
	return s->size;
}

bool supafs_spool_complete(struct supafs_spool *s)
{
	struct supafs_range gap;

	SUPAFS_SCOPED_LOCK(&s->map);
	return !supafs_ranges_gap(&s->local, 0, s->base_limit, &gap);
}

/* First missing range in [off, to), `to` cut at base_limit. */
static bool missing_locked(const struct supafs_spool *s, uint64_t off, uint64_t to,
	struct supafs_range *ret_gap) SUPAFS_REQUIRES(s->map);
static bool missing_locked(
	const struct supafs_spool *s, uint64_t off, uint64_t to, struct supafs_range *ret_gap)
{
	return supafs_ranges_gap(&s->local, off, min_u64(to, s->base_limit), ret_gap);
}

bool supafs_spool_missing(
	struct supafs_spool *s, uint64_t off, uint64_t n, uint64_t *ret_off, uint64_t *ret_n)
{
	struct supafs_range gap;
	uint64_t to = n > UINT64_MAX - off ? UINT64_MAX : off + n;

	SUPAFS_SCOPED_LOCK(&s->map);
	if (!missing_locked(s, off, to, &gap))
		return false;
	*ret_off = gap.from;
	*ret_n = gap.to - gap.from;
	return true;
}

/* --- Reading -------------------------------------------------------------------------------- */

/* How many bytes a read may have: 0…n, or -ENODATA. */
static int readable(struct supafs_spool *s, uint64_t off, size_t *n)
{
	struct supafs_range gap;

	SUPAFS_SCOPED_LOCK(&s->map);
	*n = off >= s->size ? 0 : (size_t)min_u64(*n, s->size - off);
	return *n && missing_locked(s, off, off + *n, &gap) ? -ENODATA : 0;
}

ssize_t supafs_spool_pread(struct supafs_spool *s, void *buf, size_t n, uint64_t off)
{
	supafs_cleanup(leave) struct supafs_spool *inside = NULL;
	char *p = buf;
	size_t done = 0;
	int r;

	if (n > SSIZE_MAX)
		n = SSIZE_MAX;
	r = readable(s, off, &n);
	if (r < 0 || n == 0)
		return r;
	r = enter(s, &inside);
	if (r < 0)
		return r;
	while (done < n) {
		ssize_t got = pread(s->file.fd, p + done, n - done, (off_t)(off + done));

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -EIO;
		if (got == 0)
			break;
		done += (size_t)got;
	}
	memset(p + done, 0, n - done); /* behind the file's end is a hole */
	return (ssize_t)n;
}

int supafs_spool_seek(struct supafs_spool *s, uint64_t off, bool hole, uint64_t *ret_off)
{
	SUPAFS_SCOPED_LOCK(&s->map);
	if (off >= s->size)
		return -ENXIO;

	/* data = [0, base_limit) and the local ranges */
	uint64_t at = max_u64(off, s->base_limit);
	const struct supafs_range *r = supafs_ranges_find(&s->local, at);

	if (hole)
		*ret_off = r && r->from <= at ? r->to : at;
	else if (off < s->base_limit)
		*ret_off = off;
	else if (r)
		*ret_off = max_u64(at, r->from);
	else
		return -ENXIO;
	return 0;
}

/* --- Changing ------------------------------------------------------------------------------- */

/* Zeros in the file, without blocks where its filesystem can do that. */
static int punch(struct supafs_spool *s, uint64_t off, uint64_t n) SUPAFS_REQUIRES(s->io);

/* Writes with the errors that the contract names. */
static int write_file(struct supafs_spool *s, const void *buf, size_t n, uint64_t off)
	SUPAFS_REQUIRES(s->io);
static int write_file(struct supafs_spool *s, const void *buf, size_t n, uint64_t off)
{
	int r = supafs_pwrite_all(s->file.fd, buf, n, off);

	if (r == -EDQUOT)
		return -ENOSPC;
	return r == 0 || r == -ENOSPC || r == -EFBIG ? r : -EIO;
}

/* A write to [off, end) failed half-way: what was a hole must read as zeros again. */
static void undo_write(struct supafs_spool *s, uint64_t off, uint64_t end) SUPAFS_REQUIRES(s->io);
static void undo_write(struct supafs_spool *s, uint64_t off, uint64_t end)
{
	if (end > s->file_end) {
		(void)ftruncate(s->file.fd, (off_t)s->file_end);
		end = s->file_end;
	}
	while (off < end) {
		struct supafs_range gap;
		bool found;

		{
			SUPAFS_SCOPED_LOCK(&s->map);
			found = supafs_ranges_gap(&s->local, off, end, &gap);
		}
		if (!found)
			return;
		(void)punch(s, gap.from, gap.to - gap.from);
		off = gap.to;
	}
}

static int reserve(struct supafs_spool *s) SUPAFS_REQUIRES(s->io);
static int reserve(struct supafs_spool *s)
{
	SUPAFS_SCOPED_LOCK(&s->map);
	return supafs_ranges_reserve(&s->local);
}

int supafs_spool_pwrite(struct supafs_spool *s, const void *buf, size_t n, uint64_t off)
{
	supafs_cleanup(leave) struct supafs_spool *inside = NULL;
	uint64_t end;
	int r = end_of(off, n, &end);

	if (r < 0 || n == 0)
		return r;
	r = enter(s, &inside);
	if (r < 0)
		return r;

	SUPAFS_SCOPED_LOCK(&s->io);
	r = reserve(s);
	if (r < 0)
		return r;
	r = write_file(s, buf, n, off);
	if (r < 0) {
		undo_write(s, off, end);
		return r;
	}
	s->file_end = max_u64(s->file_end, end);

	SUPAFS_SCOPED_LOCK(&s->map);
	s->size = max_u64(s->size, end);
	supafs_ranges_add(&s->local, off, end);
	check_locked(s);
	return 0;
}

int supafs_spool_fill(struct supafs_spool *s, const void *buf, size_t n, uint64_t off)
{
	supafs_cleanup(leave) struct supafs_spool *inside = NULL;
	uint64_t end, at = off;
	int r = end_of(off, n, &end);

	if (r == 0)
		r = enter(s, &inside);
	if (r < 0)
		return r;

	SUPAFS_SCOPED_LOCK(&s->io);
	r = reserve(s);
	if (r < 0)
		return r;
	for (;;) {
		struct supafs_range gap;
		bool found;

		{
			SUPAFS_SCOPED_LOCK(&s->map);
			found = missing_locked(s, at, end, &gap);
		}
		if (!found)
			break;
		/* Half-written it stays missing, and missing bytes are never looked at. */
		s->file_end = max_u64(s->file_end, gap.to);
		r = write_file(s, (const char *)buf + (gap.from - off), (size_t)(gap.to - gap.from),
			gap.from);
		if (r < 0)
			return r;
		at = gap.to;
	}

	SUPAFS_SCOPED_LOCK(&s->map);
	end = min_u64(end, s->base_limit);
	if (off < end)
		supafs_ranges_add(&s->local, off, end);
	check_locked(s);
	return 0;
}

int supafs_spool_truncate(struct supafs_spool *s, uint64_t size)
{
	supafs_cleanup(leave) struct supafs_spool *inside = NULL;
	int r;

	if (size > INT64_MAX)
		return -EFBIG;
	r = enter(s, &inside);
	if (r < 0)
		return r;

	SUPAFS_SCOPED_LOCK(&s->io);
	if (size < s->file_end) {
		if (ftruncate(s->file.fd, (off_t)size) < 0)
			return errno == EFBIG ? -EFBIG : -EIO;
		s->file_end = size;
	}

	SUPAFS_SCOPED_LOCK(&s->map);
	if (size < s->size)
		supafs_ranges_remove(&s->local, size, s->size);
	s->size = size;
	s->base_limit = min_u64(s->base_limit, size);
	check_locked(s);
	return 0;
}

static int write_zeros(struct supafs_spool *s, uint64_t off, uint64_t n) SUPAFS_REQUIRES(s->io);
static int write_zeros(struct supafs_spool *s, uint64_t off, uint64_t n)
{
	static const char zeros[ZEROS];

	while (n) {
		size_t len = (size_t)min_u64(n, sizeof(zeros));
		int r = write_file(s, zeros, len, off);

		if (r < 0)
			return r;
		off += len;
		n -= len;
	}
	return 0;
}

static int punch(struct supafs_spool *s, uint64_t off, uint64_t n)
{
	if (n == 0)
		return 0;
	if (fallocate(s->file.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)off,
		    (off_t)n) == 0)
		return 0;
	return write_zeros(s, off, n);
}

/* Local bytes are in the file: what has become one by zeroing may lie behind its end (which may be
 * before file_end, where a fill has failed). */
static int stretch(struct supafs_spool *s, uint64_t end) SUPAFS_REQUIRES(s->io);
static int stretch(struct supafs_spool *s, uint64_t end)
{
	struct stat st;

	if (fstat(s->file.fd, &st) < 0)
		return -EIO;
	if ((uint64_t)st.st_size < end && ftruncate(s->file.fd, (off_t)end) < 0)
		return errno == EFBIG ? -EFBIG : -EIO;
	s->file_end = max_u64(s->file_end, end);
	return 0;
}

int supafs_spool_zero(struct supafs_spool *s, uint64_t off, uint64_t n, bool extend)
{
	supafs_cleanup(leave) struct supafs_spool *inside = NULL;
	uint64_t end, ours;
	int r = end_of(off, n, &end);

	if (r < 0 || n == 0)
		return r;
	r = enter(s, &inside);
	if (r < 0)
		return r;

	SUPAFS_SCOPED_LOCK(&s->io);
	{
		SUPAFS_SCOPED_LOCK(&s->map);
		if (!extend)
			end = min_u64(end, s->size);
		if (off >= end)
			return 0;
		/* Below, add() brings a range or remove() splits one, never both. */
		r = supafs_ranges_reserve(&s->local);
		if (r < 0)
			return r;
		/* Below the base limit zeros are ours to keep; above it, what is not local is a
		 * hole. */
		ours = min_u64(end, s->base_limit);
	}
	if (off < s->file_end) {
		r = punch(s, off, min_u64(end, s->file_end) - off);
		if (r < 0)
			return r;
	}
	r = off < ours ? stretch(s, ours) : 0;
	if (r < 0)
		return r;

	SUPAFS_SCOPED_LOCK(&s->map);
	s->size = max_u64(s->size, end);
	if (off < ours)
		supafs_ranges_add(&s->local, off, ours);
	if (max_u64(off, ours) < end)
		supafs_ranges_remove(&s->local, max_u64(off, ours), end);
	check_locked(s);
	return 0;
}

int supafs_spool_sync(struct supafs_spool *s)
{
	supafs_cleanup(leave) struct supafs_spool *inside = NULL;
	int r = enter(s, &inside);

	if (r < 0)
		return r;
	return fdatasync(s->file.fd) < 0 ? -errno : 0;
}

void supafs_spool_keep(struct supafs_spool *s, bool keep)
{
	s->keep = keep;
}

const char *supafs_spool_name(const struct supafs_spool *s)
{
	return s->name;
}

/* --- For the journal ----------------------------------------------------------------------------
 */

/* A copy of the local ranges; not NULL when there are none. */
static int copy_ranges(struct supafs_spool *s, struct supafs_range **ret_p, size_t *ret_n)
{
	struct supafs_range *p;

	SUPAFS_SCOPED_LOCK(&s->map);
	p = reallocarray(NULL, s->local.n ? s->local.n : 1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	if (s->local.n)
		memcpy(p, s->local.p, s->local.n * sizeof(*p));
	*ret_p = p;
	*ret_n = s->local.n;
	return 0;
}

/* Ranges and sizes of one moment. */
static int map_now(struct supafs_spool *s, struct supafs_spool_map *ret,
	struct supafs_range **ret_p) SUPAFS_REQUIRES(s->io);
static int map_now(
	struct supafs_spool *s, struct supafs_spool_map *ret, struct supafs_range **ret_p)
{
	struct supafs_spool_map m = {.base_size = s->base_size};
	int r = copy_ranges(s, ret_p, &m.n);

	if (r != 0)
		return r;
	memcpy(m.name, s->name, sizeof(m.name));
	m.ranges = *ret_p;
	SUPAFS_SCOPED_LOCK(&s->map);
	m.size = s->size;
	m.base_limit = s->base_limit;
	*ret = m;
	return 0;
}

int supafs_spool_map(
	struct supafs_spool *s, struct supafs_spool_map *ret, struct supafs_range **ret_ranges)
{
	SUPAFS_SCOPED_LOCK(&s->io);
	return map_now(s, ret, ret_ranges);
}

static bool map_valid(const struct supafs_spool_map *m, uint64_t file_size)
{
	return m->size <= INT64_MAX && m->base_size <= INT64_MAX && m->base_limit <= m->base_size &&
	       m->base_limit <= m->size && supafs_ranges_valid_array(m->ranges, m->n, m->size) &&
	       (m->n == 0 || m->ranges[m->n - 1].to <= file_size);
}

/* Of a spool that nobody else knows yet. */
static void take_map(
	struct supafs_spool *s, const struct supafs_spool_map *m, struct supafs_range *p)
{
	s->size = m->size;
	s->base_size = m->base_size;
	s->base_limit = m->base_limit;
	s->local = (struct supafs_ranges){.p = p, .n = m->n, .cap = m->n};
}

/* What a map says, over a file of `size` bytes. Takes over `fd` when it succeeds. */
static int make_mapped(struct supafs_spool_dir *d, int fd, uint64_t size,
	const struct supafs_spool_map *map, struct supafs_spool **ret_spool)
{
	supafs_autofree struct supafs_range *p = NULL;
	int r;

	if (!map_valid(map, size))
		return -EBADMSG;
	/* Written to behind what the record promised, by a process that then died. */
	if (size > map->size && ftruncate(fd, (off_t)map->size) < 0)
		return -EIO;
	if (map->n) {
		p = reallocarray(NULL, map->n, sizeof(*p));
		if (!p)
			return -ENOMEM;
		memcpy(p, map->ranges, map->n * sizeof(*p));
	}
	r = make(d, fd, map->name, ret_spool);
	if (r != 0)
		return r;
	take_map(*ret_spool, map, supafs_steal(&p));
	(*ret_spool)->file_end = min_u64(size, map->size);
	(*ret_spool)->keep = true;
	return 0;
}

int supafs_spool_reopen(struct supafs_spool_dir *d, const struct supafs_spool_map *map,
	struct supafs_spool **ret_spool)
{
	struct supafs_spool *s = NULL;
	uint64_t size;
	int fd = supafs_spool_dir_reopen(d, map->name, &size), r;

	if (fd < 0)
		return fd;
	r = make_mapped(d, fd, size, map, &s);
	if (r != 0)
		supafs_spool_dir_release(d, fd, map->name, true);
	else
		*ret_spool = s;
	return r;
}

int supafs_spool_check(struct supafs_spool_dir *d, const struct supafs_spool_map *map)
{
	uint64_t size;
	int fd = supafs_spool_dir_reopen(d, map->name, &size);

	if (fd < 0)
		return fd;
	supafs_spool_dir_release(d, fd, map->name, true);
	return map_valid(map, size) ? 0 : -EBADMSG;
}

int supafs_spool_restore(struct supafs_spool_dir *d, const struct supafs_spool_map *map,
	const void *bytes, struct supafs_spool **ret_spool)
{
	struct supafs_spool *s = NULL;
	int fd = supafs_spool_dir_create_named(d, map->name), r;

	if (fd < 0)
		return fd;
	r = supafs_pwrite_all(fd, bytes, map->size, 0);
	if (r == 0)
		r = make_mapped(d, fd, map->size, map, &s);
	if (r != 0)
		supafs_spool_dir_release(d, fd, map->name, false);
	else
		*ret_spool = s;
	return r == -EDQUOT ? -ENOSPC : r;
}

/* Copies [off, off + n) of one file to the same place of another. */
static int copy_bytes(int from, int to, uint64_t off, uint64_t n)
{
	supafs_autofree char *buf = NULL;

	while (n) {
		off_t in = (off_t)off, out = (off_t)off;
		const size_t want = (size_t)min_u64(n, COPY_CHUNK);
		ssize_t got = copy_file_range(from, &in, to, &out, want, 0);
		int r;

		if (got <= 0) { /* not between these, or an error that comes again */
			buf = buf ? buf : malloc(COPY_CHUNK);
			if (!buf)
				return -ENOMEM;
			r = supafs_pread_all(from, buf, want, off);
			if (r == 0)
				r = supafs_pwrite_all(to, buf, want, off);
			if (r != 0)
				return r == -EDQUOT ? -ENOSPC : r;
			got = (ssize_t)want;
		}
		off += (uint64_t)got;
		n -= (uint64_t)got;
	}
	return 0;
}

static int clone_file(struct supafs_spool *s, struct supafs_spool *copy,
	const struct supafs_spool_map *m) SUPAFS_REQUIRES(s->io);
static int clone_file(
	struct supafs_spool *s, struct supafs_spool *copy, const struct supafs_spool_map *m)
{
	/* The whole file with its holes. It is what the map says; what is there of bytes that
	 * are missing stays missing. */
	if (ioctl(copy->file.fd, FICLONE, s->file.fd) == 0) {
		copy->file_end = s->file_end;
		return 0;
	}
	for (size_t i = 0; i < m->n; i++) {
		const struct supafs_range *r = &m->ranges[i];
		int e = copy_bytes(s->file.fd, copy->file.fd, r->from, r->to - r->from);

		if (e != 0)
			return e == -ENOSPC || e == -ENOMEM ? e : -EIO;
		copy->file_end = r->to;
	}
	return 0;
}

static int clone_into(struct supafs_spool *s, struct supafs_spool *copy)
{
	supafs_cleanup(leave) struct supafs_spool *inside = NULL, *inside_copy = NULL;
	struct supafs_spool_map m;
	struct supafs_range *p;
	int r = enter(s, &inside);

	if (r == 0)
		r = enter(copy, &inside_copy);
	if (r != 0)
		return r;
	SUPAFS_SCOPED_LOCK(&s->io);
	r = map_now(s, &m, &p);
	if (r != 0)
		return r;
	take_map(copy, &m, p);
	return clone_file(s, copy, &m);
}

int supafs_spool_clone(struct supafs_spool *s, struct supafs_spool **ret_spool)
{
	struct supafs_spool *copy;
	int r = supafs_spool_new(s->dir, s->base_size, &copy);

	if (r != 0)
		return r;
	r = clone_into(s, copy);
	if (r != 0) {
		(void)supafs_spool_free(copy);
		return r;
	}
	*ret_spool = copy;
	return 0;
}
