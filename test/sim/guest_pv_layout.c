/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which page of a PV guest is what. */
#include "guest_pv.h"

#include <errno.h>

#define PV32_DIRECT_L1S SIM_PV32_XEN_FIRST_SLOT

static uint64_t pieces(uint64_t count, uint64_t per_piece)
{
	return (count + per_piece - 1) / per_piece;
}

static uint64_t count_of(const struct sim_pv_layout *l, enum sim_pv_role role)
{
	const struct sim_guest *guest = l->guest;
	uint64_t leaves = pieces(guest->pages, l->entries);
	bool tree = guest->p2m == SIM_P2M_TREE, wide = l->width == 8;
	bool slack = leaves < l->leaves;

	switch (role) {
	case PV_START_INFO:
	case PV_STORE:
	case PV_CONSOLE:
	case PV_LIST_L2:
		return 1;
	case PV_GDT:
		return (uint64_t)guest->vcpus * PV_GDT_FRAMES;
	case PV_P2M_LEAF:
		return leaves;
	case PV_P2M_MISSING:
		return slack;
	case PV_P2M_MID_MISSING:
		return slack && tree;
	case PV_LIST_MISSING_L1:
		return slack && !tree;
	case PV_P2M_MID:
		return tree ? pieces(leaves, l->entries) : 0;
	case PV_P2M_TOP:
		return tree;
	case PV_DIRECT_L1:
		return pieces(l->mapped, SIM_PTE_SLOTS);
	case PV_DIRECT_L2:
		return wide ? pieces(l->mapped, SIM_PTE_SLOTS * SIM_PTE_SLOTS) : 0;
	case PV_LIST_L1:
		return pieces(leaves + PV_LIST_L1_SLOT, SIM_PTE_SLOTS);
	case PV_DIRECT_L3:
	case PV_LIST_L3:
		return wide;
	case PV_TOP:
	case PV_USER_L2:
	case PV_USER_L1:
		return l->spaces;
	case PV_TOP_L2:
		return wide ? 0 : l->spaces;
	case PV_USER_TOP:
	case PV_USER_L3:
		return wide ? l->spaces : 0;
	default:
		return 0;
	}
}

int sim_pv_layout(const struct sim_guest *guest, struct sim_pv_layout *layout)
{
	uint64_t next = PV_FIRST_SPECIAL;

	*layout = (struct sim_pv_layout){
		.guest = guest,
		.width = guest->kind == SIM_GUEST_PV32 ? 4 : 8,
		.spaces = guest->vcpus > 1 ? PV_MOST_SPACES : 1,
		/* The pages at the end are mapped nowhere. */
		.mapped = guest->pages - guest->pages / 8,
	};
	layout->entries = SIM_PAGE_OCTETS / layout->width;
	layout->leaves = pieces(guest->pages + guest->p2m_slack, layout->entries);
	if (layout->width == 4 && layout->mapped > PV32_DIRECT_L1S * SIM_PTE_SLOTS)
		layout->mapped = PV32_DIRECT_L1S * SIM_PTE_SLOTS;
	for (enum sim_pv_role role = PV_PLAIN + 1; role < PV_ROLES; role++) {
		layout->regions[role].first = next;
		layout->regions[role].count = count_of(layout, role);
		next += layout->regions[role].count;
	}
	return next + PV_FIRST_SPECIAL <= layout->mapped ? 0 : -EINVAL;
}

/* The p2m's leaves lie in memory from the last to the first: nothing says that they must not. */
static uint64_t position(const struct sim_pv_layout *layout, enum sim_pv_role role, uint64_t index)
{
	return role == PV_P2M_LEAF ? layout->regions[role].count - 1 - index : index;
}

enum sim_pv_role sim_pv_role(const struct sim_pv_layout *layout, uint64_t pfn, uint64_t *index)
{
	for (enum sim_pv_role role = PV_PLAIN + 1; role < PV_ROLES; role++) {
		uint64_t offset = pfn - layout->regions[role].first;

		if (pfn < layout->regions[role].first || offset >= layout->regions[role].count)
			continue;
		*index = position(layout, role, offset);
		return role;
	}
	*index = pfn;
	return PV_PLAIN;
}

uint64_t sim_pv_pfn(const struct sim_pv_layout *layout, enum sim_pv_role role, uint64_t index)
{
	if (index >= layout->regions[role].count)
		return SIM_NO_FRAME;
	return layout->regions[role].first + position(layout, role, index);
}

uint64_t sim_pv_p2m_leaf_pfn(const struct sim_pv_layout *layout, uint64_t leaf)
{
	if (leaf < layout->regions[PV_P2M_LEAF].count)
		return sim_pv_pfn(layout, PV_P2M_LEAF, leaf);
	return leaf < layout->leaves ? sim_pv_pfn(layout, PV_P2M_MISSING, 0) : SIM_NO_FRAME;
}

enum sim_frame_type sim_pv_role_type(const struct sim_pv_layout *layout, enum sim_pv_role role)
{
	switch (role) {
	case PV_GDT:
		return SIM_FRAME_SEG_DESC;
	case PV_DIRECT_L1:
	case PV_LIST_L1:
	case PV_LIST_MISSING_L1:
	case PV_USER_L1:
		return SIM_FRAME_L1;
	case PV_DIRECT_L2:
	case PV_LIST_L2:
	case PV_USER_L2:
		return SIM_FRAME_L2;
	case PV_TOP_L2:
		return SIM_FRAME_L2_XEN;
	case PV_DIRECT_L3:
	case PV_LIST_L3:
	case PV_USER_L3:
		return SIM_FRAME_L3;
	case PV_TOP:
	case PV_USER_TOP:
		return layout->width == 4 ? SIM_FRAME_L3 : SIM_FRAME_L4;
	default:
		return SIM_FRAME_NONE;
	}
}

bool sim_pv_ballooned(const struct sim_pv_layout *layout, uint64_t pfn)
{
	uint64_t index;

	return sim_guest_ballooned(layout->guest, pfn) &&
	       sim_pv_role(layout, pfn, &index) == PV_PLAIN;
}

/* All that the processor may start from, and of the others some. */
bool sim_pv_pinned(const struct sim_pv_layout *layout, uint64_t pfn)
{
	uint64_t index;
	enum sim_pv_role role = sim_pv_role(layout, pfn, &index);

	return role == PV_TOP || role == PV_USER_TOP || role == PV_USER_L1 || role == PV_LIST_L2 ||
	       role == PV_DIRECT_L3 || (role == PV_DIRECT_L1 && index % 2);
}

uint32_t sim_pv_online_vcpus(const struct sim_guest *guest)
{
	return guest->vcpus < 3 ? guest->vcpus : guest->vcpus - 1;
}
