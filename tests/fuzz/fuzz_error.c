/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Error bodies → fault. The first line is "STATUS OP" in decimal (both may be missing), the rest
 * is the body.
 */
#include "supafs/util/limits.h"
#include "supafs/util/parse.h"

#include "errors_priv.h"
#include "fuzz.h"

static void check_line(const char *s, size_t room)
{
	FUZZ_CHECK(strnlen(s, room) < room);
	for (; *s; s++)
		FUZZ_CHECK((unsigned char)*s >= 0x20 && *s != 0x7F);
}

static void check_fault(int error, const struct supafs_fault *f)
{
	char text[300];

	FUZZ_CHECK(error < 0 && error > -4096);
	FUZZ_CHECK(f->class > SUPAFS_FAULT_NONE && f->class < SUPAFS_FAULT__COUNT);
	FUZZ_CHECK(f->status >= 100 && f->status <= 599);
	check_line(f->code, sizeof(f->code));
	check_line(f->text, sizeof(f->text));
	supafs_fault_format(f, text, sizeof(text));
	check_line(text, sizeof(text));
}

static unsigned number(struct supafs_str s, unsigned low, unsigned high)
{
	uint64_t v = 0;

	return supafs_parse_u64(s, high, &v) == 0 && v >= low ? (unsigned)v : low;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct supafs_str body = fuzz_str(data, size);
	struct supafs_str line = fuzz_cut(&body, '\n');
	struct supafs_str status = fuzz_cut(&line, ' ');
	struct supafs_http_reply r;
	struct supafs_fault fault;
	enum supafs_op op = (enum supafs_op)number(line, 0, SUPAFS_OP__COUNT - 1);

	if (body.n > SUPAFS_ERR_BODY_MAX)
		body.n = SUPAFS_ERR_BODY_MAX;
	supafs_http_reply_init(&r);
	r.status = (int)number(status, 400, 599);
	supafs_buf_init(&r.body, SUPAFS_ERR_BODY_MAX);
	(void)supafs_buf_addstr(&r.body, body);
	check_fault(supafs_errors_reply(&r, op, &fault), &fault);
	check_fault(supafs_errors_bad_reply(&r, &fault), &fault);
	supafs_http_reply_fini(&r);
	return 0;
}
