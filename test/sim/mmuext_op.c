/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* __HYPERVISOR_mmuext_op (xen/xen.h). */
#include "hypercall.h"

#include <errno.h>
#include <string.h>

static long clear_page(struct sim_domain *domain, uint64_t gfn)
{
	uint64_t mfn = sim_p2m_frame(domain, gfn);

	if (mfn == SIM_NO_FRAME)
		return -EINVAL;
	memset(sim_frame_page(domain->host, mfn), 0, SIM_PAGE_OCTETS);
	sim_mark_dirty(domain, gfn);
	return 0;
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
		long rc = op[i].cmd == MMUEXT_CLEAR_PAGE ? clear_page(domain, op[i].arg1.mfn)
							 : -ENOSYS;
		if (rc)
			return rc;
	}
	return 0;
}
