/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where a section's data ends, when nothing describes it. The octets are searched once, from their end
 * to their start, for places where an element may stand from which the stream goes on to its end:
 *
 *      EOF                   that the octets end with, or a VMDESCRIPTION that they end with
 *      SECTION_START, FULL   printable idstr, then a footer of its id (or, without footers, nothing
 *                            but data), then such an element
 *      SECTION_PART, END     the same; its id is that of some SECTION_START
 *      COMMAND               known, with its length, then such an element
 *
 * The time and memory that takes grow with the octets, whatever they are. The end of a section is
 * the first place that is such an end; if there are more, the number of them is said.
 */
#ifndef XENSR_LIB_DEVICE_SAVEVM_SEARCH_H
#define XENSR_LIB_DEVICE_SAVEVM_SEARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "context.h"

enum savevm_search_kind {
	SEARCH_FOOTERS,    /* each section is closed by a footer */
	SEARCH_NO_FOOTERS, /* sections end where the next element is */
};

struct savevm_search {
	const uint8_t *data;
	size_t start, end;
	enum savevm_search_kind kind;
	bool packaged;               /* an embedded stream needs no EOF */
	bool cut;                    /* the end of the octets is taken for the end of any element */
	struct search_place *places; /* ends of data that lead to the end, descending */
	size_t place_count, place_room;
	struct search_id *ids;
	bool leads; /* there is a way from start to the end */
};

#define SEARCH_NO_END SIZE_MAX

/*
 * Search data[start … end). With `cut` a stream may end anywhere, so that what came before damage can
 * be told apart. Returns 0, or -1 with the context's error (ENOMEM).
 */
MUST_CHECK int savevm_search(struct savevm_search *search, const uint8_t *data, size_t start,
			     size_t end, enum savevm_search_kind kind, bool packaged, bool cut,
			     struct xensr_ctx *ctx);

/* Idempotent. */
void savevm_search_release(struct savevm_search *search);

/*
 * The end of the data of section `id` that starts at data_start: offset of its footer or of the next
 * element; SEARCH_NO_END if there is none. *candidates is how many there are. data_start must not be
 * less than in any earlier call: what lies before it is forgotten.
 */
size_t savevm_search_end(struct savevm_search *search, size_t data_start, uint32_t id,
			 size_t *candidates);

/* Whether `at` is such an end; if so, what lies before it is forgotten. */
bool savevm_search_confirms(struct savevm_search *search, size_t at, uint32_t id);

#endif
