/* SPDX-License-Identifier: Apache-2.0 */
/* JSON accessors over cJSON; see json_priv.h for the bounds. */
#include <cjson/cJSON.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>

#include "supafs/util/clock.h"
#include "supafs/util/limits.h"
#include "supafs/util/parse.h"

#include "json_priv.h"
#include "store_priv.h"

static const cJSON *in(const struct supafs_json *j)
{
	return (const cJSON *)(const void *)j;
}

static const struct supafs_json *out_of(const cJSON *c)
{
	return (const struct supafs_json *)(const void *)c;
}

/* Walks over the string that begins at s.p[i] == '"'; the index behind it, or 0 if it has a
 * NUL escape or never ends. */
static size_t skip_string(struct supafs_str s, size_t i)
{
	for (i++; i < s.n; i++) {
		if (s.p[i] == '"')
			return i + 1;
		if (s.p[i] != '\\')
			continue;
		i++;
		if (s.n - i >= 5 && memcmp(s.p + i, "u0000", 5) == 0)
			return 0;
	}
	return 0;
}

/* Counts what will become nodes, without building any. */
static bool within_bounds(struct supafs_str s)
{
	size_t values = 1;

	if (s.n > SUPAFS_JSON_BODY_MAX || memchr(s.p, '\0', s.n))
		return false;
	for (size_t i = 0; i < s.n;) {
		char c = s.p[i];
		if (c == '"') {
			i = skip_string(s, i);
			if (i == 0)
				return false;
			continue;
		}
		if ((c == ',' || c == '[' || c == '{') && ++values > SUPAFS_JSON_VALUES_MAX)
			return false;
		i++;
	}
	return true;
}

/* cJSON stops at the end of the first value; only blanks may stand behind it. */
static bool rest_blank(struct supafs_str s, const char *end)
{
	for (; end < s.p + s.n; end++) {
		if (*end != ' ' && *end != '\t' && *end != '\r' && *end != '\n')
			return false;
	}
	return true;
}

int supafs_json_parse(struct supafs_str text, struct supafs_json **ret_json)
{
	const char *end = NULL;
	cJSON *c;

	if (text.n == 0 || !within_bounds(text))
		return -EPROTO;
	c = cJSON_ParseWithLengthOpts(text.p, text.n, &end, 0);
	/* cJSON does not tell a syntax error from a failed malloc; the latter is repeated as little
	 * as the former. */
	if (!c)
		return -EPROTO;
	if (!end || !rest_blank(text, end)) {
		cJSON_Delete(c);
		return -EPROTO;
	}
	*ret_json = (struct supafs_json *)(void *)c;
	return 0;
}

struct supafs_json *supafs_json_free(struct supafs_json *j)
{
	cJSON_Delete((cJSON *)(void *)j);
	return NULL;
}

void supafs_json_freep(struct supafs_json **j)
{
	*j = supafs_json_free(*j);
}

bool supafs_json_is_object(const struct supafs_json *j)
{
	return cJSON_IsObject(in(j));
}

bool supafs_json_is_array(const struct supafs_json *j)
{
	return cJSON_IsArray(in(j));
}

bool supafs_json_is_null(const struct supafs_json *j)
{
	return cJSON_IsNull(in(j));
}

const struct supafs_json *supafs_json_get(const struct supafs_json *j, const char *name)
{
	return cJSON_IsObject(in(j)) ? out_of(cJSON_GetObjectItemCaseSensitive(in(j), name)) : NULL;
}

const struct supafs_json *supafs_json_first(const struct supafs_json *array)
{
	return cJSON_IsArray(in(array)) ? out_of(in(array)->child) : NULL;
}

const struct supafs_json *supafs_json_members(const struct supafs_json *object)
{
	return cJSON_IsObject(in(object)) ? out_of(in(object)->child) : NULL;
}

struct supafs_str supafs_json_name(const struct supafs_json *member)
{
	const char *name = in(member)->string;

	return name ? supafs_str_of(name) : SUPAFS_STR("");
}

const struct supafs_json *supafs_json_next(const struct supafs_json *it)
{
	return it ? out_of(in(it)->next) : NULL;
}

bool supafs_json_value_text(const struct supafs_json *j, struct supafs_str *ret)
{
	if (!cJSON_IsString(in(j)) || !in(j)->valuestring)
		return false;
	*ret = supafs_str_of(in(j)->valuestring);
	return true;
}

bool supafs_json_text(const struct supafs_json *j, const char *name, struct supafs_str *ret)
{
	return supafs_json_value_text(supafs_json_get(j, name), ret);
}

bool supafs_json_bool(const struct supafs_json *j, const char *name, bool *ret)
{
	const cJSON *c = in(supafs_json_get(j, name));

	if (!cJSON_IsBool(c))
		return false;
	*ret = cJSON_IsTrue(c);
	return true;
}

/* valueint stops at 2^31 - 1, so the double counts: exact up to 2^53. */
static bool number_size(double d, uint64_t *ret)
{
	if (!(d >= 0 && d <= 9007199254740992.0) || floor(d) != d)
		return false;
	*ret = (uint64_t)d;
	return true;
}

bool supafs_json_size(const struct supafs_json *j, const char *name, uint64_t max, uint64_t *ret)
{
	const struct supafs_json *v = supafs_json_get(j, name);
	struct supafs_str text;
	uint64_t n;

	if (supafs_json_value_text(v, &text)) {
		if (supafs_parse_u64(text, UINT64_C(1) << 53, &n) < 0)
			return false;
	} else if (!cJSON_IsNumber(in(v)) || !number_size(in(v)->valuedouble, &n)) {
		return false;
	}
	if (n > max)
		return false;
	*ret = n;
	return true;
}

bool supafs_json_time(const struct supafs_json *j, const char *name, int64_t *ret_ns)
{
	struct supafs_str s;

	return supafs_json_text(j, name, &s) && supafs_parse_iso8601(s.p, s.n, ret_ns) == 0;
}

bool supafs_json_uuid(const struct supafs_json *j, const char *name, unsigned char ret[16])
{
	struct supafs_str s;

	return supafs_json_text(j, name, &s) && supafs_uuid_parse(s, ret);
}

static bool copy_text(struct supafs_str s, char *out, size_t size)
{
	if (s.n >= size)
		return false;
	memcpy(out, s.p, s.n);
	out[s.n] = '\0';
	return true;
}

bool supafs_json_copy(const struct supafs_json *j, const char *name, char *out, size_t size)
{
	struct supafs_str s;

	return supafs_json_text(j, name, &s) && copy_text(s, out, size);
}

bool supafs_json_render(const struct supafs_json *j, char *out, size_t size)
{
	struct supafs_str s;
	char *text;
	bool fits;

	if (supafs_json_value_text(j, &s))
		return copy_text(s, out, size);
	text = cJSON_PrintUnformatted(in(j));
	fits = text && copy_text(supafs_str_of(text), out, size);
	cJSON_free(text);
	return fits;
}

bool supafs_json_scalar(const struct supafs_json *j, const char *name, char *out, size_t size)
{
	const cJSON *c = in(supafs_json_get(j, name));
	int n;

	if (cJSON_IsString(c))
		return supafs_json_copy(j, name, out, size);
	if (!cJSON_IsNumber(c) || !isfinite(c->valuedouble))
		return false;
	/* A number in metadata is somebody's whole seconds or mode; a fraction is kept as far as a
	 * double has it. */
	n = snprintf(out, size, floor(c->valuedouble) == c->valuedouble ? "%.0f" : "%.6f",
		c->valuedouble);
	return n > 0 && (size_t)n < size;
}
