/* SPDX-License-Identifier: Apache-2.0 */
#include "place.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/file.h"

#define FNV_OFFSET UINT64_C(0xcbf29ce484222325)
#define FNV_PRIME  UINT64_C(0x100000001b3)

uint64_t supafs_stable_hash(const char *text)
{
	uint64_t h = FNV_OFFSET;

	for (; *text; text++) {
		h ^= (unsigned char)*text;
		h *= FNV_PRIME;
	}
	return h;
}

int supafs_place_cache_base(const char *option, char *out, struct supafs_problem *p)
{
	const char *xdg = secure_getenv("XDG_CACHE_HOME"), *home = secure_getenv("HOME");
	int n;

	if (option && *option) {
		/* The daemon leaves its folder: relative paths end here. */
		supafs_autofree char *cwd = *option == '/' ? NULL : getcwd(NULL, 0);

		n = snprintf(out, PATH_MAX, "%s%s%s", cwd ? cwd : "", cwd ? "/" : "", option);
	} else if (xdg && *xdg == '/') {
		n = snprintf(out, PATH_MAX, "%s/supafs", xdg);
	} else if (geteuid() == 0) {
		n = snprintf(out, PATH_MAX, "/var/cache/supafs");
	} else if (home && *home == '/') {
		n = snprintf(out, PATH_MAX, "%s/.cache/supafs", home);
	} else {
		supafs_problem_set(p, SUPAFS_MSG_CACHE_NOWHERE, NULL);
		return -ENOENT;
	}
	return n < PATH_MAX ? 0 : -ENAMETOOLONG;
}

static int refuse(int r, const char *dir, struct supafs_problem *p)
{
	struct stat st;
	enum supafs_msg id = SUPAFS_MSG_CACHE_DENIED;

	if (r == -EACCES && lstat(dir, &st) == 0 &&
		(!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077)))
		id = SUPAFS_MSG_CACHE_OPEN_TO_OTHERS;
	supafs_problem_set(p, id, "dir", dir, "err", strerrordesc_np(-r), NULL);
	return r;
}

/* Root may write where the mode forbids it, but not on a read-only disk: only trying tells. */
static int try_write(const char *dir)
{
	supafs_autoclose int fd = open(dir, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);

	if (fd >= 0)
		return 0;
	if (errno != EOPNOTSUPP && errno != EISDIR)
		return -errno;
	return access(dir, W_OK) == 0 ? 0 : -errno;
}

/* A bucket's name as part of a file name. */
static void readable(const char *bucket, char *out, size_t size)
{
	size_t n = 0;

	for (; *bucket && n + 1 < size; bucket++)
		out[n++] = isalnum((unsigned char)*bucket) ? *bucket : '-';
	out[n] = '\0';
}

int supafs_place_cache(
	const char *base, const struct supafs_identity *id, char *out, struct supafs_problem *p)
{
	char text[4 * PATH_MAX], name[48];
	int r = supafs_dir_private(base), n;

	if (r == 0)
		r = try_write(base);
	if (r < 0)
		return refuse(r, base, p);
	(void)snprintf(text, sizeof(text), "%s\n%s\n%s\n%s", id->url, id->bucket, id->prefix,
		id->mountpoint);
	readable(id->bucket, name, sizeof(name));
	n = snprintf(out, PATH_MAX, "%s/%s-%016llx", base, name,
		(unsigned long long)supafs_stable_hash(text));
	if (n >= PATH_MAX)
		return refuse(-ENAMETOOLONG, base, p);
	r = supafs_dir_private(out);
	return r < 0 ? refuse(r, out, p) : 0;
}

int supafs_place_records(uid_t user, char *out)
{
	const char *run = secure_getenv("XDG_RUNTIME_DIR");
	struct supafs_problem p;
	char base[PATH_MAX];
	int n;

	if (user == 0) {
		n = snprintf(out, PATH_MAX, "/run/supafs");
	} else if (user != geteuid()) {
		n = snprintf(out, PATH_MAX, "/run/user/%u/supafs", (unsigned)user);
	} else if (run && *run == '/') {
		n = snprintf(out, PATH_MAX, "%s/supafs", run);
	} else {
		if (supafs_place_cache_base(NULL, base, &p) < 0)
			return -ENOENT;
		n = snprintf(out, PATH_MAX, "%s/run", base);
	}
	return n < PATH_MAX ? 0 : -ENOENT;
}
