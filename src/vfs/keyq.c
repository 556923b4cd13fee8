/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The key queue: one list in order of arrival, one lock. It holds as many tickets as operations
 * run at once (a hundred at most), so a walk is cheaper than a table.
 */
#include "keyq.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "wait.h"

struct vfs_keyq {
	struct supafs_mutex lock;
	struct supafs_cond cond;    /* lock; broadcast when a ticket leaves */
	struct supafs_list tickets; /* lock; in order of arrival */
	_Atomic unsigned folders;   /* tickets of folders in the list */
};

int vfs_keyq_new(struct vfs_keyq **ret_q)
{
	struct vfs_keyq *q = calloc(1, sizeof(*q));

	if (!q)
		return -ENOMEM;
	supafs_mutex_init(&q->lock);
	supafs_cond_init(&q->cond);
	supafs_list_init(&q->tickets);
	*ret_q = q;
	return 0;
}

struct vfs_keyq *vfs_keyq_free(struct vfs_keyq *q)
{
	if (q) {
		supafs_cond_fini(&q->cond);
		supafs_mutex_fini(&q->lock);
		free(q);
	}
	return NULL;
}

static bool is_folder(struct supafs_str key)
{
	return key.n == 0 || key.p[key.n - 1] == '/';
}

static bool overlap(struct supafs_str a, struct supafs_str b)
{
	return supafs_str_eq(a, b) || (is_folder(a) && supafs_str_starts(b, a)) ||
	       (is_folder(b) && supafs_str_starts(a, b));
}

static bool tickets_overlap(const struct vfs_ticket *a, const struct vfs_ticket *b)
{
	for (unsigned i = 0; i < a->n; i++)
		for (unsigned k = 0; k < b->n; k++)
			if (overlap(a->keys[i], b->keys[k]))
				return true;
	return false;
}

static bool is_folder_ticket(const struct vfs_ticket *t)
{
	return is_folder(t->keys[0]) || (t->n > 1 && is_folder(t->keys[1]));
}

static bool my_turn_locked(struct vfs_keyq *q, struct vfs_ticket *t) SUPAFS_REQUIRES(q->lock);
static bool my_turn_locked(struct vfs_keyq *q, struct vfs_ticket *t)
{
	for (struct supafs_list *it = q->tickets.next; it != &t->link; it = it->next)
		if (tickets_overlap(supafs_list_entry(it, struct vfs_ticket, link), t))
			return false;
	return true;
}

static void take_out_locked(struct vfs_keyq *q, struct vfs_ticket *t) SUPAFS_REQUIRES(q->lock);
static void take_out_locked(struct vfs_keyq *q, struct vfs_ticket *t)
{
	supafs_list_remove(&t->link);
	if (is_folder_ticket(t))
		atomic_fetch_sub(&q->folders, 1);
	supafs_cond_broadcast(&q->cond);
}

void vfs_keyq_queue(
	struct vfs_keyq *q, struct vfs_ticket *t, struct supafs_str a, struct supafs_str b)
{
	*t = (struct vfs_ticket){.keys = {a, b}, .n = b.p ? 2 : 1};
	SUPAFS_SCOPED_LOCK(&q->lock);
	supafs_list_add_tail(&q->tickets, &t->link);
	if (is_folder_ticket(t))
		atomic_fetch_add(&q->folders, 1);
}

static bool my_turn(struct vfs_keyq *q, struct vfs_ticket *t)
{
	SUPAFS_SCOPED_LOCK(&q->lock);
	return my_turn_locked(q, t);
}

int vfs_keyq_turn(struct vfs_keyq *q, struct supafs_call *call, struct vfs_ticket *t)
{
	struct vfs_wait w;
	int r = 0;

	if (my_turn(q, t))
		return 0;
	vfs_wait_begin(&w, call, &q->lock, &q->cond);
	{
		SUPAFS_SCOPED_LOCK(&q->lock);
		while (r == 0 && !my_turn_locked(q, t))
			r = vfs_wait_step(&w);
	}
	vfs_wait_end(&w);
	return r;
}

int vfs_keyq_enter(struct vfs_keyq *q, struct supafs_call *call, struct vfs_ticket *t,
	struct supafs_str a, struct supafs_str b)
{
	int r;

	vfs_keyq_queue(q, t, a, b);
	r = vfs_keyq_turn(q, call, t);
	if (r != 0)
		vfs_keyq_leave(q, t);
	return r;
}

void vfs_keyq_leave(struct vfs_keyq *q, struct vfs_ticket *t)
{
	SUPAFS_SCOPED_LOCK(&q->lock);
	take_out_locked(q, t);
}

static bool covered_locked(struct vfs_keyq *q, struct supafs_str key) SUPAFS_REQUIRES(q->lock);
static bool covered_locked(struct vfs_keyq *q, struct supafs_str key)
{
	for (struct supafs_list *it = q->tickets.next; it != &q->tickets; it = it->next) {
		const struct vfs_ticket *t = supafs_list_entry(it, struct vfs_ticket, link);

		for (unsigned i = 0; i < t->n; i++)
			if (is_folder(t->keys[i]) && supafs_str_starts(key, t->keys[i]))
				return true;
	}
	return false;
}

int vfs_keyq_pass(struct vfs_keyq *q, struct supafs_call *call, struct supafs_str key)
{
	struct vfs_wait w;
	int r = 0;

	if (atomic_load(&q->folders) == 0)
		return 0;
	vfs_wait_begin(&w, call, &q->lock, &q->cond);
	{
		SUPAFS_SCOPED_LOCK(&q->lock);
		while (r == 0 && covered_locked(q, key))
			r = vfs_wait_step(&w);
	}
	vfs_wait_end(&w);
	return r;
}
