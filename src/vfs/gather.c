/* SPDX-License-Identifier: Apache-2.0 */
/* Gathered deletes; states in gather.h. */
#include "gather.h"

#include <assert.h>
#include <stdlib.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/log.h"

#include "jobs.h"
#include "keyq.h"
#include "wait.h"

#define IDLE_NS     (50 * SUPAFS_NS_PER_MS)
#define BURST_NS    (2 * SUPAFS_NS_PER_S) /* later ones are not successive */
#define BURST_AT    3
#define BURST_SLOTS 16
#define ENTRY_MAX   4096U      /* bytes of a name in the record */
#define LIST_MAX    (2U << 20) /* of all names of a batch */

struct item {
	struct supafs_list link;
	uint64_t change_id;
	bool gone;
	struct supafs_buf entry; /* as the journal has it */
	size_t key_n, name_n;
	char text[]; /* key, NUL, shown name, NUL */
};

struct batch {
	struct supafs_list link;
	struct supafs_list items;
	struct vfs_key dir;
	uint64_t parent;
	unsigned n;
	unsigned noting; /* names that are being put into the record */
	bool sending;
	int64_t last_ns;

	struct supafs_mutex
		record_lock; /* held over writes to the record; nothing is taken in it */
	bool noted;          /* record_lock: the record stands */
	char id[SUPAFS_JOURNAL_ID];
};

struct burst {
	pid_t process;
	uint64_t dir_hash;
	unsigned count;
	int64_t last_ns;
};

struct vfs_gather {
	struct supafs_vfs *v;
	struct supafs_mutex lock;
	struct supafs_cond cond;          /* lock; broadcast when a batch is done */
	struct supafs_list batches;       /* lock */
	bool timer;                       /* lock; one is running */
	struct burst bursts[BURST_SLOTS]; /* lock */
};

int vfs_gather_new(struct supafs_vfs *v, struct vfs_gather **ret_g)
{
	struct vfs_gather *g = calloc(1, sizeof(*g));

	if (!g)
		return -ENOMEM;
	g->v = v;
	supafs_mutex_init(&g->lock);
	supafs_cond_init(&g->cond);
	supafs_list_init(&g->batches);
	*ret_g = g;
	return 0;
}

static void item_free(struct item *it)
{
	supafs_buf_fini(&it->entry);
	free(it);
}

static void batch_free(struct batch *b)
{
	supafs_list_for_each_safe (i, next, &b->items)
		item_free(supafs_list_entry(i, struct item, link));
	supafs_mutex_fini(&b->record_lock);
	free(b);
}

struct vfs_gather *vfs_gather_free(struct vfs_gather *g)
{
	if (g) {
		supafs_list_for_each_safe (i, next, &g->batches)
			batch_free(supafs_list_entry(i, struct batch, link));
		supafs_cond_fini(&g->cond);
		supafs_mutex_fini(&g->lock);
		free(g);
	}
	return NULL;
}

static int64_t now_ns(const struct vfs_gather *g)
{
	return g->v->cfg.clock->mono_ns(g->v->cfg.clock);
}

/* --- Bursts --------------------------------------------------------------------------------------
 */

static struct burst *slot_locked(struct vfs_gather *g, pid_t process) SUPAFS_REQUIRES(g->lock);
static struct burst *slot_locked(struct vfs_gather *g, pid_t process)
{
	struct burst *oldest = &g->bursts[0];

	for (size_t i = 0; i < BURST_SLOTS; i++) {
		if (g->bursts[i].process == process)
			return &g->bursts[i];
		if (g->bursts[i].last_ns < oldest->last_ns)
			oldest = &g->bursts[i];
	}
	*oldest = (struct burst){.process = process};
	return oldest;
}

bool vfs_gather_burst(struct vfs_gather *g, pid_t process, const struct vfs_key *dir)
{
	const uint64_t hash = supafs_hash_str(vfs_key_full(dir));
	const int64_t now = now_ns(g);

	SUPAFS_SCOPED_LOCK(&g->lock);
	struct burst *b = slot_locked(g, process);

	if (b->dir_hash != hash || now - b->last_ns > BURST_NS)
		b->count = 0;
	b->dir_hash = hash;
	b->last_ns = now;
	b->count++;
	return b->count >= BURST_AT;
}

void vfs_gather_refused(struct vfs_gather *g, pid_t process)
{
	SUPAFS_SCOPED_LOCK(&g->lock);
	slot_locked(g, process)->count = 0;
}

