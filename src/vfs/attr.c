/* SPDX-License-Identifier: Apache-2.0 */
/* Attributes: from the view and from local content to struct stat, and the ways to change them. */
#include "facts.h"
#include "folder_attr.h"
#include "gather.h"
#include "handle.h"
#include "keyq.h"
#include "learn.h"
#include "touch.h"

struct timespec vfs_time_of(int64_t ns)
{
	struct timespec t = {ns / SUPAFS_NS_PER_S, (long)(ns % SUPAFS_NS_PER_S)};

	if (t.tv_nsec < 0) {
		t.tv_sec--;
		t.tv_nsec += SUPAFS_NS_PER_S;
	}
	return t;
}

int64_t vfs_ns_of(const struct timespec *t)
{
	return (int64_t)t->tv_sec * SUPAFS_NS_PER_S + t->tv_nsec;
}

void vfs_own(struct supafs_vfs *v, struct vfs_node *parent, const struct supafs_owner *owner,
	bool folder, struct supafs_meta *m)
{
	const gid_t own = owner ? owner->gid : v->cfg.gid;
	struct supafs_node_info dir;
	gid_t gid = own;

	vfs_info(v, parent, NULL, &dir);
	if (dir.st.st_mode & S_ISGID) {
		gid = dir.st.st_gid;
		if (folder)
			m->mode |= S_ISGID;
		else if (gid != own && owner && owner->uid != 0 && (m->mode & S_IXGRP))
			m->mode &= ~(uint32_t)S_ISGID; /* nobody makes such a one for others */
	}
	if (owner && owner->uid != v->cfg.uid) {
		m->uid = owner->uid;
		m->has |= SUPAFS_META_UID;
	}
	if (gid != v->cfg.gid) {
		m->gid = gid;
		m->has |= SUPAFS_META_GID;
	}
}

static mode_t mode_of(const struct supafs_vfs *v, const struct supafs_attr *attr)
{
	const struct supafs_meta *m = &attr->meta;

	if (attr->folder)
		return S_IFDIR |
		       (m->has & SUPAFS_META_MODE ? m->mode & 07777 : v->cfg.dir_mode & 07777);
	if ((m->has & SUPAFS_META_MODE) && S_ISLNK(m->mode))
		return S_IFLNK | 0777;
	return S_IFREG | (m->has & SUPAFS_META_MODE ? m->mode & 07777 : v->cfg.file_mode & 07777);
}

static void fill_stat(const struct supafs_vfs *v, const struct supafs_attr *attr, struct stat *st)
{
	const struct supafs_meta *m = &attr->meta;

	*st = (struct stat){
		.st_ino = attr->ino,
		.st_mode = mode_of(v, attr),
		.st_nlink = 1,
		.st_uid = m->has & SUPAFS_META_UID ? m->uid : v->cfg.uid,
		.st_gid = m->has & SUPAFS_META_GID ? m->gid : v->cfg.gid,
		.st_blksize = SUPAFS_BLOCK_SIZE,
	};
	if (!attr->folder) {
		st->st_size = (off_t)attr->version.size;
		st->st_blocks = (blkcnt_t)((attr->version.size + 511) / 512);
	}
	st->st_mtim = vfs_time_of(m->has & SUPAFS_META_MTIME ? m->mtime_ns : attr->modified_ns);
	st->st_ctim = st->st_atim = st->st_mtim;
	/* A folder's newest file becomes known as it is listed: tar takes a time of change that
	 * moves meanwhile for a change of the folder. */
	if (attr->folder)
		st->st_ctim = vfs_time_of(v->born_ns);
	if (attr->folder && attr->modified_ns == 0)
		st->st_mtim = st->st_atim = st->st_ctim;
}

void vfs_info_bare(
	struct supafs_vfs *v, const struct supafs_attr *attr, struct supafs_node_info *ret)
{
	ret->node = 0;
	ret->valid_ms = v->cfg.ttl_ms;
	fill_stat(v, attr, &ret->st);
}

/* True, and the content's own attributes, where the view does not know better. */
static bool local_attr(struct supafs_vfs *v, struct vfs_node *node, bool need,
	struct supafs_attr *ret) SUPAFS_REQUIRES(v->ns);
static bool local_attr(
	struct supafs_vfs *v, struct vfs_node *node, bool need, struct supafs_attr *ret)
{
	struct vfs_content *c = node->content;

