/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packed form of an entry's attributes: two bytes of flags, then only what is there. Numbers are
 * LEB128, times that lie near each other are differences. Lives in memory only, so it needs no
 * version and is trusted when read back.
 */
#include <string.h>

#include "listing.h"

enum {
	HAS_FOLDER = 1 << 0,
	HAS_ID = 1 << 1,
	HAS_TIMES = 1 << 2,
	HAS_ETAG_HEX = 1 << 3, /* "32 hex digits", the usual one, as 16 bytes */
	HAS_ETAG_TEXT = 1 << 4,
	HAS_META_SHIFT = 8,
};
#define HEX_ETAG_N 34

static unsigned char *put_u64(unsigned char *p, uint64_t v)
{
	while (v >= 0x80) {
		*p++ = (unsigned char)(v | 0x80);
		v >>= 7;
	}
	*p++ = (unsigned char)v;
	return p;
}

static const unsigned char *get_u64(const unsigned char *p, uint64_t *ret)
{
	uint64_t v = 0;
	unsigned shift = 0;

	for (; *p & 0x80; p++, shift += 7)
		v |= (uint64_t)(*p & 0x7f) << shift;
	*ret = v | (uint64_t)*p << shift;
	return p + 1;
}

/* Differences of times wrap, so that hostile values survive the round trip too. */
static uint64_t zigzag(uint64_t v)
{
	return v << 1 ^ (0 - (v >> 63));
}

static uint64_t unzigzag(uint64_t v)
{
	return v >> 1 ^ (0 - (v & 1));
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

static bool hex_etag(const char *etag, unsigned char *out)
{
	if (strlen(etag) != HEX_ETAG_N || etag[0] != '"' || etag[HEX_ETAG_N - 1] != '"')
		return false;
	for (unsigned i = 0; i < 16; i++) {
		int hi = hex_value(etag[1 + 2 * i]), lo = hex_value(etag[2 + 2 * i]);

		if (hi < 0 || lo < 0)
			return false;
		out[i] = (unsigned char)(hi << 4 | lo);
	}
	return true;
}

static unsigned char *put_etag(unsigned char *p, const char *etag, unsigned *flags)
{
	size_t n = strnlen(etag, SUPAFS_ETAG_MAX);

	if (n == 0)
		return p;
	if (hex_etag(etag, p)) {
		*flags |= HAS_ETAG_HEX;
		return p + 16;
	}
	*flags |= HAS_ETAG_TEXT;
	*p++ = (unsigned char)n;
	memcpy(p, etag, n);
	return p + n;
}

static const unsigned char *get_etag(const unsigned char *p, unsigned flags, char *etag)
{
	static const char digits[] = "0123456789abcdef";

	if (flags & HAS_ETAG_HEX) {
		etag[0] = etag[HEX_ETAG_N - 1] = '"';
		for (unsigned i = 0; i < 16; i++) {
			etag[1 + 2 * i] = digits[p[i] >> 4];
			etag[2 + 2 * i] = digits[p[i] & 15];
		}
		return p + 16;
	}
	if (flags & HAS_ETAG_TEXT) {
		memcpy(etag, p + 1, *p);
		etag[*p] = 0;
		return p + 1 + *p;
	}
	return p;
}

static unsigned char *put_meta(unsigned char *p, const struct supafs_meta *m, uint64_t base)
{
	if (m->has & SUPAFS_META_MTIME)
		p = put_u64(p, zigzag((uint64_t)m->mtime_ns - base));
	if (m->has & SUPAFS_META_MODE)
		p = put_u64(p, m->mode);
	if (m->has & SUPAFS_META_UID)
		p = put_u64(p, m->uid);
	if (m->has & SUPAFS_META_GID)
		p = put_u64(p, m->gid);
	return p;
}

static const unsigned char *get_u32(const unsigned char *p, uint32_t *ret)
{
	uint64_t v;

	p = get_u64(p, &v);
	*ret = (uint32_t)v;
	return p;
}

static void get_meta(const unsigned char *p, unsigned has, struct supafs_meta *m, uint64_t base)
{
	uint64_t v;

	m->has = has;
	if (has & SUPAFS_META_MTIME) {
		p = get_u64(p, &v);
		m->mtime_ns = (int64_t)(base + unzigzag(v));
	}
	if (has & SUPAFS_META_MODE)
		p = get_u32(p, &m->mode);
	if (has & SUPAFS_META_UID)
		p = get_u32(p, &m->uid);
	if (has & SUPAFS_META_GID)
		(void)get_u32(p, &m->gid);
}

size_t attr_pack(const struct supafs_attr *attr, unsigned char *out)
{
	static const unsigned char no_id[16];
	const struct supafs_version *v = &attr->version;
	const unsigned has = attr->meta.has & (SUPAFS_META_ALL | SUPAFS_META_HINTS);
	unsigned flags = has << HAS_META_SHIFT;
	unsigned char *p = put_u64(out + 2, attr->ino);
	uint64_t updated = (uint64_t)v->updated_ns;

	if (attr->folder)
		flags |= HAS_FOLDER;
	p = put_u64(p, v->size);
	if (v->updated_ns != 0 || attr->modified_ns != 0) {
		flags |= HAS_TIMES;
		memcpy(p, &updated, sizeof(updated));
		p = put_u64(p + sizeof(updated), zigzag((uint64_t)attr->modified_ns - updated));
	}
	if (memcmp(v->id, no_id, sizeof(no_id)) != 0) {
		flags |= HAS_ID;
		memcpy(p, v->id, sizeof(v->id));
		p += sizeof(v->id);
	}
	p = put_etag(p, v->etag, &flags);
	p = put_meta(p, &attr->meta, (uint64_t)attr->modified_ns);
	out[0] = (unsigned char)flags;
	out[1] = (unsigned char)(flags >> 8);
	return (size_t)(p - out);
}

void attr_unpack(const unsigned char *in, struct supafs_attr *ret_attr)
{
	unsigned flags = in[0] | (unsigned)in[1] << 8;
	struct supafs_attr a = {.folder = (flags & HAS_FOLDER) != 0};
	uint64_t updated, diff;
	const unsigned char *p = get_u64(in + 2, &a.ino);

	p = get_u64(p, &a.version.size);
	if (flags & HAS_TIMES) {
		memcpy(&updated, p, sizeof(updated));
		p = get_u64(p + sizeof(updated), &diff);
		a.version.updated_ns = (int64_t)updated;
		a.modified_ns = (int64_t)(updated + unzigzag(diff));
	}
	if (flags & HAS_ID) {
		memcpy(a.version.id, p, sizeof(a.version.id));
		p += sizeof(a.version.id);
	}
	p = get_etag(p, flags, a.version.etag);
	get_meta(p, flags >> HAS_META_SHIFT, &a.meta, (uint64_t)a.modified_ns);
	*ret_attr = a;
}
