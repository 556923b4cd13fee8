/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory store, inside. An object never changes once it is in the table: an overwrite
 * puts a new one in its place, so a reader that holds a reference needs no lock.
 */
#pragma once

#include "supafs/store/store.h"
#include "supafs/util/lock.h"

#include "store_priv.h"

/* Content, shared by copies. */
struct supafs_mem_blob {
	_Atomic unsigned refs;
	size_t size;
	char data[];
};

struct supafs_mem_object {
	_Atomic unsigned refs;
	struct supafs_mem_blob *blob;
	struct supafs_version version;
	int64_t modified_ns, created_ns;
	struct supafs_meta meta;
	char mime[SUPAFS_MIME_MAX + 1];
	char cache_control[SUPAFS_CC_MAX + 1]; /* with our directives */
	char generation[37];
	char nonce[SUPAFS_NONCE_MAX + 1];
	char *user; /* pairs; NULL: none */
	size_t user_n;
	size_t key_n;
	char key[]; /* and a NUL */
};

struct supafs_mem {
	struct supafs_store base;
	const struct supafs_clock *clock;
	struct supafs_mutex lock; /* a leaf */
	/* lock: */
	struct supafs_mem_object **objects; /* sorted by key, each once */
	size_t n, cap;
	int64_t last_ns; /* times of versions rise */
};

static inline struct supafs_mem *supafs_mem_of(struct supafs_store *s)
{
	return (struct supafs_mem *)(void *)s;
}

static inline struct supafs_str supafs_mem_key(const struct supafs_mem_object *o)
{
	return (struct supafs_str){o->key, o->key_n};
}

struct supafs_mem_blob *supafs_mem_blob_ref(struct supafs_mem_blob *b);

/* With one reference; version's size and etag, generation set. Takes the reference to `blob`, also
 * on failure. NULL when out of memory. */
struct supafs_mem_object *supafs_mem_object_new(
	struct supafs_str key, struct supafs_mem_blob *blob);
/* Type, Cache-Control, times, nonce, user metadata: 0 or -EINVAL, -ENOMEM. */
int supafs_mem_object_set_attrs(struct supafs_mem_object *o, const struct supafs_put_args *a);
int supafs_mem_object_copy_attrs(struct supafs_mem_object *o, const struct supafs_mem_object *from);

struct supafs_mem_object *supafs_mem_ref(struct supafs_mem_object *o);
struct supafs_mem_object *supafs_mem_unref(struct supafs_mem_object *o);

/* Index of the first object whose key is ≥ `key`. */
size_t supafs_mem_lower_locked(const struct supafs_mem *m, struct supafs_str key)
	SUPAFS_REQUIRES(m->lock);

int supafs_mem_list(struct supafs_store *s, struct supafs_call *call,
	const struct supafs_list_args *args, struct supafs_cursor *cursor, bool *ret_more,
	struct supafs_fault *fault);
