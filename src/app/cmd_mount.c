/* SPDX-License-Identifier: Apache-2.0 */
/* supafs mount, and mount(8)'s form of it: from the command line to checked arguments. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "supafs/util/buf.h"
#include "supafs/util/cleanup.h"
#include "supafs/util/limits.h"
#include "supafs/util/log.h"

#include "checks.h"
#include "commands.h"
#include "mount.h"

#define OPTIONS_MAX 65536

/* What the command line says, not yet understood. */
struct line {
	const char *source, *mountpoint; /* NULL: not given */
	const char *env_file, *config;
	struct supafs_buf options; /* all -o joined by ',' */
	bool foreground, fake, help;
	unsigned positional;
};

static void fini_line(struct line *l)
{
	supafs_buf_fini(&l->options);
}

static int usage(struct supafs_problem *p, const char *what)
{
	supafs_problem_set(p, SUPAFS_MSG_USAGE, "what", what, "command", "mount", NULL);
	return -EINVAL;
}

static void add_options(struct line *l, const char *text)
{
	if (l->options.n > 0)
		(void)supafs_buf_addc(&l->options, ',');
	(void)supafs_buf_adds(&l->options, text);
}

static int add_positional(struct line *l, const char *arg, struct supafs_problem *p)
{
	if (l->positional == 0)
		l->source = arg;
	else if (l->positional == 1)
		l->mountpoint = arg;
	else
		return usage(p, "more than a bucket and a mount point");
	l->positional++;
	return 0;
}

/* The value of "--name=value", or of "--name" in the next argument; NULL if `arg` is another. */
static int long_value(const char *name, int argc, char **argv, int *i, const char **ret)
{
	const char *arg = argv[*i];
	size_t n = strlen(name);

	if (strncmp(arg, name, n) != 0 || (arg[n] != '\0' && arg[n] != '='))
		return 0;
	if (arg[n] == '=')
		*ret = arg + n + 1;
	else if (*i + 1 < argc)
		*ret = argv[++*i];
	else
		return -EINVAL;
	return 1;
}

static int parse_dash(struct line *l, int argc, char **argv, int *i, struct supafs_problem *p)
{
	const char *arg = argv[*i];
	char what[256];
	int r;

	if (strcmp(arg, "-f") == 0 || strcmp(arg, "--foreground") == 0) {
		l->foreground = true;
		return 0;
	}
	if (strcmp(arg, "-h") == 0 || strcmp(arg, "--help") == 0) {
		l->help = true;
		return 0;
	}
	if (strncmp(arg, "-o", 2) == 0) {
		if (arg[2] == '\0' && *i + 1 >= argc)
			return usage(p, "-o needs options");
		add_options(l, arg[2] ? arg + 2 : argv[++*i]);
		return 0;
	}
	r = long_value("--env-file", argc, argv, i, &l->env_file);
	if (r == 0)
		r = long_value("--config", argc, argv, i, &l->config);
	if (r > 0)
		return 0;
	(void)snprintf(what, sizeof(what), "'%.200s' %s", arg,
		r < 0 ? "needs a value" : "is not understood");
	return usage(p, what);
}

static int parse_line(struct line *l, int argc, char **argv, struct supafs_problem *p)
{
	bool only_names = false;
	int r = 0;

	for (int i = 0; r == 0 && i < argc; i++) {
		if (!only_names && strcmp(argv[i], "--") == 0)
			only_names = true;
		else if (!only_names && argv[i][0] == '-' && argv[i][1] != '\0')
			r = parse_dash(l, argc, argv, &i, p);
		else
			r = add_positional(l, argv[i], p);
	}
	if (r == 0 && supafs_buf_error(&l->options) < 0)
		return usage(p, "the options are too long");
	return r;
}

