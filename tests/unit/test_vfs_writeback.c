/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Promises: what close() has said stays true through failures, crashes, writes, renames and
 * deletes; and when it is told, sent, tried again and given up. "A crash" is fx_crash().
 */
#include <sched.h>

#include "supafs/util/lock.h"

#include "layer_priv.h"
#include "vfs_fixture.h"

/* --- A layer that keeps uploads waiting ---------------------------------------------------------
 */

struct gate {
	struct supafs_layer layer;
	struct supafs_mutex lock;
	struct supafs_cond cond; /* lock; broadcast at each change */
	bool closed;             /* lock */
	unsigned inside, most;   /* lock */
};

static struct gate *gate_of(struct supafs_layer *l)
{
	return (struct gate *)(void *)l;
}

static int gate_before(struct supafs_layer *l, struct supafs_layer_op *o)
{
	const struct supafs_clock *clock = supafs_clock_system();
	struct gate *g = gate_of(l);
	int r = 0;

	if (o->op != SUPAFS_OP_PUT)
		return 0;
	SUPAFS_SCOPED_LOCK(&g->lock);
	if (++g->inside > g->most)
		g->most = g->inside;
	supafs_cond_broadcast(&g->cond);
	while (g->closed && r == 0) {
		(void)supafs_cond_wait_until(
			&g->cond, &g->lock, clock->mono_ns(clock) + SUPAFS_NS_PER_MS);
		r = supafs_call_check(o->call);
	}
	g->inside--;
	if (r != 0)
		*o->fault = (struct supafs_fault){
			.class = SUPAFS_FAULT_PERMANENT, .retry_after_ms = -1};
	return r;
}

static int gate_after(struct supafs_layer *l, struct supafs_layer_op *o, int r)
{
	(void)l;
	(void)o;
	return r;
}

static void gate_fini(struct supafs_layer *l)
{
	supafs_cond_fini(&gate_of(l)->cond);
	supafs_mutex_fini(&gate_of(l)->lock);
}

static const struct supafs_layer_hooks gate_hooks = {gate_before, gate_after, gate_fini};
static const struct supafs_store_ops gate_ops = SUPAFS_LAYER_OPS("gate");

static struct supafs_store *gate_new(struct supafs_store *inner)
{
	struct gate *g = calloc(1, sizeof(*g));

	assert_non_null(g);
	g->layer = (struct supafs_layer){{&gate_ops}, inner, &gate_hooks};
	supafs_mutex_init(&g->lock);
	supafs_cond_init(&g->cond);
	return &g->layer.base;
}

static struct gate *the_gate(struct fx *x)
{
	return (struct gate *)(void *)x->top;
}

static void shut(struct fx *x, bool closed)
{
	struct gate *g = the_gate(x);

	SUPAFS_SCOPED_LOCK(&g->lock);
	g->closed = closed;
	supafs_cond_broadcast(&g->cond);
}

/* Until so many uploads stand before the gate. */
static void await(struct fx *x, unsigned n)
{
	const struct supafs_clock *clock = supafs_clock_system();
	const int64_t until = clock->mono_ns(clock) + 20 * SUPAFS_NS_PER_S;
	struct gate *g = the_gate(x);

	SUPAFS_SCOPED_LOCK(&g->lock);
	while (g->inside != n) {
		(void)supafs_cond_wait_until(
			&g->cond, &g->lock, clock->mono_ns(clock) + SUPAFS_NS_PER_MS);
		assert_true(clock->mono_ns(clock) < until);
	}
}

/* --- Set-up --------------------------------------------------------------------------------------
 */

static const struct fx_config back = {
	.ttl_ms = UINT64_MAX, .journal = true, .writeback = true, .uploads = 4, .wrap = gate_new};
static const struct fx_config through = {
	.ttl_ms = UINT64_MAX, .journal = true, .uploads = 4, .wrap = gate_new};
static const struct fx_config readonly = {
	.ttl_ms = UINT64_MAX, .journal = true, .read_only = true, .uploads = 4, .wrap = gate_new};

static int setup_back(void **state)
{
	*state = fx_new(&back);
	return 0;
}

static int setup_through(void **state)
{
	*state = fx_new(&through);
	return 0;
}

static int teardown(void **state)
{
	shut(*state, false); /* after a failure */
	assert_int_equal(fx_free(*state), 0);
	return 0;
}

/* --- What is pending -----------------------------------------------------------------------------
 */

struct listing {
	char text[1024]; /* "path:state:size:tries:error," sorted by nothing */
	uint64_t id;     /* of the last one */
	unsigned n;
};

static int list_one(void *ctx, const struct supafs_pending *p)
{
	struct listing *l = ctx;
	const size_t at = strlen(l->text);

	(void)snprintf(l->text + at, sizeof(l->text) - at, "%s:%s:%" PRIu64 ":%u:%d,", p->path,
		p->state, p->size, p->tries, p->error);
	assert_true(p->since_ns > 0);
	l->id = p->id;
	l->n++;
	return 0;
}

static struct listing pending(struct fx *x)
{
	struct listing l = {.text = ""};

	assert_int_equal(supafs_vfs_pending(x->v, list_one, &l), 0);
	return l;
}

