/* SPDX-License-Identifier: Apache-2.0 */
/* The bench of the tests of resumable uploads. */
#include "tus_bench.h"

#include <stdio.h>
#include <string.h>

#include "supafs/util/parse.h"

#include "unit.h"

static ssize_t pread_text(void *ctx, void *buf, size_t n, uint64_t off)
{
	assert_true(off < 10 && n <= 10 - off);
	memcpy(buf, (const char *)ctx + off, n);
	return (ssize_t)n;
}

static void changed(void *ctx, const struct supafs_resume *r)
{
	struct upload *u = ctx;
	size_t n = strlen(u->changes);

	(void)snprintf(u->changes + n, sizeof(u->changes) - n, "%s;", r->id[0] ? r->id : "-");
}

void b64_pair(struct supafs_buf *b, const char *name, const char *value)
{
	assert_int_equal(supafs_buf_addf(b, "%s%s ", b->n ? "," : "", name), 0);
	assert_int_equal(supafs_b64_encode(b, value, strlen(value)), 0);
}

void make_metadata(struct supafs_buf *b, const char *key, const char *json)
{
	supafs_buf_init(b, 4000);
	b64_pair(b, "bucketName", "my bucket");
	b64_pair(b, "objectName", key);
	b64_pair(b, "contentType", "a/b");
	b64_pair(b, "cacheControl", "00");
	b64_pair(b, "metadata", json);
}

void upload_init(struct upload *u)
{
	static char text[] = TEXT;

	*u = (struct upload){.args = {
				     .key = SUPAFS_STR("k"),
				     .size = 10,
				     .pread = pread_text,
				     .ctx = text,
				     .mime = SUPAFS_STR("a/b"),
				     .meta = {SUPAFS_META_MODE, 0, 0600, 0, 0},
				     .nonce = SUPAFS_STR("n"),
				     .user = USER,
			     }};
	u->resume.changed = changed;
	u->resume.ctx = u;
	u->args.resume = &u->resume;
	make_metadata(&u->metadata, "k", FACTS("n"));
	supafs_buf_init(&u->line, 4000);
	assert_int_equal(supafs_buf_addf(&u->line, "Upload-Metadata: %s", u->metadata.p), 0);
}

void upload_fini(struct upload *u)
{
	supafs_buf_fini(&u->metadata);
	supafs_buf_fini(&u->line);
}

int put(struct upload *u, const struct exchange *list, size_t n)
{
	struct supafs_supabase_config cfg;
	int r;

	bench_config(&cfg);
	supafs_fake_clock_init(&u->clock, SUPAFS_NS_PER_S, SUPAFS_NS_PER_S);
	cfg.clock = &u->clock.base;
	cfg.resumable_min = 10;
	bench_begin_with(&u->b, &cfg, list, n);
	u->b.http.clock = &u->clock;
	r = u->b.s->ops->put(u->b.s, &u->b.call, &u->args, u->id, &u->b.fault);
	bench_end(&u->b);
	return r;
}