bool vfs_gather_bursting(struct vfs_gather *g, const struct vfs_key *dir)
{
	const uint64_t hash = supafs_hash_str(vfs_key_full(dir));
	const int64_t now = now_ns(g);

	SUPAFS_SCOPED_LOCK(&g->lock);
	for (size_t i = 0; i < BURST_SLOTS; i++)
		if (g->bursts[i].count >= BURST_AT && g->bursts[i].dir_hash == hash &&
			now - g->bursts[i].last_ns <= BURST_NS)
			return true;
	return false;
}

/* --- Sending -------------------------------------------------------------------------------------
 */

static struct supafs_str item_name(const struct item *it)
{
	return (struct supafs_str){it->text + it->key_n + 1, it->name_n};
}

static int item_place(const struct batch *b, const struct item *it, struct vfs_place *ret)
{
	const struct supafs_str seg = {it->text + b->dir.n, it->key_n - b->dir.n};

	return vfs_place_set(ret, &b->dir, item_name(it), seg, false);
}

static int remove_all(
	struct vfs_gather *g, struct supafs_call *call, struct batch *b, struct supafs_fault *fault)
{
	struct supafs_store *store = g->v->cfg.store;
	struct supafs_str keys[SUPAFS_DELETE_BATCH];
	bool gone[SUPAFS_DELETE_BATCH] = {false};
	size_t n = 0;
	int r;

	assert(b->n <= SUPAFS_DELETE_BATCH);
	supafs_list_for_each (i, &b->items) {
		const struct item *it = supafs_list_entry(i, struct item, link);

		keys[n++] = (struct supafs_str){it->text, it->key_n};
	}
	r = store->ops->remove_many(store, call, keys, n, gone, fault);
	if (r != 0)
		return r;
	n = 0;
	supafs_list_for_each (i, &b->items)
		supafs_list_entry(i, struct item, link)->gone = gone[n++];
	return 0;
}

/* A name that the reply lacks: gone already, or refused? */
static void look_at(struct vfs_gather *g, struct supafs_call *call, const struct batch *b,
	const struct item *it, const struct vfs_place *place)
{
	struct supafs_fault fault = {0};
	struct supafs_dirent ent;
	int r;

	vfs_view_undo(g->v, place, it->change_id);
	r = supafs_catalog_lookup(g->v->cfg.catalog, call, vfs_key_rel(&place->dir), item_name(it),
		true, &ent, &fault);
	if (r == -ENOENT)
		return;
	if (r == 0)
		supafs_log(SUPAFS_LOG_ERROR, "\"%.*s\" was not deleted: the server refused it",
			SUPAFS_STR_FMT(vfs_key_rel(&place->key)));
	else
		supafs_log(SUPAFS_LOG_ERROR,
			"\"%.*s\" was perhaps not deleted: the server did not name it, and asking failed: %s",
			SUPAFS_STR_FMT(vfs_key_rel(&place->key)), strerrordesc_np(-r));
	vfs_news_entry(g->v, b->parent, item_name(it));
}

static void settle_items(struct vfs_gather *g, struct supafs_call *call, const struct batch *b)
{
	struct vfs_place place;

	supafs_list_for_each (i, &b->items) {
		const struct item *it = supafs_list_entry(i, struct item, link);

		if (item_place(b, it, &place) != 0)
			continue;
		if (it->gone)
			vfs_view_ack(g->v, &place, it->change_id, NULL);
		else
			look_at(g, call, b, it, &place);
	}
}

static void give_back(
	struct vfs_gather *g, const struct batch *b, int r, const struct supafs_fault *fault)
{
	struct vfs_place place;
	char text[300];

	supafs_fault_format(fault, text, sizeof(text));
	supafs_log(SUPAFS_LOG_ERROR, "%u files in \"%.*s\" were not deleted: %s (%s)", b->n,
		SUPAFS_STR_FMT(vfs_key_rel(&b->dir)), strerrordesc_np(-r), text);
	supafs_list_for_each (i, &b->items) {
		const struct item *it = supafs_list_entry(i, struct item, link);

		if (item_place(b, it, &place) == 0)
			vfs_view_undo(g->v, &place, it->change_id);
		vfs_news_entry(g->v, b->parent, item_name(it));
	}
}

/* --- The record ----------------------------------------------------------------------------------
 */

