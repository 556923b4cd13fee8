/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pool of worker threads over a bounded queue of jobs. Threads start when work
 * comes and end after 10 s without (an idle daemon has none); 256 KiB stacks.
 *
 * Threads: every call from any thread but free(), which the owner calls once, last.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct supafs_pool;

struct supafs_job {
	void (*run)(void *ctx);  /* on a worker, no lock held */
	void (*drop)(void *ctx); /* instead of run, when the pool is freed first; may be NULL */
	void *ctx;
};

/* `name` (≤ 15 bytes, static) names the threads. 0, -ENOMEM or -EAGAIN. */
int supafs_pool_new(
	const char *name, unsigned max_threads, size_t max_jobs, struct supafs_pool **ret_pool);
/* Drops queued jobs, waits for running ones. NULL is fine; returns NULL. */
struct supafs_pool *supafs_pool_free(struct supafs_pool *p);
/* 0; -EAGAIN when the queue is full (the caller decides); -ESHUTDOWN. Never blocks. */
int supafs_pool_submit(struct supafs_pool *p, struct supafs_job job);
