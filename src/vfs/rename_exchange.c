/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RENAME_EXCHANGE. The server exchanges nothing, so it is three renames over a hidden name beside
 * the second one:
 *
 *	new  → hidden      (1)
 *	old  → new         (2)  refused: (1) is taken back
 *	hidden → old       (3)  refused: (2) and (1) are taken back
 *
 * On this mount nobody looks in between: the kernel holds both folders until the answer. Others may
 * see one of the names missing for a moment; after a crash it stays under the hidden name, whole,
 * and open files follow theirs all the way.
 */
#include <stdio.h>

#include "ops.h"

#define HIDDEN_NAME ".supafs-exchange-%016llx"
#define HIDDEN_MAX  48

struct end {
	uint64_t parent;
	struct supafs_str name;
};

static int step(struct supafs_vfs *v, struct supafs_call *call, const struct end *from,
	const struct end *to, struct supafs_fault *fault)
{
	const struct supafs_rename r = {
		.parent = from->parent,
		.name = from->name,
		.new_parent = to->parent,
		.new_name = to->name,
		.flags = RENAME_NOREPLACE,
	};

	return supafs_vfs_rename(v, call, &r, fault);
}

/* The operation's own time may be over; this is to end all the same. */
static void take_back(struct supafs_vfs *v, const struct end *from, const struct end *to)
{
	struct supafs_fault ignored;
	struct supafs_call call;

	vfs_call_init(v, &call);
	(void)step(v, &call, from, to, &ignored);
	supafs_call_fini(&call);
}

static int is_there(struct supafs_vfs *v, struct supafs_call *call, const struct end *e,
	struct supafs_fault *fault)
{
	struct supafs_node_info info;
	int r = supafs_vfs_lookup(v, call, e->parent, e->name, &info, fault);

	if (r == 0)
		supafs_vfs_forget(v, info.node, 1);
	return r;
}

int vfs_rename_exchange(struct supafs_vfs *v, struct supafs_call *call,
	const struct supafs_rename *r, struct supafs_fault *fault)
{
	const struct end a = {r->parent, r->name}, b = {r->new_parent, r->new_name};
	const int64_t now = v->cfg.clock->wall_ns(v->cfg.clock);
	char name[HIDDEN_MAX];
	const int n = snprintf(name, sizeof(name), HIDDEN_NAME, (unsigned long long)now);
	const struct end hidden = {r->new_parent, {name, (size_t)n}};
	int e = is_there(v, call, &a, fault);

	if (e == 0)
		e = is_there(v, call, &b, fault);
	if (e != 0 || (a.parent == b.parent && supafs_str_eq(a.name, b.name)))
		return e;
	e = step(v, call, &b, &hidden, fault);
	if (e != 0)
		return e;
	e = step(v, call, &a, &b, fault);
	if (e == 0) {
		e = step(v, call, &hidden, &a, fault);
		if (e == 0)
			return 0;
		take_back(v, &b, &a);
	}
	take_back(v, &hidden, &b);
	return e;
}
