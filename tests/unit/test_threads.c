/* SPDX-License-Identifier: Apache-2.0 */
/* What threads share: calls, budgets, pools, timers. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "supafs/util/budget.h"
#include "supafs/util/call.h"
#include "supafs/util/pool.h"
#include "supafs/util/timer.h"

#include "unit.h"

/* A counter that can be waited for: how these tests order their events. */
struct tally {
	struct supafs_mutex lock;
	struct supafs_cond changed; /* lock */
	int n;                      /* lock */
};

static void tally_init(struct tally *t)
{
	supafs_mutex_init(&t->lock);
	supafs_cond_init(&t->changed);
	t->n = 0;
}

static void tally_fini(struct tally *t)
{
	supafs_cond_fini(&t->changed);
	supafs_mutex_fini(&t->lock);
}

static void tally_add(void *ctx)
{
	struct tally *t = ctx;

	SUPAFS_SCOPED_LOCK(&t->lock);
	t->n++;
	supafs_cond_broadcast(&t->changed);
}

static void tally_wait(struct tally *t, int n)
{
	SUPAFS_SCOPED_LOCK(&t->lock);
	while (t->n < n)
		supafs_cond_wait(&t->changed, &t->lock);
}

static int tally_get(struct tally *t)
{
	SUPAFS_SCOPED_LOCK(&t->lock);
	return t->n;
}

static int64_t now_ns(void)
{
	return supafs_clock_system()->mono_ns(supafs_clock_system());
}

/* --- Calls ------------------------------------------------------------------------------- */

static void call_deadline(void **state)
{
	struct supafs_fake_clock f;
	struct supafs_call c;

	(void)state;
	supafs_fake_clock_init(&f, 1000, 0);
	supafs_call_init(&c, &f.base, 5);
	assert_int_equal(supafs_call_check(&c), 0);
	assert_int_equal(supafs_call_sleep(&c, 4 * SUPAFS_NS_PER_MS), 0);
	assert_int_equal(f.mono, 1000 + 4 * SUPAFS_NS_PER_MS);
	assert_int_equal(supafs_call_sleep(&c, 4 * SUPAFS_NS_PER_MS), -ETIMEDOUT);
	assert_int_equal(f.mono, 1000 + 5 * SUPAFS_NS_PER_MS);
	assert_int_equal(supafs_call_check(&c), -ETIMEDOUT);
	supafs_call_cancel(&c);
	assert_int_equal(supafs_call_check(&c), -EINTR);
	supafs_call_fini(&c);

	supafs_call_init(&c, &f.base, 0);
	assert_true(c.deadline_ns == SUPAFS_NEVER);
	supafs_call_fini(&c);
	supafs_call_init(&c, &f.base, UINT64_MAX);
	assert_true(c.deadline_ns == SUPAFS_NEVER);
	assert_int_equal(supafs_call_check(&c), 0);
	supafs_call_fini(&c);
}

static void call_progress(void **state)
{
	struct supafs_fake_clock clock;
	struct supafs_call call;

	(void)state;
	supafs_fake_clock_init(&clock, 0, 0);
	supafs_call_init(&call, &clock.base, 1000);
	supafs_fake_clock_advance(&clock, 900 * SUPAFS_NS_PER_MS);
	assert_int_equal(supafs_call_left_ms(&call), 100);
	supafs_call_progress(&call);
	supafs_fake_clock_advance(&clock, 900 * SUPAFS_NS_PER_MS);
	assert_int_equal(supafs_call_check(&call), 0);
	assert_int_equal(supafs_call_left_ms(&call), 100);
	supafs_fake_clock_advance(&clock, 200 * SUPAFS_NS_PER_MS);
	assert_int_equal(supafs_call_check(&call), -ETIMEDOUT);
	assert_int_equal(supafs_call_left_ms(&call), 1);
	supafs_call_fini(&call);
	supafs_call_init(&call, &clock.base, 0);
	supafs_call_progress(&call);
	assert_true(call.deadline_ns == SUPAFS_NEVER);
	assert_int_equal(supafs_call_left_ms(&call), 0);
	supafs_call_fini(&call);
}

