/* SPDX-License-Identifier: Apache-2.0 */
/* The journal on disk: what is kept, in which order it is told, what is refused; spools over it. */
#include "journal_fixture.h"

/* --- On disk -------------------------------------------------------------------------------------
 */

static void test_round_trip(void **state)
{
	struct fx *x = *state;
	struct supafs_journal_record large = put(x, "large", "long", 1U << 20, 2);
	struct told t;

	(void)put(x, "small", "short", 0, 1);
	assert_int_equal(count(x, "spool"), 4);
	assert_int_equal(supafs_journal_found(x->j), 0); /* what was put now is not found */
	reopen(x);
	assert_int_equal(x->lost, 0);
	assert_int_equal(count(x, "spool"), 3); /* the small one's bytes are in its record */
	assert_int_equal(supafs_journal_found(x->j), 2);
	t = walk(x);
	assert_int_equal(t.n, 2);
	assert_string_equal(t.keys[0], "small");
	assert_string_equal(t.text[0], "short");
	assert_string_equal(t.keys[1], "large");
	assert_string_equal(t.text[1], "long");
	assert_int_equal(count(x, "spool"), 4);
	assert_int_equal(supafs_journal_remove(x->j, large.id), 0);
	assert_int_equal(supafs_journal_remove(x->j, large.id), 0);
	assert_int_equal(supafs_journal_sync(x->j), 0);
	reopen(x);
	assert_int_equal(x->lost, 1); /* the large one's spool file has no record */
	assert_int_equal(walk(x).n, 1);
	reopen(x); /* nothing comes or goes */
	assert_int_equal(x->lost, 0);
	t = walk(x);
	assert_int_equal(t.n, 1);
	assert_string_equal(t.text[0], "short");
}

static void test_permissions(void **state)
{
	struct fx *x = *state;
	struct supafs_journal_record rec = reference("a", 1);
	char path[PATH_MAX];
	struct stat st;

	assert_int_equal(supafs_journal_put(x->j, &rec), 0);
	(void)snprintf(path, sizeof(path), "%s/spool/%s.j1", x->dir, rec.id);
	assert_int_equal(lstat(path, &st), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0600);
}

/* The last of one id counts, whichever call it was; after a power cut the last put. */
static void test_put_and_note(void **state)
{
	struct fx *x = *state;
	struct supafs_journal_record rec = reference("first", 1);
	char path[PATH_MAX];

	assert_int_equal(supafs_journal_put(x->j, &rec), 0);
	rec.key = SUPAFS_STR("second");
	assert_int_equal(supafs_journal_note(x->j, &rec), 0);
	rec.key = SUPAFS_STR("third");
	assert_int_equal(supafs_journal_note(x->j, &rec), 0);
	assert_int_equal(count(x, "spool"), 2);
	reopen(x);
	assert_string_equal(walk(x).keys[0], "third");
	assert_int_equal(count(x, "spool"), 2);

	/* the note was not synced: what is left of it may be nothing */
	(void)snprintf(path, sizeof(path), "%s/spool/%s.j3", x->dir, rec.id);
	assert_int_equal(truncate(path, 0), 0);
	reopen(x);
	assert_int_equal(x->lost, 1);
	assert_string_equal(walk(x).keys[0], "first");

	rec.key = SUPAFS_STR("fourth");
	assert_int_equal(supafs_journal_put(x->j, &rec), 0);
	assert_int_equal(count(x, "spool"), 1);
	reopen(x);
	assert_string_equal(walk(x).keys[0], "fourth");
	assert_int_equal(supafs_journal_remove(x->j, rec.id), 0);
	assert_int_equal(count(x, "spool"), 0);
}

