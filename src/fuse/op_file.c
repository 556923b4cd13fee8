/* SPDX-License-Identifier: Apache-2.0 */
/* Operations on files: open, create, read, write, flush, fsync, release, fallocate, lseek, copy. */
#include <errno.h>
#include <fcntl.h>

#include "op.h"

static void fill_open(struct fuse_file_info *fi, const struct supafs_open_result *res)
{
	fi->fh = res->fh;
	fi->keep_cache = res->keep_cache;
	/* A reader has nothing to send: its close needs no round trip. */
	fi->noflush = (fi->flags & O_ACCMODE) == O_RDONLY;
}

static void op_open(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	struct op op;
	struct supafs_open_result res = {0};

	op_begin(&op, req, "open", node, NULL);
	int r = supafs_vfs_open(op.vfs, &op.call, node, fi->flags, &res, &op.fault);
	if (r < 0) {
		op_reply_err(&op, r);
		return;
	}
	op_end(&op, 0);
	fill_open(fi, &res);
	if (fuse_reply_open(req, fi) == -ENOENT)
		supafs_vfs_release(op.vfs, res.fh);
}

static void op_create(
	fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi)
{
	struct op op;
	const struct supafs_owner owner = op_owner(req);
	struct supafs_create cr = {
		.parent = parent,
		.name = supafs_str_of(name),
		.mode = mode,
		.flags = fi->flags,
		.owner = &owner,
	};
	struct supafs_node_info info = {0};
	struct supafs_open_result res = {0};
	struct fuse_entry_param e;

	op_begin(&op, req, "create", parent, name);
	int r = supafs_vfs_create(op.vfs, &op.call, &cr, &info, &res, &op.fault);
	if (r < 0) {
		op_reply_err(&op, r);
		return;
	}
	op_entry_param(&info, &e);
	op_end(&op, 0);
	fill_open(fi, &res);
	if (fuse_reply_create(req, &e, fi) == -ENOENT) {
		supafs_vfs_release(op.vfs, res.fh);
		supafs_vfs_forget(op.vfs, info.node, 1);
	}
}

/* A regular file made by mknod(2) is an empty object; devices and pipes have no place to be. */
static void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	struct op op;
	const struct supafs_owner owner = op_owner(req);
	struct supafs_create cr = {
		.parent = parent,
		.name = supafs_str_of(name),
		.mode = mode,
		.flags = O_WRONLY | O_CREAT | O_EXCL,
		.owner = &owner,
	};
	struct supafs_node_info info = {0};
	struct supafs_open_result res = {0};

	(void)rdev;
	if (!S_ISREG(mode)) {
		(void)fuse_reply_err(req, EPERM);
		return;
	}
	op_begin(&op, req, "create", parent, name);
	int r = supafs_vfs_create(op.vfs, &op.call, &cr, &info, &res, &op.fault);
	if (r == 0) {
		r = supafs_vfs_flush(op.vfs, &op.call, res.fh, &op.fault);
		supafs_vfs_release(op.vfs, res.fh);
		if (r < 0)
			supafs_vfs_forget(op.vfs, info.node, 1);
	}
	op_reply_entry(&op, r, &info);
}

static void op_read(
	fuse_req_t req, fuse_ino_t node, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct supafs_view view = {0};
	struct op op;
	ssize_t r = -ENOMEM;

	op_begin(&op, req, "read", node, NULL);
	void *buf = io_buf_get(op.fuse);
	if (buf)
		r = supafs_vfs_view(op.vfs, &op.call,
			&(const struct supafs_span){
				.fh = fi->fh,
				.off = (uint64_t)off,
				.n = size < FUSE_IO_MAX ? size : FUSE_IO_MAX,
			},
			buf, &view, &op.fault);
	op_reply_view(&op, r, &view);
	supafs_view_release(&view);
	io_buf_put(op.fuse, buf);
}

