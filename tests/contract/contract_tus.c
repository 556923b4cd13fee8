/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Contract: resumable uploads, against a server. What is cut goes on where the server has it, in
 * the same put, in the next one, and in the next process.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "supafs/util/cleanup.h"

#include "contract.h"

#define MIB  (UINT64_C(1) << 20)
#define SIZE (8 * MIB)

/* Content that is made as it is read: each 8 bytes are their own offset. */
struct pattern {
	uint64_t read;    /* bytes that were asked for */
	uint64_t stop_at; /* an error from there on; 0: none */
	uint64_t got;     /* compared */
};

static unsigned char pattern_byte(uint64_t off)
{
	return (unsigned char)((off / 8 * UINT64_C(0x9e3779b97f4a7c15)) >> (off % 8 * 8));
}

static ssize_t pattern_pread(void *ctx, void *buf, size_t n, uint64_t off)
{
	struct pattern *p = ctx;

	if (p->stop_at > 0 && off >= p->stop_at)
		return -ECANCELED;
	for (size_t i = 0; i < n; i++)
		((unsigned char *)buf)[i] = pattern_byte(off + i);
	p->read += n;
	return (ssize_t)n;
}

static int pattern_compare(void *ctx, const void *buf, size_t n)
{
	struct pattern *p = ctx;

	for (size_t i = 0; i < n; i++) {
		if (((const unsigned char *)buf)[i] != pattern_byte(p->got + i))
			return -EBADMSG;
	}
	p->got += n;
	return 0;
}

static void assert_pattern(struct run *r, const char *key, uint64_t size)
{
	const struct supafs_info i = info_of(r, key);
	struct pattern p = {.got = 0};
	const struct supafs_get_args a = {
		.key = supafs_str_of(key),
		.length = size,
		.version = &i.version,
		.sink = {pattern_compare, &p},
	};

	assert_int_equal(i.version.size, size);
	assert_int_equal(r->s->ops->get(r->s, &r->call, &a, &r->fault), 0);
	assert_int_equal(p.got, size);
}

static int put_with(
	struct run *r, struct supafs_store *s, struct supafs_put_args *a, struct pattern *p)
{
	unsigned char id[16];

	a->pread = pattern_pread;
	a->ctx = p;
	if (a->size == 0)
		a->size = SIZE;
	return s->ops->put(s, &r->call, a, id, &r->fault);
}

/* False: there is no server, or none that can be told to misbehave. */
static bool tus_begin(struct run *r, void **state, bool steered, struct supafs_store **ret_store)
{
	run_begin(r, state);
	*ret_store = NULL;
	if (r->target->http && (r->target->dir[0] || !steered)) {
		*ret_store = target_store_resumable(r->target, MIB);
		assert_non_null(*ret_store);
		if (steered)
			fault(r, "\"kind\":\"tus_patch\",\"count\":1,\"skip\":99",
				"\"status\":500");
		return true;
	}
	run_end(r);
	return false;
}

static void tus_end(struct run *r, struct supafs_store *s)
{
	(void)supafs_store_free(s);
	if (r->target->dir[0])
		faults_end(r);
	else
		run_end(r);
}

/* pairs of util/pairs.h: bin = 00 ff */
#define USER ((struct supafs_str){"\3\0\0\0\2\0\0\0bin\0\xff", 13})

