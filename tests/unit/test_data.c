/* SPDX-License-Identifier: Apache-2.0 */
/* The data cache: every byte right in every pattern, and how many requests and bytes that took. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above */
#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data_fixture.h"

/* --- Patterns --------------------------------------------------------------------------------- */

static void sequential(struct fixture *f, uint64_t size, size_t n)
{
	struct supafs_content *c = fixture_content(f, "k", size, "\"1\"");
	struct supafs_stream *s = fixture_stream(c);

	for (uint64_t off = 0; off < size; off += n)
		fixture_read(f, s, off, n, size);
	fixture_read(f, s, size, n, size);
	supafs_stream_free(s);
	supafs_content_unref(c);
}

/* 64 MiB front to back: at most 12 gets, and no byte twice. */
static void test_sequential(void **state)
{
	static const size_t reads[] = {128U << 10, 4096, 1U << 20, 100000};
	static const size_t chunks[] = {16000, 16384, 1U << 20, 333333};
	struct fixture *f = *state;

	for (size_t i = 0; i < 4; i++) {
		struct supafs_str key = SUPAFS_STR("k");

		f->store.gets = 0;
		f->store.moved = 0;
		f->store.chunk = chunks[i];
		sequential(f, 64U << 20, reads[i]);
		assert_in_range(data_store_gets(&f->store), 2, 12);
		assert_int_equal(data_store_moved(&f->store), 64U << 20);
		supafs_data_drop(f->data, key);
	}
}

/* Where each get is dear, the second read in a row asks for the rest. */
static void test_slow_first_byte(void **state)
{
	struct fixture *f = *state;

	f->store.first_byte_ms = 150;
	sequential(f, 64U << 20, 131072);
	assert_in_range(data_store_gets(&f->store), 2, 3);
	assert_int_equal(data_store_moved(&f->store), 64U << 20);
}

static void test_small(void **state)
{
	static const uint64_t sizes[] = {0, 1, 4095, 131071, 131072, 131073, 300001};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		f->store.gets = 0;
		sequential(f, sizes[i], 5000);
		assert_in_range(data_store_gets(&f->store), 0, sizes[i] > 131072 ? 3 : 1);
	}
}

static void test_backwards(void **state)
{
	struct fixture *f = *state;
	const uint64_t size = (8U << 20) + 77;
	struct supafs_content *c = fixture_content(f, "k", size, "\"1\"");
	struct supafs_stream *s = fixture_stream(c);

	for (uint64_t off = size / 65536 * 65536;; off -= 65536) {
		fixture_read(f, s, off, 65536, size);
		if (off == 0)
			break;
	}
	/* a block a get, nothing ahead, nothing twice */
	assert_int_equal(data_store_moved(&f->store), size);
	assert_int_equal(data_store_gets(&f->store), (8U << 20) / SUPAFS_BLOCK_SIZE + 1);
	supafs_stream_free(s);
	supafs_content_unref(c);
}

static void test_strided(void **state)
{
	struct fixture *f = *state;
	const uint64_t size = UINT64_C(64) << 20;
	struct supafs_content *c = fixture_content(f, "k", size, "\"1\"");
	struct supafs_stream *s = fixture_stream(c);

	for (uint64_t off = 0; off < size; off += 1U << 20)
		fixture_read(f, s, off, 4096, size);
	assert_int_equal(data_store_gets(&f->store), 64);
	assert_int_equal(data_store_moved(&f->store), 64 * SUPAFS_BLOCK_SIZE);
	supafs_stream_free(s);
	supafs_content_unref(c);
}

