/* SPDX-License-Identifier: Apache-2.0 */
/* The retry layer on a clock that moves only by its own waits. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "supafs/util/cleanup.h"

#include "layer_priv.h"
#include "unit.h"

#define MS      SUPAFS_NS_PER_MS
#define F(name) SUPAFS_FAULT_##name

/* memory → cut (gets break after some bytes, keys that may not be deleted) → faulty → stats →
 * retry: the counts are those of tries. */
struct cut {
	struct supafs_layer layer;
	uint64_t bytes; /* of each get, then it breaks; 0: never */
	unsigned times;
	const char *undeletable;
	char *replace_with; /* content put in place when a get breaks */
};

struct bench {
	struct supafs_fake_clock clock;
	struct cut *cut;
	struct supafs_store *faulty, *stats, *s;
	struct supafs_call call;
	struct supafs_fault f;
};

static const struct supafs_retry_config usual = {
	.seed = 7,
	.max_attempts = 5,
	.base_ms = 100,
	.cap_ms = 1000,
	.budget = 0,
	.budget_burst = 100,
};

static ssize_t text_pread(void *ctx, void *buf, size_t n, uint64_t off)
{
	memcpy(buf, (const char *)ctx + off, n);
	return (ssize_t)n;
}

struct cut_sink {
	struct supafs_sink outer;
	uint64_t left;
	bool broke;
};

static int cut_write(void *ctx, const void *p, size_t n)
{
	struct cut_sink *c = ctx;
	size_t take = n < c->left ? n : (size_t)c->left;
	int r = take > 0 ? c->outer.write(c->outer.ctx, p, take) : 0;

	if (r < 0)
		return r;
	c->left -= take;
	c->broke = take < n;
	return c->broke ? -ECONNRESET : 0;
}

static void replace(struct cut *c, struct supafs_call *call, struct supafs_str key)
{
	const struct supafs_put_args a = {
		.key = key,
		.size = strlen(c->replace_with),
		.pread = text_pread,
		.ctx = c->replace_with,
	};
	struct supafs_fault fault;
	unsigned char id[16];

	assert_int_equal(c->layer.inner->ops->put(c->layer.inner, call, &a, id, &fault), 0);
}

static int cut_get(struct supafs_store *s, struct supafs_call *call,
	const struct supafs_get_args *args, struct supafs_fault *fault)
{
	struct cut *c = (struct cut *)(void *)s;
	struct cut_sink sink = {.outer = args->sink, .left = c->bytes};
	struct supafs_get_args part = *args;
	int r;

	if (c->times == 0)
		return c->layer.inner->ops->get(c->layer.inner, call, args, fault);
	c->times--;
	part.sink = (struct supafs_sink){cut_write, &sink};
	r = c->layer.inner->ops->get(c->layer.inner, call, &part, fault);
	if (sink.broke && c->replace_with)
		replace(c, call, args->key);
	if (sink.broke)
		*fault = (struct supafs_fault){.class = F(TRANSIENT), .code = "Broken"};
	return r;
}

static int cut_remove_many(struct supafs_store *s, struct supafs_call *call,
	const struct supafs_str *keys, size_t n, bool *ret_gone, struct supafs_fault *fault)
{
	struct cut *c = (struct cut *)(void *)s;
	struct supafs_str some[SUPAFS_DELETE_BATCH];

	for (size_t i = 0; i < n; i++) {
		bool denied =
			c->undeletable && supafs_str_eq(keys[i], supafs_str_of(c->undeletable));
		some[i] = denied ? SUPAFS_STR("no such key") : keys[i];
	}
	return c->layer.inner->ops->remove_many(c->layer.inner, call, some, n, ret_gone, fault);
}

static int pass_before(struct supafs_layer *l, struct supafs_layer_op *o)
{
	(void)l;
	(void)o;
	return 0;
}

static int pass_after(struct supafs_layer *l, struct supafs_layer_op *o, int r)
{
	(void)l;
	(void)o;
	return r;
}

static const struct supafs_layer_hooks cut_hooks = {pass_before, pass_after, NULL};
static const struct supafs_store_ops cut_ops = {
	.name = "cut",
	.probe = supafs_layer_probe,
	.list = supafs_layer_list,
	.info = supafs_layer_info,
	.get = cut_get,
	.put = supafs_layer_put,
	.remove = supafs_layer_remove,
	.remove_many = cut_remove_many,
	.copy = supafs_layer_copy,
	.move = supafs_layer_move,
	.capabilities = supafs_layer_capabilities,
	.free = supafs_layer_free,
};

