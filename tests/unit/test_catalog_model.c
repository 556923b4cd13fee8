/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random changes, acks, undos, changes by others, listings and look-ups at random times, against a
 * model that knows nothing of sequence numbers: it keeps every state that each name ever had at the
 * server, and says which of them may still be answered.
 *
 *	pending here        exactly the pending state
 *	else                a state that the server had since the last own change of that name was
 *	                    carried out there, and not longer ago than the ttl
 *
 * With handles that stay half read (second run), a listing may be as old as its first page: a
 * ttl for each page. SUPAFS_TEST_SEED repeats a run.
 */
#include "supafs/util/parse.h"

#include "catalog_fixture.h"

#define NAMES   13
#define PAGE    3
#define PAGES   (NAMES / PAGE + 3)
#define HANDLES 4
#define STEPS   3000
#define RUNS    16
#define ABSENT  UINT64_MAX

static const char *const names[NAMES] = {
	"f", "f-1", "f.txt", "f0", "f1", "f2", "f3", "f4", "g", "g h", "g=", "h", "z"};

struct was {
	int64_t since_ns;
	uint64_t since_step;
	uint64_t size; /* or ABSENT */
};

struct past {
	struct was *was;
	size_t n, cap;
	uint64_t local_step; /* states that ended before are out of the question */
	uint64_t pending_id; /* 0: none */
	uint64_t pending_size;
	bool carried_out;
	uint64_t carried_step;
	uint64_t acked_size; /* what the last reply confirmed, at acked_ns */
	int64_t acked_ns;
};

struct model {
	struct fix x;
	struct supafs_rng rng;
	struct past past[NAMES];
	struct supafs_dir *handle[HANDLES];
	uint64_t off[HANDLES];
	bool keep_handles;
	uint64_t step, sizes;
};

static int64_t now(struct model *m)
{
	return m->x.clock.base.mono_ns(&m->x.clock.base);
}

static void record(struct model *m, unsigned i, uint64_t size)
{
	struct past *p = &m->past[i];

	if (p->n == p->cap) {
		p->cap = p->cap * 2 + 16;
		p->was = realloc(p->was, p->cap * sizeof(*p->was));
		assert_non_null(p->was);
	}
	p->was[p->n++] = (struct was){now(m), m->step, size};
	if (size == ABSENT)
		scripted_remove(&m->x.store, names[i]);
	else
		scripted_add(&m->x.store, names[i], size);
}

static bool allowed(struct model *m, unsigned i, uint64_t size)
{
	const struct past *p = &m->past[i];
	int64_t ttl = TTL_MS * SUPAFS_NS_PER_MS * (m->keep_handles ? PAGES : 1);

	if (p->pending_id != 0)
		return size == p->pending_size;
	if (size == p->acked_size && p->acked_ns > now(m) - ttl)
		return true; /* somebody else may have been there between the deed and the reply */
	for (size_t k = p->n; k-- > 0;) {
		if (p->was[k].size == size)
			return true;
		/* the states before ended when this one began */
		if (p->was[k].since_step <= p->local_step || p->was[k].since_ns <= now(m) - ttl)
			return false;
	}
	return false;
}

static void check(struct model *m, unsigned i, uint64_t size, const char *by)
{
	if (allowed(m, i, size))
		return;
	print_message("# step %" PRIu64 ": %s of '%s' answers %" PRIu64 "\n", m->step, by, names[i],
		size);
	fail();
}

static uint64_t lookup(struct model *m, unsigned i, bool fresh)
{
	struct fix *x = &m->x;
	int r = fresh ? fix_lookup_fresh(x, "", names[i]) : fix_lookup(x, "", names[i]);

	assert_true(r == 0 || r == -ENOENT);
	return r == 0 ? x->ent.attr.version.size : ABSENT;
}

static unsigned index_of(const char *name)
{
	for (unsigned i = 0; i < NAMES; i++) {
		if (strcmp(names[i], name) == 0)
			return i;
	}
	fail_msg("unknown name %s", name);
	return 0;
}

/* A new handle, read to its end: every name in one of its allowed states, nothing twice. */
static void list_all(struct model *m, uint64_t shown[NAMES])
{
	struct supafs_dir *d = fix_open(&m->x, "");
	uint64_t off = 0;

	for (unsigned i = 0; i < NAMES; i++)
		shown[i] = ABSENT;
	for (;;) {
		int r = supafs_dir_next(d, &m->x.call, &off, &m->x.ent, &m->x.fault);
		unsigned i;

		assert_true(r >= 0);
		if (r == 0)
			break;
		i = index_of(m->x.ent.name);
		assert_int_equal(shown[i], ABSENT);
		shown[i] = m->x.ent.attr.version.size;
	}
	(void)supafs_dir_free(d);
	for (unsigned i = 0; i < NAMES; i++)
		check(m, i, shown[i], "listing");
}

/* A name is in both views or in neither: the same answers, as long as no request brings news. */
static void compare_views(struct model *m)
{
	uint64_t shown[NAMES];
	unsigned before;

	list_all(m, shown);
	before = scripted_lists(&m->x.store);
	list_all(m, shown);
	for (unsigned i = 0; i < NAMES; i++) {
		uint64_t size = lookup(m, i, false);

		check(m, i, size, "look-up after a listing");
		if (!m->keep_handles && scripted_lists(&m->x.store) == before)
			assert_int_equal(size, shown[i]);
	}
}