/* Until that is what is pending. */
static void await_pending(struct fx *x, const char *text)
{
	const struct supafs_clock *clock = supafs_clock_system();
	const int64_t until = clock->mono_ns(clock) + 20 * SUPAFS_NS_PER_S;
	struct listing l;

	do {
		(void)sched_yield();
		l = pending(x);
		if (clock->mono_ns(clock) >= until)
			assert_string_equal(l.text, text);
	} while (strcmp(l.text, text) != 0);
}

static int flush_all(struct fx *x, struct supafs_flush_state *st)
{
	return supafs_vfs_flush_all(x->v, &x->call, NULL, NULL, st);
}

static void fail_passing(struct fx *x, enum supafs_op op, unsigned times, int error)
{
	const struct supafs_faulty_rule rule = {.op = op,
		.times = times,
		.error = error,
		.fault = {.class = SUPAFS_FAULT_TRANSIENT,
			.status = 503,
			.retry_after_ms = -1,
			.text = "away"}};

	supafs_store_faulty_add(x->faulty, &rule);
}

/* The server has done it, and the answer was lost. */
static void lose_answer(struct fx *x, enum supafs_op op, int error)
{
	const struct supafs_faulty_rule rule = {.op = op,
		.times = 1,
		.after = true,
		.error = error,
		.fault = {
			.class = SUPAFS_FAULT_TRANSIENT, .ambiguous = true, .retry_after_ms = -1}};

	supafs_store_faulty_add(x->faulty, &rule);
}

/* --- Write-back ----------------------------------------------------------------------------------
 */

static void close_asks_nobody(void **state)
{
	struct fx *x = *state;
	struct supafs_flush_state st;
	struct supafs_info info;

	shut(x, true);
	assert_int_equal(fx_save(x, "a.json", "first"), 0);
	await_pending(x, "a.json:uploading:5:0:0,");
	assert_false(fx_server_has(x, "a.json"));
	assert_string_equal(fx_cat(x, "a.json"), "first");
	shut(x, false);
	assert_int_equal(flush_all(x, &st), 0);
	assert_int_equal(st.files, 0);
	assert_string_equal(fx_server_text(x, "a.json"), "first");
	assert_int_equal(pending(x).n, 0);
	assert_int_equal(fx_server_info(x, "a.json", &info), 0);
	assert_int_equal(info.meta.mode, 0640);
	assert_string_equal(info.mime, "application/json");
	assert_int_equal(fx_count(x, SUPAFS_OP_PUT), 1);
	assert_int_equal(fx_count(x, SUPAFS_OP_INFO), 0); /* nothing is looked at without need */
}

static void as_many_at_once_as_told(void **state)
{
	struct fx *x = *state;
	struct supafs_flush_state st;
	char name[16];

	shut(x, true);
	for (int i = 0; i < 12; i++) {
		(void)snprintf(name, sizeof(name), "f%02d", i);
		assert_int_equal(fx_save(x, name, name), 0);
	}
	await(x, 4);
	shut(x, false);
	assert_int_equal(flush_all(x, &st), 0);
	assert_int_equal(the_gate(x)->most, 4);
	for (int i = 0; i < 12; i++) {
		(void)snprintf(name, sizeof(name), "f%02d", i);
		assert_string_equal(fx_server_text(x, name), name);
	}
}

static void survives_a_crash(void **state)
{
	struct fx *x = *state;
	struct supafs_flush_state st;
	struct supafs_info info;
	struct stat attr;

	assert_int_equal(fx_mkdir(x, "d"), 0);
	shut(x, true);
	assert_int_equal(fx_save(x, "d/new=20name", "promised"), 0);
	assert_int_equal(fx_save(x, "empty", ""), 0);
	fx_crash(x, &through);
	assert_int_equal(x->replayed, 2);
	assert_int_equal(x->lost, 0);
	assert_int_equal(fx_stat(x, "d/new=20name", &attr), 0); /* before it is sent */
	assert_int_equal(attr.st_size, 8);
	assert_int_equal(attr.st_mode, S_IFREG | 0640);
	shut(x, false);
	assert_int_equal(flush_all(x, &st), 0);
	assert_string_equal(fx_cat(x, "d/new=20name"), "promised");
	assert_string_equal(fx_ls(x, ""), "d/ empty");
	assert_int_equal(fx_server_info(x, "empty", &info), 0);
	assert_int_equal(info.meta.mtime_ns, INT64_C(1700000000) * SUPAFS_NS_PER_S);
	fx_crash(x, NULL);
	assert_int_equal(x->replayed, 0); /* the records have gone */
	assert_int_equal(x->lost, 0);
}

static void a_promise_binds_a_mount_that_may_not_write(void **state)
{
	struct fx *x = *state;
	struct supafs_flush_state st;

	shut(x, true);
	assert_int_equal(fx_save(x, "f", "promised"), 0);
	fx_crash(x, &readonly);
	shut(x, false);
	assert_int_equal(flush_all(x, &st), 0);
	assert_string_equal(fx_server_text(x, "f"), "promised");
}

