/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Renaming a folder: everything below is listed flat and moved, 16 at a time, a portion of the list
 * after the other, so that its size needs no memory; all of it is looked through before the first
 * move, for keys that would be too long. Each step is safe to repeat: a source that is gone was
 *moved, a target that is there is replaced. The ticket of both prefixes keeps everything else below
 *them waiting, so nobody sees a half. A record stands in the journal from before the first move to
 *the end:
 *
 *	| what happens                                | then                                       |
 *	|---------------------------------------------|--------------------------------------------|
 *	| this process dies                           | the next mount moves the rest first        |
 *	| time-out, signal, the server goes away,     | the new name counts, a job moves the rest, |
 *	| after something was moved or may have been  | nobody looks into either folder until then |
 *	| the same before anything was moved          | the error, and nothing is changed          |
 *	| an object is refused for good               | the error; the others are moved, both      |
 *	|                                             | folders are read again                     |
 */
#include <stdatomic.h>
#include <stdlib.h>

#include "supafs/util/buf.h"
#include "supafs/util/log.h"

#include "folder_attr.h"
#include "journal.h"
#include "ops.h"

#define LIST_LIMIT 1000
#define PORTION    ((size_t)64 << 20) /* bytes of keys that are kept at once, and a page */

/* A portion of the keys below the folder, without its prefix, each with its NUL. */
struct below {
	struct supafs_buf text;
	size_t *at;
	size_t n, cap;
	size_t prefix_n, to_n;
	size_t limit;
	bool check_only;              /* keep nothing */
	struct supafs_cursor *cursor; /* behind this portion */
	bool more;
};

static void below_fini(struct below *b)
{
	supafs_buf_fini(&b->text);
	free(b->at);
	free(b->cursor);
}

static int below_init(const struct vfs_renaming *rn, struct below *b)
{
	b->limit = rn->v->cfg.rename_portion ? rn->v->cfg.rename_portion : PORTION;
	b->prefix_n = rn->from.key.n;
	b->to_n = rn->to.key.n;
	b->more = true;
	supafs_buf_init(&b->text, b->limit + (size_t)LIST_LIMIT * (SUPAFS_KEY_MAX + 1));
	b->cursor = calloc(1, sizeof(*b->cursor));
	return b->cursor ? 0 : -ENOMEM;
}

static int add_key(void *ctx, const struct supafs_entry *e)
{
	struct below *b = ctx;
	struct supafs_str rest;

	if (e->folder || e->key.n < b->prefix_n)
		return 0;
	rest = (struct supafs_str){e->key.p + b->prefix_n, e->key.n - b->prefix_n};
	if (b->to_n + rest.n > SUPAFS_KEY_MAX)
		return -ENAMETOOLONG; /* before anything was moved */
	if (b->check_only)
		return 0;
	if (b->n == b->cap) {
		const size_t cap = b->cap ? 2 * b->cap : 256;
		size_t *at = reallocarray(b->at, cap, sizeof(*at));

		if (!at)
			return -ENOMEM;
		b->at = at;
		b->cap = cap;
	}
	b->at[b->n++] = b->text.n;
	(void)supafs_buf_addstr(&b->text, rest);
	(void)supafs_buf_addc(&b->text, '\0');
	return supafs_buf_error(&b->text) == -EMSGSIZE ? -E2BIG : supafs_buf_error(&b->text);
}

/* One page more. */
static int list_page(struct vfs_renaming *rn, struct below *b)
{
	struct supafs_store *store = rn->v->cfg.store;
	const struct supafs_list_args args = {
		.prefix = vfs_key_full(&rn->from.key),
		.limit = LIST_LIMIT,
		.on_entry = add_key,
		.ctx = b,
	};

	return store->ops->list(store, rn->call, &args, b->cursor, &b->more, rn->fault);
}

