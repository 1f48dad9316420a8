/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "io.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "checksum.h"

/* Linux moves at most IOV_MAX vectors a call; POSIX only promises 16. */
#define VECTORS_PER_CALL 1024

/* What an unprivileged process may ask for by default (pipe(7), pipe-max-size). */
#define PIPE_ROOM (1 << 20)

/* Drop `moved` octets from the front of the vectors; empty vectors go too. */
static void vectors_advance(struct iovec **iov, size_t *n, size_t moved)
{
	while (*n && moved >= (*iov)->iov_len) {
		moved -= (*iov)->iov_len;
		(*iov)++;
		(*n)--;
	}
	if (moved) {
		(*iov)->iov_base = (char *)(*iov)->iov_base + moved;
		(*iov)->iov_len -= moved;
	}
}

static uint64_t vectors_left(const struct iovec *iov, size_t n)
{
	uint64_t left = 0;

	while (n--)
		left += iov++->iov_len;
	return left;
}

/* After a call failed with errnum: 0 = try again, -1 = it is an error. Waits if need be. */
static int retry_after(struct xensr_ctx *ctx, int errnum, short events)
{
	struct pollfd pfd = {.fd = ctx->io_fd, .events = events};

	if (errnum == EINTR)
		return 0;
	if (errnum != EAGAIN && errnum != EWOULDBLOCK)
		return -1;
	if (ctx->cancel_fd >= 0) /* check_cancelled waits */
		return 0;
	/* Whatever poll says, the next read or write tells more. */
	return poll(&pfd, 1, -1) < 0 && errno != EINTR ? -1 : 0;
}

static int fail_cancelled(struct xensr_ctx *ctx)
{
	return ctx_fail(ctx, ECANCELED, "cancelled at offset %" PRIu64, ctx->offset);
}

int io_wait(struct xensr_ctx *ctx, int fd, short events)
{
	struct pollfd pfds[] = {
		{.fd = ctx->cancel_fd, .events = POLLIN},
		{.fd = fd, .events = events},
	};

	/* Nothing would end the wait for a descriptor that is none; the call tells more. */
	if (fd < 0)
		return 0;
	while (poll(pfds, 2, -1) < 0) {
		if (errno != EINTR)
			return ctx_fail_errno(ctx, errno, "cannot wait for the stream");
	}
	return pfds[0].revents ? fail_cancelled(ctx) : 0;
}

/* Before each call: io_wait where the operation can be cancelled. */
static int check_cancelled(struct xensr_ctx *ctx, short events)
{
	return ctx->cancel_fd < 0 ? 0 : io_wait(ctx, ctx->io_fd, events);
}

/* Does this errno mean that the other end is gone, rather than that something is wrong here? */
static bool means_gone(int errnum)
{
	switch (errnum) {
	case EPIPE:
	case ECONNRESET:
	case ECONNABORTED:
	case ENOTCONN:
	case ETIMEDOUT:
	case ENETDOWN:
	case ENETUNREACH:
	case ENETRESET:
	case EHOSTDOWN:
	case EHOSTUNREACH:
		return true;
	default:
		return false;
	}
}

void io_widen_pipe(const struct xensr_ctx *ctx)
{
	int room = fcntl(ctx->io_fd, F_GETPIPE_SZ);

	if (room >= 0 && room < PIPE_ROOM)
		(void)fcntl(ctx->io_fd, F_SETPIPE_SZ, PIPE_ROOM);
}

int io_check_writable(struct xensr_ctx *ctx)
{
	struct pollfd cancel = {.fd = ctx->cancel_fd, .events = POLLIN};
	int flags = fcntl(ctx->io_fd, F_GETFL);

	if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY)
		return ctx_fail(ctx, ECANCELED, "the stream cannot be written any more");
	if (ctx->cancel_fd >= 0 && poll(&cancel, 1, 0) > 0)
		return fail_cancelled(ctx);
	return 0;
}

static int fail_read(struct xensr_ctx *ctx, int errnum)
{
	ctx->peer_gone = means_gone(errnum);
	return ctx_fail_errno(ctx, errnum, "cannot read the stream at offset %" PRIu64,
			      ctx->offset);
}

static int fail_end(struct xensr_ctx *ctx, uint64_t missing)
{
	ctx->peer_gone = true;
	return ctx_fail(ctx, ENODATA,
			"the stream ends early, at offset %" PRIu64 ": %" PRIu64
			" more octets expected",
			ctx->offset, missing);
}

int io_await(struct xensr_ctx *ctx)
{
	struct pollfd pfd = {.fd = ctx->io_fd, .events = POLLIN};
	uint8_t octet;
	ssize_t got;

	if (check_cancelled(ctx, POLLIN))
		return -1;
	while (poll(&pfd, 1, -1) < 0) {
		if (errno != EINTR)
			return fail_read(ctx, errno);
	}
	if (!(pfd.revents & POLLIN))
		return fail_end(ctx, sizeof(octet));
	/* A socket's end, and what broke it, are readable too. */
	got = recv(ctx->io_fd, &octet, sizeof(octet), MSG_PEEK | MSG_DONTWAIT);
	if (got < 0)
		return means_gone(errno) && errno != ENOTCONN ? fail_read(ctx, errno) : 0;
	return got ? 0 : fail_end(ctx, sizeof(octet));
}

