/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Hypercalls of the simulated host: a file for each __HYPERVISOR_* number that has sub-commands.
 * Every function here runs with the host's lock held and returns what Xen returns: >= 0, or
 * -errno. Arguments that are handles come as the caller's addresses.
 */
#ifndef SIM_HYPERCALL_H
#define SIM_HYPERCALL_H

#include "domain.h"

#include <xen/sysctl.h>

/*
 * The caller's memory behind a handle; NULL, and a violation, unless all of it lies in one live
 * hypercall buffer: real hypercalls on other memory work only until it is paged out.
 */
void *sim_handle(struct sim_host *host, uint64_t address, size_t octets);

/* Live hypercall buffers of this process (call_buffers.c). */
bool sim_buffer_covers(uint64_t address, size_t octets);
size_t sim_buffers_live(void);

/* The address in a XEN_GUEST_HANDLE_64. */
#define SIM_HANDLE_ADDRESS(handle) ((uint64_t)(uintptr_t)(handle).p)

long sim_dispatch(struct sim_host *host, unsigned number, const uint64_t args[5]);

long sim_domctl(struct sim_host *host, uint64_t arg);
long sim_sysctl(struct sim_host *host, uint64_t arg);
long sim_memory_op(struct sim_host *host, unsigned command, uint64_t arg);
long sim_hvm_op(struct sim_host *host, unsigned command, uint64_t arg);
long sim_mmuext_op(struct sim_host *host, uint64_t ops, unsigned count, uint64_t done,
		   unsigned domid);
long sim_mmu_update(struct sim_host *host, uint64_t list, unsigned count, uint64_t done,
		    unsigned domid);
long sim_grant_table_op(struct sim_host *host, unsigned command, uint64_t arg, unsigned count);

/* What getdomaininfo says of a domain (domctl.c). */
void sim_domain_info(const struct sim_domain *domain, struct xen_domctl_getdomaininfo *info);

/* The domctls of PV domains alone (pv_vcpu_state.c); -ENOSYS for others. */
long sim_pv_domctl(struct sim_domain *domain, struct xen_domctl *domctl);

/* CPU policies (cpu_policy.c). */
void sim_policy_default(struct sim_domain_state *state);
long sim_policy_get(struct sim_host *host, struct sim_domain *domain,
		    struct xen_domctl_cpu_policy *policy);
long sim_policy_set(struct sim_host *host, struct sim_domain *domain,
		    struct xen_domctl_cpu_policy *policy);
long sim_policy_sizes(struct xen_sysctl_cpu_policy *policy);

/* An HVM context is a chain of descriptors from HEADER to END (hvm_context.c). */
bool sim_hvm_context_valid(const uint8_t *context, size_t octets);

/* ---- faults to order (fail.c) ---- */
enum sim_fault {
	SIM_FAULT_HYPERCALL,
	SIM_FAULT_MAP
};

/*
 * $XENSIM_FAIL is "hypercall:N" or "map:N", optionally ":errno": the Nth of this process fails.
 * Returns the errno to fail with, or 0.
 */
int sim_fault_due(struct sim_host *host, enum sim_fault kind);

/* ---- something to do at a moment of a save (hook.c) ---- */

/*
 * $XENSIM_HOOK is lines of "kind:N:shell command": run once, right after this process's Nth
 * hypercall of that kind (see hook.c), or "map", has succeeded. The lock is not held.
 */
const char *sim_hook_kind(unsigned number, const uint64_t args[5]);
void sim_hook_after(struct sim_host *host, const char *kind);

#endif
