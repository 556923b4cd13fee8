/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading: info, and ranged downloads that hand out bytes of one version only.
 *
 * Every range ends before the known size and size 0 is never asked for (API §3.3). A reply is
 * checked by its headers before its first byte reaches the sink: ETag and total must be the pinned
 * version's; the query value per version is for the CDN, the check is the guarantee (API §12.5).
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "supafs/util/cleanup.h"

#include "errors_priv.h"
#include "meta_priv.h"
#include "supabase_priv.h"
#include "user_priv.h"

/* --- info ------------------------------------------------------------------------------------- */

static void fill_info(const struct supafs_json *j, struct supafs_info *i)
{
	const struct supafs_json *user = supafs_json_get(j, "metadata");
	struct supafs_meta listed;

	(void)supafs_json_uuid(j, "id", i->version.id);
	(void)supafs_json_size(j, "size", INT64_MAX, &i->version.size);
	(void)supafs_json_time(j, "last_modified", &i->version.updated_ns);
	(void)supafs_json_copy(j, "etag", i->version.etag, sizeof(i->version.etag));
	i->modified_ns = i->version.updated_ns;
	(void)supafs_json_time(j, "created_at", &i->created_ns);
	(void)supafs_json_copy(j, "content_type", i->mime, sizeof(i->mime));
	(void)supafs_json_copy(j, "cache_control", i->cache_control, sizeof(i->cache_control));
	(void)supafs_json_copy(j, "version", i->generation, sizeof(i->generation));
	(void)supafs_json_copy(user, "nonce", i->nonce, sizeof(i->nonce));
	supafs_meta_from_json(user, &i->meta);
	supafs_user_from_json(user, i);
	supafs_meta_parse_directives(supafs_str_of(i->cache_control), &listed, NULL);
	if (i->meta.has == 0)
		i->meta = listed;
}

int supafs_sb_info(struct supafs_store *s, struct supafs_call *call, struct supafs_str key,
	struct supafs_info *ret_info, struct supafs_fault *fault)
{
	supafs_cleanup(supafs_json_freep) struct supafs_json *j = NULL;
	supafs_cleanup(supafs_sb_req_fini) struct supafs_sb_req q;
	struct supafs_info info = {0};
	struct supafs_str name;
	int r;

	supafs_sb_req_init(&q, supafs_sb_of(s), SUPAFS_HTTP_GET, "/object/info/authenticated");
	supafs_fault_clear(fault);
	r = supafs_key_check(key, SUPAFS_KEY_READ, fault);
	if (r < 0)
		return r;
	supafs_sb_req_bucket(&q);
	supafs_sb_req_key(&q, key);
	supafs_sb_req_fresh(&q);
	r = supafs_sb_req_json_reply(&q, call, SUPAFS_OP_INFO, &j, fault);
	if (r < 0)
		return r;
	if (!supafs_json_text(j, "name", &name))
		return supafs_errors_bad_reply(&q.reply, fault);
	/* A gateway that merges slashes has shown us another object. */
	if (!supafs_str_eq(name, key))
		return supafs_fault_set(fault, -ENOENT, SUPAFS_FAULT_MISSING, "NoSuchKey",
			"a gateway changed the key on its way");
	fill_info(j, &info);
	*ret_info = info;
	return 0;
}

/* --- get -------------------------------------------------------------------------------------- */

struct download {
	const struct supafs_get_args *args;
	uint64_t got;
	int error;                 /* ours or the sink's; 0: none */
	struct supafs_fault fault; /* its reason, which the transport cannot know */
	char etag[SUPAFS_ETAG_MAX + 1];
};

static int refuse(struct download *d, int error, enum supafs_fault_class class, const char *code,
	const char *text)
{
	d->error = supafs_fault_set(&d->fault, error, class, code, text);
	return error;
}

/* Something between here and there may have answered: such a reply is tried again, a few times. */
/* A compressing proxy weakens the tag; the opaque part is the same. */
static const char *strong(const char *etag)
{
	return strncmp(etag, "W/", 2) == 0 ? etag + 2 : etag;
}

