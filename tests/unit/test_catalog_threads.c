/* SPDX-License-Identifier: Apache-2.0 */
/* Several threads in one catalog: shared requests, waiters that leave, and a hammer. */
#include <pthread.h>
#include <sched.h>

#include "catalog_fixture.h"
#include "catalog_priv.h"

#define MEMORY  (64U << 20)
#define THREADS 8

/* Requests stop here until the gate is opened. */
struct gate {
	struct supafs_mutex lock;
	struct supafs_cond cond;
	bool open;
	unsigned inside;
};

static void gate_hook(struct scripted *s, enum scripted_moment m, void *ctx)
{
	struct gate *g = ctx;

	(void)s;
	if (m != SCRIPTED_BEFORE)
		return;
	SUPAFS_SCOPED_LOCK(&g->lock);
	g->inside++;
	while (!g->open)
		supafs_cond_wait(&g->cond, &g->lock);
	g->inside--;
}

static void gate_open(struct gate *g)
{
	SUPAFS_SCOPED_LOCK(&g->lock);
	g->open = true;
	supafs_cond_broadcast(&g->cond);
}

static unsigned gate_inside(struct gate *g)
{
	SUPAFS_SCOPED_LOCK(&g->lock);
	return g->inside;
}

static unsigned waiting(struct supafs_catalog *c)
{
	unsigned n = 0;

	SUPAFS_SCOPED_LOCK(&c->lock);
	supafs_list_for_each (it, &c->waiters)
		n++;
	return n;
}

static void await(struct fix *x, struct gate *g, unsigned inside, unsigned waiters)
{
	while (gate_inside(g) != inside || waiting(x->c) != waiters)
		(void)sched_yield();
}

struct worker {
	pthread_t thread;
	struct fix *x;
	struct supafs_call call;
	const char *name; /* NULL: lists */
	bool fresh;
	int result;
	unsigned entries;
	struct supafs_fault fault;
};

static void *work(void *arg)
{
	struct worker *w = arg;
	struct supafs_dirent ent;
	struct supafs_dir *d = NULL;
	uint64_t off = 0;

	if (w->name) {
		w->result = supafs_catalog_lookup(w->x->c, &w->call, SUPAFS_STR(""),
			supafs_str_of(w->name), w->fresh, &ent, &w->fault);
		return NULL;
	}
	w->result = supafs_dir_open(w->x->c, SUPAFS_STR(""), &d);
	while (w->result >= 0) {
		w->result = supafs_dir_next(d, &w->call, &off, &ent, &w->fault);
		if (w->result != 1)
			break;
		w->entries++;
	}
	(void)supafs_dir_free(d);
	return NULL;
}

static void start(struct worker *w, struct fix *x, const char *name)
{
	*w = (struct worker){.x = x, .name = name};
	supafs_call_init(&w->call, &x->clock.base, 0);
	assert_int_equal(pthread_create(&w->thread, NULL, work, w), 0);
}

static void join(struct worker *w)
{
	assert_int_equal(pthread_join(w->thread, NULL), 0);
	supafs_call_fini(&w->call);
}

static void begin(struct fix *x, struct gate *g, uint64_t ttl_ms)
{
	fix_init(x, ttl_ms, MEMORY, "");
	memset(g, 0, sizeof(*g));
	supafs_mutex_init(&g->lock);
	supafs_cond_init(&g->cond);
	x->store.hook = gate_hook;
	x->store.ctx = g;
}

static void end(struct fix *x, struct gate *g)
{
	fix_fini(x);
	supafs_cond_fini(&g->cond);
	supafs_mutex_fini(&g->lock);
}

static void one_request_for_a_name(void **state)
{
	struct worker w[THREADS];
	struct gate g;
	struct fix x;

	(void)state;
	begin(&x, &g, TTL_MS);
	scripted_add(&x.store, "f", 1);
	for (unsigned i = 0; i < THREADS; i++)
		start(&w[i], &x, "f");
	await(&x, &g, 1, THREADS - 1);
	gate_open(&g);
	for (unsigned i = 0; i < THREADS; i++) {
		join(&w[i]);
		assert_int_equal(w[i].result, 0);
	}
	assert_int_equal(scripted_lists(&x.store), 1);
	end(&x, &g);
}

/* With a ttl of 0 an answer counts only for who began before it was asked for: the waiters
 * share a second request. */
static void ttl_zero_shares_the_next_request(void **state)
{
	struct worker w[THREADS];
	struct gate g;
	struct fix x;

	(void)state;
	begin(&x, &g, 0);
	scripted_add(&x.store, "f", 1);
	for (unsigned i = 0; i < THREADS; i++)
		start(&w[i], &x, "f");
	await(&x, &g, 1, THREADS - 1);
	gate_open(&g);
	for (unsigned i = 0; i < THREADS; i++) {
		join(&w[i]);
		assert_int_equal(w[i].result, 0);
	}
	assert_int_equal(scripted_lists(&x.store), 2);
	end(&x, &g);
}

