/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pv_restore.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <xen/domctl.h>

int pv_vcpu_check(struct restore_ctx *restore, const struct record *rec)
{
	const struct pv_restore *pv = restore->arch;
	const struct wire_x86_pv_vcpu *head = rec->body;

	if (head->vcpu_id >= pv->nr_vcpus)
		return ctx_fail(&restore->ctx, EBADMSG, "vcpu %u, domain %u has %u", head->vcpu_id,
				restore->domid, pv->nr_vcpus);
	return 0;
}

int pv_vcpu_keep(struct restore_ctx *restore, const struct record *rec)
{
	static const uint32_t types[PV_VCPU_BLOBS] = {
		[PV_VCPU_BASIC] = REC_X86_PV_VCPU_BASIC,
		[PV_VCPU_EXTENDED] = REC_X86_PV_VCPU_EXTENDED,
		[PV_VCPU_XSAVE] = REC_X86_PV_VCPU_XSAVE,
		[PV_VCPU_MSRS] = REC_X86_PV_VCPU_MSRS,
	};
	struct pv_restore *pv = restore->arch;
	const struct wire_x86_pv_vcpu *head = rec->body;
	uint32_t length = rec->length - (uint32_t)sizeof(*head);
	struct pv_blob *blob;
	unsigned i = 0;
	void *copy;

	if (pv_vcpu_check(restore, rec))
		return -1;
	while (types[i] != rec->type)
		i++;
	blob = &pv->vcpus[head->vcpu_id].blobs[i];
	if (blob->octets)
		return ctx_fail(&restore->ctx, EBADMSG, "comes a second time for vcpu %u",
				head->vcpu_id);
	copy = malloc(length);
	if (!copy)
		return ctx_fail_errno(&restore->ctx, ENOMEM, "no %u octets", length);
	memcpy(copy, head + 1, length);
	*blob = (struct pv_blob){.octets = copy, .length = length};
	return 0;
}

int pv_vcpus_check(struct restore_ctx *restore)
{
	const struct pv_restore *pv = restore->arch;

	for (uint32_t vcpu = 0; vcpu < pv->nr_vcpus; vcpu++) {
		const struct pv_blob *blobs = pv->vcpus[vcpu].blobs;

		if (blobs[PV_VCPU_BASIC].octets)
			continue;
		if (vcpu == 0)
			return ctx_fail(&restore->ctx, EBADMSG, "the stream did not bring vcpu 0");
		for (unsigned i = 0; i < PV_VCPU_BLOBS; i++) {
			if (blobs[i].octets)
				return ctx_fail(&restore->ctx, EBADMSG,
						"the stream brought state of vcpu %u, but not its "
						"registers",
						vcpu);
		}
	}
	return 0;
}

uint64_t pv_vcpus_start_info(const struct pv_restore *pv)
{
	const vcpu_guest_context_any_t *context = pv->vcpus[0].blobs[PV_VCPU_BASIC].octets;

	return PV_GET(&pv->layout, context, user_regs.edx);
}

void pv_vcpus_forget(struct pv_restore *pv)
{
	for (uint32_t vcpu = 0; pv->vcpus && vcpu < pv->nr_vcpus; vcpu++) {
		for (unsigned i = 0; i < PV_VCPU_BLOBS; i++)
			free(pv->vcpus[vcpu].blobs[i].octets);
		pv->vcpus[vcpu] = (struct pv_vcpu){0};
	}
}

void pv_vcpus_release(struct pv_restore *pv)
{
	pv_vcpus_forget(pv);
	free(pv->vcpus);
	pv->vcpus = NULL;
}

/* ---- basic ----------------------------------------------------------------------------- */

static int localise_gdt(struct restore_ctx *restore, vcpu_guest_context_any_t *context)
{
	const struct pv_layout *layout = &((struct pv_restore *)restore->arch)->layout;
	uint64_t entries = PV_GET(layout, context, gdt_ents);
	uint64_t frames = (entries + GDT_ENTRIES_IN_PAGE - 1) / GDT_ENTRIES_IN_PAGE;

	if (entries > GDT_FRAMES_MAX * GDT_ENTRIES_IN_PAGE)
		return ctx_fail(&restore->ctx, EBADMSG, "a GDT has %" PRIu64 " entries", entries);
	for (uint64_t i = 0; i < frames; i++) {
		uint64_t mfn;

		if (pv_frame_of(restore, "a GDT", PV_GET(layout, context, gdt_frames[i]),
				PV_NORMAL_PAGES, &mfn))
			return -1;
		PV_SET(layout, context, gdt_frames[i], mfn);
	}
	return 0;
}

