/* SPDX-License-Identifier: Apache-2.0 */
/* The control socket: one thread, poll(2) over the listener, a wake-up pipe and the clients. */
#include "control.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/parse.h"

#define LINE_MAX_BYTES (64U << 10)
#define REPLY_MAX      (1U << 20)
#define CLIENTS_MAX    16

struct client {
	int fd; /* -1: free place */
	struct supafs_buf in;
};

struct serve_control {
	struct serve_control_config cfg;
	int dir_fd;
	int listener;
	int wake[2]; /* the owner closes [1] to end the thread */
	pthread_t thread;
	struct client clients[CLIENTS_MAX]; /* the thread's */
};

static int fail(struct supafs_buf *out, const char *what, const char *detail)
{
	char text[256];

	(void)snprintf(
		text, sizeof(text), "%s%s%s", what, detail ? ": " : "", detail ? detail : "");
	supafs_buf_reset(out);
	supafs_buf_adds(out, "{\"error\":");
	supafs_json_quote(out, supafs_str_of(text));
	return supafs_buf_addc(out, '}');
}

static struct supafs_str member(const cJSON *msg, const char *name)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(msg, name);

	return cJSON_IsString(v) ? supafs_str_of(v->valuestring) : SUPAFS_STR("");
}

static int op_counters(struct serve_control *c, const cJSON *msg, struct supafs_buf *out)
{
	(void)msg;
	supafs_buf_adds(out, "{\"counters\":");
	serve_counters_json(c->cfg.counters, out);
	return supafs_buf_addc(out, '}');
}

static int op_reset(struct serve_control *c, const cJSON *msg, struct supafs_buf *out)
{
	(void)msg;
	serve_counters_reset(c->cfg.counters);
	return supafs_buf_adds(out, "{\"ok\":true}");
}

static char *member_json(const cJSON *msg, const char *name)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(msg, name);

	return v ? cJSON_PrintUnformatted(v) : strdup("{}");
}

static int op_fault(struct serve_control *c, const cJSON *msg, struct supafs_buf *out)
{
	char *match = member_json(msg, "match");
	char *effect = member_json(msg, "effect");
	const char *why = "out of memory";
	uint64_t id = 0;
	int r = -ENOMEM;

	if (match && effect)
		r = serve_faults_add(
			c->cfg.faults, supafs_str_of(match), supafs_str_of(effect), &id, &why);
	free(match);
	free(effect);
	if (r == -E2BIG)
		why = "too many rules";
	if (r != 0)
		return fail(out, "bad fault rule", why);
	return supafs_buf_addf(out, "{\"id\":%" PRIu64 "}", id);
}

static int op_faults(struct serve_control *c, const cJSON *msg, struct supafs_buf *out)
{
	(void)msg;
	supafs_buf_adds(out, "{\"faults\":");
	serve_faults_json(c->cfg.faults, out);
	return supafs_buf_addc(out, '}');
}

static int op_clear(struct serve_control *c, const cJSON *msg, struct supafs_buf *out)
{
	const cJSON *id = cJSON_GetObjectItemCaseSensitive(msg, "id");

	if (id && (!cJSON_IsNumber(id) || !(id->valuedouble >= 1) || id->valuedouble > 1e15))
		return fail(out, "id must be a rule's number", NULL);
	if (serve_faults_clear(c->cfg.faults, id ? (uint64_t)id->valuedouble : 0) != 0)
		return fail(out, "no such rule", NULL);
	return supafs_buf_adds(out, "{\"ok\":true}");
}

static int op_policy(struct serve_control *c, const cJSON *msg, struct supafs_buf *out)
{
	unsigned ops;
	int r;

	if (serve_policy_parse_ops(member(msg, "ops"), &ops) != 0)
		return fail(out,
			"ops: a comma list of select, insert, update, delete, or all, none", NULL);
	r = serve_policies_set(c->cfg.policies, member(msg, "role"), member(msg, "bucket"),
		member(msg, "pattern"), ops);
	if (r != 0)
		return fail(out, "policy refused (role: anon, authenticated or *)",
			strerrordesc_np(-r));
	return supafs_buf_adds(out, "{\"ok\":true}");
}

struct each_policy {
	struct supafs_buf *out;
	const char *comma;
};

