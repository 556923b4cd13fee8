/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading: a read waits for its blocks one after the other and copies each, or pins all and shows
 * where they are (a view). What is downloaded for it, stream.c decides.
 *
 * A copying reader pins a block for the time of the copy only. A view keeps its first blocks while
 * it waits for its last ones; so all views together pin at most a quarter of the memory, which
 * leaves windows and copying readers room to go on.
 */
#include <errno.h>
#include <string.h>

#include "data_priv.h"

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* The window will bring more of what this read wants: it is woken once for all of that. Not when
 * memory is so short that the first blocks might be evicted before the last one is there. */
static void wait_for_more_locked(struct supafs_data *d, struct reading *rd, const struct window *w)
	SUPAFS_REQUIRES(d->lock);
static void wait_for_more_locked(struct supafs_data *d, struct reading *rd, const struct window *w)
{
	struct waiter *wt = &rd->waiter;

	if (supafs_data_ahead_locked(d) < 2 * (rd->end - rd->off) + 2 * BLOCK)
		return;
	for (uint64_t i = wt->index + 1; i * BLOCK < rd->end; i++) {
		const struct block *b = supafs_block_find_locked(d, rd->content, i);

		if (b ? b->window != w : i * BLOCK < w->pos || i * BLOCK >= w->end)
			return;
		wt->index = i;
		wt->need = (uint32_t)min_u64(BLOCK, rd->end - i * BLOCK);
	}
}

/* Block `index` with its first `need` bytes, pinned. Waits for it. */
static int get_block_locked(struct supafs_data *d, struct reading *rd, uint64_t index,
	uint32_t need, struct block **ret_block) SUPAFS_REQUIRES(d->lock);
static int get_block_locked(struct supafs_data *d, struct reading *rd, uint64_t index,
	uint32_t need, struct block **ret_block)
{
	struct waiter *wt = &rd->waiter;
	bool waited = false;

	for (;;) {
		struct block *b = supafs_block_find_locked(d, rd->content, index);
		struct window *w;
		int r;

		if (rd->content->stale)
			return -ESTALE;
		if (b && b->have >= need) {
			b->pins++;
			supafs_block_touch_locked(d, b);
			*(waited ? &d->stats.misses : &d->stats.hits) += 1;
			*ret_block = b;
			return 0;
		}
		if (wt->error < 0)
			return wt->error;
		r = supafs_stream_cover_locked(d, rd, index, &w);
		if (r < 0)
			return r;
		wt->index = index;
		wt->need = need;
		wt->window = w;
		if (w) {
			wait_for_more_locked(d, rd, w);
			supafs_window_demand_locked(
				d, w, min_u64((wt->index + 1) * BLOCK, rd->content->size), true);
		}
		waited = true;
		r = supafs_waiter_wait_locked(d, rd->content, wt, rd->call);
		if (r < 0)
			return r;
	}
}

static void put_block_locked(struct supafs_data *d, struct block *b, bool done)
	SUPAFS_REQUIRES(d->lock);
static void put_block_locked(struct supafs_data *d, struct block *b, bool done)
{
	if (done)
		supafs_block_done_locked(d, b);
	supafs_block_unpin_locked(d, b);
}

static int copy_out_locked(struct supafs_data *d, struct reading *rd) SUPAFS_REQUIRES(d->lock);
static int copy_out_locked(struct supafs_data *d, struct reading *rd)
{
	const bool drop = supafs_stream_drops_locked(d, rd);

	for (uint64_t off = rd->off; off < rd->end;) {
		uint32_t at = (uint32_t)(off % BLOCK);
		uint32_t n = (uint32_t)min_u64(BLOCK - at, rd->end - off);
		struct block *b;
		int r = get_block_locked(d, rd, off / BLOCK, at + n, &b);

		if (r < 0)
			return r;

		const unsigned char *from = b->p + at;

		supafs_mutex_unlock(&d->lock);
		memcpy(rd->buf + (off - rd->off), from, n);
		supafs_mutex_lock(&d->lock);
		put_block_locked(d, b, drop && at + n == b->size);
		off += n;
	}
	return 0;
}

static int pin_all_locked(struct supafs_data *d, struct reading *rd) SUPAFS_REQUIRES(d->lock);
static int pin_all_locked(struct supafs_data *d, struct reading *rd)
{
	struct supafs_view *v = rd->view;

	for (uint64_t off = rd->off; off < rd->end;) {
		uint32_t at = (uint32_t)(off % BLOCK);
		uint32_t n = (uint32_t)min_u64(BLOCK - at, rd->end - off);
		struct block *b;
		int r = get_block_locked(d, rd, off / BLOCK, at + n, &b);

		if (r < 0)
			return r;
		v->iov[v->n] = (struct iovec){b->p + at, n};
		v->blocks[v->n++] = b;
		off += n;
	}
	v->drop = supafs_stream_drops_locked(d, rd);
	return 0;
}

