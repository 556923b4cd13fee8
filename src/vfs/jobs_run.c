/* SPDX-License-Identifier: Apache-2.0 */
/* Journaled jobs: what they do. When: jobs.c. */
#include <stdlib.h>
#include <string.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/log.h"
#include "supafs/util/name.h"

#include "content.h"
#include "jobs_priv.h"
#include "ops.h"

#define SHOWN UINT64_MAX /* instead of a change: the view was not told */

/* --- Keys ----------------------------------------------------------------------------------------
 */

static int key_set(const struct supafs_vfs *v, struct supafs_str text, struct vfs_key *ret)
{
	if (text.n > SUPAFS_KEY_MAX || !supafs_str_starts(text, v->cfg.root))
		return -EILSEQ;
	ret->root_n = v->cfg.root.n;
	ret->n = text.n;
	if (text.n)
		memcpy(ret->p, text.p, text.n);
	ret->p[text.n] = '\0';
	return 0;
}

/* The name that a key shows as, in its folder. */
static int place_of(const struct vfs_key *key, struct vfs_place *ret)
{
	const bool folder = key->n > key->root_n && key->p[key->n - 1] == '/';
	size_t end = key->n - folder, from = end;
	char name[SUPAFS_NAME_MAX + 1];
	struct vfs_key dir;
	ssize_t n;

	while (from > key->root_n && key->p[from - 1] != '/')
		from--;
	if (from == end)
		return -EILSEQ;
	dir = (struct vfs_key){.root_n = key->root_n, .n = from};
	memcpy(dir.p, key->p, from);

	const struct supafs_str seg = {key->p + from, end - from};

	n = supafs_name_decode(seg, name, SUPAFS_NAME_MAX);
	if (n < 0)
		return -EILSEQ;
	return vfs_place_set(ret, &dir, (struct supafs_str){name, (size_t)n}, seg, folder);
}

/* --- A folder's rename ---------------------------------------------------------------------------
 */

static int init_rename(struct vfs_task *t)
{
	struct supafs_attr attr = {.folder = true, .modified_ns = t->v->born_ns};
	struct vfs_place from, to;
	int r = place_of(&t->from, &from);

	if (r == 0)
		r = place_of(&t->to, &to);
	if (r != 0)
		return r;
	attr.ino = supafs_catalog_ino(t->v->cfg.catalog);
	vfs_keyq_queue(t->v->keyq, &t->ticket, vfs_key_full(&t->from), vfs_key_full(&t->to));
	t->ticketed = true;
	t->from_id = vfs_view_leaving(t->v, &from);
	t->to_id = vfs_view_pending(t->v, &to, &attr);
	return 0;
}

static int run_rename(struct vfs_task *t, struct supafs_call *call, struct supafs_fault *fault)
{
	int r = vfs_keyq_turn(t->v->keyq, call, &t->ticket);

	return r == 0 ? vfs_rename_rest(t->v, call, &t->from, &t->to, fault) : r;
}

static void end_rename(struct vfs_task *t, int r)
{
	struct supafs_catalog *cat = t->v->cfg.catalog;
	struct vfs_place from, to;

	if (place_of(&t->from, &from) == 0 && place_of(&t->to, &to) == 0) {
		if (r == 0) {
			vfs_view_ack(t->v, &from, t->from_id, NULL);
			vfs_view_ack(t->v, &to, t->to_id, NULL);
		} else {
			vfs_view_undo(t->v, &from, t->from_id);
			vfs_view_undo(t->v, &to, t->to_id);
		}
	}
	supafs_catalog_drop(cat, vfs_key_rel(&t->from), true);
	supafs_catalog_drop(cat, vfs_key_rel(&t->to), true);
}

/* --- A source that is to go ----------------------------------------------------------------------
 */

/* Is something of ours on its way to the key? */
static bool local_at(struct supafs_vfs *v, const struct vfs_key *key)
{
	struct vfs_node *node;
	struct vfs_place place;
	size_t pos = 0;

	SUPAFS_SCOPED_LOCK(&v->ns);
	while ((node = supafs_map_next(v->by_id, &pos)) != NULL)
		if (node->content && vfs_content_is_local(node->content) &&
			vfs_node_place_locked(v, node, &place) == 0 &&
			vfs_key_same(&place.key, key))
			return true;
	return false;
}

