/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The filesystem's meaning, free of FUSE: nodes, names, handles, content states, rename and
 * unlink rules, errno policy. src/fuse/ decodes a request, calls one function of these and replies;
 * tests drive it over the memory store.
 *
 * A node is what the kernel knows: a 64-bit id that is never used again, SUPAFS_ROOT_ID for the
 * root. Its key is computed from the parents' segments when a request needs it, so a renamed folder
 * needs no rekeying. Look-up counts: every successful lookup, mkdir, create, symlink and every
 * entry of a plus-readdir adds one; supafs_vfs_forget() takes them back. An unknown id gives
 * -ESTALE.
 *
 * Every function: 0 (or a count) or -errno; may block in requests until the call's deadline or
 * cancel (-EINTR); *fault says what the server said (for the log) and is cleared at entry. Threads:
 * any number at once.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "supafs/cache/catalog.h"
#include "supafs/cache/data.h"
#include "supafs/cache/journal.h"
#include "supafs/cache/spool.h"
#include "supafs/store/store.h"

#define SUPAFS_ROOT_ID UINT64_C(1)

struct supafs_vfs;

/* News for the kernel; called from the vfs's own notification thread, with no lock held. */
struct supafs_notify {
	void (*inval_entry)(void *ctx, uint64_t parent, const char *name, size_t n);
	void (*inval_inode)(void *ctx, uint64_t node, bool data); /* attributes; data too */
	void *ctx;
};

struct supafs_vfs_config {
	struct supafs_store *store; /* borrowed, like all here */
	struct supafs_catalog *catalog;
	struct supafs_data *data;
	struct supafs_spool_dir *spool;
	const struct supafs_clock *clock;
	struct supafs_str root; /* key prefix of the mount, "" or "p/" */
	struct supafs_bucket_info
		*bucket; /* limits: EFBIG at the write that crosses, EPERM for types */
	uint64_t ttl_ms;
	uint64_t timeout_ms; /* of internal calls: uploads at release, gathered deletes */
	uid_t uid;           /* shown owner, and modes of what has none stored */
	gid_t gid;
	mode_t file_mode, dir_mode; /* e.g. 0644, 0755 */
	bool read_only;
	bool strict_names;              /* -o names=strict: refuse names that need an escape */
	bool rename_dir;                /* false: EXDEV */
	size_t rename_portion;          /* bytes of keys that it keeps at once; 0: 64 MiB */
	bool store_meta;                /* -o meta=: write times and modes */
	const char *cache_control;      /* for uploads; "" = no-cache */
	const char *temp_patterns;      /* colon-separated globs of temporary names; "" = none */
	struct supafs_journal *journal; /* what an earlier run left is taken over by _replay() */
	bool writeback;                 /* close returns when the journal has it */
	unsigned uploads;               /* most uploads at once that nobody waits for; ≥ 1 */
	bool meta_info;                 /* -o meta=info: other clients' metadata is asked for */
	uint64_t poll_ms;               /* -o poll=; 0: off */
	bool trusted; /* the key passes row-level security: what is written will be taken */
};
int supafs_vfs_new(const struct supafs_vfs_config *cfg, struct supafs_vfs **ret_vfs);
/* Takes up what the journal holds: files are shown, queued and sent in the background; jobs are
 * finished. Called once, before the first operation; blocks no longer than the local disk. *ret_n:
 * records taken up. 0 or -errno (nothing is lost then: the records stay). */
int supafs_vfs_replay(struct supafs_vfs *v, unsigned *ret_n);
/* From then on news are sent; before, they are dropped. */
void supafs_vfs_set_notify(struct supafs_vfs *v, const struct supafs_notify *n);
/* No operation may be inside or follow. Settles gathered deletes and uploads what is dirty, for at
 * most `drain_ms`; *ret_left: files whose upload failed (kept in the spool). NULL is fine. */
struct supafs_vfs *supafs_vfs_free(struct supafs_vfs *v, uint64_t drain_ms, unsigned *ret_left);

