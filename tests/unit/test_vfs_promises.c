/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Promises and names, temporary names, failures that are tried again, and giving up. "A crash" is
 * fx_crash().
 */
#include "vfs_gate.h"

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

static void note_rename(struct fx *x, const char *from, const char *to, int64_t since_ns)
{
	struct supafs_journal_record rec = {.kind = SUPAFS_JOURNAL_RENAME_DIR,
		.from = supafs_str_of(from),
		.key = supafs_str_of(to),
		.since_ns = since_ns};

	supafs_journal_new_id(rec.id);
	assert_int_equal(supafs_journal_put(x->journal, &rec), 0);
}

/* Two renames of folders are left, each half done: a key follows them in the order in which they
 * were made. */
static void below_two_renamed_folders(void **state)
{
	struct fx *x = *state;
	struct supafs_flush_state st;

	assert_int_equal(fx_mkdir(x, "a"), 0);
	assert_int_equal(fx_mkdir(x, "b"), 0);
	assert_int_equal(fx_mkdir(x, "e"), 0);
	shut(x, true);
	assert_int_equal(fx_save(x, "a/f", "of a"), 0);
	assert_int_equal(fx_save(x, "b/f", "of b"), 0);
	assert_int_equal(fx_save(x, "e/f", "of e"), 0);
	note_rename(x, "b/", "c/", 1);
	note_rename(x, "a/", "b/", 2);
	note_rename(x, "e/", "d/", 3);
	note_rename(x, "d/", "g/", 4);
	fx_crash(x, NULL);
	shut(x, false);
	assert_int_equal(flush_all(x, &st), 0);
	assert_string_equal(fx_server_text(x, "b/f"), "of a");
	assert_string_equal(fx_server_text(x, "c/f"), "of b");
	assert_string_equal(fx_server_text(x, "g/f"), "of e");
	assert_false(fx_server_has(x, "a/f"));
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

/* By name, so that no close follows. */
static void held_and_cut_by_name(void **state)
{
	struct fx *x = *state;
	struct supafs_flush_state st;

	assert_int_equal(fx_save(x, ".f.abcdef", "0123456789"), 0);
	assert_int_equal(fx_truncate(x, ".f.abcdef", 4), 0);
	fx_crash(x, NULL);
	assert_string_equal(fx_cat(x, ".f.abcdef"), "0123");
	assert_int_equal(fx_rename(x, ".f.abcdef", "f", 0), 0);
	assert_int_equal(flush_all(x, &st), 0);
	assert_string_equal(fx_server_text(x, "f"), "0123");
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
	fx_advance_ms(x, INT64_C(3600000)); /* a refusal does not pass by itself */
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
/* A flush that comes while an upload is being refused, at any moment of it: it ends, and the next
 * one finds nothing more to do than what is left. */
static void a_flush_meets_a_failure(void **state)
{
	(void)state;
	for (int i = 0; i < 50; i++) {
		struct fx *x = fx_new(&back);
		struct supafs_flush_state st;
		int r;

		fx_fail(x, SUPAFS_OP_PUT, 0, 1, -EACCES);
		assert_int_equal(fx_save(x, "f", "text"), 0);
		for (int k = 0; k < i % 8; k++)
			(void)sched_yield();
		r = flush_all(x, &st);
		assert_true(r == 0 || r == -EIO);
		if (r != 0)
			assert_int_equal(flush_all(x, &st), 0);
		assert_string_equal(fx_server_text(x, "f"), "text");
		assert_int_equal(fx_free(x), 0);
	}
}

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		BACK(unlinked_is_never_sent),
		BACK(renamed_in_the_journal),
		BACK(renamed_over_a_promise),
		BACK(an_object_over_a_promise),
		BACK(below_a_renamed_folder),
		BACK(below_two_renamed_folders),
		BACK(attributes_are_promised_too),
		THROUGH(held_is_a_promise),
		THROUGH(held_and_cut_by_name),
		THROUGH(held_is_published_at_the_end),
		THROUGH(fsync_of_a_temporary_name),
		THROUGH(a_rename_that_fails),
		THROUGH(close_still_waits),
		THROUGH(an_empty_file_closed_once),
		THROUGH(what_passes_is_tried_again),
		cmocka_unit_test(a_flush_meets_a_failure),
		THROUGH(a_success_wakes_the_others),
		THROUGH(failed_and_written_again),
		THROUGH(given_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
