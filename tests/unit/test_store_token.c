/* SPDX-License-Identifier: Apache-2.0 */
/* A user's token that does not last: renewed before its end, when it was replaced, or after a
 * refusal, once for all. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "supabase_bench.h"
#include "unit.h"

/* {"alg":"none"}.{"exp":N}.c2ln */
#define EXP_1000  "eyJhbGciOiJub25lIn0.eyJleHAiOjEwMDB9.c2ln"
#define EXP_2000  "eyJhbGciOiJub25lIn0.eyJleHAiOjIwMDB9.c2ln"
#define EXP_NONE  "eyJhbGciOiJub25lIn0.e30.c2ln"
#define SEND_1000 "Authorization: Bearer eyJhbGciOiJub25lIn0.eyJleHAiOjEwMDB9.c2ln"
#define SEND_2000 "Authorization: Bearer eyJhbGciOiJub25lIn0.eyJleHAiOjIwMDB9.c2ln"
#define SEND_NONE "Authorization: Bearer eyJhbGciOiJub25lIn0.e30.c2ln"
#define SEND_KEY                                                                                   \
	"Authorization: Bearer "                                                                   \
	"eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoic2VydmljZV9yb2xlIn0.c2ln"
#define S(n) ((int64_t)(n)*SUPAFS_NS_PER_S)

/* What the owner of the token does when he is asked. */
struct owner {
	const char *next; /* NULL: there is no newer one */
	unsigned asked;
	bool changed; /* until he is asked */
};

static int renew(void *ctx, struct supafs_buf *ret)
{
	struct owner *o = ctx;

	o->asked++;
	o->changed = false;
	return o->next ? supafs_buf_adds(ret, o->next) : -ENOENT;
}

static bool has_changed(void *ctx)
{
	const struct owner *o = ctx;

	return o->changed;
}

struct token_bench {
	struct supafs_fake_clock clock;
	struct owner owner;
	struct bench b;
};

static void begin(struct token_bench *t, const char *token, const struct exchange *list, size_t n)
{
	struct supafs_supabase_config cfg;

	t->owner = (struct owner){0};
	bench_config(&cfg);
	supafs_fake_clock_init(&t->clock, S(1), S(900));
	cfg.clock = &t->clock.base;
	cfg.user_token = token;
	cfg.refresh = renew;
	cfg.changed = has_changed;
	cfg.refresh_ctx = &t->owner;
	bench_begin_with(&t->b, &cfg, list, n);
}

static int ask(struct token_bench *t)
{
	return t->b.s->ops->remove(t->b.s, &t->b.call, SUPAFS_STR("k"), &t->b.fault);
}

#define REMOVE(token)                                                                              \
	.method = SUPAFS_HTTP_DELETE, .url = BASE "/object/my%20bucket/k",                         \
	.headers = {"apikey: *", token}
#define DONE .status = 200, .reply = "{\"message\":\"ok\"}"
#define REFUSED                                                                                    \
	.status = 400, .reply = "{\"statusCode\":\"403\",\"code\":\"AccessDenied\",\"message\":"   \
				"\"\\\"exp\\\" claim timestamp check failed\"}"
#define DENIED                                                                                     \
	.status = 400, .reply = "{\"statusCode\":\"403\",\"code\":\"AccessDenied\",\"message\":"   \
				"\"new row violates row-level security policy\"}"

static void test_before_its_end(void **state)
{
	const struct exchange list[] = {
		{REMOVE(SEND_1000), DONE},
		{REMOVE(SEND_2000), DONE},
		{REMOVE(SEND_2000), DONE},
	};
	struct token_bench t;

	(void)state;
	begin(&t, EXP_1000, list, SUPAFS_ARRAY_LEN(list));
	t.owner.next = EXP_2000;
	supafs_fake_clock_advance(&t.clock, S(69));
	assert_int_equal(ask(&t), 0);
	assert_int_equal(t.owner.asked, 0);
	supafs_fake_clock_advance(&t.clock, S(1)); /* 30 s are left */
	assert_int_equal(ask(&t), 0);
	assert_int_equal(ask(&t), 0);
	assert_int_equal(t.owner.asked, 1);
	bench_end(&t.b);
}

