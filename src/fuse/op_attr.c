/* SPDX-License-Identifier: Apache-2.0 */
/* Operations on attributes: getattr, setattr, statfs. */
#include <errno.h>

#include "op.h"

static void op_getattr(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	struct op op;
	struct supafs_node_info info = {0};

	op_begin(&op, req, "getattr", node, NULL);
	int r = fi ? supafs_vfs_getattr_open(op.vfs, &op.call, node, fi->fh, &info, &op.fault)
		   : supafs_vfs_getattr(op.vfs, &op.call, node, &info, &op.fault);
	op_reply_attr(&op, r, &info);
}

/* Nanoseconds of 64 bits reach to the year 2262; what is beyond is taken for that. */
static int64_t ns_of(const struct timespec *t)
{
	const int64_t max = INT64_MAX / SUPAFS_NS_PER_S - 1;
	const int64_t s = t->tv_sec > max ? max : t->tv_sec < -max ? -max : t->tv_sec;

	return s * SUPAFS_NS_PER_S + t->tv_nsec;
}

/* A change time cannot be asked for. */
static void decode_setattr(const struct supafs_clock *clock, const struct stat *st, int to_set,
	struct supafs_setattr *ret)
{
	static const struct {
		int fuse;
		unsigned ours;
	} bits[] = {
		{FUSE_SET_ATTR_MODE, SUPAFS_SET_MODE},
		{FUSE_SET_ATTR_UID, SUPAFS_SET_UID},
		{FUSE_SET_ATTR_GID, SUPAFS_SET_GID},
		{FUSE_SET_ATTR_SIZE, SUPAFS_SET_SIZE},
		{FUSE_SET_ATTR_MTIME, SUPAFS_SET_MTIME},
		{FUSE_SET_ATTR_MTIME_NOW, SUPAFS_SET_MTIME},
		{FUSE_SET_ATTR_ATIME, SUPAFS_SET_ATIME},
		{FUSE_SET_ATTR_ATIME_NOW, SUPAFS_SET_ATIME},
	};

	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(bits); i++) {
		if (to_set & bits[i].fuse)
			ret->which |= bits[i].ours;
	}
	ret->mode = st->st_mode & 07777;
	ret->uid = st->st_uid;
	ret->gid = st->st_gid;
	ret->size = (uint64_t)st->st_size;
	ret->mtime_ns = ns_of(&st->st_mtim);
	ret->atime_ns = ns_of(&st->st_atim);
	if (to_set & FUSE_SET_ATTR_MTIME_NOW)
		ret->mtime_ns = clock->wall_ns(clock);
	if (to_set & FUSE_SET_ATTR_ATIME_NOW)
		ret->atime_ns = clock->wall_ns(clock);
}

static void op_setattr(
	fuse_req_t req, fuse_ino_t node, struct stat *attr, int to_set, struct fuse_file_info *fi)
{
	struct op op;
	struct supafs_node_info info = {0};
	struct supafs_setattr set = {.fh = fi ? fi->fh : 0};
	int r;

	op_begin(&op, req, "setattr", node, NULL);
	decode_setattr(op.fuse->clock, attr, to_set, &set);
	if (set.which)
		r = supafs_vfs_setattr(op.vfs, &op.call, node, &set, &info, &op.fault);
	else
		r = supafs_vfs_getattr(op.vfs, &op.call, node, &info, &op.fault);
	op_reply_attr(&op, r, &info);
}

static void op_statfs(fuse_req_t req, fuse_ino_t node)
{
	struct supafs_fuse *f = fuse_req_userdata(req);
	struct statvfs st = {0};

	(void)node;
	supafs_vfs_statfs(f->vfs, &st);
	(void)fuse_reply_statfs(req, &st);
}

void ops_attr(struct fuse_lowlevel_ops *ops)
{
	ops->getattr = op_getattr;
	ops->setattr = op_setattr;
	ops->statfs = op_statfs;
}
