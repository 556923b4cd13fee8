/* SPDX-License-Identifier: Apache-2.0 */
/* Files in the vfs: create, read, change, close, versions, failures; requests are counted. */
#include "vfs_fixture.h"

static const struct fx_config plain = {.ttl_ms = UINT64_MAX};

static int setup(void **state)
{
	*state = fx_new(&plain);
	return 0;
}

static int teardown(void **state)
{
	assert_int_equal(fx_free(*state), 0);
	return 0;
}

static void create_write_read(void **state)
{
	struct fx *x = *state;
	struct stat st;
	uint64_t fh;

	fx_mark(x);
	assert_int_equal(fx_create(x, "a.txt", O_RDWR | O_EXCL, &fh), 0);
	assert_int_equal(fx_write(x, fh, "hello", 0), 0);
	assert_int_equal(fx_write(x, fh, " world", 5), 0);
	fx_expect(x, fh, 0, "hello world");
	assert_false(fx_server_has(x, "a.txt"));
	assert_int_equal(fx_close(x, fh), 0);
	assert_int_equal(fx_count(x, SUPAFS_OP_PUT), 1);
	assert_true(fx_count(x, SUPAFS_OP_LIST) <= 1);
	assert_int_equal(fx_all(x), 1 + fx_count(x, SUPAFS_OP_LIST));
	assert_string_equal(fx_server_text(x, "a.txt"), "hello world");

	fx_mark(x); /* known from the upload: no request */
	assert_int_equal(fx_stat(x, "a.txt", &st), 0);
	assert_int_equal(st.st_size, 11);
	assert_int_equal(st.st_blocks, 1);
	assert_int_equal(st.st_nlink, 1);
	assert_int_equal(st.st_mode, S_IFREG | 0640);
	assert_int_equal(st.st_uid, 1000);
	assert_string_equal(fx_ls(x, ""), "a.txt");
	assert_true(fx_all(x) <= 1); /* the folder's first listing */

	fx_mark(x); /* its ETag is learnt once */
	assert_string_equal(fx_cat(x, "a.txt"), "hello world");
	assert_true(fx_count(x, SUPAFS_OP_LIST) <= 1);
	assert_int_equal(fx_count(x, SUPAFS_OP_GET), 1);
	assert_string_equal(fx_cat(x, "a.txt"), "hello world");
	assert_true(fx_all(x) <= 2); /* and then it is cached */
}

static void type_and_times_are_stored(void **state)
{
	struct fx *x = *state;
	struct supafs_info info;

	assert_int_equal(fx_save(x, "slides.JSON", "{}"), 0);
	assert_int_equal(fx_server_info(x, "slides.JSON", &info), 0);
	assert_string_equal(info.mime, "application/json");
	assert_int_equal(info.meta.mode, 0640);
	assert_int_equal(info.meta.mtime_ns, INT64_C(1700000000) * SUPAFS_NS_PER_S);
	assert_int_equal(fx_save(x, "no-extension", "x"), 0);
	assert_int_equal(fx_server_info(x, "no-extension", &info), 0);
	assert_string_equal(info.mime, "application/octet-stream");
}

static void close_twice_sends_once(void **state)
{
	struct fx *x = *state;
	uint64_t fh;

	assert_int_equal(fx_create(x, "f", O_WRONLY, &fh), 0);
	assert_int_equal(fx_write(x, fh, "abc", 0), 0);
	fx_mark(x);
	assert_int_equal(fx_flush(x, fh), 0);
	assert_int_equal(fx_flush(x, fh), 0);
	assert_int_equal(fx_close(x, fh), 0);
	assert_int_equal(fx_all(x), 1);
}

/* `> f` in a shell: open, dup2, close, write, close. */
static void shell_redirection_sends_once(void **state)
{
	struct fx *x = *state;
	uint64_t fh;

	assert_int_equal(fx_create(x, "f", O_WRONLY | O_TRUNC, &fh), 0);
	fx_mark(x);
	assert_int_equal(fx_flush(x, fh), 0);
	assert_int_equal(fx_all(x), 0);
	assert_int_equal(fx_write(x, fh, "abc", 0), 0);
	assert_int_equal(fx_close(x, fh), 0);
	assert_int_equal(fx_all(x), 1);
	assert_string_equal(fx_server_text(x, "f"), "abc");
}

