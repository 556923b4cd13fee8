/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Slot         set by                  what runs
 * free         –                       nothing
 * busy         the listener            a thread with one client; once it has its request, `call`
 * may be cancelled done         that thread, at its end nothing; the listener joins it before it
 * uses the slot
 */
#include "control.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/log.h"

#include "control_request.h"

#define SOCKET_NAME "control"
#define CLIENTS_MAX 4
#define BACKLOG     8
#define READ_MS     5000  /* a client has so long for its request */
#define WRITE_MS    10000 /* and so long to take a line */
#define BUSY_LINE   "{\"error\":\"too many commands ask this mount at a time; try again\"}\n"
#define BAD_LINE                                                                                   \
	"{\"error\":\"the mount does not understand this request; is it of another version?\"}\n"
#define ALIEN_LINE "{\"error\":\"only its owner and root may ask this mount\"}\n"

enum slot_state {
	FREE,
	BUSY,
	DONE
};

struct slot {
	struct supafs_control *control;
	pthread_t thread;
	enum slot_state state; /* control->lock */
	int fd;                /* of the client; shut down, not closed, by others */
	bool called;           /* control->lock; `call` is there */
	struct supafs_call call;
};

struct supafs_control {
	struct supafs_control_facts facts;
	int dir_fd, listen_fd, end_fd;
	pthread_t thread;
	struct supafs_mutex lock;        /* a leaf but for a call's own */
	struct slot slots[CLIENTS_MAX];  /* lock: states */
	bool ending;                     /* lock */
	bool draining;                   /* lock */
	struct supafs_flush_state drain; /* lock */
};

/* --- A client --------------------------------------------------------------------------------- */

static bool wait_fd(int fd, short events, uint64_t ms)
{
	struct pollfd p = {.fd = fd, .events = events};
	int n;

	do {
		n = poll(&p, 1, (int)ms);
	} while (n < 0 && errno == EINTR);
	return n > 0;
}

int supafs_control_send(struct supafs_control_peer *peer, struct supafs_str line)
{
	while (line.n > 0) {
		ssize_t n = send(peer->fd, line.p, line.n, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN)
			return -errno;
		if (n < 0 && !wait_fd(peer->fd, POLLOUT, WRITE_MS))
			return -ETIMEDOUT;
		if (n > 0) {
			line.p += n;
			line.n -= (size_t)n;
		}
	}
	return 0;
}

/* One line, its end cut off. False when none came in time. */
static bool read_line(int fd, char *out, size_t size, struct supafs_str *ret)
{
	const struct supafs_clock *clock = supafs_clock_system();
	const int64_t until = clock->mono_ns(clock) + READ_MS * SUPAFS_NS_PER_MS;
	size_t n = 0;

	while (n < size) {
		const int64_t left = until - clock->mono_ns(clock);
		const char *end;
		ssize_t r;

		if (left <= 0 || !wait_fd(fd, POLLIN, (uint64_t)(left / SUPAFS_NS_PER_MS) + 1))
			return false;
		r = recv(fd, out + n, size - n, 0);
		if (r <= 0)
			return false;
		n += (size_t)r;
		end = memchr(out, '\n', n);
		if (end) {
			*ret = (struct supafs_str){out, (size_t)(end - out)};
			return true;
		}
	}
	return false;
}

static bool may_ask(int fd)
{
	struct ucred who = {0};
	socklen_t n = sizeof(who);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) != 0 || n != sizeof(who))
		return false;
	return who.uid == geteuid() || who.uid == 0;
}

/* False when the mount ends. */
static bool begin_call(struct slot *slot, const struct supafs_control_request *req)
{
	struct supafs_control *c = slot->control;
	/* A flush takes as long as it takes, and ends with its client. */
	const uint64_t ms = req->verb == SUPAFS_CONTROL_FLUSH ? 0 : c->facts.timeout_ms;

	SUPAFS_SCOPED_LOCK(&c->lock);
	if (c->ending)
		return false;
	supafs_call_init(&slot->call, supafs_clock_system(), ms);
	slot->called = true;
	return true;
}

static void answer(struct slot *slot, struct supafs_str line)
{
	struct supafs_control *c = slot->control;
	struct supafs_control_peer peer = {
		.facts = &c->facts, .control = c, .fd = slot->fd, .call = &slot->call};
	struct supafs_control_request *req = malloc(sizeof(*req));

	if (!req || supafs_control_parse(line, req) < 0)
		(void)supafs_control_send(&peer, SUPAFS_STR(BAD_LINE));
	else if (begin_call(slot, req))
		supafs_control_answer(&peer, req);
	free(req);
}

static void *serve_client(void *ctx)
{
	struct slot *slot = ctx;
	char *text = malloc(SUPAFS_CONTROL_LINE_MAX + 1);
	struct supafs_str line;

	if (text && read_line(slot->fd, text, SUPAFS_CONTROL_LINE_MAX + 1, &line))
		answer(slot, line);
	free(text);
	SUPAFS_SCOPED_LOCK(&slot->control->lock);
	slot->state = DONE;
	(void)shutdown(slot->fd, SHUT_RDWR);
	return NULL;
}

/* --- The listener ----------------------------------------------------------------------------- */

/* With the slot DONE, or at the end. */
static void bury(struct slot *slot)
{
	(void)pthread_join(slot->thread, NULL);
	(void)close(slot->fd);
	if (slot->called)
		supafs_call_fini(&slot->call);
	slot->called = false;
	slot->state = FREE;
}

