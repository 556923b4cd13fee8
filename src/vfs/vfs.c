/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a vfs: made from its parts, drained, freed. */
#include <stdlib.h>
#include <string.h>

#include "facts.h"
#include "folder_attr.h"
#include "gather.h"
#include "handle.h"
#include "jobs.h"
#include "keyq.h"
#include "later.h"
#include "learn.h"
#include "mime.h"
#include "ops.h"
#include "poll.h"
#include "queue.h"

#define MIME_FILE  "/etc/mime.types"
#define QUEUE_SEND 4096
#define QUEUE_MOVE 1024
#define QUEUE_NEWS 4096
#define OTHER_JOBS 4 /* threads for gathered deletes and the like, whatever is uploaded */

static int copy_strings(struct supafs_vfs *v, const struct supafs_vfs_config *cfg)
{
	v->root_text = supafs_str_dup(cfg->root);
	v->cache_control =
		supafs_str_dup(supafs_str_of(cfg->cache_control ? cfg->cache_control : ""));
	v->temp_patterns =
		supafs_str_dup(supafs_str_of(cfg->temp_patterns ? cfg->temp_patterns : ""));
	if (!v->root_text || !v->cache_control || !v->temp_patterns)
		return -ENOMEM;
	v->cfg.root = (struct supafs_str){v->root_text, cfg->root.n};
	v->cfg.cache_control = v->cache_control;
	v->cfg.temp_patterns = v->temp_patterns;
	return 0;
}

static int make_parts(struct supafs_vfs *v)
{
	int r = vfs_keyq_new(&v->keyq);

	if (r == 0)
		r = vfs_mimes_new(MIME_FILE, &v->mimes);
	if (r == 0)
		r = supafs_pool_new(
			"supafs-send", v->cfg.uploads + OTHER_JOBS, QUEUE_SEND, &v->sends);
	if (r == 0)
		r = supafs_pool_new("supafs-move", VFS_MOVE_THREADS, QUEUE_MOVE, &v->moves);
	if (r == 0)
		r = supafs_pool_new("supafs-news", 1, QUEUE_NEWS, &v->news);
	if (r == 0)
		r = supafs_timers_new(v->cfg.clock, &v->timers);
	if (r == 0)
		r = vfs_queue_new(&v->queue);
	if (r == 0)
		r = vfs_gather_new(v, &v->gather);
	if (r == 0)
		r = vfs_learn_new(v, &v->learn);
	if (r == 0)
		r = vfs_jobs_new(v, &v->jobs);
	if (r == 0)
		r = vfs_facts_new(&v->facts);
	if (r == 0)
		r = vfs_folders_new(v, &v->folders);
	if (r == 0)
		r = vfs_later_new(&v->later);
	if (r == 0)
		r = vfs_handles_init(v);
	if (r == 0 && v->cfg.poll_ms > 0)
		r = vfs_poll_new(v, &v->poll);
	return r == 0 ? vfs_nodes_init(v) : r;
}

static void destroy(struct supafs_vfs *v)
{
	v->poll = vfs_poll_free(v->poll);
	v->timers = supafs_timers_free(v->timers);
	v->jobs = vfs_jobs_free(v->jobs);
	v->sends = supafs_pool_free(v->sends);
	v->moves = supafs_pool_free(v->moves);
	v->news = supafs_pool_free(v->news);
	v->queue = vfs_queue_free(v, v->queue);
	v->gather = vfs_gather_free(v->gather);
	v->later = vfs_later_free(v->later);
	v->folders = vfs_folders_free(v, v->folders);
	v->facts = vfs_facts_free(v->facts);
	vfs_nodes_fini(v);
	v->handles = supafs_map_free(v->handles);
	v->learn = vfs_learn_free(v->learn);
	v->keyq = vfs_keyq_free(v->keyq);
	v->mimes = vfs_mimes_free(v->mimes);
	free(v->root_text);
	free(v->cache_control);
	free(v->temp_patterns);
	supafs_mutex_fini(&v->ns);
	supafs_mutex_fini(&v->handles_lock);
	supafs_mutex_fini(&v->news_lock);
	free(v);
}

int supafs_vfs_new(const struct supafs_vfs_config *cfg, struct supafs_vfs **ret_vfs)
{
	struct supafs_vfs *v;
	int r;

	if (cfg->root.n > SUPAFS_KEY_MAX)
		return -ENAMETOOLONG;
	v = calloc(1, sizeof(*v));
	if (!v)
		return -ENOMEM;
	v->cfg = *cfg;
	v->cfg.writeback = cfg->writeback && cfg->journal;
	if (v->cfg.uploads == 0)
		v->cfg.uploads = VFS_SEND_THREADS;
	v->born_ns = cfg->clock->wall_ns(cfg->clock);
	supafs_mutex_init(&v->ns);
	supafs_mutex_init(&v->handles_lock);
	supafs_mutex_init(&v->news_lock);
	r = copy_strings(v, cfg);
	if (r == 0)
		r = make_parts(v);
	if (r != 0) {
		destroy(v);
		return r;
	}
	if (v->poll)
		vfs_poll_start(v->poll);
	*ret_vfs = v;
	return 0;
}

struct supafs_vfs *supafs_vfs_free(struct supafs_vfs *v, uint64_t drain_ms, unsigned *ret_left)
{
	unsigned left;

	if (!v) {
		if (ret_left)
			*ret_left = 0;
		return NULL;
	}
	v->poll = vfs_poll_free(v->poll);
	left = vfs_drain(v, drain_ms);
	if (ret_left)
		*ret_left = left;
	destroy(v);
	return NULL;
}

static void count_content(struct vfs_content *c, struct supafs_vfs_stats *ret)
{
	SUPAFS_SCOPED_LOCK(&c->lock);
	if (c->unlinked || !vfs_state_unsent(c->state))
		return;
	ret->pending_bytes += vfs_content_size_locked(c);
	if (c->state == VFS_UPLOADING)
		ret->uploading++;
	else if (c->state == VFS_FAILED)
		ret->failed++;
	else
		ret->dirty++;
}

void supafs_vfs_stats(struct supafs_vfs *v, struct supafs_vfs_stats *ret)
{
	const struct vfs_node *node;
	size_t pos = 0;

	*ret = (struct supafs_vfs_stats){
		.gathered = vfs_gather_count(v->gather) + vfs_later_count(v)};
	{
		SUPAFS_SCOPED_LOCK(&v->handles_lock);
		ret->handles = supafs_map_count(v->handles);
	}
	SUPAFS_SCOPED_LOCK(&v->ns);
	ret->nodes = supafs_map_count(v->by_id);
	while ((node = supafs_map_next(v->by_id, &pos)) != NULL)
		if (node->content)
			count_content(node->content, ret);
}
