/* SPDX-License-Identifier: Apache-2.0 */
/* Hash map and list. */
#include <string.h>

#include "supafs/util/clock.h"
#include "supafs/util/hash.h"
#include "supafs/util/list.h"

#include "unit.h"

struct item {
	unsigned key;
	unsigned seen;
	bool in;
};

static bool same(const void *entry, const void *key)
{
	return ((const struct item *)entry)->key == *(const unsigned *)key;
}

/* A hash with many collisions when `poor`. */
static uint64_t hash_of(unsigned key, bool poor)
{
	return poor ? key % 7 : supafs_hash_u64(key);
}

/* Random adds and removals against a flag per item. */
static void model(bool poor)
{
	static struct item items[500];
	struct supafs_map *m = NULL;
	struct supafs_rng rng;
	size_t count = 0;

	memset(items, 0, sizeof(items));
	supafs_rng_init(&rng, 4);
	assert_int_equal(supafs_map_new(same, &m), 0);
	for (int round = 0; round < 50000; round++) {
		const unsigned key = (unsigned)supafs_rng_below(&rng, 500);
		struct item *it = &items[key];
		const uint64_t hash = hash_of(key, poor);

		it->key = key;
		assert_ptr_equal(supafs_map_get(m, hash, &key), it->in ? it : NULL);
		if (supafs_rng_below(&rng, 2) == 0) {
			assert_ptr_equal(supafs_map_remove(m, hash, &key), it->in ? it : NULL);
			count -= it->in ? 1 : 0;
			it->in = false;
		} else if (!it->in) {
			assert_int_equal(supafs_map_add(m, hash, &key, it), 0);
			it->in = true;
			count++;
		}
		assert_int_equal(supafs_map_count(m), count);
	}
	assert_null(supafs_map_free(m));
}

static void good_hash(void **state)
{
	(void)state;
	model(false);
}

static void poor_hash(void **state)
{
	(void)state;
	model(true);
}

/* A walk sees everything once, though it removes every second entry on its way. */
static void walk_and_remove(void **state)
{
	static struct item items[1000];
	struct supafs_map *m = NULL;
	struct item *it = NULL;
	size_t pos = 0;

	(void)state;
	assert_int_equal(supafs_map_new(same, &m), 0);
	assert_null(supafs_map_next(m, &pos));
	for (unsigned i = 0; i < 1000; i++) {
		items[i] = (struct item){.key = i};
		assert_int_equal(supafs_map_add(m, supafs_hash_u64(i), &i, &items[i]), 0);
	}
	pos = 0;
	while ((it = supafs_map_next(m, &pos)) != NULL) {
		it->seen++;
		if (it->key % 2 == 0)
			assert_ptr_equal(
				supafs_map_remove(m, supafs_hash_u64(it->key), &it->key), it);
	}
	assert_int_equal(supafs_map_count(m), 500);
	for (unsigned i = 0; i < 1000; i++) {
		assert_int_equal(items[i].seen, 1);
		assert_ptr_equal(
			supafs_map_get(m, supafs_hash_u64(i), &i), i % 2 == 0 ? NULL : &items[i]);
	}
	assert_null(supafs_map_free(m));
	assert_null(supafs_map_free(NULL));
}

static void hashes(void **state)
{
	char bytes[40] = {0};

	(void)state;
	for (size_t n = 0; n < sizeof(bytes); n++) {
		const uint64_t h = supafs_hash_bytes(bytes, n);

		assert_true(h == supafs_hash_bytes(bytes, n));
		assert_true(h != supafs_hash_bytes(bytes, n + 1 < sizeof(bytes) ? n + 1 : 0));
		for (size_t i = 0; i < n; i++) {
			bytes[i] = 1;
			assert_true(h != supafs_hash_bytes(bytes, n));
			bytes[i] = 0;
		}
	}
	assert_true(supafs_hash_str(SUPAFS_STR("abc")) == supafs_hash_bytes("abc", 3));
	assert_true(supafs_hash_bytes(NULL, 0) == supafs_hash_bytes("", 0));
}

struct node {
	struct supafs_list link;
	int value;
};

static int sum(struct supafs_list *head)
{
	int digits = 0;

	supafs_list_for_each (it, head)
		digits = digits * 10 + supafs_list_entry(it, struct node, link)->value;
	return digits;
}

static void lists(void **state)
{
	struct supafs_list head;
	struct node n[4];

	(void)state;
	supafs_list_init(&head);
	assert_true(supafs_list_empty(&head));
	assert_int_equal(sum(&head), 0);
	for (int i = 0; i < 4; i++) {
		n[i].value = i + 1;
		supafs_list_init(&n[i].link);
	}
	supafs_list_add_tail(&head, &n[0].link);
	supafs_list_add_tail(&head, &n[1].link);
	supafs_list_add(&head, &n[2].link);
	supafs_list_add(&n[0].link, &n[3].link);
	assert_int_equal(sum(&head), 3142);
	supafs_list_remove(&n[3].link);
	supafs_list_remove(&n[3].link);
	assert_int_equal(sum(&head), 312);
	supafs_list_for_each_safe (it, next, &head)
		supafs_list_remove(it);
	assert_true(supafs_list_empty(&head));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_hash),
		cmocka_unit_test(poor_hash),
		cmocka_unit_test(walk_and_remove),
		cmocka_unit_test(hashes),
		cmocka_unit_test(lists),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
