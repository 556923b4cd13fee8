/* SPDX-License-Identifier: Apache-2.0 */
/*
 * THE error table: the real status and `code` of the body (nearly every error is HTTP 400, API
 * §0), the reason between the lines of `message`, and the gateways' own pages.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/log.h"
#include "supafs/util/parse.h"

#include "errors_priv.h"
#include "json_priv.h"
#include "store_priv.h"

#define OP(name) (1U << SUPAFS_OP_##name)
#define READS    (OP(GET) | OP(INFO) | OP(LIST) | OP(PROBE) | OP(URL))
#define F(name)  SUPAFS_FAULT_##name

/* clang-format off */
static const struct supafs_error_row rows[] = {
	/* What the service refuses about the token: jose's texts, Kong's and the hosted gateway's. */
	{"AccessDenied", "\"exp\" claim", 0, 0, 0, -EACCES, F(AUTH), false, "TokenExpired"},
	{"AccessDenied", "jwt expired", 0, 0, 0, -EACCES, F(AUTH), false, "TokenExpired"},
	{"AccessDenied", "signature verification failed", 0, 0, 0, -EACCES, F(AUTH), false, "TokenSignature"},
	{"AccessDenied", "invalid signature", 0, 0, 0, -EACCES, F(AUTH), false, "TokenSignature"},
	{"AccessDenied", "Compact JWS", 0, 0, 0, -EACCES, F(AUTH), false, "TokenInvalid"},
	{"AccessDenied", "JWS", 0, 0, 0, -EACCES, F(AUTH), false, "TokenInvalid"},
	{"AccessDenied", "JWT", 0, 0, 0, -EACCES, F(AUTH), false, "TokenInvalid"},
	{"AccessDenied", "JWK", 0, 0, 0, -EACCES, F(AUTH), false, "TokenInvalid"},
	{"AccessDenied", "\" claim", 0, 0, 0, -EACCES, F(AUTH), false, "TokenInvalid"},
	{"AccessDenied", "\"alg\"", 0, 0, 0, -EACCES, F(AUTH), false, "TokenInvalid"},
	{"AccessDenied", NULL, 0, 0, 0, -EACCES, F(DENIED), false, NULL},
	{"ExpiredToken", NULL, 0, 0, 0, -EACCES, F(AUTH), false, "TokenExpired"},
	{"InvalidJWT", "\"exp\" claim", 0, 0, 0, -EACCES, F(AUTH), false, "TokenExpired"},
	{"InvalidJWT", "expired", 0, 0, 0, -EACCES, F(AUTH), false, "TokenExpired"},
	{"InvalidJWT", NULL, 0, 0, 0, -EACCES, F(AUTH), false, "TokenInvalid"},
	{"InvalidSignature", NULL, 0, 0, 0, -EACCES, F(AUTH), false, "TokenSignature"},
	{"SignatureDoesNotMatch", NULL, 0, 0, 0, -EACCES, F(AUTH), false, NULL},
	{"InvalidAccessKeyId", NULL, 0, 0, 0, -EACCES, F(AUTH), false, NULL},
	{"InvalidRequest", "property 'authorization'", 0, 0, 0, -EACCES, F(AUTH), false, "TokenMissing"},
	{"DatabaseError", "22023", 0, 0, 0, -EACCES, F(AUTH), false, "TokenRole"},

	/* Missing and taken. */
	{"NoSuchKey", "resource was not found", 0, 0, 0, -EIO, F(RACE), false, NULL},
	{"NoSuchKey", NULL, 0, 0, 0, -ENOENT, F(MISSING), false, NULL},
	{"NoSuchBucket", NULL, 0, 0, 0, -ENOENT, F(MISSING), false, NULL},
	{"NoSuchUpload", NULL, 0, 0, 0, -EIO, F(PERMANENT), false, NULL},
	{"NoSuchCatalog", NULL, 0, 0, 0, -EIO, F(PERMANENT), false, NULL},
	{"TenantNotFound", NULL, 0, 0, 0, -EIO, F(PERMANENT), false, NULL},
	{"KeyAlreadyExists", NULL, 0, 0, 0, -EEXIST, F(CONFLICT), false, NULL},
	{"ResourceAlreadyExists", NULL, 0, 0, 0, -EEXIST, F(CONFLICT), false, NULL},
	{"BucketAlreadyExists", NULL, 0, 0, 0, -EEXIST, F(CONFLICT), false, NULL},
	{"ResourceNotEmpty", NULL, 0, 0, 0, -ENOTEMPTY, F(CONFLICT), false, NULL},
	{"ResourceReferenced", NULL, 0, 0, 0, -EBUSY, F(CONFLICT), false, NULL},

	/* Requests it will never take. A read of an impossible name is a name that is not there. */
	{"InvalidKey", NULL, 0, 0, READS, -ENOENT, F(MISSING), false, NULL},
	{"InvalidKey", NULL, 0, 0, 0, -EINVAL, F(PERMANENT), false, NULL},
	{"InvalidRequest", "Route ", 404, 404, 0, -EIO, F(PERMANENT), false, "NotStorage"},
	{"InvalidRequest", NULL, 404, 404, 0, -ENOENT, F(MISSING), false, NULL},
	{"InvalidRequest", NULL, 409, 409, 0, -EBUSY, F(CONFLICT), false, NULL},
	{"InvalidRequest", NULL, 0, 0, 0, -EINVAL, F(PERMANENT), false, NULL},
	{"InvalidBucketName", NULL, 0, 0, 0, -EINVAL, F(PERMANENT), false, NULL},
	{"InvalidParameter", NULL, 0, 0, 0, -EINVAL, F(PERMANENT), false, NULL},
	{"MissingParameter", NULL, 0, 0, 0, -EINVAL, F(PERMANENT), false, NULL},
	{"MissingContentLength", NULL, 0, 0, 0, -EINVAL, F(PERMANENT), false, NULL},
	{"MalformedXML", NULL, 0, 0, 0, -EINVAL, F(PERMANENT), false, NULL},
	{"FST_ERR_BAD_URL", NULL, 0, 0, READS, -ENOENT, F(MISSING), false, NULL},
	{"FST_ERR_BAD_URL", NULL, 0, 0, 0, -EINVAL, F(PERMANENT), false, NULL},
	/* get never asks past the end of the version it knows: then the object has shrunk. */
	{"InvalidRange", NULL, 0, 0, OP(GET), -ESTALE, F(CONFLICT), false, "Changed"},
	{"InvalidRange", NULL, 0, 0, 0, -EINVAL, F(PERMANENT), false, NULL},
	{"InvalidMimeType", NULL, 0, 0, 0, -EPERM, F(PERMANENT), false, NULL},
	{"FeatureNotEnabled", NULL, 0, 0, OP(LIST) | OP(PROBE), -EOPNOTSUPP, F(PERMANENT), false, "OldServer"},
	{"FeatureNotEnabled", NULL, 0, 0, 0, -EOPNOTSUPP, F(PERMANENT), false, NULL},
	{"NotSupported", NULL, 0, 0, 0, -EOPNOTSUPP, F(PERMANENT), false, NULL},
	{"EntityTooLarge", NULL, 0, 0, 0, -EFBIG, F(TOO_LARGE), false, NULL},

	/* Busy or broken. Where the database rolled back, nothing was done. */
	{"ResourceLocked", NULL, 0, 0, 0, -EIO, F(TRANSIENT), false, NULL},
	{"LockTimeout", NULL, 0, 0, 0, -EIO, F(TRANSIENT), false, NULL},
	{"SlowDown", NULL, 0, 0, 0, -EIO, F(THROTTLED), false, NULL},
	{"DatabaseTimeout", NULL, 0, 0, 0, -EIO, F(TRANSIENT), true, NULL},
	{"DatabaseReadOnly", NULL, 0, 0, 0, -EROFS, F(PERMANENT), false, NULL},
	{"DatabaseSchemaMismatch", NULL, 0, 0, 0, -EIO, F(PERMANENT), false, NULL},
	{"DatabaseInvalidObjectDefinition", NULL, 0, 0, 0, -EIO, F(PERMANENT), false, NULL},
	{"TransactionError", NULL, 0, 0, 0, -EIO, F(TRANSIENT), false, NULL},
	{"DatabaseTransactionAborted", NULL, 0, 0, 0, -EIO, F(TRANSIENT), false, NULL},
	{"DatabaseError", NULL, 0, 0, 0, -EIO, F(TRANSIENT), true, NULL},
	{"InternalError", NULL, 0, 0, OP(GET), -EIO, F(RACE), false, NULL},
	{"InternalError", NULL, 0, 0, 0, -EIO, F(TRANSIENT), true, NULL},
	{"S3Error", "SlowDown", 0, 0, 0, -EIO, F(THROTTLED), false, NULL},
	{"S3Error", NULL, 429, 429, 0, -EIO, F(THROTTLED), false, NULL},
	{"S3Error", "NoSuchKey", 0, 0, OP(GET) | OP(COPY) | OP(MOVE), -EIO, F(RACE), false, NULL},
	{"S3Error", NULL, 500, 599, 0, -EIO, F(TRANSIENT), true, NULL},
	{"S3Error", "EntityTooLarge", 0, 0, 0, -EFBIG, F(TOO_LARGE), false, NULL},
	{"S3Error", "InvalidRequest", 0, 0, OP(COPY) | OP(MOVE), -EFBIG, F(TOO_LARGE), false, NULL},
	{"S3Error", NULL, 0, 0, 0, -EIO, F(PERMANENT), false, NULL},
	{"Aborted", NULL, 0, 0, 0, -EIO, F(TRANSIENT), true, NULL},
	{"AbortedTerminate", NULL, 0, 0, 0, -EIO, F(TRANSIENT), true, NULL},
	{"TusError", NULL, 0, 0, 0, -EIO, F(PERMANENT), false, NULL},
	{"InvalidUploadId", NULL, 0, 0, 0, -EIO, F(PERMANENT), false, NULL},
	{"InvalidUploadSignature", NULL, 0, 0, 0, -EIO, F(PERMANENT), false, NULL},
	{"InvalidChecksum", NULL, 0, 0, 0, -EIO, F(PERMANENT), false, NULL},
	{"MissingPart", NULL, 0, 0, 0, -EIO, F(PERMANENT), false, NULL},

	/* Labels of servers before 1.0, which have no `code`. */
	{"Not found", "resource was not found", 0, 0, 0, -EIO, F(RACE), false, "NoSuchKey"},
	{"not_found", NULL, 0, 0, 0, -ENOENT, F(MISSING), false, "NoSuchKey"},
	{"Duplicate", NULL, 0, 0, 0, -EEXIST, F(CONFLICT), false, "KeyAlreadyExists"},
	{"Bucket not found", NULL, 0, 0, 0, -ENOENT, F(MISSING), false, "NoSuchBucket"},
	{"Payload too large", NULL, 0, 0, 0, -EFBIG, F(TOO_LARGE), false, "EntityTooLarge"},
	{"invalid_mime_type", NULL, 0, 0, 0, -EPERM, F(PERMANENT), false, "InvalidMimeType"},

	/* Resumable uploads: plain text (API §6.4). */
	{NULL, "Upload-Offset conflict", 409, 409, OP(PUT), -EIO, F(TRANSIENT), false, "UploadOffset"},
	{NULL, "resource already exists", 409, 409, 0, -EEXIST, F(CONFLICT), false, "KeyAlreadyExists"},
	{NULL, "file for this url", 404, 404, OP(PUT), -EIO, F(TRANSIENT), false, "UploadGone"},
	{NULL, NULL, 410, 410, OP(PUT), -EIO, F(TRANSIENT), false, "UploadGone"},
	{NULL, "lock acquired", 400, 400, OP(PUT), -EIO, F(TRANSIENT), false, "UploadLocked"},
	{NULL, "acquiring lock", 503, 503, OP(PUT), -EIO, F(TRANSIENT), false, "UploadLocked"},
	{NULL, "Bucket not found", 404, 404, 0, -ENOENT, F(MISSING), false, "NoSuchBucket"},
	{NULL, "Invalid key", 400, 400, 0, -EINVAL, F(PERMANENT), false, "InvalidKey"},
	{NULL, "Maximum size exceeded", 413, 413, 0, -EFBIG, F(TOO_LARGE), false, "EntityTooLarge"},
	{NULL, "upload's size exceeded", 413, 413, 0, -EFBIG, F(TOO_LARGE), false, "EntityTooLarge"},
	{NULL, "mime type", 415, 415, 0, -EPERM, F(PERMANENT), false, "InvalidMimeType"},

	/* No code: the framework's, the gateway's and the CDN's replies, by words, then by status. */
	{NULL, "no Route matched", 404, 404, 0, -EIO, F(PERMANENT), false, "NotStorage"},
	{NULL, "expired", 401, 401, 0, -EACCES, F(AUTH), false, "TokenExpired"},
	/* A portal or a page of maintenance: it goes away. At the start the probe tells it. */
	{NULL, NULL, 300, 399, 0, -EIO, F(TRANSIENT), true, "NotStorage"},
	{NULL, NULL, 400, 400, 0, -EINVAL, F(PERMANENT), false, NULL},
	{NULL, NULL, 401, 401, 0, -EACCES, F(AUTH), false, "TokenInvalid"},
	{NULL, NULL, 402, 402, 0, -EDQUOT, F(DENIED), false, NULL},
	{NULL, NULL, 403, 403, 0, -EACCES, F(DENIED), false, NULL},
	/* The service itself never answers with HTTP 404 or 405 but for a route it lacks (API §12.1). */
	{NULL, NULL, 404, 405, 0, -EIO, F(PERMANENT), false, "NotStorage"},
	{NULL, NULL, 408, 408, 0, -EIO, F(TRANSIENT), true, NULL},
	{NULL, NULL, 409, 409, 0, -EEXIST, F(CONFLICT), false, NULL},
	{NULL, NULL, 413, 413, 0, -EFBIG, F(TOO_LARGE), false, NULL},
	{NULL, NULL, 415, 415, 0, -EPERM, F(PERMANENT), false, NULL},
	{NULL, NULL, 416, 416, OP(GET), -ESTALE, F(CONFLICT), false, "Changed"},
	{NULL, NULL, 423, 425, 0, -EIO, F(TRANSIENT), false, NULL},
	{NULL, NULL, 429, 429, 0, -EIO, F(THROTTLED), false, NULL},
	{NULL, NULL, 431, 431, 0, -E2BIG, F(PERMANENT), false, NULL},
	{NULL, NULL, 499, 499, 0, -EIO, F(TRANSIENT), true, NULL},
	{NULL, NULL, 400, 499, 0, -EINVAL, F(PERMANENT), false, NULL},
	{NULL, NULL, 500, 500, OP(GET), -EIO, F(RACE), false, NULL},
	{NULL, NULL, 501, 501, 0, -EOPNOTSUPP, F(PERMANENT), false, NULL},
	{NULL, NULL, 505, 505, 0, -EIO, F(PERMANENT), false, NULL},
	{NULL, NULL, 525, 526, 0, -EIO, F(PERMANENT), false, NULL}, /* CDN: the origin's certificate */
	{NULL, NULL, 540, 540, 0, -EIO, F(PERMANENT), false, "ProjectPaused"},
	/* 500, 502–504, 520–524, 530, 544 and whatever else a proxy makes up. */
	{NULL, NULL, 500, 599, 0, -EIO, F(TRANSIENT), true, NULL},
	{NULL, NULL, 0, 0, 0, -EIO, F(PERMANENT), false, "BadReply"},
};
/* clang-format on */

