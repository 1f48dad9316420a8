/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A running guest that gives pages back to Xen and gets others. */
#include "guest_pv.h"

#include <errno.h>

int sim_balloon_out(struct sim_domain *domain, uint64_t gfn)
{
	uint64_t entry = sim_p2m_get(domain, gfn);

	if (sim_p2m_frame(domain, gfn) == SIM_NO_FRAME)
		return -ENOENT;
	if (entry & SIM_P2M_SPECIAL)
		return -EBUSY;
	return domain->state->type == SIM_PV ? sim_guest_pv_balloon_out(domain, gfn)
					     : sim_p2m_remove(domain, gfn);
}

int sim_balloon_in(struct sim_domain *domain, uint64_t gfn)
{
	if (sim_p2m_get(domain, gfn))
		return -EEXIST;
	return domain->state->type == SIM_PV ? sim_guest_pv_balloon_in(domain, gfn)
					     : sim_p2m_populate(domain, gfn, 0);
}
