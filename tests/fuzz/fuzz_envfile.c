/* SPDX-License-Identifier: Apache-2.0 */
/* Environment and configuration files. */
#include <errno.h>

#include "supafs/util/limits.h"

#include "envfile.h"
#include "fuzz.h"

static int take(void *ctx, struct supafs_str name, const char *value)
{
	struct supafs_str *whole = ctx;

	FUZZ_CHECK(name.n > 0 && name.p >= whole->p && name.p + name.n <= whole->p + whole->n);
	FUZZ_CHECK(!memchr(name.p, '=', name.n) && !memchr(name.p, '\n', name.n));
	FUZZ_CHECK(strlen(value) <= SUPAFS_SECRET_MAX);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct supafs_str text = fuzz_str(data, size);
	unsigned line = 0;
	const char *what = NULL;
	int r = supafs_envfile_parse(text, take, &text, &line, &what);

	FUZZ_CHECK(r == 0 || r == -EINVAL || r == -EMSGSIZE);
	if (r == -EINVAL)
		FUZZ_CHECK(line > 0 && what && *what);
	return 0;
}