static void begin(struct bench *b, const struct supafs_retry_config *cfg, uint64_t timeout_ms)
{
	struct supafs_retry_config c = *cfg;

	memset(b, 0, sizeof(*b));
	supafs_fake_clock_init(&b->clock, 1000 * MS, 1700000000 * SUPAFS_NS_PER_S);
	b->cut = calloc(1, sizeof(*b->cut));
	assert_non_null(b->cut);
	b->cut->layer = (struct supafs_layer){{&cut_ops}, NULL, &cut_hooks};
	assert_int_equal(supafs_store_new_memory(&b->clock.base, &b->cut->layer.inner), 0);
	assert_int_equal(supafs_store_new_faulty(&b->cut->layer.base, &b->faulty), 0);
	assert_int_equal(supafs_store_new_stats(&b->clock.base, b->faulty, &b->stats), 0);
	c.clock = &b->clock.base;
	assert_int_equal(supafs_store_new_retry(&c, b->stats, &b->s), 0);
	supafs_call_init(&b->call, &b->clock.base, timeout_ms);
}

static void end(struct bench *b)
{
	supafs_call_fini(&b->call);
	(void)supafs_store_free(b->s);
}

static void fail_next(struct bench *b, enum supafs_op op, unsigned times, int error,
	enum supafs_fault_class class)
{
	const struct supafs_faulty_rule rule = {
		.op = op,
		.times = times,
		.error = error,
		.fault = {.class = class, .retry_after_ms = -1, .code = "Made"},
	};

	supafs_store_faulty_add(b->faulty, &rule);
}

/* The next operation of the kind loses its answer: done or not. */
static void lose_next(struct bench *b, enum supafs_op op, bool done, unsigned skip)
{
	const struct supafs_faulty_rule rule = {
		.op = op,
		.skip = skip,
		.times = 1,
		.after = done,
		.error = -ECONNRESET,
		.fault = {.class = F(TRANSIENT), .ambiguous = true, .retry_after_ms = -1},
	};

	supafs_store_faulty_add(b->faulty, &rule);
}

static uint64_t tries(struct bench *b, enum supafs_op op)
{
	struct supafs_op_stats ops[SUPAFS_OP__COUNT];

	supafs_store_stats_read(b->stats, ops);
	return ops[op].count;
}

static int64_t now_ms(struct bench *b)
{
	return b->clock.base.mono_ns(&b->clock.base) / MS;
}

static int info(struct bench *b, const char *key, struct supafs_info *ret)
{
	struct supafs_info i;

	return b->s->ops->info(b->s, &b->call, supafs_str_of(key), ret ? ret : &i, &b->f);
}

static int put(
	struct bench *b, const char *key, const char *text, bool exclusive, unsigned char id[16])
{
	char copy[64];
	const struct supafs_put_args a = {
		.key = supafs_str_of(key),
		.size = strlen(text),
		.pread = text_pread,
		.ctx = copy,
		.exclusive = exclusive,
	};
	unsigned char ignored[16];

	(void)snprintf(copy, sizeof(copy), "%s", text);
	return b->s->ops->put(b->s, &b->call, &a, id ? id : ignored, &b->f);
}

/* --- When to repeat, when to stop ---------------------------------------------------------------
 */

static void test_transient(void **state)
{
	struct bench b;

	(void)state;
	begin(&b, &usual, 0);
	assert_int_equal(put(&b, "k", "x", false, NULL), 0);
	assert_int_equal(b.f.attempts, 1);
	fail_next(&b, SUPAFS_OP_INFO, 3, -EIO, F(TRANSIENT));
	assert_int_equal(info(&b, "k", NULL), 0);
	assert_int_equal(tries(&b, SUPAFS_OP_INFO), 4);
	assert_int_equal(b.f.attempts, 4);
	/* waits below 100, 200, 400 */
	assert_true(now_ms(&b) > 1000 && now_ms(&b) < 1700);
	end(&b);
}

