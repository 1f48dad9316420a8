/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* __HYPERVISOR_memory_op (xen/memory.h). */
#include "hypercall.h"
#include "pv.h"

#include <errno.h>

#include <xen/memory.h>

/* What the guest says itself: Xen knows nothing better. */
static long pv_maximum_pfn(const struct sim_domain *domain)
{
	uint64_t count = sim_shared_info_get(domain, SIM_FIELD(shared_info, arch.max_pfn));

	return count ? (long)count - 1 : 0;
}

static long maximum_gpfn(struct sim_host *host, uint64_t arg)
{
	const domid_t *domid = sim_handle(host, arg, sizeof(*domid));
	struct sim_domain *domain;

	if (!domid)
		return -EFAULT;
	domain = sim_domain_get(host, *domid);
	if (!domain)
		return -ESRCH;
	return domain->state->type == SIM_HVM ? (long)domain->state->max_gfn
					      : pv_maximum_pfn(domain);
}

/* The domain and the list of a reservation. 0 or -errno. */
static long reservation(struct sim_host *host, uint64_t arg,
			const struct xen_memory_reservation **op, struct sim_domain **domain,
			xen_pfn_t **list)
{
	*op = sim_handle(host, arg, sizeof(**op));
	if (!*op)
		return -EFAULT;
	*domain = sim_domain_get(host, (*op)->domid);
	if (!*domain)
		return -ESRCH;
	*list = sim_handle(host, SIM_HANDLE_ADDRESS((*op)->extent_start),
			   (*op)->nr_extents * sizeof(**list));
	return *list ? 0 : -EFAULT;
}

/*
 * Returns the number of extents done; the rest met an obstacle. A PV domain is told where its
 * frames are.
 */
static long populate_physmap(struct sim_host *host, uint64_t arg)
{
	const struct xen_memory_reservation *op;
	struct sim_domain *domain;
	xen_pfn_t *gfns;
	uint64_t done;
	long rc = reservation(host, arg, &op, &domain, &gfns);

	if (rc)
		return rc;
	if (op->extent_order > SIM_MAX_ORDER)
		return -EPERM;
	for (done = 0; done < op->nr_extents; done++) {
		if (op->extent_order > host->state->refuse_order_above ||
		    sim_p2m_populate(domain, gfns[done], op->extent_order))
			break;
		if (domain->state->type == SIM_PV)
			gfns[done] = sim_p2m_frame(domain, gfns[done]);
	}
	return (long)done;
}

/* Give pages back: HVM by gfn, PV by frame, which nothing may use as a page table. */
static long decrease_reservation(struct sim_host *host, uint64_t arg)
{
	const struct xen_memory_reservation *op;
	struct sim_domain *domain;
	xen_pfn_t *list;
	uint64_t done;
	long rc = reservation(host, arg, &op, &domain, &list);

	if (rc)
		return rc;
	if (op->extent_order != 0)
		return -EPERM;
	for (done = 0; done < op->nr_extents; done++) {
		uint64_t gfn = list[done];

		if (domain->state->type == SIM_PV) {
			if (!sim_frame_owned(host, list[done], (uint16_t)domain->state->domid) ||
			    host->frames[list[done]].type_uses)
				break;
			gfn = host->m2p[list[done]];
		}
		if (sim_p2m_remove(domain, gfn))
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

/* The frames at which the pieces of 2 MiB of the M2P, or of the compat M2P, begin. */
static long machphys_list(struct sim_host *host, uint64_t arg, bool compat)
{
	struct xen_machphys_mfn_list *op = sim_handle(host, arg, sizeof(*op));
	uint64_t first = compat ? sim_m2p_compat_first_frame(host) : sim_m2p_first_frame(host);
	uint64_t octets = sim_m2p_octets(host->state->nr_frames) / (compat ? 2 : 1);
	uint64_t chunks = (octets + SIM_M2P_CHUNK_OCTETS - 1) / SIM_M2P_CHUNK_OCTETS;
	xen_pfn_t *list;

	if (!op)
		return -EFAULT;
	op->nr_extents = op->max_extents < chunks ? op->max_extents : (unsigned)chunks;
	list = sim_handle(host, SIM_HANDLE_ADDRESS(op->extent_start),
			  op->nr_extents * sizeof(*list));
	/* Stock has the compat list written onto its stack, which goes well while that is there. */
	if (!list && compat)
		list = (xen_pfn_t *)SIM_HANDLE_ADDRESS(op->extent_start);
	if (!list)
		return -EFAULT;
	for (unsigned i = 0; i < op->nr_extents; i++)
		list[i] = first + (uint64_t)i * (SIM_M2P_CHUNK_OCTETS / SIM_PAGE_OCTETS);
	return 0;
}

static long machphys_mapping(struct sim_host *host, uint64_t arg)
{
	struct xen_machphys_mapping *op = sim_handle(host, arg, sizeof(*op));

	if (!op)
		return -EFAULT;
	op->v_start = MACH2PHYS_VIRT_START;
	op->v_end = MACH2PHYS_VIRT_END;
	op->max_mfn = host->state->nr_frames - 1;
	return 0;
}

long sim_memory_op(struct sim_host *host, unsigned command, uint64_t arg)
{
	switch (command) {
	case XENMEM_maximum_gpfn:
		return maximum_gpfn(host, arg);
	case XENMEM_maximum_ram_page:
		return (long)host->state->nr_frames - 1;
	case XENMEM_machphys_mfn_list:
		return machphys_list(host, arg, false);
	case XENMEM_machphys_compat_mfn_list:
		return machphys_list(host, arg, true);
	case XENMEM_machphys_mapping:
		return machphys_mapping(host, arg);
	case XENMEM_populate_physmap:
		return populate_physmap(host, arg);
	case XENMEM_decrease_reservation:
		return decrease_reservation(host, arg);
	case XENMEM_add_to_physmap:
		return add_to_physmap(host, arg);
	case XENMEM_remove_from_physmap:
		return remove_from_physmap(host, arg);
	default:
		return -ENOSYS;
	}
}
