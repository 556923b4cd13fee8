/* SPDX-License-Identifier: Apache-2.0 */
#include "options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "supafs/util/buf.h"
#include "supafs/util/cleanup.h"
#include "supafs/util/parse.h"

#define OPTION_MAX  4096 /* bytes of one name=value */
#define KIB         UINT64_C(1024)
#define MIB         (1024 * KIB)
#define GIB         (1024 * MIB)
#define SECOND      UINT64_C(1000)
#define HOUR        (3600 * SECOND)

#define FIELD(name) offsetof(struct supafs_options, name)

/* clang-format off */
static const struct supafs_option table[] = {
	{"ttl", SUPAFS_OPT_TIME, FIELD(ttl_ms), "TIME", "5s", 0, 24 * HOUR,
		"how long a listing is believed; 0: ask every time"},
	{"poll", SUPAFS_OPT_TIME, FIELD(poll_ms), "TIME", "0", 0, 24 * HOUR,
		"look so often for what others have changed; 0: do not"},
	{"timeout", SUPAFS_OPT_TIME, FIELD(timeout_ms), "TIME", "60s", SECOND, HOUR,
		"an operation that makes no progress for this time ends with an error"},
	{"hard", SUPAFS_OPT_FLAG, FIELD(hard), NULL, "off", 0, 0,
		"operations wait for the network for ever (a signal ends them); off: until the time-out"},
	{"drain", SUPAFS_OPT_TIME, FIELD(drain_ms), "TIME", "300s", 0, 24 * HOUR,
		"how long the end of the mount waits for uploads"},
	{"writeback", SUPAFS_OPT_FLAG, FIELD(writeback), NULL, "off", 0, 0,
		"close returns when this machine's disk has the file; it is sent in the background"},
	{"uploads", SUPAFS_OPT_UINT, FIELD(uploads), "NUMBER", "16", 1, 256,
		"most files sent at once in the background"},
	{"resumable", SUPAFS_OPT_SIZE, FIELD(resumable), "SIZE", "64M", 0, 1024 * GIB,
		"files of at least this size go on where they were cut; 0: none do"},
	{"memory", SUPAFS_OPT_SIZE, FIELD(memory), "SIZE", "256M", 8 * MIB, 1024 * GIB,
		"most memory for file contents"},
	{"meta_memory", SUPAFS_OPT_SIZE, FIELD(meta_memory), "SIZE", "64M", MIB, 64 * GIB,
		"most memory for listings"},
	{"cache", SUPAFS_OPT_TEXT, FIELD(cache), "DIR", NULL, 0, 0,
		"cache folder; each mount makes one of its own in it (default: $XDG_CACHE_HOME/supafs, "
		"/var/cache/supafs for root, else ~/.cache/supafs)"},
	{"ro", SUPAFS_OPT_FLAG, FIELD(ro), NULL, "off", 0, 0,
		"nothing can be changed through the mount"},
	{"rw", SUPAFS_OPT_CLEAR, FIELD(ro), NULL, NULL, 0, 0,
		"the opposite of ro"},
	{"allow_other", SUPAFS_OPT_FLAG, FIELD(allow_other), NULL, "off", 0, 0,
		"other users may enter, within the modes shown"},
	{"default_permissions", SUPAFS_OPT_FLAG, FIELD(default_permissions), NULL, "on", 0, 0,
		"the kernel checks modes and owners"},
	{"noexec", SUPAFS_OPT_FLAG, FIELD(noexec), NULL, "off", 0, 0,
		"programs in the mount cannot be run"},
	{"exec", SUPAFS_OPT_CLEAR, FIELD(noexec), NULL, NULL, 0, 0,
		"the opposite of noexec"},
	{"uid", SUPAFS_OPT_UINT, FIELD(uid), "NUMBER", NULL, 0, UINT32_MAX - 1,
		"owner of what has none stored (default: who mounts)"},
	{"gid", SUPAFS_OPT_UINT, FIELD(gid), "NUMBER", NULL, 0, UINT32_MAX - 1,
		"group of what has none stored (default: of who mounts)"},
	{"umask", SUPAFS_OPT_MODE, FIELD(umask), "MODE", "022", 0, 0777,
		"taken from 0666 and 0777 for what has no mode stored"},
	{"fmode", SUPAFS_OPT_MODE, FIELD(fmode), "MODE", NULL, 0, 0777,
		"mode of files that have none stored (default: by umask)"},
	{"dmode", SUPAFS_OPT_MODE, FIELD(dmode), "MODE", NULL, 0, 0777,
		"mode of folders (default: by umask)"},
	{"names", SUPAFS_OPT_CHOICE, FIELD(names), "escape|strict", "escape", 0, 0,
		"strict: refuse names that the server can only keep escaped"},
	{"rename_dir", SUPAFS_OPT_FLAG, FIELD(rename_dir), NULL, "on", 0, 0,
		"off: renaming a folder gives EXDEV, and mv copies"},
	{"meta", SUPAFS_OPT_CHOICE, FIELD(meta), "list|info|off", "list", 0, 0,
		"list: times, modes and owners are stored with a file; info: other clients' are read too, "
		"one request a file; off: none are stored"},
	{"cache_control", SUPAFS_OPT_TEXT, FIELD(cache_control), "VALUE", "no-cache", 0, 0,
		"what browsers are told of uploaded files"},
	{"temp_names", SUPAFS_OPT_TEXT, FIELD(temp_names), "GLOBS",
		".*.??????:*~:.*.sw?:.goutputstream-*:4913", 0, 0,
		"names that stay on this machine until they are renamed, with ':' between them; "
		"empty: none"},
	{"connections", SUPAFS_OPT_UINT, FIELD(connections), "NUMBER", "32", 1, 256,
		"most requests at once"},
	{"threads", SUPAFS_OPT_UINT, FIELD(threads), "NUMBER", "64", 2, 256,
		"most operations at once"},
	{"retries", SUPAFS_OPT_UINT, FIELD(retries), "NUMBER", "0", 0, 100,
		"how often a request is tried that failed for a passing reason; 0: until the time-out"},
	{"retry_base", SUPAFS_OPT_TIME, FIELD(retry_base_ms), "TIME", "100ms", 1, 60 * SECOND,
		"longest pause before the second try; doubles with each"},
	{"retry_cap", SUPAFS_OPT_TIME, FIELD(retry_cap_ms), "TIME", "10s", 1, HOUR,
		"longest pause between two tries"},
	{"connect_timeout", SUPAFS_OPT_TIME, FIELD(connect_timeout_ms), "TIME", "10s", 100, HOUR,
		"how long a connection may take"},
	{"stall_timeout", SUPAFS_OPT_TIME, FIELD(stall_timeout_ms), "TIME", "30s", SECOND, HOUR,
		"a transfer without a byte for this time is given up and tried again"},
	{"read_ahead", SUPAFS_OPT_SIZE, FIELD(read_ahead), "SIZE", "4M", 128 * KIB, 64 * MIB,
		"how far the kernel reads ahead (root only; else 128K)"},
	{"cacert", SUPAFS_OPT_TEXT, FIELD(cacert), "FILE", NULL, 0, 0,
		"PEM file of authorities to trust besides the system's"},
	{"insecure_http", SUPAFS_OPT_FLAG, FIELD(insecure_http), NULL, "off", 0, 0,
		"allow plain http to another machine: the key can be read on the way"},
	{"proxy", SUPAFS_OPT_TEXT, FIELD(proxy), "URL", NULL, 0, 0,
		"use this proxy (default: none, whatever the environment says)"},
	{"raw_base", SUPAFS_OPT_FLAG, FIELD(raw_base), NULL, "off", 0, 0,
		"SUPABASE_URL is the storage server itself, without /storage/v1 (else found out)"},
	{"env_file", SUPAFS_OPT_TEXT, FIELD(env_file), "FILE", NULL, 0, 0,
		"as --env-file, for /etc/fstab"},
	{"config", SUPAFS_OPT_TEXT, FIELD(config), "NAME", NULL, 0, 0,
		"as --config, for /etc/fstab"},
	{"log_level", SUPAFS_OPT_CHOICE, FIELD(log_level), "error|warn|info|debug", "warn", 0, 0,
		"what is logged"},
	{"log_file", SUPAFS_OPT_TEXT, FIELD(log_file), "FILE", NULL, 0, 0,
		"where a mount in the background logs (default: the file log in its cache folder)"},
	/* What mount(8) and /etc/fstab bring along. */
	{"defaults", SUPAFS_OPT_IGNORED, 0, NULL, NULL, 0, 0, NULL},
	{"auto", SUPAFS_OPT_IGNORED, 0, NULL, NULL, 0, 0, NULL},
	{"noauto", SUPAFS_OPT_IGNORED, 0, NULL, NULL, 0, 0, NULL},
	{"nofail", SUPAFS_OPT_IGNORED, 0, NULL, NULL, 0, 0, NULL},
	{"_netdev", SUPAFS_OPT_IGNORED, 0, NULL, NULL, 0, 0, NULL},
	{"user", SUPAFS_OPT_IGNORED, 0, NULL, NULL, 0, 0, NULL},
	{"nouser", SUPAFS_OPT_IGNORED, 0, NULL, NULL, 0, 0, NULL},
	{"users", SUPAFS_OPT_IGNORED, 0, NULL, NULL, 0, 0, NULL},
	{"nosuid", SUPAFS_OPT_IGNORED, 0, NULL, NULL, 0, 0, NULL},
	{"nodev", SUPAFS_OPT_IGNORED, 0, NULL, NULL, 0, 0, NULL},
	{"dev", SUPAFS_OPT_IGNORED, 0, NULL, NULL, 0, 0, NULL},
	{"suid", SUPAFS_OPT_IGNORED, 0, NULL, NULL, 0, 0, NULL},
	{"async", SUPAFS_OPT_IGNORED, 0, NULL, NULL, 0, 0, NULL},
	{"atime", SUPAFS_OPT_IGNORED, 0, NULL, NULL, 0, 0, NULL},
	{"noatime", SUPAFS_OPT_IGNORED, 0, NULL, NULL, 0, 0, NULL},
	{"relatime", SUPAFS_OPT_IGNORED, 0, NULL, NULL, 0, 0, NULL},
	{"comment", SUPAFS_OPT_IGNORED, 0, NULL, NULL, 0, 0, NULL},
	{NULL, SUPAFS_OPT_IGNORED, 0, NULL, NULL, 0, 0, NULL},
};
/* clang-format on */

