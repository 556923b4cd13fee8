/* SPDX-License-Identifier: Apache-2.0 */
/* What spool.c and the journal need of the spool's folder. */
#pragma once

#include "supafs/cache/spool.h"

#define SUPAFS_SPOOL_LOCK ".lock" /* the owner's lock file */

/* Makes a file with a random name; counts it as in use. The descriptor, or -errno. */
int supafs_spool_dir_create(struct supafs_spool_dir *d, char ret_name[SUPAFS_SPOOL_NAME]);
/* The same under a name that is known already. */
int supafs_spool_dir_create_named(struct supafs_spool_dir *d, const char *name);
/* Opens one that an earlier process left: a plain file of ours, whose length it gives; counts it as
 * in use. The descriptor, -ENOENT, -EBADMSG when it is something else, or -errno. */
int supafs_spool_dir_reopen(struct supafs_spool_dir *d, const char *name, uint64_t *ret_size);
/* Its spool is gone: takes the descriptor back, and the file away unless `keep`. */
void supafs_spool_dir_release(struct supafs_spool_dir *d, int fd, const char *name, bool keep);

/* The folder's descriptor. */
int supafs_spool_dir_fd(const struct supafs_spool_dir *d);
/* Spools in use. */
unsigned supafs_spool_dir_spools(const struct supafs_spool_dir *d);
/* A descriptor of DIR/lost+found, made if absent: 0700, ours, no symlink. */
int supafs_spool_dir_lost(const struct supafs_spool_dir *d);
/* Moves an entry of the folder there, under another name if its own is taken. */
int supafs_spool_dir_move_lost(const struct supafs_spool_dir *d, int lost_fd, const char *name);

/* A spool with the name and map of an earlier one, whose `map->size` bytes were kept elsewhere. */
int supafs_spool_restore(struct supafs_spool_dir *d, const struct supafs_spool_map *map,
	const void *bytes, struct supafs_spool **ret_spool);
/* Would supafs_spool_reopen() take it? Nothing is changed: of two records that name one file the
 * older may promise less of it. 0, or its errors. */
int supafs_spool_check(struct supafs_spool_dir *d, const struct supafs_spool_map *map);
