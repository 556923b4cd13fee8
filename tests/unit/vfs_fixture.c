/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the vfs share. */
#include "vfs_fixture.h"

#include <ftw.h>
#include <sched.h>
#include <unistd.h>

#define DRAIN_MS     20000
#define TEMP_DEFAULT ".*.??????:*~:.*.sw?:.goutputstream-*:4913"

static struct supafs_str str(const char *s)
{
	return supafs_str_of(s);
}

/* --- Life ----------------------------------------------------------------------------------------
 */

static void start(struct fx *x, const struct fx_config *cfg)
{
	const uint64_t ttl = cfg->ttl_ms == UINT64_MAX ? FX_TTL_MS : cfg->ttl_ms;
	const struct supafs_str root = str(cfg->root ? cfg->root : "");
	const struct supafs_catalog_config cat = {.store = x->top,
		.clock = x->clock,
		.root = root,
		.ttl_ms = ttl,
		.memory = 16U << 20};
	const struct supafs_data_config data = {.store = x->top,
		.clock = x->clock,
		.memory = 16U << 20,
		.ahead_max = 4U << 20,
		.threads = 8};
	struct supafs_vfs_config vfs = {.store = x->top,
		.clock = x->clock,
		.root = root,
		.bucket = &x->bucket,
		.ttl_ms = ttl,
		.uid = 1000,
		.gid = 100,
		.file_mode = 0644,
		.dir_mode = 0755,
		.read_only = cfg->read_only,
		.strict_names = cfg->strict,
		.rename_dir = !cfg->no_rename_dir,
		.rename_portion = cfg->rename_portion,
		.store_meta = !cfg->no_meta,
		.trusted = cfg->trusted,
		.meta_info = cfg->meta_info,
		.cache_control = "",
		.temp_patterns = cfg->temp ? cfg->temp : TEMP_DEFAULT,
		.writeback = cfg->writeback,
		.uploads = cfg->uploads,
		.poll_ms = cfg->poll_ms};

	assert_int_equal(supafs_spool_dir_open(x->dir, &x->spool), 0);
	x->lost = x->replayed = 0;
	if (cfg->journal)
		assert_int_equal(supafs_journal_open(x->spool, &x->journal, &x->lost), 0);
	vfs.spool = x->spool;
	vfs.journal = x->journal;
	assert_int_equal(supafs_catalog_new(&cat, &x->catalog), 0);
	assert_int_equal(supafs_data_new(&data, &x->data), 0);
	vfs.catalog = x->catalog;
	vfs.data = x->data;
	assert_int_equal(supafs_vfs_new(&vfs, &x->v), 0);
	assert_int_equal(supafs_vfs_replay(x->v, &x->replayed), 0);
}

static unsigned stop(struct fx *x, uint64_t drain_ms)
{
	unsigned left = 99;

	x->v = supafs_vfs_free(x->v, drain_ms, &left);
	x->data = supafs_data_free(x->data);
	x->catalog = supafs_catalog_free(x->catalog);
	x->journal = supafs_journal_free(x->journal);
	x->spool = supafs_spool_dir_free(x->spool);
	return left;
}

struct fx *fx_new(const struct fx_config *cfg)
{
	struct fx *x = calloc(1, sizeof(*x));

	assert_non_null(x);
	x->cfg = *cfg;
	supafs_fake_clock_init(
		&x->fake, 1000 * SUPAFS_NS_PER_S, INT64_C(1700000000) * SUPAFS_NS_PER_S);
	x->clock = cfg->real_clock ? supafs_clock_system() : &x->fake.base;
	(void)snprintf(x->dir, sizeof(x->dir), "/tmp/supafs-vfs-XXXXXX");
	assert_non_null(mkdtemp(x->dir));
	supafs_call_init(&x->call, x->clock, 0);
	x->bucket.size_limit = cfg->size_limit;
	supafs_buf_init(&x->bucket.mimes, 4096);
	if (cfg->mimes)
		(void)supafs_buf_adds(&x->bucket.mimes, cfg->mimes);
	assert_int_equal(supafs_store_new_memory(x->clock, &x->memory), 0);
	assert_int_equal(supafs_store_new_faulty(x->memory, &x->faulty), 0);
	assert_int_equal(supafs_store_new_stats(x->clock, x->faulty, &x->stats), 0);
	x->top = cfg->wrap ? cfg->wrap(x->stats) : x->stats;
	start(x, cfg);
	return x;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void)st;
	(void)kind;
	(void)at;
	return remove(path);
}

