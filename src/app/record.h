/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A mount's record: how `supafs umount` finds the daemon and hears how it ended.
 *
 *	RECORDS/HASH.mount   written when the mount answers, removed by the daemon at its end
 *	RECORDS/HASH.exit    written just before, read and removed by umount
 *
 * An exit record that nobody asks for is removed an hour later, at the next mount.
 * Both are NAME="value" lines. What they say is believed only as far as the process with that
 * pid has that start time.
 */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "supafs/util/str.h"

struct supafs_record {
	char mountpoint[PATH_MAX];
	pid_t pid;
	uint64_t start;       /* of the process, in clock ticks since boot */
	char cache[PATH_MAX]; /* the mount's own folder */
	char log[PATH_MAX];   /* "" if it logs to its terminal or the journal */
	uint64_t drain_ms;
	/* in the exit record */
	bool ended;
	uint64_t left; /* files that could not be uploaded */
};

/* 0 or -errno. The folder is made. */
int supafs_record_write(const struct supafs_record *rec);
/* Writes the exit record, removes the other. `files`: lines of what is left, "name: why",
 * printable; the first ones are kept. */
int supafs_record_end(const struct supafs_record *rec, struct supafs_str files);
/* The record of what `user` mounted at `mountpoint`; `ended` tells whether an exit record is there
 * (of the same process). 0, -ENOENT. */
int supafs_record_read(uid_t user, const char *mountpoint, struct supafs_record *ret);
/* Reads the exit record of the same process. `fn` (may be NULL): each line of what is left. */
int supafs_record_read_exit(uid_t user, const struct supafs_record *rec, uint64_t *ret_left,
	void (*fn)(const char *file));
/* Removes both. */
void supafs_record_forget(uid_t user, const char *mountpoint);

/* Start time of a process; 0 if it is gone. */
uint64_t supafs_process_start(pid_t pid);
