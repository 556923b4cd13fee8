/* SPDX-License-Identifier: Apache-2.0 */
/* Content types: a sorted table of (extension, type) views into the file's text. */
#include "mime.h"

#include <stdlib.h>
#include <strings.h>

#include "supafs/util/buf.h"
#include "supafs/util/cleanup.h"
#include "supafs/util/file.h"
#include "supafs/util/limits.h"

#define FILE_MAX (1U << 20)

struct pair {
	struct supafs_str ext, type;
};

struct vfs_mimes {
	struct supafs_buf text;
	struct pair *pairs; /* sorted by extension, the first of equals wins */
	size_t n, cap;
};

/* clang-format off */
static const struct {
	const char *ext, *type;
} builtin[] = {
	{"7z", "application/x-7z-compressed"},
	{"avif", "image/avif"},
	{"bin", "application/octet-stream"},
	{"bmp", "image/bmp"},
	{"bz2", "application/x-bzip2"},
	{"css", "text/css"},
	{"csv", "text/csv"},
	{"doc", "application/msword"},
	{"docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"},
	{"epub", "application/epub+zip"},
	{"gif", "image/gif"},
	{"gz", "application/gzip"},
	{"htm", "text/html"},
	{"html", "text/html"},
	{"ico", "image/vnd.microsoft.icon"},
	{"ics", "text/calendar"},
	{"jpeg", "image/jpeg"},
	{"jpg", "image/jpeg"},
	{"js", "text/javascript"},
	{"json", "application/json"},
	{"jsonl", "application/jsonl"},
	{"md", "text/markdown"},
	{"mjs", "text/javascript"},
	{"mov", "video/quicktime"},
	{"mp3", "audio/mpeg"},
	{"mp4", "video/mp4"},
	{"ogg", "audio/ogg"},
	{"pdf", "application/pdf"},
	{"png", "image/png"},
	{"ppt", "application/vnd.ms-powerpoint"},
	{"pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation"},
	{"svg", "image/svg+xml"},
	{"tar", "application/x-tar"},
	{"tif", "image/tiff"},
	{"tiff", "image/tiff"},
	{"txt", "text/plain"},
	{"wasm", "application/wasm"},
	{"wav", "audio/x-wav"},
	{"webm", "video/webm"},
	{"webp", "image/webp"},
	{"woff", "font/woff"},
	{"woff2", "font/woff2"},
	{"xls", "application/vnd.ms-excel"},
	{"xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"},
	{"xml", "application/xml"},
	{"xz", "application/x-xz"},
	{"yaml", "application/yaml"},
	{"yml", "application/yaml"},
	{"zip", "application/zip"},
};
/* clang-format on */

static int compare_ext(struct supafs_str a, struct supafs_str b)
{
	const size_t n = a.n < b.n ? a.n : b.n;
	const int c = n ? strncasecmp(a.p, b.p, n) : 0;

	if (c != 0)
		return c;
	return a.n < b.n ? -1 : a.n > b.n;
}

/* Equal extensions keep the order of the file: views into one text compare by address. */
static int compare_pairs(const void *a, const void *b)
{
	const struct pair *x = a, *y = b;
	const int c = compare_ext(x->ext, y->ext);

	if (c != 0)
		return c;
	return x->ext.p < y->ext.p ? -1 : x->ext.p > y->ext.p;
}

static int add_pair(struct vfs_mimes *m, struct supafs_str ext, struct supafs_str type)
{
	if (m->n == m->cap) {
		const size_t cap = m->cap ? 2 * m->cap : 256;
		struct pair *p = reallocarray(m->pairs, cap, sizeof(*p));

		if (!p)
			return -ENOMEM;
		m->pairs = p;
		m->cap = cap;
	}
	m->pairs[m->n++] = (struct pair){ext, type};
	return 0;
}

static struct supafs_str next_word(struct supafs_str *rest)
{
	size_t at = 0, n = 0;

