/* SPDX-License-Identifier: Apache-2.0 */
/* Log lines on stderr, and the only place that knows the registered secrets. */
#include "supafs/util/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/clock.h"
#include "supafs/util/limits.h"
#include "supafs/util/lock.h"
#include "supafs/util/secret.h"

#include "log_priv.h"

enum {
	SECRETS_MAX = 8,
	SECRET_MIN = 8,
	TEXT_MAX = 4096, /* bytes of a line's text that are shown, before escaping */
};

/* Level, mask and journal are written by init() before there are threads. A secret is in
 * place before the count that makes it visible grows. */
static enum supafs_log_level log_level = SUPAFS_LOG_INFO;
static unsigned debug_parts;
static bool to_journal;
static char *copies[SECRETS_MAX]; /* what the views below are of */
static struct supafs_str secrets[SECRETS_MAX];
static _Atomic size_t secret_count;
static struct supafs_mutex last_lock = {PTHREAD_MUTEX_INITIALIZER}; /* a leaf */
static char last_error[SUPAFS_LOG_LAST];                            /* last_lock */
static int64_t last_error_ns;                                       /* last_lock; 0: none */

static const char *const part_names[SUPAFS_PART__COUNT] = {
	[SUPAFS_PART_HTTP] = "http",
	[SUPAFS_PART_STORE] = "store",
	[SUPAFS_PART_CACHE] = "cache",
	[SUPAFS_PART_VFS] = "vfs",
	[SUPAFS_PART_FUSE] = "fuse",
	[SUPAFS_PART_APP] = "app",
};

static void write_all(const char *p, size_t n)
{
	while (n > 0) {
		const ssize_t r = write(STDERR_FILENO, p, n);

		if (r < 0 && errno != EINTR)
			return;
		p += r > 0 ? r : 0;
		n -= r > 0 ? (size_t)r : 0;
	}
}

/* True if stderr is the socket that the journal gave us, and no redirection of it. */
static bool stderr_is_journal(void)
{
	const char *want = secure_getenv("JOURNAL_STREAM");
	struct stat st;
	char have[64];

	if (!want || fstat(STDERR_FILENO, &st) != 0)
		return false;
	(void)snprintf(have, sizeof(have), "%llu:%llu", (unsigned long long)st.st_dev,
		(unsigned long long)st.st_ino);
	return strcmp(want, have) == 0;
}

static void print_parts(void)
{
	char text[128] = "SUPAFS_DEBUG takes a comma list of: all";
	size_t n = strlen(text);

	for (size_t i = 0; i < SUPAFS_PART__COUNT; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, " %s", part_names[i]);
	text[n++] = '\n';
	write_all(text, n);
}

static int parse_part(struct supafs_str word, unsigned *mask)
{
	if (supafs_str_eq(word, SUPAFS_STR("all"))) {
		*mask |= (1U << SUPAFS_PART__COUNT) - 1;
		return 0;
	}
	if (supafs_str_eq(word, SUPAFS_STR("help"))) {
		print_parts();
		return 0;
	}
	for (unsigned i = 0; i < SUPAFS_PART__COUNT; i++) {
		if (supafs_str_eq(word, supafs_str_of(part_names[i]))) {
			*mask |= 1U << i;
			return 0;
		}
	}
	return -EINVAL;
}

int supafs_log_init(enum supafs_log_level level, const char *debug_mask)
{
	unsigned mask = 0;

	for (const char *at = debug_mask; at && *at;) {
		const size_t n = strcspn(at, ",");
		const int r = n > 0 ? parse_part((struct supafs_str){at, n}, &mask) : 0;

		if (r != 0)
			return r;
		at += n + (at[n] == ',' ? 1 : 0);
	}
	log_level = level;
	debug_parts = mask;
	to_journal = stderr_is_journal();
	return 0;
}

int supafs_log_add_secret(const char *secret)
{
	const struct supafs_str s = supafs_str_of(secret);
	const size_t count = secret_count;
	char *copy = NULL;

	if (s.n < SECRET_MIN)
		return -EINVAL;
	for (size_t i = 0; i < count; i++) {
		if (supafs_str_eq(secrets[i], s))
			return 0;
	}
	if (count == SECRETS_MAX)
		return -ENOSPC;
	copy = supafs_secret_dup(s);
	if (!copy)
		return -ENOMEM;
	copies[count] = copy;
	secrets[count] = (struct supafs_str){copy, s.n};
	secret_count = count + 1;
	return 0;
}