static void one_walk_for_a_folder(void **state)
{
	struct worker w[THREADS];
	struct gate g;
	struct fix x;
	char key[16];

	(void)state;
	begin(&x, &g, TTL_MS);
	for (unsigned i = 0; i < 2500; i++) {
		(void)snprintf(key, sizeof(key), "f%04u", i);
		scripted_add(&x.store, key, 1);
	}
	for (unsigned i = 0; i < THREADS; i++)
		start(&w[i], &x, NULL);
	await(&x, &g, 1, THREADS - 1);
	gate_open(&g);
	for (unsigned i = 0; i < THREADS; i++) {
		join(&w[i]);
		assert_int_equal(w[i].result, 0);
		assert_int_equal(w[i].entries, 2500);
	}
	assert_int_equal(scripted_lists(&x.store), 3);
	end(&x, &g);
}

static void waiter_is_interrupted(void **state)
{
	struct worker asker, waiter;
	struct gate g;
	struct fix x;

	(void)state;
	for (unsigned listing = 0; listing < 2; listing++) {
		begin(&x, &g, TTL_MS);
		scripted_add(&x.store, "f", 1);
		start(&asker, &x, listing ? NULL : "f");
		await(&x, &g, 1, 0);
		start(&waiter, &x, listing ? NULL : "f");
		await(&x, &g, 1, 1);
		supafs_call_cancel(&waiter.call);
		join(&waiter);
		assert_int_equal(waiter.result, -EINTR);
		assert_int_equal(gate_inside(&g), 1);
		gate_open(&g);
		join(&asker);
		assert_int_equal(asker.result, 0);
		assert_int_equal(scripted_lists(&x.store), 1);
		end(&x, &g);
	}
}

static void waiter_runs_out_of_time(void **state)
{
	struct worker asker;
	struct supafs_call call;
	struct supafs_dirent ent;
	struct supafs_fault fault;
	struct gate g;
	struct fix x;

	(void)state;
	begin(&x, &g, TTL_MS);
	start(&asker, &x, "f");
	await(&x, &g, 1, 0);
	supafs_call_init(&call, supafs_clock_system(), 20);
	assert_int_equal(supafs_catalog_lookup(
				 x.c, &call, SUPAFS_STR(""), SUPAFS_STR("f"), false, &ent, &fault),
		-ETIMEDOUT);
	supafs_call_fini(&call);
	gate_open(&g);
	join(&asker);
	assert_int_equal(asker.result, -ENOENT);
	end(&x, &g);
}

/* The one who asks is interrupted: the others do not fail with it. */
static void asker_is_interrupted(void **state)
{
	struct worker asker, waiter;
	struct gate g;
	struct fix x;

	(void)state;
	for (unsigned listing = 0; listing < 2; listing++) {
		begin(&x, &g, TTL_MS);
		scripted_add(&x.store, "f", 1);
		start(&asker, &x, listing ? NULL : "f");
		await(&x, &g, 1, 0);
		start(&waiter, &x, listing ? NULL : "f");
		await(&x, &g, 1, 1);
		supafs_call_cancel(&asker.call);
		gate_open(&g);
		join(&asker);
		join(&waiter);
		assert_int_equal(asker.result, -EINTR);
		assert_int_equal(waiter.result, 0);
		assert_int_equal(scripted_lists(&x.store), 2);
		end(&x, &g);
	}
}

static void error_is_shared(void **state)
{
	struct worker w[THREADS];
	struct gate g;
	struct fix x;

	(void)state;
	begin(&x, &g, TTL_MS);
	x.store.error = -EACCES;
	for (unsigned i = 0; i < THREADS; i++)
		start(&w[i], &x, "f");
	await(&x, &g, 1, THREADS - 1);
	gate_open(&g);
	for (unsigned i = 0; i < THREADS; i++) {
		join(&w[i]);
		assert_int_equal(w[i].result, -EACCES);
		assert_string_equal(w[i].fault.text, "scripted");
	}
	assert_int_equal(scripted_lists(&x.store), 1);
	end(&x, &g);
}

/* A handle that is closed, and a catalog that is freed, while a page is fetched ahead. */
static void free_while_a_page_is_on_its_way(void **state)
{
	struct supafs_dir *d;
	struct gate g;
	struct fix x;
	uint64_t off = 0;
	char key[16];

	(void)state;
	begin(&x, &g, TTL_MS);
	for (unsigned i = 0; i < 2500; i++) {
		(void)snprintf(key, sizeof(key), "f%04u", i);
		scripted_add(&x.store, key, 1);
	}
	g.open = true;
	d = fix_open(&x, "");
	(void)fix_read(&x, d, &off, 1);
	(void)supafs_dir_free(d);
	end(&x, &g);
}

/* --- Hammer -------------------------------------------------------------------------------------
 */

#define STEPS 1500

