/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The data cache's inside: what data.c, content.c, block.c, window.c, wait.c and stream.c share.
 * docs/data-cache.md is the page to read first.
 *
 * One lock, data->lock, protects everything here that is not marked otherwise; functions named
 * _locked need it. It is never held over a request, a copy of payload, a poke or a cancel: windows
 * that need a poke or a cancel go on the list data->news, and supafs_data_flush_locked() delivers
 * it with the lock dropped. Sinks run on the transport thread and never flush.
 */
#pragma once

#include "supafs/cache/data.h"
#include "supafs/util/hash.h"
#include "supafs/util/list.h"
#include "supafs/util/lock.h"
#include "supafs/util/pool.h"

#define BLOCK        ((uint64_t)SUPAFS_BLOCK_SIZE)
#define WINDOW_FIRST ((uint64_t)256 << 10) /* first window of a sequential track */
#define WINDOW_LAST  ((uint64_t)8 << 20)   /* behind this one comes the rest of the object */
#define JOIN_MAX     ((uint64_t)4 << 20)   /* so far ahead of a window's bytes a reader waits */
#define JOIN_OWN     ((uint64_t)32 << 20) /* … if it is its own: the kernel's requests run ahead */
#define PRESENT_RUN  8U                   /* so many cached blocks in its way end a window */
#define TRACKS       4U                   /* sequential streams of one handle */
#define JOBS_MAX     4096U
#define DROP_FROM    ((uint64_t)8 << 20) /* a track this long drops what it has read */
#define DONE_KEPT    ((size_t)2 << 20)   /* of that, so much is kept for a while */

struct window;

struct supafs_data {
	struct supafs_store *store; /* set once, like the next six */
	const struct supafs_clock *clock;
	size_t memory, ahead_max;
	unsigned threads;
	uint64_t timeout_ms;
	struct supafs_pool *pool;

	struct supafs_mutex lock;
	struct supafs_map *contents; /* by key and version; stale ones are not in it */
	struct supafs_map *blocks;   /* by content and index */
	struct supafs_list lru;      /* present blocks that were read, oldest first */
	struct supafs_list fresh;    /* present blocks that nobody has read, oldest first */
	struct supafs_list done;     /* present blocks that a long track has read, oldest first */
	size_t fresh_bytes, done_bytes;
	size_t viewed_bytes;         /* pinned by views */
	struct supafs_list windows;  /* all that have not ended, oldest first */
	struct supafs_list starving; /* windows paused because no block could be had */
	struct supafs_list news;     /* windows to poke or cancel */
	unsigned active, queued;     /* windows not ended; those of them not begun */
	unsigned paused;             /* … and those that are paused */
	struct supafs_data_stats stats;
};

struct supafs_content {
	struct supafs_data *data; /* set once */
	char *key;                /* set once */
	uint64_t key_hash, size;  /* set once */
	int64_t updated_ns;       /* set once */
	unsigned char id[16];     /* set once */

	char etag[SUPAFS_ETAG_MAX + 1]; /* "" until learnt */
	bool learning;                  /* a get is under way that will tell the ETag */
	bool stale;                     /* for ever */
	bool listed;                    /* in data->contents */
	unsigned refs;                  /* handles */
	unsigned streams;               /* of these */
	unsigned holds;                 /* blocks and windows */
	struct supafs_list blocks;
	struct supafs_list windows;
	struct supafs_list waiters;
	int64_t first_byte_ns; /* what a request costs before its first byte; 0: not known */
	uint64_t rate;         /* bytes a second of a transfer that was not paused; 0: not known */
};

struct block {
	struct supafs_list of_content, lru;
	struct supafs_content *content; /* NULL once it is out of the cache */
	struct window *window;          /* who fetches it; NULL when present */
	uint64_t index;
	uint32_t size; /* of this block: the last one of an object is shorter */
	uint32_t have; /* readable */
	unsigned pins;
	bool used;        /* some of it was read */
	bool done;        /* all of it, by a long track: goes first */
	unsigned char *p; /* NULL before the first byte */
};

enum pause {
	PAUSE_NONE,
	PAUSE_AHEAD,  /* far ahead of its reader */
	PAUSE_MEMORY, /* on data->starving */
};

struct window {
	struct supafs_data *data;       /* set once, like the next three */
	struct supafs_content *content; /* held */
	uint64_t begin, end;
	struct supafs_call call; /* has its own lock */
	struct supafs_version version;
	char etag[SUPAFS_ETAG_MAX + 1]; /* the store's until get returns */
	struct supafs_fault fault;      /* the store's until get returns */

