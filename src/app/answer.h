/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One flat JSON object, read as hostile input: a line of the control channel, the claims of a
 * token. At most SUPAFS_ANSWER_MAX bytes; numbers are whole, 0 to 2^53; a text has no NUL.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "supafs/util/str.h"

#define SUPAFS_ANSWER_MAX 65536

struct supafs_answer; /* never defined */

/* 0, -EPROTO (no object, or too long), -ENOMEM. Ends with supafs_answer_free(). */
int supafs_answer_parse(struct supafs_str text, struct supafs_answer **ret);
/* NULL is fine; returns NULL. */
struct supafs_answer *supafs_answer_free(struct supafs_answer *a);
void supafs_answer_freep(struct supafs_answer **a); /* for supafs_cleanup() */

/* A member's text; `other` if it is absent or no text. */
const char *supafs_answer_text(const struct supafs_answer *a, const char *name, const char *other);
/* A member's number; `other` if it is absent or none. */
uint64_t supafs_answer_number(const struct supafs_answer *a, const char *name, uint64_t other);
bool supafs_answer_true(const struct supafs_answer *a, const char *name);
/* Member that is an object, NULL if absent: goes with `a`. */
const struct supafs_answer *supafs_answer_member(const struct supafs_answer *a, const char *name);