struct supafs_node_info {
	uint64_t node;
	struct stat st;    /* st_ino: the catalog's number */
	uint64_t valid_ms; /* how long the kernel may keep entry and attributes */
};

/* --- Names ------------------------------------------------------------------------------------ */

int supafs_vfs_lookup(struct supafs_vfs *v, struct supafs_call *call, uint64_t parent,
	struct supafs_str name, struct supafs_node_info *ret, struct supafs_fault *fault);
void supafs_vfs_forget(struct supafs_vfs *v, uint64_t node, uint64_t n);
/* Who makes something: its owner. Stored with it where that is not the mount's (uid, gid). */
struct supafs_owner {
	uid_t uid;
	gid_t gid;
};
/* A folder or a symbolic link that is to be made. */
struct supafs_make {
	uint64_t parent;
	struct supafs_str name;
	mode_t mode;                      /* mkdir */
	struct supafs_str target;         /* symlink; not empty */
	const struct supafs_owner *owner; /* NULL: the mount's */
};
int supafs_vfs_mkdir(struct supafs_vfs *v, struct supafs_call *call, const struct supafs_make *mk,
	struct supafs_node_info *ret, struct supafs_fault *fault);
/* -EPERM without stored attributes (-o meta=off): nothing would tell it from a file. */
int supafs_vfs_symlink(struct supafs_vfs *v, struct supafs_call *call, const struct supafs_make *mk,
	struct supafs_node_info *ret, struct supafs_fault *fault);
/* Target into `buf`, NUL-terminated; its length. */
ssize_t supafs_vfs_readlink(struct supafs_vfs *v, struct supafs_call *call, uint64_t node,
	char *buf, size_t size, struct supafs_fault *fault);
/* `process`: pid of the caller, to see a burst of deletes. */
int supafs_vfs_unlink(struct supafs_vfs *v, struct supafs_call *call, uint64_t parent,
	struct supafs_str name, pid_t process, struct supafs_fault *fault);
int supafs_vfs_rmdir(struct supafs_vfs *v, struct supafs_call *call, uint64_t parent,
	struct supafs_str name, struct supafs_fault *fault);

struct supafs_rename {
	uint64_t parent, new_parent;
	struct supafs_str name, new_name;
	unsigned flags; /* RENAME_NOREPLACE or RENAME_EXCHANGE; others -EINVAL */
};
int supafs_vfs_rename(struct supafs_vfs *v, struct supafs_call *call, const struct supafs_rename *r,
	struct supafs_fault *fault);

/* --- Attributes ---------------------------------------------------------------------------------
 */

int supafs_vfs_getattr(struct supafs_vfs *v, struct supafs_call *call, uint64_t node,
	struct supafs_node_info *ret, struct supafs_fault *fault);

/* The same for an open file: -ESTALE once another client's version is there. */
int supafs_vfs_getattr_open(struct supafs_vfs *v, struct supafs_call *call, uint64_t node,
	uint64_t fh, struct supafs_node_info *ret, struct supafs_fault *fault);

enum {
	SUPAFS_SET_MODE = 1 << 0,
	SUPAFS_SET_UID = 1 << 1,
	SUPAFS_SET_GID = 1 << 2,
	SUPAFS_SET_SIZE = 1 << 3,
	SUPAFS_SET_MTIME = 1 << 4,
	SUPAFS_SET_ATIME = 1 << 5, /* kept by this mount only, as long as it knows the node */
};
struct supafs_setattr {
	unsigned which;
	mode_t mode;
	uid_t uid;
	gid_t gid;
	uint64_t size;
	int64_t mtime_ns, atime_ns;
	uint64_t fh; /* 0: none */
};
int supafs_vfs_setattr(struct supafs_vfs *v, struct supafs_call *call, uint64_t node,
	const struct supafs_setattr *set, struct supafs_node_info *ret, struct supafs_fault *fault);
/* Never waits. */
void supafs_vfs_statfs(struct supafs_vfs *v, struct statvfs *ret);

/* --- Directories ---------------------------------------------------------------------------------
 */

int supafs_vfs_opendir(struct supafs_vfs *v, uint64_t node, uint64_t *ret_fh);
void supafs_vfs_releasedir(struct supafs_vfs *v, uint64_t fh);

