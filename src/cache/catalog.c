/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The catalog itself: creation, folder records, memory, and waiting for one another.
 *
 * A folder's record lives as long as something of it is known or under way:
 *
 *	users > 0    handles, walks, look-ups: neither it nor its listing is evicted
 *	users == 0   on memory pressure, oldest first: the listing goes, and every record that is
 *	             no change, or a confirmed one past its ttl; an empty folder record is freed
 *
 * An evicted record could have hidden an older answer; that cannot come any more, since nothing
 * of the folder is under way, and the older listing goes in the same step.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "supafs/util/cleanup.h"

#include "catalog_priv.h"

#define AHEAD_THREADS 4
#define AHEAD_JOBS    64
#define FIRST_INO     2 /* 1 is the root's */

int64_t catalog_now(const struct supafs_catalog *c)
{
	return c->clock->mono_ns(c->clock);
}

int64_t catalog_expiry(const struct supafs_catalog *c)
{
	int64_t now = catalog_now(c);

	return c->ttl_ns > SUPAFS_NEVER - now ? SUPAFS_NEVER : now + c->ttl_ns;
}

uint64_t catalog_seq_locked(struct supafs_catalog *c)
{
	return ++c->seq;
}

int make_key(const struct supafs_catalog *c, struct supafs_str prefix, struct supafs_str seg,
	char buf[KEY_BUF], struct supafs_str *ret_key)
{
	size_t n = c->root_n + prefix.n + seg.n;

	if (prefix.n > SUPAFS_KEY_MAX || n > SUPAFS_KEY_MAX)
		return -ENAMETOOLONG;
	memcpy(buf, c->root, c->root_n);
	if (prefix.n > 0)
		memcpy(buf + c->root_n, prefix.p, prefix.n);
	if (seg.n > 0)
		memcpy(buf + c->root_n + prefix.n, seg.p, seg.n);
	*ret_key = (struct supafs_str){buf, n};
	return 0;
}

/* --- Folders ------------------------------------------------------------------------------------
 */

static bool folder_equal(const void *entry, const void *key)
{
	const struct folder *f = entry;

	return supafs_str_eq(f->prefix, *(const struct supafs_str *)key);
}

struct folder *folder_find_locked(struct supafs_catalog *c, struct supafs_str prefix)
{
	return supafs_map_get(c->folders, supafs_hash_str(prefix), &prefix);
}

static bool rec_equal(const void *entry, const void *key)
{
	const struct rec *r = entry;

	return supafs_str_eq(
		(struct supafs_str){r->name, r->name_n}, *(const struct supafs_str *)key);
}

static struct folder *folder_free(struct folder *f)
{
	if (!f)
		return NULL;
	assert(f->users == 0);
	f->recs = supafs_map_free(f->recs);
	free(f->text);
	free(f);
	return NULL;
}

static struct folder *folder_new(struct supafs_str prefix)
{
	struct folder *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->text = supafs_str_dup(prefix);
	f->prefix = (struct supafs_str){f->text, prefix.n};
	if (!f->text || supafs_map_new(rec_equal, &f->recs) < 0)
		return folder_free(f);
	supafs_list_init(&f->lru);
	supafs_list_init(&f->flights);
	f->bytes = sizeof(*f) + prefix.n + 1;
	return f;
}

struct folder *folder_get_locked(struct supafs_catalog *c, struct supafs_str prefix)
{
	struct folder *f = folder_find_locked(c, prefix);

	if (f)
		return f;
	f = folder_new(prefix);
	if (!f)
		return NULL;
	if (supafs_map_add(c->folders, supafs_hash_str(prefix), &prefix, f) < 0)
		return folder_free(f);
	supafs_list_add_tail(&c->lru, &f->lru);
	c->bytes += f->bytes;
	return f;
}

void folder_touch_locked(struct supafs_catalog *c, struct folder *f)
{
	supafs_list_remove(&f->lru);
	supafs_list_add_tail(&c->lru, &f->lru);
}

