/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pool of worker threads over a ring of jobs.
 *
 *	state     submit         a worker                     free
 *	open      queues; a new  takes a job; ends after      → closing
 *	          worker if none 10 s without one
 *	          is idle
 *	closing   -ESHUTDOWN     ends                         drops the queue, waits for workers = 0
 *
 * Invariants: idle <= workers <= max_threads; queued <= max_jobs. Workers are detached:
 * the last thing that one touches is the lock, in which it takes itself off the count.
 */
#include "supafs/util/pool.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "supafs/util/clock.h"
#include "supafs/util/lock.h"

#define IDLE_NS (10 * SUPAFS_NS_PER_S)

/* The sanitizers' frames are several times larger. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define STACK_SIZE (1024U << 10)
#else
#define STACK_SIZE (256U << 10)
#endif

struct supafs_pool {
	const char *name;
	unsigned max_threads;
	size_t max_jobs;

	struct supafs_mutex lock;
	struct supafs_cond work; /* lock; signalled for each job, broadcast on closing */
	struct supafs_cond gone; /* lock; broadcast when a worker ends */
	struct supafs_job *jobs; /* lock; ring of max_jobs */
	size_t first;            /* lock */
	size_t queued;           /* lock */
	unsigned workers;        /* lock */
	unsigned idle;           /* lock */
	bool closing;            /* lock; never goes back */
};

int supafs_pool_new(
	const char *name, unsigned max_threads, size_t max_jobs, struct supafs_pool **ret_pool)
{
	struct supafs_pool *p = calloc(1, sizeof(*p));

	assert(max_threads > 0 && max_jobs > 0);
	if (!p)
		return -ENOMEM;
	p->jobs = calloc(max_jobs, sizeof(*p->jobs));
	if (!p->jobs) {
		free(p);
		return -ENOMEM;
	}
	p->name = name;
	p->max_threads = max_threads;
	p->max_jobs = max_jobs;
	supafs_mutex_init(&p->lock);
	supafs_cond_init(&p->work);
	supafs_cond_init(&p->gone);
	*ret_pool = p;
	return 0;
}

static bool take_locked(struct supafs_pool *p, struct supafs_job *ret_job) SUPAFS_REQUIRES(p->lock);
static bool take_locked(struct supafs_pool *p, struct supafs_job *ret_job)
{
	if (p->queued == 0)
		return false;
	*ret_job = p->jobs[p->first];
	p->first = (p->first + 1) % p->max_jobs;
	p->queued--;
	return true;
}

/* Waits for a job; false: this worker shall end, and is off the count already. */
static bool next_job(struct supafs_pool *p, struct supafs_job *ret_job)
{
	const struct supafs_clock *clock = supafs_clock_system();
	const int64_t until = clock->mono_ns(clock) + IDLE_NS;
	bool found = false;
	int r = 0;

	SUPAFS_SCOPED_LOCK(&p->lock);
	for (;;) {
		found = !p->closing && take_locked(p, ret_job);
		if (found || p->closing || r != 0)
			break;
		p->idle++;
		r = supafs_cond_wait_until(&p->work, &p->lock, until);
		p->idle--;
	}
	if (!found) {
		p->workers--;
		supafs_cond_broadcast(&p->gone);
	}
	return found;
}

static void *work(void *ctx)
{
	struct supafs_pool *p = ctx;
	struct supafs_job job;

	while (next_job(p, &job))
		job.run(job.ctx);
	return NULL;
}

static int start_worker(struct supafs_pool *p)
{
	pthread_attr_t attr;
	pthread_t thread;
	int r = 0;

	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	(void)pthread_attr_setstacksize(&attr, STACK_SIZE);
	r = pthread_create(&thread, &attr, work, p);
	(void)pthread_attr_destroy(&attr);
	if (r == 0)
		(void)pthread_setname_np(thread, p->name);
	return -r;
}

int supafs_pool_submit(struct supafs_pool *p, struct supafs_job job)
{
	SUPAFS_SCOPED_LOCK(&p->lock);
	if (p->closing)
		return -ESHUTDOWN;
	if (p->queued == p->max_jobs)
		return -EAGAIN;
	/* Under the lock: a thread that cannot start must not leave its job behind alone. */
	if (p->idle <= p->queued && p->workers < p->max_threads) {
		if (start_worker(p) == 0)
			p->workers++;
		else if (p->workers == 0)
			return -EAGAIN;
	}
	p->jobs[(p->first + p->queued) % p->max_jobs] = job;
	p->queued++;
	supafs_cond_signal(&p->work);
	return 0;
}

/* Closes the pool; the next job of the queue that nobody will run. */
static bool take_dropped(struct supafs_pool *p, struct supafs_job *ret_job)
{
	SUPAFS_SCOPED_LOCK(&p->lock);
	p->closing = true;
	supafs_cond_broadcast(&p->work);
	return take_locked(p, ret_job);
}

static void drop_jobs(struct supafs_pool *p)
{
	struct supafs_job job;

	while (take_dropped(p, &job)) {
		if (job.drop)
			job.drop(job.ctx);
	}
}

static void wait_workers(struct supafs_pool *p)
{
	SUPAFS_SCOPED_LOCK(&p->lock);
	while (p->workers > 0)
		supafs_cond_wait(&p->gone, &p->lock);
}

struct supafs_pool *supafs_pool_free(struct supafs_pool *p)
{
	if (p) {
		drop_jobs(p);
		wait_workers(p);
		supafs_cond_fini(&p->gone);
		supafs_cond_fini(&p->work);
		supafs_mutex_fini(&p->lock);
		free(p->jobs);
		free(p);
	}
	return NULL;
}
