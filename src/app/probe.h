/* SPDX-License-Identifier: Apache-2.0 */
/* The first question to the server, and its failures in words. */
#pragma once

#include "supafs/store/store.h"

#include "messages.h"

struct supafs_probe_args {
	const struct supafs_clock *clock;
	uint64_t timeout_ms;
	const char *url, *bucket;
	bool public_key;
};
/* `store`: the bare backend, so that a wrong address does not cost the whole time-out. 0, or -errno
 * with *p set. */
int supafs_probe(struct supafs_store *store, const struct supafs_probe_args *args,
	struct supafs_bucket_info *ret_info, struct supafs_problem *p);
/* The message for a failure `r` of the probe with `fault`. */
enum supafs_msg supafs_probe_message(int r, const struct supafs_fault *fault, bool public_key);