void test_tus_whole(void **state)
{
	struct supafs_put_args a = {
		.key = KEY("tus/whole file"),
		.mime = KEY("video/x-test"),
		.meta = {SUPAFS_META_MODE | SUPAFS_META_MTIME, 1700000000123456789, 0640, 0, 0},
		.user = USER,
	};
	struct supafs_store *s;
	struct supafs_info i;
	struct pattern p = {0};
	struct listing l;
	struct run r;

	if (!tus_begin(&r, state, false, &s))
		return;
	assert_int_equal(put_with(&r, s, &a, &p), 0);
	assert_int_equal(p.read, SIZE);
	if (r.target->dir[0]) {
		fault(&r, "\"kind\":\"other\"", "\"status\":500"); /* counters at zero */
		p = (struct pattern){0};
		assert_int_equal(put_with(&r, s, &a, &p), 0); /* over it */
		assert_int_equal(count(&r, "tus_create"), 1);
		assert_int_equal(count(&r, "tus_patch"), 1);
		assert_int_equal(count(&r, "total"), 2);
	}
	assert_pattern(&r, "tus/whole file", SIZE);
	i = info_of(&r, "tus/whole file");
	assert_string_equal(i.mime, "video/x-test");
	assert_string_equal(i.cache_control, "max-age=00");
	assert_int_equal(i.meta.mtime_ns, 1700000000123456789);
	assert_int_equal(i.meta.mode, 0640);
	assert_int_equal(i.user_n, 13);
	assert_memory_equal(i.user, USER.p, 13);
	list_all(&r, "tus/whole", true, 10, &l);
	assert_int_equal(l.n, 1);
	assert_true(l.entries[0].meta.has & SUPAFS_META_ASK);
	listing_free(&l);
	tus_end(&r, s);
}

void test_tus_exclusive(void **state)
{
	struct supafs_put_args a = {.key = KEY("tus/exclusive"), .exclusive = true};
	struct supafs_store *s;
	struct pattern p = {0};
	struct run r;

	if (!tus_begin(&r, state, false, &s))
		return;
	assert_int_equal(put_with(&r, s, &a, &p), 0);
	p = (struct pattern){0};
	assert_int_equal(put_with(&r, s, &a, &p), -EEXIST);
	assert_int_equal(p.read, 0);
	assert_pattern(&r, "tus/exclusive", SIZE);
	tus_end(&r, s);
}

/* Cut at 60 %: what the server has is not sent again. */
void test_tus_cut(void **state)
{
	struct supafs_put_args a = {.key = KEY("tus/cut")};
	struct supafs_store *s;
	struct pattern p = {0};
	struct run r;

	if (!tus_begin(&r, state, true, &s))
		return;
	fault(&r, "\"kind\":\"tus_patch\",\"count\":1",
		"\"reset\":\"body\",\"reset_after\":5033164");
	assert_int_equal(put_with(&r, s, &a, &p), 0);
	assert_int_equal(count(&r, "tus_create"), 1);
	assert_int_equal(count(&r, "tus_patch"), 2);
	assert_int_equal(count(&r, "tus_head"), 1);
	assert_int_equal(count(&r, "total"), 4);
	/* all may have been on its way when it was cut; then only what the server lacked went */
	assert_true(p.read <= SIZE + SIZE * 2 / 5 + MIB);
	assert_pattern(&r, "tus/cut", SIZE);
	assert_true(count(&r, "bytes_in") <= SIZE + MIB);

	/* seven cuts, each of them further on */
	p = (struct pattern){0};
	fault(&r, "\"kind\":\"tus_patch\",\"count\":7",
		"\"reset\":\"body\",\"reset_after\":1048576");
	assert_int_equal(put_with(&r, s, &a, &p), 0);
	assert_int_equal(count(&r, "tus_create"), 1);
	assert_int_equal(count(&r, "tus_patch"), 8);
	assert_pattern(&r, "tus/cut", SIZE);
	assert_true(count(&r, "bytes_in") <= SIZE + 7 * MIB / 4);
	tus_end(&r, s);
}

/* What a journal would keep. */
struct journal {
	char id[SUPAFS_UPLOAD_MAX + 1];
	unsigned changes;
};

static void journal_note(void *ctx, const struct supafs_resume *r)
{
	struct journal *j = ctx;

	(void)snprintf(j->id, sizeof(j->id), "%s", r->id);
	j->changes++;
}

static void resume_from(struct supafs_resume *r, struct journal *j)
{
	*r = (struct supafs_resume){.changed = journal_note, .ctx = j};
	(void)snprintf(r->id, sizeof(r->id), "%s", j->id);
}

