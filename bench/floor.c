/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The floor of a benchmark: plain libcurl doing the requests that the work needs, without a
 *filesystem.
 *
 *	floor get KEY            one GET of the object, bytes thrown away
 *	floor put FILE KEY       one PUT of a file
 *	floor puts DIR PREFIX    each file of DIR as one PUT, one after another on one connection
 *	floor gets LIST          one GET for each key in the file LIST, one after another
 *
 * The server comes from SUPABASE_URL, SUPABASE_SERVICE_ROLE_KEY and SUPABASE_BUCKET_NAME. Prints
 *the seconds that the transfers took and the bytes, "0.532 1073741824". Keys must be plain (no
 *escapes needed).
 */
#include <curl/curl.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

struct floor {
	CURL *curl;
	const char *base; /* URL without a trailing slash */
	const char *bucket;
	struct curl_slist *headers;
	unsigned long long bytes;
};

static size_t discard(char *p, size_t size, size_t n, void *ctx)
{
	struct floor *f = ctx;

	(void)p;
	f->bytes += size * n;
	return size * n;
}

static double now_s(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int transfer(struct floor *f, const char *key)
{
	char url[4096];
	long status = 0;

	(void)snprintf(url, sizeof(url), "%s/storage/v1/object/authenticated/%s/%s", f->base,
		f->bucket, key);
	curl_easy_setopt(f->curl, CURLOPT_URL, url);
	CURLcode r = curl_easy_perform(f->curl);
	curl_easy_getinfo(f->curl, CURLINFO_RESPONSE_CODE, &status);
	if (r == CURLE_OK && status < 400)
		return 0;
	(void)fprintf(stderr, "floor: %s: %s, HTTP %ld\n", key, curl_easy_strerror(r), status);
	return -EIO;
}

static int upload(struct floor *f, const char *path, const char *key)
{
	char url[4096];
	long status = 0;
	struct stat st;
	FILE *in = fopen(path, "rb");

	if (!in || fstat(fileno(in), &st) != 0) {
		(void)fprintf(stderr, "floor: %s: %s\n", path, strerror(errno));
		if (in)
			(void)fclose(in);
		return -EIO;
	}
	(void)snprintf(url, sizeof(url), "%s/storage/v1/object/%s/%s", f->base, f->bucket, key);
	curl_easy_setopt(f->curl, CURLOPT_URL, url);
	curl_easy_setopt(f->curl, CURLOPT_UPLOAD, 1L);
	curl_easy_setopt(f->curl, CURLOPT_READDATA, in);
	curl_easy_setopt(f->curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)st.st_size);
	CURLcode r = curl_easy_perform(f->curl);
	curl_easy_getinfo(f->curl, CURLINFO_RESPONSE_CODE, &status);
	(void)fclose(in);
	f->bytes += (unsigned long long)st.st_size;
	if (r == CURLE_OK && status < 400)
		return 0;
	(void)fprintf(stderr, "floor: %s: %s, HTTP %ld\n", key, curl_easy_strerror(r), status);
	return -EIO;
}

static int upload_folder(struct floor *f, const char *dir, const char *prefix)
{
	struct dirent *e;
	int r = 0;
	DIR *d = opendir(dir);

	if (!d) {
		(void)fprintf(stderr, "floor: %s: %s\n", dir, strerror(errno));
		return -EIO;
	}
	while (r == 0 && (e = readdir(d)) != NULL) {
		char path[4096], key[4096];

		if (e->d_name[0] == '.')
			continue;
		(void)snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		(void)snprintf(key, sizeof(key), "%s/%s", prefix, e->d_name);
		r = upload(f, path, key);
	}
	(void)closedir(d);
	return r;
}

static int download_list(struct floor *f, const char *list)
{
	char key[2048];
	int r = 0;
	FILE *in = fopen(list, "r");

	if (!in) {
		(void)fprintf(stderr, "floor: %s: %s\n", list, strerror(errno));
		return -EIO;
	}
	while (r == 0 && fgets(key, sizeof(key), in)) {
		key[strcspn(key, "\n")] = '\0';
		r = transfer(f, key);
	}
	(void)fclose(in);
	return r;
}

static int run(struct floor *f, int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "get") == 0)
		return transfer(f, argv[2]);
	if (argc == 4 && strcmp(argv[1], "put") == 0)
		return upload(f, argv[2], argv[3]);
	if (argc == 4 && strcmp(argv[1], "puts") == 0)
		return upload_folder(f, argv[2], argv[3]);
	if (argc == 3 && strcmp(argv[1], "gets") == 0)
		return download_list(f, argv[2]);
	(void)fprintf(
		stderr, "usage: floor get KEY | put FILE KEY | puts DIR PREFIX | gets LIST\n");
	return -EINVAL;
}

int main(int argc, char **argv)
{
	struct floor f = {.base = getenv("SUPABASE_URL"), .bucket = getenv("SUPABASE_BUCKET_NAME")};
	const char *key = getenv("SUPABASE_SERVICE_ROLE_KEY");
	char header[2048];

	if (!f.base || !f.bucket || !key) {
		(void)fprintf(stderr,
			"floor: SUPABASE_URL, _SERVICE_ROLE_KEY and _BUCKET_NAME must be set\n");
		return 2;
	}
	curl_global_init(CURL_GLOBAL_DEFAULT);
	f.curl = curl_easy_init();
	(void)snprintf(header, sizeof(header), "Authorization: Bearer %s", key);
	f.headers = curl_slist_append(f.headers, header);
	f.headers = curl_slist_append(f.headers, "Expect:");
	curl_easy_setopt(f.curl, CURLOPT_HTTPHEADER, f.headers);
	curl_easy_setopt(f.curl, CURLOPT_WRITEFUNCTION, discard);
	curl_easy_setopt(f.curl, CURLOPT_WRITEDATA, &f);
	curl_easy_setopt(f.curl, CURLOPT_BUFFERSIZE, 512L * 1024L);
	curl_easy_setopt(f.curl, CURLOPT_UPLOAD_BUFFERSIZE, 2L * 1024L * 1024L);

	double start = now_s();
	int r = run(&f, argc, argv);
	if (r == 0)
		(void)printf("%.4f %llu\n", now_s() - start, f.bytes);
	curl_slist_free_all(f.headers);
	curl_easy_cleanup(f.curl);
	curl_global_cleanup();
	return r == 0 ? 0 : 1;
}
