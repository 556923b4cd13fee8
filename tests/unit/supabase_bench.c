/* SPDX-License-Identifier: Apache-2.0 */
/* The bench of the Supabase store's tests. */
#include "supabase_bench.h"

#include "supafs/util/parse.h"

#include "unit.h"

void bench_config(struct supafs_supabase_config *cfg)
{
	*cfg = (struct supafs_supabase_config){
		.url = "https://x.supabase.co",
		.bucket = "my bucket",
		.key = SERVICE,
		.seed = 1,
	};
	cfg->clock = supafs_clock_system();
}

void bench_begin_with(struct bench *b, const struct supafs_supabase_config *cfg,
	const struct exchange *list, size_t n)
{
	script_init(&b->http, list, n);
	supafs_call_init(&b->call, supafs_clock_system(), 0);
	assert_int_equal(supafs_store_new_supabase(cfg, &b->http.base, &b->s), 0);
}

void bench_begin(struct bench *b, const struct exchange *list, size_t n)
{
	struct supafs_supabase_config cfg;

	bench_config(&cfg);
	bench_begin_with(b, &cfg, list, n);
}

void bench_end(struct bench *b)
{
	script_done(&b->http);
	(void)supafs_store_free(b->s);
	supafs_call_fini(&b->call);
}

const char *bench_b64(struct supafs_buf *b, const char *prefix, const char *text)
{
	supafs_buf_init(b, 1000);
	assert_int_equal(supafs_buf_adds(b, prefix), 0);
	assert_int_equal(supafs_b64_encode(b, text, strlen(text)), 0);
	return supafs_buf_cstr(b);
}
