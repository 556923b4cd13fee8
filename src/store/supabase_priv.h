/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Supabase backend, inside: the store's fields and the request that each operation builds.
 *
 *	supafs_cleanup(supafs_sb_req_fini) struct supafs_sb_req q;
 *	supafs_sb_req_init(&q, s, SUPAFS_HTTP_GET, "/object/info/authenticated");
 *	supafs_sb_req_bucket(&q);
 *	supafs_sb_req_key(&q, key);
 *	r = supafs_sb_req_json_reply(&q, call, SUPAFS_OP_INFO, &json, fault);
 *
 * Building keeps its first error; perform returns it. The store's fields do not change after
 * creation but for atomics and the user's token, which has a lock of its own.
 */
#pragma once

#include "supafs/http/http.h"
#include "supafs/store/store.h"
#include "supafs/util/lock.h"

#include "json_priv.h"
#include "store_priv.h"

/* What goes into the Authorization header; counted, wiped with its last reference. */
struct supafs_sb_token {
	_Atomic unsigned refs;
	int64_t end_ns; /* wall clock; INT64_MAX: it does not tell */
	char *header;   /* "Authorization: Bearer …", a secret (util/secret.h) */
};

struct supafs_sb_auth {
	const struct supafs_clock *clock;
	int (*refresh)(void *ctx, struct supafs_buf *ret); /* NULL: what is there stays */
	bool (*changed)(void *ctx);                        /* NULL: never before its end */
	void *refresh_ctx;
	bool used;                /* there is such a header */
	struct supafs_mutex lock; /* a leaf */
	struct supafs_cond settled;
	/* lock: */
	struct supafs_sb_token *token; /* NULL only if not used */
	bool asking;
	int64_t ask_again_ns; /* not before that (monotonic) */
};

/* How large a piece of an upload the path to the server lets through (supabase_pace.c). */
struct supafs_sb_pace {
	struct supafs_mutex lock; /* a leaf */
	/* lock: */
	uint64_t chunk;      /* bytes of a request; 0: the whole upload in one */
	uint64_t ceiling;    /* so many were refused; 0: none were */
	int64_t target_ns;   /* how long one should take */
	int64_t last_cut_ns; /* how long the last one lasted that was cut; 0: none */
};

struct supafs_sb {
	struct supafs_store base;
	struct supafs_http *http; /* borrowed */
	const struct supafs_clock *clock;
	char *base_url;      /* "https://host/storage/v1", no '/' at its end */
	char *bucket;        /* raw */
	char *header_apikey; /* "apikey: …", a secret (util/secret.h) */
	bool public_key;     /* anon or publishable, with no user's token beside it */
	struct supafs_sb_auth auth;
	struct supafs_sb_pace pace;
	uint64_t resumable_min; /* objects of so many bytes are uploaded resumably */
	_Atomic bool no_tus;    /* the server has shown that it cannot */
	uint64_t seed;          /* of nonces */
	_Atomic uint64_t nonces;
	/* The server refused our cursor once: list flat and group here (API §4.3 item 5). */
	_Atomic bool flat_only;
	/* What the probe has found out. */
	_Atomic bool is_public; /* false also as long as nobody has probed */
	_Atomic bool no_sort;   /* the server is older than 1.27 */
};

static inline struct supafs_sb *supafs_sb_of(struct supafs_store *s)
{
	return (struct supafs_sb *)(void *)s;
}

enum {
	SUPAFS_SB_HEADERS = 10, /* most header lines of a request */
	SUPAFS_SB_TEXTS = 5,    /* of them, lines made for this request */
};

struct supafs_sb_req {
	struct supafs_sb *sb;
	enum supafs_http_method method;
	int error;
	bool has_query;
	struct supafs_buf url;
	struct supafs_buf json; /* request body, if used */
	struct supafs_buf texts[SUPAFS_SB_TEXTS];
	size_t n_texts;
	const char *headers[SUPAFS_SB_HEADERS + 1];
	size_t n_headers;
	struct supafs_sb_token *token;           /* a reference while it is sent */
	size_t token_at;                         /* its place among the headers; 0: none */
	const struct supafs_http_source *source; /* NULL: none, or the JSON body */
	const struct supafs_http_sink *sink;
	struct supafs_http_reply reply;
};

/* `route` follows the base URL: "/object/move". Sets the key headers. */
void supafs_sb_req_init(struct supafs_sb_req *q, struct supafs_sb *sb,
	enum supafs_http_method method, const char *route);
void supafs_sb_req_fini(struct supafs_sb_req *q);
void supafs_sb_req_bucket(struct supafs_sb_req *q);
void supafs_sb_req_key(struct supafs_sb_req *q, struct supafs_str key);
/* A query value that no cache has seen (API §3.5). */
void supafs_sb_req_fresh(struct supafs_sb_req *q);
/* `value` needs no encoding: hex, digits. */
void supafs_sb_req_query(struct supafs_sb_req *q, const char *name, const char *value);
/* -EINVAL for control bytes in the value. */
void supafs_sb_req_header(struct supafs_sb_req *q, const char *name, struct supafs_str value);
/* A static line "Name: value". */
void supafs_sb_req_header_line(struct supafs_sb_req *q, const char *line);
/* Declares q->json as the body; it may still grow until perform. */
void supafs_sb_req_json_body(struct supafs_sb_req *q);

/* Sends. 0 for a 2xx reply; else what errors.c says, with *fault filled. */
int supafs_sb_req_perform(struct supafs_sb_req *q, struct supafs_call *call, enum supafs_op op,
	struct supafs_fault *fault);
