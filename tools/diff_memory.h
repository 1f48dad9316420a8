/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How the memories of two saved domains differ, as runs of pfns.
 */
#ifndef XENSR_TOOLS_DIFF_MEMORY_H
#define XENSR_TOOLS_DIFF_MEMORY_H

#include "image.h"

enum memory_difference {
	ONLY_IN_A,
	ONLY_IN_B,
	TYPE_DIFFERS, /* content was not looked at */
	CONTENT_DIFFERS,
	MEMORY_DIFFERENCES
};

struct diff_run {
	uint64_t first, last; /* pfns, both included */
	enum memory_difference difference;
	enum page_type type_a, type_b; /* the same in all of the run; PAGE_INVALID: not there */
};

struct diff_memory {
	struct diff_run *run; /* ascending, as long as can be */
	size_t count, room;
	uint64_t pages[MEMORY_DIFFERENCES];
	uint64_t same;
};

/*
 * Compare the selected states. A pfn that a domain no longer had in the end (PAGE_INVALID) is not
 * there. Page tables of PV guests are compared as they are in a saved domain, with pfns. Contents
 * are read some at a time. quiet: no progress on stderr. Returns 0, or -1 with errno and *err.
 */
int diff_memory_compare(struct diff_memory *diff, const struct image *a, const struct image *b,
			bool quiet, struct image_error *err);

/* Idempotent. */
void diff_memory_release(struct diff_memory *diff);

#endif
