/* SPDX-License-Identifier: Apache-2.0 */
/* Resumable uploads: limits on the way, ids of another process, and the retry layer above. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "supafs/util/cleanup.h"

#include "tus_bench.h"
#include "unit.h"

/* --- Limits on the way --------------------------------------------------------------------------
 */

static void make_huge(struct upload *u)
{
	u->args.size = 40 * MIB;
	u->args.exclusive = true;
}

/* clang-format off */
#define POST_HUGE(u) .method = SUPAFS_HTTP_POST, .url = URL, \
	.headers = {KEYS, TUS, "Upload-Length: 41943040", (u).line.p}
#define PATCH_HUGE(at) .method = SUPAFS_HTTP_PATCH, .url = URL "/" ID, \
	.headers = {KEYS, TUS, "Upload-Offset: " at, OCTETS}
#define AT_HUGE(u, at) .status = 200, .offset = at, .length = "41943040", .metadata = (u).metadata.p
/* clang-format on */

/* A gateway takes no 40 MiB: 6, 12 and the rest. */
static void test_413(void **state)
{
	struct upload u;

	(void)state;
	upload_init(&u);
	make_huge(&u);
	const struct exchange list[] = {
		{POST_HUGE(u), CREATED},
		{PATCH_HUGE("0"), .body_size = 40 * MIB, .status = 413,
			.reply = "{\"message\":\"Request size limit exceeded\"}"},
		{PATCH_HUGE("0"), .body_size = 6 * MIB, TAKEN("6291456")},
		{PATCH_HUGE("6291456"), .body_size = 12 * MIB, TAKEN("18874368")},
		{PATCH_HUGE("18874368"), .body_size = 22 * MIB, .status = 413, .reply = "<html>"},
		{PATCH_HUGE("18874368"), .body_size = 12 * MIB, TAKEN("31457280")},
		{PATCH_HUGE("31457280"), .body_size = 10 * MIB, TAKEN("41943040")},
	};
	const struct exchange hopeless[] = {
		{POST_HUGE(u), CREATED},
		{PATCH_HUGE("0"), .body_size = 40 * MIB, .status = 413, .reply = ""},
		{PATCH_HUGE("0"), .body_size = 6 * MIB, .status = 413, .reply = ""},
	};
	assert_int_equal(PUT(u, list), 0);
	assert_int_equal(PUT(u, hopeless), -EFBIG);
	assert_non_null(strstr(u.b.fault.text, "6 MiB"));
	upload_fini(&u);
}

/* A gateway says after 30 s that its time is up. */
static void test_504(void **state)
{
	static const int statuses[] = {408, 504, 524};

	(void)state;
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(statuses); i++) {
		struct upload u;
		upload_init(&u);
		make_huge(&u);
		const struct exchange list[] = {
			{POST_HUGE(u), CREATED},
			{PATCH_HUGE("0"), .body_size = 40 * MIB, .status = statuses[i],
				.reply = "<html>", .took_ms = 30000},
			{HEAD(ID), AT_HUGE(u, "25165824")}, /* 24 MiB: 8 in ten seconds */
			{PATCH_HUGE("25165824"), .body_size = 6 * MIB, TAKEN("31457280"),
				.took_ms = 4000}, /* 15 in ten */
			{PATCH_HUGE("31457280"), .body_size = 10 * MIB, TAKEN("41943040")},
		};
		/* at once: the server behind it is down */
		const struct exchange down[] = {
			{POST_HUGE(u), CREATED},
			{PATCH_HUGE("0"), .body_size = 40 * MIB, .status = statuses[i],
				.reply = "<html>", .took_ms = 100},
			{HEAD(ID), AT_HUGE(u, "0")},
		};
		assert_int_equal(PUT(u, list), 0);
		assert_int_equal(PUT(u, down), -EIO);
		assert_int_equal(u.b.fault.class, SUPAFS_FAULT_TRANSIENT);
		upload_fini(&u);
	}
}

/* A connection that is closed after 60 s twice. */
static void test_closed_by_time(void **state)
{
	struct upload u;

	(void)state;
	upload_init(&u);
	make_huge(&u);
	const struct exchange list[] = {
		{POST_HUGE(u), CREATED},
		{PATCH_HUGE("0"), .body_size = 40 * MIB, BROKEN(SUPAFS_HTTP_BODY_PART),
			.took_ms = 60000},
		{HEAD(ID), AT_HUGE(u, "6291456")},
		{PATCH_HUGE("6291456"), .body_size = 34 * MIB, BROKEN(SUPAFS_HTTP_BODY_PART),
			.took_ms = 60500},
		{HEAD(ID), AT_HUGE(u, "12582912")},
		{PATCH_HUGE("12582912"), .body_size = 6 * MIB, TAKEN("18874368"), .took_ms = 1000},
		{PATCH_HUGE("18874368"), .body_size = 12 * MIB, TAKEN("31457280"), .took_ms = 1000},
		{PATCH_HUGE("31457280"), .body_size = 10 * MIB, TAKEN("41943040")},
	};
	assert_int_equal(PUT(u, list), 0);
	upload_fini(&u);
}

