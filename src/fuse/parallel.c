/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Look-ups and readdirs of one folder at once.
 *
 * libfuse before 3.17 takes FUSE_CAP_PARALLEL_DIROPS in conn->want, but does not say so in its
 * reply to the kernel's INIT (libfuse pull request 861): then the kernel sends them one after
 * another, and N programs in one folder of a server that is silent wait N time-outs. So the bit is
 * put into that reply on its way out: struct fuse_init_out of linux/fuse.h, behind the reply's
 * header. All other messages pass as they are.
 */
#include <linux/fuse.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "op.h"

static bool is_init_reply(const struct iovec *iov, int count)
{
	const struct fuse_out_header *head = iov[0].iov_base;

	return count == 2 && iov[0].iov_len == sizeof(*head) && head->error == 0 &&
	       iov[1].iov_len >= offsetof(struct fuse_init_out, flags) + sizeof(uint32_t);
}

/* The first message is the reply to INIT: the kernel sends nothing else before it. */
static ssize_t send_message(int fd, struct iovec *iov, int count, void *userdata)
{
	struct supafs_fuse *f = userdata;

	if (!atomic_exchange(&f->greeted, true) && f->parallel_dirops &&
		is_init_reply(iov, count)) {
		char *at = (char *)iov[1].iov_base + offsetof(struct fuse_init_out, flags);
		uint32_t flags;

		memcpy(&flags, at, sizeof(flags));
		flags |= FUSE_PARALLEL_DIROPS;
		memcpy(at, &flags, sizeof(flags));
	}
	return writev(fd, iov, count);
}

static ssize_t receive_message(int fd, void *buf, size_t n, void *userdata)
{
	(void)userdata;
	return read(fd, buf, n);
}

int parallel_dirops(struct supafs_fuse *f)
{
	static const struct fuse_custom_io io = {.writev = send_message, .read = receive_message};

	if (fuse_version() >= FUSE_MAKE_VERSION(3, 17))
		return 0;
	return fuse_session_custom_io(f->se, &io, fuse_session_fd(f->se));
}
