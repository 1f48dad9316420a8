/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Is a PV guest still as it was built? */
#include "guest_pv.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

static int check_page(const struct sim_domain *domain, const struct sim_pv_layout *layout,
		      uint64_t pfn, struct sim_difference *difference)
{
	uint64_t mfn = sim_p2m_frame(domain, pfn);
	bool should = pfn < layout->guest->pages && !sim_pv_ballooned(layout, pfn);
	uint8_t expected[SIM_PAGE_OCTETS];

	if (should != (mfn != SIM_NO_FRAME))
		return sim_differs(difference, "pfn %#" PRIx64 " is %s", pfn,
				   should ? "missing" : "there and was not");
	if (!should)
		return 0;
	if (domain->host->frames[mfn].pinned != sim_pv_pinned(layout, pfn))
		return sim_differs(difference, "pfn %#" PRIx64 " is %spinned", pfn,
				   domain->host->frames[mfn].pinned ? "" : "not ");
	sim_pv_page(domain, layout, pfn, expected);
	return sim_compare_octets(difference, "pfn", pfn, sim_frame_page(domain->host, mfn),
				  expected, SIM_PAGE_OCTETS);
}

static int check_vcpu(const struct sim_domain *domain, const struct sim_pv_layout *layout,
		      unsigned vcpu, struct sim_difference *difference)
{
	const struct sim_pv_vcpu *is = &domain->state->vcpus[vcpu];
	struct sim_pv_vcpu expected;

	sim_pv_vcpu(domain, layout, vcpu, &expected);
	if (is->online != expected.online)
		return sim_differs(difference, "vcpu %u is %s", vcpu,
				   is->online ? "online" : "offline");
	if (sim_compare_octets(difference, "the context of vcpu", vcpu,
			       (const uint8_t *)&is->context, (const uint8_t *)&expected.context,
			       sim_pv_context_octets(domain)))
		return 1;
	return sim_compare_octets(difference, "the extended context of vcpu", vcpu,
				  (const uint8_t *)&is->ext, (const uint8_t *)&expected.ext,
				  sizeof(is->ext)) ||
	       sim_compare_octets(difference, "the xsave state of vcpu", vcpu, is->xsave,
				  expected.xsave, sizeof(is->xsave)) ||
	       sim_compare_octets(difference, "the MSRs of vcpu", vcpu, (const uint8_t *)is->msrs,
				  (const uint8_t *)expected.msrs, sizeof(is->msrs));
}

int sim_guest_pv_check(struct sim_domain *domain, struct sim_difference *difference)
{
	struct sim_domain_state *state = domain->state;
	struct sim_pv_layout layout;
	uint8_t expected[SIM_PAGE_OCTETS];
	int rc = sim_pv_layout(&state->guest, &layout);

	for (uint64_t pfn = 0; rc == 0 && pfn <= state->max_gfn; pfn++)
		rc = check_page(domain, &layout, pfn, difference);
	for (unsigned i = 0; rc == 0 && i < state->nr_vcpus; i++)
		rc = check_vcpu(domain, &layout, i, difference);
	if (rc)
		return rc;
	sim_pv_shared_info(domain, &layout, expected);
	return sim_compare_octets(difference, "the shared info, frame", state->shared_info_frame,
				  sim_frame_page(domain->host, state->shared_info_frame), expected,
				  SIM_PAGE_OCTETS);
}
