/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The entries of a PV guest's page tables: what each may be, and which are Xen's. */
#include "pv.h"

#include <errno.h>
#include <string.h>

#define XEN_ENTRY_FLAGS (SIM_PTE_PRESENT | SIM_PTE_ACCESSED | SIM_PTE_DIRTY | SIM_PTE_NX)
#define COMPAT_M2P_MOST 8u /* chunks of 2 MiB that the hole of a 32-bit guest has room for */

/* Bits that no entry may have: beyond the machine's 46 address bits, and what Xen keeps. */
#define RESERVED_BITS 0x7fefc00000000000ull

static uint64_t *table_of(const struct sim_domain *domain, uint64_t mfn)
{
	return (uint64_t *)(void *)sim_frame_page(domain->host, mfn);
}

bool sim_table_is_xen_slot(enum sim_frame_type type, unsigned slot)
{
	if (type == SIM_FRAME_L4)
		return slot >= SIM_PV64_XEN_FIRST_SLOT && slot < SIM_PV64_XEN_END_SLOT;
	return type == SIM_FRAME_L2_XEN && slot >= SIM_PV32_XEN_FIRST_SLOT;
}

/* In the L4 some of Xen's tables, and the table itself as its own linear mapping. */
static uint64_t xen_l4_entry(const struct sim_host *host, uint64_t mfn, unsigned slot)
{
	unsigned offset = slot - SIM_PV64_XEN_FIRST_SLOT;
	uint64_t frame = sim_m2p_compat_first_frame(host) + SIM_PTE_SLOTS * (offset + 1);

	if (offset == 0)
		return frame << SIM_PAGE_SHIFT | XEN_ENTRY_FLAGS | SIM_PTE_USER;
	if (offset == 2)
		return mfn << SIM_PAGE_SHIFT | XEN_ENTRY_FLAGS | SIM_PTE_WRITABLE;
	if (offset == 4)
		return frame << SIM_PAGE_SHIFT | XEN_ENTRY_FLAGS | SIM_PTE_WRITABLE;
	return 0;
}

/* In the L2 the compat M2P, read-only, in superpages. */
static uint64_t xen_l2_entry(const struct sim_host *host, unsigned slot)
{
	unsigned offset = slot - SIM_PV32_XEN_FIRST_SLOT;
	uint64_t octets = host->state->nr_frames * sizeof(uint32_t);
	uint64_t chunks = (octets + SIM_M2P_CHUNK_OCTETS - 1) / SIM_M2P_CHUNK_OCTETS;
	uint64_t frame = sim_m2p_compat_first_frame(host) + (uint64_t)SIM_PTE_SLOTS * offset;

	if (offset >= chunks || offset >= COMPAT_M2P_MOST)
		return 0;
	return frame << SIM_PAGE_SHIFT | SIM_PTE_PRESENT | SIM_PTE_USER | SIM_PTE_ACCESSED |
	       SIM_PTE_PSE;
}

uint64_t sim_table_xen_entry(const struct sim_host *host, enum sim_frame_type type, uint64_t mfn,
			     unsigned slot)
{
	return type == SIM_FRAME_L4 ? xen_l4_entry(host, mfn, slot) : xen_l2_entry(host, slot);
}

/*
 * A 64-bit guest's kernel runs unprivileged: its pages are user pages too, marked, and only the
 * user's own are global. Tables of all levels must let the user through. A PAE top entry has no
 * such flags, but Xen runs it as an L3 of 64-bit mode, where it needs them.
 */
uint64_t sim_table_adjusted(const struct sim_domain *domain, enum sim_frame_type type,
			    uint64_t entry)
{
	if (!(entry & SIM_PTE_PRESENT))
		return entry;
	if (domain->state->width == 4)
		return type == SIM_FRAME_L3 ? entry | SIM_PTE_USER | SIM_PTE_WRITABLE : entry;
	if (type != SIM_FRAME_L1)
		return entry | SIM_PTE_USER;
	if (!(entry & SIM_PTE_USER))
		entry |= SIM_PTE_KERNEL | SIM_PTE_USER;
	if (entry & SIM_PTE_KERNEL)
		return entry & ~SIM_PTE_GLOBAL;
	return entry | SIM_PTE_GLOBAL;
}