/* Before the name is acknowledged: into the batch's record, which the first one makes. No sync: it
 * is to survive this process. */
static int note_item(struct vfs_gather *g, struct batch *b, const struct item *it)
{
	struct supafs_journal *j = g->v->cfg.journal;
	const struct supafs_journal_record rec = {
		.kind = SUPAFS_JOURNAL_DELETE,
		.key = vfs_key_full(&b->dir),
		.deletes = supafs_buf_str(&it->entry),
		.since_ns = g->v->cfg.clock->wall_ns(g->v->cfg.clock),
	};
	struct supafs_journal_record mine = rec;
	int r;

	if (!j)
		return 0;
	SUPAFS_SCOPED_LOCK(&b->record_lock);
	if (b->noted)
		return supafs_journal_append(j, b->id, rec.deletes);
	memcpy(mine.id, b->id, sizeof(mine.id));
	r = supafs_journal_note(j, &mine);
	b->noted = r == 0;
	return r;
}

/* Whoever sends a batch has all of it in its record first. */
static void wait_noted(struct vfs_gather *g, const struct batch *b)
{
	SUPAFS_SCOPED_LOCK(&g->lock);
	while (b->noting > 0)
		supafs_cond_wait(&g->cond, &g->lock);
}

static void forget_record(struct vfs_gather *g, struct batch *b)
{
	struct vfs_job_record job;

	memcpy(job.id, b->id, sizeof(job.id));
	vfs_jobs_forget(g->v, &job, false);
}

/* The names were acknowledged, and what is in the way passes: a job goes on with them, and they
 * stay out of the view. */
static bool hand_over(
	struct vfs_gather *g, struct batch *b, int r, const struct supafs_fault *fault)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf list;
	struct supafs_journal_record rec = {
		.kind = SUPAFS_JOURNAL_DELETE, .key = vfs_key_full(&b->dir)};

	supafs_buf_init(&list, LIST_MAX);
	if (!g->v->cfg.journal || !vfs_jobs_passing(r, fault))
		return false;
	supafs_list_for_each (i, &b->items)
		(void)supafs_buf_addstr(
			&list, supafs_buf_str(&supafs_list_entry(i, struct item, link)->entry));
	memcpy(rec.id, b->id, sizeof(rec.id));
	rec.deletes = supafs_buf_str(&list);
	return supafs_buf_error(&list) == 0 && vfs_jobs_take(g->v, &rec) == 0;
}

static int send_now(struct vfs_gather *g, struct batch *b, bool vanish, struct supafs_fault *fault)
{
	struct supafs_call call;
	struct vfs_ticket t;
	int r;

	/* A call of its own: the names were promised to others than whoever settles. */
	vfs_call_init(g->v, &call);
	r = vfs_keyq_enter(
		g->v->keyq, &call, &t, vfs_key_full(&b->dir), (struct supafs_str){NULL, 0});
	if (r == 0) {
		if (!vanish)
			r = vfs_keep_folder(g->v, &call, &b->dir, 0, false, fault);
		if (r == 0)
			r = remove_all(g, &call, b, fault);
		if (r == 0)
			settle_items(g, &call, b);
		vfs_keyq_leave(g->v->keyq, &t);
	}
	supafs_call_fini(&call);
	return r;
}

static void send_batch(struct vfs_gather *g, struct batch *b, bool vanish)
{
	struct supafs_fault fault = {0};
	int r;

	wait_noted(g, b);
	if (b->n == 0)
		return;
	r = send_now(g, b, vanish, &fault);
	if (r != 0 && hand_over(g, b, r, &fault))
		return;
	if (r != 0)
		give_back(g, b, r, &fault);
	forget_record(g, b);
}

static bool covers(const struct vfs_key *dir, bool below, const struct batch *b)
{
	if (below)
		return supafs_str_starts(vfs_key_full(&b->dir), vfs_key_full(dir));
	return vfs_key_same(dir, &b->dir);
}

/* The first batch that somebody who settles `dir` has to do with; open ones before. */
static struct batch *find_locked(struct vfs_gather *g, const struct vfs_key *dir, bool below)
	SUPAFS_REQUIRES(g->lock);
static struct batch *find_locked(struct vfs_gather *g, const struct vfs_key *dir, bool below)
{
	struct batch *sending = NULL;

	supafs_list_for_each (i, &g->batches) {
		struct batch *b = supafs_list_entry(i, struct batch, link);

		if (!covers(dir, below, b))
			continue;
		if (!b->sending)
			return b;
		sending = b;
	}
	return sending;
}

