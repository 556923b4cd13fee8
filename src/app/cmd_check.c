/* SPDX-License-Identifier: Apache-2.0 */
/* supafs check: all that a mount needs, looked at one by one. */
#include <errno.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/log.h"
#include "supafs/util/uri.h"

#include "check_cache.h"
#include "checks.h"
#include "commands.h"
#include "progress.h"
#include "stack.h"

#define TEXT_MAX     2048
#define SOON_S       (INT64_C(7) * 24 * 3600)
#define CLOCK_WARN_S 5
#define CLOCK_FAIL_S 300 /* signed URLs and tokens go wrong */
#define ASK_MS       15000

void supafs_check_line(
	struct supafs_checks *c, enum supafs_check kind, const char *what, const char *fmt, ...)
{
	static const char *const kinds[] = {
		[SUPAFS_CHECK_OK] = "OK",
		[SUPAFS_CHECK_WARN] = "WARN",
		[SUPAFS_CHECK_FAIL] = "FAIL",
	};
	char text[TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	c->warned += kind == SUPAFS_CHECK_WARN;
	c->failed += kind == SUPAFS_CHECK_FAIL;
	(void)printf("%-5s %-10s ", kinds[kind], what);
	supafs_print_clean(text);
	(void)printf("\n");
	(void)fflush(stdout);
}

static int64_t now_s(void)
{
	const struct supafs_clock *clock = supafs_clock_system();

	return clock->wall_ns(clock) / SUPAFS_NS_PER_S;
}

/* --- The key ---------------------------------------------------------------------------------- */

static void check_expiry(struct supafs_checks *c, const char *what, int64_t exp_s)
{
	char age[32];
	const int64_t left = exp_s - now_s();

	if (exp_s == 0)
		return;
	supafs_format_age((uint64_t)(left < 0 ? -left : left), age, sizeof(age));
	if (left <= 0)
		supafs_check_line(c, SUPAFS_CHECK_FAIL, "key",
			"the %s has expired %s ago: take a new one (and see that this clock is right)",
			what, age);
	else if (left < SOON_S)
		supafs_check_line(c, SUPAFS_CHECK_WARN, "key",
			"the %s expires in %s; for a token that is renewed use "
			"SUPABASE_USER_TOKEN_FILE",
			what, age);
}

static const char *kind_of_key(const char *key, const struct supafs_claims *claims)
{
	if (strncmp(key, "sb_secret_", 10) == 0)
		return "a secret key: passes row-level security";
	if (strncmp(key, "sb_publishable_", 15) == 0)
		return "a publishable key: has the rights of role anon";
	if (strcmp(claims->role, "service_role") == 0)
		return "a JWT of role service_role: passes row-level security";
	if (strcmp(claims->role, "anon") == 0)
		return "a JWT of role anon";
	return "a JWT of another role";
}

static void check_key(struct supafs_checks *c, const struct supafs_config *cfg)
{
	const char *key = supafs_config_key(cfg);
	const char *name =
		supafs_config_is_public(cfg) ? "SUPABASE_ANON_KEY" : "SUPABASE_SERVICE_ROLE_KEY";
	const bool opaque = strncmp(key, "sb_", 3) == 0;
	struct supafs_claims claims = {.role = ""};

	if (!opaque && !supafs_claims_read(key, &claims))
		supafs_check_line(c, SUPAFS_CHECK_FAIL, "key",
			"%s is neither a JWT nor sb_secret_… or sb_publishable_…: copy it again from "
			"the project's API keys",
			name);
	else
		supafs_check_line(
			c, SUPAFS_CHECK_OK, "key", "%s is %s", name, kind_of_key(key, &claims));
	check_expiry(c, name, claims.exp_s);
	if (!cfg->user_token)
		return;
	if (!supafs_claims_read(cfg->user_token, &claims)) {
		supafs_check_line(c, SUPAFS_CHECK_FAIL, "key", "the user's token is not a JWT");
		return;
	}
	supafs_check_line(c, SUPAFS_CHECK_OK, "key", "the user's token is of user %s, role %s%s%s",
		*claims.sub ? claims.sub : "?", *claims.role ? claims.role : "?",
		cfg->user_token_file ? ", from " : "",
		cfg->user_token_file ? cfg->user_token_file : "");
	if (!cfg->user_token_file || claims.exp_s - now_s() <= 0)
		check_expiry(c, "user's token", claims.exp_s);
}

/* --- The server ------------------------------------------------------------------------------- */

static void check_lookup(struct supafs_checks *c, const struct supafs_mount_args *a)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	struct addrinfo *found = NULL;
	struct supafs_url url;
	char host[256], address[64] = "?";
	unsigned n = 0;
	int r;

