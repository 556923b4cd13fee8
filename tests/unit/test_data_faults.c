/* SPDX-License-Identifier: Apache-2.0 */
/* The data cache when things go wrong: errors, other versions, interrupts, time-outs, slow readers,
 * busy workers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above */
#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "data_fixture.h"

#define MIB ((uint64_t)1 << 20)

/* A read on a thread of its own. */
struct bg_read {
	struct fixture *f;
	struct supafs_stream *stream;
	struct supafs_call call;
	struct supafs_fault fault;
	uint64_t off;
	ssize_t result;
	pthread_t thread;
	unsigned char buf[4096];
};

static void *bg_run(void *ctx)
{
	struct bg_read *b = ctx;

	b->result =
		supafs_stream_read(b->stream, &b->call, b->buf, sizeof(b->buf), b->off, &b->fault);
	return NULL;
}

static void bg_start(struct bg_read *b, struct fixture *f, struct supafs_stream *s, uint64_t off)
{
	*b = (struct bg_read){.f = f, .stream = s, .off = off};
	supafs_call_init(&b->call, supafs_clock_system(), 30000);
	assert_int_equal(pthread_create(&b->thread, NULL, bg_run, b), 0);
}

static ssize_t bg_join(struct bg_read *b)
{
	assert_int_equal(pthread_join(b->thread, NULL), 0);
	supafs_call_fini(&b->call);
	if (b->result > 0)
		assert_int_equal(
			data_store_check(b->f->store.etag, b->off, b->buf, (size_t)b->result), -1);
	return b->result;
}

static ssize_t read_fault(struct supafs_stream *s, uint64_t off, struct supafs_fault *fault)
{
	struct supafs_call call;
	char buf[4096];
	ssize_t r;

	supafs_call_init(&call, supafs_clock_system(), 30000);
	r = supafs_stream_read(s, &call, buf, sizeof(buf), off, fault);
	supafs_call_fini(&call);
	return r;
}

/* --- Errors ----------------------------------------------------------------------------------- */

/* The reader that needs it gets the error with its fault; the next read tries afresh. */
static void test_error(void **state)
{
	struct fixture *f = *state;
	struct supafs_content *c = fixture_content(f, "k", MIB, "\"1\"");
	struct supafs_stream *s = fixture_stream(c);
	struct supafs_fault fault;

	f->store.fail_at = 2000;
	f->store.fail_error = -ECONNRESET;
	f->store.fail_times = 1;
	assert_int_equal(read_fault(s, 0, &fault), -ECONNRESET);
	assert_int_equal(fault.class, SUPAFS_FAULT_TRANSIENT);
	assert_int_equal(read_fault(s, 0, &fault), 4096);
	assert_int_equal(fault.class, SUPAFS_FAULT_NONE);
	assert_int_equal(data_store_gets(&f->store), 2);
	supafs_stream_free(s);
	supafs_content_unref(c);
}

/* Bytes before the error are served; an error ahead that nobody waited for is forgotten. */
static void test_error_ahead(void **state)
{
	struct fixture *f = *state;
	const uint64_t size = 32 * MIB;
	struct supafs_content *c = fixture_content(f, "k", size, "\"1\"");
	struct supafs_stream *s = fixture_stream(c);

	f->store.fail_at = 5 * MIB + 7;
	f->store.fail_error = -EIO;
	f->store.fail_times = 1;
	for (uint64_t off = 0; off < 4 * MIB; off += 65536)
		fixture_read(f, s, off, 65536, size);
	pthread_mutex_lock(&f->store.lock);
	while (f->store.fail_times > 0)
		pthread_cond_wait(&f->store.changed, &f->store.lock);
	pthread_mutex_unlock(&f->store.lock);
	for (uint64_t off = 4 * MIB; off < size; off += 65536)
		fixture_read(f, s, off, 65536, size);
	supafs_stream_free(s);
	supafs_content_unref(c);
}

