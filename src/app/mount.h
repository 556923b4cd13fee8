/* SPDX-License-Identifier: Apache-2.0 */
/* The life of one mount, from checked arguments to the exit code. */
#pragma once

#include <limits.h>
#include <stdbool.h>

#include "supafs/util/limits.h"

#include "config.h"
#include "messages.h"
#include "options.h"

struct supafs_mount_args {
	struct supafs_options opt;
	struct supafs_config config;
	char bucket[SUPAFS_BUCKET_MAX + 1];
	char prefix[SUPAFS_KEY_MAX + 1];
	char mountpoint[PATH_MAX]; /* absolute */
	bool foreground;
};

/* For `supafs check`: reads a command line as mount's, with all in it optional: bucket and mount
 * point are "" when nobody names them. 0; 1 for --help; -errno with *p set. `a` is zeroed before,
 * and its parts are to be ended in any case. */
int supafs_arguments_check(
	struct supafs_mount_args *a, int argc, char **argv, struct supafs_problem *p);
/* Is it a mistake on the command line? */
bool supafs_problem_is_usage(const struct supafs_problem *p);

/* Checks this machine, builds, mounts, serves, drains. The exit code; problems are printed. */
int supafs_mount_run(struct supafs_mount_args *args);
