/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Resumable uploads, TUS 1.0.0 (API §6): one POST, and as few PATCH as the path allows.
 *
 *	step     request   leaves by
 *	LOOK     HEAD      an offset → SEND; all bytes there → ASK, else SEND of nothing;
 *	                   not this upload → CREATE; gone → ASK, else CREATE; refused → ASK, else
 *LOOK CREATE   POST      201 → SEND; no such route → the whole by PUT SEND     PATCH     all bytes
 *taken → done; some → SEND; 409 → LOOK; 404, 410 → ASK, else CREATE; a limit on the way → SEND,
 *smaller; cut → LOOK ASK      info      our nonce → done; else `otherwise`
 *
 * ASK is passed over when nothing can have been completed. CREATE after a loss happens once a put.
 * After a cut the upload goes on as long as it gets further; else the cut's fault is returned, and
 * the retry layer decides when the next put looks again: `resume` carries the id there, and from
 * one process to the next.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/clock.h"

#include "errors_priv.h"
#include "tus_priv.h"
#include "user_priv.h"

#define ROUTE "/upload/resumable"

enum {
	CONFLICTS_MAX = 5, /* about the offset, in one put */
};

enum step {
	LOOK,
	CREATE,
	SEND,
	ASK,
	DONE,
};

/* How a request ended that may not be the last word. */
struct cut {
	bool set;
	int error;
	struct supafs_fault fault;
	uint64_t offset; /* where it began */
	int64_t took_ns;
	bool told;     /* a gateway's time was up */
	bool conflict; /* the server has another offset than we thought */
};

struct tus {
	struct supafs_sb *sb;
	struct supafs_call *call;
	const struct supafs_put_args *args;
	struct supafs_resume *resume;
	struct supafs_fault *fault;
	struct supafs_sb_attrs attrs;
	char nonce[SUPAFS_NONCE_MAX + 1]; /* of the upload that is under way */
	uint64_t offset;                  /* bytes that the server has */
	enum step step;
	enum step otherwise; /* of ASK */
	bool exists;         /* ASK in vain means -EEXIST */
	bool maybe_done;     /* a request that completes it may have been heeded … */
	bool sent_last;      /* … in this put */
	bool anew;           /* it was lost and begun anew */
	bool refused;        /* HEAD was, once */
	struct cut cut;
	unsigned conflicts;
	int source_error; /* of the caller's pread */
	unsigned char id[16];
};

static void set_upload(struct tus *t, const char *id)
{
	struct supafs_resume *r = t->resume;

	assert(r);
	if (strcmp(r->id, id) == 0)
		return;
	(void)snprintf(r->id, sizeof(r->id), "%s", id);
	r->offset = 0;
	if (r->changed)
		r->changed(r->ctx, r);
}

/* --- Requests --------------------------------------------------------------------------------- */

static void begin_request(struct tus *t, struct supafs_sb_req *q, enum supafs_http_method method)
{
	supafs_sb_req_init(q, t->sb, method, ROUTE);
	if (method != SUPAFS_HTTP_POST)
		supafs_sb_req_key(q, supafs_str_of(t->resume->id));
	supafs_sb_req_header_line(q, "Tus-Resumable: 1.0.0");
	/* It is looked at in each request that changes something (API §6.4). */
	if (!t->args->exclusive && method != SUPAFS_HTTP_HEAD)
		supafs_sb_req_header_line(q, "x-upsert: true");
}

/* Only the last piece makes an object: any other that is lost has surely not. */
static int perform(struct tus *t, struct supafs_sb_req *q)
{
	int r = supafs_sb_req_perform(q, t->call, SUPAFS_OP_PUT, t->fault);

	if (r < 0 && q->method != SUPAFS_HTTP_PATCH)
		t->fault->ambiguous = t->sent_last;
	return r;
}

static int bad_reply(struct tus *t, const struct supafs_http_reply *reply)
{
	int r = supafs_errors_bad_reply(reply, t->fault);

	t->fault->ambiguous = t->sent_last;
	return r;
}

