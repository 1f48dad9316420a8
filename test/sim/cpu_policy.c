/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * CPU policies: XEN_DOMCTL_get/set_cpu_policy and XEN_SYSCTL_get_cpu_policy. The default policy
 * has the leaves, in the order, that real Xen 4.17 gave a PVH guest on an emulated EPYC.
 */
#include "hypercall.h"

#include <errno.h>
#include <string.h>

/* What Xen's policies have room for; more than what a domain uses. */
#define MOST_LEAVES 93u
#define MOST_MSRS   2u

#define WHOLE XEN_CPUID_NO_SUBLEAF

static const xen_cpuid_leaf_t named_leaves[] = {
	{0x0, WHOLE, 0xd, 0x68747541, 0x444d4163, 0x69746e65},
	{0x1, WHOLE, 0x800f12, 0x40800, 0xc6f82203, 0x178bfbfd},
	{0x4, 0, 0, 0, 0, 0},
	{0x7, 0, 0, 0x880109, 0, 0},
	{0xb, 0, 0, 0, 0, 0},
	{0xd, 0, 0x3, 0, 0x240, 0},
	{0xd, 1, 0x5, 0, 0, 0},
	{0x80000000, WHOLE, 0x8000001e, 0x68747541, 0x444d4163, 0x69746e65},
	{0x80000001, WHOLE, 0x800f12, 0, 0x71, 0x2dd3fbfd},
	{0x80000002, WHOLE, 0x206d6973, 0x75706320, 0, 0},
	{0x80000005, WHOLE, 0x1ff01ff, 0x1ff01ff, 0x20080140, 0x40040140},
	{0x80000006, WHOLE, 0, 0x42004200, 0x2006140, 0x408140},
	{0x80000008, WHOLE, 0x3028, 0x2100000, 0x2003, 0},
};
#define NR_NAMED (sizeof(named_leaves) / sizeof(named_leaves[0]))

static const xen_msr_entry_t default_msrs[] = {{0xce, 0, 0x80000000}, {0x10a, 0, 0}};

static const struct {
	uint32_t first, last;
} ranges[] = {
	{0x0, 0xd},
	{0x40000000, 0x40000000},
	{0x40000100, 0x40000100},
	{0x80000000, 0x8000001e},
};
#define NR_RANGES (sizeof(ranges) / sizeof(ranges[0]))

/* Add a leaf: all its named subleaves, or zeroes. */
static void add_leaf(struct sim_domain_state *state, uint32_t leaf)
{
	uint32_t before = state->nr_leaves;

	for (size_t i = 0; i < NR_NAMED; i++) {
		if (named_leaves[i].leaf == leaf)
			state->leaves[state->nr_leaves++] = named_leaves[i];
	}
	if (state->nr_leaves == before)
		state->leaves[state->nr_leaves++] =
			(xen_cpuid_leaf_t){.leaf = leaf, .subleaf = WHOLE};
}

void sim_policy_default(struct sim_domain_state *state)
{
	state->nr_leaves = 0;
	for (size_t i = 0; i < NR_RANGES; i++) {
		for (uint32_t leaf = ranges[i].first; leaf <= ranges[i].last; leaf++)
			add_leaf(state, leaf);
	}
	state->nr_msrs = sizeof(default_msrs) / sizeof(default_msrs[0]);
	memcpy(state->msrs, default_msrs, sizeof(default_msrs));
}

long sim_policy_get(struct sim_host *host, struct sim_domain *domain,
		    struct xen_domctl_cpu_policy *policy)
{
	const struct sim_domain_state *state = domain->state;
	xen_cpuid_leaf_t *leaves;
	xen_msr_entry_t *msrs;

