/* SPDX-License-Identifier: Apache-2.0 */
/* What jobs.c (when) and jobs_run.c (what) share. */
#pragma once

#include "supafs/util/list.h"

#include "jobs.h"
#include "keyq.h"

enum vfs_task_state {
	VFS_TASK_WAITING, /* until due_ns */
	VFS_TASK_QUEUED,  /* given to the pool */
	VFS_TASK_RUNNING,
};

struct vfs_task {
	struct supafs_list link; /* jobs->lock, like all up to the empty line */
	enum vfs_task_state state;
	int64_t due_ns;
	unsigned tries;
	unsigned round; /* of the last try that has ended */
	bool told;      /* a failure that passes is logged once */

	/* Of the thread that runs it, or that makes it: */
	struct supafs_vfs *v;
	enum supafs_journal_kind kind;
	unsigned flags;
	char id[SUPAFS_JOURNAL_ID];
	struct vfs_key from, to; /* DELETE: to is the folder */
	struct supafs_version base;
	int64_t since_ns; /* EXCHANGE */
	char nonce[SUPAFS_NONCE_MAX + 1];
	struct supafs_buf deletes;
	uint64_t *changes;        /* DELETE: the view's change of each name */
	uint64_t from_id, to_id;  /* RENAME_DIR: the view's changes */
	struct vfs_ticket ticket; /* RENAME_DIR: from the start */
	bool ticketed;
};

/* Fills in a task; what it hides or shows is so from now on. 0, -EILSEQ (not of this mount),
 * -ENOMEM. */
int vfs_task_init(
	struct supafs_vfs *v, struct vfs_task *t, const struct supafs_journal_record *rec);
void vfs_task_fini(struct vfs_task *t);
/* One try. 0 or -errno. */
int vfs_task_run(struct vfs_task *t, struct supafs_call *call, struct supafs_fault *fault);
/* It is done (0) or given up: the view says so. */
void vfs_task_end(struct vfs_task *t, int r, const struct supafs_fault *fault);
