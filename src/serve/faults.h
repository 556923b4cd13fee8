/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fault rules: which request is to go wrong, and how. Rules are tried in the order in which they
 * were set; the first that matches decides. A decision is a value: the caller applies it.
 *
 *	match   method, kind, bucket, key (globs), `skip` the first n matches, `count` how many then
 *	        (0: for ever), `probability` 0…1 (seeded, so a run can be repeated)
 *	effect  see struct serve_fault; several may be combined
 *
 * Threads: every call from any thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "supafs/util/buf.h"
#include "supafs/util/str.h"

#include "counters.h"

struct serve_faults;

/* What a rule looks at. `method` as sent; bucket and key decoded, empty when the route has none. */
struct serve_facts {
	struct supafs_str method;
	enum serve_kind kind;
	struct supafs_str bucket, key;
};

enum serve_reset {
	SERVE_RESET_NONE,
	SERVE_RESET_BEFORE, /* the connection is cut as soon as the headers are in: nothing is done
			     */
	SERVE_RESET_BODY, /* cut after `reset_after` bytes of the request's body; nothing is done */
	SERVE_RESET_INSIDE, /* the work is done, then the connection is cut inside the headers */
	SERVE_RESET_ANSWER, /* the work is done, then the connection is cut without an answer */
};

/* An effect. Zero in a field means: not this. */
struct serve_fault {
	uint64_t id;        /* of the rule */
	uint64_t delay_ms;  /* wait before doing anything */
	bool silence;       /* never answer: until the client leaves or the server stops */
	uint64_t rate_up;   /* request body, bytes a second */
	uint64_t rate_down; /* answer body, bytes a second */
	uint64_t drip_ms;   /* answer body byte by byte, so many ms apart */
	unsigned status;    /* answer with this instead of doing the work */
	uint64_t garbage;   /* so many bytes that are no HTTP, instead of doing the work */
	enum serve_reset reset;
	uint64_t reset_after;
	bool cut; /* of a good answer, or of `status`: its length is announced, `cut_after` */
	uint64_t cut_after;    /* bytes of the body are sent, then the connection is cut */
	bool wrong_etag;       /* of a successful answer: another ETag than the true one */
	char content_type[64]; /* of `body`; "" = application/json; charset=utf-8 */
	char header[2][192];   /* "Name: value" to add, "" = none (Retry-After: 2, Location: …) */
	char body[1024];       /* with `status` */
};

/* 0 or -ENOMEM; ends with free, which takes NULL and returns NULL. */
int serve_faults_new(struct serve_faults **ret_faults);
struct serve_faults *serve_faults_free(struct serve_faults *f);

/* Does a rule want this request to go wrong? Counts the match. *ret_fault is set when true. */
bool serve_faults_decide(
	struct serve_faults *f, const struct serve_facts *facts, struct serve_fault *ret_fault);

/* Sets a rule from its two JSON objects as text (either may be empty = {}). 0 and *ret_id;
 * -EINVAL with *ret_why (static text) for an unknown member or a wrong value; -E2BIG above 100
 * rules; -ENOMEM. */
int serve_faults_add(struct serve_faults *f, struct supafs_str match, struct supafs_str effect,
	uint64_t *ret_id, const char **ret_why);
/* Takes one rule away; id 0: all. -ENOENT when there is no such rule. */
int serve_faults_clear(struct serve_faults *f, uint64_t id);
/* Appends [{"id":1,"match":{…},"effect":{…},"matched":3,"hit":2},…]. 0 or the buffer's error. */
int serve_faults_json(struct serve_faults *f, struct supafs_buf *out);
