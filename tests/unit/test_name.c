/* SPDX-License-Identifier: Apache-2.0 */
/* Names ↔ segments: exhaustive for short names, random for long ones. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/clock.h"
#include "supafs/util/limits.h"
#include "supafs/util/name.h"

#include "unit.h"

static const char class[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_!.*'() &$=@;:+,?-";

enum {
	ROOM = 3 * SUPAFS_NAME_MAX,
};

static bool in_class(unsigned char c)
{
	return c != 0 && strchr(class, c) != NULL;
}

static void show(const char *what, struct supafs_str s)
{
	print_message("# %s:", what);
	for (size_t i = 0; i < s.n; i++)
		print_message(" %02x", (unsigned char)s.p[i]);
	print_message("\n");
}

/* name → segment → name, and the segment is one that the server takes. */
static void there_and_back(struct supafs_str name)
{
	char seg[ROOM];
	char back[ROOM];
	const ssize_t n = supafs_name_encode(name, seg, sizeof(seg));
	ssize_t m = 0;

	if (n < 0)
		show("no segment for", name);
	assert_true(n > 0);
	assert_true(supafs_name_plain((struct supafs_str){seg, (size_t)n}));
	assert_false(supafs_str_ends(
		(struct supafs_str){seg, (size_t)n}, SUPAFS_STR(SUPAFS_PLACEHOLDER)));
	m = supafs_name_decode((struct supafs_str){seg, (size_t)n}, back, sizeof(back));
	if (m < 0 || !supafs_str_eq(name, (struct supafs_str){back, (size_t)m}))
		show("does not come back", name);
	assert_true(m >= 0);
	assert_true(supafs_str_eq(name, (struct supafs_str){back, (size_t)m}));
}

/* segment → name → the same segment, or no name at all. Returns whether it has one. */
static bool back_and_there(struct supafs_str seg)
{
	char name[ROOM];
	char again[ROOM];
	const ssize_t n = supafs_name_decode(seg, name, sizeof(name));
	ssize_t m = 0;

	if (n < 0) {
		assert_int_equal(n, -EILSEQ);
		return false;
	}
	m = supafs_name_encode((struct supafs_str){name, (size_t)n}, again, sizeof(again));
	if (m < 0 || !supafs_str_eq(seg, (struct supafs_str){again, (size_t)m}))
		show("another segment", seg);
	assert_true(m > 0);
	assert_true(supafs_str_eq(seg, (struct supafs_str){again, (size_t)m}));
	return true;
}

static bool has_segment(struct supafs_str name)
{
	return name.n > 0 && !memchr(name.p, '/', name.n) && !memchr(name.p, 0, name.n) &&
	       !supafs_str_eq(name, SUPAFS_STR(".")) && !supafs_str_eq(name, SUPAFS_STR(".."));
}

static void one_byte(void **state)
{
	char seg[ROOM];

	(void)state;
	for (int c = 0; c < 256; c++) {
		const char name = (char)(unsigned char)c;
		const struct supafs_str s = {&name, 1};
		char escaped[8];

		assert_int_equal(supafs_name_plain(s), in_class((unsigned char)c));
		if (!has_segment(s)) {
			assert_int_equal(supafs_name_encode(s, seg, sizeof(seg)), -EINVAL);
			continue;
		}
		there_and_back(s);
		(void)snprintf(escaped, sizeof(escaped), "=%02X", (unsigned)c);
		if (in_class((unsigned char)c)) {
			assert_int_equal(supafs_name_encode(s, seg, sizeof(seg)), 1);
			assert_int_equal(seg[0], name);
		} else {
			assert_int_equal(supafs_name_encode(s, seg, sizeof(seg)), 3);
			assert_memory_equal(seg, escaped, 3);
		}
	}
}

static void two_bytes(void **state)
{
	char seg[ROOM];

	(void)state;
	for (unsigned v = 0; v < 65536; v++) {
		const char name[2] = {(char)(unsigned char)(v >> 8), (char)(unsigned char)v};
		const struct supafs_str s = {name, 2};

		if (has_segment(s))
			there_and_back(s);
		else
			assert_int_equal(supafs_name_encode(s, seg, sizeof(seg)), -EINVAL);
	}
}

/* All texts of up to 6 characters over the bytes that the rules look at, as name and as segment. */
static void critical_texts(void **state)
{
	static const char alphabet[] = "=3DC27r";
	const size_t base = sizeof(alphabet) - 1;
	size_t count = 1;

	(void)state;
	for (size_t n = 1; n <= 6; n++) {
		count *= base;
		for (size_t v = 0; v < count; v++) {
			char text[6];
			size_t rest = v;

			for (size_t i = 0; i < n; i++, rest /= base)
				text[i] = alphabet[rest % base];
			there_and_back((struct supafs_str){text, n});
			(void)back_and_there((struct supafs_str){text, n});
		}
	}
}