const struct supafs_option *supafs_options_table(void)
{
	return table;
}

/* Index of `value` in "a|b|c", or -1. */
static int choice_of(const char *form, struct supafs_str value)
{
	int index = 0;

	for (;;) {
		size_t n = strcspn(form, "|");

		if (supafs_str_eq((struct supafs_str){form, n}, value))
			return index;
		if (form[n] == '\0')
			return -1;
		form += n + 1;
		index++;
	}
}

static int parse_number(const struct supafs_option *opt, struct supafs_str value, uint64_t *ret)
{
	unsigned mode = 0;
	int r = -EINVAL;

	switch (opt->type) {
	case SUPAFS_OPT_UINT:
		r = supafs_parse_u64(value, UINT64_MAX, ret);
		break;
	case SUPAFS_OPT_SIZE:
		r = supafs_parse_size(value, ret);
		break;
	case SUPAFS_OPT_TIME:
		r = supafs_parse_duration_ms(value, ret);
		break;
	case SUPAFS_OPT_MODE:
		r = supafs_parse_mode(value, &mode);
		*ret = mode;
		break;
	case SUPAFS_OPT_CHOICE:
		r = choice_of(opt->form, value);
		*ret = r < 0 ? 0 : (uint64_t)r;
		return r < 0 ? -EINVAL : 0;
	case SUPAFS_OPT_FLAG:
	case SUPAFS_OPT_CLEAR:
	case SUPAFS_OPT_TEXT:
	case SUPAFS_OPT_IGNORED:
		break;
	}
	if (r == 0 && (*ret < opt->min || *ret > opt->max))
		return -ERANGE;
	return r;
}

