/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long the retry layer goes on, over a store that fails after bytes have moved, on a clock that
 * moves only by its tries and waits. What is repeated and when: test_store_retry.c.
 */
#include <errno.h>
#include <string.h>

#include "supafs/store/store.h"

#include "store_priv.h"
#include "unit.h"

#define MS         SUPAFS_NS_PER_MS
#define TIMEOUT_MS 10000
#define TRY_MS     700 /* that a try takes */

/* Each try moves bytes, and so the call's deadline, and fails. */
struct failing {
	struct supafs_store base;
	struct supafs_fake_clock *clock;
	unsigned tries;
	uint64_t keeps;  /* bytes of each get that reach the sink */
	int64_t last_ms; /* when the last one began */
};

static struct failing *failing_of(struct supafs_store *s)
{
	return (struct failing *)(void *)s;
}

static int try_fails(struct failing *f, struct supafs_call *call, struct supafs_fault *fault)
{
	f->last_ms = f->clock->base.mono_ns(&f->clock->base) / MS;
	f->tries++;
	supafs_fake_clock_advance(f->clock, TRY_MS * MS);
	supafs_call_progress(call);
	return supafs_fault_set(fault, -ECONNRESET, SUPAFS_FAULT_TRANSIENT, "Cut", NULL);
}

static int failing_get(struct supafs_store *s, struct supafs_call *call,
	const struct supafs_get_args *args, struct supafs_fault *fault)
{
	struct failing *f = failing_of(s);
	const char bytes[64] = "";

	if (f->keeps > 0)
		assert_int_equal(args->sink.write(args->sink.ctx, bytes, (size_t)f->keeps), 0);
	return try_fails(f, call, fault);
}

static int failing_info(struct supafs_store *s, struct supafs_call *call, struct supafs_str key,
	struct supafs_info *ret_info, struct supafs_fault *fault)
{
	(void)key;
	(void)ret_info;
	return try_fails(failing_of(s), call, fault);
}

static struct supafs_store *failing_free(struct supafs_store *s)
{
	(void)s; /* the test's */
	return NULL;
}

static const struct supafs_store_ops failing_ops = {
	.name = "failing", .get = failing_get, .info = failing_info, .free = failing_free};

struct bench {
	struct supafs_fake_clock clock;
	struct failing f;
	struct supafs_store *s;
	struct supafs_call call;
	struct supafs_fault fault;
};

static void begin(struct bench *b, unsigned burst)
{
	struct supafs_retry_config cfg = {
		.seed = 7, .base_ms = 100, .cap_ms = 1000, .budget = 0, .budget_burst = burst};

	memset(b, 0, sizeof(*b));
	supafs_fake_clock_init(&b->clock, 0, 1700000000 * SUPAFS_NS_PER_S);
	b->f.base.ops = &failing_ops;
	b->f.clock = &b->clock;
	cfg.clock = &b->clock.base;
	assert_int_equal(supafs_store_new_retry(&cfg, &b->f.base, &b->s), 0);
	supafs_call_init(&b->call, &b->clock.base, TIMEOUT_MS);
}

static void end(struct bench *b)
{
	supafs_call_fini(&b->call);
	(void)supafs_store_free(b->s);
}

static int take(void *ctx, const void *p, size_t n)
{
	(void)p;
	*(uint64_t *)ctx += n;
	return 0;
}

static int get(struct bench *b, uint64_t length, uint64_t *ret_got)
{
	const struct supafs_version v = {.size = length, .etag = "\"e\""};
	const struct supafs_get_args args = {
		.key = SUPAFS_STR("k"), .length = length, .version = &v, .sink = {take, ret_got}};

	return b->s->ops->get(b->s, &b->call, &args, &b->fault);
}

/* Though the deadline moves on with each try: none begins later than the time-out after the first
 * failure. */
static void test_tries_that_come_to_nothing(void **state)
{
	struct supafs_info info;
	uint64_t got = 0;
	struct bench b;

	(void)state;
	begin(&b, 1000);
	assert_int_equal(
		b.s->ops->info(b.s, &b.call, SUPAFS_STR("k"), &info, &b.fault), -ECONNRESET);
	assert_true(b.f.tries > 5);
	assert_in_range(b.f.last_ms, TIMEOUT_MS - 2000, TRY_MS + TIMEOUT_MS);
	end(&b);

	begin(&b, 1000);
	assert_int_equal(get(&b, 64, &got), -ECONNRESET);
	assert_int_equal(got, 0);
	assert_in_range(b.f.last_ms, TIMEOUT_MS - 2000, TRY_MS + TIMEOUT_MS);
	end(&b);
}

/* A byte that the next try goes on behind is progress: the time counts from the failure after it,
 * so what arrives bit by bit arrives, however long that takes. */
static void test_progress_begins_anew(void **state)
{
	uint64_t got = 0;
	struct bench b;

	(void)state;
	begin(&b, 1000);
	b.f.keeps = 1;
	assert_int_equal(get(&b, 60, &got), 0);
	assert_int_equal(got, 60);
	assert_int_equal(b.f.tries, 60);
	assert_true(b.f.last_ms > 3 * TIMEOUT_MS);
	end(&b);
}

/* A budget that is spent makes no operation fail sooner: it waits longer, and tries less often. */
static void test_spent_budget_waits(void **state)
{
	struct supafs_info info;
	unsigned often;
	struct bench b;

	(void)state;
	begin(&b, 1000);
	(void)b.s->ops->info(b.s, &b.call, SUPAFS_STR("k"), &info, &b.fault);
	often = b.f.tries;
	end(&b);
	begin(&b, 0);
	assert_int_equal(
		b.s->ops->info(b.s, &b.call, SUPAFS_STR("k"), &info, &b.fault), -ECONNRESET);
	assert_in_range(b.f.tries, TIMEOUT_MS / (TRY_MS + 1000), often - 1);
	assert_in_range(b.f.last_ms, TIMEOUT_MS - 2000, TRY_MS + TIMEOUT_MS);
	end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tries_that_come_to_nothing),
		cmocka_unit_test(test_progress_begins_anew),
		cmocka_unit_test(test_spent_budget_waits),
	};

	return cmocka_run_group_tests_name("store_retry_time", tests, NULL, NULL);
}
