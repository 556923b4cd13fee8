/* SPDX-License-Identifier: Apache-2.0 */
/* Resumable uploads, the texts: Upload-Metadata both ways, and the id in a Location (API §6). */
#pragma once

#include "supabase_priv.h"

/* Appends the header's value for an upload of `args` with the attributes `a`. */
int supafs_sb_tus_metadata(const struct supafs_sb *sb, const struct supafs_put_args *args,
	const struct supafs_sb_attrs *a, struct supafs_buf *b);

/* Does `header`, which the server keeps of an upload, say what `args` says, but for the nonce?
 * Then *ret_nonce gets the one in there. What the server makes of cacheControl is not compared. */
bool supafs_sb_tus_same(const struct supafs_sb *sb, const struct supafs_put_args *args,
	struct supafs_str header, char ret_nonce[SUPAFS_NONCE_MAX + 1]);

/* The last segment of `location` (API §6.2), if it is one that may stand in a path. */
bool supafs_sb_tus_id(const char *location, char ret_id[SUPAFS_UPLOAD_MAX + 1]);
