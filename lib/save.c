/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Saving a domain. Knows the stream and the order of things, but no architecture: see save.h.
 *
 *                       +-> precopy rounds -+   (live: the guest runs)
 *   headers, static data                    +-> suspend -> memory -> end of checkpoint -> END
 *                       +-------------------+      ^                        |
 *                                                  |                    CHECKPOINT  (Remus, COLO)
 *                                                  +-- callbacks: resume <--+
 *
 * Invariant: whatever fails, save_release() leaves the guest resumable, with no mapping left and
 * nothing logging its writes.
 */
#include "save.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include <xen/sched.h>
#include <xen/version.h>

#include "checksum.h"
#include "clock.h"
#include "io.h"
#include "params.h"
#include "record.h"
#include "xen_compat.h"

#define FRAMES_PAGES (PAGES_BATCH * sizeof(xen_pfn_t) / PAGE_OCTETS)

static bool is_checkpointed(const struct save_ctx *save)
{
	return save->params.stream_type != XENSR_STREAM_PLAIN;
}

/* ---- what the toolstack does ------------------------------------------------------------- */

/* Have the toolstack suspend the guest, and see that it is. */
static int suspend_domain(struct save_ctx *save)
{
	const struct xensr_save_callbacks *cb = &save->params.callbacks;
	uint64_t start = clock_usecs();
	int reason, done;

	/* Who has called it off does not want the guest suspended any more. */
	if (io_check_writable(&save->ctx))
		return -1;
	save->around->offset = save->ctx.offset;
	errno = 0;
	done = cb->suspend(cb->data);
	save->ctx.offset = save->around->offset;
	if (done == 0)
		return ctx_fail(&save->ctx, errno == EINTR ? EINTR : ECANCELED,
				"the toolstack did not suspend domain %u", save->domid);
	if (save_refresh_info(save))
		return -1;
	reason = xen_shutdown_reason(&save->info);
	if (reason != SHUTDOWN_suspend)
		return ctx_fail(&save->ctx, EINVAL,
				reason < 0
					? "domain %u is still running after the suspend"
					: "domain %u has shut down for another reason than suspend",
				save->domid);
	save->results.suspend_usecs = clock_usecs() - start;
	return 0;
}

/* One of the callbacks of a checkpointed stream; what it answers ends it or not. */
static int ask(struct save_ctx *save, int (*callback)(void *data), const char *name)
{
	int answer;

	save->around->offset = save->ctx.offset;
	answer = callback(save->params.callbacks.data);
	save->ctx.offset = save->around->offset;
	if (answer > 0)
		return 0;
	return ctx_fail(&save->ctx, ECANCELED,
			"the toolstack ended the replication of domain %u after checkpoint %u (%s "
			"answered %d)",
			save->domid, save->results.checkpoints, name, answer);
}

/* The guest runs again while the toolstack does its part of the checkpoint (spec 2). */
static int between_checkpoints(struct save_ctx *save)
{
	const struct xensr_save_callbacks *cb = &save->params.callbacks;

	if (save->params.stream_type == XENSR_STREAM_REMUS)
		return ask(save, cb->postcopy, "postcopy") ||
				       ask(save, cb->checkpoint, "checkpoint")
			       ? -1
			       : 0;
	return ask(save, cb->checkpoint, "checkpoint") || ask(save, cb->postcopy, "postcopy") ||
			       ask(save, cb->wait_checkpoint, "wait_checkpoint")
		       ? -1
		       : 0;
}

/* ---- the whole --------------------------------------------------------------------------- */