static void test_other_classes(void **state)
{
	struct bench b;

	(void)state;
	for (int class = F(NONE); class < F(_COUNT); class ++) {
		uint64_t want = 1;
		begin(&b, &usual, 0);
		if (class == F(TRANSIENT) || class == F(THROTTLED) || class == F(RACE))
			want = 5;
		fail_next(&b, SUPAFS_OP_INFO, 100, -EIO, (enum supafs_fault_class) class);
		assert_int_equal(info(&b, "k", NULL), -EIO);
		assert_int_equal(tries(&b, SUPAFS_OP_INFO), want);
		assert_int_equal(b.f.attempts, want);
		assert_string_equal(b.f.code, "Made");
		assert_int_equal(now_ms(&b) > 1000, want > 1);
		end(&b);
	}
}

static void test_race_at_most_five(void **state)
{
	struct supafs_retry_config cfg = usual;
	struct bench b;

	(void)state;
	cfg.max_attempts = 0;
	begin(&b, &cfg, 0);
	fail_next(&b, SUPAFS_OP_INFO, 100, -EIO, F(RACE));
	assert_int_equal(info(&b, "k", NULL), -EIO);
	assert_int_equal(tries(&b, SUPAFS_OP_INFO), 6);
	end(&b);
}

static void test_backoff_is_capped(void **state)
{
	struct supafs_retry_config cfg = usual;
	struct bench b;
	int64_t first;

	(void)state;
	cfg.max_attempts = 70; /* the exponent alone would be past 64 bits */
	begin(&b, &cfg, 0);
	fail_next(&b, SUPAFS_OP_INFO, 100, -EIO, F(TRANSIENT));
	assert_int_equal(info(&b, "k", NULL), -EIO);
	assert_int_equal(tries(&b, SUPAFS_OP_INFO), 70);
	first = now_ms(&b);
	/* 69 waits, nearly all below 1000 ms and of 500 on average */
	assert_true(first > 1000 + 66 * 350 && first < 1000 + 66 * 650);
	end(&b);
	/* the same seed waits the same, another one does not */
	begin(&b, &cfg, 0);
	fail_next(&b, SUPAFS_OP_INFO, 100, -EIO, F(TRANSIENT));
	assert_int_equal(info(&b, "k", NULL), -EIO);
	assert_int_equal(now_ms(&b), first);
	end(&b);
	cfg.seed = 8;
	begin(&b, &cfg, 0);
	fail_next(&b, SUPAFS_OP_INFO, 100, -EIO, F(TRANSIENT));
	assert_int_equal(info(&b, "k", NULL), -EIO);
	assert_int_not_equal(now_ms(&b), first);
	end(&b);
}

static void test_retry_after(void **state)
{
	const struct supafs_faulty_rule rule = {
		.op = SUPAFS_OP_INFO,
		.times = 1,
		.error = -EIO,
		.fault = {.class = F(THROTTLED), .retry_after_ms = 7000},
	};
	struct bench b;

	(void)state;
	begin(&b, &usual, 60000);
	supafs_store_faulty_add(b.faulty, &rule);
	assert_int_equal(info(&b, "k", NULL), -ENOENT);
	assert_int_equal(now_ms(&b), 8000);
	end(&b);
	/* longer than the call has: the error comes at once, not at the deadline */
	begin(&b, &usual, 5000);
	supafs_store_faulty_add(b.faulty, &rule);
	assert_int_equal(info(&b, "k", NULL), -EIO);
	assert_int_equal(now_ms(&b), 1000);
	assert_int_equal(tries(&b, SUPAFS_OP_INFO), 1);
	end(&b);
}

static void test_deadline(void **state)
{
	struct supafs_retry_config cfg = usual;
	struct bench b;

	(void)state;
	cfg.max_attempts = 0;
	begin(&b, &cfg, 10000);
	fail_next(&b, SUPAFS_OP_INFO, 10000, -ECONNREFUSED, F(TRANSIENT));
	assert_int_equal(info(&b, "k", NULL), -ECONNREFUSED); /* the true reason stands */
	assert_true(now_ms(&b) > 1000 + 8500 && now_ms(&b) < 11000);
	end(&b);
}

static void test_cancelled(void **state)
{
	struct bench b;

	(void)state;
	begin(&b, &usual, 0);
	fail_next(&b, SUPAFS_OP_INFO, 3, -EIO, F(TRANSIENT));
	supafs_call_cancel(&b.call);
	assert_int_equal(info(&b, "k", NULL), -EIO);
	assert_int_equal(tries(&b, SUPAFS_OP_INFO), 1);
	end(&b);
}

