/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cpu_policy.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <xen/domctl.h>
#include <xen/sysctl.h>

/* The most leaves and MSRs a policy can have on this host (XEN_SYSCTL_get_cpu_policy). */
static int policy_sizes(struct save_ctx *save, uint32_t *nr_leaves, uint32_t *nr_msrs)
{
	struct xen_sysctl sysctl = {
		.cmd = XEN_SYSCTL_get_cpu_policy,
		.interface_version = XEN_SYSCTL_INTERFACE_VERSION,
		.u.cpu_policy.index = XEN_SYSCTL_cpu_policy_host,
	};

	set_xen_guest_handle(sysctl.u.cpu_policy.leaves, HYPERCALL_BUFFER_NULL);
	set_xen_guest_handle(sysctl.u.cpu_policy.msrs, HYPERCALL_BUFFER_NULL);
	if (xc_sysctl(save->xch, &sysctl) < 0)
		return ctx_fail_errno(&save->ctx, errno, "cannot get the size of CPU policies");
	*nr_leaves = sysctl.u.cpu_policy.nr_leaves;
	*nr_msrs = sysctl.u.cpu_policy.nr_msrs;
	return 0;
}

/* An array as a record of its own; nothing in it, no record. */
static int write_array(struct save_ctx *save, uint32_t type, void *entries, size_t octets)
{
	struct iovec body = {.iov_base = entries, .iov_len = octets};

	return octets ? write_record(&save->ctx, type, &body, 1) : 0;
}

int cpu_policy_save(struct save_ctx *save)
{
	DECLARE_HYPERCALL_BUFFER(xen_cpuid_leaf_t, leaves);
	DECLARE_HYPERCALL_BUFFER(xen_msr_entry_t, msrs);
	struct xen_domctl domctl = {
		.cmd = XEN_DOMCTL_get_cpu_policy,
		.interface_version = XEN_DOMCTL_INTERFACE_VERSION,
		.domain = (domid_t)save->domid,
	};
	const struct xen_domctl_cpu_policy *got = &domctl.u.cpu_policy;
	uint32_t nr_leaves = 0, nr_msrs = 0;
	int rc = -1;

	if (policy_sizes(save, &nr_leaves, &nr_msrs))
		return -1;
	leaves = xc_hypercall_buffer_alloc(save->xch, leaves,
					   (nr_leaves ? nr_leaves : 1) * sizeof(*leaves));
	msrs = xc_hypercall_buffer_alloc(save->xch, msrs, (nr_msrs ? nr_msrs : 1) * sizeof(*msrs));
	if (!leaves || !msrs) {
		ctx_fail_errno(&save->ctx, ENOMEM, "no hypercall buffer for the CPU policy");
		goto out;
	}

	domctl.u.cpu_policy.nr_leaves = nr_leaves;
	domctl.u.cpu_policy.nr_msrs = nr_msrs;
	set_xen_guest_handle(domctl.u.cpu_policy.leaves, leaves);
	set_xen_guest_handle(domctl.u.cpu_policy.msrs, msrs);
	if (xc_domctl(save->xch, &domctl) < 0) {
		ctx_fail_errno(&save->ctx, errno, "cannot get the CPU policy of domain %u",
			       save->domid);
		goto out;
	}
	if (got->nr_leaves > nr_leaves || got->nr_msrs > nr_msrs) {
		ctx_fail(&save->ctx, EIO, "Xen returned more CPU policy than it had room for");
		goto out;
	}
	if (write_array(save, REC_X86_CPUID_POLICY, leaves, got->nr_leaves * sizeof(*leaves)) ||
	    write_array(save, REC_X86_MSR_POLICY, msrs, got->nr_msrs * sizeof(*msrs)))
		goto out;
	rc = 0;
out:
	xc_hypercall_buffer_free(save->xch, leaves);
	xc_hypercall_buffer_free(save->xch, msrs);
	return rc;
}

