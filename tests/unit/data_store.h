/* SPDX-License-Identifier: Apache-2.0 */
/* A scripted store for the data cache's tests: only get. Its object's bytes are a function of the
 * offset, so nothing is stored; what it does wrong, and when, is set by its fields. */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "supafs/store/store.h"

struct data_store {
	struct supafs_store base;
	pthread_mutex_t lock;
	pthread_cond_t changed;

	/* script; set under the lock while gets run */
	const char *etag;            /* of what is there now */
	size_t chunk;                /* bytes a write */
	uint64_t gate;               /* bytes at or behind this are held back … */
	bool gate_shut;              /* … while this is set */
	uint64_t fail_at;            /* a get that comes to this byte ends with … */
	int fail_error;              /* … this, … */
	unsigned fail_times;         /* so many times */
	uint64_t first_byte_ms;      /* a get takes so long to begin */
	bool no_etag;                /* tells none */
	void (*on_write)(void *ctx); /* before each write, no lock held */
	void *on_write_ctx;

	/* record */
	unsigned gets, running, most_running, cancelled, paused;
	uint64_t moved; /* bytes that sinks took */
	uint64_t last_offset, last_length;
};

void data_store_init(struct data_store *s);
void data_store_fini(struct data_store *s);
/* The byte at `off` of version `etag`. */
unsigned char data_store_byte(const char *etag, uint64_t off);
/* Index of the first wrong byte, or -1. */
int64_t data_store_check(const char *etag, uint64_t off, const void *buf, size_t n);
void data_store_open_gate(struct data_store *s);
/* Waits until the counter has reached `n`. */
void data_store_await(struct data_store *s, const unsigned *counter, unsigned n);
/* The record, once no get runs. */
uint64_t data_store_moved(struct data_store *s);
unsigned data_store_gets(struct data_store *s);
