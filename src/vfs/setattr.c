/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changing attributes. They ride along with an upload that is due; without one they wait for the
 * close of a handle that is open for writing, or for each other (later.h), and go as one copy of
 * the object onto itself. A change to what is already so costs nothing. A mode or owner that cannot
 * be kept (the object is too large to be copied) is accepted all the same: tar x, cp -a and rsync
 * -a must end with 0. One that the role may not make is EACCES.
 */
#include <fcntl.h>

#include "attrs.h"
#include "folder_attr.h"
#include "handle.h"
#include "journal.h"
#include "later.h"
#include "queue.h"
#include "touch.h"

#define ATTRS (SUPAFS_SET_MODE | SUPAFS_SET_UID | SUPAFS_SET_GID | SUPAFS_SET_MTIME)

/* Is everything that is to be set already shown? */
static bool is_so(const struct supafs_setattr *set, const struct supafs_node_info *now)
{
	const struct stat *st = &now->st;
	const int64_t mtime = vfs_ns_of(&st->st_mtim);

	if ((set->which & SUPAFS_SET_MODE) && (set->mode & 07777) != (st->st_mode & 07777))
		return false;
	if ((set->which & SUPAFS_SET_UID) && set->uid != st->st_uid)
		return false;
	if ((set->which & SUPAFS_SET_GID) && set->gid != st->st_gid)
		return false;
	return !(set->which & SUPAFS_SET_MTIME) || set->mtime_ns == mtime;
}

static void change_meta(struct supafs_meta *m, const struct supafs_setattr *set)
{
	if (set->which & SUPAFS_SET_MODE) {
		const uint32_t kind = m->has & SUPAFS_META_MODE ? m->mode & (uint32_t)S_IFMT : 0;

		m->mode = kind | (set->mode & 07777);
		m->has |= SUPAFS_META_MODE;
	}
	if (set->which & SUPAFS_SET_UID) {
		m->uid = set->uid;
		m->has |= SUPAFS_META_UID;
	}
	if (set->which & SUPAFS_SET_GID) {
		m->gid = set->gid;
		m->has |= SUPAFS_META_GID;
	}
	if (set->which & SUPAFS_SET_MTIME) {
		m->mtime_ns = set->mtime_ns;
		m->has |= SUPAFS_META_MTIME;
	}
}

/* *ret_idle: nothing else will send it. -EAGAIN: it is being sent. */
static int edit_once(
	struct supafs_vfs *v, struct vfs_content *c, const struct vfs_edit *edit, bool *ret_idle)
{
	int r;

	SUPAFS_SCOPED_LOCK(&c->lock);
	if (c->state == VFS_UPLOADING)
		return -EAGAIN;
	r = edit->fn(v, c, edit->ctx);
	if (r != 0)
		return r;
	c->pristine = false;
	*ret_idle = false;
	if (!vfs_state_unsent(c->state) && !c->unlinked && v->cfg.store_meta) {
		c->attrs_wait = true;
		*ret_idle = c->open_write == 0;
	}
	return 0;
}

static bool may_wait(struct supafs_vfs *v, struct vfs_node *node)
{
	{
		SUPAFS_SCOPED_LOCK(&node->content->lock);
		if (node->content->version.size > VFS_COPY_MAX)
			return false;
	}
	return vfs_later_may(v, node) && vfs_later_add(v, node) == 0;
}

int vfs_content_edit(struct supafs_vfs *v, struct supafs_call *call, struct vfs_node *node,
	const struct vfs_edit *edit, struct supafs_fault *fault)
{
	struct vfs_content *c = node->content;
	bool idle = false;
	int r;

	while ((r = edit_once(v, c, edit, &idle)) == -EAGAIN) {
		vfs_content_stop(c); /* in the background: it is begun again with the change */
		r = vfs_content_wait(c, call);
		if (r != 0)
			break;
	}
	if (r == 0 && !idle)
		vfs_promise_refresh(v, node);
	if (r != 0 || !idle)
		vfs_queue_look(v, node);
	if (r != 0 || !idle || may_wait(v, node))
		return r;
	return vfs_content_settle(v, node, call, false, fault);
}

int vfs_content_settle_attrs(struct supafs_vfs *v, struct vfs_node *node, struct supafs_call *call,
	struct supafs_fault *fault)
{
	{
		SUPAFS_SCOPED_LOCK(&node->content->lock);
		if (!node->content->attrs_wait)
			return 0;
	}
	return vfs_content_settle(v, node, call, false, fault);
}

static int edit_meta(struct supafs_vfs *v, struct vfs_content *c, void *ctx)
{
	(void)v;
	change_meta(&c->meta, ctx);
	return 0;
}

/* The server cannot store it, whoever asks. */
static bool forgivable(int r)
{
	return r == -EOPNOTSUPP || r == -EFBIG;
}

static int set_meta(struct supafs_vfs *v, struct supafs_call *call, struct vfs_node *node,
	const struct supafs_setattr *set, struct supafs_fault *fault)
{
	struct supafs_setattr copy = *set;
	const struct vfs_edit edit = {edit_meta, &copy};
	int r = vfs_content_edit(v, call, node, &edit, fault);

	return forgivable(r) && !(set->which & SUPAFS_SET_MTIME) ? 0 : r;
}

