/* SPDX-License-Identifier: Apache-2.0 */
/* The queue of uploads that nobody waits for; states of a job in queue.h. */
#include "queue.h"

#include <assert.h>
#include <stdlib.h>

#include "supafs/util/log.h"

#include "journal.h"

#define SOON_NS (1 * SUPAFS_NS_PER_S)
/* An upload may last its time-out and as long as its bytes take on a slow line. */
#define SLOW_BYTES_PER_MS 32

enum job_state {
	JOB_READY,
	JOB_WAITING,
	JOB_RUNNING
};

struct vfs_job {
	struct supafs_list link;
	struct vfs_node *node;
	enum job_state state;
	bool again;     /* running: look again when this one is over, */
	bool asked;     /* … and try again also after a failure: somebody wants it now */
	int64_t due_ns; /* at this time */
};

struct running {
	struct supafs_list link;
	struct supafs_call call;
};

struct vfs_queue {
	struct supafs_mutex lock;
	struct supafs_cond cond;    /* lock; broadcast when a job has ended */
	struct supafs_list ready;   /* lock; in order of arrival */
	struct supafs_list waiting; /* lock; in no order */
	unsigned runners;           /* lock; threads of the pool that take jobs */
	bool closed;                /* lock; never goes back */
	bool troubled;              /* lock; the last upload failed in a way that passes */
	bool timer;                 /* lock; one runs, */
	uint64_t timer_id;          /* lock; this, */
	int64_t timer_ns;           /* lock; at this time */

	struct supafs_mutex calls_lock;
	struct supafs_list calls; /* calls_lock */
	bool cancelled;           /* calls_lock; never goes back */
};

int vfs_queue_new(struct vfs_queue **ret_q)
{
	struct vfs_queue *q = calloc(1, sizeof(*q));

	if (!q)
		return -ENOMEM;
	supafs_mutex_init(&q->lock);
	supafs_mutex_init(&q->calls_lock);
	supafs_cond_init(&q->cond);
	supafs_list_init(&q->ready);
	supafs_list_init(&q->waiting);
	supafs_list_init(&q->calls);
	*ret_q = q;
	return 0;
}

static void drop_list(struct supafs_vfs *v, struct supafs_list *list)
{
	supafs_list_for_each_safe (it, next, list) {
		struct vfs_job *job = supafs_list_entry(it, struct vfs_job, link);

		supafs_list_remove(&job->link);
		job->node->content->job = NULL;
		vfs_content_put(v, job->node);
		free(job);
	}
}

struct vfs_queue *vfs_queue_free(struct supafs_vfs *v, struct vfs_queue *q)
{
	if (q) {
		assert(q->runners == 0);
		drop_list(v, &q->ready);
		drop_list(v, &q->waiting);
		supafs_cond_fini(&q->cond);
		supafs_mutex_fini(&q->calls_lock);
		supafs_mutex_fini(&q->lock);
		free(q);
	}
	return NULL;
}

static int64_t now_ns(const struct supafs_vfs *v)
{
	return v->cfg.clock->mono_ns(v->cfg.clock);
}

/* --- Running -------------------------------------------------------------------------------------
 */

static bool enter_call(struct vfs_queue *q, struct running *run)
{
	SUPAFS_SCOPED_LOCK(&q->calls_lock);
	supafs_list_add_tail(&q->calls, &run->link);
	return !q->cancelled;
}

static void leave_call(struct vfs_queue *q, struct running *run)
{
	SUPAFS_SCOPED_LOCK(&q->calls_lock);
	supafs_list_remove(&run->link);
}

/* Once a file and error: tries follow each other for hours when a server is away. */
static bool is_news(struct vfs_content *c, int r)
{
	SUPAFS_SCOPED_LOCK(&c->lock);
	if (!c->promise || c->promise->told == -r)
		return false;
	c->promise->told = -r;
	return true;
}

