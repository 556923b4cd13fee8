/* SPDX-License-Identifier: Apache-2.0 */
/* A data cache over the scripted store. Include after cmocka. */
#pragma once

#include "supafs/cache/data.h"
#include "supafs/util/clock.h"

#include "data_store.h"

struct fixture {
	struct data_store store;
	struct supafs_data *data;
};

/* 256 MiB of memory, 16 MiB ahead, 8 windows, 20 s. */
int fixture_setup(void **state);
int fixture_teardown(void **state);
/* The same with other limits. */
void fixture_data(
	struct fixture *f, size_t memory, size_t ahead_max, unsigned threads, uint64_t timeout_ms);
struct supafs_content *fixture_content(
	struct fixture *f, const char *key, uint64_t size, const char *etag);
struct supafs_stream *fixture_stream(struct supafs_content *c);
/* Reads and compares with what the object has there: 0, or what the read returned, or -EBADMSG. */
int fixture_try(struct fixture *f, struct supafs_stream *s, uint64_t off, size_t n, uint64_t size);
/* The same, asserted. */
void fixture_read(
	struct fixture *f, struct supafs_stream *s, uint64_t off, size_t n, uint64_t size);
