/* SPDX-License-Identifier: Apache-2.0 */
/* The commands. Each gets the arguments behind its name and returns the exit code. */
#pragma once

enum {
	SUPAFS_EXIT_OK = 0,
	SUPAFS_EXIT_FAILED = 1,
	SUPAFS_EXIT_USAGE = 2
};

struct supafs_problem;

/* The exit code for a result, its problem printed if it has a text. */
int supafs_exit(int r, const struct supafs_problem *p);

/* The whole program; argv[0] "mount.supafs" or "mount.fuse.supafs" is mount(8)'s call. */
int supafs_main(int argc, char **argv);

int supafs_cmd_mount(const char *self, int argc, char **argv);
int supafs_cmd_mount_helper(const char *self, int argc, char **argv);
int supafs_cmd_umount(const char *self, int argc, char **argv);
int supafs_cmd_check(const char *self, int argc, char **argv);
int supafs_cmd_pending(const char *self, int argc, char **argv);
int supafs_cmd_flush(const char *self, int argc, char **argv);
int supafs_cmd_status(const char *self, int argc, char **argv);
int supafs_cmd_invalidate(const char *self, int argc, char **argv);
int supafs_cmd_url(const char *self, int argc, char **argv);
int supafs_cmd_serve(const char *self, int argc, char **argv);

void supafs_help(void);
void supafs_help_mount(void);
/* Help of another command; always SUPAFS_EXIT_OK. */
int supafs_help_command(const char *name);
void supafs_version(void);
