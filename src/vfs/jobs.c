/* SPDX-License-Identifier: Apache-2.0 */
/* Journaled jobs: when they run; states in jobs.h. What they do: jobs_run.c. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "supafs/util/log.h"

#include "jobs_priv.h"
#include "wait.h"

#define THREADS      4
#define QUEUE        4096
#define RETRY_MIN_NS (5 * SUPAFS_NS_PER_S)
#define RETRY_MAX_NS (300 * SUPAFS_NS_PER_S)
#define SOON_NS      (1 * SUPAFS_NS_PER_S)

struct running {
	struct supafs_list link;
	struct supafs_call call;
};

struct vfs_jobs {
	struct supafs_vfs *v;
	struct supafs_pool *pool;
	struct supafs_mutex lock;
	struct supafs_cond cond;  /* lock; broadcast when a try has ended */
	struct supafs_list tasks; /* lock; all, in order of arrival */
	unsigned active;          /* lock; given to the pool */
	unsigned round;           /* lock; rises with each wait */
	bool closed;              /* lock; never goes back */
	bool timer;               /* lock; one runs, */
	int64_t timer_ns;         /* lock; at this time */

	struct supafs_mutex calls_lock;
	struct supafs_list calls; /* calls_lock */
	bool cancelled;           /* calls_lock; never goes back */
};

int vfs_jobs_new(struct supafs_vfs *v, struct vfs_jobs **ret_jobs)
{
	struct vfs_jobs *jobs = calloc(1, sizeof(*jobs));
	int r;

	if (!jobs)
		return -ENOMEM;
	r = supafs_pool_new("supafs-jobs", THREADS, QUEUE, &jobs->pool);
	if (r != 0) {
		free(jobs);
		return r;
	}
	jobs->v = v;
	supafs_mutex_init(&jobs->lock);
	supafs_mutex_init(&jobs->calls_lock);
	supafs_cond_init(&jobs->cond);
	supafs_list_init(&jobs->tasks);
	supafs_list_init(&jobs->calls);
	*ret_jobs = jobs;
	return 0;
}

static void task_free(struct vfs_task *t)
{
	vfs_task_fini(t);
	free(t);
}

struct vfs_jobs *vfs_jobs_free(struct vfs_jobs *jobs)
{
	if (!jobs)
		return NULL;
	jobs->pool = supafs_pool_free(jobs->pool);
	assert(jobs->active == 0);
	supafs_list_for_each_safe (it, next, &jobs->tasks)
		task_free(supafs_list_entry(it, struct vfs_task, link));
	supafs_cond_fini(&jobs->cond);
	supafs_mutex_fini(&jobs->calls_lock);
	supafs_mutex_fini(&jobs->lock);
	free(jobs);
	return NULL;
}

bool vfs_jobs_passing(int r, const struct supafs_fault *fault)
{
	return r == -EINTR || r == -ETIMEDOUT || r == -EAGAIN ||
	       fault->class == SUPAFS_FAULT_TRANSIENT || fault->class == SUPAFS_FAULT_THROTTLED ||
	       fault->class == SUPAFS_FAULT_RACE;
}

static int64_t now_ns(const struct vfs_jobs *jobs)
{
	return jobs->v->cfg.clock->mono_ns(jobs->v->cfg.clock);
}

/* --- Running -------------------------------------------------------------------------------------
 */

static bool enter_call(struct vfs_jobs *jobs, struct running *run)
{
	SUPAFS_SCOPED_LOCK(&jobs->calls_lock);
	supafs_list_add_tail(&jobs->calls, &run->link);
	return !jobs->cancelled;
}

static void leave_call(struct vfs_jobs *jobs, struct running *run)
{
	SUPAFS_SCOPED_LOCK(&jobs->calls_lock);
	supafs_list_remove(&run->link);
}

static int try_once(struct vfs_jobs *jobs, struct vfs_task *t, struct supafs_fault *fault)
{
	struct running run;
	int r = -EINTR;

	vfs_call_init(jobs->v, &run.call);
	if (enter_call(jobs, &run))
		r = vfs_task_run(t, &run.call, fault);
	leave_call(jobs, &run);
	supafs_call_fini(&run.call);
	return r;
}

