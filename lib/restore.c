/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Rebuilding a domain. Knows the stream and the order of things, but no architecture: see
 * restore.h.
 *
 *   headers -> read_record() -> process_record() -> … -> END -> stream_complete
 *
 * A record is checked completely before it is acted on. The pages of PAGE_DATA are read from
 * the stream straight into the guest's mapping: no copy is made here.
 */
#include "restore.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "io.h"
#include "params.h"
#include "xen_compat.h"

static const char progress_text[] = "Restoring memory (pages)";

/* The stream does not say how many pages it holds; the domain's limit is the best guess. */
static uint64_t pages_total(const struct restore_ctx *restore)
{
	return restore->info.max_pages > restore->pages_received ? restore->info.max_pages
								 : restore->pages_received;
}

/* ---- PAGE_DATA ------------------------------------------------------------------------- */

/* Read the pages of the n gfns and types gathered in the batch into the guest. */
static int receive_batch(struct restore_ctx *restore, uint32_t n)
{
	struct xensr_ctx *ctx = &restore->ctx;
	struct iovec iov[2]; /* one more for the next record's header */
	uint8_t *mapping;
	int rc = -1;

	mapping = xenforeignmemory_map(restore->fmem, restore->domid, PROT_READ | PROT_WRITE, n,
				       restore->gfns, restore->errors);
	if (!mapping)
		return ctx_fail_errno(ctx, errno, "cannot map %u pages from gfn %#" PRIx64, n,
				      (uint64_t)restore->gfns[0]);
	for (uint32_t i = 0; i < n; i++) {
		if (!restore->errors[i])
			continue;
		ctx_fail_errno(ctx, abs(restore->errors[i]), "cannot map gfn %#" PRIx64,
			       (uint64_t)restore->gfns[i]);
		goto out;
	}

	iov[0].iov_base = mapping;
	iov[0].iov_len = (size_t)n * PAGE_OCTETS;
	if (read_pages(&restore->reader, iov, 1, n))
		goto out;
	for (uint32_t i = 0; i < n; i++) {
		if (restore->ops->localise_page(restore, restore->pfns[i], restore->types[i],
						mapping + (size_t)i * PAGE_OCTETS))
			goto out;
	}
	restore->pages_received += n;
	ctx_progress(ctx, progress_text, restore->pages_received, pages_total(restore));
	rc = 0;
out:
	if (xenforeignmemory_unmap(restore->fmem, mapping, n))
		ctx_log(ctx, XENSR_LOG_WARN, "cannot unmap %u pages: %s", n, strerror(errno));
	return rc;
}

static int process_page_data(struct restore_ctx *restore, const struct record *rec)
{
	const struct restore_ops *ops = restore->ops;
	uint32_t n = 0;

	/* Holes, as stock sends them by the million, name no memory. */
	for (uint32_t i = 0; rec->populated && i < rec->count; i++) {
		uint64_t pfn = page_entry_pfn(rec->entries[i]);

		if (!ops->pfn_is_valid(restore, pfn))
			return ctx_fail(&restore->ctx, EBADMSG,
					"pfn %#" PRIx64 " is beyond what domain %u can have", pfn,
					restore->domid);
	}
	if (ops->populate(restore, rec->entries, rec->count, rec->populated))
		return -1;

	for (uint32_t i = 0; rec->data_pages && i < rec->count; i++) {
		enum page_type type = page_entry_type(rec->entries[i]);
		uint64_t pfn = page_entry_pfn(rec->entries[i]);

		if (!page_type_has_data(type))
			continue;
		/* A pfn twice in a batch would be read twice, then localised twice. Savers go
		   upwards, where that cannot be. */
		if (n == PAGES_BATCH || (n && pfn <= restore->pfns[n - 1])) {
			if (receive_batch(restore, n))
				return -1;
			n = 0;
		}
		restore->pfns[n] = pfn;
		restore->gfns[n] = ops->pfn_to_gfn(restore, pfn);
		restore->types[n++] = type;
	}
	return n ? receive_batch(restore, n) : 0;
}

/* ---- the loop -------------------------------------------------------------------------- */

/* Static data is complete, by its record or by inference. */
static int finish_static_data(struct restore_ctx *restore)
{
	const struct xensr_restore_callbacks *cb = &restore->params.callbacks;
	unsigned missing = 0;

	if (restore->ops->static_data_complete(restore, &missing))
		return -1;
	if (!cb->static_data_done) {
		if (missing)
			ctx_log(&restore->ctx, XENSR_LOG_WARN,
				"the stream lacks%s%s and the toolstack supplies none",
				missing & XENSR_MISSING_CPUID ? " CPUID policy" : "",
				missing & XENSR_MISSING_MSR ? " MSR policy" : "");
		return 0;
	}
	if (cb->static_data_done(missing, cb->data))
		return ctx_fail(&restore->ctx, ECANCELED,
				"the toolstack refused the domain after its static data");
	return 0;
}

