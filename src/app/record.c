/* SPDX-License-Identifier: Apache-2.0 */
#include "record.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/file.h"
#include "supafs/util/parse.h"

#include "envfile.h"
#include "place.h"

#define EXIT_KEPT_S   3600 /* for an umount that comes late */
#define RECORD_MAX    32768
#define STAT_MAX      2048
#define FILE_LINE_MAX 600
#define START_FIELD   22 /* of /proc/PID/stat */

uint64_t supafs_process_start(pid_t pid)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf b;
	char path[64], *at, *save = NULL;
	uint64_t start = 0;
	int field = 2;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	supafs_buf_init(&b, STAT_MAX);
	if (supafs_file_read(path, &b) < 0 || !b.p)
		return 0;
	/* The name in parentheses may hold anything, blanks and parentheses included. */
	at = strrchr(b.p, ')');
	if (!at)
		return 0;
	for (char *t = strtok_r(at + 1, " ", &save); t; t = strtok_r(NULL, " ", &save)) {
		if (++field != START_FIELD)
			continue;
		return supafs_parse_u64(supafs_str_of(t), UINT64_MAX, &start) == 0 ? start : 0;
	}
	return 0;
}

static int path_of(uid_t user, const char *mountpoint, const char *suffix, char *out)
{
	char dir[PATH_MAX];
	int n, r = supafs_place_records(user, dir);

	if (r < 0)
		return r;
	n = snprintf(out, PATH_MAX, "%s/%016llx.%s", dir,
		(unsigned long long)supafs_stable_hash(mountpoint), suffix);
	return n < PATH_MAX ? 0 : -ENAMETOOLONG;
}

static void add(struct supafs_buf *b, const char *name, const char *value)
{
	(void)supafs_buf_addf(b, "%s=\"", name);
	for (; *value; value++) {
		if (*value == '"' || *value == '\\' || *value == '$')
			(void)supafs_buf_addc(b, '\\');
		(void)supafs_buf_addc(b, *value);
	}
	(void)supafs_buf_adds(b, "\"\n");
}

static void add_number(struct supafs_buf *b, const char *name, uint64_t n)
{
	(void)supafs_buf_addf(b, "%s=%llu\n", name, (unsigned long long)n);
}

/* A line a file, as many as leave the record well below its bound. */
static void add_files(struct supafs_buf *b, struct supafs_str files)
{
	char line[FILE_LINE_MAX];

	while (files.n > 0 && b->n < RECORD_MAX / 2) {
		const char *end = memchr(files.p, '\n', files.n);
		const size_t n = end ? (size_t)(end - files.p) : files.n;

		(void)snprintf(line, sizeof(line), "%.*s", (int)n, files.p);
		add(b, "file", line);
		files.p += n + (end ? 1 : 0);
		files.n -= n + (end ? 1 : 0);
	}
}

static int write_file(const struct supafs_record *rec, const char *suffix, struct supafs_str files)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf b = {0};
	char path[PATH_MAX], dir[PATH_MAX];
	int r = supafs_place_records(geteuid(), dir);

	if (r == 0)
		r = supafs_dir_private(dir);
	if (r == 0)
		r = path_of(geteuid(), rec->mountpoint, suffix, path);
	if (r < 0)
		return r;
	supafs_buf_init(&b, RECORD_MAX);
	add(&b, "mountpoint", rec->mountpoint);
	add_number(&b, "pid", (uint64_t)rec->pid);
	add_number(&b, "start", rec->start);
	add(&b, "cache", rec->cache);
	add(&b, "log", rec->log);
	add_number(&b, "drain_ms", rec->drain_ms);
	add_number(&b, "left", rec->left);
	add_files(&b, files);
	r = supafs_buf_error(&b);
	return r < 0 ? r : supafs_file_replace(path, b.p, b.n, 0600);
}

static void close_dir(DIR **d)
{
	if (*d)
		(void)closedir(*d);
}

/* Exit records that no umount has asked for (the mount was ended by a signal or by umount(8)). */
static void drop_old_exits(void)
{
	supafs_cleanup(close_dir) DIR *d = NULL;
	const time_t now = time(NULL);
	const struct dirent *e;
	char dir[PATH_MAX];
	struct stat st;

	if (supafs_place_records(geteuid(), dir) == 0)
		d = opendir(dir);
	while (d && (e = readdir(d)) != NULL) { // NOLINT(concurrency-mt-unsafe)
		if (supafs_str_ends(supafs_str_of(e->d_name), SUPAFS_STR(".exit")) &&
			fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
			now - st.st_mtime > EXIT_KEPT_S)
			(void)unlinkat(dirfd(d), e->d_name, 0);
	}
}

