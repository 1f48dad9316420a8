/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * save_ops of x86 PV guests, 64-bit and 32-bit (PAE). A PV guest knows machine frames; all that
 * it holds of them becomes pfns on the way into the stream.
 */
#include "pv_save.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "cpu_policy.h"
#include "pv_pagetable.h"
#include "tsc.h"

/* A running guest that moves its p2m gets so many milliseconds to finish. */
#define P2M_TRIES 100u

static int setup(struct save_ctx *save)
{
	struct pv_save *pv = calloc(1, sizeof(*pv));
	unsigned width = 0;

	if (!pv)
		return ctx_fail_errno(&save->ctx, ENOMEM, "no memory to begin with");
	save->arch = pv;
	if (xc_domain_get_guest_width(save->xch, save->domid, &width))
		return ctx_fail_errno(&save->ctx, errno, "cannot get the width of domain %u",
				      save->domid);
	if (width != 4 && width != 8)
		return ctx_fail(&save->ctx, EINVAL, "domain %u has a width of %u octets",
				save->domid, width);
	pv->layout = pv_layout_of(width);
	pv->tables = malloc(PAGES_BATCH * sizeof(*pv->tables));
	if (!pv->tables)
		return ctx_fail_errno(&save->ctx, ENOMEM, "no room for a batch of page tables");
	return pv_m2p_map(save, &pv->m2p, width == 4);
}

static void cleanup(struct save_ctx *save)
{
	struct pv_save *pv = save->arch;

	if (!pv)
		return;
	pv_p2m_unmap(save, &pv->p2m);
	pv_m2p_unmap(save, &pv->m2p);
	free(pv->tables);
	free(pv);
	save->arch = NULL;
}

static int write_static_data(struct save_ctx *save)
{
	const struct pv_save *pv = save->arch;
	struct wire_x86_pv_info info = {
		.guest_width = (uint8_t)pv->layout.width,
		.pt_levels = (uint8_t)pv->layout.levels,
	};
	struct iovec body = {.iov_base = &info, .iov_len = sizeof(info)};

	return write_record(&save->ctx, REC_X86_PV_INFO, &body, 1) ? -1 : cpu_policy_save(save);
}

/* From here on all is read from the copy. */
static int copy_shared_info(struct save_ctx *save, struct pv_save *pv)
{
	xen_pfn_t frame = save->info.shared_info_frame;
	void *page = xenforeignmemory_map(save->fmem, save->domid, PROT_READ, 1, &frame, NULL);

	if (!page)
		return ctx_fail_errno(&save->ctx, errno,
				      "cannot map the shared info, frame %#" PRIx64,
				      (uint64_t)frame);
	memcpy(pv->shared_page, page, PAGE_OCTETS);
	if (xenforeignmemory_unmap(save->fmem, page, 1))
		ctx_log(&save->ctx, XENSR_LOG_WARN, "cannot unmap the shared info: %s",
			strerror(errno));
	return 0;
}

static int write_p2m_frames(struct save_ctx *save, const struct pv_save *pv)
{
	const struct pv_p2m *p2m = &pv->p2m;
	struct wire_x86_pv_p2m_frames head = {.end_pfn = (uint32_t)p2m->max_pfn};
	struct iovec body[] = {
		{.iov_base = &head, .iov_len = sizeof(head)},
		{.iov_len = p2m->nr_frames * sizeof(uint64_t)},
	};
	uint64_t *pfns = malloc(body[1].iov_len);
	int rc = -1;

	if (!pfns)
		return ctx_fail_errno(&save->ctx, ENOMEM, "no room for the %zu frames of the p2m",
				      p2m->nr_frames);
	for (size_t i = 0; i < p2m->nr_frames; i++) {
		pfns[i] = pv_p2m_pfn_of(p2m, &pv->layout, &pv->m2p, p2m->mfns[i]);
		if (pfns[i] == PV_INVALID_FRAME) {
			ctx_fail(&save->ctx, EINVAL,
				 "frame %#" PRIx64 " of the guest's p2m, for pfn %#" PRIx64
				 ", is not its own",
				 (uint64_t)p2m->mfns[i], (uint64_t)i * pv->layout.fpp);
			goto out;
		}
	}
	body[1].iov_base = pfns;
	rc = write_record(&save->ctx, REC_X86_PV_P2M_FRAMES, body, 2);
out:
	free(pfns);
	return rc;
}

/* Only Xen writes to a PV guest's memory, but for the guest. */
static int switch_logdirty(struct save_ctx *save, bool on)
{
	(void)save;
	(void)on;
	return 0;
}

