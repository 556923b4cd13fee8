/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rename, and files in it.
 *
 * | source                          | what happens                                               |
 * |---------------------------------|------------------------------------------------------------|
 * | the server has it               | move; over an existing object: copy with replace, then     |
 * |                                 | remove the source, so the target is never missing          |
 * | changed, still open for writing | as above after its missing bytes were fetched; if the      |
 * |                                 | server never had it: only the name changes                 |
 * | changed, closed (held, failed,  | one upload under the new name, then the old object (if any)|
 * | queued, a reference)            | is removed; under another temporary name, and with         |
 * |                                 | write-back if the server never had it: only the name, its  |
 * |                                 | record gets the new key before rename returns              |
 *
 * The ticket of both keys is held from the first request to the last; the names change under the
 * namespace lock when the server has done its part.
 */
#include <stdio.h>

#include "folder_attr.h"
#include "gather.h"
#include "handle.h"
#include "journal.h"
#include "keyq.h"
#include "ops.h"
#include "queue.h"
#include "touch.h"

int vfs_content_freeze(struct vfs_content *c, struct supafs_call *call, enum vfs_state *ret_was)
{
	struct vfs_wait w;
	int r = 0;

	vfs_wait_begin(&w, call, &c->lock, &c->cond);
	{
		SUPAFS_SCOPED_LOCK(&c->lock);
		while (r == 0 && vfs_content_busy_locked(c))
			r = vfs_wait_step(&w);
		if (r == 0) {
			*ret_was = c->state;
			c->background = false;
			vfs_content_set_state_locked(c, VFS_UPLOADING);
		}
	}
	vfs_wait_end(&w);
	return r;
}

void vfs_content_thaw(
	struct vfs_content *c, enum vfs_state was, const struct supafs_version *version)
{
	SUPAFS_SCOPED_LOCK(&c->lock);
	if (version) {
		c->version = *version;
		c->remote = true;
		c->sent_here = version->etag[0] == '\0';
		c->moves++;
	}
	vfs_content_set_state_locked(c, was);
}

/* --- At the server -------------------------------------------------------------------------------
 */

static int remove_source(struct vfs_renaming *rn)
{
	struct supafs_store *store = rn->v->cfg.store;
	int r = store->ops->remove(store, rn->call, vfs_key_full(&rn->from.key), rn->fault);

	return r == -ENOENT ? 0 : r;
}

/* What was promised of the file that is replaced is void, now that its successor's record, which is
 * newer, stands under its name. */
static void drop_target(struct vfs_renaming *rn)
{
	if (!rn->target || !vfs_content_peek(rn->v, rn->target))
		return;
	vfs_promise_drop(rn->v, rn->target);
	vfs_content_put(rn->v, rn->target);
}

static struct supafs_journal_record replace_record(const struct vfs_renaming *rn)
{
	struct supafs_journal_record rec = {
		.kind = SUPAFS_JOURNAL_REPLACE,
		.flags = rn->replace.flags,
		.from = vfs_key_full(&rn->from.key),
		.key = vfs_key_full(&rn->to.key),
		.base = rn->replace.base,
		.nonce = supafs_str_of(rn->replace.nonce),
		.since_ns = rn->v->cfg.clock->wall_ns(rn->v->cfg.clock),
	};

	memcpy(rec.id, rn->replace.job.id, sizeof(rec.id));
	return rec;
}

/* Before the copy (or the upload) that the removal of the source is to follow. */
static void note_replace(struct vfs_renaming *rn, bool upload)
{
	struct vfs_content *c = rn->node->content;
	struct supafs_journal_record rec;

	{
		SUPAFS_SCOPED_LOCK(&c->lock);
		rn->replace.base = c->version;
		if (upload) {
			struct vfs_promise *p = vfs_promise_of_locked(c);

			if (!p)
				return;
			if (!p->nonce[0])
				vfs_nonce_make(p->nonce);
			memcpy(rn->replace.nonce, p->nonce, sizeof(p->nonce));
		}
	}
	rn->replace.flags = upload ? SUPAFS_JOURNAL_UPLOADED : 0;
	rec = replace_record(rn);
	vfs_jobs_note_replace(rn->v, &rec, &rn->replace.job);
}

/* After it. A removal that fails in a way that passes is left to a job: the rename is done, and
 * nobody sees the source any more. */
