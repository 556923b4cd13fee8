/* SPDX-License-Identifier: Apache-2.0 */
/* Texts that supafs-serve takes apart: tokens, metadata, escapes, patterns, rules. */
#include <cjson/cJSON.h>
#include <errno.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/limits.h"

#include "fuzz.h"
#include "keys.h"
#include "rest.h"
#include "rest_tus.h"

#define ROOM  (2U << 20)
#define NOW_S INT64_C(1795479648)

static void check_token(const struct serve_jwt *j, struct supafs_str token)
{
	struct serve_claims c;
	enum serve_jwt_result r = serve_jwt_verify(j, token, NOW_S, &c);

	if (r != SERVE_JWT_OK) {
		FUZZ_CHECK(*serve_jwt_text(r));
		return;
	}
	FUZZ_CHECK(c.exp == 0 || c.exp > NOW_S);
	FUZZ_CHECK(strnlen(c.role, sizeof(c.role)) < sizeof(c.role));
	FUZZ_CHECK(strnlen(c.sub, sizeof(c.sub)) < sizeof(c.sub));
	serve_claims_fini(&c);
}

/* As it is, and as the payload of a token that is signed well. */
static void as_token(struct supafs_str s)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf token;
	struct serve_jwt j;

	supafs_buf_init(&token, SUPAFS_SECRET_MAX);
	FUZZ_CHECK(serve_jwt_init(&j, SUPAFS_STR("secret of the harness")) == 0);
	check_token(&j, s);
	if (serve_jwt_sign(&j, s, &token) == 0)
		check_token(&j, supafs_buf_str(&token));
}

/* What is kept goes into answers as it is: it must be one JSON object, whole. */
static void check_object(const struct supafs_buf *b)
{
	const char *end = NULL;
	cJSON *j = cJSON_ParseWithLengthOpts(supafs_buf_cstr(b), b->n, &end, 0);

	FUZZ_CHECK(cJSON_IsObject(j) && end == supafs_buf_cstr(b) + b->n);
	FUZZ_CHECK(supafs_buf_cstr(b)[0] == '{' && rest_is_utf8(b->p, b->n));
	for (size_t i = 0; i < b->n; i++)
		FUZZ_CHECK((unsigned char)b->p[i] >= 0x20);
	cJSON_Delete(j);
}

static void as_metadata(struct supafs_str s)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf kept;
	supafs_cleanup(tus_metadata_fini) struct tus_metadata m;
	char *text = strndup(s.p, s.n);
	bool ok;

	supafs_buf_init(&kept, ROOM);
	if (rest_metadata_text(s, &kept))
		check_object(&kept);
	tus_metadata_init(&m);
	FUZZ_CHECK(text != NULL);
	ok = tus_metadata_parse(&m, text);
	free(text);
	if (!ok)
		return;
	FUZZ_CHECK(m.bucket.n > 0 && m.object.n > 0);
	if (m.has_meta)
		check_object(&m.meta);
}

static void as_escapes(struct supafs_str s)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf b;

	supafs_buf_init(&b, ROOM);
	if (rest_decode(s, false, &b))
		FUZZ_CHECK(b.n <= s.n);
	supafs_buf_reset(&b);
	if (rest_decode(s, true, &b))
		FUZZ_CHECK(b.n <= s.n);
	supafs_buf_reset(&b);
	FUZZ_CHECK(rest_b64_lenient(&b, s) == 0 && b.n <= s.n);
}

/* Pattern and text, or the two objects of a fault rule, with a line end between them. */
static void as_pair(struct supafs_str s)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf b;
	struct serve_faults *f = NULL;
	struct supafs_str head = fuzz_cut(&s, '\n');
	const char *why = NULL;
	uint64_t id = 0;
	unsigned ops;
	int r;

	(void)serve_glob(head, s);
	FUZZ_CHECK(serve_glob(SUPAFS_STR("*"), s));
	if (serve_key_valid(head))
		FUZZ_CHECK(head.n > 0 && !memchr(head.p, 0, head.n));
	if (serve_policy_parse_ops(head, &ops) == 0) {
		char out[32];
		serve_policy_format_ops(ops, out);
		FUZZ_CHECK(strnlen(out, sizeof(out)) < sizeof(out));
	}
	supafs_buf_init(&b, ROOM);
	FUZZ_CHECK(serve_faults_new(&f) == 0);
	r = serve_faults_add(f, head, s, &id, &why);
	FUZZ_CHECK(r == 0 || (r == -EINVAL && why != NULL && *why));
	FUZZ_CHECK(serve_faults_json(f, &b) == 0);
	(void)serve_faults_free(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct supafs_str s = fuzz_str(data, size);

	if (size > (1U << 17))
		return 0;
	as_token(s);
	as_metadata(s);
	as_escapes(s);
	as_pair(s);
	return 0;
}