unsigned fx_free(struct fx *x)
{
	const unsigned left = stop(x, DRAIN_MS);

	(void)supafs_store_free(x->top);
	supafs_call_fini(&x->call);
	supafs_buf_fini(&x->bucket.mimes);
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): the threads of the test have ended */
	(void)nftw(x->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	free(x);
	return left;
}

unsigned fx_remount(struct fx *x)
{
	const unsigned left = stop(x, DRAIN_MS);

	start(x, &x->cfg);
	return left;
}

void fx_crash(struct fx *x, const struct fx_config *cfg)
{
	(void)stop(x, 0);
	if (cfg)
		x->cfg = *cfg;
	start(x, &x->cfg);
}

void fx_advance_ms(struct fx *x, int64_t ms)
{
	supafs_fake_clock_advance(&x->fake, ms * SUPAFS_NS_PER_MS);
}

/* --- Requests ------------------------------------------------------------------------------------
 */

/* A reader has its bytes before the window that brought them has ended and is counted. */
static void wait_for_windows(struct fx *x)
{
	const struct supafs_clock *clock = supafs_clock_system();
	const int64_t until = clock->mono_ns(clock) + 20 * SUPAFS_NS_PER_S;
	struct supafs_data_stats data;
	struct supafs_op_stats now[SUPAFS_OP__COUNT];

	do {
		(void)sched_yield();
		supafs_data_stats(x->data, &data);
		supafs_store_stats_read(x->stats, now);
		assert_true(clock->mono_ns(clock) < until);
	} while (now[SUPAFS_OP_GET].count < data.windows);
}

void fx_mark(struct fx *x)
{
	wait_for_windows(x);
	supafs_store_stats_read(x->stats, x->mark);
}

uint64_t fx_count(struct fx *x, enum supafs_op op)
{
	struct supafs_op_stats now[SUPAFS_OP__COUNT];

	wait_for_windows(x);
	supafs_store_stats_read(x->stats, now);
	return now[op].count - x->mark[op].count;
}

uint64_t fx_bytes(struct fx *x, enum supafs_op op)
{
	struct supafs_op_stats now[SUPAFS_OP__COUNT];

	supafs_store_stats_read(x->stats, now);
	return now[op].bytes - x->mark[op].bytes;
}

uint64_t fx_all(struct fx *x)
{
	uint64_t n = 0;

	for (int op = 0; op < SUPAFS_OP__COUNT; op++)
		n += fx_count(x, (enum supafs_op)op);
	return n;
}

void fx_fail(struct fx *x, enum supafs_op op, unsigned skip, unsigned times, int error)
{
	const struct supafs_faulty_rule rule = {.op = op,
		.skip = skip,
		.times = times,
		.error = error,
		.fault = {.class = SUPAFS_FAULT_PERMANENT, .status = 500, .text = "injected"}};

	supafs_store_faulty_add(x->faulty, &rule);
}

/* --- The other client
 * ----------------------------------------------------------------------------- */

struct bytes {
	const char *p;
	size_t n;
};

static ssize_t read_bytes(void *ctx, void *buf, size_t n, uint64_t off)
{
	const struct bytes *b = ctx;

	if (off >= b->n)
		return 0;
	if (n > b->n - off)
		n = b->n - off;
	memcpy(buf, b->p + off, n);
	return (ssize_t)n;
}

