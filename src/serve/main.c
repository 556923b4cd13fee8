/* SPDX-License-Identifier: Apache-2.0 */
/*
 * supafs-serve: start, wait for a signal, stop. Every failure at start is one line on
 * stderr that begins with "supafs-serve: ", and exit code 1 (2 for wrong usage).
 */
#include <errno.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/file.h"
#include "supafs/util/limits.h"
#include "supafs/util/parse.h"

#include "control.h"
#include "keys.h"
#include "rest.h"
#include "server.h"

#define WHY_SIZE     512
#define SECRET_BYTES 32
#define KEY_LIFE_S   (10LL * 365 * 86400)

struct run {
	struct serve_config config;
	struct serve_app app;
	struct serve_counters counters;
	int dir_fd, lock_fd;
	struct serve_control *control;
	struct serve_server *server;
	struct supafs_buf service_key, anon_key;
	char why[WHY_SIZE];
};

static int fail(struct run *r, int error, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static int fail(struct run *r, int error, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(r->why, sizeof(r->why), fmt, ap);
	va_end(ap);
	return error;
}

/* A system error in words, without the table that other threads share. */
static const char *words(int error, char *out, size_t size)
{
	return strerror_r(-error, out, size);
}

static char *in_dir(const struct run *r, const char *name)
{
	char *path = NULL;

	return asprintf(&path, "%s/%s", r->config.dir, name) < 0 ? NULL : path;
}

/* --- folder ------------------------------------------------------------------------ */

static int open_dir(struct run *r)
{
	char text[128];

	if (mkdir(r->config.dir, 0700) < 0 && errno != EEXIST)
		return fail(r, -errno, "cannot make the folder %s: %s", r->config.dir,
			words(-errno, text, sizeof(text)));
	r->dir_fd = open(r->config.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r->dir_fd < 0)
		return fail(r, -errno, "cannot open the folder %s: %s", r->config.dir,
			words(-errno, text, sizeof(text)));
	r->lock_fd = openat(r->dir_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (r->lock_fd < 0)
		return fail(r, -errno, "cannot write in %s: %s", r->config.dir,
			words(-errno, text, sizeof(text)));
	if (flock(r->lock_fd, LOCK_EX | LOCK_NB) < 0)
		return fail(r, -EBUSY, "another supafs-serve is running on %s", r->config.dir);
	return 0;
}

static int make_secret(struct run *r, const char *path)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf text;
	unsigned char bytes[SECRET_BYTES];
	int e;

	supafs_buf_init(&text, (size_t)4 * SECRET_BYTES);
	if (RAND_bytes(bytes, sizeof(bytes)) != 1)
		return fail(r, -EIO, "no randomness for a new secret");
	(void)supafs_b64url_encode(&text, bytes, sizeof(bytes));
	e = supafs_buf_error(&text);
	if (e == 0)
		e = supafs_file_replace(path, supafs_buf_cstr(&text), text.n, 0600);
	OPENSSL_cleanse(bytes, sizeof(bytes));
	return e < 0 ? fail(r, e, "cannot write %s", path) : 0;
}

static int read_secret(struct run *r)
{
	supafs_autofree char *own = in_dir(r, "jwt-secret");
	supafs_cleanup(supafs_buf_fini) struct supafs_buf text;
	const char *path = r->config.jwt_secret_file ? r->config.jwt_secret_file : own;
	struct supafs_str secret;
	mode_t mode = 0;
	int e;

	supafs_buf_init(&text, SUPAFS_SECRET_MAX);
	if (!own)
		return -ENOMEM;
	if (path == own && access(own, F_OK) < 0) {
		e = make_secret(r, own);
		if (e < 0)
			return e;
	}
	e = supafs_file_read_secret(path, &text, &mode);
	if (e == -EACCES && (mode & 077))
		return fail(r, e, "%s is readable by others: chmod 600 %s", path, path);
	if (e < 0)
		return fail(r, e, "cannot read the secret in %s", path);
	secret = supafs_buf_str(&text);
	while (secret.n && (secret.p[secret.n - 1] == '\n' || secret.p[secret.n - 1] == '\r'))
		secret.n--;
	e = serve_jwt_init(&r->app.jwt, secret);
	return e < 0 ? fail(r, e, "the secret in %s must have 1 to 256 bytes", path) : 0;
}

/* --- what is served ---------------------------------------------------------------------- */

static int make_key(struct run *r, const char *role, struct supafs_buf *out)
{
	const long long now = (long long)(serve_now_us() / 1000000);
	char payload[160];
	int n = snprintf(payload, sizeof(payload),
		"{\"iss\":\"supafs-serve\",\"role\":\"%s\",\"iat\":%lld,\"exp\":%lld}", role, now,
		now + KEY_LIFE_S);

	supafs_buf_init(out, SUPAFS_SECRET_MAX);
	return serve_jwt_sign(&r->app.jwt, (struct supafs_str){payload, (size_t)n}, out);
}

static int make_bucket(struct run *r, const char *spec)
{
	const char *colon = strchr(spec, ':');
	struct serve_bucket b = {.owner = {"", 0}};
	enum serve_code code;

	b.id = supafs_str_of(spec);
	if (colon) {
		b.id.n = (size_t)(colon - spec);
		if (strcmp(colon, ":public") != 0)
			return fail(r, -EINVAL, "--bucket: \"%.100s\" is not NAME or NAME:public",
				spec);
		b.is_public = true;
	}
	b.name = b.id;
	code = serve_bucket_create(&r->app.service, NULL, &b);
	if (code == SERVE_INVALID_BUCKET_NAME)
		return fail(r, -EINVAL, "--bucket: \"%.*s\" is not a valid bucket name",
			SUPAFS_STR_FMT(b.id));
	if (code != SERVE_OK && code != SERVE_BUCKET_EXISTS)
		return fail(r, -EIO, "cannot make the bucket \"%.*s\": %s", SUPAFS_STR_FMT(b.id),
			serve_error_get(code)->message);
	return 0;
}

static int make_buckets_and_policies(struct run *r)
{
	for (size_t i = 0; i < r->config.buckets.n; i++) {
		int e = make_bucket(r, r->config.buckets.list[i]);

		if (e < 0)
			return e;
	}
	for (size_t i = 0; i < r->config.policies.n; i++) {
		const char *spec = r->config.policies.list[i];
		int e = serve_policies_set_spec(r->app.service.policies, supafs_str_of(spec));

		if (e < 0)
			return fail(r, e,
				"--policy: \"%.100s\" is not ROLE:BUCKET:PATTERN:OPS (see "
				"docs/serve.md)",
				spec);
	}
	return 0;
}

static int open_service(struct run *r)
{
	struct serve_service *s = &r->app.service;
	supafs_autofree char *path = in_dir(r, "meta.db");
	const char *why = "";
	char text[128];
	int e;

	if (!path)
		return -ENOMEM;
	s->size_limit = r->config.size_limit;
	s->tus_expiry_us = (int64_t)r->config.tus_expiry_s * 1000000;
	e = serve_blobs_init(&s->blobs, r->dir_fd, r->config.durable, r->config.etag);
	if (e < 0)
		return fail(
			r, e, "cannot prepare %s: %s", r->config.dir, words(e, text, sizeof(text)));
	e = serve_db_open(path, r->config.durable, &s->db, &why);
	if (e < 0)
		return fail(r, e, "%s %s", path, why);
	e = serve_policies_new(s->db, &s->policies);
	if (e == 0)
		e = serve_service_recover(s);
	if (e < 0)
		return fail(r, e, "cannot read %s: %s", path, words(e, text, sizeof(text)));
	return make_buckets_and_policies(r);
}

static int open_parts(struct run *r)
{
	struct serve_control_config control = {
		.dir = r->config.dir, .counters = &r->counters, .jwt = &r->app.jwt};
	char text[128];
	int e = serve_faults_new(&r->app.faults);

	if (e == 0)
		e = make_key(r, "service_role", &r->service_key);
	if (e == 0)
		e = make_key(r, "anon", &r->anon_key);
	if (e < 0)
		return fail(r, e, "cannot make the keys");
	e = serve_server_start(&r->app, &r->server, r->why, sizeof(r->why));
	if (e < 0)
		return e;
	control.faults = r->app.faults;
	control.policies = r->app.service.policies;
	e = serve_control_start(&control, &r->control);
	return e < 0 ? fail(r, e, "cannot open the control socket in %s: %s", r->config.dir,
			       words(e, text, sizeof(text)))
		     : 0;
}

/* DIR/env, and the same on stdout. */
static int tell(struct run *r)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf text;
	supafs_autofree char *path = in_dir(r, "env");
	int e;

	supafs_buf_init(&text, (size_t)4 * SUPAFS_SECRET_MAX);
	(void)supafs_buf_addf(&text,
		"SUPABASE_URL=%s\nSUPABASE_SERVICE_ROLE_KEY=%s\nSUPABASE_ANON_KEY=%s\n", r->app.url,
		supafs_buf_cstr(&r->service_key), supafs_buf_cstr(&r->anon_key));
	e = path ? supafs_buf_error(&text) : -ENOMEM;
	if (e == 0)
		e = supafs_file_replace(path, supafs_buf_cstr(&text), text.n, 0600);
	if (e < 0)
		return fail(r, e, "cannot write %s/env", r->config.dir);
	if (!r->config.quiet)
		(void)fputs(supafs_buf_cstr(&text), stdout);
	(void)puts("ready");
	(void)fflush(stdout);
	return 0;
}

