/* SPDX-License-Identifier: Apache-2.0 */
/* -o poll: what other clients change is seen long before the ttl is over. */
#include <pthread.h>

#include "poll.h"
#include "vfs_fixture.h"

enum {
	HOUR_MS = 3600 * 1000,
	WAIT_S = 20,
};

/* What the kernel was told. */
struct told {
	struct supafs_mutex lock;
	struct supafs_cond more;
	/* lock: */
	unsigned inodes, datas, entries;
	char last[300]; /* entry */
};

static void on_entry(void *ctx, uint64_t parent, const char *name, size_t n)
{
	struct told *t = ctx;

	(void)parent;
	SUPAFS_SCOPED_LOCK(&t->lock);
	t->entries++;
	(void)snprintf(t->last, sizeof(t->last), "%.*s", (int)n, name);
	supafs_cond_broadcast(&t->more);
}

static void on_inode(void *ctx, uint64_t node, bool data)
{
	struct told *t = ctx;

	(void)node;
	SUPAFS_SCOPED_LOCK(&t->lock);
	t->inodes++;
	t->datas += data;
	supafs_cond_broadcast(&t->more);
}

static void wait_entries(struct told *t, unsigned n)
{
	const struct supafs_clock *clock = supafs_clock_system();
	const int64_t until = clock->mono_ns(clock) + WAIT_S * SUPAFS_NS_PER_S;
	unsigned got;

	SUPAFS_SCOPED_LOCK(&t->lock);
	while (t->entries < n && supafs_cond_wait_until(&t->more, &t->lock, until) == 0)
		;
	got = t->entries;
	assert_true(got >= n);
}

struct poll_bench {
	struct fx *x;
	struct told told;
	struct vfs_poll *p;
};

static void begin_with(struct poll_bench *b, const struct fx_config *cfg)
{
	struct supafs_notify notify = {on_entry, on_inode, &b->told};

	memset(b, 0, sizeof(*b));
	supafs_mutex_init(&b->told.lock);
	supafs_cond_init(&b->told.more);
	b->x = fx_new(cfg);
	supafs_vfs_set_notify(b->x->v, &notify);
	if (cfg->poll_ms == 0)
		assert_int_equal(vfs_poll_new(b->x->v, &b->p), 0);
}

static void begin(struct poll_bench *b)
{
	begin_with(b, &(const struct fx_config){.ttl_ms = HOUR_MS});
}

static void end(struct poll_bench *b)
{
	b->p = vfs_poll_free(b->p);
	assert_int_equal(fx_free(b->x), 0);
	supafs_cond_fini(&b->told.more);
	supafs_mutex_fini(&b->told.lock);
}

/* The number of names that were forgotten, after one list request. */
static unsigned look(struct poll_bench *b)
{
	unsigned changed = 99;

	fx_mark(b->x);
	assert_int_equal(vfs_poll_look(b->p, &changed), 0);
	assert_int_equal(fx_all(b->x), 1);
	assert_int_equal(fx_count(b->x, SUPAFS_OP_LIST), 1);
	return changed;
}

static off_t size_of(struct poll_bench *b, const char *path)
{
	struct stat st;
	int r = fx_stat(b->x, path, &st);

	return r == 0 ? st.st_size : r;
}

/* --------------------------------------------------------------------------------------------- */

static void test_changed_file(void **state)
{
	struct poll_bench b;
	uint64_t node;

	(void)state;
	begin(&b);
	fx_server_put(b.x, "d/file", "old");
	fx_server_put(b.x, "d/other", "old");
	assert_string_equal(fx_ls(b.x, "d"), "file other");
	assert_int_equal(fx_path(b.x, "d/file", &node), 0); /* the kernel knows it */
	assert_string_equal(fx_cat(b.x, "d/file"), "old");
	assert_int_equal(look(&b), 0); /* where the present is */
	assert_int_equal(look(&b), 0);

	fx_server_put(b.x, "d/file", "newer");
	assert_int_equal(size_of(&b, "d/file"), 3); /* the ttl is an hour */
	assert_int_equal(look(&b), 1);
	wait_entries(&b.told, 1);
	assert_string_equal(b.told.last, "file");
	assert_true(b.told.datas >= 1);
	assert_int_equal(size_of(&b, "d/file"), 5);
	assert_string_equal(fx_cat(b.x, "d/file"), "newer");
	/* the neighbour is still known */
	fx_mark(b.x);
	assert_int_equal(size_of(&b, "d/other"), 3);
	assert_int_equal(fx_all(b.x), 0);
	/* and it is no news any more */
	assert_int_equal(look(&b), 0);
	assert_int_equal(b.told.entries, 1);
	supafs_vfs_forget(b.x->v, node, 1);
	end(&b);
}