void fx_server_put_bytes(struct fx *x, const char *key, const void *p, size_t n)
{
	struct bytes b = {p, n};
	const struct supafs_put_args args = {
		.key = str(key), .size = n, .pread = read_bytes, .ctx = &b};
	unsigned char id[16];
	struct supafs_fault fault;

	assert_int_equal(x->memory->ops->put(x->memory, &x->call, &args, id, &fault), 0);
}

void fx_server_put(struct fx *x, const char *key, const char *text)
{
	fx_server_put_bytes(x, key, text, strlen(text));
}

void fx_server_remove(struct fx *x, const char *key)
{
	struct supafs_fault fault;

	assert_int_equal(x->memory->ops->remove(x->memory, &x->call, str(key), &fault), 0);
}

int fx_server_info(struct fx *x, const char *key, struct supafs_info *ret)
{
	struct supafs_fault fault;

	return x->memory->ops->info(x->memory, &x->call, str(key), ret, &fault);
}

bool fx_server_has(struct fx *x, const char *key)
{
	struct supafs_info info;

	return fx_server_info(x, key, &info) == 0;
}

struct sink {
	struct fx *x;
	size_t n;
};

static int take(void *ctx, const void *p, size_t n)
{
	struct sink *s = ctx;

	assert_true(s->n + n < sizeof(s->x->text));
	memcpy(s->x->text + s->n, p, n);
	s->n += n;
	return 0;
}

const char *fx_server_text(struct fx *x, const char *key)
{
	struct sink sink = {x, 0};
	struct supafs_info info;
	struct supafs_fault fault;

	if (fx_server_info(x, key, &info) != 0)
		return NULL;
	if (info.version.size > 0) {
		const struct supafs_get_args args = {.key = str(key),
			.length = info.version.size,
			.version = &info.version,
			.sink = {take, &sink}};

		assert_int_equal(x->memory->ops->get(x->memory, &x->call, &args, &fault), 0);
	}
	x->text[sink.n] = '\0';
	return x->text;
}

/* --- Operations
 * ------------------------------------------------------------------------------------ */

/* The folder of a path, and its last name. */
static int parent_of(
	struct fx *x, const char *path, uint64_t *ret_parent, struct supafs_str *ret_name)
{
	const char *slash = strrchr(path, '/');
	char head[512];

	if (!slash) {
		*ret_parent = SUPAFS_ROOT_ID;
		*ret_name = str(path);
		return 0;
	}
	(void)snprintf(head, sizeof(head), "%.*s", (int)(slash - path), path);
	*ret_name = str(slash + 1);
	return fx_path(x, head, ret_parent);
}

int fx_path(struct fx *x, const char *path, uint64_t *ret_node)
{
	struct supafs_node_info info = {.node = SUPAFS_ROOT_ID};

	while (*path) {
		const size_t n = strcspn(path, "/");
		const uint64_t parent = info.node;
		struct supafs_fault fault;
		int r = supafs_vfs_lookup(
			x->v, &x->call, parent, (struct supafs_str){path, n}, &info, &fault);

		if (parent != SUPAFS_ROOT_ID)
			supafs_vfs_forget(x->v, parent, 1);
		if (r != 0)
			return r;
		path += n;
		path += *path == '/';
	}
	*ret_node = info.node;
	return 0;
}

static void forget(struct fx *x, uint64_t node)
{
	if (node != SUPAFS_ROOT_ID)
		supafs_vfs_forget(x->v, node, 1);
}

int fx_stat(struct fx *x, const char *path, struct stat *ret)
{
	struct supafs_node_info info;
	struct supafs_fault fault;
	uint64_t node;
	int r = fx_path(x, path, &node);

	if (r != 0)
		return r;
	r = supafs_vfs_getattr(x->v, &x->call, node, &info, &fault);
	forget(x, node);
	if (r == 0)
		*ret = info.st;
	return r;
}

