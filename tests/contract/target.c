/* SPDX-License-Identifier: Apache-2.0 */
/* Starting and ending the targets of the contract suite. */
#include "target.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "supafs/http/http.h"
#include "supafs/util/cleanup.h"
#include "supafs/util/parse.h"

enum {
	TIMEOUT_MS = 60000,
};

extern char **environ;

/* --- supafs-serve ----------------------------------------------------------------------------- */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static int spawn_serve(struct target *t, const char *binary, int *ret_out)
{
	char name[] = "supafs-serve";
	char option[] = "--port";
	char any[] = "0";
	char *const argv[] = {name, option, any, t->dir, NULL};
	posix_spawn_file_actions_t acts;
	int fds[2];
	int r;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	(void)posix_spawn_file_actions_init(&acts);
	(void)posix_spawn_file_actions_adddup2(&acts, fds[1], STDOUT_FILENO);
	r = posix_spawn(&t->pid, binary, &acts, NULL, argv, environ);
	(void)posix_spawn_file_actions_destroy(&acts);
	(void)close(fds[1]);
	if (r != 0) {
		t->pid = 0;
		(void)close(fds[0]);
		return -r;
	}
	*ret_out = fds[0];
	return 0;
}

/* Reads the lines of the server up to "ready", its last one. */
static bool wait_ready(int fd)
{
	char line[5000];
	FILE *f = fdopen(fd, "r");
	bool ready = false;

	if (!f) {
		(void)close(fd);
		return false;
	}
	while (!ready && fgets(line, sizeof(line), f))
		ready = strcmp(line, "ready\n") == 0;
	(void)fclose(f);
	return ready;
}

static void take_value(const char *line, const char *name, char *out, size_t size)
{
	size_t n = strlen(name);

	if (strncmp(line, name, n) != 0 || line[n] != '=')
		return;
	(void)snprintf(out, size, "%.*s", (int)strcspn(line + n + 1, "\r\n"), line + n + 1);
}

static bool read_env(struct target *t)
{
	char path[128];
	char line[5000];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/env", t->dir);
	f = fopen(path, "re");
	if (!f)
		return false;
	while (fgets(line, sizeof(line), f)) {
		take_value(line, "SUPABASE_URL", t->url, sizeof(t->url));
		take_value(
			line, "SUPABASE_SERVICE_ROLE_KEY", t->service_key, sizeof(t->service_key));
		take_value(line, "SUPABASE_ANON_KEY", t->anon_key, sizeof(t->anon_key));
	}
	(void)fclose(f);
	return t->url[0] && t->service_key[0];
}

static int start_serve(struct target *t)
{
	const char *binary = getenv("SUPAFS_SERVE_BIN"); // NOLINT(concurrency-mt-unsafe)
	int fd = -1;

	if (!binary || access(binary, X_OK) < 0) {
		(void)puts(
			"1..0 # SKIP supafs-serve is not built: libmicrohttpd-dev, libsqlite3-dev");
		exit(0);
	}
	(void)snprintf(t->dir, sizeof(t->dir), "/tmp/supafs-contract-XXXXXX");
	if (!mkdtemp(t->dir)) {
		t->dir[0] = '\0';
		return -1;
	}
	if (spawn_serve(t, binary, &fd) < 0 || !wait_ready(fd) || !read_env(t)) {
		(void)fputs("supafs-serve did not start\n", stderr);
		return -1;
	}
	return 0;
}

