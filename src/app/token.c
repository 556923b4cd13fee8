/* SPDX-License-Identifier: Apache-2.0 */
#include "token.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "supafs/util/cleanup.h"
#include "supafs/util/clock.h"
#include "supafs/util/file.h"
#include "supafs/util/hash.h"
#include "supafs/util/limits.h"
#include "supafs/util/log.h"
#include "supafs/util/parse.h"

#include "answer.h"

#define SOON_S 60

bool supafs_claims_read(const char *token, struct supafs_claims *ret)
{
	supafs_cleanup(supafs_answer_freep) struct supafs_answer *claims = NULL;
	supafs_cleanup(supafs_buf_fini) struct supafs_buf payload;
	const char *from = strchr(token, '.');
	const char *to = from ? strchr(from + 1, '.') : NULL;

	*ret = (struct supafs_claims){.role = ""};
	supafs_buf_init(&payload, SUPAFS_SECRET_MAX);
	if (!to ||
		supafs_b64url_decode(
			&payload, (struct supafs_str){from + 1, (size_t)(to - from - 1)}) < 0 ||
		supafs_answer_parse(supafs_buf_str(&payload), &claims) < 0)
		return false;
	(void)snprintf(ret->role, sizeof(ret->role), "%s", supafs_answer_text(claims, "role", ""));
	(void)snprintf(ret->sub, sizeof(ret->sub), "%s", supafs_answer_text(claims, "sub", ""));
	ret->exp_s = (int64_t)supafs_answer_number(claims, "exp", 0);
	return true;
}

/* --- A file with one secret ------------------------------------------------------------------- */

static int refuse(const char *path, int r, mode_t mode, struct supafs_problem *p)
{
	char octal[16];

	(void)snprintf(octal, sizeof(octal), "%04o", (unsigned)(mode & 07777));
	if (r == -EACCES && mode != 0)
		supafs_problem_set(p,
			mode & 077 ? SUPAFS_MSG_FILE_OPEN_TO_OTHERS : SUPAFS_MSG_FILE_OWNER, "file",
			path, "mode", octal, NULL);
	else
		supafs_problem_set(
			p, SUPAFS_MSG_FILE_READ, "file", path, "err", strerrordesc_np(-r), NULL);
	return r;
}

/* Under a service manager the file may be root's with a mode of 0440, where an access list lets
 * this service in. */
static int read_service_file(const char *path, struct supafs_buf *b, mode_t *ret_mode)
{
	supafs_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
	char chunk[SUPAFS_SECRET_MAX + 2];
	struct stat st;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st) != 0)
		return -errno;
	*ret_mode = st.st_mode & 07777;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if ((st.st_uid != geteuid() && st.st_uid != 0) || (st.st_mode & 037) != 0)
		return -EACCES;
	n = read(fd, chunk, sizeof(chunk));
	if (n < 0)
		return -errno;
	(void)supafs_buf_add(b, chunk, (size_t)n);
	explicit_bzero(chunk, sizeof(chunk));
	return supafs_buf_error(b);
}

static void trim(struct supafs_buf *b)
{
	while (b->n > 0 && isspace((unsigned char)b->p[b->n - 1]))
		b->p[--b->n] = '\0';
}

int supafs_key_file_read(
	const char *path, bool service, struct supafs_buf *ret, struct supafs_problem *p)
{
	supafs_autofree char *real = realpath(path, NULL); /* a link's target is what counts */
	mode_t mode = 0;
	int r;

	if (!real)
		return refuse(path, -errno, 0, p);
	r = service ? read_service_file(real, ret, &mode)
		    : supafs_file_read_secret(real, ret, &mode);
	if (r < 0)
		return refuse(path, r, mode, p);
	trim(ret);
	if (ret->n > 0 && !memchr(ret->p, '\0', ret->n) && ret->n <= SUPAFS_SECRET_MAX)
		return 0;
	supafs_problem_set(p, SUPAFS_MSG_KEY_FILE, "file", path, NULL);
	return -EINVAL;
}

/* --- A token that is renewed ------------------------------------------------------------------ */

static uint64_t hash_of(struct supafs_str token)
{
	return supafs_hash_str(token);
}

static void note_locked(struct supafs_token_file *f, const struct stat *st)
	SUPAFS_REQUIRES(f->lock);
static void note_locked(struct supafs_token_file *f, const struct stat *st)
{
	f->inode = st->st_ino;
	f->size = st->st_size;
	f->changed = st->st_ctim;
	f->told = false;
}

