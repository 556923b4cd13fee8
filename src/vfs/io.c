/* SPDX-License-Identifier: Apache-2.0 */
/* Reading, writing, closing and syncing through a handle. */
#include <fcntl.h>
#include <linux/falloc.h>

#include "attrs.h"
#include "handle.h"
#include "journal.h"

static ssize_t read_by(struct supafs_vfs *v, struct supafs_call *call, uint64_t fh,
	const struct vfs_reading *rd, struct supafs_fault *fault)
{
	struct vfs_handle *h = vfs_handle_get(v, fh);
	ssize_t r = -EBADF;

	supafs_fault_clear(fault);
	if (h && h->c && rd->n == 0)
		r = 0;
	else if (h && h->c)
		r = vfs_handle_read(v, call, h, rd, fault);
	vfs_handle_put(v, h);
	return r < 0 ? vfs_errno((int)r) : r;
}

ssize_t supafs_vfs_read(struct supafs_vfs *v, struct supafs_call *call,
	const struct supafs_span *at, void *buf, struct supafs_fault *fault)
{
	const struct vfs_reading rd = {.off = at->off, .n = at->n, .buf = buf};

	return read_by(v, call, at->fh, &rd, fault);
}

ssize_t supafs_vfs_view(struct supafs_vfs *v, struct supafs_call *call,
	const struct supafs_span *at, void *buf, struct supafs_view *ret_view,
	struct supafs_fault *fault)
{
	struct supafs_view view = {0};
	const struct vfs_reading rd = {.off = at->off, .n = at->n, .buf = buf, .view = &view};
	ssize_t r = read_by(v, call, at->fh, &rd, fault);

	if (r > 0 && view.n == 0) {
		view.iov[0] = (struct iovec){buf, (size_t)r};
		view.n = 1;
	}
	if (r >= 0)
		*ret_view = view;
	return r;
}

static unsigned epoch_of(struct vfs_handle *h)
{
	SUPAFS_SCOPED_LOCK(&h->lock);
	return h->epoch;
}

static void set_wrote(struct vfs_handle *h)
{
	SUPAFS_SCOPED_LOCK(&h->lock);
	h->wrote = true;
}

int vfs_handle_write(struct supafs_vfs *v, struct supafs_call *call, struct vfs_handle *h,
	const struct supafs_span *at, const void *buf)
{
	const bool append = h->append && !at->placed;
	const size_t n = (size_t)at->n;
	struct vfs_content *c = h->c;
	uint64_t off = at->off;
	int r;

	if (!append) {
		r = off > UINT64_MAX - n ? -EFBIG : vfs_check_size(v, off + n);
		if (r != 0)
			return r;
	}
	r = vfs_content_begin_at(v, h->node, call, epoch_of(h), h->append ? UINT64_MAX : off);
	if (r != 0)
		return r;
	if (append) {
		off = supafs_spool_size(c->spool);
		r = vfs_check_size(v, off + n);
	}
	if (r == 0)
		r = supafs_spool_pwrite(c->spool, buf, n, off);
	vfs_content_end(v, h->node, r == 0);
	if (r == 0)
		set_wrote(h);
	return r;
}

int supafs_vfs_write(struct supafs_vfs *v, struct supafs_call *call, const struct supafs_span *at,
	const void *buf, struct supafs_fault *fault)
{
	struct vfs_handle *h = vfs_handle_get(v, at->fh);
	int r = -EBADF;

	supafs_fault_clear(fault);
	if (h && h->c && h->writable)
		r = at->n == 0 ? 0 : vfs_handle_write(v, call, h, at, buf);
	vfs_handle_put(v, h);
	return vfs_errno(r);
}

/* Under a temporary name nothing is sent: the bytes wait for the rename, and the journal has them
 * meanwhile. */
static bool is_held_back(struct supafs_vfs *v, struct vfs_handle *h)
{
	struct vfs_place place;

	return vfs_node_place(v, h->node, &place) == 0 && vfs_name_temporary(v, place.name);
}

static int hold(struct supafs_vfs *v, struct supafs_call *call, struct vfs_handle *h,
	struct supafs_fault *fault)
{
	struct vfs_content *c = h->c;
	int r = vfs_content_promise(v, h->node, call, VFS_HELD, true, fault);

	if (r != -EOPNOTSUPP)
		return r;
	SUPAFS_SCOPED_LOCK(&c->lock);
	if (c->state == VFS_DIRTY && c->open_write <= 1 && c->writers == 0)
		vfs_content_set_state_locked(c, VFS_HELD);
	return 0;
}

/* A shell's `> file` closes the descriptor that it opened, after a dup2() and before the first
 * write: an empty file is sent at the second close, or when it is released. */
static bool first_close_of_empty(struct vfs_handle *h)
{
	bool empty;

	{
		SUPAFS_SCOPED_LOCK(&h->c->lock);
		empty = h->c->state == VFS_DIRTY && vfs_content_size_locked(h->c) == 0;
	}
	SUPAFS_SCOPED_LOCK(&h->lock);
	if (!empty || !h->fresh || h->wrote || h->flushed)
		return false;
	h->flushed = true;
	return true;
}

/* The close of a file that goes to the server now, or that the journal has first. */
static int close_file(struct supafs_vfs *v, struct supafs_call *call, struct vfs_handle *h,
	struct supafs_fault *fault)
{
	const bool empty = first_close_of_empty(h);
	int r;

	if (v->cfg.writeback || empty) {
		r = vfs_content_promise(v, h->node, call, VFS_QUEUED, v->cfg.writeback, fault);
		if (r == 0 || r == -EINTR || r == -ETIMEDOUT)
			return r;
		if (empty && r == -EOPNOTSUPP)
			return 0;
		/* The journal could not take it: so it is the server that has to. */
		supafs_fault_clear(fault);
	}
	return vfs_content_settle(v, h->node, call, false, fault);
}

