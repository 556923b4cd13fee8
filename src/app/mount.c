/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Order of a start: checks of this machine → cache folder → into the background → spool's lock →
 * server → control channel → FUSE session → mounted → ready. Every step that fails has its message
 * and leaves nothing behind. The end is the reverse: loop ended → unmounted → uploads waited for,
 * which the control channel tells → channel closed → drained → record of the exit.
 */
#include "mount.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "supafs/fuse/fuse.h"
#include "supafs/util/log.h"

#include "checks.h"
#include "commands.h"
#include "control.h"
#include "daemon.h"
#include "notify.h"
#include "place.h"
#include "record.h"
#include "signals.h"
#include "stack.h"

#define IDLE_THREADS 4
/* Of malloc: with its default, eight a processor, much more stays resident than is in use. */
#define ARENAS         2
#define LEFT_FILES_MAX (16U << 10)
#define STOP_MORE_MS   90000      /* for what comes before and after the drain */
#define LOG_MAX        (1L << 20) /* a start with a longer log begins a new one */

struct mount {
	struct supafs_mount_args *args;
	char cache[PATH_MAX];
	char log[PATH_MAX]; /* "" in the foreground */
	char source[SUPAFS_BUCKET_MAX + SUPAFS_KEY_MAX + 16];
	struct supafs_daemon daemon;
	struct supafs_stack stack;
	struct supafs_fuse *fuse;
	struct supafs_signals *signals;
	struct supafs_control *control; /* NULL: it could not be made */
	struct supafs_record record;
	struct supafs_buf left_files; /* lines "name: why" of what is not sent */
};

static int find_places(struct mount *m, struct supafs_problem *p)
{
	const struct supafs_mount_args *a = m->args;
	const struct supafs_identity id = {.url = a->config.url,
		.bucket = a->bucket,
		.prefix = a->prefix,
		.mountpoint = a->mountpoint};
	char base[PATH_MAX];
	int r = supafs_place_cache_base(a->opt.cache, base, p);

	if (r == 0)
		r = supafs_place_cache(base, &id, m->cache, p);
	return r;
}

/* Earlier mounts' lines say which file is which in lost+found, so they stay for a while. */
static void keep_log_short(const char *log)
{
	char before[PATH_MAX + 4];
	struct stat st;

	if (lstat(log, &st) != 0 || st.st_size <= LOG_MAX)
		return;
	(void)snprintf(before, sizeof(before), "%s.old", log);
	(void)rename(log, before);
}

/* The log's descriptor; -1 in the foreground, where standard error is the log. */
static int open_log(struct mount *m, int *ret_fd, struct supafs_problem *p)
{
	const char *given = m->args->opt.log_file;
	int n, fd;

	*ret_fd = -1;
	if (m->args->foreground && !given)
		return 0;
	if (given)
		n = snprintf(m->log, sizeof(m->log), "%s", given);
	else
		n = snprintf(m->log, sizeof(m->log), "%s/log", m->cache);
	if (!given && n < (int)sizeof(m->log))
		keep_log_short(m->log);
	errno = ENAMETOOLONG;
	/* In our own folder nobody else puts a link; a file that the user names may be one. */
	fd = n < (int)sizeof(m->log)
		     ? open(m->log,
			       O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | (given ? 0 : O_NOFOLLOW),
			       0600)
		     : -1;
	if (fd < 0) {
		int r = -errno;

		supafs_problem_set(
			p, SUPAFS_MSG_LOG_FILE, "file", m->log, "err", strerrordesc_np(-r), NULL);
		return r;
	}
	*ret_fd = fd;
	return 0;
}

static int prepare(struct mount *m, struct supafs_problem *p)
{
	struct supafs_mount_args *a = m->args;
	int log_fd = -1, r;

	r = supafs_check_fuse(a->opt.allow_other, p);
	if (r == 0)
		r = find_places(m, p);
	if (r == 0)
		r = open_log(m, &log_fd, p);
	if (r < 0)
		return r;
	r = supafs_daemon_start(&m->daemon, a->foreground, log_fd);
	if (r < 0)
		supafs_problem_set(p, SUPAFS_MSG_SYSTEM, "what", "starting in the background",
			"err", strerrordesc_np(-r), NULL);
	supafs_config_lock(&a->config);
	supafs_log_lock_secrets();
	return r;
}

static void write_record(struct mount *m)
{
	struct supafs_record *rec = &m->record;
	int r;

	*rec = (struct supafs_record){.pid = getpid(),
		.start = supafs_process_start(getpid()),
		.drain_ms = m->args->opt.drain_ms};
	(void)snprintf(rec->mountpoint, sizeof(rec->mountpoint), "%s", m->args->mountpoint);
	(void)snprintf(rec->cache, sizeof(rec->cache), "%s", m->cache);
	(void)snprintf(rec->log, sizeof(rec->log), "%s", m->log);
	r = supafs_record_write(rec);
	if (r < 0)
		supafs_log(SUPAFS_LOG_WARN,
			"cannot leave a record for 'supafs umount': %s; it will not wait for uploads",
			strerrordesc_np(-r));
}

