/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of the control socket: each whole one gets one line of JSON. */
#include <cjson/cJSON.h>

#include "supafs/util/cleanup.h"

#include "fuzz.h"
#include "serve_bench.h"

#define INPUT_MAX (60U << 10) /* below the bound of a line, which has a test of its own */

static size_t count_lines(struct supafs_str s)
{
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++)
		n += s.p[i] == '\n';
	return n;
}

static void check_answers(struct supafs_str answers)
{
	while (answers.n > 0) {
		struct supafs_str line = fuzz_cut(&answers, '\n');
		const char *end = NULL;
		cJSON *j = cJSON_ParseWithLengthOpts(line.p, line.n, &end, 0);

		FUZZ_CHECK(cJSON_IsObject(j) && end == line.p + line.n);
		cJSON_Delete(j);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct supafs_str clear =
		SUPAFS_STR("{\"op\":\"faults\"}\n{\"op\":\"policies\"}\n{\"op\":\"clear\"}\n");
	supafs_cleanup(supafs_buf_fini) struct supafs_buf out = {0};
	struct supafs_str lines = fuzz_str(data, size);
	struct serve_bench *b = serve_bench_get();

	if (size > INPUT_MAX)
		return 0;
	supafs_buf_init(&out, SERVE_BENCH_ANSWER_MAX);
	if (count_lines(lines) > 8)
		return 0;
	serve_bench_control(b, lines, &out);
	FUZZ_CHECK(count_lines(supafs_buf_str(&out)) == count_lines(lines));
	check_answers(supafs_buf_str(&out));
	serve_bench_control(b, clear, &out);
	FUZZ_CHECK(count_lines(supafs_buf_str(&out)) == 3);
	check_answers(supafs_buf_str(&out));
	return 0;
}
