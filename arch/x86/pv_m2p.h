/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The machine-to-phys table: which pfn its owner knows a machine frame by. */
#ifndef XENSR_X86_PV_M2P_H
#define XENSR_X86_PV_M2P_H

#include "pv_guest.h"
#include "save.h"

/* Xen lists the table in chunks of 2 MiB: so many entries. */
#define PV_M2P_CHUNK_MFNS ((2ul << 20) / sizeof(uint64_t))

struct pv_m2p {
	const uint64_t *pfns; /* by mfn; Xen's, mapped read-only; changes any time */
	uint64_t nr_mfns;     /* that the table has room for */
	bool *holes;          /* of the machine: chunks of the table that there are not */
	size_t nr_frames;     /* of the mapping */
	uint64_t compat_mfn0; /* first frame of the table that 32-bit guests see */
};

/*
 * Map Xen's table (XENMEM_machphys_mfn_list, from DOMID_XEN), and for a 32-bit guest find the
 * compat one. Returns 0, or -1 with the error set.
 */
int pv_m2p_map(struct save_ctx *save, struct pv_m2p *m2p, bool compat) MUST_CHECK;

/* Idempotent. */
void pv_m2p_unmap(struct save_ctx *save, struct pv_m2p *m2p);

/* The table's word on mfn, read once; PV_INVALID_FRAME beyond its end. */
static inline uint64_t pv_m2p_get(const struct pv_m2p *m2p, uint64_t mfn)
{
	if (mfn >= m2p->nr_mfns || m2p->holes[mfn / PV_M2P_CHUNK_MFNS])
		return PV_INVALID_FRAME;
	return __atomic_load_n(&m2p->pfns[mfn], __ATOMIC_RELAXED);
}

#endif
