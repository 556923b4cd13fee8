/* SPDX-License-Identifier: Apache-2.0 */
/* Attributes of files in Cache-Control directives (RFC 9111 §5.2.3) and in user metadata. */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/parse.h"

#include "meta_priv.h"

#define MODE_MASK 07777U

static uint32_t keep_mode(uint64_t mode)
{
	uint32_t kept = (uint32_t)mode & MODE_MASK;

	return S_ISLNK((mode_t)mode) ? kept | S_IFLNK : kept;
}

static bool parse_octal(struct supafs_str s, uint64_t *ret)
{
	uint64_t v = 0;

	if (s.n == 0 || s.n > 7)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '7')
			return false;
		v = v * 8 + (uint64_t)(s.p[i] - '0');
	}
	*ret = v;
	return true;
}

static bool take_mtime(struct supafs_str v, struct supafs_meta *m)
{
	if (supafs_parse_mtime(v, &m->mtime_ns) < 0)
		return false;
	m->has |= SUPAFS_META_MTIME;
	return true;
}

static bool take_mode(struct supafs_str v, struct supafs_meta *m)
{
	uint64_t mode;

	if (!parse_octal(v, &mode))
		return false;
	m->mode = keep_mode(mode);
	m->has |= SUPAFS_META_MODE;
	return true;
}

static bool take_id(struct supafs_str v, uint32_t *field, unsigned flag, struct supafs_meta *m)
{
	uint64_t id;

	if (supafs_parse_u64(v, UINT32_MAX, &id) < 0)
		return false;
	*field = (uint32_t)id;
	m->has |= flag;
	return true;
}

/* --- Cache-Control ---------------------------------------------------------------------------- */

int supafs_meta_add_directives(struct supafs_buf *b, const struct supafs_meta *m)
{
	char text[40];

	if (m->has & SUPAFS_META_MTIME) {
		int r = supafs_format_mtime(m->mtime_ns, text, sizeof(text));
		if (r < 0)
			return r;
		(void)supafs_buf_addf(b, "%sx-mtime=%s", b->n ? ", " : "", text);
	}
	if (m->has & SUPAFS_META_MODE)
		(void)supafs_buf_addf(b, "%sx-mode=0%o", b->n ? ", " : "", m->mode);
	if (m->has & SUPAFS_META_UID)
		(void)supafs_buf_addf(b, "%sx-uid=%u", b->n ? ", " : "", m->uid);
	if (m->has & SUPAFS_META_GID)
		(void)supafs_buf_addf(b, "%sx-gid=%u", b->n ? ", " : "", m->gid);
	if (m->has & SUPAFS_META_MORE)
		(void)supafs_buf_addf(b, "%sx-user=1", b->n ? ", " : "");
	return supafs_buf_error(b);
}

/* A resumable upload can store nothing but digits (API §6): two zeros before them are our mark. */
static bool resumable_age(struct supafs_str value)
{
	for (size_t i = 0; i < value.n; i++)
		if (value.p[i] < '0' || value.p[i] > '9')
			return false;
	return supafs_str_starts(value, SUPAFS_STR("00"));
}

static bool take_directive(struct supafs_str d, struct supafs_meta *m)
{
	const char *eq = memchr(d.p, '=', d.n);
	struct supafs_str name, value;

	if (!eq)
		return false;
	name = (struct supafs_str){d.p, (size_t)(eq - d.p)};
	value = (struct supafs_str){eq + 1, d.n - name.n - 1};
	if (supafs_str_eq(name, SUPAFS_STR("x-mtime")))
		return take_mtime(value, m);
	if (supafs_str_eq(name, SUPAFS_STR("x-mode")))
		return take_mode(value, m);
	if (supafs_str_eq(name, SUPAFS_STR("x-uid")))
		return take_id(value, &m->uid, SUPAFS_META_UID, m);
	if (supafs_str_eq(name, SUPAFS_STR("x-gid")))
		return take_id(value, &m->gid, SUPAFS_META_GID, m);
	if (supafs_str_eq(name, SUPAFS_STR("x-user")) && supafs_str_eq(value, SUPAFS_STR("1"))) {
		m->has |= SUPAFS_META_MORE;
		return true;
	}
	if (supafs_str_eq(name, SUPAFS_STR("max-age")) && resumable_age(value))
		m->has |= SUPAFS_META_ASK;
	return false;
}

static bool blank(char c)
{
	return c == ' ' || c == '\t';
}

static struct supafs_str trim(struct supafs_str s)
{
	while (s.n > 0 && blank(s.p[0])) {
		s.p++;
		s.n--;
	}
	while (s.n > 0 && blank(s.p[s.n - 1]))
		s.n--;
	return s;
}

/* The directive at the head of *rest, which moves behind its comma. Commas in quoted strings do
 * not count. */
static struct supafs_str next_directive(struct supafs_str *rest)
{
	bool quoted = false;
	size_t i = 0;

