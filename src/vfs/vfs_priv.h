/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the vfs share: the mount's struct, keys and places, and the small helpers that
 * belong to no module. Symbols that stay inside this layer start with vfs_.
 */
#pragma once

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "supafs/util/hash.h"
#include "supafs/util/limits.h"
#include "supafs/util/lock.h"
#include "supafs/util/pool.h"
#include "supafs/util/timer.h"
#include "supafs/vfs/vfs.h"

struct vfs_facts;
struct vfs_folders;
struct vfs_gather;
struct vfs_learn;
struct vfs_jobs;
struct vfs_keyq;
struct vfs_later;
struct vfs_mimes;
struct vfs_node;
struct vfs_poll;
struct vfs_queue;

#define VFS_OBJECT_MAX     (UINT64_C(5) << 40) /* of the S3 that the server keeps objects in: 5 TiB */
#define VFS_PRESERVE_PIECE (32U << 20) /* of an open file that is fetched before it is deleted */
#define VFS_MOVE_THREADS   16
#define VFS_SEND_THREADS   8

/* Set at creation and read without a lock, but for what a lock's name stands above. */
struct supafs_vfs {
	struct supafs_vfs_config cfg; /* its strings are our own copies */
	char *root_text, *cache_control, *temp_patterns;
	struct vfs_node *root;
	struct vfs_keyq *keyq;
	struct vfs_gather *gather;
	struct vfs_learn *learn; /* what the server refuses this role */
	struct vfs_jobs *jobs;   /* what is to be finished of renames and deletes */
	struct vfs_mimes *mimes;
	struct vfs_facts *facts;
	struct vfs_folders *folders;
	struct vfs_later *later;
	struct vfs_queue *queue;   /* uploads that nobody waits for */
	struct supafs_pool *sends; /* their threads, and those of gathered deletes */
	struct supafs_pool *moves; /* the steps of a folder's rename */
	struct supafs_pool *news;  /* one thread: the kernel is told from here */
	struct vfs_poll *poll;     /* NULL: off */
	struct supafs_timers *timers;
	int64_t born_ns;               /* when it was made: what folders show as time of change */
	_Atomic int64_t last_since_ns; /* of all records so far */
	_Atomic bool unsynced; /* records were removed, and the journal's folder not synced since */

	struct supafs_mutex ns;
	struct supafs_map *by_id;   /* ns: every node */
	struct supafs_map *by_name; /* ns: nodes that have a name now, by (parent, name) */
	uint64_t next_id;           /* ns */

	struct supafs_mutex handles_lock;
	struct supafs_map *handles; /* handles_lock */
	uint64_t next_fh;           /* handles_lock */

	struct supafs_mutex news_lock;
	struct supafs_notify notify; /* news_lock; inval_inode NULL: nobody listens yet */
};

/* A whole key, the mount's prefix included; a folder's ends in '/'. */
struct vfs_key {
	size_t root_n, n;
	char p[SUPAFS_KEY_MAX + 2];
};

/* As the store wants it / as the catalog wants it (without the mount's prefix). */
static inline struct supafs_str vfs_key_full(const struct vfs_key *k)
{
	return (struct supafs_str){k->p, k->n};
}

static inline struct supafs_str vfs_key_rel(const struct vfs_key *k)
{
	return (struct supafs_str){k->p + k->root_n, k->n - k->root_n};
}

static inline bool vfs_key_same(const struct vfs_key *a, const struct vfs_key *b)
{
	return supafs_str_eq(vfs_key_full(a), vfs_key_full(b));
}

/* A name in a folder, in every form that a request or the catalog asks for. */
struct vfs_place {
	struct vfs_key dir; /* the folder's prefix */
	struct vfs_key key; /* of the thing itself; ends in '/' for a folder */
	size_t name_n, seg_n;
	char name[SUPAFS_NAME_MAX + 1]; /* shown */
	char seg[SUPAFS_SEG_MAX + 1];   /* stored */
};

/* `dir` + `seg` (+ '/') into place->key. 0 or -ENAMETOOLONG. */
int vfs_place_set(struct vfs_place *place, const struct vfs_key *dir, struct supafs_str name,
	struct supafs_str seg, bool folder);
/* A name that is to be made: checked, encoded. 0, -EINVAL (also -o names=strict), -ENAMETOOLONG,
 * -EEXIST for "." and "..". */
int vfs_place_new(struct supafs_vfs *v, struct vfs_place *place, const struct vfs_key *dir,
	struct supafs_str name, bool folder);

/* What a program may see for an error of the layers below: never -ENOSYS (the kernel would stop
 * asking for good), nor internal ones. */
int vfs_errno(int r);

/* Is a name temporary by -o temp_names? */
bool vfs_name_temporary(const struct supafs_vfs *v, const char *name);

/* Same content, as far as both sides know: ETags if both are known, else what else is known. */
bool vfs_version_alike(const struct supafs_version *a, const struct supafs_version *b);

/* Nanoseconds since 1970, which may be negative, and back. */
struct timespec vfs_time_of(int64_t ns);
int64_t vfs_ns_of(const struct timespec *t);

/* Who made something in `parent`, a folder (owner NULL: the mount's own user), into what is
 * stored with it; nothing where it is the mount's own user, so that another mount shows it as its
 * own as well. In a folder with the setgid bit it gets the folder's group, and a new folder the
 * bit; m->mode is set before. */
void vfs_own(struct supafs_vfs *v, struct vfs_node *parent, const struct supafs_owner *owner,
	bool folder, struct supafs_meta *m);

/* A call of our own, with the mount's time-out. Ends with supafs_call_fini(). */
void vfs_call_init(const struct supafs_vfs *v, struct supafs_call *call);

/* --- What the catalog is told (view.c) -------------------------------------------------------- */

/* A change that is not confirmed; its id, 0 when out of memory. */
uint64_t vfs_view_pending(
	struct supafs_vfs *v, const struct vfs_place *place, const struct supafs_attr *attr);
/* A removal that is not confirmed. */
uint64_t vfs_view_leaving(struct supafs_vfs *v, const struct vfs_place *place);
void vfs_view_ack(struct supafs_vfs *v, const struct vfs_place *place, uint64_t id,
	const struct supafs_attr *attr);
void vfs_view_undo(struct supafs_vfs *v, const struct vfs_place *place, uint64_t id);
/* Confirmed at once. */
void vfs_view_present(
	struct supafs_vfs *v, const struct vfs_place *place, const struct supafs_attr *attr);
void vfs_view_absent(struct supafs_vfs *v, const struct vfs_place *place);
/* The next look-up asks the server. */
void vfs_view_forget(struct supafs_vfs *v, const struct vfs_place *place);

/* --- News for the kernel (news.c): queued, sent by a thread of their own -----------------------
 */

void vfs_news_inode(struct supafs_vfs *v, uint64_t node, bool data);
void vfs_news_entry(struct supafs_vfs *v, uint64_t parent, struct supafs_str name);

/* --- Folders that stay (keep.c) ----------------------------------------------------------------
 */

/* Before `leaving` entries of a folder go: puts its placeholder when nothing else would be left.
 * `ask`: list the folder if what is in it is not known; else an unknown one is left alone. */
int vfs_keep_folder(struct supafs_vfs *v, struct supafs_call *call, const struct vfs_key *dir,
	unsigned leaving, bool ask, struct supafs_fault *fault);
/* The same for a folder whose entries have left the view already, and for a new folder. */
int vfs_put_placeholder(struct supafs_vfs *v, struct supafs_call *call, const struct vfs_key *dir,
	bool exclusive, struct supafs_fault *fault);
