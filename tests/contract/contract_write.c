/* SPDX-License-Identifier: Apache-2.0 */
/* Contract: put, remove, copy, move. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "supafs/util/cleanup.h"

#include "contract.h"

/* --- Replacing -------------------------------------------------------------------------------- */

enum {
	ATOMIC_SIZE = 200000,
	ATOMIC_READS = 60,
};

struct replacer {
	void **state;
	_Atomic bool stop;
	unsigned done;
};

static void *replace_loop(void *ctx)
{
	struct replacer *w = ctx;
	char p[ATOMIC_SIZE];
	struct run r;

	run_begin(&r, w->state);
	for (unsigned i = 0; !w->stop; i++) {
		memset(p, 'A' + (int)(i % 26), ATOMIC_SIZE);
		put_attrs(&r, KEY("atomic/file"), (struct content){p, ATOMIC_SIZE}, NULL);
		w->done++;
	}
	run_end(&r);
	return NULL;
}

struct one_letter {
	size_t n;
	char letter;
	bool torn;
};

static int one_letter_write(void *ctx, const void *p, size_t n)
{
	struct one_letter *o = ctx;
	const char *c = p;

	if (o->n == 0)
		o->letter = c[0];
	for (size_t i = 0; i < n; i++)
		o->torn = o->torn || c[i] != o->letter;
	o->n += n;
	return 0;
}

/* A reader of the whole object while another thread overwrites it: old or new, never both. */
void test_replace_is_atomic(void **state)
{
	struct replacer w = {.state = state};
	const struct supafs_version v = {.size = ATOMIC_SIZE};
	supafs_autofree char *p = malloc(ATOMIC_SIZE);
	unsigned whole = 0;
	pthread_t thread;
	struct run r;

	run_begin(&r, state);
	memset(p, 'z', ATOMIC_SIZE);
	put_attrs(&r, KEY("atomic/file"), (struct content){p, ATOMIC_SIZE}, NULL);
	assert_int_equal(pthread_create(&thread, NULL, replace_loop, &w), 0);
	for (unsigned i = 0; i < ATOMIC_READS; i++) {
		struct one_letter o = {0};
		const struct supafs_get_args a = {
			.key = KEY("atomic/file"),
			.length = ATOMIC_SIZE,
			.version = &v,
			.sink = {one_letter_write, &o},
		};
		int e = r.s->ops->get(r.s, &r.call, &a, &r.fault);
		assert_false(o.torn);
		/* Under the retry layer a read that broke may meet the next version, no more. */
		assert_true(e == 0 || e == -ESTALE || r.fault.class == SUPAFS_FAULT_RACE);
		if (e == 0) {
			assert_int_equal(o.n, ATOMIC_SIZE);
			whole++;
		}
	}
	w.stop = true;
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_true(whole > ATOMIC_READS / 4);
	assert_true(w.done > 0);
	run_end(&r);
}

void test_exclusive(void **state)
{
	struct content c = {"abc", 3};
	struct supafs_put_args a = {.key = KEY("excl/file"), .exclusive = true};
	unsigned char id[16];
	struct run r;

	run_begin(&r, state);
	put_attrs(&r, KEY("excl/file"), c, &a);
	assert_int_equal(r.s->ops->put(r.s, &r.call, &a, id, &r.fault), -EEXIST);
	assert_int_equal(r.fault.class, SUPAFS_FAULT_CONFLICT);
	assert_string_equal(r.fault.code, "KeyAlreadyExists");
	assert_content(&r, "excl/file", c);
	run_end(&r);
}

static ssize_t failing_pread(void *ctx, void *buf, size_t n, uint64_t off)
{
	(void)ctx;
	if (off >= 1000)
		return -EIO;
	if (n > 1000 - off)
		n = 1000 - (size_t)off;
	memset(buf, 'x', n);
	return (ssize_t)n;
}

/* Content that cannot be read to its end leaves the old object. */
void test_put_failing_source(void **state)
{
	const struct supafs_put_args a = {
		.key = KEY("fail/file"), .size = 100000, .pread = failing_pread};
	unsigned char id[16];
	struct run r;

	run_begin(&r, state);
	put_text(&r, "fail/file", "old");
	assert_int_equal(r.s->ops->put(r.s, &r.call, &a, id, &r.fault), -EIO);
	assert_string_equal(r.fault.code, "Local");
	assert_content(&r, "fail/file", (struct content){"old", 3});
	run_end(&r);
}

/* --- Deleting --------------------------------------------------------------------------------- */

void test_remove(void **state)
{
	struct run r;

	run_begin(&r, state);
	put_text(&r, "rm/file", "x");
	put_text(&r, "rm/file2", "x");
	assert_int_equal(r.s->ops->remove(r.s, &r.call, KEY("rm/file"), &r.fault), 0);
	assert_false(exists(&r, "rm/file"));
	assert_true(exists(&r, "rm/file2"));
	assert_int_equal(r.s->ops->remove(r.s, &r.call, KEY("rm/file"), &r.fault), -ENOENT);
	assert_int_equal(r.fault.class, SUPAFS_FAULT_MISSING);
	assert_int_equal(r.s->ops->remove(r.s, &r.call, KEY("rm"), &r.fault), -ENOENT);
	run_end(&r);
}