/* Has the target the source's content? */
static bool is_copy(
	const struct vfs_task *t, const struct supafs_info *from, const struct supafs_info *to)
{
	if (t->flags & SUPAFS_JOURNAL_UPLOADED)
		return t->nonce[0] && strcmp(to->nonce, t->nonce) == 0;
	if (from->version.size != to->version.size)
		return false;
	return (from->nonce[0] && strcmp(from->nonce, to->nonce) == 0) ||
	       supafs_version_same(&from->version, &to->version);
}

/* 1: the source goes; 0: there is nothing to do any more; or -errno. */
static int source_goes(struct vfs_task *t, struct supafs_call *call, struct supafs_fault *fault)
{
	struct supafs_store *store = t->v->cfg.store;
	supafs_autofree struct supafs_info *info = calloc(2, sizeof(*info));
	int r = info ? 0 : -ENOMEM;

	if (r == 0)
		r = store->ops->info(store, call, vfs_key_full(&t->from), &info[0], fault);
	if (r == 0 && !vfs_version_alike(&info[0].version, &t->base))
		return 0;
	if (r == 0 && (t->flags & SUPAFS_JOURNAL_SENT))
		return 1;
	if (r == 0 && local_at(t->v, &t->to))
		return -EAGAIN; /* its upload comes first */
	if (r == 0)
		r = store->ops->info(store, call, vfs_key_full(&t->to), &info[1], fault);
	if (r != 0)
		return r == -ENOENT ? 0 : r;
	return is_copy(t, &info[0], &info[1]);
}

static int run_replace(struct vfs_task *t, struct supafs_call *call, struct supafs_fault *fault)
{
	struct supafs_store *store = t->v->cfg.store;
	struct vfs_place place;
	struct vfs_ticket ticket;
	int r = vfs_keyq_enter(
		t->v->keyq, call, &ticket, vfs_key_full(&t->from), vfs_key_full(&t->to));

	if (r != 0)
		return r;
	r = source_goes(t, call, fault);
	if (r == 1)
		r = store->ops->remove(store, call, vfs_key_full(&t->from), fault);
	if (r == -ENOENT)
		r = 0;
	if (r == 0 && place_of(&t->from, &place) == 0) {
		if (t->from_id)
			vfs_view_undo(t->v, &place, t->from_id);
		else
			vfs_view_forget(t->v, &place);
		t->from_id = 0;
	}
	vfs_keyq_leave(t->v->keyq, &ticket);
	return r;
}

/* Left over from an operation that has told the new name already: the old one is not shown. */
static void init_replace(struct vfs_task *t)
{
	struct vfs_place place;

	if ((t->flags & SUPAFS_JOURNAL_SENT) && place_of(&t->from, &place) == 0)
		t->from_id = vfs_view_leaving(t->v, &place);
}

static void end_replace(struct vfs_task *t)
{
	struct vfs_place place;

	if (t->from_id && place_of(&t->from, &place) == 0)
		vfs_view_undo(t->v, &place, t->from_id);
}

/* --- Two names that were exchanged ---------------------------------------------------------------
 */

static int run_exchange(struct vfs_task *t, struct supafs_call *call, struct supafs_fault *fault)
{
	struct vfs_place from, to;
	const struct vfs_exchange_left left = {&from, &to, t->since_ns};
	int r = place_of(&t->from, &from);

	if (r == 0)
		r = place_of(&t->to, &to);
	if (r != 0)
		return r;
	/* A step of it was cut short as well: until that is done, what is there says nothing. */
	if (vfs_jobs_renaming(t->v))
		return -EAGAIN;
	return vfs_exchange_rest(t->v, call, &left, fault);
}

/* --- Deletes -------------------------------------------------------------------------------------
 */

/* One name of a record, while it is looked at. */
struct victim {
	struct supafs_journal_delete d;
	size_t change;
	bool listed, alike, gone;
};

struct victims {
	struct vfs_task *t;
	struct victim *p; /* by stored segment */
	size_t n;
};

static int by_seg(const void *a, const void *b)
{
	const struct victim *x = a, *y = b;

	return supafs_str_cmp(x->d.seg, y->d.seg);
}

static void victims_fini(struct victims *vs)
{
	free(vs->p);
}

static int collect(struct vfs_task *t, struct victims *ret)
{
	const struct supafs_str list = supafs_buf_str(&t->deletes);
	struct supafs_journal_delete d;
	size_t pos = 0, n = 0;

	ret->t = t;
	while (supafs_journal_delete_next(list, &pos, &d))
		n++;
	ret->p = calloc(n ? n : 1, sizeof(*ret->p));
	if (!ret->p)
		return -ENOMEM;
	for (pos = 0; supafs_journal_delete_next(list, &pos, &d); ret->n++)
		ret->p[ret->n] = (struct victim){.d = d, .change = ret->n};
	qsort(ret->p, ret->n, sizeof(*ret->p), by_seg);
	return 0;
}

