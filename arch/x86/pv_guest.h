/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What saving and restoring an x86 PV guest share: its layout by width, machine frame numbers in
 * page-table entries and control registers (xen/arch-x86/xen-x86_64.h, xen-x86_32.h).
 */
#ifndef XENSR_X86_PV_GUEST_H
#define XENSR_X86_PV_GUEST_H

#include <stdbool.h>
#include <stdint.h>

#include <xenctrl.h>
#include <xen/domctl.h>

#include "format.h"

/* A 64-bit guest has octets of 8 in its own structures and 4 levels of page tables. */
struct pv_layout {
	unsigned width;       /* octets of a frame number in the guest: 4 or 8 */
	unsigned levels;      /* of page tables: 3 or 4 */
	unsigned fpp;         /* frame numbers in a page */
	uint32_t vcpu_octets; /* of its vcpu_guest_context */
};

static inline struct pv_layout pv_layout_of(unsigned width)
{
	return (struct pv_layout){
		.width = width,
		.levels = width == 8 ? 4 : 3,
		.fpp = PAGE_OCTETS / width,
		.vcpu_octets = width == 8 ? sizeof(vcpu_guest_context_x86_64_t)
					  : sizeof(vcpu_guest_context_x86_32_t),
	};
}

#define PV_INVALID_FRAME UINT64_MAX

/*
 * Entries that a p2m may have at most. It may be larger than the memory a domain may have, for
 * pages it once had or may be given, but not without bound: it is written out whole in the end
 * of a restore. So many times the domain's pages, and 512 GiB's worth more, which is what Linux
 * reserves for memory that is plugged in. A save keeps to it too.
 */
static inline uint64_t pv_p2m_limit(uint64_t max_pages)
{
	return max_pages * 4 + (1u << 27);
}

/* Page-table entries are 8 octets at every level, 512 in a page. */
#define PTES_IN_PAGE    512u
#define PTE_PRESENT     (1ull << 0)
#define PTE_PSE         (1ull << 7)
#define PTE_FRAME_SHIFT 12
#define PTE_FRAME_MASK  ((1ull << 52) - (1ull << PTE_FRAME_SHIFT))

static inline uint64_t pte_frame(uint64_t pte)
{
	return (pte & PTE_FRAME_MASK) >> PTE_FRAME_SHIFT;
}

static inline uint64_t pte_with_frame(uint64_t pte, uint64_t frame)
{
	return (pte & ~PTE_FRAME_MASK) | frame << PTE_FRAME_SHIFT;
}

/* The level of a page-table type, 1 to 4, pinned or not; 0 for other types. */
static inline unsigned page_type_level(enum page_type type)
{
	unsigned level = (unsigned)type & 7;

	return type < PAGE_BROKEN && level <= 4 ? level : 0;
}

/* CR3 holds a frame number; that of a 32-bit guest has its high bits in the low ones. */
static inline uint64_t cr3_frame(const struct pv_layout *layout, uint64_t cr3)
{
	return layout->width == 8 ? cr3 >> 12 : xen_cr3_to_pfn_x86_32(cr3);
}

static inline uint64_t cr3_of_frame(const struct pv_layout *layout, uint64_t frame)
{
	return layout->width == 8 ? frame << 12 : xen_pfn_to_cr3_x86_32(frame);
}

/* In the stream, bit 0 of a 64-bit guest's CR1 (its user page table) says that there is one. */
#define CR1_VALID 1ull

/* A frame number in one of the guest's own arrays, read once: the guest may be changing it. */
static inline uint64_t pv_read_frame(const struct pv_layout *layout, const void *array, uint64_t i)
{
	uint32_t narrow;

	if (layout->width == 8)
		return __atomic_load_n((const uint64_t *)array + i, __ATOMIC_RELAXED);
	narrow = __atomic_load_n((const uint32_t *)array + i, __ATOMIC_RELAXED);
	return narrow == UINT32_MAX ? PV_INVALID_FRAME : narrow;
}

static inline void pv_write_frame(const struct pv_layout *layout, void *array, uint64_t i,
				  uint64_t frame)
{
	if (layout->width == 8)
		((uint64_t *)array)[i] = frame;
	else
		((uint32_t *)array)[i] = (uint32_t)frame;
}

/* The member of a structure that is laid out by the guest's width: an lvalue's value, a store. */
#define PV_GET(layout, any, member) ((layout)->width == 8 ? (any)->x64.member : (any)->x32.member)
#define PV_SET(layout, any, member, value)                                          \
	do {                                                                        \
		if ((layout)->width == 8)                                           \
			(any)->x64.member = (value);                                \
		else                                                                \
			(any)->x32.member = (__typeof__((any)->x32.member))(value); \
	} while (0)

/* A domctl for this domain, its arguments all zero. */
static inline struct xen_domctl pv_domctl(uint32_t domid, uint32_t cmd)
{
	return (struct xen_domctl){
		.cmd = cmd,
		.interface_version = XEN_DOMCTL_INTERFACE_VERSION,
		.domain = (domid_t)domid,
	};
}

/* The selectors of a GDT live in at most so many frames (xen/arch-x86/xen.h). */
#define GDT_ENTRIES_IN_PAGE 512u
#define GDT_FRAMES_MAX      FIRST_RESERVED_GDT_PAGE

#endif
