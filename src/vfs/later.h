/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attribute changes that wait for each other: chmod, chown, utimens and setxattr of one closed
 * file, or of one folder, within a moment become one request.
 *
 *	waiting   due when nothing came for a while, at the latest some time after the first
 *	running   on a thread of the pool; a change that comes meanwhile waits anew
 *
 * A record holds a reference to its node (and the file's content), so the key is that of the node's
 * place when it is sent, and a rename takes the change along. What fails is logged, and shown as
 *the server has it.
 *
 * Threads: any. The lock inside is a leaf.
 */
#pragma once

#include "node.h"

struct vfs_later;

int vfs_later_new(struct vfs_later **ret_l);
/* After pools and timers have ended. */
struct vfs_later *vfs_later_free(struct vfs_later *l);

/* The node's change waits from now on (again). 0; -EAGAIN when too many do, -ENOMEM: the caller
 * sends it himself. */
int vfs_later_add(struct supafs_vfs *v, struct vfs_node *node);
/* How many wait or run. */
unsigned vfs_later_count(struct supafs_vfs *v);
/* All that waits is sent now, and what runs is waited for. 0, -EINTR, -ETIMEDOUT; what the server
 * refuses is logged, and no error here. */
int vfs_later_flush(struct supafs_vfs *v, struct supafs_call *call);

/* May a change be acknowledged before it is at the server? Only where the key passes all policies,
 * or something was stored in the same folder through this mount: a role that may not write must be
 * told. */
bool vfs_later_may(struct supafs_vfs *v, const struct vfs_node *node);
/* Something beside the node was stored. */
void vfs_later_prove_locked(struct supafs_vfs *v, struct vfs_node *node) SUPAFS_REQUIRES(v->ns);
/* A change that was acknowledged was refused. */
void vfs_later_distrust(struct supafs_vfs *v, struct vfs_node *node);
