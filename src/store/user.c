/* SPDX-License-Identifier: Apache-2.0 */
/* User metadata between pairs and JSON. A value is text or "0s" and base64. */
#include <errno.h>
#include <string.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/parse.h"

#include "user_priv.h"

enum {
	OURS_MAX = 256, /* bytes that times, mode, owner and nonce take at most */
};

bool supafs_user_reserved(struct supafs_str name)
{
	static const char *const names[] = {"mtime", "mode", "uid", "gid", "nonce"};

	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(names); i++) {
		if (supafs_str_eq(name, supafs_str_of(names[i])))
			return true;
	}
	return false;
}

static bool looks_encoded(struct supafs_str s)
{
	return supafs_str_starts(s, SUPAFS_STR("0s"));
}

static int add_value(struct supafs_buf *b, struct supafs_str value)
{
	if (supafs_utf8_valid(value) && !looks_encoded(value))
		return supafs_json_quote(b, value);
	(void)supafs_buf_adds(b, "\"0s");
	(void)supafs_b64_encode(b, value.p, value.n);
	return supafs_buf_addc(b, '"');
}

int supafs_user_add_json(struct supafs_buf *b, struct supafs_str user)
{
	struct supafs_str name;
	struct supafs_str value;
	size_t pos = 0;
	int r;

	if (user.n == 0)
		return supafs_buf_error(b);
	if (!supafs_pairs_valid(user))
		return -EINVAL;
	if (b->n > 0)
		b->n--; /* the brace */
	while (supafs_pairs_next(user, &pos, &name, &value)) {
		if (!supafs_utf8_valid(name))
			return -EINVAL;
		if (supafs_user_reserved(name))
			continue;
		if (b->n > 1)
			(void)supafs_buf_addc(b, ',');
		(void)supafs_json_quote(b, name);
		(void)supafs_buf_addc(b, ':');
		(void)add_value(b, value);
	}
	r = supafs_buf_addc(b, '}');
	return r == -EMSGSIZE ? -ENOSPC : r;
}

int supafs_user_check(struct supafs_str user)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf b;
	int r;

	supafs_buf_init(&b, SUPAFS_METADATA_MAX - OURS_MAX);
	r = supafs_buf_adds(&b, "{}");
	return r == 0 ? supafs_user_add_json(&b, user) : r;
}

/* Decodes "0s…" into `b`; what only looks like it stays the text that it is. */
static struct supafs_str decoded(struct supafs_str text, struct supafs_buf *b)
{
	struct supafs_str rest;

	if (!looks_encoded(text))
		return text;
	rest.p = text.p + 2;
	rest.n = text.n - 2;
	return supafs_b64_decode(b, rest) == 0 ? supafs_buf_str(b) : text;
}

/* False when it does not fit. */
static bool take_member(struct supafs_buf *list, const struct supafs_json *m, char *text)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf raw;
	const struct supafs_str name = supafs_json_name(m);

	supafs_buf_init(&raw, SUPAFS_PAIRS_MAX);
	if (supafs_json_is_null(m) || name.n == 0 || supafs_user_reserved(name))
		return true;
	return supafs_json_render(m, text, SUPAFS_PAIRS_MAX) &&
	       supafs_pairs_set(list, name, decoded(supafs_str_of(text), &raw)) == 0;
}

void supafs_user_from_json(const struct supafs_json *object, struct supafs_info *i)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf list;
	char text[SUPAFS_PAIRS_MAX];

	i->user_n = 0;
	i->user_cut = false;
	supafs_buf_init(&list, SUPAFS_PAIRS_MAX);
	for (const struct supafs_json *m = supafs_json_members(object); m && !i->user_cut;
		m = supafs_json_next(m))
		i->user_cut = !take_member(&list, m, text);
	i->user_n = list.n;
	if (list.n > 0)
		memcpy(i->user, list.p, list.n);
}
