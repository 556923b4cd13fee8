/* SPDX-License-Identifier: Apache-2.0 */
/* supafs url and supafs invalidate: short questions to a mount's daemon. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/limits.h"
#include "supafs/util/parse.h"

#include "args.h"
#include "client.h"
#include "commands.h"
#include "config.h"

#define DAY_MS UINT64_C(86400000)

/* Seconds of validity; 0: for everybody. */
static int parse_validity(const char *text, uint64_t *ret)
{
	uint64_t ms = 0;

	if (supafs_parse_duration_ms(supafs_str_of(text), &ms) < 0 || ms < 1000 ||
		ms > 366 * DAY_MS)
		return supafs_args_wrong("url", "--signed wants a time from 1s to 8784h, as 1h");
	*ret = ms / 1000;
	return 0;
}

/* A mount of another user's, which may be entered but whose daemon may not be asked: the attributes
 * of the file tell as well, for an hour at most. */
static bool print_attribute(const char *path, uint64_t seconds)
{
	const char *name = seconds ? "user.supafs.signed_url" : "user.supafs.public_url";
	char url[SUPAFS_URL_MAX + 1];
	ssize_t n;

	if (seconds > 3600)
		return false;
	n = getxattr(path, name, url, sizeof(url) - 1);
	if (n <= 0)
		return false;
	(void)printf("%.*s\n", (int)n, url);
	return true;
}

static int url(const char *path, uint64_t seconds, struct supafs_problem *p)
{
	struct supafs_control_request req = {.verb = SUPAFS_CONTROL_URL, .seconds = seconds};
	supafs_cleanup(supafs_answer_freep) struct supafs_answer *a = NULL;
	struct supafs_client c;
	struct stat st;
	int r = supafs_client_find(&c, path, true, req.path, p);

	if (r < 0)
		return p->id == SUPAFS_MSG_ASK_DENIED && print_attribute(path, seconds) ? 0 : r;
	req.path_n = strlen(req.path);
	if (stat(path, &st) != 0 || !S_ISREG(st.st_mode)) {
		supafs_problem_set(p, SUPAFS_MSG_URL_FILE, "name", path, NULL);
		return -EISDIR;
	}
	r = supafs_client_simple(&c, &req, "asking for the URL", &a, p);
	if (r == -EOPNOTSUPP && seconds == 0)
		supafs_problem_set(p, SUPAFS_MSG_URL_PRIVATE, "name", path, NULL);
	if (r == 0)
		(void)printf("%s\n", supafs_answer_text(a, "url", ""));
	return r;
}

int supafs_cmd_url(const char *self, int argc, char **argv)
{
	const char *validity = NULL, *path = NULL;
	const struct supafs_arg table[] = {{"--signed", NULL, &validity}, {NULL, NULL, NULL}};
	struct supafs_problem p = {.text = ""};
	uint64_t seconds = 0;
	int r = supafs_args_parse("url", argc, argv, table, &path);

	(void)self;
	supafs_config_wipe_environment();
	if (r > 0)
		return supafs_help_command("url");
	if (r == 0 && !path)
		r = supafs_args_wrong("url", "no file is named");
	if (r == 0 && validity)
		r = parse_validity(validity, &seconds);
	if (r < 0 || !path)
		return SUPAFS_EXIT_USAGE;
	return supafs_exit(url(path, seconds, &p), &p);
}

int supafs_cmd_invalidate(const char *self, int argc, char **argv)
{
	const struct supafs_control_request req = {.verb = SUPAFS_CONTROL_INVALIDATE};
	const struct supafs_arg table[] = {{NULL, NULL, NULL}};
	struct supafs_problem p = {.text = ""};
	const char *path = NULL;
	struct supafs_client c;
	int r = supafs_args_parse("invalidate", argc, argv, table, &path);

	(void)self;
	supafs_config_wipe_environment();
	if (r > 0)
		return supafs_help_command("invalidate");
	if (r == 0 && !path)
		r = supafs_args_wrong("invalidate", "no mount point is named");
	if (r < 0 || !path)
		return SUPAFS_EXIT_USAGE;
	r = supafs_client_find(&c, path, false, NULL, &p);
	if (r == 0)
		r = supafs_client_simple(&c, &req, "forgetting what is cached", NULL, &p);
	return supafs_exit(r, &p);
}
