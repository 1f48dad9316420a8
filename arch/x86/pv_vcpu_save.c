/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pv_save.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include <xen/domctl.h>

static int write_vcpu(struct save_ctx *save, uint32_t type, uint32_t vcpu, const void *blob,
		      size_t octets)
{
	struct wire_x86_pv_vcpu head = {.vcpu_id = vcpu};
	struct iovec body[] = {
		{.iov_base = &head, .iov_len = sizeof(head)},
		{.iov_base = (void *)(uintptr_t)blob, .iov_len = octets},
	};

	return write_record(&save->ctx, type, body, 2);
}

/* ---- basic ----------------------------------------------------------------------------- */

/* The pfn of a frame that a register of the vcpu names. */
static int register_pfn(struct save_ctx *save, uint32_t vcpu, const char *name, uint64_t mfn,
			uint64_t *pfn)
{
	const struct pv_save *pv = save->arch;

	*pfn = pv_p2m_pfn_of(&pv->p2m, &pv->layout, &pv->m2p, mfn);
	if (*pfn == PV_INVALID_FRAME)
		return ctx_fail(&save->ctx, EINVAL,
				"%s of vcpu %u is frame %#" PRIx64 ", which is not the guest's own",
				name, vcpu, mfn);
	return 0;
}

/* vcpu 0 resumes with the start info's frame in edx. */
static int normalise_start_info(struct save_ctx *save, vcpu_guest_context_any_t *context)
{
	const struct pv_layout *layout = &((struct pv_save *)save->arch)->layout;
	uint64_t pfn;

	if (register_pfn(save, 0, "the start info", PV_GET(layout, context, user_regs.edx), &pfn))
		return -1;
	PV_SET(layout, context, user_regs.edx, pfn);
	return 0;
}

static int normalise_gdt(struct save_ctx *save, uint32_t vcpu, vcpu_guest_context_any_t *context)
{
	const struct pv_layout *layout = &((struct pv_save *)save->arch)->layout;
	uint64_t entries = PV_GET(layout, context, gdt_ents);
	uint64_t frames = (entries + GDT_ENTRIES_IN_PAGE - 1) / GDT_ENTRIES_IN_PAGE;

	if (entries > GDT_FRAMES_MAX * GDT_ENTRIES_IN_PAGE)
		return ctx_fail(&save->ctx, EINVAL, "the GDT of vcpu %u has %" PRIu64 " entries",
				vcpu, entries);
	for (uint64_t i = 0; i < frames; i++) {
		uint64_t pfn;

		if (register_pfn(save, vcpu, "the GDT", PV_GET(layout, context, gdt_frames[i]),
				 &pfn))
			return -1;
		PV_SET(layout, context, gdt_frames[i], pfn);
	}
	return 0;
}

static int normalise_roots(struct save_ctx *save, uint32_t vcpu, vcpu_guest_context_any_t *context)
{
	const struct pv_layout *layout = &((struct pv_save *)save->arch)->layout;
	uint64_t cr3 = PV_GET(layout, context, ctrlreg[3]);
	uint64_t cr1 = PV_GET(layout, context, ctrlreg[1]);
	uint64_t pfn;

	if (register_pfn(save, vcpu, "CR3", cr3_frame(layout, cr3), &pfn))
		return -1;
	PV_SET(layout, context, ctrlreg[3], cr3_of_frame(layout, pfn));
	if (layout->width == 4 || cr1 == 0)
		return 0;
	if (register_pfn(save, vcpu, "the user page table", cr3_frame(layout, cr1), &pfn))
		return -1;
	PV_SET(layout, context, ctrlreg[1], cr3_of_frame(layout, pfn) | CR1_VALID);
	return 0;
}

static int write_basic(struct save_ctx *save, uint32_t vcpu)
{
	const struct pv_save *pv = save->arch;
	vcpu_guest_context_any_t context;

	if (xc_vcpu_getcontext(save->xch, save->domid, vcpu, &context))
		return ctx_fail_errno(&save->ctx, errno, "cannot get the context of vcpu %u", vcpu);
	if ((vcpu == 0 && normalise_start_info(save, &context)) ||
	    normalise_gdt(save, vcpu, &context) || normalise_roots(save, vcpu, &context))
		return -1;
	return write_vcpu(save, REC_X86_PV_VCPU_BASIC, vcpu, &context, pv->layout.vcpu_octets);
}

/* ---- the rest -------------------------------------------------------------------------- */

/* Xen says in the structure how much of it there is. */
static int write_extended(struct save_ctx *save, uint32_t vcpu)
{
	struct xen_domctl domctl = pv_domctl(save->domid, XEN_DOMCTL_get_ext_vcpucontext);
	uint32_t octets;

	domctl.u.ext_vcpucontext.vcpu = vcpu;
	if (xc_domctl(save->xch, &domctl) < 0)
		return ctx_fail_errno(&save->ctx, errno,
				      "cannot get the extended context of vcpu %u", vcpu);
	octets = domctl.u.ext_vcpucontext.size;
	if (octets > sizeof(domctl.u))
		return ctx_fail(&save->ctx, EIO,
				"Xen says the extended context of vcpu %u has %u "
				"octets",
				vcpu, octets);
	return octets ? write_vcpu(save, REC_X86_PV_VCPU_EXTENDED, vcpu, &domctl.u, octets) : 0;
}

