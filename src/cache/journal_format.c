/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records as bytes (docs/journal.md). Everything is bounded before it is looked at, and there is
 * one form only: what parse takes, format writes again byte for byte.
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "supafs/cache/journal.h"
#include "supafs/util/cleanup.h"
#include "supafs/util/crc32c.h"
#include "supafs/util/limits.h"

#include "journal_priv.h"
#include "ranges_priv.h"

#define MAGIC       "SUPAFSJ\n"
#define MAGIC_N     (sizeof(MAGIC) - 1)
#define VERSION     1U
#define HEAD_N      64U
#define CRC_N       4U
#define UUID_N      16U
#define ERRNO_MAX   4095
#define BODY_SPOOL  1U
#define BODY_INLINE 2U
/* A record of no kind but DELETE goes on behind its checksum. */
#define DELETES_MAX (2U << 20)

/* --- Small values --------------------------------------------------------------------------------
 */

static void add_u32(struct supafs_buf *b, uint32_t v)
{
	const uint32_t le = htole32(v);

	(void)supafs_buf_add(b, &le, sizeof(le));
}

static void add_u64(struct supafs_buf *b, uint64_t v)
{
	const uint64_t le = htole64(v);

	(void)supafs_buf_add(b, &le, sizeof(le));
}

static void add_str(struct supafs_buf *b, struct supafs_str s)
{
	add_u32(b, (uint32_t)s.n);
	(void)supafs_buf_addstr(b, s);
}

/* What is left to read; `bad` once something did not fit. */
struct reader {
	struct supafs_str rest;
	bool bad;
};

static struct supafs_str take(struct reader *r, size_t n)
{
	struct supafs_str s = {r->rest.p, n};

	if (r->bad || n > r->rest.n) {
		r->bad = true;
		return (struct supafs_str){"", 0};
	}
	if (n) { /* an empty view may have no address */
		r->rest.p += n;
		r->rest.n -= n;
	}
	return s;
}

static uint32_t take_u32(struct reader *r)
{
	const struct supafs_str s = take(r, sizeof(uint32_t));
	uint32_t v = 0;

	if (s.n)
		memcpy(&v, s.p, sizeof(v));
	return le32toh(v);
}

static uint64_t take_u64(struct reader *r)
{
	const struct supafs_str s = take(r, sizeof(uint64_t));
	uint64_t v = 0;

	if (s.n)
		memcpy(&v, s.p, sizeof(v));
	return le64toh(v);
}

static struct supafs_str take_str(struct reader *r, size_t max)
{
	const uint32_t n = take_u32(r);

	if (n > max)
		r->bad = true;
	return take(r, n);
}

/* --- Names of files ------------------------------------------------------------------------------
 */

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "8-4-4-4-12" in lower case → 16 bytes. */
static bool uuid_parse(const char *text, unsigned char ret[UUID_N])
{
	size_t at = 0;

	for (size_t i = 0; i < UUID_N; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			if (text[at++] != '-')
				return false;

		const int hi = hex_digit(text[at]), lo = hi < 0 ? -1 : hex_digit(text[at + 1]);

		if (lo < 0)
			return false;
		ret[i] = (unsigned char)(hi * 16 + lo);
		at += 2;
	}
	return text[at] == '\0';
}

bool supafs_journal_is_uuid(const char *text)
{
	unsigned char bytes[UUID_N];

	return uuid_parse(text, bytes);
}

static void uuid_text(const char *p, char ret[SUPAFS_JOURNAL_ID])
{
	static const char digits[] = "0123456789abcdef";
	size_t at = 0;

	for (size_t i = 0; i < UUID_N; i++) {
		const unsigned c = (unsigned char)p[i];

		if (i == 4 || i == 6 || i == 8 || i == 10)
			ret[at++] = '-';
		ret[at++] = digits[c >> 4];
		ret[at++] = digits[c & 15];
	}
	ret[at] = '\0';
}

static void add_uuid(struct supafs_buf *b, const char *text)
{
	unsigned char bytes[UUID_N] = {0};

	(void)uuid_parse(text, bytes);
	(void)supafs_buf_add(b, bytes, sizeof(bytes));
}

static void take_uuid(struct reader *r, char ret[SUPAFS_JOURNAL_ID])
{
	const struct supafs_str s = take(r, UUID_N);

	if (s.n)
		uuid_text(s.p, ret);
}

