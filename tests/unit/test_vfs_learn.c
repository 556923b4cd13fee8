/* SPDX-License-Identifier: Apache-2.0 */
/* Modes that show what the server refuses a role: learnt by folder, believed for a minute, ended by
 * a write that succeeds; and bursts of deletes of a role that may not. */
#include "vfs_fixture.h"

static const struct fx_config config = {.ttl_ms = UINT64_MAX};

static void deny(struct fx *x, enum supafs_op op, unsigned times)
{
	struct supafs_faulty_rule rule = {.op = op, .times = times, .error = -EACCES};

	rule.fault.class = SUPAFS_FAULT_DENIED;
	rule.fault.status = 403;
	rule.fault.retry_after_ms = -1;
	(void)snprintf(rule.fault.code, sizeof(rule.fault.code), "AccessDenied");
	supafs_store_faulty_add(x->faulty, &rule);
}

static mode_t mode_of(struct fx *x, const char *path)
{
	struct stat st;

	assert_int_equal(fx_stat(x, path, &st), 0);
	return st.st_mode & 07777;
}

/* A folder with files of another client's. The kernel holds on to it, as it does in life: what is
 * learnt goes with its node. */
static uint64_t folder(struct fx *x, const char *path)
{
	char file[32];
	uint64_t node;

	for (char c = 'f'; c <= 'g'; c++) {
		(void)snprintf(file, sizeof(file), "%s/%c", path, c);
		fx_server_put(x, file, "x");
	}
	assert_int_equal(fx_path(x, path, &node), 0);
	return node;
}

static void folder_is_learnt(void **state)
{
	struct fx *x = fx_new(&config);
	const uint64_t d = folder(x, "d"), e = folder(x, "e");

	(void)state;
	deny(x, SUPAFS_OP_PUT, 1);
	assert_int_equal(fx_mkdir(x, "d/new"), -EACCES);
	assert_int_equal(mode_of(x, "d"), 0555);
	assert_int_equal(mode_of(x, "e"), 0755);
	assert_int_equal(mode_of(x, "d/f"), 0644); /* making was refused, not changing */
	fx_advance_ms(x, 59000);
	assert_int_equal(mode_of(x, "d"), 0555);
	fx_advance_ms(x, 1001);
	assert_int_equal(mode_of(x, "d"), 0755);

	deny(x, SUPAFS_OP_PUT, 1);
	assert_int_equal(fx_mkdir(x, "d/new"), -EACCES);
	assert_int_equal(mode_of(x, "d"), 0555);
	assert_int_equal(fx_mkdir(x, "d/new"), 0); /* the policy has changed */
	assert_int_equal(mode_of(x, "d"), 0755);
	supafs_vfs_forget(x->v, d, 1);
	supafs_vfs_forget(x->v, e, 1);
	assert_int_equal(fx_free(x), 0);
}

static void file_is_learnt(void **state)
{
	struct fx *x = fx_new(&config);
	const uint64_t d = folder(x, "d");

	(void)state;
	deny(x, SUPAFS_OP_PUT, 1);
	assert_int_equal(fx_save(x, "d/f", "changed"), -EACCES);
	assert_int_equal(mode_of(x, "d/g"), 0444);
	assert_int_equal(mode_of(x, "d"), 0755); /* a role that may add */
	assert_int_equal(fx_save(x, "d/f", "changed again"), 0);
	assert_int_equal(mode_of(x, "d/g"), 0644);
	assert_string_equal(fx_server_text(x, "d/f"), "changed again");
	supafs_vfs_forget(x->v, d, 1);
	assert_int_equal(fx_free(x), 0);
}

static void other_errors_teach_nothing(void **state)
{
	struct fx *x = fx_new(&config);
	const uint64_t d = folder(x, "d");

	(void)state;
	fx_fail(x, SUPAFS_OP_PUT, 0, 1, -EIO);
	assert_int_equal(fx_mkdir(x, "d/new"), -EIO);
	assert_int_equal(mode_of(x, "d"), 0755);
	deny(x, SUPAFS_OP_REMOVE, 1);
	assert_int_equal(fx_unlink(x, "d/f", 7), -EACCES);
	assert_int_equal(mode_of(x, "d"), 0755); /* it may be allowed to add */
	supafs_vfs_forget(x->v, d, 1);
	assert_int_equal(fx_free(x), 0);
}

/* More folders than are remembered: the first ones are forgotten, nothing breaks. */
static void few_are_remembered(void **state)
{
	struct fx *x = fx_new(&config);
	uint64_t nodes[80];
	char path[16];

	(void)state;
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(nodes); i++) {
		(void)snprintf(path, sizeof(path), "d%02zu/f", i);
		fx_server_put(x, path, "x");
	}
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(nodes); i++) {
		(void)snprintf(path, sizeof(path), "d%02zu", i);
		assert_int_equal(fx_path(x, path, &nodes[i]), 0);
	}
	deny(x, SUPAFS_OP_PUT, SUPAFS_ARRAY_LEN(nodes));
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(nodes); i++) {
		(void)snprintf(path, sizeof(path), "d%02zu/sub", i);
		assert_int_equal(fx_mkdir(x, path), -EACCES);
		path[3] = '\0';
		assert_int_equal(mode_of(x, path), 0555);
		fx_advance_ms(x, 10);
	}
	assert_int_equal(mode_of(x, "d79"), 0555);
	assert_int_equal(mode_of(x, "d00"), 0755);
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(nodes); i++)
		supafs_vfs_forget(x->v, nodes[i], 1);
	assert_int_equal(fx_free(x), 0);
}

static void every_delete_is_told(void **state)
{
	struct fx *x = fx_new(&config);
	char name[16];

	(void)state;
	for (int i = 0; i < 6; i++) {
		(void)snprintf(name, sizeof(name), "f%d", i);
		fx_server_put(x, name, "x");
	}
	deny(x, SUPAFS_OP_REMOVE, 6);
	for (int i = 0; i < 6; i++) {
		(void)snprintf(name, sizeof(name), "f%d", i);
		assert_int_equal(fx_unlink(x, name, 7), -EACCES);
	}
	assert_string_equal(fx_ls(x, ""), "f0 f1 f2 f3 f4 f5");
	assert_int_equal(fx_free(x), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(folder_is_learnt),
		cmocka_unit_test(file_is_learnt),
		cmocka_unit_test(other_errors_teach_nothing),
		cmocka_unit_test(few_are_remembered),
		cmocka_unit_test(every_delete_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
