/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the journal share. */
#include "journal_fixture.h"

/* --- The folder ----------------------------------------------------------------------------------
 */

void open_both(struct fx *x)
{
	assert_int_equal(supafs_spool_dir_open(x->dir, &x->spools), 0);
	assert_int_equal(supafs_journal_open(x->spools, &x->j, &x->lost), 0);
}

void close_both(struct fx *x)
{
	x->j = supafs_journal_free(x->j);
	x->spools = supafs_spool_dir_free(x->spools);
}

void reopen(struct fx *x)
{
	close_both(x);
	open_both(x);
}

int setup(void **state)
{
	struct fx *x = calloc(1, sizeof(*x));

	(void)snprintf(x->dir, sizeof(x->dir), "%s/supafs-journal-XXXXXX", P_tmpdir);
	assert_non_null(mkdtemp(x->dir));
	open_both(x);
	assert_int_equal(x->lost, 0);
	*state = x;
	return 0;
}

/* Each entry of one of the two folders. */
static unsigned each(const struct fx *x, const char *folder, void (*fn)(int fd, const char *name))
{
	char path[PATH_MAX];
	unsigned n = 0;

	(void)snprintf(path, sizeof(path), "%s/%s", x->dir, folder);

	DIR *d = opendir(path);

	for (struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d)) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		n += e->d_name[0] != '.';
		if (fn)
			fn(dirfd(d), e->d_name);
	}
	if (d)
		closedir(d);
	return n;
}

static void remove_one(int fd, const char *name)
{
	if (unlinkat(fd, name, 0) != 0)
		(void)unlinkat(fd, name, AT_REMOVEDIR);
}

unsigned count(const struct fx *x, const char *folder)
{
	return each(x, folder, NULL);
}

void empty_folders(struct fx *x)
{
	(void)each(x, "spool", remove_one);
	(void)each(x, "lost+found", remove_one);
}

int teardown(void **state)
{
	struct fx *x = *state;

	close_both(x);
	empty_folders(x);
	(void)each(x, ".", remove_one);
	(void)rmdir(x->dir);
	free(x);
	return 0;
}

/* --- Records -------------------------------------------------------------------------------------
 */

/* In a block of its own size, so that a read behind it is seen. */
static const struct supafs_range two_ranges[] = {{0, 5}, {100, 4000}};

struct supafs_version a_version(void)
{
	struct supafs_version v = {.size = 5000, .updated_ns = 1700000000123456789};

	memset(v.id, 7, sizeof(v.id));
	(void)snprintf(v.etag, sizeof(v.etag), "\"abc\"");
	return v;
}

struct supafs_journal_record small(enum supafs_journal_kind kind, const char *key)
{
	struct supafs_journal_record rec = {.kind = kind, .key = supafs_str_of(key)};

	supafs_journal_new_id(rec.id);
	return rec;
}

struct supafs_journal_record reference(const char *key, int64_t since_ns)
{
	struct supafs_journal_record rec = small(SUPAFS_JOURNAL_CONTENT, key);

	rec.flags = SUPAFS_JOURNAL_REFERENCE;
	rec.from = SUPAFS_STR("source");
	rec.since_ns = since_ns;
	return rec;
}

/* With everything in it. */
struct supafs_journal_record full(struct supafs_buf *user)
{
	struct supafs_journal_record rec = small(SUPAFS_JOURNAL_CONTENT, "a/b=20c");

	supafs_buf_init(user, SUPAFS_PAIRS_MAX);
	(void)supafs_pairs_set(user, SUPAFS_STR("name"), SUPAFS_STR("va\0lue"));
	rec.flags = SUPAFS_JOURNAL_FAILED | SUPAFS_JOURNAL_SENT | SUPAFS_JOURNAL_REMOTE;
	rec.base = a_version();
	rec.meta = (struct supafs_meta){.has = SUPAFS_META_ALL,
		.mtime_ns = -1,
		.mode = 0640,
		.uid = 1000,
		.gid = 4294967295};
	rec.mime = SUPAFS_STR("text/plain");
	rec.cache_control = SUPAFS_STR("no-cache");
	rec.user = supafs_buf_str(user);
	rec.nonce = SUPAFS_STR("0123456789abcdef");
	rec.upload = SUPAFS_STR("dXBsb2Fk");
	supafs_journal_new_id(rec.map.name);
	rec.map.size = 6000;
	rec.map.base_size = 5000;
	rec.map.base_limit = 4500;
	rec.map.ranges = two_ranges;
	rec.map.n = 2;
	rec.since_ns = 1700000000;
	rec.tries = 3;
	rec.error = ENOSPC;
	rec.text = SUPAFS_STR("HTTP 507: the disk is full");
	return rec;
}

