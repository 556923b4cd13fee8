/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an earlier process left in the spool's folder, sorted out:
 *
 *	| file                                               | goes                              |
 *	|----------------------------------------------------|-----------------------------------|
 *	| the highest whole record of an id, its spool file  | stays; the walk tells it          |
 *	| there, or the bytes inside it                      |                                   |
 *	| a single whole one below it, with the same spool   | stays: the one above may be a     |
 *	| file                                               | note, which nobody has synced     |
 *	| others below it, and the spool files of those      | away, once the one above is synced|
 *	| torn records, those of a later version, those      | lost+found, counted               |
 *	| without their spool file                           |                                   |
 *	| a spool file whose bytes are in its record too     | away                              |
 *	| of several ids that name one spool file, all but   | lost+found, counted               |
 *	| the newest                                         |                                   |
 *	| any other spool file, and whatever is not ours     | lost+found, counted               |
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "supafs/util/cleanup.h"

#include "journal_priv.h"
#include "spool_priv.h"

/* One file that is a record by its name. */
struct seen {
	char id[SUPAFS_JOURNAL_ID];
	uint64_t number;
};

/* A file name, and whether a record that counts has it. */
struct owned {
	char name[SUPAFS_SPOOL_NAME];
	bool needed;
};

/* A record as far as the sorting out needs it. */
struct facts {
	struct supafs_journal_found found;
	bool spool, inlined;
	char spool_name[SUPAFS_SPOOL_NAME];
};

/* Who names a spool file: the record j->found[at]. */
struct claim {
	char spool_name[SUPAFS_SPOOL_NAME];
	bool inlined;
	size_t at;
	int64_t since_ns;
	uint64_t number;
};

struct scan {
	struct supafs_journal *j;
	struct seen *seen;
	size_t seen_n, seen_cap;
	struct owned *owned;
	size_t owned_n, owned_cap;
	struct claim *claims;
	size_t claims_n, claims_cap;
	struct facts *whole; /* of one id */
	size_t whole_cap;
	int lost_fd;
	unsigned lost;
};

static void scan_fini(struct scan *s)
{
	free(s->seen);
	free(s->owned);
	free(s->claims);
	free(s->whole);
	if (s->lost_fd >= 0)
		(void)close(s->lost_fd);
}

static void close_dir(DIR **d)
{
	if (*d)
		(void)closedir(*d);
}

/* Room for one more. */
static int grow(void **p, size_t n, size_t *cap, size_t size)
{
	const size_t more = *cap ? 2 * *cap : 64;
	void *q;

	if (n < *cap)
		return 0;
	q = reallocarray(*p, more, size);
	if (!q)
		return -ENOMEM;
	*p = q;
	*cap = more;
	return 0;
}

static int lose(struct scan *s, const char *name)
{
	int r;

	if (s->lost_fd < 0) {
		r = supafs_spool_dir_lost(s->j->dir);
		if (r < 0)
			return r;
		s->lost_fd = r;
	}
	r = supafs_spool_dir_move_lost(s->j->dir, s->lost_fd, name);
	if (r == -ENOENT)
		return 0;
	s->lost += r == 0;
	return r;
}

/* --- Walking the folder --------------------------------------------------------------------------
 */

/* 1: looked at by its name again later, not a record. */
static int see(struct scan *s, const char *name)
{
	struct seen it;
	void *p = s->seen;
	int r;

	if (!supafs_journal_file_parse(name, it.id, &it.number))
		return 1;
	r = grow(&p, s->seen_n, &s->seen_cap, sizeof(it));
	s->seen = p;
	if (r == 0)
		s->seen[s->seen_n++] = it;
	return r;
}

/* Calls `fn` for each entry but the folder's own and dot files of ours. */
static int each_entry(struct scan *s, int (*fn)(struct scan *s, const char *name))
{
	supafs_cleanup(close_dir) DIR *d = NULL;
	int fd = openat(supafs_spool_dir_fd(s->j->dir), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

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
		int r;

		if (!e)
			return -errno;
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
			strcmp(e->d_name, SUPAFS_SPOOL_LOCK) == 0)
			continue;
		r = fn(s, e->d_name);
		if (r < 0)
			return r;
	}
}

