/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the store layer share: key rules, nonces, faults made here and
 * not by a server.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "supafs/store/store.h"

enum supafs_key_use {
	SUPAFS_KEY_READ,   /* get, info, move/copy source: what cannot exist is -ENOENT */
	SUPAFS_KEY_PATH,   /* written through a URL path (put): no empty or dot segments */
	SUPAFS_KEY_BODY,   /* written through a JSON body (move/copy target) */
	SUPAFS_KEY_REMOVE, /* deleted: any key that can be sent */
};

/* Checks the rules at the head of store.h. 0, -ENOENT or -EINVAL with *fault filled. */
int supafs_key_check(struct supafs_str key, enum supafs_key_use use, struct supafs_fault *fault);

/* Both keys of a copy or move. */
int supafs_key_check_pair(struct supafs_str from, struct supafs_str to, struct supafs_fault *fault);
/* Key and range of a get: -EINVAL for a range that is empty or not in the object. */
int supafs_get_check(const struct supafs_get_args *args, struct supafs_fault *fault);
/* Count and keys of a remove_many. */
int supafs_batch_check(const struct supafs_str *keys, size_t n, struct supafs_fault *fault);

/* True if gateways may rewrite the key in a URL: "", "." or ".." as a segment (a trailing '/'
 * alone is fine). */
bool supafs_key_odd(struct supafs_str key);

/* Fills a fault that has no reply behind it, and returns `error`. `text` may be NULL. */
int supafs_fault_set(struct supafs_fault *f, int error, enum supafs_fault_class class,
	const char *code, const char *text);

/* Unique text for one upload or one URL: (seed, counter) through SplitMix64. Any thread. */
void supafs_nonce_make(uint64_t seed, _Atomic uint64_t *counter, char ret_text[33]);

/* "8-4-4-4-12" hex → bytes. True if it is one. */
bool supafs_uuid_parse(struct supafs_str s, unsigned char ret[16]);
bool supafs_uuid_is_zero(const unsigned char id[16]);

const char *supafs_op_name(enum supafs_op op);
