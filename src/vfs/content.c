/* SPDX-License-Identifier: Apache-2.0 */
/* clang-format off */
/*
 * The state of a file's content. What of it the journal promises: journal.h, docs/writeback.md.
 *
 * | state     | body            | record  | server         | on write       | on close          | on fsync |
 * |-----------|-----------------|---------|----------------|----------------|-------------------|----------|
 * | clean     | none            | none    | has it         | → dirty (base) | –                 | –        |
 * | saved     | spool, complete | none    | has it         | → dirty        | spool → clean     | –        |
 * | dirty     | spool over base | none or | old or nothing | stay           | → uploading, wait | → upl.;  |
 * |           |                 | older   |                |                | write-back → que- | temp. →  |
 * |           |                 |         |                |                | ued; temp. → held | held     |
 * | reference | ref: the object | as      | old or nothing | → dirty (base  | as dirty: a copy  | → upl.   |
 * |           | that it equals  | dirty   |                | = the ref)     |                   |          |
 * | held      | spool or ref    | current | old or nothing | → dirty        | until renamed or  | –        |
 * |           |                 |         |                |                | unmounted         |          |
 * | queued    | spool or ref    | current | old or nothing | → dirty        | without write-    | → upl.   |
 * |           |                 |         |                |                | back → uploading  |          |
 * | uploading | being sent      | any     | not yet        | waits; in the  | waits             | waits    |
 * |           |                 |         |                | background:    |                   |          |
 * |           |                 |         |                | stopped        |                   |          |
 * | failed    | spool or ref    | current | old or nothing | → dirty        | → upl. or queued  | → upl.   |
 */
/* clang-format on */
/*
 *	uploading → saved (bytes) or clean (reference); → failed; stopped: → what it was before.
 *	dirty → clean when it was clean before, and what was begun has changed nothing (a full
 *disk). failed → uploading by itself when what failed may pass (queue.h). "current" is as far as
 *the journal can be written (else none), and not for what a dead process left dirty: that was never
 *closed. A write to a content with a record leaves the promised bytes alone, whatever the state. A
 *write is among `writers` while it runs; an upload begins when there are none, so it sends what the
 *spool held at its beginning. A claim keeps both away for a moment of local work. "saved" lives as
 *long as the content has users, so that reading back or writing on after an fsync fetches nothing.
 *	A content without a name (unlinked) keeps its state for its handles and is never sent.
 *	Attributes alone (chmod, utimens on a clean or saved file that is open for writing) wait in
 *	`meta` under attrs_wait, and go with the next upload or as one copy onto itself.
 *
 * Invariants (valid_locked):
 *	spool ⇔ state is saved, dirty, or (held, queued, uploading, failed without ref)
 *	ref   ⇔ state is reference, or (held, queued, uploading, failed without spool)
 *	uploading attributes only: neither; missing bytes ⇒ base; attrs_wait ⇒ clean or saved or
 *	uploading; pending ⇒ not clean, not saved, has a name
 *	record ⇒ not clean, not saved; current record ⇒ no writers
 */
#include "content.h"

#include <assert.h>
#include <stdlib.h>

#include "supafs/util/cleanup.h"

#include "journal.h"

/* Spool or reference as the table says? */
static bool body_valid(const struct vfs_content *c)
{
	const bool spool = c->spool != NULL, ref = c->ref != NULL;

	if (spool && ref)
		return false;
	switch (c->state) {
	case VFS_CLEAN:
		return !spool && !ref;
	case VFS_SAVED:
		return spool && supafs_spool_complete(c->spool);
	case VFS_DIRTY:
		return spool;
	case VFS_REFERENCE:
		return ref && c->writers == 0;
	case VFS_HELD:
	case VFS_QUEUED:
	case VFS_FAILED:
		return spool || ref;
	case VFS_UPLOADING:
		return c->writers == 0;
	case VFS_STATE__COUNT:
		break;
	}
	return false;
}