/* The next portion. What was moved meanwhile lies before the cursor. */
static int list_portion(struct vfs_renaming *rn, struct below *b)
{
	int r = 0;

	b->n = 0;
	supafs_buf_reset(&b->text);
	while (r == 0 && b->more && b->text.n + b->n * sizeof(*b->at) < b->limit)
		r = list_page(rn, b);
	return r;
}

/* Looks at what is behind the first portion, which stays as it is. */
static int check_rest(struct vfs_renaming *rn, struct below *b)
{
	const struct supafs_cursor behind = *b->cursor;
	int r = 0;

	b->check_only = true;
	while (r == 0 && b->more)
		r = list_page(rn, b);
	b->check_only = false;
	b->more = true;
	*b->cursor = behind;
	return r;
}

/* --- The workers
 * ---------------------------------------------------------------------------------- */

struct moving {
	struct vfs_renaming *rn;
	const struct below *below;
	_Atomic size_t next;
	_Atomic size_t moved;
	_Atomic bool stop;

	struct supafs_mutex lock;
	struct supafs_cond cond;                     /* lock; broadcast when a worker ends */
	unsigned running;                            /* lock */
	int error;                                   /* lock; the first */
	struct supafs_fault fault;                   /* lock; its fault */
	struct supafs_call *calls[VFS_MOVE_THREADS]; /* lock; of those that run */
};

static int move_one(
	struct moving *m, struct supafs_call *call, size_t i, struct supafs_fault *fault)
{
	const struct vfs_renaming *rn = m->rn;
	struct supafs_store *store = rn->v->cfg.store;
	const struct supafs_str rest = supafs_str_of(m->below->text.p + m->below->at[i]);
	char from[SUPAFS_KEY_MAX + 1], to[SUPAFS_KEY_MAX + 1];
	const struct supafs_str a = {from, rn->from.key.n + rest.n};
	const struct supafs_str b = {to, rn->to.key.n + rest.n};
	const struct supafs_copy_args copy = {.from = a, .to = b, .replace = true};
	int r;

	memcpy(from, rn->from.key.p, rn->from.key.n);
	memcpy(from + rn->from.key.n, rest.p, rest.n);
	memcpy(to, rn->to.key.p, rn->to.key.n);
	memcpy(to + rn->to.key.n, rest.p, rest.n);
	r = store->ops->move(store, call, a, b, fault);
	if (r == -EEXIST) {
		r = store->ops->copy(store, call, &copy, NULL, fault);
		if (r == 0)
			r = store->ops->remove(store, call, a, fault);
	}
	return r == -ENOENT ? 0 : r;
}

static void note_error(struct moving *m, int r, const struct supafs_fault *fault)
{
	SUPAFS_SCOPED_LOCK(&m->lock);
	if (m->error == 0) {
		m->error = r;
		m->fault = *fault;
	}
}

static int slot_of(struct moving *m, struct supafs_call *call)
{
	SUPAFS_SCOPED_LOCK(&m->lock);
	for (int i = 0; i < VFS_MOVE_THREADS; i++) {
		if (!m->calls[i]) {
			m->calls[i] = call;
			return i;
		}
	}
	return -1;
}

static void leave_slot(struct moving *m, int slot)
{
	SUPAFS_SCOPED_LOCK(&m->lock);
	if (slot >= 0)
		m->calls[slot] = NULL;
	m->running--;
	supafs_cond_broadcast(&m->cond);
}

/* A permanent failure of one object does not keep the others from moving. */
static void worker(void *ctx)
{
	struct moving *m = ctx;
	struct supafs_call call;
	size_t i;
	int slot;

	supafs_call_init(&call, m->rn->call->clock, supafs_call_left_ms(m->rn->call));
	slot = slot_of(m, &call);
	while (!atomic_load(&m->stop) && (i = atomic_fetch_add(&m->next, 1)) < m->below->n) {
		struct supafs_fault fault = {0};
		int r = move_one(m, &call, i, &fault);

		if (r == 0)
			atomic_fetch_add(&m->moved, 1);
		else
			note_error(m, r, &fault);
		if (r == -EINTR || r == -ETIMEDOUT)
			break;
	}
	leave_slot(m, slot);
	supafs_call_fini(&call);
}

