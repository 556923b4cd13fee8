/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The storage service: buckets, objects and resumable uploads over the metadata (db.h),
 * the bodies (blob.h) and the policies (policy.h). It knows nothing of HTTP or JSON, so
 * that every front end (REST now, S3 later) stands on the same functions.
 *
 * Every function answers with a code of the error table (error.h); results are untouched
 * unless it is SERVE_OK. `actor` is whoever asks; NULL means the server itself, which may
 * do everything.
 *
 * Threads: every call from any thread. Writes are serialised; reads do not wait for them.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "supafs/util/str.h"

#include "blob.h"
#include "db.h"
#include "error.h"
#include "policy.h"

/* Takes const away, for interfaces that lack it and for blocks that a view points into. */
static inline void *serve_unconst(const void *p)
{
	union {
		const void *c;
		void *m;
	} u = {.c = p};

	return u.m;
}

struct serve_service {
	struct serve_db *db;
	struct serve_blobs blobs;
	struct serve_policies *policies;
	uint64_t size_limit;   /* bytes of one object */
	int64_t tus_expiry_us; /* life of an unfinished resumable upload */
};

/* Removes what a crash left: bodies without a row, uploads without a file, and expired ones. 0 or
 * -errno. */
int serve_service_recover(struct serve_service *s);

/* --- buckets ------------------------------------------------------------ */

struct serve_bucket {
	struct supafs_str id, name, owner; /* each followed by a NUL */
	struct supafs_str mime;            /* a JSON array of types; p NULL: any */
	bool is_public;
	bool has_limit;
	uint64_t limit;
	int64_t created_us, updated_us;
};

struct serve_bucket_change {
	bool set_public, is_public;
	bool set_limit, has_limit;
	uint64_t limit;
	bool set_mime;
	struct supafs_str mime;
};

/* A copy in one block, ended with free(). SERVE_NO_SUCH_BUCKET also when hidden. */
enum serve_code serve_bucket_get(struct serve_service *s, const struct serve_actor *actor,
	struct supafs_str id, struct serve_bucket **ret_bucket);
/* Calls `each` for every bucket that the actor sees, by id; a return of false stops. */
enum serve_code serve_bucket_list(struct serve_service *s, const struct serve_actor *actor,
	bool (*each)(void *ctx, const struct serve_bucket *b), void *ctx);
/* Uses id, name, owner, is_public, limit and mime of `b`. */
enum serve_code serve_bucket_create(
	struct serve_service *s, const struct serve_actor *actor, const struct serve_bucket *b);
enum serve_code serve_bucket_update(struct serve_service *s, const struct serve_actor *actor,
	struct supafs_str id, const struct serve_bucket_change *change);
enum serve_code serve_bucket_delete(
	struct serve_service *s, const struct serve_actor *actor, struct supafs_str id);
/* Deletes every object that was there when the call began. */
enum serve_code serve_bucket_empty(struct serve_service *s, struct supafs_str id);
/* Does the bucket take this type (API §2: compared by type and subtype)? */
bool serve_bucket_takes_mime(const struct serve_bucket *b, struct supafs_str mime);
/* The most bytes an object may have. A bucket limit of 0 counts only if `zero_is_limit`. */
uint64_t serve_bucket_max(
	const struct serve_service *s, const struct serve_bucket *b, bool zero_is_limit);

/* --- objects ------------------------------------------------------------ */

/* A row of storage.objects. Views: of a statement's columns until its next step, or of the block
 * of a copy; each is followed by a NUL. */
struct serve_object {
	struct supafs_str bucket, name, id, version, owner, etag, mime, cache_control;
	struct supafs_str meta; /* user metadata, a JSON object; p NULL: none */
	uint64_t size;
	int64_t modified_us; /* when the body was stored */
	int64_t created_us, updated_us, accessed_us;
};

void serve_object_read(sqlite3_stmt *stmt, struct serve_object *ret_object);
/* A copy in one block, ended with free(); NULL when out of memory. */
struct serve_object *serve_object_dup(const struct serve_object *o);

