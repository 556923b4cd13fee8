/* SPDX-License-Identifier: Apache-2.0 */
/* The body of an answer made slow, cut or dripping. */
#include "fault_body.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "supafs/util/clock.h"

#define BLOCK      (64U << 10)
#define SLICES_A_S 20U /* a slow body comes in so many pieces a second */

struct body {
	struct MHD_Response *inner;
	struct serve_fault fault;
	struct serve_fault_source source;
	struct serve_fault_pace pace;
};

uint64_t serve_fault_pace_ms(
	struct serve_fault_pace *p, uint64_t rate, uint64_t bytes, int64_t now_ns)
{
	double due_ns;

	if (!p->began) {
		p->began = true;
		p->start_ns = now_ns;
	}
	due_ns = (double)bytes / (double)rate * (double)SUPAFS_NS_PER_S -
		 (double)(now_ns - p->start_ns);
	return due_ns > 0 ? (uint64_t)(due_ns / (double)SUPAFS_NS_PER_MS) : 0;
}

bool serve_fault_body_wanted(const struct serve_fault *f)
{
	return f->cut || f->rate_down != 0 || f->drip_ms != 0;
}

/* Waits until `n` bytes at `at` may go; *n may shrink. False: the server stops. */
static bool pace(struct body *b, uint64_t at, uint64_t *n)
{
	const struct supafs_clock *clock = supafs_clock_system();
	const struct serve_fault *f = &b->fault;
	uint64_t ms = 0;

	if (f->drip_ms != 0) {
		*n = 1;
		ms = at == 0 ? 0 : f->drip_ms;
	} else if (f->rate_down != 0) {
		uint64_t slice = f->rate_down / SLICES_A_S + 1;

		if (*n > slice)
			*n = slice;
		ms = serve_fault_pace_ms(&b->pace, f->rate_down, at, clock->mono_ns(clock));
	}
	return ms == 0 || b->source.wait_ms(b->source.ctx, ms);
}

static ssize_t read_body(void *ctx, uint64_t at, char *out, size_t max)
{
	struct body *b = ctx;
	uint64_t end = b->source.size;
	uint64_t n = max;
	ssize_t r;

	if (b->fault.cut && b->fault.cut_after < end)
		end = b->fault.cut_after;
	if (at >= end)
		return MHD_CONTENT_READER_END_WITH_ERROR;
	if (n > end - at)
		n = end - at;
	if (!pace(b, at, &n))
		return MHD_CONTENT_READER_END_WITH_ERROR;
	if (b->source.text) {
		memcpy(out, b->source.text + at, n);
		return (ssize_t)n;
	}
	r = pread(b->source.fd, out, n, (off_t)(b->source.from + at));

	return r > 0 ? r : MHD_CONTENT_READER_END_WITH_ERROR;
}

static void free_body(void *ctx)
{
	struct body *b = ctx;

	MHD_destroy_response(b->inner);
	free(b);
}

static enum MHD_Result copy_header(
	void *ctx, enum MHD_ValueKind kind, const char *name, const char *value)
{
	(void)kind;
	(void)MHD_add_response_header(ctx, name, value);
	return MHD_YES;
}

struct MHD_Response *serve_fault_body_wrap(struct MHD_Response *inner, const struct serve_fault *f,
	const struct serve_fault_source *source)
{
	struct body *b = calloc(1, sizeof(*b));
	struct MHD_Response *r;

	if (!b)
		return NULL;
	*b = (struct body){.fault = *f, .source = *source};
	r = MHD_create_response_from_callback(source->size, BLOCK, read_body, b, free_body);
	if (!r) {
		free(b);
		return NULL;
	}
	b->inner = inner;
	(void)MHD_get_response_headers(inner, copy_header, r);
	return r;
}
