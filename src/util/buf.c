/* SPDX-License-Identifier: Apache-2.0 */
/* A growing byte buffer with a maximum. */
#include "supafs/util/buf.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	FIRST_CAP = 64,
};

void supafs_buf_init(struct supafs_buf *b, size_t max)
{
	assert(max > 0);
	*b = (struct supafs_buf){.max = max};
}

void supafs_buf_init_secret(struct supafs_buf *b, size_t max)
{
	supafs_buf_init(b, max);
	b->secret = true;
}

static void release(struct supafs_buf *b)
{
	if (b->secret && b->p)
		explicit_bzero(b->p, b->cap);
	free(b->p);
	b->p = NULL;
}

void supafs_buf_fini(struct supafs_buf *b)
{
	release(b);
	*b = (struct supafs_buf){.max = b->max, .secret = b->secret};
}

void supafs_buf_reset(struct supafs_buf *b)
{
	b->n = 0;
	b->error = 0;
	if (b->p)
		b->p[0] = '\0';
}

static int fail(struct supafs_buf *b, int error)
{
	release(b);
	b->n = b->cap = 0;
	b->error = error;
	return error;
}

/* realloc() may leave the old block behind as it is. */
static char *resize(struct supafs_buf *b, size_t cap)
{
	char *p;

	if (!b->secret)
		return realloc(b->p, cap + 1);
	p = malloc(cap + 1);
	if (!p)
		return NULL;
	if (b->p)
		memcpy(p, b->p, b->n);
	release(b);
	return p;
}

/* Makes room for `n` more bytes and the NUL. */
static int grow(struct supafs_buf *b, size_t n)
{
	size_t cap = b->cap;
	char *p = NULL;

	if (b->error)
		return b->error;
	if (n > b->max - b->n)
		return fail(b, -EMSGSIZE);
	if (b->p && n <= cap - b->n)
		return 0;
	while (cap < b->n + n)
		cap = cap < FIRST_CAP ? FIRST_CAP : (cap > b->max / 2 ? b->max : cap * 2);
	if (cap > b->max)
		cap = b->max;
	p = resize(b, cap);
	if (!p)
		return fail(b, -ENOMEM);
	p[b->n] = '\0';
	b->p = p;
	b->cap = cap;
	return 0;
}

int supafs_buf_add(struct supafs_buf *b, const void *p, size_t n)
{
	const int r = grow(b, n);

	if (r != 0 || n == 0)
		return r;
	memcpy(b->p + b->n, p, n);
	b->n += n;
	b->p[b->n] = '\0';
	return 0;
}

int supafs_buf_adds(struct supafs_buf *b, const char *cstr)
{
	return supafs_buf_add(b, cstr, strlen(cstr));
}

int supafs_buf_addstr(struct supafs_buf *b, struct supafs_str s)
{
	return supafs_buf_add(b, s.p, s.n);
}

int supafs_buf_addc(struct supafs_buf *b, char c)
{
	return supafs_buf_add(b, &c, 1);
}

int supafs_buf_vaddf(struct supafs_buf *b, const char *fmt, va_list ap)
{
	va_list again;
	int n = 0;
	int r = 0;

	if (b->error)
		return b->error;
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	if (n < 0)
		return fail(b, -EMSGSIZE);
	r = grow(b, (size_t)n);
	if (r != 0)
		return r;
	(void)vsnprintf(b->p + b->n, (size_t)n + 1, fmt, ap);
	b->n += (size_t)n;
	return 0;
}

int supafs_buf_addf(struct supafs_buf *b, const char *fmt, ...)
{
	va_list ap;
	int r = 0;

	va_start(ap, fmt);
	r = supafs_buf_vaddf(b, fmt, ap);
	va_end(ap);
	return r;
}

char *supafs_buf_take(struct supafs_buf *b)
{
	char *p = NULL;

	/* An empty buffer may have no memory yet: its text is "" all the same. */
	if (b->error || grow(b, 0) != 0)
		return NULL;
	p = b->p;
	b->p = NULL;
	b->n = b->cap = 0;
	return p;
}
