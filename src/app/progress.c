/* SPDX-License-Identifier: Apache-2.0 */
#include "progress.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "supafs/util/clock.h"
#include "supafs/util/log.h"

#define LINE_EVERY_NS (10 * SUPAFS_NS_PER_S)

static int64_t now_ns(void)
{
	const struct supafs_clock *clock = supafs_clock_system();

	return clock->mono_ns(clock);
}

void supafs_progress_init(struct supafs_progress *p)
{
	*p = (struct supafs_progress){
		.terminal = isatty(STDERR_FILENO) == 1,
		.next_ns = now_ns() + LINE_EVERY_NS,
	};
}

void supafs_progress_show(struct supafs_progress *p, const struct supafs_answer *a)
{
	const unsigned long long files = supafs_answer_number(a, "files", 0);
	const unsigned long long done = supafs_answer_number(a, "done", 0);
	const unsigned long long failed = supafs_answer_number(a, "failed", 0);
	char bytes[32];

	if (files == 0 && done == 0 && failed == 0)
		return;
	supafs_format_bytes(supafs_answer_number(a, "bytes", 0), bytes, sizeof(bytes));
	if (p->terminal) {
		(void)fprintf(stderr,
			"\r\033[Ksupafs: waiting for %llu file(s), %s; %llu done, %llu failed",
			files, bytes, done, failed);
		(void)fflush(stderr);
		p->dirty = true;
	} else if (now_ns() >= p->next_ns) {
		(void)fprintf(stderr,
			"supafs: waiting for %llu file(s), %s; %llu done, %llu failed\n", files,
			bytes, done, failed);
		p->next_ns = now_ns() + LINE_EVERY_NS;
	}
}

void supafs_progress_end(struct supafs_progress *p)
{
	if (p->dirty)
		(void)fprintf(stderr, "\r\033[K");
	p->dirty = false;
}

void supafs_format_bytes(uint64_t n, char *out, size_t size)
{
	static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB"};
	double v = (double)n / 1024;
	size_t i = 0;

	if (n < 1024) {
		(void)snprintf(out, size, "%u bytes", (unsigned)n);
		return;
	}
	for (; v >= 1024 && i < 4; i++)
		v /= 1024;
	(void)snprintf(out, size, "%.1f %s", v, units[i]);
}

void supafs_format_age(uint64_t seconds, char *out, size_t size)
{
	static const struct {
		uint64_t least, unit;
		const char *name;
	} steps[] = {
		{UINT64_C(2) * 86400, 86400, "d"},
		{7200, 3600, "h"},
		{120, 60, "m"},
		{0, 1, "s"},
	};
	size_t i = 0;

	while (seconds < steps[i].least)
		i++;
	(void)snprintf(
		out, size, "%llu %s", (unsigned long long)(seconds / steps[i].unit), steps[i].name);
}

void supafs_print_clean(const char *text)
{
	char clean[8192];

	(void)supafs_log_redact(text, strlen(text), clean, sizeof(clean));
	(void)printf("%s", clean);
}
