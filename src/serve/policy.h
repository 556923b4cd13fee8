/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The policy table that stands in for row-level security (API §1.4): role, bucket,
 * key pattern, operations. Without a policy a role other than service_role sees and
 * changes nothing. Rows are kept in the database and, for speed, in memory.
 *
 *	SPEC = ROLE:BUCKET:PATTERN:OPS     e.g. anon:course:shared-*:select
 *
 * ROLE is anon, authenticated or *; BUCKET and PATTERN are globs (keys.h); in PATTERN
 * "{sub}" stands for the user's id. PATTERN "-" means the bucket itself (the row in
 * storage.buckets), everything else its objects. OPS is a comma list of select, insert,
 * update, delete, or all; "none" takes the policy away.
 *
 * Threads: every call from any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "supafs/util/str.h"

#include "db.h"

#define SERVE_OP_SELECT 1U
#define SERVE_OP_INSERT 2U
#define SERVE_OP_UPDATE 4U
#define SERVE_OP_DELETE 8U
#define SERVE_OP_ALL    15U

/* Whoever asks. */
struct serve_actor {
	bool service; /* sees and may do everything */
	char role[64];
	char sub[256];
};

struct serve_policies;

/* Reads the table. 0, -ENOMEM, -EIO. Ends with free, which takes NULL and returns NULL. */
int serve_policies_new(struct serve_db *db, struct serve_policies **ret_policies);
struct serve_policies *serve_policies_free(struct serve_policies *p);

/* A comma list of operations. -EINVAL; "none" is 0 operations. */
int serve_policy_parse_ops(struct supafs_str text, unsigned *ret_ops);
/* Adds, changes, or (no operations) takes away. -EINVAL for a wrong role or an empty text, -EIO,
 * -ENOMEM, -E2BIG above 1000 policies. */
int serve_policies_set(struct serve_policies *p, struct supafs_str role, struct supafs_str bucket,
	struct supafs_str pattern, unsigned ops);
/* The same from a SPEC. */
int serve_policies_set_spec(struct serve_policies *p, struct supafs_str spec);

/* May `actor` do all of `ops` with the object (or, with an empty key, with the bucket itself)? */
bool serve_policies_allow(struct serve_policies *p, const struct serve_actor *actor, unsigned ops,
	struct supafs_str bucket, struct supafs_str key);

/* Calls `each` for every policy, the table locked: it must not call back. */
void serve_policies_each(struct serve_policies *p,
	void (*each)(
		void *ctx, const char *role, const char *bucket, const char *pattern, unsigned ops),
	void *ctx);
/* Appends the names of operations, comma between. `out` holds at least 32 bytes. */
void serve_policy_format_ops(unsigned ops, char out[32]);
