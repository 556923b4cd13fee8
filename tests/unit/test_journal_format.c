/* SPDX-License-Identifier: Apache-2.0 */
/* Records of the journal as bytes: each comes back as it went in, and nothing damaged does. */
#include "supafs/util/crc32c.h"

#include "journal_fixture.h"

static const struct supafs_range one_range[] = {{0, 5}};

/* --- Records -------------------------------------------------------------------------------------
 */

/* In a block of its own size, so that a read behind it is seen. */
static int parse_copy(const char *p, size_t n, struct supafs_buf *ret_again)
{
	char *copy = malloc(n ? n : 1);
	struct supafs_journal_record rec;
	struct supafs_range *ranges = NULL;
	int r;

	memcpy(copy, p, n);
	r = supafs_journal_parse((struct supafs_str){copy, n}, &rec, &ranges);
	if (r == 0 && ret_again) {
		supafs_buf_init(ret_again, SUPAFS_JOURNAL_MAX);
		assert_int_equal(supafs_journal_format(&rec, ret_again), 0);
	}
	free(ranges);
	free(copy);
	return r;
}

static void test_check_value(void **state)
{
	(void)state;
	assert_int_equal(supafs_crc32c(0, "123456789", 9), 0xe3069283U);
	assert_int_equal(supafs_crc32c(supafs_crc32c(0, "1234", 4), "56789", 5), 0xe3069283U);
	assert_int_equal(supafs_crc32c(0, "", 0), 0);
}

static void refuse_damage(const struct supafs_journal_record *rec)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf b, again;

	supafs_buf_init(&again, 1);
	format_to(rec, &b);
	assert_int_equal(parse_copy(b.p, b.n, &again), 0);
	assert_true(supafs_str_eq(supafs_buf_str(&b), supafs_buf_str(&again)));
	for (size_t n = 0; n < b.n; n++)
		assert_int_equal(parse_copy(b.p, n, NULL), -EBADMSG);
	for (size_t bit = 0; bit < 8 * b.n; bit++) {
		int r;

		b.p[bit / 8] = (char)(b.p[bit / 8] ^ (1 << bit % 8));
		r = parse_copy(b.p, b.n, NULL);
		assert_int_equal(r, bit / 8 >= 8 && bit / 8 < 12 ? -EPROTONOSUPPORT : -EBADMSG);
		b.p[bit / 8] = (char)(b.p[bit / 8] ^ (1 << bit % 8));
	}
	(void)supafs_buf_addc(&b, 'x');
	assert_int_equal(parse_copy(b.p, b.n, NULL), -EBADMSG);
}

static void test_damage(void **state)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf user;
	struct supafs_journal_record rec = full(&user);

	(void)state;
	refuse_damage(&rec);
	rec.inlined = true;
	rec.data = SUPAFS_STR("all of it");
	rec.map = (struct supafs_spool_map){.size = 9, .ranges = one_range, .n = 1};
	supafs_journal_new_id(rec.map.name);
	refuse_damage(&rec);
	rec = reference("a", 1);
	rec.base = a_version();
	rec.reference_n = 5000;
	refuse_damage(&rec);
	rec = small(SUPAFS_JOURNAL_REPLACE, "to");
	rec.from = SUPAFS_STR("from");
	rec.base = a_version();
	refuse_damage(&rec);
	rec = small(SUPAFS_JOURNAL_RENAME_DIR, "to/");
	rec.from = SUPAFS_STR("from/");
	refuse_damage(&rec);
	rec = small(SUPAFS_JOURNAL_EXCHANGE, "file");
	rec.from = SUPAFS_STR("folder/");
	refuse_damage(&rec);
}

/* Fields come back as they went in. */
static void test_fields(void **state)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf user, b;
	supafs_autofree struct supafs_range *ranges = NULL;
	struct supafs_journal_record rec = full(&user), got;

	(void)state;
	format_to(&rec, &b);
	assert_int_equal(supafs_journal_parse(supafs_buf_str(&b), &got, &ranges), 0);
	assert_int_equal(got.kind, rec.kind);
	assert_int_equal(got.flags, rec.flags);
	assert_string_equal(got.id, rec.id);
	assert_true(supafs_str_eq(got.key, rec.key));
	assert_int_equal(got.base.size, 5000);
	assert_int_equal(got.base.updated_ns, rec.base.updated_ns);
	assert_memory_equal(got.base.id, rec.base.id, 16);
	assert_string_equal(got.base.etag, "\"abc\"");
	assert_int_equal(got.meta.has, SUPAFS_META_ALL);
	assert_int_equal(got.meta.mtime_ns, -1);
	assert_int_equal(got.meta.mode, 0640);
	assert_int_equal(got.meta.gid, 4294967295);
	assert_true(supafs_str_eq(got.mime, rec.mime));
	assert_true(supafs_str_eq(got.user, rec.user));
	assert_true(supafs_str_eq(got.nonce, rec.nonce));
	assert_true(supafs_str_eq(got.upload, rec.upload));
	assert_string_equal(got.map.name, rec.map.name);
	assert_int_equal(got.map.base_limit, 4500);
	assert_int_equal(got.map.n, 2);
	assert_int_equal(got.map.ranges[1].to, 4000);
	assert_int_equal(got.tries, 3);
	assert_int_equal(got.error, ENOSPC);
	assert_true(supafs_str_eq(got.text, rec.text));
}

