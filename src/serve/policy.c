/* SPDX-License-Identifier: Apache-2.0 */
/* The policy table. */
#include "policy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "supafs/util/buf.h"
#include "supafs/util/cleanup.h"
#include "supafs/util/limits.h"
#include "supafs/util/lock.h"

#include "keys.h"

#define POLICIES_MAX 1000
#define SUB_MARK     "{sub}"

struct policy {
	char *role, *bucket, *pattern;
	unsigned ops;
};

struct serve_policies {
	struct serve_db *db;
	pthread_rwlock_t lock; /* taken after the database's writer: deletes ask while they write */
	struct policy *list;   /* lock */
	size_t n;              /* lock */
};

static const struct {
	const char *name;
	unsigned op;
} op_names[] = {
	{"select", SERVE_OP_SELECT},
	{"insert", SERVE_OP_INSERT},
	{"update", SERVE_OP_UPDATE},
	{"delete", SERVE_OP_DELETE},
	{"all", SERVE_OP_ALL},
	{"none", 0},
};

static void unlock_cleanup(pthread_rwlock_t **l)
{
	(void)pthread_rwlock_unlock(*l);
}

static pthread_rwlock_t *read_lock(struct serve_policies *p)
{
	(void)pthread_rwlock_rdlock(&p->lock);
	return &p->lock;
}

static pthread_rwlock_t *write_lock(struct serve_policies *p)
{
	(void)pthread_rwlock_wrlock(&p->lock);
	return &p->lock;
}

static void policy_fini(struct policy *p)
{
	free(p->role);
	free(p->bucket);
	free(p->pattern);
}

/* The place of the policy with this identity, or n. */
static size_t find(const struct serve_policies *p, const struct policy *like)
{
	size_t i;

	for (i = 0; i < p->n; i++) {
		const struct policy *q = &p->list[i];

		if (strcmp(q->role, like->role) == 0 && strcmp(q->bucket, like->bucket) == 0 &&
			strcmp(q->pattern, like->pattern) == 0)
			break;
	}
	return i;
}

/* Room for one policy more at the end. */
static int grow(struct serve_policies *p)
{
	struct policy *list;

	if (p->n == POLICIES_MAX)
		return -E2BIG;
	list = realloc(p->list, (p->n + 1) * sizeof(*list));
	if (!list)
		return -ENOMEM;
	p->list = list;
	p->list[p->n++] = (struct policy){0};
	return 0;
}

static int set_in_memory(struct serve_policies *p, const struct policy *like)
{
	size_t at = find(p, like);
	struct policy copy = {.ops = like->ops};
	int r = at == p->n ? grow(p) : 0;

	if (r < 0 || p->list[at].role) {
		if (r == 0)
			p->list[at].ops = like->ops;
		return r;
	}
	copy.role = strdup(like->role);
	copy.bucket = strdup(like->bucket);
	copy.pattern = strdup(like->pattern);
	if (!copy.role || !copy.bucket || !copy.pattern) {
		policy_fini(&copy);
		p->n--;
		return -ENOMEM;
	}
	p->list[at] = copy;
	return 0;
}

static int load(struct serve_policies *p)
{
	supafs_cleanup(serve_conn_cleanup) struct serve_conn *c = serve_db_reader(p->db);
	sqlite3_stmt *s = c ? serve_conn_sql(c, SERVE_SQL_POLICY_LIST) : NULL;
	int r = SQLITE_ERROR;

	while (s && (r = sqlite3_step(s)) == SQLITE_ROW) {
		struct policy one = {.role = supafs_str_dup(serve_column_str(s, 0)),
			.bucket = supafs_str_dup(serve_column_str(s, 1)),
			.pattern = supafs_str_dup(serve_column_str(s, 2)),
			.ops = (unsigned)sqlite3_column_int(s, 3)};
		int e = one.role && one.bucket && one.pattern ? set_in_memory(p, &one) : -ENOMEM;

		policy_fini(&one);
		if (e < 0)
			return e;
	}
	return r == SQLITE_DONE ? 0 : -EIO;
}

int serve_policies_new(struct serve_db *db, struct serve_policies **ret_policies)
{
	struct serve_policies *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return -ENOMEM;
	p->db = db;
	(void)pthread_rwlock_init(&p->lock, NULL);
	r = load(p);
	if (r < 0) {
		(void)serve_policies_free(p);
		return r;
	}
	*ret_policies = p;
	return 0;
}

struct serve_policies *serve_policies_free(struct serve_policies *p)
{
	if (!p)
		return NULL;
	for (size_t i = 0; i < p->n; i++)
		policy_fini(&p->list[i]);
	free(p->list);
	(void)pthread_rwlock_destroy(&p->lock);
	free(p);
	return NULL;
}

static bool op_by_name(struct supafs_str name, unsigned *ret_op)
{
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(op_names); i++) {
		if (supafs_str_eq(name, supafs_str_of(op_names[i].name))) {
			*ret_op = op_names[i].op;
			return true;
		}
	}
	return false;
}

int serve_policy_parse_ops(struct supafs_str text, unsigned *ret_ops)
{
	unsigned ops = 0;

	while (text.p) {
		const char *comma = memchr(text.p, ',', text.n);
		struct supafs_str one = {text.p, comma ? (size_t)(comma - text.p) : text.n};
		unsigned op;

		if (!op_by_name(one, &op))
			return -EINVAL;
		ops |= op;
		text.n -= comma ? one.n + 1 : one.n;
		text.p = comma ? comma + 1 : NULL;
	}
	*ret_ops = ops;
	return 0;
}