static void empty_files_arrive(void **state)
{
	struct fx *x = *state;
	uint64_t fh;

	assert_int_equal(fx_save(x, "once", ""), 0); /* sent at the release */
	fx_quiet(x);
	assert_string_equal(fx_server_text(x, "once"), "");
	assert_int_equal(fx_create(x, "twice", O_WRONLY, &fh), 0);
	assert_int_equal(fx_flush(x, fh), 0);
	assert_int_equal(fx_flush(x, fh), 0); /* touch closes twice: the second one tells */
	assert_true(fx_server_has(x, "twice"));
	assert_int_equal(fx_close(x, fh), 0);
	assert_string_equal(fx_cat(x, "once"), "");
}

static void overwrite_part(void **state)
{
	static char big[1 << 20];
	struct fx *x = *state;
	uint64_t fh;

	memset(big, 'a', sizeof(big));
	fx_server_put_bytes(x, "big", big, sizeof(big));
	assert_int_equal(fx_open(x, "big", O_RDWR, &fh), 0);
	fx_mark(x);
	assert_int_equal(fx_write(x, fh, "XYZ", 500000), 0);
	assert_int_equal(fx_all(x), 0); /* nothing is fetched for a write */
	fx_expect(x, fh, 500000, "XYZ");
	assert_int_equal(fx_all(x), 0);
	fx_expect(x, fh, 499999, "aXYZa"); /* a read of the border fetches what it must */
	assert_true(fx_bytes(x, SUPAFS_OP_GET) <= 2 * SUPAFS_BLOCK_SIZE + 2);
	assert_int_equal(fx_close(x, fh), 0);
	assert_int_equal(fx_count(x, SUPAFS_OP_PUT), 1);
	/* Each byte at most once, and not those that were overwritten. */
	assert_int_equal(fx_bytes(x, SUPAFS_OP_GET), sizeof(big) - 3);
	assert_int_equal(fx_open(x, "big", O_RDONLY, &fh), 0);
	fx_expect(x, fh, 499998, "aaXYZaa");
	assert_int_equal(fx_close(x, fh), 0);
}

static void append_and_sync(void **state)
{
	struct fx *x = *state;
	uint64_t fh;

	fx_server_put(x, "log", "one\n");
	assert_int_equal(fx_open(x, "log", O_WRONLY | O_APPEND, &fh), 0);
	assert_int_equal(fx_write(x, fh, "two\n", 0), 0); /* the offset does not count */
	assert_int_equal(supafs_vfs_fsync(x->v, &x->call, fh, &x->fault), 0);
	assert_string_equal(fx_server_text(x, "log"), "one\ntwo\n");
	fx_mark(x);
	assert_int_equal(fx_write(x, fh, "three\n", 0), 0);
	assert_int_equal(fx_close(x, fh), 0);
	assert_int_equal(fx_count(x, SUPAFS_OP_GET), 0); /* all is still in the spool */
	assert_string_equal(fx_server_text(x, "log"), "one\ntwo\nthree\n");
}

static void truncate_both_ways(void **state)
{
	struct fx *x = *state;
	struct stat st;
	uint64_t fh;

	fx_server_put(x, "t", "0123456789");
	assert_int_equal(fx_truncate(x, "t", 4), 0);
	assert_string_equal(fx_server_text(x, "t"), "0123");
	assert_int_equal(fx_truncate(x, "t", 6), 0);
	assert_int_equal(fx_stat(x, "t", &st), 0);
	assert_int_equal(st.st_size, 6);
	assert_int_equal(fx_open(x, "t", O_RDONLY, &fh), 0);
	char buf[8] = {1, 1, 1, 1, 1, 1, 1, 1};

	assert_int_equal(fx_read(x, fh, buf, sizeof(buf), 0), 6);
	assert_memory_equal(buf, "0123\0\0", 6);
	assert_int_equal(fx_close(x, fh), 0);
	fx_mark(x);
	assert_int_equal(fx_truncate(x, "t", 0), 0);
	assert_int_equal(fx_count(x, SUPAFS_OP_GET), 0);
	assert_string_equal(fx_server_text(x, "t"), "");
	fx_mark(x);
	assert_int_equal(fx_truncate(x, "t", 0), 0); /* no change: no request */
	assert_int_equal(fx_count(x, SUPAFS_OP_PUT), 0);
}

