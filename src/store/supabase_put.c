/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Uploads: one PUT (or POST, exclusive) with Content-Length, never chunked (API §5.3). Times and
 * mode go along twice: as directives for listings, as user metadata for everybody else. Large ones
 * go another way: supabase_tus.c.
 */
#include <errno.h>
#include <string.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/parse.h"

#include "errors_priv.h"
#include "meta_priv.h"
#include "supabase_priv.h"
#include "user_priv.h"

static bool mime_ok(struct supafs_str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < ' ' || s.p[i] > '~')
			return false;
	}
	return s.n <= SUPAFS_MIME_MAX;
}

int supafs_sb_attrs_init(struct supafs_sb_attrs *a, const struct supafs_put_args *args,
	struct supafs_str nonce, struct supafs_fault *fault)
{
	int r;

	a->mime = args->mime.n > 0 ? args->mime : SUPAFS_STR("application/octet-stream");
	supafs_buf_init(&a->cache_control, SUPAFS_METADATA_MAX);
	supafs_buf_init(&a->metadata, SUPAFS_METADATA_MAX);
	if (!mime_ok(a->mime))
		return supafs_fault_set(fault, -EINVAL, SUPAFS_FAULT_PERMANENT, "Local",
			"the content type is too long or has odd characters");
	r = supafs_meta_cache_control(&a->cache_control, args->cache_control, &args->meta);
	if (r == 0)
		r = supafs_meta_add_json(&a->metadata, &args->meta, nonce);
	if (r < 0)
		return supafs_fault_set(fault, r, SUPAFS_FAULT_PERMANENT, "Local",
			"the Cache-Control value or the file's times cannot be stored");
	r = supafs_user_add_json(&a->metadata, args->user);
	if (r < 0)
		return supafs_fault_set(fault, r, SUPAFS_FAULT_PERMANENT, "Local",
			"the extended attributes do not fit into the object's metadata");
	return 0;
}

void supafs_sb_attrs_fini(struct supafs_sb_attrs *a)
{
	supafs_buf_fini(&a->cache_control);
	supafs_buf_fini(&a->metadata);
}

/* --- The body --------------------------------------------------------------------------------- */

struct upload {
	const struct supafs_put_args *args;
	int error; /* of the caller's pread; the transport hands it back */
};

static ssize_t upload_pread(void *ctx, void *buf, size_t n, uint64_t off)
{
	struct upload *u = ctx;
	ssize_t got = u->args->pread(u->args->ctx, buf, n, off);

	if (got < 0)
		u->error = (int)got;
	else if (got == 0 && n > 0)
		got = u->error = -EIO; /* the file shrank under us */
	return got;
}

static void add_upload_headers(struct supafs_sb_req *q, const struct supafs_sb_attrs *a)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf b64;

	supafs_buf_init(&b64, (size_t)2 * SUPAFS_METADATA_MAX);
	if (supafs_b64_encode(&b64, a->metadata.p, a->metadata.n) < 0)
		q->error = -ENOMEM;
	supafs_sb_req_header(q, "Content-Type", a->mime);
	supafs_sb_req_header(q, "Cache-Control", supafs_buf_str(&a->cache_control));
	supafs_sb_req_header(q, "x-metadata", supafs_buf_str(&b64));
}

static int send_upload(struct supafs_sb_req *q, struct supafs_call *call, struct upload *u,
	unsigned char ret_id[16], struct supafs_fault *fault)
{
	supafs_cleanup(supafs_json_freep) struct supafs_json *j = NULL;
	unsigned char id[16] = {0};
	struct supafs_str key;
	int r = supafs_sb_req_json_reply(q, call, SUPAFS_OP_PUT, &j, fault);

	if (r < 0 && u->error < 0)
		return supafs_fault_set(fault, u->error, SUPAFS_FAULT_PERMANENT, "Local",
			"the content could not be read");
	if (r < 0)
		return r;
	if (!supafs_json_text(j, "Key", &key))
		return supafs_errors_bad_reply(&q->reply, fault);
	(void)supafs_json_uuid(j, "Id", id);
	memcpy(ret_id, id, sizeof(id));
	return 0;
}

int supafs_sb_put_whole(struct supafs_sb *sb, struct supafs_call *call,
	const struct supafs_put_args *args, unsigned char ret_id[16], struct supafs_fault *fault)
{
	supafs_cleanup(supafs_sb_req_fini) struct supafs_sb_req q;
	supafs_cleanup(supafs_sb_attrs_fini) struct supafs_sb_attrs attrs = {.mime = {NULL, 0}};
	struct upload u = {.args = args};
	const struct supafs_http_source source = {upload_pread, &u, args->size};
	int r;

	supafs_sb_req_init(&q, sb, args->exclusive ? SUPAFS_HTTP_POST : SUPAFS_HTTP_PUT, "/object");
	r = supafs_sb_attrs_init(&attrs, args, args->nonce, fault);
	if (r < 0)
		return r;
	supafs_sb_req_bucket(&q);
	supafs_sb_req_key(&q, args->key);
	add_upload_headers(&q, &attrs);
	if (args->size > 0)
		q.source = &source;
	return send_upload(&q, call, &u, ret_id, fault);
}

int supafs_sb_put(struct supafs_store *s, struct supafs_call *call,
	const struct supafs_put_args *args, unsigned char ret_id[16], struct supafs_fault *fault)
{
	struct supafs_sb *sb = supafs_sb_of(s);
	struct supafs_put_args a = *args;
	struct supafs_resume own = {.changed = NULL};
	char own_nonce[33];
	int r;

	supafs_fault_clear(fault);
	r = supafs_key_check(args->key, SUPAFS_KEY_PATH, fault);
	if (r < 0)
		return r;
	if (a.nonce.n == 0) {
		supafs_nonce_make(sb->seed, &sb->nonces, own_nonce);
		a.nonce = supafs_str_of(own_nonce);
	}
	if (!a.resume)
		a.resume = &own;
	if (a.size >= sb->resumable_min && a.size > 0 && !sb->no_tus)
		return supafs_sb_put_tus(sb, call, &a, ret_id, fault);
	return supafs_sb_put_whole(sb, call, &a, ret_id, fault);
}
