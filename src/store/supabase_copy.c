/* SPDX-License-Identifier: Apache-2.0 */
/* Server-side copy (also onto itself, to change attributes: API §8.3) and move. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/parse.h"

#include "errors_priv.h"
#include "meta_priv.h"
#include "supabase_priv.h"

static void add_member(struct supafs_buf *b, const char *name, struct supafs_str value)
{
	(void)supafs_buf_addf(b, "%c\"%s\":", b->n == 0 ? '{' : ',', name);
	(void)supafs_json_quote(b, value);
}

static void add_source_target(struct supafs_sb_req *q, struct supafs_str from, struct supafs_str to,
	struct supafs_str to_bucket)
{
	add_member(&q->json, "bucketId", supafs_str_of(q->sb->bucket));
	add_member(&q->json, "sourceKey", from);
	add_member(&q->json, "destinationKey", to);
	if (to_bucket.n > 0)
		add_member(&q->json, "destinationBucket", to_bucket);
}

/* Mime and Cache-Control always go together: before 1.67.6 the one left out was lost. */
static void add_attrs(struct supafs_sb_req *q, const struct supafs_sb_attrs *a)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf b64;

	(void)supafs_buf_adds(&q->json, ",\"copyMetadata\":false,\"metadata\":{\"mimetype\":");
	(void)supafs_json_quote(&q->json, a->mime);
	(void)supafs_buf_adds(&q->json, ",\"cacheControl\":");
	(void)supafs_json_quote(&q->json, supafs_buf_str(&a->cache_control));
	(void)supafs_buf_addc(&q->json, '}');

	supafs_buf_init(&b64, SUPAFS_URL_MAX);
	if (supafs_b64_encode(&b64, a->metadata.p, a->metadata.n) < 0)
		q->error = -ENOMEM;
	supafs_sb_req_header(q, "x-metadata", supafs_buf_str(&b64));
}

static void copy_entry(const struct supafs_json *j, struct supafs_entry *ret_entry)
{
	struct supafs_entry e = {0};

	supafs_sb_row_entry(j, &e);
	if (supafs_uuid_is_zero(e.version.id))
		(void)supafs_json_uuid(j, "Id", e.version.id);
	e.key = e.mime = e.cache_control = SUPAFS_STR("");
	*ret_entry = e;
}

/* A store behind the server copies at most 5 GB in one go, and a move is a copy to it (API §8). */
static int explain_size(int r, struct supafs_fault *fault)
{
	if (r == -EFBIG)
		(void)snprintf(fault->text, sizeof(fault->text),
			"the server cannot copy, rename or change the attributes of objects "
			"over 5 GB without a new upload");
	return r;
}

int supafs_sb_copy(struct supafs_store *s, struct supafs_call *call,
	const struct supafs_copy_args *args, struct supafs_entry *ret_entry,
	struct supafs_fault *fault)
{
	supafs_cleanup(supafs_json_freep) struct supafs_json *j = NULL;
	supafs_cleanup(supafs_sb_req_fini) struct supafs_sb_req q;
	supafs_cleanup(supafs_sb_attrs_fini) struct supafs_sb_attrs attrs = {.mime = {NULL, 0}};
	struct supafs_str key;
	int r;

	supafs_sb_req_init(&q, supafs_sb_of(s), SUPAFS_HTTP_POST, "/object/copy");
	supafs_fault_clear(fault);
	r = supafs_key_check_pair(args->from, args->to, fault);
	if (r < 0)
		return r;
	supafs_sb_req_json_body(&q);
	if (args->replace)
		supafs_sb_req_header_line(&q, "x-upsert: true");
	add_source_target(&q, args->from, args->to, args->to_bucket);
	if (args->attrs) {
		r = supafs_sb_attrs_init(&attrs, args->attrs, args->attrs->nonce, fault);
		if (r < 0)
			return r;
		add_attrs(&q, &attrs);
	}
	(void)supafs_buf_addc(&q.json, '}');
	r = supafs_sb_req_json_reply(&q, call, SUPAFS_OP_COPY, &j, fault);
	if (r < 0)
		return explain_size(r, fault);
	if (!supafs_json_text(j, "Key", &key))
		return supafs_errors_bad_reply(&q.reply, fault);
	if (ret_entry)
		copy_entry(j, ret_entry);
	return 0;
}

int supafs_sb_move(struct supafs_store *s, struct supafs_call *call, struct supafs_str from,
	struct supafs_str to, struct supafs_fault *fault)
{
	supafs_cleanup(supafs_json_freep) struct supafs_json *j = NULL;
	supafs_cleanup(supafs_sb_req_fini) struct supafs_sb_req q;
	struct supafs_str message;
	int r;

	supafs_sb_req_init(&q, supafs_sb_of(s), SUPAFS_HTTP_POST, "/object/move");
	supafs_fault_clear(fault);
	r = supafs_key_check_pair(from, to, fault);
	if (r < 0)
		return r;
	supafs_sb_req_json_body(&q);
	add_source_target(&q, from, to, SUPAFS_STR(""));
	(void)supafs_buf_addc(&q.json, '}');
	r = explain_size(supafs_sb_req_json_reply(&q, call, SUPAFS_OP_MOVE, &j, fault), fault);
	if (r == 0 && !supafs_json_text(j, "message", &message))
		r = supafs_errors_bad_reply(&q.reply, fault);
	return r;
}