static void open_with_trunc(void **state)
{
	struct fx *x = *state;
	uint64_t fh, reader;

	fx_server_put(x, "f", "old content");
	assert_int_equal(fx_open(x, "f", O_WRONLY | O_TRUNC, &fh), 0);
	assert_int_equal(fx_write(x, fh, "new", 0), 0);
	assert_string_equal(fx_server_text(x, "f"), "old content"); /* until the close */
	assert_int_equal(fx_open(x, "f", O_RDONLY, &reader), 0);
	fx_expect(x, reader, 0, "new");
	fx_mark(x);
	assert_int_equal(fx_close(x, fh), 0);
	assert_int_equal(fx_all(x), 1);
	fx_expect(x, reader, 0, "new");
	assert_int_equal(fx_close(x, reader), 0);
	assert_int_equal(fx_all(x), 1);
}

static void exclusive_create(void **state)
{
	struct fx *x = *state;
	uint64_t fh;

	fx_server_put(x, "there", "x");
	assert_int_equal(fx_create(x, "there", O_WRONLY | O_EXCL, &fh), -EEXIST);
	/* Somebody makes it between our look-up and our upload. */
	assert_int_equal(fx_create(x, "race", O_WRONLY | O_EXCL, &fh), 0);
	assert_int_equal(fx_write(x, fh, "mine", 0), 0);
	fx_server_put(x, "race", "theirs");
	assert_int_equal(fx_close(x, fh), -EEXIST);
	assert_string_equal(fx_server_text(x, "race"), "theirs");
	assert_int_equal(fx_unlink(x, "race", 1), 0); /* ours, never sent */
	assert_string_equal(fx_server_text(x, "race"), "theirs");
}

static void failed_upload_keeps_the_bytes(void **state)
{
	struct fx *x = *state;
	struct supafs_vfs_stats stats;
	uint64_t fh;

	assert_int_equal(fx_create(x, "f", O_RDWR, &fh), 0);
	assert_int_equal(fx_write(x, fh, "precious", 0), 0);
	fx_fail(x, SUPAFS_OP_PUT, 0, 2, -EIO);
	assert_int_equal(fx_flush(x, fh), -EIO);
	fx_expect(x, fh, 0, "precious");
	assert_int_equal(fx_close(x, fh), -EIO);
	supafs_vfs_stats(x->v, &stats);
	assert_int_equal(stats.failed, 1);
	assert_string_equal(fx_ls(x, ""), "f");
	assert_string_equal(fx_cat(x, "f"), "precious");
	assert_int_equal(fx_open(x, "f", O_WRONLY, &fh), 0);
	assert_int_equal(fx_close(x, fh), 0); /* the next close tries again */
	assert_string_equal(fx_server_text(x, "f"), "precious");
	supafs_vfs_stats(x->v, &stats);
	assert_int_equal(stats.failed, 0);
}

static void failed_until_the_end_is_counted(void **state)
{
	struct fx *x = *state;

	fx_fail(x, SUPAFS_OP_PUT, 0, 3, -EACCES);
	assert_int_equal(fx_save(x, "f", "kept"), -EACCES);
	assert_int_equal(fx_remount(x), 1);
	assert_string_equal(fx_cat(x, "f"), "!ENOENT");
}

static void two_handles_share_the_bytes(void **state)
{
	struct fx *x = *state;
	uint64_t a, b, c;

	fx_server_put(x, "f", "0123456789");
	assert_int_equal(fx_open(x, "f", O_RDONLY, &c), 0);
	fx_expect(x, c, 0, "0123456789");
	assert_int_equal(fx_open(x, "f", O_RDWR, &a), 0);
	assert_int_equal(fx_open(x, "f", O_RDWR, &b), 0);
	assert_int_equal(fx_write(x, a, "AA", 0), 0);
	assert_int_equal(fx_write(x, b, "BB", 8), 0);
	fx_expect(x, a, 0, "AA234567BB");
	fx_expect(x, c, 0, "AA234567BB");
	fx_mark(x);
	assert_int_equal(fx_close(x, a), 0);
	assert_int_equal(fx_close(x, b), 0);
	assert_int_equal(fx_count(x, SUPAFS_OP_PUT), 1);
	assert_int_equal(fx_close(x, c), 0);
	assert_string_equal(fx_server_text(x, "f"), "AA234567BB");
}

static void released_without_close_is_sent(void **state)
{
	struct fx *x = *state;
	uint64_t fh;

	assert_int_equal(fx_create(x, "f", O_WRONLY, &fh), 0);
	assert_int_equal(fx_write(x, fh, "orphan", 0), 0);
	supafs_vfs_release(x->v, fh);
	fx_quiet(x);
	assert_string_equal(fx_server_text(x, "f"), "orphan");
}

