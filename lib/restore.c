/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Rebuilding a domain. Knows the stream and the order of things, but no architecture: see
 * restore.h.
 *
 *   headers -> read_record() -> process_record() -> … -> END -> stream_complete
 *
 * A record is checked completely before it is acted on. The pages of PAGE_DATA are read from
 * the stream straight into the guest's mapping: no copy is made here.
 *
 * A checkpointed stream (Remus, COLO) has CHECKPOINTs instead of an END. What comes after one waits
 * in memory until the next:
 *
 *   read_record() -> keep_record() -> … -> CHECKPOINT -> callback -> commit -> read_record() -> …
 *         |                                                  |
 *         +--- the other end is gone ---> fail_over <--------+ or so the toolstack says
 *
 * Invariant: once there was a CHECKPOINT, the domain's memory and what is kept for stream_complete
 * are those of the last one that was committed, but for the time in commit_checkpoint().
 */
#include "restore.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <xenguest.h>

#include "dirty_list.h"
#include "io.h"
#include "params.h"
#include "xen_compat.h"

/* What a checkpoint may take up beside each page the domain may have. */
#define CHECKPOINT_EXTRA (64ull << 20)

/* A page, its entry in the record and the record's share. */
#define CHECKPOINT_PER_PAGE (PAGE_OCTETS + 16ull)

/* What callbacks answer when the other side is to be taken for dead (COLO). */
#define FAIL_OVER 2

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

static int process_record(struct restore_ctx *restore, const struct record *rec,
			  const uint8_t *pages)
{
	int rc;

	if (rec->static_data_inferred && finish_static_data(restore))
		return -1;

	switch (rec->type) {
	case REC_STATIC_DATA_END:
		return finish_static_data(restore);
	case REC_PAGE_DATA:
		return restore_pages(restore, rec, pages);
	case REC_VERIFY:
		return restore_verify_start(restore);
	default:
		if (rec->length == 0) /* tolerated and ignored, see struct record_rule */
			return 0;
		rc = restore->ops->process_record(restore, rec);
		if (rc == RECORD_NOT_PROCESSED)
			return ctx_fail(&restore->ctx, EBADMSG, "is unknown to this guest type");
		return rc;
	}
}

/* Everything of an image is in the guest: give it its state. */
static int complete_image(struct restore_ctx *restore)
{
	ctx_leave(&restore->ctx);
	return restore_verify_finish(restore) || restore_pages_end(restore) ||
			       restore->ops->stream_complete(restore)
		       ? -1
		       : 0;
}

/* ---- checkpoints ------------------------------------------------------------------------- */

/* The other end is gone, or the toolstack says so: go on from the last complete checkpoint. */
static int fail_over(struct restore_ctx *restore, const char *why)
{
	if (restore->results.checkpoints == 0)
		return ctx_fail(&restore->ctx, ENODATA,
				"there is no complete checkpoint to go on from: %s", why);
	ctx_log(&restore->ctx, XENSR_LOG_NOTICE, "failing over to %s %" PRIu64 ": %s",
		restore->ran_on ? "the guest as it runs since checkpoint" : "checkpoint",
		restore->results.checkpoints, why);
	restore->results.failed_over = true;
	return restore->ran_on ? 0 : complete_image(restore);
}

static int keep_record(struct restore_ctx *restore, const struct record *rec)
{
	if (rec->type == REC_PAGE_DATA)
		return restore_pages_keep(restore, rec);
	if (rec->length == 0) /* tolerated and ignored, see struct record_rule */
		return 0;
	if (restore->ops->check_record(restore, rec))
		return -1;
	return checkpoint_buffer_add(&restore->ctx, &restore->buffer, rec, NULL);
}

/*
 * Memory for all that is new comes first: to have none is the one thing left that may well go
 * wrong, and up to there the guest's pages are those of the last checkpoint.
 */
static int commit_checkpoint(struct restore_ctx *restore)
{
	struct checkpoint_buffer *buffer = &restore->buffer;

	for (size_t i = 0; i < buffer->nr_records; i++) {
		const struct kept_record *kept = &buffer->records[i];

		if (kept->rec.type == REC_PAGE_DATA && restore_pages_populate(restore, &kept->rec))
			return -1;
	}
	if (restore->ops->image_starts(restore))
		return -1;
	for (size_t i = 0; i < buffer->nr_records; i++) {
		const struct kept_record *kept = &buffer->records[i];

		ctx_enter(&restore->ctx, record_title(kept->rec.type), kept->rec.type,
			  kept->offset);
		if (process_record(restore, &kept->rec, kept->pages))
			return -1;
	}
	checkpoint_buffer_empty(buffer);
	return 0;
}

