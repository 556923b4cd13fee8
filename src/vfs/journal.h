/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Promises: what the journal holds of a content, so that its bytes reach the server whatever
 * becomes of this process (docs/writeback.md).
 *
 *	promise        means
 *	none           no record stands; the bytes in the spool are nobody's but their writer's
 *	current        the record is of what the content is now. Its state is queued, held, failed
 *	               or uploading
 *	shared         the content was written to since, but behind the promised bytes only: the
 *	               record's spool is still the content's, of which the first `size` bytes count
 *	detached       the content was changed since and has another spool; `old` (or `ref`) is what
 *	               the record promises
 *
 *	none     → current    make: a close, a failure, a replay
 *	current  → shared     append      → current   the next make: one record takes the other's
 *place current  → detached   any change  → current   the same; the old spool goes any      → none
 *the newest bytes are at the server, or the name is gone (drop)
 *
 * So the bytes that a record names are never changed while it stands.
 *
 * Locks: record_lock serialises what is written to the journal of one content and is held over
 * that; it is taken before all others and by nobody who holds another. The rest is under
 * content->lock.
 */
#pragma once

#include "content.h"

struct vfs_promise {
	/* content->lock, like all: */
	char id[SUPAFS_JOURNAL_ID];
	bool stands;
	bool current;
	bool shared;
	bool look;     /* an upload with `nonce` may have arrived: look before sending */
	uint64_t size; /* of what the record promises */
	struct supafs_spool *old;
	struct vfs_reference *ref;
	struct supafs_spool_map map; /* shared: of the promised bytes, and */
	struct supafs_range *ranges; /* its memory */
	struct supafs_meta meta;     /* as promised */
	enum vfs_state as;           /* held, queued or failed: as promised */
	int64_t since_ns;            /* wall clock; 0: nothing is waiting */
	unsigned tries;              /* uploads that failed */
	int error;                   /* the last one's errno, positive */
	bool passing;                /* it may go by itself */
	int64_t retry_ns;            /* monotonic: when it is tried again */
	int told;                    /* the last error in the log */
	char text[200];              /* what the server said */
	/* Of all uploads of these bytes. It is in the record before any of them begins, so that the
	 * next process can look whether one has arrived. */
	char nonce[SUPAFS_NONCE_MAX + 1];
	uint64_t key_hash; /* under which the record stands */
	char *upload;      /* where a resumable upload stands; NULL: none */
};

void vfs_promise_free(struct vfs_promise *p);
void vfs_nonce_make(char ret[SUPAFS_NONCE_MAX + 1]);
/* The content's, made when there is none. NULL when out of memory. */
struct vfs_promise *vfs_promise_of_locked(struct vfs_content *c);
/* Does a record stand whose bytes would be changed by a write at `from`? */
bool vfs_promise_bars_locked(const struct vfs_content *c, uint64_t from);
/* Does a record stand? */
bool vfs_promise_stands(struct vfs_content *c);

/* Promises what the content is now, as it will be shown: held, queued or failed. The caller keeps
 * writers away (a claim, or UPLOADING). `durable`: also from a power cut. -EOPNOTSUPP without a
 * journal, -ENOENT without a name, or the journal's error: then what stood before stands. */
int vfs_promise_make(struct supafs_vfs *v, struct vfs_node *node, enum vfs_state as, bool durable);
/* The same for a file that nobody sends: waits until that may be, and makes it `as`. 0 also when
 * there is nothing to promise; -EINTR, -ETIMEDOUT. */
int vfs_content_promise(struct supafs_vfs *v, struct vfs_node *node, struct supafs_call *call,
	enum vfs_state as, bool durable, struct supafs_fault *fault);
/* Facts beside the bytes have changed (attributes, tries): noted if a current record stands. */
void vfs_promise_refresh(struct supafs_vfs *v, struct vfs_node *node);
/* The node has another key: its record gets it. `as`: VFS_STATE__COUNT, or what it is from now on.
 * 0 also without a record. */
int vfs_promise_rekey(struct supafs_vfs *v, struct vfs_node *node, enum vfs_state as, bool durable);
/* The same for all below a folder, durable: the record of the folder's rename goes next. */
void vfs_promise_rekey_below(struct supafs_vfs *v, struct vfs_node *top);
/* An upload under `key` is about to begin: a record that stands is to have that key. */
void vfs_promise_sending(struct supafs_vfs *v, struct vfs_node *node, const struct vfs_key *key);
/* Where the upload stands; noted when a record stands. */
void vfs_promise_upload(struct supafs_vfs *v, struct vfs_node *node, const char *id);
/* No record any more, and no failure: unlinked, given up. */
void vfs_promise_drop(struct supafs_vfs *v, struct vfs_node *node);
/* The same inside of record_lock. The spool goes with the content. */
void vfs_promise_drop_locked(struct supafs_vfs *v, struct vfs_content *c)
	SUPAFS_REQUIRES(c->record_lock);
/* What has the name of `node` (may be NULL) is safe now, and its own place (record, or object under
 * an old name) may go next: no promise of `node` is to come back, also after a power cut. */
void vfs_promise_replaced(struct supafs_vfs *v, struct vfs_node *node);
/* A record of an earlier mount has this time: later ones will be later. */
void vfs_promise_since(struct supafs_vfs *v, int64_t since_ns);
/* Before an upload that a record of older bytes must not undo after a power cut. */
void vfs_promise_barrier(struct supafs_vfs *v);
