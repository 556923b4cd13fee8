/* SPDX-License-Identifier: Apache-2.0 */
/* Percent-encoding, and the one kind of URL that a user configures. */
#include "supafs/util/uri.h"

#include <errno.h>
#include <stdint.h>
#include <strings.h>

#include "supafs/util/parse.h"

static bool unreserved(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '.' || c == '_' || c == '~';
}

static int add_encoded(struct supafs_buf *b, struct supafs_str s, bool keep_slash)
{
	static const char hex[] = "0123456789ABCDEF";

	for (size_t i = 0; i < s.n; i++) {
		const char c = s.p[i];
		const unsigned char u = (unsigned char)c;
		const char escaped[3] = {'%', hex[u >> 4], hex[u & 15]};

		if (unreserved(c) || (keep_slash && c == '/'))
			(void)supafs_buf_addc(b, c);
		else
			(void)supafs_buf_add(b, escaped, sizeof(escaped));
	}
	return supafs_buf_error(b);
}

int supafs_uri_add_path(struct supafs_buf *b, struct supafs_str key)
{
	return add_encoded(b, key, true);
}

int supafs_uri_add_segment(struct supafs_buf *b, struct supafs_str seg)
{
	return add_encoded(b, seg, false);
}

/* --- URLs -------------------------------------------------------------------------------- */

static void skip(struct supafs_str *s, size_t n)
{
	s->p += n;
	s->n -= n;
}

static bool take_scheme(struct supafs_str *s, bool *ret_https)
{
	static const struct supafs_str https = {"https://", 8};
	static const struct supafs_str http = {"http://", 7};
	const struct supafs_str *scheme = NULL;

	if (s->n >= https.n && strncasecmp(s->p, https.p, https.n) == 0)
		scheme = &https;
	else if (s->n >= http.n && strncasecmp(s->p, http.p, http.n) == 0)
		scheme = &http;
	if (!scheme)
		return false;
	*ret_https = scheme == &https;
	skip(s, scheme->n);
	return true;
}

static bool clean_bytes(struct supafs_str s)
{
	for (size_t i = 0; i < s.n; i++) {
		const unsigned char c = (unsigned char)s.p[i];

		if (c <= 0x20 || c >= 0x7F || strchr("?#@\\\"<>^`{|}", c))
			return false;
	}
	return true;
}

/* Takes "[::1]" or "name" off `s`; the brackets are not part of the host. */
static bool take_host(struct supafs_str *s, struct supafs_str *ret_host)
{
	const bool literal = s->n > 0 && s->p[0] == '[';
	size_t n = 0;

	if (literal) {
		skip(s, 1);
		while (n < s->n && s->p[n] != ']' && s->p[n] != '/')
			n++;
		if (n == s->n || s->p[n] != ']')
			return false;
	} else {
		while (n < s->n && !strchr(":/[]", s->p[n]))
			n++;
	}
	*ret_host = (struct supafs_str){s->p, n};
	skip(s, literal ? n + 1 : n);
	return n > 0 && (s->n == 0 || s->p[0] == ':' || s->p[0] == '/');
}

static bool take_port(struct supafs_str *s, unsigned *ret_port)
{
	struct supafs_str digits = {s->p + 1, 0};
	uint64_t port = 0;

	*ret_port = 0;
	if (s->n == 0 || s->p[0] != ':')
		return true;
	while (1 + digits.n < s->n && digits.p[digits.n] != '/')
		digits.n++;
	if (supafs_parse_u64(digits, 65535, &port) != 0 || port == 0)
		return false;
	skip(s, 1 + digits.n);
	*ret_port = (unsigned)port;
	return true;
}

/* 127.0.0.0/8 as four decimal parts: "127.evil.example" is a name like any other. */
static bool loopback_v4(struct supafs_str host)
{
	unsigned parts = 0;

	if (!supafs_str_starts(host, SUPAFS_STR("127.")))
		return false;
	for (;;) {
		struct supafs_str part = {host.p, 0};
		uint64_t v = 0;

		while (part.n < host.n && part.p[part.n] != '.')
			part.n++;
		if (supafs_parse_u64(part, 255, &v) != 0)
			return false;
		parts++;
		if (part.n == host.n)
			return parts == 4;
		skip(&host, part.n + 1);
	}
}

static bool loopback(struct supafs_str host)
{
	if (host.n == 9 && strncasecmp(host.p, "localhost", 9) == 0)
		return true;
	return supafs_str_eq(host, SUPAFS_STR("::1")) || loopback_v4(host);
}

int supafs_url_parse(struct supafs_str text, struct supafs_url *ret_url)
{
	struct supafs_url u = {0};

	if (!clean_bytes(text) || !take_scheme(&text, &u.https) || !take_host(&text, &u.host) ||
		!take_port(&text, &u.port))
		return -EINVAL;
	while (text.n > 0 && text.p[text.n - 1] == '/')
		text.n--;
	u.path = text;
	u.loopback = loopback(u.host);
	*ret_url = u;
	return 0;
}
