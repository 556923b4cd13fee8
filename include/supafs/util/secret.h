/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory for keys and tokens: pages of their own, never written to swap (mlock, as far as
 * RLIMIT_MEMLOCK lets us), left out of core dumps, wiped before they are given back.
 *
 *	char *key = supafs_secret_dup(text);
 *	…
 *	key = supafs_secret_free(key);
 *
 * A secret costs a page, so it is for a handful of long-lived ones; text on its way to one is kept
 * in a buffer made by supafs_buf_init_secret(). Locks on memory do not pass to a forked child: it
 * calls supafs_secret_lock() for what it goes on with.
 *
 * Threads: no state; a secret is its owner's.
 */
#pragma once

#include "supafs/util/str.h"

/* An owned, NUL-terminated copy; NULL when out of memory. Ends with supafs_secret_free(). */
char *supafs_secret_dup(struct supafs_str s);
/* `a` and `b` in one: "Authorization: Bearer " and a token. */
char *supafs_secret_join(struct supafs_str a, struct supafs_str b);
/* Wipes and gives back. NULL is fine; returns NULL. */
char *supafs_secret_free(char *secret);
/* Locks it again (after fork). NULL is fine; a refusal is no error. */
void supafs_secret_lock(const char *secret);
