/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tiny scripted HTTP/1.1 server on 127.0.0.1 for tests: the path of a request names the
 * behaviour (table in tcp_server_script.c). One thread a connection; nothing is left
 * behind by stop().
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "supafs/util/lock.h"

enum {
	TCP_CONNS_MAX = 512,
};

struct tcp_conn {
	struct tcp_server *server;
	pthread_t thread;
	int fd; /* server's lock for closing */
	unsigned requests;

	/* The request that is being answered. */
	char method[16];
	char path[256];
	char head[8192]; /* request line and headers, NUL-terminated */
	size_t head_n;
	char ahead[8192]; /* bytes read behind the headers */
	size_t ahead_n;
	uint64_t content_length;
};

struct tcp_server {
	int listen_fd;
	int stop_fd; /* eventfd, readable when stopping */
	unsigned port;
	pthread_t thread;
	_Atomic bool reset_accepted; /* reset every connection before a byte is read */
	_Atomic unsigned accepts;
	_Atomic unsigned requests;
	_Atomic uint64_t body_bytes; /* of the last upload */
	_Atomic uint64_t body_sum;   /* sum of its bytes times position */

	struct supafs_mutex lock;
	struct supafs_cond changed; /* lock */
	unsigned held;              /* lock; requests that wait for release */
	unsigned release;           /* lock; raised by tcp_server_release() */
	struct tcp_conn *conns[TCP_CONNS_MAX];
	unsigned conn_count;
};

int tcp_server_start(struct tcp_server *s);
void tcp_server_stop(struct tcp_server *s);
/* "http://127.0.0.1:PORT" + path into `out`. */
const char *tcp_server_url(const struct tcp_server *s, const char *path, char out[512]);

/* Waits until `n` requests for /hold have arrived; lets all go that wait now. */
void tcp_server_wait_held(struct tcp_server *s, unsigned n);
void tcp_server_release(struct tcp_server *s);

/* Byte `i` of every long body, and the sum over `n` of them from `off` (see body_sum). */
unsigned char tcp_pattern(uint64_t i);

/* For the script. Each returns false when the connection is over. */
bool tcp_send(struct tcp_conn *c, const void *p, size_t n);
bool tcp_sends(struct tcp_conn *c, const char *text);
bool tcp_send_pattern(struct tcp_conn *c, uint64_t n);
bool tcp_read_body(struct tcp_conn *c);
bool tcp_hold(struct tcp_conn *c);
/* Sleeps, ended early by stop. */
bool tcp_pause_ms(const struct tcp_conn *c, int ms);
/* Ends the connection with a reset; always false. */
bool tcp_reset(struct tcp_conn *c);

/* Answers one request; false: close the connection. In tcp_server_script.c. */
bool tcp_script(struct tcp_conn *c);
