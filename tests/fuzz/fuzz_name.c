/* SPDX-License-Identifier: Apache-2.0 */
/* Names both ways (docs/names.md): the input is a name, and it is a segment. */
#include <errno.h>

#include "supafs/util/limits.h"
#include "supafs/util/name.h"

#include "fuzz.h"

#define ROOM 3200

static void as_name(struct supafs_str name)
{
	char seg[ROOM], back[ROOM];
	ssize_t n = supafs_name_encode(name, seg, sizeof(seg));
	ssize_t short_n = supafs_name_encode(name, seg, SUPAFS_SEG_MAX);

	if (n < 0) {
		FUZZ_CHECK(n == -EINVAL || n == -ENAMETOOLONG);
		return;
	}
	FUZZ_CHECK(short_n == (n <= SUPAFS_SEG_MAX ? n : -ENAMETOOLONG));
	n = supafs_name_encode(name, seg, sizeof(seg));
	FUZZ_CHECK(supafs_name_plain((struct supafs_str){seg, (size_t)n}));
	ssize_t m = supafs_name_decode((struct supafs_str){seg, (size_t)n}, back, sizeof(back));
	FUZZ_CHECK(m >= 0 && supafs_str_eq((struct supafs_str){back, (size_t)m}, name));
}

static void as_segment(struct supafs_str seg)
{
	char name[ROOM], back[ROOM];
	ssize_t n = supafs_name_decode(seg, name, sizeof(name));

	if (n < 0) {
		FUZZ_CHECK(n == -EILSEQ || n == -ENAMETOOLONG);
		return;
	}
	FUZZ_CHECK(n > 0 && !memchr(name, '/', (size_t)n) && !memchr(name, 0, (size_t)n));
	ssize_t m = supafs_name_encode((struct supafs_str){name, (size_t)n}, back, sizeof(back));
	FUZZ_CHECK(m >= 0 && supafs_str_eq((struct supafs_str){back, (size_t)m}, seg));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	as_name(fuzz_str(data, size));
	as_segment(fuzz_str(data, size));
	return 0;
}
