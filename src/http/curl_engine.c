/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The transport: one multi handle in one thread.
 *
 *	state       on list     easy   busy   leaves by
 *	submitted   submitted   NULL   no     the thread takes it over → in line
 *	in line     line        NULL   no     a free slot → active; cancel, deadline
 *	active      active      set    yes    its end, cancel, deadline, silence; full sink → paused
 *	paused      active      set    no     a poke → active; cancel, deadline
 *	done        –           NULL   –      its caller returns
 *
 * Paused transfers give their slot away: a reader that does not read must not keep others
 * from the server. For the same reason transfers never share a connection: curl stops
 * reading a shared HTTP/2 connection when one of its streams is paused.
 *
 * Callers own `submitted` with the thread under the lock; all other lists, the multi
 * handle and the easy handles are the thread's own. The thread takes no lock but this one,
 * and calls sources and sinks with none held.
 */
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "supafs/util/clock.h"
#include "supafs/util/file.h"
#include "supafs/util/log.h"

#include "curl_priv.h"

enum {
	CA_MAX = 4 << 20,  /* bytes of a PEM file */
	IDLE_HANDLES = 32, /* easy handles kept for the next request */
	STALL_LOOKS = 4,   /* times within the stall timeout that a transfer is looked at */
	PROGRESS = 16384,  /* bytes between two looks that give the caller more time */
	DEAD_RATE = 16,    /* bytes a second: slower than that is no transfer any more */
};

struct engine {
	struct supafs_http base; /* first: see struct supafs_http */
	struct supafs_curl_settings settings;
	unsigned max_busy;
	int64_t stall_ns;
	CURLM *multi;
	pthread_t thread;
	_Atomic bool attention; /* some transfer was poked or cancelled */

	struct supafs_mutex lock;
	struct supafs_cond left;      /* lock; broadcast when a caller leaves perform() */
	struct supafs_list submitted; /* lock */
	unsigned callers;             /* lock; threads inside perform() */
	bool stopping;                /* lock; never goes back */

	/* The thread's own. */
	struct supafs_list line;
	struct supafs_list active;
	unsigned busy; /* active and not paused */
	int64_t next_look_ns;
	CURL *idle[IDLE_HANDLES];
	size_t idle_count;
};

static struct engine *engine_of(struct supafs_http *h)
{
	return supafs_container_of(h, struct engine, base);
}

static struct supafs_transfer *transfer_of(struct supafs_list *l)
{
	return supafs_list_entry(l, struct supafs_transfer, link);
}

static int64_t now_ns(void)
{
	const struct supafs_clock *clock = supafs_clock_system();

	return clock->mono_ns(clock);
}

/* --- The thread: one transfer ------------------------------------------------------------ */

static CURL *get_handle(struct engine *e)
{
	return e->idle_count > 0 ? e->idle[--e->idle_count] : curl_easy_init();
}

/* A handle whose transfer broke early keeps its buffers, and libcurl then refuses to change their
 * sizes: only those that ended well are used again. */
static void put_handle(struct engine *e, CURL *easy, bool well)
{
	if (!well || e->idle_count == IDLE_HANDLES) {
		curl_easy_cleanup(easy);
		return;
	}
	curl_easy_reset(easy);
	e->idle[e->idle_count++] = easy;
}

/* The caller may free the transfer as soon as the lock is released. */
static void complete(struct engine *e, struct supafs_transfer *t, int result)
{
	SUPAFS_SCOPED_LOCK(&e->lock);
	t->result = result;
	t->done = true;
	supafs_cond_signal(&t->ended);
}

/* Ends a transfer in any state. `override`: see supafs_curl_result(). */
static void finish(struct engine *e, struct supafs_transfer *t, CURLcode code, int override)
{
	const bool started = t->easy != NULL;
	int result = 0;

	supafs_list_remove(&t->link);
	if (started && !t->paused)
		e->busy--;
	result = supafs_curl_result(t, code, override);
	if (started) {
		(void)curl_multi_remove_handle(e->multi, t->easy);
		put_handle(e, t->easy, code == CURLE_OK && override == 0);
		t->easy = NULL;
	}
	curl_slist_free_all(t->headers);
	t->headers = NULL;
	complete(e, t, result);
}

