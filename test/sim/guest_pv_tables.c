/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The page tables of a PV guest. */
#include "guest_pv.h"

#define TABLE_FLAGS (SIM_PTE_PRESENT | SIM_PTE_WRITABLE | SIM_PTE_USER | SIM_PTE_ACCESSED)

/* Flags of a leaf that make no difference to Xen: any may be set. */
#define FREE_FLAGS                                                                    \
	(SIM_PTE_USER | 0x18ull | SIM_PTE_ACCESSED | SIM_PTE_DIRTY | SIM_PTE_GLOBAL | \
	 SIM_PTE_SOFT | SIM_PTE_NX | SIM_PTE_PSE)

static uint64_t noise_of(const struct sim_pv_layout *l, uint64_t what)
{
	return sim_guest_mix(l->guest->seed ^ sim_guest_mix(what));
}

static uint64_t to_table(const struct sim_domain *domain, const struct sim_pv_layout *l,
			 enum sim_pv_role role, uint64_t index)
{
	uint64_t pfn = sim_pv_pfn(l, role, index);

	if (pfn == SIM_NO_FRAME)
		return 0;
	if (l->width == 4 && sim_pv_role_type(l, role) == SIM_FRAME_L3)
		return sim_p2m_frame(domain, pfn) << SIM_PAGE_SHIFT | SIM_PTE_PRESENT;
	return sim_p2m_frame(domain, pfn) << SIM_PAGE_SHIFT | TABLE_FLAGS;
}

/* Tables and descriptors can be mapped only for reading. What is not there leaves a swap entry. */
static uint64_t to_page(const struct sim_domain *domain, const struct sim_pv_layout *l,
			uint64_t pfn, uint64_t noise)
{
	uint64_t mfn = sim_p2m_frame(domain, pfn);
	uint64_t index, entry;

	if (mfn == SIM_NO_FRAME)
		return noise & ~SIM_PTE_PRESENT;
	entry = mfn << SIM_PAGE_SHIFT | SIM_PTE_PRESENT | (noise & FREE_FLAGS);
	if (noise >> 48 & 7 && sim_pv_role_type(l, sim_pv_role(l, pfn, &index)) == SIM_FRAME_NONE)
		entry |= SIM_PTE_WRITABLE;
	return entry;
}

static uint64_t direct_entry(const struct sim_domain *domain, const struct sim_pv_layout *l,
			     uint64_t pfn)
{
	return pfn < l->mapped ? to_page(domain, l, pfn, noise_of(l, pfn)) : 0;
}

/* Some pages here and there, a few of them twice. */
static uint64_t user_entry(const struct sim_domain *domain, const struct sim_pv_layout *l,
			   uint64_t space, unsigned slot)
{
	uint64_t noise = noise_of(l, (space << 32) + (1ull << 40) + slot);

	if (noise >> 56 & 1)
		return 0;
	return to_page(domain, l, noise % l->guest->pages, noise);
}

static uint64_t list_entry(const struct sim_domain *domain, const struct sim_pv_layout *l,
			   uint64_t position)
{
	uint64_t pfn = position < PV_LIST_L1_SLOT
			       ? SIM_NO_FRAME
			       : sim_pv_p2m_leaf_pfn(l, position - PV_LIST_L1_SLOT);

	return pfn == SIM_NO_FRAME ? 0 : to_page(domain, l, pfn, 7ull << 48 | SIM_PTE_NX);
}

/* Where the whole of an L1 is missing leaves, one L1 serves. */
static uint64_t list_l1_entry(const struct sim_domain *domain, const struct sim_pv_layout *l,
			      uint64_t nth)
{
	if (nth < l->regions[PV_LIST_L1].count)
		return to_table(domain, l, PV_LIST_L1, nth);
	return nth * SIM_PTE_SLOTS < l->leaves + PV_LIST_L1_SLOT
		       ? to_table(domain, l, PV_LIST_MISSING_L1, 0)
		       : 0;
}

static uint64_t top_entry(const struct sim_domain *domain, const struct sim_pv_layout *l,
			  uint64_t space, unsigned slot)
{
	bool wide = l->width == 8;

	if (slot == 0)
		return to_table(domain, l, wide ? PV_USER_L3 : PV_USER_L2, space);
	if (wide && slot == PV_DIRECT_L4_SLOT)
		return to_table(domain, l, PV_DIRECT_L3, 0);
	if (wide && slot == PV_LIST_L4_SLOT)
		return to_table(domain, l, PV_LIST_L3, 0);
	if (!wide && slot == PV_LIST_L3_SLOT)
		return to_table(domain, l, PV_LIST_L2, 0);
	if (!wide && slot == SIM_PV32_TOP_SLOTS - 1)
		return to_table(domain, l, PV_TOP_L2, space);
	return 0;
}

static uint64_t raw_entry(const struct sim_domain *domain, const struct sim_pv_layout *l,
			  enum sim_pv_role role, uint64_t index, unsigned slot)
{
	uint64_t nth = index * SIM_PTE_SLOTS + slot;

	switch (role) {
	case PV_DIRECT_L1:
		return direct_entry(domain, l, nth);
	case PV_DIRECT_L2:
	case PV_TOP_L2:
		return to_table(domain, l, PV_DIRECT_L1, role == PV_TOP_L2 ? slot : nth);
	case PV_DIRECT_L3:
		return to_table(domain, l, PV_DIRECT_L2, nth);
	case PV_LIST_L1:
		return list_entry(domain, l, nth);
	case PV_LIST_MISSING_L1:
		return list_entry(domain, l, l->leaves + PV_LIST_L1_SLOT - 1);
	case PV_LIST_L2:
		return list_l1_entry(domain, l, nth);
	case PV_LIST_L3:
		return slot == 0 ? to_table(domain, l, PV_LIST_L2, 0) : 0;
	case PV_TOP:
		return top_entry(domain, l, index, slot);
	case PV_USER_TOP:
		return slot == 0 ? to_table(domain, l, PV_USER_L3, index) : 0;
	case PV_USER_L3:
		return slot == 0 ? to_table(domain, l, PV_USER_L2, index) : 0;
	case PV_USER_L2:
		return slot == PV_USER_L2_SLOT ? to_table(domain, l, PV_USER_L1, index) : 0;
	default:
		return user_entry(domain, l, index, slot);
	}
}

uint64_t sim_pv_entry(const struct sim_domain *domain, const struct sim_pv_layout *layout,
		      enum sim_pv_role role, uint64_t index, unsigned slot)
{
	enum sim_frame_type type = sim_pv_role_type(layout, role);
	uint64_t mfn = sim_p2m_frame(domain, sim_pv_pfn(layout, role, index));

	if (sim_table_is_xen_slot(type, slot))
		return sim_table_xen_entry(domain->host, type, mfn, slot);
	return sim_table_adjusted(domain, type, raw_entry(domain, layout, role, index, slot));
}
