/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Extended attributes. `user.NAME` of a file is NAME in the object's user metadata; names below
 * `user.supafs.` are made up here (xattr_own.c). Other classes are answered without a request, as
 * a file system without them does.
 *
 * What is asked of the server: nothing for an object of ours whose listing says that there is no
 * more; else one info, kept by version (facts.h).
 */
#include "xattr.h"

#include <sys/xattr.h>

#include "supafs/util/cleanup.h"

#include "facts.h"
#include "handle.h"
#include "mime.h"

#define NAME_MAX_LISTED 250 /* bytes of NAME: "user." and it make XATTR_NAME_MAX */

static const struct supafs_str user_prefix = {"user.", 5};

/* --- Classes -------------------------------------------------------------------------------------
 */

enum kind {
	KIND_USER,
	KIND_OWN,
	KIND_NONE, /* not here. ls asks for security.* of each file, unless it is told so */
};

static enum kind kind_of(struct supafs_str name)
{
	if (supafs_str_starts(name, SUPAFS_STR(VFS_XATTR_OWN)))
		return KIND_OWN;
	return supafs_str_starts(name, user_prefix) ? KIND_USER : KIND_NONE;
}

static struct supafs_str without_prefix(struct supafs_str name)
{
	return (struct supafs_str){name.p + user_prefix.n, name.n - user_prefix.n};
}

/* Of a metadata name: is it shown as an attribute? */
static bool shown(struct supafs_str name)
{
	return name.n <= NAME_MAX_LISTED && !supafs_user_reserved(name) &&
	       !supafs_str_starts(name, SUPAFS_STR("supafs."));
}

ssize_t vfs_xattr_reply(struct supafs_str value, void *buf, size_t size)
{
	if (size == 0)
		return (ssize_t)value.n;
	if (value.n > size)
		return -ERANGE;
	if (value.n)
		memcpy(buf, value.p, value.n);
	return (ssize_t)value.n;
}

/* --- What is there now ---------------------------------------------------------------------------
 */

/* From the content, if it knows. *ret_version: what else to ask for. */
static bool from_content(
	struct vfs_content *c, struct supafs_info *ret, struct supafs_version *ret_version)
{
	SUPAFS_SCOPED_LOCK(&c->lock);
	*ret_version = c->version;
	if (c->user_known || c->unlinked || (!c->remote && !c->maybe_remote)) {
		ret->user_n = c->user.n;
		if (c->user.n)
			memcpy(ret->user, c->user.p, c->user.n);
		return true;
	}
	return vfs_told_by_listing(&c->meta);
}

static int from_server(struct supafs_vfs *v, struct supafs_call *call, struct vfs_node *node,
	const struct supafs_version *version, struct supafs_info *ret, struct supafs_fault *fault)
{
	struct vfs_place place;
	int r = vfs_node_place(v, node, &place);

	return r == 0 ? vfs_facts_get(v, call, &place.key, version, ret, fault) : r;
}

static int user_now(struct supafs_vfs *v, struct supafs_call *call, struct vfs_node *node,
	struct supafs_info *ret, struct supafs_fault *fault)
{
	struct vfs_content *c = vfs_content_peek(v, node);
	struct supafs_version version;
	struct supafs_attr attr;
	int r;

	ret->user_n = 0;
	if (c) {
		const bool known = from_content(c, ret, &version);

		vfs_content_put(v, node);
		return known ? 0 : from_server(v, call, node, &version, ret, fault);
	}
	r = vfs_current(v, call, node, false, &attr, fault);
	if (r != 0 || vfs_told_by_listing(&attr.meta))
		return r;
	return from_server(v, call, node, &attr.version, ret, fault);
}

/* --- Reading -------------------------------------------------------------------------------------
 */

static ssize_t get_user(struct supafs_vfs *v, struct supafs_call *call, struct vfs_node *node,
	struct supafs_str name, struct vfs_xattr_buf out, struct supafs_fault *fault)
{
	struct supafs_info info;
	struct supafs_str value;
	int r;

	if (node->folder || !shown(name))
		return -ENODATA;
	r = user_now(v, call, node, &info, fault);
	if (r != 0)
		return vfs_errno(r);
	if (!supafs_pairs_get((struct supafs_str){info.user, info.user_n}, name, &value))
		return -ENODATA;
	return vfs_xattr_reply(value, out.p, out.size);
}

/* NOLINTNEXTLINE(readability-function-size): getxattr(2)'s arguments */
ssize_t supafs_vfs_getxattr(struct supafs_vfs *v, struct supafs_call *call, uint64_t node,
	struct supafs_str name, void *buf, size_t size, struct supafs_fault *fault)
{
	const enum kind kind = kind_of(name);
	const struct vfs_xattr_buf out = {buf, size};
	struct vfs_node *it = NULL;
	ssize_t r;

	supafs_fault_clear(fault);
	if (kind == KIND_NONE)
		return -EOPNOTSUPP;
	r = vfs_node_get(v, node, &it);
	if (r != 0)
		return r;
	if (kind == KIND_OWN)
		r = vfs_xattr_get_own(v, call, it, name, out, fault);
	else
		r = get_user(v, call, it, without_prefix(name), out, fault);
	vfs_node_put(v, it);
	return r;
}

static int list_names(struct supafs_str pairs, struct supafs_buf *out)
{
	struct supafs_str name, value;
	size_t pos = 0;

	while (supafs_pairs_next(pairs, &pos, &name, &value)) {
		if (!shown(name))
			continue;
		(void)supafs_buf_addstr(out, user_prefix);
		(void)supafs_buf_addstr(out, name);
		(void)supafs_buf_addc(out, '\0');
	}
	return supafs_buf_error(out);
}

