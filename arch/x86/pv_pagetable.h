/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A PV guest's page tables hold machine frames; in the stream they hold pfns.
 *
 *   save     normalise   mfn -> pfn, Xen's own slots emptied; into a buffer of ours
 *   restore  localise    pfn -> mfn; in place, in the new guest's page
 */
#ifndef XENSR_X86_PV_PAGETABLE_H
#define XENSR_X86_PV_PAGETABLE_H

#include "pv_guest.h"
#include "pv_m2p.h"
#include "pv_memory.h"
#include "pv_p2m.h"
#include "restore.h"

/*
 * Copy the table of this level from `from`, which is the guest's, to `to`. Each entry is read
 * once. Returns 0, or -1 with the error set: an entry names a frame that is not the guest's own,
 * or maps a superpage. While the guest runs, that is PAGE_DEFERRED.
 */
int pv_normalise_table(struct save_ctx *save, const struct pv_layout *layout,
		       const struct pv_m2p *m2p, const struct pv_p2m *p2m, uint64_t pfn,
		       unsigned level, const uint64_t *from, uint64_t *to) MUST_CHECK;

/*
 * Everything pv_localise_table would refuse in a table that came from the stream. Returns 0, or -1
 * with the error set.
 */
int pv_check_table(struct restore_ctx *restore, const struct pv_memory *memory, uint64_t pfn,
		   unsigned level, const uint64_t *table) MUST_CHECK;

/*
 * Replace the pfns in a table that came from the stream. Pfns that have no memory yet get some.
 * Returns 0, or -1 with the error set: an entry names a pfn that the guest cannot have, or maps
 * a superpage.
 */
int pv_localise_table(struct restore_ctx *restore, struct pv_memory *memory, uint64_t pfn,
		      unsigned level, uint64_t *table) MUST_CHECK;

#endif
