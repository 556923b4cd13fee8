/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Drives one file with random operations and compares it with a copy in memory after each.
 *
 *     exerciser [--mode plain|reopen|mmap] [--seed N] [--operations N] [--size BYTES] FILE
 *
 * plain: reads, writes, appends, truncates, fallocate, copy_file_range, SEEK_DATA and SEEK_HOLE;
 * reopen: the same, with many closes, and the kernel's pages dropped before each comparison;
 * mmap: the same, and reads and writes by a shared mapping. FILE is made anew and removed at the
 * end. Exit code 0: all was as expected; 1: a difference, with the last 30 operations on stderr;
 * 2: wrong usage; 77: nothing can be mapped here.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <linux/falloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "supafs/util/parse.h"
#include "supafs/util/str.h"

#define ROW_N     30
#define EXIT_SKIP 77
#define PAGE      UINT64_C(4096)

enum mode {
	MODE_PLAIN,
	MODE_REOPEN,
	MODE_MMAP,
	MODE_N,
};

/* One operation that was done. */
struct row {
	uint64_t number;
	const char *what;
	uint64_t off;
	uint64_t n;
	uint64_t to;
	uint64_t size; /* of the file, afterwards */
	int error;
};

struct run {
	const char *path;
	enum mode mode;
	uint64_t rng;
	uint64_t done;
	uint64_t unsupported;
	uint64_t max;
	uint64_t size;  /* of the model */
	uint8_t *model; /* max bytes; zero from size on */
	uint8_t *got;
	int fd;
	struct row rows[ROW_N];
};

struct op {
	const char *what;
	int (*go)(struct run *, struct row *);
	unsigned weight[MODE_N];
};

static uint64_t draw(struct run *r, uint64_t below)
{
	r->rng ^= r->rng << 13;
	r->rng ^= r->rng >> 7;
	r->rng ^= r->rng << 17;
	return below ? (r->rng >> 11) % below : 0;
}

static bool chance(struct run *r, uint64_t one_in)
{
	return draw(r, one_in) == 0;
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static int failed(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerrordesc_np(errno));
	return -EIO;
}

static int tell(const char *what, uint64_t off)
{
	fprintf(stderr, "%s, at offset %" PRIu64 "\n", what, off);
	return -EIO;
}

/* An offset below `limit`, often at or near the edge of a page. */
static uint64_t draw_off(struct run *r, uint64_t limit)
{
	uint64_t off = draw(r, limit);

	if (chance(r, 3))
		off = off / PAGE * PAGE;
	return chance(r, 8) && off > 0 ? off - 1 : off;
}

/* A length, mostly small, of what starts at `off`. */
static uint64_t draw_n(struct run *r, uint64_t off, uint64_t limit)
{
	const uint64_t most = limit > off ? limit - off : 0;
	const uint64_t n = 1 + draw(r, chance(r, 4) ? r->max : 3 * PAGE);

	return least(n, most);
}

static void set_size(struct run *r, uint64_t size)
{
	if (size < r->size)
		memset(r->model + size, 0, r->size - size);
	r->size = size;
}

/* New bytes into the model; the file gets them from there. */
static const uint8_t *fill(struct run *r, uint64_t off, uint64_t n)
{
	const uint8_t start = (uint8_t)draw(r, 256);

	for (uint64_t i = 0; i < n; i++)
		r->model[off + i] = (uint8_t)(start + i + (i >> 8));
	if (off + n > r->size)
		r->size = off + n;
	return r->model + off;
}

static int write_all(int fd, const uint8_t *p, uint64_t n, uint64_t off, bool append)
{
	while (n > 0) {
		const ssize_t w = append ? write(fd, p, n) : pwrite(fd, p, n, (off_t)off);

		if (w <= 0)
			return failed("write");
		p += w;
		off += (uint64_t)w;
		n -= (uint64_t)w;
	}
	return 0;
}

static int open_file(struct run *r, int flags)
{
	r->fd = open(r->path, O_RDWR | O_CLOEXEC | flags, 0644);
	return r->fd < 0 ? failed("open") : 0;
}

static int close_file(struct run *r)
{
	const int fd = r->fd;

	r->fd = -1;
	return close(fd) != 0 ? failed("close") : 0;
}

static int op_read(struct run *r, struct row *row)
{
	row->off = draw_off(r, r->max);
	row->n = draw_n(r, row->off, r->max);
	const uint64_t want = row->off < r->size ? least(row->n, r->size - row->off) : 0;
	const ssize_t n = pread(r->fd, r->got, row->n, (off_t)row->off);

	if (n < 0)
		return failed("pread");
	if ((uint64_t)n != want)
		return tell("pread gave another number of bytes", row->off + (uint64_t)n);
	return memcmp(r->got, r->model + row->off, want) == 0 ? 0 : tell("pread differs", row->off);
}

