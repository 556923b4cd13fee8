/* SPDX-License-Identifier: Apache-2.0 */
/* HS256 tokens: signing and verifying. */
#include "jwt.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/limits.h"
#include "supafs/util/parse.h"

#define HEADER_JSON "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"
#define MAC_BYTES   32U

static void json_free(cJSON **p)
{
	cJSON_Delete(*p);
}

void serve_claims_fini(struct serve_claims *c)
{
	free(c->url);
	free(c->owner);
	c->url = NULL;
	c->owner = NULL;
}

int serve_jwt_init(struct serve_jwt *j, struct supafs_str secret)
{
	if (secret.n == 0)
		return -EINVAL;
	if (secret.n > sizeof(j->secret))
		return -EMSGSIZE;
	memcpy(j->secret, secret.p, secret.n);
	j->n = secret.n;
	return 0;
}

static bool mac(const struct serve_jwt *j, struct supafs_str text, unsigned char out[MAC_BYTES])
{
	unsigned n = 0;

	return HMAC(EVP_sha256(), j->secret, (int)j->n, (const unsigned char *)text.p, text.n, out,
		       &n) != NULL &&
	       n == MAC_BYTES;
}

int serve_jwt_sign(const struct serve_jwt *j, struct supafs_str payload, struct supafs_buf *out)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf text;
	unsigned char sum[MAC_BYTES];
	int r;

	supafs_buf_init(&text, SUPAFS_SECRET_MAX);
	(void)supafs_b64url_encode(&text, HEADER_JSON, sizeof(HEADER_JSON) - 1);
	(void)supafs_buf_addc(&text, '.');
	(void)supafs_b64url_encode(&text, payload.p, payload.n);
	r = supafs_buf_error(&text);
	if (r < 0)
		return r;
	if (!mac(j, supafs_buf_str(&text), sum))
		return -EIO;
	(void)supafs_buf_addc(&text, '.');
	(void)supafs_b64url_encode(&text, sum, sizeof(sum));
	r = supafs_buf_error(&text);
	return r < 0 ? r : supafs_buf_addstr(out, supafs_buf_str(&text));
}

/* Splits at the two dots. */
static bool split(struct supafs_str token, struct supafs_str part[3])
{
	for (int i = 0; i < 3; i++) {
		const char *dot = memchr(token.p, '.', token.n);

		if ((dot != NULL) != (i < 2))
			return false;
		part[i].p = token.p;
		part[i].n = dot ? (size_t)(dot - token.p) : token.n;
		if (dot) {
			token.n -= part[i].n + 1;
			token.p = dot + 1;
		}
	}
	return true;
}

static cJSON *parse_part(struct supafs_str part)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf text;
	cJSON *json;

	supafs_buf_init(&text, SUPAFS_SECRET_MAX);
	if (supafs_b64url_decode(&text, part) < 0)
		return NULL;
	json = cJSON_ParseWithLength(supafs_buf_cstr(&text), text.n);
	if (!cJSON_IsObject(json)) {
		cJSON_Delete(json);
		return NULL;
	}
	return json;
}

static bool alg_is_hs256(const cJSON *header)
{
	const cJSON *alg = cJSON_GetObjectItemCaseSensitive(header, "alg");

	return cJSON_IsString(alg) && strcmp(alg->valuestring, "HS256") == 0;
}

static bool signature_ok(
	const struct serve_jwt *j, struct supafs_str token, const struct supafs_str part[3])
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf given;
	struct supafs_str text = {token.p, part[0].n + 1 + part[1].n};
	unsigned char sum[MAC_BYTES];

	supafs_buf_init(&given, (size_t)2 * MAC_BYTES);
	if (supafs_b64url_decode(&given, part[2]) < 0 || given.n != MAC_BYTES)
		return false;
	return mac(j, text, sum) && CRYPTO_memcmp(sum, given.p, MAC_BYTES) == 0;
}

static void take_text(const cJSON *o, const char *name, char *out, size_t size)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(o, name);

	(void)snprintf(out, size, "%s", cJSON_IsString(item) ? item->valuestring : "");
}

static char *dup_text(const cJSON *o, const char *name)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(o, name);

	return cJSON_IsString(item) ? strdup(item->valuestring) : NULL;
}

enum serve_jwt_result serve_jwt_verify(const struct serve_jwt *j, struct supafs_str token,
	int64_t now_s, struct serve_claims *ret_claims)
{
	supafs_cleanup(json_free) cJSON *header = NULL;
	supafs_cleanup(json_free) cJSON *payload = NULL;
	struct serve_claims claims = {0};
	struct supafs_str part[3];
	const cJSON *exp;

	if (token.n > SUPAFS_SECRET_MAX || !split(token, part))
		return SERVE_JWT_NOT_COMPACT;
	header = parse_part(part[0]);
	if (!header || !alg_is_hs256(header))
		return SERVE_JWT_BAD_HEADER;
	if (!signature_ok(j, token, part))
		return SERVE_JWT_BAD_SIGNATURE;
	payload = parse_part(part[1]);
	if (!payload)
		return SERVE_JWT_BAD_PAYLOAD;
	exp = cJSON_GetObjectItemCaseSensitive(payload, "exp");
	if (cJSON_IsNumber(exp) && exp->valuedouble < (double)(INT64_MAX / 1024)) {
		if (exp->valuedouble <= (double)now_s)
			return SERVE_JWT_EXPIRED;
		claims.exp = (int64_t)exp->valuedouble;
	}
	take_text(payload, "role", claims.role, sizeof(claims.role));
	take_text(payload, "sub", claims.sub, sizeof(claims.sub));
	take_text(payload, "scope", claims.scope, sizeof(claims.scope));
	claims.url = dup_text(payload, "url");
	claims.owner = dup_text(payload, "owner");
	claims.upsert = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(payload, "upsert"));
	*ret_claims = claims;
	return SERVE_JWT_OK;
}

const char *serve_jwt_text(enum serve_jwt_result r)
{
	switch (r) {
	case SERVE_JWT_OK:
		return "";
	case SERVE_JWT_NOT_COMPACT:
		return "Invalid Compact JWS";
	case SERVE_JWT_BAD_HEADER:
		return "JWS Protected Header is invalid";
	case SERVE_JWT_BAD_SIGNATURE:
		return "signature verification failed";
	case SERVE_JWT_BAD_PAYLOAD:
		return "JWT Claims Set must be a top-level JSON object";
	case SERVE_JWT_EXPIRED:
		return "\"exp\" claim timestamp check failed";
	}
	return "";
}
