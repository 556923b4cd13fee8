/* SPDX-License-Identifier: Apache-2.0 */
/* supafs pending: what is not at the server, and what to do with it. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/parse.h"

#include "args.h"
#include "client.h"
#include "commands.h"
#include "config.h"
#include "pending.h"
#include "progress.h"
#include "save.h"

static void fini_list(struct supafs_pending_list *l)
{
	for (size_t i = 0; i < l->n; i++) {
		free(l->p[i].path);
		(void)supafs_answer_free(l->p[i].line);
	}
	free(l->p);
}

void supafs_pending_fini(struct supafs_pending_list *l)
{
	fini_list(l);
	*l = (struct supafs_pending_list){0};
}

/* The name's true bytes. */
static char *path_of(const struct supafs_answer *a)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf b;

	supafs_buf_init(&b, PATH_MAX);
	if (supafs_b64url_decode(&b, supafs_str_of(supafs_answer_text(a, "raw", ""))) < 0 ||
		b.n == 0 || memchr(b.p, '\0', b.n))
		return NULL;
	return supafs_buf_take(&b);
}

static int add(struct supafs_pending_list *l, struct supafs_answer *line)
{
	struct supafs_pending_item item = {.path = path_of(line), .line = line};
	struct supafs_pending_item *p = reallocarray(l->p, l->n + 1, sizeof(*p));

	if (p)
		l->p = p;
	if (!p || !item.path) {
		free(item.path);
		return p ? -EPROTO : -ENOMEM;
	}
	item.id = supafs_answer_number(line, "id", 0);
	l->p[l->n++] = item;
	return 0;
}

int supafs_pending_read(
	const struct supafs_client *c, struct supafs_pending_list *ret, struct supafs_problem *p)
{
	const struct supafs_control_request req = {.verb = SUPAFS_CONTROL_PENDING};
	supafs_cleanup(supafs_answer_freep) struct supafs_answer *a = NULL;
	FILE *f = supafs_client_ask(c, &req, p);
	int r = 0;

	if (!f)
		return -EIO;
	while (r == 0 && supafs_client_next(f, &a, NULL) == 1 &&
		supafs_answer_text(a, "path", NULL)) {
		r = add(ret, a);
		if (r == 0)
			a = NULL;
	}
	(void)fclose(f);
	return supafs_client_result(c, "asking what is pending", r == 0 ? a : NULL, p);
}

/* --- Shown ------------------------------------------------------------------------------------ */

void supafs_pending_reason(const struct supafs_answer *line, char *out, size_t size)
{
	const char *error = supafs_answer_text(line, "error", "");
	const char *server = supafs_answer_text(line, "server", "");

	(void)snprintf(out, size, "%s%s%s", error, *error && *server ? ": " : "", server);
}

static void show(const struct supafs_pending_item *item)
{
	char bytes[32], age[32], reason[800];

	supafs_format_bytes(supafs_answer_number(item->line, "size", 0), bytes, sizeof(bytes));
	supafs_format_age(supafs_answer_number(item->line, "age_s", 0), age, sizeof(age));
	(void)printf("%12s  %6s  %5llu  %-9s  ", bytes, age,
		(unsigned long long)supafs_answer_number(item->line, "tries", 0),
		supafs_answer_text(item->line, "state", ""));
	supafs_print_clean(item->path);
	(void)printf("\n");
	supafs_pending_reason(item->line, reason, sizeof(reason));
	if (*reason) {
		(void)printf("%42s", "");
		supafs_print_clean(reason);
		(void)printf("\n");
	}
}

static int list(const struct supafs_client *c, struct supafs_problem *p)
{
	supafs_cleanup(supafs_pending_fini) struct supafs_pending_list l = {0};
	int r = supafs_pending_read(c, &l, p);

	if (r < 0)
		return r;
	if (l.n == 0) {
		(void)printf("all that was written to %s is at the server\n", c->mountpoint);
		return 0;
	}
	(void)printf("%12s  %6s  %5s  %-9s  %s\n", "SIZE", "AGE", "TRIES", "STATE", "NAME");
	for (size_t i = 0; i < l.n; i++)
		show(&l.p[i]);
	return 0;
}

/* The daemon's own lines, but for the last one. */
static int list_json(const struct supafs_client *c, struct supafs_problem *p)
{
	const struct supafs_control_request req = {.verb = SUPAFS_CONTROL_PENDING};
	char raw[SUPAFS_ANSWER_MAX + 2];
	supafs_cleanup(supafs_answer_freep) struct supafs_answer *a = NULL;
	FILE *f = supafs_client_ask(c, &req, p);

	if (!f)
		return -EIO;
	while (supafs_client_next(f, &a, raw) == 1 && supafs_answer_text(a, "path", NULL)) {
		(void)printf("%s\n", raw);
		a = supafs_answer_free(a);
	}
	(void)fclose(f);
	return supafs_client_result(c, "asking what is pending", a, p);
}

/* --- Done ------------------------------------------------------------------------------------- */

static int retry(const struct supafs_client *c, struct supafs_problem *p)
{
	const struct supafs_control_request req = {.verb = SUPAFS_CONTROL_RETRY};
	supafs_cleanup(supafs_answer_freep) struct supafs_answer *a = NULL;
	int r = supafs_client_simple(c, &req, "trying again", &a, p);

	if (r == 0)
		(void)printf("%llu file(s) are tried again now; 'supafs flush' waits for them\n",
			(unsigned long long)supafs_answer_number(a, "count", 0));
	return r;
}

