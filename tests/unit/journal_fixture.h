/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the journal share: a folder of their own, and records to put into it. */
#pragma once

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "supafs/cache/journal.h"
#include "supafs/util/cleanup.h"

#include "unit.h"

struct fx {
	char dir[64];
	struct supafs_spool_dir *spools;
	struct supafs_journal *j;
	unsigned lost; /* of the last open */
};

int setup(void **state);
int teardown(void **state);
void open_both(struct fx *x);
void close_both(struct fx *x);
/* As the next mount does. */
void reopen(struct fx *x);
/* Entries of DIR/folder whose names do not begin with a dot. */
unsigned count(const struct fx *x, const char *folder);
void empty_folders(struct fx *x);
void write_in(const struct fx *x, const char *name, const char *text);

/* --- Records -------------------------------------------------------------------------------------
 */

struct supafs_version a_version(void);
/* A new id, nothing else. */
struct supafs_journal_record small(enum supafs_journal_kind kind, const char *key);
struct supafs_journal_record reference(const char *key, int64_t since_ns);
/* With everything in it; `user` is to be ended by the caller. */
struct supafs_journal_record full(struct supafs_buf *user);
void format_to(const struct supafs_journal_record *rec, struct supafs_buf *out);
void add_delete(struct supafs_buf *b, const char *name);
unsigned count_deletes(struct supafs_str deletes);
/* For the walk: adds up deletes in *ctx. */
int count_in_walk(void *ctx, const struct supafs_journal_record *rec, struct supafs_spool *spool);

/* What the walk has told. */
struct told {
	unsigned n, stop_at;
	char keys[16][32];
	char text[16][64]; /* first bytes of the content */
};
int tell(void *ctx, const struct supafs_journal_record *rec, struct supafs_spool *spool);
struct told walk(struct fx *x);

struct supafs_spool *spool_of(struct fx *x, const char *text, uint64_t size);
/* Puts a content; the file stays as if the process had died. */
struct supafs_journal_record put(
	struct fx *x, const char *key, const char *text, uint64_t size, int64_t since_ns);
