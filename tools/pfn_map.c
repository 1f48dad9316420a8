/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pfn_map.h"

#include <stdbool.h>
#include <stddef.h>

#include "pages.h"

/* A digit for each pfn of a leaf. */
#define EACH_PFN 0x1111111111111111u

void pfn_map_release(struct pfn_map *map)
{
	number_table_release(&map->leaves);
	number_table_release(&map->blocks);
}

static unsigned shift_of(uint64_t pfn)
{
	return (unsigned)(pfn % PFN_MAP_LEAF) * 4;
}

unsigned pfn_map_get(const struct pfn_map *map, uint64_t pfn)
{
	const uint64_t *found = number_table_find(&map->blocks, pfn / PFN_MAP_BLOCK);

	if (found && *found)
		return (unsigned)*found - 1;
	found = number_table_find(&map->leaves, pfn / PFN_MAP_LEAF);
	return found ? *found >> shift_of(pfn) & 15 : 0;
}

/* A bit for each value in a leaf. */
static uint32_t values_in(uint64_t leaf)
{
	uint32_t values = 0;

	if (leaf == (leaf & 15) * EACH_PFN)
		return 1u << (leaf & 15);
	for (unsigned shift = 0; shift < 64; shift += 4)
		values |= 1u << (leaf >> shift & 15);
	return values;
}

/* What all of its pfns have in common, or NULL. */
static uint64_t *turn_to_block(struct pfn_map *map, uint64_t pfn)
{
	uint64_t *block = number_table_turn_to(&map->blocks, pfn / PFN_MAP_BLOCK);

	return block && *block ? block : NULL;
}

/* mask: the bits of the pfns in question. */
static int change_leaf(struct pfn_map *map, uint64_t number, uint64_t mask, unsigned clear,
		       unsigned set, uint64_t *was)
{
	uint64_t *leaf = number_table_turn_to(&map->leaves, number);
	uint64_t now;

	*was = leaf ? *leaf : 0;
	now = (*was & ~(mask & clear * EACH_PFN)) | (mask & set * EACH_PFN);
	if (now == *was)
		return 0;
	leaf = leaf ? leaf : number_table_put(&map->leaves, number);
	if (!leaf)
		return -1;
	*leaf = now;
	return 0;
}

/* From now on its pfns have values of their own. */
static int split_block(struct pfn_map *map, uint64_t pfn, uint64_t *block)
{
	uint64_t first = pfn / PFN_MAP_BLOCK * (PFN_MAP_BLOCK / PFN_MAP_LEAF);

	for (unsigned i = 0; i < PFN_MAP_BLOCK / PFN_MAP_LEAF; i++) {
		uint64_t *leaf = number_table_put(&map->leaves, first + i);

		if (!leaf)
			return -1;
		*leaf = (*block - 1) * EACH_PFN;
	}
	*block = 0;
	return 0;
}

/* One pfn, or a leaf. */
static int change_few(struct pfn_map *map, uint64_t first, unsigned count, unsigned clear,
		      unsigned set, uint32_t *before)
{
	uint64_t mask = count == 1 ? 15ull << shift_of(first) : UINT64_MAX;
	uint64_t *block = turn_to_block(map, first);
	uint64_t was;

	if (block) {
		unsigned value = (unsigned)*block - 1;

		*before |= 1u << value;
		if (((value & ~clear) | set) == value)
			return 0;
		if (split_block(map, first, block))
			return -1;
	}
	if (change_leaf(map, first / PFN_MAP_LEAF, mask, clear, set, &was))
		return -1;
	*before |= count == 1 ? 1u << (was >> shift_of(first) & 15) : values_in(was);
	return 0;
}

/* Has any pfn of the block a place among the leaves? */
static bool has_leaf(const struct pfn_map *map, uint64_t first)
{
	for (uint64_t pfn = first; map->leaves.used && pfn < first + PFN_MAP_BLOCK;
	     pfn += PFN_MAP_LEAF) {
		if (number_table_find(&map->leaves, pfn / PFN_MAP_LEAF))
			return true;
	}
	return false;
}

/* Whatever its leaves had, all of the block's pfns have one value now. */
static int put_block(struct pfn_map *map, uint64_t first, unsigned value)
{
	uint64_t *block = number_table_put(&map->blocks, first / PFN_MAP_BLOCK);

	if (!block)
		return -1;
	*block = value + 1;
	return 0;
}

int pfn_map_change(struct pfn_map *map, uint64_t first, unsigned count, unsigned clear,
		   unsigned set, uint32_t *before)
{
	uint32_t unasked = 0;
	uint32_t *was = before ? before : &unasked;
	uint64_t *block;

	*was = 0;
	if (count < PFN_MAP_BLOCK)
		return change_few(map, first, count, clear, set, was);
	block = turn_to_block(map, first);
	if (block) {
		unsigned value = (unsigned)*block - 1;

		*was = 1u << value;
		*block = ((value & ~clear) | set) + 1;
		return 0;
	}
	if (clear == 15 && !before && (set || map->leaves.used))
		return put_block(map, first, set);
	if (!has_leaf(map, first)) {
		*was = 1u << 0;
		return set ? put_block(map, first, set) : 0;
	}
	for (uint64_t pfn = first; pfn < first + count; pfn += PFN_MAP_LEAF) {
		if (change_few(map, pfn, PFN_MAP_LEAF, clear, set, was))
			return -1;
	}
	return 0;
}

int pfn_map_set(struct pfn_map *map, uint64_t pfn, unsigned value)
{
	uint32_t before;

	return pfn_map_change(map, pfn, 1, 15, value, &before) ? -1 : __builtin_ctz(before);
}

/* Its length is a constant wherever it is called, so that it costs next to nothing for each entry. */
static inline bool is_run(const uint64_t *entries, unsigned length)
{
	uint64_t differ = page_entry_pfn(entries[0]) % length;

	if (entries[length - 1] - entries[0] != length - 1)
		return false;
	for (unsigned i = 0; i < length; i++)
		differ |= entries[i] ^ (entries[0] + i);
	return differ == 0;
}

unsigned pfn_map_run(const uint64_t *entries, uint32_t count)
{
	if (count < PFN_MAP_LEAF || !is_run(entries, PFN_MAP_LEAF))
		return 1;
	if (count < PFN_MAP_BLOCK || !is_run(entries, PFN_MAP_BLOCK))
		return PFN_MAP_LEAF;
	return PFN_MAP_BLOCK;
}
