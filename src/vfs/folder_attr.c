/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is known of folders, by prefix.
 *
 * | a folder is | known | changed | shows                         | a listing of its placeholder |
 * |-------------|-------|---------|-------------------------------|---------------------------------|
 * | absent      |       |         | the mount's defaults          | makes it known | | bumped | no
 *| 0       | default mode; times from here | is taken over                   | | known       | yes
 *| 0       | what was listed; later times  | is taken over; its time only if | |             | | |
 *from here                     | somebody else set it            | | changed     | –     | ≠ 0 |
 *what was set here             | is ignored                      |
 *
 *	changed → known when the placeholder was put, → absent when that failed
 */
#include "folder_attr.h"

#include <stdlib.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/name.h"

#include "facts.h"
#include "keyq.h"
#include "later.h"

#define FOLDERS_MAX 20000

struct folder_attr {
	struct supafs_list lru;
	bool known;
	unsigned changed;         /* SUPAFS_META_… set here and not stored */
	unsigned stamp;           /* rises with each change */
	struct supafs_meta meta;  /* as shown */
	struct supafs_meta given; /* what the placeholder carries, as far as known */
	int64_t ctime_ns;         /* 0: never changed here */
	size_t n;
	char *prefix;
};

struct vfs_folders {
	struct supafs_mutex lock; /* all below */
	struct supafs_map *map;   /* by prefix */
	struct supafs_list lru;   /* oldest first */
};

static struct supafs_str prefix_of(const struct folder_attr *a)
{
	return (struct supafs_str){a->prefix, a->n};
}

static bool prefix_equal(const void *entry, const void *key)
{
	return supafs_str_eq(prefix_of(entry), *(const struct supafs_str *)key);
}

/* --- The table -----------------------------------------------------------------------------------
 */

static struct folder_attr *find_locked(struct vfs_folders *f, struct supafs_str prefix)
	SUPAFS_REQUIRES(f->lock);
static struct folder_attr *find_locked(struct vfs_folders *f, struct supafs_str prefix)
{
	return supafs_map_get(f->map, supafs_hash_str(prefix), &prefix);
}

static void drop_locked(struct vfs_folders *f, struct folder_attr *a) SUPAFS_REQUIRES(f->lock);
static void drop_locked(struct vfs_folders *f, struct folder_attr *a)
{
	const struct supafs_str prefix = prefix_of(a);

	(void)supafs_map_remove(f->map, supafs_hash_str(prefix), &prefix);
	supafs_list_remove(&a->lru);
	free(a->prefix);
	free(a);
}

static void touch_locked(struct vfs_folders *f, struct folder_attr *a) SUPAFS_REQUIRES(f->lock);
static void touch_locked(struct vfs_folders *f, struct folder_attr *a)
{
	supafs_list_remove(&a->lru);
	supafs_list_add_tail(&f->lru, &a->lru);
}

/* What is changed stays until it is stored; there are never many of those (later.h). */
static void shrink_locked(struct vfs_folders *f) SUPAFS_REQUIRES(f->lock);
static void shrink_locked(struct vfs_folders *f)
{
	supafs_list_for_each_safe (it, next, &f->lru) {
		struct folder_attr *a = supafs_list_entry(it, struct folder_attr, lru);

		if (supafs_map_count(f->map) < FOLDERS_MAX)
			return;
		if (a->changed == 0)
			drop_locked(f, a);
	}
}

static struct folder_attr *obtain_locked(struct vfs_folders *f, struct supafs_str prefix)
	SUPAFS_REQUIRES(f->lock);
static struct folder_attr *obtain_locked(struct vfs_folders *f, struct supafs_str prefix)
{
	struct folder_attr *a = find_locked(f, prefix);

	if (a) {
		touch_locked(f, a);
		return a;
	}
	shrink_locked(f);
	a = calloc(1, sizeof(*a));
	if (!a)
		return NULL;
	a->n = prefix.n;
	a->prefix = supafs_str_dup(prefix);
	if (!a->prefix || supafs_map_add(f->map, supafs_hash_str(prefix), &prefix, a) != 0) {
		free(a->prefix);
		free(a);
		return NULL;
	}
	supafs_list_add_tail(&f->lru, &a->lru);
	return a;
}

