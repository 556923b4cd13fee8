/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The contract of struct supafs_store (include/supafs/store/store.h), as tests: one suite over
 * every backend, each plain and under the policy layers.
 *
 *	contract memory | server
 */
#include "contract.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "supafs/util/cleanup.h"

enum {
	TIMEOUT_MS = 170000, /* of all that a test asks for */
};

void run_begin(struct run *r, void **state)
{
	const struct target *t = *state;

	*r = (struct run){.s = t->store, .target = t};
	supafs_call_init(&r->call, supafs_clock_system(), TIMEOUT_MS);
}

void run_end(struct run *r)
{
	supafs_call_fini(&r->call);
}

/* --- Writing ---------------------------------------------------------------------------------- */

static ssize_t content_pread(void *ctx, void *buf, size_t n, uint64_t off)
{
	const struct content *c = ctx;

	assert_true(off < c->n);
	if (n > c->n - off)
		n = c->n - (size_t)off;
	memcpy(buf, c->p + off, n);
	return (ssize_t)n;
}

static void assert_ok(struct run *r, int e)
{
	char text[300];

	if (e == 0)
		return;
	supafs_fault_format(&r->fault, text, sizeof(text));
	print_error("%d: %s\n", e, text);
	assert_int_equal(e, 0);
}

void put_attrs(
	struct run *r, struct supafs_str key, struct content c, const struct supafs_put_args *attrs)
{
	struct supafs_put_args a = attrs ? *attrs : (struct supafs_put_args){0};
	unsigned char id[16];

	a.key = key;
	a.size = c.n;
	a.pread = content_pread;
	a.ctx = &c;
	assert_ok(r, r->s->ops->put(r->s, &r->call, &a, id, &r->fault));
}

void put_text(struct run *r, const char *key, const char *text)
{
	put_attrs(r, supafs_str_of(key), (struct content){text, strlen(text)}, NULL);
}

/* --- Reading ---------------------------------------------------------------------------------- */

struct supafs_info info_of(struct run *r, const char *key)
{
	struct supafs_info i;

	memset(&i, 0, sizeof(i));
	assert_ok(r, r->s->ops->info(r->s, &r->call, supafs_str_of(key), &i, &r->fault));
	return i;
}

bool exists(struct run *r, const char *key)
{
	struct supafs_info i;
	int e = r->s->ops->info(r->s, &r->call, supafs_str_of(key), &i, &r->fault);

	if (e != -ENOENT)
		assert_ok(r, e);
	return e == 0;
}

/* Compares what comes with what must come, without keeping it. */
struct comparer {
	struct content want;
	size_t n;
};

static int compare_write(void *ctx, const void *p, size_t n)
{
	struct comparer *c = ctx;

	if (n > c->want.n - c->n || memcmp(c->want.p + c->n, p, n) != 0)
		return -EBADMSG;
	c->n += n;
	return 0;
}

int get_range(struct run *r, struct supafs_str key, const struct supafs_version *v,
	struct content range_of, uint64_t offset, size_t *ret_n)
{
	struct comparer c = {.want = range_of};
	const struct supafs_get_args a = {
		.key = key,
		.offset = offset,
		.length = range_of.n,
		.version = v,
		.sink = {compare_write, &c},
	};
	int e = r->s->ops->get(r->s, &r->call, &a, &r->fault);

	*ret_n = c.n;
	return e;
}

void assert_content(struct run *r, const char *key, struct content c)
{
	struct supafs_info i = info_of(r, key);
	size_t n = 0;

	assert_int_equal(i.version.size, c.n);
	if (c.n == 0)
		return;
	assert_ok(r, get_range(r, supafs_str_of(key), &i.version, c, 0, &n));
	assert_int_equal(n, c.n);
}

/* --- Listing ---------------------------------------------------------------------------------- */

static int listing_add(void *ctx, const struct supafs_entry *e)
{
	struct listing *l = ctx;

	if (l->n == l->cap) {
		l->cap = l->cap ? l->cap * 2 : 64;
		l->keys = reallocarray(l->keys, l->cap, sizeof(char *));
		l->folders = reallocarray(l->folders, l->cap, sizeof(bool));
		l->entries = reallocarray(l->entries, l->cap, sizeof(struct supafs_entry));
		assert_true(l->keys && l->folders && l->entries);
	}
	l->keys[l->n] = supafs_str_dup(e->key);
	assert_non_null(l->keys[l->n]);
	l->folders[l->n] = e->folder;
	l->entries[l->n++] = *e;
	return 0;
}