/* The old one goes on being used, and its owner is asked again after a second, not each time. */
static void test_no_newer_one(void **state)
{
	static const char *const answers[] = {NULL, EXP_1000, "", "two words", "line\n"};

	(void)state;
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(answers); i++) {
		const struct exchange list[] = {{REMOVE(SEND_1000), DONE, .again = true}};
		struct token_bench t;

		begin(&t, EXP_1000, list, 1);
		t.owner.next = answers[i];
		supafs_fake_clock_advance(&t.clock, S(95));
		for (int k = 0; k < 5; k++)
			assert_int_equal(ask(&t), 0);
		assert_int_equal(t.owner.asked, 1);
		supafs_fake_clock_advance(&t.clock, S(1));
		assert_int_equal(ask(&t), 0);
		assert_int_equal(t.owner.asked, 2);
		bench_end(&t.b);
	}
}

static void test_refused(void **state)
{
	const struct exchange list[] = {
		{REMOVE(SEND_NONE), REFUSED},
		{REMOVE(SEND_2000), DONE},
		/* the new one is refused as well: repeated once, not more */
		{REMOVE(SEND_2000), REFUSED},
		{REMOVE(SEND_NONE), REFUSED},
		/* not the token's fault */
		{REMOVE(SEND_NONE), DENIED},
	};
	struct token_bench t;

	(void)state;
	begin(&t, EXP_NONE, list, SUPAFS_ARRAY_LEN(list));
	supafs_fake_clock_advance(&t.clock, S(1000)); /* it does not tell its end */
	t.owner.next = EXP_2000;
	assert_int_equal(ask(&t), 0);
	assert_int_equal(t.owner.asked, 1);
	t.owner.next = EXP_NONE;
	assert_int_equal(ask(&t), -EACCES);
	assert_string_equal(t.b.fault.code, "TokenExpired");
	assert_int_equal(t.owner.asked, 2);
	assert_int_equal(ask(&t), -EACCES);
	assert_int_equal(t.b.fault.class, SUPAFS_FAULT_DENIED);
	assert_int_equal(t.owner.asked, 2);
	bench_end(&t.b);
}

static void test_refused_for_good(void **state)
{
	const struct exchange list[] = {{REMOVE(SEND_NONE), REFUSED, .again = true}};
	struct token_bench t;

	(void)state;
	begin(&t, EXP_NONE, list, 1);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(ask(&t), -EACCES);
		assert_int_equal(t.b.fault.class, SUPAFS_FAULT_AUTH);
	}
	assert_int_equal(t.owner.asked, 1);
	bench_end(&t.b);
}

/* Long before its end, and whatever was asked in vain a moment ago. */
static void test_changed(void **state)
{
	const struct exchange list[] = {
		{REMOVE(SEND_2000), DONE},
		{REMOVE(SEND_NONE), DONE},
		{REMOVE(SEND_NONE), DONE},
		{REMOVE(SEND_2000), DONE},
	};
	struct token_bench t;

	(void)state;
	begin(&t, EXP_2000, list, SUPAFS_ARRAY_LEN(list));
	assert_int_equal(ask(&t), 0);
	assert_int_equal(t.owner.asked, 0);
	t.owner = (struct owner){.next = EXP_NONE, .changed = true};
	assert_int_equal(ask(&t), 0);
	t.owner = (struct owner){.changed = true};
	assert_int_equal(ask(&t), 0);
	assert_int_equal(t.owner.asked, 1);
	t.owner = (struct owner){.next = EXP_2000, .changed = true};
	assert_int_equal(ask(&t), 0);
	assert_int_equal(t.owner.asked, 1);
	bench_end(&t.b);
}

static ssize_t pread_text(void *ctx, void *buf, size_t n, uint64_t off)
{
	memcpy(buf, (const char *)ctx + off, n);
	return (ssize_t)n;
}

/* An upload that was refused goes out again whole. */
static void test_upload(void **state)
{
	char text[] = "content";
	const struct supafs_put_args a = {
		.key = SUPAFS_STR("k"), .size = 7, .pread = pread_text, .ctx = text};
	const struct exchange list[] = {
		{.method = SUPAFS_HTTP_PUT,
			.url = BASE "/object/my%20bucket/k",
			.headers = {"apikey: *", SEND_NONE, "C*", "C*", "x*"},
			.body = "content",
			REFUSED},
		{.method = SUPAFS_HTTP_PUT,
			.url = BASE "/object/my%20bucket/k",
			.headers = {"apikey: *", SEND_2000, "C*", "C*", "x*"},
			.body = "content",
			.status = 200,
			.reply = "{\"Key\":\"b/k\"}"},
	};
	struct token_bench t;
	unsigned char id[16];

	(void)state;
	begin(&t, EXP_NONE, list, SUPAFS_ARRAY_LEN(list));
	t.owner.next = EXP_2000;
	assert_int_equal(t.b.s->ops->put(t.b.s, &t.b.call, &a, id, &t.b.fault), 0);
	bench_end(&t.b);
}

