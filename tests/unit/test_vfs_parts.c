/* SPDX-License-Identifier: Apache-2.0 */
/* The small parts of the vfs by themselves: key queue, content types, names, errors. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "keyq.h"
#include "mime.h"
#include "vfs_fixture.h"
#include "vfs_priv.h"

/* --- Key queue -----------------------------------------------------------------------------------
 */

struct waiter {
	struct vfs_keyq *q;
	struct supafs_call call;
	struct vfs_ticket t;
	const char *a, *b;
	_Atomic int state; /* 0 waiting, 1 in, 2 out, < 0 error */
	_Atomic bool leave;
};

static struct supafs_str key(const char *s)
{
	return s ? supafs_str_of(s) : (struct supafs_str){NULL, 0};
}

static void *stand_in_queue(void *ctx)
{
	struct waiter *w = ctx;
	int r = vfs_keyq_enter(w->q, &w->call, &w->t, key(w->a), key(w->b));

	if (r != 0) {
		w->state = r;
		return NULL;
	}
	w->state = 1;
	while (!w->leave)
		(void)sched_yield();
	vfs_keyq_leave(w->q, &w->t);
	w->state = 2;
	return NULL;
}

static void start(struct waiter *w, struct vfs_keyq *q, const char *a, const char *b, pthread_t *t)
{
	*w = (struct waiter){.q = q, .a = a, .b = b};
	supafs_call_init(&w->call, supafs_clock_system(), 20000);
	assert_int_equal(pthread_create(t, NULL, stand_in_queue, w), 0);
}

static void until(struct waiter *w, int state)
{
	while (w->state < state && w->state >= 0)
		(void)sched_yield();
	assert_int_equal(w->state, state);
}

static void end(struct waiter *w, pthread_t t)
{
	w->leave = true;
	assert_int_equal(pthread_join(t, NULL), 0);
	supafs_call_fini(&w->call);
}

/* Would a ticket for these keys have to wait? */
static bool blocked(struct vfs_keyq *q, const char *a, const char *b)
{
	struct supafs_call call;
	struct vfs_ticket t;
	int r;

	supafs_call_init(&call, supafs_clock_system(), 0);
	supafs_call_cancel(&call);
	r = vfs_keyq_enter(q, &call, &t, key(a), key(b));
	if (r == 0)
		vfs_keyq_leave(q, &t);
	supafs_call_fini(&call);
	return r == -EINTR;
}

static void tickets_cover_their_keys(void **state)
{
	struct vfs_keyq *q = NULL;
	struct waiter w;
	pthread_t t;

	(void)state;
	assert_int_equal(vfs_keyq_new(&q), 0);
	start(&w, q, "d/a", "e/b", &t);
	until(&w, 1);
	assert_true(blocked(q, "d/a", NULL));
	assert_true(blocked(q, "x", "e/b"));
	assert_true(blocked(q, "d/", NULL)); /* a folder covers what is below */
	assert_true(blocked(q, "", NULL));   /* the root covers all */
	assert_false(blocked(q, "d/ab", NULL));
	assert_false(blocked(q, "d", "e"));
	assert_false(blocked(q, "d/a/", NULL));
	end(&w, t);
	start(&w, q, "d/", NULL, &t);
	until(&w, 1);
	assert_true(blocked(q, "d/x/y", NULL));
	assert_true(blocked(q, "d/", NULL));
	assert_false(blocked(q, "d", NULL));
	assert_false(blocked(q, "dd/x", NULL));
	end(&w, t);
	assert_null(vfs_keyq_free(q));
}

static void tickets_come_in_order(void **state)
{
	struct vfs_keyq *q = NULL;
	struct waiter w[3];
	pthread_t t[3];

	(void)state;
	assert_int_equal(vfs_keyq_new(&q), 0);
	start(&w[0], q, "a", NULL, &t[0]);
	until(&w[0], 1);
	start(&w[1], q, "a", "b", &t[1]);
	while (!blocked(q, "b", NULL)) /* until it stands in the queue */
		(void)sched_yield();
	start(&w[2], q, "b", NULL, &t[2]);
	while (!blocked(q, "b", NULL))
		(void)sched_yield();
	assert_int_equal(w[1].state, 0);
	assert_int_equal(w[2].state, 0); /* "b" is free, but w[1] came first */
	end(&w[0], t[0]);
	until(&w[1], 1);
	assert_int_equal(w[2].state, 0);
	end(&w[1], t[1]);
	until(&w[2], 1);
	end(&w[2], t[2]);
	assert_null(vfs_keyq_free(q));
}

