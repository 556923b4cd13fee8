/* SPDX-License-Identifier: Apache-2.0 */
/* Names, patterns and times of the Storage API. */
#include "keys.h"

#include <ctype.h>
#include <stdio.h>
#include <time.h>

#include "supafs/util/limits.h"

static bool class_has(unsigned char c)
{
	if (c >= 0x80 || c == 0)
		return false;
	return isalnum(c) || strchr("_/!.*'() &$=@;:+,?-", c) != NULL;
}

bool serve_key_valid(struct supafs_str key)
{
	for (size_t i = 0; i < key.n; i++) {
		if (!class_has((unsigned char)key.p[i]))
			return false;
	}
	return key.n > 0;
}

/* The next segment of *rest, which moves behind it; false at the end. */
static bool next_segment(struct supafs_str *rest, struct supafs_str *ret_segment)
{
	const char *slash;

	if (!rest->p)
		return false;
	slash = memchr(rest->p, '/', rest->n);
	*ret_segment = *rest;
	if (!slash) {
		rest->p = NULL;
		return true;
	}
	ret_segment->n = (size_t)(slash - rest->p);
	rest->n -= ret_segment->n + 1;
	rest->p = slash + 1;
	return true;
}

bool serve_key_has_dots(struct supafs_str key)
{
	struct supafs_str segment;

	while (next_segment(&key, &segment)) {
		if (supafs_str_eq(segment, SUPAFS_STR(".")) ||
			supafs_str_eq(segment, SUPAFS_STR("..")))
			return true;
	}
	return false;
}

bool serve_key_too_long(struct supafs_str key)
{
	struct supafs_str segment;

	while (next_segment(&key, &segment)) {
		if (segment.n > SUPAFS_SEG_MAX)
			return true;
	}
	return false;
}

bool serve_bucket_name_valid(struct supafs_str name)
{
	if (name.n == 0 || name.n > SUPAFS_BUCKET_MAX || !serve_key_valid(name))
		return false;
	if (memchr(name.p, '/', name.n) || name.p[0] == ' ' || name.p[name.n - 1] == ' ')
		return false;
	return !supafs_str_ends(name, SUPAFS_STR("--table-s3"));
}

/* Linear: on a mismatch only the last '*' takes one byte more. */
bool serve_glob(struct supafs_str pattern, struct supafs_str text)
{
	size_t p = 0, t = 0, star = SIZE_MAX, mark = 0;

	while (t < text.n) {
		if (p < pattern.n && pattern.p[p] == '*') {
			star = p++;
			mark = t;
		} else if (p < pattern.n && (pattern.p[p] == '?' || pattern.p[p] == text.p[t])) {
			p++;
			t++;
		} else if (star != SIZE_MAX) {
			p = star + 1;
			t = ++mark;
		} else {
			return false;
		}
	}
	while (p < pattern.n && pattern.p[p] == '*')
		p++;
	return p == pattern.n;
}

int64_t serve_now_us(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

void serve_format_iso(int64_t us, char out[32])
{
	time_t s = (time_t)(us / 1000000);
	unsigned ms = (unsigned)(us / 1000 % 1000);
	struct tm tm;
	size_t n;

	(void)gmtime_r(&s, &tm);
	n = strftime(out, 32, "%Y-%m-%dT%H:%M:%S", &tm);
	(void)snprintf(out + n, 32 - n, ".%03uZ", ms % 1000);
}

void serve_format_http(int64_t us, char out[32])
{
	static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
	static const char months[12][4] = {
		"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	time_t s = (time_t)(us / 1000000);
	char rest[20];
	struct tm tm;

	(void)gmtime_r(&s, &tm);
	(void)strftime(rest, sizeof(rest), "%Y %H:%M:%S", &tm);
	(void)snprintf(out, 32, "%s, %02u %s %s GMT", days[tm.tm_wday % 7],
		(unsigned)tm.tm_mday % 100, months[tm.tm_mon % 12], rest);
}
