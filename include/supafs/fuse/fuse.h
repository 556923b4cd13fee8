/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's side of a mount: libfuse's low-level session over a vfs.
 *
 *	new → mount → loop (blocks) → unmount → free
 *
 * Each operation is decoded, carried by a call (deadline, cancel on interrupt), handed to one vfs
 * function and answered exactly once; an error worth knowing is logged here and nowhere else.
 * Nothing of libfuse shows in this header.
 *
 * Threads: new, mount, loop, unmount and free by the owner, in this order; stop and cancel_all by
 * any other thread while loop runs.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "supafs/vfs/vfs.h"

struct supafs_fuse;

struct supafs_fuse_config {
	struct supafs_vfs *vfs; /* borrowed; must live until supafs_fuse_free() */
	const struct supafs_clock *clock;
	const char *source; /* fsname, e.g. "supafs:course/p"; copied */
	const char *cache;  /* folder of the local files, for messages; borrowed as well */
	uint64_t timeout_ms;
	uint64_t read_ahead; /* bytes the kernel may read ahead, where we may set it */
	bool read_only, allow_other, default_permissions, noexec;
	unsigned max_threads, idle_threads;
	/* Once, when the kernel has agreed on the protocol: the mount answers. On a worker thread.
	 */
	void (*ready)(void *ctx);
	void *ctx;
};

/* 0, -ENOMEM, -EINVAL (libfuse refuses the options). */
int supafs_fuse_new(const struct supafs_fuse_config *cfg, struct supafs_fuse **ret_fuse);
/* Mounts at `path`. 0, -ENOMEM or -EIO; libfuse has logged why. */
int supafs_fuse_mount(struct supafs_fuse *f, const char *path);
/* Serves until the mount is gone or supafs_fuse_stop() was called. 0, or -errno if the
 * connection broke. All operations have been answered when it returns. */
int supafs_fuse_loop(struct supafs_fuse *f);
/* Ends the loop: no more notifications, the mount is detached, what is inside ends. Idempotent. */
void supafs_fuse_stop(struct supafs_fuse *f);
/* Cancels every operation that is inside now: each ends with EINTR. */
void supafs_fuse_cancel_all(struct supafs_fuse *f);
/* Unmounts if still mounted, and closes the connection. */
void supafs_fuse_unmount(struct supafs_fuse *f);
/* NULL is fine; returns NULL. */
struct supafs_fuse *supafs_fuse_free(struct supafs_fuse *f);

/* "FUSE library version 3.14.0 …": the library's own words; static storage. */
const char *supafs_fuse_library_version(void);
