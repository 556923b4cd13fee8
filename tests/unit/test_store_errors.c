/* SPDX-License-Identifier: Apache-2.0 */
/* The error table: what each answer that a server, a gateway or a CDN can give becomes. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "supafs/util/cleanup.h"

#include "errors_priv.h"
#include "unit.h"

#define GET  SUPAFS_OP_GET
#define PUT  SUPAFS_OP_PUT
#define LIST SUPAFS_OP_LIST
#define COPY SUPAFS_OP_COPY

#define BODY(status, error, message, code)                                                         \
	"{\"statusCode\":\"" status "\",\"error\":\"" error "\",\"message\":\"" message            \
	"\",\"code\":\"" code "\"}"

struct answer {
	int http;
	const char *body;
	enum supafs_op op;
	/* expected: */
	int error;
	enum supafs_fault_class class;
	int status;
	const char *code;
	bool ambiguous;
};

#define F(name) SUPAFS_FAULT_##name

/* As recorded from the real server, where there is a record (tests/golden). */
static const struct answer answers[] = {
	/* resumable uploads: plain text, real statuses (API §6.4) */
	{409, "Upload-Offset conflict\n", PUT, -EIO, F(TRANSIENT), 409, "UploadOffset", false},
	{409, "The resource already exists", PUT, -EEXIST, F(CONFLICT), 409, "KeyAlreadyExists",
		false},
	{404, "The file for this url was not found\n", PUT, -EIO, F(TRANSIENT), 404, "UploadGone",
		false},
	{410, "The file for this url no longer exists\n", PUT, -EIO, F(TRANSIENT), 410,
		"UploadGone", false},
	{400, "Request aborted due to lock acquired", PUT, -EIO, F(TRANSIENT), 400, "UploadLocked",
		false},
	{503, "acquiring lock timeout", PUT, -EIO, F(TRANSIENT), 503, "UploadLocked", false},
	{404, "Bucket not found", PUT, -ENOENT, F(MISSING), 404, "NoSuchBucket", false},
	{400, "Invalid key: a~b", PUT, -EINVAL, F(PERMANENT), 400, "InvalidKey", false},
	{413, "Maximum size exceeded\n", PUT, -EFBIG, F(TOO_LARGE), 413, "EntityTooLarge", false},
	{413, "upload's size exceeded\n", PUT, -EFBIG, F(TOO_LARGE), 413, "EntityTooLarge", false},
	{415, "mime type image/x is not supported", PUT, -EPERM, F(PERMANENT), 415,
		"InvalidMimeType", false},
	{403, "new row violates row-level security policy", PUT, -EACCES, F(DENIED), 403, "",
		false},
	{412, "Tus-Resumable Required\n", PUT, -EINVAL, F(PERMANENT), 412, "", false},

	/* nearly every error is HTTP 400: the body has the real one */
	{400, BODY("404", "not_found", "Object not found", "NoSuchKey"), GET, -ENOENT, F(MISSING),
		404, "NoSuchKey", false},
	{400, BODY("404", "Bucket not found", "Bucket not found", "NoSuchBucket"), GET, -ENOENT,
		F(MISSING), 404, "NoSuchBucket", false},
	{400, BODY("409", "Duplicate", "The resource already exists", "KeyAlreadyExists"), PUT,
		-EEXIST, F(CONFLICT), 409, "KeyAlreadyExists", false},
	{400, BODY("409", "Duplicate", "The resource already exists", "ResourceAlreadyExists"),
		SUPAFS_OP_MOVE, -EEXIST, F(CONFLICT), 409, "ResourceAlreadyExists", false},
	{400,
		BODY("413", "Payload too large", "The object exceeded the maximum allowed size",
			"EntityTooLarge"),
		PUT, -EFBIG, F(TOO_LARGE), 413, "EntityTooLarge", false},
	{400,
		BODY("415", "invalid_mime_type", "mime type application/zip is not supported",
			"InvalidMimeType"),
		PUT, -EPERM, F(PERMANENT), 415, "InvalidMimeType", false},
	{400, BODY("400", "InvalidKey", "Invalid key: a#b", "InvalidKey"), PUT, -EINVAL,
		F(PERMANENT), 400, "InvalidKey", false},
	{400, BODY("400", "InvalidKey", "Invalid key: a#b", "InvalidKey"), GET, -ENOENT, F(MISSING),
		400, "InvalidKey", false},
	{400,
		BODY("404", "InvalidRequest", "The related resource does not exist",
			"InvalidRequest"),
		COPY, -ENOENT, F(MISSING), 404, "InvalidRequest", false},
	{400, BODY("400", "Error", "body/limit must be >= 1", "InvalidRequest"), LIST, -EINVAL,
		F(PERMANENT), 400, "InvalidRequest", false},
	{400,
		BODY("400", "InvalidParameter", "Invalid Parameter continuation token",
			"InvalidParameter"),
		LIST, -EINVAL, F(PERMANENT), 400, "InvalidParameter", false},
	{409, BODY("409", "x", "bucket is too large to empty", "InvalidRequest"), PUT, -EBUSY,
		F(CONFLICT), 409, "InvalidRequest", false},
	{400, BODY("409", "ResourceNotEmpty", "not empty", "ResourceNotEmpty"), PUT, -ENOTEMPTY,
		F(CONFLICT), 409, "ResourceNotEmpty", false},

	/* tokens */
	{400,
		BODY("403", "Unauthorized", "\\\"exp\\\" claim timestamp check failed",
			"AccessDenied"),
		GET, -EACCES, F(AUTH), 403, "TokenExpired", false},
	{400, BODY("403", "Unauthorized", "jwt expired", "AccessDenied"), GET, -EACCES, F(AUTH),
		403, "TokenExpired", false},
	{400, BODY("403", "Unauthorized", "signature verification failed", "AccessDenied"), GET,
		-EACCES, F(AUTH), 403, "TokenSignature", false},
	{400, BODY("403", "Unauthorized", "Invalid Compact JWS", "AccessDenied"), GET, -EACCES,
		F(AUTH), 403, "TokenInvalid", false},
	{400, BODY("403", "Unauthorized", "JWS Protected Header is invalid", "AccessDenied"), GET,
		-EACCES, F(AUTH), 403, "TokenInvalid", false},
	{400,
		BODY("400", "Error", "headers must have required property 'authorization'",
			"InvalidRequest"),
		GET, -EACCES, F(AUTH), 400, "TokenMissing", false},
	{500, BODY("500", "x", "database error, code: 22023", "DatabaseError"), GET, -EACCES,
		F(AUTH), 500, "TokenRole", false},
	{401, "{\"message\":\"Invalid API key\",\"hint\":\"Double check\"}", GET, -EACCES, F(AUTH),
		401, "TokenInvalid", false},
	{401, "", GET, -EACCES, F(AUTH), 401, "TokenInvalid", false},
	/* policies */
	{400,
		BODY("403", "Unauthorized", "new row violates row-level security policy",
			"AccessDenied"),
		PUT, -EACCES, F(DENIED), 403, "AccessDenied", false},
	{403, BODY("403", "Unauthorized", "Access denied: Invalid role", "AccessDenied"), PUT,
		-EACCES, F(DENIED), 403, "AccessDenied", false},
	{403, "<html>forbidden</html>", GET, -EACCES, F(DENIED), 403, "", false},

	/* races of §3.6 */
	{400, BODY("404", "Not found", "The resource was not found", "NoSuchKey"), GET, -EIO,
		F(RACE), 404, "NoSuchKey", false},
	{400,
		"{\"statusCode\":\"404\",\"error\":\"Not found\",\"message\":\"The resource was not "
		"found\"}",
		GET, -EIO, F(RACE), 404, "NoSuchKey", false},
	{500, BODY("500", "Internal", "Internal Server Error", "InternalError"), GET, -EIO, F(RACE),
		500, "InternalError", false},
	{500,
		BODY("500", "Internal", "Attempted to send payload of invalid type 'object'",
			"InternalError"),
		GET, -EIO, F(RACE), 500, "InternalError", false},
	{500, BODY("500", "Internal", "Internal Server Error", "InternalError"), PUT, -EIO,
		F(TRANSIENT), 500, "InternalError", true},
	{416, BODY("416", "invalid_range", "invalid range provided", "InvalidRange"), GET, -ESTALE,
		F(CONFLICT), 416, "Changed", false},
	{416, "", GET, -ESTALE, F(CONFLICT), 416, "Changed", false},

	/* busy: the status inside HTTP 400 decides */
	{400, BODY("503", "LockTimeout", "acquiring lock timeout", "LockTimeout"), PUT, -EIO,
		F(TRANSIENT), 503, "LockTimeout", false},
	{400, BODY("423", "x", "locked", "ResourceLocked"), PUT, -EIO, F(TRANSIENT), 423,
		"ResourceLocked", false},
	{429, BODY("429", "too_many_connections", "Too many connections", "SlowDown"), GET, -EIO,
		F(THROTTLED), 429, "SlowDown", false},
	{429, "slow down", GET, -EIO, F(THROTTLED), 429, "", false},
	{544, BODY("544", "x", "The connection to the database timed out", "DatabaseTimeout"), PUT,
		-EIO, F(TRANSIENT), 544, "DatabaseTimeout", true},
	{544, "", PUT, -EIO, F(TRANSIENT), 544, "", true},
	{400, BODY("503", "x", "read-only transaction", "DatabaseReadOnly"), PUT, -EROFS,
		F(PERMANENT), 503, "DatabaseReadOnly", false},
	{400, BODY("503", "x", "schema", "DatabaseSchemaMismatch"), PUT, -EIO, F(PERMANENT), 503,
		"DatabaseSchemaMismatch", false},
	{400, BODY("409", "x", "conflict", "TransactionError"), PUT, -EIO, F(TRANSIENT), 409,
		"TransactionError", false},
	{503, BODY("503", "Please reduce your rate", "SlowDown", "S3Error"), PUT, -EIO,
		F(THROTTLED), 503, "S3Error", false},
	{400, BODY("400", "too big", "InvalidRequest", "S3Error"), COPY, -EFBIG, F(TOO_LARGE), 400,
		"S3Error", false},
	{500, BODY("500", "x", "aborted", "Aborted"), PUT, -EIO, F(TRANSIENT), 500, "Aborted",
		true},

	/* gateways and CDN: HTML, empty, anything */
	{500, "", PUT, -EIO, F(TRANSIENT), 500, "", true},
	{500, "", GET, -EIO, F(RACE), 500, "", false},
	{502, "<html>Bad Gateway</html>", GET, -EIO, F(TRANSIENT), 502, "", true},
	{503, "upstream", LIST, -EIO, F(TRANSIENT), 503, "", true},
	{504, "", PUT, -EIO, F(TRANSIENT), 504, "", true},
	{520, "<!DOCTYPE html>", PUT, -EIO, F(TRANSIENT), 520, "", true},
	{521, "", PUT, -EIO, F(TRANSIENT), 521, "", true},
	{522, "", PUT, -EIO, F(TRANSIENT), 522, "", true},
	{523, "", PUT, -EIO, F(TRANSIENT), 523, "", true},
	{524, "", PUT, -EIO, F(TRANSIENT), 524, "", true},
	{525, "", PUT, -EIO, F(PERMANENT), 525, "", false},
	{540, "", GET, -EIO, F(PERMANENT), 540, "ProjectPaused", false},
	{408, "", PUT, -EIO, F(TRANSIENT), 408, "", true},
	{402, "{\"message\":\"quota\"}", PUT, -EDQUOT, F(DENIED), 402, "", false},
	{413, "<html>Request Entity Too Large</html>", PUT, -EFBIG, F(TOO_LARGE), 413, "", false},
	{431,
		"{\"error\":\"Request Header Fields Too Large\",\"message\":\"Exceeded maximum\","
		"\"statusCode\":431}",
		PUT, -E2BIG, F(PERMANENT), 431, "Request Header Fields Too Large", false},
	/* not the Storage API at all */
	{404, "{\"message\":\"Route GET:/nope not found\",\"error\":\"Not Found\",\"statusCode\":404}",
		GET, -EIO, F(PERMANENT), 404, "NotStorage", false},
	{404, BODY("404", "Not Found", "Route PATCH:/object/x not found", "InvalidRequest"), COPY,
		-EIO, F(PERMANENT), 404, "NotStorage", false},
	{404, "{\"message\":\"no Route matched with those values\"}", GET, -EIO, F(PERMANENT), 404,
		"NotStorage", false},
	{404, "<html>nginx</html>", LIST, -EIO, F(PERMANENT), 404, "NotStorage", false},
	{405, "", PUT, -EIO, F(PERMANENT), 405, "NotStorage", false},
	{301, "", GET, -EIO, F(TRANSIENT), 301, "NotStorage", true},
	{307, "", PUT, -EIO, F(TRANSIENT), 307, "NotStorage", true},
	{400, "", PUT, -EINVAL, F(PERMANENT), 400, "", false},
	{400,
		"{\"statusCode\":400,\"code\":\"FST_ERR_BAD_URL\",\"error\":\"Bad Request\","
		"\"message\":\"is not a valid url component\"}",
		GET, -ENOENT, F(MISSING), 400, "FST_ERR_BAD_URL", false},
	/* status as a number, out of range, no number */
	{400, "{\"statusCode\":404,\"code\":\"NoSuchKey\",\"message\":\"Object not found\"}", GET,
		-ENOENT, F(MISSING), 404, "NoSuchKey", false},
	{400, "{\"statusCode\":\"9999\",\"code\":\"NoSuchKey\",\"message\":\"x\"}", GET, -ENOENT,
		F(MISSING), 400, "NoSuchKey", false},
	{400, "{\"statusCode\":\"nonsense\",\"code\":\"NoSuchKey\",\"message\":\"x\"}", GET,
		-ENOENT, F(MISSING), 400, "NoSuchKey", false},
	/* before 1.0: no code */
	{400, "{\"statusCode\":\"404\",\"error\":\"not_found\",\"message\":\"Object not found\"}",
		GET, -ENOENT, F(MISSING), 404, "NoSuchKey", false},
	{400, "{\"statusCode\":\"409\",\"error\":\"Duplicate\",\"message\":\"exists\"}", PUT,
		-EEXIST, F(CONFLICT), 409, "KeyAlreadyExists", false},
	/* a code nobody has heard of goes by its status */
	{400, BODY("503", "x", "y", "BrandNew"), PUT, -EIO, F(TRANSIENT), 503, "BrandNew", true},
	{400, BODY("422", "x", "y", "BrandNew"), PUT, -EINVAL, F(PERMANENT), 422, "BrandNew",
		false},
	{400, "[1,2]", PUT, -EINVAL, F(PERMANENT), 400, "", false},
	{400, "{\"code\":7,\"message\":[],\"statusCode\":{}}", PUT, -EINVAL, F(PERMANENT), 400, "",
		false},
};

