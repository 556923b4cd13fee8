/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Going into the background: the parent stays until the child says that the mount answers, or ends
 * with the child's exit code. To be used before any thread is started.
 */
#pragma once

#include <stdbool.h>

struct supafs_daemon {
	int ready_fd; /* -1 in the foreground */
	int log_fd;   /* becomes standard error when ready; -1: stays */
};

/* In the child, and in the foreground, returns 0 with *d filled. The parent does not return from
 * here but ends. -errno when there is no process or pipe to be had. `log_fd` is taken over. */
int supafs_daemon_start(struct supafs_daemon *d, bool foreground, int log_fd);
/* The mount answers: lets the parent go and turns to the log. */
void supafs_daemon_ready(struct supafs_daemon *d);
