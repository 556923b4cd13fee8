/* SPDX-License-Identifier: Apache-2.0 */
/* What one info told of an object, kept by key and version. */
#include "facts.h"

#include <stdlib.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/list.h"

#include "folder_attr.h"
#include "wait.h"

#define MEMORY_MAX ((size_t)8 << 20) /* bytes of facts */
#define INFLIGHT   16                /* infos at once for one page */

/* Strings lie behind it: key, type, Cache-Control, pairs. */
struct fact {
	struct supafs_list lru;
	uint64_t sign; /* of the version */
	struct supafs_version version;
	struct supafs_meta meta;
	char generation[40];
	bool user_cut;
	size_t bytes, key_n, mime_n, cc_n, user_n;
	char text[];
};

struct vfs_facts {
	struct supafs_mutex lock; /* leaf; all below */
	struct supafs_map *map;   /* by key */
	struct supafs_list lru;   /* oldest first */
	size_t bytes;
};

static struct supafs_str key_of(const struct fact *f)
{
	return (struct supafs_str){f->text, f->key_n};
}

static bool key_equal(const void *entry, const void *key)
{
	return supafs_str_eq(key_of(entry), *(const struct supafs_str *)key);
}

static uint64_t sign_of(const struct supafs_version *version)
{
	return supafs_hash_str(supafs_str_of(version->etag)) ^ supafs_hash_u64(version->size + 1) ^
	       supafs_hash_u64(~(uint64_t)version->updated_ns) ^
	       supafs_hash_bytes(version->id, sizeof(version->id));
}

int vfs_facts_new(struct vfs_facts **ret_facts)
{
	struct vfs_facts *f = calloc(1, sizeof(*f));
	int r;

	if (!f)
		return -ENOMEM;
	r = supafs_map_new(key_equal, &f->map);
	if (r != 0) {
		free(f);
		return r;
	}
	supafs_mutex_init(&f->lock);
	supafs_list_init(&f->lru);
	*ret_facts = f;
	return 0;
}

static void drop_locked(struct vfs_facts *f, struct fact *it) SUPAFS_REQUIRES(f->lock);
static void drop_locked(struct vfs_facts *f, struct fact *it)
{
	const struct supafs_str key = key_of(it);

	(void)supafs_map_remove(f->map, supafs_hash_str(key), &key);
	supafs_list_remove(&it->lru);
	f->bytes -= it->bytes;
	free(it);
}

static void shrink_locked(struct vfs_facts *f, size_t room) SUPAFS_REQUIRES(f->lock);
static void shrink_locked(struct vfs_facts *f, size_t room)
{
	supafs_list_for_each_safe (it, next, &f->lru) {
		if (f->bytes + room <= MEMORY_MAX)
			return;
		drop_locked(f, supafs_list_entry(it, struct fact, lru));
	}
}

struct vfs_facts *vfs_facts_free(struct vfs_facts *f)
{
	if (!f)
		return NULL;
	{
		SUPAFS_SCOPED_LOCK(&f->lock);
		supafs_list_for_each_safe (it, next, &f->lru)
			drop_locked(f, supafs_list_entry(it, struct fact, lru));
	}
	f->map = supafs_map_free(f->map);
	supafs_mutex_fini(&f->lock);
	free(f);
	return NULL;
}

/* --- One fact ----------------------------------------------------------------------------------
 */

static void put_text(char **at, const void *p, size_t n)
{
	if (n)
		memcpy(*at, p, n);
	*at += n;
}

static struct fact *make(struct supafs_str key, uint64_t sign, const struct supafs_info *info)
{
	const size_t mime_n = strlen(info->mime), cc_n = strlen(info->cache_control);
	const size_t bytes = sizeof(struct fact) + key.n + mime_n + cc_n + info->user_n;
	struct fact *it = calloc(1, bytes);
	char *at;

