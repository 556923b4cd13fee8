/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first contact (API §13): is this the Storage API, is the key good, is the bucket there, can
 * the server list. Each way to fail leaves its own fault.code (store.h).
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/parse.h"

#include "errors_priv.h"
#include "supabase_priv.h"

#define MIMES_MAX (64U << 10)

static void tell(struct supafs_fault *f, const char *code, const char *text)
{
	(void)snprintf(f->code, sizeof(f->code), "%s", code);
	(void)snprintf(f->text, sizeof(f->text), "%s", text);
}

static int take_mimes(const struct supafs_json *list, struct supafs_buf *b)
{
	for (const struct supafs_json *it = supafs_json_first(list); it;
		it = supafs_json_next(it)) {
		struct supafs_str type;
		if (!supafs_json_value_text(it, &type) || type.n == 0 ||
			memchr(type.p, '\n', type.n))
			continue;
		if (b->n > 0)
			(void)supafs_buf_addc(b, '\n');
		(void)supafs_buf_addstr(b, type);
	}
	return supafs_buf_error(b);
}

static int ask_bucket(struct supafs_sb *sb, struct supafs_call *call,
	struct supafs_bucket_info *info, struct supafs_fault *fault)
{
	supafs_cleanup(supafs_json_freep) struct supafs_json *j = NULL;
	supafs_cleanup(supafs_sb_req_fini) struct supafs_sb_req q;
	int r;

	supafs_sb_req_init(&q, sb, SUPAFS_HTTP_GET, "/bucket");
	supafs_sb_req_bucket(&q);
	r = supafs_sb_req_json_reply(&q, call, SUPAFS_OP_PROBE, &j, fault);
	if (r < 0)
		return r;
	if (!supafs_json_copy(j, "name", info->name, sizeof(info->name)))
		return supafs_errors_bad_reply(&q.reply, fault);
	(void)supafs_json_bool(j, "public", &info->is_public);
	(void)supafs_json_size(j, "file_size_limit", INT64_MAX, &info->size_limit);
	r = take_mimes(supafs_json_get(j, "allowed_mime_types"), &info->mimes);
	return r < 0 ? supafs_fault_set(fault, r, SUPAFS_FAULT_PERMANENT, "Local",
			       "the bucket's list of types is too long")
		     : 0;
}

/* Before 1.19.0 this URL is an upload into a bucket called "list-v2", which is not there. */
static int ask_list(struct supafs_sb *sb, struct supafs_call *call, struct supafs_fault *fault)
{
	supafs_cleanup(supafs_json_freep) struct supafs_json *j = NULL;
	supafs_cleanup(supafs_sb_req_fini) struct supafs_sb_req q;
	int r;

	supafs_sb_req_init(&q, sb, SUPAFS_HTTP_POST, "/object/list-v2");
	supafs_sb_req_bucket(&q);
	supafs_sb_req_json_body(&q);
	(void)supafs_buf_adds(&q.json, "{\"prefix\":\"\",\"limit\":1,\"with_delimiter\":true}");
	r = supafs_sb_req_json_reply(&q, call, SUPAFS_OP_PROBE, &j, fault);
	if (r == -ENOENT && strcmp(fault->code, "NoSuchBucket") == 0) {
		tell(fault, "OldServer", "the server has no list-v2: it is older than 1.19.0");
		fault->class = SUPAFS_FAULT_PERMANENT;
		return -EOPNOTSUPP;
	}
	if (r == 0 && !supafs_json_is_array(supafs_json_get(j, "objects")))
		return supafs_errors_bad_reply(&q.reply, fault);
	return r;
}

/* Nice to know, nothing more: gateways may hide this route. */
static void ask_version(
	struct supafs_sb *sb, struct supafs_call *call, struct supafs_bucket_info *info)
{
	supafs_cleanup(supafs_sb_req_fini) struct supafs_sb_req q;
	struct supafs_fault ignored;
	struct supafs_str text;

	supafs_sb_req_init(&q, sb, SUPAFS_HTTP_GET, "/version");
	if (supafs_sb_req_perform(&q, call, SUPAFS_OP_PROBE, &ignored) < 0)
		return;
	text = supafs_buf_str(&q.reply.body);
	while (text.n > 0 && (text.p[text.n - 1] == '\n' || text.p[text.n - 1] == '\r'))
		text.n--;
	if (text.n == 0 || text.n >= sizeof(info->server_version) ||
		supafs_str_eq(text, SUPAFS_STR("0.0.0")))
		return;
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] < '!' || text.p[i] > '~' || text.p[i] == '<' || text.p[i] == '{')
			return;
	}
	memcpy(info->server_version, text.p, text.n);
}

/* "1.26.3" is older than 1.27; what is no such number is taken for new. */
static bool sorts_by_time(const char *version)
{
	const struct supafs_str v = supafs_str_of(version);
	const char *dot = memchr(v.p, '.', v.n);
	struct supafs_str major;
	struct supafs_str minor;
	uint64_t a;
	uint64_t b;

	if (!dot)
		return true;
	major = (struct supafs_str){v.p, (size_t)(dot - v.p)};
	minor = (struct supafs_str){dot + 1, strcspn(dot + 1, ".")};
	if (major.n > 0 && major.p[0] == 'v') {
		major.p++;
		major.n--;
	}
	if (supafs_parse_u64(major, UINT32_MAX, &a) < 0 ||
		supafs_parse_u64(minor, UINT32_MAX, &b) < 0)
		return true;
	return a > 1 || (a == 1 && b >= 27);
}

/* A public key sees no bucket without a policy, and the server words that as "not found". */
static void explain_bucket(const struct supafs_sb *sb, struct supafs_fault *fault)
{
	if (sb->public_key && strcmp(fault->code, "NoSuchBucket") == 0)
		tell(fault, "PublicKey",
			"this key is a public one (anon or publishable); it sees no such bucket");
}

int supafs_sb_probe(struct supafs_store *s, struct supafs_call *call,
	struct supafs_bucket_info *ret_info, struct supafs_fault *fault)
{
	struct supafs_sb *sb = supafs_sb_of(s);
	struct supafs_bucket_info info = {0};
	int r;

	supafs_fault_clear(fault);
	supafs_buf_init(&info.mimes, MIMES_MAX);
	r = ask_bucket(sb, call, &info, fault);
	if (r < 0)
		explain_bucket(sb, fault);
	else
		r = ask_list(sb, call, fault);
	if (r < 0) {
		supafs_buf_fini(&info.mimes);
		return r;
	}
	ask_version(sb, call, &info);
	sb->is_public = info.is_public;
	sb->no_sort = !sorts_by_time(info.server_version);
	*ret_info = info;
	return 0;
}
