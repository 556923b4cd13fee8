/* SPDX-License-Identifier: Apache-2.0 */
/*
 * multipart/form-data uploads, as browsers' clients send them: fields first, then the
 * file. A field behind the file comes too late, as in the real server.
 */
#include <stdlib.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/parse.h"

#include "rest_upload.h"

#define FIELD_MAX  (1U << 20)
#define PARSE_ROOM 16384

struct serve_form {
	struct rest_upload *upload;
	struct MHD_PostProcessor *parser;
	struct supafs_buf cache_control, metadata, type;
	uint64_t taken; /* bytes of the file */
	bool another;   /* a second file has begun: it is not taken, as in the real server */
};

/* What a field's text goes to; NULL for one that nobody reads. */
static struct supafs_buf *field(struct serve_form *f, const char *name)
{
	if (strcmp(name, "cacheControl") == 0)
		return &f->cache_control;
	if (strcmp(name, "metadata") == 0 || strcmp(name, "userMetadata") == 0)
		return &f->metadata;
	return strcmp(name, "contentType") == 0 ? &f->type : NULL;
}

/* The file begins: the fields are what they are. False when the upload is refused. */
static bool begin_file(struct serve_form *f, const char *type)
{
	struct rest_upload *u = f->upload;
	uint64_t seconds;

	u->saw_file = true;
	if (f->type.n)
		type = supafs_buf_cstr(&f->type);
	(void)supafs_buf_adds(&u->mime, type && *type ? type : "application/octet-stream");
	if (f->cache_control.n &&
		supafs_parse_u64(supafs_buf_str(&f->cache_control), UINT64_MAX, &seconds) == 0)
		(void)supafs_buf_addf(
			&u->cache_control, "max-age=%s", supafs_buf_cstr(&f->cache_control));
	else if (f->cache_control.n)
		(void)supafs_buf_addstr(&u->cache_control, supafs_buf_str(&f->cache_control));
	else
		(void)supafs_buf_adds(&u->cache_control, "no-cache");
	u->has_meta = true;
	if (supafs_buf_error(&f->metadata) < 0)
		u->too_large = true;
	else if (!f->metadata.n && !rest_metadata_header(u->req, &u->meta))
		(void)supafs_buf_adds(&u->meta, "{}");
	else if (f->metadata.n && !rest_metadata_text(supafs_buf_str(&f->metadata), &u->meta))
		rest_fail(u->req, SERVE_DATABASE);
	return !u->req->response && rest_upload_check_mime(u);
}

/* NOLINTNEXTLINE(readability-function-size): the library's form */
static enum MHD_Result part(void *ctx, enum MHD_ValueKind kind, const char *key,
	const char *filename, const char *type, const char *encoding, const char *data,
	uint64_t offset, size_t n)
{
	struct serve_form *f = ctx;
	struct supafs_buf *text;

	(void)kind;
	(void)encoding;
	if (!filename) {
		text = f->upload->saw_file ? NULL : field(f, key ? key : "");
		if (text)
			(void)supafs_buf_add(text, data, n);
		return MHD_YES;
	}
	if (offset == 0 && !f->upload->saw_file && !begin_file(f, type))
		return MHD_NO;
	f->another = f->another || offset < f->taken;
	if (f->another)
		return MHD_YES;
	f->taken += n;
	rest_upload_write(f->upload, data, n);
	return MHD_YES;
}

struct serve_form *rest_form_new(struct rest_upload *u)
{
	struct serve_form *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->upload = u;
	supafs_buf_init(&f->cache_control, 256);
	supafs_buf_init(&f->metadata, FIELD_MAX);
	supafs_buf_init(&f->type, 256);
	f->parser = MHD_create_post_processor(u->req->conn, PARSE_ROOM, part, f);
	return f->parser ? f : rest_form_free(f);
}

void rest_form_data(struct serve_form *f, const char *p, size_t n)
{
	(void)MHD_post_process(f->parser, p, n);
}

bool rest_form_end(struct serve_form *f)
{
	enum MHD_Result whole = MHD_destroy_post_processor(f->parser);

	f->parser = NULL;
	return whole == MHD_YES;
}

struct serve_form *rest_form_free(struct serve_form *f)
{
	if (!f)
		return NULL;
	if (f->parser)
		(void)MHD_destroy_post_processor(f->parser);
	supafs_buf_fini(&f->cache_control);
	supafs_buf_fini(&f->metadata);
	supafs_buf_fini(&f->type);
	free(f);
	return NULL;
}
