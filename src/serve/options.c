/* SPDX-License-Identifier: Apache-2.0 */
/* Option table of supafs-serve. */
#include "options.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/parse.h"

enum kind {
	KIND_FLAG,
	KIND_TEXT,
	KIND_LIST,
	KIND_NUMBER,
	KIND_SIZE,
};

struct option_row {
	const char *name;
	enum kind kind;
	size_t offset;
	const char *argument;
	uint64_t min, max;    /* of a number or size */
	const char *fallback; /* the default, as it would be typed; NULL: none */
	const char *help;
};

#define AT(member) offsetof(struct serve_config, member)

static const struct option_row table[] = {
	{"listen", KIND_TEXT, AT(listen), "ADDR", 0, 0, "127.0.0.1", "address to listen on"},
	{"port", KIND_NUMBER, AT(port), "N", 0, 65535, "54380", "port; 0 takes a free one"},
	{"base-path", KIND_TEXT, AT(base_path), "PATH", 0, 0, "/storage/v1",
		"what the paths of requests begin with; \"\" for none"},
	{"bucket", KIND_LIST, AT(buckets), "NAME[:public]", 0, 0, NULL,
		"make this bucket if it is absent (again for more)"},
	{"size-limit", KIND_SIZE, AT(size_limit), "BYTES", 1, UINT64_C(1) << 53, "50G",
		"largest object"},
	{"etag", KIND_TEXT, AT(etag_name), "KIND", 0, 0, "stored",
		"stored: MD5 made while uploading; md5: made again at every GET, as the real file\n"
		"                         backend does; mtime: time and size, nothing is hashed"},
	{"tls-cert", KIND_TEXT, AT(tls_cert), "FILE", 0, 0, NULL, "certificate (PEM): serve https"},
	{"tls-key", KIND_TEXT, AT(tls_key), "FILE", 0, 0, NULL, "its private key (PEM)"},
	{"policy", KIND_LIST, AT(policies), "SPEC", 0, 0, NULL,
		"ROLE:BUCKET:PATTERN:OPS, what anon or authenticated may do (again for more)"},
	{"jwt-secret-file", KIND_TEXT, AT(jwt_secret_file), "FILE", 0, 0, NULL,
		"secret that signs the keys (default: DIR/jwt-secret, made once)"},
	{"tus-expiry", KIND_NUMBER, AT(tus_expiry_s), "SECONDS", 1, 31536000, "86400",
		"life of an unfinished resumable upload"},
	{"durable", KIND_FLAG, AT(durable), NULL, 0, 0, NULL,
		"sync every object to the disk before answering"},
	{"quiet", KIND_FLAG, AT(quiet), NULL, 0, 0, NULL, "do not print the URL and the keys"},
	{"help", KIND_FLAG, AT(help), NULL, 0, 0, NULL, "this text"},
	{"version", KIND_FLAG, AT(version), NULL, 0, 0, NULL, "version, also of the libraries"},
};

static int set_text(struct serve_config *c, const struct option_row *row, const char *value)
{
	*(const char **)(void *)((char *)c + row->offset) = value;
	return 0;
}

static int set_list(struct serve_config *c, const struct option_row *row, const char *value)
{
	struct serve_texts *t = (struct serve_texts *)(void *)((char *)c + row->offset);

	if (t->n == SERVE_LIST_MAX)
		return -E2BIG;
	t->list[t->n++] = value;
	return 0;
}

static int set_number(struct serve_config *c, const struct option_row *row, const char *value)
{
	uint64_t *at = (uint64_t *)(void *)((char *)c + row->offset);
	uint64_t n;
	int r;

	if (row->kind == KIND_SIZE)
		r = supafs_parse_size(supafs_str_of(value), &n);
	else
		r = supafs_parse_u64(supafs_str_of(value), row->max, &n);
	if (r < 0)
		return r;
	if (n < row->min || n > row->max)
		return -ERANGE;
	*at = n;
	return 0;
}

static int set(struct serve_config *c, const struct option_row *row, const char *value)
{
	switch (row->kind) {
	case KIND_FLAG:
		*(bool *)(void *)((char *)c + row->offset) = true;
		return 0;
	case KIND_TEXT:
		return set_text(c, row, value);
	case KIND_LIST:
		return set_list(c, row, value);
	case KIND_NUMBER:
	case KIND_SIZE:
		return set_number(c, row, value);
	}
	return -EINVAL;
}

static const struct option_row *find_row(const char *name, size_t n)
{
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(table); i++) {
		if (strlen(table[i].name) == n && memcmp(table[i].name, name, n) == 0)
			return &table[i];
	}
	return NULL;
}

