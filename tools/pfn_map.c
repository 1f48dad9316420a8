/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pfn_map.h"

#include <stdbool.h>
#include <stdlib.h>
#include <time.h>
#include <sys/random.h>

#define XXH_INLINE_ALL /* the header is all that is needed */
#include <xxhash.h>

#define LEAF_PFNS  16u
#define FIRST_ROOM 1024u

/* 16 aligned pfns, the first of which has its value in the lowest bits. */
struct pfn_map_leaf {
	uint64_t number; /* pfn / LEAF_PFNS + 1; 0: the place is free */
	uint64_t values;
};

void pfn_map_release(struct pfn_map *map)
{
	free(map->leaves);
	*map = (struct pfn_map){0};
}

/* Where the leaf is, or the free place where it belongs. There is always a free one. */
static struct pfn_map_leaf *place_of(const struct pfn_map *map, uint64_t number)
{
	size_t i = XXH3_64bits_withSeed(&number, sizeof(number), map->seed) & (map->room - 1);

	while (map->leaves[i].number && map->leaves[i].number != number)
		i = (i + 1) & (map->room - 1);
	return &map->leaves[i];
}

uint64_t pfn_map_seed(void)
{
	uint64_t seed;

	if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) == sizeof(seed))
		return seed;
	return (uint64_t)time(NULL) ^ (uint64_t)(uintptr_t)&seed;
}

/* One leaf more must leave a quarter of the places free. */
static int make_room(struct pfn_map *map)
{
	struct pfn_map more = *map;

	if (map->used < map->room / 4 * 3)
		return 0;
	if (map->room == 0)
		more.seed = pfn_map_seed();
	more.last_number = 0;
	more.room = map->room ? 2 * map->room : FIRST_ROOM;
	more.leaves = calloc(more.room, sizeof(*more.leaves));
	if (!more.leaves)
		return -1;
	for (size_t i = 0; i < map->room; i++) {
		if (map->leaves[i].number)
			*place_of(&more, map->leaves[i].number) = map->leaves[i];
	}
	free(map->leaves);
	*map = more;
	return 0;
}

static unsigned shift_of(uint64_t pfn)
{
	return (unsigned)(pfn % LEAF_PFNS) * 4;
}

unsigned pfn_map_get(const struct pfn_map *map, uint64_t pfn)
{
	if (map->room == 0)
		return 0;
	return place_of(map, pfn / LEAF_PFNS + 1)->values >> shift_of(pfn) & 15;
}

/* The same as place_of. A place that was free stays so until another leaf is asked for. */
static struct pfn_map_leaf *place_again(struct pfn_map *map, uint64_t number)
{
	if (map->last_number != number) {
		map->last = (size_t)(place_of(map, number) - map->leaves);
		map->last_number = number;
	}
	return &map->leaves[map->last];
}

int pfn_map_set(struct pfn_map *map, uint64_t pfn, unsigned value)
{
	uint64_t number = pfn / LEAF_PFNS + 1;
	struct pfn_map_leaf *leaf;
	unsigned before;

	if (map->room == 0 && value == 0)
		return 0;
	if (map->room == 0 && make_room(map))
		return -1;
	leaf = place_again(map, number);
	before = leaf->values >> shift_of(pfn) & 15;
	if (before == value)
		return (int)before;
	if (leaf->number == 0) {
		if (make_room(map))
			return -1;
		leaf = place_again(map, number);
		leaf->number = number;
		map->used++;
	}
	leaf->values ^= (uint64_t)(before ^ value) << shift_of(pfn);
	return (int)before;
}
