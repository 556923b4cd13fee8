/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stack of a mount, built bottom first and torn down in reverse:
 *
 *	http → supabase → retry → limit → stats → trace → catalog, data, spool → vfs
 *
 * (the FUSE session on top is mount.c's, since it outlives nothing.)
 */
#pragma once

#include <stdint.h>

#include "supafs/cache/catalog.h"
#include "supafs/cache/data.h"
#include "supafs/cache/spool.h"
#include "supafs/http/http.h"
#include "supafs/store/store.h"
#include "supafs/vfs/vfs.h"

#include "config.h"
#include "messages.h"
#include "options.h"
#include "token.h"

struct supafs_stack {
	const struct supafs_clock *clock;
	struct supafs_http *http;
	struct supafs_store *store; /* the top layer; owns those below */
	const struct supafs_store *stats;
	struct supafs_catalog *catalog;
	struct supafs_data *data;
	struct supafs_spool_dir *spool;
	struct supafs_journal *journal;
	struct supafs_vfs *vfs;
	struct supafs_bucket_info bucket;
	struct supafs_token_file token; /* of a user's token that is renewed */
	bool trusted;                   /* the key passes row-level security */
	char *root;                     /* key prefix, "" or "p/" */
	unsigned lost;                  /* spool files that a dead daemon left, now in lost+found */
	unsigned replayed;              /* changes of an earlier mount that are sent now */
};

struct supafs_stack_args {
	const struct supafs_options *opt;
	const struct supafs_config *config;
	const char *bucket; /* without prefix */
	const char *prefix; /* as typed, "" for the whole bucket */
	const char *cache;  /* the mount's folder */
};

/* Builds it and asks the server once: URL, key, bucket. 0, or -errno with *p set. `s` is to be
 * ended with supafs_stack_end() in any case. */
int supafs_stack_build(
	struct supafs_stack *s, const struct supafs_stack_args *args, struct supafs_problem *p);
/* For `supafs check`, its lower part alone: the transport, and then the bare backend, which asks
 * the server. Both end with supafs_stack_end(). */
int supafs_stack_http(
	struct supafs_stack *s, const struct supafs_stack_args *args, struct supafs_problem *p);
int supafs_stack_connect(
	struct supafs_stack *s, const struct supafs_stack_args *args, struct supafs_problem *p);
/* Nobody may be inside. *ret_left: files that could not be uploaded (may be NULL). */
void supafs_stack_end(struct supafs_stack *s, uint64_t drain_ms, unsigned *ret_left);
