/* SPDX-License-Identifier: Apache-2.0 */
/* Between log.c, which keeps the secrets, and log_redact.c, which finds them in a text. */
#pragma once

#include <stddef.h>

#include "supafs/util/str.h"

/* Escapes and redacts `in` into `out` (`size` > 0, always NUL-terminated). Only what begins in the
 * first `shown` bytes is shown; what follows is there so that a secret is seen whole. `secrets` are
 * texts to hide wherever they stand, besides everything that looks like one. Returns the length. */
size_t supafs_redact(struct supafs_str in, size_t shown, const struct supafs_str *secrets,
	size_t count, char *out, size_t size);
