/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a secret looks like. Rules are tried at every byte of the text, in the order of
 * `rules`; the first that matches says how many bytes are kept and how many are hidden.
 * They rather hide too much: a hidden file name is a nuisance, a shown key a leak.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <strings.h>

#include "supafs/util/cleanup.h"

#include "log_priv.h"
#include "utf8_priv.h"

struct match {
	size_t keep; /* bytes of the text that are shown, then */
	size_t hide; /* bytes that are replaced */
};

static bool token_char(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '_';
}

static size_t token_run(struct supafs_str s, size_t from)
{
	size_t n = 0;

	while (from + n < s.n && token_char(s.p[from + n]))
		n++;
	return n;
}

static bool starts_nocase(struct supafs_str s, struct supafs_str word)
{
	return s.n >= word.n && strncasecmp(s.p, word.p, word.n) == 0;
}

/* Three base64url parts; the first is a JSON object, whose text begins with {" → eyJ. A cut
 * token counts as well. */
static bool match_jwt(struct supafs_str s, struct match *m)
{
	size_t n = 0;

	if (!supafs_str_starts(s, SUPAFS_STR("eyJ")))
		return false;
	n = token_run(s, 0);
	if (n < 10 || n >= s.n || s.p[n] != '.')
		return false;
	n += 1 + token_run(s, n + 1);
	if (n < s.n && s.p[n] == '.')
		n += 1 + token_run(s, n + 1);
	*m = (struct match){0, n};
	return true;
}

static bool match_key(struct supafs_str s, struct match *m)
{
	static const struct supafs_str kinds[] = {{"sb_secret_", 10}, {"sb_publishable_", 15}};

	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(kinds); i++) {
		if (starts_nocase(s, kinds[i])) {
			*m = (struct match){kinds[i].n, token_run(s, kinds[i].n)};
			return m->hide > 0;
		}
	}
	return false;
}

/* Bytes from `from` to the end of one value: of a query, a JSON string, a command line. */
static size_t value_run(struct supafs_str s, size_t from)
{
	size_t n = 0;

	while (from + n < s.n && (unsigned char)s.p[from + n] > 0x20 &&
		!strchr("&\"'#;,)>]}", s.p[from + n]))
		n++;
	return n;
}

/* A header's value may have blanks and commas: all of the line, or of the quoted text. */
static size_t line_run(struct supafs_str s, size_t from)
{
	size_t n = 0;

	while (from + n < s.n && !strchr("\r\n\"'", s.p[from + n]))
		n++;
	return n;
}

/* Where the value begins behind a word of length `at`: past quotes, blanks and one of ':', '='
 * or "%3D"; 0 if no value follows. */
static size_t value_start(struct supafs_str s, size_t at)
{
	const size_t word = at;

	while (at < s.n && strchr("\"' \\", s.p[at]) && at - word < 8)
		at++;
	if (at < s.n && (s.p[at] == ':' || s.p[at] == '='))
		at++;
	else if (at + 3 <= s.n && strncasecmp(s.p + at, "%3d", 3) == 0)
		at += 3;
	else
		return 0;
	while (at < s.n && strchr("\"' \t\\", s.p[at]))
		at++;
	return at;
}

static bool match_field(struct supafs_str s, struct match *m)
{
	static const struct {
		struct supafs_str word;
		bool line;
	} fields[] = {
		{{"authorization", 13}, true},
		{{"apikey", 6}, false},
		{{"token", 5}, false},
		{{"x-amz-signature", 15}, false},
		{{"x-amz-credential", 16}, false},
		{{"password", 8}, false},
		{{"secret", 6}, false},
	};

	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(fields); i++) {
		size_t at = 0;

		if (!starts_nocase(s, fields[i].word))
			continue;
		at = value_start(s, fields[i].word.n);
		if (at == 0)
			continue;
		m->keep = at;
		m->hide = fields[i].line ? line_run(s, at) : value_run(s, at);
		return m->hide > 0;
	}
	return false;
}

static bool match_bearer(struct supafs_str s, struct match *m)
{
	if (!starts_nocase(s, SUPAFS_STR("bearer ")))
		return false;
	*m = (struct match){7, value_run(s, 7)};
	/* "bearer of news" is prose; keys are longer. */
	return m->hide >= 8;
}

static bool match_secret(
	struct supafs_str s, const struct supafs_str *secrets, size_t count, struct match *m)
{
	for (size_t i = 0; i < count; i++) {
		if (secrets[i].n > 0 && supafs_str_starts(s, secrets[i])) {
			*m = (struct match){0, secrets[i].n};
			return true;
		}
	}
	return false;
}

static bool match_shape(struct supafs_str s, struct match *m)
{
	static bool (*const rules[])(struct supafs_str s, struct match * m) = {
		match_jwt, match_key, match_field, match_bearer};

	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(rules); i++) {
		if (rules[i](s, m))
			return true;
	}
	return false;
}

/* --- Output ------------------------------------------------------------------------------ */

struct out {
	char *p;
	size_t n;
	size_t size;
};

/* All of the piece or nothing more at all: no half escape or half character at the cut. */
static void put(struct out *o, const char *p, size_t n)
{
	if (n >= o->size - o->n) {
		o->size = o->n + 1;
		return;
	}
	memcpy(o->p + o->n, p, n);
	o->n += n;
}

/* Characters that change how the rest of a line looks: C1 controls, zero-width and
 * direction marks, line separators, the byte order mark. */
static bool invisible(const unsigned char *p, size_t n)
{
	if (n == 2)
		return p[0] == 0xC2 && p[1] < 0xA0;
	if (n != 3)
		return false;
	if (p[0] == 0xE2 && p[1] == 0x80)
		return (p[2] >= 0x8B && p[2] <= 0x8F) || (p[2] >= 0xA8 && p[2] <= 0xAE);
	if (p[0] == 0xE2 && p[1] == 0x81)
		return p[2] >= 0xA0 && p[2] <= 0xAF;
	return p[0] == 0xEF && p[1] == 0xBB && p[2] == 0xBF;
}

/* Shows the character at `p`; returns its bytes. */
static size_t put_char(struct out *o, const char *p, size_t n)
{
	const unsigned char *u = (const unsigned char *)p;
	const size_t length = supafs_utf8_length(u, n);
	char escaped[8];

	if (length > 0 && u[0] >= 0x20 && u[0] != 0x7F && !invisible(u, length)) {
		put(o, p, length);
		return length;
	}
	(void)snprintf(escaped, sizeof(escaped), "\\x%02X", u[0]);
	put(o, escaped, 4);
	return 1;
}

size_t supafs_redact(struct supafs_str in, size_t shown, const struct supafs_str *secrets,
	size_t count, char *out, size_t size)
{
	static const struct supafs_str hidden = {"[secret]", 8};
	struct out o = {out, 0, size};
	size_t i = 0;

	while (i < in.n && i < shown) {
		const struct supafs_str rest = {in.p + i, in.n - i};
		struct match m = {0, 0};
		const bool found = match_secret(rest, secrets, count, &m) || match_shape(rest, &m);

		if (!found) {
			i += put_char(&o, rest.p, rest.n);
			continue;
		}
		for (size_t k = 0; k < m.keep;)
			k += put_char(&o, rest.p + k, m.keep - k);
		put(&o, hidden.p, hidden.n);
		i += m.keep + m.hide;
	}
	out[o.n] = '\0';
	return o.n;
}