static void test_order(void **state)
{
	struct fx *x = *state;
	struct supafs_journal_record rename = small(SUPAFS_JOURNAL_RENAME_DIR, "to/");
	struct told t = {.stop_at = 2};

	rename.from = SUPAFS_STR("from/");
	rename.since_ns = 900;
	for (int64_t i = 0; i < 5; i++) {
		const char *const keys[] = {"c", "a", "e", "b", "d"};
		const int64_t since[] = {300, 100, 500, 200, 400};
		struct supafs_journal_record rec = reference(keys[i], since[i]);

		assert_int_equal(supafs_journal_note(x->j, &rec), 0);
	}
	assert_int_equal(supafs_journal_note(x->j, &rename), 0);
	reopen(x);
	assert_int_equal(supafs_journal_walk(x->j, tell, &t), -ECANCELED);
	assert_string_equal(t.keys[0], "to/");
	assert_string_equal(t.keys[1], "a");
	assert_int_equal(supafs_journal_found(x->j), 4);
	t = walk(x);
	assert_string_equal(t.keys[0], "b");
	assert_string_equal(t.keys[3], "e");
	reopen(x);
	assert_int_equal(walk(x).n, 6);
}

/* A spool file that is not what its record says. */
static void test_bad_spool(void **state)
{
	struct fx *x = *state;
	struct supafs_journal_record gone = put(x, "gone", "1", 100000, 1);
	struct supafs_journal_record cut = put(x, "cut", "2", 100000, 2);
	struct supafs_journal_record link = put(x, "link", "3", 100000, 3);
	struct supafs_journal_record readable = put(x, "open", "4", 100000, 4);
	struct supafs_journal_record longer = put(x, "longer", "5", 100000, 5);
	char path[PATH_MAX];
	struct told t;

	(void)snprintf(path, sizeof(path), "%s/spool/%s", x->dir, gone.map.name);
	assert_int_equal(unlink(path), 0);
	(void)snprintf(path, sizeof(path), "%s/spool/%s", x->dir, cut.map.name);
	assert_int_equal(truncate(path, 0), 0);
	(void)snprintf(path, sizeof(path), "%s/spool/%s", x->dir, link.map.name);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	(void)snprintf(path, sizeof(path), "%s/spool/%s", x->dir, readable.map.name);
	assert_int_equal(chmod(path, 0644), 0);
	(void)snprintf(path, sizeof(path), "%s/spool/%s", x->dir, longer.map.name);
	assert_int_equal(truncate(path, 200000), 0);
	reopen(x);
	assert_int_equal(x->lost, 7); /* four records, three files */
	t = walk(x);
	assert_int_equal(t.n, 1);
	assert_string_equal(t.keys[0], "longer");
	assert_string_equal(t.text[0], "5");
	assert_int_equal(count(x, "lost+found"), 7);
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 100000); /* what was written behind the promise is cut */
}

/* Appended to what is promised, promised anew, killed before the older record went: it promises
 * less of the same file, which must not be cut to that. */
static void test_two_of_one_file(void **state)
{
	struct fx *x = *state;
	struct supafs_journal_record rec = small(SUPAFS_JOURNAL_CONTENT, "log");
	struct supafs_spool *s = spool_of(x, "begin", 100000);
	char from[PATH_MAX], kept[PATH_MAX];
	struct stat st;

	assert_int_equal(supafs_journal_put_spool(x->j, &rec, s), 0);
	(void)snprintf(from, sizeof(from), "%s/spool/%s.j1", x->dir, rec.id);
	(void)snprintf(kept, sizeof(kept), "%s/kept", x->dir);
	assert_int_equal(link(from, kept), 0);
	assert_int_equal(supafs_spool_pwrite(s, "end", 3, 200000), 0);
	assert_int_equal(supafs_journal_put_spool(x->j, &rec, s), 0);
	assert_int_equal(rename(kept, from), 0); /* as if it had not been removed */
	memcpy(rec.map.name, supafs_spool_name(s), sizeof(rec.map.name));
	supafs_spool_keep(s, true);
	(void)supafs_spool_free(s);
	for (int i = 0; i < 2; i++) {
		reopen(x);
		assert_int_equal(x->lost, 0);
		assert_string_equal(walk(x).keys[0], "log");
	}
	(void)snprintf(from, sizeof(from), "%s/spool/%s", x->dir, rec.map.name);
	assert_int_equal(stat(from, &st), 0);
	assert_int_equal(st.st_size, 200003);
}

