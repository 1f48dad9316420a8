/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * PAGE_DATA: entries and their pages, encoded and decoded.
 */
#ifndef XENSR_LIB_PAGES_H
#define XENSR_LIB_PAGES_H

#include <sys/uio.h>

#include "context.h"
#include "format.h"

/* The most pfns Xen types and we map or send at once (XEN_DOMCTL_getpageframeinfo3). */
#define PAGES_BATCH 1024u

static inline uint64_t page_entry(uint64_t pfn, enum page_type type)
{
	return pfn | (uint64_t)type << PAGE_ENTRY_TYPE_SHIFT;
}

static inline uint64_t page_entry_pfn(uint64_t entry)
{
	return entry & PAGE_ENTRY_PFN_MASK;
}

static inline enum page_type page_entry_type(uint64_t entry)
{
	return (enum page_type)(entry >> PAGE_ENTRY_TYPE_SHIFT);
}

/* Does the format know this type? */
static inline bool page_type_known(enum page_type type)
{
	return type <= PAGE_L4 || type >= PAGE_L1_PINNED;
}

/* Is it one of the page-table types, pinned or not? */
static inline bool page_type_is_table(enum page_type type)
{
	return (type >= PAGE_L1 && type <= PAGE_L4) ||
	       (type >= PAGE_L1_PINNED && type <= PAGE_L4_PINNED);
}

/* Does a page of data follow for this type? */
static inline bool page_type_has_data(enum page_type type)
{
	return type < PAGE_BROKEN;
}

/* Does a restore allocate memory for this type? */
static inline bool page_type_is_populated(enum page_type type)
{
	return type != PAGE_BROKEN && type != PAGE_INVALID;
}

/*
 * Check type and pfn of `count` wire entries for a guest type. *data_pages is how many carry
 * data, *populated how many want memory. Returns 0, or -1 with the error set to the first bad
 * entry.
 */
int pages_check_entries(struct xensr_ctx *ctx, uint32_t guest_type, const uint64_t *entries,
			uint32_t count, uint32_t *data_pages, uint32_t *populated) MUST_CHECK;

/*
 * Write one PAGE_DATA record in one call: `count` (1 … PAGES_BATCH) entries and the pages of
 * those with data, in order, which the vectors iov[PAGES_IOV_FIRST] … iov[n - 1] cover exactly.
 * The vectors before them are filled here. Consumes iov. Returns 0, or -1 with the error set.
 */
#define PAGES_IOV_FIRST 2
int pages_write(struct xensr_ctx *ctx, uint64_t *entries, uint32_t count, struct iovec *iov,
		size_t n) MUST_CHECK;

#endif