static void the_folder_may_be_gone(void **state)
{
	struct fx *x = *state;
	struct supafs_flush_state st;

	assert_int_equal(fx_mkdir(x, "d"), 0);
	shut(x, true);
	assert_int_equal(fx_save(x, "d/f", "promised"), 0);
	fx_server_remove(x, "d/.emptyFolderPlaceholder");
	fx_crash(x, NULL);
	assert_string_equal(fx_cat(x, "d/f"), "promised");
	shut(x, false);
	assert_int_equal(flush_all(x, &st), 0);
	assert_string_equal(fx_server_text(x, "d/f"), "promised");
}

/* close → reopen → half a write → crash: the old content, whole. */
static void half_a_write_is_not_promised(void **state)
{
	static const struct {
		const char *text;
		uint64_t off;
		int flags;
	} change[] = {
		{"XX", 2, O_RDWR},        /* inside: the spool becomes a clone */
		{" and more", 8, O_RDWR}, /* behind: the same file goes on */
		{" and more", 0, O_WRONLY | O_APPEND},
		{"new", 0, O_WRONLY | O_TRUNC}, /* nothing of it: an empty one */
	};
	struct fx *x = *state;
	uint64_t fh;

	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(change); i++) {
		shut(x, true);
		assert_int_equal(fx_save(x, "f", "promised"), 0);
		assert_int_equal(fx_open(x, "f", change[i].flags, &fh), 0);
		assert_int_equal(fx_write(x, fh, change[i].text, change[i].off), 0);
		fx_crash(x, NULL);
		assert_int_equal(x->replayed, 1);
		assert_string_equal(fx_cat(x, "f"), "promised");
	}
	shut(x, false);
}

/* Append, then inside of what was promised. */
static void appended_and_then_changed(void **state)
{
	struct fx *x = *state;
	struct supafs_flush_state st;
	uint64_t fh;

	shut(x, true);
	assert_int_equal(fx_save(x, "f", "promised"), 0);
	assert_int_equal(fx_open(x, "f", O_RDWR, &fh), 0);
	assert_int_equal(fx_write(x, fh, " and more", 8), 0);
	assert_int_equal(fx_write(x, fh, "PRO", 0), 0);
	fx_expect(x, fh, 0, "PROmised and more");
	fx_crash(x, NULL);
	assert_string_equal(fx_cat(x, "f"), "promised");

	assert_int_equal(fx_open(x, "f", O_RDWR, &fh), 0);
	assert_int_equal(fx_write(x, fh, " and more", 8), 0);
	assert_int_equal(fx_write(x, fh, "PRO", 0), 0);
	assert_int_equal(fx_close(x, fh), 0);
	fx_crash(x, NULL);
	assert_string_equal(fx_cat(x, "f"), "PROmised and more");
	shut(x, false);
	assert_int_equal(flush_all(x, &st), 0);
	assert_string_equal(fx_server_text(x, "f"), "PROmised and more");
	fx_crash(x, NULL);
	assert_int_equal(x->replayed, 0);
	assert_int_equal(x->lost, 0);
}

static void a_newer_close_takes_the_place(void **state)
{
	struct fx *x = *state;
	struct supafs_flush_state st;

	shut(x, true);
	assert_int_equal(fx_save(x, "f", "one"), 0);
	assert_int_equal(fx_save(x, "f", "two, longer"), 0);
	assert_int_equal(fx_save(x, "f", "3"), 0);
	fx_crash(x, NULL);
	assert_int_equal(x->replayed, 1);
	assert_int_equal(x->lost, 0);
	assert_string_equal(fx_cat(x, "f"), "3");
	shut(x, false);
	assert_int_equal(flush_all(x, &st), 0);
	assert_string_equal(fx_server_text(x, "f"), "3");
}

static void a_large_file_too(void **state)
{
	static char big[300000];
	struct fx *x = *state;
	struct supafs_flush_state st;
	uint64_t fh;

	memset(big, 'b', sizeof(big) - 1);
	shut(x, true);
	assert_int_equal(fx_save(x, "f", big), 0);
	assert_int_equal(fx_open(x, "f", O_RDWR, &fh), 0);
	assert_int_equal(fx_write(x, fh, "XYZ", 150000), 0); /* a clone */
	fx_expect(x, fh, 149999, "bXYZb");
	fx_crash(x, NULL);
	assert_int_equal(fx_open(x, "f", O_RDWR, &fh), 0);
	fx_expect(x, fh, 149999, "bbbbb");
	assert_int_equal(fx_write(x, fh, "end", sizeof(big) - 1), 0);
	assert_int_equal(fx_close(x, fh), 0);
	shut(x, false);
	assert_int_equal(flush_all(x, &st), 0);
	assert_int_equal(fx_open(x, "f", O_RDONLY, &fh), 0);
	fx_expect(x, fh, sizeof(big) - 3, "bbend");
	assert_int_equal(fx_close(x, fh), 0);
}

/* A part of an object: what was not written is of the version that was there. */
static void over_an_object(void **state)
{
	struct fx *x = *state;
	struct supafs_flush_state st;
	uint64_t fh;

	fx_server_put(x, "f", "0123456789");
	shut(x, true);
	assert_int_equal(fx_open(x, "f", O_WRONLY, &fh), 0);
	assert_int_equal(fx_write(x, fh, "XX", 4), 0);
	assert_int_equal(fx_close(x, fh), 0);
	fx_crash(x, &through);
	assert_string_equal(fx_cat(x, "f"), "0123XX6789");
	shut(x, false);
	assert_int_equal(flush_all(x, &st), 0);
	assert_string_equal(fx_server_text(x, "f"), "0123XX6789");
}