static void overwritten_elsewhere_is_stale_once(void **state)
{
	struct fx *x = *state;
	uint64_t fh;
	char c;

	fx_server_put(x, "f", "version one");
	assert_int_equal(fx_open(x, "f", O_RDONLY, &fh), 0);
	fx_server_put(x, "f", "version two!");
	assert_int_equal(fx_read(x, fh, &c, 1, 0), -ESTALE);
	assert_string_equal(fx_cat(x, "f"), "version two!");
	assert_int_equal(fx_read(x, fh, &c, 1, 0), -ESTALE); /* never a byte of two versions */
	assert_int_equal(fx_close(x, fh), 0);
}

static void new_version_is_seen_after_the_ttl(void **state)
{
	struct fx *x = *state;
	struct stat st;

	fx_server_put(x, "f", "one");
	assert_string_equal(fx_cat(x, "f"), "one");
	fx_server_put(x, "f", "four");
	fx_advance_ms(x, FX_TTL_MS + 1);
	assert_int_equal(fx_stat(x, "f", &st), 0);
	assert_int_equal(st.st_size, 4);
	assert_string_equal(fx_cat(x, "f"), "four");
}

static void base_gone_before_it_was_fetched(void **state)
{
	struct fx *x = *state;
	uint64_t fh;

	fx_server_put(x, "f", "version one");
	assert_int_equal(fx_open(x, "f", O_RDWR, &fh), 0);
	assert_int_equal(fx_write(x, fh, "V", 0), 0);
	fx_server_put(x, "f", "another one");
	assert_int_equal(fx_flush(x, fh), -ESTALE);
	assert_string_equal(fx_server_text(x, "f"), "another one");
	fx_expect(x, fh, 0, "V"); /* the local bytes are kept */
	assert_int_equal(fx_unlink(x, "f", 1), 0);
	assert_int_equal(fx_close(x, fh), 0);
}

static void overwritten_while_written_file_is_open(void **state)
{
	struct fx *x = *state;
	uint64_t fh;

	assert_int_equal(fx_create(x, "f", O_RDWR, &fh), 0);
	assert_int_equal(fx_write(x, fh, "mine", 0), 0);
	assert_int_equal(fx_flush(x, fh), 0);
	fx_server_put(x, "f", "theirs, longer");
	fx_advance_ms(x, FX_TTL_MS + 1);
	assert_string_equal(fx_cat(x, "f"), "theirs, longer");
	assert_int_equal(fx_write(x, fh, "x", 0), -ESTALE); /* it would undo theirs */
	assert_int_equal(fx_close(x, fh), 0);
	assert_string_equal(fx_server_text(x, "f"), "theirs, longer");
}

static void limits_of_the_bucket(void **state)
{
	const struct fx_config cfg = {
		.ttl_ms = UINT64_MAX, .size_limit = 10, .mimes = "image/*\ntext/plain"};
	struct fx *x = fx_new(&cfg);
	uint64_t fh;

	(void)state;
	assert_int_equal(fx_create(x, "a.pdf", O_WRONLY, &fh), -EPERM);
	assert_int_equal(fx_create(x, "a.png", O_WRONLY, &fh), 0);
	assert_int_equal(fx_write(x, fh, "0123456789", 0), 0);
	assert_int_equal(fx_write(x, fh, "x", 10), -EFBIG);
	assert_int_equal(fx_truncate(x, "a.png", 11), -EFBIG);
	assert_int_equal(
		supafs_vfs_fallocate(x->v, &x->call,
			&(const struct supafs_span){.fh = fh, .off = 0, .n = 11}, 0, &x->fault),
		-EFBIG);
	assert_int_equal(fx_close(x, fh), 0);
	assert_string_equal(fx_server_text(x, "a.png"), "0123456789");
	assert_int_equal(fx_free(x), 0);
}

