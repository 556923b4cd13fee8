/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON replies of the store: listings page by page, info, bucket facts, copies, batch deletes.
 *
 *	byte 0       '0'…'5': which operation (list with delimiter, list flat, info, probe, copy,
 *	             remove_many)
 *	to the LF    the prefix or key
 *	rest         replies, ended by 0x1E each; "!404" before one is its status. The last one
 *	             is given for every further request.
 *
 * Whatever comes, a listing gives keys in rising order, below its prefix, and ends.
 */
#include <errno.h>

#include "supafs/http/http.h"
#include "supafs/util/cleanup.h"
#include "supafs/util/limits.h"
#include "supafs/util/parse.h"

#include "fuzz.h"
#include "store_priv.h"

#define REQUESTS_MAX 100 /* then the transport says that time is over, as a deadline would */
#define KEYS         3

struct server {
	struct supafs_http base;
	struct supafs_str rest, last;
	unsigned requests;
};

static int take_status(struct supafs_str *body)
{
	uint64_t status = 0;

	if (body->n < 4 || body->p[0] != '!' ||
		supafs_parse_u64((struct supafs_str){body->p + 1, 3}, 599, &status) < 0 ||
		status < 100)
		return 200;
	body->p += 4;
	body->n -= 4;
	return (int)status;
}

static int give(const struct supafs_http_request *req, struct supafs_http_reply *reply,
	struct supafs_str body)
{
	size_t max = req->max_body ? req->max_body : SUPAFS_JSON_BODY_MAX;
	int r = 0;

	if (reply->status >= 300)
		max = SUPAFS_ERR_BODY_MAX;
	else if (body.n > max)
		return -EPROTO;
	if (body.n > max)
		body.n = max;
	reply->content_length = body.n;
	if (req->sink && reply->status < 300) {
		if (req->sink->begin)
			r = req->sink->begin(req->sink->ctx, reply);
		return r < 0 ? r : req->sink->write(req->sink->ctx, body.p, body.n);
	}
	supafs_buf_init(&reply->body, max);
	return body.n ? supafs_buf_addstr(&reply->body, body) : 0;
}

static int perform(struct supafs_http *t, struct supafs_call *call,
	const struct supafs_http_request *req, struct supafs_http_reply *reply)
{
	struct server *s = (struct server *)(void *)t;
	struct supafs_str body;

	(void)call;
	if (++s->requests > REQUESTS_MAX)
		return -ETIMEDOUT;
	FUZZ_CHECK(strlen(req->url) <= SUPAFS_URL_MAX);
	if (s->rest.n > 0)
		s->last = fuzz_cut(&s->rest, '\x1e');
	body = s->last;
	reply->status = take_status(&body);
	reply->progress = SUPAFS_HTTP_REPLY_PART;
	return give(req, reply, body);
}

struct walk {
	const struct supafs_list_args *args;
	size_t last_n;
	char last[SUPAFS_KEY_MAX + 2];
};

static void check_version(const struct supafs_version *v)
{
	FUZZ_CHECK(v->size <= INT64_MAX);
	FUZZ_CHECK(strnlen(v->etag, sizeof(v->etag)) < sizeof(v->etag));
}

static int on_entry(void *ctx, const struct supafs_entry *e)
{
	struct walk *w = ctx;
	struct supafs_str prefix = w->args->prefix;
	const char *slash;

	FUZZ_CHECK(e->key.n > 0 && e->key.n <= SUPAFS_KEY_MAX);
	FUZZ_CHECK(!memchr(e->key.p, 0, e->key.n) && supafs_str_starts(e->key, prefix));
	FUZZ_CHECK(w->last_n == 0 ||
		   supafs_str_cmp((struct supafs_str){w->last, w->last_n}, e->key) < 0);
	if (w->args->delimiter) {
		slash = memchr(e->key.p + prefix.n, '/', e->key.n - prefix.n);
		FUZZ_CHECK(e->folder ? slash == e->key.p + e->key.n - 1 : slash == NULL);
	} else {
		FUZZ_CHECK(!e->folder);
	}
	if (!e->folder)
		check_version(&e->version);
	memcpy(w->last, e->key.p, e->key.n);
	w->last_n = e->key.n;
	return 0;
}