static int classify(int http, const char *body, enum supafs_op op, struct supafs_fault *f)
{
	struct supafs_http_reply r;
	int e;

	supafs_http_reply_init(&r);
	r.status = http;
	r.progress = SUPAFS_HTTP_REPLY_PART;
	r.retry_after_ms = 1500;
	(void)snprintf(r.request_id, sizeof(r.request_id), "req-1");
	assert_int_equal(supafs_buf_adds(&r.body, body), 0);
	e = supafs_errors_reply(&r, op, f);
	supafs_http_reply_fini(&r);
	return e;
}

static void test_answers(void **state)
{
	(void)state;
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(answers); i++) {
		const struct answer *a = &answers[i];
		struct supafs_fault f;
		int e = classify(a->http, a->body, a->op, &f);
		if (e != a->error || f.class != a->class || strcmp(f.code, a->code) != 0)
			print_error("answer %zu: HTTP %d %s\n", i, a->http, a->body);
		assert_int_equal(e, a->error);
		assert_int_equal(f.class, a->class);
		assert_int_equal(f.status, a->status);
		assert_string_equal(f.code, a->code);
		assert_int_equal(f.ambiguous, a->ambiguous);
		assert_int_equal(f.retry_after_ms, 1500);
		assert_string_equal(f.request_id, "req-1");
		assert_true(f.text[0] != '\0');
	}
}

