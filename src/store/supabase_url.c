/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses for browsers: public ones are made here, signed ones come from the server (API §9).
 * Of its reply only the query counts: host and path are what we asked for.
 */
#include <errno.h>
#include <string.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/uri.h"

#include "errors_priv.h"
#include "supabase_priv.h"

static int no_room(struct supafs_fault *fault, int r)
{
	return supafs_fault_set(fault, r == -EMSGSIZE ? -ENAMETOOLONG : r, SUPAFS_FAULT_PERMANENT,
		"Local", "the URL does not fit");
}

/* Base, route, bucket and key. */
static int add_address(const struct supafs_sb *sb, const char *route, struct supafs_str key,
	struct supafs_buf *ret)
{
	(void)supafs_buf_addf(ret, "%s%s", sb->base_url, route);
	(void)supafs_uri_add_segment(ret, supafs_str_of(sb->bucket));
	(void)supafs_buf_addc(ret, '/');
	return supafs_uri_add_path(ret, key);
}

static int public_url(const struct supafs_sb *sb, struct supafs_str key, struct supafs_buf *ret,
	struct supafs_fault *fault)
{
	int r;

	if (!sb->is_public)
		return supafs_fault_set(fault, -EOPNOTSUPP, SUPAFS_FAULT_PERMANENT, "Local",
			"the bucket is not public: only signed URLs open its objects");
	r = add_address(sb, "/object/public/", key, ret);
	return r < 0 ? no_room(fault, r) : 0;
}

/* What stands in a query as it is: RFC 3986 §3.4. */
static bool query_ok(struct supafs_str q)
{
	for (size_t i = 0; i < q.n; i++) {
		const char c = q.p[i];
		if (c <= ' ' || c > '~' || strchr("\"#<>[]\\^`{|}", c))
			return false;
	}
	return q.n > 0;
}

/* "/object/sign/b/k?token=…" → "token=…"; the key in it may have a '?' of its own. */
static bool take_query(struct supafs_str signed_url, struct supafs_str *ret)
{
	static const struct supafs_str mark = {"?token=", 7};
	const char *p = signed_url.p;
	const char *last = NULL;

	while ((p = memmem(p, signed_url.n - (size_t)(p - signed_url.p), mark.p, mark.n)) != NULL)
		last = p++;
	if (!last)
		return false;
	*ret = (struct supafs_str){last + 1, signed_url.n - (size_t)(last - signed_url.p) - 1};
	return query_ok(*ret);
}

/* Names are signed and checked as the server's framework leaves the path, which is decodeURI()'s
 * form: what that does not decode must stand as it is (tried with v1.70.6). */
static int add_signed_key(struct supafs_str key, struct supafs_buf *ret)
{
	size_t from = 0;

	for (size_t i = 0; i < key.n; i++) {
		if (!strchr("$&+,;=:@", key.p[i]))
			continue;
		(void)supafs_uri_add_path(ret, (struct supafs_str){key.p + from, i - from});
		(void)supafs_buf_addc(ret, key.p[i]);
		from = i + 1;
	}
	return supafs_uri_add_path(ret, (struct supafs_str){key.p + from, key.n - from});
}

static int signed_url(struct supafs_sb *sb, struct supafs_call *call, struct supafs_str key,
	uint64_t valid_s, struct supafs_buf *ret, struct supafs_fault *fault)
{
	supafs_cleanup(supafs_json_freep) struct supafs_json *j = NULL;
	supafs_cleanup(supafs_sb_req_fini) struct supafs_sb_req q;
	struct supafs_str reply;
	struct supafs_str query;
	int r;

	supafs_sb_req_init(&q, sb, SUPAFS_HTTP_POST, "/object/sign");
	supafs_sb_req_bucket(&q);
	(void)supafs_buf_addc(&q.url, '/');
	q.error = add_signed_key(key, &q.url);
	supafs_sb_req_json_body(&q);
	(void)supafs_buf_addf(&q.json, "{\"expiresIn\":%llu}", (unsigned long long)valid_s);
	r = supafs_sb_req_json_reply(&q, call, SUPAFS_OP_URL, &j, fault);
	if (r < 0)
		return r;
	if (!supafs_json_text(j, "signedURL", &reply) || !take_query(reply, &query))
		return supafs_errors_bad_reply(&q.reply, fault);
	(void)add_address(sb, "/object/sign/", SUPAFS_STR(""), ret);
	(void)add_signed_key(key, ret);
	(void)supafs_buf_addc(ret, '?');
	r = supafs_buf_addstr(ret, query);
	return r < 0 ? no_room(fault, r) : 0;
}

int supafs_sb_url(struct supafs_store *s, struct supafs_call *call, struct supafs_str key,
	uint64_t valid_s, struct supafs_buf *ret, struct supafs_fault *fault)
{
	struct supafs_sb *sb = supafs_sb_of(s);
	int r;

	supafs_fault_clear(fault);
	r = supafs_key_check(key, SUPAFS_KEY_READ, fault);
	if (r < 0)
		return r;
	/* A browser takes dots and doubled slashes out of a path. */
	if (supafs_key_odd(key))
		return supafs_fault_set(fault, -EOPNOTSUPP, SUPAFS_FAULT_PERMANENT, "InvalidKey",
			"no URL leads to a key with empty or dot segments");
	if (valid_s == 0)
		return public_url(sb, key, ret, fault);
	if (memchr(key.p, '?', key.n))
		return supafs_fault_set(fault, -EOPNOTSUPP, SUPAFS_FAULT_PERMANENT, "InvalidKey",
			"the server's signed URLs do not work for a name with a question mark");
	if (valid_s > INT32_MAX)
		valid_s = INT32_MAX;
	return signed_url(sb, call, key, valid_s, ret, fault);
}
