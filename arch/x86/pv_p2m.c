/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pv_p2m.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* P2M_FRAMES has 32 bits for a pfn. */
#define PFN_LIMIT_P2M (1ull << 32)

/* The part of the address space that is Xen's (xen/arch-x86/xen-x86_64.h, xen-x86_32.h). */
#define XEN_VIRT_START_64 0xffff800000000000ull
#define XEN_VIRT_END_64   0xffff880000000000ull
#define XEN_VIRT_START_32 0xf5800000ull
#define VIRT_END_32       (1ull << 32)

/* Copy one of the guest's pages. `what` says which, for the error. */
static int copy_page(struct save_ctx *save, const struct pv_m2p *m2p, uint64_t mfn, void *copy,
		     const char *what)
{
	xen_pfn_t frame = mfn;
	void *page;

	if (mfn == 0 || mfn >= m2p->nr_mfns)
		return ctx_fail(&save->ctx, ERANGE,
				"the guest's %s is frame %#" PRIx64 ", which the machine has not",
				what, mfn);
	page = xenforeignmemory_map(save->fmem, save->domid, PROT_READ, 1, &frame, NULL);
	if (!page)
		return ctx_fail_errno(&save->ctx, errno,
				      "cannot map the guest's %s, frame %#" PRIx64, what, mfn);
	memcpy(copy, page, PAGE_OCTETS);
	if (xenforeignmemory_unmap(save->fmem, page, 1))
		ctx_log(&save->ctx, XENSR_LOG_WARN, "cannot unmap the guest's %s: %s", what,
			strerror(errno));
	return 0;
}

/* ---- walking --------------------------------------------------------------------------- */

/* A walk down the guest's page tables; neighbouring addresses reuse the copies. */
struct walk {
	uint64_t tables[4][PTES_IN_PAGE]; /* copies; [0] is the level-1 table at hand */
	uint64_t mfns[4];                 /* of which frames */
	uint64_t top;                     /* the root's frame */
};

static unsigned pte_index(uint64_t va, unsigned level)
{
	return (unsigned)(va >> (PTE_FRAME_SHIFT + 9 * (level - 1))) % PTES_IN_PAGE;
}

/*
 * The frame that va is mapped to, and in *table that of its level-1 table; PV_INVALID_FRAME
 * where nothing is mapped. Returns 0, or -1 with the error set.
 */
static int walk_to(struct save_ctx *save, struct walk *walk, const struct pv_layout *layout,
		   const struct pv_m2p *m2p, uint64_t va, uint64_t *mfn, uint64_t *table)
{
	uint64_t at = walk->top;

	*mfn = PV_INVALID_FRAME;
	*table = PV_INVALID_FRAME;
	for (unsigned level = layout->levels; level > 0; level--) {
		unsigned slot = level - 1;
		uint64_t pte;

		if (walk->mfns[slot] != at) {
			if (copy_page(save, m2p, at, walk->tables[slot],
				      level == layout->levels ? "p2m_cr3"
							      : "page table of the p2m"))
				return -1;
			walk->mfns[slot] = at;
		}
		pte = walk->tables[slot][pte_index(va, level)];
		if (!(pte & PTE_PRESENT))
			return 0;
		if (level > 1 && (pte & PTE_PSE))
			return ctx_fail(&save->ctx, EINVAL,
					"the guest's p2m at %#" PRIx64
					" is mapped by a superpage, which PV guests have not",
					va);
		if (level == 1)
			*table = at;
		at = pte_frame(pte);
	}
	*mfn = at;
	return 0;
}

