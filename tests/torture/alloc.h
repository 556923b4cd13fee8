/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes one allocation of the program fail: linked with --wrap for the calls in WRAPPED of
 * meson.build. Starting a thread counts as one (EAGAIN).
 *
 * Counts over all threads while it is armed, and only then. Where the allocation was that failed is
 * kept, for alloc_tell().
 */
#pragma once

#include <stdbool.h>

/* The `n`-th allocation from now on fails, n ≥ 1; only that one. */
void alloc_fail_at(unsigned n);
/* Takes that back. True when it did fail. */
bool alloc_disarm(void);
/* Prints on stderr where the last one was that failed: addresses for addr2line -e PROGRAM. */
void alloc_tell(void);
