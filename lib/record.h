/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Headers and records of the domain stream, in both directions.
 *
 * Reading: reader_init, read_headers, then read_record until END. Every record is checked for
 * framing, size, order and inner consistency before the caller sees it, so a caller never has
 * to doubt a length. The pages of a PAGE_DATA record are not read here: after read_record has
 * returned it, its entries are in memory and its pages are next on the descriptor; the caller
 * must take all of them with read_pages before the next read_record.
 *
 * Writing: write_headers, then write_record; see pages.h for PAGE_DATA.
 */
#ifndef XENSR_LIB_RECORD_H
#define XENSR_LIB_RECORD_H

#include <sys/uio.h>

#include "checksum.h"
#include "context.h"
#include "format.h"
#include "phase.h"

/* What the format says of one record type. */
struct record_rule {
	const char *name; /* NULL: no such type */
	uint32_t least;   /* octets of body */
	uint32_t most;
	unsigned phases;   /* mask of enum phase_id in which it may come */
	unsigned guests;   /* mask of 1 << GUEST_X86_* */
	uint32_t needs;    /* mask of 1 << type: these must have come before */
	uint32_t pv_needs; /* the same, in a PV guest only */
	bool v3_only;
	bool once;         /* at most once with content between two CHECKPOINTs */
	bool may_be_empty; /* a body shorter than `least` that carries nothing is tolerated */
};

/* The rule for a type without bit 31, or NULL if the format has no such type. */
const struct record_rule *record_rule(uint32_t type);

/* "PAGE_DATA record", "optional record", "unknown record": for people. Never NULL. */
const char *record_title(uint32_t type);

struct record {
	uint32_t type;   /* without bit 31 */
	uint32_t length; /* octets of body on the wire */
	/*
	 * The body, valid until the next read_record. For PAGE_DATA NULL: see entries. A
	 * record whose body carries nothing (tolerated from old savers) has length 0 here.
	 */
	void *body;
	/* PAGE_DATA only: `count` wire entries of which `data_pages` carry a page. */
	const uint64_t *entries; /* see pages.h */
	uint32_t count;
	uint32_t data_pages;
	uint32_t populated; /* entries that want memory: those with a page, and allocate-only */
	bool static_data_inferred; /* v2: behave as if STATIC_DATA_END came just before */
};

struct reader {
	struct xensr_ctx *ctx;
	struct stream_headers headers;
	struct phase phase;
	unsigned guest_width; /* of X86_PV_INFO, once it has come; else 0 */

	uint8_t *buffer; /* body of the record at work; grows as octets arrive */
	size_t buffer_size;

	/* The first octets of a PAGE_DATA record's pages, which came with its entries. */
	const uint8_t *early; /* in buffer */
	size_t early_octets;

	/* The header after a PAGE_DATA record is read with the last of it. */
	struct wire_record_header ahead;
	bool have_ahead;
	bool checkpointed;
	uint32_t pages_left; /* pages of the PAGE_DATA record at work not yet taken */

	/* Image and domain header as they came, and room for the first record's header. */
	uint8_t front[STREAM_HEADERS + sizeof(struct wire_record_header)];
	struct checksum_reader sums; /* what was added up is in ctx->sum, which is the reader's */

	/*
	 * May be set after reader_init: read_record gives its caller optional records of unknown
	 * types too, with bit 31 in the type, instead of skipping them.
	 */
	bool keep_optional;
};

/* ctx must outlive the reader. checkpointed: CHECKPOINT records may come. */
void reader_init(struct reader *reader, struct xensr_ctx *ctx, bool checkpointed);

/* Idempotent. */
void reader_release(struct reader *reader);

/* Read and check image and domain header; as they came they are in reader->front. Returns 0, or -1 with the error set. */
int read_headers(struct reader *reader) MUST_CHECK;

/*
 * The next record the reader knows; optional records it does not know are skipped, checksums are
 * checked (in plain streams that begin with one) and skipped. Returns 0, or -1 with the error set (EBADMSG: breaks the format; ENODATA: ends early; ENOMEM).
 */
int read_record(struct reader *reader, struct record *rec) MUST_CHECK;

/*
 * Take the next `pages` pages of the PAGE_DATA record at work into the n vectors, which cover
 * them exactly. Consumes iov, which must have room for one vector more: the header of the next
 * record comes in the same call as the last pages (a record always follows PAGE_DATA).
 */
int read_pages(struct reader *reader, struct iovec *iov, size_t n, uint32_t pages) MUST_CHECK;

/*
 * Image and domain header of a version 3 stream. With ctx->sum the records are written with
 * checksums: the first here, the others as they are due. Returns 0, or -1 with the error set.
 */
int write_headers(struct xensr_ctx *ctx, uint32_t guest_type, uint32_t xen_major,
		  uint32_t xen_minor) MUST_CHECK;

/*
 * A record whose body is the n vectors (at most RECORD_VECTORS), padded. Returns 0, or -1 with
 * the error set; EMSGSIZE if the body is over the format's limit.
 */
#define RECORD_VECTORS 4
int write_record(struct xensr_ctx *ctx, uint32_t type, const struct iovec *body,
		 size_t n) MUST_CHECK;

/* ---- the checks alone, for who does not read through a reader -------------------------------- */

/* Octets of padding after a body of this length. */
static inline uint32_t record_padding(uint32_t length)
{
	return -length & (RECORD_ALIGN - 1);
}

/* Octets of a PAGE_DATA body before its pages. */
static inline uint64_t page_data_front(uint32_t count)
{
	return sizeof(struct wire_page_data) + (uint64_t)count * sizeof(uint64_t);
}

/* Image and domain header as they lay in the stream; good ones are taken into *headers. */
int headers_check_image(struct xensr_ctx *ctx, const struct wire_image_header *wire,
			struct stream_headers *headers) MUST_CHECK;
int headers_check_domain(struct xensr_ctx *ctx, const struct wire_domain_header *wire,
			 struct stream_headers *headers) MUST_CHECK;

/* The length of a record of any type; of one of a known type, whose rule it is. */
int record_check_limit(struct xensr_ctx *ctx, const struct wire_record_header *header) MUST_CHECK;
int record_check_length(struct xensr_ctx *ctx, const struct record_rule *rule,
			uint32_t length) MUST_CHECK;

/* PAGE_DATA whose length passed record_check_length: its count, then count and pages. */
int page_data_check_count(struct xensr_ctx *ctx, uint32_t count, uint32_t length) MUST_CHECK;
int page_data_check_length(struct xensr_ctx *ctx, uint32_t count, uint32_t data_pages,
			   uint32_t length) MUST_CHECK;

/*
 * The inside of a body, as far as the format fixes it (record_check.c). guest_width is that of a
 * PV guest, 0 if it is not known yet.
 */
int record_check_body(struct xensr_ctx *ctx, const struct record *rec,
		      unsigned guest_width) MUST_CHECK;

#endif
