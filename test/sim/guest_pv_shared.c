/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The pages that a PV guest shares with Xen and the toolstack. */
#include "guest_pv.h"

#include <string.h>

#define P2M_VADDR_64                                               \
	(0xffff000000000000ull | (uint64_t)PV_LIST_L4_SLOT << 39 | \
	 (uint64_t)PV_LIST_L1_SLOT << SIM_PAGE_SHIFT)
#define P2M_VADDR_32 ((uint64_t)PV_LIST_L3_SLOT << 30 | (uint64_t)PV_LIST_L1_SLOT << SIM_PAGE_SHIFT)
#define STORE_PORT   1u
#define CONSOLE_PORT 2u

static uint64_t frame_of(const struct sim_domain *domain, const struct sim_pv_layout *layout,
			 enum sim_pv_role role)
{
	return sim_p2m_frame(domain, sim_pv_pfn(layout, role, 0));
}

void sim_pv_start_info(const struct sim_domain *domain, const struct sim_pv_layout *layout,
		       uint8_t page[SIM_PAGE_OCTETS])
{
	static const char magic[] = "xen-3.0-x86";
	uint32_t w = layout->width;

	sim_guest_page(layout->guest, sim_pv_pfn(layout, PV_START_INFO, 0), page);
	memcpy(page, magic, sizeof(magic));
	sim_field_set(w, page, SIM_FIELD(start_info, nr_pages), layout->guest->pages);
	sim_field_set(w, page, SIM_FIELD(start_info, shared_info),
		      domain->state->shared_info_frame << SIM_PAGE_SHIFT);
	sim_field_set(w, page, SIM_FIELD(start_info, flags), SIF_VIRT_P2M_4TOOLS);
	sim_field_set(w, page, SIM_FIELD(start_info, store_mfn),
		      frame_of(domain, layout, PV_STORE));
	sim_field_set(w, page, SIM_FIELD(start_info, store_evtchn), STORE_PORT);
	sim_field_set(w, page, SIM_FIELD(start_info, console.domU.mfn),
		      frame_of(domain, layout, PV_CONSOLE));
	sim_field_set(w, page, SIM_FIELD(start_info, console.domU.evtchn), CONSOLE_PORT);
}

/* Where the p2m is: by the list that is mapped at an address, or by the tree. */
static void set_p2m(const struct sim_domain *domain, const struct sim_pv_layout *layout,
		    uint8_t page[SIM_PAGE_OCTETS])
{
	uint32_t w = layout->width;
	bool tree = layout->guest->p2m == SIM_P2M_TREE;

	sim_field_set(w, page, SIM_FIELD(shared_info, arch.max_pfn),
		      layout->guest->pages + layout->guest->p2m_slack);
	sim_field_set(w, page, SIM_FIELD(shared_info, arch.pfn_to_mfn_frame_list_list),
		      tree ? frame_of(domain, layout, PV_P2M_TOP) : UINT64_MAX);
	sim_field_set(w, page, SIM_FIELD(shared_info, arch.p2m_cr3),
		      tree ? 0 : sim_pv_cr3(domain, frame_of(domain, layout, PV_TOP)));
	sim_field_set(w, page, SIM_FIELD(shared_info, arch.p2m_vaddr),
		      tree     ? 0
		      : w == 4 ? P2M_VADDR_32
			       : P2M_VADDR_64);
	sim_field_set(w, page, SIM_FIELD(shared_info, arch.p2m_generation), tree ? 0 : 6);
}

/* Noise for the state of events, vcpus and clocks, zeroes beyond the structure. */
void sim_pv_shared_info(const struct sim_domain *domain, const struct sim_pv_layout *layout,
			uint8_t page[SIM_PAGE_OCTETS])
{
	size_t octets = layout->width == 4 ? sizeof(shared_info_x86_32_t) : sizeof(shared_info_t);

	sim_guest_noise(layout->guest->seed + 5, page, octets);
	memset(page + octets, 0, SIM_PAGE_OCTETS - octets);
	set_p2m(domain, layout, page);
}
