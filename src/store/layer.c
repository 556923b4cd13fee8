/* SPDX-License-Identifier: Apache-2.0 */
/* Forwarding of operations between a layer's hooks. */
#include <stdlib.h>

#include "layer_priv.h"

static struct supafs_layer *layer_of(struct supafs_store *s)
{
	return (struct supafs_layer *)(void *)s;
}

/* Runs `inner_call` between the hooks of `l`; `o` must be a struct supafs_layer_op. */
#define BETWEEN_HOOKS(l, o, inner_call)                                                            \
	do {                                                                                       \
		int r_ = (l)->hooks->before((l), &(o));                                            \
		if (r_ != 0)                                                                       \
			return r_;                                                                 \
		r_ = (inner_call);                                                                 \
		return (l)->hooks->after((l), &(o), r_);                                           \
	} while (0)

int supafs_layer_probe(struct supafs_store *s, struct supafs_call *call,
	struct supafs_bucket_info *ret_info, struct supafs_fault *fault)
{
	struct supafs_layer *l = layer_of(s);
	struct supafs_layer_op o = {.op = SUPAFS_OP_PROBE, .call = call, .fault = fault};

	BETWEEN_HOOKS(l, o, l->inner->ops->probe(l->inner, call, ret_info, fault));
}

int supafs_layer_list(struct supafs_store *s, struct supafs_call *call,
	const struct supafs_list_args *args, struct supafs_cursor *cursor, bool *ret_more,
	struct supafs_fault *fault)
{
	struct supafs_layer *l = layer_of(s);
	struct supafs_layer_op o = {
		.op = SUPAFS_OP_LIST, .call = call, .key = args->prefix, .fault = fault};

	BETWEEN_HOOKS(l, o, l->inner->ops->list(l->inner, call, args, cursor, ret_more, fault));
}

int supafs_layer_info(struct supafs_store *s, struct supafs_call *call, struct supafs_str key,
	struct supafs_info *ret_info, struct supafs_fault *fault)
{
	struct supafs_layer *l = layer_of(s);
	struct supafs_layer_op o = {.op = SUPAFS_OP_INFO, .call = call, .key = key, .fault = fault};

	BETWEEN_HOOKS(l, o, l->inner->ops->info(l->inner, call, key, ret_info, fault));
}

int supafs_layer_get(struct supafs_store *s, struct supafs_call *call,
	const struct supafs_get_args *args, struct supafs_fault *fault)
{
	struct supafs_layer *l = layer_of(s);
	struct supafs_layer_op o = {
		.op = SUPAFS_OP_GET,
		.call = call,
		.key = args->key,
		.offset = args->offset,
		.bytes = args->length,
		.fault = fault,
	};

	BETWEEN_HOOKS(l, o, l->inner->ops->get(l->inner, call, args, fault));
}

int supafs_layer_put(struct supafs_store *s, struct supafs_call *call,
	const struct supafs_put_args *args, unsigned char ret_id[16], struct supafs_fault *fault)
{
	struct supafs_layer *l = layer_of(s);
	struct supafs_layer_op o = {
		.op = SUPAFS_OP_PUT,
		.call = call,
		.key = args->key,
		.bytes = args->size,
		.fault = fault,
	};

	BETWEEN_HOOKS(l, o, l->inner->ops->put(l->inner, call, args, ret_id, fault));
}

int supafs_layer_remove(struct supafs_store *s, struct supafs_call *call, struct supafs_str key,
	struct supafs_fault *fault)
{
	struct supafs_layer *l = layer_of(s);
	struct supafs_layer_op o = {
		.op = SUPAFS_OP_REMOVE, .call = call, .key = key, .fault = fault};

	BETWEEN_HOOKS(l, o, l->inner->ops->remove(l->inner, call, key, fault));
}

int supafs_layer_remove_many(struct supafs_store *s, struct supafs_call *call,
	const struct supafs_str *keys, size_t n, bool *ret_gone, struct supafs_fault *fault)
{
	struct supafs_layer *l = layer_of(s);
	struct supafs_layer_op o = {
		.op = SUPAFS_OP_REMOVE_MANY,
		.call = call,
		.key = n > 0 ? keys[0] : SUPAFS_STR(""),
		.bytes = n,
		.fault = fault,
	};

	BETWEEN_HOOKS(l, o, l->inner->ops->remove_many(l->inner, call, keys, n, ret_gone, fault));
}

int supafs_layer_copy(struct supafs_store *s, struct supafs_call *call,
	const struct supafs_copy_args *args, struct supafs_entry *ret_entry,
	struct supafs_fault *fault)
{
	struct supafs_layer *l = layer_of(s);
	struct supafs_layer_op o = {
		.op = SUPAFS_OP_COPY,
		.call = call,
		.key = args->from,
		.to = args->to,
		.fault = fault,
	};

	BETWEEN_HOOKS(l, o, l->inner->ops->copy(l->inner, call, args, ret_entry, fault));
}

int supafs_layer_move(struct supafs_store *s, struct supafs_call *call, struct supafs_str from,
	struct supafs_str to, struct supafs_fault *fault)
{
	struct supafs_layer *l = layer_of(s);
	struct supafs_layer_op o = {
		.op = SUPAFS_OP_MOVE, .call = call, .key = from, .to = to, .fault = fault};

	BETWEEN_HOOKS(l, o, l->inner->ops->move(l->inner, call, from, to, fault));
}

int supafs_layer_url(struct supafs_store *s, struct supafs_call *call, struct supafs_str key,
	uint64_t valid_s, struct supafs_buf *ret, struct supafs_fault *fault)
{
	struct supafs_layer *l = layer_of(s);
	struct supafs_layer_op o = {.op = SUPAFS_OP_URL, .call = call, .key = key, .fault = fault};

	BETWEEN_HOOKS(l, o, l->inner->ops->url(l->inner, call, key, valid_s, ret, fault));
}

unsigned supafs_layer_capabilities(const struct supafs_store *s)
{
	const struct supafs_layer *l = (const struct supafs_layer *)(const void *)s;

	return l->inner->ops->capabilities(l->inner);
}

struct supafs_store *supafs_layer_free(struct supafs_store *s)
{
	struct supafs_layer *l = layer_of(s);

	if (l->hooks->fini)
		l->hooks->fini(l);
	(void)supafs_store_free(l->inner);
	free(l);
	return NULL;
}