void listing_drop_locked(struct supafs_catalog *c, struct listing **l)
{
	if (*l && (*l)->refs == 1)
		c->bytes -= (*l)->bytes;
	*l = listing_unref(*l);
}

static void folder_remove_locked(struct supafs_catalog *c, struct folder *f)
	SUPAFS_REQUIRES(c->lock);
static void folder_remove_locked(struct supafs_catalog *c, struct folder *f)
{
	(void)supafs_map_remove(c->folders, supafs_hash_str(f->prefix), &f->prefix);
	supafs_list_remove(&f->lru);
	c->bytes -= f->bytes;
	(void)folder_free(f);
}

static bool evictable(const struct rec *r, int64_t now)
{
	if (r->state == REC_ACKED)
		return r->expires_ns <= now;
	return r->state != REC_PENDING;
}

static void folder_evict_locked(struct supafs_catalog *c, struct folder *f, int64_t now)
	SUPAFS_REQUIRES(c->lock);
static void folder_evict_locked(struct supafs_catalog *c, struct folder *f, int64_t now)
{
	size_t pos = 0;
	struct rec *r;

	listing_drop_locked(c, &f->list);
	while ((r = supafs_map_next(f->recs, &pos)) != NULL) {
		if (evictable(r, now))
			rec_remove_locked(c, f, r);
	}
	if (supafs_map_count(f->recs) == 0)
		folder_remove_locked(c, f);
}

void evict_locked(struct supafs_catalog *c)
{
	int64_t now;

	if (c->bytes <= c->evict_above)
		return;
	now = catalog_now(c);
	supafs_list_for_each_safe (it, nxt, &c->lru) {
		struct folder *f = supafs_list_entry(it, struct folder, lru);

		if (c->bytes <= c->memory)
			break;
		if (f->users == 0)
			folder_evict_locked(c, f, now);
	}
	/* What is left is in use: walking over it again for every new record would be quadratic. */
	c->evict_above = c->bytes > c->memory ? c->bytes + c->memory / 16 : c->memory;
}

/* --- Waiting ------------------------------------------------------------------------------------
 */

/* Has a lock of its own: the call's waker runs under the call's lock, where the catalog's must not
 * be taken. */
struct waiter {
	struct supafs_list link; /* catalog.lock */
	struct supafs_mutex lock;
	struct supafs_cond cond; /* lock */
	bool woken;              /* lock */
};

static void waiter_wake(void *ctx)
{
	struct waiter *w = ctx;

	SUPAFS_SCOPED_LOCK(&w->lock);
	w->woken = true;
	supafs_cond_signal(&w->cond);
}

void wake_all_locked(struct supafs_catalog *c)
{
	supafs_list_for_each (it, &c->waiters)
		waiter_wake(supafs_list_entry(it, struct waiter, link));
}

static int waiter_sleep(struct waiter *w, struct supafs_call *call)
{
	int r = 0;

	supafs_call_set_waker(call, waiter_wake, w);
	supafs_mutex_lock(&w->lock);
	while (!w->woken && r == 0)
		r = supafs_cond_wait_until(&w->cond, &w->lock, call->deadline_ns);
	supafs_mutex_unlock(&w->lock);
	supafs_call_set_waker(call, NULL, NULL);
	return r;
}

int wait_locked(struct supafs_catalog *c, struct supafs_call *call)
{
	struct waiter w = {.woken = false};
	int r;

	supafs_mutex_init(&w.lock);
	supafs_cond_init(&w.cond);
	supafs_list_add_tail(&c->waiters, &w.link);
	supafs_mutex_unlock(&c->lock);
	r = waiter_sleep(&w, call);
	supafs_mutex_lock(&c->lock);
	supafs_list_remove(&w.link);
	supafs_cond_fini(&w.cond);
	supafs_mutex_fini(&w.lock);
	return r < 0 ? r : supafs_call_check(call);
}

/* --- Life ---------------------------------------------------------------------------------------
 */

