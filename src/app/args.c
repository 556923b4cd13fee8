/* SPDX-License-Identifier: Apache-2.0 */
#include "args.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "messages.h"

int supafs_args_wrong(const char *command, const char *what)
{
	struct supafs_problem p;

	supafs_problem_set(&p, SUPAFS_MSG_USAGE, "what", what, "command", command, NULL);
	supafs_problem_print(&p);
	return -EINVAL;
}

static const struct supafs_arg *find(const struct supafs_arg *table, const char *arg)
{
	for (; table->name; table++) {
		const size_t n = strlen(table->name);

		if (strncmp(arg, table->name, n) == 0 &&
			(arg[n] == '\0' || (arg[n] == '=' && table->value)))
			return table;
	}
	return NULL;
}

static int option(
	const char *command, int argc, char **argv, const struct supafs_arg *table, int *i)
{
	const char *text = argv[*i];
	const struct supafs_arg *arg = find(table, text);
	char what[256];

	if (arg && arg->flag) {
		*arg->flag = true;
		return 0;
	}
	if (arg && text[strlen(arg->name)] == '=') {
		*arg->value = text + strlen(arg->name) + 1;
		return 0;
	}
	if (arg && *i + 1 < argc) {
		*arg->value = argv[++*i];
		return 0;
	}
	(void)snprintf(what, sizeof(what), "'%.200s' %s", text,
		arg ? "needs a value" : "is not understood");
	return supafs_args_wrong(command, what);
}

int supafs_args_parse(const char *command, int argc, char **argv, const struct supafs_arg *table,
	const char **ret_path)
{
	const char *path = NULL;
	bool only_names = false;

	for (int i = 0; i < argc; i++) {
		const char *arg = argv[i];

		if (!only_names && (strcmp(arg, "-h") == 0 || strcmp(arg, "--help") == 0))
			return 1;
		if (!only_names && strcmp(arg, "--") == 0) {
			only_names = true;
		} else if (!only_names && arg[0] == '-' && arg[1] != '\0') {
			if (option(command, argc, argv, table, &i) < 0)
				return -EINVAL;
		} else if (path) {
			return supafs_args_wrong(command, "more than one path is named");
		} else {
			path = arg;
		}
	}
	*ret_path = path;
	return 0;
}
