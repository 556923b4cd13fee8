/* SPDX-License-Identifier: Apache-2.0 */
/* Copies of files of a mount, below a folder and never outside of it. */
#pragma once

/* Copies MOUNTPOINT/PATH to PATH below the folder `to_fd`: folders are made (0700), the file too
 * (0600), nothing that is there is overwritten, no link is followed; a link is copied as a link.
 * `path` is bytes of the daemon's: -EINVAL when a segment is empty or made of dots. 0 or -errno; no
 * part of a file is left. */
int supafs_save_file(const char *mountpoint, const char *path, int to_fd);
