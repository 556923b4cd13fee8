/* SPDX-License-Identifier: Apache-2.0 */
/* supafs status: what a mount is and does. */
#include <errno.h>
#include <stdio.h>

#include "supafs/util/cleanup.h"

#include "args.h"
#include "client.h"
#include "commands.h"
#include "config.h"
#include "progress.h"

static uint64_t number(const struct supafs_answer *a, const char *group, const char *name)
{
	const struct supafs_answer *m = group ? supafs_answer_member(a, group) : a;

	return m ? supafs_answer_number(m, name, 0) : 0;
}

static void line(const char *head, const char *text)
{
	(void)printf("%-10s ", head);
	supafs_print_clean(text);
	(void)printf("\n");
}

static void show_uploads(const struct supafs_answer *a, const char *mnt)
{
	const unsigned long long failed = number(a, "uploads", "failed");
	char bytes[32];

	supafs_format_bytes(number(a, "uploads", "bytes"), bytes, sizeof(bytes));
	(void)printf("uploads    %llu waiting, %llu being sent, %llu failed; %s\n",
		(unsigned long long)number(a, "uploads", "waiting"),
		(unsigned long long)number(a, "uploads", "sending"), failed, bytes);
	if (failed > 0) {
		(void)printf("           WARNING: 'supafs pending ");
		supafs_print_clean(mnt);
		(void)printf("' tells which and why\n");
	}
}

static void show_requests(const struct supafs_answer *a)
{
	static const char *const kinds[] = {"list", "info", "get", "put", "delete", "delete_many",
		"copy", "move", "url", "probe"};
	const struct supafs_answer *all = supafs_answer_member(a, "requests");
	const char *head = "requests";
	char down[32], up[32];

	for (size_t i = 0; all && i < SUPAFS_ARRAY_LEN(kinds); i++) {
		const struct supafs_answer *one = supafs_answer_member(all, kinds[i]);

		if (!one)
			continue;
		(void)printf("%-10s %-12s %8llu, %llu failed, %.1f ms each\n", head, kinds[i],
			(unsigned long long)supafs_answer_number(one, "count", 0),
			(unsigned long long)supafs_answer_number(one, "errors", 0),
			(double)supafs_answer_number(one, "mean_us", 0) / 1000);
		head = "";
	}
	supafs_format_bytes(all ? number(supafs_answer_member(all, "get"), NULL, "bytes") : 0, down,
		sizeof(down));
	supafs_format_bytes(
		all ? number(supafs_answer_member(all, "put"), NULL, "bytes") : 0, up, sizeof(up));
	(void)printf("moved      %s down, %s up\n", down, up);
}

static void show_memory(const struct supafs_answer *a)
{
	char rss[32], contents[32], most[32], listings[32], most_listings[32];

	supafs_format_bytes(number(a, "memory", "resident"), rss, sizeof(rss));
	supafs_format_bytes(number(a, "memory", "contents"), contents, sizeof(contents));
	supafs_format_bytes(number(a, "memory", "contents_limit"), most, sizeof(most));
	supafs_format_bytes(number(a, "memory", "listings"), listings, sizeof(listings));
	supafs_format_bytes(
		number(a, "memory", "listings_limit"), most_listings, sizeof(most_listings));
	(void)printf("memory     %s resident; contents %s of %s, listings %s of %s (%llu names)\n",
		rss, contents, most, listings, most_listings,
		(unsigned long long)number(a, "memory", "entries"));
}

static void show(const struct supafs_answer *a)
{
	const struct supafs_answer *error = supafs_answer_member(a, "last_error");
	const char *log = supafs_answer_text(a, "log", "");
	char text[2048];

	(void)snprintf(text, sizeof(text), "%s at %s, %s since %s",
		supafs_answer_text(a, "source", "?"), supafs_answer_text(a, "mountpoint", "?"),
		supafs_answer_text(a, "state", "?"), supafs_answer_text(a, "since", "?"));
	line("mount", text);
	(void)snprintf(text, sizeof(text), "supafs %s, process %llu; %llu open files, %llu known",
		supafs_answer_text(a, "version", "?"),
		(unsigned long long)supafs_answer_number(a, "pid", 0),
		(unsigned long long)supafs_answer_number(a, "open", 0),
		(unsigned long long)supafs_answer_number(a, "nodes", 0));
	line("daemon", text);
	line("cache", supafs_answer_text(a, "cache", "?"));
	line("log", *log ? log : "standard error (the journal under systemd)");
	show_uploads(a, supafs_answer_text(a, "mountpoint", "MNT"));
	show_requests(a);
	show_memory(a);
	if (error) {
		(void)snprintf(text, sizeof(text), "%s: %s", supafs_answer_text(error, "at", ""),
			supafs_answer_text(error, "text", ""));
		line("last error", text);
	}
}

static int status(const struct supafs_client *c, bool json, struct supafs_problem *p)
{
	const struct supafs_control_request req = {.verb = SUPAFS_CONTROL_STATUS};
	char raw[SUPAFS_ANSWER_MAX + 2];
	supafs_cleanup(supafs_answer_freep) struct supafs_answer *a = NULL;
	FILE *f = supafs_client_ask(c, &req, p);
	int r;

	if (!f)
		return -EIO;
	(void)supafs_client_next(f, &a, raw);
	(void)fclose(f);
	r = supafs_client_result(c, "asking for the status", a, p);
	if (r == 0 && json)
		(void)printf("%s\n", raw);
	else if (r == 0)
		show(a);
	return r;
}

int supafs_cmd_status(const char *self, int argc, char **argv)
{
	bool json = false;
	const struct supafs_arg table[] = {{"--json", &json, NULL}, {NULL, NULL, NULL}};
	struct supafs_problem p = {.text = ""};
	const char *path = NULL;
	struct supafs_client c;
	int r = supafs_args_parse("status", argc, argv, table, &path);

	(void)self;
	supafs_config_wipe_environment();
	if (r > 0)
		return supafs_help_command("status");
	if (r == 0 && !path)
		r = supafs_args_wrong("status", "no mount point is named");
	if (r < 0 || !path)
		return SUPAFS_EXIT_USAGE;
	r = supafs_client_find(&c, path, false, NULL, &p);
	if (r == 0)
		r = status(&c, json, &p);
	return supafs_exit(r, &p);
}
