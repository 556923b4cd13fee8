/* SPDX-License-Identifier: Apache-2.0 */
/* The data cache without copies: views, what long readers leave behind, reads that run ahead. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above */
#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "supafs/util/clock.h"

#include "data_fixture.h"

#define MIB ((size_t)1 << 20)

static ssize_t view_at(struct supafs_stream *s, uint64_t timeout_ms, size_t n, uint64_t off,
	struct supafs_view *ret_view)
{
	struct supafs_fault fault;
	struct supafs_call call;
	ssize_t r;

	supafs_call_init(&call, supafs_clock_system(), timeout_ms);
	r = supafs_stream_view(s, &call, n, off, ret_view, &fault);
	supafs_call_fini(&call);
	return r;
}

/* What the view shows is what the object has at `off`. */
static bool right(const struct fixture *f, const struct supafs_view *v, uint64_t off, size_t n)
{
	size_t sum = 0;

	for (unsigned i = 0; i < v->n; i++) {
		if (data_store_check(
			    f->store.etag, off + sum, v->iov[i].iov_base, v->iov[i].iov_len) >= 0)
			return false;
		sum += v->iov[i].iov_len;
	}
	return sum == n;
}

/* Views, and where there can be none reads. 0 or -EBADMSG. */
static int take(struct fixture *f, struct supafs_stream *s, uint64_t off, size_t n, uint64_t size)
{
	size_t want = off >= size ? 0 : n < size - off ? n : (size_t)(size - off);
	struct supafs_view v = {0};
	ssize_t r = view_at(s, 30000, n, off, &v);
	bool ok = r == (ssize_t)want && right(f, &v, off, want);

	supafs_view_release(&v);
	if (r == -ENOBUFS)
		return fixture_try(f, s, off, n, size);
	return ok ? 0 : -EBADMSG;
}

static void test_bytes(void **state)
{
	static const struct {
		uint64_t off;
		size_t n;
		unsigned pieces;
	} rows[] = {
		{0, 1, 1},
		{131071, 2, 2},
		{1, 131072, 2},
		{262144, 131072, 1},
		{4711, MIB, 9},
		{2 * MIB, MIB, 8},
		{3 * MIB - 5, 5, 1},
		{3 * MIB + 10, 100, 1},
		{3 * MIB + 17, 1, 0},
		{4 * MIB, MIB, 0},
		{0, 0, 0},
	};
	const uint64_t size = 3 * MIB + 17;
	struct fixture *f = *state;
	struct supafs_content *c = fixture_content(f, "k", size, "\"1\"");
	struct supafs_stream *s = fixture_stream(c);

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint64_t left = rows[i].off < size ? size - rows[i].off : 0;
		size_t want = rows[i].n < left ? rows[i].n : (size_t)left;
		struct supafs_view v = {0};

		assert_int_equal(view_at(s, 30000, rows[i].n, rows[i].off, &v), want);
		assert_int_equal(v.n, rows[i].pieces);
		assert_true(right(f, &v, rows[i].off, want));
		supafs_view_release(&v);
		supafs_view_release(&v);
	}
	supafs_stream_free(s);
	supafs_content_unref(c);
}

/* At most nine pieces, and a quarter of the memory for all views. */
static void test_limits(void **state)
{
	struct fixture *f = *state;
	struct supafs_view a = {0}, b = {0};
	struct supafs_content *c;
	struct supafs_stream *s;

	fixture_data(f, 4 * MIB, MIB, 4, 20000);
	c = fixture_content(f, "k", 8 * MIB, "\"1\"");
	s = fixture_stream(c);
	assert_int_equal(view_at(s, 30000, MIB + 131072, 1, &a), -ENOBUFS);
	assert_null(a.data);
	assert_int_equal(view_at(s, 30000, MIB / 2, 0, &a), MIB / 2);
	assert_int_equal(view_at(s, 30000, MIB, MIB / 2, &b), -ENOBUFS);
	assert_int_equal(view_at(s, 30000, MIB / 2, MIB / 2, &b), MIB / 2);
	fixture_read(f, s, MIB, MIB, 8 * MIB); /* a copy is not bound by that */
	supafs_view_release(&a);
	assert_int_equal(view_at(s, 30000, MIB / 2, 2 * MIB, &a), MIB / 2);
	supafs_view_release(&a);
	supafs_view_release(&b);
	supafs_stream_free(s);
	supafs_content_unref(c);
}

/* A view outlives its handle, and the content's place in the cache. */
static void test_outlives(void **state)
{
	struct fixture *f = *state;
	struct supafs_content *c = fixture_content(f, "k", 300000, "\"1\"");
	struct supafs_stream *s = fixture_stream(c);
	struct supafs_data_stats st;
	struct supafs_view v = {0};

	assert_int_equal(view_at(s, 30000, 300000, 0, &v), 300000);
	supafs_stream_free(s);
	supafs_data_drop(f->data, SUPAFS_STR("k"));
	supafs_content_unref(c);
	supafs_data_stats(f->data, &st);
	assert_int_equal(st.bytes, 300000);
	assert_true(right(f, &v, 0, 300000));
	supafs_view_release(&v);
	supafs_data_stats(f->data, &st);
	assert_int_equal(st.bytes, 0);
}

/* An error in the middle gives back what was pinned before. */
static void test_error(void **state)
{
	struct fixture *f = *state;
	struct supafs_content *c = fixture_content(f, "k", 4 * MIB, "\"1\"");
	struct supafs_stream *s = fixture_stream(c);
	struct supafs_view v = {0};

	f->store.fail_at = 500000;
	f->store.fail_error = -EIO;
	f->store.fail_times = 1;
	assert_int_equal(view_at(s, 30000, MIB, 0, &v), -EIO);
	assert_null(v.data);
	assert_int_equal(view_at(s, 30000, MIB, 0, &v), MIB);
	assert_true(right(f, &v, 0, MIB));
	supafs_view_release(&v);
	supafs_stream_free(s);
	supafs_content_unref(c);
}

