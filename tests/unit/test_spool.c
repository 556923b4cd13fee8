/* SPDX-License-Identifier: Apache-2.0 */
/* Spool files: a model test against plain arrays, and one test a promise of the header. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above */
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "supafs/cache/journal.h"
#include "supafs/cache/spool.h"
#include "supafs/util/clock.h"

#define MODEL_MAX  (192U << 10)
#define OPERATIONS 100000

struct fixture {
	char dir[64];
	struct supafs_spool_dir *spools;
};

/* Removes what the tests leave: two levels of plain files. */
static void remove_tree(const char *dir)
{
	static const char *const folders[] = {"spool", "lost+found", "."};
	char path[PATH_MAX];

	for (size_t i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, folders[i]);

		DIR *d = opendir(path);

		for (struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d))
			(void)unlinkat(dirfd(d), e->d_name, 0);
		if (d)
			closedir(d);
		(void)rmdir(path);
	}
	(void)rmdir(dir);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	snprintf(f->dir, sizeof(f->dir), "%s/supafs-spool-XXXXXX", P_tmpdir);
	assert_non_null(mkdtemp(f->dir));
	assert_int_equal(supafs_spool_dir_open(f->dir, &f->spools), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	f->spools = supafs_spool_dir_free(f->spools);
	remove_tree(f->dir);
	free(f);
	return 0;
}

static unsigned count_files(const struct fixture *f, const char *folder)
{
	char path[PATH_MAX];
	unsigned n = 0;

	snprintf(path, sizeof(path), "%s/%s", f->dir, folder);

	DIR *d = opendir(path);

	for (struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d))
		n += e->d_name[0] != '.';
	if (d)
		closedir(d);
	return n;
}

/* --- The model -------------------------------------------------------------------------------- */

enum {
	HOLE,
	LOCAL,
	MISSING
};

struct model {
	uint64_t size, base_limit;
	unsigned char bytes[MODEL_MAX], kind[MODEL_MAX];
	unsigned char base[MODEL_MAX];
	struct supafs_rng rng;
	struct supafs_spool *spool;
	unsigned char buf[MODEL_MAX];
};

static void model_init(struct model *m, struct fixture *f, uint64_t seed)
{
	supafs_rng_init(&m->rng, seed);
	for (size_t i = 0; i < MODEL_MAX; i++)
		m->base[i] = (unsigned char)(supafs_rng_next(&m->rng) | 1);
	m->size = m->base_limit = supafs_rng_below(&m->rng, MODEL_MAX);
	memset(m->bytes, 0, sizeof(m->bytes));
	memset(m->kind, HOLE, sizeof(m->kind));
	memset(m->kind, MISSING, m->size);
	assert_int_equal(supafs_spool_new(f->spools, m->size, &m->spool), 0);
}

static void model_resize(struct model *m, uint64_t size)
{
	if (size < m->size) {
		memset(m->bytes + size, 0, m->size - size);
		memset(m->kind + size, HOLE, m->size - size);
	}
	m->size = size;
	if (m->base_limit > size)
		m->base_limit = size;
}

static void pick(struct model *m, uint64_t *off, uint64_t *n)
{
	uint64_t longest = supafs_rng_below(&m->rng, 8) ? 600 : 40000;

	*off = supafs_rng_below(&m->rng, MODEL_MAX);
	*n = supafs_rng_below(&m->rng, longest);
	if (*n > MODEL_MAX - *off)
		*n = MODEL_MAX - *off;
}

static void op_write(struct model *m)
{
	uint64_t off, n;

	pick(m, &off, &n);
	for (uint64_t i = 0; i < n; i++)
		m->buf[i] = (unsigned char)supafs_rng_next(&m->rng);
	assert_int_equal(supafs_spool_pwrite(m->spool, m->buf, n, off), 0);
	if (!n)
		return;
	if (off + n > m->size)
		model_resize(m, off + n);
	memcpy(m->bytes + off, m->buf, n);
	memset(m->kind + off, LOCAL, n);
}

