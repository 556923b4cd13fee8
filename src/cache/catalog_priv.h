/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of the catalog. One lock, `catalog.lock`, protects every structure here; what a function
 * named *_locked needs is that lock. It is never held over a request: who asks marks the folder as
 * used (folder.users), so that it stays, releases the lock, and takes it again for the answer.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "supafs/cache/catalog.h"
#include "supafs/util/clock.h"
#include "supafs/util/hash.h"
#include "supafs/util/list.h"
#include "supafs/util/lock.h"
#include "supafs/util/pool.h"

#include "listing.h"

/* What is known of one name; the states and who wins stand in overlay.c. */
enum rec_state {
	REC_PENDING,
	REC_ACKED,
	REC_LOOKED,
	REC_UNKNOWN,
};

struct rec {
	uint64_t seq; /* acked, asked or forgotten at */
	uint64_t id;  /* of the pending change, else 0 */
	int64_t expires_ns;
	enum rec_state state;
	bool present;
	bool has_attr;      /* also of an unknown one: its inode number is kept */
	bool odd;           /* the name is not the segment's own */
	bool was_folder;    /* what is removed here was known as a folder */
	signed char weight; /* what it adds to the listing's count of names */
	unsigned char seg_n, name_n;
	unsigned short blob_n;
	unsigned char *blob; /* segment, packed attributes */
	char name[];
};

struct folder {
	struct supafs_list lru;
	char *text;
	struct supafs_str prefix; /* of text */
	struct listing *list;     /* newest complete one, or NULL */
	struct walk *walk;        /* newest one in progress, or NULL; borrowed */
	struct supafs_map *recs;  /* by name */
	struct supafs_list flights;
	uint64_t floor;      /* what was asked for up to here is not kept */
	uint64_t keeper_seq; /* 0: never changed here */
	bool keeper;
	unsigned users;          /* handles, walks, look-ups under way */
	unsigned misses;         /* look-ups that had to ask, since: */
	int64_t misses_since_ns; /* see many_misses_locked() */
	size_t odd_recs;
	int64_t weight; /* of all records; means nothing without a listing */
	size_t bytes;   /* itself and its records */
};

/* A look-up under way; others that want the name wait for it. */
struct flight {
	struct supafs_list link;
	struct supafs_str name;
	unsigned refs;
	bool done;
	int error;
	struct supafs_fault fault;
};

#define WALK_KEY_MAX 2048 /* longer keys are hidden anyway */

/* States of a walk in walk.c. */
struct walk {
	struct supafs_list link; /* catalog.walks */
	unsigned refs, readers;
	struct folder *f;
	struct listing *l;
	struct supafs_cursor cursor;
	bool fetching, done, stale, ahead_queued, ahead_failed, too_large;
	int error;           /* for good */
	int64_t fresh_until; /* partial answers are good until then */
	size_t position;     /* the furthest reader's */
	unsigned empties, blanks;
	struct supafs_call *ahead; /* of the page that is fetched ahead; NULL if none */
	size_t last_n;             /* key of the last entry */
	char last[WALK_KEY_MAX];
};

struct supafs_catalog {
	struct supafs_store *store;       /* borrowed */
	const struct supafs_clock *clock; /* borrowed */
	char *root;                       /* set once, like the three below */
	size_t root_n;
	int64_t ttl_ns;
	size_t memory;
	struct supafs_pool *pool; /* pages ahead */
	void (*on_placeholder)(void *ctx, struct supafs_str prefix, const struct supafs_meta *meta);
	void *placeholder_ctx;

	struct supafs_mutex lock; /* all below */
	uint64_t seq, ids, inos;
	struct supafs_map *folders;
	struct supafs_list lru; /* folders, oldest first */
	struct supafs_list walks;
	struct supafs_list waiters;
	size_t bytes, changes;
	size_t evict_above; /* no use to try before so many bytes are in use */
	unsigned handles;
	bool raw_seen; /* the server has segments out of its class */
};

/* One name that is asked for. */
struct ask {
	struct supafs_str name;
	struct supafs_str seg; /* n 0: the name has none that fits */
	bool odd;              /* may be the shown name of an odd entry */
	char buf[SUPAFS_SEG_MAX];
};

/* --- catalog.c: folders, memory, waiting --------------------------------------------------------
 */

int64_t catalog_now(const struct supafs_catalog *c);
/* The end of what is known now; saturates. */
int64_t catalog_expiry(const struct supafs_catalog *c);
uint64_t catalog_seq_locked(struct supafs_catalog *c) SUPAFS_REQUIRES(c->lock);

/* The folder's record, made if absent; NULL when out of memory. */
struct folder *folder_get_locked(struct supafs_catalog *c, struct supafs_str prefix)
	SUPAFS_REQUIRES(c->lock);
struct folder *folder_find_locked(struct supafs_catalog *c, struct supafs_str prefix)
	SUPAFS_REQUIRES(c->lock);
void folder_touch_locked(struct supafs_catalog *c, struct folder *f) SUPAFS_REQUIRES(c->lock);
/* Drops a reference to a listing, and its bytes with the last one. */
void listing_drop_locked(struct supafs_catalog *c, struct listing **l) SUPAFS_REQUIRES(c->lock);
/* Makes room: oldest unused folders first. Call it when no folder pointer is in use. */
void evict_locked(struct supafs_catalog *c) SUPAFS_REQUIRES(c->lock);