/* May the guest's p2m lie at these addresses? */
static int check_range(struct save_ctx *save, const struct pv_layout *layout, uint64_t va,
		       uint64_t octets)
{
	uint64_t last = va + octets - 1;
	bool good = va % PAGE_OCTETS == 0 && last >= va;

	if (layout->width == 4)
		good = good && last < XEN_VIRT_START_32;
	else if (va >= XEN_VIRT_START_64)
		good = good && va >= XEN_VIRT_END_64;
	else
		good = good && last < 1ull << 47;
	if (!good)
		return ctx_fail(&save->ctx, ERANGE,
				"p2m_vaddr %#" PRIx64 " is no place for a p2m of %" PRIu64
				" octets",
				va, octets);
	return 0;
}

/* ---- the tail -------------------------------------------------------------------------- */

/*
 * What the frames of the p2m hang on, in blocks of `frames`: level-1 page tables of the linear
 * list, or pages of the older tree. The first block has `lead` frames fewer.
 */
struct blocks {
	uint64_t *mfns; /* of which table or page */
	size_t nr;
	unsigned frames, lead;
};

static int blocks_init(struct save_ctx *save, struct blocks *blocks, size_t nr_frames,
		       unsigned frames, unsigned lead)
{
	blocks->frames = frames;
	blocks->lead = lead;
	blocks->nr = (nr_frames + lead + frames - 1) / frames;
	blocks->mfns = calloc(blocks->nr, sizeof(*blocks->mfns));
	if (!blocks->mfns)
		return ctx_fail_errno(&save->ctx, ENOMEM, "no room to find the guest's p2m");
	return 0;
}

/* The first frame of a block. */
static size_t block_start(const struct blocks *blocks, size_t block)
{
	return block ? block * blocks->frames - blocks->lead : 0;
}

/* Is any of the pfns first … last, as these frames have them, the guest's own memory? */
static int tail_has_memory(struct save_ctx *save, const struct pv_layout *layout,
			   const struct pv_m2p *m2p, const xen_pfn_t *mfns, size_t nr,
			   uint64_t first, uint64_t last, bool *has)
{
	uint8_t page[PAGE_OCTETS];

	*has = false;
	for (size_t i = 0; i < nr && !*has; i++) {
		if (i && mfns[i] == mfns[i - 1])
			continue;
		if (copy_page(save, m2p, mfns[i], page, "p2m"))
			return -1;
		for (unsigned k = 0; k < layout->fpp && !*has; k++) {
			uint64_t pfn = pv_m2p_get(m2p, pv_read_frame(layout, page, k));

			*has = pfn >= first && pfn <= last;
		}
	}
	return 0;
}

/*
 * A guest's p2m may go far beyond its memory, with one table or page over and over for all that
 * is missing: all but the first of such a tail goes, unless the guest has memory there.
 */
static int trim_tail(struct save_ctx *save, struct pv_p2m *p2m, const struct pv_layout *layout,
		     const struct pv_m2p *m2p, const struct blocks *blocks)
{
	size_t keep = blocks->nr, last = blocks->nr - 1;
	size_t frames;
	bool has;

	while (keep > 1 && blocks->mfns[keep - 2] == blocks->mfns[last])
		keep--;
	/* A first block that is not whole does not show all of what the others have. */
	if (keep == 1 && blocks->lead && blocks->nr > 1)
		keep = 2;
	if (keep == blocks->nr)
		return 0;
	frames = block_start(blocks, keep);
	/* All blocks of the tail are one and the same: any of them tells. */
	if (tail_has_memory(save, layout, m2p, p2m->mfns + block_start(blocks, keep - 1),
			    frames - block_start(blocks, keep - 1), frames * (uint64_t)layout->fpp,
			    p2m->max_pfn, &has))
		return -1;
	if (has)
		return 0;
	ctx_log(&save->ctx, XENSR_LOG_DETAIL, "p2m trimmed from pfn %#" PRIx64 " to %#" PRIx64,
		p2m->max_pfn, frames * (uint64_t)layout->fpp - 1);
	p2m->max_pfn = frames * (uint64_t)layout->fpp - 1;
	p2m->nr_frames = frames;
	return 0;
}

/* ---- the linear list ------------------------------------------------------------------- */

