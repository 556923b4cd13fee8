/* SPDX-License-Identifier: Apache-2.0 */
/* MHD daemon: a thread a connection, so that a slow upload or a full hash holds up nobody. */
#include "server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/clock.h"
#include "supafs/util/file.h"
#include "supafs/util/limits.h"

#define CONNECTIONS_MAX 2000
#define MEMORY_LIMIT    (256U << 10) /* of a connection: headers and the piece of a body */
#define STACK_SIZE      (512U << 10)
#define IDLE_S          61U
#define LINGER_MS       3000
#define PEM_MAX         (1U << 20)
#define BACKLOG         1024

struct serve_server {
	struct serve_app *app;
	struct MHD_Daemon *daemon;
	int listen_fd; /* -1 once the daemon owns it */
	struct supafs_buf cert, key;
};

/* --- callbacks ----------------------------------------------------------------- */

static void *on_uri(void *cls, const char *uri, struct MHD_Connection *conn)
{
	return serve_rest_new(cls, uri, conn);
}

/* Names are decoded in rest_route.c, which also knows what is malformed. */
static size_t keep_escapes(void *cls, struct MHD_Connection *conn, char *text)
{
	(void)cls;
	(void)conn;
	return strlen(text);
}

static enum MHD_Result answer(struct serve_request *req)
{
	if (req->route->flags & REST_TUS)
		rest_add_header(req, "Tus-Resumable", "1.0.0");
	if (!rest_fault_reply(req) || !req->response)
		return MHD_NO;
	serve_counters_answer(req->app->counters, req->status);
	req->answered = true;
	return MHD_queue_response(req->conn, req->status, req->response);
}

/* NOLINTNEXTLINE(readability-function-size): the library's form */
static enum MHD_Result on_request(void *cls, struct MHD_Connection *conn, const char *url,
	const char *method, const char *version, const char *data, size_t *data_n, void **state)
{
	struct serve_request *req = *state;

	(void)cls;
	(void)conn;
	(void)url;
	(void)version;
	if (!req)
		return MHD_NO;
	if (req->phase == REST_NEW) {
		serve_rest_start(req, method);
		if (req->cut)
			return MHD_NO;
		req->early = req->phase == REST_DONE && req->length > REST_DRAIN_MAX;
		return req->early ? answer(req) : MHD_YES;
	}
	if (*data_n) {
		size_t n = *data_n;

		*data_n = 0;
		if (!rest_fault_data(req, n))
			return MHD_NO;
		serve_rest_data(req, data, n);
		return MHD_YES;
	}
	if (!rest_fault_work(req))
		return MHD_NO;
	serve_rest_finish(req);
	return answer(req);
}

/* A refusal went out while the client still sends: closing at once would reset the connection, and
 * the client might never read the answer. So: no more from us, and wait until it ends. */
static void linger(const struct serve_request *req)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(req->conn, MHD_CONNECTION_INFO_CONNECTION_FD);
	const struct supafs_clock *clock = supafs_clock_system();
	const int64_t until_ns = clock->mono_ns(clock) + LINGER_MS * SUPAFS_NS_PER_MS;
	char sink[16384];

	if (!info || req->app->config->tls_cert)
		return;
	(void)shutdown(info->connect_fd, SHUT_WR);
	while (clock->mono_ns(clock) < until_ns) {
		struct pollfd p = {.fd = info->connect_fd, .events = POLLIN};

		if (poll(&p, 1, LINGER_MS) <= 0 ||
			recv(info->connect_fd, sink, sizeof(sink), MSG_DONTWAIT) <= 0)
			return;
	}
}

static void on_completed(
	void *cls, struct MHD_Connection *conn, void **state, enum MHD_RequestTerminationCode code)
{
	struct serve_request *req = *state;

	(void)cls;
	(void)conn;
	*state = NULL;
	if (!req)
		return;
	serve_count(&req->app->counters->bytes_in, req->received);
	if (code == MHD_REQUEST_TERMINATED_COMPLETED_OK && req->answered)
		serve_count(&req->app->counters->bytes_out, req->body_size);
	if (req->early && code == MHD_REQUEST_TERMINATED_COMPLETED_OK)
		linger(req);
	serve_rest_free(req);
}

static void on_connection(void *cls, struct MHD_Connection *conn, void **state,
	enum MHD_ConnectionNotificationCode code)
{
	struct serve_app *app = cls;
	const union MHD_ConnectionInfo *info;
	const int one = 1;