/* --- What is allowed -----------------------------------------------------------------------------
 */

static bool plain(struct supafs_str s, size_t max)
{
	return s.n <= max && (s.n == 0 || !memchr(s.p, '\0', s.n));
}

static bool is_zero(const void *p, size_t n)
{
	const unsigned char *at = p;

	for (size_t i = 0; i < n; i++)
		if (at[i])
			return false;
	return true;
}

static bool version_valid(const struct supafs_version *v)
{
	return v->size <= INT64_MAX && memchr(v->etag, '\0', sizeof(v->etag)) != NULL;
}

static bool version_unused(const struct supafs_version *v)
{
	return v->size == 0 && v->updated_ns == 0 && is_zero(v->id, sizeof(v->id)) &&
	       v->etag[0] == '\0';
}

static bool meta_valid(const struct supafs_meta *m)
{
	return (m->has & ~(unsigned)(SUPAFS_META_ALL | SUPAFS_META_HINTS)) == 0;
}

static bool folder_key(struct supafs_str s)
{
	return s.n > 0 && s.p[s.n - 1] == '/';
}

static bool map_valid(const struct supafs_spool_map *m)
{
	return supafs_journal_is_uuid(m->name) && m->base_size <= INT64_MAX &&
	       m->size <= INT64_MAX && m->base_limit <= m->base_size && m->base_limit <= m->size &&
	       supafs_ranges_valid_array(m->ranges, m->n, m->size);
}

static bool content_valid(const struct supafs_journal_record *rec)
{
	if (rec->key.n == 0 || folder_key(rec->key) || rec->deletes.n)
		return false;
	if (rec->flags & SUPAFS_JOURNAL_UPLOADED)
		return false;
	if (rec->flags & SUPAFS_JOURNAL_REFERENCE)
		return rec->from.n > 0 && !rec->inlined && rec->data.n == 0 &&
		       rec->reference_n <= rec->base.size;
	if (rec->from.n || rec->reference_n || !map_valid(&rec->map))
		return false;
	return rec->inlined
		       ? rec->data.n == rec->map.size && rec->data.n <= SUPAFS_JOURNAL_INLINE_MAX
		       : rec->data.n == 0;
}

/* Nothing that only a CONTENT has. */
static bool content_unused(const struct supafs_journal_record *rec)
{
	return rec->meta.has == 0 && rec->mime.n == 0 && rec->cache_control.n == 0 &&
	       rec->user.n == 0 && rec->upload.n == 0 && rec->reference_n == 0 && !rec->inlined &&
	       rec->data.n == 0;
}

static bool replace_valid(const struct supafs_journal_record *rec, unsigned flags)
{
	return (flags & ~(unsigned)(SUPAFS_JOURNAL_UPLOADED | SUPAFS_JOURNAL_SENT)) == 0 &&
	       rec->key.n && rec->from.n && !folder_key(rec->key) && !folder_key(rec->from) &&
	       rec->deletes.n == 0;
}

static bool folder_valid(const struct supafs_journal_record *rec)
{
	return (rec->key.n == 0 || folder_key(rec->key)) && rec->from.n == 0 &&
	       version_unused(&rec->base) && rec->nonce.n == 0;
}

/* Two names, and nothing else. */
static bool pair_valid(const struct supafs_journal_record *rec)
{
	return rec->key.n && rec->from.n && version_unused(&rec->base) && rec->nonce.n == 0 &&
	       rec->deletes.n == 0;
}

static bool kind_valid(const struct supafs_journal_record *rec)
{
	const unsigned flags = rec->flags & ~(unsigned)SUPAFS_JOURNAL_FAILED;

	if (rec->kind == SUPAFS_JOURNAL_CONTENT)
		return content_valid(rec);
	if (!content_unused(rec))
		return false;
	switch (rec->kind) {
	case SUPAFS_JOURNAL_REPLACE:
		return replace_valid(rec, flags);
	case SUPAFS_JOURNAL_RENAME_DIR:
		return flags == 0 && pair_valid(rec) && folder_key(rec->key) &&
		       folder_key(rec->from);
	case SUPAFS_JOURNAL_DELETE:
		return flags == 0 && folder_valid(rec);
	case SUPAFS_JOURNAL_EXCHANGE:
		return flags == 0 && pair_valid(rec);
	case SUPAFS_JOURNAL_CONTENT:
		break;
	}
	return false;
}

