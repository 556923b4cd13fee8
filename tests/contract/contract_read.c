/* SPDX-License-Identifier: Apache-2.0 */
/* Contract: probe, get, info, attributes. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "supafs/util/cleanup.h"

#include "contract.h"

void test_probe(void **state)
{
	struct supafs_bucket_info info;
	struct run r;

	run_begin(&r, state);
	assert_int_equal(r.s->ops->probe(r.s, &r.call, &info, &r.fault), 0);
	if (r.target->http)
		assert_string_equal(info.name, r.target->bucket);
	assert_false(info.is_public);
	supafs_buf_fini(&info.mimes);
	assert_true(r.s->ops->capabilities(r.s) & SUPAFS_CAP_META_LIST);
	run_end(&r);
}

static void assert_probe_fails(
	struct run *r, const char *bucket, const char *key, int error, const char *code)
{
	struct supafs_store *s = target_store_with_key(r->target, bucket, key);
	struct supafs_bucket_info info;

	assert_non_null(s);
	assert_int_equal(s->ops->probe(s, &r->call, &info, &r->fault), error);
	assert_string_equal(r->fault.code, code);
	(void)supafs_store_free(s);
}

/* Each way to be wrong at the start has a code of its own. */
void test_keys_and_buckets(void **state)
{
	char broken[4096];
	struct run r;

	run_begin(&r, state);
	if (!r.target->http) { /* memory asks for no key */
		run_end(&r);
		return;
	}
	assert_probe_fails(&r, "no such bucket", r.target->service_key, -ENOENT, "NoSuchBucket");
	assert_probe_fails(&r, r.target->bucket, "not.a.token", -EACCES, "TokenInvalid");
	(void)snprintf(broken, sizeof(broken), "%s", r.target->service_key);
	/* The first character of the signature: all its bits count. */
	char *sign = strrchr(broken, '.') + 1;
	*sign = *sign == 'A' ? 'B' : 'A';
	if (strchr(broken, '.') != strrchr(broken, '.'))
		assert_probe_fails(&r, r.target->bucket, broken, -EACCES, "TokenSignature");
	if (r.target->anon_key[0])
		assert_probe_fails(&r, r.target->bucket, r.target->anon_key, -ENOENT, "PublicKey");
	run_end(&r);
}

static char *pattern(size_t n)
{
	char *p = malloc(n + 1);

	assert_non_null(p);
	for (size_t i = 0; i < n; i++)
		p[i] = (char)((i * 31 + i / 251) & 0xff);
	return p;
}

void test_round_trip(void **state)
{
	static const size_t sizes[] = {1, 2, 255, 4096, 65535, 65536, 65537, 1000003};
	struct run r;

	run_begin(&r, state);
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(sizes); i++) {
		supafs_autofree char *p = pattern(sizes[i]);
		struct content c = {p, sizes[i]};
		put_attrs(&r, KEY("rt/file.bin"), c, NULL);
		assert_content(&r, "rt/file.bin", c);
	}
	run_end(&r);
}

void test_ranges(void **state)
{
	enum {
		SIZE = 300000,
	};
	static const struct {
		uint64_t offset, length;
	} good[] = {{0, 1}, {0, SIZE}, {SIZE - 1, 1}, {1, SIZE - 1}, {100, 70000}, {65536, 65536}};
	static const struct {
		uint64_t offset, length;
	} bad[] = {
		{0, 0}, {SIZE, 1}, {0, SIZE + 1}, {SIZE - 1, 2}, {UINT64_MAX, 1}, {1, UINT64_MAX}};
	supafs_autofree char *p = pattern(SIZE);
	struct supafs_info i;
	struct run r;
	size_t n;

	run_begin(&r, state);
	put_attrs(&r, KEY("range/file"), (struct content){p, SIZE}, NULL);
	i = info_of(&r, "range/file");
	for (size_t k = 0; k < SUPAFS_ARRAY_LEN(good); k++) {
		struct content part = {p + good[k].offset, good[k].length};
		assert_int_equal(
			get_range(&r, KEY("range/file"), &i.version, part, good[k].offset, &n), 0);
		assert_int_equal(n, good[k].length);
	}
	for (size_t k = 0; k < SUPAFS_ARRAY_LEN(bad); k++) {
		struct content part = {p, bad[k].length};
		assert_int_equal(
			get_range(&r, KEY("range/file"), &i.version, part, bad[k].offset, &n),
			-EINVAL);
	}
	run_end(&r);
}

