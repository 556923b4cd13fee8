/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random operations on the vfs against a plain tree in memory: every result and every byte must
 * agree, and at the end the server has what the tree has. The seed is printed; SUPAFS_SEED repeats
 * a run.
 */
#include "supafs/util/parse.h"

#include "vfs_fixture.h"

#define STEPS    4000
#define NODES    400
#define FILE_MAX 400
#define HANDLES  6

struct file {
	size_t n;
	char p[FILE_MAX];
	unsigned refs;
};

struct entry {
	char path[64];
	struct file *file; /* NULL: a folder */
};

struct handle {
	struct file *file; /* NULL: closed */
	uint64_t fh;
	bool writable;
};

struct model {
	struct fx *x;
	struct supafs_rng rng;
	struct entry e[NODES];
	size_t n;
	struct handle h[HANDLES];
	unsigned step;
};

static uint64_t below(struct model *m, uint64_t n)
{
	return supafs_rng_below(&m->rng, n);
}

/* --- The tree ------------------------------------------------------------------------------------
 */

static struct entry *find(struct model *m, const char *path)
{
	for (size_t i = 0; i < m->n; i++)
		if (strcmp(m->e[i].path, path) == 0)
			return &m->e[i];
	return NULL;
}

/* Does the folder of a path exist? 0, -ENOENT, -ENOTDIR. */
static int parent_ok(struct model *m, const char *path)
{
	char head[64];

	for (const char *s = strchr(path, '/'); s; s = strchr(s + 1, '/')) {
		(void)snprintf(head, sizeof(head), "%.*s", (int)(s - path), path);
		const struct entry *e = find(m, head);

		if (!e)
			return -ENOENT;
		if (e->file)
			return -ENOTDIR;
	}
	return 0;
}

static bool is_below(const char *path, const char *top)
{
	const size_t n = strlen(top);

	return strncmp(path, top, n) == 0 && path[n] == '/';
}

static bool has_children(struct model *m, const char *path)
{
	for (size_t i = 0; i < m->n; i++)
		if (is_below(m->e[i].path, path))
			return true;
	return false;
}

static void file_put(struct file *f)
{
	if (f && --f->refs == 0)
		free(f);
}

static struct entry *add(struct model *m, const char *path, bool folder)
{
	struct entry *e = &m->e[m->n++];

	assert_true(m->n <= NODES);
	(void)snprintf(e->path, sizeof(e->path), "%s", path);
	e->file = NULL;
	if (!folder) {
		e->file = calloc(1, sizeof(*e->file));
		assert_non_null(e->file);
		e->file->refs = 1;
	}
	return e;
}

static void drop(struct model *m, struct entry *e)
{
	file_put(e->file);
	*e = m->e[--m->n];
}

static void model_write(struct file *f, const char *text, size_t off)
{
	const size_t n = strlen(text);

	if (off + n > FILE_MAX)
		fail_msg("the test writes too far");
	if (off > f->n)
		memset(f->p + f->n, 0, off - f->n);
	memcpy(f->p + off, text, n);
	if (off + n > f->n)
		f->n = off + n;
}

static void model_resize(struct file *f, size_t n)
{
	if (n > f->n)
		memset(f->p + f->n, 0, n - f->n);
	f->n = n;
}

/* --- Picking -------------------------------------------------------------------------------------
 */

static void pick_path(struct model *m, char out[64])
{
	static const char *const folders[] = {
		"", "", "d0/", "d1/", "d2/", "d0/s/", "d1/s/", "d0/s/t/"};
	static const char *const names[] = {
		"f0", "f1", "f2", "f3", "s", "d0", "d1", ".f0.aaaaaa", "f1~", "#odd", "t"};

	(void)snprintf(out, 64, "%s%s", folders[below(m, SUPAFS_ARRAY_LEN(folders))],
		names[below(m, SUPAFS_ARRAY_LEN(names))]);
}

