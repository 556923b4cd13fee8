/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How large the pieces of a resumable upload are. By itself the whole goes in one request: nothing
 * is faster. A gateway on the way may have limits, of bytes (413) or of time (408, 504, 524, or a
 * connection that is closed after the same time twice). Then pieces are multiples of 6 MiB, which
 * is what every server takes (API §6.3), such that one takes about ten seconds:
 *
 *	state      chunk   leaves by
 *	whole      0       too large → 6 MiB, growing; time → rate · target
 *	in pieces  > 0     each piece: rate · target, at most twice the last one, below the ceiling
 *
 * It is the path's state, not an upload's: the next upload begins with what this one has learnt.
 */
#include "supafs/util/clock.h"

#include "supabase_priv.h"

#define PIECE      (UINT64_C(6) << 20)
#define PARTS_MAX  10000 /* of one upload: what S3 takes */
#define TARGET_NS  (10 * SUPAFS_NS_PER_S)
#define LIMIT_NS   (5 * SUPAFS_NS_PER_S) /* no gateway's limit is shorter */
#define ALIKE_PART 10                    /* two times are alike within a tenth … */
#define ALIKE_NS   SUPAFS_NS_PER_S       /* … or a second */

void supafs_sb_pace_init(struct supafs_sb_pace *p)
{
	*p = (struct supafs_sb_pace){.target_ns = TARGET_NS};
	supafs_mutex_init(&p->lock);
}

void supafs_sb_pace_fini(struct supafs_sb_pace *p)
{
	supafs_mutex_fini(&p->lock);
}

static uint64_t round_up(uint64_t n)
{
	return n / PIECE * PIECE + (n % PIECE ? PIECE : 0);
}

uint64_t supafs_sb_pace_next(struct supafs_sb_pace *p, uint64_t size, uint64_t left)
{
	const uint64_t least = round_up(size / PARTS_MAX);
	uint64_t n;

	SUPAFS_SCOPED_LOCK(&p->lock);
	if (p->chunk == 0)
		return left;
	n = p->chunk > least ? p->chunk : least;
	return n < left ? n : left;
}

/* What goes through in the target time at the rate of `n` bytes in `took_ns`. */
static uint64_t fitting_locked(const struct supafs_sb_pace *p, uint64_t n, int64_t took_ns)
	SUPAFS_REQUIRES(p->lock);
static uint64_t fitting_locked(const struct supafs_sb_pace *p, uint64_t n, int64_t took_ns)
{
	const double rate = (double)n / (double)(took_ns > 0 ? took_ns : 1);
	const double bytes = rate * (double)p->target_ns;
	const uint64_t most = (uint64_t)1 << 40;
	const uint64_t whole = bytes < (double)most ? (uint64_t)bytes : most;

	return whole < PIECE ? PIECE : whole / PIECE * PIECE;
}

static void set_locked(struct supafs_sb_pace *p, uint64_t chunk) SUPAFS_REQUIRES(p->lock);
static void set_locked(struct supafs_sb_pace *p, uint64_t chunk)
{
	if (p->ceiling > 0 && chunk >= p->ceiling)
		chunk = (p->ceiling - 1) / PIECE * PIECE;
	p->chunk = chunk > PIECE ? chunk : PIECE;
}

void supafs_sb_pace_done(struct supafs_sb_pace *p, uint64_t n, int64_t took_ns)
{
	uint64_t fitting;

	SUPAFS_SCOPED_LOCK(&p->lock);
	/* A last piece is short and tells little. */
	if (p->chunk == 0 || n < p->chunk)
		return;
	fitting = fitting_locked(p, n, took_ns);
	set_locked(p, fitting < 2 * n ? fitting : 2 * n);
}

bool supafs_sb_pace_too_large(struct supafs_sb_pace *p, uint64_t n)
{
	SUPAFS_SCOPED_LOCK(&p->lock);
	if (n <= PIECE)
		return false;
	if (p->ceiling == 0 || n < p->ceiling)
		p->ceiling = n;
	/* From one piece on upwards, when the limit is not known; below it, when it nearly is. */
	set_locked(p, p->chunk == 0 ? PIECE : p->chunk / 2 / PIECE * PIECE);
	return true;
}

static bool alike(int64_t a, int64_t b)
{
	const int64_t apart = a > b ? a - b : b - a;

	return apart <= ALIKE_NS || apart <= b / ALIKE_PART;
}

bool supafs_sb_pace_cut(struct supafs_sb_pace *p, uint64_t n, int64_t took_ns, bool told)
{
	bool again;

	SUPAFS_SCOPED_LOCK(&p->lock);
	if (took_ns < LIMIT_NS)
		return false;
	again = p->last_cut_ns > 0 && alike(took_ns, p->last_cut_ns);
	p->last_cut_ns = took_ns;
	if (!told && !again)
		return false;
	if (took_ns / 2 < p->target_ns)
		p->target_ns = took_ns / 2;
	set_locked(p, fitting_locked(p, n, took_ns));
	return true;
}
