/* SPDX-License-Identifier: Apache-2.0 */
/* mkdir, rmdir, symlink, readlink. */
#include "supafs/util/name.h"

#include "folder_attr.h"
#include "gather.h"
#include "handle.h"
#include "keyq.h"
#include "learn.h"
#include "mime.h"
#include "ops.h"

#define TARGET_MAX 4095

/* The place of a name that must not be there yet. */
static int new_name(struct supafs_vfs *v, struct supafs_call *call, struct vfs_node *parent,
	struct supafs_str name, struct vfs_place *place, struct supafs_fault *fault)
{
	struct supafs_dirent ent;
	struct vfs_key dir;
	int r = vfs_look(v, call, parent, name, &ent, fault);

	if (r != -ENOENT)
		return r == 0 ? -EEXIST : r;
	r = vfs_node_dir(v, parent, &dir);
	return r == 0 ? vfs_place_new(v, place, &dir, name, false) : r;
}

/* The node of something that was just made, for the kernel. */
static int made(struct supafs_vfs *v, struct vfs_node *parent, const struct vfs_place *place,
	const struct supafs_attr *attr, struct supafs_node_info *ret)
{
	struct supafs_dirent ent = {.name_n = place->name_n, .seg_n = place->seg_n, .attr = *attr};
	struct vfs_node *node;
	int r;

	memcpy(ent.name, place->name, place->name_n + 1);
	memcpy(ent.seg, place->seg, place->seg_n + 1);
	r = vfs_node_obtain(v, parent, &ent, 1, &node);
	if (r != 0)
		return r;
	vfs_info(v, node, attr, ret);
	vfs_node_put(v, node);
	return 0;
}

static int make_folder(struct supafs_vfs *v, struct supafs_call *call,
	const struct vfs_place *place, struct supafs_attr *attr, struct supafs_fault *fault)
{
	int r;

	vfs_folder_born(v, &place->key, &attr->meta);
	r = vfs_put_placeholder(v, call, &place->key, true, fault);
	if (r != 0) {
		vfs_folder_gone(v, &place->key);
		return r;
	}
	attr->ino = supafs_catalog_ino(v->cfg.catalog);
	vfs_view_present(v, place, attr);
	(void)supafs_catalog_born(v->cfg.catalog, vfs_key_rel(&place->key));
	supafs_catalog_keeper(v->cfg.catalog, vfs_key_rel(&place->key), true);
	return 0;
}

static int mkdir_in(struct supafs_vfs *v, struct supafs_call *call, struct vfs_node *parent,
	const struct supafs_make *mk, struct supafs_node_info *ret, struct supafs_fault *fault)
{
	const int64_t now = v->cfg.clock->wall_ns(v->cfg.clock);
	const struct supafs_str name = mk->name;
	struct supafs_attr attr = {.folder = true,
		.modified_ns = now,
		.meta = {.has = SUPAFS_META_MTIME | SUPAFS_META_MODE,
			.mtime_ns = now,
			.mode = mk->mode & 07777}};
	struct vfs_place place;
	struct vfs_ticket t;
	int r = new_name(v, call, parent, name, &place, fault);

	vfs_own(v, parent, mk->owner, true, &attr.meta);
	if (r == 0) {
		const struct vfs_place file = place;

		r = vfs_place_set(
			&place, &file.dir, name, (struct supafs_str){file.seg, file.seg_n}, true);
	}
	if (r == 0)
		r = vfs_keyq_enter(
			v->keyq, call, &t, vfs_key_full(&place.key), (struct supafs_str){NULL, 0});
	if (r != 0)
		return r;
	r = make_folder(v, call, &place, &attr, fault);
	vfs_keyq_leave(v->keyq, &t);
	return r == 0 ? made(v, parent, &place, &attr, ret) : r;
}

int supafs_vfs_mkdir(struct supafs_vfs *v, struct supafs_call *call, const struct supafs_make *mk,
	struct supafs_node_info *ret, struct supafs_fault *fault)
{
	struct vfs_node *folder = NULL;
	int r;

	supafs_fault_clear(fault);
	if (v->cfg.read_only)
		return -EROFS;
	r = vfs_node_get_folder(v, mk->parent, &folder);
	if (r != 0)
		return r;
	r = mkdir_in(v, call, folder, mk, ret, fault);
	if (r == 0)
		vfs_folder_touched(v, folder);
	vfs_learn_result(v, folder->id, VFS_LEARN_MAKE, r, fault);
	vfs_node_put(v, folder);
	return vfs_errno(r);
}

/* --- rmdir ---------------------------------------------------------------------------------------
 */

