/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * PV domains: frames that are page tables, the M2P, vcpus. The lock of the host is held.
 * What Xen refuses is said on stderr, as Xen says it on its console; it counts as no violation.
 */
#ifndef SIM_PV_H
#define SIM_PV_H

#include "domain.h"

#define SIM_PTE_PRESENT  0x1ull
#define SIM_PTE_WRITABLE 0x2ull
#define SIM_PTE_USER     0x4ull
#define SIM_PTE_ACCESSED 0x20ull
#define SIM_PTE_DIRTY    0x40ull
#define SIM_PTE_PSE      0x80ull /* above L1; in an L1 it is PAT */
#define SIM_PTE_GLOBAL   0x100ull
#define SIM_PTE_SOFT     0xe00ull /* three bits that are the guest's */
#define SIM_PTE_KERNEL   (1ull << 52)
#define SIM_PTE_NX       (1ull << 63)
#define SIM_PTE_FRAME    0x000ffffffffff000ull
#define SIM_PTE_SLOTS    512u

#define SIM_PV64_XEN_FIRST_SLOT 256u /* of an L4: 0xffff800000000000 */
#define SIM_PV64_XEN_END_SLOT   272u
#define SIM_PV32_TOP_SLOTS      4u
#define SIM_PV32_XEN_FIRST_SLOT 428u /* of the L2 in the top slot: 0xf5800000 */
#define SIM_GDT_FRAMES          14u  /* the rest of a GDT is Xen's */

/*
 * Where a field lies in a structure of the interface, as 64-bit and as 32-bit guests have it
 * (xen/foreign/x86_32.h).
 */
struct sim_field {
	struct {
		size_t offset, octets;
	} native, compat;
};

#define SIM_FIELD_OF(type, member)                                     \
	{                                                              \
		offsetof(type, member), sizeof(((type *)NULL)->member) \
	}
#define SIM_FIELD2(type, member, compat_member)                \
	((struct sim_field){SIM_FIELD_OF(struct type, member), \
			    SIM_FIELD_OF(struct type##_x86_32, compat_member)})
#define SIM_FIELD(type, member) SIM_FIELD2(type, member, member)

/* Numbers, of as many octets as the field has. */
uint64_t sim_field_get(uint32_t width, const void *structure, struct sim_field field);
void sim_field_set(uint32_t width, void *structure, struct sim_field field, uint64_t value);

/* Any octets: where they begin, and how many there are. */
static inline size_t sim_field_offset(uint32_t width, struct sim_field field)
{
	return width == 4 ? field.compat.offset : field.native.offset;
}

static inline size_t sim_field_octets(uint32_t width, struct sim_field field)
{
	return width == 4 ? field.compat.octets : field.native.octets;
}

/* A field of the domain's shared info. */
uint64_t sim_shared_info_get(const struct sim_domain *domain, struct sim_field field);

static inline uint64_t sim_pte_frame(uint64_t entry)
{
	return (entry & SIM_PTE_FRAME) >> SIM_PAGE_SHIFT;
}

/* Say what was refused and why. Returns -EINVAL. */
int sim_refuse(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- types of frames (page_type.c) ---- */

/* Is it a page table, and of which level? 0: no. */
unsigned sim_type_level(enum sim_frame_type type);

/*
 * Use a frame of the domain as `type`, for the first time or once more. A frame that becomes a
 * page table is validated. -EINVAL when it is not the domain's, is in use as another type, or
 * what is in it is wrong; nothing has changed then.
 */
int sim_type_get(const struct sim_domain *domain, uint64_t mfn, enum sim_frame_type type);

/* One use less. With the last one the frame is of no type. */
void sim_type_put(const struct sim_domain *domain, uint64_t mfn);

int sim_type_pin(const struct sim_domain *domain, uint64_t mfn, enum sim_frame_type type);
int sim_type_unpin(const struct sim_domain *domain, uint64_t mfn);

/* May the toolstack map that frame? Page tables only for reading. */
bool sim_type_mappable(const struct sim_domain *domain, uint64_t mfn, bool writable);

/* Has this process mapped the PV domain's frame, and may write to it (foreign_memory.c)? */
bool sim_frame_mapped_writable(const struct sim_host *host, uint64_t mfn);

/* ---- what is in page tables (page_table.c) ---- */

/* Check all entries and use what they name as they need it; fill in Xen's. 0 or -EINVAL. */
int sim_table_validate(const struct sim_domain *domain, uint64_t mfn, enum sim_frame_type type);
/* Give up what the entries name. */
void sim_table_release(const struct sim_domain *domain, uint64_t mfn, enum sim_frame_type type);

/* Is the slot of such a table Xen's, and what does Xen put there? */
bool sim_table_is_xen_slot(enum sim_frame_type type, unsigned slot);
uint64_t sim_table_xen_entry(const struct sim_host *host, enum sim_frame_type type, uint64_t mfn,
			     unsigned slot);

/* An entry as Xen leaves it after validation: it adjusts flags. */
uint64_t sim_table_adjusted(const struct sim_domain *domain, enum sim_frame_type type,
			    uint64_t entry);

/* ---- the M2P (m2p.c) ---- */

/* The frame through which the M2P's first page is mapped from DOMID_XEN: beyond all memory. */
uint64_t sim_m2p_first_frame(const struct sim_host *host);
uint64_t sim_m2p_compat_first_frame(const struct sim_host *host);

/* The page of the M2P behind such a frame, or SIM_NO_FRAME. */
uint64_t sim_m2p_page(const struct sim_host *host, uint64_t mfn);

/* ---- vcpus (pv_vcpu.c, pv_vcpu_state.c) ---- */

/* The frames that a context names. */
struct sim_pv_roots {
	uint64_t kernel; /* CR3 */
	uint64_t user;   /* CR1 of a 64-bit guest; SIM_NO_FRAME: none */
	unsigned nr_gdt;
	uint64_t gdt[SIM_GDT_FRAMES];
};

size_t sim_pv_context_octets(const struct sim_domain *domain);

/* -EINVAL when the GDT is too large. */
int sim_pv_roots(const struct sim_domain *domain, const union sim_pv_context *context,
		 struct sim_pv_roots *roots);

/* As XEN_DOMCTL_setvcpucontext. */
int sim_pv_vcpu_load(struct sim_domain *domain, unsigned vcpu, const union sim_pv_context *context);

/* A frame number as a register of the guest's holds it: 32-bit guests fold the high bits in. */
uint64_t sim_pv_cr3(const struct sim_domain *domain, uint64_t mfn);
uint64_t sim_pv_cr3_frame(const struct sim_domain *domain, uint64_t cr3);

/* Is an MSR one that a vcpu has? */
bool sim_pv_msr_known(uint32_t index);

#endif