static bool record_valid(const struct supafs_journal_record *rec)
{
	return (rec->flags & ~(unsigned)SUPAFS_JOURNAL_FLAGS) == 0 &&
	       supafs_journal_is_uuid(rec->id) && plain(rec->key, SUPAFS_KEY_MAX) &&
	       plain(rec->from, SUPAFS_KEY_MAX) && version_valid(&rec->base) &&
	       meta_valid(&rec->meta) && plain(rec->mime, SUPAFS_MIME_MAX) &&
	       plain(rec->cache_control, SUPAFS_CC_MAX) && rec->user.n <= SUPAFS_PAIRS_MAX &&
	       supafs_pairs_valid(rec->user) && plain(rec->nonce, SUPAFS_NONCE_MAX) &&
	       plain(rec->upload, SUPAFS_UPLOAD_MAX) && plain(rec->text, SUPAFS_JOURNAL_TEXT_MAX) &&
	       rec->error >= 0 && rec->error <= ERRNO_MAX && rec->deletes.n <= DELETES_MAX &&
	       kind_valid(rec);
}

/* --- Deletes -------------------------------------------------------------------------------------
 */

static void add_version(struct supafs_buf *b, const struct supafs_version *v)
{
	add_u64(b, v->size);
	add_u64(b, (uint64_t)v->updated_ns);
	(void)supafs_buf_add(b, v->id, sizeof(v->id));
	add_str(b, supafs_str_of(v->etag));
}

static void take_version(struct reader *r, struct supafs_version *ret)
{
	struct supafs_str s;

	ret->size = take_u64(r);
	ret->updated_ns = (int64_t)take_u64(r);
	s = take(r, sizeof(ret->id));
	if (s.n)
		memcpy(ret->id, s.p, sizeof(ret->id));
	s = take_str(r, SUPAFS_ETAG_MAX);
	if (!plain(s, SUPAFS_ETAG_MAX)) {
		r->bad = true;
		return;
	}
	memcpy(ret->etag, s.p, s.n);
	ret->etag[s.n] = '\0';
}

static bool delete_valid(const struct supafs_journal_delete *d)
{
	return d->seg.n && plain(d->seg, SUPAFS_SEG_MAX) && d->name.n &&
	       plain(d->name, SUPAFS_NAME_MAX) && version_valid(&d->version);
}

int supafs_journal_delete_add(struct supafs_buf *deletes, const struct supafs_journal_delete *d)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf one;

	supafs_buf_init(&one, SUPAFS_JOURNAL_MAX);
	if (!delete_valid(d))
		return -EINVAL;
	add_str(&one, d->seg);
	add_str(&one, d->name);
	add_version(&one, &d->version);
	add_u64(&one, (uint64_t)d->mtime_ns);
	add_u32(&one, supafs_crc32c(0, one.p, one.n));
	if (supafs_buf_error(&one) != 0)
		return supafs_buf_error(&one);
	add_str(deletes, supafs_buf_str(&one));
	return supafs_buf_error(deletes);
}

bool supafs_journal_delete_next(
	struct supafs_str deletes, size_t *pos, struct supafs_journal_delete *ret)
{
	struct supafs_journal_delete d = {0};
	struct reader all = {.rest = deletes}, r;
	struct supafs_str one;
	uint32_t crc;

	(void)take(&all, *pos);
	one = take_str(&all, UINT32_MAX);
	if (all.bad || one.n < CRC_N)
		return false;
	r = (struct reader){.rest = {one.p, one.n - CRC_N}};
	d.seg = take_str(&r, SUPAFS_SEG_MAX);
	d.name = take_str(&r, SUPAFS_NAME_MAX);
	take_version(&r, &d.version);
	d.mtime_ns = (int64_t)take_u64(&r);
	memcpy(&crc, one.p + one.n - CRC_N, sizeof(crc));
	if (r.bad || r.rest.n || le32toh(crc) != supafs_crc32c(0, one.p, one.n - CRC_N) ||
		!delete_valid(&d))
		return false;
	*pos = deletes.n - all.rest.n;
	*ret = d;
	return true;
}

