/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libxencall's entry points, and which hypercall goes where. */
#include "hypercall.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <xencall.h>
#include <xendevicemodel.h>
#include <xen/version.h>

struct xencall_handle {
	struct sim_host *host;
};

void *sim_handle(struct sim_host *host, uint64_t address, size_t octets)
{
	if (sim_buffer_covers(address, octets))
		return (void *)(uintptr_t)address;
	sim_violation(host, "a handle to %zu octets at %#llx, which is no hypercall buffer", octets,
		      (unsigned long long)address);
	return NULL;
}

static long version_op(struct sim_host *host, unsigned command, uint64_t arg)
{
	switch (command) {
	case XENVER_version:
		return (long)(host->state->xen_major << 16 | host->state->xen_minor);
	case XENVER_pagesize:
		return SIM_PAGE_OCTETS;
	case XENVER_capabilities: {
		char *text = sim_handle(host, arg, sizeof(xen_capabilities_info_t));

		if (!text)
			return -EFAULT;
		snprintf(text, sizeof(xen_capabilities_info_t),
			 "xen-%u.%u-x86_64 xen-%u.%u-x86_32p hvm-3.0-x86_32 hvm-3.0-x86_32p "
			 "hvm-3.0-x86_64 ",
			 3u, 0u, 3u, 0u);
		return 0;
	}
	default:
		return -ENOSYS;
	}
}

static long multicall(struct sim_host *host, uint64_t list, uint64_t count)
{
	struct multicall_entry *entries;

	if (count > 1024)
		return -EINVAL;
	entries = sim_handle(host, list, count * sizeof(*entries));
	if (!entries)
		return -EFAULT;
	for (uint64_t i = 0; i < count; i++) {
		uint64_t args[5];

		for (unsigned k = 0; k < 5; k++)
			args[k] = entries[i].args[k];
		entries[i].result = (xen_ulong_t)sim_dispatch(host, (unsigned)entries[i].op, args);
	}
	return 0;
}

long sim_dispatch(struct sim_host *host, unsigned number, const uint64_t args[5])
{
	long rc = -ENOSYS;

	switch (number) {
	case __HYPERVISOR_xen_version:
		rc = version_op(host, (unsigned)args[0], args[1]);
		break;
	case __HYPERVISOR_multicall:
		return multicall(host, args[0], args[1]);
	case __HYPERVISOR_domctl:
		rc = sim_domctl(host, args[0]);
		break;
	case __HYPERVISOR_sysctl:
		rc = sim_sysctl(host, args[0]);
		break;
	case __HYPERVISOR_memory_op:
		rc = sim_memory_op(host, (unsigned)args[0], args[1]);
		break;
	case __HYPERVISOR_hvm_op:
		rc = sim_hvm_op(host, (unsigned)args[0], args[1]);
		break;
	case __HYPERVISOR_mmuext_op:
		rc = sim_mmuext_op(host, args[0], (unsigned)args[1], args[2], (unsigned)args[3]);
		break;
	case __HYPERVISOR_mmu_update:
		rc = sim_mmu_update(host, args[0], (unsigned)args[1], args[2], (unsigned)args[3]);
		break;
	case __HYPERVISOR_grant_table_op:
		rc = sim_grant_table_op(host, (unsigned)args[0], args[1], (unsigned)args[2]);
		break;
	default:
		break;
	}
	if (rc == -ENOSYS)
		sim_violation(host, "hypercall %u with first arguments %#llx %#llx is unknown",
			      number, (unsigned long long)args[0], (unsigned long long)args[1]);
	return rc;
}

static long enter(xencall_handle *xcall, unsigned number, const uint64_t args[5])
{
	struct sim_host *host = xcall->host;
	int fault = sim_fault_due(host, SIM_FAULT_HYPERCALL);
	const char *kind = sim_hook_kind(number, args);
	long rc = -fault;

	if (!fault) {
		sim_lock(host);
		if (number < SIM_HYPERCALLS)
			host->state->counters.hypercalls[number]++;
		rc = sim_dispatch(host, number, args);
		sim_unlock(host);
	}
	if (rc >= 0) {
		sim_hook_after(host, kind);
		return rc;
	}
	errno = (int)-rc;
	return -1;
}

xencall_handle *xencall_open(struct xentoollog_logger *logger, unsigned open_flags)
{
	struct sim_host *host = sim_host_current();
	xencall_handle *handle;

	(void)logger;
	(void)open_flags;
	if (!host)
		return NULL;
	handle = malloc(sizeof(*handle));
	if (handle)
		handle->host = host;
	return handle;
}

int xencall_close(xencall_handle *xcall)
{
	if (xcall) {
		__atomic_add_fetch(&xcall->host->state->counters.leaked_buffers, sim_buffers_live(),
				   __ATOMIC_RELAXED);
		free(xcall);
	}
	return 0;
}

int xencall_fd(xencall_handle *xcall)
{
	(void)xcall;
	return -1;
}

int xencall0(xencall_handle *xcall, unsigned int op)
{
	return (int)enter(xcall, op, (const uint64_t[5]){0});
}

int xencall1(xencall_handle *xcall, unsigned int op, uint64_t arg1)
{
	return (int)enter(xcall, op, (const uint64_t[5]){arg1});
}

int xencall2(xencall_handle *xcall, unsigned int op, uint64_t arg1, uint64_t arg2)
{
	return (int)enter(xcall, op, (const uint64_t[5]){arg1, arg2});
}

long xencall2L(xencall_handle *xcall, unsigned int op, uint64_t arg1, uint64_t arg2)
{
	return enter(xcall, op, (const uint64_t[5]){arg1, arg2});
}

int xencall3(xencall_handle *xcall, unsigned int op, uint64_t arg1, uint64_t arg2, uint64_t arg3)
{
	return (int)enter(xcall, op, (const uint64_t[5]){arg1, arg2, arg3});
}

int xencall4(xencall_handle *xcall, unsigned int op, uint64_t arg1, uint64_t arg2, uint64_t arg3,
	     uint64_t arg4)
{
	return (int)enter(xcall, op, (const uint64_t[5]){arg1, arg2, arg3, arg4});
}

int xencall5(xencall_handle *xcall, unsigned int op, uint64_t arg1, uint64_t arg2, uint64_t arg3,
	     uint64_t arg4, uint64_t arg5)
{
	return (int)enter(xcall, op, (const uint64_t[5]){arg1, arg2, arg3, arg4, arg5});
}

/* libxenctrl opens a device-model handle beside the others and calls nothing through it. */
struct xendevicemodel_handle {
	int unused;
};

xendevicemodel_handle *xendevicemodel_open(struct xentoollog_logger *logger,
					   unsigned int open_flags)
{
	(void)logger;
	(void)open_flags;
	return calloc(1, sizeof(struct xendevicemodel_handle));
}

int xendevicemodel_close(xendevicemodel_handle *dmod)
{
	free(dmod);
	return 0;
}