/* The same, and parses the reply, which must be a JSON object (or array). */
int supafs_sb_req_json_reply(struct supafs_sb_req *q, struct supafs_call *call, enum supafs_op op,
	struct supafs_json **ret_json, struct supafs_fault *fault);

/* Version and times of a row as list, copy and delete show it (API §4.2): id, updated_at,
 * created_at, metadata{eTag,size,mimetype,cacheControl,lastModified}. Views point into `row`. */
void supafs_sb_row_entry(const struct supafs_json *row, struct supafs_entry *e);

/* Headers and JSON of an upload's attributes: Content-Type (or "mimetype"), Cache-Control,
 * x-metadata. */
struct supafs_sb_attrs {
	struct supafs_buf cache_control, metadata;
	struct supafs_str mime;
};
/* 0, -EINVAL (with *fault), -ENOMEM. Ends with _fini() also after a failure. */
int supafs_sb_attrs_init(struct supafs_sb_attrs *a, const struct supafs_put_args *args,
	struct supafs_str nonce, struct supafs_fault *fault);
void supafs_sb_attrs_fini(struct supafs_sb_attrs *a);

/* The operations (store.h). */
int supafs_sb_probe(struct supafs_store *s, struct supafs_call *call,
	struct supafs_bucket_info *ret_info, struct supafs_fault *fault);
int supafs_sb_list(struct supafs_store *s, struct supafs_call *call,
	const struct supafs_list_args *args, struct supafs_cursor *cursor, bool *ret_more,
	struct supafs_fault *fault);
int supafs_sb_info(struct supafs_store *s, struct supafs_call *call, struct supafs_str key,
	struct supafs_info *ret_info, struct supafs_fault *fault);
int supafs_sb_get(struct supafs_store *s, struct supafs_call *call,
	const struct supafs_get_args *args, struct supafs_fault *fault);
int supafs_sb_put(struct supafs_store *s, struct supafs_call *call,
	const struct supafs_put_args *args, unsigned char ret_id[16], struct supafs_fault *fault);
int supafs_sb_remove(struct supafs_store *s, struct supafs_call *call, struct supafs_str key,
	struct supafs_fault *fault);
int supafs_sb_remove_many(struct supafs_store *s, struct supafs_call *call,
	const struct supafs_str *keys, size_t n, bool *ret_gone, struct supafs_fault *fault);
int supafs_sb_copy(struct supafs_store *s, struct supafs_call *call,
	const struct supafs_copy_args *args, struct supafs_entry *ret_entry,
	struct supafs_fault *fault);
int supafs_sb_move(struct supafs_store *s, struct supafs_call *call, struct supafs_str from,
	struct supafs_str to, struct supafs_fault *fault);
int supafs_sb_url(struct supafs_store *s, struct supafs_call *call, struct supafs_str key,
	uint64_t valid_s, struct supafs_buf *ret, struct supafs_fault *fault);

/* An upload as one request, and as a resumable one; keys are checked, `args->nonce` and
 * `args->resume` set. */
int supafs_sb_put_whole(struct supafs_sb *sb, struct supafs_call *call,
	const struct supafs_put_args *args, unsigned char ret_id[16], struct supafs_fault *fault);
int supafs_sb_put_tus(struct supafs_sb *sb, struct supafs_call *call,
	const struct supafs_put_args *args, unsigned char ret_id[16], struct supafs_fault *fault);

void supafs_sb_pace_init(struct supafs_sb_pace *p);
void supafs_sb_pace_fini(struct supafs_sb_pace *p);
/* Bytes of the next request of an upload of `size`, of which `left` are still to be sent. */
uint64_t supafs_sb_pace_next(struct supafs_sb_pace *p, uint64_t size, uint64_t left);
/* One of `n` bytes went well in `took_ns`. */
void supafs_sb_pace_done(struct supafs_sb_pace *p, uint64_t n, int64_t took_ns);
/* One of `n` bytes was refused as too large; false: none can be smaller. */
bool supafs_sb_pace_too_large(struct supafs_sb_pace *p, uint64_t n);
/* One was cut after `took_ns`, `n` bytes of it have arrived. `told`: the gateway said that its time
 * was up. True: it is time that limits, and the next one will be smaller. */
bool supafs_sb_pace_cut(struct supafs_sb_pace *p, uint64_t n, int64_t took_ns, bool told);

/* `bearer`: key or token for the header; NULL: none. 0 or -ENOMEM; ends with _fini() also then. */
int supafs_sb_auth_init(
	struct supafs_sb_auth *a, const struct supafs_supabase_config *cfg, const char *bearer);
void supafs_sb_auth_fini(struct supafs_sb_auth *a);
/* A reference to the one to send now (renewed when its end is near); NULL: none. */
struct supafs_sb_token *supafs_sb_token_get(struct supafs_sb_auth *a, struct supafs_call *call);
/* The server has refused *token: true when there is another one, which then replaces it. */
bool supafs_sb_token_renew(
	struct supafs_sb_auth *a, struct supafs_call *call, struct supafs_sb_token **token);
struct supafs_sb_token *supafs_sb_token_unref(struct supafs_sb_token *t);
/* May it stand in a header? */
bool supafs_sb_secret_ok(const char *s);
/* Role of a legacy JWT key, out of its payload: "anon", "service_role"; false if it has none. */
bool supafs_sb_key_role(const char *key, char *ret_role, size_t size);
