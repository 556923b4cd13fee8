/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Contents: one (key, version) each, found again as long as somebody holds one or its blocks are
 * cached.
 *
 *	state   in map  refs      blocks, windows   reads
 *	in use  yes     > 0       any               served
 *	idle    yes     0         blocks            – (found by the next open)
 *	stale   no      any       no blocks; its    -ESTALE
 *	                          windows end
 * freed when refs and holds are 0. In use ↔ idle; both → stale: a reply showed another version, or
 * supafs_data_drop(). Never back.
 *
 * Two versions are the same content when their sizes and ETags agree; one whose ETag is not known
 * is the same only as one made from the same listed row (time and id). So a content with nothing
 * but a size is its caller's alone.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data_priv.h"

struct content_key {
	struct supafs_str key;
	const struct supafs_version *version; /* NULL: any */
	const struct supafs_content *self;    /* not NULL: this one */
};

static bool same_version(const struct supafs_content *c, const struct supafs_version *v)
{
	if (c->size != v->size)
		return false;
	if (v->etag[0])
		return strcmp(c->etag, v->etag) == 0;
	return v->updated_ns != 0 && c->updated_ns == v->updated_ns &&
	       memcmp(c->id, v->id, sizeof(c->id)) == 0;
}

bool supafs_content_equal(const void *entry, const void *key)
{
	const struct supafs_content *c = entry;
	const struct content_key *k = key;

	if (k->self)
		return c == k->self;
	return supafs_str_eq(supafs_str_of(c->key), k->key) &&
	       (!k->version || same_version(c, k->version));
}

static void unlist_locked(struct supafs_data *d, struct supafs_content *c) SUPAFS_REQUIRES(d->lock);
static void unlist_locked(struct supafs_data *d, struct supafs_content *c)
{
	const struct content_key self = {.self = c};

	if (!c->listed)
		return;
	(void)supafs_map_remove(d->contents, c->key_hash, &self);
	c->listed = false;
}

static void release_locked(struct supafs_data *d, struct supafs_content *c)
	SUPAFS_REQUIRES(d->lock);
static void release_locked(struct supafs_data *d, struct supafs_content *c)
{
	if (c->refs > 0 || c->holds > 0)
		return;
	assert(supafs_list_empty(&c->blocks) && supafs_list_empty(&c->windows));
	unlist_locked(d, c);
	free(c->key);
	free(c);
}

void supafs_content_unhold_locked(struct supafs_data *d, struct supafs_content *c)
{
	c->holds--;
	release_locked(d, c);
}

static struct supafs_content *content_new(
	struct supafs_data *d, struct supafs_str key, const struct supafs_version *version)
{
	struct supafs_content *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->key = supafs_str_dup(key);
	if (!c->key) {
		free(c);
		return NULL;
	}
	c->data = d;
	c->key_hash = supafs_hash_str(key);
	c->size = version->size;
	c->updated_ns = version->updated_ns;
	memcpy(c->id, version->id, sizeof(c->id));
	(void)snprintf(c->etag, sizeof(c->etag), "%s", version->etag);
	supafs_list_init(&c->blocks);
	supafs_list_init(&c->windows);
	supafs_list_init(&c->waiters);
	return c;
}

int supafs_content_get(struct supafs_data *d, struct supafs_str key,
	const struct supafs_version *version, struct supafs_content **ret_content)
{
	const struct content_key want = {.key = key, .version = version};
	struct supafs_content *c;

	SUPAFS_SCOPED_LOCK(&d->lock);
	c = supafs_map_get(d->contents, supafs_hash_str(key), &want);
	if (!c) {
		c = content_new(d, key, version);
		if (!c)
			return -ENOMEM;
		if (supafs_map_add(d->contents, c->key_hash, &want, c) < 0) {
			free(c->key);
			free(c);
			return -ENOMEM;
		}
		c->listed = true;
	}
	c->refs++;
	*ret_content = c;
	return 0;
}

struct supafs_content *supafs_content_unref(struct supafs_content *c)
{
	if (!c)
		return NULL;

	struct supafs_data *d = c->data;

	SUPAFS_SCOPED_LOCK(&d->lock);
	c->refs--;
	release_locked(d, c);
	return NULL;
}

void supafs_content_etag(struct supafs_content *c, char ret_etag[SUPAFS_ETAG_MAX + 1])
{
	SUPAFS_SCOPED_LOCK(&c->data->lock);
	memcpy(ret_etag, c->etag, sizeof(c->etag));
}

void supafs_content_version_locked(
	struct supafs_data *d, const struct supafs_content *c, struct supafs_version *ret)
{
	(void)d;
	*ret = (struct supafs_version){.size = c->size, .updated_ns = c->updated_ns};
	memcpy(ret->id, c->id, sizeof(c->id));
	memcpy(ret->etag, c->etag, sizeof(c->etag));
}