static void cancel_workers(struct moving *m)
{
	atomic_store(&m->stop, true);
	SUPAFS_SCOPED_LOCK(&m->lock);
	for (int i = 0; i < VFS_MOVE_THREADS; i++)
		if (m->calls[i])
			supafs_call_cancel(m->calls[i]);
}

static int wait_workers(struct moving *m, struct supafs_call *call)
{
	struct vfs_wait w;
	int r = 0;

	vfs_wait_begin(&w, call, &m->lock, &m->cond);
	{
		SUPAFS_SCOPED_LOCK(&m->lock);
		while (r == 0 && m->running > 0)
			r = vfs_wait_step(&w);
	}
	vfs_wait_end(&w);
	return r;
}

static void start_workers(struct moving *m)
{
	const size_t want = m->below->n < VFS_MOVE_THREADS ? m->below->n : VFS_MOVE_THREADS;

	for (size_t i = 0; i < want; i++) {
		{
			SUPAFS_SCOPED_LOCK(&m->lock);
			m->running++;
		}
		if (supafs_pool_submit(m->rn->v->moves, (struct supafs_job){worker, worker, m}) ==
			0)
			continue;
		SUPAFS_SCOPED_LOCK(&m->lock);
		m->running--;
		break;
	}
}

static int move_all(struct vfs_renaming *rn, const struct below *b, size_t *ret_moved)
{
	struct moving m = {.rn = rn, .below = b};
	int r;

	supafs_mutex_init(&m.lock);
	supafs_cond_init(&m.cond);
	start_workers(&m);
	r = wait_workers(&m, rn->call);
	if (r != 0) {
		cancel_workers(&m);
		(void)wait_workers(&m, NULL);
	} else if (atomic_load(&m.next) < b->n && m.error == 0) { /* the pool had no room: here */
		{
			SUPAFS_SCOPED_LOCK(&m.lock);
			m.running++;
		}
		worker(&m);
	}
	if (r == 0 && m.error != 0) {
		r = m.error;
		*rn->fault = m.fault;
	}
	*ret_moved = atomic_load(&m.moved);
	supafs_cond_fini(&m.cond);
	supafs_mutex_fini(&m.lock);
	return r;
}

/* This portion and all behind it. What is refused for good is told at the end, and does not keep
 * the others from moving. */
static int move_portions(struct vfs_renaming *rn, struct below *b, size_t *ret_moved)
{
	struct supafs_fault refused = {0};
	int error = 0;

	*ret_moved = 0;
	for (;;) {
		size_t moved = 0;
		int r = b->n > 0 ? move_all(rn, b, &moved) : 0;

		*ret_moved += moved;
		if (r != 0 && vfs_jobs_passing(r, rn->fault))
			return r;
		if (r != 0 && error == 0) {
			error = r;
			refused = *rn->fault;
		}
		if (!b->more)
			break;
		r = list_portion(rn, b);
		if (r != 0)
			return r;
	}
	if (error != 0)
		*rn->fault = refused;
	return error;
}

/* --- Open files below
 * ------------------------------------------------------------------------------ */

struct frozen {
	struct vfs_node_list nodes;
	enum vfs_state *was; /* VFS_STATE__COUNT: not frozen */
};

static int freeze_below(struct vfs_renaming *rn, struct frozen *f)
{
	int r = vfs_node_below(rn->v, rn->node, &f->nodes);

	if (r != 0)
		return r;
	f->was = calloc(f->nodes.n ? f->nodes.n : 1, sizeof(*f->was));
	if (!f->was)
		return -ENOMEM;
	for (size_t i = 0; i < f->nodes.n; i++)
		f->was[i] = VFS_STATE__COUNT;
	for (size_t i = 0; r == 0 && i < f->nodes.n; i++) {
		struct vfs_content *c = vfs_content_peek(rn->v, f->nodes.p[i]);

		if (!c)
			continue;
		r = vfs_content_freeze(c, rn->call, &f->was[i]);
		if (r == 0 && vfs_state_unsent(f->was[i]))
			r = vfs_content_complete(c, rn->call, rn->fault);
		if (f->was[i] == VFS_STATE__COUNT)
			vfs_content_put(rn->v, f->nodes.p[i]);
	}
	return r;
}

