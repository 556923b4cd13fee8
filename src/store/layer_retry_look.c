/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes under the retry layer. When a reply was lost, the server may have done the work; so the
 * object is looked at first (API §12.3):
 *
 *	put           info has our nonce: done. Else it is sent again; a resumable one goes on
 *	              where the server has it, and what got further counts as a first try.
 *	put exclusive, then "exists"    info has our nonce: ours. Else -EEXIST.
 *	copy          with replace: sent again. Else, then "exists": same content and nonce: ours.
 *	move          then "no source" or "exists": source gone and target there: done.
 *	remove_many   what the second reply lacks is looked up: gone now means gone by us.
 *
 * A look may fail for the moment as well; it takes part in the same count, budget and deadline.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "retry_priv.h"
#include "store_priv.h"

/* Asks for the facts of `key` until there is an answer. 0, -ENOENT, or what ends the operation. */
static int look(struct supafs_tries *t, struct supafs_str key, struct supafs_info *ret_info)
{
	struct supafs_store *inner = t->rt->inner;
	int r;

	do {
		r = inner->ops->info(inner, t->call, key, ret_info, t->fault);
	} while (supafs_tries_again(t, &r));
	return r;
}

/* The fault of a finding that is not the last reply's. */
static int found(struct supafs_tries *t, int r, const struct supafs_fault *reply)
{
	if (r == 0)
		supafs_fault_clear(t->fault);
	else
		*t->fault = *reply;
	t->fault->attempts = t->total;
	return r;
}

/* --- put -------------------------------------------------------------------------------------- */

/* 1: the object is ours (ret_id set); 0: it is not; < 0: no answer. */
static int look_for_put(
	struct supafs_tries *t, const struct supafs_put_args *args, unsigned char ret_id[16])
{
	struct supafs_info info;
	int r = look(t, args->key, &info);

	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return r;
	if (!supafs_str_eq(supafs_str_of(info.nonce), args->nonce))
		return 0;
	memcpy(ret_id, info.version.id, sizeof(info.version.id));
	return 1;
}

static int put_tries(
	struct supafs_tries *t, const struct supafs_put_args *args, unsigned char ret_id[16])
{
	struct supafs_store *inner = t->rt->inner;
	struct supafs_fault reply;
	bool unsure;
	int mine;
	int r;

	do {
		const uint64_t before = args->resume->offset;
		r = inner->ops->put(inner, t->call, args, ret_id, t->fault);
		if (args->resume->offset > before)
			t->since = 0;
		unsure = r < 0 && t->fault->ambiguous;
		if (r == -EEXIST && args->exclusive && t->ambiguous) {
			reply = *t->fault;
			mine = look_for_put(t, args, ret_id);
			return mine < 0 ? mine : found(t, mine ? 0 : r, &reply);
		}
		if (!supafs_tries_again(t, &r))
			return r;
		mine = unsure ? look_for_put(t, args, ret_id) : 0;
	} while (mine == 0);
	return mine < 0 ? mine : found(t, 0, NULL);
}

int supafs_retry_put(struct supafs_store *s, struct supafs_call *call,
	const struct supafs_put_args *args, unsigned char ret_id[16], struct supafs_fault *fault)
{
	struct supafs_retry *rt = supafs_retry_of(s);
	struct supafs_put_args marked = *args;
	struct supafs_resume own = {.changed = NULL};
	struct supafs_tries t;
	char nonce[33];

	if (!marked.resume)
		marked.resume = &own;
	if (marked.nonce.n == 0) {
		supafs_nonce_make(rt->cfg.seed, &rt->nonces, nonce);
		marked.nonce = supafs_str_of(nonce);
	}
	supafs_tries_init(&t, s, call, fault);
	return put_tries(&t, &marked, ret_id);
}

/* --- copy and move ---------------------------------------------------------------------------- */

