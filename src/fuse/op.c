/* SPDX-License-Identifier: Apache-2.0 */
/* One operation: begin, interrupt, end, log, reply. See op.h. */
#include "op.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "supafs/util/log.h"

#define RECHECK_NS    (100 * SUPAFS_NS_PER_MS)
#define AUTH_EVERY_NS (60 * SUPAFS_NS_PER_S)

void op_begin(struct op *op, fuse_req_t req, const char *what, uint64_t node, const char *name)
{
	struct supafs_fuse *f = fuse_req_userdata(req);

	*op = (struct op){
		.fuse = f,
		.vfs = f->vfs,
		.req = req,
		.what = what,
		.node = node,
		.name = name,
		.pid = fuse_req_ctx(req)->pid,
	};
	supafs_call_init(&op->call, f->clock, f->timeout_ms);
	supafs_fault_clear(&op->fault);
	{
		SUPAFS_SCOPED_LOCK(&f->lock);
		op->id = ++f->next_op;
		supafs_list_add_tail(&f->ops, &op->link);
	}
	/* Not at init: the kernel sets its own figure when it has our answer to that. */
	if (op->id == 1)
		raise_read_ahead(f->mountpoint, f->read_ahead);
	fuse_req_interrupt_func(req, op_interrupted, op);
}

static void recheck(void *ctx);

/* One timer for all operations whose interrupt was let pass; it ends itself. */
static void arm_recheck_locked(struct supafs_fuse *f) SUPAFS_REQUIRES(f->lock);
static void arm_recheck_locked(struct supafs_fuse *f)
{
	uint64_t id;
	int64_t at = f->clock->mono_ns(f->clock) + RECHECK_NS;

	if (!f->recheck && supafs_timers_add(f->timers, at, recheck, f, &id) == 0)
		f->recheck = true;
}

/* The kernel reports only the first signal of a wait; a later Ctrl-C must count as well. */
static void recheck(void *ctx)
{
	struct supafs_fuse *f = ctx;
	bool again = false;

	SUPAFS_SCOPED_LOCK(&f->lock);
	f->recheck = false;
	supafs_list_for_each (it, &f->ops) {
		struct op *op = supafs_list_entry(it, struct op, link);

		if (!op->interrupted)
			continue;
		if (interrupt_wanted(op->pid))
			supafs_call_cancel(&op->call);
		else
			again = true;
	}
	if (again)
		arm_recheck_locked(f);
}

/* libfuse holds the request's lock here, and op_end() takes it before the operation goes away. */
void op_interrupted(fuse_req_t req, void *data)
{
	struct op *op = data;

	(void)req;
	if (interrupt_wanted(op->pid)) {
		supafs_call_cancel(&op->call);
		return;
	}
	SUPAFS_SCOPED_LOCK(&op->fuse->lock);
	op->interrupted = true;
	arm_recheck_locked(op->fuse);
}

/* What a program provokes in daily work is not worth a line unless the server had a say in it. */
static bool worth_logging(const struct op *op, int r)
{
	switch (r) {
	case -ENOENT:
	case -EEXIST:
	case -ENOTEMPTY:
	case -ENOTDIR:
	case -EISDIR:
	case -EINTR:
	case -EINVAL:
	case -ENXIO:
	case -EXDEV:
	case -ESTALE:
	case -EROFS:
	case -ENAMETOOLONG:
	case -EOPNOTSUPP:
	case -ENODATA:
	case -ERANGE:
	case -EBADF:
		return false;
	case -EPERM:
	case -EACCES:
		return op->fault.class != SUPAFS_FAULT_NONE;
	default:
		return true;
	}
}

/* An outage under a walk must not fill the disk: so many lines a second, then one that says so. */
static bool may_log(struct supafs_fuse *f)
{
	int64_t second = f->clock->mono_ns(f->clock) / SUPAFS_NS_PER_S;
	bool first_cut = false, ok;

	{
		SUPAFS_SCOPED_LOCK(&f->lock);
		if (f->log_second != second) {
			f->log_second = second;
			f->log_lines = 0;
		}
		f->log_lines++;
		ok = f->log_lines <= FUSE_LOG_BURST;
		first_cut = f->log_lines == FUSE_LOG_BURST + 1;
	}
	if (first_cut)
		supafs_log(SUPAFS_LOG_ERROR, "more errors in this second are not shown");
	return ok;
}