static void table(void **state)
{
	static const struct {
		const char *name;
		const char *seg;
	} rows[] = {
		{"plain.txt", "plain.txt"},
		{"a b (c) & d", "a b (c) & d"},
		{"a=b", "a=b"},
		{"=", "="},
		{"==", "=="},
		{"=3D", "=3D"},
		{"=3d", "=3d"},
		{"=41", "=41"}, /* 'A' is in the class */
		{"=c3", "=c3"}, /* lower case is no escape */
		{"=C", "=C"},
		{"=72", "=72"},
		{"=C3", "=3DC3"},
		{"=2F", "=3D2F"},
		{"=00", "=3D00"},
		{"=7F", "=3D7F"},
		{"=3DC3", "=3D3DC3"},
		{"=3D2F", "=3D3D2F"},
		{"=3D3DC3", "=3D3D3DC3"},
		{"=3D41", "=3D41"},
		{"==C3", "==3DC3"},
		{"=C3=A9", "=3DC3=3DA9"},
		{"\xC3\xA9", "=C3=A9"},
		{"=\xC3", "==C3"},
		{"=3\xC3", "=3=C3"},
		{"=3D\xC3", "=3D=C3"},
		{"a%20b", "a=2520b"},
		{"\n", "=0A"},
		{"...", "..."},
		{".emptyFolderPlaceholder", ".emptyFolderPlaceholde=72"},
		{"x.emptyFolderPlaceholder", "x.emptyFolderPlaceholde=72"},
		{"=.emptyFolderPlaceholder", "=.emptyFolderPlaceholde=72"},
		{".emptyFolderPlaceholderx", ".emptyFolderPlaceholderx"},
		{"emptyFolderPlaceholder", "emptyFolderPlaceholder"},
		{".emptyFolderPlaceholde", ".emptyFolderPlaceholde"},
		{".emptyFolderPlaceholde=72", ".emptyFolderPlaceholde=3D72"},
		{".emptyFolderPlaceholde=3D72", ".emptyFolderPlaceholde=3D3D72"},
		{".emptyFolderPlaceholde=72x", ".emptyFolderPlaceholde=72x"},
		{".emptyFolderPlaceholde=3D72x", ".emptyFolderPlaceholde=3D72x"},
		{".emptyFolderPlaceholder.emptyFolderPlaceholder",
			".emptyFolderPlaceholder.emptyFolderPlaceholde=72"},
		{".emptyFolderPlaceholde=73", ".emptyFolderPlaceholde=73"},
	};

	(void)state;
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(rows); i++) {
		char seg[ROOM];
		const struct supafs_str name = supafs_str_of(rows[i].name);
		const ssize_t n = supafs_name_encode(name, seg, sizeof(seg));

		if (n < 0 || !supafs_str_eq((struct supafs_str){seg, (size_t)n},
				     supafs_str_of(rows[i].seg)))
			print_message("# row %zu: %.*s\n", i, (int)n, seg);
		assert_true(n > 0);
		assert_true(supafs_str_eq(
			(struct supafs_str){seg, (size_t)n}, supafs_str_of(rows[i].seg)));
		there_and_back(name);
	}
}

static void no_name(void **state)
{
	static const struct supafs_str rows[] = {{"", 0}, {".", 1}, {"..", 2}, {"=00", 3},
		{"=2F", 3}, {"a=2Fb", 5}, {"\xC3\xA9", 2}, {"a/b", 3}, {"a\0b", 3}, {"a~", 2},
		{SUPAFS_PLACEHOLDER, 23}, {"x" SUPAFS_PLACEHOLDER, 24}};
	char name[ROOM];

	(void)state;
	for (size_t i = 0; i < SUPAFS_ARRAY_LEN(rows); i++)
		assert_int_equal(supafs_name_decode(rows[i], name, sizeof(name)), -EILSEQ);
}

static void room(void **state)
{
	const struct supafs_str name = SUPAFS_STR("a\xC3z");
	const struct supafs_str seg = SUPAFS_STR("a=C3z");
	char out[8];

	(void)state;
	for (size_t size = 0; size < 8; size++) {
		memset(out, '#', sizeof(out));
		assert_int_equal(supafs_name_encode(name, out, size), size < 5 ? -ENAMETOOLONG : 5);
		assert_int_equal(supafs_name_decode(seg, out, size), size < 3 ? -ENAMETOOLONG : 3);
		for (size_t i = size; i < sizeof(out); i++)
			assert_int_equal(out[i], '#');
	}
}

static void random_names(void **state)
{
	struct supafs_rng rng;

	(void)state;
	supafs_rng_init(&rng, 1);
	for (int round = 0; round < 20000; round++) {
		char name[SUPAFS_NAME_MAX];
		const size_t n = 1 + supafs_rng_below(&rng, sizeof(name));

		for (size_t i = 0; i < n; i++)
			name[i] = (char)(unsigned char)supafs_rng_below(&rng, 256);
		if (has_segment((struct supafs_str){name, n}))
			there_and_back((struct supafs_str){name, n});
	}
}

/* Segments that look like escapes more often than chance would have it. */
static void random_segments(void **state)
{
	static const char *const pieces[] = {"=", "3D", "=3D", "72", "=72", "C3", "2F", "00", "r",
		".emptyFolderPlaceholde", SUPAFS_PLACEHOLDER, ".", "D", "7"};
	struct supafs_rng rng;
	unsigned named = 0;

	(void)state;
	supafs_rng_init(&rng, 2);
	for (int round = 0; round < 200000; round++) {
		char seg[SUPAFS_SEG_MAX];
		const size_t want = 1 + supafs_rng_below(&rng, round % 2 == 0 ? sizeof(seg) : 40);
		size_t n = 0;

		while (n < want) {
			const char *piece =
				pieces[supafs_rng_below(&rng, SUPAFS_ARRAY_LEN(pieces))];
			const size_t k = strlen(piece);

			if (supafs_rng_below(&rng, 2) == 0 && n + k <= want) {
				memcpy(seg + n, piece, k);
				n += k;
			} else {
				seg[n++] = class[supafs_rng_below(&rng, sizeof(class) - 1)];
			}
		}
		named += back_and_there((struct supafs_str){seg, n}) ? 1 : 0;
	}
	assert_true(named > 50000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_byte),
		cmocka_unit_test(two_bytes),
		cmocka_unit_test(critical_texts),
		cmocka_unit_test(table),
		cmocka_unit_test(no_name),
		cmocka_unit_test(room),
		cmocka_unit_test(random_names),
		cmocka_unit_test(random_segments),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
