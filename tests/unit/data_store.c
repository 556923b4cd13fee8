/* SPDX-License-Identifier: Apache-2.0 */
/* The scripted store: the worker that calls get plays the transport thread. */
#include "data_store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "supafs/util/cleanup.h"

unsigned char data_store_byte(const char *etag, uint64_t off)
{
	uint64_t x = (off >> 3) * UINT64_C(0x9e3779b97f4a7c15) + (unsigned char)etag[2];

	x ^= x >> 29;
	return (unsigned char)((x >> (8 * (off & 7))) & 0xff);
}

int64_t data_store_check(const char *etag, uint64_t off, const void *buf, size_t n)
{
	const unsigned char *p = buf;

	for (size_t i = 0; i < n; i++)
		if (p[i] != data_store_byte(etag, off + i))
			return (int64_t)i;
	return -1;
}

static void wake(void *ctx)
{
	struct data_store *s = ctx;

	/* As a transport does: a flag for all of its transfers. */
	pthread_mutex_lock(&s->lock);
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
}

struct transfer {
	struct data_store *store;
	struct supafs_call *call;
	const struct supafs_get_args *args;
	const char *etag; /* of what it sends */
	bool poked;       /* store lock */
};

static void poke(void *ctx)
{
	struct transfer *t = ctx;

	pthread_mutex_lock(&t->store->lock);
	t->poked = true;
	pthread_mutex_unlock(&t->store->lock);
	wake(t->store);
}

/* With the lock held; ended by any change, at the latest in 10 ms, to see a deadline. */
static void wait_change(struct data_store *s)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += 10000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	(void)pthread_cond_timedwait(&s->changed, &s->lock, &until);
}

/* How many bytes may be sent at `off`: more than 0, or -errno. */
static int64_t ready(struct transfer *t, uint64_t off, uint64_t left)
{
	struct data_store *s = t->store;
	int64_t r = 0;

	pthread_mutex_lock(&s->lock);
	while (r == 0) {
		uint64_t n = left < s->chunk ? left : s->chunk;

		r = supafs_call_check(t->call);
		if (r < 0)
			break;
		if (s->fail_times && off <= s->fail_at && s->fail_at < off + n) {
			n = s->fail_at - off;
			if (n == 0) {
				s->fail_times--;
				r = s->fail_error;
				break;
			}
		}
		if (s->gate_shut && off + n > s->gate)
			n = off < s->gate ? s->gate - off : 0;
		if (n == 0)
			wait_change(s);
		r = (int64_t)n;
	}
	pthread_mutex_unlock(&s->lock);
	return r;
}

static int await_poke(struct transfer *t)
{
	struct data_store *s = t->store;
	int r = 0;

	pthread_mutex_lock(&s->lock);
	s->paused++;
	pthread_cond_broadcast(&s->changed);
	while (!t->poked && r == 0) {
		wait_change(s);
		r = supafs_call_check(t->call);
	}
	t->poked = false;
	s->paused--;
	pthread_mutex_unlock(&s->lock);
	return r;
}

static int send_bytes(struct transfer *t, char *buf)
{
	const struct supafs_get_args *a = t->args;
	uint64_t off = a->offset, end = a->offset + a->length;
	int r = 0;

	while (off < end) {
		int64_t n = ready(t, off, end - off);

		if (n < 0)
			return (int)n;
		for (int64_t i = 0; i < n; i++)
			buf[i] = (char)data_store_byte(t->etag, off + (uint64_t)i);
		if (t->store->on_write)
			t->store->on_write(t->store->on_write_ctx);
		r = a->sink.write(a->sink.ctx, buf, (size_t)n);
		if (r == -EAGAIN) {
			r = await_poke(t);
			if (r < 0)
				return r;
			continue;
		}
		if (r < 0)
			return r;
		off += (uint64_t)n;
		pthread_mutex_lock(&t->store->lock);
		t->store->moved += (uint64_t)n;
		pthread_cond_broadcast(&t->store->changed);
		pthread_mutex_unlock(&t->store->lock);
	}
	return 0;
}

static int begin(struct transfer *t, const struct supafs_get_args *a, struct supafs_fault *fault)
{
	struct data_store *s = t->store;
	int r = 0;

	pthread_mutex_lock(&s->lock);
	s->gets++;
	t->etag = s->etag;
	s->last_offset = a->offset;
	s->last_length = a->length;
	if (++s->running > s->most_running)
		s->most_running = s->running;
	if (a->version->etag[0] && strcmp(a->version->etag, s->etag) != 0) {
		fault->class = SUPAFS_FAULT_CONFLICT;
		r = -ESTALE;
	} else if (!s->no_etag) {
		memcpy(a->ret_etag, s->etag, strlen(s->etag) + 1);
	}
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
	return r;
}

static int store_get(struct supafs_store *base, struct supafs_call *call,
	const struct supafs_get_args *args, struct supafs_fault *fault)
{
	struct data_store *s = (struct data_store *)(void *)base;
	struct transfer t = {.store = s, .call = call, .args = args};
	supafs_autofree char *buf = malloc(s->chunk);
	int r = begin(&t, args, fault);

	supafs_call_set_waker(call, poke, &t);
	if (r == 0 && s->first_byte_ms > 0)
		r = supafs_call_sleep(call, (int64_t)s->first_byte_ms * SUPAFS_NS_PER_MS);
	if (r == 0)
		r = send_bytes(&t, buf);
	supafs_call_set_waker(call, NULL, NULL);
	pthread_mutex_lock(&s->lock);
	s->running--;
	s->cancelled += r == -EINTR;
	if (r < 0 && fault->class == SUPAFS_FAULT_NONE)
		fault->class = SUPAFS_FAULT_TRANSIENT;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
	return r;
}

void data_store_init(struct data_store *s)
{
	static const struct supafs_store_ops ops = {.name = "scripted", .get = store_get};

	memset(s, 0, sizeof(*s));
	s->base.ops = &ops;
	s->etag = "\"1\"";
	s->chunk = 16000;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->changed, NULL);
}

void data_store_fini(struct data_store *s)
{
	pthread_cond_destroy(&s->changed);
	pthread_mutex_destroy(&s->lock);
}

void data_store_open_gate(struct data_store *s)
{
	pthread_mutex_lock(&s->lock);
	s->gate_shut = false;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
}

void data_store_await(struct data_store *s, const unsigned *counter, unsigned n)
{
	pthread_mutex_lock(&s->lock);
	while (*counter < n)
		wait_change(s);
	pthread_mutex_unlock(&s->lock);
}

uint64_t data_store_moved(struct data_store *s)
{
	pthread_mutex_lock(&s->lock);
	while (s->running > 0)
		wait_change(s);
	uint64_t moved = s->moved;
	pthread_mutex_unlock(&s->lock);
	return moved;
}

unsigned data_store_gets(struct data_store *s)
{
	pthread_mutex_lock(&s->lock);
	while (s->running > 0)
		wait_change(s);
	unsigned gets = s->gets;
	pthread_mutex_unlock(&s->lock);
	return gets;
}