static int drop_source(struct vfs_renaming *rn)
{
	int r = remove_source(rn);
	struct supafs_journal_record rec;

	if (r != 0 && rn->replace.job.id[0] && vfs_jobs_passing(r, rn->fault)) {
		rn->replace.flags |= SUPAFS_JOURNAL_SENT;
		rec = replace_record(rn);
		if (supafs_journal_note(rn->v->cfg.journal, &rec) == 0) {
			rn->replace.left = true;
			return 0;
		}
	}
	vfs_jobs_forget(rn->v, &rn->replace.job, false);
	return r;
}

/* When the names are switched. */
static void finish_replace(struct vfs_renaming *rn)
{
	const struct supafs_journal_record rec = replace_record(rn);

	if (rn->replace.left && vfs_jobs_take(rn->v, &rec) == 0)
		return;
	/* Else the next mount does it. */
	rn->replace.left = false;
}

static int copy_over(struct vfs_renaming *rn)
{
	struct supafs_store *store = rn->v->cfg.store;
	const struct supafs_copy_args args = {
		.from = vfs_key_full(&rn->from.key),
		.to = vfs_key_full(&rn->to.key),
		.replace = true,
	};
	struct supafs_entry entry = {0};
	int r;

	note_replace(rn, false);
	r = store->ops->copy(store, rn->call, &args, &entry, rn->fault);
	if (r != 0) {
		vfs_jobs_forget(rn->v, &rn->replace.job, false);
		return r;
	}
	rn->attr.version = entry.version;
	rn->attr.modified_ns = entry.modified_ns;
	vfs_promise_replaced(rn->v, rn->target);
	return drop_source(rn);
}

/* The object from one key to the other. `over`: something is there. */
static int move_object(struct vfs_renaming *rn, bool over)
{
	struct supafs_store *store = rn->v->cfg.store;
	int r;

	if (!over) {
		r = store->ops->move(store, rn->call, vfs_key_full(&rn->from.key),
			vfs_key_full(&rn->to.key), rn->fault);
		if (r == 0) {
			/* id and size stay; ETag and times are learnt when they are needed */
			rn->attr.version.etag[0] = '\0';
			rn->attr.version.updated_ns = 0;
		}
		if (r != -EEXIST || rn->noreplace)
			return r;
	}
	return copy_over(rn);
}

/* --- The names
 * ------------------------------------------------------------------------------------ */

/* What the view says from now on. `attr`: what the server has under the new name; NULL: the change
 * is still ours. */
static int switch_names(struct vfs_renaming *rn, const struct supafs_attr *attr)
{
	struct supafs_vfs *v = rn->v;
	int r;

	{
		SUPAFS_SCOPED_LOCK(&v->ns);
		if (rn->target)
			vfs_node_detach_locked(v, rn->target);
		r = vfs_node_move_locked(v, rn->node, rn->new_parent, &rn->to);
		rn->node->sends++;
		vfs_view_absent(v, &rn->from);
		if (attr)
			vfs_view_present(v, &rn->to, attr);
	}
	if (!attr)
		vfs_reannounce(v, rn->node);
	return r;
}

/* Does the server have an object under the new name, as far as we know, or is one promised to it?
 */
static bool target_remote(struct vfs_renaming *rn)
{
	struct vfs_content *c;
	bool remote = true;

	if (!rn->target)
		return false;
	c = vfs_content_peek(rn->v, rn->target);
	if (c) {
		{
			SUPAFS_SCOPED_LOCK(&c->lock);
			remote = c->remote || c->maybe_remote || (c->promise && c->promise->stands);
		}
		if (remote)
			vfs_content_preserve(rn->v, rn->target, rn->call);
		vfs_content_put(rn->v, rn->target);
	}
	return remote;
}

/* --- The cases
 * ------------------------------------------------------------------------------------ */

static int rename_name_only(struct vfs_renaming *rn, bool over, bool maybe)
{
	struct vfs_content *c = rn->node->content;
	int r = maybe ? remove_source(rn) : 0;

	if (r != 0)
		return r;
	r = switch_names(rn, NULL);
	{
		SUPAFS_SCOPED_LOCK(&c->lock);
		c->remote = over;
		c->maybe_remote = false;
		c->exclusive = rn->noreplace; /* whatever O_EXCL said of the old name */
	}
	if (r == 0) /* should it fail, the bytes are promised under the old name */
		(void)vfs_promise_rekey(rn->v, rn->node, VFS_STATE__COUNT, true);
	drop_target(rn);
	return r;
}

