/* SPDX-License-Identifier: Apache-2.0 */
/* JSON bodies and user metadata. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/limits.h"
#include "supafs/util/parse.h"

#include "rest.h"

#define METADATA_MAX (1U << 20)

/* cJSON ends a text at a NUL, so one that arrives as \u0000 would cut a name. */
static bool has_escaped_nul(struct supafs_str text)
{
	static const char nul[] = "u0000";

	for (size_t i = 0; i + 1 < text.n; i++) {
		if (text.p[i] != '\\')
			continue;
		i++;
		if (text.n - i >= sizeof(nul) - 1 && memcmp(text.p + i, nul, sizeof(nul) - 1) == 0)
			return true;
	}
	return false;
}

static void json_cleanup(cJSON **p)
{
	cJSON_Delete(*p);
}

/* The digits at `p`; where they end. */
static const char *skip_digits(const char *p, const char *end)
{
	while (p < end && *p >= '0' && *p <= '9')
		p++;
	return p;
}

/* A number as JSON has it, from `p` on: no zero in front, digits on both sides of a dot. */
static const char *skip_number(const char *p, const char *end)
{
	const char *digits = *p == '-' ? p + 1 : p;

	p = skip_digits(digits, end);
	if (p == digits || (*digits == '0' && p != digits + 1))
		return NULL;
	if (p < end && *p == '.') {
		digits = p + 1;
		p = skip_digits(digits, end);
		if (p == digits)
			return NULL;
	}
	if (p < end && (*p == 'e' || *p == 'E')) {
		p++;
		if (p < end && (*p == '+' || *p == '-'))
			p++;
		digits = p;
		p = skip_digits(digits, end);
		if (p == digits)
			return NULL;
	}
	return p;
}

/* A text from its quote on; it ends, and has no control bytes. */
static const char *skip_text(const char *p, const char *end)
{
	for (p++; p < end && *p != '"'; p++) {
		if ((unsigned char)*p < 0x20)
			return NULL;
		if (*p == '\\' && p + 1 < end)
			p++;
	}
	return p < end ? p + 1 : NULL;
}

/* What cJSON takes and JSON does not: a byte order mark, control bytes as blanks and in texts,
 * numbers such as 01 and 1. */
static bool strict(struct supafs_str text)
{
	const char *end = text.p + text.n;

	for (const char *p = text.p; p && p < end;) {
		const unsigned char c = (unsigned char)*p;

		if (c == '"')
			p = skip_text(p, end);
		else if (c == '-' || (c >= '0' && c <= '9'))
			p = skip_number(p, end);
		else if (c > 0x7E || (c < 0x20 && !strchr("\t\r\n", c)) || c == 0)
			p = NULL;
		else
			p++;
		if (!p)
			return false;
	}
	return true;
}

/* The whole text as one JSON value; NULL when it is none. cJSON alone stops behind the first value.
 */
static cJSON *parse_whole(struct supafs_str text)
{
	const char *end = NULL;
	cJSON *json = NULL;

	if (strict(text))
		json = cJSON_ParseWithLengthOpts(text.p, text.n, &end, 0);
	while (json && end < text.p + text.n && strchr(" \t\r\n", *end))
		end++;
	if (json && end < text.p + text.n) {
		cJSON_Delete(json);
		return NULL;
	}
	return json;
}

static bool json_type(struct serve_request *req)
{
	const char *type = rest_request_header(req, "Content-Type");

	return type && strncasecmp(type, "application/json", 16) == 0;
}

bool rest_refuse_empty_json(struct serve_request *req)
{
	if (req->body.n || !json_type(req))
		return false;
	rest_failf(req, SERVE_INVALID_JSON,
		"Body cannot be empty when content-type is set to 'application/json'");
	return true;
}