static void cancelled_in_the_queue(void **state)
{
	struct vfs_keyq *q = NULL;
	struct waiter w[2];
	pthread_t t[2];

	(void)state;
	assert_int_equal(vfs_keyq_new(&q), 0);
	start(&w[0], q, "d/", NULL, &t[0]);
	until(&w[0], 1);
	start(&w[1], q, "d/a", NULL, &t[1]);
	supafs_call_cancel(&w[1].call);
	end(&w[1], t[1]);
	assert_int_equal(w[1].state, -EINTR);
	assert_int_equal(vfs_keyq_pass(q, &w[0].call, key("e/a")), 0);
	end(&w[0], t[0]);
	assert_false(blocked(q, "d/a", NULL));
	assert_null(vfs_keyq_free(q));
}

/* --- Content types
 * --------------------------------------------------------------------------------- */

static void expect_type(const struct vfs_mimes *m, const char *name, const char *type)
{
	const struct supafs_str got = vfs_mime_of(m, supafs_str_of(name));

	if (!supafs_str_eq(got, supafs_str_of(type)))
		fail_msg("%s is %.*s, not %s", name, SUPAFS_STR_FMT(got), type);
}

static void built_in_types(void **state)
{
	struct vfs_mimes *m = NULL;

	(void)state;
	assert_int_equal(vfs_mimes_new("/nonexistent", &m), 0);
	expect_type(m, "a.json", "application/json");
	expect_type(m, "A.PNG", "image/png");
	expect_type(m, "a.tar.gz", "application/gzip");
	expect_type(m, "noext", "application/octet-stream");
	expect_type(m, ".json", "application/octet-stream"); /* a hidden file's name */
	expect_type(m, "dot.", "application/octet-stream");
	expect_type(m, "", "application/octet-stream");
	expect_type(m, "a.unknown", "application/octet-stream");
	assert_null(vfs_mimes_free(m));
}

static void types_of_a_file(void **state)
{
	static const char text[] = "# comment\n\nimage/png\t\tpng apng\ntext/x-first dup\r\n"
				   "text/x-second dup\nno-extension\n   text/x-tail\ttail";
	char path[] = "/tmp/supafs-mime-XXXXXX";
	struct vfs_mimes *m = NULL;
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
	(void)close(fd);
	assert_int_equal(vfs_mimes_new(path, &m), 0);
	(void)remove(path);
	expect_type(m, "x.apng", "image/png");
	expect_type(m, "x.DUP", "text/x-first");
	expect_type(m, "x.tail", "text/x-tail");
	expect_type(m, "x.html", "text/html"); /* what it lacks is built in */
	assert_null(vfs_mimes_free(m));
}

static void allowed_types(void **state)
{
	static const struct {
		const char *list, *mime;
		bool ok;
	} rows[] = {
		{"", "a/b", true},
		{"\n", "a/b", true},
		{"image/png", "image/png", true},
		{"image/png", "image/PNG", true},
		{"image/png", "image/pn", false},
		{"image/*", "image/webp", true},
		{"image/*\ntext/plain", "text/plain", true},
		{"image/*\ntext/plain", "text/html", false},
		{"*/*", "x/y", true},
	};

	(void)state;
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(rows); i++)
		assert_int_equal(
			vfs_mime_allowed(supafs_str_of(rows[i].list), supafs_str_of(rows[i].mime)),
			rows[i].ok);
}

/* --- Names, versions, errors
 * ------------------------------------------------------------------------ */

static void temporary_names(void **state)
{
	static const struct {
		const char *name;
		bool temporary;
	} rows[] = {
		{".file.aB3dE6", true}, /* rsync */
		{"file~", true},
		{".file.swp", true},
		{".file.swo", true},
		{".goutputstream-X1Y2Z3", true},
		{"4913", true},
		{"file", false},
		{".hidden", false},
		{".bashrc", false},
		{"~file", false},
		{"49130", false},
	};
	char patterns[] = ".*.??????:*~:.*.sw?:.goutputstream-*:4913::";
	const struct supafs_vfs v = {.temp_patterns = patterns};
	char none[] = "";
	const struct supafs_vfs off = {.temp_patterns = none};

	(void)state;
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(rows); i++) {
		assert_int_equal(vfs_name_temporary(&v, rows[i].name), rows[i].temporary);
		assert_false(vfs_name_temporary(&off, rows[i].name));
	}
}