static struct supafs_str whole_deletes(struct supafs_str deletes)
{
	struct supafs_journal_delete d;
	size_t pos = 0;

	while (supafs_journal_delete_next(deletes, &pos, &d))
		continue;
	deletes.n = pos;
	return deletes;
}

/* --- Format --------------------------------------------------------------------------------------
 */

static void add_map(struct supafs_buf *b, const struct supafs_spool_map *m)
{
	add_uuid(b, m->name);
	add_u64(b, m->size);
	add_u64(b, m->base_size);
	add_u64(b, m->base_limit);
	add_u64(b, m->n);
	for (size_t i = 0; i < m->n; i++) {
		add_u64(b, m->ranges[i].from);
		add_u64(b, m->ranges[i].to);
	}
}

static void add_body(struct supafs_buf *b, const struct supafs_journal_record *rec)
{
	const bool spool =
		rec->kind == SUPAFS_JOURNAL_CONTENT && !(rec->flags & SUPAFS_JOURNAL_REFERENCE);

	add_str(b, rec->key);
	add_str(b, rec->from);
	add_version(b, &rec->base);
	add_u32(b, rec->meta.has);
	add_u64(b, (uint64_t)rec->meta.mtime_ns);
	add_u32(b, rec->meta.mode);
	add_u32(b, rec->meta.uid);
	add_u32(b, rec->meta.gid);
	add_str(b, rec->mime);
	add_str(b, rec->cache_control);
	add_str(b, rec->user);
	add_str(b, rec->nonce);
	add_str(b, rec->upload);
	add_str(b, rec->text);
	add_u64(b, rec->reference_n);
	add_u32(b, (spool ? BODY_SPOOL : 0) | (rec->inlined ? BODY_INLINE : 0));
	if (spool)
		add_map(b, &rec->map);
	if (rec->inlined)
		add_str(b, rec->data);
}

/* How long it is stands in the head, so that a cut is told from a change. */
static void set_length(struct supafs_buf *b, size_t from)
{
	const uint32_t le = htole32((uint32_t)(b->n - from + CRC_N));

	if (supafs_buf_error(b) == 0)
		memcpy(b->p + from + MAGIC_N + sizeof(uint32_t), &le, sizeof(le));
}

int supafs_journal_format(const struct supafs_journal_record *rec, struct supafs_buf *out)
{
	const size_t from = out->n;

	if (!record_valid(rec) || whole_deletes(rec->deletes).n != rec->deletes.n)
		return -EINVAL;
	(void)supafs_buf_add(out, MAGIC, MAGIC_N);
	add_u32(out, VERSION);
	add_u32(out, 0); /* the length */
	add_u32(out, rec->kind);
	add_u32(out, rec->flags);
	add_uuid(out, rec->id);
	add_u64(out, (uint64_t)rec->since_ns);
	add_u32(out, rec->tries);
	add_u32(out, (uint32_t)rec->error);
	add_u64(out, 0);
	add_body(out, rec);
	set_length(out, from);
	if (supafs_buf_error(out) == 0)
		add_u32(out, supafs_crc32c(0, out->p + from, out->n - from));
	return supafs_buf_addstr(out, rec->deletes);
}

/* --- Parse ---------------------------------------------------------------------------------------
 */

static int take_ranges(struct reader *r, struct supafs_spool_map *m, struct supafs_range **ret)
{
	struct supafs_range *p = NULL;

	if (m->n > SUPAFS_RANGES_MAX || m->n > r->rest.n / sizeof(*p)) {
		r->bad = true;
		m->n = 0;
	}
	if (m->n) {
		p = reallocarray(NULL, m->n, sizeof(*p));
		if (!p)
			return -ENOMEM;
	}
	for (size_t i = 0; i < m->n; i++) {
		p[i].from = take_u64(r);
		p[i].to = take_u64(r);
	}
	m->ranges = p;
	*ret = p;
	return 0;
}

static int take_map(struct reader *r, struct supafs_spool_map *m, struct supafs_range **ret)
{
	take_uuid(r, m->name);
	m->size = take_u64(r);
	m->base_size = take_u64(r);
	m->base_limit = take_u64(r);
	m->n = take_u64(r);
	return take_ranges(r, m, ret);
}