static int by_id(const void *a, const void *b)
{
	const struct seen *x = a, *y = b;
	int r = strcmp(x->id, y->id);

	if (r != 0)
		return r;
	return x->number > y->number ? -1 : x->number < y->number; /* the latest first */
}

/* --- One id --------------------------------------------------------------------------------------
 */

static int own(struct scan *s, const char *name, bool needed)
{
	void *p = s->owned;
	int r = grow(&p, s->owned_n, &s->owned_cap, sizeof(*s->owned));

	s->owned = p;
	if (r != 0)
		return r;
	memcpy(s->owned[s->owned_n].name, name, SUPAFS_SPOOL_NAME);
	s->owned[s->owned_n++].needed = needed;
	return 0;
}

/* Is the spool file that it names there and plausible? */
static int check_spool(struct scan *s, const struct supafs_journal_record *rec)
{
	int r;

	if (rec->kind != SUPAFS_JOURNAL_CONTENT || rec->inlined ||
		(rec->flags & SUPAFS_JOURNAL_REFERENCE))
		return 0;
	r = supafs_spool_check(s->j->dir, &rec->map);
	return r == -ENOENT ? -EBADMSG : r;
}

/* Where keys are now; what is to come to them; what is to go; what waits for the others. */
static int rank_of(enum supafs_journal_kind kind)
{
	if (kind == SUPAFS_JOURNAL_RENAME_DIR)
		return 0;
	if (kind == SUPAFS_JOURNAL_CONTENT)
		return 1;
	return kind == SUPAFS_JOURNAL_EXCHANGE ? 3 : 2;
}

/* 0, -EBADMSG, -EPROTONOSUPPORT, or what ends the scan. */
static int facts_of(struct scan *s, const struct seen *it, struct facts *ret)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf b;
	supafs_autofree struct supafs_range *ranges = NULL;
	struct supafs_journal_record rec;
	char name[SUPAFS_JOURNAL_NAME];
	int r;

	supafs_buf_init(&b, 2 * (size_t)SUPAFS_JOURNAL_MAX);
	supafs_journal_file_name(it->id, it->number, name);
	r = supafs_journal_read(s->j->dir, name, &b, &rec, &ranges);
	if (r != 0)
		return r;
	memcpy(ret->found.id, it->id, sizeof(it->id));
	ret->found.number = it->number;
	ret->found.rank = rank_of(rec.kind);
	ret->found.since_ns = rec.since_ns;
	ret->inlined = rec.inlined;
	ret->spool = rec.kind == SUPAFS_JOURNAL_CONTENT && !(rec.flags & SUPAFS_JOURNAL_REFERENCE);
	memcpy(ret->spool_name, rec.map.name, sizeof(ret->spool_name));
	return check_spool(s, &rec);
}

static bool unusable(int r)
{
	return r == -EBADMSG || r == -EPROTONOSUPPORT;
}

static int claim(struct scan *s, const struct facts *f, size_t at)
{
	void *p = s->claims;
	int r = grow(&p, s->claims_n, &s->claims_cap, sizeof(*s->claims));
	struct claim *c;

	s->claims = p;
	if (r != 0)
		return r;
	c = &s->claims[s->claims_n++];
	*c = (struct claim){.inlined = f->inlined,
		.at = at,
		.since_ns = f->found.since_ns,
		.number = f->found.number};
	memcpy(c->spool_name, f->spool_name, sizeof(c->spool_name));
	return 0;
}

/* The one that counts. */
static int keep_record(struct scan *s, const struct facts *f, size_t *cap)
{
	struct supafs_journal *j = s->j;
	void *p = j->found;
	int r = grow(&p, j->found_n, cap, sizeof(*j->found));

	j->found = p;
	if (r == 0 && f->spool)
		r = claim(s, f, j->found_n);
	if (r == 0)
		j->found[j->found_n++] = f->found;
	return r;
}