static void versions_alike(void **state)
{
	struct supafs_version a = {.size = 3, .updated_ns = 7, .id = {1}, .etag = "\"x\""};
	struct supafs_version b = a;

	(void)state;
	assert_true(vfs_version_alike(&a, &b));
	b.updated_ns = 8; /* an ETag decides */
	assert_true(vfs_version_alike(&a, &b));
	b.etag[1] = 'y';
	assert_false(vfs_version_alike(&a, &b));
	b.etag[0] = '\0';
	assert_false(vfs_version_alike(&a, &b)); /* then the times do */
	b.updated_ns = 0;
	assert_true(vfs_version_alike(&a, &b));
	b.id[0] = 2;
	assert_false(vfs_version_alike(&a, &b));
	memset(b.id, 0, sizeof(b.id));
	assert_true(vfs_version_alike(&a, &b));
	b.size = 4;
	assert_false(vfs_version_alike(&a, &b));
}

static void errors_for_programs(void **state)
{
	(void)state;
	assert_int_equal(vfs_errno(0), 0);
	assert_int_equal(vfs_errno(-ENOENT), -ENOENT);
	assert_int_equal(vfs_errno(-ENOSYS), -EOPNOTSUPP);
	assert_int_equal(vfs_errno(-ENODATA), -EIO);
	assert_int_equal(vfs_errno(-EPROTO), -EIO);
}

static void new_names(void **state)
{
	const struct vfs_key dir = {.root_n = 2, .n = 4, .p = "p/d/"};
	struct supafs_vfs v = {.cfg = {.strict_names = false}};
	struct vfs_place place;

	(void)state;
	assert_int_equal(vfs_place_new(&v, &place, &dir, SUPAFS_STR("a#b"), false), 0);
	assert_string_equal(place.key.p, "p/d/a=23b");
	assert_string_equal(place.seg, "a=23b");
	assert_string_equal(place.name, "a#b");
	assert_true(supafs_str_eq(vfs_key_rel(&place.key), SUPAFS_STR("d/a=23b")));
	assert_int_equal(vfs_place_new(&v, &place, &dir, SUPAFS_STR("sub"), true), 0);
	assert_string_equal(place.key.p, "p/d/sub/");
	assert_int_equal(vfs_place_new(&v, &place, &dir, SUPAFS_STR("."), true), -EEXIST);
	assert_int_equal(vfs_place_new(&v, &place, &dir, SUPAFS_STR(".."), true), -EEXIST);
	assert_int_equal(vfs_place_new(&v, &place, &dir, SUPAFS_STR("a/b"), false), -EINVAL);
	v.cfg.strict_names = true;
	assert_int_equal(vfs_place_new(&v, &place, &dir, SUPAFS_STR("a#b"), false), -EINVAL);
	assert_int_equal(vfs_place_new(&v, &place, &dir, SUPAFS_STR("a=b"), false), 0);
}

/* --- News
 * ------------------------------------------------------------------------------------------- */

struct news {
	_Atomic unsigned inodes, entries;
};

static void on_inode(void *ctx, uint64_t node, bool data)
{
	struct news *n = ctx;

	(void)node;
	if (data)
		atomic_fetch_add(&n->inodes, 1);
}

static void on_entry(void *ctx, uint64_t parent, const char *name, size_t n)
{
	struct news *news = ctx;

	(void)parent;
	if (strlen(name) == n)
		atomic_fetch_add(&news->entries, 1);
}

static void stale_pages_are_news(void **state)
{
	const struct fx_config cfg = {.ttl_ms = UINT64_MAX};
	struct fx *x = fx_new(&cfg);
	struct news news = {0};
	const struct supafs_notify notify = {
		.inval_entry = on_entry, .inval_inode = on_inode, .ctx = &news};
	uint64_t fh;
	char c;

	(void)state;
	supafs_vfs_set_notify(x->v, &notify);
	fx_server_put(x, "f", "one");
	assert_int_equal(fx_open(x, "f", O_RDONLY, &fh), 0);
	fx_server_put(x, "f", "three");
	assert_int_equal(fx_read(x, fh, &c, 1, 0), -ESTALE);
	assert_int_equal(fx_close(x, fh), 0);
	assert_int_equal(fx_free(x), 0); /* waits for the news */
	assert_true(news.inodes <= 1);
	assert_int_equal(news.entries, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tickets_cover_their_keys),
		cmocka_unit_test(tickets_come_in_order),
		cmocka_unit_test(cancelled_in_the_queue),
		cmocka_unit_test(built_in_types),
		cmocka_unit_test(types_of_a_file),
		cmocka_unit_test(allowed_types),
		cmocka_unit_test(temporary_names),
		cmocka_unit_test(versions_alike),
		cmocka_unit_test(errors_for_programs),
		cmocka_unit_test(new_names),
		cmocka_unit_test(stale_pages_are_news),
	};

	return cmocka_run_group_tests_name("vfs_parts", tests, NULL, NULL);
}