/* SERVE_NO_SUCH_KEY when absent or hidden. The copy is ended with free(). */
enum serve_code serve_object_find(struct serve_service *s, const struct serve_actor *actor,
	struct supafs_str bucket, struct supafs_str key, struct serve_object **ret_object);
/* The same, and its body opened; looks again when an overwrite came between. The ETag in the copy
 * is the one to send (with SERVE_ETAG_MD5 the body was read for it). */
enum serve_code serve_object_open(struct serve_service *s, const struct serve_actor *actor,
	struct supafs_str bucket, struct supafs_str key, struct serve_object **ret_object,
	int *ret_fd);

/* May this upload begin? SERVE_ACCESS_DENIED, SERVE_KEY_EXISTS (without `upsert`). Nothing is
 * reserved: as in the real server, of several creators all succeed and the last wins. */
enum serve_code serve_object_may_put(struct serve_service *s, const struct serve_actor *actor,
	struct supafs_str bucket, struct supafs_str key, bool upsert);

struct serve_put {
	struct supafs_str bucket, key, owner, mime, cache_control;
	struct supafs_str meta; /* p NULL: none */
	struct supafs_str version, etag;
	uint64_t size;
	int64_t now_us;
	bool finishes; /* the resumable upload `version`, in the same transaction */
};

/* Makes a stored body the object's current version, atomically; the old body is removed. On
 * failure the new one is. `ret_id` (may be NULL) gets the object's id. */
enum serve_code serve_object_commit(
	struct serve_service *s, const struct serve_put *put, char ret_id[SERVE_UUID_SIZE]);

enum serve_code serve_object_delete(struct serve_service *s, const struct serve_actor *actor,
	struct supafs_str bucket, struct supafs_str key);
struct serve_keys {
	const struct supafs_str *list;
	size_t n;
};

/* Deletes what exists and may be deleted, in transactions of 500; `each` is called for every
 * deleted row, in the order of the keys. */
enum serve_code serve_object_delete_many(struct serve_service *s, const struct serve_actor *actor,
	struct supafs_str bucket, struct serve_keys keys,
	void (*each)(void *ctx, const struct serve_object *o), void *ctx);

struct serve_transfer {
	struct supafs_str from_bucket, from_key, to_bucket, to_key;
	bool upsert;            /* copy only */
	bool copy_metadata;     /* copy only */
	struct supafs_str mime; /* copy without metadata: the new one; p NULL: the source's */
	struct supafs_str cache_control;
	struct supafs_str meta; /* likewise; p NULL: none, or the destination's old one */
};

/* The new row, ended with free(). */
enum serve_code serve_object_copy(struct serve_service *s, const struct serve_actor *actor,
	const struct serve_transfer *t, struct serve_object **ret_object);
enum serve_code serve_object_move(
	struct serve_service *s, const struct serve_actor *actor, const struct serve_transfer *t);

/* --- resumable uploads --------------------------------------------------- */

struct serve_resumable {
	struct supafs_str id; /* becomes the version */
	struct supafs_str bucket, key, owner, mime, cache_control;
	struct supafs_str meta;   /* p NULL: none */
	struct supafs_str header; /* Upload-Metadata as it came */
	bool deferred;            /* the length is not known yet */
	bool finished;            /* it has become an object */
	uint64_t length;
	int64_t created_us;
};

/* Makes the file and the row; the id is drawn into `ret_id`. */
enum serve_code serve_resumable_create(
	struct serve_service *s, const struct serve_resumable *u, char ret_id[SERVE_UUID_SIZE]);
/* A copy, ended with free(). SERVE_NO_SUCH_KEY when there is none (any more). */
enum serve_code serve_resumable_get(
	struct serve_service *s, struct supafs_str id, struct serve_resumable **ret_upload);
bool serve_resumable_expired(const struct serve_service *s, const struct serve_resumable *u);
enum serve_code serve_resumable_set_length(
	struct serve_service *s, struct supafs_str id, uint64_t length);
enum serve_code serve_resumable_forget(struct serve_service *s, struct supafs_str id);
/* All bytes are in `fd`: hashes, stores and commits. On failure the upload is forgotten. */
enum serve_code serve_resumable_finish(
	struct serve_service *s, const struct serve_resumable *u, int fd);
