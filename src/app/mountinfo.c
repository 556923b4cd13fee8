/* SPDX-License-Identifier: Apache-2.0 */
#include "mountinfo.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/parse.h"

#define LINE_MAX_BYTES 16384
#define FIELDS_MAX     32

static void close_file(FILE **f)
{
	if (*f)
		(void)fclose(*f);
}

/* \OOO back to its byte, in place. */
static void unescape(char *s)
{
	char *out = s;

	while (*s) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' &&
			s[3] >= '0' && s[3] <= '7') {
			*out++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
			s += 4;
		} else {
			*out++ = *s++;
		}
	}
	*out = '\0';
}

static uid_t user_of(const char *options)
{
	const char *at = strstr(options, "user_id=");
	uint64_t uid = 0;

	if (!at)
		return 0;
	at += strlen("user_id=");
	struct supafs_str text = {at, strspn(at, "0123456789")};
	return supafs_parse_u64(text, UINT32_MAX, &uid) == 0 ? (uid_t)uid : 0;
}

/* "36 35 98:0 / /mnt rw shared:1 - fuse.supafs supafs:b rw,user_id=0": the part behind "-" comes
 * after a varying number of fields. */
static bool parse_line(char *line, const char *path, struct supafs_mounted *ret)
{
	char *save = NULL, *field[FIELDS_MAX];
	size_t n = 0, dash;

	line[strcspn(line, "\n")] = '\0';
	for (char *t = strtok_r(line, " ", &save); t && n < FIELDS_MAX;
		t = strtok_r(NULL, " ", &save))
		field[n++] = t;
	for (dash = 6; dash < n && strcmp(field[dash], "-") != 0; dash++)
		continue;
	if (dash + 3 >= n)
		return false;
	unescape(field[4]);
	if (strcmp(field[4], path) != 0)
		return false;
	unescape(field[dash + 2]);
	(void)snprintf(ret->type, sizeof(ret->type), "%s", field[dash + 1]);
	(void)snprintf(ret->source, sizeof(ret->source), "%s", field[dash + 2]);
	ret->user = user_of(field[dash + 3]);
	return true;
}

bool supafs_mountinfo_find(const char *path, struct supafs_mounted *ret)
{
	supafs_cleanup(close_file) FILE *f = fopen("/proc/self/mountinfo", "re");
	char line[LINE_MAX_BYTES];
	bool found = false;

	if (!f)
		return false;
	while (fgets(line, sizeof(line), f)) {
		struct supafs_mounted m;

		if (parse_line(line, path, &m)) {
			*ret = m;
			found = true;
		}
	}
	return found;
}

int supafs_mount_path(const char *path, char *out)
{
	char copy[PATH_MAX], *slash, *name;
	size_t n = strlen(path);
	int w;

	if (realpath(path, out))
		return 0;
	if (errno != ENOTCONN && errno != EIO)
		return -errno;
	/* Its own name cannot be asked for, but the folder it is in can. */
	if (n == 0 || n >= sizeof(copy))
		return -ENAMETOOLONG;
	(void)snprintf(copy, sizeof(copy), "%s", path);
	while (n > 1 && copy[n - 1] == '/')
		copy[--n] = '\0';
	slash = strrchr(copy, '/');
	name = slash ? slash + 1 : copy;
	if (slash)
		*slash = '\0';
	supafs_autofree char *parent = realpath(!slash ? "." : *copy ? copy : "/", NULL);
	if (!parent)
		return -errno;
	w = snprintf(out, PATH_MAX, "%s/%s", strcmp(parent, "/") == 0 ? "" : parent, name);
	return w < PATH_MAX ? 0 : -ENAMETOOLONG;
}
