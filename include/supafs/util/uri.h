/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Percent-encoding (RFC 3986 §2) as the Storage API wants it (API §10): everything
 * outside A-Z a-z 0-9 - . _ ~ is encoded; '/' stays in paths.
 */
#pragma once

#include <stdbool.h>

#include "supafs/util/buf.h"

/* Appends the encoded bytes; 0 or the buffer's error. */
int supafs_uri_add_path(struct supafs_buf *b, struct supafs_str key);    /* keeps '/' */
int supafs_uri_add_segment(struct supafs_buf *b, struct supafs_str seg); /* encodes '/' too */

struct supafs_url {
	bool https;
	struct supafs_str host; /* without brackets */
	struct supafs_str path; /* "" or "/…", no trailing '/' */
	unsigned port;          /* 0: the scheme's */
	bool loopback;          /* localhost, 127.0.0.0/8, ::1 */
};

/* Takes an http(s) URL apart; views point into `text`. -EINVAL for user info, query, fragment,
 * other schemes, control bytes, an empty host or a bad port. */
int supafs_url_parse(struct supafs_str text, struct supafs_url *ret_url);
