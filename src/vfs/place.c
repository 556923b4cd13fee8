/* SPDX-License-Identifier: Apache-2.0 */
/* Names and keys of new things, temporary names, versions, errors: small pure helpers. */
#include <fnmatch.h>
#include <string.h>

#include "supafs/util/name.h"

#include "vfs_priv.h"

int vfs_place_set(struct vfs_place *place, const struct vfs_key *dir, struct supafs_str name,
	struct supafs_str seg, bool folder)
{
	const size_t n = dir->n + seg.n + (folder ? 1 : 0);

	if (n > SUPAFS_KEY_MAX || name.n > SUPAFS_NAME_MAX || seg.n > SUPAFS_SEG_MAX)
		return -ENAMETOOLONG;
	place->dir = *dir;
	place->key.root_n = dir->root_n;
	place->key.n = n;
	memcpy(place->key.p, dir->p, dir->n);
	if (seg.n)
		memcpy(place->key.p + dir->n, seg.p, seg.n);
	if (folder)
		place->key.p[n - 1] = '/';
	place->key.p[n] = '\0';
	place->name_n = name.n;
	if (name.n)
		memcpy(place->name, name.p, name.n);
	place->name[name.n] = '\0';
	place->seg_n = seg.n;
	if (seg.n)
		memcpy(place->seg, seg.p, seg.n);
	place->seg[seg.n] = '\0';
	return 0;
}

static bool is_dots(struct supafs_str name)
{
	return supafs_str_eq(name, SUPAFS_STR(".")) || supafs_str_eq(name, SUPAFS_STR(".."));
}

int vfs_place_new(struct supafs_vfs *v, struct vfs_place *place, const struct vfs_key *dir,
	struct supafs_str name, bool folder)
{
	char seg[SUPAFS_SEG_MAX];
	ssize_t n;

	if (is_dots(name))
		return -EEXIST;
	if (name.n > SUPAFS_NAME_MAX)
		return -ENAMETOOLONG;
	n = supafs_name_encode(name, seg, sizeof(seg));
	if (n < 0)
		return (int)n;
	if (v->cfg.strict_names && ((size_t)n != name.n || memcmp(seg, name.p, name.n) != 0))
		return -EINVAL;
	return vfs_place_set(place, dir, name, (struct supafs_str){seg, (size_t)n}, folder);
}

int vfs_errno(int r)
{
	switch (r) {
	case -ENOSYS:
		return -EOPNOTSUPP;
	case -ENODATA:
	case -EPROTO:
	case -EBADMSG:
	case -ESHUTDOWN:
	case -EMSGSIZE:
	case -ECANCELED:
	case -EILSEQ:
		return -EIO;
	default:
		return r;
	}
}

bool vfs_name_temporary(const struct supafs_vfs *v, const char *name)
{
	char pattern[SUPAFS_NAME_MAX + 1];

	for (const char *p = v->temp_patterns; *p;) {
		const size_t n = strcspn(p, ":");

		if (n > 0 && n < sizeof(pattern)) {
			memcpy(pattern, p, n);
			pattern[n] = '\0';
			if (fnmatch(pattern, name, 0) == 0)
				return true;
		}
		p += n;
		if (*p == ':')
			p++;
	}
	return false;
}

static bool has_id(const struct supafs_version *version)
{
	static const unsigned char none[16] = {0};

	return memcmp(version->id, none, sizeof(none)) != 0;
}

bool vfs_version_alike(const struct supafs_version *a, const struct supafs_version *b)
{
	if (a->size != b->size)
		return false;
	if (a->etag[0] && b->etag[0])
		return strcmp(a->etag, b->etag) == 0;
	if (a->updated_ns && b->updated_ns && a->updated_ns != b->updated_ns)
		return false;
	return !has_id(a) || !has_id(b) || memcmp(a->id, b->id, sizeof(a->id)) == 0;
}

void vfs_call_init(const struct supafs_vfs *v, struct supafs_call *call)
{
	supafs_call_init(call, v->cfg.clock, v->cfg.timeout_ms);
}
