/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How a PV guest balloons: it takes the page out of its own mappings and of its p2m before it
 * gives it back; a page that it gets goes into its p2m, and into the direct map where that reaches.
 */
#include "guest_pv.h"

#include <errno.h>

static uint64_t *table_at(const struct sim_domain *domain, uint64_t mfn)
{
	return (uint64_t *)(void *)sim_frame_page(domain->host, mfn);
}

/* The entries of one L1 that name the frame. Xen logs what it does to page tables for the guest. */
static void clear_entries(struct sim_domain *domain, uint64_t table, uint64_t mfn)
{
	uint64_t *entries = table_at(domain, table);

	for (unsigned slot = 0; slot < SIM_PTE_SLOTS; slot++) {
		uint64_t entry = entries[slot];

		if (!(entry & SIM_PTE_PRESENT) || sim_pte_frame(entry) != mfn)
			continue;
		entries[slot] = 0;
		if (entry & SIM_PTE_WRITABLE)
			sim_type_put(domain, mfn);
		sim_mark_dirty(domain, domain->host->m2p[table]);
	}
}

static void unmap(struct sim_domain *domain, uint64_t mfn)
{
	uint16_t domid = (uint16_t)domain->state->domid;

	for (uint64_t frame = sim_frames_next(domain->host, 0, domid); frame != SIM_NO_FRAME;
	     frame = sim_frames_next(domain->host, frame + 1, domid)) {
		if (domain->host->frames[frame].type == SIM_FRAME_L1)
			clear_entries(domain, frame, mfn);
	}
}

/* -ENOSPC when the p2m has no page of its own for that entry. */
static int set_p2m_entry(struct sim_domain *domain, const struct sim_pv_layout *layout,
			 uint64_t pfn, uint64_t value)
{
	uint64_t leaf = sim_pv_p2m_leaf(domain, pfn / layout->entries);
	uint64_t index;

	if (pfn >= sim_pv_p2m_entries(domain) || leaf == SIM_NO_FRAME ||
	    sim_pv_role(layout, domain->host->m2p[leaf], &index) != PV_P2M_LEAF)
		return -ENOSPC;
	sim_pv_set_word(layout->width, sim_frame_page(domain->host, leaf), pfn % layout->entries,
			value);
	sim_mark_dirty(domain, domain->host->m2p[leaf]);
	return 0;
}

int sim_guest_pv_balloon_out(struct sim_domain *domain, uint64_t pfn)
{
	struct sim_pv_layout layout;
	uint64_t mfn = sim_p2m_frame(domain, pfn), index;
	int rc = sim_pv_layout(&domain->state->guest, &layout);

	if (rc)
		return rc;
	if (sim_pv_role(&layout, pfn, &index) != PV_PLAIN)
		return -EBUSY;
	unmap(domain, mfn);
	if (domain->host->frames[mfn].type_uses)
		return -EBUSY;
	rc = set_p2m_entry(domain, &layout, pfn, UINT64_MAX);
	return rc ? rc : sim_p2m_remove(domain, pfn);
}

static int map_directly(struct sim_domain *domain, const struct sim_pv_layout *layout, uint64_t pfn,
			uint64_t mfn)
{
	uint64_t table = sim_pv_pfn(layout, PV_DIRECT_L1, pfn / SIM_PTE_SLOTS);
	uint64_t *entry;
	int rc;

	if (pfn >= layout->mapped || table == SIM_NO_FRAME)
		return 0;
	rc = sim_type_get(domain, mfn, SIM_FRAME_WRITABLE);
	if (rc)
		return rc;
	entry = table_at(domain, sim_p2m_frame(domain, table)) + pfn % SIM_PTE_SLOTS;
	*entry = sim_table_adjusted(domain, SIM_FRAME_L1,
				    mfn << SIM_PAGE_SHIFT | SIM_PTE_PRESENT | SIM_PTE_WRITABLE |
					    SIM_PTE_ACCESSED);
	sim_mark_dirty(domain, table);
	return 0;
}

int sim_guest_pv_balloon_in(struct sim_domain *domain, uint64_t pfn)
{
	struct sim_pv_layout layout;
	int rc = sim_pv_layout(&domain->state->guest, &layout);

	if (rc == 0)
		rc = set_p2m_entry(domain, &layout, pfn, UINT64_MAX);
	if (rc == 0)
		rc = sim_p2m_populate(domain, pfn, 0);
	if (rc == 0)
		rc = set_p2m_entry(domain, &layout, pfn, sim_p2m_frame(domain, pfn));
	return rc ? rc : map_directly(domain, &layout, pfn, sim_p2m_frame(domain, pfn));
}
