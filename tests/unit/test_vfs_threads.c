/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many threads on one vfs, with failures: nothing deadlocks, leaks or races (run under
 * ThreadSanitizer too), errors are of the expected kinds, and what was closed with success is
 * what is read.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "vfs_fixture.h"

#define THREADS 8
#define ROUNDS  150

struct shared {
	struct fx *x;
	_Atomic unsigned bad;
};

struct worker {
	struct shared *s;
	unsigned id;
	struct supafs_rng rng;
	struct supafs_call call;
};

static int expected(int r)
{
	switch (r) {
	case 0:
	case -ENOENT:
	case -EEXIST:
	case -ENOTEMPTY:
	case -ENOTDIR:
	case -EISDIR:
	case -ESTALE:
	case -EINVAL:
	case -EIO: /* injected */
		return 1;
	default:
		return 0;
	}
}

static void check(struct worker *w, int64_t r, const char *what)
{
	if (r >= 0 || expected((int)r))
		return;
	print_error("%s: %s\n", what, strerrorname_np((int)-r));
	atomic_fetch_add(&w->s->bad, 1);
}

static unsigned below(struct worker *w, unsigned n)
{
	return (unsigned)supafs_rng_below(&w->rng, n);
}

static int look(struct worker *w, uint64_t parent, const char *name, uint64_t *ret)
{
	struct supafs_node_info info;
	struct supafs_fault fault;
	int r = supafs_vfs_lookup(w->s->x->v, &w->call, parent, supafs_str_of(name), &info, &fault);

	if (r == 0)
		*ret = info.node;
	return r;
}

static void forget(struct worker *w, uint64_t node)
{
	supafs_vfs_forget(w->s->x->v, node, 1);
}

static void write_file(struct worker *w, uint64_t dir, const char *name)
{
	struct supafs_vfs *v = w->s->x->v;
	const struct supafs_create cr = {
		.parent = dir, .name = supafs_str_of(name), .mode = 0644, .flags = O_RDWR};
	struct supafs_open_result open;
	struct supafs_node_info info;
	struct supafs_fault fault;
	char buf[3000];
	int r = supafs_vfs_create(v, &w->call, &cr, &info, &open, &fault);

	check(w, r, "create");
	if (r != 0)
		return;
	memset(buf, 'a' + (int)w->id, sizeof(buf));
	check(w,
		supafs_vfs_write(v, &w->call,
			&(const struct supafs_span){
				.fh = open.fh, .off = below(w, 3000), .n = sizeof(buf)},
			buf, &fault),
		"write");
	check(w,
		supafs_vfs_read(v, &w->call,
			&(const struct supafs_span){
				.fh = open.fh, .off = below(w, 3000), .n = sizeof(buf)},
			buf, &fault),
		"read");
	if (below(w, 4))
		check(w, supafs_vfs_flush(v, &w->call, open.fh, &fault), "flush");
	supafs_vfs_release(v, open.fh);
	forget(w, info.node);
}

static void read_file(struct worker *w, uint64_t dir, const char *name)
{
	struct supafs_vfs *v = w->s->x->v;
	struct supafs_open_result open;
	struct supafs_node_info info;
	struct supafs_fault fault;
	char buf[4096];
	uint64_t node;
	int r = look(w, dir, name, &node);

	check(w, r, "lookup");
	if (r != 0)
		return;
	check(w, supafs_vfs_getattr(v, &w->call, node, &info, &fault), "getattr");
	r = supafs_vfs_open(v, &w->call, node, O_RDONLY, &open, &fault);
	check(w, r, "open");
	if (r == 0) {
		check(w,
			supafs_vfs_read(v, &w->call,
				&(const struct supafs_span){.fh = open.fh, .n = sizeof(buf)}, buf,
				&fault),
			"read");
		check(w, supafs_vfs_flush(v, &w->call, open.fh, &fault), "flush");
		supafs_vfs_release(v, open.fh);
	}
	forget(w, node);
}

static void set_attr(struct worker *w, uint64_t dir, const char *name)
{
	const struct supafs_setattr sets[] = {
		{.which = SUPAFS_SET_MODE, .mode = 0600 + below(w, 8)},
		{.which = SUPAFS_SET_SIZE, .size = below(w, 2000)},
		{.which = SUPAFS_SET_MTIME, .mtime_ns = below(w, 1000)},
	};
	struct supafs_node_info info;
	struct supafs_fault fault;
	uint64_t node;

	if (look(w, dir, name, &node) != 0)
		return;
	check(w, supafs_vfs_setattr(w->s->x->v, &w->call, node, &sets[below(w, 3)], &info, &fault),
		"setattr");
	forget(w, node);
}

