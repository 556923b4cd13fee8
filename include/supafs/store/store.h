/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The object store: what every backend (supabase, memory, later s3) offers, and what every
 * policy layer (retry, limit, stats, trace) offers on top of an inner one.
 *
 * Keys are bytes as stored (escaped form), ≤ SUPAFS_KEY_MAX, never empty, no NUL. Every
 * operation checks them before it asks anybody: a key that the server cannot hold is -ENOENT
 * for a reader and -EINVAL (code "InvalidKey") for a writer. Keys with empty or dot segments
 * may come out of a listing; gateways rewrite them in URLs, so put refuses them (-EINVAL),
 * get and info answer -ENOENT for dot segments, and remove takes the batch route.
 * All operations block the calling thread until done, failed, cancelled or past the
 * call's deadline; none holds a lock over a request. All may run concurrently, on any
 * keys; order on one key is the caller's business (vfs key queue).
 *
 * Errors: 0 or -errno. When an operation fails, *fault (never NULL) says more: class,
 * status, code, text. HTTP becomes errno in one place only, src/store/errors.c (API §12.2).
 * Life: create bottom-up, use, free from the top; a layer owns its inner store.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "supafs/util/buf.h"
#include "supafs/util/call.h"
#include "supafs/util/limits.h"
#include "supafs/util/pairs.h"
#include "supafs/util/str.h"

/* --- Values --------------------------------------------------------------------------------- */

/* What identifies content. All of it comes with a listing, so opening a file needs no request.
 * etag "" = not known (a reply to an upload has none): then only what is known counts. */
struct supafs_version {
	uint64_t size;
	int64_t updated_ns;             /* the row's updated_at; 0: not known */
	unsigned char id[16];           /* object UUID; all 0: not known */
	char etag[SUPAFS_ETAG_MAX + 1]; /* quoted, opaque */
};

/* Same content? Equal etags (both known) and equal size. */
bool supafs_version_same(const struct supafs_version *a, const struct supafs_version *b);

/* Times, mode and owner as we keep them (product.md §4); each valid only with its flag. */
enum {
	SUPAFS_META_MTIME = 1 << 0,
	SUPAFS_META_MODE = 1 << 1,
	SUPAFS_META_UID = 1 << 2,
	SUPAFS_META_GID = 1 << 3,
	SUPAFS_META_ALL = 15,

	/* What a listing tells about the rest; flags without a value. */
	SUPAFS_META_MORE = 1 << 4, /* user metadata, or a type set by hand: info has them */
	SUPAFS_META_ASK = 1 << 5,  /* ours, but its times are in user metadata alone (TUS) */
	SUPAFS_META_HINTS = 48,
};
struct supafs_meta {
	unsigned has;
	int64_t mtime_ns;
	uint32_t mode; /* permission bits 07777 and, for a symlink, S_IFLNK */
	uint32_t uid, gid;
};

/* One entry of a listing or of a look-up; views live until the callback returns. */
struct supafs_entry {
	struct supafs_str key; /* whole key; a folder's ends in '/' */
	bool folder;           /* a common prefix: the rest is not set */
	struct supafs_version version;
	int64_t modified_ns; /* blob time (metadata.lastModified), else updated_at */
	int64_t created_ns;
	struct supafs_meta meta;         /* parsed out of Cache-Control */
	struct supafs_str mime;          /* "" if absent */
	struct supafs_str cache_control; /* verbatim, our directives included; "" if absent */
};

/* --- Faults --------------------------------------------------------------------------------- */

enum supafs_fault_class {
	SUPAFS_FAULT_NONE,
	SUPAFS_FAULT_TRANSIENT, /* network, 5xx, 520–524, 544, lock time-outs: try again */
	SUPAFS_FAULT_THROTTLED, /* 429, SlowDown: try again, later */
	SUPAFS_FAULT_RACE, /* the blob moved between the server's steps (API §3.6), or something on
			      the way answered a get: look again, a few times */
	SUPAFS_FAULT_AUTH, /* token refused: refresh it once, else permanent */
	SUPAFS_FAULT_DENIED, /* the policy says no */
	SUPAFS_FAULT_MISSING,
	SUPAFS_FAULT_CONFLICT, /* exists, not empty, changed */
	SUPAFS_FAULT_TOO_LARGE,
	SUPAFS_FAULT_PERMANENT,
	SUPAFS_FAULT__COUNT,
};

