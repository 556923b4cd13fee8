/* SPDX-License-Identifier: Apache-2.0 */
/* Counters of requests by kind. */
#include "counters.h"

#include <errno.h>
#include <inttypes.h>

static const char *const names[SERVE_KIND__COUNT] = {
	[SERVE_KIND_LIST] = "list",
	[SERVE_KIND_LIST1] = "list1",
	[SERVE_KIND_GET] = "get",
	[SERVE_KIND_HEAD] = "head",
	[SERVE_KIND_INFO] = "info",
	[SERVE_KIND_PUT] = "put",
	[SERVE_KIND_COPY] = "copy",
	[SERVE_KIND_MOVE] = "move",
	[SERVE_KIND_DELETE_ONE] = "delete_one",
	[SERVE_KIND_DELETE_MANY] = "delete_many",
	[SERVE_KIND_BUCKET] = "bucket",
	[SERVE_KIND_SIGN] = "sign",
	[SERVE_KIND_TUS_CREATE] = "tus_create",
	[SERVE_KIND_TUS_PATCH] = "tus_patch",
	[SERVE_KIND_TUS_HEAD] = "tus_head",
	[SERVE_KIND_TUS_DELETE] = "tus_delete",
	[SERVE_KIND_OTHER] = "other",
};

const char *serve_kind_name(enum serve_kind kind)
{
	return names[kind];
}

int serve_kind_parse(struct supafs_str name, enum serve_kind *ret_kind)
{
	for (unsigned k = 0; k < SERVE_KIND__COUNT; k++) {
		if (supafs_str_eq(name, supafs_str_of(names[k]))) {
			*ret_kind = (enum serve_kind)k;
			return 0;
		}
	}
	return -EINVAL;
}

void serve_counters_request(struct serve_counters *c, enum serve_kind kind)
{
	serve_count(&c->kind[kind], 1);
}

void serve_counters_answer(struct serve_counters *c, unsigned status)
{
	if (status >= 400 && status < SERVE_STATUS_MAX)
		serve_count(&c->status[status], 1);
}

void serve_counters_reset(struct serve_counters *c)
{
	for (unsigned k = 0; k < SERVE_KIND__COUNT; k++)
		atomic_store(&c->kind[k], 0);
	for (unsigned s = 0; s < SERVE_STATUS_MAX; s++)
		atomic_store(&c->status[s], 0);
	atomic_store(&c->keys_deleted, 0);
	atomic_store(&c->bytes_in, 0);
	atomic_store(&c->bytes_out, 0);
	atomic_store(&c->connections, 0);
	atomic_store(&c->faults, 0);
}

int serve_counters_json(struct serve_counters *c, struct supafs_buf *out)
{
	const char *comma = "";
	uint64_t total = 0;

	supafs_buf_addc(out, '{');
	for (unsigned k = 0; k < SERVE_KIND__COUNT; k++) {
		uint64_t n = atomic_load(&c->kind[k]);

		total += n;
		supafs_buf_addf(out, "\"%s\":%" PRIu64 ",", names[k], n);
	}
	supafs_buf_addf(out, "\"total\":%" PRIu64 ",\"keys_deleted\":%" PRIu64 ",", total,
		atomic_load(&c->keys_deleted));
	supafs_buf_addf(out, "\"bytes_in\":%" PRIu64 ",\"bytes_out\":%" PRIu64 ",",
		atomic_load(&c->bytes_in), atomic_load(&c->bytes_out));
	supafs_buf_addf(out, "\"connections\":%" PRIu64 ",\"faults\":%" PRIu64 ",\"status\":{",
		atomic_load(&c->connections), atomic_load(&c->faults));
	for (unsigned s = 400; s < SERVE_STATUS_MAX; s++) {
		uint64_t n = atomic_load(&c->status[s]);

		if (n == 0)
			continue;
		supafs_buf_addf(out, "%s\"%u\":%" PRIu64, comma, s, n);
		comma = ",";
	}
	return supafs_buf_adds(out, "}}");
}
