/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of promises share: a layer that keeps uploads waiting, and what is pending. */
#pragma once

#include <sched.h>

#include "supafs/util/lock.h"

#include "layer_priv.h"
#include "vfs_fixture.h"

/* --- A layer that keeps uploads waiting ---------------------------------------------------------
 */

struct gate {
	struct supafs_layer layer;
	struct supafs_mutex lock;
	struct supafs_cond cond; /* lock; broadcast at each change */
	bool closed;             /* lock */
	bool silent;             /* lock: uploads arrive, and no answer comes back */
	unsigned arrived;        /* lock */
	unsigned inside, most;   /* lock */
};

static inline struct gate *gate_of(struct supafs_layer *l)
{
	return (struct gate *)(void *)l;
}

static inline int gate_before(struct supafs_layer *l, struct supafs_layer_op *o)
{
	const struct supafs_clock *clock = supafs_clock_system();
	struct gate *g = gate_of(l);
	int r = 0;

	if (o->op != SUPAFS_OP_PUT)
		return 0;
	SUPAFS_SCOPED_LOCK(&g->lock);
	if (++g->inside > g->most)
		g->most = g->inside;
	supafs_cond_broadcast(&g->cond);
	while (g->closed && r == 0) {
		(void)supafs_cond_wait_until(
			&g->cond, &g->lock, clock->mono_ns(clock) + SUPAFS_NS_PER_MS);
		r = supafs_call_check(o->call);
	}
	g->inside--;
	if (r != 0)
		*o->fault = (struct supafs_fault){
			.class = SUPAFS_FAULT_PERMANENT, .retry_after_ms = -1};
	return r;
}

static inline int gate_after(struct supafs_layer *l, struct supafs_layer_op *o, int r)
{
	const struct supafs_clock *clock = supafs_clock_system();
	struct gate *g = gate_of(l);

	if (o->op != SUPAFS_OP_PUT || r != 0)
		return r;
	SUPAFS_SCOPED_LOCK(&g->lock);
	g->arrived++;
	while (g->silent && r == 0) {
		(void)supafs_cond_wait_until(
			&g->cond, &g->lock, clock->mono_ns(clock) + SUPAFS_NS_PER_MS);
		r = supafs_call_check(o->call);
	}
	return r;
}

static inline void gate_fini(struct supafs_layer *l)
{
	supafs_cond_fini(&gate_of(l)->cond);
	supafs_mutex_fini(&gate_of(l)->lock);
}

static const struct supafs_layer_hooks gate_hooks = {gate_before, gate_after, gate_fini};
static const struct supafs_store_ops gate_ops = SUPAFS_LAYER_OPS("gate");

static inline struct supafs_store *gate_new(struct supafs_store *inner)
{
	struct gate *g = calloc(1, sizeof(*g));

	assert_non_null(g);
	g->layer = (struct supafs_layer){{&gate_ops}, inner, &gate_hooks};
	supafs_mutex_init(&g->lock);
	supafs_cond_init(&g->cond);
	return &g->layer.base;
}

static inline struct gate *the_gate(struct fx *x)
{
	return (struct gate *)(void *)x->top;
}

static inline void shut(struct fx *x, bool closed)
{
	struct gate *g = the_gate(x);

	SUPAFS_SCOPED_LOCK(&g->lock);
	g->closed = closed;
	supafs_cond_broadcast(&g->cond);
}

static inline void silence(struct fx *x)
{
	struct gate *g = the_gate(x);

	SUPAFS_SCOPED_LOCK(&g->lock);
	g->silent = true;
}

static inline void await_arrival(struct fx *x)
{
	const struct supafs_clock *clock = supafs_clock_system();
	const int64_t until = clock->mono_ns(clock) + 20 * SUPAFS_NS_PER_S;
	struct gate *g = the_gate(x);

	SUPAFS_SCOPED_LOCK(&g->lock);
	while (g->arrived == 0) {
		(void)supafs_cond_wait_until(
			&g->cond, &g->lock, clock->mono_ns(clock) + SUPAFS_NS_PER_MS);
		assert_true(clock->mono_ns(clock) < until);
	}
}

