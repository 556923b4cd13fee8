/* SPDX-License-Identifier: Apache-2.0 */
/* Secrets in pages of their own. The page begins with its size; the text follows. */
#include "supafs/util/secret.h"

#include <sys/mman.h>
#include <unistd.h>

struct page {
	size_t size; /* of the mapping */
	char text[];
};

static const struct page *page_of(const char *secret)
{
	return (const struct page *)(const void *)(secret - offsetof(struct page, text));
}

static size_t round_up(size_t n)
{
	const size_t unit = (size_t)sysconf(_SC_PAGESIZE);

	return (n + unit - 1) / unit * unit;
}

void supafs_secret_lock(const char *secret)
{
	if (secret)
		(void)mlock(page_of(secret), page_of(secret)->size);
}

char *supafs_secret_join(struct supafs_str a, struct supafs_str b)
{
	const size_t size = round_up(sizeof(struct page) + a.n + b.n + 1);
	struct page *p =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	(void)madvise(p, size, MADV_DONTDUMP);
	p->size = size;
	supafs_secret_lock(p->text);
	if (a.n > 0)
		memcpy(p->text, a.p, a.n);
	if (b.n > 0)
		memcpy(p->text + a.n, b.p, b.n);
	return p->text; /* a fresh page is zero: the NUL is there */
}

char *supafs_secret_dup(struct supafs_str s)
{
	return supafs_secret_join(s, (struct supafs_str){NULL, 0});
}

char *supafs_secret_free(char *secret)
{
	if (secret) {
		void *p = secret - offsetof(struct page, text);
		const size_t size = page_of(secret)->size;

		explicit_bzero(p, size);
		(void)munmap(p, size);
	}
	return NULL;
}