static void add_policy(
	void *ctx, const char *role, const char *bucket, const char *pattern, unsigned ops)
{
	struct each_policy *e = ctx;
	char text[32];

	serve_policy_format_ops(ops, text);
	supafs_buf_addf(e->out, "%s{\"role\":\"%s\",\"bucket\":", e->comma, role);
	supafs_json_quote(e->out, supafs_str_of(bucket));
	supafs_buf_adds(e->out, ",\"pattern\":");
	supafs_json_quote(e->out, supafs_str_of(pattern));
	supafs_buf_addf(e->out, ",\"ops\":\"%s\"}", text);
	e->comma = ",";
}

static int op_policies(struct serve_control *c, const cJSON *msg, struct supafs_buf *out)
{
	struct each_policy e = {.out = out, .comma = ""};

	(void)msg;
	supafs_buf_adds(out, "{\"policies\":[");
	serve_policies_each(c->cfg.policies, add_policy, &e);
	return supafs_buf_adds(out, "]}");
}

static int op_token(struct serve_control *c, const cJSON *msg, struct supafs_buf *out)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf payload = {0};
	const cJSON *exp = cJSON_GetObjectItemCaseSensitive(msg, "exp_s");
	struct supafs_str role = member(msg, "role"), sub = member(msg, "sub");
	double seconds = cJSON_IsNumber(exp) ? exp->valuedouble : 3600;

	if (role.n == 0 || !(seconds >= -1e9 && seconds <= 1e10))
		return fail(out, "token: role, and exp_s from -1e9 to 1e10", NULL);
	supafs_buf_init(&payload, 4096);
	supafs_buf_adds(&payload, "{\"role\":");
	supafs_json_quote(&payload, role);
	if (sub.n > 0) {
		supafs_buf_adds(&payload, ",\"sub\":");
		supafs_json_quote(&payload, sub);
	}
	supafs_buf_addf(&payload, ",\"iss\":\"supafs-serve\",\"exp\":%lld}",
		(long long)time(NULL) + (long long)seconds);
	supafs_buf_adds(out, "{\"token\":\"");
	if (supafs_buf_error(&payload) != 0 ||
		serve_jwt_sign(c->cfg.jwt, supafs_buf_str(&payload), out) != 0)
		return fail(out, "token: too long", NULL);
	return supafs_buf_adds(out, "\"}");
}

static const struct {
	const char *name;
	int (*run)(struct serve_control *c, const cJSON *msg, struct supafs_buf *out);
} ops[] = {
	{"counters", op_counters},
	{"reset", op_reset},
	{"fault", op_fault},
	{"faults", op_faults},
	{"clear", op_clear},
	{"policy", op_policy},
	{"policies", op_policies},
	{"token", op_token},
};

static void answer(struct serve_control *c, struct supafs_str line, struct supafs_buf *out)
{
	cJSON *msg = cJSON_ParseWithLength(line.p, line.n);
	const cJSON *op = cJSON_GetObjectItemCaseSensitive(msg, "op");
	size_t i = 0;

	while (cJSON_IsString(op) && i < SUPAFS_ARRAY_LEN(ops) &&
		strcmp(op->valuestring, ops[i].name) != 0)
		i++;
	if (!cJSON_IsObject(msg) || !cJSON_IsString(op))
		(void)fail(out, "one JSON object with an op a line", NULL);
	else if (i == SUPAFS_ARRAY_LEN(ops))
		(void)fail(out, "unknown op", NULL);
	else
		(void)ops[i].run(c, msg, out);
	if (supafs_buf_error(out) != 0)
		(void)fail(out, "the answer is too long", NULL);
	(void)supafs_buf_addc(out, '\n');
	cJSON_Delete(msg);
}

static bool send_all(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t r = send(fd, p, n, MSG_NOSIGNAL);

		if (r <= 0)
			return false;
		p += r;
		n -= (size_t)r;
	}
	return true;
}

static void client_close(struct client *cl)
{
	if (cl->fd >= 0)
		(void)close(cl->fd);
	cl->fd = -1;
	supafs_buf_fini(&cl->in);
}

/* Answers each whole line that is there. False: the client is to be closed. */
static bool client_lines(struct serve_control *c, struct client *cl)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf out = {0};
	size_t done = 0;
	const char *end;

	supafs_buf_init(&out, REPLY_MAX);
	while ((end = memchr(cl->in.p + done, '\n', cl->in.n - done)) != NULL) {
		struct supafs_str line = {cl->in.p + done, (size_t)(end - cl->in.p) - done};

		supafs_buf_reset(&out);
		answer(c, line, &out);
		done += line.n + 1;
		if (!send_all(cl->fd, supafs_buf_cstr(&out), out.n))
			return false;
	}
	memmove(cl->in.p, cl->in.p + done, cl->in.n - done);
	cl->in.n -= done;
	return true;
}

