/* SPDX-License-Identifier: Apache-2.0 */
/* Objects of the memory store: counted, immutable once they are in the table. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/hash.h"

#include "mem_priv.h"
#include "meta_priv.h"

struct supafs_mem_blob *supafs_mem_blob_ref(struct supafs_mem_blob *b)
{
	b->refs++;
	return b;
}

static void blob_unref(struct supafs_mem_blob *b)
{
	if (b && --b->refs == 0)
		free(b);
}

struct supafs_mem_object *supafs_mem_ref(struct supafs_mem_object *o)
{
	o->refs++;
	return o;
}

struct supafs_mem_object *supafs_mem_unref(struct supafs_mem_object *o)
{
	if (o && --o->refs == 0) {
		blob_unref(o->blob);
		free(o->user);
		free(o);
	}
	return NULL;
}

struct supafs_mem_object *supafs_mem_object_new(struct supafs_str key, struct supafs_mem_blob *blob)
{
	struct supafs_mem_object *o = calloc(1, sizeof(*o) + key.n + 1);

	if (!o) {
		blob_unref(blob);
		return NULL;
	}
	o->refs = 1;
	o->blob = blob;
	o->key_n = key.n;
	memcpy(o->key, key.p, key.n);
	o->version.size = blob->size;
	(void)snprintf(o->version.etag, sizeof(o->version.etag), "\"%016llx-%zx\"",
		(unsigned long long)supafs_hash_bytes(blob->data, blob->size), blob->size);
	supafs_random_uuid(o->generation);
	return o;
}

static int set_user(struct supafs_mem_object *o, struct supafs_str user)
{
	if (!supafs_pairs_valid(user))
		return -EINVAL;
	if (user.n == 0)
		return 0;
	o->user = supafs_str_dup(user);
	o->user_n = user.n;
	return o->user ? 0 : -ENOMEM;
}

int supafs_mem_object_set_attrs(struct supafs_mem_object *o, const struct supafs_put_args *a)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf cc;
	struct supafs_str mime = a->mime.n ? a->mime : SUPAFS_STR("application/octet-stream");
	int r;

	supafs_buf_init(&cc, (size_t)4 * SUPAFS_CC_MAX);
	if (mime.n > SUPAFS_MIME_MAX || a->nonce.n > SUPAFS_NONCE_MAX)
		return -EINVAL;
	r = supafs_meta_cache_control(&cc, a->cache_control, &a->meta);
	if (r < 0)
		return r;
	(void)snprintf(o->mime, sizeof(o->mime), "%.*s", SUPAFS_STR_FMT(mime));
	(void)snprintf(o->cache_control, sizeof(o->cache_control), "%s", supafs_buf_cstr(&cc));
	(void)snprintf(o->nonce, sizeof(o->nonce), "%.*s", SUPAFS_STR_FMT(a->nonce));
	o->meta = a->meta;
	o->meta.has &= SUPAFS_META_ALL;
	return set_user(o, a->user);
}

int supafs_mem_object_copy_attrs(struct supafs_mem_object *o, const struct supafs_mem_object *from)
{
	memcpy(o->mime, from->mime, sizeof(o->mime));
	memcpy(o->cache_control, from->cache_control, sizeof(o->cache_control));
	memcpy(o->nonce, from->nonce, sizeof(o->nonce));
	o->meta = from->meta;
	return set_user(o, (struct supafs_str){from->user, from->user_n});
}
