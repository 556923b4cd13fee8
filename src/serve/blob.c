/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Object bodies on disk.
 *
 *	state of a version   file                 row   left after kill -9
 *	arriving             tmp/V                no    removed at start
 *	stored, not named    objects/xx/V         no    removed at start
 *	live                 objects/xx/V         yes   stays
 *	replaced             objects/xx/V         no    removed at start
 */
#include "blob.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/clock.h"

#define PATH_SIZE   (3 + SERVE_UUID_SIZE)
#define HASH_CHUNK  (1U << 20)
#define UUID_LEN    36
#define FOLDER_MODE 0700
#define FILE_MODE   0600

static void dir_cleanup(DIR **d)
{
	if (*d)
		(void)closedir(*d);
}

static void blob_path(char out[PATH_SIZE], const char *version)
{
	(void)snprintf(out, PATH_SIZE, "%.2s/%s", version, version);
}

static int open_folder(int at, const char *name)
{
	int fd;

	if (mkdirat(at, name, FOLDER_MODE) < 0 && errno != EEXIST)
		return -errno;
	fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? -errno : fd;
}

static int make_shards(const struct serve_blobs *b)
{
	char name[4];

	for (unsigned i = 0; i < 256; i++) {
		(void)snprintf(name, sizeof(name), "%02x", i);
		if (mkdirat(b->objects_fd, name, FOLDER_MODE) < 0 && errno != EEXIST)
			return -errno;
	}
	return b->durable && fsync(b->objects_fd) < 0 ? -errno : 0;
}

int serve_blobs_init(struct serve_blobs *b, int dir_fd, bool durable, enum serve_etag etag)
{
	b->durable = durable;
	b->etag = etag;
	b->md5 = EVP_MD_fetch(NULL, "MD5", NULL);
	if (!b->md5)
		return -ENOTSUP;
	b->objects_fd = open_folder(dir_fd, "objects");
	if (b->objects_fd < 0)
		return b->objects_fd;
	b->tmp_fd = open_folder(dir_fd, "tmp");
	if (b->tmp_fd < 0)
		return b->tmp_fd;
	b->uploads_fd = open_folder(dir_fd, "uploads");
	if (b->uploads_fd < 0)
		return b->uploads_fd;
	return make_shards(b);
}

void serve_blobs_fini(struct serve_blobs *b)
{
	int *fds[] = {&b->objects_fd, &b->tmp_fd, &b->uploads_fd};

	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(fds); i++) {
		if (*fds[i] >= 0)
			(void)close(*fds[i]);
		*fds[i] = -1;
	}
	EVP_MD_free(b->md5);
	b->md5 = NULL;
}

/* --- bodies ------------------------------------------------------------- */

static void etag_hex(const unsigned char *sum, unsigned n, char out[SUPAFS_ETAG_MAX])
{
	static const char digits[] = "0123456789abcdef";
	size_t o = 0;

	out[o++] = '"';
	for (unsigned i = 0; i < n && o + 4 < SUPAFS_ETAG_MAX; i++) {
		out[o++] = digits[sum[i] >> 4];
		out[o++] = digits[sum[i] & 15];
	}
	out[o++] = '"';
	out[o] = '\0';
}

static int etag_final(EVP_MD_CTX *md5, char ret_etag[SUPAFS_ETAG_MAX])
{
	unsigned char sum[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	if (EVP_DigestFinal_ex(md5, sum, &n) != 1)
		return -EIO;
	etag_hex(sum, n, ret_etag);
	return 0;
}

static void etag_mtime(int64_t now_us, uint64_t size, char out[SUPAFS_ETAG_MAX])
{
	(void)snprintf(out, SUPAFS_ETAG_MAX, "\"%llx-%llx\"", (unsigned long long)(now_us / 1000),
		(unsigned long long)size);
}

static EVP_MD_CTX *hash_start(const struct serve_blobs *b)
{
	EVP_MD_CTX *c = EVP_MD_CTX_new();

	if (c && EVP_DigestInit_ex2(c, b->md5, NULL) != 1) {
		EVP_MD_CTX_free(c);
		return NULL;
	}
	return c;
}

int serve_sink_open(struct serve_blobs *b, struct serve_sink *ret_sink)
{
	struct serve_sink s = {.blobs = b, .fd = -1};

	supafs_random_uuid(s.version);
	if (b->etag != SERVE_ETAG_MTIME) {
		s.md5 = hash_start(b);
		if (!s.md5)
			return -ENOMEM;
	}
	s.fd = openat(b->tmp_fd, s.version, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, FILE_MODE);
	if (s.fd < 0) {
		int r = -errno;

		EVP_MD_CTX_free(s.md5);
		return r;
	}
	*ret_sink = s;
	return 0;
}

static int write_all(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t w = write(fd, p, n);

		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0)
			return -errno;
		p += w;
		n -= (size_t)w;
	}
	return 0;
}