/* An upload that was cut at 60 % by the end of its process. */
static void begin_upload(struct run *r, struct supafs_put_args *a, struct journal *j)
{
	struct supafs_store *s = target_store_resumable(r->target, MIB);
	struct pattern p = {.stop_at = SIZE * 3 / 5};
	struct supafs_resume resume;

	assert_non_null(s);
	resume_from(&resume, j);
	a->resume = &resume;
	assert_int_equal(put_with(r, s, a, &p), -ECANCELED);
	assert_true(j->id[0] != '\0');
	assert_string_equal(resume.id, j->id);
	a->resume = NULL;
	(void)supafs_store_free(s);
}

void test_tus_restart(void **state)
{
	struct supafs_put_args a = {
		.key = KEY("tus/restart"),
		.nonce = KEY("nonce-1"),
		.meta = {SUPAFS_META_MODE, 0, 0600, 0, 0},
	};
	struct journal j = {.changes = 0};
	struct supafs_resume resume;
	struct supafs_store *s;
	struct pattern p = {0};
	struct run r;

	if (!tus_begin(&r, state, true, &s))
		return;
	begin_upload(&r, &a, &j);
	assert_false(exists(&r, "tus/restart"));

	fault(&r, "\"kind\":\"other\"", "\"status\":500");
	resume_from(&resume, &j);
	a.resume = &resume;
	assert_int_equal(put_with(&r, s, &a, &p), 0);
	assert_int_equal(count(&r, "tus_head"), 1);
	assert_int_equal(count(&r, "tus_patch"), 1);
	assert_int_equal(count(&r, "total"), 2);
	assert_true(p.read < SIZE / 2 + MIB);
	assert_pattern(&r, "tus/restart", SIZE);
	assert_string_equal(j.id, "");
	assert_int_equal(j.changes, 2);

	/* a mode that was changed meanwhile: it is begun anew, and the old one is ended */
	begin_upload(&r, &a, &j);
	fault(&r, "\"kind\":\"other\"", "\"status\":500");
	resume_from(&resume, &j);
	a.resume = &resume;
	a.meta.mode = 0644;
	assert_int_equal(put_with(&r, s, &a, &p), 0);
	assert_int_equal(count(&r, "tus_delete"), 1);
	assert_int_equal(count(&r, "tus_create"), 1);
	assert_int_equal(info_of(&r, "tus/restart").meta.mode, 0644);
	tus_end(&r, s);
}

/* The URL's life is over, or it was never one of this server's. */
void test_tus_gone(void **state)
{
	static const char *const effects[] = {"\"status\":410", "\"status\":404"};
	struct supafs_put_args a = {.key = KEY("tus/gone"), .nonce = KEY("nonce-2")};
	struct supafs_resume resume;
	struct supafs_store *s;
	struct run r;

	if (!tus_begin(&r, state, true, &s))
		return;
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(effects); i++) {
		struct journal j = {.changes = 0};
		struct pattern p = {0};

		begin_upload(&r, &a, &j);
		fault(&r, "\"kind\":\"tus_head\"", effects[i]);
		resume_from(&resume, &j);
		a.resume = &resume;
		assert_int_equal(put_with(&r, s, &a, &p), 0);
		assert_int_equal(p.read, SIZE);
		assert_int_equal(count(&r, "info"), 1);
		assert_int_equal(count(&r, "tus_create"), 1);
		/* and now that id belongs to what is there: nothing is sent */
		(void)snprintf(resume.id, sizeof(resume.id), "abc");
		fault(&r, "\"kind\":\"other\"", "\"status\":500");
		assert_int_equal(put_with(&r, s, &a, &p), 0);
		assert_int_equal(p.read, SIZE);
		assert_int_equal(count(&r, "tus_create"), 0);
		assert_int_equal(r.s->ops->remove(r.s, &r.call, a.key, &r.fault), 0);
	}
	tus_end(&r, s);
}

