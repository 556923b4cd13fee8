/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Content types by a name's extension: /etc/mime.types as the system has it, and a
 * built-in table for what it lacks. Extensions are compared without case. Read once; then
 * constant, any thread.
 */
#pragma once

#include <stdbool.h>

#include "supafs/util/str.h"

struct vfs_mimes;

/* `path` may be absent or broken: then the built-in table answers alone. 0 or -ENOMEM. */
int vfs_mimes_new(const char *path, struct vfs_mimes **ret_m);
struct vfs_mimes *vfs_mimes_free(struct vfs_mimes *m);

/* The type of a file name; application/octet-stream if the extension is not known. The view lives
 * as long as `m`. */
struct supafs_str vfs_mime_of(const struct vfs_mimes *m, struct supafs_str name);

/* Does a list of allowed types, one a line, "image/" + "*" for all of a kind, allow `mime`? An
 * empty list allows all. */
bool vfs_mime_allowed(struct supafs_str list, struct supafs_str mime);
