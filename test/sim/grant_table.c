/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* __HYPERVISOR_grant_table_op (xen/grant_table.h): the older way to a domain's grant table. */
#include "hypercall.h"

#include <errno.h>

#include <xen/grant_table.h>

/* A PV guest gets frames, an HVM guest the gfns at which it has mapped them. */
static long setup_table(struct sim_host *host, struct gnttab_setup_table *op)
{
	struct sim_domain *domain = sim_domain_get(host, op->dom);
	xen_pfn_t *frames;

	if (!domain) {
		op->status = GNTST_bad_domain;
		return 0;
	}
	if (op->nr_frames > SIM_GRANT_FRAMES) {
		op->status = GNTST_general_error;
		return 0;
	}
	frames = sim_handle(host, SIM_HANDLE_ADDRESS(op->frame_list),
			    op->nr_frames * sizeof(*frames));
	if (!frames)
		return -EFAULT;
	for (uint32_t i = 0; i < op->nr_frames; i++)
		frames[i] = domain->state->type == SIM_HVM
				    ? host->m2p[domain->state->grant_frames[i]]
				    : domain->state->grant_frames[i];
	op->status = GNTST_okay;
	return 0;
}

long sim_grant_table_op(struct sim_host *host, unsigned command, uint64_t arg, unsigned count)
{
	struct gnttab_setup_table *op;

	if (command != GNTTABOP_setup_table || count != 1)
		return -ENOSYS;
	op = sim_handle(host, arg, sizeof(*op));
	return op ? setup_table(host, op) : -EFAULT;
}