static void tell(struct supafs_vfs *v, struct vfs_node *node, int r, const struct supafs_fault *f)
{
	struct vfs_content *c = node->content;
	char path[SUPAFS_KEY_MAX], text[300];
	bool passing;

	if (!is_news(c, r))
		return;
	{
		SUPAFS_SCOPED_LOCK(&c->lock);
		passing = c->promise && c->promise->passing;
	}
	supafs_vfs_path(v, node->id, path, sizeof(path));
	supafs_fault_format(f, text, sizeof(text));
	supafs_log(SUPAFS_LOG_ERROR, "upload of \"%s\" failed: %s (%s); its bytes are kept, and %s",
		path, strerrordesc_np(-r), text,
		passing ? "it is tried again by itself"
			: "'supafs pending --retry' or a new close tries again");
}

static uint64_t time_for(const struct supafs_vfs *v, struct vfs_content *c)
{
	SUPAFS_SCOPED_LOCK(&c->lock);
	if (v->cfg.timeout_ms == 0)
		return 0;
	return v->cfg.timeout_ms + vfs_content_size_locked(c) / SLOW_BYTES_PER_MS;
}

static int run_job(struct supafs_vfs *v, struct vfs_node *node)
{
	struct supafs_fault fault = {0};
	struct running run;
	int r = -EINTR;

	supafs_call_init(&run.call, v->cfg.clock, time_for(v, node->content));
	if (enter_call(v->queue, &run))
		r = vfs_content_settle(v, node, &run.call, true, &fault);
	leave_call(v->queue, &run);
	supafs_call_fini(&run.call);
	if (r != 0 && r != -EINTR)
		tell(v, node, r, &fault);
	return r;
}

static struct vfs_job *take(struct vfs_queue *q)
{
	SUPAFS_SCOPED_LOCK(&q->lock);
	if (q->closed || supafs_list_empty(&q->ready)) {
		q->runners--;
		supafs_cond_broadcast(&q->cond);
		return NULL;
	}

	struct vfs_job *job = supafs_list_entry(q->ready.next, struct vfs_job, link);

	supafs_list_remove(&job->link);
	job->state = JOB_RUNNING;
	return job;
}

static void look(struct supafs_vfs *v, struct vfs_node *node, int64_t due_ns);
static void add(struct supafs_vfs *v, struct vfs_node *node, int64_t due_ns, bool first);

static void end(struct supafs_vfs *v, struct vfs_job *job, int r)
{
	struct vfs_queue *q = v->queue;
	struct vfs_node *node = job->node;

	{
		SUPAFS_SCOPED_LOCK(&v->queue->lock);
		node->content->job = NULL;
		supafs_cond_broadcast(&q->cond);
	}
	/* Who has looked meanwhile may have seen what has just failed: that has its own time. */
	const bool failed = r != 0 && r != -EINTR;

	if (job->again && (job->asked || !failed))
		add(v, node, job->due_ns, false);
	else if (failed)
		look(v, node, job->again ? job->due_ns : now_ns(v) + VFS_RETRY_MIN_NS);
	free(job);
	vfs_content_put(v, node);
}

static void runner(void *ctx)
{
	struct supafs_vfs *v = ctx;
	struct vfs_job *job;

	while ((job = take(v->queue)) != NULL)
		end(v, job, run_job(v, job->node));
}

static void no_runner(void *ctx)
{
	struct vfs_queue *q = ((struct supafs_vfs *)ctx)->queue;

	SUPAFS_SCOPED_LOCK(&q->lock);
	q->runners--;
	supafs_cond_broadcast(&q->cond);
}

static void on_timer(void *ctx);

static void arm_locked(struct supafs_vfs *v, int64_t at_ns) SUPAFS_REQUIRES(v->queue->lock);
static void arm_locked(struct supafs_vfs *v, int64_t at_ns)
{
	struct vfs_queue *q = v->queue;

	if (q->closed || (q->timer && q->timer_ns <= at_ns))
		return;
	/* One that is armed for later fires for nothing: cancelling could wait for it. */
	q->timer_ns = at_ns;
	q->timer = supafs_timers_add(v->timers, at_ns, on_timer, v, &q->timer_id) == 0;
}