static void *field_of(struct supafs_options *o, const struct supafs_option *opt)
{
	return (char *)o + opt->offset;
}

static const char *form_of(const struct supafs_option *opt)
{
	switch (opt->type) {
	case SUPAFS_OPT_SIZE:
		return "a SIZE such as 64M or 2G";
	case SUPAFS_OPT_TIME:
		return "a TIME such as 500ms, 5s or 2m";
	case SUPAFS_OPT_MODE:
		return "an octal MODE such as 0640";
	case SUPAFS_OPT_UINT:
		return "a NUMBER";
	case SUPAFS_OPT_FLAG:
		return "on or off";
	case SUPAFS_OPT_TEXT:
	case SUPAFS_OPT_CHOICE:
	case SUPAFS_OPT_CLEAR:
	case SUPAFS_OPT_IGNORED:
		break;
	}
	return opt->form ? opt->form : "";
}

/* A bound as a user would write it. */
static void format_bound(const struct supafs_option *opt, uint64_t v, char *out, size_t size)
{
	static const char *const size_suffix[] = {"", "K", "M", "G", "T"};
	unsigned long long n = v;
	size_t i = 0;

	switch (opt->type) {
	case SUPAFS_OPT_SIZE:
		for (; n >= 1024 && n % 1024 == 0 && i < 4; i++)
			n /= 1024;
		(void)snprintf(out, size, "%llu%s", n, size_suffix[i]);
		break;
	case SUPAFS_OPT_TIME:
		if (n % HOUR == 0 && n > 0)
			(void)snprintf(out, size, "%lluh", n / HOUR);
		else if (n % SECOND == 0)
			(void)snprintf(out, size, "%llus", n / SECOND);
		else
			(void)snprintf(out, size, "%llums", n);
		break;
	case SUPAFS_OPT_MODE:
		(void)snprintf(out, size, "0%llo", n);
		break;
	case SUPAFS_OPT_FLAG:
	case SUPAFS_OPT_CLEAR:
	case SUPAFS_OPT_UINT:
	case SUPAFS_OPT_TEXT:
	case SUPAFS_OPT_CHOICE:
	case SUPAFS_OPT_IGNORED:
		(void)snprintf(out, size, "%llu", n);
		break;
	}
}

