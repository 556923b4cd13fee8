/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an earlier process promised is taken up: each record of a content becomes a node with that
 * content in the view, and is sent like anything that was closed. That is so whatever the options
 * of this mount say: the promise was made by another one.
 *
 * Nothing here asks the server. A record whose key is not below this mount, or has no name, stays
 * where it is, for a mount that can show it.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/log.h"
#include "supafs/util/name.h"

#include "jobs.h"
#include "journal.h"
#include "queue.h"

/* A folder's rename that was half done: what lay below `from` is below `to`. */
struct moved {
	struct vfs_key from, to;
	struct moved *next;
};

struct replay {
	struct supafs_vfs *v;
	struct moved *moved, **end; /* the oldest first: a folder may have been moved twice */
	unsigned taken, left;
};

static void replay_fini(struct replay *rp)
{
	while (rp->moved) {
		struct moved *next = rp->moved->next;

		free(rp->moved);
		rp->moved = next;
	}
}

static int key_set(const struct supafs_vfs *v, struct supafs_str text, struct vfs_key *ret)
{
	if (text.n == 0 || text.n > SUPAFS_KEY_MAX || !supafs_str_starts(text, v->cfg.root))
		return -EILSEQ;
	ret->root_n = v->cfg.root.n;
	ret->n = text.n;
	memcpy(ret->p, text.p, text.n);
	ret->p[text.n] = '\0';
	return 0;
}

/* Where what had this key is now. True: elsewhere. */
static bool follow(const struct replay *rp, struct vfs_key *key)
{
	bool moved = false;

	for (const struct moved *m = rp->moved; m; m = m->next) {
		const size_t rest = key->n - m->from.n;

		if (!supafs_str_starts(vfs_key_full(key), vfs_key_full(&m->from)) ||
			m->to.n + rest > SUPAFS_KEY_MAX)
			continue;
		memmove(key->p + m->to.n, key->p + m->from.n, rest + 1);
		memcpy(key->p, m->to.p, m->to.n);
		key->n = m->to.n + rest;
		moved = true;
	}
	return moved;
}

/* --- The path ------------------------------------------------------------------------------------
 */

static int dirent_of(
	struct supafs_vfs *v, struct supafs_str seg, bool folder, struct supafs_dirent *ret)
{
	ssize_t n = supafs_name_decode(seg, ret->name, SUPAFS_NAME_MAX);

	if (n <= 0 || seg.n > SUPAFS_SEG_MAX)
		return -EILSEQ;
	ret->name_n = (size_t)n;
	ret->name[n] = '\0';
	ret->seg_n = seg.n;
	memcpy(ret->seg, seg.p, seg.n);
	ret->seg[seg.n] = '\0';
	ret->attr = (struct supafs_attr){.folder = folder};
	ret->attr.ino = supafs_catalog_ino(v->cfg.catalog);
	return 0;
}

/* Has every part of the key a name? */
static int check_path(struct supafs_vfs *v, const struct vfs_key *key)
{
	struct supafs_str rest = vfs_key_rel(key);
	struct supafs_dirent ent;

	for (;;) {
		const char *slash = memchr(rest.p, '/', rest.n);
		const size_t n = slash ? (size_t)(slash - rest.p) : rest.n;
		int r = dirent_of(v, (struct supafs_str){rest.p, n}, slash != NULL, &ent);

		if (r != 0 || !slash)
			return r;
		rest = (struct supafs_str){slash + 1, rest.n - n - 1};
	}
}

/* One step down: the folder's node, or the file's, with a reference. */
static int step(struct supafs_vfs *v, struct vfs_node *parent, struct supafs_str seg, bool folder,
	struct vfs_node **ret)
{
	struct supafs_dirent ent;
	struct vfs_place place;
	int r = dirent_of(v, seg, folder, &ent);