	while (at < rest->n && (rest->p[at] == ' ' || rest->p[at] == '\t' || rest->p[at] == '\r'))
		at++;
	while (at + n < rest->n && rest->p[at + n] > ' ')
		n++;

	const struct supafs_str word = {rest->p + at, n};

	rest->p += at + n;
	rest->n -= at + n;
	return word;
}

static int add_line(struct vfs_mimes *m, struct supafs_str line)
{
	const struct supafs_str type = next_word(&line);
	struct supafs_str ext;
	int r = 0;

	if (type.n == 0 || type.n > SUPAFS_MIME_MAX || type.p[0] == '#')
		return 0;
	while (r == 0 && (ext = next_word(&line)).n > 0)
		r = add_pair(m, ext, type);
	return r;
}

static struct supafs_str next_line(struct supafs_str *rest)
{
	const char *end = rest->n ? memchr(rest->p, '\n', rest->n) : NULL;
	const size_t n = end ? (size_t)(end - rest->p) : rest->n;
	const struct supafs_str line = {rest->p, n};

	rest->p += end ? n + 1 : n;
	rest->n -= end ? n + 1 : n;
	return line;
}

int vfs_mimes_new(const char *path, struct vfs_mimes **ret_m)
{
	struct vfs_mimes *m = calloc(1, sizeof(*m));
	int r = 0;

	if (!m)
		return -ENOMEM;
	supafs_buf_init(&m->text, FILE_MAX);
	if (supafs_file_read(path, &m->text) == 0) {
		struct supafs_str rest = supafs_buf_str(&m->text);

		while (r == 0 && rest.n > 0)
			r = add_line(m, next_line(&rest));
	}
	if (r != 0) {
		(void)vfs_mimes_free(m);
		return r;
	}
	if (m->n > 0)
		qsort(m->pairs, m->n, sizeof(*m->pairs), compare_pairs);
	*ret_m = m;
	return 0;
}

struct vfs_mimes *vfs_mimes_free(struct vfs_mimes *m)
{
	if (m) {
		supafs_buf_fini(&m->text);
		free(m->pairs);
		free(m);
	}
	return NULL;
}

static bool find_in_file(const struct vfs_mimes *m, struct supafs_str ext, struct supafs_str *ret)
{
	size_t lo = 0, hi = m->n;

	while (lo < hi) { /* the first one that is not below */
		const size_t mid = lo + (hi - lo) / 2;

		if (compare_ext(m->pairs[mid].ext, ext) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == m->n || compare_ext(m->pairs[lo].ext, ext) != 0)
		return false;
	*ret = m->pairs[lo].type;
	return true;
}

struct supafs_str vfs_mime_of(const struct vfs_mimes *m, struct supafs_str name)
{
	const char *dot = name.n ? memrchr(name.p, '.', name.n) : NULL;
	struct supafs_str type = SUPAFS_STR("application/octet-stream");
	struct supafs_str ext;

	if (!dot || dot == name.p)
		return type;
	ext = (struct supafs_str){dot + 1, name.n - (size_t)(dot + 1 - name.p)};
	if (find_in_file(m, ext, &type))
		return type;
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(builtin); i++)
		if (compare_ext(supafs_str_of(builtin[i].ext), ext) == 0)
			return supafs_str_of(builtin[i].type);
	return type;
}

static bool allows(struct supafs_str pattern, struct supafs_str mime)
{
	if (supafs_str_eq(pattern, SUPAFS_STR("*/*")))
		return true;
	if (supafs_str_ends(pattern, SUPAFS_STR("/*")))
		return mime.n >= pattern.n - 1 &&
		       strncasecmp(pattern.p, mime.p, pattern.n - 1) == 0;
	return compare_ext(pattern, mime) == 0;
}

bool vfs_mime_allowed(struct supafs_str list, struct supafs_str mime)
{
	bool any = false;

	while (list.n > 0) {
		struct supafs_str line = next_line(&list);
		const struct supafs_str pattern = next_word(&line);

		if (pattern.n == 0)
			continue;
		if (allows(pattern, mime))
			return true;
		any = true;
	}
	return !any;
}