const struct supafs_error_row *supafs_errors_row(size_t i)
{
	return i < SUPAFS_ARRAY_LEN(rows) ? &rows[i] : NULL;
}

/* What a reply says, as far as it says anything. */
struct said {
	int status;
	struct supafs_str code, message;
};

static void set_code(struct supafs_fault *f, struct supafs_str s)
{
	(void)snprintf(f->code, sizeof(f->code), "%.*s", SUPAFS_STR_FMT(s));
	for (char *p = f->code; *p; p++) {
		if (*p < ' ' || *p > '~')
			*p = '?';
	}
}

/* One line, no control bytes, no secrets: what the server says may quote what we sent. */
static void set_text(struct supafs_fault *f, struct supafs_str s)
{
	(void)supafs_log_redact(s.p, s.n, f->text, sizeof(f->text));
}

static bool looks_html(struct supafs_str body)
{
	size_t i = 0;

	while (i < body.n &&
		(body.p[i] == ' ' || body.p[i] == '\t' || body.p[i] == '\r' || body.p[i] == '\n'))
		i++;
	return i < body.n && body.p[i] == '<';
}

static bool body_status(const struct supafs_json *j, int *ret_status)
{
	uint64_t n;

	if (!supafs_json_size(j, "statusCode", 599, &n) || n < 100)
		return false;
	*ret_status = (int)n;
	return true;
}

