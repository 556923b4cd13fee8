/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log lines on stderr: "<3>" priorities when it is the journal that JOURNAL_STREAM
 * names, a UTC timestamp otherwise. Control bytes and non-printing bytes are escaped (\xHH), and
 * everything that looks like a secret is replaced by one function, supafs_log_redact():
 * JWTs (three base64url parts), sb_secret_…, sb_publishable_…, token=…, Authorization
 * and apikey values, and any string registered with supafs_log_add_secret().
 *
 * Library layers log at debug only (SUPAFS_DEBUG names their components); the fuse
 * layer, a worker that gives up, and app/ log errors. Any thread; never under a lock.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum supafs_log_level {
	SUPAFS_LOG_ERROR = 3,
	SUPAFS_LOG_WARN = 4,
	SUPAFS_LOG_INFO = 6,
	SUPAFS_LOG_DEBUG = 7,
};

/* Components of SUPAFS_DEBUG, a comma list; "all", "help" (prints them). */
enum supafs_log_part {
	SUPAFS_PART_HTTP,
	SUPAFS_PART_STORE,
	SUPAFS_PART_CACHE,
	SUPAFS_PART_VFS,
	SUPAFS_PART_FUSE,
	SUPAFS_PART_APP,
	SUPAFS_PART__COUNT,
};

/* Reads JOURNAL_STREAM and the mask; once, before threads. 0, or -EINVAL for an unknown component.
 */
int supafs_log_init(enum supafs_log_level level, const char *debug_mask);
/* Remembers a secret (copied, at most 8, ≥ 8 bytes each) so that it is never printed. */
int supafs_log_add_secret(const char *secret);
/* The copies are in locked memory; a child of fork() locks its own. */
void supafs_log_lock_secrets(void);
/* Wipes the remembered secrets. */
void supafs_log_fini(void);

#define SUPAFS_LOG_LAST 1024

/* The last error line without its time, redacted, into `out`; when it was (wall clock; 0 and "":
 * there was none). */
int64_t supafs_log_last_error(char *out, size_t size);

/* One line; the text must not end in a newline. */
void supafs_log(enum supafs_log_level level, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* True when debug lines of `part` are wanted: one load and a branch. */
bool supafs_debug_on(enum supafs_log_part part);
void supafs_debug_line(enum supafs_log_part part, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
#define supafs_debug(part, ...)                                                                    \
	do {                                                                                       \
		if (supafs_debug_on(part))                                                         \
			supafs_debug_line(part, __VA_ARGS__);                                      \
	} while (0)

/* Escapes and redacts `in` into `out` (always NUL-terminated, cut at `size`). The one place that
 * knows what a secret looks like; also used for messages to users. Returns the length. */
size_t supafs_log_redact(const char *in, size_t n, char *out, size_t size);
