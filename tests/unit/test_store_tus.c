/* SPDX-License-Identifier: Apache-2.0 */
/* Resumable uploads over a scripted transport: each answer of API §6.4 at POST, PATCH and HEAD. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tus_bench.h"
#include "tus_priv.h"
#include "unit.h"

static void test_whole(void **state)
{
	struct upload u;

	(void)state;
	upload_init(&u);
	const struct exchange list[] = {
		{POST(u), CREATED},
		{PATCH(ID, "0"), .body = TEXT, TAKEN("10")},
	};
	memset(u.id, 1, sizeof(u.id));
	assert_int_equal(PUT(u, list), 0);
	assert_string_equal(u.changes, ID ";-;");
	assert_string_equal(u.resume.id, "");
	assert_int_equal(u.resume.offset, 0);
	for (size_t i = 0; i < sizeof(u.id); i++)
		assert_int_equal(u.id[i], 0); /* the server does not tell it */
	upload_fini(&u);
}

/* Smaller ones, and all when it is off, go by PUT. */
static void test_threshold(void **state)
{
	static const uint64_t mins[] = {11, 0, UINT64_MAX};

	(void)state;
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(mins); i++) {
		const struct exchange list[] = {{
			.method = SUPAFS_HTTP_PUT,
			.url = BASE "/object/my%20bucket/k",
			.headers = {KEYS, "Content-Type: a/b", "Cache-Control: *", "x-metadata: *"},
			.body = TEXT,
			.status = 200,
			.reply = "{\"Key\":\"b/k\"}",
		}};
		struct supafs_supabase_config cfg;
		struct upload u;

		upload_init(&u);
		bench_config(&cfg);
		cfg.resumable_min = mins[i];
		bench_begin_with(&u.b, &cfg, list, 1);
		assert_int_equal(u.b.s->ops->put(u.b.s, &u.b.call, &u.args, u.id, &u.b.fault), 0);
		bench_end(&u.b);
		assert_string_equal(u.changes, "");
		upload_fini(&u);
	}
}

/* Without anything that info would have to tell, there is no mark that asks for it. */
static void test_no_meta(void **state)
{
	struct upload u;
	char line[400];
	struct supafs_buf b;

	(void)state;
	upload_init(&u);
	u.args.meta.has = 0;
	u.args.user = SUPAFS_STR("");
	supafs_buf_init(&b, 1000);
	b64_pair(&b, "bucketName", "my bucket");
	b64_pair(&b, "objectName", "k");
	b64_pair(&b, "contentType", "a/b");
	b64_pair(&b, "metadata", "{\"nonce\":\"n\"}");
	(void)snprintf(line, sizeof(line), "Upload-Metadata: %s", b.p);
	const struct exchange list[] = {
		{.method = SUPAFS_HTTP_POST,
			.url = URL,
			.headers = {KEYS, TUS, UPSERT, "Upload-Length: 10", line},
			CREATED},
		{PATCH(ID, "0"), .body = TEXT, TAKEN("10")},
	};
	assert_int_equal(PUT(u, list), 0);
	supafs_buf_fini(&b);
	upload_fini(&u);
}

static void test_exclusive(void **state)
{
	struct upload u;

	(void)state;
	upload_init(&u);
	u.args.exclusive = true;
	const struct exchange list[] = {
		{.method = SUPAFS_HTTP_POST,
			.url = URL,
			.headers = {KEYS, TUS, "Upload-Length: 10", u.line.p},
			CREATED},
		{.method = SUPAFS_HTTP_PATCH,
			.url = URL "/" ID,
			.headers = {KEYS, TUS, "Upload-Offset: 0", OCTETS},
			.body = TEXT,
			TAKEN("10")},
	};
	const struct exchange there[] = {
		{.method = SUPAFS_HTTP_POST,
			.url = URL,
			.headers = {KEYS, TUS, "Upload-Length: 10", u.line.p},
			.status = 409,
			.reply = "The resource already exists"},
	};
	const struct exchange meanwhile[] = {
		{.method = SUPAFS_HTTP_POST,
			.url = URL,
			.headers = {KEYS, TUS, "Upload-Length: 10", u.line.p},
			CREATED},
		{.method = SUPAFS_HTTP_PATCH,
			.url = URL "/" ID,
			.headers = {KEYS, TUS, "Upload-Offset: 0", OCTETS},
			.body = TEXT,
			.status = 409,
			.reply = "The resource already exists"},
	};
	assert_int_equal(PUT(u, list), 0);
	assert_int_equal(PUT(u, there), -EEXIST);
	assert_int_equal(u.b.fault.class, SUPAFS_FAULT_CONFLICT);
	assert_int_equal(PUT(u, meanwhile), -EEXIST);
	upload_fini(&u);
}

