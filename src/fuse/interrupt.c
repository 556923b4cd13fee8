/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which signals end an operation.
 *
 * The kernel interrupts a request for any signal, and does not say which. Programs that use
 * timers or child processes (git's progress, Go's scheduler) would see EINTR from open() or
 * mkdir(), which they do not expect of a disk. So the pending signals of the thread are looked
 * at: those that are only news for a handler let the operation go on; anything that ends or is
 * meant to end the program cancels it.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "supafs/util/cleanup.h"

#include "op.h"

/* Bit n-1 stands for signal n, as in /proc/PID/status. */
static uint64_t bit(int sig)
{
	return UINT64_C(1) << (sig - 1);
}

static uint64_t harmless(void)
{
	return bit(SIGALRM) | bit(SIGVTALRM) | bit(SIGPROF) | bit(SIGCHLD) | bit(SIGURG) |
	       bit(SIGIO) | bit(SIGWINCH) | bit(SIGCONT) | bit(SIGPWR) | bit(SIGTSTP) |
	       bit(SIGTTIN) | bit(SIGTTOU) | bit(SIGSTOP);
}

/* The hexadecimal mask behind `field` ("\nSigPnd:\t"); false if it is not there. */
static bool mask_of(const char *status, const char *field, uint64_t *ret)
{
	const char *at = strstr(status, field);
	uint64_t v = 0;

	if (!at)
		return false;
	for (at += strlen(field); *at && *at != '\n'; at++) {
		char c = *at;

		if (c >= '0' && c <= '9')
			v = v << 4 | (uint64_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			v = v << 4 | (uint64_t)(c - 'a' + 10);
		else
			return false;
	}
	*ret = v;
	return true;
}

bool interrupt_wanted(pid_t pid)
{
	char path[64], status[4096];
	uint64_t thread, shared, blocked, ignored, caught;

	(void)snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	supafs_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, status, sizeof(status) - 1);
	if (n <= 0)
		return true; /* gone, or of another pid namespace */
	status[n] = '\0';
	if (!mask_of(status, "\nSigPnd:\t", &thread) || !mask_of(status, "\nShdPnd:\t", &shared) ||
		!mask_of(status, "\nSigBlk:\t", &blocked) ||
		!mask_of(status, "\nSigIgn:\t", &ignored) ||
		!mask_of(status, "\nSigCgt:\t", &caught))
		return true;

	uint64_t pending = (thread | shared) & ~blocked & ~ignored;
	/* A timer without a handler ends the program. */
	uint64_t deadly = bit(SIGALRM) | bit(SIGVTALRM) | bit(SIGPROF) | bit(SIGIO) | bit(SIGPWR);
	return (pending & ~harmless()) != 0 || (pending & deadly & ~caught) != 0;
}
