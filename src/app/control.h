/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's side of the control channel: a Unix socket "control" in the mount's own cache
 * folder (mode 0600 in a folder of mode 0700), for the commands status, pending, flush … of the
 * same user and of root. docs/control.md has the requests and answers.
 *
 * One thread listens and sleeps until somebody comes; each client, of at most 4 at a time, gets a
 * thread for its one request. What a client sends and takes is bounded in size and time; it cannot
 * hold up anybody but itself.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "supafs/util/lock.h"
#include "supafs/vfs/vfs.h"

#include "control_request.h"
#include "stack.h"

/* What a mount tells of itself; all borrowed, and alive until supafs_control_free(). */
struct supafs_control_facts {
	const struct supafs_stack *stack;
	const char *source, *mountpoint, *cache, *log; /* log "": standard error */
	uint64_t memory, meta_memory;                  /* limits, bytes */
	uint64_t timeout_ms;                           /* of a request made for a client */
	int64_t since_ns;                              /* wall clock */
};

struct supafs_control;

/* Binds the socket and starts. The caller holds the lock of the cache folder, so an old socket is
 * nobody's and is removed. 0 or -errno. */
int supafs_control_new(
	const struct supafs_control_facts *facts, struct supafs_control **ret_control);
/* The mount is gone, uploads are waited for: how far that is. Any thread. */
void supafs_control_draining(struct supafs_control *c, const struct supafs_flush_state *st);
/* No more clients, ends those that are there, removes the socket. NULL is fine; returns NULL. */
struct supafs_control *supafs_control_free(struct supafs_control *c);

/* --- For control_reply.c ---------------------------------------------------------------------- */

/* One client's connection. */
struct supafs_control_peer {
	const struct supafs_control_facts *facts;
	struct supafs_control *control;
	int fd;
	struct supafs_call *call; /* cancelled when the client or the mount goes */
};

/* Sends a whole line (its end is in it). 0, or -errno when the client is gone or too slow. */
int supafs_control_send(struct supafs_control_peer *peer, struct supafs_str line);
/* True, and how far, once supafs_control_draining() was called. */
bool supafs_control_drain_state(struct supafs_control *c, struct supafs_flush_state *ret);

/* Answers a request, all of it. */
void supafs_control_answer(
	struct supafs_control_peer *peer, const struct supafs_control_request *req);
