/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The inside of record bodies, as far as the format fixes it. Framing and order were checked
 * before (record.c, phase.c); what depends on the target domain is checked by its restore_ops.
 */
#include "record.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include <xen/xen.h>
#include <xen/foreign/x86_32.h>
#include <xen/foreign/x86_64.h>
#include <xen/hvm/params.h>
#include <xen/hvm/save.h>

#include "cursor.h"

static int check_pv_info(struct xensr_ctx *ctx, const struct wire_x86_pv_info *info)
{
	if (!(info->guest_width == 8 && info->pt_levels == 4) &&
	    !(info->guest_width == 4 && info->pt_levels == 3))
		return ctx_fail(ctx, EBADMSG,
				"guest width %u with %u page-table levels; 8 with 4 and 4 with 3 "
				"exist",
				info->guest_width, info->pt_levels);
	return 0;
}

static int check_vcpu(struct xensr_ctx *ctx, const struct wire_x86_pv_vcpu *vcpu)
{
	if (vcpu->vcpu_id > VCPU_ID_MAX)
		return ctx_fail(ctx, EBADMSG, "vcpu %u, at most %u exist", vcpu->vcpu_id,
				VCPU_ID_MAX);
	return 0;
}

/* A body that is an array without a count. */
static int check_array(struct xensr_ctx *ctx, uint32_t octets, uint32_t entry)
{
	if (octets % entry)
		return ctx_fail(ctx, EBADMSG, "%u octets are no multiple of an entry's %u", octets,
				entry);
	return 0;
}

/*
 * HVM parameters that a saver sends, and those that older ones sent: PAE_ENABLED (Xen 4.5 and
 * earlier; dropped by a restore) and VM86_TSS (until 4.10).
 */
static bool hvm_param_known(uint64_t index)
{
	switch (index) {
	case HVM_PARAM_STORE_PFN:
	case HVM_PARAM_IOREQ_PFN:
	case HVM_PARAM_BUFIOREQ_PFN:
	case HVM_PARAM_PAGING_RING_PFN:
	case HVM_PARAM_MONITOR_RING_PFN:
	case HVM_PARAM_SHARING_RING_PFN:
	case HVM_PARAM_VM86_TSS:
	case HVM_PARAM_VM86_TSS_SIZED:
	case HVM_PARAM_CONSOLE_PFN:
	case HVM_PARAM_ACPI_IOPORTS_LOCATION:
	case HVM_PARAM_VIRIDIAN:
	case HVM_PARAM_IDENT_PT:
	case HVM_PARAM_OLD_PAE_ENABLED:
	case HVM_PARAM_VM_GENERATION_ID_ADDR:
	case HVM_PARAM_IOREQ_SERVER_PFN:
	case HVM_PARAM_NR_IOREQ_SERVER_PAGES:
	case HVM_PARAM_X87_FIP_WIDTH:
	case HVM_PARAM_MCA_CAP:
		return true;
	default:
		return false;
	}
}

/* HVM_PARAM_* indices are below 64, so a word remembers which came. */
static_assert(HVM_PARAM_MCA_CAP < 64, "parameter indices fit a word");

static int check_hvm_params(struct xensr_ctx *ctx, const struct wire_hvm_params *params,
			    uint32_t length)
{
	uint64_t expect = sizeof(*params) + (uint64_t)params->count * sizeof(struct wire_hvm_param);
	uint64_t seen = 0;

	if (length != expect)
		return ctx_fail(ctx, EBADMSG, "is %u octets long, but %u parameters make %" PRIu64,
				length, params->count, expect);
	for (uint32_t i = 0; i < params->count; i++) {
		uint64_t index = params->param[i].index;

		if (!hvm_param_known(index))
			return ctx_fail(ctx, EBADMSG,
					"parameter %#" PRIx64 " is none that a saved guest has",
					index);
		if (seen >> index & 1)
			return ctx_fail(ctx, EBADMSG, "parameter %#" PRIx64 " comes twice", index);
		seen |= 1ull << index;
	}
	return 0;
}

/* The chain of Xen's hvm_save_descriptor: HEADER first, END last (xen/hvm/save.h). */
static int check_hvm_context(struct xensr_ctx *ctx, const void *body, uint32_t length)
{
	struct cursor c = cursor_over(body, length);

	for (bool first = true;; first = false) {
		size_t at = c.pos;
		const void *raw = cursor_take(&c, sizeof(struct hvm_save_descriptor));
		struct hvm_save_descriptor desc;
		struct hvm_save_header header;

		if (!raw)
			return ctx_fail(ctx, EBADMSG, "the hvm context has no END");
		memcpy(&desc, raw, sizeof(desc)); /* the chain keeps no alignment */
		raw = cursor_take(&c, desc.length);
		if (!raw)
			return ctx_fail(ctx, EBADMSG,
					"hvm context, octet %zu: %u octets of type %u, only %zu "
					"left",
					at, desc.length, desc.typecode, cursor_left(&c));
		if (first) {
			if (desc.typecode != HVM_SAVE_CODE(HEADER) || desc.length < sizeof(header))
				return ctx_fail(ctx, EBADMSG,
						"the hvm context does not begin with its header");
			memcpy(&header, raw, sizeof(header));
			if (header.magic != HVM_FILE_MAGIC)
				return ctx_fail(ctx, EBADMSG,
						"the hvm context's magic is %#x, not %#x",
						header.magic, HVM_FILE_MAGIC);
		}
		if (desc.typecode == HVM_SAVE_CODE(END))
			return 0;
	}
}