/* The walker: every transition of a debug build goes through it. */
static bool valid_locked(const struct vfs_content *c)
{
	const bool sent = c->state == VFS_CLEAN || c->state == VFS_SAVED;

	if (c->spool && !c->base && !supafs_spool_complete(c->spool))
		return false;
	if (c->attrs_wait && !sent && c->state != VFS_UPLOADING)
		return false;
	if (c->promise && c->promise->stands && (sent || (c->promise->current && c->writers > 0)))
		return false;
	return body_valid(c) && !(c->pending && sent);
}

void vfs_content_check_locked(const struct vfs_content *c)
{
	if (SUPAFS_DEBUG_CHECKS)
		assert(valid_locked(c));
}

void vfs_content_set_state_locked(struct vfs_content *c, enum vfs_state state)
{
	c->state = state;
	c->stamp++;
	c->pristine = false;
	vfs_content_check_locked(c);
	supafs_cond_broadcast(&c->cond);
}

bool vfs_state_unsent(enum vfs_state state)
{
	return state != VFS_CLEAN && state != VFS_SAVED;
}

/* --- Life ----------------------------------------------------------------------------------------
 */

static struct vfs_retired *take_retired_locked(struct vfs_content *c)
{
	return c->io == 0 ? supafs_steal(&c->retired) : NULL;
}

static void free_retired(struct vfs_retired *r)
{
	while (r) {
		struct vfs_retired *next = r->next;

		(void)supafs_spool_free(r->spool);
		(void)supafs_content_unref(r->base);
		free(r);
		r = next;
	}
}

void vfs_content_retire_locked(struct vfs_content *c, struct vfs_retired *r)
{
	r->next = c->retired;
	c->retired = r;
}

void vfs_content_sweep(struct vfs_content *c)
{
	struct vfs_retired *gone;

	{
		SUPAFS_SCOPED_LOCK(&c->lock);
		gone = take_retired_locked(c);
	}
	free_retired(gone);
}

void vfs_content_destroy(struct vfs_content *c)
{
	if (!c)
		return;
	c->base = supafs_content_unref(c->base);
	c->spool = supafs_spool_free(c->spool);
	free(c->ref);
	free_retired(c->retired);
	vfs_promise_free(c->promise);
	supafs_buf_fini(&c->user);
	free(c->mime);
	free(c->cache_control);
	supafs_cond_fini(&c->cond);
	supafs_mutex_fini(&c->lock);
	supafs_mutex_fini(&c->call_lock);
	supafs_mutex_fini(&c->record_lock);
	free(c);
}

struct vfs_content *vfs_content_new(const struct supafs_attr *attr)
{
	struct vfs_content *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	supafs_mutex_init(&c->lock);
	supafs_mutex_init(&c->call_lock);
	supafs_mutex_init(&c->record_lock);
	supafs_cond_init(&c->cond);
	supafs_buf_init(&c->user, SUPAFS_PAIRS_MAX);
	if (attr) {
		c->remote = true;
		c->version = attr->version;
		c->meta = attr->meta;
		c->modified_ns = attr->modified_ns;
	}
	return c;
}

int vfs_content_get(struct supafs_vfs *v, struct vfs_node *node, const struct supafs_attr *attr,
	const uint32_t *sends, struct vfs_content **ret_c)
{
	SUPAFS_SCOPED_LOCK(&v->ns);
	if (!node->content) {
		if (sends && *sends != node->sends)
			return -EAGAIN;
		node->content = vfs_content_new(attr);
		if (!node->content)
			return -ENOMEM;
		node->content->unlinked = !node->linked;
	}
	node->content->refs++;
	node->refs++;
	*ret_c = node->content;
	return 0;
}

struct vfs_content *vfs_content_peek(struct supafs_vfs *v, struct vfs_node *node)
{
	SUPAFS_SCOPED_LOCK(&v->ns);
	if (node->content) {
		node->content->refs++;
		node->refs++;
	}
	return node->content;
}

/* Nothing in it that only we have? */
static bool disposable(struct vfs_content *c)
{
	SUPAFS_SCOPED_LOCK(&c->lock);
	return c->unlinked || (!vfs_state_unsent(c->state) && !c->attrs_wait);
}

