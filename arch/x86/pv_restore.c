/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * restore_ops of x86 PV guests, 64-bit and 32-bit (PAE). Page tables get the new machine frames
 * as they come; vcpus, shared info and p2m are kept and given to the domain at the end:
 *
 *   start info -> shared info -> vcpus -> pinned page tables -> p2m -> TSC -> grant table
 *
 * vcpus before pins: a 32-bit guest's L3 may only lie above 4 GiB once Xen knows, from vcpu 0's
 * vm_assist, that the guest can have it there.
 */
#include "pv_restore.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <xen/domctl.h>

#include "grant_table.h"
#include "pv_pagetable.h"
#include "tsc.h"
#include "xen_compat.h"

static int setup(struct restore_ctx *restore)
{
	struct pv_restore *pv = calloc(1, sizeof(*pv));

	if (!pv)
		return ctx_fail_errno(&restore->ctx, ENOMEM, "no memory to begin with");
	restore->arch = pv;
	pv->nr_vcpus = restore->info.max_vcpu_id + 1;
	if (pv->nr_vcpus == 0 || pv->nr_vcpus > VCPU_ID_MAX + 1)
		return ctx_fail(&restore->ctx, EINVAL, "domain %u has no vcpus", restore->domid);
	pv->vcpus = calloc(pv->nr_vcpus, sizeof(*pv->vcpus));
	if (!pv->vcpus)
		return ctx_fail_errno(&restore->ctx, ENOMEM, "no room for %u vcpus", pv->nr_vcpus);
	return 0;
}

static void cleanup(struct restore_ctx *restore)
{
	struct pv_restore *pv = restore->arch;

	if (!pv)
		return;
	cpu_policy_release(&pv->policy);
	pv_memory_release(&pv->memory);
	pv_vcpus_release(pv);
	free(pv->p2m_frames);
	free(pv);
	restore->arch = NULL;
}

/* ---- records --------------------------------------------------------------------------- */

/* A new PV domain is 64-bit; XEN_DOMCTL_set_address_size makes it 32-bit. */
static int process_pv_info(struct restore_ctx *restore, const struct wire_x86_pv_info *info)
{
	struct pv_restore *pv = restore->arch;
	struct xen_domctl domctl = {
		.cmd = XEN_DOMCTL_set_address_size,
		.interface_version = XEN_DOMCTL_INTERFACE_VERSION,
		.domain = (domid_t)restore->domid,
		.u.address_size.size = info->guest_width * 8u,
	};
	unsigned width = 0;

	pv->layout = pv_layout_of(info->guest_width);
	if (xc_domain_get_guest_width(restore->xch, restore->domid, &width))
		return ctx_fail_errno(&restore->ctx, errno, "cannot get the width of domain %u",
				      restore->domid);
	if (width == info->guest_width)
		return 0;
	if (xc_domctl(restore->xch, &domctl) < 0)
		return ctx_fail_errno(&restore->ctx, errno, "cannot make domain %u a %u-bit one",
				      restore->domid, info->guest_width * 8u);
	if (xc_domain_get_guest_width(restore->xch, restore->domid, &width) ||
	    width != info->guest_width)
		return ctx_fail(&restore->ctx, EIO, "domain %u did not become a %u-bit one",
				restore->domid, info->guest_width * 8u);
	return 0;
}

/* May come again for a p2m that grew; what it covers must follow what is known without a gap. */
static int check_p2m_frames(struct restore_ctx *restore, const struct wire_x86_pv_p2m_frames *head)
{
	struct pv_restore *pv = restore->arch;

	if (head->end_pfn >= pv_p2m_limit(restore->info.max_pages))
		return ctx_fail(&restore->ctx, EBADMSG,
				"a p2m up to pfn %#x is too large for domain %u, which may have "
				"%" PRIu64 " pages",
				head->end_pfn, restore->domid, (uint64_t)restore->info.max_pages);
	if (pv->nr_p2m_frames == 0 && head->start_pfn / pv->layout.fpp > 0)
		return ctx_fail(&restore->ctx, EBADMSG, "begins at pfn %#x, not at 0",
				head->start_pfn);
	if (head->start_pfn / pv->layout.fpp > pv->nr_p2m_frames)
		return ctx_fail(&restore->ctx, EBADMSG,
				"begins at pfn %#x and leaves a gap behind pfn %#" PRIx64,
				head->start_pfn, pv->nr_p2m_frames * pv->layout.fpp - 1);
	/* Room alone changes nothing, and pfns up to there may come now. */
	return pv_memory_grow(restore, &pv->memory, head->end_pfn + 1ull);
}

