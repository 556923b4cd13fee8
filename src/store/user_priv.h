/* SPDX-License-Identifier: Apache-2.0 */
/*
 * User metadata of others than us (supafs_put_args.user, supafs_info.user) as members of the JSON
 * object that also holds times, modes and the nonce (meta_priv.h). Pure, any thread.
 */
#pragma once

#include "supafs/store/store.h"

#include "json_priv.h"

/* Most bytes of the whole object: as base64, beside a key, it still fits into one header line of
 * 8 KiB, which is where gateways end (API §5.6). */
#define SUPAFS_METADATA_MAX 4096U

/* `b` ends in the '}' of an object: adds the members before it. 0, -EINVAL, -ENOSPC, -ENOMEM. */
int supafs_user_add_json(struct supafs_buf *b, struct supafs_str user);

/* Fills user, user_n and user_cut of `i`. */
void supafs_user_from_json(const struct supafs_json *object, struct supafs_info *i);
