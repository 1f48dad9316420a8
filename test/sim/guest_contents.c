/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where a guest has memory, and what is in it. */
#include "guest.h"

#include <string.h>

/* splitmix64: every input gives another, well-mixed output. */
uint64_t sim_guest_mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15ull;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

static bool is_special(uint64_t gfn)
{
	return (gfn >= GUEST_SPECIAL_FIRST && gfn < GUEST_SPECIAL_END) ||
	       (gfn >= GUEST_ACPI_GFN && gfn < GUEST_ACPI_GFN + GUEST_ACPI_PAGES);
}

bool sim_guest_has_gfn(const struct sim_guest *guest, uint64_t gfn)
{
	if (is_special(gfn) || (guest->sparse_top && gfn == guest->sparse_top))
		return true;
	if (guest->kind == SIM_GUEST_HVM && gfn >= GUEST_VGA_FIRST && gfn < GUEST_VGA_END)
		return false;
	if (gfn < GUEST_MMIO_FIRST)
		return gfn < guest->pages;
	return gfn >= GUEST_HIGH_FIRST && gfn - GUEST_HIGH_FIRST + GUEST_MMIO_FIRST < guest->pages;
}

bool sim_guest_ballooned(const struct sim_guest *guest, uint64_t gfn)
{
	return guest->ballooned_permil && !is_special(gfn) && gfn >= 0x100 &&
	       sim_guest_mix(guest->seed ^ sim_guest_mix(gfn)) % 1000 < guest->ballooned_permil;
}

void sim_guest_page(const struct sim_guest *guest, uint64_t gfn, uint8_t page[SIM_PAGE_OCTETS])
{
	uint64_t base = sim_guest_mix(guest->seed + gfn * 0x10001);
	uint64_t words[SIM_PAGE_OCTETS / sizeof(uint64_t)];

	if (base % 1000 < guest->plain_permil) {
		/* Zero pages, and pages that are the same as many others. */
		memset(page, (int)(base >> 32 & 1 ? 0 : base >> 40 & 7), SIM_PAGE_OCTETS);
		return;
	}
	for (size_t i = 0; i < SIM_PAGE_OCTETS / sizeof(uint64_t); i++) {
		base ^= base << 13;
		base ^= base >> 7;
		base ^= base << 17;
		words[i] = base;
	}
	words[0] = gfn;
	words[1] = guest->seed;
	memcpy(page, words, SIM_PAGE_OCTETS);
}

void sim_guest_noise(uint64_t seed, void *octets, size_t count)
{
	uint8_t *out = octets;

	for (size_t i = 0; i < count; i++)
		out[i] = (uint8_t)(sim_guest_mix(seed + i / 8) >> i % 8 * 8);
}
