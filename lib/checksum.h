/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Checksum records of a plain domain stream (docs/checksum.md): a running XXH3-128 over all its
 * octets, written at intervals as optional records that other readers skip.
 *
 *   headers  CHECKSUM(first)  records …  CHECKSUM(between)  records …  CHECKSUM(last)  END
 *
 * A context (struct xensr_ctx) that has one feeds it: io.c adds whatever it has read or written.
 * Nothing here knows an architecture.
 */
#ifndef XENSR_LIB_CHECKSUM_H
#define XENSR_LIB_CHECKSUM_H

#include <sys/uio.h>

#include "context.h"
#include "format.h"

/* So many octets of stream, and the record that is being written, lie between two of them. */
#define CHECKSUM_INTERVAL (64ull << 20)

struct checksum;

/*
 * lag: octets at the end of what was added that the digest leaves out, at most CHECKSUM_LAG_MAX. A
 * reader has always read the header of the record that it looks at, which the record's checksum
 * does not cover. NULL without memory. To be released with checksum_free.
 */
#define CHECKSUM_LAG_MAX 8u
struct checksum *checksum_new(unsigned lag);

/* sum may be NULL. */
void checksum_free(struct checksum *sum);

/* More octets of the stream. */
void checksum_add(struct checksum *sum, const void *octets, size_t n);

/* The first n octets that the vectors cover. */
void checksum_add_vectors(struct checksum *sum, const struct iovec *iov, size_t n);

/* The body of a record at this place of the stream: what was added so far, but for the lag. */
struct wire_checksum checksum_record(const struct checksum *sum, enum checksum_place place);

/* ---- writing --------------------------------------------------------------------------- */

/*
 * ctx->sum is fed with what is written. Right after the headers: the first record. Returns 0, or -1
 * with the error set.
 */
int checksum_write_first(struct xensr_ctx *ctx) MUST_CHECK;

/* Before a record of this type: the record that is due, if any. ctx->sum may be NULL. */
int checksum_write_due(struct xensr_ctx *ctx, uint32_t type) MUST_CHECK;

/* ---- reading --------------------------------------------------------------------------- */

/* What a reader knows of the checksums of its stream. */
struct checksum_reader {
	enum checksum_state {
		CHECKSUM_NONE,    /* none announced: nothing is added up */
		CHECKSUM_CHECKED, /* ctx->sum is fed with what is read */
		CHECKSUM_UNKNOWN, /* of an algorithm that we do not know: passed over */
	} state;
	bool begun;  /* a record has come: none can announce them any more */
	bool closed; /* the last one has come: END must follow */
	/* Set by who passes over what lies between: of those after the first no digest is compared. */
	bool frames_only;
	uint32_t algorithm; /* announced */
	uint64_t start;     /* offset of the stream, once announced */
	uint64_t good_to;   /* what lies before this offset is as it was written */
	uint64_t records;   /* that were right */
};

/*
 * A record of this type comes next, whose header was read: does it come where the checksums let it?
 * Returns 0, or -1 with the error set. To be called for every record.
 */
int checksum_read_order(struct xensr_ctx *ctx, struct checksum_reader *sums,
			uint32_t type) MUST_CHECK;

/* Framing of a CHECKSUM record. */
int checksum_read_length(struct xensr_ctx *ctx, uint32_t length) MUST_CHECK;

/*
 * The first record after the headers is a CHECKSUM of this body: begin to add up, with the octets
 * of the stream up to the end of the record's header, and of its body.
 */
int checksum_read_first(struct xensr_ctx *ctx, struct checksum_reader *sums, const void *front,
			size_t front_octets, const void *body, uint32_t length) MUST_CHECK;

/* A later one. now: checksum_record() when its body was not read yet; NULL with frames_only. */
int checksum_read_next(struct xensr_ctx *ctx, struct checksum_reader *sums,
		       const struct wire_checksum *now, const void *body,
		       uint32_t length) MUST_CHECK;

#endif