/* Answers of the callbacks between two checkpoints (xenguest.h). Returns 0, FAIL_OVER or -1. */
static int ask(struct restore_ctx *restore, int (*callback)(void *data), const char *name)
{
	int answer;

	restore->around->offset = restore->ctx.offset;
	answer = callback(restore->params.callbacks.data);
	restore->ctx.offset = restore->around->offset;
	if (answer == XGR_CHECKPOINT_SUCCESS)
		return 0;
	if (answer == XGR_CHECKPOINT_FAILOVER)
		return FAIL_OVER;
	return ctx_fail(&restore->ctx, ECANCELED,
			"the toolstack ended the replication after checkpoint %" PRIu64
			" (%s answered %d)",
			restore->results.checkpoints, name, answer);
}

/* COLO: tell the primary what the guest has written here since the last checkpoint. */
static int send_dirty(struct restore_ctx *restore)
{
	xen_pfn_t size;
	uint64_t dirty;

	if (xc_domain_nr_gpfns(restore->xch, restore->domid, &size) < 0)
		return ctx_fail_errno(&restore->ctx, errno,
				      "cannot get the highest pfn of domain %u", restore->domid);
	if (size > PFN_LIMIT_X86)
		return ctx_fail(&restore->ctx, E2BIG,
				"domain %u has pfn %#" PRIx64 ", beyond what x86 can address",
				restore->domid, (uint64_t)size - 1);
	if (log_dirty_reserve(&restore->ctx, restore->xch, &restore->dirty, size) ||
	    log_dirty_clean(&restore->ctx, restore->xch, restore->domid, &restore->dirty, true,
			    &dirty))
		return -1;
	return dirty_list_send(&restore->ctx, restore->params.send_back_fd, &restore->dirty, dirty);
}

/* COLO: the guest runs here too, until the primary wants another checkpoint. */
static int run_secondary(struct restore_ctx *restore)
{
	const struct xensr_restore_callbacks *cb = &restore->params.callbacks;
	int rc;

	if (complete_image(restore))
		return -1;
	restore->ran_on = true;
	if (cb->restore_results)
		cb->restore_results(restore->results.store_gfn, restore->results.console_gfn,
				    cb->data);
	rc = ask(restore, cb->postcopy, "postcopy");
	if (rc == 0)
		rc = ask(restore, cb->wait_checkpoint, "wait_checkpoint");
	if (rc == 0)
		rc = ask(restore, cb->suspend, "suspend");
	return rc ? rc : send_dirty(restore);
}

/*
 * Has the toolstack its part of the checkpoint too? When the primary dies just before it, stock
 * libxl takes the end of the stream for records and never answers, so the end is looked for here.
 * Returns 0, FAIL_OVER or -1.
 */
static int ask_for_checkpoint(struct restore_ctx *restore)
{
	if (restore->params.stream_type == XENSR_STREAM_REMUS && io_await(&restore->ctx))
		return -1;
	return ask(restore, restore->params.callbacks.checkpoint, "checkpoint");
}

/* CHECKPOINT has come. Returns 0, FAIL_OVER or -1. */
static int process_checkpoint(struct restore_ctx *restore)
{
	int rc = ask_for_checkpoint(restore);

	if (rc)
		return rc;
	if (restore->buffering && commit_checkpoint(restore))
		return -1;
	ctx_leave(&restore->ctx);
	restore->buffering = true;
	restore->results.checkpoints++;
	ctx_log(&restore->ctx, XENSR_LOG_DETAIL, "checkpoint %" PRIu64 " is complete",
		restore->results.checkpoints);
	return restore->params.stream_type == XENSR_STREAM_COLO ? run_secondary(restore) : 0;
}

/* ---- the loop ------------------------------------------------------------------------------ */

/* Returns 0, FAIL_OVER or -1. *last: it was END. */
static int receive_record(struct restore_ctx *restore, bool *last)
{
	struct record rec;

	*last = false;
	if (read_record(&restore->reader, &rec))
		return -1;
	switch (rec.type) {
	case REC_END:
		*last = true;
		return 0;
	case REC_CHECKPOINT:
		return process_checkpoint(restore);
	default:
		return restore->buffering ? keep_record(restore, &rec)
					  : process_record(restore, &rec, NULL);
	}
}

/* The channel broke: that is a reason to go on alone, and no error any more. */
static int lose_primary(struct restore_ctx *restore)
{
	struct xensr_error reason = restore->ctx.err;

	error_init(&restore->ctx.err);
	return fail_over(restore, reason.text);
}

static int restore_run(struct restore_ctx *restore)
{
	bool last;
	int rc;

	do {
		rc = receive_record(restore, &last);
	} while (rc == 0 && !last);

	if (rc == FAIL_OVER)
		return fail_over(restore, "at the toolstack's word");
	if (rc && restore->ctx.peer_gone && restore->results.checkpoints)
		return lose_primary(restore);
	if (rc)
		return -1;
	return restore->ran_on ? 0 : complete_image(restore);
}

