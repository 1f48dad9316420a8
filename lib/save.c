/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Saving a domain. Knows the stream and the order of things, but no architecture: see save.h.
 *
 *   start -> headers -> static data -> suspend -> memory -> end of checkpoint -> END
 *
 * Invariant: whatever fails, save_release() leaves the guest resumable, with no mapping left.
 */
#include "save.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <xen/domctl.h>
#include <xen/sched.h>
#include <xen/version.h>

#include "io.h"
#include "params.h"
#include "record.h"
#include "xen_compat.h"

#define FRAMES_PAGES (PAGES_BATCH * sizeof(xen_pfn_t) / PAGE_OCTETS)

/* Holes write nothing, so that a stream which was stopped would not be noticed among them. */
#define HOLES_BETWEEN_LOOKS (64ull * PAGES_BATCH)

static const char progress_text[] = "Saving memory (pages)";

/* ---- one batch of pfns ----------------------------------------------------------------- */

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
	if (types_are_holes(save->frames, n))
		return 0;

	for (uint32_t i = 0; i < n; i++) {
		uint64_t pfn = save->entries[i];
		enum page_type type =
			(enum page_type)(save->frames[i] >> XEN_DOMCTL_PFINFO_LTAB_SHIFT & 0xf);

		if (type == PAGE_INVALID)
			continue;
		if (!page_type_known(type))
			return ctx_fail(&save->ctx, EIO,
					"Xen says type %#x for pfn %#" PRIx64 ", which is unknown",
					type, pfn);
		save->entries[kept++] = page_entry(pfn, type);
		if (!page_type_has_data(type))
			continue;
		save->pfns[*data_pages] = pfn;
		save->gfns[(*data_pages)++] = save->gfns[i];
	}
	return kept;
}

