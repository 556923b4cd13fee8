/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Content: what an open or changed file has beyond its node – version, attributes, spool,
 * and the state of both. One a node, shared by its handles. The state table stands at the
 * head of content.c.
 *
 * A content is made when somebody first needs it and goes with its last user, unless it has
 * bytes that the server has not. Users hold a reference (vfs_content_get), which also holds
 * the node.
 *
 * Locks: namespace before content->lock. Neither is held over a request, nor is the
 * lock held during spool I/O: `writers` and `io` count who is inside.
 */
#pragma once

#include "node.h"
#include "wait.h"

struct vfs_job;
struct vfs_promise;

enum vfs_state {
	VFS_CLEAN,
	VFS_SAVED,
	VFS_DIRTY,
	VFS_REFERENCE,
	VFS_HELD,
	VFS_QUEUED,
	VFS_UPLOADING,
	VFS_FAILED,
	VFS_STATE__COUNT,
};

/* "The first `n` bytes of object `key` at `version`": content without its bytes. */
struct vfs_reference {
	struct vfs_key key;
	struct supafs_version version;
	uint64_t n;
	uint64_t source;  /* id of its node, and */
	uint32_t changes; /* that node's then */
};

struct vfs_content {
	unsigned refs;       /* namespace lock */
	struct vfs_job *job; /* the queue's lock (queue.h): its place there, or NULL */

	struct supafs_mutex record_lock; /* before all others (journal.h) */

	struct supafs_mutex lock;
	struct supafs_cond cond; /* lock; broadcast at each change of what follows */
	/* lock: */
	enum vfs_state state;
	bool unlinked;       /* has no name: never sent */
	bool remote;         /* the server has an object under our key */
	bool maybe_remote;   /* an upload of ours had no answer: it may have, all the same */
	bool exclusive;      /* O_EXCL: the first upload must find nothing */
	bool attrs_wait;     /* CLEAN, SAVED: meta is newer than the server's */
	bool pending;        /* the view has a change of ours under change_id */
	bool sent_here;      /* `version` is of our upload, its ETag not yet learnt */
	bool background;     /* UPLOADING: nobody waits for it */
	bool claimed;        /* one thread keeps writers and uploads away */
	bool foreign_base;   /* `base` is not the object of our own key */
	bool pristine;       /* DIRTY: was clean, and nothing was changed since then */
	unsigned writers;    /* threads that change the spool now */
	unsigned io;         /* threads that use the spool or base now */
	unsigned open;       /* handles */
	unsigned open_write; /* handles that may write */
	unsigned epoch;      /* rises when the server's content turns out to be another's */
	unsigned moves;      /* rises when the key or the version changes under the same bytes */
	unsigned stamp;      /* rises with every transition */
	struct supafs_version version; /* CLEAN, SAVED and as base: what the server has */
	struct supafs_meta meta;
	int64_t modified_ns;
	struct supafs_spool *spool;
	struct supafs_content *base; /* where the spool's missing bytes come from, or NULL */
	struct vfs_reference *ref;
	uint64_t change_id;
	struct vfs_promise *promise; /* journal.h; NULL: no record, no failure */
	struct vfs_retired *retired;
	/* What else goes with the bytes (xattr.h). Not `user_known`: nobody has asked what the
	 * server has, then all three are empty. */
	bool user_known;
	struct supafs_buf user; /* pairs */
	char *mime;             /* NULL: the name's */
	char *cache_control;    /* NULL: the mount's */

	struct supafs_mutex call_lock; /* leaf but for a call's own lock */
	struct supafs_call *send_call; /* call_lock; the background upload's while it may be
					  stopped, or NULL */
	bool stop_asked;               /* call_lock; since the last upload began */
};

/* --- Life --------------------------------------------------------------------------------------
 */

/* The content of a file, with a reference; made from `attr` if there is none. 0, -ENOMEM. With
 * `sends` (may be NULL), node->sends before attr was asked for: -EAGAIN when it has risen since, so
 * that attr may be older than what was sent from here. */
