/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocks: memory of one version's bytes, looked up by (content, index).
 *
 *	state      window  have      in map  list          evictable
 *	fetching   set     < size    yes     none          no: its window gives it up by ending
 *	present    NULL    = size    yes     one of three  when not pinned and nobody waits for it
 *	dead       NULL    any       no      none          freed with its last pin; content is NULL
 *
 * absent is no block at all. fetching → present: the last byte; fetching → dead: its window ended
 * before; present → dead: evicted, or its content is stale. The sum of all sizes, dead ones
 * included, is stats.bytes and never above `memory`: it is counted before the memory is
 * allocated, and evicted memory is used again as it is.
 *
 * Present blocks are fresh (nobody has read them), on the lru, or done: read to their end by a
 * track that has read more than DROP_FROM, while no other handle was open. Done ones are evicted
 * before all others, and as soon as there are more than DONE_KEPT of them, so a long read runs in a
 * few MiB. Another read of such a block puts it on the lru again.
 *
 * Else evicted is what was read longest ago; what was fetched ahead and not read yet (fresh) only
 *when it is more than three quarters of the memory: all live windows together are at most half of
 *it ahead (supafs_data_ahead_locked()), so then some of it belongs to readers that are gone.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "data_priv.h"

struct block_key {
	const struct supafs_content *content;
	uint64_t index;
};

static bool block_equal(const void *entry, const void *key)
{
	const struct block *b = entry;
	const struct block_key *k = key;

	return b->content == k->content && b->index == k->index;
}

static uint64_t block_hash(const struct block_key *k)
{
	return supafs_hash_u64((uint64_t)(uintptr_t)k->content + k->index * BLOCK);
}

int supafs_blocks_new(struct supafs_map **ret_map)
{
	return supafs_map_new(block_equal, ret_map);
}

struct block *supafs_block_find_locked(
	struct supafs_data *d, const struct supafs_content *c, uint64_t index)
{
	const struct block_key key = {c, index};

	return supafs_map_get(d->blocks, block_hash(&key), &key);
}

static void free_block_locked(struct supafs_data *d, struct block *b) SUPAFS_REQUIRES(d->lock);
static void free_block_locked(struct supafs_data *d, struct block *b)
{
	assert(d->stats.bytes >= b->size);
	d->stats.bytes -= b->size;
	free(b->p);
	free(b);
}

static void list_locked(struct supafs_data *d, struct block *b) SUPAFS_REQUIRES(d->lock);
static void list_locked(struct supafs_data *d, struct block *b)
{
	if (b->done) {
		supafs_list_add_tail(&d->done, &b->lru);
		d->done_bytes += b->size;
	} else if (b->used) {
		supafs_list_add_tail(&d->lru, &b->lru);
	} else {
		supafs_list_add_tail(&d->fresh, &b->lru);
		d->fresh_bytes += b->size;
	}
}

static void unlist_locked(struct supafs_data *d, struct block *b) SUPAFS_REQUIRES(d->lock);
static void unlist_locked(struct supafs_data *d, struct block *b)
{
	if (supafs_list_empty(&b->lru))
		return;
	supafs_list_remove(&b->lru);
	if (b->done)
		d->done_bytes -= b->size;
	else if (!b->used)
		d->fresh_bytes -= b->size;
}

void supafs_block_kill_locked(struct supafs_data *d, struct block *b)
{
	struct supafs_content *c = b->content;
	const struct block_key key = {c, b->index};

	(void)supafs_map_remove(d->blocks, block_hash(&key), &key);
	supafs_list_remove(&b->of_content);
	unlist_locked(d, b);
	if (b->window && b->window->block == b)
		b->window->block = NULL;
	b->content = NULL;
	b->window = NULL;
	if (b->pins == 0)
		free_block_locked(d, b);
	supafs_content_unhold_locked(d, c);
}

void supafs_block_unpin_locked(struct supafs_data *d, struct block *b)
{
	if (--b->pins > 0)
		return;
	if (!b->content)
		free_block_locked(d, b);
	supafs_data_room_locked(d);
}

void supafs_block_touch_locked(struct supafs_data *d, struct block *b)
{
	bool listed = !supafs_list_empty(&b->lru);

	unlist_locked(d, b);
	b->used = true;
	b->done = false;
	if (listed)
		list_locked(d, b);
}