/* The answer to the last piece was lost, and it is "exists" now: ours or another's. */
static void test_exclusive_lost(void **state)
{
	(void)state;
	for (int ours = 0; ours < 2; ours++) {
		struct upload u;
		upload_init(&u);
		u.args.exclusive = true;
		(void)snprintf(u.resume.id, sizeof(u.resume.id), "%s", ID);
		const struct exchange list[] = {
			{HEAD(ID), AT(u, "4")},
			{.method = SUPAFS_HTTP_PATCH,
				.url = URL "/" ID,
				.headers = {KEYS, TUS, "Upload-Offset: 4", OCTETS},
				.body = "456789",
				.status = 409,
				.reply = "The resource already exists"},
			{INFO, .status = ours ? 200 : 400,
				.reply = ours ? "{\"name\":\"k\",\"metadata\":{\"nonce\":\"n\"}}"
					      : "{\"statusCode\":\"404\",\"code\":\"NoSuchKey\","
						"\"message\":\"Object not found\"}"},
		};
		assert_int_equal(PUT(u, list), ours ? 0 : -EEXIST);
		assert_false(u.b.fault.ambiguous);
		upload_fini(&u);
	}
}

/* --- What POST may answer -----------------------------------------------------------------------
 */

static void test_post_answers(void **state)
{
	static const struct {
		int status;
		const char *reply;
		int error;
		enum supafs_fault_class class;
		const char *code;
	} cases[] = {
		{400, "Invalid key: k", -EINVAL, SUPAFS_FAULT_PERMANENT, "InvalidKey"},
		{400, "Metadata header is required", -EINVAL, SUPAFS_FAULT_PERMANENT, ""},
		{403, "new row violates row-level security policy", -EACCES, SUPAFS_FAULT_DENIED,
			""},
		{404, "Bucket not found", -ENOENT, SUPAFS_FAULT_MISSING, "NoSuchBucket"},
		{412, "Tus-Resumable Required\n", -EINVAL, SUPAFS_FAULT_PERMANENT, ""},
		{413, "Maximum size exceeded\n", -EFBIG, SUPAFS_FAULT_TOO_LARGE, "EntityTooLarge"},
		{415, "mime type is not supported", -EPERM, SUPAFS_FAULT_PERMANENT,
			"InvalidMimeType"},
		{423, "locked", -EIO, SUPAFS_FAULT_TRANSIENT, ""},
		{429, "", -EIO, SUPAFS_FAULT_THROTTLED, ""},
		{500, "Internal Server Error", -EIO, SUPAFS_FAULT_TRANSIENT, ""},
		{503, "acquiring lock timeout", -EIO, SUPAFS_FAULT_TRANSIENT, "UploadLocked"},
		{504, "<html>", -EIO, SUPAFS_FAULT_TRANSIENT, ""},
		{400,
			"{\"statusCode\":\"403\",\"code\":\"AccessDenied\",\"message\":\"Invalid "
			"Compact JWS\"}",
			-EACCES, SUPAFS_FAULT_AUTH, "TokenInvalid"},
		{201, "", -EIO, SUPAFS_FAULT_TRANSIENT, "BadReply"}, /* no Location */
		{200, "<html>", -EIO, SUPAFS_FAULT_TRANSIENT, "NotStorage"},
	};

	(void)state;
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(cases); i++) {
		struct upload u;
		upload_init(&u);
		const struct exchange list[] = {
			{POST(u), .status = cases[i].status, .reply = cases[i].reply}};
		assert_int_equal(PUT(u, list), cases[i].error);
		assert_int_equal(u.b.fault.class, cases[i].class);
		assert_string_equal(u.b.fault.code, cases[i].code);
		assert_false(u.b.fault.ambiguous); /* nothing can have come of it */
		assert_string_equal(u.changes, "");
		upload_fini(&u);
	}
}

static void test_post_broken(void **state)
{
	struct upload u;

	(void)state;
	upload_init(&u);
	const struct exchange list[] = {{POST(u), BROKEN(SUPAFS_HTTP_BODY_SENT)}};
	assert_int_equal(PUT(u, list), -ECONNRESET);
	assert_int_equal(u.b.fault.class, SUPAFS_FAULT_TRANSIENT);
	assert_false(u.b.fault.ambiguous);
	upload_fini(&u);
}