static ssize_t list_user(struct supafs_vfs *v, struct supafs_call *call, struct vfs_node *node,
	struct vfs_xattr_buf out, struct supafs_fault *fault)
{
	struct supafs_info info;
	supafs_cleanup(supafs_buf_fini) struct supafs_buf names;
	int r;

	supafs_buf_init(&names, (size_t)2 * SUPAFS_PAIRS_MAX);
	r = user_now(v, call, node, &info, fault);
	if (r == 0)
		r = list_names((struct supafs_str){info.user, info.user_n}, &names);
	if (r != 0)
		return vfs_errno(r);
	return vfs_xattr_reply(supafs_buf_str(&names), out.p, out.size);
}

ssize_t supafs_vfs_listxattr(struct supafs_vfs *v, struct supafs_call *call, uint64_t node,
	void *buf, size_t size, struct supafs_fault *fault)
{
	struct vfs_node *it = NULL;
	ssize_t r;

	supafs_fault_clear(fault);
	r = vfs_node_get(v, node, &it);
	if (r != 0)
		return r;
	r = it->folder ? 0 : list_user(v, call, it, (struct vfs_xattr_buf){buf, size}, fault);
	vfs_node_put(v, it);
	return r;
}

/* --- Writing -------------------------------------------------------------------------------------
 */

static int replace_pair(struct vfs_content *c, const struct vfs_xattr_set *set)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf user;
	int r;

	supafs_buf_init(&user, SUPAFS_PAIRS_MAX);
	r = supafs_buf_addstr(&user, supafs_buf_str(&c->user));
	if (r == 0 && set->remove)
		(void)supafs_pairs_remove(&user, set->name);
	else if (r == 0)
		r = supafs_pairs_set(&user, set->name, set->value);
	if (r == 0)
		r = supafs_user_check(supafs_buf_str(&user));
	if (r != 0)
		return r;
	supafs_buf_fini(&c->user);
	c->user = user;
	supafs_buf_init(&user, 1);
	return 0;
}

static int edit_user(struct supafs_vfs *v, struct vfs_content *c, void *ctx)
{
	const struct vfs_xattr_set *set = ctx;
	struct supafs_str old;
	bool there;
	int r;

	(void)v;
	if (!c->user_known)
		return -ESTALE; /* another version came meanwhile */
	there = supafs_pairs_get(supafs_buf_str(&c->user), set->name, &old);
	if (there && (set->flags & XATTR_CREATE))
		return -EEXIST;
	if (!there && (set->remove || (set->flags & XATTR_REPLACE)))
		return -ENODATA;
	if (there && !set->remove && supafs_str_eq(old, set->value))
		return VFS_XATTR_SAME;
	r = replace_pair(c, set);
	if (r == 0)
		vfs_content_hint_locked(c);
	return r;
}

static int change_content(struct supafs_vfs *v, struct supafs_call *call, struct vfs_node *node,
	const struct vfs_edit *edit, struct supafs_fault *fault)
{
	int r = vfs_content_learn(v, call, node, VFS_ASK_ALL, fault);

	if (r == 0)
		r = vfs_content_edit(v, call, node, edit, fault);
	return r == VFS_XATTR_SAME ? 0 : r;
}

int vfs_xattr_change(struct supafs_vfs *v, struct supafs_call *call, struct vfs_node *node,
	const struct vfs_edit *edit, struct supafs_fault *fault)
{
	int r;

	do {
		r = vfs_content_now(v, call, node, false, fault);
		if (r != 0)
			break;
		r = change_content(v, call, node, edit, fault);
		vfs_content_put(v, node);
	} while (r == -ESTALE && supafs_call_check(call) == 0);
	return r == -ENODATA || r == -EEXIST ? r : vfs_errno(r);
}

static int change(struct supafs_vfs *v, struct supafs_call *call, struct vfs_node *node,
	struct vfs_xattr_set *set, struct supafs_fault *fault)
{
	const struct vfs_edit edit = {edit_user, set};

	if (kind_of(set->name) == KIND_OWN)
		return vfs_xattr_set_own(v, call, node, set, fault);
	if (node->folder || !v->cfg.store_meta)
		return set->remove ? -ENODATA : -EOPNOTSUPP;
	set->name = without_prefix(set->name);
	if (set->name.n == 0)
		return -EINVAL;
	if (!shown(set->name))
		return -EPERM;
	return vfs_xattr_change(v, call, node, &edit, fault);
}

static int change_by_id(struct supafs_vfs *v, struct supafs_call *call, uint64_t node,
	struct vfs_xattr_set *set, struct supafs_fault *fault)
{
	struct vfs_node *it = NULL;
	int r;

	supafs_fault_clear(fault);
	if (kind_of(set->name) == KIND_NONE)
		return -EOPNOTSUPP;
	if (v->cfg.read_only)
		return -EROFS;
	r = vfs_node_get(v, node, &it);
	if (r != 0)
		return r;
	r = change(v, call, it, set, fault);
	vfs_node_put(v, it);
	return r;
}

/* NOLINTNEXTLINE(readability-function-size): setxattr(2)'s arguments */
int supafs_vfs_setxattr(struct supafs_vfs *v, struct supafs_call *call, uint64_t node,
	struct supafs_str name, struct supafs_str value, int flags, struct supafs_fault *fault)
{
	struct vfs_xattr_set set = {.name = name, .value = value, .flags = flags};

	return change_by_id(v, call, node, &set, fault);
}

int supafs_vfs_removexattr(struct supafs_vfs *v, struct supafs_call *call, uint64_t node,
	struct supafs_str name, struct supafs_fault *fault)
{
	struct vfs_xattr_set set = {.name = name, .remove = true};

	return change_by_id(v, call, node, &set, fault);
}
