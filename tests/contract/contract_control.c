/* SPDX-License-Identifier: Apache-2.0 */
/* The control socket of a supafs-serve that the suite has started. */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "supafs/util/cleanup.h"

#include "contract.h"

/* One line to the control socket, its answer in `reply`. */
static void control(const struct run *r, const char *line, char *reply, size_t size)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	supafs_autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	size_t n = 0;

	(void)snprintf(a.sun_path, sizeof(a.sun_path), "%s/control", r->target->dir);
	assert_int_equal(connect(fd, (const struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(write(fd, line, strlen(line)), strlen(line));
	assert_int_equal(write(fd, "\n", 1), 1);
	while (n + 1 < size && (n == 0 || reply[n - 1] != '\n')) {
		ssize_t got = read(fd, reply + n, size - n - 1);
		assert_true(got > 0);
		n += (size_t)got;
	}
	reply[n] = '\0';
	assert_null(strstr(reply, "\"error\""));
}

void fault(const struct run *r, const char *match, const char *effect)
{
	char line[1000];
	char reply[1000];

	control(r, "{\"op\":\"clear\"}", reply, sizeof(reply));
	control(r, "{\"op\":\"reset\"}", reply, sizeof(reply));
	(void)snprintf(line, sizeof(line), "{\"op\":\"fault\",\"match\":{%s},\"effect\":{%s}}",
		match, effect);
	control(r, line, reply, sizeof(reply));
}

uint64_t count(const struct run *r, const char *kind)
{
	char reply[4000];
	char name[40];
	const char *at;
	uint64_t n = 0;

	control(r, "{\"op\":\"counters\"}", reply, sizeof(reply));
	(void)snprintf(name, sizeof(name), "\"%s\":", kind);
	at = strstr(reply, name);
	assert_non_null(at);
	for (at += strlen(name); *at >= '0' && *at <= '9'; at++)
		n = n * 10 + (uint64_t)(*at - '0');
	return n;
}

void faults_end(struct run *r)
{
	char reply[100];

	control(r, "{\"op\":\"clear\"}", reply, sizeof(reply));
	run_end(r);
}