/* As with our own uploads: an overwrite keeps the object's id, so size and times decide. */
static bool same_object(const struct supafs_journal_delete *d, const struct supafs_entry *e)
{
	if (!vfs_version_alike(&d->version, &e->version))
		return false;
	if (d->version.etag[0] || !d->mtime_ns || !(e->meta.has & SUPAFS_META_MTIME))
		return true;
	return e->meta.mtime_ns == d->mtime_ns;
}

static int on_listed(void *ctx, const struct supafs_entry *e)
{
	struct victims *vs = ctx;
	const size_t dir_n = vs->t->to.n;
	struct victim key, *found;

	if (e->key.n < dir_n || e->folder)
		return 0;
	key.d.seg = (struct supafs_str){e->key.p + dir_n, e->key.n - dir_n};
	if (supafs_str_cmp(key.d.seg, vs->p[vs->n - 1].d.seg) > 0)
		return -ECANCELED; /* in key order: none of ours can follow */
	found = bsearch(&key, vs->p, vs->n, sizeof(*vs->p), by_seg);
	/* The same name can be there twice: deleted, made again, deleted again. */
	while (found && found > vs->p && by_seg(found - 1, &key) == 0)
		found--;
	for (; found && found < vs->p + vs->n && by_seg(found, &key) == 0; found++) {
		found->listed = true;
		found->alike = same_object(&found->d, e);
	}
	return 0;
}

/* What the server has of the names; all of them may be in one part of a large folder. */
static int list_victims(struct victims *vs, struct supafs_call *call, struct supafs_fault *fault)
{
	supafs_autofree struct supafs_cursor *cursor = calloc(1, sizeof(*cursor));
	struct supafs_store *store = vs->t->v->cfg.store;
	const struct supafs_str first = vs->p[0].d.seg, last = vs->p[vs->n - 1].d.seg;
	struct vfs_key prefix = vs->t->to;
	const struct supafs_list_args args = {.prefix = {prefix.p, 0},
		.delimiter = true,
		.limit = SUPAFS_PAGE_LIMIT,
		.on_entry = on_listed,
		.ctx = vs};
	struct supafs_list_args with = args;
	bool more = true;
	int r = cursor ? 0 : -ENOMEM;

	for (size_t i = 0;
		i < first.n && i < last.n && first.p[i] == last.p[i] && prefix.n < SUPAFS_KEY_MAX;
		i++)
		prefix.p[prefix.n++] = first.p[i];
	with.prefix.n = prefix.n;
	for (size_t i = 0; i < vs->n; i++)
		vs->p[i].listed = vs->p[i].alike = vs->p[i].gone = false;
	while (r == 0 && more)
		r = store->ops->list(store, call, &with, cursor, &more, fault);
	return r == -ECANCELED ? 0 : r;
}

/* One request's worth, from *at on. */
static int remove_some(
	struct victims *vs, struct supafs_call *call, size_t *at, struct supafs_fault *fault)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf text;
	const struct vfs_key *dir = &vs->t->to;
	struct supafs_store *store = vs->t->v->cfg.store;
	struct supafs_str keys[SUPAFS_DELETE_BATCH];
	struct victim *who[SUPAFS_DELETE_BATCH];
	bool gone[SUPAFS_DELETE_BATCH] = {false};
	size_t n = 0, from = 0;
	int r;

	supafs_buf_init(&text, (size_t)SUPAFS_DELETE_BATCH * SUPAFS_KEY_MAX);
	for (; *at < vs->n && n < SUPAFS_DELETE_BATCH; ++*at) {
		struct victim *it = &vs->p[*at];

		if (!it->alike || dir->n + it->d.seg.n > SUPAFS_KEY_MAX)
			continue;
		(void)supafs_buf_addstr(&text, vfs_key_full(dir));
		(void)supafs_buf_addstr(&text, it->d.seg);
		keys[n] = (struct supafs_str){NULL, dir->n + it->d.seg.n};
		who[n++] = it;
	}
	if (n == 0 || supafs_buf_error(&text) != 0)
		return supafs_buf_error(&text);
	for (size_t i = 0; i < n; i++) {
		keys[i].p = text.p + from;
		from += keys[i].n;
	}
	r = store->ops->remove_many(store, call, keys, n, gone, fault);
	for (size_t i = 0; r == 0 && i < n; i++)
		who[i]->gone = gone[i];
	return r;
}