void list_all(
	struct run *r, const char *prefix, bool delimiter, unsigned limit, struct listing *ret_list)
{
	const struct supafs_list_args a = {
		.prefix = supafs_str_of(prefix),
		.delimiter = delimiter,
		.limit = limit,
		.on_entry = listing_add,
		.ctx = ret_list,
	};
	struct supafs_cursor cursor = {0};
	bool more = true;

	memset(ret_list, 0, sizeof(*ret_list));
	while (more) {
		size_t before = ret_list->n;
		assert_ok(r, r->s->ops->list(r->s, &r->call, &a, &cursor, &more, &r->fault));
		assert_true(ret_list->n - before <= limit);
		ret_list->pages++;
	}
}

void listing_free(struct listing *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->keys[i]);
	free(l->keys);
	free(l->folders);
	free(l->entries);
	memset(l, 0, sizeof(*l));
}

/* --- main ------------------------------------------------------------------------------------- */

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_probe),
	cmocka_unit_test(test_keys_and_buckets),
	cmocka_unit_test(test_round_trip),
	cmocka_unit_test(test_ranges),
	cmocka_unit_test(test_empty_object),
	cmocka_unit_test(test_version_changed),
	cmocka_unit_test(test_etag_learnt),
	cmocka_unit_test(test_get_reader_gives_up),
	cmocka_unit_test(test_get_paused),
	cmocka_unit_test(test_missing),
	cmocka_unit_test(test_meta_round_trip),
	cmocka_unit_test(test_meta_foreign),
	cmocka_unit_test(test_cancelled),
	cmocka_unit_test(test_replace_is_atomic),
	cmocka_unit_test(test_exclusive),
	cmocka_unit_test(test_remove),
	cmocka_unit_test(test_remove_many),
	cmocka_unit_test(test_copy),
	cmocka_unit_test(test_copy_attrs),
	cmocka_unit_test(test_copy_bucket),
	cmocka_unit_test(test_move),
	cmocka_unit_test(test_bad_keys),
	cmocka_unit_test(test_put_failing_source),
	cmocka_unit_test(test_list_missing_prefix),
	cmocka_unit_test(test_list_nasty),
	cmocka_unit_test(test_list_odd_keys),
	cmocka_unit_test(test_list_reader_gives_up),
	cmocka_unit_test(test_every_character),
	cmocka_unit_test(test_list_2500),
	cmocka_unit_test(test_newest_first),
	cmocka_unit_test(test_user),
	cmocka_unit_test(test_url),
	cmocka_unit_test(test_tus_whole),
	cmocka_unit_test(test_tus_exclusive),
	cmocka_unit_test(test_tus_cut),
	cmocka_unit_test(test_tus_restart),
	cmocka_unit_test(test_tus_gone),
	cmocka_unit_test(test_tus_lost_answer),
	cmocka_unit_test(test_tus_gateway),
	cmocka_unit_test(test_tus_large),
	cmocka_unit_test(test_lost_put),
	cmocka_unit_test(test_lost_changes),
	cmocka_unit_test(test_broken_get),
	cmocka_unit_test(test_troubles),
	cmocka_unit_test(test_silence),
};

int main(int argc, char **argv)
{
	struct CMUnitTest bound[SUPAFS_ARRAY_LEN(tests)];
	bool stacked = argc > 2 && strcmp(argv[2], "stacked") == 0;
	struct target target;
	int r;

	if (argc < 2) {
		(void)fprintf(stderr, "usage: contract memory|server [stacked]\n");
		return 2;
	}
	r = target_start(&target, argv[1], stacked);
	if (r == 0) {
		for (size_t i = 0; i < SUPAFS_ARRAY_LEN(tests); i++) {
			bound[i] = tests[i];
			bound[i].initial_state = &target;
		}
		r = cmocka_run_group_tests_name("contract", bound, NULL, NULL);
	}
	target_stop(&target);
	return r < 0 ? 1 : r;
}
