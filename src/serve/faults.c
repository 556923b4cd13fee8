/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fault rules. A rule keeps its two JSON texts for listings and what was parsed out of them.
 *
 *	matched ≤ skip                      the request passes
 *	skip < matched, hit < count or ∞    the rule hits, with its probability
 *	hit = count                         the rule is spent: passes all, and stays listed
 */
#include "faults.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/clock.h"
#include "supafs/util/list.h"
#include "supafs/util/lock.h"

#include "keys.h"

#define RULES_MAX 100
#define GLOB_MAX  512

struct rule {
	struct supafs_list link;
	uint64_t id;
	char method[16]; /* "" = any */
	bool any_kind;
	enum serve_kind kind;
	char bucket[128], key[GLOB_MAX]; /* "" = any */
	uint64_t skip, count, seed;
	double probability;
	struct serve_fault effect;
	struct supafs_rng rng;
	uint64_t matched, hit;
	char *match_text, *effect_text;
};

struct serve_faults {
	struct supafs_mutex lock;
	struct supafs_list rules; /* lock */
	size_t n;                 /* lock */
	uint64_t next_id;         /* lock */
};

/* How one member of a JSON object becomes a field. */
enum field_type {
	FIELD_TEXT, /* char[size] */
	FIELD_U64,
	FIELD_UINT,
	FIELD_BOOL,
	FIELD_SHARE, /* double 0…1 */
	FIELD_KIND,
	FIELD_RESET,
	FIELD_CUT, /* cut_after, which also sets cut */
};

struct field {
	const char *name;
	enum field_type type;
	size_t offset, size;
	double max;
};

#define TEXT(T, member) FIELD_TEXT, offsetof(T, member), sizeof(((T *)NULL)->member), 0
#define EFFECT(member)  offsetof(struct serve_fault, member), 0

static const struct field match_fields[] = {
	{"method", TEXT(struct rule, method)},
	{"kind", FIELD_KIND, offsetof(struct rule, kind), 0, 0},
	{"bucket", TEXT(struct rule, bucket)},
	{"key", TEXT(struct rule, key)},
	{"skip", FIELD_U64, offsetof(struct rule, skip), 0, 1e15},
	{"count", FIELD_U64, offsetof(struct rule, count), 0, 1e15},
	{"seed", FIELD_U64, offsetof(struct rule, seed), 0, 1e15},
	{"probability", FIELD_SHARE, offsetof(struct rule, probability), 0, 1},
};

static const struct field effect_fields[] = {
	{"delay_ms", FIELD_U64, EFFECT(delay_ms), 3600e3},
	{"silence", FIELD_BOOL, EFFECT(silence), 0},
	{"rate_up", FIELD_U64, EFFECT(rate_up), 1e12},
	{"rate_down", FIELD_U64, EFFECT(rate_down), 1e12},
	{"drip_ms", FIELD_U64, EFFECT(drip_ms), 60e3},
	{"status", FIELD_UINT, EFFECT(status), 599},
	{"garbage", FIELD_U64, EFFECT(garbage), 1 << 20},
	{"reset", FIELD_RESET, EFFECT(reset), 0},
	{"reset_after", FIELD_U64, EFFECT(reset_after), 1e15},
	{"cut_after", FIELD_CUT, EFFECT(cut_after), 1e15},
	{"wrong_etag", FIELD_BOOL, EFFECT(wrong_etag), 0},
	{"content_type", TEXT(struct serve_fault, content_type)},
	{"header", TEXT(struct serve_fault, header[0])},
	{"header2", TEXT(struct serve_fault, header[1])},
	{"body", TEXT(struct serve_fault, body)},
};

static const char *const resets[] = {
	[SERVE_RESET_BEFORE] = "before",
	[SERVE_RESET_BODY] = "body",
	[SERVE_RESET_INSIDE] = "inside",
	[SERVE_RESET_ANSWER] = "answer",
};

static int parse_number(const cJSON *v, double max, double *ret)
{
	if (!cJSON_IsNumber(v) || !(v->valuedouble >= 0) || v->valuedouble > max)
		return -EINVAL;
	*ret = v->valuedouble;
	return 0;
}

