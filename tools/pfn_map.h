/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A number from 0 to 15 for each pfn. Memory follows the pfns that have one other than 0, wherever
 * they lie: a file decides on its pfns, but not on more memory than a few times its own size.
 */
#ifndef XENSR_TOOLS_PFN_MAP_H
#define XENSR_TOOLS_PFN_MAP_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"

struct pfn_map_leaf;

struct pfn_map {
	struct pfn_map_leaf *leaves; /* a hash table, by pfn */
	size_t room, used;
	uint64_t last_number; /* the leaf that was asked for last, 0 if none */
	size_t last;          /* and its place, as neighbours are mostly asked for in a row */
	uint64_t seed;        /* so that no file can choose pfns that all meet at one place */
};

/* An all-zero pfn_map has 0 for each pfn. Releases to that; idempotent. */
void pfn_map_release(struct pfn_map *map);

unsigned pfn_map_get(const struct pfn_map *map, uint64_t pfn);

/* For a hash of pfns: a number that no file can know. */
uint64_t pfn_map_seed(void);

/* The value (0 … 15) of a pfn from now on. Returns the one before, or -1 (out of memory). */
int pfn_map_set(struct pfn_map *map, uint64_t pfn, unsigned value) MUST_CHECK;

#endif
