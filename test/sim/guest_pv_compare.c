/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Is a restored PV guest what the saved one was? Frames differ, so their numbers are compared as
 * the pfns that they stand for.
 */
#include "guest_pv.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <xen/grant_table.h>

/* The pfn that a frame of the domain is at, SIM_NO_FRAME for what is not its own. */
static uint64_t to_pfn(const struct sim_domain *domain, uint64_t mfn)
{
	return sim_type_mappable(domain, mfn, false) ? domain->host->m2p[mfn] : SIM_NO_FRAME;
}

static bool same_entry(const struct sim_domain *saved, uint64_t was,
		       const struct sim_domain *restored, uint64_t is)
{
	uint64_t pfn;

	if (!(was & SIM_PTE_PRESENT))
		return was == is;
	pfn = to_pfn(saved, sim_pte_frame(was));
	return (was & ~SIM_PTE_FRAME) == (is & ~SIM_PTE_FRAME) && pfn != SIM_NO_FRAME &&
	       pfn == to_pfn(restored, sim_pte_frame(is));
}

static int compare_table(const struct sim_domain *saved, uint64_t from,
			 const struct sim_domain *restored, uint64_t to, uint64_t pfn,
			 struct sim_difference *difference)
{
	const uint64_t *was = (const void *)sim_frame_page(saved->host, from);
	const uint64_t *is = (const void *)sim_frame_page(restored->host, to);
	enum sim_frame_type type = (enum sim_frame_type)restored->host->frames[to].type;

	for (unsigned slot = 0; slot < SIM_PTE_SLOTS; slot++) {
		bool same =
			sim_table_is_xen_slot(type, slot)
				? is[slot] == sim_table_xen_entry(restored->host, type, to, slot)
				: same_entry(saved, was[slot], restored, is[slot]);

		if (!same)
			return sim_differs(difference,
					   "entry %u of pfn %#" PRIx64 ", an L%u, is %#" PRIx64
					   ", was %#" PRIx64,
					   slot, pfn, sim_type_level(type), is[slot], was[slot]);
	}
	return 0;
}

/* A page of the p2m must say where the pages are now. Beyond its end nothing may change. */
static int compare_p2m(const struct sim_domain *saved, uint64_t from,
		       const struct sim_domain *restored, uint64_t to, uint64_t leaf,
		       struct sim_difference *difference)
{
	uint64_t entries = SIM_PAGE_OCTETS / saved->state->width;
	uint64_t end = sim_pv_p2m_entries(saved);
	uint64_t invalid = UINT64_MAX >> (64 - 8 * saved->state->width);

	for (uint64_t i = 0; i < entries; i++) {
		uint64_t pfn = leaf * entries + i;
		uint64_t mfn = sim_p2m_frame(restored, pfn);
		uint64_t is = sim_pv_word(restored, sim_frame_page(restored->host, to), i);
		uint64_t should_be = mfn == SIM_NO_FRAME ? invalid : mfn;

		if (pfn >= end)
			should_be = sim_pv_word(saved, sim_frame_page(saved->host, from), i);
		if (is != should_be)
			return sim_differs(difference,
					   "the p2m's entry of pfn %#" PRIx64 " is %#" PRIx64
					   ", not %#" PRIx64,
					   pfn, is, should_be);
	}
	return 0;
}

static int compare_type(const struct sim_domain *saved, uint64_t from,
			const struct sim_domain *restored, uint64_t to, uint64_t pfn,
			struct sim_difference *difference)
{
	const struct sim_frame *was = &saved->host->frames[from];
	const struct sim_frame *is = &restored->host->frames[to];

	if (was->type == is->type && was->pinned == is->pinned && was->type_uses == is->type_uses)
		return 0;
	return sim_differs(difference,
			   "pfn %#" PRIx64 " is of type %u with %u uses%s, was %u with %u uses%s",
			   pfn, is->type, is->type_uses, is->pinned ? ", pinned" : "", was->type,
			   was->type_uses, was->pinned ? ", pinned" : "");
}

/* What of a guest is found by its shared info and registers, by pfn. */
struct pages {
	uint64_t start_info;
	uint64_t end;     /* of the p2m */
	uint64_t *leaves; /* 1 + the number of a page of the p2m, 0 for others */
};

