/* SPDX-License-Identifier: Apache-2.0 */
/* Files on the local disk: whole reads with a bound, atomic replacement, private folders. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "supafs/util/buf.h"

/* Reads a regular file into `b` (its maximum is the bound). -errno, -EMSGSIZE. */
int supafs_file_read(const char *path, struct supafs_buf *b);
/* The same for a file that holds a secret: opened O_NOFOLLOW, must belong to us or root and be
 * unreadable for group and others, else -EACCES (mode in *ret_mode when not NULL). */
int supafs_file_read_secret(const char *path, struct supafs_buf *b, mode_t *ret_mode);
/* Temporary in the same folder, fsync, rename, fsync of the folder. Mode as given. */
int supafs_file_replace(const char *path, const void *p, size_t n, mode_t mode);
/* Makes the folder (and parents) with mode 0700. -ENOTDIR, -EACCES if it exists and is a symlink,
 * belongs to somebody else or is open to group or others. */
int supafs_dir_private(const char *path);
/* Whole transfers, EINTR repeated. 0 or -errno (-EIO for a short read). */
int supafs_pwrite_all(int fd, const void *p, size_t n, uint64_t off);
int supafs_pread_all(int fd, void *p, size_t n, uint64_t off);
