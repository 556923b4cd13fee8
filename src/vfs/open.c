/* SPDX-License-Identifier: Apache-2.0 */
/* Opening, creating and releasing files. */
#include <fcntl.h>

#include "attrs.h"
#include "folder_attr.h"
#include "gather.h"
#include "handle.h"
#include "journal.h"
#include "keyq.h"
#include "mime.h"
#include "queue.h"

#define CREATE_TRIES 50

int vfs_check_size(const struct supafs_vfs *v, uint64_t size)
{
	const uint64_t limit = v->cfg.bucket ? v->cfg.bucket->size_limit : 0;

	if (size > VFS_OBJECT_MAX || (limit && size > limit))
		return -EFBIG;
	return 0;
}

int vfs_check_type(const struct supafs_vfs *v, struct supafs_str name)
{
	if (!v->cfg.bucket)
		return 0;
	return vfs_mime_allowed(supafs_buf_str(&v->cfg.bucket->mimes), vfs_mime_of(v->mimes, name))
		       ? 0
		       : -EPERM;
}

/* --- The kernel's pages --------------------------------------------------------------------------
 */

static uint64_t hash_version(const struct supafs_version *version)
{
	return supafs_hash_str(supafs_str_of(version->etag)) ^ supafs_hash_u64(version->size);
}

static uint64_t hash_sent(uint64_t size, int64_t mtime_ns)
{
	return supafs_hash_u64(size) ^ supafs_hash_u64(~(uint64_t)mtime_ns);
}

static bool pages_match_locked(const struct vfs_node *node, const struct vfs_content *c)
{
	if (node->pages == VFS_PAGES_SENT)
		return (c->meta.has & SUPAFS_META_MTIME) &&
		       node->pages_hash == hash_sent(c->version.size, c->meta.mtime_ns);
	return node->pages == VFS_PAGES_VERSION && node->pages_hash == hash_version(&c->version);
}

/* May the kernel keep its pages? And what they are from now on. While a file is open
 * all writes go through the kernel, so its pages are the spool's. */
static bool keep_pages(struct supafs_vfs *v, struct vfs_node *node)
{
	SUPAFS_SCOPED_LOCK(&v->ns);
	struct vfs_content *c = node->content;

	SUPAFS_SCOPED_LOCK(&c->lock);
	if (c->spool || c->ref)
		return c->open > 1;

	const bool keep = pages_match_locked(node, c);

	node->pages = c->version.etag[0] ? VFS_PAGES_VERSION : VFS_PAGES_NONE;
	node->pages_hash = hash_version(&c->version);
	return keep;
}

/* A file that is let go: its pages are of what was sent. */
static void note_pages(struct supafs_vfs *v, struct vfs_node *node)
{
	SUPAFS_SCOPED_LOCK(&v->ns);
	struct vfs_content *c = node->content;

	SUPAFS_SCOPED_LOCK(&c->lock);
	if (c->state != VFS_SAVED || !v->cfg.store_meta || !(c->meta.has & SUPAFS_META_MTIME))
		return;
	node->pages = VFS_PAGES_SENT;
	node->pages_hash = hash_sent(c->version.size, c->meta.mtime_ns);
}

/* --- Open ----------------------------------------------------------------------------------------
 */

static void join_content(struct vfs_handle *h, struct vfs_content *c)
{
	SUPAFS_SCOPED_LOCK(&c->lock);
	c->open++;
	c->open_write += h->writable;
	SUPAFS_SCOPED_LOCK(&h->lock);
	h->epoch = c->epoch;
	h->moves = c->moves;
	h->version = c->version;
}

static void leave_content(struct vfs_handle *h, struct vfs_content *c)
{
	SUPAFS_SCOPED_LOCK(&c->lock);
	c->open--;
	c->open_write -= h->writable;
}

static bool is_known(struct vfs_content *c, unsigned *ret_stamp)
{
	SUPAFS_SCOPED_LOCK(&c->lock);
	*ret_stamp = c->stamp;
	return c->unlinked || c->attrs_wait || vfs_state_unsent(c->state);
}

static uint32_t sends_of(struct supafs_vfs *v, const struct vfs_node *node)
{
	SUPAFS_SCOPED_LOCK(&v->ns);
	return node->sends;
}

static int content_once(struct supafs_vfs *v, struct supafs_call *call, struct vfs_node *node,
	bool etag, struct supafs_fault *fault)
{
	const uint32_t sends = sends_of(v, node);
	struct vfs_content *c = vfs_content_peek(v, node);
	struct supafs_attr attr;
	unsigned stamp;
	int r;

	if (!c) {
		r = vfs_current(v, call, node, etag, &attr, fault);
		return r == 0 ? vfs_content_get(v, node, &attr, &sends, &c) : r;
	}
	if (is_known(c, &stamp))
		return 0;
	r = vfs_current(v, call, node, etag, &attr, fault);
	if (r == 0)
		r = vfs_content_adopt(c, call, &attr, stamp);
	if (r != 0)
		vfs_content_put(v, node);
	return r;
}