void test_empty_object(void **state)
{
	const struct supafs_put_args attrs = {.mime = KEY("text/plain")};
	struct supafs_info i;
	struct listing l;
	struct run r;
	size_t n;

	run_begin(&r, state);
	put_attrs(&r, KEY("empty/file"), (struct content){"", 0}, &attrs);
	i = info_of(&r, "empty/file");
	assert_int_equal(i.version.size, 0);
	assert_string_equal(i.mime, "text/plain");
	assert_int_equal(
		get_range(&r, KEY("empty/file"), &i.version, (struct content){"", 0}, 0, &n),
		-EINVAL);
	list_all(&r, "empty/", true, 10, &l);
	assert_int_equal(l.n, 1);
	assert_int_equal(l.entries[0].version.size, 0);
	assert_false(l.folders[0]);
	listing_free(&l);
	run_end(&r);
}

void test_version_changed(void **state)
{
	struct supafs_info old;
	struct listing l;
	struct run r;
	size_t n;

	run_begin(&r, state);
	put_text(&r, "stale/file", "first content");
	old = info_of(&r, "stale/file");
	list_all(&r, "stale/", true, 10, &l);
	assert_true(supafs_version_same(&l.entries[0].version, &old.version));
	assert_memory_equal(l.entries[0].version.id, old.version.id, 16);
	listing_free(&l);

	put_text(&r, "stale/file", "other content"); /* as long as before */
	assert_int_equal(get_range(&r, KEY("stale/file"), &old.version,
				 (struct content){"first content", 13}, 0, &n),
		-ESTALE);
	assert_int_equal(n, 0);
	assert_int_equal(r.fault.class, SUPAFS_FAULT_CONFLICT);

	put_text(&r, "stale/file", "first content, now longer");
	old.version.etag[0] = '\0'; /* the size alone tells */
	assert_int_equal(get_range(&r, KEY("stale/file"), &old.version,
				 (struct content){"first content", 13}, 0, &n),
		-ESTALE);
	assert_int_equal(n, 0);
	assert_false(supafs_version_same(&old.version, &old.version));
	run_end(&r);
}

static int swallow(void *ctx, const void *p, size_t n)
{
	(void)p;
	*(size_t *)ctx += n;
	return 0;
}

void test_etag_learnt(void **state)
{
	char etag[SUPAFS_ETAG_MAX + 1] = "";
	struct supafs_version v = {.size = 5};
	size_t n = 0;
	const struct supafs_get_args a = {
		.key = KEY("learn/file"),
		.length = 5,
		.version = &v,
		.sink = {swallow, &n},
		.ret_etag = etag,
	};
	struct run r;

	run_begin(&r, state);
	put_text(&r, "learn/file", "hello");
	assert_int_equal(r.s->ops->get(r.s, &r.call, &a, &r.fault), 0);
	assert_int_equal(n, 5);
	assert_string_equal(etag, info_of(&r, "learn/file").version.etag);
	run_end(&r);
}

static int give_up(void *ctx, const void *p, size_t n)
{
	(void)ctx;
	(void)p;
	(void)n;
	return -ENOSPC;
}

void test_get_reader_gives_up(void **state)
{
	struct supafs_version v = {.size = 5};
	const struct supafs_get_args a = {
		.key = KEY("up/file"), .length = 5, .version = &v, .sink = {give_up, NULL}};
	struct run r;

	run_begin(&r, state);
	put_text(&r, "up/file", "hello");
	assert_int_equal(r.s->ops->get(r.s, &r.call, &a, &r.fault), -ENOSPC);
	assert_string_equal(r.fault.code, "Local");
	run_end(&r);
}

/* A sink that takes nothing until another thread pokes the call. */
struct pausing {
	struct supafs_call *call;
	_Atomic bool open;
	_Atomic bool waiting;
	size_t got;
	pthread_mutex_t lock;
	pthread_cond_t cond;
};

static int pausing_write(void *ctx, const void *p, size_t n)
{
	struct pausing *w = ctx;

	(void)p;
	if (!w->open) {
		(void)pthread_mutex_lock(&w->lock);
		w->waiting = true;
		(void)pthread_cond_signal(&w->cond);
		(void)pthread_mutex_unlock(&w->lock);
		return -EAGAIN;
	}
	w->got += n;
	return 0;
}

static void *poker(void *ctx)
{
	struct pausing *w = ctx;

	(void)pthread_mutex_lock(&w->lock);
	while (!w->waiting)
		(void)pthread_cond_wait(&w->cond, &w->lock);
	(void)pthread_mutex_unlock(&w->lock);
	w->open = true;
	supafs_call_poke(w->call);
	return NULL;
}