/* … and when that one has gone, nothing is mixed, and nothing is lost. */
static void over_an_object_that_has_changed(void **state)
{
	struct fx *x = *state;
	struct supafs_flush_state st;
	uint64_t fh;

	fx_server_put(x, "f", "0123456789");
	shut(x, true);
	assert_int_equal(fx_open(x, "f", O_WRONLY, &fh), 0);
	assert_int_equal(fx_write(x, fh, "XX", 4), 0);
	assert_int_equal(fx_close(x, fh), 0);
	fx_server_put(x, "f", "another one");
	fx_crash(x, NULL);
	shut(x, false);
	assert_int_equal(flush_all(x, &st), -EIO);
	assert_int_equal(st.failed, 1);
	assert_string_equal(fx_server_text(x, "f"), "another one");
	assert_non_null(strstr(pending(x).text, "f:failed:10:"));
	assert_non_null(strstr(pending(x).text, ":116,"));
	assert_int_equal(supafs_vfs_drop(x->v, &x->call, pending(x).id), 0);
	assert_string_equal(fx_cat(x, "f"), "another one");
}

/* --- The answer that was lost --------------------------------------------------------------------
 */

static void what_has_arrived_is_not_sent_again(void **state)
{
	struct fx *x = *state;
	struct supafs_flush_state st;
	struct supafs_info before, after;

	lose_answer(x, SUPAFS_OP_PUT, -EIO);
	assert_int_equal(fx_save(x, "f", "once"), 0);
	await_pending(x, "f:failed:4:1:5,");
	assert_int_equal(fx_server_info(x, "f", &before), 0);
	fx_mark(x);
	fx_crash(x, NULL);
	assert_int_equal(flush_all(x, &st), 0);
	assert_int_equal(fx_count(x, SUPAFS_OP_PUT), 0);
	assert_int_equal(fx_count(x, SUPAFS_OP_INFO), 1);
	assert_int_equal(fx_server_info(x, "f", &after), 0);
	assert_string_equal(before.generation, after.generation);
	assert_string_equal(fx_cat(x, "f"), "once");
}

/* The same within one process. */
static void nor_by_the_next_try(void **state)
{
	struct fx *x = *state;

	lose_answer(x, SUPAFS_OP_PUT, -EIO);
	assert_int_equal(fx_save(x, "f", "once"), 0);
	await_pending(x, "f:failed:4:1:5,");
	fx_mark(x);
	assert_int_equal(supafs_vfs_retry(x->v, 0), 1);
	await_pending(x, "");
	assert_int_equal(fx_count(x, SUPAFS_OP_PUT), 0);
	assert_string_equal(fx_server_text(x, "f"), "once");
}

/* Killed after the upload of newer bytes and before its record: they are looked for. */
static void older_bytes_do_not_win(void **state)
{
	struct fx *x = *state;
	struct supafs_flush_state st;
	uint64_t fh;

	shut(x, true);
	assert_int_equal(fx_save(x, "f", "older"), 0);
	assert_int_equal(fx_open(x, "f", O_WRONLY | O_TRUNC, &fh), 0);
	assert_int_equal(fx_write(x, fh, "newer", 0), 0);
	shut(x, false);
	lose_answer(x, SUPAFS_OP_PUT, -EIO);
	assert_int_equal(supafs_vfs_fsync(x->v, &x->call, fh, &x->fault), -EIO);
	assert_string_equal(fx_server_text(x, "f"), "newer");
	fx_crash(x, NULL);
	assert_int_equal(flush_all(x, &st), 0);
	assert_string_equal(fx_server_text(x, "f"), "newer");
}

/* --- Names ---------------------------------------------------------------------------------------
 */

static void unlinked_is_never_sent(void **state)
{
	struct fx *x = *state;

	shut(x, true);
	assert_int_equal(fx_save(x, "f", "gone"), 0);
	assert_int_equal(fx_save(x, "g", "gone as well"), 0);
	await(x, 2);
	assert_int_equal(fx_unlink(x, "f", 1), 0); /* does not wait for its upload */
	assert_int_equal(fx_unlink(x, "g", 1), 0);
	fx_crash(x, NULL);
	assert_int_equal(x->replayed, 0);
	assert_int_equal(x->lost, 0);
	shut(x, false);
	assert_string_equal(fx_ls(x, ""), "");
	assert_false(fx_server_has(x, "f"));
}

static void renamed_in_the_journal(void **state)
{
	struct fx *x = *state;
	struct supafs_flush_state st;

	assert_int_equal(fx_mkdir(x, "d"), 0);
	shut(x, true);
	assert_int_equal(fx_save(x, "f", "text"), 0);
	await(x, 1);
	fx_mark(x);
	assert_int_equal(fx_rename(x, "f", "d/g", 0), 0); /* asks for nothing but listings */
	for (int op = 0; op < SUPAFS_OP__COUNT; op++)
		if (op != SUPAFS_OP_LIST)
			assert_int_equal(fx_count(x, (enum supafs_op)op), 0);
	fx_crash(x, NULL);
	assert_int_equal(x->replayed, 1);
	assert_string_equal(fx_cat(x, "d/g"), "text");
	assert_int_equal(fx_stat(x, "f", &(struct stat){0}), -ENOENT);
	shut(x, false);
	assert_int_equal(flush_all(x, &st), 0);
	assert_string_equal(fx_server_text(x, "d/g"), "text");
	assert_false(fx_server_has(x, "f"));
}

