/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Data cache and readers: the bytes of object versions in blocks of SUPAFS_BLOCK_SIZE,
 * shared by all handles, filled by ranged downloads ("windows").
 *
 *	data (one a mount) ── content (one a (key, version), counted) ── block 0…n
 *	                                   └── stream (one a handle): pattern, windows
 *
 * State of a block:
 *	absent     nobody has or fetches it
 *	fetching   a window will bring it; its first `have` bytes are there and readable
 *	present    all there; may be evicted when nobody copies out of it or waits for it
 * A window that ends early turns its unfinished block absent and wakes its waiters, who fetch
 * again or report its error. Bytes in all blocks ≤ the memory limit, always. What a long sequential
 * reader has read alone goes first (2 MiB of it stay, whatever the limit: the kernel's page cache
 * has it), then what was read longest ago; what was fetched ahead and not read yet, last.
 *
 * A content never mixes versions: the first window whose reply shows another version
 * (store: -ESTALE) makes the whole content stale, for ever: every later read gives -ESTALE.
 *
 * Reading: sequential streams get windows ahead that double (256 KiB, 512 KiB, … up to the rest of
 * the object as one long transfer) while they are consumed, paused when they are far ahead of
 * the reader (flow control by -EAGAIN and supafs_call_poke()); random readers get what
 * they ask for, rounded to blocks, no read-ahead; two sequential reads promote, a seek demotes; one
 * handle may have up to 4 streams. A window whose reader left is cancelled, unless it is nearly
 * done. Small contents (≤ one block) are fetched whole. A second reader of a block waits for the
 * first one's fetch.
 *
 * Threads: any; locks: data (shard) lock, leaf below the node's. No lock is held over a request.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "supafs/store/store.h"

struct supafs_data;
struct supafs_content;
struct supafs_stream;

struct supafs_data_config {
	struct supafs_store *store; /* borrowed */
	const struct supafs_clock *clock;
	size_t memory;       /* bytes of blocks, hard limit, ≥ 8 blocks */
	size_t ahead_max;    /* bytes a window may be ahead of its reader before it is paused */
	unsigned threads;    /* windows in flight, at most; a quarter of them paused */
	uint64_t timeout_ms; /* of one window; reached with nothing brought it is an error */
};
int supafs_data_new(const struct supafs_data_config *cfg, struct supafs_data **ret_data);
/* All contents must be released. NULL is fine; returns NULL. */
struct supafs_data *supafs_data_free(struct supafs_data *d);

struct supafs_data_stats {
	size_t bytes; /* in blocks now */
	uint64_t hits, misses, windows, window_bytes, evicted;
};
void supafs_data_stats(struct supafs_data *d, struct supafs_data_stats *ret);

/* The content of `version` of `key` (key: as stored; version.etag may be "": then it is learnt from
 * the first reply). Same (key, version) → same content. Ends with unref. */
int supafs_content_get(struct supafs_data *d, struct supafs_str key,
	const struct supafs_version *version, struct supafs_content **ret_content);
struct supafs_content *supafs_content_unref(struct supafs_content *c);
/* The ETag learnt so far ("" if none). */
void supafs_content_etag(struct supafs_content *c, char ret_etag[SUPAFS_ETAG_MAX + 1]);

/* A handle's reading state; any number a content. `free` cancels its windows. */
int supafs_stream_new(struct supafs_content *c, struct supafs_stream **ret_stream);
struct supafs_stream *supafs_stream_free(struct supafs_stream *s);

/* Reads up to `n` bytes at `off`, short only at the end of the object (0 behind it). Blocks until
 * all are there. -ESTALE, -EINTR, -ETIMEDOUT, or the store's error with *fault (class NONE if the
 * error came from another reader's window). Concurrent reads on one stream are fine. */
ssize_t supafs_stream_read(struct supafs_stream *s, struct supafs_call *call, void *buf, size_t n,
	uint64_t off, struct supafs_fault *fault);

/* Bytes of an object where they lie in the cache: not evicted, not changed, until the release. */
#define SUPAFS_VIEW_PIECES 9 /* 1 MiB from any offset */
struct supafs_view {
	struct iovec iov[SUPAFS_VIEW_PIECES];
	unsigned n; /* of iov */

	/* The cache's own. */
	struct supafs_data *data; /* NULL: holds nothing */
	void *blocks[SUPAFS_VIEW_PIECES];
	size_t held; /* bytes of whole blocks */
	bool drop;   /* a long track's */
};

/* supafs_stream_read() without the copy: the bytes' places go to *ret_view, which is released soon
 * (a reply's time, not a user's). -ENOBUFS: more pieces than a view has, or a quarter of the memory
 * is in views already: then read. */
ssize_t supafs_stream_view(struct supafs_stream *s, struct supafs_call *call, size_t n,
	uint64_t off, struct supafs_view *ret_view, struct supafs_fault *fault);
/* Does nothing the second time, or for a view that is all zero. */
void supafs_view_release(struct supafs_view *view);

/* Streams [off, off + n) of the object to `sink` without keeping blocks: for filling a spool. The
 * sink runs on the transport thread. -EINVAL if that is not inside the object; errors as above. A
 * stale content whose ETag is known is asked for again, so -ESTALE may pass. */
int supafs_content_fetch(struct supafs_content *c, struct supafs_call *call, uint64_t off,
	uint64_t n, const struct supafs_sink *sink, struct supafs_fault *fault);

/* Drops what is cached of `key`, all versions; contents in use become stale. */
void supafs_data_drop(struct supafs_data *d, struct supafs_str key);