	if (r == 0)
		r = vfs_node_obtain(v, parent, &ent, 0, ret);
	/* The server may have nothing in it yet, but what is to come. */
	if (r == 0 && folder && vfs_node_place(v, *ret, &place) == 0)
		vfs_view_present(v, &place, &ent.attr);
	return r;
}

static int walk_path(struct supafs_vfs *v, const struct vfs_key *key, struct vfs_node **ret_node)
{
	struct supafs_str rest = vfs_key_rel(key);
	struct vfs_node *at = v->root, *next = NULL;
	int r = check_path(v, key);

	if (r != 0)
		return r;
	{
		SUPAFS_SCOPED_LOCK(&v->ns);
		vfs_node_ref_locked(at);
	}
	for (;;) {
		const char *slash = memchr(rest.p, '/', rest.n);
		const size_t n = slash ? (size_t)(slash - rest.p) : rest.n;

		r = step(v, at, (struct supafs_str){rest.p, n}, slash != NULL, &next);
		vfs_node_put(v, at);
		if (r != 0)
			return r;
		at = next;
		if (!slash)
			break;
		rest = (struct supafs_str){slash + 1, rest.n - n - 1};
	}
	*ret_node = at;
	return 0;
}

/* --- The content ---------------------------------------------------------------------------------
 */

static int set_strings_locked(struct vfs_content *c, const struct supafs_journal_record *rec)
{
	if (rec->user.n > 0)
		(void)supafs_buf_addstr(&c->user, rec->user);
	c->user_known = rec->user.n > 0 || !(rec->flags & SUPAFS_JOURNAL_REMOTE);
	if (rec->mime.n > 0)
		c->mime = supafs_str_dup(rec->mime);
	if (rec->cache_control.n > 0)
		c->cache_control = supafs_str_dup(rec->cache_control);
	if (supafs_buf_error(&c->user) || (rec->mime.n > 0 && !c->mime) ||
		(rec->cache_control.n > 0 && !c->cache_control))
		return -ENOMEM;
	return 0;
}

static void copy_text(struct supafs_str from, char *to, size_t size)
{
	const size_t n = from.n < size - 1 ? from.n : size - 1;

	if (n)
		memcpy(to, from.p, n);
	to[n] = '\0';
}

static int set_promise_locked(struct vfs_content *c, const struct supafs_journal_record *rec)
{
	struct vfs_promise *p = vfs_promise_of_locked(c);

	if (!p)
		return -ENOMEM;
	memcpy(p->id, rec->id, sizeof(p->id));
	p->stands = p->current = p->look = true;
	p->size = vfs_content_size_locked(c);
	p->meta = rec->meta;
	p->as = rec->flags & SUPAFS_JOURNAL_HELD ? VFS_HELD : VFS_QUEUED;
	p->since_ns = rec->since_ns;
	p->tries = rec->tries;
	p->error = rec->error;
	p->key_hash = supafs_hash_str(rec->key);
	copy_text(rec->text, p->text, sizeof(p->text));
	copy_text(rec->nonce, p->nonce, sizeof(p->nonce));
	if (rec->upload.n > 0)
		p->upload = supafs_str_dup(rec->upload);
	return 0;
}

static int set_reference(
	const struct supafs_vfs *v, const struct supafs_journal_record *rec, struct vfs_content *c)
{
	struct vfs_reference *ref = calloc(1, sizeof(*ref));

	if (!ref)
		return -ENOMEM;
	c->ref = ref;
	ref->version = rec->base;
	ref->n = rec->reference_n;
	return key_set(v, rec->from, &ref->key);
}

