/* SPDX-License-Identifier: Apache-2.0 */
/* Requests and replies as plain data. */
#include "supafs/http/http.h"

#include <string.h>

#define METADATA_MAX (16U << 10) /* bytes of Upload-Metadata: what a server's headers may hold */

const char *supafs_http_method_name(enum supafs_http_method m)
{
	static const char *const names[SUPAFS_HTTP__COUNT] = {
		[SUPAFS_HTTP_GET] = "GET",
		[SUPAFS_HTTP_HEAD] = "HEAD",
		[SUPAFS_HTTP_POST] = "POST",
		[SUPAFS_HTTP_PUT] = "PUT",
		[SUPAFS_HTTP_PATCH] = "PATCH",
		[SUPAFS_HTTP_DELETE] = "DELETE",
		[SUPAFS_HTTP_OPTIONS] = "OPTIONS",
	};

	return m < SUPAFS_HTTP__COUNT ? names[m] : "?";
}

static ssize_t mem_pread(void *ctx, void *buf, size_t n, uint64_t off)
{
	const struct supafs_str *s = ctx;
	const size_t left = off < s->n ? s->n - (size_t)off : 0;
	const size_t take = n < left ? n : left;

	if (take > 0)
		memcpy(buf, s->p + off, take);
	return (ssize_t)take;
}

struct supafs_http_source supafs_http_source_mem(const struct supafs_str *s)
{
	struct supafs_http_source source = {.pread = mem_pread, .size = s->n};

	memcpy(&source.ctx, &s, sizeof(source.ctx)); /* only read, by mem_pread() */
	return source;
}

void supafs_http_reply_init(struct supafs_http_reply *r)
{
	*r = (struct supafs_http_reply){
		.content_length = UINT64_MAX,
		.retry_after_ms = -1,
		.upload_offset = UINT64_MAX,
		.upload_length = UINT64_MAX,
	};
	supafs_buf_init(&r->upload_metadata, METADATA_MAX);
	supafs_buf_init(&r->body, SUPAFS_JSON_BODY_MAX);
}

void supafs_http_reply_fini(struct supafs_http_reply *r)
{
	supafs_buf_fini(&r->body);
	supafs_buf_fini(&r->upload_metadata);
}
