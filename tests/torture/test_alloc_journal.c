/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The n-th allocation fails while a mount is brought up, while the journal takes a promise, and
 * while it is taken up again: no promise is lost, none is made that is not kept.
 *
 * The stack of the fixture is taken down and brought up again with a journal; "a crash" is an end
 * without waiting for uploads.
 */
#include <limits.h>

#include "supafs/cache/journal.h"

#include "runner.h"

#define CRASH_MS 0
#define DRAIN_MS 20000

static char big[100000]; /* more than a record takes in itself */

static void take_down(struct fx *x, uint64_t drain_ms, unsigned *ret_left)
{
	*ret_left = 0;
	x->v = supafs_vfs_free(x->v, drain_ms, ret_left);
	x->data = supafs_data_free(x->data);
	x->catalog = supafs_catalog_free(x->catalog);
	x->journal = supafs_journal_free(x->journal);
}

/* `broken`: by the way on which uploads fail. */
static int build(struct fx *x, bool broken)
{
	struct supafs_store *store = broken ? x->stats : x->memory;
	const struct supafs_catalog_config cat = {
		.store = store, .clock = x->clock, .ttl_ms = FX_TTL_MS, .memory = 16U << 20};
	const struct supafs_data_config data = {.store = store,
		.clock = x->clock,
		.memory = 16U << 20,
		.ahead_max = 4U << 20,
		.threads = 8};
	struct supafs_vfs_config vfs = {.store = store,
		.clock = x->clock,
		.spool = x->spool,
		.bucket = &x->bucket,
		.ttl_ms = FX_TTL_MS,
		.timeout_ms = 20000,
		.file_mode = 0644,
		.dir_mode = 0755,
		.rename_dir = true,
		.store_meta = true,
		.cache_control = "",
		.temp_patterns = ".*.??????",
		.writeback = broken,
		.uploads = 2};
	unsigned n;
	int r = supafs_journal_open(x->spool, &x->journal, &n);

	if (r == 0)
		r = supafs_catalog_new(&cat, &x->catalog);
	if (r == 0)
		r = supafs_data_new(&data, &x->data);
	vfs.catalog = x->catalog;
	vfs.data = x->data;
	vfs.journal = x->journal;
	if (r == 0)
		r = supafs_vfs_new(&vfs, &x->v);
	if (r == 0)
		r = supafs_vfs_replay(x->v, &n);
	return r;
}

/* All or nothing. */
static int bring_up(struct fx *x, bool broken)
{
	const int r = build(x, broken);
	unsigned left;

	if (r != 0)
		take_down(x, CRASH_MS, &left);
	return r;
}

static void finish(struct fx *x)
{
	unsigned left;

	take_down(x, DRAIN_MS, &left);
	assert_int_equal(left, 0);
}

/* --- Bringing up ----------------------------------------------------------------------------- */

static void prepare_start(struct fx *x)
{
	unsigned left;

	fx_server_put(x, "old", "old");
	take_down(x, DRAIN_MS, &left);
}

static int act_start(struct fx *x)
{
	return bring_up(x, false);
}

static void check_start(struct fx *x)
{
	assert_string_equal(fx_cat(x, "old"), "old");
	assert_int_equal(fx_save(x, "new", "new"), 0);
	assert_string_equal(fx_server_text(x, "new"), "new");
}

/* --- Promises -------------------------------------------------------------------------------- */

/* What is promised stays a promise. */
static const struct supafs_faulty_rule no_upload = {.op = SUPAFS_OP_PUT,
	.times = UINT_MAX,
	.error = -EIO,
	.fault = {.class = SUPAFS_FAULT_TRANSIENT, .status = 503, .text = "injected"}};

static void prepare_writeback(struct fx *x)
{
	prepare_start(x);
	assert_int_equal(bring_up(x, true), 0);
	supafs_store_faulty_add(x->faulty, &no_upload);
}

static int save_big(struct fx *x, const char *path)
{
	uint64_t fh;
	int r = fx_create(x, path, O_WRONLY | O_TRUNC, &fh);

	if (r != 0)
		return r;
	r = supafs_vfs_write(x->v, &x->call,
		&(const struct supafs_span){.fh = fh, .n = sizeof(big) - 1}, big, &x->fault);
	if (r != 0) {
		supafs_vfs_release(x->v, fh);
		return r;
	}
	return fx_close(x, fh);
}