static void op_fill(struct model *m)
{
	uint64_t off, n;

	pick(m, &off, &n);
	assert_int_equal(supafs_spool_fill(m->spool, m->base + off, n, off), 0);
	for (uint64_t i = off; i < off + n; i++) {
		if (m->kind[i] != MISSING)
			continue;
		m->bytes[i] = m->base[i];
		m->kind[i] = LOCAL;
	}
}

static void op_truncate(struct model *m)
{
	uint64_t size = supafs_rng_below(&m->rng, MODEL_MAX);

	/* mostly near the old size, so that something stays */
	if (supafs_rng_below(&m->rng, 4) && m->size > 100)
		size = m->size - supafs_rng_below(&m->rng, 100);
	assert_int_equal(supafs_spool_truncate(m->spool, size), 0);
	model_resize(m, size);
}

static void op_zero(struct model *m)
{
	bool extend = supafs_rng_below(&m->rng, 2);
	uint64_t off, n;

	pick(m, &off, &n);
	assert_int_equal(supafs_spool_zero(m->spool, off, n, extend), 0);
	if (n && extend && off + n > m->size)
		model_resize(m, off + n);
	for (uint64_t i = off; i < off + n && i < m->size; i++) {
		m->bytes[i] = 0;
		m->kind[i] = i < m->base_limit ? LOCAL : HOLE;
	}
}

static void op_read(struct model *m)
{
	uint64_t off, n, want;
	bool missing = false;

	pick(m, &off, &n);
	want = off >= m->size ? 0 : n < m->size - off ? n : m->size - off;
	for (uint64_t i = off; i < off + want; i++)
		missing |= m->kind[i] == MISSING;

	ssize_t got = supafs_spool_pread(m->spool, m->buf, n, off);

	if (missing) {
		assert_int_equal(got, -ENODATA);
		return;
	}
	assert_int_equal(got, want);
	assert_memory_equal(m->buf, m->bytes + off, want);
}

static void op_missing(struct model *m)
{
	uint64_t off, n, from = 0, len = 0;

	pick(m, &off, &n);

	uint64_t at = off, end;

	while (at < off + n && (at >= m->size || m->kind[at] != MISSING))
		at++;
	end = at;
	while (end < off + n && end < m->size && m->kind[end] == MISSING)
		end++;
	assert_int_equal(supafs_spool_missing(m->spool, off, n, &from, &len), end > at);
	if (end > at) {
		assert_int_equal(from, at);
		assert_int_equal(len, end - at);
	}
}

static void op_seek(struct model *m)
{
	bool hole = supafs_rng_below(&m->rng, 2);
	uint64_t off = supafs_rng_below(&m->rng, MODEL_MAX), got = 0, at = off;

	while (at < m->size && (m->kind[at] == HOLE) != hole)
		at++;

	int r = supafs_spool_seek(m->spool, off, hole, &got);

	if (off >= m->size || (!hole && at == m->size)) {
		assert_int_equal(r, -ENXIO);
		return;
	}
	assert_int_equal(r, 0);
	assert_int_equal(got, at);
}

static void test_model(void **state)
{
	static void (*const ops[])(struct model *) = {op_write, op_write, op_fill, op_truncate,
		op_zero, op_read, op_read, op_missing, op_seek};
	struct model *m = malloc(sizeof(*m));

	for (unsigned i = 0; i < OPERATIONS; i++) {
		if (i % 2000 == 0) {
			if (i)
				m->spool = supafs_spool_free(m->spool);
			model_init(m, *state, i);
		}
		ops[supafs_rng_below(&m->rng, sizeof(ops) / sizeof(ops[0]))](m);
		assert_int_equal(supafs_spool_size(m->spool), m->size);
		if (i % 16 == 0)
			assert_int_equal(supafs_spool_complete(m->spool),
				!memchr(m->kind, MISSING, m->size ? m->size : 1));
	}
	m->spool = supafs_spool_free(m->spool);
	free(m);
}

