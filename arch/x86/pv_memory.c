/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pv_memory.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/mman.h>

/* One page of pfns a call: see hvm_populate.c. */
#define POPULATE_BATCH (PAGE_OCTETS / sizeof(xen_pfn_t))

/* Zero pages that cost nothing until they are written. */
static void *lazy_alloc(size_t octets)
{
	void *area = mmap(NULL, octets, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (area == MAP_FAILED)
		return NULL;
	/* Where every page may become a large one, each pfn would cost 2 MiB. */
	(void)madvise(area, octets, MADV_NOHUGEPAGE);
	return area;
}

static void *lazy_grow(void *area, size_t before, size_t octets)
{
	void *more = area ? mremap(area, before, octets, MREMAP_MAYMOVE) : lazy_alloc(octets);

	return more == MAP_FAILED ? NULL : more;
}

int pv_memory_grow(struct restore_ctx *restore, struct pv_memory *memory, uint64_t nr_pfns)
{
	uint64_t before = memory->nr_pfns;
	uint64_t *mfns;
	uint8_t *types;

	if (nr_pfns <= before)
		return 0;
	mfns = lazy_grow(memory->mfns, before * sizeof(*mfns), nr_pfns * sizeof(*mfns));
	if (!mfns)
		goto no_memory;
	memory->mfns = mfns;
	types = lazy_grow(memory->types, before, nr_pfns);
	if (!types) {
		/* Both have one size: go back to it. */
		if (before)
			memory->mfns =
				mremap(mfns, nr_pfns * sizeof(*mfns), before * sizeof(*mfns), 0);
		else
			munmap(mfns, nr_pfns * sizeof(*mfns));
		if (!before)
			memory->mfns = NULL;
		goto no_memory;
	}
	memory->types = types;
	memory->nr_pfns = nr_pfns;
	return 0;

no_memory:
	return ctx_fail_errno(&restore->ctx, ENOMEM, "no room for a p2m of %" PRIu64 " entries",
			      nr_pfns);
}

/* frames: pfns on the way in, their frames on the way out. */
static int populate_some(struct restore_ctx *restore, struct pv_memory *memory,
			 const uint64_t *pfns, xen_pfn_t *frames, uint32_t n)
{
	int done = xc_domain_populate_physmap(restore->xch, restore->domid, n, 0, 0, frames);

	if (done < 0 && errno != ENOMEM)
		return ctx_fail_errno(&restore->ctx, errno,
				      "cannot populate %u pages from pfn %#" PRIx64 " on", n,
				      pfns[0]);
	for (int i = 0; i < done; i++)
		memory->mfns[pfns[i]] = frames[i] + 1;
	restore->pages_populated += done > 0 ? (uint32_t)done : 0;
	if (done < (int)n)
		return ctx_fail(&restore->ctx, ENOMEM,
				"Xen has no memory for %u of the pages from pfn %#" PRIx64
				" on; domain %u has %" PRIu64 " pages and may have %" PRIu64,
				n - (uint32_t)(done > 0 ? done : 0), pfns[done > 0 ? done : 0],
				restore->domid, restore->pages_populated,
				(uint64_t)restore->info.max_pages);
	return 0;
}

int pv_memory_populate(struct restore_ctx *restore, struct pv_memory *memory, const uint64_t *pfns,
		       uint32_t n)
{
	uint64_t wanted[POPULATE_BATCH];
	xen_pfn_t frames[POPULATE_BATCH];
	uint32_t m = 0;

	for (uint32_t i = 0; i < n; i++) {
		/* A mark in place of the frame keeps a repeat out of the same call. */
		if (memory->mfns[pfns[i]] == 0) {
			memory->mfns[pfns[i]] = PV_INVALID_FRAME;
			wanted[m] = pfns[i];
			frames[m++] = pfns[i];
		}
		if (m == POPULATE_BATCH || (m && i + 1 == n)) {
			if (populate_some(restore, memory, wanted, frames, m))
				return -1;
			m = 0;
		}
	}
	return 0;
}

void pv_memory_release(struct pv_memory *memory)
{
	if (memory->mfns)
		munmap(memory->mfns, memory->nr_pfns * sizeof(*memory->mfns));
	if (memory->types)
		munmap(memory->types, memory->nr_pfns);
	*memory = (struct pv_memory){0};
}
