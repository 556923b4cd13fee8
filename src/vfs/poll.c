/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking for changes of others; see poll.h.
 *
 * A look reads the listing by time, newest first, down to what an earlier look has read. Rows are
 * stamped when their transaction begins and seen when it ends, so it reads OVERLAP_NS further than
 * that, and remembers what it has met in there.
 *
 *	state      timer   job       leaves by
 *	idle       set     none      the timer → looking
 *	looking    none    running   its end → idle (later after an error), or off
 *	off        none    none      – (the server cannot sort, or the mount ends)
 *
 * An entry that says what the view says is no news: it is ours, or was looked at since. Uploads of
 * our own thus cost a row each and nothing else, as their times come back with the listing.
 */
#include "poll.h"

#include <stdlib.h>
#include <string.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/log.h"
#include "supafs/util/name.h"

#include "node.h"

#define OVERLAP_NS   (10 * SUPAFS_NS_PER_S)
#define LOG_PAUSE_NS (60 * SUPAFS_NS_PER_S)

enum {
	FIRST_LIMIT = 100, /* rows of the first page, which is the only one as a rule */
	MORE_LIMIT = 1000,
	PAGES_MAX = 20,  /* then so much has changed that everything is forgotten */
	BACKOFF_MAX = 6, /* doublings of the pause */
	TIMEOUT_MS = 60000,
};

/* A row that was met. */
struct met {
	uint64_t key; /* hash */
	int64_t ns;
};

struct met_list {
	struct met *p;
	size_t n, cap;
};

struct vfs_poll {
	struct supafs_vfs *v;
	struct supafs_pool *pool; /* one thread */

	/* Of whoever looks. */
	bool begun;
	int64_t newest_ns;   /* of all that was met */
	struct met_list met; /* sorted; since newest_ns - OVERLAP_NS */
	unsigned failures;   /* in a row */
	int64_t log_after_ns;

	struct supafs_mutex lock; /* leaf but for a call's own lock */
	/* lock: */
	bool stopping;
	uint64_t timer;           /* 0: none */
	struct supafs_call *call; /* of the look under way */
};

/* One look. */
struct look {
	struct vfs_poll *p;
	int64_t down_to_ns; /* older rows end it */
	int64_t newest_ns;
	struct met_list met;
	bool ended;
	unsigned changed;
};

/* --- What was met ------------------------------------------------------------------------------
 */

static int compare_met(const void *pa, const void *pb)
{
	const struct met *a = pa;
	const struct met *b = pb;

	if (a->key != b->key)
		return a->key < b->key ? -1 : 1;
	return (a->ns > b->ns) - (a->ns < b->ns);
}

static bool was_met(const struct met_list *l, const struct met *m)
{
	return l->n > 0 && bsearch(m, l->p, l->n, sizeof(*l->p), compare_met) != NULL;
}

static int note_met(struct met_list *l, const struct met *m)
{
	if (l->n == l->cap) {
		size_t cap = l->cap ? 2 * l->cap : 64;
		struct met *p = reallocarray(l->p, cap, sizeof(*p));

		if (!p)
			return -ENOMEM;
		l->p = p;
		l->cap = cap;
	}
	l->p[l->n++] = *m;
	return 0;
}

static void met_fini(struct met_list *l)
{
	free(l->p);
	*l = (struct met_list){.p = NULL};
}

/* --- One name ----------------------------------------------------------------------------------
 */

/* "a/b/c" → "a/b/" and "c"; of a folder's key ("a/b/") "a/" and "b". */
static void split(struct supafs_str key, struct supafs_str *ret_dir, struct supafs_str *ret_seg)
{
	size_t end = key.n > 0 && key.p[key.n - 1] == '/' ? key.n - 1 : key.n;
	size_t from = end;

	while (from > 0 && key.p[from - 1] != '/')
		from--;
	*ret_dir = (struct supafs_str){key.p, from};
	*ret_seg = (struct supafs_str){key.p + from, end - from};
}

/* The shown name of a segment; false for one that has none of its own. */
static bool shown(struct supafs_str seg, char buf[SUPAFS_NAME_MAX], struct supafs_str *ret)
{
	ssize_t n = supafs_name_decode(seg, buf, SUPAFS_NAME_MAX);

	*ret = (struct supafs_str){buf, n > 0 ? (size_t)n : 0};
	return n > 0;
}