int vfs_resize(struct supafs_vfs *v, struct vfs_node *node, struct supafs_call *call,
	unsigned epoch, uint64_t size)
{
	struct vfs_content *c = node->content;
	int r = vfs_check_size(v, size);

	if (r == 0)
		r = vfs_content_begin(v, node, call, epoch, size == 0);
	if (r != 0)
		return r;
	r = supafs_spool_truncate(c->spool, size);
	vfs_content_end(v, node, r == 0);
	return r;
}

static int set_size(struct supafs_vfs *v, struct supafs_call *call, struct vfs_node *node,
	const struct supafs_setattr *set, bool *ret_changed)
{
	struct vfs_content *c = node->content;
	unsigned epoch;
	int r;

	{
		SUPAFS_SCOPED_LOCK(&c->lock);
		*ret_changed = vfs_content_size_locked(c) != set->size;
		epoch = c->epoch;
	}
	if (!*ret_changed)
		return 0;
	r = vfs_resize(v, node, call, epoch, set->size);
	if (r == 0 && set->fh) {
		struct vfs_handle *h = vfs_handle_get(v, set->fh);

		if (h) {
			SUPAFS_SCOPED_LOCK(&h->lock);
			h->wrote = true;
		}
		vfs_handle_put(v, h);
	}
	return r;
}

/* Under a temporary name it waits for the rename, and is promised as by a close. */
static int hold_resized(struct supafs_vfs *v, struct supafs_call *call, struct vfs_node *node,
	struct supafs_fault *fault)
{
	struct vfs_content *c = node->content;
	int r = vfs_content_promise(v, node, call, VFS_HELD, true, fault);

	if (r != -EOPNOTSUPP)
		return r;
	SUPAFS_SCOPED_LOCK(&c->lock);
	if (c->state == VFS_DIRTY && c->open_write == 0 && !vfs_content_busy_locked(c))
		vfs_content_set_state_locked(c, VFS_HELD);
	return 0;
}

/* A truncate by name has no close that would send it. */
static int send_resized(struct supafs_vfs *v, struct supafs_call *call, struct vfs_node *node,
	struct supafs_fault *fault)
{
	struct vfs_content *c = node->content;
	struct vfs_place place;
	int r = vfs_node_place(v, node, &place);

	if (r != 0)
		return r == -ENOENT ? 0 : r;
	{
		SUPAFS_SCOPED_LOCK(&c->lock);
		if (c->open_write > 0)
			return 0;
	}
	return vfs_name_temporary(v, place.name) ? hold_resized(v, call, node, fault)
						 : vfs_content_settle(v, node, call, false, fault);
}

/* The size that was asked for is there, by a truncate that could not be sent: it is asked again. */
static bool owes(struct vfs_content *c)
{
	SUPAFS_SCOPED_LOCK(&c->lock);
	return c->state == VFS_DIRTY || c->state == VFS_FAILED;
}

static int set_file(struct supafs_vfs *v, struct supafs_call *call, struct vfs_node *node,
	const struct supafs_setattr *set, struct supafs_fault *fault)
{
	struct supafs_node_info now;
	bool resized = false;
	int r = vfs_content_now(
		v, call, node, (set->which & SUPAFS_SET_SIZE) && set->size > 0, fault);

	if (r != 0)
		return r;
	if (set->which & SUPAFS_SET_SIZE) {
		r = vfs_content_learn(v, call, node, VFS_ASK_MORE, fault);
		if (r == 0)
			r = set_size(v, call, node, set, &resized);
	}
	if (r == 0 && (set->which & ATTRS)) {
		vfs_info(v, node, NULL, &now);
		if (!is_so(set, &now))
			r = set_meta(v, call, node, set, fault);
	}
	if (r == 0 && (set->which & SUPAFS_SET_SIZE) && !set->fh &&
		(resized || owes(node->content)))
		r = send_resized(v, call, node, fault);
	if (r != 0 && resized) { /* the kernel takes it for undone, but the new bytes are kept */
		vfs_news_inode(v, node->id, true);
		vfs_queue_look(v, node); /* there is no close that would send them */
	}
	vfs_content_put(v, node);
	return r;
}

/* Never an error for what the server has no place for. */
static int set_folder(struct supafs_vfs *v, struct vfs_node *node, const struct supafs_setattr *set)
{
	struct supafs_node_info now;
	struct vfs_key dir;
	int r;

	if (set->which & SUPAFS_SET_SIZE)
		return -EISDIR;
	if (!(set->which & ATTRS))
		return 0;
	r = vfs_node_dir(v, node, &dir);
	if (r != 0)
		return r == -ENOENT ? 0 : r;
	vfs_info(v, node, NULL, &now);
	if (vfs_folder_known(v, &dir) && is_so(set, &now))
		return 0;
	return vfs_folder_set(v, node, set);
}

int supafs_vfs_setattr(struct supafs_vfs *v, struct supafs_call *call, uint64_t node,
	const struct supafs_setattr *set, struct supafs_node_info *ret, struct supafs_fault *fault)
{
	struct vfs_node *it = NULL;
	int r;

	supafs_fault_clear(fault);
	if (v->cfg.read_only)
		return -EROFS;
	r = vfs_node_get(v, node, &it);
	if (r != 0)
		return r;
	if (it->folder)
		r = set_folder(v, it, set);
	else if (set->which & (ATTRS | SUPAFS_SET_SIZE))
		r = set_file(v, call, it, set, fault);
	if (r == 0)
		vfs_touch_set(v, it, set);
	vfs_node_put(v, it);
	if (r != 0)
		return vfs_errno(r);
	return supafs_vfs_getattr(v, call, node, ret, fault);
}
