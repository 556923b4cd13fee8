/* SPDX-License-Identifier: Apache-2.0 */
/* What the catalog is told of changes made here. It asks nobody, so any of our locks may be held.
 */
#include "vfs_priv.h"

static struct supafs_change change_of(const struct vfs_place *place, const struct supafs_attr *attr)
{
	struct supafs_change ch = {
		.prefix = vfs_key_rel(&place->dir),
		.seg = {place->seg, place->seg_n},
		.name = {place->name, place->name_n},
		.present = attr != NULL,
	};

	if (attr)
		ch.attr = *attr;
	return ch;
}

uint64_t vfs_view_pending(
	struct supafs_vfs *v, const struct vfs_place *place, const struct supafs_attr *attr)
{
	const struct supafs_change ch = change_of(place, attr);
	uint64_t id = 0;

	return supafs_catalog_change(v->cfg.catalog, &ch, &id) == 0 ? id : 0;
}

uint64_t vfs_view_leaving(struct supafs_vfs *v, const struct vfs_place *place)
{
	return vfs_view_pending(v, place, NULL);
}

void vfs_view_ack(struct supafs_vfs *v, const struct vfs_place *place, uint64_t id,
	const struct supafs_attr *attr)
{
	if (id == 0) { /* no memory for a record: what is cached must not contradict it */
		supafs_catalog_drop(v->cfg.catalog, vfs_key_rel(&place->dir), false);
		return;
	}
	supafs_catalog_ack(v->cfg.catalog, vfs_key_rel(&place->dir),
		(struct supafs_str){place->seg, place->seg_n}, id, attr);
}

void vfs_view_undo(struct supafs_vfs *v, const struct vfs_place *place, uint64_t id)
{
	if (id == 0) {
		supafs_catalog_drop(v->cfg.catalog, vfs_key_rel(&place->dir), false);
		return;
	}
	supafs_catalog_undo(v->cfg.catalog, vfs_key_rel(&place->dir),
		(struct supafs_str){place->seg, place->seg_n}, id);
}

void vfs_view_forget(struct supafs_vfs *v, const struct vfs_place *place)
{
	supafs_catalog_forget(v->cfg.catalog, vfs_key_rel(&place->dir),
		(struct supafs_str){place->seg, place->seg_n});
}

static void at_once(
	struct supafs_vfs *v, const struct vfs_place *place, const struct supafs_attr *attr)
{
	vfs_view_ack(v, place, vfs_view_pending(v, place, attr), attr);
}

void vfs_view_present(
	struct supafs_vfs *v, const struct vfs_place *place, const struct supafs_attr *attr)
{
	at_once(v, place, attr);
}

void vfs_view_absent(struct supafs_vfs *v, const struct vfs_place *place)
{
	at_once(v, place, NULL);
}
