/* SPDX-License-Identifier: Apache-2.0 */
/* The journal when the process dies between any two steps, and when the disk is full. */
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "journal_fixture.h"

/* --- Steps: system calls that change the disk, counted; the process ends before the n-th ---------
 */

static struct steps {
	unsigned at, stop; /* 0: never */
} *const steps = &(struct steps){0, 0};

static void step(void)
{
	if (steps->stop && ++steps->at == steps->stop)
		_exit(0);
}

int __real_fdatasync(int fd);
int __real_fsync(int fd);
int __real_unlinkat(int fd, const char *name, int flags);
ssize_t __real_pwrite64(int fd, const void *p, size_t n, off_t off);
int __wrap_fdatasync(int fd);
int __wrap_fsync(int fd);
int __wrap_unlinkat(int fd, const char *name, int flags);
ssize_t __wrap_pwrite64(int fd, const void *p, size_t n, off_t off);

int __wrap_fdatasync(int fd)
{
	step();
	return __real_fdatasync(fd);
}

int __wrap_fsync(int fd)
{
	step();
	return __real_fsync(fd);
}

int __wrap_unlinkat(int fd, const char *name, int flags)
{
	step();
	return __real_unlinkat(fd, name, flags);
}

/* A write may also end half-way. */
ssize_t __wrap_pwrite64(int fd, const void *p, size_t n, off_t off)
{
	step();
	if (steps->stop && steps->at + 1 == steps->stop && n > 1) {
		(void)__real_pwrite64(fd, p, n / 2, off);
		_exit(0);
	}
	return __real_pwrite64(fd, p, n, off);
}

/* --- Crashes -------------------------------------------------------------------------------------
 */

/* What the child has been told to be done, in memory that outlives it. */
struct progress {
	_Atomic unsigned done;
};

static struct progress *shared_counter(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_true(p != MAP_FAILED);
	return p;
}

/* One content's life: closed, changed and closed again (another spool), its upload noted, done. */
static void life(struct fx *x, const char *id, struct progress *at, uint64_t size)
{
	struct supafs_journal_record rec = small(SUPAFS_JOURNAL_CONTENT, "key");
	struct supafs_spool *old, *new;

	memcpy(rec.id, id, sizeof(rec.id));
	old = spool_of(x, "old", size);
	if (supafs_journal_put_spool(x->j, &rec, old) != 0)
		_exit(1);
	at->done = 1;
	if (supafs_spool_clone(old, &new) != 0 || supafs_spool_pwrite(new, "new", 3, 0) != 0 ||
		supafs_journal_put_spool(x->j, &rec, new) != 0)
		_exit(1);
	at->done = 2;
	(void)supafs_spool_free(old);
	rec.tries = 1;
	if (supafs_journal_note_spool(x->j, &rec, new) != 0)
		_exit(1);
	at->done = 3;
	if (supafs_journal_remove(x->j, id) != 0)
		_exit(1);
	at->done = 4;
	(void)supafs_spool_free(new);
	at->done = 5;
	_exit(7);
}

static void check_life(const struct told *t, unsigned done)
{
	assert_true(t->n <= 1);
	if (done == 0)
		assert_true(t->n == 0 || strcmp(t->text[0], "old") == 0);
	if (done == 1)
		assert_true(t->n == 1 &&
			    (strcmp(t->text[0], "old") == 0 || strcmp(t->text[0], "new") == 0));
	if (done == 2)
		assert_true(t->n == 1 && strcmp(t->text[0], "new") == 0);
	if (done == 3)
		assert_true(t->n == 0 || strcmp(t->text[0], "new") == 0);
	if (done > 3)
		assert_int_equal(t->n, 0);
}

/* Dies before (or in the middle of) each system call; what was acknowledged is there. */
static unsigned die_at_each_step(struct fx *x, uint64_t size)
{
	struct progress *at = shared_counter();
	char id[SUPAFS_JOURNAL_ID];
	unsigned stop = 1;
	int status = 0;

	supafs_journal_new_id(id);
	for (;; stop++) {
		close_both(x);
		empty_folders(x);
		at->done = 0;

		pid_t pid = fork();

		assert_true(pid >= 0);
		if (pid == 0) {
			open_both(x);
			steps->stop = stop;
			life(x, id, at, size);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFEXITED(status) && WEXITSTATUS(status) != 1);
		open_both(x);

		const struct told t = walk(x);

		check_life(&t, at->done);
		reopen(x); /* once more: sorting out can be repeated */

		const struct told again = walk(x);

		assert_int_equal(again.n, t.n);
		assert_int_equal(x->lost, 0);
		if (WEXITSTATUS(status) == 7)
			break;
	}
	(void)munmap(at, 4096);
	return stop;
}

static void test_crash_small(void **state)
{
	assert_true(die_at_each_step(*state, 0) > 8);
}

static void test_crash_large(void **state)
{
	assert_true(die_at_each_step(*state, 100000) > 8);
}

/* Dies while it sorts out what another left. */
static void test_crash_in_open(void **state)
{
	struct fx *x = *state;
	int status = 0;

	for (unsigned stop = 1;; stop++) {
		close_both(x);
		empty_folders(x);
		open_both(x);

		struct supafs_journal_record rec = put(x, "small", "small", 0, 1);
		char name[80];

		(void)put(x, "large", "large", 100000, 2);
		(void)snprintf(name, sizeof(name), "%s.j9", rec.id);
		write_in(x, name, "torn");
		write_in(x, "foreign", "x");
		close_both(x);

		pid_t pid = fork();

		assert_true(pid >= 0);
		if (pid == 0) {
			struct told t = {0};

			steps->stop = stop;
			open_both(x);
			_exit(supafs_journal_walk(x->j, tell, &t) == 0 ? 7 : 1);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFEXITED(status) && WEXITSTATUS(status) != 1);
		open_both(x);

		const struct told t = walk(x);

		assert_int_equal(t.n, 2);
		assert_string_equal(t.text[0], "small");
		assert_string_equal(t.text[1], "large");
		assert_int_equal(count(x, "lost+found"), 2);
		if (WEXITSTATUS(status) == 7)
			break;
	}
}