static int process_p2m_frames(struct restore_ctx *restore, const struct record *rec)
{
	struct pv_restore *pv = restore->arch;
	const struct wire_x86_pv_p2m_frames *head = rec->body;
	uint64_t first = head->start_pfn / pv->layout.fpp;
	uint64_t end = head->end_pfn / pv->layout.fpp + 1ull;
	uint64_t *frames;

	if (check_p2m_frames(restore, head))
		return -1;
	if (end > pv->nr_p2m_frames) {
		frames = realloc(pv->p2m_frames, end * sizeof(*frames));
		if (!frames)
			return ctx_fail_errno(&restore->ctx, ENOMEM,
					      "no room for %" PRIu64 " frames", end);
		pv->p2m_frames = frames;
		pv->nr_p2m_frames = end;
	}
	if (pv->p2m_size < head->end_pfn + 1ull)
		pv->p2m_size = head->end_pfn + 1ull;
	memcpy(pv->p2m_frames + first, head + 1, (end - first) * sizeof(*frames));
	return 0;
}

static int process_record(struct restore_ctx *restore, const struct record *rec)
{
	struct pv_restore *pv = restore->arch;

	switch (rec->type) {
	case REC_X86_PV_INFO:
		return process_pv_info(restore, rec->body);
	case REC_X86_CPUID_POLICY:
	case REC_X86_MSR_POLICY:
		return cpu_policy_keep(restore, &pv->policy, rec);
	case REC_X86_PV_P2M_FRAMES:
		return process_p2m_frames(restore, rec);
	case REC_X86_TSC_INFO:
		memcpy(&pv->tsc, rec->body, sizeof(pv->tsc));
		pv->have_tsc = true;
		return 0;
	case REC_SHARED_INFO:
		memcpy(pv->shared_page, rec->body, PAGE_OCTETS);
		return 0;
	case REC_X86_PV_VCPU_BASIC:
	case REC_X86_PV_VCPU_EXTENDED:
	case REC_X86_PV_VCPU_XSAVE:
	case REC_X86_PV_VCPU_MSRS:
		return pv_vcpu_keep(restore, rec);
	default:
		return RECORD_NOT_PROCESSED;
	}
}

static int check_record(struct restore_ctx *restore, const struct record *rec)
{
	switch (rec->type) {
	case REC_X86_PV_P2M_FRAMES:
		return check_p2m_frames(restore, rec->body);
	case REC_X86_PV_VCPU_BASIC:
	case REC_X86_PV_VCPU_EXTENDED:
	case REC_X86_PV_VCPU_XSAVE:
	case REC_X86_PV_VCPU_MSRS:
		return pv_vcpu_check(restore, rec);
	default:
		return 0;
	}
}

/* A vcpu that went offline is not sent any more. */
static int image_starts(struct restore_ctx *restore)
{
	pv_vcpus_forget(restore->arch);
	return 0;
}

static int static_data_complete(struct restore_ctx *restore, unsigned *missing)
{
	struct pv_restore *pv = restore->arch;

	return cpu_policy_apply(restore, &pv->policy, missing);
}

/* ---- memory ---------------------------------------------------------------------------- */

static bool pfn_is_valid(const struct restore_ctx *restore, uint64_t pfn)
{
	const struct pv_restore *pv = restore->arch;

	return pfn < pv->memory.nr_pfns;
}

/* What a pfn last came as is kept of all entries: one that became a hole is no page table. */
static int populate(struct restore_ctx *restore, const uint64_t *entries, uint32_t count,
		    uint32_t populated)
{
	struct pv_restore *pv = restore->arch;
	uint64_t pfns[PAGES_BATCH];
	uint32_t n = 0;

	for (uint32_t i = 0; i < count; i++) {
		enum page_type type = page_entry_type(entries[i]);
		uint64_t pfn = page_entry_pfn(entries[i]);

		if (pfn < pv->memory.nr_pfns)
			pv_memory_set_type(&pv->memory, pfn, type);
		if (!page_type_is_populated(type))
			continue;
		pfns[n++] = pfn;
		if (n == PAGES_BATCH || n == populated) {
			if (pv_memory_populate(restore, &pv->memory, pfns, n))
				return -1;
			populated -= n;
			n = 0;
		}
	}
	return 0;
}