/* Only the last segment of a Location counts, and only if it may stand in a path. */
static void test_locations(void **state)
{
	static const struct {
		const char *location, *id;
	} cases[] = {
		{"https://h/storage/v1/upload/resumable/abc-_DEF0", "abc-_DEF0"},
		{"/upload/resumable/abc?x=/y", "abc"},
		{"abc#f", "abc"},
		{"abc", "abc"},
		{"", NULL},
		{"https://h/", NULL},
		{"https://h/..", NULL},
		{"https://h/.", NULL},
		{"https://h/a b", NULL},
		{"https://h/a%2Fb", NULL},
		{"https://h/a\\b", NULL},
		{"https://h/a\"b", NULL},
	};
	char id[SUPAFS_UPLOAD_MAX + 1];
	char longest[SUPAFS_UPLOAD_MAX + 3];

	(void)state;
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(cases); i++) {
		assert_int_equal(supafs_sb_tus_id(cases[i].location, id), cases[i].id != NULL);
		if (cases[i].id)
			assert_string_equal(id, cases[i].id);
	}
	memset(longest, 'a', sizeof(longest));
	longest[SUPAFS_UPLOAD_MAX] = '\0';
	assert_true(supafs_sb_tus_id(longest, id));
	longest[SUPAFS_UPLOAD_MAX] = 'a';
	longest[SUPAFS_UPLOAD_MAX + 1] = '\0';
	assert_false(supafs_sb_tus_id(longest, id));
}

/* A server without the route: this one by PUT, and all that follow without asking. */
static void test_no_route(void **state)
{
	static const struct {
		int status;
		const char *reply;
	} cases[] = {
		{404, "{\"statusCode\":404,\"error\":\"Not Found\",\"message\":\"Route "
		      "POST:/upload/resumable not found\"}"},
		{404, "<html>"},
		{405, ""},
		{501, ""},
	};

	(void)state;
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(cases); i++) {
		const struct exchange whole = {
			.method = SUPAFS_HTTP_PUT,
			.url = BASE "/object/my%20bucket/k",
			.headers = {KEYS, "Content-Type: a/b", "Cache-Control: *", "x-metadata: *"},
			.body = TEXT,
			.status = 200,
			.reply =
				"{\"Key\":\"b/k\",\"Id\":\"d3bbe41b-0102-0304-0506-0708090a0b0c\"}",
		};
		struct supafs_supabase_config cfg;
		struct upload u;

		upload_init(&u);
		const struct exchange list[] = {
			{POST(u), .status = cases[i].status, .reply = cases[i].reply}, whole,
			whole};
		bench_config(&cfg);
		cfg.resumable_min = 10;
		bench_begin_with(&u.b, &cfg, list, 3);
		for (int k = 0; k < 2; k++)
			assert_int_equal(
				u.b.s->ops->put(u.b.s, &u.b.call, &u.args, u.id, &u.b.fault), 0);
		bench_end(&u.b);
		assert_int_equal(u.id[0], 0xd3);
		upload_fini(&u);
	}
}

/* --- What PATCH may answer ----------------------------------------------------------------------
 */

static void test_patch_answers(void **state)
{
	static const struct {
		int status;
		const char *reply;
		int error;
		enum supafs_fault_class class;
		bool ambiguous;
	} cases[] = {
		{400, "Request aborted due to lock acquired", -EIO, SUPAFS_FAULT_TRANSIENT, false},
		{403, "new row violates row-level security policy", -EACCES, SUPAFS_FAULT_DENIED,
			false},
		{412, "Tus-Resumable Required\n", -EINVAL, SUPAFS_FAULT_PERMANENT, false},
		{413, "upload's size exceeded\n", -EFBIG, SUPAFS_FAULT_TOO_LARGE, false},
		{413, "<html>too large</html>", -EFBIG, SUPAFS_FAULT_TOO_LARGE, false},
		{415, "mime type is not supported", -EPERM, SUPAFS_FAULT_PERMANENT, false},
		{423, "locked", -EIO, SUPAFS_FAULT_TRANSIENT, false},
		{429, "", -EIO, SUPAFS_FAULT_THROTTLED, false},
		{500, "Internal Server Error", -EIO, SUPAFS_FAULT_TRANSIENT, true},
		{503, "acquiring lock timeout", -EIO, SUPAFS_FAULT_TRANSIENT, false},
		{503, "<html>", -EIO, SUPAFS_FAULT_TRANSIENT, true},
	};

	(void)state;
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(cases); i++) {
		struct upload u;
		upload_init(&u);
		const struct exchange list[] = {
			{POST(u), CREATED},
			{PATCH(ID, "0"), .body = TEXT, .status = cases[i].status,
				.reply = cases[i].reply},
		};
		assert_int_equal(PUT(u, list), cases[i].error);
		assert_int_equal(u.b.fault.class, cases[i].class);
		assert_int_equal(u.b.fault.ambiguous, cases[i].ambiguous);
		/* the next put goes on with it */
		assert_string_equal(u.resume.id, ID);
		upload_fini(&u);
	}
}

