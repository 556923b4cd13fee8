/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Windows: one store get each, run by a worker of the pool, whose sink fills blocks.
 *
 *	state      in lists                   queued/active  sink
 *	queued     of_data, of_content        both           –
 *	running    of_data, of_content        active         takes bytes
 *	paused     and starving (MEMORY)      active         answered -EAGAIN, waits for a poke
 *	cancelled  of_data, of_content        as it was      answers -EINTR
 *	ended      none                       none           returned; freed with the last reference
 *
 * running → paused only where a block begins, so that a paused window holds no memory that cannot
 * be evicted: AHEAD when it is far before its reader, MEMORY when no block can be had. If nobody
 * waits, it ends instead when its reader is gone, when others are queued for a worker, or when a
 * quarter of the workers is paused: a paused get also keeps one of the store's places. paused →
 *running: a reader comes near or waits (demand), or memory may be had (supafs_data_room_locked());
 *then it goes on data->news and is poked. A store may also try again unasked.
 *
 * A write may have to be refused when part of it is taken (it crosses into a block that must
 * wait). The same bytes come again, so the part is remembered as the distance pos - acked.
 *
 * How a window ends, and what its waiters get:
 *	all there                                  nothing, they have their bytes
 *	cancelled, or it ended itself (enough)     they plan anew
 *	its deadline, and bytes had come           they plan anew: a long transfer is no error
 *	-ESTALE                                    the content is stale, all waiters get that
 *	any other error                            that error; the next read tries afresh
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "data_priv.h"

bool supafs_window_wanted_locked(const struct supafs_data *d, const struct window *w)
{
	(void)d;
	supafs_list_for_each (it, &w->content->waiters) {
		const struct waiter *wt = supafs_list_entry(it, struct waiter, of_content);

		if (wt->window == w)
			return true;
	}
	return false;
}

static void tell_locked(struct supafs_data *d, struct window *w) SUPAFS_REQUIRES(d->lock);
static void tell_locked(struct supafs_data *d, struct window *w)
{
	if (supafs_list_empty(&w->news))
		supafs_list_add_tail(&d->news, &w->news);
}

void supafs_window_unpause_locked(struct supafs_data *d, struct window *w)
{
	if (w->paused == PAUSE_NONE)
		return;
	w->paused = PAUSE_NONE;
	d->paused--;
	supafs_list_remove(&w->starving);
}

void supafs_window_cancel_locked(struct supafs_data *d, struct window *w)
{
	w->cancelled = true;
	tell_locked(d, w);
}

void supafs_window_demand_locked(struct supafs_data *d, struct window *w, uint64_t goal, bool waits)
{
	if (goal > w->goal)
		w->goal = goal;
	if (w->paused == PAUSE_NONE)
		return;
	/* Not for each block that is read: when half of the lead is gone. */
	if (!waits &&
		(w->paused == PAUSE_MEMORY || w->pos > w->goal + supafs_data_ahead_locked(d) / 2))
		return;
	supafs_window_unpause_locked(d, w);
	tell_locked(d, w);
}

struct window *supafs_window_covering_locked(
	struct supafs_data *d, const struct supafs_content *c, uint64_t index, uint64_t reach)
{
	struct window *best = NULL;

	(void)d;
	supafs_list_for_each (it, &c->windows) {
		struct window *w = supafs_list_entry(it, struct window, of_content);
		uint64_t off = index * BLOCK;

		if (w->cancelled || w->enough || off < w->pos || off >= w->end ||
			off - w->pos > reach)
			continue;
		if (!best || w->pos > best->pos)
			best = w;
	}
	return best;
}

/* --- The sink -----------------------------------------------------------------------------------
 */

/* At the start of a block that cannot or need not come now. */
static int pause_locked(struct supafs_data *d, struct window *w, enum pause why)
	SUPAFS_REQUIRES(d->lock);