/* Without a buffer Xen says how large it has to be. */
static int write_xsave(struct save_ctx *save, uint32_t vcpu)
{
	struct xen_domctl domctl = pv_domctl(save->domid, XEN_DOMCTL_getvcpuextstate);
	DECLARE_HYPERCALL_BUFFER(void, buffer);
	uint64_t octets;
	int rc = -1;

	domctl.u.vcpuextstate.vcpu = vcpu;
	if (xc_domctl(save->xch, &domctl) < 0)
		return ctx_fail_errno(&save->ctx, errno,
				      "cannot get the size of the xsave state of vcpu %u", vcpu);
	octets = domctl.u.vcpuextstate.size;
	if (octets == 0)
		return 0;
	buffer = xc_hypercall_buffer_alloc(save->xch, buffer, octets);
	if (!buffer)
		return ctx_fail_errno(&save->ctx, ENOMEM, "no hypercall buffer");
	set_xen_guest_handle(domctl.u.vcpuextstate.buffer, buffer);
	if (xc_domctl(save->xch, &domctl) < 0) {
		ctx_fail_errno(&save->ctx, errno, "cannot get the xsave state of vcpu %u", vcpu);
		goto out;
	}
	rc = 0;
	if (domctl.u.vcpuextstate.size)
		rc = write_vcpu(save, REC_X86_PV_VCPU_XSAVE, vcpu, buffer,
				domctl.u.vcpuextstate.size < octets ? domctl.u.vcpuextstate.size
								    : octets);
out:
	xc_hypercall_buffer_free(save->xch, buffer);
	return rc;
}

/* Without a buffer Xen says how many there may be. */
static int write_msrs(struct save_ctx *save, uint32_t vcpu)
{
	struct xen_domctl domctl = pv_domctl(save->domid, XEN_DOMCTL_get_vcpu_msrs);
	DECLARE_HYPERCALL_BUFFER(xen_domctl_vcpu_msr_t, msrs);
	uint32_t most;
	int rc = -1;

	domctl.u.vcpu_msrs.vcpu = vcpu;
	if (xc_domctl(save->xch, &domctl) < 0)
		return ctx_fail_errno(&save->ctx, errno, "cannot get the number of MSRs of vcpu %u",
				      vcpu);
	most = domctl.u.vcpu_msrs.msr_count;
	if (most == 0)
		return 0;
	msrs = xc_hypercall_buffer_alloc(save->xch, msrs, most * sizeof(*msrs));
	if (!msrs)
		return ctx_fail_errno(&save->ctx, ENOMEM, "no hypercall buffer");
	set_xen_guest_handle(domctl.u.vcpu_msrs.msrs, msrs);
	if (xc_domctl(save->xch, &domctl) < 0) {
		ctx_fail_errno(&save->ctx, errno, "cannot get the MSRs of vcpu %u", vcpu);
		goto out;
	}
	if (domctl.u.vcpu_msrs.msr_count > most) {
		ctx_fail(&save->ctx, EIO, "Xen returned more MSRs of vcpu %u than it had room for",
			 vcpu);
		goto out;
	}
	rc = 0;
	if (domctl.u.vcpu_msrs.msr_count)
		rc = write_vcpu(save, REC_X86_PV_VCPU_MSRS, vcpu, msrs,
				domctl.u.vcpu_msrs.msr_count * sizeof(*msrs));
out:
	xc_hypercall_buffer_free(save->xch, msrs);
	return rc;
}

static int vcpu_online(struct save_ctx *save, uint32_t vcpu, bool *online)
{
	xc_vcpuinfo_t info;

	if (xc_vcpu_getinfo(save->xch, save->domid, vcpu, &info))
		return ctx_fail_errno(&save->ctx, errno, "no information about vcpu %u", vcpu);
	*online = info.online;
	return 0;
}

int pv_vcpus_check_online(struct save_ctx *save)
{
	bool online = false;

	if (vcpu_online(save, 0, &online))
		return -1;
	if (!online)
		return ctx_fail(&save->ctx, EINVAL,
				"vcpu 0 is offline; it is the one that a guest resumes on");
	return 0;
}

int pv_vcpus_save(struct save_ctx *save)
{
	for (uint32_t vcpu = 0; vcpu <= save->info.max_vcpu_id; vcpu++) {
		bool online = false;

		if (vcpu_online(save, vcpu, &online))
			return -1;
		if (!online)
			continue;
		if (write_basic(save, vcpu) || write_extended(save, vcpu) ||
		    write_xsave(save, vcpu) || write_msrs(save, vcpu))
			return -1;
	}
	return 0;
}