	struct supafs_list of_data, of_content, news, starving;
	struct supafs_stream *stream; /* whose it is; NULL when that is gone */
	int track;                    /* of stream; -1: none */
	unsigned refs;
	uint64_t pos;        /* next byte to come */
	uint64_t acked;      /* the store's idea of pos: behind, when part of a write was taken */
	uint64_t goal;       /* furthest byte that a reader asked for */
	uint64_t skip_to;    /* bytes before this are dropped: their block is there */
	struct block *block; /* being filled, contains pos */
	enum pause paused;
	bool cancelled; /* nobody may join it any more */
	bool enough;    /* ended by ourselves */
	bool learns;    /* its reply tells the content's ETag */
	bool was_paused;
	int64_t start_ns, first_ns;
};

/* A blocked thread, on its stack. */
struct waiter {
	struct supafs_list of_content; /* data lock */
	uint64_t index;                /* block it wants */
	uint32_t need;                 /* bytes of it */
	struct window *window; /* that will bring it; compared, never followed. NULL: wakes when a
				  get that learns the ETag ends */
	const struct supafs_stream *stream;
	int error; /* of that window */
	struct supafs_fault *fault;

	struct supafs_mutex lock; /* a leaf below the data lock and the call's */
	struct supafs_cond cond;
	bool woken; /* lock */
};

struct track {
	bool used;
	unsigned run;      /* reads that went on where the last one ended */
	uint64_t from;     /* where it began */
	uint64_t next;     /* where the next one is expected */
	uint64_t ahead_to; /* windows were started up to here */
	uint64_t last;     /* size of the latest */
	uint64_t stamp;    /* of its latest read */
};

struct supafs_stream {
	struct supafs_content *content; /* set once, referenced */
	struct track tracks[TRACKS];    /* data lock */
	uint64_t reads;                 /* data lock */
};

/* One read on its way, on its thread's stack. */
struct reading {
	struct supafs_content *content;
	struct supafs_stream *stream;
	struct supafs_call *call;
	int track; /* -1: none */
	uint64_t off, end;
	char *buf;                /* for copies; NULL: view */
	struct supafs_view *view; /* NULL: copies */
	struct waiter waiter;
};

/* --- data.c ------------------------------------------------------------------------------------
 */

/* Pokes and cancels what data->news lists. Drops the lock meanwhile. Not from a sink. */
void supafs_data_flush_locked(struct supafs_data *d) SUPAFS_REQUIRES(d->lock);
/* Memory may be had: starving windows go on the news list, and who waits for them is woken, so that
 * somebody delivers it. */
void supafs_data_room_locked(struct supafs_data *d) SUPAFS_REQUIRES(d->lock);
/* So far may a window be ahead of its reader now. */
uint64_t supafs_data_ahead_locked(const struct supafs_data *d) SUPAFS_REQUIRES(d->lock);
/* Debug builds: asserts the tables of block.c and window.c. */
void supafs_data_check_locked(struct supafs_data *d) SUPAFS_REQUIRES(d->lock);

/* --- content.c ---------------------------------------------------------------------------------
 */

/* For data->contents. */
bool supafs_content_equal(const void *entry, const void *key);
/* Another version is there: every read fails from now on. */
void supafs_content_stale_locked(struct supafs_data *d, struct supafs_content *c)
	SUPAFS_REQUIRES(d->lock);
/* A block or window is gone. May free the content. */
void supafs_content_unhold_locked(struct supafs_data *d, struct supafs_content *c)
	SUPAFS_REQUIRES(d->lock);
void supafs_content_version_locked(struct supafs_data *d, const struct supafs_content *c,
	struct supafs_version *ret) SUPAFS_REQUIRES(d->lock);
/* The get that had `learning` ended having seen `etag` ("" = none). */
void supafs_content_learnt_locked(struct supafs_data *d, struct supafs_content *c, const char *etag)
	SUPAFS_REQUIRES(d->lock);

/* --- block.c -----------------------------------------------------------------------------------
 */

int supafs_blocks_new(struct supafs_map **ret_map);
struct block *supafs_block_find_locked(struct supafs_data *d, const struct supafs_content *c,
	uint64_t index) SUPAFS_REQUIRES(d->lock);
