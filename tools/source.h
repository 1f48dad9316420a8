/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where a saved domain is read from, front to back: a file, or a pipe that may be passed on.
 *
 * ctx carries the position (ctx.offset: octets consumed, from the start of the file) and the first
 * error, as in lib/context.h. What source_skip passes over need not be looked at; SKIP_SEEK does
 * not even read it, SKIP_READ has the kernel read it without copying it where that can be done.
 *
 * With ctx.sum everything is read, and added to it when it is consumed or passed over.
 *
 * With a tee every octet is written on as soon as it has been read, before anything waits for the
 * next one.
 */
#ifndef XENSR_TOOLS_SOURCE_H
#define XENSR_TOOLS_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "context.h"
#include "page_in.h"

enum source_skip {
	SKIP_SEEK,
	SKIP_READ,
};

struct source {
	struct xensr_ctx ctx; /* ctx.io_fd is the descriptor */
	bool seekable;
	uint64_t octets; /* of the file; UINT64_MAX: not known */
	enum source_skip skip;
	bool sought;     /* something was passed over that was not read */
	int tee_fd;      /* or -1 */
	bool tee_failed; /* the reader downstream is gone, or its disk is full */
	int null_fd;     /* /dev/null for what is read, but not looked at, or -1 */
	struct page_in page_in;
	bool no_splice;  /* the kernel will not move octets between these two */
	bool at_end;     /* the end of input has been seen */
	uint8_t *buffer; /* read, not consumed: buffer[at … have) */
	size_t at, have;
	uint64_t fetched; /* octets read or passed over so far: ctx.offset + have - at */

	/* Called after each fetch; may be NULL. */
	void (*moved)(void *data, uint64_t fetched, uint64_t octets);
	void *moved_data;
};

/*
 * Open path for reading; "-" is standard input, which is read front to back whatever it is.
 * Returns 0, or -1 with the error set in ctx. To be closed in either case.
 */
int source_open(struct source *source, const char *path, enum source_skip skip) MUST_CHECK;

/* Idempotent. Does not close the tee. */
void source_close(struct source *source);

/* From now on everything that is read goes to fd, too. Before the first read. */
void source_tee(struct source *source, int fd);

/*
 * Exactly len octets. Returns 0, or -1 with the error set: ENODATA if the input ends before, any
 * other errno if it cannot be read or passed on.
 */
int source_read(struct source *source, void *buf, size_t len) MUST_CHECK;

/* Up to len octets without consuming them; fewer only at the end. Returns how many, or -1. */
#define SOURCE_PEEK_MOST 64u
int source_peek(struct source *source, void *buf, size_t len) MUST_CHECK;

/*
 * Between 1 and len octets, whatever there is first. Returns how many, 0 at the end of the input, or
 * -1 with the error set.
 */
ssize_t source_read_some(struct source *source, void *buf, size_t len) MUST_CHECK;

/*
 * len octets at offset, which have been read or passed over before; only if it is seekable. The
 * position stays. Returns 0, or -1 with the error set: they are not there any more.
 */
int source_read_again(struct source *source, void *buf, size_t len, uint64_t offset) MUST_CHECK;

/* Pass over len octets. As source_read. */
int source_skip(struct source *source, uint64_t len) MUST_CHECK;

/*
 * Pass over the rest, however much it is; *octets is how much it was. Returns 0, or -1 with the
 * error set.
 */
int source_drain(struct source *source, uint64_t *octets) MUST_CHECK;

#endif
