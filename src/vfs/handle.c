/* SPDX-License-Identifier: Apache-2.0 */
/* The table of handles. */
#include "handle.h"

#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>

static bool id_equal(const void *entry, const void *key)
{
	return ((const struct vfs_handle *)entry)->id == *(const uint64_t *)key;
}

int vfs_handles_init(struct supafs_vfs *v)
{
	v->next_fh = 1;
	return supafs_map_new(id_equal, &v->handles);
}

static void destroy(struct vfs_handle *h)
{
	supafs_cond_fini(&h->cond);
	supafs_mutex_fini(&h->lock);
	free(h);
}

int vfs_handle_new(struct supafs_vfs *v, struct vfs_node *node, struct vfs_content *c, int flags,
	struct vfs_handle **ret_h)
{
	struct vfs_handle *h = calloc(1, sizeof(*h));
	int r;

	if (!h)
		return -ENOMEM;
	supafs_mutex_init(&h->lock);
	supafs_cond_init(&h->cond);
	h->node = node;
	h->c = c;
	h->refs = 1;
	h->writable = (flags & O_ACCMODE) != O_RDONLY;
	h->readable = (flags & O_ACCMODE) != O_WRONLY;
	h->append = (flags & O_APPEND) != 0;
	{
		SUPAFS_SCOPED_LOCK(&v->handles_lock);
		h->id = v->next_fh++;
		r = supafs_map_add(v->handles, supafs_hash_u64(h->id), &h->id, h);
	}
	if (r != 0) {
		destroy(h);
		return r;
	}
	*ret_h = h;
	return 0;
}

struct vfs_handle *vfs_handle_get(struct supafs_vfs *v, uint64_t id)
{
	SUPAFS_SCOPED_LOCK(&v->handles_lock);
	struct vfs_handle *h = supafs_map_get(v->handles, supafs_hash_u64(id), &id);

	if (h)
		h->refs++;
	return h;
}

struct vfs_handle *vfs_handle_take(struct supafs_vfs *v, uint64_t id)
{
	SUPAFS_SCOPED_LOCK(&v->handles_lock);
	return supafs_map_remove(v->handles, supafs_hash_u64(id), &id);
}

struct vfs_handle *vfs_handle_take_any(struct supafs_vfs *v)
{
	size_t pos = 0;

	SUPAFS_SCOPED_LOCK(&v->handles_lock);
	struct vfs_handle *h = supafs_map_next(v->handles, &pos);

	return h ? supafs_map_remove(v->handles, supafs_hash_u64(h->id), &h->id) : NULL;
}

static void stream_free(struct vfs_stream *s)
{
	if (!s)
		return;
	s->stream = supafs_stream_free(s->stream);
	s->content = supafs_content_unref(s->content);
	free(s);
}

void vfs_handle_put(struct supafs_vfs *v, struct vfs_handle *h)
{
	bool last;

	if (!h)
		return;
	{
		SUPAFS_SCOPED_LOCK(&v->handles_lock);
		assert(h->refs > 0);
		last = --h->refs == 0;
	}
	if (!last)
		return;
	stream_free(h->stream);
	(void)supafs_dir_free(h->dir);
	if (h->c)
		vfs_content_put(v, h->node);
	vfs_node_put(v, h->node);
	destroy(h);
}

/* --- Reading from the server ---------------------------------------------------------------------
 */

static int stream_open(struct supafs_vfs *v, const struct vfs_key *key,
	const struct supafs_version *version, struct vfs_stream **ret)
{
	struct vfs_stream *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	r = supafs_content_get(v->cfg.data, vfs_key_full(key), version, &s->content);
	if (r == 0)
		r = supafs_stream_new(s->content, &s->stream);
	if (r != 0) {
		stream_free(s);
		return r;
	}
	s->refs = 1; /* the handle's */
	*ret = s;
	return 0;
}

static void stream_put(struct vfs_handle *h, struct vfs_stream *s)
{
	bool last;

	{
		SUPAFS_SCOPED_LOCK(&h->lock);
		last = --s->refs == 0;
	}
	if (last)
		stream_free(s);
}

/* Lets go of a stream over a key that the file no longer has, and pins what it has now. */
static void repin(struct vfs_handle *h)
{
	struct vfs_stream *old = NULL;
	unsigned epoch, moves;
	struct supafs_version version;

	{
		SUPAFS_SCOPED_LOCK(&h->c->lock);
		epoch = h->c->epoch;
		moves = h->c->moves;
		version = h->c->version;
	}
	{
		SUPAFS_SCOPED_LOCK(&h->lock);
		if (h->epoch != epoch || h->moves == moves)
			return;
		h->moves = moves;
		h->version = version;
		old = h->stream;
		h->stream = NULL;
	}
	if (old)
		stream_put(h, old);
}

static int stream_take(struct supafs_vfs *v, struct vfs_handle *h, struct vfs_stream **ret)
{
	struct vfs_stream *made = NULL;
	struct supafs_version version;
	struct vfs_place place;
	int r;

	repin(h);
	{
		SUPAFS_SCOPED_LOCK(&h->lock);
		if (h->stream) {
			h->stream->refs++;
			*ret = h->stream;
			return 0;
		}
		version = h->version;
	}
	r = vfs_node_place(v, h->node, &place);
	if (r == 0)
		r = stream_open(v, &place.key, &version, &made);
	if (r != 0)
		return r == -ENOENT ? -ESTALE : r;
	{
		SUPAFS_SCOPED_LOCK(&h->lock);
		if (!h->stream)
			h->stream = supafs_steal(&made);
		h->stream->refs++;
		*ret = h->stream;
	}
	stream_free(made);
	return 0;
}