static void call_waker(void **state)
{
	struct supafs_call c;
	struct tally t;

	(void)state;
	tally_init(&t);
	supafs_call_init(&c, supafs_clock_system(), 0);
	supafs_call_poke(&c); /* nobody waits */
	supafs_call_set_waker(&c, tally_add, &t);
	assert_int_equal(tally_get(&t), 0);
	supafs_call_poke(&c);
	assert_int_equal(tally_get(&t), 1);
	assert_false(supafs_call_cancelled(&c));
	supafs_call_cancel(&c);
	assert_int_equal(tally_get(&t), 2);
	supafs_call_set_waker(&c, NULL, NULL);
	supafs_call_poke(&c);
	assert_int_equal(tally_get(&t), 2);
	supafs_call_set_waker(&c, tally_add, &t); /* cancelled already: at once */
	assert_int_equal(tally_get(&t), 3);
	supafs_call_fini(&c);
	tally_fini(&t);
}

struct sleeper {
	struct supafs_call call;
	struct tally about;
	int result;
};

static void *sleep_long(void *ctx)
{
	struct sleeper *s = ctx;

	tally_add(&s->about);
	s->result = supafs_call_sleep(&s->call, 60 * SUPAFS_NS_PER_S);
	return NULL;
}

static void call_sleep(void **state)
{
	struct sleeper s = {0};
	const int64_t start = now_ns();
	pthread_t thread;

	(void)state;
	tally_init(&s.about);
	supafs_call_init(&s.call, supafs_clock_system(), 0);
	assert_int_equal(supafs_call_sleep(&s.call, 2 * SUPAFS_NS_PER_MS), 0);
	assert_true(now_ns() - start >= 2 * SUPAFS_NS_PER_MS);
	assert_int_equal(pthread_create(&thread, NULL, sleep_long, &s), 0);
	tally_wait(&s.about, 1);
	supafs_call_cancel(&s.call);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(s.result, -EINTR);
	assert_true(now_ns() - start < 30 * SUPAFS_NS_PER_S);
	supafs_call_fini(&s.call);

	supafs_call_init(&s.call, supafs_clock_system(), 3);
	assert_int_equal(supafs_call_sleep(&s.call, INT64_MAX), -ETIMEDOUT);
	supafs_call_fini(&s.call);
	tally_fini(&s.about);
}

/* --- Budgets ----------------------------------------------------------------------------- */

static void budget_amounts(void **state)
{
	struct supafs_budget *b = NULL;

	(void)state;
	assert_int_equal(supafs_budget_new(100, &b), 0);
	assert_int_equal(supafs_budget_limit(b), 100);
	assert_int_equal(supafs_budget_reserve(b, 101, 1000), -EMSGSIZE);
	assert_int_equal(supafs_budget_reserve(b, SIZE_MAX, 0), -EMSGSIZE);
	assert_int_equal(supafs_budget_reserve(b, 60, 0), 0);
	assert_int_equal(supafs_budget_reserve(b, 41, 0), -ETIMEDOUT);
	assert_int_equal(supafs_budget_reserve(b, 41, 2), -ETIMEDOUT);
	assert_int_equal(supafs_budget_reserve(b, 40, 0), 0);
	assert_int_equal(supafs_budget_used(b), 100);
	supafs_budget_release(b, 100);
	assert_int_equal(supafs_budget_used(b), 0);
	supafs_budget_close(b);
	supafs_budget_close(b);
	assert_int_equal(supafs_budget_reserve(b, 1, 0), -ESHUTDOWN);
	assert_null(supafs_budget_free(b));
	assert_null(supafs_budget_free(NULL));
}

struct spender {
	pthread_t thread;
	struct supafs_budget *budget;
	struct tally *about;
	size_t n;
	int rounds;
	int result;
};

static void *spend(void *ctx)
{
	struct spender *s = ctx;

	tally_add(s->about);
	for (int i = 0; i < s->rounds && s->result == 0; i++) {
		s->result = supafs_budget_reserve(s->budget, s->n, 60000);
		if (s->result == 0)
			supafs_budget_release(s->budget, s->n);
	}
	return NULL;
}

static void budget_threads(void **state)
{
	struct supafs_budget *b = NULL;
	struct spender s[4] = {0};
	struct tally about;

	(void)state;
	tally_init(&about);
	assert_int_equal(supafs_budget_new(100, &b), 0);
	for (size_t i = 0; i < 4; i++) {
		s[i] = (struct spender){
			.budget = b, .about = &about, .n = 30 + 20 * i, .rounds = 2000};
		assert_int_equal(pthread_create(&s[i].thread, NULL, spend, &s[i]), 0);
	}
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(pthread_join(s[i].thread, NULL), 0);
		assert_int_equal(s[i].result, 0);
	}
	assert_int_equal(supafs_budget_used(b), 0);

	/* Closing wakes a waiter. */
	assert_int_equal(supafs_budget_reserve(b, 100, 0), 0);
	s[0].result = 0;
	assert_int_equal(pthread_create(&s[0].thread, NULL, spend, &s[0]), 0);
	tally_wait(&about, 5);
	supafs_budget_close(b);
	assert_int_equal(pthread_join(s[0].thread, NULL), 0);
	assert_int_equal(s[0].result, -ESHUTDOWN);
	supafs_budget_release(b, 100);
	assert_null(supafs_budget_free(b));
	tally_fini(&about);
}