static int fill_linear(struct save_ctx *save, struct pv_p2m *p2m, const struct pv_layout *layout,
		       const struct pv_m2p *m2p, struct walk *walk, uint64_t va,
		       struct blocks *blocks)
{
	for (size_t i = 0; i < p2m->nr_frames; i++) {
		uint64_t mfn, table;

		if (walk_to(save, walk, layout, m2p, va + i * PAGE_OCTETS, &mfn, &table))
			return -1;
		if (mfn == PV_INVALID_FRAME)
			return ctx_fail(&save->ctx, EINVAL,
					"the guest's p2m is not mapped at %#" PRIx64
					", for pfn %#" PRIx64,
					va + i * PAGE_OCTETS, (uint64_t)i * layout->fpp);
		p2m->mfns[i] = mfn;
		blocks->mfns[(i + blocks->lead) / blocks->frames] = table;
	}
	return 0;
}

static int find_linear(struct save_ctx *save, struct pv_p2m *p2m, const struct pv_layout *layout,
		       const struct pv_m2p *m2p, uint64_t cr3, uint64_t va)
{
	struct walk *walk = calloc(1, sizeof(*walk));
	struct blocks blocks = {0};
	int rc = -1;

	if (!walk) {
		ctx_fail_errno(&save->ctx, ENOMEM, "no room to find the guest's p2m");
		goto out;
	}
	walk->top = cr3_frame(layout, cr3);
	for (unsigned i = 0; i < sizeof(walk->mfns) / sizeof(walk->mfns[0]); i++)
		walk->mfns[i] = PV_INVALID_FRAME;
	if (check_range(save, layout, va, (uint64_t)p2m->nr_frames * PAGE_OCTETS) ||
	    blocks_init(save, &blocks, p2m->nr_frames, PTES_IN_PAGE, pte_index(va, 1)) ||
	    fill_linear(save, p2m, layout, m2p, walk, va, &blocks))
		goto out;
	rc = trim_tail(save, p2m, layout, m2p, &blocks);
out:
	free(blocks.mfns);
	free(walk);
	return rc;
}

/* ---- the older tree -------------------------------------------------------------------- */

static int fill_tree(struct save_ctx *save, struct pv_p2m *p2m, const struct pv_layout *layout,
		     const struct pv_m2p *m2p, uint64_t list_list, struct blocks *blocks)
{
	uint8_t lists[PAGE_OCTETS], list[PAGE_OCTETS];

	if (copy_page(save, m2p, list_list, lists, "pfn_to_mfn_frame_list_list"))
		return -1;
	for (size_t i = 0; i < p2m->nr_frames; i++) {
		if (i % layout->fpp == 0) {
			uint64_t mfn = pv_read_frame(layout, lists, i / layout->fpp);

			if (copy_page(save, m2p, mfn, list, "pfn_to_mfn_frame_list"))
				return -1;
			blocks->mfns[i / layout->fpp] = mfn;
		}
		p2m->mfns[i] = pv_read_frame(layout, list, i % layout->fpp);
	}
	return 0;
}

/* pfn_to_mfn_frame_list_list: a page of frames of pages of frames of the p2m. */
static int find_tree(struct save_ctx *save, struct pv_p2m *p2m, const struct pv_layout *layout,
		     const struct pv_m2p *m2p, uint64_t list_list)
{
	struct blocks blocks = {0};
	int rc = -1;

	if (p2m->nr_frames > (size_t)layout->fpp * layout->fpp)
		return ctx_fail(&save->ctx, ERANGE,
				"max_pfn %#" PRIx64 " is more than a tree of three levels holds",
				p2m->max_pfn);
	if (blocks_init(save, &blocks, p2m->nr_frames, layout->fpp, 0) == 0 &&
	    fill_tree(save, p2m, layout, m2p, list_list, &blocks) == 0)
		rc = trim_tail(save, p2m, layout, m2p, &blocks);
	free(blocks.mfns);
	return rc;
}