static void start_locked(struct supafs_vfs *v) SUPAFS_REQUIRES(v->queue->lock);
static void start_locked(struct supafs_vfs *v)
{
	struct vfs_queue *q = v->queue;
	size_t ready = 0;

	supafs_list_for_each (it, &q->ready)
		if (++ready >= v->cfg.uploads)
			break;
	while (!q->closed && q->runners < v->cfg.uploads && ready > 0) {
		if (supafs_pool_submit(v->sends, (struct supafs_job){runner, no_runner, v}) != 0) {
			if (q->runners == 0)
				arm_locked(v, now_ns(v) + SOON_NS);
			return;
		}
		q->runners++;
		ready--;
	}
}

/* --- Waiting -------------------------------------------------------------------------------------
 */

static void make_ready_locked(struct supafs_vfs *v, struct vfs_job *job, bool first)
	SUPAFS_REQUIRES(v->queue->lock);
static void make_ready_locked(struct supafs_vfs *v, struct vfs_job *job, bool first)
{
	struct vfs_queue *q = v->queue;

	supafs_list_remove(&job->link);
	job->state = JOB_READY;
	if (first)
		supafs_list_add(&q->ready, &job->link);
	else
		supafs_list_add_tail(&q->ready, &job->link);
}

static void wake_due_locked(struct supafs_vfs *v, bool all) SUPAFS_REQUIRES(v->queue->lock);
static void wake_due_locked(struct supafs_vfs *v, bool all)
{
	struct vfs_queue *q = v->queue;
	const int64_t now = now_ns(v);
	int64_t next = SUPAFS_NEVER;

	supafs_list_for_each_safe (it, after, &q->waiting) {
		struct vfs_job *job = supafs_list_entry(it, struct vfs_job, link);

		if (all || job->due_ns <= now)
			make_ready_locked(v, job, false);
		else if (job->due_ns < next)
			next = job->due_ns;
	}
	if (next != SUPAFS_NEVER)
		arm_locked(v, next);
	start_locked(v);
}

static void on_timer(void *ctx)
{
	struct supafs_vfs *v = ctx;
	struct vfs_queue *q = v->queue;

	SUPAFS_SCOPED_LOCK(&v->queue->lock);
	if (q->timer_ns <= now_ns(v))
		q->timer = false;
	wake_due_locked(v, false);
}

void vfs_queue_ended(struct supafs_vfs *v, int r, bool passing)
{
	struct vfs_queue *q = v->queue;

	SUPAFS_SCOPED_LOCK(&v->queue->lock);
	if (r != 0) {
		q->troubled = q->troubled || passing;
		return;
	}
	if (!q->troubled)
		return;
	q->troubled = false;
	wake_due_locked(v, true);
}

/* --- Adding --------------------------------------------------------------------------------------
 */

static void place_locked(struct supafs_vfs *v, struct vfs_job *job, int64_t due_ns, bool first)
	SUPAFS_REQUIRES(v->queue->lock);
static void place_locked(struct supafs_vfs *v, struct vfs_job *job, int64_t due_ns, bool first)
{
	if (!job->again || due_ns < job->due_ns)
		job->due_ns = due_ns;
	if (job->state == JOB_RUNNING) {
		job->again = true;
		job->asked = job->asked || first;
	} else if (due_ns <= now_ns(v)) {
		if (job->state != JOB_READY || first)
			make_ready_locked(v, job, first);
		start_locked(v);
	} else if (job->state == JOB_WAITING) {
		arm_locked(v, due_ns);
	}
}

/* Gives the content a job, or its job another time. */
static void add(struct supafs_vfs *v, struct vfs_node *node, int64_t due_ns, bool first)
{
	struct vfs_queue *q = v->queue;
	struct vfs_content *c = vfs_content_peek(v, node);
	struct vfs_job *job = calloc(1, sizeof(*job));
	bool used = false;

	if (c && job) {
		SUPAFS_SCOPED_LOCK(&v->queue->lock);
		if (!c->job && !q->closed) {
			*job = (struct vfs_job){.node = node, .state = JOB_WAITING};
			supafs_list_add_tail(&q->waiting, &job->link);
			c->job = job;
			used = true;
		}
		if (c->job)
			place_locked(v, c->job, due_ns, first);
	}
	if (!used)
		free(job);
	if (c && !used)
		vfs_content_put(v, node);
}

