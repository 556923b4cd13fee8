/* SPDX-License-Identifier: Apache-2.0 */
/* The lines of `supafs check`, and its look at the cache folder. */
#pragma once

#include "mount.h"

enum supafs_check {
	SUPAFS_CHECK_OK,
	SUPAFS_CHECK_WARN,
	SUPAFS_CHECK_FAIL,
};

struct supafs_checks {
	unsigned warned, failed;
};

/* "FAIL  cache      …"; the text is made printable and cleaned of secrets. */
void supafs_check_line(struct supafs_checks *c, enum supafs_check kind, const char *what,
	const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* Looks, and makes nothing. */
void supafs_check_cache(struct supafs_checks *c, const struct supafs_mount_args *a);