/* After "exists": did an earlier try of ours make it? 0 or -EEXIST, < 0: no answer. */
static int look_for_copy(
	struct supafs_tries *t, const struct supafs_copy_args *args, struct supafs_entry *ret_entry)
{
	struct supafs_info from;
	struct supafs_info to;
	const char *nonce;
	int r = look(t, args->from, &from);

	if (r == 0)
		r = look(t, args->to, &to);
	if (r < 0)
		return r == -ENOENT ? -EEXIST : r;
	nonce = from.nonce;
	if (!supafs_version_same(&from.version, &to.version))
		return -EEXIST;
	if (args->attrs ? !supafs_str_eq(supafs_str_of(to.nonce), args->attrs->nonce)
			: strcmp(to.nonce, nonce) != 0)
		return -EEXIST;
	if (ret_entry)
		*ret_entry = (struct supafs_entry){
			.version = to.version,
			.modified_ns = to.modified_ns,
			.created_ns = to.created_ns,
			.meta = to.meta,
		};
	return 0;
}

static int copy_tries(
	struct supafs_tries *t, const struct supafs_copy_args *args, struct supafs_entry *ret_entry)
{
	struct supafs_store *inner = t->rt->inner;
	struct supafs_fault reply;
	int r;

	do {
		r = inner->ops->copy(inner, t->call, args, ret_entry, t->fault);
		/* The other bucket cannot be looked at through this store. */
		if (r == -EEXIST && t->ambiguous && args->to_bucket.n == 0) {
			reply = *t->fault;
			r = look_for_copy(t, args, ret_entry);
			return r < 0 && r != -EEXIST ? r : found(t, r, &reply);
		}
	} while (supafs_tries_again(t, &r));
	return r;
}

int supafs_retry_copy(struct supafs_store *s, struct supafs_call *call,
	const struct supafs_copy_args *args, struct supafs_entry *ret_entry,
	struct supafs_fault *fault)
{
	struct supafs_retry *rt = supafs_retry_of(s);
	struct supafs_copy_args marked = *args;
	struct supafs_put_args attrs;
	struct supafs_tries t;
	char nonce[33];

	if (args->attrs) {
		attrs = *args->attrs;
		if (attrs.nonce.n == 0) {
			supafs_nonce_make(rt->cfg.seed, &rt->nonces, nonce);
			attrs.nonce = supafs_str_of(nonce);
		}
		marked.attrs = &attrs;
	}
	supafs_tries_init(&t, s, call, fault);
	return copy_tries(&t, &marked, ret_entry);
}

/* After "no source" or "exists": 0 when an earlier try of ours has moved it, else `r`. */
static int look_for_move(
	struct supafs_tries *t, struct supafs_str from, struct supafs_str to, int r)
{
	struct supafs_info info;
	int seen = look(t, from, &info);

	if (seen == 0)
		return r;
	if (seen != -ENOENT)
		return seen;
	seen = look(t, to, &info);
	return seen == -ENOENT ? r : seen;
}

int supafs_retry_move(struct supafs_store *s, struct supafs_call *call, struct supafs_str from,
	struct supafs_str to, struct supafs_fault *fault)
{
	struct supafs_store *inner = supafs_retry_of(s)->inner;
	struct supafs_fault reply;
	struct supafs_tries t;
	int r;

	supafs_tries_init(&t, s, call, fault);
	do {
		r = inner->ops->move(inner, call, from, to, fault);
		if ((r == -ENOENT || r == -EEXIST) && t.ambiguous) {
			reply = *fault;
			int now = look_for_move(&t, from, to, r);
			return now < 0 && now != r ? now : found(&t, now, &reply);
		}
	} while (supafs_tries_again(&t, &r));
	return r;
}

/* --- remove_many ------------------------------------------------------------------------------ */

/* Keys that a repeated batch did not list, in a flat listing of their common folder. */
struct survey {
	const struct supafs_str *keys;
	size_t n;
	bool *gone; /* true until the listing shows the key */
	size_t at;  /* keys below are settled */
	size_t *order;
};