/* --- Promises --------------------------------------------------------------------------------- */

static void test_lock(void **state)
{
	struct fixture *f = *state;
	struct supafs_spool_dir *other = NULL;

	assert_int_equal(supafs_spool_dir_open(f->dir, &other), -EBUSY);
	assert_null(other);
	assert_true(supafs_spool_dir_room(f->spools) > 0);
}

/* As the next mount does; how many files went to lost+found. */
static unsigned reopen(struct fixture *f)
{
	struct supafs_journal *j = NULL;
	unsigned lost = 99;

	f->spools = supafs_spool_dir_free(f->spools);
	assert_int_equal(supafs_spool_dir_open(f->dir, &f->spools), 0);
	assert_int_equal(supafs_journal_open(f->spools, &j, &lost), 0);
	assert_null(supafs_journal_free(j));
	return lost;
}

static void test_leftovers(void **state)
{
	struct fixture *f = *state;
	struct supafs_spool *kept, *gone;
	char name[64], path[PATH_MAX];
	struct stat st;

	assert_int_equal(supafs_spool_new(f->spools, 0, &kept), 0);
	assert_int_equal(supafs_spool_new(f->spools, 0, &gone), 0);
	assert_string_not_equal(supafs_spool_name(kept), supafs_spool_name(gone));
	snprintf(name, sizeof(name), "%s", supafs_spool_name(kept));
	snprintf(path, sizeof(path), "%s/spool/%s", f->dir, name);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(supafs_spool_pwrite(kept, "abc", 3, 0), 0);
	assert_int_equal(supafs_spool_truncate(kept, 10), 0);
	assert_int_equal(supafs_spool_sync(kept), 0);
	supafs_spool_keep(kept, true);
	assert_null(supafs_spool_free(kept));
	assert_null(supafs_spool_free(gone));
	assert_int_equal(count_files(f, "spool"), 1);

	assert_int_equal(reopen(f), 1);
	assert_int_equal(count_files(f, "spool"), 0);
	snprintf(path, sizeof(path), "%s/lost+found/%s", f->dir, name);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 10);

	/* a second one of the same name does not replace it */
	snprintf(path, sizeof(path), "%s/spool/%s", f->dir, name);
	int fd = open(path, O_CREAT | O_WRONLY, 0600);

	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(reopen(f), 1);
	assert_int_equal(count_files(f, "lost+found"), 2);
}

/* Killed in the middle: the lock is free again and the file is in lost+found. */
static void test_killed_owner(void **state)
{
	struct fixture *f = *state;
	int ready[2], status;
	char c;

	f->spools = supafs_spool_dir_free(f->spools);
	assert_int_equal(pipe(ready), 0);

	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		struct supafs_spool_dir *d;
		struct supafs_spool *s;

		if (supafs_spool_dir_open(f->dir, &d) == 0 && supafs_spool_new(d, 0, &s) == 0 &&
			supafs_spool_pwrite(s, "x", 1, 0) == 0)
			(void)!write(ready[1], "r", 1);
		pause();
		_exit(1);
	}
	assert_int_equal(read(ready[0], &c, 1), 1);
	assert_int_equal(supafs_spool_dir_open(f->dir, &f->spools), -EBUSY);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	close(ready[0]);
	close(ready[1]);
	assert_int_equal(reopen(f), 1);
}

