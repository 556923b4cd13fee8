/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Journaled jobs: what was begun or promised with names, and is to be finished whatever becomes of
 * the operation or of this process (docs/journal.md).
 *
 *	RENAME_DIR   the rest of a folder is moved. Until then nobody can look into either folder
 *	             (the ticket of both is in the queue from the start), and the view has the new
 *	             name only
 *	REPLACE      the source goes if the target has its content, and the source is as it was
 *	EXCHANGE     what is left under a hidden name gets a name of the two; not before all of the
 *	             other renames are done, which may be steps of it
 *	DELETE       names that are gone from the view go at the server, each only while it is the
 *	             version that was deleted; what is another one by now comes back into the view
 *
 *	waiting → running → done: the record goes
 *	                  → waiting: a failure that passes; again after 5 s, 10 s, … 5 min
 *	                  → given up: logged, the view asks the server again, the record goes
 *	any → left at the end of the mount: the record stays for the next one
 *
 * Lock: jobs->lock, a leaf; not held over requests.
 */
#pragma once

#include "vfs_priv.h"

struct vfs_jobs;

int vfs_jobs_new(struct supafs_vfs *v, struct vfs_jobs **ret_jobs);
/* After close. NULL is fine; returns NULL. */
struct vfs_jobs *vfs_jobs_free(struct vfs_jobs *jobs);

/* Queues a record's job; never waits for the network. From the replay (before the first operation),
 * or from an operation that leaves its end to it; the record stands in the journal. 0 also for one
 * that is not of this mount (it stays in the journal), or -ENOMEM. */
int vfs_jobs_take(struct supafs_vfs *v, const struct supafs_journal_record *rec);

/* Is a failure one that passes by itself? */
bool vfs_jobs_passing(int r, const struct supafs_fault *fault);

/* No job is waiting or running. */
bool vfs_jobs_idle(struct supafs_vfs *v);
/* Tries all that wait at once, and waits until each has been tried or is done. 0, -EIO when some
 * are left, -EINTR, -ETIMEDOUT. */
int vfs_jobs_wait(struct supafs_vfs *v, struct supafs_call *call);
/* Is there a job of a rename that is no exchange? */
bool vfs_jobs_renaming(struct supafs_vfs *v);
/* Stops what runs and begins nothing more. */
void vfs_jobs_close(struct supafs_vfs *v);

/* --- Records, for the operations that make them. Without a journal they do nothing. --------------
 */

/* What is in hand, from its record's making to its removal; "" = no record stands. */
struct vfs_job_record {
	char id[SUPAFS_JOURNAL_ID];
};
/* A folder's rename, before the first move; durable. */
void vfs_jobs_note_rename(struct supafs_vfs *v, const struct vfs_key *from,
	const struct vfs_key *to, struct vfs_job_record *ret);
/* A copy (nonce "") or upload over `to`, after which `from` is to go while it is `base`. */
void vfs_jobs_note_replace(
	struct supafs_vfs *v, const struct supafs_journal_record *rec, struct vfs_job_record *ret);
/* Two names that are exchanged, before the first step; durable. `rec` gets its id. */
void vfs_jobs_note_exchange(
	struct supafs_vfs *v, struct supafs_journal_record *rec, struct vfs_job_record *ret);
/* It is done or will not be. `durable`: it must not come back after a power cut. */
void vfs_jobs_forget(struct supafs_vfs *v, struct vfs_job_record *job, bool durable);