static void renamed_over_a_promise(void **state)
{
	struct fx *x = *state;
	struct supafs_flush_state st;

	shut(x, true);
	assert_int_equal(fx_save(x, "b", "was here, closed last"), 0);
	assert_int_equal(fx_save(x, "a", "comes"), 0);
	assert_int_equal(fx_save(x, "b", "was here, closed last"), 0);
	assert_int_equal(fx_rename(x, "a", "b", 0), 0);
	fx_crash(x, NULL);
	assert_int_equal(x->replayed, 1);
	assert_string_equal(fx_ls(x, ""), "b");
	assert_string_equal(fx_cat(x, "b"), "comes");
	shut(x, false);
	assert_int_equal(flush_all(x, &st), 0);
	assert_string_equal(fx_server_text(x, "b"), "comes");
}

/* An object of the server's over a name that is promised to another one. */
static void an_object_over_a_promise(void **state)
{
	struct fx *x = *state;
	struct supafs_flush_state st;

	fx_server_put(x, "a", "comes");
	shut(x, true);
	assert_int_equal(fx_save(x, "b", "was here"), 0);
	assert_int_equal(fx_rename(x, "a", "b", 0), 0);
	fx_crash(x, NULL);
	assert_int_equal(x->replayed, 0);
	shut(x, false);
	assert_int_equal(flush_all(x, &st), 0);
	assert_string_equal(fx_ls(x, ""), "b");
	assert_string_equal(fx_server_text(x, "b"), "comes");
}

static void below_a_renamed_folder(void **state)
{
	struct fx *x = *state;
	struct supafs_flush_state st;
	uint64_t fh;

	assert_int_equal(fx_mkdir(x, "d"), 0);
	shut(x, true);
	assert_int_equal(fx_save(x, "d/f", "text"), 0);
	assert_int_equal(fx_save(x, "d/g", "promised"), 0);
	assert_int_equal(fx_open(x, "d/g", O_RDWR, &fh), 0);
	assert_int_equal(fx_write(x, fh, " and more", 8), 0);
	shut(x, false);
	assert_int_equal(flush_all(x, &st), 0);
	shut(x, true);
	assert_int_equal(fx_write(x, fh, "!", 0), 0);
	assert_int_equal(fx_flush(x, fh), 0);
	assert_int_equal(fx_write(x, fh, "?", 0), 0); /* promised: "!romised and more" */
	assert_int_equal(fx_rename(x, "d", "e", 0), 0);
	fx_crash(x, NULL);
	assert_string_equal(fx_cat(x, "e/g"), "!romised and more");
	assert_int_equal(fx_stat(x, "d", &(struct stat){0}), -ENOENT);
	shut(x, false);
	assert_int_equal(flush_all(x, &st), 0);
	assert_string_equal(fx_server_text(x, "e/g"), "!romised and more");
	assert_false(fx_server_has(x, "d/g"));
}

static void attributes_are_promised_too(void **state)
{
	const struct supafs_setattr set = {.which = SUPAFS_SET_MODE | SUPAFS_SET_MTIME,
		.mode = 0600,
		.mtime_ns = 12345 * SUPAFS_NS_PER_S};
	struct fx *x = *state;
	struct supafs_flush_state st;
	struct supafs_node_info info;
	struct supafs_info at;
	uint64_t node;

	shut(x, true);
	assert_int_equal(fx_save(x, ".f.abcdef", "text"), 0); /* held: nobody sends it */
	assert_int_equal(fx_path(x, ".f.abcdef", &node), 0);
	assert_int_equal(supafs_vfs_setattr(x->v, &x->call, node, &set, &info, &x->fault), 0);
	supafs_vfs_forget(x->v, node, 1);
	fx_crash(x, NULL);
	await_pending(x, ".f.abcdef:held:4:0:0,");
	assert_int_equal(fx_rename(x, ".f.abcdef", "f", 0), 0);
	shut(x, false);
	assert_int_equal(flush_all(x, &st), 0);
	assert_int_equal(fx_server_info(x, "f", &at), 0);
	assert_int_equal(at.meta.mode, 0600);
	assert_int_equal(at.meta.mtime_ns, 12345 * SUPAFS_NS_PER_S);
}

/* --- Temporary names -----------------------------------------------------------------------------
 */

static void held_is_a_promise(void **state)
{
	struct fx *x = *state;
	struct supafs_flush_state st;

	fx_mark(x);
	assert_int_equal(fx_save(x, ".f.abcdef", "text"), 0);
	assert_int_equal(fx_count(x, SUPAFS_OP_PUT), 0);
	await_pending(x, ".f.abcdef:held:4:0:0,");
	fx_crash(x, NULL);
	assert_int_equal(x->replayed, 1);
	await_pending(x, ".f.abcdef:held:4:0:0,");
	assert_int_equal(flush_all(x, &st), 0); /* not of those that are flushed */
	assert_int_equal(fx_count(x, SUPAFS_OP_PUT), 0);
	assert_int_equal(fx_rename(x, ".f.abcdef", "f", 0), 0);
	assert_string_equal(fx_server_text(x, "f"), "text"); /* not write-back: it is there */
	fx_crash(x, NULL);
	assert_int_equal(x->replayed, 0);
	assert_int_equal(x->lost, 0);
}

