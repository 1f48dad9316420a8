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
	ck_assert_uint_eq(map.room, 0);
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

/* Places follow the pfns with a value, not how far they lie apart; none is lost to its neighbours. */
START_TEST(far_apart)
{
	const unsigned n = 100000;

	for (unsigned shift = 0; shift <= 22; shift++) {
		struct pfn_map map = {0};

		for (uint64_t i = 0; i < n; i++)
			ck_assert_int_eq(pfn_map_set(&map, i << shift, 1 + i % 15), 0);
		ck_assert_uint_le(map.used, n);
		ck_assert_uint_le(map.room, 4 * n);
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
	tcase_add_test(tc, far_apart);
	return unit_main(suite_create("tools_pfn_map"), tc);
}
