/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hash map over (hash, pointer), and SipHash-1-3 (J.-P. Aumasson, D. J. Bernstein,
 * "SipHash: a fast short-input PRF", 2012, with 1 and 3 rounds).
 *
 * A slot is in one of three states:
 *
 *	state    entry      a look-up          an insertion
 *	empty    NULL       ends               may use it
 *	used     pointer    compares           passes
 *	gone     TOMB       passes             may use it
 *
 * Removal leaves "gone", never moves a slot and never shrinks the table: that is what
 * makes it safe inside a walk. Growth and the clearing of "gone" slots happen in add().
 * Invariant: used + gone < 7/8 of the slots, so that every probe ends.
 */
#include "supafs/util/hash.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "supafs/util/clock.h"

enum {
	FIRST_SLOTS = 16,
};

struct slot {
	uint64_t hash;
	void *entry;
};

struct supafs_map {
	supafs_map_equal_fn equal;
	struct slot *slots;
	size_t mask; /* slots - 1; slots is a power of two */
	size_t used;
	size_t gone;
	char tomb; /* its address marks a slot whose entry was removed */
};

int supafs_map_new(supafs_map_equal_fn equal, struct supafs_map **ret_map)
{
	struct supafs_map *m = calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	m->slots = calloc(FIRST_SLOTS, sizeof(*m->slots));
	if (!m->slots) {
		free(m);
		return -ENOMEM;
	}
	m->equal = equal;
	m->mask = FIRST_SLOTS - 1;
	*ret_map = m;
	return 0;
}

struct supafs_map *supafs_map_free(struct supafs_map *m)
{
	if (m) {
		free(m->slots);
		free(m);
	}
	return NULL;
}

size_t supafs_map_count(const struct supafs_map *m)
{
	return m->used;
}

static bool live(const struct supafs_map *m, const struct slot *s)
{
	return s->entry && s->entry != &m->tomb;
}

static struct slot *find(const struct supafs_map *m, uint64_t hash, const void *key)
{
	for (size_t i = hash & m->mask;; i = (i + 1) & m->mask) {
		struct slot *s = &m->slots[i];

		if (!s->entry)
			return NULL;
		if (live(m, s) && s->hash == hash && m->equal(s->entry, key))
			return s;
	}
}

void *supafs_map_get(const struct supafs_map *m, uint64_t hash, const void *key)
{
	const struct slot *s = find(m, hash, key);

	return s ? s->entry : NULL;
}

static void place(struct supafs_map *m, uint64_t hash, void *entry)
{
	size_t i = hash & m->mask;

	while (live(m, &m->slots[i]))
		i = (i + 1) & m->mask;
	if (m->slots[i].entry)
		m->gone--;
	m->slots[i] = (struct slot){hash, entry};
	m->used++;
}

/* Moves everything into a table that fits `used`, without the gone slots. */
static int rebuild(struct supafs_map *m)
{
	struct slot *old = m->slots;
	const size_t old_slots = m->mask + 1;
	size_t slots = old_slots;
	struct slot *fresh = NULL;

	if (m->used >= old_slots / 2)
		slots *= 2;
	fresh = calloc(slots, sizeof(*fresh));
	if (!fresh)
		return -ENOMEM;
	m->slots = fresh;
	m->mask = slots - 1;
	m->used = m->gone = 0;
	for (size_t i = 0; i < old_slots; i++) {
		if (live(m, &old[i]))
			place(m, old[i].hash, old[i].entry);
	}
	free(old);
	return 0;
}

int supafs_map_add(struct supafs_map *m, uint64_t hash, const void *key, void *entry)
{
	const size_t slots = m->mask + 1;

	assert(entry);
	assert(!find(m, hash, key));
	(void)key; /* without assertions nobody reads it */
	if (m->used + m->gone + 1 >= slots - slots / 8) {
		const int r = rebuild(m);

		if (r != 0)
			return r;
	}
	place(m, hash, entry);
	return 0;
}

void *supafs_map_remove(struct supafs_map *m, uint64_t hash, const void *key)
{
	struct slot *s = find(m, hash, key);
	void *entry = NULL;

	if (!s)
		return NULL;
	entry = s->entry;
	s->entry = &m->tomb;
	m->used--;
	m->gone++;
	return entry;
}

void *supafs_map_next(const struct supafs_map *m, size_t *pos)
{
	while (*pos <= m->mask) {
		const struct slot *s = &m->slots[(*pos)++];

		if (live(m, s))
			return s->entry;
	}
	return NULL;
}

/* --- SipHash-1-3 ------------------------------------------------------------------------- */

struct sip {
	uint64_t v0, v1, v2, v3;
};

static uint64_t rotl(uint64_t x, unsigned k)
{
	return (x << k) | (x >> (64 - k));
}

static void sip_round(struct sip *s)
{
	s->v0 += s->v1;
	s->v1 = rotl(s->v1, 13) ^ s->v0;
	s->v0 = rotl(s->v0, 32);
	s->v2 += s->v3;
	s->v3 = rotl(s->v3, 16) ^ s->v2;
	s->v0 += s->v3;
	s->v3 = rotl(s->v3, 21) ^ s->v0;
	s->v2 += s->v1;
	s->v1 = rotl(s->v1, 17) ^ s->v2;
	s->v2 = rotl(s->v2, 32);
}

/* The seed: drawn at the first hash, then only read. */
static uint64_t seed[2];

static void draw_seed(void)
{
	seed[0] = supafs_random_seed();
	seed[1] = supafs_random_seed();
}

uint64_t supafs_hash_bytes(const void *p, size_t n)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	const unsigned char *at = p;
	uint64_t last = (uint64_t)n << 56;
	struct sip s;

	(void)pthread_once(&once, draw_seed);
	s.v0 = seed[0] ^ UINT64_C(0x736f6d6570736575);
	s.v1 = seed[1] ^ UINT64_C(0x646f72616e646f6d);
	s.v2 = seed[0] ^ UINT64_C(0x6c7967656e657261);
	s.v3 = seed[1] ^ UINT64_C(0x7465646279746573);
	for (; n >= 8; n -= 8, at += 8) {
		uint64_t word = 0;

		/* Byte order does not matter: the value never leaves this process. */
		memcpy(&word, at, 8);
		s.v3 ^= word;
		sip_round(&s);
		s.v0 ^= word;
	}
	for (size_t i = 0; i < n; i++)
		last |= (uint64_t)at[i] << (8 * i);
	s.v3 ^= last;
	sip_round(&s);
	s.v0 ^= last;
	s.v2 ^= 0xFF;
	for (int i = 0; i < 3; i++)
		sip_round(&s);
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

uint64_t supafs_hash_u64(uint64_t v)
{
	return supafs_hash_bytes(&v, sizeof(v));
}
