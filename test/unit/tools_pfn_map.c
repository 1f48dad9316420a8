/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The values that the xensr command keeps for pfns. */
#include <stdlib.h>

#include <check.h>

#include "pfn_map.h"
#include "unit_main.h"

START_TEST(empty)
{
	struct pfn_map map = {0};

	ck_assert_uint_eq(pfn_map_get(&map, 0), 0);
	ck_assert_uint_eq(pfn_map_get(&map, UINT64_MAX), 0);
	/* Nothing to keep, no memory. */
	ck_assert_int_eq(pfn_map_set(&map, 1ull << 39, 0), 0);
	ck_assert_int_eq(pfn_map_change(&map, 1ull << 39, PFN_MAP_LEAF, 15, 0, NULL), 0);
	ck_assert_int_eq(pfn_map_change(&map, 1ull << 39, PFN_MAP_BLOCK, 15, 0, NULL), 0);
	ck_assert_uint_eq(map.leaves.room + map.blocks.room, 0);
	pfn_map_release(&map);
	pfn_map_release(&map);
}
END_TEST

/* Against a plain array, in an order that makes it grow with neighbours at work. */
START_TEST(as_an_array)
{
	enum {
		PFNS = 1 << 17
	};
	struct pfn_map map = {0};
	uint8_t *plain = calloc(PFNS, 1);
	uint32_t random = 1;

	for (unsigned i = 0; i < 3 * PFNS; i++) {
		uint64_t pfn;

		random = random * 1664525 + 1013904223;
		pfn = i % 3 ? random >> 15 : i / 3;
		ck_assert_int_eq(pfn_map_set(&map, pfn, random >> 7 & 15), plain[pfn]);
		plain[pfn] = random >> 7 & 15;
	}
	for (uint64_t pfn = 0; pfn < PFNS; pfn++)
		ck_assert_uint_eq(pfn_map_get(&map, pfn), plain[pfn]);
	ck_assert_uint_eq(pfn_map_get(&map, PFNS), 0);
	pfn_map_release(&map);
	ck_assert_uint_eq(pfn_map_get(&map, 7), 0);
	free(plain);
}
END_TEST

/* The same with changes of any size, of which some leave bits alone. */
START_TEST(changed_at_one_stroke)
{
	static const unsigned counts[] = {1, PFN_MAP_LEAF, PFN_MAP_BLOCK};
	enum {
		PFNS = 1 << 14
	};
	struct pfn_map map = {0};
	uint8_t *plain = calloc(PFNS, 1);
	uint32_t random = 7;

	for (unsigned i = 0; i < 100000; i++) {
		unsigned count = counts[i % 3], clear, set;
		uint32_t before, had = 0;
		uint64_t first;

		random = random * 1664525 + 1013904223;
		first = (random >> 16) % PFNS / count * count;
		clear = i % 5 ? random >> 8 & 15 : 15;
		set = i % 7 ? random >> 12 & 15 : 0;
		ck_assert_int_eq(
			pfn_map_change(&map, first, count, clear, set, i % 11 ? &before : NULL), 0);
		for (uint64_t pfn = first; pfn < first + count; pfn++) {
			had |= 1u << plain[pfn];
			plain[pfn] = (uint8_t)((plain[pfn] & ~clear) | set);
			ck_assert_uint_eq(pfn_map_get(&map, pfn), plain[pfn]);
		}
		if (i % 11)
			ck_assert_uint_eq(before, had);
	}
	for (uint64_t pfn = 0; pfn < PFNS; pfn++)
		ck_assert_uint_eq(pfn_map_get(&map, pfn), plain[pfn]);
	pfn_map_release(&map);
	free(plain);
}
END_TEST

/* The memory of a guest in one piece is next to none, and a hole in it costs a block's leaves. */
START_TEST(in_one_piece)
{
	const uint64_t pfns = 1 << 20;
	struct pfn_map map = {0};

	for (uint64_t pfn = 0; pfn < pfns; pfn += PFN_MAP_BLOCK)
		ck_assert_int_eq(pfn_map_change(&map, pfn, PFN_MAP_BLOCK, 15, 1, NULL), 0);
	ck_assert_uint_eq(map.blocks.used, pfns / PFN_MAP_BLOCK);
	ck_assert_uint_eq(map.leaves.used, 0);
	ck_assert_int_eq(pfn_map_set(&map, 12345, 0), 1);
	ck_assert_uint_eq(map.leaves.used, PFN_MAP_BLOCK / PFN_MAP_LEAF);
	for (uint64_t pfn = 0; pfn < pfns; pfn++)
		ck_assert_uint_eq(pfn_map_get(&map, pfn), pfn != 12345);
	pfn_map_release(&map);
}
END_TEST

/* What is taken at once is of one type, in order, aligned and there. */
START_TEST(runs)
{
	uint64_t entries[PFN_MAP_BLOCK + PFN_MAP_LEAF];
	const uint64_t first = 3 * PFN_MAP_BLOCK | 5ull << 60;

	for (unsigned i = 0; i < PFN_MAP_BLOCK + PFN_MAP_LEAF; i++)
		entries[i] = first + i;
	ck_assert_uint_eq(pfn_map_run(entries, PFN_MAP_BLOCK), PFN_MAP_BLOCK);
	ck_assert_uint_eq(pfn_map_run(entries, PFN_MAP_BLOCK - 1), PFN_MAP_LEAF);
	ck_assert_uint_eq(pfn_map_run(entries, PFN_MAP_LEAF), PFN_MAP_LEAF);
	ck_assert_uint_eq(pfn_map_run(entries, PFN_MAP_LEAF - 1), 1);
	ck_assert_uint_eq(pfn_map_run(entries + PFN_MAP_LEAF, PFN_MAP_BLOCK), PFN_MAP_LEAF);
	ck_assert_uint_eq(pfn_map_run(entries + 1, PFN_MAP_BLOCK), 1);
	for (unsigned i = 0; i < PFN_MAP_BLOCK; i++) {
		static const uint64_t others[] = {1, 1ull << 60, 1ull << 52, 1ull << 40};

		for (unsigned k = 0; k < 4; k++) {
			entries[i] ^= others[k];
			ck_assert_uint_eq(pfn_map_run(entries, PFN_MAP_BLOCK),
					  i < PFN_MAP_LEAF ? 1 : PFN_MAP_LEAF);
			entries[i] ^= others[k];
		}
	}
}
END_TEST

/* Places follow the pfns with a value, not how far they lie apart; none is lost to its neighbours. */
START_TEST(far_apart)
{
	const unsigned n = 100000;

	for (unsigned shift = 0; shift <= 22; shift++) {
		struct pfn_map map = {0};

		for (uint64_t i = 0; i < n; i++)
			ck_assert_int_eq(pfn_map_set(&map, i << shift, 1 + i % 15), 0);
		ck_assert_uint_le(map.leaves.used, n);
		ck_assert_uint_le(map.leaves.room, 4 * n);
		ck_assert_uint_eq(map.blocks.room, 0);
		for (uint64_t i = 0; i < n; i++)
			ck_assert_uint_eq(pfn_map_get(&map, i << shift), 1 + i % 15);
		pfn_map_release(&map);
	}
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("pfn_map");

	tcase_add_test(tc, empty);
	tcase_add_test(tc, as_an_array);
	tcase_add_test(tc, changed_at_one_stroke);
	tcase_add_test(tc, in_one_piece);
	tcase_add_test(tc, runs);
	tcase_add_test(tc, far_apart);
	return unit_main(suite_create("tools_pfn_map"), tc);
}
