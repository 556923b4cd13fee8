/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests of the control channel (docs/control.md): one line, a verb and its arguments with one
 * blank between them. Paths are below the mount, percent-encoded, without empty or dot segments.
 */
#pragma once

#include <limits.h>
#include <stdint.h>

#include "supafs/util/buf.h"

#define SUPAFS_CONTROL_LINE_MAX 16384 /* bytes of a request */

enum supafs_control_verb {
	SUPAFS_CONTROL_STATUS,
	SUPAFS_CONTROL_PROGRESS,
	SUPAFS_CONTROL_PENDING,
	SUPAFS_CONTROL_RETRY,
	SUPAFS_CONTROL_DROP,
	SUPAFS_CONTROL_FLUSH,
	SUPAFS_CONTROL_INVALIDATE,
	SUPAFS_CONTROL_URL,
	SUPAFS_CONTROL__COUNT,
};

struct supafs_control_request {
	enum supafs_control_verb verb;
	uint64_t id;         /* RETRY (0: all), DROP */
	uint64_t seconds;    /* URL; 0: for everybody */
	size_t path_n;       /* URL */
	char path[PATH_MAX]; /* NUL-terminated */
};

/* Parses a line without its end; hostile input. 0 or -EINVAL. */
int supafs_control_parse(struct supafs_str line, struct supafs_control_request *ret);
/* The other way, with the line's end; 0 or the buffer's error. */
int supafs_control_format(const struct supafs_control_request *req, struct supafs_buf *out);
