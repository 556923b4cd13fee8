/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records on disk. Which files of an id are there, and which one counts:
 *
 *	| files           | after                         | counts          | after a power cut |
 *	|-----------------|-------------------------------|-----------------|--------------------------|
 *	| put             | a put                         | put             | put | | put, note | a
 *note after it               | note            | note if whole, else put  | | note            | a
 *note, nothing was put       | note            | note, or nothing         | | put, put'       |
 *inside a put, before the old  | put' if whole,  | as before                | | (, note)        |
 *one is taken away             | else as before  |                          |
 *
 * The number in a file's name rises with each call, so the highest whole one is the latest. A new
 * file is made under its own name at once: it cannot harm what is there, and the checksum tells
 * whether it was finished, so neither a temporary name nor a rename is needed.
 */
#include "supafs/cache/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/clock.h"
#include "supafs/util/file.h"
#include "supafs/util/parse.h"

#include "journal_priv.h"
#include "spool_priv.h"

/* --- Names ---------------------------------------------------------------------------------------
 */

void supafs_journal_new_id(char ret_id[SUPAFS_JOURNAL_ID])
{
	supafs_random_uuid(ret_id);
}

void supafs_journal_file_name(const char *id, uint64_t number, char ret[SUPAFS_JOURNAL_NAME])
{
	(void)snprintf(ret, SUPAFS_JOURNAL_NAME, "%.36s.j%" PRIu64, id, number);
}

bool supafs_journal_file_parse(
	const char *name, char ret_id[SUPAFS_JOURNAL_ID], uint64_t *ret_number)
{
	const size_t n = SUPAFS_JOURNAL_ID - 1;
	char id[SUPAFS_JOURNAL_ID], again[SUPAFS_JOURNAL_NAME];
	uint64_t number;

	if (strlen(name) <= n + 2 || name[n] != '.' || name[n + 1] != 'j')
		return false;
	memcpy(id, name, n);
	id[n] = '\0';
	if (!supafs_journal_is_uuid(id) ||
		supafs_parse_u64(supafs_str_of(name + n + 2), UINT64_MAX - 1, &number) != 0)
		return false;
	supafs_journal_file_name(id, number, again);
	if (strcmp(name, again) != 0) /* leading zeros */
		return false;
	memcpy(ret_id, id, sizeof(id));
	*ret_number = number;
	return true;
}

/* --- Which files an id has -----------------------------------------------------------------------
 */

static bool id_equal(const void *entry, const void *key)
{
	const struct supafs_journal_entry *e = entry;

	return strcmp(e->id, key) == 0;
}

static uint64_t id_hash(const char *id)
{
	return supafs_hash_bytes(id, strlen(id));
}

static uint64_t newest(const struct supafs_journal_entry *e)
{
	return e->put > e->note ? e->put : e->note;
}

static struct supafs_journal_entry *obtain_locked(struct supafs_journal *j, const char *id)
	SUPAFS_REQUIRES(j->lock);
static struct supafs_journal_entry *obtain_locked(struct supafs_journal *j, const char *id)
{
	struct supafs_journal_entry *e = supafs_map_get(j->ids, id_hash(id), id);

	if (e)
		return e;
	e = calloc(1, sizeof(*e));
	if (!e)
		return NULL;
	memcpy(e->id, id, sizeof(e->id));
	if (supafs_map_add(j->ids, id_hash(id), e->id, e) != 0) {
		free(e);
		return NULL;
	}
	return e;
}

int supafs_journal_add_id(struct supafs_journal *j, const char *id, uint64_t put, uint64_t note)
{
	struct supafs_journal_entry *e;

	SUPAFS_SCOPED_LOCK(&j->lock);
	e = obtain_locked(j, id);
	if (!e)
		return -ENOMEM;
	e->put = put;
	e->note = note;
	return 0;
}

void supafs_journal_drop_id(
	struct supafs_journal *j, const char *id, uint64_t *ret_put, uint64_t *ret_note)
{
	supafs_autofree struct supafs_journal_entry *e = NULL;

	SUPAFS_SCOPED_LOCK(&j->lock);
	e = supafs_map_remove(j->ids, id_hash(id), id);
	if (!e)
		return;
	*ret_put = e->put;
	*ret_note = e->note;
}