static int pause_locked(struct supafs_data *d, struct window *w, enum pause why)
{
	bool busy = d->queued > 0 || d->paused >= (d->threads + 3) / 4;

	if ((busy || w->track < 0) && !supafs_window_wanted_locked(d, w)) {
		w->enough = true;
		return -ECANCELED;
	}
	d->paused++;
	w->paused = why;
	w->was_paused = true;
	if (why == PAUSE_MEMORY)
		supafs_list_add_tail(&d->starving, &w->starving);
	return -EAGAIN;
}

/* Who waits for a block that this window will not bring must look again. */
static void pass_locked(struct supafs_data *d, struct window *w, uint64_t index)
	SUPAFS_REQUIRES(d->lock);
static void pass_locked(struct supafs_data *d, struct window *w, uint64_t index)
{
	(void)d;
	supafs_list_for_each (it, &w->content->waiters) {
		struct waiter *wt = supafs_list_entry(it, struct waiter, of_content);

		if (wt->window == w && wt->index == index)
			supafs_waiter_wake(wt);
	}
}

/* A block is in the way: its bytes are dropped, or the window ends if a run of them follows. */
static int skip_locked(struct supafs_data *d, struct window *w, uint64_t index)
	SUPAFS_REQUIRES(d->lock);
static int skip_locked(struct supafs_data *d, struct window *w, uint64_t index)
{
	for (uint64_t i = index; i < index + PRESENT_RUN; i++) {
		const struct block *b = supafs_block_find_locked(d, w->content, i);

		if (b && !b->window)
			continue;
		w->skip_to = (index + 1) * BLOCK;
		pass_locked(d, w, index);
		return 0;
	}
	w->enough = true;
	return -ECANCELED;
}

/* Finds out where the byte at pos goes: w->block, or dropped up to w->skip_to. */
static int place_locked(struct supafs_data *d, struct window *w) SUPAFS_REQUIRES(d->lock);
static int place_locked(struct supafs_data *d, struct window *w)
{
	uint64_t index = w->pos / BLOCK;
	int r;

	if (w->block || w->pos < w->skip_to)
		return 0;
	assert(w->pos % BLOCK == 0);
	if (supafs_block_find_locked(d, w->content, index))
		return skip_locked(d, w, index);
	if (w->pos >= w->goal + supafs_data_ahead_locked(d))
		return pause_locked(d, w, PAUSE_AHEAD);
	r = supafs_block_new_locked(d, w, index, &w->block);
	return r == -EAGAIN ? pause_locked(d, w, PAUSE_MEMORY) : r;
}

/* Copies with the lock dropped: nobody else touches the part of a block behind `have`. */
static int copy_locked(struct supafs_data *d, struct window *w, const void *p, uint32_t n)
	SUPAFS_REQUIRES(d->lock);
static int copy_locked(struct supafs_data *d, struct window *w, const void *p, uint32_t n)
{
	struct block *b = w->block;
	unsigned char *to = b->p;
	uint32_t at = b->have;

	b->pins++;
	supafs_mutex_unlock(&d->lock);
	if (!to)
		to = malloc(b->size);
	if (to)
		memcpy(to + at, p, n);
	supafs_mutex_lock(&d->lock);
	b->p = to;

	bool dead = !b->content; /* then the window was cancelled */

	supafs_block_unpin_locked(d, b);
	if (dead)
		return -EINTR;
	if (!to)
		return -ENOMEM;
	supafs_block_publish_locked(d, b, n);
	if (b->have == b->size)
		w->block = NULL;
	return 0;
}

/* Takes some of the bytes at w->pos. */
static int take_locked(struct supafs_data *d, struct window *w, const void *p, size_t n)
	SUPAFS_REQUIRES(d->lock);
static int take_locked(struct supafs_data *d, struct window *w, const void *p, size_t n)
{
	uint64_t left;
	int r = place_locked(d, w);

	if (r < 0)
		return r;
	left = w->block ? w->block->size - w->block->have : w->skip_to - w->pos;
	if (n > left)
		n = (size_t)left;
	if (w->block)
		r = copy_locked(d, w, p, (uint32_t)n);
	if (r < 0)
		return r;
	w->pos += n;
	d->stats.window_bytes += n;
	return 0;
}