static void pick_text(struct model *m, char out[64])
{
	const size_t n = 1 + below(m, 40);

	for (size_t i = 0; i < n; i++)
		out[i] = (char)('a' + below(m, 26));
	out[n] = '\0';
}

#define EXPECT(r, want, what, path)                                                                \
	do {                                                                                       \
		if ((int64_t)(r) != (int64_t)(want))                                               \
			fail_msg("step %u: %s %s: %d, not %d", m->step, what, path, (int)(r),      \
				(int)(want));                                                      \
	} while (0)

/* --- Operations ----------------------------------------------------------------------------------
 */

static void do_save(struct model *m, const char *path)
{
	struct entry *e = find(m, path);
	int want = parent_ok(m, path), r;
	char text[64];

	pick_text(m, text);
	if (want == 0 && e && !e->file)
		want = -EISDIR;
	r = fx_save(m->x, path, text);
	EXPECT(r, want, "save", path);
	if (r != 0)
		return;
	if (!e)
		e = add(m, path, false);
	if (!e->file) {
		fail_msg("step %u: no file", m->step);
		return;
	}
	e->file->n = 0;
	model_write(e->file, text, 0);
}

static void do_change(struct model *m, const char *path)
{
	struct entry *e = find(m, path);
	uint64_t fh;
	char text[64];
	size_t off;

	if (!e || !e->file)
		return;
	pick_text(m, text);
	off = below(m, e->file->n + 10);
	if (off + strlen(text) > FILE_MAX)
		return;
	EXPECT(fx_open(m->x, path, O_RDWR, &fh), 0, "open", path);
	EXPECT(fx_write(m->x, fh, text, off), 0, "write", path);
	model_write(e->file, text, off);
	EXPECT(fx_close(m->x, fh), 0, "close", path);
}

static void do_truncate(struct model *m, const char *path)
{
	struct entry *e = find(m, path);
	const size_t n = below(m, FILE_MAX);
	int want = parent_ok(m, path);

	if (want == 0)
		want = e ? (e->file ? 0 : -EISDIR) : -ENOENT;
	EXPECT(fx_truncate(m->x, path, n), want, "truncate", path);
	if (want == 0 && e && e->file)
		model_resize(e->file, n);
}

static void same_bytes(
	struct model *m, const struct file *f, const char *p, ssize_t n, const char *path)
{
	assert_non_null(f);
	EXPECT(n, f->n, "read", path);
	if (memcmp(p, f->p, f->n) != 0)
		fail_msg("step %u: %s has other bytes: %.*s, not %.*s", m->step, path, (int)n, p,
			(int)f->n, f->p);
}

static void do_read(struct model *m, const char *path)
{
	struct entry *e = find(m, path);
	int want = parent_ok(m, path), r;
	char buf[FILE_MAX + 10];
	struct stat st;
	uint64_t fh;

	if (want == 0)
		want = e ? (e->file ? 0 : -EISDIR) : -ENOENT;
	r = fx_open(m->x, path, O_RDONLY, &fh);
	EXPECT(r, want, "open", path);
	if (r != 0 || !e || !e->file)
		return;
	same_bytes(m, e->file, buf, fx_read(m->x, fh, buf, sizeof(buf), 0), path);
	EXPECT(fx_close(m->x, fh), 0, "close", path);
	EXPECT(fx_stat(m->x, path, &st), 0, "stat", path);
	EXPECT(st.st_size, e->file->n, "size of", path);
}

static void do_unlink(struct model *m, const char *path)
{
	struct entry *e = find(m, path);
	int want = parent_ok(m, path);

	if (want == 0)
		want = e ? (e->file ? 0 : -EISDIR) : -ENOENT;
	EXPECT(fx_unlink(m->x, path, (pid_t)(1 + below(m, 2))), want, "unlink", path);
	if (want == 0)
		drop(m, e);
}

