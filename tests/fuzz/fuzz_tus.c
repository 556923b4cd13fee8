/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a server says of a resumable upload, and user metadata: the input as a Location, as an
 * Upload-Metadata header, and as a JSON object whose pairs are written and read again.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "supafs/util/cleanup.h"

#include "fuzz.h"
#include "tus_priv.h"
#include "user_priv.h"

#define ROOM (1U << 20)

static void as_location(struct supafs_str text)
{
	supafs_autofree char *location = supafs_str_dup(text);
	char id[SUPAFS_UPLOAD_MAX + 1];
	char again[SUPAFS_UPLOAD_MAX + 1];

	if (!location || !supafs_sb_tus_id(location, id))
		return;
	FUZZ_CHECK(id[0] != '\0' && id[0] != '.' && !strchr(id, '/') && !strchr(id, '?'));
	for (const char *p = id; *p; p++)
		FUZZ_CHECK(*p > ' ' && *p < 0x7f);
	FUZZ_CHECK(supafs_sb_tus_id(id, again) && strcmp(id, again) == 0);
}

static void as_header(struct supafs_str text)
{
	static char bucket[] = "b";
	const struct supafs_sb sb = {.bucket = bucket};
	const struct supafs_put_args args = {
		.key = SUPAFS_STR("k"), .size = 1, .mime = SUPAFS_STR("a/b")};
	supafs_cleanup(supafs_sb_attrs_fini) struct supafs_sb_attrs a = {.mime = {NULL, 0}};
	supafs_cleanup(supafs_buf_fini) struct supafs_buf made;
	char nonce[SUPAFS_NONCE_MAX + 1];
	char back[SUPAFS_NONCE_MAX + 1];
	struct supafs_fault fault;

	supafs_buf_init(&made, ROOM);
	if (!supafs_sb_tus_same(&sb, &args, text, nonce))
		return;
	/* It says what we would have said with that nonce. */
	FUZZ_CHECK(strnlen(nonce, sizeof(nonce)) < sizeof(nonce));
	FUZZ_CHECK(supafs_sb_attrs_init(&a, &args, supafs_str_of(nonce), &fault) == 0);
	FUZZ_CHECK(supafs_sb_tus_metadata(&sb, &args, &a, &made) == 0);
	FUZZ_CHECK(supafs_sb_tus_same(&sb, &args, supafs_buf_str(&made), back));
	FUZZ_CHECK(strcmp(nonce, back) == 0);
}

static void as_user(struct supafs_str text)
{
	supafs_cleanup(supafs_json_freep) struct supafs_json *j = NULL, *j2 = NULL;
	supafs_cleanup(supafs_buf_fini) struct supafs_buf out;
	static struct supafs_info i, back;
	struct supafs_str user;
	int r;

	supafs_buf_init(&out, ROOM);
	if (supafs_json_parse(text, &j) < 0)
		return;
	supafs_user_from_json(j, &i);
	user = (struct supafs_str){i.user, i.user_n};
	FUZZ_CHECK(supafs_pairs_valid(user));
	r = supafs_user_check(user);
	FUZZ_CHECK(r == 0 || r == -ENOSPC || r == -EINVAL);
	if (r < 0)
		return; /* it cannot be stored */
	FUZZ_CHECK(supafs_buf_adds(&out, "{}") == 0);
	FUZZ_CHECK(supafs_user_add_json(&out, user) == 0);
	FUZZ_CHECK(supafs_json_parse(supafs_buf_str(&out), &j2) == 0);
	supafs_user_from_json(j2, &back);
	FUZZ_CHECK(!back.user_cut && back.user_n == i.user_n &&
		   memcmp(back.user, i.user, i.user_n) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct supafs_str text = fuzz_str(data, size);

	as_location(text);
	as_header(text);
	as_user(text);
	return 0;
}
