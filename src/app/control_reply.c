/* SPDX-License-Identifier: Apache-2.0 */
/* What the mount answers on its control channel; lines and members are told in docs/control.md. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/file.h"
#include "supafs/util/log.h"
#include "supafs/util/name.h"
#include "supafs/util/parse.h"

#include "answer.h"
#include "control.h"

#define STATM_MAX 256

static int send_buf(struct supafs_control_peer *peer, struct supafs_buf *b)
{
	int r;

	(void)supafs_buf_addc(b, '\n');
	r = supafs_buf_error(b);
	return r < 0 ? r : supafs_control_send(peer, supafs_buf_str(b));
}

static void add_text(struct supafs_buf *b, const char *name, const char *text)
{
	(void)supafs_buf_addf(b, "\"%s\":", name);
	(void)supafs_json_quote(b, supafs_str_of(text));
}

static void add_number(struct supafs_buf *b, const char *name, uint64_t n)
{
	(void)supafs_buf_addf(b, "\"%s\":%llu", name, (unsigned long long)n);
}

/* "2026-11-24T14:00:00Z" */
static void add_time(struct supafs_buf *b, const char *name, int64_t ns)
{
	const time_t seconds = (time_t)(ns / SUPAFS_NS_PER_S);
	struct tm tm = {0};
	char text[32] = "";

	(void)gmtime_r(&seconds, &tm);
	(void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	add_text(b, name, text);
}

static void send_done(struct supafs_control_peer *peer, const char *name, uint64_t n)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf b;

	supafs_buf_init(&b, SUPAFS_ANSWER_MAX);
	(void)supafs_buf_adds(&b, "{\"ok\":true");
	if (name) {
		(void)supafs_buf_addc(&b, ',');
		add_number(&b, name, n);
	}
	(void)supafs_buf_addc(&b, '}');
	(void)send_buf(peer, &b);
}

static void send_error(struct supafs_control_peer *peer, int r, const struct supafs_fault *fault)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf b;
	char said[320], clean[400];

	supafs_buf_init(&b, SUPAFS_ANSWER_MAX);
	(void)supafs_buf_addc(&b, '{');
	add_text(&b, "error", strerrordesc_np(-r));
	(void)supafs_buf_addf(&b, ",\"errno\":%d", -r);
	if (fault && fault->class != SUPAFS_FAULT_NONE) {
		supafs_fault_format(fault, said, sizeof(said));
		(void)supafs_log_redact(said, strlen(said), clean, sizeof(clean));
		(void)supafs_buf_addc(&b, ',');
		add_text(&b, "server", clean);
	}
	(void)supafs_buf_addc(&b, '}');
	(void)send_buf(peer, &b);
}

/* --- status ----------------------------------------------------------------------------------- */

static void add_requests(struct supafs_buf *b, const struct supafs_store *stats)
{
	static const char *const names[SUPAFS_OP__COUNT] = {
		[SUPAFS_OP_PROBE] = "probe",
		[SUPAFS_OP_LIST] = "list",
		[SUPAFS_OP_INFO] = "info",
		[SUPAFS_OP_GET] = "get",
		[SUPAFS_OP_PUT] = "put",
		[SUPAFS_OP_REMOVE] = "delete",
		[SUPAFS_OP_REMOVE_MANY] = "delete_many",
		[SUPAFS_OP_COPY] = "copy",
		[SUPAFS_OP_MOVE] = "move",
		[SUPAFS_OP_URL] = "url",
	};
	struct supafs_op_stats ops[SUPAFS_OP__COUNT];
	bool first = true;

	supafs_store_stats_read(stats, ops);
	(void)supafs_buf_adds(b, "\"requests\":{");
	for (int i = 0; i < SUPAFS_OP__COUNT; i++) {
		if (!names[i] || ops[i].count == 0)
			continue;
		(void)supafs_buf_addf(b, "%s\"%s\":{", first ? "" : ",", names[i]);
		first = false;
		add_number(b, "count", ops[i].count);
		(void)supafs_buf_addc(b, ',');
		add_number(b, "errors", ops[i].errors);
		(void)supafs_buf_addc(b, ',');
		add_number(b, "bytes", ops[i].bytes);
		(void)supafs_buf_addf(b, ",\"mean_us\":%llu}",
			(unsigned long long)(ops[i].time_ns / ops[i].count / 1000));
	}
	(void)supafs_buf_addc(b, '}');
}