/* Who only joined another's window gets its error with an empty fault. */
static void test_error_shared(void **state)
{
	struct fixture *f = *state;
	struct supafs_content *c = fixture_content(f, "k", MIB, "\"1\"");
	struct supafs_stream *own = fixture_stream(c), *other = fixture_stream(c);
	struct bg_read a, b;

	f->store.gate_shut = true;
	f->store.fail_at = 0;
	f->store.fail_error = -EACCES;
	bg_start(&a, f, own, 0);
	data_store_await(&f->store, &f->store.gets, 1);
	bg_start(&b, f, other, 4096);
	pthread_mutex_lock(&f->store.lock);
	f->store.fail_times = 1;
	f->store.gate_shut = false;
	pthread_cond_broadcast(&f->store.changed);
	pthread_mutex_unlock(&f->store.lock);
	assert_int_equal(bg_join(&a), -EACCES);
	assert_int_equal(a.fault.class, SUPAFS_FAULT_TRANSIENT);
	/* it may have come too late for that window: then it has its own, which works */
	if (bg_join(&b) < 0) {
		assert_int_equal(b.result, -EACCES);
		assert_int_equal(data_store_gets(&f->store), 1);
	}
	assert_int_equal(b.fault.class, SUPAFS_FAULT_NONE);
	supafs_stream_free(own);
	supafs_stream_free(other);
	supafs_content_unref(c);
}

/* --- Versions --------------------------------------------------------------------------------- */

static void set_etag(struct fixture *f, const char *etag)
{
	pthread_mutex_lock(&f->store.lock);
	f->store.etag = etag;
	pthread_mutex_unlock(&f->store.lock);
}

static void test_stale(void **state)
{
	struct fixture *f = *state;
	struct supafs_content *c = fixture_content(f, "k", MIB, "\"1\""), *fresh;
	struct supafs_stream *s = fixture_stream(c);
	struct supafs_data_stats st;
	struct supafs_fault fault;

	fixture_read(f, s, 0, 4096, MIB);
	set_etag(f, "\"2\"");
	assert_int_equal(read_fault(s, 512 * 1024, &fault), -ESTALE);
	assert_int_equal(fault.class, SUPAFS_FAULT_CONFLICT);
	/* for ever, also what was cached, also for new streams of it */
	assert_int_equal(read_fault(s, 0, &fault), -ESTALE);
	supafs_stream_free(s);
	s = fixture_stream(c);
	assert_int_equal(read_fault(s, 0, &fault), -ESTALE);
	assert_int_equal(data_store_gets(&f->store), 2);
	supafs_data_stats(f->data, &st);
	assert_int_equal(st.bytes, 0);

	fresh = fixture_content(f, "k", MIB, "\"2\"");
	assert_ptr_not_equal(fresh, c);
	supafs_stream_free(s);
	s = fixture_stream(fresh);
	fixture_read(f, s, 0, 4096, MIB);
	supafs_stream_free(s);
	supafs_content_unref(c);
	supafs_content_unref(fresh);
}

/* An ETag not known is learnt by one get before any other begins. */
static void test_learn(void **state)
{
	struct fixture *f = *state;
	struct supafs_content *c = fixture_content(f, "k", MIB, "");
	struct supafs_stream *s = fixture_stream(c);
	char etag[SUPAFS_ETAG_MAX + 1];
	struct supafs_fault fault;
	struct bg_read a, b;

	supafs_content_etag(c, etag);
	assert_string_equal(etag, "");
	f->store.gate_shut = true;
	bg_start(&a, f, s, 0);
	data_store_await(&f->store, &f->store.gets, 1);
	bg_start(&b, f, s, 512 * 1024);
	data_store_open_gate(&f->store);
	assert_int_equal(bg_join(&a), 4096);
	assert_int_equal(bg_join(&b), 4096);
	supafs_content_etag(c, etag);
	assert_string_equal(etag, "\"1\"");
	assert_int_equal(f->store.most_running, 1);
	set_etag(f, "\"2\"");
	assert_int_equal(read_fault(s, 300 * 1024, &fault), -ESTALE);
	supafs_stream_free(s);
	supafs_content_unref(c);
}

