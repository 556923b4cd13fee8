/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above */
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "supafs/util/cleanup.h"

#include "data_fixture.h"

void fixture_data(
	struct fixture *f, size_t memory, size_t ahead_max, unsigned threads, uint64_t timeout_ms)
{
	struct supafs_data_config cfg = {
		.store = &f->store.base,
		.clock = supafs_clock_system(),
		.memory = memory,
		.ahead_max = ahead_max,
		.threads = threads,
		.timeout_ms = timeout_ms,
	};

	f->data = supafs_data_free(f->data);
	assert_int_equal(supafs_data_new(&cfg, &f->data), 0);
}

int fixture_setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	data_store_init(&f->store);
	fixture_data(f, 256U << 20, 16U << 20, 8, 20000);
	*state = f;
	return 0;
}

int fixture_teardown(void **state)
{
	struct fixture *f = *state;

	f->data = supafs_data_free(f->data);
	data_store_fini(&f->store);
	free(f);
	return 0;
}

struct supafs_content *fixture_content(
	struct fixture *f, const char *key, uint64_t size, const char *etag)
{
	struct supafs_version v = {.size = size};
	struct supafs_content *c = NULL;

	snprintf(v.etag, sizeof(v.etag), "%s", etag);
	assert_int_equal(supafs_content_get(f->data, supafs_str_of(key), &v, &c), 0);
	return c;
}

struct supafs_stream *fixture_stream(struct supafs_content *c)
{
	struct supafs_stream *s = NULL;

	assert_int_equal(supafs_stream_new(c, &s), 0);
	return s;
}

int fixture_try(struct fixture *f, struct supafs_stream *s, uint64_t off, size_t n, uint64_t size)
{
	size_t want = off >= size ? 0 : n < size - off ? n : (size_t)(size - off);
	supafs_autofree unsigned char *buf = malloc(n + 1);
	struct supafs_fault fault;
	struct supafs_call call;
	ssize_t got;

	supafs_call_init(&call, supafs_clock_system(), 30000);
	got = supafs_stream_read(s, &call, buf, n, off, &fault);
	supafs_call_fini(&call);
	if (got < 0)
		return (int)got;
	if ((size_t)got != want || data_store_check(f->store.etag, off, buf, want) >= 0)
		return -EBADMSG;
	return 0;
}

void fixture_read(struct fixture *f, struct supafs_stream *s, uint64_t off, size_t n, uint64_t size)
{
	assert_int_equal(fixture_try(f, s, off, n, size), 0);
}
