/* SPDX-License-Identifier: Apache-2.0 */
#include "stack.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/log.h"
#include "supafs/util/name.h"

#include "probe.h"

#define USER_AGENT   "supafs/" SUPAFS_VERSION
#define AHEAD_MAX    (16U << 20) /* bytes a download may be ahead of its reader */
#define RETRY_BUDGET 0.2
#define RETRY_BURST  32
#define MEBIBYTE     (UINT64_C(1) << 20)

static int system_problem(int r, const char *what, struct supafs_problem *p)
{
	supafs_problem_set(p, SUPAFS_MSG_SYSTEM, "what", what, "err", strerrordesc_np(-r), NULL);
	return r;
}

static int build_http(
	struct supafs_stack *s, const struct supafs_options *opt, struct supafs_problem *p)
{
	const struct supafs_http_config cfg = {
		.user_agent = USER_AGENT,
		.cacert = opt->cacert,
		.proxy = opt->proxy,
		.max_connections = (unsigned)opt->connections,
		.connect_timeout_ms = opt->connect_timeout_ms,
		.stall_timeout_ms = opt->stall_timeout_ms,
	};
	int r;

	if (opt->cacert && access(opt->cacert, R_OK) != 0) {
		r = -errno;
		supafs_problem_set(p, SUPAFS_MSG_CACERT, "file", opt->cacert, "err",
			strerrordesc_np(-r), NULL);
		return r;
	}
	r = supafs_http_new_curl(&cfg, &s->http);
	if (r == -EINVAL && opt->cacert)
		supafs_problem_set(p, SUPAFS_MSG_CACERT, "file", opt->cacert, "err",
			"no certificate is in it", NULL);
	else if (r < 0)
		(void)system_problem(r, "starting the transport", p);
	return r;
}

static int try_base(struct supafs_stack *s, const struct supafs_stack_args *a, bool raw_base,
	struct supafs_problem *p)
{
	const bool renewed = a->config->user_token_file != NULL;
	const struct supafs_supabase_config cfg = {
		.url = a->config->url,
		.raw_base = raw_base,
		.bucket = a->bucket,
		.key = supafs_config_key(a->config),
		.user_token = a->config->user_token,
		.clock = s->clock,
		.seed = supafs_random_seed(),
		.resumable_min = a->opt->resumable > 0 ? a->opt->resumable : UINT64_MAX,
		.refresh = renewed ? supafs_token_file_refresh : NULL,
		.changed = renewed ? supafs_token_file_changed : NULL,
		.refresh_ctx = &s->token,
	};
	const struct supafs_probe_args probe = {
		.clock = s->clock,
		.timeout_ms = a->opt->timeout_ms,
		.url = a->config->url,
		.bucket = a->bucket,
		.public_key = supafs_config_is_public(a->config),
	};
	int r = supafs_store_new_supabase(&cfg, s->http, &s->store);

	if (r < 0)
		return system_problem(r, "setting up the store", p);
	return supafs_probe(s->store, &probe, &s->bucket, p);
}

/* What answers, but not as a gateway would below /storage/v1, may be the storage server itself. */
static int build_backend(
	struct supafs_stack *s, const struct supafs_stack_args *a, struct supafs_problem *p)
{
	struct supafs_problem without;
	int r = try_base(s, a, a->opt->raw_base, p);
	int w;

	if (r == 0 || a->opt->raw_base || p->id != SUPAFS_MSG_WRONG_URL)
		return r;
	s->store = supafs_store_free(s->store);
	w = try_base(s, a, true, &without);
	if (w == 0 || without.id == SUPAFS_MSG_WRONG_URL)
		return w == 0 ? 0 : r;
	*p = without;
	return w;
}

