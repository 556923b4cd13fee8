/* SPDX-License-Identifier: Apache-2.0 */
#include "learn.h"

#include <stdlib.h>

#include "content.h"

#define SLOTS    64
#define BELIEVED (60 * SUPAFS_NS_PER_S)

struct slot {
	uint64_t folder; /* node's id; 0: free */
	unsigned refused;
	int64_t until_ns;
};

struct vfs_learn {
	_Atomic unsigned
		used; /* slots that are not free; 0 nearly always, and then nothing is locked */
	struct supafs_mutex lock; /* a leaf */
	struct slot slots[SLOTS]; /* lock */
};

int vfs_learn_new(struct supafs_vfs *v, struct vfs_learn **ret)
{
	struct vfs_learn *l = calloc(1, sizeof(*l));

	(void)v;
	if (!l)
		return -ENOMEM;
	supafs_mutex_init(&l->lock);
	*ret = l;
	return 0;
}

struct vfs_learn *vfs_learn_free(struct vfs_learn *l)
{
	if (l) {
		supafs_mutex_fini(&l->lock);
		free(l);
	}
	return NULL;
}

static int64_t now_ns(const struct supafs_vfs *v)
{
	return v->cfg.clock->mono_ns(v->cfg.clock);
}

static struct slot *find_locked(struct vfs_learn *l, uint64_t folder) SUPAFS_REQUIRES(l->lock);
static struct slot *find_locked(struct vfs_learn *l, uint64_t folder)
{
	for (size_t i = 0; i < SLOTS; i++) {
		if (l->slots[i].folder == folder)
			return &l->slots[i];
	}
	return NULL;
}

static void clear_locked(struct vfs_learn *l, struct slot *s) SUPAFS_REQUIRES(l->lock);
static void clear_locked(struct vfs_learn *l, struct slot *s)
{
	*s = (struct slot){.folder = 0};
	l->used--;
}

/* The folder's slot, a free one, or the one that ends first. */
static struct slot *take_locked(struct vfs_learn *l, uint64_t folder) SUPAFS_REQUIRES(l->lock);
static struct slot *take_locked(struct vfs_learn *l, uint64_t folder)
{
	struct slot *s = find_locked(l, folder);

	if (!s)
		s = find_locked(l, 0);
	if (!s) {
		s = &l->slots[0];
		for (size_t i = 1; i < SLOTS; i++) {
			if (l->slots[i].until_ns < s->until_ns)
				s = &l->slots[i];
		}
		clear_locked(l, s);
	}
	if (s->folder == 0)
		l->used++;
	s->folder = folder;
	return s;
}

static void refuse(struct supafs_vfs *v, uint64_t id, enum vfs_learnt what)
{
	struct vfs_learn *l = v->learn;
	const int64_t until = now_ns(v) + BELIEVED;

	SUPAFS_SCOPED_LOCK(&l->lock);
	struct slot *s = take_locked(l, id);

	s->refused |= what;
	s->until_ns = until;
}

/* True when something had been refused. */
static bool allow(struct supafs_vfs *v, uint64_t id)
{
	struct vfs_learn *l = v->learn;

	if (l->used == 0)
		return false;
	SUPAFS_SCOPED_LOCK(&l->lock);
	struct slot *s = find_locked(l, id);

	if (s)
		clear_locked(l, s);
	return s != NULL;
}

void vfs_learn_result(struct supafs_vfs *v, uint64_t id, enum vfs_learnt what, int r,
	const struct supafs_fault *fault)
{
	const bool refused = r == -EACCES && fault->class == SUPAFS_FAULT_DENIED;

	if (refused)
		refuse(v, id, what);
	else if (r != 0 || !allow(v, id))
		return;
	vfs_news_inode(v, id, false);
}

void vfs_learn_sent(
	struct supafs_vfs *v, struct vfs_node *node, int r, const struct supafs_fault *fault)
{
	uint64_t parent;
	bool remote;

	if (r != -EACCES && v->learn->used == 0)
		return;
	{
		SUPAFS_SCOPED_LOCK(&v->ns);
		if (!node->parent || !node->content)
			return;
		parent = node->parent->id;
		SUPAFS_SCOPED_LOCK(&node->content->lock);
		remote = node->content->remote;
	}
	vfs_learn_result(v, parent, remote ? VFS_LEARN_CHANGE : VFS_LEARN_MAKE, r, fault);
	vfs_news_inode(v, node->id, false);
}

/* What is refused in a folder now; how long that is believed in *ret_ms. */
static unsigned refused_in(struct supafs_vfs *v, uint64_t folder, uint64_t *ret_ms)
{
	struct vfs_learn *l = v->learn;
	const int64_t now = now_ns(v);

	SUPAFS_SCOPED_LOCK(&l->lock);
	struct slot *s = find_locked(l, folder);

	if (!s)
		return 0;
	if (s->until_ns <= now) {
		clear_locked(l, s);
		return 0;
	}
	*ret_ms = (uint64_t)((s->until_ns - now) / SUPAFS_NS_PER_MS) + 1;
	return s->refused;
}

void vfs_learn_show(struct supafs_vfs *v, struct vfs_node *node, struct supafs_node_info *info)
{
	uint64_t folder = node->id, ms = 0;
	const unsigned what = node->folder ? VFS_LEARN_MAKE : VFS_LEARN_CHANGE;

	if (v->learn->used == 0 || S_ISLNK(info->st.st_mode))
		return;
	if (!node->folder) {
		SUPAFS_SCOPED_LOCK(&v->ns);
		if (!node->parent)
			return;
		folder = node->parent->id;
	}
	if (!(refused_in(v, folder, &ms) & what))
		return;
	info->st.st_mode &= (mode_t)~0222;
	if (info->valid_ms > ms)
		info->valid_ms = ms;
}
