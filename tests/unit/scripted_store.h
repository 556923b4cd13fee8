/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A store for tests of the catalog: a sorted set of keys that answers list requests as the server
 * does, counts them, and calls the test back inside a request, so that a race is a plain sequence
 * of calls. Instead of the set, a page may be given entry by entry (hostile servers).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "supafs/store/store.h"
#include "supafs/util/lock.h"

struct scripted;

enum scripted_moment {
	SCRIPTED_BEFORE, /* the request is on its way, the set not yet read */
	SCRIPTED_AFTER,  /* the set is read, the answer not yet delivered */
};

struct scripted_page {
	const struct supafs_entry *entries;
	size_t n;
	bool more;
};

struct scripted {
	struct supafs_store base;
	struct supafs_mutex lock;
	char **keys; /* lock; sorted */
	uint64_t *sizes;
	size_t n, cap;
	unsigned lists;   /* lock; requests so far */
	unsigned max;     /* entries a page at most, 0: as asked for */
	int error;        /* lock; the next request fails with it, once */
	unsigned widest;  /* lock; largest limit asked for */
	char prefix[256]; /* lock; of the last request */
	void (*hook)(struct scripted *s, enum scripted_moment m, void *ctx);
	void *ctx;
	const struct scripted_page *script; /* NULL: the set answers */
	size_t script_n, script_at;         /* the last page is repeated */
};

void scripted_init(struct scripted *s);
void scripted_fini(struct scripted *s);
void scripted_add(struct scripted *s, const char *key, uint64_t size);
void scripted_remove(struct scripted *s, const char *key);
/* (uint64_t)-1 if absent. */
uint64_t scripted_size(struct scripted *s, const char *key);
unsigned scripted_lists(struct scripted *s);