void vfs_content_put(struct supafs_vfs *v, struct vfs_node *node)
{
	struct vfs_content *gone = NULL;

	{
		SUPAFS_SCOPED_LOCK(&v->ns);
		struct vfs_content *c = node->content;

		assert(c && c->refs > 0);
		if (--c->refs == 0 && disposable(c)) {
			gone = c;
			node->content = NULL;
		}
		vfs_node_put_locked(v, node);
	}
	vfs_content_destroy(gone);
}

/* --- Facts ---------------------------------------------------------------------------------------
 */

uint64_t vfs_content_size_locked(const struct vfs_content *c)
{
	if (c->spool)
		return supafs_spool_size(c->spool);
	return c->ref ? c->ref->n : c->version.size;
}

bool vfs_content_is_local(struct vfs_content *c)
{
	SUPAFS_SCOPED_LOCK(&c->lock);
	return !c->unlinked && (vfs_state_unsent(c->state) || c->attrs_wait);
}

bool vfs_content_is_pending(struct vfs_content *c)
{
	SUPAFS_SCOPED_LOCK(&c->lock);
	return c->pending;
}

static void attr_locked(const struct vfs_content *c, uint64_t ino, struct supafs_attr *ret)
{
	*ret = (struct supafs_attr){
		.ino = ino,
		.version = c->version,
		.modified_ns = c->modified_ns,
		.meta = c->meta,
	};
	ret->version.size = vfs_content_size_locked(c);
}

void vfs_content_attr(struct vfs_content *c, uint64_t ino, struct supafs_attr *ret)
{
	SUPAFS_SCOPED_LOCK(&c->lock);
	attr_locked(c, ino, ret);
}

void vfs_content_unlinked(struct vfs_content *c)
{
	SUPAFS_SCOPED_LOCK(&c->lock);
	c->unlinked = true;
	c->pending = false;
	c->stamp++;
	supafs_cond_broadcast(&c->cond);
}

/* Is what the server shows what was sent from here? An overwrite by somebody else keeps the
 * object's id, so size and times decide. */
static bool is_ours(const struct vfs_content *c, const struct supafs_attr *attr)
{
	if (attr->version.size != c->version.size)
		return false;
	if ((c->meta.has & SUPAFS_META_MTIME) && (attr->meta.has & SUPAFS_META_MTIME))
		return c->meta.mtime_ns == attr->meta.mtime_ns;
	return true;
}

void vfs_content_forget_user_locked(struct vfs_content *c)
{
	c->user_known = false;
	supafs_buf_fini(&c->user);
	supafs_buf_init(&c->user, SUPAFS_PAIRS_MAX);
	free(supafs_steal(&c->mime));
	free(supafs_steal(&c->cache_control));
}

static bool same_content(const struct vfs_content *c, const struct supafs_attr *attr)
{
	if (c->sent_here)
		return is_ours(c, attr);
	return vfs_version_alike(&c->version, &attr->version);
}

bool vfs_content_superseded(struct vfs_content *c, const struct supafs_attr *attr)
{
	SUPAFS_SCOPED_LOCK(&c->lock);
	return c->open > 0 && !c->unlinked && !c->attrs_wait && !vfs_state_unsent(c->state) &&
	       !same_content(c, attr);
}

static void take_over_locked(struct vfs_content *c, const struct supafs_attr *attr)
{
	c->version = attr->version;
	c->meta = attr->meta;
	c->modified_ns = attr->modified_ns;
	c->remote = true;
	if (attr->version.etag[0])
		c->sent_here = false;
	vfs_content_forget_user_locked(c);
}

