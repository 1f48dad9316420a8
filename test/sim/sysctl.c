/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* __HYPERVISOR_sysctl (xen/sysctl.h). */
#include "hypercall.h"

#include <errno.h>

static long list_domains(struct sim_host *host, struct xen_sysctl_getdomaininfolist *op)
{
	struct xen_domctl_getdomaininfo *list;
	uint32_t domid = op->first_domain;

	list = sim_handle(host, SIM_HANDLE_ADDRESS(op->buffer), op->max_domains * sizeof(*list));
	if (!list)
		return -EFAULT;
	for (op->num_domains = 0; op->num_domains < op->max_domains; op->num_domains++) {
		const struct sim_domain *domain = sim_domain_next(host, domid);

		if (!domain)
			break;
		sim_domain_info(domain, &list[op->num_domains]);
		domid = domain->state->domid + 1;
	}
	return 0;
}

long sim_sysctl(struct sim_host *host, uint64_t arg)
{
	struct xen_sysctl *sysctl = sim_handle(host, arg, sizeof(*sysctl));

	if (!sysctl)
		return -EFAULT;
	if (sysctl->interface_version != host->state->sysctl_version)
		return -EACCES;
	switch (sysctl->cmd) {
	case XEN_SYSCTL_get_cpu_policy:
		return sim_policy_sizes(&sysctl->u.cpu_policy);
	case XEN_SYSCTL_getdomaininfolist:
		return list_domains(host, &sysctl->u.getdomaininfolist);
	default:
		return -ENOSYS;
	}
}
