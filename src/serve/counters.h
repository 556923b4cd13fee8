/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counters of requests by kind, so that tests can assert how many an operation took.
 *
 * Threads: every call from any thread; each counter is exact, a snapshot is not one instant.
 */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

#include "supafs/util/buf.h"
#include "supafs/util/str.h"

enum serve_kind {
	SERVE_KIND_LIST,  /* POST /object/list-v2 */
	SERVE_KIND_LIST1, /* POST /object/list */
	SERVE_KIND_GET,   /* GET of an object, any route */
	SERVE_KIND_HEAD,  /* HEAD of an object */
	SERVE_KIND_INFO,  /* GET /object/info */
	SERVE_KIND_PUT,   /* POST or PUT of an object, also by a signed URL */
	SERVE_KIND_COPY,
	SERVE_KIND_MOVE,
	SERVE_KIND_DELETE_ONE,  /* DELETE of one object */
	SERVE_KIND_DELETE_MANY, /* DELETE with prefixes */
	SERVE_KIND_BUCKET,      /* any request about buckets */
	SERVE_KIND_SIGN,        /* making signed URLs */
	SERVE_KIND_TUS_CREATE,
	SERVE_KIND_TUS_PATCH,
	SERVE_KIND_TUS_HEAD,
	SERVE_KIND_TUS_DELETE,
	SERVE_KIND_OTHER, /* status, version, OPTIONS, unknown routes */
	SERVE_KIND__COUNT,
};

/* "list", "delete_many", …; static. */
const char *serve_kind_name(enum serve_kind kind);
/* 0, or -EINVAL for an unknown name. */
int serve_kind_parse(struct supafs_str name, enum serve_kind *ret_kind);

#define SERVE_STATUS_MAX 600

struct serve_counters {
	_Atomic uint64_t kind[SERVE_KIND__COUNT];
	_Atomic uint64_t status[SERVE_STATUS_MAX]; /* answers with status ≥ 400, by status */
	_Atomic uint64_t keys_deleted;
	_Atomic uint64_t bytes_in;  /* of bodies */
	_Atomic uint64_t bytes_out; /* of bodies */
	_Atomic uint64_t connections;
	_Atomic uint64_t faults; /* requests that met a fault rule */
};

static inline void serve_count(_Atomic uint64_t *counter, uint64_t n)
{
	atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

/* One request of this kind began. */
void serve_counters_request(struct serve_counters *c, enum serve_kind kind);
/* An answer went out. */
void serve_counters_answer(struct serve_counters *c, unsigned status);
void serve_counters_reset(struct serve_counters *c);
/* Appends {"list":3,…,"total":9,"keys_deleted":0,…,"status":{"404":1}}. 0 or the buffer's error. */
int serve_counters_json(struct serve_counters *c, struct supafs_buf *out);
