/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything that the program says to the person who started it, in one table: what was tried,
 * what came back, what to do. docs/troubleshooting.md has each of them (a test compares).
 *
 * A text has places in braces, {mnt}; arguments are pairs of name and value. Values are made
 * printable and cleaned of secrets (supafs_log_redact).
 */
#pragma once

#include <stddef.h>

#define SUPAFS_PROBLEM_MAX 1600

enum supafs_msg {
	/* The command line */
	SUPAFS_MSG_USAGE,
	SUPAFS_MSG_COMMAND,
	SUPAFS_MSG_OPT_UNKNOWN,
	SUPAFS_MSG_OPT_NO_VALUE,
	SUPAFS_MSG_OPT_NEEDS_VALUE,
	SUPAFS_MSG_OPT_VALUE,
	SUPAFS_MSG_OPT_RANGE,
	SUPAFS_MSG_ALLOW_OTHER_PERMS,
	SUPAFS_MSG_ALLOW_OTHER_CONF,
	/* Configuration */
	SUPAFS_MSG_NO_URL,
	SUPAFS_MSG_BAD_URL,
	SUPAFS_MSG_PLAIN_HTTP,
	SUPAFS_MSG_NO_KEY,
	SUPAFS_MSG_BAD_KEY,
	SUPAFS_MSG_NO_ANON_KEY,
	SUPAFS_MSG_NO_BUCKET,
	SUPAFS_MSG_BAD_BUCKET,
	SUPAFS_MSG_BAD_PREFIX,
	SUPAFS_MSG_NO_MOUNTPOINT,
	SUPAFS_MSG_FILE_READ,
	SUPAFS_MSG_FILE_SYNTAX,
	SUPAFS_MSG_FILE_OPEN_TO_OTHERS,
	SUPAFS_MSG_FILE_OWNER,
	SUPAFS_MSG_CONFIG_MISSING,
	SUPAFS_MSG_CONFIG_NAME,
	SUPAFS_MSG_CACERT,
	SUPAFS_MSG_KEY_FILE,
	SUPAFS_MSG_TOKEN_OLD,
	/* The mount point and FUSE */
	SUPAFS_MSG_MNT_MISSING,
	SUPAFS_MSG_MNT_NOT_DIR,
	SUPAFS_MSG_MNT_NOT_EMPTY,
	SUPAFS_MSG_MNT_MOUNTED,
	SUPAFS_MSG_MNT_DEAD,
	SUPAFS_MSG_MNT_DENIED,
	SUPAFS_MSG_NO_DEV_FUSE,
	SUPAFS_MSG_DEV_FUSE_DENIED,
	SUPAFS_MSG_NO_FUSERMOUNT,
	SUPAFS_MSG_FUSE_REFUSED,
	/* The cache folder */
	SUPAFS_MSG_CACHE_DENIED,
	SUPAFS_MSG_CACHE_OPEN_TO_OTHERS,
	SUPAFS_MSG_CACHE_BUSY,
	SUPAFS_MSG_CACHE_NOWHERE,
	SUPAFS_MSG_LOG_FILE,
	/* The server */
	SUPAFS_MSG_UNREACHABLE,
	SUPAFS_MSG_SERVER_SILENT,
	SUPAFS_MSG_TLS,
	SUPAFS_MSG_WRONG_URL,
	SUPAFS_MSG_KEY_REFUSED,
	SUPAFS_MSG_KEY_EXPIRED,
	SUPAFS_MSG_BUCKET_MISSING,
	SUPAFS_MSG_BUCKET_HIDDEN,
	SUPAFS_MSG_SERVER_OLD,
	SUPAFS_MSG_PROJECT_PAUSED,
	SUPAFS_MSG_SERVER_ERROR,
	/* Ending */
	SUPAFS_MSG_LEFT,
	SUPAFS_MSG_UMOUNT_NOT_MOUNTED,
	SUPAFS_MSG_UMOUNT_NOT_OURS,
	SUPAFS_MSG_UMOUNT_BUSY,
	SUPAFS_MSG_UMOUNT_FAILED,
	SUPAFS_MSG_UMOUNT_KILLED,
	SUPAFS_MSG_UMOUNT_SLOW,
	SUPAFS_MSG_UMOUNT_CLEARED,
	SUPAFS_MSG_LEFT_FILE,
	/* Asking a mount */
	SUPAFS_MSG_ASK_PATH,
	SUPAFS_MSG_ASK_OUTSIDE,
	SUPAFS_MSG_ASK_DENIED,
	SUPAFS_MSG_ASK_NO_DAEMON,
	SUPAFS_MSG_ASK_BROKEN,
	SUPAFS_MSG_ASK_FAILED,
	SUPAFS_MSG_FLUSH_LEFT,
	SUPAFS_MSG_NOT_PENDING,
	SUPAFS_MSG_SAVE_DIR,
	SUPAFS_MSG_SAVE_FAILED,
	SUPAFS_MSG_URL_FILE,
	SUPAFS_MSG_URL_PRIVATE,
	SUPAFS_MSG_CONTROL,
	/* Others */
	SUPAFS_MSG_SERVE_MISSING,
	SUPAFS_MSG_SYSTEM,
	SUPAFS_MSG__COUNT,
};

/* The text with its places; static storage. */
const char *supafs_msg_text(enum supafs_msg id);

/* What went wrong, for the caller to show; text "" = nothing. */
struct supafs_problem {
	enum supafs_msg id;
	char text[SUPAFS_PROBLEM_MAX];
};

/* Fills `p`: pairs "name", value, …, ended by NULL. A value NULL reads as "". */
void supafs_problem_set(struct supafs_problem *p, enum supafs_msg id, ...)
	__attribute__((sentinel));
/* "supafs: TEXT" on standard error. */
void supafs_problem_print(const struct supafs_problem *p);