	for (; i < rest->n && (quoted || rest->p[i] != ','); i++) {
		if (rest->p[i] == '"')
			quoted = !quoted;
		else if (quoted && rest->p[i] == '\\' && i + 1 < rest->n)
			i++;
	}
	struct supafs_str d = {rest->p, i};
	size_t step = i < rest->n ? i + 1 : i;
	rest->p += step;
	rest->n -= step;
	return trim(d);
}

void supafs_meta_parse_directives(
	struct supafs_str cache_control, struct supafs_meta *ret_meta, struct supafs_buf *ret_plain)
{
	struct supafs_str rest = cache_control;
	struct supafs_meta m = {0};

	while (rest.n > 0) {
		struct supafs_str d = next_directive(&rest);
		if (d.n == 0 || take_directive(d, &m) || !ret_plain)
			continue;
		if (ret_plain->n)
			(void)supafs_buf_adds(ret_plain, ", ");
		(void)supafs_buf_addstr(ret_plain, d);
	}
	*ret_meta = m;
}

static bool header_safe(struct supafs_str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if ((c < ' ' && c != '\t') || c == 0x7f)
			return false;
	}
	return true;
}

/* Ends a quoted string that is open at the end of `b`: ours would be lost in it. */
static void close_quote(struct supafs_buf *b)
{
	bool quoted = false;
	bool escape = false;

	for (size_t i = 0; i < b->n; i++) {
		const char c = b->p[i];
		if (escape)
			escape = false;
		else if (c == '"')
			quoted = !quoted;
		else
			escape = quoted && c == '\\';
	}
	if (quoted)
		(void)supafs_buf_adds(b, escape ? "\\\"" : "\"");
}

int supafs_meta_cache_control(
	struct supafs_buf *b, struct supafs_str plain, const struct supafs_meta *m)
{
	struct supafs_meta dropped;
	int r;

	if (!header_safe(plain))
		return -EINVAL;
	supafs_meta_parse_directives(plain, &dropped, b);
	close_quote(b);
	if (b->n == 0)
		(void)supafs_buf_adds(b, "no-cache");
	r = supafs_meta_add_directives(b, m);
	if (r == 0 && b->n > SUPAFS_CC_MAX)
		return -EINVAL;
	return r == -EMSGSIZE ? -EINVAL : r;
}

/* --- User metadata ---------------------------------------------------------------------------- */

int supafs_meta_add_json(struct supafs_buf *b, const struct supafs_meta *m, struct supafs_str nonce)
{
	uint32_t mode = S_ISLNK(m->mode) ? m->mode : (m->mode | S_IFREG);
	const char *sep = "";
	char text[40];

	(void)supafs_buf_addc(b, '{');
	if (m->has & SUPAFS_META_MTIME) {
		int r = supafs_format_mtime(m->mtime_ns, text, sizeof(text));
		if (r < 0)
			return r;
		(void)supafs_buf_addf(b, "\"mtime\":\"%s\"", text);
		sep = ",";
	}
	if (m->has & SUPAFS_META_MODE) {
		(void)supafs_buf_addf(b, "%s\"mode\":\"%u\"", sep, mode);
		sep = ",";
	}
	if (m->has & SUPAFS_META_UID) {
		(void)supafs_buf_addf(b, "%s\"uid\":\"%u\"", sep, m->uid);
		sep = ",";
	}
	if (m->has & SUPAFS_META_GID) {
		(void)supafs_buf_addf(b, "%s\"gid\":\"%u\"", sep, m->gid);
		sep = ",";
	}
	if (nonce.n > 0) {
		(void)supafs_buf_addf(b, "%s\"nonce\":", sep);
		(void)supafs_json_quote(b, nonce);
	}
	(void)supafs_buf_addc(b, '}');
	return supafs_buf_error(b);
}

static void mode_from_text(struct supafs_str v, struct supafs_meta *m)
{
	uint64_t mode;

	if (v.n > 1 && v.p[0] == '0') {
		(void)take_mode(v, m);
	} else if (supafs_parse_u64(v, 0177777, &mode) == 0) {
		m->mode = keep_mode(mode);
		m->has |= SUPAFS_META_MODE;
	}
}

void supafs_meta_from_json(const struct supafs_json *object, struct supafs_meta *ret_meta)
{
	struct supafs_meta m = {0};
	char text[64];

	if (supafs_json_scalar(object, "mtime", text, sizeof(text)))
		(void)take_mtime(supafs_str_of(text), &m);
	if (supafs_json_scalar(object, "mode", text, sizeof(text)))
		mode_from_text(supafs_str_of(text), &m);
	if (supafs_json_scalar(object, "uid", text, sizeof(text)))
		(void)take_id(supafs_str_of(text), &m.uid, SUPAFS_META_UID, &m);
	if (supafs_json_scalar(object, "gid", text, sizeof(text)))
		(void)take_id(supafs_str_of(text), &m.gid, SUPAFS_META_GID, &m);
	*ret_meta = m;
}
