/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* __HYPERVISOR_memory_op (xen/memory.h). */
#include "hypercall.h"

#include <errno.h>

#include <xen/memory.h>

static long maximum_gpfn(struct sim_host *host, uint64_t arg)
{
	const domid_t *domid = sim_handle(host, arg, sizeof(*domid));
	struct sim_domain *domain;

	if (!domid)
		return -EFAULT;
	domain = sim_domain_get(host, *domid);
	return domain ? (long)domain->state->max_gfn : -ESRCH;
}

/* Returns the number of extents done; the rest met an obstacle. */
static long populate_physmap(struct sim_host *host, uint64_t arg)
{
	const struct xen_memory_reservation *op = sim_handle(host, arg, sizeof(*op));
	struct sim_domain *domain;
	const xen_pfn_t *gfns;
	uint64_t done;

	if (!op)
		return -EFAULT;
	domain = sim_domain_get(host, op->domid);
	if (!domain)
		return -ESRCH;
	if (op->extent_order > SIM_MAX_ORDER)
		return -EPERM;
	gfns = sim_handle(host, SIM_HANDLE_ADDRESS(op->extent_start),
			  op->nr_extents * sizeof(*gfns));
	if (!gfns)
		return -EFAULT;
	for (done = 0; done < op->nr_extents; done++) {
		if (op->extent_order > host->state->refuse_order_above ||
		    sim_p2m_populate(domain, gfns[done], op->extent_order))
			break;
	}
	return (long)done;
}

static long add_to_physmap(struct sim_host *host, uint64_t arg)
{
	const struct xen_add_to_physmap *op = sim_handle(host, arg, sizeof(*op));
	struct sim_domain *domain;
	uint64_t mfn;

	if (!op)
		return -EFAULT;
	domain = sim_domain_get(host, op->domid);
	if (!domain)
		return -ESRCH;
	if (op->space != XENMAPSPACE_grant_table || op->idx >= SIM_GRANT_FRAMES)
		return -EINVAL;
	mfn = domain->state->grant_frames[op->idx];
	host->m2p[mfn] = op->gpfn;
	return sim_p2m_set(domain, op->gpfn, SIM_P2M_VALID | SIM_P2M_SPECIAL | mfn);
}

static long remove_from_physmap(struct sim_host *host, uint64_t arg)
{
	const struct xen_remove_from_physmap *op = sim_handle(host, arg, sizeof(*op));
	struct sim_domain *domain;

	if (!op)
		return -EFAULT;
	domain = sim_domain_get(host, op->domid);
	if (!domain)
		return -ESRCH;
	if (!(sim_p2m_get(domain, op->gpfn) & SIM_P2M_SPECIAL))
		return -ENOENT;
	host->m2p[sim_p2m_frame(domain, op->gpfn)] = SIM_NO_M2P;
	return sim_p2m_set(domain, op->gpfn, 0);
}

long sim_memory_op(struct sim_host *host, unsigned command, uint64_t arg)
{
	switch (command) {
	case XENMEM_maximum_gpfn:
		return maximum_gpfn(host, arg);
	case XENMEM_populate_physmap:
		return populate_physmap(host, arg);
	case XENMEM_add_to_physmap:
		return add_to_physmap(host, arg);
	case XENMEM_remove_from_physmap:
		return remove_from_physmap(host, arg);
	default:
		return -ENOSYS;
	}
}