	if (!it)
		return NULL;
	it->sign = sign;
	it->version = info->version;
	it->meta = info->meta;
	memcpy(it->generation, info->generation, sizeof(it->generation));
	it->bytes = bytes;
	it->key_n = key.n;
	it->mime_n = mime_n;
	it->cc_n = cc_n;
	it->user_n = info->user_n;
	it->user_cut = info->user_cut;
	at = it->text;
	put_text(&at, key.p, key.n);
	put_text(&at, info->mime, mime_n);
	put_text(&at, info->cache_control, cc_n);
	put_text(&at, info->user, info->user_n);
	return it;
}

static void unmake(const struct fact *it, struct supafs_info *ret)
{
	const char *at = it->text + it->key_n;

	*ret = (struct supafs_info){.version = it->version,
		.modified_ns = it->version.updated_ns,
		.meta = it->meta,
		.user_n = it->user_n,
		.user_cut = it->user_cut};
	memcpy(ret->generation, it->generation, sizeof(ret->generation));
	memcpy(ret->mime, at, it->mime_n);
	memcpy(ret->cache_control, at + it->mime_n, it->cc_n);
	memcpy(ret->user, at + it->mime_n + it->cc_n, it->user_n);
}

static struct fact *find_locked(struct vfs_facts *f, struct supafs_str key)
	SUPAFS_REQUIRES(f->lock);
static struct fact *find_locked(struct vfs_facts *f, struct supafs_str key)
{
	return supafs_map_get(f->map, supafs_hash_str(key), &key);
}

bool vfs_facts_find(struct supafs_vfs *v, const struct vfs_key *key,
	const struct supafs_version *version, struct supafs_info *ret)
{
	struct vfs_facts *f = v->facts;
	struct fact *it;

	SUPAFS_SCOPED_LOCK(&f->lock);
	it = find_locked(f, vfs_key_full(key));
	if (!it || it->sign != sign_of(version))
		return false;
	supafs_list_remove(&it->lru);
	supafs_list_add_tail(&f->lru, &it->lru);
	if (ret)
		unmake(it, ret);
	return true;
}

/* Not kept when out of memory: asked for again. */
static void keep(struct vfs_facts *f, const struct vfs_key *key,
	const struct supafs_version *version, const struct supafs_info *info)
{
	const struct supafs_str full = vfs_key_full(key);
	struct fact *it = make(full, sign_of(version), info), *old;

	if (!it)
		return;
	SUPAFS_SCOPED_LOCK(&f->lock);
	old = find_locked(f, full);
	if (old)
		drop_locked(f, old);
	shrink_locked(f, it->bytes);
	if (supafs_map_add(f->map, supafs_hash_str(full), &full, it) != 0) {
		free(it);
		return;
	}
	supafs_list_add_tail(&f->lru, &it->lru);
	f->bytes += it->bytes;
}

int vfs_facts_get(struct supafs_vfs *v, struct supafs_call *call, const struct vfs_key *key,
	const struct supafs_version *version, struct supafs_info *ret, struct supafs_fault *fault)
{
	int r;

	if (vfs_facts_find(v, key, version, ret))
		return 0;
	r = v->cfg.store->ops->info(v->cfg.store, call, vfs_key_full(key), ret, fault);
	if (r == 0)
		keep(v->facts, key, version, ret);
	return r;
}

/* --- Times ---------------------------------------------------------------------------------------
 */

bool vfs_facts_wanted(const struct supafs_vfs *v, const struct supafs_attr *attr)
{
	if (attr->folder || (attr->meta.has & SUPAFS_META_ALL))
		return false;
	return v->cfg.meta_info || (v->cfg.store_meta && (attr->meta.has & SUPAFS_META_ASK));
}

void vfs_facts_complete(struct supafs_vfs *v, struct supafs_call *call, const struct vfs_key *key,
	struct supafs_attr *attr)
{
	const unsigned hints = attr->meta.has & SUPAFS_META_HINTS;
	struct supafs_fault fault = {0};
	struct supafs_info info;

	if (!vfs_facts_wanted(v, attr))
		return;
	if (call ? vfs_facts_get(v, call, key, &attr->version, &info, &fault) != 0
		 : !vfs_facts_find(v, key, &attr->version, &info))
		return;
	attr->meta = info.meta;
	/* Whoever sees these times must not take them for a listing's. */
	attr->meta.has |= hints | SUPAFS_META_ASK;
}

