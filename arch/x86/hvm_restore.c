/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * restore_ops of x86 HVM guests (PVH too). Memory goes straight to its gfn; parameters, TSC
 * and context are kept as they come and given to the domain at the end, when all of them have
 * been checked, so their order in the stream does not matter.
 */
#include "restore.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <xen/hvm/params.h>

#include "cpu_policy.h"
#include "grant_table.h"
#include "hvm_populate.h"
#include "tsc.h"

/* Parameter indices are below 64 (record_check.c). */
#define PARAMS_LIMIT 64u

struct hvm_restore {
	struct cpu_policy policy;
	struct wire_x86_tsc_info tsc;
	bool have_tsc; /* images converted from before Xen 4.6 may lack it */
	void *context;
	uint32_t context_octets;
	uint64_t params[PARAMS_LIMIT];
	uint64_t have_params; /* bit N: params[N] came */
	uint64_t set_params;  /* bit N: the domain was given one */
};

static int setup(struct restore_ctx *restore)
{
	restore->arch = calloc(1, sizeof(struct hvm_restore));
	if (!restore->arch)
		return ctx_fail_errno(&restore->ctx, ENOMEM, "no memory to begin with");
	return 0;
}

static void cleanup(struct restore_ctx *restore)
{
	struct hvm_restore *hvm = restore->arch;

	if (!hvm)
		return;
	cpu_policy_release(&hvm->policy);
	free(hvm->context);
	free(hvm);
	restore->arch = NULL;
}

static int keep_context(struct restore_ctx *restore, const struct record *rec)
{
	struct hvm_restore *hvm = restore->arch;
	void *copy = malloc(rec->length);

	if (!copy)
		return ctx_fail_errno(&restore->ctx, ENOMEM, "no %u octets", rec->length);
	memcpy(copy, rec->body, rec->length);
	free(hvm->context);
	hvm->context = copy;
	hvm->context_octets = rec->length;
	return 0;
}

static void keep_params(struct restore_ctx *restore, const struct wire_hvm_params *params)
{
	struct hvm_restore *hvm = restore->arch;

	for (uint32_t i = 0; i < params->count; i++) {
		hvm->params[params->param[i].index] = params->param[i].value;
		hvm->have_params |= 1ull << params->param[i].index;
	}
}

static int process_record(struct restore_ctx *restore, const struct record *rec)
{
	struct hvm_restore *hvm = restore->arch;

	switch (rec->type) {
	case REC_X86_CPUID_POLICY:
	case REC_X86_MSR_POLICY:
		return cpu_policy_keep(restore, &hvm->policy, rec);
	case REC_X86_TSC_INFO:
		memcpy(&hvm->tsc, rec->body, sizeof(hvm->tsc));
		hvm->have_tsc = true;
		return 0;
	case REC_HVM_CONTEXT:
		return keep_context(restore, rec);
	case REC_HVM_PARAMS:
		keep_params(restore, rec->body);
		return 0;
	default:
		return RECORD_NOT_PROCESSED;
	}
}

static int check_record(struct restore_ctx *restore, const struct record *rec)
{
	(void)restore;
	(void)rec;
	return 0;
}

static int check_page(struct restore_ctx *restore, uint64_t pfn, enum page_type type,
		      const void *page)
{
	(void)restore;
	(void)pfn;
	(void)type;
	(void)page;
	return 0;
}

/* A parameter that went back to 0 is not sent any more. */
static int image_starts(struct restore_ctx *restore)
{
	struct hvm_restore *hvm = restore->arch;

	memset(hvm->params, 0, sizeof(hvm->params));
	hvm->have_params = 0;
	return 0;
}

static int static_data_complete(struct restore_ctx *restore, unsigned *missing)
{
	struct hvm_restore *hvm = restore->arch;

	return cpu_policy_apply(restore, &hvm->policy, missing);
}

/* The domain's own limit on guest physical addresses. */
static bool pfn_is_valid(const struct restore_ctx *restore, uint64_t pfn)
{
	unsigned bits = restore->info.gpaddr_bits;

	return bits <= PAGE_SHIFT_X86 || bits >= 64 || pfn < 1ull << (bits - PAGE_SHIFT_X86);
}

static bool pfn_has_memory(const struct restore_ctx *restore, uint64_t pfn)
{
	return pfn < PFN_LIMIT_X86 && pfn_set_has(&restore->populated, pfn);
}

static int release(struct restore_ctx *restore, const uint64_t *pfns, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		restore->gfns[i] = pfns[i];
		pfn_set_remove(&restore->populated, pfns[i]);
	}
	if (xc_domain_decrease_reservation_exact(restore->xch, restore->domid, n, 0, restore->gfns))
		return ctx_fail_errno(&restore->ctx, errno,
				      "Xen did not take %u pages back, from pfn %#" PRIx64 " on", n,
				      pfns[0]);
	restore->pages_populated -= n;
	return 0;
}

static xen_pfn_t pfn_to_gfn(const struct restore_ctx *restore, uint64_t pfn)
{
	(void)restore;
	return pfn;
}

static int localise_page(struct restore_ctx *restore, uint64_t pfn, enum page_type type, void *page)
{
	(void)restore;
	(void)pfn;
	(void)type;
	(void)page;
	return 0;
}

/* ---- completion ------------------------------------------------------------------------ */