static size_t common_prefix(const struct supafs_str *a, const struct supafs_str *b)
{
	size_t n = 0;

	while (n < a->n && n < b->n && a->p[n] == b->p[n])
		n++;
	return n;
}

static int survey_entry(void *ctx, const struct supafs_entry *e)
{
	struct survey *s = ctx;

	/* Both are sorted: walk them side by side. */
	while (s->at < s->n && supafs_str_cmp(s->keys[s->order[s->at]], e->key) < 0)
		s->gone[s->order[s->at++]] = true;
	while (s->at < s->n && supafs_str_eq(s->keys[s->order[s->at]], e->key))
		s->gone[s->order[s->at++]] = false;
	return 0;
}

static int compare_order(const void *a, const void *b, void *ctx)
{
	const struct survey *s = ctx;

	return supafs_str_cmp(s->keys[*(const size_t *)a], s->keys[*(const size_t *)b]);
}

static int survey_pages(struct supafs_tries *t, struct survey *s,
	const struct supafs_list_args *args, unsigned pages)
{
	struct supafs_store *inner = t->rt->inner;
	struct supafs_cursor cursor = {0};
	bool more = true;
	int r = 0;

	while (r == 0 && more && s->at < s->n && pages-- > 0) {
		do {
			r = inner->ops->list(inner, t->call, args, &cursor, &more, t->fault);
		} while (supafs_tries_again(t, &r));
	}
	/* The listing is at its end: what it has not shown by now is not there. */
	while (r == 0 && !more && s->at < s->n)
		s->gone[s->order[s->at++]] = true;
	return r;
}

/* Few are asked for one by one; many by a listing of what they have in common, and the rest one by
 * one when that turns out to be large. */
static int survey_sorted(struct supafs_tries *t, struct survey *s)
{
	const struct supafs_str *first = &s->keys[s->order[0]];
	const struct supafs_str *last = &s->keys[s->order[s->n - 1]];
	const struct supafs_list_args args = {
		.prefix = {first->p, common_prefix(first, last)},
		.limit = 1000,
		.on_entry = survey_entry,
		.ctx = s,
	};
	int r = s->n > 4 ? survey_pages(t, s, &args, (unsigned)(s->n / 50) + 2) : 0;

	while (r == 0 && s->at < s->n) {
		struct supafs_info info;
		size_t i = s->order[s->at++];
		r = look(t, s->keys[i], &info);
		s->gone[i] = r == -ENOENT;
		if (r == -ENOENT)
			r = 0;
	}
	return r;
}

/* Settles gone[] of the keys that are false in it. */
static int survey(struct supafs_tries *t, const struct supafs_str *keys, size_t n, bool *gone)
{
	struct survey s = {.keys = keys, .gone = gone};
	int r = 0;

	s.order = calloc(n, sizeof(*s.order));
	if (!s.order)
		return supafs_fault_set(t->fault, -ENOMEM, SUPAFS_FAULT_PERMANENT, "Local", NULL);
	for (size_t i = 0; i < n; i++) {
		if (!gone[i])
			s.order[s.n++] = i;
	}
	if (s.n > 0) {
		qsort_r(s.order, s.n, sizeof(*s.order), compare_order, &s);
		r = survey_sorted(t, &s);
	}
	free(s.order);
	return r;
}

int supafs_retry_remove_many(struct supafs_store *s, struct supafs_call *call,
	const struct supafs_str *keys, size_t n, bool *ret_gone, struct supafs_fault *fault)
{
	struct supafs_store *inner = supafs_retry_of(s)->inner;
	struct supafs_tries t;
	int r;

	supafs_tries_init(&t, s, call, fault);
	do {
		r = inner->ops->remove_many(inner, call, keys, n, ret_gone, fault);
	} while (supafs_tries_again(&t, &r));
	if (r == 0 && t.ambiguous) {
		r = survey(&t, keys, n, ret_gone);
		if (r == 0)
			return found(&t, 0, NULL);
	}
	return r;
}