/* 404 and 410: begun anew, once. */
static void test_patch_gone(void **state)
{
	(void)state;
	for (int k = 0; k < 2; k++) {
		const int status = k ? 410 : 404;
		struct upload u;
		upload_init(&u);
		const struct exchange list[] = {
			{POST(u), CREATED},
			{PATCH(ID, "0"), .body = TEXT, .status = status,
				.reply = "The file for this url was not found\n"},
			{POST(u), .status = 201, .location = ID2},
			{PATCH(ID2, "0"), .body = TEXT, TAKEN("10")},
		};
		const struct exchange twice[] = {
			{POST(u), CREATED},
			{PATCH(ID, "0"), .body = TEXT, .status = status,
				.reply = "The file for this url was not found\n"},
			{POST(u), .status = 201, .location = ID2},
			{PATCH(ID2, "0"), .body = TEXT, .status = status,
				.reply = "The file for this url was not found\n"},
		};
		assert_int_equal(PUT(u, list), 0);
		assert_string_equal(u.changes, ID ";-;" ID2 ";-;");
		assert_int_equal(PUT(u, twice), -EIO);
		assert_string_equal(u.b.fault.code, "UploadGone");
		assert_int_equal(u.b.fault.class, SUPAFS_FAULT_TRANSIENT);
		assert_string_equal(u.resume.id, "");
		upload_fini(&u);
	}
}

/* 409: the server has another offset. */
static void test_patch_conflict(void **state)
{
	struct upload u;

	(void)state;
	upload_init(&u);
	const struct exchange list[] = {
		{POST(u), CREATED},
		{PATCH(ID, "0"), .body = TEXT, .status = 409, .reply = "Upload-Offset conflict\n"},
		{HEAD(ID), AT(u, "6")},
		{PATCH(ID, "6"), .body = "6789", .status = 409,
			.reply = "Upload-Offset conflict\n"},
		{HEAD(ID), AT(u, "3")},
		{PATCH(ID, "3"), .body = "3456789", TAKEN("10")},
	};
	const struct exchange same[] = {
		{POST(u), CREATED},
		{PATCH(ID, "0"), .body = TEXT, .status = 409, .reply = "Upload-Offset conflict\n"},
		{HEAD(ID), AT(u, "0")},
	};
	assert_int_equal(PUT(u, list), 0);
	assert_int_equal(PUT(u, same), -EIO);
	assert_int_equal(u.b.fault.class, SUPAFS_FAULT_TRANSIENT);
	assert_string_equal(u.resume.id, ID);
	upload_fini(&u);
}

/* Only a part was taken; an answer that says nothing is looked behind. */
static void test_patch_parts(void **state)
{
	struct upload u;

	(void)state;
	upload_init(&u);
	const struct exchange list[] = {
		{POST(u), CREATED},
		{PATCH(ID, "0"), .body = TEXT, TAKEN("4")},
		{PATCH(ID, "4"), .body = "456789", .status = 200, .reply = "<html>portal</html>"},
		{HEAD(ID), AT(u, "7")},
		{PATCH(ID, "7"), .body = "789", TAKEN("99")},
		{HEAD(ID), AT(u, "8")},
		{PATCH(ID, "8"), .body = "89", TAKEN("10")},
	};
	assert_int_equal(PUT(u, list), 0);
	upload_fini(&u);
}

/* --- Cuts ---------------------------------------------------------------------------------------
 */