static int localise_roots(struct restore_ctx *restore, vcpu_guest_context_any_t *context)
{
	const struct pv_layout *layout = &((struct pv_restore *)restore->arch)->layout;
	uint32_t root_types = 1u << layout->levels | 1u << (layout->levels + 8);
	uint64_t cr1 = PV_GET(layout, context, ctrlreg[1]);
	uint64_t mfn;

	if (pv_frame_of(restore, "CR3", cr3_frame(layout, PV_GET(layout, context, ctrlreg[3])),
			root_types, &mfn))
		return -1;
	PV_SET(layout, context, ctrlreg[3], cr3_of_frame(layout, mfn));
	if (layout->width == 4 || cr1 == 0)
		return 0;
	if (!(cr1 & CR1_VALID))
		return ctx_fail(&restore->ctx, EBADMSG,
				"a user page table is %#" PRIx64 ", which is not marked as valid",
				cr1);
	if (pv_frame_of(restore, "a user page table", cr3_frame(layout, cr1), root_types, &mfn))
		return -1;
	PV_SET(layout, context, ctrlreg[1], cr3_of_frame(layout, mfn));
	return 0;
}

static int restore_basic(struct restore_ctx *restore, uint32_t vcpu, const struct pv_blob *blob)
{
	const struct pv_restore *pv = restore->arch;
	const struct pv_layout *layout = &pv->layout;
	vcpu_guest_context_any_t context = {0};
	uint64_t mfn;

	memcpy(&context, blob->octets, blob->length);
	if (vcpu == 0) {
		if (pv_frame_of(restore, "the start info", PV_GET(layout, &context, user_regs.edx),
				PV_NORMAL_PAGES, &mfn))
			return -1;
		PV_SET(layout, &context, user_regs.edx, mfn);
	}
	if (localise_gdt(restore, &context) || localise_roots(restore, &context))
		return -1;
	PV_SET(layout, &context, flags, PV_GET(layout, &context, flags) | VGCF_online);
	if (xc_vcpu_setcontext(restore->xch, restore->domid, vcpu, &context))
		return ctx_fail_errno(&restore->ctx, errno, "Xen refused the context of vcpu %u",
				      vcpu);
	return 0;
}

/* ---- the rest -------------------------------------------------------------------------- */

static int restore_extended(struct restore_ctx *restore, uint32_t vcpu, const struct pv_blob *blob)
{
	struct xen_domctl domctl = pv_domctl(restore->domid, XEN_DOMCTL_set_ext_vcpucontext);

	memcpy(&domctl.u, blob->octets,
	       blob->length < sizeof(domctl.u) ? blob->length : sizeof(domctl.u));
	if (xc_domctl(restore->xch, &domctl) < 0)
		return ctx_fail_errno(&restore->ctx, errno,
				      "Xen refused the extended context of vcpu %u", vcpu);
	return 0;
}

/* The two kinds of state that go through a buffer. */
static int restore_buffer(struct restore_ctx *restore, uint32_t vcpu, const struct pv_blob *blob,
			  bool msrs)
{
	struct xen_domctl domctl = pv_domctl(restore->domid, msrs ? XEN_DOMCTL_set_vcpu_msrs
								  : XEN_DOMCTL_setvcpuextstate);
	DECLARE_HYPERCALL_BUFFER(void, buffer);
	int rc = 0;

	buffer = xc_hypercall_buffer_alloc(restore->xch, buffer, blob->length);
	if (!buffer)
		return ctx_fail_errno(&restore->ctx, ENOMEM, "no hypercall buffer");
	memcpy(buffer, blob->octets, blob->length);
	if (msrs) {
		domctl.u.vcpu_msrs.vcpu = vcpu;
		domctl.u.vcpu_msrs.msr_count =
			blob->length / (uint32_t)sizeof(xen_domctl_vcpu_msr_t);
		set_xen_guest_handle(domctl.u.vcpu_msrs.msrs, buffer);
	} else {
		domctl.u.vcpuextstate.vcpu = vcpu;
		domctl.u.vcpuextstate.size = blob->length;
		set_xen_guest_handle(domctl.u.vcpuextstate.buffer, buffer);
	}
	if (xc_domctl(restore->xch, &domctl) < 0)
		rc = ctx_fail_errno(&restore->ctx, errno, "Xen refused the %s of vcpu %u",
				    msrs ? "MSRs" : "xsave state", vcpu);
	xc_hypercall_buffer_free(restore->xch, buffer);
	return rc;
}

int pv_vcpus_restore(struct restore_ctx *restore)
{
	const struct pv_restore *pv = restore->arch;

	for (uint32_t vcpu = 0; vcpu < pv->nr_vcpus; vcpu++) {
		const struct pv_blob *blobs = pv->vcpus[vcpu].blobs;

		if (!blobs[PV_VCPU_BASIC].octets)
			continue;
		if (restore_basic(restore, vcpu, &blobs[PV_VCPU_BASIC]))
			return -1;
		if (blobs[PV_VCPU_EXTENDED].octets &&
		    restore_extended(restore, vcpu, &blobs[PV_VCPU_EXTENDED]))
			return -1;
		if (blobs[PV_VCPU_XSAVE].octets &&
		    restore_buffer(restore, vcpu, &blobs[PV_VCPU_XSAVE], false))
			return -1;
		if (blobs[PV_VCPU_MSRS].octets &&
		    restore_buffer(restore, vcpu, &blobs[PV_VCPU_MSRS], true))
			return -1;
	}
	return 0;
}
