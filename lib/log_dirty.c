/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "log_dirty.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include <xen/domctl.h>

#include "format.h"

/* Words looked at together while all is clean. */
#define STRIDE 8u

/* The bitmap is whole pages, so that the stride never leaves it. */
#define PFNS_PER_BITMAP_PAGE (PAGE_OCTETS * 8ull)

static void release_bitmap(xc_interface *xch, struct log_dirty *log)
{
	if (log->bitmap)
		xc__hypercall_buffer_free_pages(xch, &log->hbuf, (int)log->hbuf_pages);
	log->bitmap = NULL;
	log->nr_pfns = 0;
}

int log_dirty_reserve(struct xensr_ctx *ctx, xc_interface *xch, struct log_dirty *log,
		      uint64_t nr_pfns)
{
	size_t pages = (size_t)((nr_pfns + PFNS_PER_BITMAP_PAGE - 1) / PFNS_PER_BITMAP_PAGE);
	DECLARE_HYPERCALL_BUFFER(uint64_t, bitmap);

	if (log->bitmap && nr_pfns <= log->nr_pfns)
		return 0;
	if (nr_pfns > LOG_DIRTY_PFNS_MAX)
		return ctx_fail(ctx, E2BIG,
				"the guest has pfn %#" PRIx64
				"; its writes can be logged up to pfn %#llx",
				nr_pfns - 1, LOG_DIRTY_PFNS_MAX - 1);
	bitmap = xc_hypercall_buffer_alloc_pages(xch, bitmap, (int)pages);
	if (!bitmap)
		return ctx_fail_errno(ctx, errno, "no room for a dirty bitmap of %" PRIu64 " pfns",
				      nr_pfns);
	memset(bitmap, 0, pages * PAGE_OCTETS);
	release_bitmap(xch, log);
	log->bitmap = bitmap;
	log->hbuf = *HYPERCALL_BUFFER(bitmap);
	log->hbuf_pages = pages;
	log->nr_pfns = nr_pfns;
	return 0;
}

int log_dirty_enable(struct xensr_ctx *ctx, xc_interface *xch, uint32_t domid,
		     struct log_dirty *log)
{
	const unsigned enable = XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY;

	if (xc_shadow_control(xch, domid, enable, NULL, 0) < 0 &&
	    (xc_shadow_control(xch, domid, XEN_DOMCTL_SHADOW_OP_OFF, NULL, 0) < 0 ||
	     xc_shadow_control(xch, domid, enable, NULL, 0) < 0))
		return ctx_fail_errno(
			ctx, errno, "Xen cannot log what domain %u writes (log-dirty mode)", domid);
	log->on = true;
	return 0;
}

int log_dirty_clean(struct xensr_ctx *ctx, xc_interface *xch, uint32_t domid, struct log_dirty *log,
		    bool final, uint64_t *dirty)
{
	xc_shadow_op_stats_t stats = {0};
	long long got = xc_logdirty_control(xch, domid, XEN_DOMCTL_SHADOW_OP_CLEAN, &log->hbuf,
					    log->nr_pfns,
					    final ? XEN_DOMCTL_SHADOW_LOGDIRTY_FINAL : 0, &stats);

	if (got < 0)
		return ctx_fail_errno(ctx, errno, "cannot get the dirty bitmap of domain %u",
				      domid);
	if ((uint64_t)got != log->nr_pfns)
		return ctx_fail(ctx, EIO, "the dirty bitmap of domain %u has %lld pfns of %" PRIu64,
				domid, got, log->nr_pfns);
	/* Xen copies whole octets: what is behind the last pfn is none. */
	if (log->nr_pfns % 64)
		log->bitmap[log->nr_pfns / 64] &= (1ull << (log->nr_pfns % 64)) - 1;
	/* Its own count is of all pages; one beyond the bitmap would be counted and not seen. */
	*dirty = log_dirty_count(log);
	return 0;
}

void log_dirty_release(struct xensr_ctx *ctx, xc_interface *xch, uint32_t domid,
		       struct log_dirty *log)
{
	if (log->on && xc_shadow_control(xch, domid, XEN_DOMCTL_SHADOW_OP_OFF, NULL, 0) < 0)
		ctx_log(ctx, XENSR_LOG_ERROR,
			"cannot end the logging of dirty pages of domain %u: %s", domid,
			strerror(errno));
	log->on = false;
	release_bitmap(xch, log);
}

uint64_t log_dirty_next(const struct log_dirty *log, uint64_t pfn, uint64_t *bits)
{
	const uint64_t *words = log->bitmap;
	size_t end = (size_t)((log->nr_pfns + 63) / 64);
	size_t i = (size_t)(pfn / 64);

	while (i < end) {
		if (i % STRIDE == 0) {
			uint64_t any = 0;

			for (size_t k = 0; k < STRIDE; k++)
				any |= words[i + k];
			if (!any) {
				i += STRIDE;
				continue;
			}
		}
		if (words[i]) {
			*bits = words[i];
			return (uint64_t)i * 64;
		}
		i++;
	}
	return UINT64_MAX;
}

uint64_t log_dirty_count(const struct log_dirty *log)
{
	uint64_t n = 0, bits;

	for (uint64_t pfn = 0; (pfn = log_dirty_next(log, pfn, &bits)) != UINT64_MAX; pfn += 64)
		n += (uint64_t)__builtin_popcountll(bits);
	return n;
}
