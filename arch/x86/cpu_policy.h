/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * CPUID and MSR policy of a domain: records X86_CPUID_POLICY and X86_MSR_POLICY.
 */
#ifndef XENSR_X86_CPU_POLICY_H
#define XENSR_X86_CPU_POLICY_H

#include "restore.h"
#include "save.h"

/* What a stream brought; all-zero = nothing. Owned copies. */
struct cpu_policy {
	void *leaves; /* xen_cpuid_leaf_t[nr_leaves] */
	void *msrs;   /* xen_msr_entry_t[nr_msrs] */
	uint32_t nr_leaves, nr_msrs;
};

/* Write the domain's policy (XEN_DOMCTL_get_cpu_policy) as two records. */
int cpu_policy_save(struct save_ctx *save) MUST_CHECK;

/* Keep a copy of one of the two records. */
int cpu_policy_keep(struct restore_ctx *restore, struct cpu_policy *policy,
		    const struct record *rec) MUST_CHECK;

/*
 * Give the domain what was kept, in one XEN_DOMCTL_set_cpu_policy; nothing kept, nothing done.
 * *missing = XENSR_MISSING_* of what was not kept.
 */
int cpu_policy_apply(struct restore_ctx *restore, const struct cpu_policy *policy,
		     unsigned *missing) MUST_CHECK;

/* Back to all-zero; idempotent. */
void cpu_policy_release(struct cpu_policy *policy);

#endif