int save_check_params(struct xensr_ctx *ctx, const struct xensr_save_params *params)
{
	const struct xensr_save_callbacks *cb = &params->callbacks;
	bool colo = params->stream_type == XENSR_STREAM_COLO;

	if (params->stream_type < XENSR_STREAM_PLAIN || params->stream_type > XENSR_STREAM_COLO)
		return ctx_fail(ctx, EINVAL, "stream type %d is unknown", (int)params->stream_type);
	if (params->precopy < XENSR_PRECOPY_TARGET || params->precopy > XENSR_PRECOPY_STOCK)
		return ctx_fail(ctx, EINVAL, "precopy policy %d is unknown", (int)params->precopy);
	if (!cb->suspend)
		return ctx_fail(ctx, EINVAL, "there is no suspend callback");
	if (params->stream_type == XENSR_STREAM_PLAIN)
		return 0;
	if (params->checksum)
		return ctx_fail(ctx, EINVAL, "checksums have no place in a checkpointed stream");
	if (!cb->postcopy || !cb->checkpoint || (colo && !cb->wait_checkpoint))
		return ctx_fail(
			ctx, EINVAL,
			"a checkpointed stream needs the callbacks postcopy, checkpoint and, "
			"for COLO, wait_checkpoint");
	if (params->verify)
		return ctx_fail(ctx, EINVAL, "verify data has no place in a checkpointed stream");
	if (colo && params->recv_fd < 0)
		return ctx_fail(ctx, EINVAL, "COLO needs a back channel");
	return 0;
}

/* And what cannot work with this domain, before it is touched. */
static int check_domain(struct save_ctx *save)
{
	bool hvm = save->info.flags & XEN_DOMINF_hvm_guest;

	if (hvm && save->tracking && !save->params.callbacks.switch_qemu_logdirty)
		return ctx_fail(&save->ctx, EINVAL,
				"there is no switch_qemu_logdirty callback, without which what the "
				"device model writes would be lost");
	if (!hvm && save->params.stream_type == XENSR_STREAM_COLO)
		return ctx_fail(&save->ctx, ENOTSUP, "COLO needs an HVM guest, domain %u is PV",
				save->domid);
	return 0;
}

static int start_checksums(struct save_ctx *save)
{
	if (!save->params.checksum)
		return 0;
	save->ctx.sum = checksum_new(0);
	save->copies = malloc((size_t)PAGES_BATCH * PAGE_OCTETS);
	if (!save->ctx.sum || !save->copies)
		return ctx_fail_errno(&save->ctx, ENOMEM, "no memory for a checksum");
	return 0;
}

