/* SPDX-License-Identifier: Apache-2.0 */
/* Operations on names: lookup, forget, mkdir, symlink, unlink, rmdir, rename; no links, no nodes.
 */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "op.h"

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct op op;
	struct supafs_node_info info = {0};

	op_begin(&op, req, "lookup", parent, name);
	int r = supafs_vfs_lookup(op.vfs, &op.call, parent, supafs_str_of(name), &info, &op.fault);
	op_reply_entry(&op, r, &info);
}

static void op_forget(fuse_req_t req, fuse_ino_t node, uint64_t n)
{
	struct supafs_fuse *f = fuse_req_userdata(req);

	supafs_vfs_forget(f->vfs, node, n);
	fuse_reply_none(req);
}

static void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	struct supafs_fuse *f = fuse_req_userdata(req);

	for (size_t i = 0; i < count; i++)
		supafs_vfs_forget(f->vfs, forgets[i].ino, forgets[i].nlookup);
	fuse_reply_none(req);
}

static void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	struct op op;
	struct supafs_node_info info = {0};
	const struct supafs_owner owner = op_owner(req);
	const struct supafs_make mk = {
		.parent = parent,
		.name = supafs_str_of(name),
		.mode = mode,
		.owner = &owner,
	};

	op_begin(&op, req, "mkdir", parent, name);
	int r = supafs_vfs_mkdir(op.vfs, &op.call, &mk, &info, &op.fault);
	op_reply_entry(&op, r, &info);
}

static void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
	struct op op;
	struct supafs_node_info info = {0};
	const struct supafs_owner owner = op_owner(req);
	const struct supafs_make mk = {
		.parent = parent,
		.name = supafs_str_of(name),
		.target = supafs_str_of(target),
		.owner = &owner,
	};

	op_begin(&op, req, "symlink", parent, name);
	int r = supafs_vfs_symlink(op.vfs, &op.call, &mk, &info, &op.fault);
	op_reply_entry(&op, r, &info);
}

static void op_readlink(fuse_req_t req, fuse_ino_t node)
{
	struct op op;
	char target[PATH_MAX + 1];

	op_begin(&op, req, "readlink", node, NULL);
	ssize_t r = supafs_vfs_readlink(op.vfs, &op.call, node, target, sizeof(target), &op.fault);
	if (r < 0) {
		op_reply_err(&op, (int)r);
		return;
	}
	op_end(&op, 0);
	(void)fuse_reply_readlink(req, target);
}

static void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct op op;

	op_begin(&op, req, "unlink", parent, name);
	int r = supafs_vfs_unlink(op.vfs, &op.call, parent, supafs_str_of(name), op.pid, &op.fault);
	op_reply_err(&op, r);
}

static void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct op op;

	op_begin(&op, req, "rmdir", parent, name);
	op_reply_err(
		&op, supafs_vfs_rmdir(op.vfs, &op.call, parent, supafs_str_of(name), &op.fault));
}

static void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent,
	const char *newname, unsigned int flags)
{
	struct op op;
	struct supafs_rename rename = {
		.parent = parent,
		.new_parent = newparent,
		.name = supafs_str_of(name),
		.new_name = supafs_str_of(newname),
		.flags = flags,
	};

	op_begin(&op, req, "rename", parent, name);
	op_reply_err(&op, supafs_vfs_rename(op.vfs, &op.call, &rename, &op.fault));
}

/* A hard link would need two keys for one content. */
static void op_link(fuse_req_t req, fuse_ino_t node, fuse_ino_t newparent, const char *newname)
{
	(void)node;
	(void)newparent;
	(void)newname;
	(void)fuse_reply_err(req, EPERM);
}

void ops_name(struct fuse_lowlevel_ops *ops)
{
	ops->lookup = op_lookup;
	ops->forget = op_forget;
	ops->forget_multi = op_forget_multi;
	ops->mkdir = op_mkdir;
	ops->symlink = op_symlink;
	ops->readlink = op_readlink;
	ops->unlink = op_unlink;
	ops->rmdir = op_rmdir;
	ops->rename = op_rename;
	ops->link = op_link;
}