static void unlink_number(const struct supafs_journal *j, const char *id, uint64_t number)
{
	char name[SUPAFS_JOURNAL_NAME];

	if (number == 0)
		return;
	supafs_journal_file_name(id, number, name);
	(void)unlinkat(supafs_spool_dir_fd(j->dir), name, 0);
}

/* The new file is there: what it makes superfluous, itself perhaps. */
static void settle_locked(
	struct supafs_journal_entry *e, uint64_t number, bool durable, uint64_t ret_gone[2])
{
	if (number < (durable ? e->put : newest(e))) { /* a later call was faster */
		ret_gone[0] = number;
	} else if (durable) {
		ret_gone[0] = e->put;
		e->put = number;
		if (e->note < number) {
			ret_gone[1] = e->note;
			e->note = 0;
			e->sealed = false;
		}
	} else {
		ret_gone[0] = e->note;
		e->note = number;
		e->sealed = false;
	}
}

/* --- Writing -------------------------------------------------------------------------------------
 */

static int disk_errno(int r)
{
	switch (r) {
	case -ENOSPC:
	case -EDQUOT:
	case -ENOMEM:
	case -EMFILE:
	case -ENFILE:
		return r;
	case -EFBIG:
		return -ENOSPC;
	default:
		return -EIO;
	}
}

static int write_file(int dirfd, const char *name, struct supafs_str bytes, bool durable)
{
	supafs_autoclose int fd =
		openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	int r;

	if (fd < 0)
		return disk_errno(-errno);
	r = supafs_pwrite_all(fd, bytes.p, bytes.n, 0);
	if (r == 0 && durable && (fdatasync(fd) < 0 || fsync(dirfd) < 0))
		r = -errno;
	if (r != 0)
		(void)unlinkat(dirfd, name, 0);
	return r == 0 ? 0 : disk_errno(r);
}

static uint64_t take_number(struct supafs_journal *j)
{
	SUPAFS_SCOPED_LOCK(&j->lock);
	return j->next++;
}

static int settle(struct supafs_journal *j, const char *id, uint64_t number, bool durable)
{
	uint64_t gone[2] = {0, 0};
	struct supafs_journal_entry *e;

	{
		SUPAFS_SCOPED_LOCK(&j->lock);
		e = obtain_locked(j, id);
		if (e)
			settle_locked(e, number, durable, gone);
		else
			gone[0] = number;
	}
	unlink_number(j, id, gone[0]);
	unlink_number(j, id, gone[1]);
	return e ? 0 : -ENOMEM;
}

static int write_record(
	struct supafs_journal *j, const struct supafs_journal_record *rec, bool durable)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf b;
	char name[SUPAFS_JOURNAL_NAME];
	const uint64_t number = take_number(j);
	int r;

	supafs_buf_init(&b, SUPAFS_JOURNAL_MAX);
	r = supafs_journal_format(rec, &b);
	if (r != 0)
		return r == -EMSGSIZE ? -ENOSPC : r;
	supafs_journal_file_name(rec->id, number, name);
	r = write_file(supafs_spool_dir_fd(j->dir), name, supafs_buf_str(&b), durable);
	return r == 0 ? settle(j, rec->id, number, durable) : r;
}

int supafs_journal_put(struct supafs_journal *j, const struct supafs_journal_record *rec)
{
	return write_record(j, rec, true);
}

int supafs_journal_note(struct supafs_journal *j, const struct supafs_journal_record *rec)
{
	return write_record(j, rec, false);
}

/* The bytes of a small spool that has them all. -EAGAIN: it is not so. */
static int read_whole(struct supafs_spool *s, const struct supafs_spool_map *m, char **ret_p)
{
	char *p;
	ssize_t n;

	if (m->size > SUPAFS_JOURNAL_INLINE_MAX || !supafs_spool_complete(s))
		return -EAGAIN;
	p = malloc(m->size ? m->size : 1);
	if (!p)
		return -ENOMEM;
	n = supafs_spool_pread(s, p, m->size, 0);
	if (n != (ssize_t)m->size) {
		free(p);
		return -EIO;
	}
	*ret_p = p;
	return 0;
}

static int write_spool(struct supafs_journal *j, const struct supafs_journal_record *rec,
	struct supafs_spool *s, bool durable)
{
	supafs_autofree struct supafs_range *ranges = NULL;
	supafs_autofree char *data = NULL;
	struct supafs_journal_record with = *rec;
	int r = supafs_spool_map(s, &with.map, &ranges);

