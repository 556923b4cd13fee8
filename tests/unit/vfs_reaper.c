/* SPDX-License-Identifier: Apache-2.0 */
/* Deaths at a request, for tests: see vfs_reaper.h. */
#include "vfs_reaper.h"

#include <dirent.h>
#include <limits.h>
#include <sched.h>
#include <unistd.h>

#include "supafs/util/lock.h"

#include "layer_priv.h"

struct reaper {
	struct supafs_layer layer;
	struct supafs_mutex lock;
	char dir[80], copy[80]; /* lock, like all below */
	unsigned stop, at;      /* the n-th changing request; 0: none */
	bool after;
	bool dead;
};

static void copy_file(int from_dir, int to_dir, const char *name)
{
	int from = openat(from_dir, name, O_RDONLY);
	int to = openat(to_dir, name, O_CREAT | O_WRONLY | O_EXCL, 0600);
	char buf[4096];
	ssize_t n;

	if (from >= 0) /* else it has gone meanwhile */
		while ((n = read(from, buf, sizeof(buf))) > 0)
			assert_int_equal(write(to, buf, (size_t)n), n);
	(void)close(from);
	(void)close(to);
}

static void copy_folder(const char *from, const char *to)
{
	DIR *d = opendir(from), *out = opendir(to);

	assert_non_null(d);
	assert_non_null(out);
	for (struct dirent *e = readdir(d); e; e = readdir(d))
		if (e->d_name[0] != '.')
			copy_file(dirfd(d), dirfd(out), e->d_name);
	closedir(d);
	closedir(out);
}

static bool changes(enum supafs_op op)
{
	return op == SUPAFS_OP_PUT || op == SUPAFS_OP_REMOVE || op == SUPAFS_OP_REMOVE_MANY ||
	       op == SUPAFS_OP_COPY || op == SUPAFS_OP_MOVE;
}

static struct reaper *reaper_of(struct supafs_layer *l)
{
	return (struct reaper *)(void *)l;
}

static int gone(struct supafs_layer_op *o)
{
	*o->fault = (struct supafs_fault){.class = SUPAFS_FAULT_PERMANENT, .retry_after_ms = -1};
	return -EIO;
}

static int reaper_before(struct supafs_layer *l, struct supafs_layer_op *o)
{
	struct reaper *d = reaper_of(l);

	SUPAFS_SCOPED_LOCK(&d->lock);
	if (!d->dead && !d->after && d->stop && changes(o->op) && ++d->at == d->stop) {
		copy_folder(d->dir, d->copy);
		d->dead = true;
	}
	return d->dead ? gone(o) : 0;
}

static int reaper_after(struct supafs_layer *l, struct supafs_layer_op *o, int r)
{
	struct reaper *d = reaper_of(l);

	SUPAFS_SCOPED_LOCK(&d->lock);
	if (!d->dead && d->after && d->stop && changes(o->op) && ++d->at == d->stop) {
		copy_folder(d->dir, d->copy);
		d->dead = true;
	}
	return d->dead ? gone(o) : r;
}

static void reaper_fini(struct supafs_layer *l)
{
	supafs_mutex_fini(&reaper_of(l)->lock);
}

static const struct supafs_layer_hooks reaper_hooks = {reaper_before, reaper_after, reaper_fini};
static const struct supafs_store_ops reaper_ops = SUPAFS_LAYER_OPS("reaper");

struct supafs_store *reaper_new(struct supafs_store *inner)
{
	struct reaper *d = calloc(1, sizeof(*d));

	assert_non_null(d);
	d->layer = (struct supafs_layer){{&reaper_ops}, inner, &reaper_hooks};
	supafs_mutex_init(&d->lock);
	return &d->layer.base;
}

unsigned reaper_spooled(const struct fx *x)
{
	char path[100];
	unsigned n = 0;

	(void)snprintf(path, sizeof(path), "%s/spool", x->dir);

	DIR *d = opendir(path);

	for (struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d))
		n += e->d_name[0] != '.';
	if (d)
		closedir(d);
	return n;
}

void reaper_check_empty(struct fx *x)
{
	const struct supafs_clock *clock = supafs_clock_system();
	const int64_t until = clock->mono_ns(clock) + 5 * SUPAFS_NS_PER_S;

	while (reaper_spooled(x) > 0 && clock->mono_ns(clock) < until)
		(void)sched_yield();
	assert_int_equal(reaper_spooled(x), 0);
}

int reaper_flush(struct fx *x)
{
	struct supafs_flush_state st;

	return supafs_vfs_flush_all(x->v, &x->call, NULL, NULL, &st);
}

void reaper_flush_all(struct fx *x)
{
	for (unsigned i = 0; i < 8; i++)
		if (reaper_flush(x) == 0)
			return;
	assert_int_equal(reaper_flush(x), 0);
}

void reaper_doom(struct fx *x, unsigned n, bool after)
{
	struct reaper *d = (struct reaper *)(void *)x->top;

	SUPAFS_SCOPED_LOCK(&d->lock);
	(void)snprintf(d->dir, sizeof(d->dir), "%s/spool", x->dir);
	(void)snprintf(d->copy, sizeof(d->copy), "/tmp/supafs-copy-XXXXXX");
	assert_non_null(mkdtemp(d->copy));
	d->stop = n;
	d->after = after;
	d->at = 0;
}

void reaper_spare(struct fx *x)
{
	struct reaper *d = (struct reaper *)(void *)x->top;

	SUPAFS_SCOPED_LOCK(&d->lock);
	d->stop = 0;
}

static void empty(const char *dir)
{
	DIR *d = opendir(dir);

	for (struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d))
		if (e->d_name[0] != '.')
			(void)unlinkat(dirfd(d), e->d_name, 0);
	if (d)
		closedir(d);
}

bool reaper_resurrect(struct fx *x)
{
	struct reaper *d = (struct reaper *)(void *)x->top;
	const bool died = d->dead;
	unsigned left;

	if (died) {
		x->v = supafs_vfs_free(x->v, 0, &left);
		empty(d->dir);
		copy_folder(d->copy, d->dir);
	}
	empty(d->copy);
	assert_int_equal(rmdir(d->copy), 0);
	d->dead = false;
	d->stop = 0;
	if (died)
		fx_crash(x, NULL);
	return died;
}
