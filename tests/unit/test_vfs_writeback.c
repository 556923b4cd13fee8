/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Write-back: what close() has said stays true through crashes, writes and lost answers; syncs, the
 * end. "A crash" is fx_crash().
 */
#include "vfs_gate.h"

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

/* By ftruncate(). */
static int resize(struct fx *x, const char *path, uint64_t fh, uint64_t size)
{
	const struct supafs_setattr set = {.which = SUPAFS_SET_SIZE, .size = size, .fh = fh};
	struct supafs_node_info info;
	uint64_t node;
	int r = fx_path(x, path, &node);

	if (r != 0)
		return r;
	r = supafs_vfs_setattr(x->v, &x->call, node, &set, &info, &x->fault);
	supafs_vfs_forget(x->v, node, 1);
	return r;
}

/* The same where all that is promised is a hole: no range of the spool file is. */
static void appended_to_a_hole(void **state)
{
	static const char zeros[9];
	struct fx *x = *state;
	struct supafs_flush_state st;
	char got[10];
	uint64_t fh;

	shut(x, true);
	/* cut and grown before its first close: an empty file's upload could not be stopped */
	assert_int_equal(fx_create(x, "f", O_RDWR, &fh), 0);
	assert_int_equal(resize(x, "f", fh, 100000), 0);
	assert_int_equal(fx_close(x, fh), 0);
	assert_int_equal(fx_open(x, "f", O_RDWR, &fh), 0);
	assert_int_equal(fx_write(x, fh, " and more", 100000), 0);
	assert_int_equal(fx_write(x, fh, "not this", 10), 0);
	fx_crash(x, NULL);
	assert_int_equal(fx_open(x, "f", O_RDONLY, &fh), 0);
	assert_int_equal(fx_read(x, fh, got, sizeof(got) - 1, 10), sizeof(got) - 1);
	assert_memory_equal(got, zeros, sizeof(zeros));
	assert_int_equal(fx_close(x, fh), 0);
	shut(x, false);
	assert_int_equal(flush_all(x, &st), 0);
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
	/* a try that was asked for while the first one failed may have just begun */
	assert_non_null(strstr(await_beginning(x, "f:failed:10:").text, ":116,"));
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

/* A change of a part: the rest was fetched by the process that has died, and is only at the server.
 */
static void what_has_arrived_need_not_be_here_whole(void **state)
{
	struct fx *x = *state;
	struct supafs_flush_state st;
	uint64_t fh;

	fx_server_put(x, "f", "0123456789");
	silence(x);
	assert_int_equal(fx_open(x, "f", O_WRONLY, &fh), 0);
	assert_int_equal(fx_write(x, fh, "XX", 4), 0);
	assert_int_equal(fx_close(x, fh), 0);
	await_arrival(x);
	fx_mark(x);
	fx_crash(x, NULL);
	assert_int_equal(flush_all(x, &st), 0);
	assert_int_equal(fx_count(x, SUPAFS_OP_PUT), 0);
	assert_string_equal(fx_server_text(x, "f"), "0123XX6789");
	assert_string_equal(fx_cat(x, "f"), "0123XX6789");
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
	/* before the target: while it is known here nobody need ask what it is now */
	assert_int_equal(fx_close(x, r.fh_in), 0);
	assert_int_equal(fx_close(x, r.fh_out), 0);
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

static void away(struct fx *x)
{
	fx_fail(x, SUPAFS_OP_LIST, 0, 50, -ECONNREFUSED);
}

static void not_away(struct fx *x)
{
	struct stat attr;

	while (fx_stat(x, "other", &attr) == -ECONNREFUSED)
		;
}

/* The server is away: what waits can still be read, wherever it is, to be saved elsewhere. */
static void what_waits_is_reached_without_the_server(void **state)
{
	struct fx *x = *state;
	struct supafs_flush_state st;
	struct stat attr;

	fx_server_put(x, "d/e/there", "of the server");
	shut(x, true);
	assert_int_equal(fx_save(x, "d/e/waits", "only copy"), 0);
	fx_advance_ms(x, 2 * FX_TTL_MS);
	away(x);
	assert_string_equal(fx_cat(x, "d/e/waits"), "only copy");
	assert_int_equal(fx_stat(x, "d/e", &attr), 0);
	assert_true(S_ISDIR(attr.st_mode));
	assert_int_equal(fx_stat(x, "d/e/there", &attr), -ECONNREFUSED);
	assert_int_equal(fx_stat(x, "other", &attr), -ECONNREFUSED);
	not_away(x);
	shut(x, false);
	assert_int_equal(flush_all(x, &st), 0);
	away(x);
	fx_advance_ms(x, 2 * FX_TTL_MS);
	assert_int_equal(fx_stat(x, "d/e", &attr), -ECONNREFUSED); /* nothing waits there now */
	not_away(x);
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
		BACK(appended_to_a_hole),
		BACK(a_newer_close_takes_the_place),
		BACK(a_large_file_too),
		BACK(over_an_object),
		BACK(over_an_object_that_has_changed),
		BACK(what_has_arrived_is_not_sent_again),
		BACK(what_has_arrived_need_not_be_here_whole),
		BACK(nor_by_the_next_try),
		BACK(older_bytes_do_not_win),
		BACK(newest_wins),
		BACK(fsync_means_the_server),
		BACK(fsync_goes_ahead),
		BACK(a_copy_is_promised),
		BACK(the_end_sends_all_and_keeps_the_rest),
		BACK(what_waits_is_reached_without_the_server),
		BACK(stats_count),
		THROUGH(invalidate_forgets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