/* --- life ------------------------------------------------------------------------------------ */

static void run_init(struct run *r)
{
	r->dir_fd = r->lock_fd = -1;
	r->app.config = &r->config;
	r->app.counters = &r->counters;
	r->app.service.blobs.objects_fd = -1;
	r->app.service.blobs.tmp_fd = -1;
	r->app.service.blobs.uploads_fd = -1;
	supafs_mutex_init(&r->app.tus_mutex);
	supafs_cond_init(&r->app.tus_freed);
	supafs_mutex_init(&r->app.stop_mutex);
	supafs_cond_init(&r->app.stop_cond);
}

static void run_fini(struct run *r)
{
	r->control = serve_control_stop(r->control);
	r->server = serve_server_stop(r->server);
	r->app.faults = serve_faults_free(r->app.faults);
	r->app.service.policies = serve_policies_free(r->app.service.policies);
	r->app.service.db = serve_db_close(r->app.service.db);
	serve_blobs_fini(&r->app.service.blobs);
	supafs_buf_fini(&r->service_key);
	supafs_buf_fini(&r->anon_key);
	OPENSSL_cleanse(&r->app.jwt, sizeof(r->app.jwt));
	supafs_cond_fini(&r->app.stop_cond);
	supafs_mutex_fini(&r->app.stop_mutex);
	supafs_cond_fini(&r->app.tus_freed);
	supafs_mutex_fini(&r->app.tus_mutex);
	if (r->lock_fd >= 0)
		(void)close(r->lock_fd);
	if (r->dir_fd >= 0)
		(void)close(r->dir_fd);
}

