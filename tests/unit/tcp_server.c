/* SPDX-License-Identifier: Apache-2.0 */
/* The scripted test server: sockets and threads. */
#include "tcp_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "supafs/util/parse.h"

unsigned char tcp_pattern(uint64_t i)
{
	return (unsigned char)(i * 31 + (i >> 8) * 7 + (i >> 16));
}

/* Waits for `events`; false when the server stops. */
static bool ready(const struct tcp_conn *c, short events)
{
	struct pollfd fds[2] = {{c->fd, events, 0}, {c->server->stop_fd, POLLIN, 0}};

	return poll(fds, 2, -1) > 0 && fds[1].revents == 0;
}

bool tcp_send(struct tcp_conn *c, const void *p, size_t n)
{
	const char *at = p;

	while (n > 0) {
		ssize_t r = 0;

		if (!ready(c, POLLOUT))
			return false;
		r = send(c->fd, at, n, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (r < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (r <= 0)
			return false;
		at += r;
		n -= (size_t)r;
	}
	return true;
}

bool tcp_sends(struct tcp_conn *c, const char *text)
{
	return tcp_send(c, text, strlen(text));
}

bool tcp_send_pattern(struct tcp_conn *c, uint64_t n)
{
	unsigned char chunk[16384];
	uint64_t off = 0;

	while (off < n) {
		const size_t k = n - off < sizeof(chunk) ? (size_t)(n - off) : sizeof(chunk);

		for (size_t i = 0; i < k; i++)
			chunk[i] = tcp_pattern(off + i);
		if (!tcp_send(c, chunk, k))
			return false;
		off += k;
	}
	return true;
}

static ssize_t receive(struct tcp_conn *c, void *p, size_t n)
{
	if (c->ahead_n > 0) {
		const size_t k = n < c->ahead_n ? n : c->ahead_n;

		memcpy(p, c->ahead, k);
		memmove(c->ahead, c->ahead + k, c->ahead_n - k);
		c->ahead_n -= k;
		return (ssize_t)k;
	}
	if (!ready(c, POLLIN))
		return -1;
	return recv(c->fd, p, n, 0);
}

bool tcp_read_body(struct tcp_conn *c)
{
	unsigned char chunk[16384];
	uint64_t done = 0;
	uint64_t sum = 0;

	while (done < c->content_length) {
		const uint64_t left = c->content_length - done;
		const size_t want = left < sizeof(chunk) ? (size_t)left : sizeof(chunk);
		const ssize_t n = receive(c, chunk, want);

		if (n <= 0)
			return false;
		for (ssize_t i = 0; i < n; i++)
			sum += chunk[i] * (done + (uint64_t)i + 1);
		done += (uint64_t)n;
	}
	c->server->body_bytes = done;
	c->server->body_sum = sum;
	return true;
}

bool tcp_hold(struct tcp_conn *c)
{
	struct tcp_server *s = c->server;
	const int64_t never = INT64_MAX;
	unsigned turn = 0;

	SUPAFS_SCOPED_LOCK(&s->lock);
	turn = s->release;
	s->held++;
	supafs_cond_broadcast(&s->changed);
	while (s->release == turn)
		(void)supafs_cond_wait_until(&s->changed, &s->lock, never);
	return true;
}

bool tcp_pause_ms(const struct tcp_conn *c, int ms)
{
	struct pollfd stop = {c->server->stop_fd, POLLIN, 0};

	return poll(&stop, 1, ms) == 0;
}

bool tcp_reset(struct tcp_conn *c)
{
	const struct linger now = {.l_onoff = 1, .l_linger = 0};

	(void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	return false;
}

/* --- Connections ------------------------------------------------------------------------- */

static void parse_head(struct tcp_conn *c)
{
	const char *length = strcasestr(c->head, "\r\ncontent-length:");
	struct supafs_str digits;

	c->content_length = 0;
	c->method[0] = c->path[0] = '\0';
	(void)sscanf(c->head, "%15s %255s", c->method, c->path);
	if (!length)
		return;
	digits = supafs_str_of(length + 17);
	while (digits.n > 0 && digits.p[0] == ' ') {
		digits.p++;
		digits.n--;
	}
	digits.n = strcspn(digits.p, "\r");
	(void)supafs_parse_u64(digits, INT64_MAX, &c->content_length);
}

/* Reads up to the blank line; what follows stays in `ahead`. */
static bool read_head(struct tcp_conn *c)
{
	c->head_n = 0;
	while (c->head_n + 1 < sizeof(c->head)) {
		char *end = NULL;
		ssize_t n = receive(c, c->head + c->head_n, sizeof(c->head) - 1 - c->head_n);

		if (n <= 0)
			return false;
		c->head_n += (size_t)n;
		c->head[c->head_n] = '\0';
		end = strstr(c->head, "\r\n\r\n");
		if (end) {
			const size_t used = (size_t)(end + 4 - c->head);
			const size_t rest = c->head_n - used;

			memmove(c->ahead + rest, c->ahead, c->ahead_n);
			memcpy(c->ahead, end + 4, rest);
			c->ahead_n += rest;
			c->head_n = used;
			c->head[used] = '\0';
			parse_head(c);
			return true;
		}
	}
	return false;
}

static void *serve(void *ctx)
{
	struct tcp_conn *c = ctx;

	while (read_head(c)) {
		c->requests++;
		c->server->requests++;
		if (!tcp_script(c))
			break;
	}
	SUPAFS_SCOPED_LOCK(&c->server->lock);
	(void)close(c->fd);
	c->fd = -1;
	return NULL;
}

static void accept_one(struct tcp_server *s)
{
	struct tcp_conn *c = NULL;
	const int fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		return;
	s->accepts++;
	c = calloc(1, sizeof(*c));
	if (!c || s->conn_count == TCP_CONNS_MAX || s->reset_accepted) {
		struct tcp_conn refused = {.fd = fd};

		(void)tcp_reset(&refused);
		(void)close(fd);
		free(c);
		return;
	}
	c->server = s;
	c->fd = fd;
	if (pthread_create(&c->thread, NULL, serve, c) != 0) {
		(void)close(fd);
		free(c);
		return;
	}
	s->conns[s->conn_count++] = c;
}

static void *listener(void *ctx)
{
	struct tcp_server *s = ctx;

	for (;;) {
		struct pollfd fds[2] = {{s->listen_fd, POLLIN, 0}, {s->stop_fd, POLLIN, 0}};

		if (poll(fds, 2, -1) < 0)
			continue;
		if (fds[1].revents != 0)
			return NULL;
		accept_one(s);
	}
}

int tcp_server_start(struct tcp_server *s)
{
	struct sockaddr_in addr = {.sin_family = AF_INET};
	socklen_t size = sizeof(addr);

	memset(s, 0, sizeof(*s));
	supafs_mutex_init(&s->lock);
	supafs_cond_init(&s->changed);
	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	s->stop_fd = eventfd(0, EFD_CLOEXEC);
	s->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (s->stop_fd < 0 || s->listen_fd < 0 ||
		bind(s->listen_fd, (struct sockaddr *)&addr, sizeof(addr)) != 0 ||
		listen(s->listen_fd, 256) != 0 ||
		getsockname(s->listen_fd, (struct sockaddr *)&addr, &size) != 0)
		return -errno;
	s->port = ntohs(addr.sin_port);
	return -pthread_create(&s->thread, NULL, listener, s);
}

void tcp_server_stop(struct tcp_server *s)
{
	const uint64_t one = 1;

	(void)!write(s->stop_fd, &one, sizeof(one));
	tcp_server_release(s);
	(void)pthread_join(s->thread, NULL);
	for (unsigned i = 0; i < s->conn_count; i++) {
		(void)pthread_join(s->conns[i]->thread, NULL);
		free(s->conns[i]);
	}
	(void)close(s->listen_fd);
	(void)close(s->stop_fd);
	supafs_cond_fini(&s->changed);
	supafs_mutex_fini(&s->lock);
}

const char *tcp_server_url(const struct tcp_server *s, const char *path, char out[512])
{
	(void)snprintf(out, 512, "http://127.0.0.1:%u%s", s->port, path);
	return out;
}

void tcp_server_wait_held(struct tcp_server *s, unsigned n)
{
	SUPAFS_SCOPED_LOCK(&s->lock);
	while (s->held < n)
		supafs_cond_wait(&s->changed, &s->lock);
}

void tcp_server_release(struct tcp_server *s)
{
	SUPAFS_SCOPED_LOCK(&s->lock);
	s->release++;
	s->held = 0;
	supafs_cond_broadcast(&s->changed);
}