/* A key stands in the header for good. */
static void test_key_alone(void **state)
{
	const struct exchange list[] = {{REMOVE(SEND_KEY), REFUSED}};
	struct token_bench t;

	(void)state;
	begin(&t, NULL, list, 1);
	t.owner.next = EXP_2000;
	assert_int_equal(ask(&t), -EACCES);
	assert_int_equal(t.owner.asked, 0);
	bench_end(&t.b);
}

/* --- Many threads -------------------------------------------------------------------------------
 */

enum {
	THREADS = 8,
};

/* Refuses the old token, and lets the owner answer only when all have been refused. */
struct strict_http {
	struct supafs_http base;
	struct supafs_mutex lock;
	struct supafs_cond all_in;
	unsigned refused, asked, inside;
	bool one_at_a_time;
};

static int strict_perform(struct supafs_http *h, struct supafs_call *call,
	const struct supafs_http_request *req, struct supafs_http_reply *reply)
{
	struct strict_http *s = (struct strict_http *)(void *)h;
	const bool old = strcmp(req->headers[1], SEND_NONE) == 0;

	(void)call;
	reply->status = old ? 400 : 200;
	if (old) {
		SUPAFS_SCOPED_LOCK(&s->lock);
		s->refused++;
		supafs_cond_broadcast(&s->all_in);
	}
	return supafs_buf_adds(&reply->body,
		old ? "{\"statusCode\":\"403\",\"code\":\"AccessDenied\",\"message\":\"JWT\"}"
		    : "{\"message\":\"ok\"}");
}

static int strict_renew(void *ctx, struct supafs_buf *ret)
{
	struct strict_http *s = ctx;

	SUPAFS_SCOPED_LOCK(&s->lock);
	s->asked++;
	s->one_at_a_time = s->one_at_a_time && s->inside == 0;
	s->inside++;
	while (s->refused < THREADS)
		supafs_cond_wait(&s->all_in, &s->lock);
	s->inside--;
	return supafs_buf_adds(ret, EXP_2000);
}

static void *remove_one(void *ctx)
{
	struct supafs_store *s = ctx;
	struct supafs_fault fault;
	struct supafs_call call;
	int r;

	supafs_call_init(&call, supafs_clock_system(), 0);
	r = s->ops->remove(s, &call, SUPAFS_STR("k"), &fault);
	supafs_call_fini(&call);
	return r == 0 ? NULL : ctx;
}

static void test_threads(void **state)
{
	static const struct supafs_http_ops ops = {.perform = strict_perform};
	struct strict_http h = {.base = {&ops}, .one_at_a_time = true};
	struct supafs_supabase_config cfg;
	struct supafs_store *s = NULL;
	pthread_t threads[THREADS];

	(void)state;
	supafs_mutex_init(&h.lock);
	supafs_cond_init(&h.all_in);
	bench_config(&cfg);
	cfg.user_token = EXP_NONE;
	cfg.refresh = strict_renew;
	cfg.refresh_ctx = &h;
	assert_int_equal(supafs_store_new_supabase(&cfg, &h.base, &s), 0);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, remove_one, s), 0);
	for (int i = 0; i < THREADS; i++) {
		void *failed = s;
		assert_int_equal(pthread_join(threads[i], &failed), 0);
		assert_null(failed);
	}
	assert_int_equal(h.asked, 1);
	assert_int_equal(h.refused, THREADS);
	assert_true(h.one_at_a_time);
	(void)supafs_store_free(s);
	supafs_cond_fini(&h.all_in);
	supafs_mutex_fini(&h.lock);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_before_its_end),
		cmocka_unit_test(test_no_newer_one),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_refused_for_good),
		cmocka_unit_test(test_changed),
		cmocka_unit_test(test_upload),
		cmocka_unit_test(test_key_alone),
		cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests_name("store_token", tests, NULL, NULL);
}