int vfs_content_now(struct supafs_vfs *v, struct supafs_call *call, struct vfs_node *node,
	bool etag, struct supafs_fault *fault)
{
	int r;

	do
		r = content_once(v, call, node, etag, fault);
	while (r == -EAGAIN && supafs_call_check(call) == 0);
	return r;
}

/* Makes the handle; the content's reference is the caller's until success. */
static int make_handle(
	struct supafs_vfs *v, struct vfs_node *node, int flags, struct vfs_handle **ret_h)
{
	struct vfs_handle *h;
	int r;

	{
		SUPAFS_SCOPED_LOCK(&v->ns);
		vfs_node_ref_locked(node);
	}
	r = vfs_handle_new(v, node, node->content, flags, &h);
	if (r != 0) {
		vfs_node_put(v, node);
		return r;
	}
	join_content(h, node->content);
	*ret_h = h;
	return 0;
}

int vfs_open_node(struct supafs_vfs *v, struct supafs_call *call, struct vfs_node *node, int flags,
	struct supafs_open_result *ret, struct supafs_fault *fault)
{
	const bool cut = (flags & O_TRUNC) && (flags & O_ACCMODE) != O_RDONLY;
	struct vfs_handle *h = NULL;
	int r = vfs_content_now(v, call, node, !cut, fault);

	if (r !=
		0) /* of a name that is gone the kernel then asks again, and gets the true answer */
		return r == -ENOENT ? -ESTALE : r;
	if ((flags & O_ACCMODE) != O_RDONLY) /* an upload replaces what is beside the bytes, too */
		r = vfs_content_learn(v, call, node, VFS_ASK_MORE, fault);
	if (r == 0)
		r = make_handle(v, node, flags, &h);
	if (r != 0) {
		vfs_content_put(v, node);
		return r;
	}
	ret->fh = h->id;
	ret->keep_cache = keep_pages(v, node);
	if (h->writable && (flags & O_TRUNC)) {
		h->fresh = true;
		r = vfs_resize(v, node, call, h->epoch, 0);
		if (r != 0)
			supafs_vfs_release(v, h->id);
	}
	return r;
}

int supafs_vfs_open(struct supafs_vfs *v, struct supafs_call *call, uint64_t node, int flags,
	struct supafs_open_result *ret, struct supafs_fault *fault)
{
	struct supafs_open_result out = {0};
	struct vfs_node *it = NULL;
	int r;

	supafs_fault_clear(fault);
	if (v->cfg.read_only && ((flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC)))
		return -EROFS;
	r = vfs_node_get(v, node, &it);
	if (r != 0)
		return r;
	r = it->folder ? -EISDIR : vfs_open_node(v, call, it, flags, &out, fault);
	vfs_node_put(v, it);
	if (r == 0)
		*ret = out;
	return vfs_errno(r);
}

/* --- Create
 * --------------------------------------------------------------------------------------- */

/* What a create returns. */
struct vfs_created {
	struct supafs_node_info info;
	struct supafs_open_result open;
};

/* The node of a new file, dirty, in the view. */
static int make_file(struct supafs_vfs *v, struct vfs_node *parent, const struct vfs_place *place,
	const struct supafs_create *cr, struct vfs_node **ret_node)
{
	const int64_t now = v->cfg.clock->wall_ns(v->cfg.clock);
	struct supafs_dirent ent = {.name_n = place->name_n,
		.seg_n = place->seg_n,
		.attr = {.ino = supafs_catalog_ino(v->cfg.catalog),
			.modified_ns = now,
			.meta = {.has = SUPAFS_META_MTIME | SUPAFS_META_MODE,
				.mtime_ns = now,
				.mode = cr->mode & 07777}}};

	vfs_own(v, parent, cr->owner, false, &ent.attr.meta);
	memcpy(ent.name, place->name, place->name_n + 1);
	memcpy(ent.seg, place->seg, place->seg_n + 1);
	return vfs_content_birth(v, parent, &ent, (cr->flags & O_EXCL) != 0, ret_node);
}

static int create_new(struct supafs_vfs *v, struct vfs_node *parent, const struct vfs_place *place,
	const struct supafs_create *cr, struct vfs_created *ret)
{
	struct vfs_handle *h = NULL;
	struct vfs_node *node;
	int r = vfs_check_type(v, cr->name);

	if (r == 0)
		r = make_file(v, parent, place, cr, &node);
	if (r != 0)
		return r;
	r = make_handle(v, node, cr->flags, &h);
	if (r == 0) {
		h->fresh = true;
		vfs_folder_touched(v, parent);
		vfs_info(v, node, NULL, &ret->info);
		ret->open = (struct supafs_open_result){.fh = h->id};
	} else {
		vfs_content_put(v, node);
		vfs_node_forget(v, node->id, 1);
	}
	vfs_node_put(v, node);
	return r;
}

