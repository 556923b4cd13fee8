/* SPDX-License-Identifier: Apache-2.0 */
/* Resumable uploads, REST side: what a request holds, who works on an upload, metadata. */
#pragma once

#include "rest.h"

struct rest_tus {
	struct serve_request *req;
	struct serve_resumable *upload; /* owned */
	int fd;                         /* its file, -1: not open */
	struct serve_tus_lock *lock;    /* held */
	bool finished;                  /* it is stored already */
	uint64_t offset;
	uint64_t max; /* bytes that the bucket allows */
};

/* Takes the upload for this request alone. Whoever has it is told to stop, its connection is shut
 * for reading, and it gets 5 s. NULL: it did not stop, or out of memory. */
struct serve_tus_lock *rest_tus_lock(struct serve_request *req, struct supafs_str id);
/* Gives it back; NULL is fine. */
void rest_tus_unlock(struct serve_app *app, struct serve_tus_lock *lock);
/* Does somebody else want it? */
bool rest_tus_lost(struct serve_app *app, const struct serve_tus_lock *lock);

/* The Upload-Metadata header, decoded. */
struct tus_metadata {
	struct supafs_buf bucket, object, type, cache_control, meta;
	bool has_meta;
};

void tus_metadata_init(struct tus_metadata *m);
void tus_metadata_fini(struct tus_metadata *m);
/* False when it is malformed or lacks bucketName or objectName. */
bool tus_metadata_parse(struct tus_metadata *m, const char *header);
