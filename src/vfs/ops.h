/* SPDX-License-Identifier: Apache-2.0 */
/* What the operations on names share: unlink.c, dirops.c, rename.c, rename_dir.c. */
#pragma once

#include "content.h"
#include "jobs.h"
#include "keyq.h"

/* The ticket of a node's key, and the place it has while we hold it. -ENOENT: it has none. */
int vfs_ticket_take(struct supafs_vfs *v, struct supafs_call *call, struct vfs_node *node,
	struct vfs_ticket *t, struct vfs_place *place);
/* Puts the pending change of an unsent file into the view again, where the node is now. */
void vfs_reannounce(struct supafs_vfs *v, struct vfs_node *node);
void vfs_reannounce_locked(struct supafs_vfs *v, struct vfs_node *node) SUPAFS_REQUIRES(v->ns);

/* A rename between its first look and its end. References to all nodes. */
struct vfs_renaming {
	struct supafs_vfs *v;
	struct supafs_call *call;
	struct supafs_fault *fault;
	bool noreplace;
	struct vfs_node *old_parent, *new_parent;
	struct vfs_node *node;
	struct vfs_node *target; /* what has the new name, or NULL */
	struct vfs_place from, to;
	struct supafs_attr attr; /* of the source, as the view has it */
	uint32_t sends;          /* of the source, before that was asked for */
	/* The source's object goes after a copy or upload: its record, and whether the removal was
	 * left to a job. */
	struct {
		struct vfs_job_record job;
		struct supafs_version base;
		char nonce[SUPAFS_NONCE_MAX + 1];
		unsigned flags;
		bool left;
	} replace;
};

/* A rename, also of a mount that is read-only: a job may have to end one. r->flags: none or
 * RENAME_NOREPLACE. */
int vfs_rename(struct supafs_vfs *v, struct supafs_call *call, const struct supafs_rename *r,
	struct supafs_fault *fault);
/* RENAME_EXCHANGE (rename_exchange.c). */
int vfs_rename_exchange(struct supafs_vfs *v, struct supafs_call *call,
	const struct supafs_rename *r, struct supafs_fault *fault);
/* One that was cut short: as its record has it. */
struct vfs_exchange_left {
	const struct vfs_place *from, *to;
	int64_t since_ns;
};
/* Ends it: nothing is left under the hidden name. 0, -EEXIST (both names are there), or -errno. */
int vfs_exchange_rest(struct supafs_vfs *v, struct supafs_call *call,
	const struct vfs_exchange_left *left, struct supafs_fault *fault);
/* Folders, the whole of it. 0 or -errno. The caller holds the ticket of both keys. */
int vfs_rename_folder(struct vfs_renaming *rn);
/* Moves what is left below `from`. The caller holds the ticket of both. */
int vfs_rename_rest(struct supafs_vfs *v, struct supafs_call *call, const struct vfs_key *from,
	const struct vfs_key *to, struct supafs_fault *fault);
/* Keeps writers and uploads away while an object's key changes: state UPLOADING. Ends with thaw. */
int vfs_content_freeze(struct vfs_content *c, struct supafs_call *call, enum vfs_state *ret_was);
/* `version` (may be NULL): what the server has under the new key, the same bytes. */
void vfs_content_thaw(
	struct vfs_content *c, enum vfs_state was, const struct supafs_version *version);
/* Is a folder empty at the server and here? 0, -ENOTEMPTY or an error. */
struct vfs_keepers {
	bool placeholder, marker;
};
int vfs_check_empty(struct supafs_vfs *v, struct supafs_call *call, struct vfs_node *folder,
	const struct vfs_key *dir, struct vfs_keepers *ret, struct supafs_fault *fault);
