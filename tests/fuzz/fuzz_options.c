/* SPDX-License-Identifier: Apache-2.0 */
/* The text behind -o. What is accepted holds every range of the table. */
#include <errno.h>

#include "fuzz.h"
#include "options.h"

static void check_ranges(const struct supafs_options *o)
{
	for (const struct supafs_option *opt = supafs_options_table(); opt->name; opt++) {
		const void *field = (const char *)o + opt->offset;
		uint64_t v;

		if (opt->type != SUPAFS_OPT_UINT && opt->type != SUPAFS_OPT_SIZE &&
			opt->type != SUPAFS_OPT_TIME && opt->type != SUPAFS_OPT_MODE)
			continue;
		memcpy(&v, field, sizeof(v));
		FUZZ_CHECK(
			(v >= opt->min && v <= opt->max) || (!opt->def && v == SUPAFS_OPT_UNSET));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = strndup(fuzz_str(data, size).p, size);
	struct supafs_options o;
	struct supafs_problem p = {.text = ""};
	int r;

	FUZZ_CHECK(text && supafs_options_init(&o) == 0);
	r = supafs_options_parse(&o, text, &p);
	FUZZ_CHECK(r == 0 || r == -EINVAL);
	FUZZ_CHECK((r == 0) == (p.text[0] == '\0'));
	check_ranges(&o);
	if (r == 0) {
		r = supafs_options_check(&o, &p);
		FUZZ_CHECK(r == 0 || (r == -EINVAL && p.text[0]));
	}
	supafs_options_fini(&o);
	free(text);
	return 0;
}
