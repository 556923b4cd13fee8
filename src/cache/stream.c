/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams: what a handle's reads look like, and what is downloaded for them.
 *
 * A handle has up to four tracks. A read belongs to the track whose expected offset it is close
 * to (readahead requests of the kernel come out of order), else it starts a new one:
 *
 *	track       run   what a read asks for                     ahead of it
 *	unused      –     –                                        –
 *	random      0     the absent blocks it touches             nothing
 *	sequential  ≥ 1   a window that doubles, 256 KiB … 8 MiB,  the next window, from the moment
 *	                  then the rest of the object              it reads in the latest one
 *
 * unused → random: first read; random → sequential: a second read that goes on where it ended; any
 * → random: replaced by a read elsewhere (random ones first, oldest first; a sequential one only
 * when it was idle for IDLE_READS reads). A read that finds no track is a random one. A replaced
 * track's windows are cancelled unless somebody waits for them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "data_priv.h"

#define IDLE_READS 16U
#define SLACK_MIN  ((uint64_t)64 << 10)
#define SLOW_NS    (5 * SUPAFS_NS_PER_MS) /* a first byte later than this counts in the size */
#define FINISH_MAX (2 * BLOCK)            /* so little is cheaper to finish than to cancel */
#define SKIP_MAX   64U                    /* blocks looked at for the next absent one */

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint64_t blocks_up(uint64_t n)
{
	return (n + BLOCK - 1) / BLOCK * BLOCK;
}

int supafs_stream_new(struct supafs_content *c, struct supafs_stream **ret_stream)
{
	struct supafs_stream *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->content = c;
	*ret_stream = s;

	SUPAFS_SCOPED_LOCK(&c->data->lock);
	c->refs++;
	c->streams++;
	return 0;
}

/* Cancels the windows of a track (-1: of all). Who waits for one keeps it; and a cancelled transfer
 * costs its connection, so one that is nearly done goes on. */
static void abandon_locked(struct supafs_data *d, struct supafs_stream *s, int track)
	SUPAFS_REQUIRES(d->lock);
static void abandon_locked(struct supafs_data *d, struct supafs_stream *s, int track)
{
	supafs_list_for_each (it, &s->content->windows) {
		struct window *w = supafs_list_entry(it, struct window, of_content);

		if (w->stream != s || (track >= 0 && w->track != track))
			continue;
		w->track = -1;
		if (track < 0)
			w->stream = NULL;
		if (!supafs_window_wanted_locked(d, w) &&
			(w->paused != PAUSE_NONE || w->end - w->pos > FINISH_MAX))
			supafs_window_cancel_locked(d, w);
	}
}

struct supafs_stream *supafs_stream_free(struct supafs_stream *s)
{
	if (!s)
		return NULL;

	struct supafs_content *c = s->content;
	struct supafs_data *d = c->data;

	{
		SUPAFS_SCOPED_LOCK(&d->lock);
		abandon_locked(d, s, -1);
		c->streams--;
		supafs_data_flush_locked(d);
	}
	(void)supafs_content_unref(c);
	free(s);
	return NULL;
}

void supafs_stream_cut_locked(struct supafs_data *d, const struct window *w)
{
	struct track *t;

	(void)d;
	if (!w->stream || w->track < 0)
		return;
	t = &w->stream->tracks[w->track];
	if (t->ahead_to > w->pos && t->ahead_to >= w->begin)
		t->ahead_to = w->pos / BLOCK * BLOCK;
}

/* --- The pattern --------------------------------------------------------------------------------
 */

static int near_track(const struct supafs_stream *s, uint64_t off, uint64_t n)
{
	uint64_t slack = max_u64(SLACK_MIN, 4 * n), best_gap = UINT64_MAX;
	int best = -1;

	for (unsigned i = 0; i < TRACKS; i++) {
		const struct track *t = &s->tracks[i];
		uint64_t gap = off > t->next ? off - t->next : t->next - off;

		if (!t->used || gap > slack || gap >= best_gap)
			continue;
		best = (int)i;
		best_gap = gap;
	}
	return best;
}