	(void)state;
	if (code != MHD_CONNECTION_NOTIFY_STARTED)
		return;
	serve_count(&app->counters->connections, 1);
	info = MHD_get_connection_info(conn, MHD_CONNECTION_INFO_CONNECTION_FD);
	if (info)
		(void)setsockopt(info->connect_fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

/* What MHD has to say about clients that go away is not news. */
static void no_log(void *cls, const char *fmt, va_list ap)
{
	(void)cls;
	(void)fmt;
	(void)ap;
}

/* --- start --------------------------------------------------------------------------- */

static int bind_address(const struct addrinfo *a)
{
	supafs_autoclose int fd =
		socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
	const int one = 1;

	if (fd < 0)
		return -errno;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, a->ai_addr, a->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0)
		return -errno;
	return supafs_steal_fd(&fd);
}

static int open_listener(const struct serve_config *c, char *why, size_t why_size)
{
	const struct addrinfo hints = {
		.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICHOST};
	struct addrinfo *list = NULL;
	char port[8];
	int fd, r;

	(void)snprintf(port, sizeof(port), "%u", (unsigned)c->port);
	r = getaddrinfo(c->listen, port, &hints, &list);
	if (r != 0) {
		(void)snprintf(
			why, why_size, "--listen: \"%.60s\" is not an IP address", c->listen);
		return -EINVAL;
	}
	fd = bind_address(list);
	freeaddrinfo(list);
	if (fd < 0)
		(void)snprintf(why, why_size, "cannot listen on %s port %s: %s", c->listen, port,
			fd == -EADDRINUSE      ? "another program has it (try --port 0)"
			: fd == -EACCES        ? "ports below 1024 are for root"
			: fd == -EADDRNOTAVAIL ? "this machine has no such address"
					       : "the system refused");
	return fd;
}

/* scheme://host:port that clients can use: an address that means "all" becomes loopback. */
static int make_url(struct serve_server *s)
{
	const struct serve_config *c = s->app->config;
	struct sockaddr_storage a = {0};
	socklen_t n = sizeof(a);
	char host[INET6_ADDRSTRLEN], port[8];

	if (getsockname(s->listen_fd, (struct sockaddr *)&a, &n) < 0)
		return -errno;
	if (getnameinfo((struct sockaddr *)&a, n, host, sizeof(host), port, sizeof(port),
		    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		return -EINVAL;
	if (strcmp(host, "0.0.0.0") == 0)
		(void)snprintf(host, sizeof(host), "127.0.0.1");
	if (strcmp(host, "::") == 0)
		(void)snprintf(host, sizeof(host), "::1");
	if (asprintf(&s->app->url, "%s://%s%s%s:%s", c->tls_cert ? "https" : "http",
		    strchr(host, ':') ? "[" : "", host, strchr(host, ':') ? "]" : "", port) < 0) {
		s->app->url = NULL;
		return -ENOMEM;
	}
	return 0;
}

static int read_pem(
	struct supafs_buf *b, const char *path, const char *option, char *why, size_t why_size)
{
	int r;

	supafs_buf_init(b, PEM_MAX);
	if (!path)
		return 0;
	r = supafs_file_read(path, b);
	if (r < 0)
		(void)snprintf(why, why_size, "%s: cannot read %.200s", option, path);
	return r;
}

static int start_daemon(struct serve_server *s, char *why, size_t why_size)
{
	const bool tls = s->app->config->tls_cert != NULL;
	unsigned flags = MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION |
			 MHD_USE_POLL | MHD_USE_ERROR_LOG | (tls ? MHD_USE_TLS : 0U);
	struct MHD_OptionItem options[] = {
		{MHD_OPTION_EXTERNAL_LOGGER, (intptr_t)no_log, NULL},
		{MHD_OPTION_LISTEN_SOCKET, s->listen_fd, NULL},
		{MHD_OPTION_URI_LOG_CALLBACK, (intptr_t)on_uri, s->app},
		{MHD_OPTION_UNESCAPE_CALLBACK, (intptr_t)keep_escapes, NULL},
		{MHD_OPTION_NOTIFY_COMPLETED, (intptr_t)on_completed, NULL},
		{MHD_OPTION_NOTIFY_CONNECTION, (intptr_t)on_connection, s->app},
		{MHD_OPTION_CONNECTION_MEMORY_LIMIT, MEMORY_LIMIT, NULL},
		{MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MAX, NULL},
		{MHD_OPTION_CONNECTION_TIMEOUT, IDLE_S, NULL},
		{MHD_OPTION_THREAD_STACK_SIZE, STACK_SIZE, NULL},
		{tls ? MHD_OPTION_HTTPS_MEM_CERT : MHD_OPTION_END, 0, s->cert.p},
		{MHD_OPTION_HTTPS_MEM_KEY, 0, s->key.p},
		{MHD_OPTION_END, 0, NULL},
	};

	s->daemon = MHD_start_daemon(flags, 0, NULL, NULL, on_request, s->app, MHD_OPTION_ARRAY,
		options, MHD_OPTION_END);
	if (!s->daemon) {
		(void)snprintf(why, why_size, "%s",
			tls ? "the HTTP library refused to start: are --tls-cert and --tls-key a "
			      "certificate and its key in PEM?"
			    : "the HTTP library refused to start");
		return -EINVAL;
	}
	s->listen_fd = -1;
	return 0;
}

int serve_server_start(
	struct serve_app *app, struct serve_server **ret_server, char *why, size_t why_size)
{
	struct serve_server *s = calloc(1, sizeof(*s));
	const struct serve_config *c = app->config;
	int r;

	if (!s)
		return -ENOMEM;
	s->app = app;
	s->listen_fd = -1;
	r = read_pem(&s->cert, c->tls_cert, "--tls-cert", why, why_size);
	if (r == 0)
		r = read_pem(&s->key, c->tls_key, "--tls-key", why, why_size);
	if (r == 0) {
		s->listen_fd = open_listener(c, why, why_size);
		r = s->listen_fd < 0 ? s->listen_fd : make_url(s);
	}
	if (r == 0)
		r = start_daemon(s, why, why_size);
	if (r < 0) {
		(void)serve_server_stop(s);
		return r;
	}
	*ret_server = s;
	return 0;
}

struct serve_server *serve_server_stop(struct serve_server *s)
{
	if (!s)
		return NULL;
	rest_fault_stop(s->app);
	if (s->daemon)
		MHD_stop_daemon(s->daemon);
	if (s->listen_fd >= 0)
		(void)close(s->listen_fd);
	supafs_buf_fini(&s->cert);
	supafs_buf_fini(&s->key);
	free(s->app->url);
	s->app->url = NULL;
	free(s);
	return NULL;
}