int restore_check_params(struct xensr_ctx *ctx, const struct xensr_restore_params *params)
{
	const struct xensr_restore_callbacks *cb = &params->callbacks;
	bool colo = params->stream_type == XENSR_STREAM_COLO;

	if (params->stream_type < XENSR_STREAM_PLAIN || params->stream_type > XENSR_STREAM_COLO)
		return ctx_fail(ctx, EINVAL, "stream type %d is unknown", (int)params->stream_type);
	if (params->stream_type == XENSR_STREAM_PLAIN)
		return 0;
	if (!cb->checkpoint || (colo && (!cb->suspend || !cb->postcopy || !cb->wait_checkpoint)))
		return ctx_fail(
			ctx, EINVAL,
			"a checkpointed stream needs the callback checkpoint and, for COLO, "
			"suspend, postcopy and wait_checkpoint");
	if (colo && params->send_back_fd < 0)
		return ctx_fail(ctx, EINVAL, "COLO needs a back channel");
	return 0;
}

/* A checkpoint can hold each page once. */
static uint64_t checkpoint_limit_of(uint64_t max_pages)
{
	if (max_pages > PFN_LIMIT_X86)
		max_pages = PFN_LIMIT_X86;
	return max_pages * CHECKPOINT_PER_PAGE + CHECKPOINT_EXTRA;
}

static int restore_start(struct restore_ctx *restore)
{
	struct xensr_ctx *ctx = &restore->ctx;
	const struct stream_headers *headers = &restore->reader.headers;
	bool hvm;

	if (!restore->xch)
		return ctx_fail(ctx, EINVAL, "there is no hypervisor handle");
	restore->fmem = xc_interface_fmem_handle(restore->xch);
	if (restore_check_params(ctx, &restore->params))
		return -1;
	if (xen_domain_info(restore->xch, restore->domid, &restore->info))
		return ctx_fail_errno(ctx, errno, "no information about domain %u", restore->domid);
	hvm = restore->info.flags & XEN_DOMINF_hvm_guest;
	if (!hvm && restore->params.stream_type == XENSR_STREAM_COLO)
		return ctx_fail(ctx, ENOTSUP, "COLO needs an HVM guest, domain %u is PV",
				restore->domid);
	restore->buffer.limit = restore->params.checkpoint_limit;
	if (restore->buffer.limit == 0)
		restore->buffer.limit = checkpoint_limit_of(restore->info.max_pages);
	if (read_headers(&restore->reader))
		return -1;

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
	restore_pages_begin(restore);
	return 0;
}

static void restore_release(struct restore_ctx *restore)
{
	if (restore->ops)
		restore->ops->cleanup(restore);
	log_dirty_release(&restore->ctx, restore->xch, restore->domid, &restore->dirty);
	checkpoint_buffer_release(&restore->buffer);
	pfn_set_release(&restore->populated);
	pfn_set_release(&restore->revoked);
	pfn_set_release(&restore->different);
	free(restore->verify_pages);
	reader_release(&restore->reader);
}

int restore_domain(struct xensr_ctx *around, const struct xensr_restore_params *params,
		   struct xensr_restore_results *results)
{
	struct restore_ctx *restore = calloc(1, sizeof(*restore));
	uint64_t start = around->offset;
	int rc = -1;

	if (!restore)
		return ctx_fail_errno(around, ENOMEM, "no memory to begin with");
	restore->ctx = *around;
	restore->around = around;
	restore->params = *params;
	restore->xch = params->xch;
	restore->domid = params->domid;
	reader_init(&restore->reader, &restore->ctx, params->stream_type != XENSR_STREAM_PLAIN);

	if (restore_start(restore) || restore_run(restore))
		goto out;
	ctx_log(&restore->ctx, XENSR_LOG_DETAIL,
		"restored domain %u: %" PRIu64 " pages, %" PRIu64 " octets", restore->domid,
		restore->pages_received, restore->ctx.offset - start);
	if (results)
		*results = restore->results;
	rc = 0;
out:
	restore_release(restore);
	ctx_take_over(around, &restore->ctx);
	free(restore);
	return rc;
}

int xensr_restore(const struct xensr_restore_params *params, struct xensr_restore_results *results,
		  struct xensr_error *err)
{
	struct xensr_restore_params copy = XENSR_RESTORE_PARAMS_INIT;
	struct xensr_ctx ctx;

	ctx_init(&ctx, -1, &copy.reports);
	if (params_copy(&ctx, &copy, sizeof(copy), params))
		return ctx_finish(&ctx, -1, err);
	ctx_init(&ctx, copy.io_fd, &copy.reports);
	return ctx_finish(&ctx, restore_domain(&ctx, &copy, results), err);
}
