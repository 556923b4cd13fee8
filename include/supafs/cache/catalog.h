/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The catalog: what is known of every folder – cached listings, single entries, and the
 * overlay of local changes – and one merged view of them (design.md §2).
 *
 * A folder is named by its key prefix ("" = root of the mount's prefix, else "a/b/", as stored).
 * What is known of one name in it is an entry with a sequence number:
 *
 *	pending change   made here, not confirmed       wins over everything
 *	acked change     confirmed at sequence a         wins over what was *asked for* before a
 *	looked-up entry  (or "absent") asked at s        wins over older ones
 *	listing          first page asked at s           answers for every name, "absent" included
 *
 * A global counter gives the numbers; asking takes s before the request is sent, acking takes a
 * after the reply. Storing a listing drops changes with a ≤ s. So a listing that began before an
 * upload was acknowledged can neither hide a new file nor bring a deleted one back. What is older
 * than the ttl answers nothing (pending changes never expire); readdir and lookup answer from this
 * same view: a name is in both or in neither.
 *
 * Names: entries carry the shown name and the stored segment (util/name.h). Odd keys
 * have one documented answer each (docs/names.md):
 *	placeholder `d/.emptyFolderPlaceholder`, marker object `d/`    hidden, keep the folder
 *	file `a` beside folder `a/…`       the file shows as `a`, the folder as `a=2F`
 *	empty segment (`w//x`)             a folder shown as `=2F`
 *	segments "." and ".."              shown as `=2E`, `=2E=2E`
 *	segment that no name has (a byte out of the class, `x=2F`)   shown raw if that is a
 *	                                                             legal name, else hidden
 *	                                                             and counted
 * When such a shown name is taken by an ordinary one, "=2F" is appended until it is free. Odd
 * entries come behind the ordinary ones in a directory. A look-up of a name that may be an odd
 * one walks the folder; `a=2F` finds the folder `a/` also when no file `a` is beside it.
 *
 * Inode numbers rise in listing order, are stable while a name stays known, and are never used
 * again for another name.
 *
 * Memory: ≤ ~120 bytes an entry with its name; listings are dropped oldest first above
 * `memory` bytes (never one that a directory handle reads; overlay changes are never dropped).
 *
 * Threads: any. Lock: the catalog's (rank "namespace" in docs/locking.md); never held over a
 *request. Two threads that need the same listing wait for one request.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "supafs/store/store.h"

struct supafs_catalog;
struct supafs_dir;

struct supafs_attr {
	bool folder;
	uint64_t ino;
	struct supafs_version version; /* files */
	int64_t modified_ns;           /* blob time, else updated_at; folders: newest known or 0 */
	struct supafs_meta meta;
};

struct supafs_dirent {
	size_t name_n, seg_n;
	char name[SUPAFS_NAME_MAX + 1]; /* shown; NUL-terminated */
	char seg[SUPAFS_SEG_MAX + 1];   /* stored, without '/'; NUL-terminated; may be "" (odd) */
	struct supafs_attr attr;
};

struct supafs_catalog_config {
	struct supafs_store *store; /* borrowed */
	const struct supafs_clock *clock;
	struct supafs_str root; /* "" or "p/": put before every prefix; copied */
	uint64_t ttl_ms;        /* 0: nothing cached answers (pending changes excepted) */
	size_t memory;          /* bytes of listings */
};
int supafs_catalog_new(const struct supafs_catalog_config *cfg, struct supafs_catalog **ret_cat);
struct supafs_catalog *supafs_catalog_free(struct supafs_catalog *c);

/* --- The view --------------------------------------------------------------------------------- */

/* One name. No request if the view knows it freshly; else one list request by exact prefix
 * (API §14, limit ~50), whose neighbours are kept. 0, -ENOENT, -ENAMETOOLONG (cannot exist), or the
 * store's error. `fresh`: ask even if a cached answer is there (open with -o ttl=0, ESTALE). */
int supafs_catalog_lookup(struct supafs_catalog *c, struct supafs_call *call,
	struct supafs_str prefix, struct supafs_str name, bool fresh, struct supafs_dirent *ret_ent,
	struct supafs_fault *fault);

/* What the view says of one name, however old that is; never asks. */
enum supafs_peek {
	SUPAFS_PEEK_UNKNOWN,
	SUPAFS_PEEK_ABSENT,
	SUPAFS_PEEK_PRESENT, /* *ret_ent is filled */
};
enum supafs_peek supafs_catalog_peek(struct supafs_catalog *c, struct supafs_str prefix,
	struct supafs_str name, struct supafs_dirent *ret_ent);

/* A directory handle: a stable walk over the view as of the first next(). Listed entries come
 * first, page by page as they arrive (the first page is enough to start; the next one is asked for
 * ahead), then what only the overlay has. A listing that is complete and fresh costs no request;
 * else one walk of list pages, whose complete result is stored. No errors at open. */
int supafs_dir_open(
	struct supafs_catalog *c, struct supafs_str prefix, struct supafs_dir **ret_dir);
struct supafs_dir *supafs_dir_free(struct supafs_dir *d);
/* The entry at offset *off (0 = first), and moves *off to the next one's. 1: an entry, 0: the end,
 * or -errno (the same offset may be asked again). Offsets stay good for the life of the handle,
 * whatever is created or deleted meanwhile; going back is fine. One thread at a time a handle.
 * An entry deleted here since is skipped. "." and ".." are the caller's. */
int supafs_dir_next(struct supafs_dir *d, struct supafs_call *call, uint64_t *off,
	struct supafs_dirent *ret_ent, struct supafs_fault *fault);

/* Does the server have anything in it but placeholder and marker? Always asks (1 list request, or
 * pages while only pending deletions are seen). *ret_empty; *ret_placeholder, *ret_marker: present.
 */
int supafs_catalog_is_empty(struct supafs_catalog *c, struct supafs_call *call,
	struct supafs_str prefix, bool *ret_empty, bool *ret_placeholder, bool *ret_marker,
	struct supafs_fault *fault);

/* Is a complete, fresh listing there? And how many entries does the view then have; does it have a
 * placeholder or marker? False if not known. */
bool supafs_catalog_count(struct supafs_catalog *c, struct supafs_str prefix, uint64_t *ret_entries,
	bool *ret_keeper);

/* --- Changes made here ------------------------------------------------------------------------ */

struct supafs_change {
	struct supafs_str prefix, seg; /* as stored */
	struct supafs_str name;        /* shown */
	bool present;                  /* false: removed */
	struct supafs_attr attr;       /* when present; ino 0: one is given */
};

/* Puts a pending change; replaces a pending one of the same name. *ret_id names it for
 * ack/undo: an id that was replaced by a later change is ignored there. 0 or -ENOMEM. */
int supafs_catalog_change(
	struct supafs_catalog *c, const struct supafs_change *ch, uint64_t *ret_id);
/* Confirmed by the server. `attr` (may be NULL) replaces the change's attributes. */
void supafs_catalog_ack(struct supafs_catalog *c, struct supafs_str prefix, struct supafs_str seg,
	uint64_t id, const struct supafs_attr *attr);
/* Did not happen: the name is unknown again (next look-up asks, and so does a directory handle
 * that comes to it). */
void supafs_catalog_undo(
	struct supafs_catalog *c, struct supafs_str prefix, struct supafs_str seg, uint64_t id);
/* The placeholder of `prefix` was made or removed here. */
void supafs_catalog_keeper(struct supafs_catalog *c, struct supafs_str prefix, bool present);

/* From now on, fn(ctx, prefix, meta) is told what a folder's placeholder carries (in its
 * directives) whenever one is listed that was asked for after the last _keeper(). `prefix` is the
 * whole one, with the mount's root. Called under the catalog's lock: it must only take note. NULL:
 * nobody is told. Before the first operation and after the last. */
void supafs_catalog_on_placeholder(struct supafs_catalog *c,
	void (*fn)(void *ctx, struct supafs_str prefix, const struct supafs_meta *meta), void *ctx);

/* Forgets what is cached (not pending) of one name / of a folder / of it and all below. */
void supafs_catalog_forget(
	struct supafs_catalog *c, struct supafs_str prefix, struct supafs_str seg);
void supafs_catalog_drop(struct supafs_catalog *c, struct supafs_str prefix, bool below);
/* A folder made here, known to be empty: its complete listing is "nothing" (as of now). */
int supafs_catalog_born(struct supafs_catalog *c, struct supafs_str prefix);

/* A number for a node that the view does not know. */
uint64_t supafs_catalog_ino(struct supafs_catalog *c);

struct supafs_catalog_stats {
	size_t listings, entries, bytes, changes;
	uint64_t hidden; /* keys that could not be shown */
};
void supafs_catalog_stats(struct supafs_catalog *c, struct supafs_catalog_stats *ret);