int serve_sink_write(struct serve_sink *s, const void *p, size_t n)
{
	int r = write_all(s->fd, p, n);

	if (r < 0)
		return r;
	s->size += n;
	if (s->md5 && EVP_DigestUpdate(s->md5, p, n) != 1)
		return -EIO;
	return 0;
}

/* The name of a version reaches the disk, when that was asked for. */
static int sync_name(const struct serve_blobs *b, const char *version)
{
	supafs_autoclose int shard = -1;
	char folder[3] = {version[0], version[1], '\0'};

	if (!b->durable)
		return 0;
	shard = openat(b->objects_fd, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return shard < 0 || fsync(shard) < 0 ? -errno : 0;
}

static int publish(const struct serve_blobs *b, int from_fd, const char *version)
{
	char path[PATH_SIZE];

	blob_path(path, version);
	if (renameat(from_fd, version, b->objects_fd, path) < 0)
		return -errno;
	return sync_name(b, version);
}

int serve_sink_store(struct serve_sink *s, int64_t now_us, char ret_etag[SUPAFS_ETAG_MAX])
{
	int r;

	if (s->blobs->durable && fsync(s->fd) < 0)
		return -errno;
	if (s->md5) {
		r = etag_final(s->md5, ret_etag);
		if (r < 0)
			return r;
	} else {
		etag_mtime(now_us, s->size, ret_etag);
	}
	r = publish(s->blobs, s->blobs->tmp_fd, s->version);
	if (r < 0)
		return r;
	(void)close(s->fd);
	s->fd = -1;
	EVP_MD_CTX_free(s->md5);
	s->md5 = NULL;
	return 0;
}

void serve_sink_drop(struct serve_sink *s)
{
	if (s->fd >= 0) {
		(void)close(s->fd);
		(void)unlinkat(s->blobs->tmp_fd, s->version, 0);
	}
	s->fd = -1;
	EVP_MD_CTX_free(s->md5);
	s->md5 = NULL;
}

/* --- stored versions ---------------------------------------------------- */

int serve_blob_open(const struct serve_blobs *b, const char *version)
{
	char path[PATH_SIZE];
	int fd;

	blob_path(path, version);
	fd = openat(b->objects_fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? -errno : fd;
}

static int hash_file(EVP_MD_CTX *md5, int fd, char *chunk)
{
	off_t at = 0;

	for (;;) {
		ssize_t n = pread(fd, chunk, HASH_CHUNK, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return 0;
		if (EVP_DigestUpdate(md5, chunk, (size_t)n) != 1)
			return -EIO;
		at += n;
	}
}

int serve_blob_md5(const struct serve_blobs *b, int fd, char ret_etag[SUPAFS_ETAG_MAX])
{
	EVP_MD_CTX *md5 = hash_start(b);
	char *chunk = malloc(HASH_CHUNK);
	int r = md5 && chunk ? hash_file(md5, fd, chunk) : -ENOMEM;

	if (r == 0)
		r = etag_final(md5, ret_etag);
	free(chunk);
	EVP_MD_CTX_free(md5);
	return r;
}

static int copy_bytes(int from, int to)
{
	for (;;) {
		ssize_t n = copy_file_range(from, NULL, to, NULL, 1U << 30, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return 0;
	}
}

int serve_blob_copy(const struct serve_blobs *b, const char *from, const char *to)
{
	supafs_autoclose int in = -1, out = -1;
	char from_path[PATH_SIZE], to_path[PATH_SIZE];
	int r;

	blob_path(from_path, from);
	blob_path(to_path, to);
	if (linkat(b->objects_fd, from_path, b->objects_fd, to_path, 0) == 0)
		return sync_name(b, to);
	if (errno != EPERM && errno != EMLINK && errno != ENOTSUP)
		return -errno;
	in = serve_blob_open(b, from);
	if (in < 0)
		return in;
	out = openat(b->objects_fd, to_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, FILE_MODE);
	if (out < 0)
		return -errno;
	r = copy_bytes(in, out);
	if (r == 0 && b->durable && fsync(out) < 0)
		r = -errno;
	if (r == 0)
		r = sync_name(b, to);
	if (r < 0)
		serve_blob_remove(b, to);
	return r;
}

void serve_blob_remove(const struct serve_blobs *b, const char *version)
{
	char path[PATH_SIZE];

	blob_path(path, version);
	(void)unlinkat(b->objects_fd, path, 0);
}

/* --- resumable uploads -------------------------------------------------- */

int serve_upload_file_create(const struct serve_blobs *b, const char *version)
{
	int fd = openat(b->uploads_fd, version, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, FILE_MODE);

	return fd < 0 ? -errno : fd;
}

int serve_upload_file_open(const struct serve_blobs *b, const char *version)
{
	int fd = openat(b->uploads_fd, version, O_RDWR | O_CLOEXEC | O_NOFOLLOW);

	return fd < 0 ? -errno : fd;
}

int serve_upload_file_store(const struct serve_blobs *b, const char *version, int fd, uint64_t size,
	int64_t now_us, char ret_etag[SUPAFS_ETAG_MAX])
{
	int r;

	if (b->durable && fsync(fd) < 0)
		return -errno;
	if (b->etag == SERVE_ETAG_MTIME) {
		etag_mtime(now_us, size, ret_etag);
	} else {
		r = serve_blob_md5(b, fd, ret_etag);
		if (r < 0)
			return r;
	}
	return publish(b, b->uploads_fd, version);
}

void serve_upload_file_remove(const struct serve_blobs *b, const char *version)
{
	(void)unlinkat(b->uploads_fd, version, 0);
}

/* --- start-up ------------------------------------------------------------ */

struct sweep {
	bool (*keep)(void *ctx, enum serve_blob_kind kind, const char *version);
	void *ctx;
	int removed;
};

static bool wanted(const struct sweep *w, int kind, const char *name)
{
	return kind >= 0 && strlen(name) == UUID_LEN &&
	       w->keep(w->ctx, (enum serve_blob_kind)kind, name);
}

/* kind -1: nothing in this folder stays. */
static int sweep_folder(struct sweep *w, int at, const char *name, int kind)
{
	supafs_cleanup(dir_cleanup) DIR *d = NULL;
	struct dirent *e;
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	d = fdopendir(fd);
	if (!d) {
		int r = -errno;

		(void)close(fd);
		return r;
	}
	/* readdir is safe here: the stream is this function's own. */
	while ((e = readdir(d)) != NULL) { /* NOLINT(concurrency-mt-unsafe) */
		if (e->d_name[0] == '.' || wanted(w, kind, e->d_name))
			continue;
		if (unlinkat(dirfd(d), e->d_name, 0) == 0)
			w->removed++;
	}
	return 0;
}

int serve_blobs_sweep(struct serve_blobs *b,
	bool (*keep)(void *ctx, enum serve_blob_kind kind, const char *version), void *ctx)
{
	struct sweep w = {.keep = keep, .ctx = ctx};
	char name[4];
	int r = sweep_folder(&w, b->tmp_fd, ".", -1);

	if (r == 0)
		r = sweep_folder(&w, b->uploads_fd, ".", SERVE_BLOB_UPLOAD);
	for (unsigned i = 0; r == 0 && i < 256; i++) {
		(void)snprintf(name, sizeof(name), "%02x", i);
		r = sweep_folder(&w, b->objects_fd, name, SERVE_BLOB_OBJECT);
	}
	return r < 0 ? r : w.removed;
}