static xen_pfn_t pfn_to_gfn(const struct restore_ctx *restore, uint64_t pfn)
{
	const struct pv_restore *pv = restore->arch;

	return pv_memory_mfn(&pv->memory, pfn);
}

static bool pfn_has_memory(const struct restore_ctx *restore, uint64_t pfn)
{
	return pv_memory_mfn(&((struct pv_restore *)restore->arch)->memory, pfn) !=
	       PV_INVALID_FRAME;
}

/*
 * Frames that no page table names, or the saver would have refused them. But stock also sends
 * "invalid" for a page table that it cannot normalise, which others may name: these stay.
 */
static int release(struct restore_ctx *restore, const uint64_t *pfns, uint32_t n)
{
	struct pv_restore *pv = restore->arch;
	uint32_t frames = 0;

	for (uint32_t i = 0; i < n; i++) {
		if (pv_memory_was_table(&pv->memory, pfns[i]))
			continue;
		restore->gfns[frames++] = pv_memory_mfn(&pv->memory, pfns[i]);
		pv_memory_forget(&pv->memory, pfns[i]);
	}
	if (frames && xc_domain_decrease_reservation_exact(restore->xch, restore->domid, frames, 0,
							   restore->gfns))
		return ctx_fail_errno(&restore->ctx, errno,
				      "Xen did not take %u pages back, from pfn %#" PRIx64 " on",
				      frames, pfns[0]);
	restore->pages_populated -= frames;
	return 0;
}

/* Has the guest page tables of this level? *level is 0 for other pages. */
static int check_level(struct restore_ctx *restore, uint64_t pfn, enum page_type type,
		       unsigned *level)
{
	const struct pv_restore *pv = restore->arch;

	*level = page_type_level(type);
	if (*level > pv->layout.levels)
		return ctx_fail(&restore->ctx, EBADMSG,
				"pfn %#" PRIx64
				" is a level-%u page table; the guest has %u levels",
				pfn, *level, pv->layout.levels);
	return 0;
}

static int check_page(struct restore_ctx *restore, uint64_t pfn, enum page_type type,
		      const void *page)
{
	const struct pv_restore *pv = restore->arch;
	unsigned level;

	if (check_level(restore, pfn, type, &level))
		return -1;
	return level ? pv_check_table(restore, &pv->memory, pfn, level, page) : 0;
}

static int localise_page(struct restore_ctx *restore, uint64_t pfn, enum page_type type, void *page)
{
	struct pv_restore *pv = restore->arch;
	unsigned level;

	if (check_level(restore, pfn, type, &level))
		return -1;
	return level ? pv_localise_table(restore, &pv->memory, pfn, level, page) : 0;
}

int pv_frame_of(struct restore_ctx *restore, const char *what, uint64_t pfn, uint32_t types,
		uint64_t *mfn)
{
	const struct pv_restore *pv = restore->arch;

	*mfn = pv_memory_mfn(&pv->memory, pfn);
	if (*mfn == PV_INVALID_FRAME)
		return ctx_fail(&restore->ctx, EBADMSG,
				"%s is pfn %#" PRIx64 ", which the stream did not bring", what,
				pfn);
	if (!(types >> pv_memory_type(&pv->memory, pfn) & 1))
		return ctx_fail(&restore->ctx, EBADMSG,
				"%s is pfn %#" PRIx64 ", which is a page of type %#x", what, pfn,
				pv_memory_type(&pv->memory, pfn));
	return 0;
}

/* ---- completion ------------------------------------------------------------------------ */

static void *map_page(struct restore_ctx *restore, const char *what, uint64_t mfn)
{
	xen_pfn_t frame = mfn;
	void *page = xenforeignmemory_map(restore->fmem, restore->domid, PROT_READ | PROT_WRITE, 1,
					  &frame, NULL);

	if (!page)
		ctx_fail_errno(&restore->ctx, errno, "cannot map %s, frame %#" PRIx64, what, mfn);
	return page;
}

static void unmap_pages(struct restore_ctx *restore, void *pages, size_t n)
{
	if (xenforeignmemory_unmap(restore->fmem, pages, n))
		ctx_log(&restore->ctx, XENSR_LOG_WARN, "cannot unmap %zu pages: %s", n,
			strerror(errno));
}