int fx_create(struct fx *x, const char *path, int flags, uint64_t *ret_fh)
{
	struct supafs_create cr = {.mode = 0640, .flags = flags | O_CREAT};
	struct supafs_open_result open = {0};
	struct supafs_node_info info;
	struct supafs_fault fault;
	int r = parent_of(x, path, &cr.parent, &cr.name);

	if (r != 0)
		return r;
	r = supafs_vfs_create(x->v, &x->call, &cr, &info, &open, &fault);
	forget(x, cr.parent);
	if (r == 0) {
		forget(x, info.node);
		*ret_fh = open.fh;
	}
	return r;
}

int fx_open(struct fx *x, const char *path, int flags, uint64_t *ret_fh)
{
	struct supafs_open_result open = {0};
	struct supafs_fault fault;
	uint64_t node;
	int r = fx_path(x, path, &node);

	if (r != 0)
		return r;
	r = supafs_vfs_open(x->v, &x->call, node, flags, &open, &fault);
	forget(x, node);
	if (r == 0)
		*ret_fh = open.fh;
	return r;
}

int fx_write(struct fx *x, uint64_t fh, const char *text, uint64_t off)
{
	struct supafs_fault fault;

	return supafs_vfs_write(x->v, &x->call,
		&(const struct supafs_span){.fh = fh, .off = off, .n = strlen(text)}, text, &fault);
}

ssize_t fx_read(struct fx *x, uint64_t fh, void *buf, size_t n, uint64_t off)
{
	struct supafs_fault fault;

	return supafs_vfs_read(x->v, &x->call,
		&(const struct supafs_span){.fh = fh, .off = off, .n = n}, buf, &fault);
}

void fx_expect(struct fx *x, uint64_t fh, uint64_t off, const char *text)
{
	char buf[4096] = {0};
	const size_t n = strlen(text);

	assert_true(n < sizeof(buf));
	assert_int_equal(fx_read(x, fh, buf, n, off), n);
	assert_string_equal(buf, text);
}

int fx_flush(struct fx *x, uint64_t fh)
{
	struct supafs_fault fault;

	return supafs_vfs_flush(x->v, &x->call, fh, &fault);
}

int fx_close(struct fx *x, uint64_t fh)
{
	const int r = fx_flush(x, fh);

	supafs_vfs_release(x->v, fh);
	return r;
}

int fx_save(struct fx *x, const char *path, const char *text)
{
	uint64_t fh;
	int r = fx_create(x, path, O_WRONLY | O_TRUNC, &fh);

	if (r != 0)
		return r;
	if (*text)
		r = fx_write(x, fh, text, 0);
	if (r != 0) {
		supafs_vfs_release(x->v, fh);
		return r;
	}
	return fx_close(x, fh);
}

const char *fx_cat(struct fx *x, const char *path)
{
	uint64_t fh;
	ssize_t n = fx_open(x, path, O_RDONLY, &fh);

	if (n == 0) {
		n = fx_read(x, fh, x->text, sizeof(x->text) - 1, 0);
		(void)fx_close(x, fh);
	}
	if (n < 0)
		(void)snprintf(x->text, sizeof(x->text), "!%s", strerrorname_np((int)-n));
	else
		x->text[n] = '\0';
	return x->text;
}

int fx_unlink(struct fx *x, const char *path, pid_t process)
{
	struct supafs_fault fault;
	struct supafs_str name;
	uint64_t parent;
	int r = parent_of(x, path, &parent, &name);

	if (r != 0)
		return r;
	r = supafs_vfs_unlink(x->v, &x->call, parent, name, process, &fault);
	forget(x, parent);
	return r;
}

int fx_mkdir(struct fx *x, const char *path)
{
	struct supafs_make mk = {.mode = 0755};
	struct supafs_node_info info;
	struct supafs_fault fault;
	int r = parent_of(x, path, &mk.parent, &mk.name);

	if (r != 0)
		return r;
	r = supafs_vfs_mkdir(x->v, &x->call, &mk, &info, &fault);
	forget(x, mk.parent);
	if (r == 0)
		forget(x, info.node);
	return r;
}