/* `j` owns the text that *s then points at. */
static void hear_json(const struct supafs_json *j, struct said *s)
{
	bool coded = supafs_json_text(j, "code", &s->code);

	(void)body_status(j, &s->status);
	if (!coded)
		(void)supafs_json_text(j, "error", &s->code);
	if (!supafs_json_text(j, "message", &s->message) &&
		!supafs_json_text(j, "msg", &s->message))
		s->message = s->code;
	if (s->message.n == 0)
		s->message = SUPAFS_STR("the reply gives no reason");
}

static void hear_plain(struct supafs_str body, struct said *s)
{
	if (looks_html(body))
		s->message = SUPAFS_STR("the reply is a web page");
	else if (body.n == 0)
		s->message = SUPAFS_STR("the reply is empty");
	else
		s->message = body;
}

static bool has_words(struct supafs_str message, const char *words)
{
	return memmem(message.p, message.n, words, strlen(words)) != NULL;
}

static bool row_matches(const struct supafs_error_row *row, const struct said *s, enum supafs_op op)
{
	if (row->code && !supafs_str_eq(supafs_str_of(row->code), s->code))
		return false;
	if (row->words && !has_words(s->message, row->words))
		return false;
	if (row->status_min > 0 && (s->status < row->status_min || s->status > row->status_max))
		return false;
	return row->ops == 0 || (row->ops & (1U << op)) != 0;
}