static void names_that_cannot_be(void **state)
{
	const struct fx_config cfg = {.ttl_ms = UINT64_MAX, .strict = true};
	struct fx *x = *state, *strict = fx_new(&cfg);
	char name[300];
	uint64_t fh;

	memset(name, 'a', sizeof(name));
	name[256] = '\0';
	assert_int_equal(fx_create(x, name, O_WRONLY, &fh), -ENAMETOOLONG);
	memset(name, '#', 100); /* too long once escaped */
	name[100] = '\0';
	assert_int_equal(fx_create(x, name, O_WRONLY, &fh), -ENAMETOOLONG);
	assert_int_equal(fx_save(x, "h\xc3\xa9#[1]", "names"), 0);
	assert_string_equal(fx_server_text(x, "h=C3=A9=23=5B1=5D"), "names");
	assert_string_equal(fx_ls(x, ""), "h\xc3\xa9#[1]");
	assert_int_equal(fx_create(strict, "a#b", O_WRONLY, &fh), -EINVAL);
	assert_int_equal(fx_save(strict, "a b", "ok"), 0);
	assert_int_equal(fx_free(strict), 0);
}

static void attributes_ride_along(void **state)
{
	struct fx *x = *state;
	struct supafs_setattr set = {.which = SUPAFS_SET_MTIME, .mtime_ns = 12345};
	struct supafs_node_info info;
	struct supafs_info server;
	uint64_t fh, node;

	assert_int_equal(fx_create(x, "f", O_WRONLY, &fh), 0);
	assert_int_equal(fx_write(x, fh, "abc", 0), 0);
	assert_int_equal(fx_path(x, "f", &node), 0);
	fx_mark(x);
	assert_int_equal(supafs_vfs_setattr(x->v, &x->call, node, &set, &info, &x->fault), 0);
	set = (struct supafs_setattr){
		.which = SUPAFS_SET_MODE | SUPAFS_SET_UID, .mode = 0600, .uid = 7};
	assert_int_equal(supafs_vfs_setattr(x->v, &x->call, node, &set, &info, &x->fault), 0);
	assert_int_equal(fx_all(x), 0);
	assert_int_equal(fx_close(x, fh), 0);
	assert_int_equal(fx_all(x), 1);
	assert_int_equal(fx_server_info(x, "f", &server), 0);
	assert_int_equal(server.meta.mtime_ns, 12345);
	assert_int_equal(server.meta.mode, 0600);
	assert_int_equal(server.meta.uid, 7);

	fx_mark(x); /* what is so already costs nothing */
	assert_int_equal(supafs_vfs_setattr(x->v, &x->call, node, &set, &info, &x->fault), 0);
	assert_int_equal(fx_all(x), 0);
	set.mode = 0644;
	assert_int_equal(supafs_vfs_setattr(x->v, &x->call, node, &set, &info, &x->fault), 0);
	assert_int_equal(info.st.st_mode, S_IFREG | 0644);
	fx_advance_ms(x, 150);
	fx_quiet(x);
	assert_int_equal(fx_count(x, SUPAFS_OP_COPY), 1);
	assert_int_equal(fx_count(x, SUPAFS_OP_PUT), 0);
	assert_int_equal(fx_server_info(x, "f", &server), 0);
	assert_int_equal(server.meta.mode, 0644);
	assert_int_equal(server.meta.mtime_ns, 12345);
	supafs_vfs_forget(x->v, node, 1);
	assert_string_equal(fx_cat(x, "f"), "abc");
}

static void several_attributes_of_an_open_file_go_once(void **state)
{
	struct fx *x = *state;
	struct supafs_setattr set = {.which = SUPAFS_SET_MTIME, .mtime_ns = 5};
	struct supafs_node_info info;
	struct supafs_info server;
	uint64_t fh, node;

	fx_server_put(x, "f", "abc");
	assert_int_equal(fx_open(x, "f", O_WRONLY, &fh), 0);
	assert_int_equal(fx_path(x, "f", &node), 0);
	fx_mark(x);
	assert_int_equal(supafs_vfs_setattr(x->v, &x->call, node, &set, &info, &x->fault), 0);
	set = (struct supafs_setattr){.which = SUPAFS_SET_MODE, .mode = 0400};
	assert_int_equal(supafs_vfs_setattr(x->v, &x->call, node, &set, &info, &x->fault), 0);
	assert_int_equal(fx_all(x), 0);
	assert_int_equal(fx_close(x, fh), 0);
	assert_int_equal(fx_count(x, SUPAFS_OP_COPY), 1);
	assert_int_equal(fx_count(x, SUPAFS_OP_PUT), 0);
	assert_int_equal(fx_server_info(x, "f", &server), 0);
	assert_int_equal(server.meta.mtime_ns, 5);
	assert_int_equal(server.meta.mode, 0400);
	supafs_vfs_forget(x->v, node, 1);
}