static void on_timer(void *ctx);

static void arm_locked(struct vfs_jobs *jobs, int64_t at_ns) SUPAFS_REQUIRES(jobs->lock);
static void arm_locked(struct vfs_jobs *jobs, int64_t at_ns)
{
	uint64_t id;

	if (jobs->closed || (jobs->timer && jobs->timer_ns <= at_ns))
		return;
	/* One that is armed for later fires for nothing. */
	jobs->timer_ns = at_ns;
	jobs->timer = supafs_timers_add(jobs->v->timers, at_ns, on_timer, jobs, &id) == 0;
}

static int64_t pause_of(unsigned tries)
{
	int64_t ns = RETRY_MIN_NS;

	while (tries-- > 1 && ns < RETRY_MAX_NS)
		ns *= 2;
	return ns < RETRY_MAX_NS ? ns : RETRY_MAX_NS;
}

static const char *what_of(enum supafs_journal_kind kind)
{
	if (kind == SUPAFS_JOURNAL_DELETE)
		return "deleting in";
	return kind == SUPAFS_JOURNAL_EXCHANGE ? "the exchange with" : "the rename to";
}

static void tell_waiting(const struct vfs_task *t, int r, const struct supafs_fault *fault)
{
	char text[300];

	supafs_fault_format(fault, text, sizeof(text));
	supafs_log(SUPAFS_LOG_WARN, "%s \"%.*s\" is not finished: %s (%s); it is tried again",
		what_of(t->kind), SUPAFS_STR_FMT(vfs_key_rel(&t->to)), strerrordesc_np(-r), text);
}

static void wait_again(struct vfs_jobs *jobs, struct vfs_task *t, int r, unsigned round,
	const struct supafs_fault *fault)
{
	bool tell;

	{
		SUPAFS_SCOPED_LOCK(&jobs->lock);
		tell = !t->told && !jobs->closed && r != -EAGAIN;
		t->told = t->told || tell;
		t->tries++;
		t->round = round;
	}
	if (tell)
		tell_waiting(t, r, fault);
	SUPAFS_SCOPED_LOCK(&jobs->lock);
	t->state = VFS_TASK_WAITING;
	t->due_ns = now_ns(jobs) + pause_of(t->tries);
	arm_locked(jobs, t->due_ns);
	jobs->active--;
	supafs_cond_broadcast(&jobs->cond);
}

/* An exchange waits for all other renames (jobs_run.c): it is due when one has ended. */
static void hurry_exchanges_locked(struct vfs_jobs *jobs) SUPAFS_REQUIRES(jobs->lock);
static void hurry_exchanges_locked(struct vfs_jobs *jobs)
{
	supafs_list_for_each (it, &jobs->tasks) {
		struct vfs_task *t = supafs_list_entry(it, struct vfs_task, link);

		if (t->kind != SUPAFS_JOURNAL_EXCHANGE || t->state != VFS_TASK_WAITING)
			continue;
		t->due_ns = now_ns(jobs);
		arm_locked(jobs, t->due_ns);
	}
}

static void finish(
	struct vfs_jobs *jobs, struct vfs_task *t, int r, const struct supafs_fault *fault)
{
	struct vfs_job_record record;

	memcpy(record.id, t->id, sizeof(record.id));
	vfs_task_end(t, r, fault);
	/* While its ticket is held: nobody has made anything new where it would act again. */
	vfs_jobs_forget(jobs->v, &record, t->kind == SUPAFS_JOURNAL_RENAME_DIR);
	{
		SUPAFS_SCOPED_LOCK(&jobs->lock);
		supafs_list_remove(&t->link);
	}
	task_free(t);
	SUPAFS_SCOPED_LOCK(&jobs->lock);
	jobs->active--;
	hurry_exchanges_locked(jobs);
	supafs_cond_broadcast(&jobs->cond);
}