static int remove_alike(struct victims *vs, struct supafs_call *call, struct supafs_fault *fault)
{
	int r = 0;

	for (size_t at = 0; r == 0 && at < vs->n;)
		r = remove_some(vs, call, &at, fault);
	return r;
}

static void tell_refused(const struct vfs_task *t, const struct victim *it)
{
	supafs_log(SUPAFS_LOG_ERROR, "\"%.*s%.*s\" was not deleted: the server refused it",
		SUPAFS_STR_FMT(vfs_key_rel(&t->to)), SUPAFS_STR_FMT(it->d.seg));
}

/* Absent is confirmed; what is another version by now, or was refused, is shown again. */
static void settle_victims(struct victims *vs)
{
	struct vfs_task *t = vs->t;
	struct vfs_place place;

	for (size_t i = 0; i < vs->n; i++) {
		struct victim *it = &vs->p[i];
		const bool refused = it->listed && it->alike && !it->gone;

		if (t->changes[it->change] == SHOWN ||
			vfs_place_set(&place, &t->to, it->d.name, it->d.seg, false) != 0)
			continue;
		if (refused)
			tell_refused(t, it);
		if (refused || (it->listed && !it->alike))
			vfs_view_undo(t->v, &place, t->changes[it->change]);
		else
			vfs_view_ack(t->v, &place, t->changes[it->change], NULL);
	}
}

static int run_deletes(struct vfs_task *t, struct supafs_call *call, struct supafs_fault *fault)
{
	supafs_cleanup(victims_fini) struct victims vs = {.p = NULL};
	struct vfs_ticket ticket;
	int r = collect(t, &vs);

	if (r != 0 || vs.n == 0)
		return r;
	r = vfs_keyq_enter(
		t->v->keyq, call, &ticket, vfs_key_full(&t->to), (struct supafs_str){NULL, 0});
	if (r != 0)
		return r;
	r = list_victims(&vs, call, fault);
	if (r == 0)
		r = vfs_keep_folder(t->v, call, &t->to, 0, true, fault);
	if (r == 0)
		r = remove_alike(&vs, call, fault);
	if (r == 0)
		settle_victims(&vs);
	vfs_keyq_leave(t->v->keyq, &ticket);
	return r;
}

/* A name that something of ours is on its way to was made again: it is not hidden. */
static void skip_made_again(struct vfs_task *t)
{
	const struct supafs_str list = supafs_buf_str(&t->deletes);
	struct supafs_journal_delete d;
	struct vfs_node *node;
	struct vfs_place place;
	size_t at = 0;

	SUPAFS_SCOPED_LOCK(&t->v->ns);
	while ((node = supafs_map_next(t->v->by_id, &at)) != NULL) {
		if (!node->content || !vfs_content_is_local(node->content) ||
			vfs_node_place_locked(t->v, node, &place) != 0 ||
			!vfs_key_same(&place.dir, &t->to))
			continue;
		for (size_t pos = 0, n = 0; supafs_journal_delete_next(list, &pos, &d); n++)
			if (supafs_str_eq(d.seg, (struct supafs_str){place.seg, place.seg_n}))
				t->changes[n] = SHOWN;
	}
}

static int init_deletes(struct vfs_task *t, struct supafs_str list)
{
	struct supafs_journal_delete d;
	struct vfs_place place;
	size_t pos = 0, n = 0;

	supafs_buf_init(&t->deletes, list.n + 1);
	while (supafs_journal_delete_next(list, &pos, &d))
		n++;
	t->changes = calloc(n ? n : 1, sizeof(*t->changes));
	if (!t->changes || supafs_buf_addstr(&t->deletes, list) != 0)
		return -ENOMEM;
	skip_made_again(t);
	n = 0;
	for (pos = 0; supafs_journal_delete_next(list, &pos, &d); n++)
		if (t->changes[n] != SHOWN &&
			vfs_place_set(&place, &t->to, d.name, d.seg, false) == 0)
			t->changes[n] = vfs_view_leaving(t->v, &place);
	return 0;
}

/* Given up: whatever is there comes back. */
static void end_deletes(struct vfs_task *t)
{
	struct supafs_journal_delete d;
	struct vfs_place place;
	size_t pos = 0;

	for (size_t n = 0; supafs_journal_delete_next(supafs_buf_str(&t->deletes), &pos, &d); n++)
		if (t->changes[n] != SHOWN &&
			vfs_place_set(&place, &t->to, d.name, d.seg, false) == 0)
			vfs_view_undo(t->v, &place, t->changes[n]);
}

/* --- All of them ---------------------------------------------------------------------------------
 */