static void test_limits(void **state)
{
	struct fixture *f = *state;
	struct supafs_spool *s = NULL;
	uint64_t off = 0, n = 0;

	assert_int_equal(supafs_spool_new(f->spools, UINT64_MAX, &s), -EFBIG);
	assert_int_equal(supafs_spool_new(f->spools, UINT64_C(1) << 40, &s), 0);
	assert_int_equal(supafs_spool_size(s), UINT64_C(1) << 40);
	assert_int_equal(supafs_spool_pwrite(s, "x", 1, UINT64_MAX), -EFBIG);
	assert_int_equal(supafs_spool_pwrite(s, "x", 1, INT64_MAX), -EFBIG);
	assert_int_equal(supafs_spool_truncate(s, UINT64_MAX), -EFBIG);
	assert_int_equal(supafs_spool_zero(s, 1, UINT64_MAX, true), -EFBIG);
	assert_true(supafs_spool_missing(s, 5, UINT64_MAX, &off, &n));
	assert_int_equal(off, 5);
	assert_int_equal(n, (UINT64_C(1) << 40) - 5);
	assert_false(supafs_spool_missing(s, UINT64_MAX, 1, &off, &n));
	s = supafs_spool_free(s);
	assert_null(supafs_spool_free(NULL));
	assert_null(supafs_spool_dir_free(NULL));
}

/* A cut and grown file reads as zeros there, not as the base. */
static void test_cut_and_grown(void **state)
{
	struct fixture *f = *state;
	struct supafs_spool *s;
	char buf[8];

	assert_int_equal(supafs_spool_new(f->spools, 8, &s), 0);
	assert_int_equal(supafs_spool_pread(s, buf, 8, 0), -ENODATA);
	assert_int_equal(supafs_spool_truncate(s, 4), 0);
	assert_int_equal(supafs_spool_truncate(s, 8), 0);
	assert_int_equal(supafs_spool_pread(s, buf, 8, 4), 4);
	assert_memory_equal(buf, "\0\0\0\0", 4);
	assert_int_equal(supafs_spool_fill(s, "abcdefgh", 8, 0), 0);
	assert_true(supafs_spool_complete(s));
	assert_int_equal(supafs_spool_pread(s, buf, 8, 0), 8);
	assert_memory_equal(buf, "abcd\0\0\0\0", 8);
	s = supafs_spool_free(s);
}

/* --- A full disk ------------------------------------------------------------------------------ */

static int full_fills(struct supafs_spool *s, int expected)
{
	static unsigned char block[65536], got[65536];
	static const unsigned char zeros[65536];
	uint64_t size;
	int r;

	memset(block, 'x', sizeof(block));
	for (unsigned i = 0; i < 1000; i++) {
		size = supafs_spool_size(s);
		r = supafs_spool_pwrite(s, block, sizeof(block), size);
		if (r == 0)
			continue;
		if (r != expected || supafs_spool_size(s) != size)
			return 2;
		/* nothing of the failed write shows when the file grows over it */
		if (supafs_spool_truncate(s, size + sizeof(block)) != 0 ||
			supafs_spool_pread(s, got, sizeof(got), size) != (ssize_t)sizeof(got) ||
			memcmp(got, zeros, sizeof(got)) != 0)
			return 3;
		/* nor when it failed over a hole; and the room of a hole is given back */
		r = supafs_spool_pwrite(s, block, sizeof(block), size - 4096);
		if (r != expected ||
			supafs_spool_pread(s, got, sizeof(got), size) != (ssize_t)sizeof(got) ||
			memcmp(got, zeros, sizeof(got)) != 0)
			return 4;
		if (supafs_spool_zero(s, 0, 8192, false) != 0)
			return 5;
		return 0;
	}
	return 6;
}

/* In a process of its own: the limit and the signal are the process's. */
static int in_child(const char *dir, int (*test)(const char *dir))
{
	int status = 0;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(test(dir));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* Mounts made from now on are seen by this process alone. In a chroot "/" is no mount point and
 * cannot be made private; then that no mount is shared must do. */
static bool keep_mounts_here(void)
{
	char line[4096];
	bool shared = false;
	FILE *f;

	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0)
		return true;
	f = fopen("/proc/1/mountinfo", "re");
	if (!f)
		return false;
	while (fgets(line, sizeof(line), f))
		shared = shared || strstr(line, " shared:");
	(void)fclose(f);
	return !shared;
}

