/* SPDX-License-Identifier: Apache-2.0 */
/*
 * copy_file_range(2). A whole clean source onto an empty target becomes a reference (content.c),
 * which is sent as one server-side copy at close. Anything else goes as bytes from one handle to
 * the other, a bounded piece a call.
 */
#include <stdlib.h>

#include "handle.h"

#define PIECE    (256U << 10)
#define ONE_CALL (8U << 20)

/* The source as a reference, if it is what the server has. */
static bool source_of(struct supafs_vfs *v, struct vfs_handle *in, struct vfs_reference *ret)
{
	struct vfs_place place;

	SUPAFS_SCOPED_LOCK(&v->ns);
	if (vfs_node_place_locked(v, in->node, &place) != 0)
		return false;
	SUPAFS_SCOPED_LOCK(&in->c->lock);
	SUPAFS_SCOPED_LOCK(&in->lock);
	if (vfs_state_unsent(in->c->state) || in->c->epoch != in->epoch || in->c->unlinked)
		return false;
	ret->key = place.key;
	ret->version = in->c->version;
	ret->source = in->node->id;
	ret->changes = in->node->changes;
	return true;
}

static bool same_source(const struct vfs_reference *a, const struct vfs_reference *b)
{
	return a->source == b->source && a->changes == b->changes &&
	       vfs_key_same(&a->key, &b->key) && vfs_version_alike(&a->version, &b->version);
}

/* May bytes [0 or the end of what is referred to so far, …) of `from` be referred to? */
static bool extends_locked(
	const struct vfs_content *c, const struct vfs_reference *from, uint64_t off)
{
	if (c->writers > 0 || c->io > 0)
		return false;
	if (c->state == VFS_REFERENCE)
		return off == c->ref->n && same_source(c->ref, from);
	return c->state == VFS_DIRTY && off == 0 && supafs_spool_size(c->spool) == 0;
}

/* Makes or extends the target's reference. 1: done; 0: bytes must go. */
static int refer(struct supafs_vfs *v, struct vfs_handle *out, const struct vfs_reference *from,
	uint64_t off)
{
	struct vfs_content *c = out->c;
	struct vfs_reference *ref = malloc(sizeof(*ref));
	struct supafs_spool *spool = NULL;
	struct supafs_content *base = NULL;
	const int64_t now = v->cfg.clock->wall_ns(v->cfg.clock);
	bool done = false;

	if (!ref)
		return -ENOMEM;
	*ref = *from;
	{
		SUPAFS_SCOPED_LOCK(&c->lock);
		if (extends_locked(c, from, off)) {
			free(c->ref);
			c->ref = supafs_steal(&ref);
			spool = c->spool;
			c->spool = NULL;
			base = c->base;
			c->base = NULL;
			c->meta.mtime_ns = c->modified_ns = now;
			c->meta.has |= SUPAFS_META_MTIME;
			vfs_content_set_state_locked(c, VFS_REFERENCE);
			done = true;
		}
	}
	free(ref);
	(void)supafs_spool_free(spool);
	(void)supafs_content_unref(base);
	return done;
}

static ssize_t copy_bytes(struct supafs_vfs *v, struct supafs_call *call,
	struct vfs_handle *const h[2], const struct supafs_copy_range *r,
	struct supafs_fault *fault)
{
	supafs_autofree char *buf = malloc(PIECE);
	const uint64_t want = r->n < ONE_CALL ? r->n : ONE_CALL;
	uint64_t done = 0;

	if (!buf)
		return -ENOMEM;
	while (done < want) {
		const size_t n = want - done < PIECE ? (size_t)(want - done) : PIECE;
		const struct vfs_reading rd = {.off = r->off_in + done, .n = n, .buf = buf};
		ssize_t got = vfs_handle_read(v, call, h[0], &rd, fault);
		int e;

		if (got <= 0)
			return done ? (ssize_t)done : got;
		e = vfs_handle_write(v, call, h[1],
			&(const struct supafs_span){.off = r->off_out + done, .n = (uint64_t)got},
			buf);
		if (e != 0)
			return done ? (ssize_t)done : e;
		done += (uint64_t)got;
	}
	return (ssize_t)done;
}

static ssize_t copy(struct supafs_vfs *v, struct supafs_call *call, struct vfs_handle *const h[2],
	const struct supafs_copy_range *r, struct supafs_fault *fault)
{
	struct vfs_reference from;
	int e;

	if (!h[0] || !h[1] || !h[0]->c || !h[1]->c || !h[0]->readable || !h[1]->writable)
		return -EBADF;
	if (h[0]->node != h[1]->node && !h[1]->append && r->off_in == r->off_out &&
		source_of(v, h[0], &from) && r->off_in < from.version.size) {
		const uint64_t left = from.version.size - r->off_in;
		const uint64_t n = r->n < left ? r->n : left;

		from.n = r->off_in + n;
		e = vfs_check_size(v, from.n);
		if (e == 0)
			e = refer(v, h[1], &from, r->off_in);
		if (e != 0)
			return e < 0 ? e : (ssize_t)n;
	}
	return copy_bytes(v, call, h, r, fault);
}

ssize_t supafs_vfs_copy_range(struct supafs_vfs *v, struct supafs_call *call,
	const struct supafs_copy_range *r, struct supafs_fault *fault)
{
	struct vfs_handle *const h[2] = {vfs_handle_get(v, r->fh_in), vfs_handle_get(v, r->fh_out)};
	ssize_t n;

	supafs_fault_clear(fault);
	n = r->n == 0 ? 0 : copy(v, call, h, r, fault);
	if (n > 0) {
		SUPAFS_SCOPED_LOCK(&h[1]->lock);
		h[1]->wrote = true;
	}
	vfs_handle_put(v, h[0]);
	vfs_handle_put(v, h[1]);
	return n < 0 ? vfs_errno((int)n) : n;
}