int vfs_task_init(struct supafs_vfs *v, struct vfs_task *t, const struct supafs_journal_record *rec)
{
	int r = key_set(v, rec->key, &t->to);

	t->v = v;
	t->kind = rec->kind;
	t->flags = rec->flags;
	t->base = rec->base;
	t->since_ns = rec->since_ns;
	memcpy(t->id, rec->id, sizeof(t->id));
	memcpy(t->nonce, rec->nonce.n ? rec->nonce.p : "",
		rec->nonce.n <= SUPAFS_NONCE_MAX ? rec->nonce.n : 0);
	if (r == 0 && rec->kind != SUPAFS_JOURNAL_DELETE)
		r = key_set(v, rec->from, &t->from);
	if (r != 0)
		return r;
	switch (rec->kind) {
	case SUPAFS_JOURNAL_RENAME_DIR:
		return init_rename(t);
	case SUPAFS_JOURNAL_REPLACE:
		init_replace(t);
		return 0;
	case SUPAFS_JOURNAL_EXCHANGE:
		return 0;
	case SUPAFS_JOURNAL_DELETE:
		r = init_deletes(t, rec->deletes);
		if (r != 0)
			vfs_task_fini(t);
		return r;
	case SUPAFS_JOURNAL_CONTENT:
		break;
	}
	return -EILSEQ;
}

void vfs_task_fini(struct vfs_task *t)
{
	if (t->ticketed)
		vfs_keyq_leave(t->v->keyq, &t->ticket);
	t->ticketed = false;
	supafs_buf_fini(&t->deletes);
	free(t->changes);
}

int vfs_task_run(struct vfs_task *t, struct supafs_call *call, struct supafs_fault *fault)
{
	switch (t->kind) {
	case SUPAFS_JOURNAL_RENAME_DIR:
		return run_rename(t, call, fault);
	case SUPAFS_JOURNAL_REPLACE:
		return run_replace(t, call, fault);
	case SUPAFS_JOURNAL_DELETE:
		return run_deletes(t, call, fault);
	case SUPAFS_JOURNAL_EXCHANGE:
		return run_exchange(t, call, fault);
	case SUPAFS_JOURNAL_CONTENT:
		break;
	}
	return 0;
}

static void tell_given_up(const struct vfs_task *t, int r, const struct supafs_fault *fault)
{
	const struct supafs_str to = vfs_key_rel(&t->to), from = vfs_key_rel(&t->from);
	char text[300];

	supafs_fault_format(fault, text, sizeof(text));
	if (t->kind == SUPAFS_JOURNAL_DELETE)
		supafs_log(SUPAFS_LOG_ERROR, "files in \"%.*s\" were not deleted: %s (%s)",
			SUPAFS_STR_FMT(to), strerrordesc_np(-r), text);
	else if (t->kind == SUPAFS_JOURNAL_RENAME_DIR)
		supafs_log(SUPAFS_LOG_ERROR,
			"the rename of \"%.*s\" to \"%.*s\" could not be finished: %s (%s); what was not moved is under its old name",
			SUPAFS_STR_FMT(from), SUPAFS_STR_FMT(to), strerrordesc_np(-r), text);
	else if (t->kind == SUPAFS_JOURNAL_EXCHANGE)
		supafs_log(SUPAFS_LOG_ERROR,
			"the exchange of \"%.*s\" and \"%.*s\" could not be finished: %s (%s); one of them is beside the second one, under a name that begins with .supafs-exchange-: rename it",
			SUPAFS_STR_FMT(from), SUPAFS_STR_FMT(to), strerrordesc_np(-r), text);
	else
		supafs_log(SUPAFS_LOG_ERROR,
			"\"%.*s\" was renamed to \"%.*s\", but its old object could not be deleted: %s (%s)",
			SUPAFS_STR_FMT(from), SUPAFS_STR_FMT(to), strerrordesc_np(-r), text);
}

void vfs_task_end(struct vfs_task *t, int r, const struct supafs_fault *fault)
{
	if (r != 0)
		tell_given_up(t, r, fault);
	switch (t->kind) {
	case SUPAFS_JOURNAL_RENAME_DIR:
		end_rename(t, r);
		break;
	case SUPAFS_JOURNAL_REPLACE:
		end_replace(t);
		break;
	case SUPAFS_JOURNAL_DELETE:
		if (r != 0)
			end_deletes(t);
		break;
	case SUPAFS_JOURNAL_EXCHANGE:
	case SUPAFS_JOURNAL_CONTENT:
		break;
	}
}