/* What is to be taken away below it must not be needed after a power cut. */
static int sync_kept(const struct scan *s, const struct facts *kept)
{
	char name[SUPAFS_JOURNAL_NAME];
	supafs_autoclose int fd = -1;

	supafs_journal_file_name(kept->found.id, kept->found.number, name);
	fd = openat(supafs_spool_dir_fd(s->j->dir), name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fdatasync(fd) < 0 || fsync(supafs_spool_dir_fd(s->j->dir)) < 0)
		return -EIO;
	return 0;
}

static bool same_spool(const struct facts *a, const struct facts *b)
{
	return a->spool == b->spool && a->inlined == b->inlined &&
	       (!a->spool || strcmp(a->spool_name, b->spool_name) == 0);
}

static int drop_older(struct scan *s, const struct facts *older, const struct facts *kept)
{
	char name[SUPAFS_JOURNAL_NAME];
	int r = 0;

	if (older->spool && !(kept->spool && strcmp(older->spool_name, kept->spool_name) == 0))
		r = own(s, older->spool_name, false);
	supafs_journal_file_name(older->found.id, older->found.number, name);
	(void)unlinkat(supafs_spool_dir_fd(s->j->dir), name, 0);
	return r;
}

/* The whole ones of an id, the latest first. */
static int sort_out_whole(struct scan *s, const struct facts *f, size_t n, size_t *cap)
{
	int r = keep_record(s, &f[0], cap);

	if (r == 0 && n == 2 && same_spool(&f[0], &f[1]))
		return supafs_journal_add_id(
			s->j, f[1].found.id, f[1].found.number, f[0].found.number);
	if (r == 0)
		r = supafs_journal_add_id(s->j, f[0].found.id, f[0].found.number, 0);
	if (r == 0 && n > 1)
		r = sync_kept(s, &f[0]);
	for (size_t i = 1; r == 0 && i < n; i++)
		r = drop_older(s, &f[i], &f[0]);
	return r;
}

static int sort_out(struct scan *s, const struct seen *it, size_t n, size_t *cap)
{
	size_t whole_n = 0;

	for (size_t i = 0; i < n; i++) {
		char name[SUPAFS_JOURNAL_NAME];
		void *p = s->whole;
		int r = grow(&p, whole_n, &s->whole_cap, sizeof(*s->whole));

		s->whole = p;
		if (r == 0)
			r = facts_of(s, &it[i], &s->whole[whole_n]);
		supafs_journal_file_name(it[i].id, it[i].number, name);
		if (unusable(r))
			r = lose(s, name);
		else
			whole_n += r == 0;
		if (r != 0)
			return r;
	}
	return whole_n ? sort_out_whole(s, s->whole, whole_n, cap) : 0;
}

static int sort_out_all(struct scan *s)
{
	size_t cap = 0, end;
	int r = 0;

	if (s->seen_n)
		qsort(s->seen, s->seen_n, sizeof(*s->seen), by_id);
	for (size_t at = 0; r == 0 && at < s->seen_n; at = end) {
		for (end = at; end < s->seen_n && strcmp(s->seen[end].id, s->seen[at].id) == 0;
			end++)
			if (s->seen[end].number >= s->j->next)
				s->j->next = s->seen[end].number + 1;
		r = sort_out(s, s->seen + at, end - at, &cap);
	}
	return r;
}

/* --- One spool file, several ids -----------------------------------------------------------------
 */

static int by_claim(const void *a, const void *b)
{
	const struct claim *x = a, *y = b;
	int r = strcmp(x->spool_name, y->spool_name);

	if (r != 0)
		return r;
	if (x->since_ns != y->since_ns)
		return x->since_ns > y->since_ns ? -1 : 1;
	return x->number > y->number ? -1 : x->number < y->number; /* the newest first */
}

