/* SPDX-License-Identifier: Apache-2.0 */
/* The limit layer: how many at once, in which order, and what throttling does. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/lock.h"

#include "layer_priv.h"
#include "unit.h"

/* A store whose operations stand still until they are let go, one by one. */
struct gate {
	struct supafs_layer layer;
	struct supafs_mutex lock;
	struct supafs_cond cond;
	unsigned inside, let_go; /* lock */
	char order[64];          /* lock; first byte of the key of each that came in */
	size_t n;                /* lock */
	bool open;               /* lock */
};

static int gate_before(struct supafs_layer *l, struct supafs_layer_op *o)
{
	struct gate *g = (struct gate *)(void *)l;

	SUPAFS_SCOPED_LOCK(&g->lock);
	g->inside++;
	if (g->n + 1 < sizeof(g->order))
		g->order[g->n++] = o->key.p[0];
	supafs_cond_broadcast(&g->cond);
	while (!g->open && g->let_go == 0)
		supafs_cond_wait(&g->cond, &g->lock);
	if (!g->open)
		g->let_go--;
	g->inside--;
	supafs_cond_broadcast(&g->cond);
	return 0;
}

static int gate_after(struct supafs_layer *l, struct supafs_layer_op *o, int r)
{
	(void)l;
	(void)o;
	return r;
}

static const struct supafs_layer_hooks gate_hooks = {gate_before, gate_after, NULL};
static const struct supafs_store_ops gate_ops = SUPAFS_LAYER_OPS("gate");

static struct gate *gate_new(bool open)
{
	struct gate *g = calloc(1, sizeof(*g));

	assert_non_null(g);
	g->layer = (struct supafs_layer){{&gate_ops}, NULL, &gate_hooks};
	assert_int_equal(supafs_store_new_memory(supafs_clock_system(), &g->layer.inner), 0);
	supafs_mutex_init(&g->lock);
	supafs_cond_init(&g->cond);
	g->open = open;
	return g;
}

static void wait_inside(struct gate *g, unsigned n)
{
	SUPAFS_SCOPED_LOCK(&g->lock);
	while (g->inside != n)
		supafs_cond_wait(&g->cond, &g->lock);
}

static void wait_came(struct gate *g, size_t n)
{
	SUPAFS_SCOPED_LOCK(&g->lock);
	while (g->n != n)
		supafs_cond_wait(&g->cond, &g->lock);
}

static void let_go(struct gate *g, unsigned n)
{
	SUPAFS_SCOPED_LOCK(&g->lock);
	g->let_go += n;
	supafs_cond_broadcast(&g->cond);
}

static void open_gate(struct gate *g)
{
	SUPAFS_SCOPED_LOCK(&g->lock);
	g->open = true;
	supafs_cond_broadcast(&g->cond);
}

/* One operation on a thread of its own. */
struct worker {
	pthread_t thread;
	struct supafs_store *s;
	struct supafs_call call;
	char key[8];
	bool heavy;
	int result;
	struct supafs_fault fault;
};

static void *work(void *ctx)
{
	struct worker *w = ctx;
	struct supafs_str key = supafs_str_of(w->key);
	const struct supafs_put_args put = {.key = key};
	struct supafs_info info;
	unsigned char id[16];

	w->result = w->heavy ? w->s->ops->put(w->s, &w->call, &put, id, &w->fault)
			     : w->s->ops->info(w->s, &w->call, key, &info, &w->fault);
	return NULL;
}

static void start(struct worker *w, struct supafs_store *s, char key, bool heavy, uint64_t timeout)
{
	*w = (struct worker){.s = s, .heavy = heavy};
	w->key[0] = key;
	supafs_call_init(&w->call, supafs_clock_system(), timeout);
	assert_int_equal(pthread_create(&w->thread, NULL, work, w), 0);
}

static void finish(struct worker *w, int result)
{
	assert_int_equal(pthread_join(w->thread, NULL), 0);
	assert_int_equal(w->result, result);
	supafs_call_fini(&w->call);
}

static struct supafs_limit_state state_of(struct supafs_store *s)
{
	struct supafs_limit_state st;

	supafs_limit_read(s, &st);
	return st;
}

/* The queue has no event to wait for: its length is looked at until it is right. */
static void wait_queued(struct supafs_store *s, size_t n)
{
	while (state_of(s).waiting != n)
		(void)sched_yield();
}

static struct supafs_store *limited(struct gate *g, unsigned max)
{
	struct supafs_store *s = NULL;

	assert_int_equal(supafs_store_new_limit(supafs_clock_system(), max, &g->layer.base, &s), 0);
	return s;
}

static void test_limit_and_order(void **state)
{
	struct gate *g = gate_new(false);
	struct supafs_store *s = limited(g, 2);
	struct worker w[6];

	(void)state;
	for (size_t i = 0; i < 2; i++)
		start(&w[i], s, (char)('a' + i), false, 0);
	wait_inside(g, 2);
	for (size_t i = 2; i < 6; i++) {
		start(&w[i], s, (char)('a' + i), false, 0);
		wait_queued(s, i - 1);
	}
	assert_int_equal(state_of(s).inflight, 2);
	for (size_t i = 0; i < 4; i++) {
		let_go(g, 1);
		wait_came(g, 3 + i);
		assert_int_equal(state_of(s).waiting, 3 - i);
	}
	open_gate(g);
	for (size_t i = 0; i < 6; i++)
		finish(&w[i], -ENOENT);
	assert_memory_equal(g->order + 2, "cdef", 4);
	assert_int_equal(state_of(s).inflight, 0);
	(void)supafs_store_free(s);
}

