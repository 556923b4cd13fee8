/* SPDX-License-Identifier: Apache-2.0 */
/* What is not at the server yet: told, tried again, given up, waited for. */
#include <stdlib.h>
#include <string.h>

#include "gather.h"
#include "handle.h"
#include "jobs.h"
#include "journal.h"
#include "keyq.h"
#include "later.h"
#include "ops.h"
#include "queue.h"

/* --- Telling -------------------------------------------------------------------------------------
 */

struct telling {
	struct supafs_pending p;
	char path[SUPAFS_KEY_MAX];
	char text[200];
};

static const char *state_name_locked(const struct vfs_content *c)
{
	switch (c->state) {
	case VFS_CLEAN:
	case VFS_SAVED:
	case VFS_DIRTY:
	case VFS_REFERENCE:
		return c->open_write > 0 ? "open" : "queued";
	case VFS_HELD:
		return "held";
	case VFS_QUEUED:
		return "queued";
	case VFS_UPLOADING:
		return "uploading";
	case VFS_FAILED:
	case VFS_STATE__COUNT:
		break;
	}
	return "failed";
}

static bool describe(struct vfs_content *c, struct telling *t)
{
	SUPAFS_SCOPED_LOCK(&c->lock);
	const struct vfs_promise *p = c->promise;

	if (c->unlinked || (!vfs_state_unsent(c->state) && !c->attrs_wait))
		return false;
	t->p.state = state_name_locked(c);
	t->p.size = vfs_content_size_locked(c);
	t->p.since_ns = p && p->since_ns ? p->since_ns : c->modified_ns;
	t->p.tries = p ? p->tries : 0;
	t->p.error = p ? p->error : 0;
	if (p)
		memcpy(t->text, p->text, sizeof(t->text));
	return true;
}

static int tell_one(struct supafs_vfs *v, struct vfs_node *node,
	int (*fn)(void *ctx, const struct supafs_pending *p), void *ctx)
{
	struct vfs_content *c = vfs_content_peek(v, node);
	struct telling t = {.p = {.id = node->id}};
	bool there;

	if (!c)
		return 0;
	t.p.path = t.path;
	t.p.text = t.text;
	there = describe(c, &t);
	vfs_content_put(v, node);
	if (!there)
		return 0;
	supafs_vfs_path(v, node->id, t.path, sizeof(t.path));
	return fn(ctx, &t.p);
}

int supafs_vfs_pending(
	struct supafs_vfs *v, int (*fn)(void *ctx, const struct supafs_pending *p), void *ctx)
{
	struct vfs_node_list list = {NULL, 0};
	int r = vfs_node_below(v, NULL, &list);

	for (size_t i = 0; r == 0 && i < list.n; i++)
		r = tell_one(v, list.p[i], fn, ctx);
	vfs_node_list_fini(v, &list);
	return r;
}

/* --- Again ---------------------------------------------------------------------------------------
 */

static bool retry_one(struct supafs_vfs *v, struct vfs_node *node)
{
	struct vfs_content *c = vfs_content_peek(v, node);
	bool wanted;

	if (!c)
		return false;
	{
		SUPAFS_SCOPED_LOCK(&c->lock);
		wanted = !c->unlinked && (c->state == VFS_FAILED || c->state == VFS_QUEUED);
		if (wanted && c->promise) /* somebody wants to hear of it again */
			c->promise->told = 0;
	}
	if (wanted)
		vfs_queue_now(v, node);
	vfs_content_put(v, node);
	return wanted;
}

int supafs_vfs_retry(struct supafs_vfs *v, uint64_t id)
{
	struct vfs_node_list list = {NULL, 0};
	int n = 0, r = vfs_node_below(v, NULL, &list);

	if (r != 0)
		return r;
	for (size_t i = 0; i < list.n; i++)
		if (id == 0 || list.p[i]->id == id)
			n += retry_one(v, list.p[i]);
	vfs_node_list_fini(v, &list);
	return n > 0 || id == 0 ? n : -ENOENT;
}

/* --- Giving up -----------------------------------------------------------------------------------
 */

struct dropping {
	bool remote, maybe;
	uint64_t change_id;
};

/* With the ticket and the claim, so nobody sends or writes it. The local bytes are no more. */
static void forget_bytes_locked(
	struct vfs_content *c, struct dropping *d, struct vfs_retired *place)
{
	*d = (struct dropping){c->remote, c->maybe_remote, c->pending ? c->change_id : 0};
	place->spool = supafs_steal(&c->spool);
	place->base = supafs_steal(&c->base);
	vfs_content_retire_locked(c, place);
	free(supafs_steal(&c->ref));
	c->pending = false;
	c->maybe_remote = c->exclusive = c->foreign_base = false;
	c->sent_here = false;
	c->epoch++; /* handles that are left read what they pinned, or ESTALE */
	vfs_content_set_state_locked(c, VFS_CLEAN);
}

static int may_drop_locked(const struct vfs_content *c)
{
	if (c->unlinked || !vfs_state_unsent(c->state))
		return -ENOENT;
	return c->open_write > 0 || vfs_content_busy_locked(c) ? -EBUSY : 0;
}

