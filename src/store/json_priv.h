/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON replies, read as hostile input. json.c is the only user of cJSON.
 *
 * A document is bounded before it is parsed: at most SUPAFS_JSON_BODY_MAX bytes and
 * SUPAFS_JSON_VALUES_MAX values (a node costs cJSON 64 bytes, so 4 MiB of "1,1,1,…" would
 * cost 130 MiB), nesting at most 1000 (cJSON's own bound), no "\u0000" (cJSON would cut
 * the text there, and a cut name is another name).
 * Member names are compared with case. Every accessor takes NULL and gives "not there".
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "supafs/util/str.h"

#define SUPAFS_JSON_VALUES_MAX 131072

struct supafs_json; /* one value; never defined */

/* 0, -EPROTO (no JSON, or over a bound) or -ENOMEM; ends with supafs_json_free(). */
int supafs_json_parse(struct supafs_str text, struct supafs_json **ret_json);
/* NULL is fine; returns NULL. Takes the whole document only. */
struct supafs_json *supafs_json_free(struct supafs_json *j);
void supafs_json_freep(struct supafs_json **j); /* for supafs_cleanup() */

bool supafs_json_is_object(const struct supafs_json *j);
bool supafs_json_is_array(const struct supafs_json *j);
bool supafs_json_is_null(const struct supafs_json *j);
/* Member of an object, NULL if absent. */
const struct supafs_json *supafs_json_get(const struct supafs_json *j, const char *name);
/* Elements of an array: the first, and the one behind `it`; NULL at the end. */
const struct supafs_json *supafs_json_first(const struct supafs_json *array);
const struct supafs_json *supafs_json_next(const struct supafs_json *it);

/* Members of an object: the first (then supafs_json_next()), and the name of one. */
const struct supafs_json *supafs_json_members(const struct supafs_json *object);
struct supafs_str supafs_json_name(const struct supafs_json *member);

/* Members by type. False, and *ret untouched, if absent, null or of another type. */
bool supafs_json_text(const struct supafs_json *j, const char *name, struct supafs_str *ret);
bool supafs_json_bool(const struct supafs_json *j, const char *name, bool *ret);
/* The value itself as text. */
bool supafs_json_value_text(const struct supafs_json *j, struct supafs_str *ret);
/* A number that is integral and 0…2^53, or its decimal digits as a string, at most `max`. */
bool supafs_json_size(const struct supafs_json *j, const char *name, uint64_t max, uint64_t *ret);
/* ISO 8601 → ns since 1970; a UUID → bytes. */
bool supafs_json_time(const struct supafs_json *j, const char *name, int64_t *ret_ns);
bool supafs_json_uuid(const struct supafs_json *j, const char *name, unsigned char ret[16]);
/* Copies text that fits with its NUL; longer text counts as absent. */
bool supafs_json_copy(const struct supafs_json *j, const char *name, char *out, size_t size);
/* Text as it is, all else as JSON text. False when it does not fit `size` with its NUL. */
bool supafs_json_render(const struct supafs_json *j, char *out, size_t size);
/* A string as it is, a finite number as shortest decimal text: for user metadata. */
bool supafs_json_scalar(const struct supafs_json *j, const char *name, char *out, size_t size);
