/* SPDX-License-Identifier: Apache-2.0 */
/* Both ways over the control channel: a request line (the daemon's side), and after a first byte of
 * '{' an answer (the command's). A request that is taken stays below the mount, and comes back the
 * same from its own text. */
#include <errno.h>

#include "supafs/util/cleanup.h"

#include "answer.h"
#include "control_request.h"
#include "fuzz.h"

static void check_path(const char *path)
{
	FUZZ_CHECK(*path);
	for (;;) {
		const size_t n = strcspn(path, "/");

		FUZZ_CHECK(n > 0 && !(n == 1 && path[0] == '.'));
		FUZZ_CHECK(!(n == 2 && path[0] == '.' && path[1] == '.'));
		if (!path[n])
			return;
		path += n + 1;
	}
}

static void request(struct supafs_str line)
{
	struct supafs_control_request *req = malloc(sizeof(*req)), *again = malloc(sizeof(*again));
	supafs_cleanup(supafs_buf_fini) struct supafs_buf b;

	FUZZ_CHECK(req && again);
	supafs_buf_init(&b, (size_t)4 * SUPAFS_CONTROL_LINE_MAX);
	if (supafs_control_parse(line, req) == 0) {
		FUZZ_CHECK(req->verb < SUPAFS_CONTROL__COUNT);
		FUZZ_CHECK(strlen(req->path) == req->path_n);
		if (req->verb == SUPAFS_CONTROL_URL)
			check_path(req->path);
		FUZZ_CHECK(supafs_control_format(req, &b) == 0);
		FUZZ_CHECK(supafs_control_parse((struct supafs_str){b.p, b.n - 1}, again) == 0);
		FUZZ_CHECK(req->verb == again->verb && req->id == again->id);
		FUZZ_CHECK(req->seconds == again->seconds && req->path_n == again->path_n);
		FUZZ_CHECK(strcmp(req->path, again->path) == 0);
	}
	free(req);
	free(again);
}

static void answer(struct supafs_str line)
{
	supafs_cleanup(supafs_answer_freep) struct supafs_answer *a = NULL;
	const int r = supafs_answer_parse(line, &a);

	FUZZ_CHECK(r == 0 || r == -EPROTO || r == -ENOMEM);
	if (r != 0)
		return;
	FUZZ_CHECK(supafs_answer_number(a, "n", 5) <= UINT64_C(1) << 53);
	FUZZ_CHECK(supafs_answer_text(a, "t", "") != NULL);
	(void)supafs_answer_true(a, "ok");
	(void)supafs_answer_member(a, "m");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct supafs_str line = fuzz_str(data, size);

	if (size > 0 && data[0] == '{')
		answer(line);
	else
		request(line);
	return 0;
}
