/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hvm_populate.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define ORDER_2M 9u
#define PAGES_2M (1u << ORDER_2M)

/*
 * Extents in one hypercall: a page of them, because libxencall keeps buffers of one page for the
 * next call and maps and unmaps larger ones each time.
 */
#define EXTENTS_BATCH (PAGE_OCTETS / sizeof(xen_pfn_t))

/*
 * Extents of one order waiting for one hypercall. Their pfns are in restore->populated from
 * the moment they are queued, so that a pfn that comes twice in a record is queued once. If the
 * hypercall fails for good the whole restore fails, and with it what the set says.
 */
struct extents {
	xen_pfn_t first[EXTENTS_BATCH];
	uint32_t n;
};

static int fail_allocation(struct restore_ctx *restore, uint32_t failed, xen_pfn_t pfn)
{
	return ctx_fail(&restore->ctx, ENOMEM,
			"Xen has no memory for %u of the pages from pfn %#" PRIx64
			" on; domain %u has %" PRIu64 " pages and may have %" PRIu64,
			failed, (uint64_t)pfn, restore->domid, restore->pages_populated,
			(uint64_t)restore->info.max_pages);
}

/* Allocate all queued 4 KiB pages. */
static int flush_4k(struct restore_ctx *restore, struct extents *queue)
{
	uint32_t done = 0;

	while (done < queue->n) {
		int now = xc_domain_populate_physmap(restore->xch, restore->domid, queue->n - done,
						     0, 0, queue->first + done);

		if (now < 0 && errno != ENOMEM)
			return ctx_fail_errno(&restore->ctx, errno,
					      "cannot populate %u pages from pfn %#" PRIx64 " on",
					      queue->n - done, (uint64_t)queue->first[done]);
		if (now <= 0)
			return fail_allocation(restore, queue->n - done, queue->first[done]);
		done += (uint32_t)now;
		restore->pages_populated += (uint32_t)now;
	}
	queue->n = 0;
	return 0;
}

static int queue_4k(struct restore_ctx *restore, struct extents *queue, xen_pfn_t pfn)
{
	if (queue->n == EXTENTS_BATCH && flush_4k(restore, queue))
		return -1;
	queue->first[queue->n++] = pfn;
	return 0;
}

/* Allocate all queued 2 MiB extents; those that Xen refuses are queued as 4 KiB pages. */
static int flush_2m(struct restore_ctx *restore, struct extents *queue, struct extents *small)
{
	int done = 0;

	if (queue->n)
		done = xc_domain_populate_physmap(restore->xch, restore->domid, queue->n, ORDER_2M,
						  0, queue->first);
	if (done < 0)
		done = 0;
	restore->pages_populated += (uint64_t)done * PAGES_2M;
	for (uint32_t i = (uint32_t)done; i < queue->n; i++) {
		for (uint32_t page = 0; page < PAGES_2M; page++) {
			if (queue_4k(restore, small, queue->first[i] + page))
				return -1;
		}
	}
	queue->n = 0;
	return 0;
}

static bool entry_is(uint64_t entry, uint64_t pfn)
{
	return page_entry_pfn(entry) == pfn && page_type_is_populated(page_entry_type(entry));
}

/* Do the next 512 entries cover a whole superpage of which nothing is populated yet? */
static bool is_new_superpage(const struct restore_ctx *restore, const uint64_t *entries,
			     uint32_t left)
{
	uint64_t pfn = page_entry_pfn(entries[0]);

	if (pfn % PAGES_2M || left < PAGES_2M ||
	    !entry_is(entries[PAGES_2M - 1], pfn + PAGES_2M - 1))
		return false;
	for (uint32_t i = 0; i < PAGES_2M; i++) {
		if (!entry_is(entries[i], pfn + i))
			return false;
	}
	return !pfn_set_has_any(&restore->populated, pfn, PAGES_2M);
}

/* Queue entries[0] or the superpage it starts. Returns the entries dealt with, 0 on failure. */
static uint32_t queue_next(struct restore_ctx *restore, struct extents *large,
			   struct extents *small, const uint64_t *entries, uint32_t left)
{
	uint64_t pfn = page_entry_pfn(entries[0]);

	if (!page_type_is_populated(page_entry_type(entries[0])) ||
	    pfn_set_has(&restore->populated, pfn))
		return 1;

	if (is_new_superpage(restore, entries, left)) {
		if (large->n == EXTENTS_BATCH && flush_2m(restore, large, small))
			return 0;
		if (pfn_set_add_run(&restore->populated, pfn, PAGES_2M))
			goto no_memory;
		large->first[large->n++] = pfn;
		return PAGES_2M;
	}
	if (pfn_set_add(&restore->populated, pfn))
		goto no_memory;
	return queue_4k(restore, small, pfn) ? 0 : 1;

no_memory:
	ctx_fail_errno(&restore->ctx, errno, "cannot keep account of pfn %#" PRIx64, pfn);
	return 0;
}

int hvm_populate(struct restore_ctx *restore, const uint64_t *entries, uint32_t count,
		 uint32_t populated)
{
	struct extents large = {.n = 0}, small = {.n = 0};

	if (populated == 0)
		return 0;
	for (uint32_t i = 0; i < count;) {
		uint32_t n = queue_next(restore, &large, &small, entries + i, count - i);

		if (n == 0)
			return -1;
		i += n;
	}
	if (flush_2m(restore, &large, &small))
		return -1;
	return flush_4k(restore, &small);
}