static int64_t failing_info_ms(struct bench *b)
{
	const int64_t began = now_ms(b);

	assert_int_equal(info(b, "k", NULL), -EIO);
	assert_int_equal(b->f.attempts, 5);
	return now_ms(b) - began;
}

/* An outage: after the burst is spent, there are only long pauses; each operation earns a part of a
 * quick retry again. */
static void test_budget(void **state)
{
	struct supafs_retry_config cfg = usual;
	struct bench b;

	(void)state;
	cfg.base_ms = 1;
	cfg.budget = 0.25;
	cfg.budget_burst = 6;
	begin(&b, &cfg, 0);
	assert_int_equal(put(&b, "k", "x", false, NULL), 0);
	fail_next(&b, SUPAFS_OP_INFO, 25, -EIO, F(TRANSIENT));
	assert_in_range(failing_info_ms(&b), 0, 20);      /* 4 retries of the 6 */
	assert_in_range(failing_info_ms(&b), 1000, 2020); /* 2, and 2 without */
	assert_in_range(failing_info_ms(&b), 2000, 4000);
	assert_in_range(failing_info_ms(&b), 2000, 4000);
	assert_in_range(failing_info_ms(&b), 1500, 3010); /* four operations earned one */
	assert_int_equal(info(&b, "k", NULL), 0);
	end(&b);
}

static int count_entry(void *ctx, const struct supafs_entry *e)
{
	*(unsigned *)ctx += e->key.n > 0;
	return 0;
}

static void test_list(void **state)
{
	unsigned entries = 0;
	const struct supafs_list_args a = {.limit = 1, .on_entry = count_entry, .ctx = &entries};
	struct supafs_cursor cursor = {0};
	bool more = true;
	struct bench b;

	(void)state;
	begin(&b, &usual, 0);
	assert_int_equal(put(&b, "a", "x", false, NULL), 0);
	assert_int_equal(put(&b, "b", "x", false, NULL), 0);
	fail_next(&b, SUPAFS_OP_LIST, 2, -EIO, F(TRANSIENT));
	while (more)
		assert_int_equal(b.s->ops->list(b.s, &b.call, &a, &cursor, &more, &b.f), 0);
	assert_int_equal(entries, 2);
	end(&b);
}

/* --- get ----------------------------------------------------------------------------------------
 */

struct text {
	char p[64];
	size_t n;
};

static int text_write(void *ctx, const void *p, size_t n)
{
	struct text *t = ctx;

	assert_true(t->n + n < sizeof(t->p));
	memcpy(t->p + t->n, p, n);
	t->n += n;
	return 0;
}

static int get(struct bench *b, const struct supafs_version *v, uint64_t offset, uint64_t length,
	struct text *t)
{
	const struct supafs_get_args a = {
		.key = SUPAFS_STR("k"),
		.offset = offset,
		.length = length,
		.version = v,
		.sink = {text_write, t},
	};

	*t = (struct text){.n = 0};
	return b->s->ops->get(b->s, &b->call, &a, &b->f);
}

static void test_get_goes_on(void **state)
{
	struct supafs_version v = {.size = 20};
	struct text t;
	struct bench b;

	(void)state;
	begin(&b, &usual, 0);
	assert_int_equal(put(&b, "k", "abcdefghijklmnopqrst", false, NULL), 0);
	/* more breaks than max_attempts: each got further, so each counts from one */
	b.cut->bytes = 2;
	b.cut->times = 100;
	assert_int_equal(get(&b, &v, 1, 18, &t), 0);
	assert_string_equal(t.p, "bcdefghijklmnopqrs");
	assert_int_equal(tries(&b, SUPAFS_OP_GET), 9);
	/* no progress at all */
	b.cut->bytes = 0;
	b.cut->times = 100;
	assert_int_equal(get(&b, &v, 0, 20, &t), -ECONNRESET);
	assert_int_equal(b.f.attempts, 5);
	assert_int_equal(t.n, 0);
	end(&b);
}

/* Between two tries the object was replaced by one as long: what came first pins the version, also
 * when the caller had none. */
