/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Repeats what failed for the moment: exponential back-off with full jitter, Retry-After, the
 * call's deadline, and a budget, so that an outage does not become a storm of retries.
 *
 * The budget is a bucket of tokens: each operation puts `budget` in, each retry takes one out, at
 * most `budget_burst` stay in it. Without a token a retry waits for about `cap_ms`. One store is
 * one host, so the bucket is the host's.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "retry_priv.h"
#include "store_priv.h"

enum {
	RACES_MAX = 5, /* API §3.6 */
	SHIFT_MAX = 20,
};

/* --- Whether and when ------------------------------------------------------------------------- */

void supafs_tries_init(struct supafs_tries *t, struct supafs_store *s, struct supafs_call *call,
	struct supafs_fault *fault)
{
	struct supafs_retry *rt = supafs_retry_of(s);

	*t = (struct supafs_tries){.rt = rt, .call = call, .fault = fault};
	supafs_fault_clear(fault);
	SUPAFS_SCOPED_LOCK(&rt->lock);
	rt->tokens += rt->cfg.budget;
	if (rt->tokens > rt->cfg.budget_burst)
		rt->tokens = rt->cfg.budget_burst;
}

static bool passing(struct supafs_tries *t)
{
	switch (t->fault->class) {
	case SUPAFS_FAULT_TRANSIENT:
	case SUPAFS_FAULT_THROTTLED:
		return true;
	case SUPAFS_FAULT_RACE:
		return ++t->races <= RACES_MAX;
	case SUPAFS_FAULT_NONE:
	case SUPAFS_FAULT_AUTH:
	case SUPAFS_FAULT_DENIED:
	case SUPAFS_FAULT_MISSING:
	case SUPAFS_FAULT_CONFLICT:
	case SUPAFS_FAULT_TOO_LARGE:
	case SUPAFS_FAULT_PERMANENT:
	case SUPAFS_FAULT__COUNT:
		break;
	}
	return false;
}

static bool take_token_locked(struct supafs_retry *rt) SUPAFS_REQUIRES(rt->lock);
static bool take_token_locked(struct supafs_retry *rt)
{
	if (rt->tokens < 1)
		return false;
	rt->tokens -= 1;
	return true;
}

/* Draws the wait before the next try. When the budget is spent it is a long one: all together then
 * cause few requests, and an outage of seconds is still not seen by many at once. */
static int64_t draw_wait_ms(struct supafs_tries *t)
{
	struct supafs_retry *rt = t->rt;
	unsigned shift = t->since - 1 < SHIFT_MAX ? t->since - 1 : SHIFT_MAX;
	uint64_t most = rt->cfg.base_ms << shift;
	int64_t ms = 0;

	if (most > rt->cfg.cap_ms || most >> shift != rt->cfg.base_ms)
		most = rt->cfg.cap_ms;
	SUPAFS_SCOPED_LOCK(&rt->lock);
	if (!take_token_locked(rt)) {
		most = rt->cfg.cap_ms / 2;
		ms = (int64_t)(rt->cfg.cap_ms - most);
	}
	ms += most > 0 ? (int64_t)supafs_rng_below(&rt->rng, most) : 0;
	return t->fault->retry_after_ms > ms ? t->fault->retry_after_ms : ms;
}

static bool fits_deadline(struct supafs_tries *t, int64_t wait_ns)
{
	const struct supafs_call *c = t->call;
	const int64_t now = c->clock->mono_ns(c->clock);

	if (t->since == 1 || t->give_up_ns == 0)
		t->give_up_ns = c->timeout_ns > 0 ? now + c->timeout_ns : SUPAFS_NEVER;
	if (t->give_up_ns != SUPAFS_NEVER && now >= t->give_up_ns - wait_ns)
		return false;
	return c->deadline_ns == SUPAFS_NEVER || now < c->deadline_ns - wait_ns;
}

/* After a try that failed: waits for the next one. False: there is none, *r is the result. */
static bool wait_for_next(struct supafs_tries *t, int *r)
{
	struct supafs_fault *f = t->fault;
	int64_t wait_ns;
	int64_t ms;
	int slept;

	if (supafs_call_check(t->call) < 0 || !passing(t))
		return false;
	if (t->rt->cfg.max_attempts > 0 && t->since >= t->rt->cfg.max_attempts)
		return false;
	ms = draw_wait_ms(t);
	wait_ns = ms * SUPAFS_NS_PER_MS;
	if (!fits_deadline(t, wait_ns))
		return false;
	slept = supafs_call_sleep(t->call, wait_ns);
	if (slept == -EINTR)
		*r = supafs_fault_set(f, slept, SUPAFS_FAULT_PERMANENT, "Cancelled", "interrupted");
	return slept == 0;
}

bool supafs_tries_again(struct supafs_tries *t, int *r)
{
	struct supafs_fault *f = t->fault;
	bool again;

	t->total++;
	t->since++;
	if (*r < 0 && f->ambiguous)
		t->ambiguous = true;
	again = *r < 0 && wait_for_next(t, r);
	f->attempts = t->total;
	/* The last try may surely have done nothing; an earlier one may have done it all. */
	if (*r < 0 && !again)
		f->ambiguous = t->ambiguous;
	return again;
}

/* --- Reads and other requests that are safe to repeat -------------------------------------------
 */

static int retry_probe(struct supafs_store *s, struct supafs_call *call,
	struct supafs_bucket_info *ret_info, struct supafs_fault *fault)
{
	struct supafs_store *inner = supafs_retry_of(s)->inner;
	struct supafs_tries t;
	int r;

