/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Spool files: the local content of dirty nodes, one file a node, in the cache folder.
 *
 * A spool starts over a base: the object's version that was there when the first write
 * came, `base_size` bytes long (0 after O_TRUNC or for a new file). It knows which bytes
 * are really local. For each offset below size():
 *
 *	local            written, filled, zeroed: read it from the file
 *	missing          below base_limit and not local: must be fetched from the base first
 *	hole             everything else: reads as zeros, nothing to fetch
 *
 * base_limit starts at base_size and only shrinks (truncate), so a file cut and grown again
 * has zeros there. Invariants, asserted by the walker of debug builds: local ranges are
 * sorted, disjoint, not adjacent, inside [0, size); base_limit ≤ base_size, ≤ size at the
 * time it was last cut.
 *
 * Files have random names, mode 0600; the folder is 0700 (supafs_dir_private). A spool file
 * is taken away when its spool is freed unless supafs_spool_keep() was called (a few empty ones are
 * kept for the next spools, under names that no start mistakes for content).
 *
 * Threads: all calls from any thread; the map has its own leaf lock, file I/O runs outside of
 * it. Order between a write and a concurrent upload is the caller's state machine (vfs/content).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define SUPAFS_SPOOL_NAME 37 /* text of a UUID, with its NUL */

struct supafs_spool_dir;
struct supafs_spool;

/* Opens DIR/spool (made if absent), takes its lock: -EBUSY when another process has it. What a
 * dead process left stays for supafs_journal_open(), which is to follow. 0 or -errno. */
int supafs_spool_dir_open(const char *dir, struct supafs_spool_dir **ret_dir);
/* All its spools must be gone. NULL is fine; returns NULL. */
struct supafs_spool_dir *supafs_spool_dir_free(struct supafs_spool_dir *d);
/* Bytes free to us on its disk. */
uint64_t supafs_spool_dir_room(const struct supafs_spool_dir *d);

/* At most so many of its files stay open while nobody is inside them (from the start: a part of the
 * process's limit then), so that the number of spools has no bound but the disk. */
void supafs_spool_dir_descriptors(struct supafs_spool_dir *d, unsigned max);
/* How many are open. */
unsigned supafs_spool_dir_open_now(struct supafs_spool_dir *d);

/* 0, -ENOSPC, -EMFILE, -ENOMEM. */
int supafs_spool_new(
	struct supafs_spool_dir *d, uint64_t base_size, struct supafs_spool **ret_spool);
struct supafs_spool *supafs_spool_free(struct supafs_spool *s);

uint64_t supafs_spool_size(struct supafs_spool *s);
/* True when no byte is missing. */
bool supafs_spool_complete(struct supafs_spool *s);

/* First missing range at or behind `off`, inside [off, off + n): true and the range, or false. */
bool supafs_spool_missing(
	struct supafs_spool *s, uint64_t off, uint64_t n, uint64_t *ret_off, uint64_t *ret_n);

/* Reads at most up to size(); bytes read, 0 at the end, -ENODATA if any byte is missing, -EIO. */
ssize_t supafs_spool_pread(struct supafs_spool *s, void *buf, size_t n, uint64_t off);
/* Writes all; size() grows. 0, -ENOSPC, -EFBIG, -EIO: then nothing is acknowledged. */
int supafs_spool_pwrite(struct supafs_spool *s, const void *buf, size_t n, uint64_t off);
/* Base bytes arriving: written only where still missing, so a fill that races with a local write
 * never wins. */
int supafs_spool_fill(struct supafs_spool *s, const void *buf, size_t n, uint64_t off);
/* Shorter: cuts, base_limit follows. Longer: a hole. */
int supafs_spool_truncate(struct supafs_spool *s, uint64_t size);
/* Zeros [off, off+n) as a hole; may extend size() if `extend`. */
int supafs_spool_zero(struct supafs_spool *s, uint64_t off, uint64_t n, bool extend);
/* SEEK_DATA / SEEK_HOLE over local, missing (data) and holes. -ENXIO as lseek(2). */
int supafs_spool_seek(struct supafs_spool *s, uint64_t off, bool hole, uint64_t *ret_off);
/* The file's bytes are on disk when it returns 0; its name is only once the folder is synced too
 * (supafs_journal_put()). */
int supafs_spool_sync(struct supafs_spool *s);
/* The file stays on disk when freed: a record of the journal names it, or its upload failed for
 * good. `keep` false takes that back. */
void supafs_spool_keep(struct supafs_spool *s, bool keep);
const char *supafs_spool_name(const struct supafs_spool *s);

/* --- For the journal ----------------------------------------------------------------------------
 */

struct supafs_range {
	uint64_t from, to; /* [from, to) */
};

/* What a record keeps of a spool: enough to open the file again and know each byte's kind. */
struct supafs_spool_map {
	char name[SUPAFS_SPOOL_NAME];
	uint64_t size, base_size, base_limit;
	const struct supafs_range *ranges; /* local ones; sorted, disjoint */
	size_t n;
};
/* A copy of the map as it is now; *ret_ranges (= ret->ranges, never NULL) is the caller's to free.
 */
int supafs_spool_map(
	struct supafs_spool *s, struct supafs_spool_map *ret, struct supafs_range **ret_ranges);
/* Opens what an earlier process left: the file must be there, a plain file of ours (0600, one
 * name), at least as long as its last local byte; what is behind `map->size` is cut off. It is kept
 * when freed, until told otherwise. -ENOENT, -EBADMSG, -EMFILE, -ENOMEM, -EIO. */
int supafs_spool_reopen(struct supafs_spool_dir *d, const struct supafs_spool_map *map,
	struct supafs_spool **ret_spool);
/* A second spool with the same content and map, in a file of its own (shared blocks where the
 * filesystem can: FICLONE), so that `s` stays as the journal promised it. Not kept when freed.
 * Fills and changes of `s` wait meanwhile. -ENOSPC, -EIO, -EMFILE, -ENOMEM. */
int supafs_spool_clone(struct supafs_spool *s, struct supafs_spool **ret_spool);