/* 500 random 4 KiB reads of 1 GiB: one get of one block each. */
static void test_random(void **state)
{
	struct fixture *f = *state;
	const uint64_t size = UINT64_C(1) << 30;
	struct supafs_content *c = fixture_content(f, "k", size, "\"1\"");
	struct supafs_stream *s = fixture_stream(c);
	struct supafs_rng rng;

	supafs_rng_init(&rng, 1);
	for (unsigned i = 0; i < 500; i++)
		fixture_read(f, s, supafs_rng_below(&rng, size / 4096) * 4096, 4096, size);
	assert_in_range(data_store_gets(&f->store), 400, 510);
	assert_in_range(data_store_moved(&f->store), 0, 64U << 20);
	supafs_stream_free(s);
	supafs_content_unref(c);
}

/* Any offsets and lengths over a cache smaller than the object. */
static void test_any_reads(void **state)
{
	struct fixture *f = *state;
	const uint64_t size = (5U << 20) + 12345;
	struct supafs_content *c;
	struct supafs_stream *s;
	struct supafs_rng rng;

	fixture_data(f, 16 * SUPAFS_BLOCK_SIZE, 1U << 20, 4, 20000);
	c = fixture_content(f, "k", size, "\"1\"");
	s = fixture_stream(c);
	supafs_rng_init(&rng, 2);
	for (unsigned i = 0; i < 400; i++)
		fixture_read(f, s, supafs_rng_below(&rng, size + 5000),
			(size_t)supafs_rng_below(&rng, supafs_rng_below(&rng, 8) ? 9000 : 700000),
			size);
	supafs_stream_free(s);
	supafs_content_unref(c);
}

/* Four sequential streams in turn on one handle keep their windows. */
static void test_four_streams(void **state)
{
	struct fixture *f = *state;
	const uint64_t size = UINT64_C(64) << 20, part = size / 4;
	struct supafs_content *c = fixture_content(f, "k", size, "\"1\"");
	struct supafs_stream *s = fixture_stream(c);

	for (uint64_t off = 0; off < part; off += 65536)
		for (unsigned i = 0; i < 4; i++)
			fixture_read(f, s, i * part + off, 65536, size);
	assert_in_range(data_store_gets(&f->store), 4, 40);
	assert_in_range(data_store_moved(&f->store), size - size / 100, size + size / 8);
	supafs_stream_free(s);
	supafs_content_unref(c);
}

/* Random reads between a sequential stream's do not demote it. */
static void test_mixed(void **state)
{
	struct fixture *f = *state;
	const uint64_t size = UINT64_C(256) << 20;
	struct supafs_content *c = fixture_content(f, "k", size, "\"1\"");
	struct supafs_stream *s = fixture_stream(c);
	struct supafs_rng rng;
	unsigned others = 0;

	supafs_rng_init(&rng, 3);
	for (uint64_t off = 0; off < 32U << 20; off += 131072) {
		fixture_read(f, s, off, 131072, size);
		if (off % (1U << 20))
			continue;
		fixture_read(f, s, (64U << 20) + supafs_rng_below(&rng, 40000) * 4096, 4096, size);
		others++;
	}
	supafs_stream_free(s);
	assert_in_range(data_store_gets(&f->store), others, others + 12);
	supafs_content_unref(c);
}

/* --- Sharing ---------------------------------------------------------------------------------- */

struct reader {
	struct fixture *f;
	struct supafs_content *content;
	uint64_t size, seed;
	unsigned wrong;
	pthread_t thread;
};

static void *read_whole(void *ctx)
{
	struct reader *r = ctx;
	struct supafs_stream *s = fixture_stream(r->content);

	for (uint64_t off = 0; off < r->size; off += 100000)
		r->wrong += fixture_try(r->f, s, off, 100000, r->size) != 0;
	supafs_stream_free(s);
	return NULL;
}

static void *read_mixed(void *ctx)
{
	struct reader *r = ctx;
	struct supafs_stream *s = fixture_stream(r->content);
	struct supafs_rng rng;
	uint64_t off = 0;

	supafs_rng_init(&rng, r->seed);
	for (unsigned i = 0; i < 150; i++) {
		size_t n = (size_t)supafs_rng_below(&rng, 200000);

		if (supafs_rng_below(&rng, 10) == 0)
			off = supafs_rng_below(&rng, r->size);
		r->wrong += fixture_try(r->f, s, off, n, r->size) != 0;
		off += n;
	}
	supafs_stream_free(s);
	return NULL;
}