/* --- Pools ------------------------------------------------------------------------------- */

struct gate {
	struct tally entered;
	struct tally opened;
	struct tally dropped;
};

static void gate_init(struct gate *g)
{
	tally_init(&g->entered);
	tally_init(&g->opened);
	tally_init(&g->dropped);
}

static void gate_fini(struct gate *g)
{
	tally_fini(&g->entered);
	tally_fini(&g->opened);
	tally_fini(&g->dropped);
}

static void pass_gate(void *ctx)
{
	struct gate *g = ctx;

	tally_add(&g->entered);
	tally_wait(&g->opened, 1);
}

static void drop_gate(void *ctx)
{
	struct gate *g = ctx;

	tally_add(&g->dropped);
}

static void pool_runs(void **state)
{
	struct supafs_pool *p = NULL;
	struct tally t;

	(void)state;
	tally_init(&t);
	assert_int_equal(supafs_pool_new("test", 4, 1000, &p), 0);
	for (int i = 0; i < 1000; i++) {
		const struct supafs_job job = {.run = tally_add, .ctx = &t};

		assert_int_equal(supafs_pool_submit(p, job), 0);
	}
	tally_wait(&t, 1000);
	assert_null(supafs_pool_free(p));
	assert_int_equal(tally_get(&t), 1000);
	assert_null(supafs_pool_free(NULL));
	tally_fini(&t);
}

static void *free_pool(void *ctx)
{
	(void)supafs_pool_free(ctx);
	return NULL;
}

/* Two workers inside, a full queue behind them: bounds, parallelism, dropping. */
static void pool_bounds(void **state)
{
	struct supafs_pool *p = NULL;
	struct gate g;
	const struct supafs_job job = {pass_gate, drop_gate, &g};
	const struct supafs_job silent = {pass_gate, NULL, &g};
	pthread_t closer;

	(void)state;
	gate_init(&g);
	assert_int_equal(supafs_pool_new("test", 2, 3, &p), 0);
	assert_int_equal(supafs_pool_submit(p, job), 0);
	assert_int_equal(supafs_pool_submit(p, job), 0);
	tally_wait(&g.entered, 2); /* two threads, though one would do */
	assert_int_equal(supafs_pool_submit(p, job), 0);
	assert_int_equal(supafs_pool_submit(p, silent), 0);
	assert_int_equal(supafs_pool_submit(p, job), 0);
	assert_int_equal(supafs_pool_submit(p, job), -EAGAIN);
	assert_int_equal(pthread_create(&closer, NULL, free_pool, p), 0);
	tally_wait(&g.dropped, 2); /* free() has begun, and waits for the two */
	tally_add(&g.opened);
	assert_int_equal(pthread_join(closer, NULL), 0);
	assert_int_equal(tally_get(&g.entered), 2);
	assert_int_equal(tally_get(&g.dropped), 2);
	gate_fini(&g);
}

struct chain {
	struct supafs_pool *pool;
	struct tally *t;
	_Atomic int left;
	_Atomic int failed;
};

/* A job that submits the next one. */
static void chain_run(void *ctx)
{
	struct chain *c = ctx;
	const struct supafs_job again = {.run = chain_run, .ctx = c};

	if (c->left-- > 0)
		c->failed += supafs_pool_submit(c->pool, again) != 0;
	else
		tally_add(c->t);
}

static void pool_from_job(void **state)
{
	struct tally t;
	struct chain c = {.t = &t, .left = 500};

	(void)state;
	tally_init(&t);
	assert_int_equal(supafs_pool_new("test", 3, 4, &c.pool), 0);
	chain_run(&c);
	tally_wait(&t, 1);
	assert_null(supafs_pool_free(c.pool));
	assert_int_equal(c.failed, 0);
	tally_fini(&t);
}

/* --- Timers ------------------------------------------------------------------------------ */

struct order {
	struct tally *t;
	char *text;
	char letter;
};

static void note(void *ctx)
{
	struct order *o = ctx;
	const size_t n = strlen(o->text);

	o->text[n] = o->letter;
	tally_add(o->t);
}

