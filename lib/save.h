/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The state of one save, and what a guest type has to provide for it.
 */
#ifndef XENSR_LIB_SAVE_H
#define XENSR_LIB_SAVE_H

#include <sys/uio.h>

#include <xenctrl.h>
#include <xenforeignmemory.h>

#include "context.h"
#include "pages.h"

struct save_ops;

struct save_ctx {
	struct xensr_ctx ctx;
	struct xensr_save_params params;
	xc_interface *xch;             /* the caller's */
	xenforeignmemory_handle *fmem; /* belongs to xch */
	uint32_t domid;
	xc_domaininfo_t info; /* refreshed after the suspend */
	const struct save_ops *ops;
	void *arch; /* the ops' own; made by setup, freed by cleanup */

	/*
	 * One batch, allocated once. frames is what the type query sees: gfns on the way in,
	 * page types on the way out.
	 */
	xen_pfn_t *frames; /* PAGES_BATCH, hypercall-safe */
	xc_hypercall_buffer_t frames_hbuf;
	uint64_t entries[PAGES_BATCH]; /* as they go into the record */
	uint64_t pfns[PAGES_BATCH];    /* those with data */
	xen_pfn_t gfns[PAGES_BATCH];   /* of all, then of those with data */
	int errors[PAGES_BATCH];       /* of the mapping, a page each */
	struct iovec iov[PAGES_IOV_FIRST + PAGES_BATCH];

	uint64_t pages_sent; /* with data */
};

/*
 * What the save of one guest type does. All entries mandatory; they are called in the order in
 * which they stand, cleanup always and last. Each returns 0, or -1 with the error set, unless
 * it says otherwise; none writes to the guest's memory.
 */
struct save_ops {
	uint32_t guest_type; /* GUEST_X86_* of the domain header */

	/* Once, before anything is written: allocate what the others need. */
	int (*setup)(struct save_ctx *save);

	/* Once, after the headers: write the records that end with STATIC_DATA_END (which the
	   caller writes). */
	int (*write_static_data)(struct save_ctx *save);

	/* Once, after STATIC_DATA_END and the suspend: write what must come before the first
	   PAGE_DATA. */
	int (*start_of_stream)(struct save_ctx *save);

	/* *size = number of pfns to walk: the highest pfn the guest has, plus 1. Called when
	   the guest is suspended, so that nothing above it can appear afterwards. */
	int (*p2m_size)(struct save_ctx *save, uint64_t *size);

	/* gfns[i] = the gfn by which Xen knows pfns[i], or INVALID_GFN for a hole, for n (at
	   most PAGES_BATCH) pfns below p2m_size. Once a batch. Cannot fail. */
	void (*pfns_to_gfns)(const struct save_ctx *save, const uint64_t *pfns, uint32_t n,
			     xen_pfn_t *gfns);

	/* *page points at the 4096 octets of pfn, mapped read-only: leave it, or point it at a
	   buffer of the ops' own, valid until the next batch, which holds the page as it goes
	   into the stream. slot < PAGES_BATCH counts the pages with data of the batch. Only
	   for page types that carry data. */
	int (*normalise_page)(struct save_ctx *save, uint32_t slot, uint64_t pfn,
			      enum page_type type, const void **page);

	/* Once the guest is suspended and its memory written: write what closes the image,
	   before END. */
	int (*end_of_checkpoint)(struct save_ctx *save);

	/* Always; also after setup failed half-way. Idempotent. */
	void (*cleanup)(struct save_ctx *save);
};

/*
 * The page types of save->frames[0 … n), in place: Xen's XEN_DOMCTL_PFINFO_* (xen/domctl.h). At
 * most PAGES_BATCH. One hypercall, no allocation. Returns 0, or -1 with the error set.
 */
int save_query_types(struct save_ctx *save, uint32_t n) MUST_CHECK;

#define INVALID_GFN (~(xen_pfn_t)0)

extern const struct save_ops save_ops_x86_hvm; /* arch/x86/hvm_save.c */
extern const struct save_ops save_ops_x86_pv;  /* arch/x86/pv_save.c */

#endif