static bool add_node(void *ctx, const struct supafs_dir_item *item)
{
	struct worker *w = ctx;

	if (item->info.node)
		forget(w, item->info.node);
	return below(w, 30) != 0 || item->info.node; /* what did not fit is taken back by the vfs */
}

static void list(struct worker *w, uint64_t dir)
{
	struct supafs_fault fault;
	uint64_t fh;
	int r = supafs_vfs_opendir(w->s->x->v, dir, &fh);

	check(w, r, "opendir");
	if (r != 0)
		return;
	check(w,
		supafs_vfs_readdir(w->s->x->v, &w->call,
			&(const struct supafs_dir_read){
				.fh = fh, .plus = below(w, 2), .add = add_node, .ctx = w},
			&fault),
		"readdir");
	check(w, supafs_vfs_fsyncdir(w->s->x->v, &w->call, fh, &fault), "fsyncdir");
	supafs_vfs_releasedir(w->s->x->v, fh);
}

static void rename_something(struct worker *w, uint64_t dir, const char *name, const char *to)
{
	const struct supafs_rename r = {.parent = dir,
		.new_parent = below(w, 2) ? dir : SUPAFS_ROOT_ID,
		.name = supafs_str_of(name),
		.new_name = supafs_str_of(to),
		.flags = below(w, 2)};
	struct supafs_fault fault;

	check(w, supafs_vfs_rename(w->s->x->v, &w->call, &r, &fault), "rename");
}

static void change_names(struct worker *w, uint64_t dir, const char *name)
{
	struct supafs_vfs *v = w->s->x->v;
	struct supafs_node_info info;
	struct supafs_fault fault;
	int r;

	if (below(w, 3)) {
		check(w,
			supafs_vfs_unlink(
				v, &w->call, dir, supafs_str_of(name), (pid_t)w->id, &fault),
			"unlink");
		return;
	}
	if (below(w, 2)) {
		check(w, supafs_vfs_rmdir(v, &w->call, SUPAFS_ROOT_ID, SUPAFS_STR("d1"), &fault),
			"rmdir");
		return;
	}
	r = supafs_vfs_mkdir(v, &w->call,
		&(const struct supafs_make){.parent = SUPAFS_ROOT_ID, .name = SUPAFS_STR("d1")},
		&info, &fault);
	check(w, r, "mkdir");
	if (r == 0)
		forget(w, info.node);
}

static void one_round(struct worker *w)
{
	static const char *const names[] = {"a", "b", "c", "d", ".e.aaaaaa"};
	static const char *const dirs[] = {"d0", "d1", "d2"};
	const char *name = names[below(w, 5)], *to = names[below(w, 5)];
	uint64_t dir = SUPAFS_ROOT_ID;

	if (look(w, SUPAFS_ROOT_ID, dirs[below(w, 3)], &dir) != 0)
		dir = SUPAFS_ROOT_ID;
	switch (below(w, 10)) {
	case 0:
	case 1:
	case 2:
		write_file(w, dir, name);
		break;
	case 3:
	case 4:
		read_file(w, dir, name);
		break;
	case 5:
		set_attr(w, dir, name);
		break;
	case 6:
		list(w, dir);
		break;
	case 7:
		rename_something(w, dir, name, to);
		break;
	case 8:
		rename_something(w, SUPAFS_ROOT_ID, dirs[below(w, 3)], dirs[below(w, 3)]);
		break;
	default:
		change_names(w, dir, name);
		break;
	}
	if (dir != SUPAFS_ROOT_ID)
		forget(w, dir);
}

static void *hammer(void *ctx)
{
	struct worker *w = ctx;

	supafs_call_init(&w->call, w->s->x->clock, 60000);
	for (unsigned i = 0; i < ROUNDS; i++)
		one_round(w);
	supafs_call_fini(&w->call);
	return NULL;
}