static int op_write(struct run *r, struct row *row)
{
	row->off = draw_off(r, chance(r, 3) ? r->max : least(r->size + 1, r->max));
	row->n = draw_n(r, row->off, r->max);
	return write_all(r->fd, fill(r, row->off, row->n), row->n, row->off, false);
}

/* Through a descriptor of its own, which is closed: the file is sent while `fd` stays open. */
static int op_append(struct run *r, struct row *row)
{
	row->off = r->size;
	row->n = draw_n(r, row->off, r->max);
	const int fd = open(r->path, O_WRONLY | O_APPEND | O_CLOEXEC);

	if (fd < 0)
		return failed("open to append");
	const int e = write_all(fd, fill(r, row->off, row->n), row->n, row->off, true);

	return close(fd) != 0 ? failed("close after append") : e;
}

static int op_truncate(struct run *r, struct row *row)
{
	const bool by_name = chance(r, 2);

	row->what = by_name ? "truncate" : "ftruncate";
	row->n = draw_off(r, chance(r, 2) ? r->size + 1 : r->max);
	set_size(r, row->n);
	if (by_name)
		return truncate(r->path, (off_t)row->n) != 0 ? failed("truncate") : 0;
	return ftruncate(r->fd, (off_t)row->n) != 0 ? failed("ftruncate") : 0;
}

