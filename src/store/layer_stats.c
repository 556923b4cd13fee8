/* SPDX-License-Identifier: Apache-2.0 */
/* Counts operations, errors, payload bytes and time. No lock: each counter is atomic by itself. */
#include <errno.h>
#include <stdlib.h>

#include "supafs/util/clock.h"

#include "layer_priv.h"

struct counters {
	_Atomic uint64_t count, errors, bytes, time_ns;
};

struct stats {
	struct supafs_layer layer;
	const struct supafs_clock *clock;
	struct counters ops[SUPAFS_OP__COUNT];
};

static int stats_before(struct supafs_layer *l, struct supafs_layer_op *o)
{
	const struct stats *st = (const struct stats *)(const void *)l;

	o->began_ns = st->clock->mono_ns(st->clock);
	return 0;
}

static int stats_after(struct supafs_layer *l, struct supafs_layer_op *o, int r)
{
	struct stats *st = (struct stats *)(void *)l;
	struct counters *c = &st->ops[o->op];

	c->count++;
	c->time_ns += (uint64_t)(st->clock->mono_ns(st->clock) - o->began_ns);
	if (r < 0)
		c->errors++;
	else if (o->op == SUPAFS_OP_GET || o->op == SUPAFS_OP_PUT)
		c->bytes += o->bytes;
	return r;
}

static const struct supafs_layer_hooks stats_hooks = {stats_before, stats_after, NULL};
static const struct supafs_store_ops stats_ops = SUPAFS_LAYER_OPS("stats");

int supafs_store_new_stats(const struct supafs_clock *clock, struct supafs_store *inner,
	struct supafs_store **ret_store)
{
	struct stats *st = calloc(1, sizeof(*st));

	if (!st)
		return -ENOMEM;
	st->layer = (struct supafs_layer){{&stats_ops}, inner, &stats_hooks};
	st->clock = clock;
	*ret_store = &st->layer.base;
	return 0;
}

void supafs_store_stats_read(
	const struct supafs_store *stats, struct supafs_op_stats ret_ops[SUPAFS_OP__COUNT])
{
	const struct stats *st = (const struct stats *)(const void *)stats;

	for (size_t i = 0; i < SUPAFS_OP__COUNT; i++) {
		const struct counters *c = &st->ops[i];
		ret_ops[i] = (struct supafs_op_stats){c->count, c->errors, c->bytes, c->time_ns};
	}
}
