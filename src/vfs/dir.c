/* SPDX-License-Identifier: Apache-2.0 */
/* Look-up, and reading folders. Offsets: 0 ".", 1 "..", then the catalog's + 2. */
#include <fcntl.h>
#include <stdlib.h>

#include "supafs/util/cleanup.h"

#include "facts.h"
#include "folder_attr.h"
#include "gather.h"
#include "handle.h"
#include "keyq.h"
#include "ops.h"
#include "queue.h"

#define ASK_AHEAD 64 /* entries of a folder that are asked for at once (-o meta=info) */

static int lookup_in(struct supafs_vfs *v, struct supafs_call *call, struct vfs_node *parent,
	struct supafs_str name, struct supafs_node_info *ret, struct supafs_fault *fault)
{
	struct supafs_dirent ent;
	struct vfs_node *node;
	int r = vfs_look(v, call, parent, name, &ent, fault);

	if (r == 0) {
		vfs_complete_in(v, call, parent, &ent);
		r = vfs_node_obtain(v, parent, &ent, 1, &node);
	} else if (vfs_unanswered(r)) { /* what waits here is reached without the server */
		node = vfs_node_way(v, parent, name);
		if (node) {
			supafs_fault_clear(fault);
			vfs_info(v, node, NULL, ret);
			vfs_node_put(v, node);
			return 0;
		}
	}
	if (r != 0)
		return r;
	vfs_notice(v, call, node, &ent.attr);
	vfs_info(v, node, &ent.attr, ret);
	vfs_node_put(v, node);
	return 0;
}

int supafs_vfs_lookup(struct supafs_vfs *v, struct supafs_call *call, uint64_t parent,
	struct supafs_str name, struct supafs_node_info *ret, struct supafs_fault *fault)
{
	struct vfs_node *folder = NULL;
	int r;

	supafs_fault_clear(fault);
	r = vfs_node_get_folder(v, parent, &folder);
	if (r != 0)
		return r;
	r = lookup_in(v, call, folder, name, ret, fault);
	vfs_node_put(v, folder);
	return vfs_errno(r);
}

void supafs_vfs_forget(struct supafs_vfs *v, uint64_t node, uint64_t n)
{
	vfs_node_forget(v, node, n);
}

int supafs_vfs_opendir(struct supafs_vfs *v, uint64_t node, uint64_t *ret_fh)
{
	struct vfs_node *folder = NULL;
	struct vfs_handle *h = NULL;
	int r = vfs_node_get_folder(v, node, &folder);

	if (r != 0)
		return r;
	r = vfs_handle_new(v, folder, NULL, O_RDONLY, &h);
	if (r != 0) {
		vfs_node_put(v, folder);
		return r;
	}
	*ret_fh = h->id;
	return 0;
}

void supafs_vfs_releasedir(struct supafs_vfs *v, uint64_t fh)
{
	vfs_handle_put(v, vfs_handle_take(v, fh));
}

/* --- One walk at a time
 * --------------------------------------------------------------------------- */

static int walk_begin(struct vfs_handle *h, struct supafs_call *call)
{
	struct vfs_wait w;
	int r = 0;

	vfs_wait_begin(&w, call, &h->lock, &h->cond);
	{
		SUPAFS_SCOPED_LOCK(&h->lock);
		while (r == 0 && h->walking)
			r = vfs_wait_step(&w);
		if (r == 0)
			h->walking = true;
	}
	vfs_wait_end(&w);
	return r;
}

static void walk_end(struct vfs_handle *h)
{
	SUPAFS_SCOPED_LOCK(&h->lock);
	h->walking = false;
	supafs_cond_broadcast(&h->cond);
}

/* A walk from the beginning sees what is there now: gathered deletes are settled first, and a
 * walk that was under way is opened again (rewinddir). */
static int start_over(struct supafs_vfs *v, struct supafs_call *call, struct vfs_handle *h)
{
	struct vfs_key dir;
	int r = vfs_node_dir(v, h->node, &dir);

	if (r == 0)
		r = vfs_keyq_pass(v->keyq, call, vfs_key_full(&dir));
	if (r == 0)
		r = vfs_gather_settle(v, call, &dir, false, false);
	if (r != 0)
		return r;
	h->dir = supafs_dir_free(h->dir);
	return supafs_dir_open(v->cfg.catalog, vfs_key_rel(&dir), &h->dir);
}

/* --- Entries
 * --------------------------------------------------------------------------------------- */

struct walk {
	struct supafs_vfs *v;
	struct vfs_handle *h;
	const struct supafs_dir_read *rd;
};

static uint64_t ino_of(struct supafs_vfs *v, const struct vfs_node *node, bool parent)
{
	SUPAFS_SCOPED_LOCK(&v->ns);
	return parent && node->parent ? node->parent->ino : node->ino;
}

static bool add_dots(const struct walk *w, uint64_t off)
{
	const struct supafs_attr attr = {.folder = true, .ino = ino_of(w->v, w->h->node, off == 1)};
	struct supafs_dir_item item = {.name = off == 0 ? "." : "..", .next_off = off + 1};

	vfs_info_bare(w->v, &attr, &item.info);
	return w->rd->add(w->rd->ctx, &item);
}