static void do_mkdir(struct model *m, const char *path)
{
	int want = parent_ok(m, path);

	if (want == 0 && find(m, path))
		want = -EEXIST;
	EXPECT(fx_mkdir(m->x, path), want, "mkdir", path);
	if (want == 0)
		(void)add(m, path, true);
}

static void do_rmdir(struct model *m, const char *path)
{
	struct entry *e = find(m, path);
	int want = parent_ok(m, path);

	if (want == 0)
		want = e ? (e->file ? -ENOTDIR : 0) : -ENOENT;
	if (want == 0 && has_children(m, path))
		want = -ENOTEMPTY;
	EXPECT(fx_rmdir(m->x, path), want, "rmdir", path);
	if (want == 0)
		drop(m, e);
}

static int rename_want(struct model *m, const char *from, const char *to)
{
	const struct entry *a = find(m, from), *b = find(m, to);
	int r = parent_ok(m, from);

	if (r == 0)
		r = parent_ok(m, to);
	if (r != 0)
		return r;
	if (!a)
		return -ENOENT;
	if (a == b)
		return 0;
	if (b && a->file && !b->file)
		return -EISDIR;
	if (b && !a->file && b->file)
		return -ENOTDIR;
	if (!a->file && is_below(to, from))
		return -EINVAL;
	return b && !b->file && has_children(m, to) ? -ENOTEMPTY : 0;
}

