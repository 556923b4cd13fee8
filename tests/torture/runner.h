/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a path through the vfs with its n-th allocation failing, n = 1, 2, 3 … until it gets through
 * without a failure. SUPAFS_TEST_ALLOC=N begins at the N-th.
 */
#pragma once

#include "../unit/vfs_fixture.h"
#include "alloc.h"

struct path {
	const char *name;
	void (*prepare)(struct fx *x);
	int (*act)(struct fx *x);     /* 0 or -errno; can be repeated after an error */
	void (*check)(struct fx *x);  /* that it is truly done; NULL: `act` sees to that */
	void (*finish)(struct fx *x); /* before the fixture ends; NULL: nothing */
	bool unquiet;                 /* not waited for before the check: it ends the stack */
};

/* One cmocka test a path. `filter`: only those whose name is so, with * and ?; NULL: all. */
int run_paths(const struct path *paths, size_t n, const char *filter);
