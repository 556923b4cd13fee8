/* SPDX-License-Identifier: Apache-2.0 */
/* Texts of resumable uploads; see tus_priv.h. */
#include <string.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/parse.h"

#include "tus_priv.h"
#include "user_priv.h"

#define VALUE_MAX ((size_t)2 * SUPAFS_METADATA_MAX)

static void add_pair(struct supafs_buf *b, const char *name, struct supafs_str value)
{
	(void)supafs_buf_addf(b, "%s%s ", b->n > 0 ? "," : "", name);
	(void)supafs_b64_encode(b, value.p, value.n);
}

/* Is there anything that a listing cannot tell and info can? */
static bool to_be_asked(const struct supafs_put_args *args)
{
	return (args->meta.has & SUPAFS_META_ALL) != 0 || args->user.n > 0;
}

int supafs_sb_tus_metadata(const struct supafs_sb *sb, const struct supafs_put_args *args,
	const struct supafs_sb_attrs *a, struct supafs_buf *b)
{
	add_pair(b, "bucketName", supafs_str_of(sb->bucket));
	add_pair(b, "objectName", args->key);
	add_pair(b, "contentType", a->mime);
	/* The server takes digits only and makes max-age of them; two zeros mark it as ours, its
	 * times in user metadata (product.md §4). Without this pair it stores no-cache. */
	if (to_be_asked(args))
		add_pair(b, "cacheControl", SUPAFS_STR("00"));
	add_pair(b, "metadata", supafs_buf_str(&a->metadata));
	return supafs_buf_error(b);
}

/* The pair at the head of *rest, which moves behind its comma. */
static struct supafs_str next_pair(struct supafs_str *rest)
{
	const char *comma = memchr(rest->p, ',', rest->n);
	struct supafs_str pair = {rest->p, comma ? (size_t)(comma - rest->p) : rest->n};
	const size_t step = comma ? pair.n + 1 : pair.n;

	rest->p += step;
	rest->n -= step;
	while (pair.n > 0 && pair.p[0] == ' ') {
		pair.p++;
		pair.n--;
	}
	return pair;
}

/* The decoded value of `name`; false if it is not there or no base64. */
static bool find_value(struct supafs_str header, struct supafs_str name, struct supafs_buf *ret)
{
	while (header.n > 0) {
		struct supafs_str pair = next_pair(&header);
		if (pair.n <= name.n || pair.p[name.n] != ' ' || !supafs_str_starts(pair, name))
			continue;
		pair.p += name.n + 1;
		pair.n -= name.n + 1;
		return supafs_b64_decode(ret, pair) == 0;
	}
	return false;
}

static bool value_is(struct supafs_str header, struct supafs_str name, struct supafs_str want)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf value;

	supafs_buf_init(&value, VALUE_MAX);
	return find_value(header, name, &value) && supafs_str_eq(supafs_buf_str(&value), want);
}

static bool nonce_in(struct supafs_str metadata, char ret_nonce[SUPAFS_NONCE_MAX + 1])
{
	supafs_cleanup(supafs_json_freep) struct supafs_json *j = NULL;

	return supafs_json_parse(metadata, &j) == 0 &&
	       supafs_json_copy(j, "nonce", ret_nonce, SUPAFS_NONCE_MAX + 1);
}

bool supafs_sb_tus_same(const struct supafs_sb *sb, const struct supafs_put_args *args,
	struct supafs_str header, char ret_nonce[SUPAFS_NONCE_MAX + 1])
{
	supafs_cleanup(supafs_sb_attrs_fini) struct supafs_sb_attrs a = {.mime = {NULL, 0}};
	supafs_cleanup(supafs_buf_fini) struct supafs_buf metadata;
	char nonce[SUPAFS_NONCE_MAX + 1];
	struct supafs_fault ignored;

	supafs_buf_init(&metadata, VALUE_MAX);
	if (!find_value(header, SUPAFS_STR("metadata"), &metadata) ||
		!nonce_in(supafs_buf_str(&metadata), nonce) ||
		supafs_sb_attrs_init(&a, args, supafs_str_of(nonce), &ignored) < 0)
		return false;
	if (!supafs_str_eq(supafs_buf_str(&metadata), supafs_buf_str(&a.metadata)) ||
		!value_is(header, SUPAFS_STR("bucketName"), supafs_str_of(sb->bucket)) ||
		!value_is(header, SUPAFS_STR("objectName"), args->key) ||
		!value_is(header, SUPAFS_STR("contentType"), a.mime))
		return false;
	memcpy(ret_nonce, nonce, sizeof(nonce));
	return true;
}

bool supafs_sb_tus_id(const char *location, char ret_id[SUPAFS_UPLOAD_MAX + 1])
{
	const size_t n = strcspn(location, "?#");
	size_t from = n;

	while (from > 0 && location[from - 1] != '/')
		from--;
	if (n - from == 0 || n - from > SUPAFS_UPLOAD_MAX || location[from] == '.')
		return false;
	for (size_t i = from; i < n; i++) {
		const char c = location[i];
		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			    strchr("-_.~=+", c)))
			return false;
	}
	memcpy(ret_id, location + from, n - from);
	ret_id[n - from] = '\0';
	return true;
}