	if (policy->nr_leaves < state->nr_leaves || policy->nr_msrs < state->nr_msrs)
		return -ENOBUFS;
	leaves = sim_handle(host, SIM_HANDLE_ADDRESS(policy->leaves),
			    policy->nr_leaves * sizeof(*leaves));
	msrs = sim_handle(host, SIM_HANDLE_ADDRESS(policy->msrs), policy->nr_msrs * sizeof(*msrs));
	if (!leaves || !msrs)
		return -EFAULT;
	memcpy(leaves, state->leaves, state->nr_leaves * sizeof(*leaves));
	memcpy(msrs, state->msrs, state->nr_msrs * sizeof(*msrs));
	policy->nr_leaves = state->nr_leaves;
	policy->nr_msrs = state->nr_msrs;
	return 0;
}

static bool leaf_known(uint32_t leaf)
{
	for (size_t i = 0; i < NR_RANGES; i++) {
		if (leaf >= ranges[i].first && leaf <= ranges[i].last)
			return true;
	}
	return false;
}

static bool msr_known(uint32_t index)
{
	return index == default_msrs[0].idx || index == default_msrs[1].idx;
}

static long check_policy(struct xen_domctl_cpu_policy *policy, const xen_cpuid_leaf_t *leaves,
			 const xen_msr_entry_t *msrs)
{
	policy->err_leaf = policy->err_subleaf = policy->err_msr = UINT32_MAX;
	for (uint32_t i = 0; i < policy->nr_leaves; i++) {
		if (leaf_known(leaves[i].leaf))
			continue;
		policy->err_leaf = leaves[i].leaf;
		policy->err_subleaf = leaves[i].subleaf;
		return -ERANGE;
	}
	for (uint32_t i = 0; i < policy->nr_msrs; i++) {
		if (msr_known(msrs[i].idx) && msrs[i].flags == 0)
			continue;
		policy->err_msr = msrs[i].idx;
		return msrs[i].flags ? -EINVAL : -ERANGE;
	}
	return 0;
}

/* The leaves and MSRs named replace those of the domain; the others stay. */
long sim_policy_set(struct sim_host *host, struct sim_domain *domain,
		    struct xen_domctl_cpu_policy *policy)
{
	struct sim_domain_state *state = domain->state;
	const xen_cpuid_leaf_t *leaves = NULL;
	const xen_msr_entry_t *msrs = NULL;
	long rc;

	if (policy->nr_leaves > SIM_MAX_LEAVES || policy->nr_msrs > SIM_MAX_MSRS)
		return -E2BIG;
	if (policy->nr_leaves)
		leaves = sim_handle(host, SIM_HANDLE_ADDRESS(policy->leaves),
				    policy->nr_leaves * sizeof(*leaves));
	if (policy->nr_msrs)
		msrs = sim_handle(host, SIM_HANDLE_ADDRESS(policy->msrs),
				  policy->nr_msrs * sizeof(*msrs));
	if ((policy->nr_leaves && !leaves) || (policy->nr_msrs && !msrs))
		return -EFAULT;
	rc = check_policy(policy, leaves, msrs);
	if (rc)
		return rc;
	for (uint32_t i = 0; i < policy->nr_leaves; i++) {
		for (uint32_t k = 0; k < state->nr_leaves; k++) {
			if (state->leaves[k].leaf == leaves[i].leaf &&
			    state->leaves[k].subleaf == leaves[i].subleaf)
				state->leaves[k] = leaves[i];
		}
	}
	for (uint32_t i = 0; i < policy->nr_msrs; i++) {
		for (uint32_t k = 0; k < state->nr_msrs; k++) {
			if (state->msrs[k].idx == msrs[i].idx)
				state->msrs[k] = msrs[i];
		}
	}
	state->policy_set = true;
	return 0;
}

/* Only the sizes are asked for by a save or restore. */
long sim_policy_sizes(struct xen_sysctl_cpu_policy *policy)
{
	if (policy->_rsvd || policy->index > XEN_SYSCTL_cpu_policy_hvm_default)
		return -EINVAL;
	if (SIM_HANDLE_ADDRESS(policy->leaves) || SIM_HANDLE_ADDRESS(policy->msrs))
		return -ENOSYS;
	policy->nr_leaves = MOST_LEAVES;
	policy->nr_msrs = MOST_MSRS;
	return 0;
}
