/* SPDX-License-Identifier: Apache-2.0 */
/* See catalog_fixture.h. */
#include "catalog_fixture.h"

#include "supafs/util/name.h"

void fix_init(struct fix *x, uint64_t ttl_ms, size_t memory, const char *root)
{
	memset(x, 0, sizeof(*x));
	scripted_init(&x->store);
	supafs_fake_clock_init(&x->clock, SUPAFS_NS_PER_S, SUPAFS_NS_PER_S);
	supafs_call_init(&x->call, &x->clock.base, 0);
	struct supafs_catalog_config cfg = {.store = &x->store.base,
		.clock = &x->clock.base,
		.root = supafs_str_of(root),
		.ttl_ms = ttl_ms,
		.memory = memory};
	assert_int_equal(supafs_catalog_new(&cfg, &x->c), 0);
}

void fix_fini(struct fix *x)
{
	x->c = supafs_catalog_free(x->c);
	supafs_call_fini(&x->call);
	scripted_fini(&x->store);
}

void fix_advance_ms(struct fix *x, int64_t ms)
{
	supafs_fake_clock_advance(&x->clock, ms * SUPAFS_NS_PER_MS);
}

int fix_lookup(struct fix *x, const char *prefix, const char *name)
{
	return supafs_catalog_lookup(x->c, &x->call, supafs_str_of(prefix), supafs_str_of(name),
		false, &x->ent, &x->fault);
}

int fix_lookup_fresh(struct fix *x, const char *prefix, const char *name)
{
	return supafs_catalog_lookup(x->c, &x->call, supafs_str_of(prefix), supafs_str_of(name),
		true, &x->ent, &x->fault);
}

uint64_t fix_change(
	struct fix *x, const char *prefix, const char *name, bool present, uint64_t size)
{
	char seg[SUPAFS_SEG_MAX];
	ssize_t n = supafs_name_encode(supafs_str_of(name), seg, sizeof(seg));
	struct supafs_change ch = {.prefix = supafs_str_of(prefix),
		.name = supafs_str_of(name),
		.present = present,
		.attr.version.size = size};
	uint64_t id = 0;

	assert_true(n > 0);
	ch.seg = (struct supafs_str){seg, (size_t)n};
	assert_int_equal(supafs_catalog_change(x->c, &ch, &id), 0);
	assert_int_not_equal(id, 0);
	return id;
}

void fix_ack(struct fix *x, const char *prefix, const char *name, uint64_t id)
{
	char seg[SUPAFS_SEG_MAX];
	ssize_t n = supafs_name_encode(supafs_str_of(name), seg, sizeof(seg));

	supafs_catalog_ack(
		x->c, supafs_str_of(prefix), (struct supafs_str){seg, (size_t)n}, id, NULL);
}

void fix_undo(struct fix *x, const char *prefix, const char *name, uint64_t id)
{
	char seg[SUPAFS_SEG_MAX];
	ssize_t n = supafs_name_encode(supafs_str_of(name), seg, sizeof(seg));

	supafs_catalog_undo(x->c, supafs_str_of(prefix), (struct supafs_str){seg, (size_t)n}, id);
}

struct supafs_dir *fix_open(struct fix *x, const char *prefix)
{
	struct supafs_dir *d = NULL;

	assert_int_equal(supafs_dir_open(x->c, supafs_str_of(prefix), &d), 0);
	return d;
}

const char *fix_read(struct fix *x, struct supafs_dir *d, uint64_t *off, size_t most)
{
	static _Thread_local char text[65536];
	size_t n = 0;

	text[0] = 0;
	for (size_t i = 0; i < most; i++) {
		int r = supafs_dir_next(d, &x->call, off, &x->ent, &x->fault);

		assert_true(r >= 0);
		if (r == 0)
			break;
		assert_int_equal(strlen(x->ent.name), x->ent.name_n);
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s%s", n > 0 ? "|" : "",
			x->ent.name, x->ent.attr.folder ? "/" : "");
		assert_true(n < sizeof(text));
	}
	return text;
}

const char *fix_list(struct fix *x, const char *prefix)
{
	struct supafs_dir *d = fix_open(x, prefix);
	uint64_t off = 0;
	const char *text = fix_read(x, d, &off, SIZE_MAX);

	(void)supafs_dir_free(d);
	return text;
}