static bool is_temporary(struct supafs_vfs *v, struct vfs_node *node)
{
	struct vfs_place place;

	return vfs_node_place(v, node, &place) == 0 && vfs_name_temporary(v, place.name);
}

/* Is it to be sent by the queue? *due_ns becomes the time of the next try of what has failed. */
static bool left_locked(struct vfs_content *c, bool temporary, int64_t *due_ns)
{
	if (c->unlinked || c->state == VFS_UPLOADING || c->open_write > 0)
		return false;
	if (c->attrs_wait)
		return true;
	switch (c->state) {
	case VFS_DIRTY:
	case VFS_REFERENCE:
		if (c->writers > 0 || c->claimed || temporary)
			return false;
		vfs_content_set_state_locked(c, VFS_QUEUED);
		return true;
	case VFS_QUEUED:
		return true;
	case VFS_FAILED:
		*due_ns = c->promise ? c->promise->retry_ns : 0;
		return !c->promise || c->promise->passing;
	case VFS_CLEAN:
	case VFS_SAVED:
	case VFS_HELD:
	case VFS_UPLOADING:
	case VFS_STATE__COUNT:
		break;
	}
	return false;
}

static void look(struct supafs_vfs *v, struct vfs_node *node, int64_t due_ns)
{
	struct vfs_content *c = vfs_content_peek(v, node);
	const bool temporary = c && is_temporary(v, node);
	bool wanted;

	if (!c)
		return;
	{
		SUPAFS_SCOPED_LOCK(&c->lock);
		wanted = left_locked(c, temporary, &due_ns);
	}
	if (wanted)
		add(v, node, due_ns, false);
	vfs_content_put(v, node);
}

void vfs_queue_look(struct supafs_vfs *v, struct vfs_node *node)
{
	look(v, node, 0);
}

void vfs_queue_now(struct supafs_vfs *v, struct vfs_node *node)
{
	add(v, node, 0, true);
}

/* --- The end -------------------------------------------------------------------------------------
 */

void vfs_queue_close(struct supafs_vfs *v)
{
	struct vfs_queue *q = v->queue;

	if (!q)
		return;
	{
		SUPAFS_SCOPED_LOCK(&q->lock);
		q->closed = true;
	}
	{
		SUPAFS_SCOPED_LOCK(&q->calls_lock);
		q->cancelled = true;
		supafs_list_for_each (it, &q->calls)
			supafs_call_cancel(&supafs_list_entry(it, struct running, link)->call);
	}
	SUPAFS_SCOPED_LOCK(&q->lock);
	while (q->runners > 0)
		supafs_cond_wait(&q->cond, &q->lock);
}

/* --- Waiting for files ---------------------------------------------------------------------------
 */

void vfs_flush_fini(struct supafs_vfs *v, struct vfs_flush *f)
{
	for (size_t i = 0; i < f->nodes.n; i++)
		if (f->nodes.p[i])
			vfs_node_put(v, f->nodes.p[i]);
	free(f->nodes.p);
	free(f->tries);
	*f = (struct vfs_flush){.tries = NULL};
}

enum left {
	LEFT_NOT,
	LEFT_WAITS,
	LEFT_FAILED
};

static unsigned tries_locked(const struct vfs_content *c)
{
	return c->promise ? c->promise->tries : 0;
}

static enum left left_of(struct vfs_content *c, unsigned tries, uint64_t *ret_size)
{
	SUPAFS_SCOPED_LOCK(&c->lock);
	*ret_size = vfs_content_size_locked(c);
	if (c->unlinked)
		return LEFT_NOT;
	switch (c->state) {
	case VFS_CLEAN:
	case VFS_SAVED:
		return c->attrs_wait && c->open_write == 0 ? LEFT_WAITS : LEFT_NOT;
	case VFS_DIRTY:
	case VFS_REFERENCE:
		return c->open_write == 0 ? LEFT_WAITS : LEFT_NOT;
	case VFS_QUEUED:
	case VFS_UPLOADING:
		return LEFT_WAITS;
	case VFS_FAILED:
		return tries_locked(c) > tries ? LEFT_FAILED : LEFT_WAITS;
	case VFS_HELD:
	case VFS_STATE__COUNT:
		break;
	}
	return LEFT_NOT;
}

