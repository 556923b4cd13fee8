/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How far uploads are, for who waits: one line that is written over on a terminal, a line every ten
 * seconds elsewhere. On standard error.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "answer.h"

struct supafs_progress {
	bool terminal;
	bool dirty; /* the terminal's line is not empty */
	int64_t next_ns;
};

void supafs_progress_init(struct supafs_progress *p);
/* `a`: a line {files, bytes, done, failed} of the control channel. */
void supafs_progress_show(struct supafs_progress *p, const struct supafs_answer *a);
/* Leaves an empty line behind. */
void supafs_progress_end(struct supafs_progress *p);

/* "12.3 MiB" */
void supafs_format_bytes(uint64_t n, char *out, size_t size);
/* "3 m", "2 h", "5 d" */
void supafs_format_age(uint64_t seconds, char *out, size_t size);
/* Text of the daemon's on a terminal or in a log: printable, without secrets. */
void supafs_print_clean(const char *text);
