/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unlink. A file that the server never got costs no request; one that it has is deleted at once
 * with the true error, or gathered (gather.h). Whoever has it open keeps it: its bytes
 * are in the spool, or are brought there before the object goes. If that takes longer than half of
 * the operation's time, or does not fit on the disk, they give ESTALE from then on.
 */
#include "folder_attr.h"
#include "gather.h"
#include "handle.h"
#include "journal.h"
#include "keyq.h"
#include "ops.h"
#include "queue.h"
#include "touch.h"

int vfs_ticket_take(struct supafs_vfs *v, struct supafs_call *call, struct vfs_node *node,
	struct vfs_ticket *t, struct vfs_place *place)
{
	struct vfs_place now;
	int r;

	for (;;) {
		r = vfs_node_place(v, node, place);
		if (r == 0)
			r = vfs_keyq_enter(v->keyq, call, t, vfs_key_full(&place->key),
				(struct supafs_str){NULL, 0});
		if (r != 0)
			return r;
		r = vfs_node_place(v, node, &now);
		if (r == 0 && vfs_key_same(&now.key, &place->key))
			return 0;
		vfs_keyq_leave(v->keyq, t);
		if (r != 0)
			return r;
	}
}

/* What the server has of a file that is about to go. */
struct leaving {
	bool remote; /* it has an object, or may have */
	bool unsent; /* we have changes */
};

static struct leaving leaving_of(struct vfs_content *c)
{
	if (!c)
		return (struct leaving){.remote = true};
	SUPAFS_SCOPED_LOCK(&c->lock);
	return (struct leaving){c->remote || c->maybe_remote, vfs_state_unsent(c->state)};
}

void vfs_reannounce_locked(struct supafs_vfs *v, struct vfs_node *node)
{
	struct vfs_content *c = node->content;

	if (!c)
		return;
	SUPAFS_SCOPED_LOCK(&c->lock);
	c->pending = false;
	if (vfs_state_unsent(c->state))
		(void)vfs_content_announce_locked(v, node, c);
}

void vfs_reannounce(struct supafs_vfs *v, struct vfs_node *node)
{
	SUPAFS_SCOPED_LOCK(&v->ns);
	vfs_reannounce_locked(v, node);
}

static int remove_object(struct supafs_vfs *v, struct supafs_call *call, struct vfs_node *node,
	const struct vfs_place *place, struct supafs_fault *fault)
{
	const uint64_t id = vfs_view_leaving(v, place);
	int r = v->cfg.store->ops->remove(v->cfg.store, call, vfs_key_full(&place->key), fault);

	if (r == 0 || r == -ENOENT) {
		vfs_view_ack(v, place, id, NULL);
	} else {
		vfs_view_undo(v, place, id);
		vfs_reannounce(v, node);
	}
	return r;
}

static void detach(struct supafs_vfs *v, struct vfs_node *node)
{
	SUPAFS_SCOPED_LOCK(&v->ns);
	vfs_node_detach_locked(v, node);
}

/* With the ticket. */
static int unlink_placed(struct supafs_vfs *v, struct supafs_call *call, struct vfs_node *node,
	const struct vfs_place *place, struct supafs_fault *fault)
{
	struct vfs_content *c = vfs_content_peek(v, node);
	const struct leaving what = leaving_of(c);
	int r = vfs_keep_folder(v, call, &place->dir, 1, what.remote, fault);

	if (r == 0 && what.remote) {
		if (c)
			vfs_content_preserve(v, node, call);
		r = remove_object(v, call, node, place, fault);
		if (r == -ENOENT && what.unsent)
			r = 0; /* what was removed is our change */
	} else if (r == 0) {
		vfs_view_absent(v, place);
	}
	if (r == 0 || r == -ENOENT)
		detach(v, node);
	if (c && (r == 0 || r == -ENOENT)) /* before the answer: it must not come back */
		vfs_promise_drop(v, node);
	if (c) {
		vfs_touch_changed(v, node); /* who has it open sees that it lost its name */
		vfs_content_put(v, node);
	}
	return r;
}

/* A background upload of what goes is not worth waiting for. */
static void stop_upload(struct supafs_vfs *v, struct vfs_node *node)
{
	struct vfs_content *c = vfs_content_peek(v, node);

	if (!c)
		return;
	vfs_content_stop(c);
	vfs_content_put(v, node);
}

static int unlink_now(struct supafs_vfs *v, struct supafs_call *call, struct vfs_node *node,
	struct supafs_fault *fault)
{
	struct vfs_ticket t;
	struct vfs_place place;
	int r;

	stop_upload(v, node);
	r = vfs_ticket_take(v, call, node, &t, &place);
	if (r == 0) {
		r = unlink_placed(v, call, node, &place, fault);
		vfs_keyq_leave(v->keyq, &t);
	}
	if (r != 0)
		vfs_queue_look(v, node);
	return r;
}

static bool has_content(struct supafs_vfs *v, struct vfs_node *node)
{
	SUPAFS_SCOPED_LOCK(&v->ns);
	return node->content != NULL;
}

/* -EAGAIN: it could not be promised. */
static int unlink_gathered(struct supafs_vfs *v, struct vfs_node *node,
	const struct vfs_place *place, const struct supafs_attr *attr, uint64_t parent)
{
	const uint64_t id = vfs_view_leaving(v, place);
	int r = id ? vfs_gather_add(v, place, attr, parent, id) : -EAGAIN;

	if (r == 0)
		detach(v, node);
	else if (id)
		vfs_view_undo(v, place, id);
	return r;
}

static int unlink_in(struct supafs_vfs *v, struct supafs_call *call, struct vfs_node *parent,
	struct supafs_str name, pid_t process, struct supafs_fault *fault)
{
	struct supafs_dirent ent;
	struct vfs_place place;
	struct vfs_node *node;
	bool burst;
	int r = vfs_look(v, call, parent, name, &ent, fault);

	if (r == 0 && ent.attr.folder)
		r = -EISDIR;
	if (r == 0)
		r = vfs_node_obtain(v, parent, &ent, 0, &node);
	if (r != 0)
		return r;
	r = vfs_node_place(v, node, &place);
	burst = r == 0 && vfs_gather_burst(v->gather, process, &place.dir);
	if (burst && !has_content(v, node))
		r = unlink_gathered(v, node, &place, &ent.attr, parent->id);
	else if (r == 0)
		r = -EAGAIN;
	if (r == -EAGAIN)
		r = unlink_now(v, call, node, fault);
	if (r == -EACCES) /* each of a role that may not delete is told the truth */
		vfs_gather_refused(v->gather, process);
	vfs_node_put(v, node);
	return r;
}

int supafs_vfs_unlink(struct supafs_vfs *v, struct supafs_call *call, uint64_t parent,
	struct supafs_str name, pid_t process, struct supafs_fault *fault)
{
	struct vfs_node *folder = NULL;
	int r;

	supafs_fault_clear(fault);
	if (v->cfg.read_only)
		return -EROFS;
	r = vfs_node_get_folder(v, parent, &folder);
	if (r != 0)
		return r;
	r = unlink_in(v, call, folder, name, process, fault);
	if (r == 0)
		vfs_folder_touched(v, folder);
	vfs_node_put(v, folder);
	return vfs_errno(r);
}
