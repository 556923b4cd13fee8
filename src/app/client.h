/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A command's side of the control channel (docs/control.md): finds the daemon of a mount by its
 * record, asks it one thing, reads the lines of the answer.
 */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>

#include "answer.h"
#include "control_request.h"
#include "messages.h"
#include "record.h"

struct supafs_client {
	char mountpoint[PATH_MAX]; /* absolute */
	struct supafs_record record;
};

/* Finds the mount at `path`, or, with `inside`, the one that `path` is in; then *ret_rest has the
 * rest of the path ("" for the mount point itself; PATH_MAX bytes). 0, or -errno with *p set. */
int supafs_client_find(struct supafs_client *c, const char *path, bool inside, char *ret_rest,
	struct supafs_problem *p);
/* Sends a request. The answer's stream, which ends with fclose(), or NULL with *p set. */
FILE *supafs_client_ask(const struct supafs_client *c, const struct supafs_control_request *req,
	struct supafs_problem *p);
/* The same without words, for a mount that may be gone: NULL. */
FILE *supafs_client_try(const struct supafs_record *rec, const struct supafs_control_request *req);

/* The next line: 1 and the parsed line (to be freed), 0 at the end, -EPROTO for what is none.
 * `raw` (may be NULL, SUPAFS_ANSWER_MAX + 2 bytes) gets the line as it came. */
int supafs_client_next(FILE *f, struct supafs_answer **ret, char *raw);
/* The last line of an answer: 0, or -errno with *p set when it tells an error. */
int supafs_client_result(const struct supafs_client *c, const char *what,
	const struct supafs_answer *a, struct supafs_problem *p);
/* Asks, and waits for the last line alone. On success *ret_last (may be NULL) is to be freed. */
int supafs_client_simple(const struct supafs_client *c, const struct supafs_control_request *req,
	const char *what, struct supafs_answer **ret_last, struct supafs_problem *p);