	(void)v;
	if (!c || (!need && node->linked && !vfs_content_is_local(c)))
		return false;
	vfs_content_attr(c, node->ino, ret);
	return true;
}

void vfs_info(struct supafs_vfs *v, struct vfs_node *node, const struct supafs_attr *attr,
	struct supafs_node_info *ret)
{
	struct supafs_attr own = {.folder = node->folder};
	struct vfs_key dir;
	bool linked, placed = false;

	{
		SUPAFS_SCOPED_LOCK(&v->ns);
		linked = node->linked;
		own.ino = node->ino;
		if (!local_attr(v, node, attr == NULL, &own) && attr)
			own = *attr;
		if (own.folder)
			placed = vfs_node_dir_locked(v, node, &dir) == 0;
	}
	vfs_info_bare(v, &own, ret);
	if (placed)
		vfs_folder_show(v, &dir, &ret->st);
	vfs_touch_show(v, node, &ret->st);
	ret->node = node->id;
	vfs_learn_show(v, node, ret);
	if (!linked)
		ret->st.st_nlink = 0;
}

void vfs_notice(struct supafs_vfs *v, struct supafs_call *call, struct vfs_node *node,
	const struct supafs_attr *attr)
{
	struct vfs_content *c = vfs_content_peek(v, node);
	struct supafs_fault ignored = {0};

	if (!c)
		return;
	/* `attr` may be older than what was sent from here since: looked at again, in order. */
	if (vfs_content_superseded(c, attr) &&
		vfs_content_now(v, call, node, false, &ignored) == 0) {
		{
			SUPAFS_SCOPED_LOCK(&v->ns);
			node->pages = VFS_PAGES_NONE;
		}
		vfs_news_inode(v, node->id, true);
		vfs_content_put(v, node);
	}
	vfs_content_put(v, node);
}

int vfs_look(struct supafs_vfs *v, struct supafs_call *call, struct vfs_node *parent,
	struct supafs_str name, struct supafs_dirent *ret, struct supafs_fault *fault)
{
	struct vfs_key dir;
	int r = vfs_node_dir(v, parent, &dir);

	if (r == 0)
		r = vfs_keyq_pass(v->keyq, call, vfs_key_full(&dir));
	if (r == 0)
		r = vfs_gather_settle_name(v, call, &dir, name);
	if (r != 0)
		return r;
	/* While a folder is being emptied, what it was known to have is enough: its listing is not
	 * asked for again at each end of the ttl, just to delete the rest. */
	if (vfs_gather_bursting(v->gather, &dir) &&
		supafs_catalog_peek(v->cfg.catalog, vfs_key_rel(&dir), name, ret) ==
			SUPAFS_PEEK_PRESENT)
		return 0;
	return supafs_catalog_lookup(
		v->cfg.catalog, call, vfs_key_rel(&dir), name, false, ret, fault);
}

int vfs_current(struct supafs_vfs *v, struct supafs_call *call, struct vfs_node *node, bool etag,
	struct supafs_attr *ret, struct supafs_fault *fault)
{
	struct supafs_dirent ent;
	struct vfs_place place;
	struct supafs_str name;
	int r = vfs_node_place(v, node, &place);

	if (r == 0)
		r = vfs_keyq_pass(v->keyq, call, vfs_key_full(&place.key));
	if (r == 0) /* a folder's rename may just have ended */
		r = vfs_node_place(v, node, &place);
	if (r != 0)
		return r;
	name = (struct supafs_str){place.name, place.name_n};
	r = supafs_catalog_lookup(
		v->cfg.catalog, call, vfs_key_rel(&place.dir), name, false, &ent, fault);
	if (r == 0 && etag && !ent.attr.folder && !ent.attr.version.etag[0] &&
		ent.attr.version.size > 0)
		r = supafs_catalog_lookup(
			v->cfg.catalog, call, vfs_key_rel(&place.dir), name, true, &ent, fault);
	if (r != 0)
		return r;
	if (ent.attr.folder != node->folder)
		return -ESTALE;
	*ret = ent.attr;
	vfs_complete(v, call, &place.key, ret);
	return 0;
}