/* The type as which an entry uses the frame it names; NONE: it only reads it. */
static enum sim_frame_type type_below(const struct sim_domain *domain, enum sim_frame_type type,
				      unsigned slot, uint64_t entry)
{
	switch (type) {
	case SIM_FRAME_L4:
		return SIM_FRAME_L3;
	case SIM_FRAME_L3:
		return domain->state->width == 4 && slot == SIM_PV32_TOP_SLOTS - 1
			       ? SIM_FRAME_L2_XEN
			       : SIM_FRAME_L2;
	case SIM_FRAME_L2:
	case SIM_FRAME_L2_XEN:
		return SIM_FRAME_L1;
	default:
		return entry & SIM_PTE_WRITABLE ? SIM_FRAME_WRITABLE : SIM_FRAME_NONE;
	}
}

static int take_entry(const struct sim_domain *domain, enum sim_frame_type type, unsigned slot,
		      uint64_t entry)
{
	enum sim_frame_type below = type_below(domain, type, slot, entry);
	uint64_t mfn = sim_pte_frame(entry);

	if (entry & RESERVED_BITS)
		return sim_refuse("reserved bits are set");
	if (type != SIM_FRAME_L1 && entry & SIM_PTE_PSE)
		return sim_refuse("a superpage");
	if (!sim_frame_owned(domain->host, mfn, (uint16_t)domain->state->domid))
		return sim_refuse("frame %#llx is not domain %u's", (unsigned long long)mfn,
				  domain->state->domid);
	return below == SIM_FRAME_NONE ? 0 : sim_type_get(domain, mfn, below);
}

static void drop_entry(const struct sim_domain *domain, enum sim_frame_type type, unsigned slot,
		       uint64_t entry)
{
	if (entry & SIM_PTE_PRESENT && type_below(domain, type, slot, entry) != SIM_FRAME_NONE)
		sim_type_put(domain, sim_pte_frame(entry));
}

/* The slots of the guest's own; in a 32-bit guest's L3 no more than the processor looks at. */
static unsigned slots_of(const struct sim_domain *domain, enum sim_frame_type type)
{
	return domain->state->width == 4 && type == SIM_FRAME_L3 ? SIM_PV32_TOP_SLOTS
								 : SIM_PTE_SLOTS;
}

static void drop_entries(const struct sim_domain *domain, uint64_t mfn, enum sim_frame_type type,
			 unsigned end)
{
	const uint64_t *table = table_of(domain, mfn);

	for (unsigned slot = 0; slot < end; slot++) {
		if (!sim_table_is_xen_slot(type, slot))
			drop_entry(domain, type, slot, table[slot]);
	}
}

static int take_entries(const struct sim_domain *domain, uint64_t mfn, enum sim_frame_type type)
{
	uint64_t *table = table_of(domain, mfn);
	unsigned end = slots_of(domain, type);

	for (unsigned slot = 0; slot < end; slot++) {
		if (!(table[slot] & SIM_PTE_PRESENT) || sim_table_is_xen_slot(type, slot))
			continue;
		if (take_entry(domain, type, slot, table[slot])) {
			drop_entries(domain, mfn, type, slot);
			return sim_refuse("frame %#llx, an L%u, because of entry %u: %#llx",
					  (unsigned long long)mfn, sim_type_level(type), slot,
					  (unsigned long long)table[slot]);
		}
		table[slot] = sim_table_adjusted(domain, type, table[slot]);
	}
	return 0;
}

int sim_table_validate(const struct sim_domain *domain, uint64_t mfn, enum sim_frame_type type)
{
	uint64_t *table = table_of(domain, mfn);
	bool is_pae_top = domain->state->width == 4 && type == SIM_FRAME_L3;
	int rc;

	if (is_pae_top && !(table[SIM_PV32_TOP_SLOTS - 1] & SIM_PTE_PRESENT))
		return sim_refuse("frame %#llx, an L3, has no top slot", (unsigned long long)mfn);
	if (is_pae_top && mfn >= SIM_LOW_FRAMES &&
	    !(domain->state->vm_assist >> VMASST_TYPE_pae_extended_cr3 & 1))
		return sim_refuse("frame %#llx, an L3, is above 4 GiB", (unsigned long long)mfn);
	rc = take_entries(domain, mfn, type);
	if (rc)
		return rc;
	if (is_pae_top)
		memset(table + SIM_PV32_TOP_SLOTS, 0, SIM_PAGE_OCTETS - 4 * sizeof(*table));
	for (unsigned slot = 0; slot < SIM_PTE_SLOTS; slot++) {
		if (sim_table_is_xen_slot(type, slot))
			table[slot] = sim_table_xen_entry(domain->host, type, mfn, slot);
	}
	return 0;
}

void sim_table_release(const struct sim_domain *domain, uint64_t mfn, enum sim_frame_type type)
{
	drop_entries(domain, mfn, type, slots_of(domain, type));
}
