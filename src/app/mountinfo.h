/* SPDX-License-Identifier: Apache-2.0 */
/* What is mounted where, as the kernel tells it; asks no filesystem, so a dead mount cannot hang
 * it. */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

struct supafs_mounted {
	char type[64];         /* "fuse.supafs" */
	char source[PATH_MAX]; /* "supafs:course" */
	uid_t user;            /* user_id= of a FUSE mount, else 0 */
};
/* The mount on top at `path` (absolute, no links). False if there is none. */
bool supafs_mountinfo_find(const char *path, struct supafs_mounted *ret);

/* Absolute path without links of a mount point; works for a dead mount too. 0 or -errno; `out` has
 * PATH_MAX bytes. */
int supafs_mount_path(const char *path, char *out);