/* A file that is open: its handle does not go on with bytes of two versions. */
static void test_open_file(void **state)
{
	struct poll_bench b;
	uint64_t fh;
	char buf[8];

	(void)state;
	begin(&b);
	fx_server_put(b.x, "file", "old");
	assert_int_equal(look(&b), 0);
	assert_int_equal(fx_open(b.x, "file", O_RDONLY, &fh), 0);
	fx_expect(b.x, fh, 0, "old");
	fx_server_put(b.x, "file", "newer");
	assert_int_equal(look(&b), 1);
	assert_int_equal(size_of(&b, "file"), 5);
	assert_int_equal(fx_read(b.x, fh, buf, sizeof(buf), 0), -ESTALE);
	assert_int_equal(fx_close(b.x, fh), 0);
	assert_string_equal(fx_cat(b.x, "file"), "newer");
	end(&b);
}

static void test_new_names(void **state)
{
	struct poll_bench b;

	(void)state;
	begin(&b);
	fx_server_put(b.x, "d/file", "x");
	assert_string_equal(fx_ls(b.x, ""), "d/");
	assert_string_equal(fx_ls(b.x, "d"), "file");
	assert_int_equal(size_of(&b, "d/late"), -ENOENT);
	assert_int_equal(look(&b), 0);

	fx_server_put(b.x, "d/late", "here");
	assert_int_equal(size_of(&b, "d/late"), -ENOENT);
	assert_int_equal(look(&b), 1);
	assert_int_equal(size_of(&b, "d/late"), 4);
	assert_string_equal(fx_ls(b.x, "d"), "file late");

	/* a folder with all that is in it */
	fx_server_put(b.x, "d/new/deep/one", "1");
	fx_server_put(b.x, "d/new/deep/two", "2");
	assert_true(look(&b) >= 1);
	assert_string_equal(fx_ls(b.x, "d"), "file late new/");
	assert_string_equal(fx_ls(b.x, "d/new"), "deep/");
	assert_string_equal(fx_ls(b.x, "d/new/deep"), "one two");

	/* an empty one */
	fx_server_put(b.x, "empty/.emptyFolderPlaceholder", "");
	assert_int_equal(look(&b), 1);
	assert_string_equal(fx_ls(b.x, ""), "d/ empty/");
	/* a name that has none of its own */
	fx_server_put(b.x, "d/x=2F", "odd");
	assert_int_equal(look(&b), 1);
	assert_string_equal(fx_ls(b.x, "d"), "file late new/ x=2F");
	end(&b);
}