static void held_is_published_at_the_end(void **state)
{
	struct fx *x = *state;

	assert_int_equal(fx_save(x, ".f.abcdef", "text"), 0);
	assert_int_equal(fx_remount(x), 0);
	assert_string_equal(fx_server_text(x, ".f.abcdef"), "text");
	assert_int_equal(x->replayed, 0);
}

static void fsync_of_a_temporary_name(void **state)
{
	struct fx *x = *state;
	uint64_t fh;

	assert_int_equal(fx_create(x, ".f.abcdef", O_WRONLY, &fh), 0);
	assert_int_equal(fx_write(x, fh, "synced", 0), 0);
	assert_int_equal(supafs_vfs_fsync(x->v, &x->call, fh, &x->fault), 0);
	assert_int_equal(fx_write(x, fh, "SYN", 0), 0);
	fx_crash(x, NULL);
	assert_string_equal(fx_cat(x, ".f.abcdef"), "synced");
}

/* A publishing rename that fails leaves the file as it was, also for the next mount. */
static void a_rename_that_fails(void **state)
{
	struct fx *x = *state;

	assert_int_equal(fx_save(x, ".f.abcdef", "text"), 0);
	fx_fail(x, SUPAFS_OP_PUT, 0, 1, -EACCES);
	assert_int_equal(fx_rename(x, ".f.abcdef", "f", 0), -EACCES);
	await_pending(x, ".f.abcdef:held:4:1:13,");
	fx_crash(x, NULL);
	await_pending(x, ".f.abcdef:held:4:1:13,");
	assert_false(fx_server_has(x, "f"));
	assert_int_equal(fx_stat(x, "f", &(struct stat){0}), -ENOENT);
}

/* --- Without write-back --------------------------------------------------------------------------
 */

static void close_still_waits(void **state)
{
	struct fx *x = *state;

	assert_int_equal(fx_save(x, "f", "text"), 0);
	assert_string_equal(fx_server_text(x, "f"), "text");
	fx_fail(x, SUPAFS_OP_PUT, 0, 1, -EACCES);
	assert_int_equal(fx_save(x, "f", "refused"), -EACCES);
	assert_string_equal(fx_server_text(x, "f"), "text");
	await_pending(x, "f:failed:7:1:13,");
	fx_advance_ms(x, 3600 * 1000); /* a refusal does not pass by itself */
	await_pending(x, "f:failed:7:1:13,");
	fx_crash(x, NULL);
	assert_int_equal(x->replayed, 1); /* the next mount tries again */
	await_pending(x, "");
	assert_string_equal(fx_server_text(x, "f"), "refused");
}

static void an_empty_file_closed_once(void **state)
{
	struct fx *x = *state;
	uint64_t fh;

	assert_int_equal(fx_create(x, "f", O_WRONLY, &fh), 0);
	assert_int_equal(fx_flush(x, fh), 0); /* has said 0, and sent nothing */
	fx_crash(x, NULL);
	assert_int_equal(x->replayed, 1);
	await_pending(x, "");
	assert_string_equal(fx_server_text(x, "f"), "");

	fail_passing(x, SUPAFS_OP_PUT, 1, -EIO); /* the release's upload */
	assert_int_equal(fx_create(x, "g", O_WRONLY, &fh), 0);
	assert_int_equal(fx_close(x, fh), 0);
	await_pending(x, "g:failed:0:1:5,");
	fx_advance_ms(x, 5001);
	await_pending(x, "");
	assert_string_equal(fx_server_text(x, "g"), "");
}

static void what_passes_is_tried_again(void **state)
{
	struct fx *x = *state;
	const char *const times[] = {"f:failed:4:2:5,", "f:failed:4:3:5,", "f:failed:4:4:5,"};

	fail_passing(x, SUPAFS_OP_PUT, 4, -EIO);
	assert_int_equal(fx_save(x, "f", "text"), -EIO);
	await_pending(x, "f:failed:4:1:5,");
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(times); i++) {
		/* 5 s, doubling, up to a quarter less */
		fx_advance_ms(x, (INT64_C(5000) << i) * 3 / 4 - 10);
		assert_string_not_equal(pending(x).text, times[i]);
		fx_advance_ms(x, (INT64_C(5000) << i) / 4 + 11);
		await_pending(x, times[i]);
	}
	fx_advance_ms(x, 40001);
	await_pending(x, "");
	assert_string_equal(fx_server_text(x, "f"), "text");
}

/* One that gets through shows that the server is there. */
static void a_success_wakes_the_others(void **state)
{
	struct fx *x = *state;

	fail_passing(x, SUPAFS_OP_PUT, 3, -EIO);
	for (int i = 0; i < 3; i++)
		assert_int_equal(fx_save(x, i == 0 ? "a" : i == 1 ? "b" : "c", "text"), -EIO);
	assert_int_equal(pending(x).n, 3);
	assert_int_equal(fx_save(x, "d", "text"), 0); /* no time has passed */
	await_pending(x, "");
	assert_string_equal(fx_server_text(x, "b"), "text");
}

