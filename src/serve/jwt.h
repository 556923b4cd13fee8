/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON Web Tokens, HS256 only (RFC 7519, RFC 7515): the server's own keys, the tokens
 * of users, and those inside signed URLs.
 *
 * Threads: a struct serve_jwt is constant after serve_jwt_init(); calls are safe from any.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "supafs/util/buf.h"
#include "supafs/util/str.h"

#define SERVE_JWT_TEXT_MAX 256 /* bytes of a claim that is kept, NUL included */

struct serve_jwt {
	unsigned char secret[256];
	size_t n;
};

enum serve_jwt_result {
	SERVE_JWT_OK,
	SERVE_JWT_NOT_COMPACT, /* not three parts */
	SERVE_JWT_BAD_HEADER,
	SERVE_JWT_BAD_SIGNATURE,
	SERVE_JWT_BAD_PAYLOAD,
	SERVE_JWT_EXPIRED,
};

/* The claims this server reads; an absent text is "". */
struct serve_claims {
	char role[64];
	char sub[SERVE_JWT_TEXT_MAX];
	char scope[16];
	char *url; /* of a signed URL, or NULL; owned: serve_claims_fini() */
	char *owner;
	bool upsert;
	int64_t exp; /* seconds since 1970; 0: none */
};

void serve_claims_fini(struct serve_claims *c);

/* -EMSGSIZE when the secret has more bytes than fit, -EINVAL when it has none. */
int serve_jwt_init(struct serve_jwt *j, struct supafs_str secret);

/* Checks signature and expiry at `now_s`. *ret_claims is set (and must be ended) only with
 * SERVE_JWT_OK. */
enum serve_jwt_result serve_jwt_verify(const struct serve_jwt *j, struct supafs_str token,
	int64_t now_s, struct serve_claims *ret_claims);
/* What the real server's library says. Static. */
const char *serve_jwt_text(enum serve_jwt_result r);

/* Appends a token with this payload, a JSON object as text. 0 or the buffer's error. */
int serve_jwt_sign(const struct serve_jwt *j, struct supafs_str payload, struct supafs_buf *out);
