/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The session: options for libfuse, what is agreed with the kernel at init, the loop, the end.
 *
 * State          set by                         what runs
 * new            supafs_fuse_new                nothing
 * mounted        supafs_fuse_mount              nothing; the kernel queues
 * looping        supafs_fuse_loop               workers, notifications
 * stopping       supafs_fuse_stop               workers; no notification; the mount is detached
 * ended          loop returned                  nothing; every operation has been answered
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "supafs/util/buf.h"
#include "supafs/util/file.h"
#include "supafs/util/log.h"

#include "op.h"

#define OPTIONS_MAX        8192
#define BACKGROUND_MAX     64
#define BACKGROUND_CONGEST 48

static void on_init(void *userdata, struct fuse_conn_info *conn)
{
	struct supafs_fuse *f = userdata;
	const unsigned wanted = FUSE_CAP_ASYNC_READ | FUSE_CAP_PARALLEL_DIROPS |
				FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO |
				FUSE_CAP_ATOMIC_O_TRUNC | FUSE_CAP_CACHE_SYMLINKS |
				FUSE_CAP_EXPLICIT_INVAL_DATA;
	/* Size and times are the server's, hence no write-back cache. Our bytes come from and go to
	 * memory, where splicing costs a copy instead of saving one. */
	const unsigned unwanted = FUSE_CAP_WRITEBACK_CACHE | FUSE_CAP_AUTO_INVAL_DATA |
				  FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE |
				  FUSE_CAP_SPLICE_MOVE | FUSE_CAP_POSIX_LOCKS |
				  FUSE_CAP_FLOCK_LOCKS;
	unsigned get = wanted;

#ifdef FUSE_CAP_HANDLE_KILLPRIV_V2
	get |= FUSE_CAP_HANDLE_KILLPRIV_V2;
#endif
	conn->want |= conn->capable & get;
	conn->want &= ~unwanted;
	/* Without the explicit form the kernel must watch for changes by itself. */
	if (!(conn->capable & FUSE_CAP_EXPLICIT_INVAL_DATA))
		conn->want |= conn->capable & FUSE_CAP_AUTO_INVAL_DATA;
	if (conn->max_write > FUSE_IO_MAX)
		conn->max_write = FUSE_IO_MAX;
	f->parallel_dirops = (conn->capable & FUSE_CAP_PARALLEL_DIROPS) != 0;
	if (f->read_ahead < conn->max_readahead)
		conn->max_readahead = (unsigned)f->read_ahead;
	conn->max_background = BACKGROUND_MAX;
	conn->congestion_threshold = BACKGROUND_CONGEST;
	conn->time_gran = 1;
	if (f->ready)
		f->ready(f->ready_ctx);
}

/* libfuse has one log function for the process; what it says goes to our log. */
static void on_fuse_log(enum fuse_log_level level, const char *fmt, va_list ap)
	__attribute__((format(printf, 2, 0)));
static void on_fuse_log(enum fuse_log_level level, const char *fmt, va_list ap)
{
	char text[256];

	(void)vsnprintf(text, sizeof(text), fmt, ap);
	text[strcspn(text, "\n")] = '\0';
	if (level <= FUSE_LOG_ERR)
		supafs_log(SUPAFS_LOG_ERROR, "libfuse: %s", text);
	else
		supafs_debug(SUPAFS_PART_FUSE, "libfuse: %s", text);
}

/* A mount option's value, with ',' and '\' escaped for libfuse. */
static void add_escaped(struct supafs_buf *b, const char *s)
{
	for (; *s; s++) {
		if (*s == ',' || *s == '\\')
			(void)supafs_buf_addc(b, '\\');
		(void)supafs_buf_addc(b, *s);
	}
}