static void done(struct vfs_gather *g, struct batch *b)
{
	{
		SUPAFS_SCOPED_LOCK(&g->lock);
		supafs_list_remove(&b->link);
		supafs_cond_broadcast(&g->cond);
	}
	batch_free(b);
}

/* Takes an open batch for sending, or waits for those of others. 0: *ret_b NULL at the end. */
static int next_batch(struct vfs_gather *g, struct supafs_call *call, const struct vfs_key *dir,
	bool below, struct batch **ret_b)
{
	struct vfs_wait w;
	struct batch *b;
	int r = 0;

	{
		SUPAFS_SCOPED_LOCK(&g->lock);
		if (supafs_list_empty(&g->batches)) {
			*ret_b = NULL;
			return 0;
		}
	}
	vfs_wait_begin(&w, call, &g->lock, &g->cond);
	{
		SUPAFS_SCOPED_LOCK(&g->lock);
		while (r == 0 && (b = find_locked(g, dir, below)) != NULL && b->sending)
			r = vfs_wait_step(&w);
		if (r == 0) {
			*ret_b = b;
			if (b)
				b->sending = true;
		}
	}
	vfs_wait_end(&w);
	return r;
}

int vfs_gather_settle(struct supafs_vfs *v, struct supafs_call *call, const struct vfs_key *dir,
	bool below, bool vanish)
{
	struct vfs_gather *g = v->gather;
	struct batch *b = NULL;
	int r;

	while ((r = next_batch(g, call, dir, below, &b)) == 0 && b) {
		send_batch(g, b, vanish);
		done(g, b);
	}
	return r;
}

static bool has_name_locked(struct vfs_gather *g, const struct vfs_key *dir, struct supafs_str name)
	SUPAFS_REQUIRES(g->lock);
static bool has_name_locked(struct vfs_gather *g, const struct vfs_key *dir, struct supafs_str name)
{
	supafs_list_for_each (i, &g->batches) {
		const struct batch *b = supafs_list_entry(i, struct batch, link);

		if (!vfs_key_same(dir, &b->dir))
			continue;
		supafs_list_for_each (k, &b->items)
			if (supafs_str_eq(item_name(supafs_list_entry(k, struct item, link)), name))
				return true;
	}
	return false;
}

int vfs_gather_settle_name(struct supafs_vfs *v, struct supafs_call *call,
	const struct vfs_key *dir, struct supafs_str name)
{
	bool has;

	{
		SUPAFS_SCOPED_LOCK(&v->gather->lock);
		has = has_name_locked(v->gather, dir, name);
	}
	return has ? vfs_gather_settle(v, call, dir, false, false) : 0;
}

uint64_t vfs_gather_count(struct vfs_gather *g)
{
	uint64_t n = 0;

	SUPAFS_SCOPED_LOCK(&g->lock);
	supafs_list_for_each (i, &g->batches)
		n += supafs_list_entry(i, struct batch, link)->n;
	return n;
}

/* --- Gathering -----------------------------------------------------------------------------------
 */

static void on_timer(void *ctx);

static void arm_locked(struct vfs_gather *g) SUPAFS_REQUIRES(g->lock);
static void arm_locked(struct vfs_gather *g)
{
	uint64_t id;

	if (!g->timer)
		g->timer =
			supafs_timers_add(g->v->timers, now_ns(g) + IDLE_NS, on_timer, g, &id) == 0;
}

struct idle_job {
	struct vfs_gather *g;
	struct vfs_key dir;
};

static void idle_run(void *ctx)
{
	struct idle_job *job = ctx;
	struct supafs_call call;

	vfs_call_init(job->g->v, &call);
	(void)vfs_gather_settle(job->g->v, &call, &job->dir, false, false);
	supafs_call_fini(&call);
	free(job);
}

/* A batch that nobody has added to for a while. */
static bool idle_locked(struct vfs_gather *g, struct vfs_key *ret_dir, bool *ret_more)
	SUPAFS_REQUIRES(g->lock);
static bool idle_locked(struct vfs_gather *g, struct vfs_key *ret_dir, bool *ret_more)
{
	const int64_t before = now_ns(g) - IDLE_NS;
	bool found = false;

	supafs_list_for_each (i, &g->batches) {
		struct batch *b = supafs_list_entry(i, struct batch, link);

		if (b->sending)
			continue;
		if (found || b->last_ns > before) {
			*ret_more = true;
			continue;
		}
		*ret_dir = b->dir;
		found = true;
	}
	return found;
}