/* Only the name as well, of a closed file that the queue will send. */
static int rename_queued(struct vfs_renaming *rn, bool over)
{
	struct vfs_content *c = rn->node->content;
	int r = switch_names(rn, NULL);

	if (r != 0)
		return r;
	{
		SUPAFS_SCOPED_LOCK(&c->lock);
		c->remote = over;
		c->exclusive = rn->noreplace;
	}
	r = vfs_promise_stands(c)
		    ? vfs_promise_rekey(rn->v, rn->node, VFS_QUEUED, true)
		    : vfs_content_promise(rn->v, rn->node, rn->call, VFS_QUEUED, true, rn->fault);
	drop_target(rn);
	{
		SUPAFS_SCOPED_LOCK(&c->lock);
		if (c->state == VFS_HELD || c->state == VFS_DIRTY || c->state == VFS_REFERENCE)
			vfs_content_set_state_locked(c, VFS_QUEUED);
	}
	if (r != 0) { /* the journal could not take it: the server has to */
		const struct vfs_send send = {
			.key = &rn->to.key, .name = {rn->to.name, rn->to.name_n}, .ack = true};

		r = vfs_content_send(rn->v, rn->node, rn->call, &send, NULL, rn->fault);
	}
	return r;
}

/* One upload under the new name. `remote`: the server has an older object under the old one;
 * `maybe`: or may have. */
static int rename_by_upload(struct vfs_renaming *rn, bool remote, bool maybe)
{
	const struct vfs_send send = {
		.key = &rn->to.key, .name = {rn->to.name, rn->to.name_n}, .replaces = rn->target};
	struct vfs_content *c = rn->node->content;
	struct supafs_attr sent = rn->attr;
	bool exclusive;
	int r, e;

	{
		SUPAFS_SCOPED_LOCK(&c->lock);
		exclusive = c->exclusive;
		c->exclusive = rn->noreplace; /* whatever O_EXCL said of the old name */
	}
	if (remote)
		note_replace(rn, true);
	r = vfs_content_send(rn->v, rn->node, rn->call, &send, &sent, rn->fault);
	if (r != 0) {
		vfs_jobs_forget(rn->v, &rn->replace.job, false);
		(void)vfs_promise_rekey(rn->v, rn->node, VFS_STATE__COUNT, false);
		SUPAFS_SCOPED_LOCK(&c->lock);
		c->exclusive = exclusive && !rn->fault->ambiguous;
		return r;
	}
	if (remote || maybe)
		r = drop_source(rn);
	/* The bytes are under the new name, whatever became of the old object. */
	e = switch_names(rn, &sent);
	if (r != 0) {
		vfs_view_forget(rn->v, &rn->from);
		vfs_news_entry(rn->v, rn->old_parent->id,
			(struct supafs_str){rn->from.name, rn->from.name_n});
	}
	finish_replace(rn);
	return r != 0 ? r : e;
}

static int rename_object(struct vfs_renaming *rn, bool over)
{
	struct vfs_content *c = rn->node->content;
	enum vfs_state was;
	int r = vfs_content_freeze(c, rn->call, &was);

	if (r != 0)
		return r;
	if (vfs_state_unsent(was)) /* its missing bytes would stay behind under the old key */
		r = vfs_content_complete(c, rn->call, rn->fault);
	if (r == 0)
		r = move_object(rn, over);
	if (r == 0) {
		r = switch_names(rn, vfs_state_unsent(was) ? NULL : &rn->attr);
		vfs_content_thaw(c, was, &rn->attr.version);
		(void)vfs_promise_rekey(rn->v, rn->node, VFS_STATE__COUNT, false);
		finish_replace(rn);
		return r;
	}
	vfs_content_thaw(c, was, NULL);
	vfs_view_forget(rn->v, &rn->from);
	vfs_view_forget(rn->v, &rn->to);
	return r;
}

struct source {
	bool unsent, remote, maybe, open;
};

static struct source source_of(struct vfs_content *c)
{
	SUPAFS_SCOPED_LOCK(&c->lock);
	return (struct source){
		vfs_state_unsent(c->state), c->remote, c->maybe_remote, c->open_write > 0};
}