/* --- A full disk ---------------------------------------------------------------------------------
 */

static int in_child(const char *dir, int (*test)(const char *dir))
{
	int status = 0;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(test(dir));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* The older record stands when there is no room for the newer one. */
static int fill_up(struct fx *x)
{
	static char big[SUPAFS_JOURNAL_INLINE_MAX];
	struct supafs_journal_record rec = reference("stands", 1), more;
	struct told t = {0};
	int r = 0;

	if (supafs_journal_put(x->j, &rec) != 0)
		return 1;
	memset(big, 'x', sizeof(big));
	for (unsigned i = 0; i < 1000 && r == 0; i++) {
		more = small(SUPAFS_JOURNAL_CONTENT, "big");
		more.since_ns = 5;
		more.inlined = true;
		more.data = (struct supafs_str){big, sizeof(big)};
		supafs_journal_new_id(more.map.name);
		more.map.size = sizeof(big);
		r = supafs_journal_put(x->j, &more);
	}
	if (r != -ENOSPC)
		return 2;
	memcpy(more.id, rec.id, sizeof(more.id));
	if (supafs_journal_put(x->j, &more) != -ENOSPC ||
		supafs_journal_note(x->j, &more) != -ENOSPC)
		return 3;
	reopen(x);
	if (x->lost != 0 || supafs_journal_walk(x->j, tell, &t) == 1 ||
		strcmp(t.keys[0], "stands") != 0)
		return 4;
	close_both(x);
	return 0;
}

static int full_by_limit(const char *dir)
{
	struct rlimit lim = {40000, 40000};
	struct fx x = {.lost = 0};

	(void)snprintf(x.dir, sizeof(x.dir), "%s", dir);
	signal(SIGXFSZ, SIG_IGN);
	if (setrlimit(RLIMIT_FSIZE, &lim) != 0)
		return 5;
	open_both(&x);
	return fill_up(&x);
}

/* Mounts made from now on are seen by this process alone. In a chroot "/" is no mount point and
 * cannot be made private; then that no mount is shared must do. */
static bool keep_mounts_here(void)
{
	char line[4096];
	bool shared = false;
	FILE *f;

	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0)
		return true;
	f = fopen("/proc/1/mountinfo", "re");
	if (!f)
		return false;
	while (fgets(line, sizeof(line), f))
		shared = shared || strstr(line, " shared:");
	(void)fclose(f);
	return !shared;
}

static int full_by_tmpfs(const char *dir)
{
	struct fx x = {.lost = 0};

	if (unshare(geteuid() == 0 ? CLONE_NEWNS : CLONE_NEWUSER | CLONE_NEWNS) < 0 ||
		!keep_mounts_here() || mount("tmpfs", dir, "tmpfs", 0, "size=300k,mode=0700") < 0)
		return 77;
	(void)snprintf(x.dir, sizeof(x.dir), "%s", dir);
	open_both(&x);
	return fill_up(&x);
}

static void test_file_limit(void **state)
{
	struct fx *x = *state;

	close_both(x);
	assert_int_equal(in_child(x->dir, full_by_limit), 0);
	open_both(x);
}

static void test_disk_full(void **state)
{
	struct fx *x = *state;
	int r;

	close_both(x);
	r = in_child(x->dir, full_by_tmpfs);
	open_both(x);
	if (r == 77) {
		print_message("# no mount namespace here: a full disk is not tried\n");
		skip();
	}
	assert_int_equal(r, 0);
}

/* A delete that did not fit leaves no torn end that would hide the next. */
static int append_by_limit(const char *dir)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf list;
	struct supafs_journal_record rec = small(SUPAFS_JOURNAL_DELETE, "d/");
	struct rlimit lim = {2000, 2000};
	struct fx x = {.lost = 0};
	unsigned n = 0, got = 0;
	int r;

	supafs_buf_init(&list, 4096);
	(void)snprintf(x.dir, sizeof(x.dir), "%s", dir);
	signal(SIGXFSZ, SIG_IGN);
	if (setrlimit(RLIMIT_FSIZE, &lim) != 0)
		return 5;
	open_both(&x);
	add_delete(&list, "a-name-of-some-length");
	r = supafs_journal_note(x.j, &rec);
	for (; r == 0; n += r == 0)
		r = supafs_journal_append(x.j, rec.id, supafs_buf_str(&list));
	if (r != -ENOSPC || n < 5)
		return 6;
	supafs_buf_reset(&list);
	add_delete(&list, "b");
	if (supafs_journal_append(x.j, rec.id, supafs_buf_str(&list)) == 0)
		n++;
	reopen(&x);
	if (supafs_journal_walk(x.j, count_in_walk, &got) != 0 || got != n)
		return 7;
	close_both(&x);
	return 0;
}

static void test_append_limit(void **state)
{
	struct fx *x = *state;

	close_both(x);
	assert_int_equal(in_child(x->dir, append_by_limit), 0);
	open_both(x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_crash_small, setup, teardown),
		cmocka_unit_test_setup_teardown(test_crash_large, setup, teardown),
		cmocka_unit_test_setup_teardown(test_crash_in_open, setup, teardown),
		cmocka_unit_test_setup_teardown(test_file_limit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_disk_full, setup, teardown),
		cmocka_unit_test_setup_teardown(test_append_limit, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