void test_remove_many(void **state)
{
	/* Exact names only: a folder, a wildcard, another case delete nothing. */
	static const struct supafs_str keys[] = {
		{"many/b", 6},
		{"many/none", 9},
		{"many/a", 6},
		{"many/", 5},
		{"many/%", 6},
		{"MANY/c", 6},
		{"many/b", 6},
	};
	static const bool want[] = {true, false, true, false, false, false, true};
	struct supafs_str many[SUPAFS_DELETE_BATCH + 1];
	bool gone[SUPAFS_DELETE_BATCH + 1];
	struct run r;

	run_begin(&r, state);
	put_text(&r, "many/a", "x");
	put_text(&r, "many/b", "x");
	put_text(&r, "many/c", "x");
	memset(gone, 1, sizeof(gone));
	assert_int_equal(r.s->ops->remove_many(r.s, &r.call, keys, 6, gone, &r.fault), 0);
	for (size_t i = 0; i < 6; i++)
		assert_int_equal(gone[i], want[i]);
	assert_true(exists(&r, "many/c"));
	for (size_t i = 0; i <= SUPAFS_DELETE_BATCH; i++)
		many[i] = KEY("many/c");
	assert_int_equal(r.s->ops->remove_many(r.s, &r.call, many, 0, gone, &r.fault), -EINVAL);
	assert_int_equal(
		r.s->ops->remove_many(r.s, &r.call, many, SUPAFS_DELETE_BATCH + 1, gone, &r.fault),
		-EINVAL);
	assert_true(exists(&r, "many/c"));
	run_end(&r);
}

/* --- Copy and move ---------------------------------------------------------------------------- */

static int copy(
	struct run *r, const char *from, const char *to, bool replace, struct supafs_entry *e)
{
	const struct supafs_copy_args a = {
		.from = supafs_str_of(from), .to = supafs_str_of(to), .replace = replace};

	return r->s->ops->copy(r->s, &r->call, &a, e, &r->fault);
}

void test_copy(void **state)
{
	const struct supafs_put_args attrs = {
		.mime = KEY("text/x-one"),
		.meta = {SUPAFS_META_ALL, 1700000000500000000, 0604, 1, 2},
	};
	struct content one = {"one", 3};
	struct supafs_entry e;
	struct supafs_info i;
	struct run r;

	run_begin(&r, state);
	put_attrs(&r, KEY("copy/one"), one, &attrs);
	put_text(&r, "copy/two", "two");
	assert_int_equal(copy(&r, "copy/one", "copy/new", false, &e), 0);
	assert_content(&r, "copy/new", one);
	i = info_of(&r, "copy/new");
	assert_true(supafs_version_same(&e.version, &i.version));
	assert_memory_equal(e.version.id, i.version.id, 16);
	assert_int_equal(e.version.updated_ns, i.version.updated_ns);
	assert_int_equal(e.meta.mtime_ns, attrs.meta.mtime_ns);
	assert_int_equal(i.meta.mode, 0604);
	assert_string_equal(i.mime, "text/x-one");

	assert_int_equal(copy(&r, "copy/one", "copy/two", false, NULL), -EEXIST);
	assert_content(&r, "copy/two", (struct content){"two", 3});
	assert_int_equal(copy(&r, "copy/one", "copy/two", true, NULL), 0);
	assert_content(&r, "copy/two", one);
	assert_content(&r, "copy/one", one);
	assert_int_equal(copy(&r, "copy/none", "copy/other", true, NULL), -ENOENT);
	assert_int_equal(r.fault.class, SUPAFS_FAULT_MISSING);
	assert_false(exists(&r, "copy/other"));
	assert_int_equal(copy(&r, "copy/one", "copy/one", false, NULL), -EEXIST);
	run_end(&r);
}

/* Changing attributes without sending the content again. */
void test_copy_attrs(void **state)
{
	const struct supafs_put_args attrs = {
		.mime = KEY("image/png"),
		.cache_control = KEY("max-age=9"),
		.meta = {SUPAFS_META_MODE | SUPAFS_META_MTIME, 42000000000, 0755, 0, 0},
	};
	const struct supafs_copy_args a = {.from = KEY("attrs/file"),
		.to = KEY("attrs/file"),
		.replace = true,
		.attrs = &attrs};
	struct content c = {"content", 7};
	struct supafs_info before;
	struct supafs_info after;
	struct supafs_entry e;
	struct run r;

	run_begin(&r, state);
	put_attrs(&r, KEY("attrs/file"), c,
		&(struct supafs_put_args){.meta = {SUPAFS_META_ALL, 1, 0600, 3, 4}});
	before = info_of(&r, "attrs/file");
	assert_int_equal(r.s->ops->copy(r.s, &r.call, &a, &e, &r.fault), 0);
	assert_content(&r, "attrs/file", c);
	after = info_of(&r, "attrs/file");
	assert_memory_equal(before.version.id, after.version.id, 16);
	assert_string_not_equal(before.generation, after.generation);
	assert_string_equal(after.mime, "image/png");
	assert_string_equal(after.cache_control, "max-age=9, x-mtime=42, x-mode=0755");
	assert_int_equal(after.meta.has, SUPAFS_META_MODE | SUPAFS_META_MTIME);
	assert_int_equal(after.meta.mode, 0755);
	assert_int_equal(e.meta.mode, 0755);
	run_end(&r);
}