/* Not in any table yet: its lock is taken for the sake of the rule. */
static int fill_content(struct supafs_vfs *v, const struct vfs_key *key,
	const struct supafs_journal_record *rec, struct supafs_spool **spool, struct vfs_content *c)
{
	int r;

	SUPAFS_SCOPED_LOCK(&c->lock);
	c->meta = rec->meta;
	c->modified_ns = rec->meta.has & SUPAFS_META_MTIME ? rec->meta.mtime_ns : rec->since_ns;
	c->remote = (rec->flags & SUPAFS_JOURNAL_REMOTE) != 0;
	c->maybe_remote = (rec->flags & SUPAFS_JOURNAL_MAYBE_REMOTE) != 0;
	c->exclusive = (rec->flags & SUPAFS_JOURNAL_EXCLUSIVE) != 0;
	if (rec->flags & SUPAFS_JOURNAL_REFERENCE) {
		r = set_reference(v, rec, c);
	} else {
		c->version = rec->base;
		c->spool = supafs_steal(spool);
		r = supafs_spool_complete(c->spool)
			    ? 0
			    : supafs_content_get(
				      v->cfg.data, vfs_key_full(key), &c->version, &c->base);
	}
	if (r == 0)
		r = set_strings_locked(c, rec);
	return r == 0 ? set_promise_locked(c, rec) : r;
}

/* Of two records of one key the newer counts. What the other one promised was to be overwritten:
 * its file is found by the next start, and goes to lost+found. */
static bool outdated(
	struct supafs_vfs *v, struct vfs_node *node, const struct supafs_journal_record *rec)
{
	struct vfs_content *c = vfs_content_peek(v, node);
	bool older = false, has;

	if (!c)
		return false;
	{
		SUPAFS_SCOPED_LOCK(&c->lock);
		has = c->promise && c->promise->stands;
		older = has && rec->since_ns < c->promise->since_ns;
	}
	vfs_content_put(v, node);
	return older;
}

static void lose(struct supafs_vfs *v, const struct vfs_key *key, const char *id)
{
	supafs_log(SUPAFS_LOG_WARN,
		"two changes of \"%.*s\" are left of an earlier mount: the newer one is sent, the bytes of the other one go to lost+found at the next mount",
		SUPAFS_STR_FMT(vfs_key_rel(key)));
	(void)supafs_journal_remove(v->cfg.journal, id);
}

/* Makes room for a newer record's content. */
static struct vfs_content *take_content_locked(
	struct vfs_node *node, char ret_id[SUPAFS_JOURNAL_ID])
{
	struct vfs_content *c = node->content;

	if (!c)
		return NULL;
	SUPAFS_SCOPED_LOCK(&c->lock);
	if (c->promise && c->promise->stands)
		memcpy(ret_id, c->promise->id, SUPAFS_JOURNAL_ID);
	node->content = NULL;
	return supafs_steal(&c);
}

static int install(struct supafs_vfs *v, struct vfs_node *node, struct vfs_content *c, bool held,
	char ret_id[SUPAFS_JOURNAL_ID])
{
	struct vfs_content *old;
	int r;

	{
		SUPAFS_SCOPED_LOCK(&v->ns);
		old = take_content_locked(node, ret_id);
		node->content = c;
		node->symlink = (c->meta.has & SUPAFS_META_MODE) && S_ISLNK(c->meta.mode);
		SUPAFS_SCOPED_LOCK(&c->lock);
		vfs_content_set_state_locked(c, held ? VFS_HELD : VFS_QUEUED);
		r = vfs_content_announce_locked(v, node, c);
	}
	vfs_content_destroy(old);
	return r;
}

static int take_content(struct replay *rp, const struct supafs_journal_record *rec,
	const struct vfs_key *key, struct supafs_spool **spool, struct vfs_node *node)
{
	struct vfs_content *c = vfs_content_new(NULL);
	struct supafs_vfs *v = rp->v;
	char other[SUPAFS_JOURNAL_ID] = "";
	bool held = false;
	int r = c ? fill_content(v, key, rec, spool, c) : -ENOMEM;

	if (r != 0) {
		vfs_content_destroy(c);
		return r;
	}
	{
		SUPAFS_SCOPED_LOCK(&v->ns);
		held = (rec->flags & SUPAFS_JOURNAL_HELD) && vfs_name_temporary(v, node->name);
	}
	r = install(v, node, c, held, other);
	if (other[0])
		lose(v, key, other);
	return r;
}