int vfs_content_adopt(struct vfs_content *c, struct supafs_call *call,
	const struct supafs_attr *attr, unsigned stamp)
{
	struct supafs_spool *gone = NULL;
	struct vfs_wait w;
	int r = 0;

	vfs_wait_begin(&w, call, &c->lock, &c->cond);
	{
		SUPAFS_SCOPED_LOCK(&c->lock);
		bool same = same_content(c, attr);

		/* A spool that others read from goes when they have come out. */
		while (r == 0 && c->stamp == stamp && c->state == VFS_SAVED && !same && c->io > 0) {
			r = vfs_wait_step(&w);
			same = same_content(c, attr);
		}
		if (r == 0 && c->stamp == stamp && !c->unlinked && !c->attrs_wait &&
			!vfs_state_unsent(c->state)) {
			if (!same) {
				c->epoch++;
				c->sent_here = false;
				gone = c->spool;
				c->spool = NULL;
				vfs_content_set_state_locked(c, VFS_CLEAN);
			}
			take_over_locked(c, attr);
		}
	}
	vfs_wait_end(&w);
	(void)supafs_spool_free(gone);
	return r;
}

/* --- Change --------------------------------------------------------------------------------------
 */

int vfs_content_announce_locked(struct supafs_vfs *v, struct vfs_node *node, struct vfs_content *c)
{
	struct supafs_attr attr;
	struct vfs_place place;
	int r;

	if (c->pending || c->unlinked)
		return 0;
	r = vfs_node_place_locked(v, node, &place);
	if (r != 0)
		return r;
	attr_locked(c, node->ino, &attr);
	c->change_id = vfs_view_pending(v, &place, &attr);
	if (c->change_id == 0)
		return -ENOMEM;
	c->pending = true;
	return 0;
}

void vfs_content_io_begin_locked(struct vfs_content *c)
{
	c->io++;
}

void vfs_content_io_end(struct vfs_content *c)
{
	struct vfs_retired *gone;

	{
		SUPAFS_SCOPED_LOCK(&c->lock);
		assert(c->io > 0);
		c->io--;
		gone = take_retired_locked(c);
		supafs_cond_broadcast(&c->cond);
	}
	free_retired(gone);
}

/* Looks again at each change of state: the next upload is another one, which may be stopped. */
int vfs_content_wait(struct vfs_content *c, struct supafs_call *call)
{
	struct vfs_wait w;
	int r = 0;

	vfs_wait_begin(&w, call, &c->lock, &c->cond);
	{
		SUPAFS_SCOPED_LOCK(&c->lock);
		const unsigned stamp = c->stamp;

		while (r == 0 && c->stamp == stamp && (c->state == VFS_UPLOADING || c->claimed))
			r = vfs_wait_step(&w);
	}
	vfs_wait_end(&w);
	return r;
}

static int claim(struct vfs_content *c, struct supafs_call *call, bool patient)
{
	struct vfs_wait w;
	int r = 0;

	vfs_wait_begin(&w, call, &c->lock, &c->cond);
	{
		SUPAFS_SCOPED_LOCK(&c->lock);
		while (r == 0 && vfs_content_busy_locked(c))
			r = c->state == VFS_UPLOADING && !patient ? -EAGAIN : vfs_wait_step(&w);
		if (r == 0)
			c->claimed = true;
	}
	vfs_wait_end(&w);
	return r;
}

int vfs_content_claim(struct vfs_content *c, struct supafs_call *call)
{
	return claim(c, call, true);
}

int vfs_content_claim_unsent(struct vfs_content *c, struct supafs_call *call)
{
	return claim(c, call, false);
}

void vfs_content_unclaim(struct vfs_content *c)
{
	SUPAFS_SCOPED_LOCK(&c->lock);
	assert(c->claimed);
	c->claimed = false;
	supafs_cond_broadcast(&c->cond);
}

bool vfs_content_busy_locked(const struct vfs_content *c)
{
	return c->state == VFS_UPLOADING || c->claimed || c->writers > 0;
}

void vfs_content_stop(struct vfs_content *c)
{
	SUPAFS_SCOPED_LOCK(&c->call_lock);
	c->stop_asked = true; /* an upload that has just begun has not shown its call yet */
	if (c->send_call)
		supafs_call_cancel(c->send_call);
}