/* Somebody was there first: an open. */
struct existing {
	struct vfs_node *parent;
	const struct supafs_dirent *ent;
	int flags;
};

static int open_existing(struct supafs_vfs *v, struct supafs_call *call, const struct existing *ex,
	struct vfs_created *ret, struct supafs_fault *fault)
{
	struct vfs_node *node;
	int r;

	if (ex->flags & O_EXCL)
		return -EEXIST;
	if (ex->ent->attr.folder)
		return -EISDIR;
	r = vfs_node_obtain(v, ex->parent, ex->ent, 1, &node);
	if (r != 0)
		return r;
	r = vfs_open_node(v, call, node, ex->flags, &ret->open, fault);
	if (r == 0)
		vfs_info(v, node, &ex->ent->attr, &ret->info);
	else
		vfs_node_forget(v, node->id, 1);
	vfs_node_put(v, node);
	return r;
}

static int create_once(struct supafs_vfs *v, struct supafs_call *call, struct vfs_node *parent,
	const struct supafs_create *cr, struct vfs_created *ret, struct supafs_fault *fault)
{
	struct supafs_dirent ent;
	struct vfs_place place;
	struct vfs_key dir;
	int r = vfs_look(v, call, parent, cr->name, &ent, fault);

	if (r == 0) {
		vfs_complete_in(v, call, parent, &ent);
		r = open_existing(
			v, call, &(const struct existing){parent, &ent, cr->flags}, ret, fault);
	}
	if (r != -ENOENT)
		return r;
	r = vfs_node_dir(v, parent, &dir);
	if (r == 0)
		r = vfs_place_new(v, &place, &dir, cr->name, false);
	if (r != 0)
		return r;
	r = create_new(v, parent, &place, cr, ret);
	if (r == 0)
		vfs_folder_changed(v, &dir);
	return r == -EEXIST ? -EAGAIN : r;
}

int supafs_vfs_create(struct supafs_vfs *v, struct supafs_call *call,
	const struct supafs_create *cr, struct supafs_node_info *ret_info,
	struct supafs_open_result *ret, struct supafs_fault *fault)
{
	struct vfs_created made = {0};
	struct vfs_node *parent = NULL;
	int r;

	supafs_fault_clear(fault);
	if (v->cfg.read_only)
		return -EROFS;
	r = vfs_node_get_folder(v, cr->parent, &parent);
	if (r != 0)
		return r;
	/* Again when somebody else made it between look-up and make. */
	r = -EAGAIN;
	for (int tries = 0; r == -EAGAIN && tries < CREATE_TRIES; tries++)
		r = create_once(v, call, parent, cr, &made, fault);
	vfs_node_put(v, parent);
	if (r == 0) {
		*ret_info = made.info;
		*ret = made.open;
	}
	return r == -EAGAIN ? -ESTALE : vfs_errno(r);
}

/* --- Release
 * -------------------------------------------------------------------------------------- */

/* A process that died left it so: held back under a temporary name, or sent in the background. */
static void left_behind(struct supafs_vfs *v, struct vfs_node *node)
{
	struct vfs_content *c = node->content;
	struct supafs_fault fault = {0};
	struct supafs_call call;
	struct vfs_place place;
	bool hold;
	int r;

	{
		SUPAFS_SCOPED_LOCK(&c->lock);
		hold = !c->unlinked && c->open_write == 0 &&
		       (c->state == VFS_DIRTY || c->state == VFS_REFERENCE);
	}
	hold = hold && vfs_node_place(v, node, &place) == 0 && vfs_name_temporary(v, place.name);
	if (!hold) {
		vfs_queue_look(v, node);
		return;
	}
	vfs_call_init(v, &call);
	r = vfs_content_promise(v, node, &call, VFS_HELD, true, &fault);
	supafs_call_fini(&call);
	SUPAFS_SCOPED_LOCK(&c->lock);
	if (r != 0 && c->state == VFS_DIRTY && c->open_write == 0 && !vfs_content_busy_locked(c))
		vfs_content_set_state_locked(c, VFS_HELD);
}

void supafs_vfs_release(struct supafs_vfs *v, uint64_t fh)
{
	struct vfs_handle *h = vfs_handle_take(v, fh);

	if (!h)
		return;
	if (h->c) {
		leave_content(h, h->c);
		note_pages(v, h->node);
		if (h->writable)
			left_behind(v, h->node);
	}
	vfs_handle_put(v, h);
}
