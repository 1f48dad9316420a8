/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a PV guest does for its own suspend and resume: see sim_guest_pv_suspend. */
#include "guest_pv.h"

static const struct sim_field *rings(unsigned i)
{
	static struct sim_field fields[2];

	fields[0] = SIM_FIELD(start_info, store_mfn);
	fields[1] = SIM_FIELD(start_info, console.domU.mfn);
	return &fields[i];
}

static void translate(struct sim_domain *domain, bool to_pfn)
{
	uint64_t mfn = sim_pv_start_info_frame(domain);
	uint32_t width = domain->state->width;
	void *page;

	if (!domain->state->vcpus[0].initialised || !sim_type_mappable(domain, mfn, true))
		return;
	page = sim_frame_page(domain->host, mfn);
	for (unsigned i = 0; i < 2; i++) {
		uint64_t number = sim_field_get(width, page, *rings(i));

		if (!to_pfn)
			number = sim_p2m_frame(domain, number);
		else if (sim_frame_valid(domain->host, number))
			number = domain->host->m2p[number];
		sim_field_set(width, page, *rings(i), number);
	}
	sim_mark_dirty(domain, domain->host->m2p[mfn]);
}

void sim_guest_pv_suspend(struct sim_domain *domain)
{
	translate(domain, true);
}

void sim_guest_pv_resume(struct sim_domain *domain)
{
	translate(domain, false);
}