int vfs_content_get(struct supafs_vfs *v, struct vfs_node *node, const struct supafs_attr *attr,
	const uint32_t *sends, struct vfs_content **ret_c);
/* The one that is there, with a reference, or NULL. */
struct vfs_content *vfs_content_peek(struct supafs_vfs *v, struct vfs_node *node);
void vfs_content_put(struct supafs_vfs *v, struct vfs_node *node);
/* Without a node yet; NULL when out of memory. */
struct vfs_content *vfs_content_new(const struct supafs_attr *attr);
void vfs_content_destroy(struct vfs_content *c);

/* --- Facts --------------------------------------------------------------------------------------
 */

uint64_t vfs_content_size_locked(const struct vfs_content *c);
/* Something the server has not, or attributes that wait. */
bool vfs_content_is_local(struct vfs_content *c);
/* Has the view a change of ours for it? */
bool vfs_content_is_pending(struct vfs_content *c);
bool vfs_state_unsent(enum vfs_state state);
/* Attributes as shown; `ino` is the caller's. */
void vfs_content_attr(struct vfs_content *c, uint64_t ino, struct supafs_attr *ret);
/* A look-up of the server has shown `attr`: take it over when nothing local is in its way, and
 * nothing has changed here since `stamp` (c->stamp before it was asked for). */
int vfs_content_adopt(struct vfs_content *c, struct supafs_call *call,
	const struct supafs_attr *attr, unsigned stamp);
/* Does the server show, in `attr`, other bytes than open handles of this content have? Nothing
 * local is in the way then: vfs_content_now() takes it over, and the handles are stale. */
bool vfs_content_superseded(struct vfs_content *c, const struct supafs_attr *attr);
/* From vfs_node_detach_locked(). */
void vfs_content_unlinked(struct vfs_content *c);

/* --- Change
 * --------------------------------------------------------------------------------------- */

/* Before changing bytes: the content becomes (or is) DIRTY, and the caller one of its `writers`.
 * `cut`: no byte of the base will be needed. -ESTALE when the handle's epoch has passed. */
int vfs_content_begin(struct supafs_vfs *v, struct vfs_node *node, struct supafs_call *call,
	unsigned epoch, bool cut);
/* The same when bytes below `from` stay as they are; UINT64_MAX: an append. */
int vfs_content_begin_at(struct supafs_vfs *v, struct vfs_node *node, struct supafs_call *call,
	unsigned epoch, uint64_t from);
/* After it; `changed`: modification time is now. A clean file that nobody has changed since then is
 * clean again. */
void vfs_content_end(struct supafs_vfs *v, struct vfs_node *node, bool changed);
/* A new file: its node (with a reference and a look-up) and its content (with a reference), DIRTY,
 * nothing at the server, in the view. Both at once, so that nobody meets one without the other.
 * -EEXIST as vfs_node_make_locked(). */
int vfs_content_birth(struct supafs_vfs *v, struct vfs_node *parent,
	const struct supafs_dirent *ent, bool exclusive, struct vfs_node **ret_node);
/* Where a content's bytes are: stays as it is while its user is one of `io` or `writers`. */
struct vfs_bytes {
	struct supafs_spool *spool;
	struct supafs_content *base; /* of what is missing; NULL: nothing */
};
/* Joins the users of the spool (ends with io_end); false: there is none. */
bool vfs_content_join_locked(struct vfs_content *c, struct vfs_bytes *ret);
/* Missing bytes of [off, off + n) into the spool. */
int vfs_fill(const struct vfs_bytes *b, struct supafs_call *call, uint64_t off, uint64_t n,
	struct supafs_fault *fault);
/* All missing bytes. */
int vfs_content_complete(
	struct vfs_content *c, struct supafs_call *call, struct supafs_fault *fault);