int supafs_record_write(const struct supafs_record *rec)
{
	char path[PATH_MAX];

	drop_old_exits();
	if (path_of(geteuid(), rec->mountpoint, "exit", path) == 0)
		(void)unlink(path);
	return write_file(rec, "mount", (struct supafs_str){NULL, 0});
}

int supafs_record_end(const struct supafs_record *rec, struct supafs_str files)
{
	char path[PATH_MAX];
	int r = write_file(rec, "exit", files);

	if (path_of(geteuid(), rec->mountpoint, "mount", path) == 0)
		(void)unlink(path);
	return r;
}

struct reading {
	struct supafs_record *rec;
	void (*fn)(const char *file);
};

static int on_value(void *ctx, struct supafs_str name, const char *value)
{
	const struct reading *reading = ctx;
	struct supafs_record *rec = reading->rec;
	uint64_t n = 0;

	if (supafs_str_eq(name, SUPAFS_STR("file"))) {
		if (reading->fn)
			reading->fn(value);
		return 0;
	}

	if (supafs_str_eq(name, SUPAFS_STR("mountpoint")))
		(void)snprintf(rec->mountpoint, sizeof(rec->mountpoint), "%s", value);
	else if (supafs_str_eq(name, SUPAFS_STR("cache")))
		(void)snprintf(rec->cache, sizeof(rec->cache), "%s", value);
	else if (supafs_str_eq(name, SUPAFS_STR("log")))
		(void)snprintf(rec->log, sizeof(rec->log), "%s", value);
	else if (supafs_parse_u64(supafs_str_of(value), UINT64_MAX, &n) < 0)
		return 0;
	else if (supafs_str_eq(name, SUPAFS_STR("pid")) && n <= INT32_MAX)
		rec->pid = (pid_t)n;
	else if (supafs_str_eq(name, SUPAFS_STR("start")))
		rec->start = n;
	else if (supafs_str_eq(name, SUPAFS_STR("drain_ms")))
		rec->drain_ms = n;
	else if (supafs_str_eq(name, SUPAFS_STR("left")))
		rec->left = n;
	return 0;
}

static int read_record(uid_t user, const char *mountpoint, const char *suffix,
	struct supafs_record *ret, void (*fn)(const char *file))
{
	struct reading reading = {ret, fn};
	supafs_cleanup(supafs_buf_fini) struct supafs_buf b;
	char path[PATH_MAX];
	const char *what;
	unsigned line;
	int r = path_of(user, mountpoint, suffix, path);

	supafs_buf_init(&b, RECORD_MAX);
	*ret = (struct supafs_record){0};
	if (r == 0)
		r = supafs_file_read(path, &b);
	if (r == 0)
		r = supafs_envfile_parse(supafs_buf_str(&b), on_value, &reading, &line, &what);
	if (r == 0 && strcmp(ret->mountpoint, mountpoint) != 0)
		r = -ENOENT;
	return r < 0 ? -ENOENT : 0;
}

int supafs_record_read(uid_t user, const char *mountpoint, struct supafs_record *ret)
{
	int r = read_record(user, mountpoint, "mount", ret, NULL);

	if (r == 0)
		return 0;
	r = read_record(user, mountpoint, "exit", ret, NULL);
	ret->ended = r == 0;
	return r;
}

int supafs_record_read_exit(uid_t user, const struct supafs_record *rec, uint64_t *ret_left,
	void (*fn)(const char *file))
{
	struct supafs_record end = {.pid = 0};
	int r = read_record(user, rec->mountpoint, "exit", &end, NULL);

	if (r == 0 && (end.pid != rec->pid || end.start != rec->start))
		r = -ENOENT;
	if (r == 0)
		*ret_left = end.left;
	if (r == 0 && fn)
		(void)read_record(user, rec->mountpoint, "exit", &end, fn);
	return r;
}

void supafs_record_forget(uid_t user, const char *mountpoint)
{
	static const char *const suffixes[] = {"mount", "exit"};
	char path[PATH_MAX];

	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(suffixes); i++) {
		if (path_of(user, mountpoint, suffixes[i], path) == 0)
			(void)unlink(path);
	}
}