/* "MNT/a/b" means "a/b". */
static const char *below(const struct supafs_client *c, const char *name)
{
	const size_t n = strlen(c->mountpoint);

	return strncmp(name, c->mountpoint, n) == 0 && name[n] == '/' ? name + n + 1 : name;
}

static int drop(const struct supafs_client *c, const char *name, struct supafs_problem *p)
{
	supafs_cleanup(supafs_pending_fini) struct supafs_pending_list l = {0};
	struct supafs_control_request req = {.verb = SUPAFS_CONTROL_DROP};
	const struct supafs_answer *line = NULL;
	char bytes[32];
	int r = supafs_pending_read(c, &l, p);

	if (r < 0)
		return r;
	for (size_t i = 0; i < l.n; i++) {
		if (strcmp(l.p[i].path, below(c, name)) == 0) {
			req.id = l.p[i].id;
			line = l.p[i].line;
		}
	}
	if (!line) {
		supafs_problem_set(
			p, SUPAFS_MSG_NOT_PENDING, "name", name, "mnt", c->mountpoint, NULL);
		return -ENOENT;
	}
	r = supafs_client_simple(c, &req, "giving it up", NULL, p);
	if (r < 0)
		return r;
	supafs_format_bytes(supafs_answer_number(line, "size", 0), bytes, sizeof(bytes));
	(void)printf("gave up what was written to '");
	supafs_print_clean(name);
	(void)printf("' (%s): it is again what the server has, or gone\n", bytes);
	return 0;
}

static bool in_mount(const struct supafs_client *c, const struct stat *st)
{
	struct stat mnt;

	return stat(c->mountpoint, &mnt) == 0 && st->st_dev == mnt.st_dev;
}

/* Would a folder of this name be made in the mount? */
static bool parent_in_mount(const struct supafs_client *c, const char *dir)
{
	char parent[PATH_MAX];
	size_t n = strlen(dir);
	struct stat st;

	while (n > 0 && dir[n - 1] == '/')
		n--;
	while (n > 0 && dir[n - 1] != '/')
		n--;
	if (snprintf(parent, sizeof(parent), "%.*s", n ? (int)n : 1, n ? dir : ".") >=
		(int)sizeof(parent))
		return false;
	return stat(parent, &st) == 0 && in_mount(c, &st);
}

/* The folder's descriptor; it is made if it is not there. */
static int open_target(const struct supafs_client *c, const char *dir, struct supafs_problem *p)
{
	struct stat st;
	int fd = -1, r = 0;

	if (stat(dir, &st) != 0 && parent_in_mount(c, dir))
		r = -EXDEV;
	if (r == 0 && mkdir(dir, 0700) != 0 && errno != EEXIST)
		r = -errno;
	if (r == 0) {
		fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		r = fd < 0 ? -errno : 0;
	}
	if (r == 0 && fstat(fd, &st) == 0 && in_mount(c, &st))
		r = -EXDEV;
	if (r == 0)
		return fd;
	if (fd >= 0)
		(void)close(fd);
	supafs_problem_set(p, SUPAFS_MSG_SAVE_DIR, "dir", dir, "err",
		r == -EXDEV ? "it is in the mount itself" : strerrordesc_np(-r), NULL);
	return r;
}

static int save(const struct supafs_client *c, const char *dir, struct supafs_problem *p)
{
	supafs_cleanup(supafs_pending_fini) struct supafs_pending_list l = {0};
	supafs_autoclose int fd = -1;
	int r = supafs_pending_read(c, &l, p), failed = 0;

	if (r < 0)
		return r;
	fd = open_target(c, dir, p);
	if (fd < 0)
		return fd;
	for (size_t i = 0; i < l.n; i++) {
		r = supafs_save_file(c->mountpoint, l.p[i].path, fd);
		if (r < 0) {
			supafs_problem_set(p, SUPAFS_MSG_SAVE_FAILED, "name", l.p[i].path, "dir",
				dir, "err", strerrordesc_np(-r), NULL);
			supafs_problem_print(p);
			failed = r;
			continue;
		}
		(void)printf("saved ");
		supafs_print_clean(l.p[i].path);
		(void)printf("\n");
	}
	if (l.n == 0)
		(void)printf("nothing to save: all is at the server\n");
	p->text[0] = '\0'; /* said already */
	return failed;
}

int supafs_cmd_pending(const char *self, int argc, char **argv)
{
	bool json = false, again = false;
	const char *dir = NULL, *name = NULL, *path = NULL;
	const struct supafs_arg table[] = {
		{"--json", &json, NULL},
		{"--retry", &again, NULL},
		{"--save-to", NULL, &dir},
		{"--drop", NULL, &name},
		{NULL, NULL, NULL},
	};
	struct supafs_problem p = {.text = ""};
	struct supafs_client c;
	int r = supafs_args_parse("pending", argc, argv, table, &path);

	(void)self;
	supafs_config_wipe_environment();
	if (r > 0)
		return supafs_help_command("pending");
	if (r == 0 && !path)
		r = supafs_args_wrong("pending", "no mount point is named");
	if (r == 0 && json + again + (dir != NULL) + (name != NULL) > 1)
		r = supafs_args_wrong("pending", "one thing at a time");
	if (r < 0 || !path)
		return SUPAFS_EXIT_USAGE;
	r = supafs_client_find(&c, path, false, NULL, &p);
	if (r == 0 && dir)
		r = save(&c, dir, &p);
	else if (r == 0 && name)
		r = drop(&c, name, &p);
	else if (r == 0 && again)
		r = retry(&c, &p);
	else if (r == 0)
		r = json ? list_json(&c, &p) : list(&c, &p);
	return supafs_exit(r, &p);
}
