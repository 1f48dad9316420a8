/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A walk over a saved domain, front to back through all its layers, that tells what it meets:
 *
 *      walk_run --xl header--> walk_libxl --LIBXC_CONTEXT, CHECKPOINT_END--> walk_domain
 *                                         <--END, CHECKPOINT---------------
 *
 * Everything that a restore checks without a target domain is checked, by the same code (lib/).
 * Where a restore would stop, the walk tells a finding and goes on, as long as the framing holds: as
 * long as it knows where the next record begins.
 */
#ifndef XENSR_TOOLS_WALK_H
#define XENSR_TOOLS_WALK_H

#include "checksum.h"
#include "image.h"
#include "source.h"
#include "toolstack/body.h"

enum walk_severity {
	WALK_WARNING, /* a restore takes it as it is */
	WALK_ERROR,   /* a restore refuses, or loses something */
};

struct walk_finding {
	enum walk_severity severity;
	int errnum;       /* EBADMSG, or ENODATA: ends early */
	uint64_t offset;  /* of the record or header it concerns */
	const char *text; /* stands alone: "HVM_PARAMS record at offset 24: ..." */
};

struct walk_record {
	struct image_record place;
	bool known; /* the format has this type; else it was passed over */
	bool good;  /* no error was found in it */
	/* What came of the body; NULL for PAGE_DATA and what was passed over. Until return. */
	const void *body;
	/* PAGE_DATA whose inside is good, else NULL: place.count entries as on the wire. */
	const uint64_t *entries;
	uint64_t pages_offset; /* PAGE_DATA: of its first page */
};

struct walk;

/* Each may be NULL. Who returns other than 0 ends the walk. */
struct walk_ops {
	int (*record)(void *data, const struct walk_record *record);
	/*
	 * A bit for each enum page_type of which `page` is to get the contents, of this PAGE_DATA record
	 * with entries. The others are passed over as the source does (source_skip).
	 */
	uint32_t (*wanted)(void *data, const struct walk_record *record);
	/*
	 * The content of an entry of a wanted type. Afterwards, also where the input ended before, once
	 * more for the record: entry is place.count and octets is NULL. Goes with `wanted`.
	 */
	int (*page)(void *data, const struct walk_record *record, uint32_t entry,
		    const uint8_t *octets);
	/*
	 * n pages of a PAGE_DATA record with entries, the first of which is the `first`th of those with
	 * data. Without this and `wanted` all are passed over.
	 */
	int (*pages)(void *data, const struct walk_record *record, uint32_t first, uint32_t n,
		     const uint8_t *octets);
	int (*finding)(void *data, const struct walk_finding *finding);
	/*
	 * What CHECKSUM records say is to be checked: all of it if the source reads all, else what can
	 * be seen of them alone.
	 */
	bool checksums;
	/*
	 * A legacy image begins here: legacy_walk, for who wants to see what is in it. Returns 0, or -1
	 * as walk_run does.
	 */
	int (*legacy)(struct walk *walk);
};

struct walk {
	struct source *source;
	struct image *image; /* what has been learnt so far; no records, no pages */
	const struct walk_ops *ops;
	void *data; /* for ops */

	bool in_libxl; /* the domain stream lies within a libxl stream */
	bool stopped;  /* an op said so, or the framing is lost, or the input ended */
	bool ended;    /* the outermost layer's END came */
	bool met_error;

	/* walk_domain's */
	struct phase phase;
	bool domain_begun, domain_ended;
	uint32_t checkpoints;        /* CHECKPOINT records so far */
	struct checksum_reader sums; /* with ops->checksums; what was added up is in source->ctx */
	uint8_t front[STREAM_HEADERS + sizeof(struct wire_record_header)];

	/* walk_libxl's */
	bool in_checkpoint; /* between CHECKPOINT and CHECKPOINT_END */
	/* A bit for each type of the toolstack's part of this state; at its end still there. */
	uint32_t libxl_seen;

	struct body body; /* of the record at work */
};

/*
 * Walk over all of it. image is to be zeroed, or image_init()ed, and is filled with what the headers
 * say. checkpointed: CHECKPOINT is expected; else the first one tells. Returns 0 when there is no
 * more to be had: at the end, or where the framing is lost, or where an op ended it; -1 with
 * source->ctx's error set if the source cannot be read or memory is short (never for what is in
 * the file).
 */
int walk_run(struct walk *walk, struct source *source, struct image *image, bool checkpointed,
	     const struct walk_ops *ops, void *data) MUST_CHECK;

/* Idempotent. */
void walk_release(struct walk *walk);

/* ---- between the files of the walk -------------------------------------------------------------- */

/* Walk on in the domain stream, up to CHECKPOINT if it lies in a libxl stream, or END. As walk_run. */
int walk_domain(struct walk *walk) MUST_CHECK;

/* Walk over a libxl stream. As walk_run. */
int walk_libxl(struct walk *walk) MUST_CHECK;

/*
 * After a call that failed: tell ctx's error as a finding and forget it, if it is the file's fault
 * (then 0); else leave it (then -1).
 */
int walk_tell_error(struct walk *walk) MUST_CHECK;

/*
 * The source could not be read on. That the input ends is the file's fault and ends the walk; it is
 * only a warning after a complete checkpoint. As walk_tell_error.
 */
int walk_lost(struct walk *walk) MUST_CHECK;

/* A finding about the record at work (ctx_enter): "TITLE at offset N: text". */
void walk_find(struct walk *walk, enum walk_severity severity, const char *fmt, ...)
	PRINTF_LIKE(3, 4);

/*
 * The header of the next record, with ctx entered for it. Returns 1; 0 if the input ended (told as
 * a finding), -1 with the error set.
 */
int walk_record_header(struct walk *walk, struct wire_record_header *header) MUST_CHECK;

/*
 * `length` octets of body into walk->body, and the padding, which should be zero. Memory grows no
 * faster than octets arrive. Returns as walk_record_header.
 */
int walk_body(struct walk *walk, uint32_t length) MUST_CHECK;

/* Pass over a body and its padding. Returns as walk_record_header. */
int walk_skip(struct walk *walk, uint64_t length) MUST_CHECK;

/* Tell a record to ops. */
void walk_tell_record(struct walk *walk, const struct walk_record *record);

/* A field that is reserved: a warning if it is not zero. */
void walk_reserved(struct walk *walk, const char *what, const void *octets, size_t n);

#endif
