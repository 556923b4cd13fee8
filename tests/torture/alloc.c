/* SPDX-License-Identifier: Apache-2.0 */
#include "alloc.h"

#include <errno.h>
#include <execinfo.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#define FRAMES 24

/* A test's program has one of these; there is nowhere else that malloc could look. */
static _Atomic unsigned left;      /* 0: not armed */
static _Atomic bool armed, failed; /* armed: count */
static void *frames[FRAMES];       /* of the thread that failed, until the next arming */
static _Atomic int frames_n;

/* --wrap gives these names: `real` is what was called before. */
/* NOLINTBEGIN(bugprone-reserved-identifier,cert-*,readability-identifier-naming) */
void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__real_reallocarray(void *p, size_t n, size_t size);
char *__real_strdup(const char *s);
char *__real_strndup(const char *s, size_t n);
int __real_pthread_create(
	pthread_t *t, const pthread_attr_t *attr, void *(*run)(void *), void *arg);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_reallocarray(void *p, size_t n, size_t size);
char *__wrap_strdup(const char *s);
char *__wrap_strndup(const char *s, size_t n);
int __wrap_asprintf(char **ret, const char *form, ...) __attribute__((format(printf, 2, 3)));
int __wrap___asprintf_chk(char **ret, int flag, const char *form, ...)
	__attribute__((format(printf, 3, 4)));
int __wrap_pthread_create(
	pthread_t *t, const pthread_attr_t *attr, void *(*run)(void *), void *arg);

static bool fails(void)
{
	unsigned n = atomic_load(&left);

	if (!atomic_load(&armed))
		return false;
	do {
		if (n == 0)
			return false;
	} while (!atomic_compare_exchange_weak(&left, &n, n - 1));
	if (n != 1)
		return false;
	atomic_store(&armed, false);
	atomic_store(&frames_n, backtrace(frames, FRAMES));
	atomic_store(&failed, true);
	errno = ENOMEM;
	return true;
}

void *__wrap_malloc(size_t n)
{
	return fails() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
	return fails() ? NULL : __real_realloc(p, n);
}

void *__wrap_reallocarray(void *p, size_t n, size_t size)
{
	return fails() ? NULL : __real_reallocarray(p, n, size);
}

char *__wrap_strdup(const char *s)
{
	return fails() ? NULL : __real_strdup(s);
}

char *__wrap_strndup(const char *s, size_t n)
{
	return fails() ? NULL : __real_strndup(s, n);
}

int __wrap_asprintf(char **ret, const char *form, ...)
{
	va_list args;
	int r;

	if (fails())
		return -1;
	va_start(args, form);
	r = vasprintf(ret, form, args);
	va_end(args);
	return r;
}

int __wrap___asprintf_chk(char **ret, int flag, const char *form, ...)
{
	va_list args;
	int r;

	(void)flag;
	if (fails())
		return -1;
	va_start(args, form);
	r = vasprintf(ret, form, args);
	va_end(args);
	return r;
}

int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *attr, void *(*run)(void *), void *arg)
{
	return fails() ? EAGAIN : __real_pthread_create(t, attr, run, arg);
}
/* NOLINTEND(bugprone-reserved-identifier,cert-*,readability-identifier-naming) */

void alloc_fail_at(unsigned n)
{
	void *first[2];

	(void)backtrace(first, 2); /* its first call allocates */
	atomic_store(&failed, false);
	atomic_store(&frames_n, 0);
	atomic_store(&left, n);
	atomic_store(&armed, true);
}

bool alloc_disarm(void)
{
	atomic_store(&armed, false);
	atomic_store(&left, 0);
	return atomic_load(&failed);
}

void alloc_tell(void)
{
	backtrace_symbols_fd(frames, atomic_load(&frames_n), STDERR_FILENO);
}
