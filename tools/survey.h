/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What xensr info counts while it walks over a saved domain.
 */
#ifndef XENSR_TOOLS_SURVEY_H
#define XENSR_TOOLS_SURVEY_H

#include "page_sample.h"
#include "pfn_map.h"
#include "toolstack/libxl_record.h"
#include "walk.h"

struct survey_count {
	uint64_t records;
	uint64_t octets; /* of their bodies */
};

enum pfn_fact {
	PFN_POPULATED = 1u << 0, /* it has memory in the end */
	PFN_WITH_DATA = 1u << 1, /* its content came at least once */
};

struct survey {
	struct survey_count domain[REC_TYPES];
	struct survey_count libxl[LIBXL_RECORD_TYPES];
	struct survey_count others; /* of types that are not known */
	uint64_t types[16];         /* PAGE_DATA entries by enum page_type, as often as sent */
	uint64_t pages;             /* pages with data, as often as sent */
	uint64_t zero_pages;        /* of these, those that are all zero */
	struct pfn_map pfns;        /* what is known of each: enum pfn_fact */
	uint64_t populated_pages, distinct_pages;
	uint64_t highest_pfn;     /* of the populated ones */
	uint32_t vcpus;           /* of the last state */
	uint32_t vcpu_checkpoint; /* that vcpus was counted in */
	bool have_emulator;
	uint32_t emulator; /* of struct wire_emulator */

	uint64_t *hashes; /* of the contents that are not zero, one per page */
	size_t hash_count, hash_room;
	struct page_sample sample;
	bool no_memory;
};

/* An all-zero survey has counted nothing. */
void survey_release(struct survey *survey);

/* For walk_ops. Returns 0, or -1 with survey->no_memory set. */
int survey_record(struct survey *survey, const struct walk_record *record);
int survey_pages(struct survey *survey, uint32_t n, const uint8_t *octets);

/* Pages (not zero) whose content another page before had, too. Reorders the hashes. */
uint64_t survey_same_content(struct survey *survey);

#endif
