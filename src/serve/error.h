/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Failures of the storage service, as the real server names them (API §12.2). The
 * service answers with a code; the REST side writes the body from the table here.
 */
#pragma once

enum serve_code {
	SERVE_OK,
	SERVE_NO_SUCH_KEY,
	SERVE_NO_SUCH_BUCKET,
	SERVE_NO_SUCH_RELATED, /* a move into a bucket that is not there */
	SERVE_INVALID_REQUEST,
	SERVE_INVALID_JSON,
	SERVE_INVALID_KEY,
	SERVE_INVALID_BUCKET_NAME,
	SERVE_INVALID_PARAMETER,
	SERVE_INVALID_RANGE,
	SERVE_INVALID_MIME,
	SERVE_INVALID_JWT,
	SERVE_INVALID_SIGNATURE,
	SERVE_ACCESS_DENIED,
	SERVE_ROLE_DENIED, /* a route for service_role only */
	SERVE_KEY_EXISTS,
	SERVE_RESOURCE_EXISTS,
	SERVE_BUCKET_EXISTS,
	SERVE_NOT_EMPTY,
	SERVE_TOO_LARGE,
	SERVE_BODY_TOO_LARGE, /* a JSON body above 1 MiB */
	SERVE_BAD_ROLE,       /* a valid token whose role no database role is */
	SERVE_DATABASE,
	SERVE_INTERNAL,
	SERVE_CODE__COUNT,
};

struct serve_error {
	unsigned http;      /* status line */
	const char *status; /* "statusCode" in the body */
	const char *label;  /* "error" */
	const char *code;   /* "code" */
	const char *message;
};

/* Static storage; for SERVE_OK the members are 200 and "". */
const struct serve_error *serve_error_get(enum serve_code code);