static void failed_and_written_again(void **state)
{
	struct fx *x = *state;
	uint64_t fh;

	fx_fail(x, SUPAFS_OP_PUT, 0, 1, -EACCES);
	assert_int_equal(fx_save(x, "f", "refused"), -EACCES);
	assert_int_equal(fx_open(x, "f", O_RDWR, &fh), 0);
	assert_int_equal(fx_write(x, fh, "RE", 0), 0);
	fx_crash(x, NULL); /* what has failed is kept like a promise */
	await_pending(x, "");
	assert_string_equal(fx_server_text(x, "f"), "refused");
}

static void given_up(void **state)
{
	struct fx *x = *state;
	uint64_t fh, id;

	fx_fail(x, SUPAFS_OP_PUT, 0, 1, -EACCES);
	assert_int_equal(fx_save(x, "new", "refused"), -EACCES);
	id = pending(x).id;
	assert_int_equal(fx_open(x, "new", O_RDWR, &fh), 0);
	assert_int_equal(supafs_vfs_drop(x->v, &x->call, id), -EBUSY);
	supafs_vfs_release(x->v, fh);
	assert_int_equal(supafs_vfs_drop(x->v, &x->call, id), 0);
	assert_int_equal(supafs_vfs_drop(x->v, &x->call, id), -ENOENT);
	assert_int_equal(pending(x).n, 0);
	assert_int_equal(fx_stat(x, "new", &(struct stat){0}), -ENOENT);

	fx_server_put(x, "old", "of the server");
	fx_fail(x, SUPAFS_OP_PUT, 0, 1, -EACCES);
	assert_int_equal(fx_save(x, "old", "refused"), -EACCES);
	assert_string_equal(fx_cat(x, "old"), "refused");
	assert_int_equal(supafs_vfs_drop(x->v, &x->call, pending(x).id), 0);
	assert_string_equal(fx_cat(x, "old"), "of the server");
	fx_crash(x, NULL);
	assert_int_equal(x->replayed, 0);
	assert_int_equal(x->lost, 0);
}

/* A close while another one's upload is under way waits for it, and the newer bytes win. */
static void newest_wins(void **state)
{
	struct fx *x = *state;
	struct supafs_flush_state st;
	char text[32];

	for (int i = 0; i < 50; i++) {
		(void)snprintf(text, sizeof(text), "text %d", i);
		assert_int_equal(fx_save(x, "f", text), 0);
	}
	assert_int_equal(flush_all(x, &st), 0);
	assert_string_equal(fx_server_text(x, "f"), "text 49");
	assert_string_equal(fx_cat(x, "f"), "text 49");
}

/* --- Syncs ---------------------------------------------------------------------------------------
 */

static void fsync_means_the_server(void **state)
{
	struct fx *x = *state;
	uint64_t fh, dir;

	assert_int_equal(fx_create(x, "f", O_WRONLY, &fh), 0);
	assert_int_equal(fx_write(x, fh, "text", 0), 0);
	assert_int_equal(supafs_vfs_fsync(x->v, &x->call, fh, &x->fault), 0);
	assert_string_equal(fx_server_text(x, "f"), "text");
	assert_int_equal(fx_write(x, fh, "TEXT", 0), 0);
	assert_int_equal(fx_close(x, fh), 0);
	assert_int_equal(fx_save(x, "g", "text"), 0);
	assert_int_equal(supafs_vfs_opendir(x->v, SUPAFS_ROOT_ID, &dir), 0);
	assert_int_equal(supafs_vfs_fsyncdir(x->v, &x->call, dir, &x->fault), 0);
	assert_string_equal(fx_server_text(x, "g"), "text");
	assert_string_equal(fx_server_text(x, "f"), "TEXT");
	fx_fail(x, SUPAFS_OP_PUT, 0, 2, -EACCES);
	assert_int_equal(fx_save(x, "g", "refused"), 0);
	await_pending(x, "g:failed:7:1:13,");
	assert_int_equal(supafs_vfs_fsyncdir(x->v, &x->call, dir, &x->fault), -EIO);
	supafs_vfs_releasedir(x->v, dir);
}

/* fsync does not stand behind the queue. */
static void fsync_goes_ahead(void **state)
{
	struct fx *x = *state;
	struct supafs_info info;
	char name[16];
	uint64_t fh;

	assert_int_equal(fx_save(x, "now", "text"), 0);
	fx_quiet(x);
	shut(x, true);
	for (int i = 0; i < 8; i++) {
		(void)snprintf(name, sizeof(name), "f%d", i);
		assert_int_equal(fx_save(x, name, name), 0);
	}
	await(x, 4);
	assert_int_equal(fx_open(x, "now", O_RDWR, &fh), 0);
	assert_int_equal(fx_write(x, fh, "TEXT", 0), 0);
	assert_int_equal(fx_flush(x, fh), 0);
	assert_int_equal(fx_server_info(x, "now", &info), 0);
	the_gate(x)->most = 0;
	shut(x, false);
	assert_int_equal(supafs_vfs_fsync(x->v, &x->call, fh, &x->fault), 0);
	assert_string_equal(fx_server_text(x, "now"), "TEXT");
	assert_int_equal(fx_close(x, fh), 0);
}