/* --- Pages ---------------------------------------------------------------------------------------
 */

struct fetching {
	struct supafs_vfs *v;
	const struct vfs_facts_ask *asks;
	size_t n;
	uint64_t timeout_ms;

	struct supafs_mutex lock;
	struct supafs_cond cond;             /* lock; broadcast when a worker ends */
	size_t next;                         /* lock */
	unsigned running;                    /* lock */
	bool stop;                           /* lock */
	struct supafs_call *calls[INFLIGHT]; /* lock; of those that run */
};

static void set_call(struct fetching *f, const struct supafs_call *old, struct supafs_call *call)
{
	SUPAFS_SCOPED_LOCK(&f->lock);
	for (int i = 0; i < INFLIGHT; i++) {
		if (f->calls[i] == old) {
			f->calls[i] = call;
			break;
		}
	}
	if (call && f->stop)
		supafs_call_cancel(call);
}

static bool take_one(struct fetching *f, size_t *ret_i)
{
	SUPAFS_SCOPED_LOCK(&f->lock);
	if (f->stop || f->next == f->n)
		return false;
	*ret_i = f->next++;
	return true;
}

static void fetch_one(struct supafs_vfs *v, struct supafs_call *call, const struct vfs_facts_ask *a)
{
	struct supafs_fault fault = {0};
	struct supafs_info info;

	if (a->folder)
		vfs_folder_ask(v, call, &a->key);
	else
		(void)vfs_facts_get(v, call, &a->key, &a->version, &info, &fault);
}

static void fetch_run(void *ctx)
{
	struct fetching *f = ctx;
	struct supafs_call call;
	size_t i;

	supafs_call_init(&call, f->v->cfg.clock, f->timeout_ms);
	set_call(f, NULL, &call);
	while (take_one(f, &i))
		fetch_one(f->v, &call, &f->asks[i]);
	set_call(f, &call, NULL);
	supafs_call_fini(&call);
	SUPAFS_SCOPED_LOCK(&f->lock);
	f->running--;
	supafs_cond_broadcast(&f->cond);
}

static void fetch_start(struct fetching *f)
{
	const size_t want = f->n < INFLIGHT ? f->n : INFLIGHT;

	for (size_t i = 0; i < want; i++) {
		{
			SUPAFS_SCOPED_LOCK(&f->lock);
			f->running++;
		}
		if (supafs_pool_submit(f->v->moves, (struct supafs_job){fetch_run, fetch_run, f}) ==
			0)
			continue;
		SUPAFS_SCOPED_LOCK(&f->lock);
		f->running--;
		break;
	}
}

static void fetch_wait(struct fetching *f, struct supafs_call *call)
{
	struct vfs_wait w;
	int r = 0;

	vfs_wait_begin(&w, call, &f->lock, &f->cond);
	{
		SUPAFS_SCOPED_LOCK(&f->lock);
		while (r == 0 && f->running > 0)
			r = vfs_wait_step(&w);
		f->stop = r != 0;
		for (int i = 0; f->stop && i < INFLIGHT; i++)
			if (f->calls[i])
				supafs_call_cancel(f->calls[i]);
	}
	vfs_wait_end(&w);
	SUPAFS_SCOPED_LOCK(&f->lock);
	while (f->running > 0)
		supafs_cond_wait(&f->cond, &f->lock);
}

void vfs_facts_fetch(
	struct supafs_vfs *v, struct supafs_call *call, const struct vfs_facts_ask *asks, size_t n)
{
	struct fetching f = {.v = v, .asks = asks, .n = n, .timeout_ms = supafs_call_left_ms(call)};

	if (n == 0)
		return;
	supafs_mutex_init(&f.lock);
	supafs_cond_init(&f.cond);
	fetch_start(&f);
	fetch_wait(&f, call);
	supafs_cond_fini(&f.cond);
	supafs_mutex_fini(&f.lock);
}
