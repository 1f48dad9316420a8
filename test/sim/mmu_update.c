/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* __HYPERVISOR_mmu_update (xen/xen.h): only what a toolstack does to another domain, the M2P. */
#include "hypercall.h"
#include "pv.h"

#include <errno.h>

#define COMMAND_MASK 3u

/* The p2m that is kept of a PV domain follows the M2P. */
static long set_m2p(struct sim_domain *domain, uint64_t mfn, uint64_t pfn)
{
	struct sim_host *host = domain->host;

	if (!sim_frame_owned(host, mfn, (uint16_t)domain->state->domid))
		return sim_refuse("the M2P entry of frame %#llx, not domain %u's",
				  (unsigned long long)mfn, domain->state->domid);
	if (sim_p2m_frame(domain, host->m2p[mfn]) == mfn)
		sim_p2m_set(domain, host->m2p[mfn], 0);
	host->m2p[mfn] = pfn;
	sim_mark_dirty(domain, pfn);
	return sim_p2m_set(domain, pfn, SIM_P2M_VALID | mfn);
}

long sim_mmu_update(struct sim_host *host, uint64_t list, unsigned count, uint64_t done,
		    unsigned domid)
{
	const struct mmu_update *updates = sim_handle(host, list, count * sizeof(*updates));
	struct sim_domain *domain = sim_domain_get(host, domid & UINT16_MAX);

	if (done)
		return -ENOSYS;
	if (!updates)
		return -EFAULT;
	if (!domain)
		return -ESRCH;
	if (domain->state->type != SIM_PV)
		return -EINVAL;
	for (unsigned i = 0; i < count; i++) {
		long rc =
			(updates[i].ptr & COMMAND_MASK) == MMU_MACHPHYS_UPDATE
				? set_m2p(domain, updates[i].ptr >> SIM_PAGE_SHIFT, updates[i].val)
				: -ENOSYS;
		if (rc)
			return rc;
	}
	return 0;
}