	supafs_tries_init(&t, s, call, fault);
	do {
		r = inner->ops->probe(inner, call, ret_info, fault);
	} while (supafs_tries_again(&t, &r));
	return r;
}

static int retry_list(struct supafs_store *s, struct supafs_call *call,
	const struct supafs_list_args *args, struct supafs_cursor *cursor, bool *ret_more,
	struct supafs_fault *fault)
{
	struct supafs_store *inner = supafs_retry_of(s)->inner;
	struct supafs_tries t;
	int r;

	supafs_tries_init(&t, s, call, fault);
	do {
		r = inner->ops->list(inner, call, args, cursor, ret_more, fault);
	} while (supafs_tries_again(&t, &r));
	return r;
}

static int retry_info(struct supafs_store *s, struct supafs_call *call, struct supafs_str key,
	struct supafs_info *ret_info, struct supafs_fault *fault)
{
	struct supafs_store *inner = supafs_retry_of(s)->inner;
	struct supafs_tries t;
	int r;

	supafs_tries_init(&t, s, call, fault);
	do {
		r = inner->ops->info(inner, call, key, ret_info, fault);
	} while (supafs_tries_again(&t, &r));
	return r;
}

static int retry_url(struct supafs_store *s, struct supafs_call *call, struct supafs_str key,
	uint64_t valid_s, struct supafs_buf *ret, struct supafs_fault *fault)
{
	struct supafs_store *inner = supafs_retry_of(s)->inner;
	struct supafs_tries t;
	int r;

	supafs_tries_init(&t, s, call, fault);
	do {
		r = inner->ops->url(inner, call, key, valid_s, ret, fault);
	} while (supafs_tries_again(&t, &r));
	return r;
}

static int retry_remove(struct supafs_store *s, struct supafs_call *call, struct supafs_str key,
	struct supafs_fault *fault)
{
	struct supafs_store *inner = supafs_retry_of(s)->inner;
	struct supafs_tries t;
	int r;

	supafs_tries_init(&t, s, call, fault);
	do {
		r = inner->ops->remove(inner, call, key, fault);
		if (r == -ENOENT && t.ambiguous) {
			supafs_fault_clear(fault); /* an earlier try did it */
			r = 0;
		}
	} while (supafs_tries_again(&t, &r));
	return r;
}

/* --- Downloads go on where they broke -----------------------------------------------------------
 */

struct resume {
	struct supafs_sink outer;
	uint64_t got;
};

static int resume_write(void *ctx, const void *p, size_t n)
{
	struct resume *d = ctx;
	int r = d->outer.write(d->outer.ctx, p, n);

	if (r == 0)
		d->got += n;
	return r;
}

static int retry_get(struct supafs_store *s, struct supafs_call *call,
	const struct supafs_get_args *args, struct supafs_fault *fault)
{
	struct supafs_store *inner = supafs_retry_of(s)->inner;
	struct resume d = {.outer = args->sink};
	struct supafs_version version = *args->version;
	char etag[SUPAFS_ETAG_MAX + 1] = "";
	struct supafs_get_args part = *args;
	struct supafs_tries t;
	int r;

	r = supafs_get_check(args, fault);
	if (r < 0)
		return r;
	part.version = &version;
	part.sink = (struct supafs_sink){resume_write, &d};
	part.ret_etag = etag;
	supafs_tries_init(&t, s, call, fault);
	do {
		uint64_t before = d.got;
		part.offset = args->offset + d.got;
		part.length = args->length - d.got;
		r = inner->ops->get(inner, call, &part, fault);
		if (d.got > before)
			t.since = 0;
		if (version.etag[0] == '\0' && d.got > 0)
			memcpy(version.etag, etag, sizeof(version.etag));
		if (d.got == args->length) {
			/* All of it is here: how the transfer ended does not matter. */
			supafs_fault_clear(fault);
			r = 0;
		}
	} while (supafs_tries_again(&t, &r));
	if (args->ret_etag && etag[0])
		memcpy(args->ret_etag, etag, sizeof(etag));
	return r;
}

/* --- The table ----------------------------------------------------------------------------------
 */

static unsigned retry_capabilities(const struct supafs_store *s)
{
	const struct supafs_retry *rt = (const struct supafs_retry *)(const void *)s;

	return rt->inner->ops->capabilities(rt->inner);
}

static struct supafs_store *retry_free(struct supafs_store *s)
{
	struct supafs_retry *rt = supafs_retry_of(s);

	(void)supafs_store_free(rt->inner);
	supafs_mutex_fini(&rt->lock);
	free(rt);
	return NULL;
}

static const struct supafs_store_ops retry_ops = {
	.name = "retry",
	.probe = retry_probe,
	.list = retry_list,
	.info = retry_info,
	.get = retry_get,
	.put = supafs_retry_put,
	.remove = retry_remove,
	.remove_many = supafs_retry_remove_many,
	.copy = supafs_retry_copy,
	.move = supafs_retry_move,
	.url = retry_url,
	.capabilities = retry_capabilities,
	.free = retry_free,
};

int supafs_store_new_retry(const struct supafs_retry_config *cfg, struct supafs_store *inner,
	struct supafs_store **ret_store)
{
	struct supafs_retry *rt = calloc(1, sizeof(*rt));

	if (!rt)
		return -ENOMEM;
	rt->base.ops = &retry_ops;
	rt->inner = inner;
	rt->cfg = *cfg;
	rt->tokens = cfg->budget_burst;
	supafs_rng_init(&rt->rng, cfg->seed);
	supafs_mutex_init(&rt->lock);
	*ret_store = &rt->base;
	return 0;
}