static void arrive(struct fx *x)
{
	struct supafs_flush_state st;

	assert_int_equal(supafs_vfs_flush_all(x->v, &x->call, NULL, NULL, &st), 0);
	assert_int_equal(st.files, 0);
}

/* What was promised survives an end that waits for nothing. */
static void after_a_crash(struct fx *x)
{
	unsigned left;

	take_down(x, CRASH_MS, &left);
	assert_int_equal(bring_up(x, false), 0);
	arrive(x);
}

static int compare(void *ctx, const void *p, size_t n)
{
	size_t *at = ctx;

	assert_true(n <= sizeof(big) - 1 - *at);
	assert_memory_equal(p, big + *at, n);
	*at += n;
	return 0;
}

static void check_big(struct fx *x, const char *key)
{
	struct supafs_info info;
	struct supafs_fault fault;
	size_t at = 0;
	const struct supafs_get_args args = {.key = supafs_str_of(key),
		.length = sizeof(big) - 1,
		.version = &info.version,
		.sink = {compare, &at}};

	assert_int_equal(fx_server_info(x, key, &info), 0);
	assert_int_equal(x->memory->ops->get(x->memory, &x->call, &args, &fault), 0);
	assert_int_equal(at, sizeof(big) - 1);
}

static int act_promise(struct fx *x)
{
	int r = fx_save(x, "a", "small");

	return r == 0 ? save_big(x, "b") : r;
}

static void check_promise(struct fx *x)
{
	after_a_crash(x);
	assert_string_equal(fx_server_text(x, "a"), "small");
	check_big(x, "b");
	assert_string_equal(fx_ls(x, ""), "a b old");
}

/* The older promise stands until the newer one does. */
static void prepare_again(struct fx *x)
{
	prepare_writeback(x);
	assert_int_equal(fx_save(x, "a", "first"), 0);
}

static int act_again(struct fx *x)
{
	return fx_save(x, "a", "second");
}

static void check_again(struct fx *x)
{
	after_a_crash(x);
	assert_string_equal(fx_server_text(x, "a"), "second");
}

static int act_rename(struct fx *x)
{
	const int r = fx_rename(x, "a", "z", 0);
	struct stat st;

	return r == -ENOENT && fx_stat(x, "z", &st) == 0 ? 0 : r;
}

static void check_rename(struct fx *x)
{
	after_a_crash(x);
	assert_string_equal(fx_server_text(x, "z"), "first");
	assert_false(fx_server_has(x, "a"));
}

static int act_unlink(struct fx *x)
{
	const int r = fx_unlink(x, "a", 1);

	return r == -ENOENT ? 0 : r;
}

static void check_unlink(struct fx *x)
{
	after_a_crash(x);
	assert_false(fx_server_has(x, "a"));
	assert_string_equal(fx_ls(x, ""), "old");
}

/* --- Taking up ------------------------------------------------------------------------------- */

static void prepare_replay(struct fx *x)
{
	unsigned left;

	prepare_writeback(x);
	assert_int_equal(act_promise(x), 0);
	assert_int_equal(fx_save(x, "d.txt", "more"), 0);
	take_down(x, CRASH_MS, &left);
}

/* A record that could not be taken up is for the next mount. */
static void check_replay(struct fx *x)
{
	arrive(x);
	after_a_crash(x);
	assert_string_equal(fx_server_text(x, "a"), "small");
	assert_string_equal(fx_server_text(x, "d.txt"), "more");
	check_big(x, "b");
	assert_string_equal(fx_ls(x, ""), "a b d.txt old");
}

static const struct path paths[] = {
	{"start", prepare_start, act_start, check_start, finish, false},
	{"promise", prepare_writeback, act_promise, check_promise, finish, true},
	{"promise_again", prepare_again, act_again, check_again, finish, true},
	{"promise_renamed", prepare_again, act_rename, check_rename, finish, true},
	{"promise_unlinked", prepare_again, act_unlink, check_unlink, finish, true},
	{"replay", prepare_replay, act_start, check_replay, finish, true},
};

int main(int argc, char **argv)
{
	for (size_t i = 0; i + 1 < sizeof(big); i++)
		big[i] = (char)('a' + i % 25 + i / 7000 % 2);
	return run_paths(paths, SUPAFS_ARRAY_LEN(paths), argc > 1 ? argv[1] : NULL);
}