/* Two ids name one spool file, as copied records would: the newer one has it. */
static void two_ids_of_one_file(struct fx *x, uint64_t size, unsigned lost)
{
	struct supafs_journal_record older = small(SUPAFS_JOURNAL_CONTENT, "older");
	struct supafs_journal_record newer = small(SUPAFS_JOURNAL_CONTENT, "newer");
	struct supafs_spool *s = spool_of(x, "bytes", size);
	struct told t;

	older.since_ns = 1;
	newer.since_ns = 2;
	assert_int_equal(supafs_journal_put_spool(x->j, &newer, s), 0);
	assert_int_equal(supafs_journal_put_spool(x->j, &older, s), 0);
	supafs_spool_keep(s, true);
	(void)supafs_spool_free(s);
	reopen(x);
	assert_int_equal(x->lost, lost);
	assert_int_equal(supafs_journal_found(x->j), 1);
	t = walk(x);
	assert_int_equal(t.n, 1);
	assert_string_equal(t.keys[0], "newer");
	assert_string_equal(t.text[0], "bytes");
	assert_int_equal(supafs_journal_remove(x->j, newer.id), 0);
	assert_int_equal(supafs_journal_remove(x->j, older.id), 0);
	assert_int_equal(count(x, "lost+found"), lost);
	empty_folders(x);
}

static void test_two_ids_of_one_file(void **state)
{
	struct fx *x = *state;

	two_ids_of_one_file(x, 100000, 1);
	two_ids_of_one_file(x, 0, 1); /* the bytes are in the records */
}

static void test_foreign_files(void **state)
{
	struct fx *x = *state;
	struct supafs_journal_record good = reference("good", 1), bad = reference("bad", 2);
	char name[80], path[PATH_MAX], inside[PATH_MAX];

	assert_int_equal(supafs_journal_put(x->j, &good), 0);
	(void)snprintf(name, sizeof(name), "%s.j1", bad.id);
	write_in(x, name, "SUPAFSJ\ngarbage");
	supafs_journal_new_id(bad.id);
	(void)snprintf(name, sizeof(name), "%s.j1", bad.id);
	(void)snprintf(path, sizeof(path), "%s/spool/%s", x->dir, name);
	(void)snprintf(inside, sizeof(inside), "%s/spool/%s.j1", x->dir, good.id);
	assert_int_equal(symlink(inside, path), 0);
	supafs_journal_new_id(bad.id);
	(void)snprintf(path, sizeof(path), "%s/spool/%s.j1", x->dir, bad.id);
	assert_int_equal(mkfifo(path, 0600), 0);
	supafs_journal_new_id(bad.id);
	(void)snprintf(path, sizeof(path), "%s/spool/%s.j1", x->dir, bad.id);
	assert_int_equal(mkdir(path, 0700), 0);
	/* a whole record under another's name; one with a leading zero in its number */
	supafs_journal_new_id(bad.id);
	(void)snprintf(path, sizeof(path), "%s/spool/%s.j1", x->dir, bad.id);
	assert_int_equal(link(inside, path), 0);
	(void)snprintf(path, sizeof(path), "%s/lost+found-source", x->dir);
	assert_int_equal(rename(inside, path), 0);
	{
		supafs_cleanup(supafs_buf_fini) struct supafs_buf b;

		format_to(&good, &b);
		(void)snprintf(name, sizeof(name), "%s.j1", good.id);
		int fd = open(inside, O_CREAT | O_WRONLY, 0600);

		assert_int_equal(write(fd, b.p, b.n), b.n);
		close(fd);
	}
	(void)snprintf(name, sizeof(name), "%s.j01", good.id);
	write_in(x, name, "x");
	write_in(x, "note.txt", "x");
	write_in(x, ".idle-0b4e3c2e-0000-4000-8000-000000000000", "");
	reopen(x);
	assert_int_equal(x->lost, 7);
	assert_int_equal(count(x, "spool"), 1);
	assert_string_equal(walk(x).keys[0], "good");
}

