/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of a mount: what is closed goes to the server while there is time; what is left stays in
 * the journal for the next mount, is told, and counted. Without any time (a second signal, a test's
 * crash) nothing is begun and no promise is changed.
 */
#include <stdlib.h>
#include <string.h>

#include "supafs/util/log.h"

#include "gather.h"
#include "handle.h"
#include "jobs.h"
#include "journal.h"
#include "later.h"
#include "queue.h"

static void close_handles(struct supafs_vfs *v)
{
	struct vfs_handle *h;

	while ((h = vfs_handle_take_any(v)) != NULL) {
		if (h->c) {
			SUPAFS_SCOPED_LOCK(&h->c->lock);
			h->c->open--;
			h->c->open_write -= h->writable;
		}
		vfs_handle_put(v, h);
	}
}

/* Nobody will rename or close them any more. */
static void publish_all(struct supafs_vfs *v)
{
	struct vfs_node_list list = {NULL, 0};

	if (vfs_node_below(v, NULL, &list) != 0)
		return;
	for (size_t i = 0; i < list.n; i++) {
		struct vfs_content *c = vfs_content_peek(v, list.p[i]);

		if (!c)
			continue;
		{
			SUPAFS_SCOPED_LOCK(&c->lock);
			if (!c->unlinked && !vfs_content_busy_locked(c) &&
				(c->state == VFS_HELD || c->state == VFS_DIRTY ||
					c->state == VFS_REFERENCE))
				vfs_content_set_state_locked(c, VFS_QUEUED);
		}
		vfs_content_put(v, list.p[i]);
	}
	vfs_node_list_fini(v, &list);
}

static void send_all(struct supafs_vfs *v, struct supafs_call *call)
{
	struct vfs_flush f = {.tries = NULL};

	publish_all(v);
	if (vfs_flush_begin(v, NULL, &f) == 0)
		(void)vfs_flush_wait(v, call, &f, NULL, NULL);
	vfs_flush_fini(v, &f);
}

/* Which file, why, and where its bytes are: the message at the end of the mount refers to this. */
static void tell_left(struct supafs_vfs *v, const struct vfs_node *node, struct vfs_content *c)
{
	char path[SUPAFS_KEY_MAX], text[200] = "";
	char file[SUPAFS_SPOOL_NAME] = "";
	bool stands;
	int error = 0;

	supafs_vfs_path(v, node->id, path, sizeof(path));
	{
		SUPAFS_SCOPED_LOCK(&c->lock);
		stands = c->promise && c->promise->stands;
		if (c->promise) {
			error = c->promise->error;
			memcpy(text, c->promise->text, sizeof(text));
		}
		if (c->spool)
			memcpy(file, supafs_spool_name(c->spool), sizeof(file));
	}
	supafs_log(SUPAFS_LOG_ERROR, "\"%s\" was not uploaded: %s%s%s%s; %s%s", path,
		error ? strerrordesc_np(error) : "there was no time for it", *text ? " (" : "",
		text, *text ? ")" : "",
		stands  ? "the next mount sends it"
		: *file ? "what was written is kept in the file spool/"
			: "it was to be a copy",
		stands ? "" : file);
}

/* What no record promises yet gets one. `abandon`: no more than its file is kept. */
static void keep_left(struct supafs_vfs *v, struct vfs_node *node, bool abandon)
{
	struct vfs_content *c = node->content;
	bool stands, current, failed, held;

	{
		SUPAFS_SCOPED_LOCK(&c->lock);
		stands = c->promise && c->promise->stands;
		current = stands && c->promise->current;
		held = stands && c->promise->as == VFS_HELD;
		failed = c->state == VFS_FAILED;
		if (c->spool)
			supafs_spool_keep(c->spool, true);
	}
	if (abandon)
		return;
	if (!current)
		(void)vfs_promise_make(v, node, failed ? VFS_FAILED : VFS_QUEUED, true);
	else if (held)
		(void)vfs_promise_rekey(v, node, VFS_QUEUED, true);
}

static bool is_left(struct vfs_content *c)
{
	SUPAFS_SCOPED_LOCK(&c->lock);
	return !c->unlinked && vfs_state_unsent(c->state);
}

static unsigned count_left(struct supafs_vfs *v, bool abandon)
{
	struct vfs_node_list list = {NULL, 0};
	unsigned left = 0;

	if (vfs_node_below(v, NULL, &list) != 0)
		return 0;
	for (size_t i = 0; i < list.n; i++) {
		struct vfs_content *c = vfs_content_peek(v, list.p[i]);

		if (c && is_left(c)) {
			left++;
			keep_left(v, list.p[i], abandon);
			tell_left(v, list.p[i], c);
		}
		if (c)
			vfs_content_put(v, list.p[i]);
	}
	vfs_node_list_fini(v, &list);
	return left;
}

unsigned vfs_drain(struct supafs_vfs *v, uint64_t drain_ms)
{
	struct vfs_key top = {.root_n = v->cfg.root.n, .n = v->cfg.root.n};
	struct supafs_call call;

	supafs_call_init(&call, v->cfg.clock, drain_ms ? drain_ms : 1);
	if (top.n)
		memcpy(top.p, v->cfg.root.p, top.n);
	if (drain_ms > 0) {
		(void)vfs_gather_settle(v, &call, &top, true, false);
		(void)vfs_later_flush(v, &call);
	}
	if (drain_ms == 0) /* before what is open looks as if it were closed */
		vfs_queue_close(v);
	close_handles(v);
	if (drain_ms > 0) {
		send_all(v, &call);
		(void)vfs_jobs_wait(v, &call); /* what is left of them stays in the journal */
	}
	supafs_call_fini(&call);
	vfs_jobs_close(v);
	vfs_queue_close(v);
	return count_left(v, drain_ms == 0);
}