static void run_readers(struct reader *r, unsigned n, void *(*fn)(void *))
{
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(pthread_create(&r[i].thread, NULL, fn, &r[i]), 0);
	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(pthread_join(r[i].thread, NULL), 0);
		assert_int_equal(r[i].wrong, 0);
	}
}

/* 16 threads read all of one content: they share its windows. */
static void test_threads_together(void **state)
{
	struct fixture *f = *state;
	const uint64_t size = (16U << 20) + 5;
	struct supafs_content *c = fixture_content(f, "k", size, "\"1\"");
	struct reader r[16];

	for (unsigned i = 0; i < 16; i++)
		r[i] = (struct reader){.f = f, .content = c, .size = size};
	run_readers(r, 16, read_whole);
	assert_in_range(data_store_moved(&f->store), size, size + size / 4);
	supafs_content_unref(c);
}

static void test_threads_mixed(void **state)
{
	struct fixture *f = *state;
	const uint64_t size = (16U << 20) + 5;
	struct supafs_content *c;
	struct reader r[16];

	fixture_data(f, 32 * SUPAFS_BLOCK_SIZE, 1U << 20, 4, 20000);
	c = fixture_content(f, "k", size, "\"1\"");
	for (unsigned i = 0; i < 16; i++)
		r[i] = (struct reader){.f = f, .content = c, .size = size, .seed = i};
	run_readers(r, 16, read_mixed);
	supafs_content_unref(c);
}

/* 16 threads on one handle: the kernel's readahead does that. */
struct on_handle {
	struct fixture *f;
	struct supafs_stream *stream;
	_Atomic uint64_t next;
	uint64_t size;
	_Atomic unsigned wrong;
};

static void *take_parts(void *ctx)
{
	struct on_handle *h = ctx;

	for (;;) {
		uint64_t off = atomic_fetch_add(&h->next, 131072);

		if (off >= h->size)
			return NULL;
		h->wrong += fixture_try(h->f, h->stream, off, 131072, h->size) != 0;
	}
}

static void test_out_of_order(void **state)
{
	struct fixture *f = *state;
	struct supafs_content *c = fixture_content(f, "k", 64U << 20, "\"1\"");
	struct on_handle h = {.f = f, .stream = fixture_stream(c), .size = 64U << 20};
	pthread_t threads[4];

	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, take_parts, &h), 0);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(h.wrong, 0);
	assert_in_range(data_store_gets(&f->store), 2, 16);
	assert_int_equal(data_store_moved(&f->store), 64U << 20);
	supafs_stream_free(h.stream);
	supafs_content_unref(c);
}

/* A second open finds the blocks; so does one after the first has closed. */
static void test_idle_content(void **state)
{
	struct fixture *f = *state;
	struct supafs_content *c = fixture_content(f, "k", 100000, "\"1\""), *again;
	struct supafs_stream *s = fixture_stream(c);
	struct supafs_data_stats st;

	fixture_read(f, s, 0, 100000, 100000);
	again = fixture_content(f, "k", 100000, "\"1\"");
	assert_ptr_equal(again, c);
	supafs_content_unref(again);
	supafs_stream_free(s);
	supafs_content_unref(c);

	c = fixture_content(f, "k", 100000, "\"1\"");
	s = fixture_stream(c);
	fixture_read(f, s, 0, 100000, 100000);
	assert_int_equal(data_store_gets(&f->store), 1);
	supafs_data_stats(f->data, &st);
	assert_int_equal(st.bytes, 100000);
	assert_int_equal(st.hits, 1);
	assert_int_equal(st.misses, 1);
	supafs_stream_free(s);
	supafs_content_unref(c);
	/* another version, or none known, is another content */
	again = fixture_content(f, "k", 100000, "\"2\"");
	c = fixture_content(f, "k", 100000, "");
	assert_ptr_not_equal(again, c);
	supafs_content_unref(again);
	supafs_content_unref(c);
}