/* The pinned version is gone: the next open looks again, and the kernel's pages are void. */
static void gone_stale(struct supafs_vfs *v, struct vfs_handle *h)
{
	struct vfs_place place;

	if (vfs_node_place(v, h->node, &place) == 0)
		vfs_view_forget(v, &place);
	{
		SUPAFS_SCOPED_LOCK(&v->ns);
		h->node->pages = VFS_PAGES_NONE;
	}
	vfs_news_inode(v, h->node->id, true);
}

static bool is_stale(struct vfs_handle *h)
{
	SUPAFS_SCOPED_LOCK(&h->c->lock);
	SUPAFS_SCOPED_LOCK(&h->lock);
	return h->epoch != h->c->epoch;
}

/* Looked at after the read as well: the kernel is told to drop its pages after the version has
 * passed, and must not get old bytes behind that. */
static ssize_t refuse_stale(struct vfs_handle *h, const struct vfs_reading *rd, ssize_t r)
{
	if (r < 0 || !is_stale(h))
		return r;
	if (rd->view) {
		supafs_view_release(rd->view);
		*rd->view = (struct supafs_view){0};
	}
	return -ESTALE;
}

static unsigned moves_of(struct vfs_content *c)
{
	SUPAFS_SCOPED_LOCK(&c->lock);
	return c->moves;
}

static ssize_t stream_read(struct supafs_stream *s, struct supafs_call *call,
	const struct vfs_reading *rd, struct supafs_fault *fault)
{
	ssize_t r = -ENOBUFS;

	if (rd->view)
		r = supafs_stream_view(s, call, rd->n, rd->off, rd->view, fault);
	if (r == -ENOBUFS)
		r = supafs_stream_read(s, call, rd->buf, rd->n, rd->off, fault);
	return r;
}

static ssize_t read_server(struct supafs_vfs *v, struct supafs_call *call, struct vfs_handle *h,
	const struct vfs_reading *rd, struct supafs_fault *fault)
{
	struct vfs_stream *s = NULL;
	unsigned moves;
	ssize_t r;

	do {
		moves = moves_of(h->c);
		r = stream_take(v, h, &s);
		if (r != 0)
			break;
		r = stream_read(s->stream, call, rd, fault);
		stream_put(h, s);
		/* A rename or a change of attributes took the object away meanwhile: look there. */
	} while ((r == -ESTALE || r == -ENOENT) && moves_of(h->c) != moves);
	if (r == -ESTALE || r == -ENOENT) {
		gone_stale(v, h);
		return -ESTALE;
	}
	return r;
}

/* Missing bytes are fetched in runs of a block, so that small reads do not cost one request each.
 */
static ssize_t read_spool(struct supafs_call *call, const struct vfs_bytes *b,
	const struct vfs_reading *rd, struct supafs_fault *fault)
{
	const uint64_t ahead = rd->n < SUPAFS_BLOCK_SIZE ? SUPAFS_BLOCK_SIZE : rd->n;
	ssize_t n = supafs_spool_pread(b->spool, rd->buf, rd->n, rd->off);

	while (n == -ENODATA) {
		int r = vfs_fill(b, call, rd->off, ahead, fault);

		if (r != 0)
			return r;
		n = supafs_spool_pread(b->spool, rd->buf, rd->n, rd->off);
	}
	return n;
}

/* Joins the users of the spool if this handle may read it. A reference has no bytes: becomes dirty
 * over its source first. */
static int join_spool(struct supafs_vfs *v, struct supafs_call *call, struct vfs_handle *h,
	struct vfs_bytes *ret, bool *ret_joined)
{
	struct vfs_content *c = h->c;

	for (;;) {
		bool busy;
		int r;

		{
			SUPAFS_SCOPED_LOCK(&c->lock);
			*ret_joined = c->epoch == h->epoch && vfs_content_join_locked(c, ret);
			if (*ret_joined || !c->ref || c->epoch != h->epoch)
				return 0;
			busy = c->state == VFS_UPLOADING || c->claimed;
		}
		if (busy) {
			r = vfs_content_wait(c, call);
		} else {
			r = vfs_content_begin(v, h->node, call, h->epoch, false);
			if (r == 0)
				vfs_content_end(v, h->node, false);
		}
		if (r != 0)
			return r;
	}
}

ssize_t vfs_handle_read(struct supafs_vfs *v, struct supafs_call *call, struct vfs_handle *h,
	const struct vfs_reading *rd, struct supafs_fault *fault)
{
	struct vfs_bytes bytes;
	bool joined;
	ssize_t r = join_spool(v, call, h, &bytes, &joined);

	if (r != 0)
		return r;
	if (!joined && is_stale(h))
		return -ESTALE;
	if (!joined)
		return refuse_stale(h, rd, read_server(v, call, h, rd, fault));
	r = read_spool(call, &bytes, rd, fault);
	vfs_content_io_end(h->c);
	return refuse_stale(h, rd, r);
}
