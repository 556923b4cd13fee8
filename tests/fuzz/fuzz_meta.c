/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Times, modes and owners: the input as a Cache-Control value and as user metadata in JSON. What
 * is read is written again, and must read the same.
 */
#include <errno.h>
#include <sys/stat.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/limits.h"

#include "fuzz.h"
#include "meta_priv.h"

#define ROOM (1U << 20)

static void check_meta(const struct supafs_meta *m)
{
	FUZZ_CHECK((m->has & ~(unsigned)(SUPAFS_META_ALL | SUPAFS_META_HINTS)) == 0);
	if (m->has & SUPAFS_META_MODE)
		FUZZ_CHECK((m->mode & ~(uint32_t)(07777 | S_IFMT)) == 0 &&
			   ((m->mode & S_IFMT) == 0 || S_ISLNK((mode_t)m->mode)));
}

static void check_same(const struct supafs_meta *a, const struct supafs_meta *b)
{
	FUZZ_CHECK(a->has == b->has);
	FUZZ_CHECK(!(a->has & SUPAFS_META_MTIME) || a->mtime_ns == b->mtime_ns);
	FUZZ_CHECK(!(a->has & SUPAFS_META_MODE) || a->mode == b->mode);
	FUZZ_CHECK(!(a->has & SUPAFS_META_UID) || a->uid == b->uid);
	FUZZ_CHECK(!(a->has & SUPAFS_META_GID) || a->gid == b->gid);
}

static void as_cache_control(struct supafs_str text)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf plain, stored, again;
	struct supafs_meta m, back;
	int r;

	supafs_buf_init(&plain, ROOM);
	supafs_buf_init(&stored, ROOM);
	supafs_buf_init(&again, ROOM);
	supafs_meta_parse_directives(text, &m, &plain);
	check_meta(&m);
	r = supafs_meta_cache_control(&stored, text, &m);
	FUZZ_CHECK(r == 0 || r == -EINVAL);
	if (r < 0)
		return;
	FUZZ_CHECK(stored.n > 0 && stored.n <= SUPAFS_CC_MAX);
	supafs_meta_parse_directives(supafs_buf_str(&stored), &back, NULL);
	check_same(&m, &back);
	/* Writing what was read changes nothing more. */
	FUZZ_CHECK(supafs_meta_cache_control(&again, supafs_buf_str(&stored), &back) == 0);
	FUZZ_CHECK(supafs_str_eq(supafs_buf_str(&again), supafs_buf_str(&stored)));
}

static void as_json(struct supafs_str text)
{
	supafs_cleanup(supafs_json_freep) struct supafs_json *j = NULL, *j2 = NULL;
	supafs_cleanup(supafs_buf_fini) struct supafs_buf out;
	struct supafs_meta m = {0}, back = {0};

	supafs_buf_init(&out, ROOM);
	if (supafs_json_parse(text, &j) < 0)
		return;
	supafs_meta_from_json(j, &m);
	check_meta(&m);
	FUZZ_CHECK(supafs_meta_add_json(&out, &m, SUPAFS_STR("")) == 0);
	FUZZ_CHECK(supafs_json_parse(supafs_buf_str(&out), &j2) == 0);
	supafs_meta_from_json(j2, &back);
	check_same(&m, &back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > ROOM / 2)
		return 0;
	as_cache_control(fuzz_str(data, size));
	as_json(fuzz_str(data, size));
	return 0;
}