/* A reply that is cut before it names its version: what came may not be mixed with more. */
static void test_never_learnt(void **state)
{
	struct fixture *f = *state;
	struct supafs_content *c = fixture_content(f, "k", MIB, "");
	struct supafs_stream *s = fixture_stream(c);
	struct supafs_fault fault;

	f->store.no_etag = true;
	f->store.fail_at = 100000;
	f->store.fail_error = -ECONNRESET;
	f->store.fail_times = 1;
	assert_int_equal(read_fault(s, 98304, &fault), -ESTALE);
	assert_int_equal(read_fault(s, 0, &fault), -ESTALE);
	assert_int_equal(data_store_gets(&f->store), 1);
	supafs_stream_free(s);
	supafs_content_unref(c);
}

static void test_drop(void **state)
{
	struct fixture *f = *state;
	struct supafs_content *idle = fixture_content(f, "k", 5000, "\"1\"");
	struct supafs_content *used = fixture_content(f, "k", MIB, "\"1\"");
	struct supafs_content *other = fixture_content(f, "k2", MIB, "\"1\"");
	struct supafs_stream *s = fixture_stream(idle), *s2, *s3;
	struct supafs_data_stats st;
	struct supafs_fault fault;

	fixture_read(f, s, 0, 5000, 5000);
	supafs_stream_free(s);
	supafs_content_unref(idle);
	s2 = fixture_stream(used);
	s3 = fixture_stream(other);
	fixture_read(f, s2, 0, 4096, MIB);
	fixture_read(f, s3, 0, 4096, MIB);
	supafs_data_drop(f->data, SUPAFS_STR("k"));
	assert_int_equal(read_fault(s2, 0, &fault), -ESTALE);
	assert_int_equal(read_fault(s3, 0, &fault), 4096);
	(void)data_store_gets(&f->store);
	supafs_stream_free(s2);
	supafs_stream_free(s3);
	supafs_content_unref(used);
	supafs_data_stats(f->data, &st);
	assert_int_equal(st.bytes, SUPAFS_BLOCK_SIZE);
	supafs_content_unref(other);
}

/* --- Interrupts and time ---------------------------------------------------------------------- */

/* An interrupted reader leaves the window to the other one. */
static void test_interrupt(void **state)
{
	struct fixture *f = *state;
	struct supafs_content *c = fixture_content(f, "k", MIB, "\"1\"");
	struct supafs_stream *s1 = fixture_stream(c), *s2 = fixture_stream(c);
	struct bg_read a, b;

	f->store.gate_shut = true;
	bg_start(&a, f, s1, 0);
	data_store_await(&f->store, &f->store.gets, 1);
	bg_start(&b, f, s2, 0);
	supafs_call_cancel(&a.call);
	assert_int_equal(bg_join(&a), -EINTR);
	data_store_open_gate(&f->store);
	assert_int_equal(bg_join(&b), 4096);
	assert_int_equal(data_store_gets(&f->store), 1);
	assert_int_equal(f->store.cancelled, 0);
	supafs_stream_free(s1);
	supafs_stream_free(s2);
	supafs_content_unref(c);
}

static void test_reader_timeout(void **state)
{
	struct fixture *f = *state;
	struct supafs_content *c = fixture_content(f, "k", MIB, "\"1\"");
	struct supafs_stream *s = fixture_stream(c);
	struct supafs_fault fault;
	struct supafs_call call;
	char buf[10];

	f->store.gate_shut = true;
	supafs_call_init(&call, supafs_clock_system(), 30);
	assert_int_equal(supafs_stream_read(s, &call, buf, 10, 0, &fault), -ETIMEDOUT);
	supafs_call_fini(&call);
	data_store_open_gate(&f->store);
	fixture_read(f, s, 0, 10, MIB);
	assert_int_equal(data_store_gets(&f->store), 1);
	supafs_stream_free(s);
	supafs_content_unref(c);
}