/* Closed: not open for writing, nor under a temporary name. */
static bool is_closed(struct vfs_content *c, unsigned *ret_tries)
{
	uint64_t size;

	{
		SUPAFS_SCOPED_LOCK(&c->lock);
		*ret_tries = tries_locked(c);
	}
	return left_of(c, *ret_tries, &size) == LEFT_WAITS;
}

static bool is_in(struct supafs_vfs *v, const struct vfs_node *node, const struct vfs_node *folder)
{
	SUPAFS_SCOPED_LOCK(&v->ns);
	return !folder || (node->linked && node->parent == folder);
}

int vfs_flush_begin(struct supafs_vfs *v, struct vfs_node *folder, struct vfs_flush *f)
{
	int r = vfs_node_below(v, NULL, &f->nodes);

	if (r != 0)
		return r;
	f->tries = calloc(f->nodes.n ? f->nodes.n : 1, sizeof(*f->tries));
	if (!f->tries)
		return -ENOMEM;
	for (size_t i = 0; i < f->nodes.n; i++) {
		struct vfs_node *node = f->nodes.p[i];
		struct vfs_content *c = vfs_content_peek(v, node);
		const bool wanted = c && is_in(v, node, folder) && is_closed(c, &f->tries[i]);

		if (wanted) {
			vfs_queue_look(v, node); /* what nobody has queued yet */
			vfs_queue_now(v, node);
		}
		if (c)
			vfs_content_put(v, node);
		if (!wanted) {
			vfs_node_put(v, node);
			f->nodes.p[i] = NULL;
		}
	}
	return 0;
}

static void check_one(
	struct supafs_vfs *v, struct vfs_flush *f, size_t i, struct supafs_flush_state *st)
{
	struct vfs_node *node = f->nodes.p[i];
	struct vfs_content *c = vfs_content_peek(v, node);
	uint64_t size = 0;
	const enum left left = c ? left_of(c, f->tries[i], &size) : LEFT_NOT;

	if (c)
		vfs_content_put(v, node);
	if (left == LEFT_WAITS) {
		st->files++;
		st->bytes += size;
		return;
	}
	f->done += left == LEFT_NOT;
	f->failed += left == LEFT_FAILED;
	vfs_node_put(v, node);
	f->nodes.p[i] = NULL;
}

void vfs_flush_state(struct supafs_vfs *v, struct vfs_flush *f, struct supafs_flush_state *ret)
{
	*ret = (struct supafs_flush_state){.files = 0};
	for (size_t i = 0; i < f->nodes.n; i++)
		if (f->nodes.p[i])
			check_one(v, f, i, ret);
	ret->done = f->done;
	ret->failed = f->failed;
}

/* Until a job has ended, or for a while. */
static void wait_a_while(struct vfs_queue *q, int64_t until_ns)
{
	SUPAFS_SCOPED_LOCK(&q->lock);
	(void)supafs_cond_wait_until(&q->cond, &q->lock, until_ns);
}

#define TICK_NS   (20 * SUPAFS_NS_PER_MS)
#define REPORT_NS (500 * SUPAFS_NS_PER_MS)

int vfs_flush_wait(struct supafs_vfs *v, struct supafs_call *call, struct vfs_flush *f,
	void (*progress)(void *ctx, const struct supafs_flush_state *st), void *ctx)
{
	const struct supafs_clock *real = supafs_clock_system();
	int64_t report = real->mono_ns(real) + REPORT_NS;
	struct supafs_flush_state st;
	int r = 0;

	for (;;) {
		const int64_t now = real->mono_ns(real);

		vfs_flush_state(v, f, &st);
		if (progress && (st.files == 0 || now >= report)) {
			progress(ctx, &st);
			report = now + REPORT_NS;
		}
		if (st.files == 0)
			return st.failed > 0 ? -EIO : 0;
		r = supafs_call_check(call);
		if (r != 0)
			return r;
		/* Not only jobs end what is waited for: so look now and then. */
		wait_a_while(v->queue, now + TICK_NS);
	}
}
