/* SPDX-License-Identifier: Apache-2.0 */
/* Attribute changes that wait for each other: see later.h for the states. */
#include "later.h"

#include <assert.h>
#include <stdlib.h>

#include "supafs/util/log.h"

#include "content.h"
#include "folder_attr.h"

#define RECORDS_MAX 4096
#define FILE_QUIET  (100 * SUPAFS_NS_PER_MS)
#define FILE_MAX    (1 * SUPAFS_NS_PER_S)
/* A folder's times are set again and again while a tree is copied, and a failure is nobody's error.
 */
#define FOLDER_QUIET (1 * SUPAFS_NS_PER_S)
#define FOLDER_MAX   (5 * SUPAFS_NS_PER_S)

struct record {
	struct supafs_list link;
	struct supafs_vfs *v;
	struct vfs_node *node; /* a reference; of a file: its content's too */
	int64_t last_ns;       /* not later than this */
	int64_t due_ns;
};

struct vfs_later {
	struct supafs_mutex lock;
	struct supafs_cond cond;     /* lock; broadcast when one has run */
	struct supafs_list waiting;  /* lock */
	unsigned n_waiting, running; /* lock */
	int64_t timer_ns;            /* lock; when the next timer comes */
};

int vfs_later_new(struct vfs_later **ret_l)
{
	struct vfs_later *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	supafs_mutex_init(&l->lock);
	supafs_cond_init(&l->cond);
	supafs_list_init(&l->waiting);
	l->timer_ns = SUPAFS_NEVER;
	*ret_l = l;
	return 0;
}

static void record_free(struct record *rec)
{
	if (rec->node->folder)
		vfs_node_put(rec->v, rec->node);
	else
		vfs_content_put(rec->v, rec->node);
	free(rec);
}

struct vfs_later *vfs_later_free(struct vfs_later *l)
{
	if (!l)
		return NULL;
	supafs_list_for_each_safe (it, next, &l->waiting) {
		supafs_list_remove(it);
		record_free(supafs_list_entry(it, struct record, link));
	}
	assert(l->running == 0);
	supafs_cond_fini(&l->cond);
	supafs_mutex_fini(&l->lock);
	free(l);
	return NULL;
}

/* --- Running -------------------------------------------------------------------------------------
 */

static void log_failure(struct record *rec, int r, const struct supafs_fault *fault)
{
	char why[320] = "", path[SUPAFS_KEY_MAX + 1];

	if (fault->class != SUPAFS_FAULT_NONE)
		supafs_fault_format(fault, why, sizeof(why));
	supafs_vfs_path(rec->v, rec->node->id, path, sizeof(path));
	supafs_log(SUPAFS_LOG_ERROR,
		"times, mode or attributes of \"%s\" were not stored: %s%s%s; they are shown as "
		"the server has them",
		path, strerrordesc_np(-r), why[0] ? ": " : "", why);
}

static void run_record(struct record *rec)
{
	struct supafs_fault fault = {0};
	struct supafs_call call;
	int r;

	vfs_call_init(rec->v, &call);
	if (rec->node->folder)
		r = vfs_folder_send(rec->v, &call, rec->node, &fault);
	else
		r = vfs_content_settle(rec->v, rec->node, &call, false, &fault);
	supafs_call_fini(&call);
	if (r == 0)
		return;
	log_failure(rec, r, &fault);
	vfs_later_distrust(rec->v, rec->node);
	vfs_news_inode(rec->v, rec->node->id, false);
}

static void job_end(struct record *rec)
{
	struct vfs_later *l = rec->v->later;

	record_free(rec);
	SUPAFS_SCOPED_LOCK(&l->lock);
	l->running--;
	supafs_cond_broadcast(&l->cond);
}

static void job_run(void *ctx)
{
	run_record(ctx);
	job_end(ctx);
}

static void job_drop(void *ctx)
{
	job_end(ctx);
}

/* --- Waiting -------------------------------------------------------------------------------------
 */

static void on_timer(void *ctx);

/* At the time of the next one. The lock is not held: the timers' own comes before it. */
static void arm(struct supafs_vfs *v)
{
	struct vfs_later *l = v->later;
	int64_t at = SUPAFS_NEVER;
	uint64_t id;

	{
		SUPAFS_SCOPED_LOCK(&l->lock);
		supafs_list_for_each (it, &l->waiting) {
			const struct record *rec = supafs_list_entry(it, struct record, link);

			if (rec->due_ns < at)
				at = rec->due_ns;
		}
		if (at >= l->timer_ns)
			return;
		l->timer_ns = at;
	}
	if (supafs_timers_add(v->timers, at, on_timer, v, &id) != 0) {
		SUPAFS_SCOPED_LOCK(&l->lock);
		l->timer_ns = SUPAFS_NEVER; /* sent with the next change, or at the unmount */
	}
}

