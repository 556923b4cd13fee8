/* SPDX-License-Identifier: Apache-2.0 */
/* Header lines of a reply, one a line, and each line as a status line. */
#include "supafs/http/http.h"

#include "fuzz.h"
#include "header_priv.h"

#define NOW_NS INT64_C(1795479648000000000)

static void check_text(const char *s, size_t room)
{
	FUZZ_CHECK(strnlen(s, room) < room);
	for (; *s; s++)
		FUZZ_CHECK(((unsigned char)*s >= 0x20 && *s != 0x7F));
}

static void check_reply(const struct supafs_http_reply *r)
{
	FUZZ_CHECK(r->content_length == UINT64_MAX || r->content_length <= INT64_MAX);
	FUZZ_CHECK(r->upload_offset == UINT64_MAX || r->upload_offset <= INT64_MAX);
	FUZZ_CHECK(r->upload_length == UINT64_MAX || r->upload_length <= INT64_MAX);
	FUZZ_CHECK(r->retry_after_ms >= -1 && r->retry_after_ms <= 3600000);
	if (r->has_range)
		FUZZ_CHECK(r->range_first <= r->range_last && r->range_last < r->range_total);
	check_text(r->etag, sizeof(r->etag));
	check_text(r->request_id, sizeof(r->request_id));
	check_text(r->location, sizeof(r->location));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct supafs_str rest = fuzz_str(data, size);
	struct supafs_http_reply r;

	supafs_http_reply_init(&r);
	while (rest.n > 0) {
		struct supafs_str line = fuzz_cut(&rest, '\n');
		int status = supafs_http_parse_status_line(line);

		FUZZ_CHECK(status == 0 || (status >= 100 && status <= 599));
		if (status)
			supafs_http_clear_headers(&r);
		supafs_http_take_header(&r, line, NOW_NS);
		check_reply(&r);
	}
	supafs_http_reply_fini(&r);
	return 0;
}