static int parse_integer(const cJSON *v, double max, uint64_t *ret)
{
	double number;

	if (parse_number(v, max, &number) != 0 || floor(number) != number)
		return -EINVAL;
	*ret = (uint64_t)number;
	return 0;
}

static int parse_text(const cJSON *v, char *out, size_t size)
{
	size_t n = cJSON_IsString(v) ? strlen(v->valuestring) : size;

	if (n >= size)
		return -EINVAL;
	memcpy(out, v->valuestring, n + 1);
	return 0;
}

static int parse_reset(const cJSON *v, enum serve_reset *ret)
{
	for (unsigned r = SERVE_RESET_BEFORE; r < SUPAFS_ARRAY_LEN(resets); r++) {
		if (cJSON_IsString(v) && strcmp(v->valuestring, resets[r]) == 0) {
			*ret = (enum serve_reset)r;
			return 0;
		}
	}
	return -EINVAL;
}

static int parse_field(const struct field *f, const cJSON *v, void *base)
{
	void *at = (char *)base + f->offset;
	uint64_t number = 0;
	int r = -EINVAL;

	switch (f->type) {
	case FIELD_TEXT:
		return parse_text(v, at, f->size);
	case FIELD_U64:
		return parse_integer(v, f->max, at);
	case FIELD_UINT:
		r = parse_integer(v, f->max, &number);
		*(unsigned *)at = (unsigned)number;
		return r;
	case FIELD_BOOL:
		*(bool *)at = cJSON_IsTrue(v);
		return cJSON_IsBool(v) ? 0 : -EINVAL;
	case FIELD_SHARE:
		return parse_number(v, 1, at);
	case FIELD_KIND:
		((struct rule *)base)->any_kind = false;
		return cJSON_IsString(v) ? serve_kind_parse(supafs_str_of(v->valuestring), at) : r;
	case FIELD_RESET:
		return parse_reset(v, at);
	case FIELD_CUT:
		((struct serve_fault *)base)->cut = true;
		return parse_integer(v, f->max, at);
	}
	return r;
}

static int parse_object(
	const cJSON *json, const struct field *fields, size_t n, void *base, const char **ret_why)
{
	const cJSON *v;

	cJSON_ArrayForEach(v, json)
	{
		size_t i = 0;

		while (i < n && strcmp(fields[i].name, v->string) != 0)
			i++;
		if (i == n) {
			*ret_why = "unknown member";
			return -EINVAL;
		}
		if (parse_field(&fields[i], v, base) != 0) {
			*ret_why = fields[i].name;
			return -EINVAL;
		}
	}
	return 0;
}

static int parse_part(struct supafs_str text, const struct field *fields, size_t n, void *base,
	const char **ret_why)
{
	cJSON *json = cJSON_ParseWithLength(text.n ? text.p : "{}", text.n ? text.n : 2);
	int r = -EINVAL;

	*ret_why = "not a JSON object";
	if (cJSON_IsObject(json))
		r = parse_object(json, fields, n, base, ret_why);
	cJSON_Delete(json);
	return r;
}

static struct rule *rule_free(struct rule *r)
{
	if (r) {
		free(r->match_text);
		free(r->effect_text);
		free(r);
	}
	return NULL;
}

static int check_effect(const struct serve_fault *e, const char **ret_why)
{
	*ret_why = "status";
	if (e->status != 0 && e->status < 200)
		return -EINVAL;
	*ret_why = "header must be \"Name: value\"";
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(e->header); i++) {
		if (e->header[i][0] != '\0' && !strstr(e->header[i], ": "))
			return -EINVAL;
	}
	return 0;
}

static int rule_parse(
	struct rule *r, struct supafs_str match, struct supafs_str effect, const char **ret_why)
{
	int e;

	r->any_kind = true;
	r->probability = 1;
	e = parse_part(match, match_fields, SUPAFS_ARRAY_LEN(match_fields), r, ret_why);
	if (e == 0)
		e = parse_part(effect, effect_fields, SUPAFS_ARRAY_LEN(effect_fields), &r->effect,
			ret_why);
	if (e == 0)
		e = check_effect(&r->effect, ret_why);
	if (e != 0)
		return e;
	r->match_text = supafs_str_dup(match.n ? match : SUPAFS_STR("{}"));
	r->effect_text = supafs_str_dup(effect.n ? effect : SUPAFS_STR("{}"));
	supafs_rng_init(&r->rng, r->seed);
	return r->match_text && r->effect_text ? 0 : -ENOMEM;
}