/* An open clean file gets its bytes into a spool before its object goes, if it is small enough. */
void vfs_content_preserve(struct supafs_vfs *v, struct vfs_node *node, struct supafs_call *call);
/* What the server has beside the bytes may have changed: is asked for again when needed. */
void vfs_content_forget_user_locked(struct vfs_content *c);
/* Makes a state change under the lock, checked in debug builds. */
void vfs_content_set_state_locked(struct vfs_content *c, enum vfs_state state);
/* The walker alone: asserts the table in debug builds. */
void vfs_content_check_locked(const struct vfs_content *c);
/* Puts the pending change of a named node into the view, once. */
int vfs_content_announce_locked(struct supafs_vfs *v, struct vfs_node *node, struct vfs_content *c)
	SUPAFS_REQUIRES(v->ns);
/* Takes a place among the users of spool and base, so that neither goes away. */
void vfs_content_io_begin_locked(struct vfs_content *c);
void vfs_content_io_end(struct vfs_content *c);
/* What the content has no use for, but its readers may have: goes when they are out. */
struct vfs_retired {
	struct vfs_retired *next;
	struct supafs_spool *spool;
	struct supafs_content *base;
};
void vfs_content_retire_locked(struct vfs_content *c, struct vfs_retired *r);
/* Frees what is retired, if nobody is inside. */
void vfs_content_sweep(struct vfs_content *c);
/* Keeps writers and uploads away, and waits until those inside are out. 0, -EINTR, -ETIMEDOUT; ends
 * with unclaim. Nothing but local work may be done meanwhile. */
int vfs_content_claim(struct vfs_content *c, struct supafs_call *call);
/* The same, but -EAGAIN while it is being sent: what would wait for that may stop it. */
int vfs_content_claim_unsent(struct vfs_content *c, struct supafs_call *call);
void vfs_content_unclaim(struct vfs_content *c);
/* A background upload is not worth its time any more. One whose last byte is on its way can be
 * stopped no more (send.c). */
void vfs_content_stop(struct vfs_content *c);
/* Is somebody in the way of a change of state? */
bool vfs_content_busy_locked(const struct vfs_content *c);
/* Waits until the upload or claim that is in the way has ended; another may have begun, so the
 * caller looks again. 0, -EINTR, -ETIMEDOUT. */
int vfs_content_wait(struct vfs_content *c, struct supafs_call *call);

/* --- Sending (send.c)
 * ----------------------------------------------------------------------------- */

/* Where to: the node's own key (ack: the view is told), or the new key of a rename. */
struct vfs_send {
	const struct vfs_key *key;
	struct supafs_str name; /* for the type */
	bool ack;
	bool background;
	/* May be NULL: has the name until now. Its promise is void once this has arrived, and goes
	 * before that of what was sent: else the next mount would send it over this. */
	struct vfs_node *replaces;
};
/* One upload (or server-side copy), if the content needs one. The caller holds the ticket of the
 * key. On success *ret_attr (may be NULL) has what the server now has. */
int vfs_content_send(struct supafs_vfs *v, struct vfs_node *node, struct supafs_call *call,
	const struct vfs_send *send, struct supafs_attr *ret_attr, struct supafs_fault *fault);
/* Ticket, upload and waiting attributes: what close and fsync do. */
int vfs_content_settle(struct supafs_vfs *v, struct vfs_node *node, struct supafs_call *call,
	bool background, struct supafs_fault *fault);
/* What the server has now, told to the view: acknowledges the pending change, or as a fact. */
void vfs_content_tell_view_locked(struct supafs_vfs *v, struct vfs_node *node,
	struct vfs_content *c, const struct supafs_attr *attr) SUPAFS_REQUIRES(v->ns);
/* The same, later, on a thread of the pool. */
void vfs_content_send_later(struct supafs_vfs *v, struct vfs_node *node);
/* Attributes to the server by a copy onto itself. The caller holds the ticket. */
int vfs_content_send_attrs(struct supafs_vfs *v, struct vfs_node *node, struct supafs_call *call,
	struct supafs_fault *fault);
