/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys and tokens: what they say of themselves, and a user's token in a file that somebody renews
 * (SUPABASE_USER_TOKEN_FILE).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "supafs/util/buf.h"
#include "supafs/util/lock.h"

#include "messages.h"

/* What a JWT claims; nothing here is verified, that is the server's part. */
struct supafs_claims {
	char role[32]; /* "" = none */
	char sub[64];
	int64_t exp_s; /* seconds since 1970; 0: never ends */
};
/* False if it is no JWT. */
bool supafs_claims_read(const char *token, struct supafs_claims *ret);

/* A file that holds one key or token and nothing else, blanks at its end aside. `ret`: empty, made
 * by supafs_buf_init_secret(). `service`: it lies in a folder that the service manager made, where
 * root's group may read. 0, or -errno with *p set. */
int supafs_key_file_read(
	const char *path, bool service, struct supafs_buf *ret, struct supafs_problem *p);

/* The file of a user's token, and what came out of it last. */
struct supafs_token_file {
	const char *path; /* absolute; borrowed */
	struct supafs_mutex lock;
	/* lock: the file as it was read last; inode 0: not known */
	uint64_t inode;
	int64_t size;
	struct timespec changed; /* its ctime: also a new mode is a change */
	uint64_t hash;           /* of the token */
	int64_t exp_s;           /* of the token; 0: it tells none */
	bool told;               /* that it has no newer one */
};
/* `token`: the one that is in use. */
void supafs_token_file_init(struct supafs_token_file *f, const char *path, const char *token);
void supafs_token_file_fini(struct supafs_token_file *f);
/* supafs_supabase_config.refresh: a token that is newer than the last one and has not expired. 0,
 * or -EKEYEXPIRED: there is none yet, which the log says once for each state of the file, when the
 * last one has ended or is refused long before its end, or what is there cannot be used. Any
 * thread. */
int supafs_token_file_refresh(void *ctx, struct supafs_buf *ret);
/* supafs_supabase_config.changed: is the file another one than was read last? One stat; a file
 * that is absent for a moment has not changed. Any thread. */
bool supafs_token_file_changed(void *ctx);
