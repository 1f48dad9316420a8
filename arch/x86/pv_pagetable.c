/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pv_pagetable.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* Xen's slots of a 64-bit guest's L4: 0xffff800000000000 to 0xffff87ffffffffff. */
#define XEN_L4_FIRST 256u
#define XEN_L4_END   272u

/* A PAE guest's L3 has 4 entries; its L2 for the top GiB has Xen's from 0xf5800000 on. */
#define PAE_L3_ENTRIES   4u
#define XEN_PAE_L2_FIRST ((0xf5800000u >> 21) % PTES_IN_PAGE)

/* The entries of a table that are the guest's: all before *end, but those from *first to *last. */
static void xen_slots(const struct pv_layout *layout, const struct pv_m2p *m2p, unsigned level,
		      const uint64_t *table, unsigned *first, unsigned *end)
{
	*first = *end = PTES_IN_PAGE;
	if (layout->width == 8) {
		if (level == 4) {
			*first = XEN_L4_FIRST;
			*end = XEN_L4_END;
		}
	} else if (level == 3) {
		*first = PAE_L3_ENTRIES;
	} else if (level == 2) {
		uint64_t pte = __atomic_load_n(&table[XEN_PAE_L2_FIRST], __ATOMIC_RELAXED);

		/* Only the L2 of the top GiB has Xen's compat M2P there. */
		if ((pte & PTE_PRESENT) && pte_frame(pte) == m2p->compat_mfn0)
			*first = XEN_PAE_L2_FIRST;
	}
}

/*
 * An entry that no restore could take: the guest is about to change it, or it is a fault. `frame`
 * is what it names, PV_INVALID_FRAME if it maps a superpage.
 */
static int refuse_entry(struct save_ctx *save, uint64_t pfn, unsigned level, unsigned entry,
			uint64_t frame)
{
	if (save->running)
		return PAGE_DEFERRED;
	if (frame == PV_INVALID_FRAME)
		return ctx_fail(&save->ctx, EINVAL,
				"entry %u of the level-%u page table pfn %#" PRIx64
				" maps a superpage",
				entry, level, pfn);
	return ctx_fail(&save->ctx, EINVAL,
			"entry %u of the level-%u page table pfn %#" PRIx64 " names frame %#" PRIx64
			", which is not the guest's own",
			entry, level, pfn, frame);
}

int pv_normalise_table(struct save_ctx *save, const struct pv_layout *layout,
		       const struct pv_m2p *m2p, const struct pv_p2m *p2m, uint64_t pfn,
		       unsigned level, const uint64_t *from, uint64_t *to)
{
	unsigned xen_first, xen_end;

	xen_slots(layout, m2p, level, from, &xen_first, &xen_end);
	for (unsigned i = 0; i < PTES_IN_PAGE; i++) {
		uint64_t pte = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
		uint64_t target;

		if (i >= xen_first && i < xen_end) {
			to[i] = 0;
			continue;
		}
		to[i] = pte;
		if (!(pte & PTE_PRESENT))
			continue;
		if (level > 1 && (pte & PTE_PSE))
			return refuse_entry(save, pfn, level, i, PV_INVALID_FRAME);
		target = pv_p2m_pfn_of(p2m, layout, m2p, pte_frame(pte));
		if (target == PV_INVALID_FRAME)
			return refuse_entry(save, pfn, level, i, pte_frame(pte));
		to[i] = pte_with_frame(pte, target);
	}
	return 0;
}

/* The pfn that entry i of a table from the stream names. Not for entries that are not present. */
static int check_target(struct restore_ctx *restore, const struct pv_memory *memory, uint64_t pfn,
			unsigned level, unsigned i, uint64_t pte)
{
	uint64_t target = pte_frame(pte);

	if (level > 1 && (pte & PTE_PSE))
		return ctx_fail(&restore->ctx, EBADMSG,
				"entry %u of the level-%u page table pfn %#" PRIx64
				" maps a superpage",
				i, level, pfn);
	if (target >= memory->nr_pfns)
		return ctx_fail(&restore->ctx, EBADMSG,
				"entry %u of the level-%u page table pfn %#" PRIx64
				" names pfn %#" PRIx64 ", the guest's last is %#" PRIx64,
				i, level, pfn, target, memory->nr_pfns - 1);
	return 0;
}

int pv_check_table(struct restore_ctx *restore, const struct pv_memory *memory, uint64_t pfn,
		   unsigned level, const uint64_t *table)
{
	for (unsigned i = 0; i < PTES_IN_PAGE; i++) {
		if ((table[i] & PTE_PRESENT) &&
		    check_target(restore, memory, pfn, level, i, table[i]))
			return -1;
	}
	return 0;
}

/* Memory for all that the table names, in one go. */
static int populate_targets(struct restore_ctx *restore, struct pv_memory *memory, uint64_t pfn,
			    unsigned level, const uint64_t *table)
{
	uint64_t missing[PTES_IN_PAGE];
	uint32_t n = 0;

	for (unsigned i = 0; i < PTES_IN_PAGE; i++) {
		if (!(table[i] & PTE_PRESENT))
			continue;
		if (check_target(restore, memory, pfn, level, i, table[i]))
			return -1;
		if (pv_memory_mfn(memory, pte_frame(table[i])) == PV_INVALID_FRAME)
			missing[n++] = pte_frame(table[i]);
	}
	/* In verify data, a target without memory stays none, and the table differs. */
	return n && !restore->verifying ? pv_memory_populate(restore, memory, missing, n) : 0;
}

int pv_localise_table(struct restore_ctx *restore, struct pv_memory *memory, uint64_t pfn,
		      unsigned level, uint64_t *table)
{
	uint64_t copy[PTES_IN_PAGE];

	memcpy(copy, table, sizeof(copy));
	if (populate_targets(restore, memory, pfn, level, copy))
		return -1;
	for (unsigned i = 0; i < PTES_IN_PAGE; i++) {
		if (copy[i] & PTE_PRESENT)
			copy[i] =
				pte_with_frame(copy[i], pv_memory_mfn(memory, pte_frame(copy[i])));
	}
	memcpy(table, copy, sizeof(copy));
	return 0;
}