static void unpin_all_locked(struct supafs_data *d, struct supafs_view *v) SUPAFS_REQUIRES(d->lock);
static void unpin_all_locked(struct supafs_data *d, struct supafs_view *v)
{
	for (unsigned i = 0; i < v->n; i++) {
		struct block *b = v->blocks[i];
		unsigned char *end = (unsigned char *)v->iov[i].iov_base + v->iov[i].iov_len;

		put_block_locked(d, b, v->drop && end == b->p + b->size);
	}
	d->viewed_bytes -= v->held;
	v->n = 0;
	v->held = 0;
}

void supafs_view_release(struct supafs_view *view)
{
	struct supafs_data *d = view->data;

	if (!d)
		return;
	view->data = NULL;

	SUPAFS_SCOPED_LOCK(&d->lock);
	unpin_all_locked(d, view);
	supafs_data_flush_locked(d);
}

/* Views that wait for their last bytes hold their first ones: all of them together must leave
 * memory for the windows. */
static int hold_locked(struct supafs_data *d, struct reading *rd) SUPAFS_REQUIRES(d->lock);
static int hold_locked(struct supafs_data *d, struct reading *rd)
{
	uint64_t n = ((rd->end + BLOCK - 1) / BLOCK - rd->off / BLOCK) * BLOCK;

	if (n > SUPAFS_VIEW_PIECES * BLOCK || n + d->viewed_bytes > d->memory / 4)
		return -ENOBUFS;
	rd->view->held = (size_t)n;
	d->viewed_bytes += (size_t)n;
	return 0;
}

static int view_locked(struct supafs_data *d, struct reading *rd) SUPAFS_REQUIRES(d->lock);
static int view_locked(struct supafs_data *d, struct reading *rd)
{
	int r = hold_locked(d, rd);

	if (r == 0)
		r = supafs_stream_plan_locked(d, rd);
	if (r == 0)
		r = pin_all_locked(d, rd);
	if (r < 0)
		unpin_all_locked(d, rd->view);
	return r;
}

static int copy_locked(struct supafs_data *d, struct reading *rd) SUPAFS_REQUIRES(d->lock);
static int copy_locked(struct supafs_data *d, struct reading *rd)
{
	int r = supafs_stream_plan_locked(d, rd);

	return r < 0 ? r : copy_out_locked(d, rd);
}

static int read_locked(struct supafs_data *d, struct reading *rd) SUPAFS_REQUIRES(d->lock);
static int read_locked(struct supafs_data *d, struct reading *rd)
{
	if (rd->content->stale)
		return -ESTALE;
	if (rd->off == rd->end)
		return 0;
	return rd->view ? view_locked(d, rd) : copy_locked(d, rd);
}

static ssize_t stream_read(struct reading *rd, size_t n, struct supafs_fault *fault)
{
	const struct supafs_content *c = rd->content;
	struct supafs_data *d = c->data;
	int r;

	supafs_fault_clear(fault);
	rd->end = rd->off;
	if (rd->off < c->size)
		rd->end += min_u64(n, c->size - rd->off);
	supafs_waiter_init(&rd->waiter);
	rd->waiter.stream = rd->stream;
	rd->waiter.fault = fault;
	{
		SUPAFS_SCOPED_LOCK(&d->lock);
		r = read_locked(d, rd);
		supafs_data_flush_locked(d);
	}
	supafs_waiter_fini(&rd->waiter);
	return r < 0 ? r : (ssize_t)(rd->end - rd->off);
}

ssize_t supafs_stream_read(struct supafs_stream *s, struct supafs_call *call, void *buf, size_t n,
	uint64_t off, struct supafs_fault *fault)
{
	struct reading rd = {
		.content = s->content, .stream = s, .call = call, .off = off, .buf = buf};

	return stream_read(&rd, n, fault);
}

ssize_t supafs_stream_view(struct supafs_stream *s, struct supafs_call *call, size_t n,
	uint64_t off, struct supafs_view *ret_view, struct supafs_fault *fault)
{
	struct supafs_view view = {.data = s->content->data};
	struct reading rd = {
		.content = s->content, .stream = s, .call = call, .off = off, .view = &view};
	ssize_t r = stream_read(&rd, n, fault);

	if (r >= 0)
		*ret_view = view;
	return r;
}