static void leave(struct replay *rp, const struct supafs_journal_record *rec, int r)
{
	rp->left++;
	if (r == -EILSEQ)
		supafs_log(SUPAFS_LOG_WARN,
			"a change of \"%.*s\" is left of an earlier mount, and waits for a mount that has this key",
			SUPAFS_STR_FMT(rec->key));
	else
		supafs_log(SUPAFS_LOG_ERROR,
			"a change of \"%.*s\" is left of an earlier mount, and could not be taken up: %s",
			SUPAFS_STR_FMT(rec->key), strerrordesc_np(-r));
}

/* Nothing is wrong with the record, but something here: a mount that went on without it would show
 * what is older than what was promised, and a later close of that name would make a second record.
 */
static bool ends_the_mount(int r)
{
	return r == -ENOMEM || r == -EMFILE || r == -ENFILE || r == -EIO;
}

static int on_content(
	struct replay *rp, const struct supafs_journal_record *rec, struct supafs_spool *spool)
{
	struct supafs_vfs *v = rp->v;
	struct vfs_node *node = NULL;
	struct vfs_key key;
	bool elsewhere = false;
	int r = key_set(v, rec->key, &key);

	if (r == 0) {
		elsewhere = follow(rp, &key);
		r = walk_path(v, &key, &node);
	}
	if (r == 0 && outdated(v, node, rec))
		lose(v, &key, rec->id);
	else if (r == 0)
		r = take_content(rp, rec, &key, &spool, node);
	if (r == 0 && elsewhere)
		(void)vfs_promise_rekey(v, node, VFS_STATE__COUNT, true);
	if (r == 0)
		rp->taken++;
	else
		leave(rp, rec, r);
	vfs_node_put(v, node);
	(void)supafs_spool_free(spool); /* kept on disk, for the next mount */
	return ends_the_mount(r) ? r : 0;
}

static int on_rename(struct replay *rp, const struct supafs_journal_record *rec)
{
	struct moved *m = calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	if (key_set(rp->v, rec->from, &m->from) != 0 || key_set(rp->v, rec->key, &m->to) != 0) {
		free(m);
		return 0;
	}
	*rp->end = m;
	rp->end = &m->next;
	return 0;
}

static int on_record(void *ctx, const struct supafs_journal_record *rec, struct supafs_spool *spool)
{
	struct replay *rp = ctx;
	int r = 0;

	vfs_promise_since(rp->v, rec->since_ns);
	switch (rec->kind) {
	case SUPAFS_JOURNAL_CONTENT:
		return on_content(rp, rec, spool);
	case SUPAFS_JOURNAL_RENAME_DIR:
		r = on_rename(rp, rec);
		break;
	case SUPAFS_JOURNAL_REPLACE:
	case SUPAFS_JOURNAL_DELETE:
	case SUPAFS_JOURNAL_EXCHANGE:
		break;
	}
	return r == 0 ? vfs_jobs_take(rp->v, rec) : r;
}

/* Not before all are there: a newer record takes an older one's place. */
static void queue_all(struct supafs_vfs *v)
{
	struct vfs_node_list list = {NULL, 0};

	if (vfs_node_below(v, NULL, &list) != 0)
		return;
	for (size_t i = 0; i < list.n; i++)
		vfs_queue_look(v, list.p[i]);
	vfs_node_list_fini(v, &list);
}

int supafs_vfs_replay(struct supafs_vfs *v, unsigned *ret_n)
{
	supafs_cleanup(replay_fini) struct replay rp = {.v = v, .end = &rp.moved};
	int r = 0;

	if (v->cfg.journal)
		r = supafs_journal_walk(v->cfg.journal, on_record, &rp);
	if (r != 0)
		return r;
	queue_all(v);
	if (rp.taken > 0)
		supafs_log(SUPAFS_LOG_INFO,
			"%u changed files are left of an earlier mount: they are shown, and sent now",
			rp.taken);
	*ret_n = rp.taken;
	return 0;
}
