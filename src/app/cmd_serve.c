/* SPDX-License-Identifier: Apache-2.0 */
/* supafs serve: hands over to supafs-serve, an executable of its own. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "messages.h"

/* Beside this program in a build folder, else where it is installed. */
static void find_serve(char *out, size_t size)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	if (n > 0) {
		self[n] = '\0';
		slash = strrchr(self, '/');
		if (slash)
			*slash = '\0';
		(void)snprintf(out, size, "%s/serve/supafs-serve", self);
		if (access(out, X_OK) == 0)
			return;
	}
	(void)snprintf(out, size, "%s/supafs-serve", SUPAFS_LIBEXECDIR);
}

int supafs_cmd_serve(const char *self, int argc, char **argv)
{
	char path[PATH_MAX + 32], name[] = "supafs-serve";
	char **args = calloc((size_t)argc + 2, sizeof(*args));
	struct supafs_problem p;

	(void)self;
	find_serve(path, sizeof(path));
	if (args) {
		args[0] = name;
		for (int i = 0; i < argc; i++)
			args[i + 1] = argv[i];
		(void)execv(path, args);
	}
	supafs_problem_set(&p, SUPAFS_MSG_SERVE_MISSING, "file", path, NULL);
	supafs_problem_print(&p);
	free(args);
	return SUPAFS_EXIT_FAILED;
}
