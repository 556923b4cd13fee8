/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/file.h"
#include "supafs/util/limits.h"
#include "supafs/util/log.h"
#include "supafs/util/secret.h"
#include "supafs/util/uri.h"

#include "envfile.h"
#include "token.h"

#define ENV_FILE_MAX (256U << 10)
#define SYSTEM_DIR   "/etc/supafs"

#define FIELD(name)  offsetof(struct supafs_config, name)

static const struct supafs_config_variable variables[] = {
	{"SUPABASE_URL", FIELD(url), false, "the project's URL"},
	{"SUPABASE_SERVICE_ROLE_KEY", FIELD(service_key), true, "secret or service_role key"},
	{"SUPABASE_ANON_KEY", FIELD(anon_key), true,
		"publishable or anon key, used when there is no service key"},
	{"SUPABASE_USER_TOKEN", FIELD(user_token), true,
		"a signed-in user's token, beside the public key"},
	{"SUPABASE_USER_TOKEN_FILE", FIELD(user_token_file), false,
		"file with that token, read again when it has expired; wins over the former"},
	{"SUPABASE_BUCKET_NAME", FIELD(bucket), false, "the bucket, when the command names none"},
	{"SUPAFS_MOUNTPOINT", FIELD(mountpoint), false,
		"the mount point, when the command names none"},
	{"SUPAFS_OPTIONS", FIELD(options), false, "options as behind -o; the command line's win"},
	{NULL, 0, false, NULL},
};

const struct supafs_config_variable *supafs_config_table(void)
{
	return variables;
}

static char **field_of(struct supafs_config *c, const struct supafs_config_variable *v)
{
	return (char **)(void *)((char *)c + v->offset);
}

/* First come, first kept; an empty value counts as not set. */
static int keep(struct supafs_config *c, const struct supafs_config_variable *v, const char *value)
{
	char **field = field_of(c, v);
	int r = 0;

	if (*field || *value == '\0')
		return 0;
	*field = v->secret ? supafs_secret_dup(supafs_str_of(value)) : strdup(value);
	if (!*field)
		return -ENOMEM;
	if (v->secret)
		r = supafs_log_add_secret(value);
	/* Too short to be one, which the server will say; or more than the log can hold. */
	return r == -EINVAL || r == -ENOSPC ? 0 : r;
}

/* The bytes of the environment block are what /proc/PID/environ shows: wiping them hides them. */
static int load_environment(struct supafs_config *c)
{
	for (const struct supafs_config_variable *v = variables; v->name; v++) {
		char *value = secure_getenv(v->name);
		int r = value ? keep(c, v, value) : 0;

		if (value && v->secret)
			explicit_bzero(value, strlen(value));
		if (r < 0)
			return r;
	}
	return 0;
}

void supafs_config_wipe_environment(void)
{
	for (const struct supafs_config_variable *v = variables; v->name; v++) {
		char *value = v->secret ? secure_getenv(v->name) : NULL;

		if (value)
			explicit_bzero(value, strlen(value));
	}
}

static int load_credential(struct supafs_config *c, const struct supafs_config_variable *v,
	const char *dir, struct supafs_problem *p)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf b;
	char path[PATH_MAX];
	int n = snprintf(path, sizeof(path), "%s/%s", dir, v->name), r;

	supafs_buf_init_secret(&b, SUPAFS_SECRET_MAX + 16);
	if (n >= (int)sizeof(path))
		return 0;
	for (char *at = path + strlen(dir); *at; at++)
		*at = (char)tolower((unsigned char)*at);
	if (access(path, F_OK) != 0)
		return 0;
	r = supafs_key_file_read(path, true, &b, p);
	return r < 0 ? r : keep(c, v, supafs_buf_cstr(&b));
}

/* $CREDENTIALS_DIRECTORY/supabase_service_role_key and so on, as systemd's LoadCredential= puts
 * them. */
static int load_credentials(struct supafs_config *c, struct supafs_problem *p)
{
	const char *dir = secure_getenv("CREDENTIALS_DIRECTORY");
	int r = 0;

	if (!dir || *dir != '/')
		return 0;
	for (const struct supafs_config_variable *v = variables; r == 0 && v->name; v++) {
		if (v->secret)
			r = load_credential(c, v, dir, p);
	}
	return r;
}

struct load {
	struct supafs_config *config; /* NULL: only look for secrets */
	bool has_secret;
};