/* Pages of this process that are in memory, in bytes. */
static uint64_t resident(void)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf b;
	uint64_t pages = 0;
	const char *at;

	supafs_buf_init(&b, STATM_MAX);
	if (supafs_file_read("/proc/self/statm", &b) < 0 || !b.p)
		return 0;
	at = strchr(b.p, ' ');
	if (!at)
		return 0;
	at++;
	if (supafs_parse_u64((struct supafs_str){at, strcspn(at, " ")}, UINT64_MAX, &pages) < 0)
		return 0;
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void add_memory(struct supafs_buf *b, const struct supafs_control_facts *f)
{
	struct supafs_catalog_stats catalog = {0};
	struct supafs_data_stats data = {0};

	supafs_catalog_stats(f->stack->catalog, &catalog);
	supafs_data_stats(f->stack->data, &data);
	(void)supafs_buf_adds(b, "\"memory\":{");
	add_number(b, "resident", resident());
	(void)supafs_buf_addc(b, ',');
	add_number(b, "contents", data.bytes);
	(void)supafs_buf_addc(b, ',');
	add_number(b, "contents_limit", f->memory);
	(void)supafs_buf_addc(b, ',');
	add_number(b, "listings", catalog.bytes);
	(void)supafs_buf_addc(b, ',');
	add_number(b, "listings_limit", f->meta_memory);
	(void)supafs_buf_addc(b, ',');
	add_number(b, "entries", catalog.entries);
	(void)supafs_buf_addc(b, '}');
}

static void add_uploads(struct supafs_buf *b, const struct supafs_control_facts *f)
{
	struct supafs_vfs_stats st = {0};

	supafs_vfs_stats(f->stack->vfs, &st);
	(void)supafs_buf_adds(b, "\"uploads\":{");
	add_number(b, "waiting", st.dirty);
	(void)supafs_buf_addc(b, ',');
	add_number(b, "sending", st.uploading);
	(void)supafs_buf_addc(b, ',');
	add_number(b, "failed", st.failed);
	(void)supafs_buf_addc(b, ',');
	add_number(b, "deletes", st.gathered);
	(void)supafs_buf_addc(b, ',');
	add_number(b, "bytes", st.pending_bytes);
	(void)supafs_buf_addf(b, "},\"nodes\":%llu,\"open\":%llu", (unsigned long long)st.nodes,
		(unsigned long long)st.handles);
}

static void add_last_error(struct supafs_buf *b)
{
	char text[SUPAFS_LOG_LAST];
	const int64_t when = supafs_log_last_error(text, sizeof(text));

	if (when == 0)
		return;
	(void)supafs_buf_adds(b, ",\"last_error\":{");
	add_text(b, "text", text);
	(void)supafs_buf_addc(b, ',');
	add_time(b, "at", when);
	(void)supafs_buf_addc(b, '}');
}

static void answer_status(struct supafs_control_peer *peer)
{
	const struct supafs_control_facts *f = peer->facts;
	supafs_cleanup(supafs_buf_fini) struct supafs_buf b;
	struct supafs_flush_state drain;
	const bool draining = supafs_control_drain_state(peer->control, &drain);

	supafs_buf_init(&b, SUPAFS_ANSWER_MAX);
	(void)supafs_buf_addc(&b, '{');
	add_text(&b, "source", f->source);
	(void)supafs_buf_addc(&b, ',');
	add_text(&b, "mountpoint", f->mountpoint);
	(void)supafs_buf_addc(&b, ',');
	add_text(&b, "state", draining ? "ending" : "mounted");
	(void)supafs_buf_addc(&b, ',');
	add_time(&b, "since", f->since_ns);
	(void)supafs_buf_addc(&b, ',');
	add_text(&b, "version", SUPAFS_VERSION);
	(void)supafs_buf_addf(&b, ",\"pid\":%d,", (int)getpid());
	add_text(&b, "cache", f->cache);
	(void)supafs_buf_addc(&b, ',');
	add_text(&b, "log", f->log);
	(void)supafs_buf_addc(&b, ',');
	add_uploads(&b, f);
	(void)supafs_buf_addc(&b, ',');
	add_requests(&b, f->stack->stats);
	(void)supafs_buf_addc(&b, ',');
	add_memory(&b, f);
	add_last_error(&b);
	(void)supafs_buf_adds(&b, ",\"ok\":true}");
	(void)send_buf(peer, &b);
}