/*
 * `code` is the server's own (API §12.2: "NoSuchKey", "EntityTooLarge", …) except where the
 * reply needs reading between the lines. Then it is one of these:
 *	TokenMissing	the server saw no token (an sb_ key sent to a server with no gateway)
 *	TokenExpired	the key or the user's token is past its `exp`
 *	TokenSignature	signed with another project's secret
 *	TokenInvalid	not a token at all, or refused by the gateway
 *	TokenRole	its role is not one of the database's
 *	PublicKey	no such bucket for this public (anon, publishable) key: it may be hidden
 *	NoSuchBucket	no such bucket, or hidden from this user
 *	NotStorage	the URL leads elsewhere: web page, unknown route, redirect
 *	OldServer	no list-v2: storage-api before 1.19.0
 *	ProjectPaused	hosted project is paused
 *	BadReply	2xx with a body that is not what was asked for
 *	RangeIgnored	the whole object came where a part was asked for
 *	NoETag		the reply cannot be checked against the version
 *	Changed		other version there than the pinned one (-ESTALE)
 *	Unreachable, Timeout, Broken, TLS, Cancelled, Shutdown	the transfer never ended well
 *	Local		the caller's source or sink gave up, or an argument is wrong
 */
struct supafs_fault {
	enum supafs_fault_class class;
	int status;             /* the real one (from the body if it has one); 0: no reply */
	bool ambiguous;         /* the server may have done it (reply lost after the last byte) */
	unsigned attempts;      /* how often it was tried; set by the retry layer */
	int64_t retry_after_ms; /* -1: not told */
	char code[48];          /* the server's `code` or `error`; "" if none */
	char text[200];         /* for people, one line, no secrets */
	char request_id[64];
};
void supafs_fault_clear(struct supafs_fault *f);
/* "HTTP 404 NoSuchKey: Object not found" or the transport's words; for log and messages. */
void supafs_fault_format(const struct supafs_fault *f, char *out, size_t size);

/* --- Arguments ------------------------------------------------------------------------------ */

/* Cursor of a list walk: starts empty, filled by each page. Opaque to callers. */
struct supafs_cursor {
	size_t n;
	char p[SUPAFS_CURSOR_MAX];
};

struct supafs_list_args {
	struct supafs_str prefix; /* raw string prefix, "" = all */
	bool delimiter;           /* group by '/' behind the prefix */
	unsigned limit;           /* 1…SUPAFS_PAGE_LIMIT (flat: …1000); a page may be shorter */
	/* Each entry in bytewise key order (folders as "d/"), exactly once over all pages.
	 * 0, or -errno which ends the operation with it. On the caller's thread, no lock held.
	 * A page is delivered whole or not at all: retries never repeat entries. */
	int (*on_entry)(void *ctx, const struct supafs_entry *e);
	void *ctx;
	/* Instead of key order: what was changed last comes first. Without delimiter only, and the
	 * cursor is of this order; entries may then repeat over pages when something changes
	 * meanwhile. The server sorts the whole bucket for it (API §4.2). */
	bool newest_first;
};

/* Body of a download. Runs on the transport thread: must not block. */
struct supafs_sink {
	/* 0; -EAGAIN: nothing taken, pause until supafs_call_poke(); other -errno ends the get. */
	int (*write)(void *ctx, const void *p, size_t n);
	void *ctx;
};

struct supafs_get_args {
	struct supafs_str key;
	uint64_t offset; /* < version->size */
	uint64_t length; /* > 0; offset + length ≤ version->size */
	/* The pinned version. A reply whose ETag or total differs never reaches the sink: -ESTALE.
	 * With etag "" the first reply's ETag counts for the rest of this call. */
	const struct supafs_version *version;
	struct supafs_sink sink;
	/* If not NULL: the ETag seen, to complete a version that had none; also set when the get
	 * fails after bytes have reached the sink. */
	char *ret_etag; /* SUPAFS_ETAG_MAX + 1 bytes */
};

#define SUPAFS_NONCE_MAX  39
#define SUPAFS_UPLOAD_MAX 1600 /* the last segment of a resumable upload's URL (API §6.2) */

/* Where a resumable upload (TUS, API §6) of exactly these bytes stands. The backend asks the server
 * for the offset, so this is all that must be remembered. */