void test_tus_lost_answer(void **state)
{
	struct supafs_put_args a = {.key = KEY("tus/lost")};
	struct supafs_store *s;
	struct run r;

	if (!tus_begin(&r, state, true, &s))
		return;
	for (int exclusive = 0; exclusive < 2; exclusive++) {
		struct pattern p = {0};

		fault(&r, "\"kind\":\"tus_patch\",\"count\":1", "\"reset\":\"answer\"");
		a.exclusive = exclusive;
		a.key = exclusive ? KEY("tus/lost exclusive") : KEY("tus/lost");
		assert_int_equal(put_with(&r, s, &a, &p), 0);
		assert_int_equal(p.read, SIZE);
		assert_int_equal(count(&r, "tus_create"), 1);
		assert_int_equal(count(&r, "tus_patch"), 1);
		assert_int_equal(count(&r, "tus_head"), 1);
		assert_int_equal(count(&r, "info"), 1);
	}
	assert_pattern(&r, "tus/lost", SIZE);
	assert_pattern(&r, "tus/lost exclusive", SIZE);
	tus_end(&r, s);
}

/* A gateway's limit: pieces of 6 MiB, and for the next upload from the start. */
void test_tus_gateway(void **state)
{
	struct supafs_put_args a = {.key = KEY("tus/gateway")};
	struct supafs_store *s;
	struct pattern p = {0};
	struct run r;

	if (!tus_begin(&r, state, true, &s))
		return;
	fault(&r, "\"kind\":\"tus_patch\",\"count\":1",
		"\"status\":413,\"content_type\":\"text/html\",\"body\":\"<html>too large</html>\"");
	assert_int_equal(put_with(&r, s, &a, &p), 0);
	assert_int_equal(count(&r, "tus_create"), 1);
	assert_int_equal(count(&r, "tus_patch"), 3);
	assert_int_equal(count(&r, "tus_head"), 0);
	assert_pattern(&r, "tus/gateway", SIZE);
	fault(&r, "\"kind\":\"other\"", "\"status\":500");
	assert_int_equal(put_with(&r, s, &a, &p), 0);
	assert_int_equal(count(&r, "tus_patch"), 2);
	/* the bucket's own limit is no gateway's: no piece will do */
	fault(&r, "\"kind\":\"tus_create\"",
		"\"status\":413,\"content_type\":\"text/plain\",\"body\":\"Maximum size exceeded\"");
	assert_int_equal(put_with(&r, s, &a, &p), -EFBIG);
	assert_int_equal(count(&r, "total"), 1);
	tus_end(&r, s);
}

/* The default threshold, and a large object in two requests. */
void test_tus_large(void **state)
{
	struct supafs_put_args a = {.key = KEY("tus/large"), .size = 200 * MIB};
	struct supafs_store *s;
	struct pattern p = {0};
	struct run r;

	if (!tus_begin(&r, state, true, &s))
		return;
	(void)supafs_store_free(s);
	s = target_store_resumable(r.target, 0);
	fault(&r, "\"kind\":\"other\"", "\"status\":500");
	assert_int_equal(put_with(&r, s, &a, &p), 0);
	assert_int_equal(count(&r, "tus_create"), 1);
	assert_int_equal(count(&r, "tus_patch"), 1);
	assert_int_equal(count(&r, "total"), 2);
	assert_int_equal(p.read, 200 * MIB);
	assert_pattern(&r, "tus/large", 200 * MIB);
	assert_int_equal(r.s->ops->remove(r.s, &r.call, a.key, &r.fault), 0);
	fault(&r, "\"kind\":\"other\"", "\"status\":500");
	a.size = 64 * MIB - 1;
	assert_int_equal(put_with(&r, s, &a, &p), 0);
	assert_int_equal(count(&r, "put"), 1);
	assert_int_equal(r.s->ops->remove(r.s, &r.call, a.key, &r.fault), 0);
	tus_end(&r, s);
}