void test_copy_bucket(void **state)
{
	struct supafs_copy_args a = {
		.from = KEY("other/file"), .to = KEY("other/x"), .to_bucket = KEY("not there")};
	struct run r;

	run_begin(&r, state);
	put_text(&r, "other/file", "x");
	assert_int_equal(r.s->ops->copy(r.s, &r.call, &a, NULL, &r.fault), -ENOENT);
	a.to_bucket = r.target->http ? supafs_str_of(r.target->bucket) : KEY("memory");
	assert_int_equal(r.s->ops->copy(r.s, &r.call, &a, NULL, &r.fault), 0);
	assert_true(exists(&r, "other/x"));
	run_end(&r);
}

static int move(struct run *r, const char *from, const char *to)
{
	return r->s->ops->move(r->s, &r->call, supafs_str_of(from), supafs_str_of(to), &r->fault);
}

void test_move(void **state)
{
	const struct supafs_put_args attrs = {.meta = {SUPAFS_META_MODE, 0, 0711, 0, 0}};
	struct content c = {"moving", 6};
	struct supafs_info before;
	struct supafs_info after;
	struct run r;

	run_begin(&r, state);
	put_attrs(&r, KEY("move/one"), c, &attrs);
	put_text(&r, "move/two", "two");
	before = info_of(&r, "move/one");
	assert_int_equal(move(&r, "move/one", "move/two"), -EEXIST);
	assert_int_equal(r.fault.class, SUPAFS_FAULT_CONFLICT);
	assert_int_equal(move(&r, "move/one", "move/one"), 0);
	assert_int_equal(move(&r, "move/one", "moved to/dir/new (1)"), 0);
	assert_false(exists(&r, "move/one"));
	assert_content(&r, "moved to/dir/new (1)", c);
	after = info_of(&r, "moved to/dir/new (1)");
	assert_memory_equal(before.version.id, after.version.id, 16);
	assert_int_equal(before.created_ns, after.created_ns);
	assert_int_equal(after.meta.mode, 0711);
	assert_int_equal(move(&r, "move/one", "move/three"), -ENOENT);
	assert_content(&r, "move/two", (struct content){"two", 3});
	run_end(&r);
}

/* --- Keys that cannot be ---------------------------------------------------------------------- */

static void assert_bad(struct run *r, struct supafs_str key, int read_error)
{
	struct content c = {"x", 1};
	const struct supafs_version v = {.size = 1};
	const struct supafs_put_args put = {.key = key};
	const struct supafs_copy_args to = {.from = KEY("bad/file"), .to = key};
	struct supafs_info i;
	unsigned char id[16];
	size_t n;

	assert_int_equal(r->s->ops->put(r->s, &r->call, &put, id, &r->fault), -EINVAL);
	assert_string_equal(r->fault.code, "InvalidKey");
	assert_int_equal(r->s->ops->copy(r->s, &r->call, &to, NULL, &r->fault), -EINVAL);
	assert_int_equal(r->s->ops->move(r->s, &r->call, KEY("bad/file"), key, &r->fault), -EINVAL);
	assert_int_equal(r->s->ops->info(r->s, &r->call, key, &i, &r->fault), read_error);
	assert_int_equal(get_range(r, key, &v, c, 0, &n), read_error);
}

void test_bad_keys(void **state)
{
	static const char *const names[] = {"", "a\x01", "tab\t", "caf\xc3\xa9", "\xff", "a#b",
		"a%b", "a\"b", "a<b", "a>b", "a[b", "a]b", "a\\b", "a^b", "a`b", "a{b", "a|b",
		"a}b", "a~b", "a\x7f", ".", "..", "a/../b", "a/.", "./a"};
	char longest[SUPAFS_KEY_MAX + 1];
	struct run r;

	run_begin(&r, state);
	put_text(&r, "bad/file", "x");
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(names); i++)
		assert_bad(&r, supafs_str_of(names[i]), -ENOENT);
	assert_bad(&r, (struct supafs_str){"a\0b", 3}, -ENOENT);
	memset(longest, 'k', sizeof(longest));
	assert_bad(&r, (struct supafs_str){longest, sizeof(longest)}, -ENOENT);
	assert_true(exists(&r, "bad/file"));
	run_end(&r);
}
