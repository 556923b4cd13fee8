/* SPDX-License-Identifier: Apache-2.0 */
/* Operations on folders: opendir, readdir, readdirplus, releasedir, fsyncdir. */
#include <errno.h>
#include <stdlib.h>

#include "op.h"

static void op_opendir(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	struct supafs_fuse *f = fuse_req_userdata(req);
	uint64_t fh = 0;
	int r = supafs_vfs_opendir(f->vfs, node, &fh);

	if (r < 0) {
		(void)fuse_reply_err(req, -r);
		return;
	}
	fi->fh = fh;
	if (fuse_reply_open(req, fi) == -ENOENT)
		supafs_vfs_releasedir(f->vfs, fh);
}

struct page {
	fuse_req_t req;
	char *p;
	size_t n, size;
	bool plus;
};

static bool add_item(void *ctx, const struct supafs_dir_item *item)
{
	struct page *page = ctx;
	char *at = page->p + page->n;
	size_t room = page->size - page->n, need;

	if (page->plus) {
		struct fuse_entry_param e;

		op_entry_param(&item->info, &e);
		need = fuse_add_direntry_plus(
			page->req, at, room, item->name, &e, (off_t)item->next_off);
	} else {
		need = fuse_add_direntry(
			page->req, at, room, item->name, &item->info.st, (off_t)item->next_off);
	}
	if (need > room)
		return false;
	page->n += need;
	return true;
}

static void read_page(struct op *op, size_t size, off_t off, uint64_t fh, bool plus)
{
	void *buf = io_buf_get(op->fuse);
	struct page page = {.req = op->req,
		.p = buf,
		.size = size < FUSE_IO_MAX ? size : FUSE_IO_MAX,
		.plus = plus};
	int r = -ENOMEM;

	if (buf)
		r = supafs_vfs_readdir(op->vfs, &op->call,
			&(const struct supafs_dir_read){
				.fh = fh,
				.off = (uint64_t)off,
				.plus = plus,
				.add = add_item,
				.ctx = &page,
			},
			&op->fault);
	op_reply_buf(op, r < 0 ? r : (ssize_t)page.n, buf);
	io_buf_put(op->fuse, buf);
}

static void op_readdir(
	fuse_req_t req, fuse_ino_t node, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct op op;

	op_begin(&op, req, "readdir", node, NULL);
	read_page(&op, size, off, fi->fh, false);
}

static void op_readdirplus(
	fuse_req_t req, fuse_ino_t node, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct op op;

	op_begin(&op, req, "readdir", node, NULL);
	read_page(&op, size, off, fi->fh, true);
}

static void op_releasedir(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	struct supafs_fuse *f = fuse_req_userdata(req);

	(void)node;
	supafs_vfs_releasedir(f->vfs, fi->fh);
	(void)fuse_reply_err(req, 0);
}

static void op_fsyncdir(fuse_req_t req, fuse_ino_t node, int datasync, struct fuse_file_info *fi)
{
	struct op op;

	(void)datasync;
	op_begin(&op, req, "fsyncdir", node, NULL);
	op_reply_err(&op, supafs_vfs_fsyncdir(op.vfs, &op.call, fi->fh, &op.fault));
}

void ops_dir(struct fuse_lowlevel_ops *ops)
{
	ops->opendir = op_opendir;
	ops->readdir = op_readdir;
	ops->readdirplus = op_readdirplus;
	ops->releasedir = op_releasedir;
	ops->fsyncdir = op_fsyncdir;
}
