/* SPDX-License-Identifier: Apache-2.0 */
#include "control_request.h"

#include <errno.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/parse.h"
#include "supafs/util/uri.h"

#define SECONDS_MAX (UINT64_C(366) * 24 * 3600)

enum {
	WITH_ID = 1 << 0,
	WITH_SECONDS = 1 << 1,
	WITH_PATH = 1 << 2,
};

static const struct {
	struct supafs_str name;
	unsigned with;
} verbs[SUPAFS_CONTROL__COUNT] = {
	[SUPAFS_CONTROL_STATUS] = {{"status", 6}, 0},
	[SUPAFS_CONTROL_PROGRESS] = {{"progress", 8}, 0},
	[SUPAFS_CONTROL_PENDING] = {{"pending", 7}, 0},
	[SUPAFS_CONTROL_RETRY] = {{"retry", 5}, WITH_ID},
	[SUPAFS_CONTROL_DROP] = {{"drop", 4}, WITH_ID},
	[SUPAFS_CONTROL_FLUSH] = {{"flush", 5}, 0},
	[SUPAFS_CONTROL_INVALIDATE] = {{"invalidate", 10}, 0},
	[SUPAFS_CONTROL_URL] = {{"url", 3}, WITH_SECONDS | WITH_PATH},
};

/* The next word; false unless one blank stands before it. */
static bool next_word(struct supafs_str *rest, struct supafs_str *ret)
{
	const char *blank;

	if (rest->n < 2 || rest->p[0] != ' ')
		return false;
	rest->p++;
	rest->n--;
	blank = memchr(rest->p, ' ', rest->n);
	*ret = (struct supafs_str){rest->p, blank ? (size_t)(blank - rest->p) : rest->n};
	rest->p += ret->n;
	rest->n -= ret->n;
	return ret->n > 0;
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* One byte off the text; -1 for what is no encoding, and for NUL. */
static int next_byte(struct supafs_str *text)
{
	size_t used = 1;
	int c = (unsigned char)text->p[0];

	if (c == '%') {
		int high = text->n < 3 ? -1 : hex(text->p[1]);
		int low = text->n < 3 ? -1 : hex(text->p[2]);

		if (high < 0 || low < 0)
			return -1;
		c = high << 4 | low;
		used = 3;
	}
	text->p += used;
	text->n -= used;
	return c == 0 ? -1 : c;
}

/* No way out of the mount: no segment is empty, "." or "..". */
static bool stays_inside(const char *path)
{
	for (;;) {
		size_t n = strcspn(path, "/");

		if (n == 0 || (n == 1 && path[0] == '.') ||
			(n == 2 && path[0] == '.' && path[1] == '.'))
			return false;
		if (path[n] == '\0')
			return true;
		path += n + 1;
	}
}

static int parse_path(struct supafs_str word, struct supafs_control_request *ret)
{
	ret->path_n = 0;
	while (word.n > 0) {
		int c = next_byte(&word);

		if (c < 0 || ret->path_n + 1 >= sizeof(ret->path))
			return -EINVAL;
		ret->path[ret->path_n++] = (char)c;
	}
	ret->path[ret->path_n] = '\0';
	return stays_inside(ret->path) ? 0 : -EINVAL;
}

static int parse_arguments(
	struct supafs_str rest, unsigned with, struct supafs_control_request *ret)
{
	struct supafs_str word;

	if ((with & WITH_ID) &&
		(!next_word(&rest, &word) || supafs_parse_u64(word, UINT64_MAX, &ret->id) < 0))
		return -EINVAL;
	if ((with & WITH_SECONDS) &&
		(!next_word(&rest, &word) ||
			supafs_parse_u64(word, SECONDS_MAX, &ret->seconds) < 0))
		return -EINVAL;
	if ((with & WITH_PATH) && (!next_word(&rest, &word) || parse_path(word, ret) < 0))
		return -EINVAL;
	return rest.n == 0 ? 0 : -EINVAL;
}

int supafs_control_parse(struct supafs_str line, struct supafs_control_request *ret)
{
	const char *blank = line.n > 0 ? memchr(line.p, ' ', line.n) : NULL;
	const struct supafs_str verb = {line.p, blank ? (size_t)(blank - line.p) : line.n};

	if (line.n > SUPAFS_CONTROL_LINE_MAX)
		return -EINVAL;
	*ret = (struct supafs_control_request){.verb = SUPAFS_CONTROL__COUNT};
	for (int i = 0; i < SUPAFS_CONTROL__COUNT; i++) {
		if (!supafs_str_eq(verb, verbs[i].name))
			continue;
		ret->verb = (enum supafs_control_verb)i;
		line.p += verb.n;
		line.n -= verb.n;
		return parse_arguments(line, verbs[i].with, ret);
	}
	return -EINVAL;
}

int supafs_control_format(const struct supafs_control_request *req, struct supafs_buf *out)
{
	const unsigned with = verbs[req->verb].with;

	(void)supafs_buf_addstr(out, verbs[req->verb].name);
	if (with & WITH_ID)
		(void)supafs_buf_addf(out, " %llu", (unsigned long long)req->id);
	if (with & WITH_SECONDS)
		(void)supafs_buf_addf(out, " %llu", (unsigned long long)req->seconds);
	if (with & WITH_PATH) {
		(void)supafs_buf_addc(out, ' ');
		(void)supafs_uri_add_path(out, (struct supafs_str){req->path, req->path_n});
	}
	return supafs_buf_addc(out, '\n');
}
