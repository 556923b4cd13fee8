/* SPDX-License-Identifier: Apache-2.0 */
/* The scripted transport. */
#include "script_http.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "supafs/util/parse.h"

#include "unit.h"

static void assert_text(const char *got, const char *want)
{
	size_t n = strlen(want);

	assert_non_null(got);
	if (n > 0 && want[n - 1] == '*') {
		if (strncmp(got, want, n - 1) != 0)
			assert_string_equal(got, want);
		return;
	}
	assert_string_equal(got, want);
}

static void assert_body(const struct supafs_http_source *source, const char *want)
{
	char got[20000];
	uint64_t at = 0;

	if (!want) {
		assert_null(source);
		return;
	}
	assert_non_null(source);
	assert_true(source->size < sizeof(got));
	while (at < source->size) {
		/* In pieces: nobody may count on one read. */
		ssize_t n = source->pread(source->ctx, got + at,
			source->size - at < 7 ? (size_t)(source->size - at) : 7, at);
		assert_true(n > 0);
		at += (uint64_t)n;
	}
	got[at] = '\0';
	assert_string_equal(got, want);
}

static void assert_request(const struct exchange *x, const struct supafs_http_request *req)
{
	size_t n = 0;

	assert_string_equal(
		supafs_http_method_name(req->method), supafs_http_method_name(x->method));
	assert_text(req->url, x->url);
	for (; req->headers && req->headers[n]; n++) {
		if (!x->headers[n])
			fail_msg("header too many: %s", req->headers[n]);
		assert_text(req->headers[n], x->headers[n]);
	}
	assert_null(x->headers[n]);
	if (x->body_size > 0) {
		assert_non_null(req->body);
		assert_int_equal(req->body->size, x->body_size);
	} else if (x->error == 0 || x->body) {
		assert_body(req->body, x->body);
	}
}

static void fill_reply(const struct exchange *x, struct supafs_http_reply *r)
{
	r->status = x->status;
	r->progress = x->status ? SUPAFS_HTTP_REPLY_PART : x->progress;
	if (x->retry_after_ms)
		r->retry_after_ms = x->retry_after_ms;
	if (x->reply && !x->no_length)
		r->content_length = strlen(x->reply);
	if (x->etag)
		(void)snprintf(r->etag, sizeof(r->etag), "%s", x->etag);
	if (x->range)
		assert_int_equal(supafs_http_parse_content_range(supafs_str_of(x->range), r), 0);
	if (x->location)
		(void)snprintf(r->location, sizeof(r->location), "%s", x->location);
	if (x->offset)
		assert_int_equal(
			supafs_parse_u64(supafs_str_of(x->offset), INT64_MAX, &r->upload_offset),
			0);
	if (x->length)
		assert_int_equal(
			supafs_parse_u64(supafs_str_of(x->length), INT64_MAX, &r->upload_length),
			0);
	if (x->metadata)
		assert_int_equal(supafs_buf_adds(&r->upload_metadata, x->metadata), 0);
	if (x->error)
		(void)snprintf(r->error, sizeof(r->error), "scripted");
}

/* The body in pieces of 5 bytes, as a network would. */
static int feed(const struct supafs_http_sink *sink, const char *body)
{
	size_t n = strlen(body);
	int r;

	for (size_t at = 0; at < n; at += 5) {
		r = sink->write(sink->ctx, body + at, n - at < 5 ? n - at : 5);
		if (r < 0)
			return r;
	}
	return 0;
}

static int script_perform(struct supafs_http *t, struct supafs_call *call,
	const struct supafs_http_request *req, struct supafs_http_reply *reply)
{
	struct script_http *s = (struct script_http *)(void *)t;
	const struct exchange *x = &s->list[s->at];
	int r = 0;

	(void)call;
	if (s->at == s->n)
		fail_msg("request too many: %s", req->url);
	if (!x->again)
		s->at++;
	assert_request(x, req);
	fill_reply(x, reply);
	if (s->clock)
		supafs_fake_clock_advance(s->clock, x->took_ms * SUPAFS_NS_PER_MS);
	if (req->sink && x->status >= 200 && x->status < 300) {
		if (req->sink->begin)
			r = req->sink->begin(req->sink->ctx, reply);
		if (r == 0)
			r = feed(req->sink, x->reply ? x->reply : "");
	} else if (x->reply) {
		assert_int_equal(supafs_buf_adds(&reply->body, x->reply), 0);
	}
	return r < 0 ? r : x->error;
}

static const struct supafs_http_ops script_ops = {.perform = script_perform};

void script_init(struct script_http *s, const struct exchange *list, size_t n)
{
	*s = (struct script_http){.base = {&script_ops}, .list = list, .n = n};
}

void script_done(const struct script_http *s)
{
	if (s->n > 0 && !s->list[s->n - 1].again)
		assert_int_equal(s->at, s->n);
}