void supafs_block_done_locked(struct supafs_data *d, struct block *b)
{
	if (supafs_list_empty(&b->lru))
		return; /* being filled or dead */
	unlist_locked(d, b);
	b->done = true;
	list_locked(d, b);
}

static bool wanted_locked(const struct supafs_data *d, const struct block *b)
	SUPAFS_REQUIRES(d->lock);
static bool wanted_locked(const struct supafs_data *d, const struct block *b)
{
	(void)d;
	supafs_list_for_each (it, &b->content->waiters) {
		const struct waiter *w = supafs_list_entry(it, struct waiter, of_content);

		if (w->index == b->index)
			return true;
	}
	return false;
}

/* The oldest block of a list that can go; NULL if none. */
static struct block *victim_locked(struct supafs_data *d, struct supafs_list *list)
	SUPAFS_REQUIRES(d->lock);
static struct block *victim_locked(struct supafs_data *d, struct supafs_list *list)
{
	supafs_list_for_each (it, list) {
		struct block *b = supafs_list_entry(it, struct block, lru);

		if (b->pins == 0 && !wanted_locked(d, b))
			return b;
	}
	return NULL;
}

/* Evicts `b`; hands its memory over when that has `size` bytes. */
static void drop_locked(struct supafs_data *d, struct block *b, uint32_t size,
	unsigned char **ret_p) SUPAFS_REQUIRES(d->lock);
static void drop_locked(
	struct supafs_data *d, struct block *b, uint32_t size, unsigned char **ret_p)
{
	if (b->size == size && !*ret_p)
		*ret_p = supafs_steal(&b->p);
	d->stats.evicted++;
	supafs_block_kill_locked(d, b);
}

/* Evicts one block, see drop_locked(). 0, -EAGAIN. */
static int evict_locked(struct supafs_data *d, uint32_t size, unsigned char **ret_p)
	SUPAFS_REQUIRES(d->lock);
static int evict_locked(struct supafs_data *d, uint32_t size, unsigned char **ret_p)
{
	bool much = d->fresh_bytes > d->memory / 4 * 3;
	struct block *b = victim_locked(d, &d->done);

	if (!b)
		b = victim_locked(d, much ? &d->fresh : &d->lru);
	if (!b)
		b = victim_locked(d, much ? &d->lru : &d->fresh);
	if (!b)
		return -EAGAIN;
	drop_locked(d, b, size, ret_p);
	return 0;
}

int supafs_block_new_locked(
	struct supafs_data *d, struct window *w, uint64_t index, struct block **ret_block)
{
	struct supafs_content *c = w->content;
	const struct block_key key = {c, index};
	uint64_t rest = c->size - index * BLOCK;
	uint32_t size = (uint32_t)(rest < BLOCK ? rest : BLOCK);
	supafs_autofree unsigned char *p = NULL;
	struct block *b;

	/* Its memory is still in the processor's caches: better than more memory. */
	b = d->done_bytes >= DONE_KEPT ? victim_locked(d, &d->done) : NULL;
	if (b)
		drop_locked(d, b, size, &p);
	while (d->stats.bytes > d->memory - size) {
		int r = evict_locked(d, size, &p);

		if (r < 0)
			return r;
	}
	b = calloc(1, sizeof(*b));
	if (!b)
		return -ENOMEM;
	*b = (struct block){.content = c, .window = w, .index = index, .size = size};
	supafs_list_init(&b->lru);
	supafs_list_init(&b->of_content);
	if (supafs_map_add(d->blocks, block_hash(&key), &key, b) < 0) {
		free(b);
		return -ENOMEM;
	}
	b->p = supafs_steal(&p);
	d->stats.bytes += size;
	supafs_list_add_tail(&c->blocks, &b->of_content);
	c->holds++;
	*ret_block = b;
	return 0;
}

void supafs_block_publish_locked(struct supafs_data *d, struct block *b, uint32_t n)
{
	bool wanted = false;

	b->have += n;
	assert(b->have <= b->size);
	supafs_list_for_each (it, &b->content->waiters) {
		struct waiter *w = supafs_list_entry(it, struct waiter, of_content);

		if (w->index != b->index)
			continue;
		wanted = true;
		if (b->have >= w->need)
			supafs_waiter_wake(w);
	}
	if (b->have < b->size)
		return;
	b->window = NULL;
	list_locked(d, b);
	if (!wanted)
		supafs_data_room_locked(d);
}