static void run(void *ctx)
{
	struct vfs_task *t = ctx;
	struct vfs_jobs *jobs = t->v->jobs;
	struct supafs_fault fault = {0};
	unsigned round;
	int r;

	{
		SUPAFS_SCOPED_LOCK(&jobs->lock);
		t->state = VFS_TASK_RUNNING;
		round = jobs->round;
	}
	r = try_once(jobs, t, &fault);
	if (r != 0 && vfs_jobs_passing(r, &fault))
		wait_again(jobs, t, r, round, &fault);
	else
		finish(jobs, t, r, &fault);
}

static void not_run(void *ctx)
{
	struct vfs_task *t = ctx;
	struct vfs_jobs *jobs = t->v->jobs;

	SUPAFS_SCOPED_LOCK(&jobs->lock);
	t->state = VFS_TASK_WAITING;
	jobs->active--;
}

static void submit_locked(struct vfs_jobs *jobs, struct vfs_task *t) SUPAFS_REQUIRES(jobs->lock);
static void submit_locked(struct vfs_jobs *jobs, struct vfs_task *t)
{
	if (supafs_pool_submit(jobs->pool, (struct supafs_job){run, not_run, t}) != 0) {
		t->due_ns = now_ns(jobs) + SOON_NS;
		arm_locked(jobs, t->due_ns);
		return;
	}
	t->state = VFS_TASK_QUEUED;
	jobs->active++;
}

/* What is due, and what was not tried since `round` began. */
static void wake_locked(struct vfs_jobs *jobs, unsigned round) SUPAFS_REQUIRES(jobs->lock);
static void wake_locked(struct vfs_jobs *jobs, unsigned round)
{
	const int64_t now = now_ns(jobs);

	supafs_list_for_each (it, &jobs->tasks) {
		struct vfs_task *t = supafs_list_entry(it, struct vfs_task, link);

		if (t->state != VFS_TASK_WAITING || jobs->closed)
			continue;
		if (t->round < round || t->due_ns <= now)
			submit_locked(jobs, t);
		else
			arm_locked(jobs, t->due_ns);
	}
}

static void on_timer(void *ctx)
{
	struct vfs_jobs *jobs = ctx;

	SUPAFS_SCOPED_LOCK(&jobs->lock);
	if (jobs->timer_ns <= now_ns(jobs))
		jobs->timer = false;
	wake_locked(jobs, 0);
}

/* --- For others ----------------------------------------------------------------------------------
 */

int vfs_jobs_take(struct supafs_vfs *v, const struct supafs_journal_record *rec)
{
	struct vfs_jobs *jobs = v->jobs;
	struct vfs_task *t = calloc(1, sizeof(*t));
	int r = t ? vfs_task_init(v, t, rec) : -ENOMEM;

	if (r != 0) {
		free(t);
		if (r == -EILSEQ)
			supafs_log(SUPAFS_LOG_WARN,
				"a change of \"%.*s\" is left of an earlier mount, and waits for a mount that has this key",
				SUPAFS_STR_FMT(rec->key));
		return r == -EILSEQ ? 0 : r;
	}
	SUPAFS_SCOPED_LOCK(&jobs->lock);
	supafs_list_add_tail(&jobs->tasks, &t->link);
	if (!jobs->closed)
		submit_locked(jobs, t);
	return 0;
}

static bool is_rename(enum supafs_journal_kind kind)
{
	return kind == SUPAFS_JOURNAL_RENAME_DIR || kind == SUPAFS_JOURNAL_REPLACE;
}

bool vfs_jobs_renaming(struct supafs_vfs *v)
{
	SUPAFS_SCOPED_LOCK(&v->jobs->lock);
	supafs_list_for_each (it, &v->jobs->tasks)
		if (is_rename(supafs_list_entry(it, struct vfs_task, link)->kind))
			return true;
	return false;
}

bool vfs_jobs_idle(struct supafs_vfs *v)
{
	SUPAFS_SCOPED_LOCK(&v->jobs->lock);
	return supafs_list_empty(&v->jobs->tasks);
}

static bool all_tried_locked(const struct vfs_jobs *jobs, unsigned round)
	SUPAFS_REQUIRES(jobs->lock);