/* The pages over which the guest talks to xenstore and its console are named in its start info. */
static bool page_is_remade(struct restore_ctx *restore, uint64_t pfn)
{
	const struct pv_restore *pv = restore->arch;
	uint64_t info_pfn = pv->vcpus[0].blobs[PV_VCPU_BASIC].octets ? pv_vcpus_start_info(pv)
								     : PV_INVALID_FRAME;
	uint64_t frame = pv_memory_mfn(&pv->memory, info_pfn);
	const start_info_any_t *info;
	bool remade;

	if (frame == PV_INVALID_FRAME)
		return false;
	info = map_page(restore, "the start info", frame);
	if (!info)
		return false;
	remade = PV_GET(&pv->layout, info, store_mfn) == pfn ||
		 PV_GET(&pv->layout, info, console.domU.mfn) == pfn;
	unmap_pages(restore, (void *)(uintptr_t)info, 1);
	return remade;
}

/*
 * What a guest reads when it resumes (struct start_info, xen/xen.h). Before it was suspended it
 * put the pfns of its xenstore and console pages where their frames belong.
 */
static int restore_start_info(struct restore_ctx *restore)
{
	struct pv_restore *pv = restore->arch;
	const struct pv_layout *layout = &pv->layout;
	uint64_t frame, store, console;
	start_info_any_t *info;
	int rc = -1;

	if (pv_frame_of(restore, "the start info", pv_vcpus_start_info(pv), PV_NORMAL_PAGES,
			&frame))
		return -1;
	info = map_page(restore, "the start info", frame);
	if (!info)
		return -1;
	if (pv_frame_of(restore, "the xenstore page", PV_GET(layout, info, store_mfn),
			PV_NORMAL_PAGES, &store) ||
	    pv_frame_of(restore, "the console page", PV_GET(layout, info, console.domU.mfn),
			PV_NORMAL_PAGES, &console))
		goto out;
	PV_SET(layout, info, nr_pages, pv->p2m_size); /* as stock does */
	PV_SET(layout, info, shared_info, restore->info.shared_info_frame << PAGE_SHIFT_X86);
	PV_SET(layout, info, flags, 0);
	PV_SET(layout, info, store_mfn, store);
	PV_SET(layout, info, store_evtchn, restore->params.store_evtchn);
	PV_SET(layout, info, console.domU.mfn, console);
	PV_SET(layout, info, console.domU.evtchn, restore->params.console_evtchn);
	restore->results.store_gfn = store;
	restore->results.console_gfn = console;
	rc = 0;
out:
	unmap_pages(restore, info, 1);
	return rc;
}

/* n pages of the guest's p2m, mapped, from the one for pfn first * fpp on. */
static void fill_p2m(const struct pv_restore *pv, uint8_t *pages, uint64_t first, uint64_t n)
{
	uint64_t pfn = first * pv->layout.fpp;

	for (uint64_t i = 0; i < n * pv->layout.fpp; i++)
		pv_write_frame(&pv->layout, pages, i, pv_memory_mfn(&pv->memory, pfn + i));
}

static int restore_p2m(struct restore_ctx *restore)
{
	struct pv_restore *pv = restore->arch;

	for (uint64_t first = 0; first < pv->nr_p2m_frames; first += PAGES_BATCH) {
		uint64_t left = pv->nr_p2m_frames - first;
		uint32_t n = left < PAGES_BATCH ? (uint32_t)left : PAGES_BATCH;
		void *pages;

		for (uint32_t i = 0; i < n; i++) {
			if (pv_frame_of(restore, "a page of the p2m", pv->p2m_frames[first + i],
					PV_NORMAL_PAGES, &restore->gfns[i]))
				return -1;
		}
		pages = xenforeignmemory_map(restore->fmem, restore->domid, PROT_READ | PROT_WRITE,
					     n, restore->gfns, NULL);
		if (!pages)
			return ctx_fail_errno(&restore->ctx, errno,
					      "cannot map %u pages of the p2m", n);
		fill_p2m(pv, pages, first, n);
		unmap_pages(restore, pages, n);
	}
	return 0;
}

#define PINS_A_CALL 128u

static int pin_some(struct restore_ctx *restore, struct mmuext_op *pins, uint32_t n)
{
	if (n && xc_mmuext_op(restore->xch, pins, n, restore->domid) < 0)
		return ctx_fail_errno(&restore->ctx, errno,
				      "Xen refused to pin %u page tables from frame %#" PRIx64
				      " on",
				      n, (uint64_t)pins[0].arg1.mfn);
	return 0;
}

