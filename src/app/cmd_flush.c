/* SPDX-License-Identifier: Apache-2.0 */
/* supafs flush: waits until all that was closed is at the server. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "supafs/util/cleanup.h"

#include "args.h"
#include "client.h"
#include "commands.h"
#include "config.h"
#include "pending.h"
#include "progress.h"

/* The lines of progress, up to the last one of the answer, which is in *ret (or NULL). */
static void follow(FILE *f, struct supafs_answer **ret, uint64_t *ret_failed)
{
	struct supafs_progress progress;
	struct supafs_answer *a = NULL;

	supafs_progress_init(&progress);
	while (supafs_client_next(f, &a, NULL) == 1) {
		if (supafs_answer_true(a, "ok") || supafs_answer_text(a, "error", NULL)) {
			*ret = a;
			break;
		}
		*ret_failed = supafs_answer_number(a, "failed", 0);
		supafs_progress_show(&progress, a);
		a = supafs_answer_free(a);
	}
	supafs_progress_end(&progress);
}

/* Each file that was tried and refused, on standard error; their number. */
static size_t tell_failed(const struct supafs_client *c)
{
	supafs_cleanup(supafs_pending_fini) struct supafs_pending_list l = {0};
	struct supafs_problem p;
	char reason[800];
	size_t n = 0;

	if (supafs_pending_read(c, &l, &p) < 0)
		return 0;
	for (size_t i = 0; i < l.n; i++) {
		if (strcmp(supafs_answer_text(l.p[i].line, "state", ""), "failed") != 0)
			continue;
		supafs_pending_reason(l.p[i].line, reason, sizeof(reason));
		supafs_problem_set(
			&p, SUPAFS_MSG_LEFT_FILE, "name", l.p[i].path, "err", reason, NULL);
		supafs_problem_print(&p);
		n++;
	}
	return n;
}

static int left(const struct supafs_client *c, uint64_t n, struct supafs_problem *p)
{
	char count[24];

	(void)snprintf(count, sizeof(count), "%llu", (unsigned long long)n);
	supafs_problem_set(p, SUPAFS_MSG_FLUSH_LEFT, "count", count, "mnt", c->mountpoint, NULL);
	return -EIO;
}

static int flush(const struct supafs_client *c, struct supafs_problem *p)
{
	const struct supafs_control_request req = {.verb = SUPAFS_CONTROL_FLUSH};
	supafs_cleanup(supafs_answer_freep) struct supafs_answer *last = NULL;
	FILE *f = supafs_client_ask(c, &req, p);
	uint64_t failed = 0;
	size_t told;
	int r;

	if (!f)
		return -EIO;
	follow(f, &last, &failed);
	(void)fclose(f);
	r = supafs_client_result(c, "waiting for uploads", last, p);
	if (r == 0)
		return 0;
	told = last ? tell_failed(c) : 0;
	if (told > 0 || failed > 0)
		return left(c, told > 0 ? told : failed, p);
	return r;
}

int supafs_cmd_flush(const char *self, int argc, char **argv)
{
	const struct supafs_arg table[] = {{NULL, NULL, NULL}};
	struct supafs_problem p = {.text = ""};
	const char *path = NULL;
	struct supafs_client c;
	int r = supafs_args_parse("flush", argc, argv, table, &path);

	(void)self;
	supafs_config_wipe_environment();
	if (r > 0)
		return supafs_help_command("flush");
	if (r == 0 && !path)
		r = supafs_args_wrong("flush", "no mount point is named");
	if (r < 0 || !path)
		return SUPAFS_EXIT_USAGE;
	r = supafs_client_find(&c, path, false, NULL, &p);
	if (r == 0)
		r = flush(&c, &p);
	return supafs_exit(r, &p);
}
