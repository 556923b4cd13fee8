/* SPDX-License-Identifier: Apache-2.0 */
/* One upload of "0123456789" to key "k" over a scripted transport, resumable from 10 bytes on. */
#pragma once

#include "supafs/util/cleanup.h"

#include "supabase_bench.h"

#define TEXT     "0123456789"
#define ID       "bXkgYnVja2V0L2svdjE"
#define ID2      "bXkgYnVja2V0L2svdjI"
#define URL      BASE "/upload/resumable"
#define LOCATION "https://elsewhere:1/x/upload/resumable/" ID
#define TUS      "Tus-Resumable: 1.0.0"
#define UPSERT   "x-upsert: true"
#define OCTETS   "Content-Type: application/offset+octet-stream"
#define MIB      (UINT64_C(1) << 20)

/* What is uploaded, and what the caller sees of it. */
struct upload {
	struct bench b;
	struct supafs_fake_clock clock;
	struct supafs_put_args args;
	struct supafs_resume resume;
	struct supafs_buf metadata; /* the header that is sent */
	struct supafs_buf line;     /* "Upload-Metadata: " and it */
	char changes[400];          /* ids that were told, "-" for none */
	unsigned char id[16];
};

#define FACTS(nonce) "{\"mode\":\"33152\",\"nonce\":\"" nonce "\",\"u\":\"v\"}"
/* pairs of util/pairs.h: u = v */
#define USER ((struct supafs_str){"\1\0\0\0\1\0\0\0uv", 10})

void upload_init(struct upload *u);
void upload_fini(struct upload *u);
/* Puts it through a store of its own; the script must be used up. */
int put(struct upload *u, const struct exchange *list, size_t n);
/* What the server would keep: Upload-Metadata of `key` with that user metadata. */
void make_metadata(struct supafs_buf *b, const char *key, const char *json);
void b64_pair(struct supafs_buf *b, const char *name, const char *value);

#define PUT(u, list) put(&(u), (list), SUPAFS_ARRAY_LEN(list))

/* clang-format off */
#define POST(u)  .method = SUPAFS_HTTP_POST, .url = URL, \
	.headers = {KEYS, TUS, UPSERT, "Upload-Length: 10", (u).line.p}
#define CREATED .status = 201, .location = LOCATION
#define PATCH(id, at) .method = SUPAFS_HTTP_PATCH, .url = URL "/" id, \
	.headers = {KEYS, TUS, UPSERT, "Upload-Offset: " at, OCTETS}
#define TAKEN(to) .status = 204, .offset = to
#define HEAD(id) .method = SUPAFS_HTTP_HEAD, .url = URL "/" id, .headers = {KEYS, TUS}
#define AT(u, at) .status = 200, .offset = at, .length = "10", .metadata = (u).metadata.p
#define DELETE(id) .method = SUPAFS_HTTP_DELETE, .url = URL "/" id, .headers = {KEYS, TUS, UPSERT}
#define INFO .method = SUPAFS_HTTP_GET, \
	.url = BASE "/object/info/authenticated/my%20bucket/k?cacheNonce=*", .headers = {KEYS}
#define OURS .status = 200, .reply = "{\"name\":\"k\",\"size\":10," \
	"\"id\":\"d3bbe41b-0102-0304-0506-0708090a0b0c\",\"metadata\":{\"nonce\":\"n\"}}"
#define THEIRS .status = 200, .reply = "{\"name\":\"k\",\"size\":10,\"metadata\":{\"nonce\":\"x\"}}"
#define NOBODYS .status = 400, \
	.reply = "{\"statusCode\":\"404\",\"code\":\"NoSuchKey\",\"message\":\"Object not found\"}"
#define EXPIRED_TOKEN .status = 400, .reply = "{\"statusCode\":\"403\",\"code\":\"AccessDenied\"," \
	"\"message\":\"\\\"exp\\\" claim timestamp check failed\"}"
#define BROKEN(far) .error = -ECONNRESET, .progress = (far)
/* clang-format on */