static int on_value(void *ctx, struct supafs_str name, const char *value)
{
	struct load *load = ctx;

	for (const struct supafs_config_variable *v = variables; v->name; v++) {
		if (!supafs_str_eq(supafs_str_of(v->name), name))
			continue;
		if (v->secret && *value)
			load->has_secret = true;
		if (load->config)
			return keep(load->config, v, value);
	}
	return 0;
}

static int parse(
	struct load *load, const char *path, struct supafs_str text, struct supafs_problem *p)
{
	unsigned line = 0;
	const char *what = "";
	char number[16];
	int r = supafs_envfile_parse(text, on_value, load, &line, &what);

	if (r == -EINVAL || r == -EMSGSIZE) {
		(void)snprintf(number, sizeof(number), "%u", line);
		supafs_problem_set(p, SUPAFS_MSG_FILE_SYNTAX, "file", path, "line", number, "what",
			r == -EINVAL ? what : "a value is too long", NULL);
	}
	return r;
}

static int cannot_read(const char *path, int r, struct supafs_problem *p)
{
	supafs_problem_set(p, SUPAFS_MSG_FILE_READ, "file", path, "err", strerrordesc_np(-r), NULL);
	return r;
}

/* A file that others can read, or that is not ours, is fine as long as it holds no secret. */
static int refuse_if_secret(struct load *load, const char *path, struct supafs_buf *b, mode_t mode,
	struct supafs_problem *p)
{
	struct load look = {0};
	char octal[16];
	int r = supafs_file_read(path, b);

	if (r < 0)
		return cannot_read(path, r, p);
	r = parse(&look, path, supafs_buf_str(b), p);
	if (r < 0)
		return r;
	if (!look.has_secret)
		return parse(load, path, supafs_buf_str(b), p);
	(void)snprintf(octal, sizeof(octal), "%04o", (unsigned)(mode & 07777));
	supafs_problem_set(p, mode & 077 ? SUPAFS_MSG_FILE_OPEN_TO_OTHERS : SUPAFS_MSG_FILE_OWNER,
		"file", path, "mode", octal, NULL);
	return -EACCES;
}

static int load_file(struct supafs_config *c, const char *path, struct supafs_problem *p)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf b;
	supafs_autofree char *real = realpath(path, NULL); /* a link's target is what counts */
	struct load load = {.config = c};
	mode_t mode = 0;
	int r;

	supafs_buf_init_secret(&b, ENV_FILE_MAX);
	if (!real)
		return cannot_read(path, -errno, p);
	r = supafs_file_read_secret(real, &b, &mode);
	if (r == -EACCES && mode != 0) {
		supafs_buf_reset(&b);
		return refuse_if_secret(&load, path, &b, mode, p);
	}
	if (r < 0)
		return cannot_read(path, r, p);
	return parse(&load, path, supafs_buf_str(&b), p);
}

static bool legal_name(const char *name)
{
	if (*name == '\0' || *name == '.')
		return false;
	for (; *name; name++) {
		if (!isalnum((unsigned char)*name) && !strchr("._-", *name))
			return false;
	}
	return true;
}

static int load_named(struct supafs_config *c, const char *name, struct supafs_problem *p)
{
	char user[4096] = "", system[512];
	const char *base = secure_getenv("XDG_CONFIG_HOME"), *home = secure_getenv("HOME");

	if (!legal_name(name) || strlen(name) > 200) {
		supafs_problem_set(p, SUPAFS_MSG_CONFIG_NAME, "name", name, NULL);
		return -EINVAL;
	}
	if (base && *base == '/')
		(void)snprintf(user, sizeof(user), "%s/supafs/%s.conf", base, name);
	else if (home && *home == '/')
		(void)snprintf(user, sizeof(user), "%s/.config/supafs/%s.conf", home, name);
	(void)snprintf(system, sizeof(system), SYSTEM_DIR "/%s.conf", name);
	if (*user && access(user, F_OK) == 0)
		return load_file(c, user, p);
	if (access(system, F_OK) == 0)
		return load_file(c, system, p);
	supafs_problem_set(
		p, SUPAFS_MSG_CONFIG_MISSING, "name", name, "user", user, "system", system, NULL);
	return -ENOENT;
}

/* The daemon leaves its folder: a relative path ends here. */
static int make_absolute(char **path)
{
	supafs_autofree char *cwd = NULL;
	char *whole = NULL;

	if (**path == '/')
		return 0;
	cwd = getcwd(NULL, 0);
	if (!cwd || asprintf(&whole, "%s/%s", cwd, *path) < 0)
		return -ENOMEM;
	free(*path);
	*path = whole;
	return 0;
}