/* A key that is refused fails every operation alike: one line a minute says it. */
static bool may_log_auth(struct supafs_fuse *f)
{
	const int64_t now = f->clock->mono_ns(f->clock);
	bool ok;

	SUPAFS_SCOPED_LOCK(&f->lock);
	ok = f->auth_logged_ns == 0 || now - f->auth_logged_ns >= AUTH_EVERY_NS;
	if (ok)
		f->auth_logged_ns = now;
	return ok;
}

/* The server keeps what it is given, and an attribute that is too long is no disk's fault. */
static bool disk_full(const struct op *op, int r)
{
	return r == -ENOSPC && op->fuse->cache && strcmp(op->what, "setxattr") != 0;
}

static void log_failure(const struct op *op, int r)
{
	const bool auth = op->fault.class == SUPAFS_FAULT_AUTH;
	char why[320 + PATH_MAX] = "", path[SUPAFS_KEY_MAX + 1];
	const char *cure = "";

	if (auth ? !may_log_auth(op->fuse) : !may_log(op->fuse))
		return;
	if (auth)
		cure = "; a new key or token is needed (more of these are not shown for a minute)";
	if (disk_full(op, r))
		(void)snprintf(why, sizeof(why),
			"the disk of the cache folder %s is full: make room there, or mount with -o cache= on another disk",
			op->fuse->cache);
	else if (op->fault.class != SUPAFS_FAULT_NONE)
		supafs_fault_format(&op->fault, why, sizeof(why));
	supafs_vfs_path(op->vfs, op->node, path, sizeof(path));
	supafs_log(SUPAFS_LOG_ERROR, "%s \"%s%s%s\": %s%s%s%s", op->what, path,
		op->name && path[0] ? "/" : "", op->name ? op->name : "", strerrordesc_np(-r),
		why[0] ? ": " : "", why, cure);
}

void op_end(struct op *op, int r)
{
	struct supafs_fuse *f = op->fuse;

	fuse_req_interrupt_func(op->req, NULL, NULL);
	{
		SUPAFS_SCOPED_LOCK(&f->lock);
		supafs_list_remove(&op->link);
	}
	if (r < 0 && worth_logging(op, r))
		log_failure(op, r);
	else
		supafs_debug(SUPAFS_PART_FUSE, "%s node %llu %s = %d", op->what,
			(unsigned long long)op->node, op->name ? op->name : "", r);
	supafs_call_fini(&op->call);
}

struct supafs_owner op_owner(fuse_req_t req)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);

	return (struct supafs_owner){.uid = ctx->uid, .gid = ctx->gid};
}

double op_seconds(uint64_t ms)
{
	return (double)ms / 1000.0;
}

void op_entry_param(const struct supafs_node_info *info, struct fuse_entry_param *ret)
{
	*ret = (struct fuse_entry_param){
		.ino = info->node,
		.attr = info->st,
		.attr_timeout = op_seconds(info->valid_ms),
		.entry_timeout = op_seconds(info->valid_ms),
	};
}

void op_reply_err(struct op *op, int r)
{
	op_end(op, r);
	(void)fuse_reply_err(op->req, r < 0 ? -r : 0);
}

void op_reply_entry(struct op *op, int r, const struct supafs_node_info *info)
{
	struct fuse_entry_param e;

	if (r < 0) {
		op_reply_err(op, r);
		return;
	}
	op_entry_param(info, &e);
	op_end(op, 0);
	/* The caller is gone: the kernel has not counted this look-up. */
	if (fuse_reply_entry(op->req, &e) == -ENOENT)
		supafs_vfs_forget(op->vfs, info->node, 1);
}

void op_reply_attr(struct op *op, int r, const struct supafs_node_info *info)
{
	if (r < 0) {
		op_reply_err(op, r);
		return;
	}
	op_end(op, 0);
	(void)fuse_reply_attr(op->req, &info->st, op_seconds(info->valid_ms));
}

void op_reply_buf(struct op *op, ssize_t r, const void *buf)
{
	if (r < 0) {
		op_reply_err(op, (int)r);
		return;
	}
	op_end(op, 0);
	(void)fuse_reply_buf(op->req, buf, (size_t)r);
}

void op_reply_view(struct op *op, ssize_t r, const struct supafs_view *view)
{
	if (r < 0) {
		op_reply_err(op, (int)r);
		return;
	}
	op_end(op, 0);
	(void)fuse_reply_iov(op->req, view->iov, (int)view->n);
}