static bool is_noted_locked(const struct supafs_token_file *f, const struct stat *st)
	SUPAFS_REQUIRES(f->lock);
static bool is_noted_locked(const struct supafs_token_file *f, const struct stat *st)
{
	return st->st_ino == f->inode && st->st_size == f->size &&
	       st->st_ctim.tv_sec == f->changed.tv_sec && st->st_ctim.tv_nsec == f->changed.tv_nsec;
}

bool supafs_token_file_changed(void *ctx)
{
	struct supafs_token_file *f = ctx;
	struct stat st;

	if (stat(f->path, &st) != 0)
		return false;
	{
		SUPAFS_SCOPED_LOCK(&f->lock);
		return !is_noted_locked(f, &st);
	}
}

void supafs_token_file_init(struct supafs_token_file *f, const char *path, const char *token)
{
	struct supafs_claims claims;

	*f = (struct supafs_token_file){.path = path, .hash = hash_of(supafs_str_of(token))};
	if (supafs_claims_read(token, &claims))
		f->exp_s = claims.exp_s;
	supafs_mutex_init(&f->lock);
	/* What the file was like when the token was read is not known: the first time it is read
	 * again, and the hash tells. */
}

void supafs_token_file_fini(struct supafs_token_file *f)
{
	supafs_mutex_fini(&f->lock);
}

static int64_t now_s(void)
{
	const struct supafs_clock *clock = supafs_clock_system();

	return clock->wall_ns(clock) / SUPAFS_NS_PER_S;
}

/* The store asks a while before the end: then nothing is wrong yet. */
static bool still_good_locked(const struct supafs_token_file *f) SUPAFS_REQUIRES(f->lock);
static bool still_good_locked(const struct supafs_token_file *f)
{
	const int64_t left = f->exp_s - now_s();

	return f->exp_s > 0 && left > 0 && left < SOON_S;
}

static bool has_ended_locked(const struct supafs_token_file *f) SUPAFS_REQUIRES(f->lock);
static bool has_ended_locked(const struct supafs_token_file *f)
{
	return f->exp_s > 0 && f->exp_s <= now_s();
}

/* 0: a newer token is in `ret`. -EALREADY: the file is new and has the same token, which has not
 * ended: nothing is wrong, unless the server refuses it (then it is asked for again). */
static int read_newer_locked(struct supafs_token_file *f, struct supafs_buf *ret,
	struct supafs_problem *p) SUPAFS_REQUIRES(f->lock);
static int read_newer_locked(
	struct supafs_token_file *f, struct supafs_buf *ret, struct supafs_problem *p)
{
	struct supafs_claims claims = {.exp_s = 0};
	struct stat st;
	uint64_t hash;
	int r;

	supafs_problem_set(p, SUPAFS_MSG_TOKEN_OLD, "file", f->path, NULL);
	if (stat(f->path, &st) == 0) {
		if (is_noted_locked(f, &st))
			return -EKEYEXPIRED;
		/* Before it is read: what is written meanwhile is then read at the next time. */
		note_locked(f, &st);
	}
	r = supafs_key_file_read(f->path, false, ret, p);
	if (r < 0)
		return r;
	hash = hash_of(supafs_buf_str(ret));
	supafs_problem_set(p, SUPAFS_MSG_TOKEN_OLD, "file", f->path, NULL);
	if (hash == f->hash)
		return has_ended_locked(f) ? -EKEYEXPIRED : -EALREADY;
	(void)supafs_claims_read(supafs_buf_cstr(ret), &claims);
	if (claims.exp_s > 0 && claims.exp_s <= now_s())
		return -EKEYEXPIRED;
	f->hash = hash;
	f->exp_s = claims.exp_s;
	return 0;
}

int supafs_token_file_refresh(void *ctx, struct supafs_buf *ret)
{
	struct supafs_token_file *f = ctx;
	struct supafs_problem p;
	bool tell = false;
	int r;

	supafs_buf_reset(ret);
	{
		SUPAFS_SCOPED_LOCK(&f->lock);
		r = read_newer_locked(f, ret, &p);
		if (r < 0 && r != -EALREADY && !still_good_locked(f)) {
			tell = !f->told;
			f->told = true;
		}
	}
	if (r == 0)
		supafs_log(SUPAFS_LOG_INFO, "read a new user's token from %s", f->path);
	else if (tell)
		supafs_log(SUPAFS_LOG_ERROR, "%s", p.text);
	return r < 0 ? -EKEYEXPIRED : 0;
}