static int give_up(struct supafs_vfs *v, struct vfs_content *c, struct dropping *d)
{
	struct vfs_retired *place = calloc(1, sizeof(*place));
	int r;

	if (!place)
		return -ENOMEM;
	SUPAFS_SCOPED_LOCK(&c->record_lock);
	{
		SUPAFS_SCOPED_LOCK(&c->lock);
		r = may_drop_locked(c);
		if (r == 0)
			c->claimed = true;
	}
	if (r != 0) {
		free(place);
		return r;
	}
	vfs_promise_drop_locked(v, c);
	SUPAFS_SCOPED_LOCK(&c->lock);
	forget_bytes_locked(c, d, place);
	c->claimed = false;
	supafs_cond_broadcast(&c->cond);
	return 0;
}

/* As the server has it, or gone. */
static void show_server(struct supafs_vfs *v, struct vfs_node *node, const struct vfs_place *place,
	const struct dropping *d)
{
	uint64_t parent;

	if (d->change_id)
		vfs_view_undo(v, place, d->change_id);
	if (d->remote || d->maybe) {
		vfs_view_forget(v, place);
	} else {
		SUPAFS_SCOPED_LOCK(&v->ns);
		vfs_node_detach_locked(v, node);
		vfs_view_absent(v, place);
	}
	{
		SUPAFS_SCOPED_LOCK(&v->ns);
		node->pages = VFS_PAGES_NONE;
		parent = node->parent->id;
	}
	vfs_news_inode(v, node->id, true);
	vfs_news_entry(v, parent, (struct supafs_str){place->name, place->name_n});
}

/* Without waiting for whoever sends it. */
static int may_drop(struct vfs_content *c)
{
	SUPAFS_SCOPED_LOCK(&c->lock);
	return may_drop_locked(c);
}

static int drop_placed(struct supafs_vfs *v, struct vfs_node *node, const struct vfs_place *place)
{
	struct dropping d;
	int r = give_up(v, node->content, &d);

	vfs_content_sweep(node->content);
	if (r == 0)
		show_server(v, node, place, &d);
	return r;
}

int supafs_vfs_drop(struct supafs_vfs *v, struct supafs_call *call, uint64_t id)
{
	struct vfs_node *node = NULL;
	struct vfs_place place;
	struct vfs_ticket t;
	struct vfs_content *c;
	int r = vfs_node_get(v, id, &node);

	if (r != 0)
		return -ENOENT;
	c = vfs_content_peek(v, node);
	r = c ? may_drop(c) : -ENOENT;
	if (r == 0) {
		r = vfs_ticket_take(v, call, node, &t, &place);
		if (r == 0) {
			r = drop_placed(v, node, &place);
			vfs_keyq_leave(v->keyq, &t);
		}
	}
	if (c)
		vfs_content_put(v, node);
	vfs_node_put(v, node);
	return r;
}

/* --- Waiting -------------------------------------------------------------------------------------
 */

int supafs_vfs_flush_all(struct supafs_vfs *v, struct supafs_call *call,
	void (*progress)(void *ctx, const struct supafs_flush_state *st), void *ctx,
	struct supafs_flush_state *ret)
{
	struct vfs_key top = {.root_n = v->cfg.root.n, .n = v->cfg.root.n};
	struct vfs_flush f = {.tries = NULL};
	int r;

	if (top.n)
		memcpy(top.p, v->cfg.root.p, top.n);
	r = vfs_gather_settle(v, call, &top, true, false);
	if (r == 0)
		r = vfs_later_flush(v, call);
	if (r == 0)
		r = vfs_flush_begin(v, NULL, &f);
	if (r == 0)
		r = vfs_flush_wait(v, call, &f, progress, ctx);
	if (r == 0 || r == -EIO) {
		const int jobs = vfs_jobs_wait(v, call);

		r = r == 0 ? jobs : r;
	}
	vfs_flush_state(v, &f, ret);
	vfs_flush_fini(v, &f);
	return r;
}

int vfs_flush_folder(struct supafs_vfs *v, struct supafs_call *call, struct vfs_node *folder)
{
	struct vfs_flush f = {.tries = NULL};
	int r = vfs_flush_begin(v, folder, &f);

	if (r == 0)
		r = vfs_flush_wait(v, call, &f, NULL, NULL);
	vfs_flush_fini(v, &f);
	return r;
}

/* --- Forgetting ----------------------------------------------------------------------------------
 */

struct known {
	uint64_t node, parent;
	char *name;
	size_t n;
};

/* Nodes as they are now, for news that are sent without the lock. */
static size_t list_known(struct supafs_vfs *v, struct known **ret)
{
	struct vfs_node *node;
	size_t pos = 0, n = 0;

	SUPAFS_SCOPED_LOCK(&v->ns);
	*ret = calloc(supafs_map_count(v->by_id), sizeof(**ret));
	while (*ret && (node = supafs_map_next(v->by_id, &pos)) != NULL) {
		node->pages = VFS_PAGES_NONE;
		if (!node->parent || !node->linked)
			continue;
		(*ret)[n].name = supafs_str_dup((struct supafs_str){node->name, node->name_n});
		if (!(*ret)[n].name)
			break;
		(*ret)[n].n = node->name_n;
		(*ret)[n].node = node->id;
		(*ret)[n++].parent = node->parent->id;
	}
	return n;
}

void supafs_vfs_invalidate(struct supafs_vfs *v)
{
	struct known *known = NULL;
	size_t n;

	supafs_catalog_drop(v->cfg.catalog, (struct supafs_str){"", 0}, true);
	n = list_known(v, &known);
	for (size_t i = 0; i < n; i++) {
		vfs_news_inode(v, known[i].node, true);
		vfs_news_entry(v, known[i].parent, (struct supafs_str){known[i].name, known[i].n});
		free(known[i].name);
	}
	free(known);
}
