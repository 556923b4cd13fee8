/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line of supafs-serve: one table of options (name, argument, range,
 * default, help), from which the usage text is made too.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "blob.h"

#define SERVE_LIST_MAX 64

struct serve_texts {
	const char *list[SERVE_LIST_MAX]; /* views of argv */
	size_t n;
};

struct serve_config {
	const char *dir;
	const char *listen;
	uint64_t port; /* 0: any */
	const char *base_path;
	struct serve_texts buckets;  /* NAME or NAME:public */
	struct serve_texts policies; /* specs of policy.h */
	uint64_t size_limit;
	const char *etag_name;
	enum serve_etag etag;
	const char *tls_cert, *tls_key; /* NULL: plain HTTP */
	const char *jwt_secret_file;    /* NULL: DIR/jwt-secret */
	uint64_t tus_expiry_s;
	bool durable, quiet, help, version;
};

/* Fills *ret_config from the defaults and argv, which must outlive it. 0, or -EINVAL with one line
 * in `why`. With --help or --version nothing else is checked. */
int serve_options_parse(
	int argc, char **argv, struct serve_config *ret_config, char *why, size_t why_size);
void serve_options_usage(void);