/* mount(8) calls: SOURCE DIR [-sfnv] [-N ns] [-o options] [-t type]. */
static int parse_helper_line(struct line *l, int argc, char **argv, struct supafs_problem *p)
{
	int r = 0;

	for (int i = 0; r == 0 && i < argc; i++) {
		const char *arg = argv[i];

		if (arg[0] != '-') {
			r = add_positional(l, arg, p);
		} else if (strcmp(arg, "-h") == 0 || strcmp(arg, "--help") == 0) {
			l->help = true;
		} else if (strcmp(arg, "-o") == 0 && i + 1 < argc) {
			add_options(l, argv[++i]);
		} else if ((strcmp(arg, "-t") == 0 || strcmp(arg, "-N") == 0) && i + 1 < argc) {
			i++;
		} else if (arg[1] != '\0' && strspn(arg + 1, "sfnv") == strlen(arg + 1)) {
			l->fake = l->fake || strchr(arg, 'f');
		} else {
			char what[256];

			(void)snprintf(what, sizeof(what), "'%.200s' is not understood", arg);
			r = usage(p, what);
		}
	}
	return r;
}

/* Options come from SUPAFS_OPTIONS and the command line, but the line may name the file that has
 * the former: so it is read twice. */
static int load(struct supafs_mount_args *a, const struct line *l, struct supafs_problem *p)
{
	const char *line = supafs_buf_cstr(&l->options);
	int r = supafs_options_init(&a->opt);

	if (r == 0)
		r = supafs_options_parse(&a->opt, line, p);
	if (r == 0)
		r = supafs_config_load(&a->config, l->env_file ? l->env_file : a->opt.env_file,
			l->config ? l->config : a->opt.config, p);
	if (r == 0 && a->config.options) {
		supafs_options_fini(&a->opt);
		r = supafs_options_init(&a->opt);
		if (r == 0)
			r = supafs_options_parse(&a->opt, a->config.options, p);
		if (r == 0)
			r = supafs_options_parse(&a->opt, line, p);
	}
	if (r == 0)
		r = supafs_options_check(&a->opt, p);
	return r;
}

/* Core files and debuggers would see the key. */
static void protect_memory(void)
{
	const struct rlimit none = {0, 0};

	(void)setrlimit(RLIMIT_CORE, &none);
	(void)prctl(PR_SET_DUMPABLE, 0);
}

/* The keys are gone. The leak detector of a developer's build needs the debugger's right. */
static void end_protection(void)
{
#ifdef __SANITIZE_ADDRESS__
	(void)prctl(PR_SET_DUMPABLE, 1);
#endif
}

static int start_log(const struct supafs_options *opt, struct supafs_problem *p)
{
	static const enum supafs_log_level levels[] = {
		[SUPAFS_OPT_LOG_ERROR] = SUPAFS_LOG_ERROR,
		[SUPAFS_OPT_LOG_WARN] = SUPAFS_LOG_WARN,
		[SUPAFS_OPT_LOG_INFO] = SUPAFS_LOG_INFO,
		[SUPAFS_OPT_LOG_DEBUG] = SUPAFS_LOG_DEBUG,
	};

	if (supafs_log_init(levels[opt->log_level], secure_getenv("SUPAFS_DEBUG")) == 0)
		return 0;
	return usage(p, "SUPAFS_DEBUG names an unknown part (SUPAFS_DEBUG=help lists them)");
}

/* "BUCKET/a/b" → bucket and prefix. */
static int split_source(struct supafs_mount_args *a, const char *source, struct supafs_problem *p)
{
	size_t n = strcspn(source, "/");

	if (n == 0 || n > SUPAFS_BUCKET_MAX || strlen(source + n) >= sizeof(a->prefix)) {
		supafs_problem_set(p, SUPAFS_MSG_BAD_BUCKET, "bucket", source, NULL);
		return -EINVAL;
	}
	(void)snprintf(a->bucket, sizeof(a->bucket), "%.*s", (int)n, source);
	source += n;
	source += strspn(source, "/");
	n = strlen(source);
	while (n > 0 && source[n - 1] == '/')
		n--;
	(void)snprintf(a->prefix, sizeof(a->prefix), "%.*s", (int)n, source);
	return 0;
}