/* A window that reaches its deadline with nothing to show is an error … */
static void test_window_timeout(void **state)
{
	struct fixture *f = *state;
	struct supafs_content *c;
	struct supafs_stream *s;
	struct supafs_fault fault;

	fixture_data(f, 8 * MIB, MIB, 4, 50);
	c = fixture_content(f, "k", MIB, "\"1\"");
	s = fixture_stream(c);
	f->store.gate_shut = true;
	assert_int_equal(read_fault(s, 0, &fault), -ETIMEDOUT);
	supafs_stream_free(s);
	supafs_content_unref(c);
}

/* … but one that was simply long is continued. */
static void test_long_transfer(void **state)
{
	struct fixture *f = *state;
	struct supafs_content *c;
	struct supafs_stream *s;
	struct bg_read a;

	fixture_data(f, 8 * MIB, MIB, 4, 100);
	c = fixture_content(f, "k", MIB, "\"1\"");
	s = fixture_stream(c);
	f->store.gate = 100000;
	f->store.gate_shut = true;
	bg_start(&a, f, s, 120000);
	data_store_await(&f->store, &f->store.gets, 2);
	data_store_open_gate(&f->store);
	assert_int_equal(bg_join(&a), 4096);
	supafs_stream_free(s);
	supafs_content_unref(c);
}

/* A handle that is closed stops its download. */
static void test_close_cancels(void **state)
{
	struct fixture *f = *state;
	const uint64_t size = 512 * MIB;
	struct supafs_content *c = fixture_content(f, "k", size, "\"1\"");
	struct supafs_stream *s = fixture_stream(c);

	for (uint64_t off = 0; off < 24 * MIB; off += 131072)
		fixture_read(f, s, off, 131072, size);
	supafs_stream_free(s);
	supafs_content_unref(c);
	assert_in_range(data_store_moved(&f->store), 24 * MIB, (24 + 2 * 16 + 1) * MIB);
	assert_true(f->store.cancelled > 0);
}

/* --- Flow control ----------------------------------------------------------------------------- */

/* A slow reader pauses its windows; when it goes on they do, without a new get. */
static void test_pause(void **state)
{
	struct fixture *f = *state;
	const uint64_t size = 128 * MIB;
	struct supafs_content *c;
	struct supafs_stream *s;
	unsigned gets;

	fixture_data(f, 64 * MIB, 4 * MIB, 8, 300000);
	c = fixture_content(f, "k", size, "\"1\"");
	s = fixture_stream(c);
	for (uint64_t off = 0; off < 48 * MIB; off += 131072)
		fixture_read(f, s, off, 131072, size);
	data_store_await(&f->store, &f->store.paused, 1);
	pthread_mutex_lock(&f->store.lock);
	assert_in_range(f->store.moved, 48 * MIB, 48 * MIB + 4 * MIB + SUPAFS_BLOCK_SIZE);
	gets = f->store.gets;
	pthread_mutex_unlock(&f->store.lock);
	for (uint64_t off = 48 * MIB; off < size; off += 131072)
		fixture_read(f, s, off, 131072, size);
	assert_int_equal(data_store_gets(&f->store), gets);
	assert_int_equal(data_store_moved(&f->store), size);
	supafs_stream_free(s);
	supafs_content_unref(c);
}

/* Handles that stopped reading hold all workers: a new reader still gets one. */
static void test_workers_held(void **state)
{
	struct fixture *f = *state;
	const uint64_t size = 64 * MIB;
	struct supafs_content *c[6];
	struct supafs_stream *s[6];

	fixture_data(f, 64 * MIB, MIB, 2, 20000);
	for (unsigned i = 0; i < 6; i++) {
		char key[2] = {(char)('a' + i), '\0'};

		c[i] = fixture_content(f, key, size, "\"1\"");
		s[i] = fixture_stream(c[i]);
		for (uint64_t off = 0; off < 4 * MIB; off += 131072)
			fixture_read(f, s[i], off, 131072, size);
	}
	/* and the first ones can go on */
	for (unsigned i = 0; i < 6; i++)
		for (uint64_t off = 4 * MIB; off < 12 * MIB; off += 131072)
			fixture_read(f, s[i], off, 131072, size);
	for (unsigned i = 0; i < 6; i++) {
		supafs_stream_free(s[i]);
		supafs_content_unref(c[i]);
	}
}

