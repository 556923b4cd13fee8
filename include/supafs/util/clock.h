/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time and randomness, injected so that expiry, back-off and jitter are tested
 * without sleeping. `mono_ns` never goes back and is what deadlines use;
 * `wall_ns` is nanoseconds since 1970 UTC.
 */
#pragma once

#include <stdint.h>
#include <time.h>

#define SUPAFS_NS_PER_S  INT64_C(1000000000)
#define SUPAFS_NS_PER_MS INT64_C(1000000)
#define SUPAFS_NEVER     INT64_MAX

struct supafs_clock {
	int64_t (*mono_ns)(const struct supafs_clock *c);
	int64_t (*wall_ns)(const struct supafs_clock *c);
	/* Sleeps until `until_ns` (mono), or not at all in a fake clock, which moves instead. */
	void (*sleep_until)(const struct supafs_clock *c, int64_t until_ns);
};

/* The real one (CLOCK_MONOTONIC, CLOCK_REALTIME); static storage, any thread. */
const struct supafs_clock *supafs_clock_system(void);

/* A clock for tests: starts at `mono_ns`/`wall_ns`, moves by supafs_fake_clock_advance() and
 * by sleeping. Thread-safe. */
struct supafs_fake_clock {
	struct supafs_clock base; /* pass &fake.base */
	_Atomic int64_t mono;
	_Atomic int64_t wall;
};
void supafs_fake_clock_init(struct supafs_fake_clock *f, int64_t mono_ns, int64_t wall_ns);
void supafs_fake_clock_advance(struct supafs_fake_clock *f, int64_t by_ns);

/* mono_ns as an absolute timespec for pthread_cond_timedwait() on a CLOCK_MONOTONIC condition. */
struct timespec supafs_timespec(int64_t ns);

/* ISO 8601 UTC as the server writes it ("2026-11-24T00:20:48.794Z", fraction 0–9 digits, also
 * "+00:00") → ns since 1970. 0 or -EINVAL. */
int supafs_parse_iso8601(const char *s, size_t n, int64_t *ret_ns);
/* RFC 9110 §5.6.7 IMF-fixdate → ns since 1970. 0 or -EINVAL. */
int supafs_parse_http_date(const char *s, size_t n, int64_t *ret_ns);

/* Seeded generator (SplitMix64/xoshiro); state is the caller's, one thread at a time. */
struct supafs_rng {
	uint64_t s[4];
};
void supafs_rng_init(struct supafs_rng *r, uint64_t seed);
uint64_t supafs_rng_next(struct supafs_rng *r);
/* Uniform in [0, bound); bound > 0. */
uint64_t supafs_rng_below(struct supafs_rng *r, uint64_t bound);
/* A seed from the kernel (getrandom). */
uint64_t supafs_random_seed(void);
/* A random UUID version 4 as text, 36 characters and NUL. */
void supafs_random_uuid(char ret_text[37]);
