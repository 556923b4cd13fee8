/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stats, trace, limit and faulty have in common: every operation is forwarded to the inner
 * store between two hooks. A layer is a struct that begins with struct supafs_layer, a hook table
 * and a store table made by SUPAFS_LAYER_OPS.
 */
#pragma once

#include "supafs/store/store.h"

/* One operation on its way through. */
struct supafs_layer_op {
	enum supafs_op op;
	struct supafs_call *call;
	struct supafs_str key; /* the key, the prefix or the copy's source; "" for probe */
	struct supafs_str to;  /* target of copy and move, else "" */
	uint64_t offset;       /* get */
	uint64_t bytes;        /* get, put: payload; remove_many: keys */
	struct supafs_fault *fault;
	int64_t began_ns; /* for the hooks */
};

struct supafs_layer;

struct supafs_layer_hooks {
	/* Not 0: the inner store is not asked, this is the result (fault filled), after() not run.
	 */
	int (*before)(struct supafs_layer *l, struct supafs_layer_op *o);
	/* `r` is the inner result; returns what the caller gets. */
	int (*after)(struct supafs_layer *l, struct supafs_layer_op *o, int r);
	/* Frees what the layer has of its own, not the layer; may be NULL. */
	void (*fini)(struct supafs_layer *l);
};

struct supafs_layer {
	struct supafs_store base;
	struct supafs_store *inner; /* owned */
	const struct supafs_layer_hooks *hooks;
};

int supafs_layer_probe(struct supafs_store *s, struct supafs_call *call,
	struct supafs_bucket_info *ret_info, struct supafs_fault *fault);
int supafs_layer_list(struct supafs_store *s, struct supafs_call *call,
	const struct supafs_list_args *args, struct supafs_cursor *cursor, bool *ret_more,
	struct supafs_fault *fault);
int supafs_layer_info(struct supafs_store *s, struct supafs_call *call, struct supafs_str key,
	struct supafs_info *ret_info, struct supafs_fault *fault);
int supafs_layer_get(struct supafs_store *s, struct supafs_call *call,
	const struct supafs_get_args *args, struct supafs_fault *fault);
int supafs_layer_put(struct supafs_store *s, struct supafs_call *call,
	const struct supafs_put_args *args, unsigned char ret_id[16], struct supafs_fault *fault);
int supafs_layer_remove(struct supafs_store *s, struct supafs_call *call, struct supafs_str key,
	struct supafs_fault *fault);
int supafs_layer_remove_many(struct supafs_store *s, struct supafs_call *call,
	const struct supafs_str *keys, size_t n, bool *ret_gone, struct supafs_fault *fault);
int supafs_layer_copy(struct supafs_store *s, struct supafs_call *call,
	const struct supafs_copy_args *args, struct supafs_entry *ret_entry,
	struct supafs_fault *fault);
int supafs_layer_move(struct supafs_store *s, struct supafs_call *call, struct supafs_str from,
	struct supafs_str to, struct supafs_fault *fault);
int supafs_layer_url(struct supafs_store *s, struct supafs_call *call, struct supafs_str key,
	uint64_t valid_s, struct supafs_buf *ret, struct supafs_fault *fault);
unsigned supafs_layer_capabilities(const struct supafs_store *s);
struct supafs_store *supafs_layer_free(struct supafs_store *s);

/* What the limit layer is doing; for tests. */
struct supafs_limit_state {
	unsigned limit, inflight, heavy;
	size_t waiting;
};
void supafs_limit_read(struct supafs_store *limit, struct supafs_limit_state *ret_state);

#define SUPAFS_LAYER_OPS(layer_name)                                                               \
	{                                                                                          \
		.name = (layer_name), .probe = supafs_layer_probe, .list = supafs_layer_list,      \
		.info = supafs_layer_info, .get = supafs_layer_get, .put = supafs_layer_put,       \
		.remove = supafs_layer_remove, .remove_many = supafs_layer_remove_many,            \
		.copy = supafs_layer_copy, .move = supafs_layer_move, .url = supafs_layer_url,     \
		.capabilities = supafs_layer_capabilities, .free = supafs_layer_free,              \
	}