static int rename_file_placed(struct vfs_renaming *rn)
{
	const bool over = target_remote(rn);
	const struct source s = source_of(rn->node->content);
	const bool hidden = vfs_name_temporary(rn->v, rn->to.name);
	int r = 0;

	if (!vfs_key_same(&rn->from.dir, &rn->to.dir))
		r = vfs_keep_folder(
			rn->v, rn->call, &rn->from.dir, 1, s.remote || s.maybe, rn->fault);
	if (r != 0)
		return r;
	if (s.unsent && !s.remote && (s.open || (hidden && !over)))
		return rename_name_only(rn, over, s.maybe);
	if (s.unsent && !s.open && !s.remote && !s.maybe && rn->v->cfg.writeback)
		return rename_queued(rn, over);
	if (s.unsent && !s.open)
		return rename_by_upload(rn, s.remote, s.maybe);
	return rename_object(rn, over);
}

static int rename_file(struct vfs_renaming *rn)
{
	struct vfs_content *c;
	int r = vfs_check_type(rn->v, (struct supafs_str){rn->to.name, rn->to.name_n});

	if (r == 0)
		r = vfs_content_get(rn->v, rn->node, &rn->attr, NULL, &c);
	if (r != 0)
		return r;
	r = rename_file_placed(rn);
	vfs_content_put(rn->v, rn->node);
	return r;
}

/* --- The operation
 * -------------------------------------------------------------------------------- */

static int check_kinds(const struct vfs_renaming *rn)
{
	if (!rn->target)
		return 0;
	if (rn->noreplace)
		return -EEXIST;
	if (rn->target->folder && !rn->node->folder)
		return -EISDIR;
	return !rn->target->folder && rn->node->folder ? -ENOTDIR : 0;
}

static int look_target(struct vfs_renaming *rn, struct supafs_str name)
{
	struct supafs_dirent ent;
	struct vfs_key dir;
	int r = vfs_look(rn->v, rn->call, rn->new_parent, name, &ent, rn->fault);

	if (r == 0)
		r = vfs_node_obtain(rn->v, rn->new_parent, &ent, 0, &rn->target);
	else if (r == -ENOENT)
		r = 0;
	if (r == 0)
		r = vfs_node_dir(rn->v, rn->new_parent, &dir);
	if (r != 0)
		return r;
	if (rn->target)
		return vfs_place_set(&rn->to, &dir, name, (struct supafs_str){ent.seg, ent.seg_n},
			rn->node->folder);
	r = vfs_place_new(rn->v, &rn->to, &dir, name, false);
	if (r == 0 && rn->node->folder) {
		const struct vfs_place file = rn->to;

		r = vfs_place_set(
			&rn->to, &dir, name, (struct supafs_str){file.seg, file.seg_n}, true);
	}
	return r;
}

/* Of the node that has the name, if there is one: else nothing of it can be on its way. */
static uint32_t sends_of_name(struct vfs_renaming *rn, struct supafs_str name)
{
	const struct vfs_node *node;

	SUPAFS_SCOPED_LOCK(&rn->v->ns);
	node = vfs_node_find_locked(rn->v, rn->old_parent, name);
	return node ? node->sends : 0;
}

/* Was something sent after the source was looked at? Then its attributes are others. */
static bool was_sent(struct vfs_renaming *rn)
{
	SUPAFS_SCOPED_LOCK(&rn->v->ns);
	return rn->node->sends != rn->sends;
}

static int look_both(struct vfs_renaming *rn, const struct supafs_rename *r_args)
{
	struct supafs_dirent ent;
	int r;

	rn->sends = sends_of_name(rn, r_args->name);
	r = vfs_look(rn->v, rn->call, rn->old_parent, r_args->name, &ent, rn->fault);

	if (r == 0)
		r = vfs_node_obtain(rn->v, rn->old_parent, &ent, 0, &rn->node);
	if (r != 0)
		return r;
	rn->attr = ent.attr;
	r = look_target(rn, r_args->new_name);
	return r == 0 && rn->target != rn->node ? check_kinds(rn) : r;
}