/* --- Memory ----------------------------------------------------------------------------------- */

struct memory_probe {
	struct supafs_data *data;
	_Atomic size_t most;
};

static void probe_memory(void *ctx)
{
	struct memory_probe *p = ctx;
	struct supafs_data_stats st;

	supafs_data_stats(p->data, &st);
	if (st.bytes > p->most)
		p->most = st.bytes;
}

/* 64 readers of as many objects, and never more than the limit. */
static void memory_bound(struct fixture *f, size_t memory, unsigned threads)
{
	struct memory_probe probe = {0};
	struct supafs_data_stats st;
	struct reader r[64];

	fixture_data(f, memory, 1U << 20, threads, 60000);
	probe.data = f->data;
	f->store.on_write_ctx = &probe;
	f->store.on_write = probe_memory;
	f->store.chunk = 40000;
	for (unsigned i = 0; i < 64; i++) {
		char key[16];

		snprintf(key, sizeof(key), "k%u", i);
		r[i] = (struct reader){.f = f, .size = 1000000 + i * 5000};
		r[i].content = fixture_content(f, key, r[i].size, "\"1\"");
	}
	run_readers(r, 64, read_whole);
	for (unsigned i = 0; i < 64; i++)
		supafs_content_unref(r[i].content);
	f->store.on_write = NULL;
	assert_in_range(probe.most, memory / 2, memory);
	supafs_data_stats(f->data, &st);
	assert_true(st.evicted > 0);
	assert_in_range(f->store.most_running, 1, threads);
}

static void test_memory_tight(void **state)
{
	memory_bound(*state, 8 * SUPAFS_BLOCK_SIZE, 16);
}

static void test_memory_some(void **state)
{
	memory_bound(*state, 100 * SUPAFS_BLOCK_SIZE + 4711, 4);
}

static void test_eviction(void **state)
{
	struct fixture *f = *state;
	struct supafs_data_stats st;

	fixture_data(f, 16 * SUPAFS_BLOCK_SIZE, 1U << 20, 4, 20000);
	sequential(f, 8U << 20, 65536);
	sequential(f, 8U << 20, 65536);
	supafs_data_stats(f->data, &st);
	assert_int_equal(st.bytes, 16 * SUPAFS_BLOCK_SIZE);
	assert_in_range(st.evicted, 100, 200);
	assert_in_range(data_store_moved(&f->store), 14U << 20, 17U << 20);
}

/* --- Limits ----------------------------------------------------------------------------------- */

static void test_refused_config(void **state)
{
	struct fixture *f = *state;
	struct supafs_data *d = NULL;
	struct supafs_data_config cfg = {.store = &f->store.base,
		.clock = supafs_clock_system(),
		.memory = 7 * SUPAFS_BLOCK_SIZE,
		.threads = 1};

	assert_int_equal(supafs_data_new(&cfg, &d), -EINVAL);
	cfg.memory = 8 * SUPAFS_BLOCK_SIZE;
	cfg.threads = 0;
	assert_int_equal(supafs_data_new(&cfg, &d), -EINVAL);
	assert_null(d);
	assert_null(supafs_data_free(NULL));
	assert_null(supafs_stream_free(NULL));
	assert_null(supafs_content_unref(NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_sequential, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(
			test_slow_first_byte, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_small, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_backwards, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_strided, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_random, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_any_reads, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_four_streams, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_mixed, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(
			test_threads_together, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(
			test_threads_mixed, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_out_of_order, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_idle_content, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_memory_tight, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_memory_some, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_eviction, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(
			test_refused_config, fixture_setup, fixture_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
