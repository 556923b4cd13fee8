/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a harness over each file of a folder, in TAP: argv[1] is the folder. */
#include <dirent.h>
#include <sys/stat.h>
#include <time.h>

#include "supafs/util/buf.h"
#include "supafs/util/cleanup.h"
#include "supafs/util/file.h"

#include "fuzz.h"

#define INPUT_MAX (8U << 20)
#define SLOW_S    1.0

static int no_dots(const struct dirent *e)
{
	return e->d_name[0] != '.';
}

/* CPU time of the process: a busy machine makes nothing slow. */
static double cpu_s(void)
{
	struct timespec t = {0};

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Runs the file's bytes from a block of exactly their size. False: it could not be read. */
static bool run_file(const char *folder, const char *name, double *ret_s)
{
	supafs_cleanup(supafs_buf_fini) struct supafs_buf b;
	supafs_autofree char *path = NULL;
	uint8_t *exact;
	double start;

	supafs_buf_init(&b, INPUT_MAX);
	if (asprintf(&path, "%s/%s", folder, name) < 0 || supafs_file_read(path, &b) < 0)
		return false;
	exact = malloc(b.n ? b.n : 1);
	if (!exact)
		return false;
	if (b.n)
		memcpy(exact, b.p, b.n);
	start = cpu_s();
	(void)LLVMFuzzerTestOneInput(exact, b.n);
	*ret_s = cpu_s() - start;
	free(exact);
	return true;
}

int main(int argc, char **argv)
{
	struct dirent **list = NULL;
	int n = argc == 2 ? scandir(argv[1], &list, no_dots, alphasort) : -1;
	int bad = 0;

	if (n <= 0) {
		(void)printf("Bail out! usage: %s FOLDER (with files in it)\n", argv[0]);
		return 1;
	}
	(void)printf("1..%d\n", n);
	for (int i = 0; i < n; i++) {
		double s = 0;
		bool ok;

		(void)fflush(stdout);
		ok = run_file(argv[1], list[i]->d_name, &s);
		(void)printf("%s %d - %s\n", ok ? "ok" : "not ok", i + 1, list[i]->d_name);
		if (s > SLOW_S)
			(void)printf("# %s took %.1f s of CPU time\n", list[i]->d_name, s);
		bad += !ok;
		free(list[i]);
	}
	free(list);
	return bad ? 1 : 0;
}
