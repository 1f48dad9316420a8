/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* __HYPERVISOR_domctl (xen/domctl.h). */
#include "hypercall.h"
#include "pv.h"

#include <errno.h>
#include <string.h>

#define PAGEFRAMEINFO_LIMIT 1024u /* Xen's own */

void sim_domain_info(const struct sim_domain *domain, struct xen_domctl_getdomaininfo *info)
{
	const struct sim_domain_state *state = domain->state;

	memset(info, 0, sizeof(*info));
	info->domain = (domid_t)state->domid;
	if (state->type == SIM_HVM)
		info->flags |= XEN_DOMINF_hvm_guest | XEN_DOMINF_hap;
	if (state->shutdown)
		info->flags |= XEN_DOMINF_shutdown | state->shutdown_reason
							     << XEN_DOMINF_shutdownshift;
	if (state->paused)
		info->flags |= XEN_DOMINF_paused;
	if (!state->shutdown && !state->paused)
		info->flags |= XEN_DOMINF_running;
	info->tot_pages = state->tot_pages;
	info->max_pages = state->max_pages;
	info->shared_info_frame = state->shared_info_frame;
	info->nr_online_vcpus = state->nr_vcpus;
	info->max_vcpu_id = state->nr_vcpus - 1;
	info->gpaddr_bits = 46;
}

static uint64_t hvm_page_type(uint64_t entry)
{
	if (!(entry & SIM_P2M_VALID) || entry & SIM_P2M_MMIO)
		return XEN_DOMCTL_PFINFO_XTAB;
	return entry & SIM_P2M_BROKEN ? XEN_DOMCTL_PFINFO_BROKEN : XEN_DOMCTL_PFINFO_NOTAB;
}

/* Holes are as good as free, so that what a caller does with them shows. */
static void hvm_page_types(const struct sim_domain *domain, uint64_t *gfns, uint64_t count)
{
	uint64_t chunk = UINT64_MAX;
	const uint64_t *entries = NULL;

	for (uint64_t i = 0; i < count; i++) {
		if (gfns[i] / SIM_CHUNK_GFNS != chunk) {
			chunk = gfns[i] / SIM_CHUNK_GFNS;
			entries = sim_p2m_chunk(domain, gfns[i]);
		}
		gfns[i] = hvm_page_type(entries ? entries[gfns[i] % SIM_CHUNK_GFNS] : 0);
	}
}

/* A frame with what it is used as; XTAB is what is not the domain's, or is Xen's own. */
static uint64_t pv_page_type(const struct sim_domain *domain, uint64_t mfn)
{
	const struct sim_frame *frame;
	uint64_t type;

	if (!sim_frame_owned(domain->host, mfn, (uint16_t)domain->state->domid))
		return XEN_DOMCTL_PFINFO_XTAB;
	frame = &domain->host->frames[mfn];
	if (frame->type == SIM_FRAME_XENHEAP)
		return XEN_DOMCTL_PFINFO_XTAB;
	type = (uint64_t)sim_type_level((enum sim_frame_type)frame->type)
	       << XEN_DOMCTL_PFINFO_LTAB_SHIFT;
	return frame->pinned ? type | XEN_DOMCTL_PFINFO_LPINTAB : type;
}

static long get_page_types(struct sim_domain *domain, struct xen_domctl_getpageframeinfo3 *op)
{
	uint64_t *frames;

	if (op->num > PAGEFRAMEINFO_LIMIT)
		return -E2BIG;
	frames = sim_handle(domain->host, SIM_HANDLE_ADDRESS(op->array), op->num * sizeof(*frames));
	if (!frames)
		return -EFAULT;
	if (domain->state->type == SIM_HVM)
		hvm_page_types(domain, frames, op->num);
	for (uint64_t i = 0; domain->state->type == SIM_PV && i < op->num; i++)
		frames[i] = pv_page_type(domain, frames[i]);
	return 0;
}

