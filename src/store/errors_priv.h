/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Server replies and broken transfers → errno and fault (API §1.2, §3.6, §12). The one place
 * in the program where HTTP becomes errno.
 */
#pragma once

#include "supafs/http/http.h"
#include "supafs/store/store.h"

/* A reply that is no 2xx, to a request made for `op`. Fills *fault, returns -errno. */
int supafs_errors_reply(
	const struct supafs_http_reply *r, enum supafs_op op, struct supafs_fault *fault);

/* `error` is what supafs_http_perform() returned; `r` as far as things went. Fills *fault,
 * returns -errno. */
int supafs_errors_transport(
	int error, const struct supafs_http_reply *r, struct supafs_fault *fault);

/* A 2xx reply whose body is not what was asked for: a web page → NotStorage, else BadReply.
 * Returns -EIO. */
int supafs_errors_bad_reply(const struct supafs_http_reply *r, struct supafs_fault *fault);

/* The table, for its test. */
struct supafs_error_row {
	const char *code;  /* body `code`, else `error`; NULL: any */
	const char *words; /* part of `message`, any case; NULL: any */
	int status_min;    /* the real status, both ends included; 0: any */
	int status_max;
	unsigned ops; /* mask of 1 << enum supafs_op; 0: any */
	int error;
	enum supafs_fault_class class;
	bool unsure;      /* a write may have been done all the same */
	const char *tell; /* replaces fault.code; NULL: keep */
};
/* Row i, NULL behind the last. The first row that matches a reply decides. */
const struct supafs_error_row *supafs_errors_row(size_t i);