void format_to(const struct supafs_journal_record *rec, struct supafs_buf *out)
{
	supafs_buf_init(out, SUPAFS_JOURNAL_MAX);
	assert_int_equal(supafs_journal_format(rec, out), 0);
}

void add_delete(struct supafs_buf *b, const char *name)
{
	const struct supafs_journal_delete d = {.seg = supafs_str_of(name),
		.name = supafs_str_of(name),
		.version = a_version(),
		.mtime_ns = 42};

	assert_int_equal(supafs_journal_delete_add(b, &d), 0);
}

unsigned count_deletes(struct supafs_str deletes)
{
	struct supafs_journal_delete d;
	unsigned n = 0;

	for (size_t pos = 0; supafs_journal_delete_next(deletes, &pos, &d); n++) {
		assert_int_equal(d.mtime_ns, 42);
		assert_string_equal(d.version.etag, "\"abc\"");
		assert_true(supafs_str_eq(d.seg, d.name));
	}
	return n;
}

int count_in_walk(void *ctx, const struct supafs_journal_record *rec, struct supafs_spool *spool)
{
	assert_null(spool);
	*(unsigned *)ctx += count_deletes(rec->deletes);
	return 0;
}

int tell(void *ctx, const struct supafs_journal_record *rec, struct supafs_spool *spool)
{
	struct told *t = ctx;

	if (t->n < 16) {
		(void)snprintf(t->keys[t->n], 32, "%.*s", SUPAFS_STR_FMT(rec->key));
		t->text[t->n][0] = '\0';
		if (spool) {
			ssize_t got = supafs_spool_pread(spool, t->text[t->n], 63, 0);

			t->text[t->n][got > 0 ? got : 0] = '\0';
		}
	}
	assert_int_equal(!spool, rec->kind != SUPAFS_JOURNAL_CONTENT ||
					 (rec->flags & SUPAFS_JOURNAL_REFERENCE) != 0);
	(void)supafs_spool_free(spool);
	return ++t->n == t->stop_at ? -ECANCELED : 0;
}

struct told walk(struct fx *x)
{
	struct told t = {0};

	assert_int_equal(supafs_journal_walk(x->j, tell, &t), 0);
	assert_int_equal(supafs_journal_found(x->j), 0);
	return t;
}

struct supafs_spool *spool_of(struct fx *x, const char *text, uint64_t size)
{
	struct supafs_spool *s;

	assert_int_equal(supafs_spool_new(x->spools, 0, &s), 0);
	assert_int_equal(supafs_spool_pwrite(s, text, strlen(text), 0), 0);
	if (size)
		assert_int_equal(supafs_spool_truncate(s, size), 0);
	return s;
}

struct supafs_journal_record put(
	struct fx *x, const char *key, const char *text, uint64_t size, int64_t since_ns)
{
	struct supafs_journal_record rec = small(SUPAFS_JOURNAL_CONTENT, key);
	struct supafs_spool *s = spool_of(x, text, size);

	rec.since_ns = since_ns;
	assert_int_equal(supafs_journal_put_spool(x->j, &rec, s), 0);
	memcpy(rec.map.name, supafs_spool_name(s), sizeof(rec.map.name));
	supafs_spool_keep(s, true);
	(void)supafs_spool_free(s);
	return rec;
}

void write_in(const struct fx *x, const char *name, const char *text)
{
	char path[PATH_MAX];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/spool/%s", x->dir, name);
	fd = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}
