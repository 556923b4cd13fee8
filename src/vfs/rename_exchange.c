/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RENAME_EXCHANGE. The server exchanges nothing, so it is three renames over a hidden name beside
 * the second one, with a record in the journal from before the first to after the last:
 *
 *	new  → hidden      (1)
 *	old  → new         (2)  refused: (1) is taken back
 *	hidden → old       (3)  refused: (2) and (1) are taken back
 *
 * On this mount nobody looks in between: the kernel holds both folders until the answer. Others may
 * see one of the names missing for a moment, and open files follow theirs all the way. When this
 * process dies in between, or what was begun cannot be taken back now, a job ends it by what it
 * finds, after the job of a rename that was itself cut short:
 *
 *	| hidden | old   | new   | then                                           |
 *	|--------|-------|-------|------------------------------------------------|
 *	| absent | any   | any   | nothing was begun, or all is done              |
 *	| there  | –     | any   | (2) was done: hidden → old                     |
 *	| there  | there | –     | (1) was done: hidden → new, all is as it was   |
 *	| there  | there | there | somebody made one of them since: told, left    |
 */
#include <stdio.h>
#include <string.h>

#include "supafs/util/log.h"
#include "supafs/util/name.h"

#include "ops.h"

#define HIDDEN_NAME ".supafs-exchange-%016llx"
#define HIDDEN_MAX  48

struct end {
	uint64_t parent;
	struct supafs_str name;
};

/* The name in between; `since_ns` stands in the record. */
static struct supafs_str hidden_name(int64_t since_ns, char buf[HIDDEN_MAX])
{
	const int n = snprintf(buf, HIDDEN_MAX, HIDDEN_NAME, (unsigned long long)since_ns);

	return (struct supafs_str){buf, (size_t)n};
}

static int step(struct supafs_vfs *v, struct supafs_call *call, const struct end *from,
	const struct end *to, struct supafs_fault *fault)
{
	const struct supafs_rename r = {
		.parent = from->parent,
		.name = from->name,
		.new_parent = to->parent,
		.new_name = to->name,
		.flags = RENAME_NOREPLACE,
	};

	return vfs_rename(v, call, &r, fault);
}

/* The operation's own time may be over; this is to end all the same. */
static int take_back(struct supafs_vfs *v, const struct end *from, const struct end *to)
{
	struct supafs_fault ignored;
	struct supafs_call call;
	int r;

	vfs_call_init(v, &call);
	r = step(v, &call, from, to, &ignored);
	supafs_call_fini(&call);
	return r;
}

static int is_there(struct supafs_vfs *v, struct supafs_call *call, const struct end *e,
	struct supafs_fault *fault)
{
	struct supafs_node_info info;
	int r = supafs_vfs_lookup(v, call, e->parent, e->name, &info, fault);

	if (r == 0)
		supafs_vfs_forget(v, info.node, 1);
	return r;
}

/* The same, and its key. */
static int look(struct supafs_vfs *v, struct supafs_call *call, const struct end *e,
	struct vfs_key *ret, struct supafs_fault *fault)
{
	struct supafs_node_info info;
	struct vfs_node *node = NULL;
	struct vfs_place place;
	int r = supafs_vfs_lookup(v, call, e->parent, e->name, &info, fault);

	if (r != 0)
		return r;
	r = vfs_node_get(v, info.node, &node);
	if (r == 0)
		r = vfs_node_place(v, node, &place);
	if (r == 0)
		*ret = place.key;
	vfs_node_put(v, node);
	supafs_vfs_forget(v, info.node, 1);
	return r;
}

/* --- The operation -------------------------------------------------------------------------------
 */

struct exchange {
	struct end a, b, hidden;
	struct supafs_journal_record rec;
	struct vfs_job_record job;
};

/* *ret_settled: what had been done is undone, or everything is done. */
static int three_steps(struct supafs_vfs *v, struct supafs_call *call, const struct exchange *x,
	bool *ret_settled, struct supafs_fault *fault)
{
	int e = step(v, call, &x->b, &x->hidden, fault), back = 0;

	*ret_settled = e == 0 || !fault->ambiguous;
	if (e != 0)
		return e;
	e = step(v, call, &x->a, &x->b, fault);
	if (e == 0) {
		e = step(v, call, &x->hidden, &x->a, fault);
		if (e == 0)
			return 0;
		back = take_back(v, &x->b, &x->a);
	}
	if (back == 0)
		back = take_back(v, &x->hidden, &x->b);
	*ret_settled = back == 0;
	return e;
}

static void leave_to_job(struct supafs_vfs *v, const struct exchange *x)
{
	if (!x->job.id[0] || vfs_jobs_take(v, &x->rec) != 0)
		return;
	supafs_log(SUPAFS_LOG_WARN,
		"the exchange of \"%.*s\" and \"%.*s\" was cut short: it is ended in the background",
		SUPAFS_STR_FMT(x->a.name), SUPAFS_STR_FMT(x->b.name));
}