/* The rings that a new backend finds empty. */
static const struct {
	unsigned index;
	const char *name;
	bool mandatory; /* the toolstack connects to it: it must be guest memory */
} rings[] = {
	{HVM_PARAM_STORE_PFN, "xenstore", true},
	{HVM_PARAM_CONSOLE_PFN, "console", true},
	{HVM_PARAM_IOREQ_PFN, "ioreq", false},
	{HVM_PARAM_BUFIOREQ_PFN, "buffered ioreq", false},
};
#define NR_RINGS (sizeof(rings) / sizeof(rings[0]))

static bool have_param(const struct hvm_restore *hvm, unsigned index)
{
	return hvm->have_params >> index & 1;
}

/* A saver leaves out parameters that are 0, so a ring at pfn 0 is none. */
static bool have_ring(const struct hvm_restore *hvm, unsigned index)
{
	return have_param(hvm, index) && hvm->params[index] != 0;
}

static bool page_is_remade(struct restore_ctx *restore, uint64_t pfn)
{
	const struct hvm_restore *hvm = restore->arch;

	for (size_t i = 0; i < NR_RINGS; i++) {
		if (have_ring(hvm, rings[i].index) && hvm->params[rings[i].index] == pfn)
			return true;
	}
	return false;
}

static int check_rings(struct restore_ctx *restore, const struct hvm_restore *hvm)
{
	for (size_t i = 0; i < NR_RINGS; i++) {
		uint64_t pfn = hvm->params[rings[i].index];

		if (!rings[i].mandatory || !have_ring(hvm, rings[i].index))
			continue;
		if (pfn >= PFN_LIMIT_X86 || !pfn_set_has(&restore->populated, pfn))
			return ctx_fail(&restore->ctx, EBADMSG,
					"the %s page is pfn %#" PRIx64 ", which the stream did not "
					"bring",
					rings[i].name, pfn);
	}
	return 0;
}

static int clear_rings(struct restore_ctx *restore, const struct hvm_restore *hvm)
{
	for (size_t i = 0; i < NR_RINGS; i++) {
		uint64_t pfn = hvm->params[rings[i].index];

		if (!have_ring(hvm, rings[i].index) || pfn >= PFN_LIMIT_X86 ||
		    !pfn_set_has(&restore->populated, pfn))
			continue;
		if (xc_clear_domain_page(restore->xch, restore->domid, pfn))
			return ctx_fail_errno(&restore->ctx, errno,
					      "cannot clear the %s page, pfn %#" PRIx64,
					      rings[i].name, pfn);
	}
	return 0;
}

static int set_param(struct restore_ctx *restore, unsigned index, uint64_t value)
{
	if (xc_hvm_param_set(restore->xch, restore->domid, index, value) < 0)
		return ctx_fail_errno(&restore->ctx, errno,
				      "cannot set HVM parameter %u to %#" PRIx64, index, value);
	return 0;
}

/* COLO does it again for each checkpoint: what was set and did not come now is 0. */
static int set_params(struct restore_ctx *restore, struct hvm_restore *hvm)
{
	for (unsigned index = 0; index < PARAMS_LIMIT; index++) {
		bool set_before = hvm->set_params >> index & 1;

		/* PAE_ENABLED says nothing since Xen 4.5 and cannot be set any more. */
		if ((!have_param(hvm, index) && !set_before) || index == HVM_PARAM_OLD_PAE_ENABLED)
			continue;
		if (set_param(restore, index, hvm->params[index]))
			return -1;
		hvm->set_params |= 1ull << index;
	}
	if (set_param(restore, HVM_PARAM_STORE_EVTCHN, restore->params.store_evtchn) ||
	    set_param(restore, HVM_PARAM_CONSOLE_EVTCHN, restore->params.console_evtchn))
		return -1;
	return 0;
}

static int stream_complete(struct restore_ctx *restore)
{
	struct hvm_restore *hvm = restore->arch;

	restore->results.store_gfn = hvm->params[HVM_PARAM_STORE_PFN];
	restore->results.console_gfn = hvm->params[HVM_PARAM_CONSOLE_PFN];

	if (check_rings(restore, hvm) || clear_rings(restore, hvm) || set_params(restore, hvm))
		return -1;
	if (hvm->have_tsc && tsc_restore(restore, &hvm->tsc))
		return -1;
	if (xc_domain_hvm_setcontext(restore->xch, restore->domid, hvm->context,
				     hvm->context_octets) < 0)
		return ctx_fail_errno(&restore->ctx, errno,
				      "Xen refused the HVM context of %u octets",
				      hvm->context_octets);
	return grant_table_seed(restore, restore->results.console_gfn, restore->results.store_gfn);
}

const struct restore_ops restore_ops_x86_hvm = {
	.guest_type = GUEST_X86_HVM,
	.pfn_is_gfn = true,
	.setup = setup,
	.process_record = process_record,
	.check_record = check_record,
	.check_page = check_page,
	.image_starts = image_starts,
	.static_data_complete = static_data_complete,
	.pfn_is_valid = pfn_is_valid,
	.populate = hvm_populate,
	.pfn_has_memory = pfn_has_memory,
	.release = release,
	.pfn_to_gfn = pfn_to_gfn,
	.localise_page = localise_page,
	.page_is_remade = page_is_remade,
	.stream_complete = stream_complete,
	.cleanup = cleanup,
};