static int add_options(const struct supafs_fuse_config *cfg, struct fuse_args *args)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf b;

	supafs_buf_init(&b, OPTIONS_MAX);
	(void)supafs_buf_adds(&b, "subtype=supafs,nosuid,nodev,fsname=");
	add_escaped(&b, cfg->source);
	if (cfg->default_permissions)
		(void)supafs_buf_adds(&b, ",default_permissions");
	if (cfg->allow_other)
		(void)supafs_buf_adds(&b, ",allow_other");
	if (cfg->read_only)
		(void)supafs_buf_adds(&b, ",ro");
	if (cfg->noexec)
		(void)supafs_buf_adds(&b, ",noexec");
	if (supafs_buf_error(&b) < 0)
		return supafs_buf_error(&b);
	if (fuse_opt_add_arg(args, "supafs") != 0 || fuse_opt_add_arg(args, "-o") != 0 ||
		fuse_opt_add_arg(args, supafs_buf_cstr(&b)) != 0)
		return -ENOMEM;
	return 0;
}

static int new_session(struct supafs_fuse *f, const struct supafs_fuse_config *cfg)
{
	supafs_cleanup(fuse_opt_free_args) struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	struct fuse_lowlevel_ops ops = {.init = on_init};
	int r = add_options(cfg, &args);

	if (r < 0)
		return r;
	ops_name(&ops);
	ops_attr(&ops);
	ops_dir(&ops);
	ops_file(&ops);
	ops_xattr(&ops);
	fuse_set_log_func(on_fuse_log);
	f->se = fuse_session_new(&args, &ops, sizeof(ops), f);
	return f->se ? 0 : -EINVAL;
}

int supafs_fuse_new(const struct supafs_fuse_config *cfg, struct supafs_fuse **ret_fuse)
{
	struct supafs_fuse *f = calloc(1, sizeof(*f));
	int r;

	if (!f)
		return -ENOMEM;
	f->vfs = cfg->vfs;
	f->clock = cfg->clock;
	f->cache = cfg->cache;
	f->timeout_ms = cfg->timeout_ms;
	f->read_ahead = cfg->read_ahead;
	f->max_threads = cfg->max_threads;
	f->idle_threads = cfg->idle_threads;
	f->ready = cfg->ready;
	f->ready_ctx = cfg->ctx;
	supafs_mutex_init(&f->lock);
	supafs_cond_init(&f->calm);
	supafs_list_init(&f->ops);
	r = supafs_timers_new(cfg->clock, &f->timers);
	if (r == 0)
		r = new_session(f, cfg);
	if (r < 0) {
		(void)supafs_fuse_free(f);
		return r;
	}
	*ret_fuse = f;
	return 0;
}

int supafs_fuse_mount(struct supafs_fuse *f, const char *path)
{
	f->mountpoint = strdup(path);
	if (!f->mountpoint)
		return -ENOMEM;
	if (fuse_session_mount(f->se, path) != 0)
		return -EIO;
	if (parallel_dirops(f) != 0)
		supafs_log(SUPAFS_LOG_WARN, "look-ups in one folder wait for each other");
	supafs_vfs_set_notify(f->vfs, &(struct supafs_notify){.inval_entry = notify_inval_entry,
					      .inval_inode = notify_inval_inode,
					      .ctx = f});
	return 0;
}

void supafs_fuse_unmount(struct supafs_fuse *f)
{
	notify_quiet(f);
	fuse_session_unmount(f->se);
}

struct supafs_fuse *supafs_fuse_free(struct supafs_fuse *f)
{
	if (!f)
		return NULL;
	f->timers = supafs_timers_free(f->timers);
	if (f->se)
		fuse_session_destroy(f->se);
	for (unsigned i = 0; i < f->n_io_bufs; i++)
		free(f->io_bufs[i]);
	supafs_cond_fini(&f->calm);
	supafs_mutex_fini(&f->lock);
	free(f->mountpoint);
	free(f);
	return NULL;
}

void *io_buf_get(struct supafs_fuse *f)
{
	{
		SUPAFS_SCOPED_LOCK(&f->lock);
		if (f->n_io_bufs > 0)
			return f->io_bufs[--f->n_io_bufs];
	}
	return malloc(FUSE_IO_MAX);
}

void io_buf_put(struct supafs_fuse *f, void *buf)
{
	{
		SUPAFS_SCOPED_LOCK(&f->lock);
		if (buf && f->n_io_bufs < IO_BUFS_KEPT) {
			f->io_bufs[f->n_io_bufs++] = buf;
			return;
		}
	}
	free(buf);
}

const char *supafs_fuse_library_version(void)
{
	return fuse_pkgversion();
}