int vfs_rename_exchange(struct supafs_vfs *v, struct supafs_call *call,
	const struct supafs_rename *r, struct supafs_fault *fault)
{
	struct exchange x = {.a = {r->parent, r->name}, .b = {r->new_parent, r->new_name}};
	char name[HIDDEN_MAX];
	struct vfs_key a, b;
	bool settled;
	int e = look(v, call, &x.a, &a, fault);

	if (e == 0)
		e = look(v, call, &x.b, &b, fault);
	if (e != 0 || vfs_key_same(&a, &b))
		return e;
	x.rec = (struct supafs_journal_record){
		.kind = SUPAFS_JOURNAL_EXCHANGE,
		.from = vfs_key_full(&a),
		.key = vfs_key_full(&b),
		.since_ns = v->cfg.clock->wall_ns(v->cfg.clock),
	};
	x.hidden = (struct end){x.b.parent, hidden_name(x.rec.since_ns, name)};
	vfs_jobs_note_exchange(v, &x.rec, &x.job);
	e = three_steps(v, call, &x, &settled, fault);
	if (settled)
		vfs_jobs_forget(v, &x.job, false);
	else
		leave_to_job(v, &x);
	return e;
}

/* --- The job -------------------------------------------------------------------------------------
 */

/* Down from the root; a look-up of the folder, which the caller forgets. -ENOENT: there is none. */
static int find_folder(struct supafs_vfs *v, struct supafs_call *call, struct supafs_str dir,
	uint64_t *ret_node, struct supafs_fault *fault)
{
	uint64_t at = SUPAFS_ROOT_ID;
	int r = 0;

	while (r == 0 && dir.n > 0) {
		const char *slash = memchr(dir.p, '/', dir.n);
		const size_t n = slash ? (size_t)(slash - dir.p) : dir.n;
		struct supafs_node_info info = {.node = 0};
		char name[SUPAFS_NAME_MAX + 1];
		const ssize_t name_n =
			supafs_name_decode((struct supafs_str){dir.p, n}, name, SUPAFS_NAME_MAX);

		r = name_n <= 0 ? -EILSEQ
				: supafs_vfs_lookup(v, call, at,
					  (struct supafs_str){name, (size_t)name_n}, &info, fault);
		if (at != SUPAFS_ROOT_ID)
			supafs_vfs_forget(v, at, 1);
		at = info.node;
		dir = (struct supafs_str){dir.p + n + (slash != NULL), dir.n - n - (slash != NULL)};
	}
	if (r == 0)
		*ret_node = at;
	return r;
}

static void forget_folder(struct supafs_vfs *v, const uint64_t *node)
{
	if (*node > SUPAFS_ROOT_ID)
		supafs_vfs_forget(v, *node, 1);
}

static struct supafs_str name_of(const struct vfs_place *p)
{
	return (struct supafs_str){p->name, p->name_n};
}

/* Where what is under the hidden name belongs. */
static int end_it(struct supafs_vfs *v, struct supafs_call *call, const struct exchange *x,
	struct supafs_fault *fault)
{
	int r = is_there(v, call, &x->hidden, fault);

	if (r != 0)
		return r == -ENOENT ? 0 : r;
	r = x->a.parent ? is_there(v, call, &x->a, fault) : -EEXIST;
	if (r == -ENOENT)
		return step(v, call, &x->hidden, &x->a, fault);
	if (r == 0 || r == -EEXIST)
		r = is_there(v, call, &x->b, fault);
	if (r == -ENOENT)
		return step(v, call, &x->hidden, &x->b, fault);
	return r == 0 ? -EEXIST : r;
}

int vfs_exchange_rest(struct supafs_vfs *v, struct supafs_call *call,
	const struct vfs_exchange_left *left, struct supafs_fault *fault)
{
	char name[HIDDEN_MAX];
	struct exchange x = {.a = {0, name_of(left->from)},
		.b = {0, name_of(left->to)},
		.hidden = {0, hidden_name(left->since_ns, name)}};
	int r = find_folder(v, call, vfs_key_rel(&left->to->dir), &x.b.parent, fault);

	if (r == 0) {
		x.hidden.parent = x.b.parent;
		r = find_folder(v, call, vfs_key_rel(&left->from->dir), &x.a.parent, fault);
		if (r == 0 || r == -ENOENT)
			r = end_it(v, call, &x, fault);
	} else if (r == -ENOENT) {
		r = 0;
	}
	forget_folder(v, &x.a.parent);
	forget_folder(v, &x.b.parent);
	return r;
}