/* Sleeps until wake_all_locked(), releasing the lock. 0, -EINTR, -ETIMEDOUT. */
int wait_locked(struct supafs_catalog *c, struct supafs_call *call) SUPAFS_REQUIRES(c->lock);
void wake_all_locked(struct supafs_catalog *c) SUPAFS_REQUIRES(c->lock);

/* root + prefix + seg (+ '/'); -ENAMETOOLONG. */
#define KEY_BUF (SUPAFS_KEY_MAX + 2)
int make_key(const struct supafs_catalog *c, struct supafs_str prefix, struct supafs_str seg,
	char buf[KEY_BUF], struct supafs_str *ret_key);

/* --- overlay.c: records of single names ---------------------------------------------------------
 */

struct rec_new {
	struct supafs_str name, seg;
	enum rec_state state;
	bool present;
	uint64_t seq;
	int64_t expires_ns;
	const struct supafs_attr *attr; /* NULL: none */
};
struct rec *rec_find_locked(struct supafs_catalog *c, struct folder *f, struct supafs_str name)
	SUPAFS_REQUIRES(c->lock);
/* Makes or replaces; NULL when out of memory, then nothing has changed. */
struct rec *rec_put_locked(struct supafs_catalog *c, struct folder *f, const struct rec_new *n)
	SUPAFS_REQUIRES(c->lock);
void rec_remove_locked(struct supafs_catalog *c, struct folder *f, struct rec *r)
	SUPAFS_REQUIRES(c->lock);
/* The record as an entry; it must have attributes. */
void rec_entry(const struct rec *r, struct supafs_dirent *ret_ent);
/* Keeps an answer that was asked for at n->seq, unless something newer is known. */
void rec_learn_locked(struct supafs_catalog *c, struct folder *f, const struct rec_new *n)
	SUPAFS_REQUIRES(c->lock);
/* The inode number of a known name of that kind, else a new one. */
uint64_t ino_for_locked(struct supafs_catalog *c, struct folder *f, struct supafs_str name,
	bool is_folder) SUPAFS_REQUIRES(c->lock);
/* Takes over a complete listing; drops the records that it is newer than. */
void listing_store_locked(struct supafs_catalog *c, struct folder *f, struct listing *l)
	SUPAFS_REQUIRES(c->lock);
/* Debug builds: asserts the invariants of overlay.c. */
void folder_check_locked(struct supafs_catalog *c, struct folder *f) SUPAFS_REQUIRES(c->lock);

/* --- walk.c -------------------------------------------------------------------------------------
 */

/* A listing that may be read now (*ret_walk NULL), or the walk that fills it. What was asked for at
 * or before `start` counts only while it is fresh, and not at all if `fresh`. 0 or -ENOMEM. */
struct source {
	struct listing *l; /* counted */
	struct walk *w;    /* counted, as a reader; or NULL */
};
int source_open_locked(struct supafs_catalog *c, struct folder *f, uint64_t start, bool fresh,
	struct source *ret_src) SUPAFS_REQUIRES(c->lock);
void source_close_locked(struct supafs_catalog *c, struct source *s) SUPAFS_REQUIRES(c->lock);
/* One page more, by this thread or by waiting for another. The lock is released meanwhile. */
int source_more_locked(struct supafs_catalog *c, struct source *s, struct supafs_call *call,
	struct supafs_fault *fault) SUPAFS_REQUIRES(c->lock);
/* The reader is at `position`: asks for the next page when that is in the last one. */
void source_ahead_locked(struct supafs_catalog *c, struct source *s, size_t position)
	SUPAFS_REQUIRES(c->lock);

/* Entry of a page → its segment, and whether it is the folder's keeper. */
enum page_entry {
	PAGE_ENTRY,
	PAGE_KEEPER,
	PAGE_FOREIGN, /* not in this folder: hidden */
};
enum page_entry page_entry(
	struct supafs_str full_prefix, const struct supafs_entry *e, struct supafs_str *ret_seg);
void entry_attr(const struct supafs_entry *e, struct supafs_attr *ret_attr);
/* -EPROTO, and says so in *fault. */
int protocol_fault(struct supafs_fault *fault, const char *text);

/* --- lookup.c -----------------------------------------------------------------------------------
 */

/* `name` must outlive it. 0, -ENAMETOOLONG, -EINVAL. */
int ask_init(struct supafs_str name, struct ask *ret_ask);

/* A look-up of one name. */
struct query {
	struct folder *f; /* in use */
	struct supafs_call *call;
	const struct ask *a;
	bool fresh;
	struct supafs_fault *fault;
};
/* From what is known, else by requests: the lock is released during them. */
int lookup_locked(struct supafs_catalog *c, const struct query *q, struct supafs_dirent *ret_ent)
	SUPAFS_REQUIRES(c->lock);

/* A list page; says in *fault when its entries are out of order. */
int list_page(struct supafs_catalog *c, struct supafs_call *call,
	const struct supafs_list_args *args, struct supafs_cursor *cursor, bool *ret_more,
	struct supafs_fault *fault);
#define PROBE_PAGES 16 /* pages in a row without news before the server is not believed */