static bool all_tried_locked(const struct vfs_jobs *jobs, unsigned round)
{
	supafs_list_for_each (it, &jobs->tasks)
		if (supafs_list_entry(it, struct vfs_task, link)->round < round)
			return false;
	return true;
}

int vfs_jobs_wait(struct supafs_vfs *v, struct supafs_call *call)
{
	struct vfs_jobs *jobs = v->jobs;
	struct vfs_wait w;
	unsigned round;
	int r = 0;

	{
		SUPAFS_SCOPED_LOCK(&jobs->lock);
		if (supafs_list_empty(&jobs->tasks))
			return 0;
		round = ++jobs->round;
		wake_locked(jobs, round);
	}
	vfs_wait_begin(&w, call, &jobs->lock, &jobs->cond);
	{
		SUPAFS_SCOPED_LOCK(&jobs->lock);
		while (r == 0 && !all_tried_locked(jobs, round)) {
			wake_locked(jobs, round); /* what ran already when this began */
			r = vfs_wait_step(&w);
		}
		if (r == 0 && !supafs_list_empty(&jobs->tasks))
			r = -EIO;
	}
	vfs_wait_end(&w);
	return r;
}

void vfs_jobs_close(struct supafs_vfs *v)
{
	struct vfs_jobs *jobs = v->jobs;

	if (!jobs)
		return;
	{
		SUPAFS_SCOPED_LOCK(&jobs->lock);
		jobs->closed = true;
	}
	{
		SUPAFS_SCOPED_LOCK(&jobs->calls_lock);
		jobs->cancelled = true;
		supafs_list_for_each (it, &jobs->calls)
			supafs_call_cancel(&supafs_list_entry(it, struct running, link)->call);
	}
	SUPAFS_SCOPED_LOCK(&jobs->lock);
	while (jobs->active > 0)
		supafs_cond_wait(&jobs->cond, &jobs->lock);
}

/* --- Records -------------------------------------------------------------------------------------
 */

void vfs_jobs_note_rename(struct supafs_vfs *v, const struct vfs_key *from,
	const struct vfs_key *to, struct vfs_job_record *ret)
{
	struct supafs_journal_record rec = {
		.kind = SUPAFS_JOURNAL_RENAME_DIR,
		.from = vfs_key_full(from),
		.key = vfs_key_full(to),
		.since_ns = v->cfg.clock->wall_ns(v->cfg.clock),
	};

	ret->id[0] = '\0';
	if (!v->cfg.journal)
		return;
	supafs_journal_new_id(rec.id);
	if (supafs_journal_put(v->cfg.journal, &rec) == 0)
		memcpy(ret->id, rec.id, sizeof(ret->id));
}

void vfs_jobs_note_exchange(
	struct supafs_vfs *v, struct supafs_journal_record *rec, struct vfs_job_record *ret)
{
	ret->id[0] = '\0';
	if (!v->cfg.journal)
		return;
	supafs_journal_new_id(rec->id);
	if (supafs_journal_put(v->cfg.journal, rec) == 0)
		memcpy(ret->id, rec->id, sizeof(ret->id));
}

void vfs_jobs_note_replace(
	struct supafs_vfs *v, const struct supafs_journal_record *rec, struct vfs_job_record *ret)
{
	struct supafs_journal_record mine = *rec;

	ret->id[0] = '\0';
	if (!v->cfg.journal)
		return;
	mine.kind = SUPAFS_JOURNAL_REPLACE;
	mine.since_ns = v->cfg.clock->wall_ns(v->cfg.clock);
	supafs_journal_new_id(mine.id);
	if (supafs_journal_note(v->cfg.journal, &mine) == 0)
		memcpy(ret->id, mine.id, sizeof(ret->id));
}

void vfs_jobs_forget(struct supafs_vfs *v, struct vfs_job_record *job, bool durable)
{
	if (!v->cfg.journal || !job->id[0])
		return;
	(void)supafs_journal_remove(v->cfg.journal, job->id);
	if (durable)
		(void)supafs_journal_sync(v->cfg.journal);
	job->id[0] = '\0';
}