/* p2m frames that cover start … end, both included (spec 1). */
static int check_p2m_frames(struct xensr_ctx *ctx, const struct wire_x86_pv_p2m_frames *frames,
			    uint32_t length, unsigned guest_width)
{
	uint32_t in_page = PAGE_OCTETS / guest_width;
	uint32_t come = (length - (uint32_t)sizeof(*frames)) / (uint32_t)sizeof(uint64_t);
	uint32_t needed;

	if (frames->start_pfn > frames->end_pfn)
		return ctx_fail(ctx, EBADMSG, "start pfn %#x is after end pfn %#x",
				frames->start_pfn, frames->end_pfn);
	needed = frames->end_pfn / in_page - frames->start_pfn / in_page + 1;
	if (come != needed)
		return ctx_fail(ctx, EBADMSG, "has %u frames, but pfns %#x to %#x need %u", come,
				frames->start_pfn, frames->end_pfn, needed);
	return 0;
}

/* The raw vcpu_guest_context of the guest's width (xen/foreign/). */
static int check_vcpu_basic(struct xensr_ctx *ctx, uint32_t length, unsigned guest_width)
{
	size_t context = guest_width == 8 ? sizeof(vcpu_guest_context_x86_64_t)
					  : sizeof(vcpu_guest_context_x86_32_t);
	size_t needed = sizeof(struct wire_x86_pv_vcpu) + context;

	if (length != needed)
		return ctx_fail(ctx, EBADMSG,
				"is %u octets long, a vcpu of a guest of width %u has %zu", length,
				guest_width, needed);
	return 0;
}

/* The vcpu that an extended context says it is must be the one of its record. */
static int check_vcpu_extended(struct xensr_ctx *ctx, const struct wire_x86_pv_vcpu *vcpu,
			       uint32_t length)
{
	uint32_t inner;

	if (length < sizeof(*vcpu) + sizeof(inner))
		return 0; /* empty */
	memcpy(&inner, vcpu + 1, sizeof(inner));
	if (inner != vcpu->vcpu_id)
		return ctx_fail(ctx, EBADMSG, "is for vcpu %u, but its content is vcpu %u's",
				vcpu->vcpu_id, inner);
	return 0;
}

static int check_vcpu_record(struct xensr_ctx *ctx, const struct record *rec, unsigned guest_width)
{
	uint32_t head = (uint32_t)sizeof(struct wire_x86_pv_vcpu);

	if (rec->length < head)
		return ctx_fail(ctx, EBADMSG, "is %u octets long, at least %u needed", rec->length,
				head);
	if (check_vcpu(ctx, rec->body))
		return -1;
	switch (rec->type) {
	case REC_X86_PV_VCPU_BASIC:
		return check_vcpu_basic(ctx, rec->length, guest_width);
	case REC_X86_PV_VCPU_EXTENDED:
		return check_vcpu_extended(ctx, rec->body, rec->length);
	case REC_X86_PV_VCPU_MSRS:
		return check_array(ctx, rec->length - head, 16);
	default:
		return 0;
	}
}

int record_check_body(struct xensr_ctx *ctx, const struct record *rec, unsigned guest_width)
{
	switch ((enum record_type)rec->type) {
	case REC_X86_PV_INFO:
		return check_pv_info(ctx, rec->body);
	case REC_X86_PV_P2M_FRAMES:
		if (check_array(ctx, rec->length, 8))
			return -1;
		return check_p2m_frames(ctx, rec->body, rec->length, guest_width);
	case REC_X86_PV_VCPU_BASIC:
	case REC_X86_PV_VCPU_EXTENDED:
	case REC_X86_PV_VCPU_XSAVE:
	case REC_X86_PV_VCPU_MSRS:
		return check_vcpu_record(ctx, rec, guest_width);
	case REC_X86_CPUID_POLICY:
		return check_array(ctx, rec->length, sizeof(xen_cpuid_leaf_t));
	case REC_X86_MSR_POLICY:
		return check_array(ctx, rec->length, sizeof(xen_msr_entry_t));
	case REC_HVM_CONTEXT:
		return check_hvm_context(ctx, rec->body, rec->length);
	case REC_HVM_PARAMS:
		if (rec->length < sizeof(struct wire_hvm_params))
			return ctx_fail(ctx, EBADMSG, "is %u octets long, at least %zu needed",
					rec->length, sizeof(struct wire_hvm_params));
		return check_hvm_params(ctx, rec->body, rec->length);
	case REC_END:
	case REC_PAGE_DATA:
	case REC_SHARED_INFO:
	case REC_X86_TSC_INFO:
	case REC_TOOLSTACK:
	case REC_VERIFY:
	case REC_CHECKPOINT:
	case REC_CHECKPOINT_DIRTY_PFN_LIST:
	case REC_STATIC_DATA_END:
	case REC_TYPES:
		break;
	}
	return 0;
}