/* Blocked before any thread starts, so that all of them inherit it. */
static void block_signals(sigset_t *set)
{
	(void)sigemptyset(set);
	(void)sigaddset(set, SIGTERM);
	(void)sigaddset(set, SIGINT);
	(void)pthread_sigmask(SIG_BLOCK, set, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
}

static int start(struct run *r)
{
	int e = open_dir(r);

	if (e == 0)
		e = read_secret(r);
	if (e == 0)
		e = open_service(r);
	if (e == 0)
		e = open_parts(r);
	return e == 0 ? tell(r) : e;
}

static void print_version(void)
{
	(void)printf("supafs-serve %s (libmicrohttpd %s, SQLite %s, %s)\n", SUPAFS_VERSION,
		MHD_get_version(), sqlite3_libversion(), OpenSSL_version(OPENSSL_VERSION));
}

int main(int argc, char **argv)
{
	struct run *r = calloc(1, sizeof(*r));
	sigset_t signals;
	int number, e;

	if (!r)
		return 1;
	if (serve_options_parse(argc, argv, &r->config, r->why, sizeof(r->why)) < 0) {
		(void)fprintf(stderr, "supafs-serve: %s\n", r->why);
		free(r);
		return 2;
	}
	if (r->config.help || r->config.version) {
		if (r->config.help)
			serve_options_usage();
		else
			print_version();
		free(r);
		return 0;
	}
	block_signals(&signals);
	run_init(r);
	e = start(r);
	if (e == 0)
		(void)sigwait(&signals, &number);
	else
		(void)fprintf(stderr, "supafs-serve: %s\n", r->why[0] ? r->why : "out of memory");
	run_fini(r);
	free(r);
	return e == 0 ? 0 : 1;
}
