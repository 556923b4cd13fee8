/* SPDX-License-Identifier: Apache-2.0 */
/* The option table: defaults, every type, ranges, the man page. argv[1]: docs/man/supafs.1.scd */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "supafs/util/buf.h"
#include "supafs/util/cleanup.h"
#include "supafs/util/file.h"

#include "../../src/app/config.h"
#include "options.h"

struct fixture {
	struct supafs_options opt;
	struct supafs_problem problem;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	*state = f;
	return f ? supafs_options_init(&f->opt) : -1;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	supafs_options_fini(&f->opt);
	free(f);
	return 0;
}

static void test_defaults(void **state)
{
	const struct fixture *f = *state;

	assert_int_equal(f->opt.ttl_ms, 5000);
	assert_int_equal(f->opt.timeout_ms, 60000);
	assert_int_equal(f->opt.memory, 256U << 20);
	assert_int_equal(f->opt.meta_memory, 64U << 20);
	assert_int_equal(f->opt.umask, 022);
	assert_true(f->opt.uid == SUPAFS_OPT_UNSET && f->opt.gid == SUPAFS_OPT_UNSET);
	assert_true(f->opt.fmode == SUPAFS_OPT_UNSET && f->opt.dmode == SUPAFS_OPT_UNSET);
	assert_true(f->opt.default_permissions && f->opt.rename_dir);
	assert_false(f->opt.ro || f->opt.allow_other || f->opt.insecure_http || f->opt.raw_base);
	assert_int_equal(f->opt.names, SUPAFS_NAMES_ESCAPE);
	assert_int_equal(f->opt.meta, SUPAFS_META_LIST);
	assert_int_equal(f->opt.log_level, SUPAFS_OPT_LOG_WARN);
	assert_string_equal(f->opt.cache_control, "no-cache");
	assert_null(f->opt.cache);
	assert_null(f->opt.proxy);
}

static void test_every_type(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(supafs_options_parse(&f->opt,
				 "ttl=0,timeout=1.5s,drain=2m,memory=1g,connections=7,umask=077,"
				 "fmode=0640,names=strict,meta=off,ro,rename_dir=off,uid=0,"
				 "cache=/a b,cache_control=public\\, max-age=60,log_level=debug",
				 &f->problem),
		0);
	assert_int_equal(f->opt.ttl_ms, 0);
	assert_int_equal(f->opt.timeout_ms, 1500);
	assert_int_equal(f->opt.drain_ms, 120000);
	assert_int_equal(f->opt.memory, 1U << 30);
	assert_int_equal(f->opt.connections, 7);
	assert_int_equal(f->opt.umask, 077);
	assert_int_equal(f->opt.fmode, 0640);
	assert_int_equal(f->opt.uid, 0);
	assert_int_equal(f->opt.names, SUPAFS_NAMES_STRICT);
	assert_int_equal(f->opt.meta, SUPAFS_META_OFF);
	assert_int_equal(f->opt.log_level, SUPAFS_OPT_LOG_DEBUG);
	assert_true(f->opt.ro);
	assert_false(f->opt.rename_dir);
	assert_string_equal(f->opt.cache, "/a b");
	assert_string_equal(f->opt.cache_control, "public, max-age=60");
}

static void test_last_wins(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(supafs_options_parse(&f->opt, "ro,rw,ttl=1,cache=/a", &f->problem), 0);
	assert_int_equal(supafs_options_parse(&f->opt, "ttl=2,cache=/b", &f->problem), 0);
	assert_false(f->opt.ro);
	assert_int_equal(f->opt.ttl_ms, 2000);
	assert_string_equal(f->opt.cache, "/b");
}

static void test_ignored(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(
		supafs_options_parse(&f->opt,
			",defaults,,_netdev,nofail,user=joe,x-systemd.automount,X-mount.mkdir=0755,"
			"nosuid,nodev,noatime,",
			&f->problem),
		0);
	assert_int_equal(supafs_options_parse(&f->opt, "", &f->problem), 0);
}

static const struct {
	const char *text;
	enum supafs_msg id;
} bad[] = {
	{"tll=5s", SUPAFS_MSG_OPT_UNKNOWN},
	{"key=sb_secret_0123456789abcdef", SUPAFS_MSG_OPT_UNKNOWN},
	{"ttl", SUPAFS_MSG_OPT_NEEDS_VALUE},
	{"ttl=", SUPAFS_MSG_OPT_VALUE},
	{"ttl=5x", SUPAFS_MSG_OPT_VALUE},
	{"ttl=-1", SUPAFS_MSG_OPT_VALUE},
	{"ttl=25h", SUPAFS_MSG_OPT_RANGE},
	{"timeout=0", SUPAFS_MSG_OPT_RANGE},
	{"memory=1k", SUPAFS_MSG_OPT_RANGE},
	{"memory=99999999999999999999", SUPAFS_MSG_OPT_RANGE},
	{"connections=0", SUPAFS_MSG_OPT_RANGE},
	{"connections=257", SUPAFS_MSG_OPT_RANGE},
	{"uid=4294967295", SUPAFS_MSG_OPT_RANGE},
	{"uid=root", SUPAFS_MSG_OPT_VALUE},
	{"umask=1777", SUPAFS_MSG_OPT_RANGE},
	{"umask=9", SUPAFS_MSG_OPT_VALUE},
	{"names=odd", SUPAFS_MSG_OPT_VALUE},
	{"ro=perhaps", SUPAFS_MSG_OPT_VALUE},
	{"rw=on", SUPAFS_MSG_OPT_NO_VALUE},
};

