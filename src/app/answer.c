/* SPDX-License-Identifier: Apache-2.0 */
#include "answer.h"

#include <cjson/cJSON.h>
#include <errno.h>

#define NUMBER_MAX 9007199254740992.0 /* 2^53: above it a double skips numbers */

static const cJSON *json_of(const struct supafs_answer *a)
{
	return (const cJSON *)(const void *)a;
}

/* cJSON would cut a text there, and a cut name is another name. */
static bool has_nul(struct supafs_str text)
{
	return (text.n > 0 && memchr(text.p, '\0', text.n)) ||
	       memmem(text.p, text.n, "\\u0000", 6) != NULL;
}

int supafs_answer_parse(struct supafs_str text, struct supafs_answer **ret)
{
	cJSON *j;

	if (text.n == 0 || text.n > SUPAFS_ANSWER_MAX || has_nul(text))
		return -EPROTO;
	j = cJSON_ParseWithLength(text.p, text.n);
	if (!cJSON_IsObject(j)) {
		cJSON_Delete(j);
		return -EPROTO;
	}
	*ret = (struct supafs_answer *)(void *)j;
	return 0;
}

struct supafs_answer *supafs_answer_free(struct supafs_answer *a)
{
	cJSON_Delete((cJSON *)(void *)a);
	return NULL;
}

void supafs_answer_freep(struct supafs_answer **a)
{
	*a = supafs_answer_free(*a);
}

static const cJSON *member(const struct supafs_answer *a, const char *name)
{
	return cJSON_GetObjectItemCaseSensitive(json_of(a), name);
}

const char *supafs_answer_text(const struct supafs_answer *a, const char *name, const char *other)
{
	const char *text = cJSON_GetStringValue(member(a, name));

	return text ? text : other;
}

uint64_t supafs_answer_number(const struct supafs_answer *a, const char *name, uint64_t other)
{
	const cJSON *m = member(a, name);

	if (!cJSON_IsNumber(m) || !(m->valuedouble >= 0) || m->valuedouble > NUMBER_MAX)
		return other;
	return (uint64_t)m->valuedouble;
}

bool supafs_answer_true(const struct supafs_answer *a, const char *name)
{
	return cJSON_IsTrue(member(a, name));
}

const struct supafs_answer *supafs_answer_member(const struct supafs_answer *a, const char *name)
{
	const cJSON *m = member(a, name);

	return cJSON_IsObject(m) ? (const struct supafs_answer *)(const void *)m : NULL;
}
