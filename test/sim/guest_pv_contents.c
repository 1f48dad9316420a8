/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is in the pages of a PV guest. */
#include "guest_pv.h"

#include <string.h>

/* A flat segment for every ring but Xen's. */
static uint64_t descriptor(const struct sim_pv_layout *l, uint64_t index, unsigned slot)
{
	uint64_t noise = sim_guest_mix(l->guest->seed + index * SIM_PTE_SLOTS + slot);

	return noise & 3 ? 0x00cff2000000ffffull | (noise & 4) << 39 : 0;
}

/* Where a page is; what is not there has all bits set, in the guest's own width. */
static uint64_t p2m_word(const struct sim_domain *domain, const struct sim_pv_layout *l,
			 enum sim_pv_role role, uint64_t nth)
{
	switch (role) {
	case PV_P2M_LEAF:
		return nth < l->guest->pages ? sim_p2m_frame(domain, nth) : UINT64_MAX;
	case PV_P2M_MISSING:
		return UINT64_MAX;
	case PV_P2M_MID:
		nth = sim_pv_p2m_leaf_pfn(l, nth);
		break;
	case PV_P2M_MID_MISSING:
		nth = sim_pv_pfn(l, PV_P2M_MISSING, 0);
		break;
	default:
		nth = nth < l->regions[PV_P2M_MID].count ? sim_pv_pfn(l, PV_P2M_MID, nth)
							 : sim_pv_pfn(l, PV_P2M_MID_MISSING, 0);
		break;
	}
	return nth == SIM_NO_FRAME ? UINT64_MAX : sim_p2m_frame(domain, nth);
}

static void p2m_page(const struct sim_domain *domain, const struct sim_pv_layout *l,
		     enum sim_pv_role role, uint64_t index, uint8_t page[SIM_PAGE_OCTETS])
{
	for (uint64_t i = 0; i < l->entries; i++)
		sim_pv_set_word(l->width, page, i,
				p2m_word(domain, l, role, index * l->entries + i));
}

void sim_pv_page(const struct sim_domain *domain, const struct sim_pv_layout *layout, uint64_t pfn,
		 uint8_t page[SIM_PAGE_OCTETS])
{
	uint64_t index;
	enum sim_pv_role role = sim_pv_role(layout, pfn, &index);

	switch (role) {
	case PV_PLAIN:
	case PV_STORE:
	case PV_CONSOLE:
		sim_guest_page(layout->guest, pfn, page);
		break;
	case PV_START_INFO:
		sim_pv_start_info(domain, layout, page);
		break;
	case PV_P2M_LEAF:
	case PV_P2M_MISSING:
	case PV_P2M_MID:
	case PV_P2M_MID_MISSING:
	case PV_P2M_TOP:
		p2m_page(domain, layout, role, index, page);
		break;
	default:
		for (unsigned slot = 0; slot < SIM_PTE_SLOTS; slot++)
			sim_pv_set_word(8, page, slot,
					role == PV_GDT
						? descriptor(layout, index, slot)
						: sim_pv_entry(domain, layout, role, index, slot));
		break;
	}
}
