/* SPDX-License-Identifier: Apache-2.0 */
/* What a folder holds: is it empty at the server, and how many entries the view has. */
#include <errno.h>
#include <string.h>

#include "supafs/util/name.h"

#include "catalog_priv.h"

#define SMALL_PAGE 8 /* placeholder, marker, and one more tells; some for foreign keys */

struct emptiness {
	struct supafs_catalog *c;
	struct folder *f;
	struct supafs_str prefix; /* with the mount's root */
	unsigned limit;
	bool placeholder, marker, other;
	bool pending; /* entries were seen that are being deleted here */
};

/* Of a pair, the file and the folder have one segment: a removal counts for what it was meant. */
static bool being_deleted_locked(struct supafs_catalog *c, struct folder *f, struct supafs_str seg,
	bool is_folder) SUPAFS_REQUIRES(c->lock);
static bool being_deleted_locked(
	struct supafs_catalog *c, struct folder *f, struct supafs_str seg, bool is_folder)
{
	char buf[SUPAFS_NAME_MAX];
	ssize_t n = supafs_name_decode(seg, buf, sizeof(buf));
	const struct rec *r = NULL;

	if (n > 0)
		r = rec_find_locked(c, f, (struct supafs_str){buf, (size_t)n});
	return r && r->state == REC_PENDING && !r->present && r->was_folder == is_folder;
}

static int on_content(void *ctx, const struct supafs_entry *e)
{
	struct emptiness *m = ctx;
	struct supafs_catalog *c = m->c;
	struct supafs_str seg;

	switch (page_entry(m->prefix, e, &seg)) {
	case PAGE_KEEPER:
		if (e->key.n == m->prefix.n)
			m->marker = true;
		else
			m->placeholder = true;
		return 0;
	case PAGE_FOREIGN:
		return 0;
	case PAGE_ENTRY:
		break;
	}
	SUPAFS_SCOPED_LOCK(&c->lock);
	if (being_deleted_locked(c, m->f, seg, e->folder))
		m->pending = true;
	else
		m->other = true;
	return 0;
}

static int ask_content(struct supafs_catalog *c, struct supafs_call *call, struct emptiness *m,
	struct supafs_fault *fault)
{
	struct supafs_cursor cursor = {.n = 0};
	struct supafs_list_args args = {.prefix = m->prefix,
		.delimiter = true,
		.limit = m->limit,
		.on_entry = on_content,
		.ctx = m};
	unsigned blanks = 0;
	bool more = true;

	while (more && !m->other) {
		int r;

		m->pending = false;
		r = list_page(c, call, &args, &cursor, &more, fault);
		if (r < 0)
			return r;
		blanks = m->pending ? 0 : blanks + 1;
		if (blanks > PROBE_PAGES)
			return protocol_fault(fault, "the server's list pages do not advance");
	}
	return 0;
}

/* Only what is being deleted here can stand before something that counts. */
static unsigned page_size(const struct folder *f)
{
	return supafs_map_count(f->recs) > 0 ? SUPAFS_PAGE_LIMIT : SMALL_PAGE;
}

static bool pending_create_locked(struct supafs_catalog *c, struct folder *f)
	SUPAFS_REQUIRES(c->lock);
static bool pending_create_locked(struct supafs_catalog *c, struct folder *f)
{
	size_t pos = 0;
	const struct rec *r;

	(void)c;
	while ((r = supafs_map_next(f->recs, &pos)) != NULL) {
		if (r->state == REC_PENDING && r->present)
			return true;
	}
	return false;
}

/* NOLINTNEXTLINE(readability-function-size): three results of one question */
int supafs_catalog_is_empty(struct supafs_catalog *c, struct supafs_call *call,
	struct supafs_str prefix, bool *ret_empty, bool *ret_placeholder, bool *ret_marker,
	struct supafs_fault *fault)
{
	struct emptiness m = {.c = c};
	char buf[KEY_BUF];
	int r = make_key(c, prefix, SUPAFS_STR(""), buf, &m.prefix);

	supafs_fault_clear(fault);
	if (r < 0)
		return r;
	SUPAFS_SCOPED_LOCK(&c->lock);
	m.f = folder_get_locked(c, prefix);
	if (!m.f)
		return -ENOMEM;
	m.f->users++;
	m.limit = page_size(m.f);
	supafs_mutex_unlock(&c->lock);
	r = ask_content(c, call, &m, fault);
	supafs_mutex_lock(&c->lock);
	m.f->users--;
	if (r < 0)
		return r;
	*ret_empty = !m.other && !pending_create_locked(c, m.f);
	*ret_placeholder = m.placeholder;
	*ret_marker = m.marker;
	return 0;
}

bool supafs_catalog_count(
	struct supafs_catalog *c, struct supafs_str prefix, uint64_t *ret_entries, bool *ret_keeper)
{
	const struct folder *f;

	SUPAFS_SCOPED_LOCK(&c->lock);
	f = folder_find_locked(c, prefix);
	if (!f || !f->list || catalog_now(c) >= f->list->expires_ns)
		return false;
	*ret_entries = (uint64_t)((int64_t)(f->list->n + f->list->odd_n) + f->weight);
	*ret_keeper = f->keeper_seq > f->list->seq ? f->keeper : f->list->keeper;
	return true;
}
