/* SPDX-License-Identifier: Apache-2.0 */
/* The data cache as a whole: its life, its news, its memory's shares. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "data_priv.h"

static void data_unmake(struct supafs_data *d)
{
	d->contents = supafs_map_free(d->contents);
	d->blocks = supafs_map_free(d->blocks);
	supafs_mutex_fini(&d->lock);
	free(d);
}

int supafs_data_new(const struct supafs_data_config *cfg, struct supafs_data **ret_data)
{
	struct supafs_data *d;
	int r;

	if (cfg->memory < 8 * BLOCK || cfg->threads == 0)
		return -EINVAL;
	d = calloc(1, sizeof(*d));
	if (!d)
		return -ENOMEM;
	d->store = cfg->store;
	d->clock = cfg->clock;
	d->memory = cfg->memory;
	d->ahead_max = cfg->ahead_max;
	d->threads = cfg->threads;
	d->timeout_ms = cfg->timeout_ms;
	supafs_mutex_init(&d->lock);
	supafs_list_init(&d->lru);
	supafs_list_init(&d->fresh);
	supafs_list_init(&d->done);
	supafs_list_init(&d->windows);
	supafs_list_init(&d->starving);
	supafs_list_init(&d->news);
	r = supafs_map_new(supafs_content_equal, &d->contents);
	if (r == 0)
		r = supafs_blocks_new(&d->blocks);
	if (r == 0)
		r = supafs_pool_new("supafs-get", d->threads, JOBS_MAX, &d->pool);
	if (r < 0) {
		data_unmake(d);
		return r;
	}
	*ret_data = d;
	return 0;
}

static void kill_all_locked(struct supafs_data *d, struct supafs_list *list)
	SUPAFS_REQUIRES(d->lock);
static void kill_all_locked(struct supafs_data *d, struct supafs_list *list)
{
	supafs_list_for_each_safe (it, next, list) {
		supafs_block_kill_locked(d, supafs_list_entry(it, struct block, lru));
	}
}

struct supafs_data *supafs_data_free(struct supafs_data *d)
{
	if (!d)
		return NULL;
	{
		SUPAFS_SCOPED_LOCK(&d->lock);
		supafs_list_for_each (it, &d->windows) {
			supafs_window_cancel_locked(
				d, supafs_list_entry(it, struct window, of_data));
		}
		supafs_data_flush_locked(d);
	}
	d->pool = supafs_pool_free(d->pool);
	{
		SUPAFS_SCOPED_LOCK(&d->lock);
		kill_all_locked(d, &d->lru);
		kill_all_locked(d, &d->fresh);
		kill_all_locked(d, &d->done);
		assert(d->stats.bytes == 0 && d->fresh_bytes == 0 && d->done_bytes == 0);
		assert(d->active == 0 && d->viewed_bytes == 0);
		assert(supafs_map_count(d->contents) == 0); /* all were released */
	}
	data_unmake(d);
	return NULL;
}

void supafs_data_stats(struct supafs_data *d, struct supafs_data_stats *ret)
{
	SUPAFS_SCOPED_LOCK(&d->lock);
	*ret = d->stats;
}

void supafs_data_flush_locked(struct supafs_data *d)
{
	while (!supafs_list_empty(&d->news)) {
		struct window *w = supafs_list_entry(d->news.next, struct window, news);
		bool cancelled = w->cancelled;

		supafs_list_remove(&w->news);
		w->refs++;
		/* A waker may take locks under which sinks are called. */
		supafs_mutex_unlock(&d->lock);
		if (cancelled)
			supafs_call_cancel(&w->call);
		else
			supafs_call_poke(&w->call);
		supafs_mutex_lock(&d->lock);
		supafs_window_unref_locked(d, w);
	}
}

void supafs_data_room_locked(struct supafs_data *d)
{
	supafs_list_for_each_safe (it, next, &d->starving) {
		struct window *w = supafs_list_entry(it, struct window, starving);

		supafs_window_unpause_locked(d, w);
		if (supafs_list_empty(&w->news))
			supafs_list_add_tail(&d->news, &w->news);
		supafs_list_for_each (at, &w->content->waiters) {
			struct waiter *wt = supafs_list_entry(at, struct waiter, of_content);

			if (wt->window == w)
				supafs_waiter_wake(wt);
		}
	}
}

/* Half of the memory may be filled ahead of readers; the other half keeps what they have seen. */
uint64_t supafs_data_ahead_locked(const struct supafs_data *d)
{
	uint64_t share = d->memory / 2 / (d->active ? d->active : 1);

	if (share > d->ahead_max)
		share = d->ahead_max;
	return share < BLOCK ? BLOCK : share;
}

static bool blocks_valid_locked(struct supafs_data *d) SUPAFS_REQUIRES(d->lock);
static bool blocks_valid_locked(struct supafs_data *d)
{
	size_t pos = 0, sum = 0, fresh = 0, done = 0;
	const struct block *b;

	while ((b = supafs_map_next(d->blocks, &pos)) != NULL) {
		if (!b->content || b->content->stale || b->have > b->size)
			return false;
		if ((b->window == NULL) != (b->have == b->size) ||
			(b->window == NULL) == supafs_list_empty(&b->lru))
			return false;
		sum += b->size;
		fresh += b->window || b->used ? 0 : b->size;
		done += b->window || !b->done ? 0 : b->size;
	}
	return fresh == d->fresh_bytes && done == d->done_bytes && sum <= d->stats.bytes &&
	       d->stats.bytes <= d->memory;
}

static bool windows_valid_locked(const struct supafs_data *d) SUPAFS_REQUIRES(d->lock);
static bool windows_valid_locked(const struct supafs_data *d)
{
	unsigned active = 0, paused = 0;

	supafs_list_for_each (it, &d->windows) {
		const struct window *w = supafs_list_entry(it, struct window, of_data);
		bool starving = !supafs_list_empty(&w->starving);

		active++;
		paused += w->paused != PAUSE_NONE;
		if (w->begin >= w->end || w->pos < w->begin || w->pos > w->end ||
			w->acked > w->pos || starving != (w->paused == PAUSE_MEMORY) ||
			(w->paused != PAUSE_NONE && w->block))
			return false;
	}
	return active == d->active && paused == d->paused && d->queued <= d->active;
}

void supafs_data_check_locked(struct supafs_data *d)
{
	if (!SUPAFS_DEBUG_CHECKS)
		return;

	bool valid = blocks_valid_locked(d) && windows_valid_locked(d);

	assert(valid);
	(void)valid;
}