bool rest_parse_json(struct serve_request *req)
{
	struct supafs_str text = supafs_buf_str(&req->body);

	if (rest_refuse_empty_json(req))
		return false;
	if (text.n == 0) {
		rest_failf(req, SERVE_INVALID_REQUEST, "body must be object");
		return false;
	}
	if (has_escaped_nul(text)) {
		rest_fail(req, SERVE_DATABASE);
		return false;
	}
	req->json = parse_whole(text);
	if (!req->json) {
		rest_fail(req, SERVE_INVALID_JSON);
		return false;
	}
	if (!cJSON_IsObject(req->json)) {
		rest_failf(req, SERVE_INVALID_REQUEST, "body must be object");
		return false;
	}
	return true;
}

/* --- members ------------------------------------------------------------------ */

/* "a/b" is member b of member a. */
static const cJSON *find_member(const struct serve_request *req, const char *path)
{
	const cJSON *at = req->json;
	char name[64];

	while (at && *path) {
		size_t n = strcspn(path, "/");

		(void)snprintf(name, sizeof(name), "%.*s", (int)n, path);
		at = cJSON_GetObjectItemCaseSensitive(at, name);
		path += n + (path[n] == '/');
	}
	return at;
}

static bool missing(struct serve_request *req, const char *path, bool required)
{
	if (required)
		rest_failf(
			req, SERVE_INVALID_REQUEST, "body must have required property '%s'", path);
	return !required;
}

static bool wrong_type(struct serve_request *req, const char *path, const char *type)
{
	rest_failf(req, SERVE_INVALID_REQUEST, "body/%s must be %s", path, type);
	return false;
}

bool rest_member_text(
	struct serve_request *req, const char *name, bool required, struct supafs_str *ret)
{
	const cJSON *item = find_member(req, name);

	if (!item)
		return missing(req, name, required);
	if (!cJSON_IsString(item))
		return wrong_type(req, name, "string");
	*ret = supafs_str_of(item->valuestring);
	return true;
}

bool rest_member_uint(
	struct serve_request *req, const char *name, uint64_t min, bool required, uint64_t *ret)
{
	const cJSON *item = find_member(req, name);
	uint64_t value = 0;

	if (!item)
		return missing(req, name, required);
	if (cJSON_IsString(item)) {
		/* The real server's validator turns "5" into 5. */
		if (supafs_parse_u64(supafs_str_of(item->valuestring), UINT64_C(1) << 53, &value) <
			0)
			return wrong_type(req, name, "integer");
	} else if (!cJSON_IsNumber(item) || !isfinite(item->valuedouble) ||
		   item->valuedouble != floor(item->valuedouble)) {
		return wrong_type(req, name, "integer");
	} else if (item->valuedouble > 0 && item->valuedouble < 9007199254740992.0) {
		value = (uint64_t)item->valuedouble;
	} else if (item->valuedouble > 0) {
		value = UINT64_C(1) << 53;
	} else if (item->valuedouble < 0) {
		rest_failf(req, SERVE_INVALID_REQUEST, "body/%s must be >= %llu", name,
			(unsigned long long)min);
		return false;
	}
	if (value < min) {
		rest_failf(req, SERVE_INVALID_REQUEST, "body/%s must be >= %llu", name,
			(unsigned long long)min);
		return false;
	}
	*ret = value;
	return true;
}

bool rest_member_bool(struct serve_request *req, const char *name, bool *ret, bool *ret_present)
{
	const cJSON *item = find_member(req, name);

	*ret_present = item != NULL;
	if (!item)
		return true;
	if (cJSON_IsString(item) && strcmp(item->valuestring, "true") == 0)
		*ret = true;
	else if (cJSON_IsString(item) && strcmp(item->valuestring, "false") == 0)
		*ret = false;
	else if (cJSON_IsBool(item))
		*ret = cJSON_IsTrue(item);
	else
		return wrong_type(req, name, "boolean");
	return true;
}

bool rest_member_texts(
	struct serve_request *req, const char *name, struct supafs_str **ret_list, size_t *ret_n)
{
	const cJSON *list = find_member(req, name);
	const cJSON *item;
	struct supafs_str *out;
	size_t n = 0;

