/* SPDX-License-Identifier: Apache-2.0 */
#include "runner.h"

#include "supafs/util/parse.h"

#define MOST_ALLOCATIONS 20000U
#define MOST_PATHS       64

static const struct fx_config plain = {.ttl_ms = UINT64_MAX, .real_clock = true, .journal = true};

static unsigned first_allocation(void)
{
	const char *text = getenv("SUPAFS_TEST_ALLOC"); /* NOLINT(concurrency-mt-unsafe) */
	uint64_t n = 1;

	if (text)
		assert_int_equal(supafs_parse_u64(supafs_str_of(text), MOST_ALLOCATIONS, &n), 0);
	return n > 0 ? (unsigned)n : 1;
}

/* One try. True when an allocation failed in it. */
static bool run_once(const struct path *p, unsigned n, unsigned *errors)
{
	struct fx *x = fx_new(&plain);
	bool failed;
	int r;

	p->prepare(x);
	alloc_fail_at(n);
	r = p->act(x);
	failed = alloc_disarm();
	if (!failed)
		assert_int_equal(r, 0);
	if (r != 0) {
		(*errors)++;
		r = p->act(x);
		if (r != 0)
			print_message("# %s: after an error the same gives %d\n", p->name, r);
		assert_int_equal(r, 0);
	}
	if (!p->unquiet)
		fx_quiet(x);
	if (p->check)
		p->check(x);
	if (p->finish)
		p->finish(x);
	assert_int_equal(fx_free(x), 0);
	return failed;
}

static const struct path *under_way;
static unsigned at_allocation;

static void run_path(void **state)
{
	const struct path *p = *state;
	unsigned n = first_allocation(), errors = 0;

	under_way = p;
	for (at_allocation = n; run_once(p, n, &errors); at_allocation = ++n)
		assert_true(n < MOST_ALLOCATIONS);
	print_message("# %s: %u allocations, %u times an error\n", p->name, n - 1, errors);
	under_way = NULL;
}

static int tell_failure(void **state)
{
	(void)state;
	if (under_way) {
		print_message("# %s: allocation %u\n", under_way->name, at_allocation);
		alloc_tell();
	}
	(void)alloc_disarm();
	under_way = NULL;
	return 0;
}

int run_paths(const struct path *paths, size_t n, const char *filter)
{
	struct CMUnitTest tests[MOST_PATHS];
	struct path all[MOST_PATHS];

	assert_true(n <= MOST_PATHS);
	memcpy(all, paths, n * sizeof(*all));
	for (size_t i = 0; i < n; i++)
		tests[i] = (struct CMUnitTest){.name = paths[i].name,
			.test_func = run_path,
			.teardown_func = tell_failure,
			.initial_state = &all[i]};
	cmocka_set_test_filter(filter);
	return _cmocka_run_group_tests("torture", tests, n, NULL, NULL);
}
