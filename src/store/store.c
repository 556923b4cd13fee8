/* SPDX-License-Identifier: Apache-2.0 */
/* Versions, faults, key rules, nonces: the parts of the layer that touch no server. */
#include "supafs/store/store.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/name.h"

#include "store_priv.h"

bool supafs_version_same(const struct supafs_version *a, const struct supafs_version *b)
{
	return a->etag[0] != '\0' && strcmp(a->etag, b->etag) == 0 && a->size == b->size;
}

void supafs_fault_clear(struct supafs_fault *f)
{
	*f = (struct supafs_fault){.retry_after_ms = -1};
}

void supafs_fault_format(const struct supafs_fault *f, char *out, size_t size)
{
	const char *colon = f->text[0] ? ": " : "";

	if (f->status > 0)
		(void)snprintf(out, size, "HTTP %d%s%s%s%s", f->status, f->code[0] ? " " : "",
			f->code, colon, f->text);
	else if (f->text[0])
		(void)snprintf(out, size, "%s", f->text);
	else
		(void)snprintf(out, size, "%s", f->code[0] ? f->code : "no reply");
}

int supafs_fault_set(struct supafs_fault *f, int error, enum supafs_fault_class class,
	const char *code, const char *text)
{
	supafs_fault_clear(f);
	f->class = class;
	(void)snprintf(f->code, sizeof(f->code), "%s", code);
	(void)snprintf(f->text, sizeof(f->text), "%s", text ? text : "");
	return error;
}

/* One of "", ".", ".." between slashes; `last` tells that no slash follows. */
static bool segment_odd(struct supafs_str s, bool last)
{
	if (s.n == 0)
		return !last;
	return s.p[0] == '.' && (s.n == 1 || (s.n == 2 && s.p[1] == '.'));
}

static bool any_segment(struct supafs_str key, bool dots_only)
{
	size_t start = 0;

	for (size_t i = 0; i <= key.n; i++) {
		if (i < key.n && key.p[i] != '/')
			continue;
		struct supafs_str seg = {key.p + start, i - start};
		if (segment_odd(seg, i == key.n) && (seg.n > 0 || !dots_only))
			return true;
		start = i + 1;
	}
	return false;
}

/* Each segment of characters that the server takes. */
static bool key_plain(struct supafs_str key)
{
	while (key.n > 0) {
		const char *slash = memchr(key.p, '/', key.n);
		size_t n = slash ? (size_t)(slash - key.p) : key.n;
		size_t step = slash ? n + 1 : n;
		if (!supafs_name_plain((struct supafs_str){key.p, n}))
			return false;
		key.p += step;
		key.n -= step;
	}
	return true;
}

bool supafs_key_odd(struct supafs_str key)
{
	return any_segment(key, false);
}

int supafs_key_check(struct supafs_str key, enum supafs_key_use use, struct supafs_fault *fault)
{
	bool writes = use == SUPAFS_KEY_PATH || use == SUPAFS_KEY_BODY;
	const char *why = NULL;

	if (key.n == 0 || key.n > SUPAFS_KEY_MAX)
		why = "a key has 1 to 960 bytes";
	else if (memchr(key.p, '\0', key.n))
		why = "a key has no NUL byte";
	else if (use != SUPAFS_KEY_REMOVE && !key_plain(key))
		why = "the key has a character that the server refuses";
	else if (use == SUPAFS_KEY_PATH && any_segment(key, false))
		why = "the key has an empty or a dot segment";
	else if (use != SUPAFS_KEY_REMOVE && any_segment(key, true))
		why = "the key has a dot segment";
	if (!why)
		return 0;
	return supafs_fault_set(fault, writes || use == SUPAFS_KEY_REMOVE ? -EINVAL : -ENOENT,
		writes || use == SUPAFS_KEY_REMOVE ? SUPAFS_FAULT_PERMANENT : SUPAFS_FAULT_MISSING,
		"InvalidKey", why);
}

int supafs_key_check_pair(struct supafs_str from, struct supafs_str to, struct supafs_fault *fault)
{
	int r = supafs_key_check(from, SUPAFS_KEY_READ, fault);

	return r < 0 ? r : supafs_key_check(to, SUPAFS_KEY_BODY, fault);
}

int supafs_get_check(const struct supafs_get_args *args, struct supafs_fault *fault)
{
	if (args->length > 0 && args->offset < args->version->size &&
		args->length <= args->version->size - args->offset)
		return supafs_key_check(args->key, SUPAFS_KEY_READ, fault);
	return supafs_fault_set(fault, -EINVAL, SUPAFS_FAULT_PERMANENT, "Local",
		"the range does not lie in the object");
}

int supafs_batch_check(const struct supafs_str *keys, size_t n, struct supafs_fault *fault)
{
	if (n == 0 || n > SUPAFS_DELETE_BATCH)
		return supafs_fault_set(fault, -EINVAL, SUPAFS_FAULT_PERMANENT, "Local",
			"a batch has 1 to 500 keys");
	for (size_t i = 0; i < n; i++) {
		int r = supafs_key_check(keys[i], SUPAFS_KEY_REMOVE, fault);
		if (r < 0)
			return r;
	}
	return 0;
}

static uint64_t mix(uint64_t z)
{
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

void supafs_nonce_make(uint64_t seed, _Atomic uint64_t *counter, char ret_text[33])
{
	uint64_t n = (*counter)++;
	uint64_t a = mix(seed + n * UINT64_C(0x9e3779b97f4a7c15));
	uint64_t b = mix(a + UINT64_C(0x9e3779b97f4a7c15) + seed);

	(void)snprintf(
		ret_text, 33, "%016llx%016llx", (unsigned long long)a, (unsigned long long)b);
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool supafs_uuid_parse(struct supafs_str s, unsigned char ret[16])
{
	unsigned char id[16];
	size_t at = 0;

	if (s.n != 36)
		return false;
	for (size_t i = 0; i < 36;) {
		if (i == 8 || i == 13 || i == 18 || i == 23) {
			if (s.p[i++] != '-')
				return false;
			continue;
		}
		int hi = hex_digit(s.p[i]);
		int lo = hex_digit(s.p[i + 1]);
		if (hi < 0 || lo < 0)
			return false;
		id[at++] = (unsigned char)(hi * 16 + lo);
		i += 2;
	}
	memcpy(ret, id, sizeof(id));
	return true;
}

bool supafs_uuid_is_zero(const unsigned char id[16])
{
	static const unsigned char zero[16];

	return memcmp(id, zero, sizeof(zero)) == 0;
}

const char *supafs_op_name(enum supafs_op op)
{
	static const char *const names[SUPAFS_OP__COUNT] = {
		[SUPAFS_OP_PROBE] = "probe",
		[SUPAFS_OP_LIST] = "list",
		[SUPAFS_OP_INFO] = "info",
		[SUPAFS_OP_GET] = "get",
		[SUPAFS_OP_PUT] = "put",
		[SUPAFS_OP_REMOVE] = "remove",
		[SUPAFS_OP_REMOVE_MANY] = "remove_many",
		[SUPAFS_OP_COPY] = "copy",
		[SUPAFS_OP_MOVE] = "move",
		[SUPAFS_OP_URL] = "url",
	};

	return op < SUPAFS_OP__COUNT ? names[op] : "?";
}
