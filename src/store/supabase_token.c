/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stands in the Authorization header: the key for good, or a user's token that is renewed.
 *
 *	state      asking   leaves by
 *	settled    false    a token that is near its end, was replaced or was refused → asking
 *	asking     true     the answer: another token, or none for RENEW_PAUSE_NS → settled
 *
 * One thread asks, without the lock; whoever needs the answer waits for it. A token that is
 * replaced lives on as long as a request carries it, then it is wiped.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/clock.h"
#include "supafs/util/parse.h"
#include "supafs/util/secret.h"

#include "supabase_priv.h"

#define SCHEME         "Authorization: Bearer "
#define RENEW_AHEAD_NS (30 * SUPAFS_NS_PER_S) /* before its `exp` a token is as good as expired */
#define RENEW_PAUSE_NS SUPAFS_NS_PER_S        /* between two questions in vain */

/* The claims of a JWT; NULL if it is none. Nothing is verified here. */
static struct supafs_json *claims_of(const char *key)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf payload;
	struct supafs_json *claims = NULL;
	const char *from = strchr(key, '.');
	const char *to = from ? strchr(from + 1, '.') : NULL;

	supafs_buf_init(&payload, SUPAFS_SECRET_MAX);
	if (!to ||
		supafs_b64url_decode(
			&payload, (struct supafs_str){from + 1, (size_t)(to - from - 1)}) < 0 ||
		supafs_json_parse(supafs_buf_str(&payload), &claims) < 0)
		return NULL;
	return claims;
}

bool supafs_sb_key_role(const char *key, char *ret_role, size_t size)
{
	supafs_cleanup(supafs_json_freep) struct supafs_json *claims = claims_of(key);

	return claims && supafs_json_copy(claims, "role", ret_role, size);
}

static int64_t end_of(const char *token)
{
	supafs_cleanup(supafs_json_freep) struct supafs_json *claims = claims_of(token);
	uint64_t exp_s;

	if (!claims ||
		!supafs_json_size(claims, "exp", (uint64_t)(INT64_MAX / SUPAFS_NS_PER_S), &exp_s))
		return INT64_MAX;
	return (int64_t)exp_s * SUPAFS_NS_PER_S;
}

/* --- Tokens ----------------------------------------------------------------------------------- */

static struct supafs_sb_token *token_new(const char *text)
{
	struct supafs_sb_token *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->refs = 1;
	t->end_ns = end_of(text);
	t->header = supafs_secret_join(SUPAFS_STR(SCHEME), supafs_str_of(text));
	if (!t->header) {
		free(t);
		return NULL;
	}
	return t;
}

static struct supafs_sb_token *token_ref(struct supafs_sb_token *t)
{
	t->refs++;
	return t;
}

struct supafs_sb_token *supafs_sb_token_unref(struct supafs_sb_token *t)
{
	if (t && --t->refs == 0) {
		t->header = supafs_secret_free(t->header);
		free(t);
	}
	return NULL;
}

int supafs_sb_auth_init(
	struct supafs_sb_auth *a, const struct supafs_supabase_config *cfg, const char *bearer)
{
	*a = (struct supafs_sb_auth){.clock = cfg->clock};
	supafs_mutex_init(&a->lock);
	supafs_cond_init(&a->settled);
	if (!bearer)
		return 0;
	if (cfg->user_token) {
		a->refresh = cfg->refresh;
		a->changed = cfg->refresh ? cfg->changed : NULL;
		a->refresh_ctx = cfg->refresh_ctx;
	}
	a->token = token_new(bearer);
	a->used = a->token != NULL;
	return a->used ? 0 : -ENOMEM;
}

void supafs_sb_auth_fini(struct supafs_sb_auth *a)
{
	a->token = supafs_sb_token_unref(a->token);
	supafs_cond_fini(&a->settled);
	supafs_mutex_fini(&a->lock);
}

/* --- Renewal ---------------------------------------------------------------------------------- */

/* A cancelled call wakes whoever waits for an answer in it. */
static void wake(void *ctx)
{
	struct supafs_sb_auth *a = ctx;

	SUPAFS_SCOPED_LOCK(&a->lock);
	supafs_cond_broadcast(&a->settled);
}