/* Uploads and downloads fill three quarters; a listing comes in beside them at once. */
static void test_room_for_small_ones(void **state)
{
	struct gate *g = gate_new(false);
	struct supafs_store *s = limited(g, 4);
	struct worker heavy[5];
	struct worker light;

	(void)state;
	for (size_t i = 0; i < 3; i++)
		start(&heavy[i], s, 'h', true, 0);
	wait_inside(g, 3);
	for (size_t i = 3; i < 5; i++)
		start(&heavy[i], s, 'H', true, 0);
	wait_queued(s, 2);
	start(&light, s, 'l', false, 0);
	wait_inside(g, 4);
	assert_int_equal(state_of(s).heavy, 3);
	open_gate(g);
	for (size_t i = 0; i < 5; i++)
		finish(&heavy[i], 0);
	/* The key may be stored or not yet. */
	assert_int_equal(pthread_join(light.thread, NULL), 0);
	supafs_call_fini(&light.call);
	assert_int_equal(g->order[3], 'l');
	(void)supafs_store_free(s);
}

static void test_one_place(void **state)
{
	struct gate *g = gate_new(true);
	struct supafs_store *s = limited(g, 1);
	struct worker w[4];

	(void)state;
	for (size_t i = 0; i < 4; i++)
		start(&w[i], s, 'k', i % 2 == 0, 0);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(pthread_join(w[i].thread, NULL), 0);
		supafs_call_fini(&w[i].call);
	}
	assert_int_equal(state_of(s).inflight, 0);
	(void)supafs_store_free(s);
}

static void test_waiting_ends(void **state)
{
	struct gate *g = gate_new(false);
	struct supafs_store *s = limited(g, 1);
	struct worker holder;
	struct worker cancelled;
	struct worker late;
	struct worker last;

	(void)state;
	start(&holder, s, 'a', false, 0);
	wait_inside(g, 1);
	start(&cancelled, s, 'b', false, 0);
	wait_queued(s, 1);
	supafs_call_cancel(&cancelled.call);
	finish(&cancelled, -EINTR);
	start(&late, s, 'c', true, 20);
	finish(&late, -ETIMEDOUT);
	assert_string_equal(late.fault.code, "Timeout");
	assert_int_equal(state_of(s).waiting, 0);
	/* The place goes on to the next one. */
	start(&last, s, 'd', false, 0);
	wait_queued(s, 1);
	open_gate(g);
	finish(&holder, -ENOENT);
	finish(&last, -ENOENT);
	(void)supafs_store_free(s);
}

static int one_info(struct supafs_store *s)
{
	struct supafs_call call;
	struct supafs_fault fault;
	struct supafs_info info;
	int r;

	supafs_call_init(&call, supafs_clock_system(), 0);
	r = s->ops->info(s, &call, SUPAFS_STR("there"), &info, &fault);
	supafs_call_fini(&call);
	return r;
}

static void test_throttled(void **state)
{
	struct supafs_faulty_rule slow = {
		.op = SUPAFS_OP_INFO,
		.times = 4,
		.error = -EIO,
		.fault = {.class = SUPAFS_FAULT_THROTTLED},
	};
	static const unsigned after[] = {4, 2, 1, 1};
	struct supafs_store *mem = NULL;
	struct supafs_store *faulty = NULL;
	struct supafs_store *s = NULL;
	const struct supafs_put_args put = {.key = SUPAFS_STR("there")};
	struct supafs_call call;
	struct supafs_fault fault;
	unsigned char id[16];

	(void)state;
	assert_int_equal(supafs_store_new_memory(supafs_clock_system(), &mem), 0);
	assert_int_equal(supafs_store_new_faulty(mem, &faulty), 0);
	assert_int_equal(supafs_store_new_limit(supafs_clock_system(), 8, faulty, &s), 0);
	supafs_call_init(&call, supafs_clock_system(), 0);
	assert_int_equal(s->ops->put(s, &call, &put, id, &fault), 0);
	supafs_store_faulty_add(faulty, &slow);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(one_info(s), -EIO);
		assert_int_equal(state_of(s).limit, after[i]);
	}
	for (unsigned i = 1; i <= 100; i++) {
		unsigned want = 1 + i / 10;
		assert_int_equal(one_info(s), 0);
		assert_int_equal(state_of(s).limit, want < 8 ? want : 8);
	}
	supafs_call_fini(&call);
	(void)supafs_store_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_limit_and_order),
		cmocka_unit_test(test_room_for_small_ones),
		cmocka_unit_test(test_one_place),
		cmocka_unit_test(test_waiting_ends),
		cmocka_unit_test(test_throttled),
	};

	return cmocka_run_group_tests_name("store_limit", tests, NULL, NULL);
}
