/* SPDX-License-Identifier: Apache-2.0 */
/* Upload-Metadata, and the lock of an upload. */
#include <stdlib.h>
#include <sys/socket.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/clock.h"
#include "supafs/util/limits.h"
#include "supafs/util/parse.h"

#include "rest_tus.h"

#define LOCK_WAIT_S 5
#define META_MAX    (1U << 20)

/* --- locks ------------------------------------------------------------------------- */

struct serve_tus_lock {
	struct serve_tus_lock *next;
	char id[SERVE_UUID_SIZE];
	int socket;
	bool lost; /* tus_mutex: somebody else wants it */
};

static struct serve_tus_lock *find_locked(struct serve_app *app, struct supafs_str id)
	SUPAFS_REQUIRES(app->tus_mutex);
static struct serve_tus_lock *find_locked(struct serve_app *app, struct supafs_str id)
{
	struct serve_tus_lock *l = app->tus_locks;

	while (l && !supafs_str_eq(supafs_str_of(l->id), id))
		l = l->next;
	return l;
}

struct serve_tus_lock *rest_tus_lock(struct serve_request *req, struct supafs_str id)
{
	struct serve_app *app = req->app;
	const struct supafs_clock *clock = supafs_clock_system();
	const int64_t until_ns = clock->mono_ns(clock) + LOCK_WAIT_S * SUPAFS_NS_PER_S;
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(req->conn, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct serve_tus_lock *mine = calloc(1, sizeof(*mine));
	struct serve_tus_lock *other;

	if (!mine)
		return NULL;
	(void)snprintf(mine->id, sizeof(mine->id), "%.*s", SUPAFS_STR_FMT(id));
	mine->socket = info ? info->connect_fd : -1;
	SUPAFS_SCOPED_LOCK(&app->tus_mutex);
	while ((other = find_locked(app, id)) != NULL) {
		/* Its thread waits for bytes; this wakes it up, and what came is kept. */
		if (!other->lost && other->socket >= 0)
			(void)shutdown(other->socket, SHUT_RD);
		other->lost = true;
		if (supafs_cond_wait_until(&app->tus_freed, &app->tus_mutex, until_ns) < 0) {
			free(mine);
			return NULL;
		}
	}
	mine->next = app->tus_locks;
	app->tus_locks = mine;
	return mine;
}

void rest_tus_unlock(struct serve_app *app, struct serve_tus_lock *lock)
{
	struct serve_tus_lock **at;

	if (!lock)
		return;
	SUPAFS_SCOPED_LOCK(&app->tus_mutex);
	for (at = &app->tus_locks; *at && *at != lock; at = &(*at)->next)
		;
	if (*at)
		*at = lock->next;
	free(lock);
	supafs_cond_broadcast(&app->tus_freed);
}

bool rest_tus_lost(struct serve_app *app, const struct serve_tus_lock *lock)
{
	SUPAFS_SCOPED_LOCK(&app->tus_mutex);
	return lock->lost;
}

/* --- metadata ------------------------------------------------------------------------- */

void tus_metadata_init(struct tus_metadata *m)
{
	supafs_buf_init(&m->bucket, SUPAFS_URL_MAX);
	supafs_buf_init(&m->object, SUPAFS_URL_MAX);
	supafs_buf_init(&m->type, SUPAFS_URL_MAX);
	supafs_buf_init(&m->cache_control, SUPAFS_URL_MAX);
	supafs_buf_init(&m->meta, META_MAX);
	m->has_meta = false;
}

void tus_metadata_fini(struct tus_metadata *m)
{
	supafs_buf_fini(&m->bucket);
	supafs_buf_fini(&m->object);
	supafs_buf_fini(&m->type);
	supafs_buf_fini(&m->cache_control);
	supafs_buf_fini(&m->meta);
}

static bool all_digits(struct supafs_str text)
{
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] < '0' || text.p[i] > '9')
			return false;
	}
	return text.n > 0;
}

static bool take_pair(struct tus_metadata *m, struct supafs_str name, struct supafs_str value)
{
	if (supafs_str_eq(name, SUPAFS_STR("bucketName")))
		return supafs_buf_addstr(&m->bucket, value) == 0;
	if (supafs_str_eq(name, SUPAFS_STR("objectName")))
		return supafs_buf_addstr(&m->object, value) == 0;
	if (supafs_str_eq(name, SUPAFS_STR("contentType")))
		return supafs_buf_addstr(&m->type, value) == 0;
	if (supafs_str_eq(name, SUPAFS_STR("cacheControl")) && all_digits(value)) {
		supafs_buf_reset(&m->cache_control);
		return supafs_buf_addf(&m->cache_control, "max-age=%.*s", SUPAFS_STR_FMT(value)) ==
		       0;
	}
	if (supafs_str_eq(name, SUPAFS_STR("metadata"))) {
		m->has_meta = true;
		return rest_metadata_text(value, &m->meta) && supafs_buf_error(&m->meta) == 0;
	}
	return true;
}

static struct supafs_str trim(struct supafs_str text)
{
	while (text.n && text.p[0] == ' ') {
		text.p++;
		text.n--;
	}
	while (text.n && text.p[text.n - 1] == ' ')
		text.n--;
	return text;
}

bool tus_metadata_parse(struct tus_metadata *m, const char *header)
{
	struct supafs_str rest = supafs_str_of(header);

	(void)supafs_buf_adds(&m->cache_control, "no-cache");
	while (rest.p) {
		supafs_cleanup(supafs_buf_fini) struct supafs_buf value;
		const char *comma = memchr(rest.p, ',', rest.n);
		struct supafs_str pair = {rest.p, comma ? (size_t)(comma - rest.p) : rest.n};
		struct supafs_str name;
		const char *blank;

		rest.n -= comma ? pair.n + 1 : pair.n;
		rest.p = comma ? comma + 1 : NULL;
		pair = trim(pair);
		blank = memchr(pair.p, ' ', pair.n);
		name = (struct supafs_str){pair.p, blank ? (size_t)(blank - pair.p) : pair.n};
		supafs_buf_init(&value, META_MAX);
		if (blank)
			(void)rest_b64_lenient(
				&value, (struct supafs_str){blank + 1, pair.n - name.n - 1});
		if (name.n == 0 || supafs_buf_error(&value) < 0 ||
			!take_pair(m, name, supafs_buf_str(&value)))
			return false;
	}
	return m->bucket.n > 0 && m->object.n > 0 && supafs_buf_error(&m->cache_control) == 0;
}
