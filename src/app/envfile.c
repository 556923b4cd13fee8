/* SPDX-License-Identifier: Apache-2.0 */
#include "envfile.h"

#include <ctype.h>
#include <errno.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/limits.h"

struct reader {
	const char *p, *end;
	unsigned line;
	const char *what; /* the reason when the text is malformed */
};

static bool at_end(const struct reader *r)
{
	return r->p == r->end;
}

static char peek(const struct reader *r)
{
	if (at_end(r))
		return '\0';
	return *r->p;
}

static char next(struct reader *r)
{
	char c = *r->p++;

	if (c == '\n')
		r->line++;
	return c;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static void skip_blanks(struct reader *r)
{
	while (!at_end(r) && is_blank(*r->p))
		r->p++;
}

static void skip_line(struct reader *r)
{
	while (!at_end(r) && next(r) != '\n')
		continue;
}

static bool is_name(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '.' || c == '-';
}

static struct supafs_str read_name(struct reader *r)
{
	const char *start = r->p;

	while (!at_end(r) && is_name(*r->p))
		r->p++;
	return (struct supafs_str){start, (size_t)(r->p - start)};
}

static int malformed(struct reader *r, const char *what)
{
	r->what = what;
	return -EINVAL;
}

static int read_single(struct reader *r, struct supafs_buf *b)
{
	while (!at_end(r)) {
		char c = next(r);

		if (c == '\'')
			return 0;
		(void)supafs_buf_addc(b, c);
	}
	return malformed(r, "the closing ' is missing");
}

static char unescape(char c)
{
	switch (c) {
	case 'n':
		return '\n';
	case 'r':
		return '\r';
	case 't':
		return '\t';
	default:
		return c;
	}
}

static int read_double(struct reader *r, struct supafs_buf *b)
{
	while (!at_end(r)) {
		char c = next(r);

		if (c == '"')
			return 0;
		if (c == '\\' && !at_end(r)) {
			char e = next(r);

			if (!strchr("nrt\"\\$\n", e))
				(void)supafs_buf_addc(b, '\\');
			if (e != '\n') /* a line that goes on */
				(void)supafs_buf_addc(b, unescape(e));
			continue;
		}
		(void)supafs_buf_addc(b, c);
	}
	return malformed(r, "the closing \" is missing");
}

static void read_plain(struct reader *r, struct supafs_buf *b)
{
	const char *start = r->p, *stop;

	while (!at_end(r) && *r->p != '\n') {
		if (*r->p == '#' && r->p > start && is_blank(r->p[-1]))
			break;
		r->p++;
	}
	stop = r->p;
	while (stop > start && is_blank(stop[-1]))
		stop--;
	(void)supafs_buf_add(b, start, (size_t)(stop - start));
}

static int read_value(struct reader *r, struct supafs_buf *b)
{
	int e = 0;

	skip_blanks(r);
	if (peek(r) == '\'' || peek(r) == '"') {
		e = next(r) == '"' ? read_double(r, b) : read_single(r, b);
		if (e < 0)
			return e;
		skip_blanks(r);
		if (!at_end(r) && *r->p != '\n' && *r->p != '#')
			return malformed(r, "text behind the closing quote");
	} else if (peek(r) != '#') {
		read_plain(r, b);
	}
	skip_line(r);
	e = supafs_buf_error(b);
	if (e == 0 && memchr(supafs_buf_cstr(b), '\0', b->n))
		return malformed(r, "a NUL byte");
	return e;
}

/* The line's name in *ret_name; n = 0 when the line holds nothing for us. */
static void read_line_name(struct reader *r, struct supafs_str *ret_name)
{
	struct supafs_str name;

	*ret_name = (struct supafs_str){NULL, 0};
	skip_blanks(r);
	if (at_end(r) || *r->p == '\n' || *r->p == '#') {
		skip_line(r);
		return;
	}
	name = read_name(r);
	if (supafs_str_eq(name, SUPAFS_STR("export")) && is_blank(peek(r))) {
		skip_blanks(r);
		name = read_name(r);
	}
	skip_blanks(r);
	if (name.n == 0 || peek(r) != '=') {
		skip_line(r);
		return;
	}
	(void)next(r);
	*ret_name = name;
}

int supafs_envfile_parse(struct supafs_str text, supafs_envfile_fn fn, void *ctx,
	unsigned *ret_line, const char **ret_what)
{
	struct reader r = {.p = text.p, .end = text.p + text.n, .line = 1, .what = ""};
	int e = 0;

	if (supafs_str_starts(text, SUPAFS_STR("\xEF\xBB\xBF")))
		r.p += 3;
	while (e == 0 && !at_end(&r)) {
		supafs_cleanup(supafs_buf_fini) struct supafs_buf b;
		unsigned line = r.line;
		struct supafs_str name;

		supafs_buf_init_secret(&b, SUPAFS_SECRET_MAX);
		read_line_name(&r, &name);
		if (name.n > 0) {
			e = read_value(&r, &b);
			if (e == 0)
				e = fn(ctx, name, supafs_buf_cstr(&b));
		}
		if (e < 0) {
			*ret_line = line;
			*ret_what = r.what;
		}
	}
	return e;
}