/* A new block for `w` to fill, within the memory limit: others are evicted for it. 0, -EAGAIN when
 * all are needed, -ENOMEM. */
int supafs_block_new_locked(struct supafs_data *d, struct window *w, uint64_t index,
	struct block **ret_block) SUPAFS_REQUIRES(d->lock);
/* `n` more bytes are readable; wakes who waited for them. */
void supafs_block_publish_locked(struct supafs_data *d, struct block *b, uint32_t n)
	SUPAFS_REQUIRES(d->lock);
void supafs_block_unpin_locked(struct supafs_data *d, struct block *b) SUPAFS_REQUIRES(d->lock);
void supafs_block_touch_locked(struct supafs_data *d, struct block *b) SUPAFS_REQUIRES(d->lock);
/* A long track has read all of it: nobody is likely to ask again soon. */
void supafs_block_done_locked(struct supafs_data *d, struct block *b) SUPAFS_REQUIRES(d->lock);
/* Out of the cache; its memory goes with the last pin. */
void supafs_block_kill_locked(struct supafs_data *d, struct block *b) SUPAFS_REQUIRES(d->lock);

/* --- window.c ----------------------------------------------------------------------------------
 */

struct window_args {
	struct supafs_stream *stream;
	int track;
	uint64_t begin, end; /* whole blocks, or to the object's end */
	uint64_t goal;
};
/* Starts a download of [begin, end), cut where another window begins. 0, -ENOMEM, -EBUSY. */
int supafs_window_start_locked(struct supafs_data *d, struct supafs_content *c,
	const struct window_args *args, struct window **ret_window) SUPAFS_REQUIRES(d->lock);
/* The window that will bring block `index` soonest, at most `reach` bytes from now; NULL: none. */
struct window *supafs_window_covering_locked(struct supafs_data *d, const struct supafs_content *c,
	uint64_t index, uint64_t reach) SUPAFS_REQUIRES(d->lock);
/* A reader has come to `goal`. `waits`: and waits there. */
void supafs_window_demand_locked(struct supafs_data *d, struct window *w, uint64_t goal, bool waits)
	SUPAFS_REQUIRES(d->lock);
/* True when somebody waits for it. */
bool supafs_window_wanted_locked(const struct supafs_data *d, const struct window *w)
	SUPAFS_REQUIRES(d->lock);
/* It may go on; who calls this pokes it. */
void supafs_window_unpause_locked(struct supafs_data *d, struct window *w) SUPAFS_REQUIRES(d->lock);
void supafs_window_cancel_locked(struct supafs_data *d, struct window *w) SUPAFS_REQUIRES(d->lock);
void supafs_window_unref_locked(struct supafs_data *d, struct window *w) SUPAFS_REQUIRES(d->lock);

/* --- stream.c ----------------------------------------------------------------------------------
 */

/* Tells the read's track; then all that it needs is on its way, and what comes next. */
int supafs_stream_plan_locked(struct supafs_data *d, struct reading *rd) SUPAFS_REQUIRES(d->lock);
/* Sees to it that block `index` comes. *ret_window: who brings it; NULL: it is there, or nobody may
 * start before the ETag is learnt. */
int supafs_stream_cover_locked(struct supafs_data *d, struct reading *rd, uint64_t index,
	struct window **ret_window) SUPAFS_REQUIRES(d->lock);
/* What a long track has read is not kept if nobody else reads here: the kernel has it, and memory
 * that comes round again soon is cheaper than memory that was never touched. */
bool supafs_stream_drops_locked(struct supafs_data *d, const struct reading *rd)
	SUPAFS_REQUIRES(d->lock);

/* --- wait.c ------------------------------------------------------------------------------------
 */

void supafs_waiter_init(struct waiter *w);
void supafs_waiter_fini(struct waiter *w);
void supafs_waiter_wake(struct waiter *w);
/* Waits on `c` until woken; drops the lock meanwhile, and delivers the news first. 0, -EINTR,
 * -ETIMEDOUT. */
int supafs_waiter_wait_locked(struct supafs_data *d, struct supafs_content *c, struct waiter *w,
	struct supafs_call *call) SUPAFS_REQUIRES(d->lock);

/* --- stream.c ----------------------------------------------------------------------------------
 */

/* `w` ended before its end: what was counted as ahead is not. */
void supafs_stream_cut_locked(struct supafs_data *d, const struct window *w)
	SUPAFS_REQUIRES(d->lock);