struct taker {
	struct fixture *f;
	struct supafs_content *content;
	uint64_t size, seed;
	unsigned wrong;
	pthread_t thread;
};

static void *take_mixed(void *ctx)
{
	struct taker *t = ctx;
	struct supafs_stream *s = fixture_stream(t->content);
	struct supafs_rng rng;
	uint64_t off = 0;

	supafs_rng_init(&rng, t->seed);
	for (unsigned i = 0; i < 60; i++) {
		size_t n = (size_t)supafs_rng_below(&rng, 400000);

		if (supafs_rng_below(&rng, 10) == 0)
			off = supafs_rng_below(&rng, t->size);
		t->wrong += take(t->f, s, off, n, t->size) != 0;
		off += n;
	}
	supafs_stream_free(s);
	return NULL;
}

/* However short memory is, nobody waits for ever. */
static void threads(struct fixture *f, size_t memory)
{
	const uint64_t size = 12 * MIB + 5;
	struct supafs_content *c;
	struct taker t[16];

	fixture_data(f, memory, MIB, 4, 20000);
	c = fixture_content(f, "k", size, "\"1\"");
	for (unsigned i = 0; i < 16; i++) {
		t[i] = (struct taker){.f = f, .content = c, .size = size, .seed = i};
		assert_int_equal(pthread_create(&t[i].thread, NULL, take_mixed, &t[i]), 0);
	}
	for (unsigned i = 0; i < 16; i++) {
		assert_int_equal(pthread_join(t[i].thread, NULL), 0);
		assert_int_equal(t[i].wrong, 0);
	}
	supafs_content_unref(c);
}

static void test_threads_tight(void **state)
{
	threads(*state, (size_t)8 * SUPAFS_BLOCK_SIZE);
}

static void test_threads_some(void **state)
{
	threads(*state, (size_t)60 * SUPAFS_BLOCK_SIZE);
}

/* A long reader needs a few MiB, whatever it may have; its beginning stays; what it dropped comes
 * again for who asks. */
static void test_long_read(void **state)
{
	struct fixture *f = *state;
	const uint64_t size = 64 * MIB;
	struct supafs_content *c = fixture_content(f, "k", size, "\"1\"");
	struct supafs_stream *s = fixture_stream(c);
	struct supafs_data_stats st, again;

	for (uint64_t off = 0; off < size; off += MIB)
		assert_int_equal(take(f, s, off, MIB, size), 0);
	assert_int_equal(data_store_moved(&f->store), size);
	supafs_data_stats(f->data, &st);
	assert_in_range(st.bytes, 8 * MIB, 8 * MIB + 16 * MIB + 4 * MIB);
	assert_true(st.evicted > 0);
	supafs_stream_free(s);

	s = fixture_stream(c);
	for (uint64_t off = 0; off < 7 * MIB; off += MIB)
		assert_int_equal(take(f, s, off, MIB, size), 0);
	supafs_data_stats(f->data, &again);
	assert_int_equal(again.misses, st.misses);
	assert_int_equal(take(f, s, 20 * MIB, MIB, size), 0);
	assert_true(data_store_moved(&f->store) > size);
	supafs_stream_free(s);
	supafs_content_unref(c);
}

/* Two that read the same file keep it for each other. */
static void test_long_reads_together(void **state)
{
	struct fixture *f = *state;
	const uint64_t size = 32 * MIB;
	struct supafs_content *c = fixture_content(f, "k", size, "\"1\"");
	struct supafs_stream *a = fixture_stream(c), *b = fixture_stream(c);

	for (uint64_t off = 0; off < size; off += MIB)
		assert_int_equal(take(f, a, off, MIB, size), 0);
	for (uint64_t off = 0; off < size; off += MIB)
		assert_int_equal(take(f, b, off, MIB, size), 0);
	assert_int_equal(data_store_moved(&f->store), size);
	supafs_stream_free(a);
	supafs_stream_free(b);
	supafs_content_unref(c);
}

/* The kernel asks for much more than a program reads: requests far ahead of a slow download wait
 * for it, and start none that would bring the same bytes. */
static void test_run_ahead(void **state)
{
	struct fixture *f = *state;
	const uint64_t size = 64 * MIB;
	struct supafs_content *c = fixture_content(f, "k", size, "\"1\"");
	struct supafs_stream *s = fixture_stream(c);
	struct supafs_view v = {0};

	f->store.gate = 20 * MIB;
	f->store.gate_shut = true;
	for (uint64_t off = 0; off < 20 * MIB; off += MIB)
		assert_int_equal(take(f, s, off, MIB, size), 0);
	for (uint64_t off = 20 * MIB; off < 30 * MIB; off += MIB)
		assert_int_equal(view_at(s, 1, MIB, off, &v), -ETIMEDOUT);
	data_store_open_gate(&f->store);
	for (uint64_t off = 20 * MIB; off < size; off += MIB)
		assert_int_equal(take(f, s, off, MIB, size), 0);
	assert_in_range(data_store_gets(&f->store), 2, 12);
	assert_int_equal(data_store_moved(&f->store), size);
	supafs_stream_free(s);
	supafs_content_unref(c);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_bytes),
		TEST(test_limits),
		TEST(test_outlives),
		TEST(test_error),
		TEST(test_threads_tight),
		TEST(test_threads_some),
		TEST(test_long_read),
		TEST(test_long_reads_together),
		TEST(test_run_ahead),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
