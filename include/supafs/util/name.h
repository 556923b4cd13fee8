/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names both ways: POSIX name ↔ stored key segment (docs/names.md).
 *
 * The server takes 80 ASCII characters (API §10). encode() writes every other byte
 * as =HH (upper-case hex) and escapes a literal '=' only where it would read as an
 * escape, so ordinary names are stored as they are. "Reads as an escape" at an '=':
 *   - the next two characters are upper-case hex of a byte outside the class, or
 *   - they are 72 ('r'), end the segment, and stand behind ".emptyFolderPlaceholde"
 *     (a name ending in .emptyFolderPlaceholder means something else at the server, API §4.4), or
 *   - they are 3D and the text behind them, with an '=' put before it, reads as an escape.
 * decode() is its exact inverse: every name has one segment, and every segment that
 * encode() can write has one name.
 *
 * Pure functions, any thread. Both return the length written, or -ENAMETOOLONG when it
 * does not fit `size` (no NUL is added); encode() also -EINVAL for "", ".", ".." or a
 * name with '/' or NUL; decode() -EILSEQ for a segment that has no name: "", ".", "..",
 * one whose name would have '/' or NUL, one with a byte outside the class, and one that
 * ends in .emptyFolderPlaceholder (odd segments: the namespace hides them or shows them
 * under another name).
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "supafs/util/str.h"

#define SUPAFS_PLACEHOLDER ".emptyFolderPlaceholder"

ssize_t supafs_name_encode(struct supafs_str name, char *seg, size_t size);
ssize_t supafs_name_decode(struct supafs_str seg, char *name, size_t size);
/* True if the server takes every byte of `s` as it is. */
bool supafs_name_plain(struct supafs_str s);