static bool client_read(struct serve_control *c, struct client *cl)
{
	char buf[4096];
	ssize_t n = recv(cl->fd, buf, sizeof(buf), 0);

	if (n <= 0)
		return false;
	if (supafs_buf_add(&cl->in, buf, (size_t)n) != 0) {
		static const char too_long[] = "{\"error\":\"the line is too long\"}\n";

		(void)send_all(cl->fd, too_long, sizeof(too_long) - 1);
		return false;
	}
	return client_lines(c, cl);
}

static void accept_client(struct serve_control *c)
{
	int fd = accept4(c->listener, NULL, NULL, SOCK_CLOEXEC);
	const struct timeval patience = {.tv_sec = 10};

	for (size_t i = 0; fd >= 0 && i < CLIENTS_MAX; i++) {
		struct client *cl = &c->clients[i];

		if (cl->fd >= 0)
			continue;
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
		cl->fd = fd;
		supafs_buf_init(&cl->in, LINE_MAX_BYTES);
		return;
	}
	if (fd >= 0)
		(void)close(fd);
}

static void *run(void *ctx)
{
	struct serve_control *c = ctx;

	for (;;) {
		struct pollfd p[2 + CLIENTS_MAX] = {
			{.fd = c->wake[0], .events = POLLIN},
			{.fd = c->listener, .events = POLLIN},
		};

		for (size_t i = 0; i < CLIENTS_MAX; i++)
			p[2 + i] = (struct pollfd){.fd = c->clients[i].fd, .events = POLLIN};
		if (poll(p, SUPAFS_ARRAY_LEN(p), -1) < 0 && errno != EINTR)
			break;
		if (p[0].revents != 0)
			break;
		for (size_t i = 0; i < CLIENTS_MAX; i++) {
			if (p[2 + i].revents != 0 && !client_read(c, &c->clients[i]))
				client_close(&c->clients[i]);
		}
		if (p[1].revents & POLLIN)
			accept_client(c);
	}
	for (size_t i = 0; i < CLIENTS_MAX; i++)
		client_close(&c->clients[i]);
	return NULL;
}

/* The folder may be deeper than a socket's name may be long: it is reached through its descriptor.
 */
static int listen_in(struct serve_control *c)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};

	c->dir_fd = open(c->cfg.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (c->dir_fd < 0)
		return -errno;
	(void)snprintf(a.sun_path, sizeof(a.sun_path), "/proc/self/fd/%d/control", c->dir_fd);
	(void)unlinkat(c->dir_fd, "control", 0);
	c->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->listener < 0 || fchmod(c->listener, 0600) != 0 ||
		bind(c->listener, (const struct sockaddr *)&a, sizeof(a)) != 0 ||
		fchmodat(c->dir_fd, "control", 0600, 0) != 0 ||
		listen(c->listener, CLIENTS_MAX) != 0)
		return -errno;
	return pipe2(c->wake, O_CLOEXEC) == 0 ? 0 : -errno;
}

static struct serve_control *control_free(struct serve_control *c)
{
	const int fds[] = {c->listener, c->wake[0], c->wake[1], c->dir_fd};

	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(fds); i++) {
		if (fds[i] >= 0)
			(void)close(fds[i]);
	}
	free(c);
	return NULL;
}

int serve_control_start(const struct serve_control_config *cfg, struct serve_control **ret_control)
{
	struct serve_control *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return -ENOMEM;
	c->cfg = *cfg;
	c->dir_fd = c->listener = c->wake[0] = c->wake[1] = -1;
	for (size_t i = 0; i < CLIENTS_MAX; i++)
		c->clients[i].fd = -1;
	r = listen_in(c);
	if (r == 0)
		r = -pthread_create(&c->thread, NULL, run, c);
	if (r != 0) {
		control_free(c);
		return r;
	}
	*ret_control = c;
	return 0;
}

struct serve_control *serve_control_stop(struct serve_control *c)
{
	if (!c)
		return NULL;
	(void)close(c->wake[1]);
	c->wake[1] = -1;
	(void)pthread_join(c->thread, NULL);
	(void)unlinkat(c->dir_fd, "control", 0);
	return control_free(c);
}