	if (supafs_url_parse(supafs_str_of(a->config.url), &url) < 0)
		return;
	(void)snprintf(host, sizeof(host), "%.*s", SUPAFS_STR_FMT(url.host));
	if (a->opt.proxy) {
		supafs_check_line(c, SUPAFS_CHECK_OK, "name", "left to the proxy %s", a->opt.proxy);
		return;
	}
	r = getaddrinfo(host, NULL, &hints, &found);
	if (r != 0) {
		supafs_check_line(c, SUPAFS_CHECK_FAIL, "name",
			"no address for %s (%s): check SUPABASE_URL and the name server", host,
			gai_strerror(r));
		return;
	}
	for (const struct addrinfo *it = found; it; it = it->ai_next) {
		if (n++ == 0)
			(void)getnameinfo(it->ai_addr, it->ai_addrlen, address, sizeof(address),
				NULL, 0, NI_NUMERICHOST);
	}
	freeaddrinfo(found);
	supafs_check_line(
		c, SUPAFS_CHECK_OK, "name", "%s is %s (%u address(es))", host, address, n);
}

static void tell_clock(struct supafs_checks *c, int64_t date_ns)
{
	const int64_t off = now_s() - date_ns / SUPAFS_NS_PER_S;
	const int64_t size = off < 0 ? -off : off;
	char age[32];

	supafs_format_age((uint64_t)size, age, sizeof(age));
	if (size <= CLOCK_WARN_S)
		supafs_check_line(c, SUPAFS_CHECK_OK, "clock", "as the server's");
	else
		supafs_check_line(c, size > CLOCK_FAIL_S ? SUPAFS_CHECK_FAIL : SUPAFS_CHECK_WARN,
			"clock",
			"this machine is %s %s the server: tokens look expired or not yet valid, and "
			"times of files are off; set the clock (timedatectl set-ntp true)",
			age, off > 0 ? "ahead of" : "behind");
}

/* Any answer tells the server's time. */
static void check_clock(
	struct supafs_checks *c, struct supafs_stack *s, const struct supafs_mount_args *a)
{
	supafs_cleanup(supafs_http_reply_fini) struct supafs_http_reply reply;
	struct supafs_http_request req = {.method = SUPAFS_HTTP_GET};
	struct supafs_call call;
	char url[SUPAFS_URL_MAX];

	(void)snprintf(url, sizeof(url), "%.*s/storage/v1/version",
		(int)(strlen(a->config.url) - (a->config.url[strlen(a->config.url) - 1] == '/')),
		a->config.url);
	req.url = url;
	supafs_http_reply_init(&reply);
	supafs_call_init(&call, s->clock, ASK_MS);
	if (supafs_http_perform(s->http, &call, &req, &reply) == 0 && reply.date_ns > 0)
		tell_clock(c, reply.date_ns);
	supafs_call_fini(&call);
}

static void tell_bucket(struct supafs_checks *c, const struct supafs_stack *s)
{
	const struct supafs_bucket_info *b = &s->bucket;
	char limit[32] = "not told";

	supafs_check_line(c, SUPAFS_CHECK_OK, "server", "answers; version %s",
		b->server_version[0] ? b->server_version : "not told");
	if (b->size_limit)
		supafs_format_bytes(b->size_limit, limit, sizeof(limit));
	supafs_check_line(c, SUPAFS_CHECK_OK, "bucket", "%s, %s; largest file: %s; types: %s",
		b->name, b->is_public ? "public" : "private", limit,
		b->mimes.n > 0 ? "some only (others give EPERM)" : "all");
}

