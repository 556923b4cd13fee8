/* SPDX-License-Identifier: Apache-2.0 */
/* What a daemon says is not at the server (cmd_pending.c); used by flush as well. */
#pragma once

#include "client.h"

struct supafs_pending_item {
	char *path; /* below the mount, true bytes */
	uint64_t id;
	struct supafs_answer *line;
};
struct supafs_pending_list {
	struct supafs_pending_item *p;
	size_t n;
};
/* 0, or -errno with *p set. Ends with fini, also after a failure. */
int supafs_pending_read(
	const struct supafs_client *c, struct supafs_pending_list *ret, struct supafs_problem *p);
void supafs_pending_fini(struct supafs_pending_list *l);
/* "Permission denied: HTTP 403 …"; "" when it was not tried. */
void supafs_pending_reason(const struct supafs_answer *line, char *out, size_t size);
