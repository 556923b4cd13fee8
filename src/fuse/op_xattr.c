/* SPDX-License-Identifier: Apache-2.0 */
/* Operations on extended attributes: getxattr, setxattr, listxattr, removexattr. */
#include <errno.h>
#include <stdlib.h>

#include "supafs/util/cleanup.h"

#include "op.h"

#define XATTR_BUF_MAX 65536 /* the kernel's own limit of a value and of a list */

/* A size of 0 asks for the length alone. */
static void reply(struct op *op, ssize_t r, size_t size, const void *buf)
{
	if (r < 0) {
		op_reply_err(op, (int)r);
	} else if (size > 0) {
		op_reply_buf(op, r, buf);
	} else {
		op_end(op, 0);
		(void)fuse_reply_xattr(op->req, (size_t)r);
	}
}

static size_t bounded(size_t size)
{
	return size < XATTR_BUF_MAX ? size : XATTR_BUF_MAX;
}

static void op_getxattr(fuse_req_t req, fuse_ino_t node, const char *name, size_t size)
{
	supafs_autofree void *buf = size ? malloc(bounded(size)) : NULL;
	ssize_t r = -ENOMEM;
	struct op op;

	op_begin(&op, req, "getxattr", node, NULL);
	if (buf || size == 0)
		r = supafs_vfs_getxattr(
			op.vfs, &op.call, node, supafs_str_of(name), buf, bounded(size), &op.fault);
	reply(&op, r, size, buf);
}

static void op_listxattr(fuse_req_t req, fuse_ino_t node, size_t size)
{
	supafs_autofree void *buf = size ? malloc(bounded(size)) : NULL;
	ssize_t r = -ENOMEM;
	struct op op;

	op_begin(&op, req, "listxattr", node, NULL);
	if (buf || size == 0)
		r = supafs_vfs_listxattr(op.vfs, &op.call, node, buf, bounded(size), &op.fault);
	reply(&op, r, size, buf);
}

/* NOLINTNEXTLINE(readability-function-size): libfuse's form */
static void op_setxattr(fuse_req_t req, fuse_ino_t node, const char *name, const char *value,
	size_t size, int flags)
{
	struct op op;

	op_begin(&op, req, "setxattr", node, NULL);
	op_reply_err(&op, supafs_vfs_setxattr(op.vfs, &op.call, node, supafs_str_of(name),
				  (struct supafs_str){value, size}, flags, &op.fault));
}

static void op_removexattr(fuse_req_t req, fuse_ino_t node, const char *name)
{
	struct op op;

	op_begin(&op, req, "removexattr", node, NULL);
	op_reply_err(&op,
		supafs_vfs_removexattr(op.vfs, &op.call, node, supafs_str_of(name), &op.fault));
}

void ops_xattr(struct fuse_lowlevel_ops *ops)
{
	ops->getxattr = op_getxattr;
	ops->listxattr = op_listxattr;
	ops->setxattr = op_setxattr;
	ops->removexattr = op_removexattr;
}