void serve_policy_format_ops(unsigned ops, char out[32])
{
	int at = 0;

	out[0] = '\0';
	for (size_t i = 0; i < 4; i++) {
		if (ops & op_names[i].op)
			at += snprintf(out + at, (size_t)(32 - at), "%s%s", at ? "," : "",
				op_names[i].name);
	}
}

static int set_in_database(struct serve_conn *c, const struct policy *in)
{
	sqlite3_stmt *s = serve_conn_sql(c, SERVE_SQL_POLICY_INSERT);

	if (!s)
		return -EIO;
	serve_bind_text(s, 1, in->role);
	serve_bind_text(s, 2, in->bucket);
	serve_bind_text(s, 3, in->pattern);
	(void)sqlite3_bind_int(s, 4, (int)in->ops);
	return sqlite3_step(s) == SQLITE_DONE ? 0 : -EIO;
}

/* One writer at a time, so that both tables see the same order of changes. */
static int set_in_both(struct serve_policies *p, const struct policy *in)
{
	supafs_cleanup(serve_conn_cleanup) struct serve_conn *c = serve_db_writer(p->db);
	int r = set_in_database(c, in);

	if (r == 0) {
		supafs_cleanup(unlock_cleanup) pthread_rwlock_t *held = write_lock(p);

		(void)held;
		r = set_in_memory(p, in);
	}
	return r;
}

static bool role_ok(struct supafs_str role)
{
	return supafs_str_eq(role, SUPAFS_STR("anon")) ||
	       supafs_str_eq(role, SUPAFS_STR("authenticated")) ||
	       supafs_str_eq(role, SUPAFS_STR("*"));
}

int serve_policies_set(struct serve_policies *p, struct supafs_str role, struct supafs_str bucket,
	struct supafs_str pattern, unsigned ops)
{
	struct policy one = {.ops = ops};
	int r = -ENOMEM;

	if (!role_ok(role) || bucket.n == 0 || pattern.n == 0 || ops > SERVE_OP_ALL)
		return -EINVAL;
	one.role = supafs_str_dup(role);
	one.bucket = supafs_str_dup(bucket);
	one.pattern = supafs_str_dup(pattern);
	if (one.role && one.bucket && one.pattern)
		r = set_in_both(p, &one);
	policy_fini(&one);
	return r;
}

int serve_policies_set_spec(struct serve_policies *p, struct supafs_str spec)
{
	struct supafs_str part[4];
	unsigned ops;
	int r;

	/* The pattern may hold ':', so the last one counts. */
	for (int i = 0; i < 2; i++) {
		const char *colon = memchr(spec.p, ':', spec.n);

		if (!colon)
			return -EINVAL;
		part[i] = (struct supafs_str){spec.p, (size_t)(colon - spec.p)};
		spec.n -= part[i].n + 1;
		spec.p = colon + 1;
	}
	{
		const char *colon = memrchr(spec.p, ':', spec.n);

		if (!colon)
			return -EINVAL;
		part[2] = (struct supafs_str){spec.p, (size_t)(colon - spec.p)};
		part[3] = (struct supafs_str){colon + 1, spec.n - part[2].n - 1};
	}
	r = serve_policy_parse_ops(part[3], &ops);
	return r < 0 ? r : serve_policies_set(p, part[0], part[1], part[2], ops);
}

/* The pattern with the user's id in place of {sub}; an anonymous user matches no such pattern. */
static bool pattern_matches(const char *pattern, const char *sub, struct supafs_str key)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf text = {0};
	const char *mark = strstr(pattern, SUB_MARK);

	if (!mark)
		return serve_glob(supafs_str_of(pattern), key);
	if (!*sub || strpbrk(sub, "*?"))
		return false;
	supafs_buf_init(&text, (size_t)2 * SUPAFS_KEY_MAX);
	(void)supafs_buf_add(&text, pattern, (size_t)(mark - pattern));
	(void)supafs_buf_adds(&text, sub);
	(void)supafs_buf_adds(&text, mark + sizeof(SUB_MARK) - 1);
	return supafs_buf_error(&text) == 0 && serve_glob(supafs_buf_str(&text), key);
}

static bool applies(const struct policy *q, const struct serve_actor *actor,
	struct supafs_str bucket, struct supafs_str key)
{
	bool of_bucket = strcmp(q->pattern, "-") == 0;

	if (strcmp(q->role, "*") != 0 && strcmp(q->role, actor->role) != 0)
		return false;
	if (of_bucket != (key.n == 0) || !serve_glob(supafs_str_of(q->bucket), bucket))
		return false;
	return of_bucket || pattern_matches(q->pattern, actor->sub, key);
}

bool serve_policies_allow(struct serve_policies *p, const struct serve_actor *actor, unsigned ops,
	struct supafs_str bucket, struct supafs_str key)
{
	if (actor->service)
		return true;

	supafs_cleanup(unlock_cleanup) pthread_rwlock_t *held = read_lock(p);

	(void)held;
	for (size_t i = 0; i < p->n && ops; i++) {
		if ((p->list[i].ops & ops) && applies(&p->list[i], actor, bucket, key))
			ops &= ~p->list[i].ops;
	}
	return ops == 0;
}

void serve_policies_each(struct serve_policies *p,
	void (*each)(
		void *ctx, const char *role, const char *bucket, const char *pattern, unsigned ops),
	void *ctx)
{
	supafs_cleanup(unlock_cleanup) pthread_rwlock_t *held = read_lock(p);

	(void)held;
	for (size_t i = 0; i < p->n; i++) {
		if (p->list[i].ops)
			each(ctx, p->list[i].role, p->list[i].bucket, p->list[i].pattern,
				p->list[i].ops);
	}
}