static int check_etag(struct download *d, const struct supafs_http_reply *r)
{
	const char *pinned = d->args->version->etag;

	if (r->etag[0] == '\0')
		return refuse(d, -EIO, SUPAFS_FAULT_RACE, "NoETag",
			"the reply has no ETag, so its version cannot be checked");
	if (pinned[0] && strcmp(strong(pinned), strong(r->etag)) != 0)
		return refuse(d, -ESTALE, SUPAFS_FAULT_CONFLICT, "Changed",
			"the object was changed since it was opened");
	memcpy(d->etag, r->etag, sizeof(d->etag));
	return 0;
}

static int check_total(struct download *d, uint64_t total)
{
	if (total == d->args->version->size)
		return 0;
	return refuse(d, -ESTALE, SUPAFS_FAULT_CONFLICT, "Changed",
		"the object's size was changed since it was opened");
}

static int download_begin(void *ctx, const struct supafs_http_reply *r)
{
	struct download *d = ctx;
	const struct supafs_get_args *a = d->args;
	int e;

	if (r->status < 200 || r->status > 299)
		return 0;
	e = check_etag(d, r);
	if (e < 0)
		return e;
	if (r->status == 206 && r->has_range && r->range_total != UINT64_MAX) {
		e = check_total(d, r->range_total);
		if (e < 0)
			return e;
		if (r->range_first == a->offset && r->range_last == a->offset + a->length - 1)
			return 0;
	} else if (r->status == 200 && r->content_length != UINT64_MAX) {
		e = check_total(d, r->content_length);
		if (e < 0)
			return e;
		if (a->offset == 0 && a->length == a->version->size)
			return 0;
	}
	return refuse(d, -EIO, SUPAFS_FAULT_RACE, "RangeIgnored",
		"the reply is not the part of the object that was asked for");
}

static int download_write(void *ctx, const void *p, size_t n)
{
	struct download *d = ctx;
	int r;

	if (n > d->args->length - d->got)
		return refuse(d, -EIO, SUPAFS_FAULT_TRANSIENT, "BadReply",
			"the reply has more bytes than its headers say");
	r = d->args->sink.write(d->args->sink.ctx, p, n);
	if (r == 0)
		d->got += n;
	else if (r != -EAGAIN)
		return refuse(d, r, SUPAFS_FAULT_PERMANENT, "Local",
			"what came could not be kept on this machine");
	return r;
}

static void add_version_query(struct supafs_sb_req *q, const struct supafs_version *v)
{
	char text[40];

	if (v->etag[0] == '\0') {
		supafs_sb_req_fresh(q);
		return;
	}
	/* Not a seeded hash: every mount should share the CDN's copy of a version. */
	uint64_t h = UINT64_C(0xcbf29ce484222325);
	for (const char *p = v->etag; *p; p++)
		h = (h ^ (unsigned char)*p) * UINT64_C(0x100000001b3);
	(void)snprintf(text, sizeof(text), "%016llx-%llx", (unsigned long long)h,
		(unsigned long long)v->updated_ns);
	supafs_sb_req_query(q, "cacheNonce", text);
}

int supafs_sb_get(struct supafs_store *s, struct supafs_call *call,
	const struct supafs_get_args *args, struct supafs_fault *fault)
{
	supafs_cleanup(supafs_sb_req_fini) struct supafs_sb_req q;
	struct download d = {.args = args};
	struct supafs_http_sink sink = {download_begin, download_write, &d};
	char range[64];
	int r;

	supafs_sb_req_init(&q, supafs_sb_of(s), SUPAFS_HTTP_GET, "/object/authenticated");
	supafs_fault_clear(fault);
	r = supafs_get_check(args, fault);
	if (r < 0)
		return r;
	(void)snprintf(range, sizeof(range), "bytes=%llu-%llu", (unsigned long long)args->offset,
		(unsigned long long)(args->offset + args->length - 1));
	supafs_sb_req_bucket(&q);
	supafs_sb_req_key(&q, args->key);
	add_version_query(&q, args->version);
	supafs_sb_req_header(&q, "Range", supafs_str_of(range));
	q.sink = &sink;
	r = supafs_sb_req_perform(&q, call, SUPAFS_OP_GET, fault);
	if (args->ret_etag && d.etag[0])
		memcpy(args->ret_etag, d.etag, sizeof(d.etag));
	if (d.error < 0) {
		*fault = d.fault;
		return d.error;
	}
	if (r == 0 && d.got != args->length)
		return supafs_fault_set(fault, -EIO, SUPAFS_FAULT_TRANSIENT, "BadReply",
			"the reply ended too early");
	return r;
}
