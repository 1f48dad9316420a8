/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The memory of a PV guest that is being restored: the frame and page type of each pfn. Takes
 * memory of ours only for pfns that come.
 */
#ifndef XENSR_X86_PV_MEMORY_H
#define XENSR_X86_PV_MEMORY_H

#include "pv_guest.h"
#include "restore.h"

struct pv_memory {
	uint64_t nr_pfns;
	uint64_t *mfns; /* plus 1; 0: none */
	uint8_t *types; /* enum page_type, plus 1, of the last that came; 0: never came */
};

/* A bit beside the type: an earlier one was that of a page table. */
#define PV_WAS_TABLE 0x80u

/* Room for pfns below nr_pfns; never less than before. Returns 0, or -1 with the error set. */
int pv_memory_grow(struct restore_ctx *restore, struct pv_memory *memory,
		   uint64_t nr_pfns) MUST_CHECK;

/* The frame of a pfn, or PV_INVALID_FRAME. Any pfn. */
static inline uint64_t pv_memory_mfn(const struct pv_memory *memory, uint64_t pfn)
{
	if (pfn >= memory->nr_pfns || memory->mfns[pfn] == 0)
		return PV_INVALID_FRAME;
	return memory->mfns[pfn] - 1;
}

/* The page type with which a pfn below nr_pfns came last; PAGE_INVALID if it never came. */
static inline enum page_type pv_memory_type(const struct pv_memory *memory, uint64_t pfn)
{
	uint8_t type = memory->types[pfn] & (uint8_t)~PV_WAS_TABLE;

	return type ? (enum page_type)(type - 1) : PAGE_INVALID;
}

/* A pfn below nr_pfns has come with this type. */
static inline void pv_memory_set_type(struct pv_memory *memory, uint64_t pfn, enum page_type type)
{
	bool was_table = page_type_is_table(pv_memory_type(memory, pfn));
	uint8_t past = was_table ? PV_WAS_TABLE : memory->types[pfn] & PV_WAS_TABLE;

	memory->types[pfn] = (uint8_t)((unsigned)type + 1) | past;
}

/* Was a pfn below nr_pfns a page table before it came last? */
static inline bool pv_memory_was_table(const struct pv_memory *memory, uint64_t pfn)
{
	return memory->types[pfn] & PV_WAS_TABLE;
}

/* A pfn below nr_pfns has no frame any more. */
static inline void pv_memory_forget(struct pv_memory *memory, uint64_t pfn)
{
	memory->mfns[pfn] = 0;
}

/*
 * Allocate a frame for each of n pfns below nr_pfns; those that have one, and repeats, are left
 * alone. Returns 0, or -1 with the error set.
 */
int pv_memory_populate(struct restore_ctx *restore, struct pv_memory *memory, const uint64_t *pfns,
		       uint32_t n) MUST_CHECK;

/* Idempotent. */
void pv_memory_release(struct pv_memory *memory);

#endif
