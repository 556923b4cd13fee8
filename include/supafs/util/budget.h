/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Byte budget: an upper bound on the memory that one kind of use may hold.
 *
 * A transfer reserves before it allocates its buffer and returns the bytes when
 * the buffer is gone. Waiting here is the only back-pressure in the program.
 *
 * Threads: every call is safe from any thread. The internal lock is a leaf.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct supafs_budget;

/* Creates a budget of `limit` bytes (> 0); ends with supafs_budget_free(). 0 or -ENOMEM. */
int supafs_budget_new(size_t limit, struct supafs_budget **ret_budget);
/* NULL is fine. Nothing may still be reserved (asserted). Always returns NULL. */
struct supafs_budget *supafs_budget_free(struct supafs_budget *b);

/* Waits until `n` bytes fit, for at most `timeout_ms` (0: do not wait).
 * Returns 0; -EMSGSIZE if `n` can never fit; -ETIMEDOUT; -ESHUTDOWN after
 * supafs_budget_close(). Only 0 obliges the caller to call _release(). */
int supafs_budget_reserve(struct supafs_budget *b, size_t n, uint32_t timeout_ms);
void supafs_budget_release(struct supafs_budget *b, size_t n);
size_t supafs_budget_used(struct supafs_budget *b);
size_t supafs_budget_limit(const struct supafs_budget *b);

/* Makes present and future waits fail with -ESHUTDOWN; safe to call twice. */
void supafs_budget_close(struct supafs_budget *b);