/* On a worker of the session: the mount answers. */
static void on_ready(void *ctx)
{
	struct mount *m = ctx;
	char status[PATH_MAX + sizeof(m->source) + 32];

	write_record(m);
	(void)snprintf(
		status, sizeof(status), "READY=1\nSTATUS=%s at %s", m->source, m->args->mountpoint);
	supafs_notify(status);
	supafs_log(SUPAFS_LOG_INFO, "%s is mounted at %s", m->source, m->args->mountpoint);
	supafs_daemon_ready(&m->daemon);
}

/* A signal ends the process in the middle of a drain. */
static void on_abandon(void *ctx)
{
	struct mount *m = ctx;
	struct supafs_vfs_stats st = {0};

	/* Drained, but the number is not here yet: no record says less than a wrong one. */
	if (!m->stack.vfs)
		return;
	supafs_vfs_stats(m->stack.vfs, &st);
	m->record.left = st.dirty + st.uploading + st.failed;
	(void)supafs_record_end(&m->record, supafs_buf_str(&m->left_files));
}

static int build_stack(struct mount *m, struct supafs_problem *p)
{
	const struct supafs_mount_args *a = m->args;
	const struct supafs_stack_args args = {.opt = &a->opt,
		.config = &a->config,
		.bucket = a->bucket,
		.prefix = a->prefix,
		.cache = m->cache};
	int r = supafs_stack_build(&m->stack, &args, p);

	if (r == 0 && m->stack.lost > 0)
		supafs_log(SUPAFS_LOG_WARN,
			"an earlier run left %u local file(s) that were perhaps not uploaded; they are kept in %s/lost+found, and its log tells more",
			m->stack.lost, m->cache);
	return r;
}

/* A mount without it is a mount all the same. */
static void start_control(struct mount *m)
{
	const struct supafs_options *opt = &m->args->opt;
	const struct supafs_clock *clock = m->stack.clock;
	const struct supafs_control_facts facts = {.stack = &m->stack,
		.source = m->source,
		.mountpoint = m->args->mountpoint,
		.cache = m->cache,
		.log = m->log,
		.memory = opt->memory,
		.meta_memory = opt->meta_memory,
		.timeout_ms = opt->timeout_ms,
		.since_ns = clock->wall_ns(clock)};
	int r = supafs_control_new(&facts, &m->control);
	struct supafs_problem p;

	if (r == 0)
		return;
	supafs_problem_set(&p, SUPAFS_MSG_CONTROL, "err", strerrordesc_np(-r), NULL);
	supafs_log(SUPAFS_LOG_WARN, "%s", p.text);
}

static int build_fuse(struct mount *m, struct supafs_problem *p)
{
	const struct supafs_options *opt = &m->args->opt;
	const struct supafs_fuse_config cfg = {
		.vfs = m->stack.vfs,
		.clock = m->stack.clock,
		.source = m->source,
		.cache = m->cache,
		.timeout_ms = opt->hard ? 0 : opt->timeout_ms,
		.read_ahead = opt->read_ahead,
		.read_only = opt->ro,
		.allow_other = opt->allow_other,
		/* Where only root may enter there is nobody to check, and without the check the
		 * kernel does not ask for the folder's attributes again after each create. */
		.default_permissions =
			opt->default_permissions && (opt->allow_other || geteuid() != 0),
		.noexec = opt->noexec,
		.max_threads = (unsigned)opt->threads,
		.idle_threads = IDLE_THREADS,
		.ready = on_ready,
		.ctx = m,
	};
	int r = supafs_fuse_new(&cfg, &m->fuse);

	if (r == 0)
		r = supafs_fuse_mount(m->fuse, m->args->mountpoint);
	if (r < 0)
		supafs_problem_set(p, SUPAFS_MSG_FUSE_REFUSED, "mnt", m->args->mountpoint, NULL);
	return r;
}

static int serve(struct mount *m, struct supafs_problem *p)
{
	int r = supafs_signals_start(m->fuse, on_abandon, m, &m->signals);

	if (r == 0)
		r = supafs_fuse_loop(m->fuse);
	if (r < 0)
		supafs_problem_set(p, SUPAFS_MSG_SYSTEM, "what", "serving the mount", "err",
			strerrordesc_np(-r), NULL);
	return r;
}

static void on_drain(void *ctx, const struct supafs_flush_state *st)
{
	struct mount *m = ctx;

	if (m->control)
		supafs_control_draining(m->control, st);
}

