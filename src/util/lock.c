/* SPDX-License-Identifier: Apache-2.0 */
/* Mutexes and conditions. */
#include "supafs/util/lock.h"

#include <errno.h>

#include "supafs/util/clock.h"

void supafs_mutex_init(struct supafs_mutex *m)
{
	(void)pthread_mutex_init(&m->m, NULL);
}

void supafs_mutex_fini(struct supafs_mutex *m)
{
	(void)pthread_mutex_destroy(&m->m);
}

void supafs_cond_init(struct supafs_cond *c)
{
	pthread_condattr_t attr;

	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&c->c, &attr);
	(void)pthread_condattr_destroy(&attr);
}

void supafs_cond_fini(struct supafs_cond *c)
{
	(void)pthread_cond_destroy(&c->c);
}

void supafs_cond_wait(struct supafs_cond *c, struct supafs_mutex *m)
{
	(void)pthread_cond_wait(&c->c, &m->m);
}

int supafs_cond_wait_until(struct supafs_cond *c, struct supafs_mutex *m, int64_t until_ns)
{
	struct timespec until;

	if (until_ns == SUPAFS_NEVER) {
		supafs_cond_wait(c, m);
		return 0;
	}
	until = supafs_timespec(until_ns);
	return pthread_cond_timedwait(&c->c, &m->m, &until) == ETIMEDOUT ? -ETIMEDOUT : 0;
}