/* The reply that row `i` describes, as JSON in `body`; returns its status. */
static int describe(const struct supafs_error_row *row, size_t i, char *body, size_t size)
{
	int status = row->status_min ? row->status_min : 400;
	char words[100];
	size_t n = 0;

	if (!supafs_errors_row(i + 1))
		status = 200; /* the last one: no error status at all */
	/* 400…499 and 500…599 catch what the rows before leave. */
	if (!row->code && row->status_max - row->status_min > 90)
		status = row->status_min + 78;
	for (const char *p = row->words ? row->words : "x"; *p; p++) {
		if (*p == '"')
			words[n++] = '\\';
		words[n++] = *p;
	}
	words[n] = '\0';
	(void)snprintf(body, size, "{\"statusCode\":%d,\"message\":\"%s\",\"code\":\"%s\"}", status,
		words, row->code ? row->code : "");
	return status;
}

static enum supafs_op last_op(const struct supafs_error_row *row)
{
	unsigned op = SUPAFS_OP__COUNT;

	if (row->ops == 0)
		return SUPAFS_OP_PUT;
	while (!(row->ops & (1U << --op)))
		;
	return (enum supafs_op)op;
}

static void assert_row_reached(const struct supafs_error_row *row, size_t i)
{
	const char *code = row->tell ? row->tell : row->code;
	struct supafs_fault f;
	char body[400];
	int status = describe(row, i, body, sizeof(body));
	int e = classify(status, body, last_op(row), &f);

	if (e != row->error || f.class != row->class)
		print_error("row %zu: %s\n", i, body);
	assert_int_equal(e, row->error);
	assert_int_equal(f.class, row->class);
	assert_int_equal(f.ambiguous, row->unsure);
	assert_string_equal(f.code, code ? code : "");
}

