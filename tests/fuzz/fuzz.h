/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz harnesses: each fuzz_<name>.c feeds one parser with bytes and checks what it promises.
 *
 * A harness is built twice: with libFuzzer (-Dfuzzers=enabled), and with replay.c, which runs the
 * files of corpus/<name>/ as an ordinary test. An input that broke something stays there, under a
 * name that says what it was.
 *
 * Input comes in a block of exactly its size, so that AddressSanitizer sees a read behind its end.
 * Inputs have no state: what one leaves behind may not change the next.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "supafs/util/str.h"

/* The harness; returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void fuzz_check(bool so, const char *what, const char *file, int line)
{
	if (so)
		return;
	(void)fprintf(stderr, "%s:%d: not so: %s\n", file, line, what);
	abort();
}

/* A promise of the code under test. Ends the process: libFuzzer then keeps the input. */
#define FUZZ_CHECK(condition) fuzz_check((condition), #condition, __FILE__, __LINE__)

static inline struct supafs_str fuzz_str(const uint8_t *data, size_t size)
{
	return (struct supafs_str){size ? (const char *)data : "", size};
}

/* Takes the text up to `end` (or all of it) off *rest, `end` itself not included. */
static inline struct supafs_str fuzz_cut(struct supafs_str *rest, char end)
{
	const char *at = rest->n ? memchr(rest->p, end, rest->n) : NULL;
	struct supafs_str head = {rest->p, at ? (size_t)(at - rest->p) : rest->n};

	rest->p += head.n + (at ? 1 : 0);
	rest->n -= head.n + (at ? 1 : 0);
	return head;
}
