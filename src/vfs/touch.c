/* SPDX-License-Identifier: Apache-2.0 */
/* Times of change and of access: see touch.h. */
#include "touch.h"

#include <stdlib.h>

static struct vfs_touch *touch_locked(struct supafs_vfs *v, struct vfs_node *node)
	SUPAFS_REQUIRES(v->ns);
static struct vfs_touch *touch_locked(struct supafs_vfs *v, struct vfs_node *node)
{
	(void)v;
	if (!node->touch)
		node->touch = calloc(1, sizeof(*node->touch));
	return node->touch;
}

static void changed(struct vfs_touch *t, int64_t now)
{
	t->ctime_ns = now;
	t->has_ctime = true;
	t->bound = false;
}

void vfs_touch_changed(struct supafs_vfs *v, struct vfs_node *node)
{
	const int64_t now = v->cfg.clock->wall_ns(v->cfg.clock);

	SUPAFS_SCOPED_LOCK(&v->ns);
	struct vfs_touch *t = touch_locked(v, node);

	if (t)
		changed(t, now);
}

void vfs_touch_set(struct supafs_vfs *v, struct vfs_node *node, const struct supafs_setattr *set)
{
	const int64_t now = v->cfg.clock->wall_ns(v->cfg.clock);

	SUPAFS_SCOPED_LOCK(&v->ns);
	struct vfs_touch *t = touch_locked(v, node);

	if (!t)
		return;
	changed(t, now);
	if (set->which & SUPAFS_SET_ATIME) {
		t->atime_ns = set->atime_ns;
		t->has_atime = true;
	}
}

void vfs_touch_show(struct supafs_vfs *v, struct vfs_node *node, struct stat *st)
{
	const int64_t mtime = vfs_ns_of(&st->st_mtim);

	SUPAFS_SCOPED_LOCK(&v->ns);
	struct vfs_touch *t = node->touch;

	if (!t)
		return;
	if (t->has_ctime && !t->bound) {
		t->of_ns = mtime;
		t->bound = true;
	}
	if (t->has_ctime && !node->folder && t->of_ns == mtime)
		st->st_ctim = vfs_time_of(t->ctime_ns);
	if (t->has_atime)
		st->st_atim = vfs_time_of(t->atime_ns);
}
