/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Xen's log of the pages that a domain writes (XEN_DOMCTL_shadow_op, xen/domctl.h): on, off, and
 * "what since I asked last".
 */
#ifndef XENSR_LIB_LOG_DIRTY_H
#define XENSR_LIB_LOG_DIRTY_H

#include <stdbool.h>
#include <stdint.h>

#include <xenctrl.h>

#include "context.h"

/* A guest chooses its highest pfn: 16 TiB of address space, half a GiB of bitmap. */
#define LOG_DIRTY_PFNS_MAX (1ull << 32)

struct log_dirty {
	bool on;
	uint64_t nr_pfns; /* that are asked of Xen */
	uint64_t *bitmap; /* bit N: pfn N; hypercall-safe; zero to the end of its last page */
	xc_hypercall_buffer_t hbuf;
	size_t hbuf_pages;
};

/*
 * Room for pfns below nr_pfns; what the bitmap held is gone if it had less. Returns 0, or -1 with
 * the error set and the room as it was.
 */
int log_dirty_reserve(struct xensr_ctx *ctx, xc_interface *xch, struct log_dirty *log,
		      uint64_t nr_pfns) MUST_CHECK;

/*
 * Have Xen log what domid writes from now on. Something else may have it log already (tracking of
 * video memory): that is ended first. Returns 0, or -1 with the error set.
 */
int log_dirty_enable(struct xensr_ctx *ctx, xc_interface *xch, uint32_t domid,
		     struct log_dirty *log) MUST_CHECK;

/*
 * Fetch what was written since the last call and have Xen forget it. The guest is suspended, and
 * no more calls follow soon, if `final`. *dirty = the number of bits set. Returns 0, or -1 with
 * the error set.
 */
int log_dirty_clean(struct xensr_ctx *ctx, xc_interface *xch, uint32_t domid, struct log_dirty *log,
		    bool final, uint64_t *dirty) MUST_CHECK;

/* Set the bit of a pfn below nr_pfns. */
static inline void log_dirty_add(struct log_dirty *log, uint64_t pfn)
{
	log->bitmap[pfn / 64] |= 1ull << (pfn % 64);
}

/* The number of bits set. */
uint64_t log_dirty_count(const struct log_dirty *log);

/* Off, if it is on. A failure is logged: nothing more can be done. Frees. Idempotent. */
void log_dirty_release(struct xensr_ctx *ctx, xc_interface *xch, uint32_t domid,
		       struct log_dirty *log);

/*
 * The first 64 pfns at or after pfn (which 64 divides) of which any is in the bitmap; *bits says
 * which. Returns their first, or UINT64_MAX if there are none.
 */
uint64_t log_dirty_next(const struct log_dirty *log, uint64_t pfn, uint64_t *bits);

#endif