static const struct supafs_error_row *find_row(const struct said *s, enum supafs_op op)
{
	size_t i = 0;

	while (i + 1 < SUPAFS_ARRAY_LEN(rows) && !row_matches(&rows[i], s, op))
		i++;
	return &rows[i]; /* the last row matches all */
}

static void copy_reply_facts(const struct supafs_http_reply *r, struct supafs_fault *f)
{
	f->retry_after_ms = r->retry_after_ms;
	(void)snprintf(f->request_id, sizeof(f->request_id), "%s", r->request_id);
}

int supafs_errors_reply(
	const struct supafs_http_reply *r, enum supafs_op op, struct supafs_fault *fault)
{
	supafs_cleanup(supafs_json_freep) struct supafs_json *j = NULL;
	struct supafs_str body = supafs_buf_str(&r->body);
	struct said s = {.status = r->status, .code = SUPAFS_STR(""), .message = SUPAFS_STR("")};
	const struct supafs_error_row *row;

	if (supafs_json_parse(body, &j) == 0 && supafs_json_is_object(j))
		hear_json(j, &s);
	else
		hear_plain(body, &s);

	row = find_row(&s, op);
	supafs_fault_clear(fault);
	fault->class = row->class;
	fault->status = s.status;
	fault->ambiguous = row->unsure;
	copy_reply_facts(r, fault);
	set_code(fault, row->tell ? supafs_str_of(row->tell) : s.code);
	set_text(fault, s.message);
	return row->error;
}

