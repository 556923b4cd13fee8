/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a listing does not tell of an object: user metadata, and the times of objects that other
 * clients (or resumable uploads) wrote. One info request an object, kept by (key, version as the
 * view has it), so that a listing that shows another version makes the next one ask again.
 * Bounded; the least recently used go first.
 *
 * Threads: any. The lock inside is a leaf, never held over a request.
 */
#pragma once

#include "vfs_priv.h"

struct vfs_facts;

int vfs_facts_new(struct vfs_facts **ret_facts);
struct vfs_facts *vfs_facts_free(struct vfs_facts *f);

/* From memory; false: not there. */
bool vfs_facts_find(struct supafs_vfs *v, const struct vfs_key *key,
	const struct supafs_version *version, struct supafs_info *ret);
/* The same, else by one request. 0 or the store's error. */
int vfs_facts_get(struct supafs_vfs *v, struct supafs_call *call, const struct vfs_key *key,
	const struct supafs_version *version, struct supafs_info *ret, struct supafs_fault *fault);

/* Does a listing's entry lack times that one info would tell? (-o meta=info, or our own large
 * objects) */
bool vfs_facts_wanted(const struct supafs_vfs *v, const struct supafs_attr *attr);
/* Puts times and mode of a wanted entry in; what cannot be asked for is left as it is listed.
 * `call` NULL: only from memory. */
void vfs_facts_complete(struct supafs_vfs *v, struct supafs_call *call, const struct vfs_key *key,
	struct supafs_attr *attr);

/* The same for entries of a folder, 16 at a time, into memory: what a readdir needs. */
struct vfs_facts_ask {
	struct vfs_key key; /* of a folder: its prefix (folder_attr.h) */
	struct supafs_version version;
	bool folder;
};
void vfs_facts_fetch(
	struct supafs_vfs *v, struct supafs_call *call, const struct vfs_facts_ask *asks, size_t n);
