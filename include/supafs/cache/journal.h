/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal: what this machine has promised and the server has not yet. It survives the process
 * (SIGKILL) always, and the machine as far as its disk keeps what was fsynced. docs/journal.md has
 * the format, the order of steps and what a crash between each leaves.
 *
 * Records live in the spool's folder, one small file each, named by a random id and a number that
 * rises, and are never patched: a new one is written beside the old, and the highest whole one of
 * an id counts. So a record that was not synced (note) never takes the place of one that was (put).
 * Kinds:
 *
 *	CONTENT      a spool file, and the object that it is to become
 *	REPLACE      a copy over an existing object, after which the source is to go
 *	RENAME_DIR   a folder's rename, half done
 *	DELETE       names that were acknowledged as deleted, the request not yet answered
 *
 * At the next open, a record that is torn, of another version, or names a spool file that is not
 * there, is moved to lost+found, and so is a spool file that no whole record names.
 *
 * Threads: every call from any thread; the lock inside is a leaf that is not held over I/O. Of two
 * records of one id the later call wins; a call that races with the removal of its id is the
 * caller's mistake.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "supafs/cache/spool.h"
#include "supafs/store/store.h"
#include "supafs/util/buf.h"

#define SUPAFS_JOURNAL_ID         37 /* text of a UUID, with its NUL */
#define SUPAFS_JOURNAL_TEXT_MAX   400
#define SUPAFS_JOURNAL_INLINE_MAX (64U << 10) /* most bytes of a content inside its record */
#define SUPAFS_JOURNAL_MAX        (18U << 20) /* bytes of one record: 2^20 ranges fit */

enum supafs_journal_kind {
	SUPAFS_JOURNAL_CONTENT = 1,
	SUPAFS_JOURNAL_REPLACE,
	SUPAFS_JOURNAL_RENAME_DIR,
	SUPAFS_JOURNAL_DELETE,
	SUPAFS_JOURNAL_EXCHANGE,
};

enum {
	SUPAFS_JOURNAL_HELD = 1 << 0,         /* a temporary name: sent when renamed or unmounted */
	SUPAFS_JOURNAL_FAILED = 1 << 1,       /* tried and refused, see `error` */
	SUPAFS_JOURNAL_EXCLUSIVE = 1 << 2,    /* the first upload must find nothing */
	SUPAFS_JOURNAL_REMOTE = 1 << 3,       /* the server has an object under the key */
	SUPAFS_JOURNAL_MAYBE_REMOTE = 1 << 4, /* an upload had no answer */
	/* An upload with `nonce` was begun: look before sending. REPLACE: the copy is done and
	 * told, nobody is to see the source any more. */
	SUPAFS_JOURNAL_SENT = 1 << 5,
	SUPAFS_JOURNAL_REFERENCE = 1 << 6, /* no spool: the content is object `from` at `base` */
	SUPAFS_JOURNAL_UPLOADED = 1 << 7,  /* REPLACE: by an upload with `nonce`, not by a copy */
	SUPAFS_JOURNAL_FLAGS = 255,
};

/* Strings are views: of the caller's for put, of the record's buffer for the walk. What a kind does
 * not use is zero or "": a record that has it is refused. */
struct supafs_journal_record {
	enum supafs_journal_kind kind;
	unsigned flags;
	char id[SUPAFS_JOURNAL_ID];
	struct supafs_str key; /* whole key; REPLACE, RENAME_DIR, EXCHANGE: where to; DELETE: the
				  folder's prefix */
	struct supafs_str
		from; /* REPLACE, RENAME_DIR, EXCHANGE: where from; CONTENT: of a reference */
	struct supafs_version
		base;            /* CONTENT: what the missing bytes are of; REPLACE: the source */
	struct supafs_meta meta; /* CONTENT */
	struct supafs_str mime;  /* CONTENT; "" = by name */
	struct supafs_str cache_control; /* CONTENT; "" = the mount's */
	struct supafs_str user;          /* CONTENT: user metadata, in the form of util/pairs.h */
	struct supafs_str nonce;   /* CONTENT: of the upload that was begun last; REPLACE; or "" */
	struct supafs_str upload;  /* CONTENT: resumable upload: supafs_resume.id, or "" */
	struct supafs_str deletes; /* DELETE: see supafs_journal_delete_next() */
	struct supafs_spool_map map; /* CONTENT without REFERENCE */
	/* CONTENT whose bytes are all here and few: the bytes themselves, `inlined`; then the spool
	 * file need not outlive the process. */
	bool inlined;
	struct supafs_str data;
	uint64_t reference_n;   /* CONTENT with REFERENCE: bytes of it */
	int64_t since_ns;       /* wall clock: when it was closed first */
	unsigned tries;         /* uploads that failed */
	int error;              /* the last one's errno, positive; 0: none */
	struct supafs_str text; /* what the server said then, for people */
};