static void test_get_stays_with_version(void **state)
{
	const struct supafs_version v = {.size = 6};
	char other[] = "ghijkl";
	struct text t;
	struct bench b;

	(void)state;
	begin(&b, &usual, 0);
	assert_int_equal(put(&b, "k", "abcdef", false, NULL), 0);
	b.cut->bytes = 3;
	b.cut->times = 1;
	b.cut->replace_with = other;
	assert_int_equal(get(&b, &v, 0, 6, &t), -ESTALE);
	assert_string_equal(t.p, "abc");
	assert_int_equal(tries(&b, SUPAFS_OP_GET), 2);
	end(&b);
}

/* --- Ambiguous writes ---------------------------------------------------------------------------
 */

static void test_put_done(void **state)
{
	struct supafs_info i;
	unsigned char id[16];
	struct bench b;

	(void)state;
	begin(&b, &usual, 0);
	lose_next(&b, SUPAFS_OP_PUT, true, 0);
	assert_int_equal(put(&b, "k", "new", false, id), 0);
	assert_int_equal(tries(&b, SUPAFS_OP_PUT), 1); /* looked at, not sent again */
	assert_int_equal(tries(&b, SUPAFS_OP_INFO), 1);
	assert_int_equal(info(&b, "k", &i), 0);
	assert_memory_equal(id, i.version.id, 16);
	assert_int_equal(i.version.size, 3);
	end(&b);
}

static void test_put_not_done(void **state)
{
	struct supafs_info i;
	struct bench b;

	(void)state;
	begin(&b, &usual, 0);
	assert_int_equal(put(&b, "k", "the old one", false, NULL), 0);
	lose_next(&b, SUPAFS_OP_PUT, false, 0);
	fail_next(&b, SUPAFS_OP_INFO, 2, -EIO, F(TRANSIENT)); /* the look fails, too */
	assert_int_equal(put(&b, "k", "new", false, NULL), 0);
	assert_int_equal(tries(&b, SUPAFS_OP_PUT), 3);
	assert_int_equal(tries(&b, SUPAFS_OP_INFO), 3);
	assert_int_equal(info(&b, "k", &i), 0);
	assert_int_equal(i.version.size, 3);
	end(&b);
	/* not ambiguous: nothing to look at */
	begin(&b, &usual, 0);
	fail_next(&b, SUPAFS_OP_PUT, 2, -EIO, F(TRANSIENT));
	assert_int_equal(put(&b, "k", "new", false, NULL), 0);
	assert_int_equal(tries(&b, SUPAFS_OP_PUT), 3);
	assert_int_equal(tries(&b, SUPAFS_OP_INFO), 0);
	end(&b);
}

static void test_put_exclusive(void **state)
{
	const struct supafs_faulty_rule late = {
		.op = SUPAFS_OP_PUT,
		.times = 1,
		.after = true,
		.error = -EEXIST,
		.fault = {.class = F(CONFLICT), .code = "KeyAlreadyExists"},
	};
	unsigned char id[16];
	struct bench b;

	(void)state;
	begin(&b, &usual, 0);
	lose_next(&b, SUPAFS_OP_PUT, true, 0);
	assert_int_equal(put(&b, "k", "mine", true, id), 0);
	assert_int_equal(tries(&b, SUPAFS_OP_PUT), 1);
	end(&b);
	/* the first try is committed only after we looked: the second one meets it */
	begin(&b, &usual, 0);
	lose_next(&b, SUPAFS_OP_PUT, false, 0);
	supafs_store_faulty_add(b.faulty, &late);
	assert_int_equal(put(&b, "k", "mine", true, id), 0);
	assert_int_equal(tries(&b, SUPAFS_OP_PUT), 2);
	end(&b);
	/* somebody else's */
	begin(&b, &usual, 0);
	assert_int_equal(put(&b, "k", "theirs", false, NULL), 0);
	assert_int_equal(put(&b, "k", "mine", true, NULL), -EEXIST);
	lose_next(&b, SUPAFS_OP_PUT, false, 0);
	assert_int_equal(put(&b, "k", "mine", true, NULL), -EEXIST);
	assert_string_equal(b.f.code, "KeyAlreadyExists");
	assert_int_equal(b.f.class, F(CONFLICT));
	end(&b);
}

/* The first answer is lost, then the server is away: what a later try says for sure does not make
 * the first one undone. */