/* --- References ----------------------------------------------------------------------------------
 */

static void a_copy_is_promised(void **state)
{
	struct fx *x = *state;
	struct supafs_flush_state st;
	struct supafs_copy_range r = {.n = 9};

	fx_server_put(x, "a", "of the server");
	fx_server_put(x, "b", "nine byte");
	assert_int_equal(fx_open(x, "b", O_RDONLY, &r.fh_in), 0);
	assert_int_equal(fx_create(x, "c", O_WRONLY, &r.fh_out), 0);
	assert_int_equal(supafs_vfs_copy_range(x->v, &x->call, &r, &x->fault), 9);
	fx_fail(x, SUPAFS_OP_INFO, 0, 1, -EACCES);
	assert_int_equal(fx_close(x, r.fh_out), 0);
	assert_int_equal(fx_close(x, r.fh_in), 0);
	await_pending(x, "c:failed:9:1:13,");
	fx_crash(x, NULL);
	assert_int_equal(x->replayed, 1);
	assert_int_equal(flush_all(x, &st), 0);
	assert_string_equal(fx_server_text(x, "c"), "nine byte");
}

/* --- The end -------------------------------------------------------------------------------------
 */

static void the_end_sends_all_and_keeps_the_rest(void **state)
{
	struct fx *x = *state;

	shut(x, true);
	assert_int_equal(fx_save(x, "f", "arrives"), 0);
	assert_int_equal(fx_save(x, "g", "refused"), 0);
	await(x, 2);
	fx_fail(x, SUPAFS_OP_PUT, 1, 5, -EACCES);
	shut(x, false);
	assert_int_equal(fx_remount(x), 1);
	assert_int_equal(x->replayed, 1);
	assert_int_equal(x->lost, 0);
	assert_int_equal(pending(x).n, 1);
	/* Used up, so that the test can end clean. */
	while (pending(x).n > 0)
		(void)supafs_vfs_retry(x->v, 0);
	assert_string_equal(fx_server_text(x, "f"), "arrives");
	assert_string_equal(fx_server_text(x, "g"), "refused");
}

static void stats_count(void **state)
{
	struct fx *x = *state;
	struct supafs_vfs_stats st;

	shut(x, true);
	assert_int_equal(fx_save(x, "f", "text"), 0);
	assert_int_equal(fx_save(x, ".g.abcdef", "temporary"), 0);
	await(x, 1);
	supafs_vfs_stats(x->v, &st);
	assert_int_equal(st.uploading, 1);
	assert_int_equal(st.dirty, 1);
	assert_int_equal(st.pending_bytes, 13);
	shut(x, false);
}

static void invalidate_forgets(void **state)
{
	struct fx *x = *state;

	fx_server_put(x, "f", "one");
	assert_string_equal(fx_ls(x, ""), "f");
	assert_string_equal(fx_cat(x, "f"), "one");
	fx_server_put(x, "f", "three");
	fx_server_put(x, "g", "new");
	assert_int_equal(fx_save(x, ".h.abcdef", "ours"), 0);
	supafs_vfs_invalidate(x->v);
	assert_string_equal(fx_ls(x, ""), ".h.abcdef f g");
	assert_string_equal(fx_cat(x, "f"), "three");
	assert_string_equal(fx_cat(x, ".h.abcdef"), "ours");
}

#define BACK(f)    cmocka_unit_test_setup_teardown(f, setup_back, teardown)
#define THROUGH(f) cmocka_unit_test_setup_teardown(f, setup_through, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		BACK(close_asks_nobody),
		BACK(as_many_at_once_as_told),
		BACK(survives_a_crash),
		BACK(a_promise_binds_a_mount_that_may_not_write),
		BACK(the_folder_may_be_gone),
		BACK(half_a_write_is_not_promised),
		BACK(appended_and_then_changed),
		BACK(a_newer_close_takes_the_place),
		BACK(a_large_file_too),
		BACK(over_an_object),
		BACK(over_an_object_that_has_changed),
		BACK(what_has_arrived_is_not_sent_again),
		BACK(nor_by_the_next_try),
		BACK(older_bytes_do_not_win),
		BACK(unlinked_is_never_sent),
		BACK(renamed_in_the_journal),
		BACK(renamed_over_a_promise),
		BACK(an_object_over_a_promise),
		BACK(below_a_renamed_folder),
		BACK(attributes_are_promised_too),
		THROUGH(held_is_a_promise),
		THROUGH(held_is_published_at_the_end),
		THROUGH(fsync_of_a_temporary_name),
		THROUGH(a_rename_that_fails),
		THROUGH(close_still_waits),
		THROUGH(an_empty_file_closed_once),
		THROUGH(what_passes_is_tried_again),
		THROUGH(a_success_wakes_the_others),
		THROUGH(failed_and_written_again),
		THROUGH(given_up),
		BACK(newest_wins),
		BACK(fsync_means_the_server),
		BACK(fsync_goes_ahead),
		BACK(a_copy_is_promised),
		BACK(the_end_sends_all_and_keeps_the_rest),
		BACK(stats_count),
		THROUGH(invalidate_forgets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