static void format_range(const struct supafs_option *opt, char *out, size_t size)
{
	char low[32], high[32];

	format_bound(opt, opt->min, low, sizeof(low));
	format_bound(opt, opt->max, high, sizeof(high));
	(void)snprintf(out, size, "%s to %s", low, high);
}

static int refuse_value(
	const struct supafs_option *opt, const char *value, int r, struct supafs_problem *p)
{
	char range[80];

	if (r == -ERANGE) {
		format_range(opt, range, sizeof(range));
		supafs_problem_set(p, SUPAFS_MSG_OPT_RANGE, "option", opt->name, "value", value,
			"range", range, NULL);
	} else if (opt->type == SUPAFS_OPT_CHOICE) {
		supafs_problem_set(p, SUPAFS_MSG_OPT_VALUE, "option", opt->name, "value", value,
			"form", opt->form, NULL);
	} else {
		supafs_problem_set(p, SUPAFS_MSG_OPT_VALUE, "option", opt->name, "value", value,
			"form", form_of(opt), NULL);
	}
	return -EINVAL;
}

static int set_flag(struct supafs_options *o, const struct supafs_option *opt, const char *value,
	struct supafs_problem *p)
{
	bool on = opt->type == SUPAFS_OPT_FLAG;

	if (value && opt->type == SUPAFS_OPT_CLEAR) {
		supafs_problem_set(p, SUPAFS_MSG_OPT_NO_VALUE, "option", opt->name, NULL);
		return -EINVAL;
	}
	if (value && supafs_parse_bool(supafs_str_of(value), &on) < 0)
		return refuse_value(opt, value, -EINVAL, p);
	*(bool *)field_of(o, opt) = on;
	return 0;
}

static int set_text(struct supafs_options *o, const struct supafs_option *opt, const char *value)
{
	char **field = field_of(o, opt);
	char *copy = strdup(value);

	if (!copy)
		return -ENOMEM;
	free(*field);
	*field = copy;
	return 0;
}

/* `value` NULL: none was given. */
static int set_option(struct supafs_options *o, const struct supafs_option *opt, const char *value,
	struct supafs_problem *p)
{
	uint64_t number = 0;
	int r;

	if (opt->type == SUPAFS_OPT_IGNORED)
		return 0;
	if (opt->type == SUPAFS_OPT_FLAG || opt->type == SUPAFS_OPT_CLEAR)
		return set_flag(o, opt, value, p);
	if (!value) {
		supafs_problem_set(p, SUPAFS_MSG_OPT_NEEDS_VALUE, "option", opt->name, "form",
			opt->form, NULL);
		return -EINVAL;
	}
	if (opt->type == SUPAFS_OPT_TEXT)
		return set_text(o, opt, value);
	r = parse_number(opt, supafs_str_of(value), &number);
	if (r < 0)
		return refuse_value(opt, value, r, p);
	*(uint64_t *)field_of(o, opt) = number;
	return 0;
}