/* --- Learning ------------------------------------------------------------------------------------
 */

static void learn_locked(struct folder_attr *a, const struct supafs_meta *meta)
{
	const struct supafs_meta shown = a->meta, old = a->given;
	bool later;

	if (a->changed)
		return;
	a->known = true;
	a->given = a->meta = *meta;
	if (!(shown.has & SUPAFS_META_MTIME))
		return;
	/* What was done in it here since it was stored is newer than that. */
	if (old.has & meta->has & SUPAFS_META_MTIME)
		later = old.mtime_ns == meta->mtime_ns;
	else
		later = !(meta->has & SUPAFS_META_MTIME) || shown.mtime_ns > meta->mtime_ns;
	if (later) {
		a->meta.mtime_ns = shown.mtime_ns;
		a->meta.has |= SUPAFS_META_MTIME;
	}
}

/* The catalog has listed a placeholder; its lock is held. */
static void on_placeholder(void *ctx, struct supafs_str prefix, const struct supafs_meta *meta)
{
	struct supafs_vfs *v = ctx;
	struct folder_attr *a;

	SUPAFS_SCOPED_LOCK(&v->folders->lock);
	a = find_locked(v->folders, prefix);
	if (!a && (meta->has & SUPAFS_META_ALL))
		a = obtain_locked(v->folders, prefix);
	if (a)
		learn_locked(a, meta);
}

int vfs_folders_new(struct supafs_vfs *v, struct vfs_folders **ret_f)
{
	struct vfs_folders *f = calloc(1, sizeof(*f));
	int r;

	if (!f)
		return -ENOMEM;
	r = supafs_map_new(prefix_equal, &f->map);
	if (r != 0) {
		free(f);
		return r;
	}
	supafs_mutex_init(&f->lock);
	supafs_list_init(&f->lru);
	*ret_f = f;
	supafs_catalog_on_placeholder(v->cfg.catalog, on_placeholder, v);
	return 0;
}

struct vfs_folders *vfs_folders_free(struct supafs_vfs *v, struct vfs_folders *f)
{
	if (!f)
		return NULL;
	supafs_catalog_on_placeholder(v->cfg.catalog, NULL, NULL);
	{
		SUPAFS_SCOPED_LOCK(&f->lock);
		supafs_list_for_each_safe (it, next, &f->lru)
			drop_locked(f, supafs_list_entry(it, struct folder_attr, lru));
	}
	f->map = supafs_map_free(f->map);
	supafs_mutex_fini(&f->lock);
	free(f);
	return NULL;
}

static bool is_root(const struct vfs_key *dir)
{
	return dir->n == dir->root_n;
}

static int placeholder_key(const struct vfs_key *dir, struct vfs_key *ret)
{
	const struct supafs_str name = SUPAFS_STR(SUPAFS_PLACEHOLDER);

	if (dir->n + name.n > SUPAFS_KEY_MAX)
		return -ENAMETOOLONG;
	*ret = *dir;
	memcpy(ret->p + dir->n, name.p, name.n);
	ret->n += name.n;
	return 0;
}

/* What the placeholder carries; none: nothing. */
static int ask(struct supafs_vfs *v, struct supafs_call *call, const struct vfs_key *key,
	struct supafs_meta *ret, struct supafs_fault *fault)
{
	struct supafs_info info;
	struct supafs_meta plain;
	int r = v->cfg.store->ops->info(v->cfg.store, call, vfs_key_full(key), &info, fault);

	if (r != 0 && r != -ENOENT)
		return r;
	*ret = (struct supafs_meta){0};
	if (r == 0) {
		supafs_meta_parse_directives(supafs_str_of(info.cache_control), &plain, NULL);
		*ret = plain;
	}
	supafs_fault_clear(fault);
	return 0;
}

bool vfs_folder_known(struct supafs_vfs *v, const struct vfs_key *dir)
{
	const struct folder_attr *a;

	SUPAFS_SCOPED_LOCK(&v->folders->lock);
	a = find_locked(v->folders, vfs_key_full(dir));
	return is_root(dir) || (a && (a->known || a->changed));
}

