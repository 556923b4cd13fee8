/* SPDX-License-Identifier: Apache-2.0 */
/* Arguments of the small commands: a table of options, and one path. */
#pragma once

#include <stdbool.h>

struct supafs_arg {
	const char *name;   /* "--save-to" */
	bool *flag;         /* a switch, or */
	const char **value; /* an option with a value: next argument, or behind '=' */
};

/* `table` ends with a NULL name. 0; 1 for --help; -EINVAL when the mistake has been printed. */
int supafs_args_parse(const char *command, int argc, char **argv, const struct supafs_arg *table,
	const char **ret_path);
/* Prints the mistake. -EINVAL. */
int supafs_args_wrong(const char *command, const char *what);