/* A few entries of an old handle: what is being deleted here must not show. */
static void read_some(struct model *m)
{
	unsigned h = (unsigned)supafs_rng_below(&m->rng, HANDLES);
	uint64_t most = supafs_rng_below(&m->rng, 6);

	if (!m->handle[h]) {
		m->handle[h] = fix_open(&m->x, "");
		m->off[h] = 0;
	}
	while (most-- > 0) {
		int r = supafs_dir_next(
			m->handle[h], &m->x.call, &m->off[h], &m->x.ent, &m->x.fault);
		const struct past *p;

		assert_true(r >= 0);
		if (r == 0) {
			m->handle[h] = supafs_dir_free(m->handle[h]);
			return;
		}
		p = &m->past[index_of(m->x.ent.name)];
		if (p->pending_id != 0)
			assert_int_equal(m->x.ent.attr.version.size, p->pending_size);
	}
}

static void change(struct model *m, unsigned i)
{
	struct past *p = &m->past[i];
	bool present = supafs_rng_below(&m->rng, 3) > 0;

	p->pending_size = present ? ++m->sizes : ABSENT;
	p->pending_id = fix_change(&m->x, "", names[i], present, present ? p->pending_size : 0);
	p->carried_out = false;
}

static void carry_out(struct model *m, unsigned i)
{
	struct past *p = &m->past[i];

	if (p->pending_id == 0 || p->carried_out)
		return;
	p->carried_out = true;
	p->carried_step = m->step;
	record(m, i, p->pending_size);
}

static void ack(struct model *m, unsigned i)
{
	struct past *p = &m->past[i];

	if (p->pending_id == 0)
		return;
	carry_out(m, i);
	fix_ack(&m->x, "", names[i], p->pending_id);
	p->pending_id = 0;
	p->local_step = p->carried_step;
	p->acked_size = p->pending_size;
	p->acked_ns = now(m);
}

static void undo(struct model *m, unsigned i)
{
	struct past *p = &m->past[i];

	if (p->pending_id == 0)
		return;
	fix_undo(&m->x, "", names[i], p->pending_id);
	p->pending_id = 0;
	p->local_step = m->step;
	p->acked_ns = INT64_MIN;
}

static void one_step(struct model *m)
{
	unsigned i = (unsigned)supafs_rng_below(&m->rng, NAMES);

	m->step++;
	switch (supafs_rng_below(&m->rng, 16)) {
	case 0:
	case 1:
		change(m, i);
		break;
	case 2:
		carry_out(m, i);
		break;
	case 3:
	case 4:
		ack(m, i);
		break;
	case 5:
		undo(m, i);
		break;
	case 6:
	case 7: /* somebody else */
		record(m, i, supafs_rng_below(&m->rng, 3) > 0 ? ++m->sizes : ABSENT);
		break;
	case 8:
		compare_views(m);
		break;
	case 9:
		fix_advance_ms(&m->x, (int64_t)supafs_rng_below(&m->rng, TTL_MS / 2));
		break;
	case 10:
		if (m->keep_handles)
			read_some(m);
		break;
	case 11:
		supafs_catalog_forget(m->x.c, SUPAFS_STR(""), supafs_str_of(names[i]));
		if (m->past[i].pending_id == 0) { /* nothing older than this counts */
			m->past[i].local_step = m->step;
			m->past[i].acked_ns = INT64_MIN;
		}
		break;
	case 12:
		check(m, i, lookup(m, i, true), "fresh look-up");
		break;
	default:
		check(m, i, lookup(m, i, false), "look-up");
	}
}

/* Everything is confirmed and old: both views are the server's. */
static void settle(struct model *m)
{
	for (unsigned i = 0; i < NAMES; i++)
		ack(m, i);
	for (unsigned h = 0; h < HANDLES; h++)
		m->handle[h] = supafs_dir_free(m->handle[h]);
	fix_advance_ms(&m->x, TTL_MS + 1);
	m->step++;
	for (unsigned i = 0; i < NAMES; i++)
		assert_int_equal(lookup(m, i, false), scripted_size(&m->x.store, names[i]));
	m->keep_handles = false;
	compare_views(m);
}

static void run(uint64_t seed, bool keep_handles)
{
	struct model *m = calloc(1, sizeof(*m));

	assert_non_null(m);
	print_message("# seed %" PRIu64 "%s\n", seed, keep_handles ? ", with old handles" : "");
	supafs_rng_init(&m->rng, seed);
	fix_init(&m->x, TTL_MS, 1U << 20, "");
	m->x.store.max = PAGE;
	m->keep_handles = keep_handles;
	for (unsigned i = 0; i < NAMES; i++) {
		record(m, i, ABSENT);
		m->past[i].acked_ns = INT64_MIN;
	}
	for (unsigned s = 0; s < STEPS; s++)
		one_step(m);
	settle(m);
	fix_fini(&m->x);
	for (unsigned i = 0; i < NAMES; i++)
		free(m->past[i].was);
	free(m);
}

static uint64_t first_seed(void)
{
	const char *text = getenv("SUPAFS_TEST_SEED"); /* NOLINT(concurrency-mt-unsafe) */
	uint64_t seed = 0;

	if (!text || supafs_parse_u64(supafs_str_of(text), UINT64_MAX, &seed) < 0)
		seed = 1;
	return seed;
}

static void without_handles(void **state)
{
	(void)state;
	for (uint64_t i = 0; i < RUNS; i++)
		run(first_seed() + i, false);
}

static void with_handles(void **state)
{
	(void)state;
	for (uint64_t i = 0; i < RUNS; i++)
		run(first_seed() + i, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_handles),
		cmocka_unit_test(with_handles),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