static int pin_tables(struct restore_ctx *restore)
{
	const struct pv_memory *memory = &((struct pv_restore *)restore->arch)->memory;
	struct mmuext_op pins[PINS_A_CALL] = {0};
	uint32_t n = 0;

	for (uint64_t pfn = 0; pfn < memory->nr_pfns; pfn++) {
		enum page_type type = pv_memory_type(memory, pfn);

		if (type < PAGE_L1_PINNED || type > PAGE_L4_PINNED)
			continue;
		pins[n].cmd = MMUEXT_PIN_L1_TABLE + page_type_level(type) - 1;
		pins[n++].arg1.mfn = pv_memory_mfn(memory, pfn);
		if (n < PINS_A_CALL)
			continue;
		if (pin_some(restore, pins, n))
			return -1;
		n = 0;
	}
	return pin_some(restore, pins, n);
}

/*
 * Its vcpu_info and arch parts are the guest's; event channels are all new, so that none is
 * pending and all are masked.
 */
static int restore_shared_info(struct restore_ctx *restore)
{
	struct pv_restore *pv = restore->arch;
	const struct pv_layout *layout = &pv->layout;
	shared_info_any_t *to =
		map_page(restore, "the shared info", restore->info.shared_info_frame);

	if (!to)
		return -1;
	if (layout->width == 8) {
		memcpy(to->x64.vcpu_info, pv->shared.x64.vcpu_info, sizeof(to->x64.vcpu_info));
		memcpy(&to->x64.arch, &pv->shared.x64.arch, sizeof(to->x64.arch));
		memset(to->x64.evtchn_pending, 0, sizeof(to->x64.evtchn_pending));
		memset(to->x64.evtchn_mask, 0xff, sizeof(to->x64.evtchn_mask));
	} else {
		memcpy(to->x32.vcpu_info, pv->shared.x32.vcpu_info, sizeof(to->x32.vcpu_info));
		memcpy(&to->x32.arch, &pv->shared.x32.arch, sizeof(to->x32.arch));
		memset(to->x32.evtchn_pending, 0, sizeof(to->x32.evtchn_pending));
		memset(to->x32.evtchn_mask, 0xff, sizeof(to->x32.evtchn_mask));
	}
	for (unsigned i = 0; i < XEN_LEGACY_MAX_VCPUS; i++)
		PV_SET(layout, to, vcpu_info[i].evtchn_pending_sel, 0);
	PV_SET(layout, to, arch.pfn_to_mfn_frame_list_list, 0);
	unmap_pages(restore, to, 1);
	return 0;
}

/* A page that a page table names and the stream never brought would be blank. */
static int check_memory(struct restore_ctx *restore)
{
	const struct pv_memory *memory = &((struct pv_restore *)restore->arch)->memory;

	for (uint64_t pfn = 0; pfn < memory->nr_pfns; pfn++) {
		if (memory->types[pfn] == 0 && pv_memory_mfn(memory, pfn) != PV_INVALID_FRAME)
			return ctx_fail(&restore->ctx, EBADMSG,
					"a page table names pfn %#" PRIx64
					", which the stream did not bring",
					pfn);
	}
	return 0;
}

static int stream_complete(struct restore_ctx *restore)
{
	struct pv_restore *pv = restore->arch;

	if (pv_vcpus_check(restore) || check_memory(restore))
		return -1;
	/* Its size has changed since the start. */
	if (xen_domain_info(restore->xch, restore->domid, &restore->info))
		return ctx_fail_errno(&restore->ctx, errno, "no information about domain %u",
				      restore->domid);
	if (restore_start_info(restore) || restore_shared_info(restore) ||
	    pv_vcpus_restore(restore) || pin_tables(restore) || restore_p2m(restore))
		return -1;
	if (pv->have_tsc && tsc_restore(restore, &pv->tsc))
		return -1;
	return grant_table_seed(restore, restore->results.console_gfn, restore->results.store_gfn);
}

const struct restore_ops restore_ops_x86_pv = {
	.guest_type = GUEST_X86_PV,
	.pfn_is_gfn = false, /* page tables do */
	.setup = setup,
	.process_record = process_record,
	.check_record = check_record,
	.check_page = check_page,
	.image_starts = image_starts,
	.static_data_complete = static_data_complete,
	.pfn_is_valid = pfn_is_valid,
	.populate = populate,
	.pfn_has_memory = pfn_has_memory,
	.release = release,
	.pfn_to_gfn = pfn_to_gfn,
	.localise_page = localise_page,
	.page_is_remade = page_is_remade,
	.stream_complete = stream_complete,
	.cleanup = cleanup,
};