static void start(struct engine *e, struct supafs_transfer *t)
{
	int r = 0;

	supafs_list_remove(&t->link);
	supafs_list_add_tail(&e->active, &t->link);
	t->easy = get_handle(e);
	if (!t->easy) {
		finish(e, t, CURLE_OK, -ENOMEM);
		return;
	}
	e->busy++;
	t->started_ns = t->moved_ns = now_ns();
	e->next_look_ns = 0;
	r = supafs_curl_prepare(t, &e->settings);
	if (r == 0 && curl_multi_add_handle(e->multi, t->easy) != CURLM_OK)
		r = -ENOMEM;
	if (r != 0)
		finish(e, t, CURLE_OK, r);
}

static void resume(struct engine *e, struct supafs_transfer *t)
{
	CURLcode code = CURLE_OK;

	t->paused = false;
	t->moved_ns = now_ns();
	/* Delivers what curl has kept: the sink may pause it again in here, or refuse it. Of the
	 * latter the multi handle learns nothing: it would go on with the bytes behind. */
	code = curl_easy_pause(t->easy, CURLPAUSE_CONT);
	if (!t->paused)
		e->busy++;
	e->next_look_ns = 0;
	if (code != CURLE_OK)
		finish(e, t, code, 0);
}

/* --- The thread: all transfers ----------------------------------------------------------- */

/* Moves the newly submitted ones into the line. True: stop. */
static bool take_submitted(struct engine *e)
{
	SUPAFS_SCOPED_LOCK(&e->lock);
	while (!supafs_list_empty(&e->submitted)) {
		struct supafs_list *first = e->submitted.next;

		supafs_list_remove(first);
		supafs_list_add_tail(&e->line, first);
		e->next_look_ns = 0;
	}
	return e->stopping;
}

static void start_line(struct engine *e)
{
	while (e->busy < e->max_busy && !supafs_list_empty(&e->line))
		start(e, transfer_of(e->line.next));
}

static void heed(struct engine *e, struct supafs_transfer *t)
{
	if (!t->poked)
		return;
	t->poked = false;
	if (supafs_call_cancelled(t->call))
		finish(e, t, CURLE_OK, -EINTR);
	else if (t->paused)
		resume(e, t);
}

static void heed_pokes(struct engine *e)
{
	if (!atomic_exchange(&e->attention, false))
		return;
	supafs_list_for_each_safe (it, next, &e->active)
		heed(e, transfer_of(it));
	supafs_list_for_each_safe (it, next, &e->line)
		heed(e, transfer_of(it));
}

/* True when next to nothing has moved for the stall time: what drips byte by byte would hold up its
 * caller as long as silence does. Notes it when enough has, and a body that is on its way gives its
 * caller more time; a reply's headers alone are no progress. */
static bool silent(const struct engine *e, struct supafs_transfer *t, int64_t now)
{
	const uint64_t moved = supafs_curl_moved(t);
	const uint64_t enough = (uint64_t)(e->stall_ns / SUPAFS_NS_PER_S) * DEAD_RATE;

	if (moved < t->moved || moved - t->moved > enough) {
		if (moved > t->moved && moved - t->moved >= PROGRESS)
			supafs_call_progress(t->call);
		t->moved = moved;
		t->moved_ns = now;
	}
	return now - t->moved_ns >= e->stall_ns;
}

/* Ends the transfer if it is too late for it. Otherwise the time to look again. */
static int64_t look(struct engine *e, struct supafs_transfer *t, int64_t now)
{
	const struct supafs_call *call = t->call;
	const int64_t step = e->stall_ns / STALL_LOOKS + 1;
	const bool quiet = t->easy && !t->paused && silent(e, t, now);
	const int r = supafs_call_check(call);
	int64_t next = SUPAFS_NEVER;

	if (r != 0 || quiet) {
		finish(e, t, CURLE_OK, r != 0 ? r : -ETIMEDOUT);
		return SUPAFS_NEVER;
	}
	if (call->deadline_ns != SUPAFS_NEVER)
		next = now + call->deadline_ns - call->clock->mono_ns(call->clock);
	if (t->easy && !t->paused && now + step < next)
		next = now + step;
	return next;
}

static void look_at_all(struct engine *e)
{
	const int64_t now = now_ns();
	struct supafs_list *const lists[] = {&e->active, &e->line};
	int64_t next_ns = SUPAFS_NEVER;

	if (now < e->next_look_ns)
		return;
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(lists); i++) {
		supafs_list_for_each_safe (it, next, lists[i]) {
			const int64_t at = look(e, transfer_of(it), now);

			next_ns = at < next_ns ? at : next_ns;
		}
	}
	e->next_look_ns = next_ns;
}