/* The node of a folder's prefix; NULL: the kernel does not know it. */
static struct vfs_node *folder_node_locked(struct supafs_vfs *v, struct supafs_str dir)
	SUPAFS_REQUIRES(v->ns);
static struct vfs_node *folder_node_locked(struct supafs_vfs *v, struct supafs_str dir)
{
	struct vfs_node *node = v->root;

	while (node && dir.n > 0) {
		const char *slash = memchr(dir.p, '/', dir.n);
		struct supafs_str seg = {dir.p, slash ? (size_t)(slash - dir.p) : dir.n};
		char buf[SUPAFS_NAME_MAX];
		struct supafs_str name;

		node = shown(seg, buf, &name) ? vfs_node_find_locked(v, node, name) : NULL;
		dir.p += slash ? seg.n + 1 : seg.n;
		dir.n -= slash ? seg.n + 1 : seg.n;
	}
	return node;
}

struct ids {
	uint64_t dir, node; /* 0: the kernel does not know it */
};

static struct ids ids_of(struct supafs_vfs *v, struct supafs_str dir, struct supafs_str name)
{
	struct ids ids = {.dir = 0};
	const struct vfs_node *folder;
	const struct vfs_node *node;

	SUPAFS_SCOPED_LOCK(&v->ns);
	folder = folder_node_locked(v, dir);
	if (!folder)
		return ids;
	ids.dir = folder->id;
	node = name.n > 0 ? vfs_node_find_locked(v, folder, name) : NULL;
	ids.node = node ? node->id : 0;
	return ids;
}

/* Here and in the kernel: the next look at the name asks the server. */
static void forget(struct supafs_vfs *v, struct supafs_str dir, struct supafs_str seg)
{
	char buf[SUPAFS_NAME_MAX];
	struct supafs_str name;
	const bool named = shown(seg, buf, &name);
	const struct ids ids = ids_of(v, dir, name);

	if (named)
		supafs_catalog_forget(v->cfg.catalog, dir, seg);
	else
		supafs_catalog_drop(v->cfg.catalog, dir, false);
	if (ids.node)
		vfs_news_inode(v, ids.node, true);
	if (ids.dir) {
		/* A name that was absent is remembered as well. */
		if (named)
			vfs_news_entry(v, ids.dir, name);
		vfs_news_inode(v, ids.dir, false);
	}
}

/* --- What is news ------------------------------------------------------------------------------
 */

static bool same_meta(const struct supafs_meta *a, const struct supafs_meta *b)
{
	const unsigned has = a->has & SUPAFS_META_ALL;

	return has == (b->has & SUPAFS_META_ALL) &&
	       (!(has & SUPAFS_META_MTIME) || a->mtime_ns == b->mtime_ns) &&
	       (!(has & SUPAFS_META_MODE) || a->mode == b->mode) &&
	       (!(has & SUPAFS_META_UID) || a->uid == b->uid) &&
	       (!(has & SUPAFS_META_GID) || a->gid == b->gid);
}

/* Does a row say what is known? An upload of ours has no ETag here: then size and times decide. */
static bool is_known(const struct supafs_attr *known, const struct supafs_entry *row)
{
	struct supafs_meta meta;

	if (known->folder || known->version.size != row->version.size)
		return false;
	supafs_meta_parse_directives(row->cache_control, &meta, NULL);
	if (!same_meta(&known->meta, &meta))
		return false;
	if (known->version.etag[0])
		return strcmp(known->version.etag, row->version.etag) == 0;
	return (meta.has & SUPAFS_META_MTIME) != 0;
}

/* Folders come to be with what is put into them: false where the view lacks one. */
static void look_at_parents(struct look *lk, struct supafs_str dir)
{
	struct supafs_vfs *v = lk->p->v;
	struct supafs_dirent ent;
	struct supafs_str parent;
	struct supafs_str seg;

	while (dir.n > 0) {
		char buf[SUPAFS_NAME_MAX];
		struct supafs_str name;

		split(dir, &parent, &seg);
		if (!shown(seg, buf, &name))
			return;
		/* What is there as a folder was there before, and so were those above it. */
		switch (supafs_catalog_peek(v->cfg.catalog, parent, name, &ent)) {
		case SUPAFS_PEEK_PRESENT:
			if (ent.attr.folder)
				return;
			supafs_catalog_drop(v->cfg.catalog, parent, false); /* a pair (names.md) */
			return;
		case SUPAFS_PEEK_ABSENT:
			forget(v, parent, seg);
			lk->changed++;
			break;
		case SUPAFS_PEEK_UNKNOWN:
			break;
		}
		dir = parent;
	}
}