/* Parses one record file: hostile input. 0, or -EBADMSG (torn, not ours), -EPROTONOSUPPORT (a
 * version we do not know), -ENOMEM. Views point into `p`; map.ranges into a new array of
 * *ret_ranges that the caller frees. Deletes behind a torn one are cut off: they were never
 * acknowledged. */
int supafs_journal_parse(
	struct supafs_str p, struct supafs_journal_record *ret, struct supafs_range **ret_ranges);
/* The other way; a bounded buffer of the caller's. 0, -EINVAL for what parse would refuse,
 * -EMSGSIZE, -ENOMEM. */
int supafs_journal_format(const struct supafs_journal_record *rec, struct supafs_buf *out);

/* One name in `deletes`. */
struct supafs_journal_delete {
	struct supafs_str seg, name;   /* stored, shown */
	struct supafs_version version; /* only this is removed */
	int64_t mtime_ns;              /* as stored with the object; 0: not known */
};
/* Appends one, with a checksum of its own. 0, -EINVAL, or the buffer's error. */
int supafs_journal_delete_add(struct supafs_buf *deletes, const struct supafs_journal_delete *d);
/* The one at *pos (0 at first), which moves on. False at the end, or where one is torn. */
bool supafs_journal_delete_next(
	struct supafs_str deletes, size_t *pos, struct supafs_journal_delete *ret);

struct supafs_journal;

/* `d` must outlive it, and no spool may have been made yet. Reads what is there: *ret_lost counts
 * the files that went to lost+found. 0, -ENOMEM, -EIO, -ENOSPC. */
int supafs_journal_open(
	struct supafs_spool_dir *d, struct supafs_journal **ret, unsigned *ret_lost);
struct supafs_journal *supafs_journal_free(struct supafs_journal *j);

/* Whole records that were found at open, once each: RENAME_DIR first, as they tell where the keys
 * of the others are now, then CONTENT, then what is to go, then EXCHANGE; within each the oldest
 * `since_ns` first. CONTENT comes with its spool opened (the callback owns it; NULL for a
 * REFERENCE), kept when freed. Not 0 from the callback ends the walk with it; what was not visited
 * stays for the next mount, or for the next walk. */
int supafs_journal_walk(struct supafs_journal *j,
	int (*fn)(void *ctx, const struct supafs_journal_record *rec, struct supafs_spool *spool),
	void *ctx);
/* How many are not visited yet. */
unsigned supafs_journal_found(const struct supafs_journal *j);

void supafs_journal_new_id(char ret_id[SUPAFS_JOURNAL_ID]);
/* Durable when it returns 0 (file and folder are synced; the spool's bytes are the caller's to sync
 * first: supafs_spool_sync()). -ENOSPC, -EDQUOT, -EIO, -EINVAL, -ENOMEM: then the older record of
 * that id, if any, stands. */
int supafs_journal_put(struct supafs_journal *j, const struct supafs_journal_record *rec);
/* The same for a CONTENT and its spool: `map`, `inlined` and `data` of `rec` are taken from `s`;
 * syncs its file, or puts the bytes into the record when they are few (one sync then, not two).
 * Nobody may change the spool meanwhile. */
int supafs_journal_put_spool(
	struct supafs_journal *j, const struct supafs_journal_record *rec, struct supafs_spool *s);
/* Without any fsync: survives the process, not a power cut, after which the last put of that id
 * stands. For what only saves work (tries, upload URL, SENT) and for deletes; never the first to
 * name a spool file. */
int supafs_journal_note(struct supafs_journal *j, const struct supafs_journal_record *rec);
/* The same for a CONTENT and its spool. */
int supafs_journal_note_spool(
	struct supafs_journal *j, const struct supafs_journal_record *rec, struct supafs_spool *s);
/* More deletes (supafs_journal_delete_add()) to the DELETE record that was noted last under `id`,
 * by one write. -ENOENT, -ENOSPC, -EDQUOT, -EIO: then none of them is there. */
int supafs_journal_append(struct supafs_journal *j, const char *id, struct supafs_str deletes);
/* 0 also when there is none. Not synced: a record that comes back after a power cut is looked at
 * before it is carried out (nonce, version). */
int supafs_journal_remove(struct supafs_journal *j, const char *id);
/* What was removed so far stays so, also after a power cut. */
int supafs_journal_sync(struct supafs_journal *j);