	if (!list)
		return missing(req, name, true);
	if (!cJSON_IsArray(list))
		return wrong_type(req, name, "array");
	if (cJSON_GetArraySize(list) == 0) {
		rest_failf(req, SERVE_INVALID_REQUEST, "body/%s must NOT have fewer than 1 items",
			name);
		return false;
	}
	out = calloc((size_t)cJSON_GetArraySize(list), sizeof(*out));
	if (!out) {
		rest_fail(req, SERVE_INTERNAL);
		return false;
	}
	cJSON_ArrayForEach(item, list)
	{
		if (!cJSON_IsString(item)) {
			rest_failf(
				req, SERVE_INVALID_REQUEST, "body/%s/%zu must be string", name, n);
			free(out);
			return false;
		}
		out[n++] = supafs_str_of(item->valuestring);
	}
	*ret_list = out;
	*ret_n = n;
	return true;
}

bool rest_member_sort(struct serve_request *req, const char *const *columns, int *ret_column,
	bool *ret_desc, bool *ret_has_order)
{
	struct supafs_str column = {"", 0}, order = {"", 0};
	int found = -1;

	*ret_has_order = false;
	if (!find_member(req, "sortBy"))
		return true;
	if (!rest_member_text(req, "sortBy/column", false, &column) ||
		!rest_member_text(req, "sortBy/order", false, &order))
		return false;
	for (int i = 0; columns[i]; i++) {
		if (supafs_str_eq(column, supafs_str_of(columns[i])))
			found = i;
	}
	if (column.n && found < 0) {
		rest_failf(req, SERVE_INVALID_REQUEST,
			"body/sortBy/column must be equal to one of the allowed values");
		return false;
	}
	if (order.n && !supafs_str_eq(order, SUPAFS_STR("asc")) &&
		!supafs_str_eq(order, SUPAFS_STR("desc"))) {
		rest_failf(req, SERVE_INVALID_REQUEST,
			"body/sortBy/order must be equal to one of the allowed values");
		return false;
	}
	if (found >= 0)
		*ret_column = found;
	*ret_has_order = order.n > 0;
	*ret_desc = supafs_str_eq(order, SUPAFS_STR("desc"));
	return true;
}

/* --- user metadata ---------------------------------------------------------------- */

static int digit(char c)
{
	static const char alphabet[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at;

	if (c == '-')
		c = '+';
	else if (c == '_')
		c = '/';
	at = c ? strchr(alphabet, c) : NULL;
	return at ? (int)(at - alphabet) : -1;
}

int rest_b64_lenient(struct supafs_buf *out, struct supafs_str text)
{
	unsigned bits = 0;
	int n = 0;

	for (size_t i = 0; i < text.n && text.p[i] != '='; i++) {
		int d = digit(text.p[i]);

		if (d < 0)
			continue;
		bits = (bits << 6 | (unsigned)d) & 0xffffU;
		n += 6;
		if (n >= 8) {
			n -= 8;
			(void)supafs_buf_addc(out, (char)(bits >> n & 0xffU));
		}
	}
	return supafs_buf_error(out);
}

/* The text itself is kept, minified, so that numbers stay as they were written. */
bool rest_metadata_text(struct supafs_str json, struct supafs_buf *out)
{
	supafs_cleanup(json_cleanup) cJSON *parsed = NULL;
	supafs_autofree char *text = NULL;

	if (has_escaped_nul(json))
		return false;
	supafs_buf_reset(out);
	if (rest_is_utf8(json.p, json.n))
		parsed = parse_whole(json);
	if (!cJSON_IsObject(parsed)) {
		(void)supafs_buf_adds(out, "{}");
		return true;
	}
	text = supafs_str_dup(json);
	if (text) {
		cJSON_Minify(text);
		(void)supafs_buf_adds(out, text);
	}
	return true;
}

bool rest_metadata_header(struct serve_request *req, struct supafs_buf *out)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf json;
	const char *text = rest_request_header(req, "x-metadata");

	supafs_buf_init(&json, METADATA_MAX);
	if (!text)
		return false;
	(void)rest_b64_lenient(&json, supafs_str_of(text));
	if (!rest_metadata_text(supafs_buf_str(&json), out))
		rest_fail(req, SERVE_DATABASE);
	return true;
}
