/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mutex and condition with scoped guards and clang's thread-safety annotations.
 *
 *	SUPAFS_SCOPED_LOCK(&x->lock);	// released at the end of the scope
 *	static void f_locked(struct x *x) SUPAFS_REQUIRES(x->lock);
 *
 * Members say in a comment which lock protects them (guarded_by does not compile
 * for struct members in C with clang 14). The global order is in docs/locking.md.
 * Conditions run on CLOCK_MONOTONIC.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#if defined(__clang__)
#define SUPAFS_TSA(x) __attribute__((x))
#else
#define SUPAFS_TSA(x)
#endif
#define SUPAFS_REQUIRES(...) SUPAFS_TSA(requires_capability(__VA_ARGS__))

struct SUPAFS_TSA(capability("mutex")) supafs_mutex {
	pthread_mutex_t m;
};

struct supafs_cond {
	pthread_cond_t c;
};

void supafs_mutex_init(struct supafs_mutex *m);
void supafs_mutex_fini(struct supafs_mutex *m);
void supafs_cond_init(struct supafs_cond *c);
void supafs_cond_fini(struct supafs_cond *c);

static inline void supafs_mutex_lock(struct supafs_mutex *m) SUPAFS_TSA(no_thread_safety_analysis);
static inline void supafs_mutex_lock(struct supafs_mutex *m)
{
	(void)pthread_mutex_lock(&m->m);
}

static inline void supafs_mutex_unlock(struct supafs_mutex *m)
	SUPAFS_TSA(no_thread_safety_analysis);
static inline void supafs_mutex_unlock(struct supafs_mutex *m)
{
	(void)pthread_mutex_unlock(&m->m);
}

static inline struct supafs_mutex *supafs_guard_enter(struct supafs_mutex *m)
	SUPAFS_TSA(assert_capability(*m));
static inline struct supafs_mutex *supafs_guard_enter(struct supafs_mutex *m)
{
	(void)pthread_mutex_lock(&m->m);
	return m;
}

static inline void supafs_guard_leave(struct supafs_mutex **m)
{
	(void)pthread_mutex_unlock(&(*m)->m);
}

#define SUPAFS_GUARD_NAME2(line) supafs_guard_##line
#define SUPAFS_GUARD_NAME(line)  SUPAFS_GUARD_NAME2(line)
#define SUPAFS_SCOPED_LOCK(mutex)                                                                  \
	struct supafs_mutex *SUPAFS_GUARD_NAME(__LINE__)                                           \
		__attribute__((cleanup(supafs_guard_leave), unused)) = supafs_guard_enter(mutex)

/* Waits with `m` held; spurious wake-ups happen. */
void supafs_cond_wait(struct supafs_cond *c, struct supafs_mutex *m);
/* Until `until_ns` (monotonic; SUPAFS_NEVER: for ever). 0 or -ETIMEDOUT. */
int supafs_cond_wait_until(struct supafs_cond *c, struct supafs_mutex *m, int64_t until_ns);

static inline void supafs_cond_signal(struct supafs_cond *c)
{
	(void)pthread_cond_signal(&c->c);
}

static inline void supafs_cond_broadcast(struct supafs_cond *c)
{
	(void)pthread_cond_broadcast(&c->c);
}
