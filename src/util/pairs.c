/* SPDX-License-Identifier: Apache-2.0 */
#include "supafs/util/pairs.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#define HEAD 8

static uint32_t get_u32(const char *p)
{
	const unsigned char *u = (const unsigned char *)p;

	return (uint32_t)u[0] | (uint32_t)u[1] << 8 | (uint32_t)u[2] << 16 | (uint32_t)u[3] << 24;
}

static void put_u32(char *p, size_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (char)(v >> (8 * i));
}

bool supafs_pairs_next(struct supafs_str list, size_t *pos, struct supafs_str *ret_name,
	struct supafs_str *ret_value)
{
	size_t at = *pos, name_n, value_n;

	if (at > list.n || list.n - at < HEAD)
		return false;
	name_n = get_u32(list.p + at);
	value_n = get_u32(list.p + at + 4);
	at += HEAD;
	if (name_n > list.n - at || value_n > list.n - at - name_n)
		return false;
	*ret_name = (struct supafs_str){list.p + at, name_n};
	*ret_value = (struct supafs_str){list.p + at + name_n, value_n};
	*pos = at + name_n + value_n;
	return true;
}

static bool name_valid(struct supafs_str name)
{
	return name.n > 0 && !memchr(name.p, '\0', name.n);
}

bool supafs_pairs_valid(struct supafs_str list)
{
	struct supafs_str name, value, other;
	size_t pos = 0;

	if (list.n > SUPAFS_PAIRS_MAX)
		return false;
	while (pos < list.n) {
		const size_t start = pos;

		if (!supafs_pairs_next(list, &pos, &name, &value) || !name_valid(name))
			return false;
		if (supafs_pairs_get((struct supafs_str){list.p, start}, name, &other))
			return false;
	}
	return true;
}

bool supafs_pairs_get(struct supafs_str list, struct supafs_str name, struct supafs_str *ret_value)
{
	struct supafs_str n, v;
	size_t pos = 0;

	while (supafs_pairs_next(list, &pos, &n, &v)) {
		if (!supafs_str_eq(n, name))
			continue;
		*ret_value = v;
		return true;
	}
	return false;
}

bool supafs_pairs_remove(struct supafs_buf *list, struct supafs_str name)
{
	struct supafs_str n, v;
	size_t pos = 0, start = 0;

	while (supafs_pairs_next(supafs_buf_str(list), &pos, &n, &v)) {
		if (supafs_str_eq(n, name)) {
			memmove(list->p + start, list->p + pos, list->n - pos);
			list->n -= pos - start;
			return true;
		}
		start = pos;
	}
	return false;
}

static void add_pair(struct supafs_buf *list, struct supafs_str name, struct supafs_str value)
{
	char head[HEAD];

	put_u32(head, name.n);
	put_u32(head + 4, value.n);
	(void)supafs_buf_add(list, head, sizeof(head));
	(void)supafs_buf_addstr(list, name);
	(void)supafs_buf_addstr(list, value);
}

int supafs_pairs_set(struct supafs_buf *list, struct supafs_str name, struct supafs_str value)
{
	struct supafs_str n, v;
	struct supafs_buf fresh; /* built apart: a failure leaves the list alone, and name or value
				    may be views of it */
	size_t pos = 0;
	int r;

	if (!name_valid(name))
		return -EINVAL;
	supafs_buf_init(&fresh, SUPAFS_PAIRS_MAX);
	while (supafs_pairs_next(supafs_buf_str(list), &pos, &n, &v)) {
		if (!supafs_str_eq(n, name))
			add_pair(&fresh, n, v);
	}
	add_pair(&fresh, name, value);
	r = supafs_buf_error(&fresh);
	if (r != 0) {
		supafs_buf_fini(&fresh);
		return r == -EMSGSIZE ? -ENOSPC : r;
	}
	supafs_buf_fini(list);
	*list = fresh;
	return 0;
}
