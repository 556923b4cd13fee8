/* SPDX-License-Identifier: Apache-2.0 */
/* Header lines into the reply: one row of a table each. */
#include <strings.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/parse.h"

#include "header_priv.h"

void supafs_http_clear_headers(struct supafs_http_reply *r)
{
	r->status = 0;
	r->content_length = UINT64_MAX;
	r->range_first = r->range_last = r->range_total = 0;
	r->has_range = false;
	r->json = false;
	r->etag[0] = r->request_id[0] = r->location[0] = '\0';
	r->retry_after_ms = -1;
	r->date_ns = 0;
	r->upload_offset = r->upload_length = UINT64_MAX;
	supafs_buf_reset(&r->upload_metadata);
}

int supafs_http_parse_status_line(struct supafs_str line)
{
	const char *blank = line.n > 0 ? memchr(line.p, ' ', line.n) : NULL;
	uint64_t status = 0;
	struct supafs_str digits;

	if (!supafs_str_starts(line, SUPAFS_STR("HTTP/")) || !blank)
		return 0;
	digits = (struct supafs_str){blank + 1, line.n - (size_t)(blank + 1 - line.p)};
	if (digits.n < 3 || (digits.n > 3 && digits.p[3] != ' '))
		return 0;
	digits.n = 3;
	if (supafs_parse_u64(digits, 599, &status) != 0 || status < 100)
		return 0;
	return (int)status;
}

/* Visible ASCII and blanks only. A value that does not fit is no value: half an ETag or half
 * a location would be a wrong one. */
static bool copy_value(struct supafs_str v, char *out, size_t size)
{
	if (v.n >= size)
		return false;
	for (size_t i = 0; i < v.n; i++) {
		if (v.p[i] < 0x20 || v.p[i] == 0x7F)
			return false;
	}
	if (v.n > 0)
		memcpy(out, v.p, v.n);
	out[v.n] = '\0';
	return true;
}

static void take_length(struct supafs_http_reply *r, struct supafs_str v, int64_t now)
{
	(void)now;
	(void)supafs_parse_u64(v, INT64_MAX, &r->content_length);
}

static void take_range(struct supafs_http_reply *r, struct supafs_str v, int64_t now)
{
	(void)now;
	(void)supafs_http_parse_content_range(v, r);
}

static void take_type(struct supafs_http_reply *r, struct supafs_str v, int64_t now)
{
	static const struct supafs_str json = {"application/json", 16};

	(void)now;
	r->json = v.n >= json.n && strncasecmp(v.p, json.p, json.n) == 0 &&
		  (v.n == json.n || v.p[json.n] == ';' || v.p[json.n] == ' ');
}

static void take_etag(struct supafs_http_reply *r, struct supafs_str v, int64_t now)
{
	(void)now;
	(void)copy_value(v, r->etag, sizeof(r->etag));
}

static void take_location(struct supafs_http_reply *r, struct supafs_str v, int64_t now)
{
	(void)now;
	(void)copy_value(v, r->location, sizeof(r->location));
}

/* The server's own id is the one that its logs know; a proxy's is the second best. */
static void take_request_id(struct supafs_http_reply *r, struct supafs_str v, int64_t now)
{
	(void)now;
	(void)copy_value(v, r->request_id, sizeof(r->request_id));
}

static void take_other_id(struct supafs_http_reply *r, struct supafs_str v, int64_t now)
{
	if (r->request_id[0] == '\0')
		take_request_id(r, v, now);
}

static void take_retry_after(struct supafs_http_reply *r, struct supafs_str v, int64_t now)
{
	(void)supafs_http_parse_retry_after(v, now, &r->retry_after_ms);
}

static void take_date(struct supafs_http_reply *r, struct supafs_str v, int64_t now)
{
	(void)now;
	(void)supafs_parse_http_date(v.p, v.n, &r->date_ns);
}

static void take_offset(struct supafs_http_reply *r, struct supafs_str v, int64_t now)
{
	(void)now;
	(void)supafs_parse_u64(v, INT64_MAX, &r->upload_offset);
}

static void take_upload_length(struct supafs_http_reply *r, struct supafs_str v, int64_t now)
{
	(void)now;
	(void)supafs_parse_u64(v, INT64_MAX, &r->upload_length);
}

static void take_upload_metadata(struct supafs_http_reply *r, struct supafs_str v, int64_t now)
{
	(void)now;
	supafs_buf_reset(&r->upload_metadata);
	(void)supafs_buf_addstr(&r->upload_metadata, v);
}

static struct supafs_str trim(struct supafs_str s)
{
	while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t')) {
		s.p++;
		s.n--;
	}
	while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

void supafs_http_take_header(
	struct supafs_http_reply *r, struct supafs_str line, int64_t now_wall_ns)
{
	static const struct {
		struct supafs_str name;
		void (*take)(struct supafs_http_reply *r, struct supafs_str v, int64_t now);
	} rows[] = {
		{{"content-length", 14}, take_length},
		{{"content-range", 13}, take_range},
		{{"content-type", 12}, take_type},
		{{"etag", 4}, take_etag},
		{{"location", 8}, take_location},
		{{"sb-request-id", 13}, take_request_id},
		{{"x-request-id", 12}, take_other_id},
		{{"cf-ray", 6}, take_other_id},
		{{"retry-after", 11}, take_retry_after},
		{{"date", 4}, take_date},
		{{"upload-offset", 13}, take_offset},
		{{"upload-length", 13}, take_upload_length},
		{{"upload-metadata", 15}, take_upload_metadata},
	};
	const char *colon = line.n > 0 ? memchr(line.p, ':', line.n) : NULL;
	struct supafs_str name;
	struct supafs_str value;

	if (!colon)
		return;
	name = (struct supafs_str){line.p, (size_t)(colon - line.p)};
	value = trim((struct supafs_str){colon + 1, line.n - name.n - 1});
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(rows); i++) {
		if (rows[i].name.n == name.n && strncasecmp(rows[i].name.p, name.p, name.n) == 0)
			rows[i].take(r, value, now_wall_ns);
	}
}
