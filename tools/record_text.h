/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a record says, for people and as JSON.
 */
#ifndef XENSR_TOOLS_RECORD_TEXT_H
#define XENSR_TOOLS_RECORD_TEXT_H

#include <jansson.h>

#include "walk.h"

/*
 * Takes one of the parts of a record, of which there may be one for every few octets: an object of
 * "name", "text", and where it has a place of its own "offset" and "length" (octets from the start
 * of the file). Not its to release. Returns 0, or -1 (out of memory).
 */
typedef int record_part_fn(void *data, const json_t *part);

struct record_text {
	char line[256];       /* its meaning in one line */
	json_t *facts;        /* the same as an object */
	record_part_fn *part; /* who takes what is inside it; NULL: nobody */
	void *data;           /* for part */
};

/* "PAGE_DATA", "EMULATOR_CONTEXT", "optional 0x80000001", …; buffer is for the unknown ones. */
#define RECORD_NAME 32
const char *record_name(enum image_layer layer, uint32_t type, char buffer[RECORD_NAME]);

/* "normal", "L1", "L4 pinned", "allocate-only", …; "unknown". */
const char *page_type_name(enum page_type type);

/* The same without a space: the keys of JSON. */
const char *page_type_key(enum page_type type);

/* Name of an HVM parameter as in xen/hvm/params.h without HVM_PARAM_, or NULL. */
const char *hvm_param_name(uint64_t index);

/*
 * Describe a record the walk told, its parts to `part` (may be NULL) as they come. Returns 0, or -1 (out of memory). To be released in either
 * case.
 */
int record_text_make(struct record_text *text, const struct walk_record *record,
		     record_part_fn *part, void *data) MUST_CHECK;

/* One more part; length UINT64_MAX: without a place of its own. Returns 0, or -1 (out of memory). */
int record_text_part(struct record_text *text, const char *name, const char *line, uint64_t offset,
		     uint64_t length) MUST_CHECK;

/* Idempotent. */
void record_text_release(struct record_text *text);

#endif
