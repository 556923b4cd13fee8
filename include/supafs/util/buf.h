/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A growing byte buffer with a maximum. Content is always followed by a NUL that
 * does not count. A failed append frees the content and makes every later append
 * fail with the same error, so a chain of appends needs one check at its end:
 *
 *	supafs_cleanup(supafs_buf_fini) struct supafs_buf b;
 *	supafs_buf_init(&b, 4096);
 *	supafs_buf_addf(&b, "%s/%s", bucket, key);
 *	int r = supafs_buf_error(&b);	// 0, -EMSGSIZE (maximum reached) or -ENOMEM
 *
 * Not thread-safe.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include "supafs/util/str.h"

struct supafs_buf {
	char *p;     /* NULL or NUL-terminated */
	size_t n;    /* bytes in use */
	size_t cap;  /* bytes allocated, without the NUL */
	size_t max;  /* never more than this */
	int error;   /* 0 or the first failure */
	bool secret; /* what is outgrown or freed is wiped first */
};

/* `max` > 0: the most bytes it may ever hold. Allocates nothing. */
void supafs_buf_init(struct supafs_buf *b, size_t max);
/* The same for text that holds a key: no copy stays on the heap. */
void supafs_buf_init_secret(struct supafs_buf *b, size_t max);
/* Frees the content; the buffer may be used again. A zeroed buffer is fine. */
void supafs_buf_fini(struct supafs_buf *b);
/* Empties without freeing, and clears the error. */
void supafs_buf_reset(struct supafs_buf *b);

/* Each returns 0, -EMSGSIZE or -ENOMEM. */
int supafs_buf_add(struct supafs_buf *b, const void *p, size_t n);
int supafs_buf_adds(struct supafs_buf *b, const char *cstr);
int supafs_buf_addstr(struct supafs_buf *b, struct supafs_str s);
int supafs_buf_addc(struct supafs_buf *b, char c);
int supafs_buf_addf(struct supafs_buf *b, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
int supafs_buf_vaddf(struct supafs_buf *b, const char *fmt, va_list ap)
	__attribute__((format(printf, 2, 0)));

static inline int supafs_buf_error(const struct supafs_buf *b)
{
	return b->error;
}

/* The content as text, "" when empty. */
static inline const char *supafs_buf_cstr(const struct supafs_buf *b)
{
	return b->p ? b->p : "";
}

static inline struct supafs_str supafs_buf_str(const struct supafs_buf *b)
{
	return (struct supafs_str){supafs_buf_cstr(b), b->n};
}

/* Hands the content over to the caller (free()); the buffer is empty afterwards.
 * NULL after an error or when out of memory; an empty buffer gives "". */
char *supafs_buf_take(struct supafs_buf *b);