static void test_stays_ambiguous(void **state)
{
	struct supafs_info i;
	struct bench b;

	(void)state;
	begin(&b, &usual, 0);
	lose_next(&b, SUPAFS_OP_PUT, true, 0);
	fail_next(&b, SUPAFS_OP_INFO, 5, -ECONNREFUSED, F(TRANSIENT)); /* the look */
	assert_int_equal(put(&b, "k", "mine", true, NULL), -ECONNREFUSED);
	assert_int_equal(tries(&b, SUPAFS_OP_PUT), 1);
	assert_true(b.f.ambiguous);
	end(&b);
	begin(&b, &usual, 0);
	lose_next(&b, SUPAFS_OP_PUT, false, 0);
	fail_next(&b, SUPAFS_OP_PUT, 5, -ECONNREFUSED, F(TRANSIENT));
	assert_int_equal(put(&b, "k", "mine", true, NULL), -ECONNREFUSED);
	assert_true(b.f.ambiguous);
	/* the next operation starts anew */
	assert_int_equal(info(&b, "k", &i), -ENOENT);
	assert_false(b.f.ambiguous);
	end(&b);
}

static void test_remove(void **state)
{
	struct bench b;

	(void)state;
	begin(&b, &usual, 0);
	assert_int_equal(put(&b, "k", "x", false, NULL), 0);
	lose_next(&b, SUPAFS_OP_REMOVE, true, 0);
	assert_int_equal(b.s->ops->remove(b.s, &b.call, SUPAFS_STR("k"), &b.f), 0);
	assert_int_equal(tries(&b, SUPAFS_OP_REMOVE), 2);
	assert_int_equal(b.s->ops->remove(b.s, &b.call, SUPAFS_STR("k"), &b.f), -ENOENT);
	/* failed, but surely not done: missing means missing */
	fail_next(&b, SUPAFS_OP_REMOVE, 1, -EIO, F(TRANSIENT));
	assert_int_equal(b.s->ops->remove(b.s, &b.call, SUPAFS_STR("k"), &b.f), -ENOENT);
	end(&b);
}

/* `n` keys, the answer lost after the work; one that the server does not let go. */
static void remove_many(unsigned n, unsigned others, uint64_t want_infos)
{
	char names[SUPAFS_DELETE_BATCH][16];
	struct supafs_str keys[SUPAFS_DELETE_BATCH];
	bool gone[SUPAFS_DELETE_BATCH];
	struct bench b;

	begin(&b, &usual, 0);
	for (unsigned i = 0; i < others; i++) {
		char key[32];
		(void)snprintf(key, sizeof(key), "dir/f00-%05u", i);
		assert_int_equal(put(&b, key, "", false, NULL), 0);
	}
	for (unsigned i = 0; i < n; i++) {
		/* not in order */
		(void)snprintf(names[i], sizeof(names[i]), "dir/f%03u", (i * 7) % n);
		keys[i] = supafs_str_of(names[i]);
		assert_int_equal(put(&b, names[i], "", false, NULL), 0);
	}
	b.cut->undeletable = "dir/f001";
	lose_next(&b, SUPAFS_OP_REMOVE_MANY, true, 0);
	assert_int_equal(b.s->ops->remove_many(b.s, &b.call, keys, n, gone, &b.f), 0);
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(gone[i], strcmp(names[i], "dir/f001") != 0);
	assert_int_equal(tries(&b, SUPAFS_OP_INFO), want_infos);
	end(&b);
}

static void test_remove_many(void **state)
{
	(void)state;
	remove_many(3, 0, 3);      /* few: one by one */
	remove_many(60, 0, 0);     /* many: by a listing */
	remove_many(10, 2500, 10); /* too much to list */
}

static int copy(
	struct bench *b, const char *from, const char *to, bool replace, struct supafs_entry *e)
{
	const struct supafs_copy_args a = {
		.from = supafs_str_of(from), .to = supafs_str_of(to), .replace = replace};

	return b->s->ops->copy(b->s, &b->call, &a, e, &b->f);
}