static void note_pauses(struct engine *e)
{
	unsigned busy = 0;

	supafs_list_for_each (it, &e->active)
		busy += transfer_of(it)->paused ? 0 : 1;
	e->busy = busy;
}

static void move(struct engine *e)
{
	CURLMsg *msg = NULL;
	int running = 0;
	int left = 0;

	(void)curl_multi_perform(e->multi, &running);
	note_pauses(e);
	while ((msg = curl_multi_info_read(e->multi, &left)) != NULL) {
		void *private = NULL;

		if (msg->msg != CURLMSG_DONE)
			continue;
		(void)curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &private);
		finish(e, private, msg->data.result, 0);
	}
}

/* Milliseconds until somebody must be looked at; nothing in flight: for ever. */
static int patience_ms(const struct engine *e)
{
	const bool idle = supafs_list_empty(&e->active) && supafs_list_empty(&e->line);
	const bool never = idle || e->next_look_ns == SUPAFS_NEVER;
	const int64_t ns = never ? SUPAFS_NEVER : e->next_look_ns - now_ns();

	if (ns <= 0)
		return 0;
	if (ns / SUPAFS_NS_PER_MS >= INT_MAX)
		return INT_MAX;
	return (int)(ns / SUPAFS_NS_PER_MS) + 1;
}

static void drop_all(struct engine *e)
{
	struct supafs_list *const lists[] = {&e->active, &e->line};

	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(lists); i++) {
		supafs_list_for_each_safe (it, next, lists[i])
			finish(e, transfer_of(it), CURLE_OK, -ESHUTDOWN);
	}
}

static void *run(void *ctx)
{
	struct engine *e = ctx;

	while (!take_submitted(e)) {
		heed_pokes(e);
		start_line(e);
		move(e);
		look_at_all(e);
		/* What has just ended or paused may have freed a slot. */
		if (e->busy < e->max_busy && !supafs_list_empty(&e->line))
			continue;
		(void)curl_multi_poll(e->multi, NULL, 0, patience_ms(e), NULL);
	}
	drop_all(e);
	return NULL;
}

/* --- Callers ----------------------------------------------------------------------------- */

/* The call's waker: any thread, under the call's lock. */
static void wake(void *ctx)
{
	struct supafs_transfer *t = ctx;

	t->poked = true;
	*t->attention = true;
	(void)curl_multi_wakeup(t->multi);
}

/* As long as somebody is inside, the engine is not freed. */
static int enter(struct engine *e)
{
	SUPAFS_SCOPED_LOCK(&e->lock);
	if (e->stopping)
		return -ESHUTDOWN;
	e->callers++;
	return 0;
}

static void leave(struct engine *e)
{
	SUPAFS_SCOPED_LOCK(&e->lock);
	e->callers--;
	supafs_cond_broadcast(&e->left);
}

static int submit_and_wait(struct engine *e, struct supafs_transfer *t)
{
	SUPAFS_SCOPED_LOCK(&e->lock);
	if (e->stopping)
		return -ESHUTDOWN;
	supafs_list_add_tail(&e->submitted, &t->link);
	(void)curl_multi_wakeup(e->multi);
	while (!t->done)
		supafs_cond_wait(&t->ended, &e->lock);
	return t->result;
}

static int perform(struct supafs_http *h, struct supafs_call *call,
	const struct supafs_http_request *req, struct supafs_http_reply *ret_reply)
{
	struct engine *e = engine_of(h);
	struct supafs_transfer t = {
		.call = call,
		.req = req,
		.reply = ret_reply,
		.multi = e->multi,
		.attention = &e->attention,
	};
	int r = supafs_call_check(call);

	if (r == 0)
		r = enter(e);
	if (r != 0)
		return r;
	supafs_list_init(&t.link);
	supafs_cond_init(&t.ended);
	/* Before the submission: a poke must not fall between the two. */
	supafs_call_set_waker(call, wake, &t);
	r = submit_and_wait(e, &t);
	supafs_call_set_waker(call, NULL, NULL);
	supafs_cond_fini(&t.ended);
	leave(e);
	supafs_debug(SUPAFS_PART_HTTP, "%s %s: status %d, %.1f ms, result %d %s",
		supafs_http_method_name(req->method), req->url, ret_reply->status,
		(double)ret_reply->total_ns / (double)SUPAFS_NS_PER_MS, r, ret_reply->error);
	return r;
}

/* --- Beginning and end ------------------------------------------------------------------- */