/* What its request cost. For a whole window before its reader goes on: the next one's size depends
 * on it. */
static void measure_locked(struct supafs_data *d, const struct window *w) SUPAFS_REQUIRES(d->lock);
static void measure_locked(struct supafs_data *d, const struct window *w)
{
	struct supafs_content *c = w->content;
	int64_t cost = w->first_ns - w->start_ns;
	int64_t span = d->clock->mono_ns(d->clock) - w->first_ns;

	if (!w->first_ns || !w->start_ns)
		return;
	c->first_byte_ns = c->first_byte_ns ? (3 * c->first_byte_ns + cost) / 4 : cost;
	if (!w->was_paused && w->pos - w->begin >= BLOCK)
		c->rate = (uint64_t)((double)(w->pos - w->begin) * 1e9 /
				     (double)(span > 1000 ? span : 1000));
}

static int window_write(void *ctx, const void *p, size_t n)
{
	struct window *w = ctx;
	struct supafs_data *d = w->data;
	int64_t now_ns = d->clock->mono_ns(d->clock);

	SUPAFS_SCOPED_LOCK(&d->lock);
	supafs_window_unpause_locked(d, w);
	if (!w->first_ns)
		w->first_ns = now_ns;
	if (n > w->end - w->acked)
		return -EIO; /* more than was asked for */
	while (w->acked + n > w->pos) {
		size_t at = (size_t)(w->pos - w->acked);
		int r = w->cancelled ? -EINTR : take_locked(d, w, (const char *)p + at, n - at);

		if (r < 0)
			return r;
	}
	w->acked += n;
	if (w->acked == w->end)
		measure_locked(d, w);
	return 0;
}

/* --- Its end ------------------------------------------------------------------------------------
 */

void supafs_window_unref_locked(struct supafs_data *d, struct window *w)
{
	struct supafs_content *c = w->content;

	if (--w->refs > 0)
		return;
	assert(!w->block && supafs_list_empty(&w->of_data) && supafs_list_empty(&w->news));
	supafs_call_fini(&w->call);
	free(w);
	supafs_content_unhold_locked(d, c);
}

/* The error that its waiters get: 0 when they shall plan anew. */
static int verdict(const struct window *w, int r)
{
	if (w->cancelled || w->enough)
		return 0;
	if (r == 0 && w->pos < w->end)
		return -EIO;
	if (r == -ETIMEDOUT && w->pos > w->begin)
		return 0;
	return r;
}

static void answer_locked(struct supafs_data *d, struct window *w, int error)
	SUPAFS_REQUIRES(d->lock);
static void answer_locked(struct supafs_data *d, struct window *w, int error)
{
	(void)d;
	supafs_list_for_each (it, &w->content->waiters) {
		struct waiter *wt = supafs_list_entry(it, struct waiter, of_content);

		if (wt->window != w)
			continue;
		wt->window = NULL;
		wt->error = error;
		if (error < 0 && wt->stream == w->stream)
			*wt->fault = w->fault;
		supafs_waiter_wake(wt);
	}
}

static void window_end(struct window *w, int r)
{
	struct supafs_data *d = w->data;
	struct supafs_content *c = w->content;

	SUPAFS_SCOPED_LOCK(&d->lock);
	bool unknown = w->learns && !w->etag[0] && w->pos > w->begin && r < 0;

	supafs_list_remove(&w->of_data);
	supafs_list_remove(&w->of_content);
	supafs_list_remove(&w->news);
	supafs_window_unpause_locked(d, w);
	d->active--;
	if (w->block)
		supafs_block_kill_locked(d, w->block);
	if (w->pos < w->end) {
		supafs_stream_cut_locked(d, w);
		measure_locked(d, w);
	}
	answer_locked(d, w, verdict(w, r));
	if (w->learns)
		supafs_content_learnt_locked(d, c, w->etag);
	/* Bytes of a version that has no name may be in somebody's hands: never mix. */
	if (unknown || r == -ESTALE)
		supafs_content_stale_locked(d, c);
	supafs_data_room_locked(d);
	supafs_data_check_locked(d);
	supafs_data_flush_locked(d);
	supafs_window_unref_locked(d, w);
}

