/* SPDX-License-Identifier: Apache-2.0 */
/* The messages' table: places are filled, secrets go, docs/troubleshooting.md (argv[1]) has them
 * all. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <stdio.h>
#include <string.h>

#include "supafs/util/buf.h"
#include "supafs/util/cleanup.h"
#include "supafs/util/file.h"
#include "supafs/util/log.h"

#include "messages.h"
#include "probe.h"

static char *page_path;

static void test_places(void **state)
{
	struct supafs_problem p;

	(void)state;
	supafs_problem_set(&p, SUPAFS_MSG_MNT_MISSING, "mnt", "/mnt/x", NULL);
	assert_int_equal(p.id, SUPAFS_MSG_MNT_MISSING);
	assert_string_equal(p.text, "mount point /mnt/x does not exist: mkdir -p /mnt/x");
	supafs_problem_set(&p, SUPAFS_MSG_FILE_READ, "file", "a{b}\n", "err", NULL, NULL);
	assert_string_equal(p.text, "cannot read a{b}\\x0A: ");
}

static void test_secrets(void **state)
{
	struct supafs_problem p;

	(void)state;
	assert_int_equal(supafs_log_add_secret("correct-horse-battery"), 0);
	supafs_problem_set(&p, SUPAFS_MSG_SERVER_ERROR, "url", "https://x", "server",
		"bad key correct-horse-battery or sb_secret_0123456789abcdef", NULL);
	assert_null(strstr(p.text, "horse"));
	assert_null(strstr(p.text, "0123456789"));
	supafs_log_fini();
}

static void test_long(void **state)
{
	struct supafs_problem p;
	char big[3 * SUPAFS_PROBLEM_MAX];

	(void)state;
	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	supafs_problem_set(&p, SUPAFS_MSG_MNT_MISSING, "mnt", big, NULL);
	assert_true(strlen(p.text) < sizeof(p.text));
}

static char upper(char c)
{
	if (c >= 'a' && c <= 'z')
		return (char)('A' + (c - 'a'));
	return c;
}

/* "{mnt}" stands in the page as MNT; line breaks of the page count as blanks. */
static void as_in_page(const char *text, char *out, size_t size)
{
	size_t n = 0;
	bool place = false;

	for (; *text && n + 1 < size; text++) {
		if (*text == '{' || *text == '}') {
			place = *text == '{';
			continue;
		}
		out[n++] = *text;
		if (place)
			out[n - 1] = upper(*text);
	}
	out[n] = '\0';
}

static void test_page(void **state)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf page;
	char want[2 * SUPAFS_PROBLEM_MAX];
	unsigned missing = 0;

	(void)state;
	if (!page_path)
		skip();
	supafs_buf_init(&page, 1U << 20);
	assert_int_equal(supafs_file_read(page_path, &page), 0);
	for (char *c = page.p; *c; c++) {
		if (*c == '\n')
			*c = ' ';
	}
	for (int id = 0; id < SUPAFS_MSG__COUNT; id++) {
		assert_non_null(supafs_msg_text((enum supafs_msg)id));
		as_in_page(supafs_msg_text((enum supafs_msg)id), want, sizeof(want));
		if (!strstr(page.p, want)) {
			print_message("# not in the page: %s\n", want);
			missing++;
		}
	}
	assert_int_equal(missing, 0);
}

static const struct {
	int r;
	enum supafs_fault_class class;
	const char *code;
	enum supafs_msg id;
	bool public_key;
} probes[] = {
	{-EACCES, SUPAFS_FAULT_AUTH, "TokenExpired", SUPAFS_MSG_KEY_EXPIRED, false},
	{-EACCES, SUPAFS_FAULT_AUTH, "TokenSignature", SUPAFS_MSG_KEY_REFUSED, false},
	{-EACCES, SUPAFS_FAULT_AUTH, "Whatever", SUPAFS_MSG_KEY_REFUSED, false},
	{-ENOENT, SUPAFS_FAULT_MISSING, "NoSuchBucket", SUPAFS_MSG_BUCKET_MISSING, false},
	{-ENOENT, SUPAFS_FAULT_MISSING, "NoSuchBucket", SUPAFS_MSG_BUCKET_HIDDEN, true},
	{-ENOENT, SUPAFS_FAULT_MISSING, "PublicKey", SUPAFS_MSG_BUCKET_HIDDEN, true},
	{-EPROTO, SUPAFS_FAULT_PERMANENT, "NotStorage", SUPAFS_MSG_WRONG_URL, false},
	{-EOPNOTSUPP, SUPAFS_FAULT_PERMANENT, "OldServer", SUPAFS_MSG_SERVER_OLD, false},
	{-ECONNREFUSED, SUPAFS_FAULT_TRANSIENT, "", SUPAFS_MSG_UNREACHABLE, false},
	{-EHOSTUNREACH, SUPAFS_FAULT_TRANSIENT, "Unreachable", SUPAFS_MSG_UNREACHABLE, false},
	{-ETIMEDOUT, SUPAFS_FAULT_TRANSIENT, "", SUPAFS_MSG_SERVER_SILENT, false},
	{-ECONNABORTED, SUPAFS_FAULT_PERMANENT, "TLS", SUPAFS_MSG_TLS, false},
	{-EIO, SUPAFS_FAULT_TRANSIENT, "InternalError", SUPAFS_MSG_SERVER_ERROR, false},
};

static void test_probe(void **state)
{
	(void)state;
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(probes); i++) {
		struct supafs_fault fault = {.class = probes[i].class};

		(void)snprintf(fault.code, sizeof(fault.code), "%s", probes[i].code);
		assert_int_equal(supafs_probe_message(probes[i].r, &fault, probes[i].public_key),
			probes[i].id);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_secrets),
		cmocka_unit_test(test_long),
		cmocka_unit_test(test_page),
		cmocka_unit_test(test_probe),
	};

	page_path = argc > 1 ? argv[1] : NULL;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