static int lose_number(struct scan *s, const char *id, uint64_t number)
{
	char name[SUPAFS_JOURNAL_NAME];

	if (number == 0)
		return 0;
	supafs_journal_file_name(id, number, name);
	return lose(s, name);
}

static int lose_record(struct scan *s, struct supafs_journal_found *f)
{
	uint64_t put = 0, note = 0;
	int r;

	supafs_journal_drop_id(s->j, f->id, &put, &note);
	f->number = 0; /* not told */
	r = lose_number(s, f->id, put);
	return r == 0 ? lose_number(s, f->id, note) : r;
}

/* Nothing here makes such records: a disk that lies, or somebody who copied files. */
static int sort_out_claims(struct scan *s)
{
	struct supafs_journal *j = s->j;
	size_t end, kept = 0;
	int r = 0;

	if (s->claims_n)
		qsort(s->claims, s->claims_n, sizeof(*s->claims), by_claim);
	for (size_t at = 0; r == 0 && at < s->claims_n; at = end) {
		const struct claim *first = &s->claims[at];
		bool needed = !first->inlined, lost = false;

		for (end = at + 1; r == 0 && end < s->claims_n &&
				   strcmp(s->claims[end].spool_name, first->spool_name) == 0;
			end++) {
			lost = lost || !s->claims[end].inlined;
			r = lose_record(s, &j->found[s->claims[end].at]);
		}
		if (r == 0 && (needed || !lost)) /* else the file goes with its record */
			r = own(s, first->spool_name, needed);
	}
	for (size_t i = 0; i < j->found_n; i++)
		if (j->found[i].number)
			j->found[kept++] = j->found[i];
	j->found_n = kept;
	return r;
}

/* --- The spool files -----------------------------------------------------------------------------
 */

static int by_name(const void *a, const void *b)
{
	const struct owned *x = a, *y = b;
	int r = strcmp(x->name, y->name);

	return r != 0 ? r : (int)y->needed - (int)x->needed; /* needed ones first */
}

static int same_name(const void *key, const void *entry)
{
	const struct owned *o = entry;

	return strcmp(key, o->name);
}

static int settle_file(struct scan *s, const char *name)
{
	struct supafs_journal_found record;
	const struct owned *o;

	if (supafs_journal_file_parse(name, record.id, &record.number))
		return 0; /* settled above */
	o = s->owned_n ? bsearch(name, s->owned, s->owned_n, sizeof(*o), same_name) : NULL;
	if (!o)
		return lose(s, name);
	while (o > s->owned && strcmp(o[-1].name, name) == 0)
		o--;
	if (!o->needed)
		(void)unlinkat(supafs_spool_dir_fd(s->j->dir), name, 0);
	return 0;
}

static int by_age(const void *a, const void *b)
{
	const struct supafs_journal_found *x = a, *y = b;

	if (x->rank != y->rank)
		return x->rank - y->rank;
	if (x->since_ns != y->since_ns)
		return x->since_ns < y->since_ns ? -1 : 1;
	return strcmp(x->id, y->id);
}

int supafs_journal_scan(struct supafs_journal *j, unsigned *ret_lost)
{
	supafs_cleanup(scan_fini) struct scan s = {.j = j, .lost_fd = -1};
	int r = each_entry(&s, see);

	if (r == 0)
		r = sort_out_all(&s);
	if (r == 0)
		r = sort_out_claims(&s);
	if (r == 0 && s.owned_n)
		qsort(s.owned, s.owned_n, sizeof(*s.owned), by_name);
	if (r == 0)
		r = each_entry(&s, settle_file);
	if (r == 0 && s.lost && (fsync(s.lost_fd) < 0 || fsync(supafs_spool_dir_fd(j->dir)) < 0))
		r = -EIO;
	if (r != 0)
		return r;
	if (j->found_n)
		qsort(j->found, j->found_n, sizeof(*j->found), by_age);
	*ret_lost = s.lost;
	return 0;
}
