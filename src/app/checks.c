/* SPDX-License-Identifier: Apache-2.0 */
#include "checks.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "supafs/util/buf.h"
#include "supafs/util/cleanup.h"
#include "supafs/util/file.h"

#include "mountinfo.h"

#define FUSE_CONF_MAX 65536

static int refuse(int r, enum supafs_msg id, const char *mnt, struct supafs_problem *p)
{
	supafs_problem_set(p, id, "mnt", mnt, "err", strerrordesc_np(-r), NULL);
	return r;
}

static int check_not_mounted(const char *path, struct supafs_problem *p)
{
	struct supafs_mounted m;
	struct stat st;
	char what[PATH_MAX + 80];

	if (!supafs_mountinfo_find(path, &m))
		return 0;
	if (strncmp(m.type, "fuse", 4) == 0 && stat(path, &st) != 0 && errno == ENOTCONN)
		return refuse(-ENOTCONN, SUPAFS_MSG_MNT_DEAD, path, p);
	(void)snprintf(what, sizeof(what), "%s, %s", m.type, m.source);
	supafs_problem_set(p, SUPAFS_MSG_MNT_MOUNTED, "mnt", path, "what", what, NULL);
	return -EBUSY;
}

static void close_dir(DIR **d)
{
	if (*d)
		(void)closedir(*d);
}

static int check_empty(const char *path, struct supafs_problem *p)
{
	supafs_cleanup(close_dir) DIR *d = opendir(path);
	const struct dirent *e;

	if (!d)
		return refuse(-errno, SUPAFS_MSG_MNT_DENIED, path, p);
	while ((e = readdir(d)) != NULL) { // NOLINT(concurrency-mt-unsafe)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			return refuse(-ENOTEMPTY, SUPAFS_MSG_MNT_NOT_EMPTY, path, p);
	}
	return 0;
}

int supafs_check_mountpoint(const char *given, char *ret_path, struct supafs_problem *p)
{
	struct stat st;
	int r = supafs_mount_path(given, ret_path);

	if (r < 0)
		return refuse(
			r, r == -ENOENT ? SUPAFS_MSG_MNT_MISSING : SUPAFS_MSG_MNT_DENIED, given, p);
	r = check_not_mounted(ret_path, p);
	if (r < 0)
		return r;
	if (stat(ret_path, &st) != 0)
		return refuse(-errno, SUPAFS_MSG_MNT_DENIED, ret_path, p);
	if (!S_ISDIR(st.st_mode))
		return refuse(-ENOTDIR, SUPAFS_MSG_MNT_NOT_DIR, ret_path, p);
	if (access(ret_path, W_OK) != 0)
		return refuse(-errno, SUPAFS_MSG_MNT_DENIED, ret_path, p);
	return check_empty(ret_path, p);
}

static bool in_path(const char *program)
{
	const char *path = secure_getenv("PATH");
	char full[PATH_MAX];

	while (path && *path) {
		size_t n = strcspn(path, ":");

		(void)snprintf(full, sizeof(full), "%.*s/%s", (int)n, path, program);
		if (access(full, X_OK) == 0)
			return true;
		path += n + (path[n] == ':');
	}
	(void)snprintf(full, sizeof(full), "/usr/bin/%s", program);
	return access(full, X_OK) == 0;
}

/* A line that is exactly the word, blanks and comments aside. */
static bool users_may_allow_other(void)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf b;
	char *save = NULL;

	supafs_buf_init(&b, FUSE_CONF_MAX);
	if (supafs_file_read("/etc/fuse.conf", &b) < 0 || !b.p)
		return false;
	for (char *line = strtok_r(b.p, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		size_t n;

		line += strspn(line, " \t");
		n = strcspn(line, " \t\r#");
		if (supafs_str_eq((struct supafs_str){line, n}, SUPAFS_STR("user_allow_other")))
			return true;
	}
	return false;
}

int supafs_check_fuse(bool allow_other, struct supafs_problem *p)
{
	supafs_autoclose int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	int err = errno;

	if (fd < 0 && (err == ENOENT || err == ENODEV || err == ENXIO))
		return refuse(-err, SUPAFS_MSG_NO_DEV_FUSE, "", p);
	if (fd < 0)
		return refuse(-err, SUPAFS_MSG_DEV_FUSE_DENIED, "", p);
	if (geteuid() == 0)
		return 0;
	if (!in_path("fusermount3"))
		return refuse(-ENOENT, SUPAFS_MSG_NO_FUSERMOUNT, "", p);
	if (allow_other && !users_may_allow_other())
		return refuse(-EPERM, SUPAFS_MSG_ALLOW_OTHER_CONF, "", p);
	return 0;
}
