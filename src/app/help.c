/* SPDX-License-Identifier: Apache-2.0 */
/* The texts of --help. Options and variables come out of their tables. */
#include <stdio.h>

#include "commands.h"
#include "config.h"
#include "options.h"

void supafs_help(void)
{
	(void)printf(
		"supafs mounts a Supabase Storage bucket as a folder.\n"
		"\n"
		"  supafs mount [BUCKET[/FOLDER]] MOUNTPOINT [-o OPTIONS] [-f]   mount a bucket\n"
		"  supafs umount MOUNTPOINT                                      finish and unmount\n"
		"  supafs serve DIR [OPTIONS]                                    a local Supabase "
		"Storage server, for trying out\n"
		"  supafs COMMAND --help      the command's options\n"
		"  supafs --version           versions of supafs and its libraries\n"
		"\n"
		"Where the server is and the key come from the environment or from a file:\n");
	for (const struct supafs_config_variable *v = supafs_config_table(); v->name; v++)
		(void)printf("  %-28s %s\n", v->name, v->help);
	(void)printf(
		"\nA first mount:\n"
		"  supafs mount course-data /srv/course --env-file ~/.config/supafs/course.env\n"
		"\n"
		"More: man supafs, docs/setup.md, docs/troubleshooting.md\n");
}

void supafs_help_mount(void)
{
	(void)printf(
		"supafs mount [BUCKET[/FOLDER]] MOUNTPOINT [-o OPTIONS] [-f] [--env-file FILE] "
		"[--config NAME]\n"
		"\n"
		"Mounts a bucket, or a folder in it, and returns when the mount answers.\n"
		"\n"
		"  -f, --foreground   stay in the foreground and log to standard error\n"
		"  --env-file FILE    read SUPABASE_URL, keys and bucket from this file (as an "
		"application's .env)\n"
		"  --config NAME      read them from ~/.config/supafs/NAME.conf or "
		"/etc/supafs/NAME.conf\n"
		"  -o OPTION[,…]      options, see below\n"
		"\n"
		"Without BUCKET it is SUPABASE_BUCKET_NAME, without MOUNTPOINT SUPAFS_MOUNTPOINT. A "
		"variable of the\n"
		"environment wins over --env-file, and that over --config.\n"
		"\n"
		"Options [default; range]:\n");
	supafs_options_print();
}

void supafs_help_umount(void)
{
	(void)printf(
		"supafs umount [--lazy] MOUNTPOINT\n"
		"\n"
		"Unmounts, waits until every upload is done, and tells what could not be uploaded\n"
		"(exit code 1). Also clears a mount whose daemon was killed.\n"
		"\n"
		"  -l, --lazy   take it out of the tree now, even when programs are inside; it ends "
		"when they do\n");
}
