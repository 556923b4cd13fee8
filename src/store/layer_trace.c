/* SPDX-License-Identifier: Apache-2.0 */
/* Debug lines of SUPAFS_DEBUG=store. Keys are escaped and secrets redacted by the log. */
#include <errno.h>
#include <stdlib.h>

#include "supafs/util/clock.h"
#include "supafs/util/log.h"

#include "layer_priv.h"
#include "store_priv.h"

struct trace {
	struct supafs_layer layer;
	const struct supafs_clock *clock;
};

static int trace_before(struct supafs_layer *l, struct supafs_layer_op *o)
{
	const struct trace *t = (const struct trace *)(const void *)l;

	if (supafs_debug_on(SUPAFS_PART_STORE))
		o->began_ns = t->clock->mono_ns(t->clock);
	return 0;
}

static void trace_line(const struct trace *t, const struct supafs_layer_op *o, int r)
{
	double ms = (double)(t->clock->mono_ns(t->clock) - o->began_ns) / 1e6;
	const char *name = supafs_op_name(o->op);
	char what[300] = "";

	if (r < 0)
		supafs_fault_format(o->fault, what, sizeof(what));
	if (o->op == SUPAFS_OP_GET || o->op == SUPAFS_OP_PUT)
		supafs_debug_line(SUPAFS_PART_STORE, "%s %.*s %llu+%llu -> %d %s (%.1f ms)", name,
			SUPAFS_STR_FMT(o->key), (unsigned long long)o->offset,
			(unsigned long long)o->bytes, r, what, ms);
	else if (o->to.n > 0)
		supafs_debug_line(SUPAFS_PART_STORE, "%s %.*s to %.*s -> %d %s (%.1f ms)", name,
			SUPAFS_STR_FMT(o->key), SUPAFS_STR_FMT(o->to), r, what, ms);
	else
		supafs_debug_line(SUPAFS_PART_STORE, "%s %.*s -> %d %s (%.1f ms)", name,
			SUPAFS_STR_FMT(o->key), r, what, ms);
}

static int trace_after(struct supafs_layer *l, struct supafs_layer_op *o, int r)
{
	if (supafs_debug_on(SUPAFS_PART_STORE))
		trace_line((const struct trace *)(const void *)l, o, r);
	return r;
}

static const struct supafs_layer_hooks trace_hooks = {trace_before, trace_after, NULL};
static const struct supafs_store_ops trace_ops = SUPAFS_LAYER_OPS("trace");

int supafs_store_new_trace(const struct supafs_clock *clock, struct supafs_store *inner,
	struct supafs_store **ret_store)
{
	struct trace *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->layer = (struct supafs_layer){{&trace_ops}, inner, &trace_hooks};
	t->clock = clock;
	*ret_store = &t->layer.base;
	return 0;
}