bool vfs_folder_wanted(struct supafs_vfs *v, const struct vfs_key *dir)
{
	const struct folder_attr *a;

	if (!v->cfg.meta_info || is_root(dir))
		return false;
	SUPAFS_SCOPED_LOCK(&v->folders->lock);
	a = find_locked(v->folders, vfs_key_full(dir));
	return !a || (!a->known && a->changed == 0);
}

void vfs_folder_ask(struct supafs_vfs *v, struct supafs_call *call, const struct vfs_key *dir)
{
	struct supafs_fault fault = {0};
	struct supafs_meta meta;
	struct folder_attr *a;
	struct vfs_key key;

	if (placeholder_key(dir, &key) != 0 || ask(v, call, &key, &meta, &fault) != 0)
		return;
	SUPAFS_SCOPED_LOCK(&v->folders->lock);
	a = obtain_locked(v->folders, vfs_key_full(dir));
	if (a)
		learn_locked(a, &meta);
}

/* --- Showing -------------------------------------------------------------------------------------
 */

static struct timespec time_of(int64_t ns)
{
	struct timespec t = {ns / SUPAFS_NS_PER_S, (long)(ns % SUPAFS_NS_PER_S)};

	if (t.tv_nsec < 0) {
		t.tv_sec--;
		t.tv_nsec += SUPAFS_NS_PER_S;
	}
	return t;
}

void vfs_folder_show(struct supafs_vfs *v, const struct vfs_key *dir, struct stat *st)
{
	const struct folder_attr *a;

	SUPAFS_SCOPED_LOCK(&v->folders->lock);
	a = find_locked(v->folders, vfs_key_full(dir));
	if (!a)
		return;
	if (a->meta.has & SUPAFS_META_MODE)
		st->st_mode = S_IFDIR | (a->meta.mode & 07777);
	if (a->meta.has & SUPAFS_META_UID)
		st->st_uid = a->meta.uid;
	if (a->meta.has & SUPAFS_META_GID)
		st->st_gid = a->meta.gid;
	if (a->meta.has & SUPAFS_META_MTIME)
		st->st_mtim = st->st_atim = time_of(a->meta.mtime_ns);
	if (a->ctime_ns)
		st->st_ctim = time_of(a->ctime_ns);
}

void vfs_folder_meta(struct supafs_vfs *v, const struct vfs_key *dir, struct supafs_meta *ret_meta)
{
	const struct folder_attr *a;

	SUPAFS_SCOPED_LOCK(&v->folders->lock);
	a = v->cfg.store_meta ? find_locked(v->folders, vfs_key_full(dir)) : NULL;
	*ret_meta = a ? a->meta : (struct supafs_meta){0};
}

/* --- Changing ------------------------------------------------------------------------------------
 */

static unsigned change_meta(struct supafs_meta *m, const struct supafs_setattr *set)
{
	unsigned bits = 0;

	if (set->which & SUPAFS_SET_MODE) {
		m->mode = set->mode & 07777;
		bits |= SUPAFS_META_MODE;
	}
	if (set->which & SUPAFS_SET_UID) {
		m->uid = set->uid;
		bits |= SUPAFS_META_UID;
	}
	if (set->which & SUPAFS_SET_GID) {
		m->gid = set->gid;
		bits |= SUPAFS_META_GID;
	}
	if (set->which & SUPAFS_SET_MTIME) {
		m->mtime_ns = set->mtime_ns;
		bits |= SUPAFS_META_MTIME;
	}
	m->has |= bits;
	return bits;
}

static bool meta_same(const struct supafs_meta *a, const struct supafs_meta *b)
{
	if ((a->has ^ b->has) & SUPAFS_META_ALL)
		return false;
	return (!(a->has & SUPAFS_META_MODE) || a->mode == b->mode) &&
	       (!(a->has & SUPAFS_META_UID) || a->uid == b->uid) &&
	       (!(a->has & SUPAFS_META_GID) || a->gid == b->gid) &&
	       (!(a->has & SUPAFS_META_MTIME) || a->mtime_ns == b->mtime_ns);
}

