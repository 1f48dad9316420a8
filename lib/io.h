/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Exact reads and writes on the stream's file descriptor.
 *
 * All of it or an error: short counts, EINTR and EAGAIN (a descriptor the caller left
 * non-blocking) are handled here, and ctx->offset always equals the octets really moved.
 * End of file is an error with errno ENODATA that names the offset and what is missing. Where the
 * context has a cancel_fd, each call and each wait ends with ECANCELED as soon as that says so.
 */
#ifndef XENSR_LIB_IO_H
#define XENSR_LIB_IO_H

#include <stddef.h>
#include <sys/uio.h>

#include "context.h"

/*
 * When the stream is a pipe, have it hold more: each end then works for longer before the other
 * has to run. Where the system does not allow it, nothing changes.
 */
void io_widen_pipe(const struct xensr_ctx *ctx);

/*
 * Can the stream still be written? Who stops a save puts a read-only file in its descriptor's
 * place, or has cancel_fd say so, which is noticed at the next write; this is for where none comes
 * for long. Returns 0, or -1 with the error set to ECANCELED.
 */
int io_check_writable(struct xensr_ctx *ctx) MUST_CHECK;

/*
 * Wait until a descriptor, which need not be the stream's, can be read or written (events as for poll)
 * without blocking; not for one that is none. Returns 0, or -1 with the error set (ECANCELED: cancel_fd said so first).
 */
int io_wait(struct xensr_ctx *ctx, int fd, short events) MUST_CHECK;

/*
 * Wait until there is something to read, and read nothing. Returns 0, or -1 with the error set if
 * there is only the end, or a connection that broke. Of a file it cannot tell: 0.
 */
int io_await(struct xensr_ctx *ctx) MUST_CHECK;

/*
 * Put back the last len octets that were read, so that they are read again: buf holds them, and stays
 * the caller's and as it is until that is done. Nothing else may wait to be read again.
 */
void io_unread(struct xensr_ctx *ctx, const void *buf, size_t len);

/*
 * See the next len octets (at most 32) without consuming them; fewer only at the end of the input.
 * *octets is valid until the next read. Returns how many, or -1 with the error set.
 */
ssize_t io_peek(struct xensr_ctx *ctx, size_t len, const uint8_t **octets) MUST_CHECK;

/* Read exactly len octets. Returns 0, or -1 with the error set. */
int io_read(struct xensr_ctx *ctx, void *buf, size_t len) MUST_CHECK;

/* Fill n vectors. Consumes (modifies) iov. Returns 0, or -1 with the error set. */
int io_readv(struct xensr_ctx *ctx, struct iovec *iov, size_t n) MUST_CHECK;

/* Read and drop len octets. */
int io_skip(struct xensr_ctx *ctx, uint64_t len) MUST_CHECK;

/* Write n vectors whole. Consumes (modifies) iov. Returns 0, or -1 with the error set. */
int io_writev(struct xensr_ctx *ctx, struct iovec *iov, size_t n) MUST_CHECK;

#endif