static void check_fault(int r, const struct supafs_fault *f)
{
	if (r < 0)
		FUZZ_CHECK(f->class > SUPAFS_FAULT_NONE && f->class < SUPAFS_FAULT__COUNT);
}

static void walk(
	struct supafs_store *s, struct supafs_call *call, struct supafs_str prefix, bool delimiter)
{
	struct supafs_list_args args = {
		.prefix = prefix, .delimiter = delimiter, .limit = 10, .on_entry = on_entry};
	struct walk w = {.args = &args};
	struct supafs_cursor cursor = {0};
	struct supafs_fault fault;
	bool more = true;
	int r = 0;

	args.ctx = &w;
	while (r == 0 && more) {
		r = s->ops->list(s, call, &args, &cursor, &more, &fault);
		check_fault(r, &fault);
		FUZZ_CHECK(cursor.n <= sizeof(cursor.p));
	}
}

static void info(struct supafs_store *s, struct supafs_call *call, struct supafs_str key)
{
	struct supafs_info i;
	struct supafs_fault fault;
	int r = s->ops->info(s, call, key, &i, &fault);

	check_fault(r, &fault);
	if (r < 0)
		return;
	check_version(&i.version);
	FUZZ_CHECK(strnlen(i.mime, sizeof(i.mime)) < sizeof(i.mime));
	FUZZ_CHECK(strnlen(i.cache_control, sizeof(i.cache_control)) < sizeof(i.cache_control));
	FUZZ_CHECK(strnlen(i.nonce, sizeof(i.nonce)) < sizeof(i.nonce));
	FUZZ_CHECK(strnlen(i.generation, sizeof(i.generation)) < sizeof(i.generation));
}

static void probe(struct supafs_store *s, struct supafs_call *call)
{
	struct supafs_bucket_info b = {.name = ""};
	struct supafs_fault fault;
	int r = s->ops->probe(s, call, &b, &fault);

	check_fault(r, &fault);
	if (r == 0) {
		FUZZ_CHECK(strnlen(b.name, sizeof(b.name)) < sizeof(b.name));
		supafs_buf_fini(&b.mimes);
	}
}

static void copy(struct supafs_store *s, struct supafs_call *call, struct supafs_str key)
{
	struct supafs_copy_args args = {
		.from = key, .to = SUPAFS_STR("to/here"), .to_bucket = SUPAFS_STR("")};
	struct supafs_entry e = {.folder = false};
	struct supafs_fault fault;
	int r = s->ops->copy(s, call, &args, &e, &fault);

	check_fault(r, &fault);
	if (r == 0)
		check_version(&e.version);
}

static void remove_many(struct supafs_store *s, struct supafs_call *call, struct supafs_str key)
{
	const struct supafs_str keys[KEYS] = {SUPAFS_STR("a"), key, SUPAFS_STR("dir/b")};
	bool gone[KEYS] = {false};
	struct supafs_fault fault;

	check_fault(s->ops->remove_many(s, call, keys, KEYS, gone, &fault), &fault);
}

static void run(struct supafs_store *s, struct supafs_call *call, char op, struct supafs_str key)
{
	switch (op) {
	case '0':
	case '1':
		walk(s, call, key, op == '0');
		break;
	case '2':
		info(s, call, key);
		break;
	case '3':
		probe(s, call);
		break;
	case '4':
		copy(s, call, key);
		break;
	case '5':
		remove_many(s, call, key);
		break;
	default:
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct supafs_http_ops ops = {.perform = perform};
	struct server server = {.base = {&ops}, .last = {"", 0}};
	struct supafs_supabase_config cfg = {.url = "https://x.supabase.co",
		.bucket = "b",
		.key = "k",
		.clock = supafs_clock_system(),
		.seed = 1};
	struct supafs_store *s = NULL;
	struct supafs_call call;
	struct supafs_str key;

	if (size < 2 || size > (1U << 20))
		return 0;
	server.rest = fuzz_str(data + 1, size - 1);
	key = fuzz_cut(&server.rest, '\n');
	supafs_call_init(&call, cfg.clock, 0);
	FUZZ_CHECK(supafs_store_new_supabase(&cfg, &server.base, &s) == 0);
	run(s, &call, (char)data[0], key);
	(void)supafs_store_free(s);
	supafs_call_fini(&call);
	return 0;
}