/* The track that a read elsewhere may take: -1 if all are sequential and busy. */
static int spare_track(const struct supafs_stream *s)
{
	int best = -1;
	bool best_random = false;

	for (unsigned i = 0; i < TRACKS; i++) {
		const struct track *t = &s->tracks[i];
		bool random = t->run == 0;

		if (!t->used)
			return (int)i;
		if (!random && s->reads - t->stamp < IDLE_READS)
			continue;
		if (best < 0 || random > best_random ||
			(random == best_random && t->stamp < s->tracks[best].stamp)) {
			best = (int)i;
			best_random = random;
		}
	}
	return best;
}

/* Finds the read's track, and tells that track's windows how far its reader has come. */
static void note_read_locked(struct supafs_data *d, struct reading *rd) SUPAFS_REQUIRES(d->lock);
static void note_read_locked(struct supafs_data *d, struct reading *rd)
{
	struct supafs_stream *s = rd->stream;
	struct track *t;

	s->reads++;
	rd->track = near_track(s, rd->off, rd->end - rd->off);
	if (rd->track < 0) {
		rd->track = spare_track(s);
		if (rd->track < 0)
			return;
		abandon_locked(d, s, rd->track);
		s->tracks[rd->track] = (struct track){
			.used = true, .from = rd->off, .next = rd->end, .stamp = s->reads};
		return;
	}
	t = &s->tracks[rd->track];
	t->stamp = s->reads;
	if (rd->end <= t->next)
		return;
	t->run++;
	t->next = rd->end;
	supafs_list_for_each (it, &s->content->windows) {
		struct window *w = supafs_list_entry(it, struct window, of_content);

		if (w->stream == s && w->track == rd->track)
			supafs_window_demand_locked(d, w, t->next, false);
	}
}

/* --- What to download ---------------------------------------------------------------------------
 */

static bool sequential(const struct reading *rd)
{
	return rd->track >= 0 && rd->stream->tracks[rd->track].run > 0;
}

/* Twice the last one, or what makes the wait for the first byte a tenth of the whole. */
static uint64_t next_size(const struct supafs_content *c, const struct track *t)
{
	uint64_t size = t->last ? t->last * 2 : WINDOW_FIRST;

	if (t->last >= WINDOW_LAST)
		return UINT64_MAX / 2;
	/* A second read in a row may be chance: then only a very slow first byte counts. */
	if (c->first_byte_ns > (t->run > 1 ? SLOW_NS : 20 * SLOW_NS) && c->rate > 0) {
		double worth = 10.0 * (double)c->first_byte_ns / 1e9 * (double)c->rate;

		if (worth > (double)WINDOW_LAST)
			return UINT64_MAX / 2;
		size = max_u64(size, blocks_up((uint64_t)worth));
	}
	return size;
}

/* Is there memory to read ahead at all? */
static bool roomy_locked(const struct supafs_data *d) SUPAFS_REQUIRES(d->lock);
static bool roomy_locked(const struct supafs_data *d)
{
	return supafs_data_ahead_locked(d) >= 2 * BLOCK;
}

static int start_locked(struct supafs_data *d, struct reading *rd, uint64_t begin, uint64_t end,
	struct window **ret_window) SUPAFS_REQUIRES(d->lock);
static int start_locked(struct supafs_data *d, struct reading *rd, uint64_t begin, uint64_t end,
	struct window **ret_window)
{
	struct window_args args = {rd->stream, rd->track, begin, end, rd->end};
	struct window *w;
	int r = supafs_window_start_locked(d, rd->content, &args, &w);

	if (r < 0)
		return r;
	if (rd->track >= 0) {
		struct track *t = &rd->stream->tracks[rd->track];

		t->ahead_to = max_u64(t->ahead_to, w->end);
	}
	if (ret_window)
		*ret_window = w;
	return 0;
}

/* A window that begins with the absent block `index`. */
static int start_demand_locked(struct supafs_data *d, struct reading *rd, uint64_t index,
	struct window **ret_window) SUPAFS_REQUIRES(d->lock);
static int start_demand_locked(
	struct supafs_data *d, struct reading *rd, uint64_t index, struct window **ret_window)
{
	uint64_t begin = index * BLOCK, end = begin + BLOCK;

	if (sequential(rd) && roomy_locked(d)) {
		struct track *t = &rd->stream->tracks[rd->track];

		t->last = next_size(rd->content, t);
		t->ahead_to = 0;
		end = begin + max_u64(t->last, blocks_up(rd->end) - begin);
		return start_locked(d, rd, begin, end, ret_window);
	}
	while (end < rd->end && !supafs_block_find_locked(d, rd->content, end / BLOCK) &&
		!supafs_window_covering_locked(d, rd->content, end / BLOCK, JOIN_MAX))
		end += BLOCK;
	return start_locked(d, rd, begin, end, ret_window);
}

