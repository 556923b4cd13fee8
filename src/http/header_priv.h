/* SPDX-License-Identifier: Apache-2.0 */
/* Reply headers into struct supafs_http_reply. Pure functions. */
#pragma once

#include "supafs/http/http.h"

/* Forgets what earlier (1xx) headers left; body, times and progress stay. */
void supafs_http_clear_headers(struct supafs_http_reply *r);
/* Status of "HTTP/1.1 200 OK" or "HTTP/2 200", 0 if the line is none. */
int supafs_http_parse_status_line(struct supafs_str line);
/* Takes over "Name: value" (no line end). Unknown names and bad values are ignored, for a
 * reply without them is a valid one. `now_wall_ns` serves Retry-After dates. */
void supafs_http_take_header(
	struct supafs_http_reply *r, struct supafs_str line, int64_t now_wall_ns);