static void holes_and_seek(void **state)
{
	struct fx *x = *state;
	uint64_t fh, off = 0;

	fx_server_put(x, "clean", "abc");
	assert_int_equal(fx_open(x, "clean", O_RDONLY, &fh), 0);
	assert_int_equal(supafs_vfs_lseek(x->v, fh, 1, SEEK_DATA, &off), 0);
	assert_int_equal(off, 1);
	assert_int_equal(supafs_vfs_lseek(x->v, fh, 1, SEEK_HOLE, &off), 0);
	assert_int_equal(off, 3);
	assert_int_equal(supafs_vfs_lseek(x->v, fh, 3, SEEK_DATA, &off), -ENXIO);
	assert_int_equal(fx_close(x, fh), 0);

	assert_int_equal(fx_create(x, "holes", O_RDWR, &fh), 0);
	assert_int_equal(fx_write(x, fh, "end", 1 << 20), 0);
	assert_int_equal(supafs_vfs_lseek(x->v, fh, 0, SEEK_HOLE, &off), 0);
	assert_int_equal(off, 0);
	assert_int_equal(supafs_vfs_fallocate(x->v, &x->call,
				 &(const struct supafs_span){.fh = fh, .off = 0, .n = 2 << 20}, 0,
				 &x->fault),
		0);
	assert_int_equal(fx_close(x, fh), 0);

	struct stat st;

	assert_int_equal(fx_stat(x, "holes", &st), 0);
	assert_int_equal(st.st_size, 2 << 20);
	assert_int_equal(st.st_blocks, (2 << 20) / 512);
}

static void pages_are_kept_for_the_same_version(void **state)
{
	struct fx *x = *state;
	struct supafs_open_result open;
	uint64_t node, fh;

	fx_server_put(x, "f", "abc");
	assert_int_equal(fx_path(x, "f", &node), 0);
	assert_int_equal(supafs_vfs_open(x->v, &x->call, node, O_RDONLY, &open, &x->fault), 0);
	assert_false(open.keep_cache);
	assert_int_equal(fx_close(x, open.fh), 0);
	assert_int_equal(supafs_vfs_open(x->v, &x->call, node, O_RDONLY, &open, &x->fault), 0);
	assert_true(open.keep_cache);
	assert_int_equal(fx_close(x, open.fh), 0);
	fx_server_put(x, "f", "abd");
	fx_advance_ms(x, FX_TTL_MS + 1);
	assert_int_equal(supafs_vfs_open(x->v, &x->call, node, O_RDONLY, &open, &x->fault), 0);
	assert_false(open.keep_cache);
	assert_int_equal(fx_close(x, open.fh), 0);
	assert_int_equal(fx_open(x, "f", O_WRONLY, &fh), 0);
	assert_int_equal(fx_write(x, fh, "X", 0), 0);
	assert_int_equal(fx_close(x, fh), 0);
	assert_int_equal(supafs_vfs_open(x->v, &x->call, node, O_RDONLY, &open, &x->fault), 0);
	assert_true(open.keep_cache); /* what was written went through the kernel */
	assert_int_equal(fx_close(x, open.fh), 0);
	supafs_vfs_forget(x->v, node, 1);
}

static void symbolic_links(void **state)
{
	struct fx *x = *state;
	struct supafs_node_info info;
	char buf[64];

	const struct supafs_make mk = {.parent = SUPAFS_ROOT_ID,
		.name = SUPAFS_STR("l"),
		.target = SUPAFS_STR("some/where")};

	assert_int_equal(supafs_vfs_symlink(x->v, &x->call, &mk, &info, &x->fault), 0);
	assert_int_equal(info.st.st_mode, S_IFLNK | 0777);
	assert_int_equal(
		supafs_vfs_readlink(x->v, &x->call, info.node, buf, sizeof(buf), &x->fault), 10);
	assert_string_equal(buf, "some/where");
	supafs_vfs_forget(x->v, info.node, 1);
	assert_int_equal(fx_remount(x), 0);

	struct stat st;

	assert_int_equal(fx_stat(x, "l", &st), 0); /* known from the listing */
	assert_int_equal(st.st_mode, S_IFLNK | 0777);
	assert_int_equal(st.st_size, 10);
}