	if (r != 0)
		return r;
	r = read_whole(s, &with.map, &data);
	with.inlined = r == 0;
	with.data = (struct supafs_str){data, with.inlined ? (size_t)with.map.size : 0};
	if (r == -EAGAIN) {
		r = durable ? supafs_spool_sync(s) : 0;
		r = r == 0 ? 0 : disk_errno(r);
	}
	return r == 0 ? write_record(j, &with, durable) : r;
}

int supafs_journal_put_spool(
	struct supafs_journal *j, const struct supafs_journal_record *rec, struct supafs_spool *s)
{
	return write_spool(j, rec, s, true);
}

int supafs_journal_note_spool(
	struct supafs_journal *j, const struct supafs_journal_record *rec, struct supafs_spool *s)
{
	return write_spool(j, rec, s, false);
}

/* --- More deletes --------------------------------------------------------------------------------
 */

/* A torn end would hide whatever is appended behind it. */
static int append_file(int fd, struct supafs_str bytes, bool *ret_torn)
{
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0)
		return -EIO;
	r = supafs_pwrite_all(fd, bytes.p, bytes.n, (uint64_t)st.st_size);
	if (r != 0)
		*ret_torn = ftruncate(fd, st.st_size) < 0;
	return r == 0 ? 0 : disk_errno(r);
}

static uint64_t open_end(struct supafs_journal *j, const char *id)
{
	const struct supafs_journal_entry *e;

	SUPAFS_SCOPED_LOCK(&j->lock);
	e = supafs_map_get(j->ids, id_hash(id), id);
	return e && !e->sealed ? newest(e) : 0;
}

static void seal(struct supafs_journal *j, const char *id)
{
	struct supafs_journal_entry *e;

	SUPAFS_SCOPED_LOCK(&j->lock);
	e = supafs_map_get(j->ids, id_hash(id), id);
	if (e)
		e->sealed = true;
}

int supafs_journal_append(struct supafs_journal *j, const char *id, struct supafs_str deletes)
{
	const uint64_t number = open_end(j, id);
	char name[SUPAFS_JOURNAL_NAME];
	supafs_autoclose int fd = -1;
	bool torn = false;
	int r;

	if (number == 0)
		return -ENOENT;
	supafs_journal_file_name(id, number, name);
	fd = openat(supafs_spool_dir_fd(j->dir), name, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ENOENT : disk_errno(-errno);
	r = append_file(fd, deletes, &torn);
	if (torn)
		seal(j, id);
	return r;
}

/* --- Removing ------------------------------------------------------------------------------------
 */

int supafs_journal_remove(struct supafs_journal *j, const char *id)
{
	supafs_autofree struct supafs_journal_entry *e = NULL;

	{
		SUPAFS_SCOPED_LOCK(&j->lock);
		e = supafs_map_remove(j->ids, id_hash(id), id);
	}
	if (!e)
		return 0;
	/* The older one first: killed in between, the note says what it always said. */
	unlink_number(j, e->id, e->put);
	unlink_number(j, e->id, e->note);
	return 0;
}

int supafs_journal_sync(struct supafs_journal *j)
{
	return fsync(supafs_spool_dir_fd(j->dir)) < 0 ? -EIO : 0;
}

/* --- Reading -------------------------------------------------------------------------------------
 */

static int read_file(int dirfd, const char *name, struct supafs_buf *b)
{
	supafs_autoclose int fd =
		openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;
	char chunk[4096];
	ssize_t n;

	if (fd < 0 || fstat(fd, &st) < 0)
		return errno == EMFILE || errno == ENFILE || errno == ENOMEM ? -errno : -EBADMSG;
	if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077) != 0 ||
		st.st_nlink != 1)
		return -EBADMSG;
	while ((n = read(fd, chunk, sizeof(chunk))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -EIO;
		if (supafs_buf_add(b, chunk, (size_t)n) != 0)
			return supafs_buf_error(b) == -ENOMEM ? -ENOMEM : -EBADMSG;
	}
	return 0;
}

