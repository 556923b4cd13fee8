/* SPDX-License-Identifier: Apache-2.0 */
/* Rows as JSON, in the real server's order of members. */
#include "supafs/util/parse.h"

#include "keys.h"
#include "rest.h"

void rest_put_text(struct supafs_buf *b, const char *name, struct supafs_str value)
{
	(void)supafs_buf_addf(b, ",\"%s\":", name);
	(void)supafs_json_quote(b, value);
}

void rest_put_time(struct supafs_buf *b, const char *name, int64_t us)
{
	char text[32];

	serve_format_iso(us, text);
	(void)supafs_buf_addf(b, ",\"%s\":\"%s\"", name, text);
}

void rest_put_metadata(struct supafs_buf *b, const struct serve_object *o)
{
	char text[32];

	(void)supafs_buf_adds(b, ",\"metadata\":{\"eTag\":");
	(void)supafs_json_quote(b, o->etag);
	(void)supafs_buf_addf(b, ",\"size\":%llu,\"mimetype\":", (unsigned long long)o->size);
	(void)supafs_json_quote(b, o->mime);
	(void)supafs_buf_adds(b, ",\"cacheControl\":");
	(void)supafs_json_quote(b, o->cache_control);
	serve_format_iso(o->modified_us, text);
	(void)supafs_buf_addf(b,
		",\"lastModified\":\"%s\",\"contentLength\":%llu,\"httpStatusCode\":200}", text,
		(unsigned long long)o->size);
}

void rest_put_row(struct supafs_buf *b, const struct serve_object *o)
{
	(void)supafs_buf_adds(b, "\"name\":");
	(void)supafs_json_quote(b, o->name);
	rest_put_text(b, "bucket_id", o->bucket);
	rest_put_text(b, "owner", o->owner);
	rest_put_text(b, "owner_id", o->owner);
	rest_put_text(b, "version", o->version);
	rest_put_text(b, "id", o->id);
	rest_put_time(b, "updated_at", o->updated_us);
	rest_put_time(b, "created_at", o->created_us);
	rest_put_time(b, "last_accessed_at", o->accessed_us);
	rest_put_metadata(b, o);
	if (o->meta.p) {
		(void)supafs_buf_adds(b, ",\"user_metadata\":");
		(void)supafs_buf_addstr(b, o->meta);
	}
}

void rest_put_bucket(struct supafs_buf *b, const struct serve_bucket *bucket, bool with_type)
{
	(void)supafs_buf_adds(b, "{\"id\":");
	(void)supafs_json_quote(b, bucket->id);
	rest_put_text(b, "name", bucket->name);
	rest_put_text(b, "owner", bucket->owner);
	(void)supafs_buf_addf(b, ",\"public\":%s", bucket->is_public ? "true" : "false");
	if (with_type)
		(void)supafs_buf_adds(b, ",\"type\":\"STANDARD\"");
	if (bucket->has_limit)
		(void)supafs_buf_addf(
			b, ",\"file_size_limit\":%llu", (unsigned long long)bucket->limit);
	else
		(void)supafs_buf_adds(b, ",\"file_size_limit\":null");
	(void)supafs_buf_adds(b, ",\"allowed_mime_types\":");
	(void)supafs_buf_addstr(b, bucket->mime.p ? bucket->mime : SUPAFS_STR("null"));
	rest_put_time(b, "created_at", bucket->created_us);
	rest_put_time(b, "updated_at", bucket->updated_us);
	(void)supafs_buf_addc(b, '}');
}
