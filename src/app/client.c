/* SPDX-License-Identifier: Apache-2.0 */
#include "client.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "supafs/util/cleanup.h"

#include "mountinfo.h"

#define TRY_S 2

static int fail(const char *mnt, enum supafs_msg id, int r, struct supafs_problem *p)
{
	supafs_problem_set(p, id, "mnt", mnt, "err", strerrordesc_np(-r), NULL);
	return r;
}

/* The longest part of `path` at which something is mounted by us; what follows goes to `rest`. */
static bool climb(char *path, char *rest, struct supafs_mounted *ret)
{
	char whole[PATH_MAX];
	size_t n;

	(void)snprintf(whole, sizeof(whole), "%s", path);
	for (;;) {
		if (supafs_mountinfo_find(path, ret) && strcmp(ret->type, "fuse.supafs") == 0)
			break;
		char *slash = strrchr(path, '/');
		if (!slash || slash == path)
			return false;
		*slash = '\0';
	}
	n = strlen(path);
	(void)snprintf(rest, PATH_MAX, "%s", whole + n + (whole[n] == '/'));
	return true;
}

/* The path without links, but not asking the mount for its last part. */
static int absolute(const char *path, char *out)
{
	return supafs_mount_path(path, out);
}

int supafs_client_find(struct supafs_client *c, const char *path, bool inside, char *ret_rest,
	struct supafs_problem *p)
{
	struct supafs_mounted m;
	int r = absolute(path, c->mountpoint);
	bool found;

	if (r < 0)
		return fail(path,
			inside || r != -ENOENT ? SUPAFS_MSG_ASK_PATH
					       : SUPAFS_MSG_UMOUNT_NOT_MOUNTED,
			r, p);
	if (inside)
		found = climb(c->mountpoint, ret_rest, &m);
	else
		found = supafs_mountinfo_find(c->mountpoint, &m);
	if (!found)
		return fail(path, inside ? SUPAFS_MSG_ASK_OUTSIDE : SUPAFS_MSG_UMOUNT_NOT_MOUNTED,
			-ENOENT, p);
	if (strcmp(m.type, "fuse.supafs") != 0) {
		supafs_problem_set(
			p, SUPAFS_MSG_UMOUNT_NOT_OURS, "mnt", c->mountpoint, "what", m.type, NULL);
		return -EINVAL;
	}
	if (m.user != geteuid() && geteuid() != 0)
		return fail(c->mountpoint, SUPAFS_MSG_ASK_DENIED, -EACCES, p);
	r = supafs_record_read(m.user, c->mountpoint, &c->record);
	if (r < 0 || c->record.ended)
		return fail(c->mountpoint, SUPAFS_MSG_ASK_NO_DAEMON, -ENOENT, p);
	return 0;
}

/* A cache folder's path may be longer than a socket's name can be. */
static int connect_in(const char *dir)
{
	supafs_autoclose int dir_fd = open(dir, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	supafs_autoclose int fd = -1;
	struct sockaddr_un at = {.sun_family = AF_UNIX};

	if (dir_fd < 0)
		return -errno;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	(void)snprintf(at.sun_path, sizeof(at.sun_path), "/proc/self/fd/%d/control", dir_fd);
	if (connect(fd, (const struct sockaddr *)&at, sizeof(at)) != 0)
		return -errno;
	return supafs_steal_fd(&fd);
}

static int send_request(int fd, const struct supafs_control_request *req)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf b;
	struct supafs_str line;

	supafs_buf_init(&b, SUPAFS_CONTROL_LINE_MAX);
	if (supafs_control_format(req, &b) < 0)
		return -ENAMETOOLONG;
	line = supafs_buf_str(&b);
	while (line.n > 0) {
		ssize_t n = send(fd, line.p, line.n, MSG_NOSIGNAL);

		/* Turned away: the answer that says so is there to be read. */
		if (n < 0 && errno == EPIPE)
			return 0;
		if (n < 0 && errno != EINTR)
			return -errno;
		line.p += n > 0 ? n : 0;
		line.n -= n > 0 ? (size_t)n : 0;
	}
	return 0;
}

static int open_answer(
	const struct supafs_record *rec, const struct supafs_control_request *req, FILE **ret)
{
	supafs_autoclose int fd = connect_in(rec->cache);
	int r = fd < 0 ? fd : send_request(fd, req);
	FILE *f;

	if (r < 0)
		return r;
	f = fdopen(fd, "r");
	if (!f)
		return -ENOMEM;
	(void)supafs_steal_fd(&fd);
	*ret = f;
	return 0;
}

FILE *supafs_client_try(const struct supafs_record *rec, const struct supafs_control_request *req)
{
	const struct timeval patience = {.tv_sec = TRY_S};
	FILE *f = NULL;

	if (open_answer(rec, req, &f) < 0)
		return NULL;
	(void)setsockopt(fileno(f), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	return f;
}

FILE *supafs_client_ask(const struct supafs_client *c, const struct supafs_control_request *req,
	struct supafs_problem *p)
{
	FILE *f = NULL;
	int r = open_answer(&c->record, req, &f);

	if (r == 0)
		return f;
	(void)fail(c->mountpoint,
		r == -EACCES || r == -EPERM ? SUPAFS_MSG_ASK_DENIED : SUPAFS_MSG_ASK_NO_DAEMON, r,
		p);
	return NULL;
}

int supafs_client_next(FILE *f, struct supafs_answer **ret, char *raw)
{
	char own[SUPAFS_ANSWER_MAX + 2];
	char *line = raw ? raw : own;
	size_t n;
	int r;

	if (!fgets(line, SUPAFS_ANSWER_MAX + 2, f))
		return 0;
	n = strlen(line);
	if (n == 0 || line[n - 1] != '\n')
		return -EPROTO;
	line[n - 1] = '\0';
	r = supafs_answer_parse((struct supafs_str){line, n - 1}, ret);
	return r < 0 ? r : 1;
}

int supafs_client_result(const struct supafs_client *c, const char *what,
	const struct supafs_answer *a, struct supafs_problem *p)
{
	const char *error = a ? supafs_answer_text(a, "error", NULL) : NULL;
	const char *server = a ? supafs_answer_text(a, "server", "") : "";
	char said[700];
	int r;

	if (a && !error)
		return 0;
	if (!a)
		return fail(c->mountpoint, SUPAFS_MSG_ASK_BROKEN, -ECONNRESET, p);
	(void)snprintf(said, sizeof(said), "%s%s%s%s", error, *server ? " (" : "", server,
		*server ? ")" : "");
	supafs_problem_set(p, SUPAFS_MSG_ASK_FAILED, "what", what, "err", said, NULL);
	r = (int)supafs_answer_number(a, "errno", EIO);
	return r > 0 && r < 4096 ? -r : -EIO;
}

int supafs_client_simple(const struct supafs_client *c, const struct supafs_control_request *req,
	const char *what, struct supafs_answer **ret_last, struct supafs_problem *p)
{
	supafs_cleanup(supafs_answer_freep) struct supafs_answer *a = NULL;
	FILE *f = supafs_client_ask(c, req, p);
	int r;

	if (!f)
		return -EIO;
	(void)supafs_client_next(f, &a, NULL);
	(void)fclose(f);
	r = supafs_client_result(c, what, a, p);
	if (r == 0 && ret_last)
		*ret_last = supafs_steal(&a);
	return r;
}