/* Is the guest changing the mappings of its linear p2m, or has it since this generation? */
static bool p2m_moves(const struct pv_save *pv, uint64_t generation)
{
	uint64_t now = PV_GET(&pv->layout, &pv->shared, arch.p2m_generation);

	return PV_GET(&pv->layout, &pv->shared, arch.p2m_cr3) && ((now & 1) || now != generation);
}

/*
 * Find the p2m of a guest that may be running and moving it: what was found counts only if the
 * generation is the same afterwards.
 */
static int map_p2m(struct save_ctx *save, struct pv_save *pv)
{
	for (unsigned tries = 0; tries < P2M_TRIES; tries++) {
		uint64_t generation;

		if (tries)
			nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
		if (copy_shared_info(save, pv))
			return -1;
		generation = PV_GET(&pv->layout, &pv->shared, arch.p2m_generation);
		if (save->running && p2m_moves(pv, generation))
			continue;
		if (pv_p2m_map(save, &pv->p2m, &pv->layout, &pv->m2p, &pv->shared))
			return -1;
		if (!save->running)
			return 0;
		if (copy_shared_info(save, pv))
			return -1;
		if (!p2m_moves(pv, generation))
			return 0;
		pv_p2m_unmap(save, &pv->p2m);
	}
	return ctx_fail(&save->ctx, EAGAIN, "the guest keeps changing the mappings of its p2m");
}

static int start_of_stream(struct save_ctx *save)
{
	struct pv_save *pv = save->arch;

	if (pv_vcpus_check_online(save) || map_p2m(save, pv))
		return -1;
	return write_p2m_frames(save, pv);
}

/*
 * What the stream says of the p2m must still be so. A guest that moves it, which is rare, is saved
 * another time.
 */
static int guest_suspended(struct save_ctx *save)
{
	struct pv_save *pv = save->arch;
	uint64_t generation = PV_GET(&pv->layout, &pv->shared, arch.p2m_generation);
	bool same = false;

	if (pv_vcpus_check_online(save) || copy_shared_info(save, pv))
		return -1;
	if (p2m_moves(pv, generation))
		return ctx_fail(
			&save->ctx, EAGAIN,
			"the guest changed the mappings of its p2m (p2m_generation) while it "
			"was saved");
	if (pv_p2m_is_same(save, &pv->p2m, &pv->layout, &pv->m2p, &pv->shared, &same))
		return -1;
	if (!same)
		return ctx_fail(&save->ctx, EAGAIN, "the guest moved its p2m while it was saved");
	return 0;
}

static int p2m_size(struct save_ctx *save, uint64_t *size)
{
	const struct pv_save *pv = save->arch;

	*size = pv->p2m.max_pfn + 1;
	return 0;
}

/* What the guest has in its p2m and does not own, it does not have. */
static void pfns_to_gfns(const struct save_ctx *save, const uint64_t *pfns, uint32_t n,
			 xen_pfn_t *gfns)
{
	const struct pv_save *pv = save->arch;

	for (uint32_t i = 0; i < n; i++) {
		uint64_t mfn = pv_p2m_get(&pv->p2m, &pv->layout, pfns[i]);

		gfns[i] = pv_m2p_get(&pv->m2p, mfn) == pfns[i] ? mfn : INVALID_GFN;
	}
}

static int normalise_page(struct save_ctx *save, uint32_t slot, uint64_t pfn, enum page_type type,
			  const void **page)
{
	struct pv_save *pv = save->arch;
	unsigned level = page_type_level(type);
	int rc;

	if (level == 0)
		return 0;
	if (level > pv->layout.levels)
		return ctx_fail(&save->ctx, EIO,
				"pfn %#" PRIx64
				" is a level-%u page table; the guest has %u levels",
				pfn, level, pv->layout.levels);
	rc = pv_normalise_table(save, &pv->layout, &pv->m2p, &pv->p2m, pfn, level, *page,
				pv->tables[slot]);
	if (rc == 0)
		*page = pv->tables[slot];
	return rc;
}

static int end_of_checkpoint(struct save_ctx *save)
{
	struct pv_save *pv = save->arch;
	struct iovec shared = {.iov_base = pv->shared_page, .iov_len = PAGE_OCTETS};

	if (tsc_save(save) || write_record(&save->ctx, REC_SHARED_INFO, &shared, 1))
		return -1;
	return pv_vcpus_save(save);
}

const struct save_ops save_ops_x86_pv = {
	.guest_type = GUEST_X86_PV,
	.setup = setup,
	.write_static_data = write_static_data,
	.switch_logdirty = switch_logdirty,
	.start_of_stream = start_of_stream,
	.guest_suspended = guest_suspended,
	.p2m_size = p2m_size,
	.pfns_to_gfns = pfns_to_gfns,
	.normalise_page = normalise_page,
	.end_of_checkpoint = end_of_checkpoint,
	.cleanup = cleanup,
};
