/* SPDX-License-Identifier: Apache-2.0 */
/* Stats, trace and faulty: what passes through them is counted or broken, and else unchanged. */
#include <errno.h>
#include <string.h>

#include "supafs/store/store.h"
#include "supafs/util/cleanup.h"

#include "unit.h"

static ssize_t pread_x(void *ctx, void *buf, size_t n, uint64_t off)
{
	(void)ctx;
	(void)off;
	memset(buf, 'x', n);
	return (ssize_t)n;
}

static int drop(void *ctx, const void *p, size_t n)
{
	(void)ctx;
	(void)p;
	(void)n;
	return 0;
}

static int no_entry(void *ctx, const struct supafs_entry *e)
{
	*(unsigned *)ctx += e->key.n > 0;
	return 0;
}

/* Each operation once; returns the number of failures. */
static void each_operation(struct supafs_store *s, struct supafs_call *call)
{
	const struct supafs_str a = SUPAFS_STR("a");
	const struct supafs_str b = SUPAFS_STR("b");
	const struct supafs_version v = {.size = 10};
	const struct supafs_put_args put = {.key = a, .size = 10, .pread = pread_x};
	const struct supafs_get_args get = {
		.key = a, .length = 4, .version = &v, .sink = {drop, NULL}};
	const struct supafs_copy_args copy = {.from = a, .to = b};
	unsigned entries = 0;
	const struct supafs_list_args list = {.limit = 10, .on_entry = no_entry, .ctx = &entries};
	struct supafs_cursor cursor = {0};
	struct supafs_bucket_info bucket;
	supafs_cleanup(supafs_buf_fini) struct supafs_buf url = {.max = 1000};
	struct supafs_fault f;
	struct supafs_info info;
	unsigned char id[16];
	bool gone[1];
	bool more;

	assert_int_equal(s->ops->probe(s, call, &bucket, &f), 0);
	supafs_buf_fini(&bucket.mimes);
	assert_int_equal(s->ops->put(s, call, &put, id, &f), 0);
	assert_int_equal(s->ops->get(s, call, &get, &f), 0);
	assert_int_equal(s->ops->info(s, call, a, &info, &f), 0);
	assert_int_equal(s->ops->info(s, call, b, &info, &f), -ENOENT);
	assert_int_equal(s->ops->copy(s, call, &copy, NULL, &f), 0);
	assert_int_equal(s->ops->list(s, call, &list, &cursor, &more, &f), 0);
	assert_int_equal(entries, 2);
	assert_int_equal(s->ops->move(s, call, b, SUPAFS_STR("c"), &f), 0);
	assert_int_equal(s->ops->url(s, call, SUPAFS_STR("c"), 60, &url, &f), 0);
	assert_true(url.n > 0);
	assert_int_equal(s->ops->remove(s, call, a, &f), 0);
	assert_int_equal(
		s->ops->remove_many(s, call, &(struct supafs_str){"c", 1}, 1, gone, &f), 0);
	assert_true(gone[0]);
	assert_true(s->ops->capabilities(s) & SUPAFS_CAP_META_LIST);
}

static void test_stats(void **state)
{
	struct supafs_op_stats ops[SUPAFS_OP__COUNT];
	struct supafs_fake_clock clock;
	struct supafs_store *mem = NULL;
	struct supafs_store *trace = NULL;
	struct supafs_store *s = NULL;
	struct supafs_call call;

	(void)state;
	supafs_fake_clock_init(&clock, 1, 1);
	assert_int_equal(supafs_store_new_memory(&clock.base, &mem), 0);
	assert_int_equal(supafs_store_new_trace(&clock.base, mem, &trace), 0);
	assert_int_equal(supafs_store_new_stats(&clock.base, trace, &s), 0);
	supafs_call_init(&call, &clock.base, 0);
	each_operation(s, &call);
	supafs_store_stats_read(s, ops);
	for (size_t i = 0; i < SUPAFS_OP__COUNT; i++) {
		assert_int_equal(ops[i].count, i == SUPAFS_OP_INFO ? 2 : 1);
		assert_int_equal(ops[i].errors, i == SUPAFS_OP_INFO ? 1 : 0);
	}
	assert_int_equal(ops[SUPAFS_OP_PUT].bytes, 10);
	assert_int_equal(ops[SUPAFS_OP_GET].bytes, 4);
	supafs_call_fini(&call);
	(void)supafs_store_free(s);
}

static void test_faulty(void **state)
{
	struct supafs_faulty_rule rule = {
		.op = SUPAFS_OP_PUT,
		.skip = 1,
		.times = 2,
		.error = -EIO,
		.fault = {.class = SUPAFS_FAULT_TRANSIENT, .code = "Made"},
	};
	const struct supafs_put_args put = {.key = SUPAFS_STR("k"), .exclusive = true};
	struct supafs_store *mem = NULL;
	struct supafs_store *s = NULL;
	struct supafs_call call;
	struct supafs_fault f;
	unsigned char id[16];

	(void)state;
	assert_int_equal(supafs_store_new_memory(supafs_clock_system(), &mem), 0);
	assert_int_equal(supafs_store_new_faulty(mem, &s), 0);
	supafs_call_init(&call, supafs_clock_system(), 0);
	each_operation(s, &call);
	supafs_store_faulty_add(s, &rule);
	assert_int_equal(s->ops->put(s, &call, &put, id, &f), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(s->ops->put(s, &call, &put, id, &f), -EIO);
		assert_string_equal(f.code, "Made");
	}
	assert_int_equal(s->ops->put(s, &call, &put, id, &f), -EEXIST);
	/* after: done, and yet it fails */
	rule = (struct supafs_faulty_rule){
		.op = SUPAFS_OP_REMOVE, .times = 1, .after = true, .error = -EIO};
	supafs_store_faulty_add(s, &rule);
	assert_int_equal(s->ops->remove(s, &call, put.key, &f), -EIO);
	assert_int_equal(s->ops->remove(s, &call, put.key, &f), -ENOENT);
	supafs_call_fini(&call);
	(void)supafs_store_free(s);
}

static void test_version_same(void **state)
{
	const struct supafs_version a = {.size = 1, .etag = "\"x\""};
	struct supafs_version b = a;

	(void)state;
	assert_true(supafs_version_same(&a, &b));
	b.updated_ns = 5; /* not content */
	assert_true(supafs_version_same(&a, &b));
	b.size = 2;
	assert_false(supafs_version_same(&a, &b));
	b = (struct supafs_version){.size = 1, .etag = "\"y\""};
	assert_false(supafs_version_same(&a, &b));
	b.etag[0] = '\0';
	assert_false(supafs_version_same(&b, &b));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stats),
		cmocka_unit_test(test_faulty),
		cmocka_unit_test(test_version_same),
	};

	return cmocka_run_group_tests_name("store_layers", tests, NULL, NULL);
}