/* The window to wait for; NULL: none is near. Beyond JOIN_MAX a download of its own is quicker, but
 * not for the reader of that very window: two would then bring the same bytes. */
static struct window *near_window_locked(
	struct supafs_data *d, const struct reading *rd, uint64_t index) SUPAFS_REQUIRES(d->lock);
static struct window *near_window_locked(
	struct supafs_data *d, const struct reading *rd, uint64_t index)
{
	struct window *w = supafs_window_covering_locked(d, rd->content, index, JOIN_OWN);
	bool own = w && sequential(rd) && w->stream == rd->stream && w->track == rd->track;

	return w && (own || index * BLOCK - w->pos <= JOIN_MAX) ? w : NULL;
}

int supafs_stream_cover_locked(
	struct supafs_data *d, struct reading *rd, uint64_t index, struct window **ret_window)
{
	const struct block *b = supafs_block_find_locked(d, rd->content, index);

	*ret_window = b ? b->window : near_window_locked(d, rd, index);
	if (b || *ret_window || rd->content->learning)
		return 0;
	return start_demand_locked(d, rd, index, ret_window);
}

/* All that the read needs is asked for before it waits for the first part. */
static int cover_all_locked(struct supafs_data *d, struct reading *rd) SUPAFS_REQUIRES(d->lock);
static int cover_all_locked(struct supafs_data *d, struct reading *rd)
{
	for (uint64_t i = rd->off / BLOCK; i * BLOCK < rd->end; i++) {
		struct window *w;
		int r = supafs_stream_cover_locked(d, rd, i, &w);

		if (r < 0)
			return r;
	}
	return 0;
}

/* The first block at or behind *at that nobody has or brings: false if not near or not there. */
static bool next_absent_locked(struct supafs_data *d, const struct reading *rd, uint64_t *at)
	SUPAFS_REQUIRES(d->lock);
static bool next_absent_locked(struct supafs_data *d, const struct reading *rd, uint64_t *at)
{
	const struct supafs_content *c = rd->content;

	for (unsigned i = 0; i < SKIP_MAX && *at < c->size; i++) {
		const struct window *w =
			supafs_window_covering_locked(d, c, *at / BLOCK, UINT64_MAX);

		if (!w && !supafs_block_find_locked(d, c, *at / BLOCK))
			return true;
		*at = w ? w->end : *at + BLOCK;
	}
	return false;
}

/* Failing to read ahead is no error: who needs the bytes will ask for them. */
static void read_ahead_locked(struct supafs_data *d, struct reading *rd) SUPAFS_REQUIRES(d->lock);
static void read_ahead_locked(struct supafs_data *d, struct reading *rd)
{
	const struct supafs_content *c = rd->content;
	struct track *t;
	uint64_t at;

	if (!sequential(rd) || !roomy_locked(d) || c->learning || d->active >= d->threads)
		return;
	t = &rd->stream->tracks[rd->track];
	at = max_u64(t->ahead_to, t->next / BLOCK * BLOCK);
	if (at >= c->size)
		return;
	/* Not before the reader is in the latest window. Half of what may be kept: a window that
	 * had to end for want of room is not followed by one that must do so at once. */
	if (at > t->next &&
		(at - t->next > t->last || at - t->next >= supafs_data_ahead_locked(d) / 2))
		return;
	if (next_absent_locked(d, rd, &at)) {
		t->last = next_size(c, t);
		(void)start_locked(d, rd, at, at + t->last, NULL);
	} else {
		t->ahead_to = min_u64(at, blocks_up(c->size));
	}
}

int supafs_stream_plan_locked(struct supafs_data *d, struct reading *rd)
{
	int r;

	note_read_locked(d, rd);
	r = cover_all_locked(d, rd);
	if (r == 0)
		read_ahead_locked(d, rd);
	return r;
}

bool supafs_stream_drops_locked(struct supafs_data *d, const struct reading *rd)
{
	const struct track *t = rd->track >= 0 ? &rd->stream->tracks[rd->track] : NULL;

	(void)d;
	return t && t->next - t->from > DROP_FROM && rd->content->streams == 1;
}