static long shadow_op(struct sim_domain *domain, struct xen_domctl_shadow_op *op)
{
	uint64_t address = SIM_HANDLE_ADDRESS(op->dirty_bitmap);
	uint8_t *bitmap = NULL;

	if (address &&
	    (op->op == XEN_DOMCTL_SHADOW_OP_CLEAN || op->op == XEN_DOMCTL_SHADOW_OP_PEEK)) {
		bitmap = sim_handle(domain->host, address, (op->pages + 7) / 8);
		if (!bitmap)
			return -EFAULT;
	}
	return sim_log_dirty_op(domain, op, bitmap);
}

static long get_hvm_context(struct sim_domain *domain, struct xen_domctl_hvmcontext *op)
{
	uint64_t address = SIM_HANDLE_ADDRESS(op->buffer);
	void *buffer;

	if (domain->state->type != SIM_HVM)
		return -EINVAL;
	if (address == 0) {
		op->size = domain->state->context_octets;
		return 0;
	}
	if (op->size < domain->state->context_octets)
		return -ENOSPC;
	buffer = sim_handle(domain->host, address, op->size);
	if (!buffer)
		return -EFAULT;
	memcpy(buffer, domain->state->context, domain->state->context_octets);
	op->size = domain->state->context_octets;
	return 0;
}

static long set_hvm_context(struct sim_domain *domain, const struct xen_domctl_hvmcontext *op)
{
	const void *buffer;

	if (domain->state->type != SIM_HVM || op->size > SIM_CONTEXT_OCTETS)
		return -EINVAL;
	buffer = sim_handle(domain->host, SIM_HANDLE_ADDRESS(op->buffer), op->size);
	if (!buffer)
		return -EFAULT;
	if (!sim_hvm_context_valid(buffer, op->size))
		return -EINVAL;
	memcpy(domain->state->context, buffer, op->size);
	domain->state->context_octets = op->size;
	return 0;
}

static long set_tsc(struct sim_domain *domain, const struct xen_domctl_tsc_info *tsc)
{
	if (tsc->tsc_mode > 3)
		return -EINVAL;
	if (!domain->state->paused && !domain->state->shutdown)
		return -EINVAL;
	domain->state->tsc = *tsc;
	return 0;
}

static long dispatch(struct sim_host *host, struct sim_domain *domain, struct xen_domctl *domctl)
{
	switch (domctl->cmd) {
	case XEN_DOMCTL_getdomaininfo:
		sim_domain_info(domain, &domctl->u.getdomaininfo);
		return 0;
	case XEN_DOMCTL_getpageframeinfo3:
		return get_page_types(domain, &domctl->u.getpageframeinfo3);
	case XEN_DOMCTL_shadow_op:
		return shadow_op(domain, &domctl->u.shadow_op);
	case XEN_DOMCTL_gethvmcontext:
		return get_hvm_context(domain, &domctl->u.hvmcontext);
	case XEN_DOMCTL_sethvmcontext:
		return set_hvm_context(domain, &domctl->u.hvmcontext);
	case XEN_DOMCTL_gettscinfo:
		domctl->u.tsc_info = domain->state->tsc;
		return 0;
	case XEN_DOMCTL_settscinfo:
		return set_tsc(domain, &domctl->u.tsc_info);
	case XEN_DOMCTL_get_cpu_policy:
		return sim_policy_get(host, domain, &domctl->u.cpu_policy);
	case XEN_DOMCTL_set_cpu_policy:
		return sim_policy_set(host, domain, &domctl->u.cpu_policy);
	default:
		return domain->state->type == SIM_PV ? sim_pv_domctl(domain, domctl) : -ENOSYS;
	}
}

long sim_domctl(struct sim_host *host, uint64_t arg)
{
	struct xen_domctl *domctl = sim_handle(host, arg, sizeof(*domctl));
	struct sim_domain *domain;
	long rc;

	if (!domctl)
		return -EFAULT;
	if (domctl->interface_version != host->state->domctl_version)
		return -EACCES;
	/* Until 4.19, getdomaininfo meant this domain or the next that exists. */
	domain = domctl->cmd == XEN_DOMCTL_getdomaininfo && host->state->xen_minor < 19
			 ? sim_domain_next(host, domctl->domain)
			 : sim_domain_get(host, domctl->domain);
	if (!domain)
		return -ESRCH;
	rc = dispatch(host, domain, domctl);
	domctl->domain = (domid_t)domain->state->domid;
	return rc;
}
