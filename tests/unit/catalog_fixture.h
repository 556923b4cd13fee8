/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the catalog share: a catalog over the scripted store and a fake clock. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above */
#include <cmocka.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "supafs/cache/catalog.h"

#include "scripted_store.h"

#define TTL_MS 5000

struct fix {
	struct scripted store;
	struct supafs_fake_clock clock;
	struct supafs_catalog *c;
	struct supafs_call call;
	struct supafs_fault fault;
	struct supafs_dirent ent;
};

void fix_init(struct fix *x, uint64_t ttl_ms, size_t memory, const char *root);
void fix_fini(struct fix *x);
void fix_advance_ms(struct fix *x, int64_t ms);
/* Look-up into x->ent. */
int fix_lookup(struct fix *x, const char *prefix, const char *name);
int fix_lookup_fresh(struct fix *x, const char *prefix, const char *name);
/* A pending change of a file whose segment is its name; its id. */
uint64_t fix_change(
	struct fix *x, const char *prefix, const char *name, bool present, uint64_t size);
void fix_ack(struct fix *x, const char *prefix, const char *name, uint64_t id);
void fix_undo(struct fix *x, const char *prefix, const char *name, uint64_t id);
/* The shown names of a new handle, joined by '|', folders with a '/'; static text of *x. */
const char *fix_list(struct fix *x, const char *prefix);
/* The same of a handle that is open, from *off on, at most `most` names. */
const char *fix_read(struct fix *x, struct supafs_dir *d, uint64_t *off, size_t most);
struct supafs_dir *fix_open(struct fix *x, const char *prefix);