static int process_record(struct restore_ctx *restore, const struct record *rec)
{
	int rc;

	if (rec->static_data_inferred && finish_static_data(restore))
		return -1;

	switch (rec->type) {
	case REC_END:
		return 0;
	case REC_STATIC_DATA_END:
		return finish_static_data(restore);
	case REC_PAGE_DATA:
		return process_page_data(restore, rec);
	case REC_VERIFY:
		return ctx_fail(&restore->ctx, ENOTSUP, "verify data is not supported yet");
	default:
		if (rec->length == 0) /* tolerated and ignored, see struct record_rule */
			return 0;
		rc = restore->ops->process_record(restore, rec);
		if (rc == RECORD_NOT_PROCESSED)
			return ctx_fail(&restore->ctx, EBADMSG, "is unknown to this guest type");
		return rc;
	}
}

static int restore_run(struct restore_ctx *restore)
{
	struct record rec;

	do {
		if (read_record(&restore->reader, &rec) || process_record(restore, &rec))
			return -1;
	} while (rec.type != REC_END);
	ctx_leave(&restore->ctx);
	ctx_progress(&restore->ctx, progress_text, restore->pages_received,
		     restore->pages_received);
	return restore->ops->stream_complete(restore);
}

static int restore_start(struct restore_ctx *restore)
{
	struct xensr_ctx *ctx = &restore->ctx;
	const struct stream_headers *headers = &restore->reader.headers;
	bool hvm;

	if (!restore->xch)
		return ctx_fail(ctx, EINVAL, "there is no hypervisor handle");
	restore->fmem = xc_interface_fmem_handle(restore->xch);
	if (restore->params.stream_type != XENSR_STREAM_PLAIN)
		return ctx_fail(ctx, ENOTSUP,
				"checkpointed streams (Remus, COLO) are not supported yet");
	if (xen_domain_info(restore->xch, restore->domid, &restore->info))
		return ctx_fail_errno(ctx, errno, "no information about domain %u", restore->domid);
	if (read_headers(&restore->reader))
		return -1;

	hvm = restore->info.flags & XEN_DOMINF_hvm_guest;
	if (hvm != (headers->guest_type == GUEST_X86_HVM))
		return ctx_fail(ctx, EINVAL,
				"the stream holds an x86 %s guest, domain %u is x86 %s",
				hvm ? "PV" : "HVM", restore->domid, hvm ? "HVM" : "PV");
	ctx_log(ctx, XENSR_LOG_DETAIL, "stream version %u of an x86 %s guest, saved by Xen %u.%u",
		headers->version, hvm ? "HVM" : "PV", headers->xen_major, headers->xen_minor);
	restore->ops = hvm ? &restore_ops_x86_hvm : &restore_ops_x86_pv;
	if (restore->ops->setup(restore))
		return -1;
	io_widen_pipe(ctx);
	ctx_progress(ctx, progress_text, 0, restore->info.max_pages);
	return 0;
}

static void restore_release(struct restore_ctx *restore)
{
	if (restore->ops)
		restore->ops->cleanup(restore);
	pfn_set_release(&restore->populated);
	reader_release(&restore->reader);
}

int xensr_restore(const struct xensr_restore_params *params, struct xensr_restore_results *results,
		  struct xensr_error *err)
{
	struct xensr_restore_params copy = XENSR_RESTORE_PARAMS_INIT;
	struct xensr_ctx ctx;
	struct restore_ctx *restore;
	int rc = -1;

	ctx_init(&ctx, -1, &copy.reports);
	if (params_copy(&ctx, &copy, sizeof(copy), params))
		return ctx_finish(&ctx, -1, err);
	ctx_init(&ctx, copy.io_fd, &copy.reports);
	restore = calloc(1, sizeof(*restore));
	if (!restore)
		return ctx_finish(&ctx, ctx_fail_errno(&ctx, ENOMEM, "no memory to begin with"),
				  err);
	restore->ctx = ctx;
	restore->params = copy;
	restore->xch = copy.xch;
	restore->domid = copy.domid;
	reader_init(&restore->reader, &restore->ctx, false);

	if (restore_start(restore) || restore_run(restore))
		goto out;
	ctx_log(&restore->ctx, XENSR_LOG_DETAIL,
		"restored domain %u: %" PRIu64 " pages, %" PRIu64 " octets", restore->domid,
		restore->pages_received, restore->ctx.offset);
	if (results)
		*results = restore->results;
	rc = 0;
out:
	restore_release(restore);
	rc = ctx_finish(&restore->ctx, rc, err);
	free(restore);
	return rc;
}