struct supafs_resume {
	char id[SUPAFS_UPLOAD_MAX + 1]; /* "" = none has been begun */
	/* Called on the put's thread when `id` has changed; may write a journal. May be NULL. */
	void (*changed)(void *ctx, const struct supafs_resume *r);
	void *ctx;
	uint64_t offset; /* bytes that the server is known to have: shows progress, no more */
};

/* Content and attributes of an upload. */
struct supafs_put_args {
	struct supafs_str key;
	uint64_t size;
	ssize_t (*pread)(void *ctx, void *buf, size_t n,
		uint64_t off); /* as in http source; NULL if size 0 */
	void *ctx;
	struct supafs_str mime; /* "" → application/octet-stream */
	struct supafs_str
		cache_control; /* what browsers are told; "" → no-cache; directives are added */
	struct supafs_meta meta;
	/* Marks this one upload, so that its trace can be found after a lost answer (see
	 * supafs_info.nonce). "" = the backend makes one; the retry layer sets it. */
	struct supafs_str nonce;
	bool exclusive; /* POST without upsert: -EEXIST when it is there (best effort, API §5.4) */
	/* User metadata besides `meta` and the nonce: pairs (util/pairs.h), names as the server
	 * keeps them. Values that are not text are stored as "0s" and base64, as getfattr(1)
	 * prints them, and so are texts that begin like that. Names of ours are passed over.
	 * What supafs_user_check() refuses is refused here with the same error. */
	struct supafs_str user;
	/* NULL: the upload is begun anew whenever it is repeated from outside. Else an interrupted
	 * large upload goes on where the server has it, also in a later process. Success empties
	 * `id`; a failure leaves it as it is worth trying. An upload of other facts (key, size,
	 * type, times, user metadata) is not gone on with; one of another nonce is. */
	struct supafs_resume *resume;
};

struct supafs_copy_args {
	struct supafs_str from, to;
	struct supafs_str to_bucket; /* "" = same */
	bool replace;                /* false: -EEXIST when `to` is there */
	/* NULL: everything of the source goes along. Else these attributes replace the source's
	 * (mime and cache_control "" = not set): the way to change them without re-upload, from =
	 * to. */
	const struct supafs_put_args *attrs;
};

/* A whole object's facts from one request of its own (info, API §3.5). */
struct supafs_info {
	struct supafs_version version;
	int64_t modified_ns, created_ns;
	struct supafs_meta
		meta; /* from user metadata: mtime, mode, uid, gid in rclone's / s3fs' form */
	char mime[SUPAFS_MIME_MAX + 1];
	char cache_control[SUPAFS_CC_MAX + 1];
	char generation[40];              /* the server's version UUID */
	char nonce[SUPAFS_NONCE_MAX + 1]; /* of the upload that wrote it; "" if it has none */
	/* User metadata without what is ours (meta, nonce), as pairs. Values that are neither text
	 * nor null are given as JSON. */
	size_t user_n;
	char user[SUPAFS_PAIRS_MAX];
	bool user_cut; /* there is more than fits: to copy with attrs would lose it */
};

/* Can an object keep these pairs as user metadata? 0; -ENOSPC: more than fits into a request's
 * headers (about 3800 bytes as JSON); -EINVAL: a name that is not text or not well-formed pairs. */
int supafs_user_check(struct supafs_str user);
/* Is it a name of ours in user metadata ("mtime", "mode", "uid", "gid", "nonce")? */
bool supafs_user_reserved(struct supafs_str name);

struct supafs_bucket_info {
	char name[SUPAFS_BUCKET_MAX + 1];
	bool is_public;
	uint64_t size_limit;     /* bytes; 0: none known */
	struct supafs_buf mimes; /* allowed types, one a line; empty: all. Owned by the caller */
	char server_version[32]; /* GET /version, "" if not told */
};

enum {
	SUPAFS_CAP_COPY_BUCKET = 1 << 0, /* copy to another bucket */
	SUPAFS_CAP_META_LIST = 1 << 1,   /* listings carry our times and modes */
};

/* --- The table ------------------------------------------------------------------------------ */

struct supafs_store;

struct supafs_store_ops {
	const char *name; /* "supabase", "memory", "retry", … */

	/* Facts of the bucket; checks URL, key and role on the way. -ENOENT: no such bucket. */
	int (*probe)(struct supafs_store *s, struct supafs_call *call,
		struct supafs_bucket_info *ret_info, struct supafs_fault *fault);