/* --- pending, flush --------------------------------------------------------------------------- */

struct walk {
	struct supafs_control_peer *peer;
	uint64_t n;
	int64_t now_ns;
};

static int send_pending(void *ctx, const struct supafs_pending *p)
{
	struct walk *w = ctx;
	supafs_cleanup(supafs_buf_fini) struct supafs_buf b;
	const struct supafs_str path = supafs_str_of(p->path);
	char clean[400];

	supafs_buf_init(&b, SUPAFS_ANSWER_MAX);
	(void)supafs_buf_addc(&b, '{');
	add_number(&b, "id", p->id);
	(void)supafs_buf_addc(&b, ',');
	add_text(&b, "path", p->path);
	(void)supafs_buf_adds(&b, ",\"raw\":\"");
	(void)supafs_b64url_encode(&b, path.p, path.n);
	(void)supafs_buf_adds(&b, "\",");
	add_text(&b, "state", p->state);
	(void)supafs_buf_addc(&b, ',');
	add_number(&b, "size", p->size);
	(void)supafs_buf_addc(&b, ',');
	add_number(&b, "age_s",
		p->since_ns > 0 && w->now_ns > p->since_ns
			? (uint64_t)((w->now_ns - p->since_ns) / SUPAFS_NS_PER_S)
			: 0);
	(void)supafs_buf_addc(&b, ',');
	add_number(&b, "tries", p->tries);
	if (p->error) {
		(void)supafs_log_redact(p->text ? p->text : "", p->text ? strlen(p->text) : 0,
			clean, sizeof(clean));
		(void)supafs_buf_addc(&b, ',');
		add_text(&b, "error", strerrordesc_np(p->error));
		(void)supafs_buf_addf(&b, ",\"errno\":%d,", p->error);
		add_text(&b, "server", clean);
	}
	(void)supafs_buf_addc(&b, '}');
	w->n++;
	return send_buf(w->peer, &b);
}

static void answer_pending(struct supafs_control_peer *peer)
{
	const struct supafs_clock *clock = peer->facts->stack->clock;
	struct walk w = {.peer = peer, .now_ns = clock->wall_ns(clock)};
	int r = supafs_vfs_pending(peer->facts->stack->vfs, send_pending, &w);

	if (r < 0)
		send_error(peer, r, NULL);
	else
		send_done(peer, "count", w.n);
}

static int send_state(struct supafs_control_peer *peer, const struct supafs_flush_state *st)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf b;

	supafs_buf_init(&b, SUPAFS_ANSWER_MAX);
	(void)supafs_buf_addc(&b, '{');
	add_number(&b, "files", st->files);
	(void)supafs_buf_addc(&b, ',');
	add_number(&b, "bytes", st->bytes);
	(void)supafs_buf_addc(&b, ',');
	add_number(&b, "done", st->done);
	(void)supafs_buf_addc(&b, ',');
	add_number(&b, "failed", st->failed);
	(void)supafs_buf_addc(&b, '}');
	return send_buf(peer, &b);
}

/* Who waits has gone: so does the waiting, not the uploads. */
static void on_progress(void *ctx, const struct supafs_flush_state *st)
{
	struct supafs_control_peer *peer = ctx;

	if (send_state(peer, st) < 0)
		supafs_call_cancel(peer->call);
}

