/* SPDX-License-Identifier: Apache-2.0 */
/* What must be right on this machine before a mount is tried; each failure has its message. */
#pragma once

#include <stdbool.h>

#include "messages.h"

/* `given`: as typed; on success `ret_path` (PATH_MAX bytes) has the absolute path. -errno with *p.
 */
int supafs_check_mountpoint(const char *given, char *ret_path, struct supafs_problem *p);
/* /dev/fuse, and fusermount3 for others than root; may allow_other be asked for. */
int supafs_check_fuse(bool allow_other, struct supafs_problem *p);
