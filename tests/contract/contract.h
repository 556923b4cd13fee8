/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the contract suite share. Every function asserts (cmocka). */
#pragma once

/* cmocka.h wants these before it */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
/* clang-format on */

#include "supafs/store/store.h"

#include "target.h"

/* One test's view of the target; keys live below a folder of its own. */
struct run {
	struct supafs_store *s;
	struct supafs_call call;
	struct supafs_fault fault;
	const struct target *target;
};

struct content {
	const char *p;
	size_t n;
};

#define KEY(lit) SUPAFS_STR(lit)

void run_begin(struct run *r, void **state);
void run_end(struct run *r);

void put_attrs(struct run *r, struct supafs_str key, struct content c,
	const struct supafs_put_args *attrs);
void put_text(struct run *r, const char *key, const char *text);
struct supafs_info info_of(struct run *r, const char *key);
bool exists(struct run *r, const char *key);
/* Whole content equals; version from info. */
void assert_content(struct run *r, const char *key, struct content c);

/* Reads into memory; returns the get's result. *ret_n counts what the sink got. */
int get_range(struct run *r, struct supafs_str key, const struct supafs_version *v,
	struct content range_of, uint64_t offset, size_t *ret_n);

/* Only where the target is a supafs-serve of ours (target->dir): one fault rule in place of all,
 * counters at zero; a counter; no rules any more, and run_end(). */
void fault(const struct run *r, const char *match, const char *effect);
uint64_t count(const struct run *r, const char *kind);
void faults_end(struct run *r);

/* A listing, collected over all pages. Keys in order; folders end in '/'. */
struct listing {
	char **keys;
	bool *folders;
	struct supafs_entry *entries; /* views not valid */
	size_t n, cap;
	unsigned pages;
};
void list_all(struct run *r, const char *prefix, bool delimiter, unsigned limit,
	struct listing *ret_list);
void listing_free(struct listing *l);

/* contract_list.c */
void test_list_nasty(void **state);
void test_list_2500(void **state);
void test_list_odd_keys(void **state);
void test_list_reader_gives_up(void **state);
void test_list_missing_prefix(void **state);
void test_every_character(void **state);
void test_newest_first(void **state);

/* contract_write.c */
void test_replace_is_atomic(void **state);
void test_exclusive(void **state);
void test_remove(void **state);
void test_remove_many(void **state);
void test_copy(void **state);
void test_copy_attrs(void **state);
void test_copy_bucket(void **state);
void test_move(void **state);
void test_bad_keys(void **state);
void test_put_failing_source(void **state);

/* contract_read.c */
void test_probe(void **state);
void test_round_trip(void **state);
void test_ranges(void **state);
void test_empty_object(void **state);
void test_version_changed(void **state);
void test_etag_learnt(void **state);
void test_get_reader_gives_up(void **state);
void test_get_paused(void **state);
void test_missing(void **state);
void test_meta_round_trip(void **state);
void test_meta_foreign(void **state);
void test_cancelled(void **state);
void test_keys_and_buckets(void **state);

/* contract_user.c */
void test_user(void **state);
void test_url(void **state);

/* contract_tus.c */
void test_tus_whole(void **state);
void test_tus_exclusive(void **state);
void test_tus_cut(void **state);
void test_tus_restart(void **state);
void test_tus_gone(void **state);
void test_tus_lost_answer(void **state);
void test_tus_gateway(void **state);
void test_tus_large(void **state);

/* contract_faults.c */
void test_lost_put(void **state);
void test_lost_changes(void **state);
void test_broken_get(void **state);
void test_troubles(void **state);
void test_silence(void **state);