/* Every row is reached by the reply that it describes: none stands behind one that hides it. */
static void test_every_row(void **state)
{
	size_t n = 0;

	(void)state;
	for (const struct supafs_error_row *row; (row = supafs_errors_row(n)); n++)
		assert_row_reached(row, n);
	assert_true(n > 90);
}

static void test_transport(void **state)
{
	static const struct {
		int error;
		enum supafs_fault_class class;
		const char *code;
	} rows[] = {
		{-EINTR, F(PERMANENT), "Cancelled"},
		{-ETIMEDOUT, F(TRANSIENT), "Timeout"},
		{-ECONNREFUSED, F(TRANSIENT), "Unreachable"},
		{-EHOSTUNREACH, F(TRANSIENT), "Unreachable"},
		{-ECONNRESET, F(TRANSIENT), "Broken"},
		{-EPROTO, F(TRANSIENT), "Broken"},
		{-ECONNABORTED, F(PERMANENT), "TLS"},
		{-ESHUTDOWN, F(PERMANENT), "Shutdown"},
		{-ENOMEM, F(PERMANENT), "Local"},
		{-E2BIG, F(PERMANENT), "Local"},
	};

	(void)state;
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(rows); i++) {
		for (int p = SUPAFS_HTTP_NOT_SENT; p <= SUPAFS_HTTP_REPLY_PART; p++) {
			struct supafs_http_reply r;
			struct supafs_fault f;
			supafs_http_reply_init(&r);
			r.progress = (enum supafs_http_progress)p;
			assert_int_equal(
				supafs_errors_transport(rows[i].error, &r, &f), rows[i].error);
			assert_int_equal(f.class, rows[i].class);
			assert_string_equal(f.code, rows[i].code);
			assert_int_equal(f.status, 0);
			assert_int_equal(f.ambiguous, p >= SUPAFS_HTTP_BODY_SENT);
			assert_true(f.text[0] != '\0');
			supafs_http_reply_fini(&r);
		}
	}
}

