/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The options of a mount (-o name=value): one table that drives parsing, ranges, --help and
 * the man page's check.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "supafs/util/str.h"

#include "messages.h"

#define SUPAFS_OPT_UNSET UINT64_MAX /* of uid, gid, fmode, dmode */

enum supafs_opt_names {
	SUPAFS_NAMES_ESCAPE,
	SUPAFS_NAMES_STRICT
};
enum supafs_opt_meta {
	SUPAFS_META_LIST,
	SUPAFS_META_INFO,
	SUPAFS_META_OFF
};
enum supafs_opt_log {
	SUPAFS_OPT_LOG_ERROR,
	SUPAFS_OPT_LOG_WARN,
	SUPAFS_OPT_LOG_INFO,
	SUPAFS_OPT_LOG_DEBUG
};

/* Every value; strings are owned, NULL when not given and without a default. */
struct supafs_options {
	/* consistency and patience, ms */
	uint64_t ttl_ms, poll_ms, timeout_ms, drain_ms, connect_timeout_ms, stall_timeout_ms;
	/* bytes */
	uint64_t memory, meta_memory, read_ahead;
	uint64_t connections, threads;
	uint64_t retries; /* 0: until the time-out */
	uint64_t uploads, resumable;
	bool writeback, hard;
	uint64_t retry_base_ms, retry_cap_ms;
	/* shown attributes */
	uint64_t uid, gid, umask, fmode, dmode;
	uint64_t names, meta, log_level; /* enums above */
	bool ro, noexec, allow_other, default_permissions;
	bool rename_dir, insecure_http, raw_base;
	char *cache, *cacert, *proxy, *cache_control, *temp_names, *log_file;
	char *env_file, *config;
};

enum supafs_opt_type {
	SUPAFS_OPT_FLAG,  /* name, or name=on|off */
	SUPAFS_OPT_CLEAR, /* name alone: sets the field of `name` to false (rw, exec) */
	SUPAFS_OPT_UINT,
	SUPAFS_OPT_SIZE,
	SUPAFS_OPT_TIME, /* ms */
	SUPAFS_OPT_MODE, /* octal */
	SUPAFS_OPT_TEXT,
	SUPAFS_OPT_CHOICE,  /* index into `form`, "a|b|c" */
	SUPAFS_OPT_IGNORED, /* mount(8) hands it on and means nothing to us; any value */
};

struct supafs_option {
	const char *name;
	enum supafs_opt_type type;
	size_t offset;     /* of the field */
	const char *form;  /* shape of the value in texts: "TIME", "FILE", "a|b" */
	const char *def;   /* as a user would write it; NULL: none */
	uint64_t min, max; /* in the field's unit */
	const char *help;
};
/* The table; ends with a NULL name. */
const struct supafs_option *supafs_options_table(void);

/* Sets the defaults. 0 or -ENOMEM. */
int supafs_options_init(struct supafs_options *o);
void supafs_options_fini(struct supafs_options *o);
/* Reads "a,b=c,…"; "\," is a comma in a value. Later ones win. 0, -ENOMEM, or -EINVAL with *p set.
 */
int supafs_options_parse(struct supafs_options *o, const char *text, struct supafs_problem *p);
/* What options together must hold. 0 or -EINVAL with *p set. */
int supafs_options_check(const struct supafs_options *o, struct supafs_problem *p);
/* The lines of --help, on standard output. */
void supafs_options_print(void);