int cpu_policy_keep(struct restore_ctx *restore, struct cpu_policy *policy,
		    const struct record *rec)
{
	void *copy = malloc(rec->length);

	if (!copy)
		return ctx_fail_errno(&restore->ctx, ENOMEM, "no %u octets", rec->length);
	memcpy(copy, rec->body, rec->length);
	if (rec->type == REC_X86_CPUID_POLICY) {
		free(policy->leaves);
		policy->leaves = copy;
		policy->nr_leaves = rec->length / (uint32_t)sizeof(xen_cpuid_leaf_t);
	} else {
		free(policy->msrs);
		policy->msrs = copy;
		policy->nr_msrs = rec->length / (uint32_t)sizeof(xen_msr_entry_t);
	}
	return 0;
}

/* Say what Xen disliked; it names a leaf or an MSR in most cases, all ones in the others. */
static int fail_refused(struct restore_ctx *restore, int errnum,
			const struct xen_domctl_cpu_policy *policy)
{
	if (policy->err_leaf != UINT32_MAX)
		return ctx_fail_errno(&restore->ctx, errnum,
				      "Xen refused the CPU policy at CPUID leaf %#x, subleaf %#x",
				      policy->err_leaf, policy->err_subleaf);
	if (policy->err_msr != UINT32_MAX)
		return ctx_fail_errno(&restore->ctx, errnum,
				      "Xen refused the CPU policy at MSR %#x", policy->err_msr);
	return ctx_fail_errno(&restore->ctx, errnum, "Xen refused the CPU policy");
}

int cpu_policy_apply(struct restore_ctx *restore, const struct cpu_policy *policy,
		     unsigned *missing)
{
	DECLARE_HYPERCALL_BUFFER(xen_cpuid_leaf_t, leaves);
	DECLARE_HYPERCALL_BUFFER(xen_msr_entry_t, msrs);
	size_t leaves_octets = policy->nr_leaves * sizeof(*leaves);
	size_t msrs_octets = policy->nr_msrs * sizeof(*msrs);
	struct xen_domctl domctl = {
		.cmd = XEN_DOMCTL_set_cpu_policy,
		.interface_version = XEN_DOMCTL_INTERFACE_VERSION,
		.domain = (domid_t)restore->domid,
		.u.cpu_policy =
			{
				.nr_leaves = policy->nr_leaves,
				.nr_msrs = policy->nr_msrs,
				.err_leaf = UINT32_MAX,
				.err_subleaf = UINT32_MAX,
				.err_msr = UINT32_MAX,
			},
	};
	int rc = -1;

	*missing = (policy->nr_leaves ? 0 : XENSR_MISSING_CPUID) |
		   (policy->nr_msrs ? 0 : XENSR_MISSING_MSR);
	if (!policy->nr_leaves && !policy->nr_msrs)
		return 0;

	leaves = xc_hypercall_buffer_alloc(restore->xch, leaves, leaves_octets + 1);
	msrs = xc_hypercall_buffer_alloc(restore->xch, msrs, msrs_octets + 1);
	if (!leaves || !msrs) {
		ctx_fail_errno(&restore->ctx, ENOMEM, "no hypercall buffer for the CPU policy");
		goto out;
	}
	if (leaves_octets)
		memcpy(leaves, policy->leaves, leaves_octets);
	if (msrs_octets)
		memcpy(msrs, policy->msrs, msrs_octets);
	set_xen_guest_handle(domctl.u.cpu_policy.leaves, leaves);
	set_xen_guest_handle(domctl.u.cpu_policy.msrs, msrs);
	if (xc_domctl(restore->xch, &domctl) < 0) {
		fail_refused(restore, errno, &domctl.u.cpu_policy);
		goto out;
	}
	rc = 0;
out:
	xc_hypercall_buffer_free(restore->xch, leaves);
	xc_hypercall_buffer_free(restore->xch, msrs);
	return rc;
}

void cpu_policy_release(struct cpu_policy *policy)
{
	free(policy->leaves);
	free(policy->msrs);
	*policy = (struct cpu_policy){0};
}