	/* One page from *cursor, which moves on; *ret_more tells whether another may follow. A
	 * bucket that does not exist lists empty (API §1.4). */
	int (*list)(struct supafs_store *s, struct supafs_call *call,
		const struct supafs_list_args *args, struct supafs_cursor *cursor, bool *ret_more,
		struct supafs_fault *fault);

	int (*info)(struct supafs_store *s, struct supafs_call *call, struct supafs_str key,
		struct supafs_info *ret_info, struct supafs_fault *fault);

	/* Streams exactly args->length bytes into the sink. -ESTALE: other version there; -ENOENT.
	 */
	int (*get)(struct supafs_store *s, struct supafs_call *call,
		const struct supafs_get_args *args, struct supafs_fault *fault);

	/* Stores an object, all or nothing. Success is believed only with the server's answer.
	 * *ret_id: the object's UUID (all 0 if not told). */
	int (*put)(struct supafs_store *s, struct supafs_call *call,
		const struct supafs_put_args *args, unsigned char ret_id[16],
		struct supafs_fault *fault);

	/* One object. -ENOENT, -EACCES. */
	int (*remove)(struct supafs_store *s, struct supafs_call *call, struct supafs_str key,
		struct supafs_fault *fault);

	/* Up to SUPAFS_DELETE_BATCH keys in one request. ret_gone[i]: true if the reply lists key
	 * i; false: missing or denied, which the reply does not tell apart. */
	int (*remove_many)(struct supafs_store *s, struct supafs_call *call,
		const struct supafs_str *keys, size_t n, bool *ret_gone,
		struct supafs_fault *fault);

	/* Server-side. *ret_entry (may be NULL) gets version, modified and meta of the new object;
	 * its views are not set; an etag "" means that the server told nothing. -ENOENT: no source,
	 * or no such bucket. */
	int (*copy)(struct supafs_store *s, struct supafs_call *call,
		const struct supafs_copy_args *args, struct supafs_entry *ret_entry,
		struct supafs_fault *fault);

	/* Renames; -EEXIST if `to` is there. Same key: 0. */
	int (*move)(struct supafs_store *s, struct supafs_call *call, struct supafs_str from,
		struct supafs_str to, struct supafs_fault *fault);

	/* Where a browser finds the object, into *ret: for everybody if `valid_s` is 0 (no request;
	 * -EOPNOTSUPP when the bucket is not public), else signed for so many seconds (one request,
	 * API §9). A signed URL is a secret. */
	int (*url)(struct supafs_store *s, struct supafs_call *call, struct supafs_str key,
		uint64_t valid_s, struct supafs_buf *ret, struct supafs_fault *fault);

	unsigned (*capabilities)(const struct supafs_store *s);

	/* Nobody may be inside. Frees the inner store too. Returns NULL. */
	struct supafs_store *(*free)(struct supafs_store *s);
};

struct supafs_store {
	const struct supafs_store_ops *ops; /* first member of each implementation */
};

static inline struct supafs_store *supafs_store_free(struct supafs_store *s)
{
	return s ? s->ops->free(s) : NULL;
}

/* --- Backends ------------------------------------------------------------------------------- */

struct supafs_http;

struct supafs_supabase_config {
	const char *url; /* project URL; "/storage/v1" is appended unless the path has it or
			    `raw_base` */
	bool raw_base;   /* `url` is the base as it is (a server with no prefix) */
	const char *bucket;
	const char *key;        /* service, anon or secret key: both styles (API §1.3) */
	const char *user_token; /* NULL, or the user's JWT (row-level security) */
	const struct supafs_clock *clock;
	uint64_t seed; /* for nonces */
	/* Objects of at least so many bytes go by resumable upload; 0: 64 MiB; UINT64_MAX: never.
	 */
	uint64_t resumable_min;
	/* A user's token that does not last: called (on a request's thread, one at a time) when the
	 * server has refused the token or its `exp` is near; fills *ret with the current one. 0, or
	 * -errno when there is no newer one. NULL: `user_token` is all there is. */
	int (*refresh)(void *ctx, struct supafs_buf *ret);
	/* Called before each request, by many threads at once, so it must be cheap: true when
	 * refresh() would find another token than it found last. NULL: nobody replaces a token
	 * before its end. */
	bool (*changed)(void *ctx);
	void *refresh_ctx; /* of both */
};
/* Copies everything; wipes the key when freed. `http` must outlive the store. 0, -EINVAL, -ENOMEM.
 */