static void check_server(struct supafs_checks *c, const struct supafs_mount_args *a)
{
	const struct supafs_stack_args args = {.opt = &a->opt,
		.config = &a->config,
		.bucket = *a->bucket ? a->bucket : "none",
		.prefix = a->prefix};
	struct supafs_problem p;
	struct supafs_stack s;
	int r = supafs_stack_http(&s, &args, &p);

	if (r == 0) {
		check_clock(c, &s, a);
		r = supafs_stack_connect(&s, &args, &p);
	}
	if (r == 0)
		tell_bucket(c, &s);
	else if (!*a->bucket &&
		 (p.id == SUPAFS_MSG_BUCKET_MISSING || p.id == SUPAFS_MSG_BUCKET_HIDDEN))
		supafs_check_line(c, SUPAFS_CHECK_WARN, "server",
			"answers and takes the key; no bucket was named to look at");
	else
		supafs_check_line(c, SUPAFS_CHECK_FAIL, "server", "%s", p.text);
	supafs_stack_end(&s, 0, NULL);
}

/* --- This machine ----------------------------------------------------------------------------- */

static void check_machine(struct supafs_checks *c, struct supafs_mount_args *a)
{
	char path[PATH_MAX];
	struct supafs_problem p;

	if (supafs_check_fuse(a->opt.allow_other, &p) < 0)
		supafs_check_line(c, SUPAFS_CHECK_FAIL, "fuse", "%s", p.text);
	else
		supafs_check_line(c, SUPAFS_CHECK_OK, "fuse", "/dev/fuse can be opened");
	if (*a->mountpoint && supafs_check_mountpoint(a->mountpoint, path, &p) < 0)
		supafs_check_line(c,
			p.id == SUPAFS_MSG_MNT_MOUNTED ? SUPAFS_CHECK_WARN : SUPAFS_CHECK_FAIL,
			"mount", "%s", p.text);
	else if (*a->mountpoint)
		supafs_check_line(c, SUPAFS_CHECK_OK, "mount", "%s can be mounted on", path);
	supafs_check_cache(c, a);
}

static void check_all(struct supafs_checks *c, struct supafs_mount_args *a)
{
	struct supafs_problem p;

	if (supafs_config_check(&a->config, a->opt.insecure_http, &p) < 0) {
		supafs_check_line(c, SUPAFS_CHECK_FAIL, "settings", "%s", p.text);
	} else {
		supafs_check_line(c, SUPAFS_CHECK_OK, "settings", "%s", a->config.url);
		check_key(c, &a->config);
		check_lookup(c, a);
		check_server(c, a);
	}
	check_machine(c, a);
	if (c->failed + c->warned == 0)
		(void)printf("all is well\n");
}

static int run(struct supafs_mount_args *a, int argc, char **argv)
{
	struct supafs_problem p = {.text = ""};
	struct supafs_checks c = {0};
	int r = supafs_arguments_check(a, argc, argv, &p);

	if (r > 0)
		return supafs_help_command("check");
	if (r < 0 && supafs_problem_is_usage(&p)) {
		supafs_problem_print(&p);
		return SUPAFS_EXIT_USAGE;
	}
	if (r < 0) {
		supafs_check_line(&c, SUPAFS_CHECK_FAIL, "settings", "%s", p.text);
		check_machine(&c, a);
		return SUPAFS_EXIT_FAILED;
	}
	check_all(&c, a);
	return c.failed ? SUPAFS_EXIT_FAILED : SUPAFS_EXIT_OK;
}

int supafs_cmd_check(const char *self, int argc, char **argv)
{
	struct supafs_mount_args *a = calloc(1, sizeof(*a));
	int code;

	(void)self;
	if (!a) {
		(void)fprintf(stderr, "supafs: out of memory\n");
		return SUPAFS_EXIT_FAILED;
	}
	(void)supafs_log_init(SUPAFS_LOG_ERROR, NULL);
	code = run(a, argc, argv);
	supafs_config_fini(&a->config);
	supafs_options_fini(&a->opt);
	supafs_log_fini();
	free(a);
	return code;
}
