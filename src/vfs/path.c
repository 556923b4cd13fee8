/* SPDX-License-Identifier: Apache-2.0 */
/* A node's path for people: log lines and messages. */
#include <stdio.h>
#include <string.h>

#include "node.h"

/* From the end of the buffer to its beginning, where a path that is too long loses its first part.
 */
static size_t build_locked(const struct vfs_node *node, char *buf, size_t size)
{
	size_t at = size;

	for (; node->parent; node = node->parent) {
		if (at < size && at > 0)
			buf[--at] = '/';
		if (node->name_n > at)
			break;
		at -= node->name_n;
		memcpy(buf + at, node->name, node->name_n);
	}
	return at;
}

void supafs_vfs_path(struct supafs_vfs *v, uint64_t node, char *out, size_t size)
{
	char buf[SUPAFS_KEY_MAX];
	struct vfs_node *n;
	size_t at;

	out[0] = '\0';
	if (vfs_node_get(v, node, &n) < 0)
		return;
	{
		SUPAFS_SCOPED_LOCK(&v->ns);
		at = build_locked(n, buf, sizeof(buf));
	}
	vfs_node_put(v, n);
	(void)snprintf(out, size, "%.*s", (int)(sizeof(buf) - at), buf + at);
}