static void test_cut(void **state)
{
	struct upload u;

	(void)state;
	upload_init(&u);
	const struct exchange list[] = {
		{POST(u), CREATED},
		{PATCH(ID, "0"), BROKEN(SUPAFS_HTTP_BODY_PART)},
		{HEAD(ID), AT(u, "6")}, /* goes on at once, as long as it gets further */
		{PATCH(ID, "6"), BROKEN(SUPAFS_HTTP_BODY_PART)},
		{HEAD(ID), AT(u, "7")},
		{PATCH(ID, "7"), BROKEN(SUPAFS_HTTP_BODY_PART)},
		{HEAD(ID), AT(u, "7")},
	};
	const struct exchange later[] = {
		{HEAD(ID), AT(u, "7")},
		{PATCH(ID, "7"), .body = "789", TAKEN("10")},
	};
	assert_int_equal(PUT(u, list), -ECONNRESET);
	assert_int_equal(u.b.fault.class, SUPAFS_FAULT_TRANSIENT);
	assert_false(u.b.fault.ambiguous);
	assert_int_equal(u.resume.offset, 7);
	assert_int_equal(PUT(u, later), 0);
	upload_fini(&u);
}

/* Nobody there: it is not asked once more. */
static void test_unreachable(void **state)
{
	struct upload u;

	(void)state;
	upload_init(&u);
	const struct exchange list[] = {
		{POST(u), CREATED},
		{PATCH(ID, "0"), .error = -ECONNREFUSED},
	};
	const struct exchange look[] = {{HEAD(ID), .error = -ECONNREFUSED}};
	const struct exchange cut[] = {
		{HEAD(ID), AT(u, "0")},
		{PATCH(ID, "0"), BROKEN(SUPAFS_HTTP_BODY_PART)},
		{HEAD(ID), .status = 503, .reply = ""},
	};
	assert_int_equal(PUT(u, list), -ECONNREFUSED);
	assert_int_equal(PUT(u, look), -ECONNREFUSED);
	assert_int_equal(PUT(u, cut), -EIO);
	assert_int_equal(u.b.fault.class, SUPAFS_FAULT_TRANSIENT);
	assert_string_equal(u.resume.id, ID);
	upload_fini(&u);
}

/* The answer to the last piece is lost: what HEAD and info can say then. */
static void test_lost_answer(void **state)
{
	struct upload u;

	(void)state;
	upload_init(&u);
	const struct exchange ours[] = {
		{POST(u), CREATED},
		{PATCH(ID, "0"), .body = TEXT, BROKEN(SUPAFS_HTTP_BODY_SENT)},
		{HEAD(ID), AT(u, "10")},
		{INFO, OURS},
	};
	const struct exchange gone[] = {
		{POST(u), CREATED},
		{PATCH(ID, "0"), .body = TEXT, BROKEN(SUPAFS_HTTP_BODY_SENT)},
		{HEAD(ID), .status = 404},
		{INFO, OURS},
	};
	/* all there, not yet an object: an empty PATCH ends it */
	const struct exchange open[] = {
		{POST(u), CREATED},
		{PATCH(ID, "0"), .body = TEXT, BROKEN(SUPAFS_HTTP_BODY_SENT)},
		{HEAD(ID), AT(u, "10")},
		{INFO, NOBODYS},
		{PATCH(ID, "10"), TAKEN("10")},
	};
	/* gone, and the object is somebody else's */
	const struct exchange lost[] = {
		{POST(u), CREATED},
		{PATCH(ID, "0"), .body = TEXT, BROKEN(SUPAFS_HTTP_BODY_SENT)},
		{HEAD(ID), .status = 410},
		{INFO, THEIRS},
		{POST(u), .status = 201, .location = ID2},
		{PATCH(ID2, "0"), .body = TEXT, TAKEN("10")},
	};
	/* not whole after all */
	const struct exchange part[] = {
		{POST(u), CREATED},
		{PATCH(ID, "0"), .body = TEXT, BROKEN(SUPAFS_HTTP_BODY_SENT)},
		{HEAD(ID), AT(u, "9")},
		{PATCH(ID, "9"), .body = "9", TAKEN("10")},
	};
	/* nobody can say: the caller is told so */
	const struct exchange unknown[] = {
		{POST(u), CREATED},
		{PATCH(ID, "0"), .body = TEXT, BROKEN(SUPAFS_HTTP_BODY_SENT)},
		{HEAD(ID), .error = -ECONNREFUSED},
	};
	assert_int_equal(PUT(u, ours), 0);
	assert_int_equal(u.id[0], 0xd3);
	assert_int_equal(PUT(u, gone), 0);
	assert_int_equal(PUT(u, open), 0);
	assert_int_equal(PUT(u, lost), 0);
	assert_int_equal(PUT(u, part), 0);
	assert_int_equal(PUT(u, unknown), -ECONNREFUSED);
	assert_true(u.b.fault.ambiguous);
	assert_string_equal(u.resume.id, ID);
	upload_fini(&u);
}