/* What goes to people: one line, no control bytes, no token, also when the server echoes one. */
static void test_text_is_clean(void **state)
{
	static const char token[] =
		"eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoiYW5vbiJ9.c2lnbmF0dXJlc2lnbmF0dXJl";
	struct supafs_fault f;
	char body[1000];
	char line[400];

	(void)state;
	(void)snprintf(
		body, sizeof(body), BODY("400", "x", "bad\\ntoken %s\\u0007!", "Odd\\n"), token);
	assert_int_equal(classify(400, body, GET, &f), -EINVAL);
	assert_null(strstr(f.text, "eyJhbGci"));
	assert_null(strchr(f.text, '\n'));
	assert_null(strchr(f.text, '\a'));
	assert_null(strchr(f.code, '\n'));
	supafs_fault_format(&f, line, sizeof(line));
	assert_null(strchr(line, '\n'));

	assert_int_equal(
		classify(400, BODY("404", "x", "Object not found", "NoSuchKey"), GET, &f), -ENOENT);
	supafs_fault_format(&f, line, sizeof(line));
	assert_string_equal(line, "HTTP 404 NoSuchKey: Object not found");
	assert_int_equal(classify(504, "", GET, &f), -EIO);
	supafs_fault_format(&f, line, sizeof(line));
	assert_string_equal(line, "HTTP 504: the reply is empty");
	supafs_fault_clear(&f);
	supafs_fault_format(&f, line, sizeof(line));
	assert_string_equal(line, "no reply");
	supafs_fault_format(&f, line, 3);
	assert_string_equal(line, "no");
}

