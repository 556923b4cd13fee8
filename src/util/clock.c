/* SPDX-License-Identifier: Apache-2.0 */
/* Clocks, the server's date formats, and random numbers. */
#include "supafs/util/clock.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

static int64_t to_ns(const struct timespec *t)
{
	return (int64_t)t->tv_sec * SUPAFS_NS_PER_S + t->tv_nsec;
}

static int64_t system_mono(const struct supafs_clock *c)
{
	struct timespec t = {0};

	(void)c;
	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return to_ns(&t);
}

static int64_t system_wall(const struct supafs_clock *c)
{
	struct timespec t = {0};

	(void)c;
	(void)clock_gettime(CLOCK_REALTIME, &t);
	return to_ns(&t);
}

static void system_sleep(const struct supafs_clock *c, int64_t until_ns)
{
	const struct timespec until = supafs_timespec(until_ns);

	(void)c;
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
		;
}

const struct supafs_clock *supafs_clock_system(void)
{
	static const struct supafs_clock clock = {
		.mono_ns = system_mono,
		.wall_ns = system_wall,
		.sleep_until = system_sleep,
	};

	return &clock;
}

/* The interface is const for the real clock's sake; a fake one is its owner's, and moves. */
static struct supafs_fake_clock *fake_of(const struct supafs_clock *c)
{
	struct supafs_fake_clock *f = NULL;

	memcpy(&f, &c, sizeof(c)); /* NOLINT(bugprone-sizeof-expression): the pointer is meant */
	return f;
}

static int64_t fake_mono(const struct supafs_clock *c)
{
	return fake_of(c)->mono;
}

static int64_t fake_wall(const struct supafs_clock *c)
{
	return fake_of(c)->wall;
}

static void fake_sleep(const struct supafs_clock *c, int64_t until_ns)
{
	struct supafs_fake_clock *f = fake_of(c);
	const int64_t by = until_ns - f->mono;

	if (by > 0)
		supafs_fake_clock_advance(f, by);
}

void supafs_fake_clock_init(struct supafs_fake_clock *f, int64_t mono_ns, int64_t wall_ns)
{
	f->base = (struct supafs_clock){
		.mono_ns = fake_mono,
		.wall_ns = fake_wall,
		.sleep_until = fake_sleep,
	};
	f->mono = mono_ns;
	f->wall = wall_ns;
}

void supafs_fake_clock_advance(struct supafs_fake_clock *f, int64_t by_ns)
{
	f->mono += by_ns;
	f->wall += by_ns;
}

struct timespec supafs_timespec(int64_t ns)
{
	return (struct timespec){
		.tv_sec = (time_t)(ns / SUPAFS_NS_PER_S),
		.tv_nsec = (long)(ns % SUPAFS_NS_PER_S),
	};
}

/* --- Dates ------------------------------------------------------------------------------- */

struct text {
	const char *p;
	size_t n;
};

/* Takes exactly `digits` decimal digits. */
static bool take_number(struct text *t, size_t digits, int *ret)
{
	int v = 0;

	if (t->n < digits)
		return false;
	for (size_t i = 0; i < digits; i++) {
		if (t->p[i] < '0' || t->p[i] > '9')
			return false;
		v = v * 10 + (t->p[i] - '0');
	}
	t->p += digits;
	t->n -= digits;
	*ret = v;
	return true;
}

static bool take_text(struct text *t, const char *want)
{
	const size_t n = strlen(want);

	if (t->n < n || memcmp(t->p, want, n) != 0)
		return false;
	t->p += n;
	t->n -= n;
	return true;
}

/* Index of the three letters in `table` ("JanFeb…"), or -1. */
static int take_word(struct text *t, const char *table)
{
	for (int i = 0; table[i] && t->n >= 3; i += 3) {
		if (memcmp(t->p, table + i, 3) == 0) {
			t->p += 3;
			t->n -= 3;
			return i / 3;
		}
	}
	return -1;
}

