/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random numbers: xoshiro256** seeded by SplitMix64 (D. Blackman, S. Vigna, "Scrambled
 * linear pseudorandom number generators", 2018), and the kernel's generator for seeds
 * and UUIDs.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <sys/random.h>

#include "supafs/util/clock.h"

static uint64_t rotl(uint64_t x, unsigned k)
{
	return (x << k) | (x >> (64 - k));
}

void supafs_rng_init(struct supafs_rng *r, uint64_t seed)
{
	for (size_t i = 0; i < 4; i++) {
		uint64_t z = seed += UINT64_C(0x9E3779B97F4A7C15);

		z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
		z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
		r->s[i] = z ^ (z >> 31);
	}
}

uint64_t supafs_rng_next(struct supafs_rng *r)
{
	uint64_t *s = r->s;
	const uint64_t result = rotl(s[1] * 5, 7) * 9;
	const uint64_t t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotl(s[3], 45);
	return result;
}

uint64_t supafs_rng_below(struct supafs_rng *r, uint64_t bound)
{
	uint64_t v = 0;
	uint64_t limit = 0;

	assert(bound > 0);
	/* The values above the last whole multiple of `bound` would favour small results. */
	limit = UINT64_MAX - UINT64_MAX % bound;
	do {
		v = supafs_rng_next(r);
	} while (v >= limit);
	return v % bound;
}

static void fill_random(void *p, size_t n)
{
	unsigned char *at = p;
	size_t done = 0;

	while (done < n) {
		const ssize_t r = getrandom(at + done, n - done, 0);

		if (r > 0)
			done += (size_t)r;
		else if (errno != EINTR)
			break;
	}
	/* Kernels without getrandom() are older than anything this runs on. */
	assert(done == n);
}

uint64_t supafs_random_seed(void)
{
	uint64_t seed = 0;

	fill_random(&seed, sizeof(seed));
	return seed;
}

void supafs_random_uuid(char ret_text[37])
{
	unsigned char b[16] = {0};

	fill_random(b, sizeof(b));
	b[6] = (unsigned char)((b[6] & 0x0F) | 0x40);
	b[8] = (unsigned char)((b[8] & 0x3F) | 0x80);
	(void)snprintf(ret_text, 37,
		"%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1],
		b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14],
		b[15]);
}
