/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the contract suite runs against: memory, or a server: the one named by SUPAFS_TEST_URL and
 * SUPAFS_TEST_SERVICE_KEY, else a supafs-serve that it starts itself. Each run has a bucket of its
 * own, made at the start and removed, with all that is in it, at the end.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "supafs/store/store.h"

struct supafs_http;

struct target {
	const char *kind; /* "memory", "server" */
	bool stacked;     /* under retry and limit */
	struct supafs_store *store;
	/* Not for memory: */
	struct supafs_http *http;
	char bucket[64];
	char url[512];
	bool raw_base; /* no /storage/v1 in the server's paths */
	char probe[600];
	char service_key[4096];
	char anon_key[4096]; /* "" if not known */
	/* Only for serve: */
	char dir[64];
	pid_t pid;
};

/* 0, or -1 after a message on stderr. */
int target_start(struct target *t, const char *kind, bool stacked);
void target_stop(struct target *t);

/* A second store over the same target, with the same layers: objects of `min` bytes and more are
 * uploaded resumably (0: the default). NULL on failure. */
struct supafs_store *target_store_resumable(const struct target *t, uint64_t min);
/* A second store over the same target with another key (and no policy layers); NULL on failure. */
struct supafs_store *target_store_with_key(
	const struct target *t, const char *bucket, const char *key);