int serve_faults_new(struct serve_faults **ret_faults)
{
	struct serve_faults *f = calloc(1, sizeof(*f));

	if (!f)
		return -ENOMEM;
	supafs_mutex_init(&f->lock);
	supafs_list_init(&f->rules);
	*ret_faults = f;
	return 0;
}

struct serve_faults *serve_faults_free(struct serve_faults *f)
{
	if (f) {
		(void)serve_faults_clear(f, 0);
		supafs_mutex_fini(&f->lock);
		free(f);
	}
	return NULL;
}

int serve_faults_add(struct serve_faults *f, struct supafs_str match, struct supafs_str effect,
	uint64_t *ret_id, const char **ret_why)
{
	struct rule *r = calloc(1, sizeof(*r));
	int e = r ? rule_parse(r, match, effect, ret_why) : -ENOMEM;

	if (e != 0) {
		rule_free(r);
		return e;
	}
	SUPAFS_SCOPED_LOCK(&f->lock);
	if (f->n >= RULES_MAX) {
		rule_free(r);
		return -E2BIG;
	}
	r->id = r->effect.id = ++f->next_id;
	supafs_list_add_tail(&f->rules, &r->link);
	f->n++;
	*ret_id = r->id;
	return 0;
}

int serve_faults_clear(struct serve_faults *f, uint64_t id)
{
	bool found = id == 0;

	SUPAFS_SCOPED_LOCK(&f->lock);
	supafs_list_for_each_safe (it, next, &f->rules) {
		struct rule *r = supafs_list_entry(it, struct rule, link);

		if (id != 0 && r->id != id)
			continue;
		supafs_list_remove(&r->link);
		f->n--;
		rule_free(r);
		found = true;
	}
	return found ? 0 : -ENOENT;
}

static bool glob_or_any(const char *pattern, struct supafs_str text)
{
	return pattern[0] == '\0' || serve_glob(supafs_str_of(pattern), text);
}

static bool rule_matches(const struct rule *r, const struct serve_facts *facts)
{
	return (r->method[0] == '\0' || supafs_str_eq(facts->method, supafs_str_of(r->method))) &&
	       (r->any_kind || r->kind == facts->kind) && glob_or_any(r->bucket, facts->bucket) &&
	       glob_or_any(r->key, facts->key);
}

static bool rule_hits(struct rule *r)
{
	if (r->matched++ < r->skip || (r->count != 0 && r->hit >= r->count))
		return false;
	if (r->probability < 1 &&
		(double)supafs_rng_below(&r->rng, 1U << 30) >= r->probability * (1U << 30))
		return false;
	r->hit++;
	return true;
}

bool serve_faults_decide(
	struct serve_faults *f, const struct serve_facts *facts, struct serve_fault *ret_fault)
{
	SUPAFS_SCOPED_LOCK(&f->lock);
	supafs_list_for_each (it, &f->rules) {
		struct rule *r = supafs_list_entry(it, struct rule, link);

		if (rule_matches(r, facts) && rule_hits(r)) {
			*ret_fault = r->effect;
			return true;
		}
	}
	return false;
}

int serve_faults_json(struct serve_faults *f, struct supafs_buf *out)
{
	const char *comma = "";

	SUPAFS_SCOPED_LOCK(&f->lock);
	supafs_buf_addc(out, '[');
	supafs_list_for_each (it, &f->rules) {
		const struct rule *r = supafs_list_entry(it, const struct rule, link);

		supafs_buf_addf(out, "%s{\"id\":%" PRIu64 ",\"match\":%s,\"effect\":%s", comma,
			r->id, r->match_text, r->effect_text);
		supafs_buf_addf(
			out, ",\"matched\":%" PRIu64 ",\"hit\":%" PRIu64 "}", r->matched, r->hit);
		comma = ",";
	}
	return supafs_buf_addc(out, ']');
}