/* A version that we do not know is not ours to take away. */
static void test_later_version(void **state)
{
	struct fx *x = *state;
	struct supafs_journal_record rec = put(x, "later", "x", 100000, 1);
	char path[PATH_MAX];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/spool/%s.j1", x->dir, rec.id);
	fd = open(path, O_RDWR);
	assert_int_equal(pwrite(fd, "\2", 1, 8), 1);
	close(fd);
	reopen(x);
	assert_int_equal(x->lost, 2); /* with its spool file */
	assert_int_equal(walk(x).n, 0);
}

static void test_lost_is_private(void **state)
{
	struct fx *x = *state;
	struct supafs_journal *j = NULL;
	unsigned lost = 7;
	char path[PATH_MAX];

	write_in(x, "file", "x");
	close_both(x);
	(void)snprintf(path, sizeof(path), "%s/lost+found", x->dir);
	assert_int_equal(symlink("/tmp", path), 0);
	assert_int_equal(supafs_spool_dir_open(x->dir, &x->spools), 0);
	assert_int_equal(supafs_journal_open(x->spools, &j, &lost), -EACCES);
	assert_int_equal(lost, 7);
	assert_int_equal(count(x, "spool"), 1);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(supafs_journal_open(x->spools, &x->j, &lost), 0);
	assert_int_equal(lost, 1);
}

static void test_too_late(void **state)
{
	struct fx *x = *state;
	struct supafs_spool *s = spool_of(x, "x", 0);
	struct supafs_journal *j = NULL;
	unsigned lost = 0;

	assert_int_equal(supafs_journal_open(x->spools, &j, &lost), -EINVAL);
	(void)supafs_spool_free(s);
}

static int count_records(
	void *ctx, const struct supafs_journal_record *rec, struct supafs_spool *spool)
{
	int64_t *last = ctx;

	assert_true(rec->since_ns == *last + 1);
	*last = rec->since_ns;
	(void)supafs_spool_free(spool);
	return 0;
}

static void test_many(void **state)
{
	struct fx *x = *state;
	int64_t last = 0;

	for (int64_t i = 10000; i > 0; i--) {
		struct supafs_journal_record rec = reference("key", i);

		assert_int_equal(supafs_journal_note(x->j, &rec), 0);
	}
	reopen(x);
	assert_int_equal(supafs_journal_found(x->j), 10000);
	assert_int_equal(supafs_journal_walk(x->j, count_records, &last), 0);
	assert_int_equal(last, 10000);
}

/* --- Spools --------------------------------------------------------------------------------------
 */

/* Base bytes that are missing, holes and local ranges are the same after a restart. */
static void test_map(void **state)
{
	struct fx *x = *state;
	supafs_autofree struct supafs_range *ranges = NULL;
	struct supafs_spool_map map;
	struct supafs_spool *s, *again;
	uint64_t off = 0, n = 0;
	char buf[32];

	assert_int_equal(supafs_spool_new(x->spools, 1000, &s), 0);
	assert_int_equal(supafs_spool_pwrite(s, "begin", 5, 0), 0);
	assert_int_equal(supafs_spool_truncate(s, 500), 0);
	assert_int_equal(supafs_spool_pwrite(s, "end", 3, 997), 0);
	assert_int_equal(supafs_spool_map(s, &map, &ranges), 0);
	assert_int_equal(map.size, 1000);
	assert_int_equal(map.base_limit, 500);
	assert_int_equal(map.n, 2);
	supafs_spool_keep(s, true);
	s = supafs_spool_free(s);
	assert_int_equal(supafs_spool_reopen(x->spools, &map, &again), 0);
	assert_string_equal(supafs_spool_name(again), map.name);
	assert_true(supafs_spool_missing(again, 0, 1000, &off, &n));
	assert_int_equal(off, 5);
	assert_int_equal(n, 495);
	assert_int_equal(supafs_spool_pread(again, buf, 10, 990), 10);
	assert_memory_equal(buf, "\0\0\0\0\0\0\0end", 10);
	again = supafs_spool_free(again);
	assert_int_equal(count(x, "spool"), 1); /* kept */
	map.name[0] = map.name[0] == '0' ? '1' : '0';
	assert_int_equal(supafs_spool_reopen(x->spools, &map, &again), -ENOENT);
}