static int full_by_limit(const char *dir)
{
	struct rlimit lim = {300000, 300000};
	struct supafs_spool_dir *d;
	struct supafs_spool *s;
	int r;

	signal(SIGXFSZ, SIG_IGN);
	if (supafs_spool_dir_open(dir, &d) != 0 || supafs_spool_new(d, 0, &s) != 0 ||
		setrlimit(RLIMIT_FSIZE, &lim) != 0)
		return 1;
	r = full_fills(s, -EFBIG);
	s = supafs_spool_free(s);
	d = supafs_spool_dir_free(d);
	return r;
}

static int full_by_tmpfs(const char *dir)
{
	struct supafs_spool_dir *d;
	struct supafs_spool *s;
	int r;

	if (unshare(geteuid() == 0 ? CLONE_NEWNS : CLONE_NEWUSER | CLONE_NEWNS) < 0 ||
		!keep_mounts_here() || mount("tmpfs", dir, "tmpfs", 0, "size=300k,mode=0700") < 0)
		return 77;
	if (supafs_spool_dir_open(dir, &d) != 0 || supafs_spool_new(d, 0, &s) != 0)
		return 1;
	r = full_fills(s, -ENOSPC);
	s = supafs_spool_free(s);
	d = supafs_spool_dir_free(d);
	return r;
}

static void test_file_limit(void **state)
{
	struct fixture *f = *state;

	f->spools = supafs_spool_dir_free(f->spools);
	assert_int_equal(in_child(f->dir, full_by_limit), 0);
}

static void test_disk_full(void **state)
{
	struct fixture *f = *state;
	int r;

	f->spools = supafs_spool_dir_free(f->spools);
	r = in_child(f->dir, full_by_tmpfs);
	if (r == 77) {
		print_message("# no mount namespace here: a full disk is not tried\n");
		skip();
	}
	assert_int_equal(r, 0);
}

/* --- Races ------------------------------------------------------------------------------------ */

struct race {
	struct supafs_spool *spool;
	unsigned char base[1 << 16];
};

static void *fill_all(void *ctx)
{
	struct race *r = ctx;

	for (uint64_t off = 0; off < sizeof(r->base); off += 512)
		if (supafs_spool_fill(r->spool, r->base + off, 512, off) != 0)
			return r;
	return NULL;
}

/* Fills that race with writes never win. */
static void test_fill_race(void **state)
{
	struct fixture *f = *state;
	struct race *r = malloc(sizeof(*r));
	unsigned char *got = malloc(sizeof(r->base));

	memset(r->base, 'b', sizeof(r->base));
	for (unsigned round = 0; round < 50; round++) {
		pthread_t filler;
		void *failed;

		assert_int_equal(supafs_spool_new(f->spools, sizeof(r->base), &r->spool), 0);
		assert_int_equal(pthread_create(&filler, NULL, fill_all, r), 0);
		for (uint64_t off = sizeof(r->base); off > 0; off -= 256)
			assert_int_equal(
				supafs_spool_pwrite(r->spool, "wwwwwwwwwwwwwwww", 16, off - 256),
				0);
		assert_int_equal(pthread_join(filler, &failed), 0);
		assert_null(failed);
		assert_true(supafs_spool_complete(r->spool));
		assert_int_equal(
			supafs_spool_pread(r->spool, got, sizeof(r->base), 0), sizeof(r->base));
		for (size_t i = 0; i < sizeof(r->base); i++)
			assert_int_equal(got[i], i % 256 < 16 ? 'w' : 'b');
		r->spool = supafs_spool_free(r->spool);
	}
	free(got);
	free(r);
}

/* Zeros over base bytes are local bytes, also where the file had ended before: it can be cloned,
 * and opened again after a kill. */
