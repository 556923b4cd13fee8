/* SPDX-License-Identifier: Apache-2.0 */
/* The retry layer, inside: layer_retry.c decides and waits, layer_retry_look.c looks at what an
 * ambiguous write has left. */
#pragma once

#include "supafs/store/store.h"
#include "supafs/util/clock.h"
#include "supafs/util/lock.h"

struct supafs_retry {
	struct supafs_store base;
	struct supafs_store *inner; /* owned */
	struct supafs_retry_config cfg;
	_Atomic uint64_t nonces;
	struct supafs_mutex lock; /* a leaf */
	/* lock: */
	struct supafs_rng rng;
	double tokens; /* retries that may still be made; 0 … budget_burst */
};

static inline struct supafs_retry *supafs_retry_of(struct supafs_store *s)
{
	return (struct supafs_retry *)(void *)s;
}

/* One operation with all its tries. */
struct supafs_tries {
	struct supafs_retry *rt;
	struct supafs_call *call;
	struct supafs_fault *fault; /* the caller's */
	unsigned total;             /* tries made */
	unsigned since;             /* of them, since the last progress */
	unsigned races;
	int64_t give_up_ns; /* no try begins after that: the time-out from the first failure since
			       the last progress on. The call's own deadline moves on with each
			       byte, also with those of a try that comes to nothing */
	bool ambiguous;     /* one of them may have done it */
};

/* Earns the operation's share of the retry budget. */
void supafs_tries_init(struct supafs_tries *t, struct supafs_store *s, struct supafs_call *call,
	struct supafs_fault *fault);

/* After a try that gave `r` with t->fault. True: waited, try again. False: *r is the result. */
bool supafs_tries_again(struct supafs_tries *t, int *r);

int supafs_retry_put(struct supafs_store *s, struct supafs_call *call,
	const struct supafs_put_args *args, unsigned char ret_id[16], struct supafs_fault *fault);
int supafs_retry_remove_many(struct supafs_store *s, struct supafs_call *call,
	const struct supafs_str *keys, size_t n, bool *ret_gone, struct supafs_fault *fault);
int supafs_retry_copy(struct supafs_store *s, struct supafs_call *call,
	const struct supafs_copy_args *args, struct supafs_entry *ret_entry,
	struct supafs_fault *fault);
int supafs_retry_move(struct supafs_store *s, struct supafs_call *call, struct supafs_str from,
	struct supafs_str to, struct supafs_fault *fault);