/* Paused windows keep at most a quarter of the workers, and what the others still read has no more
 * gets than it needs. */
static void test_few_pauses(void **state)
{
	struct fixture *f = *state;
	const uint64_t size = 64 * MIB;
	struct supafs_content *c[4];
	struct supafs_stream *s[4];

	fixture_data(f, 128 * MIB, 4 * MIB, 8, 20000);
	for (unsigned i = 0; i < 4; i++) {
		char key[2] = {(char)('a' + i), '\0'};

		c[i] = fixture_content(f, key, size, "\"1\"");
		s[i] = fixture_stream(c[i]);
		for (uint64_t off = 0; off < 24 * MIB; off += 131072)
			fixture_read(f, s[i], off, 131072, size);
	}
	pthread_mutex_lock(&f->store.lock);
	while (f->store.running > 2)
		pthread_cond_wait(&f->store.changed, &f->store.lock);
	f->store.gets = 0;
	pthread_mutex_unlock(&f->store.lock);
	for (uint64_t off = 24 * MIB; off < size; off += 131072)
		for (unsigned i = 0; i < 4; i++)
			fixture_read(f, s[i], off, 131072, size);
	for (unsigned i = 0; i < 4; i++) {
		supafs_stream_free(s[i]);
		supafs_content_unref(c[i]);
	}
	assert_in_range(data_store_gets(&f->store), 2, 4 * 40 / 2 + 8);
}

/* A window far ahead of a second reader does not make it wait. */
static void test_far_jump(void **state)
{
	struct fixture *f = *state;
	const uint64_t size = 512 * MIB;
	struct supafs_content *c = fixture_content(f, "k", size, "\"1\"");
	struct supafs_stream *s = fixture_stream(c);

	for (uint64_t off = 0; off < 24 * MIB; off += 131072)
		fixture_read(f, s, off, 131072, size);
	fixture_read(f, s, 400 * MIB, 4096, size);
	pthread_mutex_lock(&f->store.lock);
	assert_int_equal(f->store.last_offset, 400 * MIB);
	assert_int_equal(f->store.last_length, SUPAFS_BLOCK_SIZE);
	pthread_mutex_unlock(&f->store.lock);
	supafs_stream_free(s);
	supafs_content_unref(c);
}

/* Freed while windows are running. */
static void test_free_running(void **state)
{
	struct fixture *f = *state;
	struct supafs_content *c;
	struct supafs_stream *s;
	struct bg_read a;

	fixture_data(f, 8 * MIB, MIB, 1, 20000);
	c = fixture_content(f, "k", 64 * MIB, "\"1\"");
	s = fixture_stream(c);
	f->store.gate_shut = true;
	bg_start(&a, f, s, 0);
	data_store_await(&f->store, &f->store.gets, 1);
	supafs_call_cancel(&a.call);
	assert_int_equal(bg_join(&a), -EINTR);
	supafs_stream_free(s);
	supafs_content_unref(c);
	f->data = supafs_data_free(f->data);
	assert_int_equal(f->store.running, 0);
}

/* --- Without blocks --------------------------------------------------------------------------- */

struct gather {
	uint64_t off;
	unsigned wrong;
};

static int gather(void *ctx, const void *p, size_t n)
{
	struct gather *g = ctx;

	g->wrong += data_store_check("\"1\"", g->off, p, n) != -1;
	g->off += n;
	return 0;
}