void vfs_complete(struct supafs_vfs *v, struct supafs_call *call, const struct vfs_key *key,
	struct supafs_attr *attr)
{
	if (!attr->folder)
		vfs_facts_complete(v, call, key, attr);
	else if (call && vfs_folder_wanted(v, key))
		vfs_folder_ask(v, call, key);
}

void vfs_complete_in(struct supafs_vfs *v, struct supafs_call *call, struct vfs_node *parent,
	struct supafs_dirent *ent)
{
	struct vfs_place place;
	struct vfs_key dir;

	if (!ent->attr.folder && !vfs_facts_wanted(v, &ent->attr))
		return;
	if (vfs_node_dir(v, parent, &dir) == 0 &&
		vfs_place_set(&place, &dir, (struct supafs_str){ent->name, ent->name_n},
			(struct supafs_str){ent->seg, ent->seg_n}, ent->attr.folder) == 0)
		vfs_complete(v, call, &place.key, &ent->attr);
}

/* Known without the view: local content, a name that is gone. */
static bool known_here(struct supafs_vfs *v, struct vfs_node *node)
{
	SUPAFS_SCOPED_LOCK(&v->ns);
	if (!node->linked)
		return node->folder || node->content;
	return node->content && vfs_content_is_local(node->content);
}

static bool is_open(struct supafs_vfs *v, struct vfs_node *node)
{
	SUPAFS_SCOPED_LOCK(&v->ns);
	if (!node->content)
		return false;
	SUPAFS_SCOPED_LOCK(&node->content->lock);
	return node->content->open > 0;
}

static int get_info(struct supafs_vfs *v, struct supafs_call *call, struct vfs_node *node,
	struct supafs_node_info *ret, struct supafs_fault *fault)
{
	struct supafs_attr attr;
	int r;

	if (node->id == SUPAFS_ROOT_ID || known_here(v, node)) {
		vfs_info(v, node, NULL, ret);
		return 0;
	}
	r = vfs_current(v, call, node, false, &attr, fault);
	if (r == 0) {
		vfs_notice(v, call, node, &attr);
		vfs_info(v, node, &attr, ret);
		return 0;
	}
	/* Removed elsewhere: as it was. What waits here is reached without the server. */
	if ((r == -ENOENT && is_open(v, node)) || (vfs_unanswered(r) && vfs_node_is_way(v, node))) {
		supafs_fault_clear(fault);
		vfs_info(v, node, NULL, ret);
		return 0;
	}
	return r;
}

int supafs_vfs_getattr(struct supafs_vfs *v, struct supafs_call *call, uint64_t node,
	struct supafs_node_info *ret, struct supafs_fault *fault)
{
	struct vfs_node *it = NULL;
	int r;

	supafs_fault_clear(fault);
	r = vfs_node_get(v, node, &it);
	if (r != 0)
		return r;
	r = get_info(v, call, it, ret, fault);
	vfs_node_put(v, it);
	return vfs_errno(r);
}

static bool is_stale(struct vfs_handle *h)
{
	SUPAFS_SCOPED_LOCK(&h->c->lock);
	SUPAFS_SCOPED_LOCK(&h->lock);
	return h->epoch != h->c->epoch;
}

int supafs_vfs_getattr_open(struct supafs_vfs *v, struct supafs_call *call, uint64_t node,
	uint64_t fh, struct supafs_node_info *ret, struct supafs_fault *fault)
{
	struct vfs_handle *h = vfs_handle_get(v, fh);
	struct supafs_node_info info;
	int r = supafs_vfs_getattr(v, call, node, &info, fault);

	/* The new size must not reach the kernel for a read through an old handle. */
	if (r == 0 && h && h->c && is_stale(h))
		r = -ESTALE;
	if (r == 0)
		*ret = info;
	vfs_handle_put(v, h);
	return r;
}

void supafs_vfs_statfs(struct supafs_vfs *v, struct statvfs *ret)
{
	const uint64_t blocks = UINT64_C(1) << 38; /* 1 PiB of 4 KiB: the server tells no quota */

	(void)v;
	*ret = (struct statvfs){
		.f_bsize = 4096,
		.f_frsize = 4096,
		.f_blocks = blocks,
		.f_bfree = blocks,
		.f_bavail = blocks,
		.f_files = UINT32_MAX,
		.f_ffree = UINT32_MAX,
		.f_favail = UINT32_MAX,
		.f_namemax = SUPAFS_NAME_MAX,
	};
}