static void test_zeros_are_in_the_file(void **state)
{
	struct fixture *f = *state;
	struct supafs_spool *s, *copy;
	struct supafs_spool_map map;
	struct supafs_range *ranges;

	assert_int_equal(supafs_spool_new(f->spools, 10000, &s), 0);
	assert_int_equal(supafs_spool_zero(s, 4000, 6000, false), 0);
	assert_int_equal(supafs_spool_zero(s, 3000, 500, false), 0);
	assert_int_equal(supafs_spool_clone(s, &copy), 0);
	assert_int_equal(supafs_spool_map(copy, &map, &ranges), 0);
	supafs_spool_keep(copy, true);
	(void)supafs_spool_free(copy);
	assert_int_equal(supafs_spool_reopen(f->spools, &map, &copy), 0);
	supafs_spool_keep(copy, false);
	(void)supafs_spool_free(copy);
	free(ranges);

	/* as a process that dies leaves it: the file as it is now */
	assert_int_equal(supafs_spool_map(s, &map, &ranges), 0);
	assert_int_equal(supafs_spool_reopen(f->spools, &map, &copy), 0);
	(void)supafs_spool_free(copy);
	free(ranges);
	(void)supafs_spool_free(s);
}

#define MANY 40

static void *use_all(void *ctx)
{
	struct supafs_spool **s = ctx;
	char got[16];

	for (unsigned round = 0; round < 20; round++)
		for (unsigned i = 0; i < MANY; i++) {
			const char text[16] = {(char)('a' + i)};

			if (supafs_spool_pread(s[i], got, sizeof(got), 0) != sizeof(got) ||
				memcmp(got, text, sizeof(got)) != 0 ||
				supafs_spool_pwrite(s[i], text, sizeof(text), 16) != 0)
				return ctx;
		}
	return NULL;
}

/* More files than descriptors: each is closed while nobody is inside, and nobody notices. */
static void test_few_descriptors(void **state)
{
	struct fixture *f = *state;
	struct supafs_spool *s[MANY], *copy;
	pthread_t threads[4];
	char path[PATH_MAX];
	void *failed;

	supafs_spool_dir_descriptors(f->spools, 3);
	for (unsigned i = 0; i < MANY; i++) {
		const char text[16] = {(char)('a' + i)};

		assert_int_equal(supafs_spool_new(f->spools, 0, &s[i]), 0);
		assert_int_equal(supafs_spool_pwrite(s[i], text, sizeof(text), 0), 0);
		assert_true(supafs_spool_dir_open_now(f->spools) <= 3);
	}
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, use_all, s), 0);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(pthread_join(threads[i], &failed), 0);
		assert_null(failed);
	}
	assert_true(supafs_spool_dir_open_now(f->spools) <= 3);
	assert_int_equal(supafs_spool_clone(s[0], &copy), 0);
	assert_int_equal(supafs_spool_sync(s[1]), 0);
	(void)supafs_spool_free(copy);
	(void)snprintf(path, sizeof(path), "%s/spool/%s", f->dir, supafs_spool_name(s[2]));
	assert_int_equal(access(path, F_OK), 0);
	for (unsigned i = 0; i < MANY; i++)
		(void)supafs_spool_free(s[i]);
	assert_int_equal(supafs_spool_dir_open_now(f->spools), 0);
	assert_int_equal(access(path, F_OK), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_model, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lock, setup, teardown),
		cmocka_unit_test_setup_teardown(test_leftovers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_killed_owner, setup, teardown),
		cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cut_and_grown, setup, teardown),
		cmocka_unit_test_setup_teardown(test_file_limit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_disk_full, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fill_race, setup, teardown),
		cmocka_unit_test_setup_teardown(test_zeros_are_in_the_file, setup, teardown),
		cmocka_unit_test_setup_teardown(test_few_descriptors, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
