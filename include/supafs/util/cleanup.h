/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clean-up attributes for locals, so that an early return cannot leak.
 *
 *	supafs_autofree char *text = strdup(s);
 *	supafs_autoclose int fd = open(...);
 *	return supafs_steal(&text);	// hand over: the local becomes NULL
 *
 * The helpers keep errno.
 */
#pragma once

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define supafs_cleanup(fn) __attribute__((cleanup(fn)))

static inline void supafs_cleanup_free(void *p)
{
	int saved = errno;

	free(*(void **)p);
	errno = saved;
}

static inline void supafs_cleanup_close(const int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		(void)close(*fd);
	errno = saved;
}

#define supafs_autofree  supafs_cleanup(supafs_cleanup_free)
#define supafs_autoclose supafs_cleanup(supafs_cleanup_close)

/* Takes the pointer out of its variable, which becomes NULL. */
#define supafs_steal(pp)                                                                           \
	({                                                                                         \
		__typeof__(*(pp)) stolen_ = *(pp);                                                 \
		*(pp) = NULL;                                                                      \
		stolen_;                                                                           \
	})

static inline int supafs_steal_fd(int *fd)
{
	int r = *fd;

	*fd = -1;
	return r;
}

#define SUPAFS_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define supafs_container_of(ptr, type, member)                                                     \
	((type *)(void *)((char *)(ptr)-offsetof(type, member)))