static void window_run(void *ctx)
{
	struct window *w = ctx;
	struct supafs_data *d = w->data;
	struct supafs_get_args args = {
		.key = supafs_str_of(w->content->key),
		.offset = w->begin,
		.length = w->end - w->begin,
		.version = &w->version,
		.sink = {window_write, w},
		.ret_etag = w->etag,
	};
	bool skip;

	supafs_fault_clear(&w->fault);
	{
		SUPAFS_SCOPED_LOCK(&d->lock);
		d->queued--;
		skip = w->cancelled;
	}
	if (skip) {
		window_end(w, -EINTR);
		return;
	}
	w->start_ns = d->clock->mono_ns(d->clock);
	window_end(w, d->store->ops->get(d->store, &w->call, &args, &w->fault));
}

static void window_drop(void *ctx)
{
	struct window *w = ctx;

	{
		SUPAFS_SCOPED_LOCK(&w->data->lock);
		w->data->queued--;
	}
	window_end(w, -ESHUTDOWN);
}

/* --- Its start ----------------------------------------------------------------------------------
 */

/* All workers are busy: one that only keeps a paused window for later is freed. */
static void spare_worker_locked(struct supafs_data *d) SUPAFS_REQUIRES(d->lock);
static void spare_worker_locked(struct supafs_data *d)
{
	supafs_list_for_each (it, &d->windows) {
		struct window *w = supafs_list_entry(it, struct window, of_data);

		if (w->paused == PAUSE_NONE || w->cancelled || supafs_window_wanted_locked(d, w))
			continue;
		supafs_window_cancel_locked(d, w);
		return;
	}
}

static uint64_t cut_end_locked(const struct supafs_data *d, const struct supafs_content *c,
	uint64_t begin, uint64_t end) SUPAFS_REQUIRES(d->lock);
static uint64_t cut_end_locked(
	const struct supafs_data *d, const struct supafs_content *c, uint64_t begin, uint64_t end)
{
	(void)d;
	if (end > c->size)
		end = c->size;
	supafs_list_for_each (it, &c->windows) {
		const struct window *w = supafs_list_entry(it, struct window, of_content);

		if (!w->cancelled && !w->enough && w->begin > begin && w->begin < end)
			end = w->begin;
	}
	return end;
}

int supafs_window_start_locked(struct supafs_data *d, struct supafs_content *c,
	const struct window_args *args, struct window **ret_window)
{
	struct window *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	w->data = d;
	w->content = c;
	w->begin = w->pos = w->acked = args->begin;
	w->end = cut_end_locked(d, c, args->begin, args->end);
	w->goal = args->goal > args->begin ? args->goal : args->begin;
	w->stream = args->stream;
	w->track = args->track;
	w->refs = 1;
	w->learns = c->etag[0] == '\0';
	supafs_content_version_locked(d, c, &w->version);
	supafs_list_init(&w->news);
	supafs_list_init(&w->starving);

	if (supafs_pool_submit(d->pool, (struct supafs_job){window_run, window_drop, w}) < 0) {
		free(w);
		return -EBUSY;
	}
	supafs_call_init(&w->call, d->clock, d->timeout_ms);
	supafs_list_add_tail(&d->windows, &w->of_data);
	supafs_list_add_tail(&c->windows, &w->of_content);
	c->holds++;
	c->learning |= w->learns;
	d->queued++;
	d->active++;
	d->stats.windows++;
	if (d->active > d->threads)
		spare_worker_locked(d);
	*ret_window = w;
	return 0;
}
