/* SPDX-License-Identifier: Apache-2.0 */
/* URLs as a user configures them, and percent-encoding. */
#include <errno.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/uri.h"

#include "fuzz.h"

static void check_view(struct supafs_str whole, struct supafs_str part)
{
	FUZZ_CHECK(part.p >= whole.p && part.p + part.n <= whole.p + whole.n);
}

static void check_url(struct supafs_str text)
{
	struct supafs_url u;
	int r = supafs_url_parse(text, &u);

	FUZZ_CHECK(r == 0 || r == -EINVAL);
	if (r < 0)
		return;
	check_view(text, u.host);
	check_view(text, u.path);
	FUZZ_CHECK(u.host.n > 0 && u.port <= 65535);
	FUZZ_CHECK(!memchr(u.host.p, '/', u.host.n) && !memchr(u.host.p, '@', u.host.n));
	FUZZ_CHECK(u.path.n == 0 || (u.path.p[0] == '/' && u.path.p[u.path.n - 1] != '/'));
	for (size_t i = 0; i < text.n; i++)
		FUZZ_CHECK((unsigned char)text.p[i] > 0x20 && (unsigned char)text.p[i] < 0x7F);
}

static unsigned char hex_value(char c)
{
	FUZZ_CHECK((c >= '0' && c <= '9') || (c >= 'A' && c <= 'F'));
	return (unsigned char)(c <= '9' ? c - '0' : c - 'A' + 10);
}

/* The byte that is encoded at `p`; *ret_n: in how many. */
static unsigned char decode(const char *p, bool keep_slash, size_t *ret_n)
{
	*ret_n = p[0] == '%' ? 3 : 1;
	if (p[0] == '%')
		return (unsigned char)(hex_value(p[1]) << 4 | hex_value(p[2]));
	FUZZ_CHECK(*p > ' ' && *p < 0x7F && strchr("?#&+\"<>", *p) == NULL);
	FUZZ_CHECK(keep_slash || *p != '/');
	return (unsigned char)*p;
}

static void check_encoded(struct supafs_str raw, bool keep_slash)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf b;
	size_t at = 0, n = 0, step;
	int r;

	supafs_buf_init(&b, 3 * raw.n + 1);
	r = keep_slash ? supafs_uri_add_path(&b, raw) : supafs_uri_add_segment(&b, raw);
	FUZZ_CHECK(r == 0);
	for (; at < b.n; at += step, n++)
		FUZZ_CHECK(n < raw.n &&
			   decode(b.p + at, keep_slash, &step) == (unsigned char)raw.p[n]);
	FUZZ_CHECK(at == b.n && n == raw.n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check_url(fuzz_str(data, size));
	check_encoded(fuzz_str(data, size), true);
	check_encoded(fuzz_str(data, size), false);
	return 0;
}