static void thaw_one(struct supafs_vfs *v, struct vfs_node *node, enum vfs_state was, bool moved)
{
	struct vfs_content *c = node->content;
	struct supafs_version version;
	bool remote;

	{
		SUPAFS_SCOPED_LOCK(&c->lock);
		version = c->version;
		remote = c->remote;
	}
	version.etag[0] = '\0';
	version.updated_ns = 0;
	vfs_content_thaw(c, was, moved && remote ? &version : NULL);
	vfs_content_put(v, node);
}

static void thaw_below(struct vfs_renaming *rn, struct frozen *f, bool moved)
{
	for (size_t i = 0; f->was && i < f->nodes.n; i++)
		if (f->was[i] != VFS_STATE__COUNT)
			thaw_one(rn->v, f->nodes.p[i], f->was[i], moved);
	free(f->was);
	vfs_node_list_fini(rn->v, &f->nodes);
}

/* --- The whole
 * --------------------------------------------------------------------------------------- */

/* The next node below `top` with a change of ours in the view: frozen ones, and such as were made
 * since then. */
static struct vfs_node *next_pending_locked(
	struct supafs_vfs *v, const struct vfs_node *top, size_t *pos) SUPAFS_REQUIRES(v->ns);
static struct vfs_node *next_pending_locked(
	struct supafs_vfs *v, const struct vfs_node *top, size_t *pos)
{
	struct vfs_node *node;

	while ((node = supafs_map_next(v->by_id, pos)) != NULL)
		if (node->content && vfs_node_is_below(node, top) &&
			vfs_content_is_pending(node->content))
			return node;
	return NULL;
}

/* The name, and the records of all that is pending below it, at one moment: those belong to the old
 * folder's view. */
static int switch_folder(struct vfs_renaming *rn)
{
	struct supafs_vfs *v = rn->v;
	struct vfs_node *node;
	struct vfs_place place;
	int r;

	SUPAFS_SCOPED_LOCK(&v->ns);
	if (!rn->node->linked)
		return -ENOENT;
	for (size_t pos = 0; (node = next_pending_locked(v, rn->node, &pos)) != NULL;)
		if (vfs_node_place_locked(v, node, &place) == 0)
			vfs_view_absent(v, &place);
	r = vfs_node_move_locked(v, rn->node, rn->new_parent, &rn->to);
	for (size_t pos = 0; (node = next_pending_locked(v, rn->node, &pos)) != NULL;)
		vfs_reannounce_locked(v, node);
	return r;
}

/* A failure that passes, when something was moved or may have been: a job goes on with it, and
 * keeps everybody out of both folders until it is done (its ticket stands behind ours). */
static bool hand_over(
	struct vfs_renaming *rn, const struct vfs_job_record *job, int r, size_t moved)
{
	struct supafs_journal_record rec = {
		.kind = SUPAFS_JOURNAL_RENAME_DIR,
		.from = vfs_key_full(&rn->from.key),
		.key = vfs_key_full(&rn->to.key),
	};

	if (!job->id[0] || !vfs_jobs_passing(r, rn->fault))
		return false;
	if (moved == 0 && !rn->fault->ambiguous && r != -EINTR && r != -ETIMEDOUT)
		return false;
	memcpy(rec.id, job->id, sizeof(rec.id));
	if (vfs_jobs_take(rn->v, &rec) != 0)
		return false;
	supafs_log(SUPAFS_LOG_WARN,
		"the rename of \"%.*s\" to \"%.*s\" was cut short (%s): it is finished in the background",
		SUPAFS_STR_FMT(vfs_key_rel(&rn->from.key)),
		SUPAFS_STR_FMT(vfs_key_rel(&rn->to.key)), strerrordesc_np(-r));
	return true;
}