static void wait_settled(struct supafs_sb_auth *a, struct supafs_call *call)
{
	/* A fake clock's deadline is no time of the real one. */
	const int64_t until_ns =
		call->clock == supafs_clock_system() ? call->deadline_ns : SUPAFS_NEVER;

	supafs_call_set_waker(call, wake, a);
	{
		SUPAFS_SCOPED_LOCK(&a->lock);
		while (a->asking && supafs_call_check(call) == 0)
			(void)supafs_cond_wait_until(&a->settled, &a->lock, until_ns);
	}
	supafs_call_set_waker(call, NULL, NULL);
}

/* 1: it is for us to ask; 0: *ret_token is another one than `old` already (or NULL: there is none);
 * -EAGAIN: somebody else asks. `changed`: there is something new to see, so the pause is no
 * reason to wait. */
static int begin_asking(struct supafs_sb_auth *a, const struct supafs_sb_token *old, bool changed,
	struct supafs_sb_token **ret_token)
{
	SUPAFS_SCOPED_LOCK(&a->lock);
	*ret_token = NULL;
	if (a->token != old) {
		*ret_token = token_ref(a->token);
		return 0;
	}
	if (a->asking)
		return -EAGAIN;
	if (!changed && a->clock->mono_ns(a->clock) < a->ask_again_ns)
		return 0;
	a->asking = true;
	return 1;
}

/* `made` NULL: there was no newer one. */
static void end_asking(struct supafs_sb_auth *a, struct supafs_sb_token *made)
{
	SUPAFS_SCOPED_LOCK(&a->lock);
	a->asking = false;
	if (made) {
		(void)supafs_sb_token_unref(a->token);
		a->token = made;
	} else {
		a->ask_again_ns = a->clock->mono_ns(a->clock) + RENEW_PAUSE_NS;
	}
	supafs_cond_broadcast(&a->settled);
}

/* A token as the owner of `old` would have it; NULL: he has no newer one. */
static struct supafs_sb_token *ask(struct supafs_sb_auth *a, const struct supafs_sb_token *old)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf text;

	supafs_buf_init_secret(&text, SUPAFS_SECRET_MAX);
	if (a->refresh(a->refresh_ctx, &text) < 0 || !supafs_sb_secret_ok(supafs_buf_cstr(&text)) ||
		strcmp(supafs_buf_cstr(&text), old->header + strlen(SCHEME)) == 0)
		return NULL;
	return token_new(supafs_buf_cstr(&text));
}

/* A reference to a newer one than `old`, or NULL. */
static struct supafs_sb_token *renewed(struct supafs_sb_auth *a, struct supafs_call *call,
	const struct supafs_sb_token *old, bool changed)
{
	struct supafs_sb_token *t = NULL;
	struct supafs_sb_token *made;
	int r = begin_asking(a, old, changed, &t);

	if (r == -EAGAIN) {
		wait_settled(a, call);
		r = begin_asking(a, old, false, &t);
	}
	if (r != 1)
		return t;
	made = ask(a, old);
	if (made)
		t = token_ref(made);
	end_asking(a, made);
	return t;
}

static bool is_near_its_end(const struct supafs_sb_auth *a, const struct supafs_sb_token *t)
{
	return t->end_ns != INT64_MAX && t->end_ns - RENEW_AHEAD_NS <= a->clock->wall_ns(a->clock);
}

struct supafs_sb_token *supafs_sb_token_get(struct supafs_sb_auth *a, struct supafs_call *call)
{
	const bool changed = a->changed && a->changed(a->refresh_ctx);
	struct supafs_sb_token *t = NULL;
	struct supafs_sb_token *newer;

	{
		SUPAFS_SCOPED_LOCK(&a->lock);
		if (a->token)
			t = token_ref(a->token);
	}
	if (!t || !a->refresh || (!changed && !is_near_its_end(a, t)))
		return t;
	newer = renewed(a, call, t, changed);
	if (!newer)
		return t;
	(void)supafs_sb_token_unref(t);
	return newer;
}

bool supafs_sb_token_renew(
	struct supafs_sb_auth *a, struct supafs_call *call, struct supafs_sb_token **token)
{
	struct supafs_sb_token *newer;

	if (!*token || !a->refresh)
		return false;
	newer = renewed(a, call, *token, false);
	if (!newer)
		return false;
	(void)supafs_sb_token_unref(*token);
	*token = newer;
	return true;
}