static void look_at(struct look *lk, const struct supafs_entry *row, struct supafs_str key)
{
	struct supafs_vfs *v = lk->p->v;
	struct supafs_dirent ent;
	struct supafs_str dir;
	struct supafs_str seg;
	char buf[SUPAFS_NAME_MAX];
	struct supafs_str name;
	bool keeper = key.p[key.n - 1] == '/';

	split(key, &dir, &seg);
	keeper = keeper || supafs_str_eq(seg, SUPAFS_STR(SUPAFS_PLACEHOLDER));
	if (keeper) {
		look_at_parents(lk, key.p[key.n - 1] == '/' ? key : dir);
		return;
	}
	look_at_parents(lk, dir);
	if (shown(seg, buf, &name) &&
		supafs_catalog_peek(v->cfg.catalog, dir, name, &ent) == SUPAFS_PEEK_PRESENT &&
		is_known(&ent.attr, row))
		return;
	forget(v, dir, seg);
	lk->changed++;
}

/* --- A look ------------------------------------------------------------------------------------
 */

static int on_row(void *ctx, const struct supafs_entry *row)
{
	struct look *lk = ctx;
	const struct vfs_poll *p = lk->p;
	const size_t root_n = p->v->cfg.root.n;
	const struct supafs_str key = {row->key.p + root_n, row->key.n - root_n};
	const struct met m = {supafs_hash_str(row->key), row->version.updated_ns};

	if (row->version.updated_ns < lk->down_to_ns)
		lk->ended = true;
	if (lk->ended || key.n == 0)
		return 0;
	if (m.ns > lk->newest_ns)
		lk->newest_ns = m.ns;
	if (p->begun && !was_met(&p->met, &m))
		look_at(lk, row, key);
	return note_met(&lk->met, &m);
}

static int read_rows(struct look *lk, struct supafs_call *call, struct supafs_fault *fault)
{
	const struct supafs_vfs *v = lk->p->v;
	struct supafs_list_args args = {
		.prefix = v->cfg.root,
		.limit = FIRST_LIMIT,
		.on_entry = on_row,
		.ctx = lk,
		.newest_first = true,
	};
	struct supafs_cursor cursor = {.n = 0};
	bool more = true;
	int r = 0;

	for (unsigned i = 0; r == 0 && more && !lk->ended && i < PAGES_MAX; i++) {
		r = v->cfg.store->ops->list(v->cfg.store, call, &args, &cursor, &more, fault);
		args.limit = MORE_LIMIT;
		/* The first look learns only where the present is. */
		lk->ended = lk->ended || !lk->p->begun || !more;
	}
	if (r == 0 && !lk->ended) {
		supafs_vfs_invalidate(lk->p->v);
		lk->changed++;
	}
	return r;
}

/* What is older than the overlap will not be met again. */
static void keep_met(struct vfs_poll *p, struct look *lk)
{
	size_t n = 0;

	for (size_t i = 0; i < lk->met.n; i++) {
		if (lk->met.p[i].ns >= lk->newest_ns - OVERLAP_NS)
			lk->met.p[n++] = lk->met.p[i];
	}
	lk->met.n = n;
	if (n > 0)
		qsort(lk->met.p, n, sizeof(*lk->met.p), compare_met);
	met_fini(&p->met);
	p->met = lk->met;
	lk->met = (struct met_list){.p = NULL};
	p->newest_ns = lk->newest_ns;
	p->begun = true;
}

static int look(struct vfs_poll *p, struct supafs_call *call, struct supafs_fault *fault,
	unsigned *ret_changed)
{
	struct look lk = {
		.p = p,
		.newest_ns = p->newest_ns,
		.down_to_ns = p->begun ? p->newest_ns - OVERLAP_NS : INT64_MIN,
	};
	int r = read_rows(&lk, call, fault);

	/* What a look has met before it failed is met again. */
	if (r == 0)
		keep_met(p, &lk);
	met_fini(&lk.met);
	*ret_changed = lk.changed;
	return r;
}

