/* SPDX-License-Identifier: Apache-2.0 */
/* What spool.c needs of the spool's folder. */
#pragma once

#include "supafs/cache/spool.h"

/* Makes a file with a random name; counts it as in use. The descriptor, or -errno. */
int supafs_spool_dir_create(struct supafs_spool_dir *d, char ret_name[SUPAFS_SPOOL_NAME]);
/* Its spool is gone: takes the descriptor back, and the file away unless `keep`. */
void supafs_spool_dir_release(struct supafs_spool_dir *d, int fd, const char *name, bool keep);
