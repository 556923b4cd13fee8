/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of objects: one file a version.
 *
 *	DIR/tmp/<version>            a body that is arriving
 *	DIR/uploads/<version>        a resumable upload that has begun
 *	DIR/objects/<2 hex>/<version>   a stored version; never changed afterwards
 *
 * A body is written to tmp/, synced when durable, renamed into objects/, and only then
 * does a row name it. A file that no row names is removed at the next start.
 *
 * Threads: every call from any thread; a sink belongs to one.
 */
#pragma once

#include <openssl/evp.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "supafs/util/limits.h"
#include "supafs/util/str.h"

#define SERVE_UUID_SIZE 37 /* text and NUL */

enum serve_etag {
	SERVE_ETAG_STORED, /* MD5, computed while the body arrives */
	SERVE_ETAG_MD5,    /* the same, and again over the whole file at every GET */
	SERVE_ETAG_MTIME,  /* time and size, nothing is hashed */
};

struct serve_blobs {
	int objects_fd, tmp_fd, uploads_fd; /* -1: not open */
	bool durable;
	enum serve_etag etag;
	EVP_MD *md5;
};

/* Opens or makes the folders under `dir_fd`; the struct starts zeroed with its fds -1.
 * 0 or -errno; call fini in any case. */
int serve_blobs_init(struct serve_blobs *b, int dir_fd, bool durable, enum serve_etag etag);
void serve_blobs_fini(struct serve_blobs *b);

/* A body on its way to the disk. */
struct serve_sink {
	struct serve_blobs *blobs;
	int fd; /* -1: not open */
	EVP_MD_CTX *md5;
	uint64_t size;
	char version[SERVE_UUID_SIZE];
};

/* Starts a new version. 0 or -errno; on success end with serve_sink_store() or serve_sink_drop().
 */
int serve_sink_open(struct serve_blobs *b, struct serve_sink *ret_sink);
int serve_sink_write(struct serve_sink *s, const void *p, size_t n);
/* Moves the file into objects/. The ETag (with its quotes) of what was written at `now_us`. */
int serve_sink_store(struct serve_sink *s, int64_t now_us, char ret_etag[SUPAFS_ETAG_MAX]);
/* Removes the temporary file. A sink that was stored, dropped or zeroed (fd -1) is fine. */
void serve_sink_drop(struct serve_sink *s);

/* Opens a stored version for reading: an fd or -errno. */
int serve_blob_open(const struct serve_blobs *b, const char *version);
/* The MD5 of a whole open file, as an ETag. 0 or -errno. */
int serve_blob_md5(const struct serve_blobs *b, int fd, char ret_etag[SUPAFS_ETAG_MAX]);
/* Makes `to` another name of the bytes of `from` (or copies them where links are not possible). */
int serve_blob_copy(const struct serve_blobs *b, const char *from, const char *to);
/* A missing one is fine. */
void serve_blob_remove(const struct serve_blobs *b, const char *version);

/* Resumable uploads. An fd or -errno. */
int serve_upload_file_create(const struct serve_blobs *b, const char *version);
int serve_upload_file_open(const struct serve_blobs *b, const char *version);
/* Syncs, hashes and moves it into objects/; `fd` is the open file, `size` its length. */
int serve_upload_file_store(const struct serve_blobs *b, const char *version, int fd, uint64_t size,
	int64_t now_us, char ret_etag[SUPAFS_ETAG_MAX]);
void serve_upload_file_remove(const struct serve_blobs *b, const char *version);

/* Removes every file of tmp/, and those of objects/ and uploads/ for which `keep` says no.
 * `keep` gets the kind and the 36 bytes of the name. Returns the number removed or -errno. */
enum serve_blob_kind {
	SERVE_BLOB_OBJECT,
	SERVE_BLOB_UPLOAD,
};
int serve_blobs_sweep(struct serve_blobs *b,
	bool (*keep)(void *ctx, enum serve_blob_kind kind, const char *version), void *ctx);