/* Moves what is due, or everything, to `out`; they count as running from now on. */
static void collect(struct supafs_vfs *v, bool all, struct supafs_list *out)
{
	struct vfs_later *l = v->later;
	const int64_t now = v->cfg.clock->mono_ns(v->cfg.clock);

	SUPAFS_SCOPED_LOCK(&l->lock);
	supafs_list_for_each_safe (it, next, &l->waiting) {
		if (!all && supafs_list_entry(it, struct record, link)->due_ns > now)
			continue;
		supafs_list_remove(it);
		supafs_list_add_tail(out, it);
		l->n_waiting--;
		l->running++;
	}
}

static void submit(struct supafs_vfs *v, struct supafs_list *list, bool here)
{
	supafs_list_for_each_safe (it, next, list) {
		struct record *rec = supafs_list_entry(it, struct record, link);
		const struct supafs_job job = {job_run, job_drop, rec};

		supafs_list_remove(it);
		if (supafs_pool_submit(v->sends, job) == 0)
			continue;
		if (here) {
			job_run(rec);
			continue;
		}
		/* No room among the uploads: again in a moment. */
		SUPAFS_SCOPED_LOCK(&v->later->lock);
		rec->due_ns = v->cfg.clock->mono_ns(v->cfg.clock) + FILE_QUIET;
		supafs_list_add_tail(&v->later->waiting, &rec->link);
		v->later->n_waiting++;
		v->later->running--;
	}
}

static void on_timer(void *ctx)
{
	struct supafs_vfs *v = ctx;
	struct supafs_list due;

	supafs_list_init(&due);
	{
		SUPAFS_SCOPED_LOCK(&v->later->lock);
		v->later->timer_ns = SUPAFS_NEVER;
	}
	collect(v, false, &due);
	submit(v, &due, false);
	arm(v);
}

static struct record *make_record(struct supafs_vfs *v, struct vfs_node *node)
{
	struct record *rec = calloc(1, sizeof(*rec));

	if (!rec)
		return NULL;
	*rec = (struct record){.v = v, .node = node};
	supafs_list_init(&rec->link);
	SUPAFS_SCOPED_LOCK(&v->ns);
	vfs_node_ref_locked(node);
	if (!node->folder)
		node->content->refs++;
	return rec;
}

static void set_due(struct record *rec, int64_t now)
{
	const bool folder = rec->node->folder;

	if (rec->last_ns == 0)
		rec->last_ns = now + (folder ? FOLDER_MAX : FILE_MAX);
	rec->due_ns = now + (folder ? FOLDER_QUIET : FILE_QUIET);
	if (rec->due_ns > rec->last_ns)
		rec->due_ns = rec->last_ns;
}

/* 1: it waits already, a little longer now; 0: put in; or -EAGAIN. */
static int enter(struct vfs_later *l, struct record *rec, int64_t now)
{
	SUPAFS_SCOPED_LOCK(&l->lock);
	supafs_list_for_each (it, &l->waiting) {
		struct record *old = supafs_list_entry(it, struct record, link);

		if (old->node == rec->node) {
			set_due(old, now);
			return 1;
		}
	}
	if (l->n_waiting >= RECORDS_MAX)
		return -EAGAIN;
	set_due(rec, now);
	supafs_list_add_tail(&l->waiting, &rec->link);
	l->n_waiting++;
	return 0;
}

int vfs_later_add(struct supafs_vfs *v, struct vfs_node *node)
{
	struct record *rec = make_record(v, node);
	int r;

	if (!rec)
		return -ENOMEM;
	r = enter(v->later, rec, v->cfg.clock->mono_ns(v->cfg.clock));
	if (r != 0)
		record_free(rec);
	arm(v);
	return r < 0 ? r : 0;
}

unsigned vfs_later_count(struct supafs_vfs *v)
{
	SUPAFS_SCOPED_LOCK(&v->later->lock);
	return v->later->n_waiting + v->later->running;
}

int vfs_later_flush(struct supafs_vfs *v, struct supafs_call *call)
{
	struct vfs_later *l = v->later;
	struct supafs_list all;
	struct vfs_wait w;
	int r = 0;

	supafs_list_init(&all);
	collect(v, true, &all);
	submit(v, &all, true);
	vfs_wait_begin(&w, call, &l->lock, &l->cond);
	{
		SUPAFS_SCOPED_LOCK(&l->lock);
		while (r == 0 && l->running > 0)
			r = vfs_wait_step(&w);
	}
	vfs_wait_end(&w);
	return r;
}

/* --- Early answers -------------------------------------------------------------------------------
 */

bool vfs_later_may(struct supafs_vfs *v, const struct vfs_node *node)
{
	if (v->cfg.trusted)
		return true;
	SUPAFS_SCOPED_LOCK(&v->ns);
	return node->parent && node->parent->proven;
}

void vfs_later_prove_locked(struct supafs_vfs *v, struct vfs_node *node)
{
	(void)v;
	if (node->parent)
		node->parent->proven = true;
}

void vfs_later_distrust(struct supafs_vfs *v, struct vfs_node *node)
{
	SUPAFS_SCOPED_LOCK(&v->ns);
	if (node->parent)
		node->parent->proven = false;
}
