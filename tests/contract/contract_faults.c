/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The whole way down to a server that misbehaves: what retry, transport and backend make of it
 * together. Only against our own supafs-serve (its control socket), only under the layers.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "supafs/util/cleanup.h"

#include "contract.h"

static bool steerable(const struct run *r)
{
	return r->target->dir[0] && r->target->stacked;
}

#define LOST "\"reset\":\"answer\""

void test_lost_put(void **state)
{
	struct run r;

	run_begin(&r, state);
	if (steerable(&r)) {
		fault(&r, "\"kind\":\"put\",\"count\":1", LOST);
		put_text(&r, "lost/put", "content");
		assert_int_equal(count(&r, "put"), 1); /* looked at, not sent again */
		assert_int_equal(count(&r, "info"), 1);
		assert_content(&r, "lost/put", (struct content){"content", 7});

		fault(&r, "\"kind\":\"put\",\"count\":1", LOST);
		put_attrs(&r, KEY("lost/exclusive"), (struct content){"mine", 4},
			&(struct supafs_put_args){.exclusive = true});
		assert_int_equal(count(&r, "put"), 1);

		/* cut before anything was done: sent again, nothing to look at */
		fault(&r, "\"kind\":\"put\",\"count\":2", "\"status\":503,\"body\":\"<html>\"");
		put_text(&r, "lost/put", "again");
		assert_int_equal(count(&r, "put"), 3);
		assert_content(&r, "lost/put", (struct content){"again", 5});
		faults_end(&r);
	} else {
		run_end(&r);
	}
}

void test_lost_changes(void **state)
{
	const struct supafs_copy_args copy = {.from = KEY("lost/a"), .to = KEY("lost/b")};
	const struct supafs_str keys[] = {
		{"lost/1", 6}, {"lost/none", 9}, {"lost/2", 6}, {"lost/3", 6}};
	bool gone[4] = {false};
	struct run r;

	run_begin(&r, state);
	if (!steerable(&r)) {
		run_end(&r);
		return;
	}
	put_text(&r, "lost/a", "a");
	fault(&r, "\"kind\":\"copy\",\"count\":1", LOST);
	assert_int_equal(r.s->ops->copy(r.s, &r.call, &copy, NULL, &r.fault), 0);
	fault(&r, "\"kind\":\"move\",\"count\":1", LOST);
	assert_int_equal(r.s->ops->move(r.s, &r.call, KEY("lost/b"), KEY("lost/c"), &r.fault), 0);
	assert_true(exists(&r, "lost/c"));
	fault(&r, "\"kind\":\"delete_one\",\"count\":1", LOST);
	assert_int_equal(r.s->ops->remove(r.s, &r.call, KEY("lost/c"), &r.fault), 0);
	put_text(&r, "lost/1", "");
	put_text(&r, "lost/2", "");
	put_text(&r, "lost/3", "");
	fault(&r, "\"kind\":\"delete_many\",\"count\":1", LOST);
	assert_int_equal(r.s->ops->remove_many(r.s, &r.call, keys, 4, gone, &r.fault), 0);
	assert_true(gone[0] && gone[2] && gone[3]);
	faults_end(&r);
}

void test_broken_get(void **state)
{
	enum {
		SIZE = 100000,
	};
	supafs_autofree char *p = malloc(SIZE);
	struct supafs_info i;
	struct run r;
	size_t n;

	run_begin(&r, state);
	if (!steerable(&r)) {
		run_end(&r);
		return;
	}
	memset(p, 'b', SIZE);
	put_attrs(&r, KEY("lost/big"), (struct content){p, SIZE}, NULL);
	i = info_of(&r, "lost/big");
	/* more cuts than tries, each of them further on */
	fault(&r, "\"kind\":\"get\",\"count\":9", "\"cut_after\":10000");
	assert_int_equal(
		get_range(&r, KEY("lost/big"), &i.version, (struct content){p, SIZE}, 0, &n), 0);
	assert_int_equal(n, SIZE);
	assert_true(count(&r, "get") >= 10);

	fault(&r, "\"kind\":\"get\",\"count\":3",
		"\"status\":500,\"content_type\":\"application/json\",\"body\":\"{\\\"statusCode\\\":"
		"\\\"500\\\",\\\"error\\\":\\\"Internal\\\",\\\"message\\\":\\\"Internal Server "
		"Error\\\",\\\"code\\\":\\\"InternalError\\\"}\"");
	assert_int_equal(
		get_range(&r, KEY("lost/big"), &i.version, (struct content){p, 10}, 5, &n), 0);

	fault(&r, "\"kind\":\"get\"", "\"wrong_etag\":true");
	assert_int_equal(
		get_range(&r, KEY("lost/big"), &i.version, (struct content){p, SIZE}, 0, &n),
		-ESTALE);
	assert_int_equal(n, 0);
	assert_int_equal(count(&r, "get"), 1);
	faults_end(&r);
}

/* Passing troubles of small requests pass; a refused token is not asked twice. */
void test_troubles(void **state)
{
	static const char *const passing[] = {
		"\"status\":429,\"header\":\"Retry-After: 0\"",
		"\"status\":502,\"body\":\"<html>Bad Gateway</html>\",\"content_type\":\"text/html\"",
		"\"status\":520",
		"\"status\":544",
		"\"reset\":\"before\"",
		"\"cut_after\":5",
	};
	struct supafs_info i;
	struct listing l;
	struct run r;

	run_begin(&r, state);
	if (!steerable(&r)) {
		run_end(&r);
		return;
	}
	put_text(&r, "trouble/file", "x");
	for (size_t k = 0; k < SUPAFS_ARRAY_LEN(passing); k++) {
		fault(&r, "\"count\":2", passing[k]);
		list_all(&r, "trouble/", true, 10, &l);
		assert_int_equal(l.n, 1);
		listing_free(&l);
	}
	fault(&r, "\"kind\":\"info\"",
		"\"status\":400,\"content_type\":\"application/json\",\"body\":\"{\\\"statusCode\\\":"
		"\\\"403\\\",\\\"message\\\":\\\"\\\\\\\"exp\\\\\\\" claim timestamp check "
		"failed\\\",\\\"code\\\":\\\"AccessDenied\\\"}\"");
	assert_int_equal(r.s->ops->info(r.s, &r.call, KEY("trouble/file"), &i, &r.fault), -EACCES);
	assert_string_equal(r.fault.code, "TokenExpired");
	assert_int_equal(count(&r, "info"), 1);
	faults_end(&r);
}

/* A server that never answers: the call's deadline ends it. */
void test_silence(void **state)
{
	struct supafs_call call;
	struct supafs_info i;
	struct run r;

	run_begin(&r, state);
	if (!steerable(&r)) {
		run_end(&r);
		return;
	}
	fault(&r, "\"kind\":\"info\"", "\"silence\":true");
	supafs_call_init(&call, supafs_clock_system(), 200);
	assert_int_equal(r.s->ops->info(r.s, &call, KEY("trouble/file"), &i, &r.fault), -ETIMEDOUT);
	assert_string_equal(r.fault.code, "Timeout");
	supafs_call_fini(&call);
	faults_end(&r);
}
