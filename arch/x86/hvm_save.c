/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * save_ops of x86 HVM guests (PVH too): a pfn is a gfn, pages go out as they are, and the rest
 * of the state is what Xen keeps: TSC, HVM context, HVM parameters.
 */
#include "save.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <xen/domctl.h>
#include <xen/hvm/params.h>

#include "cpu_policy.h"
#include "record.h"
#include "tsc.h"

static int setup(struct save_ctx *save)
{
	(void)save;
	return 0;
}

/* The device model writes to the guest's memory behind Xen's back. */
static int switch_logdirty(struct save_ctx *save, bool on)
{
	const struct xensr_save_callbacks *cb = &save->params.callbacks;

	if (cb->switch_qemu_logdirty(save->domid, on, cb->data))
		return ctx_fail(&save->ctx, EIO,
				"the toolstack did not switch the device model's logging %s",
				on ? "on" : "off");
	return 0;
}

static int start_of_stream(struct save_ctx *save)
{
	(void)save;
	return 0;
}

static int guest_suspended(struct save_ctx *save)
{
	(void)save;
	return 0;
}

static int p2m_size(struct save_ctx *save, uint64_t *size)
{
	xen_pfn_t gpfns;

	if (xc_domain_nr_gpfns(save->xch, save->domid, &gpfns) < 0)
		return ctx_fail_errno(&save->ctx, errno, "cannot get the highest pfn of domain %u",
				      save->domid);
	if (gpfns > PFN_LIMIT_X86)
		return ctx_fail(&save->ctx, E2BIG,
				"domain %u has pfn %#" PRIx64 ", beyond what x86 can address",
				save->domid, (uint64_t)gpfns - 1);
	*size = gpfns;
	return 0;
}

/* They are the same. */
static void pfns_to_gfns(const struct save_ctx *save, const uint64_t *pfns, uint32_t n,
			 xen_pfn_t *gfns)
{
	(void)save;
	memcpy(gfns, pfns, n * sizeof(*gfns));
}

static int normalise_page(struct save_ctx *save, uint32_t slot, uint64_t pfn, enum page_type type,
			  const void **page)
{
	(void)slot;
	(void)pfn;
	(void)save;
	(void)type;
	(void)page;
	return 0;
}

/* XEN_DOMCTL_gethvmcontext: without a buffer it says how much it needs. */
static int write_context(struct save_ctx *save)
{
	int size = xc_domain_hvm_getcontext(save->xch, save->domid, NULL, 0);
	uint8_t *context;
	int rc = -1;

	if (size < 0)
		return ctx_fail_errno(&save->ctx, errno,
				      "cannot get the size of domain %u's HVM context",
				      save->domid);
	context = malloc((size_t)size + 1);
	if (!context)
		return ctx_fail_errno(&save->ctx, ENOMEM, "no %d octets for the HVM context", size);
	size = xc_domain_hvm_getcontext(save->xch, save->domid, context, (uint32_t)size);
	if (size < 0) {
		ctx_fail_errno(&save->ctx, errno, "cannot get domain %u's HVM context",
			       save->domid);
		goto out;
	}
	rc = write_record(&save->ctx, REC_HVM_CONTEXT,
			  &(struct iovec){.iov_base = context, .iov_len = (size_t)size}, 1);
out:
	free(context);
	return rc;
}

/* In the order in which stock writes them (spec 2). */
static const unsigned saved_params[] = {
	HVM_PARAM_STORE_PFN,
	HVM_PARAM_IOREQ_PFN,
	HVM_PARAM_BUFIOREQ_PFN,
	HVM_PARAM_PAGING_RING_PFN,
	HVM_PARAM_MONITOR_RING_PFN,
	HVM_PARAM_SHARING_RING_PFN,
	HVM_PARAM_VM86_TSS_SIZED,
	HVM_PARAM_CONSOLE_PFN,
	HVM_PARAM_ACPI_IOPORTS_LOCATION,
	HVM_PARAM_VIRIDIAN,
	HVM_PARAM_IDENT_PT,
	HVM_PARAM_VM_GENERATION_ID_ADDR,
	HVM_PARAM_IOREQ_SERVER_PFN,
	HVM_PARAM_NR_IOREQ_SERVER_PAGES,
	HVM_PARAM_X87_FIP_WIDTH,
	HVM_PARAM_MCA_CAP,
};
#define NR_SAVED_PARAMS (sizeof(saved_params) / sizeof(saved_params[0]))

/*
 * A restore needs the pages over which a guest talks to xenstore and its console: better to say
 * now, while the guest can go on, that one of them is not memory.
 */
static int check_rings(struct save_ctx *save, const struct wire_hvm_param *params, uint32_t count)
{
	const char *names[2];
	uint64_t pfns[2];
	uint32_t n = 0;

	for (uint32_t i = 0; i < count; i++) {
		if (params[i].index != HVM_PARAM_STORE_PFN &&
		    params[i].index != HVM_PARAM_CONSOLE_PFN)
			continue;
		names[n] = params[i].index == HVM_PARAM_STORE_PFN ? "xenstore" : "console";
		pfns[n] = params[i].value;
		save->frames[n] = params[i].value;
		n++;
	}
	if (n == 0)
		return 0;
	if (save_query_types(save, n))
		return -1;
	for (uint32_t i = 0; i < n; i++) {
		if (save->frames[i] != XEN_DOMCTL_PFINFO_NOTAB)
			return ctx_fail(&save->ctx, EINVAL,
					"the guest's %s page, pfn %#" PRIx64 ", is not memory",
					names[i], pfns[i]);
	}
	return 0;
}

/* Those with another value than 0, which is what a new domain has. */
static int write_params(struct save_ctx *save)
{
	struct wire_hvm_params head = {0};
	struct wire_hvm_param params[NR_SAVED_PARAMS];
	struct iovec body[] = {
		{.iov_base = &head, .iov_len = sizeof(head)},
		{.iov_base = params},
	};

	for (size_t i = 0; i < NR_SAVED_PARAMS; i++) {
		struct wire_hvm_param *param = &params[head.count];

		*param = (struct wire_hvm_param){.index = saved_params[i]};
		if (xc_hvm_param_get(save->xch, save->domid, saved_params[i], &param->value) < 0)
			return ctx_fail_errno(&save->ctx, errno, "cannot get HVM parameter %u",
					      saved_params[i]);
		if (param->value != 0)
			head.count++;
	}
	if (head.count == 0)
		return ctx_fail(&save->ctx, EINVAL, "domain %u has no HVM parameters", save->domid);
	if (check_rings(save, params, head.count))
		return -1;
	body[1].iov_len = head.count * sizeof(params[0]);
	return write_record(&save->ctx, REC_HVM_PARAMS, body, 2);
}

static int end_of_checkpoint(struct save_ctx *save)
{
	if (tsc_save(save) || write_context(save) || write_params(save))
		return -1;
	return 0;
}

static void cleanup(struct save_ctx *save)
{
	(void)save;
}

const struct save_ops save_ops_x86_hvm = {
	.guest_type = GUEST_X86_HVM,
	.setup = setup,
	.write_static_data = cpu_policy_save,
	.switch_logdirty = switch_logdirty,
	.start_of_stream = start_of_stream,
	.guest_suspended = guest_suspended,
	.p2m_size = p2m_size,
	.pfns_to_gfns = pfns_to_gfns,
	.normalise_page = normalise_page,
	.end_of_checkpoint = end_of_checkpoint,
	.cleanup = cleanup,
};