/* Broken transfers. */
static const struct transport_row {
	int error;
	enum supafs_fault_class class;
	const char *code;
	const char *text; /* when the transport gives none */
} transport_rows[] = {
	{-EINTR, F(PERMANENT), "Cancelled", "interrupted"},
	{-ETIMEDOUT, F(TRANSIENT), "Timeout", "no answer in time"},
	{-ECONNREFUSED, F(TRANSIENT), "Unreachable", "connection refused"},
	{-EHOSTUNREACH, F(TRANSIENT), "Unreachable", "host not found or not reachable"},
	{-ECONNRESET, F(TRANSIENT), "Broken", "connection broken"},
	{-EPROTO, F(TRANSIENT), "Broken", "the answer is not HTTP, or too long"},
	{-ECONNABORTED, F(PERMANENT), "TLS", "the server's certificate is not trusted"},
	{-ESHUTDOWN, F(PERMANENT), "Shutdown", "shutting down"},
	{-ENOMEM, F(PERMANENT), "Local", "out of memory"},
	{0, F(PERMANENT), "Local", "the request could not be made"},
};

int supafs_errors_transport(
	int error, const struct supafs_http_reply *r, struct supafs_fault *fault)
{
	const struct transport_row *row = transport_rows;

	while (row->error != 0 && row->error != error)
		row++;
	(void)supafs_fault_set(fault, error, row->class, row->code, row->text);
	if (r->error[0])
		set_text(fault, supafs_str_of(r->error));
	copy_reply_facts(r, fault);
	fault->ambiguous = r->progress >= SUPAFS_HTTP_BODY_SENT;
	return error;
}

int supafs_errors_bad_reply(const struct supafs_http_reply *r, struct supafs_fault *fault)
{
	bool html = looks_html(supafs_buf_str(&r->body));

	if (html)
		(void)supafs_fault_set(fault, -EIO, SUPAFS_FAULT_TRANSIENT, "NotStorage",
			"the reply is a web page, not the Storage API's");
	else
		(void)supafs_fault_set(fault, -EIO, SUPAFS_FAULT_TRANSIENT, "BadReply",
			"the reply is not what the Storage API sends");
	fault->status = r->status;
	fault->ambiguous = true;
	copy_reply_facts(r, fault);
	return -EIO;
}