/* Each layer owns the one below; when one cannot be made, s->store keeps what is there. */
static int build_layers(struct supafs_stack *s, const struct supafs_options *opt)
{
	const struct supafs_retry_config retry = {
		.clock = s->clock,
		.seed = supafs_random_seed(),
		.max_attempts = opt->hard ? 0 : (unsigned)opt->retries,
		.base_ms = opt->retry_base_ms,
		.cap_ms = opt->retry_cap_ms,
		.budget = RETRY_BUDGET,
		.budget_burst = RETRY_BURST,
	};
	/* The limit lies below the retry: it sees each 429, and a pause between tries holds no
	 * place. */
	int r = supafs_store_new_limit(s->clock, (unsigned)opt->connections, s->store, &s->store);

	if (r == 0)
		r = supafs_store_new_retry(&retry, s->store, &s->store);
	if (r == 0)
		r = supafs_store_new_stats(s->clock, s->store, &s->store);
	if (r == 0) {
		s->stats = s->store;
		r = supafs_store_new_trace(s->clock, s->store, &s->store);
	}
	return r;
}

/* "a/b" as typed → "a/b/" as stored. */
static int make_root(struct supafs_stack *s, const char *prefix, struct supafs_problem *p)
{
	char root[SUPAFS_KEY_MAX + 1];
	size_t n = 0;

	while (*prefix) {
		size_t len = strcspn(prefix, "/");
		ssize_t w = 0;

		if (len > 0)
			w = supafs_name_encode((struct supafs_str){prefix, len}, root + n,
				sizeof(root) - n - 2 < SUPAFS_SEG_MAX ? sizeof(root) - n - 2
								      : SUPAFS_SEG_MAX);
		if (w < 0) {
			supafs_problem_set(p, SUPAFS_MSG_BAD_PREFIX, "prefix", prefix, "err",
				w == -EINVAL ? "it has '.' or '..' in it"
					     : strerrordesc_np((int)-w),
				NULL);
			return (int)w;
		}
		n += (size_t)w;
		if (len > 0)
			root[n++] = '/';
		if (n + 2 >= sizeof(root)) {
			supafs_problem_set(p, SUPAFS_MSG_BAD_PREFIX, "prefix", prefix, "err",
				"it is too long", NULL);
			return -ENAMETOOLONG;
		}
		prefix += len + (prefix[len] == '/');
	}
	s->root = supafs_str_dup((struct supafs_str){root, n});
	return s->root ? 0 : -ENOMEM;
}

static int build_spool(struct supafs_stack *s, const char *cache, struct supafs_problem *p)
{
	int r = supafs_spool_dir_open(cache, &s->spool);

	if (r == 0)
		r = supafs_journal_open(s->spool, &s->journal, &s->lost);
	if (r < 0)
		supafs_problem_set(p, r == -EBUSY ? SUPAFS_MSG_CACHE_BUSY : SUPAFS_MSG_CACHE_DENIED,
			"dir", cache, "err", strerrordesc_np(-r), NULL);
	return r;
}

static int build_cache(struct supafs_stack *s, const struct supafs_options *opt)
{
	const struct supafs_catalog_config catalog = {
		.store = s->store,
		.clock = s->clock,
		.root = supafs_str_of(s->root),
		.ttl_ms = opt->ttl_ms,
		.memory = opt->meta_memory,
	};
	const struct supafs_data_config data = {
		.store = s->store,
		.clock = s->clock,
		.memory = opt->memory,
		.ahead_max = AHEAD_MAX < opt->memory / 4 ? AHEAD_MAX : opt->memory / 4,
		.threads = (unsigned)opt->connections,
		.timeout_ms = opt->hard ? 0 : opt->timeout_ms, /* a window is waited for as well */
	};
	int r = supafs_catalog_new(&catalog, &s->catalog);

	return r < 0 ? r : supafs_data_new(&data, &s->data);
}

static mode_t mode_of(uint64_t given, mode_t all, uint64_t mask)
{
	return given == SUPAFS_OPT_UNSET ? all & ~(mode_t)mask : (mode_t)given;
}