static int take_body(
	struct reader *r, struct supafs_journal_record *rec, struct supafs_range **ret_ranges)
{
	uint32_t body;
	int e = 0;

	rec->key = take_str(r, SUPAFS_KEY_MAX);
	rec->from = take_str(r, SUPAFS_KEY_MAX);
	take_version(r, &rec->base);
	rec->meta.has = take_u32(r);
	rec->meta.mtime_ns = (int64_t)take_u64(r);
	rec->meta.mode = take_u32(r);
	rec->meta.uid = take_u32(r);
	rec->meta.gid = take_u32(r);
	rec->mime = take_str(r, SUPAFS_MIME_MAX);
	rec->cache_control = take_str(r, SUPAFS_CC_MAX);
	rec->user = take_str(r, SUPAFS_PAIRS_MAX);
	rec->nonce = take_str(r, SUPAFS_NONCE_MAX);
	rec->upload = take_str(r, SUPAFS_UPLOAD_MAX);
	rec->text = take_str(r, SUPAFS_JOURNAL_TEXT_MAX);
	rec->reference_n = take_u64(r);
	body = take_u32(r);
	if (body & BODY_SPOOL)
		e = take_map(r, &rec->map, ret_ranges);
	rec->inlined = (body & BODY_INLINE) != 0;
	if (rec->inlined)
		rec->data = take_str(r, SUPAFS_JOURNAL_INLINE_MAX);
	if ((body & ~(BODY_SPOOL | BODY_INLINE)) || r->rest.n ||
		((body & BODY_SPOOL) != 0) != (rec->kind == SUPAFS_JOURNAL_CONTENT &&
						      !(rec->flags & SUPAFS_JOURNAL_REFERENCE)))
		r->bad = true;
	return e;
}

/* The part that has the checksum, and what is behind it. */
static int cut_record(struct supafs_str p, struct reader *ret, struct supafs_str *ret_tail)
{
	struct reader head = {.rest = p};
	const struct supafs_str magic = take(&head, MAGIC_N);
	const uint32_t version = take_u32(&head), n = take_u32(&head);
	uint32_t crc;

	if (head.bad || !supafs_str_eq(magic, SUPAFS_STR(MAGIC)))
		return -EBADMSG;
	if (version != VERSION)
		return -EPROTONOSUPPORT;
	if (n < HEAD_N + CRC_N || n > p.n || n > SUPAFS_JOURNAL_MAX)
		return -EBADMSG;
	memcpy(&crc, p.p + n - CRC_N, sizeof(crc));
	if (le32toh(crc) != supafs_crc32c(0, p.p, n - CRC_N))
		return -EBADMSG;
	*ret = (struct reader){.rest = {head.rest.p, n - CRC_N - (p.n - head.rest.n)}};
	*ret_tail = (struct supafs_str){p.p + n, p.n - n};
	return 0;
}

int supafs_journal_parse(
	struct supafs_str p, struct supafs_journal_record *ret, struct supafs_range **ret_ranges)
{
	struct supafs_journal_record rec = {0};
	supafs_autofree struct supafs_range *ranges = NULL;
	struct supafs_str tail;
	struct reader r;
	uint32_t kind, error;
	int e = cut_record(p, &r, &tail);

	if (e != 0)
		return e;
	kind = take_u32(&r);
	rec.flags = take_u32(&r);
	take_uuid(&r, rec.id);
	rec.since_ns = (int64_t)take_u64(&r);
	rec.tries = take_u32(&r);
	error = take_u32(&r);
	if (take_u64(&r) != 0 || kind < SUPAFS_JOURNAL_CONTENT || kind > SUPAFS_JOURNAL_EXCHANGE ||
		error > ERRNO_MAX)
		return -EBADMSG;
	rec.kind = (enum supafs_journal_kind)kind;
	rec.error = (int)error;
	e = take_body(&r, &rec, &ranges);
	if (e != 0)
		return e;
	if (rec.kind == SUPAFS_JOURNAL_DELETE && tail.n <= DELETES_MAX)
		rec.deletes = whole_deletes(tail);
	else if (tail.n)
		return -EBADMSG;
	if (r.bad || !record_valid(&rec))
		return -EBADMSG;
	*ret = rec;
	*ret_ranges = supafs_steal(&ranges);
	return 0;
}