static int save_start(struct save_ctx *save)
{
	DECLARE_HYPERCALL_BUFFER(xen_pfn_t, frames);

	if (!save->xch)
		return ctx_fail(&save->ctx, EINVAL, "there is no hypervisor handle");
	save->fmem = xc_interface_fmem_handle(save->xch);
	save->tracking = save->params.live || is_checkpointed(save);
	if (save_check_params(&save->ctx, &save->params) || save_refresh_info(save) ||
	    check_domain(save) || start_checksums(save))
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

/* From now on whatever writes to the guest's memory is noticed. */
static int start_logging(struct save_ctx *save)
{
	save->switched_logdirty = true;
	if (save->ops->switch_logdirty(save, true))
		return -1;
	return log_dirty_enable(&save->ctx, save->xch, save->domid, &save->dirty);
}

/* What comes before the memory, and how much of that there is. */
static int begin_memory(struct save_ctx *save)
{
	if (save->ops->start_of_stream(save) || save->ops->p2m_size(save, &save->nr_pfns))
		return -1;
	if (!save->tracking)
		return 0;
	return log_dirty_reserve(&save->ctx, save->xch, &save->dirty, save->nr_pfns);
}

/* Up to and including the first suspend. */
static int send_first(struct save_ctx *save)
{
	save->running = save->params.live;
	if (save->running && (begin_memory(save) || save_p2m_survey(save)))
		return -1;
	if (save->tracking && start_logging(save))
		return -1;
	if (save->running && save_precopy(save))
		return -1;
	if (suspend_domain(save))
		return -1;
	if (!save->running)
		return begin_memory(save);
	save->running = false;
	return save->ops->guest_suspended(save);
}

/* All memory once more, for the other side to compare. */
static int send_verify_data(struct save_ctx *save)
{
	if (!save->params.verify)
		return 0;
	return write_record(&save->ctx, REC_VERIFY, NULL, 0) || save_verify_data(save) ? -1 : 0;
}

static void report_pause(struct save_ctx *save, uint64_t start, uint64_t memory, uint64_t pages)
{
	uint64_t end = clock_usecs();

	save->results.pause_usecs = end - start;
	ctx_log(&save->ctx, is_checkpointed(save) ? XENSR_LOG_DETAIL : XENSR_LOG_INFO,
		"domain %u paused for %.1f ms: %" PRIu64
		" pages %.1f ms, rest %.1f ms (suspending it took %.1f ms)",
		save->domid, (double)(end - start) / 1000, pages, (double)(memory - start) / 1000,
		(double)(end - memory) / 1000, (double)save->results.suspend_usecs / 1000);
}

/* The guest has just been suspended: send what is left, and close the image. */
static int close_image(struct save_ctx *save)
{
	uint64_t start = clock_usecs(), pages = save->results.pages, memory;

	if (save_rest(save))
		return -1;
	memory = clock_usecs();
	pages = save->results.pages - pages;
	if (send_verify_data(save) || save->ops->end_of_checkpoint(save) ||
	    write_record(&save->ctx, is_checkpointed(save) ? REC_CHECKPOINT : REC_END, NULL, 0))
		return -1;
	report_pause(save, start, memory, pages);
	return 0;
}

static int save_run(struct save_ctx *save)
{
	int version = xc_version(save->xch, XENVER_version, NULL);

	if (version < 0)
		return ctx_fail_errno(&save->ctx, errno, "cannot get Xen's version");
	if (write_headers(&save->ctx, save->ops->guest_type, (uint32_t)version >> 16,
			  (uint32_t)version & 0xffff) ||
	    save->ops->write_static_data(save) ||
	    write_record(&save->ctx, REC_STATIC_DATA_END, NULL, 0))
		return -1;
	if (send_first(save) || close_image(save))
		return -1;
	while (is_checkpointed(save)) {
		save->results.checkpoints++;
		if (between_checkpoints(save) || suspend_domain(save) ||
		    save->ops->guest_suspended(save) || close_image(save))
			return -1;
	}
	return 0;
}

static void save_release(struct save_ctx *save)
{
	log_dirty_release(&save->ctx, save->xch, save->domid, &save->dirty);
	if (save->switched_logdirty && save->ops->switch_logdirty(save, false))
		ctx_log(&save->ctx, XENSR_LOG_ERROR,
			"the device model of domain %u may go on logging dirty pages", save->domid);
	if (save->ops)
		save->ops->cleanup(save);
	if (save->frames)
		xc__hypercall_buffer_free_pages(save->xch, &save->frames_hbuf, FRAMES_PAGES);
	pfn_set_release(&save->present);
	pfn_set_release(&save->deferred);
	checksum_free(save->ctx.sum);
	save->ctx.sum = NULL;
	free(save->copies);
}

int save_domain(struct xensr_ctx *around, const struct xensr_save_params *params,
		struct xensr_save_results *results)
{
	struct save_ctx *save = calloc(1, sizeof(*save));
	uint64_t start = around->offset;
	int rc = -1;

	if (!save)
		return ctx_fail_errno(around, ENOMEM, "no memory to begin with");
	save->ctx = *around;
	save->around = around;
	save->params = *params;
	save->xch = params->xch;
	save->domid = params->domid;

	if (save_start(save) || save_run(save))
		goto out;
	ctx_log(&save->ctx, XENSR_LOG_DETAIL,
		"saved domain %u: %" PRIu64 " pages, %" PRIu64 " octets", save->domid,
		save->results.pages, save->ctx.offset - start);
	rc = 0;
out:
	save_release(save);
	save->results.octets = save->ctx.offset - start;
	if (results)
		*results = save->results;
	ctx_take_over(around, &save->ctx);
	free(save);
	return rc;
}

int xensr_save(const struct xensr_save_params *params, struct xensr_save_results *results,
	       struct xensr_error *err)
{
	struct xensr_save_params copy = XENSR_SAVE_PARAMS_INIT;
	struct xensr_ctx ctx;

	ctx_init(&ctx, -1, &copy.reports);
	if (params_copy(&ctx, &copy, sizeof(copy), params))
		return ctx_finish(&ctx, -1, err);
	ctx_init(&ctx, copy.io_fd, &copy.reports);
	return ctx_finish(&ctx, save_domain(&ctx, &copy, results), err);
}
