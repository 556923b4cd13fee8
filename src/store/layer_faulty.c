/* SPDX-License-Identifier: Apache-2.0 */
/* Makes chosen operations fail, before or after they were done: for tests. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "supafs/util/lock.h"

#include "layer_priv.h"

enum {
	RULES_MAX = 32,
};

struct faulty {
	struct supafs_layer layer;
	struct supafs_mutex lock; /* a leaf */
	/* lock: */
	struct supafs_faulty_rule rules[RULES_MAX];
	size_t n;
};

static struct faulty *faulty_of(struct supafs_layer *l)
{
	return (struct faulty *)(void *)l;
}

/* The first rule for (op, after) that has times left counts this operation. */
static int strike(struct faulty *f, struct supafs_layer_op *o, bool after)
{
	SUPAFS_SCOPED_LOCK(&f->lock);
	for (size_t i = 0; i < f->n; i++) {
		struct supafs_faulty_rule *rule = &f->rules[i];
		if (rule->op != o->op || rule->after != after || rule->times == 0)
			continue;
		if (rule->skip > 0) {
			rule->skip--;
			return 0;
		}
		rule->times--;
		*o->fault = rule->fault;
		return rule->error;
	}
	return 0;
}

static int faulty_before(struct supafs_layer *l, struct supafs_layer_op *o)
{
	return strike(faulty_of(l), o, false);
}

static int faulty_after(struct supafs_layer *l, struct supafs_layer_op *o, int r)
{
	int error = strike(faulty_of(l), o, true);

	return error ? error : r;
}

static void faulty_fini(struct supafs_layer *l)
{
	supafs_mutex_fini(&faulty_of(l)->lock);
}

static const struct supafs_layer_hooks faulty_hooks = {faulty_before, faulty_after, faulty_fini};
static const struct supafs_store_ops faulty_ops = SUPAFS_LAYER_OPS("faulty");

int supafs_store_new_faulty(struct supafs_store *inner, struct supafs_store **ret_store)
{
	struct faulty *f = calloc(1, sizeof(*f));

	if (!f)
		return -ENOMEM;
	f->layer = (struct supafs_layer){{&faulty_ops}, inner, &faulty_hooks};
	supafs_mutex_init(&f->lock);
	*ret_store = &f->layer.base;
	return 0;
}

void supafs_store_faulty_add(struct supafs_store *faulty, const struct supafs_faulty_rule *rule)
{
	struct faulty *f = (struct faulty *)(void *)faulty;

	SUPAFS_SCOPED_LOCK(&f->lock);
	assert(f->n < RULES_MAX);
	if (f->n < RULES_MAX)
		f->rules[f->n++] = *rule;
}
