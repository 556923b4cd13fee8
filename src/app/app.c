/* SPDX-License-Identifier: Apache-2.0 */
/* The program: which command is meant. */
#include <stdio.h>
#include <string.h>

#include "supafs/util/cleanup.h"

#include "commands.h"
#include "messages.h"

static const struct {
	const char *name;
	int (*run)(const char *self, int argc, char **argv);
} commands[] = {
	{"mount", supafs_cmd_mount},
	{"umount", supafs_cmd_umount},
	{"unmount", supafs_cmd_umount},
	{"check", supafs_cmd_check},
	{"status", supafs_cmd_status},
	{"pending", supafs_cmd_pending},
	{"flush", supafs_cmd_flush},
	{"invalidate", supafs_cmd_invalidate},
	{"url", supafs_cmd_url},
	{"serve", supafs_cmd_serve},
};

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

int supafs_exit(int r, const struct supafs_problem *p)
{
	if (r < 0 && p->text[0])
		supafs_problem_print(p);
	return r < 0 ? SUPAFS_EXIT_FAILED : SUPAFS_EXIT_OK;
}

static int unknown(const char *command)
{
	struct supafs_problem p;

	supafs_problem_set(&p, SUPAFS_MSG_COMMAND, "command", command, NULL);
	supafs_problem_print(&p);
	return SUPAFS_EXIT_USAGE;
}

int supafs_main(int argc, char **argv)
{
	const char *self = argc > 0 ? argv[0] : "supafs";

	if (strncmp(base_name(self), "mount.", 6) == 0)
		return supafs_cmd_mount_helper(self, argc - 1, argv + 1);
	if (argc < 2) {
		supafs_help();
		return SUPAFS_EXIT_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
		strcmp(argv[1], "help") == 0) {
		supafs_help();
		return SUPAFS_EXIT_OK;
	}
	if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
		supafs_version();
		return SUPAFS_EXIT_OK;
	}
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(commands); i++) {
		if (strcmp(argv[1], commands[i].name) == 0)
			return commands[i].run(self, argc - 2, argv + 2);
	}
	return unknown(argv[1]);
}