/* --- From one process to the next ---------------------------------------------------------------
 */

static void test_resume(void **state)
{
	struct upload u;

	(void)state;
	upload_init(&u);
	(void)snprintf(u.resume.id, sizeof(u.resume.id), "%s", ID);
	const struct exchange list[] = {
		{HEAD(ID), AT(u, "6")},
		{PATCH(ID, "6"), .body = "6789", TAKEN("10")},
	};
	assert_int_equal(PUT(u, list), 0);
	assert_string_equal(u.changes, "-;");
	upload_fini(&u);
}

/* An upload of the same facts but for the nonce is gone on with, and looked for by its own. */
static void test_resume_other_nonce(void **state)
{
	struct supafs_buf other;
	struct upload u;

	(void)state;
	upload_init(&u);
	make_metadata(&other, "k", FACTS("n"));
	u.args.nonce = SUPAFS_STR("m");
	(void)snprintf(u.resume.id, sizeof(u.resume.id), "%s", ID);
	const struct exchange list[] = {
		{HEAD(ID), .status = 200, .offset = "6", .length = "10", .metadata = other.p},
		{PATCH(ID, "6"), .body = "6789", BROKEN(SUPAFS_HTTP_BODY_SENT)},
		{HEAD(ID), .status = 404},
		{INFO, OURS},
	};
	assert_int_equal(PUT(u, list), 0);
	supafs_buf_fini(&other);
	upload_fini(&u);
}

/* Other facts: it is ended, and begun anew. */
static void test_resume_other_facts(void **state)
{
	static const struct {
		const char *key, *json, *length;
	} cases[] = {
		{"other", FACTS("n"), "10"},
		{"k", FACTS("n"), "11"},
		{"k", "{\"mode\":\"33188\",\"nonce\":\"n\",\"u\":\"v\"}", "10"},
		{"k", "{\"mode\":\"33152\",\"nonce\":\"n\"}", "10"},
		{"k", "{\"mode\":\"33152\",\"u\":\"v\"}", "10"},
		{"k", "garbage", "10"},
	};

	(void)state;
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(cases); i++) {
		struct supafs_buf other;
		struct upload u;

		upload_init(&u);
		make_metadata(&other, cases[i].key, cases[i].json);
		(void)snprintf(u.resume.id, sizeof(u.resume.id), "%s", ID);
		const struct exchange list[] = {
			{HEAD(ID), .status = 200, .offset = "6", .length = cases[i].length,
				.metadata = other.p},
			{DELETE(ID), .status = 204},
			{POST(u), .status = 201, .location = ID2},
			{PATCH(ID2, "0"), .body = TEXT, TAKEN("10")},
		};
		assert_int_equal(PUT(u, list), 0);
		assert_string_equal(u.changes, "-;" ID2 ";-;");
		supafs_buf_fini(&other);
		upload_fini(&u);
	}
}

static void test_resume_headers(void **state)
{
	static const char *const headers[] = {
		NULL, "", "metadata", "metadata !", ",,,", "metadata e30=", "bucketName"};

	(void)state;
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(headers); i++) {
		struct upload u;
		upload_init(&u);
		(void)snprintf(u.resume.id, sizeof(u.resume.id), "%s", ID);
		const struct exchange list[] = {
			{HEAD(ID), .status = 200, .offset = "6", .length = "10",
				.metadata = headers[i]},
			{DELETE(ID), .status = 404, .reply = ""},
			{POST(u), CREATED},
			{PATCH(ID, "0"), .body = TEXT, TAKEN("10")},
		};
		assert_int_equal(PUT(u, list), 0);
		upload_fini(&u);
	}
}

/* Expired or finished in another life: info decides. */
static void test_resume_gone(void **state)
{
	(void)state;
	for (int ours = 0; ours < 2; ours++) {
		struct upload u;
		upload_init(&u);
		(void)snprintf(u.resume.id, sizeof(u.resume.id), "%s", ID);
		const struct exchange done[] = {{HEAD(ID), .status = 410}, {INFO, OURS}};
		const struct exchange list[] = {
			{HEAD(ID), .status = 410},
			{INFO, NOBODYS},
			{POST(u), .status = 201, .location = ID2},
			{PATCH(ID2, "0"), .body = TEXT, TAKEN("10")},
		};
		assert_int_equal(ours ? PUT(u, done) : PUT(u, list), 0);
		assert_string_equal(u.resume.id, "");
		upload_fini(&u);
	}
}

