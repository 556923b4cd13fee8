/* SPDX-License-Identifier: Apache-2.0 */
/* The texts of --help. Options and variables come out of their tables. */
#include <stdio.h>
#include <string.h>

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
		"  supafs check [BUCKET]       look for what would keep a mount from working\n"
		"  supafs status MOUNTPOINT    what the mount does, what waits, what failed\n"
		"  supafs pending MOUNTPOINT   files that are not at the server yet\n"
		"  supafs flush MOUNTPOINT     wait until they are\n"
		"  supafs invalidate MOUNTPOINT   forget what is cached of the server\n"
		"  supafs url [--signed TIME] FILE   where a browser finds a file of a mount\n"
		"  supafs serve DIR [OPTIONS]  a local Supabase Storage server, for trying out\n"
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

static const struct {
	const char *name, *text;
} pages[] = {
	{"umount",
		"supafs umount [--lazy] MOUNTPOINT | --config NAME\n"
		"\n"
		"Unmounts, waits until every upload is done, and names each file that could not be\n"
		"uploaded (exit code 1). Also clears a mount whose daemon was killed.\n"
		"\n"
		"  -l, --lazy      take it out of the tree now, even when programs are inside; it "
		"ends when they do\n"
		"  --config NAME   the mount point is the configuration's SUPAFS_MOUNTPOINT\n"},
	{"check",
		"supafs check [BUCKET[/FOLDER] [MOUNTPOINT]] [-o OPTIONS] [--env-file FILE] [--config "
		"NAME]\n"
		"\n"
		"Looks, with the options of a mount, at all that a mount needs: URL, key and its role, "
		"name lookup,\n"
		"server and its version, clock, bucket and its limits, /dev/fuse and fusermount3, "
		"mount point, cache\n"
		"folder. Each line is OK, WARN or FAIL and says what to do; exit code 1 if one is "
		"FAIL.\n"},
	{"status",
		"supafs status [--json] MOUNTPOINT\n"
		"\n"
		"Tells what is mounted since when, what waits for the server and what failed, the "
		"requests by kind\n"
		"with their errors and mean time, memory and its limits, and the last error.\n"
		"\n"
		"  --json   one JSON object (docs/control.md)\n"},
	{"pending",
		"supafs pending [--json | --retry | --save-to DIR | --drop NAME] MOUNTPOINT\n"
		"\n"
		"Lists the files that are not at the server: size, age, failed tries, state, name, "
		"last error.\n"
		"\n"
		"  --json          one JSON object a line (docs/control.md)\n"
		"  --retry         try all of them now\n"
		"  --save-to DIR   copy each to the same path below DIR; nothing is overwritten\n"
		"  --drop NAME     give up what was written to NAME (as the list shows it), for "
		"good\n"},
	{"flush",
		"supafs flush MOUNTPOINT\n"
		"\n"
		"Waits until all that was closed is at the server. Names each file that fails; exit "
		"code 1 if any\n"
		"is left. Ctrl-C ends the waiting, not the uploads.\n"},
	{"invalidate",
		"supafs invalidate MOUNTPOINT\n"
		"\n"
		"Forgets what is cached of the server's listings and files: the next look asks. "
		"Local changes stay.\n"},
	{"url", "supafs url [--signed TIME] FILE\n"
		"\n"
		"Prints where a browser finds a file of a mount: for everybody if the bucket is "
		"public.\n"
		"\n"
		"  --signed TIME   a URL that whoever has it can use for TIME (30s, 1h, 168h)\n"},
	{NULL, NULL},
};

int supafs_help_command(const char *name)
{
	for (size_t i = 0; pages[i].name; i++) {
		if (strcmp(pages[i].name, name) == 0)
			(void)printf("%s", pages[i].text);
	}
	return SUPAFS_EXIT_OK;
}
