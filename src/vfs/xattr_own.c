/* SPDX-License-Identifier: Apache-2.0 */
/*
 * user.supafs.*: what only this file system knows of a file. They answer by name and are in no
 * listing, so that no copying program takes them along.
 */
#include <sys/xattr.h>

#include "supafs/util/cleanup.h"

#include "facts.h"
#include "handle.h"
#include "mime.h"
#include "xattr.h"

#define SIGNED_S UINT64_C(3600)
#define CC_MAX   128 /* bytes of a Cache-Control set by hand: ours must fit behind it */

/* Everything that an answer may need. */
struct answer {
	struct supafs_vfs *v;
	struct supafs_call *call;
	struct vfs_node *node;
	struct supafs_fault *fault;
	struct supafs_buf *out;
	struct supafs_info *info;
};

/* --- State ---------------------------------------------------------------------------------------
 */

static const char *state_text(const struct vfs_content *c)
{
	if (c->attrs_wait)
		return "queued";
	switch (c->state) {
	case VFS_CLEAN:
	case VFS_SAVED:
		return "clean";
	case VFS_DIRTY:
	case VFS_REFERENCE:
		return "dirty";
	case VFS_HELD:
		return "held";
	case VFS_QUEUED:
		return "queued";
	case VFS_UPLOADING:
		return "uploading";
	case VFS_FAILED:
		return "failed";
	case VFS_STATE__COUNT:
		break;
	}
	return "";
}

static int answer_state(struct answer *a)
{
	struct vfs_content *c = vfs_content_peek(a->v, a->node);

	if (!c)
		return supafs_buf_adds(a->out, "clean");
	{
		SUPAFS_SCOPED_LOCK(&c->lock);
		(void)supafs_buf_adds(a->out, state_text(c));
	}
	vfs_content_put(a->v, a->node);
	return supafs_buf_error(a->out);
}

/* --- What the server has -------------------------------------------------------------------------
 */

/* -ENODATA: it has nothing under this name yet. */
static int server_info(struct answer *a)
{
	struct vfs_content *c = vfs_content_peek(a->v, a->node);
	struct supafs_version version;
	struct supafs_attr attr;
	struct vfs_place place;
	bool remote = true;
	int r = 0;

	if (c) {
		{
			SUPAFS_SCOPED_LOCK(&c->lock);
			version = c->version;
			remote = c->remote || c->maybe_remote;
		}
		vfs_content_put(a->v, a->node);
	} else {
		r = vfs_current(a->v, a->call, a->node, false, &attr, a->fault);
		version = attr.version;
	}
	if (r == 0)
		r = remote ? vfs_node_place(a->v, a->node, &place) : -ENODATA;
	if (r == 0)
		r = vfs_facts_get(a->v, a->call, &place.key, &version, a->info, a->fault);
	return r == -ENOENT ? -ENODATA : r;
}

static int text_or_none(struct supafs_buf *out, const char *text)
{
	return *text ? supafs_buf_adds(out, text) : -ENODATA;
}

static int answer_etag(struct answer *a)
{
	int r = server_info(a);

	return r == 0 ? text_or_none(a->out, a->info->version.etag) : r;
}

static int answer_version(struct answer *a)
{
	int r = server_info(a);

	return r == 0 ? text_or_none(a->out, a->info->generation) : r;
}