/* A line of the exit record: "name: why". What has a temporary name is sent in the very end. */
static int add_left(void *ctx, const struct supafs_pending *p)
{
	struct supafs_buf *b = ctx;
	const struct supafs_str text = supafs_str_of(p->text ? p->text : "");
	char line[SUPAFS_PROBLEM_MAX], clean[SUPAFS_PROBLEM_MAX];

	if (strcmp(p->state, "held") == 0 || b->max - b->n < sizeof(line))
		return 0;
	(void)snprintf(line, sizeof(line), "%s is not at the server: %s%s%.*s", p->path,
		p->error ? strerrordesc_np(p->error) : "there was no time", text.n ? ": " : "",
		(int)text.n, text.p);
	(void)supafs_log_redact(line, strlen(line), clean, sizeof(clean));
	(void)supafs_buf_addf(b, "%s\n", clean);
	return 0;
}

/* Waits for uploads while the vfs can still tell how far they are; what is left of the time. */
static uint64_t drain(struct mount *m, uint64_t drain_ms)
{
	const struct supafs_clock *clock = m->stack.clock;
	const int64_t began = clock->mono_ns(clock);
	struct supafs_flush_state st = {0};
	struct supafs_call call;
	uint64_t took;

	if (!m->stack.vfs || drain_ms == 0)
		return drain_ms;
	on_drain(m, &st);
	supafs_call_init(&call, clock, drain_ms);
	(void)supafs_vfs_flush_all(m->stack.vfs, &call, on_drain, m, &st);
	supafs_call_fini(&call);
	(void)supafs_vfs_pending(m->stack.vfs, add_left, &m->left_files);
	took = (uint64_t)((clock->mono_ns(clock) - began) / SUPAFS_NS_PER_MS);
	return took < drain_ms ? drain_ms - took : 0;
}

/* Ends what was built; the number of files that are left. */
static unsigned finish(struct mount *m)
{
	uint64_t drain_ms = m->args->opt.drain_ms;
	unsigned left = 0;
	char state[96];

	if (m->signals && supafs_signals_draining(m->signals))
		drain_ms = 0;
	/* The service manager is asked for as long as the drain may take. */
	(void)snprintf(state, sizeof(state),
		"STOPPING=1\nSTATUS=waiting for uploads\nEXTEND_TIMEOUT_USEC=%llu",
		(unsigned long long)(drain_ms + STOP_MORE_MS) * 1000);
	supafs_notify(state);
	if (m->fuse)
		supafs_fuse_unmount(m->fuse);
	drain_ms = drain(m, drain_ms);
	m->control = supafs_control_free(m->control);
	supafs_stack_end(&m->stack, drain_ms, &left);
	m->signals = supafs_signals_free(m->signals);
	m->fuse = supafs_fuse_free(m->fuse);
	if (m->record.pid) {
		m->record.left = left;
		if (left == 0) /* the last try did it */
			supafs_buf_reset(&m->left_files);
		(void)supafs_record_end(&m->record, supafs_buf_str(&m->left_files));
	}
	return left;
}

static void report_left(const struct mount *m, unsigned left)
{
	struct supafs_problem p;
	char count[16];

	(void)snprintf(count, sizeof(count), "%u", left);
	supafs_problem_set(&p, SUPAFS_MSG_LEFT, "count", count, "dir", m->cache, "log",
		*m->log ? m->log : "above", NULL);
	supafs_log(SUPAFS_LOG_ERROR, "%s", p.text);
}

static int run(struct mount *m)
{
	struct supafs_problem p;
	unsigned left;
	int r = prepare(m, &p);

	if (r == 0) {
		supafs_signals_block();
		r = build_stack(m, &p);
		supafs_config_forget(&m->args->config);
		if (r == 0)
			start_control(m);
		if (r == 0)
			r = build_fuse(m, &p);
		if (r == 0)
			r = serve(m, &p);
		left = finish(m);
		if (left > 0)
			report_left(m, left);
		if (r == 0)
			return left > 0 ? SUPAFS_EXIT_FAILED : SUPAFS_EXIT_OK;
	}
	supafs_problem_print(&p);
	return SUPAFS_EXIT_FAILED;
}

/* Each connection, open file and upload has a descriptor; the soft limit of 1024 is for programs
 * that use select(). */
static void raise_descriptors(void)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim) < 0 || lim.rlim_cur >= lim.rlim_max)
		return;
	lim.rlim_cur = lim.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &lim);
}

int supafs_mount_run(struct supafs_mount_args *args)
{
	struct mount *m = calloc(1, sizeof(*m));
	int code;

	/* NOLINTNEXTLINE(concurrency-mt-unsafe): there is one thread yet */
	(void)mallopt(M_ARENA_MAX, ARENAS);
	if (!m) {
		(void)fprintf(stderr, "supafs: out of memory\n");
		return SUPAFS_EXIT_FAILED;
	}
	raise_descriptors();
	m->args = args;
	supafs_buf_init(&m->left_files, LEFT_FILES_MAX);
	m->daemon = (struct supafs_daemon){.ready_fd = -1, .log_fd = -1};
	(void)snprintf(m->source, sizeof(m->source), "supafs:%s%s%s", args->bucket,
		*args->prefix ? "/" : "", args->prefix);
	code = run(m);
	supafs_buf_fini(&m->left_files);
	free(m);
	return code;
}