/* Storage for nobody: the server need not keep it until it expires. */
static void terminate(struct tus *t)
{
	supafs_cleanup(supafs_sb_req_fini) struct supafs_sb_req q;
	struct supafs_fault ignored;

	begin_request(t, &q, SUPAFS_HTTP_DELETE);
	(void)supafs_sb_req_perform(&q, t->call, SUPAFS_OP_PUT, &ignored);
}

/* The id leads nowhere. */
static int begin_anew(struct tus *t)
{
	set_upload(t, "");
	t->maybe_done = t->sent_last = t->cut.set = false;
	t->offset = 0;
	t->step = CREATE;
	if (t->anew)
		return supafs_fault_set(t->fault, -EIO, SUPAFS_FAULT_TRANSIENT, "UploadGone",
			"the server loses the upload again and again");
	t->anew = true;
	return 0;
}

static void ask_else(struct tus *t, enum step otherwise)
{
	t->step = ASK;
	t->otherwise = otherwise;
}

static int gone(struct tus *t)
{
	if (!t->maybe_done)
		return begin_anew(t);
	ask_else(t, CREATE);
	return 0;
}

/* --- LOOK ------------------------------------------------------------------------------------- */

/* A reply without a body to HEAD: it may be the token's fault, which info then tells. */
static int look_refused(struct tus *t, int status)
{
	if (status == 404 || status == 410 || t->refused)
		return gone(t);
	t->refused = true;
	ask_else(t, LOOK);
	return 0;
}

/* Since the cut the server has got further, or it is known why not and the next piece is smaller.
 */
static bool worth_going_on(struct tus *t)
{
	const struct cut *c = &t->cut;
	bool smaller;

	if (!c->set)
		return true;
	if (c->conflict)
		return t->offset != c->offset && ++t->conflicts <= CONFLICTS_MAX;
	smaller = supafs_sb_pace_cut(&t->sb->pace,
		t->offset > c->offset ? t->offset - c->offset : 0, c->took_ns, c->told);
	return smaller || t->offset > c->offset;
}

static int look_found(struct tus *t, const struct supafs_http_reply *r)
{
	if (r->upload_offset == UINT64_MAX)
		return bad_reply(t, r);
	if (r->upload_length != t->args->size || r->upload_offset > t->args->size ||
		!supafs_sb_tus_same(
			t->sb, t->args, supafs_buf_str(&r->upload_metadata), t->nonce)) {
		terminate(t);
		return begin_anew(t);
	}
	t->offset = t->resume->offset = r->upload_offset;
	t->step = SEND;
	if (t->offset == t->args->size)
		ask_else(t, SEND);
	if (!worth_going_on(t)) {
		*t->fault = t->cut.fault;
		return t->cut.error;
	}
	t->cut.set = false;
	return 0;
}

static int step_look(struct tus *t)
{
	supafs_cleanup(supafs_sb_req_fini) struct supafs_sb_req q;
	int r;

	begin_request(t, &q, SUPAFS_HTTP_HEAD);
	r = perform(t, &q);
	if (r == 0)
		return look_found(t, &q.reply);
	switch (q.reply.status) {
	case 400:
	case 401:
	case 403:
	case 404:
	case 410:
		return look_refused(t, q.reply.status);
	default:
		return r;
	}
}

/* --- CREATE ----------------------------------------------------------------------------------- */

static bool no_such_route(const struct supafs_fault *f)
{
	return f->status == 501 ||
	       (strcmp(f->code, "NotStorage") == 0 && (f->status == 404 || f->status == 405));
}

static int put_whole(struct tus *t)
{
	int r = supafs_sb_put_whole(t->sb, t->call, t->args, t->id, t->fault);

	t->step = DONE;
	if (r == 0)
		t->sb->no_tus = true;
	return r;
}

