/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A PV guest's p2m, found as a toolstack finds it: by the shared info. */
#include "guest_pv.h"

#include <string.h>

uint64_t sim_pv_word(const struct sim_domain *domain, const void *words, uint64_t index)
{
	uint32_t width = domain->state->width;
	uint64_t word = 0;

	memcpy(&word, (const uint8_t *)words + index * width, width);
	return word;
}

void sim_pv_set_word(uint32_t width, void *words, uint64_t index, uint64_t value)
{
	memcpy((uint8_t *)words + index * width, &value, width);
}

uint64_t sim_pv_p2m_entries(const struct sim_domain *domain)
{
	return sim_shared_info_get(domain, SIM_FIELD(shared_info, arch.max_pfn));
}

/* Where an address is mapped to, by the guest's own tables. */
static uint64_t walk(const struct sim_domain *domain, uint64_t top, uint64_t address)
{
	unsigned level = domain->state->width == 4 ? 3 : 4;
	uint64_t mfn = top;

	for (; level; level--) {
		unsigned slot =
			(unsigned)(address >> (SIM_PAGE_SHIFT + 9 * (level - 1))) % SIM_PTE_SLOTS;
		uint64_t entry;

		if (!sim_type_mappable(domain, mfn, false))
			return SIM_NO_FRAME;
		entry = ((const uint64_t *)(const void *)sim_frame_page(domain->host, mfn))[slot];
		if (!(entry & SIM_PTE_PRESENT))
			return SIM_NO_FRAME;
		mfn = sim_pte_frame(entry);
	}
	return mfn;
}

/* The frame number at an index of a page of them. */
static uint64_t look_up(const struct sim_domain *domain, uint64_t mfn, uint64_t index)
{
	if (!sim_type_mappable(domain, mfn, false))
		return SIM_NO_FRAME;
	return sim_pv_word(domain, sim_frame_page(domain->host, mfn), index);
}

uint64_t sim_pv_p2m_leaf(const struct sim_domain *domain, uint64_t index)
{
	uint64_t entries = SIM_PAGE_OCTETS / domain->state->width;
	uint64_t cr3 = sim_shared_info_get(domain, SIM_FIELD(shared_info, arch.p2m_cr3));
	uint64_t address = sim_shared_info_get(domain, SIM_FIELD(shared_info, arch.p2m_vaddr));
	uint64_t top = sim_shared_info_get(domain,
					   SIM_FIELD(shared_info, arch.pfn_to_mfn_frame_list_list));

	if (cr3)
		return walk(domain, sim_pv_cr3_frame(domain, cr3),
			    address + index * SIM_PAGE_OCTETS);
	return look_up(domain, look_up(domain, top, index / entries), index % entries);
}

uint64_t sim_pv_start_info_frame(const struct sim_domain *domain)
{
	return sim_field_get(domain->state->width, &domain->state->vcpus[0].context,
			     SIM_FIELD2(vcpu_guest_context, user_regs.rdx, user_regs.edx));
}