int supafs_vfs_flush(
	struct supafs_vfs *v, struct supafs_call *call, uint64_t fh, struct supafs_fault *fault)
{
	struct vfs_handle *h = vfs_handle_get(v, fh);
	int r = 0;

	supafs_fault_clear(fault);
	if (!h || !h->c)
		r = -EBADF;
	else if (h->writable && is_held_back(v, h))
		r = hold(v, call, h, fault);
	else if (h->writable)
		r = close_file(v, call, h, fault);
	else
		r = vfs_content_settle_attrs(v, h->node, call, fault);
	vfs_handle_put(v, h);
	return vfs_errno(r);
}

static int sync_spool(struct vfs_content *c)
{
	struct vfs_bytes b;
	int r;

	{
		SUPAFS_SCOPED_LOCK(&c->lock);
		if (!vfs_content_join_locked(c, &b))
			return 0;
	}
	r = supafs_spool_sync(b.spool);
	vfs_content_io_end(c);
	return r;
}

static int sync_held(struct supafs_vfs *v, struct supafs_call *call, struct vfs_handle *h,
	struct supafs_fault *fault)
{
	int r = vfs_content_promise(v, h->node, call, VFS_HELD, true, fault);

	return r == -EOPNOTSUPP ? sync_spool(h->c) : r;
}

int supafs_vfs_fsync(
	struct supafs_vfs *v, struct supafs_call *call, uint64_t fh, struct supafs_fault *fault)
{
	struct vfs_handle *h = vfs_handle_get(v, fh);
	int r;

	supafs_fault_clear(fault);
	if (!h || !h->c)
		r = -EBADF;
	else if (is_held_back(v, h))
		r = sync_held(v, call, h, fault);
	else
		r = vfs_content_settle(v, h->node, call, false, fault);
	vfs_handle_put(v, h);
	return vfs_errno(r);
}

/* Before the file is touched: what is refused costs no upload. */
static int check_allocate(const struct supafs_vfs *v, const struct supafs_span *at, int mode)
{
	const bool keep = (mode & FALLOC_FL_KEEP_SIZE) != 0;

	switch (mode & ~FALLOC_FL_KEEP_SIZE) {
	case 0:
	case FALLOC_FL_ZERO_RANGE:
		break;
	case FALLOC_FL_PUNCH_HOLE:
		if (keep)
			break;
		return -EOPNOTSUPP;
	default:
		return -EOPNOTSUPP;
	}
	if (at->n == 0)
		return -EINVAL;
	if (at->off > (uint64_t)INT64_MAX - at->n)
		return -EFBIG;
	return keep ? 0 : vfs_check_size(v, at->off + at->n);
}

/* A mode that was checked. */
static int allocate(struct supafs_spool *spool, const struct supafs_span *at, int mode)
{
	const bool keep = (mode & FALLOC_FL_KEEP_SIZE) != 0;

	if (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
		return supafs_spool_zero(spool, at->off, at->n, !keep);
	if (!keep && at->off + at->n > supafs_spool_size(spool))
		return supafs_spool_truncate(spool, at->off + at->n);
	return 0;
}

/* Room cannot be kept: the file's last blocks are the server's. */
static bool allocates_nothing(struct vfs_content *c, const struct supafs_span *at, int mode)
{
	uint64_t size;

	{
		SUPAFS_SCOPED_LOCK(&c->lock);
		size = vfs_content_size_locked(c);
	}
	if (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
		return (mode & FALLOC_FL_KEEP_SIZE) && at->off >= size;
	return (mode & FALLOC_FL_KEEP_SIZE) || at->off + at->n <= size;
}

int supafs_vfs_fallocate(struct supafs_vfs *v, struct supafs_call *call,
	const struct supafs_span *at, int mode, struct supafs_fault *fault)
{
	struct vfs_handle *h = vfs_handle_get(v, at->fh);
	int r = h && h->c && h->writable ? check_allocate(v, at, mode) : -EBADF;

	supafs_fault_clear(fault);
	if (r == 0 && !allocates_nothing(h->c, at, mode)) {
		r = vfs_content_begin(v, h->node, call, epoch_of(h), false);
		if (r == 0) {
			r = allocate(h->c->spool, at, mode);
			vfs_content_end(v, h->node, r == 0);
		}
		if (r == 0)
			set_wrote(h);
	}
	vfs_handle_put(v, h);
	return vfs_errno(r);
}

static int seek_clean(uint64_t size, uint64_t off, int whence, uint64_t *ret_off)
{
	if (off >= size)
		return -ENXIO;
	*ret_off = whence == SEEK_DATA ? off : size;
	return 0;
}

int supafs_vfs_lseek(struct supafs_vfs *v, uint64_t fh, uint64_t off, int whence, uint64_t *ret_off)
{
	struct vfs_handle *h;
	struct vfs_bytes b;
	bool spool = false;
	uint64_t size = 0;
	int r;

	if (whence != SEEK_DATA && whence != SEEK_HOLE)
		return -EINVAL;
	h = vfs_handle_get(v, fh);
	if (!h || !h->c) {
		vfs_handle_put(v, h);
		return -EBADF;
	}
	{
		SUPAFS_SCOPED_LOCK(&h->c->lock);
		size = vfs_content_size_locked(h->c);
		spool = vfs_content_join_locked(h->c, &b);
	}
	if (spool) {
		r = supafs_spool_seek(b.spool, off, whence == SEEK_HOLE, ret_off);
		vfs_content_io_end(h->c);
	} else {
		r = seek_clean(size, off, whence, ret_off);
	}
	vfs_handle_put(v, h);
	return r;
}
