/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Finding a PV guest's own p2m: from its shared info to the frames that hold it, mapped.
 *
 * Everything here is the guest's word: each value is read once, checked, then used.
 */
#ifndef XENSR_X86_PV_P2M_H
#define XENSR_X86_PV_P2M_H

#include "pv_guest.h"
#include "pv_m2p.h"

struct pv_p2m {
	uint64_t max_pfn;    /* the last that the p2m has */
	size_t nr_frames;    /* that hold it */
	xen_pfn_t *mfns;     /* theirs; ours to free */
	const void *entries; /* all of it, mapped read-only; nr_frames pages */
};

/*
 * Find and map the p2m of the guest whose shared info this is: the linear list if
 * p2m_cr3 is set, else the older tree. A tail of it that is only one page table or page
 * over and over, as Linux has it for memory that may be plugged in, is left out if none of its
 * entries is the guest's own memory.
 *
 * Returns 0, or -1 with the error set, which names the field of the shared info.
 */
int pv_p2m_map(struct save_ctx *save, struct pv_p2m *p2m, const struct pv_layout *layout,
	       const struct pv_m2p *m2p, const shared_info_any_t *shared) MUST_CHECK;

/*
 * *same = is the p2m of the suspended guest, whose shared info this is now, where it was when
 * it was mapped? Returns 0, or -1 with the error set.
 */
int pv_p2m_is_same(struct save_ctx *save, const struct pv_p2m *p2m, const struct pv_layout *layout,
		   const struct pv_m2p *m2p, const shared_info_any_t *shared,
		   bool *same) MUST_CHECK;

/* Idempotent. */
void pv_p2m_unmap(struct save_ctx *save, struct pv_p2m *p2m);

/* The frame of pfn as the guest has it, read once; PV_INVALID_FRAME beyond the end. */
static inline uint64_t pv_p2m_get(const struct pv_p2m *p2m, const struct pv_layout *layout,
				  uint64_t pfn)
{
	return pfn > p2m->max_pfn ? PV_INVALID_FRAME : pv_read_frame(layout, p2m->entries, pfn);
}

/*
 * The pfn of a frame that is the guest's own: M2P and p2m agree on it. PV_INVALID_FRAME for any
 * other frame.
 */
static inline uint64_t pv_p2m_pfn_of(const struct pv_p2m *p2m, const struct pv_layout *layout,
				     const struct pv_m2p *m2p, uint64_t mfn)
{
	uint64_t pfn = pv_m2p_get(m2p, mfn);

	return pv_p2m_get(p2m, layout, pfn) == mfn ? pfn : PV_INVALID_FRAME;
}

#endif