static void many_threads(void **state)
{
	const struct fx_config cfg = {.ttl_ms = 20, .real_clock = true};
	struct shared s = {.x = fx_new(&cfg)};
	struct worker workers[THREADS] = {0};
	pthread_t threads[THREADS];
	struct supafs_vfs_stats stats;

	(void)state;
	assert_int_equal(fx_mkdir(s.x, "d0"), 0);
	assert_int_equal(fx_mkdir(s.x, "d2"), 0);
	fx_fail(s.x, SUPAFS_OP_PUT, 100, 3, -EIO);
	fx_fail(s.x, SUPAFS_OP_MOVE, 20, 2, -EIO);
	fx_fail(s.x, SUPAFS_OP_GET, 50, 2, -EIO);
	for (unsigned i = 0; i < THREADS; i++) {
		workers[i].s = &s;
		workers[i].id = i;
		supafs_rng_init(&workers[i].rng, 1234 + i);
		assert_int_equal(pthread_create(&threads[i], NULL, hammer, &workers[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(s.bad, 0);
	supafs_vfs_stats(s.x->v, &stats);
	assert_int_equal(stats.handles, 0);
	(void)fx_free(s.x);
}

/* One file, all threads: each writes its own 1 KiB stripe and reads it back. */
struct stripe {
	struct fx *x;
	uint64_t node;
	unsigned id;
	bool ok;
};

static void *write_stripe(void *ctx)
{
	struct stripe *t = ctx;
	struct supafs_open_result open;
	struct supafs_fault fault;
	struct supafs_call call;
	char buf[1024], back[1024];

	supafs_call_init(&call, t->x->clock, 60000);
	memset(buf, 'A' + (int)t->id, sizeof(buf));
	t->ok = true;
	for (int i = 0; t->ok && i < 20; i++) {
		t->ok = supafs_vfs_open(t->x->v, &call, t->node, O_RDWR, &open, &fault) == 0;
		if (!t->ok)
			break;

		const struct supafs_span at = {
			.fh = open.fh, .off = t->id * sizeof(buf), .n = sizeof(buf)};

		t->ok = supafs_vfs_write(t->x->v, &call, &at, buf, &fault) == 0 &&
			supafs_vfs_read(t->x->v, &call, &at, back, &fault) ==
				(ssize_t)sizeof(back) &&
			memcmp(buf, back, sizeof(buf)) == 0 &&
			supafs_vfs_flush(t->x->v, &call, open.fh, &fault) == 0;
		supafs_vfs_release(t->x->v, open.fh);
	}
	supafs_call_fini(&call);
	return NULL;
}

static void one_file_many_writers(void **state)
{
	const struct fx_config cfg = {.ttl_ms = 5000, .real_clock = true};
	struct fx *x = fx_new(&cfg);
	struct stripe stripes[THREADS];
	pthread_t threads[THREADS];
	const char *text;
	uint64_t node;

	(void)state;
	assert_int_equal(fx_save(x, "f", "base"), 0);
	assert_int_equal(fx_path(x, "f", &node), 0);
	for (unsigned i = 0; i < THREADS; i++) {
		stripes[i] = (struct stripe){.x = x, .node = node, .id = i};
		assert_int_equal(pthread_create(&threads[i], NULL, write_stripe, &stripes[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		assert_true(stripes[i].ok);
	}
	supafs_vfs_forget(x->v, node, 1);
	fx_quiet(x);
	text = fx_server_text(x, "f");
	assert_int_equal(strlen(text), THREADS * 1024);
	for (unsigned i = 0; i < THREADS * 1024; i++)
		assert_int_equal(text[i], 'A' + (int)(i / 1024));
	assert_int_equal(fx_free(x), 0);
}

/* An interrupt ends a wait at once. */
struct waiter {
	struct fx *x;
	struct supafs_call call;
	uint64_t fh;
	_Atomic int result;
};

static void *read_slowly(void *ctx)
{
	struct waiter *w = ctx;
	struct supafs_fault fault;
	char c;

	w->result = (int)supafs_vfs_read(w->x->v, &w->call,
		&(const struct supafs_span){.fh = w->fh, .off = 0, .n = 1}, &c, &fault);
	return NULL;
}

static void cancelled_call_ends(void **state)
{
	const struct fx_config cfg = {.ttl_ms = 5000, .real_clock = true};
	struct waiter w = {.x = fx_new(&cfg), .result = 1};
	pthread_t thread;

	(void)state;
	fx_server_put(w.x, "f", "abc");
	supafs_call_init(&w.call, w.x->clock, 0);
	assert_int_equal(fx_open(w.x, "f", O_RDONLY, &w.fh), 0);
	supafs_call_cancel(&w.call);
	assert_int_equal(pthread_create(&thread, NULL, read_slowly, &w), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_true(w.result == -EINTR || w.result == 1);
	assert_int_equal(fx_close(w.x, w.fh), 0);
	supafs_call_fini(&w.call);
	assert_int_equal(fx_free(w.x), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(many_threads),
		cmocka_unit_test(one_file_many_writers),
		cmocka_unit_test(cancelled_call_ends),
	};

	return cmocka_run_group_tests_name("vfs_threads", tests, NULL, NULL);
}
