/* SPDX-License-Identifier: Apache-2.0 */
/* Deletes: one by path, or up to 500 exact keys by one body (API §7). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/parse.h"

#include "errors_priv.h"
#include "supabase_priv.h"

/* A key that a gateway may rewrite must not travel in a URL: another object would go. */
static int remove_by_body(struct supafs_store *s, struct supafs_call *call, struct supafs_str key,
	struct supafs_fault *fault)
{
	bool gone = false;
	int r = supafs_sb_remove_many(s, call, &key, 1, &gone, fault);

	if (r == 0 && !gone)
		r = supafs_fault_set(fault, -ENOENT, SUPAFS_FAULT_MISSING, "NoSuchKey",
			"the object is not there, or may not be deleted");
	return r;
}

int supafs_sb_remove(struct supafs_store *s, struct supafs_call *call, struct supafs_str key,
	struct supafs_fault *fault)
{
	supafs_cleanup(supafs_json_freep) struct supafs_json *j = NULL;
	supafs_cleanup(supafs_sb_req_fini) struct supafs_sb_req q;
	struct supafs_str message;
	int r;

	supafs_sb_req_init(&q, supafs_sb_of(s), SUPAFS_HTTP_DELETE, "/object");
	supafs_fault_clear(fault);
	r = supafs_key_check(key, SUPAFS_KEY_REMOVE, fault);
	if (r < 0)
		return r;
	if (supafs_key_odd(key))
		return remove_by_body(s, call, key, fault);
	supafs_sb_req_bucket(&q);
	supafs_sb_req_key(&q, key);
	r = supafs_sb_req_json_reply(&q, call, SUPAFS_OP_REMOVE, &j, fault);
	if (r == 0 && !supafs_json_text(j, "message", &message))
		r = supafs_errors_bad_reply(&q.reply, fault);
	return r;
}

/* --- Batches ---------------------------------------------------------------------------------- */

static int compare_keys(const void *a, const void *b)
{
	return supafs_str_cmp(
		**(const struct supafs_str *const *)a, **(const struct supafs_str *const *)b);
}

struct batch {
	const struct supafs_str *keys;
	size_t n;
	const struct supafs_str *sorted[SUPAFS_DELETE_BATCH];
	bool *gone;
};

static void mark_gone(struct batch *b, struct supafs_str name)
{
	const struct supafs_str *want = &name;
	const struct supafs_str **hit =
		bsearch(&want, b->sorted, b->n, sizeof(const struct supafs_str *), compare_keys);

	if (!hit)
		return;
	/* The same key may have been given twice. */
	while (hit > b->sorted && supafs_str_eq(*hit[-1], name))
		hit--;
	for (; hit < b->sorted + b->n && supafs_str_eq(**hit, name); hit++)
		b->gone[*hit - b->keys] = true;
}

static void add_prefixes(struct supafs_buf *b, const struct supafs_str *keys, size_t n)
{
	(void)supafs_buf_adds(b, "{\"prefixes\":[");
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			(void)supafs_buf_addc(b, ',');
		(void)supafs_json_quote(b, keys[i]);
	}
	(void)supafs_buf_adds(b, "]}");
}

int supafs_sb_remove_many(struct supafs_store *s, struct supafs_call *call,
	const struct supafs_str *keys, size_t n, bool *ret_gone, struct supafs_fault *fault)
{
	supafs_cleanup(supafs_json_freep) struct supafs_json *j = NULL;
	supafs_cleanup(supafs_sb_req_fini) struct supafs_sb_req q;
	struct batch b = {.keys = keys, .n = n, .gone = ret_gone};
	struct supafs_str name;
	int r;

	supafs_sb_req_init(&q, supafs_sb_of(s), SUPAFS_HTTP_DELETE, "/object");
	supafs_fault_clear(fault);
	r = supafs_batch_check(keys, n, fault);
	if (r < 0)
		return r;
	supafs_sb_req_bucket(&q);
	supafs_sb_req_json_body(&q);
	add_prefixes(&q.json, keys, n);
	r = supafs_sb_req_json_reply(&q, call, SUPAFS_OP_REMOVE_MANY, &j, fault);
	if (r < 0)
		return r;
	if (!supafs_json_is_array(j))
		return supafs_errors_bad_reply(&q.reply, fault);
	for (size_t i = 0; i < n; i++) {
		ret_gone[i] = false;
		b.sorted[i] = &keys[i];
	}
	qsort(b.sorted, n, sizeof(const struct supafs_str *), compare_keys);
	for (const struct supafs_json *it = supafs_json_first(j); it; it = supafs_json_next(it)) {
		if (supafs_json_text(it, "name", &name))
			mark_gone(&b, name);
	}
	return 0;
}
