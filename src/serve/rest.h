/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The REST side: from a request on the wire to calls of the service and back. One struct
 * serve_request lives from the request line to the end of the answer and belongs to the
 * thread of its connection.
 *
 *	phase     set by              what comes in           what follows
 *	NEW       server.c            headers                 route, auth, route->begin
 *	BODY      serve_rest_start()  body                    route->data, or kept as JSON
 *	DISCARD   an early refusal    body, thrown away       the prepared answer
 *	DONE      an answer is there  –                       it is queued
 */
#pragma once

#include <cjson/cJSON.h>
#include <microhttpd.h>
#include <stdbool.h>
#include <stdint.h>

#include "supafs/util/buf.h"
#include "supafs/util/lock.h"
#include "supafs/util/str.h"

#include "counters.h"
#include "faults.h"
#include "jwt.h"
#include "options.h"
#include "service.h"

#define REST_JSON_MAX    (1U << 20)   /* bytes of a JSON body */
#define REST_HEADERS_MAX (16U << 10)  /* bytes of request headers */
#define REST_DRAIN_MAX   (256U << 10) /* a refused body up to this size is read and dropped */
#define REST_TEXT_MAX    (256U << 10) /* an error, a name with a token */
#define REST_REPLY_MAX   (64U << 20)

struct serve_tus_lock;

/* What all requests share. */
struct serve_app {
	const struct serve_config *config;
	struct serve_service service;
	struct serve_jwt jwt;
	struct serve_counters *counters;
	struct serve_faults *faults;
	char *url; /* scheme://host:port, without the base path */
	struct supafs_mutex tus_mutex;
	struct supafs_cond tus_freed;
	struct serve_tus_lock *tus_locks; /* tus_mutex: uploads that a request works on */
	struct supafs_mutex stop_mutex;
	struct supafs_cond stop_cond; /* signalled when stopping begins */
	bool stopping;                /* stop_mutex: waits for faults end */
};

enum rest_phase {
	REST_NEW,
	REST_BODY,
	REST_DISCARD,
	REST_DONE,
};

#define REST_AUTH          1U /* a valid token must be there */
#define REST_AUTH_OPTIONAL 2U /* without a valid one the request goes on as nobody */
#define REST_SERVICE       4U /* service_role only */
#define REST_JSON          8U /* has a JSON body */
#define REST_TUS           16U

struct serve_request;

struct serve_route {
	const char *method;
	const char *pattern; /* ":b" is a bucket, ":id" an upload, "*" the rest: a key */
	enum serve_kind kind;
	unsigned flags;
	/* After authentication, before the body. May answer. May be NULL. */
	void (*begin)(struct serve_request *req);
	/* A piece of the body. NULL: kept in `body`. */
	void (*data)(struct serve_request *req, const char *p, size_t n);
	/* The body is complete; must answer. */
	void (*finish)(struct serve_request *req);
};

struct serve_request {
	struct serve_app *app;
	struct MHD_Connection *conn;
	char *uri; /* as it came */
	const char *method;
	const struct serve_route *route;
	enum rest_phase phase;

	struct supafs_str path;        /* view of uri, without base path and query */
	struct supafs_str query;       /* view of uri, behind '?'; n 0 when there is none */
	struct supafs_buf names;       /* what bucket and key view, when they were encoded */
	struct supafs_str bucket, key; /* decoded; key also an upload's id */

	bool authenticated;
	struct serve_actor actor;

	bool has_length;
	uint64_t length; /* of the body, by its header */
	uint64_t received;
	struct supafs_buf body;
	cJSON *json;

	void *work; /* of the route; ended by work_free */
	void (*work_free)(void *work);

	unsigned status;
	struct MHD_Response *response; /* with DISCARD and DONE */
	int file_fd;                   /* the answer's body: from this file, borrowed; -1: none */
	uint64_t file_from;            /* and this offset */
	const char *body_text;         /* or these bytes of the response's own; NULL: neither */
	uint64_t body_size;            /* bytes of the answer's body */