void io_unread(struct xensr_ctx *ctx, const void *buf, size_t len)
{
	ctx->unread = buf;
	ctx->unread_octets = len;
	ctx->offset -= len;
}

/* What there is, for the first vectors. */
static ssize_t fetch(struct xensr_ctx *ctx, const struct iovec *iov, int n)
{
	if (ctx->fetch)
		return ctx->fetch(ctx->fetch_data, iov->iov_base, iov->iov_len);
	return readv(ctx->io_fd, iov, n);
}

ssize_t io_peek(struct xensr_ctx *ctx, size_t len, const uint8_t **octets)
{
	uint8_t *front = ctx->peeked;

	if (len > sizeof(ctx->peeked) || ctx->unread_octets > sizeof(ctx->peeked))
		return ctx_fail(ctx, EINVAL, "%zu octets cannot be looked at ahead", len);
	if (ctx->unread_octets)
		memmove(front, ctx->unread, ctx->unread_octets);
	ctx->unread = front;
	while (ctx->unread_octets < len) {
		struct iovec rest = {.iov_base = front + ctx->unread_octets,
				     .iov_len = len - ctx->unread_octets};
		ssize_t got;

		if (check_cancelled(ctx, POLLIN))
			return -1;
		got = fetch(ctx, &rest, 1);
		if (got == 0)
			break;
		if (got < 0 && retry_after(ctx, errno, POLLIN))
			return fail_read(ctx, errno);
		if (got > 0)
			ctx->unread_octets += (size_t)got;
	}
	*octets = front;
	return (ssize_t)(ctx->unread_octets < len ? ctx->unread_octets : len);
}

/* What was put back goes into the vectors first. */
static void take_unread(struct xensr_ctx *ctx, struct iovec **iov, size_t *n)
{
	while (ctx->unread_octets && *n) {
		size_t now =
			ctx->unread_octets < (*iov)->iov_len ? ctx->unread_octets : (*iov)->iov_len;

		memcpy((*iov)->iov_base, ctx->unread, now);
		ctx->unread += now;
		ctx->unread_octets -= now;
		ctx->offset += now;
		vectors_advance(iov, n, now);
	}
}

int io_readv(struct xensr_ctx *ctx, struct iovec *iov, size_t n)
{
	vectors_advance(&iov, &n, 0);
	take_unread(ctx, &iov, &n);
	while (n) {
		int batch = n < VECTORS_PER_CALL ? (int)n : VECTORS_PER_CALL;
		ssize_t got;

		if (check_cancelled(ctx, POLLIN))
			return -1;
		got = fetch(ctx, iov, batch);
		if (got == 0)
			return fail_end(ctx, vectors_left(iov, n));
		if (got < 0) {
			int errnum = errno;

			if (retry_after(ctx, errnum, POLLIN) == 0)
				continue;
			return fail_read(ctx, errnum);
		}
		ctx->offset += (uint64_t)got;
		if (ctx->sum)
			checksum_add_vectors(ctx->sum, iov, (size_t)got);
		vectors_advance(&iov, &n, (size_t)got);
	}
	return 0;
}

int io_read(struct xensr_ctx *ctx, void *buf, size_t len)
{
	struct iovec iov = {.iov_base = buf, .iov_len = len};

	return io_readv(ctx, &iov, 1);
}

int io_skip(struct xensr_ctx *ctx, uint64_t len)
{
	uint8_t waste[16384];

	while (len) {
		size_t now = len < sizeof(waste) ? (size_t)len : sizeof(waste);

		if (io_read(ctx, waste, now))
			return -1;
		len -= now;
	}
	return 0;
}

int io_writev(struct xensr_ctx *ctx, struct iovec *iov, size_t n)
{
	vectors_advance(&iov, &n, 0);
	while (n) {
		int batch = n < VECTORS_PER_CALL ? (int)n : VECTORS_PER_CALL;
		ssize_t put;

		if (check_cancelled(ctx, POLLOUT))
			return -1;
		put = writev(ctx->io_fd, iov, batch);
		if (put < 0) {
			int errnum = errno;

			if (retry_after(ctx, errnum, POLLOUT) == 0)
				continue;
			ctx->peer_gone = means_gone(errnum);
			return ctx_fail_errno(ctx, errnum,
					      "cannot write the stream at offset %" PRIu64,
					      ctx->offset);
		}
		if (put == 0)
			return ctx_fail(ctx, EIO,
					"cannot write the stream at offset %" PRIu64
					": nothing is accepted",
					ctx->offset);
		ctx->offset += (uint64_t)put;
		if (ctx->sum)
			checksum_add_vectors(ctx->sum, iov, (size_t)put);
		vectors_advance(&iov, &n, (size_t)put);
	}
	return 0;
}
