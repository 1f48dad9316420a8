/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One conversion of a saved domain into a plain domain stream of version 3, in what it was wrapped
 * in. Front to back and with little memory, but for checkpointed streams, whose pages an index finds.
 *
 *      cmd_convert --> wrapping_read --> convert_stream        domain stream, version 2 or 3
 *                                    --> convert_legacy        image of Xen 4.5 or earlier
 *                  --> convert_checkpoint                      one state of a checkpointed stream
 *                  --> convert_check                           all of what came of it
 *
 * What is written is checked as a restore would check it, by the same code (lib/phase.h,
 * record_check_body), before it is written: there is no output that breaks the format.
 */
#ifndef XENSR_TOOLS_CONVERT_H
#define XENSR_TOOLS_CONVERT_H

#include "image.h"
#include "progress.h"
#include "record.h"
#include "toolstack/body.h"

/* A legacy image's pfn words have 28 bits for the pfn. */
#define LEGACY_P2M_SIZE_MAX (1u << 28)

/* What a domain stream is to be wrapped in, where the input does not say it. */
enum convert_format {
	CONVERT_SAME,   /* as the input */
	CONVERT_DOMAIN, /* in nothing */
	CONVERT_LIBXL,
};

struct convert;

/*
 * Who takes the records that a legacy image makes, in place of a file; where in the input each comes from
 * is in convert->in. Each returns 0, or -1 to end it without an error of the conversion's.
 */
struct convert_taker {
	/* Any record but PAGE_DATA; of the libxl stream its emulator records and END. */
	int (*record)(void *data, enum image_layer layer, uint32_t type, const void *body,
		      uint32_t length);
	/* PAGE_DATA, whose pages have just been read. */
	int (*batch)(void *data, const uint64_t *entries, uint32_t count, const uint8_t *pages,
		     uint32_t data_pages);
};

struct convert {
	const struct convert_taker *taker; /* NULL: to `out` */
	void *taker_data;
	struct legacy_facts legacy; /* as far as the input has been read */

	/* Of the command line. */
	bool drop_verify;
	bool as_is; /* keep the version: nothing is to change but checksums */
	enum convert_format format;
	const char *in_path;

	struct xensr_ctx in; /* offsets are those of the input, whatever wraps the stream */
	struct xensr_ctx out;
	struct checksum *sum;        /* of the domain stream that is written; NULL: it gets none */
	struct checksum_reader sums; /* what convert_stream found of the input's */
	enum image_kind kind;
	bool wrapped;    /* in a libxl stream */
	struct body raw; /* of the wrapping */

	/* The domain stream written so far. */
	struct stream_headers headers;
	struct phase phase;
	unsigned guest_width;

	struct progress progress;
	uint64_t octets; /* of the input, and about that many of the output; UINT64_MAX: unknown */
};

/*
 * All of these return 0, or -1 with the error set: in convert->in if the input is the reason,
 * convert->out if it cannot be written.
 */

/* ---- the domain stream that is written (convert_write.c) --------------------------------------- */

/* Image and domain header. */
int convert_begin(struct convert *convert, uint32_t guest_type, uint32_t xen_major,
		  uint32_t xen_minor) MUST_CHECK;

/* The same as they came, for what is to stay as it is. */
int convert_begin_as_is(struct convert *convert, const struct reader *reader) MUST_CHECK;

/*
 * Any record but PAGE_DATA, or an optional one of unknown type. STATIC_DATA_END is put before the
 * first that belongs behind it. What the format does not let come here is an error of the input's
 * record at work.
 */
int convert_record(struct convert *convert, uint32_t type, const void *body,
		   uint32_t length) MUST_CHECK;

/* A record that is tolerated of old savers and has nothing in it: RECORD_EMPTY_BODY octets. */
int convert_empty_record(struct convert *convert, uint32_t type, const void *body) MUST_CHECK;

/* PAGE_DATA: header and entries as on the wire; its pages are to follow with convert_pages. */
int convert_page_data(struct convert *convert, const uint64_t *entries, uint32_t count,
		      uint32_t data_pages) MUST_CHECK;
int convert_pages(struct convert *convert, const void *pages, size_t count) MUST_CHECK;

/* Both in one: PAGE_DATA with the pages of a batch. */
int convert_batch(struct convert *convert, const uint64_t *entries, uint32_t count,
		  const uint8_t *pages, uint32_t data_pages) MUST_CHECK;

/* Of the libxl stream: an emulator record, END. */
int convert_emulator(struct convert *convert, uint32_t type, const void *data,
		     size_t octets) MUST_CHECK;
int convert_libxl_end(struct convert *convert) MUST_CHECK;

/* ---- what wraps it (convert_wrapping.c) -------------------------------------------------------- */

/* Find out what the input is, from its first octets; nothing is written. */
int wrapping_identify(struct convert *convert) MUST_CHECK;

/*
 * Copy what lies before the domain stream (or legacy image). Both then stand where it begins. For a
 * legacy image an xl header is changed to say that a libxl stream follows, and that is begun.
 */
int wrapping_begin(struct convert *convert) MUST_CHECK;

/* Copy what lies behind the domain stream, to the end; that the input ends there is checked. */
int wrapping_end(struct convert *convert) MUST_CHECK;

/* Nothing is left of the input. */
int wrapping_check_end(struct convert *convert) MUST_CHECK;

/* ---- the conversions --------------------------------------------------------------------------- */

int convert_stream(struct convert *convert) MUST_CHECK;
int convert_legacy(struct convert *convert) MUST_CHECK;

/* "vcpu info": what a chunk of this negated number is called; "end of chunks" for 0. */
const char *legacy_chunk_name(unsigned number);

/*
 * The state that image_select chose, and what wraps it behind it. The error is in *err instead if
 * the file cannot be read.
 */
int convert_checkpoint(struct convert *convert, const struct image *image,
		       struct image_error *err) MUST_CHECK;

/* ---- afterwards (convert_check.c) --------------------------------------------------------------- */

/*
 * What was written to the file at path is a domain that can be restored. That it is not is the
 * input's error.
 */
int convert_check(struct convert *convert, const char *path) MUST_CHECK;

#endif