static void test_fetch(void **state)
{
	struct fixture *f = *state;
	struct supafs_content *c = fixture_content(f, "k", 3 * MIB, "");
	struct gather g = {.off = 1000};
	struct supafs_sink sink = {gather, &g};
	char etag[SUPAFS_ETAG_MAX + 1];
	struct supafs_data_stats st;
	struct supafs_fault fault;
	struct supafs_call call;

	supafs_call_init(&call, supafs_clock_system(), 30000);
	assert_int_equal(supafs_content_fetch(c, &call, 1000, 2 * MIB, &sink, &fault), 0);
	assert_int_equal(g.off, 1000 + 2 * MIB);
	assert_int_equal(g.wrong, 0);
	supafs_content_etag(c, etag);
	assert_string_equal(etag, "\"1\"");
	supafs_data_stats(f->data, &st);
	assert_int_equal(st.bytes, 0);

	assert_int_equal(supafs_content_fetch(c, &call, 3 * MIB, 0, &sink, &fault), 0);
	assert_int_equal(supafs_content_fetch(c, &call, 3 * MIB, 1, &sink, &fault), -EINVAL);
	assert_int_equal(supafs_content_fetch(c, &call, 1, UINT64_MAX, &sink, &fault), -EINVAL);
	set_etag(f, "\"2\"");
	assert_int_equal(supafs_content_fetch(c, &call, 0, 10, &sink, &fault), -ESTALE);
	assert_int_equal(fault.class, SUPAFS_FAULT_CONFLICT);
	assert_int_equal(supafs_content_fetch(c, &call, 0, 10, &sink, &fault), -ESTALE);
	assert_int_equal(data_store_gets(&f->store), 3);
	set_etag(f, "\"1\""); /* the other one was a proxy's, or is gone: our version is there */
	g.off = 0;
	assert_int_equal(supafs_content_fetch(c, &call, 0, 10, &sink, &fault), 0);
	assert_int_equal(g.off, 10);
	assert_int_equal(g.wrong, 0);
	supafs_call_fini(&call);
	supafs_content_unref(c);
}

/* Some bytes came and no ETag with them: what is asked for next may be of another version. */
static void test_fetch_unnamed_part(void **state)
{
	struct fixture *f = *state;
	struct supafs_content *c = fixture_content(f, "k", MIB, "");
	struct gather g = {.off = 0};
	struct supafs_sink sink = {gather, &g};
	struct supafs_fault fault;
	struct supafs_call call;

	supafs_call_init(&call, supafs_clock_system(), 30000);
	pthread_mutex_lock(&f->store.lock);
	f->store.no_etag = true;
	f->store.fail_at = 0;
	f->store.fail_error = -ECONNRESET;
	f->store.fail_times = 1;
	pthread_mutex_unlock(&f->store.lock);
	assert_int_equal(supafs_content_fetch(c, &call, 0, MIB, &sink, &fault), -ECONNRESET);
	assert_int_equal(g.off, 0); /* nothing came: nothing is spoilt */
	pthread_mutex_lock(&f->store.lock);
	f->store.fail_at = 500000;
	f->store.fail_times = 1;
	pthread_mutex_unlock(&f->store.lock);
	assert_int_equal(supafs_content_fetch(c, &call, 0, MIB, &sink, &fault), -ECONNRESET);
	assert_int_equal(g.off, 500000);
	assert_int_equal(supafs_content_fetch(c, &call, 500000, 1000, &sink, &fault), -ESTALE);
	assert_int_equal(data_store_gets(&f->store), 2);
	supafs_call_fini(&call);
	supafs_content_unref(c);
}

int main(void)
{
	static void (*const fns[])(void **) = {test_error, test_error_ahead, test_error_shared,
		test_stale, test_learn, test_never_learnt, test_drop, test_interrupt,
		test_reader_timeout, test_window_timeout, test_long_transfer, test_close_cancels,
		test_pause, test_workers_held, test_few_pauses, test_far_jump, test_free_running,
		test_fetch, test_fetch_unnamed_part};
	static const char *const names[] = {"error", "error_ahead", "error_shared", "stale",
		"learn", "never_learnt", "drop", "interrupt", "reader_timeout", "window_timeout",
		"long_transfer", "close_cancels", "pause", "workers_held", "few_pauses", "far_jump",
		"free_running", "fetch", "fetch_unnamed_part"};
	struct CMUnitTest tests[sizeof(fns) / sizeof(fns[0])];

	for (size_t i = 0; i < sizeof(fns) / sizeof(fns[0]); i++)
		tests[i] = (struct CMUnitTest){
			names[i], fns[i], fixture_setup, fixture_teardown, NULL};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
