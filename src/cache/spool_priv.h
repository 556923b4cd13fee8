/* SPDX-License-Identifier: Apache-2.0 */
/* What spool.c and the journal need of the spool's folder. */
#pragma once

#include "supafs/cache/spool.h"
#include "supafs/util/list.h"

#define SUPAFS_SPOOL_LOCK ".lock" /* the owner's lock file */

/* Makes a file with a random name; counts it as in use. The descriptor, or -errno. */
int supafs_spool_dir_create(struct supafs_spool_dir *d, char ret_name[SUPAFS_SPOOL_NAME]);
/* The same under a name that is known already. */
int supafs_spool_dir_create_named(struct supafs_spool_dir *d, const char *name);
/* Opens one that an earlier process left: a plain file of ours, whose length it gives; counts it as
 * in use. The descriptor, -ENOENT, -EBADMSG when it is something else, or -errno. */
int supafs_spool_dir_reopen(struct supafs_spool_dir *d, const char *name, uint64_t *ret_size);
/* Its spool is gone: takes the descriptor (or -1) back, and the file away unless `keep`. */
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

/* --- Descriptors --------------------------------------------------------------------------------
 *
 * As many contents may wait to be sent as the disk has room for, but not as many descriptors: a
 * file that nobody is inside may be closed, the one that was used longest ago first, once more than
 * a part of the process's limit are open.
 */
struct supafs_spool_file {
	int fd;                  /* stays as it is while somebody is inside; -1: closed */
	unsigned users;          /* the folder's lock: who is inside */
	struct supafs_list link; /* the folder's lock: among those that may be closed */
};
/* Takes over `fd`; nobody is inside. */
void supafs_spool_file_init(struct supafs_spool_dir *d, struct supafs_spool_file *f, int fd);
/* Opens it again if need be. 0, -EMFILE, -ENFILE, -ENOMEM, -EIO; ends with leave. */
int supafs_spool_file_enter(
	struct supafs_spool_dir *d, struct supafs_spool_file *f, const char *name);
void supafs_spool_file_leave(struct supafs_spool_dir *d, struct supafs_spool_file *f);
/* Gives the descriptor back: it, or -1. */
int supafs_spool_file_fini(struct supafs_spool_dir *d, struct supafs_spool_file *f);