void supafs_content_learnt_locked(struct supafs_data *d, struct supafs_content *c, const char *etag)
{
	(void)d;
	c->learning = false;
	if (!c->etag[0])
		(void)snprintf(c->etag, sizeof(c->etag), "%s", etag);
	supafs_list_for_each (it, &c->waiters) {
		struct waiter *w = supafs_list_entry(it, struct waiter, of_content);

		if (!w->window)
			supafs_waiter_wake(w);
	}
}

void supafs_content_stale_locked(struct supafs_data *d, struct supafs_content *c)
{
	if (c->stale)
		return;
	c->stale = true;
	c->holds++; /* its last block may go */
	unlist_locked(d, c);
	supafs_list_for_each (it, &c->windows) {
		supafs_window_cancel_locked(d, supafs_list_entry(it, struct window, of_content));
	}
	supafs_list_for_each_safe (it, next, &c->blocks) {
		supafs_block_kill_locked(d, supafs_list_entry(it, struct block, of_content));
	}
	supafs_list_for_each (it, &c->waiters) {
		supafs_waiter_wake(supafs_list_entry(it, struct waiter, of_content));
	}
	supafs_data_room_locked(d);
	supafs_content_unhold_locked(d, c);
}

void supafs_data_drop(struct supafs_data *d, struct supafs_str key)
{
	const struct content_key any = {.key = key};
	uint64_t hash = supafs_hash_str(key);
	struct supafs_content *c;

	SUPAFS_SCOPED_LOCK(&d->lock);
	while ((c = supafs_map_get(d->contents, hash, &any)) != NULL)
		supafs_content_stale_locked(d, c);
	supafs_data_flush_locked(d);
}

/* --- Without blocks -----------------------------------------------------------------------------
 */

/* While somebody else learns the ETag, waits; then claims that for us if it is still unknown. */
static int claim_learning_locked(struct supafs_data *d, struct supafs_content *c,
	struct supafs_call *call, bool *ret_learns) SUPAFS_REQUIRES(d->lock);
static int claim_learning_locked(
	struct supafs_data *d, struct supafs_content *c, struct supafs_call *call, bool *ret_learns)
{
	struct waiter w;
	int r = 0;

	supafs_waiter_init(&w);
	w.index = UINT64_MAX;
	while (r == 0 && !c->stale && c->learning)
		r = supafs_waiter_wait_locked(d, c, &w, call);
	supafs_waiter_fini(&w);
	if (r == 0 && c->stale)
		r = -ESTALE;
	if (r < 0)
		return r;
	*ret_learns = c->etag[0] == '\0';
	c->learning |= *ret_learns;
	return 0;
}

/* Notes whether a byte came. */
struct noting {
	const struct supafs_sink *outer;
	bool came;
};

static int noting_write(void *ctx, const void *p, size_t n)
{
	struct noting *s = ctx;

	s->came = true;
	return s->outer->write(s->outer->ctx, p, n);
}

int supafs_content_fetch(struct supafs_content *c, struct supafs_call *call, uint64_t off,
	uint64_t n, const struct supafs_sink *sink, struct supafs_fault *fault)
{
	struct supafs_data *d = c->data;
	char etag[SUPAFS_ETAG_MAX + 1] = "";
	struct noting noting = {.outer = sink};
	struct supafs_version version;
	bool learns = false;
	int r;

	supafs_fault_clear(fault);
	if (off > c->size || n > c->size - off)
		return -EINVAL;
	{
		SUPAFS_SCOPED_LOCK(&d->lock);
		/* A stale one with a known ETag is asked for again: the store compares, so nothing
		 * is mixed, and the other version may have been a cache's on the way, or be gone.
		 */
		r = c->stale && c->etag[0] ? 0 : claim_learning_locked(d, c, call, &learns);
		if (r < 0)
			return r;
		supafs_content_version_locked(d, c, &version);
	}
	if (n > 0) {
		struct supafs_get_args args = {
			.key = supafs_str_of(c->key),
			.offset = off,
			.length = n,
			.version = &version,
			.sink = {noting_write, &noting},
			.ret_etag = etag,
		};

		r = d->store->ops->get(d->store, call, &args, fault);
	}

	SUPAFS_SCOPED_LOCK(&d->lock);
	if (learns)
		supafs_content_learnt_locked(d, c, etag);
	/* A part of a version that has no name is in the caller's hands: never mix. */
	if (r == -ESTALE || (r < 0 && learns && !etag[0] && noting.came))
		supafs_content_stale_locked(d, c);
	supafs_data_flush_locked(d);
	return r;
}
