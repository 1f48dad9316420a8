/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What cat and hexdump have in common: the options that choose a state and pages of an image, and
 * opening it for them.
 */
#ifndef XENSR_TOOLS_PAGE_QUERY_H
#define XENSR_TOOLS_PAGE_QUERY_H

#include "image.h"
#include "pfn_ranges.h"

struct page_query {
	const char *name; /* of the command */
	struct pfn_range *ranges;
	int range_count;
	uint32_t checkpoint; /* 0: the last */
	struct image image;
	/* EXIT_DAMAGED if no state of the image is complete, or as damaged_behind, else EXIT_FINE. */
	int code;
};

/* Read the argument of --pfn. Returns 0 with ranges set; or an exit_code, having told why. */
int page_query_pfns(struct page_query *query, const char *text);

/*
 * Open the image and select the state. An image that is damaged further on is told, and good for
 * what came before. Returns 0, or an exit_code, having told why. To be released in either case.
 */
int page_query_open(struct page_query *query, const char *path);

/*
 * The exit_code of a command that opened it and then ended with this one: what is not there may be
 * what the damage took.
 */
int page_query_code(const struct page_query *query, int code);

/* Idempotent. */
void page_query_release(struct page_query *query);

#endif