static void on_timer(void *ctx)
{
	struct vfs_gather *g = ctx;
	struct idle_job *job = malloc(sizeof(*job));
	bool more = false, found;

	{
		SUPAFS_SCOPED_LOCK(&g->lock);
		g->timer = false;
		found = job && idle_locked(g, &job->dir, &more);
		if (more || !job)
			arm_locked(g);
	}
	if (found) {
		job->g = g;
		if (supafs_pool_submit(g->v->sends, (struct supafs_job){idle_run, free, job}) == 0)
			return;
		SUPAFS_SCOPED_LOCK(&g->lock);
		arm_locked(g);
	}
	free(job);
}

static struct batch *open_locked(struct vfs_gather *g, const struct vfs_key *dir, uint64_t parent)
	SUPAFS_REQUIRES(g->lock);
static struct batch *open_locked(struct vfs_gather *g, const struct vfs_key *dir, uint64_t parent)
{
	struct batch *b = find_locked(g, dir, false);

	if (b && !b->sending)
		return b;
	b = calloc(1, sizeof(*b));
	if (!b)
		return NULL;
	supafs_list_init(&b->items);
	supafs_mutex_init(&b->record_lock);
	supafs_journal_new_id(b->id);
	b->dir = *dir;
	b->parent = parent;
	supafs_list_add_tail(&g->batches, &b->link);
	return b;
}

static struct item *new_item(
	const struct vfs_place *place, const struct supafs_attr *attr, uint64_t change_id)
{
	const struct supafs_journal_delete d = {
		.seg = {place->seg, place->seg_n},
		.name = {place->name, place->name_n},
		.version = attr->version,
		.mtime_ns = attr->meta.has & SUPAFS_META_MTIME ? attr->meta.mtime_ns : 0,
	};
	struct item *it = calloc(1, sizeof(*it) + place->key.n + place->name_n + 2);

	if (!it)
		return NULL;
	it->change_id = change_id;
	it->key_n = place->key.n;
	it->name_n = place->name_n;
	memcpy(it->text, place->key.p, place->key.n);
	memcpy(it->text + it->key_n + 1, place->name, place->name_n);
	supafs_buf_init(&it->entry, ENTRY_MAX);
	if (supafs_journal_delete_add(&it->entry, &d) != 0) {
		item_free(it);
		return NULL;
	}
	return it;
}

/* Into an open batch; *ret_full: it is full now, and the caller's to send. */
static struct batch *put_item(struct vfs_gather *g, struct item *it, const struct vfs_key *dir,
	uint64_t parent, bool *ret_full)
{
	struct batch *b;

	SUPAFS_SCOPED_LOCK(&g->lock);
	b = open_locked(g, dir, parent);
	if (!b)
		return NULL;
	supafs_list_add_tail(&b->items, &it->link);
	b->n++;
	b->noting++;
	b->last_ns = now_ns(g);
	*ret_full = b->n >= SUPAFS_DELETE_BATCH;
	if (*ret_full)
		b->sending = true;
	else
		arm_locked(g);
	return b;
}

/* In the record, or not: then it is taken out again, if nobody sends it already. */
static bool noted(struct vfs_gather *g, struct batch *b, struct item *it, bool so)
{
	bool out;

	SUPAFS_SCOPED_LOCK(&g->lock);
	b->noting--;
	supafs_cond_broadcast(&g->cond);
	out = !so && !b->sending;
	if (out) {
		supafs_list_remove(&it->link);
		b->n--;
	}
	return !out;
}

int vfs_gather_add(struct supafs_vfs *v, const struct vfs_place *place,
	const struct supafs_attr *attr, uint64_t parent, uint64_t change_id)
{
	struct vfs_gather *g = v->gather;
	struct item *it = new_item(place, attr, change_id);
	bool full = false;
	struct batch *b = it ? put_item(g, it, &place->dir, parent, &full) : NULL;
	int r;

	if (!b) {
		if (it)
			item_free(it);
		return -ENOMEM;
	}
	r = note_item(g, b, it);
	if (!noted(g, b, it, r == 0)) {
		item_free(it);
		return -EAGAIN;
	}
	if (full) {
		send_batch(g, b, false);
		done(g, b);
	}
	return 0;
}