	bool cut;                        /* the connection ends without an answer */
	bool early;                      /* the answer goes out while a body still comes */
	bool answered;                   /* it was queued */
	struct serve_fault_state *fault; /* rest_faults.c */
};

/* --- flow (rest.c) -------------------------------------------------------- */

/* NULL when out of memory. `uri` as MHD gives it, with the query. */
struct serve_request *serve_rest_new(
	struct serve_app *app, const char *uri, struct MHD_Connection *conn);
void serve_rest_free(struct serve_request *req);
/* The headers are there. Afterwards `phase` is BODY, DISCARD or DONE. */
void serve_rest_start(struct serve_request *req, const char *method);
void serve_rest_data(struct serve_request *req, const char *p, size_t n);
/* The body is complete: afterwards there is a response. */
void serve_rest_finish(struct serve_request *req);

/* --- routes (rest_route.c) -------------------------------------------------- */

/* Takes the path apart and finds the route; answers when there is none. */
bool rest_route(struct serve_request *req);
/* The one of requests that no route takes. */
const struct serve_route *rest_no_route(void);
/* Decodes percent escapes. False for a malformed escape or bytes that are not UTF-8. */
bool rest_decode(struct supafs_str text, bool plus_is_space, struct supafs_buf *out);
/* Well-formed UTF-8 (Unicode 15, table 3-7). */
bool rest_is_utf8(const char *p, size_t n);
/* A parameter of the query, decoded into `out`; false when it is absent. */
bool rest_query(struct serve_request *req, const char *name, struct supafs_buf *out);
const char *rest_request_header(struct serve_request *req, const char *name);
bool rest_header_is(struct serve_request *req, const char *name, const char *value);

/* --- answers (rest_reply.c) -------------------------------------------------- */