int vfs_check_empty(struct supafs_vfs *v, struct supafs_call *call, struct vfs_node *folder,
	const struct vfs_key *dir, struct vfs_keepers *ret, struct supafs_fault *fault)
{
	bool empty = false;
	int r;

	if (vfs_node_has_local(v, folder))
		return -ENOTEMPTY;
	r = supafs_catalog_is_empty(v->cfg.catalog, call, vfs_key_rel(dir), &empty,
		&ret->placeholder, &ret->marker, fault);
	if (r != 0)
		return r;
	return empty ? 0 : -ENOTEMPTY;
}

static int remove_key(struct supafs_vfs *v, struct supafs_call *call, const struct vfs_key *dir,
	struct supafs_str seg, struct supafs_fault *fault)
{
	char key[SUPAFS_KEY_MAX + sizeof(SUPAFS_PLACEHOLDER)];
	int r;

	memcpy(key, dir->p, dir->n);
	if (seg.n)
		memcpy(key + dir->n, seg.p, seg.n);
	r = v->cfg.store->ops->remove(
		v->cfg.store, call, (struct supafs_str){key, dir->n + seg.n}, fault);
	return r == -ENOENT ? 0 : r;
}

static int remove_keepers(struct supafs_vfs *v, struct supafs_call *call, const struct vfs_key *dir,
	const struct vfs_keepers *keepers, struct supafs_fault *fault)
{
	int r = 0;

	if (keepers->marker)
		r = remove_key(v, call, dir, SUPAFS_STR(""), fault);
	if (r == 0 && keepers->placeholder)
		r = remove_key(v, call, dir, SUPAFS_STR(SUPAFS_PLACEHOLDER), fault);
	return r;
}

static int rmdir_placed(struct supafs_vfs *v, struct supafs_call *call, struct vfs_node *node,
	const struct vfs_place *place, struct supafs_fault *fault)
{
	struct vfs_keepers keepers = {0};
	int r = vfs_check_empty(v, call, node, &place->key, &keepers, fault);
	uint64_t id;

	if (r == 0)
		r = vfs_keep_folder(v, call, &place->dir, 1, true, fault);
	if (r != 0)
		return r;
	id = vfs_view_leaving(v, place);
	r = remove_keepers(v, call, &place->key, &keepers, fault);
	if (r != 0) {
		vfs_view_undo(v, place, id);
		supafs_catalog_drop(v->cfg.catalog, vfs_key_rel(&place->key), false);
		return r;
	}
	vfs_view_ack(v, place, id, NULL);
	vfs_folder_gone(v, &place->key);
	vfs_folder_changed(v, &place->dir);
	supafs_catalog_drop(v->cfg.catalog, vfs_key_rel(&place->key), true);
	SUPAFS_SCOPED_LOCK(&v->ns);
	vfs_node_detach_locked(v, node);
	return 0;
}

static int rmdir_node(struct supafs_vfs *v, struct supafs_call *call, struct vfs_node *node,
	struct supafs_fault *fault)
{
	struct vfs_place place;
	struct vfs_ticket t;
	int r = vfs_node_place(v, node, &place);

	if (r == 0)
		r = vfs_gather_settle(v, call, &place.key, true, true);
	if (r == 0)
		r = vfs_ticket_take(v, call, node, &t, &place);
	if (r != 0)
		return r;
	r = rmdir_placed(v, call, node, &place, fault);
	vfs_keyq_leave(v->keyq, &t);
	return r;
}

int supafs_vfs_rmdir(struct supafs_vfs *v, struct supafs_call *call, uint64_t parent,
	struct supafs_str name, struct supafs_fault *fault)
{
	struct vfs_node *folder = NULL, *node = NULL;
	struct supafs_dirent ent;
	int r;

	supafs_fault_clear(fault);
	if (v->cfg.read_only)
		return -EROFS;
	r = vfs_node_get_folder(v, parent, &folder);
	if (r != 0)
		return r;
	r = vfs_look(v, call, folder, name, &ent, fault);
	if (r == 0 && !ent.attr.folder)
		r = -ENOTDIR;
	if (r == 0)
		r = vfs_node_obtain(v, folder, &ent, 0, &node);
	if (r == 0)
		r = rmdir_node(v, call, node, fault);
	vfs_node_put(v, node);
	vfs_node_put(v, folder);
	return vfs_errno(r);
}

/* --- Symbolic links ------------------------------------------------------------------------------
 */

static ssize_t read_target(void *ctx, void *buf, size_t n, uint64_t off)
{
	const struct supafs_str *target = ctx;

	if (off >= target->n)
		return 0;
	if (n > target->n - off)
		n = target->n - off;
	memcpy(buf, target->p + off, n);
	return (ssize_t)n;
}