static int64_t ttl_of(uint64_t ms)
{
	return ms > (uint64_t)(SUPAFS_NEVER / SUPAFS_NS_PER_MS) ? SUPAFS_NEVER
								: (int64_t)ms * SUPAFS_NS_PER_MS;
}

int supafs_catalog_new(const struct supafs_catalog_config *cfg, struct supafs_catalog **ret_cat)
{
	struct supafs_catalog *c = calloc(1, sizeof(*c));
	int r = -ENOMEM;

	if (!c)
		return -ENOMEM;
	supafs_mutex_init(&c->lock);
	supafs_list_init(&c->lru);
	supafs_list_init(&c->walks);
	supafs_list_init(&c->waiters);
	c->store = cfg->store;
	c->clock = cfg->clock;
	c->ttl_ns = ttl_of(cfg->ttl_ms);
	c->memory = c->evict_above = cfg->memory;
	c->inos = FIRST_INO - 1;
	c->root_n = cfg->root.n;
	c->root = supafs_str_dup(cfg->root);
	if (c->root)
		r = supafs_map_new(folder_equal, &c->folders);
	if (r == 0)
		r = supafs_pool_new("catalog", AHEAD_THREADS, AHEAD_JOBS, &c->pool);
	if (r < 0) {
		(void)supafs_catalog_free(c);
		return r;
	}
	*ret_cat = c;
	return 0;
}

static void cancel_ahead(struct supafs_catalog *c)
{
	SUPAFS_SCOPED_LOCK(&c->lock);
	supafs_list_for_each (it, &c->walks) {
		struct walk *w = supafs_list_entry(it, struct walk, link);

		if (w->ahead)
			supafs_call_cancel(w->ahead);
	}
}

static void free_folders(struct supafs_catalog *c)
{
	SUPAFS_SCOPED_LOCK(&c->lock);
	supafs_list_for_each_safe (it, nxt, &c->lru) {
		struct folder *f = supafs_list_entry(it, struct folder, lru);
		size_t pos = 0;
		struct rec *r;

		listing_drop_locked(c, &f->list);
		while ((r = supafs_map_next(f->recs, &pos)) != NULL)
			rec_remove_locked(c, f, r);
		folder_remove_locked(c, f);
	}
	assert(c->bytes == 0 && c->changes == 0);
}

struct supafs_catalog *supafs_catalog_free(struct supafs_catalog *c)
{
	if (!c)
		return NULL;
	assert(c->handles == 0);
	cancel_ahead(c);
	c->pool = supafs_pool_free(c->pool);
	assert(supafs_list_empty(&c->walks) && supafs_list_empty(&c->waiters));
	free_folders(c);
	c->folders = supafs_map_free(c->folders);
	supafs_mutex_fini(&c->lock);
	free(c->root);
	free(c);
	return NULL;
}

void supafs_catalog_on_placeholder(struct supafs_catalog *c,
	void (*fn)(void *ctx, struct supafs_str prefix, const struct supafs_meta *meta), void *ctx)
{
	SUPAFS_SCOPED_LOCK(&c->lock);
	c->on_placeholder = fn;
	c->placeholder_ctx = ctx;
}

uint64_t supafs_catalog_ino(struct supafs_catalog *c)
{
	SUPAFS_SCOPED_LOCK(&c->lock);
	return ++c->inos;
}

void supafs_catalog_stats(struct supafs_catalog *c, struct supafs_catalog_stats *ret)
{
	struct supafs_catalog_stats s = {.listings = 0};

	SUPAFS_SCOPED_LOCK(&c->lock);
	s.bytes = c->bytes;
	s.changes = c->changes;
	supafs_list_for_each (it, &c->lru) {
		const struct listing *l = supafs_list_entry(it, struct folder, lru)->list;

		if (!l)
			continue;
		s.listings++;
		s.entries += l->n + l->odd_n;
		s.hidden += l->hidden;
	}
	*ret = s;
}
