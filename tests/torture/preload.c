/* SPDX-License-Identifier: Apache-2.0 */
/*
 * To be preloaded (LD_PRELOAD) into a program: makes its n-th allocation fail, whoever asks: the
 * program, libcurl, libfuse, the C library's own callers through the PLT.
 *
 * $SUPAFS_TEST_ALLOC_FILE names a file of at least 8 bytes that is mapped shared: the first 32-bit
 * number is the count that a test writes (n: the n-th from now on fails; 0: none does), the second
 * one how many have failed. Works above AddressSanitizer too (verify_asan_link_order=0).
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define EARLY 65536 /* bytes for who asks before dlsym() has answered */

struct control {
	_Atomic uint32_t left, failed;
};

struct real {
	void *(*malloc)(size_t);
	void *(*calloc)(size_t, size_t);
	void *(*realloc)(void *, size_t);
	void (*free)(void *);
};

/* One a process; malloc has no place of its own. */
static _Atomic(struct control *) control;
static _Atomic bool ready;
static struct real real;
static _Alignas(16) char early[EARLY];
static _Atomic size_t early_n;

static bool is_early(const void *p)
{
	return (const char *)p >= early && (const char *)p < early + EARLY;
}

static void *take_early(size_t n)
{
	const size_t at = atomic_fetch_add(&early_n, (n + 15) & ~(size_t)15);

	return at + n <= EARLY ? early + at : NULL;
}

/* Not with the first allocation: there may be no environment yet. */
__attribute__((constructor)) static void map_control(void)
{
	const char *path = getenv("SUPAFS_TEST_ALLOC_FILE"); /* NOLINT(concurrency-mt-unsafe) */
	const int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *p;

	if (fd < 0)
		return;
	p = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	(void)close(fd);
	if (p != MAP_FAILED)
		atomic_store(&control, p);
}

/* True: the next library's functions are known. The first caller looks for them (others'
 * constructors come before ours); what dlsym() itself asks for comes from `early`. */
static bool started(void)
{
	static _Atomic bool begun;

	if (atomic_load(&ready))
		return true;
	if (atomic_exchange(&begun, true))
		return false;
	*(void **)&real.malloc = dlsym(RTLD_NEXT, "malloc");
	*(void **)&real.calloc = dlsym(RTLD_NEXT, "calloc");
	*(void **)&real.realloc = dlsym(RTLD_NEXT, "realloc");
	*(void **)&real.free = dlsym(RTLD_NEXT, "free");
	atomic_store(&ready, true);
	return true;
}

static bool fails(void)
{
	struct control *c = atomic_load(&control);
	uint32_t n;

	if (!c)
		return false;
	n = atomic_load(&c->left);
	do {
		if (n == 0)
			return false;
	} while (!atomic_compare_exchange_weak(&c->left, &n, n - 1));
	if (n != 1)
		return false;
	atomic_fetch_add(&c->failed, 1);
	errno = ENOMEM;
	return true;
}

/* The C library has other names for the parameters. */
/* NOLINTBEGIN(readability-inconsistent-declaration-parameter-name) */
void *malloc(size_t n)
{
	if (!started())
		return take_early(n);
	return fails() ? NULL : real.malloc(n);
}

void *calloc(size_t n, size_t size)
{
	if (!started()) /* static memory is zero, and given once */
		return take_early(n * size);
	return fails() ? NULL : real.calloc(n, size);
}

void *realloc(void *p, size_t n)
{
	if (is_early(p) || !started()) {
		void *q = malloc(n);

		if (q && p)
			memmove(q, p, n);
		return q;
	}
	return fails() ? NULL : real.realloc(p, n);
}

void free(void *p)
{
	if (p && !is_early(p) && atomic_load(&ready))
		real.free(p);
}
/* NOLINTEND(readability-inconsistent-declaration-parameter-name) */
