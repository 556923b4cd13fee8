/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records of the journal, as they are and with length and checksum made right (a search would never
 * find those), and lists of deletes. What is taken is written again, byte for byte.
 */
#include <endian.h>
#include <errno.h>

#include "supafs/cache/journal.h"
#include "supafs/util/cleanup.h"
#include "supafs/util/crc32c.h"
#include "supafs/util/limits.h"

#include "fuzz.h"

#define LENGTH_AT 12
#define CRC_N     4

static void check_record(const struct supafs_journal_record *rec)
{
	FUZZ_CHECK(rec->key.n <= SUPAFS_KEY_MAX && rec->from.n <= SUPAFS_KEY_MAX);
	FUZZ_CHECK(rec->map.size <= INT64_MAX && rec->map.base_limit <= rec->map.size);
	FUZZ_CHECK(rec->map.n == 0 || rec->map.ranges[rec->map.n - 1].to <= rec->map.size);
	FUZZ_CHECK(supafs_pairs_valid(rec->user));
	FUZZ_CHECK(rec->data.n <= SUPAFS_JOURNAL_INLINE_MAX);
	FUZZ_CHECK(!rec->inlined || rec->data.n == rec->map.size);
}

static void as_record(struct supafs_str p)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf again;
	supafs_autofree struct supafs_range *ranges = NULL;
	struct supafs_journal_record rec;
	int r = supafs_journal_parse(p, &rec, &ranges);

	supafs_buf_init(&again, p.n + 1);
	FUZZ_CHECK(r == 0 || r == -EBADMSG || r == -EPROTONOSUPPORT);
	if (r != 0)
		return;
	check_record(&rec);
	FUZZ_CHECK(supafs_journal_format(&rec, &again) == 0);
	FUZZ_CHECK(supafs_str_starts(p, supafs_buf_str(&again)));
	FUZZ_CHECK(again.n == p.n || rec.kind == SUPAFS_JOURNAL_DELETE);
}

/* The same with a length and checksum that fit. */
static void as_mended(const uint8_t *data, size_t size)
{
	supafs_autofree char *p = NULL;
	uint32_t v;

	if (size < LENGTH_AT + sizeof(v))
		return;
	p = malloc(size + CRC_N);
	if (!p)
		return;
	memcpy(p, data, size);
	v = htole32((uint32_t)(size + CRC_N));
	memcpy(p + LENGTH_AT, &v, sizeof(v));
	v = htole32(supafs_crc32c(0, p, size));
	memcpy(p + size, &v, sizeof(v));
	as_record((struct supafs_str){p, size + CRC_N});
}

static void as_deletes(struct supafs_str deletes)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf again;
	struct supafs_journal_delete d;
	size_t pos = 0, before = 0;

	supafs_buf_init(&again, deletes.n + 1);
	while (supafs_journal_delete_next(deletes, &pos, &d)) {
		FUZZ_CHECK(pos > before && pos <= deletes.n);
		FUZZ_CHECK(supafs_journal_delete_add(&again, &d) == 0);
		before = pos;
	}
	FUZZ_CHECK(again.n == pos && supafs_str_starts(deletes, supafs_buf_str(&again)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	as_record(fuzz_str(data, size));
	as_mended(data, size);
	as_deletes(fuzz_str(data, size));
	return 0;
}