static bool begin_call(struct vfs_poll *p, struct supafs_call *call)
{
	SUPAFS_SCOPED_LOCK(&p->lock);
	if (p->stopping)
		return false;
	/* With -o hard as well: the next look sees what this one would have. */
	supafs_call_init(call, p->v->cfg.clock,
		p->v->cfg.timeout_ms > 0 ? p->v->cfg.timeout_ms : TIMEOUT_MS);
	p->call = call;
	return true;
}

static void end_call(struct vfs_poll *p, struct supafs_call *call)
{
	{
		SUPAFS_SCOPED_LOCK(&p->lock);
		p->call = NULL;
	}
	supafs_call_fini(call);
}

int vfs_poll_look(struct vfs_poll *p, unsigned *ret_changed)
{
	struct supafs_fault fault;
	struct supafs_call call;
	unsigned changed = 0;
	int r;

	supafs_fault_clear(&fault);
	if (!begin_call(p, &call))
		return -ESHUTDOWN;
	r = look(p, &call, &fault, &changed);
	end_call(p, &call);
	if (ret_changed)
		*ret_changed = changed;
	return r;
}

/* --- By the clock ------------------------------------------------------------------------------
 */

static void fire(void *ctx);

static void arm(struct vfs_poll *p, uint64_t wait_ms)
{
	const struct supafs_clock *clock = p->v->cfg.clock;
	const int64_t at_ns = clock->mono_ns(clock) + (int64_t)wait_ms * SUPAFS_NS_PER_MS;

	SUPAFS_SCOPED_LOCK(&p->lock);
	if (!p->stopping && supafs_timers_add(p->v->timers, at_ns, fire, p, &p->timer) != 0)
		p->timer = 0;
}

static void tell(struct vfs_poll *p, int r, const struct supafs_fault *fault)
{
	const struct supafs_clock *clock = p->v->cfg.clock;
	const int64_t now_ns = clock->mono_ns(clock);
	char text[300];

	if (r == -EINTR || now_ns < p->log_after_ns)
		return;
	p->log_after_ns = now_ns + LOG_PAUSE_NS;
	supafs_fault_format(fault, text, sizeof(text));
	supafs_log(SUPAFS_LOG_WARN, "looking for changes of other clients failed: %s (%s)%s",
		strerrordesc_np(-r), text,
		r == -EOPNOTSUPP ? "; they show when the ttl is over" : "; tried again");
}

static void run(void *ctx)
{
	struct vfs_poll *p = ctx;
	struct supafs_fault fault;
	struct supafs_call call;
	unsigned changed;
	int r;

	supafs_fault_clear(&fault);
	if (!begin_call(p, &call))
		return;
	r = look(p, &call, &fault, &changed);
	end_call(p, &call);
	if (r == 0)
		p->failures = 0;
	else if (p->failures < BACKOFF_MAX)
		p->failures++;
	if (r != 0)
		tell(p, r, &fault);
	if (r != -EOPNOTSUPP)
		arm(p, p->v->cfg.poll_ms << p->failures);
}

static void fire(void *ctx)
{
	struct vfs_poll *p = ctx;

	if (supafs_pool_submit(p->pool, (struct supafs_job){run, NULL, p}) != 0)
		arm(p, p->v->cfg.poll_ms);
}

/* --- Life --------------------------------------------------------------------------------------
 */

int vfs_poll_new(struct supafs_vfs *v, struct vfs_poll **ret_poll)
{
	struct vfs_poll *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return -ENOMEM;
	p->v = v;
	r = supafs_pool_new("supafs-poll", 1, 1, &p->pool);
	if (r != 0) {
		free(p);
		return r;
	}
	supafs_mutex_init(&p->lock);
	*ret_poll = p;
	return 0;
}

void vfs_poll_start(struct vfs_poll *p)
{
	arm(p, 0);
}

static uint64_t stop(struct vfs_poll *p)
{
	SUPAFS_SCOPED_LOCK(&p->lock);
	p->stopping = true;
	if (p->call)
		supafs_call_cancel(p->call);
	return p->timer;
}

struct vfs_poll *vfs_poll_free(struct vfs_poll *p)
{
	uint64_t timer;

	if (!p)
		return NULL;
	timer = stop(p);
	if (timer)
		(void)supafs_timers_cancel(p->v->timers, timer);
	p->pool = supafs_pool_free(p->pool);
	met_fini(&p->met);
	supafs_mutex_fini(&p->lock);
	free(p);
	return NULL;
}