/* Every cut of an error body is still classified, by its status if by nothing else. */
static void test_truncated_bodies(void **state)
{
	(void)state;
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(answers); i++) {
		for (size_t n = 0; n < strlen(answers[i].body); n++) {
			supafs_autofree char *cut =
				supafs_str_dup((struct supafs_str){answers[i].body, n});
			struct supafs_fault f;
			assert_true(classify(answers[i].http, cut, answers[i].op, &f) < 0);
			assert_true(f.class != SUPAFS_FAULT_NONE);
			assert_true(f.text[0] != '\0');
		}
	}
}

static void test_bad_reply(void **state)
{
	struct supafs_http_reply r;
	struct supafs_fault f;

	(void)state;
	supafs_http_reply_init(&r);
	r.status = 200;
	assert_int_equal(supafs_errors_bad_reply(&r, &f), -EIO);
	assert_string_equal(f.code, "BadReply");
	assert_int_equal(f.class, SUPAFS_FAULT_TRANSIENT);
	assert_true(f.ambiguous);
	assert_int_equal(supafs_buf_adds(&r.body, "\r\n <!doctype html>"), 0);
	assert_int_equal(supafs_errors_bad_reply(&r, &f), -EIO);
	assert_string_equal(f.code, "NotStorage");
	assert_int_equal(f.class, SUPAFS_FAULT_TRANSIENT);
	assert_true(f.ambiguous);
	supafs_http_reply_fini(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_every_row),
		cmocka_unit_test(test_transport),
		cmocka_unit_test(test_text_is_clean),
		cmocka_unit_test(test_truncated_bodies),
		cmocka_unit_test(test_bad_reply),
	};

	return cmocka_run_group_tests_name("store_errors", tests, NULL, NULL);
}
