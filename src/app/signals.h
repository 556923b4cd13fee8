/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SIGTERM and SIGINT end a mount in order: the first one drains, the second one cancels what is
 * inside and does not drain, one that comes while draining ends the process.
 */
#pragma once

#include <stdbool.h>

#include "supafs/fuse/fuse.h"

struct supafs_signals;

/* Blocks the signals for this and all later threads; once, before there are threads. */
void supafs_signals_block(void);
/* Starts the thread that waits for them. `abandon` runs before the process is ended by a signal
 * that comes while draining; any thread. 0 or -errno. */
int supafs_signals_start(struct supafs_fuse *fuse, void (*abandon)(void *ctx), void *ctx,
	struct supafs_signals **ret_signals);
/* The loop has ended: from now on a signal abandons. True if a second signal asked for no drain. */
bool supafs_signals_draining(struct supafs_signals *s);
/* Joins the thread. NULL is fine; returns NULL. */
struct supafs_signals *supafs_signals_free(struct supafs_signals *s);
