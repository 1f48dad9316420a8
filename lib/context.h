/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What every operation on a domain stream carries: the error, the reports, the stream's file
 * descriptor with its position, and which record is being worked on. Save, restore and verify
 * embed one in contexts of their own. Nothing here knows a hypervisor.
 */
#ifndef XENSR_LIB_CONTEXT_H
#define XENSR_LIB_CONTEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "error.h"

struct checksum;

struct xensr_ctx {
	struct xensr_error err;
	struct xensr_reports reports;

	int io_fd;
	int cancel_fd; /* once it can be read, or has ended, I/O fails with ECANCELED; -1: none */
	/*
	 * Where octets come from, instead of io_fd, if it is set: as read(2), and never EINTR or EAGAIN.
	 */
	ssize_t (*fetch)(void *data, void *buf, size_t len);
	void *fetch_data;
	bool peer_gone;  /* the last read or write failed because nobody is at the other end */
	uint64_t offset; /* octets read or written so far, from the image header on */
	/* Octets that come before those of io_fd: see io_peek() and io_unread(). */
	const uint8_t *unread;
	size_t unread_octets;
	uint8_t peeked[32];
	struct checksum *sum; /* fed with all octets read or written; NULL: there is none */

	/* The record (or header) at work, for error texts. */
	const char *what;     /* "PAGE_DATA record", "image header"; NULL = none */
	uint32_t record_type; /* or XENSR_NO_RECORD */
	uint64_t record_offset;

	uint64_t skipped; /* see ctx_log_skipped() */

	/* Progress of one `what`; see ctx_progress(). */
	uint64_t progress_shown;
	bool progress_full; /* 100 % was shown; more may come all the same */
};

/* io_fd and reports stay the caller's. */
void ctx_init(struct xensr_ctx *ctx, int io_fd, const struct xensr_reports *reports);

/* From now on errors concern this part of the stream, which starts at offset. */
void ctx_enter(struct xensr_ctx *ctx, const char *what, uint32_t record_type, uint64_t offset);

/* From now on errors concern no part of the stream. */
void ctx_leave(struct xensr_ctx *ctx);

/*
 * Record a failure, prefixed with the record at work and its offset. Always returns -1, so
 * that `return ctx_fail(...)` reads well. errnum is an errno value.
 */
int ctx_fail(struct xensr_ctx *ctx, int errnum, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* The same, with ": " and strerror(errnum) after the text: for failed calls. */
int ctx_fail_errno(struct xensr_ctx *ctx, int errnum, const char *fmt, ...) PRINTF_LIKE(3, 4);

void ctx_log(struct xensr_ctx *ctx, enum xensr_level level, const char *fmt, ...) PRINTF_LIKE(3, 4);

/*
 * The optional record at work, of this type and so many octets, is passed over. A stream may have any
 * number of them: after CTX_SKIPPED_TOLD nothing more is said.
 */
#define CTX_SKIPPED_TOLD 16u
void ctx_log_skipped(struct xensr_ctx *ctx, uint32_t type, uint32_t octets);

/*
 * done of total pages. Reports at the first call of a `what` (done == 0), whenever another
 * hundredth is complete, and when all of it is, so the caller may call it per batch.
 */
void ctx_progress(struct xensr_ctx *ctx, const char *what, uint64_t done, uint64_t total);

/*
 * `part`, which began as a copy of ctx, is done: go on where it stands. Its error is kept unless
 * ctx has one of its own, which then was the first.
 */
void ctx_take_over(struct xensr_ctx *ctx, const struct xensr_ctx *part);

/*
 * End of an operation that returned rc: on failure log the error, copy it to *out (which may
 * be NULL) and set errno. Returns rc.
 */
int ctx_finish(struct xensr_ctx *ctx, int rc, struct xensr_error *out);

#endif