void test_get_paused(void **state)
{
	enum {
		SIZE = 500000,
	};
	supafs_autofree char *p = pattern(SIZE);
	struct pausing w = {.got = 0};
	struct supafs_version v = {.size = SIZE};
	const struct supafs_get_args a = {.key = KEY("pause/file"),
		.length = SIZE,
		.version = &v,
		.sink = {pausing_write, &w}};
	pthread_t thread;
	struct run r;

	run_begin(&r, state);
	w.call = &r.call;
	(void)pthread_mutex_init(&w.lock, NULL);
	(void)pthread_cond_init(&w.cond, NULL);
	put_attrs(&r, KEY("pause/file"), (struct content){p, SIZE}, NULL);
	assert_int_equal(pthread_create(&thread, NULL, poker, &w), 0);
	assert_int_equal(r.s->ops->get(r.s, &r.call, &a, &r.fault), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(w.got, SIZE);
	(void)pthread_cond_destroy(&w.cond);
	(void)pthread_mutex_destroy(&w.lock);
	run_end(&r);
}

void test_missing(void **state)
{
	const struct supafs_version v = {.size = 3};
	struct run r;
	size_t n;

	run_begin(&r, state);
	assert_false(exists(&r, "missing/file"));
	assert_int_equal(r.fault.class, SUPAFS_FAULT_MISSING);
	assert_string_equal(r.fault.code, "NoSuchKey");
	assert_int_equal(
		get_range(&r, KEY("missing/file"), &v, (struct content){"abc", 3}, 0, &n), -ENOENT);
	put_text(&r, "missing/dir/file", "x");
	assert_false(exists(&r, "missing/dir")); /* a folder is no object */
	run_end(&r);
}

static void assert_meta(const struct supafs_meta *got, const struct supafs_meta *want)
{
	assert_int_equal(got->has, want->has);
	if (want->has & SUPAFS_META_MTIME)
		assert_int_equal(got->mtime_ns, want->mtime_ns);
	if (want->has & SUPAFS_META_MODE)
		assert_int_equal(got->mode, want->mode);
	if (want->has & SUPAFS_META_UID)
		assert_int_equal(got->uid, want->uid);
	if (want->has & SUPAFS_META_GID)
		assert_int_equal(got->gid, want->gid);
}

void test_meta_round_trip(void **state)
{
	static const struct supafs_meta metas[] = {
		{SUPAFS_META_ALL, 1700000000123456789, 0640, 1000, 1000},
		{SUPAFS_META_ALL, 0, 0, 0, 0},
		{SUPAFS_META_ALL, -1500000000, 07777, UINT32_MAX, UINT32_MAX},
		{SUPAFS_META_MODE, 0, S_IFLNK | 0777, 0, 0},
		{SUPAFS_META_MTIME, 1700000000000000000, 0, 0, 0},
		{0, 0, 0, 0, 0},
	};
	struct run r;

	run_begin(&r, state);
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(metas); i++) {
		const struct supafs_put_args attrs = {
			.mime = KEY("text/markdown"),
			.cache_control = KEY("max-age=60"),
			.meta = metas[i],
		};
		struct supafs_info info;
		struct listing l;
		put_attrs(&r, KEY("meta/file"), (struct content){"abc", 3}, &attrs);
		info = info_of(&r, "meta/file");
		assert_meta(&info.meta, &metas[i]);
		assert_string_equal(info.mime, "text/markdown");
		assert_int_equal(strncmp(info.cache_control, "max-age=60", 10), 0);
		assert_true(info.nonce[0] != '\0' || !r.target->http);
		list_all(&r, "meta/", true, 10, &l);
		assert_int_equal(l.n, 1);
		assert_meta(&l.entries[0].meta, &metas[i]);
		assert_true(l.entries[0].version.updated_ns > 0);
		listing_free(&l);
	}
	run_end(&r);
}

/* A Cache-Control that came out of a listing goes in again without doubling anything. */
void test_meta_foreign(void **state)
{
	const struct supafs_put_args attrs = {
		.cache_control = KEY("private, x-mtime=5, x-mode=0600, x-other=\"a, b\""),
		.meta = {SUPAFS_META_MTIME, 7000000000, 0, 0, 0},
	};
	struct run r;

	run_begin(&r, state);
	put_attrs(&r, KEY("foreign/file"), (struct content){"abc", 3}, &attrs);
	assert_string_equal(
		info_of(&r, "foreign/file").cache_control, "private, x-other=\"a, b\", x-mtime=7");
	run_end(&r);
}

void test_cancelled(void **state)
{
	struct supafs_info i;
	struct run r;

	run_begin(&r, state);
	supafs_call_cancel(&r.call);
	assert_int_equal(r.s->ops->info(r.s, &r.call, KEY("cancel/file"), &i, &r.fault), -EINTR);
	assert_int_equal(r.fault.class, SUPAFS_FAULT_PERMANENT);
	run_end(&r);
}
