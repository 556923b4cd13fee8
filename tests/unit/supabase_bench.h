/* SPDX-License-Identifier: Apache-2.0 */
/* A Supabase store over a scripted transport, for bucket "my bucket" of https://x.supabase.co. */
#pragma once

#include "supafs/store/store.h"
#include "supafs/util/cleanup.h"

#include "script_http.h"

#define BASE "https://x.supabase.co/storage/v1"
/* {"alg":"HS256"}.{"role":"service_role"} and {"role":"anon"} */
#define SERVICE "eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoic2VydmljZV9yb2xlIn0.c2ln"
#define ANON    "eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoiYW5vbiJ9.c2ln"
#define KEYS    "apikey: " SERVICE, "Authorization: Bearer " SERVICE
#define JSON    "Content-Type: application/json"

struct bench {
	struct script_http http;
	struct supafs_store *s;
	struct supafs_call call;
	struct supafs_fault fault;
};

/* The usual configuration: service key, seed 1. */
void bench_config(struct supafs_supabase_config *cfg);
void bench_begin_with(struct bench *b, const struct supafs_supabase_config *cfg,
	const struct exchange *list, size_t n);
void bench_begin(struct bench *b, const struct exchange *list, size_t n);
/* Asserts that the whole script was asked for. */
void bench_end(struct bench *b);

#define BEGIN(b, list) bench_begin(&(b), (list), SUPAFS_ARRAY_LEN(list))

/* `prefix` and base64 of `text`, in *b. */
const char *bench_b64(struct supafs_buf *b, const char *prefix, const char *text);
