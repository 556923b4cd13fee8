/* SPDX-License-Identifier: Apache-2.0 */
/* Walking rows in an order, those that the actor may see. */
#include <stdlib.h>

#include "list.h"

void serve_rows_init(struct serve_rows *r, struct serve_service *s, const struct serve_actor *actor,
	struct supafs_str bucket)
{
	*r = (struct serve_rows){
		.s = s, .actor = actor, .bucket = bucket, .conn = serve_db_reader(s->db)};
	/* One read transaction, so that all looks of a listing see the same rows. */
	r->failed = !r->conn || serve_conn_run(r->conn, SERVE_SQL_BEGIN_READ) < 0;
}

void serve_rows_fini(struct serve_rows *r)
{
	if (r->conn)
		(void)serve_conn_run(r->conn, SERVE_SQL_COMMIT);
	serve_conn_put(r->conn);
	free(r->seek);
	*r = (struct serve_rows){0};
}

bool serve_rows_seek(
	struct serve_rows *r, enum serve_sql which, struct supafs_str from, struct supafs_str tail)
{
	char *seek = malloc(from.n + tail.n + 1);

	r->stmt = NULL;
	if (!seek || r->failed)
		goto fail;
	/* `from` may view the row of the statement that is reset below. */
	memcpy(seek, from.p, from.n);
	memcpy(seek + from.n, tail.p, tail.n);
	seek[from.n + tail.n] = '\0';
	r->stmt = serve_conn_sql(r->conn, which);
	if (!r->stmt)
		goto fail;
	serve_bind_str(r->stmt, 1, r->bucket);
	if (sqlite3_bind_parameter_count(r->stmt) > 1)
		serve_bind_str(r->stmt, 2, (struct supafs_str){seek, from.n + tail.n});
	free(r->seek);
	r->seek = seek;
	return true;
fail:
	free(seek);
	r->failed = true;
	return false;
}

bool serve_rows_next(struct serve_rows *r, struct serve_object *ret_row)
{
	int e = SQLITE_DONE;

	while (r->stmt && (e = sqlite3_step(r->stmt)) == SQLITE_ROW) {
		serve_object_read(r->stmt, ret_row);
		if (!r->actor || serve_policies_allow(r->s->policies, r->actor, SERVE_OP_SELECT,
					 r->bucket, ret_row->name))
			return true;
	}
	if (e != SQLITE_DONE)
		r->failed = true;
	return false;
}

enum serve_code serve_rows_code(const struct serve_rows *r)
{
	return r->failed ? SERVE_DATABASE : SERVE_OK;
}

struct supafs_str serve_common_prefix(struct supafs_str name, size_t skip)
{
	const char *slash = skip < name.n ? memchr(name.p + skip, '/', name.n - skip) : NULL;

	return (struct supafs_str){name.p, slash ? (size_t)(slash - name.p) + 1 : 0};
}

struct supafs_str serve_trim_slashes(struct supafs_str name)
{
	while (name.n && name.p[name.n - 1] == '/')
		name.n--;
	return name;
}

size_t serve_batch_size(size_t max)
{
	if (max >= 500)
		return 1000;
	return max * 2 < 100 ? 100 : max * 2;
}