/* Each makes the response; only the first of a request counts. */
void rest_json(struct serve_request *req, unsigned status, struct supafs_buf *b);
void rest_json_literal(struct serve_request *req, unsigned status, const char *text);
void rest_text(struct serve_request *req, unsigned status, const char *text);
void rest_empty(struct serve_request *req, unsigned status);
void rest_response(struct serve_request *req, unsigned status, struct MHD_Response *response);
void rest_fail(struct serve_request *req, enum serve_code code);
void rest_failf(struct serve_request *req, enum serve_code code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* The failure with its usual message for this key. */
void rest_fail_key(struct serve_request *req, enum serve_code code, struct supafs_str key);
void rest_not_found(struct serve_request *req);
/* Adds a header to the response that is there. */
void rest_add_header(struct serve_request *req, const char *name, const char *value);

/* --- bodies (rest_body.c) ----------------------------------------------------- */

/* Parses the body; answers and returns false when it is no JSON object. */
bool rest_parse_json(struct serve_request *req);
/* An empty body that calls itself JSON: answers and returns true. */
bool rest_refuse_empty_json(struct serve_request *req);
/* Members of the body, or of the object `in` whose path is `at` ("" for the body). Each answers and
 * returns false when the member has the wrong type (or, if `required`, is absent). An absent one
 * leaves the result alone. */
bool rest_member_text(
	struct serve_request *req, const char *name, bool required, struct supafs_str *ret);
bool rest_member_uint(
	struct serve_request *req, const char *name, uint64_t min, bool required, uint64_t *ret);
bool rest_member_bool(struct serve_request *req, const char *name, bool *ret, bool *ret_present);
bool rest_member_texts(
	struct serve_request *req, const char *name, struct supafs_str **ret_list, size_t *ret_n);
/* sortBy {column, order}: `columns` ends in NULL; *ret_column is its place there. */
bool rest_member_sort(struct serve_request *req, const char *const *columns, int *ret_column,
	bool *ret_desc, bool *ret_has_order);
/* The x-metadata header (base64 of JSON): a JSON object as text into `out`, "{}" when it cannot be
 * read; false when there is no such header. Answers (and req->phase changes) for a NUL inside. */
bool rest_metadata_header(struct serve_request *req, struct supafs_buf *out);
/* JSON text → the object as it is kept; "{}" when it is none. False: it has a NUL. */
bool rest_metadata_text(struct supafs_str json, struct supafs_buf *out);
/* Base64 as lenient as the real server's. */
int rest_b64_lenient(struct supafs_buf *out, struct supafs_str text);

/* --- JSON (rest_json.c) --------------------------------------------------------- */

void rest_put_text(struct supafs_buf *b, const char *name, struct supafs_str value);
void rest_put_time(struct supafs_buf *b, const char *name, int64_t us);
/* The members of a row of storage.objects that listings show. */
void rest_put_metadata(struct supafs_buf *b, const struct serve_object *o);
/* The whole row, as delete and copy give it, without braces. */
void rest_put_row(struct supafs_buf *b, const struct serve_object *o);
void rest_put_bucket(struct supafs_buf *b, const struct serve_bucket *bucket, bool with_type);

/* --- signed URLs (rest_sign.c) ----------------------------------------------------- */

/* Checks `token` for this scope and req's bucket/key; answers when it is not good. Fills claims
 * (end them) on success. */
bool rest_check_signature(struct serve_request *req, struct supafs_str token, const char *scope,
	struct supafs_str bucket, struct supafs_str key, struct serve_claims *ret_claims);

/* --- faults (rest_faults.c) ---------------------------------------------------------- */

/* Decides which fault the request meets; call once its route is known. */
void rest_fault_decide(struct serve_request *req);
/* Before anything is done: may wait, may answer. False: the connection must be cut. */
bool rest_fault_start(struct serve_request *req);
/* A piece of the body came. False: cut. */
bool rest_fault_data(struct serve_request *req, size_t n);
/* The body is complete and the work would begin. False: cut. */
bool rest_fault_work(struct serve_request *req);
/* The answer is ready: may replace, wrap or slow it. False: cut. */
bool rest_fault_reply(struct serve_request *req);
void rest_fault_free(struct serve_request *req);
/* Ends every wait, now and from now on. */
void rest_fault_stop(struct serve_app *app);

/* --- routes' functions ------------------------------------------------------------------ */

void rest_bucket_list(struct serve_request *req);
void rest_bucket_get(struct serve_request *req);
void rest_bucket_create(struct serve_request *req);
void rest_bucket_update(struct serve_request *req);
void rest_bucket_delete(struct serve_request *req);
void rest_bucket_empty(struct serve_request *req);

void rest_get(struct serve_request *req);
void rest_get_public(struct serve_request *req);
void rest_get_signed(struct serve_request *req);
void rest_info(struct serve_request *req);
void rest_info_public(struct serve_request *req);

void rest_upload_begin(struct serve_request *req);
void rest_upload_signed_begin(struct serve_request *req);
void rest_upload_data(struct serve_request *req, const char *p, size_t n);
void rest_upload_finish(struct serve_request *req);

void rest_list_v1(struct serve_request *req);
void rest_list_v2(struct serve_request *req);

void rest_copy(struct serve_request *req);
void rest_move(struct serve_request *req);
void rest_delete(struct serve_request *req);
void rest_delete_many(struct serve_request *req);

void rest_sign_one(struct serve_request *req);
void rest_sign_many(struct serve_request *req);
void rest_sign_upload(struct serve_request *req);

void rest_tus_options(struct serve_request *req);
void rest_tus_create_begin(struct serve_request *req);
void rest_tus_patch_begin(struct serve_request *req);
void rest_tus_data(struct serve_request *req, const char *p, size_t n);
void rest_tus_create_finish(struct serve_request *req);
void rest_tus_patch_finish(struct serve_request *req);
void rest_tus_head(struct serve_request *req);
void rest_tus_delete(struct serve_request *req);

void rest_status(struct serve_request *req);
void rest_version(struct serve_request *req);
