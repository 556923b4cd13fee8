/* SPDX-License-Identifier: Apache-2.0 */
/* Contract: user metadata of others than us, and URLs for browsers. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "supafs/http/http.h"
#include "supafs/util/cleanup.h"

#include "contract.h"

static const struct {
	const char *name;
	struct supafs_str value;
} pairs[] = {
	{"plain", {"text", 4}},
	{"Case", {"x", 1}},
	{"caf\xc3\xa9", {"\xe2\x82\xac \"q\" \\ \n", 11}},
	{"empty", {"", 0}},
	{"binary", {"\x00\xff\x80", 3}},
	{"looks", {"0sMHN4", 6}},
	{"number", {"12", 2}},
};

static void make_user(struct supafs_buf *b)
{
	supafs_buf_init(b, SUPAFS_PAIRS_MAX);
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(pairs); i++)
		assert_int_equal(
			supafs_pairs_set(b, supafs_str_of(pairs[i].name), pairs[i].value), 0);
}

static void assert_user(struct run *r, const char *key)
{
	const struct supafs_info i = info_of(r, key);
	const struct supafs_str user = {i.user, i.user_n};
	struct supafs_str name;
	struct supafs_str value;
	size_t pos = 0;
	size_t n = 0;

	for (size_t k = 0; k < SUPAFS_ARRAY_LEN(pairs); k++) {
		assert_true(supafs_pairs_get(user, supafs_str_of(pairs[k].name), &value));
		assert_true(supafs_str_eq(value, pairs[k].value));
	}
	while (supafs_pairs_next(user, &pos, &name, &value))
		n++;
	assert_int_equal(n, SUPAFS_ARRAY_LEN(pairs));
	assert_false(i.user_cut);
}

void test_user(void **state)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf user = {0};
	struct supafs_put_args attrs = {.meta = {SUPAFS_META_MODE, 0, 0600, 0, 0}};
	struct supafs_copy_args copy = {.from = KEY("user/a"), .to = KEY("user/b")};
	struct run r;

	run_begin(&r, state);
	make_user(&user);
	attrs.user = supafs_buf_str(&user);
	put_attrs(&r, KEY("user/a"), (struct content){"abc", 3}, &attrs);
	assert_user(&r, "user/a");
	assert_int_equal(info_of(&r, "user/a").meta.mode, 0600);

	/* goes along with a copy and a rename */
	assert_int_equal(r.s->ops->copy(r.s, &r.call, &copy, NULL, &r.fault), 0);
	assert_user(&r, "user/b");
	assert_int_equal(r.s->ops->move(r.s, &r.call, KEY("user/b"), KEY("user/c"), &r.fault), 0);
	assert_user(&r, "user/c");

	/* is replaced as a whole */
	copy.from = copy.to = KEY("user/c");
	copy.replace = true;
	copy.attrs = &(const struct supafs_put_args){.mime = KEY("a/b")};
	assert_int_equal(r.s->ops->copy(r.s, &r.call, &copy, NULL, &r.fault), 0);
	assert_int_equal(info_of(&r, "user/c").user_n, 0);
	copy.attrs = &attrs;
	assert_int_equal(r.s->ops->copy(r.s, &r.call, &copy, NULL, &r.fault), 0);
	assert_user(&r, "user/c");
	put_text(&r, "user/c", "anew");
	assert_int_equal(info_of(&r, "user/c").user_n, 0);
	run_end(&r);
}

/* As a browser would: no key at all. */
static void assert_public(const struct run *r, const char *url, const char *content)
{
	const struct supafs_http_request req = {.method = SUPAFS_HTTP_GET, .url = url};
	struct supafs_http_reply reply;
	struct supafs_call call;

	supafs_http_reply_init(&reply);
	supafs_call_init(&call, supafs_clock_system(), 60000);
	assert_int_equal(supafs_http_perform(r->target->http, &call, &req, &reply), 0);
	assert_int_equal(reply.status, 200);
	assert_string_equal(supafs_buf_cstr(&reply.body), content);
	supafs_call_fini(&call);
	supafs_http_reply_fini(&reply);
}

void test_url(void **state)
{
	static const char *const keys[] = {"url/a b&c=$@:;+,(x)!.txt", "url/plain"};
	struct run r;

	run_begin(&r, state);
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(keys); i++) {
		supafs_cleanup(supafs_buf_fini) struct supafs_buf url;
		const struct supafs_str key = supafs_str_of(keys[i]);

		supafs_buf_init(&url, SUPAFS_URL_MAX);
		assert_int_equal(r.s->ops->url(r.s, &r.call, key, 60, &url, &r.fault), -ENOENT);
		put_text(&r, keys[i], "for all");
		assert_int_equal(r.s->ops->url(r.s, &r.call, key, 60, &url, &r.fault), 0);
		if (r.target->http)
			assert_public(&r, supafs_buf_cstr(&url), "for all");
		/* the bucket is not a public one */
		assert_int_equal(r.s->ops->url(r.s, &r.call, key, 0, &url, &r.fault), -EOPNOTSUPP);
	}
	run_end(&r);
}