/* Point the vectors at the pages of the batch; neighbours in memory share a vector. */
static int gather_pages(struct save_ctx *save, uint32_t count, const uint8_t *mapping,
			size_t *vectors)
{
	struct iovec *last = NULL;
	size_t n = PAGES_IOV_FIRST;

	for (uint32_t i = 0, slot = 0; i < count; i++) {
		enum page_type type = page_entry_type(save->entries[i]);
		const void *page = mapping;

		if (!page_type_has_data(type))
			continue;
		mapping += PAGE_OCTETS;
		if (save->ops->normalise_page(save, slot, save->pfns[slot], type, &page))
			return -1;
		slot++;
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

/* Send the pfns in entries[0 … n). The guest is suspended. */
static int send_batch(struct save_ctx *save, uint32_t n)
{
	uint8_t *mapping = NULL;
	uint32_t data_pages;
	size_t vectors = PAGES_IOV_FIRST;
	int64_t count;
	int rc = -1;

	count = type_batch(save, n, &data_pages);
	if (count <= 0)
		return (int)count;

	if (data_pages) {
		mapping = xenforeignmemory_map(save->fmem, save->domid, PROT_READ, data_pages,
					       save->gfns, save->errors);
		if (!mapping) {
			ctx_fail_errno(&save->ctx, errno, "cannot map %u pages from pfn %#" PRIx64,
				       data_pages, save->pfns[0]);
			goto out;
		}
	}
	for (uint32_t i = 0; i < data_pages; i++) {
		if (!save->errors[i])
			continue;
		ctx_fail_errno(&save->ctx, abs(save->errors[i]), "cannot map pfn %#" PRIx64,
			       save->pfns[i]);
		goto out;
	}
	if (gather_pages(save, (uint32_t)count, mapping, &vectors))
		goto out;
	rc = pages_write(&save->ctx, save->entries, (uint32_t)count, save->iov, vectors);
	save->pages_sent += data_pages;
out:
	if (mapping && xenforeignmemory_unmap(save->fmem, mapping, data_pages))
		ctx_log(&save->ctx, XENSR_LOG_WARN, "cannot unmap %u pages: %s", data_pages,
			strerror(errno));
	return rc;
}

/* ---- the whole ------------------------------------------------------------------------- */

static int refresh_info(struct save_ctx *save)
{
	if (xen_domain_info(save->xch, save->domid, &save->info))
		return ctx_fail_errno(&save->ctx, errno, "no information about domain %u",
				      save->domid);
	return 0;
}

/* Have the toolstack suspend the guest, and see that it is. */
static int suspend_domain(struct save_ctx *save)
{
	const struct xensr_save_callbacks *cb = &save->params.callbacks;
	int reason;

	errno = 0;
	if (cb->suspend(cb->data) == 0)
		return ctx_fail(&save->ctx, errno == EINTR ? EINTR : ECANCELED,
				"the toolstack did not suspend domain %u", save->domid);
	if (refresh_info(save))
		return -1;
	reason = xen_shutdown_reason(&save->info);
	if (reason != SHUTDOWN_suspend)
		return ctx_fail(&save->ctx, EINVAL,
				reason < 0
					? "domain %u is still running after the suspend"
					: "domain %u has shut down for another reason than suspend",
				save->domid);
	return 0;
}

/* Pages that exist, never the size of the address space. */
static uint64_t pages_total(const struct save_ctx *save)
{
	/* Pages Xen lends the guest (grant table, shared info) are not in tot_pages. */
	return save->info.tot_pages > save->pages_sent ? save->info.tot_pages : save->pages_sent;
}

/* Every pfn once, in batches aligned so that superpages stay whole in a record. */
static int send_all_memory(struct save_ctx *save)
{
	uint64_t size;

	if (save->ops->p2m_size(save, &size))
		return -1;
	ctx_progress(&save->ctx, progress_text, 0, pages_total(save));
	for (uint64_t pfn = 0; pfn < size; pfn += PAGES_BATCH) {
		uint32_t n = size - pfn < PAGES_BATCH ? (uint32_t)(size - pfn) : PAGES_BATCH;

		for (uint32_t i = 0; i < n; i++)
			save->entries[i] = pfn + i;
		if (send_batch(save, n) ||
		    (pfn % HOLES_BETWEEN_LOOKS == 0 && io_check_writable(&save->ctx)))
			return -1;
		if (save->pages_sent)
			ctx_progress(&save->ctx, progress_text, save->pages_sent,
				     pages_total(save));
	}
	if (save->pages_sent == 0)
		return ctx_fail(&save->ctx, EINVAL, "domain %u has no memory", save->domid);
	ctx_progress(&save->ctx, progress_text, pages_total(save), pages_total(save));
	return 0;
}

/* What this version cannot do is refused before the domain is touched. */
static int check_supported(struct save_ctx *save)
{
	const struct xensr_save_params *params = &save->params;

	if (!params->callbacks.suspend)
		return ctx_fail(&save->ctx, EINVAL, "there is no suspend callback");
	if (params->stream_type != XENSR_STREAM_PLAIN)
		return ctx_fail(&save->ctx, ENOTSUP,
				"checkpointed streams (Remus, COLO) are not supported yet");
	if (params->live)
		return ctx_fail(&save->ctx, ENOTSUP,
				"live saves are not supported yet; a save that is not live is");
	if (params->verify)
		return ctx_fail(&save->ctx, ENOTSUP, "verify data is not supported yet");
	return 0;
}

static int save_start(struct save_ctx *save)
{
	DECLARE_HYPERCALL_BUFFER(xen_pfn_t, frames);

	if (!save->xch)
		return ctx_fail(&save->ctx, EINVAL, "there is no hypervisor handle");
	save->fmem = xc_interface_fmem_handle(save->xch);
	if (check_supported(save) || refresh_info(save))
		return -1;
	save->ops = save->info.flags & XEN_DOMINF_hvm_guest ? &save_ops_x86_hvm : &save_ops_x86_pv;

	frames = xc_hypercall_buffer_alloc_pages(save->xch, frames, FRAMES_PAGES);
	if (!frames)
		return ctx_fail_errno(&save->ctx, errno, "no hypercall buffer");
	save->frames = frames;
	save->frames_hbuf = *HYPERCALL_BUFFER(frames);
	io_widen_pipe(&save->ctx);
	return save->ops->setup(save);
}

static int save_run(struct save_ctx *save)
{
	int version = xc_version(save->xch, XENVER_version, NULL);

	if (version < 0)
		return ctx_fail_errno(&save->ctx, errno, "cannot get Xen's version");
	if (write_headers(&save->ctx, save->ops->guest_type, (uint32_t)version >> 16,
			  (uint32_t)version & 0xffff) ||
	    save->ops->write_static_data(save) ||
	    write_record(&save->ctx, REC_STATIC_DATA_END, NULL, 0) || suspend_domain(save))
		return -1;
	if (save->ops->start_of_stream(save) || send_all_memory(save) ||
	    save->ops->end_of_checkpoint(save))
		return -1;
	return write_record(&save->ctx, REC_END, NULL, 0);
}

static void save_release(struct save_ctx *save)
{
	if (save->ops)
		save->ops->cleanup(save);
	if (save->frames)
		xc__hypercall_buffer_free_pages(save->xch, &save->frames_hbuf, FRAMES_PAGES);
}

int xensr_save(const struct xensr_save_params *params, struct xensr_error *err)
{
	struct xensr_save_params copy = XENSR_SAVE_PARAMS_INIT;
	struct xensr_ctx ctx;
	struct save_ctx *save;
	int rc = -1;

	ctx_init(&ctx, -1, &copy.reports);
	if (params_copy(&ctx, &copy, sizeof(copy), params))
		return ctx_finish(&ctx, -1, err);
	ctx_init(&ctx, copy.io_fd, &copy.reports);
	save = calloc(1, sizeof(*save));
	if (!save)
		return ctx_finish(&ctx, ctx_fail_errno(&ctx, ENOMEM, "no memory to begin with"),
				  err);
	save->ctx = ctx;
	save->params = copy;
	save->xch = copy.xch;
	save->domid = copy.domid;

	if (save_start(save) || save_run(save))
		goto out;
	ctx_log(&save->ctx, XENSR_LOG_DETAIL,
		"saved domain %u: %" PRIu64 " pages, %" PRIu64 " octets", save->domid,
		save->pages_sent, save->ctx.offset);
	rc = 0;
out:
	save_release(save);
	rc = ctx_finish(&save->ctx, rc, err);
	free(save);
	return rc;
}