static void timers_in_order(void **state)
{
	struct supafs_timers *timers = NULL;
	struct supafs_fake_clock f;
	struct tally t;
	char text[8] = "";
	struct order o[5];
	static const int64_t at[5] = {50, 10, 30, 10, 40};
	uint64_t ids[5];

	(void)state;
	tally_init(&t);
	supafs_fake_clock_init(&f, 0, 0);
	assert_int_equal(supafs_timers_new(&f.base, &timers), 0);
	for (int i = 0; i < 5; i++) {
		o[i] = (struct order){&t, text, (char)('a' + i)};
		assert_int_equal(supafs_timers_add(timers, at[i], note, &o[i], &ids[i]), 0);
		assert_true(ids[i] != 0);
	}
	assert_int_equal(supafs_timers_cancel(timers, ids[4]), 1);
	assert_int_equal(supafs_timers_cancel(timers, ids[4]), 0);
	supafs_fake_clock_advance(&f, 30);
	tally_wait(&t, 3);
	assert_string_equal(text, "bdc");
	assert_int_equal(supafs_timers_cancel(timers, ids[1]), 0);
	supafs_fake_clock_advance(&f, 30);
	tally_wait(&t, 4);
	assert_string_equal(text, "bdca");
	assert_null(supafs_timers_free(timers));
	assert_null(supafs_timers_free(NULL));
	tally_fini(&t);
}

static void timers_real(void **state)
{
	struct supafs_timers *timers = NULL;
	const int64_t start = now_ns();
	struct tally t;
	uint64_t id = 0;

	(void)state;
	tally_init(&t);
	assert_int_equal(supafs_timers_new(supafs_clock_system(), &timers), 0);
	/* A later one waits; the earlier one must wake the thread anew. */
	assert_int_equal(
		supafs_timers_add(timers, start + 3600 * SUPAFS_NS_PER_S, tally_add, &t, &id), 0);
	assert_int_equal(
		supafs_timers_add(timers, start + 5 * SUPAFS_NS_PER_MS, tally_add, &t, &id), 0);
	tally_wait(&t, 1);
	assert_true(now_ns() - start >= 5 * SUPAFS_NS_PER_MS);
	/* In the past: at once. */
	assert_int_equal(supafs_timers_add(timers, 0, tally_add, &t, &id), 0);
	tally_wait(&t, 2);
	assert_null(supafs_timers_free(timers)); /* drops the hour */
	assert_int_equal(tally_get(&t), 2);
	tally_fini(&t);
}

struct canceller {
	struct supafs_timers *timers;
	struct gate *g;
	uint64_t id;
	_Atomic bool over;
	int self_cancel;
	int cancel;
	bool waited;
};

static void slow_callback(void *ctx)
{
	struct canceller *c = ctx;

	/* From the callback itself it must not wait for the callback. */
	c->self_cancel = supafs_timers_cancel(c->timers, c->id);
	pass_gate(c->g);
	c->over = true;
}

static void *cancel_running(void *ctx)
{
	struct canceller *c = ctx;

	tally_add(&c->g->dropped);
	c->cancel = supafs_timers_cancel(c->timers, c->id);
	c->waited = c->over;
	return NULL;
}

static void timers_cancel_waits(void **state)
{
	struct gate g;
	struct canceller c = {.g = &g};
	struct supafs_fake_clock f;
	pthread_t thread;

	(void)state;
	gate_init(&g);
	supafs_fake_clock_init(&f, 0, 0);
	assert_int_equal(supafs_timers_new(&f.base, &c.timers), 0);
	assert_int_equal(supafs_timers_add(c.timers, 10, slow_callback, &c, &c.id), 0);
	supafs_fake_clock_advance(&f, 10);
	tally_wait(&g.entered, 1);
	assert_int_equal(pthread_create(&thread, NULL, cancel_running, &c), 0);
	tally_wait(&g.dropped, 1);
	tally_add(&g.opened);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(c.self_cancel, 0);
	assert_int_equal(c.cancel, 0);
	assert_true(c.waited);
	assert_null(supafs_timers_free(c.timers));
	gate_fini(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(call_deadline),
		cmocka_unit_test(call_progress),
		cmocka_unit_test(call_waker),
		cmocka_unit_test(call_sleep),
		cmocka_unit_test(budget_amounts),
		cmocka_unit_test(budget_threads),
		cmocka_unit_test(pool_runs),
		cmocka_unit_test(pool_bounds),
		cmocka_unit_test(pool_from_job),
		cmocka_unit_test(timers_in_order),
		cmocka_unit_test(timers_real),
		cmocka_unit_test(timers_cancel_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