/* Another client put a folder where the link was: the kernel asks again, by name. */
static void link_became_a_folder(void **state)
{
	struct fx *x = *state;
	struct supafs_node_info info;
	char buf[64];

	const struct supafs_make mk = {.parent = SUPAFS_ROOT_ID,
		.name = SUPAFS_STR("l"),
		.target = SUPAFS_STR("some/where")};

	assert_int_equal(supafs_vfs_symlink(x->v, &x->call, &mk, &info, &x->fault), 0);
	fx_server_remove(x, "l");
	fx_server_put(x, "l/f", "abc");
	fx_advance_ms(x, 2 * FX_TTL_MS);
	assert_int_equal(
		supafs_vfs_readlink(x->v, &x->call, info.node, buf, sizeof(buf), &x->fault),
		-ESTALE);
	supafs_vfs_forget(x->v, info.node, 1);
}

/* The next upload is carried out, but its answer is lost. */
static void lose_answer(struct fx *x)
{
	const struct supafs_faulty_rule rule = {.op = SUPAFS_OP_PUT,
		.times = 1,
		.after = true,
		.error = -ETIMEDOUT,
		.fault = {.class = SUPAFS_FAULT_TRANSIENT, .ambiguous = true, .text = "injected"}};

	supafs_store_faulty_add(x->faulty, &rule);
}

static void unlink_after_a_lost_answer(void **state)
{
	struct fx *x = *state;

	lose_answer(x);
	assert_int_equal(fx_save(x, "f", "abc"), -ETIMEDOUT);
	assert_true(fx_server_has(x, "f"));
	assert_int_equal(fx_unlink(x, "f", 1), 0);
	assert_false(fx_server_has(x, "f"));
}

static void rename_after_a_lost_answer(void **state)
{
	struct fx *x = *state;
	uint64_t fh;

	assert_int_equal(fx_create(x, "f", O_WRONLY, &fh), 0);
	assert_int_equal(fx_write(x, fh, "abc", 0), 0);
	lose_answer(x);
	assert_int_equal(fx_flush(x, fh), -ETIMEDOUT);
	assert_true(fx_server_has(x, "f"));
	assert_int_equal(fx_rename(x, "f", "g", 0), 0);
	assert_false(fx_server_has(x, "f"));
	assert_int_equal(fx_close(x, fh), 0);
	assert_string_equal(fx_server_text(x, "g"), "abc");
}

static void read_only_mount(void **state)
{
	const struct fx_config cfg = {.ttl_ms = UINT64_MAX, .read_only = true};
	struct fx *x = fx_new(&cfg);
	uint64_t fh;

	(void)state;
	fx_server_put(x, "f", "abc");
	assert_int_equal(fx_create(x, "g", O_WRONLY, &fh), -EROFS);
	assert_int_equal(fx_open(x, "f", O_RDWR, &fh), -EROFS);
	assert_int_equal(fx_unlink(x, "f", 1), -EROFS);
	assert_int_equal(fx_mkdir(x, "d"), -EROFS);
	assert_int_equal(fx_rename(x, "f", "g", 0), -EROFS);
	assert_int_equal(fx_truncate(x, "f", 0), -EROFS);
	assert_string_equal(fx_cat(x, "f"), "abc");
	assert_int_equal(fx_free(x), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(create_write_read),
		T(type_and_times_are_stored),
		T(close_twice_sends_once),
		T(shell_redirection_sends_once),
		T(empty_files_arrive),
		T(overwrite_part),
		T(append_and_sync),
		T(truncate_both_ways),
		T(open_with_trunc),
		T(exclusive_create),
		T(failed_upload_keeps_the_bytes),
		T(failed_until_the_end_is_counted),
		T(two_handles_share_the_bytes),
		T(released_without_close_is_sent),
		T(overwritten_elsewhere_is_stale_once),
		T(new_version_is_seen_after_the_ttl),
		T(base_gone_before_it_was_fetched),
		T(overwritten_while_written_file_is_open),
		cmocka_unit_test(limits_of_the_bucket),
		T(names_that_cannot_be),
		T(attributes_ride_along),
		T(several_attributes_of_an_open_file_go_once),
		T(holes_and_seek),
		T(pages_are_kept_for_the_same_version),
		T(symbolic_links),
		T(link_became_a_folder),
		T(unlink_after_a_lost_answer),
		T(rename_after_a_lost_answer),
		cmocka_unit_test(read_only_mount),
#undef T
	};

	return cmocka_run_group_tests_name("vfs_files", tests, NULL, NULL);
}