static int answer_id(struct answer *a)
{
	int r = server_info(a);

	for (size_t i = 0; r == 0 && i < sizeof(a->info->version.id); i++)
		r = supafs_buf_addf(a->out, "%s%02x",
			i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", a->info->version.id[i]);
	return r;
}

static int answer_sha256(struct answer *a)
{
	struct supafs_str value;
	int r = server_info(a);

	if (r != 0)
		return r;
	if (!supafs_pairs_get((struct supafs_str){a->info->user, a->info->user_n},
		    SUPAFS_STR("sha256"), &value))
		return -ENODATA;
	return supafs_buf_addstr(a->out, value);
}

/* --- Type and Cache-Control ----------------------------------------------------------------------
 */

/* True when the content knows: then it is in `out`. */
static bool known_here(struct answer *a, bool mime)
{
	struct vfs_content *c = vfs_content_peek(a->v, a->node);
	bool known;

	if (!c)
		return false;
	{
		SUPAFS_SCOPED_LOCK(&c->lock);
		known = c->user_known;
		if (known && mime && c->mime)
			(void)supafs_buf_adds(a->out, c->mime);
		if (known && !mime)
			(void)supafs_buf_adds(
				a->out, c->cache_control ? c->cache_control : a->v->cache_control);
	}
	vfs_content_put(a->v, a->node);
	return known;
}

static int mime_by_name(struct answer *a)
{
	struct supafs_str name;

	SUPAFS_SCOPED_LOCK(&a->v->ns);
	name = (struct supafs_str){a->node->name, a->node->name_n};
	return supafs_buf_addstr(a->out, vfs_mime_of(a->v->mimes, name));
}

static int answer_mime(struct answer *a)
{
	int r;

	if (known_here(a, true))
		return a->out->n > 0 ? 0 : mime_by_name(a);
	r = server_info(a);
	return r == 0 ? text_or_none(a->out, a->info->mime) : r;
}

static int answer_cache_control(struct answer *a)
{
	int r = 0;

	if (!known_here(a, false)) {
		r = server_info(a);
		if (r == 0)
			vfs_plain_cache_control(a->info->cache_control, a->out);
	}
	return r == 0 && a->out->n == 0 ? supafs_buf_adds(a->out, "no-cache") : r;
}

/* --- URLs ----------------------------------------------------------------------------------------
 */

static int url(struct answer *a, uint64_t valid_s)
{
	struct supafs_store *store = a->v->cfg.store;
	struct vfs_place place;
	int r = vfs_node_place(a->v, a->node, &place);

	if (r == 0)
		r = store->ops->url(
			store, a->call, vfs_key_full(&place.key), valid_s, a->out, a->fault);
	return r == -ENOENT || r == -EOPNOTSUPP ? -ENODATA : r;
}

static int answer_public(struct answer *a)
{
	return url(a, 0);
}

static int answer_signed(struct answer *a)
{
	return url(a, SIGNED_S);
}

/* --- The table -----------------------------------------------------------------------------------
 */

static int edit_mime(struct supafs_vfs *v, struct vfs_content *c, void *ctx);
static int edit_cache_control(struct supafs_vfs *v, struct vfs_content *c, void *ctx);

static const struct own {
	const char *name;
	int (*answer)(struct answer *a);
	int (*edit)(struct supafs_vfs *v, struct vfs_content *c, void *ctx); /* NULL: read-only */
} owns[] = {
	{"cache_control", answer_cache_control, edit_cache_control},
	{"etag", answer_etag, NULL},
	{"id", answer_id, NULL},
	{"mime", answer_mime, edit_mime},
	{"public_url", answer_public, NULL},
	{"sha256", answer_sha256, NULL},
	{"signed_url", answer_signed, NULL},
	{"state", answer_state, NULL},
	{"version", answer_version, NULL},
};

static const struct own *find(struct supafs_str name)
{
	const size_t n = sizeof(VFS_XATTR_OWN) - 1;
	const struct supafs_str rest = {name.p + n, name.n - n};

	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(owns); i++)
		if (supafs_str_eq(rest, supafs_str_of(owns[i].name)))
			return &owns[i];
	return NULL;
}

ssize_t vfs_xattr_get_own(struct supafs_vfs *v, struct supafs_call *call, struct vfs_node *node,
	struct supafs_str name, struct vfs_xattr_buf out, struct supafs_fault *fault)
{
	struct supafs_info info;
	supafs_cleanup(supafs_buf_fini) struct supafs_buf text;
	const struct own *own = find(name);
	struct answer a = {v, call, node, fault, &text, &info};
	int r;

	supafs_buf_init(&text, SUPAFS_URL_MAX);
	if (!own || node->folder)
		return -ENODATA;
	r = own->answer(&a);
	if (r != 0)
		return r == -ENODATA ? r : vfs_errno(r);
	return vfs_xattr_reply(supafs_buf_str(&text), out.p, out.size);
}

/* --- Writing -------------------------------------------------------------------------------------
 */

static bool printable(struct supafs_str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < ' ' || s.p[i] > '~')
			return false;
	return s.n > 0;
}

/* Setting what is so already is no change. */
static int replace_text(struct vfs_content *c, char **field, const struct vfs_xattr_set *set)
{
	char *text = NULL;

	if (!c->user_known)
		return -ESTALE;
	if (set->remove ? !*field : *field && supafs_str_eq(supafs_str_of(*field), set->value))
		return VFS_XATTR_SAME;
	if (!set->remove) {
		text = supafs_str_dup(set->value);
		if (!text)
			return -ENOMEM;
	}
	free(*field);
	*field = text;
	vfs_content_hint_locked(c);
	return 0;
}

/* A type that the bucket does not take would fail the next upload. */
static int edit_mime(struct supafs_vfs *v, struct vfs_content *c, void *ctx)
{
	const struct vfs_xattr_set *set = ctx;

	if (set->remove)
		return replace_text(c, &c->mime, set);
	if (!printable(set->value) || set->value.n > SUPAFS_MIME_MAX ||
		!memchr(set->value.p, '/', set->value.n))
		return -EINVAL;
	if (v->cfg.bucket && !vfs_mime_allowed(supafs_buf_str(&v->cfg.bucket->mimes), set->value))
		return -EPERM;
	return replace_text(c, &c->mime, set);
}

static int edit_cache_control(struct supafs_vfs *v, struct vfs_content *c, void *ctx)
{
	const struct vfs_xattr_set *set = ctx;

	(void)v;
	if (!set->remove && set->value.n > CC_MAX)
		return -ENOSPC;
	if (!set->remove && !printable(set->value))
		return -EINVAL;
	return replace_text(c, &c->cache_control, set);
}

int vfs_xattr_set_own(struct supafs_vfs *v, struct supafs_call *call, struct vfs_node *node,
	const struct vfs_xattr_set *set, struct supafs_fault *fault)
{
	const struct own *own = find(set->name);
	struct vfs_xattr_set copy = *set;
	struct vfs_edit edit = {NULL, &copy};

	if (!own || !own->edit || node->folder)
		return -EPERM;
	if (set->flags & XATTR_CREATE)
		return -EEXIST; /* they always are there */
	edit.fn = own->edit;
	return vfs_xattr_change(v, call, node, &edit, fault);
}