int vfs_folder_set(struct supafs_vfs *v, struct vfs_node *node, const struct supafs_setattr *set)
{
	struct folder_attr *a;
	struct vfs_key dir;
	int r = vfs_node_dir(v, node, &dir);

	if (r != 0)
		return r == -ENOENT ? 0 : r;
	{
		SUPAFS_SCOPED_LOCK(&v->folders->lock);
		a = obtain_locked(v->folders, vfs_key_full(&dir));
		if (!a)
			return -ENOMEM;
		a->ctime_ns = v->cfg.clock->wall_ns(v->cfg.clock);
		a->changed |= change_meta(&a->meta, set);
		a->stamp++;
		if (a->known && meta_same(&a->meta, &a->given))
			a->changed = 0;
		if (is_root(&dir) || !v->cfg.store_meta)
			a->changed = 0;
		if (a->changed == 0)
			return 0;
	}
	(void)vfs_later_add(v, node); /* no room: goes with its next change */
	return 0;
}

void vfs_folder_changed(struct supafs_vfs *v, const struct vfs_key *dir)
{
	const int64_t now = v->cfg.clock->wall_ns(v->cfg.clock);
	struct folder_attr *a;

	SUPAFS_SCOPED_LOCK(&v->folders->lock);
	a = obtain_locked(v->folders, vfs_key_full(dir));
	if (!a)
		return;
	a->ctime_ns = a->meta.mtime_ns = now;
	a->meta.has |= SUPAFS_META_MTIME;
	a->changed &= ~(unsigned)SUPAFS_META_MTIME;
	a->stamp++;
}

void vfs_folder_touched(struct supafs_vfs *v, const struct vfs_node *node)
{
	struct vfs_key dir;

	if (vfs_node_dir(v, node, &dir) == 0)
		vfs_folder_changed(v, &dir);
}

void vfs_folder_born(
	struct supafs_vfs *v, const struct vfs_key *dir, const struct supafs_meta *meta)
{
	struct folder_attr *a;

	SUPAFS_SCOPED_LOCK(&v->folders->lock);
	a = obtain_locked(v->folders, vfs_key_full(dir));
	if (!a)
		return;
	a->known = true;
	a->changed = 0;
	a->stamp++;
	a->meta = a->given = *meta;
	a->ctime_ns = v->cfg.clock->wall_ns(v->cfg.clock);
}

void vfs_folder_gone(struct supafs_vfs *v, const struct vfs_key *dir)
{
	struct folder_attr *a;

	SUPAFS_SCOPED_LOCK(&v->folders->lock);
	a = find_locked(v->folders, vfs_key_full(dir));
	if (a)
		drop_locked(v->folders, a);
}

/* Gives it another prefix. False when it cannot have it: then it is in the table no more. */
static bool rekey_locked(struct vfs_folders *f, struct folder_attr *a, struct supafs_str prefix)
	SUPAFS_REQUIRES(f->lock);
static bool rekey_locked(struct vfs_folders *f, struct folder_attr *a, struct supafs_str prefix)
{
	const struct supafs_str old = prefix_of(a);
	char *text = supafs_str_dup(prefix);

	(void)supafs_map_remove(f->map, supafs_hash_str(old), &old);
	if (!text || find_locked(f, prefix)) {
		free(text);
		return false;
	}
	free(a->prefix);
	a->prefix = text;
	a->n = prefix.n;
	return supafs_map_add(f->map, supafs_hash_str(prefix), &prefix, a) == 0;
}

static void move_locked(struct vfs_folders *f, struct folder_attr *a, const struct vfs_key *from,
	const struct vfs_key *to) SUPAFS_REQUIRES(f->lock);
static void move_locked(struct vfs_folders *f, struct folder_attr *a, const struct vfs_key *from,
	const struct vfs_key *to)
{
	const size_t rest = a->n - from->n;
	char prefix[2 * SUPAFS_KEY_MAX];

	memcpy(prefix, to->p, to->n);
	memcpy(prefix + to->n, a->prefix + from->n, rest);
	if (rekey_locked(f, a, (struct supafs_str){prefix, to->n + rest}))
		return;
	supafs_list_remove(&a->lru);
	free(a->prefix);
	free(a);
}