static void op_write(fuse_req_t req, fuse_ino_t node, const char *buf, size_t size, off_t off,
	struct fuse_file_info *fi)
{
	struct op op;
	/* The flags are the descriptor's of now: F_SETFL takes O_APPEND back. */
	const struct supafs_span at = {
		.fh = fi->fh,
		.off = (uint64_t)off,
		.n = size,
		.placed = fi->writepage || !(fi->flags & O_APPEND),
	};

	op_begin(&op, req, "write", node, NULL);
	int r = supafs_vfs_write(op.vfs, &op.call, &at, buf, &op.fault);
	if (r < 0) {
		op_reply_err(&op, r);
		return;
	}
	op_end(&op, 0);
	(void)fuse_reply_write(req, size);
}

static void op_flush(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	struct op op;

	op_begin(&op, req, "close", node, NULL);
	op_reply_err(&op, supafs_vfs_flush(op.vfs, &op.call, fi->fh, &op.fault));
}

static void op_fsync(fuse_req_t req, fuse_ino_t node, int datasync, struct fuse_file_info *fi)
{
	struct op op;

	(void)datasync;
	op_begin(&op, req, "fsync", node, NULL);
	op_reply_err(&op, supafs_vfs_fsync(op.vfs, &op.call, fi->fh, &op.fault));
}

static void op_release(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	struct supafs_fuse *f = fuse_req_userdata(req);

	(void)node;
	supafs_vfs_release(f->vfs, fi->fh);
	(void)fuse_reply_err(req, 0);
}

static void op_fallocate(fuse_req_t req, fuse_ino_t node, int mode, off_t off, off_t length,
	struct fuse_file_info *fi)
{
	struct op op;

	op_begin(&op, req, "fallocate", node, NULL);
	const struct supafs_span at = {.fh = fi->fh, .off = (uint64_t)off, .n = (uint64_t)length};

	op_reply_err(&op, supafs_vfs_fallocate(op.vfs, &op.call, &at, mode, &op.fault));
}

static void op_lseek(
	fuse_req_t req, fuse_ino_t node, off_t off, int whence, struct fuse_file_info *fi)
{
	struct supafs_fuse *f = fuse_req_userdata(req);
	uint64_t at = 0;
	int r = supafs_vfs_lseek(f->vfs, fi->fh, (uint64_t)off, whence, &at);

	(void)node;
	if (r < 0)
		(void)fuse_reply_err(req, -r);
	else
		(void)fuse_reply_lseek(req, (off_t)at);
}

/* The signature is libfuse's. */
// NOLINTNEXTLINE(readability-function-size)
static void op_copy_file_range(fuse_req_t req, fuse_ino_t node_in, off_t off_in,
	struct fuse_file_info *fi_in, fuse_ino_t node_out, off_t off_out,
	struct fuse_file_info *fi_out, size_t len, int flags)
{
	struct op op;
	struct supafs_copy_range range = {
		.fh_in = fi_in->fh,
		.off_in = (uint64_t)off_in,
		.fh_out = fi_out->fh,
		.off_out = (uint64_t)off_out,
		.n = len,
	};

	(void)node_in;
	(void)flags;
	op_begin(&op, req, "copy", node_out, NULL);
	ssize_t r = supafs_vfs_copy_range(op.vfs, &op.call, &range, &op.fault);
	if (r < 0) {
		op_reply_err(&op, (int)r);
		return;
	}
	op_end(&op, 0);
	(void)fuse_reply_write(req, (size_t)r);
}

void ops_file(struct fuse_lowlevel_ops *ops)
{
	ops->open = op_open;
	ops->create = op_create;
	ops->mknod = op_mknod;
	ops->read = op_read;
	ops->write = op_write;
	ops->flush = op_flush;
	ops->fsync = op_fsync;
	ops->release = op_release;
	ops->fallocate = op_fallocate;
	ops->lseek = op_lseek;
	ops->copy_file_range = op_copy_file_range;
}
