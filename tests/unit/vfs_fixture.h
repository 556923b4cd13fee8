/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of the vfs share: the whole stack over the memory store, with faults and counted
 * requests, and short forms of the operations.
 *
 *	vfs ─ catalog, data, spool ─ stats ─ faulty ─ memory
 *
 * "The other client" writes to the memory store directly: it is not counted.
 */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "supafs/util/cleanup.h"
#include "supafs/vfs/vfs.h"

#include "unit.h"

#define FX_TTL_MS 5000

struct fx_config {
	uint64_t ttl_ms;     /* UINT64_MAX: FX_TTL_MS */
	uint64_t size_limit; /* 0: none */
	const char *mimes;   /* allowed types; NULL: all */
	const char *temp;    /* NULL: the default patterns; "": none */
	const char *root;    /* NULL: "" */
	bool real_clock, strict, no_rename_dir, read_only, no_meta, trusted, meta_info;
	bool journal, writeback; /* what an earlier stack promised is taken up at each start */
	unsigned uploads;
	size_t rename_portion;
	uint64_t poll_ms; /* 0: off */
	/* A layer of the test's own over the counting one, which it owns; NULL: none. */
	struct supafs_store *(*wrap)(struct supafs_store *inner);
};

struct fx {
	struct fx_config cfg;
	struct supafs_fake_clock fake;
	const struct supafs_clock *clock;
	struct supafs_store *memory, *faulty, *stats;
	struct supafs_store *top; /* what the vfs sees: `stats`, or the test's layer */
	struct supafs_catalog *catalog;
	struct supafs_data *data;
	struct supafs_spool_dir *spool;
	struct supafs_journal *journal;
	unsigned lost, replayed; /* of the last start */
	struct supafs_bucket_info bucket;
	struct supafs_vfs *v;
	struct supafs_call call;
	struct supafs_fault fault;
	struct supafs_op_stats mark[SUPAFS_OP__COUNT];
	char dir[64];
	char text[65536]; /* of fx_cat and fx_ls */
};

struct fx *fx_new(const struct fx_config *cfg);
/* Ends all; the number of files that were left. */
unsigned fx_free(struct fx *x);
/* Unmounts and mounts again over the same server. */
unsigned fx_remount(struct fx *x);
/* The same as after SIGKILL, as far as one process can: nothing is sent, asked or written. What is
 * open is lost. `cfg` (may be NULL): other options from then on, but for clock and layer. */
void fx_crash(struct fx *x, const struct fx_config *cfg);
void fx_advance_ms(struct fx *x, int64_t ms);

/* --- Requests ------------------------------------------------------------------------------------
 */

void fx_mark(struct fx *x);
/* Since the mark. */
uint64_t fx_count(struct fx *x, enum supafs_op op);
uint64_t fx_bytes(struct fx *x, enum supafs_op op);
uint64_t fx_all(struct fx *x);
/* The next `times` operations of a kind fail, after `skip`. */
void fx_fail(struct fx *x, enum supafs_op op, unsigned skip, unsigned times, int error);

/* --- The other client
 * ----------------------------------------------------------------------------- */

void fx_server_put(struct fx *x, const char *key, const char *text);
void fx_server_put_bytes(struct fx *x, const char *key, const void *p, size_t n);
void fx_server_remove(struct fx *x, const char *key);
bool fx_server_has(struct fx *x, const char *key);
/* Its text, "" if empty; NULL if absent. In x->text. */
const char *fx_server_text(struct fx *x, const char *key);
int fx_server_info(struct fx *x, const char *key, struct supafs_info *ret);

/* --- Operations: 0 or -errno
 * ----------------------------------------------------------------------- */

/* By path from the root, like the kernel: look-ups, then forgets all but the last. */
int fx_path(struct fx *x, const char *path, uint64_t *ret_node);
int fx_stat(struct fx *x, const char *path, struct stat *ret);
int fx_create(struct fx *x, const char *path, int flags, uint64_t *ret_fh);
int fx_open(struct fx *x, const char *path, int flags, uint64_t *ret_fh);
int fx_write(struct fx *x, uint64_t fh, const char *text, uint64_t off);
/* Reads `n` at `off` and compares. */
void fx_expect(struct fx *x, uint64_t fh, uint64_t off, const char *text);
ssize_t fx_read(struct fx *x, uint64_t fh, void *buf, size_t n, uint64_t off);
int fx_flush(struct fx *x, uint64_t fh);
int fx_close(struct fx *x, uint64_t fh);                       /* flush and release */
int fx_save(struct fx *x, const char *path, const char *text); /* create or cut, write, close */
/* Its text through the vfs, in x->text; "!ERRNO-NAME" when it cannot be read. */
const char *fx_cat(struct fx *x, const char *path);
int fx_unlink(struct fx *x, const char *path, pid_t process);
int fx_mkdir(struct fx *x, const char *path);
int fx_rmdir(struct fx *x, const char *path);
int fx_rename(struct fx *x, const char *from, const char *to, unsigned flags);
int fx_truncate(struct fx *x, const char *path, uint64_t size);
/* Names by readdir, sorted, joined by ' ', folders with '/'; in x->text. */
const char *fx_ls(struct fx *x, const char *path);
/* Waits until nothing is dirty, uploading or gathered; fails after 20 s. */
void fx_quiet(struct fx *x);
