/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A death at a request: the layer on top copies the spool's folder before (or after) the n-th
 * request that changes something, and lets none through from then on. What the dying operation does
 * about that is of no interest: the next mount gets the copy, and the server as it was then.
 *
 * For stacks with `.wrap = reaper_new` and a journal.
 */
#pragma once

#include "vfs_fixture.h"

struct supafs_store *reaper_new(struct supafs_store *inner);
/* The n-th changing request from now on is the last. */
void reaper_doom(struct fx *x, unsigned n, bool after);
/* Or it is not: requests go through again, what was copied stays. */
void reaper_spare(struct fx *x);
/* The next mount. False: the operation needed fewer requests, and was not cut short. */
bool reaper_resurrect(struct fx *x);

/* Files in the spool's folder: records and contents. */
unsigned reaper_spooled(const struct fx *x);
/* No record, no content; what has been told to be done may be cleared away a moment later. */
void reaper_check_empty(struct fx *x);
/* Waits for what is queued and the jobs; how it ended. */
int reaper_flush(struct fx *x);
/* Faults that pass are over after some tries. */
void reaper_flush_all(struct fx *x);