/* HEAD has no body that could tell why it was refused: info can. */
static void test_resume_refused(void **state)
{
	struct upload u;

	(void)state;
	upload_init(&u);
	(void)snprintf(u.resume.id, sizeof(u.resume.id), "%s", ID);
	const struct exchange token[] = {{HEAD(ID), .status = 400}, {INFO, EXPIRED_TOKEN}};
	const struct exchange passing[] = {
		{HEAD(ID), .status = 400},
		{INFO, NOBODYS},
		{HEAD(ID), AT(u, "6")},
		{PATCH(ID, "6"), .body = "6789", TAKEN("10")},
	};
	const struct exchange lasting[] = {
		{HEAD(ID), .status = 403},
		{INFO, NOBODYS},
		{HEAD(ID), .status = 403},
		{POST(u), .status = 201, .location = ID2},
		{PATCH(ID2, "0"), .body = TEXT, TAKEN("10")},
	};
	assert_int_equal(PUT(u, token), -EACCES);
	assert_int_equal(u.b.fault.class, SUPAFS_FAULT_AUTH);
	assert_string_equal(u.resume.id, ID);
	assert_int_equal(PUT(u, passing), 0);
	(void)snprintf(u.resume.id, sizeof(u.resume.id), "%s", ID);
	assert_int_equal(PUT(u, lasting), 0);
	upload_fini(&u);
}

/* A portal's page, an offset behind the end: no reason to throw the upload away. */
static void test_head_nonsense(void **state)
{
	struct upload u;

	(void)state;
	upload_init(&u);
	(void)snprintf(u.resume.id, sizeof(u.resume.id), "%s", ID);
	const struct exchange page[] = {{HEAD(ID), .status = 200}};
	const struct exchange odd[] = {{HEAD(ID), .status = 302}};
	assert_int_equal(PUT(u, page), -EIO);
	assert_string_equal(u.b.fault.code, "BadReply");
	assert_int_equal(PUT(u, odd), -EIO);
	assert_string_equal(u.b.fault.code, "NotStorage");
	assert_string_equal(u.resume.id, ID);
	upload_fini(&u);
}

/* What is in the file is no id: it is not sent to anybody. */
static void test_resume_bad_id(void **state)
{
	static const char *const ids[] = {"../../bucket", "a b", "..", "a/b", "a?b", "a\r\nX: y"};

	(void)state;
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(ids); i++) {
		struct upload u;
		upload_init(&u);
		(void)snprintf(u.resume.id, sizeof(u.resume.id), "%s", ids[i]);
		const struct exchange list[] = {
			{POST(u), CREATED},
			{PATCH(ID, "0"), .body = TEXT, TAKEN("10")},
		};
		assert_int_equal(PUT(u, list), 0);
		upload_fini(&u);
	}
}

/* --- Under the retry layer ----------------------------------------------------------------------
 */

/* More cuts than tries, each of them further on, and an outage between: the caller has no resume,
 * yet nothing is begun anew. */
static void test_retries(void **state)
{
	const struct supafs_retry_config cfg = {
		.seed = 7, .max_attempts = 2, .base_ms = 10, .cap_ms = 20, .budget_burst = 100};
	struct supafs_retry_config retry = cfg;
	struct supafs_supabase_config store;
	struct supafs_store *s = NULL;
	struct upload u;

	(void)state;
	upload_init(&u);
	u.args.resume = NULL;
	const struct exchange list[] = {
		{POST(u), CREATED},
		{PATCH(ID, "0"), .status = 503, .body = TEXT, .reply = "acquiring lock timeout"},
		{HEAD(ID), AT(u, "3")},
		{PATCH(ID, "3"), .status = 429, .body = "3456789", .reply = ""},
		{HEAD(ID), AT(u, "5")},
		{PATCH(ID, "5"), BROKEN(SUPAFS_HTTP_BODY_PART)},
		{HEAD(ID), AT(u, "5")}, /* no further: waits */
		{HEAD(ID), AT(u, "7")},
		{PATCH(ID, "7"), .body = "789", BROKEN(SUPAFS_HTTP_BODY_SENT)},
		{HEAD(ID), .error = -ECONNREFUSED},
		{INFO, NOBODYS}, /* the look of API §12.3 */
		{HEAD(ID), AT(u, "10")},
		{INFO, OURS},
	};
	bench_config(&store);
	store.resumable_min = 10;
	bench_begin_with(&u.b, &store, list, SUPAFS_ARRAY_LEN(list));
	supafs_fake_clock_init(&u.clock, SUPAFS_NS_PER_S, SUPAFS_NS_PER_S);
	retry.clock = &u.clock.base;
	assert_int_equal(supafs_store_new_retry(&retry, u.b.s, &s), 0);
	u.b.s = s;
	supafs_call_fini(&u.b.call);
	supafs_call_init(&u.b.call, &u.clock.base, 0);
	assert_int_equal(s->ops->put(s, &u.b.call, &u.args, u.id, &u.b.fault), 0);
	assert_int_equal(u.id[0], 0xd3);
	bench_end(&u.b);
	upload_fini(&u);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_413),
		cmocka_unit_test(test_504),
		cmocka_unit_test(test_closed_by_time),
		cmocka_unit_test(test_resume),
		cmocka_unit_test(test_resume_other_nonce),
		cmocka_unit_test(test_resume_other_facts),
		cmocka_unit_test(test_resume_headers),
		cmocka_unit_test(test_resume_gone),
		cmocka_unit_test(test_resume_refused),
		cmocka_unit_test(test_head_nonsense),
		cmocka_unit_test(test_resume_bad_id),
		cmocka_unit_test(test_retries),
	};

	return cmocka_run_group_tests_name("store_tus_resume", tests, NULL, NULL);
}