static int build_vfs(struct supafs_stack *s, const struct supafs_options *opt)
{
	const struct supafs_vfs_config cfg = {
		.store = s->store,
		.catalog = s->catalog,
		.data = s->data,
		.spool = s->spool,
		.journal = s->journal,
		.clock = s->clock,
		.root = supafs_str_of(s->root),
		.bucket = &s->bucket,
		.ttl_ms = opt->ttl_ms,
		.poll_ms = opt->poll_ms,
		.timeout_ms = opt->timeout_ms,
		.uid = opt->uid == SUPAFS_OPT_UNSET ? getuid() : (uid_t)opt->uid,
		.gid = opt->gid == SUPAFS_OPT_UNSET ? getgid() : (gid_t)opt->gid,
		.file_mode = mode_of(opt->fmode, 0666, opt->umask),
		.dir_mode = mode_of(opt->dmode, 0777, opt->umask),
		.read_only = opt->ro,
		.strict_names = opt->names == SUPAFS_NAMES_STRICT,
		.rename_dir = opt->rename_dir,
		.store_meta = opt->meta != SUPAFS_META_OFF,
		.meta_info = opt->meta == SUPAFS_META_INFO,
		.cache_control = opt->cache_control,
		.temp_patterns = opt->temp_names,
		.writeback = opt->writeback,
		.uploads = (unsigned)opt->uploads,
		.trusted = s->trusted,
	};

	int r = supafs_vfs_new(&cfg, &s->vfs);

	/* What an earlier mount has promised, whatever its options were. */
	return r < 0 ? r : supafs_vfs_replay(s->vfs, &s->replayed);
}

static void begin(struct supafs_stack *s, const struct supafs_stack_args *args)
{
	*s = (struct supafs_stack){.clock = supafs_clock_system()};
	supafs_token_file_init(&s->token, args->config->user_token_file,
		args->config->user_token ? args->config->user_token : "");
	s->trusted = supafs_config_is_trusted(args->config);
	supafs_buf_init(&s->bucket.mimes, SUPAFS_JSON_BODY_MAX);
}

int supafs_stack_http(
	struct supafs_stack *s, const struct supafs_stack_args *args, struct supafs_problem *p)
{
	begin(s, args);
	return build_http(s, args->opt, p);
}

int supafs_stack_connect(
	struct supafs_stack *s, const struct supafs_stack_args *args, struct supafs_problem *p)
{
	return build_backend(s, args, p);
}

int supafs_stack_build(
	struct supafs_stack *s, const struct supafs_stack_args *args, struct supafs_problem *p)
{
	int r;

	begin(s, args);
	r = make_root(s, args->prefix, p);
	if (r == 0)
		r = build_spool(s, args->cache, p);
	if (r == 0)
		r = build_http(s, args->opt, p);
	if (r == 0)
		r = build_backend(s, args, p);
	if (r < 0)
		return r;
	r = build_layers(s, args->opt);
	if (r == 0)
		r = build_cache(s, args->opt);
	if (r == 0)
		r = build_vfs(s, args->opt);
	return r < 0 ? system_problem(r, "building the mount", p) : 0;
}

void supafs_stack_end(struct supafs_stack *s, uint64_t drain_ms, unsigned *ret_left)
{
	unsigned left = 0;

	s->vfs = supafs_vfs_free(s->vfs, drain_ms, &left);
	s->data = supafs_data_free(s->data);
	s->catalog = supafs_catalog_free(s->catalog);
	s->journal = supafs_journal_free(s->journal);
	s->spool = supafs_spool_dir_free(s->spool);
	s->store = supafs_store_free(s->store);
	s->http = supafs_http_free(s->http);
	supafs_token_file_fini(&s->token);
	supafs_buf_fini(&s->bucket.mimes);
	free(s->root);
	s->root = NULL;
	if (ret_left)
		*ret_left = left;
}
