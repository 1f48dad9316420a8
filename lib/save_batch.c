/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One batch of pfns on its way into the stream.
 *
 *   pfns -> gfns -> page types -> mapping -> normalised pages -> one PAGE_DATA record
 *
 * A guest that runs may change any of these between two steps. What does not fit together is sent
 * as "invalid" and deferred: when the guest is suspended it is sent, or found to be gone.
 */
#include "save.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <xen/domctl.h>

int save_query_types(struct save_ctx *save, uint32_t n)
{
	DECLARE_HYPERCALL_BUFFER_SHADOW(xen_pfn_t, frames, &save->frames_hbuf);
	struct xen_domctl domctl = {
		.cmd = XEN_DOMCTL_getpageframeinfo3,
		.interface_version = XEN_DOMCTL_INTERFACE_VERSION,
		.domain = (domid_t)save->domid,
		.u.getpageframeinfo3.num = n,
	};

	set_xen_guest_handle(domctl.u.getpageframeinfo3.array, frames);
	if (xc_domctl(save->xch, &domctl) < 0)
		return ctx_fail_errno(&save->ctx, errno,
				      "cannot get the page types of %u pfns from gfn %#" PRIx64, n,
				      (uint64_t)frames[0]);
	return 0;
}

/* Are these n page types all holes? Most batches of a sparse guest are, so no branch a pfn. */
static bool types_are_holes(const xen_pfn_t *types, uint32_t n)
{
	xen_pfn_t other = 0;

	for (uint32_t i = 0; i < n; i++)
		other |= types[i] ^ XEN_DOMCTL_PFINFO_XTAB;
	return (other & XEN_DOMCTL_PFINFO_LTAB_MASK) == 0;
}

/*
 * Remember what the stream now says of a pfn. What a running guest writes to a page that it did not
 * have before is not all logged, so such a page goes out once more in the pause.
 */
static int track(struct save_ctx *save, uint64_t pfn, enum page_type type)
{
	bool is_present = type != PAGE_INVALID;

	if (!save->tracking || pfn_set_has(&save->present, pfn) == is_present)
		return 0;
	if (!is_present) {
		pfn_set_remove(&save->present, pfn);
		save->nr_present--;
		return 0;
	}
	if (pfn_set_add(&save->present, pfn))
		return ctx_fail_errno(&save->ctx, errno, "cannot keep account of pfn %#" PRIx64,
				      pfn);
	save->nr_present++;
	if (save->running && pfn_set_add(&save->deferred, pfn))
		return ctx_fail_errno(&save->ctx, errno, "cannot keep account of pfn %#" PRIx64,
				      pfn);
	return 0;
}

/* The stream needs a hole only where it has said that there is memory. */
static bool hole_is_news(const struct save_ctx *save, uint64_t pfn)
{
	return save->tracking && pfn_set_has(&save->present, pfn);
}

static bool holes_are_news(const struct save_ctx *save, uint32_t n)
{
	for (uint32_t i = 0; save->tracking && i < n; i++) {
		if (pfn_set_has(&save->present, save->entries[i]))
			return true;
	}
	return false;
}

/*
 * Give entries[0 … n), which are pfns, their types and drop the holes, which cost nothing in the
 * stream. Leaves pfns and gfns of the pages with data in those arrays. Returns the number of
 * entries kept, or -1.
 */
static int64_t type_batch(struct save_ctx *save, uint32_t n, uint32_t *data_pages)
{
	const struct save_ops *ops = save->ops;
	uint32_t kept = 0;

	*data_pages = 0;
	ops->pfns_to_gfns(save, save->entries, n, save->gfns);
	memcpy(save->frames, save->gfns, n * sizeof(*save->frames));
	if (save_query_types(save, n))
		return -1;
	if (types_are_holes(save->frames, n) && !holes_are_news(save, n))
		return 0;

	for (uint32_t i = 0; i < n; i++) {
		uint64_t pfn = save->entries[i];
		enum page_type type =
			(enum page_type)(save->frames[i] >> XEN_DOMCTL_PFINFO_LTAB_SHIFT & 0xf);

		if (type == PAGE_INVALID && !hole_is_news(save, pfn))
			continue;
		if (!page_type_known(type))
			return ctx_fail(&save->ctx, EIO,
					"Xen says type %#x for pfn %#" PRIx64 ", which is unknown",
					type, pfn);
		if (track(save, pfn, type))
			return -1;
		save->entries[kept++] = page_entry(pfn, type);
		if (!page_type_has_data(type))
			continue;
		save->pfns[*data_pages] = pfn;
		save->gfns[(*data_pages)++] = save->gfns[i];
	}
	return kept;
}