/* A change of attributes alone. */
static void test_changed_mode(void **state)
{
	const struct supafs_put_args attrs = {
		.mime = SUPAFS_STR("a/b"),
		.meta = {SUPAFS_META_MODE, 0, 0600, 0, 0},
	};
	const struct supafs_copy_args copy = {.from = SUPAFS_STR("file"),
		.to = SUPAFS_STR("file"),
		.replace = true,
		.attrs = &attrs};
	struct poll_bench b;
	struct stat st;

	(void)state;
	begin(&b);
	fx_server_put(b.x, "file", "x");
	assert_string_equal(fx_ls(b.x, ""), "file");
	assert_int_equal(look(&b), 0);
	assert_int_equal(
		b.x->memory->ops->copy(b.x->memory, &b.x->call, &copy, NULL, &b.x->fault), 0);
	assert_int_equal(look(&b), 1);
	assert_int_equal(fx_stat(b.x, "file", &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	end(&b);
}

/* What is uploaded from here is no news: nothing is forgotten, nobody is told. */
static void test_own_uploads(void **state)
{
	struct poll_bench b;
	char path[64];

	(void)state;
	begin(&b);
	fx_server_put(b.x, "d/file", "x");
	assert_string_equal(fx_ls(b.x, "d"), "file");
	assert_int_equal(look(&b), 0);
	for (int i = 0; i < 60; i++) {
		(void)snprintf(path, sizeof(path), "d/own%02d", i);
		assert_int_equal(fx_save(b.x, path, "mine"), 0);
		fx_advance_ms(b.x, 100);
	}
	assert_int_equal(fx_mkdir(b.x, "d/folder"), 0);
	assert_int_equal(fx_save(b.x, "d/folder/in", "mine"), 0);
	assert_int_equal(fx_rename(b.x, "d/own00", "d/renamed", 0), 0);
	fx_quiet(b.x);
	assert_int_equal(look(&b), 0);
	assert_int_equal(b.told.datas, 0);
	fx_mark(b.x);
	assert_int_equal(size_of(&b, "d/own59"), 4);
	assert_int_equal(size_of(&b, "d/renamed"), 4);
	assert_int_equal(size_of(&b, "d/folder/in"), 4);
	assert_int_equal(fx_all(b.x), 0);
	/* somebody else replaces one of them by as many bytes */
	fx_server_put(b.x, "d/own59", "else");
	assert_int_equal(look(&b), 1);
	assert_string_equal(fx_cat(b.x, "d/own59"), "else");
	end(&b);
}

/* Local changes that the server has not are not touched. */
static void test_dirty_file(void **state)
{
	struct poll_bench b;
	uint64_t fh;

	(void)state;
	begin(&b);
	fx_server_put(b.x, "file", "old");
	assert_int_equal(look(&b), 0);
	assert_int_equal(fx_open(b.x, "file", O_RDWR | O_TRUNC, &fh), 0);
	assert_int_equal(fx_write(b.x, fh, "local!", 0), 0);
	fx_server_put(b.x, "file", "another");
	assert_int_equal(look(&b), 1);
	assert_int_equal(size_of(&b, "file"), 6);
	fx_expect(b.x, fh, 0, "local!");
	assert_int_equal(fx_close(b.x, fh), 0);
	assert_string_equal(fx_server_text(b.x, "file"), "local!");
	end(&b);
}

/* More than a page, and more than is worth it. */
static void test_many(void **state)
{
	enum {
		SOME = 250,
		TOO_MANY = 19200, /* 100 and 19 pages of 1000, and some */
	};
	struct poll_bench b;
	unsigned changed = 0;
	char key[64];

	(void)state;
	begin(&b);
	fx_server_put(b.x, "kept", "x");
	fx_advance_ms(b.x, 60000);
	fx_server_put(b.x, "d/last", "x");
	assert_string_equal(fx_ls(b.x, "d"), "last");
	assert_int_equal(look(&b), 0);
	for (int i = 0; i < SOME; i++) {
		(void)snprintf(key, sizeof(key), "d/%03d", i);
		fx_server_put(b.x, key, "x");
	}
	fx_mark(b.x);
	assert_int_equal(vfs_poll_look(b.p, &changed), 0);
	assert_int_equal(changed, SOME);
	assert_int_equal(fx_count(b.x, SUPAFS_OP_LIST), 2);
	assert_int_equal(size_of(&b, "d/249"), 1);

	assert_int_equal(size_of(&b, "kept"), 1);
	for (int i = 0; i < TOO_MANY; i++) {
		(void)snprintf(key, sizeof(key), "many/%05d", i);
		fx_server_put(b.x, key, "");
	}
	fx_server_put(b.x, "d/last", "changed");
	fx_mark(b.x);
	assert_int_equal(vfs_poll_look(b.p, &changed), 0);
	assert_int_equal(fx_count(b.x, SUPAFS_OP_LIST), 20);
	fx_mark(b.x);
	assert_int_equal(size_of(&b, "kept"), 1); /* everything was forgotten */
	assert_true(fx_all(b.x) > 0);
	assert_int_equal(size_of(&b, "d/last"), 7);
	assert_int_equal(vfs_poll_look(b.p, &changed), 0);
	end(&b);
}

/* A look that fails has missed nothing. */
static void test_failed_look(void **state)
{
	struct poll_bench b;
	unsigned changed;

	(void)state;
	begin(&b);
	fx_server_put(b.x, "file", "old");
	assert_string_equal(fx_ls(b.x, ""), "file");
	fx_fail(b.x, SUPAFS_OP_LIST, 0, 1, -EIO);
	assert_int_equal(vfs_poll_look(b.p, &changed), -EIO); /* not even the first */
	assert_int_equal(look(&b), 0);
	fx_server_put(b.x, "file", "newer");
	fx_fail(b.x, SUPAFS_OP_LIST, 0, 1, -EIO);
	assert_int_equal(vfs_poll_look(b.p, &changed), -EIO);
	assert_int_equal(size_of(&b, "file"), 3);
	assert_int_equal(look(&b), 1);
	assert_int_equal(size_of(&b, "file"), 5);
	end(&b);
}

/* Rows are stamped before they can be seen: one that is a little older than the newest counts. */
static void test_late_row(void **state)
{
	struct poll_bench b;

	(void)state;
	begin(&b);
	fx_server_put(b.x, "a", "1");
	fx_server_put(b.x, "b", "1");
	assert_string_equal(fx_ls(b.x, ""), "a b");
	assert_int_equal(look(&b), 0);
	fx_server_put(b.x, "a", "22");
	assert_int_equal(look(&b), 1);
	fx_server_put(b.x, "b", "333");
	fx_advance_ms(b.x, 5000);
	fx_server_put(b.x, "a", "4444");
	assert_int_equal(look(&b), 2);
	assert_int_equal(look(&b), 0);
	end(&b);
}

/* --- By the clock ------------------------------------------------------------------------------
 */

/* Lists so far, as the counter shows them sooner or later. */
static void wait_lists(struct fx *x, uint64_t n)
{
	const struct supafs_clock *clock = supafs_clock_system();
	const int64_t until = clock->mono_ns(clock) + WAIT_S * SUPAFS_NS_PER_S;

	while (fx_count(x, SUPAFS_OP_LIST) < n && clock->mono_ns(clock) < until)
		clock->sleep_until(clock, clock->mono_ns(clock) + SUPAFS_NS_PER_MS);
	assert_int_equal(fx_count(x, SUPAFS_OP_LIST), n);
}

/* Moves the clock until there are so many; by how much. It is moved at leisure: when the pause
 * begins is the other thread's business. */
static uint64_t ms_until_lists(struct fx *x, uint64_t n)
{
	const struct supafs_clock *clock = supafs_clock_system();
	const int64_t until = clock->mono_ns(clock) + WAIT_S * SUPAFS_NS_PER_S;
	uint64_t ms = 0;

	while (fx_count(x, SUPAFS_OP_LIST) < n && clock->mono_ns(clock) < until) {
		fx_advance_ms(x, 100);
		ms += 100;
		clock->sleep_until(clock, clock->mono_ns(clock) + 4 * SUPAFS_NS_PER_MS);
	}
	assert_int_equal(fx_count(x, SUPAFS_OP_LIST), n);
	return ms;
}

static void test_clock(void **state)
{
	struct poll_bench b;

	(void)state;
	begin_with(&b, &(const struct fx_config){.ttl_ms = HOUR_MS, .poll_ms = 2000});
	memset(b.x->mark, 0, sizeof(b.x->mark));
	wait_lists(b.x, 1); /* at once */
	fx_server_put(b.x, "file", "old");
	assert_true(ms_until_lists(b.x, 2) >= 1900);
	assert_string_equal(fx_ls(b.x, ""), "file");
	fx_server_put(b.x, "file", "newer");
	(void)ms_until_lists(b.x, 4); /* fx_ls made one */
	wait_entries(&b.told, 1);
	assert_int_equal(size_of(&b, "file"), 5);
	end(&b);
}

/* After an error the pause doubles; a server that cannot sort is asked no more. */
static void test_backoff(void **state)
{
	struct poll_bench b;

	(void)state;
	begin_with(&b, &(const struct fx_config){.ttl_ms = HOUR_MS, .poll_ms = 1000});
	memset(b.x->mark, 0, sizeof(b.x->mark));
	wait_lists(b.x, 1);
	fx_fail(b.x, SUPAFS_OP_LIST, 0, 2, -EIO);
	assert_true(ms_until_lists(b.x, 2) >= 900);
	assert_true(ms_until_lists(b.x, 3) >= 1900);
	assert_true(ms_until_lists(b.x, 4) >= 3900);
	fx_fail(b.x, SUPAFS_OP_LIST, 0, 1, -EOPNOTSUPP);
	(void)ms_until_lists(b.x, 5); /* as before */
	fx_advance_ms(b.x, HOUR_MS);
	end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_changed_file),
		cmocka_unit_test(test_open_file),
		cmocka_unit_test(test_new_names),
		cmocka_unit_test(test_changed_mode),
		cmocka_unit_test(test_own_uploads),
		cmocka_unit_test(test_dirty_file),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_failed_look),
		cmocka_unit_test(test_late_row),
		cmocka_unit_test(test_clock),
		cmocka_unit_test(test_backoff),
	};

	return cmocka_run_group_tests_name("vfs_poll", tests, NULL, NULL);
}