static int step_create(struct tus *t)
{
	supafs_cleanup(supafs_sb_req_fini) struct supafs_sb_req q;
	supafs_cleanup(supafs_buf_fini) struct supafs_buf metadata;
	char length[24];
	char id[SUPAFS_UPLOAD_MAX + 1];
	int r;

	supafs_buf_init(&metadata, SUPAFS_URL_MAX);
	(void)snprintf(length, sizeof(length), "%llu", (unsigned long long)t->args->size);
	begin_request(t, &q, SUPAFS_HTTP_POST);
	supafs_sb_req_header(&q, "Upload-Length", supafs_str_of(length));
	q.error = q.error ? q.error : supafs_sb_tus_metadata(t->sb, t->args, &t->attrs, &metadata);
	supafs_sb_req_header(&q, "Upload-Metadata", supafs_buf_str(&metadata));
	r = perform(t, &q);
	if (r < 0)
		return no_such_route(t->fault) ? put_whole(t) : r;
	if (!supafs_sb_tus_id(q.reply.location, id))
		return bad_reply(t, &q.reply);
	(void)snprintf(t->nonce, sizeof(t->nonce), "%.*s", SUPAFS_STR_FMT(t->args->nonce));
	set_upload(t, id);
	t->offset = 0;
	t->step = SEND;
	return 0;
}

/* --- SEND ------------------------------------------------------------------------------------- */

/* What one PATCH brings. */
struct piece {
	uint64_t n;
	int64_t took_ns;
};

static ssize_t piece_pread(void *ctx, void *buf, size_t n, uint64_t off)
{
	struct tus *t = ctx;
	ssize_t got = t->args->pread(t->args->ctx, buf, n, t->offset + off);

	if (got < 0)
		t->source_error = (int)got;
	else if (got == 0 && n > 0)
		got = t->source_error = -EIO; /* the file shrank under us */
	return got;
}

static bool time_was_up(int status)
{
	return status == 408 || status == 504 || status == 524;
}

/* The request broke, or its answer says nothing: only the server knows what has arrived. */
static int look_again(struct tus *t, int r, const struct piece *p)
{
	t->cut = (struct cut){
		.set = true,
		.error = r,
		.fault = *t->fault,
		.offset = t->offset,
		.took_ns = p->took_ns,
		.told = time_was_up(t->fault->status),
		.conflict = strcmp(t->fault->code, "UploadOffset") == 0,
	};
	t->step = LOOK;
	return 0;
}

static bool is_last(const struct tus *t, const struct piece *p)
{
	return t->offset + p->n == t->args->size;
}

static int sent(struct tus *t, const struct supafs_http_reply *reply, const struct piece *p)
{
	const uint64_t to = reply->upload_offset;

	/* A page of somebody's portal is no answer, either. */
	if (to == UINT64_MAX || to > t->offset + p->n || (to == t->offset && p->n > 0)) {
		t->maybe_done = t->sent_last = is_last(t, p);
		return look_again(t, bad_reply(t, reply), p);
	}
	supafs_sb_pace_done(&t->sb->pace, p->n, p->took_ns);
	t->offset = t->resume->offset = to;
	if (to == t->args->size)
		t->step = DONE;
	return 0;
}

static int too_large(struct tus *t, int r, const struct piece *p)
{
	struct supafs_fault *f = t->fault;

	/* The server's own word is about the object, a gateway's about the request. */
	if (strcmp(f->code, "EntityTooLarge") == 0)
		return r;
	if (supafs_sb_pace_too_large(&t->sb->pace, p->n))
		return 0;
	(void)snprintf(f->text, sizeof(f->text),
		"a gateway refuses requests of 6 MiB: raise its limit for request bodies");
	return r;
}

/* All bytes are there, and the request that was to end it failed: the store behind the server may
 * have closed the upload (API §6.5). */
static bool closed(const struct piece *p, const struct supafs_fault *f)
{
	return p->n == 0 &&
	       (f->status == 500 || (f->status >= 400 && f->class == SUPAFS_FAULT_PERMANENT));
}

/* A piece was not taken, or nobody knows: `f` is the fault of it. */
static int not_sent(struct tus *t, int r, enum supafs_http_progress progress, const struct piece *p)
{
	struct supafs_fault *f = t->fault;
	const bool broken = f->status == 0 && progress != SUPAFS_HTTP_NOT_SENT;

	if (is_last(t, p) && f->ambiguous)
		t->maybe_done = t->sent_last = true;
	f->ambiguous = t->sent_last;
	if (supafs_call_check(t->call) < 0)
		return r;
	if (strcmp(f->code, "UploadGone") == 0 || closed(p, f))
		return gone(t);
	if (r == -EEXIST && t->maybe_done) {
		t->exists = true;
		ask_else(t, SEND);
		return 0;
	}
	if (f->class == SUPAFS_FAULT_TOO_LARGE)
		return too_large(t, r, p);
	if (f->class == SUPAFS_FAULT_TRANSIENT &&
		(broken || time_was_up(f->status) || strcmp(f->code, "UploadOffset") == 0))
		return look_again(t, r, p);
	return r;
}