/* The guest is at work on this page: "invalid" for now. It stays present: it will be sent. */
static int defer(struct save_ctx *save, uint32_t entry)
{
	uint64_t pfn = page_entry_pfn(save->entries[entry]);

	save->entries[entry] = page_entry(pfn, PAGE_INVALID);
	if (pfn_set_add(&save->deferred, pfn))
		return ctx_fail_errno(&save->ctx, errno, "cannot keep account of pfn %#" PRIx64,
				      pfn);
	return 0;
}

/* The page in `slot`, mapped, as it goes into the stream. PAGE_DEFERRED if it cannot go now. */
static int prepare_page(struct save_ctx *save, uint32_t slot, enum page_type type,
			const void **page)
{
	uint64_t pfn = save->pfns[slot];

	if (save->errors[slot] && save->running)
		return PAGE_DEFERRED;
	if (save->errors[slot])
		return ctx_fail_errno(&save->ctx, abs(save->errors[slot]),
				      "cannot map pfn %#" PRIx64, pfn);
	return save->ops->normalise_page(save, slot, pfn, type, page);
}

/* Point the vectors at the pages of the batch; neighbours in memory share a vector. */
static int gather_pages(struct save_ctx *save, uint32_t count, const uint8_t *mapping,
			size_t *vectors, uint32_t *sent)
{
	struct iovec *last = NULL;
	size_t n = PAGES_IOV_FIRST;

	for (uint32_t i = 0, slot = 0; i < count; i++) {
		enum page_type type = page_entry_type(save->entries[i]);
		const void *page = mapping;
		int rc;

		if (!page_type_has_data(type))
			continue;
		mapping += PAGE_OCTETS;
		rc = prepare_page(save, slot++, type, &page);
		if (rc == PAGE_DEFERRED) {
			if (defer(save, i))
				return -1;
			continue;
		}
		if (rc)
			return -1;
		(*sent)++;
		if (last && (const uint8_t *)last->iov_base + last->iov_len == page) {
			last->iov_len += PAGE_OCTETS;
			continue;
		}
		last = &save->iov[n++];
		last->iov_base = (void *)(uintptr_t)page;
		last->iov_len = PAGE_OCTETS;
	}
	*vectors = n;
	return 0;
}

/*
 * A checksum is made of what was written, so that what is written must not change any more: the
 * guest, or whoever it has granted pages to, may write to them at any time.
 */
static void copy_pages(struct save_ctx *save, size_t *vectors)
{
	uint8_t *copy = save->copies;

	for (size_t i = PAGES_IOV_FIRST; i < *vectors; i++) {
		memcpy(copy, save->iov[i].iov_base, save->iov[i].iov_len);
		copy += save->iov[i].iov_len;
	}
	if (*vectors == PAGES_IOV_FIRST)
		return;
	save->iov[PAGES_IOV_FIRST].iov_base = save->copies;
	save->iov[PAGES_IOV_FIRST].iov_len = (size_t)(copy - save->copies);
	*vectors = PAGES_IOV_FIRST + 1;
}

static int send_batch(struct save_ctx *save, uint32_t n)
{
	uint8_t *mapping = NULL;
	uint32_t data_pages, sent = 0;
	size_t vectors = PAGES_IOV_FIRST;
	int64_t count;
	int rc = -1;

	count = type_batch(save, n, &data_pages);
	if (count <= 0)
		return (int)count;

	if (data_pages) {
		mapping = xenforeignmemory_map(save->fmem, save->domid, PROT_READ, data_pages,
					       save->gfns, save->errors);
		if (!mapping)
			return ctx_fail_errno(&save->ctx, errno,
					      "cannot map %u pages from pfn %#" PRIx64, data_pages,
					      save->pfns[0]);
	}
	if (gather_pages(save, (uint32_t)count, mapping, &vectors, &sent))
		goto out;
	if (save->copies)
		copy_pages(save, &vectors);
	rc = pages_write(&save->ctx, save->entries, (uint32_t)count, save->iov, vectors);
	save->results.pages += sent;
out:
	if (mapping && xenforeignmemory_unmap(save->fmem, mapping, data_pages))
		ctx_log(&save->ctx, XENSR_LOG_WARN, "cannot unmap %u pages: %s", data_pages,
			strerror(errno));
	return rc;
}

int save_batch_flush(struct save_ctx *save)
{
	uint32_t n = save->batched;

	save->batched = 0;
	return n ? send_batch(save, n) : 0;
}

int save_batch_add(struct save_ctx *save, uint64_t pfn)
{
	save->entries[save->batched++] = pfn;
	return save->batched == PAGES_BATCH ? save_batch_flush(save) : 0;
}