static struct slot *free_slot(struct supafs_control *c)
{
	struct slot *found = NULL;

	for (int i = 0; i < CLIENTS_MAX; i++) {
		enum slot_state state;

		{
			SUPAFS_SCOPED_LOCK(&c->lock);
			state = c->slots[i].state;
		}
		if (state == DONE)
			bury(&c->slots[i]);
		if (state != BUSY)
			found = &c->slots[i];
	}
	return found;
}

static void turn_away(int fd, const char *line)
{
	(void)send(fd, line, strlen(line), MSG_NOSIGNAL | MSG_DONTWAIT);
	(void)close(fd);
}

static void welcome(struct supafs_control *c, int fd)
{
	struct slot *slot = free_slot(c);

	if (!may_ask(fd)) {
		turn_away(fd, ALIEN_LINE);
		return;
	}
	if (!slot) {
		turn_away(fd, BUSY_LINE);
		return;
	}
	slot->control = c;
	slot->fd = fd;
	slot->state = BUSY;
	if (pthread_create(&slot->thread, NULL, serve_client, slot) == 0)
		return;
	slot->state = FREE;
	turn_away(fd, BUSY_LINE);
}

static void *listen_run(void *ctx)
{
	struct supafs_control *c = ctx;
	struct pollfd fds[] = {
		{.fd = c->listen_fd, .events = POLLIN},
		{.fd = c->end_fd, .events = POLLIN},
	};

	for (;;) {
		int fd;

		if (poll(fds, SUPAFS_ARRAY_LEN(fds), -1) < 0)
			continue;
		if (fds[1].revents)
			return NULL;
		fd = accept4(c->listen_fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd >= 0)
			welcome(c, fd);
		else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM)
			/* Not to spin: the client stays in line meanwhile. */
			(void)wait_fd(c->end_fd, POLLIN, 100);
	}
}

/* --- Life ------------------------------------------------------------------------------------- */

/* A cache folder's path may be longer than a socket's name can be. */
static int bind_in(int dir_fd, int fd)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};

	(void)snprintf(at.sun_path, sizeof(at.sun_path), "/proc/self/fd/%d/" SOCKET_NAME, dir_fd);
	if (unlinkat(dir_fd, SOCKET_NAME, 0) != 0 && errno != ENOENT)
		return -errno;
	/* The mode of a socket is set on its descriptor before it is bound. */
	if (fchmod(fd, 0600) != 0 || bind(fd, (const struct sockaddr *)&at, sizeof(at)) != 0)
		return -errno;
	if (fchmodat(dir_fd, SOCKET_NAME, 0600, 0) != 0)
		return -errno;
	return listen(fd, BACKLOG) == 0 ? 0 : -errno;
}

static int open_all(struct supafs_control *c)
{
	c->dir_fd = open(c->facts.cache, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (c->dir_fd < 0)
		return -errno;
	c->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->listen_fd < 0)
		return -errno;
	c->end_fd = eventfd(0, EFD_CLOEXEC);
	if (c->end_fd < 0)
		return -errno;
	return bind_in(c->dir_fd, c->listen_fd);
}

static void close_all(struct supafs_control *c)
{
	if (c->dir_fd >= 0) {
		(void)unlinkat(c->dir_fd, SOCKET_NAME, 0);
		(void)close(c->dir_fd);
	}
	if (c->listen_fd >= 0)
		(void)close(c->listen_fd);
	if (c->end_fd >= 0)
		(void)close(c->end_fd);
	supafs_mutex_fini(&c->lock);
	free(c);
}

int supafs_control_new(
	const struct supafs_control_facts *facts, struct supafs_control **ret_control)
{
	struct supafs_control *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return -ENOMEM;
	c->facts = *facts;
	c->dir_fd = c->listen_fd = c->end_fd = -1;
	supafs_mutex_init(&c->lock);
	r = open_all(c);
	if (r == 0)
		r = -pthread_create(&c->thread, NULL, listen_run, c);
	if (r < 0) {
		close_all(c);
		return r;
	}
	*ret_control = c;
	return 0;
}

void supafs_control_draining(struct supafs_control *c, const struct supafs_flush_state *st)
{
	SUPAFS_SCOPED_LOCK(&c->lock);
	c->draining = true;
	c->drain = *st;
}

bool supafs_control_drain_state(struct supafs_control *c, struct supafs_flush_state *ret)
{
	SUPAFS_SCOPED_LOCK(&c->lock);
	*ret = c->drain;
	return c->draining;
}

static void end_client(struct supafs_control *c, struct slot *slot)
{
	bool busy, called;

	{
		SUPAFS_SCOPED_LOCK(&c->lock);
		c->ending = true;
		busy = slot->state != FREE;
		called = slot->called;
		if (slot->state == BUSY)
			(void)shutdown(slot->fd, SHUT_RDWR);
	}
	/* Not under the lock, which wakers take; it goes away in bury() only. */
	if (called)
		supafs_call_cancel(&slot->call);
	if (busy)
		bury(slot);
}

struct supafs_control *supafs_control_free(struct supafs_control *c)
{
	if (!c)
		return NULL;
	(void)eventfd_write(c->end_fd, 1);
	(void)pthread_join(c->thread, NULL);
	for (int i = 0; i < CLIENTS_MAX; i++)
		end_client(c, &c->slots[i]);
	close_all(c);
	return NULL;
}