static void test_clone(void **state)
{
	struct fx *x = *state;
	struct supafs_spool *s, *copy;
	uint64_t off = 0, n = 0;
	char buf[16];

	assert_int_equal(supafs_spool_new(x->spools, 3U << 20, &s), 0);
	for (uint64_t at = 0; at < 3U << 20; at += 300000)
		assert_int_equal(supafs_spool_pwrite(s, "0123456789", 10, at), 0);
	assert_int_equal(supafs_spool_truncate(s, 2U << 20), 0);
	assert_int_equal(supafs_spool_truncate(s, 4U << 20), 0);
	assert_int_equal(supafs_spool_clone(s, &copy), 0);
	assert_string_not_equal(supafs_spool_name(s), supafs_spool_name(copy));
	assert_int_equal(supafs_spool_size(copy), 4U << 20);
	assert_true(supafs_spool_missing(copy, 0, UINT64_MAX, &off, &n));
	assert_int_equal(off, 10);
	assert_int_equal(n, 299990);
	/* each has its own bytes from now on */
	assert_int_equal(supafs_spool_pwrite(copy, "copy", 4, 300000), 0);
	assert_int_equal(supafs_spool_pread(s, buf, 10, 300000), 10);
	assert_memory_equal(buf, "0123456789", 10);
	assert_int_equal(supafs_spool_pread(copy, buf, 10, 300000), 10);
	assert_memory_equal(buf, "copy456789", 10);
	assert_int_equal(supafs_spool_pread(copy, buf, 10, 3U << 20), 10);
	assert_memory_equal(buf, "\0\0\0\0\0\0\0\0\0\0", 10);
	s = supafs_spool_free(s);
	copy = supafs_spool_free(copy);
	assert_int_equal(count(x, "spool"), 0);
}

static void test_append(void **state)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf list;
	struct fx *x = *state;
	struct supafs_journal_record rec = small(SUPAFS_JOURNAL_DELETE, "");
	unsigned n = 0;

	supafs_buf_init(&list, 4096);
	add_delete(&list, "x");
	assert_int_equal(supafs_journal_append(x->j, rec.id, supafs_buf_str(&list)), -ENOENT);
	rec.deletes = supafs_buf_str(&list);
	assert_int_equal(supafs_journal_note(x->j, &rec), 0);
	for (unsigned i = 0; i < 499; i++)
		assert_int_equal(supafs_journal_append(x->j, rec.id, supafs_buf_str(&list)), 0);
	reopen(x);
	assert_int_equal(x->lost, 0);
	assert_int_equal(supafs_journal_walk(x->j, count_in_walk, &n), 0);
	assert_int_equal(n, 500);
	/* after a restart it can be added to as well */
	assert_int_equal(supafs_journal_append(x->j, rec.id, supafs_buf_str(&list)), 0);
	assert_int_equal(supafs_journal_remove(x->j, rec.id), 0);
	assert_int_equal(count(x, "spool"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_append, setup, teardown),
		cmocka_unit_test_setup_teardown(test_round_trip, setup, teardown),
		cmocka_unit_test_setup_teardown(test_permissions, setup, teardown),
		cmocka_unit_test_setup_teardown(test_put_and_note, setup, teardown),
		cmocka_unit_test_setup_teardown(test_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_spool, setup, teardown),
		cmocka_unit_test_setup_teardown(test_two_of_one_file, setup, teardown),
		cmocka_unit_test_setup_teardown(test_two_ids_of_one_file, setup, teardown),
		cmocka_unit_test_setup_teardown(test_foreign_files, setup, teardown),
		cmocka_unit_test_setup_teardown(test_later_version, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lost_is_private, setup, teardown),
		cmocka_unit_test_setup_teardown(test_too_late, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many, setup, teardown),
		cmocka_unit_test_setup_teardown(test_map, setup, teardown),
		cmocka_unit_test_setup_teardown(test_clone, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
