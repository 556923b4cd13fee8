/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A standard upload in progress (API §5), raw or as a form. rest_upload.c has the flow,
 * rest_form.c takes forms apart.
 */
#pragma once

#include "rest.h"

struct serve_form;

struct rest_upload {
	struct serve_request *req;
	struct serve_bucket *bucket; /* owned */
	struct serve_sink sink;
	struct serve_form *form; /* owned; NULL: a raw body */
	struct supafs_buf mime, cache_control, meta;
	bool has_meta;
	bool upsert;
	bool with_id; /* the answer names the id */
	bool counted; /* the body is held against the limit while it comes (forms) */
	bool failed;  /* writing failed */
	bool too_large;
	bool saw_file; /* forms */
	uint64_t max;
	char owner[256];
};

/* Checks the type against the bucket; answers when it is refused. */
bool rest_upload_check_mime(struct rest_upload *u);
/* A piece of the file. */
void rest_upload_write(struct rest_upload *u, const char *p, size_t n);

/* NULL when out of memory or when the request is no multipart form. */
struct serve_form *rest_form_new(struct rest_upload *u);
void rest_form_data(struct serve_form *f, const char *p, size_t n);
/* No more comes; once. True: the body was whole, its closing boundary too. */
bool rest_form_end(struct serve_form *f);
struct serve_form *rest_form_free(struct serve_form *f);