static int settle_below(struct vfs_renaming *rn)
{
	int r;

	if (!rn->node->folder)
		return 0;
	r = vfs_gather_settle(rn->v, rn->call, &rn->from.key, true, false);
	return r == 0 ? vfs_gather_settle(rn->v, rn->call, &rn->to.key, true, true) : r;
}

/* 0, -errno, or -EAGAIN: the source has another place by now. */
static int rename_placed(struct vfs_renaming *rn)
{
	struct vfs_place now;
	struct vfs_ticket t;
	int r = vfs_node_place(rn->v, rn->node, &rn->from);

	if (r == 0)
		r = settle_below(rn);
	if (r == 0)
		r = vfs_keyq_enter(rn->v->keyq, rn->call, &t, vfs_key_full(&rn->from.key),
			vfs_key_full(&rn->to.key));
	if (r != 0)
		return r;
	r = vfs_node_place(rn->v, rn->node, &now);
	if (r == 0 && (!vfs_key_same(&now.key, &rn->from.key) || was_sent(rn)))
		r = -EAGAIN;
	if (r == 0)
		r = rn->node->folder ? vfs_rename_folder(rn) : rename_file(rn);
	vfs_keyq_leave(rn->v->keyq, &t);
	return r;
}

/* A background upload under the old name, or of what is replaced, is not worth waiting for. The
 * content, with a reference, so that it outlives its name. */
static struct vfs_content *hold(struct supafs_vfs *v, struct vfs_node *node)
{
	struct vfs_content *c = node ? vfs_content_peek(v, node) : NULL;

	if (c)
		vfs_content_stop(c);
	return c;
}

/* What was stopped, or is to be sent from now on. */
static void let_go(struct supafs_vfs *v, struct vfs_node *node, const struct vfs_content *held)
{
	if (!held)
		return;
	vfs_queue_look(v, node);
	vfs_content_put(v, node);
}

static int rename_once(struct vfs_renaming *rn)
{
	const struct vfs_content *node = hold(rn->v, rn->node);
	const struct vfs_content *target = hold(rn->v, rn->target);
	int r = rename_placed(rn);

	let_go(rn->v, rn->node, node);
	let_go(rn->v, rn->target, target);
	return r;
}

static void forget_nodes(struct vfs_renaming *rn)
{
	vfs_node_put(rn->v, rn->target);
	vfs_node_put(rn->v, rn->node);
	rn->target = rn->node = NULL;
}

static void touch(struct vfs_renaming *rn)
{
	vfs_touch_changed(rn->v, rn->node);
	if (rn->target)
		vfs_touch_changed(rn->v, rn->target);
}

static int rename_looked(struct vfs_renaming *rn, const struct supafs_rename *args)
{
	int r;

	do {
		r = look_both(rn, args);
		if (r == 0 && rn->target != rn->node) {
			r = rename_once(rn);
			if (r == 0)
				touch(rn);
		}
		forget_nodes(rn);
	} while (r == -EAGAIN && supafs_call_check(rn->call) == 0);
	return r;
}

int vfs_rename(struct supafs_vfs *v, struct supafs_call *call, const struct supafs_rename *r,
	struct supafs_fault *fault)
{
	struct vfs_renaming rn = {
		.v = v,
		.call = call,
		.fault = fault,
		.noreplace = (r->flags & RENAME_NOREPLACE) != 0,
	};
	int e;

	supafs_fault_clear(fault);
	e = vfs_node_get_folder(v, r->parent, &rn.old_parent);
	if (e == 0)
		e = vfs_node_get_folder(v, r->new_parent, &rn.new_parent);
	if (e == 0)
		e = rename_looked(&rn, r);
	if (e == 0) {
		vfs_folder_touched(v, rn.old_parent);
		vfs_folder_touched(v, rn.new_parent);
	}
	vfs_node_put(v, rn.new_parent);
	vfs_node_put(v, rn.old_parent);
	return vfs_errno(e);
}

int supafs_vfs_rename(struct supafs_vfs *v, struct supafs_call *call, const struct supafs_rename *r,
	struct supafs_fault *fault)
{
	supafs_fault_clear(fault);
	if (v->cfg.read_only)
		return -EROFS;
	if (r->flags == RENAME_EXCHANGE)
		return vfs_rename_exchange(v, call, r, fault);
	if (r->flags & ~(unsigned)RENAME_NOREPLACE)
		return -EINVAL;
	return vfs_rename(v, call, r, fault);
}
