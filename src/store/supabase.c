/* SPDX-License-Identifier: Apache-2.0 */
/* The Supabase backend: creation, keys of both styles (API §1.3), the table. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/secret.h"
#include "supafs/util/uri.h"

#include "supabase_priv.h"

#define API_PATH      "/storage/v1"
#define RESUMABLE_MIN (64U << 20)

static unsigned sb_capabilities(const struct supafs_store *s)
{
	(void)s;
	return SUPAFS_CAP_COPY_BUCKET | SUPAFS_CAP_META_LIST;
}

static struct supafs_store *sb_free(struct supafs_store *s)
{
	struct supafs_sb *sb = supafs_sb_of(s);

	free(sb->base_url);
	free(sb->bucket);
	sb->header_apikey = supafs_secret_free(sb->header_apikey);
	supafs_sb_auth_fini(&sb->auth);
	supafs_sb_pace_fini(&sb->pace);
	free(sb);
	return NULL;
}

static const struct supafs_store_ops sb_ops = {
	.name = "supabase",
	.probe = supafs_sb_probe,
	.list = supafs_sb_list,
	.info = supafs_sb_info,
	.get = supafs_sb_get,
	.put = supafs_sb_put,
	.remove = supafs_sb_remove,
	.remove_many = supafs_sb_remove_many,
	.copy = supafs_sb_copy,
	.move = supafs_sb_move,
	.url = supafs_sb_url,
	.capabilities = sb_capabilities,
	.free = sb_free,
};

/* Printable ASCII without blanks: goes into a header as it is. */
bool supafs_sb_secret_ok(const char *s)
{
	size_t n = strlen(s);

	for (size_t i = 0; i < n; i++) {
		if (s[i] <= ' ' || s[i] > '~')
			return false;
	}
	return n > 0 && n <= SUPAFS_SECRET_MAX;
}

static bool is_jwt(const char *key)
{
	const char *dot = strchr(key, '.');

	dot = dot ? strchr(dot + 1, '.') : NULL;
	return dot && !strchr(dot + 1, '.');
}

static bool is_public_key(const struct supafs_supabase_config *cfg)
{
	char role[32];

	if (cfg->user_token)
		return false;
	if (is_jwt(cfg->key))
		return supafs_sb_key_role(cfg->key, role, sizeof(role)) &&
		       strcmp(role, "anon") == 0;
	return supafs_str_starts(supafs_str_of(cfg->key), SUPAFS_STR("sb_publishable_"));
}

static bool has_api_path(struct supafs_str path)
{
	return supafs_str_ends(path, SUPAFS_STR(API_PATH));
}

static char *make_base_url(const struct supafs_supabase_config *cfg)
{
	struct supafs_str url = supafs_str_of(cfg->url);
	supafs_cleanup(supafs_buf_fini) struct supafs_buf t;

	supafs_buf_init(&t, SUPAFS_URL_MAX / 2);
	while (url.n > 0 && url.p[url.n - 1] == '/')
		url.n--;
	(void)supafs_buf_addstr(&t, url);
	if (!cfg->raw_base && !has_api_path(url))
		(void)supafs_buf_adds(&t, API_PATH);
	return supafs_buf_take(&t);
}

static int fill(struct supafs_sb *sb, const struct supafs_supabase_config *cfg)
{
	const char *bearer = cfg->user_token;
	int r;

	if (!bearer && is_jwt(cfg->key))
		bearer = cfg->key;
	r = supafs_sb_auth_init(&sb->auth, cfg, bearer);
	sb->base_url = make_base_url(cfg);
	sb->bucket = strdup(cfg->bucket);
	sb->header_apikey = supafs_secret_join(SUPAFS_STR("apikey: "), supafs_str_of(cfg->key));
	sb->public_key = is_public_key(cfg);
	return sb->base_url && sb->bucket && sb->header_apikey ? r : -ENOMEM;
}

static bool bucket_ok(const char *name)
{
	struct supafs_str s = supafs_str_of(name);

	if (s.n == 0 || s.n > SUPAFS_BUCKET_MAX || memchr(s.p, '/', s.n))
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < ' ' || s.p[i] > '~')
			return false;
	}
	return !supafs_str_eq(s, SUPAFS_STR(".")) && !supafs_str_eq(s, SUPAFS_STR(".."));
}

int supafs_store_new_supabase(const struct supafs_supabase_config *cfg, struct supafs_http *http,
	struct supafs_store **ret_store)
{
	struct supafs_url url;
	struct supafs_sb *sb;
	int r;

	if (!cfg->url || !cfg->bucket || !cfg->key || !bucket_ok(cfg->bucket) ||
		!supafs_sb_secret_ok(cfg->key) ||
		(cfg->user_token && !supafs_sb_secret_ok(cfg->user_token)) ||
		supafs_url_parse(supafs_str_of(cfg->url), &url) < 0 ||
		strlen(cfg->url) > SUPAFS_URL_MAX / 4)
		return -EINVAL;
	sb = calloc(1, sizeof(*sb));
	if (!sb)
		return -ENOMEM;
	sb->base.ops = &sb_ops;
	sb->http = http;
	sb->clock = cfg->clock;
	sb->seed = cfg->seed;
	sb->resumable_min = cfg->resumable_min ? cfg->resumable_min : RESUMABLE_MIN;
	supafs_sb_pace_init(&sb->pace);
	r = fill(sb, cfg);
	if (r < 0) {
		(void)sb_free(&sb->base);
		return r;
	}
	*ret_store = &sb->base;
	return 0;
}
