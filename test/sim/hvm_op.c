/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* __HYPERVISOR_hvm_op: HVM parameters (xen/hvm/params.h), with what Xen refuses to set. */
#include "hypercall.h"

#include <errno.h>

#include <xen/hvm/hvm_op.h>
#include <xen/hvm/params.h>

static long may_set(const struct sim_domain_state *state, uint32_t index, uint64_t value)
{
	switch (index) {
	case HVM_PARAM_VIRIDIAN:
	case HVM_PARAM_IOREQ_SERVER_PFN:
	case HVM_PARAM_NR_IOREQ_SERVER_PAGES:
	case HVM_PARAM_ALTP2M:
	case HVM_PARAM_MCA_CAP:
		return state->params[index] && state->params[index] != value ? -EEXIST : 0;
	case HVM_PARAM_X87_FIP_WIDTH:
		return value == 0 || value == 4 || value == 8 ? 0 : -EINVAL;
	case HVM_PARAM_VM86_TSS_SIZED:
		return value >> 32 && value >> 32 < 32 * 1024 ? 0 : -EINVAL;
	case HVM_PARAM_PAE_ENABLED:
	case HVM_PARAM_TRIPLE_FAULT_REASON:
		return -EINVAL;
	default:
		return 0;
	}
}

long sim_hvm_op(struct sim_host *host, unsigned command, uint64_t arg)
{
	struct xen_hvm_param *param;
	struct sim_domain *domain;
	long rc;

	if (command != HVMOP_get_param && command != HVMOP_set_param)
		return -ENOSYS;
	param = sim_handle(host, arg, sizeof(*param));
	if (!param)
		return -EFAULT;
	domain = sim_domain_get(host, param->domid);
	if (!domain)
		return -ESRCH;
	if (domain->state->type != SIM_HVM || param->index >= HVM_NR_PARAMS)
		return -EINVAL;
	if (command == HVMOP_get_param) {
		param->value = domain->state->params[param->index];
		return 0;
	}
	rc = may_set(domain->state, param->index, param->value);
	if (rc)
		return rc;
	domain->state->params[param->index] = param->value;
	domain->state->params_set |= 1ull << param->index;
	return 0;
}
