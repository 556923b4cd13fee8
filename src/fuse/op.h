/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to src/fuse: the session, and one operation on its way.
 *
 * An operation lives on the stack of a worker thread from op_begin() to its reply:
 *
 *	struct op op;
 *	op_begin(&op, req, "unlink", parent, name);
 *	int r = supafs_vfs_unlink(op.vfs, &op.call, parent, …, &op.fault);
 *	op_reply_err(&op, r);
 *
 * Every op_reply_*() ends the call first (no interrupt can touch it any more), logs what is worth
 * logging, and replies once.
 */
#pragma once

#define FUSE_USE_VERSION 314

#include <fuse_lowlevel.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "supafs/fuse/fuse.h"
#include "supafs/util/call.h"
#include "supafs/util/list.h"
#include "supafs/util/lock.h"
#include "supafs/util/timer.h"

#define FUSE_IO_MAX    (1U << 20) /* bytes of one read or write */
#define IO_BUFS_KEPT   4          /* idle read buffers */
#define FUSE_LOG_BURST 20         /* error lines a second */

struct supafs_fuse {
	struct fuse_session *se;
	struct supafs_vfs *vfs;
	const struct supafs_clock *clock;
	struct supafs_timers *timers; /* looks again at interrupts that were let pass */
	const char *cache;            /* the folder of the local files */
	uint64_t timeout_ms;
	uint64_t read_ahead;
	unsigned max_threads, idle_threads;
	void (*ready)(void *ctx);
	void *ready_ctx;
	bool parallel_dirops; /* set at init */
	_Atomic bool greeted; /* a message has been sent */
	char *mountpoint;
	pthread_t loop_thread;

	struct supafs_mutex lock;    /* leaf */
	struct supafs_cond calm;     /* lock; no notification is inside */
	struct supafs_list ops;      /* lock; operations that are inside */
	uint64_t next_op;            /* lock */
	unsigned notifying;          /* lock */
	bool quiet;                  /* lock; no more notifications; never goes back */
	bool looping;                /* lock */
	bool stopped;                /* lock; never goes back */
	bool recheck;                /* lock; a timer will look at interrupts again */
	void *io_bufs[IO_BUFS_KEPT]; /* lock */
	unsigned n_io_bufs;          /* lock */
	int64_t log_second;          /* lock */
	unsigned log_lines;          /* lock; in that second */
	int64_t auth_logged_ns;      /* lock; when a refused key was told; 0: never */
};

struct op {
	struct supafs_fuse *fuse;
	struct supafs_vfs *vfs;
	fuse_req_t req;
	const char *what; /* operation, for the log */
	uint64_t node;
	const char *name; /* NULL: none */
	pid_t pid;
	struct supafs_call call;
	struct supafs_fault fault;
	struct supafs_list link; /* fuse->lock */
	uint64_t id;
	bool interrupted; /* fuse->lock; a signal came that was let pass */
};

void op_begin(struct op *op, fuse_req_t req, const char *what, uint64_t node, const char *name);

/* Ends the call; logs the failure `r` (< 0) if it is worth it. The reply is the caller's. */
void op_end(struct op *op, int r);

/* Each ends the operation and replies: the error if r < 0. */
void op_reply_err(struct op *op, int r);
void op_reply_entry(struct op *op, int r, const struct supafs_node_info *info);
void op_reply_attr(struct op *op, int r, const struct supafs_node_info *info);
void op_reply_buf(struct op *op, ssize_t r, const void *buf);
void op_reply_view(struct op *op, ssize_t r, const struct supafs_view *view);

/* Who asks. */
struct supafs_owner op_owner(fuse_req_t req);

/* Kernel's form of what the vfs says. */
void op_entry_param(const struct supafs_node_info *info, struct fuse_entry_param *ret);
double op_seconds(uint64_t ms);

/* A buffer of FUSE_IO_MAX bytes; NULL when out of memory. */
void *io_buf_get(struct supafs_fuse *f);
void io_buf_put(struct supafs_fuse *f, void *buf);

/* Would a signal that is pending for thread `pid` end an ordinary wait? See interrupt.c. */
bool interrupt_wanted(pid_t pid);

/* For fuse_req_interrupt_func(); `data`: the struct op. */
void op_interrupted(fuse_req_t req, void *data);

/* Sends the vfs's news to the kernel; `ctx`: the struct supafs_fuse. */
void notify_inval_entry(void *ctx, uint64_t parent, const char *name, size_t n);
void notify_inval_inode(void *ctx, uint64_t node, bool data);
/* No notification begins any more; waits until none is inside. */
void notify_quiet(struct supafs_fuse *f);

/* Sees to it that the kernel sends look-ups in one folder at once; on a mounted session. 0, -errno.
 */
int parallel_dirops(struct supafs_fuse *f);

/* Raises the mount's read-ahead where we may (root). */
void raise_read_ahead(const char *mountpoint, uint64_t bytes);

/* The tables of the operation files. */
void ops_name(struct fuse_lowlevel_ops *ops);
void ops_attr(struct fuse_lowlevel_ops *ops);
void ops_dir(struct fuse_lowlevel_ops *ops);
void ops_file(struct fuse_lowlevel_ops *ops);
void ops_xattr(struct fuse_lowlevel_ops *ops);