static void free_parts(struct engine *e)
{
	while (e->idle_count > 0)
		curl_easy_cleanup(e->idle[--e->idle_count]);
	if (e->multi)
		(void)curl_multi_cleanup(e->multi);
	supafs_buf_fini(&e->settings.ca_extra);
	free(e->settings.user_agent);
	free(e->settings.proxy);
	supafs_cond_fini(&e->left);
	supafs_mutex_fini(&e->lock);
	free(e);
	curl_global_cleanup();
}

static void stop(struct engine *e)
{
	SUPAFS_SCOPED_LOCK(&e->lock);
	e->stopping = true;
	(void)curl_multi_wakeup(e->multi);
}

static void wait_callers(struct engine *e)
{
	SUPAFS_SCOPED_LOCK(&e->lock);
	while (e->callers > 0)
		supafs_cond_wait(&e->left, &e->lock);
}

static struct supafs_http *engine_free(struct supafs_http *h)
{
	struct engine *e = engine_of(h);

	stop(e);
	(void)pthread_join(e->thread, NULL);
	wait_callers(e);
	free_parts(e);
	return NULL;
}

/* The extra certificates for CURLOPT_CAINFO_BLOB. The blob replaces curl's default bundle but
 * not its folder of certificates; where there is no folder, the bundle is copied into it. */
static int load_ca(struct engine *e, const char *path)
{
	const curl_version_info_data *info = curl_version_info(CURLVERSION_NOW);
	struct supafs_buf *ca = &e->settings.ca_extra;
	int r = 0;

	if (!path)
		return 0;
	r = supafs_file_read(path, ca);
	if (r == 0 && !strstr(supafs_buf_cstr(ca), "-----BEGIN "))
		r = -EINVAL;
	if (r == 0 && !info->capath && info->cainfo) {
		r = supafs_buf_addc(ca, '\n');
		if (r == 0)
			r = supafs_file_read(info->cainfo, ca);
	}
	return r == 0 || r == -ENOMEM ? r : -EINVAL;
}

static int start_thread(struct engine *e)
{
	sigset_t all;
	sigset_t old;
	int r = 0;

	/* Signals are for the main thread; and OpenSSL writes without MSG_NOSIGNAL. */
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&e->thread, NULL, run, e);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r != 0)
		return -EAGAIN;
	(void)pthread_setname_np(e->thread, "supafs-http");
	return 0;
}

static int fill(struct engine *e, const struct supafs_http_config *cfg)
{
	const uint64_t most_ms = INT64_MAX / SUPAFS_NS_PER_MS / 2;
	const uint64_t stall_ms = cfg->stall_timeout_ms < most_ms ? cfg->stall_timeout_ms : most_ms;

	supafs_mutex_init(&e->lock);
	supafs_cond_init(&e->left);
	supafs_list_init(&e->submitted);
	supafs_list_init(&e->line);
	supafs_list_init(&e->active);
	supafs_buf_init(&e->settings.ca_extra, CA_MAX);
	e->next_look_ns = SUPAFS_NEVER;
	e->max_busy = cfg->max_connections > 0 ? cfg->max_connections : 1;
	e->stall_ns = stall_ms > 0 ? (int64_t)stall_ms * SUPAFS_NS_PER_MS : SUPAFS_NEVER / 2;
	e->settings.connect_timeout_ms = cfg->connect_timeout_ms;
	e->settings.user_agent = strdup(cfg->user_agent ? cfg->user_agent : "supafs");
	e->settings.proxy = strdup(cfg->proxy ? cfg->proxy : "");
	e->multi = curl_multi_init();
	if (!e->settings.user_agent || !e->settings.proxy || !e->multi)
		return -ENOMEM;
	(void)curl_multi_setopt(e->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
	(void)curl_multi_setopt(e->multi, CURLMOPT_MAXCONNECTS, (long)e->max_busy);
	return load_ca(e, cfg->cacert);
}

int supafs_http_new_curl(const struct supafs_http_config *cfg, struct supafs_http **ret_http)
{
	static const struct supafs_http_ops ops = {.perform = perform, .free = engine_free};
	struct engine *e = calloc(1, sizeof(*e));
	int r = 0;

	if (!e)
		return -ENOMEM;
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
		free(e);
		return -ENOMEM;
	}
	e->base.ops = &ops;
	r = fill(e, cfg);
	if (r == 0)
		r = start_thread(e);
	if (r != 0) {
		free_parts(e);
		return r;
	}
	*ret_http = &e->base;
	return 0;
}

const char *supafs_http_library_version(void)
{
	return curl_version();
}