static void test_bad(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(bad); i++) {
		f->problem.text[0] = '\0';
		print_message("# %s\n", bad[i].text);
		assert_int_equal(supafs_options_parse(&f->opt, bad[i].text, &f->problem), -EINVAL);
		assert_int_equal(f->problem.id, bad[i].id);
		assert_null(strstr(f->problem.text, "sb_secret"));
	}
}

static void test_together(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(supafs_options_parse(&f->opt, "allow_other", &f->problem), 0);
	assert_int_equal(supafs_options_check(&f->opt, &f->problem), 0);
	assert_int_equal(supafs_options_parse(&f->opt, "default_permissions=off", &f->problem), 0);
	assert_int_equal(supafs_options_check(&f->opt, &f->problem), -EINVAL);
	assert_int_equal(f->problem.id, SUPAFS_MSG_ALLOW_OTHER_PERMS);
}

/* Each default lies in its own range, names are given once, each has a help text. */
/* Only an address is this machine; a name that looks like one is anybody's. */
static void test_plain_http(void **state)
{
	static const struct {
		const char *url;
		enum supafs_msg refused; /* 0: taken */
	} cases[] = {
		{"http://localhost:54321", 0},
		{"http://127.0.0.1:1/storage/v1", 0},
		{"http://[::1]:8000", 0},
		{"https://127.example.com", 0},
		{"http://127.example.com", SUPAFS_MSG_PLAIN_HTTP},
		{"http://127.0.0.1.example.com", SUPAFS_MSG_PLAIN_HTTP},
		{"http://example.com", SUPAFS_MSG_PLAIN_HTTP},
		{"http://user@127.0.0.1", SUPAFS_MSG_BAD_URL},
		{"ftp://localhost", SUPAFS_MSG_BAD_URL},
		{"https://", SUPAFS_MSG_BAD_URL},
	};
	char key[] = "sb_secret_0123456789";

	(void)state;
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(cases); i++) {
		supafs_autofree char *url = strdup(cases[i].url);
		const struct supafs_config c = {.url = url, .service_key = key};
		struct supafs_problem p = {0};
		const int r = supafs_config_check(&c, false, &p);

		if (cases[i].refused == 0)
			assert_int_equal(r, 0);
		else
			assert_int_equal(p.id, cases[i].refused);
		assert_int_equal(r, cases[i].refused ? -EINVAL : 0);
	}
}

/* Too short for the log's list of secrets, but not for a file. */
static void test_short_key(void **state)
{
	char path[] = "/tmp/supafs-options-XXXXXX";
	static const char text[] = "SUPABASE_SERVICE_ROLE_KEY=abc\n";
	struct supafs_config c;
	struct supafs_problem p = {0};
	int fd = mkstemp(path), r;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
	(void)close(fd);
	r = supafs_config_load(&c, path, NULL, &p);
	(void)unlink(path);
	supafs_config_fini(&c);
	assert_int_equal(r, 0);
}

static void test_table(void **state)
{
	struct fixture *f = *state;

	for (const struct supafs_option *opt = supafs_options_table(); opt->name; opt++) {
		char text[256];

		for (const struct supafs_option *o = opt + 1; o->name; o++)
			assert_string_not_equal(opt->name, o->name);
		if (opt->type == SUPAFS_OPT_IGNORED)
			continue;
		assert_non_null(opt->help);
		if (!opt->def)
			continue;
		(void)snprintf(text, sizeof(text), "%s=%s", opt->name, opt->def);
		assert_int_equal(supafs_options_parse(&f->opt, text, &f->problem), 0);
	}
}

/* Every option of the table is in the manual under its name and default, and nothing else is. */
static void check_manual(const char *path)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf page;
	char want[256];
	size_t count = 0, found = 0;

	supafs_buf_init(&page, 1U << 20);
	assert_int_equal(supafs_file_read(path, &page), 0);
	for (const struct supafs_option *opt = supafs_options_table(); opt->name; opt++) {
		if (opt->type == SUPAFS_OPT_IGNORED)
			continue;
		(void)snprintf(want, sizeof(want), "\n*%s*%s\n", opt->name, opt->form ? "=" : "");
		if (opt->form)
			(void)snprintf(want, sizeof(want), "\n*%s*=", opt->name);
		print_message("# %s\n", opt->name);
		assert_non_null(strstr(page.p, want));
		count++;
	}
	const char *at = strstr(page.p, "# OPTIONS OF A MOUNT");
	const char *end = strstr(page.p, "# ENVIRONMENT");
	assert_non_null(at);
	assert_non_null(end);
	while ((at = strstr(at, "\n*")) != NULL && at < end) {
		found++;
		at++;
	}
	assert_int_equal(found, count);
}

static char *manual_path;

static void test_manual(void **state)
{
	(void)state;
	if (!manual_path)
		skip();
	check_manual(manual_path);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_defaults, setup, teardown),
		cmocka_unit_test_setup_teardown(test_every_type, setup, teardown),
		cmocka_unit_test_setup_teardown(test_last_wins, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ignored, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad, setup, teardown),
		cmocka_unit_test_setup_teardown(test_together, setup, teardown),
		cmocka_unit_test_setup_teardown(test_table, setup, teardown),
		cmocka_unit_test(test_plain_http),
		cmocka_unit_test(test_short_key),
		cmocka_unit_test(test_manual),
	};

	manual_path = argc > 1 ? argv[1] : NULL;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