struct hammer {
	pthread_t thread;
	struct fix *x;
	uint64_t seed;
};

static void hammer_list(struct fix *x, struct supafs_call *call, const char *prefix, size_t most)
{
	struct supafs_dir *d = NULL;
	struct supafs_dirent ent;
	struct supafs_fault fault;
	uint64_t off = 0, last;
	int r = supafs_dir_open(x->c, supafs_str_of(prefix), &d);

	while (r >= 0 && most-- > 0) {
		last = off;
		r = supafs_dir_next(d, call, &off, &ent, &fault);
		if (r == 0)
			break;
		assert_true(r != 1 || off > last);
	}
	(void)supafs_dir_free(d);
}

static void hammer_change(
	struct fix *x, struct supafs_rng *rng, const char *prefix, const char *name)
{
	struct supafs_change ch = {.prefix = supafs_str_of(prefix),
		.seg = supafs_str_of(name),
		.name = supafs_str_of(name),
		.present = supafs_rng_below(rng, 2) == 0};
	char key[32];
	uint64_t id;

	(void)snprintf(key, sizeof(key), "%s%s", prefix, name);
	assert_int_equal(supafs_catalog_change(x->c, &ch, &id), 0);
	if (ch.present)
		scripted_add(&x->store, key, id);
	else
		scripted_remove(&x->store, key);
	if (supafs_rng_below(rng, 4) > 0)
		supafs_catalog_ack(x->c, ch.prefix, ch.seg, id, NULL);
	else
		supafs_catalog_undo(x->c, ch.prefix, ch.seg, id);
}

static void hammer_step(struct fix *x, struct supafs_call *call, struct supafs_rng *rng)
{
	static const char *const prefixes[] = {"", "d/", "e/"};
	const char *prefix = prefixes[supafs_rng_below(rng, 3)];
	struct supafs_catalog_stats st;
	struct supafs_dirent ent;
	struct supafs_fault fault;
	bool a, b, c;
	uint64_t n;
	char name[8];

	(void)snprintf(name, sizeof(name), "f%u", (unsigned)supafs_rng_below(rng, 40));
	switch (supafs_rng_below(rng, 12)) {
	case 0:
	case 1:
	case 2:
		hammer_change(x, rng, prefix, name);
		break;
	case 3:
		hammer_list(x, call, prefix, SIZE_MAX);
		break;
	case 4:
		hammer_list(x, call, prefix, supafs_rng_below(rng, 12));
		break;
	case 5:
		supafs_catalog_forget(x->c, supafs_str_of(prefix), supafs_str_of(name));
		break;
	case 6:
		supafs_catalog_drop(x->c, supafs_str_of(prefix), supafs_rng_below(rng, 2) == 0);
		break;
	case 7:
		(void)supafs_catalog_is_empty(
			x->c, call, supafs_str_of(prefix), &a, &b, &c, &fault);
		(void)supafs_catalog_count(x->c, supafs_str_of(prefix), &n, &a);
		supafs_catalog_stats(x->c, &st);
		break;
	case 8:
		supafs_fake_clock_advance(&x->clock, SUPAFS_NS_PER_S);
		break;
	default:
		(void)supafs_catalog_lookup(x->c, call, supafs_str_of(prefix), supafs_str_of(name),
			supafs_rng_below(rng, 4) == 0, &ent, &fault);
	}
}

static void *hammer(void *arg)
{
	struct hammer *h = arg;
	struct supafs_call call;
	struct supafs_rng rng;

	supafs_rng_init(&rng, h->seed);
	supafs_call_init(&call, &h->x->clock.base, 0);
	for (unsigned i = 0; i < STEPS; i++)
		hammer_step(h->x, &call, &rng);
	supafs_call_fini(&call);
	return NULL;
}

static void hammer_all(void **state)
{
	static const uint64_t ttls[] = {TTL_MS, 0};
	struct hammer h[THREADS];
	struct fix x;

	(void)state;
	for (unsigned t = 0; t < 2; t++) {
		fix_init(&x, ttls[t], 12U << 10, "");
		x.store.max = 7;
		for (unsigned i = 0; i < THREADS; i++) {
			h[i] = (struct hammer){.x = &x, .seed = 100 * t + i};
			assert_int_equal(pthread_create(&h[i].thread, NULL, hammer, &h[i]), 0);
		}
		for (unsigned i = 0; i < THREADS; i++)
			assert_int_equal(pthread_join(h[i].thread, NULL), 0);
		fix_fini(&x);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_request_for_a_name),
		cmocka_unit_test(ttl_zero_shares_the_next_request),
		cmocka_unit_test(one_walk_for_a_folder),
		cmocka_unit_test(waiter_is_interrupted),
		cmocka_unit_test(waiter_runs_out_of_time),
		cmocka_unit_test(asker_is_interrupted),
		cmocka_unit_test(error_is_shared),
		cmocka_unit_test(free_while_a_page_is_on_its_way),
		cmocka_unit_test(hammer_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