struct supafs_dir_item {
	const char *name; /* NUL-terminated; "." and ".." come first */
	uint64_t next_off;
	struct supafs_node_info info; /* node 0 unless plus (never for "." and "..") */
};
struct supafs_dir_read {
	uint64_t fh, off;
	bool plus;
	bool (*add)(void *ctx, const struct supafs_dir_item *item);
	void *ctx;
};
/* Entries from `off` until `add` returns false (that entry did not fit: its look-up count is taken
 * back) or the end. An error after the first entry is reported by the next call. */
int supafs_vfs_readdir(struct supafs_vfs *v, struct supafs_call *call,
	const struct supafs_dir_read *rd, struct supafs_fault *fault);
/* Settles gathered deletes of the folder, and waits for what is closed directly in it: -EIO when
 * something of that could not be sent. */
int supafs_vfs_fsyncdir(
	struct supafs_vfs *v, struct supafs_call *call, uint64_t fh, struct supafs_fault *fault);

/* --- Files --------------------------------------------------------------------------------------
 */

struct supafs_open_result {
	uint64_t fh;
	bool keep_cache; /* the kernel's pages are of this version */
};
/* flags: open(2)'s. */
int supafs_vfs_open(struct supafs_vfs *v, struct supafs_call *call, uint64_t node, int flags,
	struct supafs_open_result *ret, struct supafs_fault *fault);

struct supafs_create {
	uint64_t parent;
	struct supafs_str name;
	mode_t mode;
	int flags;
	const struct supafs_owner *owner; /* NULL: the mount's */
};
int supafs_vfs_create(struct supafs_vfs *v, struct supafs_call *call,
	const struct supafs_create *cr, struct supafs_node_info *ret_info,
	struct supafs_open_result *ret, struct supafs_fault *fault);
/* `n` bytes from `off` of an open file. */
struct supafs_span {
	uint64_t fh, off, n;
	bool placed; /* a write: to `off`, also through a handle that appends (a page of a mapping)
		      */
};
/* Short only at the end of the file. */
ssize_t supafs_vfs_read(struct supafs_vfs *v, struct supafs_call *call,
	const struct supafs_span *at, void *buf, struct supafs_fault *fault);
/* The same without a copy where the bytes lie in the cache: *ret_view says where they are, in there
 * or in `buf`. Ends with supafs_view_release(), soon. */
ssize_t supafs_vfs_view(struct supafs_vfs *v, struct supafs_call *call,
	const struct supafs_span *at, void *buf, struct supafs_view *ret_view,
	struct supafs_fault *fault);
/* All or an error. */
int supafs_vfs_write(struct supafs_vfs *v, struct supafs_call *call, const struct supafs_span *at,
	const void *buf, struct supafs_fault *fault);
/* close(2) of one descriptor: uploads what is dirty and returns its result; bytes that were not
 * taken are kept, and the next close tries again. Nothing is sent for a handle that may not write,
 * under a temporary name (the rename sends it, or the unmount), nor at the first close of a file
 * that this handle made or cut and has not written to (a shell's dup2() before it writes): then the
 * second close or the release sends it. */
int supafs_vfs_flush(
	struct supafs_vfs *v, struct supafs_call *call, uint64_t fh, struct supafs_fault *fault);
int supafs_vfs_fsync(
	struct supafs_vfs *v, struct supafs_call *call, uint64_t fh, struct supafs_fault *fault);
/* The last reference of the handle is gone; uploads what a dead process left dirty, in the
 * background. */
void supafs_vfs_release(struct supafs_vfs *v, uint64_t fh);
/* mode: fallocate(2)'s. */
int supafs_vfs_fallocate(struct supafs_vfs *v, struct supafs_call *call,
	const struct supafs_span *at, int mode, struct supafs_fault *fault);
/* SEEK_DATA, SEEK_HOLE. */
int supafs_vfs_lseek(
	struct supafs_vfs *v, uint64_t fh, uint64_t off, int whence, uint64_t *ret_off);