int supafs_store_new_supabase(const struct supafs_supabase_config *cfg, struct supafs_http *http,
	struct supafs_store **ret_store);

/* All in memory, same rules (charset, sizes, page limits, errors); for tests. */
int supafs_store_new_memory(const struct supafs_clock *clock, struct supafs_store **ret_store);

/* --- Policy layers: each owns `inner`, also when creation fails it stays the caller's ----------
 */

struct supafs_retry_config {
	const struct supafs_clock *clock;
	uint64_t seed;            /* jitter */
	unsigned max_attempts;    /* 0: until the call's deadline */
	uint64_t base_ms, cap_ms; /* exponential with full jitter: below(min(cap, base·2^n)) */
	double budget;         /* share of retries over requests a host may cause, e.g. 0.2 … */
	unsigned budget_burst; /* … above a burst of so many; more wait for cap/2 … cap each */
};
/* Repeats what failed transiently, within the call's deadline: what cannot be repeated before the
 * deadline is not, and the last error stands. A RACE is repeated at most 5 times. Ambiguous writes
 * are looked at before they are repeated (API §12.3): put → info, and compare our nonce (also when
 * an exclusive put then finds the key taken); move → source gone and target there is success; copy
 * without `replace` → same content there is success; remove: -ENOENT on a repeat is success;
 * remove_many: what the repeat does not list is looked up. A get goes on at the byte it had
 * reached, same version. */
int supafs_store_new_retry(const struct supafs_retry_config *cfg, struct supafs_store *inner,
	struct supafs_store **ret_store);

/* Belongs below retry: then it sees every THROTTLED, and a back-off holds no place.
 * At most `max_inflight` operations at once, in order of arrival; gets and puts leave room
 * (a quarter) for small requests. After THROTTLED the limit halves, and grows back by one per
 * ten successes. */
int supafs_store_new_limit(const struct supafs_clock *clock, unsigned max_inflight,
	struct supafs_store *inner, struct supafs_store **ret_store);

enum supafs_op {
	SUPAFS_OP_PROBE,
	SUPAFS_OP_LIST,
	SUPAFS_OP_INFO,
	SUPAFS_OP_GET,
	SUPAFS_OP_PUT,
	SUPAFS_OP_REMOVE,
	SUPAFS_OP_REMOVE_MANY,
	SUPAFS_OP_COPY,
	SUPAFS_OP_MOVE,
	SUPAFS_OP_URL,
	SUPAFS_OP__COUNT,
};
struct supafs_op_stats {
	uint64_t count, errors, bytes;
	uint64_t time_ns; /* sum */
};
/* Counts operations; read them at any time from any thread. */
int supafs_store_new_stats(const struct supafs_clock *clock, struct supafs_store *inner,
	struct supafs_store **ret_store);
void supafs_store_stats_read(
	const struct supafs_store *stats, struct supafs_op_stats ret_ops[SUPAFS_OP__COUNT]);

/* Debug lines "get KEY 0+131072 → 0 (3.1 ms)"; costs a branch when off. */
int supafs_store_new_trace(const struct supafs_clock *clock, struct supafs_store *inner,
	struct supafs_store **ret_store);

/* For tests: operations of kind `op` fail with `error` and `fault`, before or after they were done:
 * the next `skip` of them pass, then `times` fail. At most 32 rules; the first that matches counts.
 */
int supafs_store_new_faulty(struct supafs_store *inner, struct supafs_store **ret_store);
struct supafs_faulty_rule {
	enum supafs_op op;
	unsigned skip, times;
	bool after;
	int error;
	struct supafs_fault fault;
};
void supafs_store_faulty_add(struct supafs_store *faulty, const struct supafs_faulty_rule *rule);

/* --- Attributes in Cache-Control (product.md §4) ------------------------------------------------
 */

/* "no-cache, x-mtime=1700000000.123456789, x-mode=0640, x-uid=0, x-gid=0": appends what `m` has. */
int supafs_meta_add_directives(struct supafs_buf *b, const struct supafs_meta *m);
/* Reads them back; *ret_plain (may be NULL) gets the value without them. Unknown or malformed
 * directives are left alone. Never fails: what is not there is not in `has`. */
void supafs_meta_parse_directives(struct supafs_str cache_control, struct supafs_meta *ret_meta,
	struct supafs_buf *ret_plain);