static int symlink_in(struct supafs_vfs *v, struct supafs_call *call, struct vfs_node *parent,
	const struct supafs_make *mk, struct supafs_node_info *ret, struct supafs_fault *fault)
{
	struct supafs_str target = mk->target;
	const int64_t now = v->cfg.clock->wall_ns(v->cfg.clock);
	struct supafs_attr attr = {
		.modified_ns = now,
		.meta = {.has = SUPAFS_META_MTIME | SUPAFS_META_MODE,
			.mtime_ns = now,
			.mode = S_IFLNK | 0777},
		.version = {.size = target.n},
	};
	struct supafs_put_args args = {.size = target.n,
		.pread = read_target,
		.ctx = &target,
		.mime = vfs_mime_of(v->mimes, mk->name),
		.exclusive = true};
	struct vfs_place place;
	struct vfs_ticket t;
	int r = new_name(v, call, parent, mk->name, &place, fault);

	if (r == 0)
		r = vfs_keyq_enter(
			v->keyq, call, &t, vfs_key_full(&place.key), (struct supafs_str){NULL, 0});
	if (r != 0)
		return r;
	vfs_own(v, parent, mk->owner, false, &attr.meta);
	args.meta = attr.meta;
	args.key = vfs_key_full(&place.key);
	r = v->cfg.store->ops->put(v->cfg.store, call, &args, attr.version.id, fault);
	if (r == 0) {
		attr.ino = supafs_catalog_ino(v->cfg.catalog);
		vfs_view_present(v, &place, &attr);
	}
	vfs_keyq_leave(v->keyq, &t);
	return r == 0 ? made(v, parent, &place, &attr, ret) : r;
}

int supafs_vfs_symlink(struct supafs_vfs *v, struct supafs_call *call, const struct supafs_make *mk,
	struct supafs_node_info *ret, struct supafs_fault *fault)
{
	struct vfs_node *folder = NULL;
	int r;

	supafs_fault_clear(fault);
	if (v->cfg.read_only)
		return -EROFS;
	if (!v->cfg.store_meta)
		return -EPERM; /* nothing would tell it from a file */
	if (mk->target.n == 0 || mk->target.n > TARGET_MAX)
		return mk->target.n ? -ENAMETOOLONG : -ENOENT;
	r = vfs_node_get_folder(v, mk->parent, &folder);
	if (r != 0)
		return r;
	r = symlink_in(v, call, folder, mk, ret, fault);
	if (r == 0)
		vfs_folder_touched(v, folder);
	vfs_node_put(v, folder);
	return vfs_errno(r);
}

static ssize_t read_link(struct supafs_vfs *v, struct supafs_call *call, struct vfs_node *node,
	char *buf, size_t size, struct supafs_fault *fault)
{
	struct supafs_content *content = NULL;
	struct supafs_stream *stream = NULL;
	struct supafs_attr attr;
	struct vfs_place place;
	ssize_t n = vfs_current(v, call, node, false, &attr, fault);

	if (n == 0)
		n = vfs_node_place(v, node, &place);
	if (n == 0 && (!(attr.meta.has & SUPAFS_META_MODE) || !S_ISLNK(attr.meta.mode)))
		n = -EINVAL;
	if (n == 0 && (attr.version.size == 0 || attr.version.size > TARGET_MAX))
		n = -EIO;
	if (n == 0)
		n = supafs_content_get(
			v->cfg.data, vfs_key_full(&place.key), &attr.version, &content);
	if (n == 0)
		n = supafs_stream_new(content, &stream);
	if (n == 0)
		n = supafs_stream_read(stream, call, buf, size - 1, 0, fault);
	if (n >= 0)
		buf[n] = '\0';
	if (n == -ESTALE && stream) /* before that the name was another kind of thing */
		vfs_view_forget(v, &place);
	(void)supafs_stream_free(stream);
	(void)supafs_content_unref(content);
	return n;
}

ssize_t supafs_vfs_readlink(struct supafs_vfs *v, struct supafs_call *call, uint64_t node,
	char *buf, size_t size, struct supafs_fault *fault)
{
	struct vfs_node *it = NULL;
	ssize_t n;
	int r;

	supafs_fault_clear(fault);
	if (size == 0)
		return -EINVAL;
	r = vfs_node_get(v, node, &it);
	if (r != 0)
		return r;
	n = it->folder ? -EINVAL : read_link(v, call, it, buf, size, fault);
	vfs_node_put(v, it);
	return n < 0 ? vfs_errno((int)n) : n;
}