void vfs_folder_moved(struct supafs_vfs *v, const struct vfs_key *from, const struct vfs_key *to)
{
	struct vfs_folders *f = v->folders;

	vfs_folder_gone(v, to); /* what is replaced was empty */
	SUPAFS_SCOPED_LOCK(&f->lock);
	supafs_list_for_each_safe (it, next, &f->lru) {
		struct folder_attr *a = supafs_list_entry(it, struct folder_attr, lru);

		if (supafs_str_starts(prefix_of(a), vfs_key_full(from)))
			move_locked(f, a, from, to);
	}
}

/* --- Storing -------------------------------------------------------------------------------------
 */

/* What is to be stored, and what was there when it was looked at. */
struct storing {
	unsigned changed, stamp;
	bool known;
	struct supafs_meta meta, given;
};

static bool begin_store(struct supafs_vfs *v, const struct vfs_key *dir, struct storing *s)
{
	const struct folder_attr *a;

	SUPAFS_SCOPED_LOCK(&v->folders->lock);
	a = find_locked(v->folders, vfs_key_full(dir));
	if (!a || a->changed == 0)
		return false;
	*s = (struct storing){a->changed, a->stamp, a->known, a->meta, a->given};
	return true;
}

static void end_store(
	struct supafs_vfs *v, const struct vfs_key *dir, const struct storing *s, int r)
{
	struct folder_attr *a;

	SUPAFS_SCOPED_LOCK(&v->folders->lock);
	a = find_locked(v->folders, vfs_key_full(dir));
	if (!a)
		return;
	if (r != 0) {
		drop_locked(v->folders, a);
		return;
	}
	a->known = true;
	a->given = s->meta;
	if (a->stamp != s->stamp)
		return; /* changed meanwhile: waits already */
	a->changed = 0;
	a->meta = s->meta;
}

/* Takes what was not set here from what the placeholder carries. */
static void merge(struct storing *s)
{
	const struct supafs_meta set = s->meta;

	s->meta = s->given;
	s->meta.has |= s->changed;
	if (s->changed & SUPAFS_META_MODE)
		s->meta.mode = set.mode;
	if (s->changed & SUPAFS_META_UID)
		s->meta.uid = set.uid;
	if (s->changed & SUPAFS_META_GID)
		s->meta.gid = set.gid;
	if (set.has & SUPAFS_META_MTIME) { /* also when only what is in it has changed */
		s->meta.mtime_ns = set.mtime_ns;
		s->meta.has |= SUPAFS_META_MTIME;
	}
}

static int store(struct supafs_vfs *v, struct supafs_call *call, const struct vfs_key *key,
	struct storing *s, struct supafs_fault *fault)
{
	int r = s->known ? 0 : ask(v, call, key, &s->given, fault);

	if (r != 0)
		return r;
	merge(s);
	if (meta_same(&s->meta, &s->given))
		return 0;

	const struct supafs_put_args args = {.key = vfs_key_full(key), .meta = s->meta};
	unsigned char id[16];

	return v->cfg.store->ops->put(v->cfg.store, call, &args, id, fault);
}

int vfs_folder_send(struct supafs_vfs *v, struct supafs_call *call, struct vfs_node *node,
	struct supafs_fault *fault)
{
	struct vfs_key dir, now, key;
	struct vfs_ticket t;
	struct storing s;
	int r = vfs_node_dir(v, node, &dir);

	if (r == 0)
		r = placeholder_key(&dir, &key);
	if (r == 0)
		r = vfs_keyq_enter(
			v->keyq, call, &t, vfs_key_full(&key), (struct supafs_str){NULL, 0});
	if (r != 0)
		return r == -ENOENT ? 0 : r; /* removed */
	r = vfs_node_dir(v, node, &now);
	if (r == 0 && !vfs_key_same(&now, &dir))
		r = vfs_later_add(v, node); /* renamed meanwhile */
	else if (r == 0 && begin_store(v, &dir, &s)) {
		r = store(v, call, &key, &s, fault);
		if (r == 0)
			supafs_catalog_keeper(v->cfg.catalog, vfs_key_rel(&dir), true);
		end_store(v, &dir, &s, r);
	}
	vfs_keyq_leave(v->keyq, &t);
	return r == -ENOENT ? 0 : r;
}