static int step_send(struct tus *t)
{
	supafs_cleanup(supafs_sb_req_fini) struct supafs_sb_req q;
	const struct supafs_clock *clock = t->sb->clock;
	const uint64_t left = t->args->size - t->offset;
	struct piece p = {.n = supafs_sb_pace_next(&t->sb->pace, t->args->size, left)};
	const struct supafs_http_source source = {piece_pread, t, p.n};
	const int64_t began_ns = clock->mono_ns(clock);
	char offset[24];
	int r;

	(void)snprintf(offset, sizeof(offset), "%llu", (unsigned long long)t->offset);
	begin_request(t, &q, SUPAFS_HTTP_PATCH);
	supafs_sb_req_header(&q, "Upload-Offset", supafs_str_of(offset));
	supafs_sb_req_header_line(&q, "Content-Type: application/offset+octet-stream");
	if (p.n > 0)
		q.source = &source;
	r = perform(t, &q);
	p.took_ns = clock->mono_ns(clock) - began_ns;
	if (t->source_error < 0)
		return supafs_fault_set(t->fault, t->source_error, SUPAFS_FAULT_PERMANENT, "Local",
			"the content could not be read");
	return r == 0 ? sent(t, &q.reply, &p) : not_sent(t, r, q.reply.progress, &p);
}

/* --- ASK -------------------------------------------------------------------------------------- */

static int step_ask(struct tus *t)
{
	const struct supafs_fault before = *t->fault;
	struct supafs_info info;
	int r = supafs_sb_info(&t->sb->base, t->call, t->args->key, &info, t->fault);

	if (r < 0 && r != -ENOENT) {
		t->fault->ambiguous = t->sent_last;
		return r;
	}
	if (r == 0 && strcmp(info.nonce, t->nonce) == 0) {
		memcpy(t->id, info.version.id, sizeof(t->id));
		t->step = DONE;
		return 0;
	}
	if (t->exists) {
		*t->fault = before;
		t->fault->ambiguous = false;
		return -EEXIST;
	}
	t->maybe_done = t->sent_last = false;
	t->step = t->otherwise;
	return t->step == CREATE ? begin_anew(t) : 0;
}

/* --- The whole -------------------------------------------------------------------------------- */

static int run(struct tus *t)
{
	int r = 0;

	while (r == 0 && t->step != DONE) {
		switch (t->step) {
		case LOOK:
			r = step_look(t);
			break;
		case CREATE:
			r = step_create(t);
			break;
		case SEND:
			r = step_send(t);
			break;
		case ASK:
			r = step_ask(t);
			break;
		case DONE:
			break;
		}
	}
	return r;
}

/* Is there an id? It may come out of a file, so it is looked at. */
static bool known(const struct supafs_resume *r)
{
	char id[SUPAFS_UPLOAD_MAX + 1];

	return supafs_sb_tus_id(r->id, id) && strcmp(id, r->id) == 0;
}

int supafs_sb_put_tus(struct supafs_sb *sb, struct supafs_call *call,
	const struct supafs_put_args *args, unsigned char ret_id[16], struct supafs_fault *fault)
{
	struct tus t = {
		.sb = sb,
		.call = call,
		.args = args,
		.resume = args->resume,
		.fault = fault,
		.step = CREATE,
	};
	int r = supafs_sb_attrs_init(&t.attrs, args, args->nonce, fault);

	(void)snprintf(t.nonce, sizeof(t.nonce), "%.*s", SUPAFS_STR_FMT(args->nonce));
	if (known(t.resume)) {
		t.step = LOOK;
		t.maybe_done = true; /* what came of it is not known */
	}
	if (r == 0)
		r = run(&t);
	if (r == 0) {
		set_upload(&t, "");
		memcpy(ret_id, t.id, sizeof(t.id));
		supafs_fault_clear(fault);
	}
	supafs_sb_attrs_fini(&t.attrs);
	return r;
}
