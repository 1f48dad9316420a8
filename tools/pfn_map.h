/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A number from 0 to 15 for each pfn. Memory follows the pfns that have had one other than 0, wherever
 * they lie, and blocks changed since: a file decides on its pfns, but not on more memory than some
 * times its own size, and that only if no two of them are neighbours.
 */
#ifndef XENSR_TOOLS_PFN_MAP_H
#define XENSR_TOOLS_PFN_MAP_H

#include <stdint.h>

#include "error.h"
#include "number_table.h"

/* Aligned ranges of so many pfns are changed at one stroke. */
#define PFN_MAP_LEAF  16u
#define PFN_MAP_BLOCK 256u

struct pfn_map {
	struct number_table leaves; /* 16 values, four bits each, the first pfn's in the lowest */
	struct number_table blocks; /* 1 more than the value that each pfn has; 0: ask the leaves */
};

/* An all-zero pfn_map has 0 for each pfn. Releases to that; idempotent. */
void pfn_map_release(struct pfn_map *map);

unsigned pfn_map_get(const struct pfn_map *map, uint64_t pfn);

/* The value (0 … 15) of a pfn from now on. Returns the one before, or -1 (out of memory). */
int pfn_map_set(struct pfn_map *map, uint64_t pfn, unsigned value) MUST_CHECK;

/*
 * In the values of `count` pfns from first on, clear some bits and then set some. count is 1, or
 * PFN_MAP_LEAF or PFN_MAP_BLOCK and first a multiple of it. *before, if not NULL, gets a bit for each
 * value that one of them had. Returns 0, or -1 (out of memory).
 */
int pfn_map_change(struct pfn_map *map, uint64_t first, unsigned count, unsigned clear,
		   unsigned set, uint32_t *before) MUST_CHECK;

/*
 * How many of the next entries of a PAGE_DATA record, of which there are some, pfn_map_change can take
 * at once: 1, PFN_MAP_LEAF or PFN_MAP_BLOCK, of one type and with their pfns in order. So it is with most.
 */
unsigned pfn_map_run(const uint64_t *entries, uint32_t count);

#endif