int fx_rmdir(struct fx *x, const char *path)
{
	struct supafs_fault fault;
	struct supafs_str name;
	uint64_t parent;
	int r = parent_of(x, path, &parent, &name);

	if (r != 0)
		return r;
	r = supafs_vfs_rmdir(x->v, &x->call, parent, name, &fault);
	forget(x, parent);
	return r;
}

int fx_rename(struct fx *x, const char *from, const char *to, unsigned flags)
{
	struct supafs_rename args = {.flags = flags};
	struct supafs_fault fault;
	int r = parent_of(x, from, &args.parent, &args.name);

	if (r != 0)
		return r;
	r = parent_of(x, to, &args.new_parent, &args.new_name);
	if (r == 0) {
		r = supafs_vfs_rename(x->v, &x->call, &args, &fault);
		forget(x, args.new_parent);
	}
	forget(x, args.parent);
	return r;
}

int fx_truncate(struct fx *x, const char *path, uint64_t size)
{
	const struct supafs_setattr set = {.which = SUPAFS_SET_SIZE, .size = size};
	struct supafs_node_info info;
	struct supafs_fault fault;
	uint64_t node;
	int r = fx_path(x, path, &node);

	if (r != 0)
		return r;
	r = supafs_vfs_setattr(x->v, &x->call, node, &set, &info, &fault);
	forget(x, node);
	return r;
}

/* --- Listings
 * --------------------------------------------------------------------------------------- */

struct names {
	char *p[4096];
	size_t n;
	uint64_t off;
};

static bool add_name(void *ctx, const struct supafs_dir_item *item)
{
	struct names *names = ctx;
	char text[300];

	names->off = item->next_off;
	if (strcmp(item->name, ".") == 0 || strcmp(item->name, "..") == 0)
		return true;
	assert_true(names->n < SUPAFS_ARRAY_LEN(names->p));
	(void)snprintf(
		text, sizeof(text), "%s%s", item->name, S_ISDIR(item->info.st.st_mode) ? "/" : "");
	names->p[names->n++] = strdup(text);
	return true;
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

const char *fx_ls(struct fx *x, const char *path)
{
	struct names *names = calloc(1, sizeof(*names));
	struct supafs_fault fault;
	uint64_t node, fh;
	size_t at = 0;
	int r = fx_path(x, path, &node);

	assert_non_null(names);
	if (r == 0) {
		r = supafs_vfs_opendir(x->v, node, &fh);
		forget(x, node);
	}
	if (r == 0) {
		r = supafs_vfs_readdir(x->v, &x->call,
			&(const struct supafs_dir_read){.fh = fh, .add = add_name, .ctx = names},
			&fault);
		supafs_vfs_releasedir(x->v, fh);
	}
	x->text[0] = '\0';
	if (r != 0)
		(void)snprintf(x->text, sizeof(x->text), "!%s", strerrorname_np(-r));
	if (names->n > 0)
		qsort(names->p, names->n, sizeof(*names->p), compare);
	for (size_t i = 0; i < names->n; i++) {
		at += (size_t)snprintf(
			x->text + at, sizeof(x->text) - at, "%s%s", i ? " " : "", names->p[i]);
		free(names->p[i]);
	}
	free(names);
	return x->text;
}

void fx_quiet(struct fx *x)
{
	const struct supafs_clock *clock = supafs_clock_system();
	const int64_t until = clock->mono_ns(clock) + 20 * SUPAFS_NS_PER_S;
	struct supafs_vfs_stats stats;

	do {
		(void)sched_yield();
		supafs_vfs_stats(x->v, &stats);
		assert_true(clock->mono_ns(clock) < until);
	} while (stats.dirty || stats.uploading || stats.gathered);
}