static void test_copy(void **state)
{
	struct supafs_entry e;
	struct supafs_info i;
	struct bench b;

	(void)state;
	begin(&b, &usual, 0);
	assert_int_equal(put(&b, "a", "content", false, NULL), 0);
	lose_next(&b, SUPAFS_OP_COPY, true, 0);
	assert_int_equal(copy(&b, "a", "b", false, &e), 0);
	assert_int_equal(tries(&b, SUPAFS_OP_COPY), 2);
	assert_int_equal(info(&b, "b", &i), 0);
	assert_true(supafs_version_same(&e.version, &i.version));
	assert_memory_equal(e.version.id, i.version.id, 16);
	/* the target was there, with other content, before our first try */
	assert_int_equal(put(&b, "c", "other", false, NULL), 0);
	lose_next(&b, SUPAFS_OP_COPY, false, 0);
	assert_int_equal(copy(&b, "a", "c", false, &e), -EEXIST);
	assert_string_equal(b.f.code, "KeyAlreadyExists");
	/* the same content by another upload is not ours either */
	assert_int_equal(put(&b, "d", "content", false, NULL), 0);
	lose_next(&b, SUPAFS_OP_COPY, false, 0);
	assert_int_equal(copy(&b, "a", "d", false, &e), -EEXIST);
	/* with replace it is simply done again */
	lose_next(&b, SUPAFS_OP_COPY, true, 0);
	assert_int_equal(copy(&b, "a", "c", true, &e), 0);
	assert_int_equal(info(&b, "c", &i), 0);
	assert_int_equal(i.version.size, 7);
	end(&b);
}

static void test_copy_attrs(void **state)
{
	const struct supafs_put_args attrs = {.mime = SUPAFS_STR("text/x")};
	const struct supafs_copy_args a = {
		.from = SUPAFS_STR("a"), .to = SUPAFS_STR("b"), .attrs = &attrs};
	struct supafs_entry e;
	struct supafs_info i;
	struct bench b;

	(void)state;
	begin(&b, &usual, 0);
	assert_int_equal(put(&b, "a", "content", false, NULL), 0);
	lose_next(&b, SUPAFS_OP_COPY, true, 0);
	assert_int_equal(b.s->ops->copy(b.s, &b.call, &a, &e, &b.f), 0);
	assert_int_equal(info(&b, "b", &i), 0);
	assert_string_equal(i.mime, "text/x");
	end(&b);
}

static int move(struct bench *b, const char *from, const char *to)
{
	return b->s->ops->move(b->s, &b->call, supafs_str_of(from), supafs_str_of(to), &b->f);
}

static void test_move(void **state)
{
	struct bench b;

	(void)state;
	begin(&b, &usual, 0);
	assert_int_equal(put(&b, "a", "x", false, NULL), 0);
	lose_next(&b, SUPAFS_OP_MOVE, true, 0);
	assert_int_equal(move(&b, "a", "b"), 0);
	assert_int_equal(tries(&b, SUPAFS_OP_MOVE), 2);
	assert_int_equal(info(&b, "b", NULL), 0);
	/* neither here nor there */
	lose_next(&b, SUPAFS_OP_MOVE, false, 0);
	assert_int_equal(move(&b, "none", "nowhere"), -ENOENT);
	/* both are there: not ours */
	assert_int_equal(put(&b, "c", "y", false, NULL), 0);
	lose_next(&b, SUPAFS_OP_MOVE, false, 0);
	assert_int_equal(move(&b, "b", "c"), -EEXIST);
	assert_string_equal(b.f.code, "ResourceAlreadyExists");
	end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_transient),
		cmocka_unit_test(test_other_classes),
		cmocka_unit_test(test_race_at_most_five),
		cmocka_unit_test(test_backoff_is_capped),
		cmocka_unit_test(test_retry_after),
		cmocka_unit_test(test_deadline),
		cmocka_unit_test(test_cancelled),
		cmocka_unit_test(test_budget),
		cmocka_unit_test(test_list),
		cmocka_unit_test(test_get_goes_on),
		cmocka_unit_test(test_get_stays_with_version),
		cmocka_unit_test(test_put_done),
		cmocka_unit_test(test_put_not_done),
		cmocka_unit_test(test_put_exclusive),
		cmocka_unit_test(test_stays_ambiguous),
		cmocka_unit_test(test_remove),
		cmocka_unit_test(test_remove_many),
		cmocka_unit_test(test_copy),
		cmocka_unit_test(test_copy_attrs),
		cmocka_unit_test(test_move),
	};

	return cmocka_run_group_tests_name("store_retry", tests, NULL, NULL);
}