/* The store behind the server has closed it already (API §6.5). */
static void test_closed(void **state)
{
	static const int statuses[] = {500, 400, 404, 409};

	(void)state;
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(statuses); i++) {
		struct upload u;
		upload_init(&u);
		(void)snprintf(u.resume.id, sizeof(u.resume.id), "%s", ID);
		const struct exchange list[] = {
			{HEAD(ID), AT(u, "10")},
			{INFO, NOBODYS},
			{PATCH(ID, "10"), .status = statuses[i],
				.reply = statuses[i] == 404 ? "The file for this url was not found"
							    : "closed"},
			{INFO, NOBODYS},
			{POST(u), .status = 201, .location = ID2},
			{PATCH(ID2, "0"), .body = TEXT, TAKEN("10")},
		};
		const struct exchange surely_not[] = {
			{HEAD(ID), AT(u, "10")},
			{INFO, NOBODYS},
			{PATCH(ID, "10"), .status = statuses[i],
				.reply = statuses[i] == 404 ? "The file for this url was not found"
							    : "closed"},
			{POST(u), .status = 201, .location = ID2},
			{PATCH(ID2, "0"), .body = TEXT, TAKEN("10")},
		};
		if (statuses[i] == 500)
			assert_int_equal(PUT(u, list), 0);
		else if (statuses[i] == 409)
			assert_int_equal(put(&u, surely_not, 3), -EEXIST);
		else
			assert_int_equal(PUT(u, surely_not), 0);
		upload_fini(&u);
	}
}

static ssize_t pread_fails(void *ctx, void *buf, size_t n, uint64_t off)
{
	(void)ctx;
	(void)buf;
	(void)n;
	(void)off;
	return -EIO;
}

static int failing_perform(struct supafs_http *t, struct supafs_call *call,
	const struct supafs_http_request *req, struct supafs_http_reply *reply)
{
	char buf[4];

	(void)t;
	(void)call;
	if (req->method == SUPAFS_HTTP_POST) {
		reply->status = 201;
		(void)snprintf(reply->location, sizeof(reply->location), "%s", LOCATION);
		return 0;
	}
	reply->progress = SUPAFS_HTTP_BODY_PART;
	return (int)req->body->pread(req->body->ctx, buf, sizeof(buf), 0);
}

static void test_source_fails(void **state)
{
	static const struct supafs_http_ops ops = {.perform = failing_perform};
	struct supafs_http http = {&ops};
	struct supafs_supabase_config cfg;
	struct supafs_store *s = NULL;
	struct upload u;

	(void)state;
	upload_init(&u);
	u.args.pread = pread_fails;
	bench_config(&cfg);
	cfg.resumable_min = 1;
	assert_int_equal(supafs_store_new_supabase(&cfg, &http, &s), 0);
	supafs_call_init(&u.b.call, supafs_clock_system(), 0);
	assert_int_equal(s->ops->put(s, &u.b.call, &u.args, u.id, &u.b.fault), -EIO);
	assert_string_equal(u.b.fault.code, "Local");
	assert_int_equal(u.b.fault.class, SUPAFS_FAULT_PERMANENT);
	supafs_call_fini(&u.b.call);
	(void)supafs_store_free(s);
	upload_fini(&u);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),
		cmocka_unit_test(test_threshold),
		cmocka_unit_test(test_no_meta),
		cmocka_unit_test(test_exclusive),
		cmocka_unit_test(test_exclusive_lost),
		cmocka_unit_test(test_post_answers),
		cmocka_unit_test(test_post_broken),
		cmocka_unit_test(test_locations),
		cmocka_unit_test(test_no_route),
		cmocka_unit_test(test_patch_answers),
		cmocka_unit_test(test_patch_gone),
		cmocka_unit_test(test_patch_conflict),
		cmocka_unit_test(test_patch_parts),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_unreachable),
		cmocka_unit_test(test_lost_answer),
		cmocka_unit_test(test_closed),
		cmocka_unit_test(test_source_fails),
	};

	return cmocka_run_group_tests_name("store_tus", tests, NULL, NULL);
}