static bool leap(int year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

/* Days since 1970-01-01 (H. Hinnant, "chrono-compatible low-level date algorithms", civil). */
static int64_t days_of(int year, int month, int day)
{
	const int64_t y = month <= 2 ? year - 1 : year;
	const int64_t era = (y >= 0 ? y : y - 399) / 400;
	const int64_t yoe = y - era * 400;
	const int64_t doy = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
	const int64_t doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;

	return era * 146097 + doe - 719468;
}

static int seconds_of(const struct tm *tm, int64_t *ret_s)
{
	static const int days_in[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	int last = 0;

	if (tm->tm_mon < 1 || tm->tm_mon > 12)
		return -EINVAL;
	last = days_in[tm->tm_mon - 1] + (tm->tm_mon == 2 && leap(tm->tm_year) ? 1 : 0);
	/* Second 60 is a leap second; it becomes the next minute's first one. The years keep the
	 * result inside 64 bits of nanoseconds. */
	if (tm->tm_mday < 1 || tm->tm_mday > last || tm->tm_hour > 23 || tm->tm_min > 59 ||
		tm->tm_sec > 60 || tm->tm_year < 1700 || tm->tm_year > 2200)
		return -EINVAL;
	*ret_s = days_of(tm->tm_year, tm->tm_mon, tm->tm_mday) * 86400 +
		 tm->tm_hour * INT64_C(3600) + tm->tm_min * INT64_C(60) + tm->tm_sec;
	return 0;
}

static bool take_clock(struct text *t, struct tm *tm)
{
	return take_number(t, 2, &tm->tm_hour) && take_text(t, ":") &&
	       take_number(t, 2, &tm->tm_min) && take_text(t, ":") &&
	       take_number(t, 2, &tm->tm_sec);
}

static bool take_fraction(struct text *t, int64_t *ret_ns)
{
	int64_t ns = 0;
	int64_t unit = SUPAFS_NS_PER_S;
	int digit = 0;

	*ret_ns = 0;
	if (!take_text(t, "."))
		return true;
	while (unit > 1 && take_number(t, 1, &digit)) {
		unit /= 10;
		ns += digit * unit;
	}
	*ret_ns = ns;
	return unit < SUPAFS_NS_PER_S;
}

/* "Z", "+HH:MM", "+HHMM" or "+HH" (PostgreSQL's form). */
static bool take_zone(struct text *t, int64_t *ret_offset_s)
{
	int sign = 1;
	int hours = 0;
	int minutes = 0;

	*ret_offset_s = 0;
	if (take_text(t, "Z"))
		return true;
	if (take_text(t, "-"))
		sign = -1;
	else if (!take_text(t, "+"))
		return false;
	if (!take_number(t, 2, &hours))
		return false;
	if (t->n > 0) {
		(void)take_text(t, ":");
		if (!take_number(t, 2, &minutes))
			return false;
	}
	*ret_offset_s = sign * (hours * INT64_C(3600) + minutes * INT64_C(60));
	return hours <= 23 && minutes <= 59;
}

int supafs_parse_iso8601(const char *s, size_t n, int64_t *ret_ns)
{
	struct text t = {s, n};
	struct tm tm = {0};
	int64_t fraction = 0;
	int64_t offset = 0;
	int64_t seconds = 0;

	if (!take_number(&t, 4, &tm.tm_year) || !take_text(&t, "-") ||
		!take_number(&t, 2, &tm.tm_mon) || !take_text(&t, "-") ||
		!take_number(&t, 2, &tm.tm_mday))
		return -EINVAL;
	if (!take_text(&t, "T") && !take_text(&t, " "))
		return -EINVAL;
	if (!take_clock(&t, &tm) || !take_fraction(&t, &fraction) || !take_zone(&t, &offset))
		return -EINVAL;
	if (t.n != 0 || seconds_of(&tm, &seconds) != 0)
		return -EINVAL;
	*ret_ns = (seconds - offset) * SUPAFS_NS_PER_S + fraction;
	return 0;
}

int supafs_parse_http_date(const char *s, size_t n, int64_t *ret_ns)
{
	struct text t = {s, n};
	struct tm tm = {0};
	int64_t seconds = 0;
	int weekday = take_word(&t, "SunMonTueWedThuFriSat");

	if (weekday < 0 || !take_text(&t, ", ") || !take_number(&t, 2, &tm.tm_mday) ||
		!take_text(&t, " "))
		return -EINVAL;
	tm.tm_mon = take_word(&t, "JanFebMarAprMayJunJulAugSepOctNovDec") + 1;
	if (tm.tm_mon == 0 || !take_text(&t, " ") || !take_number(&t, 4, &tm.tm_year) ||
		!take_text(&t, " ") || !take_clock(&t, &tm) || !take_text(&t, " GMT"))
		return -EINVAL;
	if (t.n != 0 || seconds_of(&tm, &seconds) != 0)
		return -EINVAL;
	*ret_ns = seconds * SUPAFS_NS_PER_S;
	return 0;
}