static void do_rename(struct model *m, const char *from)
{
	struct entry *e;
	char to[64], old[64], rest[64];
	int want, r;

	pick_path(m, to);
	want = rename_want(m, from, to);
	r = fx_rename(m->x, from, to, 0);
	if ((want == -ENOENT || want == -ENOTDIR) && (r == -ENOENT || r == -ENOTDIR))
		r = want; /* which parent is looked at first is the kernel's affair */
	EXPECT(r, want, "rename", from);
	if (r != 0 || strcmp(from, to) == 0)
		return;
	e = find(m, to);
	if (e)
		drop(m, e);
	(void)snprintf(old, sizeof(old), "%s", from);
	for (size_t i = 0; i < m->n; i++) {
		char *path = m->e[i].path;

		if (strcmp(path, old) != 0 && !is_below(path, old))
			continue;
		(void)snprintf(rest, sizeof(rest), "%s", path + strlen(old));
		(void)snprintf(path, sizeof(m->e[i].path), "%.30s%.30s", to, rest);
	}
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void model_ls(struct model *m, const char *dir, char *out, size_t size)
{
	char *names[NODES];
	size_t n = 0, at = 0;
	const size_t skip = *dir ? strlen(dir) + 1 : 0;

	for (size_t i = 0; i < m->n; i++) {
		const struct entry *e = &m->e[i];

		if ((*dir && !is_below(e->path, dir)) || strchr(e->path + skip, '/'))
			continue;
		assert_true(asprintf(&names[n++], "%s%s", e->path + skip, e->file ? "" : "/") > 0);
	}
	if (n > 0)
		qsort(names, n, sizeof(*names), compare);
	out[0] = '\0';
	for (size_t i = 0; i < n; i++) {
		at += (size_t)snprintf(out + at, size - at, "%s%s", i ? " " : "", names[i]);
		free(names[i]);
	}
}

static void do_ls(struct model *m, const char *path)
{
	const struct entry *e = find(m, path);
	const char *dir = e && !e->file ? path : "";
	char want[4096];
	const char *got = fx_ls(m->x, dir);

	model_ls(m, dir, want, sizeof(want));
	if (strcmp(got, want) != 0)
		fail_msg("step %u: ls \"%s\": \"%s\", not \"%s\"", m->step, dir, got, want);
}

/* --- Handles that stay open
 * ----------------------------------------------------------------------- */

static void close_handle(struct model *m, struct handle *h)
{
	if (!h->file)
		return;
	EXPECT(fx_close(m->x, h->fh), 0, "close", "a handle");
	file_put(h->file);
	h->file = NULL;
}

static void open_handle(struct model *m, struct handle *h, const char *path)
{
	const struct entry *e = find(m, path);

	if (!e || !e->file)
		return;
	h->writable = below(m, 2) == 0;
	EXPECT(fx_open(m->x, path, h->writable ? O_RDWR : O_RDONLY, &h->fh), 0, "open", path);
	h->file = e->file;
	h->file->refs++;
}

static void write_handle(struct model *m, struct handle *h)
{
	char text[64];
	size_t off;

	pick_text(m, text);
	off = below(m, h->file->n + 10);
	if (off + strlen(text) > FILE_MAX)
		return;
	EXPECT(fx_write(m->x, h->fh, text, off), 0, "write", "a handle");
	model_write(h->file, text, off);
}

static void do_handle(struct model *m, const char *path)
{
	struct handle *h = &m->h[below(m, HANDLES)];
	char buf[FILE_MAX + 10];

	if (!h->file)
		open_handle(m, h, path);
	else if (below(m, 3) == 0)
		close_handle(m, h);
	else if (h->writable && below(m, 2) == 0)
		write_handle(m, h);
	else
		same_bytes(m, h->file, buf, fx_read(m->x, h->fh, buf, sizeof(buf), 0), "a handle");
}

/* --- Runs
 * ------------------------------------------------------------------------------------------ */

static void one_step(struct model *m)
{
	char path[64];

	pick_path(m, path);
	switch (below(m, 14)) {
	case 0:
	case 1:
		do_save(m, path);
		break;
	case 2:
		do_change(m, path);
		break;
	case 3:
		do_truncate(m, path);
		break;
	case 4:
	case 5:
		do_unlink(m, path);
		break;
	case 6:
		do_mkdir(m, path);
		break;
	case 7:
		do_rmdir(m, path);
		break;
	case 8:
	case 9:
		do_rename(m, path);
		break;
	case 10:
		do_ls(m, path);
		break;
	case 11:
	case 12:
		do_handle(m, path);
		break;
	default:
		do_read(m, path);
		break;
	}
	if (below(m, 40) == 0)
		fx_advance_ms(m->x, (int64_t)below(m, UINT64_C(2) * FX_TTL_MS));
}

/* A mount from scratch shows what the tree has. */
static void check_all(struct model *m)
{
	for (size_t i = 0; i < m->n; i++) {
		const struct entry *e = &m->e[i];

		if (e->file)
			do_read(m, e->path);
		else
			do_ls(m, e->path);
	}
	do_ls(m, "");
}

static void run(uint64_t seed)
{
	const struct fx_config cfg = {.ttl_ms = UINT64_MAX};
	struct model *m = calloc(1, sizeof(*m));

	assert_non_null(m);
	print_message("# SUPAFS_SEED=%" PRIu64 "\n", seed);
	supafs_rng_init(&m->rng, seed);
	m->x = fx_new(&cfg);
	for (m->step = 0; m->step < STEPS; m->step++)
		one_step(m);
	for (size_t i = 0; i < HANDLES; i++)
		close_handle(m, &m->h[i]);
	check_all(m);
	assert_int_equal(fx_remount(m->x), 0);
	check_all(m);
	while (m->n > 0)
		drop(m, &m->e[0]);
	assert_int_equal(fx_free(m->x), 0);
	free(m);
}

static void known_seeds(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 6; seed++)
		run(seed);
}

static void new_seed(void **state)
{
	const char *text = getenv("SUPAFS_SEED"); /* NOLINT(concurrency-mt-unsafe): one thread */
	uint64_t seed = supafs_random_seed();

	(void)state;
	if (text)
		assert_int_equal(supafs_parse_u64(supafs_str_of(text), UINT64_MAX, &seed), 0);
	run(seed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_seeds),
		cmocka_unit_test(new_seed),
	};

	return cmocka_run_group_tests_name("vfs_model", tests, NULL, NULL);
}