void supafs_log_lock_secrets(void)
{
	for (size_t i = 0; i < secret_count; i++)
		supafs_secret_lock(copies[i]);
}

void supafs_log_fini(void)
{
	const size_t count = secret_count;

	secret_count = 0;
	for (size_t i = 0; i < count; i++) {
		copies[i] = supafs_secret_free(copies[i]);
		secrets[i] = (struct supafs_str){NULL, 0};
	}
}

size_t supafs_log_redact(const char *in, size_t n, char *out, size_t size)
{
	if (size == 0)
		return 0;
	return supafs_redact((struct supafs_str){in, n}, n, secrets, secret_count, out, size);
}

static const char *level_name(enum supafs_log_level level)
{
	switch (level) {
	case SUPAFS_LOG_ERROR:
		return "error";
	case SUPAFS_LOG_WARN:
		return "warning";
	case SUPAFS_LOG_INFO:
		return "info";
	case SUPAFS_LOG_DEBUG:
		return "debug";
	}
	return "";
}

/* "<3>" or "2026-11-24T00:20:48.794Z error: " */
static size_t format_prefix(enum supafs_log_level level, char *out, size_t size)
{
	const struct supafs_clock *clock = supafs_clock_system();
	const int64_t now = clock->wall_ns(clock);
	const time_t seconds = (time_t)(now / SUPAFS_NS_PER_S);
	const int ms = (int)(now % SUPAFS_NS_PER_S / SUPAFS_NS_PER_MS);
	struct tm tm = {0};
	size_t n = 0;

	if (to_journal)
		return (size_t)snprintf(out, size, "<%d>", (int)level);
	(void)gmtime_r(&seconds, &tm);
	n = strftime(out, size, "%Y-%m-%dT%H:%M:%S", &tm);
	return n + (size_t)snprintf(out + n, size - n, ".%03dZ %s: ", ms, level_name(level));
}

/* `text`: as it is shown. */
static void keep_error(const char *text, size_t n)
{
	const struct supafs_clock *clock = supafs_clock_system();
	const int64_t now = clock->wall_ns(clock);

	SUPAFS_SCOPED_LOCK(&last_lock);
	(void)snprintf(last_error, sizeof(last_error), "%.*s", (int)n, text);
	last_error_ns = now;
}

int64_t supafs_log_last_error(char *out, size_t size)
{
	SUPAFS_SCOPED_LOCK(&last_lock);
	(void)snprintf(out, size, "%s", last_error);
	return last_error_ns;
}

static void print_line(enum supafs_log_level level, const char *part, const char *fmt, va_list ap)
	__attribute__((format(printf, 3, 0)));
static void print_line(enum supafs_log_level level, const char *part, const char *fmt, va_list ap)
{
	/* One write of one line, so that lines of several threads do not mix. A secret that begins
	 * in what is shown must be there whole, or it would not be known as one. */
	char text[TEXT_MAX + SUPAFS_SECRET_MAX];
	char line[TEXT_MAX + 512];
	const int saved = errno;
	size_t n = format_prefix(level, line, 128);
	const size_t start = n;
	int length = vsnprintf(text, sizeof(text), fmt, ap);

	if (length < 0)
		length = 0;
	if ((size_t)length >= sizeof(text))
		length = (int)sizeof(text) - 1;
	if (part)
		n += (size_t)snprintf(line + n, 32, "%s: ", part);
	n += supafs_redact((struct supafs_str){text, (size_t)length}, TEXT_MAX, secrets,
		secret_count, line + n, sizeof(line) - n - 1);
	if (level == SUPAFS_LOG_ERROR)
		keep_error(line + start, n - start);
	line[n++] = '\n';
	write_all(line, n);
	errno = saved;
}

void supafs_log(enum supafs_log_level level, const char *fmt, ...)
{
	va_list ap;

	if (level > log_level)
		return;
	va_start(ap, fmt);
	print_line(level, NULL, fmt, ap);
	va_end(ap);
}

bool supafs_debug_on(enum supafs_log_part part)
{
	return (debug_parts >> part & 1) != 0;
}

void supafs_debug_line(enum supafs_log_part part, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	print_line(SUPAFS_LOG_DEBUG, part_names[part], fmt, ap);
	va_end(ap);
}