static int load_token_file(struct supafs_config *c, struct supafs_problem *p)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf b;
	int r = make_absolute(&c->user_token_file);

	supafs_buf_init_secret(&b, SUPAFS_SECRET_MAX + 16);
	if (r == 0)
		r = supafs_key_file_read(c->user_token_file, false, &b, p);
	if (r < 0)
		return r;
	c->user_token = supafs_secret_free(c->user_token);
	c->user_token = supafs_secret_dup(supafs_buf_str(&b));
	if (!c->user_token)
		return -ENOMEM;
	r = supafs_log_add_secret(c->user_token);
	return r == -ENOMEM ? r : 0;
}

int supafs_config_load(
	struct supafs_config *c, const char *env_file, const char *name, struct supafs_problem *p)
{
	int r;

	*c = (struct supafs_config){0};
	r = load_environment(c);
	if (r == 0)
		r = load_credentials(c, p);
	if (r == 0 && env_file)
		r = load_file(c, env_file, p);
	if (r == 0 && name)
		r = load_named(c, name, p);
	if (r == 0 && c->user_token_file)
		r = load_token_file(c, p);
	return r;
}

static void drop(struct supafs_config *c, bool secrets_only)
{
	for (const struct supafs_config_variable *v = variables; v->name; v++) {
		char **field = field_of(c, v);

		if (v->secret) {
			*field = supafs_secret_free(*field);
		} else if (!secrets_only) {
			free(*field);
			*field = NULL;
		}
	}
}

void supafs_config_fini(struct supafs_config *c)
{
	drop(c, false);
}

void supafs_config_forget(struct supafs_config *c)
{
	drop(c, true);
}

void supafs_config_lock(const struct supafs_config *c)
{
	supafs_secret_lock(c->service_key);
	supafs_secret_lock(c->anon_key);
	supafs_secret_lock(c->user_token);
}

const char *supafs_config_key(const struct supafs_config *c)
{
	if (c->user_token || !c->service_key)
		return c->anon_key;
	return c->service_key;
}

bool supafs_config_is_public(const struct supafs_config *c)
{
	return c->user_token || !c->service_key;
}

bool supafs_config_is_trusted(const struct supafs_config *c)
{
	struct supafs_claims claims;

	if (supafs_config_is_public(c))
		return false;
	if (supafs_str_starts(supafs_str_of(c->service_key), SUPAFS_STR("sb_secret_")))
		return true;
	return supafs_claims_read(c->service_key, &claims) &&
	       strcmp(claims.role, "service_role") == 0;
}

/* --- Checks ----------------------------------------------------------------------------------- */

static int check_url(const char *url, bool insecure_http, struct supafs_problem *p)
{
	struct supafs_url parts;

	if (supafs_url_parse(supafs_str_of(url), &parts) < 0) {
		supafs_problem_set(p, SUPAFS_MSG_BAD_URL, "url", url, NULL);
		return -EINVAL;
	}
	if (!parts.https && !insecure_http && !parts.loopback) {
		supafs_problem_set(p, SUPAFS_MSG_PLAIN_HTTP, "url", url, NULL);
		return -EINVAL;
	}
	return 0;
}

/* A header value must not be breakable: keys and tokens are of these characters only. */
bool supafs_config_legal_key(const char *key)
{
	for (; *key; key++) {
		if (!isalnum((unsigned char)*key) && !strchr("._-+/=~", *key))
			return false;
	}
	return true;
}

static int check_keys(const struct supafs_config *c, struct supafs_problem *p)
{
	if (!c->service_key && !c->anon_key && !c->user_token) {
		supafs_problem_set(p, SUPAFS_MSG_NO_KEY, NULL);
		return -EINVAL;
	}
	if (c->user_token && !c->anon_key) {
		supafs_problem_set(p, SUPAFS_MSG_NO_ANON_KEY, NULL);
		return -EINVAL;
	}
	for (const struct supafs_config_variable *v = variables; v->name; v++) {
		const char *value = *(char *const *)(const void *)((const char *)c + v->offset);

		if (v->secret && value && !supafs_config_legal_key(value)) {
			supafs_problem_set(p, SUPAFS_MSG_BAD_KEY, "name", v->name, NULL);
			return -EINVAL;
		}
	}
	return 0;
}

int supafs_config_check(const struct supafs_config *c, bool insecure_http, struct supafs_problem *p)
{
	int r;

	if (!c->url) {
		supafs_problem_set(p, SUPAFS_MSG_NO_URL, NULL);
		return -EINVAL;
	}
	r = check_url(c->url, insecure_http, p);
	return r < 0 ? r : check_keys(c, p);
}