static int op_fallocate(struct run *r, struct row *row)
{
	static const struct {
		const char *what;
		int flags;
	} kinds[] = {
		{"fallocate", 0},
		{"fallocate keep", FALLOC_FL_KEEP_SIZE},
		{"fallocate punch", FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE},
		{"fallocate zero", FALLOC_FL_ZERO_RANGE},
		{"fallocate zero keep", FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE},
	};
	const uint64_t kind = draw(r, sizeof(kinds) / sizeof(kinds[0]));
	const int flags = kinds[kind].flags;

	row->what = kinds[kind].what;
	row->off = draw_off(r, r->max - 1);
	row->n = draw_n(r, row->off, r->max);
	if (fallocate(r->fd, flags, (off_t)row->off, (off_t)row->n) != 0) {
		row->error = errno;
		r->unsupported += errno == EOPNOTSUPP;
		return errno == EOPNOTSUPP ? 0 : failed("fallocate");
	}
	if (flags & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
		memset(r->model + row->off, 0, row->n);
	if (!(flags & FALLOC_FL_KEEP_SIZE) && row->off + row->n > r->size)
		r->size = row->off + row->n;
	return 0;
}

static int op_copy(struct run *r, struct row *row)
{
	const uint64_t half = r->max / 2;
	const bool up = chance(r, 2);
	off_t from, to;

	row->off = draw_off(r, half) + (up ? 0 : half);
	row->to = draw_off(r, half) + (up ? half : 0);
	row->n = draw_n(r, up ? row->off : row->to, half);
	row->n = least(row->n, r->max - (up ? row->to : row->off));
	from = (off_t)row->off;
	to = (off_t)row->to;
	const ssize_t n = copy_file_range(r->fd, &from, r->fd, &to, row->n, 0);

	if (n < 0) {
		row->error = errno;
		r->unsupported += errno == EOPNOTSUPP;
		return errno == EOPNOTSUPP ? 0 : failed("copy_file_range");
	}
	const uint64_t most = row->off < r->size ? least(row->n, r->size - row->off) : 0;

	if ((uint64_t)n > most || (n == 0 && most > 0))
		return tell("copy_file_range gave another number of bytes", row->off + (uint64_t)n);
	memmove(r->model + row->to, r->model + row->off, (size_t)n);
	if (n > 0 && row->to + (uint64_t)n > r->size)
		r->size = row->to + (uint64_t)n;
	row->n = (uint64_t)n;
	return 0;
}

/* The first byte that is not zero in [from, to), or `to`. */
static uint64_t first_set(const struct run *r, uint64_t from, uint64_t to)
{
	while (from < to && r->model[from] == 0)
		from++;
	return from;
}

static int check_seek(const struct run *r, uint64_t off, bool hole, off_t at, int error)
{
	if (at < 0) {
		if (error != ENXIO)
			return tell("lseek failed", off);
		if (off < r->size && (hole || first_set(r, off, r->size) < r->size))
			return tell("lseek found nothing", off);
		return 0;
	}
	if (off >= r->size || (uint64_t)at < off || (uint64_t)at > r->size)
		return tell("lseek is out of the file", (uint64_t)at);
	if (hole && (uint64_t)at < r->size && r->model[at] != 0)
		return tell("SEEK_HOLE where there is data", (uint64_t)at);
	if (!hole && first_set(r, off, (uint64_t)at) < (uint64_t)at)
		return tell("SEEK_DATA skipped data", first_set(r, off, (uint64_t)at));
	return 0;
}

static int op_seek(struct run *r, struct row *row)
{
	const bool hole = chance(r, 2);

	row->what = hole ? "SEEK_HOLE" : "SEEK_DATA";
	row->off = draw_off(r, r->max);
	const off_t at = lseek(r->fd, (off_t)row->off, hole ? SEEK_HOLE : SEEK_DATA);

	row->error = at < 0 ? errno : 0;
	row->to = at < 0 ? 0 : (uint64_t)at;
	return check_seek(r, row->off, hole, at, row->error);
}

static int op_sync(struct run *r, struct row *row)
{
	const bool data = chance(r, 2);

	row->what = data ? "fdatasync" : "fsync";
	return (data ? fdatasync(r->fd) : fsync(r->fd)) != 0 ? failed(row->what) : 0;
}

static int op_reopen(struct run *r, struct row *row)
{
	int e = close_file(r);

	if (e == 0 && chance(r, 20)) {
		row->what = "reopen O_TRUNC";
		set_size(r, 0);
		return open_file(r, O_TRUNC);
	}
	return e != 0 ? e : open_file(r, 0);
}

/* Maps the pages of [off, off + n), all within the file. */
static int map_range(struct run *r, struct row *row, int prot, uint8_t **ret_base)
{
	row->off = draw_off(r, r->size);
	row->n = draw_n(r, row->off, r->size);
	const uint64_t page = row->off / PAGE * PAGE;
	void *base = mmap(NULL, row->off + row->n - page, prot, MAP_SHARED, r->fd, (off_t)page);

	if (base == MAP_FAILED)
		return errno == ENODEV ? -ENODEV : failed("mmap");
	*ret_base = base;
	return 0;
}

static int op_map_read(struct run *r, struct row *row)
{
	uint8_t *base = NULL;

	if (r->size == 0)
		return 0;
	int e = map_range(r, row, PROT_READ, &base);

	if (e != 0)
		return e;
	const uint64_t skip = row->off % PAGE;

	if (memcmp(base + skip, r->model + row->off, row->n) != 0)
		e = tell("the mapping differs", row->off);
	return munmap(base, skip + row->n) != 0 ? failed("munmap") : e;
}

static int op_map_write(struct run *r, struct row *row)
{
	uint8_t *base = NULL;

	if (r->size == 0)
		return 0;
	int e = map_range(r, row, PROT_READ | PROT_WRITE, &base);

	if (e != 0)
		return e;
	const uint64_t skip = row->off % PAGE;

	memcpy(base + skip, fill(r, row->off, row->n), row->n);
	if (msync(base, skip + row->n, MS_SYNC) != 0)
		e = failed("msync");
	return munmap(base, skip + row->n) != 0 ? failed("munmap") : e;
}

static const struct op ops[] = {
	{"read", op_read, {8, 8, 6}},
	{"write", op_write, {14, 12, 8}},
	{"append", op_append, {1, 2, 1}},
	{"truncate", op_truncate, {5, 4, 4}},
	{"fallocate", op_fallocate, {6, 5, 4}},
	{"copy_file_range", op_copy, {3, 3, 2}},
	{"seek", op_seek, {3, 3, 2}},
	{"fsync", op_sync, {1, 1, 1}},
	{"reopen", op_reopen, {1, 12, 1}},
	{"map read", op_map_read, {0, 0, 6}},
	{"map write", op_map_write, {0, 0, 8}},
};

static int compare(struct run *r)
{
	struct stat st;
	uint64_t have = 0;

	if (fstat(r->fd, &st) != 0)
		return failed("fstat");
	if ((uint64_t)st.st_size != r->size)
		return tell("fstat tells another size", (uint64_t)st.st_size);
	if (r->mode == MODE_REOPEN && posix_fadvise(r->fd, 0, 0, POSIX_FADV_DONTNEED) != 0)
		return tell("posix_fadvise failed", 0);
	for (;;) {
		const ssize_t n = pread(r->fd, r->got + have, r->max - have, (off_t)have);

		if (n < 0)
			return failed("pread");
		if (n == 0)
			break;
		have += (uint64_t)n;
	}
	if (have != r->size)
		return tell("the file ends elsewhere", have);
	if (memcmp(r->got, r->model, r->size) == 0)
		return 0;
	have = 0;
	while (r->got[have] == r->model[have])
		have++;
	fprintf(stderr, "the file has byte %u instead of %u\n", r->got[have], r->model[have]);
	return tell("the content differs", have);
}

static const struct op *choose(struct run *r)
{
	const size_t n = sizeof(ops) / sizeof(ops[0]);
	uint64_t sum = 0, at;

	for (size_t i = 0; i < n; i++)
		sum += ops[i].weight[r->mode];
	at = draw(r, sum);
	for (size_t i = 0; i < n; i++) {
		if (at < ops[i].weight[r->mode])
			return &ops[i];
		at -= ops[i].weight[r->mode];
	}
	return &ops[0];
}

static int step(struct run *r)
{
	const struct op *op = choose(r);
	struct row *row = &r->rows[r->done % ROW_N];

	*row = (struct row){.number = r->done, .what = op->what};
	r->done++;
	int e = op->go(r, row);

	row->size = r->size;
	return e != 0 ? e : compare(r);
}

static void print_rows(const struct run *r)
{
	const uint64_t first = r->done > ROW_N ? r->done - ROW_N : 0;

	for (uint64_t i = first; i < r->done; i++) {
		const struct row *row = &r->rows[i % ROW_N];

		fprintf(stderr,
			"%" PRIu64 ": %s off=%" PRIu64 " n=%" PRIu64 " to=%" PRIu64
			" -> size %" PRIu64 "%s%s\n",
			row->number, row->what, row->off, row->n, row->to, row->size,
			row->error ? ", " : "", row->error ? strerrordesc_np(row->error) : "");
	}
}

static int drive(struct run *r, uint64_t operations)
{
	int e = open_file(r, O_CREAT | O_TRUNC);

	while (e == 0 && r->done < operations)
		e = step(r);
	if (e == -ENODEV) {
		printf("a shared mapping is refused here\n");
		return EXIT_SKIP;
	}
	if (e != 0) {
		print_rows(r);
		return 1;
	}
	if (close_file(r) != 0 || open_file(r, 0) != 0 || compare(r) != 0) {
		print_rows(r);
		return 1;
	}
	printf("%" PRIu64 " operations, %" PRIu64 " of them not supported\n", r->done,
		r->unsupported);
	return close_file(r) != 0 || unlink(r->path) != 0 ? 1 : 0;
}

static int usage(void)
{
	fprintf(stderr, "usage: exerciser [--mode plain|reopen|mmap] [--seed N] [--operations N] "
			"[--size BYTES] FILE\n");
	return 2;
}

static bool number(const char *text, uint64_t *ret_n)
{
	return supafs_parse_u64(supafs_str_of(text), INT64_MAX, ret_n) == 0;
}

static bool set_mode(struct run *r, const char *text)
{
	static const char *const names[MODE_N] = {"plain", "reopen", "mmap"};

	for (unsigned i = 0; i < MODE_N; i++) {
		if (strcmp(text, names[i]) == 0) {
			r->mode = (enum mode)i;
			return true;
		}
	}
	return false;
}

static bool parse(struct run *r, int argc, char **argv, uint64_t *ret_seed, uint64_t *ret_n)
{
	static const struct option longs[] = {
		{"mode", required_argument, NULL, 'm'},
		{"seed", required_argument, NULL, 's'},
		{"operations", required_argument, NULL, 'n'},
		{"size", required_argument, NULL, 'z'},
		{NULL, 0, NULL, 0},
	};
	bool good = true;
	int c;

	// NOLINTNEXTLINE(concurrency-mt-unsafe): one thread
	while (good && (c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (c == 'm')
			good = set_mode(r, optarg);
		else if (c == 's')
			good = number(optarg, ret_seed);
		else if (c == 'n')
			good = number(optarg, ret_n);
		else
			good = c == 'z' && number(optarg, &r->max);
	}
	if (!good || optind + 1 != argc || r->max < 2 * PAGE || r->max > (1U << 30))
		return false;
	r->path = argv[optind];
	return true;
}

int main(int argc, char **argv)
{
	struct run r = {.max = UINT64_C(256) * 1024, .fd = -1};
	uint64_t seed = (uint64_t)getpid(), operations = 1000;
	int code = 1;

	if (!parse(&r, argc, argv, &seed, &operations))
		return usage();
	printf("seed %" PRIu64 "\n", seed);
	r.rng = (seed + 1) * UINT64_C(0x9E3779B97F4A7C15);
	if (r.rng == 0)
		r.rng = 1;
	r.model = calloc(1, r.max);
	r.got = malloc(r.max);
	if (r.model && r.got)
		code = drive(&r, operations);
	if (r.fd >= 0)
		(void)close(r.fd);
	free(r.model);
	free(r.got);
	return code;
}