static void answer_flush(struct supafs_control_peer *peer)
{
	struct supafs_flush_state st = {0};
	int r = supafs_vfs_flush_all(peer->facts->stack->vfs, peer->call, on_progress, peer, &st);

	if (send_state(peer, &st) < 0)
		return;
	if (r < 0)
		send_error(peer, r, NULL);
	else
		send_done(peer, NULL, 0);
}

static void answer_progress(struct supafs_control_peer *peer)
{
	struct supafs_flush_state st;

	(void)supafs_control_drain_state(peer->control, &st);
	if (send_state(peer, &st) == 0)
		send_done(peer, NULL, 0);
}

static void answer_number(struct supafs_control_peer *peer, int r)
{
	if (r < 0)
		send_error(peer, r, NULL);
	else
		send_done(peer, "count", (uint64_t)r);
}

/* --- url -------------------------------------------------------------------------------------- */

/* A path below the mount as the store knows it. */
static int key_of(const struct supafs_control_facts *f, const char *path, struct supafs_buf *key)
{
	char seg[SUPAFS_SEG_MAX];

	(void)supafs_buf_adds(key, f->stack->root);
	for (;;) {
		const size_t n = strcspn(path, "/");
		const ssize_t w =
			supafs_name_encode((struct supafs_str){path, n}, seg, sizeof(seg));

		if (w < 0)
			return (int)w;
		(void)supafs_buf_add(key, seg, (size_t)w);
		if (path[n] == '\0')
			return supafs_buf_error(key) < 0 ? -ENAMETOOLONG : 0;
		(void)supafs_buf_addc(key, '/');
		path += n + 1;
	}
}

static int ask_url(struct supafs_control_peer *peer, const struct supafs_control_request *req,
	struct supafs_buf *url, struct supafs_fault *fault)
{
	struct supafs_store *store = peer->facts->stack->store;
	supafs_cleanup(supafs_buf_fini) struct supafs_buf key;
	int r;

	supafs_buf_init(&key, SUPAFS_KEY_MAX);
	r = key_of(peer->facts, req->path, &key);
	if (r < 0)
		return r;
	if (!store->ops->url)
		return -EOPNOTSUPP;
	return store->ops->url(store, peer->call, supafs_buf_str(&key), req->seconds, url, fault);
}

static void answer_url(struct supafs_control_peer *peer, const struct supafs_control_request *req)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf url;
	supafs_cleanup(supafs_buf_fini) struct supafs_buf b;
	struct supafs_fault fault = {0};
	int r;

	supafs_buf_init_secret(&url, SUPAFS_URL_MAX);
	supafs_buf_init_secret(&b, SUPAFS_ANSWER_MAX);
	r = ask_url(peer, req, &url, &fault);
	if (r < 0) {
		send_error(peer, r, &fault);
		return;
	}
	(void)supafs_buf_adds(&b, "{\"ok\":true,");
	add_text(&b, "url", supafs_buf_cstr(&url));
	(void)supafs_buf_addc(&b, '}');
	(void)send_buf(peer, &b);
}

void supafs_control_answer(
	struct supafs_control_peer *peer, const struct supafs_control_request *req)
{
	struct supafs_vfs *v = peer->facts->stack->vfs;

	switch (req->verb) {
	case SUPAFS_CONTROL_STATUS:
		answer_status(peer);
		break;
	case SUPAFS_CONTROL_PROGRESS:
		answer_progress(peer);
		break;
	case SUPAFS_CONTROL_PENDING:
		answer_pending(peer);
		break;
	case SUPAFS_CONTROL_RETRY:
		answer_number(peer, supafs_vfs_retry(v, req->id));
		break;
	case SUPAFS_CONTROL_DROP:
		answer_number(peer, supafs_vfs_drop(v, peer->call, req->id));
		break;
	case SUPAFS_CONTROL_FLUSH:
		answer_flush(peer);
		break;
	case SUPAFS_CONTROL_INVALIDATE:
		supafs_vfs_invalidate(v);
		send_done(peer, NULL, 0);
		break;
	case SUPAFS_CONTROL_URL:
		answer_url(peer, req);
		break;
	case SUPAFS_CONTROL__COUNT:
		break;
	}
}
