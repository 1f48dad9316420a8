/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guest_pv.h"

#include <errno.h>
#include <string.h>

#define LARGE_ORDER 9u

/* As a toolstack does it: large extents where they fit, unless frames are to be scattered. */
static int populate(struct sim_domain *domain, uint64_t pages)
{
	uint64_t pfn = 0;

	while (pfn < pages) {
		unsigned order = domain->host->state->scatter || pages - pfn < 1u << LARGE_ORDER
					 ? 0
					 : LARGE_ORDER;
		int rc = sim_p2m_populate(domain, pfn, order);

		if (rc)
			return rc;
		pfn += 1ull << order;
	}
	return 0;
}

static void balloon_out(struct sim_domain *domain, const struct sim_pv_layout *layout)
{
	for (uint64_t pfn = 0; pfn < layout->guest->pages; pfn++) {
		if (sim_pv_ballooned(layout, pfn))
			sim_p2m_remove(domain, pfn);
	}
}

static void fill(const struct sim_domain *domain, const struct sim_pv_layout *layout)
{
	for (uint64_t pfn = 0; pfn < layout->guest->pages; pfn++) {
		uint64_t mfn = sim_p2m_frame(domain, pfn);

		if (mfn != SIM_NO_FRAME)
			sim_pv_page(domain, layout, pfn, sim_frame_page(domain->host, mfn));
	}
	sim_pv_shared_info(domain, layout,
			   sim_frame_page(domain->host, domain->state->shared_info_frame));
}

static int pin(const struct sim_domain *domain, const struct sim_pv_layout *layout)
{
	int rc = 0;

	for (uint64_t pfn = 0; pfn < layout->guest->pages && rc == 0; pfn++) {
		uint64_t index;

		if (sim_pv_pinned(layout, pfn))
			rc = sim_type_pin(
				domain, sim_p2m_frame(domain, pfn),
				sim_pv_role_type(layout, sim_pv_role(layout, pfn, &index)));
	}
	return rc;
}

static int start_vcpus(struct sim_domain *domain, const struct sim_pv_layout *layout)
{
	struct sim_domain_state *state = domain->state;
	struct sim_pv_vcpu vcpu;
	int rc = 0;

	for (unsigned i = 0; i < sim_pv_online_vcpus(layout->guest) && rc == 0; i++) {
		sim_pv_vcpu(domain, layout, i, &vcpu);
		rc = sim_pv_vcpu_load(domain, i, &vcpu.context);
		state->vcpus[i].ext = vcpu.ext;
		state->vcpus[i].xsave_octets = vcpu.xsave_octets;
		memcpy(state->vcpus[i].xsave, vcpu.xsave, vcpu.xsave_octets);
		state->vcpus[i].nr_msrs = vcpu.nr_msrs;
		memcpy(state->vcpus[i].msrs, vcpu.msrs, sizeof(vcpu.msrs));
	}
	return rc;
}

static int set_up(struct sim_domain *domain, const struct sim_guest *guest)
{
	struct sim_domain_state *state = domain->state;
	struct sim_pv_layout layout;
	int rc;

	state->guest = *guest;
	state->width = guest->kind == SIM_GUEST_PV32 ? 4 : 8;
	state->tsc.elapsed_nsec = 0x123456789abull + guest->seed;
	state->tsc.incarnation = 3;
	rc = sim_pv_layout(&state->guest, &layout);
	if (rc == 0)
		rc = populate(domain, guest->pages);
	if (rc)
		return rc;
	balloon_out(domain, &layout);
	fill(domain, &layout);
	rc = start_vcpus(domain, &layout);
	return rc ? rc : pin(domain, &layout);
}

int sim_guest_pv_build(struct sim_host *host, const struct sim_guest *guest)
{
	struct sim_domain_options options = {
		.type = SIM_PV,
		.max_pages = guest->pages + 1024,
		.vcpus = guest->vcpus,
	};
	int domid = sim_domain_create(host, &options);
	struct sim_domain *domain = domid < 0 ? NULL : sim_domain_get(host, (uint32_t)domid);
	int rc;

	if (!domain)
		return domid < 0 ? domid : -ESRCH;
	sim_lock(host);
	rc = set_up(domain, guest);
	if (rc == 0)
		domain->state->paused = false;
	sim_unlock(host);
	return rc ? rc : domid;
}