/* Must an entry be asked for before it can be shown? Then *ret (may be NULL) says how. */
static bool asks_wanted(
	const struct walk *w, const struct supafs_dirent *ent, struct vfs_facts_ask *ret)
{
	struct vfs_place place;
	struct vfs_key dir;

	if (ent->attr.folder ? !w->v->cfg.meta_info : !vfs_facts_wanted(w->v, &ent->attr))
		return false;
	if (vfs_node_dir(w->v, w->h->node, &dir) != 0 ||
		vfs_place_set(&place, &dir, (struct supafs_str){ent->name, ent->name_n},
			(struct supafs_str){ent->seg, ent->seg_n}, ent->attr.folder) != 0)
		return false;
	if (ret)
		*ret = (struct vfs_facts_ask){place.key, ent->attr.version, ent->attr.folder};
	return ent->attr.folder ? vfs_folder_wanted(w->v, &place.key)
				: !vfs_facts_find(w->v, &place.key, &ent->attr.version, NULL);
}

/* Asks for this and the next entries at once; the offset behind them. */
static uint64_t fetch_ahead(const struct walk *w, struct supafs_call *call, uint64_t off)
{
	supafs_autofree struct vfs_facts_ask *asks = calloc(ASK_AHEAD, sizeof(*asks));
	struct supafs_fault fault;
	struct supafs_dirent ent;
	size_t n = 0;

	for (size_t i = 0; asks && i < ASK_AHEAD; i++) {
		if (supafs_dir_next(w->h->dir, call, &off, &ent, &fault) != 1)
			break;
		n += asks_wanted(w, &ent, &asks[n]);
	}
	if (asks)
		vfs_facts_fetch(w->v, call, asks, n);
	return off;
}

/* 1: added; 0: did not fit; or -errno. */
static int add_entry(const struct walk *w, struct supafs_call *call, struct supafs_dirent *ent,
	uint64_t next_off)
{
	struct supafs_dir_item item = {.name = ent->name, .next_off = next_off};
	struct vfs_node *node;
	bool fits;
	int r;

	if (!w->rd->plus) {
		vfs_info_bare(w->v, &ent->attr, &item.info);
		return w->rd->add(w->rd->ctx, &item);
	}
	vfs_complete_in(w->v, NULL, w->h->node, ent);
	r = vfs_node_obtain(w->v, w->h->node, ent, 1, &node);
	if (r != 0)
		return r;
	vfs_notice(w->v, call, node, &ent->attr);
	vfs_info(w->v, node, &ent->attr, &item.info);
	fits = w->rd->add(w->rd->ctx, &item);
	if (!fits)
		vfs_node_forget(w->v, node->id, 1);
	vfs_node_put(w->v, node);
	return fits;
}

static int walk_entries(
	const struct walk *w, struct supafs_call *call, uint64_t off, struct supafs_fault *fault)
{
	struct supafs_dirent ent;
	uint64_t known = 0; /* entries before this offset have been asked for */
	bool any = false;
	int r = 0;

	for (; off < 2; off++) {
		if (!add_dots(w, off))
			return 0;
		any = true;
	}
	for (off -= 2;;) {
		const uint64_t at = off;

		r = supafs_dir_next(w->h->dir, call, &off, &ent, fault);
		if (r == 1 && w->rd->plus && at >= known && asks_wanted(w, &ent, NULL))
			known = fetch_ahead(w, call, at);
		if (r == 1)
			r = add_entry(w, call, &ent, off + 2);
		if (r <= 0)
			break;
		any = true;
	}
	/* An error behind the first entry is met again, and told, by the next call. */
	return r < 0 && !any ? r : 0;
}

int supafs_vfs_readdir(struct supafs_vfs *v, struct supafs_call *call,
	const struct supafs_dir_read *rd, struct supafs_fault *fault)
{
	struct vfs_handle *h = vfs_handle_get(v, rd->fh);
	const struct walk w = {v, h, rd};
	int r;

	supafs_fault_clear(fault);
	if (!h || h->c) {
		vfs_handle_put(v, h);
		return -EBADF;
	}
	r = walk_begin(h, call);
	if (r == 0) {
		if (rd->off == 0 || !h->dir)
			r = start_over(v, call, h);
		if (r == 0)
			r = walk_entries(&w, call, rd->off, fault);
		walk_end(h);
	}
	vfs_handle_put(v, h);
	return vfs_errno(r);
}

int supafs_vfs_fsyncdir(
	struct supafs_vfs *v, struct supafs_call *call, uint64_t fh, struct supafs_fault *fault)
{
	struct vfs_handle *h = vfs_handle_get(v, fh);
	struct vfs_key dir;
	int r = -EBADF;

	supafs_fault_clear(fault);
	if (h && !h->c) {
		r = vfs_node_dir(v, h->node, &dir);
		if (r == 0)
			r = vfs_gather_settle(v, call, &dir, false, false);
		if (r == 0)
			r = vfs_flush_folder(v, call, h->node);
		if (r == -ENOENT)
			r = 0;
	}
	vfs_handle_put(v, h);
	return vfs_errno(r);
}
