/* SPDX-License-Identifier: Apache-2.0 */
/* Dates, durations, sizes, modes, mtimes, base64, JSON text: the input through each parser. */
#include <errno.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/clock.h"
#include "supafs/util/log.h"
#include "supafs/util/parse.h"

#include "fuzz.h"
#include "json_priv.h"

/* A failed parser leaves the result alone. */
static void check_numbers(struct supafs_str s)
{
	uint64_t n = 77;
	unsigned mode = 077;
	bool b = true;
	int r = supafs_parse_u64(s, 1000, &n);

	FUZZ_CHECK(r == 0 ? n <= 1000 : n == 77 && (r == -EINVAL || r == -ERANGE));
	n = 77;
	r = supafs_parse_size(s, &n);
	FUZZ_CHECK(r == 0 || (n == 77 && (r == -EINVAL || r == -ERANGE)));
	n = 77;
	r = supafs_parse_duration_ms(s, &n);
	FUZZ_CHECK(r == 0 || (n == 77 && (r == -EINVAL || r == -ERANGE)));
	r = supafs_parse_mode(s, &mode);
	FUZZ_CHECK(r == 0 ? mode <= 07777 : mode == 077 && (r == -EINVAL || r == -ERANGE));
	FUZZ_CHECK(supafs_parse_bool(s, &b) == 0 || b);
}

static void check_times(struct supafs_str s)
{
	int64_t ns = 77, back = 0;
	char text[40];
	int n;

	if (supafs_parse_iso8601(s.p, s.n, &ns) < 0)
		FUZZ_CHECK(ns == 77);
	ns = 77;
	if (supafs_parse_http_date(s.p, s.n, &ns) < 0)
		FUZZ_CHECK(ns == 77);
	else
		FUZZ_CHECK(ns % SUPAFS_NS_PER_S == 0);
	ns = 77;
	if (supafs_parse_mtime(s, &ns) < 0) {
		FUZZ_CHECK(ns == 77);
		return;
	}
	n = supafs_format_mtime(ns, text, sizeof(text));
	FUZZ_CHECK(n > 0);
	FUZZ_CHECK(supafs_parse_mtime((struct supafs_str){text, (size_t)n}, &back) == 0);
	FUZZ_CHECK(back == ns);
}

static void check_base64(struct supafs_str s)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf bytes, text, urltext;

	supafs_buf_init(&bytes, s.n + 3);
	supafs_buf_init(&text, 2 * s.n + 8);
	supafs_buf_init(&urltext, 2 * s.n + 8);
	/* What decodes is the one text of its bytes. */
	if (supafs_b64_decode(&bytes, s) == 0) {
		FUZZ_CHECK(supafs_b64_encode(&text, supafs_buf_cstr(&bytes), bytes.n) == 0);
		FUZZ_CHECK(supafs_str_eq(supafs_buf_str(&text), s));
	}
	supafs_buf_reset(&bytes);
	if (supafs_b64url_decode(&bytes, s) == 0) {
		FUZZ_CHECK(supafs_b64url_encode(&urltext, supafs_buf_cstr(&bytes), bytes.n) == 0);
		FUZZ_CHECK(supafs_str_eq(supafs_buf_str(&urltext), s));
	}
	/* And any bytes come back. */
	supafs_buf_reset(&bytes);
	supafs_buf_reset(&text);
	FUZZ_CHECK(supafs_b64_encode(&text, s.p, s.n) == 0);
	FUZZ_CHECK(supafs_b64_decode(&bytes, supafs_buf_str(&text)) == 0);
	FUZZ_CHECK(supafs_str_eq(supafs_buf_str(&bytes), s));
}

static void check_quote(struct supafs_str s)
{
	supafs_cleanup(supafs_json_freep) struct supafs_json *j = NULL;
	supafs_cleanup(supafs_buf_fini) struct supafs_buf b;
	struct supafs_str back;

	supafs_buf_init(&b, 6 * s.n + 2);
	FUZZ_CHECK(supafs_json_quote(&b, s) == 0);
	if (memchr(s.p, 0, s.n))
		return;
	FUZZ_CHECK(supafs_json_parse(supafs_buf_str(&b), &j) == 0);
	FUZZ_CHECK(supafs_json_value_text(j, &back) && back.n >= s.n);
}

static void check_redact(struct supafs_str s)
{
	char out[200];
	size_t n = supafs_log_redact(s.p, s.n, out, sizeof(out));

	FUZZ_CHECK(n < sizeof(out) && strlen(out) == n);
	for (size_t i = 0; i < n; i++)
		FUZZ_CHECK((unsigned char)out[i] >= 0x20 && out[i] != 0x7F);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct supafs_str s = fuzz_str(data, size);

	if (size > (1U << 18))
		return 0;
	check_numbers(s);
	check_times(s);
	check_base64(s);
	check_quote(s);
	check_redact(s);
	return 0;
}
