/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Folders that stay. The server has no folders: one vanishes with its last object. So before the
 * last entry goes, the placeholder is written (product.md, mkdir; API §4.4).
 */
#include "supafs/util/name.h"

#include "folder_attr.h"

int vfs_put_placeholder(struct supafs_vfs *v, struct supafs_call *call, const struct vfs_key *dir,
	bool exclusive, struct supafs_fault *fault)
{
	char key[SUPAFS_KEY_MAX + sizeof(SUPAFS_PLACEHOLDER)];
	const size_t n = dir->n + sizeof(SUPAFS_PLACEHOLDER) - 1;
	struct supafs_put_args args = {.key = {key, n}, .exclusive = exclusive};
	unsigned char id[16];
	int r;

	if (n > SUPAFS_KEY_MAX)
		return -ENAMETOOLONG;
	memcpy(key, dir->p, dir->n);
	memcpy(key + dir->n, SUPAFS_PLACEHOLDER, sizeof(SUPAFS_PLACEHOLDER) - 1);
	vfs_folder_meta(v, dir, &args.meta);
	r = v->cfg.store->ops->put(v->cfg.store, call, &args, id, fault);
	if (r == 0)
		supafs_catalog_keeper(v->cfg.catalog, vfs_key_rel(dir), true);
	return r;
}

/* Lists the folder far enough to know whether more than `leaving` names are in it. 1: there are;
 * 0: the listing has ended, and is known now; or -errno. */
static int look(struct supafs_vfs *v, struct supafs_call *call, const struct vfs_key *dir,
	unsigned leaving, struct supafs_fault *fault)
{
	struct supafs_dirent ent;
	struct supafs_dir *d = NULL;
	uint64_t off = 0;
	unsigned seen = 0;
	int r = supafs_dir_open(v->cfg.catalog, vfs_key_rel(dir), &d);

	if (r != 0)
		return r;
	while (seen <= leaving && (r = supafs_dir_next(d, call, &off, &ent, fault)) == 1)
		seen++;
	(void)supafs_dir_free(d);
	if (r < 0)
		return r;
	return seen > leaving;
}

int vfs_keep_folder(struct supafs_vfs *v, struct supafs_call *call, const struct vfs_key *dir,
	unsigned leaving, bool ask, struct supafs_fault *fault)
{
	uint64_t entries = 0;
	bool keeper = false;
	int r;

	if (dir->n == dir->root_n)
		return 0; /* the mount's root is always there */
	if (!supafs_catalog_count(v->cfg.catalog, vfs_key_rel(dir), &entries, &keeper)) {
		if (!ask)
			return 0;
		r = look(v, call, dir, leaving, fault);
		if (r != 0)
			return r < 0 ? r : 0;
		if (!supafs_catalog_count(v->cfg.catalog, vfs_key_rel(dir), &entries, &keeper)) {
			entries = leaving; /* -o ttl=0: nothing is kept of what was just seen */
			keeper = false;
		}
	}
	if (keeper || entries > leaving)
		return 0;
	return vfs_put_placeholder(v, call, dir, false, fault);
}
