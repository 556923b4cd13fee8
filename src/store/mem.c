/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An object store in memory, with the server's rules: for tests of everything above.
 *
 * Objects are immutable and counted (mem_priv.h); the table of them is a sorted array under one
 * lock, which is never held over a caller's function.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "supafs/util/cleanup.h"

#include "mem_priv.h"

#define CHUNK (64U << 10)

static void unref_cleanup(struct supafs_mem_object **o)
{
	*o = supafs_mem_unref(*o);
}

/* --- Table ------------------------------------------------------------------------------------ */

size_t supafs_mem_lower_locked(const struct supafs_mem *m, struct supafs_str key)
{
	size_t lo = 0;
	size_t hi = m->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (supafs_str_cmp(supafs_mem_key(m->objects[mid]), key) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static struct supafs_mem_object *find_locked(const struct supafs_mem *m, struct supafs_str key)
	SUPAFS_REQUIRES(m->lock);
static struct supafs_mem_object *find_locked(const struct supafs_mem *m, struct supafs_str key)
{
	size_t i = supafs_mem_lower_locked(m, key);

	if (i < m->n && supafs_str_eq(supafs_mem_key(m->objects[i]), key))
		return m->objects[i];
	return NULL;
}

static struct supafs_mem_object *find_ref(struct supafs_mem *m, struct supafs_str key)
{
	struct supafs_mem_object *o;

	SUPAFS_SCOPED_LOCK(&m->lock);
	o = find_locked(m, key);
	return o ? supafs_mem_ref(o) : NULL;
}

static int64_t now_locked(struct supafs_mem *m) SUPAFS_REQUIRES(m->lock);
static int64_t now_locked(struct supafs_mem *m)
{
	int64_t now = m->clock->wall_ns(m->clock);

	m->last_ns = now > m->last_ns ? now : m->last_ns + 1;
	return m->last_ns;
}

static void new_id(unsigned char id[16])
{
	char text[37];

	supafs_random_uuid(text);
	(void)supafs_uuid_parse(supafs_str_of(text), id);
}

/* Puts `o` in; the table takes the reference. An overwrite keeps id and created (API §8.2). */
static int insert_locked(struct supafs_mem *m, struct supafs_mem_object *o)
	SUPAFS_REQUIRES(m->lock);
static int insert_locked(struct supafs_mem *m, struct supafs_mem_object *o)
{
	struct supafs_mem_object *old = find_locked(m, supafs_mem_key(o));
	size_t i = supafs_mem_lower_locked(m, supafs_mem_key(o));

	o->version.updated_ns = o->modified_ns = now_locked(m);
	if (old) {
		memcpy(o->version.id, old->version.id, sizeof(o->version.id));
		o->created_ns = old->created_ns;
		m->objects[i] = o;
		(void)supafs_mem_unref(old);
		return 0;
	}
	if (m->n == m->cap) {
		size_t cap = m->cap ? m->cap * 2 : 64;
		void *p = reallocarray(m->objects, cap, sizeof(struct supafs_mem_object *));
		if (!p)
			return -ENOMEM;
		m->objects = p;
		m->cap = cap;
	}
	if (supafs_uuid_is_zero(o->version.id))
		new_id(o->version.id);
	if (o->created_ns == 0)
		o->created_ns = o->version.updated_ns;
	memmove(&m->objects[i + 1], &m->objects[i],
		(m->n - i) * sizeof(struct supafs_mem_object *));
	m->objects[i] = o;
	m->n++;
	return 0;
}

static bool remove_locked(struct supafs_mem *m, struct supafs_str key) SUPAFS_REQUIRES(m->lock);
static bool remove_locked(struct supafs_mem *m, struct supafs_str key)
{
	struct supafs_mem_object *o = find_locked(m, key);
	size_t i = supafs_mem_lower_locked(m, key);

	if (!o)
		return false;
	m->n--;
	memmove(&m->objects[i], &m->objects[i + 1],
		(m->n - i) * sizeof(struct supafs_mem_object *));
	(void)supafs_mem_unref(o);
	return true;
}

/* --- Faults ----------------------------------------------------------------------------------- */

static int no_key(struct supafs_fault *f)
{
	(void)supafs_fault_set(f, -ENOENT, SUPAFS_FAULT_MISSING, "NoSuchKey", "Object not found");
	f->status = 404;
	return -ENOENT;
}

static int taken(struct supafs_fault *f, const char *code)
{
	(void)supafs_fault_set(
		f, -EEXIST, SUPAFS_FAULT_CONFLICT, code, "The resource already exists");
	f->status = 409;
	return -EEXIST;
}

static int local(struct supafs_fault *f, int error, const char *text)
{
	return supafs_fault_set(f, error, SUPAFS_FAULT_PERMANENT, "Local", text);
}

static int begin(struct supafs_call *call, struct supafs_fault *fault)
{
	int r = supafs_call_check(call);

	supafs_fault_clear(fault);
	if (r == 0)
		return 0;
	return supafs_fault_set(fault, r,
		r == -ETIMEDOUT ? SUPAFS_FAULT_TRANSIENT : SUPAFS_FAULT_PERMANENT,
		r == -ETIMEDOUT ? "Timeout" : "Cancelled", NULL);
}

/* --- Operations ------------------------------------------------------------------------------- */

static int mem_probe(struct supafs_store *s, struct supafs_call *call,
	struct supafs_bucket_info *ret_info, struct supafs_fault *fault)
{
	struct supafs_bucket_info info = {.name = "memory"};
	int r = begin(call, fault);

	(void)s;
	if (r < 0)
		return r;
	supafs_buf_init(&info.mimes, 1);
	*ret_info = info;
	return 0;
}

static int mem_info(struct supafs_store *s, struct supafs_call *call, struct supafs_str key,
	struct supafs_info *ret_info, struct supafs_fault *fault)
{
	supafs_cleanup(unref_cleanup) struct supafs_mem_object *o = NULL;
	struct supafs_info i = {0};
	int r = begin(call, fault);

	if (r == 0)
		r = supafs_key_check(key, SUPAFS_KEY_READ, fault);
	if (r < 0)
		return r;
	o = find_ref(supafs_mem_of(s), key);
	if (!o)
		return no_key(fault);
	i.version = o->version;
	i.modified_ns = o->modified_ns;
	i.created_ns = o->created_ns;
	i.meta = o->meta;
	memcpy(i.mime, o->mime, sizeof(i.mime));
	memcpy(i.cache_control, o->cache_control, sizeof(i.cache_control));
	memcpy(i.generation, o->generation, sizeof(o->generation));
	memcpy(i.nonce, o->nonce, sizeof(i.nonce));
	i.user_n = o->user_n;
	if (o->user_n > 0)
		memcpy(i.user, o->user, o->user_n);
	*ret_info = i;
	return 0;
}

/* A sink that took nothing is asked again after a poke, as the transport does. The waker runs
 * under the call's lock, so the wait below cannot miss it. */
struct pause {
	struct supafs_call *call;
	bool poked; /* call->lock */
};

static void pause_end(void *ctx)
{
	struct pause *p = ctx;

	p->poked = true;
	supafs_cond_broadcast(&p->call->cond);
}

static int pause_wait(struct pause *p)
{
	int r;

	{
		SUPAFS_SCOPED_LOCK(&p->call->lock);
		while (!p->poked && !supafs_call_cancelled(p->call) &&
			supafs_cond_wait_until(
				&p->call->cond, &p->call->lock, p->call->deadline_ns) == 0)
			;
		p->poked = false;
	}
	r = supafs_call_check(p->call);
	return r;
}

static int stream(const struct supafs_mem_object *o, const struct supafs_get_args *a,
	struct supafs_call *call, struct pause *p)
{
	uint64_t done = 0;

	while (done < a->length) {
		size_t n = a->length - done < CHUNK ? (size_t)(a->length - done) : CHUNK;
		int r = supafs_call_check(call);
		if (r == 0)
			r = a->sink.write(a->sink.ctx, o->blob->data + a->offset + done, n);
		if (r == -EAGAIN) {
			r = pause_wait(p);
			n = 0;
		}
		if (r < 0)
			return r;
		done += n;
	}
	return 0;
}

static int mem_get(struct supafs_store *s, struct supafs_call *call,
	const struct supafs_get_args *args, struct supafs_fault *fault)
{
	supafs_cleanup(unref_cleanup) struct supafs_mem_object *o = NULL;
	struct pause p = {.call = call};
	int r = begin(call, fault);

	if (r == 0)
		r = supafs_get_check(args, fault);
	if (r < 0)
		return r;
	o = find_ref(supafs_mem_of(s), args->key);
	if (!o)
		return no_key(fault);
	if (o->version.size != args->version->size ||
		(args->version->etag[0] && strcmp(args->version->etag, o->version.etag) != 0))
		return supafs_fault_set(fault, -ESTALE, SUPAFS_FAULT_CONFLICT, "Changed",
			"the object was changed since it was opened");
	supafs_call_set_waker(call, pause_end, &p);
	r = stream(o, args, call, &p);
	supafs_call_set_waker(call, NULL, NULL);
	if (args->ret_etag)
		memcpy(args->ret_etag, o->version.etag, sizeof(o->version.etag));
	return r < 0 ? local(fault, r, "what came could not be kept on this machine") : 0;
}

static int read_blob(const struct supafs_put_args *a, struct supafs_mem_blob **ret_blob)
{
	struct supafs_mem_blob *b;
	uint64_t at = 0;

	if (a->size > SIZE_MAX / 2)
		return -EFBIG;
	b = malloc(sizeof(*b) + (size_t)a->size);
	if (!b)
		return -ENOMEM;
	b->refs = 1;
	b->size = (size_t)a->size;
	while (at < a->size) {
		ssize_t n = a->pread(a->ctx, b->data + at, (size_t)(a->size - at), at);
		if (n <= 0) {
			free(b);
			return n < 0 ? (int)n : -EIO;
		}
		at += (uint64_t)n;
	}
	*ret_blob = b;
	return 0;
}

static int make_object(const struct supafs_put_args *args, struct supafs_mem_object **ret_object)
{
	struct supafs_mem_blob *blob = NULL;
	struct supafs_mem_object *o;
	int r = read_blob(args, &blob);

	if (r < 0)
		return r;
	o = supafs_mem_object_new(args->key, blob);
	if (!o)
		return -ENOMEM;
	r = supafs_mem_object_set_attrs(o, args);
	if (r < 0)
		(void)supafs_mem_unref(o);
	else
		*ret_object = o;
	return r;
}

static int mem_put(struct supafs_store *s, struct supafs_call *call,
	const struct supafs_put_args *args, unsigned char ret_id[16], struct supafs_fault *fault)
{
	supafs_cleanup(unref_cleanup) struct supafs_mem_object *o = NULL;
	struct supafs_mem *m = supafs_mem_of(s);
	int r = begin(call, fault);

	if (r == 0)
		r = supafs_key_check(args->key, SUPAFS_KEY_PATH, fault);
	if (r < 0)
		return r;
	r = make_object(args, &o);
	if (r < 0)
		return local(fault, r, "the content could not be stored");
	{
		SUPAFS_SCOPED_LOCK(&m->lock);
		if (args->exclusive && find_locked(m, args->key))
			return taken(fault, "KeyAlreadyExists");
		r = insert_locked(m, o);
		if (r == 0) {
			memcpy(ret_id, o->version.id, sizeof(o->version.id));
			o = NULL; /* the table's now */
		}
	}
	return r < 0 ? local(fault, r, "out of memory") : 0;
}

static int mem_remove(struct supafs_store *s, struct supafs_call *call, struct supafs_str key,
	struct supafs_fault *fault)
{
	struct supafs_mem *m = supafs_mem_of(s);
	int r = begin(call, fault);

	if (r == 0)
		r = supafs_key_check(key, SUPAFS_KEY_REMOVE, fault);
	if (r < 0)
		return r;
	SUPAFS_SCOPED_LOCK(&m->lock);
	return remove_locked(m, key) ? 0 : no_key(fault);
}

static int mem_remove_many(struct supafs_store *s, struct supafs_call *call,
	const struct supafs_str *keys, size_t n, bool *ret_gone, struct supafs_fault *fault)
{
	struct supafs_mem *m = supafs_mem_of(s);
	int r = begin(call, fault);

	if (r == 0)
		r = supafs_batch_check(keys, n, fault);
	if (r < 0)
		return r;
	SUPAFS_SCOPED_LOCK(&m->lock);
	for (size_t i = 0; i < n; i++)
		ret_gone[i] = remove_locked(m, keys[i]);
	return 0;
}

/* The object that `to` will be: content and, without attrs, all facts of `from`. */
static int make_copy(const struct supafs_mem_object *from, struct supafs_str to,
	const struct supafs_put_args *attrs, struct supafs_mem_object **ret_object)
{
	struct supafs_mem_object *o = supafs_mem_object_new(to, supafs_mem_blob_ref(from->blob));
	int r = 0;

	if (!o)
		return -ENOMEM;
	if (attrs)
		r = supafs_mem_object_set_attrs(o, attrs);
	else
		r = supafs_mem_object_copy_attrs(o, from);
	if (r < 0)
		(void)supafs_mem_unref(o);
	else
		*ret_object = o;
	return r;
}

static int copy_locked(struct supafs_mem *m, const struct supafs_copy_args *args,
	struct supafs_entry *ret_entry, struct supafs_fault *fault) SUPAFS_REQUIRES(m->lock);
static int copy_locked(struct supafs_mem *m, const struct supafs_copy_args *args,
	struct supafs_entry *ret_entry, struct supafs_fault *fault)
{
	const struct supafs_mem_object *from = find_locked(m, args->from);
	struct supafs_mem_object *o = NULL;
	int r;

	if (!from)
		return no_key(fault);
	if (!args->replace && find_locked(m, args->to))
		return taken(fault, "KeyAlreadyExists");
	r = make_copy(from, args->to, args->attrs, &o);
	if (r == 0)
		r = insert_locked(m, o);
	if (r < 0) {
		(void)supafs_mem_unref(o);
		return local(fault, r, "the copy could not be stored");
	}
	if (ret_entry) {
		*ret_entry = (struct supafs_entry){
			.version = o->version,
			.modified_ns = o->modified_ns,
			.created_ns = o->created_ns,
		};
		supafs_meta_parse_directives(
			supafs_str_of(o->cache_control), &ret_entry->meta, NULL);
	}
	return 0;
}

static int mem_copy(struct supafs_store *s, struct supafs_call *call,
	const struct supafs_copy_args *args, struct supafs_entry *ret_entry,
	struct supafs_fault *fault)
{
	struct supafs_mem *m = supafs_mem_of(s);
	int r = begin(call, fault);

	if (r == 0)
		r = supafs_key_check_pair(args->from, args->to, fault);
	if (r < 0)
		return r;
	if (args->to_bucket.n > 0 && !supafs_str_eq(args->to_bucket, SUPAFS_STR("memory")))
		return supafs_fault_set(fault, -ENOENT, SUPAFS_FAULT_MISSING, "InvalidRequest",
			"The related resource does not exist");
	SUPAFS_SCOPED_LOCK(&m->lock);
	return copy_locked(m, args, ret_entry, fault);
}

static int move_locked(struct supafs_mem *m, struct supafs_str from, struct supafs_str to,
	struct supafs_fault *fault) SUPAFS_REQUIRES(m->lock);
static int move_locked(struct supafs_mem *m, struct supafs_str from, struct supafs_str to,
	struct supafs_fault *fault)
{
	const struct supafs_mem_object *old = find_locked(m, from);
	struct supafs_mem_object *o = NULL;
	int r;

	if (!old)
		return no_key(fault);
	if (supafs_str_eq(from, to))
		return 0;
	if (find_locked(m, to))
		return taken(fault, "ResourceAlreadyExists");
	r = make_copy(old, to, NULL, &o);
	if (r == 0) {
		memcpy(o->version.id, old->version.id, sizeof(o->version.id));
		o->created_ns = old->created_ns;
		r = insert_locked(m, o);
	}
	if (r < 0) {
		(void)supafs_mem_unref(o);
		return local(fault, r, "out of memory");
	}
	(void)remove_locked(m, from);
	return 0;
}

static int mem_move(struct supafs_store *s, struct supafs_call *call, struct supafs_str from,
	struct supafs_str to, struct supafs_fault *fault)
{
	struct supafs_mem *m = supafs_mem_of(s);
	int r = begin(call, fault);

	if (r == 0)
		r = supafs_key_check_pair(from, to, fault);
	if (r < 0)
		return r;
	SUPAFS_SCOPED_LOCK(&m->lock);
	return move_locked(m, from, to, fault);
}

/* Of a scheme of its own: nobody can follow it, but it tells what was asked for. The bucket is not
 * public. */
static int mem_url(struct supafs_store *s, struct supafs_call *call, struct supafs_str key,
	uint64_t valid_s, struct supafs_buf *ret, struct supafs_fault *fault)
{
	supafs_cleanup(unref_cleanup) struct supafs_mem_object *o = NULL;
	int r = begin(call, fault);

	if (r == 0)
		r = supafs_key_check(key, SUPAFS_KEY_READ, fault);
	if (r < 0)
		return r;
	if (valid_s == 0)
		return local(fault, -EOPNOTSUPP, "the bucket is not public");
	o = find_ref(supafs_mem_of(s), key);
	if (!o)
		return no_key(fault);
	(void)supafs_buf_addf(
		ret, "memory:/%.*s?valid=%llu", SUPAFS_STR_FMT(key), (unsigned long long)valid_s);
	r = supafs_buf_error(ret);
	return r < 0 ? local(fault, r, "the URL does not fit") : 0;
}

static unsigned mem_capabilities(const struct supafs_store *s)
{
	(void)s;
	return SUPAFS_CAP_META_LIST;
}

static struct supafs_store *mem_free(struct supafs_store *s)
{
	struct supafs_mem *m = supafs_mem_of(s);

	for (size_t i = 0; i < m->n; i++)
		(void)supafs_mem_unref(m->objects[i]);
	free(m->objects);
	supafs_mutex_fini(&m->lock);
	free(m);
	return NULL;
}

static const struct supafs_store_ops mem_ops = {
	.name = "memory",
	.probe = mem_probe,
	.list = supafs_mem_list,
	.info = mem_info,
	.get = mem_get,
	.put = mem_put,
	.remove = mem_remove,
	.remove_many = mem_remove_many,
	.copy = mem_copy,
	.move = mem_move,
	.url = mem_url,
	.capabilities = mem_capabilities,
	.free = mem_free,
};

int supafs_store_new_memory(const struct supafs_clock *clock, struct supafs_store **ret_store)
{
	struct supafs_mem *m = calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	m->base.ops = &mem_ops;
	m->clock = clock;
	supafs_mutex_init(&m->lock);
	*ret_store = &m->base;
	return 0;
}