static void tell_view(struct vfs_renaming *rn, int r, uint64_t from_id, uint64_t to_id)
{
	if (r == 0) {
		vfs_view_ack(rn->v, &rn->from, from_id, NULL);
		vfs_view_ack(rn->v, &rn->to, to_id, NULL);
	} else {
		vfs_view_undo(rn->v, &rn->from, from_id);
		vfs_view_undo(rn->v, &rn->to, to_id);
	}
}

static int move_folder(struct vfs_renaming *rn)
{
	supafs_cleanup(below_fini) struct below b = {0};
	struct supafs_catalog *cat = rn->v->cfg.catalog;
	struct vfs_job_record job = {""};
	uint64_t from_id, to_id;
	size_t moved = 0;
	bool handed = false;
	int r;

	r = below_init(rn, &b);
	if (r == 0)
		r = list_portion(rn, &b);
	if (r == 0 && b.more)
		r = check_rest(rn, &b);
	if (r != 0)
		return r;
	from_id = vfs_view_leaving(rn->v, &rn->from);
	to_id = vfs_view_pending(rn->v, &rn->to, &rn->attr);
	if (b.n > 0) {
		vfs_jobs_note_rename(rn->v, &rn->from.key, &rn->to.key, &job);
		r = move_portions(rn, &b, &moved);
	} else {
		r = vfs_put_placeholder(rn->v, rn->call, &rn->to.key, false, rn->fault);
	}
	if (r != 0 && hand_over(rn, &job, r, moved)) {
		handed = true;
		r = 0;
	}
	if (r == 0)
		r = switch_folder(rn);
	if (r == 0) {
		vfs_folder_moved(rn->v, &rn->from.key, &rn->to.key);
		vfs_promise_rekey_below(rn->v, rn->node);
	}
	if (!handed) {
		tell_view(rn, r, from_id, to_id);
		vfs_jobs_forget(rn->v, &job, true);
	}
	supafs_catalog_drop(cat, vfs_key_rel(&rn->from.key), true);
	supafs_catalog_drop(cat, vfs_key_rel(&rn->to.key), true);
	return r;
}

int vfs_rename_rest(struct supafs_vfs *v, struct supafs_call *call, const struct vfs_key *from,
	const struct vfs_key *to, struct supafs_fault *fault)
{
	supafs_cleanup(below_fini) struct below b = {0};
	struct vfs_renaming rn = {.v = v, .call = call, .fault = fault};
	size_t moved;
	int r;

	rn.from.key = *from;
	rn.to.key = *to;
	r = below_init(&rn, &b);
	if (r == 0)
		r = list_portion(&rn, &b);
	return r == 0 ? move_portions(&rn, &b, &moved) : r;
}

static int check_folder(struct vfs_renaming *rn)
{
	struct vfs_keepers keepers = {0};
	int r = 0;

	if (!rn->v->cfg.rename_dir)
		return -EXDEV;
	if (supafs_str_starts(vfs_key_full(&rn->to.key), vfs_key_full(&rn->from.key)))
		return -EINVAL;
	if (rn->target)
		r = vfs_check_empty(rn->v, rn->call, rn->target, &rn->to.key, &keepers, rn->fault);
	if (r == 0 && !vfs_key_same(&rn->from.dir, &rn->to.dir))
		r = vfs_keep_folder(rn->v, rn->call, &rn->from.dir, 1, true, rn->fault);
	return r;
}

int vfs_rename_folder(struct vfs_renaming *rn)
{
	struct frozen f = {0};
	int r = check_folder(rn);

	if (r != 0)
		return r;
	r = freeze_below(rn, &f);
	if (r == 0)
		r = move_folder(rn);
	thaw_below(rn, &f, r == 0);
	return r;
}
