/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* __HYPERVISOR_mmuext_op (xen/xen.h). */
#include "hypercall.h"
#include "pv.h"

#include <errno.h>
#include <string.h>

/* A PV domain's page is named by its frame, an HVM domain's by its gfn. */
static long clear_page(struct sim_domain *domain, uint64_t frame)
{
	bool pv = domain->state->type == SIM_PV;
	uint64_t mfn = pv ? frame : sim_p2m_frame(domain, frame);

	if (pv && !sim_type_mappable(domain, mfn, true))
		return -EINVAL;
	if (mfn == SIM_NO_FRAME)
		return -EINVAL;
	memset(sim_frame_page(domain->host, mfn), 0, SIM_PAGE_OCTETS);
	sim_mark_dirty(domain, pv ? domain->host->m2p[mfn] : frame);
	return 0;
}

static long pin(const struct sim_domain *domain, unsigned command, uint64_t mfn)
{
	static const enum sim_frame_type types[] = {
		[MMUEXT_PIN_L1_TABLE] = SIM_FRAME_L1,
		[MMUEXT_PIN_L2_TABLE] = SIM_FRAME_L2,
		[MMUEXT_PIN_L3_TABLE] = SIM_FRAME_L3,
		[MMUEXT_PIN_L4_TABLE] = SIM_FRAME_L4,
	};

	return sim_type_pin(domain, mfn, types[command]);
}

static long one_op(struct sim_domain *domain, const struct mmuext_op *op)
{
	if (op->cmd == MMUEXT_CLEAR_PAGE)
		return clear_page(domain, op->arg1.mfn);
	if (domain->state->type != SIM_PV)
		return -ENOSYS;
	switch (op->cmd) {
	case MMUEXT_PIN_L1_TABLE:
	case MMUEXT_PIN_L2_TABLE:
	case MMUEXT_PIN_L3_TABLE:
	case MMUEXT_PIN_L4_TABLE:
		return pin(domain, op->cmd, op->arg1.mfn);
	case MMUEXT_UNPIN_TABLE:
		return sim_type_unpin(domain, op->arg1.mfn);
	default:
		return -ENOSYS;
	}
}

long sim_mmuext_op(struct sim_host *host, uint64_t ops, unsigned count, uint64_t done,
		   unsigned domid)
{
	struct sim_domain *domain = sim_domain_get(host, domid);
	const struct mmuext_op *op = sim_handle(host, ops, count * sizeof(*op));

	if (done)
		return -ENOSYS;
	if (!op)
		return -EFAULT;
	if (!domain)
		return -ESRCH;
	for (unsigned i = 0; i < count; i++) {
		long rc = one_op(domain, &op[i]);

		if (rc)
			return rc;
	}
	return 0;
}