static void refuse(const struct supafs_journal_record *rec)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf b;

	supafs_buf_init(&b, SUPAFS_JOURNAL_MAX);
	assert_int_equal(supafs_journal_format(rec, &b), -EINVAL);
	assert_int_equal(b.n, 0);
}

static void test_bounds(void **state)
{
	static const struct supafs_range touching[] = {{0, 5}, {5, 9}}, behind[] = {{0, 6001}};
	static char many[SUPAFS_KEY_MAX + 1];
	supafs_cleanup(supafs_buf_fini) struct supafs_buf user;
	const struct supafs_journal_record good = full(&user);
	struct supafs_journal_record rec;

	(void)state;
	memset(many, 'k', sizeof(many));
#define REFUSED(change)                                                                            \
	do {                                                                                       \
		rec = good;                                                                        \
		change;                                                                            \
		refuse(&rec);                                                                      \
	} while (0)
	REFUSED(rec.key = ((struct supafs_str){many, sizeof(many)}));
	REFUSED(rec.key = SUPAFS_STR("a\0b"));
	REFUSED(rec.key = SUPAFS_STR(""));
	REFUSED(rec.key = SUPAFS_STR("folder/"));
	REFUSED(rec.from = SUPAFS_STR("x"));
	REFUSED(rec.flags |= 1U << 8);
	REFUSED(rec.flags |= SUPAFS_JOURNAL_REFERENCE);
	REFUSED(rec.kind = SUPAFS_JOURNAL_RENAME_DIR);
	REFUSED(rec.kind = SUPAFS_JOURNAL_DELETE);
	REFUSED(rec.kind = SUPAFS_JOURNAL_EXCHANGE);
	REFUSED(rec.kind = (enum supafs_journal_kind)9);
	REFUSED(rec.id[3] = 'X');
	REFUSED(rec.map.name[0] = '\0');
	REFUSED(rec.map.ranges = touching);
	REFUSED(rec.map.ranges = behind; rec.map.n = 1);
	REFUSED(rec.map.base_limit = 5001);
	REFUSED(rec.map.size = UINT64_MAX);
	REFUSED(rec.base.size = UINT64_MAX);
	REFUSED(rec.meta.has = 64);
	REFUSED(rec.user = SUPAFS_STR("xx"));
	REFUSED(rec.error = -5);
	REFUSED(rec.error = 5000);
	REFUSED(rec.deletes = SUPAFS_STR("x"));
	REFUSED(rec.inlined = true; rec.data = SUPAFS_STR("short"));
#undef REFUSED
}

/* --- Deletes -------------------------------------------------------------------------------------
 */

/* Damage behind the record costs the deletes from there on, and no more. */
static void test_deletes_cut(void **state)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf list, b, head;
	struct supafs_journal_record rec = small(SUPAFS_JOURNAL_DELETE, "d/"), got;
	size_t ends[4] = {0};

	(void)state;
	format_to(&rec, &head);
	supafs_buf_init(&list, 4096);
	for (unsigned i = 1; i < 4; i++) {
		add_delete(&list, i == 1 ? "one" : i == 2 ? "two" : "three");
		ends[i] = list.n;
	}
	rec.deletes = supafs_buf_str(&list);
	format_to(&rec, &b);
	assert_int_equal(b.n, head.n + list.n);
	for (size_t n = 0; n <= b.n; n++) {
		supafs_autofree struct supafs_range *ranges = NULL;
		unsigned want = 0;
		int r = supafs_journal_parse((struct supafs_str){b.p, n}, &got, &ranges);

		assert_int_equal(r, n < head.n ? -EBADMSG : 0);
		if (r != 0)
			continue;
		while (want < 3 && ends[want + 1] <= n - head.n)
			want++;
		assert_int_equal(count_deletes(got.deletes), want);
	}
	for (size_t at = head.n; at < b.n; at++) {
		supafs_autofree struct supafs_range *ranges = NULL;
		unsigned want = 0;

		b.p[at] = (char)(b.p[at] ^ 0x10);
		assert_int_equal(supafs_journal_parse(supafs_buf_str(&b), &got, &ranges), 0);
		b.p[at] = (char)(b.p[at] ^ 0x10);
		while (want < 3 && ends[want + 1] <= at - head.n)
			want++;
		assert_int_equal(got.deletes.n, ends[want]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_check_value),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_deletes_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