struct supafs_copy_range {
	uint64_t fh_in, off_in, fh_out, off_out, n;
};
/* Server-side when the whole of a clean source goes to the beginning of an empty target (in one or
 * several calls); else bytes through the spool. Bytes copied or -errno. */
ssize_t supafs_vfs_copy_range(struct supafs_vfs *v, struct supafs_call *call,
	const struct supafs_copy_range *r, struct supafs_fault *fault);

/* --- What is not at the server yet -------------------------------------------------------------
 */

struct supafs_pending {
	uint64_t id;       /* for the calls below: the node's */
	const char *path;  /* below the mount, as shown */
	const char *state; /* "open", "held", "queued", "uploading", "failed" */
	uint64_t size;
	int64_t since_ns; /* wall clock: first close that is not at the server */
	unsigned tries;   /* that failed */
	int error;        /* the last one's errno, positive; 0: none */
	const char *text; /* what the server said then */
};
/* Each file with content or attributes that the server has not. `fn` runs with no lock held; not 0
 * ends the walk with it. */
int supafs_vfs_pending(
	struct supafs_vfs *v, int (*fn)(void *ctx, const struct supafs_pending *p), void *ctx);
/* Failed and waiting uploads are tried now. id 0: all. The number of files, or -ENOENT. */
int supafs_vfs_retry(struct supafs_vfs *v, uint64_t id);
/* Gives up local bytes for good: the file is again what the server has, or is gone. -EBUSY while it
 * is open for writing or being sent; -ENOENT. */
int supafs_vfs_drop(struct supafs_vfs *v, struct supafs_call *call, uint64_t id);
/* Sends all that is closed and waits: gathered deletes, queued, failed (one new try each), not what
 * is open for writing or held. `progress` (may be NULL) is called about twice a second with what is
 * left. 0; -EIO when files are left that failed; -EINTR, -ETIMEDOUT. */
struct supafs_flush_state {
	uint64_t files, bytes; /* left */
	uint64_t done, failed;
};
int supafs_vfs_flush_all(struct supafs_vfs *v, struct supafs_call *call,
	void (*progress)(void *ctx, const struct supafs_flush_state *st), void *ctx,
	struct supafs_flush_state *ret);
/* Forgets what is cached of the server's, everywhere; the kernel is told. Local changes stay. */
void supafs_vfs_invalidate(struct supafs_vfs *v);

/* --- Extended attributes (docs/xattr.md) -------------------------------------------------------
 */

/* As getxattr(2): the length; size 0 asks for it; -ERANGE, -ENODATA. Names that never are here are
 * answered without a request. */
ssize_t supafs_vfs_getxattr(struct supafs_vfs *v, struct supafs_call *call, uint64_t node,
	struct supafs_str name, void *buf, size_t size, struct supafs_fault *fault);
ssize_t supafs_vfs_listxattr(struct supafs_vfs *v, struct supafs_call *call, uint64_t node,
	void *buf, size_t size, struct supafs_fault *fault);
/* flags: XATTR_CREATE, XATTR_REPLACE. -EOPNOTSUPP for a class that is not kept, -ENOSPC when it
 * does not fit, -EPERM for a name of ours that is only told. */
int supafs_vfs_setxattr(struct supafs_vfs *v, struct supafs_call *call, uint64_t node,
	struct supafs_str name, struct supafs_str value, int flags, struct supafs_fault *fault);
int supafs_vfs_removexattr(struct supafs_vfs *v, struct supafs_call *call, uint64_t node,
	struct supafs_str name, struct supafs_fault *fault);

/* The node's path below the mount as it is shown, for the log; "" for the root and for a node that
 * is not known. NUL-terminated, cut at `size`. */
void supafs_vfs_path(struct supafs_vfs *v, uint64_t node, char *out, size_t size);

struct supafs_vfs_stats {
	uint64_t nodes, handles, dirty, uploading, failed, gathered;
	uint64_t pending_bytes; /* of all that is not sent */
};
void supafs_vfs_stats(struct supafs_vfs *v, struct supafs_vfs_stats *ret);
