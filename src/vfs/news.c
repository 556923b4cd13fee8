/* SPDX-License-Identifier: Apache-2.0 */
/*
 * News for the kernel. A notification from within an operation can deadlock with
 * the kernel, so each goes through a pool of one thread. What cannot be queued is dropped: the
 * kernel then learns it when its own time has run out.
 */
#include <stdlib.h>

#include "vfs_priv.h"

struct item {
	struct supafs_vfs *v;
	uint64_t node;
	bool data;
	size_t n; /* of `name`; 0: news of an inode */
	char name[];
};

static void run(void *ctx)
{
	struct item *it = ctx;
	struct supafs_notify notify;

	{
		SUPAFS_SCOPED_LOCK(&it->v->news_lock);
		notify = it->v->notify;
	}
	if (it->n == 0 && notify.inval_inode)
		notify.inval_inode(notify.ctx, it->node, it->data);
	if (it->n > 0 && notify.inval_entry)
		notify.inval_entry(notify.ctx, it->node, it->name, it->n);
	free(it);
}

static void queue(struct supafs_vfs *v, uint64_t node, bool data, struct supafs_str name)
{
	struct item *it;

	{
		SUPAFS_SCOPED_LOCK(&v->news_lock);
		if (!v->notify.inval_inode)
			return;
	}
	it = malloc(sizeof(*it) + name.n + 1);
	if (!it)
		return;
	it->v = v;
	it->node = node;
	it->data = data;
	it->n = name.n;
	if (name.n)
		memcpy(it->name, name.p, name.n);
	it->name[name.n] = '\0';
	if (supafs_pool_submit(v->news, (struct supafs_job){run, free, it}) != 0)
		free(it);
}

void vfs_news_inode(struct supafs_vfs *v, uint64_t node, bool data)
{
	queue(v, node, data, (struct supafs_str){NULL, 0});
}

void vfs_news_entry(struct supafs_vfs *v, uint64_t parent, struct supafs_str name)
{
	queue(v, parent, false, name);
}

void supafs_vfs_set_notify(struct supafs_vfs *v, const struct supafs_notify *n)
{
	SUPAFS_SCOPED_LOCK(&v->news_lock);
	v->notify = *n;
}
