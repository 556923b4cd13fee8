/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Environment files as applications and systemd write them (dotenv):
 *
 *	# comment            blank lines and comments are skipped
 *	NAME=value  # why    unquoted: up to " #" or the end of the line, blanks trimmed
 *	export NAME=value    the word export is allowed
 *	NAME='a # b'         single quotes: as it is
 *	NAME="a\nb"          double quotes: \n \r \t \" \\ \$ and a line end are understood
 *
 * A line that is no assignment is skipped. A quoted value may span lines. A byte order mark and CR
 *LF line ends are fine. Nothing is expanded: a '$' is a '$'.
 */
#pragma once

#include "supafs/util/buf.h"

/* Called for each NAME=value; `value` is NUL-terminated and wiped afterwards. 0, or -errno to stop.
 */
typedef int (*supafs_envfile_fn)(void *ctx, struct supafs_str name, const char *value);

/* 0, -EINVAL (the line in *ret_line, a reason for people in *ret_what), -ENOMEM, -EMSGSIZE (a value
 * above SUPAFS_SECRET_MAX), or what `fn` returned. */
int supafs_envfile_parse(struct supafs_str text, supafs_envfile_fn fn, void *ctx,
	unsigned *ret_line, const char **ret_what);