static int find_pages(const struct sim_domain *saved, struct pages *pages)
{
	uint64_t entries = SIM_PAGE_OCTETS / saved->state->width;

	pages->start_info = to_pfn(saved, sim_pv_start_info_frame(saved));
	pages->end = sim_pv_p2m_entries(saved);
	pages->leaves = calloc(pages->end + 1, sizeof(*pages->leaves));
	if (!pages->leaves)
		return -ENOMEM;
	for (uint64_t leaf = 0; leaf * entries < pages->end; leaf++) {
		uint64_t pfn = to_pfn(saved, sim_pv_p2m_leaf(saved, leaf));

		if (pfn >= pages->end) {
			free(pages->leaves);
			return -EINVAL;
		}
		pages->leaves[pfn] = leaf + 1;
	}
	return 0;
}

static int compare_page(const struct sim_domain *saved, const struct sim_domain *restored,
			const struct pages *pages, uint64_t pfn, struct sim_difference *difference)
{
	uint64_t from = sim_p2m_frame(saved, pfn), to = sim_p2m_frame(restored, pfn);

	if ((from == SIM_NO_FRAME) != (to == SIM_NO_FRAME))
		return sim_differs(difference, "pfn %#" PRIx64 " is %s", pfn,
				   to == SIM_NO_FRAME ? "missing" : "there and was not");
	if (from == SIM_NO_FRAME)
		return 0;
	if (restored->host->m2p[to] != pfn)
		return sim_differs(difference, "the M2P says pfn %#" PRIx64 " of pfn %#" PRIx64,
				   restored->host->m2p[to], pfn);
	if (compare_type(saved, from, restored, to, pfn, difference))
		return 1;
	if (sim_type_level((enum sim_frame_type)saved->host->frames[from].type))
		return compare_table(saved, from, restored, to, pfn, difference);
	if (pages->leaves[pfn])
		return compare_p2m(saved, from, restored, to, pages->leaves[pfn] - 1, difference);
	if (pfn == pages->start_info)
		return sim_pv_compare_start_info(saved, restored, difference);
	return sim_compare_octets(difference, "pfn", pfn, sim_frame_page(restored->host, to),
				  sim_frame_page(saved->host, from), SIM_PAGE_OCTETS);
}

static int compare_memory(const struct sim_domain *saved, const struct sim_domain *restored,
			  struct sim_difference *difference)
{
	struct pages pages;
	uint64_t next;
	int rc = find_pages(saved, &pages);

	if (rc)
		return sim_differs(difference, "the saved guest has no p2m that can be read");
	for (uint64_t pfn = 0; rc == 0 && pfn < pages.end; pfn++)
		rc = compare_page(saved, restored, &pages, pfn, difference);
	next = sim_p2m_next(restored, pages.end);
	if (rc == 0 && next != SIM_GFN_LIMIT)
		rc = sim_differs(difference, "pfn %#" PRIx64 " is there and was not", next);
	free(pages.leaves);
	return rc;
}

/* The rings' frames, as the restored start info has them. */
static int compare_grants(const struct sim_domain *restored, struct sim_difference *difference)
{
	uint64_t mfn = sim_pv_start_info_frame(restored);
	const void *page = sim_frame_page(restored->host, mfn);
	uint32_t width = restored->state->width;

	return sim_check_grant(restored, GNTTAB_RESERVED_CONSOLE,
			       sim_field_get(width, page, SIM_FIELD(start_info, console.domU.mfn)),
			       difference) ||
	       sim_check_grant(restored, GNTTAB_RESERVED_XENSTORE,
			       sim_field_get(width, page, SIM_FIELD(start_info, store_mfn)),
			       difference);
}

int sim_guest_pv_compare(struct sim_domain *saved, struct sim_domain *restored,
			 struct sim_difference *difference)
{
	if (saved->state->width != restored->state->width)
		return sim_differs(difference, "the domain has words of %u octets, had %u",
				   restored->state->width, saved->state->width);
	return compare_memory(saved, restored, difference) ||
	       sim_pv_compare_vcpus(saved, restored, difference) ||
	       sim_pv_compare_shared_info(saved, restored, difference) ||
	       compare_grants(restored, difference);
}