static const struct supafs_option *find(struct supafs_str name)
{
	for (const struct supafs_option *opt = table; opt->name; opt++) {
		if (supafs_str_eq(supafs_str_of(opt->name), name))
			return opt;
	}
	return NULL;
}

int supafs_options_init(struct supafs_options *o)
{
	struct supafs_problem p;

	*o = (struct supafs_options){
		.uid = SUPAFS_OPT_UNSET,
		.gid = SUPAFS_OPT_UNSET,
		.fmode = SUPAFS_OPT_UNSET,
		.dmode = SUPAFS_OPT_UNSET,
	};
	for (const struct supafs_option *opt = table; opt->name; opt++) {
		int r = opt->def ? set_option(o, opt, opt->def, &p) : 0;

		if (r < 0)
			return r;
	}
	return 0;
}

void supafs_options_fini(struct supafs_options *o)
{
	for (const struct supafs_option *opt = table; opt->name; opt++) {
		char **field = field_of(o, opt);

		if (opt->type != SUPAFS_OPT_TEXT)
			continue;
		free(*field);
		*field = NULL;
	}
}

/* One name or name=value, already unescaped. */
static int parse_one(struct supafs_options *o, const char *item, struct supafs_problem *p)
{
	const char *eq = strchr(item, '=');
	struct supafs_str name = {item, eq ? (size_t)(eq - item) : strlen(item)};
	const struct supafs_option *opt = find(name);
	char shown[64];

	/* Programs put their own notes into fstab under these. */
	if (supafs_str_starts(name, SUPAFS_STR("x-")) || supafs_str_starts(name, SUPAFS_STR("X-")))
		return 0;
	if (opt)
		return set_option(o, opt, eq ? eq + 1 : NULL, p);
	(void)snprintf(shown, sizeof(shown), "%.*s", SUPAFS_STR_FMT(name));
	supafs_problem_set(p, SUPAFS_MSG_OPT_UNKNOWN, "option", shown, NULL);
	return -EINVAL;
}

/* Copies up to the next bare comma; the rest of the text is returned. */
static const char *cut_item(const char *text, struct supafs_buf *item)
{
	supafs_buf_reset(item);
	for (; *text && *text != ','; text++) {
		if (*text == '\\' && (text[1] == ',' || text[1] == '\\'))
			text++;
		(void)supafs_buf_addc(item, *text);
	}
	return *text ? text + 1 : text;
}

int supafs_options_parse(struct supafs_options *o, const char *text, struct supafs_problem *p)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf item;
	int r = 0;

	supafs_buf_init(&item, OPTION_MAX);
	while (r == 0 && *text) {
		text = cut_item(text, &item);
		r = supafs_buf_error(&item);
		if (r == -EMSGSIZE)
			supafs_problem_set(p, SUPAFS_MSG_USAGE, "what",
				"an option is longer than 4096 bytes", "command", "mount", NULL);
		else if (r == 0 && item.n > 0)
			r = parse_one(o, supafs_buf_cstr(&item), p);
	}
	return r == -EMSGSIZE ? -EINVAL : r;
}

int supafs_options_check(const struct supafs_options *o, struct supafs_problem *p)
{
	if (o->allow_other && !o->default_permissions) {
		supafs_problem_set(p, SUPAFS_MSG_ALLOW_OTHER_PERMS, NULL);
		return -EINVAL;
	}
	return 0;
}

static void print_details(const struct supafs_option *opt)
{
	char range[80];

	if (!opt->def) {
		(void)printf("\n");
	} else if (opt->max > 0) {
		format_range(opt, range, sizeof(range));
		(void)printf(" [%s; %s]\n", opt->def, range);
	} else {
		(void)printf(" [%s]\n", opt->def);
	}
}

void supafs_options_print(void)
{
	for (const struct supafs_option *opt = table; opt->name; opt++) {
		char head[64];

		if (opt->type == SUPAFS_OPT_IGNORED)
			continue;
		(void)snprintf(head, sizeof(head), "%s%s%s", opt->name, opt->form ? "=" : "",
			opt->form ? opt->form : "");
		(void)printf("  %-28s %s", head, opt->help);
		print_details(opt);
	}
}