/* Until so many uploads stand before the gate. */
static inline void await(struct fx *x, unsigned n)
{
	const struct supafs_clock *clock = supafs_clock_system();
	const int64_t until = clock->mono_ns(clock) + 20 * SUPAFS_NS_PER_S;
	struct gate *g = the_gate(x);

	SUPAFS_SCOPED_LOCK(&g->lock);
	while (g->inside != n) {
		(void)supafs_cond_wait_until(
			&g->cond, &g->lock, clock->mono_ns(clock) + SUPAFS_NS_PER_MS);
		assert_true(clock->mono_ns(clock) < until);
	}
}

/* --- Set-up --------------------------------------------------------------------------------------
 */

__attribute__((unused)) static const struct fx_config back = {
	.ttl_ms = UINT64_MAX, .journal = true, .writeback = true, .uploads = 4, .wrap = gate_new};
__attribute__((unused)) static const struct fx_config through = {
	.ttl_ms = UINT64_MAX, .journal = true, .uploads = 4, .wrap = gate_new};
__attribute__((unused)) static const struct fx_config readonly = {
	.ttl_ms = UINT64_MAX, .journal = true, .read_only = true, .uploads = 4, .wrap = gate_new};

static inline int setup_back(void **state)
{
	*state = fx_new(&back);
	return 0;
}

static inline int setup_through(void **state)
{
	*state = fx_new(&through);
	return 0;
}

static inline int teardown(void **state)
{
	shut(*state, false); /* after a failure */
	assert_int_equal(fx_free(*state), 0);
	return 0;
}

/* --- What is pending -----------------------------------------------------------------------------
 */

struct listing {
	char text[1024]; /* "path:state:size:tries:error," sorted by nothing */
	uint64_t id;     /* of the last one */
	unsigned n;
};

static inline int list_one(void *ctx, const struct supafs_pending *p)
{
	struct listing *l = ctx;
	const size_t at = strlen(l->text);

	(void)snprintf(l->text + at, sizeof(l->text) - at, "%s:%s:%" PRIu64 ":%u:%d,", p->path,
		p->state, p->size, p->tries, p->error);
	assert_true(p->since_ns > 0);
	l->id = p->id;
	l->n++;
	return 0;
}

static inline struct listing pending(struct fx *x)
{
	struct listing l = {.text = ""};

	assert_int_equal(supafs_vfs_pending(x->v, list_one, &l), 0);
	return l;
}

/* Until what is pending begins like that. */
static inline struct listing await_beginning(struct fx *x, const char *text)
{
	const struct supafs_clock *clock = supafs_clock_system();
	const int64_t until = clock->mono_ns(clock) + 20 * SUPAFS_NS_PER_S;
	struct listing l = pending(x);

	while (strncmp(l.text, text, strlen(text)) != 0) {
		assert_true(clock->mono_ns(clock) < until);
		(void)sched_yield();
		l = pending(x);
	}
	return l;
}

/* Until that is what is pending. */
static inline void await_pending(struct fx *x, const char *text)
{
	const struct supafs_clock *clock = supafs_clock_system();
	const int64_t until = clock->mono_ns(clock) + 20 * SUPAFS_NS_PER_S;
	struct listing l;

	do {
		(void)sched_yield();
		l = pending(x);
		if (clock->mono_ns(clock) >= until)
			assert_string_equal(l.text, text);
	} while (strcmp(l.text, text) != 0);
}

static inline int flush_all(struct fx *x, struct supafs_flush_state *st)
{
	return supafs_vfs_flush_all(x->v, &x->call, NULL, NULL, st);
}

static inline void fail_passing(struct fx *x, enum supafs_op op, unsigned times, int error)
{
	const struct supafs_faulty_rule rule = {.op = op,
		.times = times,
		.error = error,
		.fault = {.class = SUPAFS_FAULT_TRANSIENT,
			.status = 503,
			.retry_after_ms = -1,
			.text = "away"}};

	supafs_store_faulty_add(x->faulty, &rule);
}

/* The server has done it, and the answer was lost. */
static inline void lose_answer(struct fx *x, enum supafs_op op, int error)
{
	const struct supafs_faulty_rule rule = {.op = op,
		.times = 1,
		.after = true,
		.error = error,
		.fault = {
			.class = SUPAFS_FAULT_TRANSIENT, .ambiguous = true, .retry_after_ms = -1}};

	supafs_store_faulty_add(x->faulty, &rule);
}

#define BACK(f)    cmocka_unit_test_setup_teardown(f, setup_back, teardown)
#define THROUGH(f) cmocka_unit_test_setup_teardown(f, setup_through, teardown)