/* ---- both ------------------------------------------------------------------------------ */

static int find_frames(struct save_ctx *save, struct pv_p2m *p2m, const struct pv_layout *layout,
		       const struct pv_m2p *m2p, const shared_info_any_t *shared)
{
	uint64_t cr3 = PV_GET(layout, shared, arch.p2m_cr3);

	if (cr3 == 0)
		return find_tree(save, p2m, layout, m2p,
				 PV_GET(layout, shared, arch.pfn_to_mfn_frame_list_list));
	if (PV_GET(layout, shared, arch.p2m_generation) & 1)
		return ctx_fail(&save->ctx, EAGAIN,
				"the guest was suspended while it changed its p2m");
	return find_linear(save, p2m, layout, m2p, cr3, PV_GET(layout, shared, arch.p2m_vaddr));
}

/* Everything but mapping it. */
static int find_p2m(struct save_ctx *save, struct pv_p2m *p2m, const struct pv_layout *layout,
		    const struct pv_m2p *m2p, const shared_info_any_t *shared)
{
	uint64_t entries = PV_GET(layout, shared, arch.max_pfn);

	if (entries == 0 || entries > PFN_LIMIT_P2M)
		return ctx_fail(&save->ctx, ERANGE,
				"the guest says that its p2m has %#" PRIx64 " entries", entries);
	p2m->max_pfn = entries - 1;
	p2m->nr_frames = p2m->max_pfn / layout->fpp + 1;
	p2m->mfns = calloc(p2m->nr_frames, sizeof(*p2m->mfns));
	if (!p2m->mfns)
		return ctx_fail_errno(&save->ctx, ENOMEM, "no room for the %zu frames of the p2m",
				      p2m->nr_frames);
	if (find_frames(save, p2m, layout, m2p, shared))
		return -1;
	if (p2m->max_pfn >= pv_p2m_limit(save->info.max_pages))
		return ctx_fail(&save->ctx, ERANGE,
				"the guest's p2m goes up to pfn %#" PRIx64
				", more than a restore would take of a domain of %" PRIu64 " pages",
				p2m->max_pfn, (uint64_t)save->info.max_pages);
	return 0;
}

int pv_p2m_map(struct save_ctx *save, struct pv_p2m *p2m, const struct pv_layout *layout,
	       const struct pv_m2p *m2p, const shared_info_any_t *shared)
{
	if (find_p2m(save, p2m, layout, m2p, shared))
		return -1;
	p2m->entries = xenforeignmemory_map(save->fmem, save->domid, PROT_READ, p2m->nr_frames,
					    p2m->mfns, NULL);
	if (!p2m->entries)
		return ctx_fail_errno(&save->ctx, errno, "cannot map the %zu frames of the p2m",
				      p2m->nr_frames);
	return 0;
}

int pv_p2m_is_same(struct save_ctx *save, const struct pv_p2m *p2m, const struct pv_layout *layout,
		   const struct pv_m2p *m2p, const shared_info_any_t *shared, bool *same)
{
	struct pv_p2m now = {0};
	int rc = find_p2m(save, &now, layout, m2p, shared);

	*same = rc == 0 && now.max_pfn == p2m->max_pfn && now.nr_frames == p2m->nr_frames &&
		memcmp(now.mfns, p2m->mfns, p2m->nr_frames * sizeof(*p2m->mfns)) == 0;
	pv_p2m_unmap(save, &now);
	return rc;
}

void pv_p2m_unmap(struct save_ctx *save, struct pv_p2m *p2m)
{
	if (p2m->entries &&
	    xenforeignmemory_unmap(save->fmem, (void *)(uintptr_t)p2m->entries, p2m->nr_frames))
		ctx_log(&save->ctx, XENSR_LOG_WARN, "cannot unmap the p2m: %s", strerror(errno));
	p2m->entries = NULL;
	free(p2m->mfns);
	p2m->mfns = NULL;
}