/* --name VALUE or --name=VALUE; *at moves to the last argument that was used. */
static int take_option(
	struct serve_config *c, int argc, char **argv, int *at, char *why, size_t why_size)
{
	const char *name = argv[*at] + 2;
	const char *equals = strchr(name, '=');
	const struct option_row *row =
		find_row(name, equals ? (size_t)(equals - name) : strlen(name));
	const char *value = equals ? equals + 1 : NULL;

	if (!row) {
		(void)snprintf(why, why_size, "unknown option %s (see --help)", argv[*at]);
		return -EINVAL;
	}
	if (row->kind == KIND_FLAG && equals) {
		(void)snprintf(why, why_size, "--%s takes no value", row->name);
		return -EINVAL;
	}
	if (row->kind != KIND_FLAG && !equals) {
		if (*at + 1 >= argc) {
			(void)snprintf(
				why, why_size, "--%s needs a value (%s)", row->name, row->argument);
			return -EINVAL;
		}
		value = argv[++*at];
	}
	if (set(c, row, value) < 0) {
		(void)snprintf(why, why_size, "--%s: \"%.60s\" is not a valid %s", row->name,
			value ? value : "", row->argument);
		return -EINVAL;
	}
	return 0;
}

static int check_base_path(struct serve_config *c, char *why, size_t why_size)
{
	size_t n = strlen(c->base_path);

	if (n == 0)
		return 0;
	if (c->base_path[0] == '/' && c->base_path[n - 1] != '/' && !strpbrk(c->base_path, "?#% "))
		return 0;
	(void)snprintf(why, why_size,
		"--base-path: \"%.60s\" must begin with / and not end in one (or be empty)",
		c->base_path);
	return -EINVAL;
}

static int check_etag(struct serve_config *c, char *why, size_t why_size)
{
	static const char *const names[] = {[SERVE_ETAG_STORED] = "stored",
		[SERVE_ETAG_MD5] = "md5",
		[SERVE_ETAG_MTIME] = "mtime"};

	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(names); i++) {
		if (strcmp(names[i], c->etag_name) == 0) {
			c->etag = (enum serve_etag)i;
			return 0;
		}
	}
	(void)snprintf(
		why, why_size, "--etag: \"%.60s\" is not stored, md5 or mtime", c->etag_name);
	return -EINVAL;
}

static int check(struct serve_config *c, char *why, size_t why_size)
{
	if (!c->dir) {
		(void)snprintf(why, why_size, "a folder is needed: supafs-serve [options] DIR");
		return -EINVAL;
	}
	if (!c->tls_cert != !c->tls_key) {
		(void)snprintf(why, why_size, "--tls-cert and --tls-key belong together");
		return -EINVAL;
	}
	if (check_base_path(c, why, why_size) < 0)
		return -EINVAL;
	return check_etag(c, why, why_size);
}

int serve_options_parse(
	int argc, char **argv, struct serve_config *ret_config, char *why, size_t why_size)
{
	struct serve_config c = {0};
	bool only_names = false;

	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(table); i++) {
		if (table[i].fallback && set(&c, &table[i], table[i].fallback) < 0)
			return -EINVAL;
	}
	for (int i = 1; i < argc; i++) {
		if (!only_names && strcmp(argv[i], "--") == 0) {
			only_names = true;
		} else if (!only_names && strncmp(argv[i], "--", 2) == 0) {
			if (take_option(&c, argc, argv, &i, why, why_size) < 0)
				return -EINVAL;
		} else if (c.dir || (!only_names && argv[i][0] == '-')) {
			(void)snprintf(why, why_size, "unexpected argument \"%.60s\" (see --help)",
				argv[i]);
			return -EINVAL;
		} else {
			c.dir = argv[i];
		}
	}
	if (!c.help && !c.version && check(&c, why, why_size) < 0)
		return -EINVAL;
	*ret_config = c;
	return 0;
}

void serve_options_usage(void)
{
	(void)puts("usage: supafs-serve [options] DIR\n\n"
		   "A Supabase Storage server over the folder DIR, for trying out, developing and\n"
		   "testing. It prints SUPABASE_URL, SUPABASE_SERVICE_ROLE_KEY and\n"
		   "SUPABASE_ANON_KEY, writes them to DIR/env, and then prints \"ready\".\n");
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(table); i++) {
		const struct option_row *row = &table[i];
		char left[48];

		(void)snprintf(left, sizeof(left), "--%s%s%s", row->name, row->argument ? " " : "",
			row->argument ? row->argument : "");
		(void)printf("  %-22s %s", left, row->help);
		if (row->fallback)
			(void)printf(" (default: %s)", *row->fallback ? row->fallback : "none");
		(void)putchar('\n');
	}
}