static void stop_serve(struct target *t)
{
	int status = 0;

	if (t->pid > 0) {
		(void)kill(t->pid, SIGTERM);
		(void)waitpid(t->pid, &status, 0);
		if (status != 0)
			(void)fprintf(stderr, "supafs-serve ended with status %d\n", status);
		t->pid = 0;
	}
	if (t->dir[0])
		(void)nftw(t->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static bool foreign(void)
{
	return getenv("SUPAFS_TEST_URL") != NULL; // NOLINT(concurrency-mt-unsafe)
}

static int take_url(struct target *t)
{
	const char *url = getenv("SUPAFS_TEST_URL");         // NOLINT(concurrency-mt-unsafe)
	const char *key = getenv("SUPAFS_TEST_SERVICE_KEY"); // NOLINT(concurrency-mt-unsafe)
	const char *anon = getenv("SUPAFS_TEST_ANON_KEY");   // NOLINT(concurrency-mt-unsafe)

	if (!key) {
		(void)fputs("SUPAFS_TEST_URL is set, but SUPAFS_TEST_SERVICE_KEY is not\n", stderr);
		return -1;
	}
	(void)snprintf(t->url, sizeof(t->url), "%s", url);
	(void)snprintf(t->service_key, sizeof(t->service_key), "%s", key);
	(void)snprintf(t->anon_key, sizeof(t->anon_key), "%s", anon ? anon : "");
	return 0;
}

/* --- Bucket ----------------------------------------------------------------------------------- */

/* Does the server answer at `url` + /storage/v1, or is it the storage server itself? */
static bool has_no_prefix(struct target *t)
{
	const struct supafs_http_request req = {.method = SUPAFS_HTTP_GET, .url = t->probe};
	struct supafs_http_reply reply;
	struct supafs_call call;
	int r;

	(void)snprintf(t->probe, sizeof(t->probe), "%s/storage/v1/status", t->url);
	supafs_http_reply_init(&reply);
	supafs_call_init(&call, supafs_clock_system(), TIMEOUT_MS);
	r = supafs_http_perform(t->http, &call, &req, &reply);
	r = r == 0 ? reply.status : r;
	supafs_call_fini(&call);
	supafs_http_reply_fini(&reply);
	return r == 404;
}

static int bucket_request(
	struct target *t, enum supafs_http_method method, const char *path, const char *json)
{
	const struct supafs_str body = supafs_str_of(json);
	const struct supafs_http_source source = supafs_http_source_mem(&body);
	struct supafs_http_reply reply;
	struct supafs_call call;
	char url[1024];
	char apikey[4200];
	char auth[4200];
	const char *const headers[] = {
		apikey, auth, json ? "Content-Type: application/json" : NULL, NULL};
	const struct supafs_http_request req = {
		.method = method,
		.url = url,
		.headers = headers,
		.body = json ? &source : NULL,
	};
	int r;

	(void)snprintf(url, sizeof(url), "%s%s%s", t->url,
		t->raw_base || strstr(t->url, "/storage/v1") ? "" : "/storage/v1", path);
	(void)snprintf(apikey, sizeof(apikey), "apikey: %s", t->service_key);
	(void)snprintf(auth, sizeof(auth), "Authorization: Bearer %s", t->service_key);
	supafs_http_reply_init(&reply);
	supafs_call_init(&call, supafs_clock_system(), TIMEOUT_MS);
	r = supafs_http_perform(t->http, &call, &req, &reply);
	if (r == 0 && reply.status != 200)
		r = -EIO;
	if (r < 0)
		(void)fprintf(stderr, "%s: %d, HTTP %d %s%s\n", path, r, reply.status, reply.error,
			supafs_buf_cstr(&reply.body));
	supafs_call_fini(&call);
	supafs_http_reply_fini(&reply);
	return r;
}

static int make_bucket(struct target *t)
{
	char json[256];

	(void)snprintf(t->bucket, sizeof(t->bucket), "supafs contract %d-%llx", (int)getpid(),
		(unsigned long long)supafs_random_seed() & 0xffffff);
	(void)snprintf(json, sizeof(json), "{\"id\":\"%s\",\"name\":\"%s\",\"public\":false}",
		t->bucket, t->bucket);
	return bucket_request(t, SUPAFS_HTTP_POST, "/bucket", json);
}

struct names {
	char *keys[1000];
	size_t n;
};

static int collect(void *ctx, const struct supafs_entry *e)
{
	struct names *names = ctx;

	names->keys[names->n] = supafs_str_dup(e->key);
	return names->keys[names->n++] ? 0 : -ENOMEM;
}

/* Deletes the first page of objects; 1: there was one, 0: none left. */
static int empty_page(struct target *t, struct supafs_call *call)
{
	struct names names = {.n = 0};
	const struct supafs_list_args args = {
		.limit = SUPAFS_DELETE_BATCH, .on_entry = collect, .ctx = &names};
	struct supafs_str keys[SUPAFS_DELETE_BATCH];
	bool gone[SUPAFS_DELETE_BATCH];
	struct supafs_cursor cursor = {0};
	struct supafs_fault fault;
	bool more = false;
	int r = t->store->ops->list(t->store, call, &args, &cursor, &more, &fault);

	for (size_t i = 0; i < names.n; i++)
		keys[i] = supafs_str_of(names.keys[i]);
	if (r == 0 && names.n > 0)
		r = t->store->ops->remove_many(t->store, call, keys, names.n, gone, &fault);
	if (r == 0)
		r = names.n > 0;
	for (size_t i = 0; i < names.n; i++)
		free(names.keys[i]);
	return r;
}

static void remove_bucket(struct target *t)
{
	struct supafs_call call;
	char path[128] = "/bucket/";
	size_t n = strlen(path);

	if (!t->bucket[0])
		return;
	supafs_call_init(&call, supafs_clock_system(), TIMEOUT_MS);
	while (t->store && empty_page(t, &call) > 0)
		;
	supafs_call_fini(&call);
	for (const char *p = t->bucket; *p && n + 4 < sizeof(path); p++)
		n += (size_t)snprintf(path + n, sizeof(path) - n, *p == ' ' ? "%%20" : "%c", *p);
	(void)bucket_request(t, SUPAFS_HTTP_DELETE, path, NULL);
}

/* --- Stores ----------------------------------------------------------------------------------- */

/* retry over limit over `s`, which is freed on failure. */
static struct supafs_store *add_layers(struct supafs_store *s)
{
	const struct supafs_retry_config retry = {
		.clock = supafs_clock_system(),
		.seed = 1,
		.max_attempts = 6,
		.base_ms = 5,
		.cap_ms = 200,
		.budget = 0.5,
		.budget_burst = 100,
	};
	struct supafs_store *limit = NULL;
	struct supafs_store *top = NULL;

	if (!s || supafs_store_new_limit(supafs_clock_system(), 8, s, &limit) < 0)
		return supafs_store_free(s);
	if (supafs_store_new_retry(&retry, limit, &top) < 0)
		return supafs_store_free(limit);
	return top;
}

static struct supafs_store *new_store(
	const struct target *t, const char *bucket, const char *key, uint64_t min)
{
	const struct supafs_supabase_config cfg = {
		.url = t->url,
		.raw_base = t->raw_base,
		.bucket = bucket,
		.key = key,
		.clock = supafs_clock_system(),
		.seed = supafs_random_seed(),
		.resumable_min = min,
	};
	struct supafs_store *s = NULL;

	return supafs_store_new_supabase(&cfg, t->http, &s) < 0 ? NULL : s;
}

struct supafs_store *target_store_with_key(
	const struct target *t, const char *bucket, const char *key)
{
	return new_store(t, bucket, key, 0);
}

struct supafs_store *target_store_resumable(const struct target *t, uint64_t min)
{
	struct supafs_store *s = new_store(t, t->bucket, t->service_key, min);

	return t->stacked ? add_layers(s) : s;
}

static int start_remote(struct target *t)
{
	const struct supafs_http_config http = {
		.user_agent = "supafs-contract/1",
		.max_connections = 16,
		.connect_timeout_ms = 10000,
		.stall_timeout_ms = 30000,
	};
	int r = foreign() ? take_url(t) : start_serve(t);

	if (r != 0)
		return r;
	if (supafs_http_new_curl(&http, &t->http) < 0)
		return -1;
	t->raw_base = foreign() && !strstr(t->url, "/storage/v1") && has_no_prefix(t);
	if (make_bucket(t) < 0)
		return -1;
	t->store = target_store_with_key(t, t->bucket, t->service_key);
	return t->store ? 0 : -1;
}

int target_start(struct target *t, const char *kind, bool stacked)
{
	int r;

	*t = (struct target){.kind = kind, .stacked = stacked};
	if (strcmp(kind, "memory") == 0)
		r = supafs_store_new_memory(supafs_clock_system(), &t->store) < 0 ? -1 : 0;
	else
		r = start_remote(t);
	if (r == 0 && stacked) {
		t->store = add_layers(t->store);
		r = t->store ? 0 : -1;
	}
	return r;
}

void target_stop(struct target *t)
{
	if (t->http)
		remove_bucket(t);
	t->store = supafs_store_free(t->store);
	t->http = supafs_http_free(t->http);
	stop_serve(t);
}
