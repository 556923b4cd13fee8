/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal: what this machine has promised and the server has not yet. It survives the process
 * (SIGKILL) always, and the machine as far as its disk keeps what was fsynced. docs/journal.md has
 * the format and the order of steps.
 *
 * Records live in the spool's folder, one small file each, named by a random id and never patched:
 * a new one is written beside the old and renamed over it. Kinds:
 *
 *	CONTENT      a spool file, and the object that it is to become
 *	REPLACE      a copy over an existing object, after which the source is to go
 *	RENAME_DIR   a folder's rename, half done
 *	DELETE       names that were acknowledged as deleted, the request not yet answered
 *
 * A record that is torn, of another version, or names a spool file that is not there, is moved to
 * lost+found with its spool file, and counted. A spool file without a record goes there too.
 *
 * Threads: every call from any thread; the lock inside is a leaf that is not held over I/O on
 * content. Two records of one id: the later call wins.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "supafs/cache/spool.h"
#include "supafs/store/store.h"
#include "supafs/util/buf.h"

#define SUPAFS_JOURNAL_ID 37 /* text of a UUID, with its NUL */

enum supafs_journal_kind {
	SUPAFS_JOURNAL_CONTENT = 1,
	SUPAFS_JOURNAL_REPLACE,
	SUPAFS_JOURNAL_RENAME_DIR,
	SUPAFS_JOURNAL_DELETE,
};

enum {
	SUPAFS_JOURNAL_HELD = 1 << 0,         /* a temporary name: sent when renamed or unmounted */
	SUPAFS_JOURNAL_FAILED = 1 << 1,       /* tried and refused, see `error` */
	SUPAFS_JOURNAL_EXCLUSIVE = 1 << 2,    /* the first upload must find nothing */
	SUPAFS_JOURNAL_REMOTE = 1 << 3,       /* the server has an object under the key */
	SUPAFS_JOURNAL_MAYBE_REMOTE = 1 << 4, /* an upload had no answer */
	SUPAFS_JOURNAL_SENT = 1 << 5, /* an upload with `nonce` was begun: look before sending */
	SUPAFS_JOURNAL_REFERENCE = 1 << 6, /* no spool: the content is object `from` at `base` */
};

/* Strings are views: of the caller's for put, of the record's buffer for the walk. */
struct supafs_journal_record {
	enum supafs_journal_kind kind;
	unsigned flags;
	char id[SUPAFS_JOURNAL_ID];
	struct supafs_str key;  /* whole key; REPLACE, RENAME_DIR: where to */
	struct supafs_str from; /* REPLACE, RENAME_DIR: where from; CONTENT: of a reference */
	struct supafs_version
		base;            /* CONTENT: what the missing bytes are of; REPLACE: the source */
	struct supafs_meta meta; /* CONTENT */
	struct supafs_str mime;  /* CONTENT; "" = by name */
	struct supafs_str cache_control; /* CONTENT; "" = the mount's */
	struct supafs_str user;          /* CONTENT: user metadata, in the form of util/pairs.h */
	struct supafs_str nonce;         /* CONTENT: of the upload that was begun last, or "" */
	struct supafs_str upload;        /* CONTENT: resumable upload: supafs_resume.id, or "" */
	struct supafs_str deletes;       /* DELETE: keys and versions, see docs/journal.md */
	struct supafs_spool_map map;     /* CONTENT without REFERENCE */
	uint64_t reference_n;            /* CONTENT with REFERENCE: bytes of it */
	int64_t since_ns;                /* wall clock: when it was closed first */
	unsigned tries;                  /* uploads that failed */
	int error;                       /* the last one's errno, positive; 0: none */
	struct supafs_str text;          /* what the server said then, for people */
};

/* Parses one record file: hostile input. 0, or -EBADMSG (torn, not ours), -EPROTONOSUPPORT (a
 * version we do not know). Views point into `p`; map.ranges into a new array of *ret_ranges that
 * the caller frees. */
int supafs_journal_parse(
	struct supafs_str p, struct supafs_journal_record *ret, struct supafs_range **ret_ranges);
/* The other way; a bounded buffer of the caller's. */
int supafs_journal_format(const struct supafs_journal_record *rec, struct supafs_buf *out);

struct supafs_journal;

/* `d` must outlive it. Reads what is there: *ret_lost counts the files that went to lost+found.
 * 0, -ENOMEM, -EIO, -ENOSPC. */
int supafs_journal_open(
	struct supafs_spool_dir *d, struct supafs_journal **ret, unsigned *ret_lost);
struct supafs_journal *supafs_journal_free(struct supafs_journal *j);

/* Whole records that were found at open, oldest `since_ns` first, once each. CONTENT comes with its
 * spool opened (the callback owns it; NULL for a REFERENCE). Not 0 from the callback ends the walk
 * with it; what was not visited stays for the next mount. */
int supafs_journal_walk(struct supafs_journal *j,
	int (*fn)(void *ctx, const struct supafs_journal_record *rec, struct supafs_spool *spool),
	void *ctx);
unsigned supafs_journal_found(const struct supafs_journal *j);

void supafs_journal_new_id(char ret_id[SUPAFS_JOURNAL_ID]);
/* Durable when it returns 0 (file and folder are synced; the spool's bytes are the caller's to sync
 * first: supafs_spool_sync()). -ENOSPC, -EDQUOT, -EIO: then the older record of that id, if any,
 * stands. */
int supafs_journal_put(struct supafs_journal *j, const struct supafs_journal_record *rec);
/* The same without any fsync: survives the process, not a power cut. For notes that only save work
 * (tries, upload URL, SENT) and for deletes. */
int supafs_journal_note(struct supafs_journal *j, const struct supafs_journal_record *rec);
/* 0 also when there is none. Not synced: a record that comes back after a power cut is looked at
 * before it is sent (nonce). */
int supafs_journal_remove(struct supafs_journal *j, const char *id);