/* One name alone is the mount point; what is not named comes from the configuration. */
static int find_names(struct supafs_mount_args *a, const struct line *l, struct supafs_problem *p)
{
	const char *source = l->source, *mnt = l->mountpoint;
	bool from_config = l->positional == 1;
	int r;

	if (from_config) {
		mnt = source;
		source = NULL;
	}
	if (!source || strcmp(source, "none") == 0)
		source = a->config.bucket;
	if (!mnt)
		mnt = a->config.mountpoint;
	if (!mnt || !*mnt) {
		supafs_problem_set(p, SUPAFS_MSG_NO_MOUNTPOINT, NULL);
		return -EINVAL;
	}
	if (!source || !*source) {
		supafs_problem_set(p, SUPAFS_MSG_NO_BUCKET, NULL);
		return -EINVAL;
	}
	r = split_source(a, source, p);
	return r < 0 ? r : supafs_check_mountpoint(mnt, a->mountpoint, p);
}

static int understand(struct supafs_mount_args *a, const struct line *l, struct supafs_problem *p)
{
	int r;

	p->text[0] = '\0';
	r = load(a, l, p);
	if (r == 0)
		r = start_log(&a->opt, p);
	if (r == 0)
		r = supafs_config_check(&a->config, a->opt.insecure_http, p);
	if (r == 0)
		r = find_names(a, l, p);
	if (r == -ENOMEM && p->text[0] == '\0')
		supafs_problem_set(p, SUPAFS_MSG_SYSTEM, "what", "reading the options", "err",
			strerrordesc_np(-r), NULL);
	return r;
}

bool supafs_problem_is_usage(const struct supafs_problem *p)
{
	return p->id == SUPAFS_MSG_USAGE || p->id == SUPAFS_MSG_OPT_UNKNOWN ||
	       p->id == SUPAFS_MSG_OPT_VALUE || p->id == SUPAFS_MSG_OPT_RANGE ||
	       p->id == SUPAFS_MSG_OPT_NEEDS_VALUE || p->id == SUPAFS_MSG_OPT_NO_VALUE;
}

static int refuse(const struct supafs_problem *p)
{
	supafs_problem_print(p);
	return supafs_problem_is_usage(p) ? SUPAFS_EXIT_USAGE : SUPAFS_EXIT_FAILED;
}

int supafs_arguments_check(
	struct supafs_mount_args *a, int argc, char **argv, struct supafs_problem *p)
{
	supafs_cleanup(fini_line) struct line l = {0};
	const char *source;
	int r;

	protect_memory();
	supafs_buf_init(&l.options, OPTIONS_MAX);
	r = parse_line(&l, argc, argv, p);
	if (r == 0 && l.help)
		return 1;
	if (r == 0)
		r = load(a, &l, p);
	if (r < 0)
		return r;
	source = l.source ? l.source : a->config.bucket;
	if (source && *source)
		r = split_source(a, source, p);
	source = l.mountpoint ? l.mountpoint : a->config.mountpoint;
	if (r == 0 && source)
		(void)snprintf(a->mountpoint, sizeof(a->mountpoint), "%s", source);
	return r;
}

static int mount_line(const struct line *l)
{
	struct supafs_mount_args *a = calloc(1, sizeof(*a));
	struct supafs_problem p = {0};
	int code;

	if (!a) {
		(void)fprintf(stderr, "supafs: out of memory\n");
		return SUPAFS_EXIT_FAILED;
	}
	protect_memory();
	a->foreground = l->foreground;
	if (understand(a, l, &p) < 0)
		code = refuse(&p);
	else
		code = l->fake ? SUPAFS_EXIT_OK : supafs_mount_run(a);
	supafs_config_fini(&a->config);
	supafs_options_fini(&a->opt);
	supafs_log_fini();
	free(a);
	end_protection();
	return code;
}

static int command(int argc, char **argv,
	int (*parse)(struct line *l, int argc, char **argv, struct supafs_problem *p))
{
	supafs_cleanup(fini_line) struct line l = {0};
	struct supafs_problem p = {0};

	supafs_buf_init(&l.options, OPTIONS_MAX);
	if (parse(&l, argc, argv, &p) < 0)
		return refuse(&p);
	if (l.help) {
		supafs_help_mount();
		return SUPAFS_EXIT_OK;
	}
	return mount_line(&l);
}

int supafs_cmd_mount(const char *self, int argc, char **argv)
{
	(void)self;
	return command(argc, argv, parse_line);
}

int supafs_cmd_mount_helper(const char *self, int argc, char **argv)
{
	(void)self;
	return command(argc, argv, parse_helper_line);
}
