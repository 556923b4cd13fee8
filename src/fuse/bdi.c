/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Read-ahead of the mount: the kernel starts at 128 KiB whatever was agreed at init, and reads the
 * figure from /sys/class/bdi/MAJ:MIN/read_ahead_kb, which root may raise. Failing costs speed only.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/log.h"

#include "op.h"

#define MOUNTINFO_LINE 8192

/* mountinfo writes blank, tab, newline and backslash of a path as \OOO. */
static void escape_path(const char *path, char *out, size_t size)
{
	size_t n = 0;

	for (; *path && n + 5 < size; path++) {
		if (*path == ' ' || *path == '\t' || *path == '\n' || *path == '\\')
			n += (size_t)snprintf(
				out + n, size - n, "\\%03o", (unsigned)(unsigned char)*path);
		else
			out[n++] = *path;
	}
	out[n] = '\0';
}

static void close_file(FILE **f)
{
	if (*f)
		(void)fclose(*f);
}

/* "36 35 98:0 /root /mnt/point …": asking the mount itself would wait for our own answer. The last
 * line of that path is the mount on top. */
static bool device_of(const char *mountpoint, char *ret, size_t size)
{
	char line[MOUNTINFO_LINE], want[MOUNTINFO_LINE];
	supafs_cleanup(close_file) FILE *f = fopen("/proc/self/mountinfo", "re");
	bool found = false;

	if (!f)
		return false;
	escape_path(mountpoint, want, sizeof(want));
	while (fgets(line, sizeof(line), f)) {
		char *save = NULL, *field[5] = {NULL};
		size_t n = 0;

		for (char *t = strtok_r(line, " ", &save); t && n < 5;
			t = strtok_r(NULL, " ", &save))
			field[n++] = t;
		if (n == 5 && strcmp(field[4], want) == 0) {
			(void)snprintf(ret, size, "%s", field[2]);
			found = true;
		}
	}
	return found;
}

void raise_read_ahead(const char *mountpoint, uint64_t bytes)
{
	char device[32], path[96], value[24];

	if (!mountpoint || geteuid() != 0 || !device_of(mountpoint, device, sizeof(device)))
		return;
	(void)snprintf(path, sizeof(path), "/sys/class/bdi/%s/read_ahead_kb", device);
	int n = snprintf(value, sizeof(value), "%llu\n", (unsigned long long)(bytes >> 10));
	supafs_autoclose int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, value, (size_t)n) != n)
		supafs_debug(SUPAFS_PART_FUSE, "read-ahead stays as the kernel has it (%s)", path);
}