int supafs_journal_read(struct supafs_spool_dir *d, const char *name, struct supafs_buf *ret_buf,
	struct supafs_journal_record *ret, struct supafs_range **ret_ranges)
{
	supafs_autofree struct supafs_range *ranges = NULL;
	struct supafs_journal_record rec;
	char id[SUPAFS_JOURNAL_ID];
	uint64_t number;
	int r = read_file(supafs_spool_dir_fd(d), name, ret_buf);

	if (r == 0)
		r = supafs_journal_parse(supafs_buf_str(ret_buf), &rec, &ranges);
	if (r != 0)
		return r;
	if (!supafs_journal_file_parse(name, id, &number) || strcmp(id, rec.id) != 0)
		return -EBADMSG;
	*ret = rec;
	*ret_ranges = supafs_steal(&ranges);
	return 0;
}

/* The spool of a record: its file, or a new one of that name with the bytes inside the record. */
static int open_spool(struct supafs_journal *j, const struct supafs_journal_record *rec,
	struct supafs_spool **ret_spool)
{
	if (rec->kind != SUPAFS_JOURNAL_CONTENT || (rec->flags & SUPAFS_JOURNAL_REFERENCE))
		return 0;
	if (rec->inlined)
		return supafs_spool_restore(j->dir, &rec->map, rec->data.p, ret_spool);
	return supafs_spool_reopen(j->dir, &rec->map, ret_spool);
}

static bool take_found(struct supafs_journal *j, struct supafs_journal_found *ret)
{
	SUPAFS_SCOPED_LOCK(&j->lock);
	if (j->found_at == j->found_n)
		return false;
	*ret = j->found[j->found_at++];
	return true;
}

static void give_back(struct supafs_journal *j)
{
	SUPAFS_SCOPED_LOCK(&j->lock);
	j->found_at--;
}

static int visit(struct supafs_journal *j, const struct supafs_journal_found *f,
	int (*fn)(void *ctx, const struct supafs_journal_record *rec, struct supafs_spool *spool),
	void *ctx)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf b;
	supafs_autofree struct supafs_range *ranges = NULL;
	struct supafs_journal_record rec;
	struct supafs_spool *spool = NULL;
	char name[SUPAFS_JOURNAL_NAME];
	int r;

	supafs_buf_init(&b, 2 * (size_t)SUPAFS_JOURNAL_MAX);
	supafs_journal_file_name(f->id, f->number, name);
	r = supafs_journal_read(j->dir, name, &b, &rec, &ranges);
	if (r == 0)
		r = open_spool(j, &rec, &spool);
	if (r != 0) {
		give_back(j);
		return r == -EBADMSG || r == -ENOENT || r == -EPROTONOSUPPORT ? -EIO : r;
	}
	return fn(ctx, &rec, spool);
}

int supafs_journal_walk(struct supafs_journal *j,
	int (*fn)(void *ctx, const struct supafs_journal_record *rec, struct supafs_spool *spool),
	void *ctx)
{
	struct supafs_journal_found f;
	int r = 0;

	while (r == 0 && take_found(j, &f))
		r = visit(j, &f, fn, ctx);
	return r;
}

unsigned supafs_journal_found(const struct supafs_journal *j)
{
	return (unsigned)(j->found_n - j->found_at);
}

/* --- Life ----------------------------------------------------------------------------------------
 */

struct supafs_journal *supafs_journal_free(struct supafs_journal *j)
{
	struct supafs_journal_entry *e;
	size_t pos = 0;

	if (!j)
		return NULL;
	while (j->ids && (e = supafs_map_next(j->ids, &pos)) != NULL)
		free(e);
	j->ids = supafs_map_free(j->ids);
	free(j->found);
	supafs_mutex_fini(&j->lock);
	free(j);
	return NULL;
}

int supafs_journal_open(struct supafs_spool_dir *d, struct supafs_journal **ret, unsigned *ret_lost)
{
	struct supafs_journal *j;
	unsigned lost = 0;
	int r;

	if (supafs_spool_dir_spools(d) != 0)
		return -EINVAL;
	j = calloc(1, sizeof(*j));
	if (!j)
		return -ENOMEM;
	j->dir = d;
	j->next = 1;
	supafs_mutex_init(&j->lock);
	r = supafs_map_new(id_equal, &j->ids);
	if (r == 0)
		r = supafs_journal_scan(j, &lost);
	if (r != 0) {
		(void)supafs_journal_free(j);
		return r;
	}
	*ret = j;
	*ret_lost = lost;
	return 0;
}
