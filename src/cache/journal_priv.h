/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the journal share. */
#pragma once

#include "supafs/cache/journal.h"
#include "supafs/util/hash.h"
#include "supafs/util/lock.h"

/* "<uuid>.j<number>", its NUL included. */
#define SUPAFS_JOURNAL_NAME (SUPAFS_JOURNAL_ID + 2 + 20)

/* Which files an id has; at most one of each sort. */
struct supafs_journal_entry {
	char id[SUPAFS_JOURNAL_ID];
	uint64_t put, note; /* their numbers; 0: none */
	bool sealed;        /* an append left a torn end that could not be cut */
};

/* What open found and walk has not told yet. */
struct supafs_journal_found {
	char id[SUPAFS_JOURNAL_ID];
	uint64_t number;
	int rank; /* in this order: RENAME_DIR, CONTENT, the others */
	int64_t since_ns;
};

struct supafs_journal {
	struct supafs_spool_dir *dir; /* constant */

	struct supafs_mutex lock;           /* a leaf */
	struct supafs_map *ids;             /* lock; of struct supafs_journal_entry */
	uint64_t next;                      /* lock; the next file's number */
	struct supafs_journal_found *found; /* lock */
	size_t found_n, found_at;           /* lock */
};

bool supafs_journal_is_uuid(const char *text);
/* Name of a record's file; and the way back: false when `name` is none. */
void supafs_journal_file_name(const char *id, uint64_t number, char ret[SUPAFS_JOURNAL_NAME]);
bool supafs_journal_file_parse(
	const char *name, char ret_id[SUPAFS_JOURNAL_ID], uint64_t *ret_number);
/* Reads one record's file: a plain file of ours, parsed, and named by its id. `ret_buf` (an empty
 * one) has what the views point into. 0, -EBADMSG, -EPROTONOSUPPORT, -ENOMEM, -EMFILE, -EIO. */
int supafs_journal_read(struct supafs_spool_dir *d, const char *name, struct supafs_buf *ret_buf,
	struct supafs_journal_record *ret, struct supafs_range **ret_ranges);
/* Fills in an entry that open has found. */
int supafs_journal_add_id(struct supafs_journal *j, const char *id, uint64_t put, uint64_t note);
/* Forgets it again; its files' numbers (0: none). The files stay. */
void supafs_journal_drop_id(
	struct supafs_journal *j, const char *id, uint64_t *ret_put, uint64_t *ret_note);
/* Looks through the folder (journal_scan.c). */
int supafs_journal_scan(struct supafs_journal *j, unsigned *ret_lost);
